//! `GetObject`, `HeadObject` and `GetObjectAttributes`: an object, a range or a part of it, and what is known of it.

use std::{fs::File, ops::Range};

use axum::http::StatusCode;
use s3s::{
    S3ErrorCode,
    dto::{
        self, ChecksumType, ETag, GetObjectAttributesInput, GetObjectAttributesOutput,
        GetObjectAttributesParts, GetObjectInput, GetObjectOutput, HeadObjectInput,
        HeadObjectOutput, ObjectAttributes, ObjectPart, StorageClass,
    },
};

use super::{
    S3, blobs,
    conditions::ReadConditions,
    digests::show_checksum,
    fault::{Fault, refuse, refuse_argument, refuse_as},
    listing::page_size,
    objects::Object,
};

/// How often a read starts over because the object was replaced under it.
const TRIES: usize = 16;

/// The type of an object that came without one.
const DEFAULT_CONTENT_TYPE: &str = "binary/octet-stream";

/// Sets the fields that `GetObject` and `HeadObject` share.
macro_rules! describe {
    ($output:expr, $object:expr, $slice:expr, $with_checksum:expr) => {{
        let Object { size, etag, checksum, parts, properties, .. } = $object;
        $output.content_length = i64::try_from($slice.range.end - $slice.range.start).ok();
        $output.content_range = $slice.content_range(size);
        $output.parts_count = $slice.part.and_then(|_| i32::try_from(parts.len()).ok());
        $output.accept_ranges = Some("bytes".to_owned());
        $output.e_tag = Some(ETag::Strong(etag));
        $output.content_type =
            Some(properties.content_type.unwrap_or_else(|| DEFAULT_CONTENT_TYPE.to_owned()));
        $output.cache_control = properties.cache_control;
        $output.content_disposition = properties.content_disposition;
        $output.content_encoding = properties.content_encoding;
        $output.content_language = properties.content_language;
        $output.expires = properties.expires.as_deref().and_then(read_http_date);
        $output.website_redirect_location = properties.website_redirect_location;
        $output.storage_class = properties.storage_class.map(StorageClass::from);
        $output.metadata = Some(properties.metadata.into_iter().collect());
        if $with_checksum && !$slice.partial {
            $output.checksum_type = Some(ChecksumType::from_static(checksum.scope.name()));
            show_checksum!($output, checksum);
        }
    }};
}

impl S3 {
    pub(super) async fn get(&self, input: GetObjectInput) -> Result<GetObjectOutput, Fault> {
        check_version(input.version_id.as_deref())?;
        let conditions = ReadConditions {
            etag: input.if_match,
            other_etag: input.if_none_match,
            modified_since: input.if_modified_since,
            unmodified_since: input.if_unmodified_since,
        };
        let (object, file) = self.open_object(&input.bucket, &input.key).await?;
        conditions
            .check(&object.etag, &object.modified())
            .map_err(|unmet| unmet.answer(&object.etag))?;
        check_tier(&object)?;
        let slice = Slice::new(&object, input.range, input.part_number)?;
        let body = blobs::read(file, slice.range.clone()).await?;
        let mut output = GetObjectOutput {
            body: Some(body),
            last_modified: Some(object.modified()),
            tag_count: i32::try_from(object.tags.len()).ok().filter(|&count| count > 0),
            ..GetObjectOutput::default()
        };
        let with_checksum = input.checksum_mode.is_some();
        describe!(output, object, slice, with_checksum);
        Ok(output)
    }

    pub(super) fn head(&self, input: HeadObjectInput) -> Result<HeadObjectOutput, Fault> {
        check_version(input.version_id.as_deref())?;
        let conditions = ReadConditions {
            etag: input.if_match,
            other_etag: input.if_none_match,
            modified_since: input.if_modified_since,
            unmodified_since: input.if_unmodified_since,
        };
        let object = self.object(&input.bucket, &input.key)?;
        conditions
            .check(&object.etag, &object.modified())
            .map_err(|unmet| unmet.answer(&object.etag))?;
        let slice = Slice::new(&object, input.range, input.part_number)?;
        let mut output = HeadObjectOutput {
            last_modified: Some(object.modified()),
            ..HeadObjectOutput::default()
        };
        let with_checksum = input.checksum_mode.is_some();
        describe!(output, object, slice, with_checksum);
        Ok(output)
    }

    pub(super) fn attributes(
        &self,
        input: &GetObjectAttributesInput,
    ) -> Result<GetObjectAttributesOutput, Fault> {
        check_version(input.version_id.as_deref())?;
        let object = self.object(&input.bucket, &input.key)?;
        let lists = || input.object_attributes.iter().flat_map(|list| list.as_str().split(','));
        let wanted = |name: &str| lists().any(|attribute| attribute.trim() == name);
        let mut output = GetObjectAttributesOutput {
            last_modified: Some(object.modified()),
            ..GetObjectAttributesOutput::default()
        };
        if wanted(ObjectAttributes::OBJECT_PARTS) && !object.parts.is_empty() {
            let max = page_size("max-parts", input.max_parts, 1000)?;
            let marker = input.part_number_marker.unwrap_or(0);
            output.object_parts = Some(attributes_of_parts(&object, marker, max));
        }
        if wanted(ObjectAttributes::STORAGE_CLASS) {
            let class = object.properties.storage_class;
            output.storage_class = Some(
                class.map_or_else(|| StorageClass::from_static(StorageClass::STANDARD), Into::into),
            );
        }
        output.object_size =
            i64::try_from(object.size).ok().filter(|_| wanted(ObjectAttributes::OBJECT_SIZE));
        if wanted(ObjectAttributes::ETAG) {
            output.e_tag = Some(ETag::Strong(object.etag));
        }
        // Here alone a composite checksum is told without the count of its parts, which stands beside it.
        let mut checksum = object.checksum;
        checksum.value.truncate(checksum.value.find('-').unwrap_or(checksum.value.len()));
        output.checksum = wanted(ObjectAttributes::CHECKSUM).then(|| checksum.shown());
        Ok(output)
    }

    /// An object's row and the bytes that belong to it.
    pub(super) async fn open_object(
        &self,
        bucket: &str,
        key: &str,
    ) -> Result<(Object, File), Fault> {
        for _ in 0..TRIES {
            let object = self.object(bucket, key)?;
            if let Some(file) = self.blobs.open(bucket, &object.blob).await? {
                return Ok((object, file));
            }
        }
        Err(refuse(S3ErrorCode::InternalError, "The object's bytes are gone from the disk."))
    }
}

fn attributes_of_parts(object: &Object, marker: i32, max: u32) -> GetObjectAttributesParts {
    let mut rest = object.parts.iter().filter(|part| part.number > marker);
    let parts: Vec<ObjectPart> = rest
        .by_ref()
        .take(max as usize)
        .map(|part| {
            let mut shown = ObjectPart {
                part_number: Some(part.number),
                size: i64::try_from(part.size).ok(),
                ..ObjectPart::default()
            };
            show_checksum!(shown, part.checksum.clone());
            shown
        })
        .collect();
    GetObjectAttributesParts {
        is_truncated: Some(rest.next().is_some()),
        max_parts: Some(max.cast_signed()),
        part_number_marker: Some(marker),
        next_part_number_marker: parts.last().and_then(|part| part.part_number),
        total_parts_count: i32::try_from(object.parts.len()).ok(),
        parts: Some(parts),
    }
}

/// What of an object is read.
#[derive(Debug)]
struct Slice {
    range: Range<u64>,
    /// Whether the answer is a 206.
    partial: bool,
    part: Option<i32>,
}

impl Slice {
    fn new(object: &Object, range: Option<dto::Range>, part: Option<i32>) -> Result<Self, Fault> {
        let size = object.size;
        let (range, partial) = match (range, part) {
            (None, None) => (0..size, false),
            (Some(range), None) => {
                let unsatisfiable = |_| {
                    Fault::from(S3ErrorCode::InvalidRange)
                        .with("RangeRequested", &range.to_header_string())
                        .with("ActualObjectSize", &size.to_string())
                };
                (range.check(size).map_err(unsatisfiable)?, true)
            }
            (None, Some(number)) => (part_range(object, number)?, size > 0),
            (Some(_), Some(_)) => {
                return Err(refuse(
                    S3ErrorCode::InvalidRequest,
                    "Cannot specify both Range header and partNumber query parameter.",
                ));
            }
        };
        let part = part.filter(|_| !object.parts.is_empty());
        Ok(Self { range, partial, part })
    }

    fn content_range(&self, size: u64) -> Option<String> {
        let Range { start, end } = &self.range;
        self.partial.then(|| format!("bytes {start}-{}/{size}", end.saturating_sub(1)))
    }
}

/// Where a part lies; an object that came in one piece is its own part 1.
fn part_range(object: &Object, number: i32) -> Result<Range<u64>, Fault> {
    if object.parts.is_empty() && number == 1 {
        return Ok(0..object.size);
    }
    let index = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
    let part = index.and_then(|index| Some((index, object.parts.get(index)?)));
    let Some((index, part)) = part else {
        return Err(refuse_as(
            "InvalidPartNumber",
            StatusCode::RANGE_NOT_SATISFIABLE,
            "The requested partnumber is not satisfiable",
        ));
    };
    let start = object.parts[..index].iter().map(|part| part.size).sum();
    Ok(start..start + part.size)
}

/// Refuses a version other than the only one, which S3 calls `null` where versions are not kept.
/// Refuses to read what would have to be restored first.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
// "Before you can retrieve an object from these storage classes, you must first restore a copy using RestoreObject."
fn check_tier(object: &Object) -> Result<(), Fault> {
    match object.properties.archive_class() {
        None => Ok(()),
        Some(class) => Err(refuse(
            S3ErrorCode::InvalidObjectState,
            "The operation is not valid for the object's storage class",
        )
        .with("StorageClass", class)),
    }
}

pub(super) fn check_version(version: Option<&str>) -> Result<(), Fault> {
    match version {
        None | Some("null" | "") => Ok(()),
        // An id of S3 is no shorter.
        Some(version) if version.len() < 32 => {
            Err(refuse_argument("versionId", version, "Invalid version id specified"))
        }
        Some(_) => Err(S3ErrorCode::NoSuchVersion.into()),
    }
}

fn read_http_date(text: &str) -> Option<dto::Timestamp> {
    dto::Timestamp::parse(dto::TimestampFormat::HttpDate, text).ok()
}
