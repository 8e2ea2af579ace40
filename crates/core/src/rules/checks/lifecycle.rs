//! Patterns for Taskferry's own events: of what no run tells, a rule would wait without a word.

use super::Checker;
use crate::{
    chain::{self, LifecycleEvent},
    rules::{fault::suggest, tree::Node},
};

impl Checker<'_, '_> {
    /// Warns of names that no event of this stack's runs has, where a pattern is for those alone.
    pub(super) fn lifecycle(&mut self, pattern: &Node) {
        let source = pattern.get("source").map_or(&[][..], Node::items);
        if !matches!(source, [source] if source.text() == Some(chain::SOURCE)) {
            return;
        }
        let types = LifecycleEvent::ALL.map(LifecycleEvent::detail_type);
        for (node, name) in texts(pattern.get("detail-type")) {
            if !types.contains(&name) {
                self.faults
                    .warning(node.span, format!("no run tells of `{name}`"))
                    .hint_if(suggest(name, &types));
            }
        }
        let stack = self.root.get("name").and_then(Node::text);
        let stacks = pattern.at(&["detail", "stack"]);
        if stacks.is_some() && !texts(stacks).any(|(_, name)| Some(name) == stack) {
            return;
        }
        let rules = self.root.get("rules").map_or(&[][..], Node::items);
        let known: Vec<&str> = rules.iter().filter_map(|rule| rule.get("name")?.text()).collect();
        for (node, name) in texts(pattern.at(&["detail", "rule"])) {
            if !known.contains(&name) {
                self.faults
                    .warning(node.span, format!("this file has no rule `{name}`"))
                    .hint_if(suggest(name, &known));
            }
        }
    }
}

/// The values that a pattern wants letter by letter.
fn texts(values: Option<&Node>) -> impl Iterator<Item = (&Node, &str)> {
    let values = values.map_or(&[][..], Node::items);
    values.iter().filter_map(|value| Some((value, value.text()?)))
}
