//! The one port: which request reaches which service, and what bad clients are told. Also the state directory.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::net::SocketAddr;

use serde_json::json;
use support::{Local, TempDir, soon};
use taskferry_local::{
    db,
    server::{Error, Server},
    state::{self, State},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

#[tokio::test]
async fn a_request_reaches_its_service() {
    let local = Local::start().await;
    let ecs = local.call("AmazonEC2ContainerServiceV20141113.RunTask", &json!({ "a": 1 })).await;
    let expected = json!({ "service": "ecs", "operation": "RunTask", "request": { "a": 1 } });
    assert_eq!((ecs.status, ecs.json()), (200, expected));
    assert_eq!(ecs.header("content-type"), Some("application/x-amz-json-1.1"));
    for (method, path, service) in [
        ("GET", "/_ecs/v4/1/task", "metadata"),
        ("GET", "/", "s3"),
        ("PUT", "/bucket/a%2Bb?partNumber=1", "s3"),
        ("POST", "/2015-03-31/functions/f", "s3"),
        ("GET", "/2015-03-31/functions/f/invocations", "s3"),
    ] {
        let answer = local.http(method, path, &[], b"abc").await;
        let expected = json!({ "service": service, "uri": path, "length": 3 });
        assert_eq!((answer.status, answer.json()), (200, expected));
    }
    let health = local.http("GET", "/_taskferry/health", &[], b"").await;
    assert_eq!((health.status, health.json()), (200, json!({ "status": "ok" })));
    local.stop().await;
}

#[tokio::test]
async fn a_json_request_that_makes_no_sense_is_refused_by_name() {
    let local = Local::start().await;
    let ecs = "AmazonEC2ContainerServiceV20141113.RunTask";
    let deep = [b"{\"a\":".repeat(500), b"1".to_vec(), b"}".repeat(500)].concat();
    let long = b" ".repeat(8 * 1024 * 1024 + 1);
    let cases: [(&str, &[u8], u16, &str); 8] = [
        (ecs, b"{", 400, "SerializationException"),
        (ecs, b"[]", 400, "SerializationException"),
        (ecs, b"\xff", 400, "SerializationException"),
        (ecs, &deep, 400, "SerializationException"),
        (ecs, &long, 413, "RequestEntityTooLargeException"),
        ("AWSEvents.CreateArchive", b"{}", 400, "UnknownOperationException"),
        ("DynamoDB_20120810.GetItem", b"{}", 400, "UnknownOperationException"),
        ("nonsense", &long, 400, "UnknownOperationException"),
    ];
    for (target, body, status, exception) in cases {
        let answer = local.http("POST", "/", &[("x-amz-target", target)], body).await;
        assert_eq!(
            (answer.status, &answer.json()["__type"]),
            (status, &json!(exception)),
            "{target}"
        );
        assert_eq!(answer.header("x-amzn-errortype"), Some(&*exception.to_lowercase()));
        assert!(answer.header("x-amzn-requestid").is_some());
    }
    // Nothing at all is an empty request.
    let answer = local.http("POST", "/", &[("x-amz-target", ecs)], b"").await;
    assert_eq!(answer.json()["request"], json!({}));
    local.stop().await;
}

#[tokio::test]
async fn a_request_that_is_signed_for_a_service_that_is_not_here_is_refused_by_its_name() {
    let local = Local::start().await;
    let signed = |service: &str| {
        format!(
            "AWS4-HMAC-SHA256 Credential=x/20261121/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
        )
    };
    let form = ("content-type", "application/x-www-form-urlencoded; charset=utf-8");
    let sts = signed("sts");
    let body = b"Action=GetCallerIdentity&Version=2011-06-15";
    let answer = local.http("POST", "/", &[form, ("authorization", &sts)], body).await;
    let body = String::from_utf8(answer.body).unwrap();
    assert!(answer.status == 200 && body.contains("<Account>000000000000</Account>"), "{body}");
    let body = b"Action=AssumeRole&Version=2011-06-15";
    let answer = local.http("POST", "/", &[form, ("authorization", &sts)], body).await;
    let told = "<Message>sts on this machine has no operation AssumeRole</Message>";
    let body = String::from_utf8(answer.body).unwrap();
    assert!(answer.status == 400 && body.contains(told), "{body}");
    let lambda = signed("lambda");
    let path = "/2015-03-31/functions/s3";
    let answer = local.http("GET", path, &[("authorization", &lambda)], b"").await;
    assert_eq!(
        (answer.status, &answer.json()["__type"]),
        (400, &json!("UnknownOperationException"))
    );
    let told = format!("lambda on this machine has no operation GET {path}");
    assert_eq!(answer.json()["message"], told);
    let s3 = signed("s3");
    let answer = local.http("GET", "/schedules", &[("authorization", &s3)], b"").await;
    assert_eq!((answer.status, &answer.json()["service"]), (200, &json!("s3")));
    local.stop().await;
}

#[tokio::test]
async fn a_web_page_of_another_site_reaches_no_service() {
    let local = Local::start().await;
    let form = ("content-type", "multipart/form-data; boundary=b");
    for (method, path) in [("POST", "/bucket"), ("POST", "/2015-03-31/functions/f/invocations")] {
        let foreign = [("origin", "https://example.com"), form];
        let answer = local.http(method, path, &foreign, b"--b--").await;
        assert_eq!(answer.status, 403);
        assert_eq!(answer.header("x-amzn-errortype"), Some("accessdeniedexception"));
    }
    let answer = local.http("POST", "/bucket", &[("origin", "http://localhost:3000")], b"x").await;
    assert_eq!(answer.json()["service"], "s3");
    // Whose name was made to lead here.
    let mut stream = TcpStream::connect(local.addr).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: example.com:4566\r\n\r\n").await.unwrap();
    assert!(read_until(&mut stream, b"</Error>").await.starts_with(b"HTTP/1.1 403 Forbidden"));
    local.stop().await;
}

#[tokio::test]
async fn a_large_object_streams_through() {
    let local = Local::start().await;
    let body = vec![b'x'; 32 * 1024 * 1024];
    let answer = local.http("PUT", "/bucket/key", &[], &body).await;
    assert_eq!(answer.json()["length"], body.len());
    local.stop().await;
}

/// Reads until what was read ends like this.
async fn read_until(stream: &mut TcpStream, end: &[u8]) -> Vec<u8> {
    let mut read = Vec::new();
    while !read.ends_with(end) {
        assert_ne!(soon(stream.read_buf(&mut read)).await.unwrap(), 0, "{read:?}");
    }
    read
}

#[tokio::test]
async fn a_client_that_expects_to_be_told_to_continue_is_told() {
    let local = Local::start().await;
    let mut stream = TcpStream::connect(local.addr).await.unwrap();
    let head = b"PUT /b/k HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let told = read_until(&mut stream, b"\r\n\r\n").await;
    assert_eq!(told, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"abc").await.unwrap();
    let answer = String::from_utf8(read_until(&mut stream, b"}").await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK") && !answer.contains("connection: close"));
    local.stop().await;
}

#[tokio::test]
async fn what_is_no_form_is_refused_by_sns_in_its_own_words() {
    let local = Local::start().await;
    let signature = "AWS4-HMAC-SHA256 Credential=x/20261121/us-east-1/sns/aws4_request, SignedHeaders=host, Signature=0";
    let long = format!("Action=CreateTopic&Name={}", "a".repeat(11 * 1024 * 1024)).into_bytes();
    let deep = format!("Action=CreateTopic&{}=1", "a.".repeat(100_000)).into_bytes();
    let arn = "arn:aws:sns:us-east-1:000000000000:none";
    let entries = "&PublishBatchRequestEntries.member.1".repeat(1000);
    let batch = format!("Action=PublishBatch&TopicArn={arn}{entries}");
    let cases: [(&[u8], u16, &str); 13] = [
        (b"", 400, "MissingAction"),
        (b"&&&===&%", 400, "MissingAction"),
        (b"{\"Action\":\"CreateTopic\"}", 400, "MissingAction"),
        (b"Action=%ff%fe", 400, "MalformedQueryString"),
        (b"Action=\xff\xfe", 400, "MalformedQueryString"),
        (b"Action=Nothing", 400, "InvalidAction"),
        (b"Action.1=CreateTopic", 400, "MissingAction"),
        (b"Action=CreateTopic", 400, "ValidationError"),
        (b"Action=CreateTopic&Name=%00", 400, "InvalidParameter"),
        (
            b"Action=CreateTopic&Name=t&Attributes.entry.1.key=Nothing&Attributes.entry.1.value=1",
            400,
            "InvalidParameter",
        ),
        (&long, 400, "InvalidParameter"),
        (&deep, 400, "MalformedQueryString"),
        (batch.as_bytes(), 400, "InvalidBatchEntryId"),
    ];
    for (body, status, code) in cases {
        for content_type in ["application/x-www-form-urlencoded", "application/json"] {
            let headers = [("authorization", signature), ("content-type", content_type)];
            let answer = local.http("POST", "/", &headers, body).await;
            let text = String::from_utf8(answer.body).unwrap();
            let begin = body[..body.len().min(60)].escape_ascii();
            assert!(text.contains(&format!("<Code>{code}</Code>")), "{begin}: {text}");
            assert_eq!(answer.status, status, "{begin}");
        }
    }
    assert_eq!(local.count("sns_topics"), 0);
    // A body that breaks off.
    let mut stream = TcpStream::connect(local.addr).await.unwrap();
    let head = format!(
        "POST / HTTP/1.1\r\nhost: x\r\nauthorization: {signature}\r\ncontent-length: 50\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(b"Action=CreateTopic&Name=t").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("MalformedQueryString"));
    assert_eq!(local.count("sns_topics"), 0);
    local.stop().await;
}

#[tokio::test]
async fn a_head_that_is_none_or_too_long_is_refused() {
    let local = Local::start().await;
    let long =
        format!("GET / HTTP/1.1\r\nhost: x\r\nx-amz-meta-a: {}\r\n\r\n", "a".repeat(500_000));
    let many = format!("GET / HTTP/1.1\r\nhost: x\r\n{}\r\n", "x-a: b\r\n".repeat(200));
    let target = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(100_000));
    let cases: [(&[u8], &str); 7] = [
        (b"\0\xff\r\n\r\n", "400"),
        (b"PUT /b/k HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n", "400"),
        (b"PUT /b/k HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999\r\n\r\n", "400"),
        (
            b"PUT /b/k HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
            "400",
        ),
        (long.as_bytes(), "431"),
        (many.as_bytes(), "431"),
        (target.as_bytes(), "414"),
    ];
    for (head, status) in cases {
        let mut stream = TcpStream::connect(local.addr).await.unwrap();
        // The server may have heard enough before it has heard all.
        drop(stream.write_all(head).await);
        let mut answer = vec![0; 12];
        soon(stream.read_exact(&mut answer)).await.unwrap();
        assert_eq!(answer, format!("HTTP/1.1 {status}").into_bytes());
    }
    assert_eq!(local.http("GET", "/", &[], b"").await.status, 200);
    local.stop().await;
}

/// As boto3 does: it asks first, waits a second for the answer, and then sends all the same.
#[tokio::test]
async fn a_client_that_sends_what_was_refused_unread_is_not_cut_off() {
    let local = Local::start().await;
    let mut stream = TcpStream::connect(local.addr).await.unwrap();
    let head = "GET /_taskferry/health HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n";
    stream.write_all(format!("{head}content-length: 1000000\r\n\r\n").as_bytes()).await.unwrap();
    // The answer, and that there will be no other.
    let mut answer = Vec::new();
    soon(stream.read_to_end(&mut answer)).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("connection: close"));
    for _ in 0..100 {
        soon(stream.write_all(&[b'x'; 10_000])).await.unwrap();
    }
    drop(stream);
    local.stop().await;
}

#[tokio::test]
async fn an_answer_that_is_lost_leaves_a_closed_connection() {
    let local = Local::start().await;
    let mut stream = TcpStream::connect(local.addr).await.unwrap();
    let call = |operation: &str| {
        format!(
            "POST / HTTP/1.1\r\nhost: x\r\nx-amz-target: AmazonEC2ContainerServiceV20141113.{operation}\r\n\
             content-length: 2\r\n\r\n{{}}"
        )
    };
    stream.write_all(call("Keep").as_bytes()).await.unwrap();
    let answer = read_until(&mut stream, b"\"ecs\"}").await;
    assert!(answer.starts_with(b"HTTP/1.1 200 OK"));
    stream.write_all(call("Lose").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    soon(stream.read_to_end(&mut answer)).await.unwrap();
    assert_eq!(answer, b"");
    local.stop().await;
}

#[tokio::test]
async fn slow_and_broken_clients_disturb_nobody() {
    let local = Local::start().await;
    let mut clients = Vec::new();
    for start in [
        &b"PUT /b/k HTTP/1.1\r\ncontent-length: 100\r\n\r\nabc"[..],
        b"GET /",
        b"",
        b"\x16\x03\x01\x00",
    ] {
        let mut stream = TcpStream::connect(local.addr).await.unwrap();
        stream.write_all(start).await.unwrap();
        clients.push(stream);
    }
    assert_eq!(local.http("GET", "/", &[], b"").await.status, 200);
    drop(clients.pop());
    assert_eq!(local.http("GET", "/", &[], b"").await.status, 200);
    // They do not hold up the end for long either.
    drop(clients.remove(0));
    local.stop().await;
}

#[tokio::test]
async fn no_more_connections_than_there_are_places_are_served_and_the_others_have_their_turn() {
    let local = Local::start_on(|server| server.with_connections_max(2)).await;
    let request = b"GET /_taskferry/health HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut served = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(local.addr).await.unwrap();
        stream.write_all(request).await.unwrap();
        read_until(&mut stream, b"\"ok\"}").await;
        served.push(stream);
    }
    let mut third = TcpStream::connect(local.addr).await.unwrap();
    third.write_all(request).await.unwrap();
    // Those who have a place keep it, and are answered before.
    for stream in &mut served {
        stream.write_all(request).await.unwrap();
        read_until(stream, b"\"ok\"}").await;
    }
    let unanswered = third.try_read(&mut [0]).unwrap_err();
    assert_eq!(unanswered.kind(), std::io::ErrorKind::WouldBlock);
    drop(served.pop());
    read_until(&mut third, b"\"ok\"}").await;
    local.stop().await;
}

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let local = Local::start().await;
    let mut stream = TcpStream::connect(local.addr).await.unwrap();
    for _ in 0..3 {
        stream.write_all(b"GET /_taskferry/health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        read_until(&mut stream, b"\"ok\"}").await;
    }
    // An idle connection does not hold up the end.
    local.stop().await;
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let first = Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let error = Server::bind(first.addr()).await.unwrap_err();
    assert!(matches!(error, Error::PortInUse { .. }));
    assert_eq!(error.to_string(), format!("port {} is in use", first.addr().port()));
    assert!(error.hint().unwrap().contains("--port 0"));
}

#[tokio::test]
async fn only_this_machine_is_served() {
    let everywhere: SocketAddr = "0.0.0.0:0".parse().unwrap();
    let error = Server::bind(everywhere).await.unwrap_err();
    assert!(matches!(error, Error::NotLoopback { .. }));
}

#[test]
fn a_state_directory_serves_one_at_a_time_and_tells_where() {
    let dir = TempDir::new();
    let path = dir.path().join("a/.taskferry");
    assert_eq!(state::endpoint(&path).unwrap(), None);
    let state = State::open(&path).unwrap();
    assert_eq!(std::fs::read_to_string(path.join(".gitignore")).unwrap(), "*\n");
    assert_eq!(state::endpoint(&path).unwrap(), None);
    state.announce("127.0.0.1:4566".parse().unwrap()).unwrap();
    assert_eq!(state::endpoint(&path).unwrap().as_deref(), Some("http://127.0.0.1:4566"));

    let error = State::open(&path).unwrap_err();
    let expected = format!(
        "{} is in use by another taskferry (process {})",
        path.canonicalize().unwrap().display(),
        std::process::id()
    );
    assert_eq!(error.to_string(), expected);
    drop(state);
    assert!(!path.join("endpoint").exists());
    // What a killed server left behind does not count.
    std::fs::write(path.join("endpoint"), "http://127.0.0.1:1\n").unwrap();
    assert_eq!(state::endpoint(&path).unwrap(), None);
    drop(State::open(&path).unwrap());
    assert!(!path.join("endpoint").exists());
}

#[test]
fn a_state_directory_of_a_newer_version_is_left_alone() {
    let dir = TempDir::new();
    let state = State::open(dir.path()).unwrap();
    state.db().write(|tx| tx.pragma_update(None, "user_version", 99)).unwrap();
    drop(state);
    let error = State::open(dir.path()).unwrap_err();
    assert!(matches!(error, state::Error::Db(db::Error::Newer { found: 99, .. })), "{error}");
}

#[test]
fn a_state_directory_that_cannot_be_made_is_named() {
    let dir = TempDir::new();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = State::open(&file.join("state")).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot create {}", file.join("state").display()));
}
