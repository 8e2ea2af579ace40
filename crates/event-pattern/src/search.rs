//! Whether the values of an event meet the leaves of a pattern together.
//!
//! Array consistency: leaves whose values lie in the same array must be met by one element of it.
//! The leaves of an alternative are taken in the order of their paths, as AWS's own engine does
//! (`{"exists": false}` can tell: it sees the elements that earlier leaves have chosen), and all
//! ways to choose elements are followed side by side. Their number is bounded. Where at most one
//! leaf has values in arrays there is nothing to choose, and each leaf is asked by itself.

use std::{mem, sync::Arc};

use crate::{
    clause::{Clause, Reading},
    event::{Event, EventError},
    names::NONE,
    trigger::Marks,
};

/// Most steps that are taken for one pattern: values asked and elements compared.
///
/// Two fields of an array take some ten for each of its elements, so that no event is too long for that.
const STEPS_MAX: usize = 50_000_000;
/// Most elements that the choices for one field, or the places of its values, may hold together.
const ELEMENTS_MAX: usize = 4_000_000;

/// What a pattern asks of one field, as patterns share it.
#[derive(Debug)]
pub(crate) struct Leaf {
    pub(crate) field: u32,
    pub(crate) clauses: Arc<[Clause]>,
    /// Whether it is met where there is no value.
    pub(crate) absence: bool,
    /// Its number among those that several alternatives ask, or [`NONE`].
    pub(crate) shared: u32,
}

impl Leaf {
    pub(crate) fn accepts(&self, event: &Event, text: &str, value: u32) -> bool {
        let reading = Reading::default();
        let scalar = event.scalar(text, value, &reading);
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

/// The steps that are left for a pattern.
#[derive(Debug, Default)]
struct Budget {
    steps: usize,
}

impl Budget {
    fn spend(&mut self, steps: usize) -> Result<(), EventError> {
        self.steps = self.steps.checked_sub(steps).ok_or(EventError::TooManyCombinations)?;
        Ok(())
    }
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

    /// Adds the place of a value, unless `seen` has this mark for it already.
    fn add(
        &mut self,
        event: &Event,
        spans: &[Span],
        seen: &mut [u32],
        value: u32,
        mark: u32,
        budget: &mut Budget,
    ) -> Result<(), EventError> {
        let mut steps = 1;
        let is_shared = |&element: &u32| {
            steps += 1;
            let Span { first, last } = spans[event.elements[element as usize].array as usize];
            first < last
        };
        let from = self.elements.len();
        let around = event.around(event.values[value as usize].element);
        self.elements.extend(around.filter(is_shared));
        budget.spend(steps)?;
        // The innermost tells all those around it.
        let innermost = self.elements.get(from).map_or(0, |&element| element as usize + 1);
        if seen[innermost] == mark {
            self.elements.truncate(from);
            return Ok(());
        }
        seen[innermost] = mark;
        let [from, to] = [from, self.elements.len()]
            .map(|at| u32::try_from(at).expect("no more than `ELEMENTS_MAX` are kept"));
        self.all.push(Place { value, from, to });
        bounded(self.elements.len())
    }
}

fn bounded(elements: usize) -> Result<(), EventError> {
    if elements > ELEMENTS_MAX { Err(EventError::TooManyCombinations) } else { Ok(()) }
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
    fn push(
        &mut self,
        kept: impl Iterator<Item = u32>,
        more: impl Iterator<Item = u32>,
    ) -> Result<(), EventError> {
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
        bounded(self.elements.len())
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

/// Room to find out whether leaves are met, used again for the next event.
#[derive(Debug, Default)]
pub(crate) struct Room {
    /// Which of the shared leaves are known to be met by themselves, and which not to be.
    met: Marks,
    unmet: Marks,
    /// Which pattern the budget is for.
    pattern: Option<u32>,
    budget: Budget,
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
    /// Forgets the last event, and makes room for so many shared leaves.
    pub(crate) fn clear(&mut self, shared: usize) {
        self.met.clear(shared);
        self.unmet.clear(shared);
        self.pattern = None;
    }

    /// Whether the event of this text meets all these leaves of an alternative of this pattern,
    /// which are in the order of their paths.
    ///
    /// `known` is one that is known to be met by itself. Patterns must not be asked in turns.
    pub(crate) fn meets<'l>(
        &mut self,
        event: &Event,
        text: &str,
        pattern: u32,
        leaves: impl Iterator<Item = &'l Leaf> + Clone,
        known: Option<usize>,
    ) -> Result<bool, EventError> {
        let mut in_elements = 0;
        for (index, leaf) in leaves.clone().enumerate() {
            let is_in_elements = event.is_in_elements(leaf.field);
            in_elements += usize::from(is_in_elements);
            // The absence of a value may depend on the elements chosen.
            let may_be_absent = leaf.absence && is_in_elements;
            if known != Some(index) && !may_be_absent && !self.is_met(event, text, leaf) {
                return Ok(false);
            }
        }
        if in_elements > 1 {
            if self.pattern != Some(pattern) {
                self.pattern = Some(pattern);
                self.budget.steps = STEPS_MAX;
            }
            return self.search(event, text, leaves);
        }
        // Only one leaf lies in elements: if it hoped for absence, nothing was chosen for it.
        Ok(leaves.enumerate().all(|(index, leaf)| {
            known == Some(index)
                || !event.is_in_elements(leaf.field)
                || self.is_met(event, text, leaf)
        }))
    }

    /// Whether the event meets the leaf by itself; found out once for all that share it.
    fn is_met(&mut self, event: &Event, text: &str, leaf: &Leaf) -> bool {
        let Leaf { shared, .. } = *leaf;
        if shared == NONE {
            return leaf.is_met(event, text);
        }
        if self.met.has(shared) {
            return true;
        }
        if self.unmet.has(shared) {
            return false;
        }
        let is_met = leaf.is_met(event, text);
        if is_met {
            self.met.add(shared)
        } else {
            self.unmet.add(shared)
        };
        is_met
    }

    fn search<'l>(
        &mut self,
        event: &Event,
        text: &str,
        leaves: impl Iterator<Item = &'l Leaf> + Clone,
    ) -> Result<bool, EventError> {
        self.find_spans(event, leaves.clone().map(|leaf| leaf.field))?;
        self.seen.clear();
        self.seen.resize(event.elements.len() + 1, NONE);
        self.choices.clear();
        self.choices.ends.push(0);
        for (index, leaf) in (0..).zip(leaves) {
            self.find_accepted(event, text, leaf, index * 2)?;
            self.find_present(event, leaf, index * 2 + 1)?;
            self.choose(event, leaf, index)?;
            if self.next.ends.is_empty() {
                return Ok(false);
            }
            self.next.make_distinct(&mut self.order, &mut self.spare);
            mem::swap(&mut self.choices, &mut self.next);
        }
        Ok(true)
    }

    /// Finds which arrays the leaves have in common.
    fn find_spans(
        &mut self,
        event: &Event,
        fields: impl Iterator<Item = u32>,
    ) -> Result<(), EventError> {
        self.budget.spend(event.elements.len())?;
        self.spans.clear();
        self.spans.resize(event.arrays.len(), UNSEEN);
        for (index, field) in (0..).zip(fields) {
            for value in event.values(field) {
                let mut steps = 1;
                for element in event.around(event.values[value as usize].element) {
                    steps += 1;
                    let span = &mut self.spans[event.elements[element as usize].array as usize];
                    if span.last == index {
                        continue;
                    }
                    if span.first == NONE {
                        span.first = index;
                    }
                    span.last = index;
                }
                self.budget.spend(steps)?;
            }
        }
        Ok(())
    }

    /// Finds the places of the values that meet the leaf.
    fn find_accepted(
        &mut self,
        event: &Event,
        text: &str,
        leaf: &Leaf,
        mark: u32,
    ) -> Result<(), EventError> {
        let Self { spans, accepted, seen, budget, .. } = self;
        accepted.clear();
        for value in event.values(leaf.field) {
            budget.spend(leaf.clauses.len())?;
            if leaf.accepts(event, text, value) {
                accepted.add(event, spans, seen, value, mark, budget)?;
            }
        }
        Ok(())
    }

    /// Finds the places of all values, if the leaf is met where there is none.
    fn find_present(&mut self, event: &Event, leaf: &Leaf, mark: u32) -> Result<(), EventError> {
        let Self { spans, present, seen, budget, .. } = self;
        present.clear();
        if leaf.absence {
            for value in event.values(leaf.field) {
                present.add(event, spans, seen, value, mark, budget)?;
            }
        }
        Ok(())
    }

    /// Makes `next` of the ways that go on from `choices` with the leaf's places.
    fn choose(&mut self, event: &Event, leaf: &Leaf, index: u32) -> Result<(), EventError> {
        let Self { spans, present, accepted, choices, next, spare, order, budget, .. } = self;
        // Arrays that no later leaf lies in are forgotten, lest their elements multiply.
        let array = |element: &u32| event.elements[*element as usize].array as usize;
        let is_kept = |element: &u32| spans[array(element)].last > index;
        next.clear();
        for choice in 0..choices.ends.len() {
            let choice = choices.get(choice);
            let kept = || choice.iter().copied().filter(&is_kept);
            let mut from = 0;
            while let Some(at) = consistent(event, leaf, accepted, from, choice, budget)? {
                let more = accepted.elements(accepted.all[at]).iter().copied().filter(&is_kept);
                next.push(kept(), more)?;
                from = at + 1;
            }
            if leaf.absence && consistent(event, leaf, present, 0, choice, budget)?.is_none() {
                next.push(kept(), std::iter::empty())?;
            }
            if next.ends.len() > 2 * next.distinct + 1024 {
                next.make_distinct(order, spare);
            }
        }
        Ok(())
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
    budget: &mut Budget,
) -> Result<Option<usize>, EventError> {
    while let Some(&place) = places.all.get(from) {
        let around = places.elements(place);
        budget.spend(1 + around.len() * choice.len())?;
        let Some(chosen) = clash(event, around, choice) else {
            return Ok(Some(from));
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
    Ok(None)
}

/// The chosen element of an array that has this place in another element.
fn clash(event: &Event, place: &[u32], choice: &[u32]) -> Option<u32> {
    let array = |element: u32| event.elements[element as usize].array;
    place.iter().find_map(|&around| {
        let chosen = choice.iter().copied().find(|&chosen| array(chosen) == array(around));
        chosen.filter(|&chosen| chosen != around)
    })
}
