//! Events as people have them in files: EventBridge's envelope, whole or in part, entries of `PutEvents`, and what a function
//! is invoked with by S3, SNS or a queue.
//!
//! Read by `explain` and by `send`, so that both take the same. What EventBridge would add is added here for `explain`
//! alone: nothing here is sent.

use std::{fmt, fs, io, path::Path};

use anyhow::Context as _;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};
use taskferry_core::event::Event;
use taskferry_local::{
    eventbridge::{Envelope, whole_second},
    identity::{ACCOUNT_ID, REGION},
};

use crate::output::hinted;

/// The id of an event in a file that has none. EventBridge gives each its own; here the same file says the same each time.
const ID: &str = "00000000-0000-0000-0000-000000000000";

const HINT: &str = "an event is a JSON object with `source`, `detail-type` and `detail`; an entry of PutEvents and a list of either do as well, and for `explain` what S3, SNS or a queue invokes a function with";

/// What a file holds.
pub(crate) enum Given {
    /// S3's notification, or SNS's event around one, as it is.
    Notification(String),
    /// The messages of a queue, as Lambda hands them over.
    Messages(String),
    /// Events, at least one.
    Events(Vec<Sent>),
}

/// An event as its sender says it; the rest of the envelope is EventBridge's.
pub(crate) struct Sent {
    /// The bus that an entry of `PutEvents` names.
    pub(crate) event_bus: Option<String>,
    pub(crate) source: String,
    pub(crate) detail_type: String,
    pub(crate) resources: Vec<String>,
    pub(crate) time: Option<Timestamp>,
    /// A JSON object, as it is written.
    pub(crate) detail: String,
    // The envelope as it is written, if it is one, and what it lacks.
    envelope: Option<(String, Vec<&'static str>)>,
}

/// The members of the envelope that a sender says.
#[derive(Deserialize)]
struct Parts {
    source: String,
    #[serde(rename = "detail-type")]
    detail_type: String,
    #[serde(default)]
    resources: Vec<String>,
    time: Option<String>,
    detail: Box<RawValue>,
}

/// An entry of `PutEvents`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    source: String,
    detail_type: String,
    #[serde(default)]
    resources: Vec<String>,
    time: Option<Value>,
    detail: String,
    event_bus_name: Option<String>,
}

/// What the file is called in what is said of it.
pub(crate) fn name(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() }
}

/// Reads the file, or standard input for `-`.
pub(crate) fn read(path: &Path) -> anyhow::Result<Given> {
    given(text(path)?, &name(path))
}

/// What the file, or standard input for `-`, holds.
pub(crate) fn text(path: &Path) -> anyhow::Result<String> {
    if path == Path::new("-") {
        return io::read_to_string(io::stdin()).context("cannot read standard input");
    }
    fs::read_to_string(path).map_err(|error| {
        let hint = r#"write one: {"source": "shop", "detail-type": "Order", "detail": {"orderId": "A-7"}}"#;
        hinted(format!("cannot read {}: {error}", path.display()), hint)
    })
}

fn given(text: String, name: &dyn fmt::Display) -> anyhow::Result<Given> {
    let is_none =
        |reason: &dyn fmt::Display| hinted(format!("{name} is not an event: {reason}"), HINT);
    let value: Value = serde_json::from_str(&text).map_err(|error| is_none(&error))?;
    if value["Records"][0]["eventSource"] == "aws:sqs" {
        return Ok(Given::Messages(text));
    }
    if value.get("Records").is_some() || value["Event"] == "s3:TestEvent" {
        return Ok(Given::Notification(text));
    }
    if value["Type"] == "Notification" && value.get("TopicArn").is_some() {
        // A message of SNS alone, as it lies in a queue.
        let record = json!({ "EventSource": "aws:sns", "Sns": value });
        return Ok(Given::Notification(json!({ "Records": [record] }).to_string()));
    }
    let list = match &value {
        Value::Array(_) => Some(serde_json::from_str::<Vec<Box<RawValue>>>(&text)),
        Value::Object(members) if members.contains_key("Entries") => {
            Some(serde_json::from_str::<Entries>(&text).map(|request| request.entries))
        }
        _ => None,
    };
    let Some(list) = list else {
        return Ok(Given::Events(vec![sent(&text, name)?]));
    };
    let list = list.map_err(|error| is_none(&error))?;
    if list.is_empty() {
        return Err(is_none(&"the list is empty"));
    }
    let numbered = list
        .iter()
        .enumerate()
        .map(|(index, text)| sent(text.get(), &format_args!("event {} of {name}", index + 1)));
    Ok(Given::Events(numbered.collect::<anyhow::Result<_>>()?))
}

/// A request of `PutEvents`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entries {
    entries: Vec<Box<RawValue>>,
}

/// One event.
fn sent(text: &str, name: &dyn fmt::Display) -> anyhow::Result<Sent> {
    let is_none = |reason: &dyn fmt::Display, hint: &str| {
        hinted(format!("{name} is not an event: {reason}"), hint)
    };
    let members: Map<String, Value> =
        serde_json::from_str(text).map_err(|error| is_none(&error, HINT))?;
    // Where both spellings meet, that is meant which has more of it.
    let of_entry = ["Source", "DetailType", "Detail"];
    let of_envelope = ["source", "detail-type", "detail"];
    let count = |wanted: [&str; 3]| wanted.iter().filter(|it| members.contains_key(**it)).count();
    let is_entry = count(of_entry) > count(of_envelope);
    let wanted = if is_entry { of_entry } else { of_envelope };
    for member in wanted {
        if !members.contains_key(member) {
            let plain = |name: &str| name.to_lowercase().replace(['-', '_'], "");
            let like = members.keys().find(|key| plain(key) == plain(member));
            let hint = like.map(|key| format!("`{key}` is spelled `{member}`"));
            let reason = format!("it has no `{member}`");
            return Err(is_none(&reason, hint.as_deref().unwrap_or(HINT)));
        }
    }
    if members.get("Detail").is_some_and(Value::is_object) {
        let hint = "in PutEvents it is text that holds JSON: \"{\\\"orderId\\\": 1}\"; with `source`, `detail-type` and `detail` it is an object";
        return Err(is_none(&"its `Detail` is not text", hint));
    }
    if members.get("detail").is_some_and(Value::is_string) {
        let hint = "in the envelope it is an object: take the quotes around it away; in PutEvents the members are `Source`, `DetailType` and `Detail`";
        return Err(is_none(&"its `detail` is text", hint));
    }
    let sent = if is_entry { entry(text) } else { parts(text, &members) };
    let sent = sent.map_err(|error| is_none(&format_args!("{error:#}"), HINT))?;
    if serde_json::from_str::<Map<String, Value>>(&sent.detail).is_err() {
        return Err(is_none(&"its detail is not a JSON object", HINT));
    }
    Ok(sent)
}

fn entry(text: &str) -> anyhow::Result<Sent> {
    let entry: Entry = serde_json::from_str(text)?;
    let time = match entry.time {
        None | Some(Value::Null) => None,
        Some(Value::String(time)) => Some(time.parse().context("`Time`")?),
        Some(time) => {
            let seconds = time.as_i64().context("`Time` is neither text nor whole seconds")?;
            Some(Timestamp::from_second(seconds).context("`Time`")?)
        }
    };
    Ok(Sent {
        event_bus: entry.event_bus_name,
        source: entry.source,
        detail_type: entry.detail_type,
        resources: entry.resources,
        time,
        detail: entry.detail,
        envelope: None,
    })
}

fn parts(text: &str, members: &Map<String, Value>) -> anyhow::Result<Sent> {
    let parts: Parts = serde_json::from_str(text)?;
    let added = ["version", "id", "account", "time", "region", "resources"];
    let missing = added.into_iter().filter(|member| !members.contains_key(*member)).collect();
    Ok(Sent {
        event_bus: None,
        source: parts.source,
        detail_type: parts.detail_type,
        resources: parts.resources,
        time: parts.time.map(|time| time.parse()).transpose().context("`time`")?,
        detail: parts.detail.get().to_owned(),
        envelope: Some((text.to_owned(), missing)),
    })
}

impl Sent {
    /// The event as EventBridge would deliver it, with what it would add. What is there stays as it is, byte for byte.
    pub(crate) fn delivered(&self, now: Timestamp) -> anyhow::Result<Event> {
        let text = match &self.envelope {
            Some((text, missing)) if missing.is_empty() => text.clone(),
            Some((text, missing)) => {
                let added: Map<String, Value> = missing
                    .iter()
                    .map(|member| (String::from(*member), added(member, now)))
                    .collect();
                let added = Value::from(added).to_string();
                // Two objects, of which each has members, made one.
                let (added, rest) = (added.trim_end_matches('}'), text.trim_start());
                format!("{added},{}", rest.strip_prefix('{').unwrap_or(rest))
            }
            None => {
                let detail = serde_json::from_str(&self.detail)?;
                Envelope {
                    id: ID,
                    detail_type: &self.detail_type,
                    source: &self.source,
                    time: self.time.unwrap_or(now),
                    resources: &self.resources,
                    detail,
                }
                .to_json()
            }
        };
        Ok(Event::parse(&text)?)
    }

    /// What of the event is not its sender's, but was put in the place of what EventBridge adds, if that can matter.
    pub(crate) fn added(&self) -> Option<&'static str> {
        let missing: Vec<_> = match &self.envelope {
            Some((_, missing)) => missing.clone(),
            None if self.time.is_some() => vec!["id"],
            None => vec!["id", "time"],
        };
        match ["id", "time"].map(|member| missing.contains(&member)) {
            [true, true] => Some("`id` and no `time`: zeros and the present time stand in for"),
            [true, false] => Some("`id`: zeros stand in for"),
            [false, true] => Some("`time`: the present time stands in for"),
            [false, false] => None,
        }
    }
}

fn added(member: &str, now: Timestamp) -> Value {
    match member {
        "version" => "0".into(),
        "id" => ID.into(),
        "account" => ACCOUNT_ID.into(),
        "time" => whole_second(now).to_string().into(),
        "region" => REGION.into(),
        _ => Value::Array(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(text: &str) -> anyhow::Result<Vec<Event>> {
        let now = Timestamp::from_second(1_767_225_600).unwrap();
        match given(text.to_owned(), &"event.json")? {
            Given::Notification(_) | Given::Messages(_) => Ok(Vec::new()),
            Given::Events(sent) => sent.iter().map(|sent| sent.delivered(now)).collect(),
        }
    }

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let events = events(text).unwrap();
        assert_eq!(events.iter().map(Event::text).collect::<Vec<_>>(), expected);
    }

    #[track_caller]
    fn refused(text: &str, expected: &str) {
        let error = events(text).unwrap_err();
        let mut told = Vec::new();
        crate::output::error(&mut told, &error);
        let told = String::from_utf8(told).unwrap();
        assert!(told.contains(expected), "{told}");
    }

    const WHOLE: &str = r#"{"version":"0","id":"i","detail-type":"Order","source":"shop","account":"1","time":"2025-01-01T00:00:00Z","region":"r","resources":["a"],"detail":{"n":1.10}}"#;

    const FILLED: &str = r#"{"version":"0","id":"00000000-0000-0000-0000-000000000000","detail-type":"Order","source":"shop","account":"000000000000","time":"2026-01-01T00:00:00Z","region":"us-east-1","resources":[],"detail":{"n":1.10}}"#;

    #[test]
    fn a_whole_envelope_stays_as_it_is() {
        check(WHOLE, &[WHOLE]);
        check(&format!("[{WHOLE}, {WHOLE}]"), &[WHOLE, WHOLE]);
    }

    #[test]
    fn an_entry_of_put_events_gets_its_envelope() {
        let entry = r#"{"Source":"shop","DetailType":"Order","Detail":"{\"n\":1.10}"}"#;
        check(entry, &[FILLED]);
        check(&format!("[{entry}]"), &[FILLED]);
        check(&format!(r#"{{"Entries":[{entry},{entry}]}}"#), &[FILLED, FILLED]);
        let time = entry.replace("{\"Source", "{\"Time\":1767225600,\"Source");
        check(&time, &[FILLED]);
    }

    #[test]
    fn an_envelope_in_part_is_filled_and_keeps_what_it_has() {
        let part = r#" {"source":"shop","detail-type":"Order","id":"i","detail":{"n":1.10}}"#;
        let event = &events(part).unwrap()[0];
        assert!(
            event.text().ends_with(part.trim_start().trim_start_matches('{')),
            "{}",
            event.text()
        );
        assert_eq!((event.id(), event.time()), ("i", "2026-01-01T00:00:00Z"));
        assert_eq!(event.value()["resources"], serde_json::json!([]));
    }

    #[test]
    fn what_is_no_event_is_told_with_what_to_do() {
        refused("", "event.json is not an event: EOF");
        refused("[]", "the list is empty");
        refused("[1]", "event 1 of event.json is not an event");
        refused(r#"{"source":"shop","detail":{}}"#, "it has no `detail-type`");
        refused(
            r#"{"source":"shop","detailType":"Order","detail":{}}"#,
            "hint: `detailType` is spelled `detail-type`",
        );
        refused(
            r#"{"source":"shop","DetailType":"Order","detail":{}}"#,
            "hint: `DetailType` is spelled `detail-type`",
        );
        refused(r#"{"Source":"shop","DetailType":"Order","Detail":{}}"#, "text that holds JSON");
        refused(r#"{"source":"shop","detail-type":"Order","detail":"{}"}"#, "take the quotes");
        refused(r#"{"Source":"shop","DetailType":"Order","Detail":"[]"}"#, "not a JSON object");
        refused(r#"{"source":"shop","detail-type":"Order","detail":3}"#, "not a JSON object");
        refused(r#"{"source":7,"detail-type":"Order","detail":{}}"#, "expected a string");
        refused(&WHOLE.replace("2025-01-01", "yesterday"), "`time`");
    }
}
