//! `cargo xtask simulate`: the real core and engine in a world that breaks by the seed, `simulation/`.
//!
//! `--seeds N`, `--from S --seeds N` (a part of a longer run), `--minutes M`, `--seed S` (one, with its history),
//! `--exhaustive` (the small worlds, whole), `--mutations [NAME]`.
//!
//! Built with a profile of its own: as fast as a release, with every assertion of a debug build. Mutations are built apart, in a
//! target directory of their own, since they are compiled in by a flag that nothing else is built with.

use crate::steps::{cargo, step, target};

/// The usual number of seeds.
const SEEDS: &str = "10000";

/// Plays seeds; the arguments are the simulation's own.
pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<()> {
    match arguments {
        ["--mutations", rest @ ..] => mutations(rest),
        [] => {
            play(&["--exhaustive"])?;
            play(&["--seeds", SEEDS])
        }
        arguments => play(arguments),
    }
}

fn play(arguments: &[&str]) -> anyhow::Result<()> {
    let simulation = ["run", "--locked", "--profile", "simulation", "-p", "taskferry-simulation"];
    step(cargo().args(simulation).arg("--").args(arguments))
}

/// Has each mutation found by some seed.
fn mutations(arguments: &[&str]) -> anyhow::Result<()> {
    let simulation = ["run", "--locked", "--profile", "simulation", "-p", "taskferry-simulation"];
    let mut cargo = cargo();
    cargo.env("RUSTFLAGS", "--cfg mutations").env("CARGO_TARGET_DIR", target().join("mutations"));
    step(cargo.args(simulation).args(["--", "--mutations"]).args(arguments))
}
