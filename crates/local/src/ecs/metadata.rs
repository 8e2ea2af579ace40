//! The task metadata endpoint, version 4, as `ECS_CONTAINER_METADATA_URI_V4` leads to it.

use serde_json::{Value, json};

use super::{
    Ecs, object,
    task::{self, Container, Epoch, Task},
};

/// Where the endpoint is under the endpoint URL.
pub(super) const PREFIX: &str = "/_ecs/v4/";

impl Ecs {
    /// What the metadata endpoint answers: `<container id>` for the container, `<container id>/task` for its task.
    /// The path is what follows [`METADATA_PREFIX`](super::METADATA_PREFIX).
    pub fn metadata(&self, path: &str) -> Option<Value> {
        let (runtime_id, of_task) = match path.split_once('/') {
            None => (path, false),
            Some((runtime_id, "")) => (runtime_id, false),
            Some((runtime_id, "task")) => (runtime_id, true),
            Some(_) => return None,
        };
        let (id, _) = runtime_id.split_once('-')?;
        let found = self.db.read(|connection| task::find(connection, id));
        let task = found.ok().flatten()?;
        let asks =
            |container: &&Container| container_id(&task, container).as_deref() == Some(runtime_id);
        let container = task.containers.iter().find(asks)?;
        Some(if of_task { describe_task(&task) } else { describe(&task, container) })
    }
}

/// The id that a container's process was told; a container that has just been started may not be stored with it yet.
fn container_id(task: &Task, container: &Container) -> Option<String> {
    let index = task.containers.iter().position(|other| other.name == container.name)?;
    Some(runtime_id(task.id(), index))
}

/// The id of a container's process.
pub(super) fn runtime_id(task_id: &str, index: usize) -> String {
    format!("{task_id}-{index:010}")
}

fn family_and_revision(task: &Task) -> (&str, &str) {
    let name = task.task_definition_arn.rsplit('/').next().unwrap_or_default();
    name.split_once(':').unwrap_or((name, ""))
}

fn time(time: Option<Epoch>) -> Option<Value> {
    time.map(|time| json!(time.iso()))
}

fn describe(task: &Task, container: &Container) -> Value {
    let (family, revision) = family_and_revision(task);
    let id = container_id(task, container);
    object([
        ("DockerId", Some(json!(id))),
        ("Name", Some(json!(container.name))),
        ("DockerName", Some(json!(container.name))),
        ("Image", Some(json!(container.image))),
        (
            "Labels",
            Some(json!({
                "com.amazonaws.ecs.cluster": task.cluster_arn,
                "com.amazonaws.ecs.container-name": container.name,
                "com.amazonaws.ecs.task-arn": task.task_arn,
                "com.amazonaws.ecs.task-definition-family": family,
                "com.amazonaws.ecs.task-definition-version": revision,
            })),
        ),
        ("DesiredStatus", Some(json!(task.desired_status))),
        ("KnownStatus", Some(json!(container.last_status))),
        ("ExitCode", container.exit_code.map(Value::from)),
        ("CreatedAt", time(Some(task.created_at))),
        ("StartedAt", time(task.started_at)),
        ("Type", Some(json!("NORMAL"))),
        ("ContainerARN", Some(json!(container.container_arn))),
        ("Networks", Some(json!([{ "NetworkMode": "host", "IPv4Addresses": ["127.0.0.1"] }]))),
    ])
}

fn describe_task(task: &Task) -> Value {
    let (family, revision) = family_and_revision(task);
    let containers: Vec<_> = task.containers.iter().map(|c| describe(task, c)).collect();
    let cpu = task.cpu.parse::<f64>().map(|units| units / 1024.0).ok();
    let memory = task.memory.parse::<i64>().ok();
    object([
        ("Cluster", Some(json!(task.cluster_arn))),
        ("TaskARN", Some(json!(task.task_arn))),
        ("Family", Some(json!(family))),
        ("Revision", Some(json!(revision))),
        ("DesiredStatus", Some(json!(task.desired_status))),
        ("KnownStatus", Some(json!(task.last_status))),
        ("Limits", Some(json!({ "CPU": cpu, "Memory": memory }))),
        ("PullStartedAt", time(task.pull_started_at)),
        ("PullStoppedAt", time(task.pull_stopped_at)),
        ("AvailabilityZone", Some(json!(task.availability_zone))),
        ("LaunchType", Some(json!(task.launch_type))),
        ("Containers", Some(json!(containers))),
    ])
}
