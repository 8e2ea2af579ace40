//! Normalise: a source's payload becomes an event in EventBridge's shape.
//!
//! Called by the functions with what they were invoked with. The event keeps its JSON text, so that numbers, escapes and
//! repeated keys reach the matcher as they were sent.

mod carried;
mod malformed;
pub mod s3;
pub mod schedule;
mod sns;
pub mod sqs;

use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::Value;

pub use self::malformed::Malformed;

/// The longest event in bytes, 1 MiB.
///
/// EventBridge and asynchronous invocations carry up to 1 MB since January 2026.
pub const SIZE_BYTES_MAX: usize = 1 << 20;

/// An event in EventBridge's envelope, whichever way it came.
#[derive(Clone, Debug)]
pub struct Event {
    // All else is read from it, and none of that is missing from it.
    text: String,
    envelope: Envelope,
    value: OnceLock<Value>,
}

/// The envelope's fields that Taskferry itself reads.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize)]
struct Envelope {
    id: String,
    source: String,
    #[serde(rename = "detail-type")]
    detail_type: String,
    time: String,
}

/// Why a payload is not an event.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The payload is longer than any source may send.
    #[error("the event is {size_bytes} bytes long, and {SIZE_BYTES_MAX} is the most")]
    TooLong {
        /// The payload's length.
        size_bytes: usize,
    },
    /// The payload is not JSON, or lacks a field of the envelope.
    #[error(
        "the payload is not an event in EventBridge's envelope (id, source, detail-type, time, detail)"
    )]
    Envelope(#[source] Malformed),
    /// `detail` is missing or not an object.
    #[error("the event's detail is not a JSON object")]
    Detail,
}

impl Event {
    /// Reads an event in EventBridge's envelope.
    ///
    /// # Errors
    ///
    /// [`Error::TooLong`] past [`SIZE_BYTES_MAX`]; [`Error::Envelope`] if the text is not JSON or lacks one of the
    /// envelope's fields; [`Error::Detail`] if `detail` is not an object.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > SIZE_BYTES_MAX {
            return Err(Error::TooLong { size_bytes: text.len() });
        }
        let value: Value =
            serde_json::from_str(text).map_err(|error| Error::Envelope(error.into()))?;
        let envelope =
            Envelope::deserialize(&value).map_err(|error| Error::Envelope(error.into()))?;
        if !value.get("detail").is_some_and(Value::is_object) {
            return Err(Error::Detail);
        }
        Ok(Self { text: text.to_owned(), envelope, value: OnceLock::from(value) })
    }

    /// An event that Taskferry itself has put into the envelope.
    fn new(envelope: Envelope, text: String) -> Result<Self, Error> {
        if text.len() > SIZE_BYTES_MAX {
            return Err(Error::TooLong { size_bytes: text.len() });
        }
        Ok(Self { text, envelope, value: OnceLock::new() })
    }

    /// As much of the event as can be kept wherever the whole is refused: its envelope, and how it begins as text.
    #[must_use]
    pub fn excerpt(&self) -> Self {
        let Envelope { id, source, detail_type, time } = &self.envelope;
        let excerpt = serde_json::json!({
            "version": "0", "id": shortened(id), "source": shortened(source),
            "detail-type": shortened(detail_type), "account": "", "time": shortened(time),
            "region": "", "resources": [],
            "detail": { "excerpt": beginning(&self.text), "bytes": self.text.len() },
        });
        Self::parse(&excerpt.to_string()).expect("it has all that an event must have, and is short")
    }

    /// What the source calls this event; repeated deliveries carry the same.
    pub fn id(&self) -> &str {
        &self.envelope.id
    }

    /// Who sent it, for example `aws.s3`.
    pub fn source(&self) -> &str {
        &self.envelope.source
    }

    /// What happened, for example `Object Created`.
    pub fn detail_type(&self) -> &str {
        &self.envelope.detail_type
    }

    /// When it happened, as the source wrote it (RFC 3339).
    pub fn time(&self) -> &str {
        &self.envelope.time
    }

    /// The whole event as it came, JSON.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The whole event as a tree.
    pub fn value(&self) -> &Value {
        self.value.get_or_init(|| {
            serde_json::from_str(&self.text).expect("the text was read or written as JSON before")
        })
    }
}

/// How much of what is too long is kept, in bytes.
const EXCERPT_BYTES_MAX: usize = 64 << 10;

/// As much of a text as is kept of one that is too long.
fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(EXCERPT_BYTES_MAX)]
}

/// A text of the envelope, which only a hostile sender makes long.
fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(1024)]
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Event {}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"version":"0","id":"1","detail-type":"Order","source":"shop","account":"0","time":"2026-01-01T00:00:00Z","region":"us-east-1","resources":[],"detail":{"n":1.10}}"#;

    #[track_caller]
    fn check(from: &str, to: &str, expected: &str) {
        let refused = Event::parse(&EVENT.replace(from, to)).unwrap_err();
        assert_eq!(refused.to_string(), expected);
    }

    #[test]
    fn an_event_keeps_its_text() {
        let event = Event::parse(EVENT).unwrap();
        assert_eq!(event.text(), EVENT);
        assert_eq!([event.id(), event.source(), event.detail_type()], ["1", "shop", "Order"]);
    }

    #[test]
    fn text_that_is_not_json_is_refused() {
        check(
            "{",
            "(",
            "the payload is not an event in EventBridge's envelope (id, source, detail-type, time, detail)",
        );
    }

    #[test]
    fn a_missing_field_is_refused_and_named() {
        let refused = Event::parse(&EVENT.replace("\"source\"", "\"sauce\"")).unwrap_err();
        let Error::Envelope(source) = refused else { panic!("{refused}") };
        assert!(source.to_string().starts_with("missing field `source`"), "{source}");
    }

    #[test]
    fn a_detail_that_is_no_object_is_refused() {
        check("{\"n\":1.10}", "[1]", "the event's detail is not a JSON object");
    }

    #[test]
    fn more_than_a_mebibyte_is_refused() {
        let long = "x".repeat(SIZE_BYTES_MAX);
        check(
            "shop",
            &long,
            &format!(
                "the event is {} bytes long, and 1048576 is the most",
                EVENT.len() - 4 + long.len()
            ),
        );
    }

    #[test]
    fn nesting_without_end_is_refused() {
        let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
        assert!(matches!(Event::parse(&EVENT.replace("1.10", &deep)), Err(Error::Envelope(_))));
    }
}
