//! Targets: what each kind is invoked with.

use jiff::Timestamp;
use rusqlite::Transaction;
use serde_json::{Map, Value, json, value::RawValue};
use uuid::Uuid;

use super::{Scheduler, context::Context, definition::Target};
use crate::{
    delivery::{Delivery, Destination, Undeliverable},
    eventbridge::Envelope,
    identity::{ACCOUNT_ID, REGION},
    run_task::{Failed, Launch, launched},
};

/// What came of an invocation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Invoked {
    /// It is part of the transaction.
    Done,
    /// It is a call that no transaction can hold.
    Later,
}

/// Why a target was not invoked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Refusal {
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl From<Undeliverable> for Refusal {
    fn from(undeliverable: Undeliverable) -> Self {
        Self { code: undeliverable.code(), message: undeliverable.to_string() }
    }
}

/// The kinds of targets that there are here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// A function, a queue, a topic.
    Delivered(Destination),
    /// An event bus, by name: the input is an event's detail.
    Bus(String),
    /// An ECS cluster, by ARN: the input is the overrides of a task.
    Cluster,
}

impl Kind {
    /// The kind of an ARN; `None` if it is none that is here.
    pub(super) fn of(arn: &str) -> Option<Self> {
        match Destination::parse_of_any_account(arn) {
            Ok((Destination::EventBus(name), _)) => Some(Self::Bus(name)),
            Ok((destination, _)) => Some(Self::Delivered(destination)),
            Err(_) => {
                let parts: Vec<&str> = arn.splitn(6, ':').collect();
                let &["arn", _, "ecs", _, _, resource] = parts.as_slice() else {
                    return None;
                };
                let name = resource.strip_prefix("cluster/")?;
                (!name.is_empty()).then_some(Self::Cluster)
            }
        }
    }
}

impl Scheduler {
    /// Invokes a target as part of the transaction, if it can be.
    pub(super) fn invoke(
        &self,
        tx: &Transaction<'_>,
        context: &Context,
        target: &Target,
    ) -> rusqlite::Result<Result<Invoked, Refusal>> {
        let input = input(context, target);
        if let Ok((_, false)) = Destination::parse_of_any_account(&target.arn) {
            return Ok(Err(Undeliverable::NoPermission { arn: target.arn.clone() }.into()));
        }
        let delivered = match Kind::of(&target.arn) {
            None => {
                let message = format!("{} is not on this machine", target.arn);
                return Ok(Err(Refusal { code: "NO_RESOURCE", message }));
            }
            Some(Kind::Cluster) => return Ok(Ok(Invoked::Later)),
            Some(Kind::Bus(bus)) => self.put_event(tx, context, target, &bus, &input)?,
            Some(Kind::Delivered(destination)) => {
                let group_id =
                    target.sqs_parameters.as_ref().and_then(|it| it.message_group_id.as_deref());
                // A repeated attempt is the same message to a FIFO queue.
                let id = context.token();
                let delivery = Delivery {
                    body: &input,
                    group_id,
                    deduplication_id: group_id.map(|_| id.as_str()),
                    ..Delivery::default()
                };
                self.deliveries.deliver(tx, &destination, &delivery)?
            }
        };
        Ok(delivered.map(|()| Invoked::Done).map_err(Refusal::from))
    }

    fn put_event(
        &self,
        tx: &Transaction<'_>,
        context: &Context,
        target: &Target,
        bus: &str,
        detail: &str,
    ) -> rusqlite::Result<Result<(), Undeliverable>> {
        let arn = || target.arn.clone();
        let Some(parameters) = &target.event_bridge_parameters else {
            return Ok(Err(Undeliverable::InvalidJson { arn: arn() }));
        };
        let detail = match serde_json::from_str::<&RawValue>(detail) {
            Ok(detail) if detail.get().starts_with('{') => detail,
            Ok(_) | Err(_) => return Ok(Err(Undeliverable::InvalidJson { arn: arn() })),
        };
        let id = Uuid::now_v7().to_string();
        let event = Envelope {
            id: &id,
            source: &parameters.source,
            detail_type: &parameters.detail_type,
            time: self.now(),
            resources: std::slice::from_ref(&context.schedule_arn),
            detail,
        }
        .to_json();
        if !self.deliveries.buses.has(bus) {
            return Ok(Err(Undeliverable::NoResource { arn: arn() }));
        }
        // An event that no rule matches leads nowhere, as one of `PutEvents`.
        self.event_bridge.publish(tx, bus, &event).map(|_| Ok(()))
    }

    /// Starts the tasks of a target that is a cluster. The same call for the same time starts none anew.
    pub(super) fn start_tasks(&self, context: &Context, target: &Target) -> Result<(), Refusal> {
        let request = run_task(context, target)?;
        launched((self.run_task)(request))
            .map_err(|Failed { code, message, .. }| Refusal { code, message })
    }
}

/// What the target gets: its input with the keywords replaced, or a word that the schedule has fired.
pub(super) fn input(context: &Context, target: &Target) -> String {
    match &target.input {
        Some(input) => context.fill_in(input),
        // https://docs.aws.amazon.com/scheduler/latest/APIReference/API_Target.html
        // "If you do not specify anything for this field, Amazon EventBridge Scheduler delivers a default notification to
        // the target."
        None => default_notification(context),
    }
}

fn default_notification(context: &Context) -> String {
    let Context { schedule_arn, scheduled, execution_id, .. } = context;
    json!({
        "version": "0",
        "id": execution_id,
        "detail-type": "Scheduled Event",
        "source": "aws.scheduler",
        "account": ACCOUNT_ID,
        "time": scheduled,
        "region": REGION,
        "resources": [schedule_arn],
        "detail": "{}",
    })
    .to_string()
}

/// The request of `RunTask` for a templated target.
fn run_task(context: &Context, target: &Target) -> Result<Value, Refusal> {
    let overrides =
        target.input.as_ref().map(|input| serde_json::from_str(&context.fill_in(input)));
    let overrides = overrides.transpose().map_err(|error| Refusal {
        code: "INVALID_JSON",
        message: format!("the input is not JSON: {error}"),
    })?;
    // As Scheduler does.
    let name = context.schedule_arn.rsplit('/').next().unwrap_or_default();
    let none = Map::new();
    let launch = Launch {
        cluster: &target.arn,
        parameters: target.ecs_parameters.as_ref().unwrap_or(&none),
        overrides,
        started_by: &format!("chronos-schedule/{name}"),
        client_token: &context.token(),
    };
    Ok(launch.request())
}

/// The time until which an invocation may be tried.
pub(super) fn deadline(context: &Context, target: &Target) -> Timestamp {
    let age = jiff::SignedDuration::from_secs(target.event_age_seconds_max().into());
    context.scheduled.checked_add(age).unwrap_or(Timestamp::MAX)
}
