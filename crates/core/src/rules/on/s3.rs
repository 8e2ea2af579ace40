//! The event pattern that `on: s3` stands for.
//!
//! One for all ways by which S3's events come: each ends in EventBridge's shape.

use std::collections::BTreeMap;

use serde_json::{Value, json, value::RawValue};

use super::Error;
use crate::rules::file;

/// Whether a bucket's name is one of those that `pattern` stands for.
pub(in crate::rules) fn matches_wildcard(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(head) else { return false };
    let (between, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
    // The first place where a part fits leaves the most to the next.
    for part in between.split('*') {
        let Some(at) = name.find(part) else { return false };
        name = &name[at + part.len()..];
    }
    name.ends_with(tail)
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
pub(in crate::rules) fn s3_events() -> impl Iterator<Item = &'static str> {
    S3_EVENTS.iter().map(|(event, ..)| *event)
}

/// The event types that the rule is on.
pub(super) fn event_types(raw: &file::S3) -> Vec<String> {
    raw.events.clone().unwrap_or_else(|| vec![S3_EVENT_USUAL.to_owned()])
}

/// What an event must match to be one of those that the rule is for.
pub(super) fn pattern(raw: &file::S3) -> Result<String, Error> {
    let mut wanted = Vec::new();
    for event in event_types(raw) {
        let known = S3_EVENTS.iter().find(|(name, ..)| *name == event);
        let Some((_, detail_type, told_by)) = known else { return Err(Error::S3Event { event }) };
        wanted.push((*detail_type, *told_by));
    }
    let pattern = pattern_of(raw, &wanted);
    match &raw.event_pattern {
        None => Ok(pattern.to_string()),
        Some(further) => {
            let told_by = wanted.iter().filter_map(|(_, told_by)| Some(told_by.as_ref()?.0));
            let told_by: Vec<&str> = told_by.collect();
            intersected(pattern, further, &told_by)
        }
    }
}

/// The pattern with a further one for `detail` in it, as text, so that its numbers stay as they are written.
fn intersected(mut pattern: Value, further: &RawValue, told_by: &[&str]) -> Result<String, Error> {
    let detail = pattern["detail"].take();
    let members: BTreeMap<String, &RawValue> =
        serde_json::from_str(further.get()).map_err(Error::Pattern)?;
    // In a branch of the pattern, and not in its `detail`.
    if let Some(member) = told_by.iter().find(|member| members.contains_key(**member)) {
        let member = format!("detail.{member}");
        return Err(Error::Conflict { member, by: "`events`" });
    }
    let detail = merged(&detail, further, "detail")?;
    let members = pattern.as_object().into_iter().flatten();
    let members = members.filter(|(name, _)| *name != "detail");
    let others = members.map(|(name, value)| format!("{}:{value}", Value::from(name.as_str())));
    let all: Vec<String> = others.chain([format!("\"detail\":{detail}")]).collect();
    Ok(format!("{{{}}}", all.join(",")))
}

/// Both objects in one; what both name must be objects in both.
fn merged(own: &Value, further: &RawValue, at: &str) -> Result<String, Error> {
    let mut further: BTreeMap<String, &RawValue> =
        serde_json::from_str(further.get()).map_err(Error::Pattern)?;
    let mut members = Vec::new();
    for (name, value) in own.as_object().into_iter().flatten() {
        let member = format!("{at}.{name}");
        // With dots a name stands for nested ones.
        let dotted = further.keys().find(|key| key.split('.').next() == Some(name) && *key != name);
        if let Some(dotted) = dotted {
            let member = format!("{at}.{dotted}");
            return Err(Error::Conflict { member, by: said_by(name) });
        }
        let value = match further.remove(name) {
            None => value.to_string(),
            Some(both) if value.is_object() && both.get().starts_with('{') => {
                merged(value, both, &member)?
            }
            Some(_) => return Err(Error::Conflict { member, by: said_by(name) }),
        };
        members.push(format!("{}:{value}", Value::from(name.as_str())));
    }
    members.extend(
        further.iter().map(|(name, value)| format!("{}:{value}", Value::from(name.as_str()))),
    );
    Ok(format!("{{{}}}", members.join(",")))
}

/// Which of the rule's own words says a member of `detail`.
fn said_by(member: &str) -> &'static str {
    match member {
        "bucket" | "name" => "`bucket`",
        "object" | "key" => "`prefix` or `suffix`",
        _ => "`events`",
    }
}

fn pattern_of(raw: &file::S3, wanted: &[(&str, ToldBy)]) -> Value {
    let name = if raw.bucket.contains('*') {
        json!({ "wildcard": raw.bucket })
    } else {
        json!(raw.bucket)
    };
    let mut detail = json!({ "bucket": { "name": [name] } });
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
    let one = |(detail_type, told_by): &(&str, ToldBy)| {
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
            event_pattern: None,
        };
        super::pattern(&raw).unwrap()
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

    #[test]
    fn a_star_is_any_part_of_a_name() {
        for (pattern, name, expected) in [
            ("uploads", "uploads", true),
            ("up-*", "up-a", true),
            ("*", "a", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("ab*ba", "aba", false),
            ("*-eu", "a-us", false),
        ] {
            assert_eq!(matches_wildcard(pattern, name), expected, "{pattern} {name}");
        }
    }
}
