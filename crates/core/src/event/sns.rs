//! A message of SNS: around what somebody published, in a queue or in the event with which SNS invokes a function.
//!
//! Asked by `carried` and by `s3`. Signatures are not looked at: who may write into a queue, or invoke a function, is for
//! their policies. <https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html>

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{carried::object, sqs::Attribute};

/// What SNS delivers, as far as anybody asks.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Published {
    pub(super) message_id: String,
    pub(super) topic_arn: String,
    pub(super) subject: Option<String>,
    pub(super) timestamp: String,
    /// What was published.
    pub(super) message: String,
    #[serde(default)]
    message_attributes: BTreeMap<String, SnsAttribute>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SnsAttribute {
    r#type: String,
    value: String,
}

#[derive(Deserialize)]
struct Typed<'a> {
    #[serde(borrow, rename = "Type")]
    kind: &'a RawValue,
}

/// A record of the event with which SNS invokes a function.
#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow, rename = "EventSource")]
    event_source: &'a RawValue,
    #[serde(rename = "Sns")]
    sns: Published,
}

impl Published {
    /// The message whose envelope `text` is: `Type: Notification` with `MessageId`, `TopicArn`, `Timestamp` and `Message`.
    pub(super) fn in_envelope(text: &str) -> Option<Self> {
        let typed: Typed<'_> = object(text)?;
        if typed.kind.get() != r#""Notification""# {
            return None;
        }
        object(text)
    }

    /// Its attributes, as SQS would have passed them on of a raw delivery.
    pub(super) fn attributes(&self) -> BTreeMap<String, Attribute> {
        let attribute = |(name, attribute): (&String, &SnsAttribute)| {
            let value = Some(attribute.value.clone());
            let (string_value, binary_value) =
                if attribute.r#type == "Binary" { (None, value) } else { (value, None) };
            let data_type = attribute.r#type.clone();
            (name.clone(), Attribute { string_value, binary_value, data_type })
        };
        self.message_attributes.iter().map(attribute).collect()
    }
}

/// The message of a record of SNS's own event, if it is one.
pub(super) fn message_of(record: &RawValue) -> Option<Published> {
    // Looked for first: of S3's own records, which are most, none is read twice.
    if !record.get().contains("aws:sns") {
        return None;
    }
    let record: Record<'_> = object(record.get())?;
    (record.event_source.get() == r#""aws:sns""#).then_some(record.sns)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn envelope() -> Value {
        json!({
            "Type": "Notification", "MessageId": "m", "TopicArn": "arn:aws:sns:us-east-1:1:t",
            "Timestamp": "2026-01-01T00:00:00.000Z", "Message": "hello",
        })
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Value), is_one: bool) {
        let mut envelope = envelope();
        change(&mut envelope);
        let text = envelope.to_string();
        assert_eq!(Published::in_envelope(&text).is_some(), is_one, "{text}");
    }

    #[test]
    fn an_envelope_has_all_that_sns_always_sends() {
        check(|_| {}, true);
        for member in ["Type", "MessageId", "TopicArn", "Timestamp", "Message"] {
            check(|it| drop(it.as_object_mut().unwrap().remove(member)), false);
            check(|it| it[member] = json!(7), false);
        }
        check(|it| it["Type"] = json!("SubscriptionConfirmation"), false);
    }

    #[test]
    fn attributes_are_those_of_a_raw_delivery() {
        let mut envelope = envelope();
        envelope["MessageAttributes"] = json!({
            "kind": {"Type": "String", "Value": "video"}, "raw": {"Type": "Binary", "Value": "AA=="},
        });
        let message = Published::in_envelope(&envelope.to_string()).unwrap();
        let attributes = serde_json::to_value(message.attributes()).unwrap();
        assert_eq!(
            attributes,
            json!({
                "kind": {"stringValue": "video", "dataType": "String"},
                "raw": {"binaryValue": "AA==", "dataType": "Binary"},
            })
        );
    }
}
