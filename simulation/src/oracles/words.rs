//! Oracles about words: what is asked of ECS, what is told on the bus, and how long runs follow upon one another.

use std::sync::Arc;

use serde_json::Value;
use taskferry_core::{
    chain,
    run::{Run, StartedBy, Status},
};

use crate::{
    faults::Twist,
    promises::Oracle,
    scenario::{self, SECRET},
    world::World,
};

impl World {
    /// A request is sent for the first time: what came with the event stands in it as it came, and at its place.
    pub(super) fn judge_data(&mut self, process: usize, started_by: &str, request: &str) {
        let Some(named) = StartedBy::parse(started_by) else { return };
        let parsed: Value = serde_json::from_str(request).unwrap_or_default();
        let app = &parsed["overrides"]["containerOverrides"][0];
        let Some(command) = app["command"].as_array() else { return };
        let first = format!("{}/{}/1", named.name, named.run_id);
        if let Some((first, _)) = self.judge.requests.get(&first).filter(|_| named.attempt > 1) {
            let first: Value = serde_json::from_str(first).unwrap_or_default();
            let same = first["overrides"]["containerOverrides"][0]["command"] == app["command"];
            self.held(same, Oracle::SameRequest, || {
                format!("{started_by} has another command than the first attempt")
            });
        }
        let made_by =
            command.get(1).and_then(Value::as_str).and_then(|it| it.strip_prefix("rules "));
        let made_by = made_by.and_then(|number| number.parse().ok()).map(scenario::rules);
        if named.attempt > 1
            && made_by.is_some_and(|rules| !Arc::ptr_eq(&rules, &self.judge.rules[process]))
        {
            self.coverage.met(Twist::RulesChangedBetweenAttempts);
        }
        let event = self.store.get(&named.run_id).map(|run| run.event.id.clone());
        let Some(order) = event.and_then(|id| self.order_of(&id)) else { return };
        let environment = app["environment"].as_array().into_iter().flatten();
        let mut secrets = environment.filter(|it| it["name"] == "SECRET").map(|it| &it["value"]);
        let is_data = command.len() == 2
            && command[0] == *order
            && secrets.next().is_some_and(|it| it == SECRET)
            && secrets.next().is_none();
        self.held(is_data, Oracle::EventDataIsData, || {
            format!("{started_by} is to be told of order `{order}`, and is told {command:?}")
        });
    }

    /// The order that an event tells of.
    fn order_of(&self, event_id: &str) -> Option<String> {
        match event_id.split_at_checked(1)? {
            ("e", number) => number.parse().ok().map(scenario::order_id),
            ("m", number) => self.sqs.messages.get(number.parse::<usize>().ok()?)?.order.clone(),
            _ => None,
        }
    }

    /// A run was made: one that follows upon another is one link further, and past the last link there is none.
    pub(super) fn judge_link(&mut self, run: &Run) {
        let parent = run.dedupe_key.split_once('/').map(|(id, _)| id);
        let parent = parent.and_then(|id| self.store.rows().find(|row| row.run.id.as_str() == id));
        let Some(parent) = parent.map(|row| row.run.depth) else { return };
        let is_over = run.depth > chain::DEPTH_MAX;
        let holds = run.depth == parent + 1
            && run.depth <= chain::DEPTH_MAX + 1
            && (!is_over || run.status == Status::Failed && run.attempts.is_empty());
        self.held(holds, Oracle::ChainsEnd, || {
            let (depth, status) = (run.depth, run.status);
            format!("run {} is {status} at depth {depth}, and follows upon one at {parent}", run.id)
        });
    }

    /// Each success was followed upon once, where a rule says so.
    pub(super) fn judge_chains(&mut self, runs: &[Run]) {
        for follower in ["after", "link"] {
            let of = |run: &&Run| run.rule == follower && run.redrive_of.is_none();
            let made = runs.iter().filter(of).count();
            let goes_on = |run: &&Run| {
                run.status == Status::Succeeded && scenario::follower(&run.rule) == Some(follower)
            };
            let due = runs.iter().filter(goes_on).count();
            if due > 0 || made > 0 {
                self.held(made == due, Oracle::ChainsEnd, || {
                    format!("{due} successes were followed upon by {made} runs of `{follower}`")
                });
            }
        }
    }

    /// What became of the run was told, and nothing else.
    pub(crate) fn judge_told(&mut self, run: &Run) {
        if run.depth > chain::DEPTH_MAX {
            // The last of a chain that is too long: whoever heard of it might go on.
            let said = self.bus.iter().find(|told| told.run_id == run.id.as_str());
            let said = said.map(|told| told.detail_type);
            self.held(said.is_none(), Oracle::ChainsEnd, || {
                format!("run {} ends its chain, and {said:?} was told", run.id)
            });
            return;
        }
        let end: &[&str] = match run.status {
            Status::Succeeded => &["Run Succeeded"],
            Status::Failed => &["Run Failed", "Run Dead-Lettered"],
            Status::TimedOut => &["Run Timed Out", "Run Dead-Lettered"],
            Status::Cancelled => &["Run Cancelled"],
            Status::Skipped => &["Run Skipped"],
            _ => &[],
        };
        let started = run.attempts.iter().any(|attempt| attempt.started_at.is_some());
        let begun: &[&str] = if started { &["Run Started"] } else { &[] };
        for expected in end.iter().chain(begun) {
            let told = self
                .bus
                .iter()
                .any(|told| told.run_id == run.id.as_str() && told.detail_type == *expected);
            self.held(told, Oracle::EndsAreTold, || {
                format!("run {} is {}, and `{expected}` was never told", run.id, run.status)
            });
        }
        let said = self.bus.iter().find(|told| {
            told.run_id == run.id.as_str()
                && told.detail_type.starts_with("Run S")
                && told.detail_type != "Run Started"
                && !end.contains(&told.detail_type)
        });
        if let Some(said) = said.map(|said| said.detail_type) {
            self.broken(Oracle::EndsAreTold, || {
                format!("run {} is {}, and `{said}` was told", run.id, run.status)
            });
        }
    }
}
