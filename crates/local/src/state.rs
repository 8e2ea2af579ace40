//! The state directory: everything that one `taskferry dev` keeps, and the mark that it runs.
//!
//! Whoever starts the services opens it, and holds it for as long as they run; other commands only ask where they are
//! ([`endpoint`]). Two servers must never share one: the lock says so by name.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::{
    db::{self, Db},
    ecs, eventbridge, lambda, s3, scheduler, sns, sqs,
};

/// The schema of `aws.db`, version by version; each service brings its own tables.
///
/// An entry that was released is never changed: what comes later is a further entry.
const MIGRATIONS: &[&str] = &[
    lambda::SCHEMA,
    s3::SCHEMA,
    ecs::SCHEMA,
    sqs::SCHEMA,
    eventbridge::SCHEMA,
    sns::SCHEMA,
    s3::CONFIGURATION_SCHEMA,
    eventbridge::SCHEDULE_SCHEMA,
    scheduler::SCHEMA,
    lambda::MAPPINGS_SCHEMA,
    sqs::IN_HAND_SCHEMA,
    eventbridge::DEFAULT_BUS_SCHEMA,
    eventbridge::LAUNCHES_SCHEMA,
    eventbridge::BUS_SETTINGS_SCHEMA,
    s3::BUCKET_TAGS_SCHEMA,
];

const DB: &str = "aws.db";

/// How much of it is kept in memory.
const CACHE_KIB: i32 = 16 * 1024;

const ENDPOINT: &str = "endpoint";
const LOCK: &str = "lock";
const LOGS: &str = "logs";

/// How often, and after which wait, a lock is tried again that another holds.
const LOCK_TRIES: u32 = 10;
const LOCK_WAIT: Duration = Duration::from_millis(10);

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another server uses it.
    #[error("{dir} is in use by another taskferry{pid}", dir = dir.display(), pid = PidNote(*pid))]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// The other server's process id, if it has written it down.
        pid: Option<u32>,
    },
    /// A file or directory in it cannot be made, read or written.
    #[error("cannot {action} {path}", path = path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The database cannot be opened; it may be of a newer version.
    #[error(transparent)]
    Db(#[from] db::Error),
}

/// A process id in a message, where it is known.
struct PidNote(Option<u32>);

impl std::fmt::Display for PidNote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.map_or(Ok(()), |pid| write!(f, " (process {pid})"))
    }
}

/// An open state directory, locked for this process until it is dropped: after all that uses it.
#[derive(Debug)]
pub struct State {
    dir: PathBuf,
    db: Arc<Db>,
    /// The lock ends with the process at the latest, also by a `kill -9`.
    lock: File,
}

impl State {
    /// Opens the directory, creating it or bringing it up to date.
    ///
    /// # Errors
    ///
    /// [`Error::InUse`] if another server runs on it, [`Error::Io`] if it cannot be written, [`Error::Db`] if its
    /// database cannot be opened or was written by a newer Taskferry.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let io = |action, path: &Path| {
            let path = path.to_owned();
            move |source| Error::Io { action, path, source }
        };
        fs::create_dir_all(dir).map_err(io("create", dir))?;
        let dir = fs::canonicalize(dir).map_err(io("find", dir))?;
        let lock = lock(&dir)?;
        let ignore = dir.join(".gitignore");
        if !ignore.exists() {
            fs::write(&ignore, "*\n").map_err(io("write", &ignore))?;
        }
        let logs = dir.join(LOGS);
        fs::create_dir_all(&logs).map_err(io("create", &logs))?;
        // A server that was killed left it.
        remove_endpoint(&dir).map_err(io("remove", &dir.join(ENDPOINT)))?;
        let path = dir.join(DB);
        let db = Db::open(&path, MIGRATIONS)?;
        // Nobody else writes to it, so what is kept in memory stays good.
        db.read(|connection| connection.pragma_update(None, "cache_size", -CACHE_KIB))
            .map_err(|source| db::Error::Sqlite { path, source })?;
        Ok(Self { dir, db: Arc::new(db), lock })
    }

    /// The directory, absolute.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The services' database.
    pub fn db(&self) -> Arc<Db> {
        Arc::clone(&self.db)
    }

    /// Whether the directory and its database are still those that were opened: false once somebody has deleted or replaced
    /// one of them.
    ///
    /// What is written then is not there at the next start, though no write fails.
    pub fn is_in_place(&self) -> bool {
        // Without the lock's own metadata it cannot be told now.
        let lock = self.lock.metadata().ok().as_ref().map(db::file_id);
        lock.is_none_or(|lock| db::leads_to(&self.dir.join(LOCK), lock)) && self.db.is_in_place()
    }

    /// Where logs go.
    pub fn logs_dir(&self) -> PathBuf {
        self.dir.join(LOGS)
    }

    /// Tells other commands that the server is ready, and where.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be written.
    pub fn announce(&self, endpoint: SocketAddr) -> Result<(), Error> {
        let path = self.dir.join(ENDPOINT);
        let partial = self.dir.join("endpoint.new");
        // In one step, so that nobody reads half an address.
        fs::write(&partial, format!("http://{endpoint}\n"))
            .and_then(|()| fs::rename(&partial, &path))
            .map_err(|source| Error::Io { action: "write", path, source })
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if let Err(error) = remove_endpoint(&self.dir) {
            tracing::warn!(%error, "cannot remove the endpoint file");
        }
        // Closing the file is not enough: a child that is just being started has it open too, for a moment.
        if let Err(error) = self.lock.unlock() {
            tracing::warn!(%error, "cannot unlock the state directory");
        }
    }
}

/// The URL of the server that runs on a state directory, if one does.
///
/// # Errors
///
/// [`Error::Io`] if the directory's files are there and cannot be read.
pub fn endpoint(dir: &Path) -> Result<Option<String>, Error> {
    let (lock, path) = (dir.join(LOCK), dir.join(ENDPOINT));
    let read = |path: &Path| match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Io { action: "read", path: path.to_owned(), source }),
    };
    // A file that a killed server left behind is worth nothing: the lock tells whether it lives.
    let file = match File::open(&lock) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::Io { action: "open", path: lock, source }),
    };
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Ok(read(&path)?.map(|text| text.trim().to_owned())),
        Ok(()) => match file.unlock() {
            Ok(()) => Ok(None),
            Err(source) => Err(Error::Io { action: "unlock", path: lock, source }),
        },
        Err(TryLockError::Error(source)) => Err(Error::Io { action: "lock", path: lock, source }),
    }
}

/// Locks the directory and writes down who did.
fn lock(dir: &Path) -> Result<File, Error> {
    let path = dir.join(LOCK);
    let io = |action| {
        let path = path.clone();
        move |source| Error::Io { action, path, source }
    };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(io("open"))?;
    let mut locked = file.try_lock();
    for _ in 0..LOCK_TRIES {
        // Another command that asks whether a server runs holds the lock for a moment.
        if !matches!(locked, Err(TryLockError::WouldBlock)) {
            break;
        }
        std::thread::sleep(LOCK_WAIT);
        locked = file.try_lock();
    }
    match locked {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // Without the number the message is still right.
            let pid = file.read_to_string(&mut pid).ok().and_then(|_| pid.trim().parse().ok());
            return Err(Error::InUse { dir: dir.to_owned(), pid });
        }
        Err(TryLockError::Error(source)) => return Err(io("lock")(source)),
    }
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(io("write"))?;
    Ok(file)
}

fn remove_endpoint(dir: &Path) -> io::Result<()> {
    match fs::remove_file(dir.join(ENDPOINT)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
