//! The services on one port: opened, wired to each other, served, and ended in order.
//!
//! Used by `dev` and by `demo`. What the rules ask for is made by `deploy`.

use std::{ffi::OsString, net::SocketAddr, path::Path, sync::Arc};

use anyhow::Context as _;
use axum::{
    body::Body,
    http::{Request, Response, StatusCode},
};
use futures_util::future::BoxFuture;
use serde_json::Value;
use taskferry_core::{rules::Rules, wiring::Function};
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

/// The services, opened and wired to each other.
pub(super) struct Aws {
    pub(super) state: StateDir,
    pub(super) ecs: Arc<Ecs>,
    pub(super) event_bridge: Arc<EventBridge>,
    pub(super) functions: Functions,
    pub(super) s3: Arc<S3>,
    // Locked until all else has ended.
    locked: State,
}

/// AWS on this machine, running.
pub(crate) struct Platform {
    aws: Aws,
    address: SocketAddr,
    server: JoinHandle<()>,
    stop_server: oneshot::Sender<()>,
}

impl Platform {
    /// Opens the state, deploys the rules of the file in the folder `project`, and serves on the address.
    ///
    /// In this order: who finds the port open finds all wired behind it.
    pub(crate) async fn start(
        state: &StateDir,
        address: SocketAddr,
        project: &Path,
        containers: Containers,
        rules: &Rules,
    ) -> anyhow::Result<Self> {
        let locked = State::open(state.path()).map_err(|error| state.refused(error))?;
        let server = Server::bind(address).await.map_err(with_hint)?;
        let address = server.addr();
        let aws = Aws::open(state, locked, address, containers, rules)?;
        deploy::deploy(&aws, project, rules)?;
        let (stop_server, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(server.serve(aws.services(), async {
            // Sent, or its sender dropped: either way there is nobody left to serve.
            let _stopped = stopped.await;
        }));
        Ok(Self { aws, address, server, stop_server })
    }

    /// Makes what changed rules ask for, and wires it.
    pub(crate) fn deploy(&self, project: &Path, rules: &Rules) -> anyhow::Result<()> {
        deploy::deploy(&self.aws, project, rules)
    }

    /// What is to be said of rules whose task definition is not on this machine.
    pub(crate) fn missing_task_definitions(&self, rules: &Rules) -> Vec<String> {
        deploy::missing_task_definitions(&self.aws, rules)
    }

    /// Tells other commands where this listens.
    pub(crate) fn announce(&self) -> anyhow::Result<()> {
        Ok(self.aws.locked.announce(self.address)?)
    }

    /// Ends tasks, functions and the server, in this order: each needs the next to end well.
    pub(crate) async fn shutdown(self) {
        // First, those that launch: an ECS that shuts down refuses them, and an event is tried only so often.
        self.aws.functions.hold(&[Function::S3.as_str(), Function::EventBridge.as_str()]).await;
        self.aws.ecs.shutdown().await;
        self.aws.functions.shutdown().await;
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
        &self.aws.state
    }

    pub(crate) fn event_bridge(&self) -> &EventBridge {
        &self.aws.event_bridge
    }

    pub(crate) fn functions(&self) -> &Functions {
        &self.aws.functions
    }
}

impl Aws {
    fn open(
        state: &StateDir,
        locked: State,
        address: SocketAddr,
        containers: Containers,
        rules: &Rules,
    ) -> anyhow::Result<Self> {
        // Opened once here, so that records of a newer version are refused before anything starts.
        drop(SqliteRuns::open(&state.runs()).map_err(|error| state.refused(error.into()))?);
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
        Ok(Self { state: state.clone(), ecs, event_bridge, functions, s3, locked })
    }

    fn services(&self) -> Services {
        let event_bridge = Arc::clone(&self.event_bridge);
        Services {
            ecs: Arc::new(EcsApi(Arc::clone(&self.ecs))),
            container_metadata: Arc::new(Metadata(Arc::clone(&self.ecs))),
            event_bridge: Arc::new(EventBridgeApi::new(self.locked.db(), event_bridge)),
            functions: self.functions.clone(),
            s3: Arc::new(S3Api(s3::service(Arc::clone(&self.s3)))),
        }
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
        Box::pin(async move { self.0.call(operation, request) })
    }
}

/// What containers ask about themselves.
struct Metadata(Arc<Ecs>);

impl HttpService for Metadata {
    fn call(&self, request: Request<Body>) -> BoxFuture<'_, Response<Body>> {
        Box::pin(async move {
            if let Some(metadata) = self.0.metadata(request.uri().path()) {
                respond(Ok(metadata), "application/json")
            } else {
                let mut response = Response::new(Body::from("no such container\n"));
                *response.status_mut() = StatusCode::NOT_FOUND;
                response
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
