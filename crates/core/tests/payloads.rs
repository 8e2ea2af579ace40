//! The committed inputs of the fuzz targets for payloads, and those of the golden test, without libFuzzer.

#![expect(clippy::disallowed_methods, reason = "the payloads are files")]
#![expect(clippy::unwrap_used, reason = "a test that panics has failed, and says where")]

#[expect(unreachable_pub, reason = "the fuzz targets reach them")]
#[path = "payloads/targets.rs"]
mod targets;

use std::{fs, path::Path};

#[test]
fn every_payload_keeps_what_the_fuzz_targets_check() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let seeds =
        ["s3", "sns", "sqs", "envelope"].map(|name| here.join("../../fuzz/seeds").join(name));
    let mut count = 0;
    for folder in seeds.into_iter().chain([here.join("tests/events")]) {
        for file in fs::read_dir(folder).unwrap() {
            let input = fs::read(file.unwrap().path()).unwrap();
            for target in [targets::s3, targets::sns, targets::sqs, targets::event] {
                target(&input);
            }
            count += 1;
        }
    }
    assert!(count > 40, "{count}");
}
