//! What the program tells the person at the keyboard: what it takes, what it leaves out, and what to do next.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, and says where")]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    process::Stdio,
};

use serde_json::{Value, json};
use taskferry_aws::Clients;
use taskferry_tests::{Project, eventually, post, taskferry};

const RULES: &str = r#"
name: told
lifecycleEvents: true
taskDefinitions:
  print:
    containerDefinitions:
      - { name: app, image: none, memory: 64, entryPoint: [printf, "%s"], command: [nothing] }
  killed:
    containerDefinitions:
      - { name: app, image: none, memory: 64, entryPoint: [sh, -c], command: ["kill -9 $$"] }
  both:
    containerDefinitions:
      - { name: app, image: none, memory: 64, entryPoint: [printf, "%s"], command: [from app], dependsOn: [ { containerName: side, condition: SUCCESS } ] }
      - { name: side, essential: false, image: none, memory: 64, entryPoint: [printf, "%s"], command: [from side] }
  ask:
    containerDefinitions:
      - { name: app, image: none, memory: 64, entryPoint: [sh, -c], command: [printf %s $ECS_CONTAINER_METADATA_URI_V4] }
  wait:
    containerDefinitions:
      - { name: app, image: none, memory: 64, entryPoint: [sleep], command: ["60"] }
rules:
  - name: wait
    on: { eventPattern: { source: [shop], detail-type: [Wait] } }
    target: { taskDefinition: wait }
  - name: both
    on: { eventPattern: { source: [shop], detail-type: [Both] } }
    target: { taskDefinition: both }
  - name: ask
    on: { eventPattern: { source: [shop], detail-type: [Ask] } }
    target: { taskDefinition: ask }
  - name: put
    on: { s3: { bucket: uploads, prefix: in/ } }
    target: { taskDefinition: print }
  - name: order
    on: { eventPattern: { source: [shop], detail-type: [Order] } }
    dedupe: "{{ detail.order }}"
    target:
      taskDefinition: print
      overrides: { containerOverrides: [ { name: app, command: ["{{ time }} {{ detail.order }}"] } ] }
  - name: kill
    on: { eventPattern: { source: [shop], detail-type: [Kill] } }
    target: { taskDefinition: killed }
"#;

/// The lines that `taskferry dev` has written to standard error so far.
fn log(project: &Project) -> String {
    fs::read_to_string(project.dir().join("dev.log")).unwrap()
}

/// The log's first line that holds this text, without its time.
fn line(project: &Project, text: &str) -> String {
    eventually(text, || {
        let log = log(project);
        // The last line may still be being written.
        let line = log.split_inclusive('\n').find(|it| it.contains(text) && it.ends_with('\n'))?;
        let (time, rest) = line.trim_end().split_once("  ").unwrap();
        assert!(time.len() == 12 && time.as_bytes()[8] == b'.', "no time: {line}");
        Some(rest.to_owned())
    })
}

/// Sends what the file holds; the ids of the events.
#[track_caller]
fn send(project: &Project, events: &Value) -> Vec<String> {
    project.write("event.json", &events.to_string());
    project.stdout(&["send", "--event", "event.json"]).lines().map(str::to_owned).collect()
}

fn event(detail_type: &str, detail: &Value) -> Value {
    json!({ "source": "shop", "detail-type": detail_type, "detail": detail })
}

/// What a command that does not succeed says.
#[track_caller]
fn refused(project: &Project, arguments: &[&str]) -> String {
    let output = project.taskferry(arguments);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_no_rule_matches_leaves_a_line_and_those_of_tasks_leave_none() {
    let project = Project::new(RULES);
    let dev = project.dev();
    let id = send(&project, &event("Refund", &json!({}))).remove(0);
    let told = line(&project, &id);
    assert_eq!(told, format!("route     Refund from shop, no rule matches (event {id})"));
    let objects = Clients::of_endpoint(&dev.endpoint).await.objects();
    objects.put("uploads", "elsewhere/a b\n", b"x".to_vec()).await.unwrap();
    let told = line(&project, "elsewhere");
    let object = "route     Object Created from aws.s3, s3://uploads/elsewhere/a b\u{fffd}, no rule matches (event ";
    assert!(told.starts_with(object), "{told}");
    objects.put("uploads", "in/a", b"x".to_vec()).await.unwrap();
    project.ended_runs("put", 1);
    line(&project, "succeeded");
    dev.stop("INT");
    let log = log(&project);
    assert_eq!(log.matches("no rule matches").count(), 2, "{log}");
    assert!(log.contains("2 events matched no rule"), "{log}");
}

#[test]
fn what_a_function_gave_up_is_shown_with_its_payload() {
    let project = Project::new(RULES);
    let dev = project.dev();
    assert_eq!(project.stdout(&["dead-letters", "invocations"]), "no invocations were given up\n");
    let path = "/2015-03-31/functions/s3/invocations";
    let event = [("x-amz-invocation-type", "Event")];
    assert_eq!(post(&dev.endpoint, path, &event, br#"{"neither": "nor"}"#).status, 202);
    let told = line(&project, "given up");
    assert!(
        told.contains("(attempt 3, given up: see `taskferry dead-letters invocations`)"),
        "{told}"
    );

    let listed = project.taskferry(&["dead-letters", "list"]);
    assert_eq!(String::from_utf8(listed.stdout).unwrap(), "no dead letters\n");
    let told = String::from_utf8(listed.stderr).unwrap();
    assert!(told.starts_with("note: 1 invocation of a function was given up; "), "{told}");
    let listed = project.stdout(&["dead-letters", "invocations", "--json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!((&listed[0]["function"], &listed[0]["attempts"]), (&json!("s3"), &json!(3)));
    let number = listed[0]["number"].to_string();
    let payload = project.stdout(&["dead-letters", "invocations", &number, "--payload"]);
    assert_eq!(payload, "{\"neither\": \"nor\"}\n");
    let shown = project.stdout(&["dead-letters", "invocations", &number]);
    assert!(shown.contains("hint: once the cause is mended, invoke it again:"), "{shown}");
    let told = refused(&project, &["dead-letters", "invocations", "999"]);
    assert!(told.contains("there is no invocation 999"), "{told}");
    dev.stop("INT");
}

/// An event must not command the terminal of whoever looks at it.
#[test]
fn what_an_event_says_is_shown_without_its_control_characters() {
    let project = Project::new(RULES);
    let dev = project.dev();
    let event = event("Order", &json!({ "order": "\u{1b}[2J" }));
    send(&project, &event);
    let run = project.ended_runs("order", 1).remove(0);
    let short = &run["id"].as_str().unwrap()[..12];
    for arguments in [
        &["runs", "show", short][..],
        &["runs", "list"],
        &["dead-letters", "show", short],
        &["explain", "--event", "event.json", "--rule", "order"],
    ] {
        let told = project.stdout(arguments);
        assert!(!told.contains('\u{1b}'), "{arguments:?}: {told:?}");
    }
    dev.stop("INT");
}

#[test]
fn to_do_again_what_succeeded_is_told_as_that() {
    let project = Project::new(RULES);
    let dev = project.dev();
    send(&project, &event("Order", &json!({ "order": 1 })));
    let run = project.ended_runs("order", 1).remove(0);
    let short = &run["id"].as_str().unwrap()[..12];
    let told = project.stdout(&["dead-letters", "redrive", short, "--dry-run"]);
    let expected =
        format!("run {short} of rule order, which succeeded, would be done again as run ");
    assert!(told.starts_with(&expected), "{told}");
    dev.stop("INT");
}

#[test]
fn a_time_without_its_zone_is_told_what_it_lacks() {
    let project = Project::new(RULES);
    for arguments in [
        &["runs", "list", "--from", "2026-01-31"][..],
        &["dead-letters", "list", "--before", "2026-01-31"],
        &["send", "--schedule", "any", "--at", "2026-01-31"],
    ] {
        let told = refused(&project, arguments);
        assert!(told.contains("it says no zone: write `2026-01-31T00:00:00Z`"), "{told}");
    }
}

#[test]
fn rules_are_read_from_standard_input_where_they_are_only_read() {
    let project = Project::new(RULES);
    let rules = fs::File::open(project.dir().join("taskferry.yaml")).unwrap();
    let checked = project.command(&["check", "-f", "-"]).stdin(rules).output().unwrap();
    let told = String::from_utf8(checked.stdout).unwrap();
    assert!(told.starts_with("standard input: 6 rules of told\n"), "{told}");
    let told = refused(&project, &["dev", "-f", "-"]);
    assert!(told.contains("needs a file") && told.contains("hint: "), "{told}");
    let told = refused(&project, &["explain", "-f", "-", "--event", "-"]);
    assert!(told.contains("cannot be both") && told.contains("hint: "), "{told}");
}

#[test]
fn send_and_explain_take_the_same_files() {
    let project = Project::new(RULES);
    let dev = project.dev();
    let entry = |order: u32| {
        let detail = json!({ "order": order }).to_string();
        json!({
            "Source": "shop", "DetailType": "Order", "Detail": detail, "EventBusName": "default",
            "Time": "2026-01-01T00:00:00Z",
        })
    };
    let files = [
        event("Order", &json!({ "order": 1 })),
        entry(2),
        json!([entry(3), event("Order", &json!({ "order": 4 }))]),
        json!({ "Entries": [entry(5)] }),
    ];
    for file in &files {
        send(&project, file);
        let explained = project.taskferry(&["explain", "--rule", "order", "--event", "event.json"]);
        let told = String::from_utf8(explained.stdout).unwrap();
        assert!(explained.status.success() && told.contains("order: matches Order"), "{told}");
        let told = String::from_utf8(explained.stderr).unwrap();
        assert!(told.contains("note: event.json has no `id`"), "{told}");
    }
    let runs = project.ended_runs("order", 5);
    let mut printed: Vec<_> = runs
        .iter()
        .map(|run| project.stdout(&["runs", "logs", run["id"].as_str().unwrap()]))
        .filter(|printed| printed.starts_with("2026-01-01T00:00:00Z "))
        .collect();
    printed.sort();
    let expected = [2, 3, 5].map(|order| format!("2026-01-01T00:00:00Z {order}"));
    assert_eq!(printed, expected);

    project.write("event.json", r#"{"Records":[]}"#);
    let told = refused(&project, &["send", "--event", "event.json"]);
    assert!(
        told.contains("a notification of S3") && told.contains("hint: `taskferry send --s3 "),
        "{told}"
    );
    project.write("event.json", r#"{"source":"aws.s3","detail-type":"x","detail":{}}"#);
    let told = refused(&project, &["send", "--event", "event.json"]);
    assert!(told.contains("NotAuthorizedForSource") && told.contains("hint: "), "{told}");
    dev.stop("INT");
}

#[test]
fn an_event_that_has_no_run_is_told_of_by_its_id() {
    let project = Project::new(RULES);
    let dev = project.dev();
    assert_eq!(project.stdout(&["runs", "list"]), "no runs yet\n");
    let order = event("Order", &json!({ "order": 1 }));
    let first = send(&project, &order).remove(0);
    project.ended_runs("order", 1);
    assert!(project.stdout(&["runs", "list", "--event-id", &first]).contains("order"));

    let second = send(&project, &order).remove(0);
    let told = line(&project, "duplicate");
    assert!(told.ends_with(&format!("(event {second})")), "{told}");
    let told = project.stdout(&["runs", "list", "--event-id", &second]);
    assert!(told.starts_with(&format!("no run answers the event {second}")), "{told}");
    assert_eq!(project.stdout(&["runs", "list", "--event-id", &second, "--json"]), "[]\n");
    assert!(project.stdout(&["runs", "list", "--key", "1"]).contains("order"));
    assert!(project.stdout(&["runs", "list", "--rule", "none"]).contains("no runs of this kind"));
    dev.stop("INT");
}

#[test]
fn the_signal_that_ended_a_container_is_named_wherever_its_run_is_shown() {
    let project = Project::new(RULES);
    let dev = project.dev();
    send(&project, &event("Kill", &json!({})));
    let run = project.ended_runs("kill", 1).remove(0);
    let exit = "137 (SIGKILL: killed, often for want of memory)";
    let reason = format!("container `app` exited with {exit}");
    assert_eq!(run["reason"], reason);
    let short = &run["id"].as_str().unwrap()[..12];
    let told = project.stdout(&["runs", "show", short]);
    assert!(told.contains(&format!("app, exit {exit}")), "{told}");
    let logs = format!("taskferry runs logs {short}");
    assert!(told.contains(&format!("hint: `{logs}` prints what its containers wrote\n")), "{told}");
    let redrive = format!("`taskferry dead-letters redrive {short}`\n");
    assert!(told.ends_with(&redrive), "{told}");
    let told = line(&project, "failed (exitCode)");
    assert!(told.ends_with(&format!("failed (exitCode): {reason}; see `{logs}`")), "{told}");
    dev.stop("INT");
}

#[test]
fn filters_that_leave_no_run_are_told_from_there_being_none() {
    let project = Project::new(RULES);
    let dev = project.dev();
    assert_eq!(project.stdout(&["runs", "list"]), "no runs yet\n");
    assert_eq!(project.stdout(&["dead-letters", "list"]), "no dead letters\n");
    send(&project, &event("Kill", &json!({})));
    let run = project.ended_runs("kill", 1).remove(0);
    let short = &run["id"].as_str().unwrap()[..12];
    for arguments in [
        &["runs", "list", "--before", "2020-01-01T00:00:00Z"][..],
        &["dead-letters", "list", "--rule", "nobody"],
        &["dead-letters", "redrive", "--all", "--class", "capacity"],
    ] {
        let told = project.stdout(arguments);
        assert!(told.contains("of this kind; "), "{told}");
    }
    // A filter beside an id would otherwise be passed over.
    let refused =
        project.taskferry(&["dead-letters", "redrive", short, "--rule", "nobody", "--dry-run"]);
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(2) && told.contains("hint: name the runs"), "{told}");
    dev.stop("INT");
}

#[test]
fn a_reload_is_told_as_every_step_is() {
    let project = Project::new(RULES);
    let dev = project.dev();
    project.write("taskferry.yaml", "name: [");
    let told = line(&project, "the rules of before");
    let faults = "taskferry.yaml has faults; the rules of before stay in force";
    assert_eq!(told, format!("reload    {faults}"));
    project.write("taskferry.yaml", RULES);
    assert_eq!(line(&project, "was read again"), "reload    taskferry.yaml was read again");
    dev.stop("INT");
    assert_eq!(line(&project, "once more"), "stop      stopping; once more to stop at once");
}

#[test]
fn a_rule_whose_task_definition_is_not_here_is_told_of_before_its_first_event() {
    let missing = |name: &str| RULES.replace("{ taskDefinition: killed }", name);
    let project = Project::new(&missing("{ taskDefinition: 'review:42' }"));
    let dev = project.dev();
    let told = line(&project, "review:42");
    assert!(told.starts_with("deploy    there is no task definition `review:42` here"), "{told}");
    project.write("taskferry.yaml", &missing("{ taskDefinition: other }"));
    let told = line(&project, "`other`");
    assert!(told.contains("which rule kill starts"), "{told}");
    dev.stop("INT");
}

#[test]
fn a_state_that_cannot_be_used_is_told_with_what_to_do() {
    let project = Project::new(RULES);
    project.write("file", "");
    for arguments in [
        &["runs", "list", "--state", "file"][..],
        &["dev", "--port", "0", "--state", "file"],
        &["dev", "--port", "0", "--state", "file/below"],
        &["send", "--event", "event.json", "--state", "file"],
    ] {
        project.write("event.json", &event("Order", &json!({})).to_string());
        let told = refused(&project, arguments);
        assert!(told.contains("file") && told.contains("hint: "), "{arguments:?}: {told}");
        let is_below = arguments.contains(&"file/below");
        assert!(is_below || told.contains("hint: it is a file"), "{arguments:?}: {told}");
    }
    let told = refused(&project, &["runs", "list", "--state", "none"]);
    assert!(told.contains("hint: start `taskferry dev` here"), "{told}");

    fs::create_dir(project.dir().join("state")).unwrap();
    let path = project.dir().join("state/runs.db");
    drop(taskferry_local::db::Db::open(&path, &[""; 99]).unwrap());
    for arguments in [&["runs", "list", "--state", "state"][..], &["dev", "--state", "state"]] {
        let told = refused(&project, arguments);
        assert!(told.contains("schema version 99"), "{told}");
        assert!(told.contains("hint: a newer taskferry wrote it"), "{told}");
    }
    fs::remove_file(&path).unwrap();
    fs::write(&path, "no database").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    let told = refused(&project, &["runs", "list", "--state", "state"]);
    assert!(told.contains("cannot open") && told.contains("hint: the file is damaged"), "{told}");
}

/// As when somebody builds while it runs.
#[test]
fn a_program_that_was_replaced_deploys_changed_rules_all_the_same() {
    let project = Project::new(RULES);
    let program = project.dir().join("program");
    let put = || {
        fs::hard_link(taskferry(), &program).or_else(|_| fs::copy(taskferry(), &program).map(drop))
    };
    put().unwrap();
    let dev = project.dev_of(&program);
    fs::remove_file(&program).unwrap();
    put().unwrap();
    project.write("taskferry.yaml", &RULES.replace("[Order]", "[Changed]"));
    line(&project, "reload");
    send(&project, &event("Changed", &json!({ "order": 1 })));
    assert_eq!(project.ended_runs("order", 1)[0]["status"], "succeeded");
    dev.stop("INT");
}

#[test]
fn task_definitions_are_registered_again_where_the_database_that_had_them_is_gone() {
    let project = Project::new(RULES);
    project.dev().stop("INT");
    for file in ["aws.db", "aws.db-wal", "aws.db-shm"] {
        // The last two are not there after a clean end.
        let _removed = fs::remove_file(project.dir().join(".taskferry").join(file));
    }
    let dev = project.dev();
    send(&project, &event("Order", &json!({ "order": 1 })));
    assert_eq!(project.ended_runs("order", 1)[0]["status"], "succeeded");
    dev.stop("INT");
}

#[test]
fn a_definition_that_ecs_refuses_does_not_have_another_registered_again() {
    let broken = "\
name: told
taskDefinitions:
  good: { containerDefinitions: [ { name: app, image: none, memory: 64 } ] }
  worse:
    networkMode: none
    containerDefinitions:
      - { name: app, image: none, memory: 64, portMappings: [ { containerPort: 80 } ] }
rules:
  - { name: any, on: { s3: { bucket: uploads } }, target: { taskDefinition: good } }
";
    let project = Project::new(broken);
    for _ in 0..2 {
        let told = refused(&project, &["dev", "--port", "0"]);
        assert!(told.contains("taskDefinitions.worse: ClientException"), "{told}");
    }
    project.write("taskferry.yaml", &broken.replace("networkMode: none", "networkMode: bridge"));
    let dev = project.dev();
    let listed = taskferry_tests::post(
        &dev.endpoint,
        "/",
        &[
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-target", "AmazonEC2ContainerServiceV20141113.ListTaskDefinitions"),
        ],
        b"{}",
    );
    let listed: Value = serde_json::from_str(&listed.body).unwrap();
    let arns: Vec<_> = listed["taskDefinitionArns"].as_array().unwrap().iter().collect();
    assert_eq!(arns.len(), 2, "{arns:?}");
    dev.stop("INT");
}

#[test]
fn the_demo_leaves_a_project_that_is_there_as_it_is() {
    let project = Project::new(RULES);
    let told = refused(&project, &["demo", "--dir", "."]);
    assert!(told.contains("./taskferry.yaml is there already"), "{told}");
    assert!(told.contains("hint: name a new or empty directory"), "{told}");
    assert_eq!(fs::read_to_string(project.dir().join("taskferry.yaml")).unwrap(), RULES);
    assert!(!project.dir().join("october.csv").exists());
}

#[test]
fn the_demo_says_what_to_type_where_the_program_is_not_installed() {
    let project = Project::new("");
    let output = project.command(&["demo", "--dir", "demo"]).env("PATH", "/usr/bin:/bin").output();
    let told = String::from_utf8(output.unwrap().stdout).unwrap();
    let program = fs::canonicalize(taskferry_tests::taskferry()).unwrap();
    for command in ["runs list", "dev", "runs watch"] {
        assert!(told.contains(&format!("{} {command}", program.display())), "{told}");
    }
    // A second time in the same directory is no other project.
    let told = project.stdout(&["demo", "--dir", "demo"]);
    assert!(told.contains("\n    taskferry runs list "), "{told}");
}

#[test]
fn an_event_for_another_bus_is_explained_as_no_match() {
    let rule = |bus: &str| {
        format!(
            "{{ name: {bus}, on: {{ eventPattern: {{ source: [shop] }}, bus: {bus} }}, target: {{ taskDefinition: a }} }}"
        )
    };
    let arn = "arn:aws:events:us-east-1:000000000000:event-bus/orders";
    let project =
        Project::new(&format!("name: buses\nrules: [ {}, {} ]\n", rule("default"), rule("orders")));
    let entry =
        json!({ "Source": "shop", "DetailType": "Order", "Detail": "{}", "EventBusName": arn });
    project.write("event.json", &entry.to_string());
    let told = project.stdout(&["explain", "--event", "event.json"]);
    assert!(told.contains("orders: matches Order from shop"), "{told}");
    let clause = "default: does not match Order from shop\n  EventBusName: wants [\"default\"], found \"orders\"\n";
    assert!(told.contains(clause), "{told}");
    let output = project.taskferry(&["explain", "--rule", "default", "--event", "event.json"]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_rule_on_a_queue_is_explained_with_the_way_that_its_events_come() {
    let project = Project::new(
        r#"
name: ways
rules:
  - { name: held, on: { sqs: { queue: jobs } }, target: { taskDefinition: a } }
  - { name: tick, on: { schedule: "rate(1 hour)" }, target: { taskDefinition: a } }
"#,
    );
    let explain = |payload: Value| {
        project.write("event.json", &payload.to_string());
        let output = project.taskferry(&["explain", "--event", "event.json"]);
        [output.stdout, output.stderr].map(|told| String::from_utf8(told).unwrap())
    };
    let [told, _] = explain(event("Order", &json!({})));
    assert!(told.contains(", if queue jobs brings it\n"), "{told}");
    let [told, _] = explain(json!({
        "source": "aws.scheduler", "detail-type": "Scheduled Event",
        "resources": ["arn:aws:scheduler:us-east-1:000000000000:schedule/ways/tick"],
        "detail": { "rule": "tick", "scheduledTime": "2027-01-30T18:00:00Z" },
    }));
    assert!(told.contains("  on: wants [\"sqs\"], found \"schedule\""), "{told}");
    assert!(told.contains("tick: matches Scheduled Event from aws.scheduler\n"), "{told}");
    let [told, note] = explain(json!({ "Records": [] }));
    assert!(told.is_empty() && note.contains("has no record"), "{note}");
}

#[test]
fn where_an_event_could_not_be_sent_is_named() {
    let project = Project::new(RULES);
    project.write("event.json", &event("Order", &json!({ "order": 1 })).to_string());
    // Taken and left, so that nothing listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let silent = format!("http://127.0.0.1:{port}");
    for (endpoint, expected) in [
        (&*silent, format!("error: {silent} does not answer: ")),
        (
            "127.0.0.1:4566",
            "error: AWS_ENDPOINT_URL is `127.0.0.1:4566`, which is no URL\n".to_owned(),
        ),
        ("", "error: no `taskferry dev` runs on the state in .taskferry\n".to_owned()),
    ] {
        let mut command = project.command(&["send", "--event", "event.json"]);
        let output = command.env("AWS_ENDPOINT_URL", endpoint).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.starts_with(&expected) && told.contains("hint: "), "{told}");
    }
}

#[test]
fn a_program_gets_the_requests_of_a_run_where_it_asks_for_them() {
    let project = Project::new(RULES);
    let dev = project.dev();
    send(&project, &event("Order", &json!({ "order": 1 })));
    let run = project.ended_runs("order", 1).remove(0);
    let show = |more: &[&str]| {
        let arguments = [&["runs", "show", run["id"].as_str().unwrap(), "--json"], more].concat();
        serde_json::from_str::<Value>(&project.stdout(&arguments)).unwrap()
    };
    // What it has to tell of its end may have been told in between.
    let mut plain = show(&[]);
    plain["dueAt"] = run["dueAt"].clone();
    assert_eq!(plain, run);
    let shown = show(&["--request"]);
    let request = &shown["attempts"][0]["request"];
    assert_eq!(request["taskDefinition"].as_str().unwrap().rsplit('/').next(), Some("print:1"));
    dev.stop("INT");
}

#[test]
fn what_several_containers_wrote_is_under_the_name_of_each() {
    let project = Project::new(RULES);
    let dev = project.dev();
    send(&project, &event("Both", &json!({})));
    let run = project.ended_runs("both", 1).remove(0);
    let logs = |more: &[&str]| {
        project.stdout(&[&["runs", "logs", run["id"].as_str().unwrap()], more].concat())
    };
    assert_eq!(logs(&["--container", "side"]), "from side");
    assert_eq!(logs(&[]), "==> app <==\nfrom app\n==> side <==\nfrom side");
    dev.stop("INT");
}

#[test]
fn a_task_finds_its_metadata_where_its_environment_says() {
    let project = Project::new(RULES);
    let dev = project.dev();
    send(&project, &event("Ask", &json!({})));
    let run = project.ended_runs("ask", 1).remove(0);
    let uri = project.stdout(&["runs", "logs", run["id"].as_str().unwrap()]);
    let path = uri.strip_prefix(dev.endpoint.as_str()).unwrap();
    let get = |path: &str| {
        let answer = taskferry_tests::post(&dev.endpoint, path, &[], b"");
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        serde_json::from_str::<Value>(&answer.body).unwrap()
    };
    assert_eq!(get(path)["Name"], "app");
    assert_eq!(get(&format!("{path}/task"))["TaskARN"], run["attempts"][0]["taskArn"]);
    assert_eq!(taskferry_tests::post(&dev.endpoint, "/_ecs/v4/none", &[], b"").status, 404);
    dev.stop("INT");
}

#[test]
fn who_waits_for_a_run_is_told_where_no_dev_is_there_to_end_it() {
    let project = Project::new(RULES);
    let dev = project.dev();
    send(&project, &event("Wait", &json!({})));
    let id = eventually("a task", || {
        let run = project.runs().pop()?;
        (run["status"] == "running").then(|| run["id"].as_str().unwrap().to_owned())
    });
    dev.kill();
    for arguments in
        [&["runs", "watch", &id][..], &["runs", "watch"], &["runs", "logs", &id, "--follow"]]
    {
        let mut command = project.command(arguments);
        let command = command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut waiting = command.spawn().unwrap();
        let mut told = String::new();
        BufReader::new(waiting.stderr.take().unwrap()).read_line(&mut told).unwrap();
        waiting.kill().unwrap();
        waiting.wait().unwrap();
        assert!(told.starts_with("note: no `taskferry dev` runs on the state"), "{told}");
    }
}
