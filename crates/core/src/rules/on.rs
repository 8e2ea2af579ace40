//! Where a rule's events come from, and the event pattern that its sugar stands for.
//!
//! Every source ends in one event pattern, so routing knows nothing of sources.

use serde_json::{Value, json};

use super::{file, input, schedule::OnSchedule};
use crate::{event::schedule, schedule::Error as ScheduleError};

/// Where a rule's events come from: what has to be wired.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum On {
    /// Objects of an S3 bucket.
    S3 {
        /// Name of the bucket.
        bucket: String,
        /// What keys begin with.
        prefix: Option<String>,
        /// What keys end with.
        suffix: Option<String>,
        /// S3's event types, `s3:ObjectCreated:*` unless the rule says others.
        events: Vec<String>,
    },
    /// Events on an event bus.
    EventPattern {
        /// Name or ARN of the bus, `default` unless the rule says another.
        bus: String,
    },
    /// A schedule.
    Schedule(Box<OnSchedule>),
    /// Messages of an SQS queue.
    Sqs {
        /// Name or ARN of the queue.
        queue: String,
    },
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
    Window,
    /// The input of a schedule.
    #[error("`input` is refused")]
    Input(#[source] Box<input::Error>),
}

/// A member of `detail` that tells event types of one detail type apart, and its value.
type ToldBy = Option<(&'static str, &'static str)>;

/// S3's event types, the EventBridge detail type of each, and the reason or deletion type that
/// tells it from others of that detail type.
///
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-mapping-troubleshooting.html>
const S3_EVENTS: &[(&str, &str, ToldBy)] = &[
    ("s3:ObjectCreated:*", "Object Created", None),
    ("s3:ObjectCreated:Put", "Object Created", Some(("reason", "PutObject"))),
    ("s3:ObjectCreated:Post", "Object Created", Some(("reason", "POST Object"))),
    ("s3:ObjectCreated:Copy", "Object Created", Some(("reason", "CopyObject"))),
    (
        "s3:ObjectCreated:CompleteMultipartUpload",
        "Object Created",
        Some(("reason", "CompleteMultipartUpload")),
    ),
    ("s3:ObjectRemoved:*", "Object Deleted", None),
    ("s3:ObjectRemoved:Delete", "Object Deleted", Some(("deletion-type", "Permanently Deleted"))),
    (
        "s3:ObjectRemoved:DeleteMarkerCreated",
        "Object Deleted",
        Some(("deletion-type", "Delete Marker Created")),
    ),
    ("s3:ObjectRestore:Post", "Object Restore Initiated", None),
    ("s3:ObjectRestore:Completed", "Object Restore Completed", None),
    ("s3:ObjectRestore:Delete", "Object Restore Expired", None),
    ("s3:LifecycleTransition", "Object Storage Class Changed", None),
    ("s3:IntelligentTiering", "Object Access Tier Changed", None),
    ("s3:ObjectAcl:Put", "Object ACL Updated", None),
    ("s3:ObjectTagging:Put", "Object Tags Added", None),
    ("s3:ObjectTagging:Delete", "Object Tags Deleted", None),
];

const S3_EVENT_USUAL: &str = "s3:ObjectCreated:*";

/// The S3 event types that a rule may be on.
pub(super) fn s3_events() -> impl Iterator<Item = &'static str> {
    S3_EVENTS.iter().map(|(event, ..)| *event)
}

/// The source that `raw` says, and the JSON text of what an event must match.
pub(super) fn compile(rule: &str, raw: &file::On) -> Result<(On, String), Error> {
    match (&raw.s3, &raw.schedule, &raw.sqs, &raw.event_pattern) {
        (Some(s3), None, None, None) => compile_s3(s3),
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
            // Spliced as text, so that numbers stay as they are written.
            let detail = sqs.event_pattern.as_ref().map(|pattern| pattern.get());
            let detail = detail.map_or(String::new(), |detail| format!(r#","detail":{detail}"#));
            let queue = sqs.queue.rsplit([':', '/']).next().unwrap_or(&sqs.queue);
            let suffix = Value::from(format!(":{queue}"));
            let pattern =
                format!(r#"{{"source":["aws.sqs"],"resources":[{{"suffix":{suffix}}}]{detail}}}"#);
            Ok((On::Sqs { queue: sqs.queue.clone() }, pattern))
        }
        (None, None, None, Some(pattern)) => {
            let bus = raw.bus.clone().unwrap_or_else(|| "default".to_owned());
            Ok((On::EventPattern { bus }, pattern.get().to_owned()))
        }
        _ => Err(Error::NotOne),
    }
}

/// Reads a point in time, such as `2027-01-01T00:00:00Z`.
pub(super) fn time(text: Option<&String>) -> Result<Option<jiff::Timestamp>, Error> {
    text.map(|text| text.parse().map_err(|_| Error::Time { text: text.clone() })).transpose()
}

fn compile_s3(raw: &file::S3) -> Result<(On, String), Error> {
    let events = raw.events.clone().unwrap_or_else(|| vec![S3_EVENT_USUAL.to_owned()]);
    let mut wanted = Vec::new();
    for event in &events {
        let known = S3_EVENTS.iter().find(|(name, ..)| name == event);
        let Some((_, detail_type, told_by)) = known else {
            return Err(Error::S3Event { event: event.clone() });
        };
        wanted.push((*detail_type, *told_by));
    }
    let pattern = s3_pattern(raw, &wanted);
    let on = On::S3 {
        bucket: raw.bucket.clone(),
        prefix: raw.prefix.clone(),
        suffix: raw.suffix.clone(),
        events,
    };
    Ok((on, pattern.to_string()))
}

fn s3_pattern(raw: &file::S3, wanted: &[(&str, Option<(&str, &str)>)]) -> Value {
    let mut detail = json!({ "bucket": { "name": [raw.bucket] } });
    if let Some(key) = key_clauses(
        raw.prefix.as_deref().unwrap_or_default(),
        raw.suffix.as_deref().unwrap_or_default(),
    ) {
        detail["object"] = json!({ "key": key });
    }
    let mut pattern = json!({ "source": ["aws.s3"], "detail": detail });
    if wanted.iter().all(|(_, told_by)| told_by.is_none()) {
        let mut types: Vec<_> = wanted.iter().map(|(detail_type, _)| *detail_type).collect();
        types.sort_unstable();
        types.dedup();
        pattern["detail-type"] = json!(types);
        return pattern;
    }
    let one = |(detail_type, told_by): &(&str, Option<(&str, &str)>)| {
        let mut one = json!({ "detail-type": [detail_type] });
        if let Some((field, value)) = told_by {
            one["detail"] = json!({ *field: [value] });
        }
        one
    };
    if let [only] = wanted {
        let only = one(only);
        pattern["detail-type"] = only["detail-type"].clone();
        if let Value::Object(told_by) = &only["detail"] {
            for (field, value) in told_by {
                pattern["detail"][field] = value.clone();
            }
        }
    } else {
        pattern["$or"] = wanted.iter().map(one).collect();
    }
    pattern
}

/// What a key must be to begin with `prefix` and end with `suffix`; `None` if any will do.
fn key_clauses(prefix: &str, suffix: &str) -> Option<Vec<Value>> {
    if prefix.is_empty() && suffix.is_empty() {
        return None;
    }
    if suffix.is_empty() {
        return Some(vec![json!({ "prefix": prefix })]);
    }
    if prefix.is_empty() {
        return Some(vec![json!({ "suffix": suffix })]);
    }
    // EventBridge ands nothing within one field, so both go into one wildcard.
    let escaped = |text: &str| text.replace('\\', r"\\").replace('*', r"\*");
    let mut clauses =
        vec![json!({ "wildcard": format!("{}*{}", escaped(prefix), escaped(suffix)) })];
    // Prefix and suffix may overlap in a key, which the wildcard does not see: `a.` and `.b` both
    // hold for `a.b`.
    for (shared, _) in suffix.char_indices().skip(1).chain([(suffix.len(), ' ')]) {
        if prefix.ends_with(&suffix[..shared]) {
            clauses.push(json!(format!("{prefix}{}", &suffix[shared..])));
        }
    }
    // The other way round, one holds the other whole; or the key is the suffix alone.
    if suffix.starts_with(prefix) && suffix != prefix {
        clauses.push(json!(suffix));
    }
    clauses.dedup();
    Some(clauses)
}

#[cfg(test)]
mod tests {
    use taskferry_event_pattern::{EventPattern, Matcher};

    use super::*;

    fn s3(prefix: &str, suffix: &str, events: &[&str]) -> String {
        let events = events.iter().map(|event| (*event).to_owned()).collect();
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let raw = file::S3 {
            bucket: "uploads".into(),
            prefix: text(prefix),
            suffix: text(suffix),
            events: Some(events),
        };
        compile_s3(&raw).unwrap().1
    }

    #[track_caller]
    fn check(prefix: &str, suffix: &str, key: &str, expected: bool) {
        let pattern = EventPattern::parse(&s3(prefix, suffix, &[S3_EVENT_USUAL])).unwrap();
        let event = json!({
            "source": "aws.s3", "detail-type": "Object Created",
            "detail": { "bucket": { "name": "uploads" }, "object": { "key": key } },
        });
        let matches = Matcher::new([pattern]).matches(&event.to_string()).unwrap();
        assert_eq!(matches == [0], expected, "{prefix} {suffix} {key}");
    }

    #[test]
    fn prefix_and_suffix_both_hold() {
        check("in/", ".jpg", "in/a.jpg", true);
        check("in/", ".jpg", "in/.jpg", true);
        check("in/", ".jpg", "out/a.jpg", false);
        check("in/", ".jpg", "in/a.png", false);
        check("", ".jpg", "a.jpg", true);
        check("in/", "", "in/a", true);
        check("", "", "anything", true);
    }

    #[test]
    fn prefix_and_suffix_may_overlap() {
        check("ab", "bc", "abc", true);
        check("ab", "bc", "abbc", true);
        check("ab", "bc", "ac", false);
        check("a.jpg", ".jpg", "a.jpg", true);
        check("a", "abc", "abc", true);
        check("aa", "aa", "aa", true);
        check("aa", "aa", "aaa", true);
        check("é", "é", "é", true);
    }

    #[test]
    fn stars_and_backslashes_are_plain() {
        check("a*", ".x", "a*b.x", true);
        check("a*", ".x", "abb.x", false);
        check(r"a\", ".x", r"a\b.x", true);
    }

    #[test]
    fn event_types_become_detail_types() {
        let pattern = s3("", "", &["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]);
        assert!(pattern.contains(r#""detail-type":["Object Created","Object Deleted"]"#));
        let pattern = s3("", "", &["s3:ObjectCreated:Copy"]);
        assert!(pattern.contains(r#""reason":["CopyObject"]"#));
        let pattern = s3("", "", &["s3:ObjectCreated:Copy", "s3:ObjectRemoved:*"]);
        assert!(pattern.contains("$or"));
        assert!(EventPattern::parse(&pattern).is_ok());
    }
}
