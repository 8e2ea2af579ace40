//! One walk over an event: looks up the names and values that are mentioned, steps over all else.
//!
//! Called by `event` with the tokens that `scan` has found. It must never recurse deeper than an event may be nested.

use super::{Array, Content, Element, Event, Field, Value, scalar, skip::skip, small};
use crate::{
    clause::Reading,
    json::{self, unquote_into},
    names::{NONE, Names, ROOT},
    trigger::Firing,
};

/// Whether a byte outside strings is white space. The scan has passed no control character but those that are.
#[inline]
fn is_white(byte: u8) -> bool {
    byte <= b' '
}

/// Where the string or other scalar between two tokens begins, if there is one.
#[inline]
pub(super) fn item(bytes: &[u8], from: usize, to: usize) -> Option<usize> {
    let first = bytes[from..to].first()?;
    if !is_white(*first) {
        return Some(from);
    }
    let white = bytes[from..to].iter().position(|byte| !is_white(*byte));
    white.map(|white| from + white)
}

/// The tokens do not follow each other as JSON's do.
#[derive(Debug)]
pub(super) struct Broken;

/// One walk over an event, which finds out as well whether its tokens are JSON's.
pub(super) struct Walk<'w> {
    pub(super) text: &'w str,
    pub(super) bytes: &'w [u8],
    /// Where the tokens stand. Between two is at most one string or other scalar.
    pub(super) positions: &'w [u32],
    pub(super) has_escapes: bool,
    pub(super) names: &'w Names,
    pub(super) fields: &'w [Field],
    pub(super) lower: &'w mut Vec<u8>,
    pub(super) name: &'w mut Vec<u8>,
    pub(super) event: &'w mut Event,
    pub(super) firing: Firing<'w>,
}

impl Walk<'_> {
    pub(super) fn root(&mut self) -> Result<(), Broken> {
        let at = self.at(0)?;
        if self.bytes[at] == b'{' && item(self.bytes, 0, at).is_none() {
            self.object(0, ROOT, NONE, json::DEPTH_MAX).map(|_| ())
        } else {
            Err(Broken)
        }
    }

    #[inline]
    fn at(&self, token: usize) -> Result<usize, Broken> {
        self.positions.get(token).map(|&at| at as usize).ok_or(Broken)
    }

    /// Walks the object that opens with this token, and tells the token that closes it.
    fn object(
        &mut self,
        open: usize,
        node: u32,
        element: u32,
        depth: usize,
    ) -> Result<usize, Broken> {
        if !self.names.has_names(node) {
            return skip(self.bytes, self.positions, open, depth);
        }
        let depth = depth.checked_sub(1).ok_or(Broken)?;
        let mut token = open;
        let mut at = self.at(token)?;
        loop {
            // A member: its name, a colon, its value and a token more.
            let colon = self.at(token + 1)?;
            let name = item(self.bytes, at + 1, colon);
            match (name, self.bytes[colon]) {
                (Some(name), b':') if self.bytes[name] == b'"' => {
                    let below = self.below(node, name, colon);
                    token = self.value(token + 2, colon + 1, below, element, depth)?;
                }
                (None, b'}') if token == open => return Ok(token + 1),
                _ => return Err(Broken),
            }
            at = self.at(token)?;
            match self.bytes[at] {
                b',' => {}
                b'}' => return Ok(token),
                _ => return Err(Broken),
            }
        }
    }

    /// Walks the value between `from` and the token `next`, or the one that this token opens;
    /// tells the token after it.
    #[inline]
    fn value(
        &mut self,
        next: usize,
        from: usize,
        node: u32,
        element: u32,
        depth: usize,
    ) -> Result<usize, Broken> {
        let at = self.at(next)?;
        let close = match (self.bytes[at], item(self.bytes, from, at)) {
            (b'{' | b'[', None) if node == NONE => skip(self.bytes, self.positions, next, depth)?,
            (b'{', None) => self.object(next, node, element, depth)?,
            (b'[', None) => self.array(next, node, element, depth)?,
            (b',' | b'}' | b']', Some(item)) => {
                if node != NONE && self.names.field(node) != NONE {
                    self.scalar(item, at, self.names.field(node), element);
                }
                return Ok(next);
            }
            _ => return Err(Broken),
        };
        let next = close + 1;
        let at = self.at(next)?;
        match item(self.bytes, self.at(close)? + 1, at) {
            None => Ok(next),
            Some(_) => Err(Broken),
        }
    }

    /// Walks the array that opens with this token, and tells the token that closes it.
    fn array(
        &mut self,
        open: usize,
        node: u32,
        parent: u32,
        depth: usize,
    ) -> Result<usize, Broken> {
        let depth = depth.checked_sub(1).ok_or(Broken)?;
        let first = self.at(open + 1)?;
        if self.bytes[first] == b']' && item(self.bytes, self.at(open)? + 1, first).is_none() {
            return Ok(open + 1);
        }
        let array = self.event.arrays.len();
        self.event.arrays.push(Array { end: 0, scalars: NONE });
        let mut token = open;
        loop {
            let from = self.at(token)? + 1;
            token = self.element(token + 1, from, node, parent, array, depth)?;
            match self.bytes[self.at(token)?] {
                b',' => {}
                b']' => break,
                _ => return Err(Broken),
            }
        }
        self.event.arrays[array].end = self.count();
        Ok(token)
    }

    /// Walks an element of an array.
    fn element(
        &mut self,
        next: usize,
        from: usize,
        node: u32,
        parent: u32,
        array: usize,
        depth: usize,
    ) -> Result<usize, Broken> {
        let before = self.count();
        if !matches!(self.bytes[self.at(next)?], b'{' | b'[') {
            let token = self.value(next, from, node, parent, depth)?;
            if self.count() > before {
                self.event.arrays[array].scalars = self.names.field(node);
            }
            return Ok(token);
        }
        let element = self.event.elements.len();
        let values = before..before;
        self.event.elements.push(Element { array: small(array), parent, values });
        let token = self.value(next, from, node, small(element), depth)?;
        self.event.elements[element].values.end = self.count();
        Ok(token)
    }

    /// How many values there are so far.
    fn count(&self) -> u32 {
        small(self.event.values.len())
    }

    /// The node of the name that begins at `from` and ends before `colon`.
    #[inline]
    fn below(&mut self, node: u32, from: usize, colon: usize) -> u32 {
        let name = &self.bytes[from + 1..self.trimmed(colon) - 1];
        if self.has_escapes && name.contains(&b'\\') {
            self.name.clear();
            unquote_into(name, self.name);
            return self.names.below(node, self.name);
        }
        self.names.below(node, name)
    }

    /// The end without the white space before it. There must be something else.
    #[inline]
    fn trimmed(&self, mut to: usize) -> usize {
        while is_white(self.bytes[to - 1]) {
            to -= 1;
        }
        to
    }

    /// Looks up a string or other scalar, and keeps it if it will be looked at again.
    fn scalar(&mut self, from: usize, to: usize, field: u32, element: u32) {
        let to = self.trimmed(to);
        let content = match self.bytes[from] {
            b'"' => {
                let inner = &self.bytes[from + 1..to - 1];
                if self.has_escapes && inner.contains(&b'\\') {
                    let start = small(self.event.unquoted.len());
                    unquote_into(inner, &mut self.event.unquoted);
                    Content::Unquoted(start..small(self.event.unquoted.len()))
                } else {
                    Content::Plain
                }
            }
            b't' => Content::True,
            b'f' => Content::False,
            b'n' => Content::Null,
            _ => Content::Number,
        };
        let Field { index, is_kept } = &self.fields[field as usize];
        let reading = Reading::default();
        let scalar = scalar(self.text, from..to, &content, &self.event.unquoted, &reading);
        index.look_up(scalar, self.lower, &mut self.firing);
        if *is_kept {
            let raw = small(from)..small(to);
            self.keep(field, Value { raw, content, next: NONE, element });
        }
    }

    fn keep(&mut self, field: u32, value: Value) {
        let number = self.count();
        let ends = &mut self.event.ends[field as usize];
        ends.in_elements |= value.element != NONE;
        if ends.first == NONE {
            ends.first = number;
            self.event.present.push(field);
        } else {
            self.event.values[ends.last as usize].next = number;
        }
        ends.last = number;
        self.event.values.push(value);
    }
}
