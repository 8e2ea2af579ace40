//! From the text of an event to the values of the fields that patterns mention.
//!
//! An event is flattened as EventBridge does it: each value under the names above it, joined by
//! dots, with the array elements it lies in. `scan` has found the tokens and that all is JSON; the
//! walk here goes from token to token, down where names are mentioned and past all else. It must
//! never allocate once its room is warm, nor recurse deeper than `scan` allows.

use std::{cell::OnceCell, ops::Range};

use crate::{
    clause::{Number, Scalar},
    index::Index,
    json::{self, Flaw, Reader, Shape, Syntax, line_and_column, unquote_into},
    names::{NONE, Names, ROOT},
    scan::Tokens,
};

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
    #[error("the event's arrays combine in more than {max} ways for one pattern")]
    TooManyCombinations {
        /// The most combinations tried.
        max: usize,
    },
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
#[derive(Debug)]
enum Content {
    /// Within the quotes.
    Plain,
    /// Where the characters stand in `unquoted`.
    Unquoted(Range<u32>),
    Number(OnceCell<Option<f64>>),
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

    /// A value of the event of this text.
    #[inline]
    pub(crate) fn scalar<'e>(&'e self, text: &'e str, value: u32) -> Scalar<'e> {
        scalar(&self.values[value as usize], text, &self.unquoted)
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
fn scalar<'e>(value: &'e Value, text: &'e str, unquoted: &'e [u8]) -> Scalar<'e> {
    let (start, end) = (value.raw.start as usize, value.raw.end as usize);
    match &value.content {
        Content::Plain => Scalar::Text(&text.as_bytes()[start + 1..end - 1]),
        Content::Unquoted(range) => {
            Scalar::Text(&unquoted[range.start as usize..range.end as usize])
        }
        Content::Number(value) => Scalar::Number(Number { raw: &text[start..end], value }),
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
        Self { tokens: Tokens::new(), lower: Vec::new(), name: Vec::new() }
    }
}

/// Reads an event: keeps its values in `event` and calls `found` with what they trigger.
pub(crate) fn read(
    text: &str,
    names: &Names,
    fields: &[Field],
    room: &mut Room,
    event: &mut Event,
    found: impl FnMut(&[u32]),
) -> Result<(), EventError> {
    if text.len() > EVENT_BYTES_MAX {
        return Err(EventError::TooLong { bytes: text.len(), max: EVENT_BYTES_MAX });
    }
    let bytes = text.as_bytes();
    let start = bytes.iter().position(|byte| !is_white(*byte)).unwrap_or(bytes.len());
    if bytes.get(start) != Some(&b'{') || !room.tokens.scan(bytes, start) {
        return Err(refusal(text));
    }
    event.clear(fields.len());
    let Room { tokens, lower, name } = room;
    let mut walk = Walk { text, bytes, tokens, names, fields, lower, name, event, found };
    walk.object(0, ROOT, NONE);
    Ok(())
}

/// Why the text is no event, in the words of the reader.
#[cold]
fn refusal(text: &str) -> EventError {
    let mut reader = Reader::new(text);
    let read = match reader.shape() {
        Ok(Shape::Object) => json::skip(&mut reader),
        Ok(other) => return EventError::NotAnObject { found: other.name() },
        Err(syntax) => Err(syntax),
    };
    debug_assert!(read.is_err(), "what the reader passes, the scan passes");
    let (at, reason) = match read {
        Err(Syntax { flaw: Flaw::TooDeep, .. }) => {
            return EventError::TooDeep { max: json::DEPTH_MAX };
        }
        Err(Syntax { at, flaw }) => (at, flaw.to_string()),
        Ok(()) => (0, "it has no structure".to_owned()),
    };
    let (line, column) = line_and_column(text, at);
    EventError::NotJson { reason, line, column }
}

fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// One walk over an event.
struct Walk<'w, F> {
    text: &'w str,
    bytes: &'w [u8],
    tokens: &'w Tokens,
    names: &'w Names,
    fields: &'w [Field],
    lower: &'w mut Vec<u8>,
    name: &'w mut Vec<u8>,
    event: &'w mut Event,
    found: F,
}

impl<F: FnMut(&[u32])> Walk<'_, F> {
    /// Walks the object that opens with this token.
    fn object(&mut self, open: usize, node: u32, element: u32) {
        let mut token = open;
        let mut at = self.tokens.at(token);
        loop {
            // A member, but for the empty object: its name, a colon, its value and a token more.
            let colon = self.tokens.at(token + 1);
            if self.bytes[colon] == b'}' {
                return;
            }
            let below = self.below(node, at + 1, colon);
            let next = token + 2;
            at = self.tokens.at(next);
            token = self.value(next, at, colon + 1, below, element);
            if token != next {
                at = self.tokens.at(token);
            }
            if self.bytes[at] == b'}' {
                return;
            }
        }
    }

    /// Walks a value between `from` and the token `next`, and tells the token after it.
    #[inline]
    fn value(&mut self, next: usize, at: usize, from: usize, node: u32, element: u32) -> usize {
        match self.bytes[at] {
            b'{' => {
                if node != NONE && self.names.has_names(node) {
                    self.object(next, node, element);
                }
                self.tokens.partner(next) + 1
            }
            b'[' => {
                if node != NONE {
                    self.array(next, node, element);
                }
                self.tokens.partner(next) + 1
            }
            _ => {
                if node != NONE && self.names.field(node) != NONE {
                    self.scalar(from, at, self.names.field(node), element);
                }
                next
            }
        }
    }

    fn array(&mut self, open: usize, node: u32, parent: u32) {
        let array = self.event.arrays.len();
        self.event.arrays.push(Array { end: 0, scalars: NONE });
        let mut token = open;
        loop {
            let from = self.tokens.at(token) + 1;
            let next = token + 1;
            let at = self.tokens.at(next);
            let before = self.count();
            token = match self.bytes[at] {
                b'{' | b'[' => {
                    let element = small(self.event.elements.len());
                    let values = before..before;
                    self.event.elements.push(Element { array: small(array), parent, values });
                    let token = self.value(next, at, from, node, element);
                    self.event.elements[element as usize].values.end = self.count();
                    token
                }
                b']' if self.bytes[from..at].iter().all(|byte| is_white(*byte)) => break,
                _ => {
                    self.value(next, at, from, node, parent);
                    if self.count() > before {
                        self.event.arrays[array].scalars = self.names.field(node);
                    }
                    next
                }
            };
            if self.bytes[self.tokens.at(token)] == b']' {
                break;
            }
        }
        self.event.arrays[array].end = self.count();
    }

    /// How many values there are so far.
    fn count(&self) -> u32 {
        small(self.event.values.len())
    }

    /// The node of the name between `from` and `colon`.
    #[inline]
    fn below(&mut self, node: u32, from: usize, colon: usize) -> u32 {
        let (from, to) = self.trimmed(from, colon);
        let name = &self.bytes[from + 1..to - 1];
        if self.tokens.has_escapes && name.contains(&b'\\') {
            self.name.clear();
            unquote_into(name, self.name);
            return self.names.below(node, self.name);
        }
        self.names.below(node, name)
    }

    /// Without the white space at both ends. There must be something else.
    #[inline]
    fn trimmed(&self, mut from: usize, mut to: usize) -> (usize, usize) {
        while is_white(self.bytes[from]) {
            from += 1;
        }
        while is_white(self.bytes[to - 1]) {
            to -= 1;
        }
        (from, to)
    }

    /// Looks up a string or other scalar, and keeps it if it will be looked at again.
    fn scalar(&mut self, from: usize, to: usize, field: u32, element: u32) {
        let (from, to) = self.trimmed(from, to);
        let content = match self.bytes[from] {
            b'"' => {
                let inner = &self.bytes[from + 1..to - 1];
                if self.tokens.has_escapes && inner.contains(&b'\\') {
                    let start = small(self.event.unquoted.len());
                    unquote_into(inner, &mut self.event.unquoted);
                    Content::Unquoted(start..small(self.event.unquoted.len()))
                } else {
                    Content::Plain
                }
            }
            b't' => Content::True,
            b'f' => Content::False,
            b'n' => Content::Null,
            _ => Content::Number(OnceCell::new()),
        };
        let Field { index, is_kept } = &self.fields[field as usize];
        let raw = small(from)..small(to);
        let value = Value { raw, content, next: NONE, element };
        index.look_up(scalar(&value, self.text, &self.event.unquoted), self.lower, &mut self.found);
        if *is_kept {
            self.keep(field, value);
        }
    }

    fn keep(&mut self, field: u32, value: Value) {
        let number = self.count();
        let ends = &mut self.event.ends[field as usize];
        ends.in_elements |= value.element != NONE;
        if ends.first == NONE {
            ends.first = number;
            self.event.present.push(field);
        } else {
            self.event.values[ends.last as usize].next = number;
        }
        ends.last = number;
        self.event.values.push(value);
    }
}

/// Of an event, everything can be counted by a `u32`: it is far shorter.
#[expect(clippy::cast_possible_truncation, reason = "`EVENT_BYTES_MAX` is checked first")]
#[inline]
fn small(count: usize) -> u32 {
    count as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::index::Builder;

    /// Reads the event with one field; gives the field's values.
    fn values<'e>(field: &str, event: &'e str) -> Result<Vec<&'e str>, EventError> {
        let names = Names::new([field.as_bytes()]);
        let fields = [Field { index: Builder::default().build(), is_kept: true }];
        let mut read = Event::default();
        super::read(event, &names, &fields, &mut Room::new(), &mut read, |_| {})?;
        Ok(read.values(0).map(|value| read.raw(event, value)).collect())
    }

    #[track_caller]
    fn check(field: &str, event: &str, expected: &[&str]) {
        assert_eq!(values(field, event).unwrap(), expected);
    }

    #[test]
    fn values_keep_their_spelling() {
        check(
            "a",
            r#"{"a":[1.50,"\u0061",null,[true]],"b":1}"#,
            &["1.50", r#""\u0061""#, "null", "true"],
        );
    }

    #[test]
    fn repeated_names_all_count() {
        check("a", r#"{"a":1,"a":2,"\u0061":3}"#, &["1", "2", "3"]);
    }

    #[test]
    fn names_join_by_dots() {
        check("a.b", r#"{"a":{"b":1},"a.b":2,"b":3,"a":4}"#, &["1", "2"]);
    }

    #[test]
    fn an_empty_name_is_a_name() {
        check("a.", r#"{"a":{"":1},"a.":2,"a":3}"#, &["1", "2"]);
        check("", r#"{"":1,"a":2}"#, &["1"]);
    }

    #[test]
    fn longer_names_never_pass_for_a_shorter_path() {
        check("ab", r#"{"abc":1,"ab":{"":{"c":2}},"abcdef":{"ab":3}}"#, &[]);
    }

    #[track_caller]
    fn check_refused(event: &str, message: &str) {
        let error = values("a", event).unwrap_err();
        assert_eq!(error.to_string(), message);
    }

    #[test]
    fn what_is_not_an_event_is_refused() {
        check_refused("[1]", "an event is an object, found an array");
        check_refused("\"a\"", "an event is an object, found a string");
        check_refused(
            "{\"a\":1,\n \"z\":tru}",
            "the event is not JSON: expected `true`, `false` or `null`, found `}` at line 2, column 9",
        );
        check_refused(
            "",
            "the event is not JSON: expected a JSON value, found the end of the text \
             at line 1, column 1",
        );
    }

    #[test]
    fn depth_and_length_are_bounded() {
        check_refused(&"{\"a\":".repeat(1000), "the event is nested deeper than 128 levels");
        check_refused(
            &" ".repeat(EVENT_BYTES_MAX + 1),
            "the event has 16777217 bytes, more than 16777216",
        );
    }
}
