//! SQS's operations: a request of any of its protocols in, an answer or a refusal out.
//!
//! The door brings requests in, and renders what comes out. Every operation is one transaction, and is answered when it is
//! durable.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::body::Bytes;
use base64_simd::URL_SAFE_NO_PAD as TOKEN;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::{sync::Notify, task::JoinSet};

use super::{
    Queues, arn,
    drain::drain,
    permissions,
    queue::Queue,
    queues::{QueueAttributes, Tags, change_tags, find, names, sources, tags},
    refusal::{Code, Fault, Refusal},
    together::Together,
};
use crate::db::Db;

/// How many queues are listed at most.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ListQueues.html
const LISTED_MAX: i64 = 1000;

/// SQS.
#[derive(Debug)]
pub struct Sqs {
    pub(super) db: Arc<Db>,
    pub(super) queues: Queues,
    pub(super) together: Together,
    drained: Arc<Notify>,
    /// What goes on beside the operations; it ends with this.
    tasks: Mutex<JoinSet<()>>,
}

/// What a client asks, in the members of the JSON protocol.
#[derive(Debug)]
pub(super) enum Request {
    Json(Bytes),
    Tree(Value),
}

impl Request {
    /// The request with members of the right types.
    pub(super) fn parse<T: DeserializeOwned>(self) -> Result<T, Refusal> {
        let parsed = match self {
            Self::Json(bytes) if bytes.is_empty() => serde_json::from_value(json!({})),
            Self::Json(bytes) => serde_json::from_slice(&bytes),
            Self::Tree(tree) => serde_json::from_value(tree),
        };
        parsed.map_err(|error| Refusal::new(Code::Serialization, error.to_string()))
    }
}

pub(super) type Answer = Result<Value, Refusal>;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateQueue {
    queue_name: Option<String>,
    #[serde(default)]
    attributes: Option<QueueAttributes>,
    #[serde(default, rename = "tags")]
    tags: Option<Tags>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListQueues {
    queue_name_prefix: Option<String>,
    next_token: Option<String>,
    max_results: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OfQueue {
    queue_url: Option<String>,
    queue_name: Option<String>,
    attribute_names: Option<Vec<String>>,
    attributes: Option<QueueAttributes>,
    tags: Option<Tags>,
    tag_keys: Option<Vec<String>>,
    label: Option<String>,
    #[serde(rename = "AWSAccountIds")]
    aws_account_ids: Option<Vec<String>>,
    actions: Option<Vec<String>>,
    next_token: Option<String>,
    max_results: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MoveTask {
    source_arn: Option<String>,
    destination_arn: Option<String>,
    max_number_of_messages_per_second: Option<i64>,
    max_results: Option<i64>,
    task_handle: Option<String>,
}

/// A member that must be there.
pub(super) fn required<T>(value: Option<T>, name: &str) -> Result<T, Refusal> {
    value.ok_or_else(|| Refusal::missing(name))
}

/// The name of the queue that a URL stands for.
pub(super) fn queue_name(url: Option<&String>) -> Result<&str, Refusal> {
    let url = url.filter(|url| !url.is_empty());
    Ok(arn::name_in_url(required(url, "QueueUrl")?))
}

impl Sqs {
    /// Opens the queues, and goes on with what was under way. Must be called inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// SQLite's, if the state cannot be read.
    pub fn open(db: Arc<Db>, queues: Queues) -> rusqlite::Result<Arc<Self>> {
        let drained = Arc::new(Notify::new());
        let mut tasks = JoinSet::new();
        tasks.spawn(drain(Arc::clone(&db), Arc::clone(&drained)));
        for task in db.write(Queues::running_moves)? {
            tasks.spawn(queues.clone().perform_move(Arc::clone(&db), task));
        }
        let (together, tasks) = (Together::default(), Mutex::new(tasks));
        Ok(Arc::new(Self { db, queues, together, drained, tasks }))
    }

    /// Performs a message move task beside the operations.
    fn perform_move(&self, task: String) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(self.queues.clone().perform_move(Arc::clone(&self.db), task));
    }

    /// Performs an operation. `host` is where the client found this server: queue URLs begin with it.
    pub(super) async fn call(&self, operation: &str, request: Request, host: &str) -> Answer {
        match operation {
            "SendMessage" => self.send_message(request).await,
            "SendMessageBatch" => self.send_message_batch(request).await,
            "ReceiveMessage" => self.receive_message(request).await,
            "DeleteMessage" => self.delete_message(request),
            "DeleteMessageBatch" => self.delete_message_batch(request),
            "ChangeMessageVisibility" => self.change_message_visibility(request),
            "ChangeMessageVisibilityBatch" => self.change_message_visibility_batch(request),
            "CreateQueue" => self.create_queue(request.parse()?, host),
            "ListQueues" => self.list_queues(request.parse()?, host),
            "StartMessageMoveTask" | "CancelMessageMoveTask" | "ListMessageMoveTasks" => {
                self.move_task(operation, request.parse()?)
            }
            "GetQueueUrl" => {
                let request: OfQueue = request.parse()?;
                let name = required(request.queue_name, "QueueName")?;
                let queue = self.db.read(|connection| find(connection, &name))?;
                Ok(json!({ "QueueUrl": arn::queue_url(host, &queue.name) }))
            }
            "ListDeadLetterSourceQueues" => self.list_sources(&request.parse()?, host),
            "AddPermission" | "DeleteQueue" | "GetQueueAttributes" | "ListQueueTags"
            | "PurgeQueue" | "RemovePermission" | "SetQueueAttributes" | "TagQueue"
            | "UntagQueue" => self.of_queue(operation, request.parse()?),
            _ => Err(Refusal::new(
                Code::UnknownOperation,
                format!("The action {operation} is not valid for this endpoint."),
            )),
        }
    }

    fn create_queue(&self, request: CreateQueue, host: &str) -> Answer {
        let name = required(request.queue_name, "QueueName")?;
        let attributes = request.attributes.unwrap_or_default();
        let tags = request.tags.unwrap_or_default();
        self.db.write(|tx| self.queues.create_queue(tx, &name, &attributes, &tags))?;
        Ok(json!({ "QueueUrl": arn::queue_url(host, &name) }))
    }

    fn list_queues(&self, request: ListQueues, host: &str) -> Answer {
        let prefix = request.queue_name_prefix.unwrap_or_default();
        let listed = self.db.read(|connection| {
            Page::of(request.max_results, request.next_token.as_deref())?
                .cut(|after, count| Ok(names(connection, &prefix, after, count)?))
        })?;
        Ok(listed.to_json("QueueUrls", host))
    }

    fn list_sources(&self, request: &OfQueue, host: &str) -> Answer {
        let name = queue_name(request.queue_url.as_ref())?;
        let listed = self.db.read(|connection| {
            let queue = find(connection, name)?;
            Page::of(request.max_results, request.next_token.as_deref())?.cut(|after, count| {
                let names = sources(connection, &queue)?.into_iter();
                let count = usize::try_from(count).unwrap_or(usize::MAX);
                Ok(names.filter(|name| &**name > after).take(count).collect())
            })
        })?;
        let mut answer = listed.to_json("queueUrls", host);
        if answer.get("queueUrls").is_none() {
            answer["queueUrls"] = json!([]);
        }
        Ok(answer)
    }

    /// The operations on one queue.
    fn of_queue(&self, operation: &str, request: OfQueue) -> Answer {
        let name = queue_name(request.queue_url.as_ref())?;
        let answer = self.db.write(|tx| {
            let mut queue: Queue = find(tx, name)?;
            match operation {
                "GetQueueAttributes" => {
                    let names = request.attribute_names.unwrap_or_default();
                    let attributes = self.queues.describe(tx, &queue, &names)?;
                    if !attributes.is_empty() {
                        return Ok(json!({ "Attributes": attributes }));
                    }
                }
                "SetQueueAttributes" => {
                    let attributes = required(request.attributes, "Attributes")?;
                    self.queues.set(tx, queue, &attributes)?;
                }
                "DeleteQueue" => self.queues.delete_queue(tx, &queue)?,
                "PurgeQueue" => self.queues.purge(tx, &queue)?,
                "ListQueueTags" => {
                    let tags = tags(tx, &queue)?;
                    if !tags.is_empty() {
                        return Ok(json!({ "Tags": tags }));
                    }
                }
                "TagQueue" => {
                    let tags = request.tags.filter(|tags| !tags.is_empty());
                    change_tags(tx, &queue, required(tags, "Tags")?, &[])?;
                }
                "UntagQueue" => {
                    let keys = request.tag_keys.unwrap_or_default();
                    if keys.is_empty() || keys.iter().any(String::is_empty) {
                        let message = "Tag keys must be between 1 and 128 characters in length.";
                        return Err(Refusal::new(Code::InvalidParameterValue, message).into());
                    }
                    change_tags(tx, &queue, Tags::new(), &keys)?;
                }
                "AddPermission" => {
                    let label = required(request.label.as_deref(), "Label")?;
                    let accounts = request.aws_account_ids.unwrap_or_default();
                    let actions = request.actions.unwrap_or_default();
                    permissions::add(&mut queue, label, &accounts, &actions)?;
                    self.queues.store(tx, &queue)?;
                }
                _ => {
                    let label = required(request.label.as_deref(), "Label")?;
                    permissions::remove(&mut queue, label)?;
                    self.queues.store(tx, &queue)?;
                }
            }
            Ok::<_, Fault>(json!({}))
        })?;
        if matches!(operation, "DeleteQueue" | "PurgeQueue") {
            self.drained.notify_one();
        }
        Ok(answer)
    }

    fn move_task(&self, operation: &str, request: MoveTask) -> Answer {
        let MoveTask { source_arn, destination_arn, max_results, task_handle, .. } = request;
        if operation == "CancelMessageMoveTask" {
            let handle = required(task_handle, "TaskHandle")?;
            let moved = self.db.write(|tx| Queues::cancel_move(tx, &handle))?;
            return Ok(json!({ "ApproximateNumberOfMessagesMoved": moved }));
        }
        let source = required(source_arn, "SourceArn")?;
        if operation == "ListMessageMoveTasks" {
            let tasks = self.db.write(|tx| Queues::list_moves(tx, &source, max_results))?;
            return Ok(json!({ "Results": tasks }));
        }
        let rate = request.max_number_of_messages_per_second;
        let (task, handle) = self
            .db
            .write(|tx| self.queues.start_move(tx, &source, destination_arn.as_deref(), rate))?;
        self.perform_move(task);
        Ok(json!({ "TaskHandle": handle }))
    }
}

/// How a list is cut into pages.
struct Page {
    count: i64,
    after: String,
    is_paged: bool,
}

/// A page of names.
struct Listed {
    names: Vec<String>,
    next: Option<String>,
}

impl Page {
    fn of(max_results: Option<i64>, token: Option<&str>) -> Result<Self, Refusal> {
        if let Some(count) = max_results.filter(|count| !(1..=LISTED_MAX).contains(count)) {
            let reason = format!("MaxResults must be an integer between 1 and {LISTED_MAX}.");
            return Err(Refusal::value(count, "MaxResults", &reason));
        }
        let after = match token.filter(|token| !token.is_empty()) {
            None => String::new(),
            Some(token) => {
                let decoded = TOKEN.decode_to_vec(token).ok();
                decoded.and_then(|it| String::from_utf8(it).ok()).ok_or_else(|| {
                    Refusal::value(token, "NextToken", "It is none that this server gave.")
                })?
            }
        };
        // https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ListQueues.html
        // "If you do not set MaxResults, the response includes a maximum of 1,000 results", and no token.
        Ok(Self {
            count: max_results.unwrap_or(LISTED_MAX),
            after,
            is_paged: max_results.is_some(),
        })
    }

    fn cut(
        self,
        names: impl FnOnce(&str, i64) -> Result<Vec<String>, Fault>,
    ) -> Result<Listed, Fault> {
        let mut names = names(&self.after, self.count + 1)?;
        let count = usize::try_from(self.count).unwrap_or(usize::MAX);
        let is_cut = names.len() > count;
        names.truncate(count);
        let last = names.last().filter(|_| is_cut && self.is_paged);
        let next = last.map(|name| TOKEN.encode_to_string(name));
        Ok(Listed { names, next })
    }
}

impl Listed {
    fn to_json(&self, member: &str, host: &str) -> Value {
        let mut answer = json!({});
        if !self.names.is_empty() {
            let urls: Vec<_> = self.names.iter().map(|name| arn::queue_url(host, name)).collect();
            answer[member] = json!(urls);
        }
        if let Some(next) = &self.next {
            answer["NextToken"] = json!(next);
        }
        answer
    }
}

/// Seconds, as clients give them, within a range.
pub(super) fn seconds(
    value: Option<i64>,
    name: &str,
    max: i64,
) -> Result<Option<Duration>, Refusal> {
    match value {
        Some(seconds) if !(0..=max).contains(&seconds) => {
            let reason = format!("Must be >= 0 and <= {max}, if provided.");
            Err(Refusal::value(seconds, name, &reason))
        }
        value => Ok(value.map(|seconds| Duration::from_secs(seconds.unsigned_abs()))),
    }
}
