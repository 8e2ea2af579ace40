//! SNS's API (query protocol, version 2010-03-31): what clients of topics call.

mod publish;
mod subscriptions;
mod tags;
mod topics;

use std::sync::Arc;

use axum::{
    body::Body,
    http::{Request, Response},
};
use base64_simd::URL_SAFE_NO_PAD;
use rusqlite::Transaction;

use serde_json::{Map, Value, json};

use super::{
    form::Part,
    refusal::{Fault, Refusal},
};
use crate::{
    db::Db,
    delivery::{Deliveries, Destination},
    protocol::{BodyError, read_body},
    query,
};

const NAMESPACE: &str = "http://sns.amazonaws.com/doc/2010-03-31/";

/// How long a request may be: ten messages of 256 KiB are refused by SNS itself, with each byte escaped.
const FORM_BYTES_MAX: usize = 10 * 1024 * 1024;

/// How many items a list has at most.
// https://docs.aws.amazon.com/sns/latest/api/API_ListTopics.html
// "Each call returns a limited list of topics, up to 100."
const PAGE_MAX: u32 = 100;

/// The actions that answer nothing, and have no element for it.
const WITHOUT_RESULT: [&str; 4] =
    ["DeleteTopic", "SetSubscriptionAttributes", "SetTopicAttributes", "Unsubscribe"];

/// SNS, for clients.
#[derive(Debug)]
pub struct SnsApi {
    db: Arc<Db>,
    deliveries: Deliveries,
}

/// What an operation answers; some have nothing to say, and then no result.
type Answer = Result<Map<String, Value>, Refusal>;

impl SnsApi {
    /// The API in front of the topics.
    pub fn new(db: Arc<Db>, deliveries: Deliveries) -> Self {
        Self { db, deliveries }
    }

    /// Answers a request.
    pub async fn call(&self, request: Request<Body>) -> Response<Body> {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let refused = |Refusal { status, code, message }: &Refusal| {
            query::error(NAMESPACE, *status, code, message)
        };
        let body = match read_body(request.into_body(), FORM_BYTES_MAX).await {
            Ok(body) => body,
            Err(error @ BodyError::TooLong { .. }) => {
                return refused(&Refusal::invalid(format!("Request too long: {error}")));
            }
            Err(error) => return refused(&Refusal::new("MalformedQueryString", error.to_string())),
        };
        // The form is the body of a POST, or the query of a GET.
        let Ok(body) = std::str::from_utf8(&body) else {
            return refused(&Refusal::new(
                "MalformedQueryString",
                query::Error::NotUtf8.to_string(),
            ));
        };
        let form = if body.is_empty() { &*query } else { body };
        let form = match Part::parse(form) {
            Ok(form) => form,
            Err(error) => return refused(&Refusal::new("MalformedQueryString", error.to_string())),
        };
        let Some(action) = form.text("Action") else {
            return refused(&Refusal::new("MissingAction", "The request has no Action."));
        };
        match self.perform(action, &form) {
            Ok(members) => {
                query::answer(NAMESPACE, action, &members, !WITHOUT_RESULT.contains(&action))
            }
            Err(refusal) => refused(&refusal),
        }
    }

    fn perform(&self, action: &str, form: &Part) -> Answer {
        match action {
            "CreateTopic" => self.create_topic(form),
            "DeleteTopic" => self.delete_topic(form),
            "ListTopics" => self.list_topics(form),
            "GetTopicAttributes" => self.get_topic_attributes(form),
            "SetTopicAttributes" => self.set_topic_attributes(form),
            "Subscribe" => self.subscribe(form),
            "Unsubscribe" => self.unsubscribe(form),
            "ListSubscriptions" => self.list_subscriptions(form, false),
            "ListSubscriptionsByTopic" => self.list_subscriptions(form, true),
            "GetSubscriptionAttributes" => self.get_subscription_attributes(form),
            "SetSubscriptionAttributes" => self.set_subscription_attributes(form),
            "Publish" => self.publish(form),
            "PublishBatch" => self.publish_batch(form),
            "TagResource" => self.tag_resource(form),
            "UntagResource" => self.untag_resource(form),
            "ListTagsForResource" => self.list_tags_for_resource(form),
            _ => {
                let message = format!("SNS on this machine has no operation {action}");
                Err(Refusal::new("InvalidAction", message))
            }
        }
    }

    fn write<T>(
        &self,
        write: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T, Refusal> {
        Ok(self.db.write(write)?)
    }
}

fn required<'f>(form: &'f Part, name: &str) -> Result<&'f str, Refusal> {
    let lower = |name: &str| {
        let mut characters = name.chars();
        let first = characters.next().map(|c| c.to_ascii_lowercase());
        first.into_iter().chain(characters).collect::<String>()
    };
    form.text(name).ok_or_else(|| Refusal::missing(&lower(name)))
}

/// The topic's name in the ARN that a parameter has.
fn topic_name(form: &Part, parameter: &str) -> Result<String, Refusal> {
    read_topic_arn(form.text(parameter).unwrap_or_default(), parameter)
}

fn read_topic_arn(arn: &str, parameter: &str) -> Result<String, Refusal> {
    check_elements(arn, parameter)?;
    match Destination::parse(arn) {
        Ok(Destination::Topic(name)) => Ok(name),
        _ => Err(Refusal::invalid(parameter)),
    }
}

/// Refuses what is too short to be an ARN.
fn check_elements(arn: &str, parameter: &str) -> Result<(), Refusal> {
    let elements = arn.split(':').count();
    if elements >= 6 {
        return Ok(());
    }
    Err(Refusal::invalid(format!(
        "{parameter} Reason: An ARN must have at least 6 elements, not {elements}"
    )))
}

/// After which item a list goes on.
fn after(form: &Part) -> Result<String, Refusal> {
    let Some(token) = form.text("NextToken") else { return Ok(String::new()) };
    let after = URL_SAFE_NO_PAD.decode_to_vec(token).ok();
    let after = after.and_then(|after| String::from_utf8(after).ok());
    after.ok_or_else(|| Refusal::invalid("NextToken Reason: NextToken is invalid"))
}

/// Cuts a list that was read with one item more than a page has; the token of the next page is of the last that stays.
fn next_token<T>(items: &mut Vec<T>, key: impl Fn(&T) -> &str) -> Option<String> {
    let more = items.len() > PAGE_MAX as usize;
    items.truncate(PAGE_MAX as usize);
    let last = items.last().filter(|_| more)?;
    Some(URL_SAFE_NO_PAD.encode_to_string(key(last)))
}

/// Attributes as a map.
fn entries<'a>(entries: impl IntoIterator<Item = (&'a String, &'a String)>) -> Value {
    let entries = entries.into_iter().map(|(key, value)| json!({ "key": key, "value": value }));
    json!({ "entry": entries.collect::<Vec<_>>() })
}

/// The members of an answer.
fn members<const N: usize>(members: [(&str, Value); N]) -> Map<String, Value> {
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A list, and the token of its next page.
fn listed(name: &str, items: Vec<Value>, next: Option<String>) -> Map<String, Value> {
    let next = next.map_or(Value::Null, Value::String);
    members([(name, members([("member", Value::Array(items))]).into()), ("NextToken", next)])
}
