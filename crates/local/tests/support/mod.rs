//! A server on a free port, with a state directory of its own, for the tests of the local services.
//!
//! S3, ECS and container metadata are stand-ins that say what they were asked.

#![allow(dead_code, unreachable_pub, reason = "each test is a crate of its own and uses its part")]
#![allow(clippy::allow_attributes, reason = "an expectation fails in the test that uses it all")]

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::{
    body::Body,
    http::{Request, Response},
};
use futures_util::future::BoxFuture;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use taskferry_local::{
    db::Db,
    delivery::Deliveries,
    eventbridge::{EventBridge, EventBridgeApi},
    lambda::{
        EventSourceMappings, Function, Functions, FunctionsConfig, InvocationEnded, Invocations,
    },
    protocol::Answer,
    server::{HttpService, JsonService, Server, Services},
    sns::SnsApi,
    sqs::{Queues, Sqs},
    state::State,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::{broadcast, oneshot},
    task::JoinHandle,
    time::{sleep, timeout},
};

/// Far longer than anything here takes: a test that would hang fails instead.
const PATIENCE: Duration = Duration::from_mins(1);

/// A directory that goes away with the test.
pub struct TempDir {
    path: PathBuf,
    keep: bool,
}

impl TempDir {
    pub fn new() -> Self {
        let dir = std::env::temp_dir().join(format!("taskferry-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir(&dir).unwrap();
        Self { path: dir, keep: false }
    }

    /// A directory that is somebody else's.
    pub fn keep(path: PathBuf) -> Self {
        Self { path, keep: true }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if !self.keep {
            drop(std::fs::remove_dir_all(&self.path));
        }
    }
}

/// The services, served.
pub struct Local {
    pub dir: TempDir,
    pub db: Arc<Db>,
    pub invocations: Invocations,
    pub deliveries: Deliveries,
    pub event_bridge: Arc<EventBridge>,
    pub functions: Functions,
    pub queues: Queues,
    pub mappings: EventSourceMappings,
    pub addr: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
    state: State,
}

impl Local {
    pub async fn start() -> Self {
        Self::start_with(TempDir::new(), |_| {}).await
    }

    /// Starts in a directory; `configure` changes what the tests' configuration says.
    pub async fn start_with(dir: TempDir, configure: impl FnOnce(&mut FunctionsConfig)) -> Self {
        Self::start_as(dir, configure, |server| server).await
    }

    /// Starts with a server that is not as usual.
    pub async fn start_on(change: impl FnOnce(Server) -> Server) -> Self {
        Self::start_as(TempDir::new(), |_| {}, change).await
    }

    async fn start_as(
        dir: TempDir,
        configure: impl FnOnce(&mut FunctionsConfig),
        change: impl FnOnce(Server) -> Server,
    ) -> Self {
        let state = State::open(&dir.path().join("state")).unwrap();
        let db = state.db();
        let server = change(Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap());
        let addr = server.addr();
        let mut config = FunctionsConfig::new(addr, dir.path().to_owned(), state.logs_dir());
        config.retry_delays = [Duration::ZERO, Duration::from_millis(1)];
        configure(&mut config);
        let invocations = Invocations::default();
        let queues = Queues::default();
        let deliveries = Deliveries::new(invocations.clone(), queues.clone());
        let event_bridge = Arc::new(EventBridge::new(deliveries.clone()));
        event_bridge.load(&db).unwrap();
        let functions = Functions::open(state.db(), invocations.clone(), config).unwrap();
        let mappings = EventSourceMappings::new(state.db(), queues.clone(), functions.clone());
        let services = Services {
            ecs: Arc::new(Stub("ecs")),
            container_metadata: Arc::new(Stub("metadata")),
            event_bridge: Arc::new(EventBridgeApi::new(state.db(), Arc::clone(&event_bridge))),
            functions: functions.clone(),
            mappings: mappings.clone(),
            scheduler: Arc::new(Stub("scheduler")),
            sns: Arc::new(SnsApi::new(state.db(), deliveries.clone())),
            sqs: Sqs::open(state.db(), queues.clone()).unwrap(),
            s3: Arc::new(Stub("s3")),
        };
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(server.serve(services, async move {
            drop(stopped.await);
        }));
        Self {
            dir,
            db,
            invocations,
            deliveries,
            event_bridge,
            functions,
            queues,
            mappings,
            addr,
            stop,
            serving,
            state,
        }
    }

    /// Queues an asynchronous invocation.
    pub fn enqueue(&self, function: &str, payload: &Value) {
        self.db.write(|tx| self.invocations.enqueue(tx, function, &payload.to_string())).unwrap();
    }

    /// How many rows a table has.
    pub fn count(&self, table: &str) -> u32 {
        let sql = format!("SELECT count(*) FROM {table}");
        self.db.read(|db| db.query_row(&sql, [], |row| row.get(0))).unwrap()
    }

    /// Waits until so many invocations are queued: an answered one leaves the queue a little later.
    pub async fn until_queued(&self, count: u32) {
        soon(async {
            while self.count("lambda_invocations") != count {
                sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
    }

    /// Shuts down in order, and gives the directory back.
    pub async fn stop(self) -> TempDir {
        self.mappings.close();
        timeout(PATIENCE, self.functions.shutdown()).await.expect("functions shut down");
        soon(self.mappings.settled()).await;
        self.queues.close();
        drop(self.stop);
        timeout(PATIENCE, self.serving).await.expect("the server shuts down").unwrap();
        drop((self.db, self.functions, self.mappings, self.state));
        self.dir
    }

    /// Sends a request as it stands, over a connection of its own, and reads the answer: its status and body.
    pub async fn http(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answered {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        let headers: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let headers = headers.concat();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n",
            self.addr,
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        let mut answer = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("it answers").unwrap();
        Answered::parse(&answer)
    }

    /// Calls an operation of a JSON service.
    pub async fn call(&self, target: &str, request: &Value) -> Answered {
        self.http("POST", "/", &[("x-amz-target", target)], request.to_string().as_bytes()).await
    }
}

/// An HTTP response.
#[derive(Debug)]
pub struct Answered {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answered {
    fn parse(answer: &[u8]) -> Self {
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a whole head");
        let head = String::from_utf8(answer[..end].to_vec()).unwrap().to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head, body: answer[end + 4..].to_vec() }
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

/// The function of `examples/function.rs`.
pub fn function(environment: &[(&str, &str)], timeout: Duration) -> Function {
    let deps = std::env::current_exe().unwrap();
    let program = deps.ancestors().nth(2).unwrap().join("examples/function");
    assert!(program.exists(), "build it first: cargo build -p taskferry-local --example function");
    Function {
        command: vec![program.into()],
        environment: environment.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect(),
        timeout,
        memory_mb: 128,
        passing_errors: vec!["Passing".to_owned()],
    }
}

/// The next value of a broadcast.
pub async fn receive<T: Clone>(receiver: &mut broadcast::Receiver<T>) -> T {
    timeout(PATIENCE, receiver.recv()).await.expect("it comes").unwrap()
}

/// How the next attempt ends that is the last of its invocation.
pub async fn last_attempt(ended: &mut broadcast::Receiver<InvocationEnded>) -> InvocationEnded {
    loop {
        let attempt = receive(ended).await;
        if attempt.retry_after.is_none() {
            return attempt;
        }
    }
}

/// Waits for something that must come.
pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it comes")
}

/// A service that says what it was asked.
struct Stub(&'static str);

impl JsonService for Stub {
    fn loses(&self, operation: &str, _: &Answer) -> bool {
        operation == "Lose"
    }

    fn call<'a>(&'a self, operation: &'a str, request: Value) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            Ok(json!({ "service": self.0, "operation": operation, "request": request }))
        })
    }
}

impl HttpService for Stub {
    fn call(&self, request: Request<Body>) -> BoxFuture<'_, Response<Body>> {
        Box::pin(async move {
            let (parts, mut body) = request.into_parts();
            // Frame by frame: what is streamed is never held whole.
            let mut length = 0;
            while let Some(Ok(frame)) = body.frame().await {
                length += frame.data_ref().map_or(0, axum::body::Bytes::len);
            }
            let answer =
                json!({ "service": self.0, "uri": parts.uri.to_string(), "length": length });
            Response::new(Body::from(answer.to_string()))
        })
    }
}
