//! The rules file as a user sees it: good files, broken files with their faults
//! as snapshots, and files that are meant to do harm.

use std::{fmt::Write as _, fs, path::Path};

use serde_json::json;
use taskferry_core::rules::{self, Checked, Fault, On, Rules, Severity};

const DESIGN: &str = include_str!("rules/design.yaml");

/// The faults as lines, with the text that each points at.
fn rendered(text: &str, faults: &[Fault]) -> String {
    let mut out = String::new();
    for fault in faults {
        let Fault { severity, path, rule, span, message, hint, related } = fault;
        let place = |span: &rules::Span| {
            let line = text[..span.start].matches('\n').count() + 1;
            let column = text[..span.start].chars().rev().take_while(|c| *c != '\n').count() + 1;
            let pointed: String =
                text[span.start..span.end].lines().next().unwrap_or("").chars().take(50).collect();
            format!("{line}:{column} `{pointed}`")
        };
        let span = span.as_ref().map(place).unwrap_or_default();
        writeln!(out, "{severity}: {message}").unwrap();
        writeln!(
            out,
            "  at {span} {path}{}",
            rule.as_ref().map_or(String::new(), |r| format!(" ({r})"))
        )
        .unwrap();
        if let Some(hint) = hint {
            writeln!(out, "  hint: {hint}").unwrap();
        }
        for (span, label) in related {
            writeln!(out, "  {label}: {}", place(span)).unwrap();
        }
    }
    out
}

fn errors(checked: &Checked) -> Vec<&Fault> {
    checked.faults.iter().filter(|fault| fault.severity == Severity::Error).collect()
}

fn good(text: &str) -> Rules {
    let checked = rules::check(text);
    let faults = rendered(text, &checked.faults);
    checked.rules.unwrap_or_else(|| panic!("{faults}"))
}

#[test]
fn the_example_of_the_design_is_good() {
    let rules = good(DESIGN);
    assert_eq!(rules.name, "media");
    assert_eq!(rules.rules.len(), 4);
    assert_eq!(rules.task_definitions["thumbnailer"]["family"], "thumbnailer");
    assert!(matches!(&rules.rules[0].on, On::S3 { bucket, .. } if bucket == "uploads"));
    insta::assert_snapshot!("design", rendered(DESIGN, &rules::check(DESIGN).faults));
}

#[test]
fn defaults_are_under_every_rule() {
    let rules = good(DESIGN);
    let event = json!({
        "id": "1",
        "detail": { "bucket": { "name": "uploads" }, "object": { "key": "incoming/a b.jpg" } },
    });
    insta::assert_json_snapshot!("thumbnails", rules.rules[0].target.render(&event).unwrap());
    let encode = rules.rules[2].target.render(&event).unwrap();
    assert_eq!(encode["cluster"], "batch");
    assert!(encode.get("launchType").is_none(), "the rule says a strategy instead");
}

#[test]
fn what_is_deployed_compiles_to_the_same_rules() {
    let rules = good(DESIGN);
    let deployed = rules.to_json();
    let again = Rules::from_json(&deployed).unwrap();
    assert_eq!(again.to_json(), deployed);
    assert_eq!(format!("{again:?}"), format!("{rules:?}"));
}

#[test]
fn broken_files_report_every_fault() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules/broken");
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&file).unwrap();
        let checked = rules::check(&text);
        assert!(checked.rules.is_none(), "{name} has no error");
        assert!(!errors(&checked).is_empty(), "{name}");
        insta::assert_snapshot!(format!("broken-{name}"), rendered(&text, &checked.faults));
    }
}
