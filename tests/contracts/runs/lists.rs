//! Lists: the newest first, what was asked for, each run once however long the pages are.

use std::sync::Arc;

use taskferry_core::run::{Run, Status};
use taskferry_engine::ports::{Error, RunQuery, Runs};

use super::{Store, at, ended, id, make, next, run, write};

/// `RULE/KEY` of each run that the query asks for, all pages together.
async fn list(runs: &impl Runs, query: &RunQuery) -> Vec<String> {
    let mut listed = Vec::new();
    let mut query = query.clone();
    loop {
        let page = runs.list(&query).await.unwrap();
        if let Some(limit) = query.limit {
            assert!(page.runs.len() <= limit as usize);
        }
        listed.extend(page.runs.iter().map(|run| format!("{}/{}", run.rule, run.dedupe_key)));
        match page.next {
            Some(next) => query.after = Some(next),
            None => return listed,
        }
    }
}

/// A query, and which runs it asks for.
type Asked = (RunQuery, fn(&Run) -> bool);

fn all() -> RunQuery {
    RunQuery::default()
}

/// Thirty runs of three rules, a few of them of the same second, each third one failed.
async fn thirty(runs: &impl Runs) -> Vec<Run> {
    let mut made = Vec::new();
    for index in 0..30_i64 {
        let rule = ["order", "refund", "report"][usize::try_from(index % 7 % 3).unwrap()];
        let first = run(rule, &format!("{index:02}"), index / 2);
        make(runs, &first).await;
        if index % 3 == 0 {
            let failed = ended(&first, Status::Failed);
            write(runs, &first, &failed).await;
            made.push(failed);
        } else {
            made.push(first);
        }
    }
    made.sort_by(|one, other| (other.created_at, &other.id).cmp(&(one.created_at, &one.id)));
    made
}

fn names<'a>(runs: impl IntoIterator<Item = &'a Run>) -> Vec<String> {
    runs.into_iter().map(|run| format!("{}/{}", run.rule, run.dedupe_key)).collect()
}

pub(crate) async fn lists_are_the_newest_first(store: Arc<impl Store>) {
    assert_eq!(list(store.runs(), &all()).await, [""; 0]);
    for (rule, key, second) in [("order", "b", 2), ("refund", "a", 3), ("order", "a", 1)] {
        make(store.runs(), &run(rule, key, second)).await;
    }
    assert_eq!(list(store.runs(), &all()).await, ["refund/a", "order/b", "order/a"]);
    let page = store.runs().list(&RunQuery { limit: Some(1), ..all() }).await.unwrap();
    assert_eq!(names(&page.runs), ["refund/a"]);
    // Of one moment, in a fixed order.
    for key in ["x", "y", "z"] {
        make(store.runs(), &run("refund", key, 3)).await;
    }
    let listed = list(store.runs(), &all()).await;
    assert_eq!(listed, list(store.runs(), &RunQuery { limit: Some(1), ..all() }).await);
}

pub(crate) async fn a_list_has_what_was_asked_for(store: Arc<impl Store>) {
    let runs = store.runs();
    let made = thirty(runs).await;
    let queries: [Asked; 8] = [
        (RunQuery { rule: Some("order".to_owned()), ..all() }, |run| run.rule == "order"),
        (RunQuery { rule: Some("none".to_owned()), ..all() }, |_| false),
        (RunQuery { status: Some(Status::Failed), ..all() }, |run| run.status == Status::Failed),
        (RunQuery { status: Some(Status::Running), ..all() }, |_| false),
        (RunQuery { event_id: Some("event-07".to_owned()), ..all() }, |run| run.dedupe_key == "07"),
        (RunQuery { dedupe_key: Some("08".to_owned()), ..all() }, |run| run.dedupe_key == "08"),
        (RunQuery { dead_letters: true, rule: Some("refund".to_owned()), ..all() }, |run| {
            run.is_dead_letter() && run.rule == "refund"
        }),
        (
            RunQuery {
                rule: Some("order".to_owned()),
                status: Some(Status::Launching),
                created_from: Some(at(3)),
                created_before: Some(at(12)),
                ..all()
            },
            |run| {
                run.rule == "order"
                    && run.status == Status::Launching
                    && (at(3)..at(12)).contains(&run.created_at)
            },
        ),
    ];
    for (query, asked_for) in queries {
        let expected = names(made.iter().filter(|run| asked_for(run)));
        assert_eq!(list(runs, &query).await, expected, "{query:?}");
    }
}

pub(crate) async fn a_list_keeps_to_its_times(store: Arc<impl Store>) {
    for (key, second) in [("a", 1), ("b", 2), ("c", 3), ("d", 4)] {
        make(store.runs(), &run("order", key, second)).await;
    }
    let between = |from, before| RunQuery { created_from: from, created_before: before, ..all() };
    let (two, four) = (Some(at(2)), Some(at(4)));
    assert_eq!(list(store.runs(), &between(two, four)).await, ["order/c", "order/b"]);
    assert_eq!(list(store.runs(), &between(None, two)).await, ["order/a"]);
    assert_eq!(list(store.runs(), &between(four, None)).await, ["order/d"]);
    assert_eq!(list(store.runs(), &between(four, two)).await, [""; 0]);
}

pub(crate) async fn pages_have_each_run_once(store: Arc<impl Store>) {
    let runs = store.runs();
    let made = thirty(runs).await;
    let order = RunQuery { rule: Some("order".to_owned()), ..all() };
    let failed = RunQuery { status: Some(Status::Failed), ..all() };
    let dead = RunQuery { dead_letters: true, ..all() };
    let early = RunQuery { created_before: Some(at(9)), ..all() };
    let queries: [Asked; 5] = [
        (all(), |_| true),
        (order, |run| run.rule == "order"),
        (failed, |run| run.status == Status::Failed),
        (dead, Run::is_dead_letter),
        (early, |run| run.created_at < at(9)),
    ];
    for (query, asked_for) in queries {
        let expected = names(made.iter().filter(|run| asked_for(run)));
        for limit in [4, 29, 30, 31] {
            let query = RunQuery { limit: Some(limit), ..query.clone() };
            assert_eq!(list(runs, &query).await, expected, "{query:?}");
        }
    }
}

pub(crate) async fn runs_made_in_between_disturb_no_page(store: Arc<impl Store>) {
    let runs = store.runs();
    for index in 0..10 {
        make(runs, &run("order", &format!("{index:02}"), index)).await;
    }
    let first = runs.list(&RunQuery { limit: Some(4), ..all() }).await.unwrap();
    make(runs, &run("order", "new", 100)).await;
    let moved = first.runs.last().unwrap();
    write(runs, moved, &ended(moved, Status::Failed)).await;
    let rest = list(runs, &RunQuery { after: first.next, ..all() }).await;
    let expected: Vec<_> = (0..6).rev().map(|index| format!("order/{index:02}")).collect();
    assert_eq!(rest, expected);
}

pub(crate) async fn dead_letters_are_those_that_nobody_has_had_done_again(store: Arc<impl Store>) {
    let runs = store.runs();
    let statuses = [Status::Failed, Status::TimedOut, Status::Cancelled, Status::Succeeded];
    let mut dead = Vec::new();
    for (status, second) in statuses.into_iter().zip(1..) {
        let first = run("order", status.as_str(), second);
        make(runs, &first).await;
        let ended = ended(&first, status);
        write(runs, &first, &ended).await;
        dead.push(ended);
    }
    let query = RunQuery { dead_letters: true, ..all() };
    assert_eq!(list(runs, &query).await, ["order/timedOut", "order/failed"]);
    // One can be made dead, by a rule that does not fit its event.
    let mut refused = run("order", "refused", 9);
    refused.status = Status::Failed;
    refused.ended_at = Some(refused.created_at);
    make(runs, &refused).await;
    let redriven = next(&dead[0], |run| run.redriven_by = Some(id("order", "again")));
    write(runs, &dead[0], &redriven).await;
    assert_eq!(list(runs, &query).await, ["order/refused", "order/timedOut"]);
}

pub(crate) async fn a_place_that_no_page_told_is_refused(store: Arc<impl Store>) {
    make(store.runs(), &run("order", "a", 1)).await;
    let query = RunQuery { after: Some("yesterday".to_owned()), ..all() };
    assert!(matches!(store.runs().list(&query).await, Err(Error::Refused { .. })));
}
