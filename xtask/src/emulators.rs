//! Emulators: AWS as others have built it, for the contracts of our stores and of SQS, and to be measured beside.
//!
//! moto and ministack are installed in fixed versions, started on free ports of this machine, and ended. Each lets through
//! what the other catches, so every contract is held against both.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use crate::{
    steps::{cargo, say, step, target},
    venv::venv,
};

/// What the emulators need, each in a fixed version.
const REQUIREMENTS: &str = "tests/emulators/requirements.txt";

/// What the contract of SQS needs, a client that we did not write.
const CLIENTS: &str = "tests/clients/requirements.txt";

/// How long an emulator may take until it answers.
const START: Duration = Duration::from_secs(30);

/// Runs the contracts that need a server.
pub(crate) fn run() -> anyhow::Result<()> {
    let (moto, ministack) = start()?;
    // The same checks that `taskferry dev` passes: those that the emulator is known to fail are listed there, with AWS's word.
    step(
        Command::new(venv("clients-venv", CLIENTS)?.join("bin/python"))
            .arg("tests/clients/sqs/check_sqs.py")
            .args(["--peer", "ministack", "--endpoint-url", &ministack.endpoint]),
    )?;
    // One of them starts the functions.
    step(cargo().args(["build", "--locked", "--workspace", "--bins"]))?;
    step(
        cargo()
            // Of the whole workspace, as all was built before: for one package alone features differ, and with them all below.
            .args(["test", "--locked", "--workspace", "--test", "contracts"])
            .args(["--", "--ignored"])
            .env("TASKFERRY_MOTO", &moto.endpoint)
            .env("TASKFERRY_MINISTACK", &ministack.endpoint),
    )
}

/// moto and ministack, started.
pub(crate) fn start() -> anyhow::Result<(Emulator, Emulator)> {
    let venv = venv("emulators-venv", REQUIREMENTS)?;
    let moto = Emulator::start(&venv, "moto_server", "/moto-api/", |command, port| {
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
    })?;
    let ministack = Emulator::start(&venv, "ministack", "/_ministack/health", |command, port| {
        let port = port.to_string();
        command.envs([
            ("BIND_HOST", "127.0.0.1"),
            ("MINISTACK_HOST", "127.0.0.1"),
            ("GATEWAY_PORT", port.as_str()),
        ]);
    })?;
    Ok((moto, ministack))
}

/// A server that ends when this goes.
pub(crate) struct Emulator {
    child: Child,
    pub(crate) endpoint: String,
}

impl Emulator {
    /// Starts the program, and waits until it answers at `ready`.
    fn start(
        venv: &Path,
        program: &str,
        ready: &str,
        configure: impl Fn(&mut Command, u16),
    ) -> anyhow::Result<Self> {
        // Free a moment ago; should somebody take it in between, the program says so and ends.
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let log = target().join(format!("{program}.log"));
        let mut command = Command::new(venv.join("bin").join(program));
        configure(&mut command, port);
        command.stdout(Stdio::null()).stderr(fs::File::create(&log)?).stdin(Stdio::null());
        let child = command.spawn().with_context(|| format!("cannot start {program}"))?;
        let mut emulator = Self { child, endpoint: format!("http://127.0.0.1:{port}") };
        let began = Instant::now();
        while !answers(port, ready) {
            if let Some(status) = emulator.child.try_wait()? {
                bail!("{program} ended with {status}; see {}", log.display());
            }
            if began.elapsed() > START {
                bail!("{program} does not answer; see {}", log.display());
            }
            thread::sleep(Duration::from_millis(50));
        }
        say(&format!("\n{program} is at {}", emulator.endpoint));
        Ok(emulator)
    }
}

fn answers(port: u16, path: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let request = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n");
    let mut head = [0; 12];
    let asked = stream.write_all(request.as_bytes());
    asked.and_then(|()| stream.read_exact(&mut head)).is_ok() && head.ends_with(b" 200")
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // It may have ended by itself, which the tests have noticed.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
