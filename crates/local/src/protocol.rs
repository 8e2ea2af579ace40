//! AWS's JSON protocol, as the services here answer it: a JSON object, or an exception with its name and message.

use std::{fmt, marker::PhantomData};

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, Response, StatusCode, header},
};
use http_body_util::BodyExt as _;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// What an operation answers.
pub type Answer = Result<Value, Exception>;

/// A structure of a request: an object, and not the list of its members in their order, of which serde would take one too.
#[derive(Debug)]
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members)).map(Object)
            }
        }

        deserializer.deserialize_map(Members(PhantomData))
    }
}

/// Writes JSON: what is stored, published or answered.
// A value's own `to_string` takes the way of `fmt`, and twice the time.
pub(crate) fn json_text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("names are strings and numbers are finite")
}

/// An AWS exception: the name and message that a client sees.
#[derive(Clone, Debug, PartialEq)]
pub struct Exception {
    /// The HTTP status.
    pub status: StatusCode,
    /// The exception's name, as the service model spells it.
    pub name: &'static str,
    /// The text for people.
    pub message: String,
    /// Further members of the exception's shape, for example `resourceIds`.
    pub members: Map<String, Value>,
}

impl Exception {
    /// An exception for which the client is to blame (HTTP 400).
    pub fn client(name: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, name, message: message.into(), members: Map::new() }
    }

    /// An exception for which this machine is to blame (HTTP 500).
    pub fn server(name: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, ..Self::client(name, message) }
    }
}

/// How much of a body that is too long is read, so that its sender, who is still writing, gets to read the answer.
const DRAIN_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Why a body was not read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It is longer than allowed.
    #[error("the body is longer than {bytes_max} bytes")]
    TooLong {
        /// The limit.
        bytes_max: usize,
    },
    /// The client broke off.
    #[error("the body broke off")]
    BrokenOff {
        /// How the connection ended.
        source: axum::Error,
    },
}

/// Reads a body of limited length.
///
/// # Errors
///
/// [`BodyError`]; of a body that is too long no more than the limit is kept.
pub async fn read_body(mut body: Body, bytes_max: usize) -> Result<Bytes, BodyError> {
    let mut bytes = Vec::new();
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|source| BodyError::BrokenOff { source })?;
        let Ok(data) = frame.into_data() else { continue };
        read += data.len();
        if read <= bytes_max {
            bytes.extend_from_slice(&data);
        } else if read > DRAIN_BYTES_MAX {
            break;
        }
    }
    if read > bytes_max {
        return Err(BodyError::TooLong { bytes_max });
    }
    Ok(bytes.into())
}

/// Renders an answer in AWS JSON (1.0 or 1.1: `content_type` says which).
pub fn respond(answer: Answer, content_type: &'static str) -> Response<Body> {
    let (status, body, exception) = match answer {
        Ok(body) => (StatusCode::OK, body, None),
        Err(Exception { status, name, message, mut members }) => {
            members.insert("__type".to_owned(), json!(name));
            members.insert("message".to_owned(), json!(message));
            (status, Value::Object(members), Some(name))
        }
    };
    let mut response = Response::new(Body::from(json_text(&body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Ok(request_id) = HeaderValue::from_str(&Uuid::now_v7().to_string()) {
        headers.insert("x-amzn-requestid", request_id);
    }
    if let Some(name) = exception {
        headers.insert("x-amzn-errortype", HeaderValue::from_static(name));
    }
    response
}
