//! The operations on messages: what clients send, receive, delete and keep, one at a time and in batches.

use std::collections::{BTreeMap, HashSet};

use rusqlite::Transaction;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    message::{
        AttributeValue, Attributes, Examined, MESSAGE_BYTES_MAX, NewMessage, attributes_md5,
    },
    queue::Queue,
    queues::find,
    receive::{Received, Wanted},
    refusal::{Code, Fault, Refusal},
    send::Sent,
    service::{Answer, Request, Sqs, queue_name, required, seconds},
    settings::{VISIBILITY_SECONDS_MAX, WAIT_SECONDS_MAX},
};

/// How many entries a batch has at most, and how many messages are received at once.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
const ENTRIES_MAX: usize = 10;

/// How long the id of an entry is at most.
const ENTRY_ID_CHARACTERS_MAX: usize = 80;

/// Who sends, on a machine where nobody is asked who they are.
pub(crate) const SENDER_ID: &str = "AIDAACKCEVSQ6C2EXAMPLE";

/// The system attribute that senders can set.
const TRACE_HEADER: &str = "AWSTraceHeader";

/// The system attributes of a message.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html
const SYSTEM_ATTRIBUTES: [&str; 10] = [
    "All",
    "SenderId",
    "SentTimestamp",
    "ApproximateReceiveCount",
    "ApproximateFirstReceiveTimestamp",
    "SequenceNumber",
    "MessageDeduplicationId",
    "MessageGroupId",
    TRACE_HEADER,
    "DeadLetterQueueSourceArn",
];

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SendMessage {
    queue_url: Option<String>,
    /// Of an entry of a batch.
    id: Option<String>,
    message_body: Option<String>,
    delay_seconds: Option<i64>,
    message_attributes: Option<Attributes>,
    message_system_attributes: Option<BTreeMap<String, AttributeValue>>,
    message_deduplication_id: Option<String>,
    message_group_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ReceiveMessage {
    queue_url: Option<String>,
    attribute_names: Option<Vec<String>>,
    message_system_attribute_names: Option<Vec<String>>,
    message_attribute_names: Option<Vec<String>>,
    max_number_of_messages: Option<i64>,
    visibility_timeout: Option<i64>,
    wait_time_seconds: Option<i64>,
    receive_request_attempt_id: Option<String>,
}

/// `DeleteMessage` and `ChangeMessageVisibility`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OfMessage {
    queue_url: Option<String>,
    /// Of an entry of a batch.
    id: Option<String>,
    receipt_handle: Option<String>,
    visibility_timeout: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Batch<T> {
    queue_url: Option<String>,
    entries: Option<Vec<T>>,
}

impl SendMessage {
    /// What can be told of the body before anybody waits for it.
    fn examined(&self) -> Examined {
        Examined::of(self.message_body.as_deref().unwrap_or_default())
    }

    fn message(&mut self) -> Result<NewMessage<'_>, Refusal> {
        let system = self.message_system_attributes.as_ref();
        let mut trace_header = None;
        for (name, value) in system.into_iter().flatten() {
            if name != TRACE_HEADER {
                let message = format!("Message system attribute name '{name}' is invalid.");
                return Err(Refusal::new(Code::InvalidParameterValue, message));
            }
            if value.data_type != "String" {
                let message =
                    format!("The message system attribute '{name}' must have the type String.");
                return Err(Refusal::new(Code::InvalidParameterValue, message));
            }
            trace_header = value.string_value.as_deref();
        }
        Ok(NewMessage {
            body: required(self.message_body.as_deref(), "MessageBody")?,
            attributes: self.message_attributes.take().unwrap_or_default(),
            trace_header,
            group_id: self.message_group_id.as_deref(),
            deduplication_id: self.message_deduplication_id.as_deref(),
            delay_seconds: self.delay_seconds,
        })
    }
}

fn sent_to_json(sent: Sent) -> Map<String, Value> {
    let members = [
        ("MessageId", Some(sent.message_id.to_string())),
        ("MD5OfMessageBody", Some(sent.body_md5)),
        ("MD5OfMessageAttributes", sent.attributes_md5),
        ("MD5OfMessageSystemAttributes", sent.system_attributes_md5),
        ("SequenceNumber", sent.sequence_number),
    ];
    let members =
        members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value?))));
    members.collect()
}

/// How an entry of a batch went.
enum Entry {
    Done(Map<String, Value>),
    Failed(Refusal),
}

/// The answer for a batch.
fn batch_answer(entries: Vec<(String, Entry)>) -> Value {
    let (mut successful, mut failed) = (Vec::new(), Vec::new());
    for (id, entry) in entries {
        match entry {
            Entry::Done(mut members) => {
                members.insert("Id".to_owned(), json!(id));
                successful.push(Value::Object(members));
            }
            Entry::Failed(Refusal { code, message }) => failed.push(json!({
                "Id": id,
                "SenderFault": code.is_senders(),
                "Code": code.query_code(),
                "Message": message,
            })),
        }
    }
    let mut answer = json!({ "Successful": successful });
    if !failed.is_empty() {
        answer["Failed"] = json!(failed);
    }
    answer
}

/// What makes a refusal one of an entry, and leaves the others as they are.
fn of_entry<T>(
    result: Result<T, Fault>,
    done: impl FnOnce(T) -> Map<String, Value>,
) -> Result<Entry, Fault> {
    match result {
        Ok(value) => Ok(Entry::Done(done(value))),
        Err(Fault::Refused(refusal)) => Ok(Entry::Failed(refusal)),
        Err(Fault::Storage(error)) => Err(error.into()),
    }
}

/// Refuses a batch whose entries cannot be told apart, or are too few or too many.
fn check_ids<'a>(
    ids: impl ExactSizeIterator<Item = Option<&'a String>>,
    shape: &str,
) -> Result<(), Refusal> {
    let count = ids.len();
    if count == 0 {
        let message = format!("There should be at least one {shape} in the request.");
        return Err(Refusal::new(Code::EmptyBatchRequest, message));
    }
    if count > ENTRIES_MAX {
        let message = format!(
            "Maximum number of entries per request are {ENTRIES_MAX}. You have sent {count}."
        );
        return Err(Refusal::new(Code::TooManyEntriesInBatchRequest, message));
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let mut seen = HashSet::new();
    for id in ids {
        let id = id.map_or("", String::as_str);
        if !(1..=ENTRY_ID_CHARACTERS_MAX).contains(&id.len()) || !id.bytes().all(is_plain) {
            let message = "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be \
                           at most 80 letters long.";
            return Err(Refusal::new(Code::InvalidBatchEntryId, message));
        }
        if !seen.insert(id) {
            let message = format!("Id {id} repeated.");
            return Err(Refusal::new(Code::BatchEntryIdsNotDistinct, message));
        }
    }
    Ok(())
}

impl Sqs {
    pub(super) async fn send_message(&self, request: Request) -> Answer {
        let mut request: SendMessage = request.parse()?;
        let name = queue_name(request.queue_url.as_ref())?.to_owned();
        let (queues, body) = (self.queues.clone(), request.examined());
        let send = move |tx: &Transaction<'_>| {
            let queue = find(tx, &name)?;
            let sent = queues.send_to(tx, &queue, &request.message()?, body)?;
            queues.delete_expired(tx, &queue, 1)?;
            Ok(Ok(Value::Object(sent_to_json(sent))))
        };
        self.together.write(&self.db, send).await
    }

    pub(super) async fn send_message_batch(&self, request: Request) -> Answer {
        let mut batch: Batch<SendMessage> = request.parse()?;
        let name = queue_name(batch.queue_url.as_ref())?.to_owned();
        let mut entries = batch.entries.take().unwrap_or_default();
        let bodies: Vec<_> = entries.iter().map(SendMessage::examined).collect();
        let queues = self.queues.clone();
        let send = move |tx: &Transaction<'_>| {
            let queue = find(tx, &name)?;
            check_ids(entries.iter().map(|it| it.id.as_ref()), "SendMessageBatchRequestEntry")?;
            let entries: Vec<_> = entries
                .iter_mut()
                .map(|entry| (entry.id.clone().unwrap_or_default(), entry.message()))
                .collect();
            check_together(
                &queue,
                entries.iter().filter_map(|(_, message)| message.as_ref().ok()),
            )?;
            let count = entries.len();
            let sent = entries.into_iter().zip(bodies).map(|((id, message), body)| {
                let sent = message
                    .map_err(Fault::from)
                    .and_then(|message| queues.send_to(tx, &queue, &message, body));
                Ok((id, of_entry(sent, sent_to_json)?))
            });
            let sent = sent.collect::<Result<_, Fault>>()?;
            queues.delete_expired(tx, &queue, count)?;
            Ok(Ok(batch_answer(sent)))
        };
        self.together.write(&self.db, send).await
    }

    pub(super) async fn receive_message(&self, request: Request) -> Answer {
        let request: ReceiveMessage = request.parse()?;
        let name = queue_name(request.queue_url.as_ref())?;
        let count = request.max_number_of_messages.unwrap_or(1);
        let count_max = usize::try_from(count).ok().filter(|it| (1..=ENTRIES_MAX).contains(it));
        let count_max = count_max.ok_or_else(|| {
            let reason = format!("Must be between 1 and {ENTRIES_MAX}, if provided.");
            Refusal::value(count, "MaxNumberOfMessages", &reason)
        })?;
        let wait = seconds(request.wait_time_seconds, "WaitTimeSeconds", WAIT_SECONDS_MAX)?;
        seconds(request.visibility_timeout, "VisibilityTimeout", VISIBILITY_SECONDS_MAX)?;
        let attempt = request.receive_request_attempt_id.as_deref();
        if let Some(attempt) = attempt {
            super::message::check_id("ReceiveRequestAttemptId", attempt)?;
        }
        let names = [request.attribute_names, request.message_system_attribute_names];
        let shown: Vec<String> = names.into_iter().flatten().flatten().collect();
        if let Some(unknown) = shown.iter().find(|it| !SYSTEM_ATTRIBUTES.contains(&&***it)) {
            let message = format!("Unknown Attribute {unknown}.");
            return Err(Refusal::new(Code::InvalidAttributeName, message));
        }
        let wanted = Wanted {
            count_max,
            bytes_max: usize::MAX,
            visibility_timeout: request.visibility_timeout,
            attempt,
            in_hand: false,
        };
        let messages = self.queues.receive_waiting(&self.db, name, &wanted, wait).await?;
        if messages.is_empty() {
            return Ok(json!({}));
        }
        let attributes = request.message_attribute_names.unwrap_or_default();
        let messages = messages.into_iter().map(|it| message_to_json(it, &shown, &attributes));
        Ok(json!({ "Messages": messages.collect::<Vec<_>>() }))
    }

    pub(super) fn delete_message(&self, request: Request) -> Answer {
        self.of_message(&request.parse()?, |tx, queue, message| self.delete_one(tx, queue, message))
    }

    pub(super) fn change_message_visibility(&self, request: Request) -> Answer {
        self.of_message(&request.parse()?, |tx, queue, message| self.change_one(tx, queue, message))
    }

    pub(super) fn delete_message_batch(&self, request: Request) -> Answer {
        let shape = "DeleteMessageBatchRequestEntry";
        self.batch_of_messages(&request.parse()?, shape, |tx, queue, message| {
            self.delete_one(tx, queue, message)
        })
    }

    pub(super) fn change_message_visibility_batch(&self, request: Request) -> Answer {
        let shape = "ChangeMessageVisibilityBatchRequestEntry";
        self.batch_of_messages(&request.parse()?, shape, |tx, queue, message| {
            self.change_one(tx, queue, message)
        })
    }

    fn delete_one(
        &self,
        tx: &Transaction<'_>,
        queue: &Queue,
        message: &OfMessage,
    ) -> Result<(), Fault> {
        let handle = required(message.receipt_handle.as_deref(), "ReceiptHandle")?;
        self.queues.delete(tx, queue, handle)
    }

    fn change_one(
        &self,
        tx: &Transaction<'_>,
        queue: &Queue,
        message: &OfMessage,
    ) -> Result<(), Fault> {
        let handle = required(message.receipt_handle.as_deref(), "ReceiptHandle")?;
        let seconds = required(message.visibility_timeout, "VisibilityTimeout")?;
        self.queues.change_visibility(tx, queue, handle, seconds)
    }

    fn of_message(
        &self,
        message: &OfMessage,
        perform: impl Fn(&Transaction<'_>, &Queue, &OfMessage) -> Result<(), Fault>,
    ) -> Answer {
        let name = queue_name(message.queue_url.as_ref())?;
        self.db.write(|tx| perform(tx, &find(tx, name)?, message))?;
        Ok(json!({}))
    }

    fn batch_of_messages(
        &self,
        batch: &Batch<OfMessage>,
        shape: &str,
        perform: impl Fn(&Transaction<'_>, &Queue, &OfMessage) -> Result<(), Fault>,
    ) -> Answer {
        let name = queue_name(batch.queue_url.as_ref())?;
        let entries = batch.entries.as_deref().unwrap_or_default();
        let answer = self.db.write(|tx| {
            let queue = find(tx, name)?;
            check_ids(entries.iter().map(|it| it.id.as_ref()), shape)?;
            let performed = entries.iter().map(|entry| {
                let mut performed = of_entry(perform(tx, &queue, entry), |()| Map::new())?;
                if let Entry::Failed(refusal) = &mut performed
                    && refusal.code == Code::ReceiptHandleIsInvalid
                {
                    // A batch says which.
                    let handle = entry.receipt_handle.as_deref().unwrap_or_default();
                    refusal.message = format!(
                        "The input receipt handle \"{handle}\" is not a valid receipt handle."
                    );
                }
                Ok((entry.id.clone().unwrap_or_default(), performed))
            });
            Ok::<_, Fault>(batch_answer(performed.collect::<Result<_, Fault>>()?))
        })?;
        Ok(answer)
    }
}

/// Refuses a batch for what its messages are together, and a FIFO queue's for what each of them must have.
fn check_together<'a>(
    queue: &Queue,
    messages: impl Iterator<Item = &'a NewMessage<'a>>,
) -> Result<(), Refusal> {
    let mut bytes = 0;
    for message in messages {
        bytes += message.bytes();
        super::send::check_fifo(queue, message)?;
    }
    if bytes > MESSAGE_BYTES_MAX {
        let message = format!(
            "Batch requests cannot be longer than {MESSAGE_BYTES_MAX} bytes. You have sent {bytes} bytes."
        );
        return Err(Refusal::new(Code::BatchRequestTooLong, message));
    }
    Ok(())
}

/// The system attributes that a message has, by name.
pub(crate) fn system_attributes(message: &Received) -> Map<String, Value> {
    let attributes = [
        ("SenderId", Some(SENDER_ID.to_owned())),
        ("SentTimestamp", Some(message.sent_at.to_string())),
        ("ApproximateReceiveCount", Some(message.receives.to_string())),
        ("ApproximateFirstReceiveTimestamp", Some(message.first_received_at.to_string())),
        ("SequenceNumber", message.sequence_number.clone()),
        ("MessageDeduplicationId", message.deduplication_id.clone()),
        ("MessageGroupId", message.group_id.clone()),
        (TRACE_HEADER, message.trace_header.clone()),
        ("DeadLetterQueueSourceArn", message.dead_letter_source.clone()),
    ];
    let attributes =
        attributes.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value?))));
    attributes.collect()
}

/// A received message with the attributes that were asked for.
fn message_to_json(message: Received, shown: &[String], names: &[String]) -> Value {
    let mut members = Map::new();
    if !shown.is_empty() {
        let mut attributes = system_attributes(&message);
        attributes.retain(|name, _| shown.iter().any(|it| it == "All" || it == name));
        if !attributes.is_empty() {
            members.insert("Attributes".to_owned(), Value::Object(attributes));
        }
    }
    let mut attributes = message.attributes;
    attributes.retain(|name, _| names.iter().any(|it| is_asked_for(name, it)));
    // Clients check the digest upon what they get.
    if let Some(md5) = attributes_md5(&attributes) {
        members.insert("MD5OfMessageAttributes".to_owned(), json!(md5));
        members.insert("MessageAttributes".to_owned(), json!(attributes));
    }
    members.insert("MessageId".to_owned(), json!(message.message_id.to_string()));
    members.insert("ReceiptHandle".to_owned(), Value::String(message.receipt_handle));
    members.insert("MD5OfBody".to_owned(), Value::String(message.body_md5));
    members.insert("Body".to_owned(), Value::String(message.body));
    Value::Object(members)
}

/// Whether a name in `MessageAttributeNames` asks for an attribute.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html
// "You can also use all message attributes starting with a prefix, for example bar.*."
fn is_asked_for(name: &str, asked: &str) -> bool {
    asked == "All"
        || asked == name
        || asked.strip_suffix(".*").is_some_and(|it| name.starts_with(it))
}
