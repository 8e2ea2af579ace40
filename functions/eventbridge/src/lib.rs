//! An event of a bus, of any source, that one of the rules' event patterns asks for, or a rule's schedule that fired.
//!
//! Wiring only: read the payload, hand it to the engine, say what failed.

use std::sync::Arc;

use taskferry_core::{
    event::{Event, schedule},
    route::Origin,
};
use taskferry_function::{Error, FunctionEngine, Invocation};

/// Takes an event to the runs of the rules that match.
///
/// # Errors
///
/// If the payload is neither an event nor a schedule's, or a run could not be recorded or launched.
pub async fn handler(engine: Arc<FunctionEngine>, invocation: Invocation) -> Result<(), Error> {
    let (origin, event) = match schedule::normalise(&invocation.payload, engine.rules()) {
        Some(event) => (Origin::Schedule, event?),
        None => (Origin::EventBridge, Event::parse(&invocation.payload)?),
    };
    let dispatched = Box::pin(engine.dispatch(origin, &event)).await;
    Box::pin(engine.catch_up(invocation.sweeps_until())).await;
    dispatched?;
    Ok(())
}
