//! A world for messages: real records, an ECS and queues that do as they are told, and a clock that goes when it is told to.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use taskferry_core::{
    event::{Event, sqs},
    launch::{Answer, TaskDefinition},
    rules,
    run::Run,
    track::TaskState,
};
use taskferry_engine::{
    Engine,
    ports::{self, Clock as _, Queues, RunQuery, Runs as _, Tasks},
};
use taskferry_local::runs::SqliteRuns;

use crate::process::{Hand, Process, Records};

const RULES: &str = r#"
name: shop
rules:
  - name: order
    on: { sqs: { queue: orders } }
    target: { taskDefinition: "{{ detail.body.task }}", overrides: { containerOverrides: [{ name: app, command: ["{{ detail.body.n }}"] }] } }
    allow: { taskDefinition: [order, away] }
  - name: in-order
    on: { sqs: { queue: steps.fifo } }
    target: { taskDefinition: "{{ detail.body.task }}" }
    allow: { taskDefinition: [order, away] }
  - name: held
    on: { sqs: { queue: jobs, ack: completion } }
    target: { taskDefinition: order }
  - name: held-too
    on: { sqs: { queue: jobs, ack: completion, eventPattern: { body: { both: [true] } } } }
    target: { taskDefinition: "{{ detail.body.task }}" }
    allow: { taskDefinition: [order, away] }
  - name: held-once
    on: { sqs: { queue: repeated, ack: completion } }
    dedupe: "{{ detail.body.job }}"
    target: { taskDefinition: order }
  - name: held-by-each
    on: { sqs: { queue: shared, ack: completion } }
    target: { taskDefinition: order }
  - name: held-by-one
    on: { sqs: { queue: shared, ack: completion } }
    dedupe: "{{ detail.body.job }}"
    target: { taskDefinition: order }
  - name: held-in-order
    on: { sqs: { queue: held.fifo, ack: completion } }
    target: { taskDefinition: order }
  - name: uploaded
    on: { s3: { bucket: uploads }, sqs: { queue: uploads } }
    target: { taskDefinition: order, overrides: { containerOverrides: [{ name: app, command: ["{{ detail.object.key }}"] }] } }
  - name: uploaded-directly
    on: { s3: { bucket: uploads } }
    target: { taskDefinition: order }
"#;

/// What ECS and SQS were told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Each request of `RunTask`.
    pub(crate) requests: Vec<Value>,
    /// The deliveries that were extended, and for how many seconds.
    pub(crate) extended: Vec<(String, u64)>,
    /// The deliveries whose messages were deleted.
    pub(crate) deleted: Vec<String>,
    /// Whether SQS answers.
    pub(crate) sqs_is_away: bool,
    /// The deliveries that are over.
    pub(crate) over: Vec<String>,
    /// The clock that goes on by ten seconds with each task, if one does.
    pub(crate) slow: Option<Hand>,
    /// The clock that goes on by eight minutes with each extension, if one does.
    pub(crate) frozen: Option<Hand>,
}

#[derive(Clone, Debug)]
pub(crate) struct Aws(Arc<Mutex<Told>>);

impl Tasks for Aws {
    async fn run(&self, request: &str) -> Answer {
        let request: Value = serde_json::from_str(request).unwrap();
        let started_by = request["startedBy"].as_str().unwrap();
        let task = json!({
            "taskArn": format!("task of {started_by}"), "startedBy": started_by,
            "lastStatus": "PROVISIONING", "desiredStatus": "RUNNING", "version": 1,
        });
        let mut told = self.0.lock().unwrap();
        told.requests.push(request);
        if let Some(Hand(clock)) = &told.slow {
            *clock.lock().unwrap() += SignedDuration::from_secs(10);
        }
        Answer::Tasks { tasks: vec![serde_json::from_value(task).unwrap()], failures: Vec::new() }
    }

    async fn describe_task_definition(&self, named: &str) -> Result<TaskDefinition, ports::Error> {
        if named == "away" {
            return Err(unavailable());
        }
        let essential = vec!["app".to_owned()];
        Ok(TaskDefinition { arn: format!("{named}:7"), essential, size: None })
    }

    async fn describe(
        &self,
        _: Option<&str>,
        task_arns: &[String],
    ) -> Result<Vec<TaskState>, ports::Error> {
        let task = |arn: &String| {
            let started_by = arn.trim_start_matches("task of ");
            let task = json!({
                "taskArn": arn, "startedBy": started_by, "lastStatus": "RUNNING", "desiredStatus": "RUNNING", "version": 2,
            });
            serde_json::from_value(task).unwrap()
        };
        Ok(task_arns.iter().map(task).collect())
    }

    async fn list_started_by(&self, _: Option<&str>, _: &str) -> Result<Vec<String>, ports::Error> {
        Ok(Vec::new())
    }

    async fn stop(&self, _: Option<&str>, _: &str, _: &str) -> Result<(), ports::Error> {
        Ok(())
    }
}

fn unavailable() -> ports::Error {
    ports::Error::Unavailable { what: "the call", source: "it is away".into() }
}

impl Queues for Aws {
    async fn extend(&self, arn: &str, receipt: &str, seconds: u64) -> Result<(), ports::Error> {
        assert!(arn.starts_with("arn:aws:sqs:"), "{arn}");
        let mut told = self.0.lock().unwrap();
        if told.sqs_is_away {
            return Err(unavailable());
        }
        if told.over.iter().any(|over| over == receipt) {
            return Err(ports::Error::Refused { what: "extend", source: "not in flight".into() });
        }
        told.extended.push((receipt.to_owned(), seconds));
        if let Some(Hand(clock)) = &told.frozen {
            *clock.lock().unwrap() += SignedDuration::from_mins(8);
        }
        Ok(())
    }

    async fn delete(&self, _: &str, receipt: &str) -> Result<(), ports::Error> {
        let mut told = self.0.lock().unwrap();
        if told.sqs_is_away {
            return Err(unavailable());
        }
        told.deleted.push(receipt.to_owned());
        Ok(())
    }
}

pub(crate) struct World {
    records: Records,
    aws: Aws,
    pub(crate) clock: Hand,
}

impl World {
    pub(crate) fn new() -> Self {
        let records = Records::new();
        let clock = records.clock.clone();
        Self { records, aws: Aws(Arc::default()), clock }
    }

    pub(crate) fn told<T>(&self, ask: impl FnOnce(&mut Told) -> T) -> T {
        ask(&mut self.aws.0.lock().unwrap())
    }

    /// How many tasks were started: a request that is sent again under its token starts none.
    pub(crate) fn tasks(&self) -> usize {
        let token = |request: &Value| request["clientToken"].to_string();
        let tokens: BTreeSet<_> = self.told(|told| told.requests.iter().map(token).collect());
        tokens.len()
    }

    pub(crate) fn runs(&self) -> SqliteRuns {
        self.records.open()
    }

    pub(crate) fn engine(&self) -> Engine<Process<Aws, Aws>> {
        let checked = rules::check(RULES);
        let rules = checked.rules.unwrap_or_else(|| panic!("{:?}", checked.faults));
        let process = self.records.process(self.aws.clone(), self.aws.clone());
        Engine::new(Arc::new(rules), process).with_quotas(None)
    }

    /// What the function would answer of the batch.
    pub(crate) async fn receive(&self, batch: &[Value]) -> Vec<String> {
        self.receive_until(batch, self.clock.now() + SignedDuration::from_secs(50)).await
    }

    pub(crate) async fn receive_until(&self, batch: &[Value], until: Timestamp) -> Vec<String> {
        let batch = sqs::normalise(&json!({ "Records": batch }).to_string()).unwrap();
        let kept = self.engine().receive(batch, until).await;
        let mut kept: Vec<String> = kept.iter().map(ToString::to_string).collect();
        kept.sort();
        kept
    }

    pub(crate) async fn list(&self) -> Vec<Run> {
        let mut runs = self.runs().list(&RunQuery::default()).await.unwrap().runs;
        runs.sort_by(|one, other| one.rule.cmp(&other.rule));
        runs
    }

    /// The task of the run ends well.
    pub(crate) async fn succeed(&self, run: &Run) {
        let attempt = run.attempts.len();
        let told = json!({
            "id": "c", "source": "aws.ecs", "detail-type": "ECS Task State Change", "time": "2026-01-01T00:00:00Z",
            "detail": {
                "taskArn": format!("task of shop/{}/{attempt}", run.id), "startedBy": format!("shop/{}/{attempt}", run.id),
                "lastStatus": "STOPPED", "desiredStatus": "STOPPED", "version": 9,
                "stopCode": "EssentialContainerExited", "containers": [{ "name": "app", "exitCode": 0 }],
            },
        });
        self.engine().track(&Event::parse(&told.to_string()).unwrap()).await.unwrap();
    }

    pub(crate) async fn sweep_at(&self, time: Timestamp) {
        self.clock.sleep_until(time).await;
        let swept = self.engine().sweep(time + SignedDuration::from_secs(30)).await.unwrap();
        assert!(!swept.unfinished, "{swept:?}");
    }

    pub(crate) async fn sweep_when_due(&self) {
        let due_at = self.list().await.iter().filter_map(|run| run.due_at).min().unwrap();
        self.sweep_at(due_at).await;
    }
}

pub(crate) fn message(queue: &str, id: &str, group: Option<&str>, body: &str) -> Value {
    let mut message = json!({
        "messageId": id, "receiptHandle": format!("receipt of {id}"), "body": body,
        "attributes": { "SentTimestamp": "1767225600000" }, "messageAttributes": {},
        "eventSource": "aws:sqs", "eventSourceARN": format!("arn:aws:sqs:us-east-1:000000000000:{queue}"),
    });
    if let Some(group) = group {
        message["attributes"]["MessageGroupId"] = json!(group);
    }
    message
}

pub(crate) fn order(id: &str, n: u32, task: &str) -> Value {
    message("orders", id, None, &json!({ "n": n, "task": task }).to_string())
}

pub(crate) fn step(id: &str, group: &str, task: &str) -> Value {
    message("steps.fifo", id, Some(group), &json!({ "task": task }).to_string())
}

pub(crate) fn job(id: &str, both: bool) -> Value {
    message("jobs", id, None, &json!({ "both": both, "task": "order" }).to_string())
}

pub(crate) fn s3(record: &Value) -> String {
    json!({ "Records": [record] }).to_string()
}

pub(crate) fn uploaded(key: &str) -> Value {
    json!({
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "us-east-1", "eventName": "ObjectCreated:Put",
        "eventTime": "2026-01-01T00:00:00.000Z",
        "s3": { "bucket": { "name": "uploads" }, "object": { "key": key, "size": 1, "sequencer": "1" } },
    })
}
