//! Route: the event and the rules give the rules that match.
//!
//! Made once from the rules and asked by the engine with each event. A rule is asked only about events that came its way:
//! the same object's event can come both as S3's notification and through EventBridge.

use std::collections::BTreeMap;

use taskferry_event_pattern::{EventError, Matcher};

use crate::{
    event::Event,
    rules::{On, Rule, Rules},
};

/// Which way an event came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Origin<'a> {
    /// S3's own notification, by itself or passed on by SNS.
    S3,
    /// An event bus.
    EventBridge,
    /// A schedule.
    Schedule,
    /// A message of this queue, which only the rules that name it are asked about: whoever may write into a queue must not
    /// start what is for another.
    Sqs {
        /// The queue's name.
        queue: &'a str,
    },
}

/// The rules' event patterns, by the way that their events come.
#[derive(Debug)]
pub struct Routes {
    s3: Patterns,
    event_bridge: Patterns,
    schedule: Patterns,
    queues: BTreeMap<String, Patterns>,
}

/// The patterns of some rules, and which rules those are.
#[derive(Debug)]
struct Patterns {
    matcher: Matcher,
    rules: Vec<usize>,
}

impl Routes {
    /// The routes that `rules` lay.
    pub fn new(rules: &Rules) -> Self {
        let patterns = |origin| {
            let came_so = |(_, rule): &(usize, &Rule)| origin_of(&rule.on) == Some(origin);
            let (rules, patterns): (Vec<_>, Vec<_>) = rules
                .rules
                .iter()
                .enumerate()
                .filter(came_so)
                .map(|(index, rule)| (index, rule.event_pattern.clone()))
                .unzip();
            Patterns { matcher: Matcher::new(patterns), rules }
        };
        let queues = rules.rules.iter().filter_map(|rule| rule.on.queue_name());
        let queues = queues.map(|queue| (queue.to_owned(), patterns(Origin::Sqs { queue })));
        Self {
            s3: patterns(Origin::S3),
            event_bridge: patterns(Origin::EventBridge),
            schedule: patterns(Origin::Schedule),
            queues: queues.collect(),
        }
    }

    /// The rules, by their place in the file, that name a queue; none if no rule does.
    pub fn of_queue(&self, queue: &str) -> &[usize] {
        self.queues.get(queue).map_or(&[], |patterns| &patterns.rules)
    }

    /// The rules, by their place in the file, that the event matches.
    ///
    /// # Errors
    ///
    /// The matcher's, if the event cannot be read.
    pub fn route(&self, origin: Origin<'_>, event: &Event) -> Result<Vec<usize>, EventError> {
        let patterns = match origin {
            Origin::S3 => &self.s3,
            Origin::EventBridge => &self.event_bridge,
            Origin::Schedule => &self.schedule,
            Origin::Sqs { queue } => match self.queues.get(queue) {
                Some(patterns) => patterns,
                None => return Ok(Vec::new()),
            },
        };
        let matches = patterns.matcher.matches(event.text())?;
        Ok(matches.into_iter().map(|index| patterns.rules[index]).collect())
    }
}

/// Which way a rule's events come; `None` where nothing brings them yet.
pub(crate) fn origin_of(on: &On) -> Option<Origin<'_>> {
    match on {
        On::S3 { .. } => Some(Origin::S3),
        On::EventPattern { .. } => Some(Origin::EventBridge),
        On::Schedule(_) => Some(Origin::Schedule),
        On::Sqs { .. } => on.queue_name().map(|queue| Origin::Sqs { queue }),
    }
}
