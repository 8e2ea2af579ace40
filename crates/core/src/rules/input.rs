//! JSON of which each string may be a template: the `input` of a schedule.
//!
//! Compiled with the rules, rendered by `event::schedule` for each firing. Numbers keep their digits and members their
//! order, as with everything that is passed on.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::target::write_json;
use crate::template::{self, Context, Template};

/// JSON with templates, compiled.
#[derive(Clone, Debug)]
pub struct Input {
    text: String,
    pieces: Vec<Piece>,
}

/// A piece of the JSON text.
#[derive(Clone, Debug)]
enum Piece {
    /// As it stands.
    Json(String),
    /// A string that is rendered.
    Template(Box<Template>),
}

/// Why an input was refused, or could not be rendered.
#[derive(Debug, thiserror::Error)]
#[error("`{template}` cannot be rendered")]
pub struct Error {
    /// The text of the template.
    pub template: String,
    /// Why.
    #[source]
    pub source: template::Error,
}

// What it was compiled from says all.
impl PartialEq for Input {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Input {}

impl Input {
    /// Compiles the templates among the strings of a JSON value.
    ///
    /// # Errors
    ///
    /// [`Error`] for the first that is malformed.
    pub(super) fn compile(json: &RawValue) -> Result<Self, Error> {
        let mut pieces = Vec::new();
        value(json, &mut pieces)?;
        Ok(Self { text: json.get().to_owned(), pieces })
    }

    /// The JSON as the rule has it, templates unrendered.
    pub fn as_json(&self) -> &str {
        &self.text
    }

    /// The JSON for an event.
    ///
    /// # Errors
    ///
    /// [`Error`] for the first template that cannot be rendered.
    pub(crate) fn render(&self, context: &Context<'_>) -> Result<String, Error> {
        let mut text = Vec::new();
        for piece in &self.pieces {
            match piece {
                Piece::Json(json) => text.extend_from_slice(json.as_bytes()),
                Piece::Template(template) => {
                    let rendered = template.render(context).map_err(|source| Error {
                        template: template.source().to_owned(),
                        source,
                    })?;
                    write_json(&mut text, &rendered);
                }
            }
        }
        Ok(String::from_utf8(text).expect("serde_json writes UTF-8"))
    }
}

/// The pieces of a value. It was read as JSON before, within `serde_json`'s limit of depth.
fn value(json: &RawValue, pieces: &mut Vec<Piece>) -> Result<(), Error> {
    let text = json.get();
    let read = "it was read as JSON before";
    match text.as_bytes().first() {
        Some(b'"') => {
            let string: String = serde_json::from_str(text).expect(read);
            if template::is_template(&string) {
                let template = Template::compile(&string)
                    .map_err(|source| Error { template: string.clone(), source })?;
                pieces.push(Piece::Template(Box::new(template)));
            } else {
                json_piece(pieces, text);
            }
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text).expect(read);
            for (index, item) in items.iter().enumerate() {
                json_piece(pieces, if index == 0 { "[" } else { "," });
                value(item, pieces)?;
            }
            json_piece(pieces, if items.is_empty() { "[]" } else { "]" });
        }
        Some(b'{') => {
            let Members(members) = serde_json::from_str(text).expect(read);
            for (index, (key, item)) in members.iter().enumerate() {
                json_piece(pieces, if index == 0 { "{" } else { "," });
                let mut name = Vec::new();
                write_json(&mut name, key);
                json_piece(pieces, &String::from_utf8_lossy(&name));
                json_piece(pieces, ":");
                value(item, pieces)?;
            }
            json_piece(pieces, if members.is_empty() { "{}" } else { "}" });
        }
        _ => json_piece(pieces, text),
    }
    Ok(())
}

fn json_piece(pieces: &mut Vec<Piece>, json: &str) {
    match pieces.last_mut() {
        Some(Piece::Json(text)) => text.push_str(json),
        Some(Piece::Template(_)) | None => pieces.push(Piece::Json(json.to_owned())),
    }
}

/// The members of an object in their order.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(input: &str, expected: &str) {
        let raw: Box<RawValue> = serde_json::from_str(input).unwrap();
        let event = json!({ "time": "2027-01-31T09:00:00Z", "detail": { "rule": "a\"b" } });
        let rendered = Input::compile(&raw).unwrap().render(&Context::of_json(&event)).unwrap();
        assert_eq!(rendered, expected);
    }

    #[test]
    fn strings_are_rendered_and_all_else_stays() {
        check(
            r#"{"b": 1.10, "a": ["{{ time[:10] }}", null, true]}"#,
            r#"{"b":1.10,"a":["2027-01-31",null,true]}"#,
        );
        check(r#""{{ detail.rule }}""#, r#""a\"b""#);
        check(r#"[{}, [], "", "\u00e9"]"#, r#"[{},[],"","\u00e9"]"#);
        check(
            r#"{"{{ time }}": 12345678901234567890123}"#,
            r#"{"{{ time }}":12345678901234567890123}"#,
        );
    }

    #[test]
    fn a_template_that_fails_is_named() {
        let raw: Box<RawValue> = serde_json::from_str(r#"["{{ nothing }}"]"#).unwrap();
        let error = Input::compile(&raw).unwrap().render(&Context::of_json(&json!({})));
        assert_eq!(error.unwrap_err().to_string(), "`{{ nothing }}` cannot be rendered");
    }
}
