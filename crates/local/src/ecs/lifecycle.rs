//! A task's life, from its launch to `STOPPED`.
//!
//! `RunTask` has taken the first steps when it begins the rest, one spawned future per task. Each step is published in
//! the transaction that stores it; steps with nothing to wait for in between share one. All that is stored before
//! anything is waited for, so whoever asks and whoever listens see the same. What cannot be stored is tried again until
//! it can: a full disk halts a task's record, never falsifies it.

use std::{
    error::Error as _,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use rusqlite::Transaction;
use tokio::{
    sync::{Notify, oneshot},
    task::{JoinSet, yield_now},
    time::{self, Instant},
};

use super::{
    Containers, Ecs,
    containers::{self, Failure, Plan},
    faults::Fault,
    launch::Launch,
    process::Process,
    strays,
    task::{self, Changing, Container, Epoch, Status, StopCode, Task},
};

/// How long after a step could not be stored it is tried again.
const STORE_AGAIN: Duration = Duration::from_secs(1);

/// How long a task that starts slowly, on request, waits for what others have at once.
pub(super) const SLOW_START: Duration = Duration::from_secs(3);

/// When a task that is interrupted on request is told so: half of them at once, the others when they have had time to prepare.
const INTERRUPTED_AFTER: [Duration; 2] = [Duration::ZERO, Duration::from_secs(2)];

// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-capacity-providers.html
const SPOT: &str = "FARGATE_SPOT";
const INTERRUPTED: &str = "Your Spot Task was interrupted.";

const SHUT_DOWN: &str = "The local ECS was shut down.";

impl Ecs {
    /// Begins a task's life.
    pub(super) fn begin(self: &Arc<Self>, launch: Launch) {
        let stop = Arc::new(Notify::new());
        self.live().insert(launch.id.clone(), Arc::clone(&stop));
        let life = Life {
            ecs: Arc::clone(self),
            launch,
            stop,
            running: Vec::new(),
            interrupted_at: None,
            exits: JoinSet::new(),
        };
        let mut lifecycles = self.lifecycles.lock().unwrap_or_else(PoisonError::into_inner);
        while lifecycles.try_join_next().is_some() {}
        lifecycles.spawn(life.live());
    }

    /// Stops all tasks, and returns when they are `STOPPED`. `RunTask` is refused from here on.
    pub async fn shutdown(&self) {
        self.closing.store(true, Ordering::Release);
        loop {
            let lifecycles = std::mem::take(
                &mut *self.lifecycles.lock().unwrap_or_else(PoisonError::into_inner),
            );
            if lifecycles.is_empty() {
                strays::kill_all(&self.config.tasks_dir);
                return;
            }
            let live: Vec<_> =
                self.live().iter().map(|(id, stop)| (id.clone(), Arc::clone(stop))).collect();
            for (id, stop) in live {
                let asked = self.db.write(|tx| {
                    let task = task::find(tx, &id)?;
                    if task.is_some_and(|task| !task.is_stopping()) {
                        task::change(tx, &self.events, &id, |task, now| {
                            task.stop(StopCode::TerminationNotice, SHUT_DOWN, now);
                        })?;
                    }
                    Ok::<_, rusqlite::Error>(())
                });
                if let Err(error) = asked {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "a task is not told to stop"
                    );
                }
                stop.notify_one();
            }
            lifecycles.join_all().await;
        }
    }
}

/// Why a task comes to its end.
enum Cause {
    /// Somebody asked; the stored task says who and why.
    Asked,
    Failed(Failure),
    EssentialExited,
}

/// Where a container is.
enum Progress {
    Waiting,
    Running { stop: Option<oneshot::Sender<()>>, since: Instant, process: Option<(i32, String)> },
    Exited(i32),
}

impl Progress {
    fn exit_code(&self) -> Option<i32> {
        match self {
            Self::Exited(code) => Some(*code),
            Self::Waiting | Self::Running { .. } => None,
        }
    }

    fn has_started(&self) -> bool {
        !matches!(self, Self::Waiting)
    }

    fn is_running(&self) -> bool {
        matches!(self, Self::Running { .. })
    }
}

struct Life {
    ecs: Arc<Ecs>,
    launch: Launch,
    stop: Arc<Notify>,
    /// The containers, in the order of the definition.
    running: Vec<Progress>,
    /// When its capacity is taken back, on request.
    interrupted_at: Option<Instant>,
    exits: JoinSet<(usize, i32)>,
}

impl Life {
    async fn live(mut self) {
        let containers = self.launch.definition.container_definitions.len();
        self.running = std::iter::repeat_with(|| Progress::Waiting).take(containers).collect();
        let is_stopping = self.launch.is_slow && self.wait_to_start().await.is_stopping();
        let plans = self.ecs.plan(&self.launch);
        let cause = match &plans {
            _ if is_stopping => Cause::Asked,
            Ok(plans) => self.operate(plans).await,
            Err(failure) => Cause::Failed(failure.clone()),
        };
        self.finish(&cause, plans.as_deref().unwrap_or_default()).await;
        self.ecs.live().remove(&self.launch.id);
    }

    /// Has the task stay for a while as it was launched, unless it is stopped meanwhile.
    async fn wait_to_start(&self) -> Task {
        tokio::select! {
            () = self.stop.notified() => {}
            () = time::sleep(SLOW_START) => {}
        }
        self.write(|_, task| if task.now().is_stopping() { Ok(()) } else { prepare(task) }).await
    }

    /// Starts the containers as their dependencies allow, and waits for what ends the task.
    async fn operate(&mut self, plans: &[Plan]) -> Cause {
        loop {
            let started = match self.start_ready(plans) {
                Ok(started) => started,
                Err(failure) => return Cause::Failed(failure),
            };
            if !started.is_empty() {
                let task = self.record_started(&started, plans).await;
                if task.is_stopping() {
                    return Cause::Asked;
                }
                if task.last_status == Status::Running {
                    self.draw_interruption(&task);
                }
            }
            let deadline = self.start_deadline(plans);
            let (index, code) = tokio::select! {
                biased;
                () = self.stop.notified() => return Cause::Asked,
                Some(exit) = self.exits.join_next() => match exit {
                    Ok(exit) => exit,
                    Err(error) => {
                        tracing::error!(error = &error as &dyn std::error::Error, "a container is lost");
                        continue;
                    }
                },
                () = sleep_until(self.interrupted_at) => {
                    self.interrupt().await;
                    return Cause::Asked;
                }
                () = sleep_until(deadline.as_ref().map(|(at, _)| *at)) => {
                    return deadline.map_or(Cause::Asked, |(_, failure)| Cause::Failed(failure));
                }
            };
            let gone = self.exited(index, code);
            if plans.get(index).is_some_and(|plan| plan.essential) {
                return Cause::EssentialExited;
            }
            let task = self.write(|tx, task| {
                forget_process(tx, gone.as_ref())?;
                task.step(|task, _| stop_container(task.containers.get_mut(index), Some(code)))
            });
            if task.await.is_stopping() {
                return Cause::Asked;
            }
        }
    }

    /// Starts each container that waits for nothing more.
    fn start_ready(&mut self, plans: &[Plan]) -> Result<Vec<usize>, Failure> {
        let mut started = Vec::new();
        // As starting one may allow another, until a round starts none.
        loop {
            let mut ready = Vec::new();
            for (index, plan) in plans.iter().enumerate() {
                if !self.running[index].has_started() && self.is_ready(index, plan, plans)? {
                    ready.push(index);
                }
            }
            if ready.is_empty() {
                return Ok(started);
            }
            for index in ready {
                self.running[index] = self
                    .start(index, &plans[index])
                    .map_err(|reason| Failure { container: index, reason })?;
                started.push(index);
            }
        }
    }

    fn is_ready(&self, index: usize, plan: &Plan, plans: &[Plan]) -> Result<bool, Failure> {
        for depends in &plan.depends_on {
            let on = plans.iter().position(|other| other.name == depends.container_name);
            let Some(progress) = on.and_then(|on| self.running.get(on)) else { continue };
            let met = containers::dependency(
                depends.condition,
                &depends.container_name,
                progress.has_started(),
                progress.exit_code(),
            );
            let failure = |reason| Failure {
                container: index,
                reason: format!(
                    "TaskFailedToStart: container {} is not started: {reason}",
                    plan.name
                ),
            };
            if !met.map_err(failure)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn start(&mut self, index: usize, plan: &Plan) -> Result<Progress, String> {
        let (stop, stopped) = oneshot::channel();
        let since = Instant::now();
        let process = match self.ecs.config.containers {
            Containers::Stub => {
                self.exits.spawn(std::future::ready((index, 0)));
                None
            }
            Containers::HostProcesses => {
                let directory = self.ecs.config.tasks_dir.join(&self.launch.id);
                let process = Process::spawn(plan, &directory).map_err(|error| {
                    let source = error.source().map(|source| format!(": {source}"));
                    format!("{error}{}", source.unwrap_or_default())
                })?;
                let identity = (process.group.as_raw(), process.started.clone());
                let exit = self.ecs.supervise(process, stopped, plan, directory);
                self.exits.spawn(async move { (index, exit.await) });
                Some(identity)
            }
        };
        Ok(Progress::Running { stop: Some(stop), since, process })
    }

    /// Stores which containers run now; with the last of them the task is `RUNNING`.
    async fn record_started(&self, started: &[usize], plans: &[Plan]) -> Task {
        let all = self.running.iter().all(Progress::has_started);
        let processes: Vec<_> = started
            .iter()
            .filter_map(|index| match &self.running[*index] {
                Progress::Running { process, .. } => process.as_ref(),
                Progress::Waiting | Progress::Exited(_) => None,
            })
            .collect();
        self.write(|tx, task| {
            for (pid, started) in &processes {
                tx.prepare_cached(
                    "INSERT OR REPLACE INTO ecs_processes (pid, started, task_id)
                     VALUES (?1, ?2, ?3)",
                )?
                .execute((pid, started, &self.launch.id))?;
            }
            task.step(|task, now| {
                for index in started {
                    if let Some(container) = task.containers.get_mut(*index) {
                        container.last_status = Status::Running;
                        container.runtime_id = Some(plans[*index].runtime_id.clone());
                    }
                }
                if all {
                    task.last_status = Status::Running;
                    task.started_at = Some(now);
                    task.connectivity = Some("CONNECTED".to_owned());
                    task.connectivity_at = Some(now);
                }
            })
        })
        .await
    }

    /// Draws whether the task, which runs now, is interrupted, and when.
    fn draw_interruption(&mut self, task: &Task) {
        let dice = &self.ecs.dice;
        let is_on_spot = task.capacity_provider_name.as_deref() == Some(SPOT);
        if is_on_spot && dice.happens(Fault::SpotInterruption) {
            let after = INTERRUPTED_AFTER[usize::from(dice.toss())];
            self.interrupted_at = Some(Instant::now() + after);
        }
    }

    /// Takes the task's capacity back, as Fargate Spot does.
    async fn interrupt(&self) {
        let interrupted = self.write(|_, task| {
            if task.now().is_stopping() {
                return Ok(());
            }
            task.step(|task, now| task.stop(StopCode::SpotInterruption, INTERRUPTED, now))
        });
        if interrupted.await.stop_code == Some(StopCode::SpotInterruption) {
            let what = format!("task {} is told to stop", self.launch.id);
            self.ecs.dice.tell(Fault::SpotInterruption, what);
        }
    }

    /// When the first container that another waits for has taken too long.
    fn start_deadline(&self, plans: &[Plan]) -> Option<(Instant, Failure)> {
        let waiting =
            plans.iter().enumerate().filter(|(index, _)| !self.running[*index].has_started());
        let awaited = waiting.flat_map(|(index, plan)| {
            plan.depends_on.iter().map(move |depends| (index, plan, &depends.container_name))
        });
        awaited
            .filter_map(|(container, plan, on)| {
                let on = plans.iter().position(|other| other.name == *on)?;
                let Progress::Running { since, .. } = &self.running[on] else { return None };
                let reason = format!(
                    "TaskFailedToStart: container {} is not started: {} took longer than its \
                     startTimeout",
                    plan.name, plans[on].name
                );
                Some((*since + plans[on].start_timeout?, Failure { container, reason }))
            })
            .min_by_key(|(deadline, _)| *deadline)
    }

    /// Takes note of an exit, and answers which process is gone.
    fn exited(&mut self, index: usize, code: i32) -> Option<(i32, String)> {
        match std::mem::replace(&mut self.running[index], Progress::Exited(code)) {
            Progress::Running { process, .. } => process,
            Progress::Waiting | Progress::Exited(_) => None,
        }
    }

    /// From `DEACTIVATING` to `STOPPED`.
    async fn finish(&mut self, cause: &Cause, plans: &[Plan]) {
        if self.running.iter().any(Progress::is_running) {
            self.write(|_, task| self.stopping(cause, task)).await;
            self.stop_containers(plans).await;
            self.write(|tx, task| self.stopped(tx, task)).await;
        } else {
            let all = self.write(|tx, task| {
                self.stopping(cause, task)?;
                self.stopped(tx, task)
            });
            all.await;
        }
    }

    /// `DEACTIVATING`, unless there is nothing to deactivate, and `STOPPING`.
    fn stopping(&self, cause: &Cause, task: &mut Changing<'_>) -> rusqlite::Result<()> {
        let codes = self.exit_codes();
        let explain = |task: &mut Task, now: Epoch| {
            explain(cause, task, now);
            record_exits(&codes, task);
        };
        if self.running.iter().all(Progress::has_started) {
            task.step(|task, now| {
                explain(task, now);
                task.last_status = Status::Deactivating;
            })?;
        }
        task.step(|task, now| {
            explain(task, now);
            task.last_status = Status::Stopping;
        })
    }

    /// `DEPROVISIONING`, if there is a network interface, and `STOPPED`.
    fn stopped(&self, tx: &Transaction<'_>, task: &mut Changing<'_>) -> rusqlite::Result<()> {
        let codes = self.exit_codes();
        let end = |task: &mut Task, now: Epoch| {
            for container in &mut task.containers {
                container.last_status = Status::Stopped;
            }
            record_exits(&codes, task);
            task.execution_stopped_at.get_or_insert(now);
        };
        if self.launch.awsvpc {
            task.step(|task, now| {
                end(task, now);
                task.last_status = Status::Deprovisioning;
            })?;
        }
        tx.prepare_cached("DELETE FROM ecs_processes WHERE task_id = ?1")?
            .execute([&self.launch.id])?;
        task.step(|task, now| {
            end(task, now);
            task.attachments_become("DELETED");
            task.last_status = Status::Stopped;
            task.stopped_at = Some(now);
        })
    }

    fn exit_codes(&self) -> Vec<Option<i32>> {
        self.running.iter().map(Progress::exit_code).collect()
    }

    /// Stops what runs, what depends on others before what it depends on, and waits until it is gone.
    async fn stop_containers(&mut self, plans: &[Plan]) {
        while self.running.iter().any(Progress::is_running) {
            for index in 0..self.running.len() {
                let name = plans.get(index).map(|plan| plan.name.as_str());
                let is_needed = plans.iter().zip(&self.running).any(|(other, progress)| {
                    progress.is_running()
                        && other
                            .depends_on
                            .iter()
                            .any(|on| Some(on.container_name.as_str()) == name)
                });
                if let Progress::Running { stop, .. } = &mut self.running[index]
                    && !is_needed
                    && let Some(stop) = stop.take()
                {
                    // One that has exited meanwhile does not listen any more.
                    stop.send(()).unwrap_or_default();
                }
            }
            match self.exits.join_next().await {
                Some(Ok((index, code))) => drop(self.exited(index, code)),
                Some(Err(_)) => {}
                None => return,
            }
        }
    }

    fn not_stored(&self, error: &rusqlite::Error) {
        let error = error as &dyn std::error::Error;
        tracing::error!(task_id = self.launch.id, error, "a task's step is not stored");
    }

    /// Stores steps, and publishes them.
    async fn write(
        &self,
        change: impl Fn(&Transaction<'_>, &mut Changing<'_>) -> rusqlite::Result<()>,
    ) -> Task {
        loop {
            let stored = self.ecs.db.write(|tx| {
                let mut task = Changing::begin(tx, &self.ecs.events, &self.launch.id)?;
                change(tx, &mut task)?;
                task.store()
            });
            match stored {
                Ok(task) => {
                    // So that a task whose containers end at once shares its thread with others.
                    yield_now().await;
                    return task;
                }
                Err(error) => {
                    self.not_stored(&error);
                    // Nobody waits for a disk to get room when told to end: the next open stops the task's record.
                    let find = |connection: &_| task::find(connection, &self.launch.id);
                    if self.ecs.closing.load(Ordering::Acquire)
                        && let Ok(Some(task)) = self.ecs.db.read(find)
                    {
                        return task;
                    }
                    time::sleep(STORE_AGAIN).await;
                }
            }
        }
    }
}

/// The steps of a new task to `ACTIVATING`. On this machine there is nothing to wait for on the way.
pub(super) fn prepare(task: &mut Changing<'_>) -> rusqlite::Result<()> {
    // A task that waits for nothing is launched as pending.
    if task.now().last_status == Status::Provisioning {
        task.step(|task, _| {
            task.last_status = Status::Pending;
            task.attachments_become("ATTACHED");
        })?;
    }
    task.step(|task, now| {
        task.last_status = Status::Activating;
        task.pull_started_at = Some(now);
        task.pull_stopped_at = Some(now);
    })
}

fn explain(cause: &Cause, task: &mut Task, now: Epoch) {
    match cause {
        Cause::Asked => {}
        Cause::EssentialExited => {
            let reason = "Essential container in task exited";
            task.stop(StopCode::EssentialContainerExited, reason, now);
        }
        Cause::Failed(Failure { container, reason }) => {
            task.stop(StopCode::TaskFailedToStart, reason, now);
            if let Some(container) = task.containers.get_mut(*container) {
                container.reason = Some(reason.clone());
                container.last_status = Status::Stopped;
            }
        }
    }
}

fn record_exits(codes: &[Option<i32>], task: &mut Task) {
    for (container, code) in task.containers.iter_mut().zip(codes) {
        if code.is_some() {
            stop_container(Some(container), *code);
        }
    }
}

fn stop_container(container: Option<&mut Container>, exit_code: Option<i32>) {
    if let Some(container) = container {
        container.last_status = Status::Stopped;
        container.exit_code = exit_code;
    }
}

fn forget_process(tx: &Transaction<'_>, process: Option<&(i32, String)>) -> rusqlite::Result<()> {
    if let Some(process) = process {
        tx.prepare_cached("DELETE FROM ecs_processes WHERE pid = ?1 AND started = ?2")?
            .execute((process.0, &process.1))?;
    }
    Ok(())
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
