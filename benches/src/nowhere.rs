//! An event bus, a bucket and a queue that nobody uses: what the engine has no call for in a measurement.

use jiff::Timestamp;
use taskferry_core::chain::LifecycleEvent;
use taskferry_engine::ports::{Error, Events, Payloads, Queues};

/// All three of them. A call is refused, and so a measurement fails that has one after all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nowhere;

impl Events for Nowhere {
    async fn publish(&self, _: &[LifecycleEvent], _: &str, _: Timestamp) -> Result<(), Error> {
        Err(unasked("publishing"))
    }
}

impl Payloads for Nowhere {
    async fn put(&self, _: &str, _: &str) -> Result<(), Error> {
        Err(unasked("putting an event aside"))
    }

    async fn discard(&self, _: &str) -> Result<(), Error> {
        Err(unasked("discarding an event"))
    }
}

impl Queues for Nowhere {
    async fn extend(&self, _: &str, _: &str, _: u64) -> Result<(), Error> {
        Err(unasked("holding a message"))
    }

    async fn delete(&self, _: &str, _: &str) -> Result<(), Error> {
        Err(unasked("deleting a message"))
    }
}

/// The refusal of a call that a measurement does not have.
pub(crate) fn unasked(what: &'static str) -> Error {
    Error::Refused { what, source: "the measurement has no such call".into() }
}
