//! The program of the task's container: `queue-workers BUCKET`, with the event in `TASKFERRY_EVENT`.

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    queue_workers::run(&arguments, &mut std::io::stdout(), &mut std::io::stderr()).await
}
