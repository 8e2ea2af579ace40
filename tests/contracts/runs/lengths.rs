//! Lengths: whatever an event holds, its run is recorded, moves, and is found.

use std::{slice, sync::Arc};

use serde_json::json;
use taskferry_core::{
    event::Event,
    launch::{self, Gate, TaskDefinition},
    lengths::{RECORD_BYTES_MAX, key},
    lifecycle::{self, Stack},
    plan::{Refusal, plan},
    rules::{self, Rules},
    run::{Run, Status},
};
use taskferry_engine::ports::{Created, RunQuery, Runs as _};

use super::{Store, admitted, at, ended, event, make, next, run, write};

const RULES: &str = r#"
name: shop
rules:
  - name: order
    on: { eventPattern: { source: [shop] } }
    dedupe: "{{ detail.order }}"
    concurrency: { limit: 1, key: "{{ detail.tenant }}" }
    target:
      taskDefinition: order
      tags: [ { key: note, value: "{{ detail.note }}" } ]
"#;

/// What the engine records of an event whose every text is long.
fn recorded(rules: &Rules, tenant: &str, order: &str, note: &str) -> (Run, Event) {
    let long = |text: &str| text.repeat(40_000);
    let text = json!({
        "id": long("i") + order, "source": long("s"), "detail-type": long("d"), "time": long("t"),
        "detail": { "tenant": long("\u{1f980}") + tenant, "order": long("\"") + order, "note": note },
    });
    let event = Event::parse(&text.to_string()).unwrap();
    let plan = plan(rules, &rules.rules[0], &event);
    let stack = Stack { name: "shop", publishes: true };
    let pinned = TaskDefinition {
        arn: "arn:aws:ecs:us-east-1:000000000000:task-definition/order:7".to_owned(),
        essential: vec!["app".to_owned()],
        size: None,
    };
    let run = if let Err(refusal) = &plan.request {
        assert!(matches!(refusal, Refusal::RequestTooLong { .. }), "{refusal}");
        launch::refused(&plan, at(1))
    } else {
        launch::record(&plan, "shop", &pinned, Gate::Open, at(1))
    };
    (lifecycle::begin(stack, run, at(1)), event)
}

pub(crate) async fn a_run_of_an_event_of_long_texts_is_recorded_and_keeps_to_its_limit(
    store: Arc<impl Store>,
) {
    let rules = rules::check(RULES).rules.unwrap();
    let (first, first_event) = recorded(&rules, "a", "1", "n");
    let (second, second_event) = recorded(&rules, "a", "2", "n");
    let (other, other_event) = recorded(&rules, "b", "3", "n");
    for (run, event) in [(&first, &first_event), (&second, &second_event), (&other, &other_event)] {
        assert_eq!(store.runs().create(run, event).await.unwrap(), Created::New);
        assert_eq!(store.runs().get(&run.id).await.unwrap().as_ref(), Some(run));
        let kept = store.runs().event(&run.id).await.unwrap();
        assert!(kept.as_deref() == Some(event.text()));
    }
    // The same tenant shares a limit, however long its name, and another does not.
    let limit = first.queue.clone().unwrap();
    assert_eq!(second.queue.as_ref(), Some(&limit));
    assert_ne!(other.queue.as_ref(), Some(&limit));
    write(store.runs(), &first, &admitted(&first)).await;
    let state = store.runs().limit(&limit, 10).await.unwrap();
    assert_eq!(state.holders, slice::from_ref(&first.id));
    assert_eq!(state.queue, slice::from_ref(&second));
    assert!(store.runs().due(at(100), 10).await.unwrap().limits.contains(&limit));
    // It is found by what it was recorded with.
    let query = RunQuery {
        event_id: Some(key(second_event.id().to_owned())),
        dedupe_key: Some(second.dedupe_key.clone()),
        ..RunQuery::default()
    };
    assert_eq!(store.runs().list(&query).await.unwrap().runs, [second]);
}

pub(crate) async fn a_run_whose_request_is_too_long_is_recorded_with_its_reason(
    store: Arc<impl Store>,
) {
    let rules = rules::check(RULES).rules.unwrap();
    let (refused, event) = recorded(&rules, "a", "1", &"n".repeat(500_000));
    assert_eq!(refused.status, Status::Failed);
    let reason = refused.reason.clone().unwrap();
    assert!(reason.contains("bytes of JSON, and 32768 is the most"), "{reason}");
    assert_eq!(store.runs().create(&refused, &event).await.unwrap(), Created::New);
    assert_eq!(store.runs().get(&refused.id).await.unwrap(), Some(refused.clone()));
    let again = store.runs().create(&refused, &event).await.unwrap();
    assert_eq!(again, Created::Exists(Box::new(refused)));
}

pub(crate) async fn the_longest_record_is_kept<S: Store>(store: Arc<S>) {
    let mut longest = run("order", "k", 1);
    longest.dedupe_key = "€".repeat(500);
    longest.event.id = "€".repeat(500);
    longest.reason = Some(String::new());
    let size = serde_json::to_string(&longest).unwrap().len();
    longest.reason = Some("x".repeat(RECORD_BYTES_MAX - size));
    // As much of an event as lies in the run's own item.
    let event = event("e", &"x".repeat(2048 - event("e", "").text().len()));
    assert_eq!(store.runs().create(&longest, &event).await.unwrap(), Created::New);
    if !S::COUNTS_SIZES {
        return;
    }
    let moved = next(&longest, |run| run.status = Status::Stopping);
    let moved =
        Run { reason: moved.reason.map(|reason| reason[..reason.len() - 10].into()), ..moved };
    write(store.runs(), &longest, &moved).await;
    assert_eq!(store.runs().get(&longest.id).await.unwrap(), Some(moved));
    // What is beside it is not in its way.
    let short = run("order", "short", 2);
    make(store.runs(), &short).await;
    write(store.runs(), &short, &ended(&short, Status::Succeeded)).await;
}
