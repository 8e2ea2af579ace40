//! Many patterns against one event, as one structure. The one entry point for routing.
//!
//! Each alternative of a pattern hangs on one of its leaves, the one that is likely the rarest to be
//! met: its trigger. An event's values are looked up as they are read; of the alternatives that they
//! trigger the other leaves are asked, and all other patterns cost nothing.

use std::{cell::RefCell, fmt};

use crate::{
    draft::Draft,
    event::{self, Event, EventError, Field},
    names::Names,
    parse::EventPattern,
    search::{self, Leaf},
    trigger::{Fired, Firing, Lists, Trigger},
};

/// Tells which of many patterns match an event.
///
/// `Send + Sync`: one matcher serves any number of threads, without a lock.
pub struct Matcher {
    pub(crate) names: Names,
    pub(crate) fields: Vec<Field>,
    pub(crate) leaves: Vec<Leaf>,
    /// How many of the leaves are shared by alternatives.
    pub(crate) shared: usize,
    /// In the order of the patterns.
    pub(crate) alternatives: Vec<Alternative>,
    /// The leaves of the alternatives, one after the other.
    pub(crate) asked: Vec<u32>,
    /// What the absence of a field's values sets off.
    pub(crate) absences: Vec<(u32, Trigger)>,
    pub(crate) lists: Lists,
    pub(crate) patterns: usize,
}

/// Leaves of a pattern that must all be met.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alternative {
    pub(crate) pattern: u32,
    /// Where its leaves stand in [`Matcher::asked`], in the order of their paths.
    pub(crate) from: u32,
    pub(crate) to: u32,
    /// Which of its leaves is met whenever it is set off.
    pub(crate) known: Option<u16>,
}

/// Room to match events in, one for each thread.
///
/// It grows with the first events; then matching allocates nothing. One scratch serves any number
/// of matchers, one after the other.
#[derive(Debug)]
pub struct Scratch {
    reading: event::Room,
    searching: search::Room,
    pub(crate) event: Event,
    fired: Fired,
    matching: Vec<usize>,
    /// Whether the last event was so large that its room is not worth keeping.
    is_bloated: bool,
}

/// Events longer than this leave no room behind.
const ROOMY_BYTES: usize = 1024 * 1024;

impl Default for Scratch {
    fn default() -> Self {
        Self {
            reading: event::Room::new(),
            searching: search::Room::default(),
            event: Event::default(),
            fired: Fired::default(),
            matching: Vec::new(),
            is_bloated: false,
        }
    }
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Matcher {
    /// A matcher of these patterns, which it numbers from 0 in their order.
    pub fn new(patterns: impl IntoIterator<Item = EventPattern>) -> Self {
        let patterns: Vec<EventPattern> = patterns.into_iter().collect();
        Self::build(&patterns, false)
    }

    /// `keeps_all` has the values of all fields kept for looking at.
    pub(crate) fn build(patterns: &[EventPattern], keeps_all: bool) -> Self {
        let mut draft = Draft::default();
        for pattern in patterns {
            draft.add(pattern);
        }
        draft.finish(patterns.len(), keeps_all)
    }

    /// The numbers of the patterns that match the event, rising.
    ///
    /// Text after the event's closing brace is ignored, as in EventBridge.
    ///
    /// # Errors
    ///
    /// [`EventError`] if the text is not a JSON object, or is beyond the bounds it names.
    pub fn matches(&self, event: &str) -> Result<Vec<usize>, EventError> {
        SCRATCH.with_borrow_mut(|scratch| self.matches_with(scratch, event).map(<[usize]>::to_vec))
    }

    /// The same, without allocating once the scratch is warm.
    ///
    /// # Errors
    ///
    /// As [`Self::matches`].
    pub fn matches_with<'s>(
        &self,
        scratch: &'s mut Scratch,
        event: &str,
    ) -> Result<&'s [usize], EventError> {
        self.read(scratch, event)?;
        let Scratch { searching, event: read, fired, matching, .. } = scratch;
        for &(field, trigger) in &self.absences {
            if !read.has_values(field) || read.is_in_elements(field) {
                fired.fire(&self.lists, trigger);
            }
        }
        fired.to_ask.sort_unstable();
        for index in 0..fired.to_ask.len() {
            let alternative = self.alternatives[fired.to_ask[index] as usize];
            if !fired.has_matched(alternative.pattern)
                && self.meets(searching, read, event, alternative, alternative.known)?
            {
                fired.matches(alternative.pattern);
            }
        }
        matching.clear();
        matching.extend(fired.matching.iter().map(|&pattern| pattern as usize));
        matching.sort_unstable();
        Ok(matching)
    }

    /// Reads the event into the scratch, and finds what its values set off.
    pub(crate) fn read(&self, scratch: &mut Scratch, event: &str) -> Result<(), EventError> {
        if scratch.is_bloated {
            *scratch = Scratch::default();
        }
        scratch.is_bloated = event.len() > ROOMY_BYTES;
        let Scratch { reading, searching, event: read, fired, .. } = scratch;
        searching.clear(self.shared);
        fired.clear(&self.lists, self.alternatives.len(), self.patterns);
        let firing = Firing { fired, lists: &self.lists };
        event::read(event, &self.names, &self.fields, reading, read, firing)
    }

    /// Whether the event that has been read meets the alternative, of which a leaf may be known to be met.
    fn meets(
        &self,
        searching: &mut search::Room,
        read: &Event,
        event: &str,
        alternative: Alternative,
        known: Option<u16>,
    ) -> Result<bool, EventError> {
        let asked = &self.asked[alternative.from as usize..alternative.to as usize];
        let leaves = asked.iter().map(|&leaf| &self.leaves[leaf as usize]);
        searching.meets(read, event, alternative.pattern, leaves, known.map(usize::from))
    }

    /// Whether the event in the scratch meets each alternative of the only pattern.
    pub(crate) fn met_alternatives(
        &self,
        scratch: &mut Scratch,
        event: &str,
    ) -> Result<Vec<bool>, EventError> {
        let Scratch { searching, event: read, .. } = scratch;
        let (mut met, mut given_up) = (Vec::new(), None);
        for &alternative in &self.alternatives {
            let is_met = self.meets(searching, read, event, alternative, None);
            met.push(is_met.unwrap_or_else(|error| {
                given_up = Some(error);
                false
            }));
        }
        // What one alternative meets, no other can make unknown.
        given_up.filter(|_| !met.contains(&true)).map_or(Ok(met), Err)
    }

    /// The field at a path that one of the patterns mentions.
    pub(crate) fn field(&self, path: &[u8]) -> u32 {
        self.names.field(self.names.at(path))
    }

    /// How many patterns there are.
    pub fn len(&self) -> usize {
        self.patterns
    }

    /// Whether there is no pattern, so that no event matches.
    pub fn is_empty(&self) -> bool {
        self.patterns == 0
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Matcher").field("patterns", &self.patterns).finish_non_exhaustive()
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
