//! The engine on real records and an ECS that answers as it is told: whatever breaks, one task a run.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, and says where")]

#[path = "process.rs"]
mod process;

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use jiff::SignedDuration;
use taskferry_core::{
    event::Event,
    failure::FailureClass,
    launch::{Answer, Failure, TaskDefinition},
    pace::{self, Bucket, Quotas},
    route::Origin,
    rules::{self, Rules},
    run::{Run, Status},
    track::TaskState,
};
use taskferry_engine::{
    Engine, Foreseen, How, Stopped,
    ports::{self, Clock as _, Queues, RunQuery, Runs as _, Tasks},
};
use taskferry_local::runs::SqliteRuns;

use self::process::{Hand, Process, Records};

const RULES: &str = r#"
name: shop
rules:
  - name: order
    on: { eventPattern: { source: [shop] } }
    dedupe: "{{ detail.order }}"
    target:
      taskDefinition: order
      overrides:
        containerOverrides:
          - { name: app, command: ["{{ detail.order }}"] }
"#;

fn event(order: u32) -> Event {
    let text = format!(
        r#"{{"id":"e{order}","source":"shop","detail-type":"Order","time":"2026-01-01T00:00:00Z","detail":{{"order":{order}}}}}"#
    );
    Event::parse(&text).unwrap()
}

fn rules() -> Arc<Rules> {
    let checked = rules::check(RULES);
    Arc::new(checked.rules.unwrap_or_else(|| panic!("{:?}", checked.faults)))
}

/// What ECS was asked, and what it answers.
#[derive(Debug, Default)]
struct Script {
    /// The next answers of `RunTask`.
    answers: Mutex<VecDeque<Answer>>,
    /// Each request of `RunTask`, as it came.
    requests: Mutex<Vec<String>>,
    /// The tasks that there are.
    tasks: Mutex<Vec<TaskState>>,
    /// The tasks that were told to stop.
    stopped: Mutex<Vec<String>>,
    /// How many of the next `StopTask` are throttled.
    stop_throttles: Mutex<u32>,
    /// Whether the account has lost its task definitions.
    is_bare: AtomicBool,
}

impl Script {
    fn answering(answers: impl IntoIterator<Item = Answer>) -> Arc<Self> {
        Arc::new(Self { answers: Mutex::new(answers.into_iter().collect()), ..Self::default() })
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// The ECS of a script.
#[derive(Clone, Debug)]
struct ScriptedTasks(Arc<Script>);

impl Tasks for ScriptedTasks {
    async fn run(&self, request: &str) -> Answer {
        self.0.requests.lock().unwrap().push(request.to_owned());
        let mut answers = self.0.answers.lock().unwrap();
        answers.pop_front().expect("no further call was expected")
    }

    async fn describe_task_definition(&self, named: &str) -> Result<TaskDefinition, ports::Error> {
        if self.0.is_bare.load(Ordering::Relaxed) {
            let source = "ClientException: Unable to describe task definition.".into();
            return Err(ports::Error::Refused { what: "DescribeTaskDefinition", source });
        }
        let essential = vec!["app".to_owned()];
        Ok(TaskDefinition { arn: format!("{named}:7"), essential, size: None })
    }

    async fn describe(
        &self,
        _: Option<&str>,
        task_arns: &[String],
    ) -> Result<Vec<TaskState>, ports::Error> {
        let tasks = self.0.tasks.lock().unwrap();
        Ok(tasks.iter().filter(|task| task_arns.contains(&task.task_arn)).cloned().collect())
    }

    async fn list_started_by(
        &self,
        _: Option<&str>,
        started_by: &str,
    ) -> Result<Vec<String>, ports::Error> {
        let tasks = self.0.tasks.lock().unwrap();
        let ours = tasks.iter().filter(|task| task.started_by.as_deref() == Some(started_by));
        Ok(ours.map(|task| task.task_arn.clone()).collect())
    }

    async fn stop(&self, _: Option<&str>, task_arn: &str, _: &str) -> Result<(), ports::Error> {
        let mut throttles = self.0.stop_throttles.lock().unwrap();
        if *throttles > 0 {
            *throttles -= 1;
            let source = "ThrottlingException: Rate exceeded".into();
            return Err(ports::Error::Throttled { what: "StopTask", source });
        }
        self.0.stopped.lock().unwrap().push(task_arn.to_owned());
        Ok(())
    }
}

/// No message is held.
struct NoQueues;

impl Queues for NoQueues {
    async fn extend(&self, _: &str, _: &str, _: u64) -> Result<(), ports::Error> {
        panic!("no message is held")
    }

    async fn delete(&self, _: &str, _: &str) -> Result<(), ports::Error> {
        panic!("no message is held")
    }
}

/// Records, and as many engines upon them as processes would be.
struct World {
    records: Records,
    script: Arc<Script>,
    clock: Hand,
}

impl World {
    fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        let records = Records::new();
        let clock = records.clock.clone();
        Self { records, script: Script::answering(answers), clock }
    }

    fn runs(&self) -> SqliteRuns {
        self.records.open()
    }

    fn engine(&self) -> Engine<Process<ScriptedTasks, NoQueues>> {
        let tasks = ScriptedTasks(Arc::clone(&self.script));
        Engine::new(rules(), self.records.process(tasks, NoQueues))
    }

    async fn dispatch(&self) -> How {
        let dispatched = self.engine().dispatch(Origin::EventBridge, &event(1)).await.unwrap();
        dispatched[0].how
    }

    /// The run is looked at when its date has come.
    async fn sweep_when_due(&self) {
        if let Some(due_at) = self.run().await.due_at {
            self.clock.sleep_until(due_at).await;
        }
        let until = self.clock.now() + SignedDuration::from_secs(30);
        self.engine().sweep(until).await.unwrap();
    }

    async fn run(&self) -> Run {
        let mut listed = self.runs().list(&RunQuery::default()).await.unwrap();
        assert_eq!(listed.runs.len(), 1);
        listed.runs.remove(0)
    }
}

/// The task that the first attempt for `event(1)` starts.
fn task(last_status: &str, version: i64) -> TaskState {
    task_of(1, last_status, version)
}

/// The task that the first attempt for an event starts.
fn task_of(order: u32, last_status: &str, version: i64) -> TaskState {
    let id = taskferry_core::run::RunId::new("shop", "order", &order.to_string());
    TaskState {
        task_arn: format!("task-{order}"),
        started_by: Some(format!("shop/{id}/1")),
        last_status: last_status.to_owned(),
        desired_status: Some("RUNNING".to_owned()),
        stop_code: None,
        stopped_reason: None,
        containers: Vec::new(),
        started_at: None,
        stopped_at: None,
        version: Some(version),
    }
}

fn started() -> Answer {
    Answer::Tasks { tasks: vec![task("PROVISIONING", 1)], failures: Vec::new() }
}

fn lost() -> Answer {
    Answer::Lost { message: "connection reset".to_owned() }
}

fn failed(reason: &str) -> Answer {
    let failure = Failure { arn: None, reason: Some(reason.to_owned()), detail: None };
    Answer::Tasks { tasks: Vec::new(), failures: vec![failure] }
}

#[tokio::test]
async fn an_event_becomes_one_task() {
    let world = World::new([started()]);
    assert_eq!(world.dispatch().await, How::Launched);
    let run = world.run().await;
    assert_eq!(run.status, Status::Launching);
    assert_eq!(world.script.requests(), run.attempts[0].request.clone().as_slice());
}

#[tokio::test]
async fn the_recorded_request_is_whole_and_pinned() {
    let world = World::new([started()]);
    world.dispatch().await;
    let request: serde_json::Value = serde_json::from_str(&world.script.requests()[0]).unwrap();
    insta::assert_json_snapshot!(request);
}

#[tokio::test]
async fn a_repeated_event_sends_the_same_request_until_the_task_is_known() {
    let world = World::new([started(), started()]);
    world.dispatch().await;
    assert_eq!(world.dispatch().await, How::Duplicate);
    let requests = world.script.requests();
    assert_eq!((requests.len(), &requests[0]), (2, &requests[1]));
    assert_eq!(world.run().await.status, Status::Starting);
    assert_eq!(world.dispatch().await, How::Duplicate);
    assert_eq!(world.script.requests().len(), 2);
}

#[tokio::test]
async fn after_a_lost_answer_the_same_bytes_are_sent_again() {
    let world = World::new([lost(), started()]);
    assert_eq!(world.dispatch().await, How::Launched);
    let run = world.run().await;
    assert_eq!(run.status, Status::Launching);
    assert_eq!(run.reason.as_deref(), Some("the answer of RunTask was lost: connection reset"));

    world.sweep_when_due().await;
    let run = world.run().await;
    assert_eq!((run.status, run.attempts.len()), (Status::Starting, 1));
    let requests = world.script.requests();
    assert_eq!(requests[0], requests[1]);
}

#[tokio::test]
async fn an_event_that_comes_before_the_lost_answer_is_missed_names_the_task() {
    let world = World::new([lost()]);
    world.dispatch().await;
    world.script.tasks.lock().unwrap().push(task("PENDING", 2));
    let told = format!(
        r#"{{"id":"c","source":"aws.ecs","detail-type":"ECS Task State Change","time":"2026-01-01T00:00:00Z","detail":{{
            "taskArn":"task-1","startedBy":"shop/{}/1","lastStatus":"RUNNING","desiredStatus":"RUNNING","version":3}}}}"#,
        world.run().await.id
    );
    world.engine().track(&Event::parse(&told).unwrap()).await.unwrap();
    let run = world.run().await;
    assert_eq!((run.status, run.attempts[0].version), (Status::Running, Some(3)));
    assert_eq!(world.script.requests().len(), 1);
}

#[tokio::test]
async fn a_task_that_failures_deny_is_found_by_started_by() {
    let world = World::new([failed("RESOURCE:MEMORY")]);
    world.script.tasks.lock().unwrap().push(task("PENDING", 2));
    assert_eq!(world.dispatch().await, How::Recorded);
    world.sweep_when_due().await;
    assert_eq!(world.run().await.status, Status::Starting);
    assert_eq!(world.script.requests().len(), 1);
}

#[tokio::test]
async fn failures_without_a_task_are_tried_again_under_another_token() {
    let world = World::new([failed("RESOURCE:MEMORY"), started()]);
    assert_eq!(world.dispatch().await, How::Recorded);
    let run = world.run().await;
    assert_eq!(run.status, Status::Waiting);
    assert_eq!(run.attempts[0].failure_class, Some(FailureClass::Capacity));
    assert_eq!(run.reason.as_deref(), Some("RunTask started no task: RESOURCE:MEMORY"));
    world.sweep_when_due().await;
    assert_eq!(world.run().await.attempts.len(), 2);
    let requests = world.script.requests();
    assert!(requests[0].contains("-1\"") && requests[1].contains("-2\""), "{requests:?}");
}

#[tokio::test]
async fn the_task_that_a_conflict_names_is_adopted() {
    let world = World::new([Answer::Conflict { task_arns: vec!["task-1".to_owned()] }]);
    world.script.tasks.lock().unwrap().push(task("RUNNING", 4));
    world.dispatch().await;
    world.sweep_when_due().await;
    assert_eq!(world.run().await.status, Status::Running);
}

#[tokio::test]
async fn a_conflict_over_somebody_elses_task_fails_the_run() {
    let world = World::new([Answer::Conflict { task_arns: vec!["task-1".to_owned()] }]);
    let mut other = task("RUNNING", 4);
    other.started_by = Some("someone".to_owned());
    world.script.tasks.lock().unwrap().push(other);
    world.dispatch().await;
    world.sweep_when_due().await;
    assert_eq!(world.run().await.status, Status::Failed);
    assert!(world.script.stopped.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_throttle_spends_nothing_and_is_tried_again() {
    let world = World::new([throttled(), started()]);
    assert_eq!(world.dispatch().await, How::Recorded);
    world.sweep_when_due().await;
    let run = world.run().await;
    assert_eq!((run.attempts.len(), run.attempts[0].failure_class), (1, None));
    let requests = world.script.requests();
    assert_eq!(requests[0], requests[1]);
}

#[tokio::test]
async fn a_refused_request_fails_the_run_and_is_not_sent_again() {
    let message = "AccessDeniedException: not yours".to_owned();
    let world = World::new([Answer::Refused { message: message.clone() }]);
    assert_eq!(world.dispatch().await, How::Ended);
    let run = world.run().await;
    assert_eq!((run.status, run.reason), (Status::Failed, Some(message)));
    world.dispatch().await;
    assert_eq!(world.script.requests().len(), 1);
}

#[tokio::test]
async fn an_event_that_the_rule_cannot_render_fails_the_run_with_the_expression() {
    let world = World::new([]);
    let text = event(1).text().replace("\"order\":1", "\"other\":1");
    world.engine().dispatch(Origin::EventBridge, &Event::parse(&text).unwrap()).await.unwrap();
    let run = world.run().await;
    assert_eq!(run.status, Status::Failed);
    let reason = run.reason.unwrap();
    assert!(reason.contains("detail.order"), "{reason}");
}

#[tokio::test]
async fn what_has_a_task_is_stopped_through_it() {
    let world = World::new([started()]);
    world.dispatch().await;
    world.script.tasks.lock().unwrap().push(task("PENDING", 2));
    let id = world.run().await.id;
    assert_eq!(world.engine().stop(&id, "enough").await.unwrap(), Stopped::Stopping);
    assert_eq!(*world.script.stopped.lock().unwrap(), ["task-1"]);
}

#[tokio::test]
async fn a_single_stop_asks_no_quota() {
    let world = World::new([started()]);
    world.dispatch().await;
    world.script.tasks.lock().unwrap().push(task("PENDING", 2));
    let window = pace::window(&Quotas::default(), Bucket::Modify, world.clock.now());
    world.runs().close_window(&window).await.unwrap();
    let id = world.run().await.id;
    let engine = world.engine();
    // Twice, so that the process is not at rest when it says it again.
    for _ in 0..2 {
        assert_eq!(engine.stop(&id, "enough").await.unwrap(), Stopped::Stopping);
    }
    assert_eq!(*world.script.stopped.lock().unwrap(), ["task-1", "task-1"]);
    let before = window.begin;
    assert!(world.clock.now() < before + SignedDuration::from_secs(60), "nobody has waited");
}

#[tokio::test]
async fn a_throttled_stop_holds_up_the_next_one_of_the_sweep_and_is_said_again() {
    let orders = [1, 2];
    let task = |order| task_of(order, "RUNNING", 2);
    let world = World::new(
        orders.map(|order| Answer::Tasks { tasks: vec![task(order)], failures: Vec::new() }),
    );
    let engine = world.engine();
    for order in orders {
        let dispatched = engine.dispatch(Origin::EventBridge, &event(order)).await.unwrap();
        world.script.tasks.lock().unwrap().push(task(order));
        engine.stop(&dispatched[0].run_id, "enough").await.unwrap();
    }
    // Neither task has heard, so a minute later both are told again, and for the first it is too much.
    world.script.stopped.lock().unwrap().clear();
    *world.script.stop_throttles.lock().unwrap() = 1;
    let minute = SignedDuration::from_secs(60);
    let later = world.clock.now() + minute;
    world.clock.sleep_until(later).await;
    engine.sweep(later + minute).await.unwrap();
    let told = world.script.stopped.lock().unwrap().clone();
    assert_eq!(told.len(), 1, "{told:?}");
    let window = pace::window(&Quotas::default(), Bucket::Modify, later);
    assert!(world.clock.now() >= window.end, "the second waits for another window");

    let later = world.clock.now() + minute;
    world.clock.sleep_until(later).await;
    engine.sweep(later + minute).await.unwrap();
    let mut told = world.script.stopped.lock().unwrap().clone();
    told.sort();
    told.dedup();
    assert_eq!(told, ["task-1", "task-2"]);
    let listed = world.runs().list(&RunQuery::default()).await.unwrap();
    for run in listed.runs {
        assert_eq!((run.status, run.attempts.len()), (Status::Stopping, 1));
        assert_eq!(run.attempts[0].failure_class, None);
    }
}

#[tokio::test]
async fn a_record_that_cannot_be_written_keeps_the_sweep_from_no_other() {
    let world = World::new([failed("RESOURCE:MEMORY"), failed("RESOURCE:MEMORY"), started()]);
    let engine = world.engine();
    let mut run_ids = Vec::new();
    for order in [1, 2] {
        let dispatched = engine.dispatch(Origin::EventBridge, &event(order)).await.unwrap();
        run_ids.push(dispatched[0].run_id.clone());
        let later = world.clock.now() + SignedDuration::from_secs(60);
        world.clock.sleep_until(later).await;
    }
    // The one that has been due for longer, so that each page begins with it.
    let trigger = format!(
        "CREATE TRIGGER refused BEFORE UPDATE ON runs WHEN OLD.id = '{}'
         BEGIN SELECT RAISE(ABORT, 'refused'); END",
        run_ids[0]
    );
    let records = rusqlite::Connection::open(world.records.path()).unwrap();
    records.execute_batch(&trigger).unwrap();
    let hour = SignedDuration::from_hours(1);
    let due = world.clock.now() + hour;
    world.clock.sleep_until(due).await;
    let swept = engine.sweep(due + hour).await.unwrap();
    assert_eq!((swept.failed, swept.unfinished), (1, true));
    let status = async |run_id| world.runs().get(run_id).await.unwrap().unwrap().status;
    assert_eq!(status(&run_ids[0]).await, Status::Waiting);
    assert_eq!(status(&run_ids[1]).await, Status::Launching);
}

fn throttled() -> Answer {
    let message = "ThrottlingException: Rate exceeded".to_owned();
    Answer::NotNow { class: FailureClass::Throttled, message }
}

#[tokio::test]
async fn what_the_quota_holds_up_goes_on_before_the_next_sweep() {
    let world = World::new([throttled(), started()]);
    let engine = world.engine();
    let begun = world.clock.now();
    let dispatched = engine.dispatch(Origin::EventBridge, &event(1)).await.unwrap();
    assert_eq!(dispatched[0].how, How::Recorded);
    engine.catch_up(begun + SignedDuration::from_secs(50)).await;
    assert_eq!(world.script.requests().len(), 2);
    assert_eq!(world.run().await.attempts.len(), 1);
    let took = world.clock.now().duration_since(begun);
    assert!(took < SignedDuration::from_secs(20), "it leaves when nothing is due: {took}");
}

#[tokio::test]
async fn one_process_at_a_time_goes_on_with_what_the_quota_holds_up() {
    let world = World::new([throttled()]);
    let engine = world.engine();
    engine.dispatch(Origin::EventBridge, &event(1)).await.unwrap();
    let begun = world.clock.now();
    let turn = pace::window(&Quotas::default(), Bucket::Turn, begun);
    world.runs().close_window(&turn).await.unwrap();
    engine.catch_up(begun + SignedDuration::from_secs(50)).await;
    assert_eq!((world.script.requests().len(), world.clock.now()), (1, begun));
}

#[tokio::test]
async fn a_process_that_nothing_was_held_up_in_takes_no_turn() {
    let world = World::new([started()]);
    let engine = world.engine();
    engine.dispatch(Origin::EventBridge, &event(1)).await.unwrap();
    let begun = world.clock.now();
    engine.catch_up(begun + SignedDuration::from_secs(50)).await;
    let turn = pace::window(&Quotas::default(), Bucket::Turn, begun);
    assert!(world.runs().take_token(&turn).await.unwrap(), "the turn is free");
}

#[tokio::test]
async fn what_failed_is_done_again_once() {
    let refused = Answer::Refused { message: "AccessDeniedException: not yours".to_owned() };
    let world = World::new([refused, started()]);
    world.dispatch().await;
    let failed = world.run().await;
    let again = world.engine().redrive(&failed.id, None).await.unwrap();
    assert_eq!(again.how, How::Launched);
    let error = world.engine().redrive(&failed.id, None).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("run {} was done again as run {}", failed.id, again.run_id)
    );
    let run = world.runs().get(&again.run_id).await.unwrap().unwrap();
    assert_eq!(run.redrive_of, Some(failed.id));
    assert_eq!(world.script.requests().len(), 2);
}

#[tokio::test]
async fn what_a_redrive_would_come_to_is_told_and_not_done() {
    let refused = Answer::Refused { message: "AccessDeniedException: not yours".to_owned() };
    let world = World::new([refused]);
    world.dispatch().await;
    let failed = world.run().await;
    let foresee = async |event: Option<Event>| -> Foreseen {
        world.engine().foresee_redrive(&failed.id, event).await.unwrap()
    };

    assert_eq!(foresee(None).await.refusal, None);
    let misfit = Event::parse(&event(1).text().replace("order\":1", "ordre\":1")).unwrap();
    let refusal = foresee(Some(misfit)).await.refusal.unwrap();
    assert!(refusal.contains("`detail.order` is not in the event"), "{refusal}");
    world.script.is_bare.store(true, Ordering::Relaxed);
    let refusal = foresee(None).await.refusal.unwrap();
    assert_eq!(
        refusal,
        "task definition `order` cannot be used: ClientException: Unable to describe task definition."
    );

    assert_eq!(world.run().await, failed);
    assert_eq!(world.script.requests().len(), 1);
}
