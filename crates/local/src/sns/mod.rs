//! SNS on this machine: topics, and what is published to them handed on to queues and functions.
//!
//! Clients come through [`SnsApi`]; S3 and EventBridge publish inside their own transactions. Whom a message reaches is
//! durable with the request that published it. There is nobody to sign for: the signature in an envelope is a text that
//! says so.

mod api;
mod attributes;
mod envelope;
mod filter;
mod form;
mod publish;
mod refusal;
mod store;

use rusqlite::Transaction;
use uuid::Uuid;

pub use self::api::SnsApi;
pub(crate) use self::store::SCHEMA;
use crate::delivery::Destination;

/// How much a message may have, its attributes included.
// https://docs.aws.amazon.com/sns/latest/dg/sns-message-attributes.html
const MESSAGE_BYTES_MAX: usize = 256 * 1024;

/// By what SNS calls a function.
const PROTOCOL: &str = "lambda";

/// The ARN of a topic.
fn arn(topic: &str) -> String {
    Destination::Topic(topic.to_owned()).arn()
}

/// Makes a standard topic and subscribes a function to it, by their names: each unless it is there.
///
/// # Errors
///
/// SQLite's, if they cannot be recorded.
pub fn subscribe(tx: &Transaction<'_>, topic: &str, function: &str) -> rusqlite::Result<()> {
    if store::topic(tx, topic)?.is_none() {
        store::put_topic(tx, topic, &store::Settings::new())?;
    }
    let endpoint = Destination::Function(function.to_owned()).arn();
    if store::subscription_of(tx, topic, PROTOCOL, &endpoint)?.is_some() {
        return Ok(());
    }
    let subscription = store::Subscription {
        id: Uuid::now_v7().to_string(),
        topic: topic.to_owned(),
        protocol: PROTOCOL.to_owned(),
        endpoint,
        settings: store::Settings::new(),
    };
    store::put_subscription(tx, &subscription)
}
