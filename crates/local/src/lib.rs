//! AWS on this machine: S3, ECS, EventBridge, SQS, SNS and Lambda's Runtime API, on one loopback port, in AWS's own wire protocols.
//!
//! Used by `taskferry dev` and `taskferry demo`. Nothing in here knows Taskferry's rules: it is wired (which bucket notifies
//! which function, which event pattern leads where) by whoever starts it, as a deployment wires AWS.

pub mod db;
pub mod delivery;
pub mod ecs;
mod elsewhere;
pub mod eventbridge;
mod foreign;
mod hex;
pub mod identity;
pub mod lambda;
pub mod protocol;
mod query;
pub mod run_task;
pub mod runs;
pub mod s3;
pub mod scheduler;
pub mod server;
pub mod sns;
pub mod sqs;
pub mod state;
mod timer;
