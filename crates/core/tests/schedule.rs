//! Schedules over 20 years in zones whose clocks change, against what other programs say (`schedule/generate.py`).

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, and says where")]

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use taskferry_core::schedule::Schedule;

const CORPUS: &str = include_str!("schedule/corpus.jsonl");
const BEGIN: &str = "2005-01-01T00:00";
const END: &str = "2025-01-01T00:00";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    expression: String,
    timezone: String,
    count: usize,
    sha256: String,
    /// The firings within a day of a change of the clocks, in minutes since the epoch; not of those that fire often.
    near_changes: Option<Vec<i64>>,
}

#[test]
fn twenty_years_of_clocks_that_change() {
    let cases: Vec<Case> = CORPUS.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(cases.len(), 90);
    for case in cases {
        check(&case);
    }
}

fn check(case: &Case) {
    let Case { expression, timezone, count, sha256, near_changes } = case;
    let schedule = Schedule::parse(expression, timezone).unwrap();
    let instant = |text: &str| {
        let civil: jiff::civil::DateTime = text.parse().unwrap();
        civil.to_zoned(schedule.zone().clone()).unwrap().timestamp()
    };
    let mut after = Timestamp::from_second(instant(BEGIN).as_second() - 1).unwrap();
    let end = instant(END);
    let mut found = Vec::new();
    while let Some(next) = schedule.next_after(after, Timestamp::UNIX_EPOCH).filter(|it| *it < end)
    {
        found.push(next.as_second());
        after = next;
    }
    for minute in near_changes.iter().flatten() {
        assert!(
            found.binary_search(&(minute * 60)).is_ok(),
            "{expression} {timezone} does not fire at {}",
            Timestamp::from_second(minute * 60).unwrap()
        );
    }
    assert_eq!(found.len(), *count, "{expression} {timezone}");
    let mut text = String::new();
    for second in &found {
        writeln!(text, "{second}").unwrap();
    }
    let hex = Sha256::digest(text.as_bytes()).iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    });
    assert_eq!(hex, *sha256, "{expression} {timezone}");
}
