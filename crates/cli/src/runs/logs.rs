//! `taskferry runs logs`.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use taskferry_core::run::{Attempt, Run};
use taskferry_engine::ports::Runs as _;

use super::view::task_id;
use crate::{output::hinted, records::Records, state::StateDir};

/// How often a log that is followed is looked at.
const PERIOD: Duration = Duration::from_millis(100);

/// What `taskferry runs logs` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The run's id, or enough of its beginning
    id: String,
    /// Only this container
    #[arg(long, value_name = "NAME")]
    container: Option<String>,
    /// The attempt, from 1, instead of the last
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,
    /// Go on until the run has ended
    #[arg(short = 'F', long)]
    follow: bool,
}

/// Prints what the containers wrote, standard output before standard error; of several, under the name of each.
pub(crate) async fn run(
    records: &Records,
    arguments: &Arguments,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let Some(state) = records.state() else {
        return Err(hinted(
            "the logs of runs on AWS are not here",
            "they are where `logConfiguration` in the task definition sends them; `taskferry runs show ID` names the task",
        ));
    };
    let mut run = records.run(&arguments.id).await?;
    if arguments.follow && !run.status.is_terminal() {
        records.tell_if_idle(&mut io::stderr())?;
    }
    let mut files: Vec<LogFile> = Vec::new();
    let mut bytes = 0;
    // The container of which something was printed last.
    let mut shown: Option<String> = None;
    loop {
        // Looked at before the logs are read, so that what was written before the end is read after it.
        let has_ended = run.status.is_terminal();
        for path in logs(state, &run, arguments)? {
            if !files.iter().any(|file| file.path == path) {
                files.push(LogFile::open(path)?);
            }
        }
        let named = has_several(&files)?;
        for file in &mut files {
            let reason = || file.path.display().to_string();
            let mut more = BufReader::new(&mut file.file);
            if more.fill_buf().with_context(reason)?.is_empty() {
                continue;
            }
            let container = container_of(&file.path);
            if named && container.map(str::to_owned) != shown {
                // As `tail` has it, for several files.
                let gap = if bytes == 0 { "" } else { "\n" };
                writeln!(out, "{gap}==> {} <==", container.unwrap_or_default())?;
            }
            shown = container.map(str::to_owned);
            bytes += io::copy(&mut more, out).with_context(reason)?;
        }
        out.flush()?;
        if has_ended || !arguments.follow {
            break;
        }
        tokio::time::sleep(PERIOD).await;
        run = records.runs.get(&run.id).await?.context("the run is gone")?;
    }
    if files.is_empty() {
        // What was asked for may be what is not there.
        if let Some(number) = arguments.attempt
            && run.attempts.iter().all(|attempt| attempt.attempt != number)
        {
            return Err(hinted(
                format!("run {} has no attempt {number}", run.id),
                format!("it has {} in all, counted from 1", run.attempts.len()),
            ));
        }
        if let Some(container) = &arguments.container {
            return Err(hinted(
                format!("run {} has no logs of a container `{container}`", run.id),
                format!("`taskferry runs show {}` names its containers", run.id),
            ));
        }
        if has_stopped_long_ago(state, &run, arguments) {
            return Err(hinted(
                format!("the logs of run {} were deleted", run.id),
                "they are kept for a week, as long as all of them together are no more than 1 GiB",
            ));
        }
        return Err(hinted(
            format!("run {} has no logs", run.id),
            format!("it is {}; `taskferry runs show {}` tells why", run.status, run.id),
        ));
    }
    if bytes == 0 {
        // Silence is an answer too, and no part of what the containers wrote.
        writeln!(io::stderr(), "note: nothing was written, to standard output or standard error")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A log that is being read.
struct LogFile {
    path: PathBuf,
    file: File,
}

impl LogFile {
    fn open(path: PathBuf) -> anyhow::Result<Self> {
        let file = File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self { path, file })
    }
}

/// Whether more than one container has written something, so that a reader has to be told which wrote what.
fn has_several(files: &[LogFile]) -> io::Result<bool> {
    let mut writers = HashSet::new();
    for file in files {
        if file.file.metadata()?.len() > 0 {
            writers.insert(container_of(&file.path));
        }
    }
    Ok(writers.len() > 1)
}

/// The logs that there are, in the order of their names.
fn logs(state: &StateDir, run: &Run, arguments: &Arguments) -> anyhow::Result<Vec<PathBuf>> {
    let Some(dir) = attempt(run, arguments).and_then(|attempt| directory(state, attempt)) else {
        return Ok(Vec::new());
    };
    let Ok(entries) = fs::read_dir(&dir) else { return Ok(Vec::new()) };
    let mut logs = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if container_of(&path).is_some_and(|container| {
            arguments.container.as_deref().is_none_or(|wanted| wanted == container)
        }) {
            logs.push(path);
        }
    }
    // What was printed comes before what was complained of.
    let is_stderr = |path: &Path| path.to_string_lossy().ends_with(".stderr.log");
    logs.sort_by_key(|path| (container_of(path).map(str::to_owned), is_stderr(path)));
    Ok(logs)
}

/// The attempt that is asked for.
fn attempt<'a>(run: &'a Run, arguments: &Arguments) -> Option<&'a Attempt> {
    match arguments.attempt {
        Some(number) => run.attempts.iter().find(|attempt| attempt.attempt == number),
        None => run.attempt(),
    }
}

/// Where the task of an attempt works, if there is one.
fn directory(state: &StateDir, attempt: &Attempt) -> Option<PathBuf> {
    Some(state.tasks().join(task_id(attempt.task_arn.as_deref()?)))
}

/// Whether the task ran, and what it left has been deleted since.
fn has_stopped_long_ago(state: &StateDir, run: &Run, arguments: &Arguments) -> bool {
    attempt(run, arguments).is_some_and(|attempt| {
        let is_gone = |dir: PathBuf| !dir.exists();
        attempt.started_at.is_some() && directory(state, attempt).is_some_and(is_gone)
    })
}

/// The container whose log this is.
fn container_of(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?;
    name.strip_suffix(".stdout.log").or_else(|| name.strip_suffix(".stderr.log"))
}
