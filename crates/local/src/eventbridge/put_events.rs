//! `PutEvents`: entries in, events in EventBridge's envelope out, or a reason per entry.
//!
//! Pure: the API publishes what comes out. A bad entry never fails the others, as on EventBridge.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use taskferry_event_pattern::EventError;
use uuid::Uuid;

use super::{DEFAULT_EVENT_BUS, Envelope};
use crate::protocol::{Exception, Object};

/// How many entries one request has at most.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
const ENTRIES_MAX: usize = 10;

/// The size that all entries of a request have together at most.
const SIZE_MAX: usize = 1024 * 1024;

/// What a given `Time` adds to an entry's size.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevent-size.html
const TIME_SIZE: usize = 14;

/// The request.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PutEvents {
    entries: Option<Vec<Object<Entry>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Entry {
    /// Seconds since the epoch, with a fraction.
    time: Option<f64>,
    source: Option<String>,
    resources: Option<Vec<String>>,
    detail_type: Option<String>,
    detail: Option<String>,
    event_bus_name: Option<String>,
}

/// An event to be published.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) id: String,
    pub(super) bus: String,
    /// The envelope.
    pub(super) text: String,
}

/// Why an entry was refused, as the answer words it.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct EntryError {
    code: &'static str,
    message: String,
}

impl PutEvents {
    /// The event of each entry, or why there is none.
    ///
    /// # Errors
    ///
    /// `ValidationException` if the request as a whole is refused.
    pub(super) fn into_events(
        self,
        now: Timestamp,
    ) -> Result<Vec<Result<Event, EntryError>>, Exception> {
        let constraint = |value: &str, rule: &str| {
            let message = format!(
                "1 validation error detected: Value {value} at 'entries' failed to satisfy constraint: Member must {rule}"
            );
            Exception::client("ValidationException", message)
        };
        let entries = self.entries.ok_or_else(|| constraint("null", "not be null"))?;
        let entries: Vec<Entry> = entries.into_iter().map(|Object(entry)| entry).collect();
        if entries.is_empty() {
            return Err(constraint("'[]'", "have length greater than or equal to 1"));
        }
        if entries.len() > ENTRIES_MAX {
            return Err(constraint(
                "'[PutEventsRequestEntry]'",
                &format!("have length less than or equal to {ENTRIES_MAX}"),
            ));
        }
        if entries.iter().map(Entry::size).sum::<usize>() > SIZE_MAX {
            return Err(Exception::client(
                "ValidationException",
                "Total size of the entries in the request is over the limit.",
            ));
        }
        Ok(entries.iter().map(|entry| entry.to_event(now)).collect())
    }
}

impl Entry {
    fn size(&self) -> usize {
        let texts = [&self.source, &self.detail_type, &self.detail];
        let texts = texts.into_iter().flatten().chain(self.resources.iter().flatten());
        texts.map(String::len).sum::<usize>() + self.time.map_or(0, |_| TIME_SIZE)
    }

    fn to_event(&self, now: Timestamp) -> Result<Event, EntryError> {
        let source = required("Source", self.source.as_deref())?;
        let detail_type = required("DetailType", self.detail_type.as_deref())?;
        let detail = required("Detail", self.detail.as_deref())?;
        // Only AWS's services publish under their names.
        if source.starts_with("aws.") {
            return Err(EntryError {
                code: "NotAuthorizedForSourceException",
                message: "Not authorized for the source.".to_owned(),
            });
        }
        let detail = serde_json::from_str::<&RawValue>(detail)
            .ok()
            .filter(|detail| detail.get().starts_with('{'))
            .ok_or_else(|| EntryError {
                code: "MalformedDetail",
                message: "Detail is malformed.".to_owned(),
            })?;
        let time = self.time.map_or(Ok(now), timestamp)?;
        let id = Uuid::now_v7().to_string();
        let resources = self.resources.as_deref().unwrap_or_default();
        let text = Envelope { id: &id, detail_type, source, time, resources, detail }.to_json();
        let bus = self.event_bus_name.as_deref().map_or(DEFAULT_EVENT_BUS, bus_name);
        Ok(Event { bus: bus.to_owned(), id, text })
    }
}

impl EntryError {
    /// The detail is JSON, and yet cannot be matched: it is nested too deep.
    pub(super) fn malformed(error: &EventError) -> Self {
        Self { code: "MalformedDetail", message: format!("Detail is malformed. Reason: {error}.") }
    }

    /// The entry's part of the answer.
    pub(super) fn to_json(&self) -> Value {
        json!({ "ErrorCode": self.code, "ErrorMessage": self.message })
    }
}

/// The name of a bus in its name or ARN.
pub(super) fn bus_name(name_or_arn: &str) -> &str {
    name_or_arn.split_once(":event-bus/").map_or(name_or_arn, |(_, name)| name)
}

fn required<'a>(name: &'static str, value: Option<&'a str>) -> Result<&'a str, EntryError> {
    value
        .filter(|value| !value.is_empty())
        .ok_or_else(|| invalid(name, &format!("{name} is a required argument.")))
}

fn invalid(name: &str, reason: &str) -> EntryError {
    EntryError {
        code: "InvalidArgument",
        message: format!("Parameter {name} is not valid. Reason: {reason}"),
    }
}

/// A time from seconds since the epoch.
fn timestamp(seconds: f64) -> Result<Timestamp, EntryError> {
    #[expect(clippy::cast_possible_truncation, reason = "saturates, and then is refused")]
    let whole = seconds.floor() as i64;
    Timestamp::from_second(whole).map_err(|_| invalid("Time", "it is out of range."))
}
