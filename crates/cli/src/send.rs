//! `taskferry send`: puts an event, or several, onto the event bus, or fires a rule's schedule.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use jiff::Timestamp;
use taskferry_aws::NewEvent;

use crate::{
    block_on,
    event::{self, Given},
    output::hinted,
    schedules,
    state::{StateArguments, StateDir},
};

/// What `taskferry send` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The event: JSON with `source`, `detail-type` and `detail`, or an entry of `PutEvents`, or a list; `-` reads standard input
    #[arg(short, long, value_name = "FILE", required_unless_present = "schedule")]
    event: Option<PathBuf>,
    /// The event bus, instead of the entry's or the account's default
    #[arg(long, value_name = "NAME", requires = "event")]
    event_bus: Option<String>,
    /// Fire the schedule of this rule once, instead: its run is that of its time, so a time that has had one starts none
    #[arg(long, value_name = "RULE", conflicts_with = "event")]
    schedule: Option<String>,
    /// The time for which the schedule fires, such as `2027-01-31T09:00:00Z`; now when absent
    #[arg(long, value_name = "TIME", requires = "schedule")]
    at: Option<Timestamp>,
    #[command(flatten)]
    state: StateArguments,
}

/// Puts the events, and prints the id that EventBridge gave each.
pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let state = StateDir::new(&arguments.state.state);
    if let Some(rule) = &arguments.schedule {
        return block_on(schedules::send(state, rule, arguments.at, out))?;
    }
    let event = arguments.event.as_deref().unwrap_or(Path::new("-"));
    let name = event::name(event);
    let Given::Events(events) = event::read(event)? else {
        let hint = format!(
            "put the object (`aws s3 cp FILE s3://BUCKET/KEY`), or ask `taskferry explain --event {name}` what the rules make of it"
        );
        let error =
            format!("{name} is a notification of S3, and those do not go over an event bus");
        return Err(hinted(error, hint));
    };
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
