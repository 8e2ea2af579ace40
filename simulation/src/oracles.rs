//! The oracles: each promise as a check of its own, upon the truth and not upon what the engine believes.
//!
//! Asked by the ports as records are written and tasks started, by the loop as time passes, and at the end. The first promise
//! found broken ends the simulation.

use std::{collections::BTreeMap, sync::Arc};

use jiff::SignedDuration;
use taskferry_core::{
    failure::FailureClass,
    limits::LimitId,
    retry,
    rules::Rules,
    run::{Attempt, Run, RunId, Status, StopCause},
};
use taskferry_engine::ports::Created;

use crate::{
    ports::member,
    promises::{Oracle, Violation},
    scenario::{self, STACK},
    world::{HOUR, MINUTE, Micros, SECOND, World, at, since},
};

mod queues;
mod words;

/// What the oracles remember.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    /// The requests that were sent: the text, and when first.
    requests: BTreeMap<String, (String, Micros)>,
    /// The runs by rule and key.
    made: BTreeMap<(String, String), RunId>,
    /// The rules that processes have now.
    pub(crate) rules: Vec<Arc<Rules>>,
    /// All that they have or will have.
    all_rules: Vec<Arc<Rules>>,
    /// How many slots a limit had when a run was admitted to it.
    admitted: BTreeMap<(RunId, LimitId), usize>,
    /// Since when a limit has had both a free slot and somebody who waits.
    stalled: BTreeMap<LimitId, Micros>,
    /// When nothing failed any more.
    pub(crate) calm_since: Option<Micros>,
}

/// How long a limit may have a free slot and somebody who waits.
const STALLED_MAX: Micros = 10 * SECOND;
/// How long something may be due.
const OVERDUE_MAX: Micros = 4 * MINUTE;
/// What was begun while things failed may take so long.
const CALMING: Micros = 30 * MINUTE;
/// By when every run has ended once nothing fails any more.
pub(crate) const END_WITHIN: Micros = 36 * HOUR;

impl World {
    /// A promise was found broken; the first counts.
    pub(crate) fn broken(&mut self, oracle: Oracle, seen: impl FnOnce() -> String) {
        if self.violation.is_none() {
            let seen = seen();
            self.note(|| format!("BROKEN   {oracle:?}: {seen}"));
            self.violation = Some(Violation { oracle, seen });
        }
    }

    /// A promise speaks of what was just seen: it holds, or is broken.
    pub(crate) fn held(&mut self, holds: bool, oracle: Oracle, seen: impl FnOnce() -> String) {
        self.coverage.asked(oracle);
        if !holds {
            self.broken(oracle, seen);
        }
    }

    // ---- records ----

    /// A record was to be made.
    pub(crate) fn judge_create(&mut self, process: usize, run: &Run, created: &Created) {
        let key = (run.rule.clone(), run.dedupe_key.clone());
        match self.judge.made.get(&key).cloned() {
            Some(known) => self.held(known == run.id, Oracle::OneRunForEachKey, || {
                let (rule, key) = (&run.rule, &run.dedupe_key);
                format!("{} and {known} are both of rule {rule}, key {key}", run.id)
            }),
            None => {
                self.judge.made.insert(key, run.id.clone());
            }
        }
        if *created == Created::New {
            self.judge_standing(run);
            self.judge_link(run);
            self.judge_message(process, run);
        }
    }

    /// A record was written.
    pub(crate) fn judge_write(&mut self, stood: Option<&Run>, run: &Run) {
        let Some(stood) = stood else { return };
        self.judge_order(stood, run);
        self.judge_standing(run);
        self.judge_hold(stood, run);
        if stood.attempts.len() < run.attempts.len() {
            self.judge_next_attempt(stood, run);
        }
        if stood.queue.is_some() && run.queue.is_none() && !run.status.is_terminal() {
            self.judge_admission(run);
        }
        let throttles = |run: &Run| run.attempt().map_or(0, |attempt| attempt.throttles);
        if throttles(stood) < throttles(run) {
            let is_open = run.attempt().is_some_and(Attempt::is_open);
            self.held(is_open, Oracle::AThrottleIsNoFailure, || {
                format!("run {}: a throttle ended its attempt", run.id)
            });
        }
        let was_open = stood.attempt().is_some_and(Attempt::is_open);
        if was_open && run.attempt().is_some_and(|attempt| !attempt.is_open()) {
            self.judge_attempt_end(run);
        }
        if run.status.is_terminal() && !stood.status.is_terminal() {
            self.judge_end(stood, run);
        }
        if run.status == Status::Waiting && stood.status != Status::Waiting {
            self.judge_wait(run);
        }
    }

    /// What holds of each record whenever it stands.
    fn judge_standing(&mut self, run: &Run) {
        if !run.status.is_terminal() {
            let in_queue = run.queue.as_ref().and_then(|queue| {
                self.store.limits().find(|(id, _)| *id == queue).and_then(|(_, row)| row.check_at)
            });
            self.held(
                run.due_at.is_some() || in_queue.is_some(),
                Oracle::EverythingHasADate,
                || format!("run {} is {} and has no date", run.id, run.status),
            );
        } else if !run.outbox.is_empty() || run.payload.is_some() {
            self.held(run.due_at.is_some(), Oracle::EverythingHasADate, || {
                format!("run {} has something to tell or to discard, and no date", run.id)
            });
        }
        let limits: Vec<LimitId> = run.slots.iter().map(|slot| slot.limit.clone()).collect();
        for limit in limits {
            self.judge_limit(&limit);
            self.judge_stall(&limit);
        }
    }

    fn judge_order(&mut self, stood: &Run, run: &Run) {
        let attempts = stood.attempts.len();
        let later = run.attempts.len() > attempts;
        let told = || format!("run {}: {} -> {}", run.id, stood.status, run.status);
        let kept = run.attempts.len() >= attempts
            && run.attempts.len() <= attempts + 1
            && stood.attempts.iter().zip(&run.attempts).enumerate().all(|(index, (was, is))| {
                let is_last = index + 1 == attempts;
                is_last || (was.task_arn == is.task_arn && was.stopped_at == is.stopped_at)
            });
        self.held(kept, Oracle::NothingMovesBackwards, || format!("{}: attempts changed", told()));
        self.held(run.revision == stood.revision + 1, Oracle::NothingMovesBackwards, || {
            format!("{}: revision {} -> {}", told(), stood.revision, run.revision)
        });
        if stood.status.is_terminal() {
            let same = stood.status == run.status && stood.ended_at == run.ended_at;
            self.held(same, Oracle::NothingMovesBackwards, || format!("{}: it had ended", told()));
            return;
        }
        let (Some(was), Some(is)) = (stood.attempts.last(), run.attempts.get(attempts - 1)) else {
            return;
        };
        let had_task = was.task_arn.is_some();
        let reopened = had_task && !was.is_open() && is.is_open();
        self.held(!reopened, Oracle::NothingMovesBackwards, || {
            format!("{}: an attempt that had ended is open again", told())
        });
        let other = had_task && was.task_arn != is.task_arn;
        self.held(!other, Oracle::NothingMovesBackwards, || {
            format!("{}: the task was {:?} and is {:?}", told(), was.task_arn, is.task_arn)
        });
        self.held(was.version <= is.version, Oracle::NothingMovesBackwards, || {
            format!("{}: version {:?} -> {:?}", told(), was.version, is.version)
        });
        let back = run.status < stood.status && !later;
        let waits_again =
            run.status == Status::Waiting && (!is.is_open() || is.throttles > was.throttles);
        // A task was found though ECS had said that there was none.
        self.held(!back || waits_again, Oracle::NothingMovesBackwards, told);
    }

    fn judge_next_attempt(&mut self, stood: &Run, run: &Run) {
        let Some(last) = stood.attempts.last() else { return };
        self.held(!last.is_open(), Oracle::NothingMovesBackwards, || {
            format!(
                "run {}: attempt {} begins while {} is open",
                run.id,
                last.attempt + 1,
                last.attempt
            )
        });
        let was_stopped =
            stood.stop.as_ref().is_some_and(|stop| stop.cause != StopCause::AttemptTimedOut);
        if was_stopped {
            self.broken(Oracle::AStopIsFinal, || {
                format!("run {} was stopped ({:?}) and has another attempt", run.id, stood.stop)
            });
        }
        if last.failure_class == Some(FailureClass::Throttled) {
            let age = self.now - since(last.created_at);
            self.held(age >= 45 * MINUTE, Oracle::AThrottleIsNoFailure, || {
                format!("run {}: a throttle ended attempt {}", run.id, last.attempt)
            });
        }
        let live = self.ecs.tasks.iter().position(|task| {
            task.run_id == run.id && task.attempt == last.attempt && task.is_wanted()
        });
        if last.task_arn.is_some() {
            self.held(live.is_none(), Oracle::OneLiveTask, || {
                format!("run {} begins another attempt while its task {live:?} lives", run.id)
            });
        }
    }

    fn judge_attempt_end(&mut self, run: &Run) {
        let Some(attempt) = run.attempt() else { return };
        let Some(class) = attempt.failure_class else { return };
        let ended_so = scenario::spent(run, class);
        let budget = scenario::budget(&run.rule, class);
        self.held(ended_so <= budget, Oracle::BudgetsAreTheirOwn, || {
            format!("run {} has {ended_so} attempts that ended as {class}, of {budget}", run.id)
        });
        let Some(task) =
            self.ecs.tasks.iter().find(|task| Some(&task.arn) == attempt.task_arn.as_ref())
        else {
            return;
        };
        let is_own = matches!(class, FailureClass::ExitCode | FailureClass::OutOfMemory);
        let by_itself = task.has_failed_by_itself()
            || task.is_wanted()
            || task.state().stop_code.as_deref() == Some("EssentialContainerExited");
        let seen = (!by_itself && is_own)
            .then(|| format!("run {}: {class}, and ECS says {:?}", run.id, task.state().stop_code));
        if let Some(seen) = seen {
            self.broken(Oracle::BudgetsAreTheirOwn, || seen);
        }
    }

    fn judge_end(&mut self, stood: &Run, run: &Run) {
        let left = self.ecs.tasks.iter().position(|task| task.run_id == run.id && task.is_wanted());
        if !run.attempts.is_empty() {
            self.held(left.is_none(), Oracle::NoTaskForNobody, || {
                format!("run {} is {}, and its task {left:?} lives", run.id, run.status)
            });
        }
        let last = run.attempt().and_then(|attempt| attempt.task_arn.as_ref());
        let task = self.ecs.tasks.iter().find(|task| Some(&task.arn) == last);
        if run.status == Status::Succeeded {
            let proven = task.is_some_and(super::ecs::Task::has_succeeded);
            self.held(proven, Oracle::SuccessIsProven, || {
                format!("run {} has succeeded, and its task has not", run.id)
            });
            return;
        }
        self.held(run.reason.as_ref().is_some_and(|it| !it.is_empty()), Oracle::EndsSayWhy, || {
            format!("run {} is {} for no reason", run.id, run.status)
        });
        let cancelled = run.stop.as_ref().is_some_and(|stop| stop.cause == StopCause::Cancelled);
        if cancelled || run.status == Status::Cancelled {
            self.held(cancelled, Oracle::AStopIsFinal, || {
                format!("run {} is cancelled, and nobody said so", run.id)
            });
        }
        if run.status == Status::Skipped {
            let by_rule = matches!(run.rule.as_str(), "skip" | "latest" | "replace");
            self.held(by_rule && stood.queue.is_some(), Oracle::OverlapIsKept, || {
                format!("run {} of rule {} was skipped", run.id, run.rule)
            });
        }
        let class = run.attempt().and_then(|attempt| attempt.failure_class);
        if let (Status::Failed, Some(class)) = (run.status, class) {
            let ended_so = scenario::spent(run, class);
            let budget = scenario::budget(&run.rule, class);
            let no_time =
                run.total_deadline().is_some_and(|deadline| deadline <= at(self.now + 20 * MINUTE));
            self.held(ended_so == budget || no_time, Oracle::BudgetsAreTheirOwn, || {
                format!(
                    "run {} failed after {ended_so} of {budget} attempts that ended as {class}",
                    run.id
                )
            });
        }
    }

    fn judge_wait(&mut self, run: &Run) {
        let mut moved = run.clone();
        let later = |time: jiff::Timestamp| {
            time.saturating_add(SignedDuration::from_secs(7)).unwrap_or(time)
        };
        moved.created_at = later(moved.created_at);
        moved.due_at = moved.due_at.map(later);
        for attempt in &mut moved.attempts {
            attempt.created_at = later(attempt.created_at);
            attempt.stopped_at = attempt.stopped_at.map(later);
            attempt.started_at = attempt.started_at.map(later);
        }
        let (now, then) = (retry::delay(run), retry::delay(&moved));
        let throttled = |run: &Run| run.attempt().map(|last| retry::throttle_delay(run, last));
        let same = now == then && throttled(run) == throttled(&moved);
        self.held(same, Oracle::WaitsAreRepeatable, || {
            format!("run {} waits {now:?}, and seven seconds later {then:?}", run.id)
        });
    }

    // ---- limits ----

    /// Slots and queue of a limit say what the records say.
    pub(crate) fn judge_limit(&mut self, limit: &LimitId) {
        let Some((_, row)) = self.store.limits().find(|(id, _)| *id == limit) else { return };
        let row = row.clone();
        let of = |run: &Run| run.slots.iter().any(|slot| slot.limit == *limit);
        let mut holders: Vec<RunId> = Vec::new();
        let mut queue: Vec<RunId> = Vec::new();
        for run in self.store.rows().map(|row| &row.run).filter(|run| of(run)) {
            // In the oracles' own words: a slot is held from admission to the end, and not in a queue.
            match (run.status.is_terminal(), &run.queue) {
                (false, None) => holders.push(run.id.clone()),
                (false, Some(queued)) if queued == limit => queue.push(run.id.clone()),
                _ => {}
            }
        }
        let mut held = row.holders.clone();
        held.sort();
        self.held(held == holders, Oracle::NoSlotIsLeaked, || {
            format!("{limit:?} is held by {held:?}, and the records say {holders:?}")
        });
        let mut queued: Vec<RunId> = row.queue.iter().map(|(_, id)| id.clone()).collect();
        queued.sort();
        self.held(queued == queue, Oracle::NoSlotIsLeaked, || {
            format!("{limit:?} is waited for by {queued:?}, and the records say {queue:?}")
        });
        if !queue.is_empty() {
            self.held(row.check_at.is_some(), Oracle::EverythingHasADate, || {
                format!("{limit:?} has a queue and no date")
            });
        }
    }

    /// A run has left its queue for its slots.
    fn judge_admission(&mut self, run: &Run) {
        for slot in &run.slots {
            let Some(slots) = self.slots_of(&slot.limit) else { continue };
            let held = self.store.limit(&slot.limit, 0).holders.len();
            self.held(held <= slots, Oracle::LimitsHold, || {
                format!(
                    "run {} is admitted as holder {held} of {slots} of {:?}",
                    run.id, slot.limit
                )
            });
            self.judge.admitted.insert((run.id.clone(), slot.limit.clone()), slots);
        }
    }

    /// How many slots a limit has, by the most generous rules that some process has.
    fn slots_of(&self, limit: &LimitId) -> Option<usize> {
        let known = self.judge.rules.iter().filter_map(|rules| rules.slots_of(limit)).max();
        known.map(|slots| slots as usize)
    }

    // ---- tasks ----

    /// A request is about to be sent.
    pub(crate) fn judge_request(&mut self, process: usize, request: &str) {
        let started_by = member(request, "startedBy").unwrap_or_default().to_owned();
        let now = self.now;
        if let Some((first, sent_at)) = self.judge.requests.get(&started_by).cloned() {
            self.held(first == request, Oracle::SameRequest, || {
                format!("{started_by} was sent as {first} and as {request}")
            });
            self.held(now - sent_at < HOUR, Oracle::TokensAreFresh, || {
                format!("{started_by} is sent again after {} minutes", (now - sent_at) / MINUTE)
            });
        } else {
            self.judge.requests.insert(started_by.clone(), (request.to_owned(), now));
            self.judge_data(process, &started_by, request);
        }
        // A process that asks seldom need not ask. Between its question and its call lies what calls take; where that is
        // long, nothing can be told from outside.
        let is_prompt = self.knobs.frozen == 0 && self.knobs.latency <= 20_000;
        let state = &mut self.processes[process];
        let is_calm =
            !is_prompt || state.sent_at.is_none_or(|at| now - at >= 2 * SECOND - SECOND / 2);
        state.sent_at = Some(now);
        let has_token = !state.tokens.is_empty();
        if !is_calm && has_token {
            state.tokens.remove(0);
        }
        if !is_calm {
            self.held(has_token, Oracle::PacingHolds, || {
                format!("process {process} sends {started_by} without a token")
            });
        }
    }

    /// A task was started.
    pub(crate) fn judge_task(&mut self, number: usize, request: &str) {
        let task = self.ecs.tasks[number].clone();
        let others = &self.ecs.tasks[..number];
        let twin = others.iter().any(|other| other.started_by == task.started_by);
        if twin {
            self.broken(Oracle::OneTaskForEachAttempt, || {
                format!("{} has a second task", task.started_by)
            });
        }
        let others = &self.ecs.tasks[..number];
        let of_run = || others.iter().enumerate().filter(|(_, other)| other.run_id == task.run_id);
        let is_first = of_run().next().is_none();
        let live = of_run().find(|(_, other)| other.is_wanted()).map(|(other, _)| other);
        if !is_first {
            self.held(live.is_none(), Oracle::OneLiveTask, || {
                format!("task {number} for {} starts while task {live:?} lives", task.started_by)
            });
        }
        let Some(run) = self.store.get(&task.run_id).cloned() else {
            self.broken(Oracle::NoTaskForNobody, || format!("{} has no record", task.started_by));
            return;
        };
        let is_last = run.attempt().is_some_and(|last| last.attempt == task.attempt);
        self.held(is_last && !run.status.is_terminal(), Oracle::NoTaskForNobody, || {
            format!("{} starts, and its run is {}", task.started_by, run.status)
        });
        self.judge_payload(&run, request);
        for slot in &run.slots {
            let holds = run.queue.is_none() && !run.status.is_terminal();
            self.held(holds, Oracle::LimitsHold, || {
                format!("{} starts without its slot of {:?}", task.started_by, slot.limit)
            });
            self.judge_slots(&slot.limit);
        }
    }

    /// No more wanted tasks than slots, but for limits that were lowered meanwhile.
    fn judge_slots(&mut self, limit: &LimitId) {
        let Some(slots) = self.slots_of(limit) else { return };
        let wanted = self.ecs.tasks.iter().filter(|task| task.is_wanted());
        let runs = wanted.filter_map(|task| self.store.get(&task.run_id));
        let live: Vec<&Run> =
            runs.filter(|run| run.slots.iter().any(|slot| slot.limit == *limit)).collect();
        // Admitted before the limit was lowered: each remembers how many there were.
        let admitted = live
            .iter()
            .filter_map(|run| self.judge.admitted.get(&(run.id.clone(), limit.clone())).copied());
        let most = admitted.max().unwrap_or(slots).max(slots);
        let live = live.len();
        self.held(live <= most, Oracle::LimitsHold, || {
            format!("{live} tasks live under {limit:?}, which has {most} slots")
        });
    }

    fn judge_payload(&mut self, run: &Run, request: &str) {
        let Some(begin) = request.find("s3://aside/") else { return };
        let url: String = request[begin..].chars().take_while(|it| *it != '"').collect();
        let there = self.payloads.contains(&url);
        self.held(there, Oracle::PayloadsAreThere, || {
            format!("run {} starts a task, and {url} is not there", run.id)
        });
    }

    /// A payload was discarded.
    pub(crate) fn judge_discard(&mut self, url: &str) {
        let run =
            self.store.rows().map(|row| &row.run).find(|run| run.payload.as_deref() == Some(url));
        let Some(run) = run else { return };
        let (id, ended_at) = (run.id.clone(), run.ended_at);
        let over = ended_at.is_some_and(|ended_at| self.now - since(ended_at) >= 20 * HOUR);
        self.held(over, Oracle::PayloadsAreThere, || {
            format!("{url} is discarded, and run {id} ended at {ended_at:?}")
        });
    }

    // ---- time ----

    /// A source was told "done".
    pub(crate) fn judge_done(&mut self, planned: &scenario::Planned) {
        for (rule, key) in &planned.matches {
            let id = RunId::new(STACK, rule, key);
            let there = self.store.get(&id).is_some();
            self.held(there, Oracle::NothingIsLost, || {
                format!("event {} was taken, and rule {rule} has no run", planned.event.id())
            });
        }
    }

    /// A dispatch failed: no more rules may be without a run than calls have failed.
    pub(crate) fn judge_others(&mut self, planned: &[&scenario::Planned], failed: u64) {
        let matches = || planned.iter().flat_map(|planned| &planned.matches);
        if matches().count() < 2 {
            return;
        }
        let without =
            matches().filter(|(rule, key)| self.store.get(&RunId::new(STACK, rule, key)).is_none());
        let without = without.count() as u64;
        self.held(without <= failed, Oracle::OthersGoOn, || {
            let events: Vec<&str> = planned.iter().map(|planned| planned.event.id()).collect();
            format!("{failed} calls failed, and {without} rules have no run of {events:?}")
        });
    }

    /// Time has passed.
    pub(crate) fn judge_time(&mut self) {
        let now = self.now;
        if let Some(calm_since) = self.judge.calm_since.filter(|since| now - since > CALMING) {
            let due = self.store.next_due().map(since).map(|due| due.max(calm_since + CALMING));
            if let Some(due) = due.filter(|due| now - due > OVERDUE_MAX) {
                self.broken(Oracle::NothingWaitsForEver, || {
                    format!("something has been due for {} s", (now - due) / SECOND)
                });
            }
            if now - calm_since > END_WITHIN {
                let left = self.store.rows().find(|row| !row.run.status.is_terminal());
                let left = left.map(|row| (row.run.id.clone(), row.run.status));
                if let Some((id, status)) = left {
                    self.broken(Oracle::NothingWaitsForEver, || {
                        format!("run {id} is {status} still")
                    });
                }
            }
        }
        let limits: Vec<LimitId> = self.store.limits().map(|(id, _)| id.clone()).collect();
        for limit in limits {
            self.judge_stall(&limit);
        }
    }

    /// A limit has had a free slot and somebody who waits for it, for how long?
    fn judge_stall(&mut self, limit: &LimitId) {
        let now = self.now;
        let Some((_, row)) = self.store.limits().find(|(id, _)| *id == limit) else { return };
        let least = self.judge.rules.iter().filter_map(|rules| rules.slots_of(limit)).min();
        let is_free = least.is_some_and(|slots| row.holders.len() < slots as usize);
        let is_stalled = is_free && !row.queue.is_empty();
        let began = self.judge.stalled.remove(limit).unwrap_or(now);
        if self.judge.calm_since.is_none_or(|since| now - since < CALMING) {
            return;
        }
        if is_stalled {
            self.judge.stalled.insert(limit.clone(), began);
        }
        if is_stalled || now - began >= STALLED_MAX {
            self.held(now - began < STALLED_MAX, Oracle::WaitersAreAdmitted, || {
                format!("{limit:?} has had a free slot for {} s", (now - began) / SECOND)
            });
        }
    }

    /// Nothing is left to happen.
    pub(crate) fn judge_all(&mut self, planned: &[scenario::Planned]) {
        for planned in planned {
            self.held(planned.is_done, Oracle::NothingIsLost, || {
                format!("event {} was never taken", planned.event.id())
            });
            self.judge_done(planned);
        }
        let runs: Vec<Run> = self.store.rows().map(|row| row.run.clone()).collect();
        for run in &runs {
            self.held(run.status.is_terminal(), Oracle::NothingWaitsForEver, || {
                format!("run {} of rule {} is {}, and nothing is due", run.id, run.rule, run.status)
            });
            self.judge_told(run);
            let again =
                runs.iter().filter(|other| other.redrive_of.as_ref() == Some(&run.id)).count();
            if again > 1 {
                self.broken(Oracle::OneRunForEachKey, || {
                    format!("run {} was done again {again} times", run.id)
                });
            }
            if let Some(payload) = &run.payload {
                self.broken(Oracle::PayloadsAreThere, || format!("run {} keeps {payload}", run.id));
            }
        }
        if let Some(left) = self.payloads.first().cloned() {
            self.broken(Oracle::PayloadsAreThere, || format!("{left} was never discarded"));
        }
        self.judge_chains(&runs);
        self.judge_messages();
        let limits: Vec<LimitId> = self.store.limits().map(|(id, _)| id.clone()).collect();
        for limit in limits {
            self.judge_limit(&limit);
            let state = self.store.limit(&limit, u32::MAX);
            let is_empty = state.holders.is_empty() && state.queue.is_empty();
            self.held(is_empty, Oracle::NoSlotIsLeaked, || {
                format!("{limit:?} is held by {state:?}")
            });
        }
    }
}
