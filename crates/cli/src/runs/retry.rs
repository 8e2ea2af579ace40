//! `taskferry runs retry`.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use taskferry_engine::Error;

use crate::records::Records;

/// What `taskferry runs retry` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The run's id, or enough of its beginning
    id: String,
}

/// Does the run again as a new one, under the rules of now; exit 1 if it is not one to be done again.
pub(crate) async fn run(
    records: &Records,
    arguments: &Arguments,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let run = records.run(&arguments.id).await?;
    match records.engine().await?.redrive(&run.id, None).await {
        Ok(again) => {
            writeln!(out, "run {}: done again as run {}", run.id, again.run_id)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error @ Error::NotRedriven(_)) => {
            crate::output::error(&mut io::stderr(), &error.into());
            Ok(ExitCode::from(1))
        }
        Err(error) => Err(error.into()),
    }
}
