//! EventBridge's rules by its API: what they lead to, what of them is kept, and what the file's rules keep to themselves.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use serde_json::{Value, json};
use support::Local;
use taskferry_local::{delivery::Destination, eventbridge::Subscription};

const LAMBDA: &str = "arn:aws:lambda:us-east-1:000000000000:function:";

async fn ok(local: &Local, operation: &str, request: Value) -> Value {
    let answer = local.call(&format!("AWSEvents.{operation}"), &request).await;
    assert_eq!(answer.status, 200, "{operation} {request}: {}", answer.json());
    answer.json()
}

/// The exception that an operation is refused with, and its text.
async fn refused(local: &Local, operation: &str, request: Value) -> (String, String) {
    let answer = local.call(&format!("AWSEvents.{operation}"), &request).await;
    assert_eq!(answer.status, 400, "{operation} {request}");
    let answer = answer.json();
    let text = |name: &str| answer[name].as_str().unwrap().to_owned();
    (text("__type"), text("message"))
}

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

async fn put_rule(local: &Local, bus: &str, rule: &str, targets: Value) {
    let pattern = json!({ "source": ["app"] }).to_string();
    let request = json!({ "Name": rule, "EventBusName": bus, "EventPattern": pattern });
    ok(local, "PutRule", request).await;
    let request = json!({ "Rule": rule, "EventBusName": bus, "Targets": targets });
    let answer = ok(local, "PutTargets", request).await;
    assert_eq!(answer, json!({ "FailedEntryCount": 0, "FailedEntries": [] }));
}

async fn send(local: &Local, bus: &str) -> String {
    let entry = json!({
        "Source": "app", "DetailType": "Made", "Detail": "{\"n\": 1.10}", "EventBusName": bus,
    });
    let answer = ok(local, "PutEvents", json!({ "Entries": [entry] })).await;
    answer["Entries"][0]["EventId"].as_str().unwrap().to_owned()
}

fn function(name: &str) -> String {
    format!("{LAMBDA}{name}")
}

#[tokio::test]
async fn a_rule_gives_each_target_what_it_asks_for() {
    let local = Local::start().await;
    let transformer = json!({
        "InputPathsMap": { "n": "$.detail.n" },
        "InputTemplate": "{ \"n\": <n>, \"rule\": \"<aws.events.rule-name>\" }",
    });
    let targets = json!([
        { "Id": "1", "Arn": function("whole") },
        { "Id": "2", "Arn": function("constant"), "Input": "[1, 2]" },
        { "Id": "3", "Arn": function("part"), "InputPath": "$.detail" },
        { "Id": "4", "Arn": function("made"), "InputTransformer": transformer },
        { "Id": "5", "Arn": function("bad"), "InputTransformer": { "InputTemplate": "no JSON" } },
    ]);
    put_rule(&local, "default", "r", targets).await;
    let id = send(&local, "default").await;
    let queued = queued(&local);
    let event: Value = serde_json::from_str(&queued[0].1).unwrap();
    assert_eq!((&event["id"], &event["account"]), (&json!(id), &json!("000000000000")));
    let rest: Vec<_> =
        queued[1..].iter().map(|(name, body)| (name.as_str(), body.as_str())).collect();
    let expected = [
        ("constant", "[1, 2]"),
        ("part", "{\"n\": 1.10}"),
        ("made", "{\"n\":1.10,\"rule\":\"r\"}"),
    ];
    assert_eq!(rest, expected);
    local.stop().await;
}

#[tokio::test]
async fn rules_survive_a_restart_and_can_be_put_out_of_force() {
    let local = Local::start().await;
    put_rule(&local, "default", "r", json!([{ "Id": "1", "Arn": function("f") }])).await;
    ok(&local, "CreateEventBus", json!({ "Name": "orders", "Description": "of orders" })).await;
    put_rule(&local, "orders", "r", json!([{ "Id": "1", "Arn": function("g") }])).await;
    let dir = local.stop().await;

    let local = Local::start_with(dir, |_| {}).await;
    send(&local, "default").await;
    send(&local, "orders").await;
    let names: Vec<_> = queued(&local).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["f", "g"]);
    let rule = ok(&local, "DescribeRule", json!({ "Name": "r", "EventBusName": "orders" })).await;
    assert_eq!(rule["Arn"], "arn:aws:events:us-east-1:000000000000:rule/orders/r");
    assert_eq!((&rule["State"], &rule["CreatedBy"]), (&json!("ENABLED"), &json!("000000000000")));

    ok(&local, "DisableRule", json!({ "Name": "r" })).await;
    send(&local, "default").await;
    assert_eq!(queued(&local).len(), 2);
    ok(&local, "EnableRule", json!({ "Name": "r" })).await;
    send(&local, "default").await;
    assert_eq!(queued(&local).len(), 3);
    let error = refused(&local, "DeleteRule", json!({ "Name": "r" })).await;
    assert_eq!(error.1, "Rule can't be deleted since it has targets.");
    let error = refused(&local, "DeleteEventBus", json!({ "Name": "orders" })).await;
    assert_eq!(error.1, "Event bus orders can't be deleted since it has rules.");
    let removed = ok(&local, "RemoveTargets", json!({ "Rule": "r", "Ids": ["1", "2"] })).await;
    assert_eq!(removed["FailedEntries"][0]["ErrorCode"], "ResourceNotFoundException");
    ok(&local, "DeleteRule", json!({ "Name": "r" })).await;
    ok(&local, "DeleteRule", json!({ "Name": "r" })).await;
    send(&local, "default").await;
    assert_eq!(queued(&local).len(), 3);
    local.stop().await;
}

#[tokio::test]
async fn the_rules_of_the_file_are_shown_and_left_alone() {
    let local = Local::start().await;
    put_rule(&local, "default", "order-f", json!([{ "Id": "1", "Arn": function("own") }])).await;
    local.event_bridge.subscribe(vec![Subscription {
        name: "order-f".to_owned(),
        event_bus: "default".to_owned(),
        event_pattern: r#"{"source":["app"]}"#.parse().unwrap(),
        destination: Destination::Function("f".to_owned()),
    }]);
    let rules = ok(&local, "ListRules", json!({})).await;
    let expected = json!([{
        "Name": "order-f", "Arn": "arn:aws:events:us-east-1:000000000000:rule/order-f",
        "EventBusName": "default", "EventPattern": "{\"source\":[\"app\"]}", "State": "ENABLED",
        "ManagedBy": "taskferry",
    }]);
    assert_eq!(rules["Rules"], expected);
    let targets = ok(&local, "ListTargetsByRule", json!({ "Rule": "order-f" })).await;
    assert_eq!(targets["Targets"], json!([{ "Id": "f", "Arn": function("f") }]));
    let by_target =
        ok(&local, "ListRuleNamesByTarget", json!({ "TargetArn": function("f") })).await;
    assert_eq!(by_target["RuleNames"], json!(["order-f"]));
    let name = json!({ "Name": "order-f", "EventPattern": "{\"source\":[\"b\"]}" });
    let target = json!({ "Rule": "order-f", "Targets": [{ "Id": "1", "Arn": function("g") }] });
    for (operation, request) in [
        ("PutRule", name.clone()),
        ("DeleteRule", name.clone()),
        ("DisableRule", name),
        ("PutTargets", target),
        ("RemoveTargets", json!({ "Rule": "order-f", "Ids": ["f"] })),
    ] {
        let (exception, _) = refused(&local, operation, request).await;
        assert_eq!(exception, "ManagedRuleException", "{operation}");
    }
    send(&local, "default").await;
    let names: Vec<_> = queued(&local).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["f"]);
    local.stop().await;
}

#[tokio::test]
async fn an_event_goes_from_one_bus_to_another_and_not_to_a_third() {
    let local = Local::start().await;
    for bus in ["second", "third"] {
        ok(&local, "CreateEventBus", json!({ "Name": bus })).await;
    }
    let bus = |name: &str| format!("arn:aws:events:us-east-1:000000000000:event-bus/{name}");
    put_rule(&local, "default", "r", json!([{ "Id": "1", "Arn": bus("second") }])).await;
    let targets = json!([{ "Id": "1", "Arn": bus("third") }, { "Id": "2", "Arn": function("f") }]);
    put_rule(&local, "second", "r", targets).await;
    put_rule(&local, "third", "r", json!([{ "Id": "1", "Arn": function("g") }])).await;
    let id = send(&local, "default").await;
    let queued = queued(&local);
    assert_eq!(queued.len(), 1, "{queued:?}");
    let event: Value = serde_json::from_str(&queued[0].1).unwrap();
    assert_eq!((queued[0].0.as_str(), &event["id"]), ("f", &json!(id)));
    local.stop().await;
}

#[tokio::test]
async fn what_breaks_the_rules_of_the_service_is_refused_in_its_words() {
    let local = Local::start().await;
    let pattern = "{\"source\":[\"app\"]}";
    ok(&local, "PutRule", json!({ "Name": "r", "EventPattern": pattern })).await;
    let target =
        |id: &str, arn: &str| json!({ "Rule": "r", "Targets": [{ "Id": id, "Arn": arn }] });
    let fifo = "arn:aws:sqs:us-east-1:000000000000:q.fifo";
    let bad_template = json!({ "Rule": "r", "Targets": [{
        "Id": "t", "Arn": function("f"), "InputTransformer": { "InputTemplate": "\"<x>\"" },
    }] });
    let many: Vec<_> =
        (0..6).map(|n| json!({ "Id": n.to_string(), "Arn": function("f") })).collect();
    let cases = [
        (
            "PutRule",
            json!({ "Name": "a b", "EventPattern": pattern }),
            "ValidationException",
            "1 validation error detected: Value 'a b' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\.\\-_A-Za-z0-9]+",
        ),
        (
            "PutRule",
            json!({ "Name": "a" }),
            "ValidationException",
            "Parameter(s) EventPattern or ScheduleExpression must be specified.",
        ),
        (
            "PutRule",
            json!({ "Name": "a", "EventPattern": pattern, "EventBusName": "no" }),
            "ResourceNotFoundException",
            "Event bus no does not exist.",
        ),
        (
            "DescribeRule",
            json!({ "Name": "a" }),
            "ResourceNotFoundException",
            "Rule a does not exist on EventBus default.",
        ),
        (
            "PutTargets",
            target("a b", &function("f")),
            "ValidationException",
            "1 validation error detected: Value 'a b' at 'targets.1.member.id' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\.\\-_A-Za-z0-9]+",
        ),
        (
            "PutTargets",
            target("t", "nothing"),
            "ValidationException",
            "Parameter nothing is not valid. Reason: Provided Arn is not in correct format.",
        ),
        (
            "PutTargets",
            target("t", fifo),
            "ValidationException",
            "Parameter(s) SqsParameters must be specified for target: t.",
        ),
        (
            "PutTargets",
            bad_template,
            "ValidationException",
            "InputTemplate for target t contains invalid placeholder x.",
        ),
        (
            "PutTargets",
            json!({ "Rule": "r", "Targets": many }),
            "LimitExceededException",
            "The requested resource exceeds the maximum number allowed.",
        ),
        (
            "DeleteEventBus",
            json!({ "Name": "default" }),
            "ValidationException",
            "Cannot delete event bus default.",
        ),
        (
            "DescribeEventBus",
            json!({ "Name": "no" }),
            "ResourceNotFoundException",
            "Event bus no does not exist.",
        ),
        (
            "CreateEventBus",
            json!({ "Name": "default" }),
            "ResourceAlreadyExistsException",
            "Event bus default already exists.",
        ),
    ];
    for (operation, request, exception, message) in cases {
        let error = refused(&local, operation, request).await;
        assert_eq!(error, (exception.to_owned(), message.to_owned()), "{operation}");
    }
    let bad = json!({ "Name": "a", "EventPattern": "{\"source\": \"app\"}" });
    let (exception, message) = refused(&local, "PutRule", bad).await;
    assert_eq!(exception, "InvalidEventPatternException");
    assert!(message.starts_with("Event pattern is not valid. Reason: "), "{message}");
    let targets = ok(&local, "ListTargetsByRule", json!({ "Rule": "r" })).await;
    assert_eq!(targets["Targets"], json!([]), "what is refused leaves nothing");
    local.stop().await;
}

#[tokio::test]
async fn lists_come_in_pages_and_tags_with_what_they_are_of() {
    let local = Local::start().await;
    let pattern = "{\"source\":[\"app\"]}";
    for n in 0..5 {
        ok(&local, "PutRule", json!({ "Name": format!("r-{n}"), "EventPattern": pattern })).await;
    }
    let mut names = Vec::new();
    let mut token = Value::Null;
    loop {
        let mut request = json!({ "Limit": 2, "NamePrefix": "r-" });
        if !token.is_null() {
            request["NextToken"] = token;
        }
        let page = ok(&local, "ListRules", request).await;
        let rules = page["Rules"].as_array().unwrap();
        names.extend(rules.iter().map(|rule| rule["Name"].as_str().unwrap().to_owned()));
        token = page["NextToken"].clone();
        if token.is_null() {
            break;
        }
    }
    assert_eq!(names, ["r-0", "r-1", "r-2", "r-3", "r-4"]);
    let arn = "arn:aws:events:us-east-1:000000000000:rule/r-0";
    let tags = json!([{ "Key": "a", "Value": "1" }, { "Key": "b", "Value": "2" }]);
    ok(&local, "TagResource", json!({ "ResourceARN": arn, "Tags": tags })).await;
    ok(&local, "UntagResource", json!({ "ResourceARN": arn, "TagKeys": ["a"] })).await;
    let tags = ok(&local, "ListTagsForResource", json!({ "ResourceARN": arn })).await;
    assert_eq!(tags, json!({ "Tags": [{ "Key": "b", "Value": "2" }] }));
    ok(&local, "DeleteRule", json!({ "Name": "r-0" })).await;
    let error = refused(&local, "ListTagsForResource", json!({ "ResourceARN": arn })).await;
    assert_eq!(error.1, "Rule r-0 does not exist on EventBus default.");
    local.stop().await;
}

#[tokio::test]
async fn a_scheduled_rule_is_on_the_default_bus_and_of_a_rate_or_cron() {
    let local = Local::start().await;
    for expression in ["rate(5 minutes)", "cron(0 3 * * ? *)"] {
        let rule = json!({ "Name": "r", "ScheduleExpression": expression });
        ok(&local, "PutRule", rule).await;
        let shown = ok(&local, "DescribeRule", json!({ "Name": "r" })).await;
        assert_eq!(shown["ScheduleExpression"], expression);
    }
    let bad = [
        "cron(INVALID)",
        "cron(0 1 * * * *)",
        "rate(1 minutes)",
        "rate(2 day)",
        "at(2030-01-01T00:00:00)",
        "5m",
        "rate(10 MINUTES)",
        " rate(1 day)",
        "rate(0 days)",
        "@daily",
    ];
    for expression in bad {
        let rule = json!({ "Name": "r", "ScheduleExpression": expression });
        let error = refused(&local, "PutRule", rule).await;
        assert_eq!(error.1, "Parameter ScheduleExpression is not valid.", "{expression}");
    }
    ok(&local, "CreateEventBus", json!({ "Name": "b" })).await;
    let rule = json!({ "Name": "r", "ScheduleExpression": "rate(1 day)", "EventBusName": "b" });
    let error = refused(&local, "PutRule", rule).await;
    assert_eq!(error.1, "ScheduleExpression is supported only on the default event bus.");
    local.stop().await;
}

/// <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html>: of both AWS raises the quota, of targets it does not.
#[tokio::test]
async fn a_quota_that_aws_raises_is_not_kept() {
    let local = Local::start().await;
    for n in 0..=100 {
        ok(&local, "CreateEventBus", json!({ "Name": format!("bus-{n}") })).await;
    }
    let pattern = json!({ "source": ["app"] }).to_string();
    for n in 0..=300 {
        let rule = json!({ "Name": format!("rule-{n}"), "EventPattern": pattern });
        ok(&local, "PutRule", rule).await;
    }
    let targets = |count: usize| -> Value {
        (0..count).map(|n| json!({ "Id": n.to_string(), "Arn": function("f") })).collect()
    };
    let request = |count| json!({ "Rule": "rule-300", "Targets": targets(count) });
    ok(&local, "PutTargets", request(5)).await;
    assert_eq!(refused(&local, "PutTargets", request(6)).await.0, "LimitExceededException");
    local.stop().await;
}
