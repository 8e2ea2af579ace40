//! Faults on request: each as ECS has it, with the least share that always happens.

use tokio::{sync::broadcast, time::Instant};

use super::*;
use crate::ecs::faults::{Fault, FaultShare, Made};

/// An ECS on which these faults happen each time.
fn fixture(containers: Containers, faults: &[&str]) -> Fixture {
    let shares = faults.iter().map(|fault| format!("{fault}=100%").parse::<FaultShare>().unwrap());
    let fixture = Fixture::with(containers, shares.collect());
    let definition = json!({
        "family": "f", "networkMode": "awsvpc", "cpu": "256", "memory": "512",
        "requiresCompatibilities": ["FARGATE"],
        "containerDefinitions": [{ "name": "app", "image": "i", "command": ["sleep", "1000"] }],
    });
    fixture.ok("RegisterTaskDefinition", &definition);
    fixture
}

fn run_task(more: &Value) -> Value {
    let mut request = json!({
        "cluster": "c", "taskDefinition": "f", "startedBy": "me/1", "clientToken": "token",
        "networkConfiguration": { "awsvpcConfiguration": { "subnets": ["subnet-1"] } },
    });
    for (member, value) in more.as_object().unwrap() {
        request[member] = value.clone();
    }
    request
}

fn on_fargate() -> Value {
    run_task(&json!({ "launchType": "FARGATE" }))
}

fn on(provider: &str) -> Value {
    run_task(
        &json!({ "capacityProviderStrategy": [{ "capacityProvider": provider, "weight": 1 }] }),
    )
}

/// The ARN of the one task of an answer.
fn arn(answer: &Value) -> &str {
    answer["tasks"][0]["taskArn"].as_str().unwrap()
}

fn told(made: &mut broadcast::Receiver<Made>) -> Vec<(Fault, String)> {
    std::iter::from_fn(|| made.try_recv().ok()).map(|made| (made.fault, made.what)).collect()
}

impl Fixture {
    fn listed(&self) -> usize {
        self.ok("ListTasks", &json!({ "cluster": "c" }))["taskArns"].as_array().unwrap().len()
    }
}

#[tokio::test]
async fn a_throttled_call_has_no_effect() {
    let fixture = fixture(Containers::Stub, &["throttle"]);
    let mut made = fixture.ecs.faults();
    for (operation, request) in [
        ("RunTask", on_fargate()),
        ("StopTask", json!({ "cluster": "c", "task": "none" })),
        ("DescribeTasks", json!({ "cluster": "c", "tasks": ["none"] })),
        ("ListTasks", json!({ "cluster": "c" })),
    ] {
        let exception = fixture.ecs.answer(operation, request).unwrap_err();
        assert_eq!(
            (exception.name, exception.message.as_str()),
            ("ThrottlingException", "Rate exceeded")
        );
        assert_eq!(exception.status, 400);
    }
    assert_eq!(fixture.listed(), 0);
    let told = told(&mut made);
    assert_eq!(told.len(), 4);
    let what = "RunTask for me/1 is answered with a ThrottlingException".to_owned();
    assert_eq!(told[0], (Fault::Throttle, what));

    let taken = fixture.ecs.answer("DescribeClusters", json!({ "clusters": ["c"] }));
    assert_eq!(taken.unwrap()["failures"], json!([]), "what has nothing to do with tasks is not");
    fixture.ok("RunTask", &on_fargate());
}

#[tokio::test]
async fn a_failure_is_no_task_and_the_same_again_under_the_same_token() {
    let fixture = fixture(Containers::Stub, &["failures"]);
    let mut made = fixture.ecs.faults();
    let first = fixture.ok("RunTask", &on_fargate());
    assert_eq!(first["tasks"], json!([]));
    let reason = first["failures"][0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("Capacity is unavailable at this time."), "{reason}");
    assert_eq!(fixture.ok("RunTask", &on_fargate()), first);
    let what = "RunTask for me/1 is answered with failures[] and no task".to_owned();
    assert_eq!(told(&mut made)[0], (Fault::Failures, what));

    fixture.register("ec2", &[]);
    let two = json!({ "cluster": "c", "taskDefinition": "ec2", "count": 2 });
    let failures = fixture.ok("RunTask", &two)["failures"].clone();
    assert_eq!(failures.as_array().unwrap().len(), 2);
    assert_eq!(failures[0]["reason"], "RESOURCE:MEMORY");
    assert!(failures[0]["arn"].as_str().unwrap().contains(":container-instance/"), "{failures}");
    assert_eq!(fixture.listed(), 0);
}

#[tokio::test]
async fn what_is_refused_is_refused_whatever_room_there_is() {
    let fixture = fixture(Containers::Stub, &["failures"]);
    let refused = fixture.refused("RunTask", &run_task(&json!({ "taskDefinition": "none" })));
    assert_eq!(refused.message, "TaskDefinition not found.");
}

#[tokio::test]
async fn an_answer_is_lost_when_something_was_done() {
    let fixture = fixture(Containers::Stub, &["lost-response"]);
    let mut made = fixture.ecs.faults();
    let launched = fixture.ecs.answer("RunTask", on_fargate());
    assert!(fixture.ecs.loses("RunTask", &launched));
    let arn = arn(launched.as_ref().unwrap()).to_owned();
    let again = fixture.ok("RunTask", &on_fargate());
    assert_eq!(self::arn(&again), arn, "the same request finds what was done");
    let stopped = fixture.ecs.answer("StopTask", json!({ "cluster": "c", "task": arn }));
    assert!(fixture.ecs.loses("StopTask", &stopped));
    let what = "is done, and its connection closed without an answer";
    let expected = ["RunTask", "StopTask"]
        .map(|operation| (Fault::LostResponse, format!("{operation} for me/1 {what}")));
    assert_eq!(told(&mut made), expected);

    let refused = fixture.ecs.answer("RunTask", run_task(&json!({ "taskDefinition": "none" })));
    let read = fixture.ecs.answer("ListTasks", json!({ "cluster": "c" }));
    let none = Ok(json!({ "tasks": [], "failures": [{ "reason": "RESOURCE:MEMORY" }] }));
    for (operation, answer) in [("RunTask", refused), ("ListTasks", read), ("RunTask", none)] {
        assert!(!fixture.ecs.loses(operation, &answer), "{operation}: {answer:?}");
    }
}

#[tokio::test]
async fn each_event_comes_twice_with_the_same_version() {
    let fixture = fixture(Containers::Stub, &["duplicate-event"]);
    let mut made = fixture.ecs.faults();
    let answer = fixture.ok("RunTask", &on_fargate());
    let arn = arn(&answer);
    fixture.until_stopped(arn).await;
    let versions: Vec<_> =
        fixture.steps(arn).iter().map(|step| step["version"].as_u64().unwrap()).collect();
    assert_eq!(versions, (1..=8).flat_map(|version| [version; 2]).collect::<Vec<_>>());
    let told = told(&mut made);
    assert_eq!(told.len(), 8);
    let id = arn.rsplit('/').next().unwrap();
    let what = format!("PROVISIONING of task {id} is told twice");
    assert_eq!(told[0], (Fault::DuplicateEvent, what));
}

#[tokio::test]
async fn each_event_but_the_last_comes_late_and_so_behind_it() {
    let fixture = fixture(Containers::Stub, &["reordered-event"]);
    let mut made = fixture.ecs.faults();
    let answer = fixture.ok("RunTask", &on_fargate());
    let arn = arn(&answer);
    fixture.until_stopped(arn).await;
    let stopped = fixture.steps(arn);
    assert_eq!(stopped[0]["lastStatus"], "STOPPED");
    let first = tokio::time::timeout(PATIENCE, made.recv()).await.unwrap().unwrap();
    assert_eq!(first.fault, Fault::ReorderedEvent);
    assert!(first.what.ends_with(" is told 1 s late"), "{}", first.what);
    for _ in 1..7 {
        tokio::time::timeout(PATIENCE, made.recv()).await.unwrap().unwrap();
    }
    let mut versions: Vec<_> =
        fixture.steps(arn).iter().map(|step| step["version"].as_u64().unwrap()).collect();
    assert_eq!(versions[0], 8);
    versions.sort_unstable();
    assert_eq!(versions, (1..=8).collect::<Vec<_>>(), "each comes once");
}

#[tokio::test]
async fn an_event_that_nobody_wants_is_neither_doubled_nor_told_of() {
    let fixture = fixture(Containers::Stub, &["duplicate-event", "reordered-event"]);
    fixture.ecs.events.eventbridge.subscribe(Vec::new());
    let mut made = fixture.ecs.faults();
    let answer = fixture.ok("RunTask", &on_fargate());
    fixture.until_stopped(arn(&answer)).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(told(&mut made), []);
}

#[tokio::test]
async fn a_slow_task_stays_as_it_is_launched_for_a_while() {
    let fixture = fixture(Containers::Stub, &["slow-start"]);
    let mut made = fixture.ecs.faults();
    let began = Instant::now();
    let answer = fixture.ok("RunTask", &on_fargate());
    let arn = arn(&answer);
    assert_eq!(fixture.describe(arn)["lastStatus"], "PROVISIONING");
    let id = arn.rsplit('/').next().unwrap();
    let what = format!("task {id} stays PROVISIONING for 3 s");
    assert_eq!(told(&mut made), [(Fault::SlowStart, what)]);
    let task = fixture.until_stopped(arn).await;
    assert!(began.elapsed() >= Duration::from_secs(3));
    assert_eq!(task["stopCode"], "EssentialContainerExited");
    let steps: Vec<_> =
        fixture.steps(arn).into_iter().map(|step| step["lastStatus"].clone()).collect();
    assert_eq!(steps[..4], ["PROVISIONING", "PENDING", "ACTIVATING", "RUNNING"]);
}

#[tokio::test]
async fn a_slow_task_that_is_stopped_does_not_start() {
    let fixture = fixture(Containers::HostProcesses, &["slow-start"]);
    let began = Instant::now();
    let answer = fixture.ok("RunTask", &on_fargate());
    fixture.ok("StopTask", &json!({ "cluster": "c", "task": arn(&answer), "reason": "enough" }));
    let task = fixture.until_stopped(arn(&answer)).await;
    assert!(began.elapsed() < Duration::from_secs(3), "nobody waits for what is to stop");
    assert_eq!(
        (&task["stopCode"], &task["stoppedReason"]),
        (&json!("UserInitiated"), &json!("enough"))
    );
    assert_eq!(task["startedAt"], Value::Null);
    assert_eq!(task["containers"][0]["exitCode"], Value::Null);
}

#[tokio::test]
async fn a_task_on_spot_is_interrupted_as_ecs_says_it() {
    let fixture = fixture(Containers::HostProcesses, &["spot-interruption"]);
    let mut made = fixture.ecs.faults();
    let answer = fixture.ok("RunTask", &on("FARGATE_SPOT"));
    let arn = arn(&answer);
    let task = fixture.until_stopped(arn).await;
    assert_eq!(task["stopCode"], "SpotInterruption");
    assert_eq!(task["stoppedReason"], "Your Spot Task was interrupted.");
    assert_eq!(task["containers"][0]["exitCode"], 128 + 15, "it got SIGTERM");
    let id = arn.rsplit('/').next().unwrap();
    let what = format!("task {id} is told to stop");
    assert_eq!(told(&mut made), [(Fault::SpotInterruption, what)]);
    let notice = fixture.steps(arn).into_iter().find(|step| step["stopCode"] == "SpotInterruption");
    assert_eq!(notice.unwrap()["lastStatus"], "RUNNING", "it is told before it ends");
}

#[tokio::test]
async fn a_task_elsewhere_is_not_interrupted() {
    let fixture = fixture(Containers::HostProcesses, &["spot-interruption"]);
    let mut made = fixture.ecs.faults();
    let mut arns = Vec::new();
    for (token, mut request) in [("1", on("FARGATE")), ("2", on_fargate())] {
        request["clientToken"] = json!(token);
        let answer = fixture.ok("RunTask", &request);
        fixture.until(arn(&answer), "RUNNING").await;
        arns.push(arn(&answer).to_owned());
    }
    // Longer than an interruption lets a task run.
    tokio::time::sleep(Duration::from_millis(2200)).await;
    for arn in &arns {
        assert_eq!(fixture.describe(arn)["lastStatus"], "RUNNING");
    }
    fixture.ecs.shutdown().await;
    assert_eq!(told(&mut made), []);
}

#[tokio::test]
async fn without_a_request_there_is_no_fault() {
    let fixture = Fixture::new(Containers::Stub);
    assert!(fixture.ecs.config.faults.is_none());
    fixture.register("f", &[]);
    let request = json!({ "cluster": "c", "taskDefinition": "f" });
    let answer = fixture.ecs.answer("RunTask", request);
    assert!(!fixture.ecs.loses("RunTask", &answer));
    fixture.until_stopped(arn(&answer.unwrap())).await;
}
