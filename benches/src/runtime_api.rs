//! A Lambda Runtime API, and an ECS, for one function process: just enough to start it and to keep it at work.
//!
//! It answers at once, so that what is measured is the function.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::State,
    http::{Method, Request, Response, StatusCode},
};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
    sync::{Mutex as AsyncMutex, mpsc as async_mpsc},
};

/// How long a function may take for its next word.
const WORD_TIMEOUT: Duration = Duration::from_secs(20);

/// The most that a function sends.
const BODY_BYTES_MAX: usize = 1 << 20;

/// What a function did.
enum Word {
    /// It asked for an invocation, at this time.
    Next(Instant),
    /// It answered one.
    Answered,
    /// It reported an error.
    Failed(String),
}

/// Serves one function process, until it is dropped.
pub(crate) struct RuntimeApi {
    address: SocketAddr,
    words: mpsc::Receiver<Word>,
    payloads: async_mpsc::UnboundedSender<String>,
    started_by: Arc<Mutex<Vec<String>>>,
    // Dropped, it serves no more.
    _runtime: Runtime,
}

struct Served {
    words: mpsc::Sender<Word>,
    payloads: AsyncMutex<async_mpsc::UnboundedReceiver<String>>,
    started_by: Arc<Mutex<Vec<String>>>,
    requests: AtomicUsize,
}

impl RuntimeApi {
    /// Serves on a free port.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr()?;
        let (words_sender, words) = mpsc::channel();
        let (payloads, payloads_receiver) = async_mpsc::unbounded_channel();
        let started_by = Arc::new(Mutex::default());
        let served = Arc::new(Served {
            words: words_sender,
            payloads: AsyncMutex::new(payloads_receiver),
            started_by: Arc::clone(&started_by),
            requests: AtomicUsize::new(0),
        });
        let router = Router::new().fallback(answer).with_state(served);
        runtime.spawn(async move { axum::serve(listener, router).await });
        Ok(Self { address, words, payloads, started_by, _runtime: runtime })
    }

    /// Where it is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until the function asks for an invocation, and tells when it did.
    pub(crate) fn asked(&self) -> anyhow::Result<Instant> {
        loop {
            match self.words.recv_timeout(WORD_TIMEOUT).context("the function is silent")? {
                Word::Next(at) => return Ok(at),
                Word::Answered => {}
                Word::Failed(report) => bail!("the function failed: {report}"),
            }
        }
    }

    /// Has the function, which has asked, take a payload; returns once it asks for the next.
    pub(crate) fn invoke(&self, payload: String) -> anyhow::Result<()> {
        self.payloads.send(payload).context("the server has gone")?;
        self.asked().map(drop)
    }

    /// What stood in `startedBy` of the tasks that the function started.
    pub(crate) fn started_by(&self) -> Vec<String> {
        self.started_by.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn answer(State(served): State<Arc<Served>>, request: Request<Body>) -> Response<Body> {
    let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok());
    if let Some(operation) = target.and_then(|target| target.rsplit('.').next()) {
        let operation = operation.to_owned();
        let body = to_bytes(request.into_body(), BODY_BYTES_MAX).await.unwrap_or_default();
        return served.ecs(&operation, &serde_json::from_slice(&body).unwrap_or_default());
    }
    if request.method() == Method::GET {
        return served.next().await;
    }
    let is_answer = request.uri().path().ends_with("/response");
    let body = to_bytes(request.into_body(), BODY_BYTES_MAX).await.unwrap_or_default();
    let word = if is_answer {
        Word::Answered
    } else {
        Word::Failed(String::from_utf8_lossy(&body).into_owned())
    };
    // Nobody listens any more: the measurement is over.
    let _told = served.words.send(word);
    respond(StatusCode::ACCEPTED, &json!({ "status": "OK" }))
}

impl Served {
    async fn next(&self) -> Response<Body> {
        let _told = self.words.send(Word::Next(Instant::now()));
        let Some(payload) = self.payloads.lock().await.recv().await else {
            return respond(StatusCode::GONE, &json!({}));
        };
        let request_id = self.requests.fetch_add(1, Ordering::Relaxed);
        Response::builder()
            .header("content-type", "application/json")
            .header("lambda-runtime-aws-request-id", format!("request-{request_id}"))
            .header("lambda-runtime-deadline-ms", "4102444800000")
            .header("lambda-runtime-invoked-function-arn", "arn:aws:lambda:us-east-1:0:function:f")
            .body(Body::from(payload))
            .expect("the names and values above are headers")
    }

    fn ecs(&self, operation: &str, request: &Value) -> Response<Body> {
        let definition = "arn:aws:ecs:us-east-1:000000000000:task-definition/thumbnailer:1";
        match operation {
            "DescribeTaskDefinition" => {
                let containers = json!([{ "name": "app", "essential": true }]);
                let answer = json!({ "taskDefinition": {
                    "taskDefinitionArn": definition,
                    "containerDefinitions": containers,
                } });
                respond(StatusCode::OK, &answer)
            }
            "RunTask" => {
                let started_by = request["startedBy"].as_str().unwrap_or_default().to_owned();
                let task = json!({
                    "taskArn": task_arn(&started_by),
                    "startedBy": started_by,
                    "taskDefinitionArn": definition,
                    "lastStatus": "PROVISIONING",
                    "desiredStatus": "RUNNING",
                    "containers": [{ "name": "app", "lastStatus": "PENDING" }],
                    "version": 1,
                });
                self.started_by.lock().unwrap_or_else(PoisonError::into_inner).push(started_by);
                respond(StatusCode::OK, &json!({ "tasks": [task], "failures": [] }))
            }
            _ => respond(StatusCode::BAD_REQUEST, &json!({ "__type": "ClientException" })),
        }
    }
}

/// The ARN of the one task that this `startedBy` has.
pub(crate) fn task_arn(started_by: &str) -> String {
    let id = started_by.split('/').nth(1).unwrap_or_default();
    format!("arn:aws:ecs:us-east-1:000000000000:task/batch/{id}")
}

fn respond(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response
}
