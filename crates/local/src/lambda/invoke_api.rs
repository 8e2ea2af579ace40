//! Lambda's Invoke API, for clients: `aws lambda invoke` and the SDKs.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html> is what it keeps to, but for one thing: where a
//! function's limit of processes is reached, Lambda answers `TooManyRequestsException`, and here the client waits.

use axum::{
    body::Body,
    http::{HeaderValue, Request, Response, StatusCode, header},
};
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use serde_json::{json, value::RawValue};
use uuid::Uuid;

use super::{EVENT_BYTES_MAX, Error, Functions, InvokeOutcome, PAYLOAD_BYTES_MAX, VERSION, arn};
use crate::protocol::{BodyError, read_body};

/// A refusal in Lambda's REST protocol.
struct Refusal {
    status: StatusCode,
    name: &'static str,
    message: String,
}

impl Functions {
    /// Answers `POST /2015-03-31/functions/{function}/invocations`.
    pub async fn invoke_api(&self, function: &str, request: Request<Body>) -> Response<Body> {
        let request_id = Uuid::now_v7();
        let mut response = match self.answer_invoke(function, request_id, request).await {
            Ok(response) => response,
            Err(refusal) => refusal.into_response(),
        };
        if let Ok(value) = HeaderValue::from_str(&request_id.to_string()) {
            response.headers_mut().insert("x-amzn-requestid", value);
        }
        response
    }

    async fn answer_invoke(
        &self,
        function: &str,
        request_id: Uuid,
        request: Request<Body>,
    ) -> Result<Response<Body>, Refusal> {
        let (parts, body) = request.into_parts();
        let invocation_type = parts.headers.get("x-amz-invocation-type");
        let invocation_type =
            invocation_type.map_or(&b"RequestResponse"[..], HeaderValue::as_bytes);
        let name = function_name(function);
        if !self.is_deployed(&name) {
            return Err(not_found(&name));
        }
        match invocation_type {
            b"DryRun" => Ok(respond(StatusCode::NO_CONTENT, Bytes::new())),
            b"Event" => {
                let payload = read_payload(body, EVENT_BYTES_MAX).await?;
                let payload = std::str::from_utf8(&payload).map_err(|error| not_json(&error))?;
                let enqueued = self
                    .inner
                    .db
                    .write(|tx| self.inner.invocations.enqueue_as(tx, request_id, &name, payload));
                enqueued.map_err(|error| unavailable(&Error::from(error)))?;
                Ok(respond(StatusCode::ACCEPTED, Bytes::new()))
            }
            b"RequestResponse" => {
                let payload = read_payload(body, PAYLOAD_BYTES_MAX).await?;
                let outcome = self.invoke_as(request_id, &name, payload).await;
                match outcome {
                    Ok(InvokeOutcome::Succeeded(payload)) => Ok(respond(StatusCode::OK, payload)),
                    Ok(InvokeOutcome::Failed(error)) => {
                        let mut response = respond(StatusCode::OK, error.payload);
                        let unhandled = HeaderValue::from_static("Unhandled");
                        response.headers_mut().insert("x-amz-function-error", unhandled);
                        Ok(response)
                    }
                    Err(Error::NotDeployed { name }) => Err(not_found(&name)),
                    Err(error) => Err(unavailable(&error)),
                }
            }
            other => Err(Refusal {
                status: StatusCode::BAD_REQUEST,
                name: "InvalidParameterValueException",
                message: format!(
                    "{} is no invocation type: Event, RequestResponse and DryRun are",
                    String::from_utf8_lossy(other)
                ),
            }),
        }
    }
}

impl Refusal {
    fn into_response(self) -> Response<Body> {
        let body = json!({ "Type": "User", "Message": self.message, "message": self.message });
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("x-amzn-errortype", HeaderValue::from_static(self.name));
        response
    }
}

/// The name in what may be a name, an ARN or a part of one, each with or without a qualifier.
pub(super) fn function_name(function: &str) -> String {
    let function = percent_decode_str(function).decode_utf8_lossy();
    let name = function.rsplit_once(":function:").map_or(&*function, |(_, name)| name);
    let name = name.strip_prefix("function:").unwrap_or(name);
    name.split(':').next().unwrap_or(name).to_owned()
}

async fn read_payload(body: Body, bytes_max: usize) -> Result<Bytes, Refusal> {
    let payload = read_body(body, bytes_max).await.map_err(|error| match error {
        BodyError::TooLong { bytes_max } => Refusal {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            name: "RequestTooLargeException",
            message: format!(
                "Request must be smaller than {bytes_max} bytes for the InvokeFunction operation"
            ),
        },
        BodyError::BrokenOff { .. } => not_json(&error),
    })?;
    if payload.is_empty() {
        return Ok(Bytes::from_static(b"{}"));
    }
    serde_json::from_slice::<&RawValue>(&payload).map_err(|error| not_json(&error))?;
    Ok(payload)
}

fn not_json(error: &(dyn std::error::Error + 'static)) -> Refusal {
    Refusal {
        status: StatusCode::BAD_REQUEST,
        name: "InvalidRequestContentException",
        message: format!("Could not parse request body into json: {error}"),
    }
}

fn not_found(name: &str) -> Refusal {
    Refusal {
        status: StatusCode::NOT_FOUND,
        name: "ResourceNotFoundException",
        message: format!("Function not found: {}", arn(name)),
    }
}

fn unavailable(error: &Error) -> Refusal {
    Refusal {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        name: "ServiceException",
        message: error.to_string(),
    }
}

fn respond(status: StatusCode, payload: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(payload));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("x-amz-executed-version", HeaderValue::from_static(VERSION));
    response
}
