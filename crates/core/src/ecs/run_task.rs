//! The `RunTask` request: what a rule's `target` may say.
//!
//! The types give the rules file its schema. What reaches ECS is the rendered
//! JSON itself (`rules::Target`), so that nothing is lost on the way. Members
//! that `defaults` may supply are optional here; `rules::check` sees to it that
//! they are there in the end.
//!
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html>

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{EnvironmentFile, KeyValuePair, ResourceRequirement, Tag, Templated};

/// A `RunTask` request: what a rule's `target` says. Every string may be a template.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields, extend("examples" = [{ "taskDefinition": "thumbnailer" }]))]
pub struct RunTask {
    /// Capacity providers to spread tasks over, at most 20. Excludes `launchType`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_provider_strategy: Option<Vec<CapacityProviderStrategyItem>>,
    /// Short name or ARN of the cluster; ECS takes `default` when it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// How many tasks to start, 1 to 10. Taskferry takes 1 only: one run is one task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<Templated<i32>>,
    /// Whether ECS adds its own tags (cluster, service) to the task.
    #[serde(rename = "enableECSManagedTags", skip_serializing_if = "Option::is_none")]
    pub enable_ecs_managed_tags: Option<Templated<bool>>,
    /// Whether `ExecuteCommand` may open a session in the task's containers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_execute_command: Option<Templated<bool>>,
    /// Task group, for placement; ECS takes `family:` and the family's name when it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Where the task runs. Excludes `capacityProviderStrategy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launch_type: Option<Templated<LaunchType>>,
    /// Subnets and security groups; needed by task definitions in `awsvpc` mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_configuration: Option<NetworkConfiguration>,
    /// What differs from the task definition, at most 8,192 characters as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overrides: Option<TaskOverride>,
    /// Rules that an instance must meet, at most 10. EC2 only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement_constraints: Option<Vec<PlacementConstraint>>,
    /// How instances are preferred, at most 5 entries. EC2 only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement_strategy: Option<Vec<PlacementStrategy>>,
    /// Fargate's platform version, such as `1.4.0` or `LATEST`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform_version: Option<String>,
    /// Whose tags the task inherits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub propagate_tags: Option<Templated<PropagateTags>>,
    /// Kept by AWS for its own use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference_id: Option<String>,
    /// Who started the task. Refused in a rule: Taskferry writes the run's id here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_by: Option<String>,
    /// Tags of the task, at most 50.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<Tag>>,
    /// Family, `family:revision`, or ARN of the task definition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_definition: Option<String>,
    /// Makes a repeated call start nothing new. Refused in a rule: Taskferry derives it from run
    /// and attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_token: Option<String>,
    /// The EBS volume that is made for the task; at most one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_configurations: Option<Vec<TaskVolumeConfiguration>>,
}

/// One capacity provider's share of the tasks.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct CapacityProviderStrategyItem {
    /// Name of the provider, such as `FARGATE_SPOT`.
    pub capacity_provider: String,
    /// Share of the tasks beyond every `base`, 0 to 1,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<Templated<i32>>,
    /// Tasks that go here before weights count, 0 to 100,000. One provider at most may set it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<Templated<i32>>,
}

/// What kind of capacity runs a task.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LaunchType {
    /// EC2 instances of the cluster.
    Ec2,
    /// AWS Fargate.
    Fargate,
    /// Machines registered with ECS Anywhere.
    External,
    /// ECS Managed Instances; reached through a capacity provider strategy.
    ManagedInstances,
}

/// The network of a task.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct NetworkConfiguration {
    /// Settings of the task's own network interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub awsvpc_configuration: Option<AwsVpcConfiguration>,
}

/// The network interface of a task in `awsvpc` mode.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct AwsVpcConfiguration {
    /// Ids of subnets, 1 to 16, all of one VPC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnets: Option<Vec<String>>,
    /// Ids of security groups, at most 5; the VPC's default group when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_groups: Option<Vec<String>>,
    /// Whether the interface gets a public address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assign_public_ip: Option<Templated<AssignPublicIp>>,
}

/// Whether a network interface gets a public address.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AssignPublicIp {
    /// It gets one.
    Enabled,
    /// It gets none.
    Disabled,
}

/// What differs from the task definition.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct TaskOverride {
    /// Differences per container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_overrides: Option<Vec<ContainerOverride>>,
    /// CPU units of the task (1,024 are one vCPU).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// Elastic Inference devices. AWS ended that service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inference_accelerator_overrides: Option<Vec<InferenceAcceleratorOverride>>,
    /// Role with which ECS pulls images, fetches secrets and writes logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_role_arn: Option<String>,
    /// Memory of the task, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// Role that the containers' code assumes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_role_arn: Option<String>,
    /// Disk space of the task on Fargate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ephemeral_storage: Option<EphemeralStorageOverride>,
}

/// What differs for one container.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct ContainerOverride {
    /// The container's name in the task definition.
    pub name: String,
    /// Replaces the container's command. No shell splits it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Added to the container's environment; a name given there is replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<Vec<KeyValuePair>>,
    /// Files of environment variables; values in `environment` win.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment_files: Option<Vec<EnvironmentFile>>,
    /// CPU units kept for the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Templated<i32>>,
    /// Memory at which the container is killed, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Templated<i32>>,
    /// Memory kept for the container, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_reservation: Option<Templated<i32>>,
    /// GPUs and the like, instead of the definition's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_requirements: Option<Vec<ResourceRequirement>>,
}

/// An Elastic Inference device, overridden.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct InferenceAcceleratorOverride {
    /// Name of the device in the task definition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_name: Option<String>,
    /// Type of the device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_type: Option<String>,
}

/// Disk space of one task on Fargate, instead of the definition's.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct EphemeralStorageOverride {
    /// Size in GiB, 21 to 200.
    #[serde(rename = "sizeInGiB", skip_serializing_if = "Option::is_none")]
    pub size_in_gib: Option<Templated<i32>>,
}

/// A rule that an instance must meet.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct PlacementConstraint {
    /// Which rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#type: Option<Templated<PlacementConstraintType>>,
    /// Expression in the cluster query language, at most 2,000 characters; for `memberOf`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
}

/// A rule for placement.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum PlacementConstraintType {
    /// Each task on an instance of its own.
    DistinctInstance,
    /// Instances that an expression selects.
    MemberOf,
}

/// How instances are preferred.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct PlacementStrategy {
    /// Which preference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#type: Option<Templated<PlacementStrategyType>>,
    /// What to spread over (such as `instanceId`) or to pack by (`cpu`, `memory`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

/// A preference for placement.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PlacementStrategyType {
    /// None.
    Random,
    /// Evenly over the values of a field.
    Spread,
    /// As few instances as possible.
    Binpack,
}

/// Whose tags a resource inherits.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PropagateTags {
    /// The task definition's.
    TaskDefinition,
    /// The service's.
    Service,
    /// Nobody's.
    None,
}

/// A volume configured at launch.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct TaskVolumeConfiguration {
    /// The volume's name in the task definition.
    pub name: String,
    /// The EBS volume to make.
    #[serde(rename = "managedEBSVolume", skip_serializing_if = "Option::is_none")]
    pub managed_ebs_volume: Option<TaskManagedEbsVolumeConfiguration>,
}

/// An EBS volume made for a task.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct TaskManagedEbsVolumeConfiguration {
    /// Whether it is encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encrypted: Option<Templated<bool>>,
    /// Key to encrypt with; AWS's own when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<String>,
    /// Type, such as `gp3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_type: Option<String>,
    /// Size in GiB; may be absent when a snapshot is given.
    #[serde(rename = "sizeInGiB", skip_serializing_if = "Option::is_none")]
    pub size_in_gib: Option<Templated<i32>>,
    /// Snapshot to start from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_id: Option<String>,
    /// Rate of reading the snapshot, in MiB/s, 100 to 300.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_initialization_rate: Option<Templated<i32>>,
    /// Operations a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iops: Option<Templated<i32>>,
    /// Throughput in MiB/s; for `gp3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throughput: Option<Templated<i32>>,
    /// Tags of the volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag_specifications: Option<Vec<EbsTagSpecification>>,
    /// Role with which ECS manages the volume.
    pub role_arn: String,
    /// What becomes of the volume when the task ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub termination_policy: Option<TaskManagedEbsVolumeTerminationPolicy>,
    /// File system; of the snapshot when one is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filesystem_type: Option<Templated<TaskFilesystemType>>,
}

/// Tags of an EBS volume.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct EbsTagSpecification {
    /// What is tagged.
    pub resource_type: Templated<EbsResourceType>,
    /// The tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<Tag>>,
    /// Whose tags the volume inherits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub propagate_tags: Option<Templated<PropagateTags>>,
}

/// What is tagged.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EbsResourceType {
    /// The volume.
    Volume,
}

/// What becomes of a volume when its task ends.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct TaskManagedEbsVolumeTerminationPolicy {
    /// Whether it is deleted; it is unless told.
    pub delete_on_termination: Templated<bool>,
}

/// A file system.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskFilesystemType {
    /// ext3.
    Ext3,
    /// ext4.
    Ext4,
    /// XFS; what Linux tasks get unless told.
    Xfs,
    /// NTFS; Windows.
    Ntfs,
}
