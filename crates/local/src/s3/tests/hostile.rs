//! Whatever a client sends is answered in S3's words, and what it is refused for changes nothing.

use std::time::Duration;

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

use super::{Folder, Machine};
use crate::server::Stalled;

/// The operations whose request is XML, and one for each.
const DOCUMENTS: [(&str, &str, &str); 6] = [
    ("POST", "?delete", "<Delete><Object><Key>key</Key></Object></Delete>"),
    (
        "PUT",
        "?tagging",
        "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>",
    ),
    (
        "PUT",
        "/key?tagging",
        "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>",
    ),
    (
        "PUT",
        "?notification",
        "<NotificationConfiguration><EventBridgeConfiguration/></NotificationConfiguration>",
    ),
    (
        "PUT",
        "",
        "<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>",
    ),
    (
        "POST",
        "/key?uploadId=none",
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>e</ETag></Part></CompleteMultipartUpload>",
    ),
];

/// A request whose body comes in these pieces, the last of which may be an error.
fn streamed(
    (method, path): (&str, &str),
    length: usize,
    pieces: Vec<Result<Bytes, axum::BoxError>>,
) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(format!("/bucket{path}"))
        .header(header::HOST, "127.0.0.1:4566")
        .header(header::CONTENT_LENGTH, length)
        .body(Body::from_stream(stream::iter(pieces)))
        .unwrap()
}

/// That nothing of the requests in here has been done.
async fn unchanged(machine: &Machine) {
    assert_eq!(machine.get("key").await.body, "old");
    assert_eq!(machine.queued().len(), 1, "only the first object is told of");
    machine.send("GET", "?tagging", &[], b"").await.refused(StatusCode::NOT_FOUND, "NoSuchTagSet");
    assert!(machine.send("GET", "/key?tagging", &[], b"").await.elements("Tag").is_empty());
    let configuration = machine.send("GET", "?notification", &[], b"").await.text();
    assert!(!configuration.contains("<EventBridgeConfiguration"), "{configuration}");
}

#[tokio::test]
async fn xml_that_is_cut_off_anywhere_is_malformed() {
    let folder = Folder::new();
    let machine = Machine::start(&folder);
    machine.put("key", b"old").await;
    for (method, path, xml) in DOCUMENTS {
        for cut in 1..xml.len() {
            let answer = machine.send(method, path, &[], &xml.as_bytes()[..cut]).await;
            answer.refused(StatusCode::BAD_REQUEST, "MalformedXML");
        }
    }
    unchanged(&machine).await;
}

#[tokio::test]
async fn xml_that_is_wrongly_encoded_or_deep_or_has_entities_is_malformed() {
    let folder = Folder::new();
    let machine = Machine::start(&folder);
    machine.put("key", b"old").await;
    for (method, path, xml) in DOCUMENTS {
        let root = &xml[1..xml.find('>').unwrap()];
        let utf16: Vec<u8> = xml.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let deep = format!("<{root}>{}", "<Object>".repeat(100_000)).into_bytes();
        let entity = xml.replace("<Key>", "<Key>&e;").replace("<ETag>", "<ETag>&e;");
        let entity = format!("<!DOCTYPE a [<!ENTITY e \"e\">]>{entity}").into_bytes();
        let mut bodies = vec![utf16, deep, b"{}".to_vec(), b"\xff\xfe".to_vec()];
        bodies.extend(Some(entity).filter(|entity| entity.contains(&b'&')));
        for body in bodies {
            let answer = machine.send(method, path, &[], &body).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{method} {path}");
            assert_eq!(answer.elements("Code"), ["MalformedXML"], "{method} {path}");
        }
    }
    unchanged(&machine).await;
}

#[tokio::test]
async fn a_body_that_breaks_off_is_the_clients_fault() {
    let folder = Folder::new();
    let machine = Machine::start(&folder);
    machine.put("key", b"old").await;
    let puts =
        [("PUT", "/key", "new and longer"), ("PUT", "/key?partNumber=1&uploadId=none", "new")];
    for (method, path, text) in DOCUMENTS.into_iter().chain(puts) {
        let begun = || vec![Ok(Bytes::from(text[..text.len() / 2].to_owned()))];
        let mut broken = begun();
        broken.push(Err("the connection is gone".into()));
        let answer = machine.call(streamed((method, path), text.len(), broken)).await;
        if path.contains("partNumber") {
            answer.refused(StatusCode::NOT_FOUND, "NoSuchUpload");
            continue;
        }
        answer.refused(StatusCode::BAD_REQUEST, "IncompleteBody");
        let mut stalled = begun();
        stalled.push(Err(Stalled.into()));
        let answer = machine.call(streamed((method, path), text.len(), stalled)).await;
        answer.refused(StatusCode::BAD_REQUEST, "RequestTimeout");
    }
    unchanged(&machine).await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_body_that_never_ends_is_not_waited_for_without_end() {
    let folder = Folder::new();
    let machine = Machine::start(&folder);
    let endless = stream::iter([Ok::<_, axum::BoxError>(Bytes::from_static(b"a"))]);
    let mut request = streamed(("PUT", "/key"), 10, Vec::new());
    *request.uri_mut() = "/none/key".parse().unwrap();
    *request.body_mut() = Body::from_stream(endless.chain(stream::pending()));
    let answered = tokio::time::timeout(Duration::from_mins(5), machine.call(request)).await;
    answered.unwrap().refused(StatusCode::NOT_FOUND, "NoSuchBucket");
}

#[tokio::test]
async fn a_chunked_body_that_is_none_changes_nothing() {
    let folder = Folder::new();
    let machine = Machine::start(&folder);
    machine.put("key", b"old").await;
    let long_line = [b"3", &b";".repeat(10_000)[..], b"\r\nnew\r\n0\r\n\r\n"].concat();
    let cases: [(&[u8], &str, &str); 9] = [
        (b"zz\r\nnew\r\n0\r\n\r\n", "3", "InvalidRequest"),
        (b"-3\r\nnew\r\n0\r\n\r\n", "3", "InvalidRequest"),
        (b"ffffffffffffffffff\r\nnew\r\n0\r\n\r\n", "3", "InvalidRequest"),
        (b"3\r\nnewer\r\n0\r\n\r\n", "3", "InvalidRequest"),
        (&long_line, "3", "InvalidRequest"),
        (b"5\r\nne", "5", "IncompleteBody"),
        (b"new", "3", "IncompleteBody"),
        (b"3\r\nnew\r\n0\r\n\r\n", "7", "IncompleteBody"),
        (b"3\r\nnew\r\n0\r\nno trailer\r\n\r\n", "3", "MalformedTrailerError"),
    ];
    for (body, length, code) in cases {
        let headers = [
            ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
            ("content-encoding", "aws-chunked"),
            ("x-amz-decoded-content-length", length),
        ];
        let answer = machine.send("PUT", "/key", &headers, body).await;
        assert_eq!(
            answer.elements("Code"),
            [code],
            "{}",
            body[..body.len().min(20)].escape_ascii()
        );
        // The same around a document.
        let answer = machine.send("POST", "?delete", &headers, body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text());
    }
    unchanged(&machine).await;
    assert_eq!(folder.blobs().len(), 1);
}

#[tokio::test]
async fn a_request_that_makes_no_sense_is_refused_by_name() {
    let folder = Folder::new();
    let machine = Machine::start(&folder);
    machine.put("key", b"old").await;
    let long_key = format!("/{}", "k".repeat(1025));
    let cases: [(&str, &str, (&str, &str), &str); 14] = [
        ("PUT", "/%ff", ("a", "b"), "InvalidURI"),
        ("PUT", "/%z0", ("a", "b"), "InvalidURI"),
        ("PUT", "/key%", ("a", "b"), "InvalidURI"),
        ("PUT", &long_key, ("a", "b"), "KeyTooLongError"),
        ("PUT", "/key", ("content-md5", "x"), "InvalidDigest"),
        ("PUT", "/key", ("x-amz-checksum-crc32", "x"), "InvalidRequest"),
        ("PUT", "/key", ("x-amz-meta-a", &"a".repeat(3000)), "MetadataTooLarge"),
        ("PUT", "/key", ("x-amz-copy-source", "%ff/%ff"), "InvalidArgument"),
        ("PUT", "/key", ("x-amz-storage-class", "NONE"), "InvalidStorageClass"),
        ("PUT", "/key?partNumber=a&uploadId=x", ("a", "b"), "InvalidArgument"),
        ("GET", "?max-keys=99999999999999", ("a", "b"), "InvalidArgument"),
        ("GET", "?list-type=2&continuation-token=%ff", ("a", "b"), "InvalidArgument"),
        ("GET", "?versions&version-id-marker=null", ("a", "b"), "InvalidArgument"),
        ("POST", "", ("content-type", "multipart/form-data"), "InvalidRequest"),
    ];
    for (method, path, header, code) in cases {
        let answer = machine.send(method, path, &[header], b"").await;
        assert_eq!(answer.elements("Code"), [code], "{method} {path} {header:?}");
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{method} {path} {header:?}");
    }
    unchanged(&machine).await;
}
