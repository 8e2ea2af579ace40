//! `on`: exactly one source, and each part of it as AWS takes it.

use std::collections::BTreeMap;

use jiff::{Timestamp, civil::DateTime};
use serde_json::json;

use super::{Checker, Source, target::S3_NAMES};
use crate::{
    event,
    event::sqs,
    rules::{
        fault::{list, suggest},
        on,
        tree::{Entry, Kind, Node},
    },
    schedule::{self, Schedule, ZONE_DEFAULT, in_aws_form},
    template::{Context, Template},
    wiring::HELD_IN_ORDER,
};

const SOURCES: [(&str, Source); 4] = [
    ("s3", Source::S3),
    ("schedule", Source::Schedule),
    ("sqs", Source::Sqs),
    ("eventPattern", Source::EventPattern),
];

/// Keys that only make sense beside another.
const COMPANIONS: [(&str, &[&str]); 8] = [
    ("timezone", &["schedule"]),
    ("start", &["schedule"]),
    ("end", &["schedule"]),
    ("flexibleTimeWindow", &["schedule"]),
    ("input", &["schedule"]),
    ("missed", &["schedule"]),
    ("bus", &["eventPattern", "s3"]),
    ("sns", &["s3"]),
];

/// Keys that say which way the events of another come; one of them at most.
const WAYS: [&str; 3] = ["sqs", "sns", "bus"];

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
const MESSAGE_FIELDS: [&str; 7] = [
    "body",
    "messageAttributes",
    "messageId",
    "messageGroupId",
    "messageDeduplicationId",
    "sequenceNumber",
    "sns",
];

/// What to write for the URL or the ARN of a bucket, or a place in it.
fn in_bucket(name: &str) -> Option<String> {
    let place = ["s3://", "arn:aws:s3:::"].iter().find_map(|start| name.strip_prefix(start));
    match place.unwrap_or(name).split_once('/') {
        Some((bucket, "")) => Some(format!("write its name alone: `bucket: {bucket}`")),
        Some((bucket, prefix)) => {
            Some(format!("say them apart: `bucket: {bucket}`, `prefix: {prefix}`"))
        }
        None => place.map(|bucket| format!("write its name alone: `bucket: {bucket}`")),
    }
}

impl Checker<'_, '_> {
    /// Checks `on`, and says which source it is if it is exactly one.
    pub(super) fn source(&mut self, rule: &Node) -> Option<Source> {
        let on = rule.entry("on")?;
        if !matches!(on.value.kind, Kind::Map(_)) {
            return None;
        }
        let said = |key: &str| on.value.entry(key);
        // Beside what is carried, a queue is the way.
        let is_way = said("s3").or(said("eventPattern")).is_some();
        let found: Vec<(&Entry, Source)> = SOURCES
            .iter()
            .filter(|(key, _)| !(is_way && *key == "sqs"))
            .filter_map(|(key, source)| Some((said(key)?, *source)))
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
        for (key, companions) in COMPANIONS {
            if let Some(entry) = on.value.entry(key)
                && companions.iter().all(|companion| on.value.get(companion).is_none())
            {
                let companion = companions[0];
                self.faults
                    .error(entry.key_span, format!("`{key}` belongs beside `{companion}`"))
                    .hint("leave it out");
            }
        }
        if is_way {
            self.way(&on.value);
        }
        for (entry, source) in &found {
            self.source_parts(&on.value, entry, *source);
        }
        if let [(_, source)] = found.as_slice() { Some(*source) } else { None }
    }

    fn source_parts(&mut self, on: &Node, entry: &Entry, source: Source) {
        match source {
            Source::S3 => {
                self.s3(&entry.value);
                let has_way = WAYS.iter().any(|way| on.get(way).is_some());
                if let Some(pattern) = entry.value.get("eventPattern") {
                    self.further(on, pattern);
                }
                if !has_way
                    && let Some(bucket) = entry.value.get("bucket")
                    && bucket.text().is_some_and(|name| name.contains('*'))
                {
                    self.faults
                        .error(bucket.span, "a notification is wired to one bucket, and `*` stands for several")
                        .hint("add `bus: default` beside `s3`, or `sqs: { queue: NAME }`: each bucket is then told to send its events to EventBridge, or into the queue");
                }
            }
            Source::Schedule => self.schedule(on, &entry.value),
            Source::Sqs => {
                self.sqs(&entry.value);
                if let Some(pattern) = entry.value.get("eventPattern") {
                    self.event_pattern(pattern);
                    // What the messages carry has members of its own.
                    let known: Vec<&str> =
                        MESSAGE_FIELDS.iter().chain(S3_NAMES[0].1).copied().collect();
                    let hint = format!("allowed here: {}", list(&MESSAGE_FIELDS));
                    self.envelope(pattern, &known, "a message", &hint);
                }
            }
            Source::EventPattern => {
                self.event_pattern(&entry.value);
                let hint = "what an event is about is under `detail`";
                self.envelope(&entry.value, &EVENT_FIELDS, "an event", hint);
                self.lifecycle(&entry.value);
                if let Some(bus) = on.get("bus") {
                    self.not_empty(bus, "bus");
                }
            }
        }
    }

    /// Which way the events of `s3` or `eventPattern` come.
    fn way(&mut self, on: &Node) {
        let mut ways = WAYS.iter().filter_map(|way| on.entry(way));
        let Some(first) = ways.next() else { return };
        for other in ways {
            self.faults
                .error(
                    other.key_span,
                    format!("the events come one way, and `{}` is there already", first.key),
                )
                .hint("leave one out")
                .related(first.key_span, "the first");
        }
        if let Some(bus) = on.get("bus") {
            self.not_empty(bus, "bus");
            // https://docs.aws.amazon.com/AmazonS3/latest/userguide/EventBridge.html
            if on.get("s3").is_some()
                && let Some(name) = bus.text().map(on::bus_name)
                && !matches!(name, "" | "default")
            {
                self.faults.warning(bus.span, "S3 sends its events to the bus `default`").hint(
                    format!("write `bus: default`, unless a rule there passes them on to `{name}`"),
                );
            }
        }
        if let Some(topic) = on.get("sns").and_then(|sns| sns.get("topic")) {
            self.topic(topic);
        }
        if let Some(sqs) = on.get("sqs") {
            self.sqs(sqs);
            // https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-event-types-and-destinations.html
            // "Amazon S3 only supports standard Amazon SQS queues."
            if on.get("s3").is_some()
                && let Some(queue) = sqs.get("queue")
                && queue.text().is_some_and(sqs::is_fifo)
            {
                self.faults.warning(queue.span, "S3 notifies no FIFO queue").hint(
                    "name a standard queue, or have EventBridge fill this one, in a group of your choice",
                );
            }
            if let Some(pattern) = sqs.entry("eventPattern") {
                let hint = if on.get("s3").is_some() {
                    "beside `s3` it stands in there: `s3: { eventPattern: ... }`"
                } else {
                    "say it all in the `eventPattern` beside `sqs`"
                };
                self.faults
                    .error(
                        pattern.key_span,
                        "here `sqs` only says through which queue the events come",
                    )
                    .hint(hint);
            }
        }
    }

    // https://docs.aws.amazon.com/sns/latest/api/API_CreateTopic.html
    fn topic(&mut self, topic: &Node) {
        let Some(text) = topic.text() else { return };
        let name = on::last_part(text);
        let right = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let parts: Vec<&str> = text.split(':').collect();
        let is_place = name == text || matches!(parts.as_slice(), ["arn", _, "sns", _, _, _]);
        if let Some(base) = name.strip_suffix(".fifo") {
            // https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-event-types-and-destinations.html
            self.faults
                .error(topic.span, "S3 notifies no FIFO topic, and a FIFO topic no function")
                .hint(format!("name a standard topic, such as `{base}`"));
        } else if name.is_empty() || name.len() > 256 || !name.chars().all(right) {
            self.faults
                .error(topic.span, format!("`{text}` cannot be a topic's name"))
                .hint("1 to 256 letters, digits, `-` and `_`");
        } else if !is_place {
            self.faults
                .error(topic.span, format!("`{text}` is no topic's ARN"))
                .hint(format!("write its name, `{name}`, or `arn:aws:sns:REGION:ACCOUNT:{name}`"));
        }
    }

    // https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
    fn s3(&mut self, s3: &Node) {
        if let Some(bucket) = s3.get("bucket")
            && let Some(name) = bucket.text()
        {
            let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
            let right = |c: char| edge(c) || matches!(c, '.' | '-' | '*');
            let any = |c: char| edge(c) || c == '*';
            let well_formed = (3..=63).contains(&name.len())
                && name.chars().all(right)
                && name.starts_with(any)
                && name.ends_with(any)
                && !name.contains("..");
            if !well_formed {
                let hint = in_bucket(name).unwrap_or_else(|| {
                    "3 to 63 lower-case letters, digits, `-` and `.`, a letter or digit at both ends"
                        .to_owned()
                });
                self.faults
                    .error(bucket.span, format!("`{name}` cannot be a bucket's name"))
                    .hint(hint);
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

    /// What a further event pattern and the rule's own words make together.
    fn further(&mut self, on: &Node, pattern: &Node) {
        self.event_pattern(pattern);
        let known = S3_NAMES[0].1;
        let hint = format!("it is a pattern for the event's `detail`, which has {}", list(known));
        self.envelope(pattern, known, "the detail of an object's event", &hint);
        if let Ok(on) = serde_json::from_str(&on.to_json())
            && let Err(error @ on::Error::Conflict { .. }) = on::compile("", &on)
        {
            self.faults.error(pattern.span, error.to_string()).hint("say it in one of the two");
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
                    let hint = text.parse::<DateTime>().map_or_else(
                        |_| "write it with its zone, such as `2027-01-31T09:00:00Z`".to_owned(),
                        |time| format!("write it with its zone: `{time}Z`, if that is UTC"),
                    );
                    self.faults.error(node.span, error.to_string()).hint(hint);
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
            return;
        }
        let schedule = schedule.clone().between(start, end);
        if !schedule.fires() {
            self.faults
                .error(expression.span, "the schedule never fires between its start and its end")
                .hint("move `start` or `end`");
        } else if let Some(now) = self.now
            && schedule.first(now).is_none()
        {
            let hint = if end.is_some_and(|end| end <= now) {
                "move `end`, or delete the rule"
            } else {
                "give it a time to come, or delete the rule"
            };
            self.faults
                .warning(expression.span, "the schedule lies in the past, and fires no more")
                .hint(hint);
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
            let name = on::last_part(text);
            let place = text.strip_suffix(name).unwrap_or(text);
            let mut parts = place.split(':');
            let is_place = place.is_empty()
                || ["http://", "https://"].iter().any(|scheme| place.starts_with(scheme))
                || (parts.next() == Some("arn")
                    && parts.nth(1) == Some("sqs")
                    && parts.count() == 3);
            let base = name.strip_suffix(".fifo").unwrap_or(name);
            let right = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            if base.is_empty() || name.len() > 80 || !base.chars().all(right) {
                self.faults.error(queue.span, format!("`{text}` cannot be a queue's name")).hint(
                    "1 to 80 letters, digits, `-` and `_`, with `.fifo` at the end of a FIFO queue",
                );
            } else if !is_place {
                self.faults.error(queue.span, format!("`{text}` is no queue's ARN")).hint(format!(
                    "write its name, `{name}`, or `arn:aws:sqs:REGION:ACCOUNT:{name}`"
                ));
            }
        }
        let is_fifo = sqs.get("queue").and_then(Node::text).is_some_and(sqs::is_fifo);
        if let Some(node) = sqs.get("batchSize")
            && is_fifo
            && node.integer().is_some_and(|size| size > i64::from(on::FIFO_BATCH_SIZE_MAX))
        {
            self.faults.error(node.span, on::Error::FifoBatch.to_string()).hint("write 10 or less");
        } else if let Some(node) = sqs.get("batchSize")
            && is_fifo
            && sqs.get("ack").and_then(Node::text) == Some("completion")
            && node.integer().is_some_and(|size| size > i64::from(HELD_IN_ORDER))
        {
            self.faults.error(node.span, on::Error::HeldBatch.to_string()).hint("leave it out");
        }
        if let Some(node) = sqs.get("batchingWindow")
            && let Some(text) = node.text()
            && let Err(error) = on::window(text, is_fifo)
        {
            let hint = if is_fifo { "leave it out" } else { "write such as `5s`" };
            self.faults.error(node.span, error.to_string()).hint(hint);
        }
    }

    /// How messages are taken from a queue is said of the queue: where several rules name it, they must not differ.
    pub(super) fn queues(&mut self, rules: &[Node]) {
        let mut said: BTreeMap<(&str, &str), &Node> = BTreeMap::new();
        for sqs in rules.iter().filter_map(|rule| rule.at(&["on", "sqs"])) {
            let Some(queue) = sqs.get("queue").and_then(Node::text) else { continue };
            for key in ["batchSize", "batchingWindow", "maximumConcurrency"] {
                let Some(node) = sqs.get(key) else { continue };
                let first = *said.entry((on::last_part(queue), key)).or_insert(node);
                if first.to_json() != node.to_json() {
                    self.faults
                        .error(
                            node.span,
                            format!("`{key}` of the queue `{queue}` is said otherwise before"),
                        )
                        .hint("say it in one rule: it holds for the queue")
                        .related(first.span, "the first");
                }
            }
        }
    }

    /// A name that must say something.
    fn not_empty(&mut self, node: &Node, what: &str) {
        if node.text().is_some_and(str::is_empty) {
            self.faults.error(node.span, format!("the {what} is empty"));
        }
    }
}
