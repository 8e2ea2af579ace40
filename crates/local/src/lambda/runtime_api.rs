//! Lambda's Runtime API, for the function processes: each has a path of its own.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html> is what it keeps to.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header},
};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    Functions, InvokeOutcome, PAYLOAD_BYTES_MAX, RESPONSE_SLACK, fleet::Delivery,
    invocation::FunctionError,
};

const RESPONSE_BYTES_MAX: usize = PAYLOAD_BYTES_MAX + RESPONSE_SLACK;

/// How the Runtime API's error header is called.
const ERROR_TYPE: &str = "lambda-runtime-function-error-type";

/// What a function reports as its error.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ErrorReport {
    error_type: Option<String>,
    error_message: Option<String>,
}

/// What a process sent: its bytes and what stood around them.
struct Sent {
    body: Bytes,
    headers: HeaderMap,
    trailers: HeaderMap,
}

/// Why there is nothing to be had of what a process sent.
enum Unsent {
    TooLarge,
    BrokenOff,
}

impl Functions {
    /// Answers a call of a process; `path` is what follows the process's own path.
    pub async fn runtime_api(
        &self,
        process: &str,
        path: &str,
        request: Request<Body>,
    ) -> Response<Body> {
        let path: Vec<&str> = path.trim_matches('/').split('/').collect();
        match (request.method(), &path[..]) {
            (&Method::GET, ["2018-06-01", "runtime", "invocation", "next"]) => {
                self.next(process).await
            }
            (&Method::POST, ["2018-06-01", "runtime", "invocation", id, "response"]) => {
                self.response(process, id, request).await
            }
            (&Method::POST, ["2018-06-01", "runtime", "invocation", id, "error"]) => {
                self.error(process, id, request).await
            }
            (&Method::POST, ["2018-06-01", "runtime", "init", "error"]) => {
                self.init_error(process, request).await
            }
            _ => refuse(StatusCode::NOT_FOUND, "NotFound", "no such call in the Runtime API"),
        }
    }

    async fn next(&self, process: &str) -> Response<Body> {
        let asked = {
            let mut fleet = self.inner.fleet();
            let asked = fleet.next(process, Instant::now());
            if let Some((function, _)) = &asked {
                self.inner.call_dispatcher(&fleet, function);
            }
            asked
        };
        let Some((function, delivered)) = asked else {
            return refuse(StatusCode::FORBIDDEN, "Forbidden", "no such process");
        };
        match delivered.await {
            Ok(delivery) => deliver(delivery, &function),
            // The process is being ended, or has asked anew. A runtime takes whatever it is answered for an invocation,
            // and panics over what is none, so it is not answered: the connection ends with the process.
            Err(_) => std::future::pending().await,
        }
    }

    async fn response(&self, process: &str, id: &str, request: Request<Body>) -> Response<Body> {
        if !self.inner.fleet().works_on(process, id) {
            return unknown_id();
        }
        let (outcome, status) = match receive(request).await {
            // A streamed response reports an error that came after its first byte in a trailer.
            Ok(Sent { trailers, .. }) if trailers.contains_key(ERROR_TYPE) => {
                let error = function_error(Bytes::new(), &trailers);
                (InvokeOutcome::Failed(error), StatusCode::ACCEPTED)
            }
            Ok(Sent { body, .. }) => (InvokeOutcome::Succeeded(body), StatusCode::ACCEPTED),
            Err(Unsent::TooLarge) => {
                let message = format!(
                    "Response payload size exceeded maximum allowed payload size ({RESPONSE_BYTES_MAX} bytes)."
                );
                let error = FunctionError::new("Function.ResponseSizeTooLarge", message);
                (InvokeOutcome::Failed(error), StatusCode::PAYLOAD_TOO_LARGE)
            }
            Err(Unsent::BrokenOff) => return broken_off(),
        };
        self.end(process, id, outcome, status)
    }

    async fn error(&self, process: &str, id: &str, request: Request<Body>) -> Response<Body> {
        if !self.inner.fleet().works_on(process, id) {
            return unknown_id();
        }
        let (error, status) = match receive(request).await {
            Ok(Sent { body, headers, .. }) => {
                (function_error(body, &headers), StatusCode::ACCEPTED)
            }
            Err(Unsent::TooLarge) => {
                let message = "the function's error is larger than a response may be";
                let error = FunctionError::new("Function.ResponseSizeTooLarge", message);
                (error, StatusCode::PAYLOAD_TOO_LARGE)
            }
            Err(Unsent::BrokenOff) => return broken_off(),
        };
        self.end(process, id, InvokeOutcome::Failed(error), status)
    }

    /// Ends a process's work on an invocation. Nothing is awaited: a connection that breaks now changes nothing.
    fn end(
        &self,
        process: &str,
        id: &str,
        outcome: InvokeOutcome,
        status: StatusCode,
    ) -> Response<Body> {
        let answered = self.inner.fleet().answered(process, id);
        // The invocation's time ran out meanwhile, or the response was sent twice.
        let Some((function, work)) = answered else { return unknown_id() };
        self.inner.finish(&function, work, outcome);
        self.inner.quiet.notify_waiters();
        if status == StatusCode::ACCEPTED {
            answer(status, &json!({ "status": "OK" }))
        } else {
            refuse(status, "RequestEntityTooLarge", "the response is too large")
        }
    }

    async fn init_error(&self, process: &str, request: Request<Body>) -> Response<Body> {
        let error = match receive(request).await {
            Ok(Sent { body, headers, .. }) => function_error(body, &headers),
            Err(Unsent::TooLarge) => {
                FunctionError::new("Runtime.InitError", "the report is too large")
            }
            Err(Unsent::BrokenOff) => return broken_off(),
        };
        if self.inner.fleet().init_error(process, error) {
            answer(StatusCode::ACCEPTED, &json!({ "status": "OK" }))
        } else {
            refuse(StatusCode::FORBIDDEN, "InvalidStateTransition", "the process has initialised")
        }
    }
}

/// What a function said about its error, in whatever form it did.
fn function_error(body: Bytes, headers: &HeaderMap) -> FunctionError {
    let report: ErrorReport = serde_json::from_slice(&body).unwrap_or_default();
    let header = headers.get(ERROR_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let error_type = report
        .error_type
        .or_else(|| header.map(std::borrow::Cow::into_owned))
        .unwrap_or_else(|| "Unhandled".to_owned());
    let message = report
        .error_message
        .unwrap_or_else(|| String::from_utf8_lossy(&body).chars().take(1024).collect());
    if body.is_empty() {
        FunctionError::new(error_type, message)
    } else {
        FunctionError { error_type, message, payload: body }
    }
}

/// Reads what a process sends, to its end.
async fn receive(request: Request<Body>) -> Result<Sent, Unsent> {
    let (parts, mut body) = request.into_parts();
    let mut bytes = Vec::new();
    let mut too_large = false;
    let mut trailers = HeaderMap::new();
    while let Some(frame) = body.frame().await {
        match frame.map_err(|_| Unsent::BrokenOff)?.into_data() {
            // What is too long is read all the same, as a client that is still writing does not read the answer.
            Ok(data) if too_large || bytes.len() + data.len() > RESPONSE_BYTES_MAX => {
                too_large = true;
                bytes = Vec::new();
            }
            Ok(data) => bytes.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
        }
    }
    if too_large {
        return Err(Unsent::TooLarge);
    }
    Ok(Sent { body: bytes.into(), headers: parts.headers, trailers })
}

/// The answer to `next`.
fn deliver(delivery: Delivery, function: &str) -> Response<Body> {
    let Delivery { request_id, payload, remaining } = delivery;
    let deadline = Timestamp::now() + remaining;
    // https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
    let trace = Uuid::now_v7().simple().to_string();
    let trace_id = format!(
        "Root=1-{:08x}-{};Parent={};Sampled=0",
        Timestamp::now().as_second(),
        &trace[8..],
        &trace[16..]
    );
    let headers = [
        ("lambda-runtime-aws-request-id", request_id.to_string()),
        ("lambda-runtime-deadline-ms", deadline.as_millisecond().to_string()),
        ("lambda-runtime-invoked-function-arn", super::arn(function)),
        ("lambda-runtime-trace-id", trace_id),
    ];
    let mut response = Response::new(Body::from(payload));
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn unknown_id() -> Response<Body> {
    refuse(StatusCode::BAD_REQUEST, "InvalidRequestID", "Invalid request ID")
}

fn broken_off() -> Response<Body> {
    refuse(StatusCode::BAD_REQUEST, "InvalidRequest", "the request broke off")
}

fn refuse(status: StatusCode, error_type: &str, message: &str) -> Response<Body> {
    answer(status, &json!({ "errorType": error_type, "errorMessage": message }))
}

fn answer(status: StatusCode, body: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
