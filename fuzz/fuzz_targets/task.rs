//! The detail of a task's state change. See `inputs/targets.rs` for what is checked.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| taskferry_fuzz::inputs::task(input));
