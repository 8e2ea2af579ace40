//! The twenty traps of ECS and its events, each alone in a scripted world, with every oracle looking on.

use taskferry_core::{
    failure::FailureClass,
    run::{Run, Status},
};
use taskferry_simulation::{Call, End, Mishap, Reply, Script};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;

/// In which classes the attempts of a run ended.
fn classes(run: &Run) -> Vec<Option<FailureClass>> {
    run.attempts.iter().map(|attempt| attempt.failure_class).collect()
}

/// The one run of a rule has this status, after attempts that ended so.
#[track_caller]
fn check(script: &Script, rule: &str, status: Status, ended: &[Option<FailureClass>]) {
    let run = script.run(rule);
    assert_eq!((run.status, classes(&run).as_slice()), (status, ended), "{run:?}");
}

#[test]
fn trap_01_failures_without_a_task_are_no_launch() {
    let mut script = Script::new();
    script.replies(&[Reply::Failures("RESOURCE:MEMORY")]).order(&["plain"]);
    script.play_out();
    check(&script, "plain", Status::Succeeded, &[Some(FailureClass::Capacity), None]);
    assert_eq!(script.tasks_of(&script.run("plain")), 1);
}

#[test]
fn trap_02_a_task_beside_failures_is_the_task() {
    let mut script = Script::new();
    script.replies(&[Reply::FailuresAndTask("AGENT")]).order(&["plain"]);
    script.play_out();
    check(&script, "plain", Status::Succeeded, &[None]);
}

#[test]
fn trap_02_a_task_that_turns_up_after_failures_is_the_task() {
    let mut script = Script::new();
    script.replies(&[Reply::FailuresThenTask("RESOURCE:ENI")]).order(&["plain"]);
    script.play_out();
    check(&script, "plain", Status::Succeeded, &[None]);
}

#[test]
fn trap_03_a_throttle_by_another_name_is_a_throttle() {
    let mut script = Script::new();
    script.replies(&[Reply::Throttled; 3]).order(&["plain"]);
    script.play_out();
    check(&script, "plain", Status::Succeeded, &[None]);
    assert_eq!(script.run("plain").attempts[0].throttles, 3);
}

#[test]
fn trap_04_a_launch_whose_answer_is_lost_has_one_task() {
    let mut script = Script::new();
    script.mishap(Call::RunTask, Mishap::ResponseLost).drops_events(true).order(&["plain"]);
    script.play(MINUTE / 2).drops_events(false).play_out();
    check(&script, "plain", Status::Succeeded, &[None]);
    assert_eq!(script.tasks_of(&script.run("plain")), 1);
}

#[test]
fn trap_05_a_task_can_have_stopped_before_run_task_has_answered() {
    let mut script = Script::new();
    script.mishap(Call::RunTask, Mishap::Frozen).starts_after(1).ends_after(End::Exit(0), 1);
    script.order(&["plain"]);
    script.play(2 * MINUTE);
    check(&script, "plain", Status::Succeeded, &[None]);
    script.play_out();
    assert_eq!(script.tasks_of(&script.run("plain")), 1);
}

#[test]
fn trap_06_events_repeat_and_come_in_any_order() {
    let mut script = Script::new();
    script.repeats_events().ends(&[End::Exit(1), End::Exit(0)]).order(&["one"]);
    script.play_out();
    check(&script, "one", Status::Succeeded, &[Some(FailureClass::ExitCode), None]);
}

#[test]
fn trap_06_events_that_never_come_are_asked_for() {
    let mut script = Script::new();
    script.drops_events(true).order(&["plain"]);
    script.play_out();
    check(&script, "plain", Status::Succeeded, &[None]);
}

#[test]
fn trap_07_no_containers_is_no_success() {
    let mut script = Script::new();
    script.ends(&[End::NoContainers; 4]).order(&["plain"]);
    script.play_out();
    check(&script, "plain", Status::Failed, &[Some(FailureClass::Initialization); 4]);
}

#[test]
fn trap_08_no_exit_code_is_no_success() {
    let mut script = Script::new();
    script.ends(&[End::NoExitCode]).order(&["plain"]);
    script.play_out();
    check(&script, "plain", Status::Failed, &[Some(FailureClass::ExitCode)]);
}

#[test]
fn trap_09_a_sidecar_may_fail() {
    let mut script = Script::new();
    script.ends(&[End::SidecarFailed]).order(&["plain"]);
    script.play_out();
    check(&script, "plain", Status::Succeeded, &[None]);
}

#[test]
fn trap_10_a_stop_that_races_the_exit_ends_the_run_once() {
    for seconds in [0, 1, 20, 21, 22, 60, 65] {
        let mut script = Script::new();
        script.starts_after(1).ends_after(End::Exit(0), 20).order(&["plain"]);
        script.play(seconds);
        if let Some(run) = script.runs("plain").first() {
            script.stop(&run.id.clone());
        }
        script.play_out();
        let status = script.run("plain").status;
        assert!(matches!(status, Status::Succeeded | Status::Cancelled), "{status}");
    }
}

#[test]
fn trap_11_an_event_that_comes_again_while_its_task_runs_starts_nothing() {
    let mut script = Script::new();
    script.ends_after(End::Exit(0), 5 * HOUR);
    let event = script.order(&["plain"]);
    for _ in 0..20 {
        script.play(HOUR / 2).again(event);
    }
    script.play_out();
    check(&script, "plain", Status::Succeeded, &[None]);
}

#[test]
fn trap_12_a_lost_end_leaks_no_slot() {
    let mut script = Script::new();
    script.drops_events(true);
    for _ in 0..3 {
        script.order(&["one"]);
    }
    script.play_out();
    assert!(script.runs("one").iter().all(|run| run.status == Status::Succeeded));
}

#[test]
fn trap_13_each_attempt_has_a_token_of_its_own() {
    let mut script = Script::new();
    script.ends(&[End::Exit(1), End::Exit(1), End::Exit(0)]).order(&["one"]);
    script.play_out();
    let run = script.run("one");
    assert_eq!(run.status, Status::Succeeded);
    assert_eq!(script.tasks_of(&run), 3);
}

#[test]
fn trap_14_what_grows_past_the_limit_of_ecs_is_put_aside() {
    for filler in ["é".repeat(4050), "\u{1}".repeat(1400), "\"".repeat(2100), "x".repeat(9000)] {
        let mut script = Script::new();
        script.long_order(&filler);
        script.play(5);
        let run = script.run("big");
        assert!(run.payload.is_some(), "{} bytes are passed in the request", filler.len());
        script.play_out();
        check(&script, "big", Status::Succeeded, &[None]);
    }
}

#[test]
fn trap_15_rules_that_change_between_attempts_change_nothing_of_a_run() {
    let mut script = Script::new();
    script.ends(&[End::Exit(1), End::Exit(0)]).order(&["one"]);
    script.play(100).change_rules().play_out();
    check(&script, "one", Status::Succeeded, &[Some(FailureClass::ExitCode), None]);
}

#[test]
fn trap_16_a_run_by_hand_keeps_to_the_limit() {
    let mut script = Script::new();
    script.ends(&[End::Exit(1); 3]).order(&["one"]);
    script.play(HOUR);
    let failed = script.run("one");
    assert_eq!(failed.status, Status::Failed);
    script.ends_after(End::Exit(0), HOUR).order(&["one"]);
    script.play(MINUTE).redrive(&failed.id).play(MINUTE);
    assert_eq!(script.live_tasks(), 1);
    script.play_out();
}

#[test]
fn trap_17_a_redrive_is_a_run_of_its_own() {
    let mut script = Script::new();
    script.ends(&[End::Exit(1)]);
    let event = script.order(&["plain"]);
    script.play(HOUR);
    let failed = script.run("plain");
    assert!(failed.is_dead_letter());
    script.redrive(&failed.id).again(event).play(MINUTE).redrive(&failed.id).play_out();
    let runs = script.runs("plain");
    let statuses: Vec<Status> = runs.iter().map(|run| run.status).collect();
    assert_eq!(statuses, [Status::Failed, Status::Succeeded]);
    assert_eq!(runs[0].redriven_by.as_ref(), Some(&runs[1].id));
    assert_eq!(runs[1].redrive_of.as_ref(), Some(&runs[0].id));
}

#[test]
fn trap_18_an_event_that_comes_twice_at_once_makes_one_run() {
    let mut script = Script::new();
    let event = script.order(&["plain", "one", "skip"]);
    script.again(event).again(event).play_out();
    for rule in ["plain", "one", "skip"] {
        check(&script, rule, Status::Succeeded, &[None]);
    }
}

#[test]
fn trap_19_half_an_hour_of_provisioning_ends_in_another_attempt() {
    let mut script = Script::new();
    let full = "Capacity is unavailable at this time";
    script.starts_after(30 * MINUTE).ends(&[End::FailedToStart(full)]).order(&["plain"]);
    script.play_out();
    check(&script, "plain", Status::Succeeded, &[Some(FailureClass::Capacity), None]);
}

#[test]
fn trap_20_spot_spends_no_attempt_of_the_application() {
    let mut script = Script::new();
    let spot = End::Stopped("SpotInterruption", "Your Spot Task was interrupted.");
    script.ends(&[spot, spot, End::Exit(1), spot, End::Exit(1), End::Exit(1)]).order(&["one"]);
    script.play_out();
    let (spot, own) = (Some(FailureClass::SpotInterruption), Some(FailureClass::ExitCode));
    check(&script, "one", Status::Failed, &[spot, spot, own, spot, own, own]);
}
