//! The JSON Schema of the rules file, from the same types that read it.
//!
//! For editors (`taskferry schema`) and for `validate`. An optional member may be
//! left out but not be null: an empty value in YAML is nearly always a slip.

use std::sync::OnceLock;

use schemars::{Schema, generate::SchemaSettings, transform::Transform};
use serde_json::Value;

use super::file::File;

/// The JSON Schema (2020-12) of `taskferry.yaml`.
pub fn schema() -> Value {
    shared().clone()
}

/// The schema, generated once.
pub(super) fn shared() -> &'static Value {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let settings = SchemaSettings::draft2020_12().with_transform(NothingIsNull);
        Value::from(settings.into_generator().into_root_schema_for::<File>())
    })
}

/// Takes `null` out of every type.
#[derive(Clone, Debug)]
struct NothingIsNull;

impl Transform for NothingIsNull {
    fn transform(&mut self, schema: &mut Schema) {
        schemars::transform::transform_subschemas(self, schema);
        let Some(object) = schema.as_object_mut() else { return };
        if let Some(Value::Array(types)) = object.get_mut("type") {
            types.retain(|name| name != "null");
            if let [only] = types.as_slice() {
                object["type"] = only.clone();
            }
        }
        let Some(Value::Array(options)) = object.get_mut("anyOf") else { return };
        options.retain(|option| option.get("type").is_none_or(|name| name != "null"));
        if let [Value::Object(only)] = options.as_mut_slice() {
            let only = std::mem::take(only);
            object.remove("anyOf");
            for (key, value) in only {
                // What is said of the member goes before what is said of its type.
                object.entry(key).or_insert(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_the_schema_is_null() {
        let text = schema().to_string();
        assert!(!text.contains(r#""null""#));
        assert!(!text.contains("null,"));
    }

    #[test]
    fn every_shape_refuses_unknown_members() {
        let schema = schema();
        for (name, shape) in schema["$defs"].as_object().unwrap() {
            if shape["type"] == "object" {
                assert_eq!(shape["additionalProperties"], false, "{name}");
            }
        }
    }
}
