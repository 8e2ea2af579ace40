//! A notification of S3. See `payloads/targets.rs` for what is checked.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| taskferry_fuzz::payloads::s3(input));
