//! An account's ECS, as far as a burst meets it: its token bucket, its launches, and tasks that run and end well.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use taskferry_core::{
    failure::FailureClass,
    launch::{Answer, TaskDefinition},
    rules::Quota,
    track::TaskState,
};
use taskferry_engine::ports::{Clock as _, Error, Tasks};

use super::time::SimulatedTime;

/// How long a request is on its way, and the same again its answer.
const WAY: SignedDuration = SignedDuration::from_millis(75);

/// When a task runs, and when it has ended.
const RUNS_AFTER: SignedDuration = SignedDuration::from_secs(20);
const ENDS_AFTER: SignedDuration = SignedDuration::from_secs(50);

/// The account.
#[derive(Debug)]
pub(crate) struct Account {
    quota: Quota,
    time: SimulatedTime,
    books: Mutex<Books>,
}

#[derive(Debug)]
struct Books {
    tokens: f64,
    filled_at: Timestamp,
    launched: usize,
    launched_last: Timestamp,
    throttled: usize,
    ended: usize,
    starting: VecDeque<Task>,
    running: VecDeque<Task>,
}

/// A task that was started.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) arn: String,
    pub(crate) started_by: String,
    pub(crate) runs_at: Timestamp,
    ends_at: Timestamp,
}

/// What is told of one.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) task: Task,
    pub(crate) at: Timestamp,
    pub(crate) version: u32,
    pub(crate) has_stopped: bool,
}

impl Account {
    pub(crate) fn new(quota: Quota, time: SimulatedTime) -> Self {
        let now = time.now();
        let books = Books {
            tokens: f64::from(quota.burst.get()),
            filled_at: now,
            launched: 0,
            launched_last: now,
            throttled: 0,
            ended: 0,
            starting: VecDeque::new(),
            running: VecDeque::new(),
        };
        Self { quota, time, books: Mutex::new(books) }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the tasks have to tell by now, in order.
    pub(crate) fn told(&self) -> Vec<Told> {
        let now = self.time.now();
        let mut books = self.books();
        let mut told = Vec::new();
        while let Some(task) = books.starting.pop_front_if(|task| task.runs_at <= now) {
            books.running.push_back(task.clone());
            told.push(Told { at: task.runs_at, task, version: 3, has_stopped: false });
        }
        while let Some(task) = books.running.pop_front_if(|task| task.ends_at <= now) {
            books.ended += 1;
            told.push(Told { at: task.ends_at, task, version: 6, has_stopped: true });
        }
        told
    }

    /// How many tasks have ended.
    pub(crate) fn ended(&self) -> usize {
        self.books().ended
    }

    /// How many launches were throttled.
    pub(crate) fn throttled(&self) -> usize {
        self.books().throttled
    }

    /// When the last launch was taken.
    pub(crate) fn launched_last(&self) -> Timestamp {
        self.books().launched_last
    }

    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html>: a bucket, refilled each second.
    fn launch(&self, started_by: &str) -> Option<Task> {
        let now = self.time.now();
        let mut books = self.books();
        let passed = now.duration_since(books.filled_at).as_secs_f64();
        let refilled = books.tokens + passed * f64::from(self.quota.rate.get());
        books.tokens = refilled.min(f64::from(self.quota.burst.get()));
        books.filled_at = now;
        if books.tokens < 1.0 {
            books.throttled += 1;
            return None;
        }
        books.tokens -= 1.0;
        books.launched += 1;
        books.launched_last = now;
        let task = Task {
            arn: format!("arn:aws:ecs:us-east-1:000000000000:task/default/{:032x}", books.launched),
            started_by: started_by.to_owned(),
            runs_at: now + RUNS_AFTER,
            ends_at: now + ENDS_AFTER,
        };
        books.starting.push_back(task.clone());
        Some(task)
    }
}

/// Its ECS.
#[derive(Clone, Debug)]
pub(crate) struct Ecs(pub(crate) Arc<Account>);

impl Tasks for Ecs {
    async fn run(&self, request: &str) -> Answer {
        let request: Value = serde_json::from_str(request).unwrap_or_default();
        self.0.time.sleep_until(self.0.time.now() + WAY).await;
        let task = self.0.launch(request["startedBy"].as_str().unwrap_or_default());
        self.0.time.sleep_until(self.0.time.now() + WAY).await;
        match task {
            Some(task) => Answer::Tasks { tasks: vec![state(task)], failures: Vec::new() },
            None => Answer::NotNow {
                class: FailureClass::Throttled,
                message: "ThrottlingException: Rate exceeded".to_owned(),
            },
        }
    }

    async fn describe_task_definition(&self, named: &str) -> Result<TaskDefinition, Error> {
        let arn = format!("arn:aws:ecs:us-east-1:000000000000:task-definition/{named}:1");
        Ok(TaskDefinition { arn, essential: vec!["app".to_owned()], size: None })
    }

    async fn describe(&self, _: Option<&str>, _: &[String]) -> Result<Vec<TaskState>, Error> {
        Err(unexpected("DescribeTasks"))
    }

    async fn list_started_by(&self, _: Option<&str>, _: &str) -> Result<Vec<String>, Error> {
        Err(unexpected("ListTasks"))
    }

    async fn stop(&self, _: Option<&str>, _: &str, _: &str) -> Result<(), Error> {
        Err(unexpected("StopTask"))
    }
}

/// No burst should come to this call; if one does, its figures show.
fn unexpected(what: &'static str) -> Error {
    Error::Unavailable { what, source: "nothing is lost here".into() }
}

fn state(task: Task) -> TaskState {
    TaskState {
        task_arn: task.arn,
        started_by: Some(task.started_by),
        last_status: "PROVISIONING".to_owned(),
        desired_status: Some("RUNNING".to_owned()),
        stop_code: None,
        stopped_reason: None,
        containers: Vec::new(),
        started_at: None,
        stopped_at: None,
        version: Some(1),
    }
}
