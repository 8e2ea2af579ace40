//! Tags of objects, put with the object or by themselves, and of buckets: read and removed.

use axum::http::StatusCode;
use percent_encoding::percent_decode_str;
use rusqlite::OptionalExtension as _;
use s3s::{
    S3ErrorCode,
    dto::{Tag, TagSet},
};

use super::{
    S3, buckets,
    fault::{Fault, refuse, refuse_as},
    notification::{Cause, Change},
    objects::Tags,
};

// https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html
const OBJECT_TAGS_MAX: usize = 10;
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketTagging.html
const BUCKET_TAGS_MAX: usize = 50;
const KEY_CHARS_MAX: usize = 128;
const VALUE_CHARS_MAX: usize = 256;
const RESERVED: &str = "aws:";

/// The table of buckets' tags: JSON, by bucket.
pub(crate) const BUCKET_TAGS_SCHEMA: &str = "
CREATE TABLE s3_bucket_tags (
    bucket TEXT PRIMARY KEY REFERENCES s3_buckets (name) ON DELETE CASCADE,
    tags TEXT NOT NULL
) WITHOUT ROWID;
";

impl S3 {
    pub(super) fn tags(&self, bucket: &str, key: &str) -> Result<TagSet, Fault> {
        Ok(show(self.object(bucket, key)?.tags))
    }

    pub(super) fn bucket_tags(&self, bucket: &str) -> Result<TagSet, Fault> {
        let tags: Option<String> = self.db.read(|connection| {
            buckets::check(connection, bucket)?;
            let mut found =
                connection.prepare_cached("SELECT tags FROM s3_bucket_tags WHERE bucket = ?1")?;
            Ok::<_, Fault>(found.query_row([bucket], |row| row.get(0)).optional()?)
        })?;
        let tags = tags.ok_or_else(|| {
            refuse_as("NoSuchTagSet", StatusCode::NOT_FOUND, "The TagSet does not exist")
        })?;
        Ok(show(serde_json::from_str(&tags)?))
    }

    /// Replaces the tags of a bucket; no tags are none at all.
    pub(super) fn set_bucket_tags(&self, bucket: &str, tags: Tags) -> Result<(), Fault> {
        let tags = check(tags, "Bucket", BUCKET_TAGS_MAX)?;
        self.db.write(|tx| {
            buckets::check(tx, bucket)?;
            if tags.is_empty() {
                tx.execute("DELETE FROM s3_bucket_tags WHERE bucket = ?1", [bucket])?;
            } else {
                tx.execute(
                    "INSERT OR REPLACE INTO s3_bucket_tags VALUES (?1, ?2)",
                    (bucket, serde_json::to_string(&tags)?),
                )?;
            }
            Ok(())
        })
    }

    /// Replaces the tags of an object, and tells of it.
    pub(super) fn set_tags(
        &self,
        (bucket, key): (&str, &str),
        tags: Tags,
        cause: Cause,
        request_id: &str,
    ) -> Result<(), Fault> {
        let tags = serde_json::to_string(&check(tags, "Object", OBJECT_TAGS_MAX)?)?;
        let nowhere = self.db.write(|tx| {
            let etag: Option<String> = tx
                .prepare_cached(
                    "UPDATE s3_objects SET tags = ?3 WHERE bucket = ?1 AND key = ?2 RETURNING etag",
                )?
                .query_row((bucket, key.as_bytes(), tags), |row| row.get(0))
                .optional()?;
            let Some(etag) = etag else {
                buckets::check(tx, bucket)?;
                return Err(S3ErrorCode::NoSuchKey.into());
            };
            let time = jiff::Timestamp::now();
            let (etag, size, sequencer) = (&*etag, 0, 0);
            self.announce(
                tx,
                &Change { bucket, key, cause, size, etag, sequencer, time, request_id },
            )
        })?;
        self.tell(&nowhere);
        Ok(())
    }
}

fn show(tags: Tags) -> TagSet {
    tags.into_iter().map(|(key, value)| Tag { key: Some(key), value: Some(value) }).collect()
}

/// The tags of a request's body.
pub(super) fn read_set(tags: TagSet) -> Tags {
    let pair = |tag: Tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default());
    tags.into_iter().map(pair).collect()
}

/// The tags of the header `x-amz-tagging`, which is written like a URL's query.
pub(super) fn read_header(header: Option<&str>) -> Result<Tags, Fault> {
    let pairs = header.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    let tags = pairs.map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((decode(key)?, decode(value)?))
    });
    let tags = tags.collect::<Result<Tags, Fault>>()?;
    if tags.iter().any(|(key, _)| key.starts_with(RESERVED)) {
        let message = "Your TagKey cannot be prefixed with aws:";
        return Err(refuse(S3ErrorCode::InvalidTag, message));
    }
    check(tags, "Object", OBJECT_TAGS_MAX)
}

fn decode(text: &str) -> Result<String, Fault> {
    match percent_decode_str(&text.replace('+', " ")).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(refuse(S3ErrorCode::InvalidArgument, "A tag is not UTF-8.")),
    }
}

fn check(tags: Tags, of: &str, count_max: usize) -> Result<Tags, Fault> {
    if tags.len() > count_max {
        let message = format!("{of} tags cannot be greater than {count_max}");
        return Err(refuse_as("BadRequest", StatusCode::BAD_REQUEST, message));
    }
    for (index, (key, value)) in tags.iter().enumerate() {
        if key.is_empty() || key.chars().count() > KEY_CHARS_MAX {
            return Err(refuse(S3ErrorCode::InvalidTag, "The TagKey you have provided is invalid"));
        }
        if key.starts_with(RESERVED) {
            let message = "System tags cannot be added/updated by requester";
            return Err(refuse(S3ErrorCode::InvalidTag, message).with("TagKey", key));
        }
        if value.chars().count() > VALUE_CHARS_MAX {
            return Err(refuse(
                S3ErrorCode::InvalidTag,
                "The TagValue you have provided is invalid",
            ));
        }
        if tags[..index].iter().any(|(earlier, _)| earlier == key) {
            return Err(refuse(
                S3ErrorCode::InvalidTag,
                "Cannot provide multiple Tags with the same key",
            ));
        }
    }
    Ok(tags)
}
