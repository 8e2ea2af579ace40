//! SQS's older protocol: its members by other names, lists without a level of their own, and answers in XML.
//!
//! A rendering of the JSON protocol in both directions: `service` sees no difference.

use axum::{body::Body, http::Response};
use serde_json::{Map, Value, json};

use super::{refusal::Refusal, service::Answer};
use crate::query;

/// SQS's namespace.
const NAMESPACE: &str = "http://queue.amazonaws.com/doc/2012-11-05/";

/// The operations that answer nothing, and have no element for it.
const WITHOUT_RESULT: [&str; 9] = [
    "AddPermission",
    "ChangeMessageVisibility",
    "DeleteMessage",
    "DeleteQueue",
    "PurgeQueue",
    "RemovePermission",
    "SetQueueAttributes",
    "TagQueue",
    "UntagQueue",
];

/// How a member is written in a form.
enum Kind {
    /// `Name.1=a&Name.2=b`.
    Texts,
    /// `Name.1.Key=k&Name.1.Value=v`, with the names of key and value.
    Map(&'static str, &'static str),
    /// A map of message attributes.
    Attributes,
    /// A list of entries, with members of their own.
    Entries,
    Number,
}

/// The members that are not written as in JSON: their name in the form, in JSON, and the kind.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-making-api-requests-xml.html
const MEMBERS: [(&str, &str, Kind); 19] = [
    ("Attribute", "Attributes", Kind::Map("Name", "Value")),
    ("AttributeName", "AttributeNames", Kind::Texts),
    ("MessageSystemAttributeName", "MessageSystemAttributeNames", Kind::Texts),
    ("MessageAttributeName", "MessageAttributeNames", Kind::Texts),
    ("MessageAttribute", "MessageAttributes", Kind::Attributes),
    ("MessageSystemAttribute", "MessageSystemAttributes", Kind::Attributes),
    ("TagKey", "TagKeys", Kind::Texts),
    ("AWSAccountId", "AWSAccountIds", Kind::Texts),
    ("ActionName", "Actions", Kind::Texts),
    ("SendMessageBatchRequestEntry", "Entries", Kind::Entries),
    ("DeleteMessageBatchRequestEntry", "Entries", Kind::Entries),
    ("ChangeMessageVisibilityBatchRequestEntry", "Entries", Kind::Entries),
    ("DelaySeconds", "DelaySeconds", Kind::Number),
    ("VisibilityTimeout", "VisibilityTimeout", Kind::Number),
    ("WaitTimeSeconds", "WaitTimeSeconds", Kind::Number),
    ("MaxNumberOfMessages", "MaxNumberOfMessages", Kind::Number),
    ("MaxResults", "MaxResults", Kind::Number),
    ("MaxNumberOfMessagesPerSecond", "MaxNumberOfMessagesPerSecond", Kind::Number),
    // `CreateQueue` and `TagQueue` differ in their JSON.
    ("Tag", "Tags", Kind::Map("Key", "Value")),
];

/// The request that a form makes, in the members of the JSON protocol.
pub(super) fn request(operation: &str, form: Map<String, Value>) -> Value {
    let mut request = members(form);
    if operation == "CreateQueue"
        && let Some(tags) = request.remove("Tags")
    {
        request.insert("tags".to_owned(), tags);
    }
    // A batch without entries has no member in a form.
    if operation.ends_with("Batch") {
        request.entry("Entries").or_insert_with(|| json!([]));
    }
    Value::Object(request)
}

fn members(form: Map<String, Value>) -> Map<String, Value> {
    let member = |(name, value): (String, Value)| {
        let Some((_, json_name, kind)) = MEMBERS.iter().find(|(known, ..)| *known == name) else {
            return (name, value);
        };
        let value = match kind {
            Kind::Texts => match value {
                // One alone may have no number.
                Value::String(text) => json!([text]),
                list => Value::Array(query::items(list)),
            },
            Kind::Map(key, of) => Value::Object(query::entries(value, key, of)),
            Kind::Attributes => Value::Object(query::entries(value, "Name", "Value")),
            Kind::Entries => {
                let entry = |entry| match entry {
                    Value::Object(entry) => Value::Object(members(entry)),
                    other => other,
                };
                query::items(value).into_iter().map(entry).collect()
            }
            // What is none is refused where numbers are read.
            Kind::Number => match value.as_str().and_then(|text| text.parse::<i64>().ok()) {
                Some(number) => json!(number),
                None => value,
            },
        };
        ((*json_name).to_owned(), value)
    };
    form.into_iter().filter(|(name, value)| !is_without_items(name, value)).map(member).collect()
}

/// A list or map without items, which some clients write under its name in JSON: `AttributeNames=`.
fn is_without_items(name: &str, value: &Value) -> bool {
    let mut members = MEMBERS.iter().filter(|(_, json_name, _)| *json_name == name);
    value == "" && members.any(|(_, _, kind)| !matches!(kind, Kind::Number))
}

/// Renders an answer.
pub(super) fn respond(operation: &str, answer: Answer) -> Response<Body> {
    match answer {
        Ok(answer) => {
            let members = match answer {
                Value::Object(members) => flattened(operation, members),
                _ => Map::new(),
            };
            let has_result = !WITHOUT_RESULT.contains(&operation);
            query::answer(NAMESPACE, operation, &members, has_result)
        }
        Err(refusal) => refuse(&refusal),
    }
}

/// Renders a refusal.
pub(super) fn refuse(Refusal { code, message }: &Refusal) -> Response<Body> {
    query::error(NAMESPACE, code.status(), code.query_code(), message)
}

/// Lists and maps under the names that their items have in XML.
fn flattened(operation: &str, members: Map<String, Value>) -> Map<String, Value> {
    let member = |(name, value): (String, Value)| match (&*name, value) {
        ("QueueUrls" | "queueUrls", urls) => ("QueueUrl".to_owned(), urls),
        ("Messages", Value::Array(messages)) => {
            let message = |message| match message {
                Value::Object(message) => Value::Object(flattened("", message)),
                other => other,
            };
            ("Message".to_owned(), messages.into_iter().map(message).collect())
        }
        ("Attributes", Value::Object(map)) => ("Attribute".to_owned(), pairs(map, "Name")),
        ("MessageAttributes", Value::Object(map)) => {
            ("MessageAttribute".to_owned(), pairs(map, "Name"))
        }
        ("Tags", Value::Object(map)) => ("Tag".to_owned(), pairs(map, "Key")),
        ("Successful" | "Results", entries) => (format!("{operation}ResultEntry"), entries),
        ("Failed", entries) => ("BatchResultErrorEntry".to_owned(), entries),
        (_, value) => (name, value),
    };
    members.into_iter().map(member).collect()
}

fn pairs(map: Map<String, Value>, key: &str) -> Value {
    map.into_iter().map(|(name, value)| json!({ key: name, "Value": value })).collect()
}
