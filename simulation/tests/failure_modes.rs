//! How other dispatchers failed in production, each as a scripted world in which Taskferry does not.
//!
//! Some rows are held elsewhere, since no engine could hold them: keys with `+` and S3's test event by `core::event::s3`, what a
//! stack wires by the tests of `infra`, hot partitions by the store's contract.

use taskferry_core::{failure::FailureClass, run::Status};
use taskferry_simulation::{Call, End, Mishap, Reply, Script};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;

#[test]
fn a_crash_after_the_answer_and_before_the_record_launches_no_second_task() {
    let mut script = Script::new();
    script.drops_events(true).mishap(Call::RunTask, Mishap::CrashAfter).order(&["plain"]);
    script.play(10 * MINUTE).drops_events(false).play_out();
    let run = script.run("plain");
    assert_eq!((run.status, script.tasks_of(&run)), (Status::Succeeded, 1));
}

#[test]
fn a_crash_anywhere_on_the_way_launches_one_task() {
    let calls = [
        Call::DescribeTaskDefinition,
        Call::TakeToken,
        Call::Create,
        Call::RunTask,
        Call::Limit,
        Call::Update,
        Call::Get,
        Call::SettleLimit,
        Call::Publish,
    ];
    for call in calls {
        for mishap in [Mishap::CrashBefore, Mishap::CrashAfter, Mishap::ResponseLost] {
            for rule in ["plain", "one"] {
                let mut script = Script::new();
                script.mishap(call, mishap).order(&[rule]);
                script.play_out();
                let run = script.run(rule);
                let told = (run.status, script.tasks_of(&run));
                assert_eq!(told, (Status::Succeeded, 1), "{rule}: {call:?} {mishap:?}");
            }
        }
    }
}

#[test]
fn a_new_attempt_does_not_get_the_dead_task_back() {
    let mut script = Script::new();
    script.ends(&[End::Exit(1), End::Exit(0)]).order(&["one"]);
    script.play_out();
    let run = script.run("one");
    assert_ne!(run.attempts[0].task_arn, run.attempts[1].task_arn);
    assert_eq!(run.status, Status::Succeeded);
}

#[test]
fn no_task_is_no_success() {
    let mut script = Script::new();
    script.replies(&[Reply::Refused]).order(&["plain"]);
    script.play_out();
    let run = script.run("plain");
    assert_eq!((run.status, run.attempts[0].task_arn.as_ref()), (Status::Failed, None));
    assert!(run.reason.unwrap().contains("AccessDeniedException"));
}

#[test]
fn no_room_spends_no_attempt_of_the_application() {
    let mut script = Script::new();
    script.replies(&[Reply::NoRoom, Reply::Failures("RESOURCE:CPU"), Reply::NoRoom]);
    script.ends(&[End::Exit(1), End::Exit(1), End::Exit(0)]).order(&["one"]);
    script.play_out();
    let run = script.run("one");
    let no_room = Some(FailureClass::Capacity);
    let own = Some(FailureClass::ExitCode);
    let classes: Vec<_> = run.attempts.iter().map(|attempt| attempt.failure_class).collect();
    assert_eq!(classes, [no_room, no_room, no_room, own, own, None]);
}

#[test]
fn a_throttled_launch_waits_in_its_record_and_not_in_a_loop() {
    let mut script = Script::new();
    script.replies(&[Reply::Throttled; 4]).order(&["one"]);
    script.play(1);
    assert_eq!((script.run("one").status, script.calls(Call::RunTask)), (Status::Waiting, 1));
    script.play_out();
    assert_eq!(script.calls(Call::RunTask), 5);
}

#[test]
fn a_task_that_never_starts_is_stopped_by_its_own_limit() {
    let mut script = Script::new();
    script.starts_after(3 * HOUR).order(&["timed"]);
    script.play(30 * MINUTE);
    assert_eq!(script.run("timed").attempts.len(), 2);
    script.play_out();
    let run = script.run("timed");
    assert_eq!(run.attempts[0].failure_class, Some(FailureClass::TimedOut));
    assert_eq!(run.status, Status::Succeeded);
}

#[test]
fn a_task_that_hangs_is_stopped_and_tried_again() {
    let mut script = Script::new();
    script.ends(&[End::Hangs, End::Hangs]).order(&["timed"]);
    script.play_out();
    let run = script.run("timed");
    assert_eq!((run.status, run.attempts.len()), (Status::TimedOut, 2));
    assert_eq!(script.live_tasks(), 0);
}

#[test]
fn a_stop_that_is_lost_is_said_again() {
    for mishap in [Mishap::RequestLost, Mishap::CrashBefore, Mishap::Throttled] {
        let mut script = Script::new();
        script.ends(&[End::Hangs]).mishap(Call::StopTask, mishap).order(&["plain"]);
        script.play(MINUTE);
        let run = script.run("plain");
        script.stop(&run.id).play_out();
        assert_eq!((script.run("plain").status, script.live_tasks()), (Status::Cancelled, 0));
    }
}

#[test]
fn out_of_memory_is_told_whatever_the_exit_code() {
    for code in [0, 137] {
        let mut script = Script::new();
        script.ends(&[End::OutOfMemory(code), End::Exit(0)]).order(&["one"]);
        script.play_out();
        let run = script.run("one");
        assert_eq!(run.attempts[0].failure_class, Some(FailureClass::OutOfMemory));
        assert_eq!(run.status, Status::Succeeded);
        assert!(run.attempts[1].request.as_ref().unwrap().contains(r#""memory":"1024""#));
    }
}

#[test]
fn an_instance_that_dies_without_a_word_is_found_out() {
    let mut script = Script::new();
    let gone = End::Stopped("", "Host EC2 (instance i-1) terminated.");
    script.drops_events(true).ends(&[gone]).order(&["plain"]);
    script.play_out();
    let run = script.run("plain");
    assert_eq!(run.attempts[0].failure_class, Some(FailureClass::Infrastructure));
    assert_eq!((run.status, run.attempts.len()), (Status::Succeeded, 2));
}

#[test]
fn a_launch_that_fails_for_good_lies_in_the_dead_letters_with_its_reason() {
    let mut script = Script::new();
    script.replies(&[Reply::Failures("ATTRIBUTE")]).order(&["plain"]);
    script.play_out();
    let run = script.run("plain");
    assert!(run.is_dead_letter());
    assert!(run.reason.unwrap().contains("ATTRIBUTE"));
}

#[test]
fn no_death_of_a_process_leaks_a_slot() {
    for call in [Call::Update, Call::Limit, Call::SettleLimit, Call::RunTask, Call::Create] {
        for mishap in [Mishap::CrashBefore, Mishap::CrashAfter] {
            let mut script = Script::new();
            script.order(&["one"]);
            script.play(2).mishap(call, mishap).order(&["one"]);
            script.play(MINUTE).order(&["one"]);
            script.play_out();
            assert!(script.runs("one").iter().all(|run| run.status == Status::Succeeded));
        }
    }
}

#[test]
fn a_hundred_tasks_are_asked_about_in_one_call() {
    let mut script = Script::new();
    for _ in 0..90 {
        script.ends_after(End::Exit(0), HOUR).order(&["plain"]);
    }
    script.play(10 * MINUTE);
    let before = script.calls(Call::DescribeTasks);
    script.play(2 * MINUTE);
    let asked = script.calls(Call::DescribeTasks) - before;
    assert!(asked <= 2, "{asked} calls for 90 tasks");
    script.play_out();
}

#[test]
fn a_bad_rule_stops_no_other() {
    let mut script = Script::new();
    script.order(&["bad", "plain", "one"]);
    script.play_out();
    assert_eq!(script.run("bad").status, Status::Failed);
    assert_eq!(script.run("plain").status, Status::Succeeded);
    assert_eq!(script.run("one").status, Status::Succeeded);
}

#[test]
fn a_burst_drains_at_the_bound_and_spends_no_attempt() {
    let mut script = Script::new();
    for _ in 0..200 {
        script.order(&["plain"]);
    }
    script.play(HOUR);
    let runs = script.runs("plain");
    assert!(runs.iter().all(|run| run.status == Status::Succeeded && run.attempts.len() == 1));
    script.play_out();
}
