//! Rows of objects: read, swapped and deleted, each change in one transaction with its conditions and notifications.

use std::{
    collections::{BTreeMap, HashSet},
    time::{Duration, SystemTime},
};

use rusqlite::{Connection, OptionalExtension, Row, Transaction};
use s3s::{S3ErrorCode, dto::Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    S3,
    blobs::Draft,
    buckets,
    conditions::WriteConditions,
    digests::Checksum,
    fault::Fault,
    notification::{Cause, Change, Nowhere},
};

/// What a client says of an object's bytes, and gets back with them.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Properties {
    pub(super) content_type: Option<String>,
    pub(super) cache_control: Option<String>,
    pub(super) content_disposition: Option<String>,
    pub(super) content_encoding: Option<String>,
    pub(super) content_language: Option<String>,
    pub(super) expires: Option<String>,
    pub(super) website_redirect_location: Option<String>,
    pub(super) storage_class: Option<String>,
    pub(super) metadata: BTreeMap<String, String>,
    /// The multipart upload that the object came by: completed again, it is answered as before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) upload: Option<String>,
}

impl Properties {
    /// The storage class, where what is in it cannot be read before it is restored, which nobody here does.
    pub(super) fn archive_class(&self) -> Option<&str> {
        self.storage_class.as_deref().filter(|class| matches!(*class, "GLACIER" | "DEEP_ARCHIVE"))
    }
}

/// The tags of an object, in the order in which they were given.
pub(super) type Tags = Vec<(String, String)>;

/// A part of an object that came in parts.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PartOfObject {
    pub(super) number: i32,
    pub(super) size: u64,
    pub(super) checksum: Checksum,
}

/// An object, but for its bytes.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) blob: String,
    pub(super) size: u64,
    /// Without quotes.
    pub(super) etag: String,
    /// In seconds: S3 tells no fractions.
    pub(super) modified_at: i64,
    pub(super) checksum: Checksum,
    /// Empty if the object came in one piece.
    pub(super) parts: Vec<PartOfObject>,
    pub(super) properties: Properties,
    pub(super) tags: Tags,
}

impl Object {
    pub(super) fn modified(&self) -> Timestamp {
        timestamp(self.modified_at)
    }
}

/// Seconds since the epoch as `s3s` has them.
pub(super) fn timestamp(seconds: i64) -> Timestamp {
    let since_epoch = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    SystemTime::UNIX_EPOCH.checked_add(since_epoch).unwrap_or(SystemTime::UNIX_EPOCH).into()
}

/// An object that is to be.
#[derive(Debug)]
pub(super) struct NewObject<'a> {
    pub(super) bucket: &'a str,
    pub(super) key: &'a str,
    pub(super) draft: Draft,
    pub(super) etag: String,
    pub(super) checksum: Checksum,
    pub(super) parts: Vec<PartOfObject>,
    pub(super) properties: Properties,
    pub(super) tags: Tags,
    pub(super) cause: Cause,
    pub(super) request_id: &'a str,
}

/// What a deleted object leaves to be done once the transaction stands.
#[derive(Debug)]
pub(super) struct Deleted {
    /// Its bytes, which are of no use any more.
    pub(super) blob: String,
    pub(super) nowhere: Nowhere,
}

impl S3 {
    /// An object's row.
    ///
    /// # Errors
    ///
    /// `NoSuchBucket` or `NoSuchKey`.
    pub(super) fn object(&self, bucket: &str, key: &str) -> Result<Object, Fault> {
        self.db.read(|connection| {
            if let Some(object) = find(connection, bucket, key)? {
                return Ok(object);
            }
            buckets::check(connection, bucket)?;
            Err(S3ErrorCode::NoSuchKey.into())
        })
    }

    /// Puts an object in place of what is there, if the conditions hold, and tells of it.
    ///
    /// `also` is done in the same transaction, and names the blobs that are of no use after it.
    pub(super) async fn swap_in(
        &self,
        new: NewObject<'_>,
        conditions: &WriteConditions,
        also: impl FnOnce(&Transaction<'_>) -> Result<Vec<String>, Fault>,
    ) -> Result<Object, Fault> {
        let now = jiff::Timestamp::now();
        let object = Object {
            blob: new.draft.name().to_owned(),
            size: new.draft.size(),
            etag: new.etag,
            modified_at: now.as_second(),
            checksum: new.checksum,
            parts: new.parts,
            properties: new.properties,
            tags: new.tags,
        };
        let (stale, nowhere) = self.db.write(|tx| {
            buckets::check(tx, new.bucket)?;
            let old = find_blob(tx, new.bucket, new.key)?;
            conditions.check(old.as_ref().map(|(_, etag)| etag.as_str()))?;
            let mut stale = also(tx)?;
            stale.extend(old.map(|(blob, _)| blob));
            insert(tx, new.bucket, new.key, &object)?;
            let nowhere = self.announce(
                tx,
                &Change {
                    bucket: new.bucket,
                    key: new.key,
                    cause: new.cause,
                    size: object.size,
                    etag: &object.etag,
                    sequencer: next_sequencer(tx, now)?,
                    time: now,
                    request_id: new.request_id,
                },
            )?;
            Ok::<_, Fault>((stale, nowhere))
        })?;
        new.draft.keep();
        self.tell(&nowhere);
        self.blobs.discard(new.bucket, stale).await;
        Ok(object)
    }

    /// Deletes an object, if it is there and the conditions hold, and tells of it.
    ///
    /// What is to be done once the transaction stands is returned, if there was an object.
    pub(super) fn delete(
        &self,
        tx: &Transaction<'_>,
        (bucket, key): (&str, &str),
        conditions: &WriteConditions,
        request_id: &str,
    ) -> Result<Option<Deleted>, Fault> {
        let old = find_blob(tx, bucket, key)?;
        conditions.check(old.as_ref().map(|(_, etag)| etag.as_str()))?;
        let Some((blob, etag)) = old else { return Ok(None) };
        tx.prepare_cached("DELETE FROM s3_objects WHERE bucket = ?1 AND key = ?2")?
            .execute((bucket, key.as_bytes()))?;
        let time = jiff::Timestamp::now();
        let sequencer = next_sequencer(tx, time)?;
        let cause = Cause::Delete;
        let etag = &etag;
        let nowhere = self.announce(
            tx,
            &Change { bucket, key, cause, size: 0, etag, sequencer, time, request_id },
        )?;
        Ok(Some(Deleted { blob, nowhere }))
    }
}

/// The row of an object.
pub(super) fn find(
    connection: &Connection,
    bucket: &str,
    key: &str,
) -> Result<Option<Object>, Fault> {
    let mut select = connection.prepare_cached(
        "SELECT blob, size, etag, modified_at, checksum, parts, properties, tags
         FROM s3_objects WHERE bucket = ?1 AND key = ?2",
    )?;
    let mut rows = select.query((bucket, key.as_bytes()))?;
    rows.next()?.map(read_row).transpose()
}

fn read_row(row: &Row<'_>) -> Result<Object, Fault> {
    Ok(Object {
        blob: row.get(0)?,
        size: row.get::<_, i64>(1)?.cast_unsigned(),
        etag: row.get(2)?,
        modified_at: row.get(3)?,
        checksum: serde_json::from_str(row.get_ref(4)?.as_str().map_err(from_sql)?)?,
        parts: serde_json::from_str(row.get_ref(5)?.as_str().map_err(from_sql)?)?,
        properties: serde_json::from_str(row.get_ref(6)?.as_str().map_err(from_sql)?)?,
        tags: serde_json::from_str(row.get_ref(7)?.as_str().map_err(from_sql)?)?,
    })
}

fn from_sql(error: rusqlite::types::FromSqlError) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
}

/// The blob and `ETag` of the object that is there.
fn find_blob(
    connection: &Connection,
    bucket: &str,
    key: &str,
) -> rusqlite::Result<Option<(String, String)>> {
    connection
        .prepare_cached("SELECT blob, etag FROM s3_objects WHERE bucket = ?1 AND key = ?2")?
        .query_row((bucket, key.as_bytes()), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

fn insert(tx: &Transaction<'_>, bucket: &str, key: &str, object: &Object) -> Result<(), Fault> {
    tx.prepare_cached(
        "INSERT OR REPLACE INTO s3_objects
         (bucket, key, blob, size, etag, modified_at, checksum, parts, properties, tags)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute((
        bucket,
        key.as_bytes(),
        &object.blob,
        object.size.cast_signed(),
        &object.etag,
        object.modified_at,
        serde_json::to_string(&object.checksum)?,
        serde_json::to_string(&object.parts)?,
        serde_json::to_string(&object.properties)?,
        serde_json::to_string(&object.tags)?,
    ))?;
    Ok(())
}

/// A number above every earlier one, also when the clock was set back, or another state file is used from now on.
fn next_sequencer(tx: &Transaction<'_>, now: jiff::Timestamp) -> rusqlite::Result<i64> {
    tx.prepare_cached("UPDATE s3_sequence SET last = max(last + 1, ?1) RETURNING last")?
        .query_row([now.as_microsecond()], |row| row.get(0))
}

/// The names of all blobs that rows name.
pub(super) fn blobs_in_use(connection: &Connection) -> rusqlite::Result<HashSet<String>> {
    connection
        .prepare("SELECT blob FROM s3_objects UNION ALL SELECT blob FROM s3_parts")?
        .query_map([], |row| row.get(0))?
        .collect()
}
