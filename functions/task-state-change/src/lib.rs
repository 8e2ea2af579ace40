//! A task of ECS changed: what that means for its run.
//!
//! Wiring only: read the payload, hand it to the engine, say what failed.

use std::sync::Arc;

use taskferry_core::event::Event;
use taskferry_function::{Error, FunctionEngine, Invocation};

/// Takes an ECS Task State Change to the run whose task it is.
///
/// # Errors
///
/// If the payload is not a Task State Change, or the run could not be read or written.
pub async fn handler(engine: Arc<FunctionEngine>, invocation: Invocation) -> Result<(), Error> {
    let event = Event::parse(&invocation.payload)?;
    let tracked = engine.track(&event).await;
    Box::pin(engine.catch_up(invocation.sweeps_until())).await;
    tracked?;
    Ok(())
}
