//! The functions: deployed by whoever starts the server, invoked from the queue or by a client.
//!
//! Performs what [`super::fleet`] decides. One spawned dispatcher loads invocations and starts processes, and one
//! supervisor per process waits for its end; both sleep until they are called or something is due.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use jiff::Timestamp;
use tokio::{
    sync::{Notify, broadcast, oneshot},
    time::{Instant, sleep_until, timeout},
};
use uuid::Uuid;

use super::{
    FailedInvocation, InvokeOutcome, LogLine,
    fleet::{Fleet, Remains, Room, Start, Supervision},
    invocation::{FunctionError, Origin, Work},
    logs::Logs,
    process::{self, FunctionProcess},
    queue::{self, Invocations},
};
use crate::db::Db;

/// How many ended invocations a listener may lag behind before it loses some.
const ENDED_BEHIND_MAX: usize = 1024;

/// The wait after the queue could not be read before it is tried again.
const DB_RETRY: Duration = Duration::from_secs(1);

/// How functions are run on this machine.
#[derive(Clone, Debug)]
pub struct FunctionsConfig {
    /// Where the server listens: functions find the Runtime API and AWS's services there.
    pub endpoint: SocketAddr,
    /// Where functions run, absolute.
    pub task_root: PathBuf,
    /// Where their logs go: a file per function.
    pub logs_dir: PathBuf,
    /// How large a function's log becomes before it is the former one, and another begun. There are two at most.
    pub log_bytes_max: u64,
    /// The waits before the second and the third attempt of an asynchronous invocation. Lambda waits one minute and
    /// two; here it is one second and two, as somebody is watching.
    // https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
    pub retry_delays: [Duration; 2],
    /// The shortest and the longest wait before an attempt that does not count: otherwise an event waits as long again as
    /// it has waited. Lambda waits 1 second to 5 minutes.
    // https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
    // "The retry interval increases exponentially from 1 second after the first attempt to a maximum of 5 minutes."
    pub passing_delays: [Duration; 2],
    /// How old an event may be for an attempt that failed not to count; six hours, as on Lambda.
    pub event_age_max: Duration,
    /// How many processes of one function there are at most.
    pub concurrency_limit: usize,
    /// How long a process is kept that has nothing to do. One of each function always is.
    pub idle_timeout: Duration,
    /// How long a process may take until it asks for its first invocation.
    // https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
    pub init_timeout: Duration,
    /// How long a process has between SIGTERM and SIGKILL.
    pub stop_timeout: Duration,
    /// How long [`Functions::shutdown`] waits for invocations that run.
    pub shutdown_timeout: Duration,
}

impl FunctionsConfig {
    /// The defaults.
    pub fn new(endpoint: SocketAddr, task_root: PathBuf, logs_dir: PathBuf) -> Self {
        Self {
            endpoint,
            task_root,
            logs_dir,
            log_bytes_max: 10 * 1024 * 1024,
            retry_delays: [Duration::from_secs(1), Duration::from_secs(2)],
            passing_delays: [Duration::from_secs(1), Duration::from_secs(30)],
            event_age_max: Duration::from_hours(6),
            concurrency_limit: 4,
            idle_timeout: Duration::from_mins(5),
            init_timeout: Duration::from_secs(10),
            stop_timeout: Duration::from_millis(500),
            shutdown_timeout: Duration::from_secs(5),
        }
    }
}

/// A function, as it is deployed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Function {
    /// The program and its arguments.
    pub command: Vec<OsString>,
    /// Environment variables beside Lambda's own, which win. Nothing else but `PATH` is inherited.
    pub environment: Vec<(String, String)>,
    /// How long an invocation may take.
    pub timeout: Duration,
    /// What the function is told about its memory. It is not limited here.
    pub memory_mb: u32,
    /// The error types by which the function says that the event is not at fault and what failed may pass. Such an attempt
    /// of a queued invocation does not count, as one that met a fault of Lambda's own does not.
    pub passing_errors: Vec<String>,
}

/// An attempt of an invocation has ended.
#[derive(Clone, Debug)]
pub struct InvocationEnded {
    /// The function.
    pub function: Arc<str>,
    /// The request id, the same in every attempt.
    pub request_id: Arc<str>,
    /// Which attempt it was, counted from 1.
    pub attempt: u32,
    /// Whether it came from the queue, and not from a client that waits for its answer.
    pub is_queued: bool,
    /// Whether it counts: if not, the next has the same number.
    pub is_counted: bool,
    /// Why it failed, if it did.
    pub error: Option<FunctionError>,
    /// How long until the next attempt; `None` when there is none.
    pub retry_after: Option<Duration>,
}

/// What follows an attempt.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// Nothing: it succeeded, or was the last.
    None,
    /// Another, after this wait.
    Counted(Duration),
    /// Another after this wait, and the one that failed does not count.
    Uncounted(Duration),
}

/// Why functions cannot be run or invoked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log directory cannot be made.
    #[error("cannot create the log directory {path}", path = path.display())]
    Logs {
        /// The directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The queue cannot be read or written.
    #[error("cannot read or write the queue of invocations")]
    Queue(#[from] rusqlite::Error),
    /// No function of that name is deployed.
    #[error("function {name} is not deployed")]
    NotDeployed {
        /// The name asked for.
        name: String,
    },
    /// The server shuts down.
    #[error("functions are shutting down")]
    ShuttingDown,
}

/// The functions on this machine.
#[derive(Clone, Debug)]
pub struct Functions {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) db: Arc<Db>,
    pub(super) invocations: Invocations,
    config: FunctionsConfig,
    fleet: Mutex<Fleet>,
    logs: Arc<Logs>,
    ended: broadcast::Sender<InvocationEnded>,
    opened: Instant,
    /// A process ended, or stopped working on an invocation.
    pub(super) quiet: Notify,
}

impl Functions {
    /// Opens the queue, and ends what processes an unclean stop left behind. Must be called inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`Error::Logs`] if the log directory cannot be made, [`Error::Queue`] if the queue cannot be read.
    pub fn open(
        db: Arc<Db>,
        invocations: Invocations,
        config: FunctionsConfig,
    ) -> Result<Self, Error> {
        let logs = Logs::open(config.logs_dir.clone(), config.log_bytes_max)
            .map_err(|source| Error::Logs { path: config.logs_dir.clone(), source })?;
        db.read(|connection| invocations.go_on(connection))?;
        for (id, pid) in db.read(queue::processes)? {
            if process::kill_leftover(&id, pid) {
                tracing::info!(pid, "killed a function process that an unclean stop left behind");
            }
            db.write(|tx| queue::remove_process(tx, &id))?;
        }
        let inner = Arc::new(Inner {
            db,
            invocations,
            fleet: Mutex::new(Fleet::new(&config)),
            config,
            logs: Arc::new(logs),
            ended: broadcast::channel(ENDED_BEHIND_MAX).0,
            opened: Instant::now(),
            quiet: Notify::new(),
        });
        tokio::spawn(dispatch(Arc::clone(&inner)));
        Ok(Self { inner })
    }

    /// Deploys a function, or deploys it anew: what runs ends in the old processes, all else goes to new ones.
    ///
    /// # Errors
    ///
    /// [`Error::Queue`] if the function's waiting invocations cannot be read.
    pub fn deploy(&self, name: &str, function: Function) -> Result<(), Error> {
        let tried = self.inner.db.read(|connection| queue::load_tried(connection, name))?;
        let (now, now_wall) = (Instant::now(), Timestamp::now().as_millisecond());
        let tried = tried.into_iter().map(|(id, due_at)| {
            // A clock that was set back must not hold an invocation for longer than a delay.
            let wait = u64::try_from(due_at.saturating_sub(now_wall)).unwrap_or(0);
            (now + Duration::from_millis(wait).min(self.inner.config.retry_delays[1]), id)
        });
        let tried: BTreeSet<_> = tried.collect();
        self.inner.fleet().deploy(&name.into(), Arc::new(function), tried);
        self.inner.invocations.deployed(name);
        self.inner.invocations.wake();
        Ok(())
    }

    /// Invokes a function and waits for its answer, also for a free process.
    ///
    /// # Errors
    ///
    /// [`Error::NotDeployed`], or [`Error::ShuttingDown`] if there is no more answer to be had.
    pub async fn invoke(&self, name: &str, payload: Bytes) -> Result<InvokeOutcome, Error> {
        self.invoke_as(Uuid::now_v7(), name, payload).await
    }

    /// [`Self::invoke`] under a request id of the caller's.
    pub(super) async fn invoke_as(
        &self,
        request_id: Uuid,
        name: &str,
        payload: Bytes,
    ) -> Result<InvokeOutcome, Error> {
        let (client, outcome) = oneshot::channel();
        let work = Work {
            request_id: request_id.to_string().into(),
            payload,
            origin: Origin::Invoked(client),
        };
        {
            let mut fleet = self.inner.fleet();
            if !fleet.has(name) {
                return Err(Error::NotDeployed { name: name.to_owned() });
            }
            if !fleet.invoke(name, work) {
                return Err(Error::ShuttingDown);
            }
        }
        self.inner.invocations.wake();
        outcome.await.map_err(|_| Error::ShuttingDown)
    }

    /// Whether a function is deployed.
    pub fn is_deployed(&self, name: &str) -> bool {
        self.inner.fleet().has(name)
    }

    /// How long a function may take, if it is deployed.
    pub(super) fn timeout(&self, name: &str) -> Option<Duration> {
        self.inner.fleet().timeout(name)
    }

    /// How many processes of one function there are at most.
    pub(super) fn concurrency_limit(&self) -> usize {
        self.inner.config.concurrency_limit
    }

    /// The asynchronous invocations that failed for good, oldest first.
    ///
    /// # Errors
    ///
    /// [`Error::Queue`] if they cannot be read.
    pub fn failed(&self) -> Result<Vec<FailedInvocation>, Error> {
        Ok(self.inner.db.read(queue::failed)?)
    }

    /// Listens to what functions print from now on. Who reads slowly loses lines; a function never waits.
    pub fn logs(&self) -> broadcast::Receiver<LogLine> {
        self.inner.logs.subscribe()
    }

    /// Listens to how invocations end from now on.
    pub fn ended(&self) -> broadcast::Receiver<InvocationEnded> {
        self.inner.ended.subscribe()
    }

    /// The directory of the log files.
    pub fn logs_dir(&self) -> &Path {
        &self.inner.config.logs_dir
    }

    /// Has functions begin nothing more, and waits a while for what they work on. Their events stay queued, for the next
    /// start.
    pub async fn hold(&self, names: &[&str]) {
        self.inner.fleet().hold(names);
        let calm = self.inner.until(|fleet| !fleet.is_active(|name| names.contains(&name)));
        if timeout(self.inner.config.shutdown_timeout, calm).await.is_err() {
            tracing::warn!(?names, "functions are still at work");
        }
    }

    /// Begins nothing more, waits a while for what runs, and ends all processes. What was not answered stays queued.
    ///
    /// The server must be serving until this returns, since functions answer through it.
    pub async fn shutdown(&self) {
        self.inner.fleet().close();
        self.inner.invocations.wake();
        let calm = self.inner.until(|fleet| !fleet.is_active(|_| true));
        if timeout(self.inner.config.shutdown_timeout, calm).await.is_err() {
            tracing::warn!("functions are still at work and are stopped; their events stay queued");
        }
        self.inner.fleet().stop_all();
        self.inner.until(Fleet::is_empty).await;
        // What cannot be deleted is delivered again at the next start.
        self.inner.invocations.delete_all_answered(&self.inner.db);
    }
}

impl Inner {
    pub(super) fn fleet(&self) -> MutexGuard<'_, Fleet> {
        // Each method leaves the fleet whole, also where it could panic.
        self.fleet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the fleet is as asked.
    async fn until(&self, is_so: impl Fn(&Fleet) -> bool) {
        loop {
            let mut changed = std::pin::pin!(self.quiet.notified());
            changed.as_mut().enable();
            if is_so(&self.fleet()) {
                return;
            }
            changed.await;
        }
    }

    /// Calls the dispatcher if it is needed for a function.
    pub(super) fn call_dispatcher(&self, fleet: &Fleet, function: &str) {
        if fleet.needs_dispatcher(function, Instant::now()) {
            self.invocations.wake();
        }
    }

    /// Tells whom it concerns how an attempt ended, and has a failed one repeated, or kept.
    pub(super) fn finish(&self, function: &Arc<str>, work: Work, outcome: InvokeOutcome) {
        let may_pass = match &outcome {
            InvokeOutcome::Failed(error) => self.fleet().is_passing(function, error),
            InvokeOutcome::Succeeded(_) => false,
        };
        self.end(function, work, outcome, may_pass);
    }

    /// [`Self::finish`] for what waited for a process that ended before it took anything: that is the fault of no event, and
    /// on a machine that has no time for a new process it would be counted against each one that waits.
    fn not_begun(&self, function: &Arc<str>, work: Work, error: FunctionError) {
        self.end(function, work, InvokeOutcome::Failed(error), true);
    }

    fn end(&self, function: &Arc<str>, work: Work, outcome: InvokeOutcome, may_pass: bool) {
        let Work { request_id, origin, .. } = work;
        let error = match &outcome {
            InvokeOutcome::Failed(error) => Some(error.clone()),
            InvokeOutcome::Succeeded(_) => None,
        };
        let is_queued = matches!(origin, Origin::Queued { .. });
        let (attempt, next) = match origin {
            Origin::Invoked(client) => {
                // The client may have gone.
                drop(client.send(outcome));
                (1, Next::None)
            }
            Origin::Queued { id, attempts, queued_at } => {
                let next =
                    self.record(function, (id, attempts, queued_at), error.as_ref(), may_pass);
                if let Next::Counted(delay) | Next::Uncounted(delay) = next {
                    self.fleet().try_again(function, id, Instant::now() + delay);
                    self.invocations.wake();
                }
                (attempts + 1, next)
            }
        };
        if let Some(FunctionError { error_type, .. }) = &error {
            // Whoever listens to how invocations end has a better line of it.
            tracing::debug!(%function, %request_id, attempt, %error_type, "function failed");
        }
        let function = Arc::clone(function);
        // Fails when nobody listens.
        drop(self.ended.send(InvocationEnded {
            function,
            request_id,
            attempt,
            is_queued,
            is_counted: !matches!(next, Next::Uncounted(_)),
            error,
            retry_after: match next {
                Next::None => None,
                Next::Counted(delay) | Next::Uncounted(delay) => Some(delay),
            },
        }));
    }

    /// Records how an attempt of a queued invocation ended, and decides upon the next.
    fn record(
        &self,
        function: &Arc<str>,
        (id, attempts, queued_at): (i64, u32, Timestamp),
        error: Option<&FunctionError>,
        may_pass: bool,
    ) -> Next {
        let Some(error) = error else {
            self.invocations.answered(id);
            return Next::None;
        };
        // A clock that was set back makes the event young again, and no more.
        let age =
            Duration::try_from(Timestamp::now().duration_since(queued_at)).unwrap_or_default();
        // While nothing ran here, or the machine slept, nothing was tried.
        let age = age.min(self.opened.elapsed());
        let [shortest, longest] = self.config.passing_delays;
        let passing = Next::Uncounted(age.clamp(shortest, longest));
        if age < self.config.event_age_max && may_pass {
            // The row is as it was, so there is nothing to record, which may be what cannot be done.
            return passing;
        }
        let delay = self.config.retry_delays.get(attempts as usize).copied();
        let recorded = self.db.write(|tx| match delay {
            Some(delay) => {
                queue::postpone(tx, id, attempts + 1, Timestamp::now() + delay)?;
                Ok(Next::Counted(delay))
            }
            None => queue::give_up(tx, id, attempts + 1, error).map(|()| Next::None),
        });
        recorded.unwrap_or_else(|error: rusqlite::Error| {
            tracing::error!(%function, id, %error, "cannot record how an invocation ended; it is repeated");
            passing
        })
    }

    /// Loads what there is room for. Returns when to try again what could not be loaded.
    fn load(&self, now: Instant) -> Option<Instant> {
        let rooms = self.fleet().room(now);
        let mut failed = None;
        for room in rooms {
            let loaded = self.db.read(|connection| {
                let due: Result<Vec<_>, _> = room
                    .due
                    .iter()
                    .filter_map(|&id| queue::load(connection, id).transpose())
                    .collect();
                let Room { name, cursor, count, bytes, .. } = &room;
                Ok::<_, rusqlite::Error>((
                    due?,
                    queue::load_fresh(connection, name, *cursor, *count, *bytes)?,
                ))
            });
            let mut fleet = self.fleet();
            match loaded {
                Ok((due, fresh)) => fleet.loaded(&room, due, fresh),
                Err(error) => {
                    tracing::error!(function = %room.name, %error, "cannot read the queue of invocations");
                    let at = now + DB_RETRY;
                    room.due.iter().for_each(|&id| fleet.try_again(&room.name, id, at));
                    failed = Some(at);
                }
            }
        }
        failed
    }
}

/// Loads invocations and starts processes, whenever called and whenever something is due, until the fleet is closed.
async fn dispatch(inner: Arc<Inner>) {
    loop {
        // One instant for all of a round: what is not due for the first step must be for the last.
        let now = Instant::now();
        let reload = inner.load(now);
        let starts = inner.fleet().starts(now, || Uuid::now_v7().simple().to_string().into());
        for start in starts {
            begin(&inner, start);
        }
        let delete = inner.invocations.delete_answered(&inner.db, now);
        let (closed, due) = {
            let fleet = inner.fleet();
            (fleet.is_closed(), fleet.due(now))
        };
        if closed {
            return;
        }
        match reload.into_iter().chain(due).chain(delete).min() {
            None => inner.invocations.woken().await,
            Some(at) => tokio::select! {
                () = inner.invocations.woken() => {}
                () = sleep_until(at) => {}
            },
        }
    }
}

/// Starts a process and its supervisor.
fn begin(inner: &Arc<Inner>, start: Start) {
    match FunctionProcess::spawn(&start, &inner.config, &inner.logs) {
        Ok(process) => {
            let pid = process.pid();
            // Without its row the process is not killed after an unclean stop, and ends by itself all the same.
            if let Err(error) = inner.db.write(|tx| queue::add_process(tx, &start.id, pid)) {
                tracing::error!(%error, "cannot record a function process");
            }
            tokio::spawn(supervise(Arc::clone(inner), start, process));
        }
        Err(error) if process::is_passing(&error) => {
            tracing::warn!(function = %start.name, %error, "a function process cannot be started now; events wait for it");
            inner.fleet().not_started(&start.id, Instant::now());
            inner.quiet.notify_waiters();
            inner.invocations.wake();
        }
        Err(error) => {
            let program = start.function.command.first().cloned().unwrap_or_default();
            let message =
                format!("cannot start {program}: {error}", program = program.to_string_lossy());
            let error = FunctionError::new("Runtime.InvalidEntrypoint", message);
            removed(inner, &start, error);
        }
    }
}

/// Stays with a process to its end.
async fn supervise(inner: Arc<Inner>, start: Start, mut process: FunctionProcess) {
    let (id, name) = (&start.id, &start.name);
    let error = loop {
        let supervision = inner.fleet().supervise(id, Instant::now());
        match supervision {
            Supervision::Until(at) => tokio::select! {
                ended = process.ended() => break exit_error(&ended),
                () = sleep_until(at) => {}
                () = start.changed.notified() => {}
            },
            Supervision::Retire => {
                process.stop(inner.config.stop_timeout).await;
                break exit_error(&process.ended().await);
            }
            Supervision::InitTimeout => {
                process.kill().await;
                let seconds = inner.config.init_timeout.as_secs_f64();
                let message =
                    format!("the function asked for no invocation within {seconds:.2} seconds");
                break FunctionError::new("Sandbox.Timedout", message);
            }
            Supervision::Timeout(work) => {
                // The next attempt must not begin while this one is still at work.
                process.kill().await;
                let seconds = start.function.timeout.as_secs_f64();
                let error = FunctionError::new(
                    "Sandbox.Timedout",
                    format!(
                        "RequestId: {} Error: Task timed out after {seconds:.2} seconds",
                        work.request_id
                    ),
                );
                inner.logs.note(name, id, &error.message);
                inner.finish(name, work, InvokeOutcome::Failed(error.clone()));
                break error;
            }
            Supervision::Stuck => {
                process.kill().await;
                inner.logs.note(
                    name,
                    id,
                    "the function answered and asked for nothing more in time",
                );
                break exit_error(&process.ended().await);
            }
        }
    };
    process.clear().await;
    if let Err(error) = inner.db.write(|tx| queue::remove_process(tx, id)) {
        tracing::error!(%error, "cannot forget a function process");
    }
    removed(&inner, &start, error);
}

/// Draws the conclusions from the end of a process: its invocation, or those that waited for it, have failed.
fn removed(inner: &Inner, start: &Start, error: FunctionError) {
    let Start { id, name, .. } = start;
    let remains = inner.fleet().remove(id, Instant::now());
    match remains {
        Remains::Nothing => {}
        Remains::Work(work) => {
            let message = format!("RequestId: {} Error: {}", work.request_id, error.message);
            let error = FunctionError::new(error.error_type, message);
            inner.logs.note(name, id, &error.message);
            inner.finish(name, work, InvokeOutcome::Failed(error));
        }
        Remains::Init { failed, reported } => {
            let error = reported.unwrap_or(error);
            let FunctionError { error_type, message, .. } = &error;
            inner.logs.note(name, id, &format!("INIT_REPORT {error_type}: {message}"));
            tracing::warn!(function = %name, %error_type, error = %message, "function failed to initialise");
            for work in failed {
                inner.not_begun(name, work, error.clone());
            }
        }
    }
    inner.quiet.notify_waiters();
    inner.invocations.wake();
}

/// The error that Lambda reports when a process ended.
fn exit_error(ended: &io::Result<ExitStatus>) -> FunctionError {
    let message = match ended {
        Ok(status) if status.success() => "Runtime exited without providing a reason".to_owned(),
        Ok(status) => format!("Runtime exited with error: {status}"),
        Err(error) => format!("Runtime cannot be waited for: {error}"),
    };
    FunctionError::new("Runtime.ExitError", message)
}
