//! Functions on the real `lambda_runtime`, in processes of their own: what ends well, what ends badly, and what is kept.

mod support;

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use axum::body::Bytes;
use serde_json::{Value, json};
use support::{Local, TempDir, function, last_attempt, receive, soon};
use taskferry_local::lambda::{FailedInvocation, InvokeOutcome};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

const LONG: Duration = Duration::from_secs(30);

async fn invoke(local: &Local, name: &str, event: Value) -> InvokeOutcome {
    soon(local.functions.invoke(name, Bytes::from(event.to_string()))).await.unwrap()
}

/// What a function returned.
#[track_caller]
fn returned(outcome: InvokeOutcome) -> Value {
    match outcome {
        InvokeOutcome::Succeeded(payload) => serde_json::from_slice(&payload).unwrap(),
        InvokeOutcome::Failed(error) => panic!("{error:?}"),
    }
}

/// A function's error type and message.
#[track_caller]
fn failed(outcome: InvokeOutcome) -> (String, String) {
    match outcome {
        InvokeOutcome::Succeeded(payload) => panic!("{payload:?}"),
        InvokeOutcome::Failed(error) => (error.error_type, error.message),
    }
}

/// Queues one event, waits for its last attempt, and gives what was kept.
async fn fail_for_good(
    event: Value,
    environment: &[(&str, &str)],
    timeout: Duration,
) -> FailedInvocation {
    let local = Local::start().await;
    let mut ended = local.functions.ended();
    local.functions.deploy("f", function(environment, timeout)).unwrap();
    local.enqueue("f", &event);
    let last = last_attempt(&mut ended).await;
    assert_eq!(last.attempt, 3);
    let kept = local.functions.failed().unwrap();
    assert_eq!(local.count("lambda_invocations"), 0);
    local.stop().await;
    assert_eq!(kept.len(), 1);
    assert_eq!((kept[0].attempts, &kept[0].payload), (3, &event.to_string()));
    kept.into_iter().next().unwrap()
}

#[tokio::test]
async fn an_invocation_is_answered() {
    let local = Local::start().await;
    local.functions.deploy("f", function(&[], LONG)).unwrap();
    let event = json!({ "keys": ["a+b", "한국어", "🚢"] });
    assert_eq!(returned(invoke(&local, "f", event.clone()).await), event);
    local.stop().await;
}

#[tokio::test]
async fn a_queued_invocation_leaves_the_queue_once_answered() {
    let local = Local::start().await;
    let mut ended = local.functions.ended();
    local.functions.deploy("f", function(&[], LONG)).unwrap();
    local.enqueue("f", &json!({}));
    let attempt = receive(&mut ended).await;
    assert_eq!((attempt.attempt, attempt.error), (1, None));
    assert_eq!(local.count("lambda_invocations"), 0);
    assert_eq!(local.functions.failed().unwrap(), []);
    local.stop().await;
}

#[tokio::test]
async fn a_function_error_is_retried_under_the_same_request_id() {
    let local = Local::start().await;
    let mut ended = local.functions.ended();
    local.functions.deploy("f", function(&[], LONG)).unwrap();
    let path = local.dir.path().join("calls");
    local.enqueue("f", &json!({ "do": "fail", "times": 2, "path": path }));
    let attempts =
        [receive(&mut ended).await, receive(&mut ended).await, receive(&mut ended).await];
    assert_eq!(attempts.each_ref().map(|it| it.attempt), [1, 2, 3]);
    assert_eq!(attempts.each_ref().map(|it| it.error.is_some()), [true, true, false]);
    let ids: Vec<String> =
        std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 1, "{ids:?}");
    assert_eq!(local.functions.failed().unwrap(), []);
    local.stop().await;
}

#[tokio::test]
async fn a_function_error_is_kept_after_three_attempts() {
    let kept = fail_for_good(json!({ "do": "error" }), &[], LONG).await;
    assert_eq!(kept.error_message, "it was told to");
}

#[tokio::test]
async fn a_panic_is_a_function_error() {
    let kept = fail_for_good(json!({ "do": "panic" }), &[], LONG).await;
    assert!(kept.error_message.contains("it was told to panic"), "{kept:?}");
}

#[tokio::test]
async fn a_crash_is_retried_and_kept() {
    let kept = fail_for_good(json!({ "do": "exit" }), &[], LONG).await;
    assert_eq!(kept.error_type, "Runtime.ExitError");
    assert!(kept.error_message.ends_with("Runtime exited with error: exit status: 3"), "{kept:?}");
}

#[tokio::test]
async fn a_function_that_takes_too_long_is_killed() {
    let kept = fail_for_good(json!({ "do": "hang" }), &[], Duration::from_millis(250)).await;
    assert_eq!(kept.error_type, "Sandbox.Timedout");
    assert!(kept.error_message.ends_with("Task timed out after 0.25 seconds"), "{kept:?}");
}

#[tokio::test]
async fn an_exit_before_the_first_invocation_fails_those_that_wait() {
    let kept = fail_for_good(json!({}), &[("INIT", "exit")], LONG).await;
    assert_eq!(kept.error_type, "Runtime.ExitError");
    assert!(kept.error_message.contains("exit status: 7"), "{kept:?}");
}

#[tokio::test]
async fn a_reported_init_error_is_the_one_kept() {
    let kept = fail_for_good(json!({}), &[("INIT", "report")], LONG).await;
    assert_eq!(kept.error_type, "Test.NoConfiguration");
    assert_eq!(kept.error_message, "no configuration");
}
