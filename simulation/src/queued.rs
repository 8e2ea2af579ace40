//! What queues bring in a simulation: the rules that are on them, and the messages with what must come of each.

use serde_json::{Value, json};
use taskferry_core::wiring;

use crate::{
    faults::Twist,
    scenario::{self, SECRET, Times, order_id},
    sqs::{Message, Queue},
    world::{Action, HOUR, MINUTE, Micros, SECOND, World},
};

/// The queue that keeps no order.
const JOBS: usize = 0;
/// The queue whose messages go when they are recorded, in order.
const STEPS: usize = 1;
/// The queue whose messages go when their runs have ended, in order.
const TURNS: usize = 2;

/// The queue that some sets of rules do not name.
const LATE: usize = 3;

/// The queues, with the rules that are on each.
const QUEUES: [(&str, &[&str]); 4] = [
    (
        "jobs",
        &[
            "take",
            "take-too",
            "odd",
            "keep",
            "keep-too",
            "blunder",
            "upload",
            "keep-upload",
            "brought",
        ],
    ),
    ("steps.fifo", &["step", "step-one"]),
    ("turns.fifo", &["turn", "turn-too"]),
    ("late", &["late"]),
];

/// The rules that have their messages held until their runs have ended.
pub(crate) const HELD_RULES: [&str; 5] = ["keep", "keep-too", "keep-upload", "turn", "turn-too"];

/// The rules that are on a queue.
pub(crate) fn rules_of(queue: usize) -> impl Iterator<Item = &'static str> {
    QUEUES[queue].1.iter().copied()
}

/// The queues, and how they are set.
pub(crate) fn queues(visibility: Micros, receives_max: u32, retention: Micros) -> Vec<Queue> {
    // The set that names them all; each says the same of a queue that it names.
    let wired = wiring::queues(&scenario::rules(1));
    let queue = |(name, _): &(&'static str, &[&str])| {
        let wired = wired.iter().find(|queue| queue.name == *name);
        let batch_size = wired.map_or(0, |queue| queue.batch_size) as usize;
        Queue { name, visibility, receives_max, retention, batch_size, sent: Vec::new() }
    };
    QUEUES.iter().map(queue).collect()
}

/// The rules on queues, in the set of that number.
pub(crate) fn rules(number: usize, slots: u32) -> String {
    let plain = |name: &str, queue: &str, ack: &str, more: &str| {
        rule(
            name,
            &format!(
                "{{ sqs: {{ queue: {queue}, ack: {ack}, eventPattern: {{ body: {{ rules: [{name}] }} }} }} }}"
            ),
            &format!(
                r#"["{{{{ detail.body.order }}}}", "rules {number}"], environment: [{{ name: SECRET, value: "{{{{ detail.body.secret }}}}" }}]"#
            ),
            more,
        )
    };
    let by_order = r#"dedupe: "{{ detail.body.order }}""#;
    let by_key = r#"dedupe: "{{ detail.object.key }}""#;
    let uploaded = |name: &str, prefix: &str, ack: &str| {
        let on = format!(
            "{{ s3: {{ bucket: uploads, prefix: {prefix} }}, sqs: {{ queue: jobs, ack: {ack} }} }}"
        );
        rule(name, &on, r#"["{{ detail.object.key }}"]"#, by_key)
    };
    let brought =
        "{ eventPattern: { source: [shop], detail: { rules: [brought] } }, sqs: { queue: jobs } }";
    let in_turn = format!(
        "dedupe: \"{{{{ detail.messageGroupId }}}}/{{{{ detail.messageDeduplicationId }}}}\"\n    concurrency: {{ limit: {slots}, key: \"{{{{ detail.messageGroupId }}}}\" }}"
    );
    let mut parts = vec![
        plain("take", "jobs", "record", ""),
        plain("take-too", "jobs", "record", by_order),
        plain("keep", "jobs", "completion", ""),
        plain("keep-too", "jobs", "completion", by_order),
        plain("blunder", "jobs", "record", "")
            .replace("detail.body.order }}", "detail.body.missing }}"),
        uploaded("upload", "in/", "record"),
        uploaded("keep-upload", "keep/", "completion"),
        rule("brought", brought, r#"["{{ detail.order }}"]"#, r#"dedupe: "{{ detail.order }}""#),
        plain("step", "steps.fifo", "record", ""),
        plain("step-one", "steps.fifo", "record", &in_turn),
        plain("turn", "turns.fifo", "completion", ""),
        plain("turn-too", "turns.fifo", "completion", by_order),
    ];
    if !number.is_multiple_of(2) {
        parts.push(plain("odd", "jobs", "record", ""));
        parts.push(plain("late", "late", "record", ""));
    }
    parts.concat()
}

fn rule(name: &str, on: &str, command: &str, more: &str) -> String {
    format!(
        r"
  - name: {name}
    on: {on}
    target:
      taskDefinition: work
      cluster: batch
      overrides: {{ containerOverrides: [{{ name: app, command: {command} }}] }}
    {more}"
    )
}

/// Messages, now and then.
pub(crate) fn plan(world: &mut World, times: Times) {
    let retention = world.dice.pick(&[96 * HOUR, 96 * HOUR, 96 * HOUR, 2 * HOUR]);
    let visibility = world.dice.pick(&[360, 360, 360, 60, 8]) * SECOND;
    let receives_max = world.dice.pick(&[3, 5, 5, 100]);
    world.sqs.queues = queues(visibility, receives_max, retention);
    let queues =
        world.dice.pick(&[&[JOBS][..], &[JOBS], &[STEPS], &[TURNS], &[JOBS, STEPS, TURNS, LATE]]);
    // What no rule will ever name is a queue of somebody else's.
    let queues: Vec<usize> =
        queues.iter().copied().filter(|queue| world.will_be_named(*queue)).collect();
    world.ecs.long_left = world.dice.pick(&[0, 0, 1, 2]);
    let count = 1 + world.dice.index(12);
    let spread = world.dice.pick(&[SECOND, MINUTE, times.events]);
    for _ in 0..count {
        let number = world.sqs.messages.len();
        let time = world.dice.between(0, spread);
        let queue = world.dice.pick(&queues);
        let message = match queue {
            JOBS => job(world, number),
            LATE => plain(number, LATE, &["late"]),
            _ => ordered(world, number, queue),
        };
        world.sqs.messages.push(message);
        world.act_at(time, Action::Send { message: number });
        if world.dice.chance(120) {
            repeat(world, number, time);
        }
    }
}

/// The same once more: in a FIFO queue under the same deduplication id, in another as another message.
fn repeat(world: &mut World, of: usize, time: Micros) {
    let number = world.sqs.messages.len();
    let mut again = world.sqs.messages[of].clone();
    for (_, key) in &mut again.expects {
        if *key == crate::sqs::message_id(of) {
            *key = crate::sqs::message_id(number);
        }
    }
    world.sqs.messages.push(again);
    let later = world.dice.between(0, 15 * MINUTE);
    world.act_at(time + later, Action::Send { message: number });
}

/// Some of these rules, and one at least.
fn some(world: &mut World, of: &[&'static str]) -> Vec<&'static str> {
    let mut names: Vec<_> = of.iter().copied().filter(|_| world.dice.chance(400)).collect();
    if names.is_empty() {
        names.push(world.dice.pick(of));
    }
    names
}

/// A message that asks for these rules by itself.
pub(crate) fn plain(number: usize, queue: usize, names: &[&'static str]) -> Message {
    let order = order_id(number);
    let body = json!({ "order": order, "secret": SECRET, "rules": names });
    let mut message = Message::new(queue, body.to_string());
    let key = |name: &&'static str| match *name {
        "take-too" | "keep-too" | "turn-too" => (*name, order.clone()),
        _ => (*name, crate::sqs::message_id(number)),
    };
    message.expects = names.iter().map(key).collect();
    message.order = Some(order);
    message
}

/// A message that asks for these rules, in the queue that they are on.
pub(crate) fn message(number: usize, group: &str, names: &[&'static str]) -> Message {
    let is_on = |(_, rules): &(&str, &[&str])| names.iter().all(|name| rules.contains(name));
    let queue = QUEUES.iter().position(is_on).expect("the rules of a message are on one queue");
    let mut message = plain(number, queue, names);
    if queue == STEPS || queue == TURNS {
        in_group(&mut message, group.to_owned(), format!("d{number}"));
    }
    message
}

fn in_group(message: &mut Message, group: String, id: String) {
    for (rule, key) in &mut message.expects {
        if *rule == "step-one" {
            *key = format!("{group}/{id}");
        }
    }
    (message.group, message.deduplication_id) = (Some(group), Some(id));
}

/// A message of a group.
fn ordered(world: &mut World, number: usize, queue: usize) -> Message {
    let names = some(world, QUEUES[queue].1);
    let mut message = plain(number, queue, &names);
    let group = format!("g{}", world.dice.below(2));
    in_group(&mut message, group, format!("d{number}"));
    message
}

/// A message of the queue without order, in one of the forms that messages come in.
fn job(world: &mut World, number: usize) -> Message {
    let form = world.dice.below(20);
    match form {
        0 => {
            let names = some(world, &["take", "keep"]);
            let mut message = plain(number, JOBS, &names);
            message.is_readable = false;
            message
        }
        1 => Message::new(JOBS, "neither JSON nor anything".to_owned()),
        2 => Message::new(
            JOBS,
            json!({ "Service": "Amazon S3", "Event": "s3:TestEvent" }).to_string(),
        ),
        3..=7 => uploads(world, number),
        8 => {
            let order = format!("b{number}");
            let event = json!({
                "version": "0", "id": format!("x{number}"), "detail-type": "Order", "source": "shop", "account": "1",
                "time": "2026-01-01T00:00:00Z", "region": "us-east-1", "resources": [],
                "detail": { "order": order, "secret": SECRET, "rules": ["brought"] },
            });
            let mut message = Message::new(JOBS, event.to_string());
            message.expects = vec![("brought", order)];
            message
        }
        9 => {
            let names = some(world, &["take", "blunder"]);
            plain(number, JOBS, &names)
        }
        _ => {
            let names = some(world, &["take", "take-too", "odd", "keep", "keep-too"]);
            let mut message = plain(number, JOBS, &names);
            if form == 10 {
                message.body = by_sns(&message.body);
            }
            message
        }
    }
}

/// A notification of S3, with something in it that is none now and then.
fn uploads(world: &mut World, number: usize) -> Message {
    let count = world.dice.pick(&[1, 2, 3, 4, 4, 40]);
    let prefix = world.dice.pick(&["in", "keep"]);
    let rule = if prefix == "in" { "upload" } else { "keep-upload" };
    let is_refused = world.dice.chance(200);
    let mut records: Vec<Value> = Vec::new();
    let mut message = Message::new(JOBS, String::new());
    for upload in 0..count {
        records.push(record(&format!("{prefix}/u{number}-{upload}+a%2Bb.jpg"), upload));
        message.expects.push((rule, format!("{prefix}/u{number}-{upload} a+b.jpg")));
    }
    if is_refused {
        let place = world.dice.index(records.len() + 1);
        records.insert(place, json!({ "eventSource": "aws:s3", "eventVersion": "2.1" }));
        world.coverage.met(Twist::RecordRefused);
    }
    message.is_refused = is_refused;
    message.body = json!({ "Records": records }).to_string();
    if world.dice.chance(300) {
        message.body = by_sns(&message.body);
    }
    message
}

/// What S3 says of an object; its key is encoded.
fn record(key: &str, upload: usize) -> Value {
    json!({
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "us-east-1",
        "eventTime": "2026-01-01T00:00:00.000Z", "eventName": "ObjectCreated:Put",
        "userIdentity": { "principalId": SECRET }, "requestParameters": { "sourceIPAddress": "127.0.0.1" },
        "responseElements": { "x-amz-request-id": "C3D", "x-amz-id-2": "FMy" },
        "s3": {
            "s3SchemaVersion": "1.0", "configurationId": "c",
            "bucket": { "name": "uploads", "ownerIdentity": { "principalId": "A3N" }, "arn": "arn:aws:s3:::uploads" },
            "object": { "key": key, "size": 1024, "eTag": "d41d8", "sequencer": format!("{upload:016X}") },
        },
    })
}

/// What SNS makes of a message on its way into a queue.
fn by_sns(message: &str) -> String {
    json!({
        "Type": "Notification", "MessageId": "22b80b92", "TopicArn": "arn:aws:sns:us-east-1:1:topic", "Message": message,
        "Timestamp": "2026-01-01T00:00:00.000Z", "SignatureVersion": "1", "Signature": "E", "SigningCertURL": "https://sns",
        "UnsubscribeURL": "https://sns",
    })
    .to_string()
}
