//! `ListObjectVersions`, of buckets that have none: each object is the one version of its key, and its id is `null`.

use s3s::{
    S3ErrorCode,
    dto::{ListObjectVersionsInput, ListObjectVersionsOutput, ObjectStorageClass, ObjectVersion},
};

use super::{
    S3,
    fault::{Fault, refuse_argument},
    get::check_version,
    listing::{Encoder, PAGE_MAX, Query, page_size},
};

/// The id of a version that was made without versioning.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/versioning-workflows.html
const UNVERSIONED: &str = "null";

impl S3 {
    pub(super) fn list_versions(
        &self,
        input: ListObjectVersionsInput,
    ) -> Result<ListObjectVersionsOutput, Fault> {
        let max = page_size("max-keys", input.max_keys, PAGE_MAX)?;
        let marker = input.key_marker.unwrap_or_default();
        if marker.is_empty() && input.version_id_marker.as_ref().is_some_and(|it| !it.is_empty()) {
            return Err(refuse_argument(
                "version-id-marker",
                input.version_id_marker.as_deref().unwrap_or_default(),
                "A version-id marker cannot be specified without a key marker.",
            ));
        }
        check_version(input.version_id_marker.as_deref())
            .map_err(|_| Fault::from(S3ErrorCode::InvalidArgument))?;
        let page = self.page(Query {
            bucket: &input.bucket,
            prefix: input.prefix.as_deref().unwrap_or_default(),
            delimiter: input.delimiter.as_deref().unwrap_or_default(),
            after: marker.as_bytes(),
            max,
        })?;
        let encode = Encoder::new(input.encoding_type.as_ref())?;
        // After a common prefix, too, the next page goes on by the key marker; then it has no version.
        let is_prefix = page.next.as_ref().is_some_and(|next| page.common_prefixes.contains(next));
        let next_version = page.next.as_ref().filter(|_| !is_prefix);
        let storage_class = |it: ObjectStorageClass| it.as_str().to_owned().into();
        let versions = encode.objects(page.objects, true).into_iter().map(|object| ObjectVersion {
            key: object.key,
            version_id: Some(UNVERSIONED.to_owned()),
            is_latest: Some(true),
            size: object.size,
            e_tag: object.e_tag,
            last_modified: object.last_modified,
            checksum_algorithm: object.checksum_algorithm,
            checksum_type: object.checksum_type,
            storage_class: object.storage_class.map(storage_class),
            owner: object.owner,
            restore_status: None,
        });
        Ok(ListObjectVersionsOutput {
            name: Some(input.bucket),
            prefix: Some(encode.text(input.prefix.unwrap_or_default())),
            delimiter: input.delimiter.map(|delimiter| encode.text(delimiter)),
            key_marker: Some(encode.text(marker)),
            version_id_marker: Some(input.version_id_marker.unwrap_or_default()),
            next_version_id_marker: next_version.map(|_| UNVERSIONED.to_owned()),
            max_keys: Some(max.cast_signed()),
            is_truncated: Some(page.next.is_some()),
            next_key_marker: page.next.map(|key| encode.text(key)),
            versions: Some(versions.collect()),
            common_prefixes: Some(encode.common_prefixes(page.common_prefixes)),
            encoding_type: input.encoding_type,
            ..ListObjectVersionsOutput::default()
        })
    }
}
