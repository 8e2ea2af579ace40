//! One life of `taskferry dev`, and what stood there when it was killed.

use std::{
    collections::BTreeMap,
    fmt, fs,
    fs::OpenOptions,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use anyhow::{Context as _, bail};
use rusqlite::Connection;
use tempfile::TempDir;

/// A `taskferry dev`, which ends with this at the latest.
pub(crate) struct Dev {
    child: Child,
    stdout: BufReader<ChildStdout>,
    ready: String,
    dir: PathBuf,
    state: PathBuf,
}

impl Dev {
    /// Starts it, and waits for nothing.
    pub(crate) fn spawn(program: &Path, dir: &Path) -> anyhow::Result<Self> {
        let log = OpenOptions::new().create(true).append(true).open(log(dir))?;
        let mut child = Command::new(program)
            .args(["dev", "--port", "0"])
            .current_dir(dir)
            .env("NO_COLOR", "1")
            .env_remove("TASKFERRY_STATE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let stdout = BufReader::new(child.stdout.take().context("it is piped")?);
        let state = dir.join(".taskferry");
        Ok(Self { child, stdout, ready: String::new(), dir: dir.to_owned(), state })
    }

    /// Starts it, and waits until it is ready.
    pub(crate) fn start(program: &Path, dir: &Path) -> anyhow::Result<Self> {
        let mut dev = Self::spawn(program, dir)?;
        dev.stdout.read_line(&mut dev.ready)?;
        dev.endpoint()?;
        Ok(dev)
    }

    /// Where it is, once it is ready.
    pub(crate) fn endpoint(&self) -> anyhow::Result<String> {
        let endpoint = self.ready.split_whitespace().find(|word| word.starts_with("http://"));
        if let Some(endpoint) = endpoint {
            return Ok(endpoint.to_owned());
        }
        let log = fs::read_to_string(log(&self.dir))?;
        let lines: Vec<&str> = log.lines().rev().take(20).collect();
        bail!("taskferry dev did not get ready: {}", lines.join("\n"))
    }

    /// The directory of its state.
    pub(crate) fn state(&self) -> &Path {
        &self.state
    }

    /// `kill -9`; what it leaves is in the directory.
    pub(crate) fn kill(mut self) -> anyhow::Result<PathBuf> {
        if let Some(status) = self.child.try_wait()? {
            bail!("taskferry dev had ended by itself: {status}; see {}", log(&self.dir).display());
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(self.state.clone())
    }

    /// Ends it as a person would.
    pub(crate) fn stop(mut self) -> anyhow::Result<PathBuf> {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-s", "TERM", &pid]).status().context("cannot start kill")?;
        let status = self.child.wait()?;
        if !status.success() {
            bail!("taskferry dev ended with {status}");
        }
        Ok(self.state.clone())
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // It has ended already, unless something failed.
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn log(dir: &Path) -> PathBuf {
    dir.join("dev.log")
}

/// Where kills fell: how many met what.
#[derive(Debug, Default)]
pub(crate) struct Fell {
    kills: u32,
    met: BTreeMap<String, u32>,
}

impl Fell {
    /// Takes in what stood there when it was killed.
    pub(crate) fn note(&mut self, state: &Path, is_starting: bool) -> anyhow::Result<()> {
        self.kills += 1;
        let mut note = |what: String| *self.met.entry(what).or_default() += 1;
        if is_starting {
            note("while it started".to_owned());
        }
        // A copy, so that whoever repairs what the kill has left is the next `dev`, and not this.
        let copy = TempDir::new()?;
        for file in fs::read_dir(state).into_iter().flatten() {
            let file = file?;
            let name = file.file_name();
            if name.to_string_lossy().contains(".db") {
                // Functions that outlive `dev` for a moment may still write: then the copy tells a little less.
                let _copied = fs::copy(file.path(), copy.path().join(&name));
            }
        }
        let met = runs(copy.path()).into_iter().chain(services(copy.path()));
        met.for_each(note);
        Ok(())
    }
}

impl fmt::Display for Fell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} kills, of which fell", self.kills)?;
        for (what, count) in &self.met {
            writeln!(f, "  {count:4}  {what}")?;
        }
        Ok(())
    }
}

/// The statuses in which runs were, but for the last ones.
fn runs(copy: &Path) -> Vec<String> {
    let statuses = "SELECT DISTINCT CASE WHEN run ->> '$.queue' IS NOT NULL THEN 'with runs in the queue of a limit'
            WHEN due_at IS NOT NULL AND status IN ('succeeded', 'failed', 'cancelled', 'skipped')
            THEN 'with ends that were not told yet' ELSE 'with runs that were ' || status END
         FROM runs WHERE status NOT IN ('succeeded', 'failed', 'cancelled', 'skipped') OR due_at IS NOT NULL";
    words(&copy.join("runs.db"), statuses)
}

/// What the services had under way.
fn services(copy: &Path) -> Vec<String> {
    let tasks = "SELECT DISTINCT 'with tasks ' || last_status FROM ecs_tasks WHERE last_status <> 'STOPPED'";
    let invocations = "SELECT DISTINCT 'with invocations of ' || function FROM lambda_invocations";
    let db = copy.join("aws.db");
    [words(&db, tasks), words(&db, invocations)].concat()
}

/// What a database answers; nothing if it was torn, or not yet made.
fn words(db: &Path, query: &str) -> Vec<String> {
    let ask = || -> rusqlite::Result<Vec<String>> {
        let connection = Connection::open(db)?;
        let mut statement = connection.prepare(query)?;
        statement.query_map([], |row| row.get(0))?.collect()
    };
    ask().unwrap_or_default()
}
