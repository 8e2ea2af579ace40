//! The loop: what happens next, to whom, and who goes on.
//!
//! Several processes work at once, each a real engine: they take events, Task State Changes, a person's word and the minute's
//! sweep. Their futures are polled by hand, the next always the one that time or the dice name.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Wake, Waker},
};

use jiff::Timestamp;
use taskferry_core::{event::Event, route::Origin, run::RunId, track::TaskState};
use taskferry_engine::Engine;

use crate::{
    calls::Port,
    faults::{Coverage, Twist},
    log,
    promises::{Oracle, Violation},
    scenario::{self, Planned},
    work::{Ended, Job, Work, task_event, told},
    world::{Action, HOUR, MINUTE, Micros, ProcessState, SECOND, Shared, Timer, World, at, since},
};

/// What a simulation came to.
#[derive(Debug)]
pub struct Report {
    /// The promise that was broken, if one was.
    pub violation: Option<Violation>,
    /// Who did what when, if that was asked for.
    pub history: Vec<String>,
    /// What went wrong.
    pub coverage: Coverage,
    /// How often a process was let go on.
    pub steps: u64,
    /// How many runs there were.
    pub runs: usize,
    /// How many tasks there were.
    pub tasks: usize,
    /// How long it took, in simulated seconds.
    pub seconds: i64,
}

/// Plays one seed to its end, or to the first promise broken.
pub fn simulate(seed: u64, is_told: bool) -> Report {
    Simulation::of_seed(seed, is_told).run()
}

/// Who can go on.
type Ready = Arc<Mutex<Vec<u64>>>;

struct JobWaker {
    job: u64,
    ready: Ready,
}

impl Wake for JobWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if !ready.contains(&self.job) {
            ready.push(self.job);
        }
    }
}

/// A simulation under way.
pub(crate) struct Simulation {
    pub(crate) shared: Shared,
    engines: Vec<Arc<Engine<Port>>>,
    variants: [usize; 2],
    pub(crate) has_other_rules: Vec<bool>,
    jobs: BTreeMap<u64, Job>,
    next_job: u64,
    ready: Ready,
    pub(crate) planned: Vec<Planned>,
    /// The events that are to come in batches.
    pub(crate) batched: Vec<usize>,
    /// The lifecycle events that were heard, to tell which is told again.
    heard: BTreeSet<(String, &'static str)>,
    swept_at: Micros,
    pub(crate) steps: u64,
}

/// So long a function has for what it does beside its event.
const STAYS: i64 = 50;

/// Far more than any seed takes. Days of faults in which a batch comes again each minute, and whole, take 200,000.
const STEPS_MAX: u64 = 1_000_000;

/// How many processes there are.
pub(crate) const PROCESSES: usize = 4;

impl Simulation {
    /// A simulation in which nothing is planned.
    pub(crate) fn new(mut world: World, variants: [usize; 2]) -> Self {
        world.processes = vec![ProcessState::default(); PROCESSES];
        let quotas = variants.map(scenario::quota);
        world.ecs.quota = (quotas[0].0.max(quotas[1].0), quotas[0].1.max(quotas[1].1));
        world.fill_quota();
        world.judge.rules = vec![scenario::rules(variants[0]); PROCESSES];
        world.judge_by(variants.map(scenario::rules).to_vec());
        log::listen();
        let shared = Shared::new(world);
        let mut simulation = Self {
            shared,
            engines: Vec::new(),
            variants,
            has_other_rules: vec![false; PROCESSES],
            jobs: BTreeMap::new(),
            next_job: 0,
            ready: Ready::default(),
            planned: Vec::new(),
            batched: Vec::new(),
            heard: BTreeSet::new(),
            swept_at: 0,
            steps: 0,
        };
        simulation.engines = (0..PROCESSES).map(|process| simulation.engine(process)).collect();
        simulation
    }

    fn engine(&self, process: usize) -> Arc<Engine<Port>> {
        let variant = self.variants[usize::from(self.has_other_rules[process])];
        let port = Port { shared: self.shared.clone(), process };
        Arc::new(Engine::new(scenario::rules(variant), port))
    }

    /// The engine of a process.
    pub(crate) fn engine_of(&self, process: usize) -> &Arc<Engine<Port>> {
        &self.engines[process]
    }

    /// Plays it to its end.
    pub(crate) fn run(mut self) -> Report {
        while self.shared.world().violation.is_none() && self.go_on() {}
        self.report()
    }

    /// What it came to, now that nothing is left to happen.
    pub(crate) fn report(&self) -> Report {
        let shared = self.shared.clone();
        let mut world = shared.world();
        if world.violation.is_none() {
            world.judge_all(&self.planned);
        }
        world.judge_log();
        Report {
            violation: world.violation.clone(),
            history: world.take_history(),
            coverage: world.coverage.clone(),
            steps: self.steps,
            runs: world.store.rows().count(),
            tasks: world.ecs.tasks.len(),
            seconds: world.now / SECOND,
        }
    }

    /// The next thing; false if there is none.
    pub(crate) fn go_on(&mut self) -> bool {
        if self.steps > STEPS_MAX {
            let mut world = self.shared.world();
            world.broken(Oracle::NothingWaitsForEver, || format!("{STEPS_MAX} steps, and no end"));
            return false;
        }
        if let Some(job) = self.next_ready() {
            self.poll(job);
            return true;
        }
        let (timer, sweep) = {
            let world = self.shared.world();
            (world.next_time(), self.next_sweep(&world))
        };
        match (timer, sweep) {
            (None, None) => return false,
            (timer, Some(sweep)) if timer.is_none_or(|timer| sweep <= timer) => self.minute(sweep),
            _ => {
                let next = self.shared.world().next_timer();
                match next {
                    Some(Timer::Wake(waker)) => waker.wake(),
                    Some(Timer::Act(action)) => self.act(action),
                    None => {}
                }
            }
        }
        true
    }

    /// When the next thing happens, if one does.
    pub(crate) fn next_at(&self) -> Option<Micros> {
        let world = self.shared.world();
        let is_ready = !self.ready.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        if is_ready {
            return Some(world.now);
        }
        world.next_time().into_iter().chain(self.next_sweep(&world)).min()
    }

    fn next_ready(&mut self) -> Option<u64> {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if ready.is_empty() {
            return None;
        }
        let mut world = self.shared.world();
        let index = if world.is_stepwise { 0 } else { world.dice.index(ready.len()) };
        Some(ready.remove(index))
    }

    /// The next minute at which a sweep has something to do: those in between would do nothing.
    fn next_sweep(&self, world: &World) -> Option<Micros> {
        let due = world.store.next_due().map(since)?;
        let minute = |time: Micros| (time + MINUTE - 1).div_euclid(MINUTE) * MINUTE;
        let due = due.max(world.unswept_until);
        Some(minute(due).max(self.swept_at + MINUTE).max(minute(world.now)))
    }

    fn minute(&mut self, time: Micros) {
        self.swept_at = time;
        let (process, seconds, times) = {
            let mut world = self.shared.world();
            let world = &mut *world;
            world.now = world.now.max(time);
            world.judge_time();
            if !world.is_calm && world.dice.chance(world.knobs.dropped / 2) {
                world.note(|| "the sweep of this minute does not come".to_owned());
                return;
            }
            let cut_short = !world.is_calm && world.dice.chance(world.knobs.late / 2);
            if cut_short {
                world.coverage.met(Twist::SweepCutShort);
            }
            let twice = !world.is_calm && world.dice.chance(world.knobs.repeated / 2);
            if twice {
                world.coverage.met(Twist::SweepsOverlap);
            }
            let process = world.dice.index(PROCESSES);
            (process, if cut_short { 1 } else { 50 }, 1 + usize::from(twice))
        };
        for other in 0..times {
            self.sweep((process + other) % PROCESSES, seconds);
        }
    }

    pub(crate) fn spawn(
        &mut self,
        process: usize,
        work: Work,
        future: impl Future<Output = Ended> + 'static,
    ) -> u64 {
        let job = self.next_job;
        self.next_job += 1;
        self.shared.world().note(|| format!("process {process}  begins: {}", told(&work)));
        let failed = self.shared.world().processes[process].failed;
        self.jobs.insert(job, Job { process, work, future: Box::pin(future), failed });
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).push(job);
        job
    }

    /// The processes that are at something.
    pub(crate) fn busy(&self) -> Vec<usize> {
        let mut busy: Vec<usize> = self.jobs.values().map(|job| job.process).collect();
        busy.sort_unstable();
        busy.dedup();
        busy
    }

    /// Lets everybody who can go on do so, as far as the next call.
    pub(crate) fn settle(&mut self) {
        while let Some(job) = self.next_ready() {
            self.poll(job);
        }
    }

    fn poll(&mut self, number: u64) {
        let Some(mut job) = self.jobs.remove(&number) else { return };
        self.steps += 1;
        let waker = Waker::from(Arc::new(JobWaker { job: number, ready: Arc::clone(&self.ready) }));
        match job.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(ended) => {
                self.judge_others(&job, &ended);
                self.ended(job.process, &job.work, &ended);
            }
            Poll::Pending => {
                self.jobs.insert(number, job);
            }
        }
        let crashed = std::mem::take(&mut self.shared.world().crashed);
        for process in crashed {
            self.crash(process);
        }
    }

    /// What failed kept no other rule, and no other record, from its turn.
    fn judge_others(&self, job: &Job, ended: &Ended) {
        let mut world = self.shared.world();
        let failed = world.processes[job.process].failed - job.failed;
        let now = world.now + world.processes[job.process].skew;
        match (&job.work, ended) {
            (Work::Dispatch { event }, Ended::Again(_)) => {
                world.judge_others(&[&self.planned[*event]], failed);
            }
            (Work::Batch { events, until, .. }, Ended::Each(_)) if now < *until => {
                let events: Vec<&Planned> = events.iter().map(|it| &self.planned[*it]).collect();
                world.judge_others(&events, failed);
            }
            (Work::Receive(batch), Ended::Kept(kept)) => world.judge_kept(job, batch, kept),
            _ => {}
        }
    }

    /// A process dies, and another takes its place.
    pub(crate) fn crash(&mut self, process: usize) {
        self.shared.world().note(|| format!("process {process}  dies, and is begun anew"));
        let died: Vec<u64> =
            self.jobs.iter().filter(|(_, job)| job.process == process).map(|(id, _)| *id).collect();
        let died: Vec<Job> = died.into_iter().filter_map(|id| self.jobs.remove(&id)).collect();
        {
            let mut world = self.shared.world();
            world.processes[process].sent_at = None;
            world.processes[process].tokens.clear();
        }
        self.engines[process] = self.engine(process);
        for job in died {
            let Job { work, future, .. } = job;
            drop(future);
            self.ended(process, &work, &Ended::Again("the process died".to_owned()));
        }
    }

    fn ended(&mut self, process: usize, work: &Work, ended: &Ended) {
        let mut world = self.shared.world();
        world.note(|| format!("process {process}  ends: {}: {ended:?}", told(work)));
        match (work, ended) {
            (Work::Dispatch { event }, Ended::Done) => {
                self.planned[*event].is_done = true;
                world.judge_done(&self.planned[*event]);
            }
            (Work::Dispatch { event }, Ended::Again(_)) => {
                let again = world.now + world.dice.between(SECOND, 2 * MINUTE);
                world.act_at(again, Action::Deliver { event: *event });
            }
            (Work::Dispatch { event }, Ended::Refused(reason)) => {
                world.judge_refusal(&self.planned[*event], reason);
            }
            (Work::Batch { events, is_partial, .. }, ended) => {
                let taken = world.batch_ended(&self.planned, events, *is_partial, ended);
                for event in taken {
                    self.planned[event].is_done = true;
                    world.judge_done(&self.planned[event]);
                }
            }
            (Work::Receive(batch), ended) => world.batch_received(batch, ended),
            // As Lambda does for asynchronous invocations: twice more, and then never.
            (Work::Track { change, delivery }, Ended::Again(_)) if *delivery < 3 => {
                let again = world.now + MINUTE * i64::from(*delivery);
                let (change, delivery) = (change.clone(), delivery + 1);
                world.act_at(again, Action::TaskEvent { change, delivery });
            }
            (Work::Stop { run }, Ended::Again(_)) => {
                let run = Some(run.clone());
                let again = world.now + world.dice.between(10 * SECOND, 10 * MINUTE);
                world.act_at(again, Action::PersonStops { run });
            }
            (Work::Redrive { run }, Ended::Again(_)) => {
                let run = Some(run.clone());
                let again = world.now + world.dice.between(10 * SECOND, 10 * MINUTE);
                world.act_at(again, Action::PersonRedrives { run });
            }
            (
                Work::Dispatch { .. }
                | Work::Track { .. }
                | Work::Sweep
                | Work::Stop { .. }
                | Work::Redrive { .. },
                _,
            ) => {}
        }
        // What was told on the bus goes to the rules that listen.
        while let Some(planned) = world.hear(&mut self.heard) {
            self.planned.push(planned);
            world.deliver_from_bus(self.planned.len() - 1);
        }
    }

    /// A process takes several events in one invocation, and has so many seconds for it.
    pub(crate) fn batch(&mut self, process: usize, events: Vec<usize>, is_partial: bool) {
        let engine = Arc::clone(&self.engines[process]);
        let delivered: Vec<Event> =
            events.iter().map(|event| self.planned[*event].event.clone()).collect();
        let (until, deadline) = {
            let mut world = self.shared.world();
            let seconds = if world.is_calm { 60 } else { world.dice.pick(&[1, 4, 12, 60]) };
            let skewed = world.now + world.processes[process].skew;
            (skewed + seconds * SECOND * 3 / 4, world.now + seconds * SECOND)
        };
        let work = Work::Batch { events, is_partial, until };
        let job = self.spawn(process, work, async move {
            let ends = engine.dispatch_batch(Origin::EventBridge, &delivered, at(until)).await;
            engine.catch_up(at(until)).await;
            Ended::Each(ends.into_iter().map(Ended::from).collect())
        });
        self.shared.world().act_at(deadline, Action::Deadline { job });
    }

    /// Lambda ends a function whose time is over.
    fn deadline(&mut self, job: u64) {
        let Some(Job { process, work, .. }) = self.jobs.get(&job) else { return };
        let process = *process;
        {
            let mut world = self.shared.world();
            world.coverage.met(Twist::DeadlineMet);
            match work {
                Work::Batch { .. } => world.coverage.met(Twist::BatchKilled),
                Work::Receive(_) => world.coverage.met(Twist::ReceiveKilled),
                _ => {}
            }
            world.note(|| format!("process {process}  has no time left"));
        }
        self.crash(process);
    }

    /// On Lambda a function has a minute; on one machine it may be frozen for as long as it likes.
    fn may_have_deadline(&mut self, job: u64) {
        let mut world = self.shared.world();
        let knob = world.knobs.deadline;
        if !world.is_stepwise && !world.is_calm && world.dice.chance(knob) {
            let deadline = world.now + MINUTE;
            world.act_at(deadline, Action::Deadline { job });
        }
    }

    /// A process takes an event.
    pub(crate) fn dispatch(&mut self, process: usize, event: usize) {
        let engine = Arc::clone(&self.engines[process]);
        let delivered = self.planned[event].event.clone();
        let stays_until = self.seconds_from_now(process, STAYS);
        let job = self.spawn(process, Work::Dispatch { event }, async move {
            let ended = Ended::from(engine.dispatch(Origin::EventBridge, &delivered).await);
            engine.catch_up(stays_until).await;
            ended
        });
        self.may_have_deadline(job);
    }

    /// A process takes a Task State Change.
    pub(crate) fn track(&mut self, process: usize, change: Box<TaskState>, delivery: u32) {
        let engine = Arc::clone(&self.engines[process]);
        let event = task_event(&change);
        let stays_until = self.seconds_from_now(process, STAYS);
        let job = self.spawn(process, Work::Track { change, delivery }, async move {
            let ended = Ended::from(engine.track(&event).await);
            engine.catch_up(stays_until).await;
            ended
        });
        self.may_have_deadline(job);
    }

    /// A time to come, by the clock of a process.
    fn seconds_from_now(&self, process: usize, seconds: i64) -> Timestamp {
        let world = self.shared.world();
        at(world.now + world.processes[process].skew + seconds * SECOND)
    }

    /// A process sweeps for so many seconds.
    pub(crate) fn sweep(&mut self, process: usize, seconds: i64) {
        let engine = Arc::clone(&self.engines[process]);
        let until = self.seconds_from_now(process, seconds);
        let swept = async move { Ended::from(engine.sweep(until).await) };
        let job = self.spawn(process, Work::Sweep, swept);
        self.may_have_deadline(job);
    }

    /// A person stops a run.
    pub(crate) fn stop(&mut self, process: usize, run: RunId) {
        let engine = Arc::clone(&self.engines[process]);
        self.spawn(process, Work::Stop { run: run.clone() }, async move {
            Ended::from(engine.stop(&run, "a person said so").await)
        });
    }

    /// A person has a run done again.
    pub(crate) fn redrive(&mut self, process: usize, run: RunId) {
        let engine = Arc::clone(&self.engines[process]);
        self.spawn(process, Work::Redrive { run: run.clone() }, async move {
            Ended::from(engine.redrive(&run, None).await)
        });
    }

    fn act(&mut self, action: Action) {
        let process = self.shared.world().dice.index(PROCESSES);
        match action {
            Action::Deliver { event } => {
                self.shared.world().note_redelivery(&self.planned[event]);
                self.dispatch(process, event);
            }
            Action::DeliverBatch { events, is_partial } => {
                self.batch(process, events, is_partial);
            }
            Action::Send { message } => self.shared.world().send_message(message),
            Action::Poll { queue } => self.poll_queue(process, queue),
            Action::RequestArrives { request } => self.shared.world().request_arrives(&request),
            Action::Deadline { job } => self.deadline(job),
            Action::TaskEvent { change, delivery } => self.track(process, change, delivery),
            Action::TaskStep { task, step } => self.shared.world().task_step(task, step),
            Action::PersonStops { run } => {
                let Some(run) = run.or_else(|| self.any_run()) else { return };
                self.shared.world().coverage.met(Twist::PersonStops);
                self.stop(process, run);
            }
            Action::PersonRedrives { run } => {
                let Some(run) = run.or_else(|| self.any_run()) else { return };
                self.shared.world().coverage.met(Twist::PersonRedrives);
                self.redrive(process, run);
            }
            Action::Restart { process, with_other_rules } => {
                self.restart(process, with_other_rules);
            }
            Action::SweepsStop | Action::TaskDefinitionsGo | Action::FaultsStop => {
                self.shared.world().act(&action);
            }
        }
    }

    /// A process dies, or is deployed anew.
    fn restart(&mut self, process: usize, with_other_rules: bool) {
        {
            let mut world = self.shared.world();
            let twist = if with_other_rules { Twist::RulesChanged } else { Twist::Killed };
            world.coverage.met(twist);
            if with_other_rules {
                self.has_other_rules[process] = true;
                world.judge.rules[process] = scenario::rules(self.variants[1]);
                world.poll_all();
            }
        }
        self.crash(process);
    }

    fn any_run(&self) -> Option<RunId> {
        let mut world = self.shared.world();
        let count = world.store.rows().count();
        let index = world.dice.index(count);
        world.store.rows().nth(index).map(|row| row.run.id.clone())
    }
}

impl World {
    /// What happens to the world, and to no process.
    fn act(&mut self, action: &Action) {
        match action {
            Action::SweepsStop => {
                self.coverage.met(Twist::SweepsStop);
                self.unswept_until = self.now + self.dice.between(30 * MINUTE, 5 * HOUR);
            }
            Action::TaskDefinitionsGo => self.ecs.gone_until = self.now + 10 * MINUTE,
            _ => {
                self.note(|| "---------  nothing fails any more".to_owned());
                self.is_calm = true;
                self.unswept_until = self.now;
                self.ecs.gone_until = self.now;
                self.judge.calm_since = Some(self.now);
            }
        }
    }
}
