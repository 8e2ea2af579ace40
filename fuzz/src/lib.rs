//! What the fuzz targets share with the property tests: the reference, the generators, and the targets' own checks.
//!
//! They stand beside the tests of `crates/event-pattern` and `crates/core`, where the committed inputs are replayed without libFuzzer.

#[path = "../../crates/event-pattern/tests/reference/mod.rs"]
pub mod reference;

#[path = "../../crates/core/tests/inputs/targets.rs"]
pub mod inputs;
