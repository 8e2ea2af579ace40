//! Plan: a match becomes one `RunTask` request, fully rendered.
//!
//! Asked by the engine for each rule that matches, and by `taskferry explain`, which shows what would be sent. The same
//! event and rule give the same plan, byte for byte: no clock, no random number and no map's order goes into it.

use std::{borrow::Cow, fmt, num::NonZeroU32};

use crate::{
    chain, digest,
    event::{self, Event},
    lengths::{self, REQUEST_BYTES_MAX},
    limits::{LimitId, Slot},
    rules::{
        Concurrency, Missed as MissedPolicy, On, Overlap, Rule, Rules,
        target::{self, Passed, Payload, write_json},
    },
    run::{Run, RunId, StartedBy, Status},
    template::{self, Context},
};

/// The longest `overrides` in bytes of JSON.
///
/// ECS counts 8,192 characters "including the JSON formatting characters of the override structure"; whether it means
/// characters or bytes is not said, so bytes are counted, of which there are never fewer.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskOverride.html>
pub const OVERRIDES_BYTES_MAX: usize = 8192;

/// What a rule makes of an event.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The rule.
    pub rule: &'a Rule,
    /// The event.
    pub event: &'a Event,
    /// The run that answers the event.
    pub run_id: RunId,
    /// What makes a second event the same as this one.
    pub dedupe_key: String,
    /// The slots that the run needs before it is launched.
    pub slots: Vec<Slot>,
    /// How many runs the event follows upon.
    pub depth: u32,
    /// The run that this one is to do again, if it is.
    pub redrive_of: Option<RunId>,
    /// The request, or why there is none.
    pub request: Result<Request, Refusal>,
}

impl Plan<'_> {
    /// Where the event must be put before the launch, since it is too long for the request; `s3://BUCKET/KEY`.
    pub fn payload_url(&self) -> Option<&str> {
        self.request.as_ref().ok()?.0.payload_url.as_deref()
    }
}

/// Why a match makes no request: the rule and the event do not fit.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// What came can never be taken: not read, not matched, or not recorded.
    #[error("the message can never be taken: {reason}")]
    Message {
        /// Why.
        reason: String,
    },
    /// The rule's `dedupe` cannot be rendered.
    #[error("`dedupe` cannot be rendered for this event")]
    Dedupe(#[source] template::Error),
    /// The rule's `concurrency.key` cannot be rendered.
    #[error("`concurrency.key` cannot be rendered for this event")]
    ConcurrencyKey(#[source] template::Error),
    /// A template of the rule's `target` cannot be rendered.
    #[error("the target cannot be rendered for this event")]
    Target(#[source] target::Error),
    /// The event's time was missed, and the rule does nothing about that.
    #[error("{}, and the rule says to skip", Missed(*count))]
    Missed {
        /// How many times were missed with it.
        count: u64,
    },
    /// The event is the last of a chain of runs that is too long.
    #[error("{depth} runs followed upon one another, and {} may", chain::DEPTH_MAX)]
    ChainTooLong {
        /// How many.
        depth: u32,
    },
    /// With the event in them the rendered `overrides` are longer than ECS takes, and there is no bucket to put it into.
    #[error(
        "with the event, the rendered overrides are {size_bytes} bytes of JSON, and ECS takes {OVERRIDES_BYTES_MAX}: say \
         `payload.bucket`, and the event is put there"
    )]
    PayloadTooLong {
        /// Their length.
        size_bytes: usize,
    },
    /// The rendered `overrides` are longer than ECS takes.
    #[error(
        "the rendered overrides are {size_bytes} bytes of JSON, and ECS takes {OVERRIDES_BYTES_MAX}"
    )]
    OverridesTooLong {
        /// Their length.
        size_bytes: usize,
    },
    /// The rendered request is longer than what is kept of one.
    #[error(
        "the rendered request is {size_bytes} bytes of JSON, and {REQUEST_BYTES_MAX} is the most: see which template of \
         `target` the event makes so long"
    )]
    RequestTooLong {
        /// Its length.
        size_bytes: usize,
    },
}

/// How many times of a schedule were missed, in words.
struct Missed(u64);

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 | 1 => f.write_str("its time was missed, since nothing ran here"),
            count => write!(
                f,
                "this and {} earlier times were missed, since nothing ran here",
                count - 1
            ),
        }
    }
}

impl Refusal {
    /// How the run ends that is not begun for this reason.
    pub(crate) fn status(&self) -> Status {
        match self {
            Self::Missed { .. } => Status::Skipped,
            Self::Message { .. }
            | Self::Dedupe(_)
            | Self::ConcurrencyKey(_)
            | Self::Target(_)
            | Self::ChainTooLong { .. }
            | Self::PayloadTooLong { .. }
            | Self::OverridesTooLong { .. }
            | Self::RequestTooLong { .. } => Status::Failed,
        }
    }
}

/// A rendered `RunTask` request, but for what each attempt adds: `clientToken`, `startedBy`, and the revision of the task
/// definition.
#[derive(Clone, Debug, PartialEq)]
pub struct Request(target::Rendered);

/// What `rule` makes of `event`.
pub fn plan<'a>(rules: &Rules, rule: &'a Rule, event: &'a Event) -> Plan<'a> {
    let context = Context::new(event);
    let dedupe_key = dedupe_key(rule, event, &context);
    with_key(rules, rule, event, &context, dedupe_key)
}

/// What `rule` makes of `event`, to do `run` again.
///
/// The key says whose place the new run takes, so that it is made once, however often that is asked for. Whatever the rule
/// says of overlap, it waits for a slot.
pub fn again<'a>(rules: &Rules, rule: &'a Rule, event: &'a Event, run: &Run) -> Plan<'a> {
    let context = Context::new(event);
    let mut dedupe_key = format!("{}/redrive", run.dedupe_key);
    if crate::is_mutated!(RedriveOfRevision) {
        dedupe_key.push_str(&run.revision.to_string());
    }
    let dedupe_key = lengths::key(dedupe_key);
    let mut plan = with_key(rules, rule, event, &context, Ok(dedupe_key));
    for slot in &mut plan.slots {
        // Somebody asked for it: it waits for its slot, and takes none from what is newer.
        slot.overlap = Overlap::Queue;
    }
    Plan { redrive_of: Some(run.id.clone()), ..plan }
}

/// The dead letter that `rule` makes of a message that can never be taken: `event` is as much of it as can be kept.
pub fn dead_letter<'a>(
    rules: &Rules,
    rule: &'a Rule,
    event: &'a Event,
    reason: String,
) -> Plan<'a> {
    let dedupe_key = lengths::key(event.id().to_owned());
    Plan {
        rule,
        event,
        run_id: RunId::new(&rules.name, rule.name.as_ref(), &dedupe_key),
        dedupe_key,
        slots: Vec::new(),
        depth: chain::depth(event),
        redrive_of: None,
        request: Err(Refusal::Message { reason }),
    }
}

fn with_key<'a>(
    rules: &Rules,
    rule: &'a Rule,
    event: &'a Event,
    context: &Context<'_>,
    dedupe_key: Result<String, Refusal>,
) -> Plan<'a> {
    let (dedupe_key, request) = match dedupe_key {
        Ok(dedupe_key) => (dedupe_key, Ok(())),
        Err(refusal) => (lengths::key(event.id().to_owned()), Err(refusal)),
    };
    let run_id = RunId::new(&rules.name, rule.name.as_ref(), &dedupe_key);
    let request = request.and_then(|()| self::request(rule, event, &run_id, context));
    let depth = chain::depth(event);
    let request = if depth > chain::DEPTH_MAX && !crate::is_mutated!(ChainNeverCut) {
        Err(Refusal::ChainTooLong { depth })
    } else {
        request
    };
    let request = match missed(rule, event) {
        Some(count) => Err(Refusal::Missed { count }),
        None => request,
    };
    let (slots, request) = match slots(rules, rule, context) {
        Ok(slots) => (slots, request),
        Err(refusal) => (Vec::new(), request.and(Err(refusal))),
    };
    Plan { rule, event, run_id, dedupe_key, slots, depth, redrive_of: None, request }
}

/// How many times of the rule's schedule were missed with the event, where the rule skips those.
fn missed(rule: &Rule, event: &Event) -> Option<u64> {
    match &rule.on {
        On::Schedule(on) if on.missed == MissedPolicy::Skip => event::schedule::missed(event),
        On::Schedule(_) | On::S3 { .. } | On::EventPattern { .. } | On::Sqs { .. } => None,
    }
}

/// A slot of each limit that holds for the run: the rule's own, its group's, and that for everything.
fn slots(rules: &Rules, rule: &Rule, context: &Context<'_>) -> Result<Vec<Slot>, Refusal> {
    let concurrency = rule.concurrency.as_ref();
    let overlap = concurrency.map(|concurrency| concurrency.overlap).unwrap_or_default();
    let mut slots = Vec::new();
    let mut slot = |name: String, key: String, of: NonZeroU32, overlap| {
        slots.push(Slot { limit: LimitId { name, key }, of: of.get(), overlap });
    };
    if let Some(Concurrency { limit, group, key, .. }) =
        concurrency.filter(|_| overlap != Overlap::Allow)
    {
        if let Some(limit) = limit {
            let key = key.as_ref().map(|key| key.render(context)).transpose();
            let key = key.map_err(Refusal::ConcurrencyKey)?.unwrap_or_default().into_owned();
            let key = lengths::key(key);
            slot(format!("rule/{}", rule.name), key, *limit, overlap);
        }
        if let Some((group, limit)) =
            group.as_ref().and_then(|group| rules.groups.get_key_value(group))
        {
            slot(format!("group/{group}"), String::new(), *limit, overlap);
        }
    }
    if let Some(limit) = rules.limit {
        // Whatever a rule wants of its own limit: for everything together, one waits.
        slot("all".to_owned(), String::new(), limit, Overlap::Queue);
    }
    Ok(slots)
}

fn dedupe_key(rule: &Rule, event: &Event, context: &Context<'_>) -> Result<String, Refusal> {
    let key = match &rule.dedupe {
        Some(template) if !crate::is_mutated!(DedupeForgotten) => {
            template.render(context).map(Cow::into_owned).map_err(Refusal::Dedupe)
        }
        None if crate::is_mutated!(DedupedByBody) && event.source() == "aws.sqs" => {
            Ok(digest::hex(&[&event.value()["detail"]["body"].to_string()]))
        }
        Some(_) | None if crate::is_mutated!(ChainKeyedByEvent) => Ok(event.id().to_owned()),
        Some(_) | None => Ok(chain::dedupe_key(event).unwrap_or_else(|| event.id().to_owned())),
    };
    key.map(lengths::key)
}

fn request(
    rule: &Rule,
    event: &Event,
    run_id: &RunId,
    context: &Context<'_>,
) -> Result<Request, Refusal> {
    let render =
        |passed| rule.target.render_in(context, passed).map(Request).map_err(Refusal::Target);
    let mut request = render(Passed::Event(event.text()))?;
    let bucket = rule.target.payload().and_then(|payload| payload.bucket.as_deref());
    if let Some(bucket) = bucket.filter(|_| request.overrides_size_bytes() > OVERRIDES_BYTES_MAX) {
        request = render(Passed::Url(&format!("s3://{bucket}/{run_id}.json")))?;
    }
    let size_bytes = request.overrides_size_bytes();
    match rule.target.payload() {
        _ if size_bytes <= OVERRIDES_BYTES_MAX => match request.0.members.len() {
            size_bytes if size_bytes > REQUEST_BYTES_MAX => {
                Err(Refusal::RequestTooLong { size_bytes })
            }
            _ => Ok(request),
        },
        Some(Payload { bucket: None, .. }) => Err(Refusal::PayloadTooLong { size_bytes }),
        _ => Err(Refusal::OverridesTooLong { size_bytes }),
    }
}

impl Request {
    /// The cluster that the request names; `None` means ECS's `default`.
    pub fn cluster(&self) -> Option<&str> {
        self.0.cluster.as_deref()
    }

    /// The task definition that the request names.
    pub fn task_definition(&self) -> &str {
        &self.0.task_definition
    }

    /// The length of `overrides` in bytes of JSON; 0 if there are none.
    pub fn overrides_size_bytes(&self) -> usize {
        self.0.overrides_size_bytes
    }

    /// The whole request of one attempt, JSON as it is sent.
    pub fn for_attempt(&self, started_by: &StartedBy, task_definition: &str) -> String {
        let mut text = Vec::with_capacity(self.0.members.len() + 512);
        text.extend_from_slice(br#"{"clientToken":"#);
        write_json(&mut text, &client_token(started_by));
        text.extend_from_slice(br#","startedBy":"#);
        write_json(&mut text, &started_by.to_string());
        text.extend_from_slice(br#","taskDefinition":"#);
        write_json(&mut text, task_definition);
        text.extend_from_slice(self.0.members.as_bytes());
        text.push(b'}');
        String::from_utf8(text).expect("serde_json writes UTF-8")
    }
}

/// What makes ECS answer a repeated request with the task of the first: the same for one attempt, another for the next.
///
/// At most 43 of the 64 characters that ECS allows.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/ECS_Idempotency.html>
pub fn client_token(started_by: &StartedBy) -> String {
    if crate::is_mutated!(TokenForgotten) {
        return String::new();
    }
    if crate::is_mutated!(TokenWithoutAttempt) {
        return started_by.run_id.to_string();
    }
    format!("{}-{}", started_by.run_id, started_by.attempt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{lifecycle::tests, rules};

    #[test]
    fn what_is_done_again_waits_for_its_slot_whatever_the_rule_says_of_overlap() {
        let checked = rules::check(
            "name: media\nrules: [{ name: thumbnails, on: { s3: { bucket: uploads } }, target: { taskDefinition: t }, concurrency: { limit: 1, overlap: skip } }]",
        );
        let rules = checked.rules.expect("the rules are right");
        let event = Event::parse(
            r#"{"id":"1","source":"aws.s3","detail-type":"Object Created","time":"2026-01-01T00:00:00Z","detail":{}}"#,
        );
        let event = event.expect("it is an event");
        let overlaps = |plan: &Plan<'_>| -> Vec<Overlap> {
            plan.slots.iter().map(|slot| slot.overlap).collect()
        };
        let rule = &rules.rules[0];
        assert_eq!(overlaps(&plan(&rules, rule, &event)), [Overlap::Skip]);
        let failed = tests::run(Status::Failed);
        assert_eq!(overlaps(&again(&rules, rule, &event, &failed)), [Overlap::Queue]);
    }
}
