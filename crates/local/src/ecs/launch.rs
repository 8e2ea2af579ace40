//! The record of a task at the moment of its launch.

use std::sync::Arc;

use serde_json::{Value, json};
use taskferry_core::ecs::fargate;
use uuid::Uuid;

use super::{
    arn,
    container_definitions::ContainerDefinition,
    placement::Placement,
    run_task::{ContainerOverride, RunTask},
    task::{Attachment, Container, Epoch, NETWORK_INTERFACE, Status, Task, raw},
    task_definitions::TaskDefinition,
};

/// What a task's life needs beside its record.
#[derive(Debug)]
pub(super) struct Launch {
    pub id: String,
    pub definition: Arc<TaskDefinition>,
    pub overrides: Vec<ContainerOverride>,
    pub awsvpc: bool,
    /// Whether it is still as it was launched, and will be for a while.
    pub is_slow: bool,
}

/// What the record is made of.
pub(super) struct Record<'a> {
    pub run: &'a RunTask,
    /// The overrides as they were sent.
    pub overrides: &'a Value,
    pub definition: &'a TaskDefinition,
    pub cluster: &'a str,
    pub placement: &'a Placement,
    /// The subnet, for a task with a network interface of its own.
    pub subnet: Option<&'a str>,
    pub platform_version: Option<&'a str>,
    pub now: Epoch,
}

/// A new task: `PROVISIONING` if it waits for a network interface or for capacity, else `PENDING`.
pub(super) fn task(record: &Record<'_>) -> Task {
    let Record { run, definition, cluster, placement, .. } = record;
    let id = Uuid::now_v7().simple().to_string();
    let task_arn = arn::task(cluster, &id);
    let fargate = placement.is_fargate();
    let attachment = record.subnet.map(attachment);
    let waits = attachment.is_some() || placement.capacity_provider.is_some();
    let override_of =
        |name: &str| run.overrides.container_overrides.iter().find(|over| over.name == name);
    let containers = definition.container_definitions.iter().map(|defined| {
        let over = override_of(&defined.name);
        container(cluster, &id, &task_arn, defined, over, attachment.as_ref())
    });
    let mut overrides = json!({ "containerOverrides": [], "inferenceAcceleratorOverrides": [] });
    for (name, value) in record.overrides.as_object().into_iter().flatten() {
        overrides[name] = value.clone();
    }
    let storage =
        run.overrides.ephemeral_storage.as_ref().or(definition.ephemeral_storage.as_ref());
    let storage = storage.map_or(20, |storage| storage.size_in_gib);
    let storage = fargate.then(|| raw(&json!({ "sizeInGiB": storage })));
    let operating_system =
        definition.runtime_platform.as_ref().and_then(|p| p.operating_system_family.as_deref());
    let platform_family = match operating_system {
        None | Some("LINUX") => "Linux".to_owned(),
        Some(other) => other.to_owned(),
    };
    Task {
        attributes: vec![raw(&json!({ "name": "ecs.cpu-architecture", "value": architecture() }))],
        availability_zone: "us-east-1a".to_owned(),
        capacity_provider_name: placement.capacity_provider.clone(),
        cluster_arn: arn::cluster(cluster),
        connectivity: None,
        connectivity_at: None,
        container_instance_arn: (!fargate).then(|| arn::container_instance(cluster)),
        containers: containers.collect(),
        cpu: task_cpu(run, definition),
        created_at: record.now,
        desired_status: Status::Running,
        enable_execute_command: run.enable_execute_command,
        ephemeral_storage: storage.clone(),
        execution_stopped_at: None,
        fargate_ephemeral_storage: storage,
        group: run.group.clone().unwrap_or_else(|| format!("family:{}", definition.family)),
        health_status: "UNKNOWN".to_owned(),
        inference_accelerators: Vec::new(),
        last_status: if waits { Status::Provisioning } else { Status::Pending },
        launch_type: placement.launch_type.clone(),
        memory: task_memory(run, definition),
        overrides: raw(&overrides),
        platform_family: fargate.then_some(platform_family),
        platform_version: record.platform_version.map(str::to_owned),
        pull_started_at: None,
        pull_stopped_at: None,
        started_at: None,
        started_by: run.started_by.clone(),
        stop_code: None,
        stopped_at: None,
        stopped_reason: None,
        stopping_at: None,
        task_definition_arn: arn::task_definition(&definition.family, definition.revision),
        updated_at: None,
        version: 1,
        attachments: attachment.into_iter().collect(),
        task_arn,
    }
}

/// The machine, as ECS names architectures.
fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" }
}

fn attachment(subnet: &str) -> Attachment {
    let detail = |name: &str, value: &str| raw(&json!({ "name": name, "value": value }));
    let interface = Uuid::now_v7().simple().to_string();
    Attachment {
        id: Uuid::now_v7().to_string(),
        kind: NETWORK_INTERFACE.to_owned(),
        status: "PRECREATED".to_owned(),
        details: vec![
            detail("subnetId", subnet),
            detail("networkInterfaceId", &format!("eni-{}", &interface[15..])),
            // The network of a process here is this machine's.
            detail("privateIPv4Address", "127.0.0.1"),
        ],
    }
}

fn container(
    cluster: &str,
    id: &str,
    task_arn: &str,
    defined: &ContainerDefinition,
    over: Option<&ContainerOverride>,
    attachment: Option<&Attachment>,
) -> Container {
    let text = |number: Option<i64>| number.map(|number| number.to_string());
    let interface = attachment.map(|attachment| {
        raw(&json!({ "attachmentId": attachment.id, "privateIpv4Address": "127.0.0.1" }))
    });
    Container {
        container_arn: arn::container(cluster, id, &Uuid::now_v7().to_string()),
        task_arn: task_arn.to_owned(),
        name: defined.name.clone(),
        image: defined.image.clone(),
        runtime_id: None,
        last_status: Status::Pending,
        exit_code: None,
        reason: None,
        network_bindings: Vec::new(),
        network_interfaces: interface.into_iter().collect(),
        health_status: "UNKNOWN".to_owned(),
        cpu: over.and_then(|over| over.cpu).unwrap_or(defined.cpu).to_string(),
        memory: text(over.and_then(|over| over.memory).or(defined.memory)),
        memory_reservation: text(
            over.and_then(|over| over.memory_reservation).or(defined.memory_reservation),
        ),
    }
}

fn task_cpu(run: &RunTask, definition: &TaskDefinition) -> String {
    let written = run.overrides.cpu.as_ref().or(definition.cpu.as_ref());
    let units = written.and_then(|written| fargate::cpu_units(written)).map(i64::from);
    let of_containers = || definition.container_definitions.iter().map(|c| c.cpu).sum();
    units.unwrap_or_else(of_containers).to_string()
}

fn task_memory(run: &RunTask, definition: &TaskDefinition) -> String {
    let written = run.overrides.memory.as_ref().or(definition.memory.as_ref());
    let mib = written.and_then(|written| fargate::memory_mib(written)).map(i64::from);
    let of_containers = || {
        let containers = definition.container_definitions.iter();
        containers.filter_map(|container| container.memory.or(container.memory_reservation)).sum()
    };
    mib.unwrap_or_else(of_containers).to_string()
}
