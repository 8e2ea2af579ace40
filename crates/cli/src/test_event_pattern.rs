//! `taskferry test-event-pattern`: whether an event pattern matches an event, and why not.
//!
//! The same code as routing, `check` and the local EventBridge; no rules file, no network. Many cases at once are in
//! `cases`.

mod cases;

use std::{
    fs,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use anyhow::Context as _;
use serde_json::json;
use taskferry_core::rules::{Fault, Severity, Span};
use taskferry_event_pattern::{Error, EventPattern, Explanation, Leaf, Warning, explain};

use crate::{
    diagnostics::Source,
    output::{self, hinted, printable},
};

/// Values of one field that are shown; an array may have any number.
const FOUND_SHOWN_MAX: usize = 5;
/// Characters of one value that are shown.
const VALUE_SHOWN_MAX: usize = 200;

/// What `taskferry test-event-pattern` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The event pattern: a file, the JSON itself, or `-` for standard input
    #[arg(long, value_name = "FILE|JSON", required_unless_present = "cases", requires = "event")]
    event_pattern: Option<String>,
    /// The event: a file, the JSON itself, or `-` for standard input
    #[arg(
        long,
        value_name = "FILE|JSON",
        required_unless_present = "cases",
        requires = "event_pattern"
    )]
    event: Option<String>,
    /// Cases as JSON lines, `{"name","pattern","event"}` or `{"name","patterns","events"}` with JSON texts in strings;
    /// one verdict a line. `-` reads standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["event_pattern", "event", "json"])]
    cases: Option<std::path::PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Tests the pattern: exit 0 if it matches, 1 if not, 2 if pattern or event is none. With cases: 0 if each line was one.
pub(crate) fn run(
    arguments: &Arguments,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    if let Some(path) = &arguments.cases {
        return cases::run(path, out, err);
    }
    let (Some(pattern), Some(event)) = (&arguments.event_pattern, &arguments.event) else {
        unreachable!("clap asks for both where there are no cases");
    };
    if pattern == "-" && event == "-" {
        let hint = "write one of them to a file";
        return Err(hinted("standard input cannot be both the pattern and the event", hint));
    }
    let pattern = Text::read(pattern, "event pattern")?;
    let event = Text::read(event, "event")?;
    let answer = Answer::new(&pattern.text, &event.text);
    if arguments.json {
        serde_json::to_writer_pretty(&mut *out, &answer.to_json())?;
        writeln!(out)?;
    } else {
        answer.print(&pattern, &event, out, err)?;
    }
    Ok(ExitCode::from(match answer {
        Answer::Tested { explanation: Explanation { matches: true, .. }, .. } => 0,
        Answer::Tested { .. } => 1,
        Answer::Invalid(_) | Answer::EventError(_) => 2,
    }))
}

/// An argument's text, and what to call it.
struct Text {
    name: String,
    text: String,
}

impl Text {
    /// JSON begins with a bracket or a quote; all else is a file's name.
    fn read(argument: &str, what: &str) -> anyhow::Result<Self> {
        if argument == "-" {
            let text = io::read_to_string(io::stdin()).context("cannot read standard input")?;
            return Ok(Self { name: "standard input".to_owned(), text });
        }
        if argument.trim_start().starts_with(['{', '[', '"']) {
            return Ok(Self { name: what.to_owned(), text: argument.to_owned() });
        }
        let text = fs::read_to_string(Path::new(argument)).map_err(|error| {
            let hint = format!(
                "the {what} is a file, JSON that begins with `{{`, or `-` for standard input"
            );
            hinted(format!("cannot read {}: {error}", printable(argument)), hint)
        })?;
        Ok(Self { name: argument.to_owned(), text })
    }
}

/// What is to be said of a pattern and an event.
enum Answer {
    Tested { explanation: Explanation, warnings: Vec<Warning> },
    Invalid(Vec<Error>),
    EventError(String),
}

impl Answer {
    fn new(pattern: &str, event: &str) -> Self {
        match EventPattern::check(pattern) {
            Err(errors) => Self::Invalid(errors),
            Ok(pattern) => match explain(&pattern, event) {
                Err(error) => Self::EventError(error.to_string()),
                Ok(explanation) => Self::Tested { explanation, warnings: pattern.warnings() },
            },
        }
    }

    fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Tested { explanation, warnings } => {
                let fields: Vec<_> = explanation
                    .leaves
                    .iter()
                    .map(|leaf| {
                        json!({
                            "path": leaf.path,
                            "matches": leaf.matches,
                            "expected": leaf.expected,
                            "found": leaf.found,
                        })
                    })
                    .collect();
                let warnings: Vec<_> = warnings
                    .iter()
                    .map(|warning| {
                        json!({
                            "message": warning.to_string(),
                            "path": warning.path(),
                            "line": warning.line(),
                            "column": warning.column(),
                            "hint": warning.hint(),
                        })
                    })
                    .collect();
                json!({ "matches": explanation.matches, "fields": fields, "warnings": warnings })
            }
            Self::Invalid(errors) => {
                let faults: Vec<_> = errors
                    .iter()
                    .map(|error| {
                        json!({
                            "message": error.to_string(),
                            "path": error.path(),
                            "line": error.line(),
                            "column": error.column(),
                            "hint": error.hint(),
                        })
                    })
                    .collect();
                json!({ "invalid": reason(errors), "faults": faults })
            }
            Self::EventError(reason) => json!({ "eventError": reason }),
        }
    }

    fn print(
        &self,
        pattern: &Text,
        event: &Text,
        out: &mut dyn Write,
        err: &mut dyn Write,
    ) -> anyhow::Result<()> {
        let colour = output::wants_colour_on_stderr();
        let source = Source { path: &pattern.name, text: &pattern.text };
        match self {
            Self::Invalid(errors) => {
                let faults: Vec<_> = errors
                    .iter()
                    .map(|error| {
                        let (what, hint) = (error.to_string(), error.hint());
                        fault(Severity::Error, what, hint, error.offset(), &pattern.text)
                    })
                    .collect();
                write!(err, "{}", source.render(&faults, colour))?;
            }
            Self::EventError(reason) => {
                writeln!(err, "error: {}: {}", printable(&event.name), printable(reason))?;
            }
            Self::Tested { explanation, warnings } => {
                let faults: Vec<_> = warnings
                    .iter()
                    .map(|warning| {
                        let (what, hint) = (warning.to_string(), warning.hint());
                        fault(Severity::Warning, what, hint, warning.offset(), &pattern.text)
                    })
                    .collect();
                write!(err, "{}", source.render(&faults, colour))?;
                print_explanation(explanation, out)?;
            }
        }
        Ok(())
    }
}

/// Why a pattern is refused, in one line.
fn reason(errors: &[Error]) -> String {
    errors.iter().map(Error::to_string).collect::<Vec<_>>().join("; ")
}

fn fault(
    severity: Severity,
    message: String,
    hint: Option<&str>,
    offset: usize,
    text: &str,
) -> Fault {
    Fault {
        severity,
        path: String::new(),
        rule: None,
        span: Some(Span { start: offset, end: offset + token(&text[offset.min(text.len())..]) }),
        message,
        hint: hint.map(str::to_owned),
        related: Vec::new(),
    }
}

/// The length of the string, number or word that the text begins with, and of one character else.
fn token(text: &str) -> usize {
    let mut is_escaped = false;
    let ends_string = |c: char| {
        let ends = c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        ends
    };
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '-' | '+' | '.' | '_');
    match text.chars().next() {
        Some('"') => text[1..].find(ends_string).map_or(1, |end| end + 2),
        Some(c) if is_word(c) => text.find(|c| !is_word(c)).unwrap_or(text.len()),
        Some(c) => c.len_utf8(),
        None => 0,
    }
}

fn print_explanation(explanation: &Explanation, out: &mut dyn Write) -> io::Result<()> {
    if explanation.matches {
        return writeln!(out, "matches");
    }
    writeln!(out, "does not match")?;
    let mut failed = explanation.leaves.iter().filter(|leaf| !leaf.matches).peekable();
    if failed.peek().is_none() {
        let why = "each field is met, but not by one element of the arrays that hold them";
        return writeln!(out, "  {why}");
    }
    for Leaf { path, expected, found, .. } in failed {
        let shown = found.iter().take(FOUND_SHOWN_MAX).map(|value| {
            let mut shown: String = printable(value).chars().take(VALUE_SHOWN_MAX).collect();
            if shown.len() < value.len() {
                shown.push('…');
            }
            shown
        });
        let mut shown: Vec<_> = shown.collect();
        match found.len().checked_sub(FOUND_SHOWN_MAX) {
            _ if found.is_empty() => shown.push("nothing".to_owned()),
            None | Some(0) => {}
            Some(more) => shown.push(format!("{more} more")),
        }
        let (path, expected) = (printable(path), one_line(expected));
        writeln!(out, "  {path}: wants {expected}, found {}", shown.join(", "))?;
    }
    Ok(())
}

/// JSON text without its line breaks and what indents them; strings in it hold none.
fn one_line(json: &str) -> String {
    let lines: Vec<_> = json.lines().map(str::trim).collect();
    printable(&lines.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Standard output, standard error and the exit code.
    #[track_caller]
    fn check(arguments: &[&str], out: &str, err: &str, code: u8) {
        let (told, err_told, exit) = test(arguments);
        assert_eq!(told, out);
        assert_eq!(err_told, err);
        assert_eq!(exit, ExitCode::from(code));
    }

    fn test(arguments: &[&str]) -> (String, String, ExitCode) {
        let [pattern, event, rest @ ..] = arguments else { panic!("a pattern and an event") };
        let arguments = Arguments {
            event_pattern: Some((*pattern).to_owned()),
            event: Some((*event).to_owned()),
            cases: None,
            json: rest == ["--json"],
        };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = run(&arguments, &mut out, &mut err).unwrap();
        (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap(), code)
    }

    #[test]
    fn a_match_is_one_word() {
        check(&[r#"{"a":[1]}"#, r#"{"a":1.0}"#], "matches\n", "", 0);
    }

    #[test]
    fn fields_that_fail_are_shown_with_what_was_found() {
        check(
            &[
                "{\"source\":[\"s\"],\"detail\":{\"n\":[\n  {\"numeric\":[\">\",5]}\n],\"k\":[\"x\"]}}",
                r#"{"source":"s","detail":{"n":[1,2,3,4,5,1.0,2.0]}}"#,
            ],
            "does not match\n\
             \x20 detail.n: wants [ {\"numeric\":[\">\",5]} ], found 1, 2, 3, 4, 5, 2 more\n\
             \x20 detail.k: wants [\"x\"], found nothing\n",
            "",
            1,
        );
    }

    #[test]
    fn fields_that_fail_only_together_are_explained() {
        check(
            &[r#"{"r":{"a":[1],"b":[2]}}"#, r#"{"r":[{"a":1},{"b":2}]}"#],
            "does not match\n  each field is met, but not by one element of the arrays that hold them\n",
            "",
            1,
        );
    }

    #[test]
    fn a_refused_pattern_is_shown_with_each_fault() {
        check(
            &[r#"{"a":[{"prefx":"x"}],"b":["é",{"exists":"no"}]}"#, "{}"],
            "",
            "error: unknown operator `prefx` at a[0]
 --> event pattern:1:8
  |
1 | {\"a\":[{\"prefx\":\"x\"}],\"b\":[\"é\",{\"exists\":\"no\"}]}
  |        ^^^^^^^
hint: did you mean `prefix`?

error: `exists` takes true or false, found a string at b[1].exists
 --> event pattern:1:41
  |
1 | {\"a\":[{\"prefx\":\"x\"}],\"b\":[\"é\",{\"exists\":\"no\"}]}
  |                                         ^^^^
hint: true and false are not quoted

",
            2,
        );
    }

    #[test]
    fn a_refused_event_says_why() {
        let reason = "the event is not JSON: expected a JSON value, found `}` at line 1, column 6";
        check(&[r#"{"a":[1]}"#, r#"{"a":}"#], "", &format!("error: event: {reason}\n"), 2);
        let json = format!("{{\n  \"eventError\": \"{reason}\"\n}}\n");
        check(&[r#"{"a":[1]}"#, r#"{"a":}"#, "--json"], &json, "", 2);
    }

    #[test]
    fn what_cannot_be_meant_is_warned_of_and_tested_all_the_same() {
        let (out, err, code) = test(&[r#"{"a":["x*"]}"#, r#"{"a":"x*"}"#]);
        assert_eq!(out, "matches\n");
        assert!(
            err.starts_with("warning: `*` in a plain string stands for itself at a[0]\n"),
            "{err}"
        );
        assert_eq!(code, ExitCode::SUCCESS);
    }

    #[test]
    fn programs_get_all_of_it() {
        let (out, err, code) = test(&[r#"{"a":[1],"b":["*b"]}"#, r#"{"a":[2,1]}"#, "--json"]);
        assert_eq!(err, "");
        assert_eq!(code, ExitCode::from(1));
        let answer: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(
            answer,
            json!({
                "matches": false,
                "fields": [
                    { "path": "a", "matches": true, "expected": "[1]", "found": ["2", "1"] },
                    { "path": "b", "matches": false, "expected": "[\"*b\"]", "found": [] },
                ],
                "warnings": [{
                    "message": "`*` in a plain string stands for itself at b[0]",
                    "path": "b[0]", "line": 1, "column": 15,
                    "hint": "write {\"wildcard\": \"*b\"}; if `*` is meant, {\"exactly\": \"*b\"}",
                }],
            })
        );
        let (out, _, code) = test(&[r#"{"a":1,"b":[]}"#, "{}", "--json"]);
        assert_eq!(code, ExitCode::from(2));
        let answer: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(answer["faults"].as_array().unwrap().len(), 2);
        assert_eq!(answer["faults"][1]["column"], 12);
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let arguments = |event: &str| Arguments {
            event_pattern: Some("-".to_owned()),
            event: Some(event.to_owned()),
            cases: None,
            json: false,
        };
        let refused = |arguments| run(&arguments, &mut Vec::new(), &mut Vec::new()).unwrap_err();
        let both = refused(arguments("-")).to_string();
        assert_eq!(both, "standard input cannot be both the pattern and the event");
        let missing =
            Arguments { event_pattern: Some("no-such-file".to_owned()), ..arguments("{}") };
        assert!(refused(missing).to_string().starts_with("cannot read no-such-file: "));
    }
}
