//! The message that a run answers, kept in its queue until the run has ended: held by a heartbeat, then acknowledged.
//!
//! Beside the run's own life: the heartbeat has a date of its own, and a run with a message is due at the earlier of the two.
//! SQS holds a message for 12 hours at most; past that the run's record is what is left of it.

use std::borrow::Cow;

use jiff::Timestamp;

use super::{Decision, Happening, Then, afterwards::noted};
use crate::run::{HeldMessage, Run, after};

/// For how long a message is kept from being delivered again each time: long enough that some sweeps may fail.
pub const VISIBILITY_SECONDS: u64 = 600;
/// When that is said again.
pub const HEARTBEAT_SECONDS: u64 = 300;
/// What could not be said is said again after so long.
const AGAIN_SECONDS: u64 = 30;
/// For how long a message is held, from its delivery on: under the 12 hours of SQS, by the time that the delivery may have
/// waited for its batch and the last extension runs.
///
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html>
pub(super) const HELD_SECONDS: u64 = 39_600;

/// The run as it is without its message: its date is its own.
pub(super) fn own(run: &Run) -> Cow<'_, Run> {
    match &run.message {
        Some(message) if !run.status.is_terminal() => {
            let mut own = run.clone();
            own.due_at = message.own_due_at;
            Cow::Owned(own)
        }
        Some(_) | None => Cow::Borrowed(run),
    }
}

/// The date of a run whose own date is known: the earlier of that and its message's.
pub(super) fn date(run: &mut Run) {
    let has_ended = run.ended_at.is_some();
    let own_due_at = run.due_at;
    if let Some(message) = run.message.as_mut().filter(|_| !has_ended) {
        message.own_due_at = own_due_at;
        run.due_at = own_due_at.into_iter().chain([message.extend_at]).min();
    }
}

/// What a happening means for the message alone, if it means something.
pub(super) fn decide(run: &Run, happening: &Happening, now: Timestamp) -> Option<Decision> {
    let message = run.message.as_ref().filter(|_| !run.status.is_terminal())?;
    let is_due = message.extend_at <= now;
    match happening {
        Happening::Due
            if is_due
                && after(message.received_at, HELD_SECONDS) <= now
                && !crate::is_mutated!(HeldForEver) =>
        {
            Some(Decision::only(Then::Acknowledge))
        }
        Happening::Due if is_due => Some(Decision::only(Then::Extend)),
        Happening::Hindered { .. } if is_due => Some(changed(run, |message| {
            message.extend_at = after(now, AGAIN_SECONDS);
        })),
        Happening::Due
        | Happening::Hindered { .. }
        | Happening::Redelivered
        | Happening::Admitted
        | Happening::Full { .. }
        | Happening::Paced
        | Happening::Unpaced { .. }
        | Happening::Answered { .. }
        | Happening::Task(_)
        | Happening::Missing
        | Happening::Stop { .. }
        | Happening::Skip { .. }
        | Happening::Published { .. }
        | Happening::Discarded
        | Happening::Received { .. }
        | Happening::Extended { .. }
        | Happening::Released
        | Happening::Redriven { .. } => None,
    }
}

/// A delivery of the message came: it is held by the newest from now on.
///
/// Another message that comes to the same run, by the rule's `dedupe`, is none of its: it repeats what is held already. So
/// does a delivery before the one that holds it: who brings that was frozen for as long as it held.
pub(super) fn received(run: &Run, message: &HeldMessage) -> Decision {
    match &run.message {
        Some(held) if !held.is_same(message) && !crate::is_mutated!(HoldTakenOver) => {
            Decision::rest()
        }
        Some(held) if held.is_same(message) && message.received_at < held.received_at => {
            Decision::rest()
        }
        Some(_) if crate::is_mutated!(NewDeliveryForgotten) => Decision::rest(),
        Some(_) | None => noted(run, |next| next.message = Some(Box::new(message.clone()))),
    }
}

pub(super) fn extended(run: &Run, until: Timestamp) -> Decision {
    changed(run, |message| message.extend_at = until)
}

/// The message is gone, or another run's, or due to be delivered again.
pub(super) fn released(run: &Run) -> Decision {
    noted(run, |next| next.message = None)
}

fn changed(run: &Run, change: impl FnOnce(&mut HeldMessage)) -> Decision {
    noted(run, |next| {
        if let Some(message) = next.message.as_deref_mut() {
            change(message);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        lifecycle::{Stack, decide, tests},
        run::Status,
    };

    const STACK: Stack<'_> = Stack { name: "media", publishes: false };

    fn launching() -> Run {
        tests::run(Status::Launching)
    }

    fn second(second: u64) -> Timestamp {
        Timestamp::from_second(i64::try_from(second).unwrap()).unwrap()
    }

    fn message(received_at: u64) -> HeldMessage {
        HeldMessage {
            queue_arn: "arn:aws:sqs:us-east-1:000000000000:jobs".to_owned(),
            id: "m".to_owned(),
            receipt_handle: format!("delivered at {received_at}"),
            received_at: second(received_at),
            extend_at: second(received_at + HEARTBEAT_SECONDS),
            own_due_at: None,
            others: Vec::new(),
        }
    }

    fn held(run: &Run) -> Run {
        let received = Happening::Received { message: Box::new(message(10)) };
        *decide(STACK, run, &received, second(10)).next.unwrap()
    }

    #[test]
    fn another_message_does_not_take_the_place_of_one_that_is_held() {
        let run = held(&launching());
        let other = HeldMessage { id: "another".to_owned(), ..message(20) };
        let received = Happening::Received { message: Box::new(other) };
        assert_eq!(decide(STACK, &run, &received, second(20)), Decision::rest());
    }

    #[test]
    fn a_delivery_that_was_before_does_not_take_the_place_of_the_newest() {
        let run = held(&launching());
        let before = Happening::Received { message: Box::new(message(9)) };
        assert_eq!(decide(STACK, &run, &before, second(700)), Decision::rest());
    }

    #[test]
    fn a_message_is_extended_before_it_comes_again() {
        let run = held(&launching());
        let due = run.due_at.unwrap();
        assert!(due <= second(10 + HEARTBEAT_SECONDS));
        // A sweep may be late, or fail.
        const { assert!(HEARTBEAT_SECONDS + 2 * 60 < VISIBILITY_SECONDS) };
        let decision = decide(STACK, &run, &Happening::Due, second(310));
        assert_eq!((decision.next, decision.then), (None, Then::Extend));
        let until = second(610);
        let next = decide(STACK, &run, &Happening::Extended { until }, second(310)).next.unwrap();
        assert_eq!(next.message.as_ref().unwrap().extend_at, until);
    }

    #[test]
    fn a_heartbeat_does_not_cut_a_wait_short() {
        let mut waiting = launching();
        waiting.status = Status::Waiting;
        waiting.due_at = Some(second(2000));
        let run = held(&waiting);
        assert_eq!(run.due_at, Some(second(310)));
        let extended = Happening::Extended { until: second(610) };
        let Decision { next, then } = decide(STACK, &run, &extended, second(310));
        let next = next.unwrap();
        assert_eq!((next.due_at, then), (Some(second(610)), Then::Rest));
        assert_eq!(next.message.as_ref().unwrap().own_due_at, Some(second(2000)));
        // Its own date comes, and the message's does not hide it.
        let mut later = *next;
        later.message.as_mut().unwrap().extend_at = second(2900);
        let decision = decide(STACK, &later, &Happening::Due, second(2000));
        assert_eq!(decision.then, Then::Pace);
    }

    #[test]
    fn a_delivery_that_is_over_does_not_let_go_of_the_next() {
        let run = held(&launching());
        // The delivery at 10 was over, and that at 300 was written before this could be.
        let again = Happening::Received { message: Box::new(message(300)) };
        let run = *decide(STACK, &run, &again, second(300)).next.unwrap();
        let anew = Happening::Released.anew();
        assert_eq!(anew, Happening::Due);
        let decision = decide(STACK, &run, &anew, second(310));
        assert!(decision.next.is_none_or(|next| next.message == run.message));
    }

    #[test]
    fn what_is_due_as_well_goes_on_after_the_heartbeat() {
        let mut waiting = launching();
        waiting.status = Status::Waiting;
        waiting.due_at = Some(second(300));
        let run = held(&waiting);
        let extended = Happening::Extended { until: second(610) };
        let decision = decide(STACK, &run, &extended, second(310));
        assert_eq!(decision.then, Then::Pace);
        assert_eq!(decision.next.unwrap().message.unwrap().extend_at, second(610));
    }

    #[test]
    fn a_call_that_fails_is_made_again_soon() {
        let run = held(&launching());
        let hindered = Happening::Hindered { reason: "away".to_owned() };
        let next = decide(STACK, &run, &hindered, second(310)).next.unwrap();
        assert_eq!(next.message.unwrap().extend_at, second(310 + AGAIN_SECONDS));
    }

    #[test]
    fn another_delivery_takes_the_message_over_and_the_end_keeps_it_until_it_is_acknowledged() {
        let run = held(&launching());
        let again = Happening::Received { message: Box::new(message(500)) };
        let run = *decide(STACK, &run, &again, second(500)).next.unwrap();
        assert_eq!(run.message.as_ref().unwrap().receipt_handle, "delivered at 500");
        let mut ended = run;
        ended.end(Status::Succeeded, None, second(600));
        let ended = crate::lifecycle::begin(STACK, ended, second(600));
        let due = ended.due_at.unwrap();
        assert_eq!(decide(STACK, &ended, &Happening::Due, due).then, Then::Acknowledge);
        // A run that has ended takes no delivery: its message is acknowledged by whoever brings it.
        assert_eq!(decide(STACK, &ended, &again_of(700), second(700)), Decision::rest());
        let next = decide(STACK, &ended, &Happening::Released, due).next.unwrap();
        assert_eq!((next.message, next.due_at), (None, None));
    }

    fn again_of(at: u64) -> Happening {
        Happening::Received { message: Box::new(message(at)) }
    }

    #[test]
    fn after_eleven_hours_the_record_is_what_is_left() {
        let mut run = held(&launching());
        run.message.as_mut().unwrap().extend_at = second(10 + HELD_SECONDS);
        let at = second(10 + HELD_SECONDS);
        assert_eq!(decide(STACK, &run, &Happening::Due, at).then, Then::Acknowledge);
        let next = decide(STACK, &run, &Happening::Released, at).next.unwrap();
        assert_eq!(next.message, None);
        assert!(next.due_at.is_some());
        const { assert!(HELD_SECONDS + VISIBILITY_SECONDS + 300 < 12 * 3600) };
    }
}
