//! Publishing: a message to a topic, and from it to each subscription that wants it, within one transaction.
//!
//! The API publishes what clients send, `delivery` what the other services do. What an endpoint does not take goes to the
//! subscription's dead-letter queue.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::Transaction;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{
    MESSAGE_BYTES_MAX,
    attributes::{Attribute, Attributes},
    envelope::Notification,
    filter::{self, Scope},
    refusal::{Fault, Refusal},
    store::{self, Settings, Subscription},
};
use crate::{
    delivery::{Deliveries, Delivery, Destination, Undeliverable, is_fifo},
    hex::hex,
    sqs::{self, NewMessage},
};

/// For how long a FIFO topic knows what it was sent, in milliseconds.
// https://docs.aws.amazon.com/sns/latest/dg/fifo-message-dedup.html
const DEDUPLICATION: i64 = 5 * 60 * 1000;

/// What is added to a message's number so that sequence numbers have SNS's twenty digits.
const SEQUENCE_BASE: u128 = 10_u128.pow(19);

/// A message to be published.
#[derive(Clone, Debug, Default)]
pub(super) struct Publication<'a> {
    pub(super) subject: Option<&'a str>,
    pub(super) message: &'a str,
    /// The messages for some protocols: with `MessageStructure` `json`.
    pub(super) by_protocol: BTreeMap<String, String>,
    pub(super) attributes: Attributes,
    pub(super) group_id: Option<&'a str>,
    pub(super) deduplication_id: Option<&'a str>,
}

/// A message that was published.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Published {
    pub(super) message_id: String,
    pub(super) sequence_number: Option<String>,
}

/// What a FIFO topic knows a message by.
#[derive(Clone, Debug)]
struct Fifo<'a> {
    group_id: &'a str,
    deduplication_id: String,
}

impl Publication<'_> {
    /// Its size by SNS's count.
    pub(super) fn bytes(&self) -> usize {
        let attributes = self.attributes.iter().map(|(name, value)| name.len() + value.bytes());
        self.message.len() + attributes.sum::<usize>()
    }

    fn message_for(&self, protocol: &str) -> &str {
        self.by_protocol.get(protocol).map_or(self.message, String::as_str)
    }
}

impl Deliveries {
    /// Publishes a message of another service's.
    pub(crate) fn publish_to_topic(
        &self,
        tx: &Transaction<'_>,
        topic: &str,
        delivery: &Delivery<'_>,
    ) -> rusqlite::Result<Result<(), Undeliverable>> {
        let publication = Publication {
            subject: delivery.subject,
            message: delivery.body,
            group_id: delivery.group_id,
            deduplication_id: delivery.deduplication_id,
            ..Publication::default()
        };
        let arn = super::arn(topic);
        match self.publish_message(tx, topic, &publication) {
            Ok(_) => Ok(Ok(())),
            Err(Fault::Sqlite(error)) => Err(error),
            Err(Fault::Refused(Refusal { code: "NotFound", .. })) => {
                Ok(Err(Undeliverable::NoResource { arn }))
            }
            Err(Fault::Refused(Refusal { message, .. })) => {
                Ok(Err(Undeliverable::Refused { arn, reason: message }))
            }
        }
    }

    /// Publishes a message: it has reached all that want it with the transaction that it is part of. What is refused has
    /// written nothing.
    pub(super) fn publish_message(
        &self,
        tx: &Transaction<'_>,
        topic: &str,
        publication: &Publication<'_>,
    ) -> Result<Published, Fault> {
        let Some(settings) = store::topic(tx, topic)? else {
            return Err(Refusal::not_found("Topic").into());
        };
        if publication.bytes() > MESSAGE_BYTES_MAX {
            return Err(Refusal::invalid("Message too long").into());
        }
        let now = Timestamp::now();
        let fifo = Fifo::of(topic, &settings, publication)?;
        let message_id = Uuid::now_v7().to_string();
        let mut sequence = None;
        if let Some(fifo) = &fifo {
            let by_group =
                settings.get("FifoThroughputScope").is_some_and(|it| it == "MessageGroup");
            let scope = if by_group { fifo.group_id } else { "" };
            let key = (topic, scope, fifo.deduplication_id.as_str());
            let now = now.as_millisecond();
            if let Some((message_id, sequence)) = store::sent_before(tx, key, now)? {
                let sequence_number = Some(sequence_number(sequence));
                return Ok(Published { message_id, sequence_number });
            }
            let number = store::next_sequence(tx, topic)?;
            store::remember(tx, key, (&message_id, number), now, now + DEDUPLICATION)?;
            sequence = Some(sequence_number(number));
        }
        for subscription in store::subscriptions_to(tx, topic)? {
            if !wants(&subscription, publication) {
                continue;
            }
            let subscription_arn = subscription.arn();
            let notification = Notification {
                message_id: &message_id,
                sequence_number: sequence.as_deref(),
                topic_arn: &super::arn(topic),
                subscription_arn: &subscription_arn,
                subject: publication.subject,
                message: publication.message_for(&subscription.protocol),
                time: now,
                attributes: &publication.attributes,
            };
            self.notify(tx, &subscription, notification, publication.group_id, fifo.as_ref())?;
        }
        Ok(Published { message_id, sequence_number: sequence })
    }

    /// Gives a message to one subscription, or else to its dead-letter queue.
    fn notify(
        &self,
        tx: &Transaction<'_>,
        subscription: &Subscription,
        notification: Notification<'_>,
        group_id: Option<&str>,
        fifo: Option<&Fifo<'_>>,
    ) -> rusqlite::Result<()> {
        let is_raw = subscription.is_set("RawMessageDelivery");
        let body = if is_raw { notification.message.to_owned() } else { notification.to_json() };
        let attributes =
            if is_raw { to_sqs(notification.attributes) } else { sqs::Attributes::new() };
        let to_queue = |queue: &str| {
            let keeps_order = is_fifo(queue);
            let message = NewMessage {
                body: &body,
                attributes: attributes.clone(),
                // A standard queue takes the group of a standard topic's message along, and no other.
                group_id: group_id.filter(|_| keeps_order || fifo.is_none()),
                deduplication_id: fifo
                    .filter(|_| keeps_order)
                    .map(|it| it.deduplication_id.as_str()),
                ..NewMessage::default()
            };
            self.send(tx, queue, &message)
        };
        let delivered = match Destination::parse(&subscription.endpoint) {
            Ok(Destination::Queue(queue)) => to_queue(&queue)?,
            Ok(function @ Destination::Function(_)) => {
                let body = notification.to_event();
                self.deliver(tx, &function, &Delivery { body: &body, ..Delivery::default() })?
            }
            _ => Err(Undeliverable::NoResource { arn: subscription.endpoint.clone() }),
        };
        let Err(why) = delivered else { return Ok(()) };
        let dead_letters = subscription.settings.get("RedrivePolicy");
        let dead_letters = dead_letters.and_then(|policy| store::dead_letter_arn(policy));
        let buried = match dead_letters.and_then(|arn| Destination::parse(&arn).ok()) {
            Some(Destination::Queue(queue)) => to_queue(&queue)?,
            _ => Err(why.clone()),
        };
        if let Err(error) = buried {
            let subscription = subscription.arn();
            tracing::warn!(subscription, error = %why, dead_letters = %error, "a message was not delivered");
        }
        Ok(())
    }
}

impl<'a> Fifo<'a> {
    /// `None` for a standard topic.
    fn of(
        topic: &str,
        settings: &Settings,
        publication: &Publication<'a>,
    ) -> Result<Option<Self>, Refusal> {
        if !is_fifo(topic) {
            if publication.deduplication_id.is_some() {
                return Err(Refusal::invalid(
                    "MessageDeduplicationId Reason: The request includes MessageDeduplicationId parameter that is not valid for this topic type",
                ));
            }
            return Ok(None);
        }
        let Some(group_id) = publication.group_id else {
            return Err(Refusal::invalid(
                "The MessageGroupId parameter is required for FIFO topics",
            ));
        };
        let is_by_content =
            settings.get("ContentBasedDeduplication").is_some_and(|it| it == "true");
        let deduplication_id = match publication.deduplication_id {
            Some(id) => id.to_owned(),
            None if is_by_content => hex(Sha256::digest(publication.message.as_bytes())),
            None => {
                return Err(Refusal::invalid(
                    "The topic should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly",
                ));
            }
        };
        Ok(Some(Self { group_id, deduplication_id }))
    }
}

fn sequence_number(number: i64) -> String {
    (SEQUENCE_BASE + u128::from(number.unsigned_abs())).to_string()
}

/// Whether a message passes a subscription's filter policy.
fn wants(subscription: &Subscription, publication: &Publication<'_>) -> bool {
    let Some(policy) = subscription.settings.get("FilterPolicy") else { return true };
    let scope = subscription.settings.get("FilterPolicyScope");
    let scope = scope.and_then(|scope| Scope::parse(scope)).unwrap_or(Scope::MessageAttributes);
    let body = publication.message_for(&subscription.protocol);
    filter::passes(policy, scope, body, &publication.attributes)
}

/// The attributes as those of a message in a queue.
fn to_sqs(attributes: &Attributes) -> sqs::Attributes {
    let value = |(name, attribute): (&String, &Attribute)| {
        let Attribute { data_type, string_value, binary_value } = attribute.clone();
        (name.clone(), sqs::AttributeValue { data_type, string_value, binary_value })
    };
    attributes.iter().map(value).collect()
}
