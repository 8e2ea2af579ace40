//! What went wrong in a call, with AWS's name for it.

use aws_sdk_ecs::error::{ProvideErrorMetadata, SdkError};
use taskferry_core::reason;
use taskferry_engine::ports;

use crate::classify::{self, Kind};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// AWS answered with an exception.
    #[error("{code}: {message}")]
    Exception {
        /// The exception's name.
        code: String,
        /// Its message.
        message: String,
        /// The HTTP status.
        status: u16,
    },
    /// There was no answer, or none that can be read; the SDK's error with its causes.
    #[error("{0}")]
    NoAnswer(String),
}

impl Error {
    /// Takes an SDK's error apart.
    pub(crate) fn new<E>(error: &SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let status = error.raw_response().map_or(0, |response| response.status().as_u16());
        match error.as_service_error().map(|error| (error.code(), error.message())) {
            Some((Some(code), message)) => Self::Exception {
                code: code.to_owned(),
                message: message.unwrap_or("without a message").to_owned(),
                status,
            },
            Some((None, _)) | None => Self::NoAnswer(reason(error)),
        }
    }

    /// Whether there is no queue of that name: SQS says so by a name of now and one of before.
    pub fn is_no_such_queue(&self) -> bool {
        matches!(self, Self::Exception { code, .. }
            if code.ends_with("QueueDoesNotExist") || code.ends_with("NonExistentQueue"))
    }

    /// What to do about it.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Exception { code, message, status } => classify::kind(code, message, *status),
            Self::NoAnswer(_) => Kind::Unknown,
        }
    }

    /// The error as the engine sees it.
    pub(crate) fn of_port(self, what: &'static str) -> ports::Error {
        match self.kind() {
            Kind::Refused | Kind::Conflict => {
                ports::Error::Refused { what, source: Box::new(self) }
            }
            Kind::Throttled => ports::Error::Throttled { what, source: Box::new(self) },
            Kind::Capacity | Kind::Unknown => {
                ports::Error::Unavailable { what, source: Box::new(self) }
            }
        }
    }
}
