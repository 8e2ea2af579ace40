//! A meter in front of a DynamoDB that is not ours: what each call consumes, added up.
//!
//! Writes are as the server tells them: it knows each item before and after, and the indexes. Of reads it tells the least
//! that one can cost, so those are counted here, by the sizes of what a call looks at: the same call is made once more
//! without projection and filter, which cost what they leave out.
//!
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html>

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// What calls have consumed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Consumed {
    /// How many calls there were.
    pub(crate) calls: u32,
    /// Write units, those of indexes included.
    pub(crate) written: f64,
    /// Read units.
    pub(crate) read: f64,
}

/// A server between the store and DynamoDB.
pub(crate) struct Meter {
    /// Where it is.
    pub(crate) endpoint: String,
    consumed: Arc<Mutex<Consumed>>,
    is_broken: Arc<AtomicBool>,
}

impl Meter {
    /// A meter in front of the server at `upstream`, `http://HOST:PORT`.
    pub(crate) async fn before(upstream: &str) -> Self {
        let upstream = upstream.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let consumed = Arc::<Mutex<Consumed>>::default();
        let total = Arc::clone(&consumed);
        let is_broken = Arc::<AtomicBool>::default();
        let broken = Arc::clone(&is_broken);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if broken.load(Ordering::Relaxed) {
                    continue;
                }
                tokio::spawn(pass_on(stream, upstream.clone(), Arc::clone(&total)));
            }
        });
        Self { endpoint, consumed, is_broken }
    }

    /// Whether it hangs up on whoever calls from now on.
    pub(crate) fn break_down(&self, is_broken: bool) {
        self.is_broken.store(is_broken, Ordering::Relaxed);
    }

    /// What was consumed since it was last asked.
    pub(crate) fn take(&self) -> Consumed {
        std::mem::take(&mut self.consumed.lock().unwrap())
    }
}

async fn pass_on(mut client: TcpStream, upstream: String, total: Arc<Mutex<Consumed>>) {
    let Some((head, body)) = read(&mut client).await else { return };
    let mut asked: Value = serde_json::from_slice(&body).unwrap();
    let target = header(&head, "x-amz-target").unwrap();
    let (service, operation) = target.split_once('.').unwrap();
    let is_metered = service.starts_with("DynamoDB")
        && ["Item", "Query"].iter().any(|kind| operation.contains(kind));
    if !service.starts_with("DynamoDB") {
        // Of another service the calls alone are counted.
        total.lock().unwrap().calls += 1;
    }
    if is_metered {
        asked["ReturnConsumedCapacity"] = json!("TOTAL");
    }
    let authorization = header(&head, "authorization").unwrap_or_default().to_owned();
    let (head, body) = call(&upstream, target, &authorization, &asked).await;
    if is_metered {
        let answer: Value = serde_json::from_slice(&body).unwrap();
        let is_read = ["GetItem", "BatchGetItem", "Query"].contains(&operation);
        let units = if is_read {
            let (_, all) = call(&upstream, target, &authorization, &unfiltered(&asked)).await;
            read_units(operation, &asked, &serde_json::from_slice(&all).unwrap())
        } else {
            match &answer["ConsumedCapacity"] {
                Value::Array(tables) => tables.iter().map(units).sum(),
                table => units(table),
            }
        };
        let mut total = total.lock().unwrap();
        total.calls += 1;
        *(if is_read { &mut total.read } else { &mut total.written }) += units;
    }
    let status = head.split_whitespace().nth(1).unwrap();
    let answer = format!(
        "HTTP/1.1 {status} -\r\nconnection: close\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    client.write_all(answer.as_bytes()).await.unwrap();
    client.write_all(&body).await.unwrap();
}

/// Makes the call upstream; head and body of the answer.
async fn call(
    upstream: &str,
    target: &str,
    authorization: &str,
    asked: &Value,
) -> (String, Vec<u8>) {
    let body = asked.to_string();
    let mut server = TcpStream::connect(upstream).await.unwrap();
    let request = format!(
        "POST / HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\nx-amz-target: {target}\r\n\
         authorization: {authorization}\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    server.write_all(request.as_bytes()).await.unwrap();
    read(&mut server).await.unwrap()
}

/// The same read without projection and filter.
fn unfiltered(asked: &Value) -> Value {
    let mut asked = asked.clone();
    let reads = match asked["RequestItems"].as_object_mut() {
        Some(tables) => tables.values_mut().collect(),
        None => vec![&mut asked],
    };
    for read in reads {
        let read = read.as_object_mut().unwrap();
        read.remove("ProjectionExpression");
        read.remove("FilterExpression");
        let condition =
            read.get("KeyConditionExpression").and_then(Value::as_str).unwrap_or_default();
        let words: Vec<String> = condition
            .split(|it: char| !it.is_alphanumeric() && !"#:".contains(it))
            .map(str::to_owned)
            .collect();
        for placeholders in ["ExpressionAttributeNames", "ExpressionAttributeValues"] {
            let Some(Value::Object(map)) = read.get_mut(placeholders) else { continue };
            map.retain(|name, _| words.contains(name));
            if map.is_empty() {
                read.remove(placeholders);
            }
        }
    }
    asked
}

/// What a read costs that looks at these items.
fn read_units(operation: &str, asked: &Value, all: &Value) -> f64 {
    let blocks = |bytes: usize| f64::from(u32::try_from(bytes.div_ceil(4096).max(1)).unwrap());
    let weight = |asked: &Value| if asked["ConsistentRead"] == true { 1.0 } else { 0.5 };
    let items = |list: &Value| list.as_array().cloned().unwrap_or_default();
    match operation {
        "GetItem" => weight(asked) * blocks(size(&all["Item"])),
        "Query" => weight(asked) * blocks(items(&all["Items"]).iter().map(size).sum()),
        _ => {
            let tables = asked["RequestItems"].as_object().unwrap();
            tables
                .iter()
                .map(|(table, asked)| {
                    let found = items(&all["Responses"][table]);
                    let missing = items(&asked["Keys"]).len() - found.len();
                    let missing = f64::from(u32::try_from(missing).unwrap());
                    let found: f64 = found.iter().map(|item| blocks(size(item))).sum();
                    weight(asked) * (found + missing)
                })
                .sum()
        }
    }
}

/// How long an item is: names and values, of the kinds that the store writes.
fn size(item: &Value) -> usize {
    let Some(item) = item.as_object() else { return 0 };
    let sizes = item.iter().map(|(name, value)| {
        let texts = value["SS"].as_array().into_iter().flatten().chain([&value["S"]]);
        let texts: usize = texts.filter_map(Value::as_str).map(str::len).sum();
        let number = value["N"].as_str().map_or(0, |number| number.len().div_ceil(2) + 1);
        name.len() + texts + number
    });
    sizes.sum()
}

fn units(table: &Value) -> f64 {
    table["CapacityUnits"].as_f64().unwrap_or_default()
}

/// The head and the body of a message.
async fn read(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await.unwrap() == 0 {
            return None;
        }
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let length = header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        if bytes.len() >= end + 4 + length {
            return Some((head, bytes.split_off(end + 4)));
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.into_iter().find(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}
