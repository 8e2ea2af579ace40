//! Many patterns against one event, as one structure. The one entry point for routing.
//!
//! Each alternative of a pattern hangs on one of its leaves, the one that is likely the rarest to be
//! met: its trigger. An event's values are looked up as they are read; of the alternatives that they
//! trigger the other leaves are asked, and all other patterns cost nothing.

use std::{cell::RefCell, collections::HashMap, fmt};

use crate::{
    clause::Clause,
    event::{self, Event, EventError, Field},
    index::{self, Builder},
    names::{Names, number},
    parse::EventPattern,
    search::{self, Leaf},
};

/// Tells which of many patterns match an event.
///
/// `Send + Sync`: one matcher serves any number of threads, without a lock.
pub struct Matcher {
    names: Names,
    fields: Vec<Field>,
    leaves: Vec<Leaf>,
    /// In the order of the patterns.
    alternatives: Vec<Alternative>,
    /// The leaves of the alternatives, one after the other.
    asked: Vec<u32>,
    /// What is triggered by the absence of a field's values.
    absences: Vec<(u32, Vec<u32>)>,
    patterns: usize,
}

/// Leaves of a pattern that must all be met.
#[derive(Clone, Copy, Debug)]
struct Alternative {
    pattern: u32,
    /// Where its leaves stand in `asked`, in the order of their paths.
    from: u32,
    to: u32,
    /// Which of its leaves is met whenever it is triggered.
    known: Option<u16>,
}

/// What a value triggers: the match of a pattern that asks no more, or an alternative to be asked.
#[derive(Clone, Copy)]
enum Trigger {
    Match(u32),
    Ask(u32),
}

impl Trigger {
    fn to_bits(self) -> u32 {
        match self {
            Self::Match(pattern) => pattern << 1 | 1,
            Self::Ask(alternative) => alternative << 1,
        }
    }

    fn from_bits(bits: u32) -> Self {
        if bits & 1 == 1 { Self::Match(bits >> 1) } else { Self::Ask(bits >> 1) }
    }
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
    marks: Marks,
    matching: Vec<usize>,
    /// Whether the last event was so large that its room is not worth keeping.
    is_bloated: bool,
}

/// Events longer than this leave no room behind.
const ROOMY_BYTES: usize = 1024 * 1024;

/// Which alternatives are to be asked, and which patterns match.
#[derive(Debug, Default)]
struct Marks {
    /// Tells the marks of this event from those of others.
    now: u32,
    asked: Vec<u32>,
    matched: Vec<u32>,
    to_ask: Vec<u32>,
    matching: Vec<u32>,
}

impl Marks {
    fn clear(&mut self, matcher: &Matcher) {
        self.to_ask.clear();
        self.matching.clear();
        self.now = self.now.wrapping_add(1);
        if self.now == 0 {
            // All numbers are used up: old marks would come to life again.
            self.asked.clear();
            self.matched.clear();
            self.now = 1;
        }
        if self.asked.len() < matcher.alternatives.len() {
            self.asked.resize(matcher.alternatives.len(), 0);
        }
        if self.matched.len() < matcher.patterns {
            self.matched.resize(matcher.patterns, 0);
        }
    }

    #[inline]
    fn trigger(&mut self, triggers: &[u32]) {
        for &trigger in triggers {
            match Trigger::from_bits(trigger) {
                Trigger::Match(pattern) => self.matches(pattern),
                Trigger::Ask(alternative) => {
                    let mark = &mut self.asked[alternative as usize];
                    if *mark != self.now {
                        *mark = self.now;
                        self.to_ask.push(alternative);
                    }
                }
            }
        }
    }

    #[inline]
    fn matches(&mut self, pattern: u32) {
        let mark = &mut self.matched[pattern as usize];
        if *mark != self.now {
            *mark = self.now;
            self.matching.push(pattern);
        }
    }

    fn has_matched(&self, pattern: u32) -> bool {
        self.matched[pattern as usize] == self.now
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            reading: event::Room::new(),
            searching: search::Room::default(),
            event: Event::default(),
            marks: Marks::default(),
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
        let Scratch { searching, event: read, marks, matching, .. } = scratch;
        for (field, triggers) in &self.absences {
            if !read.has_values(*field) || read.is_in_elements(*field) {
                marks.trigger(triggers);
            }
        }
        marks.to_ask.sort_unstable();
        for index in 0..marks.to_ask.len() {
            let alternative = self.alternatives[marks.to_ask[index] as usize];
            let pattern = alternative.pattern;
            let known = alternative.known.map(usize::from);
            if !marks.has_matched(pattern)
                && search::meets(read, event, self.leaves(alternative), known, searching)?
            {
                marks.matches(pattern);
            }
        }
        matching.clear();
        matching.extend(marks.matching.iter().map(|&pattern| pattern as usize));
        matching.sort_unstable();
        Ok(matching)
    }

    /// Reads the event into the scratch, and marks what its values trigger.
    pub(crate) fn read(&self, scratch: &mut Scratch, event: &str) -> Result<(), EventError> {
        if scratch.is_bloated {
            *scratch = Scratch::default();
        }
        scratch.is_bloated = event.len() > ROOMY_BYTES;
        let Scratch { reading, event: read, marks, .. } = scratch;
        marks.clear(self);
        event::read(event, &self.names, &self.fields, reading, read, |triggers| {
            marks.trigger(triggers);
        })
    }

    fn leaves(&self, alternative: Alternative) -> impl Iterator<Item = &Leaf> + Clone {
        let asked = &self.asked[alternative.from as usize..alternative.to as usize];
        asked.iter().map(|&leaf| &self.leaves[leaf as usize])
    }

    /// Whether the event in the scratch meets each alternative.
    pub(crate) fn met_alternatives(
        &self,
        scratch: &mut Scratch,
        event: &str,
    ) -> Result<Vec<bool>, EventError> {
        let Scratch { searching, event: read, .. } = scratch;
        let meets = |&alternative: &Alternative| {
            search::meets(read, event, self.leaves(alternative), None, searching)
        };
        self.alternatives.iter().map(meets).collect()
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

/// A matcher in the making.
#[derive(Default)]
struct Draft<'p> {
    fields: HashMap<&'p [u8], u32>,
    paths: Vec<&'p [u8]>,
    /// Leaves of one field and one text are one.
    known: HashMap<(u32, &'p str), u32>,
    leaves: Vec<Leaf>,
    /// For each leaf, how many alternatives ask it.
    uses: Vec<u32>,
    alternatives: Vec<Alternative>,
    asked: Vec<u32>,
    patterns: u32,
}

impl<'p> Draft<'p> {
    fn add(&mut self, pattern: &'p EventPattern) {
        let leaves: Vec<u32> = pattern
            .leaves()
            .iter()
            .map(|leaf| {
                let next = number(self.paths.len());
                let field = *self.fields.entry(&leaf.path).or_insert_with(|| {
                    self.paths.push(&leaf.path);
                    next
                });
                let text = &pattern.as_str()[leaf.span.clone()];
                *self.known.entry((field, text)).or_insert_with(|| {
                    let absence =
                        leaf.clauses.iter().any(|clause| matches!(clause, Clause::Absent));
                    self.leaves.push(Leaf { field, clauses: leaf.clauses.clone(), absence });
                    self.uses.push(0);
                    number(self.leaves.len() - 1)
                })
            })
            .collect();
        for alternative in pattern.alternatives() {
            let from = number(self.asked.len());
            self.asked.extend(alternative.iter().map(|&leaf| leaves[leaf]));
            let to = number(self.asked.len());
            for &leaf in &self.asked[from as usize..] {
                self.uses[leaf as usize] += 1;
            }
            self.alternatives.push(Alternative { pattern: self.patterns, from, to, known: None });
        }
        self.patterns += 1;
    }

    /// Which leaf an alternative hangs on: the one that costs least, as often as it is met.
    fn trigger(&self, leaves: &[u32]) -> usize {
        let cost = |leaf: u32| {
            let Leaf { clauses, .. } = &self.leaves[leaf as usize];
            let rate: f64 = clauses.iter().map(index::rate).sum();
            rate * f64::from(self.uses[leaf as usize])
        };
        let costs = leaves.iter().map(|&leaf| cost(leaf)).enumerate();
        let least = costs.min_by(|(_, one), (_, other)| one.total_cmp(other));
        least.map(|(index, _)| index).expect("no alternative is without leaves")
    }

    fn finish(mut self, patterns: usize, keeps_all: bool) -> Matcher {
        let mut triggers: Vec<Vec<u32>> = vec![Vec::new(); self.leaves.len()];
        let mut is_kept = vec![keeps_all; self.paths.len()];
        for index in 0..self.alternatives.len() {
            let Alternative { pattern, from, to, .. } = self.alternatives[index];
            let leaves = &self.asked[from as usize..to as usize];
            let at = self.trigger(leaves);
            let leaf = &self.leaves[leaves[at] as usize];
            let is_certain = leaf.clauses.iter().all(index::is_certain);
            let is_match = is_certain && leaves.len() == 1;
            let trigger =
                if is_match { Trigger::Match(pattern) } else { Trigger::Ask(number(index)) };
            triggers[leaves[at] as usize].push(trigger.to_bits());
            if !is_match {
                for &leaf in leaves {
                    is_kept[self.leaves[leaf as usize].field as usize] = true;
                }
            }
            self.alternatives[index].known =
                u16::try_from(at).ok().filter(|_| is_certain && !leaf.absence);
        }
        let mut builders: Vec<Builder> = Vec::new();
        builders.resize_with(self.paths.len(), Builder::default);
        let mut absences: HashMap<u32, Vec<u32>> = HashMap::new();
        for (leaf, triggers) in self.leaves.iter().zip(&triggers) {
            if triggers.is_empty() {
                continue;
            }
            builders[leaf.field as usize].add(&leaf.clauses, triggers);
            if leaf.absence {
                absences.entry(leaf.field).or_default().extend(triggers);
            }
        }
        let fields = builders.into_iter().zip(is_kept);
        let fields =
            fields.map(|(builder, is_kept)| Field { index: builder.build(), is_kept }).collect();
        let mut absences: Vec<_> = absences.into_iter().collect();
        absences.sort_unstable();
        self.leaves.shrink_to_fit();
        self.alternatives.shrink_to_fit();
        self.asked.shrink_to_fit();
        Matcher {
            names: Names::new(self.paths),
            fields,
            leaves: self.leaves,
            alternatives: self.alternatives,
            asked: self.asked,
            absences,
            patterns,
        }
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
