//! `taskferry runs`: list, show, logs, watch, retry, stop.

pub(crate) mod list;
mod logs;
mod retry;
pub(crate) mod show;
mod stop;
pub(crate) mod view;
mod watch;

use std::{io::Write, process::ExitCode};

use clap::Subcommand;

use crate::records::RecordsArguments;

/// What `taskferry runs` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    records: RecordsArguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List runs, the newest first
    List(list::Arguments),
    /// Show a run with its attempts
    Show(show::Arguments),
    /// Print what a run's containers wrote
    Logs(logs::Arguments),
    /// Follow a run to its end, or all runs until interrupted
    Watch(watch::Arguments),
    /// Do a run again that has ended, as a new run
    Retry(retry::Arguments),
    /// Stop a run's task
    Stop(stop::Arguments),
}

/// Runs the command on the records.
pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    crate::block_on(async {
        let records = arguments.records.open().await?;
        match &arguments.command {
            Command::List(arguments) => list::run(&records, arguments, out).await,
            Command::Show(arguments) => show::run(&records, arguments, out).await,
            Command::Logs(arguments) => logs::run(&records, arguments, out).await,
            Command::Watch(arguments) => watch::run(&records, arguments, out).await,
            Command::Retry(arguments) => Box::pin(retry::run(&records, arguments, out)).await,
            Command::Stop(arguments) => Box::pin(stop::run(&records, arguments, out)).await,
        }
    })?
}
