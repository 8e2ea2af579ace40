//! A small world, searched whole: two processes, one slot, a crash at any step, every order.
//!
//! Where seeds meet many faults in a few of the orders, this meets few faults in all of them. A path is a list of choices:
//! who goes on to its next call, or dies. Paths that lead to the same state are gone on with once.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
};

use crate::{
    dice::Dice,
    faults::Knobs,
    promises::Violation,
    queued,
    scenario::{self, STACK},
    simulation::Simulation,
    sqs::Delivery,
    world::{Action, HOUR, MINUTE, World},
};
use taskferry_core::run::RunId;

/// What two processes do at the same time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scene {
    /// Two events for one slot.
    TwoEvents,
    /// One event, delivered twice.
    OneEventTwice,
    /// A task's end gives the slot back while another event comes for it.
    AnEndAndAnEvent,
    /// Two sweeps find the same launch that was never answered, and a run in the queue behind it.
    TwoSweeps,
    /// A person stops a run while its event is dispatched.
    AStopAndAnEvent,
    /// A task's end is told while a sweep asks about the same task.
    AnEndAndASweep,
    /// A message that is to be held is with two functions, which had it by two deliveries.
    AHeldMessageTwice,
    /// The heartbeat of a message falls due while its run's task ends.
    AHeartbeatAndAnEnd,
}

impl Scene {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::TwoEvents,
        Self::OneEventTwice,
        Self::AnEndAndAnEvent,
        Self::TwoSweeps,
        Self::AStopAndAnEvent,
        Self::AnEndAndASweep,
        Self::AHeldMessageTwice,
        Self::AHeartbeatAndAnEnd,
    ];
}

/// What a search came to.
#[derive(Debug)]
pub struct Searched {
    /// Of what.
    pub scene: Scene,
    /// How many states there were.
    pub states: usize,
    /// How many of them nobody could go on from, so that they were played to the end of all runs.
    pub ends: usize,
    /// The first promise broken, and how it came to that.
    pub violation: Option<(Violation, Vec<String>)>,
}

/// A choice.
#[derive(Clone, Copy, Debug)]
enum Choice {
    /// The call that waits there goes on.
    Go(usize),
    /// The process dies.
    Crash(usize),
}

/// A digest of a text, good enough to tell states apart.
pub(crate) fn digest(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// Goes through all orders of a scene, with at most `crashes` crashes in each.
pub fn search(scene: Scene, crashes: usize) -> Searched {
    let mut searched = Searched { scene, states: 0, ends: 0, violation: None };
    let mut known = BTreeSet::new();
    let mut paths: Vec<Vec<Choice>> = vec![Vec::new()];
    while let Some(path) = paths.pop() {
        let mut simulation = play(scene, &path, false);
        let deaths = path.iter().filter(|choice| matches!(choice, Choice::Crash(_))).count();
        if !known.insert((state(&simulation), deaths)) {
            continue;
        }
        searched.states += 1;
        let waiting = simulation.shared.world().waiting().len();
        let broken = simulation.shared.world().violation.is_some();
        if waiting == 0 || broken {
            searched.ends += 1;
            drain(&mut simulation);
            if simulation.shared.world().violation.is_some() {
                let mut again = play(scene, &path, true);
                drain(&mut again);
                let report = again.report();
                searched.violation = report.violation.map(|it| (it, report.history));
                break;
            }
            continue;
        }
        let goes = (0..waiting).map(Choice::Go);
        let dies = simulation.busy().into_iter().map(Choice::Crash);
        let dies = dies.filter(|_| deaths < crashes);
        paths.extend(goes.chain(dies).map(|choice| {
            let mut longer = path.clone();
            longer.push(choice);
            longer
        }));
    }
    searched
}

/// The scene after these choices.
fn play(scene: Scene, path: &[Choice], is_told: bool) -> Simulation {
    let mut simulation = set(scene, is_told);
    simulation.settle();
    for choice in path {
        match *choice {
            Choice::Go(index) => go(&mut simulation, index),
            Choice::Crash(process) => simulation.crash(process),
        }
        simulation.settle();
    }
    simulation
}

fn go(simulation: &mut Simulation, index: usize) {
    let waker = {
        let mut world = simulation.shared.world();
        let number = world.waiting().get(index).copied();
        number.and_then(|number| world.let_go(number))
    };
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// What came before the scene.
fn set(scene: Scene, is_told: bool) -> Simulation {
    let knobs = Knobs { latency: 1, ..Knobs::default() };
    let mut world = World::new(Dice::new(0), knobs, is_told);
    world.is_calm = true;
    world.is_stepwise = true;
    let mut simulation = Simulation::new(world, [0, 0]);
    let (first, second) =
        (scenario::order(1, 0, &["one"], false), scenario::order(2, 0, &["one"], false));
    simulation.planned = vec![first, second];
    match scene {
        Scene::TwoEvents => {
            simulation.dispatch(0, 0);
            simulation.dispatch(1, 1);
        }
        Scene::OneEventTwice => {
            simulation.dispatch(0, 0);
            simulation.dispatch(1, 0);
        }
        Scene::AnEndAndAnEvent => {
            let change = ended_task(&mut simulation);
            simulation.track(0, Box::new(change), 1);
            simulation.dispatch(1, 1);
        }
        Scene::AnEndAndASweep => {
            let change = ended_task(&mut simulation);
            simulation.dispatch(2, 1);
            through(&mut simulation);
            simulation.shared.world().now = 11 * MINUTE;
            simulation.track(0, Box::new(change), 1);
            simulation.sweep(1, 50);
        }
        Scene::TwoSweeps => {
            simulation.dispatch(0, 0);
            simulation.settle();
            // It has its slot, and dies before it can send its request.
            for _ in 0..4 {
                go(&mut simulation, 0);
                simulation.settle();
            }
            simulation.crash(0);
            simulation.dispatch(1, 1);
            through(&mut simulation);
            simulation.shared.world().now = 11 * MINUTE;
            simulation.sweep(0, 50);
            simulation.sweep(1, 50);
        }
        Scene::AHeldMessageTwice => {
            let first = delivered(&mut simulation);
            simulation.receive(0, 0, first, 3600);
            simulation.settle();
            // It is held, and frozen for longer than that.
            go(&mut simulation, 0);
            simulation.settle();
            simulation.shared.world().now += 11 * MINUTE;
            let second = simulation.shared.world().receive_messages(0);
            simulation.receive(1, 0, second, 60);
        }
        Scene::AHeartbeatAndAnEnd => {
            let first = delivered(&mut simulation);
            simulation.receive(2, 0, first, 60);
            through(&mut simulation);
            simulation.shared.world().now += 6 * MINUTE;
            let change = end_of_task(&simulation);
            simulation.track(0, Box::new(change), 1);
            simulation.sweep(1, 50);
        }
        Scene::AStopAndAnEvent => {
            simulation.dispatch(2, 0);
            through(&mut simulation);
            simulation.stop(0, RunId::new(STACK, "one", "o1"));
            simulation.dispatch(1, 1);
        }
    }
    simulation
}

/// A message that is to be held was received.
fn delivered(simulation: &mut Simulation) -> Vec<Delivery> {
    let mut world = simulation.shared.world();
    world.sqs.queues = queued::queues(6 * MINUTE, 100, 96 * HOUR);
    world.sqs.messages = vec![queued::plain(0, 0, &["keep"])];
    world.send_message(0);
    world.receive_messages(0)
}

/// The first event's task has ended, and nobody knows.
fn ended_task(simulation: &mut Simulation) -> taskferry_core::track::TaskState {
    simulation.dispatch(2, 0);
    through(simulation);
    end_of_task(simulation)
}

/// The first task ends, and nobody hears of it.
fn end_of_task(simulation: &Simulation) -> taskferry_core::track::TaskState {
    let mut world = simulation.shared.world();
    world.end_unheard(0);
    world.ecs.tasks[0].state()
}

/// Everybody goes on until nobody can.
fn through(simulation: &mut Simulation) {
    simulation.settle();
    while !simulation.shared.world().waiting().is_empty() {
        go(simulation, 0);
        simulation.settle();
    }
}

/// What is left goes its usual way, with nothing in it that fails.
fn drain(simulation: &mut Simulation) {
    {
        let mut world = simulation.shared.world();
        world.is_stepwise = false;
        let now = world.now;
        world.act_at(now, Action::FaultsStop);
        for event in 0..simulation.planned.len() {
            // As a source that was not told "done" does.
            world.act_at(now + MINUTE, Action::Deliver { event });
        }
    }
    while simulation.shared.world().violation.is_none() && simulation.go_on() {}
    if simulation.shared.world().violation.is_none() {
        let planned = simulation.planned.clone();
        simulation.shared.world().judge_all(&planned);
    }
}

fn state(simulation: &Simulation) -> u64 {
    let world = simulation.shared.world();
    let seen: Vec<u64> = world.processes.iter().map(|process| process.seen).collect();
    let tasks: Vec<_> =
        world.ecs.tasks.iter().map(|task| (&task.started_by, task.is_wanted())).collect();
    let messages: Vec<_> = world.sqs.messages.iter().map(|message| message.state).collect();
    let rest = (messages, world.payloads.len(), world.bus.len(), simulation.busy());
    digest(&format!("{:?} {seen:?} {tasks:?} {rest:?}", world.store))
}
