//! `taskferry dev`: all of it on this machine, on one loopback port.

mod clock;
pub(crate) mod deploy;
pub(crate) mod faults;
pub(crate) mod platform;
mod reload;
pub(crate) mod steps;
mod warnings;

use std::{
    fmt::Display,
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    pin::pin,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use jiff::Timestamp;
use taskferry_core::rules::Rules;
use taskferry_local::ecs::{Containers, faults::Faults};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::interval,
};

use self::{
    clock::Clock,
    faults::FaultArguments,
    platform::{Platform, TaskOptions},
    reload::Reloads,
    steps::Steps,
};
use crate::{
    check,
    output::{Tone, hinted, wants_colour_on_stderr},
    state::{StateArguments, StateDir},
};

/// How often it is looked whether the state directory is still there: nothing fails by itself when it is not.
const STATE_PERIOD: Duration = Duration::from_secs(1);

/// What `taskferry dev` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The rules file; it is read again when it changes
    #[arg(short, long, default_value = "taskferry.yaml", value_name = "FILE")]
    file: PathBuf,
    /// The port on 127.0.0.1; 0 picks a free one
    #[arg(long, default_value_t = 4566)]
    port: u16,
    /// Start no processes for containers: each exits with 0 at once (`cargo xtask bench` measures the rest so)
    #[arg(long, hide = true)]
    stub_containers: bool,
    #[command(flatten)]
    faults: FaultArguments,
    #[command(flatten)]
    state: StateArguments,
}

/// Runs until interrupted; exit 1 if the rules file has faults.
pub(crate) fn run(arguments: Arguments, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    if arguments.file == Path::new("-") {
        let hint = "write the rules into a file, and name it with --file";
        return Err(hinted("`dev` reads its rules again when they change, and needs a file", hint));
    }
    let Some(rules) = check::load(&arguments.file, &mut io::stderr())? else {
        return Ok(ExitCode::from(1));
    };
    warnings::tell();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(arguments, rules, out))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(arguments: Arguments, rules: Rules, out: &mut dyn Write) -> anyhow::Result<()> {
    // Before anything is started: a signal that comes early must find someone who waits for it.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut reloads = Reloads::of(&arguments.file)?;

    let state = StateDir::new(&arguments.state.state);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, arguments.port));
    let containers =
        if arguments.stub_containers { Containers::Stub } else { Containers::HostProcesses };
    let project = folder(&arguments.file);
    let faults = arguments.faults.faults();
    let tasks = TaskOptions { containers, faults };
    let (platform, heard) = Platform::start(&state, address, project, tasks, &rules).await?;
    let mut steps = Steps::of(heard, wants_colour_on_stderr());
    platform.announce()?;
    let endpoint = platform.endpoint_url();
    writeln!(out, "taskferry dev is ready at {endpoint} (state in {})", state.path().display())?;
    out.flush()?;
    if let Some(told) = faults::announced(&faults) {
        tell(steps.line("fault", &told, Some(Tone::Bad)));
    }
    warn(&platform, &steps, &rules, &faults);

    let mut look_at_state = interval(STATE_PERIOD);
    let mut clock = Clock::new(Instant::now(), Timestamp::now());
    let ended = loop {
        tokio::select! {
            line = steps.next() => tell(line),
            () = reloads.next() => {
                match reload(&platform, &arguments.file) {
                    Ok(rules) => {
                        let told = format!("{} was read again", arguments.file.display());
                        tell(steps.line("reload", &told, None));
                        warn(&platform, &steps, &rules, &faults);
                    }
                    Err(error) => {
                        let told = format!("{error:#}; the rules of before stay in force");
                        tell(steps.line("reload", &told, Some(Tone::Bad)));
                    }
                }
            }
            _ = look_at_state.tick() => {
                if let Some(back) = clock.set_back(Instant::now(), Timestamp::now()) {
                    let told = format!("set back by {back:#}: what waits for a time waits as much longer");
                    tell(steps.line("clock", &told, Some(Tone::Bad)));
                }
                if !platform.is_state_in_place() {
                    let lost = format!("{} was deleted or moved while in use", state.path().display());
                    break Err(hinted(lost, "what is gone is lost; start `taskferry dev` again"));
                }
            }
            _ = interrupt.recv() => break Ok(()),
            _ = terminate.recv() => break Ok(()),
        }
    };
    tell(steps.line("stop", "stopping; once more to stop at once", None));
    if let Some(total) = steps.unmatched_total() {
        tell(steps.line("stop", &total, Some(Tone::Faint)));
    }
    let mut stopped = pin!(platform.shutdown());
    loop {
        tokio::select! {
            line = steps.next() => tell(line),
            () = &mut stopped => return ended,
            // Whatever still runs is killed by the reaper, and told of at the next start.
            _ = interrupt.recv() => return ended,
            _ = terminate.recv() => return ended,
        }
    }
}

/// Writes a line to standard error, in one piece. Where its reader has gone, the work goes on all the same.
fn tell(line: impl Display) {
    let _told = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Deploys the changed rules, if they can be: else those of before stay in force.
fn reload(platform: &Platform, file: &Path) -> anyhow::Result<Rules> {
    let rules = check::load(file, &mut io::stderr())?;
    let rules = rules.with_context(|| format!("{} has faults", file.display()))?;
    platform.deploy(folder(file), &rules)?;
    Ok(rules)
}

/// Says which rules cannot start their task here, and which faults cannot happen.
fn warn(platform: &Platform, steps: &Steps, rules: &Rules, faults: &Faults) {
    for missing in platform.missing_task_definitions(rules) {
        tell(steps.line("deploy", &missing, Some(Tone::Bad)));
    }
    if let Some(told) = faults::in_vain(faults, rules) {
        tell(steps.line("fault", &told, Some(Tone::Bad)));
    }
}

/// The folder that a file is in.
fn folder(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    }
}
