//! The records in SQLite.

use taskferry_local::{db, runs::SqliteRuns};
use tempfile::TempDir;

use crate::runs::{Store, contract};

/// A file of its own, gone with the test.
struct File {
    runs: SqliteRuns,
    _dir: TempDir,
}

impl Store for File {
    type Runs = SqliteRuns;

    fn runs(&self) -> &SqliteRuns {
        &self.runs
    }
}

async fn open() -> File {
    let dir = tempfile::tempdir().unwrap();
    File { runs: SqliteRuns::open(&dir.path().join("runs.db")).unwrap(), _dir: dir }
}

contract!(open, cfg(test));

#[test]
fn records_of_a_newer_version_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("runs.db");
    drop(db::Db::open(&path, &["", "", "", "", "", "", "", "", "", ""]).unwrap());
    let refused = SqliteRuns::open(&path).unwrap_err().to_string();
    assert!(
        refused.ends_with("has schema version 10, and this taskferry knows versions up to 4"),
        "{refused}"
    );
}

/// Several processes have a connection each, and race for the same records.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_many_processes_makes_a_run() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("runs.db");
    let racers: Vec<_> = (0..8)
        .map(|_| {
            let path = path.clone();
            tokio::spawn(async move {
                let runs = SqliteRuns::open(&path).unwrap();
                let mut made = 0;
                for key in 0..50 {
                    made += u32::from(crate::runs::is_made(&runs, &key.to_string()).await);
                }
                made
            })
        })
        .collect();
    let mut made = 0;
    for racer in racers {
        made += racer.await.unwrap();
    }
    assert_eq!(made, 50);
}
