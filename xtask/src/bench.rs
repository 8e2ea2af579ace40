//! `cargo xtask bench`: the measurements that docs/performance.md quotes.

use std::process::Command;

use crate::{
    emulators,
    steps::{cargo, step, target},
};

/// The measurement that needs nothing of the project but the engine it measures.
const EVENT_PATTERN: &str = "event-pattern";

pub(crate) fn run(names: &[&str]) -> anyhow::Result<()> {
    if names.is_empty() || names.contains(&EVENT_PATTERN) {
        event_pattern()?;
    }
    let others: Vec<_> = names.iter().copied().filter(|name| *name != EVENT_PATTERN).collect();
    if others.is_empty() && !names.is_empty() {
        return Ok(());
    }
    let names = others;
    let is_wanted = |name| names.is_empty() || names.contains(&name);
    // Together, so that both share what they are built of: alone, each would have it with other features.
    step(cargo().args([
        "build",
        "--locked",
        "--release",
        "--package",
        "taskferry",
        "--package",
        "taskferry-benches",
    ]))?;
    if is_wanted("function") {
        let functions = ["s3", "eventbridge", "sqs", "task-state-change", "sweep"];
        let mut build = cargo();
        build.args(["build", "--locked", "--profile", "lambda"]);
        for function in functions {
            build.arg("--package").arg(format!("taskferry-function-{function}"));
        }
        step(&mut build)?;
    }
    let mut measure = Command::new(target().join("release/taskferry-benches"));
    measure.args(&names);
    if names.is_empty() || names.iter().any(|name| name.starts_with("sources")) {
        // Beside ours, in the same run; they end with it.
        let (moto, ministack) = emulators::start()?;
        measure
            .env("TASKFERRY_MOTO", &moto.endpoint)
            .env("TASKFERRY_MINISTACK", &ministack.endpoint);
        return step(&mut measure);
    }
    step(&mut measure)
}

/// Our engine beside a peer's, each in one thread.
fn event_pattern() -> anyhow::Result<()> {
    let package = "taskferry-bench-event-pattern";
    step(cargo().args(["build", "--locked", "--profile", "bench", "--package", package]))?;
    step(&mut Command::new(target().join("release/bench-event-pattern")))
}
