//! Every status met by every happening, in one golden table, and what any order of them comes to.

use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    chain::LifecycleEvent,
    launch::Failure,
    limits::LimitId,
    run::{HeldMessage, Policy, RunEvent, RunId, StartedBy, Stop},
};

const NAME: &str = "media";
const STACK: Stack<'_> = Stack { name: NAME, publishes: false };

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A run that is due, with one attempt as far as the status says.
pub(crate) fn run(status: Status) -> Run {
    let has_task = (Status::Starting..=Status::Stopping).contains(&status);
    let ended = |at| status.is_terminal().then(|| second(at));
    Run {
        id: RunId::new(NAME, "thumbnails", "k"),
        rule: "thumbnails".to_owned(),
        status,
        reason: None,
        dedupe_key: "k".to_owned(),
        event: RunEvent {
            id: "e".to_owned(),
            source: "aws.s3".to_owned(),
            detail_type: "Object Created".to_owned(),
            time: "2026-01-01T00:00:00Z".to_owned(),
            subject: None,
        },
        created_at: second(0),
        ended_at: ended(1),
        due_at: (!status.is_terminal()).then(|| second(5)),
        essential: vec!["app".to_owned()],
        size: None,
        policy: Policy::default(),
        slots: Vec::new(),
        queue: None,
        stop: (status == Status::Stopping).then(|| Stop {
            cause: StopCause::Cancelled,
            reason: "enough".to_owned(),
            at: second(4),
        }),
        redrive_of: None,
        redriven_by: None,
        depth: 0,
        is_untaken: false,
        message: None,
        payload: None,
        outbox: Vec::new(),
        attempts: vec![Attempt {
            task_arn: has_task.then(|| "task-1".to_owned()),
            stopped_at: ended(1),
            ..Attempt::new(1, "{}".to_owned(), None, second(0))
        }],
        revision: 1,
    }
}

fn task(
    attempt: u32,
    last_status: &str,
    desired_status: &str,
    end: &serde_json::Value,
) -> TaskState {
    let run_id = run(Status::Launching).id;
    let started_by = StartedBy { name: NAME.to_owned(), run_id, attempt };
    let mut task = json!({
        "taskArn": format!("task-{attempt}"), "startedBy": started_by.to_string(),
        "lastStatus": last_status, "desiredStatus": desired_status, "version": 7,
    });
    for (name, value) in end.as_object().unwrap() {
        task[name] = value.clone();
    }
    serde_json::from_value(task).unwrap()
}

fn exited(stop_code: &str, exit_code: Option<i32>) -> serde_json::Value {
    json!({
        "stopCode": stop_code, "stoppedReason": "why", "stoppedAt": "1970-01-01T00:00:09Z",
        "containers": [{ "name": "app", "exitCode": exit_code }],
    })
}

fn stopped(stop_code: &str, exit_code: Option<i32>) -> Happening {
    Happening::Task(task(1, "STOPPED", "STOPPED", &exited(stop_code, exit_code)))
}

fn answered(answer: Answer) -> Happening {
    Happening::Answered { attempt: 1, answer }
}

fn failure(reason: &str) -> Failure {
    Failure { arn: Some("arn".to_owned()), reason: Some(reason.to_owned()), detail: None }
}

fn held() -> HeldMessage {
    HeldMessage {
        queue_arn: "arn:aws:sqs:us-east-1:000000000000:jobs".to_owned(),
        id: "message".to_owned(),
        receipt_handle: "receipt".to_owned(),
        received_at: second(10),
        extend_at: second(310),
        own_due_at: None,
        others: Vec::new(),
    }
}

/// Happenings that differ in what they mean.
fn happenings() -> Vec<(&'static str, Happening)> {
    let none = json!({});
    let state = |last, desired| Happening::Task(task(1, last, desired, &none));
    let tasks = |tasks, failures| answered(Answer::Tasks { tasks, failures });
    let not_now = |class| answered(Answer::NotNow { class, message: "later".to_owned() });
    let started = task(1, "PROVISIONING", "RUNNING", &none);
    let out_of_memory = json!({
        "stopCode": "EssentialContainerExited",
        "containers": [{ "name": "app", "exitCode": 0, "reason": "OutOfMemoryError: killed" }],
    });
    let sidecar = json!({
        "stopCode": "EssentialContainerExited",
        "containers": [{ "name": "app", "exitCode": 0 }, { "name": "sidecar", "exitCode": 3 }],
    });
    let no_containers = json!({"stopCode": "TaskFailedToStart"});
    let no_stop_code = json!({"containers": [{"name": "app", "exitCode": 0}]});
    let stop = |cause| Happening::Stop { cause, reason: "enough".to_owned() };
    let end = |end| Happening::Task(task(1, "STOPPED", "STOPPED", end));
    vec![
        ("due", Happening::Due),
        ("redelivered", Happening::Redelivered),
        ("admitted", Happening::Admitted),
        ("full", Happening::Full { limit: LimitId { name: "all".to_owned(), key: String::new() } }),
        ("published", Happening::Published { events: vec![LifecycleEvent::RunSucceeded] }),
        ("discarded", Happening::Discarded),
        ("received", Happening::Received { message: Box::new(held()) }),
        ("extended", Happening::Extended { until: second(310) }),
        ("released", Happening::Released),
        ("redriven", Happening::Redriven { by: RunId::new(NAME, "thumbnails", "k/redrive") }),
        ("paced", Happening::Paced),
        ("unpaced", Happening::Unpaced { until: second(20) }),
        ("hindered", Happening::Hindered { reason: "AWS is away".to_owned() }),
        ("skip", Happening::Skip { reason: "full".to_owned() }),
        ("stop: cancelled", stop(StopCause::Cancelled)),
        ("stop: attempt timed out", stop(StopCause::AttemptTimedOut)),
        ("stop: run timed out", stop(StopCause::RunTimedOut)),
        ("missing", Happening::Missing),
        ("answer: a task", tasks(vec![started.clone()], vec![])),
        ("answer: a task and a failure", tasks(vec![started], vec![failure("AGENT")])),
        ("answer: neither", tasks(vec![], vec![])),
        ("answer: RESOURCE:MEMORY", tasks(vec![], vec![failure("RESOURCE:MEMORY")])),
        ("answer: AGENT, ATTRIBUTE", tasks(vec![], vec![failure("AGENT"), failure("ATTRIBUTE")])),
        ("answer: conflict", answered(Answer::Conflict { task_arns: vec!["task-1".to_owned()] })),
        ("answer: throttled", not_now(FailureClass::Throttled)),
        ("answer: no capacity", not_now(FailureClass::Capacity)),
        ("answer: refused", answered(Answer::Refused { message: "AccessDenied: no".to_owned() })),
        ("answer: lost", answered(Answer::Lost { message: "reset".to_owned() })),
        ("PROVISIONING", state("PROVISIONING", "RUNNING")),
        ("RUNNING", state("RUNNING", "RUNNING")),
        ("RUNNING, to stop", state("RUNNING", "STOPPED")),
        ("STOPPING", state("STOPPING", "STOPPED")),
        ("DEPROVISIONING", state("DEPROVISIONING", "STOPPED")),
        ("of tomorrow", state("TOMORROW", "RUNNING")),
        ("STOPPED, exit 0", stopped("EssentialContainerExited", Some(0))),
        ("STOPPED, exit 3", stopped("EssentialContainerExited", Some(3))),
        ("STOPPED, no exit code", stopped("EssentialContainerExited", None)),
        ("STOPPED, exit 0, out of memory", end(&out_of_memory)),
        ("STOPPED, exit 0, sidecar 3", end(&sidecar)),
        ("STOPPED, no containers", end(&no_containers)),
        ("STOPPED, exit 0, no stop code", end(&no_stop_code)),
        ("STOPPED by user", stopped("UserInitiated", Some(143))),
        ("STOPPED, Spot", stopped("SpotInterruption", Some(143))),
    ]
}

fn told(run: &Run, decision: &Decision) -> String {
    let mut told = match &decision.next {
        None => "-".to_owned(),
        Some(next) => {
            let class = next.attempt().and_then(|attempt| attempt.failure_class);
            let class = class.map_or_else(String::new, |class| format!(" ({class})"));
            let wait = next.due_at.map(|due_at| due_at.duration_since(second(10)).as_secs());
            let wait = wait.map_or_else(String::new, |wait| format!(" due +{wait}s"));
            let reason = next.reason.as_deref().filter(|_| next.reason != run.reason);
            let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
            let attempts = next.attempts.len() - run.attempts.len();
            let attempt =
                if attempts == 0 { String::new() } else { format!(" +{attempts} attempt") };
            format!("{}{class}{attempt}{wait}{reason}", next.status)
        }
    };
    match &decision.then {
        Then::Rest => {}
        Then::StopTask { task_arn, .. } => write!(told, " => StopTask {task_arn}").unwrap(),
        Then::Admit
        | Then::Pace
        | Then::RunTask
        | Then::Find
        | Then::Describe
        | Then::Publish
        | Then::Extend
        | Then::Acknowledge
        | Then::Discard => write!(told, " => {:?}", decision.then).unwrap(),
    }
    told
}

#[test]
fn a_run_that_has_ended_only_stops_strays_and_tidies_up() {
    for status in Status::ALL.into_iter().filter(|status| status.is_terminal()) {
        for kind in Kind::ALL {
            let afterwards =
                [Ruling::StopStray, Ruling::TidyUp, Ruling::Defer, Ruling::Note, Ruling::Ignore];
            let ruling = ruling(status, kind);
            assert!(afterwards.contains(&ruling), "{status} {kind:?}: {ruling:?}");
        }
    }
}

#[test]
fn every_status_that_is_no_end_meets_every_happening() {
    let mut table = String::new();
    for status in Status::ALL.into_iter().filter(|status| !status.is_terminal()) {
        for (name, happening) in happenings() {
            let run = run(status);
            let decision = decide(STACK, &run, &happening, second(10));
            writeln!(table, "{status:<9} | {name:<30} | {}", told(&run, &decision)).unwrap();
        }
    }
    insta::assert_snapshot!(table);
}

/// What happens next to a run, in seconds after its creation.
#[track_caller]
fn check(run: &Run, at: i64, happening: &Happening, expected: &str) -> Run {
    let decision = decide(STACK, run, happening, second(at));
    let told = told(run, &decision);
    assert!(told.starts_with(expected), "{told}");
    decision.next.map_or_else(|| run.clone(), |next| *next)
}

fn with_attempts(status: Status, attempts: u32) -> Run {
    let mut run = run(status);
    run.policy.retry.attempts = std::num::NonZeroU32::new(attempts);
    run
}

#[test]
fn a_failed_attempt_is_followed_by_the_next_under_another_token() {
    let run = with_attempts(Status::Running, 2);
    let run = check(&run, 9, &stopped("EssentialContainerExited", Some(3)), "waiting (exitCode)");
    let due_at = run.due_at.unwrap().as_second() + 1;
    check(&run, due_at - 2, &Happening::Due, "-");
    check(&run, due_at, &Happening::Due, "- => Pace");
    let run = check(&run, due_at, &Happening::Paced, "launching +1 attempt");
    let request = run.attempts[1].request.as_deref().unwrap();
    assert!(request.contains(&format!("{}-2", run.id)), "{request}");
}

#[test]
fn a_denial_is_proven_before_the_next_attempt() {
    let run = run(Status::Launching);
    let denied = answered(Answer::Tasks { tasks: vec![], failures: vec![failure("RESOURCE:CPU")] });
    let run = check(&run, 1, &denied, "waiting (capacity)");
    let due_at = run.due_at.unwrap().as_second() + 1;
    check(&run, due_at, &Happening::Due, "- => Find");
    // Nothing was started after all: the next attempt.
    check(&run, due_at, &Happening::Missing, "- => Pace");
    // Or there is a task, whatever ECS had said: it is the run's.
    let found = Happening::Task(task(1, "RUNNING", "RUNNING", &json!({})));
    let run = check(&run, due_at, &found, "running");
    assert_eq!(run.attempts[0].failure_class, None);
}

#[test]
fn an_old_token_is_not_sent_again() {
    let run = run(Status::Launching);
    check(&run, 2999, &Happening::Due, "- => Pace");
    check(&run, 3000, &Happening::Due, "- => Find");
    check(&run, 3000, &Happening::Missing, "launching due");
    // It may have been sent just before that.
    check(&run, 3360, &Happening::Missing, "waiting (infrastructure)");
}

#[test]
fn a_denial_proves_nothing_while_another_sending_may_be_under_way() {
    let mut sent_twice = run(Status::Launching);
    sent_twice.attempts[0].sends = 2;
    let denied = answered(Answer::Tasks { tasks: vec![], failures: vec![failure("RESOURCE:CPU")] });
    let waiting = check(&sent_twice, 1, &denied, "waiting (capacity)");
    assert!(waiting.due_at.unwrap() >= second(361));
    // The first sending was throttled: there is none but the one that was denied.
    sent_twice.attempts[0].throttles = 1;
    let waiting = check(&sent_twice, 1, &denied, "waiting (capacity)");
    assert!(waiting.due_at.unwrap() < second(361));
}

#[test]
fn a_stop_waits_for_a_request_that_may_be_under_way() {
    let stop = Happening::Stop { cause: StopCause::Cancelled, reason: "enough".to_owned() };
    let stopping = check(&run(Status::Launching), 10, &stop, "stopping due");
    check(&stopping, 369, &Happening::Missing, "stopping");
    check(&stopping, 370, &Happening::Missing, "cancelled (stoppedByUser)");
}

#[test]
fn a_throttle_sends_the_same_attempt_again() {
    let throttled = answered(Answer::NotNow {
        class: FailureClass::Throttled,
        message: "Rate exceeded".to_owned(),
    });
    let run = check(&run(Status::Launching), 1, &throttled, "waiting");
    let due_at = run.due_at.unwrap().as_second() + 1;
    check(&run, due_at, &Happening::Due, "- => Pace");
    let run = check(&run, due_at, &Happening::Paced, "launching due");
    assert_eq!((run.attempts.len(), run.attempts[0].sends, run.attempts[0].throttles), (1, 2, 1));
}

#[test]
fn a_refusal_after_a_lost_answer_is_proven_first() {
    let lost = answered(Answer::Lost { message: "reset".to_owned() });
    let run = check(&run(Status::Launching), 1, &lost, "launching due");
    check(&run, 16, &Happening::Due, "- => Pace");
    let run = check(&run, 16, &Happening::Paced, "launching due");
    let refused = answered(Answer::Refused { message: "ClusterNotFoundException".to_owned() });
    let run = check(&run, 17, &refused, "waiting (refused)");
    check(&run, 376, &Happening::Due, "-");
    check(&run, 377, &Happening::Due, "- => Find");
    check(&run, 377, &Happening::Missing, "failed (refused)");
}

#[test]
fn the_answer_to_an_attempt_that_is_over_changes_nothing() {
    let mut run = run(Status::Launching);
    run.attempts[0].stopped_at = Some(second(1));
    run.attempts[0].failure_class = Some(FailureClass::Capacity);
    run.attempts.push(Attempt::new(2, "{}".to_owned(), None, second(3)));
    let refused = answered(Answer::Refused { message: "no".to_owned() });
    check(&run, 4, &refused, "-");
    let started = task(1, "PROVISIONING", "RUNNING", &json!({}));
    let started = answered(Answer::Tasks { tasks: vec![started], failures: vec![] });
    check(&run, 4, &started, "- => StopTask task-1");
}

#[test]
fn a_task_of_a_run_that_has_ended_is_told_to_stop() {
    let alive = Happening::Task(task(1, "RUNNING", "RUNNING", &json!({})));
    check(&run(Status::Failed), 10, &alive, "- => StopTask task-1");
}

#[test]
fn a_look_that_tells_nothing_new_is_a_look() {
    let mut run = run(Status::Running);
    run.attempts[0].version = Some(7);
    let same = Happening::Task(task(1, "RUNNING", "RUNNING", &json!({})));
    check(&run, 4, &same, "-");
    check(&run, 10, &same, "running due +600s");
}

#[test]
fn each_limit_of_time_stops_the_task_and_names_itself() {
    let mut run = run(Status::Starting);
    run.policy.timeout.start_seconds = Some(60);
    check(&run, 59, &Happening::Due, "- => Describe");
    let run = check(&run, 60, &Happening::Due, "stopping");
    assert!(run.stop.as_ref().unwrap().reason.contains("`timeout.start`, 60 s"), "{run:?}");
    let run = check(&run, 62, &stopped("UserInitiated", Some(143)), "timedOut (timedOut)");
    assert!(run.reason.unwrap().contains("timeout.start"));
}

#[test]
fn an_attempt_that_took_too_long_may_be_followed_by_another() {
    let mut run = with_attempts(Status::Running, 2);
    run.policy.timeout.run_seconds = Some(60);
    let run = check(&run, 60, &Happening::Due, "stopping");
    check(&run, 62, &stopped("UserInitiated", Some(143)), "waiting (timedOut)");
}

#[test]
fn a_task_that_ends_well_as_it_is_stopped_has_succeeded() {
    check(&run(Status::Stopping), 10, &stopped("EssentialContainerExited", Some(0)), "succeeded");
}

#[test]
fn what_a_person_stopped_is_cancelled_and_not_tried_again() {
    let run = with_attempts(Status::Stopping, 5);
    let run = check(&run, 10, &stopped("UserInitiated", Some(143)), "cancelled");
    assert_eq!(run.reason.as_deref(), Some("enough"));
}

#[test]
fn no_attempt_begins_that_the_total_leaves_no_time_for() {
    let mut run = with_attempts(Status::Running, 5);
    run.policy.timeout.total_seconds = Some(12);
    check(&run, 9, &stopped("EssentialContainerExited", Some(3)), "failed (exitCode)");
}

#[test]
fn a_task_that_ecs_has_forgotten_is_lost_to_infrastructure() {
    let run = run(Status::Running);
    check(&run, 3899, &Happening::Missing, "running due");
    check(&run, 3900, &Happening::Missing, "waiting (infrastructure)");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens in whatever order: the record stays whole.
    #[test]
    fn no_order_of_happenings_breaks_a_record(
        picks in proptest::collection::vec((0..happenings().len(), 1..700_i64), 1..60),
        attempts in 1..4_u32,
    ) {
        let happenings = happenings();
        let mut run = with_attempts(Status::Launching, attempts);
        let mut now = 0;
        for (pick, seconds) in picks {
            now += seconds;
            let decision = decide(STACK, &run, &happenings[pick].1, second(now));
            let Some(next) = decision.next else { continue };
            let stays = next.status == run.status && next.ended_at == run.ended_at;
            prop_assert!(!run.status.is_terminal() || stays, "{run:?} moved to {next:?}");
            prop_assert_eq!(next.revision, run.revision + 1);
            let is_over = next.status.is_terminal() && next.message.is_none();
            prop_assert_eq!(next.due_at.is_none(), is_over);
            prop_assert!(next.message.is_none() || next.due_at <= Some(second(now + 310)));
            prop_assert_eq!(next.ended_at.is_some(), next.status.is_terminal());
            for (index, attempt) in next.attempts.iter().enumerate() {
                prop_assert_eq!(attempt.attempt as usize, index + 1);
                prop_assert!(index + 1 == next.attempts.len() || !attempt.is_open());
            }
            run = *next;
        }
    }
}

/// Seeds 6129 and 6157 of the simulation: the limit was full when somebody looked, and free again when the run was admitted.
#[test]
fn only_what_waits_in_a_queue_is_skipped() {
    let limit = LimitId { name: "rule/thumbnails".to_owned(), key: String::new() };
    let skip = Happening::Skip { reason: "full".to_owned() };
    let mut waiting = run(Status::Waiting);
    assert_eq!(decide(STACK, &waiting, &skip, second(5)).next, None);
    waiting.queue = Some(limit);
    let next = decide(STACK, &waiting, &skip, second(5)).next;
    assert_eq!(next.map(|next| next.status), Some(Status::Skipped));
}
