//! Queues that are long, and polls that are: that neither costs more than it must.

use std::time::Duration;

use tokio::time::timeout;

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

/// How SQLite goes about a statement.
fn plan(world: &World, sql: &str) -> String {
    world
        .db
        .read(|connection| {
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
            let parameters = vec![1; statement.parameter_count()];
            let steps = statement
                .query_map(rusqlite::params_from_iter(parameters), |row| row.get::<_, String>(3))?;
            Ok::<_, rusqlite::Error>(steps.collect::<Result<Vec<_>, _>>()?.join("; "))
        })
        .unwrap()
}

#[test]
fn no_statement_of_the_hot_paths_looks_through_a_table() {
    let world = World::new();
    for (sql, index) in [
        (
            "SELECT id FROM sqs_messages WHERE pool = ?1 AND visible_at <= ?2
             ORDER BY visible_at, sent_at, receives, id LIMIT ?3",
            "sqs_messages_visible",
        ),
        (
            "SELECT name FROM sqs_groups WHERE pool = ?1 AND available_at <= ?2 ORDER BY available_at, head LIMIT ?3",
            "sqs_groups_available",
        ),
        (
            "SELECT id FROM sqs_messages WHERE pool = ?1 AND fifo_group = ?2 ORDER BY id LIMIT ?3",
            "sqs_messages_ordered",
        ),
        (
            "SELECT max(visible_at) FROM sqs_messages WHERE pool = ?1 AND fifo_group = ?2 AND receives > 0",
            "sqs_messages_taken",
        ),
        (
            "SELECT min(visible_at) FROM sqs_messages WHERE pool = ?1 AND visible_at > ?2",
            "sqs_messages_visible",
        ),
        (
            "SELECT id FROM sqs_messages WHERE pool = ?1 AND visible_at < ?2 ORDER BY visible_at LIMIT ?3",
            "sqs_messages_visible",
        ),
    ] {
        let plan = plan(&world, sql);
        assert!(plan.contains(index), "{plan}");
        assert!(!plan.contains("SCAN") && !plan.contains("TEMP B-TREE"), "{plan}");
    }
}

fn waiting(
    world: &World,
    name: &'static str,
) -> tokio::task::JoinHandle<Result<Vec<String>, Refusal>> {
    let (queues, db) = (world.queues.clone(), Arc::clone(&world.db));
    tokio::spawn(async move {
        let received = queues.receive_waiting(&db, name, &wanted(1), Some(PATIENCE)).await?;
        Ok(received.into_iter().map(|message| message.body).collect())
    })
}

/// Until those who wait do.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_send_wakes_one_who_waits() {
    let world = World::new();
    world.create("q", &[]);
    let (one, other) = (waiting(&world, "q"), waiting(&world, "q"));
    settle().await;
    world.send("q", "1");
    world.send("q", "2");
    let mut bodies = Vec::new();
    for waiting in [one, other] {
        bodies.extend(timeout(PATIENCE, waiting).await.unwrap().unwrap().unwrap());
    }
    bodies.sort();
    assert_eq!(bodies, ["1", "2"]);
}

#[tokio::test]
async fn a_message_that_becomes_visible_is_received_then() {
    let world = World::new();
    world.create("q", &[]);
    let delayed = NewMessage { body: "late", delay_seconds: Some(1), ..NewMessage::default() };
    let waiting = waiting(&world, "q");
    settle().await;
    world.try_send("q", &delayed).unwrap();
    settle().await;
    // Who waits sleeps until then, and then goes by this clock.
    world.pass(SECOND);
    assert_eq!(timeout(PATIENCE, waiting).await.unwrap().unwrap(), Ok(vec!["late".to_owned()]));
}

#[tokio::test]
async fn who_waits_longer_takes_what_another_gave_up() {
    let world = World::new();
    world.create("q", &[("VisibilityTimeout", "1")]);
    let waiting = waiting(&world, "q");
    settle().await;
    world.send("q", "a");
    // Taken before the other looked.
    assert_eq!(world.bodies("q", 1), ["a"]);
    settle().await;
    world.pass(SECOND);
    assert_eq!(timeout(PATIENCE, waiting).await.unwrap().unwrap(), Ok(vec!["a".to_owned()]));
}

#[tokio::test]
async fn who_waits_for_a_queue_that_is_deleted_is_told() {
    let world = World::new();
    world.create("q", &[]);
    let waiting = waiting(&world, "q");
    settle().await;
    world
        .db
        .write(|tx| {
            let queue = find(tx, "q")?;
            Ok::<_, Fault>(world.queues.delete_queue(tx, &queue)?)
        })
        .unwrap();
    let answer = timeout(PATIENCE, waiting).await.unwrap().unwrap();
    assert_eq!(answer.unwrap_err().code, Code::QueueDoesNotExist);
}

#[tokio::test]
async fn nobody_waits_when_all_ends() {
    let world = World::new();
    world.create("q", &[]);
    let waiting = waiting(&world, "q");
    settle().await;
    world.queues.close();
    assert_eq!(timeout(PATIENCE, waiting).await.unwrap().unwrap(), Ok(Vec::new()));
}
