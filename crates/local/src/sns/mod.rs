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

pub use self::api::SnsApi;
pub(crate) use self::store::SCHEMA;

/// How much a message may have, its attributes included.
// https://docs.aws.amazon.com/sns/latest/dg/sns-message-attributes.html
const MESSAGE_BYTES_MAX: usize = 256 * 1024;

/// The ARN of a topic.
fn arn(topic: &str) -> String {
    crate::delivery::Destination::Topic(topic.to_owned()).arn()
}
