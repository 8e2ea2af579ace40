//! How long what stopped tasks leave on the disk is kept: their working directories, and what they printed.
//!
//! Swept regularly while the server runs. The clock is an argument of the sweep. Never touches what belongs to a task that
//! has not stopped, nor anything that is no task's.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use rusqlite::OptionalExtension as _;
use tokio::time::{self, MissedTickBehavior};

use super::{Ecs, run_task::HOUR_MS, task::Epoch};

/// How often it is swept.
const PERIOD: Duration = Duration::from_mins(10);

/// How long all of it is kept: as long as the task can be described.
const ALL_MS: i64 = HOUR_MS;

/// How long logs are kept, and how many bytes of them in all: the oldest go first.
pub(super) const LOGS_MS: i64 = 7 * 24 * HOUR_MS;
pub(super) const LOGS_BYTES_MAX: u64 = 1 << 30;

/// What a stopped task has left.
#[derive(Debug)]
struct Remains {
    directory: PathBuf,
    stopped_at: i64,
    log_bytes: u64,
    /// All but the logs.
    others: Vec<PathBuf>,
}

impl Ecs {
    /// Sweeps now and then, for as long as this ECS is in use elsewhere.
    pub fn sweep_regularly(self: &Arc<Self>) -> impl Future<Output = ()> + use<> {
        let ecs = Arc::downgrade(self);
        async move {
            let mut period = time::interval(PERIOD);
            period.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                period.tick().await;
                let Some(ecs) = ecs.upgrade() else { return };
                // Away from the requests: there may be many directories.
                let swept = tokio::task::spawn_blocking(move || ecs.sweep(Epoch::now()));
                if let Err(error) = swept.await {
                    tracing::error!(%error, "old tasks' directories are not swept");
                }
            }
        }
    }

    /// Deletes what is past its time.
    pub(super) fn sweep(&self, now: Epoch) {
        let mut kept = match self.remains() {
            Ok(kept) => kept,
            Err(error) => {
                tracing::warn!(%error, "old tasks' directories cannot be read");
                return;
            }
        };
        kept.sort_by_key(|task| std::cmp::Reverse(task.stopped_at));
        let mut log_bytes: u64 = 0;
        for task in kept {
            log_bytes = log_bytes.saturating_add(task.log_bytes);
            // A clock that was set back makes it young again.
            let age = now.0 - task.stopped_at;
            if age < ALL_MS {
                continue;
            }
            let deleted = if age >= LOGS_MS || log_bytes > LOGS_BYTES_MAX {
                fs::remove_dir_all(&task.directory)
            } else {
                task.others.iter().try_for_each(|path| remove(path))
            };
            if let Err(error) = deleted {
                let path = task.directory.display();
                tracing::warn!(%path, %error, "an old task's directory is not deleted");
            }
        }
    }

    /// What there is of tasks that have stopped.
    fn remains(&self) -> io::Result<Vec<Remains>> {
        let mut remains = Vec::new();
        for entry in fs::read_dir(&self.config.tasks_dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(id) = name.to_str().filter(|name| is_task_id(name)) else { continue };
            // Asked after the directory was found, which is made after its task is stored.
            let stopped_at = match self.standing(id).map_err(io::Error::other)? {
                Standing::Stopped(at) => at,
                // Since it stopped, at the most what is in its directory was deleted.
                Standing::Forgotten => modified(&entry)?,
                Standing::UnderWay => continue,
            };
            remains.push(Remains::of(entry.path(), stopped_at)?);
        }
        Ok(remains)
    }

    fn standing(&self, id: &str) -> rusqlite::Result<Standing> {
        let stopped_at = self.db.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT CASE last_status WHEN 'STOPPED' THEN stopped_at END
                     FROM ecs_tasks WHERE id = ?1",
                )?
                .query_row([id], |row| row.get(0))
                .optional()
        });
        Ok(match stopped_at? {
            None => Standing::Forgotten,
            Some(None) => Standing::UnderWay,
            Some(Some(at)) => Standing::Stopped(at),
        })
    }
}

/// What this ECS knows of the task that a directory was made for.
enum Standing {
    /// Nothing any more.
    Forgotten,
    /// It has not stopped.
    UnderWay,
    /// It stopped then.
    Stopped(i64),
}

impl Remains {
    fn of(directory: PathBuf, stopped_at: i64) -> io::Result<Self> {
        let mut remains = Self { stopped_at, log_bytes: 0, others: Vec::new(), directory };
        for entry in fs::read_dir(&remains.directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let is_log = name.ends_with(".stdout.log") || name.ends_with(".stderr.log");
            if is_log && entry.file_type()?.is_file() {
                remains.log_bytes += entry.metadata()?.len();
            } else {
                remains.others.push(entry.path());
            }
        }
        Ok(remains)
    }
}

fn is_task_id(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// When a directory was last written to, in milliseconds since the epoch.
fn modified(entry: &fs::DirEntry) -> io::Result<i64> {
    let since = entry.metadata()?.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Removes a directory and what is in it, or a file; what a link leads to stays.
fn remove(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    }
}
