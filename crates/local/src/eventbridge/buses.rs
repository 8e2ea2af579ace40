//! The event buses as they are asked at each event: one compiled matcher a bus, over the rules of the file and of the API.
//!
//! Made by [`super::EventBridge`] whenever a rule changes, and read by whoever publishes. What an event leads to is
//! delivered inside the transaction that the event came in with; what cannot be goes to the target's dead-letter queue.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use jiff::Timestamp;
use rusqlite::Transaction;
use serde::Deserialize;
use taskferry_event_pattern::{EventError, EventPattern, Matcher};

use super::{
    envelope::whole_second,
    input::{Input, Matched},
    launches::Cluster,
};
use crate::{
    delivery::{Deliveries, Delivery, Destination, Undeliverable},
    sqs::{AttributeValue, NewMessage},
};

/// The event buses that exist.
#[derive(Clone, Debug, Default)]
pub struct Buses(Arc<RwLock<Arc<BTreeMap<String, Bus>>>>);

/// How an event came onto a bus.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Hop {
    /// From whoever made it.
    First,
    /// From another bus.
    // https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-bus-to-bus.html
    // "EventBridge can't route events received from a sender event bus to a third event bus."
    Second,
}

/// A bus, ready to be asked.
#[derive(Debug)]
struct Bus {
    matcher: Matcher,
    /// The rule of each of the matcher's patterns.
    rules: Vec<Arc<Rule>>,
}

/// A rule that is enabled, ready to deliver.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: String,
    pub(super) arn: String,
    pub(super) leads_to: LeadsTo,
}

/// What a rule leads to.
#[derive(Debug)]
pub(super) enum LeadsTo {
    /// Of the rules file: this function or queue, with the whole event, and once however many rules of the file name it.
    Managed(Destination),
    /// Of the API: each of them.
    Targets(Vec<Target>),
}

/// A rule's target, as it is delivered to.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) arn: String,
    pub(super) kind: Kind,
    /// Whether it is of this account: any other gives no leave.
    pub(super) is_ours: bool,
    pub(super) input: Input,
    pub(super) group_id: Option<String>,
    /// The name of the dead-letter queue.
    pub(super) dead_letters: Option<String>,
}

/// What a target is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// A function, a queue, a topic or a bus.
    Delivered(Destination),
    /// An ECS cluster, on which a task is launched.
    Cluster(Cluster),
    /// Of a kind that is not on this machine. It can be named, as what does not exist can.
    Elsewhere,
}

/// Where an event goes that was not delivered, and what is told of it there.
#[derive(Clone, Debug)]
pub(super) struct Grave {
    /// The rule's ARN.
    pub(super) rule: String,
    /// The target's.
    pub(super) target: String,
    /// The name of the dead-letter queue.
    pub(super) queue: Option<String>,
}

/// How often a delivery was tried again, and which bound of that was met.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tried {
    pub(super) retries: u32,
    pub(super) exhausted: Option<&'static str>,
}

/// The rules that an event has matched.
#[derive(Clone, Debug, Default)]
pub(super) struct Route(Vec<Arc<Rule>>);

impl Route {
    /// To the targets of one rule.
    pub(super) fn to(rule: Rule) -> Self {
        Self(vec![Arc::new(rule)])
    }

    /// Whether the event leads to nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|rule| match &rule.leads_to {
            LeadsTo::Managed(_) => false,
            LeadsTo::Targets(targets) => targets.is_empty(),
        })
    }
}

impl Buses {
    /// Replaces the buses and their rules.
    pub(super) fn replace(&self, buses: BTreeMap<String, Vec<(EventPattern, Rule)>>) {
        let compile = |rules: Vec<(EventPattern, Rule)>| {
            let (patterns, rules): (Vec<_>, Vec<_>) = rules.into_iter().unzip();
            Bus {
                matcher: Matcher::new(patterns),
                rules: rules.into_iter().map(Arc::new).collect(),
            }
        };
        let buses = buses.into_iter().map(|(name, rules)| (name, compile(rules))).collect();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(buses);
    }

    /// Whether there is a bus of this name.
    pub(crate) fn has(&self, bus: &str) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains_key(bus)
    }

    /// The rules that an event on a bus matches; `None` if there is no such bus.
    pub(super) fn route(&self, bus: &str, event: &str) -> Result<Option<Route>, EventError> {
        let buses = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        let Some(bus) = buses.get(bus) else { return Ok(None) };
        let matched = bus.matcher.matches(event)?;
        let rules = matched.iter().filter_map(|&index| bus.rules.get(index)).map(Arc::clone);
        Ok(Some(Route(rules.collect())))
    }
}

/// What every event has.
#[derive(Deserialize)]
#[expect(dead_code, reason = "that they are there is what is asked")]
struct Envelope {
    source: String,
    #[serde(rename = "detail-type")]
    detail_type: String,
}

impl Deliveries {
    /// Puts an event that another bus has sent onto a bus.
    pub(crate) fn forward(
        &self,
        tx: &Transaction<'_>,
        bus: &str,
        event: &str,
    ) -> rusqlite::Result<Result<(), Undeliverable>> {
        let arn = || Destination::EventBus(bus.to_owned()).arn();
        if serde_json::from_str::<Envelope>(event).is_err() {
            return Ok(Err(Undeliverable::InvalidJson { arn: arn() }));
        }
        match self.buses.route(bus, event) {
            Ok(Some(route)) => self.follow(tx, Hop::Second, &route, event).map(Ok),
            Ok(None) => Ok(Err(Undeliverable::NoResource { arn: arn() })),
            Err(error) => Ok(Err(Undeliverable::Refused { arn: arn(), reason: error.to_string() })),
        }
    }

    /// Delivers an event to all that it leads to.
    pub(super) fn follow(
        &self,
        tx: &Transaction<'_>,
        hop: Hop,
        Route(rules): &Route,
        event: &str,
    ) -> rusqlite::Result<()> {
        let mut managed: Vec<&Destination> = rules
            .iter()
            .filter_map(|rule| match &rule.leads_to {
                LeadsTo::Managed(destination) => Some(destination),
                LeadsTo::Targets(_) => None,
            })
            .collect();
        managed.sort_unstable();
        managed.dedup();
        for destination in managed {
            if let Destination::Function(function) = destination {
                self.invocations.enqueue(tx, function, event)?;
                continue;
            }
            let delivery = Delivery { body: event, ..Delivery::default() };
            if let Err(why) = self.deliver_from(tx, hop, destination, &delivery)? {
                let target = destination.arn();
                tracing::warn!(target, error = %why, "an event was not delivered");
            }
        }
        for rule in rules {
            if let LeadsTo::Targets(targets) = &rule.leads_to {
                targets.iter().try_for_each(|target| self.hit(tx, hop, rule, target, event))?;
            }
        }
        Ok(())
    }

    /// Delivers an event to one target, or else to its dead-letter queue.
    fn hit(
        &self,
        tx: &Transaction<'_>,
        hop: Hop,
        rule: &Rule,
        target: &Target,
        event: &str,
    ) -> rusqlite::Result<()> {
        let ingestion_time = whole_second(Timestamp::now()).to_string();
        let matched =
            Matched { rule_arn: &rule.arn, rule_name: &rule.name, ingestion_time: &ingestion_time };
        let delivered = match target.input.render(event, matched) {
            Ok(_) if !target.is_ours => {
                Err(Undeliverable::NoPermission { arn: target.arn.clone() })
            }
            Ok(body) => match &target.kind {
                Kind::Delivered(destination) => {
                    let group_id = target.group_id.as_deref();
                    let delivery = Delivery { body: &body, group_id, ..Delivery::default() };
                    self.deliver_from(tx, hop, destination, &delivery)?
                }
                Kind::Cluster(cluster) => self.launch(tx, (rule, target, cluster), event, &body)?,
                Kind::Elsewhere => Err(Undeliverable::NoKind { arn: target.arn.clone() }),
            },
            Err(_) => Err(Undeliverable::InvalidJson { arn: target.arn.clone() }),
        };
        let Err(why) = delivered else { return Ok(()) };
        let queue = target.dead_letters.clone();
        let grave = Grave { rule: rule.arn.clone(), target: target.arn.clone(), queue };
        self.bury(tx, &grave, event, &why, Tried::default())
    }

    /// Puts an event that was not delivered into the target's dead-letter queue.
    // https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
    pub(super) fn bury(
        &self,
        tx: &Transaction<'_>,
        Grave { rule, target, queue }: &Grave,
        event: &str,
        why: &Undeliverable,
        Tried { retries, exhausted }: Tried,
    ) -> rusqlite::Result<()> {
        if let Some(queue) = queue {
            let attributes = [
                ("RULE_ARN", Some(rule.clone())),
                ("TARGET_ARN", Some(target.clone())),
                ("ERROR_CODE", Some(why.code().to_owned())),
                ("ERROR_MESSAGE", Some(why.to_string())),
                // Where nothing is tried again, no condition of that is met.
                ("EXHAUSTED_RETRY_CONDITION", exhausted.map(str::to_owned)),
                ("RETRY_ATTEMPTS", exhausted.map(|_| retries.to_string())),
            ];
            let attributes = attributes
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), AttributeValue::string(value?))))
                .collect();
            let message = NewMessage { body: event, attributes, ..NewMessage::default() };
            match self.send(tx, queue, &message)? {
                Ok(()) => return Ok(()),
                Err(error) => {
                    tracing::warn!(queue, %error, "a dead-letter queue does not take an event");
                }
            }
        }
        tracing::warn!(rule, target, error = %why, "an event was not delivered");
        Ok(())
    }
}
