//! Counts the memory of one workload: bytes for each rule, allocations for each event once warm.
//!
//! Started by `bench-event-pattern` with the workload's name; prints both numbers.

mod workload;

use std::{
    alloc::System,
    io::{self, Write},
};

use anyhow::Context as _;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use taskferry_event_pattern::{EventPattern, Matcher, Scratch};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> anyhow::Result<()> {
    let name = std::env::args().nth(1).context("which workload?")?;
    let workload = workload::all().into_iter().find(|workload| workload.name == name);
    let workload = workload.context("there is no such workload")?;
    let region = Region::new(ALLOCATOR);
    let patterns: Result<Vec<EventPattern>, _> =
        workload.patterns.iter().map(|pattern| EventPattern::parse(pattern)).collect();
    let matcher = Matcher::new(patterns?);
    let built = region.change();
    let bytes = built.bytes_allocated - built.bytes_deallocated;
    let mut scratch = Scratch::default();
    let mut found = 0;
    for event in &workload.events {
        found += matcher.matches_with(&mut scratch, event)?.len();
    }
    let region = Region::new(ALLOCATOR);
    for event in &workload.events {
        found += matcher.matches_with(&mut scratch, event)?.len();
    }
    let warm = region.change();
    std::hint::black_box(found);
    let allocations = warm.allocations + warm.reallocations;
    writeln!(
        io::stdout(),
        "{} {:.2}",
        bytes / workload.patterns.len(),
        f64::from(u32::try_from(allocations)?) / f64::from(u32::try_from(workload.events.len())?)
    )?;
    Ok(())
}
