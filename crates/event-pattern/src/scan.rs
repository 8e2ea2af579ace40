//! Finds the structure of an event's text, and whether it is JSON at all, 64 bytes at a time.
//!
//! Called by `event` for each event. Every question is asked of 64 bytes at once: a set of them is a
//! `u64`, the first byte its lowest bit. What it passes is JSON exactly as [`crate::json::Reader`]
//! has it; what it does not pass is read again by the `Reader`, which says why. It must never pass
//! what the `Reader` refuses, nor look at a text's meaning.

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
    /// Whether any string has a backslash.
    pub(crate) has_escapes: bool,
}

impl Tokens {
    pub(crate) fn new() -> Self {
        Self { level: Level::new(), at: Vec::new(), partner: Vec::new(), has_escapes: false }
    }

    /// Finds the tokens of the object that begins at `start`; `false` if it is not one in JSON
    /// nested at most [`DEPTH_MAX`] levels deep.
    pub(crate) fn scan(&mut self, text: &[u8], start: usize) -> bool {
        self.has_escapes = false;
        let level = self.level;
        dispatch!(level, simd => scan(simd, self, text, start))
    }

    fn make_room(&mut self, tokens: usize) {
        if self.at.len() < tokens {
            let room = (self.at.len() * 2).max(tokens).max(256);
            self.at.resize(room, 0);
            self.partner.resize(room, 0);
        }
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
#[derive(Default)]
struct Next {
    carry: u64,
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
        let (sum, overflow) = ((from << 1) | self.carry | at).overflowing_add(over);
        self.carry = (from >> 63) | u64::from(overflow);
        sum & !over
    }
}

/// What the grammar of a block depends on of the blocks before it.
#[derive(Default)]
struct State {
    /// All ones inside a string.
    in_string: u64,
    /// Whether the last byte escapes the next.
    escapes: u64,
    /// Whether the last byte was in a scalar that is no string.
    in_scalar: u64,
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
        let scalar_start = scalar & !((scalar << 1) | self.in_scalar);
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
            scalar_start,
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
        let Sets { token, scalar, open, colon, .. } = *sets;
        // Between two tokens stands at most one item: a string, or another scalar.
        let closing_quote = sets.quote & !sets.inside;
        let after_scalar = ((scalar << 1) | self.in_scalar) & !scalar;
        self.in_scalar = scalar >> 63;
        let mut wrong =
            self.after_item.after_or_at(closing_quote, after_scalar, sets.white) & !token;
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
#[derive(Default)]
struct Numbers {
    /// The top bits of the last block's sets.
    digit: u64,
    point: u64,
    other: u64,
    first_minus: u64,
    first_zero: u64,
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
        let bits = self.digit | self.point | self.other | self.first_minus | self.first_zero;
        bits | self.after_scalar.carry | self.after_fraction.carry != 0
    }

    /// Finds where scalars are neither numbers nor literals, or stand for names.
    #[inline(always)]
    fn wrong(&mut self, text: &[u8], at: usize, sets: &Sets, digits: &Digits) -> u64 {
        let Sets { scalar, scalar_start, .. } = *sets;
        let digit = digits.digit & scalar;
        let dot = digits.dot & scalar;
        let minus = digits.minus & scalar;
        let other = scalar & !(digit | dot | minus);
        let after = |set: u64, carry: &mut u64| {
            let after = (set << 1) | *carry;
            *carry = set >> 63;
            after
        };
        // A dot follows a digit; a digit follows a dot and a minus; a minus comes first, or after
        // the `e` that `others` knows.
        let mut wrong = dot & !after(digit, &mut self.digit);
        wrong |= after(dot | minus, &mut self.point) & !digit;
        wrong |= minus & !(scalar_start | after(other, &mut self.other));
        // No digit follows a zero that comes first.
        let first = scalar_start | after(minus & scalar_start, &mut self.first_minus);
        wrong |= after(digits.zero & first, &mut self.first_zero) & digit;
        // The digits after a dot do not end at another.
        wrong |= self.after_fraction.after(dot, digit) & dot;
        wrong |= self.after_scalar.after(scalar_start, !sets.token) & sets.colon;
        if other != 0 {
            wrong |= self.others(text, at, scalar_start, other);
        }
        if scalar_start != 0 {
            self.start = at + 63 - scalar_start.leading_zeros() as usize;
        }
        wrong
    }

    /// Reads the scalars that are more than digits, dot and minus one by one.
    #[inline(never)]
    fn others(&mut self, text: &[u8], at: usize, scalar_start: u64, mut other: u64) -> u64 {
        let mut wrong = 0;
        while other != 0 {
            let bit = other & other.wrapping_neg();
            other &= other - 1;
            if at + (bit.trailing_zeros() as usize) < self.read {
                continue;
            }
            let starts = scalar_start & (bit | (bit - 1));
            let start = match starts {
                0 => self.start,
                _ => at + 63 - starts.leading_zeros() as usize,
            };
            match scalar_end(&text[start..]) {
                Some(length) => self.read = start + length,
                None => wrong |= bit,
            }
        }
        wrong
    }
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
    let ends = match text.get(length)? {
        b',' | b':' | b'{' | b'}' | b'[' | b']' | b'"' | b' ' | b'\n' | b'\r' | b'\t' => true,
        _ => false,
    };
    ends.then_some(length)
}

/// The brackets that are open.
struct Nesting {
    /// The token of each, and whether it is an array's.
    open: [(u32, bool); DEPTH_MAX],
    depth: usize,
    in_array: bool,
}

/// What came of a block's brackets.
enum Walk {
    On,
    /// The event ends within the block, at the last of these bytes.
    Ended(u64),
    TooDeep,
}

impl Nesting {
    /// Finds brackets that do not fit, and commas and colons that do not fit the brackets around
    /// them. `count` is the number of the block's first token.
    #[inline(always)]
    fn walk(&mut self, sets: &Sets, count: usize, partner: &mut [u32], wrong: &mut u64) -> Walk {
        let mut brackets = sets.open | sets.close;
        let mut done = 0_u64;
        while brackets != 0 {
            let bit = brackets & brackets.wrapping_neg();
            brackets &= brackets - 1;
            let upto = bit | (bit - 1);
            let misfits = if self.in_array { sets.colon } else { sets.after_comma };
            *wrong |= misfits & upto & !done;
            done = upto;
            let token = count + (sets.token & (bit - 1)).count_ones() as usize;
            if sets.open & bit != 0 {
                let Some(open) = self.open.get_mut(self.depth) else { return Walk::TooDeep };
                self.in_array = sets.open_array & bit != 0;
                // An event has fewer bytes than a `u32` can count.
                *open = (token as u32, self.in_array);
                self.depth += 1;
                continue;
            }
            if self.in_array != (sets.close_array & bit != 0) {
                *wrong |= bit;
            }
            self.depth -= 1;
            partner[self.open[self.depth].0 as usize] = token as u32;
            match self.depth.checked_sub(1) {
                Some(around) => self.in_array = self.open[around].1,
                None => return Walk::Ended(upto),
            }
        }
        let misfits = if self.in_array { sets.colon } else { sets.after_comma };
        *wrong |= misfits & !done;
        Walk::On
    }
}

#[inline(always)]
fn scan<S: Simd>(simd: S, tokens: &mut Tokens, text: &[u8], start: usize) -> bool {
    let mut state = State::default();
    let mut nesting = Nesting { open: [(0, false); DEPTH_MAX], depth: 0, in_array: false };
    let mut count = 0;
    for at in (start..text.len()).step_by(64) {
        let rest = &text[at..];
        let block = if let Some(block) = rest.first_chunk::<64>() {
            u8x64::from_slice(simd, block)
        } else {
            let mut padded = [b' '; 64];
            padded[..rest.len()].copy_from_slice(rest);
            u8x64::from_slice(simd, &padded)
        };
        let mut wrong = 0;
        let all = classes(simd, block);
        tokens.has_escapes |= all.backslash != 0;
        let mut sets = state.sets(&all, text, at, &mut wrong);
        wrong |= state.wrong(&mut sets);
        if sets.scalar != 0 || state.numbers.is_pending() {
            wrong |= state.numbers.wrong(text, at, &sets, &digits(simd, block));
        }
        tokens.make_room(count + 64);
        write_positions(&mut tokens.at[count..count + 64], at, sets.token);
        match nesting.walk(&sets, count, &mut tokens.partner, &mut wrong) {
            Walk::On if wrong == 0 => {}
            Walk::Ended(upto) => return wrong & upto == 0,
            Walk::On | Walk::TooDeep => return false,
        }
        count += sets.token.count_ones() as usize;
    }
    // The text ends before the event does.
    false
}

/// Writes where the ones of `bits` stand, counted from `at`.
#[inline(always)]
fn write_positions(out: &mut [u32], at: usize, mut bits: u64) {
    for slots in out.chunks_exact_mut(8) {
        // All eight, lest the processor guess wrongly how many there are.
        for slot in slots {
            *slot = at as u32 + bits.trailing_zeros();
            bits &= bits.wrapping_sub(1);
        }
        if bits == 0 {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{Reader, Shape, skip};

    fn reader_accepts(text: &str) -> bool {
        let mut reader = Reader::new(text);
        reader.shape() == Ok(Shape::Object) && skip(&mut reader).is_ok()
    }

    #[track_caller]
    fn check(text: &str) {
        let expected = reader_accepts(text);
        if text.starts_with('{') {
            for level in [Level::new(), Level::baseline()] {
                let mut tokens = Tokens { level, ..Tokens::new() };
                assert_eq!(tokens.scan(text.as_bytes(), 0), expected, "{text}");
            }
        }
    }

    /// A small generator: the tests want many texts, not good chance.
    struct Chance(u64);

    impl Chance {
        fn below(&mut self, most: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888);
            usize::try_from(self.0 >> 33).unwrap() % most
        }
    }

    const PIECES: [&str; 38] = [
        "{", "}", "[", "]", ":", ",", "\"a\"", "\"", "\\", "\"\\\"\"", "\"\\u00e9\"", "\\u12", "0", "1", "-",
        ".", "e", "E", "+", "12.5", "-0.5e-7", "1e5", "01", "true", "false", "null", "tru", " ", "\n", "\t",
        "é", "\u{1}", "{}", "[]", "\"k\":1", "\"long name of a field that spans blocks\"", "{\"a\":[1,2]}", "  ",
    ];

    #[test]
    fn what_is_passed_is_what_the_reader_passes() {
        let mut chance = Chance(1);
        let whole = r#"{"a":[1,-2.5,{"b":"x\\\"y","c":[]},[[]],true , null],"d":{ "e" : {} },"f":"é\u00e9","g":0.5e+10}"#;
        for _ in 0..20_000 {
            let mut text = whole.to_owned();
            for _ in 0..chance.below(4) {
                let from = text.floor_char_boundary(chance.below(text.len() + 1));
                let to = text.floor_char_boundary((from + chance.below(4)).min(text.len()));
                text.replace_range(from..to, PIECES[chance.below(PIECES.len())]);
            }
            // Wherever the blocks end.
            let padding = " ".repeat(chance.below(70));
            let at = text.find('[').map_or(0, |at| at + 1);
            text.insert_str(text.floor_char_boundary(at), &padding);
            check(&text);
        }
    }

    #[test]
    fn heaps_of_pieces_are_told_from_json() {
        let mut chance = Chance(2);
        for _ in 0..20_000 {
            let mut text = "{\"a\":".to_owned();
            for _ in 0..chance.below(8) {
                text.push_str(PIECES[chance.below(PIECES.len())]);
            }
            text.push('}');
            check(&text);
        }
    }

    #[test]
    fn numbers_are_told_wherever_blocks_end() {
        for number in ["0", "-0", "00", "-01", "1.", "1.5", "1.5.5", ".5", "-", "--1", "1-1", "1e5", "1e-5", "1e", "1e5.5",
            "1E+05", "-1.25e-10", "1e5e5", "1.5e", "true", "truex", "nul", "-true", "1true", "e5", "+1", "1+1", "123456789012345678901234567890"]
        {
            for length in 0..140 {
                for after in ["", " ", ",2", ",\"b\"", "}"] {
                    let name = "n".repeat(length);
                    check(&format!("{{\"{name}\":[{number}{after}]}}"));
                    check(&format!("{{\"{name}\":{number}{after}}}"));
                    check(&format!("{{\"{name}\":1,{number}:{after}}}"));
                }
            }
        }
    }

    #[test]
    fn nesting_is_bounded() {
        for depth in [1, 2, 127, 128, 129, 300] {
            check(&format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth)));
            check(&format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth)));
        }
    }

    #[test]
    fn tokens_and_their_partners_are_found() {
        let text = format!("{{\"{}\":[1,{{\"a\":2}}],\"b\":[]}} rest", "x,".repeat(50));
        let mut tokens = Tokens::new();
        assert!(tokens.scan(text.as_bytes(), 0));
        let found: String = (0..13).map(|token| char::from(text.as_bytes()[tokens.at(token)])).collect();
        assert_eq!(found, "{:[,{:}],:[]}");
        assert_eq!([0, 2, 4, 10].map(|token| tokens.partner(token)), [12, 7, 6, 11]);
    }
}
