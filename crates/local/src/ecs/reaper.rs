//! A child process that outlives this one by a moment, and takes the tasks' processes with it.
//!
//! The program is started again with an argument that leads to [`run`], fed with the process groups that run, one a
//! line: `+7` when a group begins, `-7` when it is gone. However this process dies, the kernel closes the pipe, and the
//! reaper kills what is left. It must never act on anything but those lines.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::process::CommandExt,
    process::{Child, Command, ExitCode, Stdio},
    sync::{Mutex, PoisonError},
};

use nix::{sys::signal::Signal, unistd::Pid};

use super::process;

/// Reads which groups run, and kills them at the end of the input. The whole of the reaper's process.
pub fn run(input: impl Read) -> ExitCode {
    let mut groups = BTreeSet::new();
    for line in BufReader::new(input).lines() {
        let Ok(line) = line else { break };
        let group = |digits: &str| digits.parse().ok().filter(|group: &i32| *group > 1);
        if let Some(group) = line.strip_prefix('+').and_then(group) {
            groups.insert(group);
        } else if let Some(group) = line.strip_prefix('-').and_then(group) {
            groups.remove(&group);
        }
    }
    for group in groups {
        process::signal(Pid::from_raw(group), Signal::SIGKILL);
    }
    ExitCode::SUCCESS
}

/// The reaper, as this process sees it.
#[derive(Debug)]
pub(super) struct Reaper {
    command: Vec<OsString>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    child: Child,
    groups: BTreeSet<i32>,
}

impl Reaper {
    pub(super) fn start(command: Vec<OsString>) -> io::Result<Self> {
        let child = spawn(&command)?;
        Ok(Self { command, state: Mutex::new(State { child, groups: BTreeSet::new() }) })
    }

    /// From now on the group dies with this process.
    pub(super) fn watch(&self, group: Pid) {
        self.tell('+', group);
    }

    /// The group is gone.
    pub(super) fn release(&self, group: Pid) {
        self.tell('-', group);
    }

    fn tell(&self, sign: char, group: Pid) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match sign {
            '+' => state.groups.insert(group.as_raw()),
            _ => state.groups.remove(&group.as_raw()),
        };
        if state.write(&format!("{sign}{group}\n")).is_ok() {
            return;
        }
        // Somebody killed it. Its successor is told all that still runs.
        let restarted = spawn(&self.command).and_then(|child| {
            state.child = child;
            let groups = state.groups.clone();
            groups.iter().try_for_each(|group| state.write(&format!("+{group}\n")))
        });
        if let Err(error) = restarted {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "the reaper is gone: a crash would leave processes behind");
        }
    }
}

impl State {
    fn write(&mut self, lines: &str) -> io::Result<()> {
        let stdin = self.child.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        stdin.write_all(lines.as_bytes())
    }
}

impl Drop for State {
    fn drop(&mut self) {
        // The end of its input ends it; waiting leaves no zombie.
        self.child.stdin = None;
        if let Err(error) = self.child.wait() {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "the reaper was not waited for"
            );
        }
    }
}

fn spawn(command: &[OsString]) -> io::Result<Child> {
    let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    // In a group of its own, it does not hear the terminal's Ctrl-C.
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
}
