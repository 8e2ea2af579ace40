//! The attributes of a queue that are set: their names, ranges and defaults.
//!
//! Pure. `queues` stores them as they are here, and adds those that are counted (`ApproximateNumberOfMessages`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    arn,
    clock::Millis,
    message::MESSAGE_BYTES_MAX,
    refusal::{Code, Refusal},
};

/// What ends the name of a FIFO queue, and of no other.
pub(crate) const FIFO_SUFFIX: &str = ".fifo";

/// How long a message can be invisible, in seconds.
pub(super) const VISIBILITY_SECONDS_MAX: i64 = 43_200;

/// How long a message can be delayed, in seconds.
pub(super) const DELAY_SECONDS_MAX: i64 = 900;

/// How long a receive can wait, in seconds.
pub(super) const WAIT_SECONDS_MAX: i64 = 20;

/// How many queues a `byQueue` permission names at most.
const SOURCE_QUEUES_MAX: usize = 10;

/// The attributes of a queue that are set.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "each is an attribute that is true or false")]
pub(super) struct Settings {
    pub(super) is_fifo: bool,
    pub(super) visibility_timeout: i64,
    pub(super) delay_seconds: i64,
    pub(super) retention_seconds: i64,
    pub(super) message_bytes_max: usize,
    pub(super) wait_seconds: i64,
    pub(super) redrive: Option<Redrive>,
    pub(super) redrive_allow: Option<RedriveAllow>,
    pub(super) policy: Option<String>,
    pub(super) kms_key: Option<String>,
    pub(super) kms_reuse_seconds: Option<i64>,
    pub(super) is_sse_managed: bool,
    pub(super) is_content_based: bool,
    pub(super) deduplicates_by_group: bool,
    pub(super) is_throughput_by_group: bool,
}

/// Where messages go that were received too often.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub(super) struct Redrive {
    pub(super) target: String,
    pub(super) receives_max: i64,
}

/// Which queues may name this one as theirs for dead letters.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub(super) enum RedriveAllow {
    All,
    None,
    ByQueue(Vec<String>),
}

impl Default for Settings {
    // https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html
    fn default() -> Self {
        Self {
            is_fifo: false,
            visibility_timeout: 30,
            delay_seconds: 0,
            retention_seconds: 345_600,
            message_bytes_max: MESSAGE_BYTES_MAX,
            wait_seconds: 0,
            redrive: None,
            redrive_allow: None,
            policy: None,
            kms_key: None,
            kms_reuse_seconds: None,
            is_sse_managed: true,
            is_content_based: false,
            deduplicates_by_group: false,
            is_throughput_by_group: false,
        }
    }
}

/// The names of the attributes that can be set.
const SETTABLE: [&str; 15] = [
    "ContentBasedDeduplication",
    "DeduplicationScope",
    "DelaySeconds",
    "FifoQueue",
    "FifoThroughputLimit",
    "KmsDataKeyReusePeriodSeconds",
    "KmsMasterKeyId",
    "MaximumMessageSize",
    "MessageRetentionPeriod",
    "Policy",
    "ReceiveMessageWaitTimeSeconds",
    "RedriveAllowPolicy",
    "RedrivePolicy",
    "SqsManagedSseEnabled",
    "VisibilityTimeout",
];

/// The names of those that are counted or follow from others.
const COUNTED: [&str; 6] = [
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesDelayed",
    "ApproximateNumberOfMessagesNotVisible",
    "CreatedTimestamp",
    "LastModifiedTimestamp",
    "QueueArn",
];

/// Whether a queue has an attribute of this name.
pub(super) fn is_attribute(name: &str) -> bool {
    SETTABLE.contains(&name) || COUNTED.contains(&name)
}

impl Settings {
    /// The settings of a new queue.
    pub(super) fn new(name: &str, attributes: &BTreeMap<String, String>) -> Result<Self, Refusal> {
        let mut settings = Self { is_fifo: name.ends_with(FIFO_SUFFIX), ..Self::default() };
        if settings.is_fifo && !attributes.contains_key("FifoQueue") {
            let message = "The name of a standard queue cannot end with .fifo: the attribute FifoQueue is missing.";
            return Err(Refusal::new(Code::InvalidParameterValue, message));
        }
        settings.set(attributes)?;
        Ok(settings)
    }

    /// Sets attributes, each by its rules, and then what they must fulfil together.
    pub(super) fn set(&mut self, attributes: &BTreeMap<String, String>) -> Result<(), Refusal> {
        attributes.iter().try_for_each(|(name, value)| self.set_one(name, value))?;
        if attributes.get("SqsManagedSseEnabled").is_some_and(|it| it == "true")
            && attributes.get("KmsMasterKeyId").is_some_and(|it| !it.is_empty())
        {
            let message = "You can use one type of server-side encryption (SSE) at one time. You can either enable KMS SSE \
                           or SQS SSE.";
            return Err(Refusal::new(Code::InvalidAttributeValue, message));
        }
        if self.is_throughput_by_group && !self.deduplicates_by_group {
            let message = "The value perMessageGroupId for FifoThroughputLimit is allowed only when the value for \
                           DeduplicationScope is messageGroup.";
            return Err(Refusal::new(Code::InvalidAttributeValue, message));
        }
        Ok(())
    }

    fn set_one(&mut self, name: &str, value: &str) -> Result<(), Refusal> {
        let range = |range| number(name, value, range);
        // Blanks around a name are not part of it.
        match name.trim() {
            "VisibilityTimeout" => self.visibility_timeout = range(0..=VISIBILITY_SECONDS_MAX)?,
            "DelaySeconds" => self.delay_seconds = range(0..=DELAY_SECONDS_MAX)?,
            "MessageRetentionPeriod" => self.retention_seconds = range(60..=1_209_600)?,
            "ReceiveMessageWaitTimeSeconds" => self.wait_seconds = range(0..=WAIT_SECONDS_MAX)?,
            "MaximumMessageSize" => {
                let bytes = range(1024..=1_048_576)?;
                self.message_bytes_max = usize::try_from(bytes).unwrap_or(MESSAGE_BYTES_MAX);
            }
            "KmsDataKeyReusePeriodSeconds" => self.kms_reuse_seconds = Some(range(60..=86_400)?),
            "KmsMasterKeyId" => {
                self.kms_key = (!value.is_empty()).then(|| value.to_owned());
                self.is_sse_managed = value.is_empty() && self.is_sse_managed;
            }
            "SqsManagedSseEnabled" => {
                self.is_sse_managed = boolean(name, value)?;
                if self.is_sse_managed {
                    self.kms_key = None;
                }
            }
            "Policy" => {
                self.policy = if value.is_empty() { None } else { Some(policy(value)?) };
            }
            "RedrivePolicy" => self.redrive = Redrive::parse(value)?,
            "RedriveAllowPolicy" => self.redrive_allow = RedriveAllow::parse(value)?,
            "FifoQueue" => {
                if boolean(name, value)? != self.is_fifo {
                    return Err(fifo_mismatch(self.is_fifo));
                }
            }
            "ContentBasedDeduplication" => {
                self.is_content_based = boolean(name, value)?;
                self.only_fifo(name)?;
            }
            "DeduplicationScope" => {
                self.deduplicates_by_group = one_of(name, value, ["queue", "messageGroup"])?;
                self.only_fifo(name)?;
            }
            "FifoThroughputLimit" => {
                self.is_throughput_by_group =
                    one_of(name, value, ["perQueue", "perMessageGroupId"])?;
                self.only_fifo(name)?;
            }
            _ => {
                return Err(Refusal::new(
                    Code::InvalidAttributeName,
                    format!("Unknown Attribute {name}."),
                ));
            }
        }
        Ok(())
    }

    fn only_fifo(&self, name: &str) -> Result<(), Refusal> {
        if self.is_fifo {
            return Ok(());
        }
        let message = format!("You can specify the {name} only when FifoQueue is set to true.");
        Err(Refusal::new(Code::InvalidAttributeName, message))
    }

    /// The value of a set attribute, where the queue has one.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        let choice = |is: bool, names: [&str; 2]| names[usize::from(is)].to_owned();
        match name {
            "VisibilityTimeout" => Some(self.visibility_timeout.to_string()),
            "DelaySeconds" => Some(self.delay_seconds.to_string()),
            "MessageRetentionPeriod" => Some(self.retention_seconds.to_string()),
            "ReceiveMessageWaitTimeSeconds" => Some(self.wait_seconds.to_string()),
            "MaximumMessageSize" => Some(self.message_bytes_max.to_string()),
            "KmsMasterKeyId" => self.kms_key.clone(),
            "KmsDataKeyReusePeriodSeconds" => {
                let given = self.kms_reuse_seconds.or(self.kms_key.as_ref().map(|_| 300));
                given.map(|it| it.to_string())
            }
            "SqsManagedSseEnabled" => Some(self.is_sse_managed.to_string()),
            "Policy" => self.policy.clone(),
            "RedrivePolicy" => self.redrive.as_ref().map(Redrive::to_text),
            "RedriveAllowPolicy" => self.redrive_allow.as_ref().map(RedriveAllow::to_text),
            "FifoQueue" => self.is_fifo.then(|| "true".to_owned()),
            "ContentBasedDeduplication" => self.is_fifo.then(|| self.is_content_based.to_string()),
            "DeduplicationScope" => {
                self.is_fifo.then(|| choice(self.deduplicates_by_group, ["queue", "messageGroup"]))
            }
            "FifoThroughputLimit" => self
                .is_fifo
                .then(|| choice(self.is_throughput_by_group, ["perQueue", "perMessageGroupId"])),
            _ => None,
        }
    }

    /// All that are set.
    pub(super) fn all(&self) -> impl Iterator<Item = (&'static str, String)> {
        SETTABLE.into_iter().filter_map(|name| Some((name, self.get(name)?)))
    }

    /// How long messages are kept.
    pub(super) fn retention(&self) -> Millis {
        self.retention_seconds * 1000
    }
}

impl Redrive {
    fn parse(text: &str) -> Result<Option<Self>, Refusal> {
        let refuse = |reason: &str| Err(Refusal::value(text, "RedrivePolicy", reason));
        if text.is_empty() {
            return Ok(None);
        }
        let Ok(Value::Object(policy)) = serde_json::from_str(text) else {
            return refuse("Redrive policy is not a valid JSON map.");
        };
        if policy.is_empty() {
            return Ok(None);
        }
        let known = ["deadLetterTargetArn", "maxReceiveCount"];
        if policy.keys().any(|name| !known.contains(&&**name)) {
            return refuse(
                "Only following attributes are supported: [deadLetterTargetArn, maxReceiveCount].",
            );
        }
        let Some(target) = policy.get("deadLetterTargetArn").and_then(Value::as_str) else {
            return refuse(
                "Redrive policy does not contain mandatory attribute: deadLetterTargetArn.",
            );
        };
        if arn::queue_name(target).is_none() {
            return refuse("Invalid value for deadLetterTargetArn.");
        }
        let receives_max = match policy.get("maxReceiveCount") {
            Some(Value::Number(number)) => number.as_i64(),
            Some(Value::String(text)) => text.parse().ok(),
            Some(_) => None,
            None => {
                return refuse(
                    "Redrive policy does not contain mandatory attribute: maxReceiveCount.",
                );
            }
        };
        match receives_max {
            Some(receives_max @ 1..=1000) => {
                Ok(Some(Self { target: target.to_owned(), receives_max }))
            }
            Some(other) => {
                let reason = format!(
                    "Invalid value for maxReceiveCount: {other}, valid values are from 1 to 1000 both inclusive."
                );
                refuse(&reason)
            }
            None => refuse("Invalid value for maxReceiveCount: it is not an integer."),
        }
    }

    fn to_text(&self) -> String {
        json!({ "deadLetterTargetArn": self.target, "maxReceiveCount": self.receives_max })
            .to_string()
    }
}

impl RedriveAllow {
    fn parse(text: &str) -> Result<Option<Self>, Refusal> {
        let refuse = |reason: &str| Err(Refusal::value(text, "RedriveAllowPolicy", reason));
        if text.is_empty() {
            return Ok(None);
        }
        let Ok(Value::Object(policy)) = serde_json::from_str(text) else {
            return refuse("Redrive allow policy is not a valid JSON map.");
        };
        let known = ["redrivePermission", "sourceQueueArns"];
        if policy.keys().any(|name| !known.contains(&&**name)) {
            return refuse(
                "Only following attributes are supported: [redrivePermission, sourceQueueArns].",
            );
        }
        let sources = policy.get("sourceQueueArns");
        let permission = policy.get("redrivePermission").map(Value::as_str);
        let allow = match permission {
            None if sources.is_none() && policy.is_empty() => return Ok(None),
            Some(Some("allowAll")) => Self::All,
            Some(Some("denyAll")) => Self::None,
            Some(Some("byQueue")) => {
                let arns: Option<Vec<String>> = sources.and_then(Value::as_array).and_then(|it| {
                    it.iter()
                        .map(|arn| arn.as_str().filter(|arn| arn::queue_name(arn).is_some()))
                        .map(|arn| arn.map(str::to_owned))
                        .collect()
                });
                return match arns {
                    Some(arns) if (1..=SOURCE_QUEUES_MAX).contains(&arns.len()) => {
                        Ok(Some(Self::ByQueue(arns)))
                    }
                    _ => refuse(
                        "sourceQueueArns must be a list of 1 to 10 ARNs of queues with byQueue.",
                    ),
                };
            }
            _ => return refuse("redrivePermission must be one of allowAll, denyAll and byQueue."),
        };
        if sources.is_some() {
            return refuse("sourceQueueArns can be given with byQueue alone.");
        }
        Ok(Some(allow))
    }

    fn to_text(&self) -> String {
        match self {
            Self::All => json!({ "redrivePermission": "allowAll" }),
            Self::None => json!({ "redrivePermission": "denyAll" }),
            Self::ByQueue(arns) => {
                json!({ "redrivePermission": "byQueue", "sourceQueueArns": arns })
            }
        }
        .to_string()
    }

    /// Whether a queue of this ARN may send its dead letters here.
    pub(super) fn allows(&self, source: &str) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::ByQueue(arns) => arns.iter().any(|arn| arn == source),
        }
    }
}

fn fifo_mismatch(is_fifo: bool) -> Refusal {
    if is_fifo {
        let message = "The attribute FifoQueue must be true for a queue whose name ends with .fifo, and cannot be changed.";
        return Refusal::new(Code::InvalidAttributeValue, message);
    }
    Refusal::new(
        Code::InvalidParameterValue,
        "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, must end with .fifo \
         suffix and be 1 to 80 in length.",
    )
}

fn invalid(name: &str) -> Refusal {
    Refusal::new(Code::InvalidAttributeValue, format!("Invalid value for the parameter {name}."))
}

fn number(name: &str, value: &str, range: std::ops::RangeInclusive<i64>) -> Result<i64, Refusal> {
    value.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| invalid(name))
}

fn boolean(name: &str, value: &str) -> Result<bool, Refusal> {
    one_of(name, value, ["false", "true"])
}

/// Whether it is the second of two.
fn one_of(name: &str, value: &str, choices: [&str; 2]) -> Result<bool, Refusal> {
    choices
        .iter()
        .position(|choice| *choice == value)
        .map(|it| it == 1)
        .ok_or_else(|| invalid(name))
}

fn policy(text: &str) -> Result<String, Refusal> {
    match serde_json::from_str(text) {
        Ok(Value::Object(_)) => Ok(text.to_owned()),
        _ => Err(invalid("Policy")),
    }
}
