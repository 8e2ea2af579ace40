//! What the contract of the stores does not say: how long records stay, and what a look at what is due costs.

use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use rusqlite::StatementStatus;
use serde_json::json;
use taskferry_core::{
    event::Event,
    limits::LimitId,
    run::{HeldMessage, Run, Status},
};
use taskferry_engine::ports::{RunQuery, Runs as _, Updated};
use tempfile::TempDir;

use super::{MIGRATIONS, SqliteRuns};
use crate::db::Db;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_767_225_600 + second).unwrap()
}

fn event() -> Event {
    let text = r#"{"id":"e","source":"shop","detail-type":"Order","time":"2026-01-01T00:00:00Z","detail":{}}"#;
    Event::parse(text).unwrap()
}

/// A run that waits, and is due then.
fn waiting(index: u32, due_at: Timestamp) -> Run {
    let run = json!({
        "id": format!("{index:032x}"), "rule": "order", "status": "waiting", "dedupeKey": "k",
        "event": { "id": "e", "source": "shop", "detailType": "Order", "time": "2026-01-01T00:00:00Z" },
        "createdAt": at(0).to_string(), "dueAt": due_at.to_string(), "essential": ["app"], "attempts": [], "revision": 0,
    });
    serde_json::from_value(run).unwrap()
}

/// The same, ended then.
fn ended(run: &Run, ended_at: Timestamp) -> Run {
    let mut ended = run.clone();
    ended.revision += 1;
    ended.status = Status::Failed;
    (ended.ended_at, ended.due_at) = (Some(ended_at), None);
    ended
}

/// A directory that goes with the test.
struct Dir(TempDir);

impl Dir {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn db(&self) -> PathBuf {
        self.0.path().join("runs.db")
    }
}

fn open() -> (Dir, SqliteRuns) {
    let dir = Dir::new();
    let runs = SqliteRuns::open(&dir.db()).unwrap();
    (dir, runs.with_retention(SignedDuration::from_secs(1000)))
}

#[tokio::test]
async fn what_has_ended_is_deleted_with_its_event_when_it_was_kept_for_long_enough() {
    let (_dir, runs) = open();
    for index in 0..250 {
        let run = waiting(index, at(5));
        runs.create(&run, &event()).await.unwrap();
        if index < 240 {
            runs.update(&run, &ended(&run, at(10))).await.unwrap();
        }
    }
    assert_eq!(runs.forget(at(1009)).unwrap(), 0);
    // A bounded number at a time.
    let forgotten = [(); 4].map(|()| runs.forget(at(1010)).unwrap());
    assert_eq!(forgotten, [100, 100, 40, 0]);
    let first = waiting(0, at(5)).id;
    assert_eq!(runs.get(&first).await.unwrap(), None);
    assert_eq!(runs.event(&first).await.unwrap(), None);
    // What has not ended is never deleted.
    assert_eq!(runs.forget(Timestamp::MAX).unwrap(), 0);
    assert_eq!(runs.due(at(10), 100).await.unwrap().runs.len(), 10);
}

#[tokio::test]
async fn what_has_something_left_to_tell_is_kept_until_it_is_told() {
    let (_dir, runs) = open();
    let run = waiting(1, at(5));
    runs.create(&run, &event()).await.unwrap();
    let mut telling = ended(&run, at(10));
    telling.due_at = Some(at(70));
    runs.update(&run, &telling).await.unwrap();
    assert_eq!(runs.forget(at(5000)).unwrap(), 0);
    let told = ended(&telling, at(10));
    runs.update(&telling, &told).await.unwrap();
    assert_eq!(runs.forget(at(5000)).unwrap(), 1);
}

#[tokio::test]
async fn what_had_ended_before_there_was_a_retention_is_kept_for_its_default() {
    let dir = Dir::new();
    let old = Db::open(&dir.db(), &MIGRATIONS[..2]).unwrap();
    let (run, open) = (ended(&waiting(1, at(5)), at(10)), waiting(2, at(5)));
    old.write(|tx| {
        for run in [&run, &open] {
            tx.execute(
                "INSERT INTO runs (id, revision, rule, status, event_id, dedupe_key, created_at, due_at, run, event)
                 VALUES (?1, 1, 'order', 'x', 'e', 'k', 0, ?2, ?3, '{}')",
                (run.id.as_str(), run.due_at.map(Timestamp::as_microsecond), super::document(run)),
            )?;
        }
        Ok::<_, rusqlite::Error>(())
    })
    .unwrap();
    drop(old);
    let runs = SqliteRuns::open(&dir.db()).unwrap();
    let days = |days: i64| at(10) + SignedDuration::from_hours(days * 24);
    assert_eq!(runs.forget(days(30) - SignedDuration::from_secs(1)).unwrap(), 0);
    assert_eq!(runs.forget(days(30)).unwrap(), 1);
    assert_eq!(runs.forget(days(10_000)).unwrap(), 0);
}

/// SQLite's own count of what it does, which no load of the machine changes.
#[tokio::test]
async fn a_look_at_what_is_due_costs_what_is_due() {
    let (_dir, runs) = open();
    let steps = |runs: &SqliteRuns| {
        runs.db
            .read(|connection| {
                let queries = [
                    ("SELECT run FROM runs WHERE due_at <= ?1 ORDER BY due_at LIMIT 100", 100),
                    ("SELECT name, key FROM limits WHERE check_at <= ?1 ORDER BY check_at LIMIT 100", 0),
                    ("SELECT id FROM runs WHERE expires_at <= ?1 ORDER BY expires_at LIMIT 100", 0),
                ];
                let mut steps = Vec::new();
                for (query, expected) in queries {
                    let mut statement = connection.prepare(query)?;
                    let found = statement.query_map([at(10).as_microsecond()], |_| Ok(()))?.count();
                    assert_eq!(found, expected, "{query}");
                    assert_eq!(statement.get_status(StatementStatus::Sort), 0, "{query}");
                    assert_eq!(statement.get_status(StatementStatus::FullscanStep), 0, "{query}");
                    steps.push(statement.get_status(StatementStatus::VmStep));
                }
                Ok::<_, rusqlite::Error>(steps)
            })
            .unwrap()
    };
    for index in 0..100 {
        runs.create(&waiting(index, at(5)), &event()).await.unwrap();
    }
    let few = steps(&runs);
    for index in 1000..6000 {
        runs.create(&waiting(index, at(100)), &event()).await.unwrap();
    }
    assert_eq!(steps(&runs), few);
}

#[tokio::test]
async fn a_record_that_cannot_be_read_keeps_no_other_from_its_turn() {
    let (dir, runs) = open();
    for index in 0..3 {
        runs.create(&waiting(index, at(index.into())), &event()).await.unwrap();
    }
    let newer = Db::open(&dir.db(), MIGRATIONS).unwrap();
    newer
        .write(|tx| {
            let id = waiting(0, at(0)).id;
            tx.execute(
                "UPDATE runs SET run = json_set(run, '$.status', 'unheard-of') WHERE id = ?1",
                [id.as_str()],
            )
        })
        .unwrap();
    let due = async |second| -> Vec<u32> {
        let due = runs.due(at(second), 2).await.unwrap();
        due.runs.iter().map(|run| u32::from_str_radix(run.id.as_str(), 16).unwrap()).collect()
    };
    assert_eq!(due(5).await, [1]);
    // It takes no place any more, for an hour.
    assert_eq!(due(5).await, [1, 2]);
    newer
        .write(|tx| tx.execute("UPDATE runs SET run = json_set(run, '$.status', 'waiting')", []))
        .unwrap();
    assert_eq!(due(3604).await, [1, 2]);
    assert_eq!(runs.due(at(3605), 9).await.unwrap().runs.len(), 3);
}

#[tokio::test]
async fn a_record_that_cannot_be_read_hides_no_other_and_keeps_none_waiting() {
    let (dir, runs) = open();
    for index in 0..3 {
        let mut run = waiting(index, at(5));
        (run.due_at, run.queue) = (None, Some(limit()));
        runs.create(&run, &event()).await.unwrap();
    }
    let ids = |runs: &[Run]| -> Vec<String> { runs.iter().map(|run| run.id.to_string()).collect() };
    let id = |index: u32| format!("{index:032x}");
    let other = Db::open(&dir.db(), MIGRATIONS).unwrap();
    for document in ["", "{}", r#"{"id": 1, "version": 9}"#] {
        other
            .write(|tx| tx.execute("UPDATE runs SET run = ?2 WHERE id = ?1", (id(1), document)))
            .unwrap();
        let listed = runs.list(&RunQuery::default()).await.unwrap();
        assert_eq!((ids(&listed.runs), listed.next), (vec![id(2), id(0)], None));
        // It has its place all the same, so that a list goes on behind it.
        let query = RunQuery { limit: Some(2), ..RunQuery::default() };
        let first = runs.list(&query).await.unwrap();
        assert_eq!(ids(&first.runs), [id(2)]);
        let second = runs.list(&RunQuery { after: first.next, ..query }).await.unwrap();
        assert_eq!((ids(&second.runs), second.next), (vec![id(0)], None));
        assert_eq!(ids(&runs.limit(&limit(), 10).await.unwrap().queue), [id(0), id(2)]);
    }
}

#[tokio::test]
async fn runs_whose_launch_may_have_died_are_looked_at_at_the_start() {
    let (_dir, runs) = open();
    let mut launching = waiting(1, at(300));
    launching.status = Status::Launching;
    let mut held = Run { id: waiting(2, at(300)).id, ..launching.clone() };
    held.message = Some(Box::new(HeldMessage {
        queue_arn: "q".to_owned(),
        id: "m".to_owned(),
        receipt_handle: "r".to_owned(),
        received_at: at(0),
        extend_at: at(200),
        own_due_at: Some(at(300)),
        others: Vec::new(),
    }));
    held.due_at = Some(at(200));
    for run in [&launching, &held, &waiting(3, at(300))] {
        runs.create(run, &event()).await.unwrap();
    }
    assert_eq!(runs.look_at_launches(at(10)).unwrap(), 2);
    assert_eq!(runs.look_at_launches(at(10)).unwrap(), 0);
    let due = runs.due(at(10), 100).await.unwrap().runs;
    let dates =
        |run: &Run| (run.due_at, run.message.as_ref().map(|it| (it.extend_at, it.own_due_at)));
    let expected = [(Some(at(10)), None), (Some(at(10)), Some((at(200), Some(at(10)))))];
    assert_eq!(due.iter().map(dates).collect::<Vec<_>>(), expected);
    // Whoever had read it before writes nothing over it.
    let late = runs.update(&launching, &ended(&launching, at(11))).await.unwrap();
    assert_eq!(late, Updated::Conflict);
}

fn limit() -> LimitId {
    LimitId { name: "all".to_owned(), key: String::new() }
}
