//! `taskferry dev` under load, killed with `kill -9` again and again, and started again on the same state.
//!
//! Called by `cargo xtask kills`; no part of the quick tests. Clients put objects and events as they are taken; what a
//! client was answered 200 for is counted as accepted. In the end nobody kills any more, all drains, and `judge` holds what
//! the records, the local ECS and the tasks' own marks say against what was promised. The seed decides when it is killed
//! and what is sent; how far things have got by then is the machine's.

mod dev;
mod judge;
mod load;
mod task;

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use fastrand::Rng;
use tempfile::TempDir;

use crate::{
    dev::{Dev, Fell},
    load::Load,
};

const RULES: &str = include_str!("rules.yaml");

/// How long `dev` lives under load at the most, once it is ready.
const LIFE_MAX: Duration = Duration::from_millis(2500);

/// How long all may take to drain: twice as long as a launch of which nothing was heard waits for the sweep.
const DRAIN_MAX: Duration = Duration::from_mins(12);

/// How often it is looked whether all has drained.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["task", marks, rule, key, limits @ ..] = arguments.as_slice() {
        return task::run(marks.as_ref(), rule, key, limits);
    }
    match Options::parse(&arguments).and_then(|options| run(&options, &mut io::stdout())) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Where standard error is gone there is nobody left to tell.
            let _told = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

struct Options {
    times: u32,
    seed: u64,
    program: PathBuf,
}

impl Options {
    fn parse(arguments: &[&str]) -> anyhow::Result<Self> {
        let program = std::env::current_exe()?.with_file_name("taskferry");
        let mut options = Self { times: 100, seed: fastrand::u64(..), program };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value =
                || arguments.next().with_context(|| format!("{argument} needs a value"));
            match *argument {
                "--times" => options.times = value()?.parse().context("--times")?,
                "--seed" => options.seed = value()?.parse().context("--seed")?,
                "--program" => options.program = PathBuf::from(value()?),
                other => bail!("`{other}` is not known: [--times N] [--seed S] [--program PATH]"),
            }
        }
        Ok(options)
    }
}

/// Whether all that was promised held.
fn run(options: &Options, out: &mut dyn Write) -> anyhow::Result<bool> {
    let Options { times, seed, program } = options;
    writeln!(out, "{times} kills of {}, seed {seed}", program.display())?;
    let dir = TempDir::new()?;
    let marks = dir.path().join("marks");
    fs::create_dir(&marks)?;
    fs::write(dir.path().join("taskferry.yaml"), rules(&marks)?)?;

    let mut rng = Rng::with_seed(*seed);
    let began = Instant::now();
    let load = Load::start(rng.u64(..));
    let mut fell = Fell::default();
    for _ in 0..*times {
        // One of eight while it starts: what it recovers is killed with it.
        if rng.u8(..8) == 0 {
            let dev = Dev::spawn(program, dir.path())?;
            thread::sleep(Duration::from_millis(rng.u64(..150)));
            fell.note(&dev.kill()?, true)?;
            continue;
        }
        let dev = Dev::start(program, dir.path())?;
        load.open(Some(dev.endpoint()?));
        thread::sleep(LIFE_MAX.mul_f64(rng.f64()));
        let state = dev.kill()?;
        load.open(None);
        fell.note(&state, false)?;
    }
    let killing = began.elapsed();

    let dev = Dev::start(program, dir.path())?;
    load.open(Some(dev.endpoint()?));
    thread::sleep(LIFE_MAX);
    let sent = load.end()?;
    let drained = Instant::now();
    while !judge::has_drained(dev.state())? {
        if drained.elapsed() > DRAIN_MAX {
            writeln!(out, "{}", judge::left(dev.state())?)?;
            let kept = dir.keep();
            bail!("not all has ended within {DRAIN_MAX:?}; the state is in {}", kept.display());
        }
        thread::sleep(LOOK_INTERVAL);
    }
    let state = dev.stop()?;
    writeln!(
        out,
        "killed for {:.0} s, drained in {:.0} s\n{fell}",
        killing.as_secs_f64(),
        drained.elapsed().as_secs_f64()
    )?;
    let verdict = judge::judge(&state, &marks, &sent)?;
    writeln!(out, "{verdict}")?;
    if !verdict.faults.is_empty() {
        writeln!(out, "seed {seed}; the state is in {}", dir.keep().display())?;
    }
    Ok(verdict.faults.is_empty())
}

/// The rules, with tasks that are this program.
fn rules(marks: &std::path::Path) -> anyhow::Result<String> {
    let program = std::env::current_exe()?;
    let text = |path: &std::path::Path| path.to_str().map(str::to_owned).context("a path in UTF-8");
    Ok(RULES.replace("PROGRAM", &text(&program)?).replace("MARKS", &text(marks)?))
}
