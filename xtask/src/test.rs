//! `cargo xtask test`: everything that must hold before a change lands.

use crate::{
    clients, emulators, simulate,
    steps::{cargo, step},
};

pub(crate) fn run() -> anyhow::Result<()> {
    step(cargo().args(["fmt", "--all", "--check"]))?;
    step(cargo().args([
        "clippy",
        "--locked",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))?;
    step(cargo().env("RUSTDOCFLAGS", "-D warnings").args([
        "doc",
        "--locked",
        "--workspace",
        "--no-deps",
    ]))?;
    // The end-to-end tests start the programs, so those are built first.
    step(cargo().args(["build", "--locked", "--workspace", "--bins"]))?;
    step(cargo().args(["test", "--locked", "--workspace"]))?;
    simulate::run(&[])?;
    simulate::run(&["--mutations"])?;
    emulators::run()?;
    clients::run()
}
