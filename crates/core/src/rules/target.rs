//! A rule's target, compiled: the `RunTask` request with its templates.
//!
//! `plan` renders it over an event. The same event gives the same JSON, byte for
//! byte. Fields that steer privilege or code take only values that the rule
//! spells out, whatever an event says.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

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
    payload: Option<Payload>,
    // In the order of their names.
    members: Vec<Member>,
}

/// A member of the request: its name, and its JSON with the name and a comma before it.
#[derive(Clone, Debug)]
struct Member {
    name: String,
    pieces: Vec<Piece>,
}

/// A piece of JSON text.
#[derive(Clone, Debug)]
enum Piece {
    /// As it stands, whatever the event.
    Json(String),
    /// One value that an event fills in.
    Template(Box<Leaf>),
    /// The environment variable with the whole event, or with the URL of it.
    Payload,
}

/// How a rule passes the whole event to its task.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Payload {
    /// The container whose environment gets it: as `TASKFERRY_EVENT`, or, where it is too long for ECS's overrides, as
    /// `TASKFERRY_EVENT_URL`, which names an object in `bucket`.
    pub container: String,
    /// The S3 bucket for events that are too long; without one such an event is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
}

/// What the variable of [`Piece::Payload`] holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Passed<'a> {
    /// The event, JSON.
    Event(&'a str),
    /// Where the event was put, `s3://BUCKET/KEY`.
    Url(&'a str),
}

/// Stands in a request for the variable with the event; no request of a person can have such a member.
const PAYLOAD: &str = "$payload";

/// A request for an event, as JSON text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rendered {
    /// The cluster that the request names.
    pub(crate) cluster: Option<String>,
    /// The task definition that it names.
    pub(crate) task_definition: String,
    /// The length of `overrides` in bytes; 0 if there are none.
    pub(crate) overrides_size_bytes: usize,
    /// All other members, a comma before each, without what is an attempt's to say.
    pub(crate) members: String,
    /// Where the event must be put before the launch, `s3://BUCKET/KEY`.
    pub(crate) payload_url: Option<String>,
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
        payload: Option<Payload>,
    ) -> Result<Self, Error> {
        let mut members = Vec::new();
        let whole = match &payload {
            Some(payload) => with_payload(request.clone(), &payload.container),
            None => request.clone(),
        };
        for (name, value) in whole.as_object().into_iter().flatten() {
            let mut pieces = Pieces { allow, pieces: Vec::new() };
            pieces.json(",");
            pieces.string(name);
            pieces.json(":");
            pieces.value(value, name, name)?;
            members.push(Member { name: name.clone(), pieces: pieces.pieces });
        }
        Ok(Self { request, payload, members })
    }

    /// The request as the rule says it, templates unrendered.
    pub fn as_json(&self) -> &Value {
        &self.request
    }

    /// How the whole event is passed to the task, if it is.
    pub fn payload(&self) -> Option<&Payload> {
        self.payload.as_ref()
    }

    /// The clusters that a request of this target can name; none where that is left to ECS.
    pub fn clusters(&self) -> Vec<&str> {
        let templates = self.members.iter().filter(|member| member.name == "cluster");
        let template = templates.flat_map(|member| &member.pieces).find_map(Piece::template);
        match template {
            Some(leaf) => leaf.allowed.iter().flatten().map(String::as_str).collect(),
            None => self.request["cluster"].as_str().into_iter().collect(),
        }
    }

    /// The request for an event as a tree, without `clientToken` and `startedBy`.
    ///
    /// # Errors
    ///
    /// [`Error`] names the field and the template.
    pub fn render(&self, event: &Value) -> Result<Value, Error> {
        let text = event.to_string();
        let rendered = self.render_in(&Context::of_json(event), Passed::Event(&text))?;
        let Rendered { task_definition, members, .. } = rendered;
        let members = members.strip_prefix(',').unwrap_or_default();
        let mut request: Value =
            serde_json::from_str(&format!("{{{members}}}")).expect("its pieces make JSON");
        if self.request.get("taskDefinition").is_some() {
            request["taskDefinition"] = Value::from(task_definition);
        }
        Ok(request)
    }

    /// The request for an event, as text.
    ///
    /// # Errors
    ///
    /// [`Error`] names the field and the template.
    pub(crate) fn render_in(
        &self,
        context: &Context<'_>,
        passed: Passed<'_>,
    ) -> Result<Rendered, Error> {
        let mut cluster = None;
        let mut task_definition = None;
        let mut overrides_size_bytes = 0;
        let mut text = Vec::with_capacity(512);
        for Member { name, pieces } in &self.members {
            let start = text.len();
            for piece in pieces {
                match piece {
                    Piece::Json(json) => text.extend_from_slice(json.as_bytes()),
                    Piece::Template(leaf) => leaf.render(context, &mut text)?,
                    Piece::Payload => passed.render(&mut text),
                }
            }
            // Behind the comma, the name in its quotes, and the colon.
            let value = &text[start + name.len() + 4..];
            match name.as_str() {
                "cluster" => cluster = serde_json::from_slice(value).ok(),
                "overrides" => overrides_size_bytes = value.len(),
                "taskDefinition" => task_definition = serde_json::from_slice(value).ok(),
                _ => {}
            }
            if matches!(name.as_str(), "clientToken" | "startedBy" | "taskDefinition") {
                text.truncate(start);
            }
        }
        Ok(Rendered {
            cluster,
            task_definition: task_definition.unwrap_or_default(),
            overrides_size_bytes,
            members: String::from_utf8(text).expect("serde_json writes UTF-8"),
            payload_url: match passed {
                Passed::Event(_) => None,
                Passed::Url(url) => Some(url.to_owned()),
            },
        })
    }
}

impl Passed<'_> {
    /// Writes the environment variable behind what `text` holds.
    fn render(self, text: &mut Vec<u8>) {
        let (name, value) = match self {
            Self::Event(event) => ("TASKFERRY_EVENT", event),
            Self::Url(url) => ("TASKFERRY_EVENT_URL", url),
        };
        text.extend_from_slice(br#"{"name":"#);
        write_json(text, name);
        text.extend_from_slice(br#","value":"#);
        write_json(text, value);
        text.push(b'}');
    }
}

/// The request with [`PAYLOAD`] in the environment of a container's override, which is added where there is none.
fn with_payload(mut request: Value, container: &str) -> Value {
    let Some(members) = request.as_object_mut() else { return request };
    let overrides = members.entry("overrides").or_insert_with(|| json!({}));
    let Some(overrides) = overrides.as_object_mut() else { return request };
    let containers = overrides.entry("containerOverrides").or_insert_with(|| json!([]));
    let Some(containers) = containers.as_array_mut() else { return request };
    if !containers.iter().any(|named| named["name"] == container) {
        containers.push(json!({ "name": container }));
    }
    let found = containers.iter_mut().find(|named| named["name"] == container);
    let environment = found
        .and_then(Value::as_object_mut)
        .map(|container| container.entry("environment").or_insert_with(|| json!([])));
    if let Some(environment) = environment.and_then(Value::as_array_mut) {
        environment.push(json!({ PAYLOAD: null }));
    }
    request
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

/// A value, taken to pieces.
struct Pieces<'a> {
    allow: &'a BTreeMap<String, Vec<String>>,
    pieces: Vec<Piece>,
}

impl Pieces<'_> {
    /// Text that no event changes: one piece with what stands before it.
    fn json(&mut self, text: &str) {
        match self.pieces.last_mut() {
            Some(Piece::Json(json)) => json.push_str(text),
            Some(Piece::Template(_) | Piece::Payload) | None => {
                self.pieces.push(Piece::Json(text.to_owned()));
            }
        }
    }

    fn string(&mut self, text: &str) {
        self.json(&serde_json::to_string(text).expect("a string is JSON"));
    }

    /// The value at `field`; `plain` is that path without indices.
    fn value(&mut self, value: &Value, field: &str, plain: &str) -> Result<(), Error> {
        match value {
            Value::String(text) if template::is_template(text) => {
                let leaf = Leaf::compile(text, field, plain, self.allow)?;
                self.pieces.push(Piece::Template(Box::new(leaf)));
            }
            Value::Array(items) => {
                self.json("[");
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        self.json(",");
                    }
                    self.value(item, &format!("{field}[{index}]"), plain)?;
                }
                self.json("]");
            }
            Value::Object(members) if members.contains_key(PAYLOAD) => {
                self.pieces.push(Piece::Payload);
            }
            Value::Object(members) => {
                self.json("{");
                for (index, (name, member)) in members.iter().enumerate() {
                    if index > 0 {
                        self.json(",");
                    }
                    self.string(name);
                    self.json(":");
                    self.value(member, &format!("{field}.{name}"), &format!("{plain}.{name}"))?;
                }
                self.json("}");
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                self.json(&value.to_string());
            }
        }
        Ok(())
    }
}

impl Piece {
    fn template(&self) -> Option<&Leaf> {
        match self {
            Self::Template(leaf) => Some(leaf),
            Self::Json(_) | Self::Payload => None,
        }
    }
}

impl Leaf {
    fn compile(
        text: &str,
        field: &str,
        plain: &str,
        allow: &BTreeMap<String, Vec<String>>,
    ) -> Result<Self, Error> {
        let template = Template::compile(text).map_err(|source| Error::Template {
            field: field.to_owned(),
            template: text.to_owned(),
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
        Ok(Self { field: field.to_owned(), template, kind, allowed })
    }

    /// Writes the value as JSON behind what `text` holds.
    fn render(&self, context: &Context<'_>, text: &mut Vec<u8>) -> Result<(), Error> {
        let field = || self.field.clone();
        let template = || self.template.source().to_owned();
        let rendered = self.template.render(context).map_err(|source| Error::Template {
            field: field(),
            template: template(),
            source: source.into(),
        })?;
        if let Some(allowed) = &self.allowed
            && !allowed.iter().any(|allowed| *allowed == rendered)
        {
            return Err(Error::NotAllowed {
                field: field(),
                template: template(),
                rendered: shortened(&rendered),
                allowed: allowed.clone(),
            });
        }
        match self.kind {
            Kind::Text => write_json(text, &*rendered),
            Kind::Integer => {
                let number = rendered.trim().parse::<i32>().map_err(|_| {
                    let rendered = shortened(&rendered);
                    Error::NotAnInteger { field: field(), template: template(), rendered }
                })?;
                write_json(text, &number);
            }
            Kind::Boolean => {
                let truth = rendered.trim().parse::<bool>().map_err(|_| {
                    let rendered = shortened(&rendered);
                    Error::NotABoolean { field: field(), template: template(), rendered }
                })?;
                write_json(text, &truth);
            }
        }
        Ok(())
    }
}

/// Writes a string, number or truth value behind what `text` holds.
pub(crate) fn write_json<T: Serialize + ?Sized>(text: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(text, value).expect("a plain value is JSON, and a vector takes all");
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
        Target::compile(request, &allow, None)?.render(&event())
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
