//! `taskferry check`: every fault of a rules file at once; and how the other
//! commands load one.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use serde_json::{Value, json};
use taskferry_core::rules::{
    self, Ack, Carried, Checked, Fault, Objects, On, Rule, Rules, Severity,
};

use crate::{
    diagnostics::{self, Source},
    event, output, schedules,
};

/// Checks a file: exit 0 if it can be used, 1 if it has errors. A file that cannot be read is an
/// error of the command.
pub(crate) fn run(
    path: &Path,
    json: bool,
    now: Timestamp,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let text = read(path)?;
    let name = event::name(path);
    let source = Source { path: &name, text: &text };
    let Checked { rules, faults } = rules::check_at(&text, now);
    if json {
        let faults: Vec<_> = faults.iter().map(|fault| as_json(&source, fault)).collect();
        serde_json::to_writer_pretty(&mut *out, &faults)?;
        writeln!(out)?;
    } else {
        write!(err, "{}", source.render(&faults, output::wants_colour_on_stderr()))?;
        match &rules {
            Some(rules) => summarise(&name, rules, &faults, now, out)?,
            None => writeln!(err, "{name}: {}", diagnostics::count(&faults))?,
        }
    }
    Ok(ExitCode::from(u8::from(rules.is_none())))
}

/// Loads a file for another command. `None` if it has errors, which are printed; a warning takes
/// one line.
pub(crate) fn load(path: &Path, err: &mut dyn Write) -> anyhow::Result<Option<Rules>> {
    let text = read(path)?;
    let name = event::name(path);
    let source = Source { path: &name, text: &text };
    let Checked { rules, faults } = rules::check_at(&text, Timestamp::now());
    if rules.is_some() {
        for fault in &faults {
            writeln!(err, "{}", source.line(fault))?;
        }
    } else {
        write!(err, "{}", source.render(&faults, output::wants_colour_on_stderr()))?;
        writeln!(err, "{name}: {}", diagnostics::count(&faults))?;
    }
    Ok(rules)
}

/// The text of a file, or of standard input for `-`, or as much of it as shows that it is too large.
fn read(path: &Path) -> anyhow::Result<String> {
    let cannot_read = || format!("cannot read {}", event::name(path));
    let file: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        let opened = File::open(path).map_err(|error| {
            let hint =
                "write one, or name it with --file; `taskferry demo` leaves one to begin with";
            output::hinted(format!("{}: {error}", cannot_read()), hint)
        });
        Box::new(opened?)
    };
    let mut bytes = Vec::new();
    let bytes_max = u64::try_from(rules::TEXT_BYTES_MAX).unwrap_or(u64::MAX);
    file.take(bytes_max + 1).read_to_end(&mut bytes).with_context(cannot_read)?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text),
        // Cut within a character, because the file is too large: the rest tells as much.
        Err(error) if error.as_bytes().len() > rules::TEXT_BYTES_MAX => {
            Ok(String::from_utf8_lossy(error.as_bytes()).into_owned())
        }
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let line = error.as_bytes()[..valid].split(|byte| *byte == b'\n').count();
            bail!("{}:{line}: the file is not UTF-8 text (byte {valid})", event::name(path))
        }
    }
}

fn as_json(source: &Source<'_>, fault: &Fault) -> Value {
    let start = fault.span.map(|span| source.place(span.start));
    let end = fault.span.map(|span| source.place(span.end));
    json!({
        "severity": fault.severity.to_string(),
        "path": fault.path,
        "rule": fault.rule,
        "line": start.map(|place| place.line),
        "column": start.map(|place| place.column),
        "endLine": end.map(|place| place.line),
        "endColumn": end.map(|place| place.column),
        "message": fault.message,
        "hint": fault.hint,
    })
}

/// What a good file holds, in a few lines.
fn summarise(
    name: &str,
    rules: &Rules,
    faults: &[Fault],
    now: Timestamp,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let count = rules.rules.len();
    let plural = if count == 1 { "" } else { "s" };
    let stack = &rules.name;
    let warned = faults.iter().any(|fault| fault.severity == Severity::Warning);
    let warnings = if warned { format!(", {}", diagnostics::count(faults)) } else { String::new() };
    writeln!(out, "{name}: {count} rule{plural} of {stack}{warnings}")?;
    let width = rules.rules.iter().map(|rule| rule.name.as_ref().len()).max().unwrap_or(0);
    for rule in &rules.rules {
        writeln!(
            out,
            "  {:width$}  {} -> {}",
            rule.name.as_ref(),
            source_of(rule),
            target_of(rule)
        )?;
        if let On::Schedule(on) = &rule.on {
            schedules::next_line(out, on, now, width)?;
        }
    }
    if !rules.task_definitions.is_empty() {
        let families: Vec<_> = rules.task_definitions.keys().map(String::as_str).collect();
        writeln!(out, "task definitions: {}", families.join(", "))?;
    }
    Ok(())
}

fn source_of(rule: &Rule) -> String {
    match &rule.on {
        On::S3 { objects, topic: None } => objects_of(objects),
        On::S3 { objects, topic: Some(topic) } => {
            format!("{} by topic {topic}", objects_of(objects))
        }
        On::EventPattern { bus, objects: None } => format!("events on bus {bus}"),
        On::EventPattern { bus, objects: Some(objects) } => {
            format!("{} by bus {bus}", objects_of(objects))
        }
        On::Schedule(on) => format!("{} {}", on.schedule.expression(), on.schedule.zone_name()),
        On::Sqs { queue, ack, carried, .. } => {
            let carried = match carried {
                Carried::Any => String::new(),
                Carried::Events => "events by ".to_owned(),
                Carried::Objects(objects) => format!("{} by ", objects_of(objects)),
            };
            let kept = match ack {
                Ack::Record => "",
                Ack::Completion => ", each message kept until its runs have ended",
            };
            format!("{carried}queue {queue}{kept}")
        }
    }
}

/// The objects of a rule, as one writes them; of which changes, where they are not the usual ones.
fn objects_of(objects: &Objects) -> String {
    let Objects { bucket, prefix, suffix, events } = objects;
    let prefix = prefix.as_deref().unwrap_or_default();
    let suffix = suffix.as_deref().unwrap_or_default();
    let events = match events.as_slice() {
        [only] if only == "s3:ObjectCreated:*" => String::new(),
        events => format!(" ({})", events.join(", ")),
    };
    format!("s3://{bucket}/{prefix}*{suffix}{events}")
}

fn target_of(rule: &Rule) -> String {
    let request = rule.target.as_json();
    let definition = request["taskDefinition"].as_str().unwrap_or_default();
    let clusters = rule.target.clusters();
    if clusters.is_empty() {
        return definition.to_owned();
    }
    format!("{definition} in {}", clusters.join(" or "))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::NamedTempFile;

    use super::*;

    /// When the tests check.
    const NOW: Timestamp = Timestamp::constant(1_795_000_000, 0);

    const GOOD: &str = "\
name: media
taskDefinitions:
  thumb: { containerDefinitions: [{ name: app, image: x }] }
rules:
  - name: thumbnails
    on: { s3: { bucket: uploads, prefix: in/, suffix: .jpg } }
    target: { taskDefinition: thumb, cluster: batch }
  - name: after
    on: { eventPattern: { source: [taskferry], detail: { rule: [thumbnails] } } }
    target: { taskDefinition: index }
";

    /// A file of its own for one test.
    struct Rulesfile(NamedTempFile);

    impl Rulesfile {
        fn new(bytes: &[u8]) -> Self {
            let file = NamedTempFile::new().unwrap();
            fs::write(file.path(), bytes).unwrap();
            Self(file)
        }

        fn check(&self, json: bool) -> (String, String, ExitCode) {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let code = run(self.0.path(), json, NOW, &mut out, &mut err).unwrap();
            let name = self.0.path().display().to_string();
            let text = |bytes| String::from_utf8(bytes).unwrap().replace(&name, "FILE");
            (text(out), text(err), code)
        }
    }

    #[test]
    fn a_good_file_is_summarised_on_stdout() {
        let (out, err, code) = Rulesfile::new(GOOD.as_bytes()).check(false);
        assert_eq!(err, "");
        assert_eq!(
            out,
            "FILE: 2 rules of media
  thumbnails  s3://uploads/in/*.jpg -> thumb in batch
  after       events on bus default -> index
task definitions: thumb
"
        );
        assert_eq!(code, ExitCode::SUCCESS);
    }

    #[test]
    fn each_source_says_what_comes_and_by_which_way() {
        let said = |on: &str| {
            let text = format!(
                "name: s\nrules:\n  - {{ name: r, on: {on}, target: {{ taskDefinition: t }} }}\n"
            );
            let rules = rules::check(&text).rules.unwrap();
            source_of(&rules.rules[0])
        };
        let objects = "s3: { bucket: uploads, prefix: in/ }";
        for (way, expected) in [
            ("", "s3://uploads/in/*"),
            (", sns: { topic: t }", "s3://uploads/in/* by topic t"),
            (", bus: default", "s3://uploads/in/* by bus default"),
            (", sqs: { queue: q }", "s3://uploads/in/* by queue q"),
            (
                ", sqs: { queue: q, ack: completion }",
                "s3://uploads/in/* by queue q, each message kept until its runs have ended",
            ),
        ] {
            assert_eq!(said(&format!("{{ {objects}{way} }}")), expected);
        }
        assert_eq!(said("{ sqs: { queue: q } }"), "queue q");
        let events = "{ eventPattern: { source: [shop] }, sqs: { queue: q } }";
        assert_eq!(said(events), "events by queue q");
        assert_eq!(
            said("{ s3: { bucket: up-*, events: ['s3:ObjectRemoved:*'] }, bus: default }"),
            "s3://up-*/* (s3:ObjectRemoved:*) by bus default"
        );
    }

    #[test]
    fn a_schedule_in_the_past_is_warned_of() {
        let text = "\
name: s
rules:
  - name: once
    on: { schedule: at(2020-01-01T00:00:00) }
    target: { taskDefinition: t }
  - name: ended
    on: { schedule: rate(1 day), end: 2020-01-01T00:00:00Z }
    target: { taskDefinition: t }
  - name: to-come
    on: { schedule: at(2199-01-01T00:00:00) }
    target: { taskDefinition: t }
";
        let (out, err, code) = Rulesfile::new(text.as_bytes()).check(false);
        assert_eq!(
            err,
            "warning: the schedule lies in the past, and fires no more
 --> FILE:4:21
  |
4 |     on: { schedule: at(2020-01-01T00:00:00) }
  |                     ^^^^^^^^^^^^^^^^^^^^^^^
hint: give it a time to come, or delete the rule

warning: the schedule lies in the past, and fires no more
 --> FILE:7:21
  |
7 |     on: { schedule: rate(1 day), end: 2020-01-01T00:00:00Z }
  |                     ^^^^^^^^^^^
hint: move `end`, or delete the rule

"
        );
        assert!(out.starts_with("FILE: 3 rules of s, 2 warnings\n"), "{out}");
        assert_eq!(code, ExitCode::SUCCESS);
    }

    #[test]
    fn a_broken_file_is_shown_on_stderr() {
        let text = GOOD.replace("cluster:", "clutser:");
        let (out, err, code) = Rulesfile::new(text.as_bytes()).check(false);
        assert_eq!(out, "");
        assert!(err.starts_with("error: unknown key `clutser`\n --> FILE:7:38\n"), "{err}");
        assert!(err.ends_with("hint: did you mean `cluster`?\n\nFILE: 1 error\n"), "{err}");
        assert_eq!(code, ExitCode::from(1));
    }

    #[test]
    fn faults_are_an_array_for_programs() {
        let text = GOOD.replace("cluster:", "clutser:");
        let (out, err, code) = Rulesfile::new(text.as_bytes()).check(true);
        assert_eq!(err, "");
        let faults: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(
            faults,
            json!([{
                "severity": "error", "path": "rules[0].target.clutser", "rule": "thumbnails",
                "line": 7, "column": 38, "endLine": 7, "endColumn": 45,
                "message": "unknown key `clutser`", "hint": "did you mean `cluster`?",
            }])
        );
        assert_eq!(code, ExitCode::from(1));
    }

    #[test]
    fn a_file_that_is_not_text_says_where() {
        let file = Rulesfile::new(b"name: a\nrules: \xff\n");
        let error = run(file.0.path(), false, NOW, &mut Vec::new(), &mut Vec::new()).unwrap_err();
        assert!(error.to_string().ends_with(":2: the file is not UTF-8 text (byte 15)"), "{error}");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("none.yaml");
        let error = load(&path, &mut Vec::new()).unwrap_err();
        let wanted = format!("cannot read {}: ", path.display());
        assert!(error.to_string().starts_with(&wanted), "{error}");
    }

    #[test]
    fn a_huge_file_is_refused_before_it_is_read_whole() {
        let bytes = "é".repeat(rules::TEXT_BYTES_MAX);
        let (_, err, code) = Rulesfile::new(bytes.as_bytes()).check(false);
        assert!(err.starts_with("error: the file is larger than"), "{}", &err[..200]);
        assert_eq!(code, ExitCode::from(1));
    }

    #[test]
    fn loading_prints_a_warning_in_one_line() {
        let text = format!("{GOOD}    dedupe: same\n");
        let file = Rulesfile::new(text.as_bytes());
        let mut err = Vec::new();
        assert!(load(file.0.path(), &mut err).unwrap().is_some());
        let err = String::from_utf8(err).unwrap();
        assert_eq!(err.lines().count(), 1, "{err}");
        assert!(err.starts_with("warning: "), "{err}");
    }
}
