//! Why an attempt failed, as one of a few classes.
//!
//! Asked by `launch` for what `RunTask` answered and by `track` for a task that stopped. One table, a row a text of
//! AWS's; what no row knows is told by the exit code. Whether a class is tried again is not decided here.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::run::ContainerExit;

/// Why an attempt failed.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum FailureClass {
    /// AWS asked for fewer calls.
    Throttled,
    /// There was no room for the task.
    Capacity,
    /// The container agent of the instance was not there.
    Agent,
    /// The image could not be pulled.
    ImagePull,
    /// Secrets, logs, network or volumes could not be set up, or a container could not be made.
    Initialization,
    /// Spot capacity was taken back.
    SpotInterruption,
    /// The host, or ECS itself, failed.
    Infrastructure,
    /// A container wanted more memory than it had.
    OutOfMemory,
    /// An essential container exited with something else than 0.
    ExitCode,
    /// A limit of time ended it.
    TimedOut,
    /// A person, or another program, stopped it.
    StoppedByUser,
    /// AWS refused the request, or the task definition cannot run: it would be so again.
    Refused,
}

impl FailureClass {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Throttled,
        Self::Capacity,
        Self::Agent,
        Self::ImagePull,
        Self::Initialization,
        Self::SpotInterruption,
        Self::Infrastructure,
        Self::OutOfMemory,
        Self::ExitCode,
        Self::TimedOut,
        Self::StoppedByUser,
        Self::Refused,
    ];

    /// The class that is displayed so.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.to_string() == text)
    }

    /// What a person can do about a run that ended so, in one sentence.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Throttled => {
                "say the account's real quota under `quotas`, or have it raised, then redrive"
            }
            Self::Capacity => {
                "give the rule more subnets or another capacity provider, or wait, then redrive"
            }
            Self::Agent => {
                "see to the container instances: their ECS agents do not answer; then redrive"
            }
            Self::ImagePull => {
                "see that the image is there and that the execution role and the network reach its registry, then redrive"
            }
            Self::Initialization => {
                "see that secrets, log groups, volumes and subnets are there and the execution role may use them, then redrive"
            }
            Self::SpotInterruption => {
                "let the rule fall back to on-demand capacity, or redrive when Spot has room"
            }
            Self::Infrastructure => "redrive: nothing in the rule or the task has caused it",
            Self::OutOfMemory => "give the task more memory, then redrive",
            Self::ExitCode => "read what the task printed, mend it, then redrive",
            Self::TimedOut => {
                "give the rule's `timeout` more time, or make the task faster, then redrive"
            }
            Self::StoppedByUser => "`taskferry runs retry` does it again",
            Self::Refused => {
                "mend what the reason names, in the rule or the task definition, then redrive"
            }
        }
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Throttled => "throttled",
            Self::Capacity => "capacity",
            Self::Agent => "agent",
            Self::ImagePull => "imagePull",
            Self::Initialization => "initialization",
            Self::SpotInterruption => "spotInterruption",
            Self::Infrastructure => "infrastructure",
            Self::OutOfMemory => "outOfMemory",
            Self::ExitCode => "exitCode",
            Self::TimedOut => "timedOut",
            Self::StoppedByUser => "stoppedByUser",
            Self::Refused => "refused",
        })
    }
}

/// A container's exit code, with the signal that it tells of.
///
/// Linux and the shells: a process that a signal ended has the exit code 128 and the signal's number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ExitCode(pub i32);

impl fmt::Display for ExitCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(code) = self;
        let signal = match code {
            129 => "SIGHUP",
            130 => "SIGINT",
            131 => "SIGQUIT",
            132 => "SIGILL: illegal instruction",
            133 => "SIGTRAP",
            134 => "SIGABRT: aborted",
            135 => "SIGBUS",
            136 => "SIGFPE: division by zero, or the like",
            137 => "SIGKILL: killed, often for want of memory",
            139 => "SIGSEGV: invalid access to memory",
            141 => "SIGPIPE",
            143 => "SIGTERM: told to stop",
            _ => return code.fmt(f),
        };
        write!(f, "{code} ({signal})")
    }
}

/// What a text of ECS's says, wherever it stands: in `stoppedReason`, in a container's `reason`, in `failures[]`.
///
/// Read from the top; the first that is found decides.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html>
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/api_failures_messages.html>
const TEXTS: &[(&str, FailureClass)] = &[
    ("OutOfMemory", FailureClass::OutOfMemory),
    ("CannotPullContainer", FailureClass::ImagePull),
    ("CannotPullImageManifest", FailureClass::ImagePull),
    // What a container runtime says of a command that no other host would have either, and what the local ECS says.
    ("executable file not found", FailureClass::Refused),
    ("exec format error", FailureClass::Refused),
    ("there is no program", FailureClass::Refused),
    ("is not executable", FailureClass::Refused),
    ("the image's own command is not on this machine", FailureClass::Refused),
    ("ResourceInitializationError", FailureClass::Initialization),
    ("CannotStartContainerError", FailureClass::Initialization),
    ("CannotCreateContainerError", FailureClass::Initialization),
    ("CannotCreateVolumeError", FailureClass::Initialization),
    ("ContainerRuntimeError", FailureClass::Infrastructure),
    ("ContainerRuntimeTimeoutError", FailureClass::Infrastructure),
    ("DockerTimeoutError", FailureClass::Infrastructure),
    ("CannotInspectContainerError", FailureClass::Infrastructure),
    ("InternalError", FailureClass::Infrastructure),
    ("SpotInterruption", FailureClass::SpotInterruption),
    ("Your Spot Task was interrupted", FailureClass::SpotInterruption),
    ("Host EC2", FailureClass::Infrastructure),
    ("instance draining", FailureClass::Infrastructure),
    ("Timeout waiting for", FailureClass::Infrastructure),
    ("Capacity is unavailable", FailureClass::Capacity),
    ("EMPTY CAPACITY PROVIDER", FailureClass::Capacity),
    ("NO ACTIVE INSTANCES", FailureClass::Capacity),
    ("limit on the number of tasks you can run concurrently", FailureClass::Capacity),
    ("limit on the number of vCPUs", FailureClass::Capacity),
    ("RESOURCE:", FailureClass::Capacity),
    ("AGENT", FailureClass::Agent),
    ("ATTRIBUTE", FailureClass::Refused),
    ("LOCATION", FailureClass::Refused),
    ("MISSING", FailureClass::Refused),
    ("INACTIVE", FailureClass::Refused),
];

/// The texts of ECS's that name a class, in the order in which they are looked for; `docs/retries-and-limits.md` shows them.
pub fn texts() -> impl Iterator<Item = (&'static str, FailureClass)> {
    TEXTS.iter().copied()
}

/// The class that a text of ECS's names, if one does.
pub(crate) fn of_text(text: &str) -> Option<FailureClass> {
    TEXTS.iter().find(|(part, _)| text.contains(part)).map(|(_, class)| *class)
}

/// The class of a task that stopped without success.
pub(crate) fn of_stopped_task(
    stop_code: Option<&str>,
    stopped_reason: Option<&str>,
    containers: &[ContainerExit],
) -> FailureClass {
    let mut texts = stopped_reason
        .into_iter()
        .chain(containers.iter().filter_map(|container| container.reason.as_deref()));
    // https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Task.html (stopCode)
    match stop_code {
        Some("UserInitiated" | "ServiceSchedulerInitiated") => FailureClass::StoppedByUser,
        Some("SpotInterruption") if crate::is_mutated!(SpotSpendsAttempts) => {
            FailureClass::ExitCode
        }
        Some("SpotInterruption") => FailureClass::SpotInterruption,
        Some("TerminationNotice" | "InfrastructureHealth") => FailureClass::Infrastructure,
        Some("EssentialContainerExited") => texts
            .filter_map(of_text)
            .find(|class| *class == FailureClass::OutOfMemory)
            .unwrap_or(FailureClass::ExitCode),
        Some("TaskFailedToStart") => {
            texts.find_map(of_text).unwrap_or(FailureClass::Initialization)
        }
        Some(_) | None => texts.find_map(of_text).unwrap_or(FailureClass::Infrastructure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(stop_code: &str, reason: &str, expected: FailureClass) {
        assert_eq!(of_stopped_task(Some(stop_code), Some(reason), &[]), expected);
    }

    #[test]
    fn an_exit_code_names_the_signal_that_it_tells_of() {
        let told = [0, 1, 127, 137, 139, 143, 255, -1].map(|code| ExitCode(code).to_string());
        assert_eq!(
            told,
            [
                "0",
                "1",
                "127",
                "137 (SIGKILL: killed, often for want of memory)",
                "139 (SIGSEGV: invalid access to memory)",
                "143 (SIGTERM: told to stop)",
                "255",
                "-1"
            ]
        );
    }

    #[test]
    fn an_exit_code_is_the_applications() {
        check(
            "EssentialContainerExited",
            "Essential container in task exited",
            FailureClass::ExitCode,
        );
    }

    #[test]
    fn a_container_that_ran_out_of_memory_is_told_by_its_reason() {
        let reason = Some("OutOfMemoryError: Container killed due to memory usage".to_owned());
        let killed = ContainerExit { name: "app".to_owned(), exit_code: Some(0), reason };
        assert_eq!(
            of_stopped_task(Some("EssentialContainerExited"), None, &[killed]),
            FailureClass::OutOfMemory
        );
    }

    #[test]
    fn an_image_that_cannot_be_pulled_is_told_by_the_reason() {
        check(
            "TaskFailedToStart",
            "CannotPullContainerError: pull access denied",
            FailureClass::ImagePull,
        );
    }

    #[test]
    fn a_task_that_failed_to_start_for_no_known_reason_failed_to_initialise() {
        check("TaskFailedToStart", "", FailureClass::Initialization);
    }

    #[test]
    fn a_stop_code_of_tomorrow_is_told_by_the_reason() {
        check("Tomorrow", "Your Spot Task was interrupted.", FailureClass::SpotInterruption);
        check("Tomorrow", "?", FailureClass::Infrastructure);
    }

    #[test]
    fn failures_of_run_task_are_told_by_their_reason() {
        assert_eq!(of_text("RESOURCE:MEMORY"), Some(FailureClass::Capacity));
        assert_eq!(of_text("AGENT"), Some(FailureClass::Agent));
        assert_eq!(of_text("ATTRIBUTE"), Some(FailureClass::Refused));
    }
}
