//! A write happens whole and checked, or not at all.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use base64_simd::STANDARD as BASE64;
use bytes::Bytes;
use futures_util::{future::join_all, stream};

use super::{Folder, Machine};

#[tokio::test]
async fn of_racing_creations_exactly_one_wins() {
    let folder = Folder::new();
    let machine = Machine::start(&folder);
    let bodies: Vec<Vec<u8>> = (0..16).map(|racer| vec![racer; 1000]).collect();
    let racers =
        bodies.iter().map(|body| machine.send("PUT", "/race", &[("if-none-match", "*")], body));
    let answers = join_all(racers).await;

    let won: Vec<usize> =
        (0..answers.len()).filter(|&racer| answers[racer].status == StatusCode::OK).collect();
    assert_eq!(won.len(), 1);
    for (racer, answer) in answers.iter().enumerate().filter(|(racer, _)| *racer != won[0]) {
        assert_eq!(answer.status, StatusCode::PRECONDITION_FAILED, "racer {racer}");
    }
    assert_eq!(machine.get("race").await.body, bodies[won[0]]);
    assert_eq!(machine.queued().len(), 1);
    assert_eq!(folder.blobs().len(), 1);
}

#[tokio::test]
async fn a_decoded_length_that_is_none_is_refused() {
    let folder = Folder::new();
    let machine = Machine::start(&folder);
    let body = b"3\r\nnew\r\n0\r\n\r\n";
    for length in ["-3", "", "three", "3 3"] {
        let headers = [
            ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
            ("x-amz-decoded-content-length", length),
        ];
        let answer = machine.send("PUT", "/key", &headers, body).await;
        answer.refused(StatusCode::BAD_REQUEST, "InvalidArgument");
    }
    assert!(folder.0.path().join("s3").read_dir().unwrap().next().is_none());
}

#[tokio::test]
async fn a_bad_digest_leaves_the_old_object_whole() {
    let folder = Folder::new();
    let machine = Machine::start(&folder);
    machine.put("key", b"old").await;
    let zeros = |length| BASE64.encode_to_string(vec![0; length]);
    let digests = [
        ("content-md5", zeros(16), "BadDigest"),
        ("content-md5", zeros(15), "InvalidDigest"),
        ("content-md5", "?".to_owned(), "InvalidDigest"),
        ("x-amz-content-sha256", "0".repeat(64), "XAmzContentSHA256Mismatch"),
        ("x-amz-checksum-crc32", zeros(4), "BadDigest"),
        ("x-amz-checksum-crc32c", zeros(4), "BadDigest"),
        ("x-amz-checksum-crc64nvme", zeros(8), "BadDigest"),
        ("x-amz-checksum-sha1", zeros(20), "BadDigest"),
        ("x-amz-checksum-sha256", zeros(32), "BadDigest"),
        ("x-amz-checksum-sha256", zeros(31), "InvalidRequest"),
        ("x-amz-sdk-checksum-algorithm", "MD4".to_owned(), "InvalidRequest"),
    ];
    for (name, value, code) in digests {
        let answer = machine.send("PUT", "/key", &[(name, &value)], b"new").await;
        answer.refused(StatusCode::BAD_REQUEST, code);
    }
    assert_eq!(machine.get("key").await.body, "old");
    assert_eq!(machine.queued().len(), 1);
    assert_eq!(folder.blobs().len(), 1);
}

#[tokio::test]
async fn a_body_of_another_length_leaves_the_old_object_whole() {
    let folder = Folder::new();
    let machine = Machine::start(&folder);
    machine.put("key", b"old").await;
    for announced in [2, 4] {
        let request = Request::put("/bucket/key")
            .header(header::CONTENT_LENGTH, announced)
            .body(Body::from_stream(stream::iter([Ok::<_, std::io::Error>("new")])));
        machine.call(request.unwrap()).await.refused(StatusCode::BAD_REQUEST, "IncompleteBody");
    }
    let broken =
        stream::iter([Ok(Bytes::from(vec![0; 400_000])), Err(std::io::Error::other("gone"))]);
    let request = Request::put("/bucket/key")
        .header(header::CONTENT_LENGTH, 1_000_000)
        .body(Body::from_stream(broken));
    machine.call(request.unwrap()).await.refused(StatusCode::BAD_REQUEST, "IncompleteBody");
    assert_eq!(machine.get("key").await.body, "old");
    assert_eq!(folder.blobs().len(), 1);
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing() {
    let folder = Folder::new();
    let machine = Machine::start(&folder);
    let block = stream::iter([Ok::<_, std::io::Error>(Bytes::from(vec![7; 400_000]))]);
    let endless = futures_util::StreamExt::chain(block, stream::pending());
    let request = Request::put("/bucket/key")
        .header(header::CONTENT_LENGTH, 1_000_000)
        .body(Body::from_stream(endless))
        .unwrap();
    let written = async {
        while folder.blobs().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = machine.call(request) => panic!("answered before the body has ended"),
        () = written => {}
    }
    while !folder.blobs().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(machine.get("key").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_refused_body_is_taken_in_so_that_the_answer_arrives() {
    let folder = Folder::new();
    let machine = Machine::start(&folder);
    let taken = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&taken);
    let body = stream::iter((0..100).map(move |_| {
        counted.fetch_add(1000, Ordering::Relaxed);
        Ok::<_, std::io::Error>(Bytes::from(vec![0; 1000]))
    }));
    let request = Request::put("/missing/key")
        .header(header::CONTENT_LENGTH, 100_000)
        .body(Body::from_stream(body));
    machine.call(request.unwrap()).await.refused(StatusCode::NOT_FOUND, "NoSuchBucket");
    assert_eq!(taken.load(Ordering::Relaxed), 100_000);
}

#[tokio::test]
async fn a_replaced_object_leaves_no_bytes_behind() {
    let folder = Folder::new();
    let machine = Machine::start(&folder);
    for turn in 0..5 {
        machine.put("key", &[turn; 10]).await;
    }
    assert_eq!(folder.blobs().len(), 1);
    machine.send("DELETE", "/key", &[], b"").await.expect(StatusCode::NO_CONTENT);
    assert_eq!(folder.blobs().len(), 0);
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_an_error_with_its_reason() {
    let folder = Folder::new();
    let machine = Machine::start(&folder);
    machine.s3.create_bucket("blocked").unwrap();
    // A file where the bucket's folder would be: no right to write stops a superuser.
    std::fs::write(folder.0.path().join("s3/blocked"), "").unwrap();
    let request = Request::put("/blocked/key").header(header::CONTENT_LENGTH, 1).body("x".into());
    let answer = machine.call(request.unwrap()).await;
    answer.refused(StatusCode::INTERNAL_SERVER_ERROR, "InternalError");
    assert!(answer.text().contains("Not a directory"), "{}", answer.text());
    std::fs::remove_file(folder.0.path().join("s3/blocked")).unwrap();
    machine.put("key", b"unharmed").await;
}

#[test]
fn a_full_disk_is_told_and_not_to_be_asked_again() {
    use crate::s3::fault::Fault;
    let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
    let error = s3s::S3Error::from(Fault::from(full));
    assert_eq!(error.status_code(), Some(StatusCode::INSUFFICIENT_STORAGE));
    assert!(error.message().unwrap().contains("no storage space"), "{error:?}");
}

#[tokio::test]
async fn a_key_is_never_a_path() {
    let folder = Folder::new();
    let machine = Machine::start(&folder);
    let long = "한".repeat(341);
    let keys = ["a", "a/b", "a/", "../../up", "..", "/", "//", "\0", "\n", "%", "+ ", "🦀", &long];
    for key in keys {
        machine.put(key, key.as_bytes()).await;
    }
    for key in keys {
        assert_eq!(machine.get(key).await.body, key.as_bytes(), "{key:?}");
    }
    assert_eq!(folder.blobs().len(), keys.len());
    let too_long = "k".repeat(1025);
    let answer = machine.send("PUT", &super::path(&too_long), &[], b"").await;
    answer.refused(StatusCode::BAD_REQUEST, "KeyTooLongError");
}
