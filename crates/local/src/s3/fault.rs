//! What goes wrong inside an operation, and the S3 error that the client sees for it.
//!
//! Everything in this service fails with a [`Fault`]; `operations` turns it into S3's error at the edge, and `door` adds
//! the text to errors that come without one.

use std::{
    borrow::Cow,
    io::{self, ErrorKind},
};

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use s3s::{S3Error, S3ErrorCode};

use super::chunked;
use crate::server::Stalled;

/// How what an error says beside its text comes to the door, which writes it into the answer: `s3s` has no place for it.
pub(super) const DETAILS: HeaderName = HeaderName::from_static("x-taskferry-details");

/// Why an operation was refused or failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The client is told so in S3's words.
    #[error(transparent)]
    Refused(#[from] S3Error),
    /// The disk.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The state file.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// A row that this version cannot read.
    #[error(transparent)]
    Row(#[from] serde_json::Error),
}

impl From<S3ErrorCode> for Fault {
    fn from(code: S3ErrorCode) -> Self {
        Self::Refused(code.into())
    }
}

impl From<Fault> for S3Error {
    fn from(fault: Fault) -> Self {
        let full = match &fault {
            Fault::Io(error) => {
                matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
            }
            Fault::Sqlite(error) => {
                error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
            }
            Fault::Refused(_) | Fault::Row(_) => false,
        };
        let failed = match &fault {
            Fault::Io(_) => "the object's bytes cannot be read or written",
            Fault::Sqlite(_) => "the object's row cannot be read or written",
            Fault::Row(_) => "the object's row cannot be understood",
            Fault::Refused(_) => "",
        };
        let text = format!("{failed}: {fault}");
        if let Fault::Refused(refused) = fault {
            return refused;
        }
        let mut error = S3Error::with_message(S3ErrorCode::InternalError, text);
        // A full disk does not go away by asking again, and clients ask again after a 500.
        error.set_status_code(if full {
            StatusCode::INSUFFICIENT_STORAGE
        } else {
            StatusCode::INTERNAL_SERVER_ERROR
        });
        error
    }
}

/// An error with its text.
pub(super) fn refuse(code: S3ErrorCode, message: impl Into<String>) -> Fault {
    Fault::Refused(S3Error::with_message(code, message.into()))
}

impl Fault {
    /// Adds an element that S3's error has beside its text.
    pub(super) fn with(mut self, element: &str, text: &str) -> Self {
        if let Self::Refused(error) = &mut self {
            let text = text.replace('&', "&amp;").replace('<', "&lt;");
            let mut headers = error.headers().cloned().unwrap_or_default();
            let earlier = headers.get(DETAILS).map(HeaderValue::as_bytes).unwrap_or_default();
            let element = format!("<{element}>{text}</{element}>");
            // What no header can carry is left out.
            if let Ok(details) = HeaderValue::from_bytes(&[earlier, element.as_bytes()].concat()) {
                headers.insert(DETAILS, details);
                error.set_headers(headers);
            }
        }
        self
    }
}

impl Fault {
    /// Says which bucket or object is not there, where it is not the one of the request.
    pub(super) fn about(self, bucket: &str, key: &str) -> Self {
        match &self {
            Self::Refused(error) if *error.code() == S3ErrorCode::NoSuchKey => {
                self.with("Key", key)
            }
            Self::Refused(error) if *error.code() == S3ErrorCode::NoSuchBucket => {
                self.with("BucketName", bucket)
            }
            _ => self,
        }
    }
}

/// The error for a body that broke off, stalled or cannot be decoded.
pub(super) fn broken_body(error: &(dyn std::error::Error + 'static)) -> Fault {
    let causes = || std::iter::successors(Some(error), |error| error.source());
    if causes().any(<dyn std::error::Error>::is::<Stalled>) {
        return S3ErrorCode::RequestTimeout.into();
    }
    if let Some(error) = causes().find_map(|error| error.downcast_ref::<chunked::Error>()) {
        return error.into();
    }
    refuse(S3ErrorCode::IncompleteBody, format!("The body broke off: {error}"))
}

/// What an error says beside its text, in XML; taken out of the answer's headers.
pub(super) fn take_details(headers: &mut HeaderMap) -> String {
    let details = headers.remove(DETAILS);
    details.map(|it| String::from_utf8_lossy(it.as_bytes()).into_owned()).unwrap_or_default()
}

/// An argument that is refused, by its name.
pub(super) fn refuse_argument(name: &str, value: &str, message: &'static str) -> Fault {
    refuse(S3ErrorCode::InvalidArgument, message)
        .with("ArgumentName", name)
        .with("ArgumentValue", value)
}

/// An error whose code `s3s` does not know.
pub(super) fn refuse_as(
    code: &'static str,
    status: StatusCode,
    message: impl Into<Cow<'static, str>>,
) -> Fault {
    let mut error = S3Error::with_message(S3ErrorCode::Custom(code.into()), message);
    error.set_status_code(status);
    Fault::Refused(error)
}

/// The text for people of an error that was raised by its code alone.
pub(super) fn message(code: &str) -> &'static str {
    match code {
        "AccessDenied" => "Access Denied",
        "BadDigest" => "The digest you specified did not match what was received.",
        "BucketAlreadyOwnedByYou" => {
            "Your previous request to create the named bucket succeeded and you already own it."
        }
        "BucketNotEmpty" => "The bucket you tried to delete is not empty",
        "EntityTooLarge" => "The object is larger than an upload may be.",
        "EntityTooSmall" => "Your proposed upload is smaller than the minimum allowed object size.",
        "IncompleteBody" => "The body is not of the length that Content-Length says.",
        "InternalError" => "We encountered an internal error. Please try again.",
        "InvalidArgument" => "Invalid Argument",
        "InvalidBucketName" => "The specified bucket is not valid.",
        "InvalidDigest" => "The Content-MD5 you specified is not valid.",
        "InvalidPart" => {
            "One or more of the specified parts could not be found. The part may not have been uploaded, \
             or the specified entity tag may not match the part's entity tag."
        }
        "InvalidPartOrder" => {
            "The list of parts was not in ascending order. Parts must be ordered by part number."
        }
        "InvalidRange" => "The requested range is not satisfiable",
        "InvalidStorageClass" => "The storage class you specified is not valid",
        "InvalidLocationConstraint" => "The specified location-constraint is not valid",
        "InvalidURI" => "The URI could not be parsed.",
        "KeyTooLongError" => "The key is longer than 1,024 bytes.",
        "MalformedXML" => {
            "The XML you provided was not well-formed or did not validate against our published schema"
        }
        "MalformedPOSTRequest" => {
            "The body of your POST request is not well-formed multipart/form-data."
        }
        "MaxMessageLengthExceeded" => "Your request was too big.",
        "MethodNotAllowed" => "The method is not allowed against this resource.",
        "MissingContentLength" => "The Content-Length header is missing.",
        "MissingRequestBodyError" => "Request Body is empty",
        "NoSuchBucket" => "The specified bucket does not exist",
        "NoSuchKey" => "The specified key does not exist.",
        "NoSuchUpload" => {
            "The specified upload does not exist. The upload ID may be invalid, or the upload may have been \
             aborted or completed."
        }
        "NoSuchVersion" => "The specified version does not exist.",
        "NotImplemented" => "This machine's S3 does not have this function.",
        "NotModified" => "Not Modified",
        "PreconditionFailed" => "At least one of the pre-conditions you specified did not hold",
        "RequestTimeout" => {
            "Your socket connection to the server was not read from or written to within the timeout period. \
             Idle connections will be closed."
        }
        _ => "The request was refused.",
    }
}
