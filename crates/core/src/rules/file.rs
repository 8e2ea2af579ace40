//! The rules file as it is written: the types that its JSON Schema is derived from.
//!
//! `compile` makes a [`super::Rules`] of it. Where a part reaches AWS as JSON (the
//! target, the task definitions, the event patterns) the schema is that of the
//! typed shape, and the value stays JSON, so that nothing is lost on the way.
//! What `defaults` may supply is optional here.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use super::{schedule::Missed, target::Payload};
use crate::{ecs, pace};

/// A Taskferry rules file: which events start which ECS tasks.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields, title = "Taskferry rules")]
pub(super) struct File {
    /// Name of the stack: 1 to 64 letters, digits, `-` and `_`.
    pub(super) name: String,
    /// What every rule has unless it says otherwise. Maps are merged key by key; lists and plain
    /// values in a rule replace those given here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) defaults: Option<Defaults>,
    /// Task definitions that this project owns, by family.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<BTreeMap<String, ecs::TaskDefinition>>")]
    pub(super) task_definitions: Option<BTreeMap<String, Value>>,
    /// The rules. An event that matches several starts several runs.
    pub(super) rules: Vec<Rule>,
    /// Limits that several rules share, by name: a rule joins one with `concurrency.group`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) limits: Option<BTreeMap<String, Limit>>,
    /// The most runs of all rules together that may be under way at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) concurrency: Option<Limit>,
    /// Whether runs tell of their beginnings and ends on the event bus `default`, with source `taskferry`, though no rule
    /// here listens: for other programs. What rules listen to is told in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lifecycle_events: Option<bool>,
    /// For how long the record of a run is kept after its end, with its event: one day to 366 days, such as `90 days`;
    /// 30 days when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["90 days"]))]
    pub(super) retention: Option<String>,
    /// The account's quotas of ECS, where they were raised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) quotas: Option<Quotas>,
    /// What holds on a developer's machine only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) local: Option<Local>,
}

/// What every rule has unless it says otherwise.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct Defaults {
    /// Part of a `RunTask` request.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<ecs::RunTask>")]
    target: Option<Value>,
    /// Key by which repeated events are told from new ones; a template.
    #[serde(skip_serializing_if = "Option::is_none")]
    dedupe: Option<String>,
    /// Values that templates in privileged fields may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    allow: Option<BTreeMap<String, Vec<String>>>,
    /// Has the whole event passed to the task.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Payload>,
    /// How many runs may be under way at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    concurrency: Option<Concurrency>,
    /// How often a failed run is attempted again.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry: Option<Retry>,
    /// How long a run may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<Timeout>,
}

/// A rule: the events it is for, and the task that each of them starts.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields, extend("examples" = [{
    "name": "thumbnails", "on": { "s3": { "bucket": "uploads" } },
    "target": { "taskDefinition": "thumbnailer" },
}]))]
pub(super) struct Rule {
    /// Name, unique in the file: 1 to 64 letters, digits, `-` and `_`.
    pub(super) name: String,
    /// What the rule is for, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    /// Where its events come from.
    pub(super) on: On,
    /// The `RunTask` request. Every string in it may be a template over the event.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    #[schemars(with = "Option<ecs::RunTask>")]
    pub(super) target: Value,
    /// Key by which repeated events are told from new ones; a template. The event's id when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dedupe: Option<String>,
    /// Values that templates in privileged fields may take, by field, such as
    /// `taskDefinition: [small, large]`. Without it such a field may hold no template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) allow: Option<BTreeMap<String, Vec<String>>>,
    /// Has the whole event passed to the task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) payload: Option<Payload>,
    /// How many runs may be under way at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) concurrency: Option<Concurrency>,
    /// How often a failed run is attempted again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) retry: Option<Retry>,
    /// How long a run may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) timeout: Option<Timeout>,
}

/// Where a rule's events come from: exactly one of `s3`, `schedule`, `sqs` and `eventPattern`. Beside `s3` and `eventPattern`,
/// `sqs` is the queue through which they come.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields, extend("examples" = [{ "s3": { "bucket": "uploads" } }], "oneOf" = [
    { "required": ["s3"] }, { "required": ["schedule"] }, { "required": ["eventPattern"] },
    { "required": ["sqs"], "not": { "anyOf": [{ "required": ["s3"] }, { "required": ["eventPattern"] }] } },
]))]
pub(super) struct On {
    /// Objects of an S3 bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) s3: Option<S3>,
    /// A schedule: `rate(5 minutes)`, `cron(0 3 * * ? *)` or `at(2027-01-31T09:00:00)`; also `@daily`, `@every 90m` and
    /// the five fields of cron.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) schedule: Option<String>,
    /// Time zone of the schedule, such as `Asia/Seoul`; UTC when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["Asia/Seoul"]))]
    pub(super) timezone: Option<String>,
    /// When the schedule begins, such as `2027-01-01T00:00:00Z`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["2027-01-01T00:00:00Z"]))]
    pub(super) start: Option<String>,
    /// When the schedule ends, such as `2027-12-31T00:00:00Z`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["2027-12-31T00:00:00Z"]))]
    pub(super) end: Option<String>,
    /// Within which time of the schedule AWS may choose when it fires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) flexible_time_window: Option<FlexibleTimeWindow>,
    /// What the event of the schedule carries as `detail.input`: any JSON, each string of it may be a template over the
    /// rest of the event, such as `{{ detail.scheduledTime }}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Value>")]
    pub(super) input: Option<Box<RawValue>>,
    /// What becomes of the times that came while nothing ran on this machine; `skip` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) missed: Option<Missed>,
    /// Messages of an SQS queue; beside `s3` or `eventPattern`, the queue whose messages carry their events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sqs: Option<Sqs>,
    /// Beside `s3`, the SNS topic that the bucket notifies, and that passes it on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sns: Option<Sns>,
    /// Events on an event bus that match this EventBridge event pattern.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<BTreeMap<String, Value>>")]
    pub(super) event_pattern: Option<Box<RawValue>>,
    /// Name or ARN of the event bus; `default` when absent. Beside `s3`, the bus through which the bucket's events come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bus: Option<String>,
}

/// Within which time of a schedule AWS may choose when it fires, to spread what all start at the full hour.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields, extend("examples" = [{ "mode": "FLEXIBLE", "maximumWindowInMinutes": 15 }]))]
pub(super) struct FlexibleTimeWindow {
    /// Whether there is a window.
    pub(super) mode: FlexibleTimeWindowMode,
    /// How long it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1440))]
    pub(super) maximum_window_in_minutes: Option<u32>,
}

/// Whether there is a window.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum FlexibleTimeWindowMode {
    /// None: it fires at its time.
    Off,
    /// One of `maximumWindowInMinutes`.
    Flexible,
}

/// Objects of an S3 bucket.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields, extend("examples" = [{ "bucket": "uploads" }]))]
pub(super) struct S3 {
    /// Name of the bucket. With `*` in it, those of several, by way of `bus` or `sqs`.
    pub(super) bucket: String,
    /// What keys begin with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) prefix: Option<String>,
    /// What keys end with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) suffix: Option<String>,
    /// S3's event types; `[s3:ObjectCreated:*]` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub(super) events: Option<Vec<String>>,
    /// Event pattern for the rest of the event's `detail`, such as `object: { size: [{ numeric: [">", 0] }] }`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<BTreeMap<String, Value>>")]
    pub(super) event_pattern: Option<Box<RawValue>>,
}

/// The SNS topic that passes a bucket's notifications on.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields, extend("examples" = [{ "topic": "uploads" }]))]
pub(super) struct Sns {
    /// Name or ARN of the topic.
    pub(super) topic: String,
}

/// Messages of an SQS queue.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields, extend("examples" = [{ "queue": "orders" }]))]
pub(super) struct Sqs {
    /// Name or ARN of the queue.
    pub(super) queue: String,
    /// Event pattern for the event's `detail`: `body`, `messageAttributes`, `messageId`,
    /// `messageGroupId`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<BTreeMap<String, Value>>")]
    pub(super) event_pattern: Option<Box<RawValue>>,
    /// When a message is deleted from the queue; `record` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ack: Option<super::Ack>,
    /// The most messages that the function takes at a time; 10 when absent, and at most in a FIFO queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub(super) batch_size: Option<u32>,
    /// How long it is waited for a batch to fill, such as `5s`; not at all when absent, and 1s with more than 10 messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["5s"]))]
    pub(super) batching_window: Option<String>,
    /// The most batches of the queue that are taken at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 1000))]
    pub(super) maximum_concurrency: Option<u32>,
}

/// A limit on runs under way.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct Limit {
    /// The most runs at once.
    #[schemars(range(min = 1, max = 1000))]
    pub(super) limit: u32,
}

/// The account's quotas of ECS calls in its Region; those of a new account where nothing is said.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct Quotas {
    /// Calls of `RunTask` on Fargate; 20 a second, 20 at once, when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) run_task: Option<super::Quota>,
    /// Tasks launched on Fargate; 20 a second, 100 at once, when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fargate: Option<super::Quota>,
    /// Calls that change a cluster's resources, `RunTask` and `StopTask` among them; 40 a second, 100 at once, when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) modify: Option<super::Quota>,
    /// Calls that read them, such as `DescribeTasks`; 20 a second, 100 at once, when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) read: Option<super::Quota>,
}

impl Quotas {
    /// Those of a new account where nothing is said.
    pub(super) fn compiled(&self) -> pace::Quotas {
        let new = pace::Quotas::default();
        pace::Quotas {
            run_task: self.run_task.unwrap_or(new.run_task),
            fargate: self.fargate.unwrap_or(new.fargate),
            modify: self.modify.unwrap_or(new.modify),
            read: self.read.unwrap_or(new.read),
        }
    }
}

/// How many runs may be under way at once.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields, extend("examples" = [{ "limit": 20 }]))]
pub(super) struct Concurrency {
    /// The most runs at once, per key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub(super) limit: Option<u32>,
    /// A limit of `limits` that the rule shares with others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) group: Option<String>,
    /// What the rule's own `limit` is counted by; a template. The whole rule when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<String>,
    /// What becomes of an event while the limit is reached; `queue` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) overlap: Option<super::Overlap>,
}

/// How often a failed run is attempted again.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields, extend("examples" = [{ "attempts": 3 }]))]
pub(super) struct Retry {
    /// Attempts that may end in failures of the task's own, the first included: `exitCode`, `outOfMemory` and `timedOut`
    /// are counted together. 1 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub(super) attempts: Option<u32>,
    /// The waits after such failures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) backoff: Option<Backoff>,
    /// Exit codes that are worth another attempt; every one but 0 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub(super) exit_codes: Option<Vec<i32>>,
    /// What holds for single failure classes instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) classes: Option<RetryClasses>,
}

/// What holds for single failure classes instead. What AWS does wrong is tried again without a word, and never spends the
/// rule's `attempts`.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct RetryClasses {
    /// AWS asked for fewer calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) throttled: Option<RetryClass>,
    /// There was no room for the task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) capacity: Option<RetryClass>,
    /// The container agent of the instance was not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) agent: Option<RetryClass>,
    /// The image could not be pulled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) image_pull: Option<RetryClass>,
    /// Secrets, logs, network or volumes could not be set up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) initialization: Option<RetryClass>,
    /// Spot capacity was taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) spot_interruption: Option<RetryClass>,
    /// The host, or ECS itself, failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) infrastructure: Option<RetryClass>,
    /// A container wanted more memory than it had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) out_of_memory: Option<RetryClass>,
    /// A limit of time ended the attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) timed_out: Option<RetryClass>,
}

/// What holds for one failure class.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct RetryClass {
    /// Attempts that may end in this class; 1 to have none follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub(super) attempts: Option<u32>,
    /// The waits after them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) backoff: Option<Backoff>,
    /// Whether the next attempt's request may be changed to fit: more memory after `outOfMemory`, on demand after
    /// `spotInterruption`, the next subnet or capacity provider after `capacity`. True when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) change_request: Option<bool>,
}

/// The waits between attempts: each is drawn between `min` and a bound that doubles with each failure, up to `max`.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields, extend("examples" = [{ "min": "10s", "max": "10m" }]))]
pub(super) struct Backoff {
    /// The shortest wait, such as `10s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["10s"]))]
    pub(super) min: Option<String>,
    /// The longest wait, such as `10m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["10m"]))]
    pub(super) max: Option<String>,
}

/// How long a run may take.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields, extend("examples" = [{ "run": "1h 30m" }]))]
pub(super) struct Timeout {
    /// From `RunTask` until the task runs, such as `15m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["15m"]))]
    pub(super) start: Option<String>,
    /// For which the task runs, such as `1h 30m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["1h 30m"]))]
    pub(super) run: Option<String>,
    /// For the whole run, waits and attempts included, such as `1d`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["1d"]))]
    pub(super) total: Option<String>,
}

/// What holds on a developer's machine only.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct Local {
    /// How containers run here, by `family/container`.
    #[serde(default)]
    pub(super) containers: BTreeMap<String, super::LocalContainer>,
}
