//! Handing on: how a service of this machine gives something to another, inside the transaction that it came in with.
//!
//! EventBridge's targets, SNS's subscriptions, S3's notifications and schedules all deliver here, so what a request leads
//! to is durable with the request. Nothing in here decides what is delivered; what cannot be is told to whoever asked.

use rusqlite::Transaction;
use serde_json::value::RawValue;

use crate::{
    eventbridge::{Buses, Hop, Launches},
    identity::{ACCOUNT_ID, REGION},
    lambda::Invocations,
    sqs::{Code, NewMessage, Queues},
};

/// The longest payload of an asynchronous invocation.
// https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;

/// Where something can be delivered.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Destination {
    /// A Lambda function, by name.
    Function(String),
    /// An SQS queue, by name.
    Queue(String),
    /// An SNS topic, by name.
    Topic(String),
    /// An event bus, by name.
    EventBus(String),
}

/// Why an ARN names no destination.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// It is not an ARN.
    #[error("it is not an ARN")]
    NotArn,
    /// It is the ARN of something in another account, which is not on this machine.
    #[error("its account is not {ACCOUNT_ID}")]
    OtherAccount,
    /// It is the ARN of something that nothing is delivered to here.
    #[error("it is not the ARN of a Lambda function, an SQS queue, an SNS topic or an event bus")]
    NotADestination,
}

impl Destination {
    /// The destination of an ARN. Any Region is this machine's.
    ///
    /// # Errors
    ///
    /// [`Error`]: no ARN, of another account, or of something else.
    pub fn parse(arn: &str) -> Result<Self, Error> {
        match Self::parse_of_any_account(arn)? {
            (destination, true) => Ok(destination),
            (_, false) => Err(Error::OtherAccount),
        }
    }

    /// The destination of an ARN of whatever account, and whether it is this one's: AWS lets others be named beforehand, and
    /// delivers to them by their leave.
    ///
    /// # Errors
    ///
    /// [`Error`]: no ARN, or of something else.
    pub fn parse_of_any_account(arn: &str) -> Result<(Self, bool), Error> {
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let &["arn", partition, service, region, account, resource] = parts.as_slice() else {
            return Err(Error::NotArn);
        };
        if !partition.starts_with("aws") || service.is_empty() || resource.is_empty() {
            return Err(Error::NotArn);
        }
        let is_name = |name: &str, also: &[char]| {
            !name.is_empty()
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-_".contains(c) || also.contains(&c))
        };
        let destination = match service {
            "lambda" => {
                let name = resource.strip_prefix("function:").ok_or(Error::NotADestination)?;
                // There is one version of a function here.
                let name = name.strip_suffix(":$LATEST").unwrap_or(name);
                is_name(name, &[]).then(|| Self::Function(name.to_owned()))
            }
            "sqs" => is_name(resource, &['.']).then(|| Self::Queue(resource.to_owned())),
            "sns" => is_name(resource, &['.']).then(|| Self::Topic(resource.to_owned())),
            "events" => {
                let name = resource.strip_prefix("event-bus/").ok_or(Error::NotADestination)?;
                is_name(name, &['.', '/']).then(|| Self::EventBus(name.to_owned()))
            }
            _ => None,
        };
        let destination = destination.ok_or(Error::NotADestination)?;
        if region.is_empty() {
            return Err(Error::NotArn);
        }
        if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Error::NotArn);
        }
        Ok((destination, account == ACCOUNT_ID))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Function(name) | Self::Queue(name) | Self::Topic(name) | Self::EventBus(name) => {
                name
            }
        }
    }

    /// Its ARN.
    pub fn arn(&self) -> String {
        let (service, resource) = match self {
            Self::Function(name) => ("lambda", format!("function:{name}")),
            Self::Queue(name) => ("sqs", name.clone()),
            Self::Topic(name) => ("sns", name.clone()),
            Self::EventBus(name) => ("events", format!("event-bus/{name}")),
        };
        format!("arn:aws:{service}:{REGION}:{ACCOUNT_ID}:{resource}")
    }

    /// Whether it is a queue or topic that keeps order.
    pub fn is_fifo(&self) -> bool {
        match self {
            Self::Queue(name) | Self::Topic(name) => is_fifo(name),
            Self::Function(_) | Self::EventBus(_) => false,
        }
    }
}

/// Whether a queue or topic of this name keeps order.
pub(crate) fn is_fifo(name: &str) -> bool {
    name.strip_suffix(".fifo").is_some()
}

/// What is delivered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Delivery<'a> {
    /// A function's payload, a queue's or topic's message, an event in EventBridge's envelope.
    pub body: &'a str,
    /// The message group, for a FIFO queue or topic.
    pub group_id: Option<&'a str>,
    /// By what a FIFO queue or topic knows a message that it has had before.
    pub deduplication_id: Option<&'a str>,
    /// What a topic's message is about.
    pub subject: Option<&'a str>,
}

/// Why something was not delivered; trying again would not help.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Undeliverable {
    /// There is no such destination.
    #[error("{arn} does not exist")]
    NoResource {
        /// The destination.
        arn: String,
    },
    /// It is of a kind that is not here.
    #[error("{arn} is of a kind that is not on this machine")]
    NoKind {
        /// The destination.
        arn: String,
    },
    /// It is in another account, which gives no leave here.
    #[error("{arn} is in another account, which is not on this machine")]
    NoPermission {
        /// The destination.
        arn: String,
    },
    /// A function takes JSON, and an event bus an event.
    #[error("the input is not JSON that {arn} can take")]
    InvalidJson {
        /// The destination.
        arn: String,
    },
    /// The destination refused it.
    #[error("{arn} refused it: {reason}")]
    Refused {
        /// The destination.
        arn: String,
        /// Its reason.
        reason: String,
    },
    /// An event that came from another bus goes on to no third.
    #[error("{arn} is a third event bus: an event goes from one to another once")]
    ThirdBus {
        /// The bus.
        arn: String,
    },
}

impl Undeliverable {
    /// The code by which EventBridge tells it.
    // https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoResource { .. } | Self::NoKind { .. } => "NO_RESOURCE",
            Self::NoPermission { .. } => "NO_PERMISSIONS",
            Self::InvalidJson { .. } => "INVALID_JSON",
            Self::Refused { .. } => "ERROR_FROM_TARGET",
            Self::ThirdBus { .. } => "THIRD_ACCOUNT_HOP_DETECTED",
        }
    }
}

/// All that things are delivered to.
#[derive(Clone, Debug, Default)]
pub struct Deliveries {
    pub(crate) invocations: Invocations,
    queues: Queues,
    pub(crate) buses: Buses,
    pub(crate) launches: Launches,
}

impl Deliveries {
    /// Deliveries to these.
    pub fn new(invocations: Invocations, queues: Queues) -> Self {
        Self { invocations, queues, buses: Buses::default(), launches: Launches::default() }
    }

    /// Delivers: durable with the transaction that it is part of.
    ///
    /// # Errors
    ///
    /// SQLite's, if it cannot be recorded. That it cannot be delivered is no error, but an answer: [`Undeliverable`].
    pub fn deliver(
        &self,
        tx: &Transaction<'_>,
        destination: &Destination,
        delivery: &Delivery<'_>,
    ) -> rusqlite::Result<Result<(), Undeliverable>> {
        self.deliver_from(tx, Hop::First, destination, delivery)
    }

    /// [`Self::deliver`], of an event that came this way.
    pub(crate) fn deliver_from(
        &self,
        tx: &Transaction<'_>,
        hop: Hop,
        destination: &Destination,
        delivery: &Delivery<'_>,
    ) -> rusqlite::Result<Result<(), Undeliverable>> {
        let arn = || destination.arn();
        match destination {
            Destination::Function(name) => {
                if serde_json::from_str::<&RawValue>(delivery.body).is_err() {
                    return Ok(Err(Undeliverable::InvalidJson { arn: arn() }));
                }
                if delivery.body.len() > PAYLOAD_BYTES_MAX {
                    let reason = format!("a payload has {PAYLOAD_BYTES_MAX} bytes at most");
                    return Ok(Err(Undeliverable::Refused { arn: arn(), reason }));
                }
                if !self.invocations.knows(name) {
                    return Ok(Err(Undeliverable::NoResource { arn: arn() }));
                }
                self.invocations.enqueue(tx, name, delivery.body).map(Ok)
            }
            Destination::EventBus(name) => match hop {
                Hop::First => self.forward(tx, name, delivery.body),
                Hop::Second => Ok(Err(Undeliverable::ThirdBus { arn: arn() })),
            },
            Destination::Queue(name) => {
                let Delivery { body, group_id, deduplication_id, .. } = *delivery;
                let message =
                    NewMessage { body, group_id, deduplication_id, ..NewMessage::default() };
                self.send(tx, name, &message)
            }
            Destination::Topic(name) => self.publish_to_topic(tx, name, delivery),
        }
    }

    /// Sends a message to a queue.
    pub(crate) fn send(
        &self,
        tx: &Transaction<'_>,
        queue: &str,
        message: &NewMessage<'_>,
    ) -> rusqlite::Result<Result<(), Undeliverable>> {
        let sent = self.queues.send(tx, queue, message)?;
        Ok(sent.map(drop).map_err(|refusal| {
            let arn = Destination::Queue(queue.to_owned()).arn();
            match refusal.code {
                Code::QueueDoesNotExist => Undeliverable::NoResource { arn },
                _ => Undeliverable::Refused { arn, reason: refusal.message },
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{db::Db, eventbridge, lambda, sns, sqs};

    #[track_caller]
    fn check(arn: &str, destination: impl Into<Result<Destination, Error>>) {
        assert_eq!(Destination::parse(arn), destination.into(), "{arn}");
    }

    #[test]
    fn an_arn_names_its_destination() {
        let name = || "a-B_1".to_owned();
        check(
            "arn:aws:lambda:eu-west-1:000000000000:function:a-B_1",
            Ok(Destination::Function(name())),
        );
        check(
            "arn:aws:lambda:us-east-1:000000000000:function:a-B_1:$LATEST",
            Ok(Destination::Function(name())),
        );
        check("arn:aws:sqs:us-east-1:000000000000:a-B_1", Ok(Destination::Queue(name())));
        check(
            "arn:aws:sns:us-east-1:000000000000:a.fifo",
            Ok(Destination::Topic("a.fifo".to_owned())),
        );
        check(
            "arn:aws:events:us-east-1:000000000000:event-bus/a-B_1",
            Ok(Destination::EventBus(name())),
        );
    }

    #[test]
    fn what_names_none_is_refused() {
        check("", Err(Error::NotArn));
        check("arn:aws:sqs:us-east-1:000000000000", Err(Error::NotArn));
        check("arn:aws:sqs::000000000000:a", Err(Error::NotArn));
        check("arn:aws:sqs:us-east-1:123456789012:a", Err(Error::OtherAccount));
        check("arn:aws:sqs:us-east-1:000000000000:a/b", Err(Error::NotADestination));
        check("arn:aws:s3:us-east-1:000000000000:a", Err(Error::NotADestination));
        check("arn:aws:lambda:us-east-1:000000000000:layer:a", Err(Error::NotADestination));
        check("arn:aws:events:us-east-1:000000000000:rule/a", Err(Error::NotADestination));
    }

    /// What is delivered stands and falls with the transaction that it is part of.
    #[test]
    fn a_transaction_that_does_not_stand_has_delivered_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let schema = [lambda::SCHEMA, sqs::SCHEMA, sns::SCHEMA, eventbridge::SCHEMA].concat();
        let db = Db::open(&dir.path().join("state.db"), &[&schema]).unwrap();
        let deliveries = Deliveries::new(Invocations::default(), Queues::default());
        let function = Destination::Function("f".to_owned());
        let delivery = Delivery { body: "{}", ..Delivery::default() };
        let delivered = |then: rusqlite::Result<()>| {
            let delivered = db.write(|tx| {
                deliveries.deliver(tx, &function, &delivery)?.expect("a function takes JSON");
                then
            });
            let queued: u32 = db
                .read(|db| {
                    db.query_row("SELECT count(*) FROM lambda_invocations", [], |row| row.get(0))
                })
                .unwrap();
            (delivered.is_ok(), queued)
        };
        assert_eq!(delivered(Err(rusqlite::Error::InvalidQuery)), (false, 0));
        assert_eq!(delivered(Ok(())), (true, 1));
        let nowhere = ["queue", "topic.fifo"].map(str::to_owned);
        let [queue, topic] = nowhere;
        for none in [Destination::Queue(queue), Destination::Topic(topic)] {
            let refused = db.write(|tx| deliveries.deliver(tx, &none, &delivery)).unwrap();
            assert_eq!(refused, Err(Undeliverable::NoResource { arn: none.arn() }));
        }
    }

    #[test]
    fn an_arn_comes_back() {
        for arn in [
            "arn:aws:lambda:us-east-1:000000000000:function:f",
            "arn:aws:sqs:us-east-1:000000000000:q.fifo",
            "arn:aws:sns:us-east-1:000000000000:t",
            "arn:aws:events:us-east-1:000000000000:event-bus/b",
        ] {
            assert_eq!(Destination::parse(arn).unwrap().arn(), arn);
        }
    }
}
