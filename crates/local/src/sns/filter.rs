//! Filter policies: which messages a subscription gets.
//!
//! SNS's language is that of event patterns, and the same engine is asked. What is different: a policy has five keys and
//! 150 combinations of values at most, and for message attributes no nesting. The attributes are an object to it: a
//! `Number` is a number, a `String.Array` an array, and a `Binary` is not there. SNS refuses some operators inside
//! `anything-but` (`suffix`, `wildcard`, `equals-ignore-case`); here they work.
// https://docs.aws.amazon.com/sns/latest/dg/sns-subscription-filter-policies.html

use std::borrow::Cow;

use serde_json::{Map, Value, value::RawValue};
use taskferry_event_pattern::{EventPattern, Matcher};

use super::attributes::Attributes;

/// The most keys, and the most combinations of values.
// https://docs.aws.amazon.com/sns/latest/dg/subscription-filter-policy-constraints.html
const KEYS_MAX: usize = 5;
const COMBINATIONS_MAX: u64 = 150;

/// What a policy is asked about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Scope {
    MessageAttributes,
    MessageBody,
}

impl Scope {
    pub(super) fn parse(name: &str) -> Option<Self> {
        match name {
            "MessageAttributes" => Some(Self::MessageAttributes),
            "MessageBody" => Some(Self::MessageBody),
            _ => None,
        }
    }
}

/// Why a policy is refused, as SNS words it behind the name of the attribute.
pub(super) fn check(policy: &str, scope: Scope) -> Result<(), String> {
    let keys: Map<String, Value> = serde_json::from_str::<&RawValue>(policy)
        .and_then(|_| serde_json::from_str(policy))
        .map_err(|error| format!("FilterPolicy: failed to parse JSON. {error}"))?;
    if keys.is_empty() {
        return Ok(());
    }
    let is_nested = |(key, value): (&String, &Value)| {
        let alternatives =
            key == "$or" && value.as_array().is_some_and(|it| it.iter().all(is_flat));
        value.is_object() || (key == "$or" && !alternatives)
    };
    if scope == Scope::MessageAttributes && keys.iter().any(is_nested) {
        return Err("Filter policy scope MessageAttributes does not support nested filter policy"
            .to_owned());
    }
    if keys.len() > KEYS_MAX {
        return Err(format!("FilterPolicy: Filter policy can not have more than {KEYS_MAX} keys"));
    }
    EventPattern::check(policy).map_err(|errors| {
        let reasons: Vec<_> = errors
            .iter()
            .map(|error| format!("{error}; line: {}, column: {}", error.line(), error.column()))
            .collect();
        format!("FilterPolicy: {}", reasons.join("; "))
    })?;
    if combinations(&keys, 1) > COMBINATIONS_MAX {
        return Err("FilterPolicy: Filter policy is too complex".to_owned());
    }
    Ok(())
}

/// Whether these are conditions of their own, none below another.
fn is_flat(alternative: &Value) -> bool {
    alternative.as_object().is_some_and(|fields| fields.values().all(Value::is_array))
}

/// "the total combination of values": the product over the keys, each by its values and its depth.
fn combinations(fields: &Map<String, Value>, depth: u64) -> u64 {
    fields
        .iter()
        .map(|(key, value)| match value {
            Value::Array(alternatives) if key == "$or" => alternatives
                .iter()
                .filter_map(Value::as_object)
                .map(|fields| combinations(fields, depth))
                .fold(0, u64::saturating_add),
            Value::Array(values) => depth.saturating_mul(values.len() as u64),
            Value::Object(fields) => combinations(fields, depth.saturating_add(1)),
            _ => 1,
        })
        .fold(1, u64::saturating_mul)
}

/// Whether a message passes.
pub(super) fn passes(policy: &str, scope: Scope, body: &str, attributes: &Attributes) -> bool {
    if serde_json::from_str::<Map<String, Value>>(policy).is_ok_and(|keys| keys.is_empty()) {
        return true;
    }
    let Ok(pattern) = EventPattern::parse(&rounded(policy)) else { return false };
    let asked = Matcher::new([pattern]);
    let matched = match scope {
        // "the message payload is a well-formed JSON object": what is none passes no policy.
        Scope::MessageBody if serde_json::from_str::<Map<String, Value>>(body).is_err() => {
            return false;
        }
        Scope::MessageBody => asked.matches(&rounded(body)),
        Scope::MessageAttributes => asked.matches(&rounded(&to_event(attributes))),
    };
    matched.is_ok_and(|matched| !matched.is_empty())
}

/// JSON with its numbers as SNS compares them.
// https://docs.aws.amazon.com/sns/latest/dg/subscription-filter-policy-constraints.html
// "five digits of accuracy after the decimal point"
fn rounded(json: &str) -> Cow<'_, str> {
    fn round(value: &mut Value) {
        match value {
            Value::Number(number) if number.is_f64() => {
                let scaled = number.as_f64().map(|it| (it * 1e5).round() / 1e5);
                if let Some(number) = scaled.and_then(serde_json::Number::from_f64) {
                    *value = Value::Number(number);
                }
            }
            Value::Array(items) => items.iter_mut().for_each(round),
            Value::Object(members) => members.values_mut().for_each(round),
            _ => {}
        }
    }
    if !json.contains('.') {
        return Cow::Borrowed(json);
    }
    let Ok(mut value) = serde_json::from_str(json) else { return Cow::Borrowed(json) };
    round(&mut value);
    Cow::Owned(value.to_string())
}

/// The attributes as the object that a policy is about.
fn to_event(attributes: &Attributes) -> String {
    let members = attributes.iter().filter_map(|(name, attribute)| {
        let text = attribute.string_value.as_deref()?;
        let is_json = |text: &str| serde_json::from_str::<&RawValue>(text).is_ok();
        let value = match attribute.data_type.as_str() {
            // A single value will do for an array of one.
            "String.Array" if is_json(text) && !text.trim_start().starts_with('{') => {
                text.to_owned()
            }
            "String.Array" => return None,
            kind if is_number(kind) && is_json(text.trim()) => text.trim().to_owned(),
            kind if is_number(kind) => Value::from(plain_number(text)?).to_string(),
            _ => Value::from(text).to_string(),
        };
        Some(format!("{}:{value}", Value::from(name.as_str())))
    });
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

fn is_number(kind: &str) -> bool {
    kind == "Number" || kind.starts_with("Number.")
}

/// A number that JSON does not spell so, such as `+5` or `.5`.
fn plain_number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sns::attributes::Attribute;

    fn attributes(given: &[(&str, &str, &str)]) -> Attributes {
        let attribute = |(name, kind, value): &(&str, &str, &str)| {
            let is_binary = kind.starts_with("Binary");
            let value = (*value).to_owned();
            let attribute = Attribute {
                data_type: (*kind).to_owned(),
                string_value: (!is_binary).then(|| value.clone()),
                binary_value: is_binary.then_some(value),
            };
            ((*name).to_owned(), attribute)
        };
        given.iter().map(attribute).collect()
    }

    #[track_caller]
    fn check_attributes(policy: &str, passing: bool) {
        let given = attributes(&[
            ("store", "String", "example_corp"),
            ("price", "Number", "210.75"),
            ("interests", "String.Array", r#"["rugby", "baseball"]"#),
            ("size", "String.Array", "100"),
            ("nested", "String.Array", r#"{"a":1}"#),
            ("raw", "Binary", "AgME"),
        ]);
        assert_eq!(passes(policy, Scope::MessageAttributes, "", &given), passing, "{policy}");
    }

    #[test]
    fn attributes_are_filtered_by_type() {
        check_attributes("{}", true);
        check_attributes(r#"{"store":["example_corp"],"price":[{"numeric":[">=",100]}]}"#, true);
        check_attributes(r#"{"price":["210.75"]}"#, false);
        check_attributes(r#"{"price":[210.750]}"#, true);
        check_attributes(r#"{"price":[210.750001]}"#, true);
        check_attributes(r#"{"price":[210.75001]}"#, false);
        check_attributes(r#"{"price":[{"numeric":["=",210.7500012]}]}"#, true);
        check_attributes(r#"{"interests":["baseball"]}"#, true);
        check_attributes(r#"{"interests":[{"anything-but":["rugby","tennis"]}]}"#, true);
        check_attributes(r#"{"interests":["tennis"]}"#, false);
        check_attributes(r#"{"size":[100, 500]}"#, true);
        check_attributes(r#"{"size":[500]}"#, false);
        check_attributes(r#"{"nested":[{"exists":true}]}"#, false);
        check_attributes(r#"{"raw":[{"exists":true}]}"#, false);
        check_attributes(r#"{"gone":[{"exists":false}],"store":[{"prefix":"ex"}]}"#, true);
        check_attributes(r#"{"store":["example_corp"],"gone":["x"]}"#, false);
        check_attributes(r#"{"$or":[{"gone":["x"]},{"store":["example_corp"]}]}"#, true);
    }

    #[test]
    fn bodies_are_filtered_where_they_are_objects() {
        let check = |body: &str, passing: bool| {
            let policy = r#"{"a":{"b":["x"]}}"#;
            let none = Attributes::new();
            assert_eq!(passes(policy, Scope::MessageBody, body, &none), passing, "{body}");
        };
        check(r#"{"a":{"b":"x"}}"#, true);
        check(r#"{"a":{"b":["y","x"]}}"#, true);
        check(r#"{"a":{"b":"y"}}"#, false);
        check("not JSON", false);
        check("[]", false);
    }

    #[test]
    fn a_policy_that_sns_does_not_take_is_refused() {
        let refused = |policy: &str, scope| check(policy, scope).unwrap_err();
        let nested = r#"{"a":{"b":["x"]}}"#;
        assert!(refused(nested, Scope::MessageAttributes).contains("does not support nested"));
        assert_eq!(check(nested, Scope::MessageBody), Ok(()));
        let six = r#"{"a":[1],"b":[1],"c":[1],"d":[1],"e":[1],"f":[1]}"#;
        assert!(refused(six, Scope::MessageBody).contains("more than 5 keys"));
        let many: Vec<String> = (0..151).map(|n| n.to_string()).collect();
        let many = format!("{{\"a\":[{}]}}", many.join(","));
        assert!(refused(&many, Scope::MessageAttributes).contains("too complex"));
        // 4 values three levels deep and 3 two levels deep: 4 * 3 * 3 * 2.
        let deep = r#"{"a":{"b":{"c":[1,2,3,4]}},"d":{"e":[1,2,3]}}"#;
        assert_eq!(check(deep, Scope::MessageBody), Ok(()));
        assert!(refused("{", Scope::MessageBody).contains("failed to parse JSON"));
        assert!(refused(r#"{"a":[{"no":1}]}"#, Scope::MessageBody).starts_with("FilterPolicy: "));
    }
}
