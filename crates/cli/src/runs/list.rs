//! `taskferry runs list`.

use std::{io::Write, process::ExitCode};

use anyhow::anyhow;
use comfy_table::{Cell, Color, ContentArrangement, Row, Table, presets};
use jiff::Timestamp;
use taskferry_core::run::{Run, Status};
use taskferry_engine::ports::{Page, RunQuery, Runs as _};

use super::view::{RunView, duration, short_id};
use crate::{output::wants_colour, state::Records};

/// What `taskferry runs list` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only runs of this rule
    #[arg(long, value_name = "NAME")]
    rule: Option<String>,
    /// Only runs in this status
    #[arg(long, value_parser = status)]
    status: Option<Status>,
    /// Only runs that answer the event of this id
    #[arg(long, value_name = "ID")]
    event_id: Option<String>,
    /// Only runs with this dedupe key
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Only runs made at or after then, such as 2026-01-31T09:00:00Z
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// Only runs made before then
    #[arg(long, value_name = "TIME")]
    before: Option<Timestamp>,
    /// Go on where a list ended, as its hint says
    #[arg(long, value_name = "PLACE")]
    after: Option<String>,
    /// At most so many, the newest
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    limit: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Lists the runs.
pub(crate) async fn run(
    records: &Records,
    arguments: &Arguments,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let query = RunQuery {
        rule: arguments.rule.clone(),
        status: arguments.status,
        event_id: arguments.event_id.clone(),
        dedupe_key: arguments.key.clone(),
        created_from: arguments.from,
        created_before: arguments.before,
        after: arguments.after.clone(),
        limit: Some(arguments.limit),
        ..RunQuery::default()
    };
    let Page { runs, next } = records.runs.list(&query).await?;
    if arguments.json {
        let views: Vec<_> = runs.iter().map(RunView::from).collect();
        serde_json::to_writer_pretty(&mut *out, &views)?;
        writeln!(out)?;
    } else if runs.is_empty() {
        writeln!(out, "{}", none(arguments))?;
    } else {
        writeln!(out, "{}", table(&runs, Timestamp::now(), wants_colour()))?;
        if let Some(next) = next {
            eprintln!("hint: there are more: --after {next}, or a larger --limit");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Why there is nothing to list, as far as what was asked for tells.
fn none(arguments: &Arguments) -> String {
    match arguments {
        Arguments { event_id: Some(id), .. } => format!(
            "no run answers the event {id}: no rule matches it (`taskferry explain` says why), or it repeats the dedupe key of an \
             event before it (`taskferry runs list --key KEY` finds that one's run)"
        ),
        Arguments { rule: None, status: None, key: None, .. } => "no runs yet".to_owned(),
        _ => "no runs of this kind; `taskferry runs list` shows all".to_owned(),
    }
}

pub(crate) fn table(runs: &[Run], now: Timestamp, wants_colour: bool) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    // A line a run, cut to the terminal; `runs show` has the whole. What is no terminal gets all.
    let is_on_terminal = table.is_tty();
    if is_on_terminal {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    table.set_header(["RUN", "RULE", "STATUS", "CREATED", "TOOK", "EVENT", "REASON"]);
    for run in runs {
        let mut status = Cell::new(run.status);
        if wants_colour {
            status = status.fg(colour(run.status));
        }
        let mut row = Row::from([
            Cell::new(short_id(run)),
            Cell::new(&run.rule),
            status,
            Cell::new(run.created_at.strftime("%Y-%m-%d %H:%M:%SZ")),
            Cell::new(duration(run.created_at, run.ended_at.unwrap_or(now))),
            Cell::new(&run.event.detail_type),
            Cell::new(run.reason.as_deref().unwrap_or_default()),
        ]);
        if is_on_terminal {
            row.max_height(1);
        }
        table.add_row(row);
    }
    table
}

fn colour(status: Status) -> Color {
    match status {
        Status::Succeeded => Color::Green,
        Status::Failed | Status::TimedOut => Color::Red,
        Status::Cancelled | Status::Skipped => Color::DarkGrey,
        Status::Waiting
        | Status::Launching
        | Status::Starting
        | Status::Running
        | Status::Stopping => Color::Cyan,
    }
}

fn status(text: &str) -> anyhow::Result<Status> {
    Status::parse(text).ok_or_else(|| {
        let all: Vec<_> = Status::ALL.iter().map(|status| status.as_str()).collect();
        anyhow!("`{text}` is no status; one of {}", all.join(", "))
    })
}
