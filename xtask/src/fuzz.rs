//! `cargo xtask fuzz`: libFuzzer on the targets of `fuzz/`, which fuzz/README.md describes.
//!
//! Runs on the pinned toolchain: coverage is a stable option of the compiler, and code without `unsafe` has nothing for
//! a sanitizer, which would need nightly.

use std::{fs, process::Command};

use anyhow::{Context as _, bail};

use crate::steps::{cargo, root, step, target};

/// A target, and what libFuzzer is told of its inputs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Target {
    name: &'static str,
    dictionary: &'static str,
    length_max: u32,
}

impl Target {
    const fn pattern(name: &'static str) -> Self {
        Self { name, dictionary: "event-pattern", length_max: 2048 }
    }

    const fn payload(name: &'static str) -> Self {
        Self { name, dictionary: "payload", length_max: 4096 }
    }

    const fn rules(name: &'static str, length_max: u32) -> Self {
        Self { name, dictionary: "rules", length_max }
    }
}

const TARGETS: [Target; 11] = [
    Target::pattern("pattern"),
    Target::pattern("event"),
    Target::pattern("pair"),
    Target::payload("s3"),
    Target::payload("sns"),
    Target::payload("sqs"),
    Target::payload("envelope"),
    Target::payload("schedule"),
    Target::payload("task"),
    Target::rules("expression", 128),
    Target::rules("rules", 4096),
];

/// The version of cargo-fuzz that is installed where there is none.
const CARGO_FUZZ: &str = "0.13.2";
const MINUTES_USUAL: u64 = 5;

/// Runs one target or each in turn; ends with the first finding.
pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<()> {
    let (targets, minutes) = read(arguments)?;
    let seconds = minutes.checked_mul(60).context("--minutes is too large")?;
    let tools = target().join("tools");
    let cargo_fuzz = tools.join("bin/cargo-fuzz");
    if !cargo_fuzz.exists() {
        step(
            cargo()
                .args(["install", "cargo-fuzz", "--version", CARGO_FUZZ, "--locked", "--root"])
                .arg(&tools),
        )?;
    }
    for Target { name, dictionary, length_max } in targets {
        // What is found on the way is kept there, and read again by the next run; `seeds` is what is committed.
        let corpus = root().join("fuzz/corpus").join(name);
        fs::create_dir_all(&corpus).with_context(|| format!("cannot make {}", corpus.display()))?;
        step(
            Command::new(&cargo_fuzz)
                .args(["fuzz", "run", "--sanitizer", "none", "--target-dir"])
                .arg(target().join("fuzz"))
                .arg(name)
                .args([&format!("fuzz/corpus/{name}"), &format!("fuzz/seeds/{name}"), "--"])
                // A minute, since libFuzzer's clock runs on while others have the processor.
                .arg(format!("-dict=fuzz/{dictionary}.dict"))
                .arg(format!("-max_len={length_max}"))
                .arg("-timeout=60")
                .arg(format!("-max_total_time={seconds}")),
        )?;
    }
    Ok(())
}

/// The targets and for how many minutes each.
fn read(arguments: &[&str]) -> anyhow::Result<(Vec<Target>, u64)> {
    let (name, rest) = match arguments {
        [name, rest @ ..] if !name.starts_with('-') => (Some(*name), rest),
        rest => (None, rest),
    };
    let minutes = match rest {
        [] => MINUTES_USUAL,
        ["--minutes", minutes] => {
            minutes.parse().with_context(|| format!("`{minutes}` is no number of minutes"))?
        }
        _ => bail!("usage: cargo xtask fuzz [TARGET] [--minutes M]"),
    };
    let Some(name) = name else { return Ok((TARGETS.to_vec(), minutes)) };
    if let Some(target) = TARGETS.iter().find(|target| target.name == name) {
        return Ok((vec![*target], minutes));
    }
    let names = TARGETS.map(|target| target.name).join(", ");
    bail!("there is no fuzz target `{name}`; there are {names}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_target_or_all_for_some_minutes() {
        assert_eq!(read(&[]).unwrap(), (TARGETS.to_vec(), MINUTES_USUAL));
        let (targets, minutes) = read(&["pair", "--minutes", "60"]).unwrap();
        assert_eq!((targets.len(), targets[0].name, minutes), (1, "pair", 60));
        assert_eq!(read(&["--minutes", "1"]).unwrap(), (TARGETS.to_vec(), 1));
        assert!(read(&["pears"]).is_err());
        assert!(read(&["pair", "60"]).is_err());
    }
}
