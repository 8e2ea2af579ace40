//! Whether the values of an event meet the leaves of a pattern together.
//!
//! Array consistency: leaves whose values lie in the same array must be met by one element of it.
//! The leaves of an alternative are taken in the order of their paths, as AWS's own engine does
//! (`{"exists": false}` can tell: it sees the elements that earlier leaves have chosen), and all
//! ways to choose elements are followed side by side. Their number is bounded. Where at most one
//! leaf has values in arrays there is nothing to choose, and each leaf is asked by itself.

use std::{mem, sync::Arc};

use crate::{
    clause::Clause,
    event::{Event, EventError},
    names::NONE,
};

/// Most pairs of a choice and a value that are tried for one field.
const TRIALS_MAX: usize = 500_000;
/// Most elements that the choices of one field may hold together.
const CHOSEN_MAX: usize = 4_000_000;

/// What a pattern asks of one field, as patterns share it.
#[derive(Debug)]
pub(crate) struct Leaf {
    pub(crate) field: u32,
    pub(crate) clauses: Arc<[Clause]>,
    /// Whether it is met where there is no value.
    pub(crate) absence: bool,
}

impl Leaf {
    pub(crate) fn accepts(&self, event: &Event, text: &str, value: u32) -> bool {
        let scalar = event.scalar(text, value);
        self.clauses.iter().any(|clause| clause.accepts(scalar))
    }

    /// Whether the event meets the leaf by itself.
    pub(crate) fn is_met(&self, event: &Event, text: &str) -> bool {
        if event.has_values(self.field) {
            event.values(self.field).any(|value| self.accepts(event, text, value))
        } else {
            self.absence
        }
    }
}

/// Whether the event of this text meets all these leaves, which are in the order of their paths.
///
/// `known` is one that is known to be met by itself.
pub(crate) fn meets<'l>(
    event: &Event,
    text: &str,
    leaves: impl Iterator<Item = &'l Leaf> + Clone,
    known: Option<usize>,
    room: &mut Room,
) -> Result<bool, EventError> {
    let mut in_elements = 0;
    for (index, leaf) in leaves.clone().enumerate() {
        let is_in_elements = event.is_in_elements(leaf.field);
        in_elements += usize::from(is_in_elements);
        if known == Some(index) {
            continue;
        }
        // The absence of a value may depend on the elements chosen.
        let may_be_absent = leaf.absence && is_in_elements;
        if !may_be_absent && !leaf.is_met(event, text) {
            return Ok(false);
        }
    }
    if in_elements > 1 {
        return room.search(event, text, leaves);
    }
    Ok(leaves.enumerate().all(|(index, leaf)| {
        // Only one leaf lies in elements: if it hoped for absence, nothing was chosen for it.
        known == Some(index) || !event.is_in_elements(leaf.field) || leaf.is_met(event, text)
    }))
}

/// The first and the last leaf with a value in an array.
#[derive(Clone, Copy, Debug)]
struct Span {
    first: u32,
    last: u32,
}

const UNSEEN: Span = Span { first: NONE, last: NONE };

/// Where a value lies, as far as other leaves can tell.
#[derive(Clone, Copy, Debug)]
struct Place {
    value: u32,
    /// Where in [`Places::elements`] the elements around it stand, of arrays that several leaves
    /// lie in.
    from: u32,
    to: u32,
}

/// The places of values, in order; values that no other leaf can tell apart share their first.
#[derive(Debug, Default)]
struct Places {
    all: Vec<Place>,
    elements: Vec<u32>,
}

impl Places {
    fn clear(&mut self) {
        self.all.clear();
        self.elements.clear();
    }

    fn elements(&self, place: Place) -> &[u32] {
        &self.elements[place.from as usize..place.to as usize]
    }
}

/// Ways to choose one element from each of some arrays; each way is sorted.
#[derive(Debug, Default)]
struct Choices {
    elements: Vec<u32>,
    /// Where each way ends in `elements`.
    ends: Vec<usize>,
    /// How many ways there were when it was last made sure that they differ.
    distinct: usize,
}

impl Choices {
    fn clear(&mut self) {
        self.elements.clear();
        self.ends.clear();
        self.distinct = 0;
    }

    fn get(&self, index: usize) -> &[u32] {
        let from = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.elements[from..self.ends[index]]
    }

    /// Adds a way: what it has of `kept` and `more`.
    fn push(&mut self, kept: impl Iterator<Item = u32>, more: impl Iterator<Item = u32>) {
        let from = self.elements.len();
        self.elements.extend(kept.chain(more));
        self.elements[from..].sort_unstable();
        let mut to = from;
        for at in from..self.elements.len() {
            if to == from || self.elements[to - 1] != self.elements[at] {
                self.elements[to] = self.elements[at];
                to += 1;
            }
        }
        self.elements.truncate(to);
        let is_repeated = self
            .ends
            .len()
            .checked_sub(1)
            .is_some_and(|last| self.get(last) == &self.elements[from..]);
        if is_repeated {
            self.elements.truncate(from);
        } else {
            self.ends.push(to);
        }
    }

    /// Drops ways that are there twice.
    fn make_distinct(&mut self, order: &mut Vec<usize>, other: &mut Self) {
        order.clear();
        order.extend(0..self.ends.len());
        order.sort_unstable_by(|&one, &two| self.get(one).cmp(self.get(two)));
        order.dedup_by(|one, two| self.get(*one) == self.get(*two));
        other.clear();
        for &index in &*order {
            other.elements.extend_from_slice(self.get(index));
            other.ends.push(other.elements.len());
        }
        other.distinct = other.ends.len();
        mem::swap(self, other);
    }
}

/// Room for a search, used again for the next.
#[derive(Debug, Default)]
pub(crate) struct Room {
    /// By the number of the array.
    spans: Vec<Span>,
    present: Places,
    accepted: Places,
    /// For each element, and at 0 for none, the last leaf and kind of place that saw it.
    seen: Vec<u32>,
    choices: Choices,
    next: Choices,
    spare: Choices,
    order: Vec<usize>,
}

impl Room {
    fn search<'l>(
        &mut self,
        event: &Event,
        text: &str,
        leaves: impl Iterator<Item = &'l Leaf> + Clone,
    ) -> Result<bool, EventError> {
        self.find_spans(event, leaves.clone().map(|leaf| leaf.field));
        self.seen.clear();
        self.seen.resize(event.elements.len() + 1, NONE);
        self.choices.clear();
        self.choices.ends.push(0);
        for (index, leaf) in (0..).zip(leaves) {
            let values = event.values(leaf.field);
            self.accepted.clear();
            let accepted = values.filter(|&value| leaf.accepts(event, text, value));
            find_places(
                &mut self.accepted,
                &mut self.seen,
                event,
                &self.spans,
                accepted,
                index * 2,
            );
            self.present.clear();
            if leaf.absence {
                let values = event.values(leaf.field);
                let mark = index * 2 + 1;
                find_places(&mut self.present, &mut self.seen, event, &self.spans, values, mark);
            }
            self.choose(event, leaf, index)?;
            if self.next.ends.is_empty() {
                return Ok(false);
            }
            self.next.make_distinct(&mut self.order, &mut self.spare);
            mem::swap(&mut self.choices, &mut self.next);
        }
        Ok(true)
    }

    /// Makes `next` of the ways that go on from `choices` with the leaf's places.
    fn choose(&mut self, event: &Event, leaf: &Leaf, index: u32) -> Result<(), EventError> {
        let Self { spans, present, accepted, choices, next, spare, order, .. } = self;
        // Arrays that no later leaf lies in are forgotten, lest their elements multiply.
        let array = |element: &u32| event.elements[*element as usize].array as usize;
        let is_kept = |element: &u32| spans[array(element)].last > index;
        next.clear();
        let mut trials = 0;
        for choice in 0..choices.ends.len() {
            let choice = choices.get(choice);
            let kept = || choice.iter().copied().filter(&is_kept);
            let mut from = 0;
            while let Some(at) = consistent(event, leaf, accepted, from, choice, &mut trials) {
                let more = accepted.elements(accepted.all[at]).iter().copied().filter(&is_kept);
                next.push(kept(), more);
                from = at + 1;
            }
            if leaf.absence && consistent(event, leaf, present, 0, choice, &mut trials).is_none() {
                next.push(kept(), std::iter::empty());
            }
            if next.ends.len() > 2 * next.distinct + 1024 {
                next.make_distinct(order, spare);
            }
            if trials > TRIALS_MAX || next.elements.len() > CHOSEN_MAX {
                return Err(EventError::TooManyCombinations { max: TRIALS_MAX });
            }
        }
        Ok(())
    }

    fn find_spans(&mut self, event: &Event, fields: impl Iterator<Item = u32>) {
        self.spans.clear();
        self.spans.resize(event.arrays.len(), UNSEEN);
        for (index, field) in (0..).zip(fields) {
            for value in event.values(field) {
                for element in event.around(event.values[value as usize].element) {
                    let span = &mut self.spans[event.elements[element as usize].array as usize];
                    if span.last == index {
                        continue;
                    }
                    if span.first == NONE {
                        span.first = index;
                    }
                    span.last = index;
                }
            }
        }
    }
}

fn find_places(
    places: &mut Places,
    seen: &mut [u32],
    event: &Event,
    spans: &[Span],
    values: impl Iterator<Item = u32>,
    mark: u32,
) {
    let is_shared = |&element: &u32| {
        let Span { first, last } = spans[event.elements[element as usize].array as usize];
        first < last
    };
    for value in values {
        let from = places.elements.len();
        places
            .elements
            .extend(event.around(event.values[value as usize].element).filter(is_shared));
        // The innermost tells all those around it.
        let innermost = places.elements.get(from).map_or(0, |&element| element as usize + 1);
        if seen[innermost] == mark {
            places.elements.truncate(from);
            continue;
        }
        seen[innermost] = mark;
        let [from, to] = [from, places.elements.len()]
            .map(|at| u32::try_from(at).expect("an event is too short for more"));
        places.all.push(Place { value, from, to });
    }
}

/// The first of the places, from `from` on, that lies in no other element of an array than the
/// chosen one.
fn consistent(
    event: &Event,
    leaf: &Leaf,
    places: &Places,
    mut from: usize,
    choice: &[u32],
    trials: &mut usize,
) -> Option<usize> {
    loop {
        let place = *places.all.get(from)?;
        *trials += 1;
        if *trials > TRIALS_MAX {
            return None;
        }
        let Some(chosen) = clash(event, places.elements(place), choice) else {
            return Some(from);
        };
        let element = &event.elements[chosen as usize];
        let array = &event.arrays[element.array as usize];
        let past = if array.scalars == leaf.field {
            // Values that are themselves elements of the array lie among the others' values.
            place.value + 1
        } else if place.value < element.values.start {
            element.values.start
        } else {
            array.end
        };
        from += places.all[from..].partition_point(|place| place.value < past);
    }
}

/// The chosen element of an array that has this place in another element.
fn clash(event: &Event, place: &[u32], choice: &[u32]) -> Option<u32> {
    let array = |element: u32| event.elements[element as usize].array;
    place.iter().find_map(|&around| {
        let chosen = choice.iter().copied().find(|&chosen| array(chosen) == array(around));
        chosen.filter(|&chosen| chosen != around)
    })
}
