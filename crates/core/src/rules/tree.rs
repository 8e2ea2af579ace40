//! The rules file as a tree that remembers where each part stands.
//!
//! Made by `read`, or of JSON by `merge`; whoever checks a part of the file says by it where a fault is.

use super::{fault::Span, scalar::Number};

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Where the value is written; for an alias, where its anchor is.
    pub(super) span: Span,
    pub(super) kind: Kind,
    /// Whether an alias brought it here from elsewhere in the file.
    pub(super) borrowed: bool,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// What could not be read; the fault is reported.
    Broken,
    Null,
    Bool(bool),
    Number(Number),
    Text(Text),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// Text, and where it starts in the file if it stands there letter by letter.
#[derive(Clone, Debug)]
pub(super) struct Text {
    pub(super) value: String,
    pub(super) verbatim_at: Option<usize>,
}

/// One key of a map and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_span: Span,
    pub(super) value: Node,
    /// Whether a merge key brought it here from elsewhere in the file.
    pub(super) merged: bool,
}

impl Node {
    /// The value under `key`, if this is a map that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The entry under `key`, if this is a map that has it.
    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The value at the end of `keys`, if each map on the way has the next.
    pub(super) fn at(&self, keys: &[&str]) -> Option<&Node> {
        keys.iter().try_fold(self, |node, key| node.get(key))
    }

    /// The entries, none if this is not a map.
    pub(super) fn entries(&self) -> &[Entry] {
        if let Kind::Map(entries) = &self.kind { entries } else { &[] }
    }

    /// The items, none if this is not a list.
    pub(super) fn items(&self) -> &[Node] {
        if let Kind::List(items) = &self.kind { items } else { &[] }
    }

    /// The text, if this is text.
    pub(super) fn text(&self) -> Option<&str> {
        if let Kind::Text(text) = &self.kind { Some(&text.value) } else { None }
    }

    /// The number as an integer, if it is one.
    pub(super) fn integer(&self) -> Option<i64> {
        if let Kind::Number(number) = &self.kind { number.json.parse().ok() } else { None }
    }

    /// Where a range of this text's bytes stands in the file; the whole of it if it is escaped.
    pub(super) fn span_within(&self, range: std::ops::Range<usize>) -> Span {
        let Kind::Text(Text { value, verbatim_at: Some(at) }) = &self.kind else {
            return self.span;
        };
        let (start, end) = (range.start.min(value.len()), range.end.min(value.len()));
        Span { start: at + start, end: at + end.max(start) }
    }

    /// The value as JSON text, numbers as they are written.
    pub(super) fn to_json(&self) -> String {
        self.to_json_with_places().0
    }

    /// The value as JSON text, and where in the file each part of that text comes from.
    pub(super) fn to_json_with_places(&self) -> (String, Places) {
        let (mut out, mut places) = (String::new(), Places(Vec::new()));
        self.write_json(&mut out, &mut places);
        (out, places)
    }

    fn write_json(&self, out: &mut String, places: &mut Places) {
        places.0.push((out.len(), self.span));
        match &self.kind {
            Kind::Null | Kind::Broken => out.push_str("null"),
            Kind::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Kind::Number(number) => out.push_str(&number.json),
            Kind::Text(text) => out.push_str(&quoted(&text.value)),
            Kind::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.write_json(out, places);
                }
                out.push(']');
            }
            Kind::Map(entries) => {
                out.push('{');
                for (index, entry) in entries.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    places.0.push((out.len(), entry.key_span));
                    out.push_str(&quoted(&entry.key));
                    out.push(':');
                    entry.value.write_json(out, places);
                }
                out.push('}');
            }
        }
    }
}

/// Where in the file each part of a JSON text comes from, in the order of the text.
pub(super) struct Places(Vec<(usize, Span)>);

impl Places {
    /// Where in the file the byte at `offset` of the JSON text comes from.
    pub(super) fn span_at(&self, offset: usize) -> Option<Span> {
        let next = self.0.partition_point(|(start, _)| *start <= offset);
        self.0.get(next.checked_sub(1)?).map(|(_, span)| *span)
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The path of what stands at `offset`, such as `rules[0].target.cluster`.
///
/// Siblings stand in file order, so the last that starts at or before `offset` holds it.
pub(super) fn path_at(root: &Node, offset: usize) -> String {
    let mut path = String::new();
    let mut node = root;
    loop {
        match &node.kind {
            Kind::Map(entries) => {
                let Some(entry) =
                    entries.iter().rfind(|entry| !entry.merged && entry.key_span.start <= offset)
                else {
                    return path;
                };
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(&entry.key);
                node = &entry.value;
            }
            Kind::List(items) => {
                let Some((index, item)) = items
                    .iter()
                    .enumerate()
                    .rfind(|(_, item)| !item.borrowed && item.span.start <= offset)
                else {
                    return path;
                };
                path = format!("{path}[{index}]");
                node = item;
            }
            Kind::Broken | Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) => {
                return path;
            }
        }
        if node.borrowed {
            return path;
        }
    }
}
