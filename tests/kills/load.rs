//! The load: clients that put objects and events for as long as there is somebody to take them.
//!
//! Nothing is sent twice, since a second put of an object is a second event. What was sent and not answered is unsure: it
//! may have come to be or not, but not twice.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use fastrand::Rng;

const CLIENTS: u64 = 3;

/// How long a client waits between two, at the most.
const PAUSE_MAX_MILLISECONDS: u64 = 300;

/// How long a client looks for somebody to send to.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// What is sent.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Kind {
    /// An object in the bucket `blue`.
    Blue,
    /// An object in the bucket `green`.
    Green,
    /// An event `Order`.
    Order,
    /// An event `Refresh`.
    Refresh,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Blue, Self::Green, Self::Order, Self::Refresh];

    /// The rules that answer it.
    pub(crate) fn rules(self) -> &'static [&'static str] {
        match self {
            Self::Blue => &["plain"],
            Self::Green => &["tenant"],
            Self::Order => &["order", "flaky"],
            Self::Refresh => &["skipping", "replacing"],
        }
    }
}

/// Something sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) kind: Kind,
    /// Nothing else has this one.
    pub(crate) key: String,
    /// Whether the answer came that it was taken.
    pub(crate) is_accepted: bool,
}

/// The clients, at work.
pub(crate) struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<Vec<Sent>>>,
}

#[derive(Default)]
struct Shared {
    door: Mutex<Door>,
    next_key: AtomicU32,
}

#[derive(Default)]
struct Door {
    endpoint: Option<String>,
    is_over: bool,
}

impl Load {
    /// Clients that wait for somebody to send to.
    pub(crate) fn start(seed: u64) -> Self {
        let shared = Arc::new(Shared::default());
        let clients = (0..CLIENTS).map(|client| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.send_all(Rng::with_seed(seed.wrapping_add(client))))
        });
        let clients = clients.collect();
        Self { shared, clients }
    }

    /// Whom to send to from now on.
    pub(crate) fn open(&self, endpoint: Option<String>) {
        self.shared.door().endpoint = endpoint;
    }

    /// All that was sent.
    pub(crate) fn end(self) -> anyhow::Result<Vec<Sent>> {
        self.shared.door().is_over = true;
        let mut sent = Vec::new();
        for client in self.clients {
            sent.extend(client.join().map_err(|_| anyhow!("a client panicked"))?);
        }
        Ok(sent)
    }
}

impl Shared {
    fn door(&self) -> MutexGuard<'_, Door> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send_all(&self, mut rng: Rng) -> Vec<Sent> {
        let mut sent = Vec::new();
        loop {
            let endpoint = {
                let door = self.door();
                if door.is_over {
                    return sent;
                }
                door.endpoint.clone()
            };
            let Some(endpoint) = endpoint else {
                thread::sleep(LOOK_INTERVAL);
                continue;
            };
            let kind = Kind::ALL[rng.usize(..Kind::ALL.len())];
            let key = format!("in/{}", self.next_key.fetch_add(1, Ordering::Relaxed));
            let is_accepted = send(&endpoint, kind, &key).is_ok();
            sent.push(Sent { kind, key, is_accepted });
            thread::sleep(Duration::from_millis(rng.u64(..PAUSE_MAX_MILLISECONDS)));
        }
    }
}

/// Sends one request on a connection of its own; no client would be so plain, but none that tries again is of use here.
fn send(endpoint: &str, kind: Kind, key: &str) -> anyhow::Result<()> {
    let authority = endpoint.trim_start_matches("http://");
    let put = |bucket: &str| {
        format!(
            "PUT /{bucket}/{key} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\ncontent-length: 1\r\n\r\nx"
        )
    };
    let event = |detail_type: &str| {
        let body = format!(
            r#"{{"Entries":[{{"Source":"shop","DetailType":"{detail_type}","Detail":"{{\"key\":\"{key}\"}}"}}]}}"#
        );
        format!(
            "POST / HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\ncontent-type: application/x-amz-json-1.1\r\n\
             x-amz-target: AWSEvents.PutEvents\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let request = match kind {
        Kind::Blue => put("blue"),
        Kind::Green => put("green"),
        Kind::Order => event("Order"),
        Kind::Refresh => event("Refresh"),
    };
    let mut stream = TcpStream::connect(authority)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    // A connection that is reset after the whole answer has come is one that was answered.
    let read = stream.read_to_string(&mut answer);
    let is_taken = answer.starts_with("HTTP/1.1 200 ")
        && (!answer.contains("FailedEntryCount") || answer.contains("\"FailedEntryCount\":0"));
    let is_whole =
        answer.contains("\r\n\r\n") && (read.is_ok() || matches!(kind, Kind::Blue | Kind::Green));
    (is_taken && is_whole).then_some(()).context("not answered")
}
