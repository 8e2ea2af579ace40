//! What a schedule says: the members of `CreateSchedule`, as they are stored and shown.
//!
//! Checked by `request` before it becomes one of these.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use taskferry_core::schedule::{self, Schedule, ZONE_DEFAULT};

use super::Managed;
use crate::delivery::Destination;

/// A schedule, as it is stored.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Definition {
    pub(super) schedule_expression: String,
    pub(super) schedule_expression_timezone: String,
    /// Milliseconds since the epoch, as all times in here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) start_date: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) end_date: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    pub(super) state: State,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) kms_key_arn: Option<String>,
    pub(super) target: Target,
    pub(super) flexible_time_window: FlexibleTimeWindow,
    pub(super) action_after_completion: ActionAfterCompletion,
    /// Of a schedule of the rules file: what is done about times that were missed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) missed: Option<Missed>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum State {
    Enabled,
    Disabled,
}

impl State {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "ENABLED",
            Self::Disabled => "DISABLED",
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum ActionAfterCompletion {
    None,
    Delete,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Mode {
    Off,
    Flexible,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct FlexibleTimeWindow {
    pub(super) mode: Mode,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) maximum_window_in_minutes: Option<u32>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Missed {
    pub(super) input: String,
    pub(super) count_attribute: String,
}

/// What is invoked.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Target {
    pub(super) arn: String,
    pub(super) role_arn: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) input: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) dead_letter_config: Option<DeadLetterConfig>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) retry_policy: Option<RetryPolicy>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ecs_parameters: Option<Map<String, Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) event_bridge_parameters: Option<EventBridgeParameters>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sqs_parameters: Option<SqsParameters>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeadLetterConfig {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) arn: Option<String>,
}

/// How often and how long an invocation is tried again.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RetryPolicy {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) maximum_event_age_in_seconds: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) maximum_retry_attempts: Option<u32>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct EventBridgeParameters {
    pub(super) detail_type: String,
    pub(super) source: String,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SqsParameters {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) message_group_id: Option<String>,
}

// https://docs.aws.amazon.com/scheduler/latest/APIReference/API_RetryPolicy.html
const EVENT_AGE_SECONDS_MAX: u32 = 86_400;
const RETRY_ATTEMPTS_MAX: u32 = 185;

impl Target {
    /// How old an invocation may become, in seconds.
    pub(super) fn event_age_seconds_max(&self) -> u32 {
        let age = self.retry_policy.and_then(|policy| policy.maximum_event_age_in_seconds);
        age.unwrap_or(EVENT_AGE_SECONDS_MAX)
    }

    /// How often an invocation is tried again.
    pub(super) fn retry_attempts_max(&self) -> u32 {
        let attempts = self.retry_policy.and_then(|policy| policy.maximum_retry_attempts);
        attempts.unwrap_or(RETRY_ATTEMPTS_MAX)
    }
}

impl Definition {
    /// A schedule of the rules file.
    pub(super) fn of_managed(managed: &Managed) -> Self {
        let Managed { schedule, .. } = managed;
        let millis = |time: Option<Timestamp>| time.map(Timestamp::as_millisecond);
        Self {
            schedule_expression: schedule.expression().to_owned(),
            schedule_expression_timezone: schedule.zone_name().to_owned(),
            start_date: millis(schedule.start()),
            end_date: millis(schedule.end()),
            description: Some("of the rules file".to_owned()),
            state: State::Enabled,
            kms_key_arn: None,
            target: Target {
                arn: Destination::Function(managed.function.clone()).arn(),
                role_arn: format!("arn:aws:iam::{}:role/taskferry", crate::identity::ACCOUNT_ID),
                input: Some(managed.input.clone()),
                dead_letter_config: None,
                retry_policy: None,
                ecs_parameters: None,
                event_bridge_parameters: None,
                sqs_parameters: None,
            },
            flexible_time_window: FlexibleTimeWindow {
                mode: managed.window_minutes.map_or(Mode::Off, |_| Mode::Flexible),
                maximum_window_in_minutes: managed.window_minutes,
            },
            action_after_completion: ActionAfterCompletion::None,
            missed: Some(Missed {
                input: managed.missed_input.clone(),
                count_attribute: managed.count_attribute.clone(),
            }),
        }
    }

    /// When it fires.
    pub(super) fn schedule(&self) -> Result<Schedule, schedule::Error> {
        let time = |millis: Option<i64>| millis.and_then(|it| Timestamp::from_millisecond(it).ok());
        let zone = match self.schedule_expression_timezone.as_str() {
            "" => ZONE_DEFAULT,
            zone => zone,
        };
        let schedule = Schedule::parse(&self.schedule_expression, zone)?;
        Ok(schedule.between(time(self.start_date), time(self.end_date)))
    }

    /// How many minutes after its time it may fire.
    pub(super) fn window_minutes(&self) -> u32 {
        match self.flexible_time_window.mode {
            Mode::Off => 0,
            Mode::Flexible => self.flexible_time_window.maximum_window_in_minutes.unwrap_or(0),
        }
    }
}
