//! One SQLite file and the versions of its schema.
//!
//! Calls run inline, under one lock, also from async code: a statement here takes microseconds, WAL with
//! `synchronous = NORMAL` commits without waiting for the disk, and a commit survives the death of this process
//! (`kill -9`), which is the promise; it need not survive the loss of power.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior, config::DbConfig};

/// How long a statement waits for another process that writes.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long after it is tried again to set a file up that another process is setting up.
const SET_UP_RETRY: Duration = Duration::from_millis(5);

/// How many pages are written to the log before they go to the file, 16 MiB: each time waits for the disk, and a page
/// that was written often goes once. SQLite's own 1,000 are some ten dispatches.
const CHECKPOINT_PAGES: u32 = 4096;

/// Why a state file could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A newer Taskferry wrote the file.
    #[error(
        "{path} has schema version {found}, and this taskferry knows versions up to {known}",
        path = path.display()
    )]
    Newer {
        /// The state file.
        path: PathBuf,
        /// The version in the file.
        found: u32,
        /// The newest version that this program knows.
        known: u32,
    },
    /// SQLite could not open or migrate the file.
    #[error("cannot open {path}", path = path.display())]
    Sqlite {
        /// The state file.
        path: PathBuf,
        /// SQLite's reason.
        source: rusqlite::Error,
    },
}

impl Error {
    /// Whether what is in the file is at fault, so that trying again does not help.
    pub fn is_damaged(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        let Self::Sqlite { source, .. } = self else { return false };
        matches!(source.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
    }
}

/// An open state file.
#[derive(Debug)]
pub struct Db {
    connection: Mutex<Connection>,
    path: PathBuf,
    file: Option<FileId>,
}

/// Which file it is, whatever it is called.
type FileId = (u64, u64);

pub(crate) fn file_id(metadata: &fs::Metadata) -> FileId {
    (metadata.dev(), metadata.ino())
}

/// Whether a path still leads to the file; true where that cannot be told now, as with a directory in its way.
pub(crate) fn leads_to(path: &Path, file: FileId) -> bool {
    match fs::metadata(path) {
        Ok(there) => file_id(&there) == file || !there.is_file(),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// Has the file written by a log ahead of it.
///
/// Of several that do so to a new file SQLite refuses all but one at once, whatever the timeout: each would wait for the other.
/// <https://www.sqlite.org/c3ref/busy_handler.html>
fn log_ahead(connection: &Connection) -> rusqlite::Result<()> {
    let begun = Instant::now();
    loop {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && begun.elapsed() < BUSY_TIMEOUT =>
            {
                thread::sleep(SET_UP_RETRY);
            }
            done => return done,
        }
    }
}

impl Db {
    /// Opens the file, creating it or bringing its schema up to date.
    ///
    /// Migration `n` of `migrations` leads from schema version `n` to `n + 1`.
    ///
    /// # Errors
    ///
    /// [`Error::Newer`] if the file is of a version past the last migration; [`Error::Sqlite`] if it cannot be opened.
    pub fn open(path: &Path, migrations: &[&str]) -> Result<Self, Error> {
        let sqlite = |source| Error::Sqlite { path: path.to_owned(), source };
        let mut connection = Connection::open(path).map_err(sqlite)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(sqlite)?;
        log_ahead(&connection).map_err(sqlite)?;
        connection.pragma_update(None, "synchronous", "NORMAL").map_err(sqlite)?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES).map_err(sqlite)?;
        connection.pragma_update(None, "foreign_keys", true).map_err(sqlite)?;
        // Else SQLite may prepare a statement anew each time it gets other parameters, for a plan that would be the same.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(sqlite)?;
        connection.set_prepared_statement_cache_capacity(128);

        let known = u32::try_from(migrations.len()).expect("a list in this source");
        let version = |connection: &Connection| -> rusqlite::Result<u32> {
            connection.pragma_query_value(None, "user_version", |row| row.get(0))
        };
        // Nothing is written to a file that is up to date: it can be read while the disk is full.
        if version(&connection).map_err(sqlite)? != known {
            let tx = connection
                .transaction_with_behavior(TransactionBehavior::Immediate)
                .map_err(sqlite)?;
            let found = version(&tx).map_err(sqlite)?;
            if found > known {
                return Err(Error::Newer { path: path.to_owned(), found, known });
            }
            for migration in migrations.iter().skip(found as usize) {
                tx.execute_batch(migration).map_err(sqlite)?;
            }
            tx.pragma_update(None, "user_version", known).map_err(sqlite)?;
            tx.commit().map_err(sqlite)?;
        }
        let file = fs::metadata(path).ok().as_ref().map(file_id);
        Ok(Self { connection: Mutex::new(connection), path: path.to_owned(), file })
    }

    /// Whether the file is still the one that was opened: false once somebody has deleted or replaced it.
    ///
    /// What is written then is not there at the next start, though no write fails.
    pub fn is_in_place(&self) -> bool {
        self.file.is_none_or(|file| leads_to(&self.path, file))
    }

    /// Reads.
    ///
    /// # Errors
    ///
    /// Those of `read`.
    pub fn read<T, E>(&self, read: impl FnOnce(&Connection) -> Result<T, E>) -> Result<T, E> {
        read(&self.lock())
    }

    /// Writes in one transaction: all of it stands, or, when `write` fails, none.
    ///
    /// # Errors
    ///
    /// Those of `write`, and SQLite's if the transaction cannot be begun or committed.
    pub fn write<T, E: From<rusqlite::Error>>(
        &self,
        write: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut connection = self.lock();
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let written = write(&tx)?;
        tx.commit()?;
        Ok(written)
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic while the lock was held has rolled its transaction back: the connection is as good as before.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_deleted_or_replaced_while_it_is_open_is_not_in_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file.db");
        let db = Db::open(&path, &["CREATE TABLE t (n INTEGER)"]).unwrap();
        let before = db.is_in_place();
        fs::rename(&path, dir.path().join("moved")).unwrap();
        let moved = db.is_in_place();
        fs::write(&path, "").unwrap();
        let replaced = db.is_in_place();
        assert_eq!([before, moved, replaced], [true, false, false]);
    }

    #[test]
    fn a_file_that_is_up_to_date_is_opened_while_another_writes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file.db");
        let migrations = ["CREATE TABLE t (n INTEGER)"];
        let writer = Db::open(&path, &migrations).unwrap();
        let opened = writer.write(|tx| {
            tx.execute("INSERT INTO t VALUES (1)", [])?;
            let reader = Db::open(&path, &migrations).expect("opening writes nothing");
            reader.read(|connection| {
                connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0))
            })
        });
        assert_eq!(opened, Ok::<u32, rusqlite::Error>(0));
    }
}
