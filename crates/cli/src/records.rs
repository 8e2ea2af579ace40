//! The records of the runs, as `taskferry runs` and `taskferry dead-letters` see them: those of a `taskferry dev`, or those
//! of a deployment, in DynamoDB.
//!
//! On AWS everything but the rules comes from AWS's own environment: Region, credentials, profile, endpoints.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use taskferry_aws::Clients;
use taskferry_core::{rules::Rules, run::Run};
use taskferry_engine::ports::{Page, RunQuery, Runs as _};
use taskferry_function::{FunctionEngine, Location, StoredRuns};
use taskferry_local::{runs::SqliteRuns, state};
use tracing_subscriber::{
    Layer as _,
    filter::{LevelFilter, Targets},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::{
    check,
    output::hinted,
    state::{StateArguments, StateDir},
};

/// Where the records are.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RecordsArguments {
    #[command(flatten)]
    state: StateArguments,
    /// Where the records of the runs are, instead of the state directory: `dynamodb:TABLE`, with AWS's own variables for
    /// Region and credentials
    #[arg(long, env = taskferry_function::RUNS, value_name = "PLACE", global = true)]
    runs: Option<Location>,
    /// The rules file that `retry`, `stop` and `redrive` act under, where the records are in DynamoDB
    #[arg(long, default_value = "taskferry.yaml", value_name = "FILE", global = true)]
    file: PathBuf,
}

impl RecordsArguments {
    /// Opens the records.
    pub(crate) async fn open(&self) -> anyhow::Result<Records> {
        let state = StateDir::new(&self.state.state);
        match &self.runs {
            None => Records::here(state),
            Some(Location::Sqlite(path)) if !path.exists() => {
                let hint =
                    "`taskferry dev` makes it in its state directory: name that with --state";
                Err(hinted(format!("there is no file {}", path.display()), hint))
            }
            Some(location @ Location::Sqlite(path)) => {
                let runs = SqliteRuns::open(path).map(StoredRuns::Sqlite)?;
                Ok(Records { runs, location: location.clone(), place: Place::Here(state) })
            }
            Some(location @ Location::DynamoDb(table)) => {
                let clients = Clients::from_env().await;
                let runs = StoredRuns::DynamoDb(clients.runs(table));
                let place = Place::Aws { clients: Box::new(clients), file: self.file.clone() };
                Ok(Records { runs, location: location.clone(), place })
            }
        }
    }
}

/// The records of the runs, and what is beside them.
pub(crate) struct Records {
    pub(crate) runs: StoredRuns,
    location: Location,
    place: Place,
}

/// Has a list say which records it lacks, since this version cannot read them.
pub(crate) fn tell_of_unreadable() {
    let lines = tracing_subscriber::fmt::layer()
        .without_time()
        .with_target(false)
        .with_ansi(false)
        .with_writer(io::stderr)
        .log_internal_errors(false);
    let stores = ["taskferry_local::runs", "taskferry_aws::runs"];
    let stores = Targets::new().with_targets(stores.map(|store| (store, LevelFilter::ERROR)));
    tracing_subscriber::registry().with(lines.with_filter(stores)).init();
}

/// Where the tasks of the runs are.
enum Place {
    /// Beside a `taskferry dev`.
    Here(StateDir),
    /// On AWS; the rules are in this file.
    Aws { clients: Box<Clients>, file: PathBuf },
}

impl Records {
    /// Those in a state directory.
    pub(crate) fn here(state: StateDir) -> anyhow::Result<Self> {
        let runs = StoredRuns::Sqlite(state.open_runs()?);
        let location = Location::Sqlite(state.runs());
        Ok(Self { runs, location, place: Place::Here(state) })
    }

    /// The state directory, unless the runs are on AWS.
    pub(crate) fn state(&self) -> Option<&StateDir> {
        match &self.place {
            Place::Here(state) => Some(state),
            Place::Aws { .. } => None,
        }
    }

    /// How long to wait before the records are looked at again: on AWS each look is paid for.
    pub(crate) fn period(&self) -> Duration {
        match self.place {
            Place::Here(_) => Duration::from_millis(100),
            Place::Aws { .. } => Duration::from_secs(2),
        }
    }

    /// The engine on these records, as the functions have it.
    pub(crate) async fn engine(&self) -> anyhow::Result<FunctionEngine> {
        let (rules, clients) = match &self.place {
            Place::Here(state) => {
                let path = state.rules();
                let rules = fs::read_to_string(&path);
                let rules = rules.with_context(|| format!("cannot read {}", path.display()))?;
                let rules =
                    Rules::from_json(&rules).context("the deployed rules cannot be used")?;
                (rules, state.endpoint()?.clients().await)
            }
            Place::Aws { clients, file } => {
                let rules = check::load(file, &mut io::stderr())?;
                let rules = rules.with_context(|| format!("{} is refused", file.display()))?;
                (rules, Clients::clone(clients))
            }
        };
        Ok(taskferry_function::engine(Arc::new(rules), &clients, &self.location)?)
    }

    /// Says, to who waits for a change, that nothing is there to make one.
    pub(crate) fn tell_if_idle(&self, err: &mut dyn Write) -> io::Result<()> {
        let Some(dir) = self.state().map(StateDir::path) else { return Ok(()) };
        // What cannot be told is no reason not to wait.
        if let Ok(None) = state::endpoint(dir) {
            let dir = dir.display();
            writeln!(
                err,
                "note: no `taskferry dev` runs on the state in {dir}: nothing changes until one does"
            )?;
        }
        Ok(())
    }

    /// The one run whose id is this or begins so.
    pub(crate) async fn run(&self, id: &str) -> anyhow::Result<Run> {
        // Nothing is not the beginning of an id, but a variable that a script has not set.
        let mut found = if id.is_empty() { Vec::new() } else { self.runs.find(id).await? };
        match (found.pop(), found.pop()) {
            (Some(run), None) => Ok(run),
            (None, _) => Err(hinted(
                format!("there is no run `{id}`"),
                "`taskferry runs list` shows them; what ended longer ago than `retention` says, 30 days unless said, was deleted",
            )),
            (Some(_), Some(_)) => {
                Err(hinted(format!("several runs begin with `{id}`"), "write more of the id"))
            }
        }
    }

    /// The newest runs that the query asks for, at most so many, and where the list goes on: a page that is short is not its
    /// end, since DynamoDB filters what it has read.
    pub(crate) async fn list(&self, mut query: RunQuery, limit: u32) -> anyhow::Result<Page> {
        let mut found = Vec::new();
        let mut left = limit;
        loop {
            query.limit = Some(left);
            let Page { runs, next } = self.runs.list(&query).await?;
            left = left.saturating_sub(u32::try_from(runs.len()).unwrap_or(u32::MAX));
            found.extend(runs);
            if left == 0 || next.is_none() {
                return Ok(Page { runs: found, next });
            }
            query.after = next;
        }
    }

    /// The newest of those that `is_wanted`, at most so many if that is said.
    pub(crate) async fn chosen(
        &self,
        mut query: RunQuery,
        limit: Option<u32>,
        is_wanted: impl Fn(&Run) -> bool,
    ) -> anyhow::Result<Vec<Run>> {
        let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        let mut found = Vec::new();
        loop {
            let Page { runs, next } = self.runs.list(&query).await?;
            let wanted = runs.into_iter().filter(&is_wanted);
            found.extend(wanted.take(limit - found.len()));
            if found.len() == limit || next.is_none() {
                return Ok(found);
            }
            query.after = next;
        }
    }
}
