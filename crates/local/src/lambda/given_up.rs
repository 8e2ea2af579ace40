//! The invocations that were given up, as another process than the server's sees them.
//!
//! Asked by `taskferry dead-letters`, whether a server runs on the state directory or not. It only reads: what is here is the
//! server's.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

use super::queue::{self, FailedInvocation};
use crate::db::{BUSY_TIMEOUT, Error};

/// The invocations that were given up on a state directory.
#[derive(Debug)]
pub struct GivenUp {
    path: PathBuf,
    connection: Connection,
}

impl GivenUp {
    /// Opens the services' database for reading; `None` if no server has set it up yet.
    ///
    /// # Errors
    ///
    /// [`Error::Sqlite`] if it cannot be opened.
    pub fn open(db: &Path) -> Result<Option<Self>, Error> {
        let sqlite = |source| Error::Sqlite { path: db.to_owned(), source };
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(db, flags).map_err(sqlite)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(sqlite)?;
        let is_set_up = connection
            .prepare("SELECT 1 FROM sqlite_master WHERE name = 'lambda_failed_invocations'")
            .and_then(|mut statement| statement.exists([]))
            .map_err(sqlite)?;
        Ok(is_set_up.then(|| Self { path: db.to_owned(), connection }))
    }

    /// How many there are.
    ///
    /// # Errors
    ///
    /// [`Error::Sqlite`] if they cannot be read.
    pub fn count(&self) -> Result<u32, Error> {
        let sql = "SELECT count(*) FROM lambda_failed_invocations";
        self.read(self.connection.query_row(sql, [], |row| row.get(0)))
    }

    /// The newest, at most so many.
    ///
    /// # Errors
    ///
    /// [`Error::Sqlite`] if they cannot be read.
    pub fn newest(&self, limit: u32) -> Result<Vec<FailedInvocation>, Error> {
        let sql = format!("{} ORDER BY id DESC LIMIT ?1", queue::FAILED);
        self.read(self.connection.prepare(&sql).and_then(|mut statement| {
            statement.query_map([limit], queue::read_failed)?.collect::<rusqlite::Result<_>>()
        }))
    }

    /// The one of this number, if it is there.
    ///
    /// # Errors
    ///
    /// [`Error::Sqlite`] if it cannot be read.
    pub fn find(&self, id: i64) -> Result<Option<FailedInvocation>, Error> {
        let sql = format!("{} WHERE id = ?1", queue::FAILED);
        self.read(self.connection.query_row(&sql, [id], queue::read_failed).optional())
    }

    fn read<T>(&self, read: rusqlite::Result<T>) -> Result<T, Error> {
        read.map_err(|source| Error::Sqlite { path: self.path.clone(), source })
    }
}
