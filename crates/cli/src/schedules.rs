//! `taskferry schedules`: when the rules' schedules fire next, by the clocks of their zone, of this machine, and in UTC.
//!
//! Told from the rules file alone. A rate is counted from when the schedule is made, which the file does not know: it is
//! shown as if that were now.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Value, json};
use taskferry_core::{
    rules::{Missed, On, OnSchedule, Rule, Rules},
    schedule::Schedule,
};

use crate::check;

/// How many firings `taskferry check` shows.
const SHOWN_BY_CHECK: usize = 3;

/// What `taskferry schedules` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The rules file; `-` reads standard input
    #[arg(short, long, default_value = "taskferry.yaml", value_name = "FILE")]
    file: PathBuf,
    /// How many firings of each rule
    #[arg(short, long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    number: u16,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Lists the next firings of each rule on a schedule.
pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let Some(rules) = check::load(&arguments.file, &mut io::stderr())? else {
        return Ok(ExitCode::from(2));
    };
    let now = Timestamp::now();
    let number = usize::from(arguments.number);
    if arguments.json {
        let listed: Vec<Value> =
            scheduled(&rules).map(|(rule, on)| as_json(rule, on, now, number)).collect();
        serde_json::to_writer_pretty(&mut *out, &listed)?;
        writeln!(out)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut count = 0;
    for (rule, on) in scheduled(&rules) {
        if count > 0 {
            writeln!(out)?;
        }
        count += 1;
        print(out, rule, on, now, number)?;
    }
    if count == 0 {
        writeln!(io::stderr(), "{} has no rule on a schedule", arguments.file.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The rules on a schedule.
pub(crate) fn scheduled(rules: &Rules) -> impl Iterator<Item = (&Rule, &OnSchedule)> {
    rules.rules.iter().filter_map(|rule| match &rule.on {
        On::Schedule(on) => Some((rule, &**on)),
        On::S3 { .. } | On::EventPattern { .. } | On::Sqs { .. } => None,
    })
}

/// The firings of a schedule that was made now.
fn firings(schedule: &Schedule, now: Timestamp) -> impl Iterator<Item = Timestamp> {
    std::iter::successors(schedule.first(now), move |last| schedule.next_after(*last, now))
}

/// The expression in AWS's form, with what it was written as if that is another.
fn expression(on: &OnSchedule) -> String {
    let (aws, zone) = (on.schedule.expression(), on.schedule.zone_name());
    if on.written == aws {
        format!("{aws} {zone}")
    } else {
        format!("{aws} {zone} ({})", on.written)
    }
}

fn print(
    out: &mut dyn Write,
    rule: &Rule,
    on: &OnSchedule,
    now: Timestamp,
    number: usize,
) -> io::Result<()> {
    write!(out, "{}  {}", rule.name, expression(on))?;
    if let Some(minutes) = on.window_minutes {
        write!(out, ", on AWS within {minutes} min")?;
    }
    writeln!(out)?;
    if on.schedule.is_relative() {
        writeln!(out, "  counted from when the schedule is made, here as if that were now")?;
    }
    let mut is_none = true;
    for next in firings(&on.schedule, now).take(number) {
        is_none = false;
        let here = local(next, &TimeZone::system());
        write!(out, "  {here}  {next}")?;
        // Where its clocks show something else.
        let there = local(next, on.schedule.zone());
        if there != here && on.schedule.zone_name() != "UTC" {
            write!(out, "  {there} {}", on.schedule.zone_name())?;
        }
        writeln!(out)?;
    }
    if is_none {
        writeln!(out, "  it does not fire any more")?;
    }
    Ok(())
}

/// A time as the clocks of a zone show it, with how far they are from UTC.
fn local(time: Timestamp, zone: &TimeZone) -> String {
    time.to_zoned(zone.clone()).strftime("%a %Y-%m-%d %H:%M:%S %:z").to_string()
}

fn as_json(rule: &Rule, on: &OnSchedule, now: Timestamp, number: usize) -> Value {
    let firings: Vec<Value> = firings(&on.schedule, now)
        .take(number)
        .map(|next| {
            let in_zone = |zone: &TimeZone| {
                next.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
            };
            json!({
                "utc": next,
                "local": in_zone(&TimeZone::system()),
                "inTimezone": in_zone(on.schedule.zone()),
            })
        })
        .collect();
    json!({
        "rule": rule.name,
        "schedule": on.written,
        "expression": on.schedule.expression(),
        "timezone": on.schedule.zone_name(),
        "start": on.schedule.start(),
        "end": on.schedule.end(),
        "flexibleWindowMinutes": on.window_minutes,
        "missed": match on.missed {
            Missed::Skip => "skip",
            Missed::Once => "once",
        },
        "isCountedFromDeployment": on.schedule.is_relative(),
        "next": firings,
    })
}

/// A line of the next firings, by the clocks of the schedule's zone, for `taskferry check`.
pub(crate) fn next_line(
    out: &mut dyn Write,
    on: &OnSchedule,
    now: Timestamp,
    width: usize,
) -> io::Result<()> {
    let mut next: Vec<String> = Vec::new();
    if on.schedule.is_relative() {
        next.push("counted from when it is deployed".to_owned());
    } else {
        next.extend(firings(&on.schedule, now).take(SHOWN_BY_CHECK).map(|next| {
            let shown = next.to_zoned(on.schedule.zone().clone());
            shown.strftime("%a %Y-%m-%d %H:%M:%S %:z").to_string()
        }));
    }
    let written = if on.written == on.schedule.expression() {
        String::new()
    } else {
        format!("{} is {}; ", on.written, on.schedule.expression())
    };
    let next =
        if next.is_empty() { "it does not fire any more".to_owned() } else { next.join(", ") };
    writeln!(out, "  {:width$}  {written}next: {next}", "")
}
