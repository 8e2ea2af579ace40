//! `cron(…)` in AWS's dialect: six fields, and the times of the calendar that they name.
//!
//! Knows no zone and no clock: `schedule` asks for the next time on a calendar, and whether the clocks of a zone ever show
//! it is not decided here.

use jiff::civil::{Date, DateTime, Time};

use super::Error;

/// The years there are.
const YEARS: (u32, u32) = (1970, 2199);

/// The fields as sets: bit `n` stands for `n`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Cron {
    minutes: u64,
    hours: u64,
    days: Days,
    months: u64,
    /// Bit `n` of element `m` stands for 1970 + 64 m + n.
    years: [u64; 4],
}

/// Which days: one of the two day fields says so.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Days {
    /// Days of the month, from bit 1 on.
    of_month: u64,
    /// Days of the month of which the nearest working day is meant, from bit 1 on.
    nearest: u64,
    /// The last day of the month.
    last: bool,
    /// The last working day of the month.
    last_working: bool,
    /// Days of the week, from bit 1, Sunday, on.
    of_week: u64,
    /// Days of the week of which the last in the month is meant.
    last_of_week: u64,
    /// A day of the week of which the first to fifth in the month is meant.
    nth: Option<(u32, u32)>,
}

struct Field {
    name: &'static str,
    range: (u32, u32),
    names: &'static [&'static str],
    allowed: &'static str,
}

/// Days of the week as AWS counts them.
const SUNDAY: u32 = 1;
const SATURDAY: u32 = 7;

const MONTHS: &[&str] =
    &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
pub(super) const WEEKDAYS: &[&str] = &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

// https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html#cron-based
// The table of fields, values and wildcards.
const MINUTE: Field = Field { name: "minute", range: (0, 59), names: &[], allowed: "0-59 , - * /" };
const HOUR: Field = Field { name: "hour", range: (0, 23), names: &[], allowed: "0-23 , - * /" };
const DAY_OF_MONTH: Field =
    Field { name: "day of month", range: (1, 31), names: &[], allowed: "1-31 , - * ? / L W" };
const MONTH: Field =
    Field { name: "month", range: (1, 12), names: MONTHS, allowed: "1-12 or JAN-DEC , - * /" };
const DAY_OF_WEEK: Field = Field {
    name: "day of week",
    range: (1, 7),
    names: WEEKDAYS,
    allowed: "1-7 or SUN-SAT , - * ? L #",
};
const YEAR: Field = Field { name: "year", range: YEARS, names: &[], allowed: "1970-2199 , - * /" };

impl Cron {
    /// Reads what stands between the parentheses.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let upper = text.to_ascii_uppercase();
        let fields: Vec<&str> = upper.split_ascii_whitespace().collect();
        let &[minutes, hours, day, month, weekday, years] = fields.as_slice() else {
            return Err(Error::Fields {
                found: fields.len(),
                meant: super::short::six_of_five(text),
            });
        };
        let days = match (day, weekday) {
            ("?", "?") => return Err(Error::Days),
            (day, "?") => Days::of_month(day)?,
            ("?", weekday) => Days::of_week(weekday)?,
            (day, weekday) => {
                // What is wrong with a field goes before what is wrong with both.
                Days::of_month(day)?;
                Days::of_week(weekday)?;
                return Err(Error::Days);
            }
        };
        let mut set = [0; 4];
        YEAR.each(years, &mut |year| {
            let bit = year - YEARS.0;
            set[(bit / 64) as usize] |= 1 << (bit % 64);
        })?;
        Ok(Self {
            minutes: MINUTE.set(minutes)?,
            hours: HOUR.set(hours)?,
            days,
            months: MONTH.set(month)?,
            years: set,
        })
    }

    /// The first time of the calendar that is `from` or later; `None` if there is none up to the year 2199.
    pub(super) fn next_from(&self, from: DateTime) -> Option<DateTime> {
        let from = match (from.second(), from.subsec_nanosecond()) {
            (0, 0) => from,
            _ => from.checked_add(jiff::SignedDuration::from_mins(1)).ok()?,
        };
        let earliest = Time::constant(from.hour(), from.minute(), 0, 0);
        let begin = i64::from(from.year()).max(i64::from(YEARS.0));
        for year in (begin..=i64::from(YEARS.1)).filter_map(|year| i16::try_from(year).ok()) {
            if !self.is_in_year(year) {
                continue;
            }
            for month in (1..=12).filter(|month| self.months & (1 << month) != 0) {
                let Ok(first) = Date::new(year, month, 1) else { continue };
                if first.last_of_month() < from.date() {
                    continue;
                }
                let is_current = first <= from.date();
                let mut day = if is_current { from.day() } else { 1 };
                let days = self.days.in_month(first);
                while let Some(found) = lowest(days, day) {
                    let is_today = is_current && found == from.day();
                    let time = self.time_from(if is_today { earliest } else { Time::midnight() });
                    if let Some(time) = time {
                        return Some(Date::new(year, month, found).ok()?.to_datetime(time));
                    }
                    day = found + 1;
                }
            }
        }
        None
    }

    fn is_in_year(&self, year: i16) -> bool {
        let Some(bit) = u32::try_from(year).ok().and_then(|year| year.checked_sub(YEARS.0)) else {
            return false;
        };
        self.years.get((bit / 64) as usize).is_some_and(|set| set & (1 << (bit % 64)) != 0)
    }

    /// The first time of a day that is `from` or later.
    fn time_from(&self, from: Time) -> Option<Time> {
        let hour = lowest(self.hours, from.hour())?;
        let minute = if hour == from.hour() { lowest(self.minutes, from.minute()) } else { None };
        let (hour, minute) = match minute {
            Some(minute) => (hour, minute),
            None if hour > from.hour() => (hour, lowest(self.minutes, 0)?),
            None => (lowest(self.hours, from.hour() + 1)?, lowest(self.minutes, 0)?),
        };
        Time::new(hour, minute, 0, 0).ok()
    }
}

/// The lowest member of a set that is not below `from`.
fn lowest(set: u64, from: i8) -> Option<i8> {
    let left = set.checked_shr(u32::try_from(from).ok()?)?;
    let above = i8::try_from(left.trailing_zeros()).ok()?;
    (left != 0).then_some(from + above)
}

impl Days {
    fn of_month(text: &str) -> Result<Self, Error> {
        let mut days = Self::default();
        for part in text.split(',') {
            match part {
                "L" => days.last = true,
                // https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html#cron-based
                // L and W are wildcards of this field; together they are the last day that is a working day.
                "LW" => days.last_working = true,
                part => match part.strip_suffix('W') {
                    Some(day) => {
                        let day =
                            DAY_OF_MONTH.value(day).ok_or_else(|| DAY_OF_MONTH.refuse(text))?;
                        days.nearest |= 1 << day;
                    }
                    None => days.of_month |= DAY_OF_MONTH.set(part)?,
                },
            }
        }
        Ok(days)
    }

    fn of_week(text: &str) -> Result<Self, Error> {
        let mut days = Self::default();
        if let Some((day, nth)) = text.split_once('#') {
            // "If you use a '#' character, you can define only one expression in the day-of-week field."
            if text.contains(',') {
                return Err(Error::Listed { text: text.to_owned() });
            }
            let nth = number(nth).filter(|nth| (1..=5).contains(nth));
            days.nth =
                Some(DAY_OF_WEEK.value(day).zip(nth).ok_or_else(|| DAY_OF_WEEK.refuse(text))?);
            return Ok(days);
        }
        for part in text.split(',') {
            // Increments are no wildcard of this field.
            if part.contains('/') {
                return Err(DAY_OF_WEEK.refuse(text));
            }
            match part.strip_suffix('L') {
                // The last day of the week.
                Some("") => days.of_week |= 1 << 7,
                Some(day) => {
                    let day = DAY_OF_WEEK.value(day).ok_or_else(|| DAY_OF_WEEK.refuse(text))?;
                    days.last_of_week |= 1 << day;
                }
                None => days.of_week |= DAY_OF_WEEK.set(part)?,
            }
        }
        Ok(days)
    }

    /// The days of the month that begins with `first`, from bit 1 on.
    fn in_month(&self, first: Date) -> u64 {
        let length = u32::from(first.days_in_month().unsigned_abs());
        let of_first = u32::from(first.weekday().to_sunday_one_offset().unsigned_abs()) - 1;
        // 1 for Sunday, as the fields have it.
        let weekday = |day: u32| (of_first + day - 1) % 7 + 1;
        let mut set = self.of_month & ((2 << length) - 1);
        if self.last {
            set |= 1 << length;
        }
        if self.last_working {
            set |= 1 << nearest_working(weekday(length), length, length);
        }
        for day in 1..=length {
            // A month that lacks the day has no working day that is nearest to it.
            if self.nearest & (1 << day) != 0 {
                set |= 1 << nearest_working(weekday(day), day, length);
            }
            let is_last = day + 7 > length;
            let is_meant = self.of_week & (1 << weekday(day)) != 0
                || (is_last && self.last_of_week & (1 << weekday(day)) != 0)
                || self.nth == Some((weekday(day), (day - 1) / 7 + 1));
            set |= u64::from(is_meant) << day;
        }
        set
    }
}

/// The working day nearest to a day, within its month.
fn nearest_working(weekday: u32, day: u32, length: u32) -> u32 {
    match weekday {
        SATURDAY if day == 1 => 3,
        SATURDAY => day - 1,
        SUNDAY if day == length => day - 2,
        SUNDAY => day + 1,
        _ => day,
    }
}

impl Field {
    fn refuse(&self, text: &str) -> Error {
        Error::Field { field: self.name, text: text.to_owned(), allowed: self.allowed }
    }

    /// The values that the field says, for fields that fit.
    fn set(&self, text: &str) -> Result<u64, Error> {
        let mut set = 0;
        self.each(text, &mut |value| set |= 1 << value)?;
        Ok(set)
    }

    fn each(&self, text: &str, found: &mut dyn FnMut(u32)) -> Result<(), Error> {
        text.split(',').try_for_each(|one| self.one(one, found).ok_or_else(|| self.refuse(text)))
    }

    /// `*`, `5`, `1-5`, and each with `/2` behind it.
    fn one(&self, text: &str, found: &mut dyn FnMut(u32)) -> Option<()> {
        let (min, max) = self.range;
        let (base, step) = match text.split_once('/') {
            Some((base, step)) => (base, Some(number(step).filter(|&it| it > 0 && it <= max)?)),
            None => (text, None),
        };
        let (first, last) = match base.split_once('-') {
            _ if base == "*" => (min, max),
            Some((first, last)) => (self.value(first)?, self.value(last)?),
            // A value with an increment goes on to the end.
            None if step.is_some() => (self.value(base)?, max),
            None => (self.value(base)?, self.value(base)?),
        };
        // A range may go over the end, and on from the beginning: `FRI-MON`, `22-2`. Years do not come again.
        let span = max - min + 1;
        if last < first && self.range == YEARS {
            return None;
        }
        let last = if last < first { last + span } else { last };
        for value in (first..=last).step_by(step.unwrap_or(1) as usize) {
            found(if value > max { value - span } else { value });
        }
        Some(())
    }

    fn value(&self, text: &str) -> Option<u32> {
        if let Some(index) = self.names.iter().position(|name| *name == text) {
            return u32::try_from(index).ok().map(|index| index + self.range.0);
        }
        number(text).filter(|value| (self.range.0..=self.range.1).contains(value))
    }
}

/// Digits alone: `parse` would take a `+` too.
pub(super) fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}
