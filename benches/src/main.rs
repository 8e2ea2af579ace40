//! The measurements that docs/performance.md quotes: `cargo xtask bench [NAME]` builds what they need and runs this.
//!
//! Each is taken [`PASSES`] times and told by its median, with the least and the most beside it. Everything happens on
//! loopback, on free ports, in temporary directories, and ends by itself. A goal that is missed is said to be missed: it
//! is no error, since a busy machine misses goals too.

mod admission;
mod burst;
mod decision;
mod dispatch;
mod figures;
mod function;
mod http;
mod machine;
mod notification;
mod process;
mod runtime_api;
mod sources;
mod sqs;
mod waiting;
mod world;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::{Context as _, bail};

use crate::figures::{Figure, Pass};

/// How often each measurement is taken.
const PASSES: usize = 3;

/// A measurement: one pass of it.
type Measure = fn() -> anyhow::Result<Pass>;

const MEASUREMENTS: [(&str, Measure); 8] = [
    ("dispatch", dispatch::measure),
    ("dispatch/burst", burst::measure),
    ("dispatch/admission", admission::measure),
    ("dispatch/waiting", waiting::measure),
    ("function", function::measure),
    ("decision", decision::measure),
    ("sources/events", sources::measure),
    ("sources/sqs", sqs::measure),
];

fn main() -> ExitCode {
    let names: Vec<String> = std::env::args().skip(1).collect();
    match run(&names, &mut io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where standard error is gone there is nobody left to tell.
            let _told = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(names: &[String], out: &mut dyn Write) -> anyhow::Result<()> {
    let known = MEASUREMENTS.map(|(name, _)| name);
    if let Some(unknown) =
        names.iter().find(|wanted| !known.iter().any(|name| is_asked_for(wanted, name)))
    {
        bail!("there is no measurement `{unknown}`: {}", known.join(", "));
    }
    writeln!(out, "{}", machine::describe()?)?;
    for (name, measure) in MEASUREMENTS {
        if !names.is_empty() && !names.iter().any(|wanted| is_asked_for(wanted, name)) {
            continue;
        }
        let load = machine::load()?;
        let passes: Vec<Pass> = (0..PASSES)
            .map(|_| measure())
            .collect::<Result<_, _>>()
            .with_context(|| format!("cannot measure {name}"))?;
        writeln!(out, "\n{name} (load average before: {load})\n")?;
        figures::write_table(out, &passes)?;
        out.flush()?;
    }
    Ok(())
}

/// Whether who wants one wants the other: its name, or the part of it before a `/`.
fn is_asked_for(wanted: &str, name: &str) -> bool {
    name.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The figure of a sample, which must not be empty, at a percentile.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted[rank - 1]
}

/// The median and the 99th percentile of times in milliseconds, as figures.
fn times(what: &str, mut milliseconds: Vec<f64>, goal_p50: Option<f64>) -> anyhow::Result<Pass> {
    if milliseconds.is_empty() {
        bail!("{what}: nothing was measured");
    }
    milliseconds.sort_by(f64::total_cmp);
    let figure = |percent| {
        let value = percentile(&milliseconds, percent);
        Figure::new(format!("{what}, p{percent}"), value, "ms")
    };
    let p50 = match goal_p50 {
        Some(goal) => figure(50).at_most(goal),
        None => figure(50),
    };
    Ok(vec![p50, figure(99)])
}
