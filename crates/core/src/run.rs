//! The run: one rule's answer to one event, to its end. The durable record.
//!
//! Made by `launch`, moved by `lifecycle` alone, kept by the engine's `Runs` port, shown by the program. An attempt never
//! moves backwards: [`Status`] says in which order; a run begins again at `waiting` with its next attempt.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    chain::LifecycleEvent,
    digest,
    event::Event,
    failure::FailureClass,
    lengths,
    limits::{LimitId, Slot},
    retry, subject,
};

/// A run's name: 32 hexadecimal digits, made of stack, rule and dedupe key.
///
/// The same event for the same rule gives the same id, on every machine, so that the second delivery meets the first
/// one's record.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Deserialize, Serialize)]
#[serde(transparent)]
pub struct RunId(String);

impl RunId {
    /// The id of the run that answers `dedupe_key` for `rule` in the stack `name`.
    pub fn new(name: &str, rule: &str, dedupe_key: &str) -> Self {
        Self(digest::hex(&["run", name, rule, dedupe_key]))
    }

    /// An id as it stands in a record or a `startedBy`; `None` if the text cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        let hexadecimal = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (text.len() == 32 && text.bytes().all(hexadecimal)).then(|| Self(text.to_owned()))
    }

    /// The id's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a task carries in `startedBy`: which stack, run and attempt it belongs to.
///
/// Written `name/run/attempt`, at most 108 of the 128 characters that ECS allows, so that a Task State Change names its
/// attempt without a look-up, even before `RunTask` has answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StartedBy {
    /// The stack's name, as in the rules file.
    pub name: String,
    /// The run.
    pub run_id: RunId,
    /// The attempt, from 1.
    pub attempt: u32,
}

impl StartedBy {
    /// Reads a task's `startedBy`; `None` if Taskferry did not write it.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '/');
        let (name, run_id, attempt) = (parts.next()?, parts.next()?, parts.next()?);
        let attempt = attempt.parse().ok().filter(|attempt| *attempt > 0)?;
        let run_id = RunId::parse(run_id)?;
        let started_by = Self { name: name.to_owned(), run_id, attempt };
        // `parse` takes `+1` and `01` too, which are somebody else's.
        Some(started_by).filter(|started_by| started_by.to_string() == text)
    }
}

impl fmt::Display for StartedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.name, self.run_id, self.attempt)
    }
}

/// Where a run stands; its order is the order in which a run passes through.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Status {
    /// Held by a limit, a backoff or pacing.
    Waiting,
    /// Recorded, and `RunTask` not yet answered.
    Launching,
    /// The task exists.
    Starting,
    /// The task runs.
    Running,
    /// The task was told to stop.
    Stopping,
    /// Every essential container exited with 0.
    Succeeded,
    /// The attempts ended without success, or the run was refused.
    Failed,
    /// A limit of time ended it.
    TimedOut,
    /// A person, or another program, stopped it.
    Cancelled,
    /// A limit let it pass without a task.
    Skipped,
}

impl Status {
    /// All of them, in their order.
    pub const ALL: [Self; 10] = [
        Self::Waiting,
        Self::Launching,
        Self::Starting,
        Self::Running,
        Self::Stopping,
        Self::Succeeded,
        Self::Failed,
        Self::TimedOut,
        Self::Cancelled,
        Self::Skipped,
    ];

    /// Whether the run has ended: nothing moves it any more.
    pub fn is_terminal(self) -> bool {
        self >= Self::Succeeded
    }

    /// The word in records and in what the program prints.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Launching => "launching",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timedOut",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
        }
    }

    /// The status that [`Self::as_str`] calls so.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The event that a run answers, as much of it as a list shows; what is too long for a record is cut, its id to a digest.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunEvent {
    /// The event's id.
    pub id: String,
    /// Who sent it.
    pub source: String,
    /// What happened.
    pub detail_type: String,
    /// When, as the source wrote it.
    pub time: String,
    /// The object, time, message or resource that it is about, as much as a list shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
}

impl From<&Event> for RunEvent {
    fn from(event: &Event) -> Self {
        Self {
            id: lengths::key(event.id().to_owned()),
            source: lengths::name(event.source()),
            detail_type: lengths::name(event.detail_type()),
            time: lengths::name(event.time()),
            subject: subject::of(event),
        }
    }
}

/// One rule's answer to one event.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// Its name.
    pub id: RunId,
    /// The rule's name.
    pub rule: String,
    /// Where it stands.
    pub status: Status,
    /// Why it stands there, in one sentence for people; `None` where the status says all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What makes a second event the same as the first, for this rule.
    pub dedupe_key: String,
    /// The event.
    pub event: RunEvent,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// When it reached a terminal status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// By when somebody must look at it again, whatever happens: the sweep asks for what is due.
    // Invariant: there while the run has not ended, but for a run that waits in the queue of a limit, which has a date of
    // its own; and after the end while there is something to tell or to tidy up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
    /// Which of the task's containers must exit with 0 for the run to have succeeded.
    pub essential: Vec<String>,
    /// The size that the task definition gives the task, for attempts that want more memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<TaskSize>,
    /// How often and how long, as the rule said when the run was made.
    #[serde(default, skip_serializing_if = "Policy::is_default")]
    pub policy: Policy,
    /// The slots that the run needs before it is launched; it holds all of them, or waits in a queue and holds none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slots: Vec<Slot>,
    /// The limit in whose queue it waits: the one that had no slot for it when that was last asked.
    // Invariant: there only while the run waits, and one of `slots`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<LimitId>,
    /// Why its task was told to stop, once it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Stop>,
    /// The run that this one does again, by a person's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redrive_of: Option<RunId>,
    /// The run that does this one again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redriven_by: Option<RunId>,
    /// How many runs this one follows upon: 0 for an event from outside, one more for each lifecycle event in between.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub depth: u32,
    /// Whether what is kept as its event is what could be kept of a message that could never be taken: nobody has held it
    /// against the rule, and it is no event to do again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_untaken: bool,
    /// The message that stays in its queue until the run has ended, if its rule says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Box<HeldMessage>>,
    /// Where the event was put that was too long for the request; a URL, `s3://BUCKET/KEY`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// What is still to be told on the event bus, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outbox: Vec<LifecycleEvent>,
    /// Each launch, in order.
    // Invariant: attempt `n` is at `n - 1`, and all but the last have ended.
    pub attempts: Vec<Attempt>,
    /// Rises by one with each change of the record; a store writes only over the one before.
    pub revision: u32,
}

impl Run {
    /// The launch that is on, or the last one.
    pub fn attempt(&self) -> Option<&Attempt> {
        self.attempts.last()
    }

    /// The slot of a limit that the run needs, if it needs one.
    pub fn slot(&self, limit: &LimitId) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.limit == *limit)
    }

    /// Whether the run takes up its slots: from its admission to its end, the waits between attempts included.
    pub fn holds_slots(&self) -> bool {
        if crate::is_mutated!(SlotGivenBackInBackoff) && self.status == Status::Waiting {
            return false;
        }
        if crate::is_mutated!(SlotGivenBackOnStop) && self.status == Status::Stopping {
            return false;
        }
        let has_ended = self.status.is_terminal() && !crate::is_mutated!(SlotKeptAfterEnd);
        !self.slots.is_empty() && self.queue.is_none() && !has_ended
    }

    /// Whether the run is a dead letter: it came to nothing, and nobody has had it done again.
    pub fn is_dead_letter(&self) -> bool {
        matches!(self.status, Status::Failed | Status::TimedOut) && self.redriven_by.is_none()
    }

    /// When its record and its event may be deleted, if what has ended is kept for so long.
    ///
    /// Never while the run is under way, or something of it is still to be told or to be tidied up.
    pub fn expires_at(&self, retention: SignedDuration) -> Option<Timestamp> {
        let ended_at = self.ended_at.filter(|_| self.due_at.is_none())?;
        Some(ended_at.checked_add(retention).unwrap_or(Timestamp::MAX))
    }

    /// Whether a task of the run has run.
    pub fn has_started(&self) -> bool {
        self.attempts.iter().any(|attempt| attempt.started_at.is_some())
    }

    /// When all of it must be over, if its rule says so.
    pub fn total_deadline(&self) -> Option<Timestamp> {
        self.policy.timeout.total_seconds.map(|seconds| after(self.created_at, seconds))
    }

    /// Ends the run.
    pub(crate) fn end(&mut self, status: Status, reason: Option<String>, now: Timestamp) {
        debug_assert!(status.is_terminal(), "{status} is no end");
        self.status = status;
        self.reason = reason.filter(|_| !crate::is_mutated!(ReasonForgotten));
        self.ended_at = Some(now);
        self.queue = None;
        self.due_at = None;
    }
}

/// So many seconds later, or at the end of all times.
pub(crate) fn after(time: Timestamp, seconds: u64) -> Timestamp {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    time.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

/// What a rule says of its runs' attempts and times, pinned when the run is made.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// How often, and how far apart.
    #[serde(default)]
    pub retry: retry::Policy,
    /// How long.
    #[serde(default)]
    pub timeout: Timeout,
}

impl Policy {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How long a run may take, in whole seconds; as long as it likes where nothing is said.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Timeout {
    /// From an attempt's launch until its task runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_seconds: Option<u64>,
    /// For which an attempt's task runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_seconds: Option<u64>,
    /// For the whole run, waits and all attempts included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_seconds: Option<u64>,
}

/// What a task definition gives its task: `cpu` and `memory`, as they stand there.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskSize {
    /// `cpu`.
    pub cpu: String,
    /// `memory`.
    pub memory: String,
}

/// A message of a queue that is held by a run: no other delivery of it comes while the heartbeat goes on.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldMessage {
    /// The queue's ARN.
    pub queue_arn: String,
    /// The message's id.
    pub id: String,
    /// What the delivery is called at the queue.
    pub receipt_handle: String,
    /// When the delivery came.
    pub received_at: Timestamp,
    /// When it is next kept from being delivered again.
    pub extend_at: Timestamp,
    /// The run's own date; [`Run::due_at`] is the earlier of the two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_due_at: Option<Timestamp>,
    /// The other runs that answer it: the message is for the last of them to give up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<RunId>,
}

impl HeldMessage {
    /// Whether both are of one message, whichever delivery of it.
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.queue_arn, &self.id) == (&other.queue_arn, &other.id)
    }
}

/// Why a task was told to stop.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stop {
    /// Whose word it was.
    pub cause: StopCause,
    /// In one sentence; it stands in the task's `stoppedReason`.
    pub reason: String,
    /// When it was said.
    pub at: Timestamp,
}

/// Whose word it was that a task stop.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum StopCause {
    /// A person's, or another run's that replaces this one: the run ends as cancelled.
    Cancelled,
    /// A limit of time on one attempt: another attempt may follow.
    AttemptTimedOut,
    /// The limit of time on the whole run.
    RunTimedOut,
}

/// One launch for a run.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Which, from 1.
    pub attempt: u32,
    /// The `RunTask` request, byte for byte as it is sent, and sent again.
    ///
    /// Kept of the first attempt, from which the others are made, and of the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The cluster that the request names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// The task, once `RunTask` or an event has named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_arn: Option<String>,
    /// When the attempt was recorded, before its request was first sent.
    pub created_at: Timestamp,
    /// How often the record was written in order to send the request.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub sends: u32,
    /// How often it was throttled; each time it is sent again, under the same token.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub throttles: u32,
    /// When the task ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When the task had stopped, or `RunTask` had refused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_at: Option<Timestamp>,
    /// ECS's `stopCode`, verbatim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_code: Option<String>,
    /// ECS's `stoppedReason`, verbatim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_reason: Option<String>,
    /// Why it failed; `None` while it is on and when it succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_class: Option<FailureClass>,
    /// How its containers ended.
    #[serde(default)]
    pub containers: Vec<ContainerExit>,
    /// The `detail.version` of the task state change last taken in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
}

impl Attempt {
    /// An attempt that is about to be sent.
    pub(crate) fn new(
        attempt: u32,
        request: String,
        cluster: Option<String>,
        now: Timestamp,
    ) -> Self {
        Self {
            attempt,
            request: Some(request),
            cluster,
            task_arn: None,
            created_at: now,
            sends: 1,
            throttles: 0,
            started_at: None,
            stopped_at: None,
            stop_code: None,
            stopped_reason: None,
            failure_class: None,
            containers: Vec::new(),
            version: None,
        }
    }

    /// Whether its request was ever about to be sent, so that ECS may know its token.
    pub fn was_sent(&self) -> bool {
        self.sends > 0
    }

    /// Whether it may still have, or get, a task: nothing has ended it.
    pub fn is_open(&self) -> bool {
        self.stopped_at.is_none()
    }

    /// Whether it ended on ECS's word that there is no task, which is no proof: a task may be there all the same.
    ///
    /// <https://github.com/apache/airflow/issues/16150>
    pub fn is_unproven(&self) -> bool {
        !self.is_open() && self.task_arn.is_none()
    }

    /// Whether its request may be on its way to ECS still: it was sent more often than answers came that started nothing.
    pub(crate) fn may_be_under_way(&self) -> bool {
        let answers = self.throttles.saturating_add(u32::from(self.is_unproven()));
        self.sends > answers && !crate::is_mutated!(LateRequestForgotten)
    }
}

fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_one(number: &u32) -> bool {
    *number == 1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// How one container of a task ended.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerExit {
    /// The container's name in the task definition.
    pub name: String,
    /// Its exit code; `None` if ECS told none, which is no success.
    pub exit_code: Option<i32>,
    /// ECS's reason, verbatim.
    pub reason: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_named_by_stack_rule_and_dedupe_key() {
        let id = RunId::new("media", "thumbnails", "k");
        assert_eq!(id, RunId::new("media", "thumbnails", "k"));
        assert_ne!(id, RunId::new("media", "thumbnails", "l"));
        assert_ne!(id, RunId::new("mediathumb", "nails", "k"));
        assert_eq!(RunId::parse(id.as_str()), Some(id));
    }

    #[test]
    fn started_by_is_read_back() {
        let run_id = RunId::new("media", "thumbnails", "k");
        let started_by = StartedBy { name: "media".to_owned(), run_id, attempt: 3 };
        assert_eq!(StartedBy::parse(&started_by.to_string()), Some(started_by));
    }

    #[test]
    fn the_longest_started_by_is_within_the_limit_of_ecs() {
        let name = "n".repeat(64);
        let run_id = RunId::new(&name, "r", "k");
        assert!(StartedBy { name, run_id, attempt: u32::MAX }.to_string().len() <= 128);
    }

    #[test]
    fn what_others_write_into_started_by_is_not_ours() {
        let id = RunId::new("media", "r", "k");
        for text in [
            String::new(),
            "ecs-svc/123".to_owned(),
            format!("media/{id}"),
            format!("media/{id}/0"),
            format!("media/{id}/x"),
            format!("media/{id}/1/2"),
            "media/xyz/1".to_owned(),
        ] {
            assert_eq!(StartedBy::parse(&text), None, "{text}");
        }
    }

    #[test]
    fn what_has_ended_is_kept_for_as_long_as_the_rules_say_and_until_all_is_told() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let retention = SignedDuration::from_secs(100);
        let mut run = crate::lifecycle::tests::run(Status::Running);
        assert_eq!(run.expires_at(retention), None);
        run.end(Status::Succeeded, None, at(10));
        assert_eq!(run.expires_at(retention), Some(at(110)));
        run.due_at = Some(at(20));
        assert_eq!(run.expires_at(retention), None);
    }

    #[test]
    fn every_status_is_read_back() {
        for status in Status::ALL {
            assert_eq!(Status::parse(status.as_str()), Some(status));
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
    }
}
