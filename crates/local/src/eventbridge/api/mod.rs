//! EventBridge's API (JSON 1.1, target `AWSEvents`): what clients of an event bus call.
//!
//! Rules of the rules file are shown, `ManagedBy` `taskferry`, and refused to be changed: the file is where that is done.

mod buses;
mod permissions;
mod rules;
mod tags;
mod targets;
mod test_event_pattern;

use std::sync::Arc;

use base64_simd::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use rusqlite::Transaction;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use taskferry_event_pattern::EventPattern;

use super::{
    DEFAULT_EVENT_BUS, EventBridge, Hop, Rules,
    catalog::{BusEntry, Catalog, RuleEntry, RuleKey, bus_names},
    put_events::{EntryError, PutEvents, bus_name},
};
use crate::{
    db::Db,
    protocol::{Answer, Exception},
};

/// Most characters of a pattern that the API takes.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_TestEventPattern.html
// "EventPattern", "Maximum length of 4096"
const PATTERN_CHARACTERS_MAX: usize = 4096;

/// How many items a list has at most where the request does not say it.
const PAGE_MAX: usize = 100;

/// EventBridge, for clients.
#[derive(Debug)]
pub struct EventBridgeApi {
    db: Arc<Db>,
    event_bridge: Arc<EventBridge>,
}

/// Why a change was not made.
#[derive(Debug)]
enum Fault {
    /// The client is told so.
    Refused(Exception),
    /// The state file failed.
    Sqlite(rusqlite::Error),
}

impl From<Exception> for Fault {
    fn from(exception: Exception) -> Self {
        Self::Refused(exception)
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<Fault> for Exception {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Refused(exception) => exception,
            Fault::Sqlite(error) => {
                tracing::error!(%error, "what EventBridge was asked cannot be stored or read");
                Self::server("InternalException", "EventBridge's rules cannot be stored or read")
            }
        }
    }
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
            "TestEventPattern" => test_event_pattern::test_event_pattern(parse(request)?),
            "CreateEventBus" => self.create_event_bus(parse(request)?),
            "DeleteEventBus" => self.delete_event_bus(parse(request)?),
            "DescribeEventBus" => self.describe_event_bus(&parse(request)?),
            "ListEventBuses" => self.list_event_buses(parse(request)?),
            "UpdateEventBus" => self.update_event_bus(parse(request)?),
            "PutPermission" => self.put_permission(parse(request)?),
            "RemovePermission" => self.remove_permission(&parse(request)?),
            "PutRule" => self.put_rule(parse(request)?),
            "DescribeRule" => self.describe_rule(&parse(request)?),
            "DeleteRule" => self.delete_rule(&parse(request)?),
            "EnableRule" => self.set_state(&parse(request)?, "ENABLED"),
            "DisableRule" => self.set_state(&parse(request)?, "DISABLED"),
            "ListRules" => self.list_rules(parse(request)?),
            "ListRuleNamesByTarget" => self.list_rule_names_by_target(parse(request)?),
            "PutTargets" => self.put_targets(parse(request)?),
            "RemoveTargets" => self.remove_targets(parse(request)?),
            "ListTargetsByRule" => self.list_targets_by_rule(parse(request)?),
            "TagResource" => self.tag_resource(parse(request)?),
            "UntagResource" => self.untag_resource(parse(request)?),
            "ListTagsForResource" => self.list_tags_for_resource(&parse(request)?),
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
                let route = self.event_bridge.route(&event.bus, &event.text);
                let route = route.map_err(|error| EntryError::malformed(&error))?;
                Ok::<_, EntryError>((event, route))
            })
            .collect();
        let published = self.db.write(|tx| {
            events.iter().flatten().try_for_each(|(event, route)| {
                self.event_bridge.deliveries.follow(tx, Hop::First, route, &event.text)
            })
        });
        published.map_err(|error: rusqlite::Error| {
            tracing::error!(%error, "cannot queue what events lead to");
            Exception::server("InternalException", "the events cannot be stored")
        })?;
        for (event, _) in events.iter().flatten().filter(|(_, route)| route.is_empty()) {
            self.event_bridge.tell_unmatched(&event.bus, &event.text);
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

    /// Changes what is there by the API: in the state file and in force, or not at all.
    fn change<T>(
        &self,
        change: impl FnOnce(&Transaction<'_>, &Rules, &mut Catalog) -> Result<T, Fault>,
    ) -> Result<T, Exception> {
        let mut rules = self.event_bridge.rules();
        let mut catalog = rules.catalog.clone();
        let changed = self.db.write(|tx| change(tx, &rules, &mut catalog))?;
        rules.catalog = catalog;
        self.event_bridge.compile(&rules);
        Ok(changed)
    }
}

impl Rules {
    /// The name of a bus that is there, from its name or ARN.
    fn bus(&self, name_or_arn: Option<&str>) -> Result<String, Exception> {
        let name = name_or_arn.map_or(DEFAULT_EVENT_BUS, bus_name);
        if bus_names(&self.catalog, &self.managed).contains(name) {
            return Ok(name.to_owned());
        }
        let message = format!("Event bus {name} does not exist.");
        Err(Exception::client("ResourceNotFoundException", message))
    }

    /// Refuses to change a rule of the file.
    fn check_unmanaged(&self, key: &RuleKey) -> Result<(), Exception> {
        if self.managed(key).is_none() {
            return Ok(());
        }
        let message = format!(
            "Rule '{}' is managed by taskferry: it comes from the rules file, and is changed there.",
            key.name
        );
        Err(Exception::client("ManagedRuleException", message))
    }

    fn managed(&self, key: &RuleKey) -> Option<&super::Subscription> {
        self.managed.iter().find(|it| it.event_bus == key.bus && it.name == key.name)
    }
}

impl Catalog {
    /// A bus that is there. One that nobody made, the default one or one of the file, is there from now on by the API too.
    fn bus_mut(&mut self, name: &str, now: i64) -> &mut BusEntry {
        self.buses.entry(name.to_owned()).or_insert_with(|| BusEntry::new(now))
    }

    /// A rule that was put.
    fn rule(&self, key: &RuleKey) -> Result<&RuleEntry, Exception> {
        self.rules.get(key).ok_or_else(|| no_rule(key))
    }

    fn rule_mut(&mut self, key: &RuleKey) -> Result<&mut RuleEntry, Exception> {
        self.rules.get_mut(key).ok_or_else(|| no_rule(key))
    }
}

fn no_rule(RuleKey { bus, name }: &RuleKey) -> Exception {
    let message = format!("Rule {name} does not exist on EventBus {bus}.");
    Exception::client("ResourceNotFoundException", message)
}

fn limit_exceeded() -> Exception {
    let message = "The requested resource exceeds the maximum number allowed.";
    Exception::client("LimitExceededException", message)
}

fn invalid(message: impl Into<String>) -> Exception {
    Exception::client("ValidationException", message)
}

/// AWS's text for a member that breaks its shape.
fn constraint(value: &str, member: &str, rule: &str) -> Exception {
    let value = if value == "null" { value.to_owned() } else { format!("'{value}'") };
    invalid(format!(
        "1 validation error detected: Value {value} at '{member}' failed to satisfy constraint: Member must {rule}"
    ))
}

fn required<T>(member: &str, value: Option<T>) -> Result<T, Exception> {
    value.ok_or_else(|| constraint("null", member, "not be null"))
}

/// A name of the service's: of rules, targets and, with slashes, buses.
fn check_name(member: &str, name: &str, length_max: usize, is_bus: bool) -> Result<(), Exception> {
    if name.is_empty() {
        return Err(constraint(name, member, "have length greater than or equal to 1"));
    }
    if name.chars().count() > length_max {
        let rule = format!("have length less than or equal to {length_max}");
        return Err(constraint(name, member, &rule));
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c) || (is_bus && c == '/');
    if name.chars().all(is_plain) {
        return Ok(());
    }
    let pattern = if is_bus { r"[/\.\-_A-Za-z0-9]+" } else { r"[\.\-_A-Za-z0-9]+" };
    Err(constraint(name, member, &format!("satisfy regular expression pattern: {pattern}")))
}

fn check_length(member: &str, text: Option<&str>, max: usize) -> Result<(), Exception> {
    match text {
        Some(text) if text.chars().count() > max => {
            Err(constraint(text, member, &format!("have length less than or equal to {max}")))
        }
        _ => Ok(()),
    }
}

/// An event pattern, or why it is none.
fn read_pattern(pattern: &str) -> Result<EventPattern, Exception> {
    if pattern.chars().count() > PATTERN_CHARACTERS_MAX {
        let rule = format!("have length less than or equal to {PATTERN_CHARACTERS_MAX}");
        return Err(constraint(pattern, "eventPattern", &rule));
    }
    EventPattern::check(pattern).map_err(|errors| {
        let reasons: Vec<_> = errors
            .iter()
            .map(|error| format!("{error} (line {}, column {})", error.line(), error.column()))
            .collect();
        let message = format!("Event pattern is not valid. Reason: {}", reasons.join("; "));
        Exception::client("InvalidEventPatternException", message)
    })
}

/// One page of a list that is in the order of its names: what comes after the token, and the token of the next page.
fn page<T>(
    items: Vec<(String, T)>,
    limit: Option<i64>,
    token: Option<&str>,
) -> Result<(Vec<T>, Option<String>), Exception> {
    let limit = match limit {
        None => PAGE_MAX,
        Some(limit) => usize::try_from(limit)
            .ok()
            .filter(|limit| (1..=PAGE_MAX).contains(limit))
            .ok_or_else(|| {
            let rule = if limit < 1 {
                "have value greater than or equal to 1".to_owned()
            } else {
                format!("have value less than or equal to {PAGE_MAX}")
            };
            constraint(&limit.to_string(), "limit", &rule)
        })?,
    };
    let after = match token {
        None => None,
        Some(token) => {
            let name = URL_SAFE_NO_PAD.decode_to_vec(token).ok();
            let name = name.filter(|name| !name.is_empty());
            let name = name.and_then(|name| String::from_utf8(name).ok());
            Some(name.ok_or_else(|| invalid("Parameter NextToken is not valid."))?)
        }
    };
    let mut items: Vec<_> =
        items.into_iter().filter(|(name, _)| after.as_ref().is_none_or(|it| name > it)).collect();
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more);
    let next = next.map(|(name, _)| URL_SAFE_NO_PAD.encode_to_string(name));
    Ok((items.into_iter().map(|(_, item)| item).collect(), next))
}

/// A list as an answer.
fn listed(member: &str, items: Vec<Value>, next: Option<String>) -> Value {
    let next = next.map(|next| ("NextToken".to_owned(), Value::String(next)));
    let items = [(member.to_owned(), Value::Array(items))];
    Value::Object(items.into_iter().chain(next).collect())
}

/// A request of the right types.
fn parse<T: DeserializeOwned>(request: Value) -> Result<T, Exception> {
    serde_json::from_value(request)
        .map_err(|error| Exception::client("SerializationException", error.to_string()))
}
