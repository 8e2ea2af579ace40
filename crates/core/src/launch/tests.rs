//! What each answer of `RunTask` means, in one golden table.

use std::fmt::Write as _;

use serde_json::json;

use super::*;
use crate::run::RunId;

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn run(status: Status) -> Run {
    crate::track::tests::run(status)
}

fn task() -> TaskState {
    let run_id = RunId::new("media", "thumbnails", "k");
    let started_by = StartedBy { name: "media".to_owned(), run_id, attempt: 1 };
    serde_json::from_value(json!({
        "taskArn": "task-1", "startedBy": started_by.to_string(),
        "lastStatus": "PROVISIONING", "desiredStatus": "RUNNING", "version": 1,
    }))
    .unwrap()
}

fn failure(reason: &str) -> Failure {
    Failure { arn: Some("arn".to_owned()), reason: Some(reason.to_owned()), detail: None }
}

fn answers() -> Vec<(&'static str, Answer)> {
    let tasks = |tasks, failures| Answer::Tasks { tasks, failures };
    let not_now = |class| Answer::NotNow { class, message: "later".to_owned() };
    vec![
        ("a task", tasks(vec![task()], vec![])),
        ("a task and a failure", tasks(vec![task()], vec![failure("AGENT")])),
        ("neither", tasks(vec![], vec![])),
        ("failure RESOURCE:MEMORY", tasks(vec![], vec![failure("RESOURCE:MEMORY")])),
        ("failures AGENT, ATTRIBUTE", tasks(vec![], vec![failure("AGENT"), failure("ATTRIBUTE")])),
        ("conflict", Answer::Conflict { task_arns: vec!["task-1".to_owned()] }),
        ("throttled", not_now(FailureClass::Throttled)),
        ("no capacity", not_now(FailureClass::Capacity)),
        ("refused", Answer::Refused { message: "AccessDeniedException: no".to_owned() }),
        ("lost", Answer::Lost { message: "connection reset".to_owned() }),
    ]
}

fn told(run: &Run) -> String {
    let class = run.attempt().and_then(|attempt| attempt.failure_class);
    let class = class.map_or_else(String::new, |class| format!(" ({class})"));
    let reason = run.reason.as_deref().map_or_else(String::new, |reason| format!(": {reason}"));
    format!("{}{class}{reason}", run.status)
}

#[test]
fn every_answer_meets_a_run_that_waits_for_it_and_one_that_an_event_has_moved() {
    let mut table = String::new();
    for status in [Status::Launching, Status::Running, Status::Succeeded] {
        for (name, answer) in answers() {
            let means = match answered(&run(status), &answer, second(10)) {
                Launched::Moved(moved) => told(&moved),
                Launched::Unchanged => "unchanged".to_owned(),
                Launched::Verify { task_arns, otherwise } => {
                    format!("verify {task_arns:?}, otherwise {}", told(&otherwise))
                }
            };
            writeln!(table, "{status:<9} {name:<25} {means}").unwrap();
        }
    }
    insta::assert_snapshot!(table);
}
