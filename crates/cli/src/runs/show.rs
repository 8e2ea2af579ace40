//! `taskferry runs show`.

use std::{io::Write, process};

use jiff::Timestamp;
use taskferry_core::{
    failure::ExitCode,
    run::{Attempt, Run},
};

use super::view::{RunView, duration, hints, status};
use crate::{
    output::{printable, wants_colour},
    records::Records,
};

/// What `taskferry runs show` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The run's id, or enough of its beginning
    id: String,
    /// Print the `RunTask` request of each attempt too
    #[arg(long)]
    request: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Shows the run.
pub(crate) async fn run(
    records: &Records,
    arguments: &Arguments,
    out: &mut dyn Write,
) -> anyhow::Result<process::ExitCode> {
    let run = records.run(&arguments.id).await?;
    if arguments.json {
        let view =
            if arguments.request { RunView::with_requests(&run)? } else { RunView::from(&run) };
        serde_json::to_writer_pretty(&mut *out, &view)?;
        writeln!(out)?;
    } else {
        print(out, &run, arguments.request)?;
        for hint in hints(&run) {
            writeln!(out, "\nhint: {hint}")?;
        }
    }
    Ok(process::ExitCode::SUCCESS)
}

pub(crate) fn print(out: &mut dyn Write, run: &Run, with_request: bool) -> anyhow::Result<()> {
    let took = duration(run.created_at, run.ended_at.unwrap_or_else(Timestamp::now));
    writeln!(out, "run         {}", run.id)?;
    writeln!(out, "rule        {}", run.rule)?;
    writeln!(out, "status      {}", status(run.status, wants_colour()))?;
    if let Some(reason) = &run.reason {
        writeln!(out, "reason      {}", printable(reason))?;
    }
    let event = &run.event;
    let what = format!("{} from {}, {}", event.detail_type, event.source, event.time);
    writeln!(out, "event       {}", printable(&what))?;
    if let Some(subject) = &event.subject {
        writeln!(out, "subject     {}", printable(subject))?;
    }
    writeln!(out, "event id    {}", printable(&event.id))?;
    writeln!(out, "dedupe key  {}", printable(&run.dedupe_key))?;
    writeln!(out, "created     {:.3}", run.created_at)?;
    if let Some(due_at) = run.due_at.filter(|_| !run.status.is_terminal()) {
        writeln!(out, "looked at   {due_at:.3}, at the latest")?;
    }
    if let Some(limit) = &run.queue {
        let key =
            if limit.key.is_empty() { String::new() } else { format!(" for `{}`", limit.key) };
        writeln!(out, "waits for   a slot of {}{}", limit.name, printable(&key))?;
    }
    for (name, other) in [("again", &run.redriven_by), ("does again", &run.redrive_of)] {
        if let Some(other) = other {
            writeln!(out, "{name:<10}  run {other}")?;
        }
    }
    match run.ended_at {
        Some(ended_at) => writeln!(out, "ended       {ended_at:.3}, after {took}")?,
        None => writeln!(out, "ended       not yet, {took} so far")?,
    }
    for attempt in &run.attempts {
        print_attempt(out, attempt)?;
        if with_request {
            let request = match &attempt.request {
                Some(request) => {
                    let request: serde_json::Value = serde_json::from_str(request)?;
                    serde_json::to_string_pretty(&request)?
                }
                None => "not kept; the first attempt's and the last's are".to_owned(),
            };
            writeln!(out, "  RunTask     {}", request.replace('\n', "\n              "))?;
        }
    }
    Ok(())
}

fn print_attempt(out: &mut dyn Write, attempt: &Attempt) -> anyhow::Result<()> {
    writeln!(out, "\nattempt {}", attempt.attempt)?;
    writeln!(out, "  task        {}", attempt.task_arn.as_deref().unwrap_or("none"))?;
    writeln!(out, "  created     {:.3}", attempt.created_at)?;
    for (name, time) in [("started", attempt.started_at), ("stopped", attempt.stopped_at)] {
        if let Some(time) = time {
            writeln!(out, "  {name}     {time:.3}")?;
        }
    }
    for (name, text) in [("stop code", &attempt.stop_code), ("because", &attempt.stopped_reason)] {
        if let Some(text) = text {
            writeln!(out, "  {name:<10}  {}", printable(text))?;
        }
    }
    if let Some(class) = attempt.failure_class {
        writeln!(out, "  class       {class}")?;
    }
    for container in &attempt.containers {
        let exit = container
            .exit_code
            .map_or("no exit code".to_owned(), |code| format!("exit {}", ExitCode(code)));
        let reason = container.reason.as_deref().map(|reason| printable(&format!(": {reason}")));
        let name = &container.name;
        writeln!(out, "  container   {name}, {exit}{}", reason.unwrap_or_default())?;
    }
    Ok(())
}
