//! What every function does before its first event: rules, records, clients, log, and then Lambda's loop.
//!
//! Called by the `bootstrap` of each function, and by `taskferry function NAME`. Wiring only: what an event means is for
//! the function's handler, which knows nothing of Lambda.

mod records;

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde::Serialize;
use serde_json::value::RawValue;
use taskferry_aws::{AwsPorts, Clients};
use taskferry_core::rules::Rules;
use taskferry_engine::{Disposition, Engine};
use taskferry_local::db;

pub use self::records::{Location, LocationError, StoredRuns};

/// The engine that the functions run on.
pub type FunctionEngine = Engine<AwsPorts<StoredRuns>>;

/// What a function is invoked with.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The payload, JSON.
    pub payload: String,
    /// When Lambda ends the process if it has not answered.
    pub deadline: Timestamp,
}

/// What is left of a function's time for calls that are under way, when a sweep begins no more.
const SWEEP_MARGIN: SignedDuration = SignedDuration::from_secs(10);

impl Invocation {
    /// Until when it may begin to see to another run that is due.
    pub fn sweeps_until(&self) -> Timestamp {
        self.deadline - SWEEP_MARGIN
    }
}

/// The environment variable with the path of the rules, as `taskferry` deploys them (JSON).
pub const RULES: &str = "TASKFERRY_RULES";

/// The environment variable that says where the records of the runs are: `sqlite:PATH` or `dynamodb:TABLE`.
pub const RUNS: &str = "TASKFERRY_RUNS";

/// The error type of what may pass: the event is to be delivered again.
pub const AGAIN: &str = "Taskferry.Again";

/// The error type of what will fail again.
const REFUSED: &str = "Taskferry.Refused";

/// Why a function does not take its payload.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The payload is none of the source's.
    #[error(transparent)]
    S3(#[from] taskferry_core::event::s3::Error),
    /// The payload is no batch of messages.
    #[error(transparent)]
    Sqs(#[from] taskferry_core::event::sqs::Error),
    /// The payload is not an event.
    #[error(transparent)]
    Event(#[from] taskferry_core::event::Error),
    /// The payload is a schedule's, and makes no event.
    #[error(transparent)]
    Schedule(#[from] taskferry_core::event::schedule::Error),
    /// The event could not be taken to where it is safe.
    #[error(transparent)]
    Engine(#[from] taskferry_engine::Error),
    /// The records cannot be opened, by a full disk for one.
    #[error("the records of the runs are not available")]
    Records(#[from] db::Error),
}

impl Error {
    /// The name under which Lambda counts the error: whether to deliver the event again is in it.
    fn error_type(&self) -> &'static str {
        match self {
            Self::S3(_)
            | Self::Sqs(_)
            | Self::Event(_)
            | Self::Schedule(_)
            | Self::Records(db::Error::Newer { .. }) => REFUSED,
            Self::Records(db::Error::Sqlite { .. }) => AGAIN,
            Self::Engine(error) => match error.disposition() {
                Disposition::Again => AGAIN,
                Disposition::Refuse => REFUSED,
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

/// Serves Lambda's invocations with `handler`, whose answers go out as JSON, until the process is ended.
///
/// # Errors
///
/// If the environment lacks something, the rules cannot be used, or the Runtime API is gone.
pub async fn run<F, Fut, A>(handler: F) -> anyhow::Result<()>
where
    F: Fn(Arc<FunctionEngine>, Invocation) -> Fut,
    Fut: Future<Output = Result<A, Error>>,
    A: Serialize,
{
    log();
    let function = Function::from_env()?;
    // Before the first event comes. If it cannot be done now it may be later, and till then each event is told why.
    if let Err(error) = function.engine() {
        tracing::warn!(error = %format!("{:#}", anyhow::Error::from(error)), "not ready yet");
    }
    let served = lambda_runtime::run(service_fn(|event: LambdaEvent<Box<RawValue>>| {
        let invocation = Invocation {
            payload: event.payload.get().to_owned(),
            deadline: event.context.deadline().try_into().unwrap_or(Timestamp::MAX),
        };
        // Boxed: what the SDK nests in here is too deep for the compiler to lay out in one piece.
        let answer = function.engine().map(|engine| Box::pin(handler(engine, invocation)));
        let function = &function;
        async move {
            let answered = match answer {
                Ok(answer) => answer.await,
                Err(error) => Err(error),
            };
            answered.map_err(|error| {
                function.has_failed(&error);
                Diagnostic::from(error)
            })
        }
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

/// What a function knows from its environment.
struct Function {
    rules: Arc<Rules>,
    clients: Clients,
    runs: Location,
    engine: Mutex<Option<Arc<FunctionEngine>>>,
}

impl Function {
    fn from_env() -> anyhow::Result<Self> {
        let rules = variable(RULES)?;
        let rules =
            std::fs::read_to_string(&rules).with_context(|| format!("cannot read {rules}"))?;
        let rules = Rules::from_json(&rules).context("the deployed rules cannot be used")?;
        let runs =
            variable(RUNS)?.parse::<Location>().with_context(|| format!("{RUNS} is of no use"))?;
        let clients = Clients::of_function();
        Ok(Self { rules: Arc::new(rules), clients, runs, engine: Mutex::default() })
    }

    /// The engine, on the records as soon as they can be opened.
    fn engine(&self) -> Result<Arc<FunctionEngine>, Error> {
        let mut opened = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = &*opened {
            return Ok(Arc::clone(engine));
        }
        let engine = engine(Arc::clone(&self.rules), &self.clients, &self.runs)?;
        Ok(Arc::clone(opened.insert(Arc::new(engine))))
    }

    /// Has the records opened anew for the next event, where they may have been at fault: a file that could not be written
    /// when it was opened is read-only for as long as it is open. A table is not opened, and what the engine knows of the
    /// quota is worth more while AWS is busy.
    fn has_failed(&self, error: &Error) {
        if error.error_type() == AGAIN && matches!(self.runs, Location::Sqlite(_)) {
            *self.engine.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }
}

/// The engine for these rules, on the records that are there.
///
/// # Errors
///
/// The file's, where the records are in one and it cannot be opened.
pub fn engine(
    rules: Arc<Rules>,
    clients: &Clients,
    runs: &Location,
) -> Result<FunctionEngine, db::Error> {
    let ports = AwsPorts::new(clients, runs.open(clients, rules.retention)?);
    let quotas = rules.quotas;
    let engine = Engine::new(rules, ports);
    Ok(match runs {
        // On one machine ECS has no quota but the one that the rules say.
        Location::Sqlite(_) => engine.with_quotas(quotas),
        Location::DynamoDb(_) => engine,
    })
}

fn variable(name: &str) -> anyhow::Result<String> {
    std::env::var(name).with_context(|| format!("the environment variable {name} is not set"))
}
