//! A world that does as it is told: for tests that want one trap, and not those of a seed.
//!
//! Nothing fails but what the script says, and all oracles look on as ever.

use std::collections::VecDeque;

use taskferry_core::run::{Run, RunId};

use crate::{
    dice::Dice,
    ecs::Task,
    faults::{Call, Knobs, Mishap},
    queued,
    scenario::{self, Planned},
    simulation::Simulation,
    sqs::State,
    world::{Action, HOUR, MINUTE, Micros, SECOND, World},
};

/// What `RunTask` answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reply {
    /// A task.
    Task,
    /// `failures[]` with this reason, and no task.
    Failures(&'static str),
    /// `failures[]` with this reason, and a task in the same answer.
    FailuresAndTask(&'static str),
    /// `failures[]` with this reason, and a task that turns up a second later.
    FailuresThenTask(&'static str),
    /// An exception for want of room.
    NoRoom,
    /// A throttle.
    Throttled,
    /// An exception that stays.
    Refused,
}

/// How a task ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// With this exit code.
    Exit(i32),
    /// Well, but for a sidecar.
    SidecarFailed,
    /// Out of memory, with this exit code.
    OutOfMemory(i32),
    /// `EssentialContainerExited`, and no exit code.
    NoExitCode,
    /// `TaskFailedToStart`, and no containers.
    NoContainers,
    /// `TaskFailedToStart`, for this reason.
    FailedToStart(&'static str),
    /// By AWS's hand: `stopCode` and `stoppedReason`.
    Stopped(&'static str, &'static str),
    /// Not at all, until it is told to stop.
    Hangs,
}

/// What is told to the world.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// The next answers of `RunTask`.
    pub(crate) replies: VecDeque<Reply>,
    /// How the next tasks end, and how long after they began to run.
    pub(crate) ends: VecDeque<(End, Micros)>,
    /// How long the next tasks take to run.
    pub(crate) starts: VecDeque<Micros>,
    /// What befalls the next calls of these kinds.
    pub(crate) mishaps: VecDeque<(Call, Mishap)>,
    /// How long the next `RunTask` are on their way, when their senders have given them up.
    pub(crate) late: VecDeque<Micros>,
    /// Whether no Task State Change comes.
    pub(crate) drops_events: bool,
    /// How often each comes, if not once, the last change first.
    pub(crate) repeats: bool,
}

/// A scripted simulation.
pub struct Script {
    simulation: Simulation,
    orders: usize,
}

impl Default for Script {
    fn default() -> Self {
        Self::new()
    }
}

impl Script {
    /// A world in which all goes well.
    pub fn new() -> Self {
        let knobs = Knobs { latency: 20_000, ..Knobs::default() };
        let mut world = World::new(Dice::new(1), knobs, true);
        world.is_calm = true;
        world.sqs.queues = queued::queues(6 * MINUTE, 5, 96 * HOUR);
        Self { simulation: Simulation::new(world, [0, 1]), orders: 0 }
    }

    fn tell(&mut self, tell: impl FnOnce(&mut Told)) -> &mut Self {
        tell(&mut self.simulation.shared.world().script);
        self
    }

    /// What `RunTask` answers next; a task after that.
    pub fn replies(&mut self, replies: &[Reply]) -> &mut Self {
        self.tell(|told| told.replies.extend(replies))
    }

    /// How the next tasks end, a minute after they began to run; well after that.
    pub fn ends(&mut self, ends: &[End]) -> &mut Self {
        self.tell(|told| told.ends.extend(ends.iter().map(|end| (*end, 60 * SECOND))))
    }

    /// How the next task ends, after so many seconds.
    pub fn ends_after(&mut self, end: End, seconds: i64) -> &mut Self {
        self.tell(|told| told.ends.push_back((end, seconds * SECOND)))
    }

    /// The next task takes so many seconds to run.
    pub fn starts_after(&mut self, seconds: i64) -> &mut Self {
        self.tell(|told| told.starts.push_back(seconds * SECOND))
    }

    /// The next call of that kind goes wrong.
    pub fn mishap(&mut self, call: Call, mishap: Mishap) -> &mut Self {
        self.tell(|told| told.mishaps.push_back((call, mishap)))
    }

    /// The next `RunTask` arrives after so many seconds, and nobody waits for it as long; what was denied meanwhile has not used
    /// its token up.
    pub fn late_request(&mut self, seconds: i64) -> &mut Self {
        self.simulation.shared.world().ecs.failures_use_tokens = false;
        self.tell(|told| told.late.push_back(seconds * SECOND))
    }

    /// No Task State Change comes from now on, or each comes again.
    pub fn drops_events(&mut self, drops: bool) -> &mut Self {
        self.tell(|told| told.drops_events = drops)
    }

    /// Each Task State Change comes several times, and out of order.
    pub fn repeats_events(&mut self) -> &mut Self {
        self.tell(|told| told.repeats = true)
    }

    /// An event for these rules comes; which one, for [`Self::again`].
    pub fn order(&mut self, rules: &[&str]) -> usize {
        self.orders += 1;
        let planned = scenario::order(self.orders, 0, rules, false);
        self.deliver(planned)
    }

    /// Events for these rules come in one invocation; which of them failed is told to the source, or only that one did.
    pub fn batch(&mut self, orders: &[&[&str]], is_partial: bool) -> &mut Self {
        let first = self.simulation.planned.len();
        for rules in orders {
            self.orders += 1;
            self.simulation.planned.push(scenario::order(self.orders, 0, rules, false));
        }
        let events = (first..self.simulation.planned.len()).collect();
        self.act(Action::DeliverBatch { events, is_partial })
    }

    /// A message that asks for these rules comes into the first queue that they are on, in this group if it has groups; which
    /// one.
    pub fn message(&mut self, group: &str, rules: &[&'static str]) -> usize {
        let number = {
            let mut world = self.simulation.shared.world();
            let number = world.sqs.messages.len();
            let message = queued::message(number, group, rules);
            world.sqs.messages.push(message);
            number
        };
        self.act(Action::Send { message: number });
        number
    }

    /// Whether a message has left its queue since it was deleted, and how often it was received.
    pub fn deleted(&self, message: usize) -> (bool, u32) {
        let world = self.simulation.shared.world();
        let message = &world.sqs.messages[message];
        (message.state == State::Deleted, message.receives())
    }

    /// An event for the rule `big` comes, with this in it.
    pub fn long_order(&mut self, filler: &str) -> usize {
        self.orders += 1;
        let planned = scenario::order_with(self.orders, 0, &["big"], filler);
        self.deliver(planned)
    }

    fn deliver(&mut self, planned: Planned) -> usize {
        self.simulation.planned.push(planned);
        let event = self.simulation.planned.len() - 1;
        self.again(event);
        event
    }

    /// An event comes once more.
    pub fn again(&mut self, event: usize) -> &mut Self {
        self.act(Action::Deliver { event })
    }

    /// A person stops a run.
    pub fn stop(&mut self, run: &RunId) -> &mut Self {
        self.act(Action::PersonStops { run: Some(run.clone()) })
    }

    /// A person has a run done again.
    pub fn redrive(&mut self, run: &RunId) -> &mut Self {
        self.act(Action::PersonRedrives { run: Some(run.clone()) })
    }

    /// Every process gets the other rules.
    pub fn change_rules(&mut self) -> &mut Self {
        for process in 0..crate::simulation::PROCESSES {
            self.act(Action::Restart { process, with_other_rules: true });
        }
        self
    }

    fn act(&mut self, action: Action) -> &mut Self {
        {
            let mut world = self.simulation.shared.world();
            let now = world.now;
            world.act_at(now, action);
        }
        self
    }

    /// Goes on for so many seconds.
    pub fn play(&mut self, seconds: i64) -> &mut Self {
        let until = self.simulation.shared.world().now + seconds * SECOND;
        while self.simulation.next_at().is_some_and(|next| next <= until) {
            self.simulation.go_on();
            self.check();
        }
        self.simulation.shared.world().now = until;
        self
    }

    /// Goes on until nothing is left to happen; every promise has been held, or this panics with the history.
    pub fn play_out(&mut self) -> &mut Self {
        let until = self.simulation.shared.world().now + 72 * HOUR;
        while self.simulation.next_at().is_some_and(|next| next <= until) {
            self.simulation.go_on();
            self.check();
        }
        let planned = self.simulation.planned.clone();
        self.simulation.shared.world().judge_all(&planned);
        self.check();
        self
    }

    fn check(&self) {
        let mut world = self.simulation.shared.world();
        if let Some(violation) = world.violation.clone() {
            let history = world.take_history().join("\n");
            panic!("{history}\n{violation}");
        }
    }

    /// The runs of a rule, in the order in which they were made.
    pub fn runs(&self, rule: &str) -> Vec<Run> {
        let world = self.simulation.shared.world();
        let rows = world.store.rows().map(|row| &row.run).filter(|run| run.rule == rule);
        let mut runs: Vec<Run> = rows.cloned().collect();
        runs.sort_by_key(|run| run.created_at);
        runs
    }

    /// The one run of a rule.
    pub fn run(&self, rule: &str) -> Run {
        let mut runs = self.runs(rule);
        assert_eq!(runs.len(), 1, "{runs:?}");
        runs.remove(0)
    }

    /// How many tasks a run has had.
    pub fn tasks_of(&self, run: &Run) -> usize {
        let world = self.simulation.shared.world();
        world.ecs.tasks.iter().filter(|task| task.run_id == run.id).count()
    }

    /// How many tasks live.
    pub fn live_tasks(&self) -> usize {
        let world = self.simulation.shared.world();
        world.ecs.tasks.iter().filter(|task| Task::is_live(task)).count()
    }

    /// Who did what when, so far.
    pub fn history(&self) -> String {
        self.simulation.shared.world().take_history().join("\n")
    }

    /// How often a call was made.
    pub fn calls(&self, call: Call) -> u64 {
        self.simulation.shared.world().calls[call as usize]
    }
}
