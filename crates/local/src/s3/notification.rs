//! What a change of an object is told as: S3's event notification to functions, and EventBridge's event.
//!
//! Called inside the transaction that makes the change, so that a change and its notifications stand or fall together.

use std::fmt::Write;

use rusqlite::Transaction;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{S3, configuration, fault::Fault};
use crate::{
    delivery::{Delivery, Destination},
    eventbridge::DEFAULT_EVENT_BUS,
    identity::{ACCOUNT_ID, REGION},
    protocol::json_text,
};

/// Who owns every bucket here, in the canonical form of S3.
pub(super) const OWNER_ID: &str =
    "0000000000000000000000000000000000000000000000000000000000000000";

/// The version of a record's form.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
// "Starting with version 2.4, Amazon S3 uses a single unified version for all event types"
const EVENT_VERSION: &str = "2.5";

/// What S3 says that its messages are about, where a topic can say it.
pub(super) const SUBJECT: &str = "Amazon S3 Notification";

/// The notifications of one bucket.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct BucketNotification {
    /// The bucket's name.
    pub bucket: String,
    /// Whom it tells.
    pub destinations: Vec<DestinationNotification>,
}

/// A destination, and the changes that it is told of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DestinationNotification {
    /// A function, which need not be there yet, a queue or a topic.
    pub destination: Destination,
    /// A change that fits any of these is told, once.
    pub filters: Vec<Filter>,
}

/// Which changes a destination is told of.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Filter {
    /// The event types, for example `s3:ObjectCreated:*`.
    pub events: Vec<String>,
    /// What the key begins with.
    pub prefix: String,
    /// What the key ends with.
    pub suffix: String,
}

impl Filter {
    pub(super) fn fits(&self, event_name: &str, key: &str) -> bool {
        key.starts_with(&self.prefix)
            && key.ends_with(&self.suffix)
            && self.events.iter().any(|event| {
                let event = event.strip_prefix("s3:").unwrap_or(event);
                match event.strip_suffix('*') {
                    Some(family) => event_name.starts_with(family),
                    None => event_name == event,
                }
            })
    }
}

/// What changed an object.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Cause {
    /// `PutObject`.
    Put,
    /// A browser's form.
    Post,
    /// `CopyObject`.
    Copy,
    /// `CompleteMultipartUpload`.
    CompleteMultipartUpload,
    /// `DeleteObject` or `DeleteObjects`.
    Delete,
    /// `PutObjectTagging`.
    PutTags,
    /// `DeleteObjectTagging`.
    DeleteTags,
}

impl Cause {
    fn event_name(self) -> &'static str {
        match self {
            Self::Put => "ObjectCreated:Put",
            Self::Post => "ObjectCreated:Post",
            Self::Copy => "ObjectCreated:Copy",
            Self::CompleteMultipartUpload => "ObjectCreated:CompleteMultipartUpload",
            Self::Delete => "ObjectRemoved:Delete",
            Self::PutTags => "ObjectTagging:Put",
            Self::DeleteTags => "ObjectTagging:Delete",
        }
    }

    /// What EventBridge's event says was done; of tags it says nothing.
    fn reason(self) -> Option<&'static str> {
        match self {
            Self::Put => Some("PutObject"),
            Self::Post => Some("POST Object"),
            Self::Copy => Some("CopyObject"),
            Self::CompleteMultipartUpload => Some("CompleteMultipartUpload"),
            Self::Delete => Some("DeleteObject"),
            Self::PutTags | Self::DeleteTags => None,
        }
    }

    fn detail_type(self) -> &'static str {
        match self {
            Self::Put | Self::Post | Self::Copy | Self::CompleteMultipartUpload => "Object Created",
            Self::Delete => "Object Deleted",
            Self::PutTags => "Object Tags Added",
            Self::DeleteTags => "Object Tags Deleted",
        }
    }

    fn is_of_tags(self) -> bool {
        matches!(self, Self::PutTags | Self::DeleteTags)
    }
}

/// A change of an object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change<'a> {
    /// The bucket's name.
    pub(super) bucket: &'a str,
    /// The object's key, as it is.
    pub(super) key: &'a str,
    /// What changed it.
    pub(super) cause: Cause,
    /// The object's size, unless it was deleted or tagged.
    pub(super) size: u64,
    /// The object's `ETag`; the last one, if it was deleted.
    pub(super) etag: &'a str,
    /// Rises from change to change; tags have none.
    pub(super) sequencer: i64,
    /// When.
    pub(super) time: jiff::Timestamp,
    /// The request that did it.
    pub(super) request_id: &'a str,
}

/// The event of a change, if it led nowhere: for [`S3::tell`], after the transaction.
#[derive(Debug)]
#[must_use]
pub(super) struct Nowhere(Option<String>);

impl S3 {
    /// Queues what is to be told of a change: durable with the transaction that makes it. What led nowhere is to be told
    /// once that stands.
    pub(super) fn announce(
        &self,
        tx: &Transaction<'_>,
        change: &Change<'_>,
    ) -> Result<Nowhere, Fault> {
        let mut is_notified = false;
        for bucket in self.notifications().iter().filter(|it| it.bucket == change.bucket) {
            for DestinationNotification { destination, filters } in &bucket.destinations {
                let name = change.cause.event_name();
                if !filters.iter().any(|filter| filter.fits(name, change.key)) {
                    continue;
                }
                if let Destination::Function(function) = destination {
                    let payload = json!({ "Records": [change.record(function)] });
                    self.deliveries.invocations.enqueue(tx, function, &json_text(&payload))?;
                } else {
                    self.notify(tx, destination.name(), &destination.arn(), change)?;
                }
                is_notified = true;
            }
        }
        for notified in configuration::find(tx, change.bucket)?.destinations {
            if notified.fits(change.cause.event_name(), change.key) {
                self.notify(tx, &notified.id, &notified.arn, change)?;
                is_notified = true;
            }
        }
        // On AWS each bucket is told to do so; here each does, and what no rule asks for goes nowhere.
        let event = json_text(&change.event());
        let leads_anywhere =
            self.eventbridge.publish(tx, DEFAULT_EVENT_BUS, &event)? || is_notified;
        Ok(Nowhere((!leads_anywhere).then_some(event)))
    }

    /// Tells a destination of a change. One that does not take it, or is not there any more, misses it, as on S3.
    fn notify(
        &self,
        tx: &Transaction<'_>,
        id: &str,
        arn: &str,
        change: &Change<'_>,
    ) -> rusqlite::Result<()> {
        let body = json_text(&json!({ "Records": [change.record(id)] }));
        let delivery = Delivery { body: &body, subject: Some(SUBJECT), ..Delivery::default() };
        let undelivered = match Destination::parse(arn) {
            Ok(destination) => {
                self.deliveries.deliver(tx, &destination, &delivery)?.err().map(|it| it.to_string())
            }
            Err(error) => Some(error.to_string()),
        };
        if let Some(error) = undelivered {
            tracing::warn!(
                bucket = change.bucket,
                destination = arn,
                error,
                "a notification was not delivered"
            );
        }
        Ok(())
    }

    /// Tells of a change that led nowhere, now that it stands.
    pub(super) fn tell(&self, Nowhere(event): &Nowhere) {
        if let Some(event) = event {
            self.eventbridge.tell_unmatched(DEFAULT_EVENT_BUS, event);
        }
    }
}

impl Change<'_> {
    // https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
    fn record(&self, configuration: &str) -> Value {
        let mut object = json!({ "key": encode_key(self.key) });
        if !self.cause.is_of_tags() {
            object["sequencer"] = json!(self.sequencer());
        }
        if self.cause != Cause::Delete {
            object["eTag"] = json!(self.etag);
            if !self.cause.is_of_tags() {
                object["size"] = json!(self.size);
            }
        }
        json!({
            "eventVersion": EVENT_VERSION,
            "eventSource": "aws:s3",
            "awsRegion": REGION,
            "eventTime": format!("{:.3}", self.time),
            "eventName": self.cause.event_name(),
            "userIdentity": { "principalId": format!("AWS:{ACCOUNT_ID}") },
            "requestParameters": { "sourceIPAddress": "127.0.0.1" },
            "responseElements": {
                "x-amz-request-id": self.request_id,
                "x-amz-id-2": self.request_id,
            },
            "s3": {
                "s3SchemaVersion": "1.0",
                "configurationId": configuration,
                "bucket": {
                    "name": self.bucket,
                    "ownerIdentity": { "principalId": OWNER_ID },
                    "arn": format!("arn:aws:s3:::{}", self.bucket),
                },
                "object": object,
            },
        })
    }

    // https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
    fn event(&self) -> Value {
        let mut object = json!({ "key": self.key });
        if !self.cause.is_of_tags() {
            object["sequencer"] = json!(self.sequencer());
        }
        // Of what was deleted for good S3 tells no more.
        if self.cause != Cause::Delete {
            object["etag"] = json!(self.etag);
            if !self.cause.is_of_tags() {
                object["size"] = json!(self.size);
            }
        }
        let mut detail = json!({
            "version": "0",
            "bucket": { "name": self.bucket },
            "object": object,
            "request-id": self.request_id,
            "requester": ACCOUNT_ID,
            "source-ip-address": "127.0.0.1",
        });
        if let Some(reason) = self.cause.reason() {
            detail["reason"] = json!(reason);
        }
        if self.cause == Cause::Delete {
            detail["deletion-type"] = json!("Permanently Deleted");
        }
        json!({
            "version": "0",
            "id": Uuid::now_v7().to_string(),
            "detail-type": self.cause.detail_type(),
            "source": "aws.s3",
            "account": ACCOUNT_ID,
            "time": format!("{:.0}", self.time),
            "region": REGION,
            "resources": [format!("arn:aws:s3:::{}", self.bucket)],
            "detail": detail,
        })
    }

    /// "The sequencer": compared as text, the later of two is the greater.
    fn sequencer(&self) -> String {
        format!("{:018X}", self.sequencer)
    }
}

/// A key as notifications and lists of encoding type `url` carry it.
///
/// It is the form encoding of HTML (a space is `+`), but for `/`, which stays.
pub(super) fn encode_key(key: &str) -> String {
    let mut encoded = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b' ' => encoded.push('+'),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' | b'/' => {
                encoded.push(char::from(byte));
            }
            _ => write!(encoded, "%{byte:02X}").expect("a string takes any text"),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_is_encoded_as_s3_does() {
        let check = |key, encoded| assert_eq!(encode_key(key), encoded);
        check("a b/c+d%.txt", "a+b/c%2Bd%25.txt");
        check("한글.csv", "%ED%95%9C%EA%B8%80.csv");
        check("test_file(3)~.png", "test_file%283%29%7E.png");
        check("\0\n", "%00%0A");
    }

    proptest! {
        #[test]
        fn every_key_comes_back_byte_for_byte(key in any::<String>()) {
            let encoded = encode_key(&key);
            prop_assert!(encoded.bytes().all(|byte| byte.is_ascii_graphic()));
            let decoded: Vec<u8> = percent_decode_str(&encoded.replace('+', " ")).collect();
            prop_assert_eq!(decoded, key.as_bytes());
        }
    }

    #[test]
    fn a_change_is_told_to_eventbridge_as_s3_tells_it() {
        let change = |cause| Change {
            bucket: "bucket",
            key: "a b/+.csv",
            cause,
            size: 5,
            etag: "5d41402abc4b2a76b9719d911017c592",
            sequencer: 0x0F_AB,
            time: "2026-11-21T09:10:11.987Z".parse().unwrap(),
            request_id: "0123456789ABCDEF",
        };
        let mut created = change(Cause::Put).event();
        assert!(Uuid::try_parse(created["id"].take().as_str().unwrap()).is_ok());
        let expected = json!({
            "version": "0",
            "id": null,
            "detail-type": "Object Created",
            "source": "aws.s3",
            "account": "000000000000",
            "time": "2026-11-21T09:10:11Z",
            "region": "us-east-1",
            "resources": ["arn:aws:s3:::bucket"],
            "detail": {
                "version": "0",
                "bucket": { "name": "bucket" },
                "object": {
                    "key": "a b/+.csv",
                    "size": 5,
                    "etag": "5d41402abc4b2a76b9719d911017c592",
                    "sequencer": "000000000000000FAB",
                },
                "request-id": "0123456789ABCDEF",
                "requester": "000000000000",
                "source-ip-address": "127.0.0.1",
                "reason": "PutObject",
            },
        });
        assert_eq!(created, expected);
        let deleted = change(Cause::Delete).event();
        assert_eq!(deleted["detail-type"], "Object Deleted");
        assert_eq!(deleted["detail"]["reason"], "DeleteObject");
        assert_eq!(deleted["detail"]["deletion-type"], "Permanently Deleted");
        let sequencer = "000000000000000FAB";
        let object = json!({ "key": "a b/+.csv", "sequencer": sequencer });
        assert_eq!(deleted["detail"]["object"], object);
        let tagged = change(Cause::PutTags).event();
        assert_eq!(tagged["detail-type"], "Object Tags Added");
        assert_eq!(tagged["detail"].get("reason"), None);
        let etag = "5d41402abc4b2a76b9719d911017c592";
        assert_eq!(tagged["detail"]["object"], json!({ "key": "a b/+.csv", "etag": etag }));
        let record = change(Cause::DeleteTags).record("id");
        assert_eq!(
            (&record["eventVersion"], &record["eventName"]),
            (&json!("2.5"), &json!("ObjectTagging:Delete"))
        );
        assert_eq!(record["s3"]["object"], json!({ "key": "a+b/%2B.csv", "eTag": etag }));
    }

    #[test]
    fn a_filter_fits_by_event_prefix_and_suffix() {
        let filter = |event: &str| Filter {
            events: vec![event.to_owned()],
            prefix: "in/".to_owned(),
            suffix: ".csv".to_owned(),
        };
        let put = "ObjectCreated:Put";
        assert!(filter("s3:ObjectCreated:*").fits(put, "in/a.csv"));
        assert!(filter("s3:ObjectCreated:Put").fits(put, "in/a.csv"));
        assert!(!filter("s3:ObjectCreated:Copy").fits(put, "in/a.csv"));
        assert!(!filter("s3:ObjectRemoved:*").fits(put, "in/a.csv"));
        assert!(!filter("s3:ObjectCreated:*").fits(put, "out/a.csv"));
        assert!(!filter("s3:ObjectCreated:*").fits(put, "in/a.csv.gz"));
    }
}
