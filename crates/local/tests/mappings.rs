//! Queues that invoke functions, in processes of their own on the real `lambda_runtime`: what is deleted, and what comes again.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde_json::{Value, json};
use support::{Local, TempDir, function, soon};
use taskferry_local::{
    lambda::Mapping,
    sqs::{NewMessage, QueueAttributes},
};
use tokio::time::sleep;

const LONG: Duration = Duration::from_secs(30);

/// The server with a queue, and a function that writes down what it is given.
struct World {
    local: Local,
    seen: PathBuf,
}

impl World {
    /// `answer` is what the function answers instead of naming the messages that failed.
    async fn start(answer: Option<&str>) -> Self {
        Self::start_in(TempDir::new(), answer).await
    }

    async fn start_in(dir: TempDir, answer: Option<&str>) -> Self {
        let local = Local::start_with(dir, |_| {}).await;
        let seen = local.dir.path().join("seen");
        let mut environment = vec![("SEEN", seen.to_str().unwrap())];
        environment.extend(answer.map(|answer| ("ANSWER", answer)));
        local.functions.deploy("f", function(&environment, LONG)).unwrap();
        Self { local, seen }
    }

    fn create(&self, name: &str, attributes: &[(&str, &str)]) {
        let mut all: QueueAttributes = BTreeMap::new();
        all.extend(
            attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        if name.strip_suffix(".fifo").is_some() {
            all.insert("FifoQueue".to_owned(), "true".to_owned());
            all.insert("ContentBasedDeduplication".to_owned(), "true".to_owned());
        }
        let Local { db, queues, .. } = &self.local;
        db.write(|tx| queues.create(tx, name, &all)).unwrap().unwrap();
    }

    /// A queue with another for its dead letters.
    fn with_dead_letters(&self, name: &str, dead: &str, receives_max: u32) {
        self.create(dead, &[]);
        let arn = format!("arn:aws:sqs:us-east-1:000000000000:{dead}");
        let policy =
            json!({ "deadLetterTargetArn": arn, "maxReceiveCount": receives_max }).to_string();
        self.create(name, &[("VisibilityTimeout", "1"), ("RedrivePolicy", &policy)]);
    }

    fn map(&self, mapping: Mapping) {
        self.local.mappings.deploy(&[mapping]).unwrap();
    }

    fn send(&self, queue: &str, bodies: &[&str]) {
        let Local { db, queues, .. } = &self.local;
        let group_id = queue.strip_suffix(".fifo").map(|_| "g");
        db.write(|tx| {
            for body in bodies {
                let message = NewMessage { body, group_id, ..NewMessage::default() };
                queues.send(tx, queue, &message)?.unwrap();
            }
            Ok::<_, rusqlite::Error>(())
        })
        .unwrap();
    }

    /// The batches that the function was given, as lists of bodies.
    fn batches(&self) -> Vec<Vec<String>> {
        let text = std::fs::read_to_string(&self.seen).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    async fn until_seen(&self, count: usize) -> Vec<Vec<String>> {
        soon(async {
            while self.batches().len() < count {
                sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
        self.batches()
    }

    /// Until a queue has so many messages, whether they can be received or not.
    async fn until_left(&self, queue: &str, count: u64) {
        soon(async {
            while self.left(queue).await != count {
                sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
    }

    async fn left(&self, queue: &str) -> u64 {
        let url = format!("http://localhost/000000000000/{queue}");
        let asked = json!({ "QueueUrl": url, "AttributeNames": ["All"] });
        let answer = self.local.call("AmazonSQS.GetQueueAttributes", &asked).await.json();
        let number = |name: &str| -> u64 {
            let name = format!("ApproximateNumberOfMessages{name}");
            answer["Attributes"][name].as_str().unwrap().parse().unwrap()
        };
        number("") + number("NotVisible") + number("Delayed")
    }
}

fn reporting(queue: &str) -> Mapping {
    Mapping { reports_failures: true, ..Mapping::new(queue, "f") }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_invokes_the_function_and_is_deleted() {
    let world = World::start(None).await;
    world.create("q", &[]);
    world.map(Mapping::new("q", "f"));
    world.send("q", &["a"]);
    assert_eq!(world.until_seen(1).await, [["a"]]);
    world.until_left("q", 0).await;
    world.local.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waited_before_the_mapping_is_delivered_in_batches() {
    let world = World::start(None).await;
    world.create("q", &[]);
    let bodies: Vec<String> = (0..25).map(|number| number.to_string()).collect();
    world.send("q", &bodies.iter().map(String::as_str).collect::<Vec<_>>());
    world.map(Mapping::new("q", "f"));
    world.until_left("q", 0).await;
    let batches = world.batches();
    assert!(batches.iter().all(|batch| batch.len() <= 10), "{batches:?}");
    assert_eq!(batches.concat().len(), 25);
    world.local.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_message_comes_again_alone_and_then_goes_to_the_dead_letters() {
    let world = World::start(None).await;
    world.with_dead_letters("q", "dead", 2);
    world.send("q", &["good", "bad", "fine"]);
    world.map(reporting("q"));
    world.until_left("dead", 1).await;
    world.until_left("q", 0).await;
    assert_eq!(world.batches(), [vec!["good", "bad", "fine"], vec!["bad"]]);
    world.local.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_batch_comes_again_whole() {
    let world = World::start(None).await;
    world.with_dead_letters("q", "dead", 1);
    world.send("q", &["good", "error"]);
    world.map(reporting("q"));
    world.until_left("dead", 2).await;
    assert_eq!(world.batches(), [vec!["good", "error"]]);
    world.local.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_understood_deletes_nothing() {
    let world = World::start(Some(r#"{"batchItemFailures":[{"itemIdentifier":""}]}"#)).await;
    world.with_dead_letters("q", "dead", 1);
    world.send("q", &["a", "b"]);
    world.map(reporting("q"));
    world.until_left("dead", 2).await;
    world.local.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_answer_is_a_success() {
    let world = World::start(Some("null")).await;
    world.create("q", &[]);
    world.send("q", &["a", "b"]);
    world.map(reporting("q"));
    world.until_left("q", 0).await;
    world.local.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_keeps_its_order_though_one_fails() {
    let world = World::start(None).await;
    world.with_dead_letters("q.fifo", "dead.fifo", 2);
    world.send("q.fifo", &["1", "bad", "3"]);
    // The function gives back what follows a failure, as one for an ordered queue must.
    world.map(reporting("q.fifo"));
    world.until_left("dead.fifo", 2).await;
    world.until_left("q.fifo", 0).await;
    assert_eq!(world.batches()[..2], [vec!["1", "bad", "3"], vec!["bad", "3"]]);
    world.local.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_gathers_what_comes() {
    let world = World::start(None).await;
    world.create("q", &[]);
    world.map(Mapping { window_seconds: 1, batch_size: 100, ..Mapping::new("q", "f") });
    for body in ["1", "2", "3"] {
        world.send("q", &[body]);
    }
    world.until_left("q", 0).await;
    assert_eq!(world.batches(), [["1", "2", "3"]]);
    world.local.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mapping_that_is_gone_receives_nothing() {
    let world = World::start(None).await;
    world.create("q", &[]);
    world.map(Mapping::new("q", "f"));
    world.send("q", &["a"]);
    world.until_left("q", 0).await;
    world.local.mappings.deploy(&[]).unwrap();
    // A receive that had begun ends first.
    world.local.mappings.settled().await;
    // One that is there takes what the former does not.
    world.create("other", &[]);
    world.send("q", &["b"]);
    world.map(Mapping::new("other", "f"));
    world.send("other", &["c"]);
    assert_eq!(world.until_seen(2).await, [["a"], ["c"]]);
    assert_eq!(world.left("q").await, 1);
    world.local.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_begun_at_the_end_is_given_back() {
    let world = World::start(None).await;
    world.create("q", &[("VisibilityTimeout", "3600")]);
    // No process takes it: it is received, and waits for one.
    world.local.functions.hold(&["f"]).await;
    world.map(Mapping::new("q", "f"));
    world.send("q", &["a"]);
    soon(async {
        while world.local.count("sqs_messages WHERE receives > 0") == 0 {
            sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    let dir = world.local.stop().await;
    let world = World::start_in(dir, None).await;
    world.map(Mapping::new("q", "f"));
    assert_eq!(world.until_seen(1).await, [["a"]]);
    world.local.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_process_had_in_hand_comes_again_at_once() {
    let world = World::start(None).await;
    world.create("q", &[("VisibilityTimeout", "3600")]);
    world.map(Mapping::new("q", "f"));
    world.send("q", &["begins"]);
    world.until_left("q", 0).await;
    let dir = world.local.stop().await;
    let world = World::start_in(dir, None).await;
    world.send("q", &["a"]);
    let hour = jiff::Timestamp::now().as_millisecond() + 3_600_000;
    world
        .local
        .db
        .write(|tx| {
            tx.execute("UPDATE sqs_messages SET in_hand = 1, receives = 1, visible_at = ?1", [hour])
        })
        .unwrap();
    world.map(Mapping::new("q", "f"));
    assert_eq!(world.until_seen(2).await[1], ["a"]);
    world.until_left("q", 0).await;
    world.local.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_event_is_lambda_s() {
    let world = World::start(None).await;
    let file = world.local.dir.path().join("event");
    world
        .local
        .functions
        .deploy("f", function(&[("EVENT", file.to_str().unwrap())], LONG))
        .unwrap();
    world.create("q", &[]);
    let url = "http://localhost/000000000000/q";
    let sent = json!({ "QueueUrl": url, "MessageBody": "ü", "MessageAttributes": {
        "text": { "DataType": "String", "StringValue": "a" },
        "bytes": { "DataType": "Binary", "BinaryValue": "AAE=" },
    } });
    let sent = world.local.call("AmazonSQS.SendMessage", &sent).await.json();
    world.map(Mapping::new("q", "f"));
    world.until_left("q", 0).await;
    let event: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let record = &event["Records"][0];
    assert_eq!(record["messageId"], sent["MessageId"]);
    assert_eq!(record["md5OfBody"], sent["MD5OfMessageBody"]);
    assert_eq!(record["md5OfMessageAttributes"], sent["MD5OfMessageAttributes"]);
    assert_eq!(record["eventSource"], "aws:sqs");
    assert_eq!(record["eventSourceARN"], "arn:aws:sqs:us-east-1:000000000000:q");
    assert_eq!(record["awsRegion"], "us-east-1");
    assert_eq!(record["body"], "ü");
    assert_eq!(record["attributes"]["ApproximateReceiveCount"], "1");
    assert!(record["receiptHandle"].is_string());
    let expected = json!({
        "text": { "stringValue": "a", "stringListValues": [], "binaryListValues": [], "dataType": "String" },
        "bytes": { "binaryValue": "AAE=", "stringListValues": [], "binaryListValues": [], "dataType": "Binary" },
    });
    assert_eq!(record["messageAttributes"], expected);
    world.local.stop().await;
}
