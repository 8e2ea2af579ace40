//! Limits: queues and slots move with the runs, in the same transaction.

use std::sync::Arc;

use taskferry_core::{
    limits::LimitId,
    run::{Run, Status},
};
use taskferry_engine::ports::{Created, Runs as _, Updated};

use super::{
    Store, admitted, crowd, ended, event, id, limit, limit_of, make, next, waiting, write,
};

const RULE: &str = "rule/order";

pub(crate) async fn a_run_waits_in_the_queue_of_its_limit(store: Arc<impl Store>) {
    assert_eq!(limit_of(store.runs(), RULE).await, (vec![], vec![]));
    let run = waiting("a", 1, &[(RULE, 1), ("all", 1)]);
    make(store.runs(), &run).await;
    let again = store.runs().create(&run, &event("e", "")).await.unwrap();
    assert_eq!(again, Created::Exists(Box::new(run.clone())));
    assert_eq!(limit_of(store.runs(), RULE).await, (vec![], vec![run.id.clone()]));
    assert_eq!(limit_of(store.runs(), "all").await, (vec![], vec![]));
    // The queue has the records themselves, as they are now.
    let written = next(&run, |run| run.reason = Some("waits".to_owned()));
    write(store.runs(), &run, &written).await;
    let state = store.runs().limit(&limit(RULE), 10).await.unwrap();
    assert_eq!(state.queue, [written]);
}

pub(crate) async fn a_queue_has_the_order_of_its_runs(store: Arc<impl Store>) {
    for (key, second) in [("c", 3), ("a", 1), ("d", 4), ("b", 2)] {
        make(store.runs(), &waiting(key, second, &[(RULE, 1)])).await;
    }
    let expected = ["a", "b", "c", "d"].map(|key| id("order", key));
    assert_eq!(limit_of(store.runs(), RULE).await.1, expected);
    let head = store.runs().limit(&limit(RULE), 2).await.unwrap();
    let head: Vec<_> = head.queue.into_iter().map(|run| run.id).collect();
    assert_eq!(head, expected[..2]);
}

pub(crate) async fn a_slot_is_held_from_admission_to_the_end(store: Arc<impl Store>) {
    let run = waiting("a", 1, &[(RULE, 1), ("all", 1)]);
    make(store.runs(), &run).await;
    let held = || async {
        let (rule, all) = (limit_of(store.runs(), RULE).await, limit_of(store.runs(), "all").await);
        assert_eq!((rule.1, all.1), (vec![], vec![]), "nobody waits");
        (rule.0.len(), all.0.len())
    };
    let launching = admitted(&run);
    write(store.runs(), &run, &launching).await;
    assert_eq!(held().await, (1, 1));
    // A wait between two attempts keeps it.
    let backing_off = next(&launching, |run| {
        run.status = Status::Waiting;
        run.due_at = Some(super::at(60));
    });
    write(store.runs(), &launching, &backing_off).await;
    assert_eq!(held().await, (1, 1));
    let failed = ended(&backing_off, Status::Failed);
    write(store.runs(), &backing_off, &failed).await;
    assert_eq!(held().await, (0, 0));
    // What is written after the end gives nothing back a second time.
    let other = waiting("b", 2, &[(RULE, 1)]);
    make(store.runs(), &other).await;
    write(store.runs(), &other, &admitted(&other)).await;
    let told = next(&failed, |run| run.redriven_by = Some(id("order", "c")));
    write(store.runs(), &failed, &told).await;
    assert_eq!(limit_of(store.runs(), RULE).await, (vec![other.id], vec![]));
}

pub(crate) async fn no_slot_is_given_past_the_limit(store: Arc<impl Store>) {
    let (one, other) = (waiting("a", 1, &[(RULE, 1)]), waiting("b", 2, &[(RULE, 1)]));
    make(store.runs(), &one).await;
    make(store.runs(), &other).await;
    write(store.runs(), &one, &admitted(&one)).await;
    let full = store.runs().update(&other, &admitted(&other)).await.unwrap();
    assert_eq!(full, Updated::Full(limit(RULE)));
    assert_eq!(store.runs().get(&other.id).await.unwrap(), Some(other.clone()));
    assert_eq!(limit_of(store.runs(), RULE).await, (vec![one.id.clone()], vec![other.id.clone()]));
    // Once it has come back, it goes to the next.
    let launching = admitted(&one);
    write(store.runs(), &launching, &ended(&launching, Status::Succeeded)).await;
    write(store.runs(), &other, &admitted(&other)).await;
    assert_eq!(limit_of(store.runs(), RULE).await, (vec![other.id], vec![]));
}

pub(crate) async fn a_conflict_goes_before_a_full_limit(store: Arc<impl Store>) {
    let (one, other) = (waiting("a", 1, &[(RULE, 1)]), waiting("b", 2, &[(RULE, 1)]));
    make(store.runs(), &one).await;
    make(store.runs(), &other).await;
    write(store.runs(), &one, &admitted(&one)).await;
    write(store.runs(), &other, &ended(&other, Status::Cancelled)).await;
    let late = store.runs().update(&other, &admitted(&other)).await.unwrap();
    assert_eq!(late, Updated::Conflict);
}

pub(crate) async fn a_run_of_several_limits_takes_all_slots_or_none(store: Arc<impl Store>) {
    let limits = [(RULE, 2), ("all", 1)];
    let (one, other) = (waiting("a", 1, &limits), waiting("b", 2, &limits));
    make(store.runs(), &one).await;
    make(store.runs(), &other).await;
    write(store.runs(), &one, &admitted(&one)).await;
    let full = store.runs().update(&other, &admitted(&other)).await.unwrap();
    assert_eq!(full, Updated::Full(limit("all")));
    assert_eq!(limit_of(store.runs(), RULE).await, (vec![one.id.clone()], vec![other.id]));
    assert_eq!(limit_of(store.runs(), "all").await, (vec![one.id], vec![]));
}

pub(crate) async fn a_run_moves_to_another_queue(store: Arc<impl Store>) {
    let run = waiting("a", 1, &[(RULE, 2), ("all", 1)]);
    make(store.runs(), &run).await;
    let moved = next(&run, |run| run.queue = Some(limit("all")));
    write(store.runs(), &run, &moved).await;
    assert_eq!(limit_of(store.runs(), RULE).await, (vec![], vec![]));
    assert_eq!(limit_of(store.runs(), "all").await, (vec![], vec![run.id.clone()]));
    write(store.runs(), &moved, &admitted(&moved)).await;
    assert_eq!(limit_of(store.runs(), RULE).await, (vec![run.id.clone()], vec![]));
    assert_eq!(limit_of(store.runs(), "all").await, (vec![run.id], vec![]));
}

pub(crate) async fn a_run_that_is_skipped_leaves_its_queue(store: Arc<impl Store>) {
    let run = waiting("a", 1, &[(RULE, 1)]);
    make(store.runs(), &run).await;
    write(store.runs(), &run, &ended(&run, Status::Skipped)).await;
    assert_eq!(limit_of(store.runs(), RULE).await, (vec![], vec![]));
}

pub(crate) async fn how_many_slots_there_are_the_run_says_that_takes_one(store: Arc<impl Store>) {
    let of = |key, second, of| waiting(key, second, &[(RULE, of)]);
    let waits: Vec<Run> =
        ["a", "b", "c", "d"].into_iter().zip(1..).map(|(key, second)| of(key, second, 2)).collect();
    for run in &waits {
        make(store.runs(), run).await;
    }
    let with = |run: &Run, of| {
        let mut next = admitted(run);
        next.slots[0].of = of;
        next
    };
    write(store.runs(), &waits[0], &with(&waits[0], 2)).await;
    write(store.runs(), &waits[1], &with(&waits[1], 2)).await;
    // Lowered, and back where it was: full. Raised: not full.
    for (of, expected) in [(1, false), (2, false), (3, true)] {
        let updated = store.runs().update(&waits[2], &with(&waits[2], of)).await.unwrap();
        let full = Updated::Full(limit(RULE));
        assert_eq!(updated, if expected { Updated::Done } else { full }, "of {of}");
    }
    // Lowered while more than that are held: as many must end first.
    for ends in &waits[..2] {
        let launching = with(ends, 2);
        let full = store.runs().update(&waits[3], &with(&waits[3], 1)).await.unwrap();
        assert_eq!(full, Updated::Full(limit(RULE)));
        write(store.runs(), &launching, &ended(&launching, Status::Succeeded)).await;
    }
    let full = store.runs().update(&waits[3], &with(&waits[3], 1)).await.unwrap();
    assert_eq!(full, Updated::Full(limit(RULE)));
    let launching = with(&waits[2], 3);
    write(store.runs(), &launching, &ended(&launching, Status::Succeeded)).await;
    write(store.runs(), &waits[3], &with(&waits[3], 1)).await;
}

pub(crate) async fn limits_of_other_keys_are_others(store: Arc<impl Store>) {
    let keyed = |key: &str, second, of_key: &str| {
        let mut run = waiting(key, second, &[(RULE, 1)]);
        of_key.clone_into(&mut run.slots[0].limit.key);
        run.queue = Some(run.slots[0].limit.clone());
        run
    };
    for (second, of_key) in (1..).zip(["", "tenant-1", "a#b", "ü/€ %23", "tenant-2"]) {
        let run = keyed(of_key, second, of_key);
        make(store.runs(), &run).await;
        write(store.runs(), &run, &admitted(&run)).await;
        let limit = LimitId { name: RULE.to_owned(), key: of_key.to_owned() };
        let state = store.runs().limit(&limit, 10).await.unwrap();
        assert_eq!(state.holders, [run.id], "{of_key}");
    }
}

pub(crate) async fn holders_are_told_the_oldest_first(store: Arc<impl Store>) {
    for (key, second) in [("b", 1), ("a", 2), ("d", 3), ("c", 4)] {
        let run = waiting(key, second, &[(RULE, 9)]);
        make(store.runs(), &run).await;
        write(store.runs(), &run, &admitted(&run)).await;
    }
    let expected = ["b", "a", "d", "c"].map(|key| id("order", key));
    assert_eq!(limit_of(store.runs(), RULE).await.0, expected);
}

pub(crate) async fn one_of_many_admits_a_run(store: Arc<impl Store>) {
    let run = waiting("a", 1, &[(RULE, 9)]);
    make(store.runs(), &run).await;
    let was = run.clone();
    let updated = crowd(&store, 16, move |store, index| {
        let was = was.clone();
        async move {
            let mut launching = admitted(&was);
            launching.reason = Some(index.to_string());
            store.runs().update(&was, &launching).await.unwrap()
        }
    })
    .await;
    let done = updated.iter().filter(|updated| **updated == Updated::Done).count();
    let conflicts = updated.iter().filter(|updated| **updated == Updated::Conflict).count();
    assert_eq!((done, conflicts), (1, 15));
    assert_eq!(limit_of(store.runs(), RULE).await, (vec![run.id], vec![]));
}

pub(crate) async fn slots_neither_leak_nor_exceed_their_limit_in_a_crowd(store: Arc<impl Store>) {
    const MANY: usize = 32;
    let limits = [(RULE, 4), ("all", 5)];
    let wait = move |index: usize| waiting(&index.to_string(), 1, &limits);
    crowd(&store, MANY, move |store, index| async move { make(store.runs(), &wait(index)).await })
        .await;
    let mut left: Vec<Run> = (0..MANY).map(wait).collect();
    while !left.is_empty() {
        let runs = left.clone();
        let updated = crowd(&store, left.len(), move |store, index| {
            let run = runs[index].clone();
            async move { store.runs().update(&run, &admitted(&run)).await.unwrap() }
        })
        .await;
        let is_done = |index: &usize| updated[*index] == Updated::Done;
        let held: Vec<Run> =
            (0..left.len()).filter(is_done).map(|index| admitted(&left[index])).collect();
        let expected = left.len().min(4);
        assert_eq!(held.len(), expected, "{updated:?}");
        let (rule, all) = (limit_of(store.runs(), RULE).await, limit_of(store.runs(), "all").await);
        assert_eq!((rule.0.len(), all.0.len()), (expected, expected));
        assert_eq!(rule.1.len(), left.len() - expected);
        left.retain(|run| held.iter().all(|held| held.id != run.id));
        crowd(&store, held.len(), move |store, index| {
            let run = held[index].clone();
            async move { write(store.runs(), &run, &ended(&run, Status::Succeeded)).await }
        })
        .await;
    }
    assert_eq!(limit_of(store.runs(), RULE).await, (vec![], vec![]));
    assert_eq!(limit_of(store.runs(), "all").await, (vec![], vec![]));
}
