//! The records in DynamoDB, against a listener that answers as it is told: what no emulator does.
//!
//! Answers that are lost, transactions that meet, throttles, keys that a batch leaves out. What works when nothing breaks,
//! the contracts hold (tests/contracts).

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, and says where")]

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use taskferry_aws::{Clients, DynamoRuns, runs};
use taskferry_core::{
    event::Event,
    limits::LimitId,
    run::{Run, RunId},
};
use taskferry_engine::ports::{Created, Error, Runs as _, Updated};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// What the listener does with a request.
enum Answer {
    Body(Value),
    Exception(&'static str, Value),
    Status(u16),
    /// It acts, and its answer is lost.
    Lost,
}

/// A request: the operation and its body.
type Request = (String, Value);

/// Records at a listener that answers by `answer`, which is told how many requests there were before.
async fn store(
    answer: impl Fn(usize, &Request) -> Answer + Send + 'static,
) -> (DynamoRuns, Arc<Mutex<Vec<Request>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let heard = Arc::<Mutex<Vec<Request>>>::default();
    let ears = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let request = read(&mut stream).await;
            let before = ears.lock().unwrap().len();
            let answer = answer(before, &request);
            ears.lock().unwrap().push(request);
            let (status, body) = match answer {
                Answer::Body(body) => (200, body),
                Answer::Exception(name, mut body) => {
                    body["__type"] = json!(format!("com.amazonaws.dynamodb.v20120810#{name}"));
                    body["message"] = json!("m");
                    (400, body)
                }
                Answer::Status(status) => (status, json!({})),
                Answer::Lost => continue,
            };
            let body = body.to_string();
            let answer = format!(
                "HTTP/1.1 {status} -\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (Clients::of_endpoint(&endpoint).await.runs("t"), heard)
}

async fn read(stream: &mut TcpStream) -> Request {
    let mut bytes = Vec::new();
    loop {
        stream.read_buf(&mut bytes).await.unwrap();
        let text = String::from_utf8(bytes.clone()).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let line = |name| head.lines().find_map(|line: &str| line.strip_prefix(name));
        if body.len() >= line("content-length: ").unwrap().parse().unwrap() {
            let target = line("x-amz-target: DynamoDB_20120810.").unwrap();
            return (target.to_owned(), serde_json::from_str(body).unwrap());
        }
    }
}

fn operations(heard: &Mutex<Vec<Request>>) -> Vec<String> {
    heard.lock().unwrap().iter().map(|(operation, _)| operation.clone()).collect()
}

fn event() -> Event {
    Event::parse(
        r#"{"id":"e","source":"shop","detail-type":"Order","time":"2026-01-01T00:00:00Z","detail":{}}"#,
    )
    .unwrap()
}

/// A run with so many limits, `l0` and so on, that waits for the first.
fn run(limits: usize) -> Run {
    let slots = (0..limits).map(
        |limit| json!({ "limit": { "name": format!("l{limit}") }, "of": 2, "overlap": "queue" }),
    );
    let slots: Vec<Value> = slots.collect();
    serde_json::from_value(json!({
        "id": RunId::new("shop", "order", "k"), "rule": "order", "dedupeKey": "k", "revision": 0,
        "status": if limits == 0 { "launching" } else { "waiting" }, "slots": slots,
        "queue": slots.first().map(|slot| slot["limit"].clone()),
        "event": { "id": "e", "source": "shop", "detailType": "Order", "time": "" },
        "createdAt": "2026-01-01T00:00:00Z", "dueAt": (limits == 0).then_some("2026-01-01T00:05:00Z"),
        "essential": ["app"], "attempts": [],
    }))
    .unwrap()
}

/// The run, out of its queue and launching.
fn launching(run: &Run) -> Run {
    let mut next = run.clone();
    next.status = taskferry_core::run::Status::Launching;
    next.queue = None;
    next.revision += 1;
    next
}

/// The run, ended so many days after it was made.
fn ended(run: &Run, days: i64) -> Run {
    let mut next = launching(run);
    next.status = taskferry_core::run::Status::Succeeded;
    next.due_at = None;
    next.ended_at = Some(run.created_at + jiff::SignedDuration::from_hours(24 * days));
    next
}

/// A record as it stands in the table.
fn item(run: &Run, write: &Value) -> Value {
    let id = run.id.as_str();
    json!({
        "pk": { "S": format!("run#{}", &id[..2]) }, "sk": { "S": id }, "write": write,
        "run": { "S": serde_json::to_string(run).unwrap() },
    })
}

fn failed(item: &Value) -> Answer {
    Answer::Exception("ConditionalCheckFailedException", json!({ "Item": item }))
}

fn cancelled(reasons: &[&str], item: &Value) -> Answer {
    let reasons = reasons.iter().map(|code| match *code {
        "ConditionalCheckFailed" => json!({ "Code": code, "Message": "m", "Item": item }),
        code => json!({ "Code": code, "Message": "m" }),
    });
    let reasons: Vec<Value> = reasons.collect();
    Answer::Exception("TransactionCanceledException", json!({ "CancellationReasons": reasons }))
}

#[tokio::test]
async fn a_run_without_limits_is_made_by_one_call_and_moved_by_one() {
    let (runs, heard) = store(|_, _| Answer::Body(json!({}))).await;
    let run = run(0);
    assert_eq!(runs.create(&run, &event()).await.unwrap(), Created::New);
    assert_eq!(runs.update(&run, &ended(&run, 1)).await.unwrap(), Updated::Done);
    assert_eq!(operations(&heard), ["PutItem", "UpdateItem"]);
    let heard = heard.lock().unwrap();
    let put = &heard[0].1;
    assert_eq!(put["ConditionExpression"], "attribute_not_exists(#pk)");
    assert_eq!(put["Item"]["dueAt"]["S"], "2026-01-01T00:05:00.000000000Z");
    assert_eq!(put["Item"]["event"]["S"], event().text());
    let update = &heard[1].1;
    assert_eq!(update["ConditionExpression"], "#revision = :is");
    assert_eq!(update["ExpressionAttributeValues"][":is"]["N"], "0");
    let expression = update["UpdateExpression"].as_str().unwrap();
    assert!(expression.contains("REMOVE #due, #dueAt, #dead"), "{expression}");
}

#[tokio::test]
async fn what_has_ended_may_be_deleted_thirty_days_later() {
    let (runs, heard) = store(|_, _| Answer::Body(json!({}))).await;
    let run = run(0);
    runs.create(&run, &event()).await.unwrap();
    runs.update(&run, &ended(&run, 1)).await.unwrap();
    let runs = runs.with_retention(jiff::SignedDuration::from_hours(24));
    runs.update(&run, &ended(&run, 1)).await.unwrap();
    let mut telling = ended(&run, 1);
    telling.due_at = Some(telling.created_at);
    runs.update(&run, &telling).await.unwrap();
    let heard = heard.lock().unwrap();
    assert_eq!(heard[0].1["Item"].get("expiresAt"), None, "while it is under way it is kept");
    let expiry = |index: usize| {
        let second: i64 = heard[index].1["ExpressionAttributeValues"][":expiresAt"]["N"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        jiff::Timestamp::from_second(second).unwrap().to_string()
    };
    assert_eq!([expiry(1), expiry(2)], ["2026-02-01T00:00:00Z", "2026-01-03T00:00:00Z"]);
    let expression = heard[3].1["UpdateExpression"].as_str().unwrap();
    assert!(
        expression.contains("REMOVE #dead, #expiresAt"),
        "something is left to do: {expression}"
    );
}

#[tokio::test]
async fn an_event_that_was_put_aside_outlives_a_run_that_took_long() {
    let (runs, heard) = store(|_, (operation, _)| {
        Answer::Body(match operation.as_str() {
            "GetItem" => json!({ "Item": { "eventAside": { "S": "w" } } }),
            "Query" => json!({ "Items": [{ "pk": { "S": "event#00" }, "sk": { "S": "k" } }] }),
            _ => json!({}),
        })
    })
    .await;
    let run = run(0);
    assert_eq!(runs.update(&run, &ended(&run, 31)).await.unwrap(), Updated::Done);
    assert_eq!(operations(&heard), ["GetItem", "Query", "UpdateItem", "UpdateItem"]);
    assert_eq!(heard.lock().unwrap()[2].1["Key"]["pk"]["S"], "event#00");
}

#[tokio::test]
async fn a_run_whose_first_answer_was_lost_is_new() {
    let first = run(0);
    let stands = first.clone();
    let (runs, heard) = store(move |before, (_, body)| match before {
        0 => Answer::Lost,
        _ => failed(&item(&stands, &body["Item"]["write"])),
    })
    .await;
    assert_eq!(runs.create(&first, &event()).await.unwrap(), Created::New);
    assert_eq!(heard.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_run_of_another_write_is_there_already() {
    let first = run(0);
    let stands = first.clone();
    let (runs, _) = store(move |_, _| failed(&item(&stands, &json!({ "S": "another" })))).await;
    let created = runs.create(&first, &event()).await.unwrap();
    assert_eq!(created, Created::Exists(Box::new(first)));
}

#[tokio::test]
async fn an_update_whose_first_answer_was_lost_is_done() {
    let first = run(0);
    let stands = first.clone();
    let (runs, heard) = store(move |before, (_, body)| match before {
        0 => Answer::Lost,
        _ => failed(&item(&stands, &body["ExpressionAttributeValues"][":write"])),
    })
    .await;
    assert_eq!(runs.update(&first, &launching(&first)).await.unwrap(), Updated::Done);
    assert_eq!(heard.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn an_update_upon_what_another_wrote_is_a_conflict() {
    let first = run(0);
    let stands = first.clone();
    let (runs, _) = store(move |before, _| match before {
        0 => failed(&item(&stands, &json!({ "S": "another" }))),
        // The record is gone.
        _ => Answer::Exception("ConditionalCheckFailedException", json!({})),
    })
    .await;
    for _ in 0..2 {
        let updated = runs.update(&first, &launching(&first)).await.unwrap();
        assert_eq!(updated, Updated::Conflict);
    }
}

#[tokio::test]
async fn a_transaction_that_met_another_is_made_again_under_the_same_token() {
    let first = run(1);
    let (runs, heard) = store(|before, _| match before {
        0 => cancelled(&["None", "TransactionConflict", "None"], &json!({})),
        1 => cancelled(&["ThrottlingError", "None", "None"], &json!({})),
        2 => Answer::Exception("TransactionInProgressException", json!({})),
        _ => Answer::Body(json!({})),
    })
    .await;
    assert_eq!(runs.update(&first, &launching(&first)).await.unwrap(), Updated::Done);
    let heard = heard.lock().unwrap();
    assert_eq!(heard.len(), 4);
    assert!(heard.iter().all(|request| *request == heard[0]), "the same, byte for byte");
    assert!(heard[0].1["ClientRequestToken"].is_string());
}

#[tokio::test]
async fn a_transaction_that_meets_others_for_ever_is_unavailable() {
    let first = run(1);
    let (runs, heard) =
        store(|_, _| cancelled(&["TransactionConflict", "None", "None"], &json!({}))).await;
    let error = runs.update(&first, &launching(&first)).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    assert_eq!(heard.lock().unwrap().len(), 7);
}

#[tokio::test]
async fn a_transaction_whose_answer_was_lost_is_done() {
    let first = run(1);
    let stands = first.clone();
    let (runs, _) = store(move |before, (_, body)| {
        if before == 0 {
            return Answer::Lost;
        }
        let values = &body["TransactItems"][0]["Update"]["ExpressionAttributeValues"];
        let stands = item(&stands, &values[":write"]);
        cancelled(&["ConditionalCheckFailed", "ConditionalCheckFailed", "None"], &stands)
    })
    .await;
    assert_eq!(runs.update(&first, &launching(&first)).await.unwrap(), Updated::Done);
}

#[tokio::test]
async fn the_limit_that_has_no_slot_is_named() {
    let first = run(2);
    let (runs, heard) = store(|before, _| match before {
        0 => cancelled(&["None", "None", "ConditionalCheckFailed", "None"], &json!({})),
        // Of two reasons, what stands there goes first.
        _ => cancelled(&["ConditionalCheckFailed", "ConditionalCheckFailed", "None"], &json!({})),
    })
    .await;
    let full = runs.update(&first, &launching(&first)).await.unwrap();
    assert_eq!(full, Updated::Full(LimitId { name: "l1".to_owned(), key: String::new() }));
    assert_eq!(runs.update(&first, &launching(&first)).await.unwrap(), Updated::Conflict);
    let heard = heard.lock().unwrap();
    let items = heard[0].1["TransactItems"].as_array().unwrap();
    assert_eq!(items.len(), 4, "the run, two slots and a place in a queue: {items:?}");
    assert_eq!(items[2]["Update"]["Key"]["pk"]["S"], "limit#l1#");
    assert_eq!(items[3]["Delete"]["Key"]["pk"]["S"], "limit#l0#");
}

#[tokio::test]
async fn a_transaction_that_is_too_large_is_refused() {
    let first = run(1);
    let (runs, heard) =
        store(|_, _| cancelled(&["ValidationError", "None", "None"], &json!({}))).await;
    let error = runs.update(&first, &launching(&first)).await.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error:?}");
    assert_eq!(heard.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_throttled_call_is_made_again() {
    let first = run(0);
    let (runs, _) = store(|before, _| match before {
        0 => Answer::Exception("ProvisionedThroughputExceededException", json!({})),
        1 => Answer::Exception("TransactionConflictException", json!({})),
        _ => Answer::Body(json!({})),
    })
    .await;
    assert_eq!(runs.create(&first, &event()).await.unwrap(), Created::New);
}

#[tokio::test]
async fn keys_that_a_batch_leaves_out_are_asked_for_again() {
    let (one, other) = (RunId::new("shop", "order", "1"), RunId::new("shop", "order", "2"));
    let key = |id: &RunId| json!({ "pk": { "S": format!("run#{}", &id.as_str()[..2]) }, "sk": { "S": id.as_str() } });
    let queued = |id: &RunId| json!({ "pk": { "S": "limit#l0#" }, "sk": { "S": format!("queue#2026-01-01T00:00:00.000000000Z#{id}") } });
    let record = |id: &RunId| {
        let mut waits = run(1);
        waits.id = id.clone();
        item(&waits, &json!({ "S": "w" }))
    };
    let queue = json!({ "Items": [queued(&one), queued(&other)] });
    let (first, second) = (record(&one), record(&other));
    let left = json!({ "t": { "Keys": [key(&other)] } });
    let (runs, heard) = store(move |before, _| {
        Answer::Body(match before {
            0 => queue.clone(),
            // A batch that gets nowhere is made again too.
            1 => json!({ "Responses": { "t": [first] }, "UnprocessedKeys": left }),
            2 => json!({ "Responses": { "t": [] }, "UnprocessedKeys": left }),
            _ => json!({ "Responses": { "t": [second] }, "UnprocessedKeys": {} }),
        })
    })
    .await;
    let limit = LimitId { name: "l0".to_owned(), key: String::new() };
    let state = runs.limit(&limit, 10).await.unwrap();
    let ids: Vec<_> = state.queue.into_iter().map(|run| run.id).collect();
    assert_eq!(ids, [one, other]);
    assert_eq!(operations(&heard), ["Query", "BatchGetItem", "BatchGetItem", "BatchGetItem"]);
}

#[tokio::test]
async fn a_batch_that_never_gets_anywhere_is_unavailable() {
    let id = RunId::new("shop", "order", "1");
    let queued = json!({ "Items": [{ "pk": { "S": "limit#l0#" }, "sk": { "S": format!("queue#2026-01-01T00:00:00.000000000Z#{id}") } }] });
    let (runs, _) = store(move |_, (operation, body)| {
        Answer::Body(match operation.as_str() {
            "Query" => queued.clone(),
            _ => json!({ "Responses": {}, "UnprocessedKeys": body["RequestItems"] }),
        })
    })
    .await;
    let limit = LimitId { name: "l0".to_owned(), key: String::new() };
    let error = runs.limit(&limit, 10).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn what_is_not_allowed_is_refused_and_what_fails_is_unavailable() {
    let first = run(0);
    for name in ["AccessDeniedException", "ResourceNotFoundException", "ValidationException"] {
        let (runs, heard) = store(move |_, _| Answer::Exception(name, json!({}))).await;
        let error = runs.get(&first.id).await.unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{error:?}");
        assert_eq!(heard.lock().unwrap().len(), 1, "{name}");
    }
    let (runs, _) = store(|_, _| Answer::Status(500)).await;
    let error = runs.get(&first.id).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_refused() {
    let first = run(0);
    for item in [json!({ "run": { "S": "{}" } }), json!({ "revision": { "N": "1" } })] {
        let (runs, _) = store(move |_, _| Answer::Body(json!({ "Item": item }))).await;
        let error = runs.get(&first.id).await.unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_record_that_cannot_be_read_does_not_keep_the_others_from_the_sweep() {
    let good = run(0);
    let bad = RunId::new("shop", "order", "bad");
    let bad = json!({
        "pk": { "S": format!("run#{}", &bad.as_str()[..2]) }, "sk": { "S": bad.as_str() },
        "run": { "S": r#"{"ofTomorrow":1}"# },
    });
    let due_at = json!({ "S": "2026-01-01T00:05:00.000000000Z" });
    let dated = |mut item: Value| {
        item["due"] = json!({ "S": "0" });
        item["dueAt"] = due_at.clone();
        item
    };
    let items = [dated(bad), dated(item(&good, &json!({ "S": "w" })))];
    let (runs, _) = store(move |_, (operation, body)| {
        Answer::Body(match operation.as_str() {
            "Query" if body["ExpressionAttributeValues"][":due"]["S"] == "0" => {
                json!({ "Items": items })
            }
            "Query" => json!({ "Items": [] }),
            _ => json!({ "Responses": { "t": items } }),
        })
    })
    .await;
    let due = runs.due("2026-01-01T01:00:00Z".parse().unwrap(), 10).await.unwrap();
    assert_eq!(due.runs, [good]);
}

#[tokio::test]
async fn the_table_is_made_as_its_data_say() {
    let (runs, heard) = store(|_, (operation, _)| {
        Answer::Body(match operation.as_str() {
            "DescribeTable" => json!({ "Table": { "TableStatus": "ACTIVE" } }),
            _ => json!({}),
        })
    })
    .await;
    runs.create_table().await.unwrap();
    let heard = heard.lock().unwrap();
    let mut expected = runs::table();
    let expiry = expected.as_object_mut().unwrap().remove("TimeToLiveSpecification").unwrap();
    expected["TableName"] = json!("t");
    assert_eq!(heard[0], ("CreateTable".to_owned(), expected));
    assert_eq!(heard[2].0, "UpdateTimeToLive");
    assert_eq!(heard[2].1["TimeToLiveSpecification"], expiry);
}
