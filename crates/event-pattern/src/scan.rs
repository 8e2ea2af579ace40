//! Finds the structure of an event's text, 64 bytes at a time.
//!
//! Called by `event` for each event. Every question is asked of 64 bytes at once: a set of them is a
//! `u64`, the first byte its lowest bit. What is asked is what can be told without knowing the
//! brackets around: that strings, numbers and literals are such, and that no two stand side by side.
//! The rest of JSON's grammar is for the walk over the tokens that are found here.

#![expect(
    clippy::inline_always,
    reason = "what is not part of the function made for the processor's instructions cannot use them"
)]

use std::hint::black_box;

use fearless_simd::{Level, Simd, dispatch, prelude::*, u8x64};

/// The brackets, colons and commas of an event outside its strings, in order.
///
/// Between two of them stands white space and at most one string or other scalar.
#[derive(Debug)]
pub(crate) struct Tokens {
    level: Level,
    /// Where they stand. Beyond `count`, leftovers.
    at: Vec<u32>,
    count: usize,
    /// Whether there is any backslash.
    pub(crate) has_escapes: bool,
}

impl Tokens {
    pub(crate) fn new() -> Self {
        Self::with_level(Level::new())
    }

    /// For a processor with instructions of this level.
    pub(crate) fn with_level(level: Level) -> Self {
        Self { level, at: Vec::new(), count: 0, has_escapes: false }
    }

    /// Finds the tokens of the text; `false` if some string or other scalar is not JSON's.
    ///
    /// The text must be shorter than a `u32` can count.
    pub(crate) fn scan(&mut self, text: &[u8]) -> bool {
        let level = self.level;
        dispatch!(level, simd => scan(simd, self, text))
    }

    /// Where they stand.
    #[inline]
    pub(crate) fn positions(&self) -> &[u32] {
        &self.at[..self.count]
    }
}

/// The bytes of a block by what they are, strings looked into or not.
struct Classes {
    quote: u64,
    backslash: u64,
    control: u64,
    /// Brackets, colons and commas.
    token: u64,
    white: u64,
}

/// The bytes of a block that numbers are made of.
struct Digits {
    digit: u64,
    zero: u64,
    dot: u64,
    minus: u64,
}

#[inline(always)]
fn equal<S: Simd>(simd: S, block: u8x64<S>, byte: u8) -> u64 {
    block.simd_eq(u8x64::splat(simd, byte)).to_bitmask()
}

#[inline(always)]
fn classes<S: Simd>(simd: S, block: u8x64<S>) -> Classes {
    let control = block.simd_lt(u8x64::splat(simd, 0x20)).to_bitmask();
    // Hidden, lest a compiler without mask registers take 64 booleans over the branch, one by one.
    let mut white = black_box(equal(simd, block, b' '));
    if control != 0 {
        white |= equal(simd, block, b'\n') | equal(simd, block, b'\r') | equal(simd, block, b'\t');
    }
    // `[` and `]` are `{` and `}` but for one bit.
    let braced = block | u8x64::splat(simd, 0x20);
    let token = braced.simd_eq(u8x64::splat(simd, b'{'))
        | braced.simd_eq(u8x64::splat(simd, b'}'))
        | block.simd_eq(u8x64::splat(simd, b':'))
        | block.simd_eq(u8x64::splat(simd, b','));
    Classes {
        quote: equal(simd, block, b'"'),
        backslash: equal(simd, block, b'\\'),
        control,
        token: token.to_bitmask(),
        white,
    }
}

#[inline(always)]
fn digits<S: Simd>(simd: S, block: u8x64<S>) -> Digits {
    let digit = block.simd_ge(u8x64::splat(simd, b'0')).to_bitmask()
        & block.simd_le(u8x64::splat(simd, b'9')).to_bitmask();
    Digits {
        digit,
        zero: equal(simd, block, b'0'),
        dot: equal(simd, block, b'.'),
        minus: equal(simd, block, b'-'),
    }
}

/// A relation from bytes to later bytes, carried over the end of a block.
#[derive(Clone, Copy, Default)]
struct Next {
    carry: bool,
}

impl Next {
    /// For each byte of `from`, the first after it that is not in `over`; and the same for each of
    /// `at`, or itself.
    #[inline(always)]
    fn after_or_at(&mut self, from: u64, at: u64, over: u64) -> u64 {
        // Adding to the lowest bit of a run of ones clears the run and sets the bit after it.
        let (after, beyond) = from.carrying_add(from, self.carry);
        let (sum, overflow) = (after | at).overflowing_add(over);
        self.carry = beyond | overflow;
        sum & !over
    }

    /// The bytes after those of `set`.
    #[inline(always)]
    fn after(&mut self, set: u64) -> u64 {
        let (after, beyond) = set.carrying_add(set, self.carry);
        self.carry = beyond;
        after
    }
}

/// What a block depends on of the blocks before it.
#[derive(Clone, Copy, Default)]
struct State {
    /// All ones inside a string.
    in_string: u64,
    /// Whether the last byte escapes the next.
    escapes: u64,
    after_scalar: Next,
    after_item: Next,
    numbers: Numbers,
}

/// The bytes of a block by their place.
struct Sets {
    token: u64,
    /// Scalars that are no strings, and whatever else should not be there.
    scalar: u64,
    scalar_start: u64,
}

impl State {
    /// Tells bytes in strings from those outside; also what is wrong with them.
    #[inline(always)]
    fn sets(&mut self, all: &Classes, text: &[u8], at: usize) -> (Sets, u64) {
        let escaped = self.escaped(all.backslash);
        let quote = all.quote & !escaped;
        // With the opening quote, without the closing one.
        let inside = prefix_xor(quote) ^ self.in_string;
        self.in_string = 0_u64.wrapping_sub(inside >> 63);
        let mut wrong = all.control & inside;
        if all.backslash & inside != 0 {
            wrong |= wrong_escapes(text, at, all.backslash & inside & !escaped);
        }
        let outside = !(inside | quote);
        let token = all.token & outside;
        let white = all.white & outside;
        let scalar = outside & !(token | white);
        let after_scalar = self.after_scalar.after(scalar);
        // After a string or another scalar comes a token.
        let closing = quote & !inside;
        wrong |= self.after_item.after_or_at(closing, after_scalar & !scalar, white) & !token;
        (Sets { token, scalar, scalar_start: scalar & !after_scalar }, wrong)
    }

    /// The bytes that a backslash escapes.
    #[inline(always)]
    fn escaped(&mut self, backslash: u64) -> u64 {
        if backslash | self.escapes == 0 {
            return 0;
        }
        let mut escaped = self.escapes;
        let mut left = backslash & !escaped;
        self.escapes = 0;
        while left != 0 {
            let bit = left & left.wrapping_neg();
            escaped |= bit << 1;
            self.escapes |= bit >> 63;
            left &= !(bit | bit << 1);
        }
        escaped
    }
}

/// For each bit, whether the number of ones up to and with it is odd.
#[inline(always)]
fn prefix_xor(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
}

/// Those of the backslashes that begin no escape of JSON.
#[cold]
fn wrong_escapes(text: &[u8], at: usize, mut backslashes: u64) -> u64 {
    let mut wrong = 0;
    while backslashes != 0 {
        let bit = backslashes.trailing_zeros();
        backslashes &= backslashes - 1;
        let escape = &text[at + bit as usize + 1..];
        let is_right = match escape.first() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => true,
            Some(b'u') => {
                escape.get(1..5).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            }
            _ => false,
        };
        if !is_right {
            wrong |= 1 << bit;
        }
    }
    wrong
}

/// What the numbers of a block depend on of the blocks before it.
#[derive(Clone, Copy, Default)]
struct Numbers {
    after_digit: Next,
    after_point: Next,
    after_other: Next,
    after_first_minus: Next,
    after_first_zero: Next,
    after_fraction: Next,
    /// Where the last scalar began.
    start: usize,
    /// Scalars before this have been read by [`scalar_end`].
    read: usize,
}

impl Numbers {
    /// Whether the next block must be looked at though it has no scalar.
    #[inline(always)]
    fn is_pending(&self) -> bool {
        self.after_digit.carry
            | self.after_point.carry
            | self.after_other.carry
            | self.after_first_minus.carry
            | self.after_first_zero.carry
            | self.after_fraction.carry
    }

    /// Finds where scalars are neither numbers nor literals.
    #[inline(always)]
    fn wrong(&mut self, text: &[u8], at: usize, sets: &Sets, digits: &Digits) -> u64 {
        let Sets { scalar, scalar_start, .. } = *sets;
        let digit = digits.digit & scalar;
        let dot = digits.dot & scalar;
        let minus = digits.minus & scalar;
        let other = scalar & !(digit | dot | minus);
        // A dot follows a digit; a digit follows a dot and a minus; a minus comes first, or after
        // the `e` that `others` knows.
        let mut wrong = dot & !self.after_digit.after(digit);
        wrong |= self.after_point.after(dot | minus) & !digit;
        wrong |= minus & !(scalar_start | self.after_other.after(other));
        // No digit follows a zero that comes first.
        let first = scalar_start | self.after_first_minus.after(minus & scalar_start);
        wrong |= self.after_first_zero.after(digits.zero & first) & digit;
        // The digits after a dot do not end at another.
        wrong |= self.after_fraction.after_or_at(dot, 0, digit) & dot;
        if other != 0 {
            let others = others(text, at, scalar_start, other, self.start, self.read);
            wrong |= others.0;
            self.read = others.1;
        }
        if scalar_start != 0 {
            self.start = at + 63 - scalar_start.leading_zeros() as usize;
        }
        wrong
    }
}

/// Reads the scalars that are more than digits, dot and minus one by one; tells what is wrong and
/// up to where they are read.
///
/// By value, lest the state of the scan be kept in memory for it.
#[inline(never)]
fn others(
    text: &[u8],
    at: usize,
    scalar_start: u64,
    mut other: u64,
    last_start: usize,
    mut read: usize,
) -> (u64, usize) {
    let mut wrong = 0;
    while other != 0 {
        let bit = other & other.wrapping_neg();
        other &= other - 1;
        if at + (bit.trailing_zeros() as usize) < read {
            continue;
        }
        let starts = scalar_start & (bit | (bit - 1));
        let start = match starts {
            0 => last_start,
            _ => at + 63 - starts.leading_zeros() as usize,
        };
        match scalar_end(&text[start..]) {
            Some(length) => read = start + length,
            None => wrong |= bit,
        }
    }
    (wrong, read)
}

/// The length of the number or literal that begins here, if it is one and ends as it should.
fn scalar_end(text: &[u8]) -> Option<usize> {
    let digits = |from: usize| text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let length = match text[0] {
        b't' if text.starts_with(b"true") => 4,
        b'f' if text.starts_with(b"false") => 5,
        b'n' if text.starts_with(b"null") => 4,
        b'-' | b'0'..=b'9' => {
            let mut at = usize::from(text[0] == b'-');
            at += match text.get(at)? {
                b'0' => 1,
                _ => Some(digits(at)).filter(|&count| count > 0)?,
            };
            if text.get(at) == Some(&b'.') {
                at += 1 + Some(digits(at + 1)).filter(|&count| count > 0)?;
            }
            if let Some(b'e' | b'E') = text.get(at) {
                at += 1;
                at += usize::from(matches!(text.get(at), Some(b'+' | b'-')));
                at += Some(digits(at)).filter(|&count| count > 0)?;
            }
            at
        }
        _ => return None,
    };
    let after = text.get(length)?;
    b",:{}[]\" \n\r\t".contains(after).then_some(length)
}

#[inline(always)]
fn scan<S: Simd>(simd: S, tokens: &mut Tokens, text: &[u8]) -> bool {
    let mut state = State::default();
    let mut count = 0;
    let mut backslashes = 0;
    let (whole, rest) = text.as_chunks::<64>();
    let last = padded(rest);
    for (index, block) in whole.iter().chain([&last]).enumerate() {
        let at = index * 64;
        let block = u8x64::from_slice(simd, block);
        let all = classes(simd, block);
        backslashes |= all.backslash;
        let (sets, mut wrong) = state.sets(&all, text, at);
        if sets.scalar != 0 || state.numbers.is_pending() {
            wrong |= state.numbers.wrong(text, at, &sets, &digits(simd, block));
        }
        if wrong != 0 {
            return false;
        }
        if tokens.at.len() < count + 64 {
            make_room(&mut tokens.at, count + 64);
        }
        write_positions(&mut tokens.at[count..count + 64], small(at), sets.token);
        count += sets.token.count_ones() as usize;
    }
    tokens.has_escapes = backslashes != 0;
    tokens.count = count;
    true
}

/// The last of the text, and white space after it.
#[inline(never)]
fn padded(rest: &[u8]) -> [u8; 64] {
    let mut padded = [b' '; 64];
    padded[..rest.len()].copy_from_slice(rest);
    padded
}

#[cold]
fn make_room(positions: &mut Vec<u32>, tokens: usize) {
    let room = (positions.len() * 2).max(tokens).max(256);
    positions.resize(room, 0);
}

/// Of an event, everything can be counted by a `u32`: it is far shorter.
#[expect(clippy::cast_possible_truncation, reason = "`event` bounds the text first")]
#[inline(always)]
fn small(count: usize) -> u32 {
    count as u32
}

/// Writes where the ones of `bits` stand, counted from `at`.
#[inline(always)]
fn write_positions(out: &mut [u32], at: u32, mut bits: u64) {
    for slots in out.chunks_exact_mut(8) {
        // All eight, lest the processor guess wrongly how many there are.
        for slot in slots {
            *slot = at + bits.trailing_zeros();
            bits &= bits.wrapping_sub(1);
        }
        if bits == 0 {
            break;
        }
    }
}
