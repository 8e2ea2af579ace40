//! One port for all services: which request goes where.
//!
//! Each connection is served by itself: a slow or broken client holds up nobody else, and one that has stopped is not waited
//! for without end. Bodies of the JSON services are read whole, up to a limit; all others are streamed. Only loopback
//! addresses are served, since nobody is asked for credentials, and no other site's web page.

mod patience;

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, Method, Request, Response, StatusCode, header},
};
use futures_util::{future::BoxFuture, stream};
use http_body_util::StreamBody;
use hyper::{
    body::{Body as _, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{sleep, timeout},
};

pub(crate) use self::patience::Stalled;
use self::patience::{PatientBody, PatientStream};
use crate::{
    elsewhere,
    eventbridge::EventBridgeApi,
    foreign,
    lambda::{EventSourceMappings, Functions, MAPPINGS},
    protocol::{Answer, BodyError, Exception, read_body, respond},
    sns::SnsApi,
    sqs::{self, Sqs},
};

const AMZ_JSON: &str = "application/x-amz-json-1.1";

/// How long a JSON service's request may be. The longest of AWS's is a `PutEvents` of 1 MB, escaped inside JSON.
const JSON_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How long a client may take to send a request's head, also from the end of the last request: longer than HTTP clients
/// keep idle connections, so that the client is the one who closes, and no request meets a closing connection.
const HEAD_TIMEOUT: Duration = Duration::from_mins(2);

/// How many connections are served at once; further ones wait for their turn in the system's queue.
///
/// Each may have an object's file open beside itself, and all of that has to find room among the 1,024 files that a process
/// may commonly have open. None of those that are served stays for ever: see `patience`, and [`HEAD_TIMEOUT`].
const CONNECTIONS_MAX: usize = 400;

/// How long, and for how many bytes, a client is listened to that still sends when it has been answered.
const LINGER_TIME_MAX: Duration = Duration::from_secs(2);
const LINGER_BYTES_MAX: usize = 4 * 1024 * 1024;
const LINGER_BUFFER: usize = 16 * 1024;

/// How long connections that are being answered are waited for at the end.
const DRAIN: Duration = Duration::from_secs(2);

/// How often a port is tried that is in use: of a server that was killed, a process that it was about to start holds it for a
/// moment.
const BIND_TRIES: u32 = 10;
const BIND_RETRY: Duration = Duration::from_millis(20);

/// The wait after a connection could not be taken; the usual cause is that this process has too many files open.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Why the server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another program listens there.
    #[error("port {port} is in use", port = addr.port())]
    PortInUse {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// The address is reachable from other machines.
    #[error("{addr} is no loopback address, and this server asks nobody for credentials")]
    NotLoopback {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// The system refused.
    #[error("cannot listen on {addr}")]
    Listen {
        /// The address asked for.
        addr: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
}

impl Error {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::PortInUse { .. } => Some(
                "stop the other program, or choose a port: --port 0 takes a free one".to_owned(),
            ),
            Self::NotLoopback { .. } => Some("listen on 127.0.0.1".to_owned()),
            Self::Listen { .. } => None,
        }
    }
}

/// A service that speaks AWS's JSON protocol: an operation and its request in, an answer out.
pub trait JsonService: Send + Sync {
    /// Performs an operation.
    fn call<'a>(&'a self, operation: &'a str, request: Value) -> BoxFuture<'a, Answer>;

    /// Whether this answer is to be lost on its way: the client's connection is closed without one.
    fn loses(&self, _operation: &str, _answer: &Answer) -> bool {
        false
    }
}

/// A service that takes requests as they are.
pub trait HttpService: Send + Sync {
    /// Answers a request.
    fn call(&self, request: Request<Body>) -> BoxFuture<'_, Response<Body>>;
}

impl JsonService for EventBridgeApi {
    fn call<'a>(&'a self, operation: &'a str, request: Value) -> BoxFuture<'a, Answer> {
        Box::pin(async move { self.call(operation, request) })
    }
}

/// The services behind the port.
#[derive(Clone)]
pub struct Services {
    /// ECS's API.
    pub ecs: Arc<dyn JsonService>,
    /// What containers ask about themselves, below `/_ecs/`.
    pub container_metadata: Arc<dyn HttpService>,
    /// EventBridge's API.
    pub event_bridge: Arc<dyn JsonService>,
    /// Lambda.
    pub functions: Functions,
    /// Lambda's event source mappings.
    pub mappings: EventSourceMappings,
    /// Scheduler's API: what is signed for it.
    pub scheduler: Arc<dyn HttpService>,
    /// SNS's API.
    pub sns: Arc<SnsApi>,
    /// SQS.
    pub sqs: Arc<Sqs>,
    /// S3: whatever no other service claims.
    pub s3: Arc<dyn HttpService>,
}

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Services").finish_non_exhaustive()
    }
}

/// The port, taken but not served yet, so that its number can be told to what is started next.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    addr: SocketAddr,
    connections_max: usize,
}

impl Server {
    /// Takes a port; port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// [`Error::PortInUse`], [`Error::NotLoopback`], or [`Error::Listen`] for all else.
    pub async fn bind(addr: SocketAddr) -> Result<Self, Error> {
        if !addr.ip().is_loopback() {
            return Err(Error::NotLoopback { addr });
        }
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => Error::PortInUse { addr },
            _ => Error::Listen { addr, source },
        };
        let mut tries = BIND_TRIES;
        let listener = loop {
            match TcpListener::bind(addr).await {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries > 1 => tries -= 1,
                bound => break bound.map_err(failed)?,
            }
            sleep(BIND_RETRY).await;
        };
        let addr = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, addr, connections_max: CONNECTIONS_MAX })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves so many connections at once, and not as many as usual.
    #[must_use]
    pub fn with_connections_max(self, connections_max: usize) -> Self {
        Self { connections_max, ..self }
    }

    /// Serves until `shutdown` is ready, then ends the requests that are being answered, within some seconds.
    pub async fn serve(self, services: Services, shutdown: impl Future<Output = ()>) {
        let (closing, closed) = watch::channel(());
        let services = Arc::new(services);
        let mut shutdown = std::pin::pin!(shutdown);
        let places = Arc::new(Semaphore::new(self.connections_max));
        let (mut is_full, mut is_crowded) = (false, false);
        loop {
            let was_crowded = std::mem::replace(&mut is_crowded, places.available_permits() == 0);
            if is_crowded && !was_crowded {
                let most = self.connections_max;
                tracing::warn!(
                    "{most} connections are open, and no more are served at once: others wait"
                );
            }
            let accepted = tokio::select! {
                accepted = accept(&self.listener, &places) => accepted,
                () = &mut shutdown => break,
            };
            match accepted {
                Ok((stream, place)) => {
                    is_full = false;
                    let served = connection(stream, Arc::clone(&services), closed.clone());
                    tokio::spawn(async move {
                        served.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    // Once until it has passed: it is tried ten times a second.
                    if !std::mem::replace(&mut is_full, true) {
                        tracing::warn!(%error, "cannot take connections for now");
                    }
                    sleep(ACCEPT_RETRY).await;
                }
            }
        }
        drop((self.listener, closed));
        // Ends their waiting, and is ready once the last of them has dropped its end.
        if closing.send(()).is_ok() && timeout(DRAIN, closing.closed()).await.is_err() {
            tracing::warn!("requests were still being answered and were cut off");
        }
    }
}

/// An answer that its service wants to be lost.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the answer is lost, as its service wants it")]
struct Lost;

/// Takes the next connection, once there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await;
    let place = place.expect("nobody closes the semaphore");
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

/// Serves one connection to its end.
async fn connection(stream: TcpStream, services: Arc<Services>, mut closing: watch::Receiver<()>) {
    // Small answers are the rule here, and nobody should wait for them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let service = service_fn(move |request: Request<Incoming>| {
        let services = Arc::clone(&services);
        let answer = async move {
            let (request, is_wanted) = watch_body(request);
            let mut response = dispatch(&services, request).await;
            if !is_wanted.load(Ordering::Relaxed) {
                response
                    .headers_mut()
                    .insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            if response.extensions().get::<Lost>().is_some() { Err(Lost) } else { Ok(response) }
        };
        Box::pin(answer)
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(PatientStream::new(stream)), service);
    let ended = tokio::select! {
        ended = poll_fn(|context| connection.poll_without_shutdown(context)) => ended,
        _ = closing.changed() => {
            Pin::new(&mut connection).graceful_shutdown();
            log_break(connection.await);
            return;
        }
    };
    log_break(ended);
    tokio::select! {
        () = linger(connection.into_parts().io.into_inner()) => {}
        _ = closing.changed() => {}
    }
}

/// Tells whether a body that a client asked about beforehand was read; every other is as if it was.
///
/// A client that was not told to continue sends no body, so the connection is at its end with the answer. It has to be
/// told so, or it sends the next request on it.
fn watch_body(request: Request<Incoming>) -> (Request<Body>, Arc<AtomicBool>) {
    let is_asked = request.headers().contains_key(header::EXPECT);
    let is_wanted = Arc::new(AtomicBool::new(!is_asked));
    let read = Arc::clone(&is_wanted);
    let request = request.map(|body| {
        if body.is_end_stream() {
            read.store(true, Ordering::Relaxed);
            return Body::empty();
        }
        let mut body = PatientBody::new(body);
        if !is_asked {
            return Body::new(body);
        }
        Body::new(StreamBody::new(stream::poll_fn(move |context| {
            read.store(true, Ordering::Relaxed);
            Pin::new(&mut body).poll_frame(context)
        })))
    });
    (request, is_wanted)
}

fn log_break(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

/// Closes a connection so that its last answer arrives.
///
/// A client may still be sending a body that was refused unread, one also that asked beforehand, and waited no longer.
/// Were the connection closed under it, the system would answer with a reset, and the client lose what it has not read.
async fn linger(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let lingered = async {
        stream.shutdown().await?;
        let mut taken = 0;
        let mut buffer = vec![0; LINGER_BUFFER];
        while taken < LINGER_BYTES_MAX {
            match stream.read(&mut buffer).await? {
                0 => break,
                bytes => taken += bytes,
            }
        }
        Ok::<_, io::Error>(())
    };
    if let Ok(Err(error)) = timeout(LINGER_TIME_MAX, lingered).await {
        tracing::debug!(%error, "a client was gone before its connection was closed");
    }
}

/// Sends a request to its service.
async fn dispatch(services: &Services, request: Request<Body>) -> Response<Body> {
    if foreign::is_foreign(request.headers()) {
        drop(read(request).await);
        return foreign::refusal();
    }
    if let Some(target) = request.headers().get("x-amz-target") {
        let target = String::from_utf8_lossy(target.as_bytes()).into_owned();
        if let Some((sqs::TARGET, operation)) = target.split_once('.') {
            return services.sqs.json(operation, request).await;
        }
        return json_operation(services, &target, request).await;
    }
    let path = request.uri().path().to_owned();
    if let Some(path) = path.strip_prefix("/_lambda/") {
        let (process, path) = path.split_once('/').unwrap_or((path, ""));
        return services.functions.runtime_api(process, path, request).await;
    }
    if request.method() == Method::POST
        && let Some(path) = path.strip_prefix("/2015-03-31/functions/")
        && let Some(function) = path.strip_suffix("/invocations")
    {
        return services.functions.invoke_api(function, request).await;
    }
    if path.strip_prefix(MAPPINGS).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
        return services.mappings.api(request).await;
    }
    if path.starts_with("/_ecs/") {
        return services.container_metadata.call(request).await;
    }
    if path == "/_taskferry/health" {
        let mut response = Response::new(Body::from(json!({ "status": "ok" }).to_string()));
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        return response;
    }
    let service = elsewhere::service(request.headers());
    let (parts, body) = request.into_parts();
    let is_sqs = service.as_deref().map_or_else(|| sqs::claims(&parts), |it| it == "sqs");
    let request = Request::from_parts(parts, body);
    if is_sqs {
        return services.sqs.query(request).await;
    }
    if let Some(service) = service {
        if service == "scheduler" {
            return services.scheduler.call(request).await;
        }
        if service == "sns" {
            return services.sns.call(request).await;
        }
        return elsewhere::answer(&service, request).await;
    }
    services.s3.call(request).await
}

/// Performs the operation that `X-Amz-Target` names.
async fn json_operation(
    services: &Services,
    target: &str,
    request: Request<Body>,
) -> Response<Body> {
    let (service, operation) = match target.split_once('.') {
        Some(("AmazonEC2ContainerServiceV20141113", operation)) => (&services.ecs, operation),
        Some(("AWSEvents", operation)) => (&services.event_bridge, operation),
        _ => {
            // Read all the same: a client that is still writing does not read the answer.
            drop(read(request).await);
            let message = format!("no service on this machine has the operation {target}");
            let exception = Exception::client("UnknownOperationException", message);
            return respond(Err(exception), AMZ_JSON);
        }
    };
    let answer = match read_json(request).await {
        Ok(request) => service.call(operation, request).await,
        Err(exception) => Err(exception),
    };
    let is_lost = service.loses(operation, &answer);
    let mut response = respond(answer, AMZ_JSON);
    if is_lost {
        response.extensions_mut().insert(Lost);
    }
    response
}

/// Reads a request of a JSON service: an object.
async fn read_json(request: Request<Body>) -> Result<Value, Exception> {
    let body = read(request).await?;
    let request = if body.is_empty() {
        json!({})
    } else {
        serde_json::from_slice(&body)
            .map_err(|error| Exception::client("SerializationException", error.to_string()))?
    };
    if !request.is_object() {
        let message = "a request is a JSON object";
        return Err(Exception::client("SerializationException", message));
    }
    Ok(request)
}

/// Reads a request of a JSON service.
async fn read(request: Request<Body>) -> Result<Bytes, Exception> {
    read_body(request.into_body(), JSON_BYTES_MAX).await.map_err(|error| match error {
        BodyError::TooLong { .. } => Exception {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            ..Exception::client("RequestEntityTooLargeException", error.to_string())
        },
        BodyError::BrokenOff { .. } => {
            Exception::client("SerializationException", error.to_string())
        }
    })
}
