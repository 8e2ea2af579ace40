//! Whether an ended attempt is followed by another, and after how long.
//!
//! Asked by `lifecycle` when a task stopped badly and when `RunTask` started none. The answer depends on the run alone: the
//! dice of the jitter are the run's id and the attempt's number, and whoever acts on a delay adds the clock.

mod request;

use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    digest,
    failure::FailureClass,
    lengths::ATTEMPTS_MAX,
    run::{Attempt, Run, RunId},
};

pub(crate) use self::request::request;

/// How often a run is attempted, and how far apart; pinned in its record when the run is made.
///
/// Each failure class has a budget of its own, so what AWS did wrong never spends the application's attempts.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// Attempts that may end in the application's own failures, the first included; one if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<NonZeroU32>,
    /// The waits after the application's own failures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Backoff>,
    /// Exit codes that are worth another attempt; every one if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exit_codes: Vec<i32>,
    /// What a rule says of single classes, over [`FailureClass::budget`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub classes: BTreeMap<FailureClass, ClassPolicy>,
}

/// What a rule says of one failure class; the class's own where it says nothing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClassPolicy {
    /// Attempts that may end in this class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<NonZeroU32>,
    /// The waits after them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Backoff>,
    /// Whether the next attempt's request may be changed to fit; yes if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_request: Option<bool>,
}

/// The waits between attempts, in whole seconds: they double from the shortest up to the longest.
// Invariant: `min_seconds <= max_seconds`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Backoff {
    /// The shortest.
    pub min_seconds: u64,
    /// The longest.
    pub max_seconds: u64,
}

/// How often attempts may end in a class, and the waits after them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Budget {
    /// Attempts that may end so, the last included; after it the run ends.
    pub attempts: u32,
    /// The waits.
    pub backoff: Backoff,
}

/// The waits after a failure of the application when a rule says nothing.
pub const BACKOFF_DEFAULT: Backoff = Backoff { min_seconds: 10, max_seconds: 600 };

impl FailureClass {
    /// The budget of this class when a rule says nothing; `None` if the application's own applies.
    ///
    /// What ends by itself is waited for over hours (capacity, throttles), what a new host mends is tried a few times, and
    /// what would only fail again is not tried at all.
    pub fn budget(self) -> Option<Budget> {
        let budget = |attempts, min_seconds, max_seconds| {
            Some(Budget { attempts, backoff: Backoff { min_seconds, max_seconds } })
        };
        match self {
            // Each attempt is sent again for the better part of an hour, as long as its token is good for: a day in all.
            Self::Throttled => budget(28, 1, 60),
            Self::Capacity => budget(40, 30, 900),
            Self::Agent => budget(10, 10, 300),
            Self::ImagePull | Self::Initialization => budget(4, 15, 300),
            Self::SpotInterruption => budget(10, 1, 60),
            Self::Infrastructure => budget(5, 10, 300),
            Self::StoppedByUser | Self::Refused => budget(1, 0, 0),
            Self::OutOfMemory | Self::ExitCode | Self::TimedOut => None,
        }
    }
}

impl Policy {
    /// The budget of a class under this policy.
    pub fn budget(&self, class: FailureClass) -> Budget {
        let application = || Budget {
            attempts: self.attempts.map_or(1, NonZeroU32::get),
            backoff: self.backoff.unwrap_or(BACKOFF_DEFAULT),
        };
        let Budget { attempts, backoff } = class.budget().unwrap_or_else(application);
        let said = self.classes.get(&class).copied().unwrap_or_default();
        Budget {
            attempts: said.attempts.map_or(attempts, NonZeroU32::get),
            backoff: said.backoff.unwrap_or(backoff),
        }
    }

    /// Whether attempts that ended in the one class and in the other are counted together: all of the application's own, but
    /// for a class that has attempts of its own.
    fn share_budget(&self, one: FailureClass, other: FailureClass) -> bool {
        let is_applications = |class: FailureClass| {
            let attempts = self.classes.get(&class).and_then(|said| said.attempts);
            class.budget().is_none() && attempts.is_none()
        };
        one == other || (is_applications(one) && is_applications(other))
    }

    /// Whether the request of the attempt after a failure of this class may be changed to fit.
    pub fn changes_request(&self, class: FailureClass) -> bool {
        self.classes.get(&class).and_then(|said| said.change_request).unwrap_or(true)
    }
}

/// The wait before the attempt after the run's last one, or `None` if that was the last.
///
/// The last attempt's failure class stands in the record by then.
pub fn delay(run: &Run) -> Option<Duration> {
    let last = run.attempt()?;
    let class = last.failure_class?;
    if class == FailureClass::ExitCode && !is_worth_it(run, last) {
        return None;
    }
    let is_counted = |attempt: &&Attempt| {
        attempt.failure_class.is_some_and(|other| run.policy.retry.share_budget(class, other))
    };
    let ended_so = run.attempts.iter().filter(is_counted).count();
    let ended_so = if crate::is_mutated!(BudgetShared) { run.attempts.len() } else { ended_so };
    let ended_so = u32::try_from(ended_so).unwrap_or(u32::MAX);
    let mut budget = run.policy.retry.budget(class);
    if crate::is_mutated!(BackoffFromTheClock) {
        budget.backoff.min_seconds += u64::try_from(last.created_at.as_second() % 60).unwrap_or(0);
    }
    budget.attempts += u32::from(crate::is_mutated!(BudgetOneMore));
    let is_left = ended_so < budget.attempts && run.attempts.len() < ATTEMPTS_MAX;
    is_left.then(|| jittered(budget.backoff, &run.id, last.attempt, ended_so))
}

/// The wait before a throttled `RunTask` is sent again.
pub fn throttle_delay(run: &Run, attempt: &Attempt) -> Duration {
    let backoff = run.policy.retry.budget(FailureClass::Throttled).backoff;
    jittered(backoff, &run.id, attempt.attempt, attempt.throttles)
}

/// Whether the exit codes of the essential containers are among those that the rule tries again.
fn is_worth_it(run: &Run, attempt: &Attempt) -> bool {
    let wanted = &run.policy.retry.exit_codes;
    let essential = attempt.containers.iter().filter(|container| {
        run.essential.contains(&container.name) && container.exit_code != Some(0)
    });
    wanted.is_empty()
        || essential.filter_map(|container| container.exit_code).any(|code| wanted.contains(&code))
}

/// Between the shortest wait and what it has doubled to, by dice that are the same each time.
fn jittered(backoff: Backoff, run_id: &RunId, attempt: u32, repeated: u32) -> Duration {
    let Backoff { min_seconds, max_seconds } = backoff;
    // Saturating: a rule may ask for more doublings than a number can hold.
    let doubled = min_seconds.saturating_mul(2_u64.saturating_pow(repeated)).min(max_seconds);
    let spread_millis = doubled.saturating_sub(min_seconds).saturating_mul(1000);
    let dice =
        digest::number(&["backoff", run_id.as_str(), &attempt.to_string(), &repeated.to_string()]);
    let extra_millis = if spread_millis == 0 { 0 } else { dice % (spread_millis + 1) };
    Duration::from_millis(min_seconds.saturating_mul(1000).saturating_add(extra_millis))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{lifecycle::tests::run, run::Status};

    /// A run whose attempts ended in these classes.
    fn ended(policy: Policy, classes: &[FailureClass]) -> Run {
        let mut run = run(Status::Running);
        run.policy.retry = policy;
        let blank = run.attempts[0].clone();
        run.attempts = (1..)
            .zip(classes)
            .map(|(attempt, class)| Attempt {
                attempt,
                failure_class: Some(*class),
                ..blank.clone()
            })
            .collect();
        run
    }

    fn attempts(attempts: u32) -> Policy {
        Policy { attempts: NonZeroU32::new(attempts), ..Policy::default() }
    }

    #[track_caller]
    fn check(policy: Policy, classes: &[FailureClass], seconds: Option<(u64, u64)>) {
        let delay = delay(&ended(policy, classes));
        match (delay, seconds) {
            (None, None) => {}
            (Some(delay), Some((min, max))) => {
                assert!((min..=max).contains(&delay.as_secs()), "{delay:?}");
            }
            (delay, seconds) => panic!("{delay:?} is not {seconds:?}"),
        }
    }

    #[test]
    fn without_a_word_an_exit_code_ends_the_run() {
        check(Policy::default(), &[FailureClass::ExitCode], None);
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let code = FailureClass::ExitCode;
        check(attempts(9), &[code], Some((10, 20)));
        check(attempts(9), &[code; 2], Some((10, 40)));
        check(attempts(9), &[code; 8], Some((10, 600)));
        check(attempts(9), &[code; 9], None);
    }

    #[test]
    fn what_aws_did_wrong_spends_no_attempt_of_the_application() {
        let spot = [FailureClass::SpotInterruption; 3];
        let classes = [&spot[..], &[FailureClass::ExitCode]].concat();
        check(attempts(2), &classes, Some((10, 20)));
        check(attempts(2), &[&classes[..], &[FailureClass::ExitCode]].concat(), None);
    }

    #[test]
    fn the_application_s_own_failures_are_counted_together() {
        let classes = [FailureClass::ExitCode, FailureClass::OutOfMemory];
        check(attempts(3), &classes, Some((10, 40)));
        check(attempts(2), &classes, None);
        let two = ClassPolicy { attempts: NonZeroU32::new(2), ..ClassPolicy::default() };
        let classes_policy = BTreeMap::from([(FailureClass::OutOfMemory, two)]);
        check(Policy { classes: classes_policy, ..attempts(2) }, &classes, Some((10, 20)));
    }

    #[test]
    fn what_a_person_stopped_is_not_tried_again() {
        check(attempts(9), &[FailureClass::StoppedByUser], None);
        check(attempts(9), &[FailureClass::Refused], None);
    }

    #[test]
    fn a_rule_sets_the_budget_of_a_class() {
        let two = ClassPolicy { attempts: NonZeroU32::new(2), ..ClassPolicy::default() };
        let classes = BTreeMap::from([(FailureClass::Capacity, two)]);
        let policy = Policy { classes, ..Policy::default() };
        check(policy.clone(), &[FailureClass::Capacity], Some((30, 60)));
        check(policy, &[FailureClass::Capacity; 2], None);
    }

    #[test]
    fn only_the_exit_codes_that_the_rule_names_are_tried_again() {
        let policy = Policy { exit_codes: vec![75], ..attempts(3) };
        for (code, tried) in [(75, true), (1, false)] {
            let mut run = ended(policy.clone(), &[FailureClass::ExitCode]);
            run.attempts[0].containers = vec![crate::run::ContainerExit {
                name: "app".to_owned(),
                exit_code: Some(code),
                reason: None,
            }];
            assert_eq!(delay(&run).is_some(), tried, "{code}");
        }
    }

    #[test]
    fn the_same_run_waits_the_same_and_another_otherwise() {
        let backoff = Backoff { min_seconds: 1, max_seconds: 3600 };
        let id = |key: &str| RunId::new("media", "thumbnails", key);
        let wait = |key: &str| jittered(backoff, &id(key), 3, 12);
        assert_eq!(wait("k"), wait("k"));
        let waits: std::collections::BTreeSet<_> =
            (0..20).map(|key| wait(&key.to_string())).collect();
        assert!(waits.len() > 15, "{waits:?}");
    }
}
