//! Each form in which events come, in the shapes that AWS documents, and what becomes of it.
//!
//! `tests/events/` has the payloads as a function gets them; a snapshot each has the events. Of a new form or version a
//! payload is put there, and its snapshot read.

#![expect(clippy::disallowed_methods, reason = "the payloads are files")]
#![expect(clippy::unwrap_used, reason = "a test that panics has failed, and says where")]

use std::{fs, path::Path};

use serde_json::{Value, json};
use taskferry_core::{
    event::{
        Event,
        s3::{self, Notification},
        sqs,
    },
    reason,
};

/// The events that are in a notification.
fn notified(payload: &str) -> Value {
    match s3::normalise(payload).unwrap() {
        Notification::Test => json!("a test event"),
        Notification::Records(records) => records
            .iter()
            .map(|record| match record {
                Ok(event) => event.value().clone(),
                Err(error) => json!({ "refused": reason(error) }),
            })
            .collect(),
    }
}

/// The events that are in the messages of a batch.
fn received(payload: &str) -> Value {
    let batch = sqs::normalise(payload).unwrap();
    let message = |received: &sqs::Received| match &received.message {
        Ok(message) => json!({
            "id": received.id,
            "queue": message.queue(),
            "group": message.group,
            "events": message.events.iter().map(Event::value).collect::<Vec<_>>(),
            "refused": message.refused.as_ref().map(|error| reason(error)),
            "kept": message.kept.as_ref().map(Event::value),
        }),
        Err(error) => json!({ "id": received.id, "returned": reason(error) }),
    };
    batch.iter().map(message).collect()
}

#[test]
fn each_form_becomes_its_events() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/events");
    let mut payloads: Vec<_> = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()).collect();
    payloads.sort();
    assert!(payloads.len() > 25);
    for path in payloads {
        let payload = fs::read_to_string(&path).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let events = if name.starts_with("sqs") { received(&payload) } else { notified(&payload) };
        insta::assert_json_snapshot!(name, events);
    }
}
