//! What each access costs, counted by a DynamoDB that is not ours, on records as the engine makes them.
//!
//! docs/data-model.md quotes the rows; this holds it to them.

use std::{fmt::Write as _, path::Path};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use taskferry_aws::DynamoRuns;
use taskferry_core::{
    event::Event,
    launch::{self, Gate, TaskDefinition},
    lifecycle::{self, Happening, Stack},
    pace::{self, Bucket, Quotas},
    plan::plan,
    rules::{self, Rules},
    run::{Run, TaskSize},
    track::TaskState,
};
use taskferry_engine::ports::{Created, RunQuery, Runs as _, Updated};

use super::meter::{Consumed, Meter};

const RULES: &str = r#"
name: media
defaults:
  target:
    cluster: batch
    launchType: FARGATE
    networkConfiguration:
      awsvpcConfiguration: { subnets: [subnet-0a1b2c3d4e5f60718, subnet-1a1b2c3d4e5f60718], securityGroups: [sg-0a1b2c3d4e5f60718] }
rules:
  - name: thumbnails
    on: { eventPattern: { source: [aws.s3] } }
    target: &target
      taskDefinition: thumbnailer
      overrides:
        containerOverrides:
          - name: app
            command: [thumbnail, "s3://{{ detail.bucket.name }}/{{ detail.object.key }}"]
    timeout: { start: 15m, run: 1h }
  - name: limited
    on: { eventPattern: { source: [aws.s3] } }
    target: *target
    concurrency: { limit: 5, overlap: queue }
"#;

/// An event of S3's, as EventBridge has it.
fn event(index: u32, padding: &str) -> Event {
    let event = json!({
        "version": "0", "id": format!("17793124-05d4-b198-2fde-7ededc6{index:05}"),
        "detail-type": "Object Created", "source": "aws.s3", "account": "111122223333",
        "time": "2026-01-01T00:00:00Z", "region": "us-east-1",
        "resources": ["arn:aws:s3:::amzn-s3-demo-bucket1"],
        "detail": {
            "version": "0", "bucket": { "name": "amzn-s3-demo-bucket1" },
            "object": {
                "key": format!("incoming/2026/photo-{index:05}.jpg"), "size": 5,
                "etag": "b1946ac92492d2347c6235b4d2611184", "sequencer": "617f08299329d189",
            },
            "request-id": "N4N7GDK58NMKJ12R", "requester": "123456789012",
            "source-ip-address": "1.2.3.4", "reason": "PutObject", "padding": padding,
        },
    });
    Event::parse(&event.to_string()).unwrap()
}

fn begin() -> Timestamp {
    "2026-01-01T00:00:00.123456789Z".parse().unwrap()
}

fn after(seconds: i64) -> Timestamp {
    begin() + SignedDuration::from_secs(seconds)
}

/// The record of a run as the engine makes it.
fn recorded(rules: &Rules, rule: &str, event: &Event) -> Run {
    let rule = rules.rules.iter().find(|it| &*it.name.to_string() == rule).unwrap();
    let pinned = TaskDefinition {
        arn: "arn:aws:ecs:us-east-1:111122223333:task-definition/thumbnailer:7".to_owned(),
        essential: vec!["app".to_owned()],
        size: Some(TaskSize { cpu: "256".to_owned(), memory: "512".to_owned() }),
    };
    let run = launch::record(&plan(rules, rule, event), &rules.name, &pinned, Gate::Open, begin());
    lifecycle::begin(stack(), run, begin())
}

fn stack() -> Stack<'static> {
    Stack { name: "media", publishes: false }
}

/// What the run becomes when its task is there.
fn moved(run: &Run, status: &str, version: u32) -> Run {
    let request: Value = serde_json::from_str(run.attempts[0].request.as_ref().unwrap()).unwrap();
    let stopped = status == "STOPPED";
    let task = json!({
        "version": "0", "id": "e", "detail-type": "ECS Task State Change", "source": "aws.ecs",
        "account": "111122223333", "time": "2026-01-01T00:01:00Z", "region": "us-east-1", "resources": [],
        "detail": {
            "taskArn": "arn:aws:ecs:us-east-1:111122223333:task/batch/8e4a5f4d2b6c4f0e9d3b1a7c5e2f4a6b",
            "lastStatus": status, "desiredStatus": if stopped { "STOPPED" } else { "RUNNING" },
            "startedBy": request["startedBy"], "version": version,
            "startedAt": "2026-01-01T00:00:40.123Z",
            "stoppedAt": stopped.then_some("2026-01-01T00:05:40.123Z"),
            "stopCode": stopped.then_some("EssentialContainerExited"),
            "stoppedReason": stopped.then_some("Essential container in task exited"),
            "containers": [
                { "name": "app", "lastStatus": status, "exitCode": stopped.then_some(0) },
            ],
        },
    });
    let task = TaskState::from_event(&Event::parse(&task.to_string()).unwrap()).unwrap();
    let decision = lifecycle::decide(stack(), run, &Happening::Task(task), after(60));
    *decision.next.unwrap()
}

/// The rows of the table, and what is measured for them.
struct Rows {
    meter: Meter,
    text: String,
}

impl Rows {
    /// A row of what was consumed since the one before.
    fn add(&mut self, what: &str) -> Consumed {
        let consumed = self.meter.take();
        let Consumed { calls, written, read } = consumed;
        writeln!(self.text, "| {what} | {calls} | {written} | {read} |").unwrap();
        consumed
    }
}

async fn write(runs: &DynamoRuns, was: &Run, run: &Run) {
    assert_eq!(runs.update(was, run).await.unwrap(), Updated::Done);
}

#[tokio::test]
#[ignore = "`cargo xtask test` starts ministack"]
async fn each_access_costs_what_the_data_model_says() {
    let meter = Meter::before(&std::env::var("TASKFERRY_MINISTACK").unwrap()).await;
    let runs = super::open_at(&meter.endpoint).await;
    let rules = rules::check(RULES).rules.unwrap();
    let mut rows = Rows { meter, text: String::new() };
    rows.meter.take();

    unlimited(&runs, &rules, &mut rows).await;
    limited(&runs, &rules, &mut rows).await;
    shared(&runs, &mut rows).await;
    sweeps_and_lists(&runs, &rules, &mut rows).await;

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/data-model.md");
    let page = std::fs::read_to_string(path).unwrap_or_default();
    for row in rows.text.lines() {
        assert!(page.contains(row), "docs/data-model.md lacks `{row}`; measured:\n{}", rows.text);
    }
}

async fn unlimited(runs: &DynamoRuns, rules: &Rules, rows: &mut Rows) {
    let event_1 = event(1, "");
    let launching = recorded(rules, "thumbnails", &event_1);
    assert_eq!(runs.create(&launching, &event_1).await.unwrap(), Created::New);
    let created = rows.add("create a run without limits");
    runs.create(&launching, &event_1).await.unwrap();
    // What a refused write consumes no answer tells: as much as a done one.
    assert_eq!(rows.meter.take().calls, 1);
    runs.get(&launching.id).await.unwrap();
    let got = rows.add("get a run");
    let running = moved(&launching, "RUNNING", 3);
    write(runs, &launching, &running).await;
    rows.add("update: its task runs");
    let ended = moved(&running, "STOPPED", 5);
    assert!(ended.status.is_terminal());
    write(runs, &running, &ended).await;
    let finished = rows.add("update: it has ended");
    runs.event(&launching.id).await.unwrap();
    rows.add("read a run's event");
    runs.find(&launching.id.as_str()[..8]).await.unwrap();
    rows.add("find a run by the beginning of its id");

    // The promise: from the event to the recorded end at most 4 calls, `RunTask` among them, and 10 write units.
    let calls = created.calls + got.calls + finished.calls + 1;
    assert!(calls <= 4, "{calls} calls");
    let written = created.written + finished.written;
    assert!(written <= 10.0, "{written} write units");

    let long = event(2, &"x".repeat(100_000));
    let launching = recorded(rules, "thumbnails", &event(2, ""));
    assert_eq!(runs.create(&launching, &long).await.unwrap(), Created::New);
    rows.add("create a run whose event has 100 KB");
    write(runs, &launching, &moved(&launching, "RUNNING", 3)).await;
    rows.add("update it: its task runs");
}

async fn limited(runs: &DynamoRuns, rules: &Rules, rows: &mut Rows) {
    let event = event(3, "");
    let waiting = recorded(rules, "limited", &event);
    let limit = waiting.queue.clone().unwrap();
    assert_eq!(runs.create(&waiting, &event).await.unwrap(), Created::New);
    rows.add("create a run with one limit: it joins the queue");
    runs.limit(&limit, 50).await.unwrap();
    rows.add("look at a limit that one run waits for");
    let now = after(1);
    let decision = lifecycle::decide(stack(), &waiting, &Happening::Paced, now);
    let admitted = *decision.next.unwrap();
    write(runs, &waiting, &admitted).await;
    rows.add("admit it: out of the queue, into a slot");
    let running = moved(&admitted, "RUNNING", 3);
    write(runs, &admitted, &running).await;
    rows.add("update: its task runs, the slot stays");
    write(runs, &running, &moved(&running, "STOPPED", 5)).await;
    rows.add("update: it has ended, and gives its slot back");
    let state = runs.limit(&limit, 50).await.unwrap();
    rows.add("look at a limit that nothing waits for");
    runs.settle_limit(&limit, state.revision, None).await.unwrap();
    rows.add("settle a limit");
    for index in 20..30 {
        let event = self::event(index, "");
        let waiting = recorded(rules, "limited", &event);
        assert_eq!(runs.create(&waiting, &event).await.unwrap(), Created::New);
    }
    rows.meter.take();
    assert_eq!(runs.due(after(60), 100).await.unwrap().limits, [limit]);
    rows.add("sweep: ten runs have joined a queue since the last");
}

async fn shared(runs: &DynamoRuns, rows: &mut Rows) {
    let window = pace::window(&Quotas::default(), Bucket::Fargate, after(3_200_000_000));
    assert!(runs.take_token(&window).await.unwrap());
    rows.add("take a launch from the quota");
    runs.close_window(&window).await.unwrap();
    rows.add("close a window of the quota");
}

async fn sweeps_and_lists(runs: &DynamoRuns, rules: &Rules, rows: &mut Rows) {
    assert!(runs.due(begin(), 100).await.unwrap().runs.is_empty());
    rows.add("sweep: nothing is due");
    let make = async |index: u32, due_at| {
        let event = event(index, "");
        let mut run = recorded(rules, "thumbnails", &event);
        run.due_at = Some(due_at);
        assert_eq!(runs.create(&run, &event).await.unwrap(), Created::New);
    };
    for index in 0..20 {
        make(100 + index, after(2)).await;
    }
    rows.meter.take();
    assert_eq!(runs.due(after(3), 100).await.unwrap().runs.len(), 20);
    let few = rows.add("sweep: 20 runs are due");
    for index in 0..200 {
        make(1000 + index, after(100_000)).await;
    }
    rows.meter.take();
    assert_eq!(runs.due(after(3), 100).await.unwrap().runs.len(), 20);
    assert_eq!(rows.meter.take(), few, "what is not due costs nothing");

    let list = async |query: RunQuery| runs.list(&query).await.unwrap().runs.len();
    let query = RunQuery { limit: Some(20), ..RunQuery::default() };
    assert_eq!(list(query.clone()).await, 20);
    rows.add("list the newest 20 of 233 runs");
    assert_eq!(list(RunQuery { rule: Some("thumbnails".to_owned()), ..query.clone() }).await, 20);
    rows.add("list the newest 20 of a rule");
    assert_eq!(list(RunQuery { dead_letters: true, ..query.clone() }).await, 0);
    rows.add("list dead letters: there are none");
    let event_id = Some(event(100, "").id().to_owned());
    assert_eq!(list(RunQuery { event_id, ..query }).await, 1);
    rows.add("list by event id, among 233 runs");
}
