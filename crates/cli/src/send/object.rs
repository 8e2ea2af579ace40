//! `taskferry send --s3`: what S3 would tell of an object, without one, by each way on which a rule hears of it.
//!
//! S3's notification goes to the function `s3`, or into the queues that carry it; S3's event on a bus to the function
//! `eventbridge`, since EventBridge takes events of `aws.s3` from S3 alone.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader, Write},
    net::TcpStream,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use taskferry_aws::NewMessage;
use taskferry_core::{
    event::{
        Event,
        s3::{self, Notification},
    },
    route::{Origin, Routes},
    rules::{Rule, Rules},
    wiring::Function,
};

use crate::{
    block_on,
    output::hinted,
    state::{Endpoint, StateDir},
};

/// How long it is waited for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What `taskferry send --s3` takes.
#[derive(Debug, clap::Args)]
pub(super) struct ObjectArguments {
    /// Tell of a new object, as S3 would, whether it is there or not: `s3://BUCKET/KEY`
    #[arg(long, value_name = "URL")]
    pub(super) s3: Option<String>,
    /// The object's size in bytes; 0 if not given
    #[arg(long, value_name = "N", requires = "s3")]
    size: Option<u64>,
}

/// Tells of the object, and prints the event's id.
pub(super) fn send(
    url: &str,
    arguments: &ObjectArguments,
    state: &StateDir,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let object = url.strip_prefix("s3://").and_then(|object| object.split_once('/'));
    let Some((bucket, key)) = object.filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty())
    else {
        return Err(hinted(format!("`{url}` names no object"), "write s3://BUCKET/KEY"));
    };
    let size = arguments.size.unwrap_or_default();
    let notification = s3::notification(bucket, key, size, Timestamp::now());
    let event = event_of(&notification)?;
    let endpoint = state.endpoint()?;
    let Endpoint::OfState(address) = &endpoint else {
        let error = "S3 alone tells of objects there: this is for `taskferry dev`";
        return Err(hinted(error, "unset AWS_ENDPOINT_URL, or put the object"));
    };
    let path = state.rules();
    let rules =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let rules = Rules::from_json(&rules).context("the deployed rules cannot be used")?;
    let routes = Routes::new(&rules);
    let is_heard = |origin| routes.route(origin, &event).map(|rules| !rules.is_empty());
    let mut ways = 0;
    if is_heard(Origin::S3)? {
        invoke(address, Function::S3, &notification)?;
        ways += 1;
    }
    if is_heard(Origin::EventBridge)? {
        invoke(address, Function::EventBridge, event.text())?;
        ways += 1;
    }
    // Those that bring objects: a rule on whatever a queue brings asks for no bucket.
    let brings_objects = |rule: &&Rule| rule.event_pattern.as_str().contains("\"aws.s3\"");
    let queues: BTreeSet<&str> =
        rules.rules.iter().filter(brings_objects).filter_map(|rule| rule.on.queue_name()).collect();
    for queue in queues {
        if is_heard(Origin::Sqs { queue })? {
            let message = NewMessage { body: notification.clone(), ..NewMessage::default() };
            let sent =
                block_on(async { endpoint.clients().await.queues().send(queue, message).await })?;
            sent.with_context(|| format!("queue {queue}"))?;
            ways += 1;
        }
    }
    if ways == 0 {
        return Err(hinted(
            format!("no rule hears of {url}"),
            "`taskferry check` shows what each rule is on",
        ));
    }
    writeln!(out, "{}", event.id())?;
    Ok(ExitCode::SUCCESS)
}

fn event_of(notification: &str) -> anyhow::Result<Event> {
    match s3::normalise(notification)? {
        Notification::Records(mut records) if records.len() == 1 => Ok(records.remove(0)?),
        Notification::Records(_) | Notification::Test => {
            bail!("not the notification of one object")
        }
    }
}

/// Queues an invocation of a function at the `dev` that listens at `address`, a URL of this machine.
///
/// <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>
fn invoke(address: &str, function: Function, payload: &str) -> anyhow::Result<()> {
    let host = address.trim_start_matches("http://").trim_end_matches('/');
    let connected = TcpStream::connect(host).and_then(|stream| {
        stream.set_read_timeout(Some(TIMEOUT))?;
        Ok(stream)
    });
    let mut stream = connected.with_context(|| format!("{address} does not answer"))?;
    let request = format!(
        "POST /2015-03-31/functions/{}/invocations HTTP/1.1\r\nHost: {host}\r\nX-Amz-Invocation-Type: Event\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{payload}",
        function.as_str(),
        payload.len()
    );
    stream.write_all(request.as_bytes())?;
    let mut status = String::new();
    BufReader::new(stream).read_line(&mut status)?;
    if status.split(' ').nth(1) != Some("202") {
        bail!("the function {} was not invoked: {}", function.as_str(), status.trim());
    }
    Ok(())
}
