//! `taskferry runs retry`.

use std::{io::Write, process::ExitCode};

use crate::state::Records;

/// What `taskferry runs retry` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The run's id, or enough of its beginning
    id: String,
}

/// Does the run again as a new one, under the rules of now.
pub(crate) async fn run(
    records: &Records,
    arguments: &Arguments,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let run = records.run(&arguments.id).await?;
    let redriven = records.state.engine().await?.redrive(&run.id, None).await?;
    writeln!(out, "run {}: done again as run {}", run.id, redriven.run_id)?;
    Ok(ExitCode::SUCCESS)
}
