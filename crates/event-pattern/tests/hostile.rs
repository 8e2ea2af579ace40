//! Text that nobody would write on purpose: refused or matched, and never a panic.
//!
//! Takes the conformance corpus apart: each pattern and event is cut short at every character, and
//! loses or repeats each of its characters in turn.

use std::{fs, path::Path};

use serde_json::Value;
use taskferry_event_pattern::{EventError, EventPattern, Matcher, explain};

/// The texts that differ from this one by one edit.
fn edits(text: &str) -> impl Iterator<Item = String> {
    text.char_indices().flat_map(move |(at, c)| {
        let (before, after) = (&text[..at], &text[at + c.len_utf8()..]);
        [
            before.to_owned(),
            format!("{before}{after}"),
            format!("{before}{c}{c}{after}"),
            format!("{before}\"{after}"),
            format!("{before}\\{after}"),
        ]
    })
}

fn check_pattern(text: &str) {
    match EventPattern::parse(text) {
        Ok(pattern) => assert_eq!(pattern.as_str(), text),
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert!(error.offset() <= text.len());
            assert!(error.line() >= 1 && error.column() >= 1);
        }
    }
}

fn check_event(pattern: &EventPattern, matcher: &Matcher, event: &str) {
    let routed = matcher.matches(event).map(|matching| !matching.is_empty());
    let explained = explain(pattern, event).map(|explanation| explanation.matches);
    assert_eq!(routed, explained, "{} on {event}", pattern.as_str());
}

#[test]
fn edited_patterns_and_events_never_panic() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let lines = fs::read_to_string(corpus.join("event-patterns.jsonl")).unwrap();
    for line in lines.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let pattern = case["pattern"].as_str().unwrap();
        // The few long texts would take most of the time and repeat themselves.
        if pattern.len() > 400 {
            continue;
        }
        edits(pattern).for_each(|edited| check_pattern(&edited));
        let (Ok(pattern), Some(event)) = (pattern.parse(), case["event"].as_str()) else {
            continue;
        };
        if event.len() <= 400 {
            let matcher = Matcher::new([EventPattern::clone(&pattern)]);
            edits(event).for_each(|edited| check_event(&pattern, &matcher, &edited));
        }
    }
}

/// The events in which `names` each hold an array of `elements`, and `z` is 1.
fn arrays(names: &[String], elements: &str) -> String {
    let fields: Vec<_> = names.iter().map(|name| format!(r#""{name}":[{elements}]"#)).collect();
    format!(r#"{{{},"z":1}}"#, fields.join(","))
}

#[test]
fn arrays_that_overlap_on_purpose_are_bounded() {
    // In the order of their paths, all arrays are chosen from before any is left again.
    let names: Vec<String> = (0..4).map(|dashes| format!("p{}", "-".repeat(dashes))).collect();
    let fields = names.iter().map(|name| format!(r#""{name}":[1],"{name}.x":[2]"#));
    let pattern = format!("{{{}}}", fields.collect::<Vec<_>>().join(","));
    let event = arrays(&names, &vec![r#"[1],{"x":1},{"x":2}"#; 1000].join(","));
    let matcher = Matcher::new([pattern.parse::<EventPattern>().unwrap()]);
    let message = matcher.matches(&event).unwrap_err().to_string();
    assert_eq!(message, "the event's arrays combine in too many ways for one pattern");
}

#[test]
fn long_names_do_not_multiply_with_values() {
    let matcher = Matcher::new([EventPattern::parse(r#"{"a":{"b":["x"]}}"#).unwrap()]);
    let values = vec![r#"{"b":"x"}"#; 100_000].join(",");
    let event = format!(r#"{{"{}":[{values}],"a":[{values}]}}"#, "n".repeat(1_000_000));
    assert_eq!(matcher.matches(&event).unwrap(), [0]);
}

/// The events in which `depth` arrays lie in each other, the innermost of which holds these elements.
fn deep(depth: usize, elements: &str) -> String {
    format!(r#"{{"a":{}{elements}{}}}"#, "[".repeat(depth), "]".repeat(depth))
}

#[test]
fn deep_arrays_of_many_elements_are_bounded_in_memory_and_time() {
    // Each of the two fields has each element in 126 arrays, for each of a thousand alternatives.
    let fields = |index: usize| format!(r#""b":["x","{index}"],"c":["x","{index}"]"#);
    let ors: Vec<String> = (0..500).map(|index| format!("{{{}}}", fields(index))).collect();
    let pattern = format!(r#"{{"a":{{"$or":[{}]}}}}"#, ors.join(","));
    let matcher = Matcher::new([pattern.parse::<EventPattern>().unwrap()]);
    let elements = vec![r#"{"b":"x"},{"c":"x"}"#; 20_000].join(",");
    assert_eq!(matcher.matches(&deep(126, &elements)), Err(EventError::TooManyCombinations));
    let elements = vec![r#"{"b":"x"},{"c":"x"}"#; 1_000].join(",");
    assert_eq!(matcher.matches(&deep(1, &elements)), Ok(vec![]));
}

#[test]
fn two_fields_of_a_long_array_are_no_problem() {
    let matcher = Matcher::new([EventPattern::parse(r#"{"a":{"b":[1],"c":[1]}}"#).unwrap()]);
    let elements = vec![r#"{"b":1,"c":0},{"b":0,"c":1}"#; 100_000].join(",");
    assert_eq!(matcher.matches(&deep(1, &elements)), Ok(vec![]));
    let elements = format!(r#"{elements},{{"b":1,"c":1}}"#);
    assert_eq!(matcher.matches(&deep(1, &elements)), Ok(vec![0]));
}

#[test]
fn a_wildcard_takes_no_longer_for_a_text_that_nearly_meets_it() {
    // Comparing at each place anew would take 10^10 steps.
    let part = format!("{}b", "a".repeat(10_000));
    let pattern = format!(r#"{{"a":[{{"wildcard":"*{part}*{part}*"}}]}}"#);
    let matcher = Matcher::new([pattern.parse::<EventPattern>().unwrap()]);
    let text = "a".repeat(1_000_000);
    assert_eq!(matcher.matches(&format!(r#"{{"a":"{text}"}}"#)), Ok(vec![]));
    assert_eq!(matcher.matches(&format!(r#"{{"a":"{text}{part}{part}"}}"#)), Ok(vec![0]));
}

#[test]
fn many_values_are_not_asked_by_each_of_many_patterns() {
    // A thousand patterns times a hundred thousand values would be 10^8 questions.
    let pattern = |index| {
        let text = format!(r#"{{"a":[{{"prefix":"arn:"}}],"b":["{index}"]}}"#);
        text.parse::<EventPattern>().unwrap()
    };
    let matcher = Matcher::new((0..1000).map(pattern));
    let arns = vec![r#""arn:x""#; 100_000].join(",");
    let event = format!(r#"{{"a":[{arns}],"b":["1","7"]}}"#);
    assert_eq!(matcher.matches(&event), Ok(vec![1, 7]));
}
