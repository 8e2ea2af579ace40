//! An event of a bus, of any source, that one of the rules' event patterns asks for.
//!
//! Wiring only: read the payload, hand it to the engine, say what failed.

use std::sync::Arc;

use taskferry_core::{event::Event, route::Origin};
use taskferry_function::{Error, FunctionEngine, Invocation};

/// Takes an event to the runs of the rules that match.
///
/// # Errors
///
/// If the payload is not an event, or a run could not be recorded or launched.
pub async fn handler(engine: Arc<FunctionEngine>, invocation: Invocation) -> Result<(), Error> {
    let event = Event::parse(&invocation.payload)?;
    engine.dispatch(Origin::EventBridge, &event).await?;
    Ok(())
}
