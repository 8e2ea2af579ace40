//! What the members of a request are called and must look like, as the service model has it.
//!
//! Every operation reads its request through here, so that a wrong JSON type, a missing member and a value outside its
//! enumeration are refused alike everywhere. Members that the model does not know are dropped, as ECS drops them.

use std::{collections::HashMap, sync::LazyLock};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::protocol::Exception;

/// What a member must be.
#[derive(Debug)]
enum Shape {
    String,
    Integer,
    Boolean,
    List(Box<Shape>),
    Map(Box<Shape>),
    Named(&'static str),
}

#[derive(Debug)]
struct Member {
    name: &'static str,
    required: bool,
    shape: Shape,
}

#[derive(Debug)]
enum Named {
    Structure(Vec<Member>),
    Enumeration(Vec<&'static str>),
}

static MODEL: LazyLock<HashMap<&'static str, Named>> =
    LazyLock::new(|| parse_model(include_str!("shapes.txt")));

/// Reads an operation's request.
///
/// # Errors
///
/// `SerializationException` for what is no JSON or of another type than the model's; the exception with which the
/// operation refuses a parameter for a missing member or an unknown enumeration value.
pub(super) fn read<T: DeserializeOwned>(operation: &str, request: Value) -> Result<T, Exception> {
    decode(conform(operation, request)?)
}

/// Turns a conforming request into its type.
pub(super) fn decode<T: DeserializeOwned>(request: Value) -> Result<T, Exception> {
    serde_json::from_value(request).map_err(|error| serialization(error.to_string()))
}

/// [`decode`] of a request that is needed beside its type.
pub(super) fn decode_ref<'a, T: Deserialize<'a>>(request: &'a Value) -> Result<T, Exception> {
    T::deserialize(request).map_err(|error| serialization(error.to_string()))
}

/// Checks an operation's request, and keeps of it what the model knows.
pub(super) fn conform(operation: &str, request: Value) -> Result<Value, Exception> {
    let name = format!("{operation}Request");
    let (name, shape) = MODEL.get_key_value(name.as_str()).expect("each operation has a shape");
    let refuse = match operation {
        "RegisterTaskDefinition" => "ClientException",
        _ => "InvalidParameterException",
    };
    Conformance { refuse }.named(name, shape, request, "")
}

struct Conformance {
    refuse: &'static str,
}

impl Conformance {
    fn value(&self, shape: &Shape, value: Value, path: &str) -> Result<Value, Exception> {
        match (shape, value) {
            (Shape::String, value @ Value::String(_))
            | (Shape::Boolean, value @ Value::Bool(_)) => Ok(value),
            (Shape::Integer, Value::Number(number)) => match number.as_i64() {
                Some(integer) if i32::try_from(integer).is_ok() => Ok(Value::Number(number)),
                Some(_) => {
                    Err(serialization(format!("{number} at {path} is not a 32-bit integer")))
                }
                None => Err(unexpected(path, "DECIMAL_VALUE", "an Integer")),
            },
            (Shape::List(shape), Value::Array(items)) => items
                .into_iter()
                .enumerate()
                .map(|(index, item)| self.value(shape, item, &format!("{path}[{index}]")))
                .collect::<Result<_, _>>()
                .map(Value::Array),
            (Shape::Map(shape), Value::Object(entries)) => entries
                .into_iter()
                .map(|(key, value)| {
                    let value = self.value(shape, value, &format!("{path}.{key}"))?;
                    Ok((key, value))
                })
                .collect::<Result<_, _>>()
                .map(Value::Object),
            (Shape::Named(name), value) => {
                let shape = MODEL.get(name).expect("the model names what it defines");
                self.named(name, shape, value, path)
            }
            (shape, value) => Err(unexpected(path, kind(&value), wanted(shape))),
        }
    }

    fn named(
        &self,
        name: &str,
        shape: &Named,
        value: Value,
        path: &str,
    ) -> Result<Value, Exception> {
        match (shape, value) {
            (Named::Structure(members), Value::Object(given)) => {
                self.structure(members, given, path).map(Value::Object)
            }
            (Named::Enumeration(allowed), Value::String(value)) => {
                if allowed.contains(&value.as_str()) {
                    return Ok(Value::String(value));
                }
                let allowed = allowed.join(", ");
                let message = format!("Invalid value '{value}' for {path}. Valid: {allowed}.");
                Err(Exception::client(self.refuse, message))
            }
            (Named::Structure(_), value) => {
                let path = if path.is_empty() { name } else { path };
                Err(unexpected(path, kind(&value), "a structure"))
            }
            (Named::Enumeration(_), value) => Err(unexpected(path, kind(&value), "a String")),
        }
    }

    fn structure(
        &self,
        members: &[Member],
        mut given: Map<String, Value>,
        path: &str,
    ) -> Result<Map<String, Value>, Exception> {
        let mut kept = Map::new();
        let mut missing = None;
        for member in members {
            let path = if path.is_empty() {
                member.name.to_owned()
            } else {
                format!("{path}.{}", member.name)
            };
            match given.remove(member.name) {
                None | Some(Value::Null) if member.required => {
                    missing.get_or_insert(path);
                }
                None | Some(Value::Null) => {}
                Some(value) => {
                    let value = self.value(&member.shape, value, &path)?;
                    if member.required && value.as_str() == Some("") {
                        missing.get_or_insert(path);
                    } else {
                        kept.insert(member.name.to_owned(), value);
                    }
                }
            }
        }
        // Last: a wrong type anywhere keeps a request from being understood at all.
        match missing {
            None => Ok(kept),
            Some(path) => {
                let message = format!("{} can not be blank.", capitalised(&path));
                Err(Exception::client(self.refuse, message))
            }
        }
    }
}

fn serialization(message: impl Into<String>) -> Exception {
    Exception::client("SerializationException", message)
}

fn unexpected(path: &str, found: &str, wanted: &str) -> Exception {
    serialization(format!("{found} at {path} can not be converted to {wanted}"))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "NULL_VALUE",
        Value::Bool(true) => "TRUE_VALUE",
        Value::Bool(false) => "FALSE_VALUE",
        Value::Number(_) => "NUMBER_VALUE",
        Value::String(_) => "STRING_VALUE",
        Value::Array(_) => "START_ARRAY",
        Value::Object(_) => "START_OBJECT",
    }
}

fn wanted(shape: &Shape) -> &'static str {
    match shape {
        Shape::String => "a String",
        Shape::Integer => "an Integer",
        Shape::Boolean => "a Boolean",
        Shape::List(_) => "a list",
        Shape::Map(_) | Shape::Named(_) => "a map",
    }
}

fn capitalised(path: &str) -> String {
    let mut chars = path.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn parse_model(source: &'static str) -> HashMap<&'static str, Named> {
    let definitions = source.lines().filter(|line| !line.starts_with('#'));
    definitions
        .map(|line| {
            let (head, body) = line.split_once(':').expect("a definition has a colon");
            let words = body.split_whitespace();
            match head.split_once(' ').expect("a definition has a kind and a name") {
                ("enum", name) => (name, Named::Enumeration(words.collect())),
                (_, name) => (name, Named::Structure(words.map(parse_member).collect())),
            }
        })
        .collect()
}

fn parse_member(word: &'static str) -> Member {
    let (name, shape) = word.split_once('=').expect("a member has a shape");
    let (name, required) = name.strip_suffix('*').map_or((name, false), |name| (name, true));
    Member { name, required, shape: parse_shape(shape) }
}

fn parse_shape(word: &'static str) -> Shape {
    let within = |open, close| word.strip_prefix(open).and_then(|word| word.strip_suffix(close));
    match word {
        "string" => Shape::String,
        "integer" => Shape::Integer,
        "boolean" => Shape::Boolean,
        _ => {
            if let Some(item) = within('[', ']') {
                Shape::List(Box::new(parse_shape(item)))
            } else if let Some(value) = within('{', '}') {
                Shape::Map(Box::new(parse_shape(value)))
            } else {
                Shape::Named(word)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(operation: &str, request: &Value, expected: Result<&Value, (&str, &str)>) {
        let conforming = conform(operation, request.clone());
        let conforming = conforming.as_ref().map_err(|e| (e.name, e.message.as_str()));
        assert_eq!(conforming, expected);
    }

    #[test]
    fn every_name_in_the_model_is_defined() {
        fn defined(shape: &Shape) -> bool {
            match shape {
                Shape::List(shape) | Shape::Map(shape) => defined(shape),
                Shape::Named(name) => MODEL.contains_key(name),
                Shape::String | Shape::Integer | Shape::Boolean => true,
            }
        }
        for (name, shape) in &*MODEL {
            if let Named::Structure(members) = shape {
                assert!(members.iter().all(|member| defined(&member.shape)), "{name}");
            }
        }
    }

    #[test]
    fn unknown_and_null_members_are_dropped() {
        let request = json!({ "taskDefinition": "a", "group": null, "novel": 1 });
        check("RunTask", &request, Ok(&json!({ "taskDefinition": "a" })));
    }

    #[test]
    fn a_missing_member_is_refused() {
        let refused = ("InvalidParameterException", "TaskDefinition can not be blank.");
        check("RunTask", &json!({}), Err(refused));
        check("RunTask", &json!({ "taskDefinition": "" }), Err(refused));
        let refused = ("ClientException", "Family can not be blank.");
        check("RegisterTaskDefinition", &json!({ "containerDefinitions": [] }), Err(refused));
    }

    #[test]
    fn a_wrong_type_is_refused_before_a_missing_member() {
        let message = "STRING_VALUE at count can not be converted to an Integer";
        check("RunTask", &json!({ "count": "1" }), Err(("SerializationException", message)));
        let message = "NUMBER_VALUE at tags[0].key can not be converted to a String";
        let request = json!({ "taskDefinition": "a", "tags": [{ "key": 1 }] });
        check("RunTask", &request, Err(("SerializationException", message)));
        let message = "NULL_VALUE at overrides.containerOverrides[0].command[0] can not be converted \
                       to a String";
        let overrides = json!({ "containerOverrides": [{ "command": [null] }] });
        let request = json!({ "taskDefinition": "a", "overrides": overrides });
        check("RunTask", &request, Err(("SerializationException", message)));
    }

    #[test]
    fn a_value_outside_its_enumeration_is_refused() {
        let message = "Invalid value 'MOON' for launchType. Valid: EC2, FARGATE, EXTERNAL, \
                       MANAGED_INSTANCES.";
        let request = json!({ "taskDefinition": "a", "launchType": "MOON" });
        check("RunTask", &request, Err(("InvalidParameterException", message)));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for request in [json!([]), json!(1), json!(null)] {
            let refused = conform("DescribeTasks", request).unwrap_err();
            assert_eq!(refused.name, "SerializationException");
        }
    }
}
