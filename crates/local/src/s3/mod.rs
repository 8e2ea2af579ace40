//! S3: buckets and objects over the S3 API, with storage of our own, and a notification for every change.
//!
//! Whoever starts this machine opens it, names the buckets and their notifications, and serves [`service`]. An object
//! is a row that names a blob: the body is on disk and checked before the row is swapped, and the swap, its conditions
//! and the notifications are one transaction. A file that no row names is rubbish, whichever way it came about, and goes
//! at the next start. Nothing in here reads an object's key as a path.

mod blobs;
mod buckets;
mod chunked;
mod conditions;
mod configuration;
mod copy;
mod digests;
mod door;
mod fault;
mod form;
mod get;
mod listing;
mod multipart;
mod notification;
mod objects;
mod operations;
mod put;
mod tagging;
#[cfg(test)]
mod tests;
mod unread;
mod uploads;
mod versions;

use std::{
    fs, io,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
};

use self::{blobs::Blobs, fault::Fault};
pub(crate) use self::{configuration::CONFIGURATION_SCHEMA, tagging::BUCKET_TAGS_SCHEMA};
pub use self::{
    door::{Service, service},
    notification::{BucketNotification, DestinationNotification, Filter},
};
use crate::{db::Db, delivery::Deliveries, eventbridge::EventBridge};

/// The tables of this service.
///
/// Keys are blobs: SQLite then compares them byte by byte, which is the order that S3 lists them in.
pub(crate) const SCHEMA: &str = "
CREATE TABLE s3_buckets (
    name TEXT PRIMARY KEY,
    location TEXT,
    created_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE s3_objects (
    bucket TEXT NOT NULL REFERENCES s3_buckets (name),
    key BLOB NOT NULL,
    blob TEXT NOT NULL,
    size INTEGER NOT NULL,
    etag TEXT NOT NULL,
    modified_at INTEGER NOT NULL,
    checksum TEXT NOT NULL,
    parts TEXT NOT NULL,
    properties TEXT NOT NULL,
    tags TEXT NOT NULL,
    PRIMARY KEY (bucket, key)
) WITHOUT ROWID;
CREATE TABLE s3_uploads (
    id TEXT PRIMARY KEY,
    bucket TEXT NOT NULL REFERENCES s3_buckets (name),
    key BLOB NOT NULL,
    initiated_at INTEGER NOT NULL,
    summing TEXT NOT NULL,
    properties TEXT NOT NULL,
    tags TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX s3_uploads_by_key ON s3_uploads (bucket, key, id);
CREATE TABLE s3_parts (
    upload TEXT NOT NULL REFERENCES s3_uploads (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    blob TEXT NOT NULL,
    size INTEGER NOT NULL,
    etag TEXT NOT NULL,
    modified_at INTEGER NOT NULL,
    checksum TEXT NOT NULL,
    PRIMARY KEY (upload, number)
) WITHOUT ROWID;
CREATE TABLE s3_sequence (last INTEGER NOT NULL);
INSERT INTO s3_sequence VALUES (0);
";

/// Why S3 could not be opened, or a bucket not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name breaks S3's rules for buckets.
    #[error("{name:?} is not a bucket name: 3 to 63 of a-z, 0-9, `-` and `.`, and no IP address")]
    BucketName {
        /// The name.
        name: String,
    },
    /// The folder of the objects' bytes cannot be used.
    #[error("cannot use {path}", path = path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The state file failed.
    #[error("cannot read or write the buckets")]
    State {
        /// SQLite's reason.
        source: rusqlite::Error,
    },
}

/// The buckets and objects.
#[derive(Debug)]
pub struct S3 {
    db: Arc<Db>,
    blobs: Blobs,
    deliveries: Deliveries,
    eventbridge: Arc<EventBridge>,
    notifications: RwLock<Arc<Vec<BucketNotification>>>,
}

impl S3 {
    /// Opens the buckets, whose objects' bytes lie in `dir`, and clears what a sudden death left there.
    ///
    /// # Errors
    ///
    /// [`Error::Folder`] or [`Error::State`], if either half of the storage cannot be used.
    pub fn open(
        db: Arc<Db>,
        deliveries: Deliveries,
        eventbridge: Arc<EventBridge>,
        dir: PathBuf,
    ) -> Result<Arc<Self>, Error> {
        let folder = |source| Error::Folder { path: dir.clone(), source };
        fs::create_dir_all(&dir).map_err(folder)?;
        let named = db.read(objects::blobs_in_use).map_err(|source| Error::State { source })?;
        blobs::sweep(&dir, &named).map_err(folder)?;
        Ok(Arc::new(Self {
            db,
            blobs: Blobs::new(dir),
            deliveries,
            eventbridge,
            notifications: RwLock::default(),
        }))
    }

    /// Makes a bucket, unless it is there.
    ///
    /// # Errors
    ///
    /// [`Error::BucketName`] if S3 would refuse the name; [`Error::State`] if it cannot be recorded.
    pub fn create_bucket(&self, name: &str) -> Result<(), Error> {
        if !s3s::path::check_bucket_name(name) {
            return Err(Error::BucketName { name: name.to_owned() });
        }
        self.db
            .write(|tx| buckets::insert(tx, name, None).map(drop))
            .map_err(|source| Error::State { source })
    }

    /// Replaces the notifications of all buckets; changes from here on go by them.
    pub fn set_notifications(&self, notifications: Vec<BucketNotification>) {
        *self.notifications.write().unwrap_or_else(PoisonError::into_inner) =
            Arc::new(notifications);
    }

    fn notifications(&self) -> Arc<Vec<BucketNotification>> {
        Arc::clone(&self.notifications.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Runs what blocks (files, digests of large blocks) off the threads that serve requests.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(stopped) => Err(Fault::Io(io::Error::other(stopped))),
    }
}
