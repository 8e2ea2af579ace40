//! What a pattern that compiles probably does not mean, and what EventBridge would not take.
//!
//! Asked for by whoever shows patterns to their authors. Changes nothing about what a pattern
//! matches: a warning is a guess at the author, or about quotas that we do not hold patterns to.

use std::{collections::HashSet, fmt};

use crate::{
    complexity::{self, Group},
    error::{Located, locate},
    hint,
    json::{Kind, Member, Node, Reader},
    number,
    operator::OPERATORS,
    parse::{EventPattern, OR, Scope},
};

/// Most characters of a pattern in an account whose quota was not raised.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html
// "Event pattern size", 2,048 characters, adjustable
const CHARACTERS_QUOTA: usize = 2048;
/// Most characters of a pattern in any account.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutRule.html
// "EventPattern", "Maximum length of 4096"
const CHARACTERS_MAX: usize = 4096;

/// Something about a pattern that its author should know, though it compiles.
///
/// `Display` says what, and where in the pattern; line, column and hint are apart, as in
/// [`Error`](crate::Error).
#[derive(Clone, Debug, PartialEq)]
pub struct Warning {
    inner: Box<Located<Doubt>>,
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
enum Doubt {
    #[error(
        "the pattern has {characters} characters, more than EventBridge's quota of {CHARACTERS_QUOTA}"
    )]
    AboveQuota { characters: usize },
    #[error(
        "the pattern has {characters} characters, and EventBridge takes {CHARACTERS_MAX} at most"
    )]
    TooLong { characters: usize },
    #[error("EventBridge may refuse the wildcards of this field as too complex")]
    TooComplex,
    #[error("`{0}` is the name of a field here, not an operator")]
    ResemblesOperator(String),
    #[error("`{0}` is the name of a field here; the one word that begins with `$` is `$or`")]
    ResemblesOr(String),
    #[error("a later field with the same path replaces this one")]
    Replaced,
    #[error("`*` in a plain string stands for itself")]
    StarInText,
    #[error("`*` in `{0}` stands for itself")]
    StarInOperator(String),
    #[error("the number has more digits than are compared, so it equals its own spelling only")]
    NotComparable,
    #[error("either `anything-but` is enough, so the two exclude only what both exclude")]
    NothingExcluded,
}

impl Warning {
    /// Where in the pattern's JSON, as in [`Error::path`](crate::Error::path).
    pub fn path(&self) -> &str {
        &self.inner.path
    }

    /// What the author may have meant, or is to write instead.
    pub fn hint(&self) -> Option<&str> {
        self.inner.hint.as_deref()
    }

    /// The byte of the pattern's text that it is about.
    pub fn offset(&self) -> usize {
        self.inner.at
    }

    /// Its line in the pattern's text, counted from 1.
    pub fn line(&self) -> usize {
        self.inner.line
    }

    /// Its column in the line, in characters, counted from 1.
    pub fn column(&self) -> usize {
        self.inner.column
    }

    /// Whether EventBridge refuses the pattern for this, whatever the quotas of the account.
    pub fn is_refused_by_eventbridge(&self) -> bool {
        matches!(self.inner.what, Doubt::TooLong { .. })
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl EventPattern {
    /// What the pattern probably does not mean, and what EventBridge would not take, in the order of
    /// the text.
    pub fn warnings(&self) -> Vec<Warning> {
        let source = self.as_str();
        let mut review = Review { source, steps: complexity::STEPS_MAX, warnings: Vec::new() };
        review.length();
        self.replaced(&mut review);
        if let Ok(Node { kind: Kind::Object(members), .. }) = Node::read(&mut Reader::new(source)) {
            review.fields(&members, &Scope::new(source));
        }
        let mut warnings = review.warnings;
        locate(source, warnings.iter_mut().map(|warning| &mut *warning.inner));
        warnings.sort_by_key(Warning::offset);
        warnings
    }

    fn replaced(&self, review: &mut Review<'_>) {
        let asked: HashSet<usize> = self.alternatives().iter().flatten().copied().collect();
        for (index, leaf) in self.leaves().iter().enumerate() {
            if !asked.contains(&index) {
                let hint = "list the values of both in one array";
                review.warn(Doubt::Replaced, &leaf.label, leaf.span.start, Some(hint.to_owned()));
            }
        }
    }
}

struct Review<'s> {
    source: &'s str,
    /// What is left to find out how complex wildcards are.
    steps: usize,
    warnings: Vec<Warning>,
}

impl Review<'_> {
    fn warn(&mut self, doubt: Doubt, path: &str, at: usize, hint: Option<String>) {
        let located = Located { hint, ..Located::new(doubt, path, at) };
        self.warnings.push(Warning { inner: Box::new(located) });
    }

    fn length(&mut self) {
        let characters = self.source.trim().chars().count();
        if characters > CHARACTERS_MAX {
            let hint = "split it into several rules".to_owned();
            self.warn(Doubt::TooLong { characters }, "", 0, Some(hint));
        } else if characters > CHARACTERS_QUOTA {
            let hint = format!("the quota can be raised to {CHARACTERS_MAX}; or split the pattern");
            self.warn(Doubt::AboveQuota { characters }, "", 0, Some(hint));
        }
    }

    fn fields(&mut self, members: &[Member<'_>], scope: &Scope<'_>) {
        for Member { name, name_at, value } in members {
            let inner = scope.member(name);
            let name = String::from_utf8_lossy(name);
            match &value.kind {
                Kind::Array(branches) if name == OR => {
                    for (index, branch) in branches.iter().enumerate() {
                        if let Kind::Object(members) = &branch.kind {
                            self.fields(members, &inner.element(index));
                        }
                    }
                }
                Kind::Array(elements) => {
                    if OPERATORS.contains(&name.as_ref()) {
                        let hint = hint::operator_as_field(&name, value, self.source);
                        let doubt = Doubt::ResemblesOperator(name.into_owned());
                        self.warn(doubt, &inner.label(), *name_at, Some(hint));
                    } else {
                        self.dollar(&name, &inner, *name_at);
                    }
                    self.list(value, elements, &inner);
                }
                Kind::Object(members) => {
                    self.dollar(&name, &inner, *name_at);
                    self.fields(members, &inner);
                }
                _ => {}
            }
        }
    }

    fn dollar(&mut self, name: &str, scope: &Scope<'_>, at: usize) {
        if name.starts_with('$') {
            let hint = match name.to_lowercase().as_str() {
                "$and" => Some("all fields of an object must match, without a word for it"),
                "$not" => Some("exclude values with {\"anything-but\": …}"),
                "$or" | "$any" | "$anyof" => Some("did you mean `$or`?"),
                _ => None,
            };
            let doubt = Doubt::ResemblesOr(name.to_owned());
            self.warn(doubt, &scope.label(), at, hint.map(str::to_owned));
        }
    }

    fn list(&mut self, list: &Node<'_>, elements: &[Node<'_>], scope: &Scope<'_>) {
        let mut wildcards: Vec<Group<'_>> = Vec::new();
        let mut is_excluding = false;
        for (index, element) in elements.iter().enumerate() {
            let inner = scope.element(index);
            match &element.kind {
                Kind::Text(text) if text.len() > 1 && text.contains(&b'*') => {
                    let found = hint::quotable(&self.source[element.start..element.end]);
                    let hint = format!(
                        "write {{\"wildcard\": {found}}}; if `*` is meant, {{\"exactly\": {found}}}"
                    );
                    self.warn(Doubt::StarInText, &inner.label(), element.start, Some(hint));
                }
                Kind::Number(raw) if number::comparable(raw).is_none() => {
                    self.warn(Doubt::NotComparable, &inner.label(), element.start, None);
                }
                Kind::Object(members) => {
                    let [member] = members.as_slice() else { continue };
                    self.affix(member, &inner.member(&member.name));
                    wildcards.extend(group(member));
                    if member.name.as_ref() == b"anything-but" {
                        if is_excluding {
                            let hint = "exclude all in one: {\"anything-but\": [\"a\", \"b\"]}";
                            let (doubt, hint) = (Doubt::NothingExcluded, Some(hint.to_owned()));
                            self.warn(doubt, &inner.label(), element.start, hint);
                        }
                        is_excluding = true;
                    }
                }
                _ => {}
            }
        }
        if !wildcards.is_empty() && complexity::is_too_complex(&wildcards, &mut self.steps) {
            let hint = "use fewer `*`, and no character that repeats between them";
            self.warn(Doubt::TooComplex, &scope.label(), list.start, Some(hint.to_owned()));
        }
    }

    /// A `*` in `prefix`, `suffix` or `equals-ignore-case`.
    fn affix(&mut self, member: &Member<'_>, scope: &Scope<'_>) {
        let name = String::from_utf8_lossy(&member.name);
        let Kind::Text(text) = &member.value.kind else { return };
        if !matches!(name.as_ref(), "prefix" | "suffix" | "equals-ignore-case")
            || !text.contains(&b'*')
        {
            return;
        }
        let is_at_the_open_end = match name.as_ref() {
            "prefix" => text.iter().position(|byte| *byte == b'*') == Some(text.len() - 1),
            "suffix" => text.iter().rposition(|byte| *byte == b'*') == Some(0),
            _ => false,
        };
        let hint = if is_at_the_open_end {
            format!("leave it out: a {name} needs no `*`")
        } else {
            "only `wildcard` has `*`".to_owned()
        };
        let doubt = Doubt::StarInOperator(name.into_owned());
        self.warn(doubt, &scope.label(), member.value.start, Some(hint));
    }
}

/// The wildcards of an operator.
fn group<'n>(member: &'n Member<'_>) -> Option<Group<'n>> {
    let operand = match (member.name.as_ref(), &member.value.kind) {
        (b"wildcard", _) => &member.value,
        (b"anything-but", Kind::Object(members)) => match members.as_slice() {
            [inner] if inner.name.as_ref() == b"wildcard" => &inner.value,
            _ => return None,
        },
        _ => return None,
    };
    let text = |node: &'n Node<'_>| match &node.kind {
        Kind::Text(text) => Some(text.as_ref()),
        _ => None,
    };
    Some(match &operand.kind {
        Kind::Array(elements) => elements.iter().filter_map(text).collect(),
        _ => text(operand).into_iter().collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each warning as `line:column message; hint`.
    #[track_caller]
    fn check(pattern: &str, expected: &[&str]) {
        let lines: Vec<_> = EventPattern::parse(pattern)
            .unwrap()
            .warnings()
            .iter()
            .map(|warning| {
                let hint = warning.hint().map_or(String::new(), |hint| format!("; {hint}"));
                format!("{}:{} {warning}{hint}", warning.line(), warning.column())
            })
            .collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn usual_patterns_leave_no_doubt() {
        check(
            r#"{"source":["aws.s3"],"detail":{"key":[{"wildcard":"in/*.jpg"},{"exactly":"*.*"},"*"],
                "n":[5,{"numeric":[">",0]}],"$or":[{"a":[{"anything-but":"x"}]},{"b":[null]}]}}"#,
            &[],
        );
    }

    #[test]
    fn a_star_that_is_no_wildcard_is_shown() {
        check(
            r#"{"source":["aws.*"],"detail":{"key":[{"prefix":"in/*"},{"suffix":"*.jpg"},
  {"equals-ignore-case":"a*b"}]}}"#,
            &[
                "1:12 `*` in a plain string stands for itself at source[0]; \
                 write {\"wildcard\": \"aws.*\"}; if `*` is meant, {\"exactly\": \"aws.*\"}",
                "1:48 `*` in `prefix` stands for itself at detail.key[0].prefix; \
                 leave it out: a prefix needs no `*`",
                "1:66 `*` in `suffix` stands for itself at detail.key[1].suffix; \
                 leave it out: a suffix needs no `*`",
                "2:25 `*` in `equals-ignore-case` stands for itself \
                 at detail.key[2].equals-ignore-case; only `wildcard` has `*`",
            ],
        );
    }

    #[test]
    fn fields_that_look_like_the_language_are_shown() {
        check(
            r#"{"n":{"numeric":[">",0]},"k":{"prefix":["a","b"]},"$and":[1]}"#,
            &[
                "1:7 `numeric` is the name of a field here, not an operator at n.numeric; \
                 an operator stands in an array: [{\"numeric\": [\">\",0]}]",
                "1:31 `prefix` is the name of a field here, not an operator at k.prefix; \
                 an operator stands in an array: [{\"prefix\": \"a\"}, {\"prefix\": \"b\"}]",
                "1:51 `$and` is the name of a field here; the one word that begins with `$` is `$or` \
                 at $and; all fields of an object must match, without a word for it",
            ],
        );
    }

    #[test]
    fn what_has_no_effect_is_shown() {
        check(
            r#"{"a":[1],"b":[{"anything-but":"x"},{"anything-but":"y"}],"a":[2],"c":[12345678901234567891]}"#,
            &[
                "1:6 a later field with the same path replaces this one at a; \
                 list the values of both in one array",
                "1:36 either `anything-but` is enough, so the two exclude only what both exclude \
                 at b[1]; exclude all in one: {\"anything-but\": [\"a\", \"b\"]}",
                "1:71 the number has more digits than are compared, so it equals its own spelling only \
                 at c[0]",
            ],
        );
    }

    #[test]
    fn what_eventbridge_refuses_is_told_apart_from_its_quota() {
        let long = |length: usize| {
            let pattern = format!(r#"{{"a":["{}"]}}"#, "é".repeat(length - 10));
            let warnings = EventPattern::parse(&pattern).unwrap().warnings();
            warnings
                .iter()
                .map(|w| (w.to_string(), w.is_refused_by_eventbridge()))
                .collect::<Vec<_>>()
        };
        assert_eq!(long(2048), []);
        let quota = "the pattern has 2049 characters, more than EventBridge's quota of 2048";
        assert_eq!(long(2049), [(quota.to_owned(), false)]);
        let most = "the pattern has 4097 characters, and EventBridge takes 4096 at most";
        assert_eq!(long(4097), [(most.to_owned(), true)]);
    }

    #[test]
    fn wildcards_beyond_what_eventbridge_takes_are_shown() {
        check(
            r#"{"resources":[{"wildcard":"*:*:*:*:*:event-bus/*"}]}"#,
            &[
                "1:14 EventBridge may refuse the wildcards of this field as too complex at resources; \
               use fewer `*`, and no character that repeats between them",
            ],
        );
    }
}
