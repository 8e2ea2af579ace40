//! What an event source mapping is set to, and what Lambda refuses.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How many messages a batch has at most: of a standard queue with a window, and of all others.
// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-parameters.html
const BATCH_MAX: u32 = 10_000;
const SMALL_BATCH_MAX: u32 = 10;

/// How long a batch is gathered at most.
const WINDOW_SECONDS_MAX: u32 = 300;

/// An event source mapping: which queue invokes which function, and how.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Mapping {
    /// The queue's name.
    pub queue: String,
    /// The function's name.
    pub function: String,
    /// How many messages a batch has at most.
    pub batch_size: u32,
    /// How long a batch is gathered that is not full.
    pub window_seconds: u32,
    /// Whether the function's answer names the messages that failed: `ReportBatchItemFailures`.
    pub reports_failures: bool,
    /// How many batches are worked on at once at most.
    pub concurrency_max: Option<u32>,
    /// Whether anything is received.
    pub is_enabled: bool,
}

/// Why a mapping cannot be so.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Invalid {
    #[error("batch size must be between 1 and {max}, and is {found}")]
    BatchSize { found: u32, max: u32 },
    #[error(
        "maximum batch window in seconds must be greater than 0 if maximum batch size is greater than {SMALL_BATCH_MAX}"
    )]
    NoWindow,
    #[error("batching window is not supported for FIFO queues")]
    FifoWindow,
    #[error(
        "maximum batching window must be between 0 and {WINDOW_SECONDS_MAX} seconds, and is {found}"
    )]
    Window { found: u32 },
    #[error("maximum concurrency must be between 2 and 1000, and is {found}")]
    Concurrency { found: u32 },
}

impl Mapping {
    /// A mapping with Lambda's defaults.
    pub fn new(queue: impl Into<String>, function: impl Into<String>) -> Self {
        Self {
            queue: queue.into(),
            function: function.into(),
            batch_size: SMALL_BATCH_MAX,
            window_seconds: 0,
            reports_failures: false,
            concurrency_max: None,
            is_enabled: true,
        }
    }

    pub(super) fn is_fifo(&self) -> bool {
        self.queue.ends_with(crate::sqs::FIFO_SUFFIX)
    }

    pub(super) fn window(&self) -> Duration {
        Duration::from_secs(self.window_seconds.into())
    }

    pub(super) fn check(&self) -> Result<(), Invalid> {
        let is_fifo = self.is_fifo();
        let max = if is_fifo { SMALL_BATCH_MAX } else { BATCH_MAX };
        if !(1..=max).contains(&self.batch_size) {
            return Err(Invalid::BatchSize { found: self.batch_size, max });
        }
        if is_fifo && self.window_seconds > 0 {
            return Err(Invalid::FifoWindow);
        }
        if self.window_seconds > WINDOW_SECONDS_MAX {
            return Err(Invalid::Window { found: self.window_seconds });
        }
        if self.batch_size > SMALL_BATCH_MAX && self.window_seconds == 0 {
            return Err(Invalid::NoWindow);
        }
        match self.concurrency_max {
            Some(found) if !(2..=1000).contains(&found) => Err(Invalid::Concurrency { found }),
            _ => Ok(()),
        }
    }
}
