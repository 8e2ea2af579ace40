//! Finds the structure of an event's text, and whether it is JSON at all, 64 bytes at a time.
//!
//! Called by `event` for each event. Every question is asked of 64 bytes at once: a set of them is a
//! `u64`, the first byte its lowest bit. What it passes is JSON exactly as [`crate::json::Reader`]
//! has it; what it does not pass is read again by the `Reader`, which says why. It must never pass
//! what the `Reader` refuses, nor look at a text's meaning.

#![expect(
    clippy::inline_always,
    reason = "what is not part of the function that was made for the processor's instructions cannot use them"
)]

use fearless_simd::{Level, Simd, dispatch, prelude::*, u8x64};

use crate::json::DEPTH_MAX;

/// The brackets, colons and commas of an event's object, in order.
///
/// Strings and other scalars lie between them: a member is the token before it (`{` or `,`), its
/// name, a colon, its value and the token after it.
#[derive(Debug)]
pub(crate) struct Tokens {
    level: Level,
    /// Where they stand. Beyond the last, leftovers.
    at: Vec<u32>,
    /// For an opening bracket, the number of the token that closes it.
    partner: Vec<u32>,
    /// Room for the brackets that are open.
    open: [u32; DEPTH_MAX],
    /// Whether any string has a backslash.
    pub(crate) has_escapes: bool,
}

impl Tokens {
    pub(crate) fn new() -> Self {
        Self {
            level: Level::new(),
            at: Vec::new(),
            partner: Vec::new(),
            open: [0; DEPTH_MAX],
            has_escapes: false,
        }
    }

    /// Finds the tokens of the object that begins at `start`; `false` if it is not one in JSON
    /// nested at most [`DEPTH_MAX`] levels deep.
    pub(crate) fn scan(&mut self, text: &[u8], start: usize) -> bool {
        let level = self.level;
        dispatch!(level, simd => scan(simd, self, text, start))
    }

    /// Where the token stands.
    #[inline]
    pub(crate) fn at(&self, token: usize) -> usize {
        self.at[token] as usize
    }

    /// The token that closes this one, which must open an object or array.
    #[inline]
    pub(crate) fn partner(&self, token: usize) -> usize {
        self.partner[token] as usize
    }
}

/// The bytes of a block by what they are, strings looked into or not.
struct Classes {
    quote: u64,
    backslash: u64,
    control: u64,
    comma: u64,
    colon: u64,
    open_object: u64,
    close_object: u64,
    open_array: u64,
    close_array: u64,
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
    let mut white = equal(simd, block, b' ');
    if control != 0 {
        white |= equal(simd, block, b'\n') | equal(simd, block, b'\r') | equal(simd, block, b'\t');
    }
    Classes {
        quote: equal(simd, block, b'"'),
        backslash: equal(simd, block, b'\\'),
        control,
        comma: equal(simd, block, b','),
        colon: equal(simd, block, b':'),
        open_object: equal(simd, block, b'{'),
        close_object: equal(simd, block, b'}'),
        open_array: equal(simd, block, b'['),
        close_array: equal(simd, block, b']'),
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
    /// For each byte of `from`, the first after it that is not in `over`.
    #[inline(always)]
    fn after(&mut self, from: u64, over: u64) -> u64 {
        self.after_or_at(from, 0, over)
    }

    /// The same, and for each byte of `at`, itself or the first after it that is not in `over`.
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
    fn shift(&mut self, set: u64) -> u64 {
        let (after, beyond) = set.carrying_add(set, self.carry);
        self.carry = beyond;
        after
    }
}

/// What the grammar of a block depends on of the blocks before it.
#[derive(Default)]
struct State {
    /// All ones inside a string.
    in_string: u64,
    /// Whether the last byte escapes the next.
    escapes: u64,
    /// After a scalar that is no string.
    after_scalar: Next,
    is_begun: bool,
    after_item: Next,
    after_items: Next,
    after_open_object: Next,
    after_open_array: Next,
    after_close: Next,
    after_colon: Next,
    numbers: Numbers,
}

/// The bytes of a block by their place in the grammar.
struct Sets {
    /// Inside a string, the opening quote included, the closing one not.
    inside: u64,
    quote: u64,
    white: u64,
    comma: u64,
    colon: u64,
    open: u64,
    open_object: u64,
    open_array: u64,
    close: u64,
    close_object: u64,
    close_array: u64,
    /// Brackets, colons and commas.
    token: u64,
    /// Scalars that are no strings, and whatever else should not be there.
    scalar: u64,
    scalar_start: u64,
    /// The bytes after them.
    scalar_end: u64,
    /// Of the tokens, those whose last token is a comma, but for colons: what arrays have.
    after_comma: u64,
}

impl State {
    /// Tells bytes in strings from those outside, and finds control characters and wrong escapes.
    #[inline(always)]
    fn sets(&mut self, all: &Classes, text: &[u8], at: usize, wrong: &mut u64) -> Sets {
        let escaped = self.escaped(all.backslash);
        let quote = all.quote & !escaped;
        let inside = prefix_xor(quote) ^ self.in_string;
        self.in_string = 0_u64.wrapping_sub(inside >> 63);
        *wrong |= all.control & inside;
        if all.backslash & inside != 0 {
            *wrong |= wrong_escapes(text, at, all.backslash & inside & !escaped);
        }
        let outside = !(inside | quote);
        let [comma, colon] = [all.comma & outside, all.colon & outside];
        let [open_object, open_array] = [all.open_object & outside, all.open_array & outside];
        let [close_object, close_array] = [all.close_object & outside, all.close_array & outside];
        let (open, close) = (open_object | open_array, close_object | close_array);
        let token = comma | colon | open | close;
        let white = all.white & outside;
        let scalar = outside & !(token | white);
        let after_scalar = self.after_scalar.shift(scalar);
        Sets {
            inside,
            quote,
            white,
            comma,
            colon,
            open,
            open_object,
            open_array,
            close,
            close_object,
            close_array,
            token,
            scalar,
            scalar_start: scalar & !after_scalar,
            scalar_end: after_scalar & !scalar,
            after_comma: 0,
        }
    }

    /// The bytes that a backslash escapes.
    #[inline(always)]
    fn escaped(&mut self, backslash: u64) -> u64 {
        if backslash | self.escapes == 0 {
            return 0;
        }
        // In each run of backslashes every other escapes; runs are told by where they start.
        let escaping_at_first = self.escapes;
        let mut escaped = escaping_at_first;
        let mut left = backslash & !escaping_at_first;
        self.escapes = 0;
        while left != 0 {
            let bit = left & left.wrapping_neg();
            let (next, overflow) = (bit << 1, bit >> 63);
            escaped |= next;
            self.escapes |= overflow;
            left &= !(bit | next);
        }
        escaped
    }

    /// Finds what stands where it may not, but for what depends on the bracket around it.
    #[inline(always)]
    fn wrong(&mut self, sets: &mut Sets) -> u64 {
        let Sets { token, open, colon, .. } = *sets;
        // Between two tokens stands at most one item: a string, or another scalar.
        let closing_quote = sets.quote & !sets.inside;
        let mut wrong =
            self.after_item.after_or_at(closing_quote, sets.scalar_end, sets.white) & !token;
        let item = (sets.quote & sets.inside) | sets.scalar_start;
        let item = self.after_items.after(item, !token);
        // What may follow each token, with an item between or without.
        let after_object = self.after_open_object.after(sets.open_object, !token);
        wrong |= after_object & !((colon & item) | (sets.close_object & !item));
        let after_array = self.after_open_array.after(sets.open_array, !token);
        wrong |= after_array & (colon | (sets.comma & !item) | (open & item));
        let after_close = self.after_close.after(sets.close, !token);
        wrong |= after_close & (item | open | colon);
        let after_colon = self.after_colon.after(colon, !token);
        wrong |= after_colon & (colon | !(item ^ open));
        let mut after_comma = token & !(after_object | after_array | after_close | after_colon);
        if !self.is_begun {
            // The opening brace of the event comes after nothing.
            after_comma &= after_comma.wrapping_sub(1);
            self.is_begun = true;
        }
        sets.after_comma = after_comma & !colon;
        wrong | (after_comma & !(item ^ open))
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
    after_scalar: Next,
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
            | self.after_scalar.carry
            | self.after_fraction.carry
    }

    /// Finds where scalars are neither numbers nor literals, or stand for names.
    #[inline(always)]
    fn wrong(&mut self, text: &[u8], at: usize, sets: &Sets, digits: &Digits) -> u64 {
        let Sets { scalar, scalar_start, .. } = *sets;
        let digit = digits.digit & scalar;
        let dot = digits.dot & scalar;
        let minus = digits.minus & scalar;
        let other = scalar & !(digit | dot | minus);
        // A dot follows a digit; a digit follows a dot and a minus; a minus comes first, or after
        // the `e` that `others` knows.
        let mut wrong = dot & !self.after_digit.shift(digit);
        wrong |= self.after_point.shift(dot | minus) & !digit;
        wrong |= minus & !(scalar_start | self.after_other.shift(other));
        // No digit follows a zero that comes first.
        let first = scalar_start | self.after_first_minus.shift(minus & scalar_start);
        wrong |= self.after_first_zero.shift(digits.zero & first) & digit;
        // The digits after a dot do not end at another.
        wrong |= self.after_fraction.after(dot, digit) & dot;
        wrong |= self.after_scalar.after(scalar_start, !sets.token) & sets.colon;
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

/// The brackets that are open.
struct Nesting<'t> {
    /// The token of each.
    open: &'t mut [u32; DEPTH_MAX],
    /// Whether each is an array's, the outermost the highest bit.
    arrays: u128,
    depth: usize,
}

const _: () = assert!(DEPTH_MAX == u128::BITS as usize);

/// What came of a block's brackets.
enum Walk {
    On,
    /// The event ends within the block, at the last of these bytes.
    Ended(u64),
    TooDeep,
}

impl Nesting<'_> {
    /// Finds brackets that do not fit, and commas and colons that do not fit the brackets around
    /// them. `count` is the number of the block's first token.
    #[inline(always)]
    fn walk(&mut self, sets: &Sets, count: u32, partner: &mut [u32], wrong: &mut u64) -> Walk {
        let mut brackets = sets.open | sets.close;
        let mut left = u64::MAX;
        while brackets != 0 {
            // This bit and those below it.
            let upto = brackets ^ (brackets - 1);
            let bit = brackets & brackets.wrapping_neg();
            brackets &= brackets - 1;
            *wrong |= self.misfits(sets) & upto & left;
            left = !upto;
            let token = count + (sets.token & (upto >> 1)).count_ones();
            if sets.open & bit != 0 {
                let Some(open) = self.open.get_mut(self.depth) else { return Walk::TooDeep };
                *open = token;
                self.depth += 1;
                self.arrays = self.arrays << 1 | u128::from(sets.open_array & bit != 0);
                continue;
            }
            if (self.arrays & 1 == 1) != (sets.close_array & bit != 0) {
                *wrong |= bit;
            }
            self.arrays >>= 1;
            self.depth -= 1;
            partner[self.open[self.depth] as usize] = token;
            if self.depth == 0 {
                return Walk::Ended(upto);
            }
        }
        *wrong |= self.misfits(sets) & left;
        Walk::On
    }

    /// What may not stand directly between the innermost brackets.
    #[inline(always)]
    fn misfits(&self, sets: &Sets) -> u64 {
        if self.arrays & 1 == 1 { sets.colon } else { sets.after_comma }
    }
}

#[inline(always)]
fn scan<S: Simd>(simd: S, tokens: &mut Tokens, text: &[u8], start: usize) -> bool {
    let Tokens { at: positions, partner, open, has_escapes, .. } = tokens;
    let mut state = State::default();
    let mut nesting = Nesting { open, arrays: 0, depth: 0 };
    let mut count = 0;
    let mut backslashes = 0;
    for at in (start..text.len()).step_by(64) {
        let rest = &text[at..];
        let block = if let Some(block) = rest.first_chunk::<64>() {
            u8x64::from_slice(simd, block)
        } else {
            u8x64::from_slice(simd, &padded(rest))
        };
        let mut wrong = 0;
        let all = classes(simd, block);
        backslashes |= all.backslash;
        let mut sets = state.sets(&all, text, at, &mut wrong);
        wrong |= state.wrong(&mut sets);
        if sets.scalar != 0 || state.numbers.is_pending() {
            wrong |= state.numbers.wrong(text, at, &sets, &digits(simd, block));
        }
        if positions.len() < count + 64 {
            make_room(positions, partner, count + 64);
        }
        write_positions(&mut positions[count..count + 64], small(at), sets.token);
        match nesting.walk(&sets, small(count), partner, &mut wrong) {
            Walk::On if wrong == 0 => {}
            Walk::Ended(upto) => {
                *has_escapes = backslashes != 0;
                return wrong & upto == 0;
            }
            Walk::On | Walk::TooDeep => return false,
        }
        count += sets.token.count_ones() as usize;
    }
    // The text ends before the event does.
    false
}

/// The last of the text, and white space after it.
#[inline(never)]
fn padded(rest: &[u8]) -> [u8; 64] {
    let mut padded = [b' '; 64];
    padded[..rest.len()].copy_from_slice(rest);
    padded
}

#[cold]
fn make_room(positions: &mut Vec<u32>, partner: &mut Vec<u32>, tokens: usize) {
    let room = (positions.len() * 2).max(tokens).max(256);
    positions.resize(room, 0);
    partner.resize(room, 0);
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

#[cfg(test)]
mod tests;
