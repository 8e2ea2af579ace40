//! Normalise what a schedule invokes a function with.
//!
//! One form, on AWS and on one machine: EventBridge Scheduler invokes the function `eventbridge` with an `Input` that
//! [`input`] makes, its context attributes replaced. All else that the event has comes from the rule, so that it is as the
//! rules that are deployed say. The event's id is made of stack, rule and scheduled time: a schedule that fires twice for
//! one time, as Scheduler may, is one run.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{json, value::RawValue};

use super::{Envelope, Event, Malformed};
use crate::{
    digest,
    rules::{InputError, On, OnSchedule, Rules},
    template::Context,
};

/// The source of the events of schedules.
pub const SOURCE: &str = "aws.scheduler";

/// Their detail type.
pub const DETAIL_TYPE: &str = "Scheduled Event";

/// What stands in [`missed_input`] for the number of times that were missed.
pub const MISSED_COUNT: &str = "<taskferry.missed-count>";

/// Why what a schedule invokes with makes no event.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It lacks a member or has one of another type.
    #[error("the payload is not what a schedule of these rules invokes with")]
    Payload(#[source] Malformed),
    /// The rule's `input` cannot be rendered.
    #[error("`on.input` of rule `{rule}` cannot be rendered")]
    Input {
        /// The rule.
        rule: String,
        /// Why.
        source: Box<InputError>,
    },
    /// What was made of it is not an event.
    #[error("the schedule makes no event")]
    Event(#[source] super::Error),
}

/// What tells a schedule's payload from any other event.
#[derive(Deserialize)]
struct Told<'a> {
    source: Option<&'a str>,
    #[serde(rename = "detail-type")]
    detail_type: Option<&'a str>,
}

#[derive(Deserialize)]
struct Payload {
    #[serde(default)]
    resources: Vec<String>,
    detail: PayloadDetail,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PayloadDetail {
    rule: String,
    scheduled_time: Timestamp,
    missed: Option<MissedCount>,
}

/// How many times were missed, of which `scheduledTime` is the last; there only if any were.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct MissedCount {
    pub(crate) count: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Enveloped<'a> {
    version: &'static str,
    id: &'a str,
    detail_type: &'static str,
    source: &'static str,
    account: &'a str,
    time: Timestamp,
    region: &'a str,
    resources: &'a [String],
    detail: Detail<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Detail<'a> {
    rule: &'a str,
    scheduled_time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    local_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timezone: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    missed: Option<MissedCount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<&'a RawValue>,
}

/// The `Input` of the schedule of a rule.
// https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html
// The execution's id is another with each attempt, so it tells nothing.
pub fn input(rule: &str) -> String {
    json!({
        "source": SOURCE,
        "detail-type": DETAIL_TYPE,
        "resources": ["<aws.scheduler.schedule-arn>"],
        "detail": { "rule": rule, "scheduledTime": "<aws.scheduler.scheduled-time>" },
    })
    .to_string()
}

/// The same for times that were missed, where a scheduler can miss any: once, for the last of them.
pub fn missed_input(rule: &str) -> String {
    let input = input(rule);
    let detail = format!(r#""detail":{{"missed":{{"count":{MISSED_COUNT}}},"#);
    input.replacen(r#""detail":{"#, &detail, 1)
}

/// The payload with which a schedule would invoke a function for one time: for whoever fires it by hand.
pub fn payload(rule: &str, schedule_arn: &str, time: Timestamp) -> String {
    input(rule)
        .replace("<aws.scheduler.schedule-arn>", schedule_arn)
        .replace("<aws.scheduler.scheduled-time>", &time.to_string())
}

/// The event of a schedule, or `None` if the payload is none of a schedule's.
///
/// # Errors
///
/// [`Error`], if it is a schedule's and makes no event.
pub fn normalise(payload: &str, rules: &Rules) -> Option<Result<Event, Error>> {
    // Most payloads are others, and read once more by somebody else.
    if !payload.contains(SOURCE) {
        return None;
    }
    let told: Told<'_> = serde_json::from_str(payload).ok()?;
    let is_schedules = told.source == Some(SOURCE) && told.detail_type == Some(DETAIL_TYPE);
    is_schedules.then(|| {
        let payload = serde_json::from_str(payload);
        event(&payload.map_err(|error| Error::Payload(error.into()))?, rules)
    })
}

fn event(payload: &Payload, rules: &Rules) -> Result<Event, Error> {
    let PayloadDetail { rule, scheduled_time, missed } = &payload.detail;
    let on = rules.rules.iter().find_map(|candidate| match &candidate.on {
        On::Schedule(on) if candidate.name.as_ref() == rule => Some(&**on),
        On::Schedule(_) | On::S3 { .. } | On::EventPattern { .. } | On::Sqs { .. } => None,
    });
    let id = id(&rules.name, rule, *scheduled_time);
    // The account and the Region of the schedule's own name.
    let arn = payload.resources.first().map_or("", String::as_str);
    let mut parts = arn.split(':').skip(3);
    let (region, account) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let enveloped = |input| {
        let enveloped = Enveloped {
            version: "0",
            id: &id,
            detail_type: DETAIL_TYPE,
            source: SOURCE,
            account,
            time: *scheduled_time,
            region,
            resources: &payload.resources,
            detail: Detail {
                rule,
                scheduled_time: *scheduled_time,
                local_time: on.map(|on| local_time(on, *scheduled_time)),
                timezone: on.map(|on| on.schedule.zone_name()),
                missed: *missed,
                input,
            },
        };
        let text = serde_json::to_string(&enveloped).expect("strings and numbers serialise");
        let envelope = Envelope {
            id: id.clone(),
            source: SOURCE.to_owned(),
            detail_type: DETAIL_TYPE.to_owned(),
            time: scheduled_time.to_string(),
        };
        Event::new(envelope, text).map_err(Error::Event)
    };
    let bare = enveloped(None)?;
    let Some(input) = on.and_then(|on| on.input.as_ref()) else { return Ok(bare) };
    let input = input
        .render(&Context::new(&bare))
        .map_err(|source| Error::Input { rule: rule.clone(), source: source.into() })?;
    let input = RawValue::from_string(input).expect("its pieces make JSON");
    enveloped(Some(&input))
}

/// The time as the clocks of the schedule's zone show it, with how far they are from UTC.
fn local_time(on: &OnSchedule, time: Timestamp) -> String {
    time.to_zoned(on.schedule.zone().clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

/// The same for each firing of one rule's schedule for one time.
fn id(stack: &str, rule: &str, time: Timestamp) -> String {
    digest::uuid(&["schedule", stack, rule, &time.to_string()])
}

/// How many times were missed that the event stands for; `None` if it came in time.
pub(crate) fn missed(event: &Event) -> Option<u64> {
    if event.source() != SOURCE {
        return None;
    }
    let missed = event.value()["detail"].get("missed")?;
    MissedCount::deserialize(missed).ok().map(|missed| missed.count)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::{
        plan::{self, Refusal},
        rules,
    };

    const RULES: &str = r#"
name: media
defaults: { target: { taskDefinition: report } }
rules:
  - name: nightly
    on:
      schedule: cron(0 3 * * ? *)
      timezone: Asia/Seoul
      input: { day: "{{ detail.localTime[:10] }}", copies: 1.10 }
  - { name: catch-up, on: { schedule: "@hourly", missed: once } }
"#;

    const ARN: &str = "arn:aws:scheduler:eu-west-1:123456789012:schedule/media/nightly";

    fn normalised(payload: &str) -> Event {
        let rules = rules::check(RULES).rules.unwrap();
        normalise(payload, &rules).unwrap().unwrap()
    }

    fn fired(rule: &str, time: &str) -> String {
        payload(rule, ARN, time.parse().unwrap())
    }

    #[test]
    fn a_firing_becomes_an_event_with_its_input() {
        let event = normalised(&fired("nightly", "2027-01-30T18:00:00Z"));
        assert_eq!(
            event.text(),
            r#"{"version":"0","id":"IDENT","detail-type":"Scheduled Event","source":"aws.scheduler","account":"123456789012","time":"2027-01-30T18:00:00Z","region":"eu-west-1","resources":["arn:aws:scheduler:eu-west-1:123456789012:schedule/media/nightly"],"detail":{"rule":"nightly","scheduledTime":"2027-01-30T18:00:00Z","localTime":"2027-01-31T03:00:00+09:00","timezone":"Asia/Seoul","input":{"day":"2027-01-31","copies":1.10}}}"#
                .replace("IDENT", event.id())
        );
        assert_eq!(Event::parse(event.text()).unwrap(), event);
    }

    #[test]
    fn one_time_of_one_rule_is_one_event() {
        let first = normalised(&fired("nightly", "2027-01-30T18:00:00Z"));
        // Normalised once more, and as a scheduler that writes the time otherwise has it.
        assert_eq!(normalised(first.text()), first);
        let again = fired("nightly", "2027-01-30T18:00:00Z").replace("00:00Z", "00:00.000Z");
        assert_eq!(normalised(&again).id(), first.id());
        assert_ne!(normalised(&fired("nightly", "2027-01-31T18:00:00Z")).id(), first.id());
        assert_ne!(normalised(&fired("catch-up", "2027-01-30T18:00:00Z")).id(), first.id());
    }

    #[test]
    fn what_is_no_schedules_is_left_to_others() {
        let rules = rules::check(RULES).rules.unwrap();
        for payload in [
            "",
            "{",
            "[\"aws.scheduler\"]",
            r#"{"source":"aws.scheduler","detail-type":"Order","detail":{}}"#,
            r#"{"source":"shop","detail-type":"Scheduled Event","detail":{"by":"aws.scheduler"}}"#,
        ] {
            assert!(normalise(payload, &rules).is_none(), "{payload}");
        }
        let malformed = r#"{"source":"aws.scheduler","detail-type":"Scheduled Event","detail":{"rule":"nightly"}}"#;
        assert!(matches!(normalise(malformed, &rules), Some(Err(Error::Payload(_)))));
    }

    #[test]
    fn a_rule_that_is_gone_makes_an_event_that_matches_nothing() {
        let event = normalised(&fired("gone", "2027-01-30T18:00:00Z"));
        assert_eq!(event.value()["detail"]["rule"], "gone");
        assert_eq!(event.value()["detail"].get("input"), None);
    }

    fn missed_event(rule: &str, count: u64) -> Event {
        let payload = missed_input(rule)
            .replace("<aws.scheduler.schedule-arn>", ARN)
            .replace("<aws.scheduler.scheduled-time>", "2027-01-30T18:00:00Z")
            .replace(MISSED_COUNT, &count.to_string());
        normalised(&payload)
    }

    #[test]
    fn what_was_missed_is_skipped_or_done_once_as_the_rule_says() {
        let rules = rules::check(RULES).rules.unwrap();
        let event = missed_event("nightly", 3);
        let plan = plan::plan(&rules, &rules.rules[0], &event);
        let refusal = plan.request.unwrap_err();
        assert!(matches!(refusal, Refusal::Missed { count: 3 }));
        assert_eq!(
            refusal.to_string(),
            "this and 2 earlier times were missed, since nothing ran here, and the rule says to skip"
        );
        let event = missed_event("catch-up", 3);
        assert_eq!(event.value()["detail"]["missed"], serde_json::json!({ "count": 3 }));
        assert!(plan::plan(&rules, &rules.rules[1], &event).request.is_ok());
    }

    #[test]
    fn the_input_for_aws_is_json_with_its_keywords() {
        let input: Value = serde_json::from_str(&input("nightly")).unwrap();
        assert_eq!(input["detail"]["scheduledTime"], "<aws.scheduler.scheduled-time>");
    }
}
