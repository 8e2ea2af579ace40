//! The world that the engine works in: time, records, ECS, and what breaks.
//!
//! One thing at a time happens in it, in the order of time and, at one moment, of the dice. Everything that happens can be
//! told as a history.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
};

use jiff::Timestamp;
use taskferry_core::{run::RunId, track::TaskState};

use crate::{
    dice::Dice,
    ecs::{Ecs, Step},
    faults::{Call, Coverage, Knobs},
    mapping::Receiving,
    oracles::Judge,
    promises::Violation,
    script,
    sqs::Sqs,
    store::Store,
};

/// Time since the beginning of the simulation.
pub(crate) type Micros = i64;

/// A second.
pub(crate) const SECOND: Micros = 1_000_000;
/// A minute.
pub(crate) const MINUTE: Micros = 60 * SECOND;
/// An hour.
pub(crate) const HOUR: Micros = 60 * MINUTE;

/// Every simulation begins on the first of January 2026.
const BEGIN: i64 = 1_767_225_600 * SECOND;

/// The time on a clock that is right.
pub(crate) fn at(micros: Micros) -> Timestamp {
    Timestamp::from_microsecond(BEGIN.saturating_add(micros)).unwrap_or(Timestamp::MAX)
}

/// When a clock that is right shows this.
pub(crate) fn since(time: Timestamp) -> Micros {
    time.as_microsecond().saturating_sub(BEGIN)
}

/// What happens by itself at its time.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// An event is delivered.
    Deliver {
        /// Which.
        event: usize,
    },
    /// Several are delivered in one invocation.
    DeliverBatch {
        /// Which.
        events: Vec<usize>,
        /// Whether the source is told which of them failed.
        is_partial: bool,
    },
    /// A message is sent.
    Send {
        /// Which.
        message: usize,
    },
    /// Somebody looks into a queue.
    Poll {
        /// Which.
        queue: usize,
    },
    /// A `RunTask` that nobody waits for any more reaches ECS.
    RequestArrives {
        /// Its body.
        request: String,
    },
    /// The function's time is over.
    Deadline {
        /// Of which work.
        job: u64,
    },
    /// A Task State Change is delivered, for so many times.
    TaskEvent {
        /// What it tells.
        change: Box<TaskState>,
        /// From 1.
        delivery: u32,
    },
    /// A task goes a step further.
    TaskStep {
        /// Which task.
        task: usize,
        /// Which step.
        step: Step,
    },
    /// A person stops a run.
    PersonStops {
        /// Which; any if `None`.
        run: Option<RunId>,
    },
    /// A person has a run done again.
    PersonRedrives {
        /// Which; any if `None`.
        run: Option<RunId>,
    },
    /// No sweep comes for a while.
    SweepsStop,
    /// A process gets other rules, or dies.
    Restart {
        /// Which process.
        process: usize,
        /// Whether it has the other rules from then on.
        with_other_rules: bool,
    },
    /// The task definitions go for a while.
    TaskDefinitionsGo,
    /// Nothing fails any more.
    FaultsStop,
}

/// What waits for its time.
#[derive(Debug)]
pub(crate) enum Timer {
    /// A call under way.
    Wake(Waker),
    /// What happens by itself.
    Act(Action),
}

/// A lifecycle event as it was published.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// Whose.
    pub(crate) run_id: String,
    /// The rule of that run.
    pub(crate) rule: String,
    /// Which; its `detail-type`.
    pub(crate) detail_type: &'static str,
    /// What of the run, JSON.
    pub(crate) detail: String,
}

/// A process, as the world sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProcessState {
    /// How far its clock is off.
    pub(crate) skew: Micros,
    /// When it last sent a `RunTask`.
    pub(crate) sent_at: Option<Micros>,
    /// The tokens that it took and has not used.
    pub(crate) tokens: Vec<Micros>,
    /// How many of its calls have failed.
    pub(crate) failed: u64,
    /// A digest of all that it was answered; kept for the exhaustive search alone.
    pub(crate) seen: u64,
}

/// Everything but the engine.
#[derive(Debug)]
pub(crate) struct World {
    /// The time.
    pub(crate) now: Micros,
    /// What decides.
    pub(crate) dice: Dice,
    /// How often what fails.
    pub(crate) knobs: Knobs,
    /// Whether nothing fails any more.
    pub(crate) is_calm: bool,
    /// The records.
    pub(crate) store: Store,
    /// ECS.
    pub(crate) ecs: Ecs,
    /// SQS.
    pub(crate) sqs: Sqs,
    /// The batches that are with functions.
    pub(crate) receiving: Vec<Receiving>,
    /// Events that were put aside, by URL.
    pub(crate) payloads: BTreeSet<String>,
    /// Lifecycle events, as published.
    pub(crate) bus: Vec<Told>,
    /// How many of them were handed on.
    pub(crate) bus_read: usize,
    /// The oracles.
    pub(crate) judge: Judge,
    /// What went wrong so far.
    pub(crate) coverage: Coverage,
    /// The processes.
    pub(crate) processes: Vec<ProcessState>,
    /// What a script says.
    pub(crate) script: script::Told,
    /// How often each call was made.
    pub(crate) calls: [u64; Call::ALL.len()],
    /// Until when no sweep comes.
    pub(crate) unswept_until: Micros,
    /// Those that just died.
    pub(crate) crashed: Vec<usize>,
    /// The promise that was found broken.
    pub(crate) violation: Option<Violation>,
    history: Option<Vec<String>>,
    queue: BinaryHeap<Reverse<(Micros, u64, u64)>>,
    timers: BTreeMap<u64, Timer>,
    next_timer: u64,
    /// Whether every call waits to be told to go on, as the exhaustive search has it.
    pub(crate) is_stepwise: bool,
}

impl World {
    /// A world in which nothing has happened.
    pub(crate) fn new(mut dice: Dice, knobs: Knobs, is_told: bool) -> Self {
        let failures_use_tokens = dice.chance(500);
        Self {
            now: 0,
            dice,
            knobs,
            is_calm: false,
            store: Store::default(),
            ecs: Ecs::new(failures_use_tokens),
            sqs: Sqs::default(),
            receiving: Vec::new(),
            payloads: BTreeSet::new(),
            bus: Vec::new(),
            bus_read: 0,
            judge: Judge::default(),
            coverage: Coverage::default(),
            processes: Vec::new(),
            script: script::Told::default(),
            calls: [0; Call::ALL.len()],
            unswept_until: 0,
            crashed: Vec::new(),
            violation: None,
            history: is_told.then(Vec::new),
            queue: BinaryHeap::new(),
            timers: BTreeMap::new(),
            next_timer: 0,
            is_stepwise: false,
        }
    }

    /// Has something happen at its time.
    pub(crate) fn act_at(&mut self, time: Micros, action: Action) {
        self.add_timer(time, Timer::Act(action));
    }

    /// Has a call go on at its time.
    pub(crate) fn wake_at(&mut self, time: Micros, waker: Waker) {
        self.add_timer(time, Timer::Wake(waker));
    }

    fn add_timer(&mut self, time: Micros, timer: Timer) {
        let number = self.next_timer;
        self.next_timer += 1;
        let lot = if self.is_stepwise { number } else { self.dice.below(1 << 20) };
        self.queue.push(Reverse((time.max(self.now), lot, number)));
        self.timers.insert(number, timer);
    }

    /// When the next thing happens.
    pub(crate) fn next_time(&self) -> Option<Micros> {
        self.queue.peek().map(|Reverse((time, _, _))| *time)
    }

    /// What happens next; the time is then.
    pub(crate) fn next_timer(&mut self) -> Option<Timer> {
        loop {
            let Reverse((time, _, number)) = self.queue.pop()?;
            if let Some(timer) = self.timers.remove(&number) {
                self.now = self.now.max(time);
                return Some(timer);
            }
        }
    }

    /// Tells what happened, if somebody listens.
    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(history) = &mut self.history {
            let (seconds, micros) = (now / SECOND, now % SECOND);
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            let seconds = seconds % 60;
            history.push(format!("{hours:3}:{minutes:02}:{seconds:02}.{micros:06}  {}", line()));
        }
    }

    /// The calls that wait to be told to go on.
    pub(crate) fn waiting(&self) -> Vec<u64> {
        let is_call =
            |(number, timer): (&u64, &Timer)| matches!(timer, Timer::Wake(_)).then_some(*number);
        self.timers.iter().filter_map(is_call).collect()
    }

    /// Has one of them go on.
    pub(crate) fn let_go(&mut self, number: u64) -> Option<Waker> {
        match self.timers.remove(&number)? {
            Timer::Wake(waker) => Some(waker),
            Timer::Act(_) => None,
        }
    }

    /// What happened so far.
    pub(crate) fn take_history(&mut self) -> Vec<String> {
        self.history.take().unwrap_or_default()
    }
}

/// The world, as all processes share it.
#[derive(Clone, Debug)]
pub(crate) struct Shared(Arc<Mutex<World>>);

impl Shared {
    /// Shares a world.
    pub(crate) fn new(world: World) -> Self {
        Self(Arc::new(Mutex::new(world)))
    }

    /// The world; nobody else is at it, since all happens on one thread.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
