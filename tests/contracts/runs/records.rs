//! Records: made once, written over the one before, found again.

use std::{slice, sync::Arc};

use taskferry_core::{
    chain::LifecycleEvent,
    event::SIZE_BYTES_MAX,
    failure::FailureClass,
    run::{Attempt, ContainerExit, Status, Stop, StopCause, TaskSize},
};
use taskferry_engine::ports::{Created, Runs as _, Updated};

use super::{Store, at, crowd, event, id, make, next, run, waiting, write};

pub(crate) async fn a_run_is_made_once(store: Arc<impl Store>) {
    let first = run("order", "k", 1);
    make(store.runs(), &first).await;
    let second = next(&first, |run| run.reason = Some("another".to_owned()));
    let created = store.runs().create(&second, &event("e2", "")).await.unwrap();
    assert_eq!(created, Created::Exists(Box::new(first.clone())));
    assert_eq!(store.runs().get(&first.id).await.unwrap(), Some(first.clone()));

    // What is shown is what stands there now.
    let moved = next(&first, |run| run.status = Status::Running);
    write(store.runs(), &first, &moved).await;
    let created = store.runs().create(&second, &event("e2", "")).await.unwrap();
    assert_eq!(created, Created::Exists(Box::new(moved)));
}

pub(crate) async fn one_of_many_makes_a_run(store: Arc<impl Store>) {
    let of = |index: usize| next(&run("order", "k", 1), |run| run.reason = Some(index.to_string()));
    let created = crowd(&store, 16, move |store, index| async move {
        store.runs().create(&of(index), &event("e", "")).await.unwrap()
    })
    .await;
    let made: Vec<_> = (0..16).filter(|index| created[*index] == Created::New).collect();
    let [made] = made[..] else { panic!("{made:?} made it") };
    for (index, created) in created.into_iter().enumerate() {
        assert!(index == made || created == Created::Exists(Box::new(of(made))));
    }
}

pub(crate) async fn a_record_is_read_as_it_was_written(store: Arc<impl Store>) {
    let mut whole = waiting("über/schlüssel 'ü' \u{1f980}", 1, &[("rule/order", 2), ("all", 9)]);
    whole.created_at = "2026-01-01T00:00:01.123456789Z".parse().unwrap();
    whole.due_at = Some(at(60));
    whole.reason = Some("a reason\nof two lines".to_owned());
    whole.size = Some(TaskSize { cpu: "256".to_owned(), memory: "512".to_owned() });
    whole.stop = Some(Stop { cause: StopCause::Cancelled, reason: "r".to_owned(), at: at(3) });
    whole.redrive_of = Some(id("order", "before"));
    whole.depth = 3;
    whole.payload = Some("s3://bucket/key.json".to_owned());
    whole.outbox = LifecycleEvent::ALL.to_vec();
    whole.attempts.push(Attempt {
        attempt: 1,
        request: Some(r#"{ "taskDefinition":"t:1",  "n": 1.10 }"#.to_owned()),
        cluster: Some("batch".to_owned()),
        task_arn: Some("arn".to_owned()),
        created_at: at(1),
        sends: 2,
        throttles: 1,
        started_at: Some(at(2)),
        stopped_at: Some(at(3)),
        stop_code: Some("EssentialContainerExited".to_owned()),
        stopped_reason: Some(String::new()),
        failure_class: Some(FailureClass::OutOfMemory),
        containers: vec![ContainerExit {
            name: "app".to_owned(),
            exit_code: Some(-1),
            reason: None,
        }],
        version: Some(i64::MAX),
    });
    make(store.runs(), &whole).await;
    assert_eq!(store.runs().get(&whole.id).await.unwrap(), Some(whole.clone()));
    let written = next(&whole, |run| run.redriven_by = Some(id("order", "again")));
    write(store.runs(), &whole, &written).await;
    assert_eq!(store.runs().get(&whole.id).await.unwrap(), Some(written));
    assert_eq!(store.runs().get(&id("order", "none")).await.unwrap(), None);
}

pub(crate) async fn a_write_upon_an_older_record_is_a_conflict(store: Arc<impl Store>) {
    let first = run("order", "k", 1);
    make(store.runs(), &first).await;
    let starting = next(&first, |run| run.status = Status::Starting);
    write(store.runs(), &first, &starting).await;
    let late = next(&first, |run| run.status = Status::Failed);
    assert_eq!(store.runs().update(&first, &late).await.unwrap(), Updated::Conflict);
    assert_eq!(store.runs().get(&first.id).await.unwrap(), Some(starting));

    let unknown = run("order", "unknown", 1);
    let moved = next(&unknown, |run| run.status = Status::Starting);
    assert_eq!(store.runs().update(&unknown, &moved).await.unwrap(), Updated::Conflict);
    assert_eq!(store.runs().get(&unknown.id).await.unwrap(), None);
}

pub(crate) async fn of_many_writes_upon_a_record_one_is_done(store: Arc<impl Store>) {
    let first = run("order", "k", 1);
    make(store.runs(), &first).await;
    let was = first.clone();
    let updated = crowd(&store, 16, move |store, index| {
        let was = was.clone();
        async move {
            let run = next(&was, |run| run.reason = Some(index.to_string()));
            store.runs().update(&was, &run).await.unwrap()
        }
    })
    .await;
    let done: Vec<_> = (0..16).filter(|index| updated[*index] == Updated::Done).collect();
    let [done] = done[..] else { panic!("{done:?} were done") };
    let stands = store.runs().get(&first.id).await.unwrap().unwrap();
    assert_eq!(stands.reason, Some(done.to_string()));
    assert_eq!(stands.revision, 1);
}

pub(crate) async fn the_beginning_of_an_id_finds_its_run(store: Arc<impl Store>) {
    let first = run("order", "k", 1);
    make(store.runs(), &first).await;
    for key in 0..40 {
        make(store.runs(), &run("order", &key.to_string(), 2)).await;
    }
    let id = first.id.as_str();
    for prefix in [&id[..12], &id[..31], id] {
        assert_eq!(store.runs().find(prefix).await.unwrap(), slice::from_ref(&first), "{prefix}");
    }
    assert_eq!(store.runs().find("").await.unwrap().len(), 2);
    // Of 41 ids, some begin with the same digit.
    let several = (0..16).map(|digit| format!("{digit:x}"));
    let mut most = 0;
    for digit in several {
        let found = store.runs().find(&digit).await.unwrap();
        assert!(found.iter().all(|run| run.id.as_str().starts_with(&digit)));
        most = most.max(found.len());
    }
    assert_eq!(most, 2);
    for nothing in ["~", "é", "zz", "0'", &format!("{id}0")] {
        assert_eq!(store.runs().find(nothing).await.unwrap(), [], "{nothing}");
    }
}

pub(crate) async fn an_event_is_kept_whatever_its_length(store: Arc<impl Store>) {
    let overhead = event("e", "").text().len();
    for (key, length) in [("a", 0), ("b", 2_500), ("c", 390_000), ("d", SIZE_BYTES_MAX - overhead)]
    {
        // Of three bytes each, so that no cut in bytes falls between characters by luck.
        let padding = format!("{}{}", "€".repeat(length / 3), "x".repeat(length % 3));
        let long = event("e", &padding);
        let first = run("order", key, 1);
        let made = store.runs().create(&first, &long).await.unwrap();
        assert_eq!(made, Created::New);
        let moved = next(&first, |run| run.status = Status::Running);
        write(store.runs(), &first, &moved).await;
        let kept = store.runs().event(&first.id).await.unwrap();
        assert!(kept.as_deref() == Some(long.text()), "{length} bytes");
        assert_eq!(store.runs().get(&first.id).await.unwrap(), Some(moved));
    }
    assert_eq!(store.runs().event(&id("order", "none")).await.unwrap(), None);
}

pub(crate) async fn the_event_of_the_first_delivery_stays(store: Arc<impl Store>) {
    for length in [10, 50_000] {
        let first = run("order", &length.to_string(), 1);
        let (one, other) = (event("e1", &"1".repeat(length)), event("e2", &"2".repeat(length)));
        store.runs().create(&first, &one).await.unwrap();
        store.runs().create(&first, &other).await.unwrap();
        let kept = store.runs().event(&first.id).await.unwrap();
        assert!(kept.as_deref() == Some(one.text()), "{length} bytes");
    }
}
