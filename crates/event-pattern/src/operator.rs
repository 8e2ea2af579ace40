//! One element of a field's list: a plain value, or an object that holds an operator.
//!
//! Called by `parse` for each element. Refuses whatever it does not know, with the place and, where
//! it can guess, what was meant.

use crate::{
    address::{Address, Network},
    clause::{Bound, Clause, Interval},
    error::{Error, Fault},
    json::{Kind, Member, Node, Shape},
    number,
    parse::Scope,
    text::{AnyCase, Wildcard},
};

const OPERATORS: [&str; 9] = [
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

const ANYTHING_BUT_TAKES: &str = "a string, a number, a list of either, or one of `prefix`, \
                                  `suffix`, `equals-ignore-case` and `wildcard`";

/// Whether a name cannot be a field's inside `$or`.
pub(crate) fn is_reserved(name: &[u8]) -> bool {
    OPERATORS.iter().chain(&RESERVED).any(|reserved| reserved.as_bytes() == name)
}

/// Reads one element of a field's list.
pub(crate) fn read(node: &Node<'_>, scope: &Scope<'_>) -> Result<Clause, Error> {
    match &node.kind {
        Kind::Text(text) => Ok(match Address::read(text) {
            Some(address) => Clause::Address(address),
            None => Clause::Text(text.to_vec()),
        }),
        Kind::Number(raw) => {
            Ok(Clause::Number { raw: (*raw).to_owned(), value: number::comparable(raw) })
        }
        Kind::True => Ok(Clause::True),
        Kind::False => Ok(Clause::False),
        Kind::Null => Ok(Clause::Null),
        Kind::Array(_) => Err(scope.error(node.start, Fault::NotAValue)),
        Kind::Object(members) => operator(node, members, scope),
    }
}

fn operator(node: &Node<'_>, members: &[Member<'_>], scope: &Scope<'_>) -> Result<Clause, Error> {
    let member = only_member(node, members, scope)?;
    let operand = &member.value;
    let inner = scope.member(&member.name);
    match member.name.as_ref() {
        b"exactly" => Ok(Clause::Text(text("exactly", operand, &inner)?.to_vec())),
        b"prefix" => affix("prefix", operand, &inner),
        b"suffix" => affix("suffix", operand, &inner),
        b"equals-ignore-case" => {
            Ok(Clause::AnyCase(AnyCase::new(text("equals-ignore-case", operand, &inner)?)))
        }
        b"wildcard" => wildcard(operand, &inner),
        b"anything-but" => Ok(Clause::AnythingBut(anything_but(operand, &inner)?)),
        b"numeric" => Ok(Clause::Numeric(numeric(operand, &inner)?)),
        b"exists" => match operand.kind {
            Kind::True => Ok(Clause::Exists),
            Kind::False => Ok(Clause::Absent),
            _ => {
                let quoted = operand.shape() == Shape::Text;
                let hint = quoted.then(|| "true and false are not quoted".to_owned());
                Err(refuse("exists", "true or false", operand, &inner).with_hint(hint))
            }
        },
        b"cidr" => {
            Network::read(text("cidr", operand, &inner)?).map(Clause::Network).map_err(|error| {
                let single = matches!(error, crate::address::Error::BitsRange { .. });
                let hint = "a single address is written as a plain string, without bits";
                inner
                    .error(operand.start, Fault::Network(error))
                    .with_hint(single.then(|| hint.to_owned()))
            })
        }
        _ => Err(unknown_operator(member, scope)),
    }
}

fn unknown_operator(member: &Member<'_>, scope: &Scope<'_>) -> Error {
    let name = String::from_utf8_lossy(&member.name).into_owned();
    let hint = nearest(&name).unwrap_or_else(|| match member.value.kind {
        Kind::Array(_) | Kind::Object(_) => {
            "nested fields are an object, not an object in an array".to_owned()
        }
        _ => format!("the operators are {}", OPERATORS.join(", ")),
    });
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

fn nearest(name: &str) -> Option<String> {
    let folded = name.to_lowercase().replace('_', "-");
    OPERATORS
        .iter()
        .map(|operator| (strsim::damerau_levenshtein(&folded, operator), operator))
        .min()
        .filter(|(distance, operator)| *distance <= operator.len() / 3)
        .map(|(_, operator)| format!("did you mean `{operator}`?"))
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
        let list = matches!(operand.kind, Kind::Array(_));
        let hint = list.then(|| format!("write one `{operator}` for each value"));
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
        return Err(inner_operator(name, "a string or `equals-ignore-case`", member, scope));
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
    member: &Member<'_>,
    scope: &Scope<'_>,
) -> Error {
    let found = String::from_utf8_lossy(&member.name).into_owned();
    scope.error(member.name_at, Fault::InnerOperator { outer, allowed, found })
}

fn wildcard(operand: &Node<'_>, scope: &Scope<'_>) -> Result<Clause, Error> {
    Wildcard::read(text("wildcard", operand, scope)?)
        .map(Clause::Wildcard)
        .map_err(|error| scope.error(operand.start, Fault::Wildcard(error)))
}

/// What `anything-but` excludes.
fn anything_but(operand: &Node<'_>, scope: &Scope<'_>) -> Result<Vec<Clause>, Error> {
    let refuse_operand = || refuse("anything-but", ANYTHING_BUT_TAKES, operand, scope);
    match &operand.kind {
        Kind::Text(_) | Kind::Number(_) => Ok(vec![excluded_value(operand, scope)?]),
        Kind::Array(elements) => {
            let first = elements
                .first()
                .ok_or_else(|| scope.error(operand.start, Fault::EmptyList("anything-but")))?;
            let mut clauses = Vec::with_capacity(elements.len());
            for (index, element) in elements.iter().enumerate() {
                let inner = scope.element(index);
                clauses.push(excluded_value(element, &inner)?);
                if element.shape() != first.shape() {
                    return Err(inner.error(element.start, Fault::MixedList));
                }
            }
            Ok(clauses)
        }
        Kind::Object(members) => excluded_operator(operand, members, scope),
        Kind::True | Kind::False | Kind::Null => Err(refuse_operand()),
    }
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
) -> Result<Vec<Clause>, Error> {
    let member = only_member(node, members, scope)?;
    let inner = scope.member(&member.name);
    let name = match member.name.as_ref() {
        b"prefix" => "prefix",
        b"suffix" => "suffix",
        b"equals-ignore-case" => "equals-ignore-case",
        b"wildcard" => "wildcard",
        _ => return Err(inner_operator("anything-but", ANYTHING_BUT_TAKES, member, scope)),
    };
    let read = |node: &Node<'_>, scope: &Scope<'_>| {
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
    };
    match &member.value.kind {
        Kind::Array(elements) if elements.is_empty() => {
            Err(inner.error(member.value.start, Fault::EmptyList(name)))
        }
        Kind::Array(elements) => elements
            .iter()
            .enumerate()
            .map(|(index, element)| read(element, &inner.element(index)))
            .collect(),
        _ => Ok(vec![read(&member.value, &inner)?]),
    }
}

fn bound(node: &Node<'_>, raw: &str, scope: &Scope<'_>) -> Result<f64, Error> {
    number::comparable(raw).ok_or_else(|| scope.error(node.start, Fault::NotComparable))
}

enum Comparison {
    Equal,
    Below { included: bool },
    Above { included: bool },
}

fn numeric(operand: &Node<'_>, scope: &Scope<'_>) -> Result<Interval, Error> {
    let Kind::Array(elements) = &operand.kind else {
        return Err(refuse("numeric", "a list such as [\">\", 0, \"<=\", 5]", operand, scope));
    };
    if elements.is_empty() {
        return Err(scope.error(operand.start, Fault::EmptyList("numeric")));
    }
    let (first, value) = comparison(elements, 0, operand, scope)?;
    let (interval, more) = match first {
        Comparison::Equal => {
            let only = Some(Bound { value, included: true });
            (Interval { low: only, high: only }, elements.get(2))
        }
        Comparison::Below { included } => {
            (Interval { low: None, high: Some(Bound { value, included }) }, elements.get(2))
        }
        Comparison::Above { included } => {
            let low = Bound { value, included };
            let high = upper_bound(elements, low, operand, scope)?;
            (Interval { low: Some(low), high }, elements.get(4))
        }
    };
    match more {
        None => Ok(interval),
        Some(more) => Err(scope.error(more.start, Fault::Comparisons)),
    }
}

/// The bound that may follow the lower one.
fn upper_bound(
    elements: &[Node<'_>],
    low: Bound,
    list: &Node<'_>,
    scope: &Scope<'_>,
) -> Result<Option<Bound>, Error> {
    let Some(node) = elements.get(2) else { return Ok(None) };
    let (second, value) = comparison(elements, 2, list, scope)?;
    let Comparison::Below { included } = second else {
        return Err(scope.error(node.start, Fault::Comparisons));
    };
    if low.value >= value {
        return Err(scope.error(list.start, Fault::EmptyInterval));
    }
    Ok(Some(Bound { value, included }))
}

/// The comparison at `index` and the number after it.
fn comparison(
    elements: &[Node<'_>],
    index: usize,
    list: &Node<'_>,
    scope: &Scope<'_>,
) -> Result<(Comparison, f64), Error> {
    let (node, inner) = (&elements[index], scope.element(index));
    let Kind::Text(name) = &node.kind else {
        return Err(refuse("numeric", "a comparison in quotes here", node, &inner));
    };
    let (comparison, name) = match name.as_ref() {
        b"=" => (Comparison::Equal, "="),
        b"<" => (Comparison::Below { included: false }, "<"),
        b"<=" => (Comparison::Below { included: true }, "<="),
        b">" => (Comparison::Above { included: false }, ">"),
        b">=" => (Comparison::Above { included: true }, ">="),
        unknown => {
            let hint = match unknown {
                b"==" => Some("did you mean `=`?"),
                b"!=" | b"<>" => Some("did you mean `{\"anything-but\": …}`?"),
                b"=<" => Some("did you mean `<=`?"),
                b"=>" => Some("did you mean `>=`?"),
                _ => None,
            };
            let fault = Fault::Comparison(String::from_utf8_lossy(unknown).into_owned());
            return Err(inner.error(node.start, fault).with_hint(hint.map(str::to_owned)));
        }
    };
    let Some(value) = elements.get(index + 1) else {
        return Err(scope.error(list.start, Fault::NoBound(name)));
    };
    let inner = scope.element(index + 1);
    let Kind::Number(raw) = value.kind else {
        let quoted = value.shape() == Shape::Text;
        let hint = quoted.then(|| "numbers are not quoted".to_owned());
        return Err(refuse("numeric", "a number here", value, &inner).with_hint(hint));
    };
    Ok((comparison, bound(value, raw, &inner)?))
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
    fn a_far_name_is_answered_with_all_operators() {
        let hint = "the operators are prefix, suffix, equals-ignore-case, wildcard, anything-but, \
                    numeric, exists, cidr, exactly";
        check(r#"{"contains":"x"}"#, "unknown operator `contains` at detail.key[0]", Some(hint));
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
            None,
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
            None,
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
