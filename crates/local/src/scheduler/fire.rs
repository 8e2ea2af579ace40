//! Firing: what is due is delivered, and each schedule moved on, in one transaction.
//!
//! A schedule of the rules file that comes late by more than a minute and its window was missed: nothing ran here when its
//! time came. It is then invoked once, with how many times it was. One by the API is invoked for each time that is not
//! older than its retry policy allows, as Scheduler would that had tried since then.

use jiff::{SignedDuration, Timestamp};
use rusqlite::Transaction;
use taskferry_core::schedule::Schedule;

use super::{
    Fired, Scheduler, advance,
    context::{Context, arn},
    definition::{Definition, Missed, Target},
    retry::Ended,
    store::{self, Attempt, Row},
    target::Invoked,
};

/// How late a schedule may be that was not missed.
// https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
// "All schedule types on EventBridge Scheduler invoke their targets with 60 second precision."
const PRECISION: SignedDuration = SignedDuration::from_secs(60);

/// How many are fired in one transaction.
const BATCH: u32 = 50;

/// Up to which number times that were missed are counted.
const COUNTED_MAX: usize = 10_000;

impl Scheduler {
    /// Fires what is due, and says when something is due next.
    ///
    /// # Errors
    ///
    /// SQLite's. What was done before stands; the rest is due as before.
    pub fn fire_due(&self, now: Timestamp) -> rusqlite::Result<Option<Timestamp>> {
        loop {
            let fired = self.db.write(|tx| {
                let due = store::due(tx, now, BATCH)?;
                let fired = due.iter().map(|row| self.fire(tx, row, now));
                fired.collect::<rusqlite::Result<Vec<_>>>()
            })?;
            if fired.is_empty() {
                break;
            }
            for fired in fired.into_iter().flatten() {
                // There may be nobody who listens.
                let _told = self.fired.send(fired);
            }
        }
        self.try_again(now)?;
        self.db.read(store::next_due)
    }

    /// Fires one schedule for the time that it is due for, and moves it on.
    fn fire(
        &self,
        tx: &Transaction<'_>,
        row: &Row,
        now: Timestamp,
    ) -> rusqlite::Result<Option<Fired>> {
        let Some(due) = row.next else { return Ok(None) };
        let schedule = match row.definition.schedule() {
            Ok(schedule) => schedule,
            Err(error) => {
                tracing::error!(group = row.group, name = row.name, %error, "a stored schedule cannot be read");
                store::set_next(tx, &row.key(), None)?;
                return Ok(None);
            }
        };
        let on_time = earlier(now, allowance(&row.definition));
        let (scheduled, missed) = match &row.definition.missed {
            Some(_) if due < on_time => last_between(&schedule, row.created, due, on_time),
            Some(_) => (due, None),
            // Scheduler would have given up what is older.
            None => match self.drop_older(tx, row, &schedule, due, now)? {
                Some(due) => (due, None),
                None => return Ok(None),
            },
        };
        let target = match (&row.definition.missed, missed) {
            (Some(missed), Some(count)) => missed_target(&row.definition.target, missed, count),
            (Some(_) | None, _) => row.definition.target.clone(),
        };
        let context = Context::new(arn(&row.group, &row.name), scheduled, 1);
        match self.invoke(tx, &context, &target)? {
            Ok(Invoked::Done) => {}
            // A call of its own: recorded now, made after this transaction.
            Ok(Invoked::Later) => {
                let attempt = Attempt {
                    id: 0,
                    schedule_arn: context.schedule_arn.clone(),
                    scheduled,
                    target,
                    attempts: 0,
                };
                store::add_attempt(tx, &attempt, now)?;
            }
            Err(refusal) => {
                let ended = Ended { context: &context, target: &target, refusal: &refusal };
                self.after_failure(tx, None, &ended, now)?;
            }
        }
        advance(tx, row, schedule.next_after(scheduled, row.created))?;
        let (group, name) = (row.group.clone(), row.name.clone());
        Ok(Some(Fired { group, name, scheduled, missed, is_managed: row.is_managed }))
    }

    /// Moves a schedule past the times that are older than its retry policy allows. Returns the first that is not, if that
    /// has come.
    fn drop_older(
        &self,
        tx: &Transaction<'_>,
        row: &Row,
        schedule: &Schedule,
        due: Timestamp,
        now: Timestamp,
    ) -> rusqlite::Result<Option<Timestamp>> {
        let age = SignedDuration::from_secs(row.definition.target.event_age_seconds_max().into());
        let oldest = earlier(now, age);
        if due >= oldest {
            return Ok(Some(due));
        }
        tracing::warn!(
            group = row.group, name = row.name, scheduled = %due,
            "a schedule was missed for longer than its retry policy allows"
        );
        let context = Context::new(arn(&row.group, &row.name), due, 1);
        let refusal = super::target::Refusal {
            code: "EVENT_AGE_EXCEEDED",
            message: "nothing ran on this machine when it was due".to_owned(),
        };
        let ended = Ended { context: &context, target: &row.definition.target, refusal: &refusal };
        self.bury(tx, &ended, "MaximumEventAgeInSeconds")?;
        let next = schedule.next_after(earlier(oldest, SignedDuration::from_nanos(1)), row.created);
        match next {
            Some(next) if next <= now => Ok(Some(next)),
            next => {
                advance(tx, row, next)?;
                Ok(None)
            }
        }
    }
}

/// How late a schedule may be and still be in time.
fn allowance(definition: &Definition) -> SignedDuration {
    let window = SignedDuration::from_mins(definition.window_minutes().into());
    window.saturating_add(PRECISION)
}

fn earlier(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_sub(by).unwrap_or(Timestamp::MIN)
}

/// The last time from `due` to `until`, `due` itself being one, and how many there are.
fn last_between(
    schedule: &Schedule,
    created: Timestamp,
    due: Timestamp,
    until: Timestamp,
) -> (Timestamp, Option<u64>) {
    let after = |time| schedule.next_after(time, created).filter(|next| *next < until);
    let times = || std::iter::successors(Some(due), |time| after(*time));
    let count = times().take(COUNTED_MAX).count();
    // The last is looked for from the end on: of a schedule that fires each minute, a year has half a million.
    let windows = [1, 24, 24 * 31, 24 * 366].map(SignedDuration::from_hours);
    let last = windows.into_iter().find_map(|window| {
        let begin = earlier(until, window).max(due);
        let first = if begin == due { Some(due) } else { after(begin) };
        std::iter::successors(first, |time| after(*time)).last()
    });
    let last = last.unwrap_or_else(|| times().last().unwrap_or(due));
    (last, Some(count as u64))
}

/// The target with the input for times that were missed.
fn missed_target(target: &Target, missed: &Missed, count: u64) -> Target {
    let input = missed.input.replace(&missed.count_attribute, &count.to_string());
    Target { input: Some(input), ..target.clone() }
}
