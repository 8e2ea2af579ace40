//! From the text of an event to the values of the fields that patterns mention.
//!
//! An event is flattened as EventBridge does it: each value under the names above it, joined by
//! dots, with the array elements it lies in. Values of other fields are checked to be JSON and
//! forgotten. Reads an event once; never recurses deeper than the reader allows.

use std::{collections::HashMap, ops::Range, sync::Arc};

use crate::{
    clause::Scalar,
    json::{Flaw, Reader, Shape, Syntax, line_and_column, unquote},
    number,
    parse::EventPattern,
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

/// The paths that patterns mention, numbered.
#[derive(Debug, Default)]
pub(crate) struct Paths {
    numbers: HashMap<Arc<[u8]>, usize>,
    longest: usize,
}

impl Paths {
    /// Numbers the paths of a pattern's leaves, in their order.
    pub(crate) fn add(&mut self, pattern: &EventPattern) -> Vec<usize> {
        let mut add = |path: &Arc<[u8]>| {
            self.longest = self.longest.max(path.len());
            let next = self.numbers.len();
            *self.numbers.entry(Arc::clone(path)).or_insert(next)
        };
        pattern.leaves().iter().map(|leaf| add(&leaf.path)).collect()
    }
}

/// The values of an event at the paths that patterns mention.
#[derive(Debug)]
pub(crate) struct Event<'e> {
    /// By the number of the path, in the order of the text.
    values: Vec<Vec<Value<'e>>>,
    pub(crate) elements: Vec<Element>,
    pub(crate) arrays: Vec<Array>,
}

/// A value of an event.
#[derive(Debug)]
pub(crate) struct Value<'e> {
    /// Its JSON text.
    pub(crate) raw: &'e str,
    pub(crate) scalar: Scalar<'e>,
    /// Counts the values of the event; those of an array or element are consecutive.
    pub(crate) position: usize,
    /// The innermost array element it lies in.
    pub(crate) element: Option<usize>,
}

/// An object or array that is an element of an array.
///
/// Scalars are none: nothing beneath them has to be consistent.
#[derive(Debug)]
pub(crate) struct Element {
    pub(crate) array: usize,
    pub(crate) parent: Option<usize>,
    pub(crate) positions: Range<usize>,
}

/// An array of the event.
#[derive(Debug, Default)]
pub(crate) struct Array {
    /// The position after its last value.
    pub(crate) end: usize,
    /// The path of the values that are elements of it, if patterns mention it and there are any.
    pub(crate) scalars: Option<usize>,
}

impl<'e> Event<'e> {
    pub(crate) fn read(text: &'e str, paths: &Paths) -> Result<Self, EventError> {
        if text.len() > EVENT_BYTES_MAX {
            return Err(EventError::TooLong { bytes: text.len(), max: EVENT_BYTES_MAX });
        }
        let values = paths.numbers.values().map(|_| Vec::new()).collect();
        let event = Self { values, elements: Vec::new(), arrays: Vec::new() };
        let reader = Reader::new(text);
        let mut walk = Walk { reader, paths, path: Vec::new(), position: 0, event };
        match walk.root() {
            Ok(Shape::Object) => Ok(walk.event),
            Ok(other) => Err(EventError::NotAnObject { found: other.name() }),
            Err(Syntax { at, flaw: reason @ Flaw::Unexpected { .. } }) => {
                let (line, column) = line_and_column(text, at);
                Err(EventError::NotJson { reason: reason.to_string(), line, column })
            }
            Err(Syntax { flaw: Flaw::TooDeep, .. }) => {
                Err(EventError::TooDeep { max: crate::json::DEPTH_MAX })
            }
        }
    }

    /// The values at a path.
    pub(crate) fn values(&self, path: usize) -> &[Value<'e>] {
        &self.values[path]
    }

    /// An element and those around it, from the inside out.
    pub(crate) fn around(&self, element: Option<usize>) -> impl Iterator<Item = usize> + '_ {
        std::iter::successors(element, |&element| self.elements[element].parent)
    }
}

/// The state of one walk over an event.
struct Walk<'e, 'p> {
    reader: Reader<'e>,
    paths: &'p Paths,
    /// The names down to here, joined by dots.
    path: Vec<u8>,
    position: usize,
    event: Event<'e>,
}

impl Walk<'_, '_> {
    /// Walks the object that the event is, or tells what else it is.
    fn root(&mut self) -> Result<Shape, Syntax> {
        let shape = self.reader.shape()?;
        if shape == Shape::Object {
            self.object(None, true)?;
        }
        Ok(shape)
    }

    fn object(&mut self, element: Option<usize>, root: bool) -> Result<(), Syntax> {
        self.reader.enter()?;
        let above = self.path.len();
        let mut first = true;
        while let Some(name) = self.reader.member(first)? {
            first = false;
            if !root {
                self.path.push(b'.');
            }
            // A path longer than all that are mentioned stays so however it goes on; leaving the
            // name out keeps an event of long names from costing their product with its values.
            let within = self.path.len() <= self.paths.longest;
            if within {
                self.path.extend_from_slice(&unquote(name));
            }
            self.value(element)?;
            self.path.truncate(above);
        }
        Ok(())
    }

    fn array(&mut self, parent: Option<usize>) -> Result<(), Syntax> {
        self.reader.enter()?;
        let array = self.event.arrays.len();
        self.event.arrays.push(Array::default());
        let mut first = true;
        while self.reader.element(first)? {
            first = false;
            let shape = self.reader.shape()?;
            if matches!(shape, Shape::Object | Shape::Array) {
                let element = self.event.elements.len();
                let positions = self.position..self.position;
                self.event.elements.push(Element { array, parent, positions });
                self.value(Some(element))?;
                self.event.elements[element].positions.end = self.position;
            } else {
                let before = self.position;
                self.value(parent)?;
                if self.position > before {
                    self.event.arrays[array].scalars = self.path_number();
                }
            }
        }
        self.event.arrays[array].end = self.position;
        Ok(())
    }

    /// The number of the path down to here, if a pattern mentions it.
    fn path_number(&self) -> Option<usize> {
        let within = self.path.len() <= self.paths.longest;
        within.then(|| self.paths.numbers.get(self.path.as_slice()).copied()).flatten()
    }

    fn value(&mut self, element: Option<usize>) -> Result<(), Syntax> {
        let shape = self.reader.shape()?;
        match shape {
            Shape::Object => self.object(element, false),
            Shape::Array => self.array(element),
            _ => {
                let raw = self.reader.scalar(shape)?;
                if let Some(path) = self.path_number() {
                    let scalar = match shape {
                        Shape::Text => Scalar::Text(unquote(raw)),
                        Shape::Number => Scalar::Number { raw, value: number::comparable(raw) },
                        Shape::True => Scalar::True,
                        Shape::False => Scalar::False,
                        _ => Scalar::Null,
                    };
                    let value = Value { raw, scalar, position: self.position, element };
                    self.event.values[path].push(value);
                    self.position += 1;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The raw values of field `pattern_path` in `event`.
    #[track_caller]
    fn check(field: &str, event: &str, expected: &[&str]) {
        let pattern = EventPattern::parse(&format!(r#"{{"{field}":[1]}}"#)).unwrap();
        let mut paths = Paths::default();
        let numbers = paths.add(&pattern);
        let event = Event::read(event, &paths).unwrap();
        let found: Vec<_> = event.values(numbers[0]).iter().map(|value| value.raw).collect();
        assert_eq!(found, expected);
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
        let error = Event::read(event, &Paths::default()).unwrap_err();
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
