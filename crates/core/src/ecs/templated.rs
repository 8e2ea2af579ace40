//! A value that a rule writes outright or leaves to a template.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// What tells a template from plain text: one of Jinja's opening delimiters.
const TEMPLATE_PATTERN: &str = r"\{[{%#]";

/// A number, truth value or word, or a template that renders to one.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Templated<T> {
    /// Written outright.
    Value(T),
    /// The text of a template.
    Template(String),
}

impl<T: JsonSchema> JsonSchema for Templated<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Templated{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<T>();
        json_schema!({
            "anyOf": [value, { "type": "string", "pattern": TEMPLATE_PATTERN }]
        })
    }
}
