//! From the text of an event to the values of the fields that patterns mention.
//!
//! An event is flattened as EventBridge does it: each value under the names above it, joined by
//! dots, with the array elements it lies in. `scan` has found the tokens and checked what is between; the
//! walk here goes from token to token and makes sure that they follow each other as JSON's do. It must
//! never allocate once its room is warm, nor recurse deeper than an event may be nested.

use std::ops::Range;

use crate::{
    clause::{Number, Reading, Scalar},
    index::Index,
    json::{self, Flaw, Reader, Shape, Syntax, line_and_column},
    names::{NONE, Names},
    scan::Tokens,
    trigger::Firing,
};

mod skip;
mod walk;

use walk::{Broken, Walk};

/// Longest text of an event, in bytes. EventBridge itself takes far less.
pub(crate) const EVENT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// An event could not be matched.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// The text is not JSON.
    #[error("the event is not JSON: {reason} at line {line}, column {column}")]
    NotJson {
        /// What was expected and what was found.
        reason: String,
        /// Counted from 1.
        line: usize,
        /// In characters, counted from 1.
        column: usize,
    },
    /// The text is JSON, but no object.
    #[error("an event is an object, found {found}")]
    NotAnObject {
        /// What it is instead.
        found: &'static str,
    },
    /// Objects and arrays are nested deeper than any real event.
    #[error("the event is nested deeper than {max} levels")]
    TooDeep {
        /// The most levels allowed.
        max: usize,
    },
    /// The text is longer than any real event.
    #[error("the event has {bytes} bytes, more than {max}")]
    TooLong {
        /// The length of the text.
        bytes: usize,
        /// The most bytes allowed.
        max: usize,
    },
    /// Too many elements of the event's arrays would have to be tried together for one pattern.
    #[error("the event's arrays combine in too many ways for one pattern")]
    TooManyCombinations,
}

/// A field that patterns mention.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) index: Index,
    /// Whether its values are looked at again after the walk.
    pub(crate) is_kept: bool,
}

/// The values of an event at the fields that are kept.
///
/// Its room is used again for the next event.
#[derive(Debug, Default)]
pub(crate) struct Event {
    pub(crate) values: Vec<Value>,
    pub(crate) elements: Vec<Element>,
    pub(crate) arrays: Vec<Array>,
    /// By the number of the field.
    ends: Vec<Ends>,
    /// The fields that have values.
    present: Vec<u32>,
    /// The characters of strings that have escapes.
    unquoted: Vec<u8>,
}

/// The first and the last value of a field.
#[derive(Clone, Copy, Debug)]
struct Ends {
    first: u32,
    last: u32,
    /// Whether any of its values lies in an element.
    in_elements: bool,
}

const ABSENT: Ends = Ends { first: NONE, last: NONE, in_elements: false };

/// A value of an event. Its number tells its place among all: those of an array or element are
/// consecutive.
#[derive(Debug)]
pub(crate) struct Value {
    /// Where its JSON text stands.
    raw: Range<u32>,
    content: Content,
    /// The next value of the same field.
    next: u32,
    /// The innermost array element it lies in.
    pub(crate) element: u32,
}

/// What a value holds.
#[derive(Clone, Debug)]
enum Content {
    /// Within the quotes.
    Plain,
    /// Where the characters stand in `unquoted`.
    Unquoted(Range<u32>),
    Number,
    True,
    False,
    Null,
}

/// An object or array that is an element of an array.
///
/// Scalars are none: nothing beneath them has to be consistent.
#[derive(Debug)]
pub(crate) struct Element {
    pub(crate) array: u32,
    pub(crate) parent: u32,
    /// The values in it.
    pub(crate) values: Range<u32>,
}

/// An array of the event.
#[derive(Debug)]
pub(crate) struct Array {
    /// The number after its last value.
    pub(crate) end: u32,
    /// The field of the values that are elements of it, if there are any.
    pub(crate) scalars: u32,
}

impl Event {
    /// Forgets the last event and makes room for values of so many fields.
    fn clear(&mut self, fields: usize) {
        for &field in &self.present {
            self.ends[field as usize] = ABSENT;
        }
        self.present.clear();
        if self.ends.len() < fields {
            self.ends.resize(fields, ABSENT);
        }
        self.values.clear();
        self.elements.clear();
        self.arrays.clear();
        self.unquoted.clear();
    }

    /// The numbers of a field's values.
    pub(crate) fn values(&self, field: u32) -> impl Iterator<Item = u32> + '_ {
        let known = |&value: &u32| (value != NONE).then_some(value);
        let first = known(&self.ends[field as usize].first);
        std::iter::successors(first, move |&value| known(&self.values[value as usize].next))
    }

    pub(crate) fn has_values(&self, field: u32) -> bool {
        self.ends[field as usize].first != NONE
    }

    /// Whether any value of the field lies in an element of an array.
    pub(crate) fn is_in_elements(&self, field: u32) -> bool {
        self.ends[field as usize].in_elements
    }

    /// The JSON text of a value of the event of this text.
    pub(crate) fn raw<'e>(&self, text: &'e str, value: u32) -> &'e str {
        let Range { start, end } = self.values[value as usize].raw;
        &text[start as usize..end as usize]
    }

    /// A value of the event of this text. `reading` is kept for it if it is a number.
    #[inline]
    pub(crate) fn scalar<'e>(
        &'e self,
        text: &'e str,
        value: u32,
        reading: &'e Reading,
    ) -> Scalar<'e> {
        let Value { raw, content, .. } = &self.values[value as usize];
        scalar(text, raw.start as usize..raw.end as usize, content, &self.unquoted, reading)
    }

    /// An element and those around it, from the inside out.
    pub(crate) fn around(&self, element: u32) -> impl Iterator<Item = u32> + '_ {
        let known = |element: u32| (element != NONE).then_some(element);
        std::iter::successors(known(element), move |&element| {
            known(self.elements[element as usize].parent)
        })
    }
}

#[inline]
fn scalar<'e>(
    text: &'e str,
    raw: Range<usize>,
    content: &Content,
    unquoted: &'e [u8],
    reading: &'e Reading,
) -> Scalar<'e> {
    match content {
        Content::Plain => Scalar::Text(&text.as_bytes()[raw.start + 1..raw.end - 1]),
        Content::Unquoted(range) => {
            Scalar::Text(&unquoted[range.start as usize..range.end as usize])
        }
        Content::Number => Scalar::Number(Number { raw: &text[raw], reading }),
        Content::True => Scalar::True,
        Content::False => Scalar::False,
        Content::Null => Scalar::Null,
    }
}

/// Room for reading events.
#[derive(Debug)]
pub(crate) struct Room {
    tokens: Tokens,
    lower: Vec<u8>,
    name: Vec<u8>,
}

impl Room {
    pub(crate) fn new() -> Self {
        Self::with_tokens(Tokens::new())
    }

    fn with_tokens(tokens: Tokens) -> Self {
        Self { tokens, lower: Vec::new(), name: Vec::new() }
    }
}

/// Reads an event: keeps its values in `event` and fires what they set off.
pub(crate) fn read(
    text: &str,
    names: &Names,
    fields: &[Field],
    room: &mut Room,
    event: &mut Event,
    firing: Firing<'_>,
) -> Result<(), EventError> {
    if text.len() > EVENT_BYTES_MAX {
        return Err(EventError::TooLong { bytes: text.len(), max: EVENT_BYTES_MAX });
    }
    let Room { tokens, lower, name } = room;
    if !tokens.scan(text.as_bytes()) {
        // What is wrong may stand after the event, where it does not matter.
        let end = end(text)?;
        if !tokens.scan(&text.as_bytes()[..end]) {
            return Err(refusal(text, None));
        }
    }
    event.clear(fields.len());
    let positions = tokens.positions();
    let has_escapes = tokens.has_escapes;
    let bytes = text.as_bytes();
    let mut walk =
        Walk { text, bytes, positions, has_escapes, names, fields, lower, name, event, firing };
    walk.root().map_err(|Broken| match end(text) {
        Err(error) => error,
        Ok(_) => refusal(text, None),
    })
}

/// Where the event ends, or why it does not, in the words of the reader.
#[cold]
fn end(text: &str) -> Result<usize, EventError> {
    let mut reader = Reader::new(text);
    match reader.shape() {
        Ok(Shape::Object) => json::skip(&mut reader),
        Ok(other) => return Err(EventError::NotAnObject { found: other.name() }),
        Err(syntax) => Err(syntax),
    }
    .map(|()| reader.at())
    .map_err(|syntax| refusal(text, Some(syntax)))
}

/// What is wrong with the text.
///
/// `None` is not known to happen: it says that the walk refuses what the reader passes.
#[cold]
fn refusal(text: &str, syntax: Option<Syntax>) -> EventError {
    debug_assert!(syntax.is_some(), "what the reader passes, the walk passes");
    let (at, reason) = match syntax {
        Some(Syntax { flaw: Flaw::TooDeep, .. }) => {
            return EventError::TooDeep { max: json::DEPTH_MAX };
        }
        Some(Syntax { at, flaw }) => (at, flaw.to_string()),
        None => (0, "its structure is broken".to_owned()),
    };
    let (line, column) = line_and_column(text, at);
    EventError::NotJson { reason, line, column }
}

/// Of an event, everything can be counted by a `u32`: it is far shorter.
#[expect(clippy::cast_possible_truncation, reason = "`EVENT_BYTES_MAX` is checked first")]
#[inline]
fn small(count: usize) -> u32 {
    count as u32
}

#[cfg(test)]
mod tests;
