//! `Publish` and `PublishBatch`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{Answer, SnsApi, members, read_topic_arn, topic_name};
use crate::sns::{
    MESSAGE_BYTES_MAX, attributes,
    form::Part,
    publish::{Publication, Published},
    refusal::{Fault, Refusal},
    store,
};

const SUBJECT_CHARACTERS_MAX: usize = 100;
const ENTRIES_MAX: usize = 10;
const ENTRY_ID_CHARACTERS_MAX: usize = 80;
const ID_CHARACTERS_MAX: usize = 128;

/// A message of a request, before anybody knows whether the topic takes it.
fn read<'f>(message: &'f Part, attributes: &str) -> Result<Publication<'f>, Refusal> {
    let text = message.text("Message").unwrap_or_default();
    if text.is_empty() {
        return Err(Refusal::invalid("Empty message"));
    }
    let subject = message.text("Subject");
    // https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
    // "Subjects must be UTF-8 text with no line breaks or control characters, and less than 100 characters long."
    if subject.is_some_and(|subject| {
        subject.is_empty()
            || subject.chars().count() > SUBJECT_CHARACTERS_MAX
            || subject.chars().any(char::is_control)
    }) {
        return Err(Refusal::invalid("Subject"));
    }
    let by_protocol = match message.text("MessageStructure") {
        Some("json") => by_protocol(text)?,
        _ => BTreeMap::new(),
    };
    for name in ["MessageGroupId", "MessageDeduplicationId"] {
        let is_bad = |id: &str| {
            id.is_empty()
                || id.len() > ID_CHARACTERS_MAX
                || !id.bytes().all(|it| it.is_ascii_graphic())
        };
        if message.text(name).is_some_and(is_bad) {
            let message = format!(
                "{name} Reason: {name} can only include alphanumeric and punctuation characters. 1 to {ID_CHARACTERS_MAX} in length."
            );
            return Err(Refusal::invalid(message));
        }
    }
    Ok(Publication {
        subject,
        message: text,
        by_protocol,
        attributes: attributes::read(message, attributes)?,
        group_id: message.text("MessageGroupId"),
        deduplication_id: message.text("MessageDeduplicationId"),
    })
}

/// The messages of a JSON structure; `default` is for all that are not named.
fn by_protocol(text: &str) -> Result<BTreeMap<String, String>, Refusal> {
    let Ok(structure) = serde_json::from_str::<Map<String, Value>>(text) else {
        return Err(Refusal::invalid("Message Structure - JSON message body failed to parse"));
    };
    let Some(default) = structure.get("default").and_then(Value::as_str) else {
        return Err(Refusal::invalid("Message Structure - No default entry in JSON message body"));
    };
    let message = |protocol: &str| {
        let own = structure.get(protocol).and_then(Value::as_str).unwrap_or(default);
        (protocol.to_owned(), own.to_owned())
    };
    Ok(["sqs", "lambda"].map(message).into())
}

fn show(Published { message_id, sequence_number }: &Published) -> Map<String, Value> {
    members([("MessageId", json!(message_id)), ("SequenceNumber", json!(sequence_number))])
}

impl SnsApi {
    pub(super) fn publish(&self, form: &Part) -> Answer {
        if form.text("PhoneNumber").is_some() {
            let message = "PhoneNumber Reason: no text messages are sent from this machine";
            return Err(Refusal::invalid(message));
        }
        let parameter = if form.text("TopicArn").is_some() { "TopicArn" } else { "TargetArn" };
        let Some(arn) = form.text(parameter) else {
            let message = "TopicArn or TargetArn Reason: no value for required parameter";
            return Err(Refusal::invalid(message));
        };
        let publication = read(form, "messageAttributes");
        let topic = read_topic_arn(arn, parameter)?;
        let publication = publication?;
        let published =
            self.write(|tx| self.deliveries.publish_message(tx, &topic, &publication))?;
        Ok(show(&published))
    }

    pub(super) fn publish_batch(&self, form: &Part) -> Answer {
        let topic = topic_name(form, "TopicArn")?;
        let entries = form.list("PublishBatchRequestEntries.member");
        let ids = check_entries(&entries)?;
        let mut publications = Vec::with_capacity(entries.len());
        for (index, entry) in entries.iter().enumerate() {
            let member =
                format!("publishBatchRequestEntries.{}.member.messageAttributes", index + 1);
            publications.push(read(entry, &member)?);
        }
        if publications.iter().map(Publication::bytes).sum::<usize>() > MESSAGE_BYTES_MAX {
            let message = "The length of all the messages put together is more than the limit.";
            return Err(Refusal::new("BatchRequestTooLong", message));
        }
        let published = self.write(|tx| {
            if store::topic(tx, &topic)?.is_none() {
                return Err(Refusal::not_found("Topic").into());
            }
            // Refused as a whole where a message lacks what its topic asks for, as SNS does.
            let publish = |publication| self.deliveries.publish_message(tx, &topic, publication);
            publications.iter().map(publish).collect::<Result<Vec<_>, Fault>>()
        })?;
        let successful = ids.iter().zip(&published).map(|(id, published)| {
            let mut shown = show(published);
            shown.insert("Id".to_owned(), json!(id));
            Value::Object(shown)
        });
        let successful = json!({ "member": successful.collect::<Vec<_>>() });
        Ok(members([("Failed", json!({})), ("Successful", successful)]))
    }
}

/// The ids of a batch's entries, if they are what they have to be.
fn check_entries(entries: &[Part]) -> Result<Vec<&str>, Refusal> {
    if entries.is_empty() {
        let message = "The batch request doesn't contain any entries.";
        return Err(Refusal::new("EmptyBatchRequest", message));
    }
    if entries.len() > ENTRIES_MAX {
        let message = "The batch request contains more entries than permissible.";
        return Err(Refusal::new("TooManyEntriesInBatchRequest", message));
    }
    let ids: Vec<&str> = entries.iter().map(|it| it.text("Id").unwrap_or_default()).collect();
    for id in &ids {
        if id.len() > ENTRY_ID_CHARACTERS_MAX {
            let message = format!("The Id of a batch entry in the batch request is too long: {id}");
            return Err(Refusal::new("InvalidBatchEntryId", message));
        }
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if id.is_empty() || !id.chars().all(is_plain) {
            let message = format!(
                "The Id of a batch entry in the batch request contains an impermissible character: {id}"
            );
            return Err(Refusal::new("InvalidBatchEntryId", message));
        }
    }
    if ids.iter().collect::<BTreeSet<_>>().len() < ids.len() {
        let message = "Two or more batch entries in the request have the same Id.";
        return Err(Refusal::new("BatchEntryIdsNotDistinct", message));
    }
    Ok(ids)
}
