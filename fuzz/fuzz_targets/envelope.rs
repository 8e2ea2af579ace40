//! An event in EventBridge's envelope. See `payloads/targets.rs` for what is checked.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| taskferry_fuzz::payloads::event(input));
