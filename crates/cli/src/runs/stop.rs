//! `taskferry runs stop`.

use std::{io::Write, process::ExitCode};

use taskferry_core::reason;
use taskferry_engine::Stopped;

use crate::records::Records;

/// What `taskferry runs stop` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The run's id, or enough of its beginning
    id: String,
    /// Why; it will stand in the task's `stoppedReason`
    #[arg(long, default_value = "stopped by taskferry runs stop", value_name = "TEXT")]
    reason: String,
}

/// Stops the run; exit 1 if there is nothing to stop.
pub(crate) async fn run(
    records: &Records,
    arguments: &Arguments,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let run = records.run(&arguments.id).await?;
    let id = &run.id;
    let stopped = match records.engine().await?.stop(id, &arguments.reason).await {
        Ok(stopped) => stopped,
        Err(error) => {
            if records.run(id.as_str()).await?.stop.is_none() {
                return Err(error.into());
            }
            // Only the call failed, or its answer was lost.
            let why = reason(&error);
            writeln!(out, "run {id}: the stop is recorded, and the sweep sees to it: {why}")?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    match stopped {
        Stopped::Stopping => writeln!(out, "run {id}: its task was told to stop")?,
        Stopped::Cancelled => writeln!(out, "run {id}: cancelled")?,
        Stopped::Ended => {
            writeln!(out, "run {id}: it has ended ({})", run.status)?;
            return Ok(ExitCode::from(1));
        }
    }
    Ok(ExitCode::SUCCESS)
}
