//! The envelope: what EventBridge adds to what a sender says of an event.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::identity::{ACCOUNT_ID, REGION};

/// An event as its sender says it, and the id that it gets.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// What EventBridge calls the event.
    pub id: &'a str,
    /// Who sends it.
    pub source: &'a str,
    /// What happened.
    pub detail_type: &'a str,
    /// When; the envelope has no fractions of a second.
    pub time: Timestamp,
    /// The ARNs that it is about.
    pub resources: &'a [String],
    /// A JSON object, byte for byte as the sender wrote it.
    pub detail: &'a RawValue,
}

/// The members, in EventBridge's order.
#[derive(Serialize)]
struct Members<'a> {
    version: &'a str,
    id: &'a str,
    #[serde(rename = "detail-type")]
    detail_type: &'a str,
    source: &'a str,
    account: &'a str,
    time: Timestamp,
    region: &'a str,
    resources: &'a [String],
    detail: &'a RawValue,
}

impl Envelope<'_> {
    /// The whole event, JSON.
    pub fn to_json(&self) -> String {
        let Self { id, source, detail_type, time, resources, detail } = *self;
        let members = Members {
            version: "0",
            id,
            detail_type,
            source,
            account: ACCOUNT_ID,
            time: whole_second(time),
            region: REGION,
            resources,
            detail,
        };
        serde_json::to_string(&members).expect("strings and checked JSON")
    }
}

/// The second that a time is in: the envelope has no fractions.
pub fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
