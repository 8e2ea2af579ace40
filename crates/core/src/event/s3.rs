//! Normalise S3's own notifications: records become events as EventBridge would have sent them.
//!
//! Called by the `s3` function, and for messages that carry one. The key is decoded here, once, and nowhere else: an S3
//! notification carries it form-encoded, S3's events on EventBridge carry it plain.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html>

mod detail;

use std::{borrow::Cow, ops::Deref};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use self::detail::{Detail, Enveloped, Named, ObjectDetail};
use super::{Envelope, Event, Malformed, carried::Carried, sns};
use crate::digest;

/// What an S3 notification holds.
#[derive(Debug)]
pub enum Notification {
    /// `s3:TestEvent`, which S3 sends when notifications are configured: nothing happened to an object.
    Test,
    /// Its records, in their order, each an event or the reason why it is none.
    Records(Vec<Result<Event, Error>>),
}

/// Why a payload, or one record of it, is not S3's.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The payload is not JSON, or has neither `Records` nor `Event: s3:TestEvent`.
    #[error("the payload is not an S3 event notification")]
    Payload(#[source] Malformed),
    /// The record lacks a member or has one of another type.
    #[error("record {index} is not of S3's shape")]
    Record {
        /// The record's place in `Records`, from 0.
        index: usize,
        /// Which member, and what is wrong with it.
        source: Malformed,
    },
    /// The record is of a structure that S3 says is not compatible with the one that is read here.
    #[error("record {index} is of version {version} of S3's event structure, and 2 is understood")]
    Version {
        /// The record's place in `Records`, from 0.
        index: usize,
        /// Its major version.
        version: u32,
    },
    /// The SNS message carries nothing of S3's.
    #[error("record {index} is an SNS message that carries no S3 event notification")]
    Foreign {
        /// The record's place in `Records`, from 0.
        index: usize,
    },
    /// The key's bytes are not UTF-8 once decoded.
    #[error("record {index}: the object's key `{key}` does not decode to UTF-8")]
    Key {
        /// The record's place in `Records`, from 0.
        index: usize,
        /// The key as it came, encoded.
        key: String,
    },
    /// What was made of the record is not an event.
    #[error("record {index} makes no event")]
    Event {
        /// The record's place in `Records`, from 0.
        index: usize,
        /// What is wrong with it.
        source: super::Error,
    },
}

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(rename = "Event")]
    event: Option<String>,
    // As they came: each is read by itself, so that a bad one leaves the others.
    #[serde(rename = "Records", default, borrow)]
    records: Option<Vec<&'a RawValue>>,
}

// Text that has no escape in it is used where it stands.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    #[serde(borrow)]
    event_version: Option<Text<'a>>,
    #[serde(borrow)]
    aws_region: Cow<'a, str>,
    #[serde(borrow)]
    event_time: Cow<'a, str>,
    #[serde(borrow)]
    event_name: Cow<'a, str>,
    #[serde(borrow)]
    user_identity: Option<UserIdentity<'a>>,
    #[serde(borrow)]
    request_parameters: Option<RequestParameters<'a>>,
    #[serde(borrow)]
    response_elements: Option<ResponseElements<'a>>,
    #[serde(borrow)]
    s3: S3<'a>,
    // Since version 2.2 and 2.3, for the kinds of event that they are about.
    #[serde(borrow)]
    glacier_event_data: Option<GlacierEventData<'a>>,
    #[serde(borrow)]
    lifecycle_event_data: Option<LifecycleEventData<'a>>,
    #[serde(borrow)]
    intelligent_tiering_event_data: Option<IntelligentTieringEventData<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GlacierEventData<'a> {
    #[serde(borrow)]
    restore_event_data: Option<RestoreEventData<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RestoreEventData<'a> {
    #[serde(borrow)]
    lifecycle_restoration_expiry_time: Option<Text<'a>>,
    #[serde(borrow)]
    lifecycle_restore_storage_class: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LifecycleEventData<'a> {
    #[serde(borrow)]
    transition_event_data: Option<TransitionEventData<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TransitionEventData<'a> {
    #[serde(borrow)]
    destination_storage_class: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IntelligentTieringEventData<'a> {
    #[serde(borrow)]
    destination_access_tier: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Versioned<'a> {
    #[serde(borrow)]
    event_version: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UserIdentity<'a> {
    #[serde(borrow)]
    principal_id: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestParameters<'a> {
    #[serde(borrow, rename = "sourceIPAddress")]
    source_ip_address: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct ResponseElements<'a> {
    #[serde(borrow, rename = "x-amz-request-id")]
    request_id: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct S3<'a> {
    #[serde(borrow)]
    bucket: Bucket<'a>,
    #[serde(borrow)]
    object: Object<'a>,
}

#[derive(Deserialize)]
struct Bucket<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    size: Option<u64>,
    #[serde(borrow)]
    e_tag: Option<Text<'a>>,
    #[serde(borrow)]
    version_id: Option<Text<'a>>,
    #[serde(borrow)]
    sequencer: Option<Text<'a>>,
}

/// A string inside an `Option`: serde copies a bare `Cow` there.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// Reads an S3 event notification, as S3 invokes a function with it, or SNS with its own event around it.
///
/// # Errors
///
/// [`Error::Payload`] if the whole is not S3's. A record that is not is an `Err` in its place: one bad record never
/// fails its batch.
pub fn normalise(payload: &str) -> Result<Notification, Error> {
    let payload: Payload<'_> =
        serde_json::from_str(payload).map_err(|error| Error::Payload(error.into()))?;
    match payload {
        Payload { records: Some(records), .. } => {
            let messages: Option<Vec<_>> =
                records.iter().map(|record| sns::message_of(record)).collect();
            match messages {
                Some(messages) if !messages.is_empty() => Ok(of_messages(&messages)),
                Some(_) | None => Ok(Notification::Records(self::records(&records))),
            }
        }
        Payload { event: Some(event), .. } if event == "s3:TestEvent" => Ok(Notification::Test),
        Payload { .. } => {
            Err(Error::Payload(Malformed::new("neither `Records` nor `s3:TestEvent`")))
        }
    }
}

/// The records of a notification, each by itself.
pub(super) fn records(records: &[&RawValue]) -> Vec<Result<Event, Error>> {
    records.iter().enumerate().map(|(index, record)| event(index, record)).collect()
}

/// What the messages of SNS's own event carry.
fn of_messages(messages: &[sns::Published]) -> Notification {
    let mut events = Vec::new();
    let mut are_tests = true;
    for (index, message) in messages.iter().enumerate() {
        match Carried::by(&message.message) {
            Carried::S3Test => continue,
            Carried::S3(records) => events.extend(records),
            Carried::Event(_) | Carried::Nothing => events.push(Err(Error::Foreign { index })),
        }
        are_tests = false;
    }
    if are_tests { Notification::Test } else { Notification::Records(events) }
}

fn event(index: usize, record: &RawValue) -> Result<Event, Error> {
    let record: Record<'_> = match serde_json::from_str(record.get()) {
        Ok(record) => record,
        Err(error) => {
            // What another version lacks is no fault of the record.
            if let Ok(Versioned { event_version }) = serde_json::from_str(record.get()) {
                check_version(index, event_version.as_deref())?;
            }
            return Err(Error::Record { index, source: Malformed::from(error) });
        }
    };
    check_version(index, record.event_version.as_deref())?;
    let key = decode_key(&record.s3.object.key)
        .ok_or_else(|| Error::Key { index, key: record.s3.object.key.clone().into_owned() })?;
    envelope(&record, &key).map_err(|source| Error::Event { index, source })
}

/// Whether the structure is the one that is read here: a minor version only adds members, a major one is another structure.
fn check_version(index: usize, version: Option<&str>) -> Result<(), Error> {
    let Some(version) = version else { return Ok(()) };
    let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
    match (major.parse(), minor.parse::<u32>()) {
        (Ok(2), Ok(_)) => Ok(()),
        (Ok(version), Ok(_)) => Err(Error::Version { index, version }),
        (Err(_), _) | (_, Err(_)) => {
            Err(Error::Record { index, source: Malformed::new("`eventVersion` is no version") })
        }
    }
}

/// The notification that S3 would send of a new object, to try rules without one.
pub fn notification(bucket: &str, key: &str, size: u64, now: jiff::Timestamp) -> String {
    let record = json!({
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "us-east-1", "eventTime": now,
        "eventName": "ObjectCreated:Put",
        "s3": {
            "s3SchemaVersion": "1.0",
            "bucket": { "name": bucket, "arn": format!("arn:aws:s3:::{bucket}") },
            "object": {
                "key": encode_key(key), "size": size,
                // Rises with time, as S3's does: a second one is another event.
                "sequencer": format!("{:016X}", now.as_microsecond()),
            },
        },
    });
    json!({ "Records": [record] }).to_string()
}

/// The key as a notification has it: [`decode_key`] gives it back.
fn encode_key(key: &str) -> String {
    const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'/')
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'*')
        .remove(b' ');
    utf8_percent_encode(key, ENCODED).to_string().replace(' ', "+")
}

/// The key as the object is called: `+` is a blank, `%2B` a plus.
fn decode_key(encoded: &str) -> Option<Cow<'_, str>> {
    if !encoded.contains('+') {
        return percent_decode_str(encoded).decode_utf8().ok();
    }
    let blanks = encoded.replace('+', " ");
    percent_decode_str(&blanks).decode_utf8().ok().map(|key| Cow::Owned(key.into_owned()))
}

/// The record as EventBridge would have sent it.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html>
fn envelope(record: &Record<'_>, key: &str) -> Result<Event, super::Error> {
    let Record { s3: S3 { bucket, object }, .. } = record;
    let kind = Kind::of(&record.event_name);
    let request_id =
        record.response_elements.as_ref().and_then(|response| response.request_id.as_deref());
    let id = event_id(record, request_id);
    let restored = record.glacier_event_data.as_ref();
    let restored = restored.and_then(|data| data.restore_event_data.as_ref());
    let moved = record.lifecycle_event_data.as_ref();
    let moved = moved.and_then(|data| data.transition_event_data.as_ref());
    let tiered = record.intelligent_tiering_event_data.as_ref();
    let enveloped = Enveloped {
        version: "0",
        id: &id,
        detail_type: kind.detail_type,
        source: "aws.s3",
        account: "",
        time: &record.event_time,
        region: &record.aws_region,
        resources: [format!("arn:aws:s3:::{}", bucket.name)],
        detail: Detail {
            version: "0",
            bucket: Named { name: &bucket.name },
            object: ObjectDetail {
                key,
                size: object.size,
                etag: object.e_tag.as_deref(),
                version_id: object.version_id.as_deref(),
                sequencer: object.sequencer.as_deref(),
            },
            request_id,
            requester: record.user_identity.as_ref().and_then(|user| user.principal_id.as_deref()),
            source_ip_address: record
                .request_parameters
                .as_ref()
                .and_then(|request| request.source_ip_address.as_deref()),
            reason: kind.reason,
            deletion_type: kind.deletion_type,
            restore_expiry_time: restored
                .and_then(|data| data.lifecycle_restoration_expiry_time.as_deref()),
            source_storage_class: restored
                .and_then(|data| data.lifecycle_restore_storage_class.as_deref()),
            destination_storage_class: moved
                .and_then(|data| data.destination_storage_class.as_deref()),
            destination_access_tier: tiered
                .and_then(|data| data.destination_access_tier.as_deref()),
        },
    };
    let text = serde_json::to_string(&enveloped).expect("strings and numbers serialise");
    let envelope = Envelope {
        id,
        source: "aws.s3".to_owned(),
        detail_type: kind.detail_type.to_owned(),
        time: record.event_time.clone().into_owned(),
    };
    Event::new(envelope, text)
}

/// The same for each delivery of one change of one object, so that it serves as the key of deduplication.
///
/// The sequencer orders the changes of a key; where S3 sends none, the request that made the change stands in.
fn event_id(record: &Record<'_>, request_id: Option<&str>) -> String {
    let Record { s3: S3 { bucket, object }, .. } = record;
    let change = match object.sequencer.as_deref() {
        Some(sequencer) => ["sequencer", sequencer],
        None => [request_id.unwrap_or_default(), &record.event_time],
    };
    let version = object.version_id.as_deref().or(object.e_tag.as_deref()).unwrap_or_default();
    let [first, second] = change;
    digest::uuid(&["s3", &record.event_name, &bucket.name, &object.key, version, first, second])
}

/// How EventBridge calls what a notification calls `ObjectCreated:Put`.
struct Kind<'a> {
    detail_type: &'a str,
    reason: Option<&'a str>,
    deletion_type: Option<&'static str>,
}

impl<'a> Kind<'a> {
    fn of(event_name: &'a str) -> Self {
        let event_name = event_name.strip_prefix("s3:").unwrap_or(event_name);
        let (group, which) = event_name.split_once(':').unwrap_or((event_name, ""));
        let (detail_type, reason, deletion_type) = match (group, which) {
            ("ObjectCreated", "Put") => ("Object Created", Some("PutObject"), None),
            ("ObjectCreated", "Post") => ("Object Created", Some("POST Object"), None),
            ("ObjectCreated", "Copy") => ("Object Created", Some("CopyObject"), None),
            ("ObjectCreated", which) => ("Object Created", Some(which), None),
            ("ObjectRemoved", "DeleteMarkerCreated") => {
                ("Object Deleted", Some("DeleteObject"), Some("Delete Marker Created"))
            }
            ("ObjectRemoved", _) => {
                ("Object Deleted", Some("DeleteObject"), Some("Permanently Deleted"))
            }
            ("LifecycleExpiration", "DeleteMarkerCreated") => {
                ("Object Deleted", Some("Lifecycle Expiration"), Some("Delete Marker Created"))
            }
            ("LifecycleExpiration", _) => {
                ("Object Deleted", Some("Lifecycle Expiration"), Some("Permanently Deleted"))
            }
            ("ObjectRestore", "Post") => ("Object Restore Initiated", None, None),
            ("ObjectRestore", "Completed") => ("Object Restore Completed", None, None),
            ("ObjectRestore", "Delete") => ("Object Restore Expired", None, None),
            ("LifecycleTransition", _) => ("Object Storage Class Changed", None, None),
            ("IntelligentTiering", _) => ("Object Access Tier Changed", None, None),
            ("ObjectTagging", "Put") => ("Object Tags Added", None, None),
            ("ObjectTagging", _) => ("Object Tags Deleted", None, None),
            ("ObjectAcl", _) => ("Object ACL Updated", None, None),
            // What S3 comes to call by a new name passes under that name.
            (_, _) => (event_name, None, None),
        };
        Self { detail_type, reason, deletion_type }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn notification(event_name: &str, key: &str, sequencer: Option<&str>) -> String {
        let mut object = json!({"key": key, "size": 5, "eTag": "e"});
        if let Some(sequencer) = sequencer {
            object["sequencer"] = json!(sequencer);
        }
        json!({"Records": [{
            "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "us-east-1",
            "eventTime": "2026-01-02T03:04:05.678Z", "eventName": event_name,
            "responseElements": {"x-amz-request-id": "R"},
            "s3": {"bucket": {"name": "uploads"}, "object": object},
        }]})
        .to_string()
    }

    fn one(payload: &str) -> Event {
        match normalise(payload).unwrap() {
            Notification::Records(mut records) => records.remove(0).unwrap(),
            Notification::Test => panic!("a test event"),
        }
    }

    #[track_caller]
    fn check_key(encoded: &str, expected: &str) {
        let event = one(&notification("ObjectCreated:Put", encoded, Some("1")));
        assert_eq!(event.value()["detail"]["object"]["key"], expected);
    }

    #[test]
    fn a_plus_is_a_blank() {
        check_key("red+flower.jpg", "red flower.jpg");
    }

    #[test]
    fn an_encoded_plus_is_a_plus() {
        check_key("a%2Bb", "a+b");
    }

    #[test]
    fn an_encoded_percent_is_decoded_once() {
        check_key("100%2525", "100%25");
    }

    #[test]
    fn a_korean_key_and_an_emoji_arrive() {
        check_key("%ED%95%9C%EA%B5%AD/%F0%9F%98%80", "한국/😀");
    }

    #[test]
    fn a_key_that_is_not_utf8_is_refused_with_its_text() {
        let Notification::Records(records) =
            normalise(&notification("ObjectCreated:Put", "%FF", Some("1"))).unwrap()
        else {
            panic!("no records")
        };
        let refused = records[0].as_ref().unwrap_err().to_string();
        assert_eq!(refused, "record 0: the object's key `%FF` does not decode to UTF-8");
    }

    #[test]
    fn the_test_event_is_told_apart() {
        let payload = r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"uploads"}"#;
        assert!(matches!(normalise(payload), Ok(Notification::Test)));
    }

    #[test]
    fn another_payload_is_refused() {
        assert!(matches!(normalise("{}"), Err(Error::Payload(_))));
        assert!(matches!(normalise("not json"), Err(Error::Payload(_))));
    }

    #[test]
    fn a_record_of_another_version_is_told_so_whatever_it_lacks() {
        let payload = r#"{"Records":[{"eventSource":"aws:s3","eventVersion":"3.0"}]}"#;
        let Notification::Records(records) = normalise(payload).unwrap() else { panic!() };
        assert!(matches!(records[0], Err(Error::Version { index: 0, version: 3 })));
    }

    #[test]
    fn one_bad_record_leaves_the_others() {
        let mut payload: serde_json::Value =
            serde_json::from_str(&notification("ObjectCreated:Put", "a", Some("1"))).unwrap();
        let records = payload["Records"].as_array_mut().unwrap();
        records.insert(0, json!({"s3": 1}));
        let Notification::Records(records) = normalise(&payload.to_string()).unwrap() else {
            panic!("no records")
        };
        assert!(records[0].is_err() && records[1].is_ok());
    }

    #[test]
    fn a_put_becomes_the_event_that_eventbridge_would_send() {
        let event = one(&notification("ObjectCreated:Put", "in/a.csv", Some("0055AED6DCD90281E5")));
        insta::assert_json_snapshot!(event.value());
    }

    #[test]
    fn a_repeated_delivery_has_the_same_id_and_another_change_another() {
        let id = |name: &str, key: &str, sequencer: Option<&str>| {
            one(&notification(name, key, sequencer)).id().to_owned()
        };
        let first = id("ObjectCreated:Put", "a", Some("1"));
        assert_eq!(first, id("ObjectCreated:Put", "a", Some("1")));
        assert_ne!(first, id("ObjectCreated:Put", "a", Some("2")));
        assert_ne!(first, id("ObjectCreated:Copy", "a", Some("1")));
        assert_ne!(first, id("ObjectCreated:Put", "b", Some("1")));
        assert_ne!(first, id("ObjectCreated:Put", "a", None));
    }

    proptest! {
        #[test]
        fn any_payload_is_answered(payload in "\\PC*") {
            let _answered = normalise(&payload);
        }

        #[test]
        fn any_key_arrives_byte_for_byte(key in "\\PC{1,64}") {
            let everything: String =
                key.bytes().map(|byte| if byte == b' ' { "+".to_owned() } else { format!("%{byte:02X}") }).collect();
            check_key(&everything, &key);
            check_key(&encode_key(&key), &key);
        }
    }
}
