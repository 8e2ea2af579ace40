//! `cargo xtask kills`: `taskferry dev` under load, killed with `kill -9` again and again; `tests/kills` is the program.
//!
//! No part of `cargo xtask test`: a hundred kills take some minutes, and a launch that a kill met waits five for the sweep.

use std::process::Command;

use crate::steps::{cargo, step, target};

/// Kills; the arguments are the program's own.
pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<()> {
    // As `test` builds them: for one package alone features differ, and all would be built anew.
    step(cargo().args(["build", "--locked", "--workspace", "--bins"]))?;
    step(Command::new(target().join("debug/taskferry-kills")).args(arguments))
}
