//! Lambda on this machine: a durable queue of asynchronous invocations, and the function processes that work it off.
//!
//! A function is a program on the real `lambda_runtime`, started as a child process and fed through Lambda's Runtime API.
//! EventBridge and S3 queue invocations inside their own transactions; clients invoke through Lambda's Invoke API. An
//! invocation leaves the queue when its response was accepted, or when it was kept as failed; never otherwise, so that a
//! `kill -9` at any moment loses nothing (and may repeat an invocation: at least once, as on Lambda).

mod fleet;
mod functions;
mod given_up;
mod invocation;
mod invoke_api;
mod logs;
mod mapping;
mod process;
mod queue;
mod runtime_api;

use self::invoke_api::function_name;
pub use self::{
    functions::{Error, Function, Functions, FunctionsConfig, InvocationEnded},
    given_up::GivenUp,
    invocation::{FunctionError, InvokeOutcome},
    logs::LogLine,
    mapping::{EventSourceMappings, Mapping},
    queue::{FailedInvocation, Invocations},
};
pub(crate) use self::{
    mapping::{PATH as MAPPINGS, SCHEMA as MAPPINGS_SCHEMA},
    queue::SCHEMA,
};

/// The largest payload of a synchronous invocation, and the largest response but for [`RESPONSE_SLACK`].
// https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
const PAYLOAD_BYTES_MAX: usize = 6 * 1024 * 1024;

/// What a response may have over [`PAYLOAD_BYTES_MAX`]: Lambda's own message names 6,291,556 bytes.
const RESPONSE_SLACK: usize = 100;

/// The largest payload of an asynchronous invocation.
const EVENT_BYTES_MAX: usize = 1024 * 1024;

/// The one version that a function has here.
const VERSION: &str = "$LATEST";

/// The ARN of a function.
fn arn(function: &str) -> String {
    use crate::identity::{ACCOUNT_ID, REGION};
    format!("arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{function}")
}
