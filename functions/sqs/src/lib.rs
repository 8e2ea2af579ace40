//! Messages of a queue, plain or around events of S3, SNS or EventBridge, as Lambda's mapping hands them over in batches.
//!
//! Wiring only: read the payload, hand the messages to the engine, answer which of them the queue is to keep. It never sends.

use std::sync::Arc;

use jiff::SignedDuration;
use serde::Serialize;
use taskferry_core::event::sqs::{self, MessageId};
use taskferry_function::{Error, FunctionEngine, Invocation};
use tracing::info;

/// What is left of the function's time for messages that are under way, when it begins no more.
const MARGIN: SignedDuration = SignedDuration::from_secs(10);

/// Which messages the queue is to keep: Lambda deletes all others.
///
/// Each is one of the batch, by its name, which is never empty: Lambda would take the whole batch for failed.
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html#services-sqs-batchfailurereporting>
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    batch_item_failures: Vec<Failure>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure {
    item_identifier: MessageId,
}

/// Takes a batch of messages to the runs of the rules that match.
///
/// # Errors
///
/// If the payload is not a batch of messages: then the queue keeps them all.
pub async fn handler(engine: Arc<FunctionEngine>, invocation: Invocation) -> Result<Answer, Error> {
    let batch = sqs::normalise(&invocation.payload)?;
    let messages = batch.len();
    let kept = engine.receive(batch, invocation.deadline - MARGIN).await;
    info!(messages, kept = kept.len(), "received");
    Box::pin(engine.catch_up(invocation.sweeps_until())).await;
    let failure = |item_identifier| Failure { item_identifier };
    Ok(Answer { batch_item_failures: kept.into_iter().map(failure).collect() })
}
