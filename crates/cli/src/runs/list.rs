//! `taskferry runs list`.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::anyhow;
use comfy_table::{Cell, Color, ColumnConstraint, ContentArrangement, Row, Table, presets};
use jiff::Timestamp;
use taskferry_core::{
    lengths,
    run::{Run, Status},
};
use taskferry_engine::ports::{Page, RunQuery};

use super::view::{RunView, duration, short_id};
use crate::{
    output::{printable, wants_colour},
    records::{Records, tell_of_unreadable},
    time,
};

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
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    from: Option<Timestamp>,
    /// Only runs made before then
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
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
        // As they are recorded.
        event_id: arguments.event_id.clone().map(lengths::key),
        dedupe_key: arguments.key.clone().map(lengths::key),
        created_from: arguments.from,
        created_before: arguments.before,
        after: arguments.after.clone(),
        ..RunQuery::default()
    };
    tell_of_unreadable();
    let Page { runs, next } = records.list(query, arguments.limit).await?;
    if arguments.json {
        let views: Vec<_> = runs.iter().map(RunView::from).collect();
        serde_json::to_writer_pretty(&mut *out, &views)?;
        writeln!(out)?;
    } else if runs.is_empty() {
        writeln!(out, "{}", none(arguments))?;
    } else {
        writeln!(out, "{}", on_terminal(&runs))?;
        if let Some(next) = next {
            writeln!(io::stderr(), "hint: there are more: --after {next}, or a larger --limit")?;
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
        Arguments {
            rule: None,
            status: None,
            key: None,
            from: None,
            before: None,
            after: None,
            ..
        } => "no runs yet".to_owned(),
        _ => "no runs of this kind; `taskferry runs list` shows all".to_owned(),
    }
}

/// The columns, in their order.
const HEADER: [&str; 7] = ["RUN", "RULE", "STATUS", "CREATED", "TOOK", "EVENT", "REASON"];
const RULE: usize = 1;
const CREATED: usize = 3;
const TOOK: usize = 4;
const EVENT: usize = 5;
const REASON: usize = 6;

/// How much of what may be cut is wanted at least.
const CUT_MIN: usize = 16;

/// What is between two columns.
const GAP: u16 = 2;

/// The runs as a table for whoever reads standard output.
pub(crate) fn on_terminal(runs: &[Run]) -> String {
    let terminal = Table::new();
    let width = if terminal.is_tty() { terminal.width() } else { None };
    table(runs, Timestamp::now(), width, wants_colour())
}

/// A line a run. On a terminal, whose width this is, a line is no longer than that: `runs show` has the whole, and what is
/// no terminal gets all.
fn table(runs: &[Run], now: Timestamp, width: Option<u16>, wants_colour: bool) -> String {
    let mut rows: Vec<[String; 7]> = runs.iter().map(|run| cells(run, now)).collect();
    let hidden = width.map_or_else(Vec::new, |width| fit(&mut rows, usize::from(width)));
    let mut table = Table::new();
    let mut header = Row::from(HEADER);
    if let Some(width) = width {
        header.max_height(1);
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    table.load_style(presets::NOTHING).set_header(header);
    for (run, cells) in runs.iter().zip(rows) {
        let mut row = Row::new();
        for (column, text) in cells.into_iter().enumerate() {
            let cell = Cell::new(text);
            let is_status = HEADER[column] == "STATUS";
            row.add_cell(if is_status && wants_colour {
                cell.fg(colour(run.status))
            } else {
                cell
            });
        }
        if width.is_some() {
            row.max_height(1);
        }
        table.add_row(row);
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, GAP));
        if hidden.contains(&index) {
            column.set_constraint(ColumnConstraint::Hidden);
        } else if ![RULE, REASON].contains(&index) {
            // A time or an id of which the end is cut says nothing.
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    table.trim_fmt()
}

fn cells(run: &Run, now: Timestamp) -> [String; 7] {
    [
        short_id(run).to_owned(),
        printable(&run.rule),
        run.status.to_string(),
        run.created_at.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
        duration(run.created_at, run.ended_at.unwrap_or(now)),
        printable(run.event.subject.as_ref().unwrap_or(&run.event.detail_type)),
        printable(run.reason.as_deref().unwrap_or_default()),
    ]
}

/// The columns to leave out, so that the others have room: what is missed least goes first.
fn fit(rows: &mut [[String; 7]], width: usize) -> Vec<usize> {
    let natural = |rows: &[[String; 7]], column: usize| {
        let widths = rows.iter().map(|row| row[column].chars().count());
        let width = widths.chain([HEADER[column].len()]).max().unwrap_or(0);
        let can_be_cut = [RULE, REASON].contains(&column);
        usize::from(GAP) + if can_be_cut { width.min(CUT_MIN) } else { width }
    };
    let has_room = |rows: &[[String; 7]], hidden: &[usize]| {
        let shown = (0..HEADER.len()).filter(|column| !hidden.contains(column));
        shown.map(|column| natural(rows, column)).sum::<usize>() <= width
    };
    let mut hidden = Vec::new();
    if has_room(rows, &hidden) {
        return hidden;
    }
    for row in rows.iter_mut() {
        // The year.
        row[CREATED].drain(.."2026-".len());
    }
    let says_nothing = rows.iter().all(|row| row[REASON].is_empty());
    let order = if says_nothing { [REASON, EVENT] } else { [EVENT, REASON] };
    for column in order.into_iter().chain([CREATED, TOOK]) {
        if has_room(rows, &hidden) {
            break;
        }
        hidden.push(column);
    }
    hidden
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The table of a run that failed and one that did not, on a terminal of this width.
    fn lines(width: Option<u16>, reason: Option<&str>) -> Vec<String> {
        let run = |id: &str, rule: &str, reason: Option<&str>| {
            let status = if reason.is_some() { "failed" } else { "succeeded" };
            let run = json!({
                "id": id.repeat(32), "rule": rule, "status": status, "reason": reason, "dedupeKey": "k",
                "event": {
                    "id": "i", "source": "aws.s3", "detailType": "Object Created", "time": "2026-01-01T00:00:00Z",
                },
                "createdAt": "2026-01-01T00:00:00.5Z", "endedAt": "2026-01-01T00:00:02Z",
                "essential": [], "attempts": [], "revision": 1,
            });
            serde_json::from_value::<Run>(run).unwrap()
        };
        let runs = [run("a", "thumbnails", reason), run("b", "large-orders", None)];
        let table = table(&runs, Timestamp::UNIX_EPOCH, width, false);
        table.lines().map(str::to_owned).collect()
    }

    const REASON: &str =
        "task definition `review:42` cannot be used: ClientException: no such thing";

    #[test]
    fn what_is_no_terminal_gets_all() {
        assert_eq!(
            lines(None, Some(REASON)),
            [
                "RUN           RULE          STATUS     CREATED               TOOK  EVENT           REASON",
                &format!(
                    "aaaaaaaaaaaa  thumbnails    failed     2026-01-01 00:00:00Z  1.5s  Object Created  {REASON}"
                ),
                "bbbbbbbbbbbb  large-orders  succeeded  2026-01-01 00:00:00Z  1.5s  Object Created",
            ]
        );
    }

    #[test]
    fn on_a_terminal_of_eighty_columns_only_a_reason_is_cut() {
        assert_eq!(
            lines(Some(80), Some(REASON)),
            [
                "RUN           RULE          STATUS     CREATED          TOOK  REASON",
                "aaaaaaaaaaaa  thumbnails    failed     01-01 00:00:00Z  1.5s  task definition…",
                "bbbbbbbbbbbb  large-orders  succeeded  01-01 00:00:00Z  1.5s",
            ]
        );
        assert_eq!(
            lines(Some(80), None)[1],
            "aaaaaaaaaaaa  thumbnails    succeeded  01-01 00:00:00Z  1.5s  Object Created"
        );
    }

    #[test]
    fn a_narrow_terminal_has_whole_columns_and_fewer() {
        for width in [30, 40, 50, 60] {
            let lines = lines(Some(width), Some(REASON));
            assert!(lines[1].starts_with("aaaaaaaaaaaa  "), "{width}: {lines:?}");
            assert!(lines[1].contains("  failed"), "{width}: {lines:?}");
            let is_within = |line: &String| line.chars().count() <= usize::from(width);
            assert!(lines.len() == 3 && lines.iter().all(is_within), "{width}: {lines:?}");
        }
    }
}
