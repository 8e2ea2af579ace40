//! Plan: a match becomes one `RunTask` request, fully rendered.
//!
//! Asked by the engine for each rule that matches, and by `taskferry explain`, which shows what would be sent. The same
//! event and rule give the same plan, byte for byte: no clock, no random number and no map's order goes into it.

use std::borrow::Cow;

use crate::{
    event::Event,
    rules::{
        Rule, Rules,
        target::{self, write_json},
    },
    run::{RunId, StartedBy},
    template::{self, Context},
};

/// The longest `overrides` in bytes of JSON.
///
/// ECS counts 8,192 characters "including the JSON formatting characters of the override structure"; whether it means
/// characters or bytes is not said, so bytes are counted, of which there are never fewer.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskOverride.html>
pub const OVERRIDES_BYTES_MAX: usize = 8192;

/// What a rule makes of an event.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The rule.
    pub rule: &'a Rule,
    /// The event.
    pub event: &'a Event,
    /// The run that answers the event.
    pub run_id: RunId,
    /// What makes a second event the same as this one.
    pub dedupe_key: String,
    /// The request, or why there is none.
    pub request: Result<Request, Refusal>,
}

/// Why a match makes no request: the rule and the event do not fit.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The rule's `dedupe` cannot be rendered.
    #[error("`dedupe` cannot be rendered for this event")]
    Dedupe(#[source] template::Error),
    /// A template of the rule's `target` cannot be rendered.
    #[error("the target cannot be rendered for this event")]
    Target(#[source] target::Error),
    /// The rendered `overrides` are longer than ECS takes.
    #[error(
        "the rendered overrides are {size_bytes} bytes of JSON, and ECS takes {OVERRIDES_BYTES_MAX}"
    )]
    OverridesTooLong {
        /// Their length.
        size_bytes: usize,
    },
}

/// A rendered `RunTask` request, but for what each attempt adds: `clientToken`, `startedBy`, and the revision of the task
/// definition.
#[derive(Clone, Debug, PartialEq)]
pub struct Request(target::Rendered);

/// What `rule` makes of `event`.
pub fn plan<'a>(rules: &Rules, rule: &'a Rule, event: &'a Event) -> Plan<'a> {
    let context = Context::new(event);
    let (dedupe_key, request) = match dedupe_key(rule, event, &context) {
        Ok(dedupe_key) => (dedupe_key, request(rule, &context)),
        Err(refusal) => (event.id().to_owned(), Err(refusal)),
    };
    let run_id = RunId::new(&rules.name, rule.name.as_ref(), &dedupe_key);
    Plan { rule, event, run_id, dedupe_key, request }
}

fn dedupe_key(rule: &Rule, event: &Event, context: &Context<'_>) -> Result<String, Refusal> {
    match &rule.dedupe {
        Some(template) => template.render(context).map(Cow::into_owned).map_err(Refusal::Dedupe),
        None => Ok(event.id().to_owned()),
    }
}

fn request(rule: &Rule, context: &Context<'_>) -> Result<Request, Refusal> {
    let request = Request(rule.target.render_in(context).map_err(Refusal::Target)?);
    let size_bytes = request.overrides_size_bytes();
    if size_bytes > OVERRIDES_BYTES_MAX {
        return Err(Refusal::OverridesTooLong { size_bytes });
    }
    Ok(request)
}

impl Request {
    /// The cluster that the request names; `None` means ECS's `default`.
    pub fn cluster(&self) -> Option<&str> {
        self.0.cluster.as_deref()
    }

    /// The task definition that the request names.
    pub fn task_definition(&self) -> &str {
        &self.0.task_definition
    }

    /// The length of `overrides` in bytes of JSON; 0 if there are none.
    pub fn overrides_size_bytes(&self) -> usize {
        self.0.overrides_size_bytes
    }

    /// The whole request of one attempt, JSON as it is sent.
    pub fn for_attempt(&self, started_by: &StartedBy, task_definition: &str) -> String {
        let mut text = Vec::with_capacity(self.0.members.len() + 512);
        text.extend_from_slice(br#"{"clientToken":"#);
        write_json(&mut text, &client_token(started_by));
        text.extend_from_slice(br#","startedBy":"#);
        write_json(&mut text, &started_by.to_string());
        text.extend_from_slice(br#","taskDefinition":"#);
        write_json(&mut text, task_definition);
        text.extend_from_slice(self.0.members.as_bytes());
        text.push(b'}');
        String::from_utf8(text).expect("serde_json writes UTF-8")
    }
}

/// What makes ECS answer a repeated request with the task of the first: the same for one attempt, another for the next.
///
/// At most 43 of the 64 characters that ECS allows.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/ECS_Idempotency.html>
pub fn client_token(started_by: &StartedBy) -> String {
    format!("{}-{}", started_by.run_id, started_by.attempt)
}
