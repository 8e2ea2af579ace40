//! `TestEventPattern`: whether an event matches a pattern, asked of the engine that asks all rules.

use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};
use taskferry_event_pattern::Matcher;

use super::{invalid, read_pattern, required};
use crate::protocol::Answer;

/// What an event must have to be tested.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_TestEventPattern.html
const EVENT_FIELDS: [&str; 6] = ["id", "account", "source", "time", "region", "detail-type"];

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TestEventPattern {
    event_pattern: Option<String>,
    event: Option<String>,
}

pub(super) fn test_event_pattern(request: TestEventPattern) -> Answer {
    let pattern = required("eventPattern", request.event_pattern)?;
    let event = required("event", request.event)?;
    let pattern = read_pattern(&pattern)?;
    let refused = |reason: &str| invalid(format!("Parameter Event is not valid.{reason}"));
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
