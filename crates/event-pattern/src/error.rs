//! Why a pattern was refused, where, and what would be accepted.
//!
//! Made by `parse` and `operator`; printed by whoever reads patterns from people.

use std::fmt;

use crate::{
    address,
    json::{Flaw, Shape},
    text,
};

/// A pattern was refused.
///
/// `Display` says what was found, what is allowed, and where in the pattern:
/// ``unknown operator `prefx` at detail.object.key[0]``. Line, column and hint are apart, for
/// whoever prints them to place.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    // Boxed so that a `Result` stays small where it succeeds.
    inner: Box<Inner>,
}

#[derive(Clone, Debug, PartialEq)]
struct Inner {
    fault: Fault,
    path: String,
    hint: Option<String>,
    at: usize,
    line: usize,
    column: usize,
}

impl Error {
    pub(crate) fn new(fault: Fault, path: &str, source: &str, at: usize) -> Self {
        let (line, column) = crate::json::line_and_column(source, at);
        Self {
            inner: Box::new(Inner { fault, path: path.to_owned(), hint: None, at, line, column }),
        }
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<Option<String>>) -> Self {
        self.inner.hint = hint.into();
        self
    }

    /// Where in the pattern's JSON: `detail.object.key[0]`, or `""` for the whole pattern.
    ///
    /// Members are joined by dots and elements are in brackets, as are names that a dot would make
    /// ambiguous: `["a.b"].c`. The path is `""` too where the text is not JSON.
    pub fn path(&self) -> &str {
        &self.inner.path
    }

    /// What the author may have meant.
    pub fn hint(&self) -> Option<&str> {
        self.inner.hint.as_deref()
    }

    /// The byte of the pattern's text at which the fault begins.
    pub fn offset(&self) -> usize {
        self.inner.at
    }

    /// The line of the fault in the pattern's text, counted from 1.
    pub fn line(&self) -> usize {
        self.inner.line
    }

    /// The column of the fault in its line, in characters, counted from 1.
    pub fn column(&self) -> usize {
        self.inner.column
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { fault, path, .. } = &*self.inner;
        if path.is_empty() { fault.fmt(f) } else { write!(f, "{fault} at {path}") }
    }
}

impl std::error::Error for Error {}

/// What was wrong.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("the pattern is not JSON: {0}")]
    Syntax(Flaw),
    #[error("the pattern is longer than {max} bytes")]
    TooLong { max: usize },
    #[error("a pattern is an object, found {0}")]
    NotAnObject(Shape),
    #[error("found an empty object, which has no field to match")]
    NoFields,
    #[error("found an empty array, which no value can match")]
    NoValues,
    #[error("expected an array of values or an object of fields, found {0}")]
    NotAField(Shape),
    #[error("expected a string, number, true, false, null or an operator, found an array")]
    NotAValue,
    #[error("an operator object has one member, found {0}")]
    OperatorCount(usize),
    #[error("unknown operator `{0}`")]
    UnknownOperator(String),
    #[error("`{outer}` takes {allowed}, found the operator `{found}`")]
    InnerOperator { outer: &'static str, allowed: &'static str, found: String },
    #[error("`{operator}` takes {allowed}, found {found}")]
    Operand { operator: &'static str, allowed: &'static str, found: Shape },
    #[error("`{0}` takes a list that is not empty")]
    EmptyList(&'static str),
    #[error("`{0}` takes a string that is not empty")]
    EmptyText(&'static str),
    #[error("`anything-but` takes strings or numbers, not both in one list")]
    MixedList,
    #[error("a number that a double cannot hold exactly cannot be compared")]
    NotComparable,
    #[error("`numeric` takes `=`, `<`, `<=`, `>` or `>=`, found `{0}`")]
    Comparison(String),
    #[error("`numeric` takes a number after `{0}`, found nothing")]
    NoBound(&'static str),
    #[error("`numeric` takes one comparison, or `>` or `>=` followed by `<` or `<=`")]
    Comparisons,
    #[error("the lower bound is not below the upper bound")]
    EmptyInterval,
    #[error("{0}")]
    Wildcard(text::Error),
    #[error("{0}")]
    Network(address::Error),
    #[error("`$or` takes an array of at least two objects, found {0}")]
    OrShape(Shape),
    #[error("`$or` takes at least two objects, found {0}")]
    OrCount(usize),
    #[error("`$or` takes objects, found {0}")]
    OrBranch(Shape),
    #[error("`{0}` is the name of an operator and cannot be a field inside `$or`")]
    OrReserved(String),
    #[error("the `$or`s of the pattern have more than {max} combinations")]
    OrCombinations { max: usize },
    #[error("more than {max} fields in one combination")]
    TooManyFields { max: usize },
}
