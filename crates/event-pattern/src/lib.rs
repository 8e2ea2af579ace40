//! EventBridge event patterns: compile and match. Knows JSON, nothing else.

/// A compiled event pattern.
#[derive(Clone, Debug)]
pub struct EventPattern {}
