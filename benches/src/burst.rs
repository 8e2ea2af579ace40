//! A burst of events against the quota of `RunTask`: the real core and engine and the real records in SQLite, on an ECS
//! that keeps AWS's token bucket, in simulated time.
//!
//! What is measured is how long the last launch takes against the soonest that the quota allows, and whether a launch was
//! throttled or an attempt spent. The records answer at once in this time; `RunTask` and the tasks do not.

mod account;
mod time;

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, ensure};
use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use taskferry_core::{
    event::Event,
    pace::{Bucket, Quotas},
    route::Origin,
    rules::{self, Quota, Rules},
    run::Status,
};
use taskferry_engine::{
    Engine,
    ports::{Clock as _, RunQuery, Runs as _},
};
use taskferry_local::runs::SqliteRuns;
use tempfile::TempDir;

use self::{
    account::{Account, Ecs, Told},
    time::SimulatedTime,
};
use crate::{
    figures::{Figure, Pass},
    world::World,
};

const RULES: &str = "
name: burst
rules:
  - name: each
    on: { eventPattern: { source: [burst] } }
    target: { taskDefinition: each }
";

/// How many events come.
const EVENTS: u32 = 10_000;

/// How long a function has for one.
const FUNCTION_TIMEOUT: SignedDuration = SignedDuration::from_secs(60);

/// What is left of it when it begins to see to no other run.
const MARGIN: SignedDuration = SignedDuration::from_secs(10);

/// How often it is looked whether there is something to tell of tasks.
const TELL: SignedDuration = SignedDuration::from_millis(100);

/// Who sweeps, and what the first sweep finds.
#[derive(Clone, Copy)]
struct Sweeps {
    what: &'static str,
    sweepers: i32,
    /// One of them begins so often, unless its last one has not ended.
    every: SignedDuration,
    /// So long a sweep begins something new.
    lasts: SignedDuration,
}

/// As `taskferry dev` has it; and as a schedule has it on AWS, with a function of two minutes. The burst comes right after a
/// sweep has begun, which is the worst time for it.
const SWEEPS: [Sweeps; 2] = [
    Sweeps {
        what: "swept each second",
        sweepers: 1,
        every: SignedDuration::from_secs(1),
        lasts: SignedDuration::from_secs(50),
    },
    Sweeps {
        what: "swept each minute",
        sweepers: 2,
        every: SignedDuration::from_secs(60),
        lasts: SignedDuration::from_secs(110),
    },
];

pub(crate) fn measure() -> anyhow::Result<Pass> {
    let mut pass = Pass::new();
    for sweeps in SWEEPS {
        pass.extend(Burst::new()?.drain(sweeps)?);
    }
    Ok(pass)
}

/// The ports of every process.
type Simulated = World<Ecs, SimulatedTime>;

struct Burst {
    rules: Arc<Rules>,
    world: Simulated,
    began: Timestamp,
    /// Processes of the function that wait for their next event.
    idle: Mutex<Vec<Engine<Simulated>>>,
    // Where the records are.
    _dir: TempDir,
}

impl Burst {
    fn new() -> anyhow::Result<Self> {
        let dir = TempDir::new()?;
        let rules = Arc::new(rules::check(RULES).rules.context("the rules are refused")?);
        let time = SimulatedTime::default();
        let ecs = Ecs(Arc::new(Account::new(quota(), time.clone())));
        let runs = Arc::new(SqliteRuns::open(&dir.path().join("runs.db"))?);
        let began = time.now();
        let world = World { runs, tasks: ecs, clock: time };
        Ok(Self { rules, world, began, idle: Mutex::default(), _dir: dir })
    }

    /// Has the burst come, and waits until the last task has ended.
    fn drain(&self, sweeps: Sweeps) -> anyhow::Result<Pass> {
        let mut all: FuturesUnordered<BoxFuture<'_, anyhow::Result<()>>> = FuturesUnordered::new();
        for number in 0..EVENTS {
            all.push(Box::pin(self.take(number)));
        }
        for sweeper in 1..=sweeps.sweepers {
            all.push(Box::pin(self.sweep(sweeps, self.began + sweeps.every * sweeper)));
        }
        all.push(Box::pin(self.tell()));
        self.world.clock.run(async move {
            while let Some(done) = all.next().await {
                done?;
            }
            anyhow::Ok(())
        })?;
        self.figures(sweeps.what)
    }

    /// A process of its own.
    fn engine(&self) -> Engine<Simulated> {
        Engine::new(Arc::clone(&self.rules), self.world.clone())
    }

    /// An event comes, one each millisecond, to a process that has nothing to do; if there is none, Lambda starts one.
    async fn take(&self, number: u32) -> anyhow::Result<()> {
        let time = &self.world.clock;
        time.sleep_until(self.began + SignedDuration::from_millis(i64::from(number))).await;
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let engine = idle.unwrap_or_else(|| self.engine());
        let deadline = time.now() + FUNCTION_TIMEOUT;
        engine.dispatch(Origin::EventBridge, &event(number)?).await?;
        engine.catch_up(deadline - MARGIN).await;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(engine);
        Ok(())
    }

    async fn sweep(&self, sweeps: Sweeps, first: Timestamp) -> anyhow::Result<()> {
        let engine = self.engine();
        let mut at = first;
        while !self.is_over() {
            self.world.clock.sleep_until(at).await;
            let now = self.world.clock.now();
            engine.sweep(now + sweeps.lasts).await?;
            while at <= self.world.clock.now() {
                at += sweeps.every * sweeps.sweepers;
            }
        }
        Ok(())
    }

    /// Has the tasks tell of themselves.
    async fn tell(&self) -> anyhow::Result<()> {
        let engine = self.engine();
        while !self.is_over() {
            for told in self.world.tasks.0.told() {
                engine.track(&task_event(&told)?).await?;
            }
            self.world.clock.sleep_until(self.world.clock.now() + TELL).await;
        }
        Ok(())
    }

    /// Whether every task has ended.
    fn is_over(&self) -> bool {
        self.world.tasks.0.ended() >= EVENTS as usize
    }

    fn figures(&self, what: &str) -> anyhow::Result<Pass> {
        let query = RunQuery { limit: Some(EVENTS + 1), ..RunQuery::default() };
        let runs = self.world.clock.run(self.world.runs.list(&query))?.runs;
        ensure!(runs.len() == EVENTS as usize, "{} runs of {EVENTS}", runs.len());
        let unsucceeded = runs.iter().filter(|run| run.status != Status::Succeeded).count();
        ensure!(unsucceeded == 0, "{unsucceeded} runs have not succeeded");
        let spent: usize = runs.iter().map(|run| run.attempts.len() - 1).sum();
        let quota = quota();
        let bound = f64::from(EVENTS - quota.burst.get()) / f64::from(quota.rate.get());
        let account = &self.world.tasks.0;
        let took = account.launched_last().duration_since(self.began).as_secs_f64();
        let figure = |figure: &str, value, unit| {
            Figure::new(format!("{EVENTS} events, {what}: {figure}"), value, unit)
        };
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let count = |count: usize| count as f64;
        Ok(vec![
            figure("to the last launch", took, "s"),
            figure("times the soonest that the quota allows", took / bound, "").at_most(1.02),
            figure("launches throttled", count(account.throttled()), ""),
            figure("attempts spent", count(spent), "").at_most(0.0),
        ])
    }
}

/// What an account that nobody asked to raise it allows.
fn quota() -> Quota {
    Quotas::default().of(Bucket::Fargate)
}

fn event(number: u32) -> anyhow::Result<Event> {
    let event = json!({
        "id": format!("e{number}"), "source": "burst", "detail-type": "Each",
        "time": "2026-01-01T00:00:00Z", "detail": { "number": number }
    });
    Ok(Event::parse(&event.to_string())?)
}

/// What ECS tells of a task.
fn task_event(told: &Told) -> anyhow::Result<Event> {
    let Told { task, at, version, has_stopped } = told;
    let exit_code = has_stopped.then_some(0);
    let event = json!({
        "id": format!("{}/{version}", task.arn), "source": "aws.ecs", "detail-type": "ECS Task State Change",
        "time": at.to_string(),
        "detail": {
            "taskArn": task.arn, "startedBy": task.started_by, "version": version,
            "lastStatus": if *has_stopped { "STOPPED" } else { "RUNNING" },
            "desiredStatus": if *has_stopped { "STOPPED" } else { "RUNNING" },
            "stopCode": has_stopped.then_some("EssentialContainerExited"),
            "startedAt": task.runs_at.to_string(),
            "stoppedAt": has_stopped.then(|| at.to_string()),
            "containers": [{ "name": "app", "exitCode": exit_code }],
        }
    });
    Ok(Event::parse(&event.to_string())?)
}
