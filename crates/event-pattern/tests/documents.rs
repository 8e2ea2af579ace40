//! The examples of docs/event-patterns.md: below a pattern, the events that match it (`yes`) and those that do not (`no`).

use std::{fs, path::Path};

use taskferry_event_pattern::{EventPattern, Matcher};

/// The fenced blocks of a document: line, language and text.
fn blocks(document: &str) -> Vec<(usize, &str, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, &str, String)> = None;
    for (index, line) in document.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => open = Some((index + 1, language, String::new())),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some((_, _, text)), None) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    blocks
}

#[test]
fn every_example_of_the_reference_is_so() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/event-patterns.md");
    let document = fs::read_to_string(path).unwrap();
    let blocks = blocks(&document);
    let (mut patterns, mut events) = (0, 0);
    for pair in blocks.windows(2) {
        let [(line, "json", pattern), (_, "events", examples)] = pair else { continue };
        let pattern = EventPattern::parse(pattern);
        let pattern = pattern.unwrap_or_else(|error| panic!("line {line}: {error}"));
        let matcher = Matcher::new([pattern]);
        for example in examples.lines() {
            let (verdict, event) = example.split_once(' ').unwrap();
            // What stands behind the event is a remark, and ignored as such.
            let matching = matcher.matches(event);
            let matching =
                matching.unwrap_or_else(|error| panic!("line {line}: {example}: {error}"));
            let expected = if matching.is_empty() { "no" } else { "yes" };
            assert_eq!(verdict, expected, "the pattern at line {line} on {event}");
            events += 1;
        }
        patterns += 1;
    }
    assert!(patterns >= 18 && events >= 70, "{patterns} patterns and {events} events");
}
