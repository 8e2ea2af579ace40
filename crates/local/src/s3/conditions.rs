//! Conditions of requests: `If-Match` and its kin, for reads, writes and the sources of copies.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use s3s::{
    S3Error, S3ErrorCode,
    dto::{ETag, ETagCondition, Timestamp},
};

use super::fault::Fault;

/// What an object must be for a write or delete to happen.
#[derive(Clone, Debug, Default)]
pub(super) struct WriteConditions {
    /// The object is there, with this `ETag`.
    pub(super) if_match: Option<ETagCondition>,
    /// No object is there.
    pub(super) if_none_match: Option<ETagCondition>,
}

impl WriteConditions {
    /// Refuses what S3 has no such condition for.
    pub(super) fn new(
        if_match: Option<ETagCondition>,
        if_none_match: Option<ETagCondition>,
    ) -> Result<Self, Fault> {
        // https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
        // "Expects the '*' (asterisk) character."
        if matches!(if_none_match, Some(ETagCondition::ETag(_))) {
            return Err(S3ErrorCode::NotImplemented.into());
        }
        Ok(Self { if_match, if_none_match })
    }

    /// Whether they hold for the object that is there, of which this is the `ETag`.
    pub(super) fn check(&self, etag: Option<&str>) -> Result<(), Fault> {
        if self.if_none_match.is_some() && etag.is_some() {
            return Err(failed("If-None-Match"));
        }
        match (&self.if_match, etag) {
            (None, _) => Ok(()),
            (Some(_), None) => Err(S3ErrorCode::NoSuchKey.into()),
            (Some(condition), Some(etag)) if matches(condition, etag) => Ok(()),
            (Some(_), Some(_)) => Err(failed("If-Match")),
        }
    }
}

fn failed(condition: &str) -> Fault {
    Fault::from(S3ErrorCode::PreconditionFailed).with("Condition", condition)
}

/// What an object must be for a read to be answered.
#[derive(Clone, Debug, Default)]
pub(super) struct ReadConditions {
    /// `If-Match`.
    pub(super) etag: Option<ETagCondition>,
    /// `If-None-Match`.
    pub(super) other_etag: Option<ETagCondition>,
    /// `If-Modified-Since`.
    pub(super) modified_since: Option<Timestamp>,
    /// `If-Unmodified-Since`.
    pub(super) unmodified_since: Option<Timestamp>,
}

/// Why a read is not answered with the object.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Unmet {
    /// The object is not the one that is asked for, by this header.
    Failed(&'static str),
    /// The client has the object already, by this header.
    NotModified(&'static str),
}

impl ReadConditions {
    // https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
    // An ETag outweighs the date beside it.
    pub(super) fn check(&self, etag: &str, modified: &Timestamp) -> Result<(), Unmet> {
        match (&self.etag, &self.unmodified_since) {
            (Some(condition), _) if !matches(condition, etag) => {
                return Err(Unmet::Failed("If-Match"));
            }
            (None, Some(date)) if modified > date => {
                return Err(Unmet::Failed("If-Unmodified-Since"));
            }
            _ => {}
        }
        match (&self.other_etag, &self.modified_since) {
            (Some(condition), _) if matches(condition, etag) => {
                Err(Unmet::NotModified("If-None-Match"))
            }
            (None, Some(date)) if modified <= date => Err(Unmet::NotModified("If-Modified-Since")),
            _ => Ok(()),
        }
    }
}

impl Unmet {
    /// The header that asked for another object.
    pub(super) fn header(self) -> &'static str {
        match self {
            Self::Failed(header) | Self::NotModified(header) => header,
        }
    }

    /// The answer to a read.
    pub(super) fn answer(self, etag: &str) -> Fault {
        match self {
            Self::Failed(condition) => failed(condition),
            Self::NotModified(_) => {
                let mut error = S3Error::new(S3ErrorCode::NotModified);
                error.set_status_code(StatusCode::NOT_MODIFIED);
                if let Ok(etag) = HeaderValue::from_str(&format!("\"{etag}\"")) {
                    error.set_headers(HeaderMap::from_iter([(header::ETAG, etag)]));
                }
                Fault::Refused(error)
            }
        }
    }
}

fn matches(condition: &ETagCondition, etag: &str) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(ETag::Strong(value) | ETag::Weak(value)) => value == etag,
    }
}
