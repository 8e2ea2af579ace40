//! Whether the values of an event meet the fields of a pattern together.
//!
//! Array consistency: fields whose values lie in the same array must be met by one element of it.
//! The fields of an alternative are taken in the order of their paths, as AWS's own engine does
//! (`{"exists": false}` can tell: it sees the elements that earlier fields have chosen), and all
//! ways to choose elements are followed side by side. Their number is bounded.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::{
    clause::Clause,
    event::{Event, EventError, Value},
    parse::EventPattern,
};

/// Most pairs of a choice and a value that are tried for one field.
const TRIALS_MAX: usize = 500_000;

/// One element from each of some arrays, sorted.
type Choice = Vec<usize>;

/// Whether the event meets this alternative of the pattern.
///
/// `paths` are the numbers of the pattern's leaves, from [`crate::event::Paths::add`].
pub(crate) fn meets(
    event: &Event<'_>,
    pattern: &EventPattern,
    paths: &[usize],
    alternative: &[usize],
) -> Result<bool, EventError> {
    let fields: Option<Vec<_>> = alternative
        .iter()
        .map(|&leaf| Field::new(event, paths[leaf], &pattern.leaves()[leaf].clauses))
        .collect();
    let Some(fields) = fields else { return Ok(false) };
    let spans = array_spans(event, &fields);
    let mut choices = BTreeSet::from([Choice::new()]);
    for (index, field) in fields.iter().enumerate() {
        let present = places(event, &spans, field.values.iter());
        let accepted = places(event, &spans, field.accepted.iter().copied());
        // Arrays that no later field lies in are forgotten, lest their elements multiply.
        let is_kept = |element: &usize| spans[&event.elements[*element].array].1 > index;
        let mut trials = 0;
        let mut next = BTreeSet::new();
        for choice in &choices {
            let kept = || choice.iter().copied().filter(&is_kept);
            for place in consistent(event, field.path, &accepted, choice, &mut trials) {
                let mut wider: Choice =
                    kept().chain(place.elements.iter().copied().filter(&is_kept)).collect();
                wider.sort_unstable();
                wider.dedup();
                next.insert(wider);
            }
            let mut is_absent =
                || consistent(event, field.path, &present, choice, &mut trials).next().is_none();
            if field.absence && is_absent() {
                next.insert(kept().collect());
            }
            if trials > TRIALS_MAX {
                return Err(EventError::TooManyCombinations { max: TRIALS_MAX });
            }
        }
        if next.is_empty() {
            return Ok(false);
        }
        choices = next;
    }
    Ok(true)
}

/// A field of the alternative, and the event's values there.
struct Field<'s, 'e> {
    path: usize,
    values: &'s [Value<'e>],
    /// Those that a clause accepts.
    accepted: Vec<&'s Value<'e>>,
    /// Whether the field is met where there is no value.
    absence: bool,
}

impl<'s, 'e> Field<'s, 'e> {
    /// `None` if no value of the event can meet the field, whatever the others choose.
    fn new(event: &'s Event<'e>, path: usize, clauses: &[Clause]) -> Option<Self> {
        let values = event.values(path);
        let absence = clauses.iter().any(|clause| matches!(clause, Clause::Absent));
        let accepts =
            |value: &&Value<'_>| clauses.iter().any(|clause| clause.accepts(&value.scalar));
        let accepted: Vec<_> = values.iter().filter(accepts).collect();
        (absence || !accepted.is_empty()).then_some(Self { path, values, accepted, absence })
    }
}

/// For each array, the first and the last field with a value in it.
type Spans = HashMap<usize, (usize, usize)>;

fn array_spans(event: &Event<'_>, fields: &[Field<'_, '_>]) -> Spans {
    let mut spans = Spans::new();
    for (index, field) in fields.iter().enumerate() {
        for element in field.values.iter().flat_map(|value| event.around(value.element)) {
            spans.entry(event.elements[element].array).or_insert((index, index)).1 = index;
        }
    }
    spans
}

/// Where a value lies, as far as other fields can tell.
struct Place {
    position: usize,
    /// The elements around it, of arrays that several fields lie in.
    elements: Vec<usize>,
}

/// The places of values, in order; values that no other field can tell apart share their first.
fn places<'v, 'e: 'v>(
    event: &Event<'_>,
    spans: &Spans,
    values: impl Iterator<Item = &'v Value<'e>>,
) -> Vec<Place> {
    let mut seen = HashSet::new();
    let mut places = Vec::new();
    for value in values {
        let shared = |&element: &usize| {
            let (first, last) = spans[&event.elements[element].array];
            first < last
        };
        let elements: Vec<_> = event.around(value.element).filter(shared).collect();
        if seen.insert(elements.clone()) {
            places.push(Place { position: value.position, elements });
        }
    }
    places
}

/// The places that lie in no other element of an array than the chosen one.
fn consistent<'p>(
    event: &Event<'_>,
    path: usize,
    mut places: &'p [Place],
    choice: &Choice,
    trials: &mut usize,
) -> impl Iterator<Item = &'p Place> {
    std::iter::from_fn(move || {
        loop {
            let (place, rest) = places.split_first()?;
            *trials += 1;
            if *trials > TRIALS_MAX {
                return None;
            }
            let Some(chosen) = clash(event, place, choice) else {
                places = rest;
                return Some(place);
            };
            let element = &event.elements[chosen];
            let array = &event.arrays[element.array];
            let past = if array.scalars == Some(path) {
                // Values that are themselves elements of the array lie among the others' values.
                place.position + 1
            } else if place.position < element.positions.start {
                element.positions.start
            } else {
                array.end
            };
            let skipped = places.partition_point(|place| place.position < past);
            places = &places[skipped..];
        }
    })
}

/// The chosen element of an array that has this place in another element.
fn clash(event: &Event<'_>, place: &Place, choice: &Choice) -> Option<usize> {
    place.elements.iter().find_map(|&around| {
        let array = event.elements[around].array;
        let same_array = |&&chosen: &&usize| event.elements[chosen].array == array;
        choice.iter().find(same_array).copied().filter(|&chosen| chosen != around)
    })
}
