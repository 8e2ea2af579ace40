//! ECS: clusters, task definitions, and tasks that run as processes of this machine.
//!
//! [`Ecs::call`] answers AWS's operations for whoever speaks AWS JSON 1.1 to clients. It keeps `RunTask`'s contract as
//! ECS has it, also where that is a refusal. Each step of a task's life is one transaction that stores the task and
//! publishes its Task State Change event, so neither is ever without the other.

mod arn;
mod clusters;
mod container_definitions;
mod containers;
mod events;
pub mod faults;
mod launch;
mod lifecycle;
mod memory;
mod metadata;
mod paging;
mod placement;
mod process;
pub mod reaper;
mod recovery;
mod retention;
mod run_task;
mod shapes;
mod strays;
mod tags;
mod task;
mod task_definitions;
mod tasks;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsString,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, atomic::AtomicBool},
    time::Instant,
};

use rusqlite::Connection;
use serde_json::Value;
use tokio::{
    sync::{Notify, broadcast},
    task::JoinSet,
};

use self::{
    events::Events,
    faults::{Dice, Faults, Made},
};
use crate::{
    db::Db,
    eventbridge::EventBridge,
    protocol::{Answer, Exception, json_text},
};

/// The prefix of `x-amz-target` in front of an operation's name.
pub const TARGET_PREFIX: &str = "AmazonEC2ContainerServiceV20141113";

/// Where the task metadata endpoint is under the endpoint URL: a request there is answered by [`Ecs::metadata`].
pub const METADATA_PREFIX: &str = metadata::PREFIX;

/// The tables of this service.
pub(crate) const SCHEMA: &str = include_str!("schema.sql");

/// How the local ECS runs.
#[derive(Clone, Debug)]
pub struct EcsConfig {
    /// Where each task gets a directory of its own, named by its id.
    pub tasks_dir: PathBuf,
    /// Where tasks find AWS: `AWS_ENDPOINT_URL` in their environment, and the host of the metadata endpoint.
    pub endpoint_url: String,
    /// The command line that ends up in [`reaper::run`], and so kills what is left when this process dies. Empty for
    /// none: then only the next [`Ecs::open`] does.
    pub reaper: Vec<OsString>,
    /// What a container is.
    pub containers: Containers,
    /// What goes wrong, and how often.
    pub faults: Faults,
}

/// What a container is on this machine.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Containers {
    /// A process.
    HostProcesses,
    /// Nothing: each container exits with 0 as soon as it has started. For measuring all but the processes.
    Stub,
}

/// What a container runs on this machine, where the task definition leaves that to the image.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct LocalContainer {
    /// Replaces the definition's `entryPoint`. A `command` without it replaces both.
    pub entry_point: Option<Vec<String>>,
    /// Replaces the definition's `command`. An override's command still replaces this one.
    pub command: Option<Vec<String>>,
    /// Added to the definition's environment; also stands in for secrets of these names.
    pub environment: BTreeMap<String, String>,
}

/// Why the local ECS could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory of the tasks could not be made.
    #[error("cannot create the directory {path}", path = path.display())]
    TasksDir {
        /// The directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The reaper did not start.
    #[error("cannot start the reaper")]
    Reaper {
        /// The system's reason.
        source: io::Error,
    },
    /// The state could not be read or brought up to date.
    #[error("cannot recover the tasks of the state file")]
    Sqlite {
        /// The database's reason.
        #[from]
        source: rusqlite::Error,
    },
}

/// The local ECS.
#[derive(Debug)]
pub struct Ecs {
    db: Arc<Db>,
    events: Events,
    dice: Arc<Dice>,
    config: EcsConfig,
    reaper: Option<reaper::Reaper>,
    local_containers: RwLock<Arc<HashMap<String, LocalContainer>>>,
    /// The tasks that are not yet stopped, by id; a notification asks its lifecycle to stop it.
    live: Mutex<HashMap<String, Arc<Notify>>>,
    lifecycles: Mutex<JoinSet<()>>,
    closing: AtomicBool,
    purge: tasks::Purge,
    memory: memory::Memory,
    strays: strays::Strays,
}

/// Why an operation has no answer.
#[derive(Debug)]
enum Fault {
    Refused(Exception),
    Sqlite(rusqlite::Error),
}

impl From<Exception> for Fault {
    fn from(exception: Exception) -> Self {
        Self::Refused(exception)
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn invalid(message: impl Into<String>) -> Exception {
    Exception::client("InvalidParameterException", message)
}

fn client(message: impl Into<String>) -> Exception {
    Exception::client("ClientException", message)
}

impl Ecs {
    /// Opens the ECS of a state file: tasks that died with the process that ran them are stopped, with their events.
    ///
    /// # Errors
    ///
    /// [`Error`], by what could not be made or read.
    pub fn open(
        db: Arc<Db>,
        eventbridge: Arc<EventBridge>,
        mut config: EcsConfig,
    ) -> Result<Arc<Self>, Error> {
        let tasks_dir = |source| Error::TasksDir { path: config.tasks_dir.clone(), source };
        std::fs::create_dir_all(&config.tasks_dir).map_err(tasks_dir)?;
        // A task's working directory is not ours, so what it is told must hold anywhere; without links, the system tells
        // the same of its files.
        config.tasks_dir = std::fs::canonicalize(&config.tasks_dir).map_err(tasks_dir)?;
        let dice = Arc::new(Dice::new(config.faults));
        let events = Events { db: Arc::clone(&db), eventbridge, dice: Arc::clone(&dice) };
        recovery::recover(&db, &events)?;
        strays::kill_all(&config.tasks_dir);
        let reaper = match (config.containers, config.reaper.is_empty()) {
            (Containers::HostProcesses, false) => {
                let reaper = reaper::Reaper::start(config.reaper.clone());
                Some(reaper.map_err(|source| Error::Reaper { source })?)
            }
            _ => None,
        };
        Ok(Arc::new(Self {
            db,
            events,
            dice,
            config,
            reaper,
            local_containers: RwLock::default(),
            live: Mutex::default(),
            lifecycles: Mutex::default(),
            closing: AtomicBool::new(false),
            purge: tasks::Purge::default(),
            memory: memory::Memory::new(Instant::now(), task::Epoch::now()),
            strays: strays::Strays::default(),
        }))
    }

    /// Replaces what containers run on this machine, by `family/container`. Tasks that have started keep what they
    /// run.
    pub fn set_local_containers(&self, containers: HashMap<String, LocalContainer>) {
        *self.local_containers.write().unwrap_or_else(PoisonError::into_inner) =
            Arc::new(containers);
    }

    /// Answers an operation. Must be called on a Tokio runtime: the tasks that it starts live there.
    ///
    /// # Errors
    ///
    /// ECS's exceptions.
    pub fn call(self: &Arc<Self>, operation: &str, request: Value) -> Answer {
        let answer = match operation {
            "CreateCluster" => self.create_cluster(shapes::read(operation, request)?),
            "DeleteCluster" => self.delete_cluster(&shapes::read(operation, request)?),
            "DescribeClusters" => self.describe_clusters(&shapes::read(operation, request)?),
            "ListClusters" => self.list_clusters(&shapes::read(operation, request)?),
            "RegisterTaskDefinition" => {
                self.register_task_definition(shapes::conform(operation, request)?)
            }
            "DescribeTaskDefinition" => {
                self.describe_task_definition(&shapes::read(operation, request)?)
            }
            "DeregisterTaskDefinition" => {
                self.deregister_task_definition(&shapes::read(operation, request)?)
            }
            "ListTaskDefinitions" => self.list_task_definitions(&shapes::read(operation, request)?),
            "ListTaskDefinitionFamilies" => {
                self.list_task_definition_families(&shapes::read(operation, request)?)
            }
            "RunTask" => self.run_task(shapes::conform(operation, request)?),
            "DescribeTasks" => self.describe_tasks(&shapes::read(operation, request)?),
            "ListTasks" => self.list_tasks(&shapes::read(operation, request)?),
            "StopTask" => self.stop_task(&shapes::read(operation, request)?),
            "TagResource" => self.tag_resource(&shapes::read(operation, request)?),
            "UntagResource" => self.untag_resource(&shapes::read(operation, request)?),
            "ListTagsForResource" => {
                self.list_tags_for_resource(&shapes::read(operation, request)?)
            }
            _ => {
                let message = format!("Operation {operation} is not one of this ECS's.");
                return Err(Exception::client("UnknownOperationException", message));
            }
        };
        answer.map_err(|fault| match fault {
            Fault::Refused(exception) => exception,
            Fault::Sqlite(error) => {
                tracing::error!(operation, error = &error as &dyn std::error::Error, "ECS failed");
                Exception::server("ServerException", format!("{operation}: {error}"))
            }
        })
    }

    /// Answers an operation as [`Self::call`] does, to those who may meet with faults on request: clients on the network.
    ///
    /// # Errors
    ///
    /// ECS's exceptions.
    pub fn answer(self: &Arc<Self>, operation: &str, request: Value) -> Answer {
        self.dice.throttle(operation, &request)?;
        self.call(operation, request)
    }

    /// Whether the client is not to get this answer, on request.
    pub fn loses(&self, operation: &str, answer: &Answer) -> bool {
        self.dice.loses(operation, answer)
    }

    /// The faults that are made from now on.
    pub fn faults(&self) -> broadcast::Receiver<Made> {
        self.dice.listen()
    }

    fn live(&self) -> MutexGuard<'_, HashMap<String, Arc<Notify>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn local_container(&self, key: &str) -> Option<LocalContainer> {
        let containers = self.local_containers.read().unwrap_or_else(PoisonError::into_inner);
        containers.get(key).cloned()
    }
}

/// Reads a column that holds JSON.
fn json_column<T: serde::de::DeserializeOwned>(
    row: &rusqlite::Row<'_>,
    index: usize,
) -> rusqlite::Result<T> {
    let text = row.get_ref(index)?.as_str()?;
    serde_json::from_str(text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, error.into())
    })
}

/// Whether a query has a row.
fn exists(
    connection: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
) -> rusqlite::Result<bool> {
    connection.prepare_cached(sql)?.exists(parameters)
}

/// A map without the members that are absent: requests and answers have no nulls.
fn object(members: impl IntoIterator<Item = (&'static str, Option<Value>)>) -> Value {
    let present = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(present.collect())
}
