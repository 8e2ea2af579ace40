//! Limits on how many runs are under way at once, and whose turn is next.
//!
//! A limit has a row with the ids of the runs that hold its slots, and a queue of the runs that wait for one, oldest first.
//! Nothing is counted apart from those: a store moves a run in and out of them in the transaction that writes the run
//! ([`moves`]), so no slot can leak. A run with several limits waits in the queue of one of them, the one that had no slot
//! when it was last asked, and so never keeps others from a slot that it cannot use itself. The engine asks [`turns`]
//! whenever something may have changed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    rules::Overlap,
    run::{Run, RunId},
};

/// How long after its last change a limit with a queue is looked at again, so that no lost word leaves it standing.
pub const CHECK_SECONDS: u64 = 60;

/// A limit: what is counted, and for which key.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitId {
    /// `rule/NAME`, `group/NAME`, or `all`.
    pub name: String,
    /// The rendered key; empty where nothing tells runs apart.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub key: String,
}

/// A slot that a run needs.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Slot {
    /// Of which limit.
    pub limit: LimitId,
    /// How many the limit had when the run was made; what the rules say now goes first.
    pub of: u32,
    /// What becomes of the run while there is none.
    pub overlap: Overlap,
}

/// What is known of a limit at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LimitState {
    /// The runs that hold its slots, oldest first.
    pub holders: Vec<RunId>,
    /// The runs at the head of its queue, oldest first.
    pub queue: Vec<Run>,
    /// Rises with each change of holders and queue.
    pub revision: u64,
}

/// What a change of a run's record does to its limits, in the same transaction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Moves<'a> {
    /// The limit whose queue the run leaves.
    pub leave: Option<&'a LimitId>,
    /// The limit whose queue it joins.
    pub join: Option<&'a LimitId>,
    /// It takes a slot of each of these; if one of them has none free, nothing is written.
    pub take: &'a [Slot],
    /// It gives these back.
    pub give: &'a [Slot],
}

/// What writing `run` over `was` does to the run's limits.
pub fn moves<'a>(was: Option<&'a Run>, run: &'a Run) -> Moves<'a> {
    let was_queued = was.and_then(|was| was.queue.as_ref());
    let was_holding = was.is_some_and(Run::holds_slots);
    let stays = was_queued == run.queue.as_ref();
    let is_taken = !crate::is_mutated!(SlotNotTaken);
    let kept = usize::from(crate::is_mutated!(SlotOfOneLimitOnly) && run.slots.len() > 1);
    Moves {
        leave: was_queued.filter(|_| !stays),
        join: run.queue.as_ref().filter(|_| !stays),
        take: if !was_holding && run.holds_slots() && is_taken { &run.slots } else { &[] },
        give: if was_holding && !run.holds_slots() { &run.slots[kept..] } else { &[] },
    }
}

/// What becomes of a run in the queue.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Turn {
    /// A slot is free for it.
    Admit,
    /// It ends as skipped.
    Skip {
        /// Why, in one sentence.
        reason: String,
    },
    /// It waits until this run, which is told to stop, gives its slot back.
    Replace {
        /// The run that holds the slot.
        holder: RunId,
    },
}

/// Whose turn it is, in the order of the queue; runs that simply wait on are left out.
///
/// `of` is how many slots the limit has by the rules of now.
pub fn turns(state: &LimitState, limit: &LimitId, of: u32) -> Vec<(RunId, Turn)> {
    let held = u32::try_from(state.holders.len()).unwrap_or(u32::MAX);
    let mut free = of.saturating_sub(held);
    let mut replaceable = state.holders.iter();
    let mut turns = Vec::new();
    for (index, run) in state.queue.iter().enumerate() {
        let overlap = run.slot(limit).map(|slot| slot.overlap);
        let superseded_by = || {
            let supersedes = |later: &&Run| later.rule == run.rule && supersedes(later, limit);
            state.queue[index + 1..].iter().rfind(supersedes).map(|later| &later.id)
        };
        let turn = match overlap {
            _ if free > 0 => {
                free -= 1;
                Some(Turn::Admit)
            }
            None | Some(Overlap::Queue) => None,
            // A run that allows overlap never queues.
            Some(Overlap::Allow) => Some(Turn::Admit),
            Some(Overlap::Skip) => Some(Turn::Skip { reason: full(limit, of) }),
            Some(Overlap::Latest) => superseded_by().map(superseded),
            Some(Overlap::Replace) => superseded_by().map(superseded).or_else(|| {
                replaceable.next().map(|holder| Turn::Replace { holder: holder.clone() })
            }),
        };
        turns.extend(turn.map(|turn| (run.id.clone(), turn)));
    }
    turns
}

/// Whether only the latest of its rule's runs is to wait; what somebody has had done again waits beside them.
fn supersedes(run: &Run, limit: &LimitId) -> bool {
    let overlap = run.slot(limit).map(|slot| slot.overlap);
    matches!(overlap, Some(Overlap::Latest | Overlap::Replace))
}

fn full(limit: &LimitId, of: u32) -> String {
    let LimitId { name, key } = limit;
    let of_key = if key.is_empty() { String::new() } else { format!(" for `{key}`") };
    format!("the limit of {of} of {name}{of_key} was reached, and the rule says to skip")
}

fn superseded(by: &RunId) -> Turn {
    Turn::Skip {
        reason: format!("run {by} of the same rule came later, and only the latest waits"),
    }
}

/// When the limit must be looked at again: soon if runs wait, else not before the next change.
pub fn check_at(state: &LimitState, now: Timestamp) -> Option<Timestamp> {
    (!state.queue.is_empty() && !crate::is_mutated!(QueueWithoutDate))
        .then(|| crate::run::after(now, CHECK_SECONDS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{lifecycle::tests, run::Status};

    fn limit() -> LimitId {
        LimitId { name: "rule/thumbnails".to_owned(), key: String::new() }
    }

    fn id(name: &str) -> RunId {
        RunId::new("media", "thumbnails", name)
    }

    /// Runs in the queue, each with what its rule says of overlap.
    fn state(holders: &[&str], queue: &[(&str, Overlap)]) -> LimitState {
        let waiting = |(name, overlap): &(&str, Overlap)| {
            let mut run = tests::run(Status::Waiting);
            run.id = id(name);
            run.slots = vec![Slot { limit: limit(), of: 2, overlap: *overlap }];
            run
        };
        LimitState {
            holders: holders.iter().map(|name| id(name)).collect(),
            queue: queue.iter().map(waiting).collect(),
            revision: 1,
        }
    }

    #[track_caller]
    fn check(holders: &[&str], queue: &[(&str, Overlap)], expected: &[(&str, &str)]) {
        let turns = turns(&state(holders, queue), &limit(), 2);
        let told: Vec<(RunId, String)> = turns
            .into_iter()
            .map(|(run, turn)| match turn {
                Turn::Admit => (run, "admit".to_owned()),
                Turn::Skip { .. } => (run, "skip".to_owned()),
                Turn::Replace { holder } => (run, format!("replace {holder}")),
            })
            .collect();
        let expected: Vec<(RunId, String)> =
            expected.iter().map(|(name, turn)| (id(name), (*turn).to_owned())).collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn free_slots_go_to_the_oldest() {
        let queue = [("a", Overlap::Queue), ("b", Overlap::Queue), ("c", Overlap::Queue)];
        check(&[], &queue, &[("a", "admit"), ("b", "admit")]);
        check(&["x"], &queue, &[("a", "admit")]);
        check(&["x", "y"], &queue, &[]);
    }

    #[test]
    fn a_limit_that_was_lowered_admits_nobody_until_enough_have_ended() {
        check(&["x", "y", "z"], &[("a", Overlap::Queue)], &[]);
    }

    #[test]
    fn what_skips_does_not_wait() {
        check(&["x", "y"], &[("a", Overlap::Skip), ("b", Overlap::Queue)], &[("a", "skip")]);
        check(&["x"], &[("a", Overlap::Skip)], &[("a", "admit")]);
    }

    #[test]
    fn only_the_latest_waits() {
        let queue = [("a", Overlap::Latest), ("b", Overlap::Latest), ("c", Overlap::Latest)];
        check(&["x", "y"], &queue, &[("a", "skip"), ("b", "skip")]);
    }

    #[test]
    fn what_is_done_again_waits_and_takes_nobody_else_s_place() {
        let queue = [("a", Overlap::Latest), ("again", Overlap::Queue)];
        check(&["x", "y"], &queue, &[]);
        let queue =
            [("again", Overlap::Queue), ("b", Overlap::Replace), ("again 2", Overlap::Queue)];
        check(&["x", "y"], &queue, &[("b", &format!("replace {}", id("x")))]);
    }

    #[test]
    fn the_newest_replaces_the_oldest_that_runs() {
        let queue = [("a", Overlap::Replace), ("b", Overlap::Replace)];
        let oldest = format!("replace {}", id("x"));
        check(&["x", "y"], &queue, &[("a", "skip"), ("b", &oldest)]);
    }

    #[test]
    fn a_run_moves_through_its_limits_with_its_status() {
        let mut waiting = tests::run(Status::Waiting);
        waiting.slots = vec![Slot { limit: limit(), of: 1, overlap: Overlap::Queue }];
        waiting.queue = Some(limit());
        let mut launching = waiting.clone();
        (launching.status, launching.queue) = (Status::Launching, None);
        let mut ended = launching.clone();
        ended.status = Status::Failed;
        let told = |was, run| {
            let Moves { leave, join, take, give } = moves(was, run);
            (leave.is_some(), join.is_some(), take.len(), give.len())
        };
        assert_eq!(told(None, &waiting), (false, true, 0, 0));
        assert_eq!(told(Some(&waiting), &launching), (true, false, 1, 0));
        assert_eq!(told(Some(&launching), &launching), (false, false, 0, 0));
        assert_eq!(told(Some(&launching), &ended), (false, false, 0, 1));
        let mut cancelled = waiting.clone();
        (cancelled.status, cancelled.queue) = (Status::Cancelled, None);
        assert_eq!(told(Some(&waiting), &cancelled), (true, false, 0, 0));
        let mut elsewhere = waiting.clone();
        elsewhere.queue = Some(LimitId { name: "all".to_owned(), key: String::new() });
        assert_eq!(told(Some(&waiting), &elsewhere), (true, true, 0, 0));
    }
}
