//! Faults of a rules file or event pattern as a person reads them: what, where in the text, and what to do.
//!
//! Shared by `check`, by whatever else loads a rules file, and by `test_event_pattern`. What a file says is
//! printed without its control characters.

use std::{fmt::Write as _, ops::Range};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use taskferry_core::rules::{Fault, Severity, Span};

use crate::output::printable;

/// A file with very many faults has one cause; the first ones show it.
const SHOWN_MAX: usize = 50;

/// A text, for showing places in it.
pub(crate) struct Source<'a> {
    /// Its path as it was given, or what else it is called.
    pub(crate) path: &'a str,
    /// What it holds.
    pub(crate) text: &'a str,
}

/// A place in the file; lines and columns (characters) count from 1.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Source<'_> {
    /// Line and column of a byte.
    pub(crate) fn place(&self, offset: usize) -> Place {
        let before = &self.text[..self.text.floor_char_boundary(offset)];
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        Place { line, column: before[start..].chars().count() + 1 }
    }

    /// All faults with their source lines, each followed by an empty line.
    pub(crate) fn render(&self, faults: &[Fault], colour: bool) -> String {
        let mut out = String::new();
        for fault in faults.iter().take(SHOWN_MAX) {
            out.push_str(&self.render_one(fault, colour));
            out.push('\n');
        }
        if let Some(more) = faults.len().checked_sub(SHOWN_MAX).filter(|more| *more > 0) {
            writeln!(out, "… and {more} more; `taskferry check --json` has them all\n")
                .expect("a String takes all text");
        }
        out
    }

    /// A fault in one line, without the source line.
    pub(crate) fn line(&self, fault: &Fault) -> String {
        let place = fault.span.map_or_else(String::new, |span| {
            let Place { line, column } = self.place(span.start);
            format!(":{line}:{column}")
        });
        format!("{}: {}{place}: {}", fault.severity, self.path, printable(&fault.message))
    }

    fn render_one(&self, fault: &Fault, colour: bool) -> String {
        let level = match fault.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let message = printable(&fault.message);
        let mut group = Group::with_title(level.primary_title(message.as_str()));
        if let Some(span) = fault.span {
            group = group.element(self.snippet(span, &fault.related));
        }
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let mut out = renderer.render(&[group]);
        out.push('\n');
        if let Some(hint) = &fault.hint {
            writeln!(out, "hint: {}", printable(hint)).expect("a String takes all text");
        }
        out
    }

    /// The lines from the first place to the last; the renderer folds what lies between.
    fn snippet<'s>(
        &'s self,
        span: Span,
        related: &'s [(Span, String)],
    ) -> Snippet<'s, annotate_snippets::Annotation<'s>> {
        let places = || related.iter().map(|(span, _)| *span).chain([span]);
        let first = places().map(|span| span.start).min().unwrap_or(0);
        let last = places().map(|span| span.start).max().unwrap_or(0);
        let start = self.text[..self.boundary(first)].rfind('\n').map_or(0, |at| at + 1);
        let end = self.line_end(self.boundary(last));
        let inside = |span: Span| -> Range<usize> {
            let from = self.boundary(span.start);
            let to = self.boundary(span.end).clamp(from, self.line_end(from));
            from - start..to - start
        };
        let related = related
            .iter()
            .map(|(span, label)| AnnotationKind::Context.span(inside(*span)).label(label.as_str()));
        Snippet::source(&self.text[start..end])
            .line_start(self.place(start).line)
            .path(self.path)
            .annotation(AnnotationKind::Primary.span(inside(span)))
            .annotations(related)
    }

    fn boundary(&self, offset: usize) -> usize {
        self.text.floor_char_boundary(offset)
    }

    fn line_end(&self, offset: usize) -> usize {
        let end = self.text[offset..].find('\n').map_or(self.text.len(), |at| offset + at);
        if self.text[offset..end].ends_with('\r') { end - 1 } else { end }
    }
}

/// "2 errors and 1 warning".
pub(crate) fn count(faults: &[Fault]) -> String {
    let count = |severity| faults.iter().filter(|fault| fault.severity == severity).count();
    let part = |count: usize, name: &str| match count {
        0 => None,
        1 => Some(format!("1 {name}")),
        _ => Some(format!("{count} {name}s")),
    };
    let parts = [part(count(Severity::Error), "error"), part(count(Severity::Warning), "warning")];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "no fault".to_owned() } else { parts.join(" and ") }
}

#[cfg(test)]
mod tests {
    use taskferry_core::rules;

    use super::*;

    fn render(text: &str) -> String {
        let checked = rules::check(text);
        Source { path: "taskferry.yaml", text }.render(&checked.faults, false)
    }

    #[test]
    fn a_fault_shows_its_line_and_its_hint() {
        let text = "name: a\nrules:\n  - name: b\n    on: { s3: { bucket: uploads, prefx: in/ } }\n    target: { taskDefinition: c }\n";
        assert_eq!(
            render(text),
            "error: unknown key `prefx`
 --> taskferry.yaml:4:34
  |
4 |     on: { s3: { bucket: uploads, prefx: in/ } }
  |                                  ^^^^^
hint: did you mean `prefix`?

"
        );
    }

    #[test]
    fn two_places_are_both_shown() {
        let rendered = render("name: a\nname: b\nrules: []\n");
        assert!(rendered.contains("first given here"), "{rendered}");
        assert!(rendered.contains("2 | name: b"), "{rendered}");
    }

    #[test]
    fn control_characters_are_not_printed() {
        let rendered = render("name: \"a\\e[31m\"\n\"\\e[2J\": 1\nrules: []\n");
        assert!(!rendered.contains('\u{1b}'), "{rendered:?}");
    }

    #[test]
    fn any_place_of_any_text_can_be_shown() {
        for text in ["", "\n", "é", "é: [\r\n", "a: \u{1}", "\u{feff}name: é\r\nné: 1\r\n"] {
            assert!(!render(text).is_empty(), "{text:?}");
        }
    }

    #[test]
    fn counts_are_spelled() {
        let faults = rules::check("name: a\nname: b\nrules: []\n").faults;
        assert_eq!(count(&faults), "1 error and 1 warning");
        assert_eq!(count(&[]), "no fault");
    }
}
