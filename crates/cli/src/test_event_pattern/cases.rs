//! Many cases from a file of JSON lines: one verdict a line, in the order of the lines.
//!
//! Keeps one line at a time, of bounded length, so a file may be of any length. A line that is no case gets a verdict
//! that says so, lest the verdicts and the lines part company; the others are answered all the same.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Read as _, Write},
    path::Path,
    process::ExitCode,
};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use taskferry_event_pattern::{EventPattern, Matcher};

use super::reason;
use crate::output::hinted;

/// Longest line that is read. The longest event has a quarter of it, and escapes take room.
const LINE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Lines that are no case and told of on standard error; the verdicts tell of all.
const TOLD_MAX: u64 = 10;

#[derive(Deserialize)]
struct Case<'a> {
    #[serde(borrow, default)]
    name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pattern: Option<Json<'a>>,
    #[serde(borrow, default)]
    event: Option<Json<'a>>,
    #[serde(borrow, default)]
    patterns: Option<Vec<Json<'a>>>,
    #[serde(borrow, default)]
    events: Option<Vec<Json<'a>>>,
}

/// JSON text in a string. Borrowed where the string has no escapes.
#[derive(Deserialize)]
struct Json<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Serialize)]
struct Line<'a> {
    name: Option<&'a RawValue>,
    #[serde(flatten)]
    verdict: Verdict,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Verdict {
    Matches(bool),
    #[serde(rename = "matches")]
    MatchesEach(Vec<Vec<usize>>),
    Invalid(String),
    EventError(String),
    Malformed(String),
}

/// Answers each line: exit 0 if all were cases, 2 if some were not.
pub(super) fn run(
    path: &Path,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    if path == Path::new("-") {
        return answer(io::stdin().lock(), "standard input", out, err);
    }
    let name = path.display().to_string();
    let file = File::open(path).map_err(|error| {
        let hint = "cases are a file of JSON lines, or `-` for standard input";
        hinted(format!("cannot read {name}: {error}"), hint)
    })?;
    answer(file, &name, out, err)
}

fn answer(
    input: impl io::Read,
    name: &str,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let mut input = BufReader::new(input);
    let mut out = BufWriter::new(out);
    let mut text = Vec::new();
    let (mut number, mut malformed) = (0_u64, 0_u64);
    while next_line(&mut input, &mut text)? {
        number += 1;
        if text.trim_ascii().is_empty() {
            continue;
        }
        let (name_of_case, verdict) = answer_line(&text);
        if let Verdict::Malformed(reason) = &verdict {
            malformed += 1;
            if malformed <= TOLD_MAX {
                writeln!(err, "error: {name}:{number}: {reason}")?;
            }
        }
        serde_json::to_writer(&mut out, &Line { name: name_of_case, verdict })?;
        out.write_all(b"\n")?;
        // Whoever writes a line and waits for its verdict is not kept waiting.
        if input.buffer().is_empty() {
            out.flush()?;
        }
    }
    out.flush()?;
    if malformed == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    if malformed > TOLD_MAX {
        writeln!(err, "error: {name}: {malformed} lines are no cases")?;
    }
    let hint = "a case is one line: {\"name\": \"…\", \"pattern\": \"{…}\", \"event\": \"{…}\"}, \
                or with \"patterns\": [\"{…}\"] and \"events\": [\"{…}\"]";
    writeln!(err, "\nhint: {hint}")?;
    Ok(ExitCode::from(2))
}

/// Reads a line, or as much of it as shows that it is too long. Whether there was one.
fn next_line(input: &mut impl BufRead, text: &mut Vec<u8>) -> io::Result<bool> {
    text.clear();
    input.by_ref().take(LINE_BYTES_MAX + 1).read_until(b'\n', text)?;
    if is_too_long(text) {
        input.skip_until(b'\n')?;
    }
    Ok(!text.is_empty())
}

fn is_too_long(text: &[u8]) -> bool {
    u64::try_from(text.len()).is_ok_and(|length| length > LINE_BYTES_MAX) && !text.ends_with(b"\n")
}

fn answer_line(text: &[u8]) -> (Option<&RawValue>, Verdict) {
    if is_too_long(text) {
        let reason = format!("the line is longer than {LINE_BYTES_MAX} bytes");
        return (None, Verdict::Malformed(reason));
    }
    let case: Case<'_> = match serde_json::from_slice(text) {
        Ok(case) => case,
        Err(error) => return (None, Verdict::Malformed(malformed(&error))),
    };
    let verdict = match &case {
        Case { pattern: Some(pattern), event, patterns: None, events: None, .. } => {
            one(&pattern.0, event.as_ref().map(|event| event.0.as_ref()))
        }
        Case {
            patterns: Some(patterns), events: Some(events), pattern: None, event: None, ..
        } => each(patterns, events),
        _ => Verdict::Malformed(
            "a case has `pattern` and `event`, or `patterns` and `events`".to_owned(),
        ),
    };
    (case.name, verdict)
}

/// Why a line is no case. Its place in the line is all that its reader's own message adds.
fn malformed(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    let hint = if message.contains("expected a string") || message.contains("expected a borrowed") {
        "; patterns and events are JSON text in strings, so that their spelling is kept"
    } else {
        ""
    };
    let what = if error.is_data() { "not a case" } else { "not JSON" };
    format!("{what}: {message} at column {}{hint}", error.column())
}

fn one(pattern: &str, event: Option<&str>) -> Verdict {
    let pattern = match EventPattern::check(pattern) {
        Ok(pattern) => pattern,
        Err(errors) => return Verdict::Invalid(reason(&errors)),
    };
    let Some(event) = event else {
        return Verdict::Malformed("the case has no `event`".to_owned());
    };
    match Matcher::new([pattern]).matches(event) {
        Ok(matching) => Verdict::Matches(!matching.is_empty()),
        Err(error) => Verdict::EventError(error.to_string()),
    }
}

/// All patterns in one matcher, for each of the events.
fn each(patterns: &[Json<'_>], events: &[Json<'_>]) -> Verdict {
    let mut compiled = Vec::with_capacity(patterns.len());
    for (index, pattern) in patterns.iter().enumerate() {
        match EventPattern::check(&pattern.0) {
            Ok(pattern) => compiled.push(pattern),
            Err(errors) => {
                return Verdict::Invalid(format!("patterns[{index}]: {}", reason(&errors)));
            }
        }
    }
    let matcher = Matcher::new(compiled);
    let mut matching = Vec::with_capacity(events.len());
    for (index, event) in events.iter().enumerate() {
        match matcher.matches(&event.0) {
            Ok(numbers) => matching.push(numbers),
            Err(error) => return Verdict::EventError(format!("events[{index}]: {error}")),
        }
    }
    Verdict::MatchesEach(matching)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Standard output, standard error and the exit code of these lines.
    fn test(lines: &[u8]) -> (String, String, ExitCode) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = answer(lines, "FILE", &mut out, &mut err).unwrap();
        (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap(), code)
    }

    #[test]
    fn each_line_has_its_verdict_in_order() {
        let (out, err, code) = test(
            br#"{"name":"yes","pattern":"{\"a\":[1]}","event":"{\"a\":1}","matches":true}

{"name":"no","pattern":"{\"a\":[1]}","event":"{}"}
{"name":7,"pattern":"{\"a\":1,\"b\":[]}"}
{"pattern":"{\"a\":[1]}","event":"[]"}
{"name":"each","patterns":["{\"a\":[1]}","{\"a\":[2]}"],"events":["{\"a\":[1,2]}","{}","{\"a\":2}"]}
{"name":"bad pattern","patterns":["{\"a\":[1]}","{}"],"events":[]}
{"name":"bad event","patterns":[],"events":["{}","x"]}"#,
        );
        assert_eq!(
            out,
            r#"{"name":"yes","matches":true}
{"name":"no","matches":false}
{"name":7,"invalid":"expected an array of values or an object of fields, found a number at a; found an empty array, which no value can match at b"}
{"name":null,"eventError":"an event is an object, found an array"}
{"name":"each","matches":[[0,1],[],[1]]}
{"name":"bad pattern","invalid":"patterns[1]: found an empty object, which has no field to match"}
{"name":"bad event","eventError":"events[1]: the event is not JSON: expected a JSON value, found `x` at line 1, column 1"}
"#
        );
        assert_eq!(err, "");
        assert_eq!(code, ExitCode::SUCCESS);
    }

    #[test]
    fn a_line_that_is_no_case_says_so_and_stops_nothing() {
        let (out, err, code) = test(
            b"nonsense
{\"name\":\"x\",\"pattern\":{\"a\":[1]},\"event\":\"{}\"}
{\"name\":\"y\",\"pattern\":\"{\\\"a\\\":[1]}\"}
{\"name\":\"z\",\"patterns\":[]}
\xff
{\"name\":\"ok\",\"patterns\":[],\"events\":[]}
",
        );
        let verdicts: Vec<_> = out.lines().collect();
        assert_eq!(verdicts.len(), 6);
        assert_eq!(
            verdicts[0],
            r#"{"name":null,"malformed":"not JSON: expected ident at column 2"}"#
        );
        assert_eq!(
            verdicts[1],
            r#"{"name":null,"malformed":"not a case: invalid type: map, expected a string at column 22; patterns and events are JSON text in strings, so that their spelling is kept"}"#
        );
        assert_eq!(verdicts[2], r#"{"name":"y","malformed":"the case has no `event`"}"#);
        assert!(
            verdicts[3].starts_with(r#"{"name":"z","malformed":"a case has `pattern` and `event`"#)
        );
        assert_eq!(verdicts[5], r#"{"name":"ok","matches":[]}"#);
        assert!(err.starts_with("error: FILE:1: not JSON: expected ident at column 2\n"), "{err}");
        assert!(err.contains("\nerror: FILE:5: not JSON: "), "{err}");
        assert!(err.ends_with("\"events\": [\"{…}\"]\n"), "{err}");
        assert_eq!(code, ExitCode::from(2));
    }

    #[test]
    fn many_lines_that_are_no_cases_are_counted() {
        let (out, err, _) = test("x\n".repeat(100).as_bytes());
        assert_eq!(out.lines().count(), 100);
        assert!(err.contains("error: FILE: 100 lines are no cases\n"), "{err}");
        assert!(err.lines().count() < 20, "{err}");
    }

    #[test]
    fn a_line_without_an_end_is_not_kept() {
        let endless = io::repeat(b'x').take(LINE_BYTES_MAX * 2).chain(&b"\n{}\n"[..]);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        answer(endless, "FILE", &mut out, &mut err).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert_eq!(out.lines().count(), 2);
        assert!(out.contains("the line is longer than 67108864 bytes"), "{out}");
    }
}
