//! When the rules file changes.
//!
//! Its folder is watched, not the file: editors replace files instead of writing into them.

use std::{ffi::OsString, path::Path, time::Duration};

use anyhow::Context as _;
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::{
    sync::mpsc,
    time::{self, Instant},
};

/// How long a file must be left alone before it is read: editors write in several steps.
const SETTLED: Duration = Duration::from_millis(100);

/// The changes of a file.
pub(super) struct Reloads {
    changes: Changes,
    // Dropped, it watches no more.
    _watcher: RecommendedWatcher,
}

impl Reloads {
    /// Watches the file.
    pub(super) fn of(path: &Path) -> anyhow::Result<Self> {
        let cannot_watch = || format!("cannot watch {}", path.display());
        let name: OsString = path.file_name().with_context(cannot_watch)?.to_owned();
        // One change waiting tells as much as many.
        let (sender, changes) = mpsc::channel(1);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let is_change = event.is_ok_and(|event| {
                !event.kind.is_access()
                    && event.paths.iter().any(|path| path.file_name() == Some(&name))
            });
            if is_change {
                // Full: a change waits already. Closed: nobody waits any more.
                let _sent = sender.try_send(());
            }
        })
        .with_context(cannot_watch)?;
        watcher
            .watch(super::folder(path), RecursiveMode::NonRecursive)
            .with_context(cannot_watch)?;
        Ok(Self { changes: Changes { changes, settled: None }, _watcher: watcher })
    }

    /// Waits for a change that has settled.
    pub(super) async fn next(&mut self) {
        self.changes.next().await;
    }
}

/// Changes, as they come.
struct Changes {
    changes: mpsc::Receiver<()>,
    /// When the last change will have settled. Outlives the wait for it, which ends for each line that is told meanwhile.
    settled: Option<Instant>,
}

impl Changes {
    async fn next(&mut self) {
        loop {
            let change = match self.settled {
                None => self.changes.recv().await,
                Some(settled) => {
                    let Ok(change) = time::timeout_at(settled, self.changes.recv()).await else {
                        self.settled = None;
                        return;
                    };
                    change
                }
            };
            if change.is_none() {
                return std::future::pending().await;
            }
            self.settled = Some(Instant::now() + SETTLED);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_is_not_forgotten_while_other_things_are_told() {
        let (sender, changes) = mpsc::channel(1);
        let mut changes = Changes { changes, settled: None };
        sender.send(()).await.unwrap();
        let mut interrupted = 0;
        while time::timeout(SETTLED / 10, changes.next()).await.is_err() {
            interrupted += 1;
        }
        assert!(interrupted > 1);
        assert!(changes.settled.is_none());
    }
}
