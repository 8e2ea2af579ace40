//! A task as ECS shows it: the record that is stored, answered and published.
//!
//! Every change of a stored task is a step of [`Changing`], which raises `version`, publishes the step's event and
//! stores the task in the caller's transaction. Nothing else writes a task.

use std::io;

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Transaction};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json, ser::Formatter, value::RawValue};
use uuid::Uuid;

use crate::identity::{ACCOUNT_ID, REGION};

use super::{events::Events, json_column, json_text};

/// The kind of a network interface's attachment, as the API names it.
pub(super) const NETWORK_INTERFACE: &str = "ElasticNetworkInterface";

/// How far a task is, in the order of its life.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Status {
    Provisioning,
    Pending,
    Activating,
    Running,
    Deactivating,
    Stopping,
    Deprovisioning,
    Stopped,
}

impl Status {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Provisioning => "PROVISIONING",
            Self::Pending => "PENDING",
            Self::Activating => "ACTIVATING",
            Self::Running => "RUNNING",
            Self::Deactivating => "DEACTIVATING",
            Self::Stopping => "STOPPING",
            Self::Deprovisioning => "DEPROVISIONING",
            Self::Stopped => "STOPPED",
        }
    }
}

/// A time in milliseconds, which the API writes in seconds.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Epoch(pub i64);

impl Epoch {
    pub(super) fn now() -> Self {
        Self(Timestamp::now().as_millisecond())
    }

    pub(super) fn api(self) -> Value {
        #[expect(clippy::cast_precision_loss, reason = "exact until the year 287396")]
        let seconds = self.0 as f64 / 1000.0;
        json!(seconds)
    }

    fn from_api(seconds: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "saturates")]
        let milliseconds = (seconds * 1000.0).round() as i64;
        Self(milliseconds)
    }

    /// ISO 8601 in milliseconds, as events have it.
    pub(super) fn iso(self) -> String {
        let time = Timestamp::from_millisecond(self.0).unwrap_or_default();
        format!("{time:.3}")
    }
}

impl Serialize for Epoch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.api().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Epoch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        f64::deserialize(deserializer).map(Self::from_api)
    }
}

/// A task, with the names that the service model gives its members.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the model's names")]
pub(super) struct Task {
    pub attachments: Vec<Attachment>,
    pub attributes: Vec<Box<RawValue>>,
    pub availability_zone: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_provider_name: Option<String>,
    pub cluster_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connectivity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connectivity_at: Option<Epoch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_instance_arn: Option<String>,
    pub containers: Vec<Container>,
    pub cpu: String,
    pub created_at: Epoch,
    pub desired_status: Status,
    pub enable_execute_command: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ephemeral_storage: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_stopped_at: Option<Epoch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fargate_ephemeral_storage: Option<Box<RawValue>>,
    pub group: String,
    pub health_status: String,
    pub inference_accelerators: Vec<Box<RawValue>>,
    pub last_status: Status,
    pub launch_type: String,
    pub memory: String,
    pub overrides: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform_family: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_started_at: Option<Epoch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_stopped_at: Option<Epoch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Epoch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_code: Option<StopCode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_at: Option<Epoch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopping_at: Option<Epoch>,
    pub task_arn: String,
    pub task_definition_arn: String,
    /// When the task last changed: in events only.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Epoch>,
    pub version: u64,
}

/// Why a task stopped, of ECS's reasons those that occur here.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum StopCode {
    TaskFailedToStart,
    EssentialContainerExited,
    UserInitiated,
    SpotInterruption,
    TerminationNotice,
    InfrastructureHealth,
}

/// A container of a task.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the model's names")]
pub(super) struct Container {
    pub container_arn: String,
    pub task_arn: String,
    pub name: String,
    pub image: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime_id: Option<String>,
    pub last_status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub network_bindings: Vec<Box<RawValue>>,
    pub network_interfaces: Vec<Box<RawValue>>,
    pub health_status: String,
    pub cpu: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_reservation: Option<String>,
}

/// A task's network interface.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Attachment {
    pub id: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub status: String,
    pub details: Vec<Box<RawValue>>,
}

impl Task {
    /// The id in the task's ARN.
    pub(super) fn id(&self) -> &str {
        self.task_arn.rsplit('/').next().unwrap_or_default()
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.desired_status == Status::Stopped
    }

    /// Says why the task stops, unless that has been said.
    pub(super) fn stop(&mut self, code: StopCode, reason: impl Into<String>, now: Epoch) {
        self.desired_status = Status::Stopped;
        self.stop_code.get_or_insert(code);
        self.stopped_reason.get_or_insert_with(|| reason.into());
        self.stopping_at.get_or_insert(now);
    }

    pub(super) fn attachments_become(&mut self, status: &str) {
        for attachment in &mut self.attachments {
            status.clone_into(&mut attachment.status);
        }
    }

    /// The Task State Change event that tells of the task as it is.
    fn event(&mut self, now: Epoch) -> String {
        // Events have a member that the API has not, and name the kind of an attachment otherwise.
        self.updated_at = Some(now);
        self.attachments.iter_mut().for_each(|attachment| "eni".clone_into(&mut attachment.kind));
        let event = Event {
            version: "0",
            id: Uuid::now_v7().to_string(),
            detail_type: "ECS Task State Change",
            source: "aws.ecs",
            account: ACCOUNT_ID,
            time: now.iso(),
            region: REGION,
            resources: [&self.task_arn],
            detail: self,
        };
        let mut text = Vec::with_capacity(4096);
        let mut serializer = serde_json::Serializer::with_formatter(&mut text, IsoTimes);
        event.serialize(&mut serializer).expect("names are strings and a vector takes all");
        self.updated_at = None;
        let kind = |attachment: &mut Attachment| {
            NETWORK_INTERFACE.clone_into(&mut attachment.kind);
        };
        self.attachments.iter_mut().for_each(kind);
        String::from_utf8(text).expect("JSON is UTF-8")
    }
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Event<'a> {
    version: &'static str,
    id: String,
    detail_type: &'static str,
    source: &'static str,
    account: &'static str,
    time: String,
    region: &'static str,
    resources: [&'a str; 1],
    detail: &'a Task,
}

/// Writes times as events have them. The only numbers of a task that are not whole are its times: what it took over
/// from requests is written as it is.
struct IsoTimes;

impl Formatter for IsoTimes {
    fn write_f64<W: io::Write + ?Sized>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        write!(writer, "\"{}\"", Epoch::from_api(value).iso())
    }
}

/// A piece of JSON that is only ever passed on.
pub(super) fn raw(value: &Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("a JSON value is JSON")
}

/// The cluster, family and token that a task was launched with: what a task is found by.
#[derive(Debug)]
pub(super) struct Keys<'a> {
    pub cluster: &'a str,
    pub family: &'a str,
    pub client_token: Option<&'a str>,
}

/// Reads a task by its id.
pub(super) fn find(tx: &rusqlite::Connection, id: &str) -> rusqlite::Result<Option<Task>> {
    tx.prepare_cached("SELECT task FROM ecs_tasks WHERE id = ?1")?
        .query_row([id], |row| json_column(row, 0))
        .optional()
}

/// Changes a stored task by one step, and publishes what it has become.
///
/// # Errors
///
/// The database's; `QueryReturnedNoRows` if there is no such task.
pub(super) fn change(
    tx: &Transaction<'_>,
    events: &Events,
    id: &str,
    change: impl FnOnce(&mut Task, Epoch),
) -> rusqlite::Result<Task> {
    let mut changing = Changing::begin(tx, events, id)?;
    changing.step(change)?;
    changing.store()
}

/// A task that takes steps in one transaction: those with nothing to wait for in between.
///
/// Each step is a version and an event of its own; only the last is stored, as nobody could see the others.
pub(super) struct Changing<'a> {
    tx: &'a Transaction<'a>,
    events: &'a Events,
    task: Task,
    /// The columns that have indexes, as they are stored.
    indexed: (Status, Option<Epoch>),
}

impl<'a> Changing<'a> {
    /// Takes a new task, and publishes its first event. To be ended by [`Self::insert`].
    ///
    /// # Errors
    ///
    /// The database's.
    pub(super) fn launch(
        tx: &'a Transaction<'a>,
        events: &'a Events,
        mut task: Task,
    ) -> rusqlite::Result<Self> {
        let event = task.event(task.created_at);
        events.publish(tx, &task, event)?;
        let indexed = (task.desired_status, task.stopped_at);
        Ok(Self { tx, events, task, indexed })
    }

    /// Reads a stored task. To be ended by [`Self::store`].
    ///
    /// # Errors
    ///
    /// The database's; `QueryReturnedNoRows` if there is no such task.
    pub(super) fn begin(
        tx: &'a Transaction<'a>,
        events: &'a Events,
        id: &str,
    ) -> rusqlite::Result<Self> {
        let task = find(tx, id)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        let indexed = (task.desired_status, task.stopped_at);
        Ok(Self { tx, events, task, indexed })
    }

    /// The task as it has become.
    pub(super) fn now(&self) -> &Task {
        &self.task
    }

    /// Takes a step, and publishes it.
    pub(super) fn step(&mut self, change: impl FnOnce(&mut Task, Epoch)) -> rusqlite::Result<()> {
        let now = Epoch::now();
        change(&mut self.task, now);
        self.task.version += 1;
        let event = self.task.event(now);
        self.events.publish(self.tx, &self.task, event)
    }

    /// Stores what a new task has become.
    pub(super) fn insert(self, keys: &Keys<'_>) -> rusqlite::Result<()> {
        let Self { tx, task, .. } = self;
        tx.prepare_cached(
            "INSERT INTO ecs_tasks (id, cluster, family, launch_type, started_by, client_token,
                                    desired_status, last_status, task)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute((
            task.id(),
            keys.cluster,
            keys.family,
            &task.launch_type,
            &task.started_by,
            keys.client_token,
            task.desired_status.as_str(),
            task.last_status.as_str(),
            json_text(&task),
        ))?;
        Ok(())
    }

    /// Stores what the task has become.
    pub(super) fn store(self) -> rusqlite::Result<Task> {
        let Self { tx, task, indexed, .. } = self;
        tx.prepare_cached("UPDATE ecs_tasks SET last_status = ?2, task = ?3 WHERE id = ?1")?
            .execute((task.id(), task.last_status.as_str(), json_text(&task)))?;
        // Apart, as most steps leave them and their indexes as they are.
        if indexed != (task.desired_status, task.stopped_at) {
            tx.prepare_cached(
                "UPDATE ecs_tasks SET desired_status = ?2, stopped_at = ?3 WHERE id = ?1",
            )?
            .execute((
                task.id(),
                task.desired_status.as_str(),
                task.stopped_at.map(|time| time.0),
            ))?;
        }
        Ok(task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_the_task_with_its_times_in_iso_8601() {
        let record = json!({
            "attachments": [{ "id": "a", "type": NETWORK_INTERFACE, "status": "ATTACHED", "details": [] }],
            "attributes": [], "availabilityZone": "z", "clusterArn": "c", "containers": [],
            "cpu": "256", "createdAt": 1_700_000_000.001, "desiredStatus": "RUNNING",
            "enableExecuteCommand": false, "group": "g", "healthStatus": "UNKNOWN",
            "inferenceAccelerators": [], "lastStatus": "PENDING", "launchType": "FARGATE",
            "memory": "512", "overrides": { "containerOverrides": [{ "name": "app", "cpu": 1.5 }] },
            "startedBy": "run", "taskArn": "t", "taskDefinitionArn": "d", "version": 2,
        });
        let mut task: Task = serde_json::from_str(&record.to_string()).unwrap();
        let event: Value = serde_json::from_str(&task.event(Epoch(1_700_000_001_020))).unwrap();
        let mut detail = record.clone();
        detail["createdAt"] = json!("2023-11-14T22:13:20.001Z");
        detail["updatedAt"] = json!("2023-11-14T22:13:21.020Z");
        detail["attachments"][0]["type"] = json!("eni");
        let expected = json!({
            "version": "0", "id": event["id"], "detail-type": "ECS Task State Change",
            "source": "aws.ecs", "account": ACCOUNT_ID, "time": "2023-11-14T22:13:21.020Z",
            "region": REGION, "resources": ["t"], "detail": detail,
        });
        assert_eq!(event, expected);
        assert_eq!(serde_json::to_value(&task).unwrap(), record);
    }
}
