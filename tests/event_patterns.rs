//! `taskferry test-event-pattern` as a person or a script calls it: arguments, standard input, exit codes, and AWS's cases.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, and says where")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Output, Stdio},
    thread,
};

use serde_json::{Value, json};
use taskferry_tests::Project;

fn project() -> Project {
    Project::new("")
}

fn corpus(file: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    root.join("crates/event-pattern/tests/conformance").join(file)
}

/// Runs the command with this on its standard input.
fn with_stdin(project: &Project, arguments: &[&str], stdin: String) -> Output {
    let mut child = project
        .command(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let writer = thread::spawn(move || pipe.write_all(stdin.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    output
}

fn verdicts(output: &Output) -> Vec<Value> {
    let lines = std::str::from_utf8(&output.stdout).unwrap().lines();
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn exit_codes_tell_a_match_from_none_and_from_what_is_invalid() {
    let project = project();
    project.write("pattern.json", "{\n  \"source\": [\"shop\"]\n}\n");
    project.write("event.json", r#"{"source": "shop"}"#);
    let code = |pattern: &str, event: &str| {
        let arguments = ["test-event-pattern", "--event-pattern", pattern, "--event", event];
        project.taskferry(&arguments).status.code()
    };
    assert_eq!(code("pattern.json", "event.json"), Some(0));
    assert_eq!(code("pattern.json", r#"{"source": "bank"}"#), Some(1));
    assert_eq!(code(r#"{"source": "shop"}"#, "event.json"), Some(2));
    assert_eq!(code("pattern.json", "[]"), Some(2));
    assert_eq!(code("pattern.json", "none.json"), Some(2));
    let arguments = ["test-event-pattern", "--event-pattern", "pattern.json", "--event", "-"];
    let output = with_stdin(&project, &arguments, r#"{"source": "shop"}"#.to_owned());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "matches\n");
    let alone = project.taskferry(&["test-event-pattern", "--event", "event.json"]);
    assert_eq!(alone.status.code(), Some(2));
}

#[test]
fn refusals_in_the_reference_are_the_words_of_the_program() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let document = fs::read_to_string(root.join("docs/event-patterns.md")).unwrap();
    let project = project();
    let mut seen = 0;
    for part in document.split("```json\n").skip(1) {
        let Some((pattern, rest)) = part.split_once("\n```\n```text\n") else { continue };
        let Some((said, _)) = rest.split_once("\n```") else { continue };
        // The block may be another's, further down.
        if pattern.contains("```") {
            continue;
        }
        let arguments = ["test-event-pattern", "--event-pattern", pattern, "--event", "{}"];
        let output = project.taskferry(&arguments);
        assert_eq!(String::from_utf8(output.stderr).unwrap().trim(), said.trim());
        seen += 1;
    }
    assert!(seen > 0, "the reference has lost its refusals");
}

/// The verdict that a case of the corpus is to get, without its reason.
fn expected(case: &Value) -> Value {
    if case.get("invalid").is_some() || case.get("machine_error").is_some() {
        json!("invalid")
    } else if case.get("event_error").is_some() {
        json!("eventError")
    } else {
        case["matches"].clone()
    }
}

#[test]
fn the_cases_of_aws_are_answered_in_their_order() {
    // Those that are answered otherwise on purpose are named in the tests of `crates/event-pattern`.
    for (file, cases_expected, differ_expected) in
        [("event-patterns.jsonl", 572, 20), ("event-patterns-random.jsonl", 300, 0)]
    {
        let path = corpus(file);
        let output =
            project().taskferry(&["test-event-pattern", "--cases", path.to_str().unwrap()]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let verdicts = verdicts(&output);
        let lines = fs::read_to_string(&path).unwrap();
        let cases: Vec<Value> =
            lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((cases.len(), verdicts.len()), (cases_expected, cases_expected));
        let mut differ = 0;
        for (case, verdict) in cases.iter().zip(&verdicts) {
            assert_eq!(case["name"], verdict["name"]);
            let answered = match verdict.as_object().unwrap().iter().find(|(key, _)| *key != "name")
            {
                Some((key, value)) if key == "matches" => value.clone(),
                Some((key, reason)) => {
                    assert!(reason.as_str().is_some_and(|reason| !reason.is_empty()));
                    json!(key)
                }
                None => panic!("{verdict} has no verdict"),
            };
            if answered != expected(case) {
                assert!(case["name"].as_str().unwrap().starts_with("quirk/"), "{case}: {answered}");
                differ += 1;
            }
        }
        assert_eq!(differ, differ_expected, "{file}");
    }
}

#[test]
fn all_patterns_of_the_corpus_in_one_matcher_answer_as_each_alone() {
    let lines = fs::read_to_string(corpus("event-patterns-random.jsonl")).unwrap();
    let cases: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let column = |key: &str| cases.iter().map(|case| case[key].clone()).collect::<Vec<_>>();
    let together =
        json!({ "name": "all", "patterns": column("pattern"), "events": column("event") });
    let arguments = ["test-event-pattern", "--cases", "-"];
    let output = with_stdin(&project(), &arguments, together.to_string());
    let verdict = verdicts(&output).remove(0);
    let matching = verdict["matches"].as_array().unwrap();
    assert_eq!(matching.len(), cases.len());
    for (index, (case, matching)) in cases.iter().zip(matching).enumerate() {
        let is_matching = matching.as_array().unwrap().contains(&json!(index));
        assert_eq!(json!(is_matching), case["matches"], "{case}");
    }
}

#[test]
fn a_verdict_does_not_wait_for_the_next_line() {
    let mut child = project()
        .command(&["test-event-pattern", "--cases", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut verdicts = BufReader::new(stdout).lines();
    for event in [1, 2] {
        let event = json!({ "a": event }).to_string();
        let case = json!({ "name": "one", "pattern": r#"{"a":[1]}"#, "event": event });
        writeln!(stdin, "{case}").unwrap();
        let verdict = verdicts.next().unwrap().unwrap();
        let matches = event == r#"{"a":1}"#;
        assert_eq!(verdict, format!(r#"{{"name":"one","matches":{matches}}}"#));
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[test]
fn lines_that_are_no_cases_are_told_and_the_rest_is_answered() {
    let lines = "{}\n{\"name\":\"a\",\"patterns\":[],\"events\":[]}\n";
    let arguments = ["test-event-pattern", "--cases", "-"];
    let output = with_stdin(&project(), &arguments, lines.to_owned());
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        verdicts(&output),
        [
            json!({ "name": null, "malformed": "a case has `pattern` and `event`, or `patterns` and `events`" }),
            json!({ "name": "a", "matches": [] }),
        ]
    );
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.starts_with("error: standard input:1: a case has `pattern`"), "{told}");
    assert!(told.contains("\nhint: a case is one line: "), "{told}");
}
