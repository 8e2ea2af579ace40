//! What goes wrong inside an operation, and the S3 error that the client sees for it.
//!
//! Everything in this service fails with a [`Fault`]; `operations` turns it into S3's error at the edge, and `door` adds
//! the text to errors that come without one.

use std::io::{self, ErrorKind};

use axum::http::StatusCode;
use s3s::{S3Error, S3ErrorCode};

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

/// An error whose code `s3s` does not know.
pub(super) fn refuse_as(code: &'static str, status: StatusCode, message: &'static str) -> Fault {
    let mut error = S3Error::with_message(S3ErrorCode::Custom(code.into()), message);
    error.set_status_code(status);
    Fault::Refused(error)
}

/// The text for people of an error that was raised by its code alone.
pub(super) fn message(code: &str) -> &'static str {
    match code {
        "AccessDenied" => "Access Denied",
        "BadDigest" => "The digest you specified did not match what was received.",
        "BucketAlreadyOwnedByYou" => "You own a bucket of this name already.",
        "BucketNotEmpty" => "The bucket you tried to delete is not empty.",
        "EntityTooLarge" => "The object is larger than an upload may be.",
        "EntityTooSmall" => "A part that is not the last is smaller than 5 MiB.",
        "IncompleteBody" => "The body is not of the length that Content-Length says.",
        "InvalidArgument" => "Invalid Argument",
        "InvalidBucketName" => "The bucket name is not valid.",
        "InvalidDigest" => "The Content-MD5 you specified is not valid.",
        "InvalidPart" => "A part was not found, or its ETag is not the one you specified.",
        "InvalidPartOrder" => "The list of parts is not in ascending order.",
        "InvalidRange" => "The requested range is not satisfiable.",
        "InvalidURI" => "The URI could not be parsed.",
        "KeyTooLongError" => "The key is longer than 1,024 bytes.",
        "MalformedXML" => "The XML you provided is not well-formed, or not of this operation.",
        "MethodNotAllowed" => "The method is not allowed against this resource.",
        "MissingContentLength" => "The Content-Length header is missing.",
        "NoSuchBucket" => "The specified bucket does not exist.",
        "NoSuchKey" => "The specified key does not exist.",
        "NoSuchUpload" => "The upload does not exist: it was completed or aborted, or never begun.",
        "NoSuchVersion" => "The specified version does not exist.",
        "NotImplemented" => "This machine's S3 does not have this function.",
        "NotModified" => "Not Modified",
        "PreconditionFailed" => "A precondition that you specified did not hold.",
        _ => "The request was refused.",
    }
}
