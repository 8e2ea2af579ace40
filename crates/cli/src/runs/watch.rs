//! `taskferry runs watch`.

use std::{
    collections::HashMap,
    io::{self, IsTerminal as _, Write},
    process::ExitCode,
    time::Instant,
};

use jiff::{Timestamp, tz::TimeZone};
use taskferry_core::run::{Run, RunId, Status};
use taskferry_engine::ports::{RunQuery, Runs as _};
use taskferry_function::StoredRuns;

use super::view::{RunView, duration, hints, short_id, status};
use crate::{
    output::{printable, wants_colour},
    records::Records,
};

/// Back to the beginning of the line, and nothing in it.
const ERASE: &str = "\r\x1b[K";

/// What `taskferry runs watch` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The run's id, or enough of its beginning; without it, all runs
    id: Option<String>,
    /// Print each change as JSON, one a line
    #[arg(long)]
    json: bool,
}

/// Prints what is under way, and each change from then on. Of one run until it has ended: exit 0 if it succeeded, else 1.
pub(crate) async fn run(
    records: &Records,
    arguments: &Arguments,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let one = match &arguments.id {
        Some(id) => Some(records.run(id).await?),
        None => None,
    };
    if one.as_ref().is_none_or(|run| !run.status.is_terminal()) {
        records.tell_if_idle(&mut io::stderr())?;
    }
    let one = one.map(|run| run.id);
    // A line that is written over, where a person looks on.
    let shows_progress = !arguments.json && io::stdout().is_terminal();
    let began = Instant::now();
    let mut seen = HashMap::new();
    // Of all runs, those that have ended before are no change.
    let mut is_before = one.is_none();
    let mut period = tokio::time::interval(records.period());
    loop {
        period.tick().await;
        let looked = look(&records.runs, one.as_ref()).await?;
        let going = looked.iter().filter(|run| !run.status.is_terminal()).count();
        for run in looked {
            if seen.insert(run.id.clone(), run.revision) == Some(run.revision) {
                continue;
            }
            if is_before && run.status.is_terminal() {
                continue;
            }
            if shows_progress {
                write!(out, "{ERASE}")?;
            }
            print(out, &run, arguments.json)?;
            if one.is_some() && run.status.is_terminal() {
                for hint in hints(&run).into_iter().filter(|_| !arguments.json) {
                    writeln!(out, "\nhint: {hint}")?;
                }
                let succeeded = run.status == Status::Succeeded;
                return Ok(ExitCode::from(u8::from(!succeeded)));
            }
        }
        is_before = false;
        if shows_progress {
            let seconds = began.elapsed().as_secs();
            match going {
                0 => write!(out, "{ERASE}")?,
                1 => write!(out, "{ERASE}1 run is under way ({seconds} s)")?,
                going => write!(out, "{ERASE}{going} runs are under way ({seconds} s)")?,
            }
            out.flush()?;
        }
    }
}

/// The one run, or the newest, the oldest of them first.
async fn look(runs: &StoredRuns, one: Option<&RunId>) -> anyhow::Result<Vec<Run>> {
    if let Some(id) = one {
        Ok(runs.get(id).await?.into_iter().collect())
    } else {
        let mut newest = runs.list(&RunQuery::default()).await?.runs;
        newest.reverse();
        Ok(newest)
    }
}

fn print(out: &mut dyn Write, run: &Run, json: bool) -> anyhow::Result<()> {
    if json {
        serde_json::to_writer(&mut *out, &RunView::from(run))?;
        writeln!(out)?;
    } else {
        let now = Timestamp::now();
        let took = duration(run.created_at, run.ended_at.unwrap_or(now));
        let status = status(run.status, wants_colour());
        let reason = run.reason.as_deref().map(|reason| printable(&format!("  {reason}")));
        let reason = reason.unwrap_or_default();
        // The time of day here, as in the lines of `dev`.
        let now = now.to_zoned(TimeZone::system()).strftime("%H:%M:%S");
        let (id, rule) = (short_id(run), &run.rule);
        writeln!(out, "{now}  {id}  {rule}  {status:<10} {took:>7}{reason}")?;
    }
    Ok(out.flush()?)
}
