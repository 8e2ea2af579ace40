//! `target`, defaults merged in: templates, the privilege guard, and the limits of
//! `RunTask` that show before any event comes.
//!
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html>

use std::collections::HashMap;

use super::{Checker, Source};
use crate::{
    rules::{
        fault::{Span, list, nearest, suggest},
        target::{PRIVILEGED, privileged},
        tree::{Entry, Kind, Node},
        validate::shortened,
    },
    template::{self, Template},
};

/// "Container Overrides length must be at most 8192"; counted in bytes, which is never less.
const OVERRIDES_MAX: usize = 8192;

const ENVELOPE: [&str; 11] = [
    "id",
    "source",
    "time",
    "region",
    "account",
    "resources",
    "detail",
    "detail_type",
    "event",
    "version",
    "detail-type",
];

/// What S3's events have in `detail`, and in its `bucket` and `object`.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
pub(super) const S3_NAMES: [(&str, &[&str]); 3] = [
    (
        "detail",
        &[
            "version",
            "bucket",
            "object",
            "request-id",
            "requester",
            "source-ip-address",
            "reason",
            "deletion-type",
            "source-storage-class",
            "destination-storage-class",
            "destination-access-tier",
            "restore-expiry-time",
        ],
    ),
    ("detail.bucket", &["name"]),
    ("detail.object", &["key", "size", "etag", "version-id", "sequencer"]),
];
/// What a message has in `detail`; or, of an object that it carries, what S3's events have.
const SQS_NAMES: [(&str, &[&str]); 1] = [(
    "detail",
    &[
        "body",
        "messageAttributes",
        "messageId",
        "messageGroupId",
        "messageDeduplicationId",
        "sequenceNumber",
        "sns",
        "bucket",
        "object",
    ],
)];

/// The names of a schedule's event.
const SCHEDULE_NAMES: [(&str, &[&str]); 1] =
    [("detail", &["rule", "scheduledTime", "localTime", "timezone", "missed", "input"])];

/// Where the target says that its task runs on Fargate.
fn on_fargate(target: &Node) -> Option<Span> {
    let launch_type = target.get("launchType").filter(|node| node.text() == Some("FARGATE"));
    let strategy = target.get("capacityProviderStrategy").map_or(&[][..], Node::items);
    let mut providers = strategy.iter().filter_map(|item| item.get("capacityProvider"));
    let is_fargates = |node: &&Node| matches!(node.text(), Some("FARGATE" | "FARGATE_SPOT"));
    launch_type.or_else(|| providers.find(is_fargates)).map(|node| node.span)
}

impl Checker<'_, '_> {
    /// Checks the target of `merged`, which is `rule` with its defaults.
    pub(super) fn target(&mut self, rule: &Node, merged: &Node, source: Option<Source>) {
        let place = |key: &str| rule.entry(key).map(|entry| entry.key_span);
        let at = place("target").or_else(|| place("name")).unwrap_or(rule.span);
        let Some(target) = merged.get("target") else {
            self.faults
                .error(at, "`target` is missing")
                .hint("say which task to start: `target: { taskDefinition: family }`");
            return;
        };
        if !matches!(target.kind, Kind::Map(_)) {
            return;
        }
        self.required(target, at);
        self.refused(target);
        self.capacity(target);
        self.network(target);
        self.counts(target);
        self.tags(target);
        self.overrides(target, at);
        self.own_definition(target, merged.get("payload"), at);
        let mut guarded = HashMap::new();
        self.templates(target, "", merged.get("allow"), source, &mut guarded);
        if let Some(allow) = merged.get("allow") {
            self.allow(allow, &guarded);
        }
    }

    /// Members that `defaults` may supply, so that no schema can ask for them.
    fn required(&mut self, target: &Node, at: Span) {
        if target.get("taskDefinition").is_none() {
            self.faults
                .error(at, "`target.taskDefinition` is missing")
                .hint("name a family, `family:revision`, or an ARN, here or in `defaults`");
        }
        for (path, member) in [
            (&["networkConfiguration", "awsvpcConfiguration"][..], "subnets"),
            (&["overrides", "ephemeralStorage"], "sizeInGiB"),
        ] {
            if let Some(node) = target.at(path)
                && matches!(node.kind, Kind::Map(_))
                && node.get(member).is_none()
            {
                let span = node.entries().first().map_or(node.span, |entry| entry.key_span);
                self.faults
                    .error(span, format!("`{member}` is missing"))
                    .hint("it belongs beside this, here or in `defaults`");
            }
        }
    }

    fn refused(&mut self, target: &Node) {
        for (key, hint) in [
            (
                "clientToken",
                "Taskferry derives it from run and attempt, so that no task starts twice",
            ),
            ("startedBy", "Taskferry writes the run's id here, so that every task names its run"),
        ] {
            if let Some(entry) = target.entry(key) {
                self.faults
                    .error(entry.key_span, format!("`{key}` is not a rule's to set"))
                    .hint(format!("leave it out: {hint}"));
            }
        }
        if let Some(count) = target.get("count")
            && (count.integer().is_some_and(|count| count != 1) || count.text().is_some())
        {
            self.faults
                .error(count.span, "`count` must be 1: one run is one task")
                .hint("leave it out; to start several tasks for an event write several rules");
        }
    }

    fn capacity(&mut self, target: &Node) {
        let launch_type = target.entry("launchType");
        let strategy = target.entry("capacityProviderStrategy");
        if let (Some(launch_type), Some(strategy)) = (launch_type, strategy) {
            self.faults
                .error(strategy.key_span, "`capacityProviderStrategy` excludes `launchType`")
                .hint("leave one of the two out")
                .related(launch_type.key_span, "the launch type");
        }
        if let Some(entry) = launch_type
            && entry.value.text() == Some("MANAGED_INSTANCES")
        {
            self.faults
                .error(
                    entry.value.span,
                    "`MANAGED_INSTANCES` is reached through a capacity provider",
                )
                .hint("name the provider in `capacityProviderStrategy` instead");
        }
        let items = strategy.map_or(&[][..], |entry| entry.value.items());
        let mut with_base: Option<Span> = None;
        for item in items {
            self.range(item.get("weight"), 0, 1_000);
            self.range(item.get("base"), 0, 100_000);
            let Some(base) = item.entry("base") else { continue };
            if base.value.integer().is_some_and(|base| base > 0) {
                if let Some(first) = with_base {
                    self.faults
                        .error(base.key_span, "only one capacity provider may have a `base`")
                        .related(first, "the first");
                }
                with_base.get_or_insert(base.key_span);
            }
        }
    }

    fn network(&mut self, target: &Node) {
        let Some(awsvpc) = target.at(&["networkConfiguration", "awsvpcConfiguration"]) else {
            return;
        };
        if let Some(subnets) = awsvpc.entry("subnets") {
            if matches!(&subnets.value.kind, Kind::List(items) if items.is_empty()) {
                self.faults.error(subnets.key_span, "`subnets` is empty").hint("it needs 1 to 16");
            }
            self.at_most(subnets, 16);
        }
        if let Some(groups) = awsvpc.entry("securityGroups") {
            self.at_most(groups, 5);
        }
    }

    fn counts(&mut self, target: &Node) {
        for (key, most) in [
            ("capacityProviderStrategy", 20),
            ("placementConstraints", 10),
            ("placementStrategy", 5),
            ("volumeConfigurations", 1),
            ("tags", 50),
        ] {
            if let Some(entry) = target.entry(key) {
                self.at_most(entry, most);
            }
        }
        self.range(target.at(&["overrides", "ephemeralStorage", "sizeInGiB"]), 21, 200);
    }

    pub(super) fn tags(&mut self, owner: &Node) {
        let mut seen: HashMap<&str, Span> = HashMap::new();
        for tag in owner.get("tags").map_or(&[][..], Node::items) {
            for (key, most) in [("key", 128), ("value", 256)] {
                let Some(node) = tag.get(key) else { continue };
                let Some(text) = node.text() else { continue };
                let length = text.chars().count();
                if length > most && !template::is_template(text) {
                    self.faults
                        .error(node.span, format!("a tag's {key} has {length} characters"))
                        .hint(format!("{most} are allowed"));
                }
            }
            let Some(node) = tag.get("key") else { continue };
            let Some(key) = node.text() else { continue };
            if key.to_ascii_lowercase().starts_with("aws:") {
                self.faults.error(node.span, "tags that begin with `aws:` are AWS's own");
            }
            if let Some(first) = seen.get(key) {
                self.faults
                    .error(node.span, format!("the tag `{}` is given twice", shortened(key)))
                    .related(*first, "first given here");
            }
            seen.entry(key).or_insert(node.span);
        }
    }

    fn overrides(&mut self, target: &Node, at: Span) {
        let Some(overrides) = target.entry("overrides") else { return };
        let least = least_size(&overrides.value);
        if least > OVERRIDES_MAX {
            let span = if overrides.value.entries().is_empty() { at } else { overrides.key_span };
            self.faults
                .error(span, format!("the overrides have at least {least} bytes as JSON"))
                .hint("ECS takes 8,192; put what is long into S3 and pass its place");
        }
        let mut seen: HashMap<&str, Span> = HashMap::new();
        let containers = overrides.value.get("containerOverrides");
        for container in containers.map_or(&[][..], Node::items) {
            let Some(node) = container.get("name") else { continue };
            let Some(name) = node.text() else { continue };
            if let Some(first) = seen.get(name) {
                self.faults
                    .error(
                        node.span,
                        format!("the container `{}` is overridden twice", shortened(name)),
                    )
                    .hint("put both into one entry")
                    .related(*first, "first here");
            }
            seen.entry(name).or_insert(node.span);
        }
    }

    /// What the file's own task definitions tell of a target that names one of them.
    fn own_definition(&mut self, target: &Node, payload: Option<&Node>, at: Span) {
        let Some(reference) = target.get("taskDefinition") else { return };
        let Some(text) = reference.text() else { return };
        let own = self.root.get("taskDefinitions").map_or(&[][..], Node::entries);
        if template::is_template(text) || text.contains('/') {
            return;
        }
        let family = text.split_once(':').map_or(text, |(family, _)| family);
        let Some(definition) = own.iter().find(|entry| entry.key == family) else {
            let families = own.iter().map(|entry| entry.key.as_str());
            if let Some(nearest) = nearest(family, families) {
                self.faults
                    .warning(reference.span, format!("`{family}` is not among `taskDefinitions`"))
                    .hint(format!("did you mean `{nearest}`?"));
            }
            return;
        };
        let containers: Vec<&str> = super::definitions::containers(&definition.value).collect();
        let overrides = target.at(&["overrides", "containerOverrides"]);
        let overridden = overrides.map_or(&[][..], Node::items).iter();
        let named = overridden.filter_map(|container| container.get("name"));
        for node in named.chain(payload.and_then(|payload| payload.get("container"))) {
            let Some(name) = node.text() else { continue };
            if !template::is_template(name) && !containers.contains(&name) && !containers.is_empty()
            {
                self.faults
                    .error(node.span, format!("`{family}` has no container called `{name}`"))
                    .hint_if(suggest(name, &containers))
                    .related(definition.key_span, "the task definition");
            }
        }
        let mode = definition.value.get("networkMode").and_then(Node::text);
        if mode == Some("awsvpc") && target.get("networkConfiguration").is_none() {
            let fault = self.faults.error(
                at,
                format!("`{family}` is in `awsvpc` mode, and the target says no network"),
            );
            fault
                .hint("add `networkConfiguration: { awsvpcConfiguration: { subnets: [...] } }`")
                .related(definition.key_span, "the task definition");
        }
        // https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html
        // "Fargate task definitions require that the network mode is set to awsvpc."
        let required = definition.value.get("requiresCompatibilities").map_or(&[][..], Node::items);
        // Where it does require Fargate, its own faults are told.
        let is_for_it =
            mode == Some("awsvpc") || required.iter().any(|it| it.text() == Some("FARGATE"));
        if let Some(fargate) = on_fargate(target).filter(|_| !is_for_it) {
            self.faults
                .error(fargate, format!("`{family}` cannot run on Fargate: it is not in `awsvpc` mode"))
                .hint("say `requiresCompatibilities: [FARGATE]`, `networkMode: awsvpc`, `cpu` and `memory` in the definition")
                .related(definition.key_span, "the task definition");
        }
    }

    /// Compiles every template of the target, and guards privileged fields.
    fn templates<'n>(
        &mut self,
        node: &'n Node,
        path: &str,
        allow: Option<&Node>,
        source: Option<Source>,
        guarded: &mut HashMap<&'static str, &'n Node>,
    ) {
        match &node.kind {
            Kind::Text(text) if template::is_template(&text.value) => {
                self.template(node, source);
                if let Some((name, path)) = privileged(path) {
                    guarded.insert(path, node);
                    let listed = allow.is_some_and(|allow| {
                        allow.get(name).is_some() || allow.get(path).is_some()
                    });
                    if !listed {
                        self.faults
                            .error(node.span, format!("`{name}` may not be left to a template"))
                            .hint(format!(
                                "whoever makes events could choose it; list the values it may take: \
                                 `allow: {{ {name}: [...] }}`"
                            ));
                    }
                }
            }
            Kind::List(items) => {
                for item in items {
                    self.templates(item, path, allow, source, guarded);
                }
            }
            Kind::Map(entries) => {
                for Entry { key, key_span, value, .. } in entries {
                    if template::is_template(key) {
                        self.faults
                            .warning(*key_span, "a key is never a template")
                            .hint("only values are rendered");
                    }
                    let dot = if path.is_empty() { "" } else { "." };
                    self.templates(value, &format!("{path}{dot}{key}"), allow, source, guarded);
                }
            }
            Kind::Text(_) | Kind::Broken | Kind::Null | Kind::Bool(_) | Kind::Number(_) => {}
        }
    }

    fn allow(&mut self, allow: &Node, guarded: &HashMap<&'static str, &Node>) {
        let names: Vec<&str> = PRIVILEGED.iter().map(|(name, _)| *name).collect();
        for entry in allow.entries() {
            let known =
                PRIVILEGED.iter().find(|(name, path)| entry.key == *name || entry.key == *path);
            let Some((name, path)) = known else {
                self.faults
                    .error(
                        entry.key_span,
                        format!("`{}` needs no list of values", shortened(&entry.key)),
                    )
                    .hint_if(nearest(&entry.key, names.iter().copied()).map_or_else(
                        || Some(format!("those that do: {}", list(&names))),
                        |nearest| Some(format!("did you mean `{nearest}`?")),
                    ));
                continue;
            };
            if !guarded.contains_key(path) {
                self.faults.warning(
                    entry.key_span,
                    format!("`{name}` holds no template, so this does nothing"),
                );
            }
            if matches!(&entry.value.kind, Kind::List(items) if items.is_empty()) {
                self.faults
                    .error(entry.key_span, format!("`{name}` is allowed no value at all"))
                    .hint("list the values that its template may render to");
            }
            for value in entry.value.items() {
                if value
                    .text()
                    .is_some_and(|text| template::is_template(text) || text.contains('*'))
                {
                    self.faults
                        .error(value.span, "values are compared letter by letter")
                        .hint("list each value; templates and `*` stand for nothing here");
                }
            }
        }
    }

    /// Warns of names that no event can have, as far as its source tells.
    pub(super) fn names(&mut self, template: &Template, node: &Node, source: Option<Source>) {
        for name in template.names() {
            let parts: Vec<&str> = name.split('.').collect();
            let mut parts = parts.as_slice();
            let at = |name: &str| {
                let found = template.source().find(name);
                found.map_or(node.span, |at| node.span_within(at..at + name.len()))
            };
            if !ENVELOPE.contains(&parts[0]) {
                let fault = self.faults.warning(at(&name), format!("no event has `{}`", parts[0]));
                // To Jinja `detail-type` is a difference, of which `detail` is there.
                let is_difference = parts[0] == "type" && template.source().contains("detail-type");
                fault.hint(match nearest(parts[0], ENVELOPE) {
                    _ if is_difference => "`detail-type` is written `detail_type` here".to_owned(),
                    Some(nearest) => format!("did you mean `{nearest}`?"),
                    None => format!(
                        "an event has {}; what it carries is in `detail`",
                        list(&ENVELOPE[..8])
                    ),
                });
                continue;
            }
            if parts[0] == "event" {
                parts = &parts[1..];
            }
            let known: &[(&str, &[&str])] = match source {
                Some(Source::S3) => &S3_NAMES,
                Some(Source::Sqs) => &SQS_NAMES,
                Some(Source::Schedule) => &SCHEDULE_NAMES,
                Some(Source::EventPattern) | None => &[],
            };
            for (parent, members) in known {
                let depth = parent.split('.').count();
                let here = parts.len() > depth && parts[..depth].join(".") == **parent;
                if here && !members.contains(&parts[depth]) {
                    let nearest = nearest(parts[depth], members.iter().copied());
                    let nearest = nearest.map(|member| {
                        let plain = member.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
                        if plain {
                            format!("{parent}.{member}")
                        } else {
                            format!("{parent}[\"{member}\"]")
                        }
                    });
                    self.faults
                        .warning(at(&name), format!("`{parent}` has no `{}`", parts[depth]))
                        .hint(match nearest {
                            Some(nearest) => format!("did you mean `{nearest}`?"),
                            None => format!("`{parent}` has {}", list(members)),
                        });
                }
            }
        }
    }

    fn at_most(&mut self, entry: &Entry, most: usize) {
        let found = entry.value.items().len();
        if found > most {
            self.faults
                .error(entry.key_span, format!("`{}` has {found} items", entry.key))
                .hint(format!("{most} are allowed"));
        }
    }

    fn range(&mut self, node: Option<&Node>, least: i64, most: i64) {
        if let Some(node) = node
            && let Some(value) = node.integer()
            && !(least..=most).contains(&value)
        {
            self.faults
                .error(node.span, format!("{value} is out of range"))
                .hint(format!("{least} to {most} are allowed"));
        }
    }
}

/// The size as JSON when every template renders to nothing.
fn least_size(node: &Node) -> usize {
    match &node.kind {
        Kind::Text(text) if template::is_template(&text.value) => 2,
        Kind::Text(_) | Kind::Broken | Kind::Null | Kind::Bool(_) | Kind::Number(_) => {
            node.to_json().len()
        }
        Kind::List(items) => {
            2 + items.iter().map(least_size).sum::<usize>() + items.len().saturating_sub(1)
        }
        Kind::Map(entries) => {
            let sizes = entries.iter().map(|entry| entry.key.len() + 3 + least_size(&entry.value));
            2 + sizes.sum::<usize>() + entries.len().saturating_sub(1)
        }
    }
}
