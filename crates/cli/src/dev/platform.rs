//! The services on one port: opened, wired to each other, served, and ended in order.
//!
//! Used by `dev` and by `demo`. What the rules ask for is made by `deploy`.

use std::{ffi::OsString, net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use axum::{
    body::Body,
    http::{Request, Response, StatusCode},
};
use futures_util::future::BoxFuture;
use serde_json::Value;
use taskferry_core::rules::Rules;
use taskferry_local::{
    ecs::{Containers, Ecs, EcsConfig},
    eventbridge::{EventBridge, EventBridgeApi},
    lambda::{Functions, FunctionsConfig, Invocations},
    protocol::{Answer, respond},
    runs::SqliteRuns,
    s3::{self, S3},
    server::{self, HttpService, JsonService, Server, Services},
    state::State,
};
use tokio::{sync::oneshot, task::JoinHandle};

use super::deploy;
use crate::{output::hinted, state::StateDir};

/// AWS on this machine, running.
pub(crate) struct Platform {
    state: StateDir,
    address: SocketAddr,
    ecs: Arc<Ecs>,
    event_bridge: Arc<EventBridge>,
    functions: Functions,
    s3: Arc<S3>,
    server: JoinHandle<()>,
    stop_server: oneshot::Sender<()>,
    // Locked until all else has ended.
    locked: State,
}

impl Platform {
    /// Opens the state and serves on the address; the rules are wired, and not yet deployed.
    pub(crate) async fn start(
        state: &StateDir,
        address: SocketAddr,
        containers: Containers,
        rules: &Rules,
    ) -> anyhow::Result<Self> {
        let locked = State::open(state.path())?;
        // Opened once here, so that a file of a newer version is refused before anything starts.
        drop(SqliteRuns::open(&state.runs())?);
        let server = Server::bind(address).await.map_err(with_hint)?;
        let address = server.addr();

        let invocations = Invocations::default();
        let event_bridge = Arc::new(EventBridge::new(invocations.clone()));
        // Before ECS opens: it tells of the tasks that died with the last process.
        event_bridge.subscribe(deploy::subscriptions(rules));
        let program = std::env::current_exe().context("cannot tell where this program is")?;
        let ecs = Ecs::open(
            locked.db(),
            Arc::clone(&event_bridge),
            EcsConfig {
                tasks_dir: state.tasks(),
                endpoint_url: format!("http://{address}"),
                reaper: vec![program.into(), OsString::from("reaper")],
                containers,
            },
        )?;
        let s3 = S3::open(
            locked.db(),
            invocations.clone(),
            Arc::clone(&event_bridge),
            locked.dir().join("s3"),
        )?;
        let config = FunctionsConfig::new(address, locked.dir().to_owned(), locked.logs_dir());
        let functions = Functions::open(locked.db(), invocations, config)?;

        let services = Services {
            ecs: Arc::new(EcsApi(Arc::clone(&ecs))),
            container_metadata: Arc::new(Metadata(Arc::clone(&ecs))),
            event_bridge: Arc::new(EventBridgeApi::new(locked.db(), Arc::clone(&event_bridge))),
            functions: functions.clone(),
            s3: Arc::new(S3Api(s3::service(Arc::clone(&s3)))),
        };
        let (stop_server, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(server.serve(services, async {
            // Sent, or its sender dropped: either way there is nobody left to serve.
            let _stopped = stopped.await;
        }));
        let state = state.clone();
        Ok(Self { state, address, ecs, event_bridge, functions, s3, server, stop_server, locked })
    }

    /// Makes what the rules ask for, and wires it.
    pub(crate) fn deploy(&self, rules: &Rules) -> anyhow::Result<()> {
        deploy::deploy(self, rules)
    }

    /// Tells other commands where this listens.
    pub(crate) fn announce(&self) -> anyhow::Result<()> {
        Ok(self.locked.announce(self.address)?)
    }

    /// Ends tasks, functions and the server, in this order: each needs the next to end well.
    pub(crate) async fn shutdown(self) {
        self.ecs.shutdown().await;
        self.functions.shutdown().await;
        // The server has ended by itself only if it panicked, and then there is nothing to stop.
        let _stopped = self.stop_server.send(());
        if let Err(error) = self.server.await {
            tracing::error!(%error, "the server did not end well");
        }
    }

    pub(crate) fn endpoint_url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn state(&self) -> &StateDir {
        &self.state
    }

    pub(crate) fn functions(&self) -> &Functions {
        &self.functions
    }

    pub(super) fn ecs(&self) -> &Arc<Ecs> {
        &self.ecs
    }

    pub(super) fn event_bridge(&self) -> &EventBridge {
        &self.event_bridge
    }

    pub(super) fn s3(&self) -> &S3 {
        &self.s3
    }
}

fn with_hint(error: server::Error) -> anyhow::Error {
    match error.hint() {
        Some(hint) => hinted(error, hint),
        None => error.into(),
    }
}

/// ECS's API behind the port.
struct EcsApi(Arc<Ecs>);

impl JsonService for EcsApi {
    fn call<'a>(&'a self, operation: &'a str, request: Value) -> BoxFuture<'a, Answer> {
        Box::pin(async move { self.0.call(operation, request.to_string().as_bytes()) })
    }
}

/// What containers ask about themselves.
struct Metadata(Arc<Ecs>);

impl HttpService for Metadata {
    fn call(&self, request: Request<Body>) -> BoxFuture<'_, Response<Body>> {
        Box::pin(async move {
            match self.0.metadata(request.uri().path()) {
                Some(metadata) => respond(Ok(metadata), "application/json"),
                None => {
                    let mut response = Response::new(Body::from("no such container\n"));
                    *response.status_mut() = StatusCode::NOT_FOUND;
                    response
                }
            }
        })
    }
}

/// S3's API behind the port.
struct S3Api(s3::Service);

impl HttpService for S3Api {
    fn call(&self, request: Request<Body>) -> BoxFuture<'_, Response<Body>> {
        Box::pin(self.0.call(request))
    }
}
