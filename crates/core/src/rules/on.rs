//! Where a rule's events come from, and the event pattern that its sugar stands for.
//!
//! Every source ends in one event pattern, so routing knows nothing of sources.

mod s3;

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

pub(super) use self::s3::{matches_wildcard, s3_events};
use super::{file, input, policy, schedule::OnSchedule};
use crate::{
    event::{schedule, sqs},
    schedule::Error as ScheduleError,
    wiring::HELD_IN_ORDER,
};

/// Where a rule's events come from: what has to be wired.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum On {
    /// Objects of an S3 bucket, of which the bucket's notification tells.
    S3 {
        /// Which objects.
        objects: Objects,
        /// Name or ARN of the SNS topic that passes the bucket's notifications on; `None` if nothing comes between.
        topic: Option<String>,
    },
    /// Events on an event bus.
    EventPattern {
        /// Name or ARN of the bus, `default` unless the rule says another.
        bus: String,
        /// Which objects of S3, where the rule says them.
        objects: Option<Objects>,
    },
    /// A schedule.
    Schedule(Box<OnSchedule>),
    /// Messages of an SQS queue, or the events that they carry.
    Sqs {
        /// Name or ARN of the queue.
        queue: String,
        /// When a message is deleted.
        ack: Ack,
        /// How messages are taken from the queue.
        batches: Batches,
        /// What the rule wants of what the messages carry.
        carried: Carried,
    },
}

/// What a rule wants of what the messages of a queue carry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Carried {
    /// Whatever it is.
    Any,
    /// Events of EventBridge.
    Events,
    /// Changes of objects of S3.
    Objects(Objects),
}

/// Changes of objects of S3, whichever way they are told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Objects {
    /// Name of the bucket; `*` in it stands for any part of a name.
    pub bucket: String,
    /// What keys begin with.
    pub prefix: Option<String>,
    /// What keys end with.
    pub suffix: Option<String>,
    /// S3's event types, `s3:ObjectCreated:*` unless the rule says others.
    pub events: Vec<String>,
}

impl On {
    /// The word for the way by which the events come, as it stands in a rule.
    pub fn word(&self) -> &'static str {
        match self {
            Self::S3 { .. } => "s3",
            Self::EventPattern { .. } => "eventPattern",
            Self::Schedule { .. } => "schedule",
            Self::Sqs { .. } => "sqs",
        }
    }

    /// The objects of S3 that the rule says, whichever way they are told.
    pub fn objects(&self) -> Option<&Objects> {
        match self {
            Self::S3 { objects, .. } | Self::Sqs { carried: Carried::Objects(objects), .. } => {
                Some(objects)
            }
            Self::EventPattern { objects, .. } => objects.as_ref(),
            Self::Sqs { .. } | Self::Schedule { .. } => None,
        }
    }

    /// The name of the queue by which the events come, if they come by one.
    pub fn queue_name(&self) -> Option<&str> {
        match self {
            Self::Sqs { queue, .. } => Some(last_part(queue)),
            Self::S3 { .. } | Self::EventPattern { .. } | Self::Schedule { .. } => None,
        }
    }
}

/// When a message is deleted from its queue.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Ack {
    /// As soon as its runs are durably recorded.
    #[default]
    Record,
    /// When its runs have ended, however they did; until then it stays in flight.
    Completion,
}

/// How messages are taken from a queue; what Lambda takes for granted where nothing is said.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Batches {
    /// The most messages at a time.
    pub size: Option<u32>,
    /// How long it is waited for a batch to fill.
    pub window: Option<Duration>,
    /// The most batches at once.
    pub maximum_concurrency: Option<u32>,
}

/// The longest that Lambda waits for a batch to fill.
///
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html>
const WINDOW_MAX: Duration = Duration::from_mins(5);

/// The most messages that Lambda takes at a time from a FIFO queue.
pub(super) const FIFO_BATCH_SIZE_MAX: u32 = 10;

/// The name in an ARN or a URL, or the name itself.
pub(crate) fn last_part(name_or_arn: &str) -> &str {
    name_or_arn.rsplit([':', '/']).next().unwrap_or(name_or_arn)
}

/// The name of a bus that is given by its name or its ARN. That of a partner's has `/` in it.
pub fn bus_name(name_or_arn: &str) -> &str {
    name_or_arn.split_once(":event-bus/").map_or(name_or_arn, |(_, name)| name)
}

/// Why a source was refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// None, or more than one.
    #[error("a rule has exactly one of `s3`, `schedule`, `sqs` and `eventPattern`")]
    NotOne,
    /// An S3 event type that is none, or that rules cannot be on.
    #[error("`{event}` is not an S3 event type")]
    S3Event {
        /// What the rule says.
        event: String,
    },
    /// Several ways for the same events.
    #[error("a rule's events come one way: `{first}` or `{second}`")]
    Ways {
        /// One way.
        first: &'static str,
        /// Another.
        second: &'static str,
    },
    /// A bucket's name with a wildcard, and no way by which several buckets' events come.
    #[error("`{bucket}` stands for several buckets, and a notification is wired to one")]
    Wildcard {
        /// What the rule says.
        bucket: String,
    },
    /// The further event pattern says something of a member of `detail` that the rule says something of already.
    #[error("`eventPattern` and {by} both say what `{member}` must be")]
    Conflict {
        /// The member, from `detail` on.
        member: String,
        /// What else says it.
        by: &'static str,
    },
    /// The further event pattern is not an object.
    #[error("an event pattern is a map")]
    Pattern(#[source] serde_json::Error),
    /// A batching window that is no duration.
    #[error(transparent)]
    Duration(#[from] policy::Error),
    /// A batching window that Lambda does not take.
    #[error("`{text}` is out of range: at most 300 s are allowed, and none for a FIFO queue")]
    Window {
        /// What the rule says.
        text: String,
    },
    /// A batch that Lambda does not take from a FIFO queue.
    #[error("a FIFO queue gives {FIFO_BATCH_SIZE_MAX} messages at a time at most")]
    FifoBatch,
    /// A batch of messages that wait for one another.
    #[error("with `ack: completion` a FIFO queue gives {HELD_IN_ORDER} message at a time")]
    HeldBatch,
    /// A time that is none.
    #[error("`{text}` is not a time")]
    Time {
        /// What the rule says.
        text: String,
    },
    /// A schedule or a time zone that is none.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// A flexible time window without its length, or a length without a window.
    #[error(
        "a flexible time window has `mode: FLEXIBLE` and `maximumWindowInMinutes` from 1 to 1440"
    )]
    FlexibleWindow,
    /// The input of a schedule.
    #[error("`input` is refused")]
    Input(#[source] Box<input::Error>),
}

/// The source that `raw` says, and the JSON text of what an event must match.
pub(super) fn compile(rule: &str, raw: &file::On) -> Result<(On, String), Error> {
    match (&raw.s3, &raw.schedule, &raw.sqs, &raw.event_pattern) {
        (Some(s3), None, sqs, None) => {
            let pattern = s3::pattern(s3)?;
            Ok((s3_on(raw, s3, sqs.as_ref())?, pattern))
        }
        (None, Some(expression), None, None) => {
            // One's own schedules only: each says which rule it is for.
            let pattern = json!({
                "source": [schedule::SOURCE],
                "detail-type": [schedule::DETAIL_TYPE],
                "detail": { "rule": [rule] },
            });
            let on = OnSchedule::compile(expression, raw)?;
            Ok((On::Schedule(Box::new(on)), pattern.to_string()))
        }
        (None, None, Some(sqs), None) => {
            // Spliced as text, so that numbers stay as they are written. A pattern must ask for something, and whatever the
            // queue brings has a source.
            let detail = sqs.event_pattern.as_ref().map(|pattern| pattern.get());
            let detail = detail.map_or(String::new(), |detail| format!(r#","detail":{detail}"#));
            let pattern = format!(r#"{{"source":[{{"exists":true}}]{detail}}}"#);
            Ok((sqs_on(sqs, Carried::Any)?, pattern))
        }
        (None, None, Some(sqs), Some(pattern)) => {
            one_way(raw)?;
            if sqs.event_pattern.is_some() {
                let member = "detail".to_owned();
                return Err(Error::Conflict { member, by: "`sqs.eventPattern`" });
            }
            Ok((sqs_on(sqs, Carried::Events)?, pattern.get().to_owned()))
        }
        (None, None, None, Some(pattern)) => {
            let bus = raw.bus.clone().unwrap_or_else(|| "default".to_owned());
            Ok((On::EventPattern { bus, objects: None }, pattern.get().to_owned()))
        }
        _ => Err(Error::NotOne),
    }
}

/// Refuses all but one of the ways that events can come by.
fn one_way(raw: &file::On) -> Result<(), Error> {
    let ways = [("sqs", raw.sqs.is_some()), ("sns", raw.sns.is_some()), ("bus", raw.bus.is_some())];
    let mut said = ways.into_iter().filter_map(|(way, is_said)| is_said.then_some(way));
    match (said.next(), said.next()) {
        (Some(first), Some(second)) => Err(Error::Ways { first, second }),
        _ => Ok(()),
    }
}

/// How the events of a bucket come: by its own notification, or by what the rule names.
fn s3_on(raw: &file::On, s3: &file::S3, sqs: Option<&file::Sqs>) -> Result<On, Error> {
    one_way(raw)?;
    let objects = Objects {
        bucket: s3.bucket.clone(),
        prefix: s3.prefix.clone(),
        suffix: s3.suffix.clone(),
        events: s3::event_types(s3),
    };
    if let Some(sqs) = sqs {
        if sqs.event_pattern.is_some() {
            return Err(Error::Conflict { member: "detail".to_owned(), by: "`sqs.eventPattern`" });
        }
        return sqs_on(sqs, Carried::Objects(objects));
    }
    if let Some(bus) = &raw.bus {
        return Ok(On::EventPattern { bus: bus.clone(), objects: Some(objects) });
    }
    if s3.bucket.contains('*') && raw.sns.is_none() {
        return Err(Error::Wildcard { bucket: s3.bucket.clone() });
    }
    Ok(On::S3 { objects, topic: raw.sns.as_ref().map(|sns| sns.topic.clone()) })
}

fn sqs_on(raw: &file::Sqs, carried: Carried) -> Result<On, Error> {
    let is_fifo = sqs::is_fifo(&raw.queue);
    if is_fifo && raw.batch_size.is_some_and(|size| size > FIFO_BATCH_SIZE_MAX) {
        return Err(Error::FifoBatch);
    }
    let ack = raw.ack.unwrap_or_default();
    if is_fifo && ack == Ack::Completion && raw.batch_size.is_some_and(|size| size > HELD_IN_ORDER)
    {
        return Err(Error::HeldBatch);
    }
    let window = raw.batching_window.as_deref().map(|text| window(text, is_fifo)).transpose()?;
    let batches =
        Batches { size: raw.batch_size, window, maximum_concurrency: raw.maximum_concurrency };
    Ok(On::Sqs { queue: raw.queue.clone(), ack, batches, carried })
}

/// Reads how long it is waited for a batch of a queue to fill.
pub(super) fn window(text: &str, is_fifo: bool) -> Result<Duration, Error> {
    let window = policy::parse_duration(text)?;
    // https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html: there is no window for FIFO queues.
    if window > WINDOW_MAX || is_fifo {
        return Err(Error::Window { text: text.to_owned() });
    }
    Ok(window)
}

/// Reads a point in time, such as `2027-01-01T00:00:00Z`.
pub(super) fn time(text: Option<&String>) -> Result<Option<jiff::Timestamp>, Error> {
    text.map(|text| text.parse().map_err(|_| Error::Time { text: text.clone() })).transpose()
}

#[cfg(test)]
mod tests {
    use taskferry_event_pattern::EventPattern;

    use super::*;

    fn on(text: &str) -> Result<(On, String), Error> {
        compile("rule", &serde_json::from_str(text).unwrap())
    }

    #[test]
    fn a_further_pattern_is_added_as_it_is_written() {
        let said = r#"{"s3":{"bucket":"uploads","prefix":"in/","eventPattern":{"object":{"size":[{"numeric":[">",1.10]}]},"reason":["PutObject"]}}}"#;
        let (_, pattern) = on(said).unwrap();
        assert!(pattern.contains(r#""size":[{"numeric":[">",1.10]}]"#), "{pattern}");
        assert!(pattern.contains(r#""key":[{"prefix":"in/"}]"#), "{pattern}");
        assert!(EventPattern::parse(&pattern).is_ok());
    }

    #[test]
    fn one_field_is_said_once() {
        for (pattern, expected) in [
            (
                r#"{"bucket":["a"]}"#,
                "`eventPattern` and `bucket` both say what `detail.bucket` must be",
            ),
            (
                r#"{"bucket":{"name":["a"]}}"#,
                "`eventPattern` and `bucket` both say what `detail.bucket.name` must be",
            ),
            (
                r#"{"object":{"key":["a"]}}"#,
                "`eventPattern` and `prefix` or `suffix` both say what `detail.object.key` must be",
            ),
            (
                r#"{"object.key":["a"]}"#,
                "`eventPattern` and `prefix` or `suffix` both say what `detail.object.key` must be",
            ),
            (
                r#"{"reason":["a"]}"#,
                "`eventPattern` and `events` both say what `detail.reason` must be",
            ),
        ] {
            for events in [
                r#"["s3:ObjectCreated:Put"]"#,
                r#"["s3:ObjectCreated:Put","s3:ObjectCreated:Copy"]"#,
            ] {
                let said = format!(
                    r#"{{"s3":{{"bucket":"u","prefix":"p","events":{events},"eventPattern":{pattern}}}}}"#
                );
                assert_eq!(on(&said).unwrap_err().to_string(), expected);
            }
        }
    }

    #[test]
    fn a_wildcard_needs_a_way_for_several_buckets() {
        assert!(matches!(on(r#"{"s3":{"bucket":"up-*"}}"#), Err(Error::Wildcard { .. })));
        let (way, pattern) = on(r#"{"s3":{"bucket":"up-*"},"bus":"default"}"#).unwrap();
        assert!(matches!(&way, On::EventPattern { bus, .. } if bus == "default"));
        assert_eq!(way.objects().map(|objects| objects.bucket.as_str()), Some("up-*"));
        assert!(pattern.contains(r#"{"wildcard":"up-*"}"#), "{pattern}");
        let (way, _) = on(r#"{"s3":{"bucket":"up-*"},"sqs":{"queue":"q"}}"#).unwrap();
        assert_eq!(way.queue_name(), Some("q"));
    }

    #[test]
    fn events_come_one_way() {
        let both = r#"{"s3":{"bucket":"u"},"sqs":{"queue":"q"},"bus":"b"}"#;
        assert!(matches!(on(both), Err(Error::Ways { .. })));
        let both = r#"{"s3":{"bucket":"u"},"sqs":{"queue":"q"},"sns":{"topic":"t"}}"#;
        assert!(matches!(on(both), Err(Error::Ways { .. })));
        let both = r#"{"eventPattern":{"source":["a"]},"sqs":{"queue":"q"},"bus":"b"}"#;
        assert!(matches!(on(both), Err(Error::Ways { .. })));
    }

    #[test]
    fn what_lambda_does_not_take_of_a_queue_is_refused() {
        assert!(on(r#"{"sqs":{"queue":"q","batchSize":10000,"batchingWindow":"5m"}}"#).is_ok());
        for said in [
            r#"{"sqs":{"queue":"q","batchingWindow":"301s"}}"#,
            r#"{"sqs":{"queue":"q.fifo","batchingWindow":"1s"}}"#,
            r#"{"sqs":{"queue":"q.fifo","batchSize":11}}"#,
            r#"{"sqs":{"queue":"q","batchingWindow":"soon"}}"#,
        ] {
            assert!(on(said).is_err(), "{said}");
        }
    }
}
