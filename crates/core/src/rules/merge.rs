//! `defaults` under every rule: maps merge key by key, lists and plain values replace.
//!
//! Each part keeps its own place, so a fault in `defaults` points there.

use super::tree::{Kind, Node};

/// The two ways of saying where a task runs exclude each other, so a rule that
/// says one does not inherit the other.
const EXCLUSIVE: [&str; 2] = ["capacityProviderStrategy", "launchType"];

/// `rule` with what it leaves to `defaults`.
pub(super) fn with_defaults(defaults: Option<&Node>, rule: &Node) -> Node {
    let Some(defaults) = defaults else { return rule.clone() };
    let mut defaults = defaults.clone();
    if let (Kind::Map(entries), Some(target)) = (&mut defaults.kind, rule.get("target")) {
        for entry in entries.iter_mut().filter(|entry| entry.key == "target") {
            forget_excluded(&mut entry.value, target);
        }
    }
    let mut merged = rule.clone();
    under(&mut merged, defaults);
    merged
}

fn forget_excluded(defaults: &mut Node, target: &Node) {
    let Kind::Map(entries) = &mut defaults.kind else { return };
    for [said, excluded] in [EXCLUSIVE, [EXCLUSIVE[1], EXCLUSIVE[0]]] {
        if target.get(said).is_some() {
            entries.retain(|entry| entry.key != excluded);
        }
    }
}

/// Puts `below` under `node`: what `node` lacks comes from there.
fn under(node: &mut Node, below: Node) {
    let (Kind::Map(entries), Kind::Map(more)) = (&mut node.kind, below.kind) else { return };
    for entry in more {
        match entries.iter_mut().find(|own| own.key == entry.key) {
            Some(own) => under(&mut own.value, entry.value),
            None => entries.push(entry),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::rules::{fault::Faults, read};

    fn node(value: &Value) -> Node {
        let mut faults = Faults::default();
        read::parse(&value.to_string(), &mut faults).unwrap()
    }

    #[track_caller]
    fn check(defaults: &Value, rule: &Value, expected: &Value) {
        let merged = with_defaults(Some(&node(defaults)), &node(rule));
        assert_eq!(serde_json::from_str::<Value>(&merged.to_json()).unwrap(), *expected);
    }

    #[test]
    fn maps_merge_and_lists_replace() {
        check(
            &json!({ "target": { "cluster": "a", "tags": [1, 2], "overrides": { "cpu": "1" } } }),
            &json!({ "target": { "tags": [3], "overrides": { "memory": "2" } } }),
            &json!({ "target": { "cluster": "a", "tags": [3], "overrides": { "cpu": "1", "memory": "2" } } }),
        );
    }

    #[test]
    fn a_rule_wins_whatever_the_types() {
        check(&json!({ "a": { "b": 1 } }), &json!({ "a": 2 }), &json!({ "a": 2 }));
        check(&json!({ "a": 2 }), &json!({ "a": { "b": 1 } }), &json!({ "a": { "b": 1 } }));
    }

    #[test]
    fn launch_type_and_strategy_do_not_meet() {
        check(
            &json!({ "target": { "launchType": "FARGATE", "cluster": "a" } }),
            &json!({ "target": { "capacityProviderStrategy": [] } }),
            &json!({ "target": { "capacityProviderStrategy": [], "cluster": "a" } }),
        );
        check(
            &json!({ "target": { "capacityProviderStrategy": [1] } }),
            &json!({ "target": { "launchType": "EC2" } }),
            &json!({ "target": { "launchType": "EC2" } }),
        );
    }
}
