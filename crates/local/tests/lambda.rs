//! Functions on the real `lambda_runtime`, in processes of their own: what ends well, what ends badly, and what is kept.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use axum::body::Bytes;
use serde_json::{Value, json};
use support::{Local, TempDir, function, last_attempt, receive, soon};
use taskferry_local::lambda::{FailedInvocation, FunctionsConfig, InvokeOutcome};
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
    fail_for_good_with(event, environment, timeout, |_| {}).await
}

async fn fail_for_good_with(
    event: Value,
    environment: &[(&str, &str)],
    timeout: Duration,
    configure: impl FnOnce(&mut FunctionsConfig),
) -> FailedInvocation {
    let local = Local::start_with(TempDir::new(), configure).await;
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
    local.until_queued(0).await;
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
async fn what_may_pass_is_tried_until_it_has_and_counts_for_nothing() {
    let local = Local::start_with(TempDir::new(), |config| {
        config.passing_delays = [Duration::from_millis(1); 2];
    })
    .await;
    let mut ended = local.functions.ended();
    local.functions.deploy("f", function(&[], LONG)).unwrap();
    let path = local.dir.path().join("calls");
    local.enqueue("f", &json!({ "do": "fail", "times": 7, "path": path, "errorType": "Passing" }));
    for _ in 0..7 {
        let attempt = receive(&mut ended).await;
        assert_eq!((attempt.attempt, attempt.is_counted), (1, false));
        assert_eq!(attempt.error.unwrap().error_type, "Passing");
        assert_eq!(attempt.retry_after, Some(Duration::from_millis(1)));
    }
    let attempt = receive(&mut ended).await;
    assert_eq!((attempt.attempt, attempt.is_counted, attempt.error), (1, true, None));
    local.until_queued(0).await;
    assert_eq!(local.functions.failed().unwrap(), []);
    local.stop().await;
}

#[tokio::test]
async fn what_may_pass_counts_once_the_event_is_too_old() {
    let local =
        Local::start_with(TempDir::new(), |config| config.event_age_max = Duration::ZERO).await;
    let mut ended = local.functions.ended();
    local.functions.deploy("f", function(&[], LONG)).unwrap();
    local.enqueue("f", &json!({ "do": "error", "errorType": "Passing" }));
    let last = last_attempt(&mut ended).await;
    assert_eq!((last.attempt, last.is_counted), (3, true));
    assert_eq!(local.functions.failed().unwrap().len(), 1);
    local.stop().await;
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

/// An event that has waited for a process for too long.
async fn wait_for_good(init: &str) -> FailedInvocation {
    let too_old = |config: &mut FunctionsConfig| {
        (config.event_age_max, config.init_timeout) = (Duration::ZERO, Duration::from_millis(250));
    };
    fail_for_good_with(json!({}), &[("INIT", init)], LONG, too_old).await
}

#[tokio::test]
async fn an_exit_before_the_first_invocation_fails_those_that_have_waited_too_long() {
    let kept = wait_for_good("exit").await;
    assert_eq!(kept.error_type, "Runtime.ExitError");
    assert!(kept.error_message.contains("exit status: 7"), "{kept:?}");
}

#[tokio::test]
async fn a_reported_init_error_is_the_one_kept() {
    let kept = wait_for_good("report").await;
    assert_eq!(kept.error_type, "Test.NoConfiguration");
    assert_eq!(kept.error_message, "no configuration");
}

#[tokio::test]
async fn processes_that_do_not_get_to_their_first_invocation_count_against_no_event() {
    let local = Local::start_with(TempDir::new(), |config| {
        config.passing_delays = [Duration::from_millis(1); 2];
        config.init_timeout = Duration::from_secs(20);
    })
    .await;
    let mut ended = local.functions.ended();
    for init in ["exit", "report", "exit"] {
        local.functions.deploy("f", function(&[("INIT", init)], LONG)).unwrap();
        local.enqueue("f", &json!({}));
        for _ in 0..3 {
            let attempt = receive(&mut ended).await;
            assert_eq!((attempt.attempt, attempt.is_counted), (1, false));
        }
    }
    local.functions.deploy("f", function(&[], LONG)).unwrap();
    local.until_queued(0).await;
    assert_eq!(local.functions.failed().unwrap(), []);
    local.stop().await;
}

#[tokio::test]
async fn a_command_that_does_not_exist_fails_those_that_wait() {
    let local = Local::start().await;
    let mut broken = function(&[], LONG);
    broken.command = vec!["/nonexistent/bootstrap".into()];
    local.functions.deploy("f", broken).unwrap();
    let (error_type, message) = failed(invoke(&local, "f", json!({})).await);
    assert_eq!(error_type, "Runtime.InvalidEntrypoint");
    assert!(message.starts_with("cannot start /nonexistent/bootstrap: "), "{message}");
    local.stop().await;
}

#[tokio::test]
async fn a_start_that_hangs_is_given_up() {
    let local = Local::start_with(TempDir::new(), |config| {
        config.init_timeout = Duration::from_millis(100);
    })
    .await;
    local.functions.deploy("f", function(&[("INIT", "hang")], LONG)).unwrap();
    let (error_type, message) = failed(invoke(&local, "f", json!({})).await);
    assert_eq!(error_type, "Sandbox.Timedout");
    assert_eq!(message, "the function asked for no invocation within 0.10 seconds");
    local.stop().await;
}

#[tokio::test]
async fn an_event_that_always_fails_does_not_hold_up_others() {
    let local = Local::start_with(TempDir::new(), |config| {
        config.concurrency_limit = 1;
        config.retry_delays = [Duration::from_hours(1); 2];
    })
    .await;
    let mut ended = local.functions.ended();
    local.enqueue("f", &json!({ "do": "error" }));
    local.enqueue("f", &json!({ "do": "exit" }));
    local.enqueue("f", &json!({}));
    local.functions.deploy("f", function(&[], LONG)).unwrap();
    let attempts =
        [receive(&mut ended).await, receive(&mut ended).await, receive(&mut ended).await];
    assert_eq!(attempts.map(|attempt| attempt.error.is_some()), [true, true, false]);
    local.until_queued(2).await;
    local.stop().await;
}

#[tokio::test]
async fn attempts_are_remembered_over_a_restart() {
    let local = Local::start_with(TempDir::new(), |config| {
        config.retry_delays = [Duration::from_hours(1); 2];
    })
    .await;
    let mut ended = local.functions.ended();
    local.functions.deploy("f", function(&[], LONG)).unwrap();
    local.enqueue("f", &json!({ "do": "error" }));
    assert_eq!(receive(&mut ended).await.retry_after, Some(Duration::from_hours(1)));
    let dir = local.stop().await;

    // Its delays are short, and what was to be done in an hour is done at once: a clock may have been set.
    let local = Local::start_with(dir, |_| {}).await;
    let mut ended = local.functions.ended();
    local.functions.deploy("f", function(&[], LONG)).unwrap();
    assert_eq!(receive(&mut ended).await.attempt, 2);
    assert_eq!(receive(&mut ended).await.attempt, 3);
    local.stop().await;
}

#[tokio::test]
async fn every_invocation_ends_in_success_or_is_kept() {
    let local = Local::start().await;
    let mut ended = local.functions.ended();
    local.functions.deploy("f", function(&[], LONG)).unwrap();
    let events = ["echo", "error", "echo", "panic", "echo", "exit", "echo", "echo"];
    for number in 0..200 {
        let event = events[number % events.len()];
        local.enqueue("f", &json!({ "do": event, "number": number }));
        if number % 50 == 25 {
            local.functions.deploy("f", function(&[], LONG)).unwrap();
        }
    }
    let mut succeeded = 0;
    for _ in 0..200 {
        succeeded += u32::from(last_attempt(&mut ended).await.error.is_none());
    }
    assert_eq!(succeeded, 125);
    local.until_queued(0).await;
    let kept = local.functions.failed().unwrap();
    assert_eq!(kept.len(), 75);
    assert!(kept.iter().all(|kept| kept.attempts == 3), "{kept:?}");
    local.stop().await;
}

/// Takes the next function process that "meets", and says which process it is.
async fn meet(listener: &TcpListener) -> (TcpStream, String) {
    let (mut stream, _) = soon(listener.accept()).await.unwrap();
    let mut pid = String::new();
    soon(BufReader::new(&mut stream).read_line(&mut pid)).await.unwrap();
    (stream, pid.trim().to_owned())
}

#[tokio::test]
async fn no_more_processes_work_than_allowed() {
    let local = Local::start_with(TempDir::new(), |config| config.concurrency_limit = 2).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let event = json!({ "do": "meet", "address": listener.local_addr().unwrap().to_string() });
    let mut ended = local.functions.ended();
    local.functions.deploy("f", function(&[], LONG)).unwrap();
    for _ in 0..8 {
        local.enqueue("f", &event);
    }
    let mut pids = HashSet::new();
    let (mut first, pid) = meet(&listener).await;
    pids.insert(pid);
    for _ in 0..7 {
        // Two are at work at once.
        let (second, pid) = meet(&listener).await;
        pids.insert(pid);
        drop(first);
        assert_eq!(receive(&mut ended).await.error, None);
        first = second;
    }
    drop(first);
    receive(&mut ended).await;
    assert_eq!(pids.len(), 2, "{pids:?}");
    local.stop().await;
}

#[tokio::test]
async fn a_redeployment_lets_the_old_finish_and_sends_new_work_to_the_new() {
    let local = Local::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut ended = local.functions.ended();
    local.functions.deploy("f", function(&[("RULES", "old")], LONG)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    local.enqueue("f", &json!({ "do": "meet", "address": address }));
    let (stream, _) = meet(&listener).await;

    local.functions.deploy("f", function(&[("RULES", "new")], LONG)).unwrap();
    let environment = returned(invoke(&local, "f", json!({ "do": "environment" })).await);
    assert_eq!(environment["RULES"], "new");
    assert_eq!(receive(&mut ended).await.error, None);
    drop(stream);
    assert_eq!(receive(&mut ended).await.error, None);
    local.stop().await;
}

#[tokio::test]
async fn a_function_finds_what_lambda_promises_and_nothing_of_ours() {
    let local = Local::start().await;
    local.functions.deploy("f", function(&[("MINE", "1"), ("TZ", "Asia/Seoul")], LONG)).unwrap();
    let environment = returned(invoke(&local, "f", json!({ "do": "environment" })).await);
    let names: Vec<&str> = environment.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "AWS_ACCESS_KEY_ID",
            "AWS_DEFAULT_REGION",
            "AWS_ENDPOINT_URL",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
            "AWS_LAMBDA_FUNCTION_NAME",
            "AWS_LAMBDA_FUNCTION_VERSION",
            "AWS_LAMBDA_INITIALIZATION_TYPE",
            "AWS_LAMBDA_LOG_GROUP_NAME",
            "AWS_LAMBDA_LOG_STREAM_NAME",
            "AWS_LAMBDA_RUNTIME_API",
            "AWS_REGION",
            "AWS_SECRET_ACCESS_KEY",
            "LAMBDA_TASK_ROOT",
            "MINE",
            "PATH",
            "TZ",
            // The runtime sets it from the header of each invocation.
            "_X_AMZN_TRACE_ID",
        ]
    );
    assert_eq!(environment["AWS_ENDPOINT_URL"], format!("http://{}", local.addr));
    assert_eq!(environment["TZ"], ":UTC");
    let context = returned(invoke(&local, "f", json!({ "do": "context" })).await);
    assert_eq!(context["arn"], "arn:aws:lambda:us-east-1:000000000000:function:f");
    assert!((28..=30).contains(&context["remaining"].as_u64().unwrap()), "{context}");
    local.stop().await;
}

#[tokio::test]
async fn logs_go_to_a_file_and_to_listeners() {
    let local = Local::start().await;
    let mut lines = local.functions.logs();
    local.functions.deploy("f", function(&[], LONG)).unwrap();
    let event = json!({ "do": "print", "text": "one\r\ntwo " });
    returned(invoke(&local, "f", event).await);
    let mut seen = HashSet::new();
    while seen.len() < 3 {
        let line = receive(&mut lines).await;
        assert_eq!(&*line.function, "f");
        seen.insert(line.line);
    }
    assert_eq!(seen, ["one", "two \u{fffd}", "to stderr"].map(str::to_owned).into());
    let log = local.functions.logs_dir().join("f.log");
    let dir = local.stop().await;
    let log = std::fs::read(log).unwrap();
    assert!(log.windows(8).any(|bytes| bytes == b"one\ntwo "), "{log:?}");
    drop(dir);
}

#[tokio::test]
async fn a_function_that_prints_without_end_waits_for_no_listener() {
    let local = Local::start_with(TempDir::new(), |config| config.log_bytes_max = u64::MAX).await;
    // It never reads.
    let lines = local.functions.logs();
    local.functions.deploy("f", function(&[], LONG)).unwrap();
    let event = json!({ "do": "print", "text": "x".repeat(64 * 1024), "times": 400 });
    returned(invoke(&local, "f", event).await);
    let log = local.functions.logs_dir().join("f.log");
    let dir = local.stop().await;
    let log = std::fs::read(log).unwrap();
    let printed: usize = log.split(|&byte| byte != b'x').map(<[u8]>::len).sum();
    assert_eq!(printed, 400 * 64 * 1024);
    let longest = log.split(|&byte| byte == b'\n').map(<[u8]>::len).max();
    assert_eq!(longest, Some(16 * 1024));
    drop((lines, dir));
}

#[tokio::test]
async fn a_response_of_six_megabytes_is_taken_and_a_larger_one_is_an_error() {
    let local = Local::start().await;
    local.functions.deploy("f", function(&[], LONG)).unwrap();
    let grow = |bytes: usize| json!({ "do": "grow", "bytes": bytes - 2 });
    let grown = returned(invoke(&local, "f", grow(6_291_556)).await);
    assert_eq!(grown.as_str().map(str::len), Some(6_291_554));
    let (error_type, _) = failed(invoke(&local, "f", grow(6_291_557)).await);
    assert_eq!(error_type, "Function.ResponseSizeTooLarge");
    // The same process goes on.
    assert_eq!(returned(invoke(&local, "f", json!(1)).await), json!(1));
    local.stop().await;
}

#[tokio::test]
async fn events_of_a_function_that_is_held_wait_for_the_next_start() {
    let local = Local::start().await;
    local.functions.deploy("f", function(&[], LONG)).unwrap();
    let mut ended = local.functions.ended();
    local.enqueue("f", &json!({}));
    receive(&mut ended).await;
    local.functions.hold(&["f"]).await;
    // Would fail for good in no time, where failures have no delay.
    local.enqueue("f", &json!({ "do": "error" }));
    let dir = local.stop().await;

    let local = Local::start_with(dir, |_| {}).await;
    assert_eq!(
        (local.count("lambda_invocations"), local.count("lambda_failed_invocations")),
        (1, 0)
    );
    local.stop().await;
}

#[tokio::test]
async fn a_shutdown_keeps_what_still_runs_in_the_queue() {
    let local = Local::start_with(TempDir::new(), |config| {
        config.shutdown_timeout = Duration::ZERO;
    })
    .await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    local.functions.deploy("f", function(&[], LONG)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    local.enqueue("f", &json!({ "do": "meet", "address": address }));
    let (stream, pid) = meet(&listener).await;
    let dir = local.stop().await;
    assert!(!is_alive(&pid));
    drop(stream);

    let local = Local::start_with(dir, |_| {}).await;
    let mut ended = local.functions.ended();
    local.functions.deploy("f", function(&[], LONG)).unwrap();
    drop(meet(&listener).await);
    let again = receive(&mut ended).await;
    assert_eq!((again.attempt, again.error), (1, None));

    // What is queued once nothing is left of that is no less in its turn.
    local.until_queued(0).await;
    local.enqueue("f", &json!({ "do": "context" }));
    receive(&mut ended).await;
    local.stop().await;
}

/// Whether a process runs; one that has ended and was not waited for does not.
fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Waits until a process has ended. There is nothing to be notified by: it is nobody's child here.
async fn ends(pid: &str) {
    let begin = Instant::now();
    while is_alive(pid) {
        assert!(begin.elapsed() < Duration::from_mins(1), "{pid} lives");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The server of the next test, which runs once more in a process of its own, since that is killed.
async fn serve_until_killed(dir: String) {
    let address = std::env::var("MEET_AT").unwrap();
    let local = Local::start_with(TempDir::keep(dir.into()), |_| {}).await;
    local.functions.deploy("idle", function(&[], LONG)).unwrap();
    local.functions.deploy("busy", function(&[], LONG)).unwrap();
    local.enqueue("busy", &json!({ "do": "meet", "address": address }));
    let context = returned(invoke(&local, "idle", json!({ "do": "context" })).await);
    std::io::Write::write_all(
        &mut std::io::stdout(),
        format!("idle={}\n", context["pid"]).as_bytes(),
    )
    .unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_killed_server_leaves_no_process_and_loses_no_invocation() {
    if let Ok(dir) = std::env::var("SERVE_IN") {
        return serve_until_killed(dir).await;
    }
    let this = "a_killed_server_leaves_no_process_and_loses_no_invocation";
    let dir = TempDir::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut server = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", this, "--nocapture"])
        .env("SERVE_IN", dir.path())
        .env("MEET_AT", listener.local_addr().unwrap().to_string())
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let idle = loop {
        let line = soon(lines.next_line()).await.unwrap().expect("it prints the process");
        if let Some((_, pid)) = line.split_once("idle=") {
            break pid.to_owned();
        }
    };
    let (stream, busy) = meet(&listener).await;
    // SIGKILL.
    server.kill().await.unwrap();
    ends(&idle).await;
    assert!(is_alive(&busy), "it waits for the meeting to end, and does not know yet");

    let local = Local::start_with(dir, |_| {}).await;
    ends(&busy).await;
    let mut ended = local.functions.ended();
    local.functions.deploy("busy", function(&[], LONG)).unwrap();
    drop(meet(&listener).await);
    assert_eq!(receive(&mut ended).await.error, None);
    local.until_queued(0).await;
    drop(stream);
    local.stop().await;
}

#[tokio::test]
async fn the_invoke_api_answers_as_lambda_does() {
    let local = Local::start().await;
    local.functions.deploy("f", function(&[], LONG)).unwrap();
    let mut ended = local.functions.ended();
    let path = "/2015-03-31/functions/f/invocations";
    let kind = |kind: &'static str| [("x-amz-invocation-type", kind)];

    let answer = local.http("POST", path, &[], br#"{"a": 1}"#).await;
    assert_eq!((answer.status, answer.json()), (200, json!({ "a": 1 })));
    assert_eq!(answer.header("x-amz-executed-version"), Some("$latest"));
    assert_eq!(answer.header("x-amz-function-error"), None);

    let arn = "arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Af";
    let answer = local
        .http(
            "POST",
            &format!("/2015-03-31/functions/{arn}/invocations"),
            &[],
            br#"{"do": "error"}"#,
        )
        .await;
    assert_eq!((answer.status, answer.header("x-amz-function-error")), (200, Some("unhandled")));
    assert_eq!(answer.json()["errorMessage"], "it was told to");

    receive(&mut ended).await;
    receive(&mut ended).await;
    let answer = local.http("POST", path, &kind("Event"), br#"{"a": 1}"#).await;
    assert_eq!((answer.status, &answer.body[..]), (202, &b""[..]));
    let attempt = receive(&mut ended).await;
    assert_eq!(Some(&*attempt.request_id), answer.header("x-amzn-requestid"));

    assert_eq!(local.http("POST", path, &kind("DryRun"), b"").await.status, 204);
    assert_eq!(local.http("POST", path, &kind("Sometimes"), b"").await.status, 400);
    assert_eq!(local.http("POST", path, &[], b"{").await.status, 400);
    let unknown = local.http("POST", "/2015-03-31/functions/g/invocations", &[], b"{}").await;
    assert_eq!(unknown.status, 404);
    assert_eq!(unknown.header("x-amzn-errortype"), Some("resourcenotfoundexception"));

    let long = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2)).into_bytes();
    for (invocation_type, bytes, status) in [
        ("RequestResponse", 6 * 1024 * 1024, 200),
        ("RequestResponse", 6 * 1024 * 1024 + 1, 413),
        ("Event", 1024 * 1024, 202),
        ("Event", 1024 * 1024 + 1, 413),
    ] {
        let answer = local.http("POST", path, &kind(invocation_type), &long(bytes)).await;
        assert_eq!(answer.status, status, "{invocation_type} {bytes}");
    }
    local.stop().await;
}

#[tokio::test]
async fn a_stranger_to_the_runtime_api_is_refused() {
    let local = Local::start().await;
    let call = |method: &'static str, path: &str| {
        let path = format!("/_lambda/stranger/2018-06-01/runtime/{path}");
        let local = &local;
        async move { local.http(method, &path, &[], b"{}").await.status }
    };
    assert_eq!(call("GET", "invocation/next").await, 403);
    assert_eq!(call("POST", "invocation/1/response").await, 400);
    assert_eq!(call("POST", "invocation/1/error").await, 400);
    assert_eq!(call("POST", "init/error").await, 403);
    assert_eq!(call("POST", "invocation/next").await, 404);
    local.stop().await;
}
