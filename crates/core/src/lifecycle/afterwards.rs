//! After the end of a run: what is left to tell and to tidy up.

use jiff::Timestamp;

use super::{Decision, Then};
use crate::{chain::LifecycleEvent, run::Run};

/// After the end of a run: what was not told is told, its message is acknowledged, and what was put aside for its tasks goes.
pub(super) fn tidy_up(run: &Run, now: Timestamp) -> Decision {
    let is_due = run.due_at.is_some_and(|due_at| due_at <= now);
    match (run.outbox.is_empty(), &run.message, &run.payload) {
        _ if !is_due => Decision::rest(),
        (false, _, _) => Decision::only(Then::Publish),
        (true, Some(_), _) => Decision::only(Then::Acknowledge),
        (true, None, Some(_)) => Decision::only(Then::Discard),
        (true, None, None) => Decision::rest(),
    }
}

pub(super) fn published(run: &Run, events: &[LifecycleEvent]) -> Decision {
    noted(run, |next| next.outbox.retain(|event| !events.contains(event)))
}

pub(super) fn noted(run: &Run, note: impl FnOnce(&mut Run)) -> Decision {
    let mut next = run.clone();
    note(&mut next);
    Decision::write(next, Then::Rest)
}
