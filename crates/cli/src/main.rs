//! The `taskferry` program: one command a file.
//!
//! Data goes to standard output, the rest to standard error. Exit 0: done; 1: a "no" (does not match, refused, failed); 2:
//! could not.

mod check;
mod dead_letters;
mod demo;
mod dev;
mod diagnostics;
mod event;
mod explain;
mod function;
mod output;
mod records;
mod runs;
mod schedules;
mod schema;
mod send;
mod state;
mod test_event_pattern;
mod time;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use jiff::Timestamp;

/// Events in, ECS tasks out, nothing lost between.
#[derive(Debug, Parser)]
#[command(name = "taskferry", version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check a rules file: every fault at once, each with its place and what to do
    Check {
        /// The rules file; `-` reads standard input
        #[arg(short, long, default_value = "taskferry.yaml", value_name = "FILE")]
        file: PathBuf,
        /// Print the faults as JSON
        #[arg(long)]
        json: bool,
    },
    /// Say what each rule makes of an event, offline: matches or why not, and the exact `RunTask` request
    Explain(explain::Arguments),
    /// Test an event pattern on an event, offline, or many at once from a file of cases
    TestEventPattern(test_event_pattern::Arguments),
    /// Run all of it on this machine: S3, EventBridge, Scheduler, SQS, SNS, Lambda and ECS on one loopback port
    Dev(dev::Arguments),
    /// See it work: a real file becomes a real task's result, in a directory of its own
    Demo(demo::Arguments),
    /// Send an event: onto the event bus, into a queue, as S3 would tell of an object, or as a rule's schedule fires
    Send(send::Arguments),
    /// List when the rules' schedules fire next, by the clocks here and in UTC
    Schedules(schedules::Arguments),
    /// List, show and stop runs, and read what their tasks print
    Runs(runs::Arguments),
    /// List, show and redrive the runs that came to nothing
    DeadLetters(dead_letters::Arguments),
    /// Print the JSON Schema of the rules file, for editors
    Schema,
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Be one of the Lambda functions
    #[command(hide = true)]
    Function {
        /// Which
        function: function::Name,
    },
    /// Be the task of one of the examples
    #[command(hide = true, subcommand)]
    Example(Example),
    /// Kill the process groups named on standard input once it ends
    #[command(hide = true)]
    Reaper,
}

#[derive(Debug, Subcommand)]
enum Example {
    /// examples/s3-batch
    S3Batch {
        /// What the program of the task takes
        arguments: Vec<String>,
    },
    /// examples/nightly-report
    NightlyReport {
        /// What the program of the task takes
        arguments: Vec<String>,
    },
    /// examples/queue-workers
    QueueWorkers {
        /// What the program of the task takes
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut out = io::stdout();
    match run(arguments.command, &mut out) {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&mut io::stderr(), &error);
            ExitCode::from(2)
        }
    }
}

fn run(command: Command, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    match command {
        Command::Check { file, json } => {
            check::run(&file, json, Timestamp::now(), out, &mut io::stderr())
        }
        Command::Explain(arguments) => explain::run(&arguments, out),
        Command::TestEventPattern(arguments) => {
            test_event_pattern::run(&arguments, out, &mut io::stderr())
        }
        Command::Dev(arguments) => dev::run(arguments, out),
        Command::Demo(arguments) => demo::run(arguments, out),
        Command::Send(arguments) => send::run(&arguments, out),
        Command::Schedules(arguments) => schedules::run(&arguments, out),
        Command::Runs(arguments) => runs::run(&arguments, out),
        Command::DeadLetters(arguments) => dead_letters::run(&arguments, out),
        Command::Schema => schema::run(out),
        Command::Completions { shell } => {
            let mut command = <Arguments as clap::CommandFactory>::command();
            // It panics where it cannot write.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command, "taskferry", &mut script);
            out.write_all(&script)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Function { function } => function::run(function),
        Command::Example(Example::S3Batch { arguments }) => {
            block_on(s3_batch::run(&arguments, out))??;
            Ok(ExitCode::SUCCESS)
        }
        Command::Example(Example::NightlyReport { arguments }) => {
            block_on(nightly_report::run(&arguments, out))??;
            Ok(ExitCode::SUCCESS)
        }
        Command::Example(Example::QueueWorkers { arguments }) => {
            Ok(block_on(queue_workers::run(&arguments, out, &mut io::stderr()))?)
        }
        Command::Reaper => Ok(taskferry_local::ecs::reaper::run(io::stdin().lock())),
    }
}

/// Runs the future on this thread, for commands that make a few calls.
fn block_on<F: Future>(future: F) -> io::Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(future))
}

/// Whoever read our output had enough of it (`taskferry runs list | head`): no fault.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let kind = |cause: &(dyn std::error::Error + 'static)| {
        let io = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        // It carries the error of the writer, and does not name it as its source.
        io.or_else(|| cause.downcast_ref::<serde_json::Error>()?.io_error_kind())
    };
    error.chain().any(|cause| kind(cause) == Some(io::ErrorKind::BrokenPipe))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    #[test]
    fn a_reader_that_has_had_enough_is_no_fault() {
        let bash = Command::Completions { shell: clap_complete::Shell::Bash };
        for command in [Command::Schema, bash] {
            assert!(is_broken_pipe(&run(command, &mut Closed).unwrap_err()));
        }
        let error = writeln!(Closed, "a line").unwrap_err();
        assert!(is_broken_pipe(&anyhow::Error::from(error).context("more about it")));
        assert!(!is_broken_pipe(&anyhow::anyhow!("another")));
    }
}
