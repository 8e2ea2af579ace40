//! An error with its causes, in one line: for records, logs and messages, where nobody can ask for the source.

use std::error::Error;

/// The error's message, then each cause's behind a colon.
pub fn reason(error: &dyn Error) -> String {
    let mut reason = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        reason.push_str(": ");
        reason.push_str(&cause.to_string());
        source = cause.source();
    }
    reason
}
