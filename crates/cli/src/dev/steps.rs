//! One line a step, for people, made from what the functions log.
//!
//! The functions write one JSON object a line; the message names the step, the fields have always the same names. Whatever
//! else a function prints is shown as it is.

use std::{fmt, time::Duration};

use jiff::{Timestamp, tz::TimeZone};
use serde::Deserialize;
use taskferry_core::run::Status;
use taskferry_local::{
    ecs::faults::Made,
    eventbridge::Unmatched,
    lambda::{InvocationEnded, LogLine},
    scheduler::Fired,
};
use tokio::sync::broadcast::{self, error::RecvError};

use super::faults;
use crate::output::{Tone, Toned, printable};

/// How much of an error's message is shown.
const MESSAGE_CHARS_MAX: usize = 400;

/// The steps of all functions, as they come.
pub(crate) struct Steps {
    logs: broadcast::Receiver<LogLine>,
    ended: broadcast::Receiver<InvocationEnded>,
    fired: broadcast::Receiver<Fired>,
    faults: broadcast::Receiver<Made>,
    unmatched: Option<broadcast::Receiver<Unmatched>>,
    unmatched_count: u64,
    wants_colour: bool,
}

/// What the services tell of what they do, from before anything is done: what was missed while nothing ran is seen to first.
pub(crate) struct Heard {
    pub(super) logs: broadcast::Receiver<LogLine>,
    pub(super) ended: broadcast::Receiver<InvocationEnded>,
    pub(super) fired: broadcast::Receiver<Fired>,
    pub(super) faults: broadcast::Receiver<Made>,
    pub(super) unmatched: broadcast::Receiver<Unmatched>,
}

/// A line of a function's log.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Logged {
    level: String,
    pub(crate) message: String,
    pub(crate) rule: Option<String>,
    pub(crate) run_id: Option<String>,
    source: Option<String>,
    detail_type: Option<String>,
    event_id: Option<String>,
    subject: Option<String>,
    queue: Option<String>,
    rules: Option<u64>,
    runs: Option<u64>,
    failed: Option<u64>,
    attempt: Option<u64>,
    task_arn: Option<String>,
    pub(crate) status: Option<String>,
    failure_class: Option<String>,
    reason: Option<String>,
    error: Option<String>,
}

/// A line to show.
pub(crate) struct Line {
    text: String,
    ends: Ends,
    tone: Option<Tone>,
    at: Timestamp,
    wants_colour: bool,
}

impl Steps {
    /// The steps of a platform, from its start on, and a line for each event that no rule matches.
    pub(crate) fn of(heard: Heard, wants_colour: bool) -> Self {
        let Heard { logs, ended, fired, faults, unmatched } = heard;
        let unmatched = Some(unmatched);
        Self { logs, ended, fired, faults, unmatched, unmatched_count: 0, wants_colour }
    }

    /// The same, without the events that no rule matches.
    pub(crate) fn without_unmatched(self) -> Self {
        Self { unmatched: None, ..self }
    }

    /// How many events no rule has matched, as one says it; `None` if there were none.
    pub(crate) fn unmatched_total(&self) -> Option<String> {
        match self.unmatched_count {
            0 => None,
            1 => Some("1 event matched no rule".to_owned()),
            count => Some(format!("{count} events matched no rule")),
        }
    }

    /// A line of the program's own.
    pub(crate) fn line(&self, step: &str, text: &str, tone: Option<Tone>) -> Line {
        let text = format!("{step:<9} {text}");
        Line {
            text,
            ends: Ends::default(),
            tone,
            at: Timestamp::now(),
            wants_colour: self.wants_colour,
        }
    }

    /// Waits for the next line.
    pub(crate) async fn next(&mut self) -> Line {
        loop {
            let (text, tone, ends) = tokio::select! {
                line = self.logs.recv() => match line {
                    Ok(line) => match shown(&line) {
                        Some(shown) => shown,
                        None => continue,
                    },
                    Err(RecvError::Lagged(lines)) => {
                        (format!("({lines} lines not shown)"), Some(Tone::Faint), Ends::default())
                    }
                    Err(RecvError::Closed) => std::future::pending().await,
                },
                ended = self.ended.recv() => match ended {
                    Ok(ended) => match failure(&ended) {
                        Some(text) => (text, Some(Tone::Bad), Ends::default()),
                        None => continue,
                    },
                    Err(RecvError::Lagged(_)) => continue,
                    Err(RecvError::Closed) => std::future::pending().await,
                },
                fired = self.fired.recv() => match fired {
                    Ok(fired) => (schedule(&fired), None, Ends::default()),
                    Err(RecvError::Lagged(_)) => continue,
                    Err(RecvError::Closed) => std::future::pending().await,
                },
                made = self.faults.recv() => match made {
                    Ok(made) => (printable(&faults::line(&made)), None, Ends::default()),
                    Err(RecvError::Lagged(more)) => {
                        (format!("fault     ({more} more, on request)"), None, Ends::default())
                    }
                    Err(RecvError::Closed) => std::future::pending().await,
                },
                event = next_unmatched(&mut self.unmatched) => {
                    let (text, count) = match event {
                        Ok(event) => (nowhere(&event), 1),
                        Err(more) => (format!("({more} more events that no rule matches)"), more),
                    };
                    self.unmatched_count += count;
                    (text, Some(Tone::Faint), Ends::default())
                }
            };
            let (at, wants_colour) = (Timestamp::now(), self.wants_colour);
            return Line { text, ends, tone, at, wants_colour };
        }
    }
}

/// What a line is the end of.
#[derive(Clone, Copy, Debug, Default)]
struct Ends {
    launch: bool,
    run: bool,
}

impl Line {
    /// The line without its time.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// How it looks on a terminal.
    pub(crate) fn tone(&self) -> Option<Tone> {
        self.tone
    }

    /// Whether it says that a launch has ended, well or not.
    pub(crate) fn ends_launch(&self) -> bool {
        self.ends.launch
    }

    /// Whether it says that a run has ended.
    pub(crate) fn ends_run(&self) -> bool {
        self.ends.run
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at.to_zoned(TimeZone::system()).strftime("%H:%M:%S%.3f").to_string();
        write!(f, "{}  ", Toned(Tone::Faint, at, self.wants_colour))?;
        match self.tone {
            Some(tone) => Toned(tone, &self.text, self.wants_colour).fmt(f),
            None => f.write_str(&self.text),
        }
    }
}

/// The next event that led nowhere, or how many of them came too fast to be told one by one.
async fn next_unmatched(
    unmatched: &mut Option<broadcast::Receiver<Unmatched>>,
) -> Result<Unmatched, u64> {
    let Some(unmatched) = unmatched else { return std::future::pending().await };
    match unmatched.recv().await {
        Ok(event) => Ok(event),
        Err(RecvError::Lagged(count)) => Err(count),
        Err(RecvError::Closed) => std::future::pending().await,
    }
}

/// An event that no rule matches.
fn nowhere(event: &Unmatched) -> String {
    let Unmatched { id, source, detail_type, bus, object } = event;
    let object = object.as_ref().map(|object| format!(", {object}")).unwrap_or_default();
    let bus = if bus == "default" { String::new() } else { format!(" of bus {bus}") };
    printable(&format!(
        "route     {detail_type} from {source}{object}, no rule{bus} matches (event {id})"
    ))
}

/// A schedule that fired.
fn schedule(fired: &Fired) -> String {
    let Fired { group, name, scheduled, missed, is_managed } = fired;
    let which = if *is_managed { name.clone() } else { format!("{group}/{name}") };
    let scheduled = scheduled.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S");
    match missed {
        None => format!("schedule  {which} fired for {scheduled}"),
        Some(1) => format!("schedule  {which} missed {scheduled}"),
        Some(count) => format!("schedule  {which} missed {count} times, the last {scheduled}"),
    }
}

/// How a line is shown, if it is.
fn shown(line: &LogLine) -> Option<(String, Option<Tone>, Ends)> {
    match serde_json::from_str::<Logged>(&line.line) {
        // Lambda's runtime writes the error that a handler returns as Rust's `Debug` has it. It stays in the log; shown is
        // how the invocation ended.
        Ok(logged) if logged.message.starts_with("Diagnostic {") => None,
        // Of a batch, whose messages are told one by one.
        Ok(logged) if logged.message == "received" => None,
        Ok(logged) => Some((printable(&logged.to_string()), logged.tone(), logged.ends())),
        Err(_) => {
            let text = printable(&format!("[{}] {}", line.function, line.line));
            Some((text, Some(Tone::Faint), Ends::default()))
        }
    }
}

/// What became of an invocation that failed.
fn failure(ended: &InvocationEnded) -> Option<String> {
    let error = ended.error.as_ref()?;
    let InvocationEnded { function, attempt, is_queued, is_counted, retry_after, .. } = ended;
    let then = match retry_after {
        Some(after) if *is_counted => format!("attempt {attempt}, again in {} s", seconds(*after)),
        Some(after) => format!("again in {} s, not counted", seconds(*after)),
        None if *is_queued => {
            format!("attempt {attempt}, given up: see `taskferry dead-letters invocations`")
        }
        None => "its client is told".to_owned(),
    };
    // A message may be a page, of a panic for one; the whole of it is in the function's log.
    let message = error.message.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut shown: String = message.chars().take(MESSAGE_CHARS_MAX).collect();
    if shown.len() < message.len() {
        shown.push('…');
    }
    Some(format!("invoke    {function} failed ({then}): {}: {shown}", error.error_type))
}

/// Seconds, to a tenth: a wait is no measurement.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10.0).round() / 10.0
}

impl Logged {
    fn tone(&self) -> Option<Tone> {
        match (self.level.as_str(), self.status.as_deref()) {
            ("ERROR" | "WARN", _) | (_, Some("failed" | "timedOut")) => Some(Tone::Bad),
            (_, Some("succeeded")) => Some(Tone::Good),
            _ => None,
        }
    }

    fn ends(&self) -> Ends {
        let status = self.status.as_deref().and_then(Status::parse);
        let is_refused = self.message == "failed";
        Ends {
            launch: is_refused || self.message == "launched",
            run: is_refused || status.is_some_and(Status::is_terminal),
        }
    }

    /// The step's word, in the width of a column.
    fn step(&self) -> &str {
        match self.message.as_str() {
            "routed" => "route",
            "planned" => "plan",
            "launching" | "launched" => "launch",
            "tracked" => "track",
            "waiting" => "wait",
            "swept" => "sweep",
            "acknowledged" => "ack",
            "skipped" => "skip",
            other => other,
        }
    }
}

impl fmt::Display for Logged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<9}", self.step())?;
        if let (Some(detail_type), Some(source)) = (&self.detail_type, &self.source) {
            write!(f, " {detail_type} from {source}")?;
        }
        if let Some(subject) = &self.subject {
            write!(f, ", {subject}")?;
        }
        if let Some(queue) = &self.queue {
            write!(f, " by queue {queue}")?;
        }
        match self.rules {
            Some(0) => write!(f, ", no rule matches")?,
            Some(1) => write!(f, ", 1 rule matches")?,
            Some(rules) => write!(f, ", {rules} rules match")?,
            None => {}
        }
        match self.runs {
            Some(1) => write!(f, " 1 run")?,
            Some(runs) => write!(f, " {runs} runs")?,
            None => {}
        }
        if let Some(failed) = self.failed.filter(|&failed| failed > 0) {
            write!(f, ", {failed} not seen to yet")?;
        }
        if let Some(rule) = &self.rule {
            write!(f, " {rule}")?;
        }
        if let Some(run_id) = &self.run_id {
            write!(f, " run {}", short(run_id))?;
        }
        if let Some(attempt) = self.attempt {
            write!(f, " attempt {attempt}")?;
        }
        if let Some(task_arn) = &self.task_arn {
            let id = task_arn.rsplit('/').next().unwrap_or(task_arn);
            write!(f, " task {}", short(id))?;
        }
        if let Some(status) = &self.status {
            write!(f, " {status}")?;
        }
        if let Some(failure_class) = &self.failure_class {
            write!(f, " ({failure_class})")?;
        }
        for text in [&self.reason, &self.error].into_iter().flatten() {
            write!(f, ": {text}")?;
        }
        // An event that has no run of its own is found by its id alone.
        let is_alone = self.rules == Some(0) || self.message == "duplicate";
        // A message of a queue is told by it already.
        if let Some(event_id) = self.event_id.as_ref().filter(|_| is_alone)
            && self.subject.as_ref() != Some(event_id)
        {
            write!(f, " (event {event_id})")?;
        }
        if let (Some("exitCode"), Some(run_id)) = (self.failure_class.as_deref(), &self.run_id) {
            write!(f, "; see `taskferry runs logs {}`", short(run_id))?;
        }
        Ok(())
    }
}

/// Enough of an id to know it by.
pub(super) fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}
