//! `RunTask`: what it refuses, what it replays, and what it launches.
//!
//! Launching is one transaction: the tasks, their tags, the events of their first steps and the client token stand
//! together or not at all. Their lives begin after it. The answer shows each task as it was launched.

use std::sync::{Arc, atomic::Ordering};

use rusqlite::{OptionalExtension, Transaction};
use serde::Deserialize;
use serde_json::{Value, json};
use taskferry_core::ecs::fargate::{self, EphemeralStorage};

use crate::protocol::Exception;

use super::{
    Ecs, Fault,
    arn::{self, TaskDefinitionReference},
    client, clusters, faults, invalid, json_column, json_text,
    launch::{self, Launch},
    lifecycle,
    placement::{self, NetworkConfiguration, Placement, PlacementRule, StrategyItem},
    shapes,
    tags::{self, Tag},
    task::{self, Changing, Epoch, Task},
    task_definitions::{self, TaskDefinition},
};

const COUNT_MAX: i64 = 10;
const OVERRIDES_CHARS_MAX: usize = 8192;
const CLIENT_TOKEN_MAX: usize = 64;
const STARTED_BY_MAX: usize = 128;
const GROUP_MAX: usize = 255;

pub(super) const HOUR_MS: i64 = 60 * 60 * 1000;
/// How long a client token is good for at most.
pub(super) const TOKEN_MS: i64 = 24 * HOUR_MS;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RunTask {
    #[serde(default)]
    capacity_provider_strategy: Vec<StrategyItem>,
    cluster: Option<String>,
    count: Option<i64>,
    #[serde(default, rename = "enableECSManagedTags")]
    enable_ecs_managed_tags: bool,
    #[serde(default)]
    pub enable_execute_command: bool,
    pub group: Option<String>,
    launch_type: Option<String>,
    network_configuration: Option<NetworkConfiguration>,
    #[serde(default)]
    pub overrides: TaskOverride,
    #[serde(default)]
    placement_constraints: Vec<PlacementRule>,
    #[serde(default)]
    placement_strategy: Vec<Value>,
    platform_version: Option<String>,
    propagate_tags: Option<String>,
    pub started_by: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
    task_definition: String,
    client_token: Option<String>,
    #[serde(default)]
    volume_configurations: Vec<VolumeConfiguration>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TaskOverride {
    #[serde(default)]
    pub container_overrides: Vec<ContainerOverride>,
    pub cpu: Option<String>,
    pub memory: Option<String>,
    pub ephemeral_storage: Option<EphemeralStorage>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ContainerOverride {
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub command: Vec<String>,
    #[serde(default)]
    pub environment: Vec<super::container_definitions::KeyValuePair>,
    #[serde(default)]
    pub environment_files: Vec<Value>,
    pub cpu: Option<i64>,
    pub memory: Option<i64>,
    pub memory_reservation: Option<i64>,
}

#[derive(Debug, Deserialize)]
struct VolumeConfiguration {
    name: String,
}

/// What `RunTask` did, or had done before under the same token.
#[derive(Default)]
struct Launched {
    tasks: Vec<Value>,
    failures: Vec<Value>,
    begun: Vec<Launch>,
}

impl Ecs {
    pub(super) fn run_task(self: &Arc<Self>, mut request: Value) -> Result<Value, Fault> {
        let run: RunTask = shapes::decode_ref(&request)?;
        let overrides = request.get("overrides").cloned().unwrap_or_else(|| json!({}));
        run.check(&overrides)?;
        if self.closing.load(Ordering::Acquire) {
            let message = "The local ECS is shutting down.";
            return Err(Exception::server("ServerException", message).into());
        }
        let cluster = arn::cluster_name(run.cluster.as_deref())?;
        // What a token stands for is the request beside the token, in its cluster, however that is named.
        if let Some(members) = request.as_object_mut() {
            members.remove("clientToken");
            members.remove("cluster");
        }
        let launched = self.db.write(|tx| {
            let providers = clusters::require_active(tx, cluster)?;
            if let Some(token) = &run.client_token
                && let Some(tasks) = replay(tx, cluster, token, &request)?
            {
                return Ok(Launched { tasks, ..Launched::default() });
            }
            self.launch(tx, &run, cluster, &providers, &request, &overrides)
        })?;
        self.purge_now_and_then();
        for launch in launched.begun {
            self.begin(launch);
        }
        Ok(json!({ "tasks": launched.tasks, "failures": launched.failures }))
    }

    /// Whether there is no room for what a request asks for, on request.
    fn finds_no_room(&self, run: &RunTask, cluster: &str) -> bool {
        // A token stands for failures too, so each request under it fares alike:
        // https://docs.aws.amazon.com/AmazonECS/latest/APIReference/ECS_Idempotency.html
        let fault = faults::Fault::Failures;
        let fails = match &run.client_token {
            Some(token) => self.dice.happens_to(fault, (cluster, token)),
            None => self.dice.happens(fault),
        };
        if fails {
            let call = faults::call("RunTask", run.started_by.as_deref());
            self.dice.tell(fault, format!("{call} is answered with failures[] and no task"));
        }
        fails
    }

    /// Whether a new task is to stay as it is launched for a while, on request.
    fn starts_slowly(&self, task: &Task) -> bool {
        let is_slow = self.dice.happens(faults::Fault::SlowStart);
        if is_slow {
            let (id, status) = (task.id(), task.last_status.as_str());
            let seconds = lifecycle::SLOW_START.as_secs();
            let what = format!("task {id} stays {status} for {seconds} s");
            self.dice.tell(faults::Fault::SlowStart, what);
        }
        is_slow
    }

    fn launch(
        &self,
        tx: &Transaction<'_>,
        run: &RunTask,
        cluster: &str,
        stored_cluster: &Value,
        request: &Value,
        overrides: &Value,
    ) -> Result<Launched, Fault> {
        let reference = TaskDefinitionReference::parse(&run.task_definition)?;
        let stored = task_definitions::find(tx, &reference)?;
        let stored = stored.ok_or_else(|| client("TaskDefinition not found."))?;
        if !stored.is_active {
            return Err(invalid("TaskDefinition is inactive").into());
        }
        let definition: Arc<TaskDefinition> = Arc::new(task_definitions::parse(&stored.text)?);
        let placements = run.place(stored_cluster)?;
        let fargate = placements[0].is_fargate();
        run.check_against(&definition, fargate)?;
        let subnet = placement::check_network(
            run.network_configuration.as_ref(),
            definition.network_mode.as_deref(),
            fargate,
        )?;
        let platform_version =
            placement::platform_version(run.platform_version.as_deref(), fargate)?;
        let task_tags = run.task_tags(tx, cluster, &definition)?;
        if self.finds_no_room(run, cluster) {
            let failures = placements.iter().map(|placement| no_room(cluster, placement)).collect();
            return Ok(Launched { failures, ..Launched::default() });
        }

        let now = Epoch::now();
        if let Some(token) = &run.client_token {
            tx.prepare_cached(
                "INSERT INTO ecs_launches (cluster, client_token, created_at, request)
                 VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute((cluster, token, now.0, json_text(request)))?;
        }
        let keys = task::Keys {
            cluster,
            family: &definition.family,
            client_token: run.client_token.as_deref(),
        };
        let mut launched = Launched::default();
        for placement in &placements {
            let task = launch::task(&launch::Record {
                run,
                overrides,
                definition: &definition,
                cluster,
                placement,
                subnet: subnet.as_deref(),
                platform_version: platform_version.as_deref(),
                now,
            });
            tags::put(tx, &task.task_arn, &task_tags)?;
            launched.tasks.push(answer(&task, &task_tags));
            let is_slow = self.starts_slowly(&task);
            launched.begun.push(Launch {
                id: task.id().to_owned(),
                definition: Arc::clone(&definition),
                overrides: run.overrides.container_overrides.clone(),
                awsvpc: subnet.is_some(),
                is_slow,
            });
            let mut task = Changing::launch(tx, &self.events, task)?;
            if !is_slow {
                lifecycle::prepare(&mut task)?;
            }
            task.insert(&keys)?;
        }
        Ok(launched)
    }
}

/// A failure that says that there is no room for a task now.
fn no_room(cluster: &str, placement: &Placement) -> Value {
    // https://docs.aws.amazon.com/AmazonECS/latest/developerguide/api_failures_messages.html
    if placement.is_fargate() {
        // https://repost.aws/knowledge-center/ecs-fargate-runtask-capacity
        let reason = "Capacity is unavailable at this time. Please try again later or in a \
                      different availability zone";
        json!({ "reason": reason })
    } else {
        json!({ "arn": arn::container_instance(cluster), "reason": "RESOURCE:MEMORY" })
    }
}

fn answer(task: &Task, task_tags: &[Tag]) -> Value {
    let mut answer = serde_json::to_value(task).expect("a task is JSON");
    answer["tags"] = tags::to_json(task_tags);
    answer
}

/// The tasks that a token has launched, if it is still good.
fn replay(
    tx: &Transaction<'_>,
    cluster: &str,
    token: &str,
    request: &Value,
) -> Result<Option<Vec<Value>>, Fault> {
    // https://docs.aws.amazon.com/AmazonECS/latest/APIReference/ECS_Idempotency.html
    let launch = tx
        .prepare_cached(
            "SELECT created_at, request FROM ecs_launches WHERE cluster = ?1 AND client_token = ?2",
        )?
        .query_row((cluster, token), |row| {
            Ok((row.get::<_, i64>(0)?, json_column::<Value>(row, 1)?))
        })
        .optional()?;
    let Some((created_at, first_request)) = launch else { return Ok(None) };
    let tasks: Vec<Task> = tx
        .prepare_cached(
            "SELECT task FROM ecs_tasks WHERE cluster = ?1 AND client_token = ?2 ORDER BY number",
        )?
        .query_map((cluster, token), |row| json_column(row, 0))?
        .collect::<rusqlite::Result<_>>()?;
    let now = Epoch::now().0;
    // The last of the tasks to stop counts, and one that has not stopped counts as not yet.
    let last_stopped = tasks.iter().map(|task| task.stopped_at.map_or(now, |at| at.0)).max();
    let is_good = now < created_at.saturating_add(TOKEN_MS)
        && last_stopped.is_some_and(|stopped| now < stopped.saturating_add(HOUR_MS));
    if !is_good {
        forget(tx, cluster, token)?;
        return Ok(None);
    }
    if first_request != *request {
        let message = "The clientToken was used before for a request with other parameters.";
        let mut conflict = Exception::client("ConflictException", message);
        let arns: Vec<_> = tasks.iter().map(|task| task.task_arn.as_str()).collect();
        conflict.members.insert("resourceIds".to_owned(), json!(arns));
        return Err(conflict.into());
    }
    let tasks = tasks.iter().map(|task| Ok(answer(task, &tags::of(tx, &task.task_arn)?)));
    Ok(Some(tasks.collect::<rusqlite::Result<_>>()?))
}

/// Makes a token that is no longer good free for another launch.
fn forget(tx: &Transaction<'_>, cluster: &str, token: &str) -> rusqlite::Result<()> {
    tx.prepare_cached("DELETE FROM ecs_launches WHERE cluster = ?1 AND client_token = ?2")?
        .execute((cluster, token))?;
    tx.prepare_cached(
        "UPDATE ecs_tasks SET client_token = NULL WHERE cluster = ?1 AND client_token = ?2",
    )?
    .execute((cluster, token))?;
    Ok(())
}

impl RunTask {
    /// What can be refused without knowing more than the request.
    fn check(&self, overrides: &Value) -> Result<(), Exception> {
        if !(1..=COUNT_MAX).contains(&self.count.unwrap_or(1)) {
            return Err(invalid(format!("count must be between 1 and {COUNT_MAX}.")));
        }
        if let Some(token) = &self.client_token
            && !((1..=CLIENT_TOKEN_MAX).contains(&token.len())
                && token.bytes().all(|byte| (33..=126).contains(&byte)))
        {
            return Err(invalid(format!(
                "clientToken must be 1 to {CLIENT_TOKEN_MAX} characters of ASCII 33 to 126."
            )));
        }
        if let Some(started_by) = &self.started_by {
            check_started_by(started_by)?;
        }
        if let Some(group) = &self.group {
            check_group(group)?;
        }
        // In characters, as the documentation has it.
        if json_text(overrides).chars().count() > OVERRIDES_CHARS_MAX {
            return Err(invalid(format!(
                "Container Overrides length must be at most {OVERRIDES_CHARS_MAX}"
            )));
        }
        if self.launch_type.is_some() && !self.capacity_provider_strategy.is_empty() {
            return Err(invalid(
                "Specifying both a launch type and capacity provider strategy is not supported. \
                 Remove one and try again.",
            ));
        }
        if self.launch_type.as_deref() == Some("MANAGED_INSTANCES") {
            return Err(invalid(
                "The launch type MANAGED_INSTANCES must be used through a capacity provider \
                 strategy.",
            ));
        }
        if self.propagate_tags.as_deref() == Some("SERVICE") {
            return Err(invalid("Tags can not be propagated from a service to a standalone task."));
        }
        if self.overrides.ephemeral_storage.as_ref().is_some_and(|storage| !storage.is_offered()) {
            return Err(invalid("ephemeralStorage must be between 21 GiB and 200 GiB."));
        }
        tags::check(&self.tags)
    }

    /// Where the tasks go.
    fn place(&self, cluster: &Value) -> Result<Vec<Placement>, Exception> {
        let count = usize::try_from(self.count.unwrap_or(1)).expect("checked to be from 1 to 10");
        let decode = |member: &str| cluster.get(member).cloned().unwrap_or_else(|| json!([]));
        let default: Vec<StrategyItem>;
        let strategy = if self.launch_type.is_none() && self.capacity_provider_strategy.is_empty() {
            default = shapes::decode(decode("defaultCapacityProviderStrategy"))?;
            &default
        } else {
            &self.capacity_provider_strategy
        };
        if strategy.is_empty() {
            let launch_type = self.launch_type.clone().unwrap_or_else(|| "EC2".to_owned());
            return Ok(vec![Placement { launch_type, capacity_provider: None }; count]);
        }
        let providers: Vec<String> = shapes::decode(decode("capacityProviders"))?;
        placement::check_strategy(strategy, &providers)?;
        Ok(placement::spread(strategy, count))
    }

    /// What the task definition must have for the request to make sense.
    fn check_against(&self, definition: &TaskDefinition, fargate: bool) -> Result<(), Exception> {
        let launch_type = self.launch_type.as_deref().unwrap_or("EC2");
        if fargate && definition.check_fargate().is_err() {
            return Err(invalid("Task definition does not support launch_type FARGATE."));
        }
        if launch_type == "EXTERNAL" && definition.network_mode.as_deref() == Some("awsvpc") {
            return Err(invalid("Task definition does not support launch_type EXTERNAL."));
        }
        placement::check_rules(
            &self.placement_constraints,
            definition.placement_constraints.len(),
            &self.placement_strategy,
            fargate,
        )?;
        self.check_container_overrides(definition)?;
        self.check_size(definition, fargate)?;
        self.check_volumes(definition)
    }

    fn check_container_overrides(&self, definition: &TaskDefinition) -> Result<(), Exception> {
        let mut seen = std::collections::HashSet::new();
        for container in &self.overrides.container_overrides {
            let name = container.name.as_str();
            if name.is_empty() {
                return Err(invalid("Container Overrides must have the name of a container."));
            }
            if !definition.container_definitions.iter().any(|defined| defined.name == name) {
                return Err(invalid(format!(
                    "Override for container named {name} is not a container in the TaskDefinition."
                )));
            }
            if !seen.insert(name) {
                return Err(invalid(format!(
                    "There is more than one override for container {name}."
                )));
            }
            let negative = |value: Option<i64>, least: i64| value.is_some_and(|v| v < least);
            if negative(container.cpu, 0)
                || negative(container.memory, 4)
                || negative(container.memory_reservation, 4)
            {
                return Err(invalid(format!(
                    "The cpu, memory or memoryReservation override of container {name} is too low."
                )));
            }
        }
        Ok(())
    }

    fn check_size(&self, definition: &TaskDefinition, fargate: bool) -> Result<(), Exception> {
        let TaskOverride { cpu, memory, .. } = &self.overrides;
        let size = |member: &str, written: Option<&String>, read: fn(&str) -> Option<u32>| {
            written
                .map(|written| {
                    read(written)
                        .ok_or_else(|| invalid(format!("Invalid '{member}' setting for task.")))
                })
                .transpose()
        };
        let cpu = size("cpu", cpu.as_ref().or(definition.cpu.as_ref()), fargate::cpu_units)?;
        let memory =
            size("memory", memory.as_ref().or(definition.memory.as_ref()), fargate::memory_mib)?;
        if fargate && !matches!((cpu, memory), (Some(cpu), Some(mem)) if fargate::offers(cpu, mem))
        {
            return Err(invalid("No Fargate configuration exists for given values."));
        }
        let of = |name: &str| {
            self.overrides.container_overrides.iter().find(|container| container.name == name)
        };
        let of_containers = definition.container_definitions.iter().map(|container| {
            let over = of(&container.name);
            over.and_then(|over| over.memory_reservation.or(over.memory))
                .or(container.memory_reservation)
                .or(container.memory)
                .unwrap_or(0)
        });
        if memory.is_some_and(|memory| of_containers.sum::<i64>() > i64::from(memory)) {
            return Err(invalid("The containers have more memory than the task."));
        }
        if !fargate && self.overrides.ephemeral_storage.is_some() {
            return Err(invalid("ephemeralStorage is supported by Fargate only."));
        }
        Ok(())
    }

    fn check_volumes(&self, definition: &TaskDefinition) -> Result<(), Exception> {
        if self.volume_configurations.len() > 1 {
            return Err(invalid("At most one volume can be configured at launch."));
        }
        let at_launch =
            |volume: &&task_definitions::Volume| volume.configured_at_launch == Some(true);
        let mut wanted =
            definition.volumes.iter().filter(at_launch).filter_map(|v| v.name.as_ref());
        let configured = &self.volume_configurations;
        if let Some(unknown) =
            configured.iter().find(|given| !wanted.clone().any(|name| *name == given.name))
        {
            return Err(invalid(format!(
                "The task definition has no volume {} that is configured at launch.",
                unknown.name
            )));
        }
        if let Some(missing) = wanted.find(|name| !configured.iter().any(|c| c.name == **name)) {
            return Err(invalid(format!("volumeConfigurations must configure volume {missing}.")));
        }
        Ok(())
    }

    /// The tags of each task: the request's, the definition's where they are to be propagated, and ECS's own.
    fn task_tags(
        &self,
        tx: &Transaction<'_>,
        cluster: &str,
        definition: &TaskDefinition,
    ) -> Result<Vec<Tag>, Fault> {
        let mut task_tags = self.tags.clone();
        if self.propagate_tags.as_deref() == Some("TASK_DEFINITION") {
            let arn = arn::task_definition(&definition.family, definition.revision);
            for tag in tags::of(tx, &arn)? {
                if !task_tags.iter().any(|own| own.key == tag.key) {
                    task_tags.push(tag);
                }
            }
            tags::check(&task_tags)?;
        }
        if self.enable_ecs_managed_tags {
            let key = "aws:ecs:clusterName".to_owned();
            task_tags.push(Tag { key, value: Some(cluster.to_owned()) });
        }
        Ok(task_tags)
    }
}

pub(super) fn check_started_by(started_by: &str) -> Result<(), Exception> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-/_".contains(c);
    if started_by.chars().count() <= STARTED_BY_MAX && started_by.chars().all(allowed) {
        Ok(())
    } else {
        Err(invalid(format!(
            "startedBy must be at most {STARTED_BY_MAX} letters, numbers, hyphens, forward slashes \
             and underscores."
        )))
    }
}

fn check_group(group: &str) -> Result<(), Exception> {
    if group.starts_with("service:") {
        return Err(invalid("Invalid namespace for group: service: is reserved for services."));
    }
    if group.chars().count() > GROUP_MAX || group.chars().any(char::is_control) {
        return Err(invalid("group contains invalid characters or is too long."));
    }
    Ok(())
}
