//! What each fuzz target checks of one input. Panics if it does not hold.
//!
//! Called by libFuzzer with inputs that it breeds, and by the tests with those that are committed.

use std::sync::LazyLock;

use taskferry_event_pattern::{EventError, EventPattern, Matcher, explain};

use super::generate::{self, Choices};

/// Patterns of a generated input: enough to meddle with each other.
const PATTERNS_MAX: usize = 8;

/// Patterns that ask for each operator at the same few paths, so that any event meets some.
const PATTERNS: [&str; 16] = [
    r#"{"a":["x",1,null,true]}"#,
    r#"{"a":[{"prefix":"x"},{"suffix":{"equals-ignore-case":"é"}}],"b":[{"exists":false}]}"#,
    r#"{"a":{"b":[{"numeric":[">",-1,"<=",1e3]}],"c":[{"exists":true}]}}"#,
    r#"{"a":{"b":[{"anything-but":["x","y"]}],"c":[{"anything-but":[1,2]}]}}"#,
    r#"{"a.b":[{"wildcard":"*x*y*"}],"a":{"c":[{"anything-but":{"wildcard":"*x"}}]}}"#,
    r#"{"a":[{"cidr":"10.0.0.0/8"},{"cidr":"::/16"},"::1","10.0.0.1"]}"#,
    r#"{"$or":[{"a":["x"]},{"a":{"b":[1]},"b":["x"]},{"b":[{"exists":false}]}]}"#,
    r#"{"a":{"$or":[{"b":[1]},{"c":[1]}],"d":["x"]},"b":[{"prefix":{"equals-ignore-case":"ß"}}]}"#,
    r#"{"":[""],"a":{"":["x"]}}"#,
    r#"{"a":[12345678901234567891,0.1,-0]}"#,
    r#"{"a":[{"anything-but":{"prefix":"x"}},{"anything-but":{"equals-ignore-case":["X"]}}]}"#,
    r#"{"a":{"a":{"a":{"a":["x"],"b":[1]},"b":[1]},"b":[1]},"b":[1]}"#,
    r#"{"a":["\ud800","\u0000","😀","\"","\\"]}"#,
    r#"{"b":[{"exists":false}],"a":[{"exists":false}],"c":[{"exists":false}]}"#,
    r#"{"a":[{"numeric":["=",0]},{"suffix":"x"},{"exactly":"10.0.0.1"}]}"#,
    r#"{"a":[{"wildcard":"x*"},{"wildcard":"*x"},{"wildcard":"*\\**"},{"wildcard":""}]}"#,
];

/// Any text as a pattern: compiled, or refused with every fault at a place in it.
pub fn pattern(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match EventPattern::check(text) {
        Ok(pattern) => {
            assert_eq!(pattern.as_str(), text);
            assert_eq!(EventPattern::parse(text).as_ref(), Ok(&pattern));
            for warning in pattern.warnings() {
                assert_place(text, warning.offset(), warning.line(), warning.column());
                assert!(!warning.to_string().is_empty());
            }
            let matcher = Matcher::new([pattern.clone()]);
            assert_eq!(
                matcher.matches("{}").map(|matching| matching == [0]),
                is_explained(&pattern, "{}")
            );
        }
        Err(errors) => {
            assert_eq!(EventPattern::parse(text).as_ref(), Err(&errors[0]));
            assert!(errors.is_sorted_by_key(taskferry_event_pattern::Error::offset));
            for error in errors {
                assert_place(text, error.offset(), error.line(), error.column());
                assert!(!error.to_string().is_empty());
            }
        }
    }
}

fn assert_place(text: &str, offset: usize, line: usize, column: usize) {
    assert!(text.is_char_boundary(offset), "{offset} is within a character");
    let before = &text[..offset];
    assert_eq!(line, before.matches('\n').count() + 1);
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    assert_eq!(column, before[start..].chars().count() + 1);
}

fn is_explained(pattern: &EventPattern, event: &str) -> Result<bool, EventError> {
    explain(pattern, event).map(|explanation| explanation.matches)
}

/// Any text as an event: one matcher of all, each pattern alone, each explanation and the reference agree.
pub fn event(input: &[u8]) {
    static COMPILED: LazyLock<Vec<EventPattern>> = LazyLock::new(|| {
        PATTERNS.map(|pattern| EventPattern::parse(pattern).expect("it is valid")).into()
    });
    static MATCHER: LazyLock<Matcher> = LazyLock::new(|| Matcher::new(COMPILED.iter().cloned()));
    let Ok(event) = std::str::from_utf8(input) else { return };
    compare(&MATCHER, &COMPILED, event);
}

/// A pattern and an event. Input that begins with `{` is a line for the pattern and the rest for the event; from any
/// other, several patterns and an event are generated.
pub fn pair(input: &[u8]) {
    if input.first() == Some(&b'{') {
        let Ok(text) = std::str::from_utf8(input) else { return };
        let Some((pattern, event)) = text.split_once('\n') else { return };
        let Ok(pattern) = EventPattern::parse(pattern) else { return };
        compare(&Matcher::new([pattern.clone()]), &[pattern], event);
        return;
    }
    let mut choices = Choices::new(input);
    let event = generate::event(&mut choices);
    let mut patterns = Vec::new();
    while patterns.is_empty() || (patterns.len() < PATTERNS_MAX && !choices.is_spent()) {
        let pattern = generate::pattern(&mut choices);
        match EventPattern::parse(&pattern) {
            Ok(pattern) => patterns.push(pattern),
            // Each `$or` is small, but there may be many beside each other.
            Err(error) if error.to_string().contains("combinations") => {}
            Err(error) => panic!("{pattern} is refused: {error}"),
        }
    }
    compare(&Matcher::new(patterns.iter().cloned()), &patterns, &event);
}

/// Checks that all ways to ask give one answer.
///
/// # Panics
///
/// If they do not.
fn compare(matcher: &Matcher, patterns: &[EventPattern], event: &str) {
    let matching = match matcher.matches(event) {
        Ok(matching) => matching,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    assert!(matching.is_sorted());
    for (index, pattern) in patterns.iter().enumerate() {
        let text = pattern.as_str();
        let is_met = matching.contains(&index);
        assert_eq!(is_explained(pattern, event), Ok(is_met), "explained: {text} on {event}");
        let alone = Matcher::new([pattern.clone()]).matches(event);
        assert_eq!(alone.map(|matching| matching == [0]), Ok(is_met), "alone: {text} on {event}");
        if let Some(expected) = super::matches(text, event) {
            assert_eq!(is_met, expected, "{text} on {event}");
        }
    }
}
