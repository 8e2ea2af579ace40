//! Lambda's API of event source mappings: create, get, list, update, delete.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html> is what it keeps to, for queues.

use axum::{
    body::Body,
    http::{HeaderValue, Method, Request, Response, StatusCode, header},
};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{EventSourceMappings, Mapping, Stored, remove};
use crate::{
    lambda::{arn, function_name},
    protocol::{json_text, read_body},
    sqs::{Queues, queue_arn, queue_name},
};

/// The path of the mappings; below it, each by its id.
pub(crate) const PATH: &str = "/2015-03-31/event-source-mappings";

/// How long a request may be.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// How many mappings are listed at once at most.
const LISTED_MAX: usize = 100;

/// The one response type that a function may be said to have.
const REPORTS_FAILURES: &str = "ReportBatchItemFailures";

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Asked {
    event_source_arn: Option<String>,
    function_name: Option<String>,
    enabled: Option<bool>,
    batch_size: Option<u32>,
    maximum_batching_window_in_seconds: Option<u32>,
    function_response_types: Option<Vec<String>>,
    scaling_config: Option<ScalingConfig>,
    filter_criteria: Option<FilterCriteria>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ScalingConfig {
    maximum_concurrency: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct FilterCriteria {
    filters: Option<Vec<Value>>,
}

/// A refusal, or a failure of the storage.
enum Fault {
    Refused { status: StatusCode, name: &'static str, message: String },
    Storage(rusqlite::Error),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Storage(error)
    }
}

fn invalid(message: impl Into<String>) -> Fault {
    Fault::Refused {
        status: StatusCode::BAD_REQUEST,
        name: "InvalidParameterValueException",
        message: message.into(),
    }
}

fn no_mapping() -> Fault {
    Fault::Refused {
        status: StatusCode::NOT_FOUND,
        name: "ResourceNotFoundException",
        message: "The resource you requested does not exist.".to_owned(),
    }
}

impl Asked {
    /// Changes what is asked to be changed.
    fn apply(self, mapping: &mut Mapping) -> Result<(), Fault> {
        if self.filter_criteria.and_then(|it| it.filters).is_some_and(|it| !it.is_empty()) {
            return Err(invalid("filter criteria are not supported on this machine"));
        }
        if let Some(types) = self.function_response_types {
            if let Some(other) = types.iter().find(|it| *it != REPORTS_FAILURES) {
                return Err(invalid(format!(
                    "{other} is no function response type: {REPORTS_FAILURES} is"
                )));
            }
            mapping.reports_failures = !types.is_empty();
        }
        if let Some(scaling) = self.scaling_config {
            mapping.concurrency_max = scaling.maximum_concurrency;
        }
        mapping.batch_size = self.batch_size.unwrap_or(mapping.batch_size);
        mapping.window_seconds =
            self.maximum_batching_window_in_seconds.unwrap_or(mapping.window_seconds);
        mapping.is_enabled = self.enabled.unwrap_or(mapping.is_enabled);
        mapping.check().map_err(|error| invalid(error.to_string()))
    }
}

impl Stored {
    fn to_json(&self, state: Option<&str>) -> Value {
        let Mapping { queue, function, .. } = &self.mapping;
        let enabled = if self.mapping.is_enabled { "Enabled" } else { "Disabled" };
        let responses: &[&str] =
            if self.mapping.reports_failures { &[REPORTS_FAILURES] } else { &[] };
        let uuid = &self.uuid;
        let mut told = json!({
            "UUID": uuid,
            "BatchSize": self.mapping.batch_size,
            "MaximumBatchingWindowInSeconds": self.mapping.window_seconds,
            "EventSourceArn": queue_arn(queue),
            "FunctionArn": arn(function),
            "EventSourceMappingArn": arn(function)
                .replace(&format!("function:{function}"), &format!("event-source-mapping:{uuid}")),
            // A date in seconds; the milliseconds are not worth a rounding.
            "LastModified": self.modified_at / 1000,
            "State": state.unwrap_or(enabled),
            "StateTransitionReason": if self.is_managed { "managed by the rules file" } else { "USER_INITIATED" },
            "FunctionResponseTypes": responses,
        });
        if let Some(concurrency) = self.mapping.concurrency_max {
            told["ScalingConfig"] = json!({ "MaximumConcurrency": concurrency });
        }
        told
    }

    /// Refuses to change what the rules ask for.
    fn check_own(&self) -> Result<(), Fault> {
        if !self.is_managed {
            return Ok(());
        }
        Err(Fault::Refused {
            status: StatusCode::CONFLICT,
            name: "ResourceConflictException",
            message: "The event source mapping is what the rules file asks for: change it there."
                .to_owned(),
        })
    }
}

impl EventSourceMappings {
    /// Answers a request for the mappings, or for one of them.
    pub async fn api(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = read_body(body, BODY_BYTES_MAX).await;
        let id = parts.uri.path().strip_prefix(PATH).unwrap_or_default().trim_matches('/');
        let query = parts.uri.query().unwrap_or_default();
        let answer = match (&parts.method, id) {
            (&Method::POST, "") => match body {
                Ok(body) => asked(&body).and_then(|asked| self.create(asked)),
                Err(error) => Err(invalid(error.to_string())),
            },
            (&Method::GET, "") => self.list(query),
            (&Method::GET, id) => self.get(id),
            (&Method::PUT, id) if !id.is_empty() => match body {
                Ok(body) => asked(&body).and_then(|asked| self.update(id, asked)),
                Err(error) => Err(invalid(error.to_string())),
            },
            (&Method::DELETE, id) if !id.is_empty() => self.delete(id),
            (method, _) => Err(Fault::Refused {
                status: StatusCode::BAD_REQUEST,
                name: "UnknownOperationException",
                message: format!(
                    "lambda on this machine has no operation {method} {}",
                    parts.uri.path()
                ),
            }),
        };
        let is_read = parts.method == Method::GET;
        respond(answer, if is_read { StatusCode::OK } else { StatusCode::ACCEPTED })
    }

    fn create(&self, mut asked: Asked) -> Result<Value, Fault> {
        let source = asked.event_source_arn.take();
        let source = source.ok_or_else(|| invalid("EventSourceArn is missing"))?;
        let queue = queue_name(&source)
            .ok_or_else(|| invalid(format!("{source} is not the ARN of a queue of SQS")))?;
        let function =
            asked.function_name.take().ok_or_else(|| invalid("FunctionName is missing"))?;
        let mut mapping = Mapping::new(queue, function_name(&function));
        asked.apply(&mut mapping)?;
        let stored = Stored::new(mapping, false);
        self.inner.db.write(|tx| {
            let Mapping { queue, function, .. } = &stored.mapping;
            self.check_parties(tx, &stored.mapping)?;
            if let Some(there) = Stored::find(tx, &stored.mapping)? {
                return Err(Fault::Refused {
                    status: StatusCode::CONFLICT,
                    name: "ResourceConflictException",
                    message: format!(
                        "An event source mapping with SQS arn (\" {} \") and function (\" {function} \") already exists. Please \
                         update or delete the existing mapping with UUID {}",
                        queue_arn(queue),
                        there.uuid
                    ),
                });
            }
            Ok(stored.store(tx)?)
        })?;
        self.apply(&stored.uuid, Some(&stored.mapping));
        Ok(stored.to_json(None))
    }

    /// Refuses a mapping of what is not there, or whose messages would come again while they are worked on.
    fn check_parties(
        &self,
        tx: &rusqlite::Transaction<'_>,
        mapping: &Mapping,
    ) -> Result<(), Fault> {
        let Mapping { queue, function, .. } = mapping;
        let Some(timeout) = self.inner.functions.timeout(function) else {
            return Err(Fault::Refused {
                status: StatusCode::NOT_FOUND,
                name: "ResourceNotFoundException",
                message: format!("Function not found: {}", arn(function)),
            });
        };
        let Some(visibility) = Queues::visibility_timeout(tx, queue)? else {
            return Err(invalid(
                "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. SQS Error \
                 Message: The specified queue does not exist.",
            ));
        };
        if visibility < timeout {
            return Err(invalid(format!(
                "Queue visibility timeout: {} seconds is less than Function timeout: {} seconds",
                visibility.as_secs(),
                timeout.as_secs()
            )));
        }
        Ok(())
    }

    fn get(&self, id: &str) -> Result<Value, Fault> {
        let stored = self.inner.db.read(|connection| Stored::load(connection, id))?;
        Ok(stored.ok_or_else(no_mapping)?.to_json(None))
    }

    fn list(&self, query: &str) -> Result<Value, Fault> {
        let value = |name: &str| {
            let given = query.split('&').find_map(|it| it.strip_prefix(name)?.strip_prefix('='));
            given.map(|it| percent_decode_str(it).decode_utf8_lossy().into_owned())
        };
        let source = value("EventSourceArn");
        let function = value("FunctionName").map(|it| function_name(&it));
        let marker = value("Marker").unwrap_or_default();
        let count = value("MaxItems").and_then(|it| it.parse().ok()).unwrap_or(LISTED_MAX);
        let count = count.clamp(1, LISTED_MAX);
        let is_asked_for = |it: &Stored| {
            source.as_ref().is_none_or(|source| *source == queue_arn(&it.mapping.queue))
                && function.as_ref().is_none_or(|function| *function == it.mapping.function)
                && it.uuid > marker
        };
        let mut listed = self.inner.db.read(Stored::all)?;
        listed.retain(is_asked_for);
        let is_cut = listed.len() > count;
        listed.truncate(count);
        let told: Vec<_> = listed.iter().map(|it| it.to_json(None)).collect();
        let mut answer = json!({ "EventSourceMappings": told });
        if let (true, Some(last)) = (is_cut, listed.last()) {
            answer["NextMarker"] = json!(last.uuid);
        }
        Ok(answer)
    }

    fn update(&self, id: &str, mut asked: Asked) -> Result<Value, Fault> {
        let stored = self.inner.db.write(|tx| {
            let mut stored = Stored::load(tx, id)?.ok_or_else(no_mapping)?;
            stored.check_own()?;
            if let Some(function) = asked.function_name.take() {
                stored.mapping.function = function_name(&function);
            }
            asked.apply(&mut stored.mapping)?;
            self.check_parties(tx, &stored.mapping)?;
            stored.modified_at = Timestamp::now().as_millisecond();
            stored.store(tx)?;
            Ok::<_, Fault>(stored)
        })?;
        self.apply(id, Some(&stored.mapping));
        Ok(stored.to_json(None))
    }

    fn delete(&self, id: &str) -> Result<Value, Fault> {
        let stored = self.inner.db.write(|tx| {
            let stored = Stored::load(tx, id)?.ok_or_else(no_mapping)?;
            stored.check_own()?;
            remove(tx, id)?;
            Ok::<_, Fault>(stored)
        })?;
        self.apply(id, None);
        Ok(stored.to_json(Some("Deleting")))
    }
}

fn asked(body: &[u8]) -> Result<Asked, Fault> {
    serde_json::from_slice(body).map_err(|error| Fault::Refused {
        status: StatusCode::BAD_REQUEST,
        name: "SerializationException",
        message: error.to_string(),
    })
}

fn respond(answer: Result<Value, Fault>, done: StatusCode) -> Response<Body> {
    let (status, body, name) = match answer {
        Ok(body) => (done, body, None),
        Err(Fault::Refused { status, name, message }) => {
            (status, json!({ "Type": "User", "Message": message, "message": message }), Some(name))
        }
        Err(Fault::Storage(error)) => {
            tracing::error!(%error, "event source mappings cannot be read or written");
            let body =
                json!({ "Type": "Service", "Message": "the state cannot be read or written" });
            (StatusCode::INTERNAL_SERVER_ERROR, body, Some("ServiceException"))
        }
    };
    let mut response = Response::new(Body::from(json_text(&body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(name) = name {
        headers.insert("x-amzn-errortype", HeaderValue::from_static(name));
    }
    if let Ok(id) = HeaderValue::from_str(&Uuid::now_v7().to_string()) {
        headers.insert("x-amzn-requestid", id);
    }
    response
}
