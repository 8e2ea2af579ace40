//! Independent clients: boto3 and the AWS CLI, which we did not write, against `taskferry dev`.
//!
//! They are installed into a virtual environment of their own under `target/`, in fixed versions. Without Python 3 this
//! fails: a check that cannot run is no check that passed.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, bail};

use crate::{
    steps::{cargo, root, say, step, target},
    venv::venv,
};

/// What the clients need, each in a fixed version.
const REQUIREMENTS: &str = "tests/clients/requirements.txt";

/// A boto3 that asks SQS by the older protocol, and the checks for it.
const REQUIREMENTS_QUERY: &str = "tests/clients/requirements-query.txt";
const QUERY: &str = "tests/clients/sqs/check_sqs.py";

pub(crate) fn run() -> anyhow::Result<()> {
    step(cargo().args(["build", "--locked", "--workspace", "--bins"]))?;
    let current = venv("clients-venv", REQUIREMENTS)?;
    let older = venv("query-clients-venv", REQUIREMENTS_QUERY)?;
    let dev = Dev::start()?;
    let scripts = scripts()?;
    let scripts = scripts.iter().map(|script| (&current, script.as_path()));
    for (venv, script) in scripts.chain([(&older, Path::new(QUERY))]) {
        step(
            Command::new(venv.join("bin/python"))
                .arg(script)
                .args(["--endpoint-url", &dev.endpoint])
                .env("TASKFERRY", taskferry())
                .env("TASKFERRY_STATE", &dev.state),
        )?;
    }
    dev.stop()
}

fn taskferry() -> PathBuf {
    target().join("debug/taskferry")
}

/// Every `tests/clients/*/check_*.py`, in the order of their names.
fn scripts() -> anyhow::Result<Vec<PathBuf>> {
    let mut scripts = Vec::new();
    for folder in fs::read_dir(root().join("tests/clients"))? {
        let folder = folder?.path();
        if !folder.is_dir() {
            continue;
        }
        for file in fs::read_dir(folder)? {
            let file = file?.path();
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with("check_") && file.extension().is_some_and(|kind| kind == "py") {
                scripts.push(file);
            }
        }
    }
    if scripts.is_empty() {
        bail!("there are no scripts in tests/clients");
    }
    scripts.sort();
    Ok(scripts)
}

/// A `taskferry dev` on a free port and a state directory of its own.
struct Dev {
    child: Child,
    endpoint: String,
    state: PathBuf,
}

impl Dev {
    fn start() -> anyhow::Result<Self> {
        let state = target().join("clients-state");
        if state.exists() {
            fs::remove_dir_all(&state)?;
        }
        fs::create_dir_all(&state)?;
        let mut command = Command::new(taskferry());
        command
            .args(["dev", "--port", "0", "--file", "tests/clients/taskferry.yaml", "--state"])
            .arg(&state)
            .current_dir(root())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(target().join("clients-dev.log"))?);
        let mut child = command.spawn().context("cannot start taskferry dev")?;
        let stdout = child.stdout.take().context("standard output is piped")?;
        let mut ready = String::new();
        BufReader::new(stdout).read_line(&mut ready)?;
        let endpoint = ready.split_whitespace().find(|word| word.starts_with("http://"));
        let Some(endpoint) = endpoint else {
            child.kill()?;
            let log = fs::read_to_string(target().join("clients-dev.log"))?;
            bail!("taskferry dev did not start:\n{log}");
        };
        say(&format!("\ntaskferry dev is at {endpoint}"));
        Ok(Self { endpoint: endpoint.to_owned(), child, state })
    }

    /// Ends it as a person would; it must go by itself, and well.
    fn stop(mut self) -> anyhow::Result<()> {
        let pid = self.child.id().to_string();
        step(Command::new("kill").args(["-INT", &pid]))?;
        let status = self.child.wait()?;
        if !status.success() {
            bail!("taskferry dev ended with {status}; see target/clients-dev.log");
        }
        Ok(())
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // It has ended already, unless a check failed.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
