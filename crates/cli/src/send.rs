//! `taskferry send`: an event by the way that its source would take: the event bus, a queue, a schedule, or the function of
//! S3's notifications.

mod function;
mod message;
mod object;
mod schedule;

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use jiff::Timestamp;
use taskferry_aws::NewEvent;

use crate::{
    block_on,
    event::{self, Given, Sent},
    output::hinted,
    state::{StateArguments, StateDir},
    time,
};

/// What `taskferry send` takes.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["event", "s3", "sqs", "schedule"])))]
pub(crate) struct Arguments {
    /// The event for the bus: JSON with `source`, `detail-type` and `detail`, or an entry of `PutEvents`, or a list; `-` reads standard input
    #[arg(short, long, value_name = "FILE")]
    event: Option<PathBuf>,
    /// The event bus, instead of the entry's or the account's default
    #[arg(long, value_name = "NAME", requires = "event", conflicts_with_all = ["s3", "sqs", "schedule"])]
    event_bus: Option<String>,
    /// Fire the schedule of this rule once, instead: its run is that of its time, so a time that has had one starts none
    #[arg(long, value_name = "RULE")]
    schedule: Option<String>,
    /// The time for which the schedule fires, such as `2027-01-31T09:00:00Z`; now when absent
    #[arg(long, value_name = "TIME", requires = "schedule", conflicts_with_all = ["event", "s3", "sqs"], value_parser = time::parse)]
    at: Option<Timestamp>,
    #[command(flatten)]
    object: object::ObjectArguments,
    #[command(flatten)]
    message: message::MessageArguments,
    #[command(flatten)]
    state: StateArguments,
}

/// Sends what the arguments say, and prints the id that its way gave it.
pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let state = StateDir::new(&arguments.state.state);
    if let Some(rule) = &arguments.schedule {
        return schedule::send(rule, arguments.at, &state, out);
    }
    if let Some(url) = &arguments.object.s3 {
        return object::send(url, &arguments.object, &state, out);
    }
    if let Some(queue) = &arguments.message.sqs {
        return message::send(queue, &arguments.message, &state, out);
    }
    match &arguments.event {
        Some(event) => put(event, arguments, &state, out),
        None => anyhow::bail!("nothing to send"),
    }
}

/// Puts the events, and prints the id that EventBridge gave each.
fn put(
    path: &Path,
    arguments: &Arguments,
    state: &StateDir,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let name = event::name(path);
    let (what, instead) = match event::read(path)? {
        Given::Events(events) => return put_all(events, arguments, state, out),
        Given::Notification(_) => ("a notification of S3", "--s3 s3://BUCKET/KEY"),
        Given::Messages(_) => ("messages of a queue", "--sqs QUEUE --body TEXT"),
    };
    let hint = format!(
        "`taskferry send {instead}` sends one of its own; `taskferry explain --event {name}` says what the rules make of this"
    );
    Err(hinted(format!("{name} is {what}, and those do not go over an event bus"), hint))
}

fn put_all(
    events: Vec<Sent>,
    arguments: &Arguments,
    state: &StateDir,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    block_on(async {
        let endpoint = state.endpoint()?;
        let bus = endpoint.clients().await.events();
        for sent in events {
            let is_of_aws = sent.source.starts_with("aws.");
            let put = bus.put(NewEvent {
                event_bus: arguments.event_bus.clone().or(sent.event_bus),
                source: sent.source,
                detail_type: sent.detail_type,
                resources: sent.resources,
                time: sent.time,
                detail: sent.detail,
            });
            match put.await {
                Ok(id) => writeln!(out, "{id}")?,
                Err(error) if is_of_aws => {
                    let hint = "only AWS's services send events whose `source` begins with `aws.`; `taskferry explain` takes them";
                    let error = anyhow::Error::from(error).context("the event was not taken");
                    return Err(hinted(format!("{error:#}"), hint));
                }
                Err(error @ taskferry_aws::Error::NoAnswer(_)) => {
                    return Err(endpoint.silent(&error));
                }
                Err(error) => {
                    return Err(anyhow::Error::from(error).context("the event was not taken"));
                }
            }
        }
        Ok(())
    })??;
    Ok(ExitCode::SUCCESS)
}
