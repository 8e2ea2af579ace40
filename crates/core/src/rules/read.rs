//! The YAML text becomes a tree.
//!
//! Built on the parser's events rather than on serde, because serde stops at the
//! first fault: duplicate keys, strange tags and keys that are no text are all
//! reported, and the rest of the file is read on. Anchors, aliases and merge keys
//! work; budgets bound what a hostile file can make of them. Text that looks like
//! a number is one (YAML 1.2's core schema); `yes` and `no` are text.

use std::{borrow::Cow, collections::HashMap, iter::Peekable, vec};

use granit_parser::{Event, Parser, ScalarStyle, Tag};

use super::{
    bare,
    fault::{Faults, Span},
    scalar::{self, Scalar},
    tree::{Entry, Kind, Node, Text},
};

/// A rules file is some kilobytes; what is larger than this is not one.
pub const TEXT_BYTES_MAX: usize = 1 << 20;
/// Bounds the tree, aliases expanded. 1 MiB of rules has fewer.
const NODES_MAX: usize = 200_000;
/// A rules file nests about 12 deep.
const DEPTH_MAX: usize = 48;

/// Reads `text`. `None` if it is not YAML at all, or too large; the reason is among the faults.
pub(super) fn parse(text: &str, faults: &mut Faults) -> Option<Node> {
    if text.len() > TEXT_BYTES_MAX {
        faults
            .error(
                Span { start: 0, end: 0 },
                format!("the file is larger than {TEXT_BYTES_MAX} bytes, and no more is read"),
            )
            .hint("put data that tasks need into S3, not into the rules");
        return None;
    }
    let events = events(text, faults)?;
    let mut builder = Builder {
        text,
        events: events.into_iter().peekable(),
        anchors: HashMap::new(),
        nodes: 0,
        faults,
    };
    builder.document().ok()
}

type Events<'a> = Vec<(Event<'a>, Span)>;

/// What to look for where YAML gives up.
const INVALID: &str = "see that the lines above are indented alike, with spaces and no tabs, \
    brackets and quotes are closed, and text with `: `, ` #` or a leading `*`, `&`, `!`, `{`, `[`, `%`, `@` is quoted";

/// What to do where it is a tab that YAML gave up at: in this line's indentation, or in the next one's, which it may take
/// for more of this line.
fn tab_after(text: &str, line_start: usize) -> Option<String> {
    let number = text[..line_start].matches('\n').count() + 1;
    let mut lines = text[line_start..].lines().take(2).zip(number..);
    let (_, number) = lines.find(|(line, _)| {
        let indentation = &line[..line.len() - line.trim_start_matches([' ', '\t']).len()];
        indentation.contains('\t')
    })?;
    Some(format!("line {number} is indented with a tab: YAML takes spaces alone"))
}

/// All events of the text, bounded in number and depth.
fn events<'a>(text: &'a str, faults: &mut Faults) -> Option<Events<'a>> {
    let options = granit_parser::options! {
        flow_nesting_limit: DEPTH_MAX,
        block_nesting_limit: DEPTH_MAX,
        emit_unresolved_aliases: true,
        disallow_directives: true,
    };
    let mut events = Vec::new();
    for next in Parser::new_from_str_with_options(text, options) {
        match next {
            Ok((event, place)) => {
                let own = place.byte_range().unwrap_or(0..0);
                // A block's start is an empty place; its tag is what can be pointed at.
                let tag = place.tag_span().and_then(|tag| tag.byte_range());
                let range = tag.filter(|_| own.is_empty()).unwrap_or(own);
                events.push((event, Span { start: range.start, end: range.end }));
            }
            Err(error) => {
                let at = error.marker().byte_offset().unwrap_or(text.len()).min(text.len());
                let at = text.floor_char_boundary(at);
                let end = text[at..].chars().next().map_or(at, |next| at + next.len_utf8());
                let reason = error.kind().to_string();
                let fault =
                    faults.error(Span { start: at, end }, format!("not valid YAML: {reason}"));
                let line_start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
                let line = text[line_start..].lines().next().unwrap_or_default();
                fault.hint(match bare::template_in(line) {
                    Some(template) => {
                        format!("quote the whole value that holds the template, as in {template}")
                    }
                    None => tab_after(text, line_start).unwrap_or_else(|| INVALID.to_owned()),
                });
                return None;
            }
        }
        if events.len() > 2 * NODES_MAX {
            let (_, span) = events[events.len() - 1];
            faults.error(span, format!("the file has more than {NODES_MAX} values"));
            return None;
        }
    }
    Some(events)
}

/// What stops the reading of a file; the reason is among the faults.
struct Stop;

struct Anchor {
    node: Node,
    nodes: usize,
    depth: usize,
}

struct Builder<'a, 'f> {
    text: &'a str,
    events: Peekable<vec::IntoIter<(Event<'a>, Span)>>,
    anchors: HashMap<usize, Anchor>,
    nodes: usize,
    faults: &'f mut Faults,
}

impl<'a> Builder<'a, '_> {
    fn document(&mut self) -> Result<Node, Stop> {
        while let Some((event, _)) = self.events.peek()
            && matches!(event, Event::StreamStart | Event::DocumentStart(..))
        {
            self.events.next();
        }
        if matches!(self.events.peek(), None | Some((Event::StreamEnd | Event::DocumentEnd, _))) {
            self.faults
                .error(Span { start: 0, end: 0 }, "the file is empty")
                .hint("it needs at least `name` and `rules`");
            return Err(Stop);
        }
        let (root, _) = self.node(0)?;
        for (event, span) in self.events.by_ref() {
            if let Event::DocumentStart(..) = event {
                self.faults
                    .error(span, "a second document starts here")
                    .hint("a rules file is one YAML document");
                break;
            }
        }
        Ok(root)
    }

    /// The next node, and how deep it is.
    fn node(&mut self, depth: usize) -> Result<(Node, usize), Stop> {
        let Some((event, span)) = self.events.next() else {
            return Err(self.stop(Span { start: 0, end: 0 }, "the file ends within a value"));
        };
        self.spend(1, span)?;
        let before = self.nodes - 1;
        let (node, node_depth, anchor) = match event {
            Event::Scalar(value, style, anchor, tag) => {
                (self.scalar(&value, style, tag.as_deref(), span), 1, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                let (items, end, inner) = self.list(depth)?;
                let whole = Span { start: span.start, end: end.end.max(span.end) };
                self.collection_tag(tag, "seq", span);
                (node_of(whole, Kind::List(items)), inner + 1, anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                let faults = self.faults.len();
                let (entries, end, inner) = self.map(depth)?;
                let whole = Span { start: span.start, end: end.end.max(span.end) };
                self.collection_tag(tag, "map", span);
                let kind = if self.is_bare_template(whole) {
                    // Whatever else YAML finds odd in it has this one cause.
                    self.faults.truncate(faults);
                    self.bare_template(whole);
                    Kind::Broken
                } else {
                    Kind::Map(entries)
                };
                (node_of(whole, kind), inner + 1, anchor)
            }
            Event::Alias(id) => return self.alias(id, depth, span),
            Event::UnresolvedAlias(name) => {
                let known = self.anchors.is_empty();
                let fault = self.faults.error(span, format!("no anchor is called `{name}`"));
                fault.hint(if known {
                    "an anchor, `&name`, stands before its aliases; quote the text if `*` is meant"
                        .to_owned()
                } else {
                    format!("write `&{name}` before the value that is meant, further up")
                });
                (node_of(span, Kind::Broken), 1, 0)
            }
            Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(..)
            | Event::DocumentEnd
            | Event::Anchor(..)
            | Event::SequenceEnd
            | Event::MappingEnd
            | _ => return Err(self.stop(span, "a value is missing here")),
        };
        if depth + node_depth > DEPTH_MAX {
            return Err(self.stop(span, "values are nested too deep"));
        }
        if anchor != 0 {
            let nodes = self.nodes - before;
            self.anchors.insert(anchor, Anchor { node: node.clone(), nodes, depth: node_depth });
        }
        Ok((node, node_depth))
    }

    fn alias(&mut self, id: usize, depth: usize, span: Span) -> Result<(Node, usize), Stop> {
        let Some(anchor) = self.anchors.get(&id) else {
            return Err(self.stop(span, "this alias stands within its own anchor"));
        };
        let (nodes, node_depth) = (anchor.nodes, anchor.depth);
        if depth + node_depth > DEPTH_MAX {
            return Err(self.stop(span, "values are nested too deep"));
        }
        // Paid for before the copy is made: a few aliases of aliases make billions of values.
        self.spend(nodes, span)?;
        let mut node = self.anchors[&id].node.clone();
        node.borrowed = true;
        Ok((node, node_depth))
    }

    fn list(&mut self, depth: usize) -> Result<(Vec<Node>, Span, usize), Stop> {
        let (mut items, mut deepest) = (Vec::new(), 0);
        loop {
            if let Some((_, span)) =
                self.events.next_if(|(event, _)| matches!(event, Event::SequenceEnd))
            {
                return Ok((items, span, deepest));
            }
            let (item, item_depth) = self.node(depth + 1)?;
            deepest = deepest.max(item_depth);
            items.push(item);
        }
    }

    fn map(&mut self, depth: usize) -> Result<(Vec<Entry>, Span, usize), Stop> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut merged = Vec::new();
        let mut deepest = 0;
        loop {
            if let Some((_, end)) =
                self.events.next_if(|(event, _)| matches!(event, Event::MappingEnd))
            {
                self.merge(merged, &mut entries, &mut places)?;
                return Ok((entries, end, deepest));
            }
            let key = self.key(depth)?;
            let (value, value_depth) = self.node(depth + 1)?;
            deepest = deepest.max(value_depth);
            match key {
                Key::None => {}
                Key::Merge(span) => merged.push((span, value)),
                Key::Text(key, key_span) => {
                    if let Some(first) = places.get(&key) {
                        let first = entries[*first].key_span;
                        self.faults
                            .error(key_span, format!("the key `{key}` is given twice"))
                            .related(first, "first given here");
                    } else {
                        places.insert(key.clone(), entries.len());
                        entries.push(Entry { key, key_span, value, merged: false });
                    }
                }
            }
        }
    }

    fn key(&mut self, depth: usize) -> Result<Key, Stop> {
        if let Some((Event::Scalar(text, style, 0, None), span)) = self.events.peek() {
            let (text, span) = (text.clone().into_owned(), *span);
            let key = if text == "<<" && *style == ScalarStyle::Plain {
                Key::Merge(span)
            } else {
                Key::Text(text, span)
            };
            self.events.next();
            self.spend(1, span)?;
            return Ok(key);
        }
        let (node, _) = self.node(depth + 1)?;
        match node.kind {
            Kind::Text(text) => Ok(Key::Text(text.value, node.span)),
            Kind::Number(number) => Ok(Key::Text(number.raw, node.span)),
            Kind::Broken | Kind::Null | Kind::Bool(_) | Kind::List(_) | Kind::Map(_) => {
                self.faults.error(node.span, "a key must be text");
                Ok(Key::None)
            }
        }
    }

    /// Adds what merge keys bring: a key of the map itself wins, then the first that brings it.
    fn merge(
        &mut self,
        merged: Vec<(Span, Node)>,
        entries: &mut Vec<Entry>,
        places: &mut HashMap<String, usize>,
    ) -> Result<(), Stop> {
        for (span, node) in merged {
            let sources = if let Kind::List(items) = node.kind { items } else { vec![node] };
            for source in sources {
                let Kind::Map(more) = source.kind else {
                    self.faults
                        .error(span, "`<<` merges maps, and this is none")
                        .hint("write `<<: *anchor`, or quote the key if `<<` is meant");
                    continue;
                };
                for mut entry in more {
                    self.spend(1, span)?;
                    if !places.contains_key(&entry.key) {
                        places.insert(entry.key.clone(), entries.len());
                        entry.merged = true;
                        entries.push(entry);
                    }
                }
            }
        }
        Ok(())
    }

    fn scalar(&mut self, value: &str, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Node {
        let tag_name = tag.map(|tag| (tag.core_suffix(), tag));
        let plain = style == ScalarStyle::Plain;
        let resolved = match tag_name {
            None if plain => scalar::resolve(value),
            None | Some((Some("str"), _)) => Scalar::Text,
            Some((Some("int" | "float" | "bool" | "null"), tag)) => {
                let resolved = scalar::resolve(value);
                if resolved == Scalar::Text {
                    let name = tag.original();
                    self.faults
                        .error(span, format!("this is no value for the tag `{name}`"))
                        .hint("leave the tag out");
                }
                resolved
            }
            Some((_, tag)) => {
                let name = tag.original();
                self.faults
                    .error(span, format!("the tag `{name}` means nothing here"))
                    .hint("leave it out; values are plain text, numbers, lists and maps");
                Scalar::Text
            }
        };
        let kind = match resolved {
            Scalar::Null => Kind::Null,
            Scalar::Bool(value) => Kind::Bool(value),
            Scalar::Number(number) => Kind::Number(number),
            Scalar::Ambiguous(number) => {
                let raw = number.raw;
                self.faults
                    .error(
                        span,
                        format!("`{raw}` is one number to some readers of YAML, another to others"),
                    )
                    .hint(format!("quote it, \"{raw}\", or leave the leading zero out"));
                Kind::Broken
            }
            Scalar::Text => Kind::Text(Text {
                value: value.to_owned(),
                verbatim_at: self.verbatim(value, span),
            }),
        };
        node_of(span, kind)
    }

    /// Where the text itself starts, if the file has it letter by letter.
    fn verbatim(&self, value: &str, span: Span) -> Option<usize> {
        let written = self.text.get(span.start..span.end)?;
        let quote = usize::from(written.starts_with(['"', '\'']));
        written.get(quote..)?.starts_with(value).then_some(span.start + quote)
    }

    /// Whether a map is `{{ .. }}`, which YAML reads as a map whose key is a map.
    fn is_bare_template(&self, span: Span) -> bool {
        let written = self.text.get(span.start..span.end).unwrap_or_default();
        written.starts_with("{{") && written.ends_with("}}")
    }

    fn bare_template(&mut self, span: Span) {
        let written = &self.text[span.start..span.end];
        self.faults
            .error(span, "a template without quotes is a map to YAML")
            .hint(format!("quote the template: {}", bare::in_quotes(written)));
    }

    fn collection_tag(&mut self, tag: Option<Cow<'a, Tag>>, expected: &str, span: Span) {
        if let Some(tag) = tag
            && tag.core_suffix() != Some(expected)
        {
            let name = tag.original();
            self.faults
                .error(span, format!("the tag `{name}` means nothing here"))
                .hint("leave it out; values are plain text, numbers, lists and maps");
        }
    }

    fn spend(&mut self, nodes: usize, span: Span) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > NODES_MAX {
            return Err(self.stop(span, "aliases and values make more than the file may hold"));
        }
        Ok(())
    }

    fn stop(&mut self, span: Span, message: &str) -> Stop {
        self.faults.error(span, message);
        Stop
    }
}

enum Key {
    Text(String, Span),
    Merge(Span),
    /// No text; the fault is reported.
    None,
}

fn node_of(span: Span, kind: Kind) -> Node {
    Node { span, kind, borrowed: false }
}
