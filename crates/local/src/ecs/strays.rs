//! Processes that containers left running outside their groups, as daemons do: a container that ends takes them along.
//!
//! Asked when a container's process has exited, and for all tasks at the beginning and at the end. A process is known by
//! what it still has of its container: its home or temporary directory in the environment, or, where it has neither, its output
//! files. One that has got rid of these lives on, and so does each where the system has no `/proc`: only a container engine could
//! do more. Nothing else is ever killed: neither this process nor somebody who looks at a task's directory.

use std::{
    fs,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    thread,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    sync::oneshot,
    time::{Duration, Instant, sleep_until},
};

use super::containers;

/// How often it is looked again after something was killed, since that may just have started something else.
const ROUNDS_MAX: u32 = 8;

/// How many times as long as to look took there is rest before it is looked again: many containers may end meanwhile, and it
/// keeps no more than a tenth of a core busy. Where few processes run it takes about a millisecond.
const REST: u32 = 9;

/// How often a process is looked at again that is just being given another program, and how long after.
const BEING_BEGUN_MAX: u32 = 100;
const BEING_BEGUN: Duration = Duration::from_millis(1);

/// What the processes of a container, or of all, have of it.
#[derive(Debug)]
enum Of {
    /// Any task in this directory.
    Tasks(PathBuf),
    /// The container with this home. Its other paths begin so, too, and go on with a dot, which no container's name has.
    Container(PathBuf),
}

/// Kills what any task has left.
pub(super) fn kill_all(tasks_dir: &Path) {
    kill_those(&[Of::Tasks(tasks_dir.to_owned())]);
}

/// Looks for the processes that containers left, for many at once: it takes about as long for one.
#[derive(Debug, Default)]
pub(super) struct Strays {
    waiting: Mutex<Vec<(Of, oneshot::Sender<()>)>>,
    /// From when on it may be looked again.
    looking: tokio::sync::Mutex<Option<Instant>>,
}

impl Strays {
    /// Kills what a container left that has ended, and returns when it is done.
    pub(super) async fn kill(&self, task_directory: &Path, container: &str) {
        let (done, mut is_done) = oneshot::channel();
        let container = Of::Container(containers::home(task_directory, container));
        self.waiting().push((container, done));
        let mut looking = self.looking.lock().await;
        // Whoever looked meanwhile has looked for all that were waiting when he began.
        if is_done.try_recv().is_ok() {
            return;
        }
        if let Some(again) = *looking {
            sleep_until(again).await;
        }
        let begun = Instant::now();
        let (containers, waiting): (Vec<_>, Vec<_>) = self.waiting().drain(..).unzip();
        let looked = tokio::task::spawn_blocking(move || kill_those(&containers)).await;
        if let Err(error) = looked {
            tracing::error!(%error, "it is not known what ended containers have left running");
        }
        *looking = Some(Instant::now() + begun.elapsed() * REST);
        for done in waiting {
            // Nobody waits for it if its task has been dropped.
            let _told = done.send(());
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<(Of, oneshot::Sender<()>)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn kill_those(of: &[Of]) {
    for _ in 0..ROUNDS_MAX {
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let mut found = false;
        for process in processes {
            let own = i32::try_from(std::process::id()).ok();
            let pid = process.file_name().to_str().and_then(|pid| pid.parse().ok());
            let Some(pid) = pid.filter(|pid: &i32| *pid > 1 && Some(*pid) != own) else { continue };
            if !has_any(&process.path(), of) {
                continue;
            }
            match kill(Pid::from_raw(pid), Signal::SIGKILL) {
                Ok(()) => found = true,
                Err(error) => tracing::debug!(pid, %error, "a stray process was not killed"),
            }
        }
        if !found {
            return;
        }
    }
}

/// Whether a process is of any of them. What cannot be read is somebody else's, or gone.
fn has_any(process: &Path, of: &[Of]) -> bool {
    let environment = environment(process);
    let mut directories = environment
        .split(|byte| *byte == 0)
        .filter_map(|pair| pair.strip_prefix(b"TMPDIR=").or_else(|| pair.strip_prefix(b"HOME=")))
        .peekable();
    let is_any = |path: &[u8]| of.iter().any(|of| of.has(path));
    // Nearly every process has a home, and need not be looked at any closer.
    if directories.peek().is_some() {
        return directories.any(is_any);
    }
    let outputs = ["fd/1", "fd/2"].into_iter();
    let mut outputs = outputs.filter_map(|output| fs::read_link(process.join(output)).ok());
    outputs.any(|output| is_any(output.as_os_str().as_bytes()))
}

/// The environment of a process. While `execve` gives it another program it has none for a moment, nor arguments; a thread of
/// the kernel never has, but that has no program either.
fn environment(process: &Path) -> Vec<u8> {
    let read = |file: &str| fs::read(process.join(file)).unwrap_or_default();
    for _ in 0..BEING_BEGUN_MAX {
        let environment = read("environ");
        if !environment.is_empty() || fs::read_link(process.join("exe")).is_err() {
            return environment;
        }
        // Arguments are there from when on the environment is, which may be just now.
        if !read("cmdline").is_empty() {
            return read("environ");
        }
        thread::sleep(BEING_BEGUN);
    }
    Vec::new()
}

impl Of {
    fn has(&self, path: &[u8]) -> bool {
        let (Self::Tasks(begin) | Self::Container(begin)) = self;
        match (self, path.strip_prefix(begin.as_os_str().as_bytes())) {
            (Self::Tasks(_), Some([b'/', _, ..])) | (Self::Container(_), Some([] | [b'.', ..])) => {
                true
            }
            (_, Some(_) | None) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Whoever began it goes on as soon as the old program is gone, which is before the new one has its environment.
    #[test]
    fn a_process_that_is_being_begun_is_told_by_the_environment_that_it_gets() {
        for _ in 0..100 {
            let mut child = Command::new("sleep")
                .arg("600")
                .env("TMPDIR", "/s/tasks/1/app.tmp")
                .spawn()
                .unwrap();
            let process = PathBuf::from(format!("/proc/{}", child.id()));
            let is_found = has_any(&process, &[Of::Tasks("/s/tasks".into())]);
            child.kill().unwrap();
            child.wait().unwrap();
            assert!(is_found);
        }
    }

    #[test]
    fn a_path_is_of_one_container_alone() {
        let container = Of::Container("/s/tasks/1/app".into());
        let tasks = Of::Tasks("/s/tasks".into());
        let check = |path: &str, expected: (bool, bool)| {
            let path = path.as_bytes();
            assert_eq!((container.has(path), tasks.has(path)), expected);
        };
        check("/s/tasks/1/app", (true, true));
        check("/s/tasks/1/app.tmp", (true, true));
        check("/s/tasks/1/app.stdout.log (deleted)", (true, true));
        check("/s/tasks/1/app-2.tmp", (false, true));
        check("/s/tasks/11/app", (false, true));
        check("/s/tasks.old/1/app", (false, false));
        check("/s/tasks/", (false, false));
        check("/home/somebody", (false, false));
    }
}
