use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::event::SIZE_BYTES_MAX;

fn record(body: &str) -> Value {
    json!({
        "messageId": "m", "receiptHandle": "r", "body": body,
        "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1767225600123"},
        "messageAttributes": {}, "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:jobs", "awsRegion": "us-east-1",
    })
}

fn batch(records: &[Value]) -> String {
    json!({ "Records": records }).to_string()
}

fn one(body: &str) -> Message {
    normalise(&batch(&[record(body)])).unwrap().remove(0).message.unwrap()
}

fn encoded(key: &str) -> String {
    let byte = |byte| match byte {
        b' ' => "+".to_owned(),
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    key.bytes().map(byte).collect()
}

fn s3_notification(key: &str) -> String {
    let record = json!({
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "us-east-1",
        "eventTime": "2026-01-02T03:04:05.678Z", "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": "uploads"}, "object": {"key": key, "size": 5, "sequencer": "1"}},
    });
    batch(&[record])
}

fn in_sns(message: &str) -> String {
    json!({
        "Type": "Notification", "MessageId": "n", "TopicArn": "arn:aws:sns:us-east-1:0:t",
        "Timestamp": "2026-01-01T00:00:00.000Z", "Message": message,
    })
    .to_string()
}

#[test]
fn a_delivery_leaves_no_trace_in_the_event() {
    let mut again = record("hello");
    again["receiptHandle"] = json!("another");
    again["attributes"]["ApproximateReceiveCount"] = json!("7");
    again["attributes"]["ApproximateFirstReceiveTimestamp"] = json!("1767225609999");
    let messages = normalise(&batch(&[record("hello"), again])).unwrap();
    let text = |index: usize| messages[index].message.as_ref().unwrap().events[0].text();
    assert_eq!(text(0), text(1));
}

#[test]
fn a_body_that_is_too_deep_for_an_event_stays_text() {
    let deep = format!("{}1{}", "[".repeat(500), "]".repeat(500));
    assert_eq!(one(&deep).events[0].value()["detail"]["body"], deep);
    let broken = r#"{"a":"\ud800"}"#;
    assert_eq!(one(broken).events[0].value()["detail"]["body"], broken);
}

#[test]
fn a_message_that_is_too_long_is_kept_with_how_it_begins() {
    for body in
        ["\"".repeat(SIZE_BYTES_MAX), format!("{{\"a\":\"{}\"}}", "é".repeat(SIZE_BYTES_MAX / 2))]
    {
        let message = one(&body);
        assert!(message.events.is_empty());
        assert!(matches!(message.refused, Some(Error::Event(super::super::Error::TooLong { .. }))));
        let kept = message.kept.unwrap();
        assert_eq!(kept.value()["detail"]["bodyBytes"], body.len());
        assert!(kept.text().len() < 200_000);
    }
}

#[test]
fn a_record_without_a_name_fails_the_batch_and_another_does_not() {
    let mut nameless = record("a");
    nameless["messageId"] = json!("");
    assert!(normalise(&batch(&[record("b"), nameless.clone()])).is_err());
    nameless.as_object_mut().unwrap().remove("messageId");
    assert!(normalise(&batch(&[nameless])).is_err());
    for member in ["body", "eventSourceARN", "attributes", "receiptHandle"] {
        let mut bad = record("a");
        bad[member] = json!(7);
        let messages = normalise(&batch(&[bad, record("b")])).unwrap();
        assert!(messages[0].message.is_err() && messages[1].message.is_ok(), "{member}");
    }
    assert!(normalise("[]").is_err());
    assert!(normalise("{}").is_err());
}

#[test]
fn a_group_is_kept_of_a_fifo_queue_alone() {
    let group = |queue: &str| {
        let mut record = record("a");
        record["attributes"]["MessageGroupId"] = json!("g");
        record["eventSourceARN"] = json!(format!("arn:aws:sqs:us-east-1:0:{queue}"));
        normalise(&batch(&[record])).unwrap().remove(0).message.unwrap().group
    };
    assert_eq!(group("jobs.fifo").as_deref(), Some("g"));
    // There it says only between whom the queue is fair.
    assert_eq!(group("jobs"), None);
}

proptest! {
    #[test]
    fn any_payload_is_answered(payload in "\\PC*") {
        let _answered = normalise(&payload);
    }

    #[test]
    fn any_body_makes_an_event_or_is_kept(body in ".*") {
        let message = one(&body);
        prop_assert!(!message.events.is_empty() || message.kept.is_some());
        for event in message.events.iter().chain(&message.kept) {
            Event::parse(event.text()).unwrap();
        }
    }

    #[test]
    fn any_text_that_is_no_json_arrives_as_it_is(body in "[^\\[{].*") {
        prop_assume!(!body.trim_start().starts_with(['[', '{']));
        let arrived = one(&body);
        prop_assert_eq!(&arrived.events[0].value()["detail"]["body"], &body);
        let through_sns = one(&in_sns(&body));
        prop_assert_eq!(&through_sns.events[0].value()["detail"]["body"], &body);
    }

    #[test]
    fn any_key_is_decoded_once_in_every_form(key in "\\PC{1,64}") {
        let notification = s3_notification(&encoded(&key));
        for body in [notification.clone(), in_sns(&notification)] {
            let message = one(&body);
            prop_assert_eq!(&message.events[0].value()["detail"]["object"]["key"], &key);
        }
        // Through EventBridge it comes as it is.
        let event = json!({
            "version": "0", "id": "1", "detail-type": "Object Created", "source": "aws.s3", "account": "0",
            "time": "2026-01-01T00:00:00Z", "region": "r", "resources": [],
            "detail": {"object": {"key": key}},
        });
        let message = one(&event.to_string());
        prop_assert_eq!(&message.events[0].value()["detail"]["object"]["key"], &key);
    }
}
