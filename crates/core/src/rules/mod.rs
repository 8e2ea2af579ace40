//! The rules file, `taskferry.yaml`: text in, rules out, and every fault of the text.
//!
//! [`check`] reads what a person wrote: YAML to a tree that knows its places
//! (`read`, `tree`), held against the schema of the types in `file` (`validate`), checked
//! for what a schema cannot say (`checks`), `defaults` merged in (`merge`). What is
//! deployed is [`Rules::to_json`]; functions load it with [`Rules::from_json`],
//! which knows neither YAML nor schema. Both end in `compile`.
//! Nothing here reads a file or a clock.

mod asides;
mod bare;
mod chains;
mod checks;
mod compile;
mod fault;
mod file;
mod input;
mod merge;
mod on;
mod policy;
mod read;
mod scalar;
mod schedule;
mod schema;
pub mod target;
mod tree;
mod validate;

use std::{collections::BTreeMap, fmt, num::NonZeroU32};

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use taskferry_event_pattern::EventPattern;

use self::fault::Faults;
pub(crate) use self::on::last_part;
pub use self::{
    compile::Error,
    fault::{Fault, Severity, Span},
    input::{Error as InputError, Input},
    on::{Ack, Batches, Carried, Error as OnError, Objects, On, bus_name},
    policy::{Concurrency, Error as PolicyError, Overlap, Quota, RETENTION_DEFAULT},
    read::TEXT_BYTES_MAX,
    schedule::{Missed, OnSchedule},
    schema::schema,
    target::Target,
};
pub(crate) use self::{fault::nearest, policy::parse_duration};
use crate::{chain::LifecycleEvent, ecs, limits::LimitId, pace, run::Policy, template::Template};

/// The rules of one stack, compiled.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Name of the stack.
    pub name: String,
    /// `RegisterTaskDefinition` requests that this project owns, by family; `family` is in each.
    pub task_definitions: BTreeMap<String, Value>,
    /// How containers run on a developer's machine, by `family/container`.
    pub local_containers: BTreeMap<String, LocalContainer>,
    /// The rules, in file order.
    pub rules: Vec<Rule>,
    /// Limits that several rules share.
    pub groups: BTreeMap<String, NonZeroU32>,
    /// The most runs of all rules together that may be under way at once.
    pub limit: Option<NonZeroU32>,
    /// Whether lifecycle events are published: since the file says so, or since one of its rules may hear them.
    pub publishes: bool,
    /// For how long what has ended is kept.
    pub retention: SignedDuration,
    /// The account's quotas of ECS, where the file says any.
    pub quotas: Option<pace::Quotas>,
    // What `to_json` gives, and what everything above was compiled from.
    canonical: std::sync::Arc<str>,
}

/// A rule, compiled.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Name, unique in the file.
    pub name: RuleName,
    /// What the rule is for, for people.
    pub description: Option<String>,
    /// Where its events come from.
    pub on: On,
    /// What an event must match.
    pub event_pattern: EventPattern,
    /// Key by which repeated events are told from new ones; the event's id if `None`.
    pub dedupe: Option<Template>,
    /// The task to start.
    pub target: Target,
    /// How many runs may be under way at once.
    pub concurrency: Option<Concurrency>,
    /// How often a run is attempted, and how long it may take.
    pub policy: Policy,
}

impl Rules {
    /// How many slots a limit has by these rules; `None` if they do not know it.
    pub fn slots_of(&self, limit: &LimitId) -> Option<u32> {
        let slots = match limit.name.split_once('/') {
            None => self.limit,
            Some(("group", group)) => self.groups.get(group).copied(),
            Some((_, name)) => {
                let rule = self.rules.iter().find(|rule| rule.name.as_ref() == name)?;
                rule.concurrency.as_ref()?.limit
            }
        };
        slots.map(NonZeroU32::get)
    }
}

/// The name of a rule: 1 to 64 letters, digits, `-` and `_`.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct RuleName(String);

impl RuleName {
    /// Takes a name as it stands, such as one read back from a run's record.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for RuleName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl AsRef<str> for RuleName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// How a container runs on a developer's machine, where images are not at hand.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct LocalContainer {
    /// Replaces the command of image and definition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Replaces the entry point of image and definition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry_point: Option<Vec<String>>,
    /// Added to the environment of the definition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<ecs::KeyValuePair>,
}

/// What [`check`] found.
#[derive(Debug)]
pub struct Checked {
    /// The rules, unless there is an error among the faults.
    pub rules: Option<Rules>,
    /// Errors and warnings, in file order.
    pub faults: Vec<Fault>,
}

/// Reads a rules file and reports all that is wrong with it, whenever that is. Never panics, whatever the text.
pub fn check(text: &str) -> Checked {
    check_with(text, None)
}

/// The same, and warns of what lies in the past.
pub fn check_at(text: &str, now: Timestamp) -> Checked {
    check_with(text, Some(now))
}

fn check_with(text: &str, now: Option<Timestamp>) -> Checked {
    let mut faults = Faults::default();
    let root = read::parse(text, &mut faults);
    if let Some(root) = &root {
        validate::validate(schema::shared(), root, &mut faults);
        checks::check(root, now, &mut faults);
    }
    let mut faults = faults.into_sorted();
    for fault in &mut faults {
        if let (Some(root), Some(span)) = (&root, fault.span) {
            fault.path = tree::path_at(root, span.start);
            fault.rule = rule_at(root, &fault.path);
        }
    }
    let refused = faults.iter().any(|fault| fault.severity == Severity::Error);
    let rules = match root {
        Some(root) if !refused => match Rules::from_json(&canonical(&root)) {
            Ok(rules) => {
                let mut started = endless_chains(&root, &rules);
                started.extend(asides::heard(&root, &rules));
                let refused = started.iter().any(|fault| fault.severity == Severity::Error);
                faults.extend(started);
                Some(rules).filter(|_| !refused)
            }
            Err(error) => {
                faults.push(unplaced(&error));
                None
            }
        },
        _ => None,
    };
    Checked { rules, faults }
}

/// Rules that would start one another for ever: each time, or as long as their tasks fail.
fn endless_chains(root: &tree::Node, rules: &Rules) -> Vec<Fault> {
    let chains = |events: &[LifecycleEvent]| chains::endless(&rules.name, &rules.rules, events);
    let certain = chains(&[LifecycleEvent::RunStarted, LifecycleEvent::RunSucceeded]);
    let mut possible = chains(&LifecycleEvent::ALL);
    possible.retain(|chain| !chain.iter().any(|rule| certain.concat().contains(rule)));
    let fault = |severity, chain: &[usize]| {
        let names: Vec<&str> = chain.iter().map(|&rule| rules.rules[rule].name.as_ref()).collect();
        let who = match names[..] {
            [name] => format!("the rule `{name}` would start itself"),
            _ => format!("the rules `{}` would start one another", names.join("`, `")),
        };
        let until = match severity {
            Severity::Error => "for ever",
            Severity::Warning => "for as long as their tasks fail",
        };
        let on = root.get("rules").and_then(|rules| rules.items().get(chain[0])?.entry("on"));
        Fault {
            severity,
            path: format!("rules[{}].on", chain[0]),
            rule: names.first().map(|name| (*name).to_owned()),
            span: on.map(|on| on.key_span),
            message: format!("{who} {until}"),
            hint: Some(format!(
                "leave its own events out of the pattern: `detail: {{ rule: [{{ anything-but: {} }}] }}`",
                names[0]
            )),
            related: Vec::new(),
        }
    };
    let certain = certain.iter().map(|chain| fault(Severity::Error, chain));
    let possible = possible.iter().map(|chain| fault(Severity::Warning, chain));
    certain.chain(possible).collect()
}

/// A fault that only compiling showed: what `checks` should have found with its place.
fn unplaced(error: &Error) -> Fault {
    Fault {
        severity: Severity::Error,
        path: String::new(),
        rule: error.rule().map(str::to_owned),
        span: None,
        message: crate::reason(error),
        hint: None,
        related: Vec::new(),
    }
}

/// The name of the rule that a path such as `rules[3].target` is in.
fn rule_at(root: &tree::Node, path: &str) -> Option<String> {
    let index = path.strip_prefix("rules[")?.split(']').next()?.parse::<usize>().ok()?;
    let name = root.get("rules")?.items().get(index)?.get("name")?.text()?;
    Some(name.to_owned())
}

/// The file as JSON, `defaults` merged into every rule.
fn canonical(root: &tree::Node) -> String {
    let mut root = root.clone();
    let defaults = root.get("defaults").cloned();
    if let tree::Kind::Map(entries) = &mut root.kind {
        entries.retain(|entry| entry.key != "defaults");
        for entry in entries.iter_mut().filter(|entry| entry.key == "rules") {
            if let tree::Kind::List(rules) = &mut entry.value.kind {
                for rule in rules {
                    *rule = merge::with_defaults(defaults.as_ref(), rule);
                }
            }
        }
    }
    root.to_json()
}
