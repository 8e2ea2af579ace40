//! `cargo xtask bench`: the measurements that docs/performance.md quotes.

use std::process::Command;

use crate::steps::{cargo, step, target};

pub(crate) fn run(names: &[&str]) -> anyhow::Result<()> {
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
        step(cargo().args([
            "build",
            "--locked",
            "--profile",
            "lambda",
            "--package",
            "taskferry-function-s3",
            "--package",
            "taskferry-function-eventbridge",
            "--package",
            "taskferry-function-sweep",
            "taskferry-function-task-state-change",
        ]))?;
    }
    step(Command::new(target().join("release/taskferry-benches")).args(names))
}
