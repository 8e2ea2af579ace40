//! What a text carries, told by its shape and never by guess: a notification of S3, an event of EventBridge, or nothing.
//!
//! Asked for the body of an SQS message and for the message of an SNS one. A text is taken for somebody's only if it has all
//! that he always sends; docs/event-sources.md has the rules, and whatever keeps none of them stays a message.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Event, s3, sns};

/// What a text carries.
#[derive(Debug)]
pub(super) enum Carried {
    /// The records of an S3 notification, each an event or the reason why it is none.
    S3(Vec<Result<Event, s3::Error>>),
    /// `s3:TestEvent`: nothing happened to an object.
    S3Test,
    /// An event of EventBridge, whole.
    Event(Event),
    /// Nothing of these.
    Nothing,
}

/// The members by which a text is told; each as it came, whatever it is.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Shape<'a> {
    #[serde(borrow, rename = "Records")]
    records: Option<&'a RawValue>,
    #[serde(borrow, rename = "Service")]
    service: Option<&'a RawValue>,
    #[serde(borrow, rename = "Event")]
    event: Option<&'a RawValue>,
    #[serde(borrow)]
    version: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow, rename = "detail-type")]
    detail_type: Option<&'a RawValue>,
    #[serde(borrow)]
    source: Option<&'a RawValue>,
    #[serde(borrow)]
    account: Option<&'a RawValue>,
    #[serde(borrow)]
    time: Option<&'a RawValue>,
    #[serde(borrow)]
    region: Option<&'a RawValue>,
    #[serde(borrow)]
    resources: Option<&'a RawValue>,
    #[serde(borrow)]
    detail: Option<&'a RawValue>,
}

/// The member of a record that says whose it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sourced<'a> {
    #[serde(borrow)]
    event_source: &'a RawValue,
}

impl Carried {
    /// What `text` carries by itself.
    pub(super) fn by(text: &str) -> Self {
        let Some(shape) = object::<Shape<'_>>(text) else { return Self::Nothing };
        if shape.is_s3_test() {
            return Self::S3Test;
        }
        if let Some(records) = shape.s3_records() {
            return Self::S3(s3::records(&records));
        }
        if !shape.is_event() {
            return Self::Nothing;
        }
        // Nested too deep for an event, it is still a message.
        Event::parse(text).map_or(Self::Nothing, Self::Event)
    }
}

impl<'a> Shape<'a> {
    /// `Service: Amazon S3` and `Event: s3:TestEvent`.
    fn is_s3_test(&self) -> bool {
        let is = |member: Option<&RawValue>, text| member.is_some_and(|it| it.get() == text);
        is(self.service, r#""Amazon S3""#) && is(self.event, r#""s3:TestEvent""#)
    }

    /// `Records`, if there are any and each says `eventSource: aws:s3`.
    fn s3_records(&self) -> Option<Vec<&'a RawValue>> {
        let records: Vec<&RawValue> = serde_json::from_str(self.records?.get()).ok()?;
        let is_s3s = |record: &&RawValue| {
            object::<Sourced<'_>>(record.get())
                .is_some_and(|record| record.event_source.get() == r#""aws:s3""#)
        };
        (!records.is_empty() && records.iter().all(is_s3s)).then_some(records)
    }

    /// Each of the nine members that every event has, of its kind.
    ///
    /// <https://docs.aws.amazon.com/eventbridge/latest/ref/events-structure.html>
    fn is_event(&self) -> bool {
        let texts = [
            self.version,
            self.id,
            self.detail_type,
            self.source,
            self.account,
            self.time,
            self.region,
        ];
        let begins = |member: Option<&RawValue>, with| {
            member.is_some_and(|member| member.get().starts_with(with))
        };
        texts.into_iter().all(|text| begins(text, '"'))
            && begins(self.resources, '[')
            && begins(self.detail, '{')
    }
}

/// Reads an object that may be of a shape; text of any other kind, and an object that names a member twice, is none.
pub(super) fn object<'a, T: Deserialize<'a>>(text: &'a str) -> Option<T> {
    let text = text.trim_start_matches([' ', '\t', '\n', '\r']);
    // Of a list serde would take the first member to be the first element.
    text.starts_with('{').then(|| serde_json::from_str(text).ok())?
}

/// What a message carries, by itself or in the envelope that SNS puts around it.
pub(super) fn unwrapped(body: &str) -> (Option<sns::Published>, Carried) {
    match sns::Published::in_envelope(body) {
        Some(message) => {
            let carried = Carried::by(&message.message);
            (Some(message), carried)
        }
        None => (None, Carried::by(body)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn event() -> Value {
        json!({
            "version": "0", "id": "1", "detail-type": "Order", "source": "shop", "account": "1", "region": "r",
            "time": "2026-01-01T00:00:00Z", "resources": [], "detail": {},
        })
    }

    fn kind(text: &str) -> &'static str {
        match Carried::by(text) {
            Carried::S3(_) => "s3",
            Carried::S3Test => "test",
            Carried::Event(_) => "event",
            Carried::Nothing => "nothing",
        }
    }

    #[track_caller]
    fn check(value: &Value, expected: &str) {
        assert_eq!(kind(&value.to_string()), expected, "{value}");
    }

    #[test]
    fn an_event_has_all_nine_members() {
        check(&event(), "event");
        for member in event().as_object().unwrap().keys() {
            let mut less = event();
            less.as_object_mut().unwrap().remove(member);
            check(&less, "nothing");
            let mut other = event();
            other[member] = json!(7);
            check(&other, "nothing");
        }
    }

    #[test]
    fn each_record_of_a_notification_says_whose_it_is() {
        let s3 = json!({"eventSource": "aws:s3"});
        check(&json!({"Records": [s3]}), "s3");
        check(&json!({"Records": [s3, s3], "more": 1}), "s3");
        check(&json!({"Records": [s3, {"eventSource": "aws:sqs"}]}), "nothing");
        check(&json!({"Records": [s3, 1]}), "nothing");
        check(&json!({"Records": [[{"eventSource": "aws:s3"}]]}), "nothing");
        check(&json!({"Records": []}), "nothing");
        check(&json!({"Records": {"eventSource": "aws:s3"}}), "nothing");
        check(&json!({"Records": "aws:s3"}), "nothing");
        check(&json!([{"Records": [s3]}]), "nothing");
    }

    #[test]
    fn a_test_event_is_s3s_own() {
        let test = json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "uploads"});
        check(&test, "test");
        check(&json!({"Service": "shop", "Event": "s3:TestEvent"}), "nothing");
        check(&json!({"Event": "s3:TestEvent"}), "nothing");
    }

    #[test]
    fn other_text_carries_nothing() {
        for text in
            ["", "{", "null", "7", "\"aws:s3\"", "[]", "aws:s3", "{\"Records\":1,\"Records\":2}"]
        {
            assert_eq!(kind(text), "nothing", "{text}");
        }
        let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
        let deep =
            event().to_string().replace(r#""detail":{}"#, &format!(r#""detail":{{"a":{deep}}}"#));
        assert_eq!(kind(&deep), "nothing");
    }

    proptest! {
        #[test]
        fn any_text_is_told(text in "\\PC*") {
            let _told = unwrapped(&text);
        }
    }
}
