//! Where the records of the runs are, and the store that is there: `sqlite:PATH` or `dynamodb:TABLE`.
//!
//! Read by each function from its environment, and by the program from its arguments. Wiring only: what a store promises,
//! `taskferry_engine::ports::Runs` says, and both are held to one suite.

use std::{fmt, path::PathBuf, str::FromStr};

use jiff::{SignedDuration, Timestamp};
use taskferry_aws::{Clients, DynamoRuns};
use taskferry_core::{
    event::Event,
    limits::{LimitId, LimitState},
    pace::Window,
    run::{Run, RunId},
};
use taskferry_engine::ports::{Created, Due, Error, Page, RunQuery, Runs, Updated};
use taskferry_local::{db, runs::SqliteRuns};

/// Where the records of the runs are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Location {
    /// In a file of this machine.
    Sqlite(PathBuf),
    /// In a table of DynamoDB, by its name or ARN.
    DynamoDb(String),
}

/// Why a text says no location.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LocationError {
    /// It begins with no store's name.
    #[error("`{0}` names no store: write `sqlite:PATH` or `dynamodb:TABLE`")]
    Store(String),
    /// No file is named.
    #[error("`sqlite:` names no file: write `sqlite:PATH`")]
    Path,
    /// DynamoDB takes no such name.
    #[error(
        "`{0}` is no table of DynamoDB: a name has 3 to 255 letters, digits, `_`, `-` and `.`, or write the table's ARN"
    )]
    Table(String),
}

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        match text.split_once(':') {
            Some(("sqlite", "")) => Err(LocationError::Path),
            Some(("sqlite", path)) => Ok(Self::Sqlite(PathBuf::from(path))),
            Some(("dynamodb", table)) if is_table(table) => Ok(Self::DynamoDb(table.to_owned())),
            Some(("dynamodb", table)) => Err(LocationError::Table(table.to_owned())),
            _ => Err(LocationError::Store(text.to_owned())),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::DynamoDb(table) => write!(f, "dynamodb:{table}"),
        }
    }
}

/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html>; where a call
/// takes a name it takes an ARN too.
fn is_table(table: &str) -> bool {
    let of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    let is_arn = table.starts_with("arn:") && table.contains(":table/");
    is_arn || ((3..=255).contains(&table.len()) && table.bytes().all(of_name))
}

impl Location {
    /// The store that is there, which keeps what has ended for so long.
    ///
    /// # Errors
    ///
    /// The file's, if it cannot be opened or is of a newer version. Whether there is such a table, the first call tells.
    pub fn open(
        &self,
        clients: &Clients,
        retention: SignedDuration,
    ) -> Result<StoredRuns, db::Error> {
        Ok(match self {
            Self::Sqlite(path) => {
                StoredRuns::Sqlite(SqliteRuns::open(path)?.with_retention(retention))
            }
            Self::DynamoDb(table) => {
                StoredRuns::DynamoDb(clients.runs(table).with_retention(retention))
            }
        })
    }
}

/// The records of the runs, wherever they are.
// Calls of the SDK are boxed: beside the wait for an answer that costs nothing, and what awaits them stays small.
#[derive(Debug)]
pub enum StoredRuns {
    /// In a file of this machine.
    Sqlite(SqliteRuns),
    /// In a table of DynamoDB.
    DynamoDb(DynamoRuns),
}

impl Runs for StoredRuns {
    async fn create(&self, run: &Run, event: &Event) -> Result<Created, Error> {
        match self {
            Self::Sqlite(runs) => runs.create(run, event).await,
            Self::DynamoDb(runs) => Box::pin(runs.create(run, event)).await,
        }
    }

    async fn update(&self, was: &Run, run: &Run) -> Result<Updated, Error> {
        match self {
            Self::Sqlite(runs) => runs.update(was, run).await,
            Self::DynamoDb(runs) => Box::pin(runs.update(was, run)).await,
        }
    }

    async fn get(&self, id: &RunId) -> Result<Option<Run>, Error> {
        match self {
            Self::Sqlite(runs) => runs.get(id).await,
            Self::DynamoDb(runs) => Box::pin(runs.get(id)).await,
        }
    }

    async fn find(&self, id_prefix: &str) -> Result<Vec<Run>, Error> {
        match self {
            Self::Sqlite(runs) => runs.find(id_prefix).await,
            Self::DynamoDb(runs) => Box::pin(runs.find(id_prefix)).await,
        }
    }

    async fn event(&self, id: &RunId) -> Result<Option<String>, Error> {
        match self {
            Self::Sqlite(runs) => runs.event(id).await,
            Self::DynamoDb(runs) => Box::pin(runs.event(id)).await,
        }
    }

    async fn list(&self, query: &RunQuery) -> Result<Page, Error> {
        match self {
            Self::Sqlite(runs) => runs.list(query).await,
            Self::DynamoDb(runs) => Box::pin(runs.list(query)).await,
        }
    }

    async fn due(&self, now: Timestamp, limit: u32) -> Result<Due, Error> {
        match self {
            Self::Sqlite(runs) => runs.due(now, limit).await,
            Self::DynamoDb(runs) => Box::pin(runs.due(now, limit)).await,
        }
    }

    async fn limit(&self, limit: &LimitId, queue_length: u32) -> Result<LimitState, Error> {
        match self {
            Self::Sqlite(runs) => runs.limit(limit, queue_length).await,
            Self::DynamoDb(runs) => Box::pin(runs.limit(limit, queue_length)).await,
        }
    }

    async fn settle_limit(
        &self,
        limit: &LimitId,
        revision: u64,
        check_at: Option<Timestamp>,
    ) -> Result<(), Error> {
        match self {
            Self::Sqlite(runs) => runs.settle_limit(limit, revision, check_at).await,
            Self::DynamoDb(runs) => Box::pin(runs.settle_limit(limit, revision, check_at)).await,
        }
    }

    async fn take_token(&self, window: &Window) -> Result<bool, Error> {
        match self {
            Self::Sqlite(runs) => runs.take_token(window).await,
            Self::DynamoDb(runs) => Box::pin(runs.take_token(window)).await,
        }
    }

    async fn close_window(&self, window: &Window) -> Result<(), Error> {
        match self {
            Self::Sqlite(runs) => runs.close_window(window).await,
            Self::DynamoDb(runs) => Box::pin(runs.close_window(window)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_read_and_written_the_same() {
        for text in [
            "sqlite:/var/runs.db",
            "sqlite:C:/runs.db",
            "dynamodb:media-runs",
            "dynamodb:arn:aws:dynamodb:us-east-1:111122223333:table/media-runs",
        ] {
            assert_eq!(text.parse::<Location>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_location_is_refused_with_what_to_write() {
        for (text, said) in [
            ("media-runs", "names no store: write `sqlite:PATH` or `dynamodb:TABLE`"),
            ("", "names no store"),
            ("DynamoDB:media-runs", "names no store"),
            ("sqlite:", "names no file"),
            ("dynamodb:", "is no table of DynamoDB"),
            ("dynamodb:a b c", "is no table of DynamoDB"),
            ("dynamodb:ab", "3 to 255"),
        ] {
            let error = text.parse::<Location>().unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
