//! The operations on event buses.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    EventBridgeApi, check_length, check_name, constraint, invalid, listed, page, required,
    tags::check_tags,
};
use crate::{
    delivery::Destination,
    eventbridge::{
        DEFAULT_EVENT_BUS, Rules,
        catalog::{BusEntry, Tag, bus_names},
        put_events::bus_name,
        store,
    },
    protocol::{Answer, Exception},
};

const NAME_CHARACTERS_MAX: usize = 256;
const DESCRIPTION_CHARACTERS_MAX: usize = 512;
const KEY_CHARACTERS_MAX: usize = 2048;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateEventBus {
    name: Option<String>,
    description: Option<String>,
    event_source_name: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
    #[serde(flatten)]
    settings: Settings,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UpdateEventBus {
    name: Option<String>,
    description: Option<String>,
    #[serde(flatten)]
    settings: Settings,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OneEventBus {
    name: Option<String>,
}

/// What of a bus is kept and shown, and does nothing here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Settings {
    kms_key_identifier: Option<String>,
    dead_letter_config: Option<DeadLetterConfig>,
    log_config: Option<LogConfig>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct DeadLetterConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    arn: Option<String>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct LogConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    include_detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<String>,
}

impl Settings {
    /// The members that are there, if each is as its shape wants it.
    fn into_members(self) -> Result<Map<String, Value>, Exception> {
        let Self { kms_key_identifier, dead_letter_config, log_config } = self;
        check_length("kmsKeyIdentifier", kms_key_identifier.as_deref(), KEY_CHARACTERS_MAX)?;
        if let Some(LogConfig { include_detail, level }) = &log_config {
            check_word("logConfig.includeDetail", include_detail.as_deref(), &["NONE", "FULL"])?;
            let levels = ["OFF", "ERROR", "INFO", "TRACE"];
            check_word("logConfig.level", level.as_deref(), &levels)?;
        }
        let members = [
            ("KmsKeyIdentifier", kms_key_identifier.map(Value::from)),
            ("DeadLetterConfig", dead_letter_config.map(|it| json!(it))),
            ("LogConfig", log_config.map(|it| json!(it))),
        ];
        Ok(members
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect())
    }
}

fn check_word(member: &str, word: Option<&str>, words: &[&str]) -> Result<(), Exception> {
    match word {
        Some(word) if !words.contains(&word) => {
            let rule = format!("satisfy enum value set: [{}]", words.join(", "));
            Err(constraint(word, member, &rule))
        }
        _ => Ok(()),
    }
}

/// What a bus has of its own, as an answer shows it.
fn shown(mut answer: Value, bus: &BusEntry) -> Value {
    if let Some(description) = &bus.description {
        answer["Description"] = json!(description);
    }
    if let Value::Object(members) = &mut answer {
        members.extend(bus.settings.clone());
    }
    answer
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListEventBuses {
    name_prefix: Option<String>,
    next_token: Option<String>,
    limit: Option<i64>,
}

impl EventBridgeApi {
    pub(super) fn create_event_bus(&self, request: CreateEventBus) -> Answer {
        let CreateEventBus { name, description, event_source_name, tags, settings } = request;
        let name = required("name", name)?;
        check_name("name", &name, NAME_CHARACTERS_MAX, true)?;
        check_length("description", description.as_deref(), DESCRIPTION_CHARACTERS_MAX)?;
        if event_source_name.is_some() || name.starts_with("aws.partner/") {
            let source = event_source_name.unwrap_or_else(|| name.clone());
            let message = format!("Event source {source} does not exist.");
            return Err(Exception::client("ResourceNotFoundException", message));
        }
        // https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_CreateEventBus.html
        // "Custom event bus names can't contain the `/` character"
        if name.contains('/') {
            return Err(invalid("Event bus name must not contain '/'."));
        }
        check_tags(&tags)?;
        let settings = settings.into_members()?;
        let arn = Destination::EventBus(name.clone()).arn();
        let entry = self.change(|tx, rules, catalog| {
            if bus_names(catalog, &rules.managed).contains(&name) {
                let message = format!("Event bus {name} already exists.");
                return Err(Exception::client("ResourceAlreadyExistsException", message).into());
            }
            let now = Timestamp::now().as_second();
            let entry = BusEntry { description, settings, ..BusEntry::new(now) };
            store::put_bus(tx, &name, &entry)?;
            store::put_tags(tx, &arn, &tags)?;
            catalog.buses.insert(name, entry.clone());
            Ok(entry)
        })?;
        Ok(shown(json!({ "EventBusArn": arn }), &entry))
    }

    pub(super) fn update_event_bus(&self, request: UpdateEventBus) -> Answer {
        let UpdateEventBus { name, description, settings } = request;
        check_length("description", description.as_deref(), DESCRIPTION_CHARACTERS_MAX)?;
        let settings = settings.into_members()?;
        let (name, entry) = self.change(|tx, rules, catalog| {
            let name = rules.bus(name.as_deref())?;
            let now = Timestamp::now().as_second();
            let entry = catalog.bus_mut(&name, now);
            (entry.description, entry.settings) = (description, settings);
            entry.modified_at = now;
            store::put_bus(tx, &name, entry)?;
            Ok((name, entry.clone()))
        })?;
        let arn = Destination::EventBus(name.clone()).arn();
        Ok(shown(json!({ "Arn": arn, "Name": name }), &entry))
    }

    pub(super) fn delete_event_bus(&self, request: OneEventBus) -> Answer {
        let name = required("name", request.name)?;
        let name = bus_name(&name);
        if name == DEFAULT_EVENT_BUS {
            return Err(invalid("Cannot delete event bus default."));
        }
        self.change(|tx, rules, catalog| {
            // https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_DeleteEventBus.html
            // Among its errors there is none for a bus that is not there.
            let Ok(name) = rules.bus(Some(name)) else { return Ok(()) };
            if rules.managed.iter().any(|subscription| subscription.event_bus == name) {
                let message =
                    format!("Event bus {name} is in the rules file, and stays while it is.");
                return Err(Exception::client("ManagedRuleException", message).into());
            }
            // "All rules associated with this event bus need to be deleted."
            if catalog.rules.keys().any(|key| key.bus == name) {
                let message = format!("Event bus {name} can't be deleted since it has rules.");
                return Err(invalid(message).into());
            }
            store::delete_bus(tx, &name)?;
            store::delete_tags(tx, &Destination::EventBus(name.clone()).arn())?;
            catalog.buses.remove(&name);
            Ok(())
        })?;
        Ok(json!({}))
    }

    pub(super) fn describe_event_bus(&self, request: &OneEventBus) -> Answer {
        let rules = self.event_bridge.rules();
        let name = rules.bus(request.name.as_deref())?;
        let listed = show(&rules, &name);
        Ok(match rules.catalog.buses.get(&name) {
            Some(bus) => shown(listed, bus),
            None => listed,
        })
    }

    pub(super) fn list_event_buses(&self, request: ListEventBuses) -> Answer {
        let ListEventBuses { name_prefix, next_token, limit } = request;
        if name_prefix.as_deref() == Some("") {
            return Err(constraint("", "namePrefix", "have length greater than or equal to 1"));
        }
        let prefix = name_prefix.unwrap_or_default();
        let rules = self.event_bridge.rules();
        let names = bus_names(&rules.catalog, &rules.managed);
        let names = names.into_iter().filter(|name| name.starts_with(&prefix));
        let buses = names.map(|name| {
            let shown = show(&rules, &name);
            (name, shown)
        });
        let (buses, next) = page(buses.collect(), limit, next_token.as_deref())?;
        Ok(listed("EventBuses", buses, next))
    }
}

fn show(rules: &Rules, name: &str) -> Value {
    let mut shown = json!({ "Name": name, "Arn": Destination::EventBus(name.to_owned()).arn() });
    if let Some(bus) = rules.catalog.buses.get(name) {
        shown["CreationTime"] = json!(bus.created_at);
        shown["LastModifiedTime"] = json!(bus.modified_at);
        if let Some(description) = &bus.description {
            shown["Description"] = json!(description);
        }
        if let Some(policy) = &bus.policy {
            shown["Policy"] = json!(policy);
        }
    }
    shown
}
