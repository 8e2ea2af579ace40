//! Bugs that a person could write, for the simulation to find.
//!
//! `cargo xtask simulate --mutations` builds with `--cfg mutations` and turns on one after the other; each must be found by a seed.
//! In every other build `is_mutated!` is `false` and none of them is there.

/// Whether a bug is turned on; never, but in builds with `--cfg mutations`.
#[cfg(mutations)]
#[macro_export]
#[doc(hidden)]
macro_rules! is_mutated {
    ($mutation:ident) => {
        $crate::mutations::is_on($crate::mutations::Mutation::$mutation)
    };
}

/// Whether a bug is turned on; never, but in builds with `--cfg mutations`.
#[cfg(not(mutations))]
#[macro_export]
#[doc(hidden)]
macro_rules! is_mutated {
    ($mutation:ident) => {
        false
    };
}

#[cfg(mutations)]
pub use self::selected::{Mutation, is_on, select};

#[cfg(mutations)]
mod selected {
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Declares the bugs and lists them.
    macro_rules! mutations {
        ($($name:ident: $what:literal,)*) => {
            /// A bug.
            #[derive(Clone, Copy, Debug, Eq, PartialEq)]
            pub enum Mutation {
                $(#[doc = $what] $name,)*
            }

            impl Mutation {
                /// All of them, with what each does.
                pub const ALL: &[(Self, &str)] = &[$((Self::$name, $what),)*];
            }
        };
    }

    mutations! {
        TokenWithoutAttempt: "the client token is the run's, and not the attempt's",
        DedupeForgotten: "the rule's `dedupe` is not looked at",
        VersionIgnored: "an event that was overtaken is taken in",
        NoExitCodeIsSuccess: "a container without an exit code has succeeded",
        NoContainersIsSuccess: "a task without containers has succeeded",
        OutOfMemoryIsSuccess: "exit code 0 is success, out of memory or not",
        StopCodeIgnored: "exit code 0 is success, whatever stopped the task",
        TimeoutIsPersonsWord: "a task that took too long counts as stopped by a person",
        TokenForEver: "a client token is relied upon for ever",
        DenialIsProof: "`failures[]` is taken for proof that there is no task",
        FreshTokenAfterLoss: "after an answer that was lost the next attempt begins",
        ThrottleIsFailure: "a throttle ends the attempt",
        SlotKeptAfterEnd: "a run keeps its slots after its end",
        SlotGivenBackInBackoff: "a run gives its slots back while it waits for its next attempt",
        SlotGivenBackOnStop: "a run gives its slots back when its task is told to stop",
        SlotNotTaken: "a run is admitted without taking its slots",
        SlotOfOneLimitOnly: "a run gives back the slot of its first limit alone",
        LimitPlusOne: "a limit admits one more than it says",
        LimitOfThen: "a limit that was changed holds for new runs only",
        DueDateDropped: "a task that starts has no date",
        QueueWithoutDate: "a limit with a queue has no date",
        BackoffFromTheClock: "the dice of a wait are the time of the attempt",
        BudgetShared: "all classes spend one budget",
        BudgetOneMore: "a budget is one attempt larger than it says",
        SpotSpendsAttempts: "what Spot takes back counts as the application's failure",
        StopNotRepeated: "a stop that was lost is not said again",
        TimeoutNotChecked: "nobody looks at the limits of time",
        StopConcludedAtOnce: "a stopped run without a task is over at once",
        AdoptionSkipped: "a task that turns up after `failures[]` is a stray",
        StoppedRunRetries: "what a person stopped is tried again",
        EndUntold: "a run that timed out tells nothing",
        StartUntold: "a run that has started tells nothing",
        OutboxClearedFirst: "the outbox is cleared though publishing failed",
        PayloadAfterLaunch: "the event is put aside after the launch",
        PayloadDiscardedAtEnd: "what was put aside goes with the end of the run",
        PayloadKept: "what was put aside stays",
        PacingForgotten: "nobody asks the quota",
        CalmForEver: "a process always takes itself for calm",
        LateSend: "a request goes out however late",
        CallBeforeRecord: "the request goes out before its record is written",
        LastWriterWins: "the record that stands is not looked at before it is written over",
        RequestMadeAnew: "a request is rendered anew each time it is sent",
        StaleSkip: "what was admitted is skipped since the limit was full a while ago",
        AdmissionLeftToSweep: "a slot that comes free is left to the sweep",
        LimitsNotSwept: "the sweep sees to runs alone",
        ReasonForgotten: "an end has no reason",
        FirstFailureEndsDispatch: "the first rule that fails keeps the others from their runs",
        LostTaskIsSuccess: "a task that ECS has forgotten has succeeded",
        FirstRecordEndsBatch: "the first record of a batch that fails keeps the others from their turn",
        NotBegunIsDone: "a record of a batch whose turn did not come counts as done",
        TokenForgotten: "a request has no client token",
        RedriveOfRevision: "two who redrive a run make two of it, if it was written in between",
        ChainNeverCut: "a chain of runs is as long as it likes",
        LastOfChainTells: "the run that ends a chain tells of its end",
        DepthForgotten: "a chain of runs does not count how long it is",
        ChainKeyedByEvent: "a lifecycle event that is told twice starts two runs",
        RenderedTwice: "what a template rendered is taken for a template again",
        PayloadLogged: "the event is logged",
        LateRequestForgotten: "nobody waits for a request that may be under way still",
        ResendsNotCounted: "a launch that is sent again is written as the first",
        FailedMessageIsDone: "a message that could not be taken counts as done",
        MalformedMessageIsDone: "a message that nobody can read counts as done",
        KeptAreTheGood: "the function answers with the messages that were taken",
        BadMessageKeepsBatch: "one message that is kept keeps its whole batch",
        RefusedRecordForgotten: "what a message has that is not S3's, though it says so, is dropped",
        DedupedByBody: "two messages that say the same are one",
        DeadlineOfMessagesForgotten: "messages are begun when their function has no time left",
        GroupGoesOn: "a message is taken though one before it in its group is kept",
        RestOfGroupForgotten: "those behind a message that is kept are not kept",
        HeldSideBySide: "a FIFO queue that holds its messages hands ten of them over together",
        HeldMessageIsDone: "a message that is to be held goes when its run is recorded",
        HeartbeatUnsaid: "the heartbeat of a message is noted, and not said to its queue",
        HeartbeatFromAnswer: "a heartbeat counts from its answer, however late that is read",
        HoldTooShort: "a message is held no longer than to the next heartbeat",
        HeldForEver: "a message is held for longer than its queue holds one",
        NewDeliveryForgotten: "a message that comes again is held by the delivery before",
        ReleaseOfTheNext: "a delivery that is over lets go of the one that came after it",
        HoldTakenOver: "a message takes the place of another one that its run holds",
        HandOverForgotten: "a message goes with the first of its runs to end",
        OthersForgotten: "a run that holds a message does not know of the other runs of it",
        DeletionNotRepeated: "a message that could not be deleted is left to the run that has ended",
    }

    static SELECTED: AtomicUsize = AtomicUsize::new(usize::MAX);

    /// Turns one on, and all others off.
    pub fn select(mutation: Mutation) {
        SELECTED.store(mutation as usize, Ordering::Relaxed);
    }

    /// Whether it is on.
    pub fn is_on(mutation: Mutation) -> bool {
        SELECTED.load(Ordering::Relaxed) == mutation as usize
    }
}
