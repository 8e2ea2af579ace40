//! A minute has passed: what is due is seen to.
//!
//! Wiring only: hand the engine the time that is left, say what failed.

use std::sync::Arc;

use taskferry_function::{Error, FunctionEngine, Invocation};

/// Sees to what is due, until nothing is or time runs out; the payload says nothing.
///
/// # Errors
///
/// If what is due could not be read.
pub async fn handler(engine: Arc<FunctionEngine>, invocation: Invocation) -> Result<(), Error> {
    engine.sweep(invocation.sweeps_until()).await?;
    Ok(())
}
