//! The promises, each with its sentence. How each is checked is `oracles`.
//!
//! The ten promises of a run's life, and what stands behind each: the oracles that hold it, and bugs of `core::mutations`
//! that these oracles find. `cargo xtask simulate` counts how often each oracle had something to look at, and fails at
//! none; with `--mutations` it fails if there is an oracle that finds no bug.
//!
//! | promise | oracles | bugs that show them to see |
//! |---|---|---|
//! | 1 Nothing is lost | `NothingIsLost`, `MessagesAreKept` | `DedupeForgotten`, `NotBegunIsDone`, `FailedMessageIsDone`, `RestOfGroupForgotten` |
//! | 2 Nothing runs twice | `OneRunForEachKey`, `OneTaskForEachAttempt`, `OneLiveTask`, `NoTaskForNobody`, `TokensAreFresh` | `RedriveOfRevision`, `TokenForgotten`, `DenialIsProof`, `LateRequestForgotten`, `TokenForEver` |
//! | 3 Limits hold | `LimitsHold`, `NoSlotIsLeaked`, `WaitersAreAdmitted`, `OverlapIsKept` | `LimitPlusOne`, `SlotKeptAfterEnd`, `AdmissionLeftToSweep`, `StaleSkip` |
//! | 4 Order does not matter | `NothingMovesBackwards` | `VersionIgnored`, `LastWriterWins` |
//! | 5 Nothing waits for ever | `EverythingHasADate`, `NothingWaitsForEver`, `MessagesEnd` | `DueDateDropped`, `TimeoutNotChecked`, `DeletionNotRepeated` |
//! | 6 Same input, same request | `SameRequest`, `WaitsAreRepeatable` | `RequestMadeAnew`, `BackoffFromTheClock` |
//! | 7 Pacing is not failure | `PacingHolds`, `AThrottleIsNoFailure` | `PacingForgotten`, `ThrottleIsFailure` |
//! | 8 One bad record or rule stops no other | `OthersGoOn`, `NeighboursDoNoHarm`, `BatchesEndInTime` | `FirstRecordEndsBatch`, `FirstFailureEndsDispatch`, `BadMessageKeepsBatch`, `DeadlineOfMessagesForgotten` |
//! | 9 Event data is data | `EventDataIsData` | `RenderedTwice` |
//! | 10 Nothing secret in a log | `NothingSecretIsLogged` | `PayloadLogged` |
//! | a message is held until its runs have ended, and a group keeps its order | `MessagesAreHeld`, `MessagesComeOnce`, `GroupsKeepOrder` | `HeldMessageIsDone`, `HandOverForgotten`, `HeartbeatUnsaid`, `HeldForEver`, `GroupGoesOn` |
//! | besides | `BudgetsAreTheirOwn`, `SuccessIsProven`, `EndsAreTold`, `PayloadsAreThere`, `AStopIsFinal`, `EndsSayWhy`, `ChainsEnd` | `SpotSpendsAttempts`, `NoExitCodeIsSuccess`, `OutboxClearedFirst`, `PayloadAfterLaunch`, `StoppedRunRetries`, `ReasonForgotten`, `ChainNeverCut` |

use std::fmt;

/// A promise.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Oracle {
    /// Once a source has been told "done", every matching rule has a run.
    NothingIsLost,
    /// One run for each rule and dedupe key.
    OneRunForEachKey,
    /// One task for each attempt, however often its request is sent.
    OneTaskForEachAttempt,
    /// At most one wanted task of a run lives.
    OneLiveTask,
    /// No task is started for a run that has ended, or has gone on to another attempt.
    NoTaskForNobody,
    /// A limit is never exceeded: every wanted task's run holds its slots.
    LimitsHold,
    /// Slots and queues say what the records say, and are empty in the end.
    NoSlotIsLeaked,
    /// A run never moves backwards, and an end is final.
    NothingMovesBackwards,
    /// Every run that has not ended has a date, or waits in a queue that has one.
    EverythingHasADate,
    /// Nothing that is due stays undone, once nothing fails any more.
    NothingWaitsForEver,
    /// An attempt's request is the same, byte for byte, each time.
    SameRequest,
    /// A request is never sent again when ECS may have forgotten its token.
    TokensAreFresh,
    /// No launch without room in the quota.
    PacingHolds,
    /// A throttle spends no attempt.
    AThrottleIsNoFailure,
    /// A run fails only when the budget of the class in which it failed is spent, and classes tell whose fault it was.
    BudgetsAreTheirOwn,
    /// Success is proven.
    SuccessIsProven,
    /// A wait is a function of run and attempt.
    WaitsAreRepeatable,
    /// Each beginning and each end is told.
    EndsAreTold,
    /// What is put aside is there before its task, and goes after the end.
    PayloadsAreThere,
    /// What a person stopped stays stopped.
    AStopIsFinal,
    /// Each bad end says why.
    EndsSayWhy,
    /// One bad rule or record stops no other.
    OthersGoOn,
    /// A free slot goes to who waits, soon.
    WaitersAreAdmitted,
    /// What is skipped or replaced was so by the rule's own word.
    OverlapIsKept,
    /// A success is followed upon once by each rule that waits for it, and a chain has an end.
    ChainsEnd,
    /// What comes with an event is data wherever it goes.
    EventDataIsData,
    /// No log line has anything of an event's detail or of a task's environment.
    NothingSecretIsLogged,
    /// No message is deleted before each of its rules has its run or its dead letter.
    MessagesAreKept,
    /// A message that is held until its runs have ended is deleted then, or past the time of SQS, and comes not again before.
    MessagesAreHeld,
    /// What is kept of a batch is kept for a reason of its own.
    NeighboursDoNoHarm,
    /// No message is recorded before an earlier one of its group that is in the queue still.
    GroupsKeepOrder,
    /// Nothing is begun when the function has no time left.
    BatchesEndInTime,
    /// Each message leaves its queue.
    MessagesEnd,
    /// A message that was taken, or is held, does not come again once nothing fails any more.
    MessagesComeOnce,
}

impl Oracle {
    /// All of them.
    pub const ALL: [Self; 34] = [
        Self::NothingIsLost,
        Self::OneRunForEachKey,
        Self::OneTaskForEachAttempt,
        Self::OneLiveTask,
        Self::NoTaskForNobody,
        Self::LimitsHold,
        Self::NoSlotIsLeaked,
        Self::NothingMovesBackwards,
        Self::EverythingHasADate,
        Self::NothingWaitsForEver,
        Self::SameRequest,
        Self::TokensAreFresh,
        Self::PacingHolds,
        Self::AThrottleIsNoFailure,
        Self::BudgetsAreTheirOwn,
        Self::SuccessIsProven,
        Self::WaitsAreRepeatable,
        Self::EndsAreTold,
        Self::PayloadsAreThere,
        Self::AStopIsFinal,
        Self::EndsSayWhy,
        Self::OthersGoOn,
        Self::WaitersAreAdmitted,
        Self::OverlapIsKept,
        Self::ChainsEnd,
        Self::EventDataIsData,
        Self::NothingSecretIsLogged,
        Self::MessagesAreKept,
        Self::MessagesAreHeld,
        Self::NeighboursDoNoHarm,
        Self::GroupsKeepOrder,
        Self::BatchesEndInTime,
        Self::MessagesEnd,
        Self::MessagesComeOnce,
    ];

    /// The promise, as a sentence.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::NothingIsLost => "an event that was taken has a run for each rule that matches",
            Self::OneRunForEachKey => "there is one run for each rule and dedupe key",
            Self::OneTaskForEachAttempt => "an attempt has one task, however often it is sent",
            Self::OneLiveTask => "at most one wanted task of a run lives",
            Self::NoTaskForNobody => "no task is started for an attempt that is over",
            Self::LimitsHold => "every wanted task's run holds its slots, and no limit is exceeded",
            Self::NoSlotIsLeaked => "slots and queues say what the records say",
            Self::NothingMovesBackwards => "a run never moves backwards, and an end is final",
            Self::EverythingHasADate => "what has not ended has a date",
            Self::NothingWaitsForEver => "what is due is done",
            Self::SameRequest => "an attempt's request is the same each time, byte for byte",
            Self::TokensAreFresh => "no request is sent again past its token's life",
            Self::PacingHolds => "no launch without room in the quota",
            Self::AThrottleIsNoFailure => "a throttle spends no attempt",
            Self::BudgetsAreTheirOwn => {
                "each class of failure spends its own budget, and all of it"
            }
            Self::SuccessIsProven => "success is proven",
            Self::WaitsAreRepeatable => "a wait is a function of run and attempt",
            Self::EndsAreTold => "each beginning and each end is told on the bus",
            Self::PayloadsAreThere => {
                "what is put aside is there before its task and goes after the end"
            }
            Self::AStopIsFinal => "what was stopped is not begun again",
            Self::EndsSayWhy => "each bad end says why",
            Self::OthersGoOn => "one bad rule stops no other",
            Self::WaitersAreAdmitted => "a free slot goes to who waits for it, soon",
            Self::OverlapIsKept => {
                "a run is skipped only where its limit is full and its rule says so"
            }
            Self::ChainsEnd => "a success is followed upon once, and a chain has an end",
            Self::EventDataIsData => "what comes with an event is data wherever it goes",
            Self::NothingSecretIsLogged => "nothing of an event or an environment is logged",
            Self::MessagesAreKept => "a message stays in its queue until its runs are recorded",
            Self::MessagesAreHeld => {
                "a message that is held goes with the end of its runs, and comes not again before"
            }
            Self::NeighboursDoNoHarm => "no message is kept for what befell another of its batch",
            Self::GroupsKeepOrder => "the messages of a group are recorded in their order",
            Self::BatchesEndInTime => "no message is begun when its function has no time left",
            Self::MessagesEnd => "each message leaves its queue in the end",
            Self::MessagesComeOnce => "no message comes again for no reason",
        }
    }
}

/// A broken promise.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which.
    pub oracle: Oracle,
    /// What was seen.
    pub seen: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ({}): {}", self.oracle, self.oracle.sentence(), self.seen)
    }
}
