//! Rules that fire by the clock: `ScheduleExpression`, in UTC.
//!
//! [`EventBridge::keep_time`] sleeps until the next rule is due. A firing is one transaction with what it leads to. What came
//! due while nothing ran is not made up for: the next time counts.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::value::RawValue;
use taskferry_core::schedule::{Schedule, ZONE_DEFAULT};
use uuid::Uuid;

use super::{
    Envelope, EventBridge, Hop,
    buses::Route,
    catalog::{RuleEntry, RuleKey},
    store,
};
use crate::{db::Db, run_task::RunTask, timer};

/// Reads an expression as rules have them: by rate or cron, and one that fires some day.
pub(super) fn parse(expression: &str) -> Option<Schedule> {
    let inside = |name: &str| expression.strip_prefix(name)?.strip_suffix(')');
    // https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rate-expressions.html
    // "If the value is equal to 1, then the unit must be singular." Scheduler takes either.
    let is_strict = match inside("rate(") {
        Some(rate) => rate.split_once(' ').is_some_and(|(value, unit)| {
            let units =
                if value == "1" { ["minute", "hour", "day"] } else { ["minutes", "hours", "days"] };
            value.bytes().all(|byte| byte.is_ascii_digit()) && units.contains(&unit)
        }),
        None => inside("cron(").is_some(),
    };
    if !is_strict {
        return None;
    }
    let schedule = Schedule::parse(expression, ZONE_DEFAULT).ok()?;
    (!schedule.is_one_time() && schedule.fires()).then_some(schedule)
}

impl RuleEntry {
    /// Puts the rule's next time after `now`, if it has one. A rate counts from when the rule was put or enabled.
    pub(super) fn schedule_from(&mut self, now: Timestamp) {
        self.scheduled_at = now.as_millisecond();
        self.due_at = self.next_after(now);
    }

    fn next_after(&self, after: Timestamp) -> Option<i64> {
        if self.state == "DISABLED" {
            return None;
        }
        let schedule = parse(self.schedule.as_deref()?)?;
        let from = Timestamp::from_millisecond(self.scheduled_at).ok()?;
        schedule.next_after(after, from).map(Timestamp::as_millisecond)
    }
}

impl EventBridge {
    /// Fires rules as they come due and launches the tasks that rules have asked for, for as long as it is polled. Must run on
    /// a Tokio runtime: tasks are started from here.
    pub async fn keep_time(self: Arc<Self>, db: Arc<Db>, run_task: RunTask) {
        if let Err(error) = self.skip_missed(&db, Timestamp::now()) {
            tracing::error!(%error, "the times of scheduled rules cannot be stored");
        }
        let fire = |now| self.fire_due(&db, now);
        let launch = |now| self.launch_due(&db, &run_task, now);
        tokio::join!(
            timer::keep_time("scheduled rules", &self.changed, Timestamp::now, fire),
            timer::keep_time("tasks of rules", self.launches(), Timestamp::now, launch),
        );
    }

    /// Puts the next time of each rule whose last went by while nothing ran.
    fn skip_missed(&self, db: &Db, now: Timestamp) -> rusqlite::Result<()> {
        self.change_due(db, now, |entry| entry.due_at = entry.next_after(now), |_, _, _| Ok(()))
    }

    /// Fires what is due; the next time that something is.
    pub(crate) fn fire_due(&self, db: &Db, now: Timestamp) -> rusqlite::Result<Option<Timestamp>> {
        self.change_due(
            db,
            now,
            |entry| entry.due_at = entry.next_after(now),
            |tx, key, entry| {
                let due_at = entry.due_at.and_then(|at| Timestamp::from_millisecond(at).ok());
                let event = scheduled_event(key, due_at.unwrap_or(now));
                let route = Route::to(entry.to_rule(key));
                self.deliveries.follow(tx, Hop::First, &route, &event)
            },
        )?;
        let rules = self.rules();
        let next = rules.catalog.rules.values().filter_map(|entry| entry.due_at).min();
        Ok(next.and_then(|next| Timestamp::from_millisecond(next).ok()))
    }

    /// Does something about each rule that is due, and puts its next time, in one transaction.
    fn change_due(
        &self,
        db: &Db,
        now: Timestamp,
        next: impl Fn(&mut RuleEntry),
        act: impl Fn(&rusqlite::Transaction<'_>, &RuleKey, &RuleEntry) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        let mut rules = self.rules();
        let now = now.as_millisecond();
        let is_due = |entry: &RuleEntry| entry.due_at.is_some_and(|due_at| due_at <= now);
        let due: Vec<(RuleKey, RuleEntry)> = rules
            .catalog
            .rules
            .iter()
            .filter(|(_, entry)| is_due(entry))
            .map(|(key, entry)| (key.clone(), entry.clone()))
            .collect();
        if due.is_empty() {
            return Ok(());
        }
        let moved = db.write(|tx| {
            due.into_iter()
                .map(|(key, mut entry)| {
                    act(tx, &key, &entry)?;
                    next(&mut entry);
                    store::put_rule(tx, &key, &entry)?;
                    Ok::<_, rusqlite::Error>((key, entry))
                })
                .collect::<rusqlite::Result<Vec<_>>>()
        })?;
        rules.catalog.rules.extend(moved);
        Ok(())
    }
}

/// The event that a scheduled rule's targets get.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-run-lambda-schedule.html
fn scheduled_event(key: &RuleKey, time: Timestamp) -> String {
    let detail: &RawValue = serde_json::from_str("{}").expect("an object in this source");
    Envelope {
        id: &Uuid::now_v7().to_string(),
        source: "aws.events",
        detail_type: "Scheduled Event",
        time,
        resources: &[key.arn()],
        detail,
    }
    .to_json()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        delivery::Deliveries, eventbridge::EventBridgeApi, lambda, lambda::Invocations, sqs::Queues,
    };

    /// A machine without a clock.
    struct Machine {
        db: Arc<Db>,
        event_bridge: Arc<EventBridge>,
        api: EventBridgeApi,
    }

    impl Machine {
        fn start(dir: &tempfile::TempDir) -> Self {
            let events = [store::SCHEMA, store::SCHEDULE_SCHEMA, store::BUS_SETTINGS_SCHEMA];
            let schema = [lambda::SCHEMA, &events.concat()].concat();
            let db = Arc::new(Db::open(&dir.path().join("rules.db"), &[&schema]).unwrap());
            let deliveries = Deliveries::new(Invocations::default(), Queues::default());
            let event_bridge = Arc::new(EventBridge::new(deliveries));
            event_bridge.load(&db).unwrap();
            let api = EventBridgeApi::new(Arc::clone(&db), Arc::clone(&event_bridge));
            Self { db, event_bridge, api }
        }

        fn put(&self, schedule: &str) {
            let rule = json!({ "Name": "r", "ScheduleExpression": schedule });
            self.api.call("PutRule", rule).unwrap();
            let arn = "arn:aws:lambda:us-east-1:000000000000:function:f";
            let targets = json!({ "Rule": "r", "Targets": [{ "Id": "t", "Arn": arn }] });
            self.api.call("PutTargets", targets).unwrap();
        }

        fn fire(&self, now: Timestamp) -> Option<Timestamp> {
            self.event_bridge.fire_due(&self.db, now).unwrap()
        }

        fn queued(&self) -> Vec<Value> {
            let payloads: Vec<String> = self
                .db
                .read(|db| {
                    db.prepare("SELECT payload FROM lambda_invocations ORDER BY id")?
                        .query_map([], |row| row.get(0))?
                        .collect::<rusqlite::Result<_>>()
                })
                .unwrap();
            payloads.iter().map(|payload| serde_json::from_str(payload).unwrap()).collect()
        }
    }

    #[test]
    fn a_rule_fires_once_for_each_time_and_tells_which() {
        let dir = tempfile::tempdir().unwrap();
        let machine = Machine::start(&dir);
        machine.put("rate(5 minutes)");
        let due = machine.fire(Timestamp::now()).expect("it is due some time");
        assert!(machine.queued().is_empty());
        let next = machine.fire(due).expect("and again");
        assert_eq!(next.duration_since(due).as_secs(), 300);
        machine.fire(due);
        let queued = machine.queued();
        assert_eq!(queued.len(), 1);
        let event = &queued[0];
        assert_eq!(
            (&event["source"], &event["detail-type"]),
            (&json!("aws.events"), &json!("Scheduled Event"))
        );
        assert_eq!(event["resources"], json!(["arn:aws:events:us-east-1:000000000000:rule/r"]));
        assert_eq!(event["detail"], json!({}));
        machine.api.call("DisableRule", json!({ "Name": "r" })).unwrap();
        assert_eq!(machine.fire(next), None);
        assert_eq!(machine.queued().len(), 1);
    }

    #[test]
    fn a_time_that_went_by_while_nothing_ran_is_not_made_up_for() {
        let dir = tempfile::tempdir().unwrap();
        let machine = Machine::start(&dir);
        machine.put("cron(0 * * * ? *)");
        let due = machine.fire(Timestamp::now()).unwrap();
        drop(machine);
        let machine = Machine::start(&dir);
        let later = due + jiff::SignedDuration::from_mins(150);
        machine.event_bridge.skip_missed(&machine.db, later).unwrap();
        let next = machine.fire(later).unwrap();
        assert!(machine.queued().is_empty());
        assert_eq!(next.duration_since(due).as_secs(), 3 * 3600);
    }
}
