//! What each fuzz target checks of one input. Panics if it does not hold.
//!
//! Called by libFuzzer with inputs that it breeds, and by the tests with those that are committed.

use std::sync::LazyLock;

use jiff::Timestamp;
use serde_json::json;
use taskferry_core::{
    event::{
        Event,
        s3::{self, Notification},
        schedule,
        sqs::{self, Message},
    },
    plan::plan,
    rules::{self, Rules, Severity},
    schedule::{Schedule, in_aws_form},
    track::TaskState,
};

/// Rules on schedules, one of which has an input to render.
static SCHEDULED: LazyLock<Rules> = LazyLock::new(|| {
    let text = "
name: shop
rules:
  - { name: nightly, on: { schedule: 'cron(0 2 * * ? *)', timezone: Europe/Berlin }, target: { taskDefinition: t } }
  - name: report
    on: { schedule: rate(1 day), input: { day: '{{ detail.scheduledTime }}' } }
    target: { taskDefinition: t }
";
    let checked = rules::check(text);
    checked.rules.unwrap_or_else(|| panic!("{:?}", checked.faults))
});

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

/// Any text as what a schedule invokes a function with.
pub fn schedule(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let normalise = || schedule::normalise(text, &SCHEDULED)?.ok();
    let event = normalise();
    event.iter().for_each(readable);
    // Fired twice, it is one event.
    assert_eq!(event, normalise());
}

/// A line with a time zone, and the rest as an expression.
pub fn expression(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (zone, expression) = text.split_once('\n').unwrap_or(("UTC", text));
    let Ok(long) = in_aws_form(expression) else { return };
    assert_eq!(in_aws_form(&long).as_ref(), Ok(&long));
    let Ok(schedule) = Schedule::parse(&long, zone) else { return };
    let created = Timestamp::UNIX_EPOCH;
    let mut last = Timestamp::MIN;
    for _ in 0..3 {
        let Some(next) = schedule.next_after(last, created) else { return };
        assert!(next > last, "{next}");
        last = next;
    }
    assert!(schedule.fires());
}

/// Any text as a rules file.
pub fn rules(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let checked = rules::check(text);
    for fault in &checked.faults {
        if let Some(span) = fault.span {
            assert!(text.get(span.start..span.end).is_some(), "{fault:?}");
        }
    }
    let is_refused = checked.faults.iter().any(|fault| fault.severity == Severity::Error);
    assert_eq!(checked.rules.is_none(), is_refused);
    let Some(rules) = checked.rules else { return };
    let json = rules.to_json();
    assert_eq!(Rules::from_json(&json).unwrap().to_json(), json);
    let event = Event::parse(
        r#"{"id":"e","source":"shop","detail-type":"Order","time":"2026-01-01T00:00:00Z","detail":{"n":[1,{"é":null}]}}"#,
    )
    .unwrap();
    for rule in &rules.rules {
        let plan = || format!("{:?}", plan(&rules, rule, &event));
        assert_eq!(plan(), plan());
    }
}

/// Any text as the detail of a state change of a task.
pub fn task(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let event = format!(
        r#"{{"id":"e","source":"aws.ecs","detail-type":"ECS Task State Change","time":"2026-01-01T00:00:00Z","detail":{text}}}"#
    );
    let Ok(event) = Event::parse(&event) else { return };
    let Ok(task) = TaskState::from_event(&event) else { return };
    assert!(!task.has_stopped() || task.is_stopping());
    if let Some(started_by) = task.started_by() {
        assert_eq!(Some(started_by.to_string()), task.started_by);
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
