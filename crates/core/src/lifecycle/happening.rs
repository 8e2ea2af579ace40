//! What happens to a run: what is found out, said or answered, wherever that comes from.
//!
//! Handed to `decide` by the engine; what each is to a run of each status stands in `rulings`.

use jiff::Timestamp;

use crate::{
    chain::LifecycleEvent,
    launch::Answer,
    limits::LimitId,
    run::{HeldMessage, RunId, StopCause},
    track::TaskState,
};

/// What happened to a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Happening {
    /// Its date came, or it was just made.
    Due,
    /// Its event was delivered again, so whoever took it first may not have got to its launch.
    Redelivered,
    /// A slot of each of its limits is free.
    Admitted,
    /// One of its limits had no slot left after all.
    Full {
        /// Which.
        limit: LimitId,
    },
    /// The launch fits into the account's quota now.
    Paced,
    /// It does not before then.
    Unpaced {
        /// When to try again.
        until: Timestamp,
    },
    /// A call that was needed to go on failed.
    Hindered {
        /// Why, in one sentence.
        reason: String,
    },
    /// `RunTask` was called for an attempt, and this came back.
    Answered {
        /// Which attempt.
        attempt: u32,
        /// What came back.
        answer: Answer,
    },
    /// ECS tells this of a task of the run.
    Task(TaskState),
    /// ECS knows no task of the run's last attempt.
    Missing,
    /// It is to stop.
    Stop {
        /// Whose word that is.
        cause: StopCause,
        /// In one sentence.
        reason: String,
    },
    /// It is not to be launched, since a limit and its rule say so.
    Skip {
        /// Why, in one sentence.
        reason: String,
    },
    /// The first of its outbox were published.
    Published {
        /// Which.
        events: Vec<LifecycleEvent>,
    },
    /// The event that was put aside for its task was discarded.
    Discarded,
    /// Its message was delivered, and stays in its queue until the run has ended.
    Received {
        /// The message, with this delivery.
        message: Box<HeldMessage>,
    },
    /// Its message is kept from being delivered again.
    Extended {
        /// When that is to be said once more.
        until: Timestamp,
    },
    /// Its message is no longer the run's to hold: deleted, handed to another run of it, or gone by itself.
    Released,
    /// Another run does it again.
    Redriven {
        /// Which.
        by: RunId,
    },
}

impl Happening {
    /// What to ask about when another write came between: what was found out about the record that lost says nothing of the
    /// one that won, so that one is asked where it stands.
    #[must_use]
    pub fn anew(self) -> Self {
        match self {
            Self::Released if crate::is_mutated!(ReleaseOfTheNext) => self,
            Self::Due
            | Self::Redelivered
            | Self::Admitted
            | Self::Full { .. }
            | Self::Paced
            | Self::Unpaced { .. }
            | Self::Missing
            // Of the delivery that the record had: by now it may have another.
            | Self::Released => Self::Due,
            Self::Answered { .. }
            | Self::Task(_)
            | Self::Stop { .. }
            | Self::Skip { .. }
            | Self::Hindered { .. }
            | Self::Published { .. }
            | Self::Discarded
            | Self::Received { .. }
            | Self::Extended { .. }
            | Self::Redriven { .. } => self,
        }
    }
}
