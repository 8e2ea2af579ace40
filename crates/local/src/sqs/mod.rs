//! SQS on this machine: queues whose messages are rows of SQLite.
//!
//! Clients come through the API; S3, SNS, EventBridge, Scheduler and Lambda hold a [`Queues`] and send inside their own
//! transactions. Whatever was answered is durable: a message leaves its queue when it was deleted, moved, or too old.
//! Nothing here reads a clock but [`Clock`].

mod arn;
mod clock;
mod door;
mod drain;
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
mod visibility;
mod wait;

pub use self::{
    clock::Clock,
    message::{AttributeValue, Attributes, NewMessage},
    queues::QueueAttributes,
    refusal::{Code, Refusal},
    send::Sent,
    service::Sqs,
    signals::Queues,
};
pub(crate) use self::{
    door::{TARGET, claims},
    schema::SCHEMA,
};
