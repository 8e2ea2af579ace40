//! Wiring: what the rules ask of AWS, so that their events reach the functions.
//!
//! Read by whoever builds that: the local mode today, infrastructure tomorrow. One list, so that both wire the same.

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;
use taskferry_event_pattern::EventPattern;

use crate::{
    event::schedule,
    event::sqs,
    rules::{Ack, Batches, Carried, On, Rule, Rules, last_part},
    schedule::Schedule,
};

/// A Lambda function of Taskferry's, named for what happened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Function {
    /// S3 event notification.
    S3,
    /// Any event of a bus.
    EventBridge,
    /// Messages of a queue.
    Sqs,
    /// What is due, each minute.
    Sweep,
    /// ECS Task State Change.
    TaskStateChange,
}

impl Function {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::S3, Self::EventBridge, Self::Sqs, Self::Sweep, Self::TaskStateChange];

    /// The function's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::EventBridge => "eventbridge",
            Self::Sqs => "sqs",
            Self::Sweep => "sweep",
            Self::TaskStateChange => "task-state-change",
        }
    }
}

/// Which changes of a bucket's objects are told, and to what.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BucketNotification {
    /// The bucket.
    pub bucket: String,
    /// What they are told to.
    pub target: Target,
    /// The event types, for example `s3:ObjectCreated:*`.
    pub events: Vec<String>,
    /// What keys begin with.
    pub prefix: String,
    /// What keys end with.
    pub suffix: String,
}

/// What events are handed to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Target {
    /// A function.
    Function(Function),
    /// An SNS topic, by name, to which the function of these events is subscribed.
    Topic(String),
    /// A queue, by name.
    Queue(String),
}

/// Which events of a bus go where.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// What it is called, on AWS behind the name of the stack: as the rule, or as the function of what every stack has.
    pub name: String,
    /// Name or ARN of the event bus, as the rules say it.
    pub event_bus: String,
    /// What an event must match.
    pub event_pattern: EventPattern,
    /// What it goes to.
    pub target: Target,
}

/// A schedule that invokes the function `eventbridge`, in EventBridge Scheduler's terms.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RuleSchedule {
    /// Its group: the stack's name.
    pub group: String,
    /// Its name: the rule's.
    pub name: String,
    /// When it fires.
    pub schedule: Schedule,
    /// Within how many minutes of its time it may fire, if not at once.
    pub window_minutes: Option<u32>,
    /// What the function is invoked with, context attributes in it.
    pub input: String,
    /// The same for times that were missed, once for all of them.
    pub missed_input: String,
}

/// The schedules that the rules ask for, one a rule.
pub fn schedules(rules: &Rules) -> Vec<RuleSchedule> {
    let schedule = |rule: &Rule| match &rule.on {
        On::Schedule(on) => Some(RuleSchedule {
            group: rules.name.clone(),
            name: rule.name.to_string(),
            schedule: on.schedule.clone(),
            window_minutes: on.window_minutes,
            input: schedule::input(rule.name.as_ref()),
            missed_input: schedule::missed_input(rule.name.as_ref()),
        }),
        On::S3 { .. } | On::EventPattern { .. } | On::Sqs { .. } => None,
    };
    rules.rules.iter().filter_map(schedule).collect()
}

/// The bucket notifications that the rules ask for, one a rule. A rule on several buckets asks for none: which they are, it
/// does not say.
pub fn bucket_notifications(rules: &Rules) -> Vec<BucketNotification> {
    let notification = |rule: &Rule| {
        let target = match &rule.on {
            On::S3 { topic: None, .. } => Target::Function(Function::S3),
            On::S3 { topic: Some(topic), .. } => Target::Topic(last_part(topic).to_owned()),
            // https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-event-types-and-destinations.html
            // "Amazon S3 only supports standard Amazon SQS queues."
            On::Sqs { queue, .. } if sqs::is_fifo(queue) => return None,
            On::Sqs { queue, .. } => Target::Queue(last_part(queue).to_owned()),
            On::EventPattern { .. } | On::Schedule(_) => return None,
        };
        let objects = rule.on.objects().filter(|objects| !objects.bucket.contains('*'))?;
        Some(BucketNotification {
            bucket: objects.bucket.clone(),
            target,
            events: objects.events.clone(),
            prefix: objects.prefix.clone().unwrap_or_default(),
            suffix: objects.suffix.clone().unwrap_or_default(),
        })
    };
    rules.rules.iter().filter_map(notification).collect()
}

/// The buckets that the rules name, whichever way they tell of their objects.
pub fn buckets(rules: &Rules) -> impl Iterator<Item = &str> {
    let objects = rules.rules.iter().filter_map(|rule| rule.on.objects());
    objects.map(|objects| objects.bucket.as_str()).filter(|bucket| !bucket.contains('*'))
}

/// The SNS topics, by name, that pass notifications of S3 on to the `s3` function: it is to be subscribed to them.
pub fn topics(rules: &Rules) -> impl Iterator<Item = &str> {
    rules.rules.iter().filter_map(|rule| match &rule.on {
        On::S3 { topic, .. } => topic.as_deref().map(last_part),
        On::EventPattern { .. } | On::Schedule { .. } | On::Sqs { .. } => None,
    })
}

/// A queue whose messages invoke the `sqs` function: an event source mapping, which must report single failures
/// (`ReportBatchItemFailures`).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Queue {
    /// Name or ARN, as the rules say it.
    pub queue: String,
    /// The name.
    pub name: String,
    /// `BatchSize`.
    pub batch_size: u32,
    /// `MaximumBatchingWindowInSeconds`.
    pub batching_window: Duration,
    /// `MaximumConcurrency` of its `ScalingConfig`.
    pub maximum_concurrency: Option<u32>,
}

impl Queue {
    /// Whether messages keep their order, by groups.
    pub fn is_fifo(&self) -> bool {
        sqs::is_fifo(&self.name)
    }
}

/// How many messages Lambda takes at a time where nothing is said, and the most without a window.
///
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html>
const BATCH_SIZE: u32 = 10;

/// How many messages are taken at a time of a FIFO queue that keeps each until its runs have ended. Those of its group in the
/// same batch would be left in flight for the whole visibility timeout, each time counted as received, and at last be the
/// queue's dead letters without having been begun. Alone, it keeps them where they are.
///
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-queues-understanding-logic.html>: "no
/// more messages for the same message group ID are returned unless you delete the message or it becomes visible."
pub(crate) const HELD_IN_ORDER: u32 = 1;

/// The queues that the rules ask for, each once.
pub fn queues(rules: &Rules) -> Vec<Queue> {
    let mut queues: BTreeMap<&str, (&str, Batches)> = BTreeMap::new();
    for rule in &rules.rules {
        let On::Sqs { queue, batches, ack, .. } = &rule.on else { continue };
        let (_, all) = queues.entry(last_part(queue)).or_insert((queue, Batches::default()));
        let is_held = *ack == Ack::Completion && !crate::is_mutated!(HeldSideBySide);
        if sqs::is_fifo(queue) && is_held {
            all.size = Some(HELD_IN_ORDER);
        }
        // Where two rules say it, `check` has seen that they say the same.
        all.size = all.size.or(batches.size);
        all.window = all.window.or(batches.window);
        all.maximum_concurrency = all.maximum_concurrency.or(batches.maximum_concurrency);
    }
    let queue = |(name, (queue, batches)): (&str, (&str, Batches))| {
        let batch_size = batches.size.unwrap_or(BATCH_SIZE);
        let needed = if batch_size > BATCH_SIZE { Duration::from_secs(1) } else { Duration::ZERO };
        Queue {
            queue: queue.to_owned(),
            name: name.to_owned(),
            batch_size,
            batching_window: batches.window.unwrap_or(needed),
            maximum_concurrency: batches.maximum_concurrency,
        }
    };
    queues.into_iter().map(queue).collect()
}

/// The buckets into which events are put that are too long for a request.
pub fn payload_buckets(rules: &Rules) -> impl Iterator<Item = &str> {
    rules.rules.iter().filter_map(|rule| rule.target.payload()?.bucket.as_deref())
}

/// The subscriptions that the rules ask for: their own, and that to what becomes of the tasks of the stack of this name, or of
/// any stack.
pub fn subscriptions(rules: &Rules, tasks_of: Option<&str>) -> Vec<Subscription> {
    let subscription = |rule: &Rule| {
        let (event_bus, target) = match &rule.on {
            On::EventPattern { bus, .. } => (bus.as_str(), Target::Function(Function::EventBridge)),
            // A FIFO queue wants a group, of which the rule says nothing.
            On::Sqs { queue, carried: Carried::Events, .. } if !sqs::is_fifo(queue) => {
                ("default", Target::Queue(last_part(queue).to_owned()))
            }
            On::S3 { .. } | On::Schedule(_) | On::Sqs { .. } => return None,
        };
        Some(Subscription {
            name: rule.name.to_string(),
            event_bus: event_bus.to_owned(),
            event_pattern: rule.event_pattern.clone(),
            target,
        })
    };
    let mut subscriptions: Vec<_> = rules.rules.iter().filter_map(subscription).collect();
    subscriptions.push(Subscription {
        name: Function::TaskStateChange.as_str().to_owned(),
        event_bus: "default".to_owned(),
        event_pattern: task_state_changes(tasks_of),
        target: Target::Function(Function::TaskStateChange),
    });
    subscriptions
}

/// The state changes that move a run, of the tasks of one stack, or of any: the others would cost an invocation each, and
/// tell nothing.
fn task_state_changes(name: Option<&str>) -> EventPattern {
    let pattern = json!({
        "source": ["aws.ecs"],
        "detail-type": ["ECS Task State Change"],
        "detail": {
            "startedBy": [{ "prefix": name.map_or_else(String::new, |name| format!("{name}/")) }],
            "lastStatus": ["RUNNING", "STOPPED"],
        },
    });
    EventPattern::parse(&pattern.to_string()).expect("a pattern in this source")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules;

    fn rules(on: &[&str]) -> Rules {
        let rule = |(index, on): (usize, &&str)| {
            format!("  - {{ name: r{index}, on: {on}, target: {{ taskDefinition: t }} }}\n")
        };
        let rules: String = on.iter().enumerate().map(rule).collect();
        let checked = rules::check(&format!("name: s\nrules:\n{rules}"));
        checked.rules.unwrap_or_else(|| panic!("{:?}", checked.faults))
    }

    #[test]
    fn a_queue_is_wired_once_with_what_its_rules_say_together() {
        let rules = rules(&[
            "{ sqs: { queue: jobs, maximumConcurrency: 5 } }",
            "{ sqs: { queue: 'arn:aws:sqs:us-east-1:000000000000:jobs', batchSize: 100 } }",
            "{ s3: { bucket: uploads }, sqs: { queue: objects.fifo } }",
        ]);
        let [jobs, objects] = &queues(&rules)[..] else { panic!("two queues") };
        assert_eq!(
            (jobs.batch_size, jobs.maximum_concurrency, jobs.is_fifo()),
            (100, Some(5), false)
        );
        // More than ten messages at a time need a window.
        assert_eq!(jobs.batching_window, Duration::from_secs(1));
        assert_eq!((objects.batch_size, objects.batching_window), (10, Duration::ZERO));
        assert!(objects.is_fifo());
        // S3 fills no FIFO queue.
        assert!(bucket_notifications(&rules).is_empty());
        assert_eq!(buckets(&rules).collect::<Vec<_>>(), ["uploads"]);
    }

    #[test]
    fn messages_that_are_held_in_order_are_taken_one_at_a_time() {
        let sizes = |on: &[&str]| -> Vec<u32> {
            queues(&rules(on)).iter().map(|queue| queue.batch_size).collect()
        };
        assert_eq!(sizes(&["{ sqs: { queue: steps.fifo, ack: completion } }"]), [1]);
        assert_eq!(sizes(&["{ sqs: { queue: jobs, ack: completion } }"]), [10]);
        for others_first in [false, true] {
            let mut on = [
                "{ sqs: { queue: steps.fifo, ack: completion } }",
                "{ sqs: { queue: 'arn:aws:sqs:us-east-1:000000000000:steps.fifo', batchSize: 5 } }",
            ];
            if others_first {
                on.reverse();
            }
            assert_eq!(sizes(&on), [1]);
        }
    }

    #[test]
    fn a_bucket_notifies_whom_its_events_come_by() {
        let rules = rules(&[
            "{ s3: { bucket: direct } }",
            "{ s3: { bucket: through-topic }, sns: { topic: 'arn:aws:sns:us-east-1:000000000000:uploads' } }",
            "{ s3: { bucket: through-queue, prefix: in/ }, sqs: { queue: objects } }",
            "{ s3: { bucket: 'through-bus-*' }, bus: default }",
            "{ s3: { bucket: 'through-queue-*' }, sqs: { queue: objects } }",
            "{ eventPattern: { source: [shop] }, sqs: { queue: orders } }",
            "{ eventPattern: { source: [shop] }, sqs: { queue: orders.fifo } }",
            "{ sqs: { queue: jobs } }",
        ]);
        let notifications = bucket_notifications(&rules);
        let wired: Vec<(&str, &Target)> =
            notifications.iter().map(|wired| (wired.bucket.as_str(), &wired.target)).collect();
        let function = Target::Function(Function::S3);
        let topic = Target::Topic("uploads".to_owned());
        let queue = Target::Queue("objects".to_owned());
        assert_eq!(
            wired,
            [("direct", &function), ("through-topic", &topic), ("through-queue", &queue)]
        );
        assert_eq!(notifications[2].prefix, "in/");
        let named: Vec<&str> = buckets(&rules).collect();
        assert_eq!(named, ["direct", "through-topic", "through-queue"]);
        assert_eq!(topics(&rules).collect::<Vec<_>>(), ["uploads"]);
        let of_rules = subscriptions(&rules, None);
        assert!(of_rules.iter().any(|it| {
            it.target == Target::Function(Function::EventBridge)
                && it.event_pattern.as_str().contains(r#"{"wildcard":"through-bus-*"}"#)
        }));
        let queues: Vec<&Target> = of_rules
            .iter()
            .map(|it| &it.target)
            .filter(|target| matches!(target, Target::Queue(_)))
            .collect();
        assert_eq!(queues, [&Target::Queue("orders".to_owned())]);
    }
}
