//! The promises of this S3, held against the handler in this process: no sockets, no clients.
//!
//! What real clients see is held by the Python checks in `tests/clients/s3`.

mod hostile;
mod lists;
mod notifications;
mod restarts;
mod writes;

use std::{fs, path::PathBuf, sync::Arc};

use axum::{
    body::Body,
    http::{HeaderMap, Request, StatusCode, header},
};
use bytes::Bytes;
use http_body_util::BodyExt;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tempfile::TempDir;

use super::{
    BUCKET_TAGS_SCHEMA, BucketNotification, CONFIGURATION_SCHEMA, DestinationNotification, Filter,
    S3, SCHEMA, Service, service,
};
use crate::{
    db::Db,
    delivery::{Deliveries, Destination},
    eventbridge::EventBridge,
    lambda::{self, Invocations},
    sns,
    sqs::{self, Queues},
};

/// A folder that goes with the test.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// The files of all objects, parts and drafts.
    fn blobs(&self) -> Vec<PathBuf> {
        let entries = |dir: PathBuf| fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        entries(self.0.path().join("s3")).flat_map(entries).collect()
    }
}

/// S3 on a folder, with one bucket `bucket`, whose changes invoke `function`.
struct Machine {
    db: Arc<Db>,
    s3: Arc<S3>,
    service: Service,
}

/// What came back.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Machine {
    fn start(folder: &Folder) -> Self {
        let schema = [
            lambda::SCHEMA,
            SCHEMA,
            sqs::SCHEMA,
            sns::SCHEMA,
            CONFIGURATION_SCHEMA,
            BUCKET_TAGS_SCHEMA,
        ]
        .concat();
        let db = Arc::new(Db::open(&folder.0.path().join("state.db"), &[&schema]).unwrap());
        let invocations = Invocations::default();
        let deliveries = Deliveries::new(invocations, Queues::default());
        let eventbridge = Arc::new(EventBridge::new(deliveries.clone()));
        let s3 =
            S3::open(Arc::clone(&db), deliveries, eventbridge, folder.0.path().join("s3")).unwrap();
        s3.create_bucket("bucket").unwrap();
        s3.set_notifications(vec![BucketNotification {
            bucket: "bucket".to_owned(),
            destinations: vec![DestinationNotification {
                destination: Destination::Function("function".to_owned()),
                filters: vec![Filter {
                    events: ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]
                        .map(str::to_owned)
                        .to_vec(),
                    ..Filter::default()
                }],
            }],
        }]);
        Self { db, service: service(Arc::clone(&s3)), s3 }
    }

    async fn call(&self, request: Request<Body>) -> Answer {
        let response = self.service.call(request).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/bucket{path}"))
            .header(header::HOST, "127.0.0.1:4566")
            .header(header::CONTENT_LENGTH, body.len());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.call(request.body(Body::from(body.to_vec())).unwrap()).await
    }

    async fn put(&self, key: &str, body: &[u8]) -> Answer {
        self.send("PUT", &path(key), &[], body).await.expect(StatusCode::OK)
    }

    async fn get(&self, key: &str) -> Answer {
        self.send("GET", &path(key), &[], b"").await
    }

    /// The payloads that wait for `function`, in order.
    fn queued(&self) -> Vec<Value> {
        let payloads: Vec<String> = self
            .db
            .read(|connection| {
                connection
                    .prepare("SELECT payload FROM lambda_invocations ORDER BY id")?
                    .query_map([], |row| row.get(0))?
                    .collect::<rusqlite::Result<_>>()
            })
            .unwrap();
        payloads.iter().map(|payload| serde_json::from_str(payload).unwrap()).collect()
    }
}

impl Answer {
    #[track_caller]
    fn expect(self, status: StatusCode) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    #[track_caller]
    fn refused(&self, status: StatusCode, code: &str) {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.elements("Code"), [code]);
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The texts of the elements of this name, in order.
    fn elements(&self, name: &str) -> Vec<String> {
        let (start, end) = (format!("<{name}>"), format!("</{name}>"));
        let text = self.text();
        let found = text.split(&start).skip(1).filter_map(|rest| rest.split(&end).next());
        found.map(str::to_owned).collect()
    }
}

fn path(key: &str) -> String {
    format!("/{}", utf8_percent_encode(key, NON_ALPHANUMERIC))
}
