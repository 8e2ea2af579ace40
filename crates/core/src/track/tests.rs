//! Every status met by every state of a task, in one golden table, and what any order of them comes to.

use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::run::{Attempt, RunEvent, RunId};

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

pub(crate) fn run(status: Status) -> Run {
    Run {
        id: RunId::new("media", "thumbnails", "k"),
        rule: "thumbnails".to_owned(),
        status,
        reason: None,
        dedupe_key: "k".to_owned(),
        event: RunEvent {
            id: "e".to_owned(),
            source: "aws.s3".to_owned(),
            detail_type: "Object Created".to_owned(),
            time: "2026-01-01T00:00:00Z".to_owned(),
        },
        created_at: second(0),
        ended_at: status.is_terminal().then(|| second(1)),
        essential: vec!["app".to_owned()],
        attempts: vec![Attempt {
            attempt: 1,
            request: "{}".to_owned(),
            cluster: None,
            task_arn: (status > Status::Launching).then(|| "task-1".to_owned()),
            created_at: second(0),
            started_at: None,
            stopped_at: None,
            stop_code: None,
            stopped_reason: None,
            failure_class: None,
            containers: Vec::new(),
            version: None,
        }],
        revision: 1,
    }
}

fn started_by(attempt: u32) -> String {
    StartedBy { name: "media".to_owned(), run_id: run(Status::Launching).id, attempt }.to_string()
}

/// A task's state: where it stands, where ECS wants it, and how it ended.
fn task(last_status: &str, desired_status: &str, end: &serde_json::Value) -> TaskState {
    let mut task = json!({
        "taskArn": "task-1", "startedBy": started_by(1), "lastStatus": last_status,
        "desiredStatus": desired_status, "version": 7,
    });
    for (name, value) in end.as_object().unwrap() {
        task[name] = value.clone();
    }
    serde_json::from_value(task).unwrap()
}

fn exited(stop_code: &str, exit_code: Option<i32>) -> serde_json::Value {
    json!({
        "stopCode": stop_code, "stoppedReason": "why", "stoppedAt": "2026-01-01T00:00:09Z",
        "containers": [{ "name": "app", "exitCode": exit_code }],
    })
}

/// The states of a task that differ in what they mean.
fn states() -> Vec<(&'static str, TaskState)> {
    let none = json!({});
    let out_of_memory = json!({
        "stopCode": "EssentialContainerExited",
        "containers": [{ "name": "app", "exitCode": 0, "reason": "OutOfMemoryError: killed" }],
    });
    let sidecar = json!({
        "stopCode": "EssentialContainerExited",
        "containers": [{ "name": "app", "exitCode": 0 }, { "name": "sidecar", "exitCode": 3 }],
    });
    vec![
        ("PROVISIONING", task("PROVISIONING", "RUNNING", &none)),
        ("PENDING", task("PENDING", "RUNNING", &none)),
        ("ACTIVATING", task("ACTIVATING", "RUNNING", &none)),
        ("RUNNING", task("RUNNING", "RUNNING", &none)),
        ("RUNNING, to stop", task("RUNNING", "STOPPED", &none)),
        ("DEACTIVATING", task("DEACTIVATING", "STOPPED", &none)),
        ("STOPPING", task("STOPPING", "STOPPED", &none)),
        ("DEPROVISIONING", task("DEPROVISIONING", "STOPPED", &none)),
        (
            "STOPPED, exit 0",
            task("STOPPED", "STOPPED", &exited("EssentialContainerExited", Some(0))),
        ),
        (
            "STOPPED, exit 3",
            task("STOPPED", "STOPPED", &exited("EssentialContainerExited", Some(3))),
        ),
        (
            "STOPPED, no exit code",
            task("STOPPED", "STOPPED", &exited("EssentialContainerExited", None)),
        ),
        ("STOPPED, exit 0, out of memory", task("STOPPED", "STOPPED", &out_of_memory)),
        ("STOPPED, exit 0, sidecar 3", task("STOPPED", "STOPPED", &sidecar)),
        (
            "STOPPED, no containers",
            task("STOPPED", "STOPPED", &json!({"stopCode": "TaskFailedToStart"})),
        ),
        (
            "STOPPED, exit 0, no stop code",
            task("STOPPED", "STOPPED", &json!({"containers": [{"name": "app", "exitCode": 0}]})),
        ),
        ("STOPPED by user", task("STOPPED", "STOPPED", &exited("UserInitiated", Some(143)))),
        ("STOPPED, Spot", task("STOPPED", "STOPPED", &exited("SpotInterruption", Some(143)))),
        (
            "DELETED, exit 0",
            task("DELETED", "STOPPED", &exited("EssentialContainerExited", Some(0))),
        ),
        ("of tomorrow", task("TOMORROW", "RUNNING", &none)),
    ]
}

#[test]
fn every_status_meets_every_state() {
    let mut table = String::new();
    for status in Status::ALL {
        for (name, state) in states() {
            let means = match track(&run(status), &state, second(10)) {
                Tracked::Ignored(ignored) => format!("ignored: {ignored:?}"),
                Tracked::Moved(moved) => {
                    let class = moved.attempt().unwrap().failure_class;
                    class.map_or(moved.status.to_string(), |class| {
                        format!("{} ({class})", moved.status)
                    })
                }
            };
            writeln!(table, "{status:<10} {name:<31} {means}").unwrap();
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn a_version_that_is_known_is_ignored() {
    let mut known = run(Status::Starting);
    known.attempts[0].version = Some(7);
    let ignored = track(&known, &task("RUNNING", "RUNNING", &json!({})), second(10));
    assert_eq!(ignored, Tracked::Ignored(Ignored::Stale));
}

#[test]
fn an_event_before_the_answer_of_run_task_names_the_task() {
    let Tracked::Moved(moved) =
        track(&run(Status::Launching), &task("RUNNING", "RUNNING", &json!({})), second(10))
    else {
        panic!("ignored")
    };
    assert_eq!(moved.attempt().unwrap().task_arn.as_deref(), Some("task-1"));
}

#[test]
fn a_task_of_another_attempt_is_ignored() {
    let mut other = task("STOPPED", "STOPPED", &exited("EssentialContainerExited", Some(0)));
    other.started_by = Some(started_by(2));
    let ignored = track(&run(Status::Launching), &other, second(10));
    assert_eq!(ignored, Tracked::Ignored(Ignored::OtherTask));
}

#[test]
fn every_essential_container_must_exit_with_0() {
    let mut two = run(Status::Running);
    two.essential.push("proxy".to_owned());
    let one_exited = task("STOPPED", "STOPPED", &exited("EssentialContainerExited", Some(0)));
    let Tracked::Moved(moved) = track(&two, &one_exited, second(10)) else { panic!("ignored") };
    assert_eq!(moved.status, Status::Failed);
}

#[test]
fn a_failure_is_told_in_one_sentence() {
    let failed = task("STOPPED", "STOPPED", &exited("EssentialContainerExited", Some(3)));
    let Tracked::Moved(moved) = track(&run(Status::Running), &failed, second(10)) else {
        panic!("ignored")
    };
    assert_eq!(moved.reason.as_deref(), Some("container `app` exited with 3"));
    assert_eq!(moved.ended_at, Some("2026-01-01T00:00:09Z".parse().unwrap()));
}

proptest! {
    /// ECS's events repeat and come in any order: a run ends the same, and never moves backwards.
    #[test]
    fn any_order_of_events_ends_the_same(
        order in Just((0..7_usize).chain(0..7).collect::<Vec<_>>()).prop_shuffle(),
        exit_code in 0..2_i32,
    ) {
        let statuses =
            ["PROVISIONING", "PENDING", "ACTIVATING", "RUNNING", "DEACTIVATING", "DEPROVISIONING", "STOPPED"];
        let mut tracked = run(Status::Launching);
        for index in order {
            let end = if index == 6 { exited("EssentialContainerExited", Some(exit_code)) } else { json!({}) };
            let desired = if index > 3 { "STOPPED" } else { "RUNNING" };
            let mut state = task(statuses[index], desired, &end);
            state.version = Some(i64::try_from(index).unwrap() + 1);
            if let Tracked::Moved(moved) = track(&tracked, &state, second(10)) {
                prop_assert!(moved.status >= tracked.status);
                prop_assert_eq!(moved.revision, tracked.revision + 1);
                tracked = *moved;
            }
        }
        let expected = if exit_code == 0 { Status::Succeeded } else { Status::Failed };
        prop_assert_eq!(tracked.status, expected);
        prop_assert_eq!(tracked.ended_at, Some("2026-01-01T00:00:09Z".parse().unwrap()));
    }
}
