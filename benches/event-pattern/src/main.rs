//! `cargo xtask bench event-pattern`: our engine and a peer's over the same rules and events.
//!
//! Everything runs in one process on one core, engine after engine, in [`ROUNDS`] rounds. Of every
//! [`SLICE`] events the best round is told: one is slower only because the machine did something
//! else, and a slice is over before a busy machine takes the core away. Engines that
//! take all patterns of a row must find the same matches. Memory is counted by
//! `bench-event-pattern-memory`, so that counting slows no engine down.

mod workload;

use std::{
    hint::black_box,
    io::{self, Write},
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use quamina::Quamina;
use serde::de::IgnoredAny;
use taskferry_event_pattern::{EventPattern, Matcher, Scratch};

use crate::workload::Workload;

const ROUNDS: usize = 7;
const SLICE: usize = 256;

/// What event-ruler 2.0.1, on the JVM, was measured to do on such events: thousand events a second
/// on the rows of everything together, when the peer here did [`PEER_EXACT_THEN`] on EXACT.
const EVENT_RULER: [(&str, f64); 2] = [(workload::PARTIAL_COMBO, 112.0), (workload::COMBO, 45.0)];
const PEER_EXACT_THEN: f64 = 2961.0;

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

/// What was measured of one workload; thousand events a second.
struct Row {
    name: String,
    ours: f64,
    peer: Option<f64>,
    value: f64,
    skip: f64,
    build: Duration,
    peer_build: Option<Duration>,
    memory: Memory,
}

/// Bytes for each rule, and allocations for each event once warm.
#[derive(Clone)]
struct Memory {
    bytes: String,
    allocations: String,
}

fn run(names: &[String], out: &mut dyn Write) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    for workload in workload::all() {
        let is_wanted = |name: &String| workload.name.starts_with(name.as_str());
        if names.is_empty() || names.iter().any(is_wanted) {
            rows.push(measure(&workload).with_context(|| workload.name.clone())?);
        }
    }
    write_table(out, &rows)
}

fn measure(workload: &Workload) -> anyhow::Result<Row> {
    let Workload { name, patterns, events } = workload;
    let (build, matcher) = best_build(|| {
        let parsed: Result<Vec<EventPattern>, _> =
            patterns.iter().map(|pattern| EventPattern::parse(pattern)).collect();
        Ok(Matcher::new(parsed?))
    })?;
    let peer = best_build(|| {
        let mut peer = Quamina::new();
        for (index, pattern) in patterns.iter().enumerate() {
            peer.add_pattern(index, pattern)?;
        }
        Ok(peer)
    })
    .ok();
    let mut scratch = Scratch::default();
    let expected = count(&matcher, &mut scratch, workload)?;
    let peer = match peer {
        Some((build, peer)) if peer_count(&peer, workload)? == expected => Some((build, peer)),
        // It takes the patterns and means something else by them: no comparison.
        _ => None,
    };
    let [mut ours_best, mut peer_best, mut value_best, mut skip_best] = [const { Best::new() }; 4];
    for _ in 0..ROUNDS {
        ours_best.time(events, |event| Ok(matcher.matches_with(&mut scratch, event)?.len()))?;
        if let Some((_, peer)) = &peer {
            peer_best.time(events, |event| Ok(peer.matches_for_event(event.as_bytes())?.len()))?;
        }
        skip_best.time(events, |event| {
            serde_json::from_str::<IgnoredAny>(event)?;
            Ok(0)
        })?;
        value_best.time(events, |event| {
            black_box(serde_json::from_str::<serde_json::Value>(event)?);
            Ok(0)
        })?;
    }
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let rate = |best: &Best| events.len() as f64 / best.sum().as_secs_f64() / 1000.0;
    Ok(Row {
        name: name.clone(),
        ours: rate(&ours_best),
        peer: peer.is_some().then(|| rate(&peer_best)),
        value: rate(&value_best),
        skip: rate(&skip_best),
        build,
        peer_build: peer.map(|(build, _)| build),
        memory: memory(name)?,
    })
}

/// A point in time of this thread: of the processor's where Linux tells it, since a build is too long
/// for a busy machine to leave alone; else of the wall's.
struct Processor {
    spent: Option<Duration>,
    wall: Instant,
}

impl Processor {
    fn now() -> Self {
        Self { spent: Self::spent(), wall: Instant::now() }
    }

    // https://docs.kernel.org/scheduler/sched-stats.html
    // "time spent on the cpu (in nanoseconds)"
    fn spent() -> Option<Duration> {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
    }

    fn elapsed(&self) -> Duration {
        let spent = Self::spent().zip(self.spent).map(|(now, then)| now.saturating_sub(then));
        spent.filter(|spent| !spent.is_zero()).unwrap_or_else(|| self.wall.elapsed())
    }
}

/// The shortest of several builds, and what was built.
fn best_build<T>(build: impl Fn() -> anyhow::Result<T>) -> anyhow::Result<(Duration, T)> {
    let mut best: Option<(Duration, T)> = None;
    for _ in 0..3 {
        let began = Processor::now();
        let made = build()?;
        let took = began.elapsed();
        if best.as_ref().is_none_or(|(least, _)| took < *least) {
            best = Some((took, made));
        }
    }
    best.context("nothing was built")
}

/// The shortest time of each slice of the events.
struct Best {
    slices: Vec<Duration>,
}

impl Best {
    const fn new() -> Self {
        Self { slices: Vec::new() }
    }

    /// Takes the time of one more round.
    fn time(
        &mut self,
        events: &[String],
        mut each: impl FnMut(&str) -> anyhow::Result<usize>,
    ) -> anyhow::Result<()> {
        let slices = events.chunks(SLICE);
        self.slices.resize(slices.len(), Duration::MAX);
        let mut sum = 0;
        for (slice, best) in slices.zip(&mut self.slices) {
            let began = Instant::now();
            for event in slice {
                sum += each(black_box(event))?;
            }
            *best = began.elapsed().min(*best);
        }
        black_box(sum);
        Ok(())
    }

    fn sum(&self) -> Duration {
        self.slices.iter().sum()
    }
}

/// How often each pattern matches.
fn count(
    matcher: &Matcher,
    scratch: &mut Scratch,
    workload: &Workload,
) -> anyhow::Result<Vec<usize>> {
    let mut counts = vec![0; workload.patterns.len()];
    for event in &workload.events {
        for &index in matcher.matches_with(scratch, event)? {
            counts[index] += 1;
        }
    }
    Ok(counts)
}

fn peer_count(peer: &Quamina<usize>, workload: &Workload) -> anyhow::Result<Vec<usize>> {
    let mut counts = vec![0; workload.patterns.len()];
    for event in &workload.events {
        for index in peer.matches_for_event(event.as_bytes())? {
            counts[index] += 1;
        }
    }
    Ok(counts)
}

/// What the counting program says of the workload.
fn memory(name: &str) -> anyhow::Result<Memory> {
    let program = std::env::current_exe()?.with_file_name("bench-event-pattern-memory");
    let output = Command::new(program).arg(name).output().context("cannot count memory")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let Some((bytes, allocations)) = text.trim().split_once(' ') else {
        bail!("cannot read {text:?}");
    };
    Ok(Memory { bytes: bytes.to_owned(), allocations: allocations.to_owned() })
}

/// By how much we are to be faster than the peer.
fn goal(name: &str) -> f64 {
    match name {
        "dispatch, 10000 rules" => 5.0,
        workload::COMPLEX_ARRAYS | workload::PARTIAL_COMBO | workload::COMBO => 2.0,
        _ if name.starts_with("dispatch") => 2.0,
        _ => 1.2,
    }
}

fn write_table(out: &mut dyn Write, rows: &[Row]) -> anyhow::Result<()> {
    writeln!(
        out,
        "| thousand events a second | ours | quamina | ratio | goal | | `Value` | skip | ours to skip \
         | bytes a rule | allocations an event | build, ms | quamina's |\n\
         |---|--:|--:|--:|--:|---|--:|--:|--:|--:|--:|--:|--:|"
    )?;
    for row in rows {
        let Row { name, ours, peer, value, skip, memory: Memory { bytes, allocations }, .. } = row;
        let (ratio, goal) = (peer.map_or(f64::NAN, |peer| ours / peer), goal(name));
        let peer = peer.map_or("-".to_owned(), |peer| format!("{peer:.0}"));
        let is_met = if ratio >= goal { "met" } else { "missed" };
        let milliseconds = |duration: Duration| duration.as_secs_f64() * 1000.0;
        let peer_build =
            row.peer_build.map_or("-".to_owned(), |build| format!("{:.2}", milliseconds(build)));
        writeln!(
            out,
            "| {name} | {ours:.0} | {peer} | {ratio:.2} | {goal} | {is_met} | {value:.0} | {skip:.0} \
             | {:.2} | {bytes} | {allocations} | {:.2} | {peer_build} |",
            ours / skip,
            milliseconds(row.build),
        )?;
    }
    let of = |name: &str| rows.iter().find(|row| row.name == name);
    if let (Some(few), Some(many)) = (of("dispatch, 10 rules"), of("dispatch, 10000 rules")) {
        let share = many.ours / few.ours;
        writeln!(out, "\n10,000 rules run at {share:.2} of the speed of 10; goal 0.8.")?;
    }
    // The machine of today is to that of then as the peer's figures for one row.
    let Some(exact) = of(workload::EXACT).and_then(|row| row.peer) else { return Ok(()) };
    for (name, then) in EVENT_RULER {
        if let Some(row) = of(name) {
            let ratio = row.ours / (then * exact / PEER_EXACT_THEN);
            writeln!(out, "\n{name} runs at {ratio:.1} times event-ruler's speed; goal 10.")?;
        }
    }
    Ok(())
}
