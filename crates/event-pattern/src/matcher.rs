//! Many patterns against one event. The one entry point for routing.
//!
//! For now each pattern is tried in turn; the interface allows for one structure over all of them.

use crate::{
    event::{Event, EventError, Paths},
    parse::EventPattern,
    search,
};

/// Tells which of many patterns match an event.
///
/// `Send + Sync`: one matcher serves any number of threads.
#[derive(Debug)]
pub struct Matcher {
    patterns: Vec<Entry>,
    paths: Paths,
}

#[derive(Debug)]
struct Entry {
    pattern: EventPattern,
    /// The numbers of the paths of its leaves.
    paths: Vec<usize>,
}

impl Matcher {
    /// A matcher of these patterns, which it numbers from 0 in their order.
    pub fn new(patterns: impl IntoIterator<Item = EventPattern>) -> Self {
        let mut paths = Paths::default();
        let entry = |pattern| Entry { paths: paths.add(&pattern), pattern };
        let patterns = patterns.into_iter().map(entry).collect();
        Self { patterns, paths }
    }

    /// The numbers of the patterns that match the event, rising.
    ///
    /// Text after the event's closing brace is ignored, as in EventBridge.
    ///
    /// # Errors
    ///
    /// [`EventError`] if the text is not a JSON object, or is beyond the bounds it names.
    pub fn matches(&self, event: &str) -> Result<Vec<usize>, EventError> {
        let event = Event::read(event, &self.paths)?;
        let mut matching = Vec::new();
        for (index, Entry { pattern, paths }) in self.patterns.iter().enumerate() {
            for alternative in pattern.alternatives() {
                if search::meets(&event, pattern, paths, alternative)? {
                    matching.push(index);
                    break;
                }
            }
        }
        Ok(matching)
    }

    /// How many patterns there are.
    pub fn len(&self) -> usize {
        self.patterns.len()
    }

    /// Whether there is no pattern, so that no event matches.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(patterns: &[&str], event: &str, expected: &[usize]) {
        let patterns = patterns.iter().map(|pattern| EventPattern::parse(pattern).unwrap());
        assert_eq!(Matcher::new(patterns).matches(event).unwrap(), expected);
    }

    #[test]
    fn patterns_are_numbered_in_their_order() {
        check(
            &[r#"{"a":[1]}"#, r#"{"a":[2]}"#, r#"{"b":[{"exists":false}]}"#],
            r#"{"a":1}"#,
            &[0, 2],
        );
    }

    #[test]
    fn no_pattern_matches_nothing() {
        let matcher = Matcher::new([]);
        assert!(matcher.is_empty());
        check(&[], "{}", &[]);
    }

    #[test]
    fn a_matcher_is_shared_between_threads() {
        fn check<T: Send + Sync>() {}
        check::<Matcher>();
        check::<EventPattern>();
    }

    #[test]
    fn fields_of_one_element_belong_together() {
        let pattern = r#"{"r":{"a":[1],"b":[2]}}"#;
        check(&[pattern], r#"{"r":[{"a":1,"b":0},{"a":1,"b":2}]}"#, &[0]);
        check(&[pattern], r#"{"r":[{"a":1,"b":0},{"a":0,"b":2}]}"#, &[]);
    }

    #[test]
    fn scalars_of_an_array_go_with_each_of_its_elements() {
        let pattern = r#"{"r":{"a":[1]},"r.a":[1],"r":["x"]}"#;
        check(&[pattern], r#"{"r":["w",{"a":1},"x"]}"#, &[0]);
        let pattern = r#"{"r":[{"prefix":"x"}],"r":{"a":[1],"b":[2]}}"#;
        check(&[pattern], r#"{"r":["w",{"a":1,"b":2},"x"]}"#, &[0]);
    }

    #[test]
    fn independent_arrays_do_not_multiply() {
        // Ten arrays of a thousand elements would make 10^30 choices.
        let names: Vec<String> = (0..10).map(|index| format!("k{index}")).collect();
        let fields = names.iter().map(|name| format!(r#""{name}":{{"a":[1],"b":[2]}}"#));
        let pattern = format!("{{{},\"z\":[1]}}", fields.collect::<Vec<_>>().join(","));
        let elements = vec![r#"{"a":1,"b":2}"#; 1000].join(",");
        let fields = names.iter().map(|name| format!(r#""{name}":[{elements}]"#));
        let event = format!("{{{},\"z\":1}}", fields.collect::<Vec<_>>().join(","));
        check(&[&pattern], &event, &[0]);
    }

    #[test]
    fn a_long_array_is_not_compared_with_itself() {
        let elements = vec![r#"{"a":1,"b":0}"#; 50_000].join(",");
        check(&[r#"{"r":{"a":[1],"b":[2]}}"#], &format!(r#"{{"r":[{elements}]}}"#), &[]);
    }
}
