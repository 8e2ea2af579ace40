//! Through the real program: messages in at a queue, what tasks did at the other end, and what the queue kept.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, and says where")]

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};
use taskferry_tests::{Dev, Project, eventually, post};

/// Rules whose tasks need nothing but what every machine has.
const RULES: &str = r#"
name: queues
taskDefinitions:
  print:
    containerDefinitions:
      - { name: app, image: none, memory: 64, entryPoint: [printf, "%s"], command: [nothing] }
  nap:
    containerDefinitions:
      - { name: app, image: none, memory: 64, command: [sleep, "1"] }
rules:
  - name: order
    on: { sqs: { queue: orders, batchSize: 10, batchingWindow: 1s } }
    target:
      taskDefinition: print
      overrides: { containerOverrides: [{ name: app, command: ["{{ detail.body.n }}"] }] }
  - name: step
    on: { sqs: { queue: steps.fifo } }
    target:
      taskDefinition: print
      overrides: { containerOverrides: [{ name: app, command: ["{{ detail.body }}"] }] }
  - name: one-at-a-time
    on: { sqs: { queue: jobs.fifo, ack: completion } }
    target: { taskDefinition: nap }
  - name: uploaded
    on: { s3: { bucket: uploads, prefix: in/ }, sqs: { queue: uploads } }
    target:
      taskDefinition: print
      overrides: { containerOverrides: [{ name: app, command: ["{{ detail.object.key }}"] }] }
"#;

/// What SQS answers to an operation on a queue.
fn sqs(dev: &Dev, operation: &str, queue: &str, mut request: Value) -> Value {
    request["QueueUrl"] = json!(format!("{}/000000000000/{queue}", dev.endpoint));
    let target = format!("AmazonSQS.{operation}");
    let headers =
        [("x-amz-target", target.as_str()), ("content-type", "application/x-amz-json-1.0")];
    let answer = post(&dev.endpoint, "/", &headers, request.to_string().as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.body);
    serde_json::from_str(&answer.body).unwrap_or_default()
}

/// How many messages a queue has, seen and unseen.
fn left(dev: &Dev, queue: &str) -> u32 {
    let attributes = json!({ "AttributeNames": ["All"] });
    let attributes = sqs(dev, "GetQueueAttributes", queue, attributes);
    ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        .iter()
        .map(|name| attributes["Attributes"][name].as_str().unwrap().parse::<u32>().unwrap())
        .sum()
}

fn printed(project: &Project, runs: &[Value]) -> Vec<String> {
    let log = |run: &Value| project.stdout(&["runs", "logs", run["id"].as_str().unwrap()]);
    runs.iter().map(log).collect()
}

#[test]
fn nine_of_ten_messages_run_and_the_bad_one_is_a_dead_letter_once() {
    let project = Project::new(RULES);
    let dev = project.dev();
    let entry = |n: u32| {
        let body = if n == 4 { "no order".to_owned() } else { json!({ "n": n }).to_string() };
        json!({ "Id": n.to_string(), "MessageBody": body })
    };
    let entries: Vec<Value> = (0..10).map(entry).collect();
    sqs(&dev, "SendMessageBatch", "orders", json!({ "Entries": entries }));
    let runs = project.ended_runs("order", 10);
    let (good, bad): (Vec<Value>, Vec<Value>) =
        runs.into_iter().partition(|run| run["status"] == "succeeded");
    let mut numbers = printed(&project, &good);
    numbers.sort();
    assert_eq!(numbers, ["0", "1", "2", "3", "5", "6", "7", "8", "9"]);
    assert!(bad[0]["reason"].as_str().unwrap().contains("detail.body"), "{}", bad[0]);
    eventually("the queue is empty", || (left(&dev, "orders") == 0).then_some(()));
    assert_eq!(left(&dev, "orders-dead-letters"), 0);
    dev.stop("INT");
}

#[test]
fn a_group_keeps_its_order() {
    let project = Project::new(RULES);
    let dev = project.dev();
    for n in 0..6 {
        project.stdout(&[
            "send",
            "--sqs",
            "steps.fifo",
            "--body",
            &n.to_string(),
            "--group",
            "g",
            "--dedupe",
            &n.to_string(),
        ]);
    }
    let mut runs = project.ended_runs("step", 6);
    // As they were made, which is the order in which they were taken.
    runs.reverse();
    assert_eq!(printed(&project, &runs), ["0", "1", "2", "3", "4", "5"]);
    dev.stop("INT");
}

#[test]
fn a_message_stays_in_its_queue_until_its_run_has_ended_and_holds_its_group() {
    let project = Project::new(RULES);
    let dev = project.dev();
    for n in ["1", "2"] {
        project.stdout(&["send", "--sqs", "jobs.fifo", "--body", n, "--group", "g", "--dedupe", n]);
    }
    eventually("one runs", || {
        let runs = project.runs();
        runs.iter().any(|run| run["status"] == "running").then_some(())
    });
    assert_eq!((project.runs().len(), left(&dev, "jobs.fifo")), (1, 2));
    let runs = project.ended_runs("one-at-a-time", 2);
    let time = |at: &Value| at.as_str().unwrap().parse::<Timestamp>().unwrap();
    assert!(time(&runs[0]["createdAt"]) > time(&runs[1]["endedAt"]), "{runs:?}");
    eventually("the queue is empty", || (left(&dev, "jobs.fifo") == 0).then_some(()));
    dev.stop("INT");
}

#[test]
fn a_held_message_outlives_a_killed_machine_and_runs_once() {
    let project = Project::new(RULES);
    let dev = project.dev();
    project.stdout(&["send", "--sqs", "jobs.fifo", "--body", "1", "--group", "g", "--dedupe", "1"]);
    eventually("it is held", || (!project.runs().is_empty()).then_some(()));
    dev.kill();
    let dev = project.dev();
    let runs = project.ended_runs("one-at-a-time", 1);
    assert_eq!(runs.len(), 1);
    eventually("the queue is empty", || (left(&dev, "jobs.fifo") == 0).then_some(()));
    assert_eq!(project.runs().len(), 1);
    dev.stop("INT");
}

#[test]
fn what_s3_tells_comes_through_a_queue_and_in_an_envelope_of_sns() {
    let project = Project::new(RULES);
    let dev = project.dev();
    // As one does who has exported it for AWS's own clients.
    let sent = project
        .command(&["send", "--s3", "s3://uploads/in/a+b c%.csv", "--size", "3"])
        .env("AWS_ENDPOINT_URL", &dev.endpoint)
        .output()
        .unwrap();
    assert!(sent.status.success(), "{sent:?}");
    let id = String::from_utf8(sent.stdout).unwrap();
    let record = json!({
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "us-east-1", "eventName": "ObjectCreated:Put",
        "eventTime": "2026-01-01T00:00:00.000Z",
        "s3": { "bucket": { "name": "uploads" }, "object": { "key": "in/%ED%95%9C+1", "size": 1, "sequencer": "1" } },
    });
    let envelope = json!({
        "Type": "Notification", "MessageId": "n", "TopicArn": "arn:aws:sns:us-east-1:000000000000:t",
        "Timestamp": "2026-01-01T00:00:00.000Z", "Message": json!({ "Records": [record] }).to_string(),
    });
    project.stdout(&["send", "--sqs", "uploads", "--body", &envelope.to_string()]);
    let runs = project.ended_runs("uploaded", 2);
    let mut keys = printed(&project, &runs);
    keys.sort();
    assert_eq!(keys, ["in/a+b c%.csv", "in/한 1"]);
    assert!(runs.iter().any(|run| run["event"]["id"] == id.trim()), "{id} {runs:?}");
    dev.stop("INT");
}

#[test]
fn the_queues_of_the_rules_are_there_with_their_dead_letters_and_mappings() {
    let project = Project::new(RULES);
    let dev = project.dev();
    let attributes =
        sqs(&dev, "GetQueueAttributes", "jobs.fifo", json!({ "AttributeNames": ["All"] }));
    let attributes = &attributes["Attributes"];
    let redrive: Value =
        serde_json::from_str(attributes["RedrivePolicy"].as_str().unwrap()).unwrap();
    assert_eq!(
        redrive,
        json!({ "deadLetterTargetArn": "arn:aws:sqs:us-east-1:000000000000:jobs-dead-letters.fifo", "maxReceiveCount": 5 })
    );
    assert_eq!(attributes["VisibilityTimeout"], "360");
    let began = Instant::now();
    dev.stop("INT");
    assert!(began.elapsed() < Duration::from_secs(20), "idle pollers end at once");
}
