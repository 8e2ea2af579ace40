//! An object was created or deleted: S3's own notification, by which S3 invokes this function directly.
//!
//! Wiring only: read the payload, hand it to the engine, say what failed.

use std::sync::Arc;

use jiff::SignedDuration;
use taskferry_core::{
    event::s3::{self, Notification},
    route::Origin,
};
use taskferry_function::{Error, FunctionEngine, Invocation};
use tracing::{info, warn};

/// What is left of the function's time for a record that is under way, when no other is begun.
const MARGIN: SignedDuration = SignedDuration::from_secs(5);

/// Takes the records of a notification to the runs of the rules that match.
///
/// A record that fails does not keep the others from their runs; to deliver the notification again does no harm.
///
/// # Errors
///
/// The first record's that failed, after all have had their turn.
pub async fn handler(engine: Arc<FunctionEngine>, invocation: Invocation) -> Result<(), Error> {
    let records = match s3::normalise(&invocation.payload)? {
        Notification::Records(records) => records,
        Notification::Test => {
            // S3 sends it when notifications are configured: it is no object's.
            info!(source = "aws.s3", detail_type = "s3:TestEvent", rules = 0_u64, "routed");
            return Ok(());
        }
    };
    let mut events = Vec::with_capacity(records.len());
    let mut failed: Option<Error> = None;
    let mut has_failed = |error: Error| {
        warn!(%error, "record not dispatched");
        failed.get_or_insert(error);
    };
    for record in records {
        match record {
            Ok(event) => events.push(event),
            Err(error) => has_failed(error.into()),
        }
    }
    let until = invocation.deadline - MARGIN;
    for dispatched in Box::pin(engine.dispatch_batch(Origin::S3, &events, until)).await {
        if let Err(error) = dispatched {
            has_failed(error.into());
        }
    }
    Box::pin(engine.catch_up(invocation.sweeps_until())).await;
    failed.map_or(Ok(()), Err)
}
