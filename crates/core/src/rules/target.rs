//! A rule's target, compiled: the `RunTask` request with its templates.
//!
//! `plan` renders it over an event. The same event gives the same JSON, byte for
//! byte. Fields that steer privilege or code take only values that the rule
//! spells out, whatever an event says.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::validate::shortened;
use crate::template::{self, Context, Template};

/// Fields that steer privilege or code: their short name, and their path without indices.
///
/// Beside roles, definition, cluster and network: what opens a shell in the task, whose machines
/// it runs on, which files make up its environment, which snapshot becomes its disk.
pub(super) const PRIVILEGED: &[(&str, &str)] = &[
    ("taskDefinition", "taskDefinition"),
    ("cluster", "cluster"),
    ("taskRoleArn", "overrides.taskRoleArn"),
    ("executionRoleArn", "overrides.executionRoleArn"),
    ("subnets", "networkConfiguration.awsvpcConfiguration.subnets"),
    ("securityGroups", "networkConfiguration.awsvpcConfiguration.securityGroups"),
    ("assignPublicIp", "networkConfiguration.awsvpcConfiguration.assignPublicIp"),
    ("capacityProvider", "capacityProviderStrategy.capacityProvider"),
    ("enableExecuteCommand", "enableExecuteCommand"),
    ("environmentFiles", "overrides.containerOverrides.environmentFiles.value"),
    ("roleArn", "volumeConfigurations.managedEBSVolume.roleArn"),
    ("kmsKeyId", "volumeConfigurations.managedEBSVolume.kmsKeyId"),
    ("snapshotId", "volumeConfigurations.managedEBSVolume.snapshotId"),
];

/// Fields of a request that are whole numbers, by their path without indices.
const INTEGERS: &[&str] = &[
    "capacityProviderStrategy.base",
    "capacityProviderStrategy.weight",
    "count",
    "overrides.containerOverrides.cpu",
    "overrides.containerOverrides.memory",
    "overrides.containerOverrides.memoryReservation",
    "overrides.ephemeralStorage.sizeInGiB",
    "volumeConfigurations.managedEBSVolume.iops",
    "volumeConfigurations.managedEBSVolume.sizeInGiB",
    "volumeConfigurations.managedEBSVolume.throughput",
    "volumeConfigurations.managedEBSVolume.volumeInitializationRate",
];

/// Fields of a request that are `true` or `false`, by their path without indices.
const BOOLEANS: &[&str] = &[
    "enableECSManagedTags",
    "enableExecuteCommand",
    "volumeConfigurations.managedEBSVolume.encrypted",
    "volumeConfigurations.managedEBSVolume.terminationPolicy.deleteOnTermination",
];

/// The `RunTask` request of a rule, compiled.
#[derive(Clone, Debug)]
pub struct Target {
    request: Value,
    root: Part,
}

#[derive(Clone, Debug)]
enum Part {
    Literal(Value),
    Template(Box<Leaf>),
    List(Vec<Part>),
    Map(Vec<(String, Part)>),
}

#[derive(Clone, Debug)]
struct Leaf {
    /// Where it is, with indices, such as `overrides.containerOverrides[0].memory`.
    field: String,
    template: Template,
    kind: Kind,
    /// The values it may take, for a privileged field.
    allowed: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Text,
    Integer,
    Boolean,
}

/// Why a target was refused, or could not be rendered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A template is malformed or could not be rendered.
    #[error("`{field}` cannot be rendered")]
    Template {
        /// The field, as a path in the request.
        field: String,
        /// The text of the template.
        template: String,
        /// Why.
        #[source]
        source: Box<template::Error>,
    },
    /// A whole number is wanted.
    #[error("`{field}` must be a whole number, and `{template}` renders to `{rendered}`")]
    NotAnInteger {
        /// The field, as a path in the request.
        field: String,
        /// The text of the template.
        template: String,
        /// The beginning of what it renders to.
        rendered: String,
    },
    /// `true` or `false` is wanted.
    #[error("`{field}` must be true or false, and `{template}` renders to `{rendered}`")]
    NotABoolean {
        /// The field, as a path in the request.
        field: String,
        /// The text of the template.
        template: String,
        /// The beginning of what it renders to.
        rendered: String,
    },
    /// A privileged field would get a value that the rule does not list.
    #[error("`{field}` may not be `{rendered}`: `allow` lists {}", .allowed.join(", "))]
    NotAllowed {
        /// The field, as a path in the request.
        field: String,
        /// The text of the template.
        template: String,
        /// The beginning of what it renders to.
        rendered: String,
        /// The values that `allow` lists.
        allowed: Vec<String>,
    },
    /// A privileged field holds a template, and the rule lists no values for it.
    #[error("`{field}` may hold a template only where `allow` lists its values")]
    Unguarded {
        /// The field, as a path in the request.
        field: String,
    },
}

impl Target {
    /// Compiles a request. `allow` lists the values of privileged fields by name or path.
    ///
    /// # Errors
    ///
    /// [`Error::Template`] for a malformed template, [`Error::Unguarded`] for one in a privileged
    /// field without values in `allow`.
    pub(super) fn compile(
        request: Value,
        allow: &BTreeMap<String, Vec<String>>,
    ) -> Result<Self, Error> {
        let root = compile(&request, "", "", allow)?;
        Ok(Self { request, root })
    }

    /// The request as the rule says it, templates unrendered.
    pub fn as_json(&self) -> &Value {
        &self.request
    }

    /// The clusters that a request of this target can name; none where that is left to ECS.
    pub fn clusters(&self) -> Vec<&str> {
        let members = match &self.root {
            Part::Map(members) => members,
            Part::Literal(request) => return request["cluster"].as_str().into_iter().collect(),
            Part::Template(_) | Part::List(_) => return Vec::new(),
        };
        match members.iter().find(|(name, _)| name == "cluster").map(|(_, part)| part) {
            Some(Part::Literal(Value::String(cluster))) => vec![cluster],
            Some(Part::Template(leaf)) => {
                leaf.allowed.iter().flatten().map(String::as_str).collect()
            }
            Some(Part::Literal(_) | Part::List(_) | Part::Map(_)) | None => Vec::new(),
        }
    }

    /// The request for an event, without `clientToken` and `startedBy`.
    ///
    /// # Errors
    ///
    /// [`Error`] names the field and the template.
    pub fn render(&self, event: &Value) -> Result<Value, Error> {
        self.render_in(&Context::new(event))
    }

    /// As [`Target::render`], where the event's names are already at hand.
    ///
    /// # Errors
    ///
    /// [`Error`] names the field and the template.
    pub fn render_in(&self, context: &Context) -> Result<Value, Error> {
        render(&self.root, context)
    }
}

/// The privileged field at a path without indices: its short name and its path.
pub(super) fn privileged(plain_path: &str) -> Option<(&'static str, &'static str)> {
    PRIVILEGED.iter().copied().find(|(_, path)| *path == plain_path)
}

/// The values that `allow` lists for a privileged field.
fn allowed<'a>(
    allow: &'a BTreeMap<String, Vec<String>>,
    (name, path): (&str, &str),
) -> Option<&'a Vec<String>> {
    allow.get(path).or_else(|| allow.get(name))
}

fn compile(
    value: &Value,
    field: &str,
    plain: &str,
    allow: &BTreeMap<String, Vec<String>>,
) -> Result<Part, Error> {
    match value {
        Value::String(text) if template::is_template(text) => {
            let template = Template::compile(text).map_err(|source| Error::Template {
                field: field.to_owned(),
                template: text.clone(),
                source: source.into(),
            })?;
            let allowed = match privileged(plain) {
                None => None,
                Some(privilege) => match allowed(allow, privilege) {
                    Some(values) => Some(values.clone()),
                    None => return Err(Error::Unguarded { field: field.to_owned() }),
                },
            };
            let kind = if INTEGERS.contains(&plain) {
                Kind::Integer
            } else if BOOLEANS.contains(&plain) {
                Kind::Boolean
            } else {
                Kind::Text
            };
            Ok(Part::Template(Box::new(Leaf { field: field.to_owned(), template, kind, allowed })))
        }
        Value::Array(items) => {
            let items = items
                .iter()
                .enumerate()
                .map(|(index, item)| compile(item, &format!("{field}[{index}]"), plain, allow));
            Ok(whole_list(items.collect::<Result<_, _>>()?))
        }
        Value::Object(members) => {
            let dot = if plain.is_empty() { "" } else { "." };
            let members = members.iter().map(|(name, member)| {
                let (field, plain) = (format!("{field}{dot}{name}"), format!("{plain}{dot}{name}"));
                Ok((name.clone(), compile(member, &field, &plain, allow)?))
            });
            Ok(whole_map(members.collect::<Result<_, Error>>()?))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            Ok(Part::Literal(value.clone()))
        }
    }
}

/// A list, as one literal if there is no template in it.
fn whole_list(items: Vec<Part>) -> Part {
    if !items.iter().all(|item| matches!(item, Part::Literal(_))) {
        return Part::List(items);
    }
    let literal = |item| if let Part::Literal(value) = item { value } else { Value::Null };
    Part::Literal(items.into_iter().map(literal).collect())
}

/// A map, as one literal if there is no template in it.
fn whole_map(members: Vec<(String, Part)>) -> Part {
    if !members.iter().all(|(_, member)| matches!(member, Part::Literal(_))) {
        return Part::Map(members);
    }
    let literal = |item| if let Part::Literal(value) = item { value } else { Value::Null };
    let members = members.into_iter().map(|(name, member)| (name, literal(member)));
    Part::Literal(Value::Object(members.collect::<Map<_, _>>()))
}

fn render(part: &Part, context: &Context) -> Result<Value, Error> {
    match part {
        Part::Literal(value) => Ok(value.clone()),
        Part::Template(leaf) => leaf.render(context),
        Part::List(items) => items.iter().map(|item| render(item, context)).collect(),
        Part::Map(members) => {
            let members =
                members.iter().map(|(name, member)| Ok((name.clone(), render(member, context)?)));
            Ok(Value::Object(members.collect::<Result<Map<_, _>, _>>()?))
        }
    }
}

impl Leaf {
    fn render(&self, context: &Context) -> Result<Value, Error> {
        let field = || self.field.clone();
        let template = || self.template.source().to_owned();
        let rendered = self.template.render(context).map_err(|source| Error::Template {
            field: field(),
            template: template(),
            source: source.into(),
        })?;
        if let Some(allowed) = &self.allowed
            && !allowed.contains(&rendered)
        {
            return Err(Error::NotAllowed {
                field: field(),
                template: template(),
                rendered: shortened(&rendered),
                allowed: allowed.clone(),
            });
        }
        match self.kind {
            Kind::Text => Ok(Value::String(rendered)),
            Kind::Integer => rendered.trim().parse::<i32>().map(Value::from).map_err(|_| {
                let rendered = shortened(&rendered);
                Error::NotAnInteger { field: field(), template: template(), rendered }
            }),
            Kind::Boolean => rendered.trim().parse::<bool>().map(Value::from).map_err(|_| {
                let rendered = shortened(&rendered);
                Error::NotABoolean { field: field(), template: template(), rendered }
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::rules::schema;

    /// Every path under `RunTask` whose schema is a templated `wanted`.
    fn templated(wanted: &str) -> Vec<String> {
        fn walk(all: &Value, schema: &Value, path: &str, wanted: &str, found: &mut Vec<String>) {
            if let Some(target) = schema["$ref"].as_str() {
                let name = target.rsplit('/').next().unwrap();
                return walk(all, &all["$defs"][name], path, wanted, found);
            }
            if let Some(options) = schema["anyOf"].as_array() {
                if options[0]["type"] == wanted {
                    found.push(path.to_owned());
                }
                return;
            }
            if schema["items"].is_object() {
                walk(all, &schema["items"], path, wanted, found);
            }
            for (name, member) in schema["properties"].as_object().into_iter().flatten() {
                let dot = if path.is_empty() { "" } else { "." };
                walk(all, member, &format!("{path}{dot}{name}"), wanted, found);
            }
        }
        let schema = schema();
        let mut found = Vec::new();
        walk(&schema, &schema["$defs"]["RunTask"], "", wanted, &mut found);
        found.sort();
        found
    }

    #[test]
    fn numbers_and_truth_values_are_those_of_the_schema() {
        assert_eq!(templated("integer"), INTEGERS);
        assert_eq!(templated("boolean"), BOOLEANS);
    }

    fn event() -> Value {
        json!({ "id": "1", "detail": { "size": 512, "kind": "small", "text": "{{ id }}" } })
    }

    #[track_caller]
    fn check(request: Value, allow: &[(&str, &[&str])]) -> Result<Value, Error> {
        let allow = allow
            .iter()
            .map(|(name, values)| {
                ((*name).to_owned(), values.iter().map(|value| (*value).to_owned()).collect())
            })
            .collect();
        Target::compile(request, &allow)?.render(&event())
    }

    #[test]
    fn strings_render_and_the_rest_stays() {
        let request =
            json!({ "taskDefinition": "a", "tags": [{ "key": "k", "value": "{{ id }}" }] });
        let expected = json!({ "taskDefinition": "a", "tags": [{ "key": "k", "value": "1" }] });
        assert_eq!(check(request, &[]).unwrap(), expected);
    }

    #[test]
    fn an_event_is_rendered_once() {
        let request = json!({ "group": "{{ detail.text }}" });
        assert_eq!(check(request, &[]).unwrap(), json!({ "group": "{{ id }}" }));
    }

    #[test]
    fn numbers_become_numbers() {
        let request =
            |memory: &str| json!({ "overrides": { "containerOverrides": [{ "memory": memory }] } });
        let rendered = check(request("{{ detail.size * 2 }}"), &[]).unwrap();
        assert_eq!(rendered["overrides"]["containerOverrides"][0]["memory"], 1024);
        let error = check(request("{{ detail.kind }}"), &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`overrides.containerOverrides[0].memory` must be a whole number, \
             and `{{ detail.kind }}` renders to `small`"
        );
    }

    #[test]
    fn privileged_fields_take_listed_values_only() {
        let request = || json!({ "taskDefinition": "{{ detail.kind }}" });
        assert!(matches!(check(request(), &[]), Err(Error::Unguarded { .. })));
        let rendered = check(request(), &[("taskDefinition", &["small", "large"])]).unwrap();
        assert_eq!(rendered["taskDefinition"], "small");
        let error = check(request(), &[("taskDefinition", &["large"])]).unwrap_err();
        assert_eq!(error.to_string(), "`taskDefinition` may not be `small`: `allow` lists large");
    }

    #[test]
    fn a_privileged_field_may_be_allowed_by_its_path() {
        let request = json!({ "overrides": { "taskRoleArn": "{{ detail.kind }}" } });
        assert!(check(request, &[("overrides.taskRoleArn", &["small"])]).is_ok());
    }

    #[test]
    fn what_an_event_lacks_is_named_with_its_field() {
        let error = check(json!({ "group": "{{ detail.kin }}" }), &[]).unwrap_err();
        assert_eq!(error.to_string(), "`group` cannot be rendered");
        let source = std::error::Error::source(&error).unwrap();
        assert_eq!(
            source.to_string(),
            "`detail.kin` is not in the event; `detail` has `kind`, `size`, `text`"
        );
    }
}
