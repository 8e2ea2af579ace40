//! ECS as it really is: tokens, tasks and their lives, lists that lag, and what it forgets.
//!
//! The truth that the oracles look at. What it promises is ECS's own contract, cited where it is kept; what it does within
//! that, the dice decide.

use std::collections::BTreeMap;

use taskferry_core::{
    failure::FailureClass,
    launch::{Answer, Failure},
    run::RunId,
    track::{Container, TaskState},
};

use crate::{
    faults::Twist,
    ports::member,
    promises::Oracle,
    script::{End, Reply},
    world::{Action, HOUR, Micros, SECOND, World, at},
};

mod life;

pub(crate) use self::life::Step;

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
}
