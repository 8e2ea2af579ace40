//! What time it is for SQS: the one place where its code learns it, so that tests say so themselves.

use std::{fmt, sync::Arc};

use jiff::Timestamp;

/// Milliseconds since the epoch, as SQS tells times.
pub(crate) type Millis = i64;

/// A source of the time.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Millis + Send + Sync>);

impl Clock {
    /// A clock that shows what `now` gives, in milliseconds since the epoch.
    pub fn new(now: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    pub(crate) fn now(&self) -> Millis {
        (self.0)()
    }
}

impl Default for Clock {
    /// The system's.
    fn default() -> Self {
        Self::new(|| Timestamp::now().as_millisecond())
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}
