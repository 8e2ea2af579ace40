//! Due: what the sweep is told, and nothing else.

use std::{collections::BTreeSet, slice, sync::Arc};

use taskferry_core::{
    limits::LimitId,
    run::{Run, RunId, Status},
};
use taskferry_engine::ports::Runs;

use super::{Store, admitted, at, ended, id, limit, make, next, run, waiting, write};

const RULE: &str = "rule/order";

/// A run that is due then.
fn dated(key: &str, second: i64) -> Run {
    let mut run = run("order", key, 0);
    run.due_at = Some(at(second));
    run
}

async fn runs_due(runs: &impl Runs, second: i64, limit: u32) -> Vec<RunId> {
    let due = runs.due(at(second), limit).await.unwrap();
    due.runs.into_iter().map(|run| run.id).collect()
}

async fn limits_due(runs: &impl Runs, second: i64) -> Vec<LimitId> {
    runs.due(at(second), 100).await.unwrap().limits
}

pub(crate) async fn what_is_due_comes_by_its_date(store: Arc<impl Store>) {
    let runs = store.runs();
    assert_eq!(runs_due(runs, 1_000, 10).await, []);
    for (key, second) in [("c", 30), ("a", 10), ("d", 40), ("b", 20)] {
        make(runs, &dated(key, second)).await;
    }
    make(runs, &run("order", "never", 0)).await;
    let ids = ["a", "b", "c", "d"].map(|key| id("order", key));
    assert_eq!(runs_due(runs, 9, 10).await, []);
    assert_eq!(runs_due(runs, 10, 10).await, ids[..1]);
    assert_eq!(runs_due(runs, 35, 10).await, ids[..3]);
    assert_eq!(runs_due(runs, 1_000, 10).await, ids);
    assert_eq!(runs_due(runs, 1_000, 2).await, ids[..2]);
    // The record comes whole.
    assert_eq!(runs.due(at(10), 10).await.unwrap().runs, [dated("a", 10)]);
}

pub(crate) async fn a_date_goes_with_the_write_that_changes_it(store: Arc<impl Store>) {
    let runs = store.runs();
    let first = dated("a", 10);
    make(runs, &first).await;
    let later = next(&first, |run| run.due_at = Some(at(50)));
    write(runs, &first, &later).await;
    assert_eq!(runs_due(runs, 49, 10).await, []);
    assert_eq!(runs_due(runs, 50, 10).await, slice::from_ref(&first.id));
    let sooner = next(&later, |run| run.due_at = Some(at(20)));
    write(runs, &later, &sooner).await;
    assert_eq!(runs_due(runs, 20, 10).await, slice::from_ref(&first.id));
    let ended = ended(&sooner, Status::Succeeded);
    write(runs, &sooner, &ended).await;
    assert_eq!(runs_due(runs, 1_000_000, 10).await, []);
}

pub(crate) async fn a_run_that_has_ended_is_due_while_it_has_a_date(store: Arc<impl Store>) {
    let runs = store.runs();
    let first = dated("a", 10);
    make(runs, &first).await;
    let mut told = ended(&first, Status::Failed);
    told.due_at = Some(at(70));
    write(runs, &first, &told).await;
    assert_eq!(runs_due(runs, 69, 10).await, []);
    assert_eq!(runs_due(runs, 70, 10).await, slice::from_ref(&first.id));
    let tidied = next(&told, |run| run.due_at = None);
    write(runs, &told, &tidied).await;
    assert_eq!(runs_due(runs, 1_000, 10).await, []);
}

pub(crate) async fn what_is_due_comes_page_by_page(store: Arc<impl Store>) {
    let runs = store.runs();
    for index in 0..60 {
        make(runs, &dated(&index.to_string(), index / 4)).await;
    }
    let mut seen = BTreeSet::new();
    let mut before = at(0);
    loop {
        let page = runs.due(at(100), 7).await.unwrap().runs;
        assert!(page.len() <= 7);
        let Some(last) = page.last() else { break };
        let latest = last.due_at.unwrap();
        for run in &page {
            let due_at = run.due_at.unwrap();
            assert!(before <= due_at && due_at <= latest, "not by date");
            assert!(seen.insert(run.id.clone()), "{} came twice", run.id);
            before = due_at;
            write(runs, run, &next(run, |run| run.due_at = None)).await;
        }
    }
    assert_eq!(seen.len(), 60);
}

pub(crate) async fn a_limit_is_due_once_something_waits_for_it(store: Arc<impl Store>) {
    let runs = store.runs();
    make(runs, &waiting("a", 1, &[(RULE, 1)])).await;
    make(runs, &waiting("b", 2, &[(RULE, 1)])).await;
    make(runs, &waiting("c", 3, &[("all", 1)])).await;
    let due = runs.due(at(60), 100).await.unwrap();
    assert_eq!(due.runs, [], "they have no date of their own");
    let mut limits = due.limits;
    limits.sort();
    assert_eq!(limits, [limit("all"), limit(RULE)]);
    // Nobody has looked at them yet, so they stay due.
    assert_eq!(limits_due(runs, 120).await.len(), 2);
    // A run that goes over to another queue makes that one due.
    let (was, mut goes) = (waiting("d", 4, &[(RULE, 1), ("group/g", 1)]), None);
    make(runs, &was).await;
    let moved = next(&was, |run| run.queue = Some(limit("group/g")));
    write(runs, &was, goes.insert(moved)).await;
    assert!(limits_due(runs, 60).await.contains(&limit("group/g")));
}

pub(crate) async fn a_limit_is_due_at_its_date(store: Arc<impl Store>) {
    let runs = store.runs();
    let first = waiting("a", 1, &[(RULE, 1)]);
    make(runs, &first).await;
    assert_eq!(limits_due(runs, 60).await, [limit(RULE)]);
    let state = runs.limit(&limit(RULE), 10).await.unwrap();
    runs.settle_limit(&limit(RULE), state.revision, Some(at(120))).await.unwrap();
    assert_eq!(limits_due(runs, 119).await, []);
    assert_eq!(limits_due(runs, 120).await, [limit(RULE)]);
    // Once nothing waits, it has no date.
    write(runs, &first, &ended(&first, Status::Cancelled)).await;
    let state = runs.limit(&limit(RULE), 10).await.unwrap();
    assert_eq!((state.holders, state.queue), (vec![], vec![]));
    runs.settle_limit(&limit(RULE), state.revision, None).await.unwrap();
    assert_eq!(limits_due(runs, 1_000_000).await, []);
}

pub(crate) async fn a_settlement_upon_an_older_state_hides_nobody(store: Arc<impl Store>) {
    let runs = store.runs();
    for round in 0..3 {
        // Found empty.
        let state = runs.limit(&limit(RULE), 10).await.unwrap();
        assert_eq!(state.queue, []);
        // Then somebody joins, with or without a sweep that sees it at once.
        let run = waiting(&round.to_string(), 1, &[(RULE, 9)]);
        make(runs, &run).await;
        if round > 0 {
            assert_eq!(limits_due(runs, 60).await, [limit(RULE)]);
        }
        runs.settle_limit(&limit(RULE), state.revision, None).await.unwrap();
        assert_eq!(limits_due(runs, 60).await, [limit(RULE)], "round {round}");
        write(runs, &run, &admitted(&run)).await;
        let state = runs.limit(&limit(RULE), 10).await.unwrap();
        runs.settle_limit(&limit(RULE), state.revision, None).await.unwrap();
        assert_eq!(limits_due(runs, 60).await, [], "round {round}");
    }
}

pub(crate) async fn a_slot_that_comes_back_makes_a_limit_due_that_something_waits_for(
    store: Arc<impl Store>,
) {
    let runs = store.runs();
    let (one, other) = (waiting("a", 1, &[(RULE, 1)]), waiting("b", 2, &[(RULE, 1)]));
    make(runs, &one).await;
    make(runs, &other).await;
    let launching = admitted(&one);
    write(runs, &one, &launching).await;
    assert_eq!(limits_due(runs, 60).await, [limit(RULE)]);
    let state = runs.limit(&limit(RULE), 10).await.unwrap();
    runs.settle_limit(&limit(RULE), state.revision, Some(at(10_000))).await.unwrap();
    assert_eq!(limits_due(runs, 100).await, []);
    // Whoever ended it may have died before it admitted the next.
    let succeeded = ended(&launching, Status::Succeeded);
    write(runs, &launching, &succeeded).await;
    assert_eq!(limits_due(runs, 100).await, [limit(RULE)]);
    // And one that nothing waits for stays where it is.
    write(runs, &other, &admitted(&other)).await;
    let state = runs.limit(&limit(RULE), 10).await.unwrap();
    runs.settle_limit(&limit(RULE), state.revision, None).await.unwrap();
    let launching = admitted(&other);
    write(runs, &launching, &ended(&launching, Status::Succeeded)).await;
    assert_eq!(limits_due(runs, 1_000_000).await, []);
}

pub(crate) async fn a_run_that_waits_is_due_at_its_own_date_too(store: Arc<impl Store>) {
    let runs = store.runs();
    let mut first = waiting("a", 1, &[(RULE, 1)]);
    first.due_at = Some(at(500));
    make(runs, &first).await;
    let due = runs.due(at(60), 100).await.unwrap();
    assert_eq!((due.runs, due.limits), (vec![], vec![limit(RULE)]));
    let state = runs.limit(&limit(RULE), 10).await.unwrap();
    runs.settle_limit(&limit(RULE), state.revision, Some(at(10_000))).await.unwrap();
    assert_eq!(runs_due(runs, 499, 10).await, []);
    assert_eq!(limits_due(runs, 499).await, []);
    assert_eq!(runs_due(runs, 500, 10).await, [first.id]);
}
