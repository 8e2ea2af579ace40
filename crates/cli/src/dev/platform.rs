//! The services on one port: opened, wired to each other, served, and ended in order.
//!
//! Used by `dev` and by `demo`. What the rules ask for is not here but in `deploy`.

use std::{
    fs,
    net::SocketAddr,
    sync::Arc,
};

use anyhow::Context as _;
use taskferry_core::rules::Rules;
use taskferry_local::{
    db::Db,
    ecs::{Containers, Ecs, EcsConfig},
    eventbridge::{EventBridge, EventBridgeApi},
    lambda::{Functions, FunctionsConfig, Invocations},
    runs::SqliteRuns,
    s3::S3,
    server::{Server, Services},
    state::State,
};
use tokio::{sync::oneshot, task::JoinHandle};

use super::deploy;
use crate::state::StateDir;

/// AWS on this machine, running.
pub(crate) struct Platform {
    state_dir: StateDir,
    state: State,
    address: SocketAddr,
    ecs: Arc<Ecs>,
    event_bridge: Arc<EventBridge>,
    functions: Arc<Functions>,
    s3: Arc<S3>,
    server: JoinHandle<()>,
    stop_server: oneshot::Sender<()>,
}

impl Platform {
    /// Opens the state and serves on the address; nothing is deployed yet.
    pub(crate) async fn start(state_dir: &StateDir, address: SocketAddr) -> anyhow::Result<Self> {
        let state = State::open(state_dir.path())?;
        todo!()
    }
}
