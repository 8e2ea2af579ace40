//! All rules and buses: those of the rules file, which only the file changes, and those of the API, which are stored.
//!
//! Held by [`super::EventBridge`]; `api` reads and changes it. From it the buses are made that events meet.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use taskferry_event_pattern::EventPattern;

use super::{
    DEFAULT_EVENT_BUS, Subscription,
    buses::{Kind, LeadsTo, Rule, Target},
    input::{Input, Refused},
    launches::Cluster,
};
use crate::{
    delivery::{self, Destination, is_fifo},
    identity::{ACCOUNT_ID, REGION},
};

/// Who manages the rules of the file.
pub(super) const MANAGED_BY: &str = "taskferry";

/// What is there by the API.
#[derive(Clone, Debug, Default)]
pub(super) struct Catalog {
    pub(super) buses: BTreeMap<String, BusEntry>,
    pub(super) rules: BTreeMap<RuleKey, RuleEntry>,
}

/// The name of a rule, and of its bus.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct RuleKey {
    pub(super) bus: String,
    pub(super) name: String,
}

/// A bus that was made. Times are seconds since the epoch.
#[derive(Clone, Debug)]
pub(super) struct BusEntry {
    pub(super) description: Option<String>,
    pub(super) created_at: i64,
    pub(super) modified_at: i64,
    /// Who may put events onto it, as JSON.
    pub(super) policy: Option<String>,
    /// What is kept and shown, and does nothing here: the members by their names.
    pub(super) settings: Map<String, Value>,
}

/// A rule that was put.
#[derive(Clone, Debug)]
pub(super) struct RuleEntry {
    pub(super) pattern: Option<String>,
    pub(super) schedule: Option<String>,
    pub(super) state: String,
    pub(super) description: Option<String>,
    pub(super) role: Option<String>,
    pub(super) targets: BTreeMap<String, TargetEntry>,
    /// When its schedule was put in force, in milliseconds since the epoch.
    pub(super) scheduled_at: i64,
    /// When it fires next, likewise.
    pub(super) due_at: Option<i64>,
}

/// A target, as it was put and as it is delivered to.
#[derive(Clone, Debug)]
pub(super) struct TargetEntry {
    pub(super) json: Value,
    pub(super) target: Target,
}

/// A tag of a rule or bus.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tag {
    pub(super) key: String,
    pub(super) value: String,
}

/// What a target's request says that matters here; the rest is kept and shown.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TargetRequest {
    id: String,
    arn: String,
    input: Option<String>,
    input_path: Option<String>,
    input_transformer: Option<TransformerRequest>,
    role_arn: Option<String>,
    sqs_parameters: Option<SqsParameters>,
    ecs_parameters: Option<Map<String, Value>>,
    retry_policy: Option<RetryPolicy>,
    dead_letter_config: Option<DeadLetterConfig>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TransformerRequest {
    #[serde(default)]
    input_paths_map: BTreeMap<String, String>,
    input_template: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SqsParameters {
    message_group_id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RetryPolicy {
    maximum_retry_attempts: Option<i64>,
    maximum_event_age_in_seconds: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DeadLetterConfig {
    arn: Option<String>,
}

impl BusEntry {
    /// A bus that is made now.
    pub(super) fn new(now: i64) -> Self {
        let settings = Map::new();
        Self { description: None, created_at: now, modified_at: now, policy: None, settings }
    }
}

impl RuleKey {
    pub(super) fn new(bus: &str, name: &str) -> Self {
        Self { bus: bus.to_owned(), name: name.to_owned() }
    }

    pub(super) fn arn(&self) -> String {
        let name = &self.name;
        match self.bus.as_str() {
            DEFAULT_EVENT_BUS => format!("arn:aws:events:{REGION}:{ACCOUNT_ID}:rule/{name}"),
            bus => format!("arn:aws:events:{REGION}:{ACCOUNT_ID}:rule/{bus}/{name}"),
        }
    }
}

impl TargetEntry {
    /// A target from its request.
    pub(super) fn read(json: Value) -> Result<Self, Refused> {
        let request = TargetRequest::deserialize(&json)
            .map_err(|error| Refused::Misshapen(error.to_string()))?;
        let TargetRequest { id, arn, input, input_path, input_transformer, .. } = request;
        let refused = |reason: &str| {
            Refused::Invalid(format!("Parameter {arn} is not valid. Reason: {reason}"))
        };
        let (destination, is_ours) = match Destination::parse_of_any_account(&arn) {
            Ok((destination, is_ours)) => (Some(destination), is_ours),
            Err(delivery::Error::NotArn) => {
                return Err(refused("Provided Arn is not in correct format."));
            }
            Err(delivery::Error::NotADestination | delivery::Error::OtherAccount) => (None, true),
        };
        let must_have = |parameters: &str| {
            Refused::Invalid(format!(
                "Parameter(s) {parameters} must be specified for target: {id}."
            ))
        };
        let group_id = request.sqs_parameters.and_then(|sqs| sqs.message_group_id);
        let retry = request.retry_policy.unwrap_or_default();
        let retries = in_range(&id, "MaximumRetryAttempts", retry.maximum_retry_attempts, 0, 185)?;
        let age = retry.maximum_event_age_in_seconds;
        let age = in_range(&id, "MaximumEventAgeInSeconds", age, 60, 86_400)?;
        let (kind, is_ours) = match (destination, cluster_account(&arn)) {
            (Some(Destination::Queue(name)), _) if is_fifo(&name) && group_id.is_none() => {
                return Err(must_have("SqsParameters"));
            }
            (Some(destination), _) => (Kind::Delivered(destination), is_ours),
            (None, None) => (Kind::Elsewhere, true),
            (None, Some(account)) => {
                let parameters =
                    request.ecs_parameters.ok_or_else(|| must_have("EcsParameters"))?;
                check_ecs(&id, &parameters)?;
                if request.role_arn.is_none() {
                    return Err(Refused::Invalid(format!("RoleArn is required for target {arn}.")));
                }
                let age_max = SignedDuration::from_secs(age.into());
                let cluster = Cluster { parameters, retries_max: retries, age_max };
                (Kind::Cluster(cluster), account == ACCOUNT_ID)
            }
        };
        let dead_letters = match request.dead_letter_config.and_then(|config| config.arn) {
            None => None,
            Some(arn) => match Destination::parse(&arn) {
                Ok(queue @ Destination::Queue(_)) if queue.is_fifo() => {
                    let message = format!(
                        "Parameter DeadLetterConfig.Arn for target {id} is not valid. Reason: A FIFO queue cannot be a dead-letter queue."
                    );
                    return Err(Refused::Invalid(message));
                }
                Ok(Destination::Queue(name)) => Some(name),
                _ => {
                    let message = format!(
                        "Parameter DeadLetterConfig.Arn for target {id} is not valid. Reason: Provided Arn is not that of an SQS queue."
                    );
                    return Err(Refused::Invalid(message));
                }
            },
        };
        let transformer = input_transformer.map(|it| (it.input_paths_map, it.input_template));
        let input = Input::read(&id, input, input_path.as_deref(), transformer)?;
        let target = Target { arn, kind, is_ours, input, group_id, dead_letters };
        Ok(Self { json, target })
    }
}

/// A number of the retry policy; where it is not said, the most that it can be.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_RetryPolicy.html
fn in_range(id: &str, name: &str, value: Option<i64>, min: u32, max: u32) -> Result<u32, Refused> {
    let number = value.map_or(Ok(max), u32::try_from).ok();
    number.filter(|number| (min..=max).contains(number)).ok_or_else(|| {
        Refused::Invalid(format!(
            "Parameter RetryPolicy.{name} for target {id} is not valid. Reason: It must be from {min} to {max}."
        ))
    })
}

/// The account of an ECS cluster, if this is the ARN of one.
fn cluster_account(arn: &str) -> Option<&str> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let &["arn", _, "ecs", _, account, resource] = parts.as_slice() else { return None };
    resource.strip_prefix("cluster/").filter(|name| !name.is_empty()).map(|_| account)
}

/// Refuses what `RunTask` could never take.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_EcsParameters.html
fn check_ecs(id: &str, parameters: &Map<String, Value>) -> Result<(), Refused> {
    let refused = |name: &str, reason: &str| {
        Refused::Invalid(format!(
            "Parameter EcsParameters.{name} for target {id} is not valid. Reason: {reason}."
        ))
    };
    let definition = parameters.get("TaskDefinitionArn").and_then(Value::as_str);
    if !definition.is_some_and(|arn| (1..=1600).contains(&arn.chars().count())) {
        return Err(refused("TaskDefinitionArn", "It must have 1 to 1600 characters"));
    }
    if parameters.get("TaskCount").is_some_and(|count| count.as_i64().is_none_or(|it| it < 1)) {
        return Err(refused("TaskCount", "It must be 1 or more"));
    }
    for (name, words) in [
        ("LaunchType", &["EC2", "FARGATE", "EXTERNAL"][..]),
        ("PropagateTags", &["TASK_DEFINITION"]),
    ] {
        if parameters.get(name).is_some_and(|it| it.as_str().is_none_or(|it| !words.contains(&it)))
        {
            return Err(refused(name, &format!("It must be one of {}", words.join(", "))));
        }
    }
    Ok(())
}

impl RuleEntry {
    /// The rule as it delivers.
    pub(super) fn to_rule(&self, key: &RuleKey) -> Rule {
        let targets = self.targets.values().map(|entry| entry.target.clone()).collect();
        Rule { name: key.name.clone(), arn: key.arn(), leads_to: LeadsTo::Targets(targets) }
    }

    /// The rule as `ListRules` shows it.
    pub(super) fn show(&self, key: &RuleKey) -> Value {
        let mut shown = Map::from_iter([
            ("Name".to_owned(), json!(key.name)),
            ("Arn".to_owned(), json!(key.arn())),
            ("EventBusName".to_owned(), json!(key.bus)),
            ("State".to_owned(), json!(self.state)),
        ]);
        let optional = [
            ("EventPattern", &self.pattern),
            ("ScheduleExpression", &self.schedule),
            ("Description", &self.description),
            ("RoleArn", &self.role),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                shown.insert(name.to_owned(), json!(value));
            }
        }
        Value::Object(shown)
    }
}

/// A rule of the file as the API shows it.
pub(super) fn show_managed(subscription: &Subscription) -> Value {
    let key = RuleKey::new(&subscription.event_bus, &subscription.name);
    json!({
        "Name": key.name,
        "Arn": key.arn(),
        "EventBusName": key.bus,
        "EventPattern": subscription.event_pattern.as_str(),
        "State": "ENABLED",
        "ManagedBy": MANAGED_BY,
    })
}

/// The one target of a rule of the file.
pub(super) fn managed_target(subscription: &Subscription) -> Value {
    let destination = &subscription.destination;
    json!({ "Id": destination.name(), "Arn": destination.arn() })
}

/// The names of all buses.
pub(super) fn bus_names(catalog: &Catalog, managed: &[Subscription]) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = catalog.buses.keys().cloned().collect();
    names.insert(DEFAULT_EVENT_BUS.to_owned());
    names.extend(managed.iter().map(|subscription| subscription.event_bus.clone()));
    // One that was the file's stays for the rules that were put on it.
    names.extend(catalog.rules.keys().map(|key| key.bus.clone()));
    names
}

/// The rules of each bus that events meet.
pub(super) fn compile(
    catalog: &Catalog,
    managed: &[Subscription],
) -> BTreeMap<String, Vec<(EventPattern, Rule)>> {
    let mut buses: BTreeMap<String, Vec<_>> =
        bus_names(catalog, managed).into_iter().map(|name| (name, Vec::new())).collect();
    let mut names = BTreeSet::new();
    for Subscription { name, event_bus, event_pattern, destination } in managed {
        let key = RuleKey::new(event_bus, name);
        let arn = key.arn();
        let leads_to = LeadsTo::Managed(destination.clone());
        let rule = Rule { name: name.clone(), arn, leads_to };
        buses.entry(event_bus.clone()).or_default().push((event_pattern.clone(), rule));
        names.insert(key);
    }
    for (key, entry) in &catalog.rules {
        // The file's rule of a name stands for it, also where one was put before the file had it.
        if entry.state == "DISABLED" || names.contains(key) {
            continue;
        }
        let Some(pattern) = &entry.pattern else { continue };
        match EventPattern::parse(pattern) {
            Ok(pattern) => {
                let rule = entry.to_rule(key);
                buses.entry(key.bus.clone()).or_default().push((pattern, rule));
            }
            Err(error) => {
                tracing::error!(rule = key.name, %error, "a stored rule's pattern cannot be read");
            }
        }
    }
    buses
}
