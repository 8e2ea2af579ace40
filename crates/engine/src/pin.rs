//! Which revision of a task definition a run gets, remembered for a while.
//!
//! Asked before a run is recorded. A revision never changes, so one that is named is remembered for good; the newest one of
//! a family for [`NEWEST_FOR`], since `DescribeTaskDefinition` is allowed far fewer calls than there may be events.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
use taskferry_core::launch::TaskDefinition;

/// How long a family's newest revision is taken to be the newest.
const NEWEST_FOR: SignedDuration = SignedDuration::from_secs(5);

/// The revisions that were found, and until when they hold.
#[derive(Debug, Default)]
pub(crate) struct Pins {
    known: Mutex<HashMap<String, (TaskDefinition, Option<Timestamp>)>>,
}

impl Pins {
    /// The revision that `task_definition` names, if it is remembered.
    pub(crate) fn get(&self, task_definition: &str, now: Timestamp) -> Option<TaskDefinition> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (pinned, until) = known.get(task_definition)?;
        until.is_none_or(|until| now < until).then(|| pinned.clone())
    }

    /// Remembers the revision that `task_definition` names.
    pub(crate) fn put(&self, task_definition: &str, pinned: TaskDefinition, now: Timestamp) {
        let names_revision = task_definition
            .rsplit_once(':')
            .is_some_and(|(_, revision)| revision.bytes().all(|byte| byte.is_ascii_digit()));
        let until = if names_revision { None } else { now.checked_add(NEWEST_FOR).ok() };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(task_definition.to_owned(), (pinned, until));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[track_caller]
    fn check(task_definition: &str, asked_after: i64, is_known: bool) {
        let pins = Pins::default();
        let pinned = TaskDefinition { arn: "a:1".to_owned(), essential: vec![], size: None };
        pins.put(task_definition, pinned, second(0));
        assert_eq!(pins.get(task_definition, second(asked_after)).is_some(), is_known);
    }

    #[test]
    fn a_revision_is_known_for_good() {
        check("report:42", 1_000_000, true);
        check("arn:aws:ecs:us-east-1:0:task-definition/report:42", 1_000_000, true);
    }

    #[test]
    fn the_newest_of_a_family_is_asked_for_again() {
        check("report", 4, true);
        check("report", 5, false);
        check("arn:aws:ecs:us-east-1:0:task-definition/report", 5, false);
    }
}
