//! Why SNS refuses a request, in its codes and words.

use axum::http::StatusCode;

/// What a client is told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: String,
}

/// Why an operation was not performed.
#[derive(Debug)]
pub(super) enum Fault {
    /// The client is told so.
    Refused(Refusal),
    /// The state file failed.
    Sqlite(rusqlite::Error),
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Refused(refusal) => refusal,
            Fault::Sqlite(error) => {
                tracing::error!(%error, "what SNS was asked cannot be stored or read");
                Self {
                    status: StatusCode::INTERNAL_SERVER_ERROR,
                    code: "InternalError",
                    message: "the topics cannot be stored or read".to_owned(),
                }
            }
        }
    }
}

impl Refusal {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, message: message.into() }
    }

    /// `InvalidParameter`, of this parameter or for this reason.
    pub(super) fn invalid(what: impl std::fmt::Display) -> Self {
        Self::new("InvalidParameter", format!("Invalid parameter: {what}"))
    }

    /// A parameter that is missing.
    pub(super) fn missing(member: &str) -> Self {
        Self::new(
            "ValidationError",
            format!(
                "1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not be null"
            ),
        )
    }

    pub(super) fn not_found(what: &str) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            ..Self::new("NotFound", format!("{what} does not exist"))
        }
    }
}
