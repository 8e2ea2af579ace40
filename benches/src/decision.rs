//! What the core takes for one event: normalise S3's notification, route it over ten rules, plan the one that matches.
//!
//! The same calls as the `s3` function makes, in one thread, without a port between them.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use taskferry_core::{
    event::s3::{self, Notification},
    launch::{self, Gate, TaskDefinition},
    plan,
    route::{Origin, Routes},
    rules::{self, Rules},
};

use crate::{
    figures::{Figure, Pass},
    notification, percentile,
};

/// The rules, as a person writes them.
pub(crate) const RULES: &str = include_str!("../rules/decision.yaml");

/// How many events a pass decides on, after a tenth of that to warm up.
const EVENTS: usize = 20_000;

/// How many of them are timed together.
const BATCH: usize = 10;

/// What a decision is made of, in order.
const STEPS: [&str; 4] = ["normalise", "route", "plan", "record"];

pub(crate) fn measure() -> anyhow::Result<Pass> {
    let deployed = rules::check(RULES).rules.context("the rules are refused")?.to_json();
    let rules = Rules::from_json(&deployed)?;
    let core = Core { routes: Routes::new(&rules), rules };
    let payloads: Vec<String> = (0..1000)
        .map(|index| format!("incoming/{index}+of+us.jpg"))
        .map(|key| notification::object_created("uploads", &key))
        .collect();
    for payload in payloads.iter().cycle().take(EVENTS / 10) {
        black_box(core.decide(black_box(payload))?);
    }
    // By the batch, of which the median is told: in some of them the machine did something else meanwhile.
    let mut batches = Vec::with_capacity(EVENTS / BATCH);
    let mut payloads = payloads.iter().cycle();
    for _ in 0..EVENTS / BATCH {
        let mut spent = [Duration::ZERO; STEPS.len()];
        for payload in payloads.by_ref().take(BATCH) {
            let (request, times) = core.decide(black_box(payload))?;
            black_box(request);
            for (spent, (from, to)) in spent.iter_mut().zip(times.iter().zip(&times[1..])) {
                *spent += *to - *from;
            }
        }
        batches.push(spent);
    }
    let median = |of: &dyn Fn(&[Duration; STEPS.len()]) -> Duration| {
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let each = |spent: Duration| spent.as_secs_f64() * 1e6 / BATCH as f64;
        let mut microseconds: Vec<f64> = batches.iter().map(|batch| each(of(batch))).collect();
        microseconds.sort_by(f64::total_cmp);
        percentile(&microseconds, 50)
    };
    let whole = median(&|batch| batch.iter().sum());
    let mut pass = vec![Figure::new("decision per event, ten rules", whole, "µs").at_most(20.0)];
    for (index, step) in STEPS.iter().enumerate() {
        pass.push(Figure::new(format!("  {step}"), median(&|batch| batch[index]), "µs"));
    }
    Ok(pass)
}

struct Core {
    rules: Rules,
    routes: Routes,
}

impl Core {
    /// From the payload to the request that would be sent, with the times between the steps.
    fn decide(&self, payload: &str) -> anyhow::Result<(String, [Instant; STEPS.len() + 1])> {
        let began = Instant::now();
        let Notification::Records(records) = s3::normalise(payload)? else {
            bail!("a test event");
        };
        let event = records.into_iter().next().context("no record")??;
        let normalised = Instant::now();
        let [index] = self.routes.route(Origin::S3, &event)?[..] else {
            bail!("not one rule matches");
        };
        let routed = Instant::now();
        let plan = plan::plan(&self.rules, &self.rules.rules[index], &event);
        let planned = Instant::now();
        let pinned = TaskDefinition {
            arn: "arn:aws:ecs:us-east-1:000000000000:task-definition/thumbnailer:1".to_owned(),
            essential: vec!["app".to_owned()],
            size: None,
        };
        let (name, now) = (&self.rules.name, Timestamp::UNIX_EPOCH);
        let run = launch::record(&plan, name, &pinned, Gate::Open, now);
        let attempt = run.attempts.into_iter().next();
        let request = attempt.and_then(|attempt| attempt.request);
        let request = request.context("the event and the rule do not fit")?;
        Ok((request, [began, normalised, routed, planned, Instant::now()]))
    }
}
