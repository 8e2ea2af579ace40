//! How many runs at once, how often, how long: what a rule says beside its target.
//!
//! Read and checked here; whoever enforces a policy asks the rule for it.

use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::file;
use crate::{
    failure::FailureClass,
    retry::{self, BACKOFF_DEFAULT, Backoff},
    run,
    template::{self, Template},
};

/// How many runs of a rule may be under way at once.
#[derive(Clone, Debug)]
pub struct Concurrency {
    /// The most at once, per key, if the rule has a limit of its own.
    pub limit: Option<NonZeroU32>,
    /// A limit that the rule shares with others.
    pub group: Option<String>,
    /// What the rule's own limit is counted by; the whole rule if `None`.
    pub key: Option<Template>,
    /// What becomes of an event while the limit is reached.
    pub overlap: Overlap,
}

/// A token bucket of AWS's: so many calls a second in the long run, so many at once.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Quota {
    /// Calls a second.
    #[schemars(range(min = 1, max = 10000))]
    pub rate: NonZeroU32,
    /// Calls at once.
    #[schemars(range(min = 2, max = 10000))]
    pub burst: NonZeroU32,
}

/// For how long what has ended is kept where the rules say nothing.
pub const RETENTION_DEFAULT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// The least: EventBridge and Lambda deliver an event again for up to a day, and without its run it would start another.
///
/// <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-retry-policy.html>
const RETENTION_MIN: SignedDuration = SignedDuration::from_hours(24);

/// What becomes of an event while a concurrency limit is reached.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Overlap {
    /// Its run waits for its turn.
    #[default]
    Queue,
    /// Its run ends as skipped.
    Skip,
    /// It replaces the run that is under way.
    Replace,
    /// Its run waits; of those that wait only the latest stays.
    Latest,
    /// It starts all the same; the limit is only watched.
    Allow,
}

/// Why a policy was refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A duration that is none.
    #[error("`{text}` is not a duration")]
    Duration {
        /// What the rule says.
        text: String,
    },
    /// A duration that is too short or too long to mean.
    #[error("`{text}` is out of range: one second to 366 days are allowed")]
    DurationRange {
        /// What the rule says.
        text: String,
    },
    /// What has ended is to be kept for too short a time.
    #[error(
        "`{text}` is too short: a run is kept for a day at least, since its event may be delivered again until then"
    )]
    RetentionShort {
        /// What the file says.
        text: String,
    },
    /// The first wait is longer than the longest.
    #[error("the waits are reversed: `min` is longer than `max`")]
    BackoffReversed,
    /// A number that must be at least one.
    #[error("{field} must be at least 1")]
    Zero {
        /// The member.
        field: &'static str,
    },
    /// A concurrency without its limit.
    #[error("`concurrency` says neither `limit` nor `group`")]
    LimitMissing,
    /// A group that `limits` does not have.
    #[error("`limits` has no group `{group}`")]
    GroupUnknown {
        /// The group.
        group: String,
    },
    /// The key is a malformed template.
    #[error("the concurrency key cannot be compiled")]
    Key(#[source] template::Error),
}

/// Reads `15m`, `1h 30m`, `2 days`, or ISO 8601's `PT15M`.
///
/// # Errors
///
/// [`Error::Duration`] if it is none, [`Error::DurationRange`] if it is under a second or over 366
/// days.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, Error> {
    let malformed = || Error::Duration { text: text.to_owned() };
    let span: jiff::Span = text.trim().parse().map_err(|_| malformed())?;
    // A month has no length of its own; a day counts 24 hours, whatever the clocks do.
    let days = jiff::SpanRelativeTo::days_are_24_hours();
    let duration = span.to_duration(days).map_err(|_| malformed())?;
    match Duration::try_from(duration) {
        Ok(duration) if (1..=366 * 24 * 3600).contains(&duration.as_secs()) => Ok(duration),
        _ => Err(Error::DurationRange { text: text.to_owned() }),
    }
}

/// Reads `retention`.
///
/// # Errors
///
/// [`parse_duration`]'s, and [`Error::RetentionShort`] under a day.
pub(super) fn parse_retention(text: &str) -> Result<SignedDuration, Error> {
    let retention = parse_duration(text)?;
    match SignedDuration::try_from(retention) {
        Ok(retention) if retention >= RETENTION_MIN => Ok(retention),
        _ => Err(Error::RetentionShort { text: text.to_owned() }),
    }
}

fn seconds(text: Option<&String>) -> Result<Option<u64>, Error> {
    text.map(|text| parse_duration(text).map(|duration| duration.as_secs())).transpose()
}

fn at_least_one(number: Option<u32>, field: &'static str) -> Result<Option<NonZeroU32>, Error> {
    number.map(|number| NonZeroU32::new(number).ok_or(Error::Zero { field })).transpose()
}

impl Concurrency {
    pub(super) fn compile(
        raw: &file::Concurrency,
        groups: &BTreeMap<String, NonZeroU32>,
    ) -> Result<Self, Error> {
        if raw.limit.is_none() && raw.group.is_none() {
            return Err(Error::LimitMissing);
        }
        if let Some(group) = raw.group.as_ref().filter(|group| !groups.contains_key(*group)) {
            return Err(Error::GroupUnknown { group: group.clone() });
        }
        Ok(Self {
            limit: at_least_one(raw.limit, "concurrency.limit")?,
            group: raw.group.clone(),
            key: raw.key.as_deref().map(Template::compile).transpose().map_err(Error::Key)?,
            overlap: raw.overlap.unwrap_or_default(),
        })
    }
}

/// What a run's record pins of its rule.
pub(super) fn compile_policy(
    retry: Option<&file::Retry>,
    timeout: Option<&file::Timeout>,
) -> Result<run::Policy, Error> {
    Ok(run::Policy {
        retry: retry.map(compile_retry).transpose()?.unwrap_or_default(),
        timeout: timeout.map(compile_timeout).transpose()?.unwrap_or_default(),
    })
}

fn compile_retry(raw: &file::Retry) -> Result<retry::Policy, Error> {
    let application = BACKOFF_DEFAULT;
    let mut classes = BTreeMap::new();
    for (class, raw) in raw.classes.iter().flat_map(said) {
        let otherwise = class.budget().map_or(application, |budget| budget.backoff);
        let policy = retry::ClassPolicy {
            attempts: at_least_one(raw.attempts, "attempts")?,
            backoff: backoff(raw.backoff.as_ref(), otherwise)?,
            change_request: raw.change_request,
        };
        classes.insert(class, policy);
    }
    Ok(retry::Policy {
        attempts: at_least_one(raw.attempts, "retry.attempts")?,
        backoff: backoff(raw.backoff.as_ref(), application)?,
        exit_codes: raw.exit_codes.clone().unwrap_or_default(),
        classes,
    })
}

/// The classes of which something is said.
fn said(classes: &file::RetryClasses) -> impl Iterator<Item = (FailureClass, &file::RetryClass)> {
    [
        (FailureClass::Throttled, &classes.throttled),
        (FailureClass::Capacity, &classes.capacity),
        (FailureClass::Agent, &classes.agent),
        (FailureClass::ImagePull, &classes.image_pull),
        (FailureClass::Initialization, &classes.initialization),
        (FailureClass::SpotInterruption, &classes.spot_interruption),
        (FailureClass::Infrastructure, &classes.infrastructure),
        (FailureClass::OutOfMemory, &classes.out_of_memory),
        (FailureClass::TimedOut, &classes.timed_out),
    ]
    .into_iter()
    .filter_map(|(class, said)| Some((class, said.as_ref()?)))
}

/// The waits, each taken from `otherwise` where nothing is said of it.
fn backoff(raw: Option<&file::Backoff>, otherwise: Backoff) -> Result<Option<Backoff>, Error> {
    let Some(raw) = raw else { return Ok(None) };
    let (min, max) = (seconds(raw.min.as_ref())?, seconds(raw.max.as_ref())?);
    match (min, max) {
        (Some(min), Some(max)) if min > max => Err(Error::BackoffReversed),
        (None, None) => Ok(None),
        _ => {
            let min_seconds = min.unwrap_or(otherwise.min_seconds.min(max.unwrap_or(u64::MAX)));
            let max_seconds = max.unwrap_or(otherwise.max_seconds.max(min_seconds));
            Ok(Some(Backoff { min_seconds, max_seconds }))
        }
    }
}

fn compile_timeout(raw: &file::Timeout) -> Result<run::Timeout, Error> {
    Ok(run::Timeout {
        start_seconds: seconds(raw.start.as_ref())?,
        run_seconds: seconds(raw.run.as_ref())?,
        total_seconds: seconds(raw.total.as_ref())?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, seconds: Option<u64>) {
        assert_eq!(parse_duration(text).ok(), seconds.map(Duration::from_secs), "{text}");
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        check("15m", Some(900));
        check("1h 30m", Some(5400));
        check("1h30m", Some(5400));
        check("2 days", Some(172_800));
        check("PT15M", Some(900));
    }

    #[test]
    fn what_has_ended_is_kept_for_a_day_at_least() {
        for (text, hours) in
            [("90 days", Some(2160)), ("24h", Some(24)), ("23h 59m", None), ("soon", None)]
        {
            let expected = hours.map(SignedDuration::from_hours);
            assert_eq!(parse_retention(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "15", "m", "-5m", "0s", "1 month", "soon", "400d", "5m ago"] {
            check(text, None);
        }
    }
}
