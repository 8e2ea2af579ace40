//! SQS's door: which requests are its own, in which protocol they speak, and how they are answered.
//!
//! The server asks [`claims`] for what came by no other way. JSON comes with `X-Amz-Target`; the older protocol as a form, to
//! the server's root or to a queue's URL.

use axum::{
    body::{Body, Bytes},
    http::{
        HeaderMap, HeaderValue, Method, Request as HttpRequest, Response, StatusCode, header,
        request::Parts,
    },
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    query,
    refusal::{Code, Refusal},
    service::{Answer, Request, Sqs},
};
use crate::{
    protocol::{BodyError, json_text, read_body},
    query::{FORM, parse},
};

/// What the JSON protocol's targets begin with.
pub(crate) const TARGET: &str = "AmazonSQS";

const JSON: &str = "application/x-amz-json-1.0";

/// How long a request may be: a megabyte of message can be six times as long in a form or in JSON.
const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The host that a client has named, which it finds this server by.
fn host(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    host.filter(|host| !host.is_empty()).unwrap_or("localhost").to_owned()
}

/// Whether a request in the older protocol is for SQS, though it is not signed: it is made to a queue's URL, by a name of SQS's,
/// or to the root, where S3 takes no forms.
pub(crate) fn claims(parts: &Parts) -> bool {
    let is_form = parts
        .headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(FORM.as_bytes()));
    let query = parts.uri.query().unwrap_or_default();
    let has_action = query.split('&').any(|member| member.starts_with("Action="));
    if !(has_action || (is_form && parts.method == Method::POST)) {
        return false;
    }
    let host = host(&parts.headers);
    // `sqs.us-east-1.localhost` and, older, `us-east-1.queue.localhost`.
    let is_sqs = host.split('.').take(2).any(|label| matches!(label, "sqs" | "queue"));
    is_sqs || is_queue_path(parts.uri.path()) || parts.uri.path() == "/"
}

/// Whether a path is that of a queue: an account and a name.
fn is_queue_path(path: &str) -> bool {
    let path = path.trim_matches('/');
    path.split_once('/').is_some_and(|(account, name)| {
        account.len() == 12
            && account.bytes().all(|byte| byte.is_ascii_digit())
            && super::arn::is_name(name)
    })
}

impl Sqs {
    /// Answers a request in the JSON protocol.
    pub(crate) async fn json(&self, operation: &str, request: HttpRequest<Body>) -> Response<Body> {
        let host = host(request.headers());
        let answer = match read(request.into_body()).await {
            Ok(body) => self.call(operation, Request::Json(body), &host).await,
            Err(refusal) => Err(refusal),
        };
        respond(answer)
    }

    /// Answers a request in the older protocol.
    pub(crate) async fn query(&self, request: HttpRequest<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let (operation, request) = match form(&parts, body).await {
            Ok(form) => form,
            Err(refusal) => return query::refuse(&refusal),
        };
        let answer = self.call(&operation, Request::Tree(request), &host(&parts.headers)).await;
        query::respond(&operation, answer)
    }
}

/// The operation of a form, and its request.
async fn form(parts: &Parts, body: Body) -> Result<(String, Value), Refusal> {
    let body = read(body).await?;
    let unreadable = |error: &dyn std::error::Error| {
        Refusal::new(Code::Serialization, format!("The request cannot be read: {error}."))
    };
    let mut form =
        parse(parts.uri.query().unwrap_or_default()).map_err(|error| unreadable(&error))?;
    let text = std::str::from_utf8(&body).map_err(|error| unreadable(&error))?;
    form.extend(parse(text).map_err(|error| unreadable(&error))?);
    let Some(Value::String(operation)) = form.remove("Action") else {
        return Err(Refusal::new(
            Code::UnknownOperation,
            "The request must contain the parameter Action.",
        ));
    };
    let path = parts.uri.path();
    if !form.contains_key("QueueUrl") && path.len() > 1 {
        form.insert("QueueUrl".to_owned(), json!(path));
    }
    let request = query::request(&operation, form);
    Ok((operation, request))
}

async fn read(body: Body) -> Result<Bytes, Refusal> {
    read_body(body, BODY_BYTES_MAX).await.map_err(|error| match error {
        // More than any message and any batch.
        BodyError::TooLong { .. } => Refusal::new(
            Code::InvalidParameterValue,
            "One or more parameters are invalid. Reason: Message must be shorter than 1048576 bytes.",
        ),
        BodyError::BrokenOff { .. } => Refusal::new(Code::Serialization, error.to_string()),
    })
}

/// Renders an answer in the JSON protocol.
// https://smithy.io/2.0/aws/protocols/aws-query-protocol.html has the header by which clients of JSON learn the older codes.
fn respond(answer: Answer) -> Response<Body> {
    let (status, body, refused) = match answer {
        Ok(body) => (StatusCode::OK, body, None),
        Err(Refusal { code, message }) => {
            let status = match code.status() {
                status @ (StatusCode::FORBIDDEN | StatusCode::INTERNAL_SERVER_ERROR) => status,
                _ => StatusCode::BAD_REQUEST,
            };
            (status, json!({ "__type": code.json_name(), "message": message }), Some(code))
        }
    };
    let mut response = Response::new(Body::from(json_text(&body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    if let Ok(id) = HeaderValue::from_str(&Uuid::now_v7().to_string()) {
        headers.insert("x-amzn-requestid", id);
    }
    if let Some(code) = refused {
        let fault = if code.is_senders() { "Sender" } else { "Receiver" };
        if let Ok(value) = HeaderValue::from_str(&format!("{};{fault}", code.query_code())) {
            headers.insert("x-amzn-query-error", value);
        }
    }
    response
}
