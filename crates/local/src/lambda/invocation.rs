//! An invocation in hand: what it carries, whom its end concerns, and how it may end.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::oneshot;

use super::queue::Queued;

/// How a function's work on an invocation went wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FunctionError {
    /// The error type, as the function or Lambda names it.
    pub error_type: String,
    /// The message.
    pub message: String,
    /// What a synchronous invocation is answered: usually a JSON object with both.
    pub payload: Bytes,
}

impl FunctionError {
    /// An error that Lambda itself reports.
    pub(super) fn new(error_type: impl Into<String>, message: impl Into<String>) -> Self {
        let (error_type, message) = (error_type.into(), message.into());
        let payload = serde_json::json!({ "errorType": error_type, "errorMessage": message });
        Self { payload: Bytes::from(payload.to_string()), error_type, message }
    }
}

/// How a synchronous invocation ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum InvokeOutcome {
    /// The function returned this.
    Succeeded(Bytes),
    /// The function failed.
    Failed(FunctionError),
}

/// An invocation in hand.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) request_id: Arc<str>,
    pub(super) payload: Bytes,
    pub(super) origin: Origin,
}

/// Where an invocation came from, and so where its end is to be recorded.
#[derive(Debug)]
pub(super) enum Origin {
    /// A row of the queue.
    Queued { id: i64, attempts: u32, queued_at: Timestamp },
    /// A client that waits.
    Invoked(oneshot::Sender<InvokeOutcome>),
}

impl Origin {
    /// Whether the client has gone; a queued invocation is always wanted.
    pub(super) fn is_abandoned(&self) -> bool {
        matches!(self, Self::Invoked(client) if client.is_closed())
    }
}

impl From<Queued> for Work {
    fn from(Queued { id, request_id, attempts, payload, since }: Queued) -> Self {
        let origin = Origin::Queued { id, attempts, queued_at: since };
        Self { request_id: request_id.into(), payload, origin }
    }
}
