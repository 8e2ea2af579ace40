//! `cargo xtask bench`: the measurements that docs/performance.md quotes.

use crate::steps::{cargo, step};

pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<()> {
    step(cargo().args(["build", "--locked", "--release", "--package", "taskferry"]))?;
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
        "taskferry-function-task-state-change",
    ]))?;
    let mut command = cargo();
    command.args(["run", "--locked", "--release", "--package", "taskferry-benches", "--"]);
    step(command.args(arguments))
}
