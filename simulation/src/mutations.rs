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
        match first_found(seeds) {
            Some((seed, broken, oracle)) => {
                blind.retain(|it| Some(*it) != oracle);
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

/// The first seed that finds the bug that is on.
fn first_found(seeds: u64) -> Option<Found> {
    let next = AtomicU64::new(0);
    let found: Mutex<Option<Found>> = Mutex::new(None);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let is_found = found.lock().unwrap_or_else(PoisonError::into_inner).is_some();
                    if seed >= seeds || is_found {
                        break;
                    }
                    let broken = match catch_unwind(AssertUnwindSafe(|| simulate(seed, false))) {
                        Ok(report) => report.violation.map(|it| (it.to_string(), Some(it.oracle))),
                        Err(_) => Some(("an assertion of the code itself".to_owned(), None)),
                    };
                    if let Some((broken, oracle)) = broken {
                        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                        if found.as_ref().is_none_or(|(other, ..)| seed < *other) {
                            *found = Some((seed, broken, oracle));
                        }
                    }
                }
            });
        }
    });
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}
