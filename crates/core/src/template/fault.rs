//! What is wrong with a template that failed: the expression, and which name of it the event lacks.
//!
//! Asked when a rendering has failed, and never before. Jinja says that a name is missing; whoever mends the rule wants to
//! know which one, and what is there instead.

use std::ops::Range;

use minijinja::ErrorKind;
use serde_json::Value;

use super::{Context, Error, Template};

impl Template {
    /// Says which name is missing where Jinja only says that one is.
    pub(super) fn explain(&self, error: &minijinja::Error, context: &Context<'_>) -> Error {
        let range = range_in(&self.source, error);
        let expression = self.expression(range.clone());
        if error.kind() == ErrorKind::UndefinedError
            && let Some((name, hint)) =
                self.missing_name(&expression, range.clone(), &context.to_json())
        {
            return Error::Undefined { name, expression, hint, range };
        }
        Error::Failed { reason: reason(error), expression, range }
    }

    /// The text between the delimiters around `range`; all of it if that is unknown.
    fn expression(&self, range: Option<Range<usize>>) -> String {
        let source = &*self.source;
        let Some(range) = range else { return source.to_owned() };
        let before = &source[..range.start];
        let opening = ["{{", "{%"].iter().filter_map(|opening| before.rfind(opening)).max();
        let start = opening.map_or(0, |at| at + 2);
        let behind = &source[range.end..];
        let closing = ["}}", "%}"].iter().filter_map(|closing| behind.find(closing)).min();
        let end = closing.map_or(source.len(), |at| range.end + at);
        source[start..end].trim_matches(['-', '+', ' ', '\t', '\n']).to_owned()
    }

    /// A name of the expression that the event lacks, and what there is instead: the one that
    /// stands at `range`, since another may be missing on purpose (`default`).
    fn missing_name(
        &self,
        expression: &str,
        range: Option<Range<usize>>,
        event: &Value,
    ) -> Option<(String, Option<String>)> {
        let names = Template::compile(&format!("{{{{ {expression} }}}}"))
            .map_or_else(|_| self.names(), |template| template.names());
        let failed = range.map_or("", |range| &self.source[range]).trim_start_matches('.');
        let stands_there = |name: &String| {
            !failed.is_empty()
                && (failed.contains(name.as_str())
                    || name.strip_suffix(failed).is_some_and(|rest| rest.ends_with('.')))
        };
        let missing = |name: &String| missing_part(name, event);
        // What stands before a default or a test is missing on purpose.
        let meant = |name: &String| {
            let behind = expression.split_once(name.as_str()).map_or("", |(_, behind)| behind);
            let behind = behind.trim_start();
            !behind.starts_with("is ")
                && !behind
                    .strip_prefix('|')
                    .is_some_and(|filter| filter.trim_start().starts_with("default"))
        };
        let mut candidates: Vec<_> = names.iter().filter(|name| missing(name).is_some()).collect();
        candidates.sort_by_key(|name| (!stands_there(name), !meant(name)));
        candidates.first().and_then(|name| missing(name))
    }
}

/// The shortest beginning of the dotted `name` that `event` lacks, and what it has there.
fn missing_part(name: &str, event: &Value) -> Option<(String, Option<String>)> {
    let mut node = event;
    let mut seen = String::new();
    for part in name.split('.') {
        let found = node.as_object().and_then(|members| members.get(part));
        let parent = seen.clone();
        if !seen.is_empty() {
            seen.push('.');
        }
        seen.push_str(part);
        let Some(found) = found else {
            return Some((seen, Some(what_there_is(part, &parent, node))));
        };
        node = found;
    }
    None
}

/// The members of `node`, those most like `wanted` first.
fn what_there_is(wanted: &str, parent: &str, node: &Value) -> String {
    let members = match node {
        Value::Object(members) => members,
        Value::String(_) => return format!("`{parent}` is text"),
        Value::Array(_) => return format!("`{parent}` is a list"),
        Value::Number(_) => return format!("`{parent}` is a number"),
        Value::Null | Value::Bool(_) => return format!("`{parent}` is {node}"),
    };
    let mut names: Vec<&str> = members.keys().map(String::as_str).collect();
    if names.is_empty() {
        return format!("`{parent}` is empty");
    }
    let likeness = |name: &str| strsim::jaro_winkler(&wanted.replace('_', "-"), name);
    names.sort_by(|a, b| likeness(b).total_cmp(&likeness(a)));
    names.truncate(8);
    let names = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let place = if parent.is_empty() { "it".to_owned() } else { format!("`{parent}`") };
    format!("{place} has {names}")
}

/// What Jinja found, without its source or line number.
pub(super) fn reason(error: &minijinja::Error) -> String {
    match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => "the template takes too many steps".to_owned(),
        (_, Some(detail)) => detail.to_owned(),
        (kind, None) => kind.to_string(),
    }
}

/// Where in the source it is, if Jinja's place is one of it.
pub(super) fn range_in(source: &str, error: &minijinja::Error) -> Option<Range<usize>> {
    let range = error.range()?;
    let inside = source.get(range.clone()).is_some();
    inside.then_some(range)
}
