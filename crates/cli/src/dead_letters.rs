//! `taskferry dead-letters`: list, show, redrive.
//!
//! A dead letter is a run that failed or timed out and that nobody has had done again: its record has the event, the rule,
//! the class and the reason, so nothing need be kept beside it.

mod invocations;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::anyhow;
use clap::{ArgGroup, Subcommand};
use jiff::Timestamp;
use taskferry_core::{
    event::Event,
    failure::FailureClass,
    reason,
    run::{Run, RunId, Status},
};
use taskferry_engine::{
    Foreseen,
    ports::{RunQuery, Runs as _},
};
use taskferry_function::FunctionEngine;

use crate::{
    event,
    output::{hinted, printable},
    records::{Records, RecordsArguments, tell_of_unreadable},
    runs::{
        list::on_terminal,
        show,
        view::{RunView, advice, short_id},
    },
    time,
};

/// What `taskferry dead-letters` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    records: RecordsArguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the dead letters, the newest first
    List(List),
    /// Show a dead letter: the run, its event, and what one can do
    Show(Show),
    /// Have dead letters done again, each as a new run
    Redrive(Redrive),
    /// List what the functions gave up without a run, such as a payload that is no event, or show one
    Invocations(invocations::Arguments),
}

/// Which dead letters.
#[derive(Debug, clap::Args)]
struct Filter {
    /// Only those of this rule
    #[arg(long, value_name = "NAME")]
    rule: Option<String>,
    /// Only those whose last attempt ended in this failure class
    #[arg(long, value_parser = class)]
    class: Option<FailureClass>,
    /// Only runs made at or after then, such as 2026-01-31T09:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    from: Option<Timestamp>,
    /// Only runs made before then
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    before: Option<Timestamp>,
}

impl Filter {
    fn is_empty(&self) -> bool {
        matches!(self, Self { rule: None, class: None, from: None, before: None })
    }

    /// What is said where it leaves none.
    fn none(&self) -> &'static str {
        if self.is_empty() {
            "no dead letters"
        } else {
            "no dead letters of this kind; `taskferry dead-letters list` shows all"
        }
    }
}

#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    filter: Filter,
    /// At most so many, the newest
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    limit: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Show {
    /// The run's id, or enough of its beginning
    id: String,
    /// Print the event alone, as it came: to edit it, and redrive with it
    #[arg(long)]
    event: bool,
}

#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("which").required(true).args(["ids", "all"])))]
struct Redrive {
    /// The runs' ids, or enough of their beginnings
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// All dead letters that the filters leave
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    filter: Filter,
    /// The event in place of the one that came, for one run; `-` reads standard input
    #[arg(long, value_name = "FILE", conflicts_with = "all")]
    event: Option<PathBuf>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// Runs the command on the records.
pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    crate::block_on(async {
        let records = arguments.records.open().await?;
        match &arguments.command {
            Command::List(arguments) => list(&records, arguments, out).await,
            Command::Show(arguments) => show_one(&records, arguments, out).await,
            Command::Invocations(arguments) => invocations::run(records.state(), arguments, out),
            Command::Redrive(arguments) => Box::pin(redrive(&records, arguments, out)).await,
        }
    })?
}

async fn list(
    records: &Records,
    arguments: &List,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    tell_of_unreadable();
    let runs = dead_letters(records, &arguments.filter, Some(arguments.limit)).await?;
    if arguments.json {
        let views: Vec<_> = runs.iter().map(RunView::from).collect();
        serde_json::to_writer_pretty(&mut *out, &views)?;
        writeln!(out)?;
    } else if runs.is_empty() {
        writeln!(out, "{}", arguments.filter.none())?;
    } else {
        writeln!(out, "{}", on_terminal(&runs))?;
    }
    if let Some(note) = records.state().map(invocations::note).transpose()?.flatten() {
        writeln!(io::stderr(), "note: {note}")?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn show_one(
    records: &Records,
    arguments: &Show,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let run = records.run(&arguments.id).await?;
    let event = records.runs.event(&run.id).await?;
    let event = event.ok_or_else(|| anyhow!("the event of run {} is not kept any more", run.id))?;
    if arguments.event {
        writeln!(out, "{event}")?;
        return Ok(ExitCode::SUCCESS);
    }
    show::print(out, &run, false)?;
    writeln!(out, "\nevent\n{}", printable(event.trim_end()))?;
    if run.is_dead_letter() {
        writeln!(out, "\nhint: {}", advice(&run))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Exit 1 if one of them could not be done again, or would not be.
async fn redrive(
    records: &Records,
    arguments: &Redrive,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    if !arguments.all && !arguments.filter.is_empty() {
        let hint = "name the runs, or say --all with what they have in common";
        return Err(hinted("filters choose among all dead letters, not among ids", hint));
    }
    tell_of_unreadable();
    let runs = chosen(records, arguments).await?;
    if runs.is_empty() {
        writeln!(out, "{}", arguments.filter.none())?;
        return Ok(ExitCode::SUCCESS);
    }
    let event = arguments.event.as_deref().map(given).transpose()?;
    if event.is_some() && runs.len() != 1 {
        let hint = "redrive them one by one, each with its event";
        return Err(hinted("one event cannot stand for several runs", hint));
    }
    let engine = records.engine().await?;
    let mut failed = 0_usize;
    for run in &runs {
        if arguments.dry_run {
            failed += usize::from(!foresee(&engine, run, event.clone(), out).await?);
            continue;
        }
        match engine.redrive(&run.id, event.clone()).await {
            Ok(again) => writeln!(out, "run {}: done again as run {}", run.id, again.run_id)?,
            Err(error) => {
                failed += 1;
                crate::output::error(&mut io::stderr(), &error.into());
            }
        }
    }
    if arguments.dry_run {
        writeln!(out, "{} in all; nothing was done", runs.len())?;
    }
    Ok(ExitCode::from(u8::from(failed > 0)))
}

/// Says what a redrive would do; false if the run would not be done again.
async fn foresee(
    engine: &FunctionEngine,
    run: &Run,
    event: Option<Event>,
    out: &mut dyn Write,
) -> anyhow::Result<bool> {
    let (id, rule) = (short_id(run), &run.rule);
    let ended = ended_otherwise(run);
    let (is_done, what) = match engine.foresee_redrive(&run.id, event).await {
        Ok(Foreseen { run_id, refusal: None }) => {
            (true, format!("{ended} would be done again as run {run_id}"))
        }
        Ok(Foreseen { refusal: Some(refusal), .. }) => {
            (false, format!("{ended} would be refused again: {refusal}"))
        }
        Err(error) => {
            (false, format!(" would not be done again: {:#}", anyhow::Error::from(error)))
        }
    };
    writeln!(out, "run {id} of rule {rule}{what}")?;
    Ok(is_done)
}

/// How a run has ended that is no dead letter: to do it again may be a slip.
fn ended_otherwise(run: &Run) -> &'static str {
    match run.status {
        Status::Succeeded => ", which succeeded,",
        Status::Cancelled => ", which was cancelled,",
        Status::Skipped => ", which was skipped,",
        Status::Failed
        | Status::TimedOut
        | Status::Waiting
        | Status::Launching
        | Status::Starting
        | Status::Running
        | Status::Stopping => "",
    }
}

async fn chosen(records: &Records, arguments: &Redrive) -> anyhow::Result<Vec<Run>> {
    if arguments.all {
        let mut runs = dead_letters(records, &arguments.filter, None).await?;
        // They wait for their turn in the order in which they came.
        runs.reverse();
        return Ok(runs);
    }
    let mut runs: Vec<Run> = Vec::new();
    for id in &arguments.ids {
        let run = records.run(id).await?;
        let is_known = |id: &RunId| runs.iter().any(|run| run.id == *id);
        if !is_known(&run.id) {
            runs.push(run);
        }
    }
    Ok(runs)
}

/// The dead letters that the filter leaves, page by page, the newest first.
async fn dead_letters(
    records: &Records,
    filter: &Filter,
    limit: Option<u32>,
) -> anyhow::Result<Vec<Run>> {
    let query = RunQuery {
        rule: filter.rule.clone(),
        dead_letters: true,
        created_from: filter.from,
        created_before: filter.before,
        ..RunQuery::default()
    };
    // What was refused before its first attempt has none.
    let class_of = |run: &Run| {
        let class = run.attempt().map(|attempt| attempt.failure_class);
        class.unwrap_or(Some(FailureClass::Refused))
    };
    let is_wanted = |run: &Run| filter.class.is_none() || class_of(run) == filter.class;
    records.chosen(query, limit, is_wanted).await
}

/// The event in a file.
fn given(path: &Path) -> anyhow::Result<Event> {
    let name = event::name(path);
    let text = event::text(path)?;
    Event::parse(text.trim()).map_err(|error| {
        let hint = "`taskferry dead-letters show ID --event` prints one as it must be";
        hinted(format!("{name} is no event: {}", reason(&error)), hint)
    })
}

fn class(text: &str) -> anyhow::Result<FailureClass> {
    FailureClass::parse(text).ok_or_else(|| {
        let all: Vec<_> = FailureClass::ALL.iter().map(ToString::to_string).collect();
        anyhow!("`{text}` is no failure class; one of {}", all.join(", "))
    })
}
