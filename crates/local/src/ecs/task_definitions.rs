//! The operations on task definitions, and what ECS demands of a definition as a whole.

use rusqlite::{Connection, OptionalExtension, types::Type};
use serde::Deserialize;
use serde_json::{Value, json};
use taskferry_core::ecs::fargate::{self, EphemeralStorage};

use crate::{identity::ACCOUNT_ID, protocol::Exception};

use super::{
    Ecs, Fault, arn,
    arn::TaskDefinitionReference,
    client,
    container_definitions::{self, ContainerDefinition},
    json_text, object, paging, shapes,
    tags::{self, Tag},
    task::Epoch,
};

/// The size of a definition, as JSON.
const BYTES_MAX: usize = 64 * 1024;
/// What a task may have of cpu, wherever it runs.
const CPU_UNITS: std::ops::RangeInclusive<u32> = 128..=196_608;
const CONSTRAINTS_MAX: usize = 10;
const FARGATE_STOP_TIMEOUT_SECONDS_MAX: i64 = 120;
const FARGATE_LOG_DRIVERS: [&str; 3] = ["awslogs", "splunk", "awsfirelens"];

/// A task definition, of its members those that mean something here.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TaskDefinition {
    pub family: String,
    #[serde(default)]
    pub revision: i64,
    pub container_definitions: Vec<ContainerDefinition>,
    pub cpu: Option<String>,
    pub memory: Option<String>,
    pub network_mode: Option<String>,
    pub execution_role_arn: Option<String>,
    #[serde(default)]
    pub requires_compatibilities: Vec<String>,
    #[serde(default)]
    pub volumes: Vec<Volume>,
    #[serde(default)]
    pub placement_constraints: Vec<Value>,
    pub pid_mode: Option<String>,
    pub ipc_mode: Option<String>,
    pub ephemeral_storage: Option<EphemeralStorage>,
    pub proxy_configuration: Option<ProxyConfiguration>,
    pub runtime_platform: Option<RuntimePlatform>,
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Volume {
    pub name: Option<String>,
    host: Option<Value>,
    docker_volume_configuration: Option<Value>,
    pub configured_at_launch: Option<bool>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProxyConfiguration {
    container_name: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RuntimePlatform {
    pub operating_system_family: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DescribeTaskDefinition {
    task_definition: String,
    #[serde(default)]
    include: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeregisterTaskDefinition {
    task_definition: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListTaskDefinitions {
    family_prefix: Option<String>,
    status: Option<String>,
    sort: Option<String>,
    next_token: Option<String>,
    max_results: Option<i64>,
}

impl TaskDefinition {
    /// Why Fargate does not run the definition, if it does not.
    pub(super) fn check_fargate(&self) -> Result<(), Exception> {
        if self.network_mode.as_deref() != Some("awsvpc") {
            return Err(client("Fargate only supports network mode \u{2018}awsvpc\u{2019}."));
        }
        let Some(cpu) = &self.cpu else {
            return Err(client("Fargate requires that 'cpu' be defined at the task level."));
        };
        let Some(memory) = &self.memory else {
            return Err(client("Fargate requires that 'memory' be defined at the task level."));
        };
        let size = (fargate::cpu_units(cpu), fargate::memory_mib(memory));
        if !matches!(size, (Some(cpu), Some(memory)) if fargate::offers(cpu, memory)) {
            return Err(client(format!(
                "No Fargate configuration exists for given values: {cpu} CPU, {memory} memory. See \
                 the Amazon ECS documentation for the valid values."
            )));
        }
        if self.pid_mode.as_deref() == Some("host") || self.ipc_mode.is_some() {
            return Err(client("Fargate does not support the given pidMode or ipcMode."));
        }
        if !self.placement_constraints.is_empty() {
            return Err(client("Fargate does not support placement constraints."));
        }
        let is_of_host = |volume: &Volume| {
            let host = volume.host.as_ref().and_then(|host| host.get("sourcePath"));
            host.is_some() || volume.docker_volume_configuration.is_some()
        };
        if self.volumes.iter().any(is_of_host) {
            return Err(client("Fargate does not support volumes of the host."));
        }
        self.container_definitions.iter().try_for_each(|container| self.check_container(container))
    }

    fn check_container(&self, container: &ContainerDefinition) -> Result<(), Exception> {
        let name = &container.name;
        let refuse = |what: &str| {
            Err(client(format!("Fargate does not support {what}, which container '{name}' has.")))
        };
        if container.privileged == Some(true) {
            return refuse("privileged containers");
        }
        if !container.links.is_empty() {
            return refuse("links");
        }
        if container.resource_requirements.iter().any(|required| required.kind == "GPU") {
            return refuse("GPUs");
        }
        if container.stop_timeout.is_some_and(|s| s > FARGATE_STOP_TIMEOUT_SECONDS_MAX) {
            return refuse("a stopTimeout of more than 120 seconds");
        }
        let needs_role = |what: &str| {
            Err(client(format!(
                "Fargate requires task definition to have execution role ARN to support {what}."
            )))
        };
        if let Some(log) = &container.log_configuration {
            let driver = log.log_driver.as_str();
            if !FARGATE_LOG_DRIVERS.contains(&driver) {
                return refuse(&format!("the log driver {driver}"));
            }
            if driver == "awslogs" && self.execution_role_arn.is_none() {
                return needs_role("log driver awslogs");
            }
        }
        if !container.secrets.is_empty() && self.execution_role_arn.is_none() {
            return needs_role("secrets");
        }
        if container.image.contains(".dkr.ecr.") && self.execution_role_arn.is_none() {
            return needs_role("ECR images");
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Exception> {
        if !arn::is_name(&self.family) {
            return Err(client("Family contains invalid characters."));
        }
        tags::check(&self.tags)?;
        let size = |member: &str, written: Option<&String>, read: fn(&str) -> Option<u32>| {
            written
                .map(|written| {
                    read(written)
                        .ok_or_else(|| client(format!("Invalid '{member}' setting for task.")))
                })
                .transpose()
        };
        let cpu = size("cpu", self.cpu.as_ref(), fargate::cpu_units)?;
        if cpu.is_some_and(|units| !CPU_UNITS.contains(&units)) {
            return Err(client("Invalid 'cpu' setting for task."));
        }
        let memory = size("memory", self.memory.as_ref(), fargate::memory_mib)?;
        container_definitions::check(&self.container_definitions, cpu, memory)?;
        self.check_volumes()?;
        self.check_ports()?;
        if self.ephemeral_storage.as_ref().is_some_and(|storage| !storage.is_offered()) {
            return Err(client("ephemeralStorage must be between 21 GiB and 200 GiB."));
        }
        if self.placement_constraints.len() > CONSTRAINTS_MAX {
            return Err(client(format!(
                "A task definition can have at most {CONSTRAINTS_MAX} placement constraints."
            )));
        }
        if let Some(proxy) = &self.proxy_configuration
            && !self.container_definitions.iter().any(|c| c.name == proxy.container_name)
        {
            return Err(client("The proxyConfiguration names an unknown container."));
        }
        if self.requires("FARGATE") {
            self.check_fargate()?;
        }
        if self.requires("EXTERNAL") && self.network_mode.as_deref() == Some("awsvpc") {
            return Err(client("The network mode awsvpc is not supported by EXTERNAL."));
        }
        Ok(())
    }

    fn check_volumes(&self) -> Result<(), Exception> {
        for (index, volume) in self.volumes.iter().enumerate() {
            let name = volume.name.as_deref().unwrap_or_default();
            if !arn::is_name(name) {
                return Err(client("Volume.name contains invalid characters."));
            }
            if self.volumes[..index].iter().any(|other| other.name == volume.name) {
                return Err(client(format!("Volume '{name}' is there twice.")));
            }
        }
        let mounts = self.container_definitions.iter().flat_map(|c| &c.mount_points);
        for source in mounts.filter_map(|mount| mount.source_volume.as_deref()) {
            if !self.volumes.iter().any(|volume| volume.name.as_deref() == Some(source)) {
                return Err(client(format!("Unknown volume '{source}'.")));
            }
        }
        Ok(())
    }

    fn check_ports(&self) -> Result<(), Exception> {
        let network_mode = self.network_mode.as_deref();
        for container in &self.container_definitions {
            if network_mode == Some("none") && !container.port_mappings.is_empty() {
                return Err(client("Port mappings are not supported when networkMode=none."));
            }
            if !container.links.is_empty() && !matches!(network_mode, None | Some("bridge")) {
                return Err(client("Links are not supported when networkMode is not bridge."));
            }
            if !matches!(network_mode, Some("awsvpc" | "host")) {
                continue;
            }
            let differs = container.port_mappings.iter().any(|mapping| {
                mapping.host_port.is_some_and(|host| Some(host) != mapping.container_port)
            });
            if differs {
                let mode = network_mode.unwrap_or_default();
                return Err(client(format!(
                    "When networkMode={mode}, the host ports and container ports in port mappings \
                     must match."
                )));
            }
        }
        Ok(())
    }

    fn requires(&self, compatibility: &str) -> bool {
        self.requires_compatibilities.iter().any(|required| required == compatibility)
    }

    /// The launch types that the definition is fit for.
    fn compatibilities(&self) -> Vec<&'static str> {
        let awsvpc = self.network_mode.as_deref() == Some("awsvpc");
        let fit = [
            ("EXTERNAL", !awsvpc),
            ("EC2", true),
            ("FARGATE", self.check_fargate().is_ok()),
            ("MANAGED_INSTANCES", self.requires("MANAGED_INSTANCES")),
        ];
        fit.into_iter().filter_map(|(name, fit)| fit.then_some(name)).collect()
    }
}

impl Ecs {
    pub(super) fn register_task_definition(&self, mut request: Value) -> Result<Value, Fault> {
        let definition: TaskDefinition = shapes::decode_ref(&request)?;
        definition.check()?;
        let length = json_text(&request).len();
        if length > BYTES_MAX {
            return Err(client(format!(
                "Actual length: '{length}'. Max allowed length is '{BYTES_MAX}' bytes."
            ))
            .into());
        }
        complete(&mut request, &definition);
        let family = definition.family.as_str();
        self.db.write(|tx| {
            let revision: i64 = tx
                .prepare_cached(
                    "SELECT coalesce(max(revision), 0) + 1 FROM ecs_task_definitions WHERE family = ?1",
                )?
                .query_row([family], |row| row.get(0))?;
            let arn = arn::task_definition(family, revision);
            request["revision"] = json!(revision);
            request["taskDefinitionArn"] = json!(arn);
            request["status"] = json!("ACTIVE");
            tx.prepare_cached(
                "INSERT INTO ecs_task_definitions (family, revision, status, definition)
                 VALUES (?1, ?2, 'ACTIVE', ?3)",
            )?
            .execute((family, revision, json_text(&request)))?;
            tags::put(tx, &arn, &definition.tags)?;
            Ok(json!({ "taskDefinition": request, "tags": tags::answer(tx, &arn)? }))
        })
    }

    pub(super) fn describe_task_definition(
        &self,
        request: &DescribeTaskDefinition,
    ) -> Result<Value, Fault> {
        let reference = TaskDefinitionReference::parse(&request.task_definition)?;
        self.db.read(|connection| {
            let found = find(connection, &reference)?;
            let found = found.ok_or_else(|| client("Unable to describe task definition."))?;
            let definition: Value = parse(&found.text)?;
            let mut answer = json!({ "taskDefinition": definition });
            if request.include.iter().any(|field| field == "TAGS") {
                let arn = arn::task_definition(reference.family, found.revision);
                answer["tags"] = tags::answer(connection, &arn)?;
            }
            Ok(answer)
        })
    }

    pub(super) fn deregister_task_definition(
        &self,
        request: &DeregisterTaskDefinition,
    ) -> Result<Value, Fault> {
        let reference = TaskDefinitionReference::parse(&request.task_definition)?;
        if reference.revision.is_none() {
            return Err(client("Task definition must have a revision, as family:revision.").into());
        }
        self.db.write(|tx| {
            let found = find(tx, &reference)?;
            let found = found.ok_or_else(|| client("Unable to describe task definition."))?;
            let mut definition: Value = parse(&found.text)?;
            // Deregistering once more changes nothing.
            if found.is_active {
                definition["status"] = json!("INACTIVE");
                definition["deregisteredAt"] = Epoch::now().api();
                tx.prepare_cached(
                    "UPDATE ecs_task_definitions SET status = 'INACTIVE', definition = ?3
                     WHERE family = ?1 AND revision = ?2",
                )?
                .execute((
                    reference.family,
                    found.revision,
                    json_text(&definition),
                ))?;
            }
            Ok(json!({ "taskDefinition": definition }))
        })
    }

    pub(super) fn list_task_definitions(
        &self,
        request: &ListTaskDefinitions,
    ) -> Result<Value, Fault> {
        let limit = paging::limit(request.max_results)?;
        let after = paging::after(request.next_token.as_deref())?;
        let after = after.as_deref().map(TaskDefinitionReference::parse).transpose()?;
        let (order, compare) = match request.sort.as_deref() {
            Some("DESC") => ("DESC", "<"),
            _ => ("ASC", ">"),
        };
        let sql = format!(
            "SELECT family, revision FROM ecs_task_definitions
             WHERE status = ?1 AND (?2 IS NULL OR family = ?2)
               AND (?3 IS NULL OR (family, revision) {compare} (?3, ?4))
             ORDER BY family {order}, revision {order} LIMIT ?5"
        );
        let parameters = (
            request.status.as_deref().unwrap_or("ACTIVE"),
            request.family_prefix.as_deref(),
            after.as_ref().map(|after| after.family),
            after.as_ref().and_then(|after| after.revision),
            limit + 1,
        );
        let found: Vec<(String, i64)> = self.db.read(|connection| {
            connection
                .prepare_cached(&sql)?
                .query_map(parameters, |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<_>>()
        })?;
        let (found, next) =
            paging::page(found, limit, |(family, revision)| format!("{family}:{revision}"));
        let arns: Vec<_> =
            found.iter().map(|(family, n)| arn::task_definition(family, *n)).collect();
        let next = next.map(Value::String);
        Ok(object([("taskDefinitionArns", Some(json!(arns))), ("nextToken", next)]))
    }

    pub(super) fn list_task_definition_families(
        &self,
        request: &ListTaskDefinitions,
    ) -> Result<Value, Fault> {
        let limit = paging::limit(request.max_results)?;
        let after = paging::after(request.next_token.as_deref())?.unwrap_or_default();
        let prefix = request.family_prefix.as_deref().unwrap_or_default();
        let parameters = (after, prefix, request.status.as_deref().unwrap_or("ALL"), limit + 1);
        let families: Vec<String> = self.db.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT family FROM ecs_task_definitions
                     WHERE family > ?1 AND substr(family, 1, length(?2)) = ?2
                     GROUP BY family
                     HAVING ?3 = 'ALL' OR (?3 = 'ACTIVE') = (sum(status = 'ACTIVE') > 0)
                     ORDER BY family LIMIT ?4",
                )?
                .query_map(parameters, |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()
        })?;
        let (families, next) = paging::page(families, limit, Clone::clone);
        let next = next.map(Value::String);
        Ok(object([("families", Some(json!(families))), ("nextToken", next)]))
    }
}

/// Fills in what ECS shows of a definition whether or not it was written.
fn complete(request: &mut Value, definition: &TaskDefinition) {
    if let Some(cpu) = definition.cpu.as_deref().and_then(fargate::cpu_units) {
        request["cpu"] = json!(cpu.to_string());
    }
    if let Some(memory) = definition.memory.as_deref().and_then(fargate::memory_mib) {
        request["memory"] = json!(memory.to_string());
    }
    request["compatibilities"] = json!(definition.compatibilities());
    request["requiresAttributes"] = json!([]);
    request["registeredAt"] = Epoch::now().api();
    request["registeredBy"] = json!(format!("arn:aws:iam::{ACCOUNT_ID}:root"));
    let Some(members) = request.as_object_mut() else { return };
    members.remove("tags");
    for name in ["volumes", "placementConstraints"] {
        members.entry(name).or_insert_with(|| json!([]));
    }
    let awsvpc = matches!(definition.network_mode.as_deref(), Some("awsvpc" | "host"));
    let containers = members.get_mut("containerDefinitions").and_then(Value::as_array_mut);
    for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
        container.entry("cpu").or_insert_with(|| json!(0));
        container.entry("essential").or_insert_with(|| json!(true));
        for name in ["environment", "mountPoints", "portMappings", "volumesFrom", "systemControls"]
        {
            container.entry(name).or_insert_with(|| json!([]));
        }
        let mappings = container.get_mut("portMappings").and_then(Value::as_array_mut);
        for mapping in mappings.into_iter().flatten().filter_map(Value::as_object_mut) {
            mapping.entry("protocol").or_insert_with(|| json!("tcp"));
            let port = mapping.get("containerPort").cloned();
            if let Some(port) = port {
                let host_port = if awsvpc { port } else { json!(0) };
                mapping.entry("hostPort").or_insert(host_port);
            }
        }
    }
}

/// A stored task definition.
#[derive(Debug)]
pub(super) struct Stored {
    pub revision: i64,
    pub is_active: bool,
    /// The definition, as JSON.
    pub text: String,
}

/// Looks a definition up; without a revision the latest that is active.
pub(super) fn find(
    connection: &Connection,
    reference: &TaskDefinitionReference<'_>,
) -> rusqlite::Result<Option<Stored>> {
    connection
        .prepare_cached(
            "SELECT revision, status = 'ACTIVE', definition FROM ecs_task_definitions
             WHERE family = ?1 AND (revision = ?2 OR (?2 IS NULL AND status = 'ACTIVE'))
             ORDER BY revision DESC LIMIT 1",
        )?
        .query_row((reference.family, reference.revision), |row| {
            Ok(Stored { revision: row.get(0)?, is_active: row.get(1)?, text: row.get(2)? })
        })
        .optional()
}

/// Reads a stored definition.
pub(super) fn parse<T: serde::de::DeserializeOwned>(text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(2, Type::Text, error.into()))
}

/// The status of a revision, if there is one.
pub(super) fn status(
    connection: &Connection,
    family: &str,
    revision: i64,
) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached(
            "SELECT status FROM ecs_task_definitions WHERE family = ?1 AND revision = ?2",
        )?
        .query_row((family, revision), |row| row.get(0))
        .optional()
}
