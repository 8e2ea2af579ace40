//! What ECS demands of the containers of a task definition, whatever runs it.
//!
//! Asked at `RegisterTaskDefinition`; what Fargate demands beyond it is in `task_definitions`.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use serde_json::Value;

use crate::protocol::Exception;

use super::{arn, client};

// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-quotas.html
const CONTAINERS_MAX: usize = 10;
/// What Docker reserves for a container at least.
const MEMORY_MIB_MIN: i64 = 4;

/// A container definition, of its members those that mean something here.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ContainerDefinition {
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub image: String,
    #[serde(default)]
    pub cpu: i64,
    pub memory: Option<i64>,
    pub memory_reservation: Option<i64>,
    #[serde(default)]
    pub links: Vec<String>,
    #[serde(default)]
    pub port_mappings: Vec<PortMapping>,
    pub essential: Option<bool>,
    #[serde(default)]
    pub entry_point: Vec<String>,
    #[serde(default)]
    pub command: Vec<String>,
    #[serde(default)]
    pub environment: Vec<KeyValuePair>,
    #[serde(default)]
    pub environment_files: Vec<Value>,
    #[serde(default)]
    pub secrets: Vec<Secret>,
    #[serde(default)]
    pub mount_points: Vec<MountPoint>,
    #[serde(default)]
    pub volumes_from: Vec<VolumeFrom>,
    #[serde(default)]
    pub depends_on: Vec<ContainerDependency>,
    pub start_timeout: Option<i64>,
    pub stop_timeout: Option<i64>,
    pub privileged: Option<bool>,
    pub log_configuration: Option<LogConfiguration>,
    pub health_check: Option<HealthCheck>,
    pub restart_policy: Option<RestartPolicy>,
    #[serde(default)]
    pub resource_requirements: Vec<ResourceRequirement>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct KeyValuePair {
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub value: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Secret {
    pub name: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PortMapping {
    pub name: Option<String>,
    pub container_port: Option<i64>,
    pub host_port: Option<i64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MountPoint {
    pub source_volume: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VolumeFrom {
    pub source_container: Option<String>,
}

/// What must have happened to another container before this one starts.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ContainerDependency {
    pub container_name: String,
    pub condition: Condition,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Condition {
    Start,
    Complete,
    Success,
    Healthy,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LogConfiguration {
    pub log_driver: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HealthCheck {
    pub command: Vec<String>,
    pub interval: Option<i64>,
    pub timeout: Option<i64>,
    pub retries: Option<i64>,
    pub start_period: Option<i64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RestartPolicy {
    pub restart_attempt_period: Option<i64>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct ResourceRequirement {
    #[serde(rename = "type")]
    pub kind: String,
}

impl ContainerDefinition {
    pub(super) fn is_essential(&self) -> bool {
        self.essential.unwrap_or(true)
    }
}

/// Checks the containers of a definition that has `task_memory_mib` for all of them together.
pub(super) fn check(
    containers: &[ContainerDefinition],
    task_cpu_units: Option<u32>,
    task_memory_mib: Option<u32>,
) -> Result<(), Exception> {
    if containers.is_empty() {
        return Err(client("Container definitions should not be empty."));
    }
    if containers.len() > CONTAINERS_MAX {
        return Err(client(format!(
            "A task definition can have at most {CONTAINERS_MAX} containers."
        )));
    }
    let mut names = HashSet::new();
    for container in containers {
        check_name(container)?;
        if !names.insert(container.name.as_str()) {
            return Err(client(format!(
                "Container names must be unique: '{}' is there twice.",
                container.name
            )));
        }
        check_memory(container, task_memory_mib)?;
        check_numbers(container)?;
    }
    if !containers.iter().any(ContainerDefinition::is_essential) {
        return Err(client("A task definition must have at least one essential container."));
    }
    let sum = |of: fn(&ContainerDefinition) -> i64| containers.iter().map(of).sum::<i64>();
    if task_cpu_units.is_some_and(|task| sum(|container| container.cpu) > i64::from(task)) {
        return Err(client(
            "The sum of all container 'cpu' values cannot be greater than the value of the task \
             'cpu'.",
        ));
    }
    let reserved = |c: &ContainerDefinition| c.memory_reservation.or(c.memory).unwrap_or(0);
    if task_memory_mib.is_some_and(|task| sum(reserved) > i64::from(task)) {
        return Err(client(
            "The sum of all container memory values cannot be greater than the 'memory' of the \
             task.",
        ));
    }
    check_references(containers, &names)?;
    check_dependencies(containers)
}

fn check_name(container: &ContainerDefinition) -> Result<(), Exception> {
    if container.name.is_empty() {
        return Err(client("Container.name should not be null or empty."));
    }
    if !arn::is_name(&container.name) {
        return Err(client("Container.name contains invalid characters."));
    }
    if container.image.is_empty() {
        return Err(client("Container.image should not be null or empty."));
    }
    if container.image.len() > 255 || container.image.contains(char::is_whitespace) {
        return Err(client("Container.image contains invalid characters."));
    }
    Ok(())
}

fn check_memory(
    container: &ContainerDefinition,
    task_memory_mib: Option<u32>,
) -> Result<(), Exception> {
    let ContainerDefinition { name, memory, memory_reservation, .. } = container;
    let setting = |fault: &str| client(format!("Invalid setting for container '{name}'. {fault}"));
    if task_memory_mib.is_none() && memory.is_none() && memory_reservation.is_none() {
        return Err(setting("At least one of 'memory' or 'memoryReservation' must be specified."));
    }
    for (member, mib) in [("memory", memory), ("memoryReservation", memory_reservation)] {
        if mib.is_some_and(|mib| mib < MEMORY_MIB_MIN) {
            return Err(setting(&format!("'{member}' must be at least {MEMORY_MIB_MIN}.")));
        }
    }
    if let (Some(memory), Some(reservation)) = (memory, memory_reservation)
        && reservation > memory
    {
        return Err(setting("'memoryReservation' must not be greater than 'memory'."));
    }
    if let (Some(memory), Some(task)) = (memory, task_memory_mib)
        && *memory > i64::from(task)
    {
        return Err(client(format!(
            "The 'memory' setting for container '{name}' is greater than for the task."
        )));
    }
    Ok(())
}

fn check_numbers(container: &ContainerDefinition) -> Result<(), Exception> {
    let name = &container.name;
    let check =
        |member: &str, value: Option<i64>, allowed: std::ops::RangeInclusive<i64>| match value
            .filter(|value| !allowed.contains(value))
        {
            None => Ok(()),
            Some(value) => Err(client(format!(
                "Invalid {member} for container '{name}': {value} is not between {} and {}.",
                allowed.start(),
                allowed.end()
            ))),
        };
    check("cpu", Some(container.cpu), 0..=i64::from(i32::MAX))?;
    check("startTimeout", container.start_timeout, 2..=120)?;
    check("stopTimeout", container.stop_timeout, 0..=i64::from(i32::MAX))?;
    for mapping in &container.port_mappings {
        check("containerPort", mapping.container_port, 0..=65535)?;
        check("hostPort", mapping.host_port, 0..=65535)?;
    }
    if let Some(health) = &container.health_check {
        if health.command.iter().all(String::is_empty) {
            return Err(client(format!("The health check of container '{name}' has no command.")));
        }
        check("healthCheck.interval", health.interval, 5..=300)?;
        check("healthCheck.timeout", health.timeout, 2..=120)?;
        check("healthCheck.retries", health.retries, 1..=10)?;
        check("healthCheck.startPeriod", health.start_period, 0..=300)?;
    }
    if let Some(policy) = &container.restart_policy {
        check("restartPolicy.restartAttemptPeriod", policy.restart_attempt_period, 60..=1800)?;
    }
    Ok(())
}

/// Links, volumes and port names lead to what is there.
fn check_references(
    containers: &[ContainerDefinition],
    names: &HashSet<&str>,
) -> Result<(), Exception> {
    let mut port_names = HashSet::new();
    for container in containers {
        let links = container.links.iter().filter_map(|link| link.split(':').next());
        let sources = container.volumes_from.iter().filter_map(|v| v.source_container.as_deref());
        if let Some(unknown) = links.chain(sources).find(|name| !names.contains(name)) {
            return Err(client(format!(
                "Container '{}' refers to the unknown container '{unknown}'.",
                container.name
            )));
        }
        for port_name in container.port_mappings.iter().filter_map(|port| port.name.as_deref()) {
            if !port_names.insert(port_name) {
                return Err(client(format!("Port mapping name '{port_name}' is there twice.")));
            }
        }
    }
    Ok(())
}

fn check_dependencies(containers: &[ContainerDefinition]) -> Result<(), Exception> {
    let by_name: HashMap<&str, &ContainerDefinition> =
        containers.iter().map(|container| (container.name.as_str(), container)).collect();
    for container in containers {
        for dependency in &container.depends_on {
            let on = dependency.container_name.as_str();
            if on == container.name {
                return Err(client(format!("Container '{on}' cannot depend on itself.")));
            }
            let Some(other) = by_name.get(on) else {
                return Err(client(format!(
                    "Container '{}' depends on the unknown container '{on}'.",
                    container.name
                )));
            };
            match dependency.condition {
                // "This condition can't be set on an essential container."
                // https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDependency.html
                Condition::Complete | Condition::Success if other.is_essential() => {
                    return Err(client(
                        "A dependency container with SUCCESS or COMPLETE condition cannot be an \
                         essential container",
                    ));
                }
                Condition::Healthy if other.health_check.is_none() => {
                    return Err(client(format!(
                        "Container '{on}' has no health check for the HEALTHY condition of \
                         container '{}'.",
                        container.name
                    )));
                }
                _ => {}
            }
        }
    }
    // What depends on nothing left is taken away until nothing is left, or a circle.
    let mut left: HashSet<&str> = by_name.keys().copied().collect();
    while !left.is_empty() {
        let free: Vec<&str> = left
            .iter()
            .copied()
            .filter(|name| {
                let on = &by_name[name].depends_on;
                !on.iter().any(|dependency| left.contains(dependency.container_name.as_str()))
            })
            .collect();
        if free.is_empty() {
            return Err(client("Container dependencies must not form a cycle."));
        }
        left.retain(|name| !free.contains(name));
    }
    Ok(())
}
