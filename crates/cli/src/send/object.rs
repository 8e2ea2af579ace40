//! `taskferry send --s3`: what S3 would tell of an object, without one, by each way on which a rule hears of it.
//!
//! S3's notification goes to the function `s3`, or into the queues that carry it; S3's event on a bus to the function
//! `eventbridge`, since EventBridge takes events of `aws.s3` from S3 alone.

use std::{collections::BTreeSet, io::Write, process::ExitCode};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use taskferry_aws::NewMessage;
use taskferry_core::{
    event::{
        Event,
        s3::{self, Notification},
    },
    route::{Origin, Routes},
    rules::Rule,
    wiring::Function,
};

use super::function::Deployed;
use crate::{block_on, output::hinted, state::StateDir};

/// What `taskferry send --s3` takes.
#[derive(Debug, clap::Args)]
pub(super) struct ObjectArguments {
    /// Tell of a new object, as S3 would, whether it is there or not: `s3://BUCKET/KEY`
    #[arg(long, value_name = "URL")]
    pub(super) s3: Option<String>,
    /// The object's size in bytes; 0 if not given
    #[arg(long, value_name = "N", requires = "s3", conflicts_with_all = ["event", "sqs", "schedule"])]
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
    let deployed = Deployed::on(state, "anywhere else put the object: S3 alone tells of those")?;
    let Deployed { rules, endpoint, .. } = &deployed;
    let routes = Routes::new(rules);
    let is_heard = |origin| routes.route(origin, &event).map(|rules| !rules.is_empty());
    let mut ways = 0;
    if is_heard(Origin::S3)? {
        deployed.invoke(Function::S3, &notification)?;
        ways += 1;
    }
    if is_heard(Origin::EventBridge)? {
        deployed.invoke(Function::EventBridge, event.text())?;
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
