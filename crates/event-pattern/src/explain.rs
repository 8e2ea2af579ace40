//! Why a pattern does or does not match an event, field by field.
//!
//! For people and their tools; routing asks the [`crate::Matcher`], which decides the same.

use std::collections::HashSet;

use crate::{
    event::{Event, EventError, Paths},
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
    let mut table = Paths::default();
    let paths = table.add(pattern);
    let event = Event::read(event, &table)?;
    // What is met together is met, even where `{"exists": false}` holds for one element only.
    let mut met: HashSet<usize> = HashSet::new();
    let mut asked: HashSet<usize> = HashSet::new();
    for alternative in pattern.alternatives() {
        asked.extend(alternative);
        if search::meets(&event, pattern, &paths, alternative)? {
            met.extend(alternative);
        }
    }
    let leaves = pattern.leaves().iter().enumerate().filter(|(index, _)| asked.contains(index));
    let mut explained = Vec::with_capacity(asked.len());
    for (index, leaf) in leaves {
        let values = event.values(paths[index]);
        explained.push(Leaf {
            path: leaf.label.clone(),
            expected: pattern.as_str()[leaf.span.clone()].to_owned(),
            found: values.iter().map(|value| value.raw.to_owned()).collect(),
            matches: met.contains(&index) || search::meets(&event, pattern, &paths, &[index])?,
        });
    }
    Ok(Explanation { matches: !met.is_empty(), leaves: explained })
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
}
