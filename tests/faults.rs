//! Through the real program with all faults on request at once: what was sent is done, once each, by the tasks' own marks.
//!
//! Which calls and tasks meet with which fault is drawn by lot, and nothing here depends on it: that each fault is what it is
//! on AWS is held where it is made (`crates/local/src/ecs/tests/faults.rs`).

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, and says where")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::Duration,
};

use serde_json::{Value, json};
use taskferry_aws::Clients;
use taskferry_tests::{Project, eventually_within};

/// Rules whose tasks mark that they began. On Spot each stays for longer than an interruption lets it.
const RULES: &str = r#"
name: faults
defaults:
  retry:
    classes:
      capacity: { backoff: { min: 1s, max: 2s } }
      spotInterruption: { backoff: { min: 1s, max: 2s } }
  target:
    taskDefinition: mark
    networkConfiguration: { awsvpcConfiguration: { subnets: [subnet-1] } }
taskDefinitions:
  mark:
    requiresCompatibilities: [FARGATE]
    networkMode: awsvpc
    cpu: "256"
    memory: "512"
    containerDefinitions: [ { name: app, image: none } ]
local:
  containers:
    mark/app: { entryPoint: [sh, mark.sh] }
rules:
  - name: upload
    on: { s3: { bucket: uploads } }
    target:
      launchType: FARGATE
      overrides: { containerOverrides: [ { name: app, command: [upload, "{{ detail.object.key }}"] } ] }
  - name: message
    on: { sqs: { queue: jobs } }
    target:
      launchType: FARGATE
      overrides: { containerOverrides: [ { name: app, command: [message, "{{ detail.body.job }}"] } ] }
  - name: spot
    on: { s3: { bucket: spot } }
    target:
      capacityProviderStrategy: [ { capacityProvider: FARGATE_SPOT, weight: 1 } ]
      overrides: { containerOverrides: [ { name: app, command: [spot, "{{ detail.object.key }}"] } ] }
"#;

/// Marks rule, key and task, in one write: several tasks write at once.
const MARK: &str = r#"
printf '%s %s %s\n' "$1" "$2" "$(basename "$(dirname "$PWD")")" >> ../../../../marks
if [ "$1" = spot ]; then sleep 6; fi
"#;

const UPLOADS: usize = 10;
const MESSAGES: usize = 6;
const SPOT: usize = 3;

/// A denied launch alone is proven for 15 seconds, and a call that was throttled three times waits for a minute.
const PATIENCE: Duration = Duration::from_mins(10);

/// The tasks that left marks, by rule and key.
fn marks(project: &Project) -> BTreeMap<(String, String), Vec<String>> {
    let mut marks: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for line in fs::read_to_string(project.dir().join("marks")).unwrap().lines() {
        let [rule, key, task] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        marks.entry((rule.to_owned(), key.to_owned())).or_default().push(task.to_owned());
    }
    marks
}

/// The tasks of a run's attempts, in their order; `None` for one that started none.
fn tasks(run: &Value) -> Vec<Option<&str>> {
    let attempts = run["attempts"].as_array().unwrap().iter();
    attempts.map(|attempt| attempt["taskArn"].as_str()?.rsplit('/').next()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn through_all_faults_each_event_is_done_once() {
    let project = Project::new(RULES);
    project.write("mark.sh", MARK);
    let faults = [
        "--fault=all=50%",
        "--fault=throttle=20%",
        "--fault=failures=10%",
        "--fault=spot-interruption=100%",
    ];
    let dev = project.dev_with(&faults);
    let objects = Clients::of_endpoint(&dev.endpoint).await.objects();
    let mut sent = BTreeSet::new();
    for n in 0..UPLOADS {
        objects.put("uploads", &n.to_string(), b"x".to_vec()).await.unwrap();
        sent.insert(("upload".to_owned(), n.to_string()));
    }
    for n in 0..SPOT {
        objects.put("spot", &n.to_string(), b"x".to_vec()).await.unwrap();
        sent.insert(("spot".to_owned(), n.to_string()));
    }
    for n in 0..MESSAGES {
        let body = json!({ "job": n }).to_string();
        project.stdout(&["send", "--sqs", "jobs", "--body", &body]);
        sent.insert(("message".to_owned(), n.to_string()));
    }
    let runs = eventually_within(PATIENCE, "all runs have ended", || {
        let runs = project.runs();
        let ended = runs.iter().filter(|run| !run["endedAt"].is_null()).count();
        (ended >= sent.len()).then_some(runs)
    });
    // What is told late, or twice, is told to runs that have ended.
    dev.stop("INT");

    assert_eq!(runs.len(), sent.len(), "{runs:#?}");
    let mut marks = marks(&project);
    assert_eq!(marks.keys().cloned().collect::<BTreeSet<_>>(), sent);
    for run in &runs {
        assert_eq!(run["status"], "succeeded", "{run:#}");
        let tasks = tasks(run);
        let last = tasks.last().unwrap().unwrap();
        let found = marks.iter().find(|(_, marked)| marked.iter().any(|task| task == last));
        let at = found.unwrap_or_else(|| panic!("no mark of {run:#}")).0.clone();
        let marked = marks.remove(&at).unwrap();
        assert_eq!(at.0, run["rule"].as_str().unwrap());
        if at.0 == "spot" {
            // Whoever is told to stop at once may leave no mark; nobody leaves two.
            let of_run = |task: &String| tasks.contains(&Some(task));
            assert!(marked.iter().all(of_run), "{marked:?} {run:#}");
            assert_eq!(marked.iter().collect::<BTreeSet<_>>().len(), marked.len(), "{marked:?}");
            let attempts = run["attempts"].as_array().unwrap();
            let is_interrupted = |attempt: &&Value| attempt["stopCode"] == "SpotInterruption";
            assert_eq!(attempts.iter().filter(is_interrupted).count(), 1, "{run:#}");
        } else {
            assert_eq!(marked, [last], "{run:#}");
            assert!(tasks[..tasks.len() - 1].iter().all(Option::is_none), "{run:#}");
        }
    }
    assert_eq!(project.stdout(&["dead-letters", "list", "--json"]).trim(), "[]");

    let log = fs::read_to_string(project.dir().join("dev.log")).unwrap();
    let asked = "on request: throttle=20%, failures=10%, lost-response=50%, duplicate-event=50%, reordered-event=50%, \
                 slow-start=50%, spot-interruption=100%";
    assert!(log.contains(asked), "{log}");
    let interrupted = log.matches("fault     spot-interruption, on request: task ").count();
    assert_eq!(interrupted, SPOT, "{log}");
}

#[test]
fn a_fault_that_is_not_known_is_refused_and_one_that_cannot_happen_is_told() {
    let project = Project::new("name: faults\nrules: []\n");
    for command in ["dev", "demo"] {
        let refused = project.taskferry(&[command, "--fault", "trottle=10%"]);
        let told = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(2));
        let expected = "invalid value 'trottle=10%' for '--fault <FAULT=SHARE>': there is no fault `trottle`; there are throttle,";
        assert!(told.contains(expected), "{told}");
    }
    let dev = project.dev_with(&["--fault", "spot-interruption=20%"]);
    eventually_within(Duration::from_mins(1), "it is told", || {
        let log = fs::read_to_string(project.dir().join("dev.log")).unwrap();
        log.contains("only what runs on FARGATE_SPOT is interrupted").then_some(())
    });
    dev.stop("INT");
}

#[test]
fn a_stop_whose_answer_is_lost_is_recorded_and_carried_out() {
    let project = Project::new(
        r#"
name: faults
taskDefinitions:
  sleep: { containerDefinitions: [ { name: app, image: none, memory: 64, command: [sleep, "600"] } ] }
rules:
  - { name: long, on: { eventPattern: { source: [shop] } }, target: { taskDefinition: sleep } }
"#,
    );
    project.write("event.json", r#"{"source":"shop","detail-type":"Order","detail":{}}"#);
    let dev = project.dev_with(&["--fault", "lost-response=100%"]);
    project.stdout(&["send", "--event", "event.json"]);
    let id = eventually_within(PATIENCE, "it runs", || {
        let runs = project.runs();
        let run = runs.iter().find(|run| run["status"] == "running")?;
        Some(run["id"].as_str().unwrap().to_owned())
    });
    let told = project.stdout(&["runs", "stop", &id, "--reason", "enough"]);
    assert!(told.contains("the stop is recorded"), "{told}");
    let run = eventually_within(PATIENCE, "it has ended", || {
        project.runs().into_iter().find(|run| !run["endedAt"].is_null())
    });
    assert_eq!(run["status"], "cancelled", "{run:#}");
    dev.stop("INT");
}
