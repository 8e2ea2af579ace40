//! `cargo xtask`: the only entry point for what checks and measures the project.
//!
//! Each step's command is printed before it runs, so that one can repeat a step by hand; the first that fails ends it.

mod bench;
mod clients;
mod emulators;
mod fuzz;
mod kills;
mod simulate;
mod steps;
mod test;
mod venv;

use std::process::ExitCode;

use anyhow::bail;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test            everything: format, lints, docs, tests, the simulation, independent servers and clients
  simulate [--seeds N | --seed S | --minutes M | --exhaustive | --mutations]
                  the real core and engine in a world that breaks by the seed; 10,000 seeds unless said
  fuzz [TARGET] [--minutes M]
                  libFuzzer on pattern, event or pair, or each in turn, for 5 minutes unless said
  kills [--times N] [--seed S]
                  `taskferry dev` under load, killed with `kill -9` 100 times unless said; nothing lost, nothing twice
  clients         only the independent clients: boto3 and the AWS CLI against `taskferry dev`
  emulators       only the contracts of DynamoDB and SQS, against moto and ministack
  bench [NAME]    measure, in release; without a name, all: dispatch (and dispatch/waiting), function,
                  decision, event-pattern, sources (SQS beside moto and ministack)";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            steps::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> anyhow::Result<()> {
    match arguments {
        ["test"] => test::run(),
        ["simulate", rest @ ..] => simulate::run(rest),
        ["fuzz", rest @ ..] => fuzz::run(rest),
        ["kills", rest @ ..] => kills::run(rest),
        ["clients"] => clients::run(),
        ["emulators"] => emulators::run(),
        ["bench", rest @ ..] => bench::run(rest),
        _ => bail!("{USAGE}"),
    }
}
