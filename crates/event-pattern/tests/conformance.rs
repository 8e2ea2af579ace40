//! Every case of AWS's own engine, and the few that are answered otherwise on purpose.
//!
//! A case listed in [`NOT_FOLLOWED`] must disagree and every
//! other must agree, so neither side of the list can go stale.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::Value;
use taskferry_event_pattern::{EventPattern, Matcher, explain};

// Why an answer is not followed. Each is a defect there, met by hardly anyone.
const QUOTE: &str = "there, values are compared within their quotes, so a quote at the end of a \
                     prefix meets the end of the value; here, a quote is a character";
const BEYOND_BMP: &str = "there, a character beyond U+FFFF becomes two question marks when case \
                          is ignored; here, it is a character";
const LONE_SURROGATE: &str = "there, a lone surrogate in a prefix becomes a question mark; here, \
                              it equals itself alone, as it does there in an exact value";
const SMALLEST_DOUBLE: &str = "there, the smallest double is written with two digits, 4.9e-324; \
                               here, with as few as JSON writers use, 5e-324";
const FAMILY: &str = "there, IPv4 and IPv6 addresses meet where their leading digits agree; here, \
                      a network holds addresses of its own family";
const EMPTY_NAME: &str = "there, an empty name is lost below another name, though it is a name at \
                          the top; here, it is a name everywhere";
const OR_BRANCH: &str = "there, a branch that repeats an earlier branch's value and adds others is \
                         dropped; here, every branch counts";

/// Cases whose answer is not followed, and why.
const NOT_FOLLOWED: &[(&str, &str)] = &[
    ("quirk/prefix-ending-in-quote-matches-whole-value", QUOTE),
    ("quirk/suffix-starting-with-quote-matches-whole-value", QUOTE),
    ("quirk/prefix-eic-ending-in-quote", QUOTE),
    ("quirk/ab-prefix-ending-in-quote", QUOTE),
    ("quirk/eic-supplementary-deseret", BEYOND_BMP),
    ("quirk/eic-non-bmp-never-equal", BEYOND_BMP),
    ("quirk/eic-non-bmp-equals-question-marks", BEYOND_BMP),
    ("quirk/ab-eic-non-bmp", BEYOND_BMP),
    ("quirk/prefix-eic-non-bmp", BEYOND_BMP),
    ("quirk/suffix-eic-non-bmp", BEYOND_BMP),
    ("quirk/prefix-lone-surrogate-matches-question-mark", LONE_SURROGATE),
    ("quirk/numeric-min-subnormal-is-written-4.9e-324", SMALLEST_DOUBLE),
    ("quirk/numeric-min-subnormal-java-form", SMALLEST_DOUBLE),
    ("quirk/cidr-v6-slash0-matches-v4", FAMILY),
    ("quirk/cidr-v4-slash0-matches-v6", FAMILY),
    ("quirk/cidr-v4-slash8-matches-v6-same-leading-hex", FAMILY),
    ("quirk/cidr-v6-slash24-matches-v4-same-leading-hex", FAMILY),
    ("quirk/empty-key-step-below-key", EMPTY_NAME),
    ("quirk/or-superset-branch-dropped", OR_BRANCH),
    ("quirk/or-superset-branch-dropped-exists", OR_BRANCH),
];

#[derive(Debug, PartialEq)]
enum Verdict {
    Matches(bool),
    Invalid,
    EventError,
}

fn text<'c>(case: &'c Value, key: &str) -> &'c str {
    case[key].as_str().expect("names, patterns and events are strings")
}

fn expected(case: &Value) -> Verdict {
    if case.get("invalid").is_some() || case.get("machine_error").is_some() {
        Verdict::Invalid
    } else if case.get("event_error").is_some() {
        Verdict::EventError
    } else {
        Verdict::Matches(case["matches"].as_bool().expect("every other case has an answer"))
    }
}

fn answered(case: &Value) -> Verdict {
    let Ok(pattern) = EventPattern::parse(text(case, "pattern")) else {
        return Verdict::Invalid;
    };
    let event = if case.get("event").is_some() { text(case, "event") } else { "{}" };
    let explained = explain(&pattern, event).map(|explanation| explanation.matches);
    let matched = Matcher::new([pattern]).matches(event).map(|matching| !matching.is_empty());
    assert_eq!(matched, explained, "{}: matcher and explanation differ", case["name"]);
    matched.map_or(Verdict::EventError, Verdict::Matches)
}

#[track_caller]
fn check(file: &str, cases_expected: usize, not_followed: &[(&str, &str)]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance").join(file);
    let lines = fs::read_to_string(path).expect("the corpus is beside this file");
    let read = |line| serde_json::from_str(line).expect("each line is a case");
    let cases: Vec<Value> = lines.lines().map(read).collect();
    assert_eq!(cases.len(), cases_expected);
    let mut listed: BTreeMap<_, _> = not_followed.iter().copied().collect();
    assert_eq!(listed.len(), not_followed.len(), "a case is listed twice");
    let mut faults = Vec::new();
    for case in &cases {
        let name = text(case, "name");
        let (expected, answered) = (expected(case), answered(case));
        match (listed.remove(name), expected == answered) {
            (None, true) | (Some(_), false) => {}
            (None, false) => faults.push(format!("{name}: {answered:?}, not {expected:?}")),
            (Some(reason), true) => faults.push(format!("{name} agrees, but is listed: {reason}")),
        }
    }
    faults.extend(listed.keys().map(|name| format!("{name} is listed, but no such case exists")));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn written_cases_are_answered_as_by_aws() {
    check("event-patterns.jsonl", 572, NOT_FOLLOWED);
}

#[test]
fn random_cases_are_answered_as_by_aws() {
    check("event-patterns-random.jsonl", 300, &[]);
}
