//! A bucket's notification configuration, as clients put it: checked by S3's rules, kept, and shown.
//!
//! It is beside what the rules file asks for, which `PutBucketNotificationConfiguration` does not replace:
//! `GetBucketNotificationConfiguration` shows the file's part under ids of its own, and takes it out of what comes back.

use rusqlite::{Connection, OptionalExtension as _, Transaction};
use s3s::{
    S3ErrorCode,
    dto::{
        Event, EventBridgeConfiguration, FilterRule, FilterRuleName,
        GetBucketNotificationConfigurationOutput, LambdaFunctionConfiguration,
        NotificationConfiguration, NotificationConfigurationFilter,
        PutBucketNotificationConfigurationInput, QueueConfiguration, S3KeyFilter,
        TopicConfiguration,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{
    S3, buckets,
    fault::{Fault, refuse},
    notification::{Filter, SUBJECT},
};
use crate::{
    delivery::{Delivery, Destination, Undeliverable},
    protocol::json_text,
};

/// The table of what clients have put: JSON, by bucket.
pub(crate) const CONFIGURATION_SCHEMA: &str = "
CREATE TABLE s3_notifications (
    bucket TEXT PRIMARY KEY REFERENCES s3_buckets (name) ON DELETE CASCADE,
    configuration TEXT NOT NULL
) WITHOUT ROWID;
";

/// What the ids of the file's notifications begin with.
const MANAGED: &str = "taskferry-";

/// How many destinations a bucket has at most.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-filtering.html
const DESTINATIONS_MAX: usize = 100;

const ID_CHARACTERS_MAX: usize = 255;
const VALUE_BYTES_MAX: usize = 1024;

/// The event types of S3.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-event-types-and-destinations.html
const EVENTS: [&str; 27] = [
    "s3:IntelligentTiering",
    "s3:LifecycleExpiration:*",
    "s3:LifecycleExpiration:Delete",
    "s3:LifecycleExpiration:DeleteMarkerCreated",
    "s3:LifecycleTransition",
    "s3:ObjectAcl:Put",
    "s3:ObjectCreated:*",
    "s3:ObjectCreated:CompleteMultipartUpload",
    "s3:ObjectCreated:Copy",
    "s3:ObjectCreated:Post",
    "s3:ObjectCreated:Put",
    "s3:ObjectRemoved:*",
    "s3:ObjectRemoved:Delete",
    "s3:ObjectRemoved:DeleteMarkerCreated",
    "s3:ObjectRestore:*",
    "s3:ObjectRestore:Completed",
    "s3:ObjectRestore:Delete",
    "s3:ObjectRestore:Post",
    "s3:ObjectTagging:*",
    "s3:ObjectTagging:Delete",
    "s3:ObjectTagging:Put",
    "s3:ReducedRedundancyLostObject",
    "s3:Replication:*",
    "s3:Replication:OperationFailedReplication",
    "s3:Replication:OperationMissedThreshold",
    "s3:Replication:OperationNotTracked",
    "s3:Replication:OperationReplicatedAfterThreshold",
];

/// What is kept of a configuration.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Configuration {
    /// Each bucket sends its events; whether it was asked to is kept and shown.
    event_bridge: bool,
    pub(super) destinations: Vec<Notified>,
}

/// A destination, and the changes that it is told of.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Notified {
    pub(super) id: String,
    pub(super) arn: String,
    events: Vec<String>,
    /// The rules of the filter as they were given: `prefix` or `suffix`, and the value.
    rules: Vec<(Affix, String)>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Affix {
    Prefix,
    Suffix,
}

/// What kind of a destination a part of the request is for, and how S3 calls it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Function,
    Queue,
    Topic,
}

impl Kind {
    fn of(destination: &Destination) -> Option<Self> {
        match destination {
            Destination::Function(_) => Some(Self::Function),
            Destination::Queue(_) => Some(Self::Queue),
            Destination::Topic(_) => Some(Self::Topic),
            Destination::EventBus(_) => None,
        }
    }
}

impl Notified {
    fn read(
        kind: Kind,
        id: Option<String>,
        arn: String,
        events: Vec<Event>,
        filter: Option<NotificationConfigurationFilter>,
    ) -> Result<Self, Fault> {
        let destination = Destination::parse(&arn).ok();
        let destination = destination.filter(|it| Kind::of(it) == Some(kind));
        let destination = destination.ok_or_else(|| invalid("The ARN could not be parsed"))?;
        if destination.is_fifo() {
            return Err(invalid("FIFO destinations are not supported."));
        }
        if id.as_ref().is_some_and(|id| id.chars().count() > ID_CHARACTERS_MAX) {
            return Err(invalid("The length of the Id of a configuration is limited to 255."));
        }
        if events.is_empty() {
            return Err(S3ErrorCode::MalformedXML.into());
        }
        let events: Vec<String> = events.into_iter().map(String::from).collect();
        if events.iter().any(|event| !EVENTS.contains(&event.as_str())) {
            return Err(invalid("The event is not supported for notifications"));
        }
        let rules = filter.and_then(|filter| filter.key).and_then(|key| key.filter_rules);
        let rules =
            rules.unwrap_or_default().iter().map(read_rule).collect::<Result<Vec<_>, _>>()?;
        for (affix, name) in [(Affix::Prefix, "prefix"), (Affix::Suffix, "suffix")] {
            if rules.iter().filter(|(it, _)| *it == affix).count() > 1 {
                return Err(invalid(format!(
                    "Cannot specify more than one {name} rule in a filter."
                )));
            }
        }
        let id = id.filter(|id| !id.is_empty()).unwrap_or_else(|| Uuid::now_v7().to_string());
        Ok(Self { id, arn, events, rules })
    }

    fn affix(&self, affix: Affix) -> &str {
        self.rules.iter().find(|(it, _)| *it == affix).map_or("", |(_, value)| value)
    }

    /// Whether it is told of such a change of this key.
    pub(super) fn fits(&self, event_name: &str, key: &str) -> bool {
        let filter = Filter {
            events: self.events.clone(),
            prefix: self.affix(Affix::Prefix).to_owned(),
            suffix: self.affix(Affix::Suffix).to_owned(),
        };
        filter.fits(event_name, key)
    }

    fn filter(&self) -> Option<NotificationConfigurationFilter> {
        let rule = |(affix, value): &(Affix, String)| FilterRule {
            // https://docs.aws.amazon.com/AmazonS3/latest/API/API_FilterRule.html
            // S3 takes them in any case, and shows them so.
            name: Some(FilterRuleName::from_static(match affix {
                Affix::Prefix => "Prefix",
                Affix::Suffix => "Suffix",
            })),
            value: Some(value.clone()),
        };
        let rules: Vec<_> = self.rules.iter().map(rule).collect();
        let key = (!rules.is_empty()).then_some(S3KeyFilter { filter_rules: Some(rules) });
        key.map(|key| NotificationConfigurationFilter { key: Some(key) })
    }

    fn events(&self) -> Vec<Event> {
        self.events.iter().map(|event| Event::from(event.clone())).collect()
    }
}

fn read_rule(rule: &FilterRule) -> Result<(Affix, String), Fault> {
    let name = rule.name.as_ref().map_or("", FilterRuleName::as_str);
    let affix = match name.to_ascii_lowercase().as_str() {
        "prefix" => Affix::Prefix,
        "suffix" => Affix::Suffix,
        _ => return Err(invalid("filter rule name must be either prefix or suffix")),
    };
    let value = rule.value.clone().unwrap_or_default();
    if value.len() > VALUE_BYTES_MAX {
        return Err(invalid(
            "Size of filter rule value cannot exceed 1024 bytes in UTF-8 representation",
        ));
    }
    Ok((affix, value))
}

fn invalid(message: impl Into<String>) -> Fault {
    refuse(S3ErrorCode::InvalidArgument, message)
}

impl Configuration {
    fn read(request: NotificationConfiguration) -> Result<Self, Fault> {
        let mut destinations = Vec::new();
        for it in request.lambda_function_configurations.unwrap_or_default() {
            let arn = it.lambda_function_arn;
            destinations.push(Notified::read(Kind::Function, it.id, arn, it.events, it.filter)?);
        }
        for it in request.queue_configurations.unwrap_or_default() {
            destinations.push(Notified::read(
                Kind::Queue,
                it.id,
                it.queue_arn,
                it.events,
                it.filter,
            )?);
        }
        for it in request.topic_configurations.unwrap_or_default() {
            destinations.push(Notified::read(
                Kind::Topic,
                it.id,
                it.topic_arn,
                it.events,
                it.filter,
            )?);
        }
        let event_bridge = request.event_bridge_configuration.is_some();
        Ok(Self { event_bridge, destinations })
    }

    /// Refuses what S3 refuses of destinations together.
    fn check(&self) -> Result<(), Fault> {
        if self.destinations.len() > DESTINATIONS_MAX {
            return Err(invalid(format!("A bucket has {DESTINATIONS_MAX} destinations at most.")));
        }
        for (index, one) in self.destinations.iter().enumerate() {
            for other in &self.destinations[..index] {
                if one.id == other.id {
                    return Err(invalid(
                        "Same ID used for multiple configurations. IDs must be unique",
                    ));
                }
                check_overlap(one, other)?;
            }
        }
        Ok(())
    }

    fn show(&self) -> GetBucketNotificationConfigurationOutput {
        let of = |kind: Kind| {
            self.destinations.iter().filter(move |it| {
                Destination::parse(&it.arn).is_ok_and(|it| Kind::of(&it) == Some(kind))
            })
        };
        let functions = of(Kind::Function).map(|it| LambdaFunctionConfiguration {
            events: it.events(),
            filter: it.filter(),
            id: Some(it.id.clone()),
            lambda_function_arn: it.arn.clone(),
        });
        let queues = of(Kind::Queue).map(|it| QueueConfiguration {
            events: it.events(),
            filter: it.filter(),
            id: Some(it.id.clone()),
            queue_arn: it.arn.clone(),
        });
        let topics = of(Kind::Topic).map(|it| TopicConfiguration {
            events: it.events(),
            filter: it.filter(),
            id: Some(it.id.clone()),
            topic_arn: it.arn.clone(),
        });
        GetBucketNotificationConfigurationOutput {
            event_bridge_configuration: self.event_bridge.then(EventBridgeConfiguration::default),
            lambda_function_configurations: Some(functions.collect()),
            queue_configurations: Some(queues.collect()),
            topic_configurations: Some(topics.collect()),
        }
    }
}

/// Refuses two destinations that one change could be for.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-filtering.html
// "you cannot have two notification configurations with overlapping event types, prefixes and suffixes"
fn check_overlap(one: &Notified, other: &Notified) -> Result<(), Fault> {
    let family = |event: &str| event.strip_suffix('*').map(str::to_owned);
    let meet = |a: &String, b: &String| {
        a == b
            || family(a).is_some_and(|family| b.starts_with(&family))
            || family(b).is_some_and(|family| a.starts_with(&family))
    };
    if !one.events.iter().any(|a| other.events.iter().any(|b| meet(a, b))) {
        return Ok(());
    }
    let (a, b) = (one.affix(Affix::Prefix), other.affix(Affix::Prefix));
    let prefixes = a.starts_with(b) || b.starts_with(a);
    let (c, d) = (one.affix(Affix::Suffix), other.affix(Affix::Suffix));
    let suffixes = c.ends_with(d) || d.ends_with(c);
    if !(prefixes && suffixes) {
        return Ok(());
    }
    Err(invalid(if (a, c) == (b, d) {
        "Configurations overlap. Configurations on the same bucket cannot share a common event type."
    } else {
        "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the prefixes are overlapping for the same event type."
    }))
}

/// What clients have put for a bucket.
pub(super) fn find(connection: &Connection, bucket: &str) -> Result<Configuration, Fault> {
    let text: Option<String> = connection
        .prepare_cached("SELECT configuration FROM s3_notifications WHERE bucket = ?1")?
        .query_row([bucket], |row| row.get(0))
        .optional()?;
    Ok(text.map_or(Ok(Configuration::default()), |text| serde_json::from_str(&text))?)
}

impl S3 {
    pub(super) fn put_notification_configuration(
        &self,
        input: PutBucketNotificationConfigurationInput,
        request_id: &str,
    ) -> Result<(), Fault> {
        let PutBucketNotificationConfigurationInput {
            bucket,
            notification_configuration,
            skip_destination_validation,
            ..
        } = input;
        let mut configuration = Configuration::read(notification_configuration)?;
        let managed = self.managed(&bucket);
        let is_managed = |it: &Notified| managed.iter().any(|known| known.id == it.id);
        configuration.destinations.retain(|it| !is_managed(it));
        configuration.check()?;
        self.db.write(|tx| {
            buckets::check(tx, &bucket)?;
            if skip_destination_validation != Some(true) {
                for destination in &configuration.destinations {
                    self.try_out(tx, &bucket, destination, request_id)?;
                }
            }
            tx.execute(
                "INSERT OR REPLACE INTO s3_notifications (bucket, configuration) VALUES (?1, ?2)",
                (&bucket, json_text(&configuration)),
            )?;
            Ok(())
        })
    }

    pub(super) fn notification_configuration(
        &self,
        bucket: &str,
    ) -> Result<GetBucketNotificationConfigurationOutput, Fault> {
        let mut configuration = self.db.read(|connection| {
            buckets::check(connection, bucket)?;
            find(connection, bucket)
        })?;
        configuration.destinations.splice(..0, self.managed(bucket));
        Ok(configuration.show())
    }

    /// Sends a destination S3's test event; a function is only looked for.
    fn try_out(
        &self,
        tx: &Transaction<'_>,
        bucket: &str,
        destination: &Notified,
        request_id: &str,
    ) -> Result<(), Fault> {
        let unknown = || invalid("Unable to validate the following destination configurations");
        let to = Destination::parse(&destination.arn).map_err(|_| unknown())?;
        if let Destination::Function(name) = &to {
            return if self.deliveries.invocations.knows(name) { Ok(()) } else { Err(unknown()) };
        }
        let body = json_text(&json!({
            "Service": "Amazon S3",
            "Event": "s3:TestEvent",
            "Time": format!("{:.3}", jiff::Timestamp::now()),
            "Bucket": bucket,
            "RequestId": request_id,
            "HostId": request_id,
        }));
        let delivery = Delivery { body: &body, subject: Some(SUBJECT), ..Delivery::default() };
        match self.deliveries.deliver(tx, &to, &delivery)? {
            Ok(()) => Ok(()),
            Err(Undeliverable::NoResource { .. }) => Err(unknown()),
            Err(why) => Err(invalid(why.to_string())),
        }
    }

    /// What the rules file asks for of a bucket.
    fn managed(&self, bucket: &str) -> Vec<Notified> {
        let notifications = self.notifications();
        let of_bucket = notifications.iter().filter(|it| it.bucket == bucket);
        let destinations = of_bucket.flat_map(|it| &it.destinations);
        let notified = destinations.flat_map(|it| {
            it.filters.iter().enumerate().map(|(index, filter)| {
                let affixes = [(Affix::Prefix, &filter.prefix), (Affix::Suffix, &filter.suffix)];
                let rules = affixes.into_iter().filter(|(_, value)| !value.is_empty());
                Notified {
                    id: format!("{MANAGED}{}-{}", it.destination.name(), index + 1),
                    arn: it.destination.arn(),
                    events: filter.events.clone(),
                    rules: rules.map(|(affix, value)| (affix, value.clone())).collect(),
                }
            })
        });
        notified.collect()
    }
}
