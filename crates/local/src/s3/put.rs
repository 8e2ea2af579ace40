//! `PutObject`: a body comes in, is checked, and becomes the object.

use axum::http::{Extensions, HeaderMap};
use s3s::{
    S3ErrorCode, S3Request,
    dto::{
        ChecksumType, ETag, Metadata, PutObjectInput, PutObjectOutput, StorageClass, Timestamp,
        TimestampFormat,
    },
};

use super::{
    S3,
    blobs::Draft,
    buckets,
    chunked::Trailer,
    conditions::WriteConditions,
    digests::{Algorithm, Announced, Digests, show_checksum},
    door::RequestId,
    fault::{Fault, refuse},
    notification::Cause,
    objects::NewObject,
    tagging,
};
use crate::hex::hex;

/// The most that one upload takes; a multipart upload takes it per part.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
const UPLOAD_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024;

/// The most metadata, names and values together.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
const METADATA_BYTES_MAX: usize = 2048;

impl S3 {
    pub(super) async fn put(
        &self,
        request: S3Request<PutObjectInput>,
        cause: Cause,
    ) -> Result<PutObjectOutput, Fault> {
        let S3Request { mut input, headers, extensions, .. } = request;
        self.db.read(|connection| buckets::check(connection, &input.bucket))?;
        check_key(&input.key)?;
        let conditions = WriteConditions::new(input.if_match.take(), input.if_none_match.take())?;
        let properties = take_properties!(input);
        let tags = tagging::read_header(input.tagging.as_deref())?;

        let body = input.body.take();
        let incoming = Incoming::read(&headers, &extensions, input.content_length)?;
        let algorithm = incoming.announced.algorithm().unwrap_or(Algorithm::Crc64Nvme);
        let hasher = incoming.announced.hasher(algorithm);
        let (draft, digests) = self.blobs.receive(&input.bucket, body, hasher).await?;
        incoming.check(&draft, &digests)?;

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
                    cause,
                    request_id: RequestId::of(&extensions),
                },
                &conditions,
                |_| Ok(Vec::new()),
            )
            .await?;
        let mut output = PutObjectOutput {
            e_tag: Some(ETag::Strong(object.etag)),
            checksum_type: Some(ChecksumType::from_static(object.checksum.scope.name())),
            ..PutObjectOutput::default()
        };
        show_checksum!(output, object.checksum);
        Ok(output)
    }
}

/// What a client announces of the body that it sends.
pub(super) struct Incoming {
    pub(super) announced: Announced,
    length: Option<u64>,
}

impl Incoming {
    pub(super) fn read(
        headers: &HeaderMap,
        extensions: &Extensions,
        length: Option<i64>,
    ) -> Result<Self, Fault> {
        let announced = Announced::read(headers, extensions.get::<Trailer>())?;
        let length = length.and_then(|length| u64::try_from(length).ok());
        if length.is_some_and(|length| length > UPLOAD_BYTES_MAX) {
            return Err(S3ErrorCode::EntityTooLarge.into());
        }
        Ok(Self { announced, length })
    }

    /// Compares what came with what was announced.
    pub(super) fn check(&self, draft: &Draft, digests: &Digests) -> Result<(), Fault> {
        match self.length {
            Some(length) if length != draft.size() => Err(S3ErrorCode::IncompleteBody.into()),
            None if draft.size() > UPLOAD_BYTES_MAX => Err(S3ErrorCode::EntityTooLarge.into()),
            _ => self.announced.check(digests),
        }
    }
}

/// Refuses a key that is longer than S3 takes, where it does not come in the path.
pub(super) fn check_key(key: &str) -> Result<(), Fault> {
    if s3s::path::check_key(key) { Ok(()) } else { Err(S3ErrorCode::KeyTooLongError.into()) }
}

/// What the input of an operation says of the object that it makes. The inputs are generated types that have these members in
/// common and no trait.
macro_rules! take_properties {
    ($input:expr) => {
        $crate::s3::objects::Properties {
            content_type: $input.content_type.take(),
            cache_control: $input.cache_control.take(),
            content_disposition: $input.content_disposition.take(),
            content_encoding: $input.content_encoding.take(),
            content_language: $input.content_language.take(),
            expires: $input.expires.take().as_ref().and_then($crate::s3::put::http_date),
            website_redirect_location: $input.website_redirect_location.take(),
            storage_class: $crate::s3::put::storage_class($input.storage_class.take())?,
            metadata: $crate::s3::put::metadata($input.metadata.take())?,
            upload: None,
        }
    };
}
pub(super) use take_properties;

/// A storage class that S3 has.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
pub(super) fn storage_class(class: Option<StorageClass>) -> Result<Option<String>, Fault> {
    const CLASSES: [&str; 12] = [
        "STANDARD",
        "REDUCED_REDUNDANCY",
        "STANDARD_IA",
        "ONEZONE_IA",
        "INTELLIGENT_TIERING",
        "GLACIER",
        "DEEP_ARCHIVE",
        "OUTPOSTS",
        "GLACIER_IR",
        "SNOW",
        "EXPRESS_ONEZONE",
        "FSX_OPENZFS",
    ];
    match class {
        Some(class) if !CLASSES.contains(&class.as_str()) => {
            let refused = Fault::from(S3ErrorCode::InvalidStorageClass);
            Err(refused.with("StorageClassRequested", class.as_str()))
        }
        class => Ok(class.map(|class| class.as_str().to_owned())),
    }
}

/// A date as HTTP writes it.
pub(super) fn http_date(date: &Timestamp) -> Option<String> {
    let mut text = Vec::new();
    date.format(TimestampFormat::HttpDate, &mut text).ok()?;
    String::from_utf8(text).ok()
}

/// Metadata within S3's size.
pub(super) fn metadata<C>(metadata: Option<Metadata>) -> Result<C, Fault>
where
    C: FromIterator<(String, String)>,
{
    let metadata = metadata.unwrap_or_default();
    let size: usize = metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    if size > METADATA_BYTES_MAX {
        return Err(refuse(
            S3ErrorCode::MetadataTooLarge,
            format!("The metadata takes {size} bytes, and may take {METADATA_BYTES_MAX}."),
        ));
    }
    Ok(metadata.into_iter().collect())
}
