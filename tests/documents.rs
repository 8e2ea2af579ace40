//! What the documents say is so: their rules files pass, their refusals are the program's words, their commands exist.
//!
//! Reads README.md, docs/*.md and the README of each example. A block of YAML is a whole rules file if it begins with `name:`,
//! rules if with `- name:`, a source if with `on:`. A block of text right after one is what `taskferry check` says of it.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, and says where")]

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use taskferry_core::rules::{self, Severity};
use taskferry_tests::{Project, taskferry};

/// What each document has at least: rules files, refusals, command lines. One without them has lost what it is for.
const EXPECTED: &[(&str, [usize; 3])] = &[
    ("README.md", [1, 0, 4]),
    ("docs/dead-letters.md", [0, 0, 9]),
    ("docs/event-sources.md", [0, 0, 1]),
    ("docs/event-patterns.md", [0, 0, 4]),
    ("docs/local.md", [0, 0, 5]),
    ("docs/retries-and-limits.md", [9, 0, 2]),
    ("docs/rules.md", [30, 8, 3]),
    ("docs/run-lifecycle.md", [1, 0, 0]),
    ("docs/schedules.md", [1, 0, 4]),
    ("examples/nightly-report/README.md", [0, 0, 2]),
    ("examples/queue-workers/README.md", [0, 0, 3]),
    ("examples/s3-batch/README.md", [0, 0, 3]),
];

struct Block {
    line: usize,
    language: String,
    text: String,
}

struct Document {
    name: String,
    text: String,
    blocks: Vec<Block>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The files in a folder, in the order of their names.
fn files(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn documents() -> Vec<Document> {
    let is_markdown = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "md");
    let mut paths = vec![root().join("README.md")];
    paths.extend(files("docs").into_iter().filter(is_markdown));
    let examples = files("examples").into_iter().map(|example| example.join("README.md"));
    paths.extend(examples.filter(|path| path.exists()));
    paths.iter().map(|path| document(path)).collect()
}

fn document(path: &Path) -> Document {
    let text = fs::read_to_string(path).unwrap();
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (index, line) in text.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => {
                open = Some(Block {
                    line: index + 1,
                    language: language.to_owned(),
                    text: String::new(),
                });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{}: a block is not closed", path.display());
    let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
    Document { name, text, blocks }
}

/// The whole rules file that a block is, or is a part of; `None` for other YAML.
fn rules_file(block: &Block) -> Option<String> {
    if !["yaml", "yml"].contains(&block.language.as_str()) {
        return None;
    }
    let mut lines = block.text.lines().filter(|line| !line.starts_with('#'));
    let first = lines.find(|line| !line.trim().is_empty())?;
    if first.starts_with("name:") {
        Some(block.text.clone())
    } else if first.starts_with("- name:") {
        Some(format!("name: document\nrules:\n{}", block.text))
    } else if first.starts_with("on:") {
        let mut text =
            "name: document\nrules:\n- name: rule\n  target: { taskDefinition: family }\n"
                .to_owned();
        for line in block.text.lines() {
            writeln!(text, "  {line}").unwrap();
        }
        Some(text)
    } else {
        None
    }
}

/// Each rules file of a document, with its line, and what the document says that `taskferry check` says of it.
fn rules_files(document: &Document) -> Vec<(usize, String, Option<&str>)> {
    let blocks = &document.blocks;
    let with_next = blocks.iter().zip(blocks.iter().skip(1).map(Some).chain([None]));
    let said = |next: Option<&'_ Block>| {
        let next = next.filter(|next| next.language == "text");
        next.is_some_and(|next| ["error:", "warning:"].iter().any(|s| next.text.starts_with(s)))
    };
    with_next
        .filter_map(|(block, next)| {
            let said = next.filter(|_| said(next)).map(|next| next.text.as_str());
            Some((block.line, rules_file(block)?, said))
        })
        .collect()
}

#[test]
fn no_document_has_lost_its_examples() {
    let documents = documents();
    for (name, [files, refusals, commands_least]) in EXPECTED {
        let document = documents.iter().find(|document| document.name == *name);
        let document = document.unwrap_or_else(|| panic!("{name} is not there"));
        let rules_files = rules_files(document);
        assert!(rules_files.len() >= *files, "{name}: {} rules files", rules_files.len());
        let refused = rules_files.iter().filter(|(_, _, said)| said.is_some()).count();
        assert!(refused >= *refusals, "{name}: {refused} refusals");
        let commands = commands(document).len();
        assert!(commands >= *commands_least, "{name}: {commands} commands");
    }
}

#[test]
fn rules_files_of_the_documents_are_good() {
    for document in documents() {
        for (line, text, said) in rules_files(&document) {
            let faults = rules::check(&text).faults;
            let errors: Vec<_> =
                faults.iter().filter(|fault| fault.severity == Severity::Error).collect();
            let is_good = said.is_some() || errors.is_empty();
            assert!(is_good, "{}:{line}: {errors:#?}", document.name);
        }
    }
}

#[test]
fn refusals_in_the_documents_are_the_words_of_the_program() {
    for document in documents() {
        for (line, text, said) in rules_files(&document) {
            let Some(said) = said else { continue };
            let output = Project::new(&text).taskferry(&["check"]);
            let words = String::from_utf8(output.stderr).unwrap();
            assert_eq!(words.trim(), said.trim(), "{}:{line}", document.name);
        }
    }
}

#[test]
fn rules_files_of_the_examples_are_good() {
    let files = files("examples").into_iter().map(|example| example.join("taskferry.yaml"));
    let files: Vec<_> = files.collect();
    assert!(!files.is_empty());
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let faults = rules::check(&text).faults;
        assert!(faults.is_empty(), "{}: {faults:#?}", file.display());
    }
}

/// Each `taskferry` command line of a document, without the program: in blocks for a shell, and in the text.
fn commands(document: &Document) -> Vec<String> {
    let mut commands = Vec::new();
    for block in &document.blocks {
        if ["sh", "console", "bash"].contains(&block.language.as_str()) {
            commands.extend(block.text.replace("\\\n", " ").lines().filter_map(command));
        }
    }
    // What stands between backticks, outside of blocks.
    let prose: String = document.text.split("\n```").step_by(2).collect();
    commands.extend(prose.split('`').skip(1).step_by(2).filter_map(command));
    commands
}

/// The arguments of a command line that calls `taskferry`.
fn command(line: &str) -> Option<String> {
    let line = line.trim().trim_start_matches("$ ");
    let called = ["taskferry ", "cargo run --release -- ", "cargo run -- "];
    let rest = called.iter().find_map(|called| line.strip_prefix(called))?;
    let ends = [" #", " |", " >", " &", ";"];
    let end = ends.iter().filter_map(|end| rest.find(end)).min().unwrap_or(rest.len());
    Some(rest[..end].trim().to_owned())
}

/// What `taskferry COMMANDS --help` prints, if there are such commands.
fn help(commands: &[&str]) -> Option<String> {
    let output = Command::new(taskferry()).args(commands).arg("--help").output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

/// Whether a help text names this flag as one of its own.
fn has_flag(help: &str, flag: &str) -> bool {
    let options = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    options.flat_map(|line| line.split([' ', ','])).any(|word| word == flag)
}

/// What is wrong with a command line, if anything is.
fn fault(arguments: &str, helps: &mut BTreeMap<String, Option<String>>) -> Option<String> {
    let words: Vec<&str> = arguments.split_whitespace().collect();
    let mut path: Vec<&str> = Vec::new();
    let mut known = help(&[])?;
    for word in words.iter().take_while(|word| !word.starts_with('-')) {
        if !known.contains("\nCommands:\n") {
            break;
        }
        path.push(word);
        let key = path.join(" ");
        let found = helps.entry(key.clone()).or_insert_with(|| help(&path));
        let Some(found) = found else { return Some(format!("there is no command `{key}`")) };
        known.clone_from(found);
    }
    // What an example's program takes is its own.
    if path.first() == Some(&"example") {
        return None;
    }
    let flags = words.iter().filter(|word| word.starts_with('-') && **word != "-");
    let mut names = flags.map(|flag| flag.split('=').next().unwrap_or(flag));
    let unknown = names.find(|flag| !has_flag(&known, flag))?;
    Some(format!("`{}` has no flag {unknown}", path.join(" ")))
}

#[test]
fn commands_in_the_documents_exist() {
    let mut helps = BTreeMap::new();
    for document in documents() {
        for command in commands(&document) {
            let fault = fault(&command, &mut helps);
            assert_eq!(fault, None, "{}: taskferry {command}", document.name);
        }
    }
    // That this would be seen.
    let mut fault = |arguments| fault(arguments, &mut helps);
    assert_eq!(fault("runs lst").as_deref(), Some("there is no command `runs lst`"));
    assert_eq!(fault("dev --prt 0").as_deref(), Some("`dev` has no flag --prt"));
    assert_eq!(fault("runs list --json --state x"), None);
}

#[test]
fn links_in_the_documents_lead_somewhere() {
    for document in documents() {
        let folder = root().join(&document.name).parent().unwrap().to_owned();
        for link in document.text.split("](").skip(1) {
            let link = link.split(')').next().unwrap_or_default();
            if link.starts_with("http") || link.is_empty() {
                continue;
            }
            let (path, section) = link.split_once('#').unwrap_or((link, ""));
            let target =
                if path.is_empty() { root().join(&document.name) } else { folder.join(path) };
            assert!(target.exists(), "{}: {link} leads nowhere", document.name);
            let text = if section.is_empty() {
                continue;
            } else {
                fs::read_to_string(&target).unwrap()
            };
            let headings = text.lines().filter(|line| line.starts_with('#'));
            let found = headings.map(anchor).any(|anchor| anchor == section);
            assert!(found, "{}: {link} has no such section", document.name);
        }
    }
}

/// The anchor of a heading: lower case, blanks as hyphens, and no punctuation.
fn anchor(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
    heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
}
