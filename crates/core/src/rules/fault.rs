//! What is wrong with a rules file, and where.
//!
//! Every check adds to one [`Faults`]; none stops at its first. `check` puts them
//! into file order and names the place of each by path.

use std::fmt;

/// A range of bytes in the rules file.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset behind the last byte.
    pub end: usize,
}

/// How bad a fault is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, and probably does not do what was meant.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One thing that is wrong with a rules file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// Whether the file can be used all the same.
    pub severity: Severity,
    /// Where it is, such as `rules[0].target.cluster`; empty for the whole file.
    pub path: String,
    /// The rule it is in, when that rule has a name.
    pub rule: Option<String>,
    /// Where it is in the text.
    pub span: Option<Span>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Other places that matter, and why.
    pub related: Vec<(Span, String)>,
}

impl Fault {
    /// Says what to do about it.
    pub(super) fn hint(&mut self, hint: impl Into<String>) -> &mut Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says what to do about it, if there is anything to say.
    pub(super) fn hint_if(&mut self, hint: Option<String>) -> &mut Self {
        self.hint = hint.or_else(|| self.hint.take());
        self
    }

    /// Points at another place that matters.
    pub(super) fn related(&mut self, span: Span, label: impl Into<String>) -> &mut Self {
        self.related.push((span, label.into()));
        self
    }
}

/// The faults found so far.
#[derive(Debug, Default)]
pub(super) struct Faults {
    list: Vec<Fault>,
}

impl Faults {
    /// Adds what makes the file unusable.
    pub(super) fn error(&mut self, span: Span, message: impl Into<String>) -> &mut Fault {
        self.add(Severity::Error, span, message.into())
    }

    /// Adds what is probably not meant.
    pub(super) fn warning(&mut self, span: Span, message: impl Into<String>) -> &mut Fault {
        self.add(Severity::Warning, span, message.into())
    }

    /// How many there are so far.
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Forgets all but the first `len`: what came after them has turned out to have one cause.
    pub(super) fn truncate(&mut self, len: usize) {
        self.list.truncate(len);
    }

    /// Adds a fault whose severity is known only when it is found.
    pub(super) fn add(&mut self, severity: Severity, span: Span, message: String) -> &mut Fault {
        self.list.push(Fault {
            severity,
            path: String::new(),
            rule: None,
            span: Some(span),
            message,
            hint: None,
            related: Vec::new(),
        });
        self.list.last_mut().expect("one was just pushed")
    }

    /// The faults in file order, each once: what `defaults` get wrong shows in every rule.
    pub(super) fn into_sorted(mut self) -> Vec<Fault> {
        self.list.sort_by_key(|fault| (fault.span, fault.severity));
        let mut kept: Vec<Fault> = Vec::with_capacity(self.list.len());
        for fault in self.list {
            let twin = |other: &Fault| other.span == fault.span && other.message == fault.message;
            if !kept.iter().rev().take_while(|other| other.span == fault.span).any(twin) {
                kept.push(fault);
            }
        }
        kept
    }
}

/// The candidate most like `name`, if any is like it: case, `-` and `_` count for little.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace(['-', '_', ' '], "");
    let wanted = plain(name);
    // Long names come from hostile files only; comparing them costs their product.
    if wanted.len() > 200 {
        return None;
    }
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= 200)
        .filter_map(|candidate| {
            let plain = plain(candidate);
            let likeness = strsim::jaro_winkler(&wanted, &plain);
            // A slip of the finger at the front weighs too much by the first measure.
            let close = strsim::osa_distance(&wanted, &plain) <= wanted.chars().count() / 3;
            (likeness >= 0.84 || close).then_some((likeness, candidate))
        })
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// "did you mean" with the nearest candidate, or else what there is, while that is short.
pub(super) fn suggest(name: &str, candidates: &[&str]) -> Option<String> {
    if let Some(nearest) = nearest(name, candidates.iter().copied()) {
        return Some(format!("did you mean `{nearest}`?"));
    }
    match candidates.len() {
        0 => None,
        1..=24 => Some(format!("allowed here: {}", list(candidates))),
        _ => Some(format!("allowed here: {}, …", list(&candidates[..24]))),
    }
}

/// Names in backticks, separated by commas.
pub(super) fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_ignores_case_and_separators() {
        assert_eq!(
            nearest("task_definition", ["cluster", "taskDefinition"]),
            Some("taskDefinition")
        );
        assert_eq!(nearest("Cluster", ["cluster", "count"]), Some("cluster"));
        assert_eq!(nearest("prefx", ["bucket", "prefix", "suffix"]), Some("prefix"));
        assert_eq!(nearest("ubcket", ["bucket", "prefix"]), Some("bucket"));
        assert_eq!(nearest("colour", ["bucket", "prefix"]), None);
    }

    #[test]
    fn faults_come_in_file_order_and_once() {
        let mut faults = Faults::default();
        faults.error(Span { start: 9, end: 10 }, "later");
        faults.warning(Span { start: 1, end: 2 }, "earlier");
        faults.error(Span { start: 9, end: 10 }, "later");
        let messages: Vec<_> = faults.into_sorted().into_iter().map(|f| f.message).collect();
        assert_eq!(messages, ["earlier", "later"]);
    }
}
