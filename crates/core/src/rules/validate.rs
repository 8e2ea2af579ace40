//! Holds a rules file's tree against its JSON Schema.
//!
//! Reads the part of JSON Schema that `schema` makes, and finds every fault rather
//! than the first, each with its place, what is allowed there, and the nearest
//! right name. What a schema cannot say is checked in `checks`.

use serde_json::{Map, Value};

use super::{
    fault::{Faults, Span, list, nearest, suggest},
    scalar::{self, Scalar},
    tree::{Kind, Node},
};
use crate::template;

/// Reports every place where `root` is not what `schema` says.
pub(super) fn validate(schema: &Value, root: &Node, faults: &mut Faults) {
    let place = Place { key: None, span: root.span };
    Validator { definitions: &schema["$defs"], faults }.value(schema, root, &place);
}

/// Where one says what a name that is known elsewhere means under this key.
fn said_elsewhere(key: Option<&str>, name: &str) -> Option<&'static str> {
    match (key?, name) {
        ("classes", "exitCode") => Some(
            "exit codes are what `retry` itself is about: say `attempts` and `backoff` beside `classes`, and `exitCodes` for single ones",
        ),
        ("classes", "stoppedByUser" | "refused") => Some("what ends so is never tried again"),
        _ => None,
    }
}

struct Validator<'a, 'f> {
    definitions: &'a Value,
    faults: &'f mut Faults,
}

/// The key whose value is looked at, for messages about values that are missing.
struct Place<'a> {
    key: Option<&'a str>,
    span: Span,
}

impl<'a> Validator<'a, '_> {
    fn value(&mut self, schema: &'a Value, node: &Node, place: &Place<'_>) {
        let Some(schema) = schema.as_object() else { return };
        if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            let name = target.rsplit('/').next().unwrap_or_default();
            let definitions = self.definitions;
            return self.value(&definitions[name], node, place);
        }
        if matches!(node.kind, Kind::Broken) {
            return;
        }
        if matches!(node.kind, Kind::Null) && accepts(schema) {
            let what = place.key.map_or("the value".to_owned(), |key| format!("`{key}`"));
            let expected = self.expected(schema);
            self.faults
                .error(place.span, format!("{what} has no value"))
                .hint(format!("give it {expected}, or leave it out"));
            return;
        }
        if let Some(options) = schema.get("anyOf").and_then(Value::as_array) {
            return self.templated(options, node, place);
        }
        if let Some(words) = self.words(schema) {
            return self.word(&words, node, false);
        }
        let Some(expected) = schema.get("type").and_then(Value::as_str) else { return };
        match (expected, &node.kind) {
            ("object", Kind::Map(_)) => self.object(schema, node, place),
            ("array", Kind::List(items)) => {
                self.length(schema, items.len(), place);
                for item in items {
                    let place = Place { key: place.key, span: item.span };
                    self.value(&schema["items"], item, &place);
                }
            }
            ("string", Kind::Text(_))
            | ("boolean", Kind::Bool(_))
            | ("number", Kind::Number(_)) => {}
            ("integer", Kind::Number(_)) => self.integer(schema, node),
            _ => {
                let wanted = self.expected(schema);
                self.wrong_type(&wanted, schema, node);
            }
        }
    }

    /// A value, or the text of a template that renders to one (see `ecs::Templated`).
    fn templated(&mut self, options: &'a [Value], node: &Node, place: &Place<'_>) {
        if node.text().is_some_and(template::is_template) {
            return;
        }
        let Some(value) = options.first() else { return };
        if let Some(words) = value.as_object().and_then(|value| self.words(value)) {
            return self.word(&words, node, true);
        }
        match (value["type"].as_str(), &node.kind) {
            (Some("integer"), Kind::Number(_)) | (Some("boolean"), Kind::Bool(_)) => {
                self.value(value, node, place);
            }
            _ => {
                let wanted = value.as_object().map(|value| self.expected(value));
                let wanted = format!("{} or a template", wanted.unwrap_or_default());
                self.wrong_type(&wanted, &Map::new(), node);
            }
        }
    }

    fn object(&mut self, schema: &'a Map<String, Value>, node: &Node, place: &Place<'_>) {
        let empty = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
        for entry in node.entries() {
            let inner = Place { key: Some(&entry.key), span: entry.key_span };
            match (
                schema.get("properties").and_then(|all| all.get(&entry.key)),
                schema.get("additionalProperties"),
            ) {
                (Some(member), _) => self.value(member, &entry.value, &inner),
                (None, Some(Value::Bool(false))) => {
                    let names: Vec<_> = properties
                        .keys()
                        .map(String::as_str)
                        .filter(|name| node.get(name).is_none())
                        .collect();
                    let elsewhere = match nearest(&entry.key, names.iter().copied()) {
                        Some(_) => None,
                        None => self.home_of(&entry.key, schema),
                    };
                    let elsewhere = elsewhere.map(|home| format!("it stands further in: `{home}`"));
                    let said_elsewhere = said_elsewhere(place.key, &entry.key).map(str::to_owned);
                    self.faults
                        .error(entry.key_span, format!("unknown key `{}`", entry.key))
                        .hint_if(suggest(&entry.key, &names))
                        .hint_if(elsewhere)
                        .hint_if(said_elsewhere);
                }
                (None, Some(others)) => self.value(others, &entry.value, &inner),
                (None, None) => {}
            }
        }
        let required = schema.get("required").and_then(Value::as_array);
        for name in required.into_iter().flatten().filter_map(Value::as_str) {
            if node.get(name).is_none() {
                let hint = properties.get(name).and_then(|member| self.describe(name, member));
                self.faults
                    .error(start_of(node, place), format!("`{name}` is missing"))
                    .hint_if(hint);
            }
        }
    }

    /// Where below a shape a member of this name stands, such as `overrides.containerOverrides[].command`: the nearest.
    fn home_of(&self, name: &str, shape: &'a Map<String, Value>) -> Option<String> {
        let mut shapes = vec![(String::new(), shape)];
        let mut seen: Vec<&str> = Vec::new();
        // Level by level; each shape once, as shapes may hold each other.
        while !shapes.is_empty() {
            let mut below = Vec::new();
            for (path, shape) in shapes {
                let members = shape.get("properties").and_then(Value::as_object);
                for (key, member) in members.into_iter().flatten() {
                    if key == name && !path.is_empty() {
                        return Some(format!("{path}{key}"));
                    }
                    let (member, brackets) = match member.get("items") {
                        Some(items) => (items, "[]"),
                        None => (member, ""),
                    };
                    let target = member["$ref"].as_str().and_then(|it| it.rsplit('/').next());
                    let Some(target) = target.filter(|it| !seen.contains(it)) else { continue };
                    seen.push(target);
                    if let Some(shape) = self.definitions[target].as_object() {
                        below.push((format!("{path}{key}{brackets}."), shape));
                    }
                }
            }
            shapes = below;
        }
        None
    }

    /// What a member is for, and an example of it where there is one.
    fn describe(&self, name: &str, member: &'a Value) -> Option<String> {
        let example = self.example(member).map(|example| format!("`{name}: {example}`"));
        match (describe_member(member), example) {
            (Some(text), Some(example)) => Some(format!("{text}, such as {example}")),
            (text, example) => text.or(example),
        }
    }

    /// An example of what a schema describes, as one writes it in YAML.
    fn example(&self, schema: &'a Value) -> Option<String> {
        if let Some(target) = schema["$ref"].as_str() {
            let name = target.rsplit('/').next().unwrap_or_default();
            let definitions = self.definitions;
            return self.example(&definitions[name]);
        }
        if schema["type"] == "array" {
            return self.example(&schema["items"]).map(|item| format!("[ {item} ]"));
        }
        schema["examples"].get(0).map(in_yaml)
    }

    /// A list of pairs, such as ECS's `environment`, for one who has written a map.
    fn pairs(&self, schema: &Map<String, Value>, node: &Node) -> Option<String> {
        let target = schema.get("items")?["$ref"].as_str()?;
        let definitions = self.definitions;
        let members = definitions[target.rsplit('/').next()?]["properties"].as_object()?;
        let mut names: Vec<_> = members.keys().map(String::as_str).collect();
        names.sort_unstable();
        let [name @ ("name" | "key"), value @ ("value" | "valueFrom")] = names[..] else {
            return None;
        };
        let entry = node.entries().first()?;
        // One pair that lacks its list.
        if entry.key == *name || entry.key == *value {
            return None;
        }
        let written = match &entry.value.kind {
            Kind::Text(text) => in_yaml(&Value::from(shortened(&text.value))),
            Kind::Number(number) => format!("\"{}\"", number.raw),
            Kind::Bool(bool) => format!("\"{bool}\""),
            Kind::Broken | Kind::Null | Kind::List(_) | Kind::Map(_) => "\"...\"".to_owned(),
        };
        let key = in_yaml(&Value::from(shortened(&entry.key)));
        Some(format!("write a list of pairs: `[ {{ {name}: {key}, {value}: {written} }} ]`"))
    }

    /// The words that a schema allows, if words are all it allows.
    fn words(&self, schema: &'a Map<String, Value>) -> Option<Vec<&'a str>> {
        if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            let name = target.rsplit('/').next().unwrap_or_default();
            let definitions = self.definitions;
            return self.words(definitions[name].as_object()?);
        }
        if let Some(words) = schema.get("enum").and_then(Value::as_array) {
            return Some(words.iter().filter_map(Value::as_str).collect());
        }
        if let Some(word) = schema.get("const").and_then(Value::as_str) {
            return Some(vec![word]);
        }
        // Documented variants come one by one, undocumented ones together.
        let options = schema.get("oneOf")?.as_array()?;
        let words: Vec<_> =
            options.iter().filter_map(|option| self.words(option.as_object()?)).flatten().collect();
        (!words.is_empty()).then_some(words)
    }

    fn word(&mut self, words: &[&str], node: &Node, or_template: bool) {
        let template = if or_template { ", or a template" } else { "" };
        match node.text() {
            Some(text) if words.contains(&text) => {}
            Some(text) => {
                self.faults
                    .error(node.span, format!("`{}` is not allowed here", shortened(text)))
                    .hint_if(suggest(text, words));
            }
            None => {
                let wanted = format!("one of {}{template}", list(words));
                self.wrong_type(&wanted, &Map::new(), node);
            }
        }
    }

    fn integer(&mut self, schema: &Map<String, Value>, node: &Node) {
        let Kind::Number(number) = &node.kind else { return };
        let range = match schema.get("format").and_then(Value::as_str) {
            Some("uint32") => (0, i64::from(u32::MAX)),
            _ => (i64::from(i32::MIN), i64::from(i32::MAX)),
        };
        let least = schema.get("minimum").and_then(Value::as_i64).unwrap_or(range.0).max(range.0);
        let most = schema.get("maximum").and_then(Value::as_i64).unwrap_or(range.1).min(range.1);
        let raw = &number.raw;
        match node.integer() {
            Some(value) if (least..=most).contains(&value) => {}
            Some(_) => {
                let allowed = if most == range.1 {
                    format!("at least {least} is wanted")
                } else {
                    format!("{least} to {most} are allowed")
                };
                self.faults.error(node.span, format!("{raw} is out of range")).hint(allowed);
            }
            None => {
                self.faults.error(node.span, format!("{raw} is not a whole number"));
            }
        }
    }

    fn length(&mut self, schema: &Map<String, Value>, length: usize, place: &Place<'_>) {
        let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0);
        if (length as u64) < least {
            let key = place.key.unwrap_or("the list");
            self.faults
                .error(place.span, format!("`{key}` has {length} items"))
                .hint(format!("it needs at least {least}"));
        }
    }

    fn wrong_type(&mut self, wanted: &str, schema: &Map<String, Value>, node: &Node) {
        let found = describe_kind(node);
        let example = schema.get("examples").and_then(|examples| examples.get(0)).map(in_yaml);
        let pairs = self.pairs(schema, node);
        let fault = self.faults.error(node.span, format!("expected {wanted}, found {found}"));
        let text_wanted = schema.get("type").is_some_and(|name| name == "string");
        match &node.kind {
            Kind::Number(number) if text_wanted => {
                let raw = &number.raw;
                match example {
                    Some(example) => {
                        fault.hint(format!("write it with its unit, such as `{example}`"))
                    }
                    None => fault.hint(format!("quote it: \"{raw}\"")),
                };
            }
            Kind::Bool(value) if text_wanted => {
                fault.hint(format!("quote it: \"{value}\""));
            }
            Kind::Text(text) if wanted.contains("number") && text.value.parse::<i64>().is_ok() => {
                fault.hint(format!("take the quotes away: {}", text.value));
            }
            Kind::Text(text) if wanted.contains("`true`") => {
                // What YAML 1.1 and people take for truth values, and YAML 1.2 for text.
                fault.hint_if(match text.value.to_lowercase().as_str() {
                    "yes" | "on" | "true" | "1" => Some("write `true`".to_owned()),
                    "no" | "off" | "false" | "0" => Some("write `false`".to_owned()),
                    _ => None,
                });
            }
            Kind::Text(text)
                if schema.get("type").is_some_and(|name| name == "object")
                    && text.value.trim_start().starts_with('{') =>
            {
                fault.hint("take the quotes around it away: JSON is YAML too");
            }
            Kind::Map(_) if pairs.is_some() => {
                fault.hint_if(pairs);
            }
            Kind::Text(_) | Kind::Map(_)
                if schema.get("type").is_some_and(|name| name == "array") =>
            {
                fault.hint("write a list: `- item` on lines of their own, or `[item, item]`");
            }
            Kind::List(_) if schema.get("type").is_some_and(|name| name == "object") => {
                fault.hint("take the `-` or the brackets away: `key: value` pairs are wanted here");
            }
            Kind::Bool(_) | Kind::Number(_) | Kind::Text(_)
                if schema.get("type").is_some_and(|name| name == "object") =>
            {
                fault.hint_if(example.map(|example| format!("write a map, such as `{example}`")));
            }
            Kind::Broken
            | Kind::Null
            | Kind::Bool(_)
            | Kind::Number(_)
            | Kind::Text(_)
            | Kind::List(_)
            | Kind::Map(_) => {}
        }
    }

    fn expected(&self, schema: &'a Map<String, Value>) -> String {
        if let Some(words) = self.words(schema) {
            return format!("one of {}", list(&words));
        }
        if let Some(options) = schema.get("anyOf").and_then(Value::as_array) {
            let value = options.first().and_then(Value::as_object);
            return format!(
                "{} or a template",
                value.map(|value| self.expected(value)).unwrap_or_default()
            );
        }
        match schema.get("type").and_then(Value::as_str) {
            Some("object") => "a map",
            Some("array") => "a list",
            Some("string") => "text",
            Some("boolean") => "`true` or `false`",
            Some("integer") => "a whole number",
            _ => "a value",
        }
        .to_owned()
    }
}

/// A value as one writes it in YAML, in one line.
fn in_yaml(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members = members.iter().map(|(key, value)| format!("{key}: {}", in_yaml(value)));
            format!("{{ {} }}", members.collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => {
            format!("[ {} ]", items.iter().map(in_yaml).collect::<Vec<_>>().join(", "))
        }
        Value::String(text) if is_plain(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

/// Whether text stays text in YAML without quotes.
fn is_plain(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ' ');
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '/'))
        && !text.ends_with(' ')
        && text.chars().all(plain)
        && scalar::resolve(text) == Scalar::Text
}

/// The first sentence of what a member is for.
fn describe_member(member: &Value) -> Option<String> {
    let text = member["description"].as_str()?.replace('\n', " ");
    let text = text.split(". ").next().unwrap_or(&text).trim_end_matches('.');
    // A sentence of its own there, the end of one here; names such as `ARN` stay as they are.
    let mut letters = text.chars();
    let first = letters.next()?;
    let is_word =
        letters.clone().next().is_none_or(|next| !next.is_uppercase() && !next.is_ascii_digit());
    if is_word {
        Some(first.to_lowercase().chain(letters).collect())
    } else {
        Some(text.to_owned())
    }
}

/// Whether a schema says anything of the value, so that null cannot be meant.
fn accepts(schema: &Map<String, Value>) -> bool {
    ["type", "anyOf", "oneOf", "enum", "const"].iter().any(|word| schema.contains_key(*word))
}

/// Where to point when a map lacks something: its key, or its first key.
fn start_of(node: &Node, place: &Place<'_>) -> Span {
    match (place.key, node.entries().first()) {
        (Some(_), _) if place.span != node.span => place.span,
        (_, Some(first)) => first.key_span,
        (_, None) => node.span,
    }
}

/// A kind of value in words, with the value while it is short.
fn describe_kind(node: &Node) -> String {
    match &node.kind {
        Kind::Null | Kind::Broken => "nothing".to_owned(),
        Kind::Bool(value) => format!("`{value}`"),
        Kind::Number(number) => format!("the number {}", shortened(&number.raw)),
        Kind::Text(text) => format!("the text \"{}\"", shortened(&text.value)),
        Kind::List(_) => "a list".to_owned(),
        Kind::Map(_) => "a map".to_owned(),
    }
}

/// The beginning of a long text.
pub(super) fn shortened(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() > 60 || line.len() < text.len() {
        format!("{}…", line.chars().take(60).collect::<String>())
    } else {
        line.to_owned()
    }
}
