//! The rules file as a user sees it: good files, broken files with their faults
//! as snapshots, and files that are meant to do harm.

#![expect(
    clippy::disallowed_methods,
    clippy::format_collect,
    clippy::unwrap_used,
    reason = "a test reads its files, watches the clock, and may fail"
)]

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
    assert!(matches!(&rules.rules[0].on, On::S3 { objects, .. } if objects.bucket == "uploads"));
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

/// Checks `text` and wants at least one error.
#[track_caller]
fn refused(text: &str) -> String {
    let checked = rules::check(text);
    assert!(checked.rules.is_none());
    errors(&checked)[0].message.clone()
}

#[test]
fn a_bomb_of_aliases_does_not_go_off() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..30 {
        let alias = format!("*a{}", level - 1);
        writeln!(text, "a{level}: &a{level} [{}]", [alias.as_str(); 10].join(", ")).unwrap();
    }
    assert_eq!(refused(&text), "aliases and values make more than the file may hold");
}

#[test]
fn a_bomb_of_merge_keys_does_not_go_off() {
    let mut text = "a0: &a0 { a: 1, b: 2, c: 3 }\n".to_owned();
    for level in 1..40 {
        let from = level - 1;
        writeln!(text, "a{level}: &a{level} {{ k{level}: *a{from}, <<: [*a{from}, *a{from}] }}")
            .unwrap();
    }
    refused(&text);
}

#[test]
fn deep_nesting_is_refused() {
    refused(&"[".repeat(100_000));
    refused(&"{a: ".repeat(100_000));
    refused(&"- ".repeat(100_000));
    let indented: String = (0..1_000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    refused(&indented);
    let by_alias: String = "a0: &a0 [x]\n".to_owned()
        + &(1..200).map(|n| format!("a{n}: &a{n} [*a{}]\n", n - 1)).collect::<String>();
    assert_eq!(refused(&by_alias), "values are nested too deep");
}

#[test]
fn a_value_within_itself_is_refused() {
    refused("name: &a [*a]\nrules: []\n");
}

/// What took the square of their sizes would not come to an end here.
#[test]
fn large_files_are_checked_or_refused() {
    refused(&"a".repeat(2 << 20));
    refused(&"a,".repeat(500_000));
    refused(&format!("[{}]", "a,".repeat(300_000)));
    let many: String = (0..3_000).map(|n| format!("key{n}: {n}\n")).collect();
    refused(&many);
    let same = "name: a\n".repeat(5_000);
    refused(&same);
    let rules: String = (0..1_000)
        .map(|n| {
            format!("  - {{ name: r{n}, on: {{ s3: {{ bukket: b }} }}, target: {{ x: 1 }} }}\n")
        })
        .collect();
    refused(&format!("name: a\nrules:\n{rules}"));
}

#[test]
fn anchors_aliases_and_merge_keys_work() {
    let text = "\
name: a
rules:
  - &first
    name: one
    on: { s3: { bucket: uploads } }
    target: &target { taskDefinition: x, cluster: c }
  - <<: *first
    name: two
  - name: three
    on: { s3: { bucket: uploads } }
    target: { <<: *target, cluster: d }
";
    let rules = good(text);
    let request = |index: usize| rules.rules[index].target.as_json().clone();
    assert_eq!(request(1), json!({ "taskDefinition": "x", "cluster": "c" }));
    assert_eq!(request(2), json!({ "taskDefinition": "x", "cluster": "d" }));
}

#[test]
fn a_fault_in_defaults_is_reported_once_and_there() {
    let text = "\
name: a
defaults: { target: { count: 2, cluster: '{{ detail.x }}' } }
rules:
  - { name: one, on: { s3: { bucket: uploads } }, target: { taskDefinition: x } }
  - { name: two, on: { s3: { bucket: uploads } }, target: { taskDefinition: x } }
";
    let checked = rules::check(text);
    let places: Vec<_> = errors(&checked).iter().map(|fault| fault.path.as_str()).collect();
    assert_eq!(places, ["defaults.target.count", "defaults.target.cluster"]);
}

#[test]
fn json_is_yaml_too() {
    let text = r#"{"name":"a","rules":[{"name":"b","on":{"s3":{"bucket":"uploads"}},"target":{"taskDefinition":"x","group":"é\n\"{{ id }}\""}}]}"#;
    let request = good(text).rules[0].target.render(&json!({ "id": "1" })).unwrap();
    assert_eq!(request["group"], "é\n\"1\"");
}

#[test]
fn numbers_in_event_patterns_keep_their_digits() {
    let text = "\
name: a
rules:
  - name: b
    on: { eventPattern: { detail: { price: [1.10, 0.5, -7, 1e3] } } }
    target: { taskDefinition: x }
";
    let pattern = &good(text).rules[0].event_pattern;
    assert_eq!(pattern.as_str(), r#"{"detail":{"price":[1.10,0.5,-7,1e3]}}"#);
}

mod mutated {
    use proptest::prelude::*;
    use taskferry_core::rules::{self, Rules, Severity};

    /// Pieces that mean something to YAML, Jinja or the rules.
    const PIECES: &[&str] = &[
        "{",
        "}",
        "[",
        "]",
        ":",
        "- ",
        "\n",
        "  ",
        "\"",
        "'",
        "&a ",
        "*a",
        "<<: ",
        "!x ",
        "|",
        ">",
        "{{",
        "}}",
        "{% if %}",
        "#",
        "null",
        "1",
        "é",
        "\u{0}",
        "\u{feff}",
        "\t",
        "name: ",
        "on: ",
        "target: ",
        "---\n",
        "...\n",
        "? ",
        ", ",
        "%YAML 1.2\n",
        "0x",
        "1e999",
        "$or: ",
    ];

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn files_are_checked_without_panic(
            edits in prop::collection::vec(
                (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0_usize..12),
                1..6,
            ),
        ) {
            let mut text = super::DESIGN.to_owned();
            for (at, piece, cut) in edits {
                let at = text.floor_char_boundary(at.index(text.len() + 1));
                let end = text.floor_char_boundary((at + cut).min(text.len()));
                text.replace_range(at..end, PIECES[piece.index(PIECES.len())]);
            }
            let checked = rules::check(&text);
            let refused = checked.faults.iter().any(|fault| fault.severity == Severity::Error);
            prop_assert_eq!(refused, checked.rules.is_none());
            for fault in &checked.faults {
                let span = fault.span.expect("what a person wrote has a place");
                prop_assert!(text.get(span.start..span.end).is_some(), "{:?} in {:?}", span, text);
            }
            if let Some(rules) = checked.rules {
                prop_assert!(Rules::from_json(&rules.to_json()).is_ok());
            }
        }

        #[test]
        fn any_text_is_checked_without_panic(text in any::<String>()) {
            prop_assert!(rules::check(&text).rules.is_none());
        }
    }
}

#[test]
fn a_local_command_that_a_rule_replaces_is_warned_of() {
    let text = |local: &str, over: &str| {
        format!(
            "name: a\nrules:\n- name: r\n  on: {{ s3: {{ bucket: uploads }} }}\n  target: {{ taskDefinition: 'thumb:7', \
             overrides: {{ containerOverrides: [{{ name: app, {over} }}] }} }}\nlocal: {{ containers: {{ thumb/app: \
             {local} }} }}\n"
        )
    };
    let faults = |local: &str, over: &str| {
        let faults = rules::check(&text(local, over)).faults;
        faults.into_iter().map(|fault| fault.message).collect::<Vec<_>>()
    };
    let warned = ["a rule's `command` replaces this one, program and all"];
    assert_eq!(faults("{ command: [python3, thumb.py] }", "command: [x]"), warned);
    assert_eq!(faults("{ entryPoint: [python3, thumb.py] }", "command: [x]"), [""; 0]);
    assert_eq!(faults("{ command: [python3, thumb.py] }", "memory: 64"), [""; 0]);
}

#[test]
fn retention_is_a_day_at_least_and_thirty_days_unless_said() {
    let file = |said: &str| {
        format!(
            "name: a\n{said}rules: [{{ name: r, on: {{ s3: {{ bucket: uploads }} }}, target: {{ taskDefinition: t }} }}]\n"
        )
    };
    let hours = |said: &str| good(&file(said)).retention.as_hours();
    assert_eq!(hours(""), 30 * 24);
    assert_eq!(hours("retention: 90 days\n"), 90 * 24);
    for (said, expected) in [
        (
            "retention: 1h\n",
            "error: `1h` is too short: a run is kept for a day at least, since its event may be delivered again until then\n  at 2:12 `1h` retention\n  hint: write one day to 366 days: `30 days`, `90d`\n",
        ),
        ("retention: soon\n", "error: `soon` is not a duration\n"),
        ("retention: 400d\n", "error: `400d` is out of range"),
    ] {
        let text = file(said);
        let faults = rendered(&text, &rules::check(&text).faults);
        assert!(faults.starts_with(expected), "{faults}");
    }
}

#[test]
fn the_name_of_a_limit_is_no_longer_than_a_store_takes() {
    let text = format!(
        "name: a\nlimits: {{ {}: {{ limit: 1 }} }}\nrules: [{{ name: r, on: {{ s3: {{ bucket: uploads }} }}, target: {{ taskDefinition: t }} }}]\n",
        "g".repeat(65)
    );
    let faults = rendered(&text, &rules::check(&text).faults);
    assert!(faults.starts_with("error: the name of a limit has 65 characters\n"), "{faults}");
}

#[test]
fn the_container_of_a_payload_must_be_one_of_the_definition() {
    let text = "name: s
taskDefinitions:
  report:
    containerDefinitions: [ { name: app, image: i, memory: 64 } ]
rules:
  - name: r
    on: { s3: { bucket: uploads } }
    target: { taskDefinition: report }
    payload: { container: ap }
";
    let checked = rules::check(text);
    let faults = errors(&checked);
    assert_eq!(faults[0].message, "`report` has no container called `ap`");
    assert!(faults[0].hint.as_deref().is_some_and(|hint| hint.contains("`app`")), "{faults:?}");
    let span = faults[0].span.unwrap();
    assert_eq!(&text[span.start..span.end], "ap");
    assert!(rules::check(&text.replace("container: ap ", "container: app ")).rules.is_some());
}
