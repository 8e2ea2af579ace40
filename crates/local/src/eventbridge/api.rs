//! EventBridge's API (JSON 1.1, target `AWSEvents`): what clients of an event bus call.
//!
//! Rules come from Taskferry's rules file alone, so the operations that change rules or buses are absent on purpose.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json, value::RawValue};
use taskferry_event_pattern::{EventPattern, Matcher};

use super::{
    EventBridge,
    put_events::{EntryError, PutEvents, bus_name},
};
use crate::{
    db::Db,
    identity::{ACCOUNT_ID, REGION},
    protocol::{Answer, Exception},
};

/// What an event must have to be tested.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_TestEventPattern.html
const EVENT_FIELDS: [&str; 6] = ["id", "account", "source", "time", "region", "detail-type"];

/// Most characters of a pattern that the API takes.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_TestEventPattern.html
// "EventPattern", "Maximum length of 4096"
const PATTERN_CHARACTERS_MAX: usize = 4096;

/// EventBridge, for clients.
#[derive(Debug)]
pub struct EventBridgeApi {
    db: Arc<Db>,
    event_bridge: Arc<EventBridge>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TestEventPattern {
    event_pattern: Option<String>,
    event: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeEventBus {
    name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListEventBuses {
    name_prefix: Option<String>,
}

impl EventBridgeApi {
    /// The API in front of the buses.
    pub fn new(db: Arc<Db>, event_bridge: Arc<EventBridge>) -> Self {
        Self { db, event_bridge }
    }

    /// Performs an operation.
    ///
    /// # Errors
    ///
    /// The exceptions of EventBridge, `UnknownOperationException` for an operation that is not here.
    pub fn call(&self, operation: &str, request: Value) -> Answer {
        match operation {
            "PutEvents" => self.put_events(parse(request)?),
            "TestEventPattern" => test_event_pattern(parse(request)?),
            "ListEventBuses" => {
                let ListEventBuses { name_prefix } = parse(request)?;
                let prefix = name_prefix.unwrap_or_default();
                let names = self.event_bridge.names();
                let names = names.iter().filter(|name| name.starts_with(&prefix));
                Ok(json!({ "EventBuses": names.map(|name| describe(name)).collect::<Vec<_>>() }))
            }
            "DescribeEventBus" => {
                let DescribeEventBus { name } = parse(request)?;
                let name = name.as_deref().map_or(super::DEFAULT_EVENT_BUS, bus_name);
                if self.event_bridge.names().iter().any(|known| known == name) {
                    return Ok(describe(name));
                }
                let message = format!("Event bus {name} does not exist.");
                Err(Exception::client("ResourceNotFoundException", message))
            }
            _ => Err(Exception::client(
                "UnknownOperationException",
                format!("EventBridge on this machine has no operation {operation}"),
            )),
        }
    }

    fn put_events(&self, request: PutEvents) -> Answer {
        let events = request.into_events(Timestamp::now())?;
        let events: Vec<_> = events
            .into_iter()
            .map(|event| {
                let event = event?;
                let functions = self.event_bridge.route(&event.bus, &event.text);
                let functions = functions.map_err(|error| EntryError::malformed(&error))?;
                Ok::<_, EntryError>((event, functions))
            })
            .collect();
        let published = self.db.write(|tx| {
            events.iter().flatten().try_for_each(|(event, functions)| {
                self.event_bridge.invoke(tx, functions, &event.text)
            })
        });
        published.map_err(|error: rusqlite::Error| {
            tracing::error!(%error, "cannot queue the invocations that events lead to");
            Exception::server("InternalException", "the events cannot be stored")
        })?;
        for (event, _) in events.iter().flatten().filter(|(_, functions)| functions.is_empty()) {
            self.event_bridge.tell_unmatched(&event.text);
        }
        let failed = events.iter().filter(|event| event.is_err()).count();
        let entries: Vec<Value> = events
            .iter()
            .map(|event| match event {
                Ok((event, _)) => json!({ "EventId": event.id }),
                Err(error) => error.to_json(),
            })
            .collect();
        Ok(json!({ "FailedEntryCount": failed, "Entries": entries }))
    }
}

fn test_event_pattern(request: TestEventPattern) -> Answer {
    let missing = |name: &str| {
        let message = format!(
            "1 validation error detected: Value null at '{name}' failed to satisfy constraint: Member must not be null"
        );
        Exception::client("ValidationException", message)
    };
    let pattern = request.event_pattern.ok_or_else(|| missing("eventPattern"))?;
    let event = request.event.ok_or_else(|| missing("event"))?;
    let length = pattern.chars().count();
    if length > PATTERN_CHARACTERS_MAX {
        let message = format!(
            "1 validation error detected: Value at 'eventPattern' failed to satisfy constraint: Member must have length less than or equal to {PATTERN_CHARACTERS_MAX}"
        );
        return Err(Exception::client("ValidationException", message));
    }
    let pattern = EventPattern::check(&pattern).map_err(|errors| {
        let reasons: Vec<_> = errors
            .iter()
            .map(|error| format!("{error} (line {}, column {})", error.line(), error.column()))
            .collect();
        let message = format!("Event pattern is not valid. Reason: {}", reasons.join("; "));
        Exception::client("InvalidEventPatternException", message)
    })?;
    let refused = |reason: &str| {
        let message = format!("Parameter Event is not valid.{reason}");
        Exception::client("ValidationException", message)
    };
    let envelope: Map<String, Value> = serde_json::from_str::<&RawValue>(&event)
        .and_then(|_| serde_json::from_str(&event))
        .map_err(|error| refused(&format!(" Reason: {error}.")))?;
    if let Some(field) = EVENT_FIELDS.iter().find(|field| !envelope.contains_key(**field)) {
        return Err(refused(&format!(" Reason: the field {field} is missing.")));
    }
    let matched = Matcher::new([pattern]).matches(&event);
    let matched = matched.map_err(|error| refused(&format!(" Reason: {error}.")))?;
    Ok(json!({ "Result": !matched.is_empty() }))
}

fn describe(name: &str) -> Value {
    let arn = format!("arn:aws:events:{REGION}:{ACCOUNT_ID}:event-bus/{name}");
    json!({ "Name": name, "Arn": arn })
}

/// A request of the right types.
fn parse<T: DeserializeOwned>(request: Value) -> Result<T, Exception> {
    serde_json::from_value(request)
        .map_err(|error| Exception::client("SerializationException", error.to_string()))
}
