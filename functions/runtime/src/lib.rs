//! What every function does before its first event: rules, records, clients, log, and then Lambda's loop.
//!
//! Called by the `bootstrap` of each function, and by `taskferry function NAME`. Wiring only: what an event means is for
//! the function's handler, which knows nothing of Lambda.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, bail};
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde_json::value::RawValue;
use taskferry_aws::{Clients, EcsTasks};
use taskferry_core::rules::Rules;
use taskferry_engine::{Disposition, Engine, ports::SystemClock};
use taskferry_local::runs::SqliteRuns;

/// The engine that the functions run on.
pub type FunctionEngine = Engine<SqliteRuns, EcsTasks, SystemClock>;

/// The environment variable with the path of the rules, as `taskferry` deploys them (JSON).
pub const RULES: &str = "TASKFERRY_RULES";

/// The environment variable that says where the records of the runs are: `sqlite:PATH`.
pub const RUNS: &str = "TASKFERRY_RUNS";

/// Why a function does not take its payload.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The payload is none of the source's.
    #[error(transparent)]
    S3(#[from] taskferry_core::event::s3::Error),
    /// The payload is not an event.
    #[error(transparent)]
    Event(#[from] taskferry_core::event::Error),
    /// The event could not be taken to where it is safe.
    #[error(transparent)]
    Engine(#[from] taskferry_engine::Error),
}

impl Error {
    /// The name under which Lambda counts the error: whether to deliver the event again is in it.
    fn error_type(&self) -> &'static str {
        match self {
            Self::S3(_) | Self::Event(_) => "Taskferry.Refused",
            Self::Engine(error) => match error.disposition() {
                Disposition::Again => "Taskferry.Again",
                Disposition::Refuse => "Taskferry.Refused",
            },
        }
    }
}

impl From<Error> for Diagnostic {
    fn from(error: Error) -> Self {
        let chain = anyhow::Error::from(error);
        let error_type = chain.downcast_ref::<Error>().map_or("Taskferry", Error::error_type);
        Self { error_type: error_type.to_owned(), error_message: format!("{chain:#}") }
    }
}

/// Serves Lambda's invocations with `handler`, until the process is ended.
///
/// # Errors
///
/// If the environment lacks something, the rules or the records cannot be opened, or the Runtime API is gone.
pub async fn run<F, Fut>(handler: F) -> anyhow::Result<()>
where
    F: Fn(Arc<FunctionEngine>, String) -> Fut,
    Fut: Future<Output = Result<(), Error>>,
{
    log();
    let engine = Arc::new(engine()?);
    let served = lambda_runtime::run(service_fn(|event: LambdaEvent<Box<RawValue>>| {
        // Boxed: what the SDK nests in here is too deep for the compiler to lay out in one piece.
        let answer = Box::pin(handler(Arc::clone(&engine), event.payload.get().to_owned()));
        async move { answer.await.map_err(Diagnostic::from) }
    }));
    served.await.map_err(|error| anyhow::anyhow!("{error}"))
}

/// One JSON object a line, on standard output, where Lambda collects it.
fn log() {
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_target(false)
        .with_max_level(tracing::Level::INFO)
        .init();
}

fn engine() -> anyhow::Result<FunctionEngine> {
    let rules = variable(RULES)?;
    let rules = std::fs::read_to_string(&rules).with_context(|| format!("cannot read {rules}"))?;
    let rules = Rules::from_json(&rules).context("the deployed rules cannot be used")?;
    let runs = variable(RUNS)?;
    let Some(path) = runs.strip_prefix("sqlite:") else {
        bail!(
            "{RUNS} is `{runs}`: this version keeps the records of runs in SQLite, `sqlite:PATH`"
        );
    };
    let runs = SqliteRuns::open(Path::new(path))?;
    let tasks = Clients::of_function().tasks();
    Ok(Engine::new(Arc::new(rules), runs, tasks, SystemClock))
}

fn variable(name: &str) -> anyhow::Result<String> {
    std::env::var(name).with_context(|| format!("the environment variable {name} is not set"))
}
