//! The operations on rules.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    EventBridgeApi, check_length, check_name, constraint, invalid, listed, no_rule, page,
    read_pattern, required, tags::check_tags,
};
use crate::{
    eventbridge::{
        DEFAULT_EVENT_BUS, Rules,
        catalog::{RuleEntry, RuleKey, Tag, managed_target, show_managed},
        schedule, store,
    },
    identity::ACCOUNT_ID,
    protocol::{Answer, Exception},
};

const NAME_CHARACTERS_MAX: usize = 64;
const DESCRIPTION_CHARACTERS_MAX: usize = 512;
const SCHEDULE_CHARACTERS_MAX: usize = 256;
const ROLE_CHARACTERS_MAX: usize = 1600;

const STATES: [&str; 3] = ["ENABLED", "DISABLED", "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS"];

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PutRule {
    name: Option<String>,
    schedule_expression: Option<String>,
    event_pattern: Option<String>,
    state: Option<String>,
    description: Option<String>,
    role_arn: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
    event_bus_name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OneRule {
    name: Option<String>,
    event_bus_name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListRules {
    name_prefix: Option<String>,
    event_bus_name: Option<String>,
    next_token: Option<String>,
    limit: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListRuleNamesByTarget {
    target_arn: Option<String>,
    event_bus_name: Option<String>,
    next_token: Option<String>,
    limit: Option<i64>,
}

impl OneRule {
    /// The rule's name, on a bus that is there.
    fn key(&self, rules: &Rules) -> Result<RuleKey, Exception> {
        let name = required("name", self.name.as_deref())?;
        check_name("name", name, NAME_CHARACTERS_MAX, false)?;
        Ok(RuleKey { bus: rules.bus(self.event_bus_name.as_deref())?, name: name.to_owned() })
    }
}

impl PutRule {
    /// Refuses what breaks the shapes of its members.
    fn check(&self) -> Result<(), Exception> {
        check_length("description", self.description.as_deref(), DESCRIPTION_CHARACTERS_MAX)?;
        let schedule = self.schedule_expression.as_deref();
        check_length("scheduleExpression", schedule, SCHEDULE_CHARACTERS_MAX)?;
        check_role(self.role_arn.as_deref())?;
        if let Some(state) = self.state.as_deref().filter(|state| !STATES.contains(state)) {
            let rule = format!("satisfy enum value set: [{}]", STATES.join(", "));
            return Err(constraint(state, "state", &rule));
        }
        check_tags(&self.tags)
    }
}

impl EventBridgeApi {
    pub(super) fn put_rule(&self, request: PutRule) -> Answer {
        request.check()?;
        let pattern = request.event_pattern.filter(|pattern| !pattern.is_empty());
        let schedule = request.schedule_expression.filter(|schedule| !schedule.is_empty());
        let arn = self.change(|tx, rules, catalog| {
            let one = OneRule { name: request.name, event_bus_name: request.event_bus_name };
            let key = one.key(rules)?;
            if pattern.is_none() && schedule.is_none() {
                let message = "Parameter(s) EventPattern or ScheduleExpression must be specified.";
                return Err(invalid(message).into());
            }
            if let Some(pattern) = &pattern {
                read_pattern(pattern)?;
            }
            if let Some(schedule) = &schedule {
                check_schedule(&key, schedule)?;
            }
            rules.check_unmanaged(&key)?;
            let arn = key.arn();
            let old = catalog.rules.get(&key);
            if old.is_none() {
                // https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutRule.html
                // "If you are updating an existing rule, any tags you specify in the PutRule operation are ignored"
                store::put_tags(tx, &arn, &request.tags)?;
            }
            // "the rule is replaced with what you specify in this PutRule command. If you omit arguments in PutRule,
            // the old values for those arguments are not kept."
            let mut entry = RuleEntry {
                pattern,
                schedule,
                state: request.state.unwrap_or_else(|| "ENABLED".to_owned()),
                description: request.description,
                role: request.role_arn,
                targets: old.map(|old| old.targets.clone()).unwrap_or_default(),
                scheduled_at: 0,
                due_at: None,
            };
            entry.schedule_from(Timestamp::now());
            store::put_rule(tx, &key, &entry)?;
            catalog.rules.insert(key, entry);
            Ok(arn)
        })?;
        Ok(json!({ "RuleArn": arn }))
    }

    pub(super) fn describe_rule(&self, request: &OneRule) -> Answer {
        let rules = self.event_bridge.rules();
        let key = request.key(&rules)?;
        let mut shown = match rules.managed(&key) {
            Some(subscription) => show_managed(subscription),
            None => rules.catalog.rule(&key)?.show(&key),
        };
        shown["CreatedBy"] = json!(ACCOUNT_ID);
        Ok(shown)
    }

    pub(super) fn delete_rule(&self, request: &OneRule) -> Answer {
        self.change(|tx, rules, catalog| {
            let key = request.key(rules)?;
            rules.check_unmanaged(&key)?;
            // https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_DeleteRule.html
            // "If you call delete rule multiple times for the same rule, all calls will succeed."
            let Some(rule) = catalog.rules.get(&key) else { return Ok(()) };
            if !rule.targets.is_empty() {
                return Err(invalid("Rule can't be deleted since it has targets.").into());
            }
            store::delete_rule(tx, &key)?;
            store::delete_tags(tx, &key.arn())?;
            catalog.rules.remove(&key);
            Ok(())
        })?;
        Ok(json!({}))
    }

    pub(super) fn set_state(&self, request: &OneRule, state: &str) -> Answer {
        self.change(|tx, rules, catalog| {
            let key = request.key(rules)?;
            rules.check_unmanaged(&key)?;
            let rule = catalog.rule_mut(&key)?;
            state.clone_into(&mut rule.state);
            rule.schedule_from(Timestamp::now());
            store::put_rule(tx, &key, rule)?;
            Ok(())
        })?;
        Ok(json!({}))
    }

    pub(super) fn list_rules(&self, request: ListRules) -> Answer {
        let ListRules { name_prefix, event_bus_name, next_token, limit } = request;
        let rules = self.event_bridge.rules();
        let bus = rules.bus(event_bus_name.as_deref())?;
        if let Some(prefix) = &name_prefix {
            check_name("namePrefix", prefix, NAME_CHARACTERS_MAX, false)?;
        }
        let prefix = name_prefix.unwrap_or_default();
        let shown = all(&rules, &bus).into_iter().filter(|(name, _)| name.starts_with(&prefix));
        let shown = shown.map(|(name, (rule, _))| (name, rule));
        let (shown, next) = page(shown.collect(), limit, next_token.as_deref())?;
        Ok(listed("Rules", shown, next))
    }

    pub(super) fn list_rule_names_by_target(&self, request: ListRuleNamesByTarget) -> Answer {
        let ListRuleNamesByTarget { target_arn, event_bus_name, next_token, limit } = request;
        let arn = required("targetArn", target_arn)?;
        let rules = self.event_bridge.rules();
        let bus = rules.bus(event_bus_name.as_deref())?;
        let names = all(&rules, &bus)
            .into_iter()
            .filter(|(_, (_, targets))| targets.iter().any(|target| target["Arn"] == *arn))
            .map(|(name, _)| (name.clone(), json!(name)));
        let (names, next) = page(names.collect(), limit, next_token.as_deref())?;
        Ok(listed("RuleNames", names, next))
    }
}

/// All rules of a bus as they are shown, each with its targets.
fn all(rules: &Rules, bus: &str) -> BTreeMap<String, (Value, Vec<Value>)> {
    let stored = rules.catalog.rules.iter().filter(|(key, _)| key.bus == bus);
    let mut shown: BTreeMap<String, (Value, Vec<Value>)> = stored
        .map(|(key, rule)| {
            let targets = rule.targets.values().map(|target| target.json.clone());
            (key.name.clone(), (rule.show(key), targets.collect()))
        })
        .collect();
    for subscription in rules.managed.iter().filter(|it| it.event_bus == bus) {
        let rule = (show_managed(subscription), vec![managed_target(subscription)]);
        shown.insert(subscription.name.clone(), rule);
    }
    shown
}

/// The targets of a rule as they are shown, by their ids.
pub(super) fn targets(rules: &Rules, key: &RuleKey) -> Result<Vec<(String, Value)>, Exception> {
    if let Some(subscription) = rules.managed(key) {
        return Ok(vec![(
            subscription.destination.name().to_owned(),
            managed_target(subscription),
        )]);
    }
    let rule = rules.catalog.rules.get(key).ok_or_else(|| no_rule(key))?;
    let targets = rule.targets.iter();
    Ok(targets.map(|(id, target)| (id.clone(), target.json.clone())).collect())
}

fn check_role(arn: Option<&str>) -> Result<(), Exception> {
    if arn == Some("") {
        return Err(constraint("", "roleArn", "have length greater than or equal to 1"));
    }
    check_length("roleArn", arn, ROLE_CHARACTERS_MAX)
}

/// Refuses an expression that is none, or not of the default bus.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
fn check_schedule(key: &RuleKey, expression: &str) -> Result<(), Exception> {
    if key.bus != DEFAULT_EVENT_BUS {
        return Err(invalid("ScheduleExpression is supported only on the default event bus."));
    }
    let now = Timestamp::now();
    let next = schedule::parse(expression).and_then(|schedule| schedule.next_after(now, now));
    if next.is_none() {
        return Err(invalid("Parameter ScheduleExpression is not valid."));
    }
    Ok(())
}
