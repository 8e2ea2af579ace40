//! What the documents show of the decisions: the table of a run's life, the failure classes, a lifecycle event.
//!
//! The tables of docs/*.md between `<!-- begin NAME -->` and `<!-- end NAME -->` are made here. Where one differs, the test
//! fails; with `INSTA_UPDATE=always`, the variable that renews snapshots too, it writes the table into the page.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test reads its files")]

use std::{env, fs, path::Path};

use serde_json::{Value, json};
use taskferry_core::{
    chain::{self, LifecycleEvent},
    failure::{self, FailureClass},
    lifecycle::{Kind, Ruling, ruling},
    retry::BACKOFF_DEFAULT,
    run::{Run, Status},
};

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    fs::read_to_string(path).unwrap()
}

/// Holds a table of a page to what it is made of.
#[track_caller]
fn check(name: &str, table: &str, expected: &str) {
    let text = page(name);
    let (begin, end) = (format!("<!-- begin {table} -->\n"), format!("<!-- end {table} -->\n"));
    let start = text.find(&begin).unwrap_or_else(|| panic!("{name} has no `{begin}`"));
    let start = start + begin.len();
    let length = text[start..].find(&end).unwrap_or_else(|| panic!("{name} has no `{end}`"));
    let shown = &text[start..start + length];
    if shown == expected {
        return;
    }
    let again = "INSTA_UPDATE=always cargo test -p taskferry-core --test documents";
    if env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
        let renewed = format!("{}{expected}{}", &text[..start], &text[start + length..]);
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
        fs::write(path, renewed).unwrap();
    } else {
        panic!(
            "docs/{name}: the table `{table}` is not what the code says. Renew it: {again}\n\n{expected}"
        );
    }
}

fn row(cells: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let cells: Vec<String> =
        cells.into_iter().map(|cell| format!(" {} |", cell.as_ref())).collect();
    format!("|{}\n", cells.concat())
}

fn table(head: &[&str], rows: impl IntoIterator<Item = String>) -> String {
    let line = row(head.iter().map(|_| "---"));
    row(head) + &line + &rows.into_iter().collect::<String>()
}

/// `StopStray` as `stop stray`.
fn words(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

/// What happened, in one sentence.
fn told(kind: Kind) -> &'static str {
    match kind {
        Kind::Due => "Its date came: the sweep looks at it.",
        Kind::Redelivered => "Its event was delivered again.",
        Kind::Admitted => "A slot is free for it.",
        Kind::Full => "One of its limits had no slot left after all.",
        Kind::Paced => "A launch fits into the quota now.",
        Kind::Unpaced => "It does not before a given time.",
        Kind::Hindered => "A call that was needed to go on failed.",
        Kind::Accepted => "`RunTask` answered with a task.",
        Kind::Denied => {
            "`RunTask` answered that there is none: `failures[]`, a conflict, a refusal, no room."
        }
        Kind::Throttled => "`RunTask` was throttled.",
        Kind::Lost => "No answer came, or one that does not tell whether there is a task.",
        Kind::TaskAlive => "ECS tells of a task of the run, and it has not stopped.",
        Kind::TaskStopped => "ECS tells that the task has stopped.",
        Kind::Missing => "ECS was asked, and knows no task of the last attempt.",
        Kind::Stop => "A person, a run that replaces it, or a limit of time wants it to stop.",
        Kind::Skip => "A limit is reached, and its rule says not to wait.",
        Kind::Published => "Its lifecycle events were published.",
        Kind::Discarded => "The event that was put aside for its task was deleted.",
        Kind::Received => "Its message was delivered, and its rule says `ack: completion`.",
        Kind::Extended => "Its message is kept from being delivered again.",
        Kind::Released => "Its message was deleted, went over to another run of it, or is gone.",
        Kind::Redriven => "Another run does it again.",
    }
}

/// What is done, in one sentence; `None` for nothing.
fn meaning(ruling: Ruling) -> Option<&'static str> {
    Some(match ruling {
        Ruling::Ignore => return None,
        Ruling::Proceed => {
            "Go on from where it waits: end it if `timeout.total` is past, ask its limit whose turn it is, look for a task that \
             was denied, or ask the quota."
        }
        Ruling::Verify => {
            "Unless its task is known, send the same request again under the same token."
        }
        Ruling::Pace => "Ask the quota for a launch.",
        Ruling::Launch => "Write the attempt, then send it.",
        Ruling::Postpone => "Wait until the quota has room.",
        Ruling::Defer => "Come back in a minute.",
        Ruling::Queue => "Wait in the queue of the limit that was full.",
        Ruling::Skip => "End as `skipped`.",
        Ruling::Answer => {
            "A task: nothing to write the first time, else take it in. Throttled: wait, then the same again. Lost: the same again \
             in 15 seconds. Refused the first time: end as `failed`. Any other denial: wait, look for the task, then the next \
             attempt or the end."
        }
        Ruling::TakeIn => {
            "Write what the task says, unless its `version` is known; if it has stopped, end the run or wait for the next attempt. \
             A task of another attempt, or a second one, is told to stop."
        }
        Ruling::StopStray => "Tell the task to stop: nobody wants it.",
        Ruling::Look => {
            "Stop it if a limit of time is past; else ask ECS about its task, or send the request again."
        }
        Ruling::Vanished => {
            "By what is known: the next attempt, the end, ask again in a minute, or, once ECS has forgotten its token or its task, \
             call it lost."
        }
        Ruling::Stop => {
            "Tell the task to stop; look for it first if it is not known; end the run if there can be none."
        }
        Ruling::TidyUp => {
            "Publish what was not told; delete the message; a day after the end, delete the event that was put aside."
        }
        Ruling::Hold => "Hold the message by this delivery.",
        Ruling::HoldOn => "Write when the message is to be held again; then as if its date came.",
        Ruling::Note => "Write it down.",
    })
}

#[test]
fn the_table_of_a_runs_life_is_that_of_the_code() {
    // Statuses with the same rulings throughout share a column.
    let rulings = |status: &Status| Kind::ALL.map(|kind| ruling(*status, kind));
    let mut columns: Vec<Vec<Status>> = Vec::new();
    for status in Status::ALL {
        match columns.last_mut() {
            Some(column) if rulings(&column[0]) == rulings(&status) => column.push(status),
            _ => columns.push(vec![status]),
        }
    }
    let names = columns.iter().map(|column| {
        column.iter().map(|status| format!("`{status}`")).collect::<Vec<_>>().join(" ")
    });
    let names: Vec<String> = names.collect();
    let head: Vec<&str> =
        ["what happened"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let rows = Kind::ALL.map(|kind| {
        let cells = columns.iter().map(|column| match ruling(column[0], kind) {
            Ruling::Ignore => "-".to_owned(),
            ruling => words(&format!("{ruling:?}")),
        });
        let name = format!("**{}**", words(&format!("{kind:?}")));
        row([name].into_iter().chain(cells))
    });
    check("run-lifecycle.md", "table", &table(&head, rows));

    let happenings = Kind::ALL
        .map(|kind| row([format!("**{}**", words(&format!("{kind:?}"))), told(kind).to_owned()]));
    check("run-lifecycle.md", "happenings", &table(&["what happened", ""], happenings));

    let mut known: Vec<Ruling> = Vec::new();
    for status in Status::ALL {
        for kind in Kind::ALL {
            let ruling = ruling(status, kind);
            if !known.contains(&ruling) {
                known.push(ruling);
            }
        }
    }
    let rulings = known.into_iter().filter_map(|ruling| {
        Some(row([words(&format!("{ruling:?}")), meaning(ruling)?.to_owned()]))
    });
    check("run-lifecycle.md", "rulings", &table(&["what is done", ""], rulings));
}

/// What a class means, in one sentence.
fn means(class: FailureClass) -> &'static str {
    match class {
        FailureClass::Throttled => {
            "AWS asked for fewer calls, until the attempt's client token expired."
        }
        FailureClass::Capacity => "There was no room for the task.",
        FailureClass::Agent => "The ECS agent of the container instance did not answer.",
        FailureClass::ImagePull => "The image could not be pulled.",
        FailureClass::Initialization => {
            "Secrets, logs, network, volumes or a container could not be set up."
        }
        FailureClass::SpotInterruption => "Spot capacity was taken back.",
        FailureClass::Infrastructure => "The host or ECS failed, or the task was lost.",
        FailureClass::OutOfMemory => "A container wanted more memory than it had.",
        FailureClass::ExitCode => "An essential container exited with something else than 0.",
        FailureClass::TimedOut => {
            "`timeout.start` or `timeout.run` ended the attempt, or `timeout.total` the run."
        }
        FailureClass::StoppedByUser => "A person or another program stopped the task.",
        FailureClass::Refused => "AWS refused the request, or its task can never run.",
    }
}

#[test]
fn failure_classes_and_their_budgets_are_those_of_the_code() {
    let rows = FailureClass::ALL.map(|class| {
        let (attempts, waits) = match class.budget() {
            None => {
                let (min, max) = (BACKOFF_DEFAULT.min_seconds, BACKOFF_DEFAULT.max_seconds);
                (
                    "`retry.attempts`, else 1".to_owned(),
                    format!("`retry.backoff`, else {min} s to {max} s"),
                )
            }
            Some(budget) if budget.attempts == 1 => ("1".to_owned(), "-".to_owned()),
            Some(budget) => {
                let (min, max) = (budget.backoff.min_seconds, budget.backoff.max_seconds);
                (budget.attempts.to_string(), format!("{min} s to {max} s"))
            }
        };
        row([format!("`{class}`"), means(class).to_owned(), attempts, waits])
    });
    let head = ["class", "what it means", "attempts that may end so", "waits between them"];
    check("retries-and-limits.md", "classes", &table(&head, rows));

    // In their order, since the first that is found decides; those of one class that stand together share a row.
    let mut texts: Vec<(FailureClass, Vec<String>)> = Vec::new();
    for (text, class) in failure::texts() {
        let text = format!("`{text}`");
        match texts.last_mut() {
            Some((last, together)) if *last == class => together.push(text),
            _ => texts.push((class, vec![text])),
        }
    }
    let texts = texts.iter().map(|(class, texts)| row([texts.join(", "), format!("`{class}`")]));
    check("retries-and-limits.md", "texts", &table(&["texts", "class"], texts));

    let advice =
        FailureClass::ALL.map(|class| row([format!("`{class}`"), class.advice().to_owned()]));
    check("dead-letters.md", "advice", &table(&["class", "what to do"], advice));
}

/// The JSON of a page's first block that begins so.
fn block(page: &str, begin: &str) -> Value {
    let start = page.find(&format!("```json\n{begin}")).unwrap() + "```json\n".len();
    let length = page[start..].find("\n```").unwrap();
    serde_json::from_str(&page[start..start + length]).unwrap()
}

fn keys(value: &Value) -> Vec<&String> {
    let mut keys: Vec<&String> = value.as_object().unwrap().keys().collect();
    keys.sort();
    keys
}

#[test]
fn the_lifecycle_event_in_the_page_has_the_keys_of_one() {
    let time = "2026-01-01T00:00:00Z";
    let run: Run = serde_json::from_value(json!({
        "id": "0".repeat(32), "rule": "r", "status": "succeeded", "dedupeKey": "k", "createdAt": time, "endedAt": time,
        "event": { "id": "e", "source": "s", "detailType": "d", "time": time }, "essential": ["app"], "revision": 1,
        "attempts": [{
            "attempt": 1, "createdAt": time, "taskArn": "arn:aws:ecs:us-east-1:0:task/batch/1",
            "containers": [{ "name": "app", "exitCode": 0, "reason": null }],
        }],
    }))
    .unwrap();
    let page = page("run-lifecycle.md");
    let sample = block(&page, "{\n  \"version\": \"0\"");
    let detail = chain::detail("media", &run);
    assert_eq!(keys(&sample["detail"]), keys(&detail));
    for part in ["event", "attempt", "links"] {
        assert_eq!(keys(&sample["detail"][part]), keys(&detail[part]), "{part}");
    }
    assert_eq!(
        keys(&sample["detail"]["attempt"]["containers"][0]),
        keys(&detail["attempt"]["containers"][0])
    );
    for event in LifecycleEvent::ALL {
        assert!(page.contains(&format!("`{}`", event.detail_type())), "{event:?}");
    }
    let prose = page.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(prose.contains(&format!("more than {} ", chain::DEPTH_MAX)), "the depth of chains");
}
