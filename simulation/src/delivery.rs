//! Delivery: how events come to functions, one or several at a time, and what a source does when it is not told "done".

use std::collections::BTreeSet;

use taskferry_core::{chain, run::RunId};

use crate::{
    faults::Twist,
    promises::Oracle,
    scenario::{self, Planned, STACK},
    work::Ended,
    world::{Action, HOUR, MINUTE, SECOND, World},
};

impl World {
    /// What the source does about a batch; the events of which it was told "done".
    ///
    /// One that asks which records failed delivers those again, as SQS does; another delivers all of them again, as S3 does.
    pub(crate) fn batch_ended(
        &mut self,
        planned: &[Planned],
        events: &[usize],
        is_partial: bool,
        ended: &Ended,
    ) -> Vec<usize> {
        let not_begun = taskferry_core::reason(&taskferry_engine::Error::NotBegun);
        let mut taken = Vec::new();
        let mut again = Vec::new();
        match ended {
            Ended::Each(ends) => {
                for (event, end) in events.iter().zip(ends) {
                    match end {
                        Ended::Done => taken.push(*event),
                        Ended::Refused(reason) => self.judge_refusal(&planned[*event], reason),
                        Ended::Again(reason) if *reason == not_begun => {
                            self.coverage.met(Twist::BatchCutShort);
                            again.push(*event);
                        }
                        Ended::Again(_) | Ended::Each(_) | Ended::Kept(_) => {
                            again.push(*event);
                        }
                    }
                }
                if !again.is_empty() && !taken.is_empty() {
                    self.coverage.met(Twist::BatchPartlyFailed);
                }
            }
            Ended::Done | Ended::Again(_) | Ended::Refused(_) | Ended::Kept(_) => {
                again.extend(events);
            }
        }
        if again.is_empty() {
            return taken;
        }
        if !is_partial {
            if again.len() < events.len() {
                self.coverage.met(Twist::BatchRepeated);
            }
            again = events.to_vec();
            taken.clear();
        }
        let time = self.now + self.dice.between(SECOND, 2 * MINUTE);
        self.act_at(time, Action::DeliverBatch { events: again, is_partial });
        taken
    }

    /// An event of the scenario is refused; none of them gives a reason to.
    pub(crate) fn judge_refusal(&mut self, planned: &Planned, reason: &str) {
        let id = planned.event.id().to_owned();
        self.broken(Oracle::OthersGoOn, || format!("event {id} is refused: {reason}"));
    }

    /// The next lifecycle event that a rule listens to.
    pub(crate) fn hear(&mut self, heard: &mut BTreeSet<(String, &'static str)>) -> Option<Planned> {
        loop {
            let number = self.bus_read;
            let told = self.bus.get(number)?;
            let planned = scenario::lifecycle(number, told);
            let key = (told.run_id.clone(), told.detail_type);
            self.bus_read += 1;
            if !heard.insert(key) {
                self.coverage.met(Twist::ToldAgain);
            }
            if planned.is_some() {
                return planned;
            }
        }
    }

    /// EventBridge delivers an event of its bus: at least once, in no order.
    pub(crate) fn deliver_from_bus(&mut self, event: usize) {
        let mut times = 1;
        if !self.is_calm && self.dice.chance(self.knobs.repeated) {
            self.coverage.met(Twist::ChainRepeated);
            times = 2;
        }
        for _ in 0..times {
            let mut longest = 2 * SECOND;
            if !self.is_calm && self.dice.chance(self.knobs.late / 2) {
                self.coverage.met(Twist::ChainLate);
                longest = self.dice.pick(&[5 * MINUTE, HOUR, 24 * HOUR]);
            }
            let time = self.now + self.dice.between(SECOND / 10, longest);
            self.act_at(time, Action::Deliver { event });
        }
    }

    /// An event is about to be delivered; of what follows upon it, something is counted.
    pub(crate) fn note_redelivery(&mut self, planned: &Planned) {
        let runs = planned.matches.iter().map(|(rule, key)| RunId::new(STACK, rule, key));
        let is_forgotten = runs
            .filter_map(|id| self.store.get(&id))
            .any(|run| run.attempts.iter().any(|it| self.has_forgotten_token(&run.id, it.attempt)));
        if is_forgotten {
            self.coverage.met(Twist::RedeliveredPastToken);
        }
        if planned.event.source() != chain::SOURCE {
            return;
        }
        let depth = planned.event.value()["detail"]["depth"].as_u64();
        if depth == Some(chain::DEPTH_MAX.into()) {
            self.coverage.met(Twist::ChainEnded);
        }
    }
}
