//! `taskferry function NAME`: the program is each of the Lambda functions, so that one build serves the laptop.

use std::process::ExitCode;

use clap::ValueEnum;

use crate::block_on;

/// A function's name.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Name {
    /// S3 event notification.
    S3,
    /// Any event of a bus.
    #[value(name = "eventbridge")]
    EventBridge,
    /// Messages of a queue.
    Sqs,
    /// What is due, each minute.
    Sweep,
    /// ECS Task State Change.
    TaskStateChange,
}

/// Serves the function's invocations until the process is ended.
pub(crate) fn run(name: Name) -> anyhow::Result<ExitCode> {
    match name {
        Name::S3 => block_on(taskferry_function::run(taskferry_function_s3::handler))??,
        Name::EventBridge => {
            block_on(taskferry_function::run(taskferry_function_eventbridge::handler))??;
        }
        Name::Sqs => block_on(taskferry_function::run(taskferry_function_sqs::handler))??,
        Name::Sweep => block_on(taskferry_function::run(taskferry_function_sweep::handler))??,
        Name::TaskStateChange => {
            block_on(taskferry_function::run(taskferry_function_task_state_change::handler))??;
        }
    }
    Ok(ExitCode::SUCCESS)
}
