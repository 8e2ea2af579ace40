//! The contract of `Runs`: each function begins with an empty store, and is a test of every store by `contract!`.

pub(crate) mod due;
pub(crate) mod lengths;
pub(crate) mod limits;
pub(crate) mod lists;
pub(crate) mod quotas;
pub(crate) mod records;

use std::{future::Future, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use taskferry_core::{
    event::Event,
    limits::{LimitId, Slot},
    rules::Overlap,
    run::{Policy, Run, RunEvent, RunId, Status},
};
use taskferry_engine::ports::{Created, Runs, Updated};

/// A store that the contract is held against.
pub(crate) trait Store: Send + Sync + 'static {
    /// What is tested.
    type Runs: Runs;

    /// Whether calls may race there. Where they may not, a crowd comes one after another.
    const MAY_RACE: bool = true;

    /// Whether an update is refused for what the record would be, and not for what it was besides.
    const COUNTS_SIZES: bool = true;

    /// The records.
    fn runs(&self) -> &Self::Runs;
}

/// Makes a test of each part of the contract; `$open` opens an empty store, and `$attribute` is put before each test.
macro_rules! contract {
    ($open:path, $attribute:meta) => {
        $crate::runs::contract!(@ $open, $attribute, records, a_run_is_made_once);
        $crate::runs::contract!(@ $open, $attribute, records, one_of_many_makes_a_run);
        $crate::runs::contract!(@ $open, $attribute, records, a_record_is_read_as_it_was_written);
        $crate::runs::contract!(@ $open, $attribute, records, a_write_upon_an_older_record_is_a_conflict);
        $crate::runs::contract!(@ $open, $attribute, records, of_many_writes_upon_a_record_one_is_done);
        $crate::runs::contract!(@ $open, $attribute, records, the_beginning_of_an_id_finds_its_run);
        $crate::runs::contract!(@ $open, $attribute, records, an_event_is_kept_whatever_its_length);
        $crate::runs::contract!(@ $open, $attribute, records, the_event_of_the_first_delivery_stays);
        $crate::runs::contract!(@ $open, $attribute, limits, a_run_waits_in_the_queue_of_its_limit);
        $crate::runs::contract!(@ $open, $attribute, limits, a_queue_has_the_order_of_its_runs);
        $crate::runs::contract!(@ $open, $attribute, limits, a_slot_is_held_from_admission_to_the_end);
        $crate::runs::contract!(@ $open, $attribute, limits, no_slot_is_given_past_the_limit);
        $crate::runs::contract!(@ $open, $attribute, limits, a_conflict_goes_before_a_full_limit);
        $crate::runs::contract!(@ $open, $attribute, limits, a_run_of_several_limits_takes_all_slots_or_none);
        $crate::runs::contract!(@ $open, $attribute, limits, a_run_moves_to_another_queue);
        $crate::runs::contract!(@ $open, $attribute, limits, a_run_that_is_skipped_leaves_its_queue);
        $crate::runs::contract!(@ $open, $attribute, limits, how_many_slots_there_are_the_run_says_that_takes_one);
        $crate::runs::contract!(@ $open, $attribute, limits, limits_of_other_keys_are_others);
        $crate::runs::contract!(@ $open, $attribute, limits, holders_are_told_the_oldest_first);
        $crate::runs::contract!(@ $open, $attribute, limits, one_of_many_admits_a_run);
        $crate::runs::contract!(@ $open, $attribute, limits, slots_neither_leak_nor_exceed_their_limit_in_a_crowd);
        $crate::runs::contract!(@ $open, $attribute, due, what_is_due_comes_by_its_date);
        $crate::runs::contract!(@ $open, $attribute, due, a_date_goes_with_the_write_that_changes_it);
        $crate::runs::contract!(@ $open, $attribute, due, a_run_that_has_ended_is_due_while_it_has_a_date);
        $crate::runs::contract!(@ $open, $attribute, due, what_is_due_comes_page_by_page);
        $crate::runs::contract!(@ $open, $attribute, due, a_limit_is_due_once_something_waits_for_it);
        $crate::runs::contract!(@ $open, $attribute, due, a_limit_is_due_at_its_date);
        $crate::runs::contract!(@ $open, $attribute, due, a_settlement_upon_an_older_state_hides_nobody);
        $crate::runs::contract!(@ $open, $attribute, due, a_slot_that_comes_back_makes_a_limit_due_that_something_waits_for);
        $crate::runs::contract!(@ $open, $attribute, due, a_run_that_waits_is_due_at_its_own_date_too);
        $crate::runs::contract!(@ $open, $attribute, lists, lists_are_the_newest_first);
        $crate::runs::contract!(@ $open, $attribute, lists, a_list_has_what_was_asked_for);
        $crate::runs::contract!(@ $open, $attribute, lists, a_list_keeps_to_its_times);
        $crate::runs::contract!(@ $open, $attribute, lists, pages_have_each_run_once);
        $crate::runs::contract!(@ $open, $attribute, lists, runs_made_in_between_disturb_no_page);
        $crate::runs::contract!(@ $open, $attribute, lists, dead_letters_are_those_that_nobody_has_had_done_again);
        $crate::runs::contract!(@ $open, $attribute, lists, a_place_that_no_page_told_is_refused);
        $crate::runs::contract!(@ $open, $attribute, lengths, a_run_of_an_event_of_long_texts_is_recorded_and_keeps_to_its_limit);
        $crate::runs::contract!(@ $open, $attribute, lengths, a_run_whose_request_is_too_long_is_recorded_with_its_reason);
        $crate::runs::contract!(@ $open, $attribute, lengths, the_longest_record_is_kept);
        $crate::runs::contract!(@ $open, $attribute, quotas, a_window_has_so_many_launches);
        $crate::runs::contract!(@ $open, $attribute, quotas, a_bucket_s_windows_are_its_own);
        $crate::runs::contract!(@ $open, $attribute, quotas, a_closed_window_has_none);
        $crate::runs::contract!(@ $open, $attribute, quotas, a_crowd_takes_no_launch_twice);
    };
    (@ $open:path, $attribute:meta, $part:ident, $name:ident) => {
        #[$attribute]
        #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn $name() {
            $crate::runs::$part::$name(std::sync::Arc::new($open().await)).await;
        }
    };
}
pub(crate) use contract;

/// Some seconds into the year.
fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_767_225_600 + second).unwrap()
}

fn event(id: &str, padding: &str) -> Event {
    let event = serde_json::json!({
        "id": id, "source": "shop", "detail-type": "Order", "time": "2026-01-01T00:00:00Z",
        "detail": { "padding": padding },
    });
    Event::parse(&event.to_string()).unwrap()
}

fn id(rule: &str, key: &str) -> RunId {
    RunId::new("shop", rule, key)
}

/// A run that is launching.
fn run(rule: &str, key: &str, second: i64) -> Run {
    Run {
        id: id(rule, key),
        rule: rule.to_owned(),
        status: Status::Launching,
        reason: None,
        dedupe_key: key.to_owned(),
        event: RunEvent::from(&event(&format!("event-{key}"), "")),
        created_at: at(second),
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
        is_untaken: false,
        message: None,
        payload: None,
        outbox: Vec::new(),
        attempts: Vec::new(),
        revision: 0,
    }
}

fn limit(name: &str) -> LimitId {
    LimitId { name: name.to_owned(), key: String::new() }
}

/// A run that waits for the first of these limits, each of so many.
fn waiting(key: &str, second: i64, limits: &[(&str, u32)]) -> Run {
    let mut run = run("order", key, second);
    run.status = Status::Waiting;
    run.slots = limits
        .iter()
        .map(|(name, of)| Slot { limit: limit(name), of: *of, overlap: Overlap::Queue })
        .collect();
    run.queue = run.slots.first().map(|slot| slot.limit.clone());
    run
}

/// The same run, changed and one revision on.
fn next(run: &Run, change: impl FnOnce(&mut Run)) -> Run {
    let mut next = run.clone();
    next.revision += 1;
    change(&mut next);
    next
}

/// Admitted: out of its queue, and launching.
fn admitted(run: &Run) -> Run {
    next(run, |run| {
        run.status = Status::Launching;
        run.queue = None;
    })
}

/// Ended so, a minute after it was made.
fn ended(run: &Run, status: Status) -> Run {
    next(run, |run| {
        run.status = status;
        run.queue = None;
        run.due_at = None;
        run.ended_at = Some(run.created_at + SignedDuration::from_mins(1));
    })
}

/// Makes the run.
async fn make(runs: &impl Runs, run: &Run) {
    let made = runs.create(run, &event(&run.event.id, "")).await.unwrap();
    assert_eq!(made, Created::New);
}

/// Writes `run` over `was`.
async fn write(runs: &impl Runs, was: &Run, run: &Run) {
    assert_eq!(runs.update(was, run).await.unwrap(), Updated::Done);
}

/// Whether the record of a run of this key was made.
pub(crate) async fn is_made(runs: &impl Runs, key: &str) -> bool {
    runs.create(&run("order", key, 1), &event("e", "")).await.unwrap() == Created::New
}

/// The ids of who holds slots of the limit, and of who waits for one.
async fn limit_of(runs: &impl Runs, name: &str) -> (Vec<RunId>, Vec<RunId>) {
    let state = runs.limit(&limit(name), 100).await.unwrap();
    (state.holders, state.queue.into_iter().map(|run| run.id).collect())
}

/// What comes of so many at once.
async fn crowd<S: Store, T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    store: &Arc<S>,
    many: usize,
    each: impl Fn(Arc<S>, usize) -> F,
) -> Vec<T> {
    let mut came = Vec::with_capacity(many);
    if S::MAY_RACE {
        let spawned: Vec<_> =
            (0..many).map(|index| tokio::spawn(each(Arc::clone(store), index))).collect();
        for spawned in spawned {
            came.push(spawned.await.unwrap());
        }
    } else {
        for index in 0..many {
            came.push(each(Arc::clone(store), index).await);
        }
    }
    came
}
