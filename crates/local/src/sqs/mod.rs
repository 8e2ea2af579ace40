//! SQS on this machine: queues whose messages are rows of SQLite.
//!
//! Clients come through the API; S3, SNS, EventBridge, Scheduler and Lambda hold a [`Queues`] and send inside their own
//! transactions. Whatever was answered is durable: a message leaves its queue when it was deleted, moved, or too old.
//! Nothing here reads a clock but [`Clock`].

mod arn;
mod clock;
mod door;
mod drain;
mod mapped;
mod message;
mod moves;
mod operations;
mod permissions;
mod query;
mod queue;
mod queues;
mod receipt;
mod receive;
mod refusal;
mod schema;
mod send;
mod service;
mod settings;
mod signals;
mod together;
mod visibility;
mod wait;

pub(crate) use self::{
    arn::{queue_arn, queue_name},
    door::{TARGET, claims},
    message::attributes_md5,
    operations::system_attributes,
    receive::{Received, Wanted},
    schema::{IN_HAND_SCHEMA, SCHEMA},
    settings::FIFO_SUFFIX,
};
pub use self::{
    clock::Clock,
    message::{AttributeValue, Attributes, NewMessage},
    queues::QueueAttributes,
    refusal::{Code, Refusal},
    send::Sent,
    service::Sqs,
    signals::Queues,
};

#[cfg(test)]
mod tests;
