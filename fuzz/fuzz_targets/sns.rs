//! What SNS invokes a function with, or carries. See `payloads/targets.rs` for what is checked.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| taskferry_fuzz::payloads::sns(input));
