//! Targets that are ECS clusters: their tasks are launched after the event that asks for them, by calls of `RunTask`.
//!
//! A call is recorded in the transaction that the event came in with, and repeated under the same client token: a death in
//! between loses none and starts none twice. [`EventBridge::keep_time`] makes them.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, Transaction};
use serde_json::{Map, Value};
use tokio::sync::Notify;
use uuid::Uuid;

use super::{
    EventBridge,
    buses::{Grave, Rule, Target, Tried},
};
use crate::{
    db::Db,
    delivery::{Deliveries, Undeliverable},
    protocol::json_text,
    run_task::{Failed, Launch, RunTask, launched},
    timer::backoff,
};

/// The calls that are to be made. Times are milliseconds since the epoch.
pub(crate) const LAUNCHES_SCHEMA: &str = "
CREATE TABLE events_launches (
    id INTEGER PRIMARY KEY,
    rule TEXT NOT NULL,
    target TEXT NOT NULL,
    dead_letters TEXT,
    event TEXT NOT NULL,
    request TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    retries_max INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    until INTEGER NOT NULL
);
CREATE INDEX events_launches_due ON events_launches (due_at);
";

/// How many calls are made in one go.
const BATCH: u32 = 50;

/// The members of a task's overrides: whatever else is in a target's input, as in a whole event, is none.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskOverride.html
const OVERRIDES: [&str; 7] = [
    "containerOverrides",
    "cpu",
    "ephemeralStorage",
    "executionRoleArn",
    "inferenceAcceleratorOverrides",
    "memory",
    "taskRoleArn",
];

/// Wakes whoever makes the calls.
#[derive(Clone, Debug, Default)]
pub(crate) struct Launches(Arc<Notify>);

/// A target that is a cluster: what its task is, and how long launching it is tried.
#[derive(Clone, Debug)]
pub(super) struct Cluster {
    pub(super) parameters: Map<String, Value>,
    pub(super) retries_max: u32,
    pub(super) age_max: SignedDuration,
}

/// A call that is to be made.
#[derive(Debug)]
struct Due {
    id: i64,
    grave: Grave,
    event: String,
    request: String,
    attempts: u32,
    retries_max: u32,
    until: i64,
}

impl Deliveries {
    /// Records that a rule's match is to launch a task.
    pub(super) fn launch(
        &self,
        tx: &Transaction<'_>,
        (rule, target, cluster): (&Rule, &Target, &Cluster),
        event: &str,
        input: &str,
    ) -> rusqlite::Result<Result<(), Undeliverable>> {
        let Ok(Value::Object(mut input)) = serde_json::from_str(input) else {
            return Ok(Err(Undeliverable::InvalidJson { arn: target.arn.clone() }));
        };
        input.retain(|member, _| OVERRIDES.contains(&member.as_str()));
        let request = Launch {
            cluster: &target.arn,
            parameters: &cluster.parameters,
            overrides: (!input.is_empty()).then_some(Value::Object(input)),
            started_by: &format!("events-rule/{}", rule.name),
            client_token: &Uuid::now_v7().to_string(),
        };
        let now = Timestamp::now();
        let until = now.checked_add(cluster.age_max).unwrap_or(Timestamp::MAX);
        tx.prepare_cached(
            "INSERT INTO events_launches
             (rule, target, dead_letters, event, request, attempts, retries_max, due_at, until)
             VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, ?7, ?8)",
        )?
        .execute((
            &rule.arn,
            &target.arn,
            &target.dead_letters,
            event,
            json_text(&request.request()),
            cluster.retries_max,
            now.as_millisecond(),
            until.as_millisecond(),
        ))?;
        // Whoever wakes must take the connection's lock first, so it sees the row or, after a rollback, nothing.
        self.launches.0.notify_one();
        Ok(Ok(()))
    }
}

impl EventBridge {
    /// Waits until a launch is recorded.
    pub(super) fn launches(&self) -> &Notify {
        &self.deliveries.launches.0
    }

    /// Makes the calls that are due; the next time that one is.
    pub(super) fn launch_due(
        &self,
        db: &Db,
        run_task: &RunTask,
        now: Timestamp,
    ) -> rusqlite::Result<Option<Timestamp>> {
        loop {
            let due = db.read(|connection| due(connection, now))?;
            if due.is_empty() {
                return db.read(next_due);
            }
            due.iter().try_for_each(|due| self.launch_one(db, run_task, due, now))?;
        }
    }

    fn launch_one(
        &self,
        db: &Db,
        run_task: &RunTask,
        due: &Due,
        now: Timestamp,
    ) -> rusqlite::Result<()> {
        let request = serde_json::from_str(&due.request).unwrap_or_default();
        let failed = launched(run_task(request)).err();
        let attempts = due.attempts.saturating_add(1);
        db.write(|tx| {
            if let Some(failed) = failed {
                let again = now.checked_add(backoff(attempts)).unwrap_or(Timestamp::MAX);
                let tried = Tried {
                    retries: due.attempts,
                    exhausted: match () {
                        () if !failed.may_pass => None,
                        () if attempts > due.retries_max => Some("MaximumRetryAttempts"),
                        () if again.as_millisecond() > due.until => {
                            Some("MaximumEventAgeInSeconds")
                        }
                        () => return postpone(tx, due.id, attempts, again),
                    },
                };
                let why = undeliverable(&due.grave.target, failed);
                self.deliveries.bury(tx, &due.grave, &due.event, &why, tried)?;
            }
            tx.prepare_cached("DELETE FROM events_launches WHERE id = ?1")?.execute([due.id])?;
            Ok(())
        })
    }
}

fn undeliverable(arn: &str, failed: Failed) -> Undeliverable {
    let arn = arn.to_owned();
    match failed.code {
        "ClusterNotFoundException" => Undeliverable::NoResource { arn },
        _ => Undeliverable::Refused { arn, reason: failed.message },
    }
}

fn postpone(
    tx: &Transaction<'_>,
    id: i64,
    attempts: u32,
    again: Timestamp,
) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE events_launches SET attempts = ?2, due_at = ?3 WHERE id = ?1")?
        .execute((id, attempts, again.as_millisecond()))
        .map(drop)
}

fn due(connection: &Connection, now: Timestamp) -> rusqlite::Result<Vec<Due>> {
    connection
        .prepare_cached(
            "SELECT id, rule, target, dead_letters, event, request, attempts, retries_max, until
             FROM events_launches WHERE due_at <= ?1 ORDER BY due_at, id LIMIT ?2",
        )?
        .query_map((now.as_millisecond(), BATCH), |row| {
            Ok(Due {
                id: row.get(0)?,
                grave: Grave { rule: row.get(1)?, target: row.get(2)?, queue: row.get(3)? },
                event: row.get(4)?,
                request: row.get(5)?,
                attempts: row.get(6)?,
                retries_max: row.get(7)?,
                until: row.get(8)?,
            })
        })?
        .collect()
}

fn next_due(connection: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    let next: Option<i64> =
        connection.query_row("SELECT min(due_at) FROM events_launches", [], |row| row.get(0))?;
    Ok(next.and_then(|next| Timestamp::from_millisecond(next).ok()))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::json;
    use tempfile::TempDir;

    use super::*;
    use crate::{
        eventbridge::EventBridgeApi,
        lambda::Invocations,
        protocol::{Answer, Exception},
        sqs::{QueueAttributes, Queues},
        state::State,
    };

    const CLUSTER: &str = "arn:aws:ecs:us-east-1:000000000000:cluster/batch";

    /// A machine whose ECS answers what the test says.
    struct Machine {
        db: Arc<Db>,
        event_bridge: Arc<EventBridge>,
        api: EventBridgeApi,
        asked: Arc<Mutex<Vec<Value>>>,
        answers: Arc<Mutex<Vec<Answer>>>,
        run_task: RunTask,
        _state: State,
        _dir: TempDir,
    }

    impl Machine {
        /// With the rule `r.1`, whose one target is the cluster with this beside.
        fn start(more: &Value) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let state = State::open(dir.path()).unwrap();
            let db = state.db();
            let queues = Queues::default();
            let made = db.write(|tx| queues.create(tx, "dead", &QueueAttributes::default()));
            made.unwrap().unwrap();
            let event_bridge =
                Arc::new(EventBridge::new(Deliveries::new(Invocations::default(), queues)));
            let api = EventBridgeApi::new(Arc::clone(&db), Arc::clone(&event_bridge));
            let asked: Arc<Mutex<Vec<Value>>> = Arc::default();
            let answers: Arc<Mutex<Vec<Answer>>> = Arc::default();
            let (telling, answering) = (Arc::clone(&asked), Arc::clone(&answers));
            let run_task: RunTask = Box::new(move |request| {
                telling.lock().unwrap().push(request);
                let answer = answering.lock().unwrap().pop();
                answer.unwrap_or_else(|| Ok(json!({ "tasks": [{}], "failures": [] })))
            });
            let machine =
                Self { db, event_bridge, api, asked, answers, run_task, _state: state, _dir: dir };
            let pattern = r#"{ "source": ["app"] }"#;
            machine.call("PutRule", json!({ "Name": "r.1", "EventPattern": pattern }));
            let mut target = json!({
                "Id": "t",
                "Arn": CLUSTER,
                "RoleArn": "arn:aws:iam::000000000000:role/events",
                "EcsParameters": {
                    "TaskDefinitionArn": "app:3",
                    "LaunchType": "FARGATE",
                    "NetworkConfiguration": { "awsvpcConfiguration": { "Subnets": ["subnet-1"] } },
                    "Tags": [{ "Key": "team", "Value": "a" }],
                },
                "DeadLetterConfig": { "Arn": "arn:aws:sqs:us-east-1:000000000000:dead" },
            });
            target.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            machine.call("PutTargets", json!({ "Rule": "r.1", "Targets": [target] }));
            machine
        }

        fn call(&self, operation: &str, request: Value) -> Value {
            self.api.call(operation, request).unwrap()
        }

        fn send(&self) {
            let entry = json!({ "Source": "app", "DetailType": "Made", "Detail": r#"{"n": 7}"# });
            let answer = self.call("PutEvents", json!({ "Entries": [entry] }));
            assert_eq!(answer["FailedEntryCount"], 0);
        }

        fn launch(&self, now: Timestamp) -> Option<Timestamp> {
            self.event_bridge.launch_due(&self.db, &self.run_task, now).unwrap()
        }

        fn asked(&self) -> Vec<Value> {
            std::mem::take(&mut self.asked.lock().unwrap())
        }

        /// The attributes of the dead letters.
        fn buried(&self) -> Vec<Value> {
            let found: Vec<String> = self
                .db
                .read(|db| {
                    db.prepare("SELECT attributes FROM sqs_contents")?
                        .query_map([], |row| row.get(0))?
                        .collect::<rusqlite::Result<_>>()
                })
                .unwrap();
            found.iter().map(|it| serde_json::from_str(it).unwrap()).collect()
        }
    }

    #[test]
    fn an_event_launches_one_task_with_the_overrides_of_its_input() {
        let template = r#"{"containerOverrides": [{"name": "app", "command": ["<n>"]}], "x": 1}"#;
        let machine = Machine::start(&json!({
            "InputTransformer": { "InputPathsMap": { "n": "$.detail.n" }, "InputTemplate": template },
        }));
        machine.send();
        assert!(machine.asked().is_empty(), "the call is made after the event is taken");
        assert_eq!(machine.launch(Timestamp::now()), None);
        let mut asked = machine.asked();
        assert_eq!(asked.len(), 1);
        let request = asked.remove(0);
        assert!(request["clientToken"].is_string());
        let expected = json!({
            "cluster": CLUSTER,
            "taskDefinition": "app:3",
            "launchType": "FARGATE",
            "networkConfiguration": { "awsvpcConfiguration": { "subnets": ["subnet-1"] } },
            "tags": [{ "key": "team", "value": "a" }],
            "overrides": { "containerOverrides": [{ "name": "app", "command": ["7"] }] },
            "startedBy": "events-rule/r_1",
            "clientToken": request["clientToken"],
        });
        assert_eq!(request, expected);
        machine.launch(Timestamp::now());
        assert!(machine.asked().is_empty());
        assert!(machine.buried().is_empty());
    }

    #[test]
    fn a_whole_event_overrides_nothing() {
        let machine = Machine::start(&json!({}));
        machine.send();
        machine.launch(Timestamp::now());
        assert_eq!(machine.asked()[0].get("overrides"), None);
    }

    #[test]
    fn what_may_pass_is_tried_again_under_the_same_token_and_at_last_a_dead_letter() {
        let machine = Machine::start(&json!({ "RetryPolicy": { "MaximumRetryAttempts": 1 } }));
        let throttled = || Err(Exception::client("ThrottlingException", "Rate exceeded"));
        let full = json!({ "tasks": [], "failures": [{ "reason": "RESOURCE:CPU" }] });
        *machine.answers.lock().unwrap() = vec![Ok(full), throttled()];
        machine.send();
        let again = machine.launch(Timestamp::now()).expect("it is tried again");
        assert_eq!(machine.launch(again), None);
        let asked = machine.asked();
        assert_eq!(asked.len(), 2);
        assert_eq!(asked[0], asked[1]);
        let buried = machine.buried();
        assert_eq!(buried.len(), 1);
        let attribute = |name: &str| buried[0][name].to_string();
        assert!(attribute("ERROR_CODE").contains("ERROR_FROM_TARGET"));
        assert!(attribute("ERROR_MESSAGE").contains("RESOURCE:CPU"));
        assert!(attribute("EXHAUSTED_RETRY_CONDITION").contains("MaximumRetryAttempts"));
        assert!(attribute("RETRY_ATTEMPTS").contains('1'));
    }

    #[test]
    fn what_cannot_pass_is_a_dead_letter_at_once() {
        let machine = Machine::start(&json!({}));
        let none = Exception::client("ClusterNotFoundException", "Cluster not found.");
        *machine.answers.lock().unwrap() = vec![Err(none)];
        machine.send();
        assert_eq!(machine.launch(Timestamp::now()), None);
        let buried = machine.buried();
        assert_eq!(buried.len(), 1);
        assert!(buried[0]["ERROR_CODE"].to_string().contains("NO_RESOURCE"));
        assert!(buried[0].get("EXHAUSTED_RETRY_CONDITION").is_none());
    }

    #[test]
    fn an_input_that_is_no_object_launches_nothing() {
        let machine = Machine::start(&json!({ "Input": "[1]" }));
        machine.send();
        machine.launch(Timestamp::now());
        assert!(machine.asked().is_empty());
        assert!(machine.buried()[0]["ERROR_CODE"].to_string().contains("INVALID_JSON"));
    }
}
