//! A batch of messages as a function gets it, and what its answer says of each.
//!
//! Pure. The shape of the event and the meaning of the answer are Lambda's.

use serde_json::{Map, Value, json};

use crate::{
    identity::REGION,
    sqs::{Received, attributes_md5, queue_arn, system_attributes},
};

/// The event with these messages of a queue.
// https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html, "Example standard queue message event"
pub(super) fn event(queue: &str, messages: &[Received]) -> Value {
    let arn = queue_arn(queue);
    json!({ "Records": messages.iter().map(|message| record(&arn, message)).collect::<Vec<_>>() })
}

fn record(queue_arn: &str, message: &Received) -> Value {
    let attributes = message.attributes.iter().map(|(name, value)| {
        let mut told =
            json!({ "stringListValues": [], "binaryListValues": [], "dataType": value.data_type });
        if let Some(text) = &value.string_value {
            told["stringValue"] = json!(text);
        }
        if let Some(binary) = &value.binary_value {
            told["binaryValue"] = json!(binary);
        }
        (name.clone(), told)
    });
    let mut record = json!({
        "messageId": message.message_id.to_string(),
        "receiptHandle": message.receipt_handle,
        "body": message.body,
        "attributes": system_attributes(message),
        "messageAttributes": attributes.collect::<Map<_, _>>(),
        "md5OfBody": message.body_md5,
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn,
        "awsRegion": REGION,
    });
    if let Some(md5) = attributes_md5(&message.attributes) {
        record["md5OfMessageAttributes"] = json!(md5);
    }
    record
}

/// What a function's answer says of a batch.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// All is done but for the messages at these places.
    DoneBut(Vec<usize>),
    /// Nothing is done, since the answer cannot be understood.
    Malformed(&'static str),
}

/// Reads the answer of a function that reports failures.
// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
// "Lambda treats a batch as a complete success if your function returns: an empty batchItemFailures list, a null
// batchItemFailures list, an empty EventResponse, a null EventResponse. Lambda treats a batch as a complete failure if your
// function returns: an invalid JSON response, an empty string itemIdentifier, a null itemIdentifier, an itemIdentifier with a
// bad key name."
pub(super) fn verdict(answer: &[u8], ids: &[String]) -> Verdict {
    if answer.trim_ascii().is_empty() {
        return Verdict::DoneBut(Vec::new());
    }
    let answer = match serde_json::from_slice(answer) {
        Ok(Value::Object(answer)) => answer,
        Ok(Value::Null) => return Verdict::DoneBut(Vec::new()),
        _ => return Verdict::Malformed("the answer is not a JSON object"),
    };
    let failures = match answer.get("batchItemFailures") {
        None | Some(Value::Null) => return Verdict::DoneBut(Vec::new()),
        Some(Value::Array(failures)) => failures,
        Some(_) => return Verdict::Malformed("batchItemFailures is not a list"),
    };
    let mut failed = Vec::with_capacity(failures.len());
    for failure in failures {
        let Some(id) = failure.get("itemIdentifier").and_then(Value::as_str) else {
            return Verdict::Malformed("an item of batchItemFailures has no itemIdentifier");
        };
        let known = failed.len();
        // All deliveries of it: a message whose visibility timeout is short can be in a batch twice.
        failed.extend(ids.iter().enumerate().filter(|(_, known)| *known == id).map(|(at, _)| at));
        if failed.len() == known {
            return Verdict::Malformed("an itemIdentifier is none of the batch");
        }
    }
    failed.sort_unstable();
    failed.dedup();
    Verdict::DoneBut(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(answer: &str, expected: Option<&[usize]>) {
        let ids = ["a".to_owned(), "b".to_owned()];
        match (verdict(answer.as_bytes(), &ids), expected) {
            (Verdict::DoneBut(failed), Some(expected)) => assert_eq!(failed, expected, "{answer}"),
            (Verdict::Malformed(_), None) => {}
            (found, _) => panic!("{answer}: {found:?}"),
        }
    }

    #[test]
    fn an_answer_without_failures_is_a_success() {
        for answer in [
            "",
            " ",
            "null",
            "{}",
            r#"{"batchItemFailures":null}"#,
            r#"{"batchItemFailures":[]}"#,
            r#"{"x":1}"#,
        ] {
            check(answer, Some(&[]));
        }
    }

    #[test]
    fn the_failures_that_are_named_are_those() {
        check(
            r#"{"batchItemFailures":[{"itemIdentifier":"b"},{"itemIdentifier":"b"}]}"#,
            Some(&[1]),
        );
        check(
            r#"{"batchItemFailures":[{"itemIdentifier":"b"},{"itemIdentifier":"a"}]}"#,
            Some(&[0, 1]),
        );
    }

    #[test]
    fn a_message_that_failed_is_kept_by_each_of_its_deliveries() {
        let ids = ["a", "b", "a"].map(str::to_owned);
        for named in [&["a"][..], &["a", "a"]] {
            let failures: Vec<Value> =
                named.iter().map(|id| serde_json::json!({ "itemIdentifier": id })).collect();
            let answer = serde_json::json!({ "batchItemFailures": failures }).to_string();
            let Verdict::DoneBut(failed) = verdict(answer.as_bytes(), &ids) else { panic!() };
            assert_eq!(failed, [0, 2], "{answer}");
        }
    }

    #[test]
    fn an_answer_that_cannot_be_understood_loses_nothing() {
        for answer in [
            "{",
            "7",
            r#""done""#,
            "[]",
            r#"{"batchItemFailures":{}}"#,
            r#"{"batchItemFailures":["a"]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":""}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":null}]}"#,
            r#"{"batchItemFailures":[{"id":"a"}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":"c"}]}"#,
        ] {
            check(answer, None);
        }
    }
}
