//! Virtual environments under `target/`: programs that we did not write, in fixed versions.

use std::{fs, path::PathBuf, process::Command};

use crate::steps::{root, step, target};

/// The virtual environment of this name with what the file names, made when that changes.
pub(crate) fn venv(name: &str, requirements: &str) -> anyhow::Result<PathBuf> {
    let venv = target().join(name);
    let wanted = fs::read_to_string(root().join(requirements))?;
    let installed = venv.join("installed.txt");
    if fs::read_to_string(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(venv);
    }
    step(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
    step(
        Command::new(venv.join("bin/python"))
            .args(["-m", "pip", "install", "--quiet", "--requirement"])
            .arg(requirements),
    )?;
    fs::write(installed, wanted)?;
    Ok(venv)
}
