//! Where, when and of which sources a measurement was taken: without that no figure means anything.

use std::{fs, process::Command};

use anyhow::Context as _;
use jiff::Timestamp;

/// Commit, date and machine, in one line.
pub(crate) fn describe() -> anyhow::Result<String> {
    let commit = git(&["rev-parse", "--short=10", "HEAD"])?;
    let is_changed = !git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    let changed = if is_changed { " with changes" } else { "" };
    let date = Timestamp::now().strftime("%Y-%m-%d %H:%M UTC");
    let cores = std::thread::available_parallelism()?;
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let model = model.unwrap_or("an unknown processor");
    Ok(format!("commit {commit}{changed}, {date}, {cores} cores of {model}"))
}

/// The load average over the last minute.
pub(crate) fn load() -> anyhow::Result<String> {
    let load = fs::read_to_string("/proc/loadavg").context("cannot read /proc/loadavg")?;
    Ok(load.split_whitespace().next().unwrap_or_default().to_owned())
}

fn git(arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("git").args(arguments).output().context("cannot start git")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
