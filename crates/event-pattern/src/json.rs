//! Reads JSON text without losing how it was spelled.
//!
//! Patterns and events depend on what a JSON library drops: the text of numbers, repeated member
//! names, escaped lone surrogates. `parse` builds [`Node`]s of a pattern with it, `event` walks an
//! event. It must never recurse deeper than [`DEPTH_MAX`], whatever the input.

use std::{borrow::Cow, fmt};

/// How deep objects and arrays may be nested.
pub(crate) const DEPTH_MAX: usize = 128;

/// Text that is not JSON, or not within bounds.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub(crate) enum Flaw {
    #[error("expected {wanted}, found {found}")]
    Unexpected { wanted: &'static str, found: Found },
    #[error("nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
}

/// A [`Flaw`] and the byte at which it was seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Syntax {
    pub(crate) at: usize,
    pub(crate) flaw: Flaw,
}

/// What stood where something else was expected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Found {
    End,
    Char(char),
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::End => f.write_str("the end of the text"),
            Self::Char(c) if c.is_control() || *c == '\u{feff}' => {
                write!(f, "the character U+{:04X}", u32::from(*c))
            }
            Self::Char(c) => write!(f, "`{c}`"),
        }
    }
}

/// The kind of a JSON value, told by its first character.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Shape {
    Object,
    Array,
    Text,
    Number,
    True,
    False,
    Null,
}

impl Shape {
    /// What people call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Object => "an object",
            Self::Array => "an array",
            Self::Text => "a string",
            Self::Number => "a number",
            Self::True => "true",
            Self::False => "false",
            Self::Null => "null",
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A cursor over JSON text.
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    /// The byte that is read next.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn unexpected(&self, wanted: &'static str) -> Syntax {
        // `at` is moved past whole characters only, so it is a character boundary.
        let found = self.text.get(self.at..).and_then(|rest| rest.chars().next());
        let found = found.map_or(Found::End, Found::Char);
        Syntax { at: self.at, flaw: Flaw::Unexpected { wanted, found } }
    }

    fn skip_whitespace(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Skips white space and tells which kind of value starts here.
    pub(crate) fn shape(&mut self) -> Result<Shape, Syntax> {
        self.skip_whitespace();
        match self.peek() {
            Some(b'{') => Ok(Shape::Object),
            Some(b'[') => Ok(Shape::Array),
            Some(b'"') => Ok(Shape::Text),
            Some(b'-' | b'0'..=b'9') => Ok(Shape::Number),
            Some(b't') => Ok(Shape::True),
            Some(b'f') => Ok(Shape::False),
            Some(b'n') => Ok(Shape::Null),
            _ => Err(self.unexpected("a JSON value")),
        }
    }

    /// Enters the object or array that starts here.
    pub(crate) fn enter(&mut self) -> Result<(), Syntax> {
        if self.depth == DEPTH_MAX {
            return Err(Syntax { at: self.at, flaw: Flaw::TooDeep });
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    /// The raw name of the next member, or `None` after the last; the value is next.
    pub(crate) fn member(&mut self, first: bool) -> Result<Option<&'a str>, Syntax> {
        if self.leave(b'}', first, "`,` or `}`")? {
            return Ok(None);
        }
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("a name in double quotes"));
        }
        let name = self.quoted()?;
        self.skip_whitespace();
        if self.peek() != Some(b':') {
            return Err(self.unexpected("`:`"));
        }
        self.at += 1;
        Ok(Some(name))
    }

    /// Whether there is another element; its value is next.
    pub(crate) fn element(&mut self, first: bool) -> Result<bool, Syntax> {
        Ok(!self.leave(b']', first, "`,` or `]`")?)
    }

    /// Steps over the comma before the next item, or over the closing bracket.
    fn leave(&mut self, close: u8, first: bool, wanted: &'static str) -> Result<bool, Syntax> {
        self.skip_whitespace();
        match self.peek() {
            Some(byte) if byte == close => {
                self.at += 1;
                self.depth -= 1;
                return Ok(true);
            }
            Some(b',') if !first => self.at += 1,
            _ if first => {}
            _ => return Err(self.unexpected(wanted)),
        }
        self.skip_whitespace();
        Ok(false)
    }

    /// The raw text of the scalar of this shape that starts here.
    pub(crate) fn scalar(&mut self, shape: Shape) -> Result<&'a str, Syntax> {
        match shape {
            Shape::Text => self.quoted(),
            Shape::Number => self.number(),
            Shape::True => self.word("true"),
            Shape::False => self.word("false"),
            Shape::Null => self.word("null"),
            Shape::Object | Shape::Array => Err(self.unexpected("a string, number or literal")),
        }
    }

    fn word(&mut self, word: &'static str) -> Result<&'a str, Syntax> {
        let start = self.at;
        for expected in word.bytes() {
            if self.peek() != Some(expected) {
                return Err(self.unexpected("`true`, `false` or `null`"));
            }
            self.at += 1;
        }
        if self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric()) {
            return Err(self.unexpected("the end of the value"));
        }
        Ok(&self.text[start..self.at])
    }

    fn digits(&mut self) -> Result<(), Syntax> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if start == self.at { Err(self.unexpected("a digit")) } else { Ok(()) }
    }

    fn number(&mut self) -> Result<&'a str, Syntax> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        if self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'.') {
            return Err(self.unexpected("the end of the number"));
        }
        Ok(&self.text[start..self.at])
    }

    fn quoted(&mut self) -> Result<&'a str, Syntax> {
        let start = self.at;
        self.at += 1;
        loop {
            let rest = &self.text.as_bytes()[self.at..];
            let stop = rest.iter().position(|&byte| matches!(byte, 0..0x20 | b'"' | b'\\'));
            self.at += stop.unwrap_or(rest.len());
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(&self.text[start..self.at]);
                }
                Some(b'\\') => {
                    self.at += 1;
                    self.escape()?;
                }
                Some(_) => return Err(self.unexpected("an escaped control character")),
                None => return Err(self.unexpected("a closing double quote")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Syntax> {
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                        return Err(self.unexpected("four hexadecimal digits after `\\u`"));
                    }
                    self.at += 1;
                }
            }
            _ => return Err(self.unexpected("one of `\"\\/bfnrtu` after a backslash")),
        }
        Ok(())
    }
}

/// Reads one value and forgets it. Text after it is left alone.
pub(crate) fn skip(reader: &mut Reader<'_>) -> Result<(), Syntax> {
    let mut first = true;
    match reader.shape()? {
        Shape::Object => {
            reader.enter()?;
            while reader.member(first)?.is_some() {
                first = false;
                skip(reader)?;
            }
        }
        Shape::Array => {
            reader.enter()?;
            while reader.element(first)? {
                first = false;
                skip(reader)?;
            }
        }
        shape => {
            reader.scalar(shape)?;
        }
    }
    Ok(())
}

/// The characters of a quoted string as [`Reader`] returned it.
///
/// Bytes, not `str`: a lone surrogate can be written in JSON, and is kept as the three bytes that
/// UTF-8 would use if it allowed it (WTF-8), so that it equals itself and nothing else.
pub(crate) fn unquote(raw: &str) -> Cow<'_, [u8]> {
    let inner = &raw.as_bytes()[1..raw.len() - 1];
    if !inner.contains(&b'\\') {
        return Cow::Borrowed(inner);
    }
    let mut out = Vec::with_capacity(inner.len());
    unquote_into(inner, &mut out);
    Cow::Owned(out)
}

/// Adds the characters of what stood between the quotes.
pub(crate) fn unquote_into(inner: &[u8], out: &mut Vec<u8>) {
    let mut from = 0;
    while let Some(distance) = inner[from..].iter().position(|&byte| byte == b'\\') {
        let escape = from + distance;
        out.extend_from_slice(&inner[from..escape]);
        let (code, end) = unescape(inner, escape);
        push_code(out, code);
        from = end;
    }
    out.extend_from_slice(&inner[from..]);
}

/// The code point of the escape at `at`, and where the text goes on.
fn unescape(inner: &[u8], at: usize) -> (u32, usize) {
    let simple = |code: u8| (u32::from(code), at + 2);
    match inner[at + 1] {
        b'b' => simple(0x08),
        b'f' => simple(0x0c),
        b'n' => simple(b'\n'),
        b'r' => simple(b'\r'),
        b't' => simple(b'\t'),
        b'u' => {
            let high = hex(&inner[at + 2..at + 6]);
            if (0xd800..0xdc00).contains(&high)
                && let Some([b'\\', b'u', digits @ ..]) = inner.get(at + 6..at + 12)
                && let low @ 0xdc00..0xe000 = hex(digits)
            {
                return (0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00), at + 12);
            }
            (high, at + 6)
        }
        literal => simple(literal),
    }
}

fn hex(digits: &[u8]) -> u32 {
    digits.iter().fold(0, |code, &digit| {
        code * 16 + char::from(digit).to_digit(16).expect("the reader saw hexadecimal digits")
    })
}

fn push_code(out: &mut Vec<u8>, code: u32) {
    if let Some(c) = char::from_u32(code) {
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    } else {
        let tail = |shift: u32| 0x80 | u8::try_from((code >> shift) & 0x3f).expect("six bits");
        out.extend_from_slice(&[0xed, tail(6), tail(0)]);
    }
}

/// A parsed value that knows where it stood.
pub(crate) struct Node<'a> {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) kind: Kind<'a>,
}

/// What a [`Node`] holds.
pub(crate) enum Kind<'a> {
    Object(Vec<Member<'a>>),
    Array(Vec<Node<'a>>),
    Text(Cow<'a, [u8]>),
    Number(&'a str),
    True,
    False,
    Null,
}

/// A member of an object; names may repeat.
pub(crate) struct Member<'a> {
    pub(crate) name: Cow<'a, [u8]>,
    pub(crate) name_at: usize,
    pub(crate) value: Node<'a>,
}

impl<'a> Node<'a> {
    /// Reads one value. Text after it is left alone.
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, Syntax> {
        let shape = reader.shape()?;
        let start = reader.at();
        let kind = match shape {
            Shape::Object => {
                reader.enter()?;
                let mut members: Vec<Member<'a>> = Vec::new();
                while let Some(raw) = reader.member(members.is_empty())? {
                    // Points at the name for the messages; only white space and `:` lie between.
                    let name_at = raw.as_ptr() as usize - reader.text.as_ptr() as usize;
                    members.push(Member {
                        name: unquote(raw),
                        name_at,
                        value: Self::read(reader)?,
                    });
                }
                Kind::Object(members)
            }
            Shape::Array => {
                reader.enter()?;
                let mut elements = Vec::new();
                while reader.element(elements.is_empty())? {
                    elements.push(Self::read(reader)?);
                }
                Kind::Array(elements)
            }
            Shape::Text => Kind::Text(unquote(reader.scalar(shape)?)),
            Shape::Number => Kind::Number(reader.scalar(shape)?),
            Shape::True => reader.scalar(shape).map(|_| Kind::True)?,
            Shape::False => reader.scalar(shape).map(|_| Kind::False)?,
            Shape::Null => reader.scalar(shape).map(|_| Kind::Null)?,
        };
        Ok(Self { start, end: reader.at(), kind })
    }

    pub(crate) fn shape(&self) -> Shape {
        match self.kind {
            Kind::Object(_) => Shape::Object,
            Kind::Array(_) => Shape::Array,
            Kind::Text(_) => Shape::Text,
            Kind::Number(_) => Shape::Number,
            Kind::True => Shape::True,
            Kind::False => Shape::False,
            Kind::Null => Shape::Null,
        }
    }
}

/// Line and column (in characters) of a byte of `text`, both counted from 1.
pub(crate) fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(at)];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = 1 + before.bytes().filter(|&byte| byte == b'\n').count();
    (line, 1 + before[line_start..].chars().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(raw: &str, expected: &[u8]) {
        let mut reader = Reader::new(raw);
        let quoted = reader.scalar(Shape::Text).unwrap();
        assert_eq!(unquote(quoted).as_ref(), expected);
    }

    #[test]
    fn plain_text_is_itself() {
        check(r#""aé""#, "aé".as_bytes());
    }

    #[test]
    fn escapes_are_decoded() {
        check(r#""\"\\\/\b\f\n\r\t\u00e9!""#, "\"\\/\u{8}\u{c}\n\r\té!".as_bytes());
    }

    #[test]
    fn a_surrogate_pair_is_one_character() {
        check(r#""\ud83d\uDE00""#, "😀".as_bytes());
    }

    #[test]
    fn lone_surrogates_stay_apart() {
        check(r#""\ud800\ud800""#, &[0xed, 0xa0, 0x80, 0xed, 0xa0, 0x80]);
        check(r#""\ude00x""#, &[0xed, 0xb8, 0x80, b'x']);
    }

    #[track_caller]
    fn check_refused(text: &str, at: usize, message: &str) {
        let syntax = Node::read(&mut Reader::new(text)).map(|_| ()).unwrap_err();
        assert_eq!((syntax.at, syntax.flaw.to_string().as_str()), (at, message));
    }

    #[test]
    fn a_trailing_comma_is_refused() {
        check_refused("[1,]", 3, "expected a JSON value, found `]`");
    }

    #[test]
    fn a_missing_comma_is_refused() {
        check_refused(r#"{"é":1 "b":2}"#, 8, "expected `,` or `}`, found `\"`");
    }

    #[test]
    fn an_unfinished_string_is_refused() {
        check_refused("\"a", 2, "expected a closing double quote, found the end of the text");
    }

    #[test]
    fn a_raw_control_character_is_refused() {
        let message = "expected an escaped control character, found the character U+0009";
        check_refused("\"\t\"", 1, message);
    }

    #[test]
    fn a_number_glued_to_a_word_is_refused() {
        check_refused("12x", 2, "expected the end of the number, found `x`");
    }

    #[test]
    fn nesting_is_bounded() {
        assert!(Node::read(&mut Reader::new(&nested(DEPTH_MAX))).is_ok());
        check_refused(&nested(DEPTH_MAX + 1), DEPTH_MAX, "nested deeper than 128 levels");
        check_refused(&"[".repeat(1_000_000), DEPTH_MAX, "nested deeper than 128 levels");
    }

    fn nested(depth: usize) -> String {
        "[".repeat(depth) + &"]".repeat(depth)
    }

    #[test]
    fn positions_count_lines_and_characters() {
        assert_eq!(line_and_column("a\né😀x", 8), (2, 3));
        assert_eq!(line_and_column("", 0), (1, 1));
    }
}
