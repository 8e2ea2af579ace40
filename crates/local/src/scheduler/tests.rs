//! Scheduler under a clock that the tests set: nothing here waits.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicI64, Ordering},
};

use axum::http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use taskferry_core::schedule::Schedule;
use tempfile::TempDir;

use super::{Fired, Managed, Scheduler, SchedulerApi};
use crate::{
    delivery::{Deliveries, Destination},
    eventbridge::{EventBridge, Subscription},
    lambda::Invocations,
    protocol::{Answer, Exception},
    sqs::{Clock, Queues},
    state::State,
};

const ROLE: &str = "arn:aws:iam::000000000000:role/scheduler";
const FUNCTION: &str = "arn:aws:lambda:us-east-1:000000000000:function:f";

/// A Scheduler on a state directory of its own, at a time of its own.
struct Machine {
    scheduler: Arc<Scheduler>,
    api: SchedulerApi,
    event_bridge: Arc<EventBridge>,
    now: Arc<AtomicI64>,
    /// What `RunTask` was asked, and what it answers.
    asked: Arc<Mutex<Vec<Value>>>,
    answers: Arc<Mutex<Vec<Answer>>>,
    state: State,
    dir: TempDir,
}

impl Machine {
    fn start(now: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), at(now))
    }

    fn start_in(dir: TempDir, now: Timestamp) -> Self {
        let state = State::open(dir.path()).unwrap();
        let now = Arc::new(AtomicI64::new(now.as_millisecond()));
        let (asked, answers) = (Arc::<Mutex<Vec<Value>>>::default(), Arc::default());
        let deliveries = Deliveries::new(Invocations::default(), Queues::default());
        let event_bridge = Arc::new(EventBridge::new(deliveries.clone()));
        let clock = Arc::clone(&now);
        let (told, answering): (_, Arc<Mutex<Vec<Answer>>>) =
            (Arc::clone(&asked), Arc::clone(&answers));
        let run_task = move |request| {
            told.lock().unwrap().push(request);
            let answer = answering.lock().unwrap().pop();
            answer.unwrap_or_else(|| Ok(json!({ "tasks": [{}], "failures": [] })))
        };
        let scheduler = Arc::new(Scheduler::new(
            state.db(),
            deliveries,
            Arc::clone(&event_bridge),
            Box::new(run_task),
            Clock::new(move || clock.load(Ordering::Relaxed)),
        ));
        let api = SchedulerApi::new(Arc::clone(&scheduler));
        Self { scheduler, api, event_bridge, now, asked, answers, state, dir }
    }

    /// Dies, and starts again on what it left, at another time.
    fn restart(self, now: &str) -> Self {
        drop(self.state);
        Self::start_in(self.dir, at(now))
    }

    fn set(&self, now: &str) {
        self.now.store(at(now).as_millisecond(), Ordering::Relaxed);
    }

    /// Fires what is due at a time, and says when something is due next.
    fn fire(&self, now: &str) -> Option<String> {
        self.set(now);
        self.scheduler.fire_due(at(now)).unwrap().map(|next| next.to_string())
    }

    #[expect(clippy::needless_pass_by_value, reason = "a method is a word")]
    fn call(&self, method: Method, path: &str, body: &Value) -> Answer {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        self.api.operation(&method, path, query, body.to_string().as_bytes())
    }

    #[track_caller]
    fn create(&self, name: &str, expression: &str, more: Value) {
        let path = format!("/schedules/{name}");
        self.call(Method::POST, &path, &request(expression, more)).unwrap();
    }

    #[track_caller]
    fn refused(&self, method: Method, path: &str, body: &Value) -> Exception {
        self.call(method, path, body).unwrap_err()
    }

    /// The payloads with which functions were invoked since it was last asked.
    fn invoked(&self) -> Vec<String> {
        let db = self.state.db();
        db.write(|tx| {
            let mut statement = tx.prepare("SELECT payload FROM lambda_invocations ORDER BY id")?;
            let payloads = statement.query_map([], |row| row.get(0))?.collect();
            tx.execute("DELETE FROM lambda_invocations", [])?;
            payloads
        })
        .unwrap()
    }

    fn count(&self, table: &str) -> i64 {
        let db = self.state.db();
        let sql = format!("SELECT count(*) FROM {table}");
        db.read(|connection| connection.query_row(&sql, [], |row| row.get(0))).unwrap()
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A request that invokes a function with the scheduled time, with `more` over it.
fn request(expression: &str, more: Value) -> Value {
    let mut request = json!({
        "ScheduleExpression": expression,
        "FlexibleTimeWindow": { "Mode": "OFF" },
        "Target": { "Arn": FUNCTION, "RoleArn": ROLE, "Input": "\"<aws.scheduler.scheduled-time>\"" },
    });
    merge(&mut request, more);
    request
}

fn merge(into: &mut Value, more: Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (key, value) in more {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more,
    }
}

fn managed(expression: &str, name: &str) -> Managed {
    Managed {
        group: "stack".to_owned(),
        name: name.to_owned(),
        schedule: Schedule::parse(expression, "UTC").unwrap(),
        window_minutes: None,
        function: "f".to_owned(),
        input: format!("\"{name} <aws.scheduler.scheduled-time>\""),
        missed_input: format!("\"{name} missed <count>, last <aws.scheduler.scheduled-time>\""),
        count_attribute: "<count>".to_owned(),
    }
}

#[test]
fn one_time_fires_once() {
    let machine = Machine::start("2027-01-01T00:00:00Z");
    machine.create("once", "at(2027-01-01T00:10:00)", json!({}));
    assert_eq!(machine.fire("2027-01-01T00:09:59.999Z").as_deref(), Some("2027-01-01T00:10:00Z"));
    assert_eq!(machine.invoked(), [""; 0]);
    assert_eq!(machine.fire("2027-01-01T00:10:00Z"), None);
    assert_eq!(machine.fire("2027-01-01T00:10:01Z"), None);
    assert_eq!(machine.invoked(), ["\"2027-01-01T00:10:00Z\""]);
    // It stays, unless it is to be deleted.
    assert!(machine.call(Method::GET, "/schedules/once", &json!({})).is_ok());
    machine.create("gone", "at(2027-01-01T00:20:00)", json!({ "ActionAfterCompletion": "DELETE" }));
    machine.fire("2027-01-01T00:20:00Z");
    assert_eq!(
        machine.refused(Method::GET, "/schedules/gone", &json!({})).name,
        "ResourceNotFoundException"
    );
}

#[test]
fn a_rate_fires_at_once_and_then_at_its_rate() {
    let machine = Machine::start("2027-01-01T00:00:07.5Z");
    machine.create("rate", "rate(5 minutes)", json!({}));
    assert_eq!(machine.fire("2027-01-01T00:00:07.5Z").as_deref(), Some("2027-01-01T00:05:07Z"));
    assert_eq!(machine.fire("2027-01-01T00:05:07Z").as_deref(), Some("2027-01-01T00:10:07Z"));
    assert_eq!(machine.invoked(), ["\"2027-01-01T00:00:07Z\"", "\"2027-01-01T00:05:07Z\""]);
}

#[test]
fn a_time_zone_is_that_of_the_schedule() {
    let machine = Machine::start("2027-01-01T00:00:00Z");
    let zone = json!({ "ScheduleExpressionTimezone": "Asia/Seoul" });
    machine.create("nightly", "cron(0 3 * * ? *)", zone);
    assert_eq!(machine.fire("2027-01-01T00:00:00Z").as_deref(), Some("2027-01-01T18:00:00Z"));
}

#[test]
fn every_keyword_of_an_input_is_replaced() {
    let machine = Machine::start("2027-01-01T00:00:00Z");
    let input = r#"{"arn":"<aws.scheduler.schedule-arn>","time":"<aws.scheduler.scheduled-time>","id":"<aws.scheduler.execution-id>","attempt":<aws.scheduler.attempt-number>}"#;
    // A number stands there unquoted: what a function gets must be JSON before and after.
    let quoted =
        input.replace("<aws.scheduler.attempt-number>", "\"<aws.scheduler.attempt-number>\"");
    machine.create("all", "at(2027-01-01T00:00:00)", json!({ "Target": { "Input": quoted } }));
    machine.fire("2027-01-01T00:00:00Z");
    let invoked: Value = serde_json::from_str(&machine.invoked()[0]).unwrap();
    assert_eq!(invoked["arn"], "arn:aws:scheduler:us-east-1:000000000000:schedule/default/all");
    assert_eq!(invoked["time"], "2027-01-01T00:00:00Z");
    assert_eq!(invoked["attempt"], "1");
    assert_eq!(invoked["id"].as_str().unwrap().len(), 16);
}

#[test]
fn without_an_input_the_target_is_told_that_it_fired() {
    let machine = Machine::start("2027-01-01T00:00:00Z");
    machine.create("bare", "at(2027-01-01T00:00:00)", json!({ "Target": { "Input": null } }));
    machine.fire("2027-01-01T00:00:00Z");
    let invoked: Value = serde_json::from_str(&machine.invoked()[0]).unwrap();
    assert_eq!(invoked["source"], "aws.scheduler");
    assert_eq!(invoked["detail-type"], "Scheduled Event");
}

#[test]
fn what_is_disabled_does_not_fire() {
    let machine = Machine::start("2027-01-01T00:00:00Z");
    machine.create("off", "cron(* * * * ? *)", json!({ "State": "DISABLED" }));
    assert_eq!(machine.fire("2027-01-01T00:30:00Z"), None);
    let enabled = request("cron(* * * * ? *)", json!({}));
    machine.call(Method::PUT, "/schedules/off", &enabled).unwrap();
    // What it would have been until now it is not.
    assert_eq!(machine.fire("2027-01-01T00:31:00Z").as_deref(), Some("2027-01-01T00:32:00Z"));
    assert_eq!(machine.invoked(), ["\"2027-01-01T00:30:00Z\"", "\"2027-01-01T00:31:00Z\""]);
}

#[test]
fn a_restart_neither_loses_nor_repeats_a_time() {
    let machine = Machine::start("2027-01-01T00:00:00Z");
    machine.create("hourly", "cron(0 * * * ? *)", json!({}));
    machine.fire("2027-01-01T01:00:00Z");
    let machine = machine.restart("2027-01-01T01:00:00Z");
    assert_eq!(machine.fire("2027-01-01T01:00:30Z").as_deref(), Some("2027-01-01T02:00:00Z"));
    assert_eq!(machine.invoked().len(), 2);
    // Down for three hours: each time is within the day for which it would be tried.
    let machine = machine.restart("2027-01-01T04:30:00Z");
    assert_eq!(machine.fire("2027-01-01T04:30:00Z").as_deref(), Some("2027-01-01T05:00:00Z"));
    assert_eq!(
        machine.invoked(),
        ["\"2027-01-01T02:00:00Z\"", "\"2027-01-01T03:00:00Z\"", "\"2027-01-01T04:00:00Z\""]
    );
    // Down for longer than its policy allows.
    let policy = json!({ "Target": { "RetryPolicy": { "MaximumEventAgeInSeconds": 3600 } } });
    machine.call(Method::PUT, "/schedules/hourly", &request("cron(0 * * * ? *)", policy)).unwrap();
    machine.fire("2027-01-03T00:30:00Z");
    assert_eq!(machine.invoked(), ["\"2027-01-03T00:00:00Z\""]);
}

#[test]
fn the_files_schedules_go_on_over_restarts() {
    let machine = Machine::start("2027-01-01T00:00:10Z");
    let rules = [managed("rate(1 hour)", "rate"), managed("cron(30 * * * ? *)", "half")];
    machine.scheduler.deploy(&rules).unwrap();
    machine.fire("2027-01-01T00:00:10Z");
    machine.fire("2027-01-01T00:30:00Z");
    assert_eq!(
        machine.invoked(),
        ["\"rate 2027-01-01T00:00:10Z\"", "\"half 2027-01-01T00:30:00Z\""]
    );
    let machine = machine.restart("2027-01-01T00:40:00Z");
    // The same rules begin nothing anew.
    machine.scheduler.deploy(&rules).unwrap();
    assert_eq!(machine.fire("2027-01-01T00:40:00Z").as_deref(), Some("2027-01-01T01:00:10Z"));
    assert_eq!(machine.invoked(), [""; 0]);
    // A rule that is gone fires no more, and leaves its group to those that stay.
    machine.scheduler.deploy(&rules[1..]).unwrap();
    assert_eq!(machine.fire("2027-01-01T00:40:00Z").as_deref(), Some("2027-01-01T01:30:00Z"));
    machine.scheduler.deploy(&[]).unwrap();
    assert_eq!(machine.fire("2027-01-01T01:30:00Z"), None);
    let answer = machine.refused(Method::GET, "/schedule-groups/stack", &json!({}));
    assert_eq!(answer.name, "ResourceNotFoundException");
}

#[test]
fn what_the_file_missed_is_told_once() {
    let machine = Machine::start("2027-01-01T00:00:00Z");
    machine.scheduler.deploy(&[managed("cron(0 * * * ? *)", "hourly")]).unwrap();
    machine.fire("2027-01-01T00:00:00Z");
    assert_eq!(machine.invoked(), ["\"hourly 2027-01-01T00:00:00Z\""]);
    let mut fired = machine.scheduler.fired();
    machine.fire("2027-01-01T05:01:01Z");
    assert_eq!(machine.invoked(), ["\"hourly missed 5, last 2027-01-01T05:00:00Z\""]);
    assert!(matches!(fired.try_recv(), Ok(Fired { missed: Some(5), is_managed: true, .. })));
    // Late by less than a minute is in time: what came before that was missed all the same.
    machine.fire("2027-01-01T08:00:59Z");
    assert_eq!(
        machine.invoked(),
        ["\"hourly missed 2, last 2027-01-01T07:00:00Z\"", "\"hourly 2027-01-01T08:00:00Z\""]
    );
}

#[test]
fn a_year_of_missed_minutes_is_counted_as_far_as_it_matters() {
    let machine = Machine::start("2026-01-01T00:00:00Z");
    machine.scheduler.deploy(&[managed("cron(* * * * ? *)", "minutely")]).unwrap();
    machine.fire("2027-01-01T00:00:30Z");
    assert_eq!(
        machine.invoked(),
        [
            "\"minutely missed 10000, last 2026-12-31T23:59:00Z\"",
            "\"minutely 2027-01-01T00:00:00Z\""
        ]
    );
}

#[test]
fn a_window_is_time_in_which_nothing_is_missed() {
    let machine = Machine::start("2027-01-01T00:00:00Z");
    let wide = Managed { window_minutes: Some(60), ..managed("cron(0 3 * * ? *)", "wide") };
    machine.scheduler.deploy(&[wide]).unwrap();
    machine.fire("2027-01-01T04:00:00Z");
    assert_eq!(machine.invoked(), ["\"wide 2027-01-01T03:00:00Z\""]);
}

#[test]
fn the_files_schedules_are_shown_and_left_alone() {
    let machine = Machine::start("2027-01-01T00:00:00Z");
    machine.scheduler.deploy(&[managed("cron(0 3 * * ? *)", "nightly")]).unwrap();
    let path = "/schedules/nightly?groupName=stack";
    let shown = machine.call(Method::GET, path, &json!({})).unwrap();
    assert_eq!(shown["ScheduleExpression"], "cron(0 3 * * ? *)");
    let listed = machine.call(Method::GET, "/schedules?ScheduleGroup=stack", &json!({})).unwrap();
    assert_eq!(listed["Schedules"][0]["Name"], "nightly");
    let changed = request("rate(1 hour)", json!({ "GroupName": "stack" }));
    for (method, path, body) in [
        (Method::PUT, "/schedules/nightly", changed),
        (Method::DELETE, path, json!({})),
        (Method::DELETE, "/schedule-groups/stack", json!({})),
    ] {
        let refused = machine.refused(method, path, &body);
        assert_eq!(refused.name, "ConflictException");
        assert!(refused.message.contains("rules file"), "{}", refused.message);
    }
}

#[test]
fn an_event_bus_gets_an_event() {
    let machine = Machine::start("2027-01-01T00:00:00Z");
    let pattern = r#"{"source": ["shop"], "detail": {"n": [1]}}"#;
    machine.event_bridge.subscribe(vec![Subscription {
        name: "rule".to_owned(),
        event_bus: "default".to_owned(),
        event_pattern: pattern.parse().unwrap(),
        destination: Destination::Function("f".to_owned()),
    }]);
    let target = json!({
        "Arn": "arn:aws:events:us-east-1:000000000000:event-bus/default",
        "Input": "{\"n\": 1}",
        "EventBridgeParameters": { "Source": "shop", "DetailType": "Tick" },
    });
    machine.create("tick", "at(2027-01-01T00:00:00)", json!({ "Target": target }));
    machine.fire("2027-01-01T00:00:00Z");
    let event: Value = serde_json::from_str(&machine.invoked()[0]).unwrap();
    assert_eq!((&event["source"], &event["detail-type"]), (&json!("shop"), &json!("Tick")));
    assert_eq!(event["detail"], json!({ "n": 1 }));
}

fn cluster(more: Value) -> Value {
    let mut target = json!({
        "Arn": "arn:aws:ecs:us-east-1:000000000000:cluster/batch",
        "Input": null,
        "EcsParameters": { "TaskDefinitionArn": "report", "TaskCount": 2 },
    });
    merge(&mut target, more);
    json!({ "Target": target })
}

#[test]
fn a_cluster_gets_tasks() {
    let machine = Machine::start("2027-01-01T00:00:00Z");
    let more = cluster(json!({
        "Input": "{\"containerOverrides\": [{\"name\": \"app\", \"command\": [\"<aws.scheduler.scheduled-time>\"]}]}",
        "EcsParameters": {
            "LaunchType": "FARGATE",
            "NetworkConfiguration": { "awsvpcConfiguration": { "Subnets": ["s"], "AssignPublicIp": "ENABLED" } },
            "Tags": [{ "Key": "a", "Value": "b" }],
        },
    }));
    machine.create("nightly.report", "at(2027-01-01T00:00:00)", more);
    machine.fire("2027-01-01T00:00:00Z");
    let asked = machine.asked.lock().unwrap().clone();
    let token = asked[0]["clientToken"].clone();
    assert_eq!(
        asked,
        [json!({
            "cluster": "arn:aws:ecs:us-east-1:000000000000:cluster/batch",
            "taskDefinition": "report",
            "count": 2,
            "launchType": "FARGATE",
            "networkConfiguration": { "awsvpcConfiguration": { "subnets": ["s"], "assignPublicIp": "ENABLED" } },
            "tags": [{ "key": "a", "value": "b" }],
            "overrides": { "containerOverrides": [{ "name": "app", "command": ["2027-01-01T00:00:00Z"] }] },
            "startedBy": "chronos-schedule/nightly_report",
            "clientToken": token,
        })]
    );
    assert_eq!(machine.count("scheduler_attempts"), 0);
}

#[test]
fn what_fails_is_tried_again_under_the_same_token() {
    let machine = Machine::start("2027-01-01T00:00:00Z");
    machine.create("report", "at(2027-01-01T00:00:00)", cluster(json!({})));
    let denied = json!({ "tasks": [], "failures": [{ "reason": "RESOURCE:MEMORY" }] });
    *machine.answers.lock().unwrap() =
        vec![Ok(denied), Err(Exception::server("ServerException", "not now"))];
    assert_eq!(machine.fire("2027-01-01T00:00:00Z").as_deref(), Some("2027-01-01T00:00:01Z"));
    assert_eq!(machine.fire("2027-01-01T00:00:01Z").as_deref(), Some("2027-01-01T00:00:03Z"));
    let token = machine.asked.lock().unwrap()[0]["clientToken"].clone();
    assert_eq!(machine.asked.lock().unwrap()[1]["clientToken"], token);
    // A restart in between changes nothing.
    let machine = machine.restart("2027-01-01T00:00:02Z");
    assert_eq!(machine.fire("2027-01-01T00:00:03Z"), None);
    assert_eq!(machine.asked.lock().unwrap()[0]["clientToken"], token);
    assert_eq!(machine.fire("2027-01-02T00:00:03Z"), None);
    assert_eq!(machine.asked.lock().unwrap().len(), 1);
}

#[test]
fn what_fails_too_often_is_given_up() {
    let machine = Machine::start("2027-01-01T00:00:00Z");
    let policy = json!({ "RetryPolicy": { "MaximumRetryAttempts": 1 } });
    machine.create("report", "at(2027-01-01T00:00:00)", cluster(policy));
    let error = || Err(Exception::client("ClusterNotFoundException", "none"));
    *machine.answers.lock().unwrap() = vec![error(), error(), error()];
    machine.fire("2027-01-01T00:00:00Z");
    assert_eq!(machine.fire("2027-01-01T00:10:00Z"), None);
    let asked = machine.asked.lock().unwrap();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0], asked[1]);
}

#[test]
fn a_repeated_request_is_answered_as_the_first_was() {
    let machine = Machine::start("2027-01-01T00:00:00Z");
    let first = request("rate(1 hour)", json!({ "ClientToken": "a" }));
    let answer = machine.call(Method::POST, "/schedules/s", &first).unwrap();
    assert_eq!(machine.call(Method::POST, "/schedules/s", &first).unwrap(), answer);
    let other = request("rate(2 hours)", json!({ "ClientToken": "a" }));
    assert_eq!(machine.refused(Method::POST, "/schedules/s", &other).name, "ConflictException");
    let twice = request("rate(1 hour)", json!({ "ClientToken": "b" }));
    assert_eq!(machine.refused(Method::POST, "/schedules/s", &twice).name, "ConflictException");
    for _ in 0..2 {
        machine.call(Method::DELETE, "/schedules/s?clientToken=c", &json!({})).unwrap();
    }
    let refused = machine.refused(Method::DELETE, "/schedules/s?clientToken=d", &json!({}));
    assert_eq!(refused.name, "ResourceNotFoundException");
    // A day later the token is free.
    machine.set("2027-01-02T00:00:01Z");
    let later = request("rate(2 hours)", json!({ "ClientToken": "e" }));
    machine.call(Method::POST, "/schedules/s", &later).unwrap();
    machine.call(Method::PUT, "/schedules/s", &other).unwrap();
}

#[test]
fn a_request_that_is_not_right_is_refused() {
    let machine = Machine::start("2027-01-01T00:00:00Z");
    let queue = "arn:aws:sqs:us-east-1:000000000000:q.fifo";
    let bus = "arn:aws:events:us-east-1:000000000000:event-bus/default";
    let long = "x".repeat(65);
    for (name, expression, more) in [
        ("a b", "rate(1 hour)", json!({})),
        (long.as_str(), "rate(1 hour)", json!({})),
        ("s", "cron(bad)", json!({})),
        ("s", "cron(0 0 31 2 ? *)", json!({})),
        ("s", "@daily", json!({})),
        ("s", "rate(0 hours)", json!({})),
        ("s", "at(2026-12-31T00:00:00)", json!({})),
        ("s", "rate(1 hour)", json!({ "ScheduleExpressionTimezone": "Mars/Base" })),
        ("s", "rate(1 hour)", json!({ "StartDate": at("2026-12-31T00:00:00Z").as_second() })),
        ("s", "rate(1 hour)", json!({ "EndDate": at("2026-12-31T00:00:00Z").as_second() })),
        ("s", "rate(1 hour)", json!({ "State": "PAUSED" })),
        ("s", "rate(1 hour)", json!({ "ActionAfterCompletion": "KEEP" })),
        ("s", "rate(1 hour)", json!({ "FlexibleTimeWindow": { "Mode": "FLEXIBLE" } })),
        (
            "s",
            "rate(1 hour)",
            json!({ "FlexibleTimeWindow": { "Mode": "FLEXIBLE", "MaximumWindowInMinutes": 1441 } }),
        ),
        ("s", "rate(1 hour)", json!({ "FlexibleTimeWindow": null })),
        ("s", "rate(1 hour)", json!({ "Target": null })),
        ("s", "rate(1 hour)", json!({ "Target": { "Arn": "x" } })),
        (
            "s",
            "rate(1 hour)",
            json!({ "Target": { "Arn": "arn:aws:states:us-east-1:000000000000:stateMachine:m" } }),
        ),
        ("s", "rate(1 hour)", json!({ "Target": { "RoleArn": "role" } })),
        ("s", "rate(1 hour)", json!({ "Target": { "Input": "{" } })),
        ("s", "rate(1 hour)", json!({ "Target": { "Input": "x".repeat(262_145) } })),
        ("s", "rate(1 hour)", json!({ "Target": { "Arn": queue } })),
        ("s", "rate(1 hour)", json!({ "Target": { "Arn": bus } })),
        (
            "s",
            "rate(1 hour)",
            json!({ "Target": { "Arn": bus, "EventBridgeParameters": { "Source": "aws.s3", "DetailType": "x" } } }),
        ),
        (
            "s",
            "rate(1 hour)",
            json!({ "Target": { "EcsParameters": { "TaskDefinitionArn": "x" } } }),
        ),
        ("s", "rate(1 hour)", cluster(json!({ "EcsParameters": { "TaskCount": 11 } }))),
        ("s", "rate(1 hour)", json!({ "Target": { "DeadLetterConfig": { "Arn": queue } } })),
        (
            "s",
            "rate(1 hour)",
            json!({ "Target": { "RetryPolicy": { "MaximumRetryAttempts": 186 } } }),
        ),
        (
            "s",
            "rate(1 hour)",
            json!({ "Target": { "RetryPolicy": { "MaximumEventAgeInSeconds": 59 } } }),
        ),
        ("s", "rate(1 hour)", json!({ "ClientToken": "a b" })),
    ] {
        let path = format!("/schedules/{}", name.replace(' ', "%20"));
        let refused = machine.refused(Method::POST, &path, &request(expression, more.clone()));
        assert_eq!(refused.name, "ValidationException", "{expression} {more}");
    }
    let none = json!({ "GroupName": "none" });
    let refused = machine.refused(Method::POST, "/schedules/s", &request("rate(1 hour)", none));
    assert_eq!(refused.name, "ResourceNotFoundException");
    assert_eq!(
        machine.refused(Method::POST, "/schedules/s", &json!([])).name,
        "SerializationException"
    );
    assert_eq!(
        machine.refused(Method::PATCH, "/schedules/s", &json!({})).name,
        "UnknownOperationException"
    );
    assert_eq!(machine.count("scheduler_schedules"), 0);
}

#[test]
fn a_list_comes_in_pages_and_by_filters() {
    let machine = Machine::start("2027-01-01T00:00:00Z");
    machine.call(Method::POST, "/schedule-groups/other", &json!({})).unwrap();
    for (name, more) in [
        ("a1", json!({})),
        ("a2", json!({ "State": "DISABLED" })),
        ("b1", json!({})),
        ("a1", json!({ "GroupName": "other" })),
    ] {
        machine.create(name, "rate(1 hour)", more);
    }
    let list = |query: &str| -> (Vec<String>, Option<String>) {
        let answer = machine.call(Method::GET, &format!("/schedules?{query}"), &json!({})).unwrap();
        let names = answer["Schedules"].as_array().unwrap().iter();
        let names = names.map(|it| format!("{}/{}", it["GroupName"], it["Name"]).replace('"', ""));
        (names.collect(), answer["NextToken"].as_str().map(str::to_owned))
    };
    assert_eq!(list("").0, ["default/a1", "default/a2", "default/b1", "other/a1"]);
    assert_eq!(list("NamePrefix=a&State=ENABLED").0, ["default/a1", "other/a1"]);
    assert_eq!(list("ScheduleGroup=other").0, ["other/a1"]);
    let (first, token) = list("MaxResults=3");
    assert_eq!(first, ["default/a1", "default/a2", "default/b1"]);
    let token = token.unwrap().replace('/', "%2F");
    assert_eq!(
        list(&format!("MaxResults=3&NextToken={token}")),
        (vec!["other/a1".to_owned()], None)
    );
    for query in ["MaxResults=0", "MaxResults=101", "State=x", "NextToken=x", "NamePrefix=%20"] {
        let refused = machine.refused(Method::GET, &format!("/schedules?{query}"), &json!({}));
        assert_eq!(refused.name, "ValidationException", "{query}");
    }
}

#[test]
fn a_group_goes_with_all_that_is_in_it() {
    let machine = Machine::start("2027-01-01T00:00:00Z");
    let tags = json!({ "Tags": [{ "Key": "team", "Value": "a" }] });
    let made = machine.call(Method::POST, "/schedule-groups/g", &tags).unwrap();
    let arn = made["ScheduleGroupArn"].as_str().unwrap().replace('/', "%2F");
    let path = format!("/tags/{arn}");
    assert_eq!(machine.call(Method::GET, &path, &json!({})).unwrap(), tags);
    machine.call(Method::POST, &path, &json!({ "Tags": [{ "Key": "x", "Value": "y" }] })).unwrap();
    machine.call(Method::DELETE, &format!("{path}?TagKeys=team"), &json!({})).unwrap();
    let left = json!({ "Tags": [{ "Key": "x", "Value": "y" }] });
    assert_eq!(machine.call(Method::GET, &path, &json!({})).unwrap(), left);
    assert_eq!(
        machine.refused(Method::POST, "/schedule-groups/g", &json!({})).name,
        "ConflictException"
    );
    machine.create("s", "rate(1 hour)", json!({ "GroupName": "g" }));
    machine.call(Method::DELETE, "/schedule-groups/g", &json!({})).unwrap();
    assert_eq!(machine.count("scheduler_schedules"), 0);
    assert_eq!(
        machine.refused(Method::GET, "/schedule-groups/g", &json!({})).name,
        "ResourceNotFoundException"
    );
    assert_eq!(
        machine.refused(Method::DELETE, "/schedule-groups/default", &json!({})).name,
        "ValidationException"
    );
}

#[test]
fn an_update_replaces_all_of_a_schedule() {
    let machine = Machine::start("2027-01-01T00:00:00Z");
    machine.create("s", "rate(1 hour)", json!({ "Description": "first", "State": "DISABLED" }));
    machine.set("2027-01-01T01:00:00Z");
    let second = request("cron(0 12 * * ? *)", json!({}));
    machine.call(Method::PUT, "/schedules/s", &second).unwrap();
    let shown = machine.call(Method::GET, "/schedules/s", &json!({})).unwrap();
    assert_eq!(shown.get("Description"), None);
    assert_eq!(shown["State"], "ENABLED");
    let age =
        shown["LastModificationDate"].as_f64().unwrap() - shown["CreationDate"].as_f64().unwrap();
    assert_eq!(SignedDuration::from_secs_f64(age), SignedDuration::from_hours(1));
    assert_eq!(shown["Target"]["RetryPolicy"]["MaximumRetryAttempts"], 185);
    let refused = machine.refused(Method::PUT, "/schedules/none", &second);
    assert_eq!(refused.name, "ResourceNotFoundException");
}
