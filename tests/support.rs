//! What the end-to-end tests share: a `taskferry dev` of their own, on a free port, in a directory of its own.
//!
//! Nothing here waits for luck: the program says when it is ready, and a condition is asked for until it holds or a
//! generous deadline is past.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// How long a condition may take to hold, before the test has failed.
const DEADLINE: Duration = Duration::from_mins(1);

/// The `taskferry` program that was built beside the tests.
pub fn taskferry() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let program = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST").join("taskferry");
    assert!(program.exists(), "{} is missing: cargo build --bins", program.display());
    program
}

/// Asks until there is an answer.
///
/// # Panics
///
/// If there is none within a minute; `what` says what was waited for.
#[track_caller]
pub fn eventually<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    eventually_within(DEADLINE, what, ask)
}

/// The same with another deadline.
///
/// # Panics
///
/// If there is none by then.
#[track_caller]
pub fn eventually_within<T>(
    patience: Duration,
    what: &str,
    mut ask: impl FnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: not within {} s", patience.as_secs());
        thread::sleep(Duration::from_millis(10));
    }
}

/// A directory with a rules file.
pub struct Project {
    dir: TempDir,
}

impl Project {
    /// A directory of its own with this rules file.
    pub fn new(rules: &str) -> Self {
        let project = Self { dir: TempDir::new().expect("a temporary directory") };
        project.write("taskferry.yaml", rules);
        project
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file.
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.dir().join(name), text).expect("the directory can be written");
    }

    /// A `taskferry` command in this directory.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_of(&taskferry(), arguments)
    }

    fn command_of(&self, program: &Path, arguments: &[&str]) -> Command {
        // As on a machine where it is installed: what the program says to type next is its name, not its path.
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path =
            program.parent().map(Path::to_owned).into_iter().chain(std::env::split_paths(&path));
        let path = std::env::join_paths(path).expect("PATH and the path of the target directory");
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.dir())
            .env("PATH", path)
            .env_remove("AWS_ENDPOINT_URL")
            .env("NO_COLOR", "1");
        command
    }

    /// What a `taskferry` command in this directory says.
    pub fn taskferry(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("taskferry starts")
    }

    /// What a `taskferry` command in this directory writes to standard output; it must succeed.
    #[track_caller]
    pub fn stdout(&self, arguments: &[&str]) -> String {
        let output = self.taskferry(arguments);
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "taskferry {arguments:?}: {}\n{err}", output.status);
        String::from_utf8(output.stdout).expect("taskferry writes UTF-8")
    }

    /// The runs, the newest first.
    #[track_caller]
    pub fn runs(&self) -> Vec<Value> {
        let listed = self.stdout(&["runs", "list", "--json", "--limit", "1000"]);
        serde_json::from_str(&listed).expect("an array")
    }

    /// The runs of a rule, once so many of them have ended.
    #[track_caller]
    pub fn ended_runs(&self, rule: &str, count: usize) -> Vec<Value> {
        eventually(&format!("{count} ended runs of {rule}"), || {
            let mut runs = self.runs();
            runs.retain(|run| run["rule"] == rule && !run["endedAt"].is_null());
            (runs.len() >= count).then_some(runs)
        })
    }

    /// Starts `taskferry dev` here, on a free port.
    #[track_caller]
    pub fn dev(&self) -> Dev {
        self.dev_of(&taskferry())
    }

    /// The same with more arguments.
    #[track_caller]
    pub fn dev_with(&self, more: &[&str]) -> Dev {
        self.start(&taskferry(), more)
    }

    /// The same of a copy of the program.
    #[track_caller]
    pub fn dev_of(&self, program: &Path) -> Dev {
        self.start(program, &[])
    }

    #[track_caller]
    fn start(&self, program: &Path, more: &[&str]) -> Dev {
        let log =
            fs::File::create(self.dir().join("dev.log")).expect("the directory can be written");
        let mut child = self
            .command_of(program, &["dev", "--port", "0"])
            .args(more)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("taskferry starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut ready = String::new();
        stdout.read_line(&mut ready).expect("taskferry writes UTF-8");
        let endpoint = ready.split_whitespace().find(|word| word.starts_with("http://"));
        let Some(endpoint) = endpoint else {
            let log = fs::read_to_string(self.dir().join("dev.log")).expect("it was created");
            panic!("taskferry dev is not ready: {ready}{log}");
        };
        Dev { endpoint: endpoint.to_owned(), child }
    }
}

/// A `taskferry dev` that runs.
pub struct Dev {
    /// Where it is.
    pub endpoint: String,
    child: Child,
}

impl Dev {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as a person would, with a signal of this name; it must go by itself, and well.
    #[track_caller]
    pub fn stop(mut self, signal: &str) {
        self.signal(signal);
        let status = self.child.wait().expect("it is ours");
        assert!(status.success(), "taskferry dev ended with {status}");
    }

    /// Waits until it has ended by itself, and says how.
    pub fn wait(mut self) -> ExitStatus {
        eventually("the end of taskferry dev", || self.child.try_wait().expect("it is ours"))
    }

    /// Ends it without a word, as `kill -9` does.
    pub fn kill(mut self) {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it is ours");
    }

    fn signal(&self, signal: &str) {
        let pid = self.pid().to_string();
        let status = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(status.expect("kill starts").success(), "cannot send {signal} to {pid}");
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // It has ended already, unless the test failed.
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// What a server answers to one request.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Status line and headers.
    pub head: String,
    /// The body.
    pub body: String,
}

/// Sends one request by hand, as no client would: for what clients are too careful to send.
pub fn post(endpoint: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    use std::{fmt::Write as _, io::Read as _, io::Write as _, net::TcpStream};

    let authority = endpoint.trim_start_matches("http://");
    let mut stream = TcpStream::connect(authority).expect("taskferry dev listens");
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        write!(request, "{name}: {value}\r\n").expect("a string takes all");
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).expect("the server reads");
    // A server that refuses early may close before it has read all.
    let _sent = stream.write_all(body);
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the server answers in UTF-8");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}
