//! Events a second through each source, through the real program: from the client's request to the run, which stands in the
//! records when its task was launched.
//!
//! First one at a time, which tells how long one takes; then as fast as they are taken, which tells how many. A schedule's
//! events are invocations with the payload that Scheduler makes, since a schedule fires no oftener than once a minute.

use std::{sync::Arc, thread};

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use taskferry_core::event::schedule;

use crate::{
    dispatch::Dev,
    figures::{Figure, Pass},
    http::Client,
    times,
};

const RULES: &str = include_str!("../rules/sources.yaml");

/// How many events come one after the other, and how many before them.
const SINGLE: usize = 100;
const WARM_UP: usize = 10;

/// How many come at once, over how many connections.
const FLOOD: usize = 1000;
const CONNECTIONS: usize = 8;

/// A way for events to come.
struct Source {
    /// The rule that asks for them.
    rule: &'static str,
    /// The function that takes them.
    function: &'static str,
    /// Sends the event of this number.
    send: fn(&mut Client, &str, usize) -> anyhow::Result<()>,
}

const SOURCES: [Source; 8] = [
    Source { rule: "s3", function: "s3", send: |client, _, n| put(client, "direct", n) },
    Source { rule: "s3-by-topic", function: "s3", send: |client, _, n| put(client, "by-topic", n) },
    Source {
        rule: "s3-by-bus",
        function: "eventbridge",
        send: |client, _, n| put(client, "by-bus", n),
    },
    Source {
        rule: "s3-by-queue",
        function: "sqs",
        send: |client, _, n| put(client, "by-queue", n),
    },
    Source { rule: "eventbridge", function: "eventbridge", send: put_event },
    Source {
        rule: "sqs",
        function: "sqs",
        send: |client, endpoint, n| {
            send_message(
                client,
                &json!({ "QueueUrl": url(endpoint, "work"), "MessageBody": body(n) }),
            )
        },
    },
    Source {
        rule: "sqs-fifo",
        function: "sqs",
        send: |client, endpoint, n| {
            let group = (n % CONNECTIONS).to_string();
            send_message(
                client,
                &json!({
                    "QueueUrl": url(endpoint, "steps.fifo"), "MessageBody": body(n),
                    "MessageGroupId": group, "MessageDeduplicationId": n.to_string(),
                }),
            )
        },
    },
    Source { rule: "schedule", function: "eventbridge", send: fire },
];

pub(crate) fn measure() -> anyhow::Result<Pass> {
    let dev = Dev::start(RULES, &["--stub-containers"])?;
    let mut pass = Pass::new();
    let mut runs = 0;
    for source in &SOURCES {
        pass.extend(source.measure(&dev).with_context(|| source.rule.to_owned())?);
        // What is left of one source's tasks must not be measured with the next.
        runs += WARM_UP + SINGLE + FLOOD;
        dev.log("task-state-change").wait_for(runs, |line| line.ends_run().then_some(()))?;
    }
    let recorded = dev.runs()?.len();
    anyhow::ensure!(recorded == runs, "{recorded} runs for {runs} events");
    dev.stop()?;
    Ok(pass)
}

impl Source {
    fn measure(&self, dev: &Dev) -> anyhow::Result<Pass> {
        let rule = self.rule;
        let mut log = dev.log(self.function);
        let mut client = Client::new(&dev.endpoint);
        let mut waits = Vec::with_capacity(SINGLE);
        for number in 0..WARM_UP + SINGLE {
            let sent = Timestamp::now();
            (self.send)(&mut client, &dev.endpoint, number)?;
            let launched = log.wait_for(1, |line| line.launches(rule).then_some(line.at))?[0];
            if number >= WARM_UP {
                waits.push(launched.duration_since(sent).as_secs_f64() * 1e3);
            }
        }
        let mut pass = times(&format!("{rule}: from the request to the run"), waits, None)?;

        let began = Timestamp::now();
        let endpoint: Arc<str> = dev.endpoint.as_str().into();
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|turn| {
                let (send, endpoint) = (self.send, Arc::clone(&endpoint));
                thread::spawn(move || -> anyhow::Result<()> {
                    let mut client = Client::new(&endpoint);
                    let first = WARM_UP + SINGLE + turn;
                    for number in (first..WARM_UP + SINGLE + FLOOD).step_by(CONNECTIONS) {
                        send(&mut client, &endpoint, number)?;
                    }
                    Ok(())
                })
            })
            .collect();
        let launched = log.wait_for(FLOOD, |line| line.launches(rule).then_some(line.at))?;
        for client in clients {
            client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
        }
        let last = launched.into_iter().max().context("nothing was launched")?;
        let seconds = last.duration_since(began).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let rate = FLOOD as f64 / seconds;
        pass.push(Figure::new(format!("{rule}: {FLOOD} at once"), rate, "events/s"));
        Ok(pass)
    }
}

fn put(client: &mut Client, bucket: &str, number: usize) -> anyhow::Result<()> {
    client.put(bucket, &format!("object-{number}"), "a small object")
}

fn put_event(client: &mut Client, _: &str, number: usize) -> anyhow::Result<()> {
    let entry = json!({ "Source": "bench", "DetailType": "Each", "Detail": body(number) });
    let answer = client.call("AWSEvents.PutEvents", &json!({ "Entries": [entry] }))?;
    anyhow::ensure!(answer["FailedEntryCount"] == 0, "PutEvents: {answer}");
    Ok(())
}

fn send_message(client: &mut Client, request: &Value) -> anyhow::Result<()> {
    client.call("AmazonSQS.SendMessage", request)?;
    Ok(())
}

/// What Scheduler invokes with, for another time each.
fn fire(client: &mut Client, _: &str, number: usize) -> anyhow::Result<()> {
    let arn = "arn:aws:scheduler:us-east-1:000000000000:schedule/default/bench-schedule";
    let at = Timestamp::UNIX_EPOCH + SignedDuration::from_mins(i64::try_from(number)?);
    client.invoke("eventbridge", &schedule::payload("schedule", arn, at))
}

fn url(endpoint: &str, queue: &str) -> String {
    format!("{endpoint}/000000000000/{queue}")
}

fn body(number: usize) -> String {
    json!({ "number": number }).to_string()
}
