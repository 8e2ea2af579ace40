//! What the author of a refused pattern may have meant, or is to write instead.
//!
//! Asked by `parse`, `operator` and `warning` once something is known to be wrong; decides nothing.
//! A hint is one line, and shows the author's own text where that is short.

use crate::{
    json::{Kind, Node},
    operator::OPERATORS,
};

/// Longest piece of the author's text that a hint repeats, in bytes.
const QUOTED_MAX: usize = 80;

/// Names that other languages have for what EventBridge calls otherwise, and what to write.
const ALIASES: &[(&[&str], &str)] = &[
    (
        &["contains", "includes", "like", "glob", "match", "regex", "regexp"],
        "{\"wildcard\": \"*…*\"}",
    ),
    (&["startswith", "beginswith", "begins"], "{\"prefix\": …}"),
    (&["endswith", "ends", "extension"], "{\"suffix\": …}"),
    (
        &["not", "notequals", "notequal", "ne", "neq", "notin", "nin", "except"],
        "{\"anything-but\": …}",
    ),
    (
        &["equals", "equal", "eq", "is", "in", "anyof", "oneof", "any"],
        "the values themselves, side by side in the array",
    ),
    (
        &[
            "gt",
            "gte",
            "lt",
            "lte",
            "<",
            "<=",
            ">",
            ">=",
            "=",
            "range",
            "between",
            "greaterthan",
            "lessthan",
            "min",
            "max",
            "number",
        ],
        "{\"numeric\": [\">\", 0, \"<=\", 5]}",
    ),
    (
        &["exist", "present", "missing", "absent", "null", "defined"],
        "{\"exists\": true} or {\"exists\": false}",
    ),
    (&["ip", "ipaddress", "ipaddressinrange", "subnet", "network"], "{\"cidr\": \"10.0.0.0/8\"}"),
    (&["ignorecase", "equalsignorecase", "iequals"], "{\"equals-ignore-case\": …}"),
    (&["or", "$or"], "\"$or\": [{…}, {…}] in place of a field"),
];

/// For an object in a field's list that holds no operator.
pub(crate) fn unknown_operator(name: &str, value: &Node<'_>) -> String {
    if let Some(nearest) = nearest(name, &OPERATORS) {
        return format!("did you mean `{nearest}`?");
    }
    let plain = plain(name);
    if let Some((_, write)) = ALIASES.iter().find(|(names, _)| names.contains(&plain.as_str())) {
        return format!("write {write}");
    }
    match value.kind {
        Kind::Array(_) | Kind::Object(_) => {
            "nested fields are an object, not an object in an array".to_owned()
        }
        _ => format!("the operators are {}", OPERATORS.join(", ")),
    }
}

/// For an operator that another does not take.
pub(crate) fn inner_operator(name: &str, allowed: &[&str]) -> Option<String> {
    if let Some(nearest) = nearest(name, allowed) {
        return (nearest != name).then(|| format!("did you mean `{nearest}`?"));
    }
    match name {
        "numeric" => Some("write the opposite comparison: {\"numeric\": [\"<=\", 5]}".to_owned()),
        "exists" => Some("write {\"exists\": false} by itself".to_owned()),
        "exactly" => Some("write the string itself".to_owned()),
        _ => None,
    }
}

/// For an operator that stands where a field's name does.
pub(crate) fn operator_as_field(name: &str, value: &Node<'_>, source: &str) -> String {
    let written =
        |value: &Node<'_>| format!("{{\"{name}\": {}}}", quotable(&source[value.start..value.end]));
    let operators = match &value.kind {
        // These take lists; for the others, each value is an operator of its own.
        Kind::Array(elements) if !matches!(name, "numeric" | "anything-but") => {
            elements.iter().map(written).collect::<Vec<_>>().join(", ")
        }
        _ => written(value),
    };
    format!("an operator stands in an array: [{}]", quotable(&operators))
}

/// For what stands in `numeric` in place of a comparison.
pub(crate) fn comparison(found: &[u8]) -> Option<String> {
    let meant = match found {
        b"==" | b"===" | b"eq" | b"is" => "`=`",
        b"!=" | b"<>" | b"ne" => "`{\"anything-but\": …}`",
        b"=<" | b"lte" | b"\xe2\x89\xa4" => "`<=`",
        b"=>" | b"gte" | b"\xe2\x89\xa5" => "`>=`",
        b"lt" => "`<`",
        b"gt" => "`>`",
        _ => return None,
    };
    Some(format!("did you mean {meant}?"))
}

/// For a range that holds no number.
pub(crate) fn empty_interval(low: f64, high: f64) -> String {
    if low > high {
        return format!(
            "numbers outside of a range are two operators: \
             {{\"numeric\": [\"<\", {high}]}}, {{\"numeric\": [\">\", {low}]}}"
        );
    }
    format!("for the one number, write {{\"numeric\": [\"=\", {low}]}}")
}

/// For text that is not JSON, by what stands around the place where that is seen.
pub(crate) fn syntax(text: &str, at: usize) -> Option<String> {
    let (before, rest) = (text.get(..at)?, text.get(at..)?);
    let last = before.trim_end().chars().next_back();
    let word =
        rest.split(|c: char| !c.is_alphanumeric() && !matches!(c, '-' | '_' | '.')).next()?;
    let hint = match rest.chars().next() {
        None if text.trim().is_empty() => {
            "a pattern is an object: {\"source\": [\"…\"]}".to_owned()
        }
        None => "the text is cut off: a quote or bracket is still open".to_owned(),
        Some('\u{feff}') => "leave out the byte order mark before the text".to_owned(),
        Some('\'' | '“' | '”') => "strings and names are in double quotes: \"…\"".to_owned(),
        Some('/' | '#') => "JSON has no comments".to_owned(),
        Some(']' | '}') if last == Some(',') => "leave out the comma before it".to_owned(),
        Some('=') => "a name and its value are separated by `:`".to_owned(),
        Some('"' | '{' | '[') if last != Some(',') => {
            "a comma or colon is missing before it".to_owned()
        }
        Some(c) if c.is_control() => format!("write `{}` in the string", c.escape_default()),
        Some('0'..='9' | '+' | '.') => {
            "numbers are written like 5, -0.5 or 1e3, without `+` or a zero in front".to_owned()
        }
        Some(c) if c.is_alphabetic() && matches!(last, Some('{' | '[' | ',' | ':') | None) => {
            match word.to_lowercase().as_str() {
                plain @ ("true" | "false" | "null") => format!("write `{plain}`"),
                "none" | "nil" | "undefined" => "write `null`".to_owned(),
                _ => format!("put it into double quotes: \"{}\"", quotable(word)),
            }
        }
        Some(_) => return None,
    };
    Some(hint)
}

/// The candidate that the name is a slip of, if any.
pub(crate) fn nearest<'c>(name: &str, candidates: &[&'c str]) -> Option<&'c str> {
    // Long names come from hostile texts only; comparing them costs their product.
    if name.len() > QUOTED_MAX {
        return None;
    }
    let folded = name.to_lowercase().replace('_', "-");
    candidates
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(&folded, candidate), *candidate))
        .min()
        .filter(|(distance, candidate)| *distance <= candidate.len() / 3)
        .map(|(_, candidate)| candidate)
}

/// A name without what people spell differently.
fn plain(name: &str) -> String {
    name.to_lowercase().replace(['-', '_', ' '], "")
}

/// The text, or a sign for it if it is long.
pub(crate) fn quotable(text: &str) -> &str {
    if text.len() > QUOTED_MAX || text.contains('\n') { "…" } else { text }
}
