//! A Lambda function for the tests of `lambda`: it does what its event says, on the real `lambda_runtime`.
//!
//! What it is to do wrong before it starts stands in the variable `INIT`.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::TcpStream,
};

use lambda_runtime::{Diagnostic, Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    match std::env::var("INIT").as_deref() {
        Ok("exit") => std::process::exit(7),
        Ok("hang") => std::future::pending().await,
        Ok("report") => report_init_error(),
        _ => {}
    }
    lambda_runtime::run(service_fn(answer)).await
}

/// An error of the type that the event names, if it names one.
async fn answer(event: LambdaEvent<Value>) -> Result<Value, Diagnostic> {
    let error_type = event.payload["errorType"].as_str().map(str::to_owned);
    perform(event).await.map_err(|error| {
        let diagnostic = Diagnostic::from(error);
        Diagnostic { error_type: error_type.unwrap_or(diagnostic.error_type), ..diagnostic }
    })
}

async fn perform(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let (event, context) = event.into_parts();
    if let Some(records) = event["Records"].as_array() {
        return perform_batch(&event, records);
    }
    match event["do"].as_str() {
        Some("error") => Err("it was told to".into()),
        Some("panic") => panic!("it was told to panic"),
        Some("exit") => std::process::exit(3),
        Some("hang") => std::future::pending().await,
        Some("environment") => Ok(json!(std::env::vars().collect::<BTreeMap<_, _>>())),
        Some("context") => Ok(json!({
            "pid": std::process::id(),
            "requestId": context.request_id,
            "arn": context.invoked_function_arn,
            "remaining": context.deadline().duration_since(std::time::SystemTime::now())?.as_secs(),
        })),
        Some("grow") => {
            Ok(Value::String("x".repeat(usize::try_from(event["bytes"].as_u64().unwrap_or(0))?)))
        }
        Some("print") => {
            let text = event["text"].as_str().unwrap_or_default();
            let mut stdout = std::io::stdout();
            for _ in 0..event["times"].as_u64().unwrap_or(1) {
                stdout.write_all(text.as_bytes())?;
            }
            stdout.write_all(&[0xff, b'\n'])?;
            writeln!(std::io::stderr(), "to stderr")?;
            Ok(Value::Null)
        }
        // Fails until it has been called often enough.
        Some("fail") => {
            let path = event["path"].as_str().unwrap_or_default();
            let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
            writeln!(file, "{}", context.request_id)?;
            let calls = std::fs::read_to_string(path)?.lines().count() as u64;
            if calls <= event["times"].as_u64().unwrap_or(0) {
                return Err("not yet".into());
            }
            Ok(json!(calls))
        }
        // Says that it is there, and waits to be told to go on.
        Some("meet") => {
            let mut stream = TcpStream::connect(event["address"].as_str().unwrap_or_default())?;
            writeln!(stream, "{}", std::process::id())?;
            stream.read_to_end(&mut Vec::new())?;
            Ok(Value::Null)
        }
        _ => Ok(event),
    }
}

/// A batch of messages: writes down what it is given, and names from the first that is `bad` those that are not done.
fn perform_batch(event: &Value, records: &[Value]) -> Result<Value, Error> {
    if let Ok(path) = std::env::var("EVENT") {
        std::fs::write(path, event.to_string())?;
    }
    let bodies: Vec<&str> = records.iter().filter_map(|it| it["body"].as_str()).collect();
    if let Ok(path) = std::env::var("SEEN") {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
        file.write_all(format!("{}\n", json!(bodies)).as_bytes())?;
    }
    if bodies.contains(&"error") {
        return Err("it was told to".into());
    }
    if let Ok(answer) = std::env::var("ANSWER") {
        return Ok(serde_json::from_str(&answer)?);
    }
    let is_ordered = records.iter().any(|it| it["attributes"]["SequenceNumber"].is_string());
    let bad = bodies.iter().position(|body| *body == "bad").unwrap_or(bodies.len());
    let failed = records
        .iter()
        .enumerate()
        .filter(|(at, record)| if is_ordered { *at >= bad } else { record["body"] == "bad" });
    let failed = failed.map(|(_, record)| json!({ "itemIdentifier": record["messageId"] }));
    Ok(json!({ "batchItemFailures": failed.collect::<Vec<_>>() }))
}

fn report_init_error() {
    let api = std::env::var("AWS_LAMBDA_RUNTIME_API").unwrap_or_default();
    let api = api.trim_start_matches("http://");
    let (address, path) = api.split_once('/').unwrap_or((api, ""));
    let body = r#"{"errorType":"Test.NoConfiguration","errorMessage":"no configuration"}"#;
    let mut stream = TcpStream::connect(address).expect("the server listens");
    write!(
        stream,
        "POST /{path}/2018-06-01/runtime/init/error HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("the server reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the server answers");
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    std::process::exit(1);
}
