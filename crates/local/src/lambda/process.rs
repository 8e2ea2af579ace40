//! One function process: its environment, its start and its end.
//!
//! Every process leads a process group of its own, and the group ends with it: nothing that a function started outlives
//! the function.

use std::{io, process::ExitStatus, sync::Arc, time::Duration};

use nix::{
    errno::Errno,
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{
    process::{Child, Command},
    task::JoinHandle,
    time::timeout,
};

use super::{VERSION, fleet::Start, functions::FunctionsConfig, logs::Logs};
use crate::identity::REGION;

/// How long the pipes of a process that has ended are read on.
const DRAIN: Duration = Duration::from_secs(1);

/// A running function process.
#[derive(Debug)]
pub(super) struct FunctionProcess {
    child: Child,
    group: Pid,
    pipes: Vec<JoinHandle<()>>,
}

impl FunctionProcess {
    /// Starts a process.
    pub(super) fn spawn(
        start: &Start,
        config: &FunctionsConfig,
        logs: &Arc<Logs>,
    ) -> io::Result<Self> {
        let (program, arguments) =
            start.function.command.split_first().ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidInput, "the command is empty")
            })?;
        let mut child = Command::new(program)
            .args(arguments)
            .current_dir(&config.task_root)
            .env_clear()
            .envs(environment(start, config))
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let id = child.id().and_then(|id| i32::try_from(id).ok()).expect("it was not waited for");
        let copy =
            |pipe| Arc::clone(logs).copy(Arc::clone(&start.name), Arc::clone(&start.id), pipe);
        let stdout = child.stdout.take().expect("it is piped");
        let stderr = child.stderr.take().expect("it is piped");
        let stdout =
            tokio::spawn(copy(Box::new(stdout) as Box<dyn tokio::io::AsyncRead + Send + Unpin>));
        let stderr = tokio::spawn(copy(Box::new(stderr)));
        Ok(Self { child, group: Pid::from_raw(id), pipes: vec![stdout, stderr] })
    }

    /// The process's id, and its group's.
    pub(super) fn pid(&self) -> i32 {
        self.group.as_raw()
    }

    /// Waits for the process to end. Can be called again when it was not waited out.
    pub(super) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Asks the group to end, and kills it if it does not within `grace`.
    pub(super) async fn stop(&mut self, grace: Duration) {
        self.signal(Signal::SIGTERM);
        if timeout(grace, self.child.wait()).await.is_err() {
            self.kill().await;
        }
    }

    /// Kills the group.
    pub(super) async fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        if let Err(error) = self.child.wait().await {
            tracing::error!(pid = self.pid(), %error, "a function process cannot be waited for");
        }
    }

    /// Ends what the process left behind in its group, and reads its last words.
    pub(super) async fn clear(self) {
        self.signal(Signal::SIGKILL);
        for mut pipe in self.pipes {
            if timeout(DRAIN, &mut pipe).await.is_err() {
                // A descendant outside the group holds the pipe open.
                pipe.abort();
            }
        }
    }

    fn signal(&self, signal: Signal) {
        // Fails when nothing is left in the group, which is what is wanted.
        killpg(self.group, signal).ok();
    }
}

/// Whether a process could not be started for want of what the system has to give, rather than for its command's sake.
pub(super) fn is_passing(error: &io::Error) -> bool {
    let number = error.raw_os_error().map(Errno::from_raw);
    matches!(
        number,
        Some(
            Errno::EAGAIN
                | Errno::ENOMEM
                | Errno::EMFILE
                | Errno::ENFILE
                | Errno::ENOSPC
                | Errno::EIO
                // The program is being written: somebody builds it.
                | Errno::ETXTBSY
        )
    )
}

/// Kills a process that a former server left behind, if it is still that process. Returns whether it was.
pub(super) fn kill_leftover(id: &str, pid: i32) -> bool {
    // The number may belong to somebody else by now; the environment tells. Where there is no such file, the process
    // has to end by itself, as it does when its next call to the Runtime API fails.
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let is_ours = environment
        .split(|&byte| byte == 0)
        .filter_map(|variable| variable.strip_prefix(b"AWS_LAMBDA_RUNTIME_API="))
        .any(|value| value.ends_with(format!("/_lambda/{id}").as_bytes()));
    is_ours && killpg(Pid::from_raw(pid), Signal::SIGKILL).is_ok()
}

/// The whole environment of a process.
// https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
fn environment(start: &Start, config: &FunctionsConfig) -> Vec<(String, std::ffi::OsString)> {
    let Start { id, name, function, .. } = start;
    let endpoint = config.endpoint;
    // Lambda's own names come last: they are reserved.
    let mut environment: Vec<_> =
        function.environment.iter().map(|(name, value)| (name.clone(), value.into())).collect();
    environment.extend(
        [
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_DEFAULT_REGION", REGION.to_owned()),
            ("AWS_ENDPOINT_URL", format!("http://{endpoint}")),
            // On Lambda there is no scheme; the Rust runtime's URI parser takes a path only behind one.
            ("AWS_LAMBDA_RUNTIME_API", format!("http://{endpoint}/_lambda/{id}")),
            ("AWS_LAMBDA_FUNCTION_NAME", name.to_string()),
            ("AWS_LAMBDA_FUNCTION_VERSION", VERSION.to_owned()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", function.memory_mb.to_string()),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
            ("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{name}")),
            ("AWS_LAMBDA_LOG_STREAM_NAME", id.to_string()),
            ("TZ", ":UTC".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value.into())),
    );
    environment.push(("LAMBDA_TASK_ROOT".to_owned(), config.task_root.clone().into()));
    if let Some(path) = std::env::var_os("PATH") {
        environment.push(("PATH".to_owned(), path));
    }
    environment
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn a_program_that_is_being_written_may_be_there_later_and_one_that_is_not_there_is_not() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().to_owned();
        let logs = Arc::new(Logs::open(dir.clone(), 0).unwrap());
        let config = FunctionsConfig::new("127.0.0.1:0".parse().unwrap(), dir.clone(), dir.clone());
        let spawn = |program: &std::path::Path| {
            let function = super::super::Function {
                command: vec![program.into()],
                environment: Vec::new(),
                timeout: DRAIN,
                memory_mb: 128,
                passing_errors: Vec::new(),
            };
            let start = Start {
                id: "1".into(),
                name: "f".into(),
                function: Arc::new(function),
                changed: Arc::default(),
            };
            FunctionProcess::spawn(&start, &config, &logs).unwrap_err()
        };
        let program = dir.join("program");
        fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        let written = fs::OpenOptions::new().append(true).open(&program).unwrap();
        let busy = spawn(&program);
        drop(written);
        let missing = spawn(&dir.join("missing"));
        fs::write(dir.join("text"), "text").unwrap();
        let forbidden = spawn(&dir.join("text"));
        assert_eq!(
            [busy, missing, forbidden].map(|error| is_passing(&error)),
            [true, false, false]
        );
        for errno in [Errno::EMFILE, Errno::ENFILE, Errno::EAGAIN, Errno::ENOMEM] {
            assert!(is_passing(&errno.into()), "{errno}");
        }
    }
}
