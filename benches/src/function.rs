//! The functions as they go to Lambda: their size, from the start of the process to the first `next`, memory, warm pace.
//!
//! Each `bootstrap` of the `lambda` profile runs against a Runtime API and an ECS that answer at once. It is started in
//! two ways: with a plain endpoint, as on one machine, and with HTTPS, as on AWS, where the roots of TLS are read first.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Instant,
};

use anyhow::Context as _;
use taskferry_core::rules;
use tempfile::TempDir;

use crate::{
    decision::RULES,
    figures::{Figure, Pass},
    notification,
    process::peak_memory_mb,
    runtime_api::{RuntimeApi, task_arn},
    times,
};

/// How often a process is started, in each way.
const STARTS: usize = 40;

/// How many invocations a process takes before its memory is read.
const INVOCATIONS: usize = 500;

/// How a function reaches ECS.
#[derive(Clone, Copy)]
enum Endpoint {
    /// A plain endpoint for all services: no TLS.
    Plain,
    /// AWS's own, HTTPS; but ECS's is ours, so that there is an answer.
    Https,
}

pub(crate) fn measure() -> anyhow::Result<Pass> {
    let dir = TempDir::new()?;
    let rules = rules::check(RULES).rules.context("the rules are refused")?;
    fs::write(dir.path().join("rules.json"), rules.to_json())?;

    let mut pass = Pass::new();
    // The tasks that the first function starts are those that the last is told of.
    let mut started_by = Vec::new();
    for name in ["s3", "eventbridge", "sqs", "task-state-change", "sweep"] {
        let program = Path::new("target/lambda").join(format!("bootstrap-{name}"));
        let program = fs::canonicalize(&program)
            .with_context(|| format!("{} is not built", program.display()))?;
        #[expect(clippy::cast_precision_loss, reason = "a file of some megabytes")]
        let megabytes = fs::metadata(&program)?.len() as f64 / 1e6;
        pass.push(Figure::new(format!("{name}: size"), megabytes, "MB").at_most(6.0));
        pass.extend(starts(name, &program, dir.path())?);
        if matches!(name, "sqs" | "sweep") {
            // What they do with an event is what the others do.
            continue;
        }
        for endpoint in [Endpoint::Plain, Endpoint::Https] {
            let payloads = payloads(name, endpoint, &started_by);
            let (figures, tasks) = invocations(name, &program, dir.path(), endpoint, payloads)?;
            pass.extend(figures);
            if matches!(endpoint, Endpoint::Plain) && name == "s3" {
                started_by = tasks;
            }
        }
    }
    Ok(pass)
}

/// What the function is invoked with: each payload another event.
fn payloads(name: &str, endpoint: Endpoint, started_by: &[String]) -> Vec<String> {
    let offset = match endpoint {
        Endpoint::Plain => 0,
        Endpoint::Https => INVOCATIONS,
    };
    let payload = |index: usize| match name {
        "s3" => notification::object_created("uploads", &format!("incoming/{index}.jpg")),
        "eventbridge" => notification::order(index),
        _ => {
            let started_by = &started_by[index % started_by.len()];
            notification::stopped(started_by, &task_arn(started_by))
        }
    };
    (offset..offset + INVOCATIONS).map(payload).collect()
}

/// From the start of the process until it asks for its first invocation.
fn starts(name: &str, program: &Path, dir: &Path) -> anyhow::Result<Pass> {
    let mut pass = Pass::new();
    for endpoint in [Endpoint::Plain, Endpoint::Https] {
        let mut milliseconds = Vec::with_capacity(STARTS);
        for _ in 0..STARTS {
            let api = RuntimeApi::start()?;
            let began = Instant::now();
            let _process = Process::start(program, dir, &api, endpoint)?;
            milliseconds.push((api.asked()? - began).as_secs_f64() * 1e3);
        }
        let what = format!("{name}: start to first `next`, {}", endpoint.as_str());
        pass.extend(times(&what, milliseconds, Some(5.0))?);
    }
    Ok(pass)
}

/// The memory that a process takes for its invocations, and how many it answers in a second; and what it started.
fn invocations(
    name: &str,
    program: &Path,
    dir: &Path,
    endpoint: Endpoint,
    payloads: Vec<String>,
) -> anyhow::Result<(Pass, Vec<String>)> {
    let api = RuntimeApi::start()?;
    let process = Process::start(program, dir, &api, endpoint)?;
    api.asked()?;
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let count = payloads.len() as f64;
    let began = Instant::now();
    for payload in payloads {
        api.invoke(payload)?;
    }
    let per_second = count / began.elapsed().as_secs_f64();
    let way = endpoint.as_str();
    let memory = peak_memory_mb(process.0.id())?;
    let memory = Figure::new(format!("{name}: peak memory, {way}"), memory, "MB").at_most(8.0);
    let pace = Figure::new(format!("{name}: one process, warm, {way}"), per_second, "/s");
    Ok((vec![memory, pace], api.started_by()))
}

impl Endpoint {
    fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain HTTP",
            Self::Https => "HTTPS",
        }
    }

    fn variable(self) -> &'static str {
        match self {
            Self::Plain => "AWS_ENDPOINT_URL",
            Self::Https => "AWS_ENDPOINT_URL_ECS",
        }
    }
}

/// A function's process, which ends with this.
struct Process(Child);

impl Process {
    fn start(
        program: &Path,
        dir: &Path,
        api: &RuntimeApi,
        endpoint: Endpoint,
    ) -> anyhow::Result<Self> {
        let mut runs = std::ffi::OsString::from("sqlite:");
        runs.push(PathBuf::from(dir).join("runs.db"));
        let address = api.address();
        let child = Command::new(program)
            .current_dir(dir)
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", "bench")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/bench")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "bench")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "bench")
            .env("AWS_SECRET_ACCESS_KEY", "bench")
            .env("TASKFERRY_RULES", dir.join("rules.json"))
            .env("TASKFERRY_RUNS", runs)
            .env(endpoint.variable(), format!("http://{address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self(child))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already, if it could not start.
        let _killed = self.0.kill();
        let _reaped = self.0.wait();
    }
}
