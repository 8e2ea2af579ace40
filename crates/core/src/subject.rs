//! What an event is about, in one word that a list can show: an object, a time, a message.
//!
//! Asked once, when a run is recorded; kept with the record and told in the log. It is the event's word, so whoever prints it
//! escapes it, and nothing is decided by it.

use serde_json::Value;

use crate::event::Event;

/// How many characters of it are kept.
const CHARS_MAX: usize = 200;

/// The object, the scheduled time, the message or the resource that the event is about.
pub fn of(event: &Event) -> Option<String> {
    let value = event.value();
    let detail = &value["detail"];
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let subject = match event.source() {
        "aws.s3" => {
            let object = text(&detail["bucket"]["name"]).zip(text(&detail["object"]["key"]));
            object.map(|(bucket, key)| format!("s3://{bucket}/{key}"))
        }
        "aws.scheduler" => {
            let time = text(&detail["scheduledTime"]);
            time.map(|time| match detail["missed"]["count"].as_u64() {
                None => time,
                Some(0 | 1) => format!("{time}, missed"),
                Some(count) => format!("{time}, the last of {count} missed"),
            })
        }
        "aws.sqs" => text(&detail["messageId"]),
        "aws.ecs" => text(&detail["taskArn"]),
        "taskferry" => text(&detail["runId"]).map(|run| format!("run {run}")),
        _ => None,
    };
    subject.or_else(|| text(&value["resources"][0])).map(|subject| cut(&subject))
}

/// As much as is kept; where something is missing at the end, the last character says so.
fn cut(subject: &str) -> String {
    match subject.char_indices().nth(CHARS_MAX) {
        None => subject.to_owned(),
        Some(_) => subject.chars().take(CHARS_MAX - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(source: &str, detail: &str, expected: Option<&str>) {
        let text = format!(
            r#"{{"id":"e","source":"{source}","detail-type":"T","time":"2026-01-01T00:00:00Z","detail":{detail}}}"#
        );
        assert_eq!(of(&Event::parse(&text).unwrap()).as_deref(), expected);
    }

    #[test]
    fn an_object_is_told_by_its_url() {
        let detail = r#"{"bucket":{"name":"sales"},"object":{"key":"in/a b.csv"}}"#;
        check("aws.s3", detail, Some("s3://sales/in/a b.csv"));
    }

    #[test]
    fn others_are_told_by_what_names_them() {
        check(
            "aws.scheduler",
            r#"{"scheduledTime":"2026-01-01T02:00:00Z"}"#,
            Some("2026-01-01T02:00:00Z"),
        );
        check(
            "aws.scheduler",
            r#"{"scheduledTime":"2026-01-01T02:00:00Z","missed":{"count":3}}"#,
            Some("2026-01-01T02:00:00Z, the last of 3 missed"),
        );
        check("aws.sqs", r#"{"messageId":"m-1"}"#, Some("m-1"));
        check("taskferry", r#"{"runId":"ab"}"#, Some("run ab"));
    }

    #[test]
    fn an_event_that_names_nothing_has_none() {
        check("shop", r#"{"order":1}"#, None);
        check("aws.s3", r#"{"bucket":"sales"}"#, None);
    }

    #[test]
    fn a_long_one_is_cut_where_one_sees_it() {
        let key = "é".repeat(1000);
        let detail = format!(r#"{{"bucket":{{"name":"b"}},"object":{{"key":"{key}"}}}}"#);
        let expected = format!("s3://b/{}…", "é".repeat(CHARS_MAX - 8));
        check("aws.s3", &detail, Some(&expected));
    }
}
