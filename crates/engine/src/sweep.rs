//! Sweep: what nobody else will do in time.
//!
//! Called each minute, by a function on AWS and by a timer on one machine. Takes what is due, and nothing else, the way any
//! other happening goes. Several at once do no harm: they race for the same records, and one wins each.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use taskferry_core::{
    is_mutated,
    lifecycle::{self, Happening, Then},
    limits::LimitId,
    pace::Bucket,
    reason,
    run::{Run, RunId},
    track::TaskState,
};
use tracing::{error, info, warn};

use crate::{
    Engine, Error,
    advance::Patience,
    ports::{Clock as _, Due, Ports, Runs as _, Tasks as _},
};

/// How many runs are fetched at a time; as many as `DescribeTasks` takes.
///
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html>
const PAGE_LENGTH: u32 = 100;

/// How many of them are under way at once: enough that a launch's latency does not hold the next one up.
const AT_ONCE: usize = 8;

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Swept {
    /// Runs that it saw to.
    pub runs: u32,
    /// Runs and limits that it could not see to, and that stay due.
    pub failed: u32,
    /// Whether something due is left: for want of time, or since it could not be seen to.
    pub unfinished: bool,
}

/// What became of the runs of a page.
struct Page {
    /// Those that could not be seen to.
    failed: Vec<RunId>,
    /// Whether time ran out for one.
    is_left: bool,
}

impl<P: Ports> Engine<P> {
    /// Sees to what is due, until nothing is or `until` comes.
    ///
    /// # Errors
    ///
    /// If what is due cannot be read. What fails with one run is told in the log and leaves the others alone.
    pub async fn sweep(&self, until: Timestamp) -> Result<Swept, Error> {
        let mut swept = Swept::default();
        // A limit can stay due, for as long as the run that another one replaces takes to stop. Once in a sweep is enough.
        let mut seen = BTreeSet::new();
        // What cannot be seen to stays due as well, and the next sweep sees to it.
        let mut failed = BTreeSet::new();
        loop {
            let now = self.ports.clock().now();
            if now >= until {
                swept.unfinished = true;
                break;
            }
            let Due { runs, limits } = self.ports.runs().due(now, PAGE_LENGTH).await?;
            let limits: Vec<LimitId> =
                limits.into_iter().filter(|limit| seen.insert(limit.clone())).collect();
            let runs: Vec<Run> = runs.into_iter().filter(|run| !failed.contains(&run.id)).collect();
            if runs.is_empty() && limits.is_empty() {
                break;
            }
            let mut is_of_use = false;
            for limit in limits {
                if is_mutated!(LimitsNotSwept) {
                    break;
                }
                let is_admitted = told(self.admit(&limit).await, "limit not looked at");
                is_of_use |= is_admitted;
                swept.failed += u32::from(!is_admitted);
            }
            let page = runs.len();
            swept.runs += count(page);
            let Page { failed: failed_now, is_left } = self.sweep_page(runs, until).await;
            is_of_use |= failed_now.len() < page;
            swept.failed += count(failed_now.len());
            failed.extend(failed_now);
            // Where nothing succeeds, it is not the run or the limit that is at fault.
            if is_left || !is_of_use {
                swept.unfinished = true;
                break;
            }
        }
        swept.unfinished |= swept.failed > 0;
        info!(runs = swept.runs, failed = swept.failed, unfinished = swept.unfinished, "swept");
        Ok(swept)
    }

    async fn sweep_page(&self, runs: Vec<Run>, until: Timestamp) -> Page {
        let now = self.ports.clock().now();
        let (asked, others): (Vec<Run>, Vec<Run>) = runs.into_iter().partition(|run| {
            let decision = lifecycle::decide(self.stack(), run, &Happening::Due, now);
            decision.next.is_none() && decision.then == Then::Describe
        });
        let mut happenings: Vec<(Run, Happening)> = Vec::new();
        let mut page = Page { failed: Vec::new(), is_left: false };
        for (cluster, runs) in by_cluster(asked) {
            match self.may_call(Bucket::Read, Patience::Until(until)).await {
                Ok(true) => {}
                Ok(false) => {
                    page.is_left = true;
                    continue;
                }
                Err(error) => {
                    warn!(error = reason(&error), runs = runs.len(), "tasks not described");
                    page.failed.extend(runs.into_iter().map(|run| run.id));
                    continue;
                }
            }
            match self.describe(cluster.as_deref(), runs).await {
                Ok(described) => happenings.extend(described),
                Err((runs, error)) => {
                    warn!(error = reason(&error), runs = runs.len(), "tasks not described");
                    let reason = reason(&error);
                    let hindered = |run| (run, Happening::Hindered { reason: reason.clone() });
                    happenings.extend(runs.into_iter().map(hindered));
                }
            }
        }
        happenings.extend(others.into_iter().map(|run| (run, Happening::Due)));
        let mut advanced = stream::iter(happenings)
            .map(async |(run, happening)| {
                (run.id.clone(), self.see_to(run, happening, until).await)
            })
            .buffer_unordered(AT_ONCE);
        while let Some((run_id, seen)) = advanced.next().await {
            match seen {
                Ok(run) => page.is_left |= run.due_at.is_some_and(|due_at| due_at <= now),
                Err(error) => {
                    warn!(%run_id, error = reason(&error), "run not seen to");
                    page.failed.push(run_id);
                }
            }
        }
        page
    }

    /// Takes a run as far as it goes; one that a failing call holds up comes back later.
    async fn see_to(&self, run: Run, happening: Happening, until: Timestamp) -> Result<Run, Error> {
        let patience = Patience::Until(until);
        match self.advance(run.clone(), happening, patience).await {
            Ok(run) => Ok(run),
            Err(error) => {
                warn!(run_id = %run.id, error = reason(&error), "run held up");
                let hindered = Happening::Hindered { reason: reason(&error) };
                let run = self.advance(run, hindered, patience).await?;
                if let (Some(url), None) = (&run.payload, run.due_at) {
                    error!(run_id = %run.id, url, error = reason(&error), "payload left behind");
                }
                Ok(run)
            }
        }
    }

    /// What ECS tells of the tasks of these runs, in one call.
    async fn describe(
        &self,
        cluster: Option<&str>,
        runs: Vec<Run>,
    ) -> Result<Vec<(Run, Happening)>, (Vec<Run>, Error)> {
        let arn = |run: &Run| run.attempt().and_then(|attempt| attempt.task_arn.clone());
        let task_arns: Vec<String> = runs.iter().filter_map(arn).collect();
        let described = self.ports.tasks().describe(cluster, &task_arns).await;
        let tasks = match self.heard(Bucket::Read, described).await {
            Ok(tasks) => tasks,
            Err(error) => return Err((runs, error)),
        };
        let happening = |run: &Run| {
            let task = tasks.iter().find(|task| Some(&task.task_arn) == arn(run).as_ref());
            task.cloned().map_or(Happening::Missing, |task: TaskState| Happening::Task(task))
        };
        Ok(runs.into_iter().map(|run| (run.clone(), happening(&run))).collect())
    }
}

fn by_cluster(runs: Vec<Run>) -> BTreeMap<Option<String>, Vec<Run>> {
    let mut clusters: BTreeMap<Option<String>, Vec<Run>> = BTreeMap::new();
    for run in runs {
        let cluster = run.attempt().and_then(|attempt| attempt.cluster.clone());
        clusters.entry(cluster).or_default().push(run);
    }
    clusters
}

fn count(runs: usize) -> u32 {
    u32::try_from(runs).unwrap_or(u32::MAX)
}

/// Whether it went well; if not, one line says why.
fn told(outcome: Result<(), Error>, message: &'static str) -> bool {
    outcome.inspect_err(|error| warn!(error = reason(error), "{message}")).is_ok()
}
