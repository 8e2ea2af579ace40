//! An event that nobody subscribed to, as a person is told of it.
//!
//! EventBridge drops such an event without a word. On one machine somebody is there to ask why nothing happened. Read only
//! while somebody listens; what tasks publish of themselves is never told.

use serde::Deserialize;

/// How many events a listener may lag behind before it only learns their number.
pub(super) const BEHIND_MAX: usize = 64;

/// What tells one such event from another.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unmatched {
    /// The event's id, the one that `PutEvents` answers with.
    pub id: String,
    /// Who sent it.
    pub source: String,
    /// What happened.
    pub detail_type: String,
    /// The bus that it was sent to.
    pub bus: String,
    /// The object, `s3://BUCKET/KEY`, if S3 sent it.
    pub object: Option<String>,
}

#[derive(Deserialize)]
struct Envelope {
    id: String,
    source: String,
    #[serde(rename = "detail-type")]
    detail_type: String,
}

#[derive(Deserialize)]
struct OfS3 {
    detail: Detail,
}

#[derive(Deserialize)]
struct Detail {
    bucket: Bucket,
    object: Object,
}

#[derive(Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Deserialize)]
struct Object {
    key: String,
}

impl Unmatched {
    /// The event in this envelope, sent to that bus; `None` if it is none.
    pub(super) fn of(bus: &str, event: &str) -> Option<Self> {
        let Envelope { id, source, detail_type } = serde_json::from_str(event).ok()?;
        let object = match serde_json::from_str(event) {
            Ok(OfS3 { detail: Detail { bucket, object } }) if source == "aws.s3" => {
                Some(format!("s3://{}/{}", bucket.name, object.key))
            }
            Ok(_) | Err(_) => None,
        };
        Some(Self { id, source, detail_type, bus: bus.to_owned(), object })
    }
}
