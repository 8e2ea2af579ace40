//! The local ECS as a client sees it: requests in JSON, answers, and the steps that tasks take.

mod contract;
mod crash;
mod faults;
mod life;
mod retention;

use std::{path::PathBuf, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    db::Db,
    delivery::{Deliveries, Destination},
    eventbridge::{DEFAULT_EVENT_BUS, EventBridge, Subscription},
    lambda,
    protocol::Exception,
};

use super::{Containers, Ecs, EcsConfig, LocalContainer, faults::Faults};

/// What a test waits for at most; nothing takes that long but a fault.
const PATIENCE: Duration = Duration::from_mins(1);

/// The function that every Task State Change is queued for, and which nobody runs.
const LISTENER: &str = "listener";

/// An ECS with the cluster `c` and what the test registers.
struct Fixture {
    ecs: Arc<Ecs>,
    directory: TempDir,
}

impl Fixture {
    fn new(containers: Containers) -> Self {
        Self::with(containers, Faults::default())
    }

    fn with(containers: Containers, faults: Faults) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let ecs = open_with(directory.path(), containers, Vec::new(), faults);
        let fixture = Self { ecs, directory };
        fixture.ok("CreateCluster", &json!({ "clusterName": "c" }));
        fixture
    }

    fn call(&self, operation: &str, request: &Value) -> Result<Value, Exception> {
        self.ecs.call(operation, request.clone())
    }

    #[track_caller]
    fn ok(&self, operation: &str, request: &Value) -> Value {
        self.call(operation, request)
            .unwrap_or_else(|e| panic!("{operation}: {}: {}", e.name, e.message))
    }

    #[track_caller]
    fn refused(&self, operation: &str, request: &Value) -> Exception {
        match self.call(operation, request) {
            Err(exception) => exception,
            Ok(answer) => panic!("{operation} took {request}: {answer}"),
        }
    }

    /// Registers a definition of one container.
    #[track_caller]
    fn register(&self, family: &str, command: &[&str]) {
        let container = json!({ "name": "app", "image": "i", "memory": 64, "command": command });
        self.register_all(family, &json!([container]));
    }

    #[track_caller]
    fn register_all(&self, family: &str, containers: &Value) {
        let request = json!({ "family": family, "containerDefinitions": containers });
        self.ok("RegisterTaskDefinition", &request);
    }

    /// Runs a task, and answers its ARN.
    #[track_caller]
    fn run(&self, family: &str, overrides: &Value) -> String {
        let request = json!({
            "cluster": "c", "taskDefinition": family, "overrides": { "containerOverrides": overrides }
        });
        let answer = self.ok("RunTask", &request);
        answer["tasks"][0]["taskArn"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    fn describe(&self, arn: &str) -> Value {
        let answer = self.ok("DescribeTasks", &json!({ "cluster": "c", "tasks": [arn] }));
        answer["tasks"][0].clone()
    }

    async fn until(&self, arn: &str, status: &str) -> Value {
        let reached = async {
            loop {
                let task = self.describe(arn);
                if task["lastStatus"] == status {
                    return task;
                }
                assert_ne!(task["lastStatus"], "STOPPED", "{task:#}");
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, reached)
            .await
            .unwrap_or_else(|_| panic!("{:#}", self.describe(arn)))
    }

    async fn until_stopped(&self, arn: &str) -> Value {
        self.until(arn, "STOPPED").await
    }

    /// The steps of a task, as they were published.
    fn steps(&self, arn: &str) -> Vec<Value> {
        let events = self.ecs.db.read(|connection| {
            connection
                .prepare("SELECT payload FROM lambda_invocations WHERE function = ?1 ORDER BY id")?
                .query_map([LISTENER], |row| row.get::<_, String>(0))?
                .collect::<rusqlite::Result<Vec<_>>>()
        });
        let events = events.unwrap().into_iter();
        let steps = events.map(|event| {
            let mut event: Value = serde_json::from_str(&event).unwrap();
            event["detail"].take()
        });
        steps.filter(|step: &Value| step["taskArn"] == arn).collect()
    }

    fn sql(&self, sql: &str) {
        self.ecs.db.write(|tx| tx.execute_batch(sql)).unwrap();
    }

    /// What a container wrote to its standard output.
    fn stdout(&self, arn: &str, container: &str) -> String {
        let path = self.task_directory(arn).join(format!("{container}.stdout.log"));
        std::fs::read_to_string(path).unwrap()
    }

    /// Where a task works.
    fn task_directory(&self, arn: &str) -> PathBuf {
        self.directory.path().join("tasks").join(arn.rsplit('/').next().unwrap())
    }
}

fn open(
    directory: &std::path::Path,
    containers: Containers,
    reaper: Vec<std::ffi::OsString>,
) -> Arc<Ecs> {
    open_with(directory, containers, reaper, Faults::default())
}

fn open_with(
    directory: &std::path::Path,
    containers: Containers,
    reaper: Vec<std::ffi::OsString>,
    faults: Faults,
) -> Arc<Ecs> {
    let schemas = [super::SCHEMA, lambda::SCHEMA];
    let db = Arc::new(Db::open(&directory.join("state.sqlite"), &schemas).unwrap());
    let eventbridge = Arc::new(EventBridge::new(Deliveries::default()));
    eventbridge.subscribe(vec![Subscription {
        name: LISTENER.to_owned(),
        event_bus: DEFAULT_EVENT_BUS.to_owned(),
        event_pattern: r#"{ "source": ["aws.ecs"] }"#.parse().unwrap(),
        destination: Destination::Function(LISTENER.to_owned()),
    }]);
    let config = EcsConfig {
        tasks_dir: directory.join("tasks"),
        endpoint_url: "http://127.0.0.1:4566".to_owned(),
        reaper,
        containers,
        faults,
    };
    Ecs::open(db, eventbridge, config).unwrap()
}
