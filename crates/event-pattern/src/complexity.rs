//! How hard the wildcards of a field are for EventBridge, by the measure of AWS's own engine.
//!
//! Asked by `warning`. Our matcher does not care: the measure is there to tell an author before
//! EventBridge does. It is the largest number of places in the wildcards of one field that a value
//! can have reached at once, each `*` that may begin there included.

use std::collections::{BTreeSet, HashMap, HashSet};

/// Above this EventBridge may refuse a rule.
///
/// AWS publishes the measure and not the limit. It is known to refuse 11
/// (`*:*:*:*:*:event-bus/*`).
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
// "If a rule is too complex, EventBridge returns an InvalidEventPatternException"
pub(crate) const COMPLEXITY_MAX: usize = 10;

/// Most steps that are taken for one pattern. What needs more counts as too complex.
pub(crate) const STEPS_MAX: usize = 200_000;

/// The wildcards of one `wildcard`, or of one `anything-but`: these share what they begin with.
pub(crate) type Group<'a> = Vec<&'a [u8]>;

/// Whether the wildcards of one field are too complex. Takes what it needs from `steps`.
pub(crate) fn is_too_complex(groups: &[Group<'_>], steps: &mut usize) -> bool {
    let complexity = Automaton::new(groups).complexity(COMPLEXITY_MAX, steps);
    complexity.is_none_or(|complexity| complexity > COMPLEXITY_MAX)
}

#[derive(Default)]
struct State {
    /// Whether any byte stays here: it is a `*`.
    stays: bool,
    /// The `*` that begins here, which any byte leads to.
    star: Option<usize>,
    next: Vec<(u8, usize)>,
}

struct Automaton {
    // Invariant: the first is where every value begins; nothing leads to it.
    states: Vec<State>,
    /// The bytes that some state tells apart from others.
    alphabet: BTreeSet<u8>,
}

#[derive(Clone, Copy)]
enum Token {
    Byte(u8),
    Star,
}

/// What is compared: the value within its quotes.
fn tokens(wildcard: &[u8]) -> Vec<Token> {
    let mut tokens = vec![Token::Byte(b'"')];
    let mut bytes = wildcard.iter();
    while let Some(&byte) = bytes.next() {
        tokens.push(match byte {
            b'*' => Token::Star,
            b'\\' => Token::Byte(bytes.next().copied().unwrap_or(b'\\')),
            byte => Token::Byte(byte),
        });
    }
    tokens.push(Token::Byte(b'"'));
    tokens
}

impl Automaton {
    fn new(groups: &[Group<'_>]) -> Self {
        let mut automaton = Self { states: vec![State::default()], alphabet: BTreeSet::new() };
        for group in groups {
            let mut prefixes = HashMap::new();
            let end = automaton.add();
            for wildcard in group {
                automaton.wildcard(wildcard, end, &mut prefixes);
            }
        }
        automaton
    }

    fn add(&mut self) -> usize {
        self.states.push(State::default());
        self.states.len() - 1
    }

    /// Adds a wildcard. `prefixes` are the states that its group has reached by each token so far.
    fn wildcard(
        &mut self,
        wildcard: &[u8],
        end: usize,
        prefixes: &mut HashMap<(usize, Option<u8>), usize>,
    ) {
        let tokens = tokens(wildcard);
        let last = tokens.len() - 1;
        let mut at = 0;
        // Where a `*` may stand for nothing, what follows it follows this too.
        let mut before_star = None;
        for (index, token) in tokens.into_iter().enumerate() {
            let key = match token {
                Token::Byte(byte) => (at, Some(byte)),
                Token::Star => (at, None),
            };
            let next = match prefixes.get(&key) {
                _ if index == last => end,
                Some(known) => *known,
                None => self.add(),
            };
            prefixes.insert(key, next);
            match token {
                Token::Star => {
                    self.states[at].star = Some(next);
                    self.states[next].stays = true;
                    before_star = Some(at);
                }
                Token::Byte(byte) => {
                    self.alphabet.insert(byte);
                    for from in [Some(at), before_star.take()].into_iter().flatten() {
                        if !self.states[from].next.contains(&(byte, next)) {
                            self.states[from].next.push((byte, next));
                        }
                    }
                }
            }
            at = next;
        }
    }

    /// The states after `byte`; `None` stands for all bytes that are not told apart.
    fn step(&self, from: &BTreeSet<usize>, byte: Option<u8>) -> BTreeSet<usize> {
        let mut reached = BTreeSet::new();
        for &index in from {
            let state = &self.states[index];
            reached.extend(state.stays.then_some(index).into_iter().chain(state.star));
            let next = state.next.iter().filter(|(on, _)| Some(*on) == byte);
            reached.extend(next.map(|(_, next)| next));
        }
        reached
    }

    fn weight(&self, states: &BTreeSet<usize>) -> usize {
        let stars = states.iter().filter_map(|&state| self.states[state].star);
        states.len() + stars.filter(|star| !states.contains(star)).collect::<HashSet<_>>().len()
    }

    /// The most states at once, or the first number above `enough`; `None` if there are too few
    /// `steps` left to tell.
    fn complexity(&self, enough: usize, steps: &mut usize) -> Option<usize> {
        let mut open = vec![BTreeSet::from([0])];
        let mut seen = HashSet::new();
        let mut most = 0;
        let bytes = || self.alphabet.iter().copied().map(Some).chain([None]);
        while let Some(states) = open.pop() {
            for byte in bytes() {
                *steps = steps.checked_sub(states.len())?;
                let reached = self.step(&states, byte);
                most = most.max(self.weight(&reached));
                if most > enough {
                    return Some(most);
                }
                if !reached.is_empty() && seen.insert(reached.clone()) {
                    open.push(reached);
                }
            }
        }
        Some(most)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// The wildcards of a field's list.
    fn groups(list: &Value) -> Vec<Vec<String>> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let operators = list.as_array().unwrap().iter();
        let wildcards = operators.filter_map(|operator| {
            Some(match operator.get("wildcard").or(operator["anything-but"].get("wildcard"))? {
                Value::Array(list) => list.iter().map(text).collect(),
                one => vec![text(one)],
            })
        });
        wildcards.collect()
    }

    #[track_caller]
    fn check(groups: &[Vec<String>], expected: usize) {
        let groups: Vec<Group<'_>> =
            groups.iter().map(|group| group.iter().map(String::as_bytes).collect()).collect();
        let complexity = Automaton::new(&groups).complexity(usize::MAX, &mut STEPS_MAX.clone());
        assert_eq!(complexity, Some(expected), "{groups:?}");
        assert_eq!(is_too_complex(&groups, &mut STEPS_MAX.clone()), expected > COMPLEXITY_MAX);
    }

    #[test]
    fn the_measure_is_that_of_aws() {
        let corpus = include_str!("../tests/conformance/event-patterns.jsonl");
        let cases = corpus.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let mut seen = 0;
        for case in cases.filter(|case| case.get("complexity").is_some()) {
            let pattern: Value = serde_json::from_str(case["pattern"].as_str().unwrap()).unwrap();
            check(
                &groups(&pattern["a"]),
                usize::try_from(case["complexity"].as_u64().unwrap()).unwrap(),
            );
            seen += 1;
        }
        assert!(seen > 30, "{seen}");
    }

    #[test]
    fn wildcards_of_one_list_add_up() {
        let one = || vec!["*a*b".to_owned()];
        check(&[one()], 3);
        check(&[one(), one(), one(), one()], 12);
    }

    #[test]
    fn what_would_take_too_long_is_too_complex() {
        let (mut few, mut many) = (10, STEPS_MAX);
        assert!(is_too_complex(&[vec![b"*abc"]], &mut few));
        assert!(!is_too_complex(&[vec![b"*abc"]], &mut many));
    }
}
