//! S3's events as EventBridge has them, to be written.
//!
//! Filled by `s3` alone. <https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html>

use serde::Serialize;

/// An event of S3's in EventBridge's envelope.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Enveloped<'a> {
    pub(super) version: &'static str,
    pub(super) id: &'a str,
    pub(super) detail_type: &'a str,
    pub(super) source: &'static str,
    pub(super) account: &'static str,
    pub(super) time: &'a str,
    pub(super) region: &'a str,
    pub(super) resources: [String; 1],
    pub(super) detail: Detail<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Detail<'a> {
    pub(super) version: &'static str,
    pub(super) bucket: Named<'a>,
    pub(super) object: ObjectDetail<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) requester: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source_ip_address: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) deletion_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) restore_expiry_time: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source_storage_class: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) destination_storage_class: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) destination_access_tier: Option<&'a str>,
}

#[derive(Serialize)]
pub(super) struct Named<'a> {
    pub(super) name: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct ObjectDetail<'a> {
    pub(super) key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) etag: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sequencer: Option<&'a str>,
}
