//! The operations on the targets of rules.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    EventBridgeApi, check_length, check_name, constraint, invalid, limit_exceeded, listed, page,
    required, rules::targets,
};
use crate::{
    eventbridge::{
        Rules,
        buses::Kind,
        catalog::{RuleKey, TargetEntry},
        input::Refused,
        store,
    },
    protocol::{Answer, Exception},
};

/// How many targets a rule can have. Of EventBridge's quotas it is the one that AWS does not raise, and the one kept here.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html
// "Targets per rule | Each supported Region: 5 | No"
const TARGETS_MAX: usize = 5;

/// How many targets one request can have.
const REQUEST_TARGETS_MAX: usize = 100;

const ID_CHARACTERS_MAX: usize = 64;
const ARN_CHARACTERS_MAX: usize = 1600;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PutTargets {
    rule: Option<String>,
    event_bus_name: Option<String>,
    targets: Option<Vec<Map<String, Value>>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RemoveTargets {
    rule: Option<String>,
    event_bus_name: Option<String>,
    ids: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListTargetsByRule {
    rule: Option<String>,
    event_bus_name: Option<String>,
    next_token: Option<String>,
    limit: Option<i64>,
}

fn key(rules: &Rules, rule: Option<&str>, bus: Option<&str>) -> Result<RuleKey, Exception> {
    let name = required("rule", rule)?;
    check_name("rule", name, ID_CHARACTERS_MAX, false)?;
    Ok(RuleKey { bus: rules.bus(bus)?, name: name.to_owned() })
}

fn check_count(member: &str, count: usize) -> Result<(), Exception> {
    if count == 0 {
        return Err(constraint("[]", member, "have length greater than or equal to 1"));
    }
    if count > REQUEST_TARGETS_MAX {
        let rule = format!("have length less than or equal to {REQUEST_TARGETS_MAX}");
        return Err(constraint(&format!("of {count} items"), member, &rule));
    }
    Ok(())
}

/// A target by its id, or why it is none.
fn read(index: usize, target: Map<String, Value>) -> Result<(String, TargetEntry), Exception> {
    let text = |name: &str| {
        let member = format!("targets.{}.member.{}", index + 1, name.to_lowercase());
        let text = match target.get(name) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(_) => {
                let message = format!("{member} is not a text");
                return Err(Exception::client("SerializationException", message));
            }
        };
        required(&member, text).map(|text| (member, text))
    };
    let (member, id) = text("Id")?;
    check_name(&member, &id, ID_CHARACTERS_MAX, false)?;
    let (member, arn) = text("Arn")?;
    check_length(&member, Some(&arn), ARN_CHARACTERS_MAX)?;
    let target = TargetEntry::read(Value::Object(target)).map_err(|refused| match refused {
        Refused::Invalid(message) => invalid(message),
        Refused::Misshapen(message) => Exception::client("SerializationException", message),
    })?;
    Ok((id, target))
}

impl EventBridgeApi {
    pub(super) fn put_targets(&self, request: PutTargets) -> Answer {
        let PutTargets { rule, event_bus_name, targets } = request;
        let targets = required("targets", targets)?;
        check_count("targets", targets.len())?;
        let targets = targets.into_iter().enumerate().map(|(index, target)| read(index, target));
        let targets = targets.collect::<Result<Vec<_>, _>>()?;
        self.change(|tx, rules, catalog| {
            let key = key(rules, rule.as_deref(), event_bus_name.as_deref())?;
            rules.check_unmanaged(&key)?;
            let rule = catalog.rule_mut(&key)?;
            for (id, target) in targets {
                store::put_target(tx, &key, &id, &target)?;
                if let Kind::Elsewhere = target.target.kind {
                    let target = &target.target.arn;
                    tracing::warn!(
                        rule = key.name,
                        target,
                        "a target is of a kind that is not on this machine"
                    );
                }
                rule.targets.insert(id, target);
            }
            if rule.targets.len() > TARGETS_MAX {
                return Err(limit_exceeded().into());
            }
            Ok(())
        })?;
        Ok(json!({ "FailedEntryCount": 0, "FailedEntries": [] }))
    }

    pub(super) fn remove_targets(&self, request: RemoveTargets) -> Answer {
        let RemoveTargets { rule, event_bus_name, ids } = request;
        let ids = required("ids", ids)?;
        check_count("ids", ids.len())?;
        let failed = self.change(|tx, rules, catalog| {
            let key = key(rules, rule.as_deref(), event_bus_name.as_deref())?;
            rules.check_unmanaged(&key)?;
            let rule = catalog.rule_mut(&key)?;
            let mut failed = Vec::new();
            for id in ids {
                if rule.targets.remove(&id).is_some() {
                    store::delete_target(tx, &key, &id)?;
                } else {
                    let message =
                        format!("Rule '{}' does not have a target with the Id '{id}'.", key.name);
                    failed.push(json!({
                        "TargetId": id,
                        "ErrorCode": "ResourceNotFoundException",
                        "ErrorMessage": message,
                    }));
                }
            }
            Ok(failed)
        })?;
        Ok(json!({ "FailedEntryCount": failed.len(), "FailedEntries": failed }))
    }

    pub(super) fn list_targets_by_rule(&self, request: ListTargetsByRule) -> Answer {
        let ListTargetsByRule { rule, event_bus_name, next_token, limit } = request;
        let rules = self.event_bridge.rules();
        let key = key(&rules, rule.as_deref(), event_bus_name.as_deref())?;
        let (targets, next) = page(targets(&rules, &key)?, limit, next_token.as_deref())?;
        Ok(listed("Targets", targets, next))
    }
}
