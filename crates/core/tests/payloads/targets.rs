//! What each fuzz target checks of one payload. Panics if it does not hold.
//!
//! Called by libFuzzer with payloads that it breeds, and by the tests with those that are committed.

use serde_json::json;
use taskferry_core::event::{
    Event,
    s3::{self, Notification},
    sqs::{self, Message},
};

/// Any text as a notification of S3.
pub fn s3(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    assert_eq!(notified(text), notified(text));
}

/// Any text as what SNS invokes a function with, and as what it carries.
pub fn sns(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    notified(text);
    let sns = json!({ "Message": text, "MessageId": "m", "TopicArn": "t", "Timestamp": "0" });
    let around = json!({ "Records": [{ "EventSource": "aws:sns", "Sns": sns }] });
    // What SNS passes on is S3's as it would be without it.
    let through = notified(&around.to_string());
    let (through, direct) = (through.unwrap_or_default(), notified(text).unwrap_or_default());
    assert!(through.is_empty() || through == direct);
}

/// Any text as a batch of a queue's messages, and as the body of one, by itself and in SNS's envelope.
pub fn sqs(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    for received in sqs::normalise(text).into_iter().flatten() {
        assert!(!received.id.as_str().is_empty());
        if let Ok(message) = &received.message {
            whole(message);
        }
    }
    let plain = one(text);
    let envelope = json!({
        "Type": "Notification", "MessageId": "m", "TopicArn": "t", "Timestamp": "0", "Message": text,
    });
    let through = one(&envelope.to_string());
    // An envelope in an envelope is opened once.
    let is_message = |message: &Message| message.events.iter().any(|it| it.source() == "aws.sqs");
    if !is_message(&through) {
        assert_eq!(through.events, plain.events);
    }
}

/// Any text as an event of EventBridge, and as the body of a message.
pub fn event(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let message = one(text);
    let Ok(event) = Event::parse(text) else { return };
    assert_eq!(event.text(), text);
    assert!(event.value()["detail"].is_object());
    let excerpt = event.excerpt();
    assert_eq!(Event::parse(excerpt.text()).as_ref().ok(), Some(&excerpt));
    assert!(excerpt.text().len() < 1 << 20);
    if message.events[0].source() != "aws.sqs" && message.events[0].id() == event.id() {
        assert_eq!(message.events, [event]);
    }
}

/// The events of a notification; none of a test event, and `None` of what is no notification.
fn notified(text: &str) -> Option<Vec<Event>> {
    match s3::normalise(text).ok()? {
        Notification::Test => Some(Vec::new()),
        Notification::Records(records) => {
            let events: Vec<Event> = records.into_iter().flatten().collect();
            events.iter().for_each(readable);
            Some(events)
        }
    }
}

fn one(body: &str) -> Message {
    let record = json!({
        "messageId": "m", "receiptHandle": "r", "body": body, "attributes": { "SentTimestamp": "0" },
        "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:jobs",
    });
    let batch = json!({ "Records": [record] }).to_string();
    let message = sqs::normalise(&batch).unwrap().remove(0).message.unwrap();
    whole(&message);
    message
}

/// Nothing of a message is lost: what makes no event is kept.
fn whole(message: &Message) {
    assert_eq!(message.refused.is_some(), message.kept.is_some());
    message.events.iter().chain(&message.kept).for_each(readable);
}

/// What was written as an event is one.
fn readable(event: &Event) {
    let read = Event::parse(event.text()).unwrap();
    let envelope = |event: &Event| {
        [event.id(), event.source(), event.detail_type(), event.time()].map(str::to_owned)
    };
    assert_eq!(envelope(&read), envelope(event));
}
