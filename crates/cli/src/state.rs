//! The state directory, as the commands beside `dev` see it: its files, and where `dev` listens.

use std::{
    env::VarError,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use taskferry_aws::Clients;
use taskferry_local::{db, runs::SqliteRuns, state};

use crate::output::hinted;

/// The variable by which all of AWS's clients are told where AWS is.
const ENDPOINT_URL: &str = "AWS_ENDPOINT_URL";

/// Where the state is.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct StateArguments {
    /// The state directory of `taskferry dev`
    // Global, so that it may stand behind a command of `taskferry runs` as well as before it.
    #[arg(
        long,
        default_value = ".taskferry",
        env = "TASKFERRY_STATE",
        value_name = "DIR",
        global = true
    )]
    pub(crate) state: PathBuf,
}

/// The paths within a state directory.
#[derive(Clone, Debug)]
pub(crate) struct StateDir(PathBuf);

impl StateDir {
    pub(crate) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The records of the runs.
    pub(crate) fn runs(&self) -> PathBuf {
        self.0.join("runs.db")
    }

    /// What the services keep.
    pub(crate) fn services(&self) -> PathBuf {
        self.0.join("aws.db")
    }

    /// The rules as they are deployed with the functions.
    pub(crate) fn rules(&self) -> PathBuf {
        self.0.join("rules.json")
    }

    /// The directories of the tasks.
    pub(crate) fn tasks(&self) -> PathBuf {
        self.0.join("tasks")
    }

    /// The records of the runs, if there are any yet.
    pub(crate) fn open_runs(&self) -> anyhow::Result<SqliteRuns> {
        let path = self.runs();
        match fs::metadata(&path) {
            Ok(_) => SqliteRuns::open(&path).map_err(|error| self.refused(error.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let error = format!("there is no state in {}", self.0.display());
                let hint = "start `taskferry dev` here, or name its state directory with --state";
                Err(hinted(error, hint))
            }
            Err(source) => Err(self.refused(state::Error::Io { action: "open", path, source })),
        }
    }

    /// The error, with what to do about it: the directory is what a person has named.
    pub(crate) fn refused(&self, error: state::Error) -> anyhow::Error {
        let hint = match &error {
            _ if self.0.is_file() => "it is a file; name a directory with --state".to_owned(),
            state::Error::InUse { .. } => {
                "end that one, or name another directory with --state".to_owned()
            }
            state::Error::Db(db::Error::Newer { .. }) => {
                "a newer taskferry wrote it: use that one, or name another directory with --state"
                    .to_owned()
            }
            state::Error::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "it belongs to another user; name another directory with --state".to_owned()
            }
            state::Error::Db(error) if error.is_damaged() => {
                "the file is damaged: put a copy of the whole directory in its place, or delete the directory and lose what is in it"
                    .to_owned()
            }
            state::Error::Io { .. } | state::Error::Db(db::Error::Sqlite { .. }) => {
                let dir = self.0.display();
                format!(
                    "see that {dir} can be written and its disk is not full, or name another directory with --state"
                )
            }
        };
        let error = anyhow::Error::from(error);
        hinted(format!("{error:#}"), hint)
    }

    /// The environment's endpoint, or that of the `dev` that runs on this state; where both are the same, the latter.
    pub(crate) fn endpoint(&self) -> anyhow::Result<Endpoint> {
        // An empty variable is as good as none to AWS's clients.
        match std::env::var(ENDPOINT_URL) {
            Ok(url) if url.is_empty() => {}
            Ok(url) if ["http://", "https://"].iter().any(|scheme| url.starts_with(scheme)) => {
                // The variable decides, so files that tell of no `dev` are none of its business.
                let here = state::endpoint(&self.0).ok().flatten();
                return Ok(match here.filter(|here| is_same_server(&url, here)) {
                    Some(here) => Endpoint::OfState(here),
                    None => Endpoint::OfEnvironment(url),
                });
            }
            Err(VarError::NotPresent) => {}
            Ok(_) | Err(VarError::NotUnicode(_)) => {
                let url = std::env::var_os(ENDPOINT_URL).unwrap_or_default();
                return Err(hinted(
                    format!("{ENDPOINT_URL} is `{}`, which is no URL", url.display()),
                    "write it with its scheme, such as http://127.0.0.1:4566, or unset it",
                ));
            }
        }
        match state::endpoint(&self.0).map_err(|error| self.refused(error))? {
            Some(endpoint) => Ok(Endpoint::OfState(endpoint)),
            None => Err(hinted(
                format!("no `taskferry dev` runs on the state in {}", self.0.display()),
                "start it, name its state directory with --state, or set AWS_ENDPOINT_URL",
            )),
        }
    }
}

/// Whether two URLs lead to one server; this machine has more names than one.
fn is_same_server(url: &str, other: &str) -> bool {
    let address = |url: &str| {
        let rest = url.strip_prefix("http://")?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "80"));
        let port: u16 = port.parse().ok()?;
        let is_here = host.eq_ignore_ascii_case("localhost") || host == "127.0.0.1";
        is_here.then_some(port)
    };
    address(url).is_some_and(|port| address(other) == Some(port))
}

/// Where AWS is for a command.
pub(crate) enum Endpoint {
    /// Where `AWS_ENDPOINT_URL` says.
    OfEnvironment(String),
    /// Where the `taskferry dev` of a state directory listens.
    OfState(String),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OfEnvironment(url) => write!(f, "{url}, which {ENDPOINT_URL} names"),
            Self::OfState(url) => f.write_str(url),
        }
    }
}

impl Endpoint {
    /// Clients of it.
    pub(crate) async fn clients(&self) -> Clients {
        match self {
            Self::OfEnvironment(_) => Clients::from_env().await,
            Self::OfState(url) => Clients::of_endpoint(url).await,
        }
    }

    /// The error of a call that had no answer, with where it went to, as one may have set that for another purpose.
    pub(crate) fn silent(&self, error: &taskferry_aws::Error) -> anyhow::Error {
        match self {
            Self::OfEnvironment(url) => hinted(
                format!("{url} does not answer: {error}"),
                format!(
                    "{ENDPOINT_URL} names it: see that it runs there, or unset the variable to have --state say where"
                ),
            ),
            Self::OfState(url) => {
                hinted(format!("{url} does not answer: {error}"), "see what `taskferry dev` says")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_same_server;

    #[test]
    fn the_names_of_this_machine_lead_to_one_server() {
        let here = "http://127.0.0.1:4566";
        for same in
            [here, "http://127.0.0.1:4566/", "http://localhost:4566", "http://LocalHost:4566/"]
        {
            assert!(is_same_server(same, here), "{same}");
        }
        for other in [
            "http://127.0.0.1:4567",
            "http://127.0.0.1",
            "https://127.0.0.1:4566",
            "http://127.0.0.1:4566/path",
            "http://ecs.us-east-1.amazonaws.com:4566",
            "http://:4566",
            "http://127.0.0.1:x",
        ] {
            assert!(!is_same_server(other, here), "{other}");
        }
    }
}
