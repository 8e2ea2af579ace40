//! What each container of a task runs here: its command line and environment, or why it cannot be run.
//!
//! Command lines come from the task definition, this machine's `local` containers and the launch's overrides; nothing
//! is ever split or expanded by a shell. Working directories and users of a definition belong to its image, so they
//! are not looked at: a process starts in the task's directory, as whoever runs this program. Nor are restart policies:
//! a container that exits has exited.

use std::{
    collections::BTreeMap,
    env,
    ffi::{OsStr, OsString},
    path::Path,
    time::Duration,
};

use crate::identity::REGION;

use super::{
    Containers, Ecs, LocalContainer,
    container_definitions::{Condition, ContainerDefinition, ContainerDependency},
    launch::Launch,
    metadata,
    run_task::ContainerOverride,
};

// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html
// "... the default value of 30 seconds is used."
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// What a process gets of the environment of this one.
const INHERITED: [&str; 3] = ["LANG", "LC_ALL", "TZ"];

/// A container that can be started.
#[derive(Debug)]
pub(super) struct Plan {
    pub name: String,
    /// The container as this machine's configuration names it: `family/container`.
    pub key: String,
    pub essential: bool,
    pub argv: Vec<String>,
    pub environment: BTreeMap<OsString, OsString>,
    pub depends_on: Vec<ContainerDependency>,
    pub start_timeout: Option<Duration>,
    pub stop_timeout: Duration,
    pub runtime_id: String,
}

/// Why a container cannot be started.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Failure {
    pub container: usize,
    /// As the task's `stoppedReason` tells it.
    pub reason: String,
}

impl Ecs {
    /// Plans the containers of a task, in the order of its definition.
    pub(super) fn plan(&self, launch: &Launch) -> Result<Vec<Plan>, Failure> {
        let family = &launch.definition.family;
        let containers = launch.definition.container_definitions.iter().enumerate();
        containers
            .map(|(index, defined)| {
                let key = format!("{family}/{}", defined.name);
                let local = self.local_container(&key).unwrap_or_default();
                let over = launch.overrides.iter().find(|over| over.name == defined.name);
                let over = over.cloned().unwrap_or_default();
                let runtime_id = metadata::runtime_id(&launch.id, index);
                self.plan_container(launch, defined, &local, &over, runtime_id)
                    .map_err(|reason| Failure { container: index, reason })
            })
            .collect()
    }

    fn plan_container(
        &self,
        launch: &Launch,
        defined: &ContainerDefinition,
        local: &LocalContainer,
        over: &ContainerOverride,
        runtime_id: String,
    ) -> Result<Plan, String> {
        let key = format!("{}/{}", launch.definition.family, defined.name);
        let argv = command_line(defined, local, over);
        let mut environment = BTreeMap::new();
        if self.config.containers == Containers::HostProcesses {
            check_command(&argv, &key)?;
            check_sources(defined, local, over, &key)?;
            let directory = self.config.tasks_dir.join(&launch.id);
            environment = base_environment(&directory, &defined.name);
            let aws = self.aws_environment(&runtime_id);
            environment.extend(aws.map(|(name, value)| (name.into(), value.into())));
            // ECS merges by name: what comes later wins.
            let pairs = |pairs: &[super::container_definitions::KeyValuePair]| -> Vec<_> {
                pairs.iter().map(|pair| (pair.name.clone(), pair.value.clone())).collect()
            };
            let local = local.environment.clone().into_iter();
            let layers = pairs(&defined.environment).into_iter().chain(local);
            for (name, value) in layers.chain(pairs(&over.environment)) {
                if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                    return Err(format!(
                        "CannotCreateContainerError: invalid environment variable {name:?}"
                    ));
                }
                // A task may hand on all that it has itself; with these it would hand on whose process it is (`strays`).
                let is_anothers = matches!(name.as_str(), "HOME" | "TMPDIR")
                    && Path::new(&value).starts_with(&self.config.tasks_dir);
                if !is_anothers {
                    environment.insert(name.into(), value.into());
                }
            }
        }
        let seconds = |seconds: i64| Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        Ok(Plan {
            name: defined.name.clone(),
            key,
            essential: defined.is_essential(),
            argv,
            environment,
            depends_on: defined.depends_on.clone(),
            start_timeout: defined.start_timeout.map(seconds),
            stop_timeout: defined.stop_timeout.map_or(STOP_TIMEOUT, seconds),
            runtime_id,
        })
    }

    /// How a process finds AWS, here.
    fn aws_environment(&self, runtime_id: &str) -> impl Iterator<Item = (&'static str, String)> {
        let endpoint_url = self.config.endpoint_url.trim_end_matches('/').to_owned();
        let metadata = format!("{endpoint_url}{}{runtime_id}", metadata::PREFIX);
        [
            ("AWS_ENDPOINT_URL", endpoint_url),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_DEFAULT_REGION", REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
            ("ECS_CONTAINER_METADATA_URI_V4", metadata),
        ]
        .into_iter()
    }
}

/// The entry point and then the command, each from the last place that has one.
fn command_line(
    defined: &ContainerDefinition,
    local: &LocalContainer,
    over: &ContainerOverride,
) -> Vec<String> {
    let entry_point = match local {
        LocalContainer { entry_point: Some(entry_point), .. } => entry_point,
        // A command alone is whole: the image, whose entry point the definition names, is not here.
        LocalContainer { command: Some(_), .. } => &Vec::new(),
        _ => &defined.entry_point,
    };
    let command = match &local.command {
        _ if !over.command.is_empty() => &over.command,
        Some(command) => command,
        None => &defined.command,
    };
    entry_point.iter().chain(command).cloned().collect()
}

fn check_command(argv: &[String], key: &str) -> Result<(), String> {
    if argv.first().is_some_and(|program| !program.is_empty()) {
        return Ok(());
    }
    Err(format!(
        "CannotStartContainerError: the image's own command is not on this machine, and nothing \
         else names one; give it one in taskferry.yaml: local: {{ containers: {{ {key}: {{ \
         command: [...] }} }} }}"
    ))
}

/// Refuses what a container would get from services that are not here.
fn check_sources(
    defined: &ContainerDefinition,
    local: &LocalContainer,
    over: &ContainerOverride,
    key: &str,
) -> Result<(), String> {
    if !defined.environment_files.is_empty() || !over.environment_files.is_empty() {
        return Err("ResourceInitializationError: environmentFiles are not read on this machine; \
                    write the variables as environment"
            .to_owned());
    }
    let given = |name: &str| {
        local.environment.contains_key(name)
            || over.environment.iter().any(|pair| pair.name == name)
    };
    match defined.secrets.iter().find(|secret| !given(&secret.name)) {
        None => Ok(()),
        Some(secret) => Err(format!(
            "ResourceInitializationError: there is no secret store on this machine for {name}; \
             give it a value in taskferry.yaml: local: {{ containers: {{ {key}: {{ environment: {{ \
             {name}: ... }} }} }} }}",
            name = secret.name
        )),
    }
}

/// What every process has, whatever its definition says.
fn base_environment(directory: &Path, name: &str) -> BTreeMap<OsString, OsString> {
    let mut environment: BTreeMap<OsString, OsString> = INHERITED
        .iter()
        .filter_map(|name| Some((OsString::from(name), env::var_os(name)?)))
        .collect();
    let program = env::current_exe().ok();
    let own = program.as_deref().and_then(Path::parent).map(Path::as_os_str);
    let path = [env::var_os("PATH").as_deref(), own]
        .into_iter()
        .flatten()
        .filter(|part| !part.is_empty())
        .collect::<Vec<&OsStr>>()
        .join(OsStr::new(":"));
    environment.insert("PATH".into(), path);
    environment.insert("HOME".into(), home(directory, name).into());
    environment.insert("TMPDIR".into(), temporary(directory, name).into());
    environment
}

/// Where a container's process starts.
pub(super) fn home(task_directory: &Path, container: &str) -> std::path::PathBuf {
    task_directory.join(container)
}

/// Where it puts what it does not mean to keep.
pub(super) fn temporary(task_directory: &Path, container: &str) -> std::path::PathBuf {
    task_directory.join(format!("{container}.tmp"))
}

/// Whether a dependency still waits, is met, or can no longer be met.
pub(super) fn dependency(
    condition: Condition,
    on: &str,
    started: bool,
    exit_code: Option<i32>,
) -> Result<bool, String> {
    match (condition, exit_code) {
        (Condition::Start, _) => Ok(started),
        (Condition::Complete, exit_code) => Ok(exit_code.is_some()),
        (Condition::Success, None) => Ok(false),
        (Condition::Success, Some(0)) => Ok(true),
        (Condition::Success, Some(code)) => {
            Err(format!("it depends on the SUCCESS of {on}, which exited with {code}"))
        }
        (Condition::Healthy, _) => {
            Err(format!("it depends on {on} being HEALTHY, and health checks do not run here"))
        }
    }
}
