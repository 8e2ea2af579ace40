//! Normalise SQS's messages, as Lambda's mapping hands them to a function: each becomes the events that it carries, or one
//! event of its own.
//!
//! Called by the `sqs` function. What differs from one delivery to the next (the receipt, how often it was received) goes
//! into no event: the same message makes the same events, byte for byte.
//! <https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html#example-standard-queue-message-event>

use std::{borrow::Cow, collections::BTreeMap, fmt};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    Envelope, Event, Malformed, beginning,
    carried::{Carried, unwrapped},
    s3, sns,
};

/// How the name of a FIFO queue ends.
const FIFO: &str = ".fifo";

/// Whether the messages of the queue of this name, ARN or URL keep their order, by groups.
pub fn is_fifo(queue: &str) -> bool {
    queue.ends_with(FIFO)
}

/// A message's name in what Lambda is answered: never empty, since an empty one stands for the whole batch.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct MessageId(String);

impl MessageId {
    /// The id's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Message {
    /// The queue's name.
    pub fn queue(&self) -> &str {
        self.queue_arn.rsplit(':').next().unwrap_or(&self.queue_arn)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One record of a batch.
#[derive(Debug)]
pub struct Received {
    /// Which message.
    pub id: MessageId,
    /// The message, or what of its record is not as Lambda writes it.
    pub message: Result<Message, Malformed>,
}

/// A message, and what came of it.
#[derive(Debug)]
pub struct Message {
    /// The queue's ARN.
    pub queue_arn: String,
    /// What this delivery is called at the queue.
    pub receipt_handle: String,
    /// Whose order it keeps; only in a FIFO queue.
    pub group: Option<String>,
    /// The events; none of a test event of S3's.
    pub events: Vec<Event>,
    /// Why something of it can never be an event.
    pub refused: Option<Error>,
    /// The message by itself, to keep where something of it was refused; else `None`.
    pub kept: Option<Event>,
}

/// Why a payload is not Lambda's, or a message can never be an event.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The payload is not JSON, has no `Records`, or one of them has no `messageId`.
    #[error("the payload is not Lambda's event for messages of SQS")]
    Payload(#[source] Malformed),
    /// The message carries a record that says it is S3's, and is not.
    // Told behind "the message can never be taken", as the next one is.
    #[error("it says that it is S3's")]
    S3(#[source] s3::Error),
    /// With its envelope the message is no event.
    #[error("it makes no event")]
    Event(#[source] super::Error),
}

/// An attribute of a message, as Lambda spells it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Attribute {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) string_value: Option<String>,
    /// Base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) binary_value: Option<String>,
    pub(super) data_type: String,
}

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(rename = "Records", borrow)]
    records: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    message_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    receipt_handle: String,
    #[serde(borrow)]
    body: Cow<'a, str>,
    attributes: SystemAttributes,
    #[serde(default)]
    message_attributes: BTreeMap<String, Attribute>,
    #[serde(rename = "eventSourceARN")]
    queue_arn: String,
}

/// SQS's own attributes, as far as they are the same for each delivery.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SystemAttributes {
    sent_timestamp: String,
    message_group_id: Option<String>,
    message_deduplication_id: Option<String>,
    sequence_number: Option<String>,
}

/// Reads the event with which Lambda's mapping of a queue invokes a function.
///
/// # Errors
///
/// [`Error::Payload`] if it is another, or has a record without a name by which to answer for it.
pub fn normalise(payload: &str) -> Result<Vec<Received>, Error> {
    let malformed = |error: serde_json::Error| Error::Payload(error.into());
    let payload: Payload<'_> = serde_json::from_str(payload).map_err(malformed)?;
    let received = |record: &RawValue| {
        let named: Named = serde_json::from_str(record.get()).map_err(malformed)?;
        if named.message_id.is_empty() {
            return Err(Error::Payload(Malformed::new("an empty `messageId`")));
        }
        let id = MessageId(named.message_id);
        let message = message(&id, record.get());
        Ok(Received { id, message })
    };
    payload.records.into_iter().map(received).collect()
}

fn message(id: &MessageId, record: &str) -> Result<Message, Malformed> {
    let record: Record<'_> = serde_json::from_str(record)?;
    let sent_at = record.attributes.sent_timestamp.parse().ok();
    let sent_at = sent_at.and_then(|at| Timestamp::from_millisecond(at).ok());
    let sent_at = sent_at.ok_or_else(|| Malformed::new("`SentTimestamp` is no time"))?;
    let arn: Vec<&str> = record.queue_arn.splitn(6, ':').collect();
    let &["arn", _, "sqs", region, account, queue] = arn.as_slice() else {
        return Err(Malformed::new("`eventSourceARN` is not that of a queue"));
    };
    let group = record.attributes.message_group_id.clone().filter(|_| is_fifo(queue));
    let (sns, carried) = unwrapped(&record.body);
    let own = Own { id, record: &record, sns: sns.as_ref(), sent_at, region, account };
    let (events, refused) = match carried {
        Carried::S3Test => (Vec::new(), None),
        Carried::Event(event) => (vec![event], None),
        Carried::S3(records) => {
            let mut refused = None;
            let of_record = |record: Result<Event, s3::Error>| {
                record.map_err(|error| refused.get_or_insert(Error::S3(error))).ok()
            };
            (records.into_iter().filter_map(of_record).collect(), refused)
        }
        Carried::Nothing => match own.event() {
            Ok(event) => (vec![event], None),
            Err(error) => (Vec::new(), Some(Error::Event(error))),
        },
    };
    let kept = refused.as_ref().map(|_| own.event().unwrap_or_else(|_| own.excerpt()));
    let Record { queue_arn, receipt_handle, .. } = record;
    Ok(Message { queue_arn, receipt_handle, group, events, refused, kept })
}

/// A message by itself.
struct Own<'a> {
    id: &'a MessageId,
    record: &'a Record<'a>,
    sns: Option<&'a sns::Published>,
    sent_at: Timestamp,
    region: &'a str,
    account: &'a str,
}

/// What `detail` holds of a message.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Detail<'a> {
    message_id: &'a MessageId,
    body: Body<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_bytes: Option<usize>,
    message_attributes: Cow<'a, BTreeMap<String, Attribute>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_group_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_deduplication_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence_number: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sns: Option<Sns<'a>>,
}

/// What SNS says of a message that came through it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sns<'a> {
    message_id: &'a str,
    topic_arn: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    timestamp: &'a str,
}

#[derive(Clone, Copy, Serialize)]
#[serde(untagged)]
enum Body<'a> {
    Json(&'a RawValue),
    Text(&'a str),
}

impl<'a> Own<'a> {
    /// The message as an event: its body parsed if it is a JSON object or list that is fit for one, else text.
    fn event(&self) -> Result<Event, super::Error> {
        let body = self.body();
        if body.trim_start().starts_with(['{', '['])
            && let Ok(json) = serde_json::from_str(body)
        {
            let text = self.text(Body::Json(json), None);
            // Held against what an event must be, nested too deep for one: then its body stays text.
            match Event::parse(&text) {
                Ok(event) => return Ok(event),
                Err(error @ super::Error::TooLong { .. }) => return Err(error),
                Err(_) => {}
            }
        }
        Event::new(self.envelope(), self.text(Body::Text(body), None))
    }

    /// As much of the message as fits into an event for certain: how long its body is, and how that begins.
    fn excerpt(&self) -> Event {
        let body = self.body();
        let text = self.text(Body::Text(beginning(body)), Some(body.len()));
        Event { text, envelope: self.envelope(), value: std::sync::OnceLock::new() }
    }

    fn body(&self) -> &'a str {
        self.sns.map_or(&self.record.body, |sns| &sns.message)
    }

    fn envelope(&self) -> Envelope {
        Envelope {
            id: self.id.as_str().to_owned(),
            source: "aws.sqs".to_owned(),
            detail_type: "SQS Message".to_owned(),
            time: self.sent_at.to_string(),
        }
    }

    fn text(&self, body: Body<'a>, body_bytes: Option<usize>) -> String {
        #[derive(Serialize)]
        #[serde(rename_all = "kebab-case")]
        struct Enveloped<'a> {
            version: &'static str,
            id: &'a MessageId,
            detail_type: &'static str,
            source: &'static str,
            account: &'a str,
            time: Timestamp,
            region: &'a str,
            resources: [&'a str; 1],
            detail: Detail<'a>,
        }
        let Record { attributes, message_attributes, .. } = self.record;
        // Of a raw delivery SQS has them; else SNS has, and SQS has none.
        let message_attributes = match self.sns {
            // They count towards the length of a message, and may be as long as one.
            _ if body_bytes.is_some() => Cow::Owned(BTreeMap::new()),
            Some(sns) if message_attributes.is_empty() => Cow::Owned(sns.attributes()),
            Some(_) | None => Cow::Borrowed(message_attributes),
        };
        let detail = Detail {
            message_id: self.id,
            body,
            body_bytes,
            message_attributes,
            message_group_id: attributes.message_group_id.as_deref(),
            message_deduplication_id: attributes.message_deduplication_id.as_deref(),
            sequence_number: attributes.sequence_number.as_deref(),
            sns: self.sns.map(|sns| Sns {
                message_id: &sns.message_id,
                topic_arn: &sns.topic_arn,
                subject: sns.subject.as_deref(),
                timestamp: &sns.timestamp,
            }),
        };
        let enveloped = Enveloped {
            version: "0",
            id: self.id,
            detail_type: "SQS Message",
            source: "aws.sqs",
            account: self.account,
            time: self.sent_at,
            region: self.region,
            resources: [&self.record.queue_arn],
            detail,
        };
        serde_json::to_string(&enveloped).expect("strings and raw JSON serialise")
    }
}

#[cfg(test)]
mod tests;
