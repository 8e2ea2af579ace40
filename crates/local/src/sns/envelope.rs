//! What SNS makes of a message: the JSON that a queue gets, and the event that a function gets.
//!
//! Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::attributes::Attributes;
use crate::{identity::REGION, protocol::json_text};

/// "not signed": in the place of a signature, and in its Base64.
const SIGNATURE: &str = "bm90IHNpZ25lZA==";

/// A message on its way to one subscription.
#[derive(Clone, Copy, Debug)]
pub(super) struct Notification<'a> {
    pub(super) message_id: &'a str,
    /// Of a message in a FIFO topic.
    pub(super) sequence_number: Option<&'a str>,
    pub(super) topic_arn: &'a str,
    pub(super) subscription_arn: &'a str,
    pub(super) subject: Option<&'a str>,
    pub(super) message: &'a str,
    pub(super) time: Timestamp,
    pub(super) attributes: &'a Attributes,
}

/// The members, in SNS's order.
// https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Envelope<'a> {
    r#type: &'a str,
    message_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence_number: Option<&'a str>,
    topic_arn: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    message: &'a str,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature_version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<&'a str>,
    #[serde(rename = "SigningCertURL", skip_serializing_if = "Option::is_none")]
    signing_cert_url: Option<String>,
    #[serde(rename = "UnsubscribeURL")]
    unsubscribe_url: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    message_attributes: BTreeMap<&'a str, Value<'a>>,
}

// https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Event<'a> {
    records: [Record<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Record<'a> {
    event_source: &'a str,
    event_version: &'a str,
    event_subscription_arn: &'a str,
    sns: Sns<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Sns<'a> {
    r#type: &'a str,
    message_id: &'a str,
    topic_arn: &'a str,
    subject: Option<&'a str>,
    message: &'a str,
    timestamp: String,
    signature_version: &'a str,
    signature: &'a str,
    signing_cert_url: String,
    unsubscribe_url: String,
    message_attributes: BTreeMap<&'a str, Value<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Value<'a> {
    r#type: &'a str,
    value: &'a str,
}

impl<'a> Notification<'a> {
    /// What a queue gets, unless delivery is raw.
    pub(super) fn to_json(self) -> String {
        // A message of a FIFO topic is not signed.
        let is_signed = self.sequence_number.is_none();
        json_text(&Envelope {
            r#type: "Notification",
            message_id: self.message_id,
            sequence_number: self.sequence_number,
            topic_arn: self.topic_arn,
            subject: self.subject,
            message: self.message,
            timestamp: self.timestamp(),
            signature_version: is_signed.then_some("1"),
            signature: is_signed.then_some(SIGNATURE),
            signing_cert_url: is_signed.then(certificate),
            unsubscribe_url: self.unsubscribe_url(),
            message_attributes: self.values(),
        })
    }

    /// What a function gets.
    pub(super) fn to_event(self) -> String {
        json_text(&Event {
            records: [Record {
                event_source: "aws:sns",
                event_version: "1.0",
                event_subscription_arn: self.subscription_arn,
                sns: Sns {
                    r#type: "Notification",
                    message_id: self.message_id,
                    topic_arn: self.topic_arn,
                    subject: self.subject,
                    message: self.message,
                    timestamp: self.timestamp(),
                    signature_version: "1",
                    signature: SIGNATURE,
                    signing_cert_url: certificate(),
                    unsubscribe_url: self.unsubscribe_url(),
                    message_attributes: self.values(),
                },
            }],
        })
    }

    fn timestamp(self) -> String {
        format!("{:.3}", self.time)
    }

    fn unsubscribe_url(self) -> String {
        format!(
            "https://sns.{REGION}.amazonaws.com/?Action=Unsubscribe&SubscriptionArn={}",
            self.subscription_arn
        )
    }

    fn values(self) -> BTreeMap<&'a str, Value<'a>> {
        let value = |(name, attribute): (&'a String, &'a super::attributes::Attribute)| {
            (name.as_str(), Value { r#type: &attribute.data_type, value: attribute.value() })
        };
        self.attributes.iter().map(value).collect()
    }
}

fn certificate() -> String {
    format!("https://sns.{REGION}.amazonaws.com/SimpleNotificationService-0000000000000000.pem")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sns::attributes::Attribute;

    #[test]
    fn a_message_has_the_shape_that_sns_gives_it() {
        let attribute = Attribute {
            data_type: "Number".to_owned(),
            string_value: Some("99.12".to_owned()),
            binary_value: None,
        };
        let attributes = Attributes::from([("n".to_owned(), attribute)]);
        let notification = Notification {
            message_id: "m",
            sequence_number: None,
            topic_arn: "t",
            subject: Some("s"),
            subscription_arn: "t:1",
            message: "a \"b\"",
            time: "2026-11-21T10:00:00.1239Z".parse().unwrap(),
            attributes: &attributes,
        };
        assert_eq!(
            notification.to_json(),
            r#"{"Type":"Notification","MessageId":"m","TopicArn":"t","Subject":"s","Message":"a \"b\"","Timestamp":"2026-11-21T10:00:00.123Z","SignatureVersion":"1","Signature":"bm90IHNpZ25lZA==","SigningCertURL":"https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0000000000000000.pem","UnsubscribeURL":"https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe&SubscriptionArn=t:1","MessageAttributes":{"n":{"Type":"Number","Value":"99.12"}}}"#
        );
        let fifo = Notification {
            sequence_number: Some("1"),
            subject: None,
            attributes: &Attributes::new(),
            ..notification
        };
        assert_eq!(
            fifo.to_json(),
            r#"{"Type":"Notification","MessageId":"m","SequenceNumber":"1","TopicArn":"t","Message":"a \"b\"","Timestamp":"2026-11-21T10:00:00.123Z","UnsubscribeURL":"https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe&SubscriptionArn=t:1"}"#
        );
        assert_eq!(
            Notification { subject: None, ..notification }.to_event(),
            r#"{"Records":[{"EventSource":"aws:sns","EventVersion":"1.0","EventSubscriptionArn":"t:1","Sns":{"Type":"Notification","MessageId":"m","TopicArn":"t","Subject":null,"Message":"a \"b\"","Timestamp":"2026-11-21T10:00:00.123Z","SignatureVersion":"1","Signature":"bm90IHNpZ25lZA==","SigningCertUrl":"https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0000000000000000.pem","UnsubscribeUrl":"https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe&SubscriptionArn=t:1","MessageAttributes":{"n":{"Type":"Number","Value":"99.12"}}}}]}"#
        );
    }
}
