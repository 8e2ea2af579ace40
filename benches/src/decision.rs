//! What the core takes for one event: normalise S3's notification, route it over ten rules, plan the one that matches.
//!
//! The same calls as the `s3` function makes, in one thread, without a port between them.

use std::{hint::black_box, time::Instant};

use anyhow::{Context as _, bail};
use taskferry_core::{
    event::s3::{self, Notification},
    launch::{self, TaskDefinition},
    plan,
    route::{Origin, Routes},
    rules::{self, Rules},
};

use crate::{
    figures::{Figure, Pass},
    notification,
};

/// The rules, as a person writes them.
pub(crate) const RULES: &str = include_str!("../rules/decision.yaml");

/// How many events a pass decides on, after a tenth of that to warm up.
const EVENTS: usize = 20_000;

pub(crate) fn measure() -> anyhow::Result<Pass> {
    let deployed = rules::check(RULES).rules.context("the rules are refused")?.to_json();
    let rules = Rules::from_json(&deployed)?;
    let routes = Routes::new(&rules);
    let pinned = TaskDefinition {
        arn: "arn:aws:ecs:us-east-1:000000000000:task-definition/thumbnailer:1".to_owned(),
        essential: vec!["app".to_owned()],
    };
    let payloads: Vec<String> = (0..1000)
        .map(|index| {
            notification::object_created("uploads", &format!("incoming/{index}+of+us.jpg"))
        })
        .collect();
    let decide_on = |events: usize| -> anyhow::Result<()> {
        for index in 0..events {
            let payload = black_box(&payloads[index % payloads.len()]);
            black_box(decide(&rules, &routes, &pinned, payload)?);
        }
        Ok(())
    };
    decide_on(EVENTS / 10)?;
    let began = Instant::now();
    decide_on(EVENTS)?;
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let microseconds = began.elapsed().as_secs_f64() * 1e6 / EVENTS as f64;
    Ok(vec![Figure::new("decision per event, ten rules", microseconds, "µs").at_most(20.0)])
}

/// From the payload to the request that would be sent.
fn decide(
    rules: &Rules,
    routes: &Routes,
    pinned: &TaskDefinition,
    payload: &str,
) -> anyhow::Result<String> {
    let Notification::Records(records) = s3::normalise(payload)? else {
        bail!("a test event");
    };
    let event = records.into_iter().next().context("no record")??;
    let [index] = routes.route(Origin::S3, &event)?[..] else { bail!("not one rule matches") };
    let plan = plan::plan(rules, &rules.rules[index], &event);
    let now = "2026-11-21T09:10:11Z".parse()?;
    let run = launch::record(&plan, &rules.name, pinned, now);
    let attempt = run.attempts.into_iter().next();
    Ok(attempt.context("the event and the rule do not fit")?.request)
}
