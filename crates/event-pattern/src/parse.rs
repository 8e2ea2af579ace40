//! From the text of a pattern to the fields it asks for.
//!
//! `$or` is multiplied out here: a compiled pattern is a list of alternatives, each a set of
//! fields that must all be met. Both are bounded, so no pattern can blow up. The clauses of a field
//! are read by `operator`.

use std::{collections::BTreeMap, fmt, fmt::Write as _, ops::Range, str::FromStr, sync::Arc};

use crate::{
    clause::Clause,
    error::{Error, Errors, Fault},
    hint,
    json::{Kind, Member, Node, Reader, Syntax},
    operator,
};

/// Longest text of a pattern, in bytes. EventBridge itself takes far less.
pub(crate) const PATTERN_BYTES_MAX: usize = 32 * 1024;
/// Most fields of one alternative, as in AWS's own engine.
const FIELDS_MAX: usize = 256;
/// Most alternatives that the `$or`s of one pattern may multiply to.
const ALTERNATIVES_MAX: usize = 1000;

pub(crate) const OR: &str = "$or";

/// A compiled event pattern.
///
/// Cheap to clone. Keeps the text it was compiled from.
#[derive(Clone)]
pub struct EventPattern {
    inner: Arc<Compiled>,
}

struct Compiled {
    source: String,
    leaves: Vec<Leaf>,
    /// Indices of `leaves`, sorted by their paths.
    alternatives: Vec<Vec<usize>>,
}

/// A field that a pattern asks for.
pub(crate) struct Leaf {
    /// Where it stands in the pattern, for people.
    pub(crate) label: String,
    /// The names down to it joined by dots: how events are searched.
    ///
    /// EventBridge flattens both sides to such paths, so `{"a.b": [1]}` meets `{"a": {"b": 1}}`.
    pub(crate) path: Arc<[u8]>,
    /// Where its list of clauses stands in the pattern's text.
    pub(crate) span: Range<usize>,
    pub(crate) clauses: Arc<[Clause]>,
}

impl EventPattern {
    /// Compiles the JSON text of a pattern.
    ///
    /// As in EventBridge, text after the closing brace is ignored, and the last of two fields with
    /// the same path wins.
    ///
    /// # Errors
    ///
    /// The first [`Error`] of the text: where the pattern is refused, and what is allowed there.
    pub fn parse(json: &str) -> Result<Self, Error> {
        Self::check(json).map_err(|errors| {
            errors.into_iter().next().expect("a pattern is refused for at least one fault")
        })
    }

    /// Compiles the JSON text of a pattern, or tells all that is wrong with it.
    ///
    /// # Errors
    ///
    /// Every [`Error`], in the order of the text and never none. Text that is not JSON has one: what
    /// stands behind it cannot be told.
    pub fn check(json: &str) -> Result<Self, Vec<Error>> {
        let mut errors = Errors::default();
        let compiled = compile(json, &mut errors);
        match (errors.into_located(json), compiled) {
            (None, Some(compiled)) => Ok(Self { inner: Arc::new(compiled) }),
            (errors, _) => Err(errors.expect("what is not compiled has a fault")),
        }
    }

    /// The text the pattern was compiled from.
    pub fn as_str(&self) -> &str {
        &self.inner.source
    }

    pub(crate) fn leaves(&self) -> &[Leaf] {
        &self.inner.leaves
    }

    pub(crate) fn alternatives(&self) -> &[Vec<usize>] {
        &self.inner.alternatives
    }
}

/// Patterns are equal if their texts are.
impl PartialEq for EventPattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for EventPattern {}

impl FromStr for EventPattern {
    type Err = Error;

    fn from_str(json: &str) -> Result<Self, Error> {
        Self::parse(json)
    }
}

impl fmt::Debug for EventPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EventPattern").field(&self.inner.source).finish()
    }
}

/// `None` where there is nothing to compile; what is returned counts only if there is no error.
fn compile(json: &str, errors: &mut Errors) -> Option<Compiled> {
    if json.len() > PATTERN_BYTES_MAX {
        errors.add(Error::new(Fault::TooLong { max: PATTERN_BYTES_MAX }, "", 0));
        return None;
    }
    let root = errors.keep(Node::read(&mut Reader::new(json)).map_err(|Syntax { at, flaw }| {
        Error::new(Fault::Syntax(flaw), "", at).with_hint(hint::syntax(json, at))
    }))?;
    let scope = Scope::new(json);
    let Kind::Object(members) = &root.kind else {
        let quoted =
            matches!(&root.kind, Kind::Text(text) if text.trim_ascii_start().starts_with(b"{"));
        let hint = quoted.then(|| "leave out the quotes around the pattern".to_owned());
        errors.add(scope.error(root.start, Fault::NotAnObject(root.shape())).with_hint(hint));
        return None;
    };
    let mut compiler = Compiler { leaves: Vec::new(), errors };
    let start = vec![Alternative::new()];
    let alternatives = compiler.fields(root.start, members, &scope, &Place::default(), start);
    let alternatives =
        alternatives.into_iter().map(|fields| fields.into_values().collect()).collect();
    Some(Compiled { source: json.to_owned(), leaves: compiler.leaves, alternatives })
}

/// Where in the pattern the compiler is, for messages.
pub(crate) struct Scope<'a> {
    source: &'a str,
    outer: Option<&'a Scope<'a>>,
    step: Step<'a>,
}

/// The step from one [`Scope`] to the next.
enum Step<'a> {
    Root,
    Member(&'a [u8]),
    Element(usize),
}

impl<'a> Scope<'a> {
    /// The whole pattern.
    pub(crate) fn new(source: &'a str) -> Self {
        Self { source, outer: None, step: Step::Root }
    }

    pub(crate) fn member<'s>(&'s self, name: &'s [u8]) -> Scope<'s> {
        Scope { source: self.source, outer: Some(self), step: Step::Member(name) }
    }

    pub(crate) fn element(&self, index: usize) -> Scope<'_> {
        Scope { source: self.source, outer: Some(self), step: Step::Element(index) }
    }

    /// The way from the root, made up only where it is told.
    pub(crate) fn label(&self) -> String {
        let mut label = self.outer.map(Self::label).unwrap_or_default();
        match self.step {
            Step::Root => {}
            Step::Member(name) => push_member(&mut label, &String::from_utf8_lossy(name)),
            Step::Element(index) => {
                write!(label, "[{index}]").expect("a string takes whatever is written");
            }
        }
        label
    }

    pub(crate) fn error(&self, at: usize, fault: Fault) -> Error {
        Error::new(fault, &self.label(), at)
    }
}

/// Adds a name to a label, quoted if a dot, a bracket or nothing would make it ambiguous.
fn push_member(label: &mut String, name: &str) {
    if name.is_empty() || name.contains(['.', '[', ']', '"']) {
        write!(label, "[{name:?}]").expect("a string takes whatever is written");
        return;
    }
    if !label.is_empty() {
        label.push('.');
    }
    label.push_str(name);
}

/// Where in the events the compiler is.
#[derive(Default)]
struct Place {
    /// `None` at the root, which is not the same as below a field with an empty name.
    path: Option<Vec<u8>>,
    inside_or: bool,
}

impl Place {
    fn member(&self, name: &[u8]) -> Self {
        let path = match &self.path {
            Some(path) => [path, name].join(&b'.'),
            None => name.to_vec(),
        };
        Self { path: Some(path), inside_or: self.inside_or }
    }

    fn inside_or(&self) -> Self {
        Self { path: self.path.clone(), inside_or: true }
    }
}

/// The leaf that each path of an alternative is decided by.
type Alternative = BTreeMap<Arc<[u8]>, usize>;

struct Compiler<'e> {
    leaves: Vec<Leaf>,
    errors: &'e mut Errors,
}

/// Each function goes on after a fault, so that all are found. Where there are too many
/// alternatives or fields it goes on with no alternative, lest their number grow.
impl Compiler<'_> {
    /// Adds the fields of an object to each alternative.
    fn fields(
        &mut self,
        start: usize,
        members: &[Member<'_>],
        scope: &Scope<'_>,
        place: &Place,
        mut alternatives: Vec<Alternative>,
    ) -> Vec<Alternative> {
        if members.is_empty() {
            let hint =
                "a field that every event has: {\"source\": [{\"prefix\": \"\"}]}".to_owned();
            self.errors.add(scope.error(start, Fault::NoFields).with_hint(hint));
        }
        for member in members {
            let inner = scope.member(&member.name);
            let name = member.name.as_ref();
            if name == OR.as_bytes() {
                alternatives = self.or(&member.value, &inner, place, alternatives);
                continue;
            }
            if place.inside_or && operator::is_reserved(name) {
                let name = String::from_utf8_lossy(name).into_owned();
                let hint = hint::operator_as_field(&name, &member.value, scope.source);
                let error = inner.error(member.name_at, Fault::OrReserved(name));
                self.errors.add(error.with_hint(hint));
                continue;
            }
            let value = &member.value;
            let below = place.member(name);
            match &value.kind {
                Kind::Object(members) => {
                    alternatives = self.fields(value.start, members, &inner, &below, alternatives);
                }
                Kind::Array(elements) => {
                    self.leaf(value, elements, &inner, below, &mut alternatives);
                }
                _ => self.errors.add(not_a_field(value, &inner, name)),
            }
        }
        alternatives
    }

    /// Multiplies the alternatives by the branches of an `$or`.
    fn or(
        &mut self,
        value: &Node<'_>,
        scope: &Scope<'_>,
        place: &Place,
        alternatives: Vec<Alternative>,
    ) -> Vec<Alternative> {
        let Kind::Array(branches) = &value.kind else {
            let hint = "list the alternatives: \"$or\": [{…}, {…}]".to_owned();
            self.errors
                .add(scope.error(value.start, Fault::OrShape(value.shape())).with_hint(hint));
            return alternatives;
        };
        if branches.len() < 2 {
            let one = "put the fields of the one object beside the others, without `$or`";
            let hint = (branches.len() == 1).then(|| one.to_owned());
            let fault = Fault::OrCount(branches.len());
            self.errors.add(scope.error(value.start, fault).with_hint(hint));
        }
        let below = place.inside_or();
        let mut multiplied = Vec::new();
        let mut is_bounded = true;
        for (index, branch) in branches.iter().enumerate() {
            let inner = scope.element(index);
            let Kind::Object(members) = &branch.kind else {
                self.errors.add(inner.error(branch.start, Fault::OrBranch(branch.shape())));
                continue;
            };
            let from = if is_bounded { alternatives.clone() } else { Vec::new() };
            multiplied.extend(self.fields(branch.start, members, &inner, &below, from));
            if multiplied.len() > ALTERNATIVES_MAX {
                let fault = Fault::OrCombinations { max: ALTERNATIVES_MAX };
                let hint = "split the pattern into several rules".to_owned();
                self.errors.add(scope.error(value.start, fault).with_hint(hint));
                multiplied.clear();
                is_bounded = false;
            }
        }
        multiplied
    }

    /// Adds one field to each alternative, replacing an earlier one with the same path.
    fn leaf(
        &mut self,
        value: &Node<'_>,
        elements: &[Node<'_>],
        scope: &Scope<'_>,
        place: Place,
        alternatives: &mut Vec<Alternative>,
    ) {
        if elements.is_empty() {
            let hint = "[{\"exists\": true}] matches any value, [{\"exists\": false}] no value";
            self.errors.add(scope.error(value.start, Fault::NoValues).with_hint(hint.to_owned()));
        }
        let clauses = elements
            .iter()
            .enumerate()
            .filter_map(|(index, element)| {
                operator::read(element, &scope.element(index), self.errors)
            })
            .collect();
        let path: Arc<[u8]> = place.path.unwrap_or_default().into();
        let index = self.leaves.len();
        for alternative in alternatives.iter_mut() {
            alternative.insert(Arc::clone(&path), index);
        }
        if alternatives.iter().any(|alternative| alternative.len() > FIELDS_MAX) {
            self.errors.add(scope.error(value.start, Fault::TooManyFields { max: FIELDS_MAX }));
            alternatives.clear();
        }
        self.leaves.push(Leaf {
            label: scope.label(),
            path,
            span: value.start..value.end,
            clauses,
        });
    }
}

fn not_a_field(value: &Node<'_>, scope: &Scope<'_>, name: &[u8]) -> Error {
    let hint = if operator::is_reserved(name) {
        hint::operator_as_field(&String::from_utf8_lossy(name), value, scope.source)
    } else {
        let found = &scope.source[value.start..value.end];
        format!("put the value into an array: [{found}]")
    };
    scope.error(value.start, Fault::NotAField(value.shape())).with_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The message, the hint, and line and column of the refusal.
    #[track_caller]
    fn check(pattern: &str, message: &str, hint: Option<&str>, position: (usize, usize)) {
        let error = EventPattern::parse(pattern).unwrap_err();
        assert_eq!(error.to_string(), message);
        assert_eq!(error.hint(), hint);
        assert_eq!((error.line(), error.column()), position);
    }

    #[test]
    fn the_text_is_kept() {
        let text = "{ \"a\": [1] } // kept";
        assert_eq!(EventPattern::parse(text).unwrap().as_str(), text);
    }

    #[test]
    fn text_that_is_not_json_is_refused() {
        check(
            "{\"a\":\n [\"x\",]}",
            "the pattern is not JSON: expected a JSON value, found `]`",
            Some("leave out the comma before it"),
            (2, 7),
        );
    }

    #[test]
    fn a_pattern_is_an_object() {
        check("[\"a\"]", "a pattern is an object, found an array", None, (1, 1));
    }

    #[test]
    fn a_bare_value_belongs_into_an_array() {
        check(
            r#"{"a":{"b":"x"}}"#,
            "expected an array of values or an object of fields, found a string at a.b",
            Some(r#"put the value into an array: ["x"]"#),
            (1, 11),
        );
    }

    #[test]
    fn an_operator_belongs_into_an_array() {
        check(
            r#"{"a":{"prefix":"x"}}"#,
            "expected an array of values or an object of fields, found a string at a.prefix",
            Some(r#"an operator stands in an array: [{"prefix": "x"}]"#),
            (1, 16),
        );
    }

    #[test]
    fn empty_objects_and_arrays_are_refused() {
        check(
            "{}",
            "found an empty object, which has no field to match",
            Some(r#"a field that every event has: {"source": [{"prefix": ""}]}"#),
            (1, 1),
        );
        check(
            r#"{"a":[]}"#,
            "found an empty array, which no value can match at a",
            Some(r#"[{"exists": true}] matches any value, [{"exists": false}] no value"#),
            (1, 6),
        );
    }

    #[test]
    fn an_or_needs_two_objects() {
        check(
            r#"{"$or":[{"a":[1]}]}"#,
            "`$or` takes at least two objects, found 1 at $or",
            Some("put the fields of the one object beside the others, without `$or`"),
            (1, 8),
        );
        check(
            r#"{"d":{"$or":[{"a":[1]},2]}}"#,
            "`$or` takes objects, found a number at d.$or[1]",
            None,
            (1, 24),
        );
    }

    #[test]
    fn operators_are_no_fields_inside_an_or() {
        check(
            r#"{"$or":[{"d":{"suffix":["1"]}},{"b":["2"]}]}"#,
            "`suffix` is the name of an operator and cannot be a field inside `$or` at $or[0].d.suffix",
            Some(r#"an operator stands in an array: [{"suffix": "1"}]"#),
            (1, 15),
        );
    }

    #[test]
    fn combinations_are_bounded() {
        let or = r#"{"$or":[{"a":[1]},{"b":[1]}]}"#;
        let fields: Vec<_> = (0..10).map(|index| format!("\"k{index}\":{or}")).collect();
        check(
            &format!("{{{}}}", fields.join(",")),
            "the `$or`s of the pattern have more than 1000 combinations at k9.$or",
            Some("split the pattern into several rules"),
            (1, 329),
        );
    }

    #[test]
    fn the_text_is_bounded() {
        let pattern = format!(r#"{{"a":["{}"]}}"#, "x".repeat(PATTERN_BYTES_MAX));
        check(&pattern, "the pattern is longer than 32768 bytes", None, (1, 1));
    }

    #[test]
    fn ambiguous_names_are_quoted() {
        let error = EventPattern::parse(r#"{"a.b":{"":{"c":[[]]}}}"#).unwrap_err();
        assert_eq!(error.path(), r#"["a.b"][""].c[0]"#);
    }
}
