//! EventBridge Scheduler's expressions: whether one is well formed.
//!
//! When a schedule is next due is not decided here.
//!
//! <https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html>

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
    #[error("`{text}` is not a {field}")]
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
    /// A rate that is none.
    #[error("`{text}` is not a rate")]
    Rate {
        /// What stands between the parentheses.
        text: String,
    },
    /// A point in time that is none.
    #[error("`{text}` is not a date and time")]
    At {
        /// What stands between the parentheses.
        text: String,
    },
}

impl Error {
    /// What to write instead.
    pub(super) fn hint(&self) -> String {
        match self {
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
            Self::Rate { .. } => "write a number and its unit: `rate(1 hour)`, `rate(5 minutes)`".into(),
            Self::At { .. } => {
                "write it without a zone, `at(2027-01-31T09:00:00)`, and name the zone in `timezone`".into()
            }
        }
    }
}

/// Checks a schedule expression.
///
/// # Errors
///
/// The first thing that is wrong with it.
pub(super) fn check(text: &str) -> Result<(), Error> {
    let inner = |name: &str| text.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
    if let Some(rate) = inner("rate") {
        check_rate(rate)
    } else if let Some(fields) = inner("cron") {
        check_cron(fields)
    } else if let Some(at) = inner("at") {
        let civil = at.parse::<jiff::civil::DateTime>();
        let whole = at.len() == "2027-01-31T09:00:00".len();
        civil.ok().filter(|_| whole).map(|_| ()).ok_or_else(|| Error::At { text: at.to_owned() })
    } else {
        Err(Error::Form { text: text.to_owned() })
    }
}

fn check_rate(text: &str) -> Result<(), Error> {
    let malformed = || Error::Rate { text: text.to_owned() };
    let (number, unit) = text.split_once(' ').ok_or_else(malformed)?;
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    let positive = digits && number.parse::<u32>().is_ok_and(|number| number > 0);
    let unit = ["minute", "minutes", "hour", "hours", "day", "days"].contains(&unit);
    if positive && unit { Ok(()) } else { Err(malformed()) }
}

struct Field {
    name: &'static str,
    range: (u32, u32),
    names: &'static [&'static str],
    /// The letters beside `*`, `,`, `-` and `/`.
    letters: &'static str,
    allowed: &'static str,
}

const MONTHS: &[&str] =
    &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const DAYS: &[&str] = &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
const FIELDS: [Field; 6] = [
    Field { name: "minute", range: (0, 59), names: &[], letters: "", allowed: "0-59 , - * /" },
    Field { name: "hour", range: (0, 23), names: &[], letters: "", allowed: "0-23 , - * /" },
    Field {
        name: "day of month",
        range: (1, 31),
        names: &[],
        letters: "?LW",
        allowed: "1-31 , - * ? / L W",
    },
    Field {
        name: "month",
        range: (1, 12),
        names: MONTHS,
        letters: "",
        allowed: "1-12 or JAN-DEC , - * /",
    },
    Field {
        name: "day of week",
        range: (1, 7),
        names: DAYS,
        letters: "?L#",
        allowed: "1-7 or SUN-SAT , - * ? L #",
    },
    Field {
        name: "year",
        range: (1970, 2199),
        names: &[],
        letters: "",
        allowed: "1970-2199 , - * /",
    },
];

fn check_cron(text: &str) -> Result<(), Error> {
    let fields: Vec<&str> = text.split_ascii_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Err(Error::Fields { found: fields.len(), meant: six_of_five(&fields) });
    }
    for (field, text) in FIELDS.iter().zip(&fields) {
        if !field.accepts(text) {
            let text = (*text).to_owned();
            return Err(Error::Field { field: field.name, text, allowed: field.allowed });
        }
    }
    if (fields[2] == "?") == (fields[4] == "?") { Err(Error::Days) } else { Ok(()) }
}

/// What a Unix cron line is in EventBridge's form, if its days of the week mean the same.
fn six_of_five(fields: &[&str]) -> Option<String> {
    let &[minute, hour, day, month, weekday] = fields else { return None };
    let (day, weekday) = match (day, weekday) {
        (day, "*") => (day, "?"),
        ("*", weekday) if weekday.bytes().all(|byte| byte.is_ascii_alphabetic()) => ("?", weekday),
        _ => return None,
    };
    let meant = format!("cron({minute} {hour} {day} {month} {weekday} *)");
    check(&meant).is_ok().then_some(meant)
}

impl Field {
    fn accepts(&self, text: &str) -> bool {
        (text == "?" && self.letters.contains('?'))
            || text.split(',').all(|part| self.accepts_part(part))
    }

    fn accepts_part(&self, part: &str) -> bool {
        let (base, step) = match part.split_once('/') {
            Some((base, step)) => (base, Some(step)),
            None => (part, None),
        };
        if let Some(step) = step
            && !number(step).is_some_and(|step| step > 0 && step <= self.range.1)
        {
            return false;
        }
        if base == "*" || self.special(base) {
            return true;
        }
        match base.split_once('-') {
            Some((first, last)) => {
                // A range may wrap around (`FRI-MON`, `22-2`).
                self.value(first).is_some() && self.value(last).is_some()
            }
            None => self.value(base).is_some(),
        }
    }

    /// `L`, `L-3`, `LW`, `15W` in a day of month; `L`, `6L`, `3#2` in a day of week.
    fn special(&self, text: &str) -> bool {
        let value = |text: &str| self.value(text).is_some();
        if self.letters.contains('W') {
            return text == "L"
                || text == "LW"
                || text.strip_suffix('W').is_some_and(value)
                || text.strip_prefix("L-").is_some_and(value);
        }
        self.letters.contains('#')
            && (text == "L"
                || text.strip_suffix('L').is_some_and(value)
                || text.split_once('#').is_some_and(|(day, week)| {
                    value(day) && number(week).is_some_and(|week| (1..=5).contains(&week))
                }))
    }

    fn value(&self, text: &str) -> Option<u32> {
        let named = self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        if let Some(index) = named {
            return u32::try_from(index).ok().map(|index| index + self.range.0);
        }
        number(text).filter(|value| (self.range.0..=self.range.1).contains(value))
    }
}

/// Digits alone: `parse` would take a `+` too.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_schedules_pass() {
        for text in [
            "rate(5 minutes)",
            "rate(1 day)",
            "at(2027-01-31T09:00:00)",
            "cron(0 3 * * ? *)",
            "cron(0/15 8-18 ? * MON-FRI *)",
            "cron(0 9 L * ? 2027)",
            "cron(0 9 ? * 6L *)",
            "cron(0 9 ? * 3#2 *)",
            "cron(0 9 15W * ? *)",
            "cron(1,31 0 1,15 JAN,jul ? 2027-2030)",
        ] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn bad_schedules_are_refused() {
        for text in [
            "",
            "hourly",
            "rate(5)",
            "rate(0 minutes)",
            "rate(+5 minutes)",
            "rate(5 seconds)",
            "cron(60 3 * * ? *)",
            "cron(0 3 * * * *)",
            "cron(0 3 ? * ? *)",
            "cron(0 3 * * ?)",
            "cron(0 3 * 13 ? *)",
            "cron(0 3 * * ? 2200)",
            "cron(0 3 ? * +MON *)",
            "cron(0/0 3 * * ? *)",
            "at(2027-01-31)",
            "at(2027-13-31T09:00:00)",
            "at(2027-01-31T09:00:00Z)",
            "cron 0 3 * * ? *",
        ] {
            assert!(check(text).is_err(), "{text}");
        }
    }

    #[test]
    fn five_fields_of_unix_get_their_six() {
        let error = check("cron(0 3 * * MON)").unwrap_err();
        assert!(error.hint().contains("cron(0 3 ? * MON *)"), "{}", error.hint());
    }
}
