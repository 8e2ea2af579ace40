//! One suite for each port, whatever implements it: what the engine may rely on.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, and says where")]

use jiff::Timestamp;
use taskferry_core::{
    event::Event,
    run::{Policy, Run, RunEvent, RunId, Status},
};
use taskferry_engine::ports::{Created, RunQuery, Runs, Updated};
use taskferry_local::{db, runs::SqliteRuns};

const EVENT: &str = r#"{"id":"e1","source":"shop","detail-type":"Order","time":"2026-01-01T00:00:00Z","detail":{}}"#;

fn event() -> Event {
    Event::parse(EVENT).unwrap()
}

fn run(rule: &str, dedupe_key: &str, second: i64) -> Run {
    Run {
        id: RunId::new("shop", rule, dedupe_key),
        rule: rule.to_owned(),
        status: Status::Launching,
        reason: None,
        dedupe_key: dedupe_key.to_owned(),
        event: RunEvent::from(&event()),
        created_at: Timestamp::from_second(second).unwrap(),
        ended_at: None,
        due_at: None,
        essential: vec!["app".to_owned()],
        size: None,
        policy: Policy::default(),
        slots: Vec::new(),
        queue: None,
        stop: None,
        redrive_of: None,
        redriven_by: None,
        depth: 0,
        payload: None,
        outbox: Vec::new(),
        attempts: Vec::new(),
        revision: 0,
    }
}

fn next(run: &Run, status: Status) -> Run {
    let mut next = run.clone();
    next.status = status;
    next.revision += 1;
    next
}

/// The contract of `Runs`, on an empty store.
async fn runs_keep_their_contract(runs: &impl Runs) {
    // Of several that record the same run one makes it, and the others are shown it.
    let first = run("order", "k", 1);
    assert_eq!(runs.create(&first, &event()).await.unwrap(), Created::New);
    let mut second = first.clone();
    second.reason = Some("another".to_owned());
    let created = runs.create(&second, &event()).await.unwrap();
    assert_eq!(created, Created::Exists(Box::new(first.clone())));

    // A record is read as it was written.
    assert_eq!(runs.get(&first.id).await.unwrap(), Some(first.clone()));
    assert_eq!(runs.get(&RunId::new("shop", "order", "none")).await.unwrap(), None);

    // Of two writes upon the same record one is done, and the other must decide anew.
    let starting = next(&first, Status::Starting);
    assert_eq!(runs.update(&first, &starting).await.unwrap(), Updated::Done);
    assert_eq!(
        runs.update(&first, &next(&first, Status::Failed)).await.unwrap(),
        Updated::Conflict
    );
    assert_eq!(runs.get(&first.id).await.unwrap(), Some(starting.clone()));
    let unknown = run("order", "unknown", 1);
    let starting_unknown = next(&unknown, Status::Starting);
    assert_eq!(runs.update(&unknown, &starting_unknown).await.unwrap(), Updated::Conflict);

    // Lists are the newest first, and answer what was asked.
    for (rule, key, second) in [("order", "l", 2), ("refund", "k", 3)] {
        runs.create(&run(rule, key, second), &event()).await.unwrap();
    }
    let list = async |query: RunQuery| {
        let listed = runs.list(&query).await.unwrap().runs;
        listed.iter().map(|run| format!("{}/{}", run.rule, run.dedupe_key)).collect::<Vec<_>>()
    };
    let all = RunQuery::default;
    assert_eq!(list(all()).await, ["refund/k", "order/l", "order/k"]);
    assert_eq!(list(RunQuery { limit: Some(1), ..all() }).await, ["refund/k"]);
    assert_eq!(
        list(RunQuery { rule: Some("order".into()), ..all() }).await,
        ["order/l", "order/k"]
    );
    assert_eq!(list(RunQuery { status: Some(Status::Starting), ..all() }).await, ["order/k"]);
    assert_eq!(list(RunQuery { dedupe_key: Some("k".into()), ..all() }).await.len(), 2);
    assert_eq!(list(RunQuery { event_id: Some("e1".into()), ..all() }).await.len(), 3);
    assert_eq!(list(RunQuery { event_id: Some("e2".into()), ..all() }).await, [""; 0]);

    // The beginning of an id is enough, where it names one.
    let found = runs.find(&first.id.as_str()[..12]).await.unwrap();
    assert_eq!(found, [starting]);
    assert_eq!(runs.find("").await.unwrap().len(), 2);
    assert_eq!(runs.find("~").await.unwrap(), []);
}

#[tokio::test]
async fn sqlite_keeps_the_contract_of_runs() {
    let dir = tempfile::tempdir().unwrap();
    runs_keep_their_contract(&SqliteRuns::open(&dir.path().join("runs.db")).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_many_processes_makes_a_run_in_sqlite() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("runs.db");
    let racers = (0..8).map(|_| {
        let path = path.clone();
        // A connection each, as each process has one.
        tokio::spawn(async move {
            let runs = SqliteRuns::open(&path).unwrap();
            let mut made = 0;
            for key in 0..50 {
                let run = run("order", &key.to_string(), 1);
                made += usize::from(runs.create(&run, &event()).await.unwrap() == Created::New);
            }
            made
        })
    });
    let mut made = 0;
    for racer in racers.collect::<Vec<_>>() {
        made += racer.await.unwrap();
    }
    assert_eq!(made, 50);
}

#[test]
fn records_of_a_newer_version_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("runs.db");
    drop(db::Db::open(&path, &["", "", "", "", "", "", "", "", "", ""]).unwrap());
    let refused = SqliteRuns::open(&path).unwrap_err().to_string();
    assert!(
        refused.ends_with("has schema version 10, and this taskferry knows versions up to 2"),
        "{refused}"
    );
}
