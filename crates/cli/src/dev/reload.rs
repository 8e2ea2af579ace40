//! When the rules file changes.
//!
//! Its folder is watched, not the file: editors replace files instead of writing into them.

use std::{ffi::OsString, path::Path, time::Duration};

use anyhow::Context as _;
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::{sync::mpsc, time};

/// How long a file must be left alone before it is read: editors write in several steps.
const SETTLED: Duration = Duration::from_millis(100);

/// The changes of a file.
pub(super) struct Reloads {
    changes: mpsc::Receiver<()>,
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
        Ok(Self { changes, _watcher: watcher })
    }

    /// Waits for a change that has settled.
    pub(super) async fn next(&mut self) {
        if self.changes.recv().await.is_none() {
            return std::future::pending().await;
        }
        while time::timeout(SETTLED, self.changes.recv()).await.is_ok_and(|more| more.is_some()) {}
    }
}
