//! What befalls messages, each alone in a scripted world: who holds them, for how long, and in what order they are taken.

use taskferry_core::run::Status;
use taskferry_simulation::{Call, End, Mishap, Script};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;

/// All runs of a rule have succeeded, and there are so many.
#[track_caller]
fn check(script: &Script, rule: &str, runs: usize) {
    let statuses: Vec<Status> = script.runs(rule).iter().map(|run| run.status).collect();
    assert_eq!(statuses, vec![Status::Succeeded; runs], "{rule}");
}

#[test]
fn a_message_that_comes_again_meets_its_run() {
    let mut script = Script::new();
    script.mishap(Call::Create, Mishap::ResponseLost);
    let message = script.message("", &["take"]);
    script.play(MINUTE);
    assert_eq!(script.deleted(message), (false, 1));
    script.play_out();
    assert_eq!(script.deleted(message), (true, 2));
    check(&script, "take", 1);
}

#[test]
fn a_held_message_goes_with_the_end_of_its_last_run() {
    let mut script = Script::new();
    script.ends_after(End::Exit(0), 3 * HOUR).ends_after(End::Exit(0), HOUR);
    let message = script.message("", &["keep", "keep-too"]);
    script.play(2 * HOUR);
    assert_eq!((script.live_tasks(), script.deleted(message)), (1, (false, 1)));
    script.play(2 * HOUR);
    assert_eq!((script.live_tasks(), script.deleted(message)), (0, (true, 1)));
}

#[test]
fn a_message_is_handed_over_to_a_record_whose_run_outlasts_sqs() {
    let mut script = Script::new();
    script.ends_after(End::Exit(0), 13 * HOUR);
    let message = script.message("", &["keep"]);
    script.play(11 * HOUR - 5 * MINUTE);
    assert_eq!(script.deleted(message), (false, 1));
    script.play(10 * MINUTE);
    assert_eq!((script.live_tasks(), script.deleted(message)), (1, (true, 1)));
    script.play_out();
    check(&script, "keep", 1);
}

#[test]
fn what_follows_a_message_that_failed_waits_for_it() {
    let mut script = Script::new();
    script.mishap(Call::Create, Mishap::RequestLost);
    let messages = [0, 1, 2].map(|_| script.message("a", &["step"]));
    script.play(MINUTE);
    // Whichever was first failed; what was behind it was not begun.
    assert_eq!(script.runs("step").len(), 0);
    script.play_out();
    check(&script, "step", 3);
    assert!(messages.iter().all(|message| script.deleted(*message).0));
}

#[test]
fn a_group_that_holds_its_messages_has_one_run_at_a_time() {
    let mut script = Script::new();
    for _ in 0..3 {
        script.ends_after(End::Exit(0), HOUR);
        script.message("a", &["turn"]);
    }
    for runs in [1, 2, 3] {
        script.play(HOUR / 2);
        assert_eq!((script.runs("turn").len(), script.live_tasks()), (runs, 1));
        script.play(HOUR / 2 + 2 * MINUTE);
    }
    script.play_out();
    check(&script, "turn", 3);
}

#[test]
fn a_heartbeat_that_fails_is_said_again_before_the_message_comes_again() {
    let mut script = Script::new();
    script.ends_after(End::Exit(0), HOUR);
    let message = script.message("", &["keep"]);
    script.play(2 * MINUTE);
    for mishap in [Mishap::RequestLost, Mishap::Throttled, Mishap::ResponseLost] {
        script.mishap(Call::ChangeVisibility, mishap);
    }
    script.play_out();
    assert_eq!(script.deleted(message), (true, 1));
    check(&script, "keep", 1);
}
