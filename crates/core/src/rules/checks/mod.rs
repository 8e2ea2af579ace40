//! What a schema cannot say of a rules file: names, templates, sources, limits.
//!
//! Works on the tree, whatever its shape: what is not as the schema wants is
//! passed over here, since `validate` has reported it. No check stops another.

mod definitions;
mod feedback;
mod lifecycle;
mod source;
mod target;

use std::{collections::HashMap, time::Duration};

use jiff::Timestamp;
use taskferry_event_pattern::EventPattern;

use super::{
    fault::{Faults, Severity, Span, nearest},
    merge, policy,
    tree::{Kind, Node},
};
use crate::template::{self, Template};

/// Reports all that is wrong with the file beyond its shape.
pub(super) fn check(root: &Node, now: Option<Timestamp>, faults: &mut Faults) {
    let mut checker = Checker { root, now, faults };
    if let Some(name) = root.get("name") {
        checker.name(name, "stack");
    }
    checker.definitions();
    checker.local_containers();
    for limit in root.get("limits").map_or(&[][..], Node::entries) {
        checker.limit_name(&limit.key, limit.key_span);
    }
    if let Some(retention) = root.get("retention") {
        checker.retention(retention);
    }
    let mut seen: HashMap<&str, Span> = HashMap::new();
    let rules = root.get("rules").map_or(&[][..], Node::items);
    for rule in rules {
        if let Some(name) = rule.get("name") {
            checker.name(name, "rule");
            if let Some(text) = name.text() {
                checker.unique(text, name.span, &mut seen);
            }
        }
        checker.rule(rule);
    }
    checker.queues(rules);
    if let Some(rules) = root.entry("rules")
        && matches!(&rules.value.kind, Kind::List(items) if items.is_empty())
    {
        checker.faults.warning(rules.key_span, "the file has no rule, so nothing will run");
    }
}

struct Checker<'a, 'f> {
    root: &'a Node,
    /// When it is checked, if that is to matter.
    now: Option<Timestamp>,
    faults: &'f mut Faults,
}

/// The source of a rule's events, as far as it decides what an event can have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Source {
    S3,
    Schedule,
    Sqs,
    EventPattern,
}

/// A duration under this name, where one stands there.
fn duration_in<'a>(node: &'a Node, name: &str) -> Option<(&'a Node, Duration)> {
    let node = node.get(name)?;
    Some((node, policy::parse_duration(node.text()?).ok()?))
}

impl<'a> Checker<'a, '_> {
    /// A name that becomes part of AWS's names: `startedBy` takes letters, digits, `-` and `_`.
    fn name(&mut self, name: &Node, what: &str) {
        let Some(text) = name.text() else { return };
        let right = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if text.is_empty() {
            self.faults.error(name.span, format!("the {what} name is empty"));
        } else if let Some(wrong) = text.chars().find(|c| !right(*c)) {
            let better: String = text.chars().map(|c| if right(c) { c } else { '-' }).collect();
            self.faults
                .error(name.span, format!("a {what} name cannot hold `{}`", wrong.escape_default()))
                .hint(format!("letters, digits, `-` and `_` are allowed: `{better}`"));
        } else if text.len() > 64 {
            let length = text.len();
            self.faults
                .error(name.span, format!("the {what} name has {length} characters"))
                .hint("64 are allowed");
        }
    }

    fn unique<'t>(&mut self, text: &'t str, span: Span, seen: &mut HashMap<&'t str, Span>) {
        if let Some(first) = seen.get(text) {
            self.faults
                .error(span, format!("the name `{text}` is given twice"))
                .hint("runs are kept by rule name, so each rule needs its own")
                .related(*first, "first given here");
        } else {
            seen.insert(text, span);
        }
    }

    fn rule(&mut self, rule: &'a Node) {
        let source = self.source(rule);
        let merged = merge::with_defaults(self.root.get("defaults"), rule);
        self.target(rule, &merged, source);
        self.feedback(rule, &merged);
        if let Some(dedupe) = merged.get("dedupe") {
            self.template(dedupe, source);
            if dedupe.text().is_some_and(|text| !template::is_template(text)) {
                self.faults
                    .warning(dedupe.span, "this dedupe key is the same for every event")
                    .hint("only the first event will start a run; write a template, such as `{{ id }}`");
            }
        }
        self.policies(&merged, source);
    }

    fn policies(&mut self, rule: &Node, source: Option<Source>) {
        if let Some(concurrency) = rule.entry("concurrency") {
            let (limit, group) = (concurrency.value.get("limit"), concurrency.value.get("group"));
            if matches!(concurrency.value.kind, Kind::Map(_)) && limit.is_none() && group.is_none()
            {
                self.faults.error(concurrency.key_span, "`limit` is missing, or `group`").hint(
                    "say how many runs may be under way at once, or which limit the rule shares",
                );
            }
            if let Some(group) = group {
                self.group(group);
            }
            if let Some(key) = concurrency.value.get("key") {
                self.template(key, source);
                if key.text().is_some_and(|text| !template::is_template(text)) {
                    self.faults
                        .warning(key.span, "this key is the same for every event")
                        .hint("leave it out, or write a template, such as `{{ detail.tenant }}`");
                }
            }
        }
        for path in [["timeout", "start"], ["timeout", "run"], ["timeout", "total"]] {
            if let Some(node) = rule.at(&path) {
                self.duration(node);
            }
        }
        self.total(rule);
        let classes = rule.at(&["retry", "classes"]).map_or(&[][..], Node::entries);
        let of_classes = classes.iter().filter_map(|class| class.value.get("backoff"));
        for backoff in rule.at(&["retry", "backoff"]).into_iter().chain(of_classes) {
            self.backoff(backoff);
        }
        self.exit_codes(rule);
    }

    /// A limit on one attempt that the limit on all of them comes before.
    fn total(&mut self, rule: &Node) {
        let limit = |name| duration_in(rule.get("timeout")?, name);
        let Some((total, all)) = limit("total") else { return };
        for (node, one) in ["start", "run"].into_iter().filter_map(limit) {
            if one > all {
                self.faults
                    .warning(node.span, "this is longer than `total`, which ends the run before")
                    .related(total.span, "the run's end");
            }
        }
    }

    /// Exit codes that can make no further attempt.
    fn exit_codes(&mut self, rule: &Node) {
        let Some(codes) = rule.at(&["retry", "exitCodes"]) else { return };
        for code in codes.items().iter().filter(|code| code.integer() == Some(0)) {
            self.faults.warning(code.span, "a container that exits with 0 has not failed");
        }
        for code in codes.items() {
            if code.integer().is_some_and(|code| !(0..=255).contains(&code)) {
                self.faults
                    .warning(code.span, "no container exits with this code")
                    .hint("exit codes are 0 to 255");
            }
        }
        let attempts = rule.at(&["retry", "attempts"]).map_or(Some(1), Node::integer);
        if attempts == Some(1) && !codes.items().is_empty() {
            self.faults
                .warning(
                    codes.span,
                    "`retry.attempts` is 1, so after no exit code is there another attempt",
                )
                .hint("say how many there may be, such as `attempts: 3`");
        }
    }

    /// The name of a limit is part of a key in the store, which takes no long ones.
    fn limit_name(&mut self, name: &str, span: Span) {
        let length = name.chars().count();
        if !(1..=64).contains(&length) {
            self.faults
                .error(span, format!("the name of a limit has {length} characters"))
                .hint("1 to 64 are allowed");
        }
    }

    /// A group of the file's `limits`.
    fn group(&mut self, group: &Node) {
        let Some(name) = group.text() else { return };
        let limits = self.root.get("limits").map_or(&[][..], Node::entries);
        if limits.iter().any(|limit| limit.key == name) {
            return;
        }
        let hint = nearest(name, limits.iter().map(|limit| limit.key.as_str()));
        let hint = hint.map_or_else(
            || format!("add it at the top of the file: `limits: {{ {name}: {{ limit: 5 }} }}`"),
            |nearest| format!("did you mean `{nearest}`?"),
        );
        self.faults.error(group.span, format!("`limits` has no `{name}`")).hint(hint);
    }

    fn backoff(&mut self, backoff: &Node) {
        for node in ["min", "max"].into_iter().filter_map(|name| backoff.get(name)) {
            self.duration(node);
        }
        let wait = |name| duration_in(backoff, name);
        if let (Some((node, min)), Some((longest, max))) = (wait("min"), wait("max"))
            && min > max
        {
            self.faults
                .error(node.span, "the first wait is longer than the longest")
                .related(longest.span, "the longest");
        }
    }

    fn duration(&mut self, node: &Node) {
        let Some(text) = node.text() else { return };
        if let Err(error) = policy::parse_duration(text) {
            self.faults
                .error(node.span, error.to_string())
                .hint("write a number and its unit: `30s`, `15m`, `1h 30m`, `1d`");
        }
    }

    fn retention(&mut self, node: &Node) {
        let Some(text) = node.text() else { return };
        if let Err(error) = policy::parse_retention(text) {
            self.faults
                .error(node.span, error.to_string())
                .hint("write one day to 366 days: `30 days`, `90d`");
        }
    }

    /// Compiles a template, and warns of names that no event of the source has.
    fn template(&mut self, node: &Node, source: Option<Source>) {
        let Some(text) = node.text() else { return };
        match Template::compile(text) {
            Ok(template) => {
                if let Some(unknown) = template.unknown() {
                    let span = unknown.range().map_or(node.span, |range| node.span_within(range));
                    self.faults.error(span, unknown.to_string()).hint(
                        "the filters, tests and functions are minijinja's; each template would fail its run",
                    );
                }
                self.names(&template, node, source);
            }
            Err(error) => {
                let span = error.range().map_or(node.span, |range| node.span_within(range));
                self.faults.error(span, error.to_string()).hint(
                    "templates are Jinja: `{{ detail.object.key }}`; for plain braces write `{{ '{{' }}`",
                );
            }
        }
    }

    /// Compiles an event pattern; each fault points at its place in the file.
    fn event_pattern(&mut self, node: &Node) {
        if !matches!(node.kind, Kind::Map(_)) {
            return;
        }
        let (json, places) = node.to_json_with_places();
        let span = |offset| places.span_at(offset).unwrap_or(node.span);
        let pattern = match EventPattern::check(&json) {
            Ok(pattern) => pattern,
            Err(errors) => {
                for error in errors {
                    self.faults
                        .error(span(error.offset()), format!("event pattern: {error}"))
                        .hint_if(error.hint().map(str::to_owned));
                }
                return;
            }
        };
        for warning in pattern.warnings() {
            let severity = if warning.is_refused_by_eventbridge() {
                Severity::Error
            } else {
                Severity::Warning
            };
            self.faults
                .add(severity, span(warning.offset()), format!("event pattern: {warning}"))
                .hint_if(warning.hint().map(str::to_owned));
        }
    }

    /// Warns of members at the top of a pattern that no event has.
    ///
    /// Names with dots stand for nested ones, and the branches of `$or` for the object around them.
    fn envelope(&mut self, pattern: &Node, known: &[&str], what: &str, else_hint: &str) {
        for entry in pattern.entries() {
            if entry.key == "$or" {
                for branch in entry.value.items() {
                    self.envelope(branch, known, what, else_hint);
                }
                continue;
            }
            let name = entry.key.split('.').next().unwrap_or(&entry.key);
            // Other names with `$` are warned of as such.
            if !known.contains(&name) && !name.starts_with('$') {
                let hint = nearest(name, known.iter().copied()).map_or_else(
                    || else_hint.to_owned(),
                    |nearest| format!("did you mean `{nearest}`?"),
                );
                self.faults.warning(entry.key_span, format!("{what} has no `{name}`")).hint(hint);
            }
        }
    }
}
