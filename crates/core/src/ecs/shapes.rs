//! Shapes that the `RunTask` and the `RegisterTaskDefinition` request share.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A name and its value.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct KeyValuePair {
    /// The name, such as that of an environment variable.
    pub name: String,
    /// The value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// A file of environment variables.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct EnvironmentFile {
    /// ARN of an S3 object ending in `.env`.
    pub value: String,
    /// Where the file lies.
    pub r#type: EnvironmentFileType,
}

/// Where a file of environment variables lies.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EnvironmentFileType {
    /// In S3.
    S3,
}

/// A device that a container needs.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct ResourceRequirement {
    /// How many GPUs, or the name of a device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// What kind of device.
    pub r#type: ResourceType,
    /// How a GPU is shared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sharing_strategy: Option<SharingStrategy>,
}

/// A kind of device.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub enum ResourceType {
    /// Graphics processors.
    #[serde(rename = "GPU")]
    Gpu,
    /// Elastic Inference accelerators.
    InferenceAccelerator,
    /// AWS Neuron devices.
    NeuronDevice,
}

/// How containers share a GPU.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct SharingStrategy {
    /// A share of an NVIDIA GPU, by its Multi-Process Service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nvidia_mps: Option<NvidiaMpsAllocation>,
}

/// A share of an NVIDIA GPU.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct NvidiaMpsAllocation {
    /// GPU memory, in MiB.
    pub memory: i32,
    /// Largest share of the GPU's threads, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_compute_percent: Option<i32>,
}

/// A tag.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Tag {
    /// Key, at most 128 characters.
    pub key: String,
    /// Value, at most 256 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}
