//! The committed inputs of the fuzz targets, those of the golden tests, and the examples, without libFuzzer.

#![expect(clippy::disallowed_methods, reason = "the inputs are files")]
#![expect(clippy::unwrap_used, reason = "a test that panics has failed, and says where")]

#[expect(unreachable_pub, reason = "the fuzz targets reach them")]
#[path = "inputs/targets.rs"]
mod targets;

use std::{
    fs,
    path::{Path, PathBuf},
};

const PAYLOADS: [fn(&[u8]); 5] =
    [targets::s3, targets::sns, targets::sqs, targets::event, targets::schedule];

/// The files of these folders, from this crate's on; there are at least so many.
fn files(folders: &[&str], at_least: usize) -> Vec<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = folders.iter().flat_map(|folder| fs::read_dir(here.join(folder)).unwrap());
    let files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    assert!(files.len() >= at_least, "{folders:?} have {}", files.len());
    files
}

fn check(targets: &[fn(&[u8])], files: &[PathBuf]) {
    for file in files {
        let input = fs::read(file).unwrap();
        for target in targets {
            target(&input);
        }
    }
}

#[test]
fn every_payload_keeps_what_the_fuzz_targets_check() {
    let seeds = ["s3", "sns", "sqs", "envelope", "schedule"];
    let seeds = seeds.map(|target| format!("../../fuzz/seeds/{target}"));
    let folders: Vec<&str> = seeds.iter().map(String::as_str).chain(["tests/events"]).collect();
    check(&PAYLOADS, &files(&folders, 50));
}

#[test]
fn every_state_change_keeps_what_the_fuzz_target_checks() {
    check(&[targets::task], &files(&["../../fuzz/seeds/task"], 5));
}

#[test]
fn every_schedule_keeps_what_the_fuzz_target_checks() {
    check(&[targets::expression], &files(&["../../fuzz/seeds/expression"], 10));
}

#[test]
fn every_rules_file_keeps_what_the_fuzz_target_checks() {
    let mut rules = files(&["../../fuzz/seeds/rules", "tests/rules", "tests/rules/broken"], 10);
    rules.retain(|file| file.is_file());
    check(&[targets::rules], &rules);
}
