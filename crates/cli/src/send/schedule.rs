//! `taskferry send --schedule`: a schedule of the deployed rules fires once, as Scheduler would have it fire.

use std::{io::Write, process::ExitCode};

use anyhow::Context as _;
use jiff::Timestamp;
use taskferry_core::{event::schedule, wiring::Function};
use taskferry_local::{eventbridge::whole_second, scheduler};

use super::function::Deployed;
use crate::{output::hinted, schedules::scheduled, state::StateDir};

/// Fires the schedule of a rule, and prints the event's id: the same one for the same time.
pub(super) fn send(
    name: &str,
    at: Option<Timestamp>,
    state: &StateDir,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let deployed =
        Deployed::on(state, "anywhere else EventBridge Scheduler alone fires schedules")?;
    let known: Vec<&str> = scheduled(&deployed.rules).map(|(rule, _)| rule.name.as_ref()).collect();
    if !known.contains(&name) {
        let hint = if known.is_empty() {
            "no rule that is deployed is on a schedule".to_owned()
        } else {
            format!("these are on a schedule: {}", known.join(", "))
        };
        return Err(hinted(format!("there is no rule `{name}` on a schedule"), hint));
    }
    // Scheduler's times are of whole seconds, and the event's id is made of the time.
    let at = whole_second(at.unwrap_or_else(Timestamp::now));
    let arn = scheduler::arn(&deployed.rules.name, name);
    let payload = schedule::payload(name, &arn, at);
    let event = schedule::normalise(&payload, &deployed.rules)
        .context("the payload of a schedule is none")??;
    deployed.invoke(Function::EventBridge, &payload)?;
    writeln!(out, "{}", event.id())?;
    Ok(ExitCode::SUCCESS)
}
