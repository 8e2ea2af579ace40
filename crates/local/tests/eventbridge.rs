//! EventBridge through its API: which entries are taken, why others are not, and whom an event reaches.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::Local;
use taskferry_local::{delivery::Destination, eventbridge::Subscription};

/// Subscribes functions to patterns on the default bus.
fn subscribe(local: &Local, subscriptions: &[(&str, &str, Value)]) {
    let subscriptions = subscriptions.iter().map(|(bus, function, pattern)| Subscription {
        name: format!("order-{function}"),
        event_bus: (*bus).to_owned(),
        event_pattern: pattern.to_string().parse().unwrap(),
        destination: Destination::Function((*function).to_owned()),
    });
    local.event_bridge.subscribe(subscriptions.collect());
}

/// What is queued: function and payload, in order. No function is deployed in these tests.
fn queued(local: &Local) -> Vec<(String, String)> {
    let sql = "SELECT function, payload FROM lambda_invocations ORDER BY id";
    local
        .db
        .read(|db| {
            db.prepare(sql)?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<_>>()
        })
        .unwrap()
}

async fn put(local: &Local, entries: Value) -> Value {
    let answer = local.call("AWSEvents.PutEvents", &json!({ "Entries": entries })).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    answer.json()
}

fn entry(detail: &str) -> Value {
    json!({ "Source": "app", "DetailType": "Made", "Detail": detail })
}

/// An entry with some members changed; `null` takes one away.
fn entry_but(changes: &Value) -> Value {
    let mut entry = entry("{}");
    for (name, value) in changes.as_object().unwrap() {
        entry[name] = value.clone();
    }
    entry
}

#[tokio::test]
async fn an_event_has_the_envelope_and_its_detail_byte_for_byte() {
    let local = Local::start().await;
    subscribe(&local, &[("default", "f", json!({ "source": ["app"] }))]);
    let detail = "{ \"z\":1.10, \"a\":\"\\u00e9\",\n \"big\":12345678901234567890123 }";
    let entry = json!({
        "Source": "app", "DetailType": "Made \"it\"", "Detail": detail,
        "Resources": ["arn:a", "arn:b"], "Time": 1_700_000_000.75,
    });
    let answer = put(&local, json!([entry])).await;
    let id = answer["Entries"][0]["EventId"].as_str().unwrap();
    assert_eq!(answer, json!({ "FailedEntryCount": 0, "Entries": [{ "EventId": id }] }));
    let expected = format!(
        r#"{{"version":"0","id":"{id}","detail-type":"Made \"it\"","source":"app","account":"000000000000","time":"2023-11-14T22:13:20Z","region":"us-east-1","resources":["arn:a","arn:b"],"detail":{detail}}}"#
    );
    assert_eq!(queued(&local), [("f".to_owned(), expected)]);
    local.stop().await;
}

#[tokio::test]
async fn an_event_without_a_time_is_of_now() {
    let local = Local::start().await;
    subscribe(&local, &[("default", "f", json!({ "source": ["app"] }))]);
    let before = jiff::Timestamp::now().as_second();
    put(&local, json!([entry("{}")])).await;
    let event: Value = serde_json::from_str(&queued(&local)[0].1).unwrap();
    let time = event["time"].as_str().unwrap();
    assert_eq!(time.len(), "2023-11-14T22:13:20Z".len());
    let time: jiff::Timestamp = time.parse().unwrap();
    assert!((before..=jiff::Timestamp::now().as_second()).contains(&time.as_second()));
    local.stop().await;
}

#[tokio::test]
async fn a_function_that_several_subscriptions_name_is_invoked_once() {
    let local = Local::start().await;
    subscribe(
        &local,
        &[
            ("default", "f", json!({ "source": ["app"] })),
            ("default", "g", json!({ "source": ["other"] })),
            ("default", "f", json!({ "detail-type": ["Made"] })),
            ("default", "h", json!({ "detail": { "n": [1] } })),
            ("orders", "o", json!({ "source": ["app"] })),
        ],
    );
    put(&local, json!([entry("{\"n\": 1}")])).await;
    let functions: Vec<String> = queued(&local).into_iter().map(|(function, _)| function).collect();
    assert_eq!(functions, ["f", "h"]);
    local.stop().await;
}

#[tokio::test]
async fn buses_are_apart_and_unknown_ones_drop_events() {
    let local = Local::start().await;
    subscribe(&local, &[("orders", "o", json!({ "source": ["app"] }))]);
    let arn = "arn:aws:events:us-east-1:000000000000:event-bus/orders";
    let entries = ["default", "orders", arn, "nowhere"];
    let entries = entries.map(|bus| entry_but(&json!({ "EventBusName": bus })));
    let answer = put(&local, json!(entries)).await;
    assert_eq!(answer["FailedEntryCount"], 0);
    assert_eq!(queued(&local).len(), 2);

    let buses = local.call("AWSEvents.ListEventBuses", &json!({})).await.json();
    assert_eq!(buses["EventBuses"].as_array().unwrap().len(), 2, "{buses}");
    let bus = local.call("AWSEvents.DescribeEventBus", &json!({ "Name": "orders" })).await.json();
    assert_eq!(bus, json!({ "Name": "orders", "Arn": arn }));
    let unknown = local.call("AWSEvents.DescribeEventBus", &json!({ "Name": "nowhere" })).await;
    assert_eq!(
        (unknown.status, &unknown.json()["__type"]),
        (400, &json!("ResourceNotFoundException"))
    );
    local.stop().await;
}

#[tokio::test]
async fn a_bad_entry_fails_alone_and_says_why() {
    let local = Local::start().await;
    subscribe(&local, &[("default", "f", json!({ "account": ["000000000000"] }))]);
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(500), "]".repeat(500));
    let required = |name: &str| {
        format!("Parameter {name} is not valid. Reason: {name} is a required argument.")
    };
    let cases = [
        (entry_but(&json!({ "Source": null })), "InvalidArgument", required("Source")),
        (entry_but(&json!({ "Source": "" })), "InvalidArgument", required("Source")),
        (entry_but(&json!({ "DetailType": null })), "InvalidArgument", required("DetailType")),
        (entry_but(&json!({ "Detail": null })), "InvalidArgument", required("Detail")),
        (entry("{"), "MalformedDetail", "Detail is malformed.".to_owned()),
        (entry("[1]"), "MalformedDetail", "Detail is malformed.".to_owned()),
        (entry("{} {}"), "MalformedDetail", "Detail is malformed.".to_owned()),
        (
            entry_but(&json!({ "Source": "aws.s3" })),
            "NotAuthorizedForSourceException",
            "Not authorized for the source.".to_owned(),
        ),
        (
            entry_but(&json!({ "Time": 1e300 })),
            "InvalidArgument",
            "Parameter Time is not valid. Reason: it is out of range.".to_owned(),
        ),
    ];
    for (bad, code, message) in cases {
        let answer = put(&local, json!([entry("{}"), bad, entry("{}")])).await;
        assert_eq!(answer["FailedEntryCount"], 1, "{bad}");
        assert_eq!(answer["Entries"][1], json!({ "ErrorCode": code, "ErrorMessage": message }));
    }
    let answer = put(&local, json!([entry(&deep)])).await;
    assert_eq!(answer["Entries"][0]["ErrorCode"], "MalformedDetail");
    assert_eq!(queued(&local).len(), 18);
    local.stop().await;
}

#[tokio::test]
async fn a_request_that_is_wrong_as_a_whole_is_refused() {
    let local = Local::start().await;
    let big = entry(&format!("{{\"a\":\"{}\"}}", "x".repeat(1024 * 1024)));
    let cases = [
        (json!({}), "ValidationException"),
        (json!({ "Entries": [] }), "ValidationException"),
        (json!({ "Entries": vec![entry("{}"); 11] }), "ValidationException"),
        (json!({ "Entries": [big] }), "ValidationException"),
        (json!({ "Entries": "many" }), "SerializationException"),
        (json!({ "Entries": [{ "Source": 5 }] }), "SerializationException"),
    ];
    for (request, exception) in cases {
        let answer = local.call("AWSEvents.PutEvents", &request).await;
        assert_eq!((answer.status, &answer.json()["__type"]), (400, &json!(exception)));
    }
    // To the byte: Source, DetailType and Detail count, and Time for 14.
    let detail = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8));
    let room = 1024 * 1024 - "appMade".len() - 14;
    for (bytes, status) in [(room, 200), (room + 1, 400)] {
        let mut entry = entry(&detail(bytes));
        entry["Time"] = json!(0);
        let answer = local.call("AWSEvents.PutEvents", &json!({ "Entries": [entry] })).await;
        assert_eq!(answer.status, status, "{bytes}");
    }
    local.stop().await;
}

#[tokio::test]
async fn a_pattern_is_tested_against_an_event() {
    let local = Local::start().await;
    let event = json!({
        "id": "1", "account": "1", "source": "app", "time": "2023-11-14T22:13:20Z",
        "region": "us-east-1", "resources": [], "detail-type": "Made", "detail": {},
    });
    let verdict = async |pattern: &str, event: &str| {
        let request = json!({ "EventPattern": pattern, "Event": event });
        let answer = local.call("AWSEvents.TestEventPattern", &request).await;
        (answer.status, answer.json())
    };
    let text = event.to_string();
    assert_eq!(verdict(r#"{"source": ["app"]}"#, &text).await, (200, json!({ "Result": true })));
    assert_eq!(verdict(r#"{"source": ["b"]}"#, &text).await, (200, json!({ "Result": false })));
    let (status, refused) = verdict(r#"{"source": "app"}"#, &text).await;
    assert_eq!((status, &refused["__type"]), (400, &json!("InvalidEventPatternException")));
    assert!(
        refused["message"].as_str().unwrap().starts_with("Event pattern is not valid. Reason: ")
    );
    for field in ["id", "account", "source", "time", "region", "detail-type"] {
        let mut event = event.clone();
        event.as_object_mut().unwrap().remove(field);
        let (status, refused) = verdict(r#"{"source": ["app"]}"#, &event.to_string()).await;
        assert_eq!((status, &refused["__type"]), (400, &json!("ValidationException")));
        let message =
            format!("Parameter Event is not valid. Reason: the field {field} is missing.");
        assert_eq!(refused["message"], message);
    }
    assert_eq!(verdict(r#"{"source": ["app"]}"#, "no").await.0, 400);
    local.stop().await;
}

#[tokio::test]
async fn an_event_reaches_a_real_function() {
    let local = Local::start().await;
    let mut ended = local.functions.ended();
    subscribe(&local, &[("default", "f", json!({ "source": ["app"] }))]);
    local.functions.deploy("f", support::function(&[], Duration::from_secs(30))).unwrap();
    put(&local, json!([entry("{}")])).await;
    assert_eq!(support::receive(&mut ended).await.error, None);
    local.stop().await;
}

#[tokio::test]
async fn an_event_that_nobody_subscribed_to_is_told_to_whoever_listens() {
    let local = Local::start().await;
    subscribe(&local, &[("default", "f", json!({ "source": ["app"] }))]);
    put(&local, json!([entry_but(&json!({ "Source": "before" }))])).await;
    let mut unmatched = local.event_bridge.unmatched();
    // What runs tell of themselves is not told again.
    let of_run = entry_but(&json!({ "Source": "taskferry" }));
    let other = entry_but(&json!({ "Source": "other" }));
    let entries = json!([entry("{}"), other, { "Source": "bad" }, of_run]);
    let answer = put(&local, entries).await;
    let told = unmatched.try_recv().unwrap();
    assert_eq!(told.id, answer["Entries"][1]["EventId"]);
    assert_eq!((told.source.as_str(), told.detail_type.as_str()), ("other", "Made"));
    assert_eq!(told.object, None);
    assert!(unmatched.try_recv().is_err());
    local.stop().await;
}
