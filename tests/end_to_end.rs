//! Through the real program: events in at one end, what tasks did at the other.

use std::{fs, io::Write as _, net::TcpStream, process::Command};

use serde_json::{Value, json};
use taskferry_aws::{Clients, Objects};
use taskferry_tests::{Project, eventually, post};

/// Rules whose tasks need nothing but what every machine has.
const RULES: &str = r#"
name: e2e
# What dies with `dev` is not done again here: the tests look at its end.
defaults: { retry: { classes: { infrastructure: { attempts: 1 } } } }
taskDefinitions:
  print:
    containerDefinitions:
      - { name: app, image: none, memory: 64, entryPoint: [printf, "%s"], command: [nothing] }
  exit:
    containerDefinitions:
      - { name: app, image: none, memory: 64, entryPoint: [sh, -c], command: ["exit 9"] }
  missing:
    containerDefinitions:
      - { name: app, image: none, memory: 64, command: [no-such-program] }
  sleep:
    containerDefinitions:
      - { name: app, image: none, memory: 64, command: [sleep, "1000"] }
  shout:
    containerDefinitions:
      - { name: app, image: none, memory: 64, command: [head, -c, "100000000", /dev/zero] }
  script:
    containerDefinitions:
      - { name: app, image: none, memory: 64 }

local:
  containers:
    script/app: { entryPoint: [sh, script.sh] }

rules:
  - name: print
    on: { s3: { bucket: keys } }
    target:
      taskDefinition: print
      overrides: { containerOverrides: [ { name: app, command: ["{{ detail.object.key }}"] } ] }
  - name: bus
    on: { eventPattern: { source: [aws.s3], detail: { object: { key: [ { prefix: both/ } ] } } } }
    target:
      taskDefinition: script
      overrides: { containerOverrides: [ { name: app, command: ["{{ detail.object.key }}"] } ] }
  - name: order
    on: { eventPattern: { source: [shop], detail-type: [Order] } }
    target:
      taskDefinition: print
      overrides: { containerOverrides: [ { name: app, command: ["{{ detail.order }}"] } ] }
  - name: exit
    on: { eventPattern: { source: [shop], detail-type: [Exit] } }
    target: { taskDefinition: exit }
  - name: missing
    on: { eventPattern: { source: [shop], detail-type: [Missing] } }
    target: { taskDefinition: missing }
  - name: sleep
    on: { eventPattern: { source: [shop], detail-type: [Sleep] } }
    target: { taskDefinition: sleep }
  - name: shout
    on: { eventPattern: { source: [shop], detail-type: [Shout] } }
    target: { taskDefinition: shout }
"#;

fn send(project: &Project, detail_type: &str, detail: &Value) {
    let event = json!({ "source": "shop", "detail-type": detail_type, "detail": detail });
    project.write("event.json", &event.to_string());
    project.stdout(&["send", "--event", "event.json"]);
}

async fn objects(endpoint: &str) -> Objects {
    Clients::of_endpoint(endpoint).await.objects()
}

/// The processes whose command line holds this text.
fn processes(text: &str) -> Vec<String> {
    let listed = Command::new("ps").args(["-eo", "pid,args"]).output().expect("ps starts");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    listed.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
}

/// A transcript without what differs from run to run.
fn told(transcript: &str) -> String {
    let mut told = String::new();
    for line in transcript.lines() {
        let mut words = Vec::new();
        for word in line.split(' ') {
            let is_hexadecimal =
                |word: &str| word.len() == 12 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
            words.push(match word {
                word if is_hexadecimal(word) => "ID",
                word if word.starts_with("http://127.0.0.1:") && !word.contains("4566") => "URL",
                word if word.starts_with('/') => "DIR",
                word if word.split_once('.').is_some_and(|(whole, part)| {
                    part.len() == 3 && whole.parse::<u32>().is_ok() && part.parse::<u32>().is_ok()
                }) =>
                {
                    "0.000"
                }
                word => word,
            });
        }
        told.push_str(words.join(" ").trim());
        told.push('\n');
    }
    told
}

#[test]
fn the_demo_tells_its_steps_and_leaves_nothing_running() {
    let project = Project::new("");
    let dir = project.dir().join("demo");
    let transcript = told(&project.stdout(&["demo", "--dir", dir.to_str().unwrap()]));
    // Functions are processes of their own: which of two tells its step first is not decided. That a short task was seen to
    // run is news only if that came before its end.
    let (mut steps, rest): (Vec<_>, Vec<_>) =
        transcript.lines().partition(|line| line.starts_with("0.000 s"));
    steps.retain(|step| !step.ends_with(" running"));
    let order = ["start", "ready", "put", "route", "plan", "launch", "track", "get"];
    steps.sort_by_key(|step| order.iter().position(|word| step.contains(&format!("  {word} "))));
    insta::assert_snapshot!(format!("{}\n{}", steps.join("\n"), rest.join("\n")));
    assert_eq!(processes(dir.to_str().unwrap()), [""; 0]);
}

#[test]
fn the_demo_shows_a_schedule_and_a_queue_too() {
    let project = Project::new("");
    for (example, lines) in [
        (
            "nightly-report",
            &["fire      nightly-report", "4 orders, € 1201.00 in all.", "| Ada | € 952.00 |"][..],
        ),
        (
            "queue-workers",
            &["duplicate invoice", "container `worker` exited with 65", "In all € 675.00."],
        ),
    ] {
        let dir = project.dir().join(example);
        let demo = ["demo", example, "--dir", dir.to_str().unwrap()];
        let transcript = project.stdout(&demo);
        for line in lines {
            assert!(transcript.contains(line), "{line}: {transcript}");
        }
        let again = project.taskferry(&demo);
        let told = String::from_utf8(again.stderr).unwrap();
        assert!(!again.status.success() && told.contains("was shown here before"), "{told}");
        assert_eq!(processes(dir.to_str().unwrap()), [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_key_reaches_its_task_byte_for_byte() {
    let project = Project::new(RULES);
    let dev = project.dev();
    let objects = objects(&dev.endpoint).await;
    let long = "k".repeat(1024);
    let keys = [
        "plain.txt",
        "a b  c",
        "a+b",
        "100%",
        "%2B%20",
        "한국/파일.csv",
        "😀",
        "a//b",
        "../up",
        "{{ detail }}",
        "quote\"back\\slash'",
        "new\nline\ttab",
        "$(rm -rf x)`x`;|&",
        "-n",
        "ünïcode/é",
        long.as_str(),
    ];
    for key in keys {
        objects.put("keys", key, b"x".to_vec()).await.unwrap();
    }
    let runs = project.ended_runs("print", keys.len());
    let mut printed: Vec<String> = runs
        .iter()
        .map(|run| {
            assert_eq!(run["status"], "succeeded", "{run}");
            project.stdout(&["runs", "logs", run["id"].as_str().unwrap()])
        })
        .collect();
    let mut expected = keys.map(str::to_owned).to_vec();
    printed.sort();
    expected.sort();
    assert_eq!(printed, expected);
    dev.stop("INT");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_told_to_the_event_bus_too_and_a_script_beside_the_rules_is_found() {
    let project = Project::new(RULES);
    project.write("script.sh", "printf 'script got %s' \"$1\"");
    let dev = project.dev();
    objects(&dev.endpoint).await.put("keys", "both/a", b"x".to_vec()).await.unwrap();
    let run = &project.ended_runs("bus", 1)[0];
    assert_eq!(run["status"], "succeeded", "{run}");
    assert_eq!(project.stdout(&["runs", "logs", run["id"].as_str().unwrap()]), "script got both/a");
    assert_eq!(project.ended_runs("print", 1).len(), 1);
    dev.stop("INT");
}

#[test]
fn a_run_is_told_for_programs_with_every_key() {
    let project = Project::new(RULES);
    let dev = project.dev();
    send(&project, "Exit", &json!({}));
    let runs = project.ended_runs("exit", 1);
    insta::assert_json_snapshot!(runs, {
        "[].id" => "ID", "[].dedupeKey" => "KEY", "[].event.id" => "ID", "[].event.time" => "TIME",
        "[].createdAt" => "TIME", "[].endedAt" => "TIME", "[].attempts[].taskArn" => "ARN",
        "[].attempts[].createdAt" => "TIME", "[].attempts[].startedAt" => "TIME",
        "[].attempts[].stoppedAt" => "TIME",
    });
    dev.stop("TERM");
}

#[test]
fn a_command_that_is_not_there_is_named() {
    let project = Project::new(RULES);
    let dev = project.dev();
    send(&project, "Missing", &json!({}));
    let runs = project.ended_runs("missing", 1);
    assert_eq!(runs[0]["attempts"][0]["stopCode"], "TaskFailedToStart");
    let reason = runs[0]["reason"].as_str().unwrap();
    assert!(
        reason.contains("CannotStartContainerError") && reason.contains("no-such-program"),
        "{reason}"
    );
    dev.stop("INT");
}

#[test]
fn an_event_that_a_template_does_not_fit_fails_its_run_alone() {
    let project = Project::new(RULES);
    let dev = project.dev();
    send(&project, "Order", &json!({ "other": 1 }));
    send(&project, "Order", &json!({ "order": 2 }));
    let runs = project.ended_runs("order", 2);
    let statuses: Vec<_> = runs.iter().map(|run| run["status"].as_str().unwrap()).collect();
    assert!(statuses.contains(&"failed") && statuses.contains(&"succeeded"), "{statuses:?}");
    let failed = runs.iter().find(|run| run["status"] == "failed").unwrap();
    let reason = failed["reason"].as_str().unwrap();
    assert!(reason.contains("detail.order"), "{reason}");
    dev.stop("INT");
}

#[test]
fn a_run_is_stopped_and_its_processes_with_it() {
    let project = Project::new(RULES);
    let dev = project.dev();
    send(&project, "Sleep", &json!({}));
    let id = eventually("a running run", || {
        let runs = project.runs();
        let running = runs.iter().find(|run| run["status"] == "running")?;
        Some(running["id"].as_str()?.to_owned())
    });
    project.stdout(&["runs", "stop", &id, "--reason", "enough"]);
    let runs = project.ended_runs("sleep", 1);
    assert_eq!(runs[0]["status"], "cancelled");
    assert_eq!(runs[0]["attempts"][0]["stoppedReason"], "enough");
    assert_eq!(project.taskferry(&["runs", "stop", &id]).status.code(), Some(1));
    for nothing in ["", "~", "%"] {
        assert_eq!(project.taskferry(&["runs", "show", nothing]).status.code(), Some(2));
    }
    dev.stop("INT");
}

#[test]
fn a_task_that_writes_100_mb_disturbs_nobody() {
    let project = Project::new(RULES);
    let dev = project.dev();
    send(&project, "Shout", &json!({}));
    send(&project, "Order", &json!({ "order": 1 }));
    assert_eq!(project.ended_runs("order", 1)[0]["status"], "succeeded");
    let runs = project.ended_runs("shout", 1);
    assert_eq!(runs[0]["status"], "succeeded");
    let log = project.taskferry(&["runs", "logs", runs[0]["id"].as_str().unwrap()]).stdout;
    assert_eq!(log.len(), 100_000_000);
    dev.stop("INT");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_right_after_an_answered_put_loses_no_event_and_doubles_none() {
    let project = Project::new(RULES);
    for round in 0..3 {
        let dev = project.dev();
        let objects = objects(&dev.endpoint).await;
        for number in 0..20 {
            objects.put("keys", &format!("{round}/{number}"), b"x".to_vec()).await.unwrap();
        }
        dev.kill();
    }
    let dev = project.dev();
    project.ended_runs("print", 60);
    // Each object has a run, and no run has more than the one task that ECS knows.
    let runs = project.runs();
    assert_eq!(runs.len(), 60);
    let tasks = fs::read_dir(project.dir().join(".taskferry/tasks")).unwrap().count();
    assert!(tasks <= 60, "{tasks} tasks for 60 runs");
    dev.stop("INT");
}

#[test]
fn the_tasks_of_a_killed_dev_end_with_it_and_their_runs_say_so() {
    let project = Project::new(RULES);
    let dev = project.dev();
    send(&project, "Sleep", &json!({}));
    eventually("a running run", || {
        project.runs().iter().find(|run| run["status"] == "running").cloned()
    });
    dev.kill();
    let state = project.dir().to_str().unwrap().to_owned();
    eventually("the end of all processes", || processes(&state).is_empty().then_some(()));

    let dev = project.dev();
    let runs = project.ended_runs("sleep", 1);
    assert_eq!(runs[0]["status"], "failed");
    assert_eq!(runs[0]["attempts"][0]["failureClass"], "infrastructure", "{}", runs[0]);
    dev.stop("INT");
    assert_eq!(processes(&state), [""; 0]);
}

#[test]
fn a_run_ends_though_its_stack_was_renamed_meanwhile() {
    let project = Project::new(RULES);
    let dev = project.dev();
    send(&project, "Sleep", &json!({}));
    let run = eventually("a running run", || {
        project.runs().into_iter().find(|run| run["status"] == "running")
    });
    let log = || fs::read_to_string(project.dir().join("dev.log")).unwrap();
    project.write("taskferry.yaml", &RULES.replace("name: e2e", "name: renamed"));
    eventually("the new rules", || log().contains("was read again").then_some(()));
    project.stdout(&["runs", "stop", run["id"].as_str().unwrap()]);
    assert_eq!(project.ended_runs("sleep", 1)[0]["status"], "cancelled");

    send(&project, "Sleep", &json!({}));
    eventually("another", || project.runs().into_iter().find(|run| run["status"] == "running"));
    dev.kill();
    project.write("taskferry.yaml", RULES);
    let dev = project.dev();
    assert_eq!(project.ended_runs("sleep", 2)[0]["status"], "failed");
    dev.stop("INT");
}

#[test]
fn a_changed_file_is_read_again_and_a_broken_one_is_refused() {
    let project = Project::new(RULES);
    let dev = project.dev();
    let log = || fs::read_to_string(project.dir().join("dev.log")).unwrap();

    project.write("taskferry.yaml", &RULES.replace("detail-type: [Order]", "detail-tpye: ["));
    eventually("the refusal", || log().contains("the rules of before stay in force").then_some(()));
    send(&project, "Order", &json!({ "order": 1 }));
    project.ended_runs("order", 1);

    project.write(
        "taskferry.yaml",
        &RULES.replace("detail-type: [Order]", "detail-type: [Bestellung]"),
    );
    eventually("the new rules", || log().contains("was read again").then_some(()));
    send(&project, "Bestellung", &json!({ "order": 2 }));
    project.ended_runs("order", 2);
    dev.stop("INT");
}

#[test]
fn what_keeps_dev_from_starting_is_told_with_what_to_do() {
    let project = Project::new(RULES);
    let dev = project.dev();
    let port = dev.endpoint.rsplit(':').next().unwrap();

    let refused = |arguments: &[&str]| {
        let output = project.taskferry(arguments);
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let told = refused(&["dev", "--port", port, "--state", "other"]);
    assert!(told.contains(&format!("port {port} is in use")) && told.contains("hint: "), "{told}");
    let told = refused(&["dev", "--port", "0"]);
    assert!(told.contains(&format!("process {}", dev.pid())), "{told}");
    dev.stop("INT");

    let path = project.dir().join(".taskferry/runs.db");
    drop(taskferry_local::db::Db::open(&path, &[""; 99]).unwrap());
    let told = refused(&["dev", "--port", "0"]);
    assert!(told.contains("schema version 99"), "{told}");
}

#[test]
fn payloads_that_are_none_of_the_sources_are_refused_with_their_reason() {
    let project = Project::new(RULES);
    let dev = project.dev();
    let invoke = |function: &str, payload: &[u8]| {
        let path = format!("/2015-03-31/functions/{function}/invocations");
        post(&dev.endpoint, &path, &[("content-type", "application/json")], payload)
    };
    let refused = |function: &str, payload: &[u8]| {
        let answer = invoke(function, payload);
        assert!(answer.head.to_lowercase().contains("x-amz-function-error"), "{answer:?}");
        answer.body
    };
    let told = refused("s3", br#"{"hello":1}"#);
    assert!(
        told.contains("Taskferry.Refused") && told.contains("not an S3 event notification"),
        "{told}"
    );
    let told = refused("eventbridge", br#"{"source":"shop"}"#);
    assert!(told.contains("missing field `id`"), "{told}");
    let told = refused(
        "task-state-change",
        br#"{"id":"1","source":"shop","detail-type":"Order","time":"t","detail":{}}"#,
    );
    assert!(told.contains("not an ECS Task State Change"), "{told}");

    let test_event =
        invoke("s3", br#"{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"keys"}"#);
    assert_eq!((test_event.status, test_event.body.as_str()), (200, "null"));
    assert_eq!(invoke("s3", b"not json").status, 400);
    assert_eq!(project.runs().len(), 0);
    dev.stop("INT");
}

#[test]
fn calls_of_the_wrong_shape_are_refused_in_the_words_of_aws() {
    let project = Project::new(RULES);
    let dev = project.dev();
    let call = |target: &str, body: &[u8]| {
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target)];
        post(&dev.endpoint, "/", &headers, body)
    };
    let ecs = "AmazonEC2ContainerServiceV20141113";
    let told = call(&format!("{ecs}.RunTask"), br#"{"taskDefinition":7}"#);
    assert!(told.status == 400 && told.body.contains("SerializationException"), "{told:?}");
    let told = call(&format!("{ecs}.RunTask"), b"{");
    assert!(told.status == 400 && told.body.contains("SerializationException"), "{told:?}");
    let told = call(&format!("{ecs}.NoSuchOperation"), b"{}");
    assert!(told.status == 400 && told.body.contains("UnknownOperationException"), "{told:?}");
    let told = call("AWSEvents.PutEvents", &vec![b' '; 20 << 20]);
    assert!((400..=413).contains(&told.status), "{told:?}");
    dev.stop("INT");
}

#[test]
fn an_event_waits_for_records_that_are_out_of_reach_and_is_not_given_up() {
    let project = Project::new(RULES);
    let dev = project.dev();
    let log = || fs::read_to_string(project.dir().join("dev.log")).unwrap();
    let state = project.dir().join(".taskferry");
    // The old processes have the records open.
    let moved = ["runs.db", "runs.db-wal", "runs.db-shm"].map(|name| {
        let paths = (state.join(name), state.join(format!("away-{name}")));
        paths.0.exists().then(|| fs::rename(&paths.0, &paths.1).map(|()| paths).unwrap())
    });
    fs::create_dir(state.join("runs.db")).unwrap();
    project.write("taskferry.yaml", &format!("{RULES}# changed\n"));
    eventually("new processes", || log().contains("was read again").then_some(()));

    send(&project, "Order", &json!({ "order": 1 }));
    // Oftener than an invocation is tried that counts.
    eventually("uncounted attempts", || (log().matches("not counted").count() > 3).then_some(()));
    fs::remove_dir(state.join("runs.db")).unwrap();
    for (path, away) in moved.into_iter().flatten() {
        fs::rename(away, path).unwrap();
    }
    assert_eq!(project.ended_runs("order", 1)[0]["status"], "succeeded");
    assert!(!log().contains("given up"), "{}", log());
    dev.stop("INT");
}

#[test]
fn a_function_that_fails_is_told_in_one_line_and_wholly_in_its_log() {
    let project = Project::new(RULES);
    let dev = project.dev();
    let path = "/2015-03-31/functions/s3/invocations";
    let refused = post(&dev.endpoint, path, &[], br#"{"hello":1}"#);
    assert_eq!(refused.status, 200);
    let log = || fs::read_to_string(project.dir().join("dev.log")).unwrap();
    let told = eventually("the line", || {
        log().lines().find(|line| line.contains("s3 failed")).map(str::to_owned)
    });
    assert!(
        told.contains("Taskferry.Refused: the payload is not an S3 event notification"),
        "{told}"
    );
    dev.stop("INT");
    assert!(!log().contains("Diagnostic"), "{}", log());
    let whole = fs::read_to_string(project.dir().join(".taskferry/logs/s3.log")).unwrap();
    assert!(whole.contains("Taskferry.Refused"), "{whole}");
}

#[test]
fn a_state_directory_that_is_deleted_ends_dev_with_the_reason() {
    let project = Project::new(RULES);
    let dev = project.dev();
    // In one step: what is deleted file by file is written to meanwhile.
    fs::rename(project.dir().join(".taskferry"), project.dir().join("gone")).unwrap();
    assert_eq!(dev.wait().code(), Some(2));
    let log = fs::read_to_string(project.dir().join("dev.log")).unwrap();
    assert!(log.contains(".taskferry was deleted or moved while in use"), "{log}");
    assert_eq!(processes(project.dir().to_str().unwrap()), [""; 0]);
}

#[test]
fn a_schedule_fires_and_a_time_that_had_its_run_starts_no_second() {
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(3);
    let soon = soon.strftime("%Y-%m-%dT%H:%M:%S").to_string();
    let project = Project::new(&format!(
        r#"
name: clock
taskDefinitions:
  print:
    containerDefinitions:
      - {{ name: app, image: none, memory: 64, entryPoint: [printf, "%s"], command: [nothing] }}
rules:
  - name: once
    on: {{ schedule: "at({soon})", input: {{ day: "{{{{ detail.localTime[:10] }}}}" }} }}
    target:
      taskDefinition: print
      overrides: {{ containerOverrides: [ {{ name: app, command: ["{{{{ detail.input.day }}}}"] }} ] }}
  - name: later
    on: {{ schedule: "at(2100-01-01T00:00:00)" }}
    target: {{ taskDefinition: print }}
"#
    ));
    let dev = project.dev();
    let [run] = project.ended_runs("once", 1).try_into().expect("one run");
    assert_eq!(run["status"], "succeeded");
    assert_eq!(run["event"]["time"], format!("{soon}Z"));
    let id = run["id"].as_str().expect("an id").to_owned();
    let told = project.stdout(&["runs", "logs", &id]);
    assert_eq!(told.trim_end(), &soon[..10], "{told}");
    // Fired again for the same time, as Scheduler may; and for another.
    let again = project.stdout(&["send", "--schedule", "once", "--at", &format!("{soon}Z")]);
    assert_eq!(run["event"]["id"], again.trim());
    eventually("the line of the second", || {
        let log = fs::read_to_string(project.dir().join("dev.log")).unwrap();
        let run = &id[..12];
        log.contains(&format!("duplicate once run {run}")).then_some(())
    });
    // The endpoint of the environment is that of this machine under another name: it is this one still.
    let endpoint = dev.endpoint.replace("127.0.0.1", "localhost");
    let other = project
        .command(&["send", "--schedule", "once", "--at", "2027-01-31T00:00:00Z"])
        .env("AWS_ENDPOINT_URL", &endpoint)
        .output()
        .unwrap();
    assert!(other.status.success(), "{other:?}");
    let other = String::from_utf8(other.stdout).unwrap();
    let runs = project.ended_runs("once", 2);
    assert!(runs.iter().any(|run| run["event"]["id"] == other.trim()), "{other} {runs:?}");
    // A time to come is left to the schedule itself, which would find its run made.
    let early = project.taskferry(&["send", "--schedule", "later", "--at", "2100-01-01T00:00:00Z"]);
    let early = String::from_utf8(early.stderr).unwrap();
    assert!(early.contains("fires at 2100-01-01T00:00:00Z by itself"), "{early}");
    // Anywhere else it is Scheduler's to fire.
    let elsewhere = project
        .command(&["send", "--schedule", "once"])
        .env("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        .output()
        .unwrap();
    let told = String::from_utf8(elsewhere.stderr).unwrap();
    assert!(
        !elsewhere.status.success() && told.contains("AWS_ENDPOINT_URL is http://127.0.0.1:1,"),
        "{told}"
    );
    dev.stop("INT");
    // What it was asked while it is down does not come again when it is up.
    let dev = project.dev();
    assert_eq!(project.runs().len(), 2);
    dev.stop("INT");
}

#[test]
fn what_a_schedule_missed_is_one_run_as_the_rule_says() {
    let rule = |name: &str, missed: &str| {
        format!(
            "  - name: {name}\n    on: {{ schedule: 'cron(* * * * ? *)', missed: {missed} }}\n    target: {{ taskDefinition: exit }}\n"
        )
    };
    let rules = format!("{RULES}{}{}", rule("skips", "skip"), rule("once", "once"));
    let project = Project::new(&rules);
    project.dev().stop("INT");
    // As if it had been down for an hour.
    let db =
        rusqlite::Connection::open(project.dir().join(".taskferry/aws.db")).expect("the state");
    let moved = db.execute("UPDATE scheduler_schedules SET next_at = next_at - 3600000", []);
    assert_eq!(moved.expect("it is ours"), 2);
    drop(db);
    let dev = project.dev();
    let missed = |rule: &str, status: &str| {
        eventually(&format!("what {rule} missed"), || {
            project.runs().into_iter().find(|run| run["rule"] == rule && run["status"] == status)
        })
    };
    let skipped = missed("skips", "skipped");
    let reason = skipped["reason"].as_str().expect("a reason");
    assert!(reason.contains("earlier times were missed"), "{reason}");
    missed("once", "failed");
    dev.stop("INT");
}

#[test]
fn as_many_clients_as_there_is_room_for_keep_no_event_from_its_run() {
    let project = Project::new(RULES);
    let dev = project.dev();
    let address = dev.endpoint.trim_start_matches("http://");
    // No function has begun yet, and each will have to connect.
    let mut clients: Vec<_> = (0..450).map(|_| TcpStream::connect(address).unwrap()).collect();
    let put = "PUT /keys/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
    clients[0].write_all(put.as_bytes()).unwrap();
    let runs = project.ended_runs("print", 1);
    assert_eq!(runs[0]["status"], "succeeded");
    drop(clients);
    dev.stop("INT");
}
