//! What a sweep costs that has 100 runs to see to: beside nothing else, and beside a million runs that wait.
//!
//! The real engine on SQLite, with an ECS that answers at once, so that what is measured is the records. Half of the million
//! have a date that has not come, half are in the queue of a limit. Both files are swept in turns, so that whatever else the
//! machine does falls on both. What the same costs in DynamoDB is counted in units: docs/data-model.md.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use taskferry_core::{
    event::Event,
    launch::{self, Answer, Gate, TaskDefinition},
    lifecycle::{self, Stack},
    plan::plan,
    rules::{self, Rules},
    run::Run,
    track::TaskState,
};
use taskferry_engine::{
    Engine,
    ports::{self, Clock, Runs as _, Tasks},
};
use taskferry_local::runs::SqliteRuns;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::{
    figures::{Figure, Pass},
    world::{World, unasked},
};

const RULES: &str = "
name: bench
rules:
  - name: order
    on: { eventPattern: { source: [shop] } }
    dedupe: '{{ detail.order }}'
    target:
      taskDefinition: order
      overrides: { containerOverrides: [ { name: app, command: ['{{ detail.order }}'] } ] }
";

/// How many runs are due.
const DUE: usize = 100;

/// How many others wait.
const WAITING: u32 = 1_000_000;

/// How often each file is swept in a pass.
const ROUNDS: usize = 7;

/// How much more a sweep beside the million may cost.
const RATIO_MAX: f64 = 1.25;

/// Made once: the million takes longer to write than all sweeps.
static MILLION: OnceLock<Swept> = OnceLock::new();

pub(crate) fn measure() -> anyhow::Result<Pass> {
    let runtime = Builder::new_current_thread().enable_time().build()?;
    let rules = rules::check(RULES).rules.context("the rules are refused")?;
    if MILLION.get().is_none() {
        let million = Swept::new(&rules)?;
        million.add_waiting()?;
        // Two passes at a time there are not.
        let _first = MILLION.set(million);
    }
    let million = MILLION.get().context("the million was made")?;
    let mut times: [Vec<f64>; 2] = Default::default();
    for round in 0..ROUNDS {
        // Anew each time, so that it has these runs alone.
        let few = Swept::new(&rules)?;
        let both = [(&few, 0), (million, 1)];
        // Each goes first as often as second.
        let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
        for (swept, index) in order.map(|index| both[index]) {
            let took = swept.sweep(&runtime, &rules)?;
            times[index].push(took.as_secs_f64() * 1000.0);
        }
    }
    let [few, million] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    });
    Ok(vec![
        Figure::new("sweep of 100 due runs, beside none", few, "ms"),
        Figure::new("sweep of 100 due runs, beside 1,000,000 that wait", million, "ms"),
        Figure::new("the second by the first", million / few, "x").at_most(RATIO_MAX),
    ])
}

/// Records that are swept.
struct Swept {
    dir: TempDir,
}

impl Swept {
    fn new(rules: &Rules) -> anyhow::Result<Self> {
        let swept = Self { dir: TempDir::new()? };
        // With the schema, and a run to make others of.
        let runtime = Builder::new_current_thread().build()?;
        runtime
            .block_on(swept.open()?.create(&waiting(rules, "template", far())?, &event("0")?))?;
        Ok(swept)
    }

    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("runs.db")
    }

    fn open(&self) -> anyhow::Result<SqliteRuns> {
        Ok(SqliteRuns::open(&self.path())?)
    }

    /// A million copies of the first run, each with an id of its own.
    fn add_waiting(&self) -> anyhow::Result<()> {
        let connection = Connection::open(self.path())?;
        // A file of a bench need not survive anything.
        connection.execute_batch(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -524288;",
        )?;
        let copy = "INSERT INTO runs (id, revision, rule, status, event_id, dedupe_key, created_at, due_at, run, event)
             WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?1)
             SELECT printf('%032x', n), revision, rule, status, event_id || n,
                    dedupe_key || n, created_at + n, iif(n % 2, due_at + n, NULL), run, event
             FROM (SELECT * FROM runs LIMIT 1), numbers";
        ensure!(connection.execute(copy, [WAITING])? == usize::try_from(WAITING)?);
        let limit = ("rule/order", "");
        let queue = "INSERT INTO limit_queue (name, key, created_at, run_id)
             SELECT ?1, ?2, created_at, id FROM runs WHERE due_at IS NULL";
        connection.execute(queue, limit)?;
        connection.execute(
            "INSERT INTO limits (name, key, revision, check_at) VALUES (?1, ?2, 1, ?3)",
            params![limit.0, limit.1, far().as_microsecond()],
        )?;
        Ok(())
    }

    /// How long the sweep takes that launches 100 runs that have just come due.
    fn sweep(&self, runtime: &Runtime, rules: &Rules) -> anyhow::Result<Duration> {
        let runs = self.open()?;
        let due_at = Timestamp::now();
        runtime.block_on(async {
            for index in 0..DUE {
                let key = format!("{}-{index}", due_at.as_nanosecond());
                runs.create(&waiting(rules, &key, due_at)?, &event(&key)?).await?;
            }
            anyhow::Ok(())
        })?;
        let world = World { runs: Arc::new(runs), tasks: Willing, clock: WallClock };
        let engine = Engine::new(Arc::new(rules.clone()), world).with_quotas(None);
        let began = Instant::now();
        let until = Timestamp::now() + SignedDuration::from_mins(1);
        let swept = runtime.block_on(engine.sweep(until))?;
        let took = began.elapsed();
        if usize::try_from(swept.runs)? != DUE || swept.failed > 0 {
            bail!("the sweep saw to {swept:?}");
        }
        Ok(took)
    }
}

/// A date that does not come.
fn far() -> Timestamp {
    Timestamp::from_second(4_102_444_800).unwrap_or(Timestamp::MAX)
}

fn event(order: &str) -> anyhow::Result<Event> {
    let event = json!({
        "id": format!("event-{order}"), "source": "shop", "detail-type": "Order", "time": "2026-01-01T00:00:00Z",
        "detail": { "order": order },
    });
    Ok(Event::parse(&event.to_string())?)
}

/// A run that waits until then, as the engine makes it.
fn waiting(rules: &Rules, order: &str, until: Timestamp) -> anyhow::Result<Run> {
    let event = event(order)?;
    let plan = plan(rules, &rules.rules[0], &event);
    let arn = "arn:aws:ecs:us-east-1:000000000000:task-definition/order:1".to_owned();
    let pinned = TaskDefinition { arn, essential: vec!["app".to_owned()], size: None };
    let before = until - SignedDuration::from_secs(1);
    let run = launch::record(&plan, &rules.name, &pinned, Gate::Closed { until }, before);
    Ok(lifecycle::begin(Stack { name: &rules.name, publishes: false }, run, before))
}

/// An ECS that starts whatever it is asked for.
struct Willing;

impl Tasks for Willing {
    async fn run(&self, request: &str) -> Answer {
        let request: Value = serde_json::from_str(request).unwrap_or_default();
        let task = json!({
            "taskArn": request["clientToken"], "startedBy": request["startedBy"], "lastStatus": "PROVISIONING",
        });
        match serde_json::from_value::<TaskState>(task) {
            Ok(task) => Answer::Tasks { tasks: vec![task], failures: Vec::new() },
            Err(error) => Answer::Lost { message: error.to_string() },
        }
    }

    async fn describe_task_definition(&self, _: &str) -> Result<TaskDefinition, ports::Error> {
        Err(unasked("describing a task definition"))
    }

    async fn describe(
        &self,
        _: Option<&str>,
        _: &[String],
    ) -> Result<Vec<TaskState>, ports::Error> {
        Err(unasked("describing tasks"))
    }

    async fn list_started_by(&self, _: Option<&str>, _: &str) -> Result<Vec<String>, ports::Error> {
        Err(unasked("listing tasks"))
    }

    async fn stop(&self, _: Option<&str>, _: &str, _: &str) -> Result<(), ports::Error> {
        Err(unasked("stopping a task"))
    }
}

/// The machine's clock, which nobody waits by.
struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn sleep_until(&self, _: Timestamp) {}
}
