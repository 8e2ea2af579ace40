//! SNS through its API: topics, subscriptions, and what a function gets of a message.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fmt::Write as _;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use support::Local;

const TOPIC: &str = "arn:aws:sns:us-east-1:000000000000:t";
const FUNCTION: &str = "arn:aws:lambda:us-east-1:000000000000:function:f";

/// Calls an operation; the answer's status and XML.
async fn call(local: &Local, action: &str, members: &[(&str, &str)]) -> (u16, String) {
    let mut form = format!("Action={action}&Version=2010-03-31");
    for (name, value) in members {
        write!(form, "&{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)).unwrap();
    }
    let signature = "AWS4-HMAC-SHA256 Credential=x/20261121/us-east-1/sns/aws4_request, SignedHeaders=host, Signature=0";
    let headers = [
        ("authorization", signature),
        ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
    ];
    let answer = local.http("POST", "/", &headers, form.as_bytes()).await;
    (answer.status, String::from_utf8(answer.body).unwrap())
}

async fn ok(local: &Local, action: &str, members: &[(&str, &str)]) -> String {
    let (status, xml) = call(local, action, members).await;
    assert_eq!(status, 200, "{action}: {xml}");
    xml
}

/// The code and text of an error.
async fn refused(local: &Local, action: &str, members: &[(&str, &str)]) -> (u16, String, String) {
    let (status, xml) = call(local, action, members).await;
    (status, text(&xml, "Code"), text(&xml, "Message"))
}

/// The text of the first element of a name.
fn text(xml: &str, name: &str) -> String {
    let rest = xml.split_once(&format!("<{name}>")).map_or("", |(_, rest)| rest);
    let text = rest.split_once('<').map_or("", |(text, _)| text);
    text.replace("&quot;", "\"").replace("&amp;", "&")
}

fn queued(local: &Local) -> Vec<Value> {
    let sql = "SELECT payload FROM lambda_invocations WHERE function = 'f' ORDER BY id";
    let payloads: Vec<String> = local
        .db
        .read(|db| {
            db.prepare(sql)?.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()
        })
        .unwrap();
    payloads.iter().map(|it| serde_json::from_str(it).unwrap()).collect()
}

#[tokio::test]
async fn a_function_gets_the_messages_that_its_policy_lets_through() {
    let local = Local::start().await;
    assert_eq!(text(&ok(&local, "CreateTopic", &[("Name", "t")]).await, "TopicArn"), TOPIC);
    let subscribe = [
        ("TopicArn", TOPIC),
        ("Protocol", "lambda"),
        ("Endpoint", FUNCTION),
        ("Attributes.entry.1.key", "FilterPolicy"),
        ("Attributes.entry.1.value", r#"{"kind":["a"],"n":[{"numeric":[">",1]}]}"#),
    ];
    let xml = ok(&local, "Subscribe", &subscribe).await;
    let subscription = text(&xml, "SubscriptionArn");
    assert!(subscription.starts_with(&format!("{TOPIC}:")), "{subscription}");
    assert_eq!(text(&ok(&local, "Subscribe", &subscribe).await, "SubscriptionArn"), subscription);

    let attribute = |n: &'static str| {
        [
            ("TopicArn", TOPIC),
            ("Message", "hé <&>"),
            ("MessageAttributes.entry.1.Name", "kind"),
            ("MessageAttributes.entry.1.Value.DataType", "String"),
            ("MessageAttributes.entry.1.Value.StringValue", "a"),
            ("MessageAttributes.entry.2.Name", "n"),
            ("MessageAttributes.entry.2.Value.DataType", "Number"),
            ("MessageAttributes.entry.2.Value.StringValue", n),
        ]
    };
    ok(&local, "Publish", &attribute("1")).await;
    let xml = ok(&local, "Publish", &attribute("1.5")).await;
    let queued = queued(&local);
    assert_eq!(queued.len(), 1);
    let record = &queued[0]["Records"][0];
    assert_eq!(record["EventSource"], "aws:sns");
    assert_eq!(record["EventSubscriptionArn"], json!(subscription));
    let sns = &record["Sns"];
    assert_eq!((&sns["Message"], &sns["TopicArn"]), (&json!("hé <&>"), &json!(TOPIC)));
    assert_eq!(sns["MessageId"], json!(text(&xml, "MessageId")));
    assert_eq!(sns["MessageAttributes"]["n"], json!({ "Type": "Number", "Value": "1.5" }));
    local.stop().await;
}

#[tokio::test]
async fn topics_and_subscriptions_survive_a_restart_and_go_together() {
    let local = Local::start().await;
    let tags = [("Name", "t"), ("Tags.member.1.Key", "k"), ("Tags.member.1.Value", "v")];
    ok(&local, "CreateTopic", &tags).await;
    let subscribe = [("TopicArn", TOPIC), ("Protocol", "lambda"), ("Endpoint", FUNCTION)];
    let subscription = text(&ok(&local, "Subscribe", &subscribe).await, "SubscriptionArn");
    let dir = local.stop().await;

    let local = Local::start_with(dir, |_| {}).await;
    ok(&local, "Publish", &[("TopicArn", TOPIC), ("Message", "m")]).await;
    assert_eq!(queued(&local).len(), 1);
    let xml = ok(&local, "ListTagsForResource", &[("ResourceArn", TOPIC)]).await;
    assert_eq!((text(&xml, "Key"), text(&xml, "Value")), ("k".to_owned(), "v".to_owned()));
    let set = [
        ("SubscriptionArn", subscription.as_str()),
        ("AttributeName", "RawMessageDelivery"),
        ("AttributeValue", "true"),
    ];
    ok(&local, "SetSubscriptionAttributes", &set).await;
    let xml = ok(&local, "GetSubscriptionAttributes", &set[..1]).await;
    assert!(xml.contains("<key>RawMessageDelivery</key><value>true</value>"), "{xml}");
    let xml = ok(&local, "GetTopicAttributes", &[("TopicArn", TOPIC)]).await;
    assert!(xml.contains("<key>SubscriptionsConfirmed</key><value>1</value>"), "{xml}");
    ok(&local, "DeleteTopic", &[("TopicArn", TOPIC)]).await;
    ok(&local, "DeleteTopic", &[("TopicArn", TOPIC)]).await;
    let xml = ok(&local, "ListSubscriptions", &[]).await;
    assert_eq!(text(&xml, "SubscriptionArn"), "");
    ok(&local, "Unsubscribe", &set[..1]).await;
    local.stop().await;
}

#[tokio::test]
async fn a_batch_is_published_as_a_whole() {
    let local = Local::start().await;
    ok(&local, "CreateTopic", &[("Name", "t")]).await;
    let subscribe = [("TopicArn", TOPIC), ("Protocol", "lambda"), ("Endpoint", FUNCTION)];
    ok(&local, "Subscribe", &subscribe).await;
    let entry = |first: &'static str, second: &'static str, message: &'static str| {
        [
            ("TopicArn", TOPIC),
            ("PublishBatchRequestEntries.member.1.Id", first),
            ("PublishBatchRequestEntries.member.1.Message", "one"),
            ("PublishBatchRequestEntries.member.2.Id", second),
            ("PublishBatchRequestEntries.member.2.Message", message),
        ]
    };
    let xml = ok(&local, "PublishBatch", &entry("a", "b", "two")).await;
    assert_eq!(xml.matches("<MessageId>").count(), 2, "{xml}");
    assert_eq!(
        refused(&local, "PublishBatch", &entry("a", "a", "two")).await.1,
        "BatchEntryIdsNotDistinct"
    );
    assert_eq!(refused(&local, "PublishBatch", &entry("a", "b", "")).await.1, "InvalidParameter");
    assert_eq!(
        refused(&local, "PublishBatch", &entry("a.", "b", "x")).await.1,
        "InvalidBatchEntryId"
    );
    assert_eq!(
        refused(&local, "PublishBatch", &[("TopicArn", TOPIC)]).await.1,
        "EmptyBatchRequest"
    );
    let messages: Vec<_> =
        queued(&local).iter().map(|it| it["Records"][0]["Sns"]["Message"].clone()).collect();
    assert_eq!(messages, [json!("one"), json!("two")]);
    local.stop().await;
}

#[tokio::test]
async fn what_sns_does_not_take_is_refused_in_its_words() {
    let local = Local::start().await;
    ok(&local, "CreateTopic", &[("Name", "t")]).await;
    let long = "x".repeat(256 * 1024 + 1);
    let queue = "arn:aws:sqs:us-east-1:000000000000:q.fifo";
    let none = "arn:aws:sns:us-east-1:000000000000:none";
    let invalid = |text: &str| (400, "InvalidParameter", format!("Invalid parameter: {text}"));
    let not_found = || (404, "NotFound", "Topic does not exist".to_owned());
    let subscribe = |protocol, endpoint| {
        vec![("TopicArn", TOPIC), ("Protocol", protocol), ("Endpoint", endpoint)]
    };
    let cases = [
        ("CreateTopic", vec![("Name", "a b")], invalid("Topic Name")),
        ("CreateTopic", vec![("Name", "a.fifo")], invalid("Topic Name")),
        ("Publish", vec![("TopicArn", none), ("Message", "m")], not_found()),
        (
            "Publish",
            vec![("TopicArn", "t"), ("Message", "m")],
            invalid("TopicArn Reason: An ARN must have at least 6 elements, not 1"),
        ),
        ("Publish", vec![("TopicArn", TOPIC), ("Message", "")], invalid("Empty message")),
        ("Publish", vec![("TopicArn", TOPIC), ("Message", &long)], invalid("Message too long")),
        (
            "Publish",
            vec![("TopicArn", TOPIC), ("Message", "m"), ("Subject", "")],
            invalid("Subject"),
        ),
        (
            "Publish",
            vec![("TopicArn", TOPIC), ("Message", "m"), ("MessageStructure", "json")],
            invalid("Message Structure - JSON message body failed to parse"),
        ),
        (
            "Subscribe",
            subscribe("pigeon", "x"),
            invalid("Amazon SNS does not support this protocol string: pigeon"),
        ),
        ("Subscribe", subscribe("sqs", "http://queue"), invalid("SQS endpoint ARN")),
        (
            "Subscribe",
            subscribe("sqs", queue),
            invalid(
                "Invalid parameter: Endpoint Reason: FIFO SQS Queues can not be subscribed to standard SNS topics",
            ),
        ),
        ("ListSubscriptionsByTopic", vec![("TopicArn", none)], not_found()),
    ];
    for (action, members, (status, code, message)) in cases {
        let error = refused(&local, action, &members).await;
        assert_eq!(error, (status, code.to_owned(), message), "{action}");
    }
    assert_eq!(refused(&local, "Confirm", &[]).await.1, "InvalidAction");
    let (status, xml) = call(&local, "CreateTopic&Name=%FF", &[]).await;
    assert_eq!((status, text(&xml, "Code")), (400, "MalformedQueryString".to_owned()));
    local.stop().await;
}
