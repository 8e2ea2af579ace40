//! The matcher agrees with the reference: on every case of the corpus, and on random patterns and events, one by one and
//! many in one matcher.

#[expect(unreachable_pub, reason = "shared with the fuzz targets, where it is a module too")]
mod reference;

use std::{cell::Cell, fs, path::Path};

use proptest::{
    prelude::{Strategy, any},
    test_runner::{Config, RngAlgorithm, TestCaseResult, TestRng, TestRunner},
};
use reference::{
    generate::{self, Choices},
    targets,
};
use serde_json::Value;
use taskferry_event_pattern::{EventError, EventPattern, Matcher, explain};

/// The matcher's answer; `None` if the event's arrays combine in too many ways.
#[track_caller]
fn answers(patterns: &[String], event: &str) -> Option<Vec<usize>> {
    let compiled = patterns.iter().map(|pattern| match EventPattern::check(pattern) {
        Ok(pattern) => pattern,
        Err(errors) => panic!("{pattern} is refused: {errors:?}"),
    });
    match Matcher::new(compiled).matches(event) {
        Ok(matching) => Some(matching),
        Err(EventError::TooManyCombinations) => None,
        Err(error) => panic!("{event} is refused: {error}"),
    }
}

/// Checks that the matcher answers as the reference, where that has an answer, and counts the matches.
#[track_caller]
fn check(patterns: &[String], event: &str) -> (usize, usize) {
    let Some(matching) = answers(patterns, event) else { return (0, 0) };
    let (mut matches, mut answered) = (0, 0);
    for (index, pattern) in patterns.iter().enumerate() {
        let Some(expected) = reference::matches(pattern, event) else { continue };
        assert_eq!(
            matching.contains(&index),
            expected,
            "pattern {index} of {}: {pattern} on {event}",
            patterns.len()
        );
        matches += usize::from(expected);
        answered += 1;
    }
    (matches, answered)
}

/// Runs a property on so many random inputs, the same in each run.
///
/// `PROPTEST_CASES`, 256 if it is not said, makes them more or fewer.
#[track_caller]
fn run<S: Strategy>(cases: u32, strategy: &S, test: impl Fn(S::Value) -> TestCaseResult) {
    let default = Config::default();
    let cases = cases.saturating_mul(default.cases) / 256;
    let config = Config { cases, failure_persistence: None, ..default };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    if let Err(error) = TestRunner::new_with_rng(config, rng).run(strategy, test) {
        panic!("{error}");
    }
}

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..=most)
}

#[test]
fn the_reference_answers_every_case_of_the_corpus_as_the_matcher() {
    for file in ["event-patterns.jsonl", "event-patterns-random.jsonl"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance").join(file);
        let mut seen = 0;
        for line in fs::read_to_string(path).unwrap().lines() {
            let case: Value = serde_json::from_str(line).unwrap();
            let (pattern, event) = (case["pattern"].as_str().unwrap(), case["event"].as_str());
            let Some(event) = event.filter(|_| case.get("matches").is_some()) else { continue };
            seen += check(&[pattern.to_owned()], event).1;
        }
        assert!(seen > 250, "{file}: {seen}");
    }
}

#[test]
fn a_pattern_matches_an_event_if_the_reference_says_so() {
    let (met, answered) = (Cell::new(0), Cell::new(0));
    run(6_000, &(bytes(60), bytes(100)), |(pattern, event)| {
        let pattern = generate::pattern(&mut Choices::new(&pattern));
        let event = generate::event(&mut Choices::new(&event));
        let (matched, asked) = check(&[pattern], &event);
        met.set(met.get() + matched);
        answered.set(answered.get() + asked);
        Ok(())
    });
    // Else the generators have lost what they are for.
    assert!(answered.get() > 0, "{answered:?}");
    assert!(met.get() * 20 > answered.get(), "{met:?} of {answered:?} match");
}

#[test]
fn a_hundred_patterns_in_one_matcher_do_not_meddle() {
    let hundred = proptest::collection::vec(bytes(40), 100);
    run(40, &(hundred, proptest::collection::vec(bytes(150), 5)), |(patterns, events)| {
        let patterns: Vec<_> =
            patterns.iter().map(|bytes| generate::pattern(&mut Choices::new(bytes))).collect();
        for event in &events {
            check(&patterns, &generate::event(&mut Choices::new(event)));
        }
        Ok(())
    });
}

#[test]
fn an_explanation_says_what_the_matcher_does() {
    run(2_000, &(bytes(60), bytes(100)), |(pattern, event)| {
        let pattern = generate::pattern(&mut Choices::new(&pattern));
        let event = generate::event(&mut Choices::new(&event));
        let Some(matching) = answers(std::slice::from_ref(&pattern), &event) else { return Ok(()) };
        let explanation = explain(&EventPattern::parse(&pattern).unwrap(), &event).unwrap();
        assert_eq!(explanation.matches, !matching.is_empty(), "{pattern} on {event}");
        Ok(())
    });
}

/// An array of arrays of objects, so that elements are chosen at each level.
fn deep(depth: usize, bytes: &[u8]) -> String {
    let mut choices = Choices::new(bytes);
    let mut elements = vec![generate::event(&mut choices)];
    while elements.len() < 4 && !choices.is_spent() {
        elements.push(generate::event(&mut choices).replace(" trailing", ""));
    }
    let inner = elements.join(",").replace(" trailing", "");
    format!("{}{inner}{}", "[".repeat(depth), "]".repeat(depth))
}

#[test]
fn arrays_within_arrays_are_consistent() {
    let inputs = (1..60_usize, bytes(80), bytes(200));
    run(1_000, &inputs, |(depth, pattern, event)| {
        let pattern = generate::pattern(&mut Choices::new(&pattern));
        let event = deep(depth, &event);
        check(&[format!(r#"{{"a":{pattern}}}"#), pattern], &format!(r#"{{"a":{event},"b":"ab"}}"#));
        Ok(())
    });
}

#[test]
fn the_committed_inputs_of_the_fuzz_targets_hold() {
    type Target = fn(&[u8]);
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds");
    let targets: [(&str, Target); 3] =
        [("pattern", targets::pattern), ("event", targets::event), ("pair", targets::pair)];
    for (name, target) in targets {
        let files = fs::read_dir(seeds.join(name)).unwrap();
        let inputs: Vec<_> = files.map(|file| fs::read(file.unwrap().path()).unwrap()).collect();
        assert!(inputs.len() > 20, "{name}: {}", inputs.len());
        for input in inputs {
            target(&input);
        }
    }
}
