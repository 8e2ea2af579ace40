//! Who works on what: the deployed functions, their processes, and the invocations in hand.
//!
//! Pure bookkeeping under one lock: it decides which process gets which invocation, how many processes are to be
//! started, and which are to be stopped. [`super::functions`] performs it, and does all I/O. It never drops a queued
//! invocation that is not in the database.

mod deployment;
mod process;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use self::{
    deployment::Deployment,
    process::{Phase, Process, idle_process},
};
use super::{
    functions::{Function, FunctionsConfig},
    invocation::{FunctionError, Work},
    queue::Queued,
};

/// How many queued invocations of one function are in hand at most, and how many bytes of payload, about.
const READY_MAX: usize = 128;
const READY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// So few in hand that more are loaded.
const READY_LOW: usize = 32;

/// How long a process that reported an error of its initialisation has to end by itself.
const INIT_ERROR_GRACE: Duration = Duration::from_secs(1);

/// What `next` is answered.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) request_id: Arc<str>,
    pub(super) payload: Bytes,
    /// How long the function has from now.
    pub(super) remaining: Duration,
}

/// Everything in hand.
#[derive(Debug)]
pub(super) struct Fleet {
    deployments: BTreeMap<Arc<str>, Deployment>,
    processes: HashMap<Arc<str>, Process>,
    /// Nothing more is begun.
    closing: bool,
    limit: usize,
    idle_timeout: Duration,
    init_timeout: Duration,
}

/// What a process's supervisor is to do.
#[derive(Debug)]
pub(super) enum Supervision {
    /// Look again at this time, or when told.
    Until(Instant),
    /// Stop the process: it is no longer wanted.
    Retire,
    /// Kill the process: it has not become ready in time.
    InitTimeout,
    /// Kill the process: its time for this invocation is up.
    Timeout(Work),
    /// Kill the process: it answered, and then did not ask for more in time.
    Stuck,
}

/// What a process left behind when it ended.
#[derive(Debug)]
pub(super) enum Remains {
    /// It never became ready: these invocations, which waited for it, have failed with the error that it reported, if any.
    Init { failed: Vec<Work>, reported: Option<FunctionError> },
    /// It was working on this.
    Work(Work),
    /// Nothing.
    Nothing,
}

/// A process to start.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) id: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) function: Arc<Function>,
    pub(super) changed: Arc<Notify>,
}

/// What may be loaded for a function.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) name: Arc<str>,
    pub(super) cursor: i64,
    pub(super) count: usize,
    pub(super) bytes: usize,
    /// Rows whose time to be tried again has come; they are no longer in the fleet.
    pub(super) due: Vec<i64>,
}

impl Fleet {
    /// No function yet.
    pub(super) fn new(config: &FunctionsConfig) -> Self {
        Self {
            deployments: BTreeMap::new(),
            processes: HashMap::new(),
            closing: false,
            limit: config.concurrency_limit.max(1),
            idle_timeout: config.idle_timeout,
            init_timeout: config.init_timeout,
        }
    }

    /// Deploys a function, or deploys it anew. `tried` are its rows that are to be tried again; they count at the first time only.
    pub(super) fn deploy(
        &mut self,
        name: &Arc<str>,
        function: Arc<Function>,
        tried: BTreeSet<(Instant, i64)>,
    ) {
        if let Some(deployment) = self.deployments.get_mut(name) {
            deployment.function = function;
            deployment.init_failures = 0;
            deployment.spawn_after = None;
            deployment.warm = true;
        } else {
            let deployment = Deployment {
                function,
                cursor: 0,
                more: true,
                tried,
                ready: VecDeque::new(),
                invoked: VecDeque::new(),
                init_failures: 0,
                spawn_after: None,
                warm: true,
                held: false,
            };
            self.deployments.insert(Arc::clone(name), deployment);
        }
        for process in self.processes.values_mut().filter(|process| process.name == *name) {
            process.current = false;
            if matches!(process.phase, Phase::Starting { .. } | Phase::Idle { .. }) {
                process.stop();
            }
        }
    }

    /// Whether a function is deployed.
    pub(super) fn has(&self, name: &str) -> bool {
        self.deployments.contains_key(name)
    }

    /// How long a function may take, if it is deployed.
    pub(super) fn timeout(&self, name: &str) -> Option<Duration> {
        self.deployments.get(name).map(|deployment| deployment.function.timeout)
    }

    /// Takes a synchronous invocation, unless the function is not deployed or nothing more is begun.
    pub(super) fn invoke(&mut self, name: &str, work: Work) -> bool {
        let deployment = self.deployments.get_mut(name).filter(|_| !self.closing);
        let taken = deployment.map(|deployment| deployment.invoked.push_back(work)).is_some();
        self.assign(name);
        taken
    }

    /// What may be loaded, for functions that have room for it.
    pub(super) fn room(&mut self, now: Instant) -> Vec<Room> {
        if self.closing {
            return Vec::new();
        }
        for full in self.deployments.values_mut().filter(|it| it.ready.len() >= READY_LOW) {
            // Whoever queued a row has called, and will not call again.
            full.more = true;
        }
        let low = self.deployments.iter_mut().filter(|(_, it)| it.ready.len() < READY_LOW);
        low.map(|(name, deployment)| {
            let bytes: usize = deployment.ready.iter().map(|work| work.payload.len()).sum();
            let count = READY_MAX - deployment.ready.len();
            let mut due = Vec::new();
            while due.len() < READY_LOW
                && deployment.tried.first().is_some_and(|&(at, _)| at <= now)
                && let Some((_, id)) = deployment.tried.pop_first()
            {
                due.push(id);
            }
            Room {
                name: Arc::clone(name),
                cursor: deployment.cursor,
                count,
                bytes: READY_BYTES_MAX.saturating_sub(bytes),
                due,
            }
        })
        .collect()
    }

    /// Takes what was loaded: the rows that are due again, and those past the cursor.
    pub(super) fn loaded(&mut self, room: &Room, due: Vec<Queued>, fresh: Vec<Queued>) {
        let Some(deployment) = self.deployments.get_mut(&room.name) else { return };
        let bytes: usize = fresh.iter().map(|queued| queued.payload.len()).sum();
        deployment.more = fresh.len() >= room.count || bytes >= room.bytes;
        deployment.cursor = fresh.last().map_or(deployment.cursor, |last| last.id);
        deployment.ready.extend(due.into_iter().chain(fresh).map(Work::from));
        self.assign(&room.name);
    }

    /// Has a row tried again at a time, since its attempt failed or it could not be loaded.
    pub(super) fn try_again(&mut self, name: &str, id: i64, at: Instant) {
        if let Some(deployment) = self.deployments.get_mut(name) {
            deployment.tried.insert((at, id));
        }
    }

    /// A process asks for an invocation of its function. `None` if there is no such process.
    pub(super) fn next(
        &mut self,
        process: &str,
        now: Instant,
    ) -> Option<(Arc<str>, oneshot::Receiver<Delivery>)> {
        let (next, delivered) = oneshot::channel();
        let process = self.processes.get_mut(process)?;
        let name = Arc::clone(&process.name);
        match &mut process.phase {
            Phase::Stopping { next: waiting } => *waiting = Some(next),
            // The connection broke before the invocation arrived. Its time keeps running.
            Phase::Busy { work, deadline } => {
                let delivery = Delivery {
                    request_id: Arc::clone(&work.request_id),
                    payload: work.payload.clone(),
                    remaining: deadline.saturating_duration_since(now),
                };
                // The receiver is in this function's hands.
                drop(next.send(delivery));
            }
            Phase::Starting { .. } | Phase::Idle { .. } | Phase::Answered { .. } => {
                if matches!(process.phase, Phase::Starting { .. }) {
                    // The supervisor sleeps until the end of the time to start, which may be past that of an invocation.
                    process.changed.notify_one();
                }
                process.phase = Phase::Idle { since: now, next };
                if process.current {
                    if let Some(deployment) = self.deployments.get_mut(&name) {
                        deployment.init_failures = 0;
                        deployment.spawn_after = None;
                    }
                } else {
                    process.stop();
                }
            }
        }
        self.assign(&name);
        Some((name, delivered))
    }

    /// Hands waiting invocations to idle processes.
    fn assign(&mut self, name: &str) {
        let deployment = self.deployments.get_mut(name).filter(|it| !self.closing && !it.held);
        let Some(deployment) = deployment else { return };
        let now = Instant::now();
        while let Some(process) = idle_process(&mut self.processes, name, now) {
            let Some(work) = deployment.pop() else { return };
            let deadline = now + process.timeout;
            let delivery = Delivery {
                request_id: Arc::clone(&work.request_id),
                payload: work.payload.clone(),
                remaining: process.timeout,
            };
            let idle = std::mem::replace(&mut process.phase, Phase::Answered { deadline });
            if let Phase::Idle { next, .. } = idle
                && next.send(delivery).is_ok()
            {
                process.phase = Phase::Busy { work, deadline };
            } else {
                // It hung up at this very moment: it dies, asks again, or is stopped at the deadline.
                deployment.unpop(work);
            }
        }
    }

    /// Whether the dispatcher is needed, to load invocations or to start processes.
    pub(super) fn needs_dispatcher(&self, name: &str, now: Instant) -> bool {
        !self.closing
            && self.deployments.get(name).is_some_and(|deployment| {
                let due = deployment.tried.first().is_some_and(|&(at, _)| at <= now);
                (deployment.ready.len() < READY_LOW && (deployment.more || due))
                    || self.wanted(name, deployment, now) > 0
            })
    }

    /// How many more processes a function wants.
    fn wanted(&self, name: &str, deployment: &Deployment, now: Instant) -> usize {
        if deployment.held || deployment.spawn_after.is_some_and(|after| now < after) {
            return 0;
        }
        let (mut live, mut current, mut soon) = (0, 0, 0);
        for process in self.processes.values().filter(|process| &*process.name == name) {
            let stopping = matches!(process.phase, Phase::Stopping { .. });
            let ready_soon =
                matches!(process.phase, Phase::Starting { .. } | Phase::Answered { .. });
            live += usize::from(!stopping);
            current += usize::from(!stopping && process.current);
            soon += usize::from(ready_soon && process.current);
        }
        let waiting = deployment.ready.len() + deployment.invoked.len();
        let warm = usize::from(deployment.warm && current == 0);
        let wanted = waiting.saturating_sub(soon).max(warm);
        // After a failed start, one try at a time.
        let limit =
            if deployment.init_failures > 0 { current + 1 - soon.min(1) } else { self.limit };
        wanted.min(limit.min(self.limit).saturating_sub(live))
    }

    /// The processes that are to be started now. They are already counted as starting.
    pub(super) fn starts(&mut self, now: Instant, id: impl Fn() -> Arc<str>) -> Vec<Start> {
        if self.closing {
            return Vec::new();
        }
        let mut starts = Vec::new();
        for (name, deployment) in &self.deployments {
            for _ in 0..self.wanted(name, deployment, now) {
                starts.push(Start {
                    id: id(),
                    name: Arc::clone(name),
                    function: Arc::clone(&deployment.function),
                    changed: Arc::default(),
                });
            }
        }
        for start in &starts {
            if let Some(deployment) = self.deployments.get_mut(&start.name) {
                deployment.warm = false;
            }
            let process = Process {
                name: Arc::clone(&start.name),
                timeout: start.function.timeout,
                current: true,
                phase: Phase::Starting { deadline: now + self.init_timeout },
                init_error: None,
                changed: Arc::clone(&start.changed),
            };
            self.processes.insert(Arc::clone(&start.id), process);
        }
        starts
    }

    /// When something is due that nobody will call for: a row to be tried again, a start after a failed one.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        let deployments = self.deployments.values();
        deployments
            .flat_map(|it| {
                let waits = it.warm || !it.ready.is_empty() || !it.invoked.is_empty();
                // What is due and has no room is called for when a process has made some.
                let room = it.ready.len() < READY_LOW;
                let tried = it.tried.first().map(|&(at, _)| at).filter(|&at| at > now || room);
                let spawn = it.spawn_after.filter(|&at| at > now && waits);
                [tried, spawn]
            })
            .flatten()
            .min()
    }

    /// What is to be done with a process now.
    pub(super) fn supervise(&mut self, process: &str, now: Instant) -> Supervision {
        let others =
            self.processes.get(process).map_or(0, |it| self.current(&it.name).saturating_sub(1));
        let idle_timeout = self.idle_timeout;
        let Some(process) = self.processes.get_mut(process) else { return Supervision::Retire };
        match &process.phase {
            Phase::Stopping { .. } => Supervision::Retire,
            Phase::Starting { deadline } if *deadline <= now => Supervision::InitTimeout,
            Phase::Answered { deadline } if *deadline <= now => {
                process.stop();
                Supervision::Stuck
            }
            Phase::Busy { deadline, .. } if *deadline <= now => {
                match std::mem::replace(&mut process.phase, Phase::Stopping { next: None }) {
                    Phase::Busy { work, .. } => Supervision::Timeout(work),
                    _ => Supervision::Retire,
                }
            }
            Phase::Idle { since, .. } if others > 0 && *since + idle_timeout <= now => {
                process.stop();
                Supervision::Retire
            }
            // An invocation handed over from now on ends no sooner than this, so nobody has to call.
            Phase::Idle { .. } => Supervision::Until(now + process.timeout.min(idle_timeout)),
            Phase::Starting { deadline }
            | Phase::Answered { deadline }
            | Phase::Busy { deadline, .. } => Supervision::Until(*deadline),
        }
    }

    /// How many processes of the newest deployment there are.
    fn current(&self, name: &str) -> usize {
        let current = self.processes.values().filter(|it| {
            it.current && &*it.name == name && !matches!(it.phase, Phase::Stopping { .. })
        });
        current.count()
    }

    /// A process answered an invocation: takes the invocation, if it is the one that the process works on.
    pub(super) fn answered(&mut self, process: &str, request_id: &str) -> Option<(Arc<str>, Work)> {
        let process = self.processes.get_mut(process)?;
        match std::mem::replace(&mut process.phase, Phase::Stopping { next: None }) {
            Phase::Busy { work, deadline } if &*work.request_id == request_id => {
                process.phase = Phase::Answered { deadline };
                Some((Arc::clone(&process.name), work))
            }
            phase => {
                process.phase = phase;
                None
            }
        }
    }

    /// Whether a process works on an invocation.
    pub(super) fn works_on(&self, process: &str, request_id: &str) -> bool {
        self.processes.get(process).is_some_and(
            |it| matches!(&it.phase, Phase::Busy { work, .. } if &*work.request_id == request_id),
        )
    }

    /// A process could not initialise, and says so before it ends. False if there is no such process, or it had started.
    pub(super) fn init_error(&mut self, process: &str, error: FunctionError) -> bool {
        let process = self.processes.get_mut(process);
        let Some(process) = process.filter(|it| matches!(it.phase, Phase::Starting { .. })) else {
            return false;
        };
        process.init_error = Some(error);
        process.phase = Phase::Starting { deadline: Instant::now() + INIT_ERROR_GRACE };
        process.changed.notify_one();
        true
    }

    /// A process has ended.
    pub(super) fn remove(&mut self, process: &str, now: Instant) -> Remains {
        let Some(process) = self.processes.remove(process) else { return Remains::Nothing };
        match process.phase {
            Phase::Busy { work, .. } => Remains::Work(work),
            Phase::Starting { .. } => {
                let Some(deployment) = self.deployments.get_mut(&process.name) else {
                    return Remains::Nothing;
                };
                deployment.back_off(now);
                // With another process alive they need not fail: that one takes them.
                let alive = self.processes.values().any(|it| {
                    it.current
                        && it.name == process.name
                        && !matches!(it.phase, Phase::Starting { .. } | Phase::Stopping { .. })
                });
                let failed = if alive {
                    Vec::new()
                } else {
                    deployment.invoked.drain(..).chain(deployment.ready.drain(..)).collect()
                };
                Remains::Init { failed, reported: process.init_error }
            }
            Phase::Idle { .. } | Phase::Answered { .. } | Phase::Stopping { .. } => {
                Remains::Nothing
            }
        }
    }

    /// The system could not start a process: whatever waits for it waits on, and another is started later.
    pub(super) fn not_started(&mut self, process: &str, now: Instant) {
        let Some(process) = self.processes.remove(process) else { return };
        if let Some(deployment) = self.deployments.get_mut(&process.name) {
            deployment.back_off(now);
        }
    }

    /// Whether a function says with this error that what failed may pass.
    pub(super) fn is_passing(&self, name: &str, error: &FunctionError) -> bool {
        let deployment = self.deployments.get(name);
        deployment.is_some_and(|it| it.function.passing_errors.contains(&error.error_type))
    }

    /// Begins nothing more of these functions; those who wait, wait.
    pub(super) fn hold(&mut self, names: &[&str]) {
        let deployments = self.deployments.iter_mut();
        deployments
            .filter(|(name, _)| names.contains(&&***name))
            .for_each(|(_, it)| it.held = true);
    }

    /// Begins nothing more; clients that wait for a process are let go, idle processes stop.
    pub(super) fn close(&mut self) {
        self.closing = true;
        for deployment in self.deployments.values_mut() {
            deployment.invoked.clear();
        }
        for process in self.processes.values_mut() {
            process.current = false;
            if matches!(process.phase, Phase::Starting { .. } | Phase::Idle { .. }) {
                process.stop();
            }
        }
    }

    /// Stops all processes, whatever they work on; queued work stays queued, in the database.
    pub(super) fn stop_all(&mut self) {
        self.processes.values_mut().for_each(Process::stop);
    }

    /// Whether a process of the functions that `of` chooses works on an invocation.
    pub(super) fn is_active(&self, of: impl Fn(&str) -> bool) -> bool {
        self.processes.values().any(|it| matches!(it.phase, Phase::Busy { .. }) && of(&it.name))
    }

    /// Whether nothing more is begun.
    pub(super) fn is_closed(&self) -> bool {
        self.closing
    }

    /// Whether no process is left.
    pub(super) fn is_empty(&self) -> bool {
        self.processes.is_empty()
    }
}

#[cfg(test)]
mod tests;
