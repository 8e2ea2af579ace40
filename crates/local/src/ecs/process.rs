//! One container as a process group of this machine: started, waited for, stopped, and leaving nothing behind.
//!
//! A process writes its output straight into files, so that how much it writes costs this program nothing.

use std::{
    fs::{self, File},
    io,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::{AccessFlags, Pid, access},
};
use tokio::{
    process::{Child, Command},
    sync::oneshot,
    time,
};

use super::{Ecs, containers, containers::Plan};

/// Why a process did not start.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("CannotCreateContainerError: cannot create {path}", path = path.display())]
    Create { path: PathBuf, source: io::Error },
    #[error(
        "CannotStartContainerError: there is no program {program} on this machine; name what to run \
         instead in taskferry.yaml: local: {{ containers: {{ {container}: {{ entryPoint: [...] }} }} }}"
    )]
    NotFound { program: String, container: String },
    #[error("CannotStartContainerError: {path} is not executable", path = path.display())]
    NotExecutable { path: PathBuf },
    #[error("CannotStartContainerError: cannot start {program}")]
    Spawn { program: String, source: io::Error },
}

/// A process that runs, as the leader of a group of its own.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    pub group: Pid,
    /// What tells this process from a later one of the same number.
    pub started: String,
}

impl Process {
    /// Starts a container's process in the directory of its task.
    pub(super) fn spawn(plan: &Plan, task_directory: &Path) -> Result<Self, Error> {
        let home = containers::home(task_directory, &plan.name);
        let temporary = containers::temporary(task_directory, &plan.name);
        for path in [&home, &temporary] {
            fs::create_dir_all(path)
                .map_err(|source| Error::Create { path: path.clone(), source })?;
        }
        let output = |stream: &str| {
            let path = task_directory.join(format!("{}.{stream}.log", plan.name));
            File::create(&path).map_err(|source| Error::Create { path, source })
        };
        let [program, arguments @ ..] = plan.argv.as_slice() else {
            return Err(Error::NotFound { program: String::new(), container: plan.key.clone() });
        };
        let mut command = Command::new(find_program(program, plan, &home)?);
        command
            .arg0(program)
            .args(arguments)
            .env_clear()
            .envs(&plan.environment)
            .current_dir(&home)
            .stdin(Stdio::null())
            .stdout(output("stdout")?)
            .stderr(output("stderr")?)
            .process_group(0)
            .kill_on_drop(true);
        let spawn = |source| Error::Spawn { program: program.clone(), source };
        let child = command.spawn().map_err(spawn)?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        let group = Pid::from_raw(pid.expect("a child that was not waited for has its pid"));
        let started = identity(group).unwrap_or_default();
        Ok(Self { child, group, started })
    }

    /// Waits until the process exits, or stops its group when asked to: `SIGTERM`, and after the grace `SIGKILL`. What
    /// else is left of the group is killed.
    async fn wait(mut self, stop: oneshot::Receiver<()>, grace: time::Duration) -> i32 {
        let status = tokio::select! {
            status = self.child.wait() => status,
            // Also when nobody is left to ask.
            _ = stop => {
                signal(self.group, Signal::SIGTERM);
                if let Ok(status) = time::timeout(grace, self.child.wait()).await {
                    status
                } else {
                    signal(self.group, Signal::SIGKILL);
                    self.child.wait().await
                }
            }
        };
        // The number of an empty group may belong to another by now only if all numbers have been used since the wait.
        signal(self.group, Signal::SIGKILL);
        exit_code(status)
    }
}

impl Ecs {
    /// Follows a container's process to its end, and that of all that it started, with the reaper knowing of it.
    pub(super) fn supervise(
        self: &Arc<Self>,
        process: Process,
        stop: oneshot::Receiver<()>,
        plan: &Plan,
        task_directory: PathBuf,
    ) -> impl Future<Output = i32> + use<> {
        let (name, grace) = (plan.name.clone(), plan.stop_timeout);
        let ecs = Arc::clone(self);
        let group = process.group;
        if let Some(reaper) = &ecs.reaper {
            reaper.watch(group);
        }
        async move {
            let exit_code = process.wait(stop, grace).await;
            if let Some(reaper) = &ecs.reaper {
                reaper.release(group);
            }
            ecs.strays.kill(&task_directory, &name).await;
            exit_code
        }
    }
}

/// As ECS tells exit codes: a signal is 128 and its number.
fn exit_code(status: io::Result<ExitStatus>) -> i32 {
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => code,
            (None, signal) => 128 + signal.unwrap_or(0),
        },
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "a process is lost");
            255
        }
    }
}

/// Signals a group. One that is gone is what was wanted.
pub(super) fn signal(group: Pid, signal: Signal) {
    if let Err(error) = killpg(group, signal)
        && error != nix::errno::Errno::ESRCH
    {
        tracing::debug!(%group, %signal, %error, "a process group was not signalled");
    }
}

/// Looks a program up where its container would: in the `PATH` of its own environment, or from its own directory.
fn find_program(program: &str, plan: &Plan, home: &Path) -> Result<PathBuf, Error> {
    let not_found = || Error::NotFound { program: program.to_owned(), container: plan.key.clone() };
    let candidates: Vec<PathBuf> = if program.contains('/') {
        vec![home.join(program)]
    } else {
        let path = plan.environment.get(std::ffi::OsStr::new("PATH")).ok_or_else(not_found)?;
        std::env::split_paths(path).map(|directory| home.join(directory).join(program)).collect()
    };
    let files = candidates.into_iter().filter(|path| path.is_file());
    let mut refused = None;
    for path in files {
        if access(&path, AccessFlags::X_OK).is_ok() {
            return Ok(path);
        }
        refused.get_or_insert(path);
    }
    Err(refused.map_or_else(not_found, |path| Error::NotExecutable { path }))
}

/// What tells a process from all others that have its number: the boot, and the time in it when it started.
pub(super) fn identity(pid: Pid) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, so the fields are counted from its end: the start time is the 22nd.
    let start_time = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?;
    Some(format!("{}/{start_time}", boot()?))
}

/// What tells this boot of the machine from all others.
pub(super) fn boot() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(boot.trim().to_owned())
}
