//! Messages of queues on real records, with an ECS and queues that do as they are told: none is lost, none runs twice.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, and says where")]

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use taskferry_core::{
    chain::LifecycleEvent,
    event::{Event, sqs},
    launch::{Answer, TaskDefinition},
    rules,
    run::{Run, Status},
    track::TaskState,
};
use taskferry_engine::{
    Engine,
    ports::{self, Clock, Events, Payloads, Ports, Queues, RunQuery, Runs as _, Tasks},
};
use taskferry_local::runs::SqliteRuns;
use tempfile::TempDir;

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
struct Told {
    /// Each request of `RunTask`.
    requests: Vec<Value>,
    /// The deliveries that were extended, and for how many seconds.
    extended: Vec<(String, u64)>,
    /// The deliveries whose messages were deleted.
    deleted: Vec<String>,
    /// Whether SQS answers.
    sqs_is_away: bool,
    /// The deliveries that are over.
    over: Vec<String>,
    /// The clock that goes on by ten seconds with each task, if one does.
    slow: Option<Hand>,
    /// The clock that goes on by eight minutes with each extension, if one does.
    frozen: Option<Hand>,
}

#[derive(Clone, Debug)]
struct Aws(Arc<Mutex<Told>>);

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

impl Events for Aws {
    async fn publish(
        &self,
        _: &[LifecycleEvent],
        _: &str,
        _: Timestamp,
    ) -> Result<(), ports::Error> {
        panic!("no rule listens")
    }
}

impl Payloads for Aws {
    async fn put(&self, _: &str, _: &str) -> Result<(), ports::Error> {
        panic!("the event fits")
    }

    async fn discard(&self, _: &str) -> Result<(), ports::Error> {
        panic!("nothing was put")
    }
}

/// A clock that goes when it is told to.
#[derive(Clone, Debug)]
struct Hand(Arc<Mutex<Timestamp>>);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }

    async fn sleep_until(&self, time: Timestamp) {
        *self.0.lock().unwrap() = time;
    }
}

struct Process {
    runs: SqliteRuns,
    aws: Aws,
    clock: Hand,
}

impl Ports for Process {
    type Runs = SqliteRuns;
    type Tasks = Aws;
    type Events = Aws;
    type Payloads = Aws;
    type Queues = Aws;
    type Clock = Hand;

    fn runs(&self) -> &SqliteRuns {
        &self.runs
    }

    fn tasks(&self) -> &Aws {
        &self.aws
    }

    fn events(&self) -> &Aws {
        &self.aws
    }

    fn payloads(&self) -> &Aws {
        &self.aws
    }

    fn queues(&self) -> &Aws {
        &self.aws
    }

    fn clock(&self) -> &Hand {
        &self.clock
    }
}

struct World {
    dir: TempDir,
    aws: Aws,
    clock: Hand,
}

impl World {
    fn new() -> Self {
        let clock = Hand(Arc::new(Mutex::new(Timestamp::from_second(1_767_225_600).unwrap())));
        Self { dir: tempfile::tempdir().unwrap(), aws: Aws(Arc::default()), clock }
    }

    fn told<T>(&self, ask: impl FnOnce(&mut Told) -> T) -> T {
        ask(&mut self.aws.0.lock().unwrap())
    }

    /// How many tasks were started: a request that is sent again under its token starts none.
    fn tasks(&self) -> usize {
        let token = |request: &Value| request["clientToken"].to_string();
        let tokens: BTreeSet<_> = self.told(|told| told.requests.iter().map(token).collect());
        tokens.len()
    }

    fn runs(&self) -> SqliteRuns {
        SqliteRuns::open(&self.dir.path().join("runs.db")).unwrap()
    }

    fn engine(&self) -> Engine<Process> {
        let checked = rules::check(RULES);
        let rules = checked.rules.unwrap_or_else(|| panic!("{:?}", checked.faults));
        let (runs, aws, clock) = (self.runs(), self.aws.clone(), self.clock.clone());
        Engine::new(Arc::new(rules), Process { runs, aws, clock }).with_quotas(None)
    }

    /// What the function would answer of the batch.
    async fn receive(&self, batch: &[Value]) -> Vec<String> {
        self.receive_until(batch, self.clock.now() + SignedDuration::from_secs(50)).await
    }

    async fn receive_until(&self, batch: &[Value], until: Timestamp) -> Vec<String> {
        let batch = sqs::normalise(&json!({ "Records": batch }).to_string()).unwrap();
        let kept = self.engine().receive(batch, until).await;
        let mut kept: Vec<String> = kept.iter().map(ToString::to_string).collect();
        kept.sort();
        kept
    }

    async fn list(&self) -> Vec<Run> {
        let mut runs = self.runs().list(&RunQuery::default()).await.unwrap().runs;
        runs.sort_by(|one, other| one.rule.cmp(&other.rule));
        runs
    }

    /// The task of the run ends well.
    async fn succeed(&self, run: &Run) {
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

    async fn sweep_at(&self, time: Timestamp) {
        self.clock.sleep_until(time).await;
        let swept = self.engine().sweep(time + SignedDuration::from_secs(30)).await.unwrap();
        assert!(!swept.unfinished, "{swept:?}");
    }

    async fn sweep_when_due(&self) {
        let due_at = self.list().await.iter().filter_map(|run| run.due_at).min().unwrap();
        self.sweep_at(due_at).await;
    }
}

fn message(queue: &str, id: &str, group: Option<&str>, body: &str) -> Value {
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

fn order(id: &str, n: u32, task: &str) -> Value {
    message("orders", id, None, &json!({ "n": n, "task": task }).to_string())
}

fn step(id: &str, group: &str, task: &str) -> Value {
    message("steps.fifo", id, Some(group), &json!({ "task": task }).to_string())
}

fn job(id: &str, both: bool) -> Value {
    message("jobs", id, None, &json!({ "both": both, "task": "order" }).to_string())
}

fn s3(record: &Value) -> String {
    json!({ "Records": [record] }).to_string()
}

fn uploaded(key: &str) -> Value {
    json!({
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "us-east-1", "eventName": "ObjectCreated:Put",
        "eventTime": "2026-01-01T00:00:00.000Z",
        "s3": { "bucket": { "name": "uploads" }, "object": { "key": key, "size": 1, "sequencer": "1" } },
    })
}

#[tokio::test]
async fn one_bad_message_of_ten_is_kept_and_nine_run() {
    let world = World::new();
    let task = |n| if n == 4 { "away" } else { "order" };
    let batch: Vec<Value> = (0..10).map(|n| order(&format!("m{n}"), n, task(n))).collect();
    assert_eq!(world.receive(&batch).await, ["m4"]);
    assert_eq!(world.told(|told| told.requests.len()), 9);
    // It comes again with all the others, and nothing runs twice.
    assert_eq!(world.receive(&batch).await, ["m4"]);
    assert_eq!(world.list().await.len(), 9);
}

#[tokio::test]
async fn what_can_never_be_taken_is_kept_once_with_its_reason_and_does_not_come_again() {
    let world = World::new();
    let long = message("orders", "long", None, &"\"".repeat(1 << 20));
    let unfit = message("orders", "unfit", None, "no order");
    let liar = message("uploads", "liar", None, &s3(&json!({ "eventSource": "aws:s3" })));
    for _ in 0..2 {
        assert!(world.receive(&[long.clone(), unfit.clone(), liar.clone()]).await.is_empty());
    }
    let runs = world.list().await;
    let reasons: Vec<_> = runs.iter().map(|run| run.reason.as_deref().unwrap()).collect();
    assert_eq!(runs.len(), 3, "{reasons:?}");
    assert!(runs.iter().all(Run::is_dead_letter));
    assert!(reasons.iter().any(|it| it.contains("bytes long")), "{reasons:?}");
    assert!(reasons.iter().any(|it| it.contains("missing field")), "{reasons:?}");
    let event = world.runs().event(&runs[2].id).await.unwrap().unwrap();
    assert!(event.contains(r#""messageId":"liar""#), "{event}");
    assert!(world.told(|told| told.requests.is_empty()));
}

#[tokio::test]
async fn after_a_message_that_is_kept_its_group_waits_and_others_go_on() {
    let world = World::new();
    let batch = [
        step("a1", "a", "order"),
        step("a2", "a", "away"),
        step("b1", "b", "order"),
        step("a3", "a", "order"),
        step("b2", "b", "order"),
    ];
    assert_eq!(world.receive(&batch).await, ["a2", "a3"]);
    assert_eq!(world.list().await.len(), 3);
}

#[tokio::test]
async fn what_was_not_begun_in_time_is_kept() {
    let world = World::new();
    let batch = [order("m1", 1, "order"), order("m2", 2, "order")];
    assert_eq!(world.receive_until(&batch, world.clock.now()).await, ["m1", "m2"]);
    assert!(world.list().await.is_empty());
}

#[tokio::test]
async fn a_message_of_many_events_does_not_outlast_its_function() {
    let world = World::new();
    world.told(|told| told.slow = Some(world.clock.clone()));
    let records: Vec<Value> = (0..12).map(|n| uploaded(&format!("in/{n}.csv"))).collect();
    let many = [message("uploads", "m", None, &json!({ "Records": records }).to_string())];
    let mut begun = Vec::new();
    for kept in [&["m"][..], &["m"], &[]] {
        assert_eq!(world.receive(&many).await, kept);
        let runs = world.list().await;
        begun.push(runs.len());
        for run in &runs {
            world.succeed(run).await;
        }
    }
    // Each delivery goes on where the last was cut off, and nothing runs twice.
    assert_eq!((begun, world.tasks()), (vec![5, 10, 12], 12));
}

#[tokio::test]
async fn the_last_run_of_a_held_message_is_not_begun_when_the_time_is_over_either() {
    let world = World::new();
    world.told(|told| told.slow = Some(world.clock.clone()));
    let until = world.clock.now() + SignedDuration::from_secs(5);
    assert_eq!(world.receive_until(&[job("m", true)], until).await, ["m"]);
    let [held] = &world.list().await[..] else { panic!("one run") };
    assert_eq!((held.rule.as_str(), &held.message, world.tasks()), ("held", &None, 1));
    // It comes again, and goes on where it was cut off.
    assert_eq!(world.receive(&[job("m", true)]).await, ["m"]);
    let [_, last] = &world.list().await[..] else { panic!("two runs") };
    assert_eq!(world.tasks(), 2);
    assert_eq!(last.message.as_ref().unwrap().others, [held.id.clone()]);
}

#[tokio::test]
async fn a_queue_that_no_rule_names_keeps_its_messages() {
    let world = World::new();
    let batch = [message("other", "m", None, "{}"), order("m1", 1, "order")];
    assert_eq!(world.receive(&batch).await, ["m"]);
}

#[tokio::test]
async fn a_message_starts_what_names_its_queue_and_nothing_else() {
    let world = World::new();
    let body = s3(&uploaded("in/a%2Bb+c.csv"));
    let batch = [
        message("uploads", "m1", None, &body),
        // Who may write orders must not be able to say what was uploaded.
        message("orders", "m2", None, &body),
        message("uploads", "test", None, r#"{"Service":"Amazon S3","Event":"s3:TestEvent"}"#),
    ];
    assert!(world.receive(&batch).await.is_empty());
    let runs = world.list().await;
    let told: Vec<_> = runs.iter().map(|run| (run.rule.as_str(), run.status)).collect();
    assert_eq!(told, [("order", Status::Failed), ("uploaded", Status::Launching)]);
    let command = world
        .told(|told| told.requests[0]["overrides"]["containerOverrides"][0]["command"].clone());
    assert_eq!(command, json!(["in/a+b c.csv"]));
}

#[tokio::test]
async fn a_held_message_is_extended_until_its_run_has_ended_and_then_deleted() {
    let world = World::new();
    assert_eq!(world.receive(&[job("m", false)]).await, ["m"]);
    assert_eq!(world.told(|told| told.extended.clone()), [("receipt of m".to_owned(), 600)]);
    let begun = world.clock.now();
    for minutes in [5, 10, 15, 20] {
        world.sweep_when_due().await;
        assert_eq!(world.clock.now(), begun + SignedDuration::from_mins(minutes));
    }
    assert_eq!(world.told(|told| told.extended.len()), 5);
    let [run] = &world.list().await[..] else { panic!("one run") };
    assert!(world.told(|told| told.deleted.is_empty()));
    world.succeed(run).await;
    assert_eq!(world.told(|told| told.deleted.clone()), ["receipt of m"]);
    let [run] = &world.list().await[..] else { panic!("one run") };
    assert_eq!((run.status, &run.message, run.due_at), (Status::Succeeded, &None, None));
    // Were it delivered once more after all, it is done.
    assert!(world.receive(&[job("m", false)]).await.is_empty());
    assert_eq!(world.tasks(), 1);
}

#[tokio::test]
async fn a_message_is_extended_in_time_by_who_was_frozen_when_it_last_was() {
    let world = World::new();
    world.receive(&[job("m", false)]).await;
    world.told(|told| told.frozen = Some(world.clock.clone()));
    let due_at = world.list().await[0].due_at.unwrap();
    world.clock.sleep_until(due_at).await;
    world.engine().sweep(due_at + SignedDuration::from_secs(30)).await.unwrap();
    // Eight of the ten minutes for which it is held are over.
    assert_eq!(world.clock.now(), due_at + SignedDuration::from_mins(8));
    assert!(world.list().await[0].due_at.unwrap() < due_at + SignedDuration::from_mins(10));
}

#[tokio::test]
async fn another_delivery_of_a_held_message_meets_its_run() {
    let world = World::new();
    world.receive(&[job("m", false)]).await;
    world.told(|told| told.over.push("receipt of m".to_owned()));
    world.sweep_when_due().await;
    assert_eq!(world.list().await[0].message, None);
    let mut again = job("m", false);
    again["receiptHandle"] = json!("another receipt");
    assert_eq!(world.receive(&[again]).await, ["m"]);
    let [run] = &world.list().await[..] else { panic!("one run") };
    assert_eq!(run.message.as_ref().unwrap().receipt_handle, "another receipt");
    world.succeed(run).await;
    assert_eq!(world.told(|told| told.deleted.clone()), ["another receipt"]);
}

#[tokio::test]
async fn a_message_that_repeats_a_held_one_is_acknowledged() {
    let world = World::new();
    let [first, second] =
        ["first", "second"].map(|id| message("repeated", id, None, r#"{"job":7}"#));
    assert_eq!(world.receive(std::slice::from_ref(&first)).await, ["first"]);
    assert!(world.receive(&[second]).await.is_empty());
    let [run] = &world.list().await[..] else { panic!("one run") };
    assert_eq!(run.message.as_ref().unwrap().id, "first");
    // Its own next delivery takes the place of the last.
    assert_eq!(world.receive(&[first]).await, ["first"]);
    world.succeed(run).await;
    assert_eq!(world.told(|told| told.deleted.clone()), ["receipt of first"]);
    assert_eq!(world.tasks(), 1);
}

#[tokio::test]
async fn whoever_sends_a_launch_again_sends_the_same_request_under_the_same_token() {
    let world = World::new();
    world.receive(&[job("m", false)]).await;
    let mut again = job("m", false);
    again["receiptHandle"] = json!("another receipt");
    // The same delivery twice, another one at the same time as a sweep, and the sweep by itself.
    world.receive(&[job("m", false)]).await;
    let (one, other) = (world.engine(), world.engine());
    let batch = sqs::normalise(&json!({ "Records": [again] }).to_string()).unwrap();
    world.clock.sleep_until(world.clock.now() + SignedDuration::from_mins(6)).await;
    let until = world.clock.now() + SignedDuration::from_secs(50);
    let (kept, swept) = tokio::join!(one.receive(batch, until), other.sweep(until));
    assert_eq!((kept.len(), swept.unwrap().failed), (1, 0));
    world.sweep_when_due().await;
    let requests = world.told(|told| told.requests.clone());
    assert!(requests.len() > 1 && requests.iter().all(|it| *it == requests[0]), "{requests:#?}");
    let [run] = &world.list().await[..] else { panic!("one run") };
    assert_eq!(run.attempts.len(), 1);
}

#[tokio::test]
async fn a_delivery_that_is_over_starts_nothing() {
    let world = World::new();
    world.told(|told| told.over.push("receipt of m".to_owned()));
    assert_eq!(world.receive(&[job("m", false)]).await, ["m"]);
    assert!(world.list().await.is_empty());
}

#[tokio::test]
async fn a_message_of_two_runs_is_deleted_when_the_last_has_ended() {
    for last_first in [false, true] {
        let world = World::new();
        assert_eq!(world.receive(&[job("m", true)]).await, ["m"]);
        let mut runs = world.list().await;
        assert_eq!(runs.len(), 2);
        let holders = |runs: &[Run]| runs.iter().filter(|run| run.message.is_some()).count();
        assert_eq!(holders(&runs), 1);
        if last_first {
            runs.reverse();
        }
        world.succeed(&runs[0]).await;
        assert!(world.told(|told| told.deleted.is_empty()));
        assert_eq!(holders(&world.list().await), 1);
        world.sweep_when_due().await;
        world.succeed(&runs[1]).await;
        assert_eq!(world.told(|told| told.deleted.clone()), ["receipt of m"]);
        assert_eq!(holders(&world.list().await), 0);
    }
}

#[tokio::test]
async fn a_message_is_held_by_nobody_before_all_its_runs_are_recorded() {
    let world = World::new();
    let half = message("jobs", "m", None, r#"{"both":true,"task":"away"}"#);
    assert_eq!(world.receive(&[half]).await, ["m"]);
    assert!(world.list().await.iter().all(|run| run.message.is_none()));
    // It comes again soon, for what is missing.
    let extended = world.told(|told| told.extended.clone());
    assert_eq!(extended.last().unwrap(), &("receipt of m".to_owned(), 30));
}

#[tokio::test]
async fn a_held_message_holds_its_group() {
    let world = World::new();
    let of = |id: &str, group| message("held.fifo", id, Some(group), "{}");
    let batch = [of("a1", "a"), of("a2", "a"), of("b1", "b")];
    assert_eq!(world.receive(&batch).await, ["a1", "a2", "b1"]);
    let runs = world.list().await;
    assert_eq!(runs.len(), 2, "a1 and b1");
    for run in &runs {
        world.succeed(run).await;
    }
    assert_eq!(world.receive(&[of("a2", "a")]).await, ["a2"]);
    assert_eq!(world.list().await.len(), 3);
}

#[tokio::test]
async fn a_message_that_could_not_be_deleted_is_deleted_by_the_sweep() {
    let world = World::new();
    world.receive(&[job("m", false)]).await;
    world.told(|told| told.sqs_is_away = true);
    let run = world.list().await.remove(0);
    world.succeed(&run).await;
    assert_eq!(world.list().await[0].status, Status::Succeeded);
    world.sweep_when_due().await;
    assert!(world.told(|told| told.deleted.is_empty()));
    world.told(|told| told.sqs_is_away = false);
    world.sweep_when_due().await;
    assert_eq!(world.told(|told| told.deleted.clone()), ["receipt of m"]);
    assert_eq!(world.list().await[0].due_at, None);
}

#[tokio::test]
async fn a_heartbeat_that_fails_is_made_up_for() {
    let world = World::new();
    world.receive(&[job("m", false)]).await;
    world.told(|told| told.sqs_is_away = true);
    world.sweep_when_due().await;
    world.told(|told| told.sqs_is_away = false);
    let failed_at = world.clock.now();
    world.sweep_when_due().await;
    assert_eq!(world.clock.now(), failed_at + SignedDuration::from_secs(30));
    assert_eq!(world.told(|told| told.extended.len()), 2);
}

#[tokio::test]
async fn past_eleven_hours_the_record_is_what_is_left_of_a_message() {
    let world = World::new();
    world.receive(&[job("m", false)]).await;
    let begun = world.clock.now();
    while world.told(|told| told.deleted.is_empty()) {
        world.sweep_when_due().await;
    }
    assert_eq!(world.clock.now(), begun + SignedDuration::from_hours(11));
    let [run] = &world.list().await[..] else { panic!("one run") };
    assert!(!run.status.is_terminal() && run.message.is_none() && run.due_at.is_some());
    world.succeed(run).await;
    assert_eq!(world.told(|told| told.deleted.len()), 1);
}
