//! What a schedule is called, and the keywords of an input that stand for what is known of a firing.

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::identity::{ACCOUNT_ID, REGION};

/// The ARN of a schedule.
pub fn arn(group: &str, name: &str) -> String {
    format!("arn:aws:scheduler:{REGION}:{ACCOUNT_ID}:schedule/{group}/{name}")
}

/// The ARN of a group.
pub(super) fn group_arn(group: &str) -> String {
    format!("arn:aws:scheduler:{REGION}:{ACCOUNT_ID}:schedule-group/{group}")
}

/// One attempt to invoke a target.
#[derive(Clone, Debug)]
pub(super) struct Context {
    pub(super) schedule_arn: String,
    pub(super) scheduled: Timestamp,
    /// Another with each attempt.
    pub(super) execution_id: String,
    /// Counted from 1.
    pub(super) attempt: u32,
}

impl Context {
    pub(super) fn new(schedule_arn: String, scheduled: Timestamp, attempt: u32) -> Self {
        // The half of it that is drawn by lot.
        let id = Uuid::now_v7().simple().to_string();
        Self { schedule_arn, scheduled, execution_id: id[16..].to_owned(), attempt }
    }

    /// The same for each attempt to invoke the target for one time: 32 hexadecimal digits.
    pub(super) fn token(&self) -> String {
        let digest = Sha256::digest(format!("{}/{}", self.schedule_arn, self.scheduled));
        digest.iter().take(16).fold(String::new(), |mut token, byte| {
            token.extend(
                [byte >> 4, byte & 0xf].map(|nibble| {
                    char::from_digit(nibble.into(), 16).expect("a nibble is a digit")
                }),
            );
            token
        })
    }

    /// An input with its keywords replaced.
    // https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html
    pub(super) fn fill_in(&self, input: &str) -> String {
        if !input.contains("<aws.scheduler.") {
            return input.to_owned();
        }
        input
            .replace("<aws.scheduler.schedule-arn>", &self.schedule_arn)
            .replace("<aws.scheduler.scheduled-time>", &self.scheduled.to_string())
            .replace("<aws.scheduler.execution-id>", &self.execution_id)
            .replace("<aws.scheduler.attempt-number>", &self.attempt.to_string())
    }
}
