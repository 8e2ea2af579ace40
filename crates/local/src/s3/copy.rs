//! `CopyObject` and `UploadPartCopy`: bytes that come from another object.

use std::fs::File;

use axum::http::StatusCode;
use s3s::{
    S3ErrorCode, S3Request,
    dto::{
        ChecksumType, CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource, ETag,
        MetadataDirective, Range, TaggingDirective,
    },
};

use super::{
    S3, buckets,
    conditions::{ReadConditions, WriteConditions},
    digests::{Algorithm, Hasher, show_checksum},
    door::RequestId,
    fault::{Fault, refuse, refuse_as},
    get::check_version,
    notification::Cause,
    objects::{NewObject, Object, Properties},
    put::take_properties,
    tagging,
};
use crate::hex::hex;

impl S3 {
    pub(super) async fn copy(
        &self,
        request: S3Request<CopyObjectInput>,
    ) -> Result<CopyObjectOutput, Fault> {
        let S3Request { mut input, extensions, headers, .. } = request;
        self.db.read(|connection| buckets::check(connection, &input.bucket))?;
        let conditions = ReadConditions {
            etag: input.copy_source_if_match.take(),
            other_etag: input.copy_source_if_none_match.take(),
            modified_since: input.copy_source_if_modified_since.take(),
            unmodified_since: input.copy_source_if_unmodified_since.take(),
        };
        let (source, file) = self.open_source(&input.copy_source, &conditions).await?;
        let algorithm = match &input.checksum_algorithm {
            Some(algorithm) => Algorithm::named(algorithm.as_str())?,
            None => source.checksum.algorithm,
        };
        let range = 0..source.size;
        let (properties, tags) = copied(&mut input, source)?;

        let hasher = Hasher::new(algorithm);
        let (draft, digests) = self.blobs.copy(&input.bucket, file, range, hasher).await?;
        // `s3s` does not read these two for a copy.
        let condition = |name| {
            let value = headers.get(name).map(axum::http::HeaderValue::as_bytes);
            value.map(s3s::dto::ETagCondition::parse_http_header).transpose().map_err(|_| {
                refuse(S3ErrorCode::InvalidArgument, format!("The header {name} has no ETag."))
            })
        };
        let conditions = WriteConditions::new(condition("if-match")?, condition("if-none-match")?)?;
        let object = self
            .swap_in(
                NewObject {
                    bucket: &input.bucket,
                    key: &input.key,
                    draft,
                    etag: hex(digests.md5),
                    checksum: digests.checksum,
                    parts: Vec::new(),
                    properties,
                    tags,
                    cause: Cause::Copy,
                    request_id: RequestId::of(&extensions),
                },
                &conditions,
                |_| Ok(Vec::new()),
            )
            .await?;
        let mut result = CopyObjectResult {
            last_modified: Some(object.modified()),
            checksum_type: Some(ChecksumType::from_static(object.checksum.scope.name())),
            e_tag: Some(ETag::Strong(object.etag)),
            ..CopyObjectResult::default()
        };
        show_checksum!(result, object.checksum);
        Ok(CopyObjectOutput { copy_object_result: Some(result), ..CopyObjectOutput::default() })
    }

    /// The object that a copy is made of, if it is what the client takes it for.
    pub(super) async fn open_source(
        &self,
        source: &CopySource,
        conditions: &ReadConditions,
    ) -> Result<(Object, File), Fault> {
        let CopySource::Bucket { bucket, key, version_id } = source else {
            return Err(S3ErrorCode::NotImplemented.into());
        };
        check_version(version_id.as_deref())?;
        let (object, file) =
            self.open_object(bucket, key).await.map_err(|fault| fault.about(bucket, key))?;
        // https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
        // For a copy an unmodified source is a failed precondition too.
        match conditions.check(&object.etag, &object.modified()) {
            Ok(()) if object.properties.archive_class().is_some() => Err(refuse_as(
                "ObjectNotInActiveTierError",
                StatusCode::FORBIDDEN,
                "The source object of the COPY action is not in the active tier.",
            )),
            Ok(()) => Ok((object, file)),
            Err(unmet) => {
                let condition = format!("x-amz-copy-source-{}", unmet.header());
                Err(Fault::from(S3ErrorCode::PreconditionFailed).with("Condition", &condition))
            }
        }
    }
}

/// What a copy takes over from its source, and what the request gives it.
fn copied(
    input: &mut CopyObjectInput,
    source: Object,
) -> Result<(Properties, Vec<(String, String)>), Fault> {
    let replace =
        replaces(input.metadata_directive.as_ref().map(MetadataDirective::as_str), "metadata")?;
    let replace_tags =
        replaces(input.tagging_directive.as_ref().map(TaggingDirective::as_str), "tagging")?;
    let onto_itself = matches!(
        &input.copy_source,
        CopySource::Bucket { bucket, key, .. } if **bucket == *input.bucket && **key == *input.key
    );
    let changes = replace
        || replace_tags
        || input.storage_class.is_some()
        || input.website_redirect_location.is_some()
        || input.server_side_encryption.is_some()
        || input.checksum_algorithm.is_some();
    if onto_itself && !changes {
        return Err(refuse(
            S3ErrorCode::InvalidRequest,
            "This copy request is illegal because it is trying to copy an object to itself \
             without changing the object's metadata, storage class, website redirect location or \
             encryption attributes.",
        ));
    }
    let mut given = take_properties!(input);
    // Neither is ever taken over from the source.
    let properties = Properties {
        website_redirect_location: given.website_redirect_location.take(),
        storage_class: given.storage_class.take(),
        ..if replace { given } else { Properties { upload: None, ..source.properties } }
    };
    let tags =
        if replace_tags { tagging::read_header(input.tagging.as_deref())? } else { source.tags };
    Ok((properties, tags))
}

fn replaces(directive: Option<&str>, name: &str) -> Result<bool, Fault> {
    match directive {
        None | Some("COPY") => Ok(false),
        Some("REPLACE") => Ok(true),
        Some(_) => Err(refuse(S3ErrorCode::InvalidArgument, format!("Unknown {name} directive."))),
    }
}

/// The range of an `UploadPartCopy`, which must lie within the source.
pub(super) fn source_range(range: Option<&str>, size: u64) -> Result<std::ops::Range<u64>, Fault> {
    let Some(text) = range else { return Ok(0..size) };
    match Range::parse(text) {
        Ok(Range::Int { first, last: Some(last) }) if last < size => Ok(first..last + 1),
        Ok(Range::Int { last: Some(_), .. }) => Err(refuse(
            S3ErrorCode::InvalidRange,
            format!("Range specified is not valid for source object of size: {size}"),
        )),
        _ => Err(refuse(
            S3ErrorCode::InvalidArgument,
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first \
             and last are the zero-based offsets of the first and last bytes to copy",
        )),
    }
}
