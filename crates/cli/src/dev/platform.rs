//! The services on one port: opened, wired to each other, served, and ended in order.
//!
//! Used by `dev` and by `demo`. What the rules ask for is made by `deploy`.

use std::{
    ffi::OsString,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use axum::{
    body::{Body, Bytes},
    http::{Request, Response, StatusCode},
};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde_json::Value;
use taskferry_core::{reason, rules::Rules, wiring::Function};
use taskferry_engine::ports::Runs as _;
use taskferry_local::{
    db::Db,
    delivery::Deliveries,
    ecs::{Containers, Ecs, EcsConfig, METADATA_PREFIX, faults::Faults},
    eventbridge::{EventBridge, EventBridgeApi},
    lambda::{EventSourceMappings, Functions, FunctionsConfig, Invocations},
    protocol::{Answer, respond},
    run_task::RunTask,
    runs::SqliteRuns,
    s3::{self, S3},
    scheduler::{Scheduler, SchedulerApi},
    server::{self, HttpService, JsonService, Server, Services},
    sns::SnsApi,
    sqs::{Clock, Queues, Sqs},
    state::State,
};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

use super::{deploy, steps::Heard};
use crate::{output::hinted, state::StateDir};

/// How often it is looked whether something is due.
const SWEEP_PERIOD: Duration = Duration::from_secs(1);

/// How tasks fare on this machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TaskOptions {
    /// What a container is.
    pub(crate) containers: Containers,
    /// What goes wrong with tasks, on request.
    pub(crate) faults: Faults,
}

/// The services, opened and wired to each other.
pub(super) struct Aws {
    /// Where this program was when it started: once it has been replaced there, as a build does, the system cannot tell.
    pub(super) program: PathBuf,
    pub(super) state: StateDir,
    deliveries: Deliveries,
    pub(super) ecs: Arc<Ecs>,
    pub(super) event_bridge: Arc<EventBridge>,
    pub(super) functions: Functions,
    runs: Arc<SqliteRuns>,
    pub(super) s3: Arc<S3>,
    pub(super) scheduler: Arc<Scheduler>,
    pub(super) queues: Queues,
    pub(super) mappings: EventSourceMappings,
    sqs: Arc<Sqs>,
    // Locked until all else has ended.
    locked: State,
}

/// AWS on this machine, running.
pub(crate) struct Platform {
    aws: Aws,
    address: SocketAddr,
    /// Fires the schedules.
    timer: JoinHandle<()>,
    servers: JoinHandle<()>,
    /// Dropped to stop them.
    serving: watch::Sender<()>,
    /// Those of EventBridge that fire by the clock.
    scheduled_rules: JoinHandle<()>,
}

/// The address, and one for the functions alone: as many clients as there is room for do not keep them from their work.
struct Servers {
    clients: Server,
    functions: Server,
}

impl Servers {
    async fn bind(address: SocketAddr) -> Result<Self, server::Error> {
        let free = SocketAddr::new(address.ip(), 0);
        Ok(Self { clients: Server::bind(address).await?, functions: Server::bind(free).await? })
    }
}

impl Platform {
    /// Opens the state, takes the address, and serves what the rules of the file in the folder `project` ask for. What is told
    /// of it is told from the first on.
    pub(crate) async fn start(
        state: &StateDir,
        address: SocketAddr,
        project: &Path,
        tasks: TaskOptions,
        rules: &Rules,
    ) -> anyhow::Result<(Self, Heard)> {
        let locked = State::open(state.path()).map_err(|error| state.refused(error))?;
        let servers = Servers::bind(address).await.map_err(with_hint)?;
        Self::serve(state, locked, servers, project, tasks, rules)
    }

    /// Wires all, and then serves.
    fn serve(
        state: &StateDir,
        locked: State,
        servers: Servers,
        project: &Path,
        tasks: TaskOptions,
        rules: &Rules,
    ) -> anyhow::Result<(Self, Heard)> {
        let address = servers.clients.addr();
        let aws = Aws::open(state, locked, &servers, project, tasks, rules)?;
        let heard = Heard {
            logs: aws.functions.logs(),
            ended: aws.functions.ended(),
            fired: aws.scheduler.fired(),
            faults: aws.ecs.faults(),
            unmatched: aws.event_bridge.unmatched(),
        };
        tokio::spawn(aws.ecs.sweep_regularly());
        let ecs = Arc::clone(&aws.ecs);
        let run_task: RunTask = Box::new(move |request| ecs.call("RunTask", request));
        let event_bridge = Arc::clone(&aws.event_bridge);
        let scheduled_rules = tokio::spawn(event_bridge.keep_time(aws.locked.db(), run_task));
        tokio::spawn(sweep_regularly(aws.functions.clone(), aws.runs.clone()));
        let timer = tokio::spawn(Arc::clone(&aws.scheduler).run());
        let serving = watch::Sender::new(());
        let stopped = || {
            let mut serving = serving.subscribe();
            // Its sender is dropped: there is nobody left to serve.
            async move { while serving.changed().await.is_ok() {} }
        };
        let for_clients = servers.clients.serve(aws.services(), stopped());
        let for_functions = servers.functions.serve(aws.services(), stopped());
        let servers = tokio::spawn(async {
            tokio::join!(for_clients, for_functions);
        });
        Ok((Self { aws, address, timer, servers, serving, scheduled_rules }, heard))
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
        // What comes due from here on is due at the next start. They end where they sleep.
        self.timer.abort();
        self.scheduled_rules.abort();
        self.aws.mappings.close();
        // First, those that launch: an ECS that shuts down refuses them, and an event is tried only so often.
        let launching = [Function::S3, Function::EventBridge, Function::Sqs, Function::Sweep];
        self.aws.functions.hold(&launching.map(Function::as_str)).await;
        self.aws.ecs.shutdown().await;
        self.aws.functions.shutdown().await;
        self.aws.mappings.settled().await;
        // Who waits for a message would hold the server up.
        self.aws.queues.close();
        drop(self.serving);
        if let Err(error) = self.servers.await {
            tracing::error!(%error, "the servers did not end well");
        }
    }

    /// Whether the state is still where other commands, and the next start, will look for it.
    pub(crate) fn is_state_in_place(&self) -> bool {
        self.aws.locked.is_in_place() && self.aws.runs.is_in_place()
    }

    pub(crate) fn endpoint_url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn state(&self) -> &StateDir {
        &self.aws.state
    }

    /// Makes a bucket, unless it is there.
    pub(crate) fn create_bucket(&self, name: &str) -> anyhow::Result<()> {
        self.aws.s3.create_bucket(name).with_context(|| format!("bucket {name}"))
    }

    pub(crate) fn functions(&self) -> &Functions {
        &self.aws.functions
    }
}

impl Aws {
    /// The services' database.
    pub(super) fn state_db(&self) -> Arc<Db> {
        self.locked.db()
    }

    /// Opens the services with the rules deployed. There are none to be served that are not wired: whoever is answered is
    /// answered by what knows the rules.
    fn open(
        state: &StateDir,
        locked: State,
        servers: &Servers,
        project: &Path,
        tasks: TaskOptions,
        rules: &Rules,
    ) -> anyhow::Result<Self> {
        let runs = SqliteRuns::open(&state.runs()).map_err(|error| state.refused(error.into()))?;
        let runs = Arc::new(runs);
        let invocations = Invocations::default();
        let queues = Queues::default();
        let deliveries = Deliveries::new(invocations.clone(), queues.clone());
        let event_bridge = Arc::new(EventBridge::new(deliveries.clone()));
        event_bridge.load(&locked.db()).context("cannot read the rules of EventBridge")?;
        // Before ECS opens: it tells of the tasks that died with the last process.
        event_bridge.subscribe(deploy::subscriptions(rules));
        let program = std::env::current_exe().context("cannot tell where this program is")?;
        let ecs = Ecs::open(
            locked.db(),
            Arc::clone(&event_bridge),
            EcsConfig {
                tasks_dir: state.tasks(),
                endpoint_url: format!("http://{}", servers.clients.addr()),
                reaper: vec![program.clone().into(), OsString::from("reaper")],
                containers: tasks.containers,
                faults: tasks.faults,
            },
        )?;
        let s3 = S3::open(
            locked.db(),
            deliveries.clone(),
            Arc::clone(&event_bridge),
            locked.dir().join("s3"),
        )?;
        let starter = Arc::clone(&ecs);
        let scheduler = Arc::new(Scheduler::new(
            locked.db(),
            deliveries.clone(),
            Arc::clone(&event_bridge),
            Box::new(move |request| starter.call("RunTask", request)),
            Clock::default(),
        ));
        let (dir, logs_dir) = (locked.dir().to_owned(), locked.logs_dir());
        let config = FunctionsConfig::new(servers.functions.addr(), dir, logs_dir);
        let functions = Functions::open(locked.db(), invocations, config)?;
        // No function of the last `dev` is left, and none of this one has begun.
        runs.look_at_launches(Timestamp::now()).context("cannot look at the runs")?;
        let sqs = Sqs::open(locked.db(), queues.clone()).context("cannot open the queues")?;
        let mappings = EventSourceMappings::new(locked.db(), queues.clone(), functions.clone());
        let aws = Self {
            program,
            state: state.clone(),
            deliveries,
            ecs,
            event_bridge,
            functions,
            runs,
            s3,
            scheduler,
            queues,
            mappings,
            sqs,
            locked,
        };
        deploy::deploy(&aws, project, rules)?;
        Ok(aws)
    }

    fn services(&self) -> Services {
        let event_bridge = Arc::clone(&self.event_bridge);
        Services {
            ecs: Arc::new(EcsApi(Arc::clone(&self.ecs))),
            container_metadata: Arc::new(Metadata(Arc::clone(&self.ecs))),
            event_bridge: Arc::new(EventBridgeApi::new(self.locked.db(), event_bridge)),
            functions: self.functions.clone(),
            scheduler: Arc::new(SchedulerApi::new(Arc::clone(&self.scheduler))),
            sns: Arc::new(SnsApi::new(self.locked.db(), self.deliveries.clone())),
            mappings: self.mappings.clone(),
            sqs: Arc::clone(&self.sqs),
            s3: Arc::new(S3Api(s3::service(Arc::clone(&self.s3)))),
        }
    }
}

/// Invokes the `sweep` function when something is due. On AWS a schedule invokes it each minute; here somebody looks on, and
/// deletes what has been kept for long enough, which DynamoDB does by itself.
async fn sweep_regularly(functions: Functions, runs: Arc<SqliteRuns>) {
    let mut period = interval(SWEEP_PERIOD);
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        period.tick().await;
        if let Err(error) = runs.forget(Timestamp::now()) {
            tracing::warn!(error = reason(&error), "expired runs not deleted");
        }
        // What cannot be read is told by the function, which is asked all the same.
        let is_due = match runs.due(Timestamp::now(), 1).await {
            Ok(due) => !due.runs.is_empty() || !due.limits.is_empty(),
            Err(_) => true,
        };
        if is_due
            && functions.invoke(Function::Sweep.as_str(), Bytes::from_static(b"{}")).await.is_err()
        {
            // The functions have ended, or are about to.
            return;
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
        Box::pin(async move { self.0.answer(operation, request) })
    }

    fn loses(&self, operation: &str, answer: &Answer) -> bool {
        self.0.loses(operation, answer)
    }
}

/// What containers ask about themselves.
struct Metadata(Arc<Ecs>);

impl HttpService for Metadata {
    fn call(&self, request: Request<Body>) -> BoxFuture<'_, Response<Body>> {
        Box::pin(async move {
            let path = request.uri().path().strip_prefix(METADATA_PREFIX);
            if let Some(metadata) = path.and_then(|path| self.0.metadata(path)) {
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

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::{Read as _, Write as _},
        net::{Ipv4Addr, TcpStream},
    };

    use super::*;

    const RULES: &str = "
name: order
rules:
  - name: put
    on: { s3: { bucket: uploads } }
    target: { taskDefinition: copy }
";

    /// An object that is put while the port is taken and nothing served yet is told to the function.
    #[tokio::test(flavor = "multi_thread")]
    async fn whoever_comes_first_finds_all_wired() {
        let dir = tempfile::tempdir().unwrap();
        let project = dir.path();
        let file = project.join("taskferry.yaml");
        fs::write(&file, RULES).unwrap();
        let rules = crate::check::load(&file, &mut Vec::new()).unwrap().unwrap();
        let state = StateDir::new(&project.join("state"));
        let locked = State::open(state.path()).unwrap();
        let servers = Servers::bind((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();

        let mut early = TcpStream::connect(servers.clients.addr()).unwrap();
        let put =
            "PUT /uploads/a HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 1\r\n\r\nx";
        early.write_all(put.as_bytes()).unwrap();
        let tasks = TaskOptions { containers: Containers::Stub, faults: Faults::default() };
        let (platform, _heard) =
            Platform::serve(&state, locked, servers, project, tasks, &rules).unwrap();
        let answer = tokio::task::spawn_blocking(move || {
            let mut answer = String::new();
            early.read_to_string(&mut answer).map(|_| answer)
        });
        let answer = answer.await.unwrap().unwrap();

        // The functions' program is this test, which is none: whatever is queued stays so, or is kept as failed.
        let told: u32 = platform
            .aws
            .locked
            .db()
            .read(|connection| {
                let sql = "SELECT count(*) FROM (SELECT function FROM lambda_invocations
                           UNION ALL SELECT function FROM lambda_failed_invocations)
                           WHERE function = 's3'";
                connection.query_row(sql, [], |row| row.get(0))
            })
            .unwrap();
        platform.shutdown().await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert_eq!(told, 1);
    }
}
