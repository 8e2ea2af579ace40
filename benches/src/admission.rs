//! How soon the next run of a full limit is launched when one ends, through the real program.
//!
//! Objects are put at once, and their tasks run one at a time. From the end of a task, as ECS recorded it, to the launch of the
//! next one, as the record of its run has it.

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    dispatch::{BUCKET, Dev},
    figures::{Figure, Pass},
    http::Client,
    percentile,
};

const RULES: &str = include_str!("../rules/admission.yaml");

/// How many runs there are.
const RUNS: usize = 200;

pub(crate) fn measure() -> anyhow::Result<Pass> {
    let dev = Dev::start(RULES, &[])?;
    let mut client = Client::new(&dev.endpoint);
    for index in 0..RUNS {
        client.put(BUCKET, &format!("in/{index}"), "a small object")?;
    }
    dev.log("task-state-change").wait_for(RUNS, |line| line.ends_run().then_some(()))?;
    let runs = dev.runs()?;
    dev.stop()?;
    ensure!(runs.len() == RUNS, "{} runs of {RUNS}", runs.len());
    let mut attempts = runs.iter().map(times).collect::<anyhow::Result<Vec<_>>>()?;
    attempts.sort_unstable();
    let gaps = attempts.windows(2).map(|pair| pair[1].0.duration_since(pair[0].1).as_secs_f64());
    let mut gaps: Vec<f64> = gaps.map(|seconds| seconds * 1e3).collect();
    gaps.sort_by(f64::total_cmp);
    let figure = |percent| {
        let what = format!("a task's end to the next launch of its limit, p{percent}");
        Figure::new(what, percentile(&gaps, percent), "ms")
    };
    Ok(vec![figure(50), figure(99), figure(100).at_most(1000.0)])
}

/// When the run's one task was launched, and when it had stopped.
fn times(run: &Value) -> anyhow::Result<(Timestamp, Timestamp)> {
    let attempt = &run["attempts"][0];
    let time = |key: &str| -> anyhow::Result<Timestamp> {
        Ok(attempt[key].as_str().with_context(|| format!("a run without {key}"))?.parse()?)
    };
    Ok((time("createdAt")?, time("stoppedAt")?))
}
