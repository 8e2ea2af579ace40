//! What seeds meet but seldom, each alone in a scripted world: batches, chains to their end, requests that are late.

use taskferry_core::{
    chain,
    failure::FailureClass,
    run::{Run, Status},
};
use taskferry_simulation::{Call, End, Mishap, Reply, Script};

const MINUTE: i64 = 60;

/// All runs of a rule have succeeded, and there are so many.
#[track_caller]
fn check(script: &Script, rule: &str, runs: usize) {
    let statuses: Vec<Status> = script.runs(rule).iter().map(|run| run.status).collect();
    assert_eq!(statuses, vec![Status::Succeeded; runs], "{rule}");
}

/// The one run of a rule has had one task, and has succeeded with it.
#[track_caller]
fn check_one_task(script: &Script, rule: &str, attempts: usize) {
    let run: Run = script.run(rule);
    assert_eq!((run.status, run.attempts.len()), (Status::Succeeded, attempts), "{run:?}");
    assert_eq!(script.tasks_of(&run), 1);
}

#[test]
fn a_record_that_fails_leaves_the_others_of_its_batch_their_runs() {
    for is_partial in [true, false] {
        let mut script = Script::new();
        script.mishap(Call::Create, Mishap::RequestLost);
        script.batch(&[&["plain"], &["spot"], &["timed"]], is_partial);
        script.play(MINUTE / 6);
        assert_eq!(script.runs("plain").len(), 0);
        assert_eq!((script.runs("spot").len(), script.runs("timed").len()), (1, 1));
        script.play_out();
        for rule in ["plain", "spot", "timed"] {
            check(&script, rule, 1);
        }
    }
}

#[test]
fn what_a_function_has_no_time_for_comes_again() {
    for is_partial in [true, false] {
        let mut script = Script::new();
        // In the middle of the first record, until long after Lambda has ended the process.
        script.mishap(Call::Create, Mishap::Frozen);
        script.batch(&[&["plain"], &["spot"]], is_partial);
        script.play_out();
        check(&script, "plain", 1);
        check(&script, "spot", 1);
    }
}

#[test]
fn a_chain_ends_and_its_last_run_says_why() {
    let mut script = Script::new();
    script.order(&["chain"]);
    script.play_out();
    let runs = script.runs("link");
    let depths: Vec<u32> = runs.iter().map(|run| run.depth).collect();
    assert_eq!(depths, (1..=chain::DEPTH_MAX + 1).collect::<Vec<_>>());
    let (last, others) = runs.split_last().unwrap();
    assert!(others.iter().all(|run| run.status == Status::Succeeded));
    assert_eq!((last.status, last.attempts.len()), (Status::Failed, 0));
    assert_eq!(last.reason.as_deref(), Some("17 runs followed upon one another, and 16 may"));
}

#[test]
fn a_success_that_is_told_twice_is_followed_upon_once() {
    let mut script = Script::new();
    script.mishap(Call::Publish, Mishap::ResponseLost);
    script.mishap(Call::Publish, Mishap::ResponseLost);
    script.order(&["plain"]);
    script.play_out();
    check(&script, "after", 1);
}

#[test]
fn a_request_that_is_late_starts_no_second_task() {
    let mut script = Script::new();
    // Given up by its sender, sent again and denied; then it arrives.
    script.late_request(4 * MINUTE).replies(&[Reply::Failures("RESOURCE:MEMORY")]);
    script.order(&["plain"]);
    script.play_out();
    check_one_task(&script, "plain", 1);
}

#[test]
fn a_run_that_is_stopped_waits_for_a_request_that_is_late() {
    let mut script = Script::new();
    script.late_request(4 * MINUTE).ends(&[End::Hangs]).order(&["plain"]);
    script.play(1);
    let run = script.run("plain");
    script.stop(&run.id).play_out();
    let run = script.run("plain");
    assert_eq!((run.status, script.tasks_of(&run)), (Status::Cancelled, 1));
    assert_eq!(run.attempts[0].failure_class, Some(FailureClass::StoppedByUser));
}

#[test]
fn a_sweep_looks_at_a_limit_once() {
    let mut script = Script::new();
    script.ends(&[End::Hangs]).order(&["replace"]);
    script.play(MINUTE);
    // The run that is replaced is not told to stop for a while, and the limit stays due.
    script.mishap(Call::StopTask, Mishap::RequestLost).mishap(Call::StopTask, Mishap::RequestLost);
    script.order(&["replace"]);
    script.play_out();
    let statuses: Vec<Status> = script.runs("replace").iter().map(|run| run.status).collect();
    assert_eq!(statuses, [Status::Cancelled, Status::Succeeded]);
    // A few sweeps, of a few looks each: it was more than a thousand.
    assert!(script.calls(Call::Due) < 20, "{}", script.calls(Call::Due));
}

#[test]
fn a_process_that_is_frozen_inside_run_task_starts_no_second_task() {
    for mishap in [Mishap::Frozen, Mishap::FrozenBefore] {
        let mut script = Script::new();
        script.mishap(Call::RunTask, mishap);
        let event = script.order(&["plain"]);
        script.play(MINUTE).again(event);
        script.play_out();
        check_one_task(&script, "plain", 1);
    }
}
