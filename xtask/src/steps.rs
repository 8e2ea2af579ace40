//! A step: a command that is printed, run and timed.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context as _, bail};

/// The root of the checkout.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask has a parent")
}

/// Where everything that is built or installed goes.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The cargo that runs this.
///
/// Without what it told this program about its own package: build scripts that look at such variables would take each
/// build from here for another one than a build by hand.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new("cargo");
    for (name, _) in std::env::vars_os() {
        let is_about_us = name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
        });
        if is_about_us {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// Writes a line to standard error.
pub(crate) fn say(line: &str) {
    // Where standard error is gone there is nobody left to tell.
    let _told = writeln!(std::io::stderr(), "{line}");
}

/// Runs the command from the root of the checkout.
pub(crate) fn step(command: &mut Command) -> anyhow::Result<()> {
    let shown = shown(command);
    say(&format!("\n$ {shown}"));
    let began = Instant::now();
    let status = command
        .current_dir(root())
        .status()
        .with_context(|| format!("cannot start `{}`", command.get_program().to_string_lossy()))?;
    if !status.success() {
        bail!("`{shown}` failed: {status}");
    }
    say(&format!("  ({:.1} s)", began.elapsed().as_secs_f64()));
    Ok(())
}

fn shown(command: &Command) -> String {
    let environment = command.get_envs().filter_map(|(name, value)| {
        Some(format!("{}='{}'", name.to_string_lossy(), value?.to_string_lossy()))
    });
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words = words.map(|word| word.to_string_lossy().into_owned());
    environment.chain(words).collect::<Vec<_>>().join(" ")
}
