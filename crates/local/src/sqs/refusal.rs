//! Why SQS refuses a request, under the names of both of its protocols.
//!
//! Each operation of the service answers with it, and so does `Queues::send` to the other services of this machine. The
//! older query protocol, and the SDKs by the header `x-amzn-query-error`, know some refusals by other names than JSON does.

use axum::http::StatusCode;

/// What kind of a refusal it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Code {
    /// Ids of a batch are the same.
    BatchEntryIdsNotDistinct,
    /// The messages of a batch are too long together.
    BatchRequestTooLong,
    /// A batch without entries.
    EmptyBatchRequest,
    /// The storage on this machine failed.
    InternalFailure,
    /// No attribute of a queue has this name.
    InvalidAttributeName,
    /// An attribute of a queue cannot have this value.
    InvalidAttributeValue,
    /// An id of a batch has characters that it cannot have.
    InvalidBatchEntryId,
    /// A message has characters that it cannot have.
    InvalidMessageContents,
    /// A parameter cannot have this value.
    InvalidParameterValue,
    /// A message is not in flight.
    MessageNotInflight,
    /// A parameter is missing.
    MissingParameter,
    /// Too much of something.
    OverLimit,
    /// The queue was purged within the last minute.
    PurgeQueueInProgress,
    /// No queue of this name.
    QueueDoesNotExist,
    /// A queue of this name has other attributes.
    QueueNameExists,
    /// What was given is no receipt handle.
    ReceiptHandleIsInvalid,
    /// No such resource.
    ResourceNotFound,
    /// The request cannot be read.
    Serialization,
    /// More entries in a batch than there may be.
    TooManyEntriesInBatchRequest,
    /// No such operation.
    UnknownOperation,
    /// The operation does not go with the state of things.
    UnsupportedOperation,
}

/// A refused request: the kind and the message that a client sees.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The kind.
    pub code: Code,
    /// The text for people.
    pub message: String,
}

impl Code {
    /// The name in JSON: that of the shape, in the service's model.
    pub(super) fn json_name(self) -> &'static str {
        match self {
            Self::BatchEntryIdsNotDistinct => "com.amazonaws.sqs#BatchEntryIdsNotDistinct",
            Self::BatchRequestTooLong => "com.amazonaws.sqs#BatchRequestTooLong",
            Self::EmptyBatchRequest => "com.amazonaws.sqs#EmptyBatchRequest",
            Self::InternalFailure => "com.amazonaws.sqs#InternalFailure",
            Self::InvalidAttributeName => "com.amazonaws.sqs#InvalidAttributeName",
            Self::InvalidAttributeValue => "com.amazonaws.sqs#InvalidAttributeValue",
            Self::InvalidBatchEntryId => "com.amazonaws.sqs#InvalidBatchEntryId",
            Self::InvalidMessageContents => "com.amazonaws.sqs#InvalidMessageContents",
            Self::InvalidParameterValue => "com.amazonaws.sqs#InvalidParameterValueException",
            Self::MessageNotInflight => "com.amazonaws.sqs#MessageNotInflight",
            Self::MissingParameter => "com.amazonaws.sqs#MissingRequiredParameterException",
            Self::OverLimit => "com.amazonaws.sqs#OverLimit",
            Self::PurgeQueueInProgress => "com.amazonaws.sqs#PurgeQueueInProgress",
            Self::QueueDoesNotExist => "com.amazonaws.sqs#QueueDoesNotExist",
            Self::QueueNameExists => "com.amazonaws.sqs#QueueNameExists",
            Self::ReceiptHandleIsInvalid => "com.amazonaws.sqs#ReceiptHandleIsInvalid",
            Self::ResourceNotFound => "com.amazonaws.sqs#ResourceNotFoundException",
            Self::Serialization => "com.amazon.coral.service#SerializationException",
            Self::TooManyEntriesInBatchRequest => "com.amazonaws.sqs#TooManyEntriesInBatchRequest",
            Self::UnknownOperation => "com.amazon.coral.service#UnknownOperationException",
            Self::UnsupportedOperation => "com.amazonaws.sqs#UnsupportedOperation",
        }
    }

    /// The code in the query protocol, which clients of JSON are told too.
    // https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html, and "Errors" of each operation
    pub(super) fn query_code(self) -> &'static str {
        match self {
            Self::BatchEntryIdsNotDistinct => "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
            Self::BatchRequestTooLong => "AWS.SimpleQueueService.BatchRequestTooLong",
            Self::EmptyBatchRequest => "AWS.SimpleQueueService.EmptyBatchRequest",
            Self::InternalFailure => "InternalFailure",
            Self::InvalidAttributeName => "InvalidAttributeName",
            Self::InvalidAttributeValue => "InvalidAttributeValue",
            Self::InvalidBatchEntryId => "AWS.SimpleQueueService.InvalidBatchEntryId",
            Self::InvalidMessageContents => "InvalidMessageContents",
            Self::InvalidParameterValue => "InvalidParameterValue",
            Self::MessageNotInflight => "AWS.SimpleQueueService.MessageNotInflight",
            Self::MissingParameter => "MissingParameter",
            Self::OverLimit => "OverLimit",
            Self::PurgeQueueInProgress => "AWS.SimpleQueueService.PurgeQueueInProgress",
            Self::QueueDoesNotExist => "AWS.SimpleQueueService.NonExistentQueue",
            Self::QueueNameExists => "QueueAlreadyExists",
            Self::ReceiptHandleIsInvalid => "ReceiptHandleIsInvalid",
            Self::ResourceNotFound => "ResourceNotFoundException",
            Self::Serialization => "MalformedInput",
            Self::TooManyEntriesInBatchRequest => {
                "AWS.SimpleQueueService.TooManyEntriesInBatchRequest"
            }
            Self::UnknownOperation => "InvalidAction",
            Self::UnsupportedOperation => "AWS.SimpleQueueService.UnsupportedOperation",
        }
    }

    /// The HTTP status.
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::InternalFailure => StatusCode::INTERNAL_SERVER_ERROR,
            Self::OverLimit | Self::PurgeQueueInProgress => StatusCode::FORBIDDEN,
            Self::ReceiptHandleIsInvalid | Self::ResourceNotFound => StatusCode::NOT_FOUND,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// Whether the client is to blame.
    pub(super) fn is_senders(self) -> bool {
        self != Self::InternalFailure
    }
}

impl Refusal {
    /// A refusal of this kind.
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// `InvalidParameterValue`, worded as SQS words it.
    pub(super) fn value(value: impl std::fmt::Display, parameter: &str, reason: &str) -> Self {
        let message =
            format!("Value {value} for parameter {parameter} is invalid. Reason: {reason}");
        Self::new(Code::InvalidParameterValue, message)
    }

    /// `MissingParameter`.
    pub(super) fn missing(parameter: &str) -> Self {
        let message = format!("The request must contain the parameter {parameter}.");
        Self::new(Code::MissingParameter, message)
    }

    /// `InternalFailure`.
    pub(super) fn internal() -> Self {
        Self::new(Code::InternalFailure, "the state cannot be read or written")
    }

    /// `QueueDoesNotExist`.
    pub(super) fn no_queue() -> Self {
        Self::new(Code::QueueDoesNotExist, "The specified queue does not exist.")
    }
}

/// A refusal, or a failure of the storage.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Storage(#[from] rusqlite::Error),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Refused(refusal) => refusal,
            Fault::Storage(error) => {
                tracing::error!(%error, "SQS cannot read or write its state");
                Self::internal()
            }
        }
    }
}
