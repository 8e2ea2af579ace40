//! How many runs at once, how often, how long: what a rule says beside its target.
//!
//! Read and checked here; whoever enforces a policy asks the rule for it.

use std::{num::NonZeroU32, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::file;
use crate::template::{self, Template};

/// How many runs of a rule may be under way at once.
#[derive(Clone, Debug)]
pub struct Concurrency {
    /// The most at once, per key.
    pub limit: NonZeroU32,
    /// What the limit is counted by; the whole rule if `None`.
    pub key: Option<Template>,
    /// What becomes of an event while the limit is reached.
    pub overlap: Overlap,
}

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

/// How often a run is attempted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Retry {
    /// Attempts in all, the first included.
    pub attempts: Option<NonZeroU32>,
    /// The waits between them.
    pub backoff: Option<Backoff>,
}

/// The waits between attempts.
// Invariant: `min <= max` where both are there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Backoff {
    /// The first.
    pub min: Option<Duration>,
    /// The longest.
    pub max: Option<Duration>,
}

/// How long a run may take.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Timeout {
    /// From `RunTask` until the task runs.
    pub start: Option<Duration>,
    /// For which the task runs.
    pub run: Option<Duration>,
    /// For the whole run.
    pub total: Option<Duration>,
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
    #[error("`concurrency` says no `limit`")]
    LimitMissing,
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
pub(super) fn parse_duration(text: &str) -> Result<Duration, Error> {
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

fn optional(text: Option<&String>) -> Result<Option<Duration>, Error> {
    text.map(|text| parse_duration(text)).transpose()
}

impl Concurrency {
    pub(super) fn compile(raw: &file::Concurrency) -> Result<Self, Error> {
        let limit = raw.limit.ok_or(Error::LimitMissing)?;
        Ok(Self {
            limit: NonZeroU32::new(limit).ok_or(Error::Zero { field: "concurrency.limit" })?,
            key: raw.key.as_deref().map(Template::compile).transpose().map_err(Error::Key)?,
            overlap: raw.overlap.unwrap_or_default(),
        })
    }
}

impl Retry {
    pub(super) fn compile(raw: &file::Retry) -> Result<Self, Error> {
        let attempts = raw.attempts.map(|attempts| {
            NonZeroU32::new(attempts).ok_or(Error::Zero { field: "retry.attempts" })
        });
        let backoff = raw.backoff.as_ref().map(Backoff::compile);
        Ok(Self { attempts: attempts.transpose()?, backoff: backoff.transpose()? })
    }
}

impl Backoff {
    fn compile(raw: &file::Backoff) -> Result<Self, Error> {
        let (min, max) = (optional(raw.min.as_ref())?, optional(raw.max.as_ref())?);
        if let (Some(min), Some(max)) = (min, max)
            && min > max
        {
            return Err(Error::BackoffReversed);
        }
        Ok(Self { min, max })
    }
}

impl Timeout {
    pub(super) fn compile(raw: &file::Timeout) -> Result<Self, Error> {
        Ok(Self {
            start: optional(raw.start.as_ref())?,
            run: optional(raw.run.as_ref())?,
            total: optional(raw.total.as_ref())?,
        })
    }
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
    fn what_is_no_duration_is_refused() {
        for text in ["", "15", "m", "-5m", "0s", "1 month", "soon", "400d", "5m ago"] {
            check(text, None);
        }
    }
}
