//! SQS's throughput beside that of emulators, in one run: messages sent and received a second, one by one and in tens.
//!
//! `cargo xtask bench sources` starts moto and ministack and says where they are; without them `taskferry dev` is measured
//! alone. All get the same requests over as many connections, each kept where its server keeps it. Each server is measured by
//! itself, with the others idle.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde_json::json;

use crate::{
    dispatch::{Dev, RULES},
    figures::{Figure, Pass},
    http::Client,
};

/// How many clients there are, each with a connection.
const CLIENTS: usize = 4;

/// For how long each kind of request is made.
const PERIOD: Duration = Duration::from_secs(2);

/// A message's body: about as long as a notification of S3.
const BODY_BYTES: usize = 1000;

/// The emulator that has a goal of its own.
const MOTO: &str = "moto";

/// By what part the goals are measured: of moto's figure, and of the faster one's.
const TIMES_MOTO: f64 = 5.0;
const TIMES_FASTEST: f64 = 2.0;

pub(crate) fn measure() -> anyhow::Result<Pass> {
    let dev = Dev::start(RULES, &[])?;
    let ours = rates(&dev.endpoint).context("taskferry dev")?;
    dev.stop()?;
    let mut peers = Vec::new();
    for (name, variable) in [(MOTO, "TASKFERRY_MOTO"), ("ministack", "TASKFERRY_MINISTACK")] {
        if let Ok(endpoint) = std::env::var(variable) {
            peers.push((name, rates(&endpoint).context(name)?));
        }
    }
    let mut pass = Pass::new();
    for (at, (what, rate)) in ours.iter().enumerate() {
        pass.push(Figure::new(format!("SQS, {what}"), *rate, "messages/s"));
        for (name, rates) in &peers {
            pass.push(Figure::new(format!("SQS, {what}: {name}"), rates[at].1, "messages/s"));
        }
        let fastest = peers.iter().map(|(_, rates)| rates[at].1).fold(0.0, f64::max);
        for (_, moto) in peers.iter().filter(|(name, _)| *name == MOTO) {
            let times = Figure::new(format!("SQS, {what}: times moto's"), rate / moto[at].1, "×");
            pass.push(times.at_least(TIMES_MOTO));
        }
        if fastest > 0.0 {
            let times =
                Figure::new(format!("SQS, {what}: times the faster one's"), rate / fastest, "×");
            pass.push(times.at_least(TIMES_FASTEST));
        }
    }
    Ok(pass)
}

/// What a request does to messages.
#[derive(Clone, Copy)]
enum Kind {
    Send,
    Receive,
}

/// Messages a second of each kind of request.
fn rates(endpoint: &str) -> anyhow::Result<Vec<(&'static str, f64)>> {
    let (mut rates, mut queues) = (Vec::new(), Vec::new());
    for (what, kind, batch) in [
        ("sent one by one", Kind::Send, 1),
        ("received one by one", Kind::Receive, 1),
        ("sent in tens", Kind::Send, 10),
        ("received in tens", Kind::Receive, 10),
    ] {
        let (rate, queue) = rate(endpoint, kind, batch)?;
        rates.push((what, rate));
        queues.push(queue);
    }
    // Not before: what is left in a queue is deleted beside whatever comes next.
    let mut client = Client::new(endpoint);
    for url in queues {
        client.call("AmazonSQS.DeleteQueue", &json!({ "QueueUrl": url }))?;
    }
    Ok(rates)
}

/// Messages a second, and the queue that they were in.
fn rate(endpoint: &str, kind: Kind, batch: usize) -> anyhow::Result<(f64, String)> {
    let name =
        format!("bench-{}-{batch}", if matches!(kind, Kind::Send) { "send" } else { "receive" });
    let mut client = Client::new(endpoint);
    // Another queue for each pass: one of the last is not empty.
    let name = format!("{name}-{}", u64::from(std::process::id()) + elapsed_nanos());
    let made = client.call("AmazonSQS.CreateQueue", &json!({ "QueueName": name }))?;
    let url = made["QueueUrl"].as_str().context("a queue without a URL")?.to_owned();
    if matches!(kind, Kind::Receive) {
        fill(endpoint, &url)?;
    }
    let began = Instant::now();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (endpoint, url) = (endpoint.to_owned(), url.clone());
            thread::spawn(move || work(&endpoint, &url, kind, batch, began + PERIOD))
        })
        .collect();
    let mut messages = 0;
    for client in clients {
        messages += client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
    }
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
    let rate = messages as f64 / began.elapsed().as_secs_f64();
    Ok((rate, url))
}

/// A number that is another each time.
fn elapsed_nanos() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| u64::from(now.subsec_nanos()) + now.as_secs())
}

/// Sends what is to be received, for twice as long as it is received: who is emptied is measured until it is.
fn fill(endpoint: &str, url: &str) -> anyhow::Result<()> {
    let until = Instant::now() + 2 * PERIOD;
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (endpoint, url) = (endpoint.to_owned(), url.to_owned());
            thread::spawn(move || work(&endpoint, &url, Kind::Send, 10, until))
        })
        .collect();
    for client in clients {
        client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
    }
    Ok(())
}

/// Makes requests until the time is over, or nothing is left to be received. Returns how many messages it was.
fn work(
    endpoint: &str,
    url: &str,
    kind: Kind,
    batch: usize,
    until: Instant,
) -> anyhow::Result<usize> {
    let mut client = Client::new(endpoint);
    let body = "x".repeat(BODY_BYTES);
    let (operation, request) = match (kind, batch) {
        (Kind::Send, 1) => {
            ("AmazonSQS.SendMessage", json!({ "QueueUrl": url, "MessageBody": body }))
        }
        (Kind::Send, _) => {
            let entries = (0..batch).map(|id| json!({ "Id": id.to_string(), "MessageBody": body }));
            (
                "AmazonSQS.SendMessageBatch",
                json!({ "QueueUrl": url, "Entries": entries.collect::<Vec<_>>() }),
            )
        }
        (Kind::Receive, _) => (
            "AmazonSQS.ReceiveMessage",
            json!({ "QueueUrl": url, "MaxNumberOfMessages": batch, "VisibilityTimeout": 600 }),
        ),
    };
    // It is the same each time, and this machine's processors are for the server.
    let request = client.request(operation, &request);
    let mut messages = 0;
    while Instant::now() < until {
        let answer = client.exchange(&request).with_context(|| operation.to_owned())?;
        messages += match kind {
            Kind::Send if batch == 1 => 1,
            Kind::Send => answer["Successful"].as_array().map_or(0, Vec::len),
            Kind::Receive => match answer["Messages"].as_array().map_or(0, Vec::len) {
                0 => break,
                count => count,
            },
        };
    }
    Ok(messages)
}
