//! How the program speaks: errors with hints, and colour where a person looks.

use std::{
    fmt,
    io::{self, IsTerminal as _, Write},
};

/// What a person can do about an error; put it around the error with `.context`.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub(crate) struct Hinted {
    error: String,
    hint: String,
}

/// An error with a hint.
pub(crate) fn hinted(error: impl fmt::Display, hint: impl Into<String>) -> anyhow::Error {
    Hinted { error: error.to_string(), hint: hint.into() }.into()
}

/// Prints an error with all its causes, and its hint.
pub(crate) fn error(err: &mut dyn Write, error: &anyhow::Error) {
    let hint = error.chain().find_map(|cause| cause.downcast_ref::<Hinted>());
    // Where standard error is gone too there is nobody left to tell.
    let _told = writeln!(err, "error: {error:#}");
    if let Some(Hinted { hint, .. }) = hint {
        let _told = writeln!(err, "\nhint: {hint}");
    }
}

/// Whether standard output is a terminal that wants colour (<https://no-color.org>).
pub(crate) fn wants_colour() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty())
}

/// Whether standard error is a terminal that wants colour.
pub(crate) fn wants_colour_on_stderr() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty())
}

/// Text that a terminal only shows: a file or an event must not command it.
pub(crate) fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_control() && c != '\t' { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}

/// How a piece of text looks on a terminal.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tone {
    /// It went well.
    Good,
    /// It went badly.
    Bad,
    /// It is going on.
    Going,
    /// It is beside the point.
    Faint,
}

/// Text in a tone, if colour is wanted.
pub(crate) struct Toned<T>(pub(crate) Tone, pub(crate) T, pub(crate) bool);

impl<T: fmt::Display> fmt::Display for Toned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(tone, text, wants_colour) = self;
        if !wants_colour {
            return text.fmt(f);
        }
        let code = match tone {
            Tone::Good => "32",
            Tone::Bad => "31",
            Tone::Going => "36",
            Tone::Faint => "2",
        };
        write!(f, "\x1b[{code}m")?;
        text.fmt(f)?;
        f.write_str("\x1b[0m")
    }
}
