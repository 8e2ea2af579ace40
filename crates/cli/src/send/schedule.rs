//! `taskferry send --schedule`: a schedule of the deployed rules fires once, as Scheduler would have it fire.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Context as _;
use jiff::Timestamp;
use taskferry_core::{event::schedule, schedule::Schedule, wiring::Function};
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
    let found = scheduled(&deployed.rules).find(|(rule, _)| rule.name.as_ref() == name);
    let Some((_, on)) = found else {
        let known: Vec<&str> =
            scheduled(&deployed.rules).map(|(rule, _)| rule.name.as_ref()).collect();
        let hint = if known.is_empty() {
            "no rule that is deployed is on a schedule".to_owned()
        } else {
            format!("these are on a schedule: {}", known.join(", "))
        };
        return Err(hinted(format!("there is no rule `{name}` on a schedule"), hint));
    };
    if let Some(at) = at {
        check_time(name, &on.schedule, at)?;
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

/// Refuses the time of a firing to come, whose run this one would be, and tells of a time at which there is none.
fn check_time(name: &str, schedule: &Schedule, at: Timestamp) -> anyhow::Result<()> {
    // When a rate fires depends on when it was made.
    if schedule.is_relative() {
        return Ok(());
    }
    let fires = schedule.first(at) == Some(at);
    if fires && at > Timestamp::now() {
        let hint = "leave --at out, or name a time that has gone by";
        let wrong = format!("`{name}` fires at {at} by itself, and would then find its run made");
        return Err(hinted(wrong, hint));
    }
    if !fires {
        let shown = "`taskferry schedules` shows when it does";
        writeln!(io::stderr(), "note: `{name}` does not fire at {at} by itself; {shown}")?;
    }
    Ok(())
}
