//! Events that are put aside where a rule is on the watch: the object of a run would start another run.
//!
//! Seen by asking each rule about the object that each other one would write. Called once the rules are compiled.

use serde_json::json;
use taskferry_event_pattern::Matcher;

use super::{
    On, Rules, bus_name,
    fault::{Fault, Severity},
    tree::Node,
};
use crate::{event::Event, run::RunId};

/// A fault for each rule that what is put aside would start: an error where it is the rule's own.
pub(super) fn heard(root: &Node, rules: &Rules) -> Vec<Fault> {
    let is_on_objects = |on: &On| match on {
        On::S3 { .. } => true,
        On::EventPattern { bus, .. } => bus_name(bus) == "default",
        On::Sqs { .. } => on.objects().is_some(),
        On::Schedule(_) => false,
    };
    let listeners: Vec<usize> =
        (0..rules.rules.len()).filter(|&rule| is_on_objects(&rules.rules[rule].on)).collect();
    let matcher =
        Matcher::new(listeners.iter().map(|&rule| rules.rules[rule].event_pattern.clone()));
    let mut faults = Vec::new();
    for (writer, rule) in rules.rules.iter().enumerate() {
        let bucket = rule.target.payload().and_then(|payload| payload.bucket.as_deref());
        let Some(bucket) = bucket else { continue };
        let Some(written) = sample(&rules.name, rule.name.as_ref(), bucket) else { continue };
        for heard in matcher.matches(written.text()).unwrap_or_default() {
            faults.push(fault(root, rules, writer, listeners[heard], bucket));
        }
    }
    faults
}

fn fault(root: &Node, rules: &Rules, writer: usize, listener: usize, bucket: &str) -> Fault {
    let name = |rule: usize| rules.rules[rule].name.as_ref();
    let (severity, what) = if writer == listener {
        (Severity::Error, "it again".to_owned())
    } else {
        (Severity::Warning, format!("the rule `{}`", name(listener)))
    };
    let who = name(writer);
    let on = root.get("rules").and_then(|rules| rules.items().get(listener)?.entry("on"));
    Fault {
        severity,
        path: format!("rules[{listener}].on"),
        rule: Some(name(listener).to_owned()),
        span: on.map(|on| on.key_span),
        message: format!(
            "the events that the rule `{who}` puts aside in `{bucket}` would start {what}"
        ),
        hint: Some(
            "give `payload` a bucket of its own, or the rule a `prefix`: what is put aside is called `RUN.json`"
                .to_owned(),
        ),
        related: Vec::new(),
    }
}

/// The event of S3 for what a run of the rule puts aside.
fn sample(stack: &str, rule: &str, bucket: &str) -> Option<Event> {
    let key = format!("{}.json", RunId::new(stack, rule, "sample"));
    let sample = json!({
        "version": "0", "id": "sample", "source": "aws.s3", "detail-type": "Object Created",
        "account": "000000000000", "region": "us-east-1", "time": "2026-01-01T00:00:00Z",
        "resources": [format!("arn:aws:s3:::{bucket}")],
        "detail": {
            "version": "0", "bucket": { "name": bucket }, "object": { "key": key, "size": 262_144 },
            "reason": "PutObject",
        },
    });
    Event::parse(&sample.to_string()).ok()
}
