//! Why a pattern does or does not match an event, field by field.
//!
//! For people and their tools; routing asks the [`Matcher`], which decides by the same code.

use std::{cmp::Reverse, sync::Arc};

use crate::{
    clause::Clause,
    event::EventError,
    matcher::{Matcher, Scratch},
    names::NONE,
    parse::EventPattern,
    search,
};

/// The answer of [`explain`].
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// Whether the pattern matches the event.
    pub matches: bool,
    /// The fields of the pattern, in its order.
    pub leaves: Vec<Leaf>,
    /// If the pattern does not match, which of the leaves failed, the nearest miss first.
    ///
    /// Of the ways through the pattern's `$or`s the nearest is the one with the most fields that
    /// are met, of two such the first; within one the order is the pattern's. Empty also where all
    /// fields are met and the pattern is not, since their values lie in different elements of one
    /// array.
    pub failures: Vec<usize>,
}

/// One field of a pattern, and the values that an event has there.
#[derive(Clone, Debug, PartialEq)]
pub struct Leaf {
    /// Where the field stands in the pattern: `detail.state`, in a branch `$or[0].detail.state`.
    pub path: String,
    /// The JSON text of the field's list of values and operators.
    pub expected: String,
    /// The JSON text of the event's values there; none if the field is absent.
    ///
    /// An object or an empty array is no value.
    pub found: Vec<String>,
    /// The first of the values that meets the field, as its place in `found`.
    ///
    /// None meets it if it is the absence of a value that does.
    pub met_by: Option<usize>,
    /// Whether the values meet the field.
    ///
    /// All fields may be met and the pattern still not match, if their values lie in different
    /// elements of one array.
    pub matches: bool,
}

/// Shows for each field of a pattern what the event has there.
///
/// Fields that a later one with the same path replaces are left out.
///
/// # Errors
///
/// [`EventError`] as in [`Matcher::matches`](crate::Matcher::matches).
pub fn explain(pattern: &EventPattern, event: &str) -> Result<Explanation, EventError> {
    let compiled = Matcher::build(std::slice::from_ref(pattern), true);
    let mut scratch = Scratch::default();
    compiled.read(&mut scratch, event)?;
    let met = compiled.met_alternatives(&mut scratch, event)?;
    let matches = met.contains(&true);
    // Where in `leaves` each leaf of the pattern stands, if any alternative asks it.
    let mut place = vec![None; pattern.leaves().len()];
    // What is met together is met, even where `{"exists": false}` holds for one element only.
    let mut is_met_together = vec![false; pattern.leaves().len()];
    for (alternative, is_met) in pattern.alternatives().iter().zip(&met) {
        for &leaf in alternative {
            place[leaf] = Some(0);
            is_met_together[leaf] |= is_met;
        }
    }
    let mut leaves = Vec::new();
    for (index, asked) in pattern.leaves().iter().enumerate() {
        let Some(place) = &mut place[index] else { continue };
        *place = leaves.len();
        let clauses = Arc::clone(&asked.clauses);
        let absence = clauses.iter().any(|clause| matches!(clause, Clause::Absent));
        let leaf =
            search::Leaf { field: compiled.field(&asked.path), clauses, absence, shared: NONE };
        let read = &scratch.event;
        let found = read.values(leaf.field).map(|value| read.raw(event, value).to_owned());
        leaves.push(Leaf {
            path: asked.label.clone(),
            expected: pattern.as_str()[asked.span.clone()].to_owned(),
            found: found.collect(),
            met_by: read.values(leaf.field).position(|value| leaf.accepts(read, event, value)),
            matches: is_met_together[index] || leaf.is_met(read, event),
        });
    }
    let place = |leaf: &usize| place[*leaf].expect("an alternative asks it");
    let failures = if matches { Vec::new() } else { failures(pattern, &leaves, place) };
    Ok(Explanation { matches, leaves, failures })
}

/// The leaves that failed, those of the nearest alternative first.
fn failures(
    pattern: &EventPattern,
    leaves: &[Leaf],
    place: impl Fn(&usize) -> usize,
) -> Vec<usize> {
    let mut alternatives: Vec<Vec<usize>> = pattern
        .alternatives()
        .iter()
        .map(|alternative| alternative.iter().map(&place).collect())
        .collect();
    alternatives.sort_by_key(|alternative| {
        Reverse(alternative.iter().filter(|&&leaf| leaves[leaf].matches).count())
    });
    let mut failures = Vec::new();
    let mut is_listed = vec![false; leaves.len()];
    for alternative in &mut alternatives {
        alternative.sort_unstable();
        for &leaf in &*alternative {
            if !leaves[leaf].matches && !is_listed[leaf] {
                is_listed[leaf] = true;
                failures.push(leaf);
            }
        }
    }
    failures
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each leaf as `mark path expected <- found`.
    #[track_caller]
    fn check(pattern: &str, event: &str, matches: bool, expected: &[&str]) {
        let pattern = EventPattern::parse(pattern).unwrap();
        let explanation = explain(&pattern, event).unwrap();
        let line = |leaf: &Leaf| {
            let mark = if leaf.matches { "+" } else { "-" };
            format!("{mark} {} {} <- {}", leaf.path, leaf.expected, leaf.found.join(" "))
        };
        let lines: Vec<_> = explanation.leaves.iter().map(line).collect();
        assert_eq!(lines, expected);
        assert_eq!(explanation.matches, matches);
    }

    #[test]
    fn a_failed_field_shows_what_was_found() {
        check(
            r#"{"source":["aws.s3"],"detail":{"size":[{"numeric":[">",5]}],"key":["k"]}}"#,
            r#"{"source":"aws.s3","detail":{"size":5.0}}"#,
            false,
            &[
                r#"+ source ["aws.s3"] <- "aws.s3""#,
                r#"- detail.size [{"numeric":[">",5]}] <- 5.0"#,
                r#"- detail.key ["k"] <- "#,
            ],
        );
    }

    #[test]
    fn branches_are_labelled() {
        check(
            r#"{"d":{"$or":[{"a":[1]},{"b":[2]}]}}"#,
            r#"{"d":{"a":0,"b":2}}"#,
            true,
            &["- d.$or[0].a [1] <- 0", "+ d.$or[1].b [2] <- 2"],
        );
    }

    #[test]
    fn replaced_fields_are_left_out() {
        check(r#"{"a":[1],"a":[2]}"#, r#"{"a":2}"#, true, &["+ a [2] <- 2"]);
    }

    #[test]
    fn absence_may_hold_for_the_chosen_element_only() {
        let pattern = r#"{"r":{"a":[1],"b":[{"exists":false}]}}"#;
        let event = r#"{"r":[{"a":1},{"a":2,"b":3}]}"#;
        check(pattern, event, true, &["+ r.a [1] <- 1 2", r#"+ r.b [{"exists":false}] <- 3"#]);
    }

    #[test]
    fn fields_may_be_met_apart_and_not_together() {
        let pattern = r#"{"r":{"a":[1],"b":[2]}}"#;
        let event = r#"{"r":[{"a":1},{"b":2}]}"#;
        check(pattern, event, false, &["+ r.a [1] <- 1", "+ r.b [2] <- 2"]);
    }

    #[test]
    fn the_nearest_miss_is_first() {
        let pattern = r#"{"$or":[{"a":[1],"b":[1]},{"a":[2],"b":[2],"c":[1]}]}"#;
        let pattern = EventPattern::parse(pattern).unwrap();
        let explanation = explain(&pattern, r#"{"a":2,"b":2,"c":3}"#).unwrap();
        let failures = explanation.failures.iter().map(|&leaf| &explanation.leaves[leaf].path);
        assert_eq!(failures.collect::<Vec<_>>(), ["$or[1].c", "$or[0].a", "$or[0].b"]);
        assert_eq!(explain(&pattern, r#"{"a":1,"b":1}"#).unwrap().failures, [0; 0]);
    }

    #[test]
    fn a_field_shows_the_value_that_met_it() {
        let pattern = EventPattern::parse(r#"{"a":[{"prefix":"x"}],"b":[{"exists":false}]}"#);
        let explanation = explain(&pattern.unwrap(), r#"{"a":["w","xy","xz"]}"#).unwrap();
        assert_eq!(explanation.leaves[0].met_by, Some(1));
        assert_eq!(explanation.leaves[1].met_by, None);
    }
}
