//! SQS on this machine: queues whose messages are rows of SQLite.
//!
//! Clients come through the API; S3, SNS, EventBridge, Scheduler and Lambda hold a [`Queues`] and send inside their own
//! transactions. Whatever was answered is durable: a message leaves its queue when it was deleted, moved, or too old.
//! Nothing here reads a clock but [`Clock`].

mod arn;
mod clock;
mod message;
mod queue;
mod receipt;
mod receive;
mod refusal;
mod schema;
mod send;
mod settings;
mod signals;

pub(crate) use self::schema::SCHEMA;
pub use self::{
    clock::Clock,
    message::{AttributeValue, Attributes, NewMessage},
    refusal::{Code, Refusal},
    send::Sent,
    signals::Queues,
};
