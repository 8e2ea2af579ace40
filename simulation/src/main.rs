//! Plays seeds: `taskferry-simulation [[--from S] --seeds N | --seed S | --minutes M | --exhaustive]`.
//!
//! `--from` begins at another seed than 0, so that a long run can be played in parts. Started by `cargo xtask simulate`. Exits with 0 if every promise held and every fault was met, else with 1.

#[cfg(mutations)]
mod mutations;

use std::{
    io::{self, Write as _},
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use taskferry_simulation::{Coverage, Scene, Violation, search, simulate};

/// Half of a simulation is allocation, and the system's allocator takes twice the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How many seeds are played when nothing is said.
const SEEDS_USUAL: u64 = 10_000;

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["--seed", seed] => one(number(seed)?),
        [] => many(0, SEEDS_USUAL, None),
        ["--seeds", seeds] => many(0, number(seeds)?, None),
        ["--from", first, "--seeds", seeds] => many(number(first)?, number(seeds)?, None),
        ["--exhaustive"] => exhaustive(),
        #[cfg(mutations)]
        ["--mutations"] => mutations::find(SEEDS_USUAL, None),
        #[cfg(mutations)]
        ["--mutations", name] => mutations::find(SEEDS_USUAL, Some(name)),
        ["--minutes", minutes] => {
            let minutes = number(minutes)?.checked_mul(60).context("--minutes is too large")?;
            many(0, u64::MAX, Some(Duration::from_secs(minutes)))
        }
        _ => bail!(
            "usage: taskferry-simulation [[--from S] --seeds N | --seed S | --minutes M | --exhaustive]"
        ),
    }
}

fn number(text: &str) -> anyhow::Result<u64> {
    text.parse().with_context(|| format!("`{text}` is no number"))
}

/// Plays one seed and tells its history.
fn one(seed: u64) -> anyhow::Result<ExitCode> {
    let report = simulate(seed, true);
    let mut out = io::stdout().lock();
    for line in &report.history {
        writeln!(out, "{line}")?;
    }
    let (runs, tasks, steps) = (report.runs, report.tasks, report.steps);
    writeln!(out, "{runs} runs, {tasks} tasks, {steps} steps, {} s", report.seconds)?;
    match report.violation {
        None => {
            writeln!(out, "every promise held")?;
            Ok(ExitCode::SUCCESS)
        }
        Some(violation) => {
            writeln!(out, "broken: {violation}")?;
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Searches the small worlds whole.
fn exhaustive() -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    let mut holds = true;
    for scene in Scene::ALL {
        let began = Instant::now();
        let searched = search(scene, CRASHES_MAX);
        let (states, ends) = (searched.states, searched.ends);
        let seconds = began.elapsed().as_secs_f64();
        writeln!(out, "{scene:?}: {states} states, {ends} ends, in {seconds:.1} s")?;
        if let Some((violation, history)) = searched.violation {
            holds = false;
            for line in history {
                writeln!(out, "  {line}")?;
            }
            writeln!(out, "broken: {violation}")?;
        }
    }
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What all cores together came to.
#[derive(Default)]
struct Sum {
    coverage: Coverage,
    broken: Vec<(u64, Violation)>,
    seeds: u64,
    steps: u64,
    runs: u64,
    tasks: u64,
    seconds: i64,
}

/// How many crashes the exhaustive search puts into each order.
const CRASHES_MAX: usize = 2;

/// So many broken promises are enough to look at.
const BROKEN_MAX: usize = 20;

/// Plays seeds on all cores.
fn many(first: u64, seeds: u64, time: Option<Duration>) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let next = AtomicU64::new(first);
    let sum = Mutex::new(Sum::default());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let is_over = time.is_some_and(|time| began.elapsed() >= time);
                    if seed - first >= seeds || is_over {
                        break;
                    }
                    let report = simulate(seed, false);
                    let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
                    sum.coverage.add(&report.coverage);
                    sum.seeds += 1;
                    sum.steps += report.steps;
                    sum.runs += report.runs as u64;
                    sum.tasks += report.tasks as u64;
                    sum.seconds += report.seconds;
                    sum.broken.extend(report.violation.map(|violation| (seed, violation)));
                    if sum.seeds.is_multiple_of(SEEDS_TOLD) {
                        tell_so_far(&sum, began.elapsed());
                    }
                    if sum.broken.len() >= BROKEN_MAX {
                        break;
                    }
                }
            });
        }
    });
    let sum = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
    tell(&sum, began.elapsed())
}

/// After so many seeds a line says how far it is.
const SEEDS_TOLD: u64 = 100_000;

fn tell_so_far(sum: &Sum, took: Duration) {
    let (seeds, broken) = (sum.seeds, sum.broken.len());
    let seconds = took.as_secs();
    let told = writeln!(io::stderr().lock(), "{seeds} seeds in {seconds} s, {broken} broken");
    // Whoever has closed it does not want to know.
    told.unwrap_or_default();
}

fn tell(sum: &Sum, took: Duration) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", sum.coverage)?;
    let Sum { seeds, steps, runs, tasks, .. } = sum;
    let days = sum.seconds / 86_400;
    writeln!(
        out,
        "{seeds} seeds in {:.1} s: {runs} runs, {tasks} tasks, {steps} steps, {days} days of simulated time",
        took.as_secs_f64()
    )?;
    for (seed, violation) in &sum.broken {
        writeln!(out, "broken: {violation}\n  cargo xtask simulate --seed {seed}")?;
    }
    // Few seeds meet but a part of what can go wrong.
    let gaps = if sum.seeds < SEEDS_USUAL { Vec::new() } else { sum.coverage.gaps() };
    if sum.broken.is_empty() && gaps.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    if !gaps.is_empty() {
        writeln!(out, "never met: {}", gaps.join(", "))?;
    }
    Ok(ExitCode::FAILURE)
}
