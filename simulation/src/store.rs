//! The records in memory: exactly what the port `Runs` promises, each call at once or not at all.
//!
//! Knows no faults; `ports` puts them around it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use taskferry_core::{
    limits::{self, LimitId, LimitState, Moves},
    pace::{Bucket, Window},
    run::{Run, RunId},
};
use taskferry_engine::ports::{Created, Updated};

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Store {
    rows: BTreeMap<RunId, Row>,
    due: BTreeSet<(Timestamp, RunId)>,
    limits: BTreeMap<LimitId, LimitRow>,
    windows: BTreeMap<(Bucket, Timestamp), u32>,
}

/// A run's row.
#[derive(Debug)]
pub(crate) struct Row {
    /// The record.
    pub(crate) run: Run,
    /// As it was before the last write.
    pub(crate) before: Option<Box<Run>>,
    /// The event.
    pub(crate) event: String,
}

/// A limit's row.
#[derive(Clone, Debug, Default)]
pub(crate) struct LimitRow {
    /// Who holds its slots, the oldest first.
    pub(crate) holders: Vec<RunId>,
    /// Who waits.
    pub(crate) queue: BTreeSet<(Timestamp, RunId)>,
    /// Rises with each change.
    pub(crate) revision: u64,
    /// When it is looked at again.
    pub(crate) check_at: Option<Timestamp>,
    /// As it was before the last change.
    before: Option<LimitState>,
}

impl Store {
    /// `Runs::create`.
    pub(crate) fn create(&mut self, run: &Run, event: &str, now: Timestamp) -> Created {
        if let Some(row) = self.rows.get(&run.id) {
            return Created::Exists(Box::new(row.run.clone()));
        }
        self.move_through_limits(&limits::moves(None, run), run, now);
        self.due.extend(run.due_at.map(|due_at| (due_at, run.id.clone())));
        let row = Row { run: run.clone(), before: None, event: event.to_owned() };
        self.rows.insert(run.id.clone(), row);
        Created::New
    }

    /// `Runs::update`.
    pub(crate) fn update(&mut self, was: &Run, run: &Run, now: Timestamp) -> Updated {
        let Some(row) = self.rows.get(&run.id).filter(|row| row.run.revision == was.revision)
        else {
            return Updated::Conflict;
        };
        // What stands there decides, as it does in a transaction.
        let stands = row.run.clone();
        let moves = limits::moves(Some(&stands), run);
        let full = moves.take.iter().find(|slot| {
            let held = self.limits.get(&slot.limit).map_or(0, |row| row.holders.len());
            held >= slot.of as usize
        });
        if let Some(slot) = full {
            return Updated::Full(slot.limit.clone());
        }
        self.move_through_limits(&moves, run, now);
        if let Some(due_at) = stands.due_at {
            self.due.remove(&(due_at, run.id.clone()));
        }
        self.due.extend(run.due_at.map(|due_at| (due_at, run.id.clone())));
        if let Some(row) = self.rows.get_mut(&run.id) {
            row.before = Some(Box::new(stands));
            row.run = run.clone();
        }
        Updated::Done
    }

    fn move_through_limits(&mut self, moves: &Moves<'_>, run: &Run, now: Timestamp) {
        let place = (run.created_at, run.id.clone());
        if let Some(limit) = moves.leave {
            self.change(limit, now, |row| {
                row.queue.remove(&place);
            });
        }
        if let Some(limit) = moves.join {
            self.change(limit, now, |row| {
                row.queue.insert(place.clone());
            });
        }
        for slot in moves.take {
            self.change(&slot.limit, now, |row| row.holders.push(run.id.clone()));
        }
        for slot in moves.give {
            self.change(&slot.limit, now, |row| row.holders.retain(|holder| *holder != run.id));
        }
    }

    fn change(&mut self, limit: &LimitId, now: Timestamp, change: impl FnOnce(&mut LimitRow)) {
        let before = self.limit(limit, u32::MAX);
        let row = self.limits.entry(limit.clone()).or_default();
        row.before = Some(before);
        change(row);
        row.revision += 1;
        let seconds = i64::try_from(limits::CHECK_SECONDS).unwrap_or(i64::MAX);
        let check_at = now.saturating_add(SignedDuration::from_secs(seconds));
        row.check_at = check_at.ok().filter(|_| !row.queue.is_empty());
    }

    /// `Runs::get`.
    pub(crate) fn get(&self, id: &RunId) -> Option<&Run> {
        self.rows.get(id).map(|row| &row.run)
    }

    /// The row of a run.
    pub(crate) fn row(&self, id: &RunId) -> Option<&Row> {
        self.rows.get(id)
    }

    /// All rows.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }

    /// All limits.
    pub(crate) fn limits(&self) -> impl Iterator<Item = (&LimitId, &LimitRow)> {
        self.limits.iter()
    }

    /// `Runs::due`: the runs.
    pub(crate) fn due_runs(&self, now: Timestamp, limit: u32) -> Vec<Run> {
        let due = self.due.iter().take_while(|(due_at, _)| *due_at <= now);
        due.take(limit as usize).filter_map(|(_, id)| self.get(id).cloned()).collect()
    }

    /// `Runs::due`: the limits.
    pub(crate) fn due_limits(&self, now: Timestamp, limit: u32) -> Vec<LimitId> {
        let due = self.limits.iter().filter(|(_, row)| row.check_at.is_some_and(|at| at <= now));
        due.take(limit as usize).map(|(id, _)| id.clone()).collect()
    }

    /// When something is due next.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        let run = self.due.first().map(|(due_at, _)| *due_at);
        let limit = self.limits.values().filter_map(|row| row.check_at).min();
        run.into_iter().chain(limit).min()
    }

    /// `Runs::limit`.
    pub(crate) fn limit(&self, limit: &LimitId, queue_length: u32) -> LimitState {
        let Some(row) = self.limits.get(limit) else { return LimitState::default() };
        let waiting = row.queue.iter().take(queue_length as usize);
        LimitState {
            holders: row.holders.clone(),
            queue: waiting.filter_map(|(_, id)| self.get(id).cloned()).collect(),
            revision: row.revision,
        }
    }

    /// `Runs::limit`, as it was before the last change.
    pub(crate) fn stale_limit(&self, limit: &LimitId) -> Option<LimitState> {
        self.limits.get(limit)?.before.clone()
    }

    /// `Runs::settle_limit`.
    pub(crate) fn settle_limit(
        &mut self,
        limit: &LimitId,
        revision: u64,
        check_at: Option<Timestamp>,
    ) {
        if let Some(row) = self.limits.get_mut(limit).filter(|row| row.revision == revision) {
            row.check_at = check_at;
        }
    }

    /// `Runs::take_token`.
    pub(crate) fn take_token(&mut self, window: &Window) -> bool {
        let taken = self.windows.entry((window.bucket, window.begin)).or_default();
        let has_one = *taken < window.tokens;
        *taken += u32::from(has_one);
        has_one
    }

    /// `Runs::close_window`.
    pub(crate) fn close_window(&mut self, window: &Window) {
        self.windows.insert((window.bucket, window.begin), window.tokens);
    }
}
