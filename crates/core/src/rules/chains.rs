//! Chains that have no end: rules whose runs' lifecycle events start runs of the same rules again.
//!
//! Seen by asking each rule about the lifecycle events of every other, as far as those are known before any run: an event
//! pattern that looks at an exit code or a time is not seen through. What is not seen here ends at `chain::DEPTH_MAX`.

use std::collections::{BTreeSet, VecDeque};

use serde_json::json;
use taskferry_event_pattern::Matcher;

use super::{Carried, On, Rule, bus_name};
use crate::{
    chain::{self, LifecycleEvent},
    event::Event,
    run::RunId,
};

/// The rules of each chain that one of `events` keeps going, by their place in the file, in the order in which they start one
/// another.
pub(super) fn endless(name: &str, rules: &[Rule], events: &[LifecycleEvent]) -> Vec<Vec<usize>> {
    let is_on_bus = |rule: &Rule| match &rule.on {
        On::EventPattern { bus, .. } => bus_name(bus) == "default",
        // Such a queue is filled from the bus.
        On::Sqs { carried, .. } => *carried == Carried::Events,
        On::S3 { .. } | On::Schedule(_) => false,
    };
    let on_bus: Vec<usize> = (0..rules.len()).filter(|&index| is_on_bus(&rules[index])).collect();
    let matcher = Matcher::new(on_bus.iter().map(|&index| rules[index].event_pattern.clone()));
    let followers = |rule: &Rule| -> Vec<usize> {
        let samples = events.iter().filter_map(|event| sample(name, rule, *event));
        let heard = samples.filter_map(|event| matcher.matches(event.text()).ok()).flatten();
        let followers: BTreeSet<usize> = heard.map(|pattern| on_bus[pattern]).collect();
        followers.into_iter().collect()
    };
    let follows: Vec<Vec<usize>> = rules.iter().map(followers).collect();
    let mut found: Vec<Vec<usize>> = Vec::new();
    for start in 0..rules.len() {
        let is_known = found.iter().any(|chain| chain.contains(&start));
        if let (false, Some(chain)) = (is_known, way_back(start, &follows)) {
            found.push(chain);
        }
    }
    found
}

/// The shortest way from a rule to itself.
fn way_back(start: usize, follows: &[Vec<usize>]) -> Option<Vec<usize>> {
    let mut came_from: Vec<Option<usize>> = vec![None; follows.len()];
    let mut queue = VecDeque::from([start]);
    while let Some(at) = queue.pop_front() {
        for &next in &follows[at] {
            if next == start {
                let way =
                    std::iter::successors(
                        Some(at),
                        |&at| {
                            if at == start { None } else { came_from[at] }
                        },
                    );
                let mut way: Vec<usize> = way.collect();
                way.reverse();
                return Some(way);
            }
            if came_from[next].is_none() {
                came_from[next] = Some(at);
                queue.push_back(next);
            }
        }
    }
    None
}

/// A lifecycle event of a run of the rule, as far as it is known before there is one.
fn sample(name: &str, rule: &Rule, event: LifecycleEvent) -> Option<Event> {
    let run_id = RunId::new(name, rule.name.as_ref(), "sample");
    let sample = json!({
        "version": "0", "id": run_id, "source": chain::SOURCE, "detail-type": event.detail_type(),
        "account": "000000000000", "region": "us-east-1", "time": "2026-01-01T00:00:00Z", "resources": [],
        "detail": {
            "stack": name, "rule": rule.name, "runId": run_id, "status": event.status(), "depth": 0, "attempts": 1,
        },
    });
    Event::parse(&sample.to_string()).ok()
}
