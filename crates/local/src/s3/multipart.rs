//! Multipart uploads: parts come in one by one, and become an object together.
//!
//! The bytes of a part are a blob of its own; completing strings the blobs together and swaps the object in, in one
//! transaction with the end of the upload.

use rusqlite::{Connection, OptionalExtension, Transaction};
use s3s::{
    S3ErrorCode, S3Request,
    dto::{
        self, AbortMultipartUploadInput, ChecksumAlgorithm, ChecksumType,
        CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedPart, CopyPartResult,
        CreateMultipartUploadInput, CreateMultipartUploadOutput, ETag, UploadPartCopyInput,
        UploadPartCopyOutput, UploadPartInput, UploadPartOutput,
    },
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    S3,
    blobs::Draft,
    buckets,
    conditions::{ReadConditions, WriteConditions},
    copy::source_range,
    digests::{Algorithm, Checksum, Digests, Hasher, Scope, crc_checksum, mismatch, show_checksum},
    door::RequestId,
    fault::{Fault, refuse, refuse_argument},
    notification::{Cause, encode_key},
    objects::{NewObject, Object, PartOfObject, Properties, Tags, timestamp},
    put::{Incoming, take_properties},
    tagging,
};
use crate::hex::hex;

// https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
const PART_BYTES_MIN: u64 = 5 * 1024 * 1024;
const PARTS_MAX: i32 = 10_000;

/// How the checksum of the object comes about.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(super) struct Summing {
    pub(super) algorithm: Algorithm,
    pub(super) scope: Scope,
    /// Whether the client chose it.
    pub(super) chosen: bool,
}

/// An upload that is under way.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) summing: Summing,
    properties: Properties,
    tags: Tags,
}

/// A part that has come in.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) number: i32,
    blob: String,
    pub(super) size: u64,
    pub(super) etag: String,
    pub(super) modified_at: i64,
    pub(super) checksum: Checksum,
}

impl S3 {
    pub(super) fn create_upload(
        &self,
        mut input: CreateMultipartUploadInput,
    ) -> Result<CreateMultipartUploadOutput, Fault> {
        let summing = summing(input.checksum_algorithm.as_ref(), input.checksum_type.as_ref())?;
        let properties = take_properties!(input);
        let tags = tagging::read_header(input.tagging.as_deref())?;
        let id = Uuid::now_v7().simple().to_string();
        self.db.write(|tx| {
            buckets::check(tx, &input.bucket)?;
            tx.prepare_cached("INSERT INTO s3_uploads VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
                .execute((
                    &id,
                    &input.bucket,
                    input.key.as_bytes(),
                    jiff::Timestamp::now().as_second(),
                    serde_json::to_string(&summing)?,
                    serde_json::to_string(&properties)?,
                    serde_json::to_string(&tags)?,
                ))?;
            Ok::<_, Fault>(())
        })?;
        let name = summing.algorithm.name();
        Ok(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            checksum_algorithm: summing.chosen.then(|| ChecksumAlgorithm::from_static(name)),
            checksum_type: summing.chosen.then(|| ChecksumType::from_static(summing.scope.name())),
            ..CreateMultipartUploadOutput::default()
        })
    }

    pub(super) async fn put_part(
        &self,
        request: S3Request<UploadPartInput>,
    ) -> Result<UploadPartOutput, Fault> {
        let S3Request { mut input, headers, extensions, .. } = request;
        check_part_number(input.part_number)?;
        let upload = self.upload(&input.bucket, &input.key, &input.upload_id)?;
        let body = input.body.take();
        let incoming = Incoming::read(&headers, &extensions, input.content_length)?;
        let hasher = incoming.announced.hasher(upload.summing.algorithm);
        let (draft, digests) = self.blobs.receive(&input.bucket, body, hasher).await?;
        incoming.check(&draft, &digests)?;
        let target = (&*input.bucket, &*input.key, &*input.upload_id, input.part_number);
        let part = self.store_part(target, draft, &digests).await?;
        let mut output = UploadPartOutput {
            e_tag: Some(ETag::Strong(part.etag)),
            ..UploadPartOutput::default()
        };
        if incoming.announced.algorithm().is_some() || upload.summing.chosen {
            show_checksum!(output, digests.told().clone());
        }
        Ok(output)
    }

    pub(super) async fn copy_part(
        &self,
        mut input: UploadPartCopyInput,
    ) -> Result<UploadPartCopyOutput, Fault> {
        check_part_number(input.part_number)?;
        let upload = self.upload(&input.bucket, &input.key, &input.upload_id)?;
        let conditions = ReadConditions {
            etag: input.copy_source_if_match.take(),
            other_etag: input.copy_source_if_none_match.take(),
            modified_since: input.copy_source_if_modified_since.take(),
            unmodified_since: input.copy_source_if_unmodified_since.take(),
        };
        let (source, file) = self.open_source(&input.copy_source, &conditions).await?;
        let range = source_range(input.copy_source_range.as_deref(), source.size)?;
        let hasher = Hasher::new(upload.summing.algorithm);
        let (draft, digests) = self.blobs.copy(&input.bucket, file, range, hasher).await?;
        let target = (&*input.bucket, &*input.key, &*input.upload_id, input.part_number);
        let part = self.store_part(target, draft, &digests).await?;
        let mut result = CopyPartResult {
            e_tag: Some(ETag::Strong(part.etag)),
            last_modified: Some(timestamp(part.modified_at)),
            ..CopyPartResult::default()
        };
        if upload.summing.chosen {
            show_checksum!(result, part.checksum);
        }
        Ok(UploadPartCopyOutput {
            copy_part_result: Some(result),
            ..UploadPartCopyOutput::default()
        })
    }

    async fn store_part(
        &self,
        (bucket, key, upload, number): (&str, &str, &str, i32),
        draft: Draft,
        digests: &Digests,
    ) -> Result<Part, Fault> {
        let part = Part {
            number,
            blob: draft.name().to_owned(),
            size: draft.size(),
            etag: hex(digests.md5),
            modified_at: jiff::Timestamp::now().as_second(),
            checksum: digests.checksum.clone(),
        };
        let stale = self.db.write(|tx| {
            // It may have ended while the part came in.
            find_upload(tx, bucket, key, upload)?;
            let stale = tx
                .prepare_cached("SELECT blob FROM s3_parts WHERE upload = ?1 AND number = ?2")?
                .query_row((upload, number), |row| row.get(0))
                .optional()?;
            tx.prepare_cached(
                "INSERT OR REPLACE INTO s3_parts VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute((
                upload,
                number,
                &part.blob,
                part.size.cast_signed(),
                &part.etag,
                part.modified_at,
                serde_json::to_string(&part.checksum)?,
            ))?;
            Ok::<Option<String>, Fault>(stale)
        })?;
        draft.keep();
        self.blobs.discard(bucket, stale.into_iter().collect()).await;
        Ok(part)
    }

    pub(super) async fn complete_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> Result<CompleteMultipartUploadOutput, Fault> {
        let S3Request { mut input, headers, extensions, .. } = request;
        let (bucket, key, id) = (&*input.bucket, &*input.key, &*input.upload_id);
        let conditions = WriteConditions::new(input.if_match.take(), input.if_none_match.take())?;
        let host = headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or("localhost");
        let upload = match self.upload(bucket, key, id) {
            // Whoever did not get the answer asks again.
            Err(fault) => {
                return match self.object(bucket, key) {
                    Ok(object) if object.properties.upload.as_deref() == Some(id) => {
                        Ok(completed(host, bucket, key, object))
                    }
                    _ => Err(fault),
                };
            }
            Ok(upload) => upload,
        };
        let listed = input.multipart_upload.take().and_then(|upload| upload.parts);
        let present = self.db.read(|connection| find_parts(connection, id))?;
        let parts = choose(upload.summing, listed.unwrap_or_default(), &present)?;
        let checksum = checksum_of(upload.summing, &parts);
        check_announced(&input, &checksum, &parts)?;

        let names = parts.iter().map(|part| part.blob.clone()).collect();
        let draft = match self.blobs.concatenate(bucket, names).await {
            Ok(draft) => draft,
            // A part was replaced, or the upload ended, since its parts were read.
            Err(Fault::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => {
                self.upload(bucket, key, id)?;
                return Err(S3ErrorCode::InvalidPart.into());
            }
            Err(fault) => return Err(fault),
        };
        let object = self
            .swap_in(
                NewObject {
                    bucket,
                    key,
                    draft,
                    etag: etag_of(&parts),
                    checksum,
                    parts: parts
                        .iter()
                        .map(|part| PartOfObject {
                            number: part.number,
                            size: part.size,
                            checksum: part.checksum.clone(),
                        })
                        .collect(),
                    properties: Properties { upload: Some(id.to_owned()), ..upload.properties },
                    tags: upload.tags,
                    cause: Cause::CompleteMultipartUpload,
                    request_id: RequestId::of(&extensions),
                },
                &conditions,
                |tx| end_upload(tx, bucket, key, id),
            )
            .await?;
        Ok(completed(host, bucket, key, object))
    }

    pub(super) async fn abort_upload(&self, input: AbortMultipartUploadInput) -> Result<(), Fault> {
        let AbortMultipartUploadInput { bucket, key, upload_id, .. } = input;
        let stale = self.db.write(|tx| end_upload(tx, &bucket, &key, &upload_id))?;
        self.blobs.discard(&bucket, stale).await;
        Ok(())
    }

    pub(super) fn upload(&self, bucket: &str, key: &str, id: &str) -> Result<Upload, Fault> {
        self.db.read(|connection| find_upload(connection, bucket, key, id))
    }
}

fn completed(host: &str, bucket: &str, key: &str, object: Object) -> CompleteMultipartUploadOutput {
    let mut output = CompleteMultipartUploadOutput {
        location: Some(format!("http://{host}/{bucket}/{}", encode_key(key))),
        bucket: Some(bucket.to_owned()),
        key: Some(key.to_owned()),
        checksum_type: Some(ChecksumType::from_static(object.checksum.scope.name())),
        e_tag: Some(ETag::Strong(object.etag)),
        ..CompleteMultipartUploadOutput::default()
    };
    show_checksum!(output, object.checksum);
    output
}

fn check_part_number(number: i32) -> Result<(), Fault> {
    if (1..=PARTS_MAX).contains(&number) {
        return Ok(());
    }
    Err(refuse_argument(
        "partNumber",
        &number.to_string(),
        "Part number must be an integer between 1 and 10000, inclusive",
    ))
}

// https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
fn summing(
    algorithm: Option<&ChecksumAlgorithm>,
    scope: Option<&ChecksumType>,
) -> Result<Summing, Fault> {
    let Some(name) = algorithm.map(ChecksumAlgorithm::as_str) else {
        if scope.is_some() {
            return Err(refuse(
                S3ErrorCode::InvalidRequest,
                "The x-amz-checksum-type header can only be used with the \
                 x-amz-checksum-algorithm header.",
            ));
        }
        let (algorithm, scope) = (Algorithm::Crc64Nvme, Scope::FullObject);
        return Ok(Summing { algorithm, scope, chosen: false });
    };
    let algorithm = Algorithm::named(name)?;
    let scope = match scope.map(ChecksumType::as_str) {
        None if algorithm == Algorithm::Crc64Nvme => Scope::FullObject,
        None => Scope::Composite,
        Some(ChecksumType::FULL_OBJECT) if algorithm.crc().is_some() => Scope::FullObject,
        Some(ChecksumType::COMPOSITE) if algorithm != Algorithm::Crc64Nvme => Scope::Composite,
        Some(scope) => {
            return Err(refuse(
                S3ErrorCode::InvalidRequest,
                format!("The {scope} checksum type cannot be used with the {name} algorithm."),
            ));
        }
    };
    Ok(Summing { algorithm, scope, chosen: true })
}

fn find_upload(
    connection: &Connection,
    bucket: &str,
    key: &str,
    id: &str,
) -> Result<Upload, Fault> {
    buckets::check(connection, bucket)?;
    let row: Option<(String, String, String)> = connection
        .prepare_cached(
            "SELECT summing, properties, tags FROM s3_uploads
             WHERE id = ?1 AND bucket = ?2 AND key = ?3",
        )?
        .query_row((id, bucket, key.as_bytes()), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let (summing, properties, tags) =
        row.ok_or_else(|| Fault::from(S3ErrorCode::NoSuchUpload).with("UploadId", id))?;
    Ok(Upload {
        summing: serde_json::from_str(&summing)?,
        properties: serde_json::from_str(&properties)?,
        tags: serde_json::from_str(&tags)?,
    })
}

/// The parts of an upload, in order.
pub(super) fn find_parts(connection: &Connection, upload: &str) -> Result<Vec<Part>, Fault> {
    let mut select = connection.prepare_cached(
        "SELECT number, blob, size, etag, modified_at, checksum FROM s3_parts
         WHERE upload = ?1 ORDER BY number",
    )?;
    let mut rows = select.query([upload])?;
    let mut parts = Vec::new();
    while let Some(row) = rows.next()? {
        parts.push(Part {
            number: row.get(0)?,
            blob: row.get(1)?,
            size: row.get::<_, i64>(2)?.cast_unsigned(),
            etag: row.get(3)?,
            modified_at: row.get(4)?,
            checksum: serde_json::from_str(&row.get::<_, String>(5)?)?,
        });
    }
    Ok(parts)
}

/// Ends an upload and names the blobs of its parts.
fn end_upload(
    tx: &Transaction<'_>,
    bucket: &str,
    key: &str,
    id: &str,
) -> Result<Vec<String>, Fault> {
    find_upload(tx, bucket, key, id)?;
    let blobs = find_parts(tx, id)?.into_iter().map(|part| part.blob).collect();
    tx.prepare_cached("DELETE FROM s3_uploads WHERE id = ?1")?.execute([id])?;
    Ok(blobs)
}

/// The parts that the client lists, if they are there and may make an object.
fn choose(
    summing: Summing,
    listed: Vec<CompletedPart>,
    present: &[Part],
) -> Result<Vec<Part>, Fault> {
    if listed.is_empty() {
        return Err(S3ErrorCode::MalformedXML.into());
    }
    let ascending = listed.is_sorted_by(|a, b| a.part_number < b.part_number);
    if !ascending {
        return Err(S3ErrorCode::InvalidPartOrder.into());
    }
    let mut chosen = Vec::with_capacity(listed.len());
    for listed in listed {
        let number = listed.part_number.ok_or(S3ErrorCode::MalformedXML)?;
        let found = present.binary_search_by_key(&number, |part| part.number);
        let part = found.map(|index| &present[index]).map_err(|_| S3ErrorCode::InvalidPart)?;
        let etag_fits = listed.e_tag.as_ref().is_none_or(|etag| etag.value() == part.etag);
        let sent = dto::Checksum {
            checksum_crc32: listed.checksum_crc32,
            checksum_crc32c: listed.checksum_crc32c,
            checksum_crc64nvme: listed.checksum_crc64nvme,
            checksum_sha1: listed.checksum_sha1,
            checksum_sha256: listed.checksum_sha256,
            checksum_type: None,
        };
        let checksum_fits = Checksum::sent(summing.algorithm, &sent)
            .is_none_or(|value| value == part.checksum.value);
        if !etag_fits || !checksum_fits {
            return Err(S3ErrorCode::InvalidPart.into());
        }
        chosen.push(part.clone());
    }
    let (_, but_last) = chosen.split_last().expect("at least one part is listed");
    if but_last.iter().any(|part| part.size < PART_BYTES_MIN) {
        return Err(S3ErrorCode::EntityTooSmall.into());
    }
    Ok(chosen)
}

/// The digest of the parts' digests, and their number.
fn etag_of(parts: &[Part]) -> String {
    let mut hasher = Hasher::new(Algorithm::Crc32);
    for part in parts {
        hasher.update(&unhex(&part.etag));
    }
    format!("{}-{}", hex(hasher.finish().md5), parts.len())
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0);
    let pairs = text.as_bytes().chunks_exact(2);
    pairs.filter_map(|pair| u8::try_from(digit(pair[0]) * 16 + digit(pair[1])).ok()).collect()
}

fn checksum_of(summing: Summing, parts: &[Part]) -> Checksum {
    let Summing { algorithm, scope, .. } = summing;
    if let (Scope::FullObject, Some(crc)) = (scope, algorithm.crc()) {
        let whole = parts.iter().fold(None, |whole, part| {
            let bytes = part.checksum.bytes();
            let value = bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte));
            Some(match whole {
                None => value,
                Some(whole) => crc_fast::checksum_combine(crc, whole, value, part.size),
            })
        });
        return crc_checksum(algorithm, whole.unwrap_or_default());
    }
    let mut hasher = Hasher::new(algorithm);
    for part in parts {
        hasher.update(&part.checksum.bytes());
    }
    let mut checksum = hasher.finish().checksum;
    checksum.value = format!("{}-{}", checksum.value, parts.len());
    checksum.scope = Scope::Composite;
    checksum
}

/// Compares the object with what the client says that it must be.
fn check_announced(
    input: &CompleteMultipartUploadInput,
    checksum: &Checksum,
    parts: &[Part],
) -> Result<(), Fault> {
    let size: u64 = parts.iter().map(|part| part.size).sum();
    if input.mpu_object_size.is_some_and(|announced| u64::try_from(announced) != Ok(size)) {
        return Err(refuse(
            S3ErrorCode::InvalidRequest,
            "The provided 'x-amz-mp-object-size' header does not match what was computed.",
        ));
    }
    let scope = input.checksum_type.as_ref().map(ChecksumType::as_str);
    if scope.is_some_and(|scope| scope != checksum.scope.name()) {
        return Err(refuse(
            S3ErrorCode::InvalidRequest,
            "The checksum type is not the one that the upload was created with.",
        ));
    }
    let sent = dto::Checksum {
        checksum_crc32: input.checksum_crc32.clone(),
        checksum_crc32c: input.checksum_crc32c.clone(),
        checksum_crc64nvme: input.checksum_crc64nvme.clone(),
        checksum_sha1: input.checksum_sha1.clone(),
        checksum_sha256: input.checksum_sha256.clone(),
        checksum_type: None,
    };
    match Checksum::sent(checksum.algorithm, &sent) {
        Some(value) if value != checksum.value => Err(mismatch(checksum.algorithm)),
        _ => Ok(()),
    }
}
