//! What was promised, held against the records, the local ECS and the marks of the tasks themselves.
//!
//! Reads the two databases as they stand after the end; nothing in here asks the program that is being judged.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::Path,
};

use anyhow::Context as _;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use crate::{
    load::Sent,
    task::{FAULTS, MARKS},
};

/// How many faults of a kind are shown.
const SHOWN: usize = 20;

const TERMINAL: &str = "('succeeded', 'failed', 'timedOut', 'cancelled', 'skipped')";

/// What it came to.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    counts: Vec<(String, usize)>,
    /// What must not be.
    pub(crate) faults: Vec<String>,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, count) in &self.counts {
            writeln!(f, "{count:7}  {what}")?;
        }
        for fault in self.faults.iter().take(SHOWN) {
            writeln!(f, "FAULT: {fault}")?;
        }
        match self.faults.len() {
            0 => write!(f, "nothing lost, nothing twice, no limit exceeded"),
            count => write!(f, "{count} faults"),
        }
    }
}

struct Run {
    id: String,
    rule: String,
    status: String,
    key: String,
    record: Value,
}

struct Task {
    id: String,
    run: String,
    attempt: String,
    begin: f64,
    end: f64,
    exit_code: Option<i64>,
}

fn open(db: &Path) -> anyhow::Result<Connection> {
    let connection = Connection::open_with_flags(db, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .with_context(|| format!("cannot open {}", db.display()))?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    Ok(connection)
}

/// What is still under way, in words.
const LEFT: &str = "SELECT rule || ': ' || status || coalesce(', due ' || datetime(due_at / 1000000, 'unixepoch'), '') || ', ' || count(*)
    FROM runs WHERE status NOT IN {} OR json_array_length(run, '$.outbox') > 0 GROUP BY rule, status";

/// Whether nothing is under way.
pub(crate) fn has_drained(state: &Path) -> anyhow::Result<bool> {
    // In this order: an invocation leaves a run behind before it goes.
    let invocations: u32 = open(&state.join("aws.db"))?.query_row(
        "SELECT (SELECT count(*) FROM lambda_invocations)
              + (SELECT count(*) FROM ecs_tasks WHERE last_status <> 'STOPPED')",
        [],
        |row| row.get(0),
    )?;
    Ok(invocations == 0 && left(state)?.is_empty())
}

/// What is still under way.
pub(crate) fn left(state: &Path) -> anyhow::Result<String> {
    let runs = open(&state.join("runs.db"))?;
    let mut statement = runs.prepare(&LEFT.replace("{}", TERMINAL))?;
    let lines = statement.query_map([], |row| row.get::<_, String>(0))?;
    Ok(lines.collect::<rusqlite::Result<Vec<_>>>()?.join("\n"))
}

/// Holds what came of it against what was promised.
pub(crate) fn judge(state: &Path, marks: &Path, sent: &[Sent]) -> anyhow::Result<Verdict> {
    let mut verdict = Verdict::default();
    let runs = runs(state)?;
    let tasks = tasks(state)?;
    verdict.events(sent, &runs);
    verdict.chains(&runs);
    verdict.one_task_an_attempt(&tasks, &runs);
    verdict.limits(&tasks, &runs);
    verdict.marks(marks, &tasks)?;
    verdict.nothing_left(state)?;
    Ok(verdict)
}

impl Verdict {
    fn count(&mut self, what: impl Into<String>, count: usize) {
        self.counts.push((what.into(), count));
    }

    /// Each accepted event has one run a rule that came to its end; one without an answer has one or none.
    fn events(&mut self, sent: &[Sent], runs: &[Run]) {
        let accepted = sent.iter().filter(|sent| sent.is_accepted).count();
        self.count("events accepted", accepted);
        self.count("events that nobody answered", sent.len() - accepted);
        let mut by_event: BTreeMap<(&str, &str), Vec<&Run>> = BTreeMap::new();
        for run in runs.iter().filter(|run| run.rule != "after") {
            by_event.entry((&run.rule, &run.key)).or_default().push(run);
        }
        for Sent { kind, key, is_accepted } in sent {
            for rule in kind.rules() {
                let answers = by_event.remove(&(rule, key)).unwrap_or_default().len();
                if answers > 1 || (*is_accepted && answers == 0) {
                    self.faults.push(format!("{answers} runs of {rule} for {key} ({kind:?})"));
                }
            }
        }
        let strangers = by_event
            .into_keys()
            .map(|(rule, key)| format!("{rule} answers {key}, which was not sent"));
        self.faults.extend(strangers);
        let mut by_status: BTreeMap<String, usize> = BTreeMap::new();
        for run in runs {
            *by_status.entry(format!("runs of {} {}", run.rule, run.status)).or_default() += 1;
            let may_be: &[&str] = match run.rule.as_str() {
                "skipping" => &["succeeded", "skipped"],
                "replacing" => &["succeeded", "cancelled", "skipped"],
                _ => &["succeeded"],
            };
            if !may_be.contains(&run.status.as_str()) {
                let reason = &run.record["reason"];
                self.faults
                    .push(format!("run {} of {} is {}: {reason}", run.id, run.rule, run.status));
            }
        }
        self.count("runs", runs.len());
        self.counts.extend(by_status);
    }

    /// Each run of `plain` has one of `after` that follows it.
    fn chains(&mut self, runs: &[Run]) {
        let mut followers: BTreeMap<&str, usize> = BTreeMap::new();
        for run in runs.iter().filter(|run| run.rule == "after") {
            *followers.entry(&run.key).or_default() += 1;
        }
        for run in runs.iter().filter(|run| run.rule == "plain") {
            let count = followers.remove(run.id.as_str()).unwrap_or_default();
            if count != 1 {
                self.faults.push(format!("{count} runs follow run {}", run.id));
            }
        }
        self.faults
            .extend(followers.into_keys().map(|run| format!("one follows {run}, which is no run")));
    }

    /// No attempt has two tasks, no run has two at a time, and no task is without a run.
    fn one_task_an_attempt(&mut self, tasks: &[Task], runs: &[Run]) {
        self.count("tasks", tasks.len());
        let known: BTreeSet<&str> = runs.iter().map(|run| run.id.as_str()).collect();
        let mut attempts = BTreeSet::new();
        let mut by_run: BTreeMap<&str, Vec<&Task>> = BTreeMap::new();
        for task in tasks {
            if !known.contains(task.run.as_str()) {
                self.faults.push(format!("task {} belongs to no run", task.id));
            }
            if !attempts.insert((&task.run, &task.attempt)) {
                self.faults
                    .push(format!("attempt {} of run {} has two tasks", task.attempt, task.run));
            }
            by_run.entry(&task.run).or_default().push(task);
        }
        for (run, tasks) in by_run {
            if at_once(&tasks) > 1 {
                self.faults.push(format!("run {run} had two live tasks"));
            }
        }
    }

    /// No limit had more live tasks than slots.
    fn limits(&mut self, tasks: &[Task], runs: &[Run]) {
        let mut by_run: BTreeMap<&str, Vec<&Task>> = BTreeMap::new();
        for task in tasks {
            by_run.entry(&task.run).or_default().push(task);
        }
        let mut limits: BTreeMap<(String, u64), Vec<&Task>> = BTreeMap::new();
        for run in runs {
            for slot in run.record["slots"].as_array().into_iter().flatten() {
                let limit = (slot["limit"].to_string(), slot["of"].as_u64().unwrap_or_default());
                let of_run = by_run.get(run.id.as_str()).into_iter().flatten();
                limits.entry(limit).or_default().extend(of_run);
            }
        }
        for ((limit, of), tasks) in limits {
            let most = at_once(&tasks);
            self.count(format!("at once of the {of} of {limit}"), most);
            if most as u64 > of {
                self.faults.push(format!("{most} live tasks of {limit}, which has {of}"));
            }
        }
    }

    /// What the tasks themselves saw.
    fn marks(&mut self, dir: &Path, tasks: &[Task]) -> anyhow::Result<()> {
        let marks = fs::read_to_string(dir.join(MARKS)).context("no task has left a mark")?;
        // There is none unless a task had something to say.
        let faults = fs::read_to_string(dir.join(FAULTS)).unwrap_or_default();
        self.faults.extend(faults.lines().map(|line| format!("seen by a task: {line}")));
        let of = |kind: &str| -> BTreeSet<&str> {
            let lines = marks.lines().filter(|line| line.split(' ').next() == Some(kind));
            lines.filter_map(|line| line.split(' ').nth(3)).collect()
        };
        let (begun, ended) = (of("begin"), of("end"));
        self.count("processes of tasks that began", begun.len());
        self.count("processes of tasks that came to their end", ended.len());
        let known: BTreeSet<&str> = tasks.iter().map(|task| task.id.as_str()).collect();
        let strangers =
            begun.difference(&known).map(|task| format!("ECS knows nothing of task {task}"));
        self.faults.extend(strangers);
        let silent = tasks.iter().filter(|task| task.exit_code == Some(0));
        let silent = silent.filter(|task| !ended.contains(task.id.as_str()));
        self.faults
            .extend(silent.map(|task| format!("task {} exited with 0 before its end", task.id)));
        Ok(())
    }

    /// No slot is held, nothing waits, and no invocation was given up.
    fn nothing_left(&mut self, state: &Path) -> anyhow::Result<()> {
        let counts = [
            ("runs.db", "holders of limits", "SELECT count(*) FROM limit_holders"),
            ("runs.db", "places in queues", "SELECT count(*) FROM limit_queue"),
            ("runs.db", "dates of runs", "SELECT count(*) FROM runs WHERE due_at IS NOT NULL"),
            (
                "aws.db",
                "invocations that were given up",
                "SELECT count(*) FROM lambda_failed_invocations",
            ),
        ];
        for (db, what, query) in counts {
            let count: u32 = open(&state.join(db))?.query_row(query, [], |row| row.get(0))?;
            if count > 0 {
                self.faults.push(format!("{count} {what} are left"));
            }
        }
        Ok(())
    }
}

/// How many tasks lived at one time, at the most.
fn at_once(tasks: &[&Task]) -> usize {
    let mut changes: Vec<(f64, bool)> =
        tasks.iter().flat_map(|task| [(task.begin, true), (task.end, false)]).collect();
    // At one moment, who ends goes first: the next is begun when the last has ended, within the same millisecond at best.
    changes.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let (mut alive, mut most) = (0_usize, 0);
    for (_, begins) in changes {
        alive = if begins { alive + 1 } else { alive.saturating_sub(1) };
        most = most.max(alive);
    }
    most
}

fn runs(state: &Path) -> anyhow::Result<Vec<Run>> {
    let connection = open(&state.join("runs.db"))?;
    let mut statement = connection.prepare("SELECT id, rule, status, run, event FROM runs")?;
    let rows = statement.query_map([], |row| {
        Ok((
            row.get(0)?,
            row.get(1)?,
            row.get(2)?,
            row.get::<_, String>(3)?,
            row.get::<_, String>(4)?,
        ))
    })?;
    let mut runs = Vec::new();
    for row in rows {
        let (id, rule, status, record, event) = row?;
        let event: Value = serde_json::from_str(&event)?;
        let detail = &event["detail"];
        let keys = [&detail["object"]["key"], &detail["key"], &detail["runId"]];
        let key = keys.into_iter().find_map(Value::as_str).context("an event without a key")?;
        let record = serde_json::from_str(&record)?;
        runs.push(Run { id, rule, status, key: key.to_owned(), record });
    }
    Ok(runs)
}

fn tasks(state: &Path) -> anyhow::Result<Vec<Task>> {
    let connection = open(&state.join("aws.db"))?;
    let mut statement = connection.prepare("SELECT id, started_by, task FROM ecs_tasks")?;
    let rows = statement.query_map([], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))
    })?;
    let mut tasks = Vec::new();
    for row in rows {
        let (id, started_by, task) = row?;
        let task: Value = serde_json::from_str(&task)?;
        let mut names = started_by.split('/').skip(1).map(str::to_owned);
        let (run, attempt) = names.next().zip(names.next()).context("a task of nobody's")?;
        let begin = task["createdAt"].as_f64().context("a task without its beginning")?;
        let end = task["stoppedAt"].as_f64().context("a task without an end")?;
        let exit_code = task["containers"][0]["exitCode"].as_i64();
        tasks.push(Task { id, run, attempt, begin, end, exit_code });
    }
    Ok(tasks)
}
