//! A task's life: how long it takes, how it ends, and who hears of it.
//!
//! What comes of a task is decided when it starts, by the script or the dice; each step is told by ways that lose, repeat and
//! delay it.

use taskferry_core::{
    run::{RunId, StartedBy},
    track::Container,
};

use super::Task;
use crate::{
    faults::Twist,
    queued::HELD_RULES,
    script::End,
    world::{Action, HOUR, MINUTE, Micros, SECOND, World},
};

/// A step of a task's life.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    /// Its host is found.
    Pending,
    /// It runs.
    Running,
    /// It ends by itself.
    Exit,
    /// It ends since it was told to.
    Killed,
}

impl World {
    pub(super) fn start_task(&mut self, started_by: &str, request: &str, delay: Micros) -> usize {
        let number = self.ecs.tasks.len();
        let arn = format!("arn:aws:ecs:us-east-1:1:task/batch/{number:08x}");
        let named = StartedBy::parse(started_by);
        let run_id = named.as_ref().map_or_else(|| RunId::new("", "", ""), |it| it.run_id.clone());
        let rule = self.store.get(&run_id).map(|run| run.rule.clone()).unwrap_or_default();
        let told = self.script.ends.pop_front();
        let end = told.map_or_else(|| self.end(&rule), |(end, _)| end);
        let lag = if self.is_calm || !self.dice.chance(self.knobs.stale) {
            0
        } else {
            self.coverage.met(Twist::TaskUnseen);
            self.dice.between(0, 2 * SECOND)
        };
        let is_held = self.ecs.long_left > 0 && HELD_RULES.contains(&rule.as_str());
        let is_long = told.is_none() && is_held && self.dice.chance(300);
        self.ecs.long_left -= usize::from(is_long);
        let runs_for = match self.dice.below(10) {
            _ if is_long => self.dice.between(10 * HOUR, 13 * HOUR),
            _ if told.is_some() => told.map_or(MINUTE, |(_, runs_for)| runs_for),
            0..=4 => self.dice.between(SECOND, MINUTE),
            5..=8 => self.dice.between(MINUTE, 10 * MINUTE),
            _ if self.is_calm => MINUTE,
            _ => self.dice.between(MINUTE, 3 * HOUR),
        };
        let attempt = named.map_or(0, |it| it.attempt);
        self.ecs.tasks.push(Task {
            arn: arn.clone(),
            started_by: started_by.to_owned(),
            run_id,
            attempt,
            last_status: "PROVISIONING",
            is_stopping: false,
            stop_code: None,
            stopped_reason: None,
            containers: Vec::new(),
            started_at: None,
            stopped_at: None,
            version: 1,
            seen_from: self.now + delay + lag,
            remembered_for: HOUR + self.dice.between(0, 10 * MINUTE),
            end,
            runs_for,
        });
        self.ecs.by_arn.insert(arn.clone(), number);
        self.note(|| format!("ECS      starts task {number} for {started_by}: {end:?}"));
        self.judge_task(number, request);
        let provisioned = self.now + delay + self.dice.between(SECOND / 10, 3 * SECOND);
        self.act_at(provisioned, Action::TaskStep { task: number, step: Step::Pending });
        number
    }

    fn end(&mut self, rule: &str) -> End {
        let has_timeout = matches!(rule, "timed" | "one");
        if !self.is_calm && self.dice.chance(self.knobs.hosts) {
            let (twist, end) = match self.dice.below(7) {
                0 => (
                    Twist::SpotInterruption,
                    End::Stopped("SpotInterruption", "Your Spot Task was interrupted."),
                ),
                1 => (
                    Twist::TerminationNotice,
                    End::Stopped("TerminationNotice", "instance draining"),
                ),
                2 => (
                    Twist::InfrastructureHealth,
                    End::Stopped("InfrastructureHealth", "the host has failed"),
                ),
                3 => (Twist::NoContainers, End::NoContainers),
                4 => {
                    (Twist::ImagePull, End::FailedToStart("CannotPullContainerError: i/o timeout"))
                }
                5 => (
                    Twist::Initialization,
                    End::FailedToStart("ResourceInitializationError: unable to pull secrets"),
                ),
                _ => {
                    (Twist::AgentVanished, End::Stopped("", "Host EC2 (instance i-1) terminated."))
                }
            };
            self.coverage.met(twist);
            return end;
        }
        // The application fails on, whether AWS's faults have stopped or not.
        if self.dice.chance(self.knobs.application) {
            let (twist, end) = match self.dice.below(7) {
                0..=1 => (Twist::ExitCode, End::Exit(1)),
                2 => (Twist::OutOfMemoryExit0, End::OutOfMemory(0)),
                3 => (Twist::OutOfMemoryExit137, End::OutOfMemory(137)),
                4 => (Twist::NoExitCode, End::NoExitCode),
                5 if has_timeout && !self.is_calm => (Twist::Hangs, End::Hangs),
                5 => (Twist::ExitCode, End::Exit(75)),
                _ => (Twist::SidecarFailed, End::SidecarFailed),
            };
            self.coverage.met(twist);
            return end;
        }
        End::Exit(0)
    }

    /// A task goes a step further.
    pub(crate) fn task_step(&mut self, number: usize, step: Step) {
        let (end, runs_for) = (self.ecs.tasks[number].end, self.ecs.tasks[number].runs_for);
        let task = &mut self.ecs.tasks[number];
        if !task.is_live() {
            return;
        }
        match step {
            Step::Pending | Step::Running if task.is_stopping => {}
            Step::Pending => {
                task.last_status = "PENDING";
                task.version += 1;
                let slow = !self.is_calm && self.dice.chance(self.knobs.late / 4);
                let starts_in = if let Some(told) = self.script.starts.pop_front() {
                    told
                } else if slow {
                    self.coverage.met(Twist::SlowStart);
                    self.dice.between(MINUTE, 40 * MINUTE)
                } else {
                    self.dice.between(SECOND, 30 * SECOND)
                };
                let step = match end {
                    End::NoContainers | End::FailedToStart(_) => Step::Exit,
                    _ => Step::Running,
                };
                self.tell_task(number);
                self.act_at(self.now + starts_in, Action::TaskStep { task: number, step });
            }
            Step::Running => {
                task.last_status = "RUNNING";
                task.version += 1;
                task.started_at = Some(self.now);
                self.tell_task(number);
                let ends_in = match end {
                    End::Hangs => return,
                    End::Stopped("", _) => runs_for + self.dice.between(HOUR, 3 * HOUR),
                    _ => runs_for,
                };
                self.act_at(
                    self.now + ends_in,
                    Action::TaskStep { task: number, step: Step::Exit },
                );
            }
            Step::Exit => {
                let races = task.is_stopping && self.dice.chance(500);
                self.end_task(number, end, races);
            }
            Step::Killed => {
                let code = self.dice.pick(&[0, 137, 143]);
                self.end_task(number, End::Exit(code), false);
            }
        }
    }

    /// A task ends well, and no event tells of it.
    pub(crate) fn end_unheard(&mut self, number: usize) {
        let (is_calm, dropped) = (self.is_calm, self.knobs.dropped);
        (self.is_calm, self.knobs.dropped) = (false, 1000);
        self.ecs.tasks[number].started_at = Some(self.now);
        self.end_task(number, End::Exit(0), false);
        (self.is_calm, self.knobs.dropped) = (is_calm, dropped);
    }

    fn end_task(&mut self, number: usize, end: End, races: bool) {
        let container = |name: &str, exit_code, reason: Option<&str>| Container {
            name: name.to_owned(),
            exit_code,
            reason: reason.map(str::to_owned),
        };
        let exited =
            |code| vec![container("app", Some(code), None), container("log", Some(0), None)];
        let memory = Some("OutOfMemoryError: Container killed due to memory usage");
        let (code, reason, containers) = match end {
            End::Exit(code) => {
                ("EssentialContainerExited", "Essential container in task exited", exited(code))
            }
            End::SidecarFailed => (
                "EssentialContainerExited",
                "Essential container in task exited",
                vec![container("app", Some(0), None), container("log", Some(1), None)],
            ),
            End::OutOfMemory(code) => (
                "EssentialContainerExited",
                "Essential container in task exited",
                vec![container("app", Some(code), memory), container("log", Some(0), None)],
            ),
            End::NoExitCode => (
                "EssentialContainerExited",
                "Essential container in task exited",
                vec![container("app", None, None), container("log", Some(0), None)],
            ),
            End::NoContainers => ("TaskFailedToStart", "", Vec::new()),
            End::FailedToStart(reason) => {
                ("TaskFailedToStart", reason, vec![container("app", None, None)])
            }
            End::Stopped(code, reason) => (code, reason, exited(143)),
            End::Hangs => ("EssentialContainerExited", "", exited(137)),
        };
        let task = &mut self.ecs.tasks[number];
        let was_told = task.is_stopping && task.stop_code == Some("UserInitiated");
        if was_told && races {
            self.coverage.met(Twist::StopRacesExit);
        }
        if !was_told || races {
            task.stop_code = Some(code).filter(|code| !code.is_empty());
            task.stopped_reason = Some(reason.to_owned());
        }
        (task.last_status, task.is_stopping) = ("STOPPED", true);
        (task.containers, task.stopped_at) = (containers, Some(self.now));
        task.version += 1;
        self.note(|| format!("ECS      task {number} has stopped: {code} {reason}"));
        self.tell_task(number);
    }

    /// A Task State Change goes out, by ways that lose, repeat and delay.
    pub(super) fn tell_task(&mut self, number: usize) {
        let state = self.ecs.tasks[number].state();
        let is_subscribed = matches!(state.last_status.as_str(), "RUNNING" | "STOPPED");
        if !is_subscribed {
            if self.is_calm || !self.dice.chance(self.knobs.repeated / 4) {
                return;
            }
            self.coverage.met(Twist::EventOfAnotherStep);
        }
        if self.script.drops_events || !self.is_calm && self.dice.chance(self.knobs.dropped) {
            self.coverage.met(Twist::EventDropped);
            self.note(|| format!("ECS      event of task {number} is dropped"));
            return;
        }
        let mut times = 1;
        if !self.is_calm && self.dice.chance(self.knobs.repeated) {
            self.coverage.met(Twist::EventRepeated);
            times += self.dice.between(1, 2);
        }
        if self.script.repeats {
            times = 3;
        }
        for time in 0..times {
            let mut delay = self.dice.between(SECOND / 20, 2 * SECOND);
            if !self.is_calm && self.dice.chance(self.knobs.late) {
                delay = if self.dice.chance(500) {
                    self.coverage.met(Twist::EventReordered);
                    self.dice.between(SECOND, 3 * MINUTE)
                } else {
                    self.coverage.met(Twist::EventLate);
                    self.dice.between(10 * MINUTE, 5 * HOUR)
                };
            }
            if self.script.repeats {
                // The change after it comes before it.
                delay = self.dice.between(0, 3) * MINUTE * time;
            }
            let change = Box::new(state.clone());
            self.act_at(self.now + delay, Action::TaskEvent { change, delivery: 1 });
        }
    }
}
