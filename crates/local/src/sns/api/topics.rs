//! The operations on topics.

use serde_json::{Map, Value, json};

use super::{
    Answer, PAGE_MAX, SnsApi, after, entries, listed, members, next_token, required,
    tags::read_tags, topic_name,
};
use crate::{
    delivery::is_fifo,
    identity::ACCOUNT_ID,
    sns::{
        arn,
        form::Part,
        refusal::Refusal,
        store::{self, Settings},
    },
};

const NAME_CHARACTERS_MAX: usize = 256;

/// The attributes that a topic is made with or given later. What is not of FIFO topics or the name is kept and shown.
const ATTRIBUTES: [&str; 10] = [
    "ArchivePolicy",
    "ContentBasedDeduplication",
    "DataProtectionPolicy",
    "DeliveryPolicy",
    "DisplayName",
    "FifoThroughputScope",
    "KmsMasterKeyId",
    "Policy",
    "SignatureVersion",
    "TracingConfig",
];

impl SnsApi {
    pub(super) fn create_topic(&self, form: &Part) -> Answer {
        let name = required(form, "Name")?;
        let mut settings: Settings = form.map("Attributes.entry", "key", "value");
        for (name, value) in &mut settings {
            read_bool(name, value);
        }
        let fifo = settings.remove("FifoTopic");
        check_topic_name(name, fifo.as_deref())?;
        settings.iter().try_for_each(|(attribute, value)| {
            check_attribute(attribute, value, name)
                .map_err(|reason| Refusal::invalid(format!("Attributes Reason: {reason}")))
        })?;
        let tags = read_tags(form)?;
        self.write(|tx| match store::topic(tx, name)? {
            None => {
                store::put_topic(tx, name, &settings)?;
                Ok(store::put_tags(tx, name, &tags)?)
            }
            // https://docs.aws.amazon.com/sns/latest/api/API_CreateTopic.html
            // "This action is idempotent, so if the requester already owns a topic with the specified name, that topic's ARN
            // is returned without creating a new topic."
            Some(old) => {
                if settings.iter().any(|(name, value)| old.get(name) != Some(value)) {
                    let message =
                        "Attributes Reason: Topic already exists with different attributes";
                    return Err(Refusal::invalid(message).into());
                }
                if !tags.is_empty() && store::tags(tx, name)? != tags {
                    let message = "Tags Reason: Topic already exists with different tags";
                    return Err(Refusal::invalid(message).into());
                }
                Ok(())
            }
        })?;
        Ok(members([("TopicArn", json!(arn(name)))]))
    }

    pub(super) fn delete_topic(&self, form: &Part) -> Answer {
        let topic = topic_name(form, "TopicArn")?;
        self.write(|tx| Ok(store::delete_topic(tx, &topic)?))?;
        Ok(Map::new())
    }

    pub(super) fn list_topics(&self, form: &Part) -> Answer {
        let after = after(form)?;
        let mut names = self.write(|tx| Ok(store::topics(tx, &after, PAGE_MAX + 1)?))?;
        let next = next_token(&mut names, String::as_str);
        let names = names.iter().map(|name| json!({ "TopicArn": arn(name) }));
        Ok(listed("Topics", names.collect(), next))
    }

    pub(super) fn get_topic_attributes(&self, form: &Part) -> Answer {
        let topic = topic_name(form, "TopicArn")?;
        let (settings, subscriptions) = self.write(|tx| {
            let Some(settings) = store::topic(tx, &topic)? else {
                return Err(Refusal::not_found("Topic").into());
            };
            Ok((settings, store::subscriptions_to(tx, &topic)?.len()))
        })?;
        let shown = show(&topic, settings, subscriptions);
        Ok(members([("Attributes", entries(&shown))]))
    }

    pub(super) fn set_topic_attributes(&self, form: &Part) -> Answer {
        let topic = topic_name(form, "TopicArn")?;
        let name = required(form, "AttributeName")?;
        let mut value = form.text("AttributeValue").unwrap_or_default().to_owned();
        read_bool(name, &mut value);
        self.write(|tx| {
            let Some(mut settings) = store::topic(tx, &topic)? else {
                return Err(Refusal::not_found("Topic").into());
            };
            check_attribute(name, &value, &topic).map_err(|_| {
                Refusal::invalid(if ATTRIBUTES.contains(&name) { name } else { "AttributeName" })
            })?;
            settings.insert(name.to_owned(), value);
            Ok(store::put_topic(tx, &topic, &settings)?)
        })?;
        Ok(Map::new())
    }
}

// https://docs.aws.amazon.com/sns/latest/api/API_CreateTopic.html
// "Topic names must be made up of only uppercase and lowercase ASCII letters, numbers, underscores, and hyphens, and must
// be between 1 and 256 characters long. For a FIFO (first-in-first-out) topic, the name must end with the .fifo suffix."
fn check_topic_name(name: &str, fifo: Option<&str>) -> Result<(), Refusal> {
    let is_fifo = match fifo {
        Some("true") => true,
        None | Some("false") => false,
        Some(_) => {
            return Err(Refusal::invalid("Attributes Reason: FifoTopic: must be true or false"));
        }
    };
    let stem = if is_fifo { name.strip_suffix(".fifo") } else { Some(name) };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let is_good = stem.is_some_and(|stem| !stem.is_empty() && stem.chars().all(is_plain));
    if is_good && name.len() <= NAME_CHARACTERS_MAX {
        return Ok(());
    }
    Err(Refusal::invalid("Topic Name"))
}

/// Spells an attribute that is true or false as it is shown: Python's `str(True)` is taken too.
fn read_bool(name: &str, value: &mut str) {
    if matches!(name, "FifoTopic" | "ContentBasedDeduplication") {
        value.make_ascii_lowercase();
    }
}

/// Why a topic cannot have this attribute.
fn check_attribute(name: &str, value: &str, topic: &str) -> Result<(), String> {
    let keeps_order = is_fifo(topic);
    match name {
        "ContentBasedDeduplication" | "FifoThroughputScope" if !keeps_order => {
            Err(format!("{name} is an attribute of FIFO topics"))
        }
        "ContentBasedDeduplication" if !matches!(value, "true" | "false") => {
            Err(format!("{name}: must be true or false"))
        }
        "FifoThroughputScope" if !matches!(value, "Topic" | "MessageGroup") => {
            Err(format!("{name}: must be Topic or MessageGroup"))
        }
        "SignatureVersion" if !matches!(value, "1" | "2") => Err(format!("{name}: must be 1 or 2")),
        _ if ATTRIBUTES.contains(&name) => Ok(()),
        _ => Err(format!("Unknown attribute {name}")),
    }
}

/// All attributes, as `GetTopicAttributes` shows them.
fn show(topic: &str, settings: Settings, subscriptions: usize) -> Settings {
    let arn = arn(topic);
    let retries = json!({
        "minDelayTarget": 20, "maxDelayTarget": 20, "numRetries": 3, "numMaxDelayRetries": 0,
        "numNoDelayRetries": 0, "numMinDelayRetries": 0, "backoffFunction": "linear",
    });
    let delivery = json!({ "http": {
        "defaultHealthyRetryPolicy": retries,
        "disableSubscriptionOverrides": false,
        "defaultRequestPolicy": { "headerContentType": "text/plain; charset=UTF-8" },
    } });
    let mut shown = Settings::from([
        ("DisplayName".to_owned(), String::new()),
        ("EffectiveDeliveryPolicy".to_owned(), delivery.to_string()),
        ("Owner".to_owned(), ACCOUNT_ID.to_owned()),
        ("Policy".to_owned(), default_policy(&arn).to_string()),
        ("SubscriptionsConfirmed".to_owned(), subscriptions.to_string()),
        ("SubscriptionsDeleted".to_owned(), "0".to_owned()),
        ("SubscriptionsPending".to_owned(), "0".to_owned()),
        ("TopicArn".to_owned(), arn),
    ]);
    if is_fifo(topic) {
        shown.insert("FifoTopic".to_owned(), "true".to_owned());
        shown.insert("ContentBasedDeduplication".to_owned(), "false".to_owned());
    }
    shown.extend(settings);
    shown
}

fn default_policy(arn: &str) -> Value {
    let actions = [
        "GetTopicAttributes",
        "SetTopicAttributes",
        "AddPermission",
        "RemovePermission",
        "DeleteTopic",
        "Subscribe",
        "ListSubscriptionsByTopic",
        "Publish",
    ];
    json!({
        "Version": "2008-10-17",
        "Id": "__default_policy_ID",
        "Statement": [{
            "Sid": "__default_statement_ID",
            "Effect": "Allow",
            "Principal": { "AWS": "*" },
            "Action": actions.map(|action| format!("SNS:{action}")),
            "Resource": arn,
            "Condition": { "StringEquals": { "AWS:SourceOwner": ACCOUNT_ID } },
        }],
    })
}
