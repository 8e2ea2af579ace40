//! ECS as it really is: tokens, tasks and their lives, lists that lag, and what it forgets.
//!
//! The truth that the oracles look at. What it promises is ECS's own contract, cited where it is kept; what it does within
//! that, the dice decide.

use std::collections::BTreeMap;

use taskferry_core::{
    failure::FailureClass,
    launch::{Answer, Failure},
    run::{RunId, StartedBy},
    track::{Container, TaskState},
};

use crate::{
    faults::Twist,
    ports::member,
    promises::Oracle,
    queued::HELD_RULES,
    script::{End, Reply},
    world::{Action, HOUR, MINUTE, Micros, SECOND, World, at},
};

/// A task, with what will come of it.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    /// Its ARN.
    pub(crate) arn: String,
    /// Its `startedBy`, as sent.
    pub(crate) started_by: String,
    /// The run that it belongs to.
    pub(crate) run_id: RunId,
    /// The attempt that it belongs to.
    pub(crate) attempt: u32,
    /// ECS's words.
    pub(crate) last_status: &'static str,
    /// Whether ECS wants it stopped.
    pub(crate) is_stopping: bool,
    stop_code: Option<&'static str>,
    stopped_reason: Option<String>,
    containers: Vec<Container>,
    started_at: Option<Micros>,
    stopped_at: Option<Micros>,
    version: i64,
    /// From when on lists tell of it.
    seen_from: Micros,
    /// For how long after its end.
    remembered_for: Micros,
    end: End,
    runs_for: Micros,
}

/// What a client token stands for.
#[derive(Clone, Debug)]
struct Token {
    request: String,
    tasks: Vec<usize>,
    failures: Vec<Failure>,
    created_at: Micros,
}

/// A region's ECS.
#[derive(Debug, Default)]
pub(crate) struct Ecs {
    /// Every task that there ever was.
    pub(crate) tasks: Vec<Task>,
    by_arn: BTreeMap<String, usize>,
    tokens: BTreeMap<String, Token>,
    /// Whether a call that started nothing uses its token up: AWS does not say.
    pub(crate) failures_use_tokens: bool,
    /// `RunTask`: calls a second, and at once.
    pub(crate) quota: (i64, i64),
    bucket: (i64, Micros),
    /// How many more tasks take so long that no message can be held until their end.
    pub(crate) long_left: usize,
    /// Until when the task definitions are gone.
    pub(crate) gone_until: Micros,
}

impl Ecs {
    /// An ECS that knows no task.
    pub(crate) fn new(failures_use_tokens: bool) -> Self {
        Self { failures_use_tokens, quota: (20, 20), ..Self::default() }
    }
}

impl Task {
    /// Whether it has not stopped.
    pub(crate) fn is_live(&self) -> bool {
        self.last_status != "STOPPED"
    }

    /// Whether it is on its way or runs, and nobody has said that it should not.
    pub(crate) fn is_wanted(&self) -> bool {
        self.is_live() && !self.is_stopping
    }

    /// Whether it did what it was to do: the oracles' own reading of the facts.
    pub(crate) fn has_succeeded(&self) -> bool {
        let app = self.containers.iter().find(|container| container.name == "app");
        !self.is_live()
            && self.stop_code == Some("EssentialContainerExited")
            && app.is_some_and(|app| app.exit_code == Some(0) && app.reason.is_none())
    }

    /// Whether it ended by the application's own fault.
    pub(crate) fn has_failed_by_itself(&self) -> bool {
        let by_itself = match self.end {
            End::Exit(code) => code != 0,
            End::OutOfMemory(_) | End::NoExitCode => true,
            _ => false,
        };
        by_itself && !self.is_live()
    }

    /// What ECS tells of it now.
    pub(crate) fn state(&self) -> TaskState {
        TaskState {
            task_arn: self.arn.clone(),
            started_by: Some(self.started_by.clone()),
            last_status: self.last_status.to_owned(),
            desired_status: Some(if self.is_stopping { "STOPPED" } else { "RUNNING" }.to_owned()),
            stop_code: self.stop_code.map(str::to_owned),
            stopped_reason: self.stopped_reason.clone(),
            containers: self.containers.clone(),
            started_at: self.started_at.map(at),
            stopped_at: self.stopped_at.map(at),
            version: Some(self.version),
        }
    }
}

impl World {
    /// `RunTask`, as ECS sees it arrive.
    pub(crate) fn run_task(&mut self, request: &str) -> Answer {
        let text = |name: &str| member(request, name).unwrap_or_default().to_owned();
        let (token, started_by) = (text("clientToken"), text("startedBy"));
        if !self.has_quota() {
            self.coverage.met(Twist::QuotaExceeded);
            let message = "ThrottlingException: Rate exceeded".to_owned();
            return Answer::NotNow { class: FailureClass::Throttled, message };
        }
        // Who may call is asked before what was called before.
        if !self.is_calm
            && self.ecs.tokens.contains_key(&token)
            && self.dice.chance(self.knobs.denied / 8)
        {
            self.coverage.met(Twist::Refused);
            return Answer::Refused { message: "AccessDeniedException: not authorized".to_owned() };
        }
        if let Some(known) = self.ecs.tokens.get(&token).cloned() {
            if self.is_remembered(&known) {
                return self.replay(request, &known);
            }
            self.broken(Oracle::TokensAreFresh, || {
                format!("{started_by} is sent again, and ECS has forgotten its token")
            });
        }
        let mut failures = Vec::new();
        let mut starts_in = Some(0);
        let mut failed = |reason: &str| {
            failures.push(Failure { arn: None, reason: Some(reason.to_owned()), detail: None });
        };
        match self.reply() {
            Reply::Task => {}
            Reply::NoRoom => {
                let message = "ClientException: provisioning capacity limit exceeded".to_owned();
                return Answer::NotNow { class: FailureClass::Capacity, message };
            }
            Reply::Throttled => {
                let message = "InvalidParameterException: Rate exceeded".to_owned();
                return Answer::NotNow { class: FailureClass::Throttled, message };
            }
            Reply::Refused => {
                let message = "AccessDeniedException: not authorized".to_owned();
                return Answer::Refused { message };
            }
            Reply::FailuresAndTask(reason) => failed(reason),
            Reply::FailuresThenTask(reason) => {
                failed(reason);
                starts_in = Some(self.dice.between(SECOND / 2, 2 * SECOND));
            }
            Reply::Failures(reason) => {
                failed(reason);
                starts_in = None;
            }
        }
        let mut tasks = Vec::new();
        let is_ghost = !failures.is_empty() && starts_in.is_some_and(|delay| delay > 0);
        if let Some(delay) = starts_in {
            tasks.push(self.start_task(&started_by, request, delay));
        }
        let has_token = !token.is_empty();
        if has_token && (!tasks.is_empty() || self.ecs.failures_use_tokens) {
            let request = request.to_owned();
            let (tasks, failures, created_at) = (tasks.clone(), failures.clone(), self.now);
            self.ecs.tokens.insert(token, Token { request, tasks, failures, created_at });
        }
        let told = if is_ghost { Vec::new() } else { tasks };
        let tasks = told.iter().map(|task| self.ecs.tasks[*task].state()).collect();
        Answer::Tasks { tasks, failures }
    }

    /// What the script says, or the dice.
    fn reply(&mut self) -> Reply {
        if let Some(reply) = self.script.replies.pop_front() {
            return reply;
        }
        if self.is_calm || !self.dice.chance(self.knobs.denied) {
            return Reply::Task;
        }
        let reason = self.dice.pick(&[
            "Capacity is unavailable at this time. Please try again later or in a different availability zone",
            "RESOURCE:MEMORY",
            "RESOURCE:ENI",
            "AGENT",
            "INTERNAL",
        ]);
        let (twist, reply) = match self.dice.below(5) {
            0 => (Twist::NoRoom, Reply::NoRoom),
            1 if self.dice.chance(300) => (Twist::Refused, Reply::Refused),
            2 => (Twist::FailuresAndTask, Reply::FailuresAndTask(reason)),
            3 => (Twist::FailuresThenTask, Reply::FailuresThenTask(reason)),
            _ => (Twist::FailuresOnly, Reply::Failures(reason)),
        };
        self.coverage.met(twist);
        reply
    }

    /// A token bucket, as AWS has it.
    fn has_quota(&mut self) -> bool {
        let (rate, burst) = self.ecs.quota;
        let (tokens, filled_at) = self.ecs.bucket;
        let unit = SECOND / rate;
        let gained = (self.now - filled_at) / unit;
        let tokens = (tokens + gained).min(burst);
        let has_one = tokens > 0;
        self.ecs.bucket = (tokens - i64::from(has_one), filled_at + gained * unit);
        has_one
    }

    /// Fills the bucket.
    pub(crate) fn fill_quota(&mut self) {
        self.ecs.bucket = (self.ecs.quota.1, self.now);
    }

    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/ECS_Idempotency.html>: for 24 hours, or until one hour
    /// after the last of its tasks has stopped, whichever is less.
    fn is_remembered(&self, token: &Token) -> bool {
        let ended = token.tasks.iter().map(|task| self.ecs.tasks[*task].stopped_at);
        let last_ended =
            ended.collect::<Option<Vec<_>>>().and_then(|ended| ended.into_iter().max());
        self.now < token.created_at + 24 * HOUR
            && last_ended.is_none_or(|ended_at| self.now < ended_at + HOUR)
    }

    /// Whether the token of a run's attempt was known once, and is no more.
    pub(crate) fn has_forgotten_token(&self, run_id: &RunId, attempt: u32) -> bool {
        let token = self.ecs.tokens.get(&format!("{run_id}-{attempt}"));
        token.is_some_and(|token| !self.is_remembered(token))
    }

    /// A process reads the answer to this request now.
    pub(crate) fn note_answer(&mut self, request: &str) {
        let token = self.ecs.tokens.get(member(request, "clientToken").unwrap_or_default());
        if token.is_some_and(|token| !self.is_remembered(token)) {
            self.coverage.met(Twist::FrozenPastToken);
        }
    }

    /// A request arrives that nobody waits for any more.
    pub(crate) fn request_arrives(&mut self, request: &str) {
        self.coverage.met(Twist::RequestLate);
        self.note(|| "ECS      a RunTask arrives that was given up".to_owned());
        self.run_task(request);
    }

    fn replay(&mut self, request: &str, token: &Token) -> Answer {
        let conflicts = !self.is_calm && self.dice.chance(self.knobs.denied / 5);
        self.coverage.asked(Oracle::OneTaskForEachAttempt);
        self.held(request == token.request, Oracle::SameRequest, || {
            format!("one token came with {} and with {request}", token.request)
        });
        if request != token.request || conflicts {
            self.coverage.met(Twist::TokenConflict);
            let task_arns = token.tasks.iter().map(|task| self.ecs.tasks[*task].arn.clone());
            return Answer::Conflict { task_arns: task_arns.collect() };
        }
        let tasks = token.tasks.iter().map(|task| self.ecs.tasks[*task].state()).collect();
        Answer::Tasks { tasks, failures: token.failures.clone() }
    }

    fn start_task(&mut self, started_by: &str, request: &str, delay: Micros) -> usize {
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

    /// `StopTask`; false if there is no such task.
    pub(crate) fn stop_task(&mut self, arn: &str, reason: &str) -> bool {
        let Some(number) = self.remembered(arn) else { return false };
        let task = &mut self.ecs.tasks[number];
        if !task.is_live() || task.is_stopping {
            return true;
        }
        (task.is_stopping, task.stop_code) = (true, Some("UserInitiated"));
        task.stopped_reason = Some(reason.to_owned());
        task.version += 1;
        self.tell_task(number);
        let stopped = self.now + self.dice.between(SECOND, 35 * SECOND);
        self.act_at(stopped, Action::TaskStep { task: number, step: Step::Killed });
        true
    }

    /// The task, if it has not been forgotten.
    ///
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html>: for at least one hour after its end.
    fn remembered(&self, arn: &str) -> Option<usize> {
        let number = *self.ecs.by_arn.get(arn)?;
        let task = &self.ecs.tasks[number];
        let is_remembered = task.stopped_at.is_none_or(|at| self.now < at + task.remembered_for);
        is_remembered.then_some(number)
    }

    /// The task, if the lists tell of it.
    fn known(&self, arn: &str) -> Option<usize> {
        self.remembered(arn).filter(|number| self.ecs.tasks[*number].seen_from <= self.now)
    }

    /// `DescribeTasks`.
    pub(crate) fn describe_tasks(&mut self, arns: &[String]) -> Vec<TaskState> {
        let known: Vec<usize> = arns.iter().filter_map(|arn| self.known(arn)).collect();
        if known.len() < arns.len() {
            self.coverage.met(Twist::TaskForgotten);
        }
        known.into_iter().map(|number| self.ecs.tasks[number].state()).collect()
    }

    /// `ListTasks` by `startedBy`, for those that are to run and those that are to stop.
    pub(crate) fn list_tasks(&self, started_by: &str) -> Vec<String> {
        let tasks = self.ecs.tasks.iter().filter(|task| task.started_by == started_by);
        let arns = tasks.map(|task| task.arn.clone());
        arns.filter(|arn| self.known(arn).is_some()).collect()
    }

    /// A Task State Change goes out, by ways that lose, repeat and delay.
    fn tell_task(&mut self, number: usize) {
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
