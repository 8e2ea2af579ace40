//! `taskferry send`: puts an event onto the event bus.

use std::{fs, io::Write, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::value::RawValue;
use taskferry_aws::NewEvent;

use crate::{
    block_on,
    output::hinted,
    state::{StateArguments, StateDir},
};

/// What `taskferry send` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The event: JSON with `source`, `detail-type` and `detail`; `-` reads standard input
    #[arg(short, long, value_name = "FILE")]
    event: PathBuf,
    /// The event bus, instead of the account's default
    #[arg(long, value_name = "NAME")]
    event_bus: Option<String>,
    #[command(flatten)]
    state: StateArguments,
}

/// The parts of an event that its sender says; the rest of the envelope is EventBridge's.
#[derive(Deserialize)]
struct Sent {
    source: String,
    #[serde(rename = "detail-type")]
    detail_type: String,
    #[serde(default)]
    resources: Vec<String>,
    detail: Box<RawValue>,
}

/// Puts the event, and prints the id that EventBridge gave it.
pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let name = arguments.event.display();
    let text = match arguments.event.to_str() {
        Some("-") => std::io::read_to_string(std::io::stdin()),
        _ => fs::read_to_string(&arguments.event),
    };
    let text = text.with_context(|| format!("cannot read {name}"))?;
    let sent: Sent = serde_json::from_str(&text).map_err(|error| {
        let hint = "an event is a JSON object with `source`, `detail-type` and `detail`";
        hinted(format!("{name} is not an event: {error}"), hint)
    })?;
    let event = NewEvent {
        event_bus: arguments.event_bus.clone(),
        source: sent.source,
        detail_type: sent.detail_type,
        resources: sent.resources,
        detail: sent.detail.get().to_owned(),
    };
    let state = StateDir::new(&arguments.state.state);
    let id = block_on(async {
        let events = state.clients().await?.events();
        events.put(event).await.context("the event was not taken")
    })??;
    writeln!(out, "{id}")?;
    Ok(ExitCode::SUCCESS)
}
