//! The members of `CreateSchedule` and `UpdateSchedule`: read, and checked as Scheduler checks them.
//!
//! <https://docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html>

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};
use taskferry_core::schedule::{self, ZONE_DEFAULT};

use super::{
    DEFAULT_GROUP,
    definition::{
        ActionAfterCompletion, DeadLetterConfig, Definition, EventBridgeParameters,
        FlexibleTimeWindow, Mode, RetryPolicy, SqsParameters, State, Target,
    },
    target::Kind,
};
use crate::{
    delivery::{self, Destination},
    protocol::Exception,
};

const INPUT_BYTES_MAX: usize = 256 * 1024;

/// How far in the past a schedule may start.
const START_AGE: SignedDuration = SignedDuration::from_mins(5);

/// How far in the past the one time of a schedule may be: Scheduler fires within the minute.
const AT_AGE: SignedDuration = SignedDuration::from_mins(1);

/// A request, as it is read; what is required may be missing.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Request {
    pub(super) group_name: Option<String>,
    pub(super) client_token: Option<String>,
    schedule_expression: Option<String>,
    schedule_expression_timezone: Option<String>,
    start_date: Option<f64>,
    end_date: Option<f64>,
    description: Option<String>,
    state: Option<String>,
    kms_key_arn: Option<String>,
    target: Option<TargetRequest>,
    flexible_time_window: Option<WindowRequest>,
    action_after_completion: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct TargetRequest {
    arn: Option<String>,
    role_arn: Option<String>,
    input: Option<String>,
    dead_letter_config: Option<DeadLetterConfig>,
    retry_policy: Option<RetryRequest>,
    ecs_parameters: Option<Map<String, Value>>,
    event_bridge_parameters: Option<EventBridgeRequest>,
    sqs_parameters: Option<SqsParameters>,
    kinesis_parameters: Option<Value>,
    sage_maker_pipeline_parameters: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct RetryRequest {
    maximum_event_age_in_seconds: Option<i64>,
    maximum_retry_attempts: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct EventBridgeRequest {
    detail_type: Option<String>,
    source: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct WindowRequest {
    mode: Option<String>,
    maximum_window_in_minutes: Option<i64>,
}

pub(super) fn invalid(message: impl Into<String>) -> Exception {
    Exception::client("ValidationException", message)
}

/// A member that is not of its type.
pub(super) fn misshapen(message: impl Into<String>) -> Exception {
    Exception::client("SerializationException", message)
}

/// AWS's words for a member that is not as its shape wants it.
pub(super) fn constraint(value: &str, member: &str, rule: &str) -> Exception {
    invalid(format!(
        "1 validation error detected: Value {value} at '{member}' failed to satisfy constraint: Member must {rule}"
    ))
}

pub(super) fn missing(member: &str) -> Exception {
    constraint("null", member, "not be null")
}

/// A length from `min` to `max` characters.
fn length(value: &str, member: &str, min: usize, max: usize) -> Result<(), Exception> {
    let found = value.chars().count();
    if found < min {
        let rule = format!("have length greater than or equal to {min}");
        return Err(constraint(&format!("'{value}'"), member, &rule));
    }
    if found > max {
        let start: String = value.chars().take(100).collect();
        let rule = format!("have length less than or equal to {max}");
        return Err(constraint(&format!("'{start}'"), member, &rule));
    }
    Ok(())
}

fn between(value: i64, member: &str, min: i64, max: i64) -> Result<(), Exception> {
    if value < min {
        let rule = format!("have value greater than or equal to {min}");
        return Err(constraint(&format!("'{value}'"), member, &rule));
    }
    if value > max {
        let rule = format!("have value less than or equal to {max}");
        return Err(constraint(&format!("'{value}'"), member, &rule));
    }
    Ok(())
}

/// The name of a schedule or group: 1 to 64 letters, digits, `-`, `_` and `.`.
pub(super) fn name<'a>(value: &'a str, member: &str) -> Result<&'a str, Exception> {
    length(value, member, 1, 64)?;
    let right = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if value.chars().all(right) {
        Ok(value)
    } else {
        let rule = "satisfy regular expression pattern: ^[0-9a-zA-Z-_.]+$";
        Err(constraint(&format!("'{value}'"), member, rule))
    }
}

/// A token of 1 to 64 letters, digits, `-` and `_`.
pub(super) fn client_token(value: &str) -> Result<(), Exception> {
    length(value, "clientToken", 1, 64)?;
    let right = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if value.chars().all(right) {
        Ok(())
    } else {
        let rule = "satisfy regular expression pattern: ^[a-zA-Z0-9-_]+$";
        Err(constraint(&format!("'{value}'"), "clientToken", rule))
    }
}

/// One of the words of an enumeration.
fn word<T: serde::de::DeserializeOwned>(
    value: &str,
    member: &str,
    words: &str,
) -> Result<T, Exception> {
    serde_json::from_value(Value::from(value)).map_err(|_| {
        constraint(&format!("'{value}'"), member, &format!("satisfy enum value set: [{words}]"))
    })
}

impl Request {
    pub(super) fn group(&self) -> Result<&str, Exception> {
        self.group_name.as_deref().map_or(Ok(DEFAULT_GROUP), |it| name(it, "groupName"))
    }

    /// The schedule that it asks for, if all of it is right.
    pub(super) fn into_definition(self, now: Timestamp) -> Result<Definition, Exception> {
        let expression = self.schedule_expression.ok_or_else(|| missing("scheduleExpression"))?;
        length(&expression, "scheduleExpression", 1, 256)?;
        let zone = self.schedule_expression_timezone.unwrap_or_else(|| ZONE_DEFAULT.to_owned());
        length(&zone, "scheduleExpressionTimezone", 1, 50)?;
        if let Some(description) = &self.description {
            length(description, "description", 0, 512)?;
        }
        if let Some(key) = self.kms_key_arn.as_deref().filter(|key| !is_key(key)) {
            let rule = "satisfy regular expression pattern: ^arn:aws(-[a-z]+)?:kms:[a-z0-9\\-]+:\\d{12}:(key|alias)\\/[0-9a-zA-Z-_]*$";
            return Err(constraint(&format!("'{key}'"), "kmsKeyArn", rule));
        }
        let state = self.state.as_deref();
        let state = state.map(|it| word(it, "state", "ENABLED, DISABLED")).transpose()?;
        let action = self.action_after_completion.as_deref();
        let action =
            action.map(|it| word(it, "actionAfterCompletion", "NONE, DELETE")).transpose()?;
        let definition = Definition {
            schedule_expression: expression,
            schedule_expression_timezone: zone,
            start_date: self.start_date.map(millis).transpose()?,
            end_date: self.end_date.map(millis).transpose()?,
            description: self.description,
            state: state.unwrap_or(State::Enabled),
            kms_key_arn: self.kms_key_arn,
            target: self.target.ok_or_else(|| missing("target"))?.into_target()?,
            flexible_time_window: self
                .flexible_time_window
                .ok_or_else(|| missing("flexibleTimeWindow"))?
                .into_window()?,
            action_after_completion: action.unwrap_or(ActionAfterCompletion::None),
            missed: None,
        };
        check_times(&definition, now)?;
        Ok(definition)
    }
}

/// Milliseconds of seconds: Scheduler keeps no fraction of one.
fn millis(seconds: f64) -> Result<i64, Exception> {
    #[expect(clippy::cast_possible_truncation, reason = "saturates, and then is refused")]
    let whole = seconds.floor() as i64;
    Timestamp::from_second(whole).map(Timestamp::as_millisecond).map_err(|_| {
        let message = format!("{seconds} is not the time of a date");
        misshapen(message)
    })
}

fn check_times(definition: &Definition, now: Timestamp) -> Result<(), Exception> {
    let schedule = definition.schedule().map_err(|error| {
        let hint = error.hint();
        if let schedule::Error::Zone { .. } = error {
            let zone = &definition.schedule_expression_timezone;
            invalid(format!("Invalid ScheduleExpressionTimezone {zone}. {error}; {hint}"))
        } else {
            let text = &definition.schedule_expression;
            invalid(format!("Invalid Schedule Expression {text}. {error}; {hint}"))
        }
    })?;
    let earlier = |by| now.checked_sub(by).unwrap_or(Timestamp::MIN);
    if schedule.is_one_time() {
        if schedule.next_after(earlier(AT_AGE), now).is_none() {
            let text = &definition.schedule_expression;
            return Err(invalid(format!(
                "Invalid Schedule Expression {text}. The time is in the past, or the clocks of the time zone skip it."
            )));
        }
        return Ok(());
    }
    if schedule.start().is_some_and(|start| start < earlier(START_AGE)) {
        return Err(invalid("The StartDate you specify cannot be earlier than 5 minutes ago."));
    }
    if let Some(end) = schedule.end() {
        if end <= now {
            return Err(invalid("The EndDate you specify must be in the future."));
        }
        if schedule.start().is_some_and(|start| start >= end) {
            return Err(invalid("The StartDate you specify must come before the EndDate."));
        }
    }
    if schedule.clone().between(None, None).next_after(now, now).is_none() {
        let text = &definition.schedule_expression;
        return Err(invalid(format!("Invalid Schedule Expression {text}. It will never fire.")));
    }
    Ok(())
}

impl WindowRequest {
    fn into_window(self) -> Result<FlexibleTimeWindow, Exception> {
        let mode = self.mode.ok_or_else(|| missing("flexibleTimeWindow.mode"))?;
        let mode: Mode = word(&mode, "flexibleTimeWindow.mode", "OFF, FLEXIBLE")?;
        let minutes = self.maximum_window_in_minutes;
        if let Some(minutes) = minutes {
            between(minutes, "flexibleTimeWindow.maximumWindowInMinutes", 1, 1440)?;
        }
        if (mode, minutes) == (Mode::Flexible, None) {
            return Err(invalid(
                "MaximumWindowInMinutes must be specified when FlexibleTimeWindow Mode is FLEXIBLE.",
            ));
        }
        let maximum_window_in_minutes = minutes.and_then(|it| u32::try_from(it).ok());
        Ok(FlexibleTimeWindow { mode, maximum_window_in_minutes })
    }
}

impl TargetRequest {
    fn into_target(self) -> Result<Target, Exception> {
        let arn = self.arn.ok_or_else(|| missing("target.arn"))?;
        length(&arn, "target.arn", 1, 1600)?;
        let role_arn = self.role_arn.ok_or_else(|| missing("target.roleArn"))?;
        if !is_role(&role_arn) {
            let rule = "satisfy regular expression pattern: ^arn:aws[a-z-]*:iam::\\d{12}:role\\/[\\w+=,.@\\/-]+$";
            return Err(constraint(&format!("'{role_arn}'"), "target.roleArn", rule));
        }
        if self.kinesis_parameters.is_some() || self.sage_maker_pipeline_parameters.is_some() {
            return Err(invalid("Kinesis and SageMaker are not on this machine."));
        }
        if let Some(dead_letters) =
            self.dead_letter_config.as_ref().and_then(|it| it.arn.as_deref())
        {
            check_dead_letters(dead_letters)?;
        }
        let event_bridge_parameters =
            self.event_bridge_parameters.map(EventBridgeRequest::into_parameters).transpose()?;
        let target = Target {
            arn,
            role_arn,
            input: self.input,
            dead_letter_config: self.dead_letter_config,
            retry_policy: self.retry_policy.map(RetryRequest::into_policy).transpose()?,
            ecs_parameters: self.ecs_parameters,
            event_bridge_parameters,
            sqs_parameters: self.sqs_parameters,
        };
        check_target(&target)?;
        Ok(target)
    }
}

impl RetryRequest {
    // https://docs.aws.amazon.com/scheduler/latest/APIReference/API_RetryPolicy.html
    fn into_policy(self) -> Result<RetryPolicy, Exception> {
        let (age, attempts) = (self.maximum_event_age_in_seconds, self.maximum_retry_attempts);
        if let Some(age) = age {
            between(age, "target.retryPolicy.maximumEventAgeInSeconds", 60, 86_400)?;
        }
        if let Some(attempts) = attempts {
            between(attempts, "target.retryPolicy.maximumRetryAttempts", 0, 185)?;
        }
        let small = |number: Option<i64>| number.and_then(|it| u32::try_from(it).ok());
        Ok(RetryPolicy {
            maximum_event_age_in_seconds: small(age),
            maximum_retry_attempts: small(attempts),
        })
    }
}

impl EventBridgeRequest {
    fn into_parameters(self) -> Result<EventBridgeParameters, Exception> {
        let member = "target.eventBridgeParameters.source";
        let source = self.source.ok_or_else(|| missing(member))?;
        length(&source, member, 1, 256)?;
        let right = |c: char| c.is_ascii_alphanumeric() || "/.-_".contains(c);
        if source.starts_with("aws.") || !source.chars().all(right) {
            let rule =
                "satisfy regular expression pattern: ^(?=[/\\.\\-_A-Za-z0-9]+)((?!aws\\.).*)$";
            return Err(constraint(&format!("'{source}'"), member, rule));
        }
        let member = "target.eventBridgeParameters.detailType";
        let detail_type = self.detail_type.ok_or_else(|| missing(member))?;
        length(&detail_type, member, 1, 128)?;
        Ok(EventBridgeParameters { detail_type, source })
    }
}

fn is_role(arn: &str) -> bool {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let &["arn", partition, "iam", "", account, resource] = parts.as_slice() else { return false };
    let right = |c: char| c.is_ascii_alphanumeric() || "_+=,.@/-".contains(c);
    partition.starts_with("aws")
        && account.len() == 12
        && account.bytes().all(|byte| byte.is_ascii_digit())
        && resource
            .strip_prefix("role/")
            .is_some_and(|name| !name.is_empty() && name.chars().all(right))
        && arn.len() <= 1600
}

fn is_key(arn: &str) -> bool {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let &["arn", partition, "kms", region, account, resource] = parts.as_slice() else {
        return false;
    };
    let right = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    let name = resource.strip_prefix("key/").or_else(|| resource.strip_prefix("alias/"));
    partition.starts_with("aws")
        && !region.is_empty()
        && account.len() == 12
        && account.bytes().all(|byte| byte.is_ascii_digit())
        && name.is_some_and(|name| name.chars().all(right))
        && arn.len() <= 2048
}

fn check_dead_letters(arn: &str) -> Result<(), Exception> {
    match Destination::parse(arn) {
        // The pattern of this member has no room for the dot of `.fifo`.
        Ok(queue @ Destination::Queue(_)) if !queue.is_fifo() => Ok(()),
        Ok(_) | Err(_) => {
            let rule = "satisfy regular expression pattern: ^arn:aws[a-z-]*:sqs:[a-z0-9\\-]+:\\d{12}:[a-zA-Z0-9\\-_]+$";
            Err(constraint(&format!("'{arn}'"), "target.deadLetterConfig.arn", rule))
        }
    }
}

/// What each kind of target must and must not have.
fn check_target(target: &Target) -> Result<(), Exception> {
    if let Some(input) = &target.input {
        if input.is_empty() {
            return Err(constraint("''", "target.input", "have length greater than or equal to 1"));
        }
        if input.len() > INPUT_BYTES_MAX {
            return Err(invalid(format!("Input must have at most {INPUT_BYTES_MAX} bytes.")));
        }
    }
    let Some(kind) = Kind::of(&target.arn) else {
        return Err(match Destination::parse(&target.arn) {
            Err(delivery::Error::NotADestination) => {
                invalid(format!("Provided Arn is of what is not on this machine: {}", target.arn))
            }
            _ => invalid("Provided Arn is not in correct format."),
        });
    };
    let others = [
        ("EcsParameters", target.ecs_parameters.is_some(), kind == Kind::Cluster),
        (
            "EventBridgeParameters",
            target.event_bridge_parameters.is_some(),
            matches!(kind, Kind::Bus(_)),
        ),
        (
            "SqsParameters",
            target.sqs_parameters.is_some(),
            matches!(kind, Kind::Delivered(Destination::Queue(_))),
        ),
    ];
    if let Some((name, ..)) = others.iter().find(|(_, is_there, may_be)| *is_there && !may_be) {
        return Err(invalid(format!("{name} is not allowed for the target {}.", target.arn)));
    }
    match &kind {
        Kind::Cluster => check_ecs(target)?,
        Kind::Bus(_) if target.event_bridge_parameters.is_none() => {
            return Err(invalid(
                "EventBridgeParameters is required for a target that is an event bus.",
            ));
        }
        Kind::Delivered(destination) if destination.is_fifo() => {
            let group =
                target.sqs_parameters.as_ref().and_then(|it| it.message_group_id.as_deref());
            let member = "target.sqsParameters.messageGroupId";
            length(
                group.ok_or_else(|| {
                    invalid("SqsParameters.MessageGroupId is required for a FIFO queue.")
                })?,
                member,
                1,
                128,
            )?;
        }
        Kind::Bus(_) | Kind::Delivered(_) => {}
    }
    let wants_json =
        matches!(kind, Kind::Bus(_) | Kind::Cluster | Kind::Delivered(Destination::Function(_)));
    match &target.input {
        Some(input) if wants_json && serde_json::from_str::<&RawValue>(input).is_err() => {
            Err(invalid("Provided Input is not valid JSON."))
        }
        Some(input) if matches!(kind, Kind::Bus(_)) && !input.trim_start().starts_with('{') => {
            Err(invalid("Provided Input is not a JSON object."))
        }
        Some(_) | None => Ok(()),
    }
}

fn check_ecs(target: &Target) -> Result<(), Exception> {
    let Some(parameters) = &target.ecs_parameters else {
        return Err(invalid("EcsParameters is required for a target that is an ECS cluster."));
    };
    let member = "target.ecsParameters.taskDefinitionArn";
    let definition = parameters.get("TaskDefinitionArn").and_then(Value::as_str);
    length(definition.ok_or_else(|| missing(member))?, member, 1, 1600)?;
    if let Some(count) = parameters.get("TaskCount") {
        let member = "target.ecsParameters.taskCount";
        between(count.as_i64().unwrap_or(0), member, 1, 10)?;
    }
    Ok(())
}
