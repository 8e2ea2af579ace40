//! Why a pattern was refused, where, and what would be accepted.
//!
//! Made by `parse` and `operator`; printed by whoever reads patterns from people. All faults of a
//! pattern are collected, so that one look at them is enough.

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
    inner: Box<Located<Fault>>,
}

/// Something said of a pattern, and the place in its text that it is said of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Located<T> {
    pub(crate) what: T,
    pub(crate) path: String,
    pub(crate) hint: Option<String>,
    pub(crate) at: usize,
    /// Both 0 until [`locate`] has seen the text.
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl<T> Located<T> {
    pub(crate) fn new(what: T, path: &str, at: usize) -> Self {
        Self { what, path: path.to_owned(), hint: None, at, line: 0, column: 0 }
    }
}

impl<T: fmt::Display> fmt::Display for Located<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, path, .. } = self;
        if path.is_empty() { what.fmt(f) } else { write!(f, "{what} at {path}") }
    }
}

/// Puts what is said of a text into its order, and gives each the line and column of its place.
///
/// One pass for all of them: a hostile text has a fault every few bytes.
pub(crate) fn locate<'l, T: 'l>(text: &str, said: impl IntoIterator<Item = &'l mut Located<T>>) {
    let mut said: Vec<_> = said.into_iter().collect();
    said.sort_by_key(|said| said.at);
    let (mut seen, mut line, mut column) = (0, 1, 1);
    for said in said {
        let at = said.at.min(text.len());
        for c in text.get(seen..at).unwrap_or_default().chars() {
            (line, column) = if c == '\n' { (line + 1, 1) } else { (line, column + 1) };
        }
        seen = at;
        (said.line, said.column) = (line, column);
    }
}

impl Error {
    pub(crate) fn new(fault: Fault, path: &str, at: usize) -> Self {
        Self { inner: Box::new(Located::new(fault, path, at)) }
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

    /// What the author may have meant, or is to write instead.
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
        self.inner.fmt(f)
    }
}

impl std::error::Error for Error {}

/// The faults of one pattern, as they are found.
#[derive(Debug, Default)]
pub(crate) struct Errors {
    list: Vec<Error>,
}

impl Errors {
    pub(crate) fn add(&mut self, error: Error) {
        self.list.push(error);
    }

    /// The value, or `None` with the error kept.
    pub(crate) fn keep<T>(&mut self, result: Result<T, Error>) -> Option<T> {
        result.map_err(|error| self.add(error)).ok()
    }

    /// All of them in the order of the text, located in it; `None` if there are none.
    pub(crate) fn into_located(mut self, text: &str) -> Option<Vec<Error>> {
        locate(text, self.list.iter_mut().map(|error| &mut *error.inner));
        self.list.sort_by_key(Error::offset);
        (!self.list.is_empty()).then_some(self.list)
    }
}

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
