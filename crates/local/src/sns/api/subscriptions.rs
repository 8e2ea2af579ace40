//! The operations on subscriptions. Each is confirmed at once: whom it is to is on this machine.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    Answer, PAGE_MAX, SnsApi, after, check_elements, entries, listed, members, next_token,
    required, topic_name,
};
use crate::{
    delivery::{Destination, is_fifo},
    identity::ACCOUNT_ID,
    sns::{
        arn,
        filter::{self, Scope},
        form::Part,
        refusal::Refusal,
        store::{self, Settings, Subscription},
    },
};

/// The protocols of SNS that lead off this machine.
const ELSEWHERE: [&str; 7] =
    ["http", "https", "email", "email-json", "sms", "application", "firehose"];

impl SnsApi {
    pub(super) fn subscribe(&self, form: &Part) -> Answer {
        let topic = topic_name(form, "TopicArn")?;
        let protocol = required(form, "Protocol")?;
        let endpoint = form.text("Endpoint").unwrap_or_default();
        let given: Settings = form.map("Attributes.entry", "key", "value");
        let mut settings = Settings::new();
        // The scope decides what a policy may be.
        let scope_first = |(name, _): &(&String, &String)| *name != "FilterPolicyScope";
        let mut ordered: Vec<_> = given.iter().collect();
        ordered.sort_by_key(scope_first);
        for (name, value) in ordered {
            set(&mut settings, &topic, name, value).map_err(|reason| match reason {
                Unset::Name => {
                    Refusal::invalid(format!("Attributes Reason: Unknown attribute: {name}"))
                }
                Unset::Value(reason) => Refusal::invalid(format!("Attributes Reason: {reason}")),
            })?;
        }
        let arn = self.write(|tx| {
            if store::topic(tx, &topic)?.is_none() {
                return Err(Refusal::not_found("Topic").into());
            }
            check_endpoint(&topic, protocol, endpoint)?;
            if let Some(old) = store::subscription_of(tx, &topic, protocol, endpoint)? {
                let arn = old.arn();
                let shown = show(old);
                if given.iter().all(|(name, value)| shown.get(name) == Some(value)) {
                    return Ok(arn);
                }
                let message =
                    "Attributes Reason: Subscription already exists with different attributes";
                return Err(Refusal::invalid(message).into());
            }
            let subscription = Subscription {
                id: Uuid::now_v7().to_string(),
                topic: topic.clone(),
                protocol: protocol.to_owned(),
                endpoint: endpoint.to_owned(),
                settings,
            };
            store::put_subscription(tx, &subscription)?;
            Ok(subscription.arn())
        })?;
        Ok(members([("SubscriptionArn", json!(arn))]))
    }

    pub(super) fn unsubscribe(&self, form: &Part) -> Answer {
        let id = subscription_id(form)?;
        // Unsubscribing again is no error.
        self.write(|tx| Ok(store::delete_subscription(tx, &id)?))?;
        Ok(Map::new())
    }

    pub(super) fn list_subscriptions(&self, form: &Part, is_by_topic: bool) -> Answer {
        let topic = is_by_topic.then(|| topic_name(form, "TopicArn")).transpose()?;
        let after = after(form)?;
        let mut subscriptions = self.write(|tx| {
            if let Some(topic) = &topic
                && store::topic(tx, topic)?.is_none()
            {
                return Err(Refusal::not_found("Topic").into());
            }
            Ok(store::subscriptions(tx, topic.as_deref(), &after, PAGE_MAX + 1)?)
        })?;
        let next = next_token(&mut subscriptions, |it| &it.id);
        let shown = subscriptions.iter().map(|it| {
            json!({
                "SubscriptionArn": it.arn(),
                "Owner": ACCOUNT_ID,
                "Protocol": it.protocol,
                "Endpoint": it.endpoint,
                "TopicArn": arn(&it.topic),
            })
        });
        Ok(listed("Subscriptions", shown.collect(), next))
    }

    pub(super) fn get_subscription_attributes(&self, form: &Part) -> Answer {
        let id = subscription_id(form)?;
        let found = self.write(|tx| Ok(store::subscription(tx, &id)?))?;
        let subscription = found.ok_or_else(|| Refusal::not_found("Subscription"))?;
        Ok(members([("Attributes", entries(&show(subscription)))]))
    }

    pub(super) fn set_subscription_attributes(&self, form: &Part) -> Answer {
        let id = subscription_id(form)?;
        let name = required(form, "AttributeName")?;
        let value = form.text("AttributeValue").unwrap_or_default();
        self.write(|tx| {
            let Some(mut subscription) = store::subscription(tx, &id)? else {
                return Err(Refusal::not_found("Subscription").into());
            };
            set(&mut subscription.settings, &subscription.topic, name, value).map_err(
                |reason| match reason {
                    Unset::Name => Refusal::invalid("AttributeName"),
                    Unset::Value(reason) => Refusal::invalid(reason),
                },
            )?;
            Ok(store::put_subscription(tx, &subscription)?)
        })?;
        Ok(Map::new())
    }
}

/// The id in a subscription's ARN.
fn subscription_id(form: &Part) -> Result<String, Refusal> {
    let arn = form.text("SubscriptionArn").unwrap_or_default();
    if form.text("SubscriptionArn").is_none() {
        let message = "SubscriptionArn Reason: no value for required parameter";
        return Err(Refusal::invalid(message));
    }
    check_elements(arn, "SubscriptionArn")?;
    let elements: Vec<&str> = arn.split(':').collect();
    match elements.as_slice() {
        ["arn", _, "sns", _, _, _, id] => Ok((*id).to_owned()),
        _ => Err(Refusal::invalid("SubscriptionId")),
    }
}

fn check_endpoint(topic: &str, protocol: &str, endpoint: &str) -> Result<(), Refusal> {
    let is_fifo_topic = is_fifo(topic);
    let destination = Destination::parse(endpoint);
    match protocol {
        "sqs" => match destination {
            Ok(queue @ Destination::Queue(_)) if queue.is_fifo() && !is_fifo_topic => {
                Err(Refusal::invalid(
                    "Invalid parameter: Endpoint Reason: FIFO SQS Queues can not be subscribed to standard SNS topics",
                ))
            }
            Ok(Destination::Queue(_)) => Ok(()),
            _ => Err(Refusal::invalid("SQS endpoint ARN")),
        },
        "lambda" if is_fifo_topic => Err(Refusal::invalid(
            "Invalid parameter: Protocol Reason: FIFO topics deliver to SQS queues alone",
        )),
        "lambda" => match destination {
            Ok(Destination::Function(_)) => Ok(()),
            _ => Err(Refusal::invalid("Lambda endpoint ARN")),
        },
        _ if ELSEWHERE.contains(&protocol) => Err(Refusal::invalid(format!(
            "Protocol Reason: {protocol} is not on this machine: it delivers to sqs and lambda"
        ))),
        _ => Err(Refusal::invalid(format!(
            "Amazon SNS does not support this protocol string: {protocol}"
        ))),
    }
}

/// Why an attribute was not set.
enum Unset {
    /// A subscription has no such attribute.
    Name,
    /// The value is none of it, for this reason.
    Value(String),
}

/// Sets an attribute; an empty policy takes it away.
fn set(settings: &mut Settings, topic: &str, name: &str, value: &str) -> Result<(), Unset> {
    let scope = |settings: &Settings| {
        settings
            .get("FilterPolicyScope")
            .and_then(|it| Scope::parse(it))
            .unwrap_or(Scope::MessageAttributes)
    };
    match name {
        "FilterPolicy" | "RedrivePolicy" if value.is_empty() || value == "{}" => {
            settings.remove(name);
            return Ok(());
        }
        "RawMessageDelivery" if !matches!(value, "true" | "false") => {
            return Err(Unset::Value(format!(
                "RawMessageDelivery: Invalid value [{value}]. Must be true or false."
            )));
        }
        "FilterPolicy" => filter::check(value, scope(settings)).map_err(Unset::Value)?,
        "FilterPolicyScope" => {
            let Some(scope) = Scope::parse(value) else {
                return Err(Unset::Value(format!(
                    "FilterPolicyScope: Invalid value [{value}]. Please use either MessageBody or MessageAttributes"
                )));
            };
            if let Some(policy) = settings.get("FilterPolicy") {
                filter::check(policy, scope).map_err(Unset::Value)?;
            }
        }
        "RedrivePolicy" => check_redrive_policy(value, topic).map_err(Unset::Value)?,
        "RawMessageDelivery" | "DeliveryPolicy" | "SubscriptionRoleArn" | "ReplayPolicy" => {}
        _ => return Err(Unset::Name),
    }
    settings.insert(name.to_owned(), value.to_owned());
    Ok(())
}

fn check_redrive_policy(policy: &str, topic: &str) -> Result<(), String> {
    if let Err(error) = serde_json::from_str::<Map<String, Value>>(policy) {
        return Err(format!("RedrivePolicy: failed to parse JSON. {error}"));
    }
    let arn = store::dead_letter_arn(policy).unwrap_or_default();
    match Destination::parse(&arn) {
        Ok(queue @ Destination::Queue(_)) if queue.is_fifo() == is_fifo(topic) => Ok(()),
        Ok(Destination::Queue(_)) if is_fifo(topic) => {
            Err("RedrivePolicy: must use a FIFO queue as DLQ for a FIFO Subscription to a FIFO Topic.".to_owned())
        }
        Ok(Destination::Queue(_)) => {
            Err("RedrivePolicy: must use a standard queue as DLQ for a subscription to a standard topic.".to_owned())
        }
        _ => Err("RedrivePolicy: deadLetterTargetArn is an invalid arn".to_owned()),
    }
}

/// All attributes, as `GetSubscriptionAttributes` shows them.
fn show(subscription: Subscription) -> Settings {
    let arns = [("SubscriptionArn", subscription.arn()), ("TopicArn", arn(&subscription.topic))];
    let Subscription { protocol, endpoint, settings, .. } = subscription;
    let mut shown: Settings = [
        ("ConfirmationWasAuthenticated", "true".to_owned()),
        ("Endpoint", endpoint),
        ("Owner", ACCOUNT_ID.to_owned()),
        ("PendingConfirmation", "false".to_owned()),
        ("Protocol", protocol),
        ("RawMessageDelivery", "false".to_owned()),
        ("SubscriptionPrincipal", format!("arn:aws:iam::{ACCOUNT_ID}:root")),
    ]
    .into_iter()
    .chain(arns)
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    if settings.contains_key("FilterPolicy") {
        shown.insert("FilterPolicyScope".to_owned(), "MessageAttributes".to_owned());
    }
    shown.extend(settings);
    shown
}
