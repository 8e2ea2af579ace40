//! Oracles about queues: what becomes of each message, and when it may go.

use std::sync::Arc;

use jiff::SignedDuration;
use taskferry_core::{
    rules::Rules,
    run::{Run, RunId},
};

use crate::{
    faults::Twist,
    mapping::Receiving,
    promises::Oracle,
    queued::{HELD_RULES, rules_of},
    scenario::STACK,
    sqs::{Delivery, Message, State, message_id},
    world::{HOUR, Micros, SECOND, World, at, since},
};

use super::CALMING;

/// For how long a message is held at the least before its record is all that is left: `docs/event-sources.md`.
const HELD_FOR: Micros = 11 * HOUR;

/// How long a message must be invisible to be taken in peace: as long as its function may take.
const VISIBILITY_MIN: Micros = 60 * SECOND;

/// What is said again sooner than this is so since it could not be said.
const HEARTBEAT_MIN: Micros = 200 * SECOND;

/// By how much two clocks may differ.
const SKEW_MAX: SignedDuration = SignedDuration::from_secs(5);

fn has_rule(rules: &Rules, name: &str) -> bool {
    rules.rules.iter().any(|rule| rule.name.as_ref() == name)
}

impl World {
    /// Whether nothing has failed for so long that nothing of it should be seen any more.
    fn is_quiet(&self) -> bool {
        self.judge.calm_since.is_some_and(|since| self.now - since > CALMING)
    }

    /// Whether each process has this rule, whichever rules it has.
    fn is_certain(&self, rule: &str) -> bool {
        self.judge.all_rules.iter().all(|rules| has_rule(rules, rule))
    }

    /// Whether some process is to have a rule on this queue.
    pub(crate) fn will_be_named(&self, queue: usize) -> bool {
        rules_of(queue).any(|rule| self.judge.all_rules.iter().any(|rules| has_rule(rules, rule)))
    }

    /// Whether the rules of a process name this queue.
    pub(crate) fn is_named_by(&self, process: usize, queue: usize) -> bool {
        rules_of(queue).any(|rule| has_rule(&self.judge.rules[process], rule))
    }

    /// The run that is under way and holds the message.
    pub(crate) fn holder(&self, number: usize) -> Option<&Run> {
        self.runs_with(number).find(|run| !run.status.is_terminal())
    }

    /// Whether a run holds the message, or has ended and is about to hand it over or to delete it.
    pub(crate) fn is_some_runs(&self, number: usize) -> bool {
        self.runs_with(number).next().is_some()
    }

    fn runs_with(&self, number: usize) -> impl Iterator<Item = &Run> {
        let id = message_id(number);
        let has_it = move |run: &&Run| run.message.as_ref().is_some_and(|held| held.id == id);
        self.store.rows().map(|row| &row.run).filter(has_it)
    }

    /// A message is about to be delivered, and was last delivered then.
    pub(crate) fn judge_delivery(&mut self, number: usize, delivered_at: Option<Micros>) {
        let holder = self.holder(number).map(|run| run.id.clone());
        if holder.is_some() {
            self.coverage.met(Twist::HoldLapsed);
        }
        if !self.is_quiet() {
            return;
        }
        let message = &self.sqs.messages[number];
        let visibility = self.sqs.queues[message.queue].visibility;
        // Where messages come again while they are being taken, they come again.
        if !message.is_readable || visibility < VISIBILITY_MIN {
            return;
        }
        let (calm_since, now) = (self.judge.calm_since.unwrap_or_default(), self.now);
        let comes_again = delivered_at.is_some_and(|at| at > calm_since + CALMING);
        self.held(!comes_again && holder.is_none(), Oracle::MessagesComeOnce, || {
            let ago = delivered_at.map(|at| (now - at) / SECOND);
            format!("{} comes again after {ago:?} s, held by {holder:?}", message_id(number))
        });
    }

    /// A record was written: a message that it held is held by the newest of its deliveries, and in time.
    pub(super) fn judge_hold(&mut self, stood: &Run, run: &Run) {
        let Some(was) = &stood.message else { return };
        let Some(visible_at) = self.visible_at(&was.receipt_handle) else { return };
        let told =
            || format!("run {}, {}, held {} by {}", run.id, run.status, was.id, was.receipt_handle);
        let Some(is) = &run.message else {
            // It was in flight, and is there for nobody.
            let other = self.store.rows().map(|row| &row.run).find(|other| {
                other.id != run.id && other.message.as_ref().is_some_and(|held| held.id == was.id)
            });
            let is_others = other.is_some();
            self.held(is_others, Oracle::MessagesAreHeld, || format!("{}, and lets go", told()));
            return;
        };
        if is.receipt_handle != was.receipt_handle {
            // Clocks may be off.
            let is_later = is.received_at + SKEW_MAX >= was.received_at;
            self.held(is_later, Oracle::MessagesAreHeld, || {
                format!("{}, and does so by {}, which was before", told(), is.receipt_handle)
            });
        } else if is.extend_at > was.extend_at && is.extend_at > at(self.now + HEARTBEAT_MIN) {
            let in_time = since(is.extend_at) <= visible_at;
            self.held(in_time, Oracle::MessagesAreHeld, || {
                format!("{}, and says so again when it has come again", told())
            });
        }
    }

    /// A delivery was taken: where its message is held now, that is so by this delivery or by a later one.
    pub(crate) fn judge_holder(&mut self, delivery: &Delivery) {
        let Some(held) = self.holder(delivery.message).and_then(|run| run.message.clone()) else {
            return;
        };
        let (Some(by), Some(at)) =
            (self.received_at(&held.receipt_handle), self.received_at(&delivery.receipt))
        else {
            return;
        };
        // Clocks may be off, and which of two that came together is the later one does not matter.
        let is_newest = by + 5 * SECOND >= at;
        self.held(is_newest, Oracle::MessagesAreHeld, || {
            let (receipt, by) = (&delivery.receipt, &held.receipt_handle);
            format!("{} came by {receipt}, and is held by {by}", message_id(delivery.message))
        });
    }

    /// A message has gone to the dead letters.
    pub(crate) fn judge_dead_letter(&mut self, number: usize) {
        let holder = self.holder(number).map(|run| run.id.clone());
        // What was said of its delivery holds of this too, but for what comes to pass while things fail.
        let holds = holder.is_none() || !self.is_quiet();
        self.held(holds, Oracle::MessagesAreHeld, || {
            format!("{} is a dead letter, and run {holder:?} holds it", message_id(number))
        });
        // Each time that it was received something failed: what keeps one without a reason was seen at once.
        self.coverage.asked(Oracle::NeighboursDoNoHarm);
    }

    /// A message is deleted, by who had received it then.
    pub(crate) fn judge_deletion(&mut self, number: usize, received_at: Micros) {
        let message = self.sqs.messages[number].clone();
        let id = message_id(number);
        self.held(message.is_readable, Oracle::MessagesAreKept, || {
            format!("{id} is deleted, and nobody can have read it")
        });
        for (rule, key) in &message.expects {
            let run = self.store.get(&RunId::new(STACK, rule, key)).cloned();
            let holds = run.is_some() || !self.is_certain(rule);
            self.held(holds, Oracle::MessagesAreKept, || {
                format!("{id} is deleted, and rule {rule} has no run for it")
            });
            let Some(run) = run.filter(|_| HELD_RULES.contains(rule)) else { continue };
            let is_anothers = self.is_repeated(number, rule, key);
            let is_handed_over = self.now - received_at >= HELD_FOR - 10 * SECOND;
            if is_handed_over && !run.status.is_terminal() {
                self.coverage.met(Twist::MessageHandedOver);
            }
            let may_go = run.status.is_terminal() || is_anothers || is_handed_over;
            self.held(may_go, Oracle::MessagesAreHeld, || {
                format!("{id} is deleted, and run {} of {rule} is {}", run.id, run.status)
            });
        }
        if message.is_refused {
            for rule in rules_of(message.queue) {
                let there = self.store.get(&RunId::new(STACK, rule, &id)).is_some()
                    || !self.is_certain(rule);
                self.held(there, Oracle::MessagesAreKept, || {
                    format!("{id} is deleted, and rule {rule} has no dead letter of it")
                });
            }
        }
    }

    /// Whether another message leads to the same run, by the rule's `dedupe`: it holds one of them, and the other repeats it.
    fn is_repeated(&self, number: usize, rule: &str, key: &str) -> bool {
        let leads_there = |message: &Message| {
            message.state != State::Unsent
                && message.expects.iter().any(|(other, its)| *other == rule && its == key)
        };
        let messages = self.sqs.messages.iter().enumerate();
        messages.into_iter().any(|(other, message)| other != number && leads_there(message))
    }

    /// A process has recorded a run: if it is of a message, those of its group before it are recorded or gone, and the
    /// function was to begin it still.
    pub(super) fn judge_message(&mut self, process: usize, run: &Run) {
        let of = |(rule, key): &(&str, String)| *rule == run.rule && *key == run.dedupe_key;
        let mut queued = self.sqs.queues.iter().flat_map(|queue| queue.sent.iter().copied());
        let number = queued.find(|it| self.sqs.messages[*it].expects.iter().any(of));
        let Some(number) = number else { return };
        self.judge_group(number, run);
        let (now, latency) = (self.now + self.processes[process].skew, self.knobs.latency);
        let failed = self.processes[process].failed;
        // Some calls may come between what the clock said and the record.
        let grace = SECOND + 10 * latency;
        let has_it = |it: &&Receiving| {
            it.process == process && it.batch.deliveries.iter().any(|it| it.message == number)
        };
        let is_late = |it: &Receiving| it.failed == failed && now > it.batch.until + grace;
        // It may be with two functions at once, and which of them it was does not show.
        let mut receiving = self.receiving.iter().filter(has_it).peekable();
        let late = receiving.peek().is_some() && receiving.all(is_late);
        self.held(!late, Oracle::BatchesEndInTime, || {
            format!("{} is begun when its function has no time left", message_id(number))
        });
    }

    fn judge_group(&mut self, number: usize, run: &Run) {
        let message = &self.sqs.messages[number];
        if message.group.is_none() {
            return;
        }
        let (queue, group) = (message.queue, message.group.clone());
        let waits_for_end = HELD_RULES.contains(&run.rule.as_str());
        let sent = self.sqs.queues[queue].sent.clone();
        for earlier in sent.into_iter().take_while(|it| *it != number) {
            let before = &self.sqs.messages[earlier];
            if before.group != group || before.state != State::Queued {
                continue;
            }
            let missing = before
                .expects
                .iter()
                .filter(|(rule, _)| self.is_certain(rule))
                .find(|(rule, key)| self.store.get(&RunId::new(STACK, rule, key)).is_none())
                .map(|(rule, _)| *rule);
            let holds = missing.is_none() && !waits_for_end;
            self.held(holds, Oracle::GroupsKeepOrder, || {
                let (id, earlier) = (message_id(number), message_id(earlier));
                format!("{id} is recorded before {earlier} of its group ({missing:?} has no run)")
            });
        }
    }

    /// Nothing is left to happen: each message has left its queue, and has what it was for.
    pub(super) fn judge_messages(&mut self) {
        for queue in 0..self.sqs.queues.len() {
            self.expire_messages(queue);
        }
        for number in 0..self.sqs.messages.len() {
            let (state, id) = (self.sqs.messages[number].state, message_id(number));
            // A queue that the rules do not name any more keeps what it has.
            let is_ours = self.is_named_by(0, self.sqs.messages[number].queue);
            let is_left = is_ours && matches!(state, State::Unsent | State::Queued);
            self.held(!is_left, Oracle::MessagesEnd, || format!("{id} is {state:?} still"));
            if state != State::Deleted {
                continue;
            }
            for (rule, key) in self.sqs.messages[number].expects.clone() {
                let there = self.store.get(&RunId::new(STACK, rule, &key)).is_some();
                self.held(there || !self.is_certain(rule), Oracle::NothingIsLost, || {
                    format!("{id} was taken, and rule {rule} has no run")
                });
            }
        }
        let held = self.store.rows().map(|row| &row.run).find(|run| run.message.is_some());
        if let Some(held) = held.map(|run| run.id.clone()) {
            self.broken(Oracle::MessagesEnd, || format!("run {held} holds its message still"));
        }
    }

    /// The rules that processes have, now or later.
    pub(crate) fn judge_by(&mut self, rules: Vec<Arc<Rules>>) {
        self.judge.all_rules = rules;
    }
}
