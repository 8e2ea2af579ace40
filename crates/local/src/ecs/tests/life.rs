//! What happens to a task between `RunTask` and `STOPPED`.

use super::*;

fn sh(script: &str) -> [&str; 3] {
    ["/bin/sh", "-c", script]
}

#[tokio::test]
async fn a_process_runs_and_its_exit_code_is_seen() {
    let fixture = Fixture::new(Containers::HostProcesses);
    fixture.register("f", &sh("echo hello; exit 7"));
    let arn = fixture.run("f", &json!([]));
    let task = fixture.until_stopped(&arn).await;
    assert_eq!(task["containers"][0]["exitCode"], 7);
    assert_eq!(task["stopCode"], "EssentialContainerExited");
    assert_eq!(task["stoppedReason"], "Essential container in task exited");
    assert_eq!(fixture.stdout(&arn, "app"), "hello\n");
}
