//! What is left of stopped tasks, and for how long.

use std::fs;

use super::{
    super::{
        retention::{LOGS_BYTES_MAX, LOGS_MS},
        run_task::HOUR_MS,
        task::Epoch,
    },
    *,
};

/// The files and directories that are left of a task.
fn left(fixture: &Fixture, task: &str) -> Vec<String> {
    let directory = fixture.task_directory(task);
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

async fn stopped(fixture: &Fixture) -> (String, i64) {
    let task = fixture.run("f", &json!([]));
    let stopped = fixture.until_stopped(&task).await;
    let seconds = stopped["stoppedAt"].as_f64().unwrap();
    #[expect(clippy::cast_possible_truncation, reason = "milliseconds of this age")]
    let at = (seconds * 1000.0).round() as i64;
    (task, at)
}

const ALL: [&str; 4] = ["app", "app.stderr.log", "app.stdout.log", "app.tmp"];
const LOGS: [&str; 2] = ["app.stderr.log", "app.stdout.log"];

#[tokio::test]
async fn a_working_directory_goes_after_an_hour_and_logs_after_a_week() {
    let fixture = Fixture::new(Containers::HostProcesses);
    fixture.register("f", &["sh", "-c", "echo said; echo made > made; ln -s / root"]);
    let (task, at) = stopped(&fixture).await;
    let stranger = fixture.task_directory(&task).with_file_name("stranger");
    fs::create_dir(&stranger).unwrap();
    for (age, expected) in [
        (-HOUR_MS, &ALL[..]),
        (HOUR_MS - 1, &ALL[..]),
        (HOUR_MS, &LOGS[..]),
        (LOGS_MS - 1, &LOGS[..]),
        (LOGS_MS, &[]),
    ] {
        fixture.ecs.sweep(Epoch(at + age));
        assert_eq!(left(&fixture, &task), expected, "{age}");
    }
    assert!(stranger.exists() && !fixture.task_directory(&task).exists());
}

#[tokio::test]
async fn the_oldest_logs_go_first_where_they_are_too_many() {
    let fixture = Fixture::new(Containers::HostProcesses);
    fixture.register("f", &["true"]);
    let (oldest, _) = stopped(&fixture).await;
    let (newest, at) = stopped(&fixture).await;
    for task in [&oldest, &newest] {
        // Sparse: long, and no more than that.
        let log = fixture.task_directory(task).join("app.stdout.log");
        fs::File::create(log).unwrap().set_len(LOGS_BYTES_MAX).unwrap();
    }
    fixture.sql(&format!("UPDATE ecs_tasks SET stopped_at = {at}"));
    fixture.sql(&format!("UPDATE ecs_tasks SET stopped_at = {at} - 1 WHERE number = 1"));
    // None that can still be described.
    fixture.ecs.sweep(Epoch(at + HOUR_MS - 2));
    assert_eq!((left(&fixture, &oldest).len(), left(&fixture, &newest).len()), (4, 4));
    fixture.ecs.sweep(Epoch(at + HOUR_MS));
    assert_eq!((left(&fixture, &oldest).len(), left(&fixture, &newest).len()), (0, 2));
}

#[tokio::test]
async fn a_task_that_runs_is_left_alone_and_a_forgotten_one_goes_by_its_directory() {
    let fixture = Fixture::new(Containers::HostProcesses);
    fixture.register("long", &["sleep", "600"]);
    fixture.register("f", &["true"]);
    let running = fixture.run("long", &json!([]));
    fixture.until(&running, "RUNNING").await;
    let (forgotten, at) = stopped(&fixture).await;
    fixture.sql("DELETE FROM ecs_tasks WHERE last_status = 'STOPPED'");
    fixture.ecs.sweep(Epoch(at + HOUR_MS - 60_000));
    assert_eq!(left(&fixture, &forgotten), ALL);
    fixture.ecs.sweep(Epoch(at + 2 * LOGS_MS));
    assert_eq!(left(&fixture, &forgotten).len(), 0);
    assert_eq!(left(&fixture, &running), ALL);
    fixture.ecs.shutdown().await;
}
