//! The tags of rules and buses.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::json;

use super::{EventBridgeApi, check_length, constraint, invalid, required};
use crate::{
    eventbridge::{
        DEFAULT_EVENT_BUS, Rules,
        catalog::{RuleKey, Tag},
        store,
    },
    protocol::{Answer, Exception},
};

/// How many tags a rule or bus can have.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-tagging.html
const TAGS_MAX: usize = 50;

const KEY_CHARACTERS_MAX: usize = 128;
const VALUE_CHARACTERS_MAX: usize = 256;

#[derive(Debug, Deserialize)]
pub(super) struct TagResource {
    #[serde(rename = "ResourceARN")]
    resource_arn: Option<String>,
    #[serde(rename = "Tags")]
    tags: Option<Vec<Tag>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct UntagResource {
    #[serde(rename = "ResourceARN")]
    resource_arn: Option<String>,
    #[serde(rename = "TagKeys")]
    tag_keys: Option<Vec<String>>,
}

/// Refuses tags that a rule or bus cannot have together.
pub(super) fn check_tags(tags: &[Tag]) -> Result<(), Exception> {
    let keys: BTreeSet<&str> = tags.iter().map(|tag| tag.key.as_str()).collect();
    if keys.len() != tags.len() {
        return Err(invalid("Invalid parameter: Duplicated keys are not allowed."));
    }
    if tags.len() > TAGS_MAX {
        return Err(invalid(format!("A resource has {TAGS_MAX} tags at most.")));
    }
    for (index, Tag { key, value }) in tags.iter().enumerate() {
        let member = |name: &str| format!("tags.{}.member.{name}", index + 1);
        if key.is_empty() {
            let rule = "have length greater than or equal to 1";
            return Err(constraint(key, &member("key"), rule));
        }
        check_length(&member("key"), Some(key), KEY_CHARACTERS_MAX)?;
        // https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-tagging.html
        if key.starts_with("aws:") {
            return Err(invalid("A tag's key must not start with aws:, which is AWS's own."));
        }
        check_length(&member("value"), Some(value), VALUE_CHARACTERS_MAX)?;
    }
    Ok(())
}

/// The ARN of a rule or bus that is there, spelled as here.
fn resource(rules: &Rules, arn: Option<&str>) -> Result<String, Exception> {
    let arn = required("resourceARN", arn)?;
    let resource = arn.splitn(6, ':').nth(5).filter(|_| arn.starts_with("arn:"));
    if let Some(bus) = resource.and_then(|resource| resource.strip_prefix("event-bus/")) {
        let bus = rules.bus(Some(bus))?;
        return Ok(crate::delivery::Destination::EventBus(bus).arn());
    }
    let Some(rule) = resource.and_then(|resource| resource.strip_prefix("rule/")) else {
        return Err(invalid(format!(
            "Parameter ResourceARN is not valid. Reason: {arn} is not the ARN of a rule or an event bus."
        )));
    };
    let key = match rule.rsplit_once('/') {
        Some((bus, name)) => RuleKey::new(&rules.bus(Some(bus))?, name),
        None => RuleKey::new(DEFAULT_EVENT_BUS, rule),
    };
    if rules.managed(&key).is_none() {
        rules.catalog.rule(&key)?;
    }
    Ok(key.arn())
}

impl EventBridgeApi {
    pub(super) fn tag_resource(&self, request: TagResource) -> Answer {
        let TagResource { resource_arn, tags } = request;
        let tags = required("tags", tags)?;
        check_tags(&tags)?;
        self.change(|tx, rules, _| {
            let arn = resource(rules, resource_arn.as_deref())?;
            let mut all: BTreeMap<String, String> =
                store::tags(tx, &arn)?.into_iter().map(|tag| (tag.key, tag.value)).collect();
            all.extend(tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())));
            if all.len() > TAGS_MAX {
                return Err(invalid(format!("A resource has {TAGS_MAX} tags at most.")).into());
            }
            store::put_tags(tx, &arn, &tags)?;
            Ok(())
        })?;
        Ok(json!({}))
    }

    pub(super) fn untag_resource(&self, request: UntagResource) -> Answer {
        let UntagResource { resource_arn, tag_keys } = request;
        let keys = required("tagKeys", tag_keys)?;
        self.change(|tx, rules, _| {
            let arn = resource(rules, resource_arn.as_deref())?;
            Ok(keys.iter().try_for_each(|key| store::delete_tag(tx, &arn, key))?)
        })?;
        Ok(json!({}))
    }

    pub(super) fn list_tags_for_resource(&self, request: &TagResource) -> Answer {
        let arn = resource(&self.event_bridge.rules(), request.resource_arn.as_deref())?;
        let tags = self.db.read(|connection| store::tags(connection, &arn));
        let tags = tags.map_err(super::Fault::from)?;
        Ok(json!({ "Tags": tags }))
    }
}
