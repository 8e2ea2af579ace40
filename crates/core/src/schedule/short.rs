//! Short forms of schedules, as cron and Copilot have them, in AWS's form.
//!
//! Accepted in a rules file; what goes to AWS, and what is shown, is AWS's form.

use super::{
    Error,
    cron::{Cron, WEEKDAYS, number},
};

/// The names that cron has for schedules. A week begins with Sunday.
const NAMED: [(&str, &str); 7] = [
    ("@yearly", "cron(0 0 1 1 ? *)"),
    ("@annually", "cron(0 0 1 1 ? *)"),
    ("@monthly", "cron(0 0 1 * ? *)"),
    ("@weekly", "cron(0 0 ? * SUN *)"),
    ("@daily", "cron(0 0 * * ? *)"),
    ("@midnight", "cron(0 0 * * ? *)"),
    ("@hourly", "cron(0 * * * ? *)"),
];

/// A schedule in AWS's form: itself, or what a short form stands for.
///
/// Short forms are `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`, `@every 1h30m`, and a line of cron's five fields,
/// whose days of the week are counted from 0, Sunday.
///
/// # Errors
///
/// [`Error`], if it looks like a short form and is none. What looks like none is given back as it is.
pub fn in_aws_form(text: &str) -> Result<String, Error> {
    let text = text.trim();
    if let Some((_, meant)) = NAMED.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
        return Ok((*meant).to_owned());
    }
    if let Some(every) = text.strip_prefix("@every ") {
        return every_so_often(every.trim());
    }
    match text.split_ascii_whitespace().collect::<Vec<_>>().as_slice() {
        &[minute, hour, day, month, weekday] if !text.contains('(') => {
            of_unix([minute, hour, day, month, weekday])
        }
        _ => Ok(text.to_owned()),
    }
}

fn every_so_often(text: &str) -> Result<String, Error> {
    let refused = || Error::Every { text: text.to_owned() };
    let duration = crate::rules::parse_duration(text).map_err(|_| refused())?;
    let (minutes, rest) = (duration.as_secs() / 60, duration.as_secs() % 60);
    if rest != 0 || duration.subsec_nanos() != 0 {
        return Err(refused());
    }
    let (number, unit) = match minutes {
        minutes if minutes % 1440 == 0 => (minutes / 1440, "day"),
        minutes if minutes % 60 == 0 => (minutes / 60, "hour"),
        minutes => (minutes, "minute"),
    };
    Ok(format!("rate({number} {unit}{})", if number == 1 { "" } else { "s" }))
}

/// A line of cron's: days of the week are 0 to 7, of which both ends are Sunday, and both day fields may say something.
fn of_unix([minute, hour, day, month, weekday]: [&str; 5]) -> Result<String, Error> {
    let (day, weekday) = match (day, weekday) {
        (day, "*" | "?") => (if day == "?" { "*" } else { day }, "?".to_owned()),
        ("*" | "?", weekday) => ("?", weekdays(weekday)?),
        (day, weekday) => {
            return Err(Error::UnixDays { day: day.to_owned(), weekday: weekday.to_owned() });
        }
    };
    let fields = format!("{minute} {hour} {day} {month} {weekday} *");
    Cron::parse(&fields)?;
    Ok(format!("cron({fields})"))
}

/// Days of the week by name, as AWS counts them from 1 and cron from 0.
fn weekdays(text: &str) -> Result<String, Error> {
    let refused = || Error::Field {
        field: "day of week",
        text: text.to_owned(),
        allowed: "0-7 or SUN-SAT , - * /",
    };
    let day = |text: &str| -> Option<usize> {
        let named = WEEKDAYS.iter().position(|name| name.eq_ignore_ascii_case(text));
        let numbered = || number(text).filter(|day| *day <= 7).map(|day| day as usize);
        named.or_else(numbered)
    };
    let mut meant = [false; 7];
    for part in text.split(',') {
        let (base, step) = match part.split_once('/') {
            Some((base, step)) => {
                (base, number(step).filter(|step| (1..=7).contains(step)).ok_or_else(refused)?)
            }
            None => (part, 1),
        };
        let (first, last) = match base.split_once('-') {
            _ if base == "*" => (0, 6),
            Some((first, last)) => {
                (day(first).ok_or_else(refused)?, day(last).ok_or_else(refused)?)
            }
            None if part.contains('/') => (day(base).ok_or_else(refused)?, 6),
            None => (day(base).ok_or_else(refused)?, day(base).ok_or_else(refused)?),
        };
        let last = if last < first { last + 7 } else { last };
        (first..=last).step_by(step as usize).for_each(|day| meant[day % 7] = true);
    }
    Ok(named(meant))
}

/// A range where the days follow upon one another, else a list.
fn named(meant: [bool; 7]) -> String {
    let days: Vec<usize> = (0..7).filter(|&day| meant[day]).collect();
    match days.as_slice() {
        [first, .., last] if last - first + 1 == days.len() && days.len() > 2 => {
            format!("{}-{}", WEEKDAYS[*first], WEEKDAYS[*last])
        }
        days => days.iter().map(|&day| WEEKDAYS[day]).collect::<Vec<_>>().join(","),
    }
}

/// What five fields are in AWS's form, if the days of the week say the same in both.
pub(super) fn six_of_five(text: &str) -> Option<String> {
    let fields: Vec<&str> = text.split_ascii_whitespace().collect();
    let &[minute, hour, day, month, weekday] = fields.as_slice() else { return None };
    // Of a number it is not known by which count it was meant.
    if weekday.bytes().any(|byte| byte.is_ascii_digit()) {
        return None;
    }
    of_unix([minute, hour, day, month, weekday]).ok()
}
