//! `taskferry dead-letters invocations`: what a function could not take at all, so that there is no run to look at.
//!
//! Of a `taskferry dev` alone; on AWS it is with Lambda's own dead letters. Nothing here is done about them but to show: the
//! payload is what one needs to find the cause, and to invoke the function again.

use std::{io::Write, path::PathBuf, process::ExitCode};

use comfy_table::{Table, presets};
use serde_json::{Value, json};
use taskferry_local::{
    db,
    lambda::{FailedInvocation, GivenUp},
};

use crate::{
    output::{hinted, printable},
    state::StateDir,
};

/// What `taskferry dead-letters invocations` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Show the one of this number, with its payload
    #[arg(value_name = "NUMBER")]
    number: Option<i64>,
    /// Print the payload alone, as it came
    #[arg(long, requires = "number")]
    payload: bool,
    /// At most so many, the newest
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    limit: u32,
    /// Print JSON
    #[arg(long, conflicts_with = "payload")]
    json: bool,
}

/// Lists them, or shows one.
pub(super) fn run(
    state: Option<&StateDir>,
    arguments: &Arguments,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let Some(state) = state else {
        return Err(hinted(
            "invocations that were given up on AWS are not kept with the runs",
            "look at the function's dead-letter queue, or at its destination for failures",
        ));
    };
    let given_up = open(state)?;
    let Some(number) = arguments.number else {
        let found = match &given_up {
            Some(given_up) => given_up.newest(arguments.limit),
            None => Ok(Vec::new()),
        };
        return list(&found.map_err(|error| refused(state, error))?, arguments.json, out);
    };
    let found = given_up.and_then(|given_up| given_up.find(number).transpose()).transpose();
    let Some(found) = found.map_err(|error| refused(state, error))? else {
        return Err(hinted(
            format!("there is no invocation {number} that was given up"),
            "`taskferry dead-letters invocations` shows them",
        ));
    };
    if arguments.payload {
        writeln!(out, "{}", found.payload)?;
    } else if arguments.json {
        serde_json::to_writer_pretty(&mut *out, &as_json(&found))?;
        writeln!(out)?;
    } else {
        show(&found, out)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What is said of them beside the dead letters, if there are any.
pub(super) fn note(state: &StateDir) -> anyhow::Result<Option<String>> {
    let count = open(state)?.map_or(Ok(0), |given_up| given_up.count());
    let what = match count.map_err(|error| refused(state, error))? {
        0 => return Ok(None),
        1 => "1 invocation of a function was given up".to_owned(),
        count => format!("{count} invocations of functions were given up"),
    };
    Ok(Some(format!("{what}; `taskferry dead-letters invocations` shows what and why")))
}

/// `None` where no `dev` has run yet.
fn open(state: &StateDir) -> anyhow::Result<Option<GivenUp>> {
    let db: PathBuf = state.services();
    if !db.exists() {
        return Ok(None);
    }
    GivenUp::open(&db).map_err(|error| refused(state, error))
}

fn refused(state: &StateDir, error: db::Error) -> anyhow::Error {
    state.refused(error.into())
}

fn list(found: &[FailedInvocation], json: bool, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    if json {
        let all: Vec<Value> = found.iter().map(as_json).collect();
        serde_json::to_writer_pretty(&mut *out, &all)?;
        writeln!(out)?;
    } else if found.is_empty() {
        writeln!(out, "no invocations were given up")?;
    } else {
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING)
            .set_header(["NUMBER", "FUNCTION", "GIVEN UP", "ATTEMPTS", "ERROR"]);
        for it in found {
            table.add_row([
                it.id.to_string(),
                printable(&it.function),
                it.failed_at.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
                it.attempts.to_string(),
                error(it),
            ]);
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        writeln!(out, "{}", table.trim_fmt())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(it: &FailedInvocation, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "invocation  {}", it.id)?;
    writeln!(out, "function    {}", printable(&it.function))?;
    writeln!(out, "request id  {}", printable(&it.request_id))?;
    writeln!(out, "queued      {:.3}", it.queued_at)?;
    writeln!(out, "given up    {:.3}, after {} attempts", it.failed_at, it.attempts)?;
    writeln!(out, "error       {}", error(it))?;
    writeln!(out, "\npayload")?;
    for line in it.payload.lines() {
        writeln!(out, "{}", printable(line))?;
    }
    let (number, function) = (it.id, &it.function);
    writeln!(
        out,
        "\nhint: once the cause is mended, invoke it again:\n  taskferry dead-letters invocations {number} --payload > payload.json\n  \
         aws lambda invoke --function-name {function} --invocation-type Event --payload fileb://payload.json /dev/stdout"
    )?;
    Ok(())
}

/// The error in one line: a panic's is a page, and the function's log has it.
fn error(it: &FailedInvocation) -> String {
    let message = it.error_message.split_whitespace().collect::<Vec<_>>().join(" ");
    printable(&format!("{}: {message}", it.error_type))
}

fn as_json(it: &FailedInvocation) -> Value {
    json!({
        "number": it.id,
        "function": it.function,
        "requestId": it.request_id,
        "queuedAt": it.queued_at,
        "givenUpAt": it.failed_at,
        "attempts": it.attempts,
        "errorType": it.error_type,
        "errorMessage": it.error_message,
        // Text, since it need not be JSON.
        "payload": it.payload,
    })
}
