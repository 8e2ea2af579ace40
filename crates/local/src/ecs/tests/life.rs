//! What happens to a task between `RunTask` and `STOPPED`.

use std::fs;

use super::*;

fn sh(script: &str) -> [&str; 3] {
    ["/bin/sh", "-c", script]
}

/// A container of a definition, with the members that a test adds.
fn container(name: &str, script: &str, more: Value) -> Value {
    let mut container = json!({ "name": name, "image": "i", "memory": 64, "command": sh(script) });
    let Value::Object(more) = more else { panic!("{more} has no members") };
    for (member, value) in more {
        container[member] = value;
    }
    container
}

fn statuses(steps: &[Value]) -> Vec<&str> {
    steps.iter().map(|step| step["lastStatus"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_process_runs_and_its_exit_code_is_seen() {
    let fixture = Fixture::new(Containers::HostProcesses);
    fixture.register("f", &sh("echo hello; exit 7"));
    let arn = fixture.run("f", &json!([]));
    let task = fixture.until_stopped(&arn).await;
    assert_eq!(task["containers"][0]["exitCode"], 7);
    assert_eq!(task["stopCode"], "EssentialContainerExited");
    assert_eq!(task["stoppedReason"], "Essential container in task exited");
    assert_eq!(fixture.stdout(&arn, "app"), "hello\n");
}

#[tokio::test]
async fn each_step_is_published_with_a_version_of_its_own() {
    let fixture = Fixture::new(Containers::Stub);
    let definition = json!({
        "family": "f", "networkMode": "awsvpc", "cpu": "256", "memory": "512",
        "requiresCompatibilities": ["FARGATE"],
        "containerDefinitions": [{ "name": "app", "image": "i" }],
    });
    fixture.ok("RegisterTaskDefinition", &definition);
    let request = json!({
        "cluster": "c", "taskDefinition": "f", "launchType": "FARGATE",
        "networkConfiguration": { "awsvpcConfiguration": { "subnets": ["subnet-1"] } },
    });
    let answer = fixture.ok("RunTask", &request);
    let arn = answer["tasks"][0]["taskArn"].as_str().unwrap();
    fixture.until_stopped(arn).await;
    let steps = fixture.steps(arn);
    let expected = [
        "PROVISIONING",
        "PENDING",
        "ACTIVATING",
        "RUNNING",
        "DEACTIVATING",
        "STOPPING",
        "DEPROVISIONING",
        "STOPPED",
    ];
    assert_eq!(statuses(&steps), expected);
    let versions: Vec<_> = steps.iter().map(|step| step["version"].as_u64().unwrap()).collect();
    assert_eq!(versions, (1..=8).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_task_without_a_network_interface_is_never_provisioned() {
    let fixture = Fixture::new(Containers::Stub);
    fixture.register("f", &[]);
    let arn = fixture.run("f", &json!([]));
    fixture.until_stopped(&arn).await;
    let expected = ["PENDING", "ACTIVATING", "RUNNING", "DEACTIVATING", "STOPPING", "STOPPED"];
    assert_eq!(statuses(&fixture.steps(&arn)), expected);
}

#[tokio::test]
async fn overrides_replace_the_command_and_add_to_the_environment() {
    let fixture = Fixture::new(Containers::HostProcesses);
    let environment = json!([{ "name": "A", "value": "1" }, { "name": "B", "value": "2" }]);
    let defined = json!({ "entryPoint": ["/bin/sh", "-c"], "command": ["exit 9"], "environment": environment });
    fixture.register_all("f", &json!([container("app", "", defined)]));
    let command = ["echo \"$A $B $C $AWS_REGION $0\"", "it's \"$A\""];
    let environment = json!([{ "name": "B", "value": "two" }, { "name": "C", "value": "3" }]);
    let over = json!({ "name": "app", "command": command, "environment": environment });
    let arn = fixture.run("f", &json!([over]));
    let task = fixture.until_stopped(&arn).await;
    assert_eq!(task["containers"][0]["exitCode"], 0);
    assert_eq!(fixture.stdout(&arn, "app"), "1 two 3 us-east-1 it's \"$A\"\n");
}

#[tokio::test]
async fn a_process_sees_its_directories_and_nothing_else_of_this_environment() {
    let fixture = Fixture::new(Containers::HostProcesses);
    fixture.register("f", &["env"]);
    let arn = fixture.run("f", &json!([]));
    fixture.until_stopped(&arn).await;
    let output = fixture.stdout(&arn, "app");
    let names: std::collections::BTreeSet<_> =
        output.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    let expected = [
        "AWS_ACCESS_KEY_ID",
        "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL",
        "AWS_REGION",
        "AWS_SECRET_ACCESS_KEY",
        "ECS_CONTAINER_METADATA_URI_V4",
        "HOME",
        "LANG",
        "LC_ALL",
        "PATH",
        "TMPDIR",
        "TZ",
    ];
    assert!(names.iter().all(|name| expected.contains(name)), "{names:?}");
    let id = arn.rsplit('/').next().unwrap();
    let home = fixture.directory.path().join("tasks").join(id).join("app");
    assert!(output.contains(&format!("HOME={}\n", home.display())), "{output}");
    let metadata =
        format!("ECS_CONTAINER_METADATA_URI_V4=http://127.0.0.1:4566/_ecs/v4/{id}-0000000000\n");
    assert!(output.contains(&metadata), "{output}");
    let described = fixture.ecs.metadata(&format!("{id}-0000000000")).unwrap();
    assert_eq!((&described["Name"], &described["ExitCode"]), (&json!("app"), &json!(0)));
    let described = fixture.ecs.metadata(&format!("{id}-0000000000/task")).unwrap();
    assert_eq!(described["TaskARN"], arn);
    for unknown in ["", "x", "x-0", &format!("{id}-0000000001"), &format!("{id}-0000000000/x")] {
        assert_eq!(fixture.ecs.metadata(unknown), None, "{unknown}");
    }
}

#[tokio::test]
async fn the_directories_that_a_task_hands_on_stay_its_own() {
    let fixture = Fixture::new(Containers::HostProcesses);
    fixture.register("f", &["/bin/sh", "-c", "echo $HOME $TMPDIR $A"]);
    let parent = fixture.directory.path().join("tasks/parent");
    let pair = |name: &str, path: &str| json!({ "name": name, "value": parent.join(path) });
    let handed_on = [pair("HOME", "app"), pair("TMPDIR", "app.tmp"), pair("A", "app")];
    let arn = fixture.run("f", &json!([{ "name": "app", "environment": handed_on }]));
    fixture.until_stopped(&arn).await;
    let own = fixture.directory.path().join("tasks").join(arn.rsplit('/').next().unwrap());
    let [own, parent] =
        [own.join("app"), parent.join("app")].map(|path| path.display().to_string());
    assert_eq!(fixture.stdout(&arn, "app"), format!("{own} {own}.tmp {parent}\n"));
}

#[tokio::test]
async fn a_container_without_a_command_says_how_to_give_it_one() {
    let fixture = Fixture::new(Containers::HostProcesses);
    fixture.register("f", &[]);
    let arn = fixture.run("f", &json!([]));
    let task = fixture.until_stopped(&arn).await;
    assert_eq!(task["stopCode"], "TaskFailedToStart");
    let reason = task["stoppedReason"].as_str().unwrap();
    assert!(reason.starts_with("CannotStartContainerError: "), "{reason}");
    assert!(reason.contains("local: { containers: { f/app: { command: [...] } } }"), "{reason}");
    assert_eq!(task["containers"][0]["reason"], reason);
    assert_eq!(task["containers"][0]["exitCode"], Value::Null);
}

#[tokio::test]
async fn a_local_command_takes_the_place_of_the_images() {
    let fixture = Fixture::new(Containers::HostProcesses);
    fixture.register_all(
        "f",
        &json!([container("app", "exit 9", json!({ "entryPoint": ["false"] }))]),
    );
    let command = sh("echo $WHO $1").map(str::to_owned).to_vec();
    let local = LocalContainer {
        entry_point: Some(command),
        command: Some(vec!["zero".to_owned(), "here".to_owned()]),
        environment: [("WHO".to_owned(), "local".to_owned())].into(),
    };
    fixture.ecs.set_local_containers([("f/app".to_owned(), local)].into());
    let arn = fixture.run("f", &json!([]));
    fixture.until_stopped(&arn).await;
    assert_eq!(fixture.stdout(&arn, "app"), "local here\n");
    let over = json!({ "name": "app", "command": ["zero", "there"] });
    let arn = fixture.run("f", &json!([over]));
    fixture.until_stopped(&arn).await;
    assert_eq!(fixture.stdout(&arn, "app"), "local there\n");
}

#[tokio::test]
async fn a_local_entry_point_keeps_the_command_and_a_local_command_replaces_both() {
    let fixture = Fixture::new(Containers::HostProcesses);
    let defined = json!({ "entryPoint": ["/of/the/image"], "command": ["a b", "c"] });
    fixture.register_all("f", &json!([container("app", "", defined)]));
    for (entry_point, command, expected) in [
        (Some(["echo", "entry"]), None, "entry a b c\n"),
        (None, Some(["echo", "whole"]), "whole\n"),
        (Some(["echo", "entry"]), Some(["and", "command"]), "entry and command\n"),
    ] {
        let words = |words: [&str; 2]| words.map(str::to_owned).to_vec();
        let local = LocalContainer {
            entry_point: entry_point.map(words),
            command: command.map(words),
            ..LocalContainer::default()
        };
        fixture.ecs.set_local_containers([("f/app".to_owned(), local)].into());
        let arn = fixture.run("f", &json!([]));
        fixture.until_stopped(&arn).await;
        assert_eq!(fixture.stdout(&arn, "app"), expected);
    }
}

#[tokio::test]
async fn a_program_that_is_not_there_or_cannot_be_run_fails_the_start() {
    let fixture = Fixture::new(Containers::HostProcesses);
    let plain = fixture.directory.path().join("plain");
    fs::write(&plain, "echo").unwrap();
    let plain = plain.to_str().unwrap();
    for (program, expected) in [
        (
            "no-such-program-here",
            "CannotStartContainerError: there is no program no-such-program-here on this machine; \
             name what to run instead in taskferry.yaml: local: { containers: { f/app: { \
             entryPoint: [...] } } }",
        ),
        ("./absent", "CannotStartContainerError: there is no program ./absent"),
        (plain, "is not executable"),
    ] {
        fixture.register("f", &[program]);
        let task = fixture.until_stopped(&fixture.run("f", &json!([]))).await;
        let reason = task["stoppedReason"].as_str().unwrap();
        assert!(reason.contains(expected), "{reason}");
        assert_eq!(task["stopCode"], "TaskFailedToStart");
    }
}

#[tokio::test]
async fn secrets_and_environment_files_are_refused_aloud() {
    let fixture = Fixture::new(Containers::HostProcesses);
    let secret = json!({ "secrets": [{ "name": "PASSWORD", "valueFrom": "arn" }] });
    fixture.register_all("f", &json!([container("app", "echo $PASSWORD", secret)]));
    let task = fixture.until_stopped(&fixture.run("f", &json!([]))).await;
    let reason = task["stoppedReason"].as_str().unwrap();
    assert!(
        reason.starts_with("ResourceInitializationError: ") && reason.contains("PASSWORD"),
        "{reason}"
    );

    let environment = [("PASSWORD".to_owned(), "local".to_owned())].into();
    let local = LocalContainer { environment, ..LocalContainer::default() };
    fixture.ecs.set_local_containers([("f/app".to_owned(), local)].into());
    let arn = fixture.run("f", &json!([]));
    fixture.until_stopped(&arn).await;
    assert_eq!(fixture.stdout(&arn, "app"), "local\n");

    let files = json!({ "environmentFiles": [{ "type": "s3", "value": "arn:aws:s3:::b/k.env" }] });
    fixture.register_all("f", &json!([container("app", "true", files)]));
    let task = fixture.until_stopped(&fixture.run("f", &json!([]))).await;
    let reason = task["stoppedReason"].as_str().unwrap();
    assert!(reason.starts_with("ResourceInitializationError: "), "{reason}");
}

#[tokio::test]
async fn a_signal_is_seen_as_128_and_its_number() {
    let fixture = Fixture::new(Containers::HostProcesses);
    fixture.register("f", &sh("kill -9 $$"));
    let task = fixture.until_stopped(&fixture.run("f", &json!([]))).await;
    assert_eq!(task["containers"][0]["exitCode"], 137);
}

#[tokio::test]
async fn an_essential_container_takes_the_others_with_it() {
    let fixture = Fixture::new(Containers::HostProcesses);
    let side = json!({ "essential": false });
    fixture.register_all(
        "f",
        &json!([container("app", "exit 3", json!({})), container("side", "exec sleep 600", side)]),
    );
    let task = fixture.until_stopped(&fixture.run("f", &json!([]))).await;
    assert_eq!(task["containers"][0]["exitCode"], 3);
    assert_eq!(task["containers"][1]["exitCode"], 143);
    assert_eq!(task["stopCode"], "EssentialContainerExited");
}

#[tokio::test]
async fn a_container_that_is_not_essential_ends_alone_and_is_seen_to() {
    let fixture = Fixture::new(Containers::HostProcesses);
    let side = json!({ "essential": false });
    fixture.register_all(
        "f",
        &json!([container("app", "exec sleep 600", json!({})), container("side", "exit 5", side)]),
    );
    let arn = fixture.run("f", &json!([]));
    let seen = async {
        while fixture.describe(&arn)["containers"][1]["exitCode"] != 5 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, seen).await.unwrap();
    assert_eq!(fixture.describe(&arn)["lastStatus"], "RUNNING");
    let steps = fixture.steps(&arn);
    assert_eq!(statuses(&steps), ["PENDING", "ACTIVATING", "RUNNING", "RUNNING"]);
    assert_eq!(steps.last().unwrap()["version"], 4);
    fixture.ok("StopTask", &json!({ "cluster": "c", "task": arn }));
    let task = fixture.until_stopped(&arn).await;
    assert_eq!(task["containers"][0]["exitCode"], 143);
}

#[tokio::test]
async fn containers_wait_for_what_they_depend_on() {
    let fixture = Fixture::new(Containers::HostProcesses);
    let file = fixture.directory.path().join("order");
    let write = |word: &str| format!("echo {word} >> {}", file.display());
    let on = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter();
        pairs.map(|(n, c)| json!({ "containerName": n, "condition": c })).collect::<Value>()
    };
    let side = |on: Value| json!({ "essential": false, "dependsOn": on });
    let app_on = on(&[("second", "SUCCESS"), ("third", "COMPLETE"), ("side", "START")]);
    fixture.register_all(
        "f",
        &json!([
            container("app", &write("app"), json!({ "dependsOn": app_on })),
            container(
                "third",
                &format!("{}; exit 1", write("third")),
                side(on(&[("second", "SUCCESS")]))
            ),
            container("second", &write("second"), side(on(&[("first", "COMPLETE")]))),
            container("first", &write("first"), side(json!([]))),
            container("side", "exec sleep 600", side(json!([]))),
        ]),
    );
    let arn = fixture.run("f", &json!([]));
    let task = fixture.until_stopped(&arn).await;
    assert_eq!(fs::read_to_string(file).unwrap(), "first\nsecond\nthird\napp\n");
    let codes: Vec<_> =
        (0..5).map(|n| task["containers"][n]["exitCode"].as_i64().unwrap()).collect();
    assert_eq!(codes, [0, 1, 0, 0, 143]);
    let steps = fixture.steps(&arn);
    let versions: Vec<_> = steps.iter().map(|step| step["version"].as_u64().unwrap()).collect();
    assert!(versions.iter().copied().eq(1..=versions.len() as u64), "{versions:?}");
    assert!(statuses(&steps).is_sorted_by_key(|status| {
        ["PENDING", "ACTIVATING", "RUNNING", "DEACTIVATING", "STOPPING", "STOPPED"]
            .iter()
            .position(|known| known == status)
    }));
}

#[tokio::test]
async fn a_dependency_without_success_fails_the_start() {
    let fixture = Fixture::new(Containers::HostProcesses);
    let on = json!([{ "containerName": "init", "condition": "SUCCESS" }]);
    fixture.register_all(
        "f",
        &json!([
            container("app", "true", json!({ "dependsOn": on })),
            container("init", "exit 4", json!({ "essential": false })),
        ]),
    );
    let task = fixture.until_stopped(&fixture.run("f", &json!([]))).await;
    assert_eq!(task["stopCode"], "TaskFailedToStart");
    let reason = "TaskFailedToStart: container app is not started: it depends on the SUCCESS of \
                  init, which exited with 4";
    assert_eq!(task["stoppedReason"], reason);
    assert_eq!(task["containers"][0]["exitCode"], Value::Null);
    assert_eq!(task["containers"][1]["exitCode"], 4);
}

#[tokio::test]
async fn a_dependency_that_takes_too_long_fails_the_start() {
    let fixture = Fixture::new(Containers::HostProcesses);
    let on = json!([{ "containerName": "init", "condition": "COMPLETE" }]);
    let init = json!({ "essential": false, "startTimeout": 2, "stopTimeout": 1 });
    fixture.register_all(
        "f",
        &json!([
            container("app", "true", json!({ "dependsOn": on })),
            container("init", "exec sleep 600", init),
        ]),
    );
    let task = fixture.until_stopped(&fixture.run("f", &json!([]))).await;
    let reason = task["stoppedReason"].as_str().unwrap();
    assert!(reason.ends_with("init took longer than its startTimeout"), "{reason}");
}

#[tokio::test]
async fn a_stopped_task_is_asked_first_and_killed_after_its_timeout() {
    let fixture = Fixture::new(Containers::HostProcesses);
    let polite = "trap 'echo bye; exit 6' TERM; echo ready; while :; do sleep 0.01; done";
    let stubborn = "trap '' TERM; echo ready; while :; do sleep 0.01; done";
    fixture.register_all(
        "f",
        &json!([
            container("app", polite, json!({})),
            container("stubborn", stubborn, json!({ "stopTimeout": 0 })),
        ]),
    );
    let arn = fixture.run("f", &json!([]));
    fixture.until(&arn, "RUNNING").await;
    for name in ["app", "stubborn"] {
        while fixture.stdout(&arn, name) != "ready\n" {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    let request = json!({ "cluster": "c", "task": arn, "reason": "enough" });
    let answer = fixture.ok("StopTask", &request);
    assert_eq!(answer["task"]["desiredStatus"], "STOPPED");
    assert_eq!(answer["task"]["lastStatus"], "RUNNING");
    let task = fixture.until_stopped(&arn).await;
    assert_eq!(task["stopCode"], "UserInitiated");
    assert_eq!(task["stoppedReason"], "enough");
    assert_eq!(task["containers"][0]["exitCode"], 6);
    assert_eq!(task["containers"][1]["exitCode"], 137);
    assert_eq!(fixture.stdout(&arn, "app"), "ready\nbye\n");
    let again = fixture.ok("StopTask", &json!({ "cluster": "c", "task": arn, "reason": "again" }));
    assert_eq!(again["task"]["stoppedReason"], "enough");
    assert_eq!(again["task"]["version"], task["version"]);
}

/// What a container printed as a process's number must be gone, or be about to go.
async fn printed_process_goes(fixture: &Fixture, arn: &str) {
    let pid: i32 = fixture.stdout(arn, "app").trim().parse().unwrap();
    let gone = async {
        while is_running(pid) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
}

#[tokio::test]
async fn what_a_process_leaves_in_its_group_is_killed() {
    let fixture = Fixture::new(Containers::HostProcesses);
    fixture.register("f", &sh("sleep 600 & echo $!"));
    let arn = fixture.run("f", &json!([]));
    fixture.until_stopped(&arn).await;
    printed_process_goes(&fixture, &arn).await;
}

#[tokio::test]
async fn what_a_container_leaves_outside_its_group_is_killed_when_it_ends_and_no_other_containers()
{
    let fixture = Fixture::new(Containers::HostProcesses);
    // The daemon says its number itself: when `setsid` forks is its own affair.
    let daemon = |how: &str| {
        let told = "until [ -s ../app.stdout.log ]; do sleep 0.01; done";
        format!("{how} sh -c 'echo $$; exec sleep 600' & {told}")
    };
    let script = daemon("setsid");
    let left = sh(&script);
    let other = format!("{}; touch other; exec sleep 600", daemon("setsid"));
    fixture.register("other", &sh(&other));
    let other = fixture.run("other", &json!([]));
    fixture.register("f", &left);
    let script = daemon("env -i setsid");
    fixture.register("without-environment", &sh(&script));
    for family in ["f", "without-environment"] {
        let arn = fixture.run(family, &json!([]));
        fixture.until_stopped(&arn).await;
        printed_process_goes(&fixture, &arn).await;
    }
    let home = fixture.ecs.config.tasks_dir.join(other.rsplit('/').next().unwrap()).join("app");
    while !home.join("other").exists() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let pid: i32 = fixture.stdout(&other, "app").trim().parse().unwrap();
    assert!(is_running(pid));
    fixture.ok("StopTask", &json!({ "cluster": "c", "task": other }));
    fixture.until_stopped(&other).await;
    printed_process_goes(&fixture, &other).await;
}

#[tokio::test]
async fn shutting_down_stops_all_tasks_and_refuses_new_ones() {
    let fixture = Fixture::new(Containers::HostProcesses);
    fixture.register("f", &["sleep", "600"]);
    let arns = [fixture.run("f", &json!([])), fixture.run("f", &json!([]))];
    fixture.until(&arns[0], "RUNNING").await;
    fixture.ecs.shutdown().await;
    for arn in &arns {
        let task = fixture.describe(arn);
        assert_eq!(task["lastStatus"], "STOPPED");
        assert_eq!(task["stopCode"], "TerminationNotice");
    }
    let refused = fixture.refused("RunTask", &json!({ "cluster": "c", "taskDefinition": "f" }));
    assert_eq!(refused.name, "ServerException");
}

#[tokio::test]
async fn shutting_down_ends_processes_even_if_nothing_can_be_stored() {
    let fixture = Fixture::new(Containers::HostProcesses);
    fixture.register("f", &sh("echo $$; exec sleep 600"));
    let arn = fixture.run("f", &json!([]));
    fixture.until(&arn, "RUNNING").await;
    while !fixture.stdout(&arn, "app").ends_with('\n') {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let pid: i32 = fixture.stdout(&arn, "app").trim().parse().unwrap();
    fixture.sql(
        "CREATE TRIGGER full BEFORE UPDATE ON ecs_tasks BEGIN SELECT raise(ABORT, 'full'); END",
    );
    fixture.ecs.shutdown().await;
    assert!(!is_running(pid));
    assert_eq!(fixture.describe(&arn)["lastStatus"], "RUNNING");
    fixture.sql("DROP TRIGGER full");
}

#[tokio::test]
async fn a_step_that_cannot_be_stored_is_tried_until_it_can() {
    let fixture = Fixture::new(Containers::Stub);
    fixture.register("f", &["true"]);
    fixture.sql(
        "CREATE TRIGGER full BEFORE UPDATE ON ecs_tasks BEGIN SELECT raise(ABORT, 'full'); END",
    );
    let arn = fixture.run("f", &json!([]));
    tokio::task::yield_now().await;
    fixture.sql("DROP TRIGGER full");
    fixture.until_stopped(&arn).await;
    let versions = fixture.steps(&arn);
    assert!(versions.iter().zip(1..).all(|(step, version)| step["version"] == version));
}

#[tokio::test]
async fn a_task_that_writes_much_disturbs_nothing() {
    let fixture = Fixture::new(Containers::HostProcesses);
    fixture.register("f", &["head", "-c", "100000000", "/dev/zero"]);
    let arn = fixture.run("f", &json!([]));
    let task = fixture.until_stopped(&arn).await;
    assert_eq!(task["containers"][0]["exitCode"], 0);
    let id = arn.rsplit('/').next().unwrap();
    let log = fixture.directory.path().join("tasks").join(id).join("app.stdout.log");
    assert_eq!(fs::metadata(log).unwrap().len(), 100_000_000);
}

/// Whether a process is there and not merely waiting to be waited for.
pub(super) fn is_running(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, fields)| !fields.trim_start().starts_with('Z'))
}
