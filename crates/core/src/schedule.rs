//! Schedules: what EventBridge Scheduler's expressions mean, and when one fires next.
//!
//! Read by `rules` for `on: { schedule }`, asked by whoever keeps a timer or shows what is to come. Own implementation, on
//! `jiff`'s calendar: Scheduler's dialect and its treatment of clocks that are put forward or back are its own. `now` is an
//! argument here as everywhere.
//!
//! <https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html>

mod cron;
mod short;

use std::sync::LazyLock;

use jiff::{
    SignedDuration, Timestamp,
    civil::DateTime,
    tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase},
};

use self::cron::Cron;
pub use self::short::in_aws_form;

/// The time zones, of this program's own copy of the database: the same on every machine.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// The zone of a schedule that names none.
pub const ZONE_DEFAULT: &str = "UTC";

/// A schedule: when it fires.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Schedule {
    text: String,
    expression: Expression,
    zone_name: String,
    zone: TimeZone,
    start: Option<Timestamp>,
    end: Option<Timestamp>,
}

/// The three forms.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Expression {
    /// So many seconds apart.
    Rate(i64),
    /// At times of the calendar.
    Cron(Box<Cron>),
    /// Once.
    At(DateTime),
}

/// Why a schedule was refused.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// None of the three forms.
    #[error("`{text}` is not a schedule")]
    Form {
        /// What the rule says.
        text: String,
    },
    /// A cron expression of other than six fields.
    #[error("a cron expression has 6 fields, this has {found}")]
    Fields {
        /// How many it has.
        found: usize,
        /// What was probably meant.
        meant: Option<String>,
    },
    /// A field of a cron expression.
    #[error("`{text}` is no {field}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What it says.
        text: String,
        /// What it may say.
        allowed: &'static str,
    },
    /// Both day fields say something, or neither.
    #[error("one of day of month and day of week must be `?`, and only one")]
    Days,
    /// `#` in a list.
    #[error("`{text}` is not a day of week: `#` stands alone")]
    Listed {
        /// What the field says.
        text: String,
    },
    /// A line of five fields that restricts both the day of the month and the day of the week.
    #[error("day of month `{day}` and day of week `{weekday}` cannot both be said")]
    UnixDays {
        /// The day of the month.
        day: String,
        /// The day of the week.
        weekday: String,
    },
    /// A rate that is none.
    #[error("`{text}` is not a rate")]
    Rate {
        /// What stands between the parentheses.
        text: String,
    },
    /// `@every` of something that is no duration, or not of whole minutes.
    #[error("`{text}` is not so many whole minutes")]
    Every {
        /// What stands behind `@every`.
        text: String,
    },
    /// A point in time that is none.
    #[error("`{text}` is not a date and time")]
    At {
        /// What stands between the parentheses.
        text: String,
    },
    /// A time zone that is none.
    #[error("no time zone is called `{name}`")]
    Zone {
        /// What the rule says.
        name: String,
        /// The name that is most like it.
        nearest: Option<String>,
    },
}

impl Error {
    /// What to write instead.
    pub fn hint(&self) -> String {
        match self {
            Self::Form { text } if Cron::parse(text).is_ok() => {
                format!("six fields stand in `cron()`: `cron({text})`")
            }
            Self::Form { .. } => {
                "write `rate(5 minutes)`, `cron(0 3 * * ? *)` or `at(2027-01-31T09:00:00)`".into()
            }
            Self::Fields { meant: Some(meant), .. } => {
                format!("the year comes last, and one of the days is `?`: `{meant}`")
            }
            Self::Fields { meant: None, .. } => {
                "minutes, hours, day of month, month, day of week, year: `cron(0 3 * * ? *)`".into()
            }
            Self::Field { allowed, .. } => format!("allowed: {allowed}"),
            Self::Days => "for every day write `* * ?` or `? * *`: `cron(0 3 * * ? *)`".into(),
            Self::Listed { .. } => "write a rule for each, or one of `3#2` and `TUE`".into(),
            Self::UnixDays { .. } => {
                "cron would take either, EventBridge takes one: write a rule for each, with `*` in place of the other".into()
            }
            Self::Rate { .. } => "write a number and its unit: `rate(1 hour)`, `rate(5 minutes)`".into(),
            Self::Every { .. } => "write whole minutes: `@every 90m`, `@every 1h30m`".into(),
            Self::At { .. } => {
                "write it without a zone, `at(2027-01-31T09:00:00)`, and name the zone in `timezone`".into()
            }
            Self::Zone { nearest: Some(nearest), .. } => format!("did you mean `{nearest}`?"),
            Self::Zone { nearest: None, .. } => {
                "write it as in the IANA database, such as `Asia/Seoul`".into()
            }
        }
    }
}

impl Schedule {
    /// Reads an expression in AWS's form, in a time zone of the IANA database. Never panics, whatever the text.
    ///
    /// # Errors
    ///
    /// [`Error`]: the first thing that is wrong with either.
    pub fn parse(text: &str, zone: &str) -> Result<Self, Error> {
        Ok(Self {
            expression: Expression::parse(text)?,
            text: text.to_owned(),
            zone: time_zone(zone)?,
            zone_name: zone.to_owned(),
            start: None,
            end: None,
        })
    }

    /// The same, from `start` on, and up to `end`.
    #[must_use]
    pub fn between(self, start: Option<Timestamp>, end: Option<Timestamp>) -> Self {
        Self { start, end, ..self }
    }

    /// The expression, in AWS's form.
    pub fn expression(&self) -> &str {
        &self.text
    }

    /// The name of the time zone.
    pub fn zone_name(&self) -> &str {
        &self.zone_name
    }

    /// The time zone.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// When it begins.
    pub fn start(&self) -> Option<Timestamp> {
        self.start
    }

    /// When it ends.
    pub fn end(&self) -> Option<Timestamp> {
        self.end
    }

    /// Whether it fires but once.
    pub fn is_one_time(&self) -> bool {
        matches!(self.expression, Expression::At(_))
    }

    /// Whether its firings are counted from when it was made, and no calendar tells them.
    pub fn is_relative(&self) -> bool {
        matches!(self.expression, Expression::Rate(_)) && self.start.is_none()
    }

    /// Whether there is a time at which it fires, ever.
    pub fn fires(&self) -> bool {
        self.next_after(Timestamp::MIN, self.start.unwrap_or(Timestamp::UNIX_EPOCH)).is_some()
    }

    /// When a schedule that was made at `created` fires first.
    pub fn first(&self, created: Timestamp) -> Option<Timestamp> {
        let created = whole_second(created);
        let before = created.checked_sub(SignedDuration::from_nanos(1)).unwrap_or(created);
        self.next_after(before, created)
    }

    /// When a schedule that was made at `created` fires next after `after`; `None` if it does not any more.
    ///
    /// A time that the clocks skip as they are put forward does not come, and one that they repeat as they are put back
    /// comes once. A rate counts in seconds that have passed, whatever the clocks show.
    pub fn next_after(&self, after: Timestamp, created: Timestamp) -> Option<Timestamp> {
        // What is at the start itself fires, as does what is at the end.
        let from = self.start.map(|start| start.checked_sub(SignedDuration::from_nanos(1)));
        let after = from.and_then(Result::ok).map_or(after, |from| from.max(after));
        let next = match &self.expression {
            Expression::Rate(seconds) => {
                // https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html#rate-based
                // "If you do not provide a StartDate for a rate-based schedule, your schedule starts invoking the target
                // immediately."
                let anchor = self.start.unwrap_or_else(|| whole_second(created));
                rate_after(after, anchor, *seconds)
            }
            Expression::At(civil) => self.instant(*civil).filter(|at| *at > after),
            Expression::Cron(cron) => self.cron_after(cron, after),
        };
        next.filter(|next| self.end.is_none_or(|end| *next <= end))
    }

    fn cron_after(&self, cron: &Cron, after: Timestamp) -> Option<Timestamp> {
        let mut from = self.zone.to_datetime(after);
        loop {
            let civil = cron.next_from(from)?;
            // Of an hour that is repeated, the times of the second pass were there in the first.
            if let Some(next) = self.instant(civil).filter(|next| *next > after) {
                return Some(next);
            }
            from = civil.checked_add(SignedDuration::from_mins(1)).ok()?;
        }
    }

    /// The instant at which the clocks of the zone show this; `None` if they never do.
    // https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html#daylist-savings-time
    // A time that does not exist is skipped; one that is there twice fires once.
    fn instant(&self, civil: DateTime) -> Option<Timestamp> {
        let ambiguous = self.zone.to_ambiguous_timestamp(civil);
        match ambiguous.offset() {
            AmbiguousOffset::Gap { .. } => None,
            AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => {
                ambiguous.earlier().ok()
            }
        }
    }
}

impl Expression {
    fn parse(text: &str) -> Result<Self, Error> {
        let inner = |name: &str| text.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
        if let Some(rate) = inner("rate") {
            return seconds(rate).map(Self::Rate).ok_or_else(|| Error::Rate { text: rate.into() });
        }
        if let Some(fields) = inner("cron") {
            return Cron::parse(fields).map(Box::new).map(Self::Cron);
        }
        if let Some(at) = inner("at") {
            let is_whole = at.len() == "2027-01-31T09:00:00".len() && at.as_bytes()[10] == b'T';
            let civil = at.parse::<DateTime>().ok().filter(|_| is_whole);
            return civil.map(Self::At).ok_or_else(|| Error::At { text: at.into() });
        }
        Err(Error::Form { text: text.to_owned() })
    }
}

/// The seconds of `5 minutes`.
fn seconds(rate: &str) -> Option<i64> {
    let (number, unit) = rate.split_once(' ')?;
    // Digits alone: `parse` would take a `+` too.
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let number: u32 = number.parse().ok().filter(|number| is_number && *number > 0)?;
    let seconds = match unit {
        "minute" | "minutes" => 60,
        "hour" | "hours" => 3600,
        // https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html#daylist-savings-time
        // A day is 24 hours on the clock.
        "day" | "days" => 86_400,
        _ => return None,
    };
    Some(i64::from(number) * seconds)
}

/// The first of the times `seconds` apart, counted from `anchor`, that is after `after`.
fn rate_after(after: Timestamp, anchor: Timestamp, seconds: i64) -> Option<Timestamp> {
    if after < anchor {
        return Some(anchor);
    }
    let passed = after.duration_since(anchor).as_secs() / seconds;
    let next = passed.checked_add(1)?.checked_mul(seconds)?;
    anchor.checked_add(SignedDuration::from_secs(next)).ok()
}

/// The second that a time is in: what Scheduler says of its times has no fractions.
fn whole_second(time: Timestamp) -> Timestamp {
    let second = time.as_nanosecond().div_euclid(1_000_000_000);
    i64::try_from(second).ok().and_then(|s| Timestamp::from_second(s).ok()).unwrap_or(time)
}

/// A zone by its name, which must be spelled as the database has it: AWS compares it so.
///
/// # Errors
///
/// [`Error::Zone`], with the name that is most like it.
pub fn time_zone(name: &str) -> Result<TimeZone, Error> {
    let zone = ZONES.get(name).ok().filter(|zone| zone.iana_name() == Some(name));
    zone.ok_or_else(|| {
        // An abbreviation such as `KST` is like others that mean another place.
        let is_like = |zone: &String| zone.contains('/') || zone.eq_ignore_ascii_case(name);
        let known = ZONES.available().map(|zone| zone.to_string());
        let known: Vec<String> = known.filter(is_like).collect();
        let nearest = crate::rules::nearest(name, known.iter().map(String::as_str));
        Error::Zone { name: name.to_owned(), nearest: nearest.map(str::to_owned) }
    })
}

#[cfg(test)]
mod tests;
