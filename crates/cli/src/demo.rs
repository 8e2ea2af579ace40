//! `taskferry demo`: a real event becomes a real task's result, and every step is shown.
//!
//! The same parts as `dev`, on a free port, with one of the shipped examples, in a directory of its own. Nothing is left running;
//! the directory stays, to look at and to go on with.

mod example;

use std::{
    fs,
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use jiff::Timestamp;
use taskferry_aws::Clients;
use taskferry_core::rules;
use taskferry_engine::ports::{RunQuery, Runs as _};
use taskferry_local::ecs::{Containers, faults::Faults};
use tokio::time::timeout;

use self::example::Example;
use crate::{
    dev::{
        faults::{self, FaultArguments},
        platform::{Platform, TaskOptions},
        steps::{Heard, Steps},
    },
    output::{Tone, Toned, hinted, wants_colour},
    state::StateDir,
};

/// How long the whole may take, before something must be wrong.
const TIME_MAX: Duration = Duration::from_mins(1);

/// The same with faults on request, which are waited out: a launch that finds no room is tried again some 15 seconds later.
const TIME_MAX_WITH_FAULTS: Duration = Duration::from_mins(30);

/// What `taskferry demo` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Which example
    #[arg(value_enum, default_value_t)]
    example: Example,
    /// Where to put the example and its state, instead of a new directory among the temporary ones
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    faults: FaultArguments,
}

/// Shows it; exit 2 if any step fails.
pub(crate) fn run(arguments: Arguments, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let dir = arguments.dir.unwrap_or_else(|| {
        let now = Timestamp::now().as_millisecond();
        let name = format!("taskferry-demo-{now}-{}", std::process::id());
        std::env::temp_dir().join(name)
    });
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let example = arguments.example;
    let faults = arguments.faults.faults();
    let rules = rules_file(example, &faults);
    let files = [("taskferry.yaml", rules.as_str()), example.data()];
    for (name, text) in files {
        refuse_another(&dir.join(name), text)?;
    }
    for (name, text) in files {
        let path = dir.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(show(example, faults, &rules, &dir, out))?;
    Ok(ExitCode::SUCCESS)
}

/// The rules file, with faults such that nobody waits for minutes until there is room for a task again.
fn rules_file(example: Example, faults: &Faults) -> String {
    if faults.is_none() {
        return example.rules().to_owned();
    }
    format!(
        "{}
# For the demo with faults on request: each failure for want of room is waited out, by default, for half a minute and more.
defaults: {{ retry: {{ classes: {{ capacity: {{ backoff: {{ min: 1s, max: 2s }} }} }} }} }}
",
        example.rules()
    )
}

/// Refuses to write over a file that is not the demo's: `--dir` may name somebody's project.
fn refuse_another(path: &Path, text: &str) -> anyhow::Result<()> {
    match fs::read(path) {
        Ok(there) if there == text.as_bytes() => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(_) => Err(hinted(
            format!("{} is there already, and is not the demo's", path.display()),
            "name a new or empty directory with --dir, or leave --dir out",
        )),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// What to type for this program: its name where the shell finds it by that, else its path.
fn program() -> String {
    const NAME: &str = "taskferry";
    let this = std::env::current_exe().and_then(fs::canonicalize);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).find_map(|dir| fs::canonicalize(dir.join(NAME)).ok());
    match this {
        Ok(this) if found.as_ref() != Some(&this) => this.display().to_string(),
        _ => NAME.to_owned(),
    }
}

async fn show(
    example: Example,
    faults: Faults,
    rules: &str,
    dir: &Path,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let mut story = Story::begin(out, wants_colour());
    let state = StateDir::new(&dir.join(".taskferry"));
    let told = format!("start     the example {}, in {}", example.name(), dir.display());
    story.tell(&told, None)?;
    let rules = rules::check(rules).rules.context("the example's rules are refused")?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    for told in [faults::announced(&faults), faults::in_vain(&faults, &rules)].into_iter().flatten()
    {
        story.tell(&format!("fault     {told}"), Some(Tone::Bad))?;
    }
    let tasks = TaskOptions { containers: Containers::HostProcesses, faults };
    let (platform, heard) = Platform::start(&state, address, dir, tasks, &rules).await?;
    let ended = tell_all(example, &faults, &mut story, &platform, heard).await;
    platform.shutdown().await;
    match ended {
        Ok(report) => {
            let (bucket, key) = example.result();
            writeln!(story.out, "\ns3://{bucket}/{key}:\n")?;
            for line in report.lines() {
                writeln!(story.out, "    {line}")?;
            }
            next(example, story.out, dir)
        }
        Err(error) => {
            print_logs(story.out, &state)?;
            Err(error)
        }
    }
}

/// From the event to what came of it.
async fn tell_all(
    example: Example,
    faults: &Faults,
    story: &mut Story<'_>,
    platform: &Platform,
    heard: Heard,
) -> anyhow::Result<String> {
    let mut steps = Steps::of(heard, story.wants_colour).without_unmatched();
    let endpoint = platform.endpoint_url();
    story.tell(
        &format!("ready     S3, SQS, SNS, EventBridge, Scheduler, Lambda and ECS at {endpoint}"),
        None,
    )?;
    let runs = platform.state().open_runs()?;
    let before = runs.list(&RunQuery::default()).await?.runs;
    if !before.is_empty() && !example.may_be_repeated() {
        return Err(hinted(
            "this was shown here before, and what is sent twice starts nothing",
            "name a new or empty directory with --dir, or leave --dir out",
        ));
    }
    example.begin(platform, story).await?;

    let time_max = if faults.is_none() { TIME_MAX } else { TIME_MAX_WITH_FAULTS };
    let deadline = story.began + time_max;
    let (mut launched, mut ended) = (0, 0);
    // A task can be faster than the answer of the call that started it. With faults there may never be one.
    let awaits_launches = faults.is_none();
    while awaits_launches && launched < example.runs() || ended < example.runs() {
        let left = deadline.saturating_duration_since(Instant::now());
        let step = timeout(left, steps.next()).await;
        let step = step.with_context(|| format!("no result after {} s", time_max.as_secs()))?;
        story.tell(step.text(), step.tone())?;
        launched += usize::from(step.ends_launch());
        ended += usize::from(step.ends_run());
    }
    let mut runs = runs.list(&RunQuery::default()).await?.runs;
    runs.retain(|run| !before.iter().any(|before| before.id == run.id));
    example.judge(&runs)?;
    let (bucket, key) = example.result();
    let result = Clients::of_endpoint(&endpoint).await.objects().get(bucket, key).await?;
    let result = result.with_context(|| format!("s3://{bucket}/{key} was not written"))?;
    story.tell(&format!("get       s3://{bucket}/{key}, {} bytes", result.len()), None)?;
    Ok(String::from_utf8(result)?)
}

fn next(example: Example, out: &mut dyn Write, dir: &Path) -> anyhow::Result<()> {
    let (dir, program) = (dir.display(), program());
    let (command, meaning) = example.next(&program);
    // A comment stands behind what a person types, in one column where the program's name is short.
    let width = ["taskferry".len() + 33, command.len()].into_iter().max().unwrap_or_default();
    let [list, dev, watch] = ["runs list", "dev", "runs watch"]
        .map(|command| format!("{:width$}", format!("{program} {command}")));
    writeln!(
        out,
        "
Nothing is left running. To go on:

    cd {dir}
    {list} # what you saw; `runs show ID`, `runs logs ID`
    {dev} # all of it again, at http://127.0.0.1:4566, in one terminal
    export AWS_ENDPOINT_URL=http://127.0.0.1:4566 AWS_ACCESS_KEY_ID=x AWS_SECRET_ACCESS_KEY=x
    export AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1
    {command:width$} # {meaning}
    {watch} # see it run"
    )?;
    Ok(())
}

/// What functions and tasks wrote, for whoever must find out what failed.
fn print_logs(out: &mut dyn Write, state: &StateDir) -> anyhow::Result<()> {
    for folder in [state.path().join("logs"), state.tasks()] {
        for path in logs(&folder) {
            let text = fs::read(&path).unwrap_or_default();
            if !text.is_empty() {
                writeln!(out, "\n{}:\n{}", path.display(), String::from_utf8_lossy(&text))?;
            }
        }
    }
    Ok(())
}

fn logs(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    let mut logs: Vec<_> = paths
        .flat_map(|path| match path.extension() {
            _ if path.is_dir() => logs(&path),
            Some(extension) if extension == "log" => vec![path],
            _ => Vec::new(),
        })
        .collect();
    logs.sort();
    logs
}

/// What happens, each line with the seconds since the beginning.
struct Story<'a> {
    out: &'a mut dyn Write,
    began: Instant,
    wants_colour: bool,
}

impl<'a> Story<'a> {
    fn begin(out: &'a mut dyn Write, wants_colour: bool) -> Self {
        Self { out, began: Instant::now(), wants_colour }
    }

    fn tell(&mut self, text: &str, tone: Option<Tone>) -> anyhow::Result<()> {
        let seconds = format!("{:>7.3} s", self.began.elapsed().as_secs_f64());
        let seconds = Toned(Tone::Faint, seconds, self.wants_colour);
        match tone {
            Some(tone) => {
                writeln!(self.out, "{seconds}  {}", Toned(tone, text, self.wants_colour))?;
            }
            None => writeln!(self.out, "{seconds}  {text}")?,
        }
        Ok(self.out.flush()?)
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;
    use taskferry_core::failure::FailureClass;

    use super::*;

    #[test]
    fn each_example_with_faults_is_a_good_rules_file_that_waits_for_no_minutes() {
        let faults: Faults = ["all=1%".parse().unwrap()].into_iter().collect();
        for example in Example::value_variants() {
            let checked = rules::check(&rules_file(*example, &faults));
            assert!(checked.faults.is_empty(), "{}: {:?}", example.name(), checked.faults);
            for rule in checked.rules.unwrap().rules {
                let budget = rule.policy.retry.budget(FailureClass::Capacity);
                assert_eq!((budget.backoff.max_seconds, budget.attempts), (2, 40));
            }
            assert_eq!(rules_file(*example, &Faults::default()), example.rules());
        }
    }
}
