//! Through the real program: what comes through an SNS topic or a queue that a bucket or the bus fills, with nothing made by
//! hand.

use std::fs;

use serde_json::json;
use taskferry_aws::Clients;
use taskferry_tests::{Project, eventually};

/// Rules on objects and events that come through a topic and through queues.
const RULES: &str = r#"
name: ways
taskDefinitions:
  print:
    containerDefinitions: [ { name: app, image: none, memory: 64, entryPoint: ["true"] } ]
rules:
  - name: topic
    on: { s3: { bucket: photos, suffix: .jpg }, sns: { topic: uploads } }
    target: { taskDefinition: print }
  - name: queue
    on: { s3: { bucket: docs, prefix: in/ }, sqs: { queue: upload-events } }
    target: { taskDefinition: print }
  - name: orders
    on: { eventPattern: { source: [shop], detail-type: [Order] }, sqs: { queue: orders } }
    target: { taskDefinition: print }
  - name: on-a-bus
    on: { eventPattern: { source: [shop] }, bus: "arn:aws:events:eu-west-1:123456789012:event-bus/orders" }
    target: { taskDefinition: print }
  - name: orders-again
    on: { eventPattern: { source: [shop] }, sqs: { queue: orders } }
    target: { taskDefinition: print }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_through_a_topic_or_a_queue_reaches_its_rule_at_once() {
    let project = Project::new(RULES);
    let dev = project.dev();
    let objects = Clients::of_endpoint(&dev.endpoint).await.objects();
    for (bucket, key) in [("photos", "a.jpg"), ("photos", "b.txt"), ("docs", "in/a"), ("docs", "b")]
    {
        objects.put(bucket, key, b"x".to_vec()).await.unwrap();
    }
    project.stdout(&["send", "--s3", "s3://photos/sent.jpg"]);
    project.stdout(&["send", "--s3", "s3://docs/in/sent"]);
    let log = || fs::read_to_string(project.dir().join("dev.log")).unwrap();
    // Without its time.
    let line = |text: &str| {
        eventually(text, || {
            let log = log();
            let line =
                log.split_inclusive('\n').find(|it| it.contains(text) && it.ends_with('\n'))?;
            Some(line.trim_end().split_once("  ")?.1.to_owned())
        })
    };
    let subjects = |rule| {
        let runs = project.ended_runs(rule, 2);
        let mut subjects: Vec<_> =
            runs.iter().map(|run| run["event"]["subject"].as_str().unwrap().to_owned()).collect();
        subjects.sort();
        subjects
    };
    assert_eq!(subjects("topic"), ["s3://photos/a.jpg", "s3://photos/sent.jpg"]);
    assert_eq!(subjects("queue"), ["s3://docs/in/a", "s3://docs/in/sent"]);
    let told = line("s3://docs/in/a");
    assert_eq!(
        told,
        "route     Object Created from aws.s3, s3://docs/in/a by queue upload-events, 1 rule matches"
    );

    // Two rules on one queue: it gets the event once.
    let order = json!({ "source": "shop", "detail-type": "Order", "detail": { "order": 1 } });
    project.write("event.json", &order.to_string());
    let id = project.stdout(&["send", "--event", "event.json"]);
    assert_eq!(project.ended_runs("orders", 1)[0]["event"]["id"], json!(id.trim()));
    project.ended_runs("orders-again", 1);
    let told = line("Order from shop");
    assert_eq!(told, "route     Order from shop by queue orders, 2 rules match");
    assert!(!log().contains("duplicate"));

    // A bus, as a queue and a topic, is the one of its name, whatever account and Region an ARN says.
    project.stdout(&["send", "--event", "event.json", "--event-bus", "orders"]);
    project.ended_runs("on-a-bus", 1);

    // Made again at the next start, and with a reload, they are as they were.
    dev.stop("INT");
    let dev = project.dev();
    let objects = Clients::of_endpoint(&dev.endpoint).await.objects();
    objects.put("photos", "c.jpg", b"x".to_vec()).await.unwrap();
    assert_eq!(project.ended_runs("topic", 3).len(), 3);
    dev.stop("INT");
}
