//! One element of a field's list: a plain value, or an object that holds an operator.
//!
//! Called by `parse` for each element. Refuses whatever it does not know, with the place; what was
//! meant is guessed in `hint`. Goes on after a fault, so that all are told at once.

use crate::{
    address::{self, Address, Network},
    clause::{Bound, Clause, Interval},
    error::{Error, Errors, Fault},
    hint,
    json::{Kind, Member, Node, Shape},
    number,
    parse::Scope,
    text::{self, AnyCase, Wildcard},
};

pub(crate) const OPERATORS: [&str; 9] = [
    "prefix",
    "suffix",
    "equals-ignore-case",
    "wildcard",
    "anything-but",
    "numeric",
    "exists",
    "cidr",
    "exactly",
];

/// Names besides the operators that AWS keeps for later inside `$or`.
const RESERVED: [&str; 15] = [
    "=",
    "<",
    "<=",
    ">",
    ">=",
    "regex",
    "not-wildcard",
    "not-equals-ignore-case",
    "date-after",
    "date-on-or-after",
    "date-before",
    "date-on-or-before",
    "in-date-range",
    "ip-address-in-range",
    "ip-address-not-in-range",
];

/// The operators that `anything-but` takes.
const EXCLUDED: [&str; 4] = ["prefix", "suffix", "equals-ignore-case", "wildcard"];

const ANYTHING_BUT_TAKES: &str = "a string, a number, a list of either, or one of `prefix`, \
                                  `suffix`, `equals-ignore-case` and `wildcard`";

/// Whether a name cannot be a field's inside `$or`.
pub(crate) fn is_reserved(name: &[u8]) -> bool {
    OPERATORS.iter().chain(&RESERVED).any(|reserved| reserved.as_bytes() == name)
}

/// Reads one element of a field's list. `None` if it is refused, with its faults in `errors`.
pub(crate) fn read(node: &Node<'_>, scope: &Scope<'_>, errors: &mut Errors) -> Option<Clause> {
    match &node.kind {
        Kind::Text(text) => Some(match Address::read(text) {
            Some(address) => Clause::Address(address),
            None => Clause::Text(text.to_vec()),
        }),
        Kind::Number(raw) => {
            Some(Clause::Number { raw: (*raw).to_owned(), value: number::comparable(raw) })
        }
        Kind::True => Some(Clause::True),
        Kind::False => Some(Clause::False),
        Kind::Null => Some(Clause::Null),
        Kind::Array(_) => {
            let hint = "the values stand side by side in one array".to_owned();
            errors.add(scope.error(node.start, Fault::NotAValue).with_hint(hint));
            None
        }
        Kind::Object(members) => operator(node, members, scope, errors),
    }
}

fn operator(
    node: &Node<'_>,
    members: &[Member<'_>],
    scope: &Scope<'_>,
    errors: &mut Errors,
) -> Option<Clause> {
    let member = errors.keep(only_member(node, members, scope))?;
    let operand = &member.value;
    let inner = scope.member(&member.name);
    let read = match member.name.as_ref() {
        b"anything-but" => return anything_but(operand, &inner, errors).map(Clause::AnythingBut),
        b"numeric" => return numeric(operand, &inner, errors).map(Clause::Numeric),
        b"exactly" => text("exactly", operand, &inner).map(|text| Clause::Text(text.to_vec())),
        b"prefix" => affix("prefix", operand, &inner),
        b"suffix" => affix("suffix", operand, &inner),
        b"equals-ignore-case" => text("equals-ignore-case", operand, &inner)
            .map(|text| Clause::AnyCase(AnyCase::new(text))),
        b"wildcard" => wildcard(operand, &inner),
        b"exists" => exists(operand, &inner),
        b"cidr" => cidr(operand, &inner),
        _ => Err(unknown_operator(member, scope)),
    };
    errors.keep(read)
}

fn unknown_operator(member: &Member<'_>, scope: &Scope<'_>) -> Error {
    let name = String::from_utf8_lossy(&member.name).into_owned();
    let hint = hint::unknown_operator(&name, &member.value);
    scope.error(member.name_at, Fault::UnknownOperator(name)).with_hint(hint)
}

/// The one member that an operator object may have.
fn only_member<'n, 'a>(
    node: &Node<'_>,
    members: &'n [Member<'a>],
    scope: &Scope<'_>,
) -> Result<&'n Member<'a>, Error> {
    let [member] = members else {
        let hint = (members.len() > 1)
            .then(|| "each operator is an object of its own in the array".to_owned());
        let fault = Fault::OperatorCount(members.len());
        return Err(scope.error(node.start, fault).with_hint(hint));
    };
    Ok(member)
}

fn refuse(
    operator: &'static str,
    allowed: &'static str,
    found: &Node<'_>,
    scope: &Scope<'_>,
) -> Error {
    let fault = Fault::Operand { operator, allowed, found: found.shape() };
    scope.error(found.start, fault)
}

fn text<'n>(
    operator: &'static str,
    operand: &'n Node<'_>,
    scope: &Scope<'_>,
) -> Result<&'n [u8], Error> {
    let Kind::Text(text) = &operand.kind else {
        let hint = match operand.kind {
            Kind::Array(_) => Some(format!("write one `{operator}` for each value")),
            Kind::Number(raw) => Some(format!("`{operator}` is about strings: \"{raw}\"")),
            _ => None,
        };
        return Err(refuse(operator, "a string", operand, scope).with_hint(hint));
    };
    Ok(text)
}

/// `prefix` and `suffix`, which may ignore case.
fn affix(name: &'static str, operand: &Node<'_>, scope: &Scope<'_>) -> Result<Clause, Error> {
    let Kind::Object(members) = &operand.kind else {
        let text = text(name, operand, scope)?.to_vec();
        return Ok(if name == "prefix" { Clause::Prefix(text) } else { Clause::Suffix(text) });
    };
    let member = only_member(operand, members, scope)?;
    if member.name.as_ref() != b"equals-ignore-case" {
        let allowed = &["equals-ignore-case"];
        return Err(inner_operator(
            name,
            "a string or `equals-ignore-case`",
            allowed,
            member,
            scope,
        ));
    }
    let inner = scope.member(&member.name);
    let any_case = AnyCase::new(text("equals-ignore-case", &member.value, &inner)?);
    Ok(if name == "prefix" {
        Clause::PrefixAnyCase(any_case)
    } else {
        Clause::SuffixAnyCase(any_case)
    })
}

fn inner_operator(
    outer: &'static str,
    allowed: &'static str,
    names: &[&str],
    member: &Member<'_>,
    scope: &Scope<'_>,
) -> Error {
    let found = String::from_utf8_lossy(&member.name).into_owned();
    let hint = hint::inner_operator(&found, names);
    scope.error(member.name_at, Fault::InnerOperator { outer, allowed, found }).with_hint(hint)
}

fn wildcard(operand: &Node<'_>, scope: &Scope<'_>) -> Result<Clause, Error> {
    Wildcard::read(text("wildcard", operand, scope)?).map(Clause::Wildcard).map_err(|error| {
        let hint = match error {
            text::Error::StarTwice => "write one `*`; for the character itself, `\\\\*`",
            text::Error::Escape => r"a backslash itself is four in JSON text: `\\`",
        };
        scope.error(operand.start, Fault::Wildcard(error)).with_hint(hint.to_owned())
    })
}

fn exists(operand: &Node<'_>, scope: &Scope<'_>) -> Result<Clause, Error> {
    match operand.kind {
        Kind::True => Ok(Clause::Exists),
        Kind::False => Ok(Clause::Absent),
        _ => {
            let quoted = operand.shape() == Shape::Text;
            let hint = quoted.then(|| "true and false are not quoted".to_owned());
            Err(refuse("exists", "true or false", operand, scope).with_hint(hint))
        }
    }
}

fn cidr(operand: &Node<'_>, scope: &Scope<'_>) -> Result<Clause, Error> {
    let text = text("cidr", operand, scope)?;
    Network::read(text).map(Clause::Network).map_err(|error| {
        let is_bare = matches!(error, address::Error::Slash) && Address::read(text).is_some();
        let is_single = is_bare || matches!(error, address::Error::BitsRange { .. });
        let hint = "a single address is written as a plain string, without bits";
        scope
            .error(operand.start, Fault::Network(error))
            .with_hint(is_single.then(|| hint.to_owned()))
    })
}

/// What `anything-but` excludes.
fn anything_but(operand: &Node<'_>, scope: &Scope<'_>, errors: &mut Errors) -> Option<Vec<Clause>> {
    match &operand.kind {
        Kind::Text(_) | Kind::Number(_) => {
            errors.keep(excluded_value(operand, scope)).map(|clause| vec![clause])
        }
        Kind::Array(elements) => {
            let Some(first) = elements.first() else {
                let hint = "{\"exists\": true} accepts any value".to_owned();
                let fault = Fault::EmptyList("anything-but");
                errors.add(scope.error(operand.start, fault).with_hint(hint));
                return None;
            };
            let mut clauses = Vec::with_capacity(elements.len());
            for (index, element) in elements.iter().enumerate() {
                let inner = scope.element(index);
                let Some(clause) = errors.keep(excluded_value(element, &inner)) else { continue };
                clauses.push(clause);
                if element.shape() != first.shape() && is_excludable(first) {
                    let hint = "a string never equals a number; keep those of the event's kind";
                    let error = inner.error(element.start, Fault::MixedList);
                    errors.add(error.with_hint(hint.to_owned()));
                }
            }
            Some(clauses)
        }
        Kind::Object(members) => excluded_operator(operand, members, scope, errors),
        Kind::True | Kind::False | Kind::Null => {
            let hint = "list what is wanted instead, such as [true, false]".to_owned();
            let error = refuse("anything-but", ANYTHING_BUT_TAKES, operand, scope);
            errors.add(error.with_hint(hint));
            None
        }
    }
}

fn is_excludable(node: &Node<'_>) -> bool {
    matches!(node.kind, Kind::Text(_) | Kind::Number(_))
}

/// A string or number that is excluded. Addresses are compared as they are spelled.
fn excluded_value(node: &Node<'_>, scope: &Scope<'_>) -> Result<Clause, Error> {
    match &node.kind {
        Kind::Text(text) => Ok(Clause::Text(text.to_vec())),
        Kind::Number(raw) => {
            Ok(Clause::Number { raw: (*raw).to_owned(), value: Some(bound(node, raw, scope)?) })
        }
        _ => Err(refuse("anything-but", "strings or numbers", node, scope)),
    }
}

fn excluded_operator(
    node: &Node<'_>,
    members: &[Member<'_>],
    scope: &Scope<'_>,
    errors: &mut Errors,
) -> Option<Vec<Clause>> {
    let member = errors.keep(only_member(node, members, scope))?;
    let inner = scope.member(&member.name);
    let Some(name) = EXCLUDED.into_iter().find(|name| name.as_bytes() == member.name.as_ref())
    else {
        errors.add(inner_operator("anything-but", ANYTHING_BUT_TAKES, &EXCLUDED, member, scope));
        return None;
    };
    match &member.value.kind {
        Kind::Array(elements) if elements.is_empty() => {
            errors.add(inner.error(member.value.start, Fault::EmptyList(name)));
            None
        }
        Kind::Array(elements) => Some(
            elements
                .iter()
                .enumerate()
                .filter_map(|(index, element)| {
                    errors.keep(excluded_text(name, element, &inner.element(index)))
                })
                .collect(),
        ),
        _ => errors.keep(excluded_text(name, &member.value, &inner)).map(|clause| vec![clause]),
    }
}

/// A string that an operator within `anything-but` excludes.
fn excluded_text(name: &'static str, node: &Node<'_>, scope: &Scope<'_>) -> Result<Clause, Error> {
    let Kind::Text(text) = &node.kind else {
        return Err(refuse(name, "a string or a list of strings here", node, scope));
    };
    match name {
        "wildcard" => wildcard(node, scope),
        "equals-ignore-case" => Ok(Clause::AnyCase(AnyCase::new(text))),
        // Every string begins and ends with "", so nothing but numbers would be left.
        _ if text.is_empty() => Err(scope.error(node.start, Fault::EmptyText(name))),
        "prefix" => Ok(Clause::Prefix(text.to_vec())),
        _ => Ok(Clause::Suffix(text.to_vec())),
    }
}

fn bound(node: &Node<'_>, raw: &str, scope: &Scope<'_>) -> Result<f64, Error> {
    number::comparable(raw).ok_or_else(|| {
        let hint = "numbers up to 9007199254740992, or of up to 15 digits, can be compared";
        scope.error(node.start, Fault::NotComparable).with_hint(hint.to_owned())
    })
}

#[derive(Clone, Copy)]
enum Comparison {
    Equal,
    Below { included: bool },
    Above { included: bool },
}

/// The comparison or comparisons of `numeric`.
fn numeric(operand: &Node<'_>, scope: &Scope<'_>, errors: &mut Errors) -> Option<Interval> {
    let Kind::Array(elements) = &operand.kind else {
        let found = matches!(operand.kind, Kind::Number(_));
        let hint = found.then(|| "a number that is to be equal is written plainly".to_owned());
        let error = refuse("numeric", "a list such as [\">\", 0, \"<=\", 5]", operand, scope);
        errors.add(error.with_hint(hint));
        return None;
    };
    if elements.is_empty() {
        errors.add(scope.error(operand.start, Fault::EmptyList("numeric")));
        return None;
    }
    let mut compared = Vec::with_capacity(2);
    let mut is_whole = true;
    for index in (0..elements.len().min(4)).step_by(2) {
        match comparison(elements, index, operand, scope, errors) {
            Some(one) => compared.push(one),
            None => is_whole = false,
        }
    }
    if !is_whole {
        return None;
    }
    let interval = interval(&compared, elements, operand, scope);
    errors.keep(interval)
}

/// The numbers that one comparison accepts, or two.
fn interval(
    compared: &[(Comparison, f64)],
    elements: &[Node<'_>],
    list: &Node<'_>,
    scope: &Scope<'_>,
) -> Result<Interval, Error> {
    let refused = |index: usize| {
        let at = elements.get(index).map_or(list.start, |node| node.start);
        scope.error(at, Fault::Comparisons)
    };
    let interval = match *compared {
        [(Comparison::Equal, value)] => {
            let only = Some(Bound { value, included: true });
            Interval { low: only, high: only }
        }
        [(Comparison::Below { included }, value)] => {
            Interval { low: None, high: Some(Bound { value, included }) }
        }
        [(Comparison::Above { included }, value)] => {
            Interval { low: Some(Bound { value, included }), high: None }
        }
        [(Comparison::Above { included }, low), (Comparison::Below { included: below }, high)] => {
            if low >= high {
                let hint = hint::empty_interval(low, high);
                return Err(scope.error(list.start, Fault::EmptyInterval).with_hint(hint));
            }
            Interval {
                low: Some(Bound { value: low, included }),
                high: Some(Bound { value: high, included: below }),
            }
        }
        [(Comparison::Below { .. }, _), (Comparison::Above { .. }, _)] => {
            let hint = "the lower bound comes first: [\">\", 0, \"<\", 5]".to_owned();
            return Err(refused(2).with_hint(hint));
        }
        _ => return Err(refused(2)),
    };
    if elements.len() > compared.len() * 2 {
        Err(refused(compared.len() * 2))
    } else {
        Ok(interval)
    }
}

/// The comparison at `index` and the number after it.
fn comparison(
    elements: &[Node<'_>],
    index: usize,
    list: &Node<'_>,
    scope: &Scope<'_>,
    errors: &mut Errors,
) -> Option<(Comparison, f64)> {
    let (node, inner) = (&elements[index], scope.element(index));
    let compared = errors.keep(comparison_name(node, &inner));
    let Some(value) = elements.get(index + 1) else {
        if let Some((_, name)) = compared {
            errors.add(scope.error(list.start, Fault::NoBound(name)));
        }
        return None;
    };
    let inner = scope.element(index + 1);
    let value = if let Kind::Number(raw) = value.kind {
        bound(value, raw, &inner)
    } else {
        let quoted = value.shape() == Shape::Text;
        let hint = quoted.then(|| "numbers are not quoted".to_owned());
        Err(refuse("numeric", "a number here", value, &inner).with_hint(hint))
    };
    let value = errors.keep(value);
    Some((compared?.0, value?))
}

fn comparison_name(
    node: &Node<'_>,
    scope: &Scope<'_>,
) -> Result<(Comparison, &'static str), Error> {
    let Kind::Text(name) = &node.kind else {
        return Err(refuse("numeric", "a comparison in quotes here", node, scope));
    };
    Ok(match name.as_ref() {
        b"=" => (Comparison::Equal, "="),
        b"<" => (Comparison::Below { included: false }, "<"),
        b"<=" => (Comparison::Below { included: true }, "<="),
        b">" => (Comparison::Above { included: false }, ">"),
        b">=" => (Comparison::Above { included: true }, ">="),
        unknown => {
            let hint = hint::comparison(unknown);
            let fault = Fault::Comparison(String::from_utf8_lossy(unknown).into_owned());
            return Err(scope.error(node.start, fault).with_hint(hint));
        }
    })
}

#[cfg(test)]
mod tests {
    use crate::EventPattern;

    /// The refusal of one element of the list at `detail.key`, and its hint.
    #[track_caller]
    fn check(element: &str, message: &str, hint: Option<&str>) {
        let pattern = format!(r#"{{"detail":{{"key":[{element}]}}}}"#);
        let error = EventPattern::parse(&pattern).unwrap_err();
        assert_eq!(error.to_string(), message);
        assert_eq!(error.hint(), hint);
    }

    #[test]
    fn an_unknown_operator_is_corrected() {
        let hint = Some("did you mean `prefix`?");
        check(r#"{"prefx":"x"}"#, "unknown operator `prefx` at detail.key[0]", hint);
        check(r#"{"PREFIX":"x"}"#, "unknown operator `PREFIX` at detail.key[0]", hint);
        let hint = Some("did you mean `equals-ignore-case`?");
        check(
            r#"{"equalsIgnoreCase":"x"}"#,
            "unknown operator `equalsIgnoreCase` at detail.key[0]",
            hint,
        );
    }

    #[test]
    fn names_of_other_languages_are_translated() {
        let hint = Some("write {\"wildcard\": \"*…*\"}");
        check(r#"{"contains":"x"}"#, "unknown operator `contains` at detail.key[0]", hint);
        let hint = Some("write {\"numeric\": [\">\", 0, \"<=\", 5]}");
        check(r#"{">=":5}"#, "unknown operator `>=` at detail.key[0]", hint);
    }

    #[test]
    fn a_far_name_is_answered_with_all_operators() {
        let hint = "the operators are prefix, suffix, equals-ignore-case, wildcard, anything-but, \
                    numeric, exists, cidr, exactly";
        check(r#"{"colour":"x"}"#, "unknown operator `colour` at detail.key[0]", Some(hint));
    }

    #[test]
    fn nested_fields_in_an_array_are_explained() {
        let hint = Some("nested fields are an object, not an object in an array");
        check(r#"{"name":["x"]}"#, "unknown operator `name` at detail.key[0]", hint);
    }

    #[test]
    fn quoted_numbers_are_explained() {
        check(
            r#"{"numeric":[">","5"]}"#,
            "`numeric` takes a number here, found a string at detail.key[0].numeric[1]",
            Some("numbers are not quoted"),
        );
    }

    #[test]
    fn quoted_truth_is_explained() {
        check(
            r#"{"exists":"true"}"#,
            "`exists` takes true or false, found a string at detail.key[0].exists",
            Some("true and false are not quoted"),
        );
    }

    #[test]
    fn unknown_comparisons_are_corrected() {
        check(
            r#"{"numeric":["==",5]}"#,
            "`numeric` takes `=`, `<`, `<=`, `>` or `>=`, found `==` at detail.key[0].numeric[0]",
            Some("did you mean `=`?"),
        );
    }

    #[test]
    fn a_range_goes_up() {
        check(
            r#"{"numeric":[">",5,"<",1]}"#,
            "the lower bound is not below the upper bound at detail.key[0].numeric",
            Some(
                "numbers outside of a range are two operators: \
                 {\"numeric\": [\"<\", 1]}, {\"numeric\": [\">\", 5]}",
            ),
        );
        check(
            r#"{"numeric":[">=",5,"<=",5]}"#,
            "the lower bound is not below the upper bound at detail.key[0].numeric",
            Some("for the one number, write {\"numeric\": [\"=\", 5]}"),
        );
        check(
            r#"{"numeric":["<",5,">",1]}"#,
            "`numeric` takes one comparison, or `>` or `>=` followed by `<` or `<=` at detail.key[0].numeric",
            Some("the lower bound comes first: [\">\", 0, \"<\", 5]"),
        );
    }

    #[test]
    fn two_operators_are_two_objects() {
        check(
            r#"{"prefix":"x","suffix":"y"}"#,
            "an operator object has one member, found 2 at detail.key[0]",
            Some("each operator is an object of its own in the array"),
        );
    }

    #[test]
    fn a_list_of_prefixes_is_several_operators() {
        check(
            r#"{"prefix":["x"]}"#,
            "`prefix` takes a string, found an array at detail.key[0].prefix",
            Some("write one `prefix` for each value"),
        );
    }

    #[test]
    fn mixed_exclusions_are_refused() {
        check(
            r#"{"anything-but":["x",1]}"#,
            "`anything-but` takes strings or numbers, not both in one list \
             at detail.key[0].anything-but[1]",
            Some("a string never equals a number; keep those of the event's kind"),
        );
    }

    #[test]
    fn a_single_address_is_a_plain_string() {
        check(
            r#"{"cidr":"10.0.0.1/32"}"#,
            "an IPv4 network has 0 to 31 bits at detail.key[0].cidr",
            Some("a single address is written as a plain string, without bits"),
        );
    }
}
