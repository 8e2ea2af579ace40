//! Has each bug of `core::mutations` found by a seed.
//!
//! Only in builds with `--cfg mutations`. A bug that no seed finds is a promise that nobody checks, and an oracle that finds
//! none may be blind.

use std::{
    io::{self, Write as _},
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use anyhow::bail;
use taskferry_core::mutations::{Mutation, select};
use taskferry_simulation::{Oracle, simulate};

/// A seed, what it found, and which oracle saw it; none did where the code itself stumbled.
type Found = (u64, String, Option<Oracle>);

/// Turns one on after the other, or the one of that name, and plays seeds until one finds it.
pub(crate) fn find(seeds: u64, name: Option<&str>) -> anyhow::Result<ExitCode> {
    // A bug that trips over an assertion is found, and need not tell the world.
    std::panic::set_hook(Box::new(|_| {}));
    let mut out = io::stdout().lock();
    let asked: Vec<&(Mutation, &str)> = Mutation::ALL
        .iter()
        .filter(|(mutation, _)| name.is_none_or(|name| format!("{mutation:?}") == name))
        .collect();
    if asked.is_empty() {
        bail!("there is no such mutation");
    }
    let mut survivors = Vec::new();
    let mut blind: Vec<Oracle> = Oracle::ALL.to_vec();
    for (mutation, what) in &asked {
        select(*mutation);
        let began = Instant::now();
        let found = first_found(seeds);
        blind.retain(|it| found.iter().all(|(.., oracle)| Some(*it) != *oracle));
        match found.first() {
            Some((seed, broken, _)) => {
                let broken: String = broken.chars().take(150).collect();
                writeln!(out, "{mutation:?}: {what}\n    seed {seed}: {broken}")?;
            }
            None => {
                let seconds = began.elapsed().as_secs_f64();
                writeln!(out, "{mutation:?}: {what}\n    SURVIVES {seeds} seeds ({seconds:.0} s)")?;
                survivors.push(*mutation);
            }
        }
        out.flush()?;
    }
    let found = asked.len() - survivors.len();
    writeln!(out, "{found} of {} mutations were found", asked.len())?;
    let is_whole = name.is_none();
    if survivors.is_empty() && (blind.is_empty() || !is_whole) {
        return Ok(ExitCode::SUCCESS);
    }
    if !survivors.is_empty() {
        writeln!(out, "not found: {survivors:?}")?;
    }
    if is_whole && !blind.is_empty() {
        writeln!(out, "oracles that found nothing: {blind:?}")?;
    }
    Ok(ExitCode::FAILURE)
}

/// So many seeds more are played once a bug is found: which oracle sees it first is chance.
const SEEDS_AFTER: u64 = 300;

/// The first seed that finds the bug that is on, and those soon after it.
fn first_found(seeds: u64) -> Vec<Found> {
    let next = AtomicU64::new(0);
    let end = AtomicU64::new(seeds);
    let found: Mutex<Vec<Found>> = Mutex::default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end.load(Ordering::Relaxed) {
                        break;
                    }
                    let broken = match catch_unwind(AssertUnwindSafe(|| simulate(seed, false))) {
                        Ok(report) => report.violation.map(|it| (it.to_string(), Some(it.oracle))),
                        Err(_) => Some(("an assertion of the code itself".to_owned(), None)),
                    };
                    if let Some((broken, oracle)) = broken {
                        end.fetch_min(seed + SEEDS_AFTER, Ordering::Relaxed);
                        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                        found.push((seed, broken, oracle));
                    }
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by_key(|(seed, ..)| *seed);
    found
}
