//! `taskferry explain`: what each rule makes of an event, without sending anything.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use jiff::Timestamp;
use serde_json::{Value, json};
use taskferry_core::{
    event::{
        Event,
        s3::{self, Notification},
        schedule, sqs,
    },
    plan::{self, OVERRIDES_BYTES_MAX, Plan},
    reason,
    rules::{On, Rule, Rules, bus_name},
    run::StartedBy,
};
use taskferry_event_pattern::Explanation;

use crate::{
    check,
    event::{self, Given, Sent},
    output::{hinted, printable},
};

/// What `taskferry explain` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The rules file; `-` reads standard input
    #[arg(short, long, default_value = "taskferry.yaml", value_name = "FILE")]
    file: PathBuf,
    /// The event, in EventBridge's envelope or what `send` takes, or what S3, SNS or a queue invokes a function with; `-` reads
    /// standard input
    #[arg(short, long, value_name = "FILE")]
    event: PathBuf,
    /// Only this rule
    #[arg(long, value_name = "NAME")]
    rule: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Explains each event of the file to each rule; exit 0 if any matches and none that does is refused, else 1.
pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    if [&arguments.file, &arguments.event].iter().all(|path| *path == Path::new("-")) {
        let hint = "write one of them into a file";
        return Err(hinted("standard input cannot be both the rules and the event", hint));
    }
    let Some(rules) = check::load(&arguments.file, &mut io::stderr())? else {
        return Ok(ExitCode::from(2));
    };
    let chosen = chosen(&rules, arguments.rule.as_deref())?;
    let mut explained = Vec::new();
    for asked in events(&arguments.event, &rules)? {
        for rule in &chosen {
            explained.push(explain(&rules, rule, &asked)?);
        }
    }
    let mut plans = explained.iter().filter_map(|explained| explained.get("plan")).peekable();
    let is_yes = plans.peek().is_some() && plans.all(|plan| plan.get("refused").is_none());
    if arguments.json {
        serde_json::to_writer_pretty(&mut *out, &explained)?;
        writeln!(out)?;
    } else {
        for explained in &explained {
            print(out, explained)?;
        }
    }
    Ok(if is_yes { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn chosen<'a>(rules: &'a Rules, name: Option<&str>) -> anyhow::Result<Vec<&'a Rule>> {
    let Some(name) = name else { return Ok(rules.rules.iter().collect()) };
    let chosen: Vec<_> = rules.rules.iter().filter(|rule| rule.name.as_ref() == name).collect();
    if chosen.is_empty() {
        let names: Vec<_> = rules.rules.iter().map(|rule| rule.name.to_string()).collect();
        let hint = format!("the file's rules are {}", names.join(", "));
        return Err(hinted(format!("there is no rule `{name}`"), hint));
    }
    Ok(chosen)
}

/// An event that is asked about.
struct Asked {
    way: Way,
    event: Event,
}

/// Which way an event comes, as far as the file says that.
enum Way {
    /// Any.
    Any,
    /// This bus.
    Bus(String),
    /// S3's own notification.
    Notification,
    /// A message of this queue.
    Queue(String),
    /// A schedule's invocation.
    Schedule,
}

/// The events in the file: one or several, or those of an S3 notification.
fn events(path: &Path, rules: &Rules) -> anyhow::Result<Vec<Asked>> {
    let name = event::name(path);
    match event::read(path)? {
        Given::Events(sent) => {
            let is_schedules = |sent: &&Sent| sent.source == schedule::SOURCE;
            if let Some(added) = sent.iter().filter(|it| !is_schedules(it)).find_map(Sent::added) {
                note(&format!("{name} has no {added} what EventBridge will give it"))?;
            }
            let now = Timestamp::now();
            let asked = |sent: &Sent| -> anyhow::Result<Asked> {
                let event = sent.delivered(now).with_context(|| name.clone())?;
                // What a schedule invokes with gets the rest of its event from its rule.
                if let Some(event) = schedule::normalise(event.text(), rules) {
                    return Ok(Asked {
                        way: Way::Schedule,
                        event: event.with_context(|| name.clone())?,
                    });
                }
                Ok(Asked { way: sent.event_bus.clone().map_or(Way::Any, Way::Bus), event })
            };
            sent.iter().map(asked).collect()
        }
        Given::Notification(text) => match s3::normalise(&text).with_context(|| name.clone())? {
            Notification::Test => {
                note(&format!(
                    "{name} is S3's test event, which is no object's and starts nothing"
                ))?;
                Ok(Vec::new())
            }
            Notification::Records(records) => {
                if records.is_empty() {
                    note(&format!("{name} has no record, and starts nothing"))?;
                }
                notified(records)
            }
        },
        Given::Messages(text) => messages(&text, &name),
    }
}

/// The events of a notification. One bad record does not keep the others from their runs, so it is told beside them.
fn notified(records: Vec<Result<Event, s3::Error>>) -> anyhow::Result<Vec<Asked>> {
    let (good, bad): (Vec<_>, Vec<_>) = records.into_iter().partition(Result::is_ok);
    let bad: Vec<s3::Error> = bad.into_iter().filter_map(Result::err).collect();
    let asked: Vec<Asked> =
        good.into_iter().flatten().map(|event| Asked { way: Way::Notification, event }).collect();
    for error in bad {
        if asked.is_empty() {
            return Err(error.into());
        }
        note(&format!("{}; the others go on, and the invocation fails", reason(&error)))?;
    }
    Ok(asked)
}

/// The events that messages of a queue make; of those that make none it is said why.
fn messages(text: &str, name: &str) -> anyhow::Result<Vec<Asked>> {
    let mut asked = Vec::new();
    for sqs::Received { id, message } in sqs::normalise(text).with_context(|| name.to_owned())? {
        match message {
            Ok(message) => {
                if let Some(refused) = &message.refused {
                    let kept = "each rule that names its queue keeps it as a dead letter";
                    note(&format!("message {id}: {}; {kept}", reason(refused)))?;
                } else if message.events.is_empty() {
                    note(&format!("message {id} is S3's test event, which starts nothing"))?;
                }
                let way = || Way::Queue(message.queue().to_owned());
                let events = message.events.iter();
                asked.extend(events.map(|event| Asked { way: way(), event: event.clone() }));
            }
            Err(malformed) => {
                note(&format!(
                    "message {id} is not as Lambda writes it, and stays in its queue: {malformed}"
                ))?;
            }
        }
    }
    Ok(asked)
}

/// Says what is no part of the answer.
fn note(text: &str) -> io::Result<()> {
    writeln!(io::stderr(), "note: {text}")
}

/// What the rule makes of the event, as data.
fn explain(rules: &Rules, rule: &Rule, asked: &Asked) -> anyhow::Result<Value> {
    let Asked { way, event } = asked;
    let elsewhere = elsewhere(rule, way);
    let explanation = taskferry_event_pattern::explain(&rule.event_pattern, event.text())
        .context("the event cannot be matched")?;
    let mut explained = json!({
        "event": { "id": event.id(), "source": event.source(), "detailType": event.detail_type() },
        "rule": rule.name.to_string(),
        "matches": explanation.matches && elsewhere.is_none(),
    });
    if explained["matches"] == true {
        explained["plan"] = planned(rules, &plan::plan(rules, rule, event));
        // The event's envelope does not say which way it comes, and a queue's rule hears of no other.
        if let (Way::Any, Some(queue)) = (way, rule.on.queue_name()) {
            explained["ifFromQueue"] = json!(queue);
        }
    } else {
        explained["failed"] = elsewhere.into_iter().chain(failed(&explanation)).collect();
    }
    Ok(explained)
}

fn failed(explanation: &Explanation) -> impl Iterator<Item = Value> {
    let failed = explanation.failures.iter().map(|&leaf| &explanation.leaves[leaf]);
    failed.map(|leaf| json!({ "path": leaf.path, "expected": leaf.expected, "found": leaf.found }))
}

/// The clause that does not match where the events of a rule come another way.
fn elsewhere(rule: &Rule, way: &Way) -> Option<Value> {
    let clause = |path: &str, wanted: &str, found: &str| {
        let (expected, found) = (json!([wanted]).to_string(), json!(found).to_string());
        json!({ "path": path, "expected": expected, "found": [found] })
    };
    match (way, &rule.on) {
        (Way::Bus(sent_to), On::EventPattern { bus, .. }) => {
            let [wanted, found] = [bus, sent_to].map(|bus| bus_name(bus));
            (wanted != found).then(|| clause("EventBusName", wanted, found))
        }
        (Way::Queue(found), on) => match on.queue_name() {
            Some(wanted) if wanted == found => None,
            Some(wanted) => Some(clause("queue", wanted, found)),
            None => Some(clause("on", on.word(), "sqs")),
        },
        (Way::Notification | Way::Bus(_), On::Sqs { .. }) => Some(clause(
            "on",
            "sqs",
            if matches!(way, Way::Bus(_)) { "eventPattern" } else { "s3" },
        )),
        (Way::Schedule, on) if !matches!(on, On::Schedule(_)) => {
            Some(clause("on", on.word(), "schedule"))
        }
        (Way::Any | Way::Notification | Way::Bus(_) | Way::Schedule, _) => None,
    }
}

fn planned(rules: &Rules, plan: &Plan<'_>) -> Value {
    let started_by =
        StartedBy { name: rules.name.clone(), run_id: plan.run_id.clone(), attempt: 1 };
    let mut planned = json!({ "runId": plan.run_id.as_str(), "dedupeKey": plan.dedupe_key });
    match &plan.request {
        Ok(request) => {
            planned["clientToken"] = json!(plan::client_token(&started_by));
            planned["overridesBytes"] = json!(request.overrides_size_bytes());
            planned["overridesBytesMax"] = json!(OVERRIDES_BYTES_MAX);
            let request = request.for_attempt(&started_by, request.task_definition());
            planned["runTask"] = serde_json::from_str(&request).expect("a request is JSON");
        }
        Err(refusal) => planned["refused"] = json!(reason(refusal)),
    }
    planned
}

fn print(out: &mut dyn Write, explained: &Value) -> anyhow::Result<()> {
    let text = |value: &Value| printable(value.as_str().unwrap_or_default());
    let event = &explained["event"];
    let rule = text(&explained["rule"]);
    let about = format!("{} from {}", text(&event["detailType"]), text(&event["source"]));
    let Some(plan) = explained.get("plan") else {
        writeln!(out, "{rule}: does not match {about}")?;
        for leaf in explained["failed"].as_array().into_iter().flatten() {
            let found = match leaf["found"].as_array().map(Vec::as_slice) {
                None | Some([]) => "nothing".to_owned(),
                Some(found) => found.iter().map(text).collect::<Vec<_>>().join(", "),
            };
            let (path, expected) = (text(&leaf["path"]), text(&leaf["expected"]));
            writeln!(out, "  {path}: wants {expected}, found {found}")?;
        }
        return Ok(writeln!(out)?);
    };
    let queue = explained.get("ifFromQueue").map(text);
    let way = queue.map(|queue| format!(", if queue {queue} brings it")).unwrap_or_default();
    writeln!(out, "{rule}: matches {about}{way}")?;
    writeln!(out, "  run          {}", text(&plan["runId"]))?;
    writeln!(out, "  dedupe key   {}", text(&plan["dedupeKey"]))?;
    if let Some(refused) = plan.get("refused") {
        return Ok(writeln!(out, "  refused      {}\n", text(refused))?);
    }
    let (size, max) = (&plan["overridesBytes"], &plan["overridesBytesMax"]);
    writeln!(out, "  clientToken  {}", text(&plan["clientToken"]))?;
    writeln!(out, "  overrides    {size} of {max} bytes")?;
    writeln!(out, "  RunTask (the revision of the task definition is pinned at launch)")?;
    let request = serde_json::to_string_pretty(&plan["runTask"])?;
    Ok(writeln!(out, "    {}\n", request.replace('\n', "\n    "))?)
}
