//! Any text as an event pattern. See `reference/targets.rs` for what is checked.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| taskferry_fuzz::reference::targets::pattern(input));
