//! Messages of queues on real records, with an ECS and queues that do as they are told: none is lost, none runs twice.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, and says where")]

#[path = "../process.rs"]
mod process;
mod world;

use jiff::SignedDuration;
use serde_json::{Value, json};
use taskferry_core::{
    event::{Event, sqs},
    run::{Run, Status},
};
use taskferry_engine::ports::{Clock as _, Runs as _};

use self::world::{World, job, message, order, s3, step, uploaded};

#[tokio::test]
async fn one_bad_message_of_ten_is_kept_and_nine_run() {
    let world = World::new();
    let task = |n| if n == 4 { "away" } else { "order" };
    let batch: Vec<Value> = (0..10).map(|n| order(&format!("m{n}"), n, task(n))).collect();
    assert_eq!(world.receive(&batch).await, ["m4"]);
    assert_eq!(world.told(|told| told.requests.len()), 9);
    // It comes again with all the others, and nothing runs twice.
    assert_eq!(world.receive(&batch).await, ["m4"]);
    assert_eq!(world.list().await.len(), 9);
}

#[tokio::test]
async fn what_can_never_be_taken_is_kept_once_with_its_reason_and_does_not_come_again() {
    let world = World::new();
    let long = message("orders", "long", None, &"\"".repeat(1 << 20));
    let unfit = message("orders", "unfit", None, "no order");
    let liar = message("uploads", "liar", None, &s3(&json!({ "eventSource": "aws:s3" })));
    for _ in 0..2 {
        assert!(world.receive(&[long.clone(), unfit.clone(), liar.clone()]).await.is_empty());
    }
    let runs = world.list().await;
    let reasons: Vec<_> = runs.iter().map(|run| run.reason.as_deref().unwrap()).collect();
    assert_eq!(runs.len(), 3, "{reasons:?}");
    assert!(runs.iter().all(Run::is_dead_letter));
    assert!(reasons.iter().any(|it| it.contains("bytes long")), "{reasons:?}");
    assert!(reasons.iter().any(|it| it.contains("missing field")), "{reasons:?}");
    let event = world.runs().event(&runs[2].id).await.unwrap().unwrap();
    assert!(event.contains(r#""messageId":"liar""#), "{event}");
    assert!(world.told(|told| told.requests.is_empty()));
}

#[tokio::test]
async fn what_can_never_be_taken_is_done_again_only_with_another_event_in_its_place() {
    let world = World::new();
    let liar = message("orders", "liar", None, &s3(&json!({ "eventSource": "aws:s3" })));
    world.receive(&[liar]).await;
    let [run] = <[Run; 1]>::try_from(world.list().await).unwrap();
    let engine = world.engine();
    let refused = [
        engine.redrive(&run.id, None).await.unwrap_err().to_string(),
        engine.foresee_redrive(&run.id, None).await.unwrap_err().to_string(),
    ];
    for refused in refused {
        assert!(refused.contains("hand in the event that it should have been"), "{refused}");
    }
    let kept = world.runs().event(&run.id).await.unwrap().unwrap();
    let mut event: Value = serde_json::from_str(&kept).unwrap();
    event["detail"]["body"] = json!({ "n": 1, "task": "order" });
    let mended = Event::parse(&event.to_string()).unwrap();
    engine.redrive(&run.id, Some(mended)).await.unwrap();
    assert_eq!(world.told(|told| told.requests.len()), 1);
}

#[tokio::test]
async fn after_a_message_that_is_kept_its_group_waits_and_others_go_on() {
    let world = World::new();
    let batch = [
        step("a1", "a", "order"),
        step("a2", "a", "away"),
        step("b1", "b", "order"),
        step("a3", "a", "order"),
        step("b2", "b", "order"),
    ];
    assert_eq!(world.receive(&batch).await, ["a2", "a3"]);
    assert_eq!(world.list().await.len(), 3);
}

#[tokio::test]
async fn what_was_not_begun_in_time_is_kept() {
    let world = World::new();
    let batch = [order("m1", 1, "order"), order("m2", 2, "order")];
    assert_eq!(world.receive_until(&batch, world.clock.now()).await, ["m1", "m2"]);
    assert!(world.list().await.is_empty());
}

#[tokio::test]
async fn a_message_of_many_events_does_not_outlast_its_function() {
    let world = World::new();
    world.told(|told| told.slow = Some(world.clock.clone()));
    let records: Vec<Value> = (0..12).map(|n| uploaded(&format!("in/{n}.csv"))).collect();
    let many = [message("uploads", "m", None, &json!({ "Records": records }).to_string())];
    let mut begun = Vec::new();
    for kept in [&["m"][..], &["m"], &[]] {
        assert_eq!(world.receive(&many).await, kept);
        let runs = world.list().await;
        begun.push(runs.len());
        for run in &runs {
            world.succeed(run).await;
        }
    }
    // Each delivery goes on where the last was cut off, and nothing runs twice.
    assert_eq!((begun, world.tasks()), (vec![5, 10, 12], 12));
}

#[tokio::test]
async fn the_last_run_of_a_held_message_is_not_begun_when_the_time_is_over_either() {
    let world = World::new();
    world.told(|told| told.slow = Some(world.clock.clone()));
    let until = world.clock.now() + SignedDuration::from_secs(5);
    assert_eq!(world.receive_until(&[job("m", true)], until).await, ["m"]);
    let [held] = &world.list().await[..] else { panic!("one run") };
    assert_eq!((held.rule.as_str(), &held.message, world.tasks()), ("held", &None, 1));
    // It comes again, and goes on where it was cut off.
    assert_eq!(world.receive(&[job("m", true)]).await, ["m"]);
    let [_, last] = &world.list().await[..] else { panic!("two runs") };
    assert_eq!(world.tasks(), 2);
    assert_eq!(last.message.as_ref().unwrap().others, std::slice::from_ref(&held.id));
}

#[tokio::test]
async fn a_queue_that_no_rule_names_keeps_its_messages() {
    let world = World::new();
    let batch = [message("other", "m", None, "{}"), order("m1", 1, "order")];
    assert_eq!(world.receive(&batch).await, ["m"]);
}

#[tokio::test]
async fn a_message_starts_what_names_its_queue_and_nothing_else() {
    let world = World::new();
    let body = s3(&uploaded("in/a%2Bb+c.csv"));
    let batch = [
        message("uploads", "m1", None, &body),
        // Who may write orders must not be able to say what was uploaded.
        message("orders", "m2", None, &body),
        message("uploads", "test", None, r#"{"Service":"Amazon S3","Event":"s3:TestEvent"}"#),
    ];
    assert!(world.receive(&batch).await.is_empty());
    let runs = world.list().await;
    let told: Vec<_> = runs.iter().map(|run| (run.rule.as_str(), run.status)).collect();
    assert_eq!(told, [("order", Status::Failed), ("uploaded", Status::Launching)]);
    let command = world
        .told(|told| told.requests[0]["overrides"]["containerOverrides"][0]["command"].clone());
    assert_eq!(command, json!(["in/a+b c.csv"]));
}

#[tokio::test]
async fn a_held_message_is_extended_until_its_run_has_ended_and_then_deleted() {
    let world = World::new();
    assert_eq!(world.receive(&[job("m", false)]).await, ["m"]);
    assert_eq!(world.told(|told| told.extended.clone()), [("receipt of m".to_owned(), 600)]);
    let begun = world.clock.now();
    for minutes in [5, 10, 15, 20] {
        world.sweep_when_due().await;
        assert_eq!(world.clock.now(), begun + SignedDuration::from_mins(minutes));
    }
    assert_eq!(world.told(|told| told.extended.len()), 5);
    let [run] = &world.list().await[..] else { panic!("one run") };
    assert!(world.told(|told| told.deleted.is_empty()));
    world.succeed(run).await;
    assert_eq!(world.told(|told| told.deleted.clone()), ["receipt of m"]);
    let [run] = &world.list().await[..] else { panic!("one run") };
    assert_eq!((run.status, &run.message, run.due_at), (Status::Succeeded, &None, None));
    // Were it delivered once more after all, it is done.
    assert!(world.receive(&[job("m", false)]).await.is_empty());
    assert_eq!(world.tasks(), 1);
}

#[tokio::test]
async fn a_message_is_extended_in_time_by_who_was_frozen_when_it_last_was() {
    let world = World::new();
    world.receive(&[job("m", false)]).await;
    world.told(|told| told.frozen = Some(world.clock.clone()));
    let due_at = world.list().await[0].due_at.unwrap();
    world.clock.sleep_until(due_at).await;
    world.engine().sweep(due_at + SignedDuration::from_secs(30)).await.unwrap();
    // Eight of the ten minutes for which it is held are over.
    assert_eq!(world.clock.now(), due_at + SignedDuration::from_mins(8));
    assert!(world.list().await[0].due_at.unwrap() < due_at + SignedDuration::from_mins(10));
}

#[tokio::test]
async fn another_delivery_of_a_held_message_meets_its_run() {
    let world = World::new();
    world.receive(&[job("m", false)]).await;
    world.told(|told| told.over.push("receipt of m".to_owned()));
    world.sweep_when_due().await;
    assert_eq!(world.list().await[0].message, None);
    let mut again = job("m", false);
    again["receiptHandle"] = json!("another receipt");
    assert_eq!(world.receive(&[again]).await, ["m"]);
    let [run] = &world.list().await[..] else { panic!("one run") };
    assert_eq!(run.message.as_ref().unwrap().receipt_handle, "another receipt");
    world.succeed(run).await;
    assert_eq!(world.told(|told| told.deleted.clone()), ["another receipt"]);
}

#[tokio::test]
async fn a_message_that_repeats_a_held_one_is_acknowledged() {
    let world = World::new();
    let [first, second] =
        ["first", "second"].map(|id| message("repeated", id, None, r#"{"job":7}"#));
    assert_eq!(world.receive(std::slice::from_ref(&first)).await, ["first"]);
    assert!(world.receive(&[second]).await.is_empty());
    let [run] = &world.list().await[..] else { panic!("one run") };
    assert_eq!(run.message.as_ref().unwrap().id, "first");
    // Its own next delivery takes the place of the last.
    assert_eq!(world.receive(&[first]).await, ["first"]);
    world.succeed(run).await;
    assert_eq!(world.told(|told| told.deleted.clone()), ["receipt of first"]);
    assert_eq!(world.tasks(), 1);
}

#[tokio::test]
async fn whoever_sends_a_launch_again_sends_the_same_request_under_the_same_token() {
    let world = World::new();
    world.receive(&[job("m", false)]).await;
    let mut again = job("m", false);
    again["receiptHandle"] = json!("another receipt");
    // The same delivery twice, another one at the same time as a sweep, and the sweep by itself.
    world.receive(&[job("m", false)]).await;
    let (one, other) = (world.engine(), world.engine());
    let batch = sqs::normalise(&json!({ "Records": [again] }).to_string()).unwrap();
    world.clock.sleep_until(world.clock.now() + SignedDuration::from_mins(6)).await;
    let until = world.clock.now() + SignedDuration::from_secs(50);
    let (kept, swept) = tokio::join!(one.receive(batch, until), other.sweep(until));
    assert_eq!((kept.len(), swept.unwrap().failed), (1, 0));
    world.sweep_when_due().await;
    let requests = world.told(|told| told.requests.clone());
    assert!(requests.len() > 1 && requests.iter().all(|it| *it == requests[0]), "{requests:#?}");
    let [run] = &world.list().await[..] else { panic!("one run") };
    assert_eq!(run.attempts.len(), 1);
}

#[tokio::test]
async fn a_delivery_that_is_over_starts_nothing() {
    let world = World::new();
    world.told(|told| told.over.push("receipt of m".to_owned()));
    assert_eq!(world.receive(&[job("m", false)]).await, ["m"]);
    assert!(world.list().await.is_empty());
}

#[tokio::test]
async fn a_message_of_two_runs_is_deleted_when_the_last_has_ended() {
    for last_first in [false, true] {
        let world = World::new();
        assert_eq!(world.receive(&[job("m", true)]).await, ["m"]);
        let mut runs = world.list().await;
        assert_eq!(runs.len(), 2);
        let holders = |runs: &[Run]| runs.iter().filter(|run| run.message.is_some()).count();
        assert_eq!(holders(&runs), 1);
        if last_first {
            runs.reverse();
        }
        world.succeed(&runs[0]).await;
        assert!(world.told(|told| told.deleted.is_empty()));
        assert_eq!(holders(&world.list().await), 1);
        world.sweep_when_due().await;
        world.succeed(&runs[1]).await;
        assert_eq!(world.told(|told| told.deleted.clone()), ["receipt of m"]);
        assert_eq!(holders(&world.list().await), 0);
    }
}

#[tokio::test]
async fn a_message_that_comes_again_stays_with_the_run_that_has_it() {
    let world = World::new();
    let delivery = |id: &str, receipt: &str| {
        let mut delivery = message("shared", id, None, r#"{"job":7}"#);
        delivery["receiptHandle"] = json!(receipt);
        delivery
    };
    let holders = async || -> Vec<(String, String)> {
        let held = |run: Run| Some((run.rule.clone(), run.message?.receipt_handle));
        world.list().await.into_iter().filter_map(held).collect()
    };
    let held = |rule: &str, receipt: &str| (rule.to_owned(), receipt.to_owned());
    assert_eq!(world.receive(&[delivery("x", "x1")]).await, ["x"]);
    // The run of both has x, so y is held by its own.
    assert_eq!(world.receive(&[delivery("y", "y1")]).await, ["y"]);
    assert_eq!(holders().await, [held("held-by-each", "y1"), held("held-by-one", "x1")]);
    world.told(|told| told.over.push("x1".to_owned()));
    world.sweep_when_due().await;
    assert_eq!(holders().await, [held("held-by-each", "y1")]);

    assert_eq!(world.receive(&[delivery("y", "y2")]).await, ["y"]);
    assert_eq!(holders().await, [held("held-by-each", "y2")]);
    for holder in ["held-by-each", "held-by-one"] {
        assert_eq!(holders().await, [held(holder, "y2")]);
        assert!(world.told(|told| told.deleted.is_empty()));
        let runs = world.list().await;
        world.succeed(runs.iter().find(|run| run.message.is_some()).unwrap()).await;
        world.sweep_at(world.clock.now()).await;
    }
    assert_eq!(world.told(|told| told.deleted.clone()), ["y2"]);
}

#[tokio::test]
async fn a_message_is_held_by_nobody_before_all_its_runs_are_recorded() {
    let world = World::new();
    let half = message("jobs", "m", None, r#"{"both":true,"task":"away"}"#);
    assert_eq!(world.receive(&[half]).await, ["m"]);
    assert!(world.list().await.iter().all(|run| run.message.is_none()));
    // It comes again soon, for what is missing.
    let extended = world.told(|told| told.extended.clone());
    assert_eq!(extended.last().unwrap(), &("receipt of m".to_owned(), 30));
}

#[tokio::test]
async fn a_held_message_holds_its_group() {
    let world = World::new();
    let of = |id: &str, group| message("held.fifo", id, Some(group), "{}");
    let batch = [of("a1", "a"), of("a2", "a"), of("b1", "b")];
    assert_eq!(world.receive(&batch).await, ["a1", "a2", "b1"]);
    let runs = world.list().await;
    assert_eq!(runs.len(), 2, "a1 and b1");
    for run in &runs {
        world.succeed(run).await;
    }
    assert_eq!(world.receive(&[of("a2", "a")]).await, ["a2"]);
    assert_eq!(world.list().await.len(), 3);
}

#[tokio::test]
async fn a_message_that_could_not_be_deleted_is_deleted_by_the_sweep() {
    let world = World::new();
    world.receive(&[job("m", false)]).await;
    world.told(|told| told.sqs_is_away = true);
    let run = world.list().await.remove(0);
    world.succeed(&run).await;
    assert_eq!(world.list().await[0].status, Status::Succeeded);
    world.sweep_when_due().await;
    assert!(world.told(|told| told.deleted.is_empty()));
    world.told(|told| told.sqs_is_away = false);
    world.sweep_when_due().await;
    assert_eq!(world.told(|told| told.deleted.clone()), ["receipt of m"]);
    assert_eq!(world.list().await[0].due_at, None);
}

#[tokio::test]
async fn a_heartbeat_that_fails_is_made_up_for() {
    let world = World::new();
    world.receive(&[job("m", false)]).await;
    world.told(|told| told.sqs_is_away = true);
    world.sweep_when_due().await;
    world.told(|told| told.sqs_is_away = false);
    let failed_at = world.clock.now();
    world.sweep_when_due().await;
    assert_eq!(world.clock.now(), failed_at + SignedDuration::from_secs(30));
    assert_eq!(world.told(|told| told.extended.len()), 2);
}

#[tokio::test]
async fn past_eleven_hours_the_record_is_what_is_left_of_a_message() {
    let world = World::new();
    world.receive(&[job("m", false)]).await;
    let begun = world.clock.now();
    while world.told(|told| told.deleted.is_empty()) {
        world.sweep_when_due().await;
    }
    assert_eq!(world.clock.now(), begun + SignedDuration::from_hours(11));
    let [run] = &world.list().await[..] else { panic!("one run") };
    assert!(!run.status.is_terminal() && run.message.is_none() && run.due_at.is_some());
    world.succeed(run).await;
    assert_eq!(world.told(|told| told.deleted.len()), 1);
}
