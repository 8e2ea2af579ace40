//! The engine's ports into the world: what effect each call has there. How it gets there and back, and what befalls it on its
//! way, is `calls`.

use jiff::{SignedDuration, Timestamp};
use taskferry_core::{
    chain::LifecycleEvent,
    event::Event,
    failure::FailureClass,
    launch::{Answer, TaskDefinition},
    limits::{LimitId, LimitState},
    pace::{Bucket, Window},
    run::{Run, RunId, TaskSize},
    track::TaskState,
};
use taskferry_engine::ports::{
    Clock, Created, Due, Error, Events, Page, Payloads, Ports, Queues, RunQuery, Runs, Tasks,
    Updated,
};

use crate::{
    calls::{Pause, Port, refused, unavailable},
    faults::{Call, Mishap, Twist},
    world::{Action, MINUTE, Micros, SECOND, Told, World, at, since},
};

impl World {
    /// A lifecycle event is on the bus.
    fn tell(&mut self, event: LifecycleEvent, detail: &str) {
        let text = |name: &str| member(detail, name).unwrap_or_default().to_owned();
        let (run_id, rule, detail_type) = (text("runId"), text("rule"), event.detail_type());
        self.bus.push(Told { run_id, rule, detail_type, detail: detail.to_owned() });
    }
}

/// A member of JSON whose value is a string with nothing escaped in it.
pub(crate) fn member<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    let quoted = json.match_indices(name).find_map(|(at, _)| {
        let is_name = json[..at].ends_with('"');
        json[at + name.len()..].strip_prefix("\":\"").filter(|_| is_name)
    })?;
    quoted.split('"').next()
}

/// How long a client waits for an answer: `aws`'s `ATTEMPT_TIMEOUT`.
const CLIENT_TIMEOUT: Micros = 15 * SECOND;

/// How old a request may be when it arrives.
///
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html>: five minutes. It is signed within ten seconds.
const SIGNATURE: Micros = 5 * MINUTE + 10 * SECOND;

impl World {
    /// Whether this request is on its way for so long that its sender gives it up; if so, it arrives when it does.
    fn sends_late(&mut self, request: &str) -> bool {
        let arrives = if let Some(told) = self.script.late.pop_front() {
            self.now + told
        } else if self.is_calm || !self.dice.chance(self.knobs.in_flight) {
            return false;
        } else {
            self.now + self.dice.between(CLIENT_TIMEOUT, SIGNATURE)
        };
        self.act_at(arrives, Action::RequestArrives { request: request.to_owned() });
        true
    }
}

impl Runs for Port {
    async fn create(&self, run: &Run, event: &Event) -> Result<Created, Error> {
        let about = || format!("{} of {}, {}", run.id, run.rule, run.status);
        let process = self.process;
        self.call(Call::Create, about, |world| {
            let now = at(world.now);
            let created = world.store.create(run, event.text(), now);
            world.judge_create(process, run, &created);
            Ok(created)
        })
        .await
    }

    async fn update(&self, was: &Run, run: &Run) -> Result<Updated, Error> {
        let about = || told(was, run);
        self.call(Call::Update, about, |world| {
            let now = at(world.now);
            let stood = world.store.get(&run.id).cloned();
            let updated = world.store.update(was, run, now);
            match &updated {
                Updated::Done => world.judge_write(stood.as_ref(), run),
                Updated::Conflict => {
                    world.coverage.met(Twist::Conflict);
                    world.note(|| "         conflict".to_owned());
                }
                Updated::Full(limit) => {
                    world.coverage.met(Twist::Full);
                    world.note(|| format!("         {limit:?} is full"));
                }
            }
            Ok(updated)
        })
        .await
    }

    async fn get(&self, id: &RunId) -> Result<Option<Run>, Error> {
        self.call(Call::Get, || id.to_string(), |world| Ok(world.store.get(id).cloned())).await
    }

    async fn find(&self, id_prefix: &str) -> Result<Vec<Run>, Error> {
        let world = self.shared.world();
        let found = world.store.rows().filter(|row| row.run.id.as_str().starts_with(id_prefix));
        Ok(found.take(2).map(|row| row.run.clone()).collect())
    }

    async fn event(&self, id: &RunId) -> Result<Option<String>, Error> {
        Ok(self.shared.world().store.row(id).map(|row| row.event.clone()))
    }

    async fn list(&self, query: &RunQuery) -> Result<Page, Error> {
        let world = self.shared.world();
        let asked = |run: &Run| query.rule.as_ref().is_none_or(|rule| *rule == run.rule);
        let runs = world.store.rows().map(|row| &row.run).filter(|run| asked(run)).cloned();
        Ok(Page { runs: runs.collect(), next: None })
    }

    async fn due(&self, now: Timestamp, limit: u32) -> Result<Due, Error> {
        self.call(Call::Due, String::new, |world| {
            let mut runs = world.store.due_runs(now, limit);
            for run in &mut runs {
                if world.is_calm || !world.dice.chance(world.knobs.stale) {
                    continue;
                }
                if let Some(before) = world.store.row(&run.id).and_then(|row| row.before.clone()) {
                    world.coverage.met(Twist::StaleDue);
                    *run = *before;
                }
            }
            Ok(Due { runs, limits: world.store.due_limits(now, limit) })
        })
        .await
    }

    async fn limit(&self, limit: &LimitId, queue_length: u32) -> Result<LimitState, Error> {
        self.call(
            Call::Limit,
            || format!("{limit:?}"),
            |world| {
                let stale = !world.is_calm && world.dice.chance(world.knobs.stale);
                if let Some(before) = world.store.stale_limit(limit).filter(|_| stale) {
                    world.coverage.met(Twist::StaleLimit);
                    return Ok(before);
                }
                Ok(world.store.limit(limit, queue_length))
            },
        )
        .await
    }

    async fn settle_limit(
        &self,
        limit: &LimitId,
        revision: u64,
        check_at: Option<Timestamp>,
    ) -> Result<(), Error> {
        self.call(
            Call::SettleLimit,
            || format!("{limit:?} {check_at:?}"),
            |world| {
                world.store.settle_limit(limit, revision, check_at);
                world.judge_limit(limit);
                Ok(())
            },
        )
        .await
    }

    async fn take_token(&self, window: &Window) -> Result<bool, Error> {
        let process = self.process;
        self.call(
            Call::TakeToken,
            || format!("{} {}", window.bucket.as_str(), window.begin),
            |world| {
                let has_one = world.store.take_token(window);
                match window.bucket {
                    Bucket::Fargate if has_one => {
                        let now = world.now;
                        world.processes[process].tokens.push(now);
                    }
                    Bucket::Turn if has_one => world.coverage.met(Twist::CaughtUp),
                    Bucket::Turn => world.coverage.met(Twist::CaughtUpByAnother),
                    Bucket::Fargate | Bucket::Modify | Bucket::Read => {}
                }
                Ok(has_one)
            },
        )
        .await
    }

    async fn close_window(&self, window: &Window) -> Result<(), Error> {
        self.call(
            Call::CloseWindow,
            || format!("{} {}", window.bucket.as_str(), window.begin),
            |world| {
                world.store.close_window(window);
                Ok(())
            },
        )
        .await
    }
}

impl Tasks for Port {
    async fn run(&self, request: &str) -> Answer {
        let fate = self.shared.world().fate(self.process, Call::RunTask);
        let throttled = || Answer::NotNow {
            class: FailureClass::Throttled,
            message: "ThrottlingException: Rate exceeded".to_owned(),
        };
        let lost = || Answer::Lost { message: "no answer came".to_owned() };
        let (sent_at, is_late) = {
            let mut world = self.shared.world();
            let process = self.process;
            world.judge_request(process, request);
            (world.now, world.sends_late(request))
        };
        if is_late {
            self.pause(CLIENT_TIMEOUT).await;
            return lost();
        }
        if self.go(Call::RunTask, fate).await.is_err() {
            let is_throttled = fate.mishap == Some(Mishap::Throttled);
            return if is_throttled { throttled() } else { lost() };
        }
        let answer = {
            let mut world = self.shared.world();
            let process = self.process;
            if world.now - sent_at > SIGNATURE {
                world.coverage.met(Twist::SignatureExpired);
                return lost();
            }
            let answer = world.run_task(request);
            let told = answered(&answer);
            world.note(|| format!("process {process}  RunTask: {told}"));
            world.remember(process, Call::RunTask, &answer);
            answer
        };
        // Who was frozen past its own timeout finds the answer there, or has given up.
        let gives_up = match fate.mishap {
            Some(Mishap::FrozenBefore) => self.shared.world().dice.chance(500),
            _ => false,
        };
        match self.come(Call::RunTask, fate).await {
            Ok(()) if !gives_up => {
                self.shared.world().note_answer(request);
                answer
            }
            _ => lost(),
        }
    }

    async fn describe_task_definition(
        &self,
        task_definition: &str,
    ) -> Result<TaskDefinition, Error> {
        self.call(
            Call::DescribeTaskDefinition,
            || task_definition.to_owned(),
            |world| {
                if world.now < world.ecs.gone_until {
                    world.coverage.met(Twist::TaskDefinitionGone);
                    return Err(refused("the task definition is inactive"));
                }
                Ok(TaskDefinition {
                    arn: format!("arn:aws:ecs:us-east-1:1:task-definition/{task_definition}:7"),
                    essential: vec!["app".to_owned()],
                    size: Some(TaskSize { cpu: "256".to_owned(), memory: "512".to_owned() }),
                })
            },
        )
        .await
    }

    async fn describe(
        &self,
        _cluster: Option<&str>,
        task_arns: &[String],
    ) -> Result<Vec<TaskState>, Error> {
        let about = || task_arns.join(", ");
        self.call(Call::DescribeTasks, about, |world| Ok(world.describe_tasks(task_arns))).await
    }

    async fn list_started_by(
        &self,
        _cluster: Option<&str>,
        started_by: &str,
    ) -> Result<Vec<String>, Error> {
        let about = || started_by.to_owned();
        self.call(Call::ListTasks, about, |world| Ok(world.list_tasks(started_by))).await
    }

    async fn stop(
        &self,
        _cluster: Option<&str>,
        task_arn: &str,
        reason: &str,
    ) -> Result<(), Error> {
        self.call(
            Call::StopTask,
            || format!("{task_arn}: {reason}"),
            |world| {
                let known = world.stop_task(task_arn, reason);
                if known { Ok(()) } else { Err(refused("the referenced task was not found")) }
            },
        )
        .await
    }
}

impl Events for Port {
    async fn publish(
        &self,
        events: &[LifecycleEvent],
        detail: &str,
        _time: Timestamp,
    ) -> Result<(), Error> {
        self.call(
            Call::Publish,
            || format!("{events:?}"),
            |world| {
                for (index, event) in events.iter().enumerate() {
                    if index > 0 && !world.is_calm && world.dice.chance(world.knobs.lost) {
                        world.coverage.met(Twist::PublishedPartly);
                        return Err(unavailable("some entries failed"));
                    }
                    world.tell(*event, detail);
                }
                Ok(())
            },
        )
        .await
    }
}

impl Payloads for Port {
    async fn put(&self, url: &str, _event: &str) -> Result<(), Error> {
        self.call(
            Call::PutPayload,
            || url.to_owned(),
            |world| {
                world.payloads.insert(url.to_owned());
                Ok(())
            },
        )
        .await
    }

    async fn discard(&self, url: &str) -> Result<(), Error> {
        self.call(
            Call::DiscardPayload,
            || url.to_owned(),
            |world| {
                world.payloads.remove(url);
                world.judge_discard(url);
                Ok(())
            },
        )
        .await
    }
}

impl Queues for Port {
    async fn extend(
        &self,
        _queue_arn: &str,
        receipt_handle: &str,
        seconds: u64,
    ) -> Result<(), Error> {
        let process = self.process;
        self.call(
            Call::ChangeVisibility,
            || format!("{receipt_handle}, {seconds} s"),
            |world| {
                let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
                let extended = world.change_visibility(receipt_handle, seconds);
                world.queue_answered(process, extended)
            },
        )
        .await
    }

    async fn delete(&self, _queue_arn: &str, receipt_handle: &str) -> Result<(), Error> {
        let process = self.process;
        self.call(
            Call::DeleteMessage,
            || receipt_handle.to_owned(),
            |world| {
                let deleted = world.delete_message(receipt_handle);
                world.queue_answered(process, deleted)
            },
        )
        .await
    }
}

impl World {
    /// What a queue refused is one of the process's calls that failed.
    fn queue_answered(
        &mut self,
        process: usize,
        answer: Result<(), &'static str>,
    ) -> Result<(), Error> {
        answer.map_err(|why| {
            self.coverage.met(Twist::DeliveryOver);
            self.note(|| format!("SQS      refuses: {why}"));
            self.processes[process].failed += 1;
            refused(why)
        })
    }
}

impl Clock for Port {
    fn now(&self) -> Timestamp {
        Self::now(self)
    }

    async fn sleep_until(&self, time: Timestamp) {
        let skew = {
            let world = self.shared.world();
            world.processes[self.process].skew
        };
        let until = since(time) - skew;
        let until = until.max(self.shared.world().now + 1);
        Pause { shared: self.shared.clone(), until, has_begun: false }.await;
    }
}

impl Ports for Port {
    type Runs = Self;
    type Tasks = Self;
    type Events = Self;
    type Payloads = Self;
    type Queues = Self;
    type Clock = Self;

    fn runs(&self) -> &Self {
        self
    }

    fn tasks(&self) -> &Self {
        self
    }

    fn events(&self) -> &Self {
        self
    }

    fn payloads(&self) -> &Self {
        self
    }

    fn queues(&self) -> &Self {
        self
    }

    fn clock(&self) -> &Self {
        self
    }
}

/// A write, in one line.
fn told(was: &Run, run: &Run) -> String {
    let attempt = run.attempt();
    let due_in = |due_at: Timestamp| due_at.duration_since(run.created_at);
    format!(
        "{} of {}: {} -> {}, revision {}, attempt {} (sends {}, {}), due {}, queue {}, {}",
        &run.id.as_str()[..8],
        run.rule,
        was.status,
        run.status,
        run.revision,
        attempt.map_or(0, |attempt| attempt.attempt),
        attempt.map_or(0, |attempt| attempt.sends),
        attempt.and_then(|it| it.failure_class).map_or("open".to_owned(), |it| it.to_string()),
        run.due_at.map_or("never".to_owned(), |it| seconds(due_in(it))),
        run.queue.as_ref().map_or("none", |limit| &limit.name),
        run.reason.as_deref().unwrap_or("no reason"),
    )
}

fn seconds(duration: SignedDuration) -> String {
    format!("{} s after it was made", duration.as_secs())
}

fn answered(answer: &Answer) -> String {
    match answer {
        Answer::Tasks { tasks, failures } => {
            let arns: Vec<&str> = tasks.iter().map(|task| task.task_arn.as_str()).collect();
            format!("tasks {arns:?}, {} failures", failures.len())
        }
        Answer::Conflict { task_arns } => format!("conflict, {task_arns:?}"),
        Answer::NotNow { class, message } => format!("{class}: {message}"),
        Answer::Refused { message } => format!("refused: {message}"),
        Answer::Lost { message } => format!("lost: {message}"),
    }
}
