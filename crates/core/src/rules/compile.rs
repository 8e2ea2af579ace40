//! From the file as it is written, defaults merged, to compiled rules.
//!
//! Called at the end of `check` and when a function starts; the second has only
//! this between the text and its first event, so it knows no YAML and no schema.

use std::{collections::BTreeMap, num::NonZeroU32};

use serde_json::Value;
use taskferry_event_pattern::EventPattern;

use super::{
    Concurrency, Rule, RuleName, Rules, Target, file,
    on::{self, compile as compile_on},
    policy, target,
};
use crate::{
    chain,
    template::{self, Template},
};

/// Why rules could not be compiled.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is not the JSON of a rules file.
    #[error("the rules are not what `Rules::to_json` writes")]
    Json(#[source] serde_json::Error),
    /// The source of a rule's events.
    #[error("rule `{rule}`: its source is refused")]
    On {
        /// The rule.
        rule: String,
        /// Why.
        #[source]
        source: on::Error,
    },
    /// The event pattern of a rule.
    #[error("rule `{rule}`: its event pattern is refused")]
    EventPattern {
        /// The rule.
        rule: String,
        /// Why.
        #[source]
        source: taskferry_event_pattern::Error,
    },
    /// The target of a rule.
    #[error("rule `{rule}`: its target is refused")]
    Target {
        /// The rule.
        rule: String,
        /// Why.
        #[source]
        source: target::Error,
    },
    /// The dedupe key of a rule.
    #[error("rule `{rule}`: its dedupe key is refused")]
    Dedupe {
        /// The rule.
        rule: String,
        /// Why.
        #[source]
        source: template::Error,
    },
    /// Concurrency, retry or timeout of a rule.
    #[error("rule `{rule}`: its limits are refused")]
    Policy {
        /// The rule.
        rule: String,
        /// Why.
        #[source]
        source: policy::Error,
    },
    /// For how long what has ended is kept.
    #[error("`retention` is refused")]
    Retention(#[source] policy::Error),
}

impl Error {
    /// The rule it is about, if it is about one.
    pub fn rule(&self) -> Option<&str> {
        match self {
            Self::Json(_) | Self::Retention(_) => None,
            Self::On { rule, .. }
            | Self::EventPattern { rule, .. }
            | Self::Target { rule, .. }
            | Self::Dedupe { rule, .. }
            | Self::Policy { rule, .. } => Some(rule),
        }
    }
}

impl Rules {
    /// The rules as one JSON text, defaults merged: what is deployed with the functions.
    pub fn to_json(&self) -> String {
        self.canonical.to_string()
    }

    /// Compiles what [`Rules::to_json`] wrote.
    ///
    /// # Errors
    ///
    /// [`Error`] says which part of which rule; none if the text came from [`Rules::to_json`].
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let file: file::File = serde_json::from_str(text).map_err(Error::Json)?;
        let mut task_definitions = file.task_definitions.unwrap_or_default();
        for (family, definition) in &mut task_definitions {
            if let Value::Object(members) = definition {
                members.insert("family".to_owned(), Value::from(family.as_str()));
            }
        }
        let groups = file.limits.unwrap_or_default();
        let limit = |limit: file::Limit| NonZeroU32::new(limit.limit);
        let groups: BTreeMap<String, NonZeroU32> =
            groups.into_iter().filter_map(|(group, said)| Some((group, limit(said)?))).collect();
        let rules = file.rules.into_iter().map(|rule| compile_rule(rule, &groups));
        let rules = rules.collect::<Result<Vec<_>, _>>()?;
        let is_heard = rules.iter().any(hears);
        let retention = file.retention.as_deref().map(policy::parse_retention).transpose();
        let retention = retention.map_err(Error::Retention)?;
        let publishes = is_heard || file.lifecycle_events.unwrap_or_default();
        Ok(Self {
            name: file.name,
            task_definitions,
            local_containers: file.local.map(|local| local.containers).unwrap_or_default(),
            rules,
            groups,
            limit: file.concurrency.and_then(limit),
            publishes,
            retention: retention.unwrap_or(policy::RETENTION_DEFAULT),
            quotas: file.quotas.map(|quotas| quotas.compiled()),
            canonical: text.into(),
        })
    }
}

/// Whether the rule can hear of a lifecycle event, as far as the `source` of its pattern tells.
fn hears(rule: &Rule) -> bool {
    let is_on_bus = matches!(rule.on, on::On::EventPattern { .. });
    let pattern = serde_json::from_str::<Value>(rule.event_pattern.as_str()).unwrap_or_default();
    match pattern["source"].as_array() {
        // Through a queue they come only if somebody has a bus fill it, for a rule that asks for them by name.
        Some(sources) => sources
            .iter()
            .any(|source| source.as_str().map_or(is_on_bus, |name| name == chain::SOURCE)),
        None => is_on_bus,
    }
}

fn compile_rule(raw: file::Rule, groups: &BTreeMap<String, NonZeroU32>) -> Result<Rule, Error> {
    let rule = || raw.name.clone();
    let policy = |source| Error::Policy { rule: rule(), source };
    let (on, pattern) =
        compile_on(&raw.name, &raw.on).map_err(|source| Error::On { rule: rule(), source })?;
    let event_pattern = EventPattern::parse(&pattern)
        .map_err(|source| Error::EventPattern { rule: rule(), source })?;
    let dedupe = raw.dedupe.as_deref().map(Template::compile).transpose();
    let dedupe = dedupe.map_err(|source| Error::Dedupe { rule: rule(), source })?;
    let allow = raw.allow.clone().unwrap_or_default();
    let target = Target::compile(raw.target.clone(), &allow, raw.payload.clone())
        .map_err(|source| Error::Target { rule: rule(), source })?;
    let concurrency = raw.concurrency.as_ref().map(|raw| Concurrency::compile(raw, groups));
    let pinned = policy::compile_policy(raw.retry.as_ref(), raw.timeout.as_ref());
    Ok(Rule {
        on,
        event_pattern,
        dedupe,
        target,
        concurrency: concurrency.transpose().map_err(policy)?,
        policy: pinned.map_err(policy)?,
        description: raw.description,
        name: RuleName::new(raw.name),
    })
}
