//! A seed: what it plays, and what it has go wrong.

use crate::{
    dice::Dice,
    faults::{Knobs, Twist},
    queued,
    scenario::{self, Times},
    simulation::{PROCESSES, Simulation},
    world::{Action, HOUR, MINUTE, SECOND, World},
};

impl Simulation {
    /// The simulation of a seed.
    pub(crate) fn of_seed(seed: u64, is_told: bool) -> Self {
        let mut dice = Dice::new(seed);
        let knobs = Knobs::new(&mut dice);
        let first = dice.index(scenario::VARIANT_COUNT);
        let changes = dice.chance(300);
        let second = if changes { dice.index(scenario::VARIANT_COUNT) } else { first };
        let simulation = Self::new(World::new(dice, knobs, is_told), [first, second]);
        simulation.planned_by_dice(changes)
    }

    fn planned_by_dice(mut self, changes: bool) -> Self {
        let shared = self.shared.clone();
        let mut world = shared.world();
        for process in 0..PROCESSES {
            let skew = world.knobs.skew;
            world.processes[process].skew = world.dice.between(-skew, skew);
            if skew > 0 {
                world.coverage.met(Twist::SkewedClock);
            }
        }
        let faults = match world.dice.below(20) {
            0..=13 => world.dice.between(20 * MINUTE, 6 * HOUR),
            14..=18 => world.dice.between(6 * HOUR, 28 * HOUR),
            _ => world.dice.between(28 * HOUR, 72 * HOUR),
        };
        let events = match world.dice.below(3) {
            0 => world.dice.between(SECOND, 10 * SECOND),
            1 => world.dice.between(MINUTE, 20 * MINUTE),
            _ => faults / 2,
        };
        let times = Times { faults, events };
        let has_messages = world.dice.chance(300);
        // Runs that make way for one another by themselves, and often by what was seen a while ago: many of them, and what was
        // admitted waits again where ECS has no room for it.
        let make_way = !has_messages && world.dice.chance(250);
        if make_way {
            (world.knobs.frozen, world.knobs.denied) = (40, 500);
        }
        let count = match (has_messages, make_way) {
            (true, _) => world.dice.index(6),
            (_, true) => 12,
            _ => 1 + world.dice.index(12),
        };
        // Few rules a seed, so that their runs meet.
        let names: Vec<&str> = if make_way {
            vec![world.dice.pick(&["skip", "latest", "replace"])]
        } else {
            (0..=world.dice.index(4)).map(|_| world.dice.pick(&scenario::NAMES)).collect()
        };
        for number in 0..count {
            self.plan_order(&mut world, number, &names, times);
        }
        self.plan_chains(&mut world, times);
        self.plan_batches(&mut world, times);
        if has_messages {
            queued::plan(&mut world, times);
        }
        plan_mishaps(&mut world, times, changes);
        world.act_at(times.faults, Action::FaultsStop);
        drop(world);
        self
    }

    fn plan_order(&mut self, world: &mut World, number: usize, names: &[&str], times: Times) {
        let mut mine: Vec<&str> =
            names.iter().copied().filter(|_| world.dice.chance(600)).collect();
        if mine.is_empty() {
            mine.push(names[0]);
        }
        mine.sort_unstable();
        mine.dedup();
        let tenant = world.dice.below(2);
        let is_long = mine.contains(&"big") && world.dice.chance(700);
        self.planned.push(scenario::order(number, tenant, &mine, is_long));
        let time = world.dice.between(0, times.events);
        if world.dice.chance(world.knobs.batched) {
            self.batched.push(number);
        } else {
            world.act_at(time, Action::Deliver { event: number });
        }
        while world.dice.chance(world.knobs.repeated) {
            world.coverage.met(Twist::Redelivered);
            let longest = world.dice.pick(&[SECOND, MINUTE, HOUR, 72 * HOUR]);
            let again = time + world.dice.between(0, longest);
            world.act_at(again, Action::Deliver { event: number });
        }
    }
    /// Orders that begin a chain, now and then: one is as long as many other runs together.
    fn plan_chains(&mut self, world: &mut World, times: Times) {
        if !world.dice.chance(40) {
            return;
        }
        // A chain that a failing application cuts short is like any other run.
        world.knobs.application = world.dice.pick(&[0, world.knobs.application / 20]);
        for _ in 0..=world.dice.index(2) {
            let event = self.planned.len();
            self.planned.push(scenario::order(event, 0, &[scenario::CHAIN], false));
            let time = world.dice.between(0, times.events);
            world.act_at(time, Action::Deliver { event });
        }
    }

    /// What comes several at a time: some of it twice, in one batch and in another.
    fn plan_batches(&mut self, world: &mut World, times: Times) {
        let mut left = std::mem::take(&mut self.batched);
        while !left.is_empty() {
            let length = (1 + world.dice.index(6)).min(left.len());
            let mut events: Vec<usize> = left.drain(..length).collect();
            if world.dice.chance(world.knobs.repeated / 3) {
                events.push(events[0]);
            }
            let is_partial = world.dice.chance(500);
            let time = world.dice.between(0, times.events);
            if world.dice.chance(world.knobs.repeated / 2) {
                let again = time + world.dice.between(0, HOUR);
                let events = events.clone();
                world.act_at(again, Action::DeliverBatch { events, is_partial });
            }
            world.act_at(time, Action::DeliverBatch { events, is_partial });
        }
    }
}

fn plan_mishaps(world: &mut World, times: Times, changes: bool) {
    for _ in 0..3 {
        if world.dice.chance(world.knobs.person) {
            let time = world.dice.between(0, times.events + HOUR).min(times.faults);
            world.act_at(time, Action::PersonStops { run: None });
        }
        if world.dice.chance(world.knobs.person) {
            let time = world.dice.between(0, times.faults);
            world.act_at(time, Action::PersonRedrives { run: None });
        }
        if world.dice.chance(world.knobs.dropped / 4) {
            let time = world.dice.between(0, times.faults);
            world.act_at(time, Action::SweepsStop);
        }
        if world.dice.chance(world.knobs.gone) {
            let time = world.dice.between(0, times.events);
            world.act_at(time, Action::TaskDefinitionsGo);
        }
        if world.dice.chance(world.knobs.killed * 50) {
            let time = world.dice.between(0, times.faults);
            let process = world.dice.index(PROCESSES);
            world.act_at(time, Action::Restart { process, with_other_rules: false });
        }
    }
    if changes {
        let begin = world.dice.between(0, times.faults);
        for process in 0..PROCESSES {
            let time = begin + world.dice.between(0, 5 * MINUTE);
            world.act_at(time, Action::Restart { process, with_other_rules: true });
        }
    }
}
