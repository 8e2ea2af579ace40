//! The operations on event buses.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

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

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateEventBus {
    name: Option<String>,
    description: Option<String>,
    event_source_name: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OneEventBus {
    name: Option<String>,
    description: Option<String>,
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
        let CreateEventBus { name, description, event_source_name, tags } = request;
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
        let arn = Destination::EventBus(name.clone()).arn();
        self.change(|tx, rules, catalog| {
            if bus_names(catalog, &rules.managed).contains(&name) {
                let message = format!("Event bus {name} already exists.");
                return Err(Exception::client("ResourceAlreadyExistsException", message).into());
            }
            let now = Timestamp::now().as_second();
            let entry =
                BusEntry { description: description.clone(), created_at: now, modified_at: now };
            store::put_bus(tx, &name, &entry)?;
            store::put_tags(tx, &arn, &tags)?;
            catalog.buses.insert(name, entry);
            Ok(())
        })?;
        let mut answer = json!({ "EventBusArn": arn });
        if let Some(description) = description {
            answer["Description"] = json!(description);
        }
        Ok(answer)
    }

    pub(super) fn update_event_bus(&self, request: OneEventBus) -> Answer {
        let OneEventBus { name, description } = request;
        check_length("description", description.as_deref(), DESCRIPTION_CHARACTERS_MAX)?;
        let name = self.change(|tx, rules, catalog| {
            let name = rules.bus(name.as_deref())?;
            let now = Timestamp::now().as_second();
            // One that nobody made, the default one or one of the file, is there from now on by the API too.
            let entry = catalog.buses.entry(name.clone()).or_insert(BusEntry {
                description: None,
                created_at: now,
                modified_at: now,
            });
            entry.description.clone_from(&description);
            entry.modified_at = now;
            store::put_bus(tx, &name, entry)?;
            Ok(name)
        })?;
        let mut answer = json!({ "Arn": Destination::EventBus(name.clone()).arn(), "Name": name });
        if let Some(description) = description {
            answer["Description"] = json!(description);
        }
        Ok(answer)
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
        Ok(show(&rules, &name))
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
    }
    shown
}
