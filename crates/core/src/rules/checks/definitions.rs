//! `taskDefinitions` and `local`: what ECS would refuse to register, and
//! containers that are not there.

use std::collections::HashMap;

use super::Checker;
use crate::{
    rules::{
        fault::{Span, suggest},
        merge,
        tree::{Entry, Kind, Node},
        validate::shortened,
    },
    template,
};

/// The names of a definition's containers.
pub(super) fn containers(definition: &Node) -> impl Iterator<Item = &str> {
    let containers = definition.get("containerDefinitions").map_or(&[][..], Node::items);
    containers.iter().filter_map(|container| container.get("name")?.text())
}

impl Checker<'_, '_> {
    pub(super) fn definitions(&mut self) {
        for entry in self.root.get("taskDefinitions").map_or(&[][..], Node::entries) {
            let right = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            let family = &entry.key;
            if family.is_empty() || family.len() > 255 || !family.chars().all(right) {
                self.faults
                    .error(entry.key_span, format!("`{}` cannot be a family", shortened(family)))
                    .hint("1 to 255 letters, digits, `-` and `_`; ECS counts the revisions");
            }
            if let Some(inner) = entry.value.get("family")
                && inner.text().is_some_and(|text| text != family)
            {
                self.faults
                    .error(inner.span, format!("`family` says other than its key, `{family}`"))
                    .hint("leave it out");
            }
            self.tags(&entry.value);
            self.fargate(&entry.value, entry.key_span);
            self.container_definitions(&entry.value, entry.key_span);
            self.not_rendered(&entry.value);
        }
    }

    /// A task definition is registered once, before there is an event.
    fn not_rendered(&mut self, node: &Node) {
        match &node.kind {
            Kind::Text(text) if text.value.contains("{{") && text.value.contains("detail") => {
                self.faults
                    .warning(node.span, "a task definition is registered as it stands")
                    .hint("put what depends on the event into `target.overrides` of a rule");
            }
            Kind::List(items) => items.iter().for_each(|item| self.not_rendered(item)),
            Kind::Map(entries) => entries.iter().for_each(|entry| self.not_rendered(&entry.value)),
            Kind::Text(_) | Kind::Broken | Kind::Null | Kind::Bool(_) | Kind::Number(_) => {}
        }
    }

    fn fargate(&mut self, definition: &Node, key: Span) {
        let compatibilities = definition.get("requiresCompatibilities");
        let fargate = compatibilities
            .map_or(&[][..], Node::items)
            .iter()
            .any(|item| item.text() == Some("FARGATE"));
        if !fargate {
            return;
        }
        match definition.get("networkMode") {
            None => {
                self.faults
                    .error(key, "Fargate needs a network mode")
                    .hint("add `networkMode: awsvpc`");
            }
            Some(mode) if mode.text().is_some_and(|mode| mode != "awsvpc") => {
                self.faults
                    .error(mode.span, "Fargate runs in network mode `awsvpc` only")
                    .hint("write `networkMode: awsvpc`");
            }
            Some(_) => {}
        }
        let (cpu, memory) = (definition.get("cpu"), definition.get("memory"));
        for (name, node) in [("cpu", cpu), ("memory", memory)] {
            if node.is_none() {
                self.faults
                    .error(key, format!("Fargate needs `{name}`"))
                    .hint("the smallest task has `cpu: \"256\"` and `memory: \"512\"`");
            }
        }
        if let (Some(cpu), Some(memory)) = (cpu, memory) {
            self.fargate_size(cpu, memory);
        }
    }

    fn fargate_size(&mut self, cpu: &Node, memory: &Node) {
        let (Some(cpu_text), Some(memory_text)) = (cpu.text(), memory.text()) else { return };
        let units = size(cpu_text, &["vcpu"]);
        let Some((_, allowed)) = FARGATE.iter().find(|(size, _)| Some(*size) == units) else {
            self.faults
                .error(cpu.span, format!("Fargate has no size with cpu `{}`", shortened(cpu_text)))
                .hint("\"256\", \"512\", \"1024\", \"2048\", \"4096\", \"8192\" or \"16384\"");
            return;
        };
        let (least, most, step) = *allowed;
        let fits = size(memory_text, &["gb"]).is_some_and(|memory| {
            let odd = memory == 512 && least == 512;
            odd || ((least..=most).contains(&memory) && memory % step == 0)
        });
        if !fits {
            let memory_text = shortened(memory_text);
            let exact = if least == 512 {
                "\"512\", \"1024\" or \"2048\"".to_owned()
            } else {
                format!("\"{least}\" to \"{most}\" in steps of {step}")
            };
            self.faults
                .error(
                    memory.span,
                    format!("memory `{memory_text}` does not go with cpu `{cpu_text}`"),
                )
                .hint(format!("with cpu \"{cpu_text}\" Fargate has {exact}"))
                .related(cpu.span, "the cpu");
        }
    }

    fn container_definitions(&mut self, definition: &Node, key: Span) {
        let Some(list) = definition.entry("containerDefinitions") else { return };
        let Kind::List(items) = &list.value.kind else { return };
        if items.is_empty() {
            self.faults.error(key, "a task definition needs a container");
            return;
        }
        let essential = |item: &Node| {
            !matches!(item.get("essential").map(|node| &node.kind), Some(Kind::Bool(false)))
        };
        if !items.iter().any(essential) {
            self.faults
                .error(list.key_span, "no container is essential")
                .hint("leave `essential` out where the task ends with the container");
        }
        let names: Vec<&str> = containers(definition).collect();
        let volumes: Vec<&str> = definition
            .get("volumes")
            .map_or(&[][..], Node::items)
            .iter()
            .filter_map(|volume| volume.get("name")?.text())
            .collect();
        let mut seen: HashMap<&str, Span> = HashMap::new();
        for item in items {
            if let Some(node) = item.get("name")
                && let Some(name) = node.text()
            {
                self.container_name(name, node, &mut seen);
                self.depends_on(item, name, &names);
            }
            for mount in item.get("mountPoints").map_or(&[][..], Node::items) {
                let Some(node) = mount.get("sourceVolume") else { continue };
                if let Some(volume) = node.text()
                    && !volumes.contains(&volume)
                {
                    self.faults
                        .error(node.span, format!("no volume is called `{}`", shortened(volume)))
                        .hint_if(suggest(volume, &volumes));
                }
            }
        }
    }

    fn container_name<'n>(
        &mut self,
        name: &'n str,
        node: &Node,
        seen: &mut HashMap<&'n str, Span>,
    ) {
        let right = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if name.is_empty() || name.len() > 255 || !name.chars().all(right) {
            self.faults
                .error(node.span, format!("`{}` cannot be a container's name", shortened(name)))
                .hint("1 to 255 letters, digits, `-` and `_`");
        }
        if let Some(first) = seen.get(name) {
            self.faults
                .error(node.span, format!("the container `{name}` is there twice"))
                .related(*first, "first here");
        }
        seen.entry(name).or_insert(node.span);
    }

    fn depends_on(&mut self, container: &Node, name: &str, names: &[&str]) {
        for dependency in container.get("dependsOn").map_or(&[][..], Node::items) {
            let Some(node) = dependency.get("containerName") else { continue };
            let Some(other) = node.text() else { continue };
            if other == name {
                self.faults.error(node.span, "a container cannot wait for itself");
            } else if !names.contains(&other) {
                self.faults
                    .error(node.span, format!("no container is called `{}`", shortened(other)))
                    .hint_if(suggest(other, names));
            }
        }
    }

    pub(super) fn local_containers(&mut self) {
        let own = self.root.get("taskDefinitions").map_or(&[][..], Node::entries);
        let containers_here = self.root.at(&["local", "containers"]);
        for entry in containers_here.map_or(&[][..], Node::entries) {
            let parts = entry.key.split_once('/');
            let Some((family, container)) = parts.filter(|(a, b)| !a.is_empty() && !b.is_empty())
            else {
                self.faults
                    .error(
                        entry.key_span,
                        format!("`{}` names no container", shortened(&entry.key)),
                    )
                    .hint("write `family/container`, such as `thumbnailer/app`");
                continue;
            };
            self.replaced_command(entry, family, container);
            let Some(definition) = own.iter().find(|definition| definition.key == family) else {
                let families = own.iter().map(|definition| definition.key.as_str());
                if let Some(nearest) = crate::rules::fault::nearest(family, families) {
                    self.faults
                        .warning(
                            entry.key_span,
                            format!("`{family}` is not among `taskDefinitions`"),
                        )
                        .hint(format!("did you mean `{nearest}/{container}`?"));
                }
                continue;
            };
            let names: Vec<&str> = containers(&definition.value).collect();
            if !names.contains(&container) {
                self.faults
                    .error(
                        entry.key_span,
                        format!("`{family}` has no container called `{container}`"),
                    )
                    .hint_if(suggest(container, &names))
                    .related(definition.key_span, "the task definition");
            }
            for key in ["command", "entryPoint"] {
                for word in entry.value.get(key).map_or(&[][..], Node::items) {
                    if word.text().is_some_and(template::is_template) {
                        self.faults
                            .warning(word.span, format!("`{key}` is no template here"))
                            .hint("what depends on the event belongs into `target.overrides`");
                    }
                }
            }
        }
    }
}

impl Checker<'_, '_> {
    /// A rule's command replaces a local `command`, and with it the program that it names.
    fn replaced_command(&mut self, local: &Entry, family: &str, container: &str) {
        let Some(command) = local.value.entry("command") else { return };
        if local.value.get("entryPoint").is_some() {
            return;
        }
        for rule in self.root.get("rules").map_or(&[][..], Node::items) {
            let merged = merge::with_defaults(self.root.get("defaults"), rule);
            let Some(target) = merged.get("target") else { continue };
            let reference = target.get("taskDefinition").and_then(Node::text).unwrap_or_default();
            if reference.split(':').next() != Some(family) {
                continue;
            }
            let overrides = target.at(&["overrides", "containerOverrides"]);
            let of_container =
                |over: &&Node| over.get("name").and_then(Node::text) == Some(container);
            let over = overrides.map_or(&[][..], Node::items).iter().find(of_container);
            let Some(over) = over.and_then(|over| over.entry("command")) else { continue };
            if !over.value.items().is_empty() {
                self.faults
                    .warning(
                        command.key_span,
                        "a rule's `command` replaces this one, program and all",
                    )
                    .hint("write it as `entryPoint`; the rule's command is then its arguments")
                    .related(over.key_span, "the rule's");
                return;
            }
        }
    }
}

/// Fargate's sizes: CPU units, then least and most memory in MiB, and its steps.
///
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html>
const FARGATE: [(u64, (u64, u64, u64)); 7] = [
    (256, (512, 2048, 1024)),
    (512, (1024, 4096, 1024)),
    (1024, (2048, 8192, 1024)),
    (2048, (4096, 16384, 1024)),
    (4096, (8192, 30720, 1024)),
    (8192, (16384, 61440, 4096)),
    (16384, (32768, 122_880, 8192)),
];

/// A size as ECS reads it: `1024`, `1 vCPU`, `0.5GB`; in CPU units or MiB.
fn size(text: &str, units: &[&str]) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    if let Ok(plain) = text.parse() {
        return Some(plain);
    }
    let number = units.iter().find_map(|unit| text.strip_suffix(unit))?.trim_end();
    let number = number.parse::<f64>().ok().filter(|number| (0.0..=1024.0).contains(number))?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0 to 1,024 by the filter"
    )]
    Some((number * 1024.0).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_ecs_reads_them() {
        assert_eq!(size("1024", &["vcpu"]), Some(1024));
        assert_eq!(size("1 vCPU", &["vcpu"]), Some(1024));
        assert_eq!(size(".25 vcpu", &["vcpu"]), Some(256));
        assert_eq!(size("0.5GB", &["gb"]), Some(512));
        assert_eq!(size("lots", &["gb"]), None);
        assert_eq!(size("-1GB", &["gb"]), None);
    }
}
