//! The names that patterns mention, level by level, for the walk over an event.
//!
//! A path is the names down to a field joined by dots, in patterns and events alike, so a name with
//! dots goes down several levels. Built by `matcher`, asked by `event` for each member of an event's
//! mentioned objects. What is mentioned nowhere costs one look into a table.

use std::collections::HashMap;

use crate::table::{load, read};

/// No node, or no field.
pub(crate) const NONE: u32 = u32::MAX;
/// Where an event's walk begins.
pub(crate) const ROOT: u32 = 0;

/// A name, as far as looking it up goes: exact up to 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Print {
    head: u64,
    tail: u64,
    length: u32,
}

impl Print {
    #[inline]
    fn of(name: &[u8]) -> Self {
        let (head, tail) = match name.len() {
            0..8 => {
                let all = load(name);
                (all, all)
            }
            length => (read(name, 0), read(name, length - 8)),
        };
        #[expect(clippy::cast_possible_truncation, reason = "events are far shorter")]
        Self { head, tail, length: name.len() as u32 }
    }

    #[inline]
    fn hash(self) -> u32 {
        let mixed = (self.head ^ self.tail.rotate_left(29) ^ u64::from(self.length))
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 32) as u32
    }
}

/// Whether there is a dot in the name; looks at eight bytes at once.
#[inline]
fn has_dot(name: &[u8]) -> bool {
    // A zero byte, less one, has its highest bit set, and had not; so may have bytes above a zero byte, no matter.
    let has = |word: u64| {
        let dots = word ^ u64::from_le_bytes([b'.'; 8]);
        dots.wrapping_sub(u64::from_le_bytes([1; 8])) & !dots & u64::from_le_bytes([0x80; 8]) != 0
    };
    match name.len() {
        0..8 => has(load(name)),
        8..=16 => has(read(name, 0)) || has(read(name, name.len() - 8)),
        _ => name.contains(&b'.'),
    }
}

/// The bit of a name's length in [`Node::lengths`].
#[inline]
fn length_bit(name: &[u8]) -> u64 {
    1 << name.len().min(63)
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    print: Print,
    node: u32,
    /// Where a name longer than its print stands in `long`.
    long: u32,
}

/// A level of names.
#[derive(Clone, Copy, Debug)]
struct Node {
    /// The field that is here, if one is.
    field: u32,
    /// The slots of its names; there are `mask + 1`, none if there is no name.
    slots: u32,
    mask: u32,
    has_names: bool,
    /// Which lengths its names have; the highest bit is for all that are longer.
    lengths: u64,
    /// Whether names below have names below, so that a name with a dot may lead there.
    is_deep: bool,
}

/// A tree of names whose leaves are fields.
#[derive(Debug)]
pub(crate) struct Names {
    nodes: Vec<Node>,
    slots: Vec<Slot>,
    long: Vec<u8>,
}

impl Names {
    /// The tree of these paths; the field of each is its place among them.
    pub(crate) fn new<'p>(paths: impl IntoIterator<Item = &'p [u8]>) -> Self {
        let node =
            Node { field: NONE, slots: 0, mask: 0, has_names: false, lengths: 0, is_deep: false };
        let mut children: HashMap<(u32, &[u8]), u32> = HashMap::new();
        let mut below: Vec<Vec<(&[u8], u32)>> = vec![Vec::new()];
        let mut nodes = vec![node];
        for (field, path) in paths.into_iter().enumerate() {
            let mut at = ROOT;
            for name in path.split(|&byte| byte == b'.') {
                at = *children.entry((at, name)).or_insert_with(|| {
                    let child = number(nodes.len());
                    nodes.push(node);
                    below.push(Vec::new());
                    below[at as usize].push((name, child));
                    child
                });
            }
            nodes[at as usize].field = number(field);
        }
        let mut names = Self { nodes, slots: Vec::new(), long: Vec::new() };
        for (at, below) in below.iter().enumerate() {
            names.fill(at, below);
        }
        for (at, below) in below.iter().enumerate() {
            names.nodes[at].is_deep = below.iter().any(|(_, node)| names.has_names(*node));
        }
        names
    }

    fn fill(&mut self, at: usize, below: &[(&[u8], u32)]) {
        if below.is_empty() {
            return;
        }
        let first = self.slots.len();
        let room = (below.len() * 2).next_power_of_two();
        let empty = Print { head: 0, tail: 0, length: 0 };
        self.slots.resize(first + room, Slot { print: empty, node: NONE, long: 0 });
        for &(name, node) in below {
            let print = Print::of(name);
            let mut slot = print.hash() as usize & (room - 1);
            while self.slots[first + slot].node != NONE {
                slot = (slot + 1) & (room - 1);
            }
            let long = number(self.long.len());
            if name.len() > 16 {
                self.long.extend_from_slice(name);
            }
            self.slots[first + slot] = Slot { print, node, long };
        }
        let node = &mut self.nodes[at];
        node.lengths = below.iter().fold(0, |lengths, (name, _)| lengths | length_bit(name));
        (node.slots, node.mask, node.has_names) = (number(first), number(room - 1), true);
    }

    /// The field here, or [`NONE`].
    #[inline]
    pub(crate) fn field(&self, node: u32) -> u32 {
        self.nodes[node as usize].field
    }

    /// Whether any name is mentioned below here.
    #[inline]
    pub(crate) fn has_names(&self, node: u32) -> bool {
        self.nodes[node as usize].has_names
    }

    /// The node of a name below this one, or [`NONE`].
    #[inline]
    pub(crate) fn below(&self, node: u32, name: &[u8]) -> u32 {
        let at = &self.nodes[node as usize];
        if !at.has_names {
            return NONE;
        }
        if at.lengths & length_bit(name) != 0 {
            let found = self.find(at, Print::of(name), name);
            if found != NONE {
                return found;
            }
        }
        if at.is_deep && has_dot(name) { self.dotted(node, name) } else { NONE }
    }

    #[inline]
    fn find(&self, at: &Node, print: Print, name: &[u8]) -> u32 {
        let slots = &self.slots[at.slots as usize..][..=at.mask as usize];
        let mut place = print.hash();
        loop {
            let slot = &slots[(place & at.mask) as usize];
            if slot.node == NONE || (slot.print == print && self.is_named(slot, name)) {
                return slot.node;
            }
            place = place.wrapping_add(1);
        }
    }

    #[inline]
    fn is_named(&self, slot: &Slot, name: &[u8]) -> bool {
        name.len() <= 16 || self.long[slot.long as usize..].starts_with(name)
    }

    /// The node at the end of a path, or [`NONE`].
    pub(crate) fn at(&self, path: &[u8]) -> u32 {
        self.dotted(ROOT, path)
    }

    #[cold]
    fn dotted(&self, node: u32, name: &[u8]) -> u32 {
        name.split(|&byte| byte == b'.').fold(node, |node, name| match node {
            NONE => NONE,
            _ if !self.has_names(node) => NONE,
            _ => self.find(&self.nodes[node as usize], Print::of(name), name),
        })
    }
}

/// Patterns are far too short for more than a `u32` can count.
pub(crate) fn number(count: usize) -> u32 {
    u32::try_from(count).expect("patterns are far shorter")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(paths: &[&str], names: &[&str], expected: Option<u32>) {
        let tree = Names::new(paths.iter().map(|path| path.as_bytes()));
        let walk =
            |node, name: &&str| if node == NONE { NONE } else { tree.below(node, name.as_bytes()) };
        let node = names.iter().fold(ROOT, walk);
        let field = if node == NONE { NONE } else { tree.field(node) };
        assert_eq!(field, expected.unwrap_or(NONE));
    }

    #[test]
    fn names_lead_to_fields() {
        check(&["a", "a.b", "a.b.c"], &["a", "b"], Some(1));
        check(&["a.b"], &["a"], None);
        check(&["a.b"], &["b"], None);
        check(&[], &["a"], None);
    }

    #[test]
    fn a_name_with_dots_goes_down() {
        check(&["a.b.c"], &["a.b", "c"], Some(0));
        check(&["a.b.c"], &["a", "b.c"], Some(0));
        check(&["a.b.c"], &["a.b.c"], Some(0));
        check(&["a.b.c"], &["a.b.c."], None);
        check(&["some.detail.of.it.all"], &["some.detail.of.it.all"], Some(0));
    }

    #[test]
    fn a_dot_is_seen_wherever_it_stands() {
        for length in 0..40 {
            let mut name = vec![b'/'; length];
            assert!(!has_dot(&name));
            for at in 0..length {
                name[at] = b'.';
                assert!(has_dot(&name));
                name[at] = b'/';
            }
        }
    }

    #[test]
    fn an_empty_name_is_a_name() {
        check(&["", "a.", ".b"], &[""], Some(0));
        check(&["", "a.", ".b"], &["a", ""], Some(1));
        check(&["", "a.", ".b"], &["a."], Some(1));
        check(&["", "a.", ".b"], &["", "b"], Some(2));
    }

    #[test]
    fn names_are_told_apart_by_every_byte() {
        let long = ["abcdefgh-x-ijklmnop", "abcdefgh-y-ijklmnop", "abcdefghijklmnop", "abcdefgh"];
        for (field, name) in (0..).zip(long) {
            check(&long, &[name], Some(field));
        }
        check(&long, &["abcdefgh-z-ijklmnop"], None);
        check(&["a\0"], &["a"], None);
        check(&["a"], &["a\0"], None);
    }
}
