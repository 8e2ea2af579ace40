//! The way of an object to its task, and to the end of it, through the real program: `taskferry dev` with all that it
//! starts, the function processes among it.
//!
//! Times are told by what the functions log. `launched` is logged when `RunTask` has answered and its answer stands in the
//! run's record, so it is a little later than ECS's accepting; `tracked` with a last status when that status stands there.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    figures::{Figure, Pass},
    http::Client,
    process::{processor_seconds, processor_seconds_of_ended_children},
    times,
};

pub(crate) const RULES: &str = include_str!("../rules/dispatch.yaml");
pub(crate) const BUCKET: &str = "uploads";

/// How many objects are put one after the other, each after the end of the one before, and how many before them.
const SINGLE: usize = 200;
const WARM_UP: usize = 20;

/// How many objects are put as fast as they are taken, over how many connections.
const PROCESSES: usize = 600;
const STUBS: usize = 3000;
const CONNECTIONS: usize = 8;

/// How long nothing may happen before something must be wrong.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// How often the log is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

pub(crate) fn measure() -> anyhow::Result<Pass> {
    let mut pass = Pass::new();
    let dev = Dev::start(RULES, &[])?;
    pass.extend(single(&dev)?);
    let before = pass_before(&dev)?;
    pass.extend(flood(dev, "/bin/true as the task", PROCESSES, &before, None)?);
    let dev = Dev::start(RULES, &["--stub-containers"])?;
    let before = pass_before(&dev)?;
    pass.extend(flood(dev, "tasks stubbed out", STUBS, &before, Some(500.0))?);
    Ok(pass)
}

/// One object after the other, on a machine that does nothing else.
fn single(dev: &Dev) -> anyhow::Result<Pass> {
    let mut client = Client::new(&dev.endpoint);
    let mut log = dev.log("task-state-change");
    let mut puts = Vec::with_capacity(WARM_UP + SINGLE);
    let mut ends = Vec::with_capacity(WARM_UP + SINGLE);
    for index in 0..WARM_UP + SINGLE {
        let began = Timestamp::now();
        client.put(BUCKET, &format!("in/single-{index}"), "a small object")?;
        puts.push((began, Timestamp::now()));
        ends.push(log.wait_for(1, |line| line.ends_run().then_some(line.at))?[0]);
    }
    let accepted = |line: &Line| (line.message == "launched").then_some(line.at);
    let acceptances = dev.log("s3").wait_for(WARM_UP + SINGLE, accepted)?;
    let since = |times: &[Timestamp]| -> Vec<f64> {
        let pairs = puts.iter().zip(times).skip(WARM_UP);
        pairs.map(|((began, _), at)| milliseconds(*began, *at)).collect()
    };
    let answers: Vec<Timestamp> = puts.iter().map(|(_, answered)| *answered).collect();
    let mut pass = times("PutObject answered", since(&answers), None)?;
    pass.extend(times("PutObject to RunTask accepted", since(&acceptances), Some(10.0))?);
    pass.extend(times("PutObject to run succeeded", since(&ends), None)?);
    Ok(pass)
}

/// What stood before a flood.
struct Before {
    ended_runs: usize,
    dev_seconds: f64,
    children_seconds: f64,
}

fn pass_before(dev: &Dev) -> anyhow::Result<Before> {
    Ok(Before {
        ended_runs: dev.runs()?.len(),
        dev_seconds: processor_seconds(dev.child.id())?,
        children_seconds: processor_seconds_of_ended_children()?,
    })
}

/// As many objects as are taken, followed until the run of each has ended in the records.
fn flood(
    dev: Dev,
    what: &str,
    count: usize,
    before: &Before,
    goal: Option<f64>,
) -> anyhow::Result<Pass> {
    let mut log = dev.log("task-state-change");
    log.wait_for(before.ended_runs, |line| line.ends_run().then_some(()))?;
    let began = Timestamp::now();
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|turn| {
            let endpoint = dev.endpoint.clone();
            thread::spawn(move || put_every(&endpoint, turn, count))
        })
        .collect();
    let ended = log.wait_for(count, |line| line.ends_run().then_some(line.at));
    for client in clients {
        client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
    }
    let ended = ended?.into_iter().max().context("nothing was put")?;
    let answered = Timestamp::now();
    let seconds = milliseconds(began, ended.min(answered)) / 1e3;

    // The log said so; the records must as well.
    let runs = dev.runs()?;
    let succeeded = runs.iter().filter(|run| run["status"] == "succeeded").count();
    if succeeded != before.ended_runs + count {
        bail!("{succeeded} runs of {} succeeded", before.ended_runs + count);
    }
    let dev_seconds = processor_seconds(dev.child.id())? - before.dev_seconds;
    dev.stop()?;
    let all_seconds = processor_seconds_of_ended_children()? - before.children_seconds;
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let count = count as f64;
    let rate = Figure::new(format!("dispatches to the end, {what}"), count / seconds, "/s");
    let rate = match goal {
        Some(goal) => rate.at_least(goal),
        None => rate,
    };
    let each = |seconds: f64| seconds * 1e3 / count;
    let others = all_seconds - dev_seconds - before.dev_seconds;
    Ok(vec![
        rate,
        Figure::new("  processor time of `dev` for each", each(dev_seconds), "ms"),
        Figure::new("  processor time of functions and tasks for each", each(others), "ms"),
    ])
}

/// Puts every object whose number is this client's turn.
fn put_every(endpoint: &str, turn: usize, count: usize) -> anyhow::Result<()> {
    let mut client = Client::new(endpoint);
    for index in (turn..count).step_by(CONNECTIONS) {
        client.put(BUCKET, &format!("in/flood-{index}"), "a small object")?;
    }
    Ok(())
}

fn milliseconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64() * 1e3
}

/// A `taskferry dev`, which ends with this.
pub(crate) struct Dev {
    child: Child,
    // Held open: whoever prints to a closed pipe ends.
    _stdout: BufReader<ChildStdout>,
    pub(crate) endpoint: String,
    state: PathBuf,
    program: PathBuf,
    dir: TempDir,
}

impl Dev {
    pub(crate) fn start(rules: &str, options: &[&str]) -> anyhow::Result<Self> {
        let dir = TempDir::new()?;
        let state = dir.path().join("state");
        // A folder of its own: dev watches it, and would look up at each line of a log that lay beside the rules.
        let project = dir.path().join("project");
        fs::create_dir(&project)?;
        fs::write(project.join("taskferry.yaml"), rules)?;
        let program = Path::new("target/release/taskferry");
        let program = fs::canonicalize(program)
            .with_context(|| format!("{} is not built", program.display()))?;
        let mut child = Command::new(&program)
            .args(["dev", "--port", "0", "--state"])
            .arg(&state)
            .args(options)
            .current_dir(&project)
            .stdout(Stdio::piped())
            .stderr(File::create(dir.path().join("dev.log"))?)
            .spawn()
            .context("cannot start taskferry dev")?;
        let mut stdout = BufReader::new(child.stdout.take().context("it is piped")?);
        let mut ready = String::new();
        stdout.read_line(&mut ready)?;
        let endpoint = ready.split_whitespace().find(|word| word.starts_with("http://"));
        let endpoint = endpoint.map(str::to_owned);
        let mut dev = Self { child, _stdout: stdout, endpoint: String::new(), state, program, dir };
        let Some(endpoint) = endpoint else {
            let log = fs::read_to_string(dev.dir.path().join("dev.log"))?;
            bail!("taskferry dev is not ready: {log}");
        };
        dev.endpoint = endpoint;
        Ok(dev)
    }

    /// The log of a function, from its beginning.
    pub(crate) fn log(&self, function: &str) -> Log {
        Log { path: self.state.join("logs").join(format!("{function}.log")), reader: None }
    }

    /// The records of all runs.
    pub(crate) fn runs(&self) -> anyhow::Result<Vec<Value>> {
        let output = Command::new(&self.program)
            .args(["runs", "list", "--json", "--limit", "1000000"])
            .env("TASKFERRY_STATE", &self.state)
            .output()?;
        if !output.status.success() {
            bail!("taskferry runs list: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Ends it as a person would.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-s", "TERM", &pid]).status().context("cannot start kill")?;
        let status = self.child.wait()?;
        if !status.success() {
            bail!("taskferry dev ended with {status}");
        }
        Ok(())
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // It has ended already, unless the measurement failed.
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A function's log, read as it grows.
pub(crate) struct Log {
    path: PathBuf,
    reader: Option<BufReader<File>>,
}

/// A line of it, as much as is looked at.
pub(crate) struct Line {
    pub(crate) at: Timestamp,
    message: String,
    rule: Option<String>,
    status: Option<String>,
}

impl Log {
    /// Waits until so many more lines are what is looked for.
    pub(crate) fn wait_for<T>(
        &mut self,
        count: usize,
        wanted: impl Fn(&Line) -> Option<T>,
    ) -> anyhow::Result<Vec<T>> {
        let mut found = Vec::with_capacity(count);
        let mut partial = String::new();
        let mut heard = Instant::now();
        while found.len() < count {
            if self.reader.is_none() {
                self.reader = File::open(&self.path).ok().map(BufReader::new);
            }
            let read = match &mut self.reader {
                Some(reader) => reader.read_line(&mut partial)?,
                None => 0,
            };
            if read > 0 {
                heard = Instant::now();
            }
            if partial.ends_with('\n') {
                if let Some(line) = Line::parse(&partial) {
                    found.extend(wanted(&line));
                }
                partial.clear();
            } else if heard.elapsed() > SILENCE_MAX {
                bail!("{} of {count} lines came to {}", found.len(), self.path.display());
            } else {
                thread::sleep(LOOK_INTERVAL);
            }
        }
        Ok(found)
    }
}

impl Line {
    fn parse(line: &str) -> Option<Self> {
        let line: Value = serde_json::from_str(line).ok()?;
        Some(Self {
            at: line["timestamp"].as_str()?.parse().ok()?,
            message: line["message"].as_str()?.to_owned(),
            rule: line["rule"].as_str().map(str::to_owned),
            status: line["status"].as_str().map(str::to_owned),
        })
    }

    /// Whether it says that a task of this rule was started: its run stands in the records, and `RunTask` has answered.
    pub(crate) fn launches(&self, rule: &str) -> bool {
        self.message == "launched" && self.rule.as_deref() == Some(rule)
    }

    /// Whether it says that a run has ended.
    pub(crate) fn ends_run(&self) -> bool {
        const TERMINAL: [&str; 5] = ["succeeded", "failed", "timedOut", "cancelled", "skipped"];
        let is_terminal = |status| TERMINAL.contains(&status);
        self.message == "tracked" && self.status.as_deref().is_some_and(is_terminal)
    }
}
