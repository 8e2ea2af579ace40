//! `on`: exactly one source, and each part of it as AWS takes it.

use jiff::Timestamp;
use serde_json::json;

use super::{Checker, Source};
use crate::{
    event,
    rules::{
        fault::{list, suggest},
        on,
        tree::{Entry, Kind, Node},
    },
    schedule::{self, Schedule, ZONE_DEFAULT, in_aws_form},
    template::{Context, Template},
};

const SOURCES: [(&str, Source); 4] = [
    ("s3", Source::S3),
    ("schedule", Source::Schedule),
    ("sqs", Source::Sqs),
    ("eventPattern", Source::EventPattern),
];

/// Keys that only make sense beside another.
const COMPANIONS: [(&str, &str); 7] = [
    ("timezone", "schedule"),
    ("start", "schedule"),
    ("end", "schedule"),
    ("flexibleTimeWindow", "schedule"),
    ("input", "schedule"),
    ("missed", "schedule"),
    ("bus", "eventPattern"),
];

/// What an event on a bus has; `replay-name` if it comes from an archive.
// https://docs.aws.amazon.com/eventbridge/latest/ref/events-structure.html
const EVENT_FIELDS: [&str; 10] = [
    "version",
    "id",
    "detail-type",
    "source",
    "account",
    "time",
    "region",
    "resources",
    "detail",
    "replay-name",
];

/// What a message of a queue has for a pattern.
const MESSAGE_FIELDS: [&str; 4] = ["body", "messageAttributes", "messageId", "messageGroupId"];

impl Checker<'_, '_> {
    /// Checks `on`, and says which source it is if it is exactly one.
    pub(super) fn source(&mut self, rule: &Node) -> Option<Source> {
        let on = rule.entry("on")?;
        if !matches!(on.value.kind, Kind::Map(_)) {
            return None;
        }
        let found: Vec<(&Entry, Source)> = SOURCES
            .iter()
            .filter_map(|(key, source)| Some((on.value.entry(key)?, *source)))
            .collect();
        match found.as_slice() {
            [] => {
                self.faults
                    .error(on.key_span, "`on` says no source")
                    .hint("give it one of `s3`, `schedule`, `sqs`, `eventPattern`");
            }
            [_] => {}
            [first, others @ ..] => {
                for (other, _) in others {
                    let (a, b) = (&first.0.key, &other.key);
                    self.faults
                        .error(
                            other.key_span,
                            format!("a rule has one source, and `{a}` is there already"),
                        )
                        .hint(format!("write a second rule for `{b}`"))
                        .related(first.0.key_span, "the first");
                }
            }
        }
        for (key, companion) in COMPANIONS {
            if let Some(entry) = on.value.entry(key)
                && on.value.get(companion).is_none()
            {
                self.faults
                    .error(entry.key_span, format!("`{key}` belongs beside `{companion}`"))
                    .hint("leave it out");
            }
        }
        for (entry, source) in &found {
            self.source_parts(&on.value, entry, *source);
        }
        if let [(_, source)] = found.as_slice() { Some(*source) } else { None }
    }

    fn source_parts(&mut self, on: &Node, entry: &Entry, source: Source) {
        match source {
            Source::S3 => self.s3(&entry.value),
            Source::Schedule => self.schedule(on, &entry.value),
            Source::Sqs => {
                self.sqs(&entry.value);
                self.faults
                    .warning(entry.key_span, "queues are checked but do not run yet")
                    .hint("this version runs rules on `s3` and `eventPattern`");
            }
            Source::EventPattern => {
                self.event_pattern(&entry.value);
                let hint = "what an event is about is under `detail`";
                self.envelope(&entry.value, &EVENT_FIELDS, "an event", hint);
                if let Some(bus) = on.get("bus") {
                    self.not_empty(bus, "bus");
                }
            }
        }
    }

    // https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
    fn s3(&mut self, s3: &Node) {
        if let Some(bucket) = s3.get("bucket")
            && let Some(name) = bucket.text()
        {
            let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
            let right = |c: char| edge(c) || matches!(c, '.' | '-');
            let well_formed = (3..=63).contains(&name.len())
                && name.chars().all(right)
                && name.starts_with(edge)
                && name.ends_with(edge)
                && !name.contains("..");
            if !well_formed {
                self.faults.error(bucket.span, format!("`{name}` cannot be a bucket's name")).hint(
                    "3 to 63 lower-case letters, digits, `-` and `.`, a letter or digit at both ends",
                );
            }
        }
        for key in ["prefix", "suffix"] {
            let Some(node) = s3.get(key) else { continue };
            let Some(text) = node.text() else { continue };
            if text.len() > 1024 {
                self.faults
                    .error(node.span, format!("the {key} has {} bytes", text.len()))
                    .hint("a key has 1,024 at most");
            } else if key == "prefix" && text.starts_with('/') {
                self.faults
                    .warning(node.span, "keys seldom begin with `/`")
                    .hint(format!("write `{}` if that is meant", text.trim_start_matches('/')));
            } else if text.contains('*') {
                self.faults
                    .warning(node.span, format!("`*` in a {key} stands for itself"))
                    .hint(format!("leave it out: a {key} needs no `*`"));
            }
        }
        for event in s3.get("events").map_or(&[][..], Node::items) {
            let Some(name) = event.text() else { continue };
            let known: Vec<_> = on::s3_events().collect();
            if !known.contains(&name) {
                self.faults
                    .error(event.span, format!("`{name}` is not an S3 event type"))
                    .hint_if(suggest(name, &known));
            }
        }
    }

    fn schedule(&mut self, on: &Node, expression: &Node) {
        let zone = on.get("timezone");
        let zone_name = zone.and_then(Node::text).unwrap_or(ZONE_DEFAULT);
        let text = expression.text().map(in_aws_form);
        let schedule = match text {
            Some(Ok(text)) => match Schedule::parse(&text, ZONE_DEFAULT) {
                Ok(_) => Schedule::parse(&text, zone_name),
                error @ Err(_) => error,
            },
            Some(Err(error)) => Err(error),
            None => return,
        };
        let mut fault = |node: &Node, error: &schedule::Error| {
            self.faults.error(node.span, error.to_string()).hint(error.hint());
        };
        if let (Err(error), Some(zone)) = (schedule::time_zone(zone_name), zone) {
            fault(zone, &error);
        }
        match &schedule {
            Err(schedule::Error::Zone { .. }) | Ok(_) => {}
            Err(error) => fault(expression, error),
        }
        let Some(times) = self.times(on) else { return };
        if let Ok(schedule) = schedule {
            self.fires(expression, &schedule, times);
        }
        self.window(on);
        self.input(on, zone_name);
    }

    /// The start and the end of a schedule, unless they are faulty.
    fn times(&mut self, on: &Node) -> Option<[Option<Timestamp>; 2]> {
        let mut times = [None, None];
        let mut is_faulty = false;
        for (time, key) in times.iter_mut().zip(["start", "end"]) {
            let Some(node) = on.get(key) else { continue };
            let Some(text) = node.text() else {
                is_faulty = true;
                continue;
            };
            match on::time(Some(&text.to_owned())) {
                Ok(read) => *time = read,
                Err(error) => {
                    is_faulty = true;
                    self.faults
                        .error(node.span, error.to_string())
                        .hint("write it with its zone, such as `2027-01-31T09:00:00Z`");
                }
            }
        }
        if let ([Some(from), Some(to)], Some(start), Some(end)) =
            (times, on.get("start"), on.get("end"))
            && from >= to
        {
            self.faults
                .error(end.span, "the schedule ends before it starts")
                .related(start.span, "the start");
            is_faulty = true;
        }
        (!is_faulty).then_some(times)
    }

    /// A schedule that never fires is none.
    fn fires(
        &mut self,
        expression: &Node,
        schedule: &Schedule,
        [start, end]: [Option<Timestamp>; 2],
    ) {
        if !schedule.fires() {
            let zone = schedule.zone_name();
            self.faults
                .error(expression.span, "the schedule never fires")
                .hint(format!("no year has such a day, or the clocks of {zone} skip the time"));
        } else if !schedule.clone().between(start, end).fires() {
            self.faults
                .error(expression.span, "the schedule never fires between its start and its end")
                .hint("move `start` or `end`");
        }
    }

    fn window(&mut self, on: &Node) {
        let Some(window) = on.get("flexibleTimeWindow") else { return };
        let minutes = window.get("maximumWindowInMinutes");
        match (window.get("mode").and_then(Node::text), minutes) {
            (Some("FLEXIBLE"), None) => {
                self.faults
                    .error(window.span, "`maximumWindowInMinutes` is missing")
                    .hint("say how long the window is: `maximumWindowInMinutes: 15`");
            }
            (Some("OFF"), Some(minutes)) => {
                self.faults
                    .error(minutes.span, "there is no window that could be so long")
                    .hint("write `mode: FLEXIBLE`, or leave it out");
            }
            _ => {}
        }
    }

    /// The templates of a schedule's input know all that they can be rendered over.
    fn input(&mut self, on: &Node, zone: &str) {
        let Some(input) = on.get("input") else { return };
        let sample = json!({
            "version": "0",
            "id": "",
            "detail-type": event::schedule::DETAIL_TYPE,
            "source": event::schedule::SOURCE,
            "account": "",
            "time": "2027-01-31T09:00:00Z",
            "region": "",
            "resources": [""],
            "detail": {
                "rule": "rule",
                "scheduledTime": "2027-01-31T09:00:00Z",
                "localTime": "2027-01-31T09:00:00+00:00",
                "timezone": zone,
            },
        });
        let mut nodes = vec![input];
        while let Some(node) = nodes.pop() {
            nodes.extend(node.items());
            nodes.extend(node.entries().iter().map(|entry| &entry.value));
            let Some(text) = node.text() else { continue };
            let rendered = Template::compile(text)
                .map(|template| template.render(&Context::of_json(&sample)).map(|_| ()));
            // What a schedule's event has is known, so a name that is missing is no matter of the event.
            if let Ok(Err(error)) = rendered {
                let span = error.range().map_or(node.span, |range| node.span_within(range));
                self.faults.error(span, error.to_string()).hint(
                    "a schedule's event has `time`, `detail.scheduledTime`, `detail.localTime`, `detail.timezone`, `detail.rule`",
                );
            } else {
                self.template(node, Some(Source::Schedule));
            }
        }
    }

    // https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-queue-message-identifiers.html
    fn sqs(&mut self, sqs: &Node) {
        if let Some(queue) = sqs.get("queue")
            && let Some(text) = queue.text()
        {
            let name = text.rsplit([':', '/']).next().unwrap_or(text);
            let base = name.strip_suffix(".fifo").unwrap_or(name);
            let right = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            if base.is_empty() || name.len() > 80 || !base.chars().all(right) {
                self.faults.error(queue.span, format!("`{text}` cannot be a queue's name")).hint(
                    "1 to 80 letters, digits, `-` and `_`, with `.fifo` at the end of a FIFO queue",
                );
            }
        }
        if let Some(pattern) = sqs.get("eventPattern") {
            self.event_pattern(pattern);
            let hint = format!("allowed here: {}", list(&MESSAGE_FIELDS));
            self.envelope(pattern, &MESSAGE_FIELDS, "a message", &hint);
        }
    }

    /// A name that must say something.
    fn not_empty(&mut self, node: &Node, what: &str) {
        if node.text().is_some_and(str::is_empty) {
            self.faults.error(node.span, format!("the {what} is empty"));
        }
    }
}
