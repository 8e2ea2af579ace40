//! Patterns and events from bytes: the same for property tests, which shrink the bytes, and for fuzzing, which breeds
//! them.
//!
//! Names and values come from a small vocabulary, so that patterns and events meet often; each value is spelled in any
//! way that JSON has for it.

use std::fmt::Write as _;

/// Deepest nesting of what is generated.
const DEPTH_MAX: usize = 4;

const NAMES: [&str; 9] = ["a", "b", "c", "a.b", "", "é", "a-", "b.c", "d"];
const TEXTS: [&str; 24] = [
    "",
    "a",
    "b",
    "ab",
    "aba",
    "abab",
    "A",
    "aB",
    "é",
    "É",
    "ß",
    "SS",
    "😀",
    "x😀y",
    "a*b",
    "a\\b",
    "\"",
    "10.0.0.1",
    "010.0.0.1",
    "10.1.2.3",
    "::1",
    "0:0:0:0:0:0:0:1",
    "::ffff:a00:1",
    "1",
];
/// Rising; those of one group are the same number.
const NUMBERS: [&[&str]; 8] = [
    &["-1e3", "-1000", "-1000.0"],
    &["-1", "-1.0", "-10e-1"],
    &["0", "-0", "0.0", "0e9", "-0.0E-5"],
    &["1e-7", "0.0000001"],
    &["0.1", "1e-1", "0.10"],
    &["1", "1.0", "1e0", "10E-1"],
    &["300", "3e2", "3.0e+2"],
    &["9007199254740992", "9.007199254740992e15"],
];
/// What no double stands for.
const BEYOND: [&str; 5] = [
    "12345678901234567891",
    "1e400",
    "0.1000000000000000055511151231257827",
    "1e-400",
    "9007199254740993",
];
const NETWORKS: [&str; 8] = [
    "10.0.0.0/8",
    "10.0.0.0/31",
    "0.0.0.0/0",
    "010.1.0.0/16",
    "::/0",
    "::/64",
    "::1/127",
    "::ffff:a00:0/24",
];
const WILDCARDS: [&str; 14] = [
    "*",
    "a*",
    "*a",
    "*a*",
    "a*b",
    "*ab*",
    "a*b*a",
    "*b*b*",
    "",
    "a\\\\**",
    "a\\\\*b",
    "a\\\\\\\\b",
    "*é",
    "10.*",
];

/// Choices taken from bytes. Where there are no more, each choice is the first.
#[derive(Debug)]
pub struct Choices<'b> {
    bytes: &'b [u8],
}

impl<'b> Choices<'b> {
    /// Choices from these bytes.
    pub fn new(bytes: &'b [u8]) -> Self {
        Self { bytes }
    }

    /// Whether there are no bytes left.
    pub fn is_spent(&self) -> bool {
        self.bytes.is_empty()
    }

    /// A number below `end`, which is 256 at most.
    fn below(&mut self, end: usize) -> usize {
        let Some((first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        usize::from(*first) % end
    }

    fn one<'c, T: ?Sized>(&mut self, candidates: &[&'c T]) -> &'c T {
        candidates[self.below(candidates.len())]
    }

    /// True once in `times`, and never when spent.
    fn rarely(&mut self, times: usize) -> bool {
        self.below(times) == times - 1
    }
}

/// An event, an object of at least one field.
pub fn event(choices: &mut Choices<'_>) -> String {
    let mut out = String::new();
    object(choices, DEPTH_MAX, &mut out);
    if choices.rarely(20) {
        out.push_str(" trailing");
    }
    out
}

fn object(choices: &mut Choices<'_>, depth: usize, out: &mut String) {
    out.push('{');
    let count = if depth == DEPTH_MAX { 1 + choices.below(4) } else { choices.below(4) };
    for index in 0..count {
        out.push_str(if index > 0 { "," } else { "" });
        spell(choices.one(&NAMES), choices, out);
        out.push(':');
        value(choices, depth - 1, out);
    }
    out.push('}');
}

fn value(choices: &mut Choices<'_>, depth: usize, out: &mut String) {
    match choices.below(if depth == 0 { 5 } else { 9 }) {
        0 | 1 => scalar(choices, out),
        2 => spell(choices.one(&TEXTS), choices, out),
        3 => number(choices, out),
        4 => out.push_str(choices.one(&["true", "false", "null", "[]", "{}"])),
        5 | 6 => object(choices, depth, out),
        _ => {
            out.push('[');
            for index in 0..choices.below(4) {
                out.push_str(if index > 0 { "," } else { "" });
                value(choices, depth - 1, out);
            }
            out.push(']');
        }
    }
}

/// One of the few values that make most meetings.
fn scalar(choices: &mut Choices<'_>, out: &mut String) {
    match choices.below(4) {
        0 => spell("a", choices, out),
        1 => spell("ab", choices, out),
        2 => out.push_str(choices.one(NUMBERS[5])),
        _ => out.push_str("null"),
    }
}

fn number(choices: &mut Choices<'_>, out: &mut String) {
    if choices.rarely(5) {
        out.push_str(choices.one(&BEYOND));
    } else {
        let group = choices.one(&NUMBERS);
        out.push_str(choices.one(group));
    }
}

/// A string, some of its characters escaped. A lone surrogate at times.
fn spell(text: &str, choices: &mut Choices<'_>, out: &mut String) {
    let escapes = choices.rarely(4);
    out.push('"');
    for c in text.chars() {
        if escapes && choices.below(2) == 0 {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}").expect("a string takes all");
            }
        } else if matches!(c, '"' | '\\') {
            out.push('\\');
            out.push(c);
        } else {
            out.push(c);
        }
    }
    if escapes && choices.rarely(10) {
        out.push_str(choices.one(&["\\ud83d", "\\uDE00", "\\/"]));
    }
    out.push('"');
}

/// A pattern that is valid.
pub fn pattern(choices: &mut Choices<'_>) -> String {
    let mut out = String::new();
    fields(choices, DEPTH_MAX - 1, 2, &mut out);
    out
}

fn fields(choices: &mut Choices<'_>, depth: usize, ors: usize, out: &mut String) {
    out.push('{');
    for index in 0..=choices.below(3) {
        out.push_str(if index > 0 { "," } else { "" });
        if ors > 0 && choices.rarely(8) {
            out.push_str("\"$or\":[");
            for branch in 0..2 + choices.below(2) {
                out.push_str(if branch > 0 { "," } else { "" });
                fields(choices, depth.saturating_sub(1), ors - 1, out);
            }
            out.push(']');
            continue;
        }
        spell(choices.one(&NAMES), choices, out);
        out.push(':');
        if depth > 0 && choices.below(5) >= 3 {
            fields(choices, depth - 1, ors, out);
        } else {
            out.push('[');
            for element in 0..=choices.below(3) {
                out.push_str(if element > 0 { "," } else { "" });
                clause(choices, out);
            }
            out.push(']');
        }
    }
    out.push('}');
}

fn clause(choices: &mut Choices<'_>, out: &mut String) {
    match choices.below(14) {
        0 | 1 => scalar(choices, out),
        2 => spell(choices.one(&TEXTS), choices, out),
        3 => number(choices, out),
        4 => out.push_str(choices.one(&["true", "false", "null"])),
        5 => out.push_str(choices.one(&["{\"exists\":true}", "{\"exists\":false}"])),
        6 => affix("prefix", choices, out),
        7 => affix("suffix", choices, out),
        8 => operator("equals-ignore-case", choices, out),
        9 => write!(out, "{{\"wildcard\":\"{}\"}}", choices.one(&WILDCARDS))
            .expect("a string takes all"),
        10 => {
            write!(out, "{{\"cidr\":\"{}\"}}", choices.one(&NETWORKS)).expect("a string takes all");
        }
        11 => numeric(choices, out),
        12 => operator("exactly", choices, out),
        _ => anything_but(choices, out),
    }
}

fn operator(name: &str, choices: &mut Choices<'_>, out: &mut String) {
    write!(out, "{{\"{name}\":").expect("a string takes all");
    spell(choices.one(&TEXTS), choices, out);
    out.push('}');
}

fn affix(name: &str, choices: &mut Choices<'_>, out: &mut String) {
    if choices.below(2) == 0 {
        operator(name, choices, out);
    } else {
        write!(out, "{{\"{name}\":").expect("a string takes all");
        operator("equals-ignore-case", choices, out);
        out.push('}');
    }
}

fn numeric(choices: &mut Choices<'_>, out: &mut String) {
    out.push_str("{\"numeric\":[");
    let low = choices.below(NUMBERS.len() - 1);
    if choices.below(2) == 0 {
        let comparison = choices.one(&["=", "<", "<=", ">", ">="]);
        write!(out, "\"{comparison}\",{}", choices.one(NUMBERS[low])).expect("a string takes all");
    } else {
        let high = low + 1 + choices.below(NUMBERS.len() - 1 - low);
        let (above, below) = (choices.one(&[">", ">="]), choices.one(&["<", "<="]));
        let (low, high) = (choices.one(NUMBERS[low]), choices.one(NUMBERS[high]));
        write!(out, "\"{above}\",{low},\"{below}\",{high}").expect("a string takes all");
    }
    out.push_str("]}");
}

fn anything_but(choices: &mut Choices<'_>, out: &mut String) {
    out.push_str("{\"anything-but\":");
    match choices.below(6) {
        0 => spell(choices.one(&TEXTS), choices, out),
        1 => {
            let group = choices.one(&NUMBERS);
            out.push_str(choices.one(group));
        }
        2 => list(choices, out, |choices, out| spell(choices.one(&TEXTS), choices, out)),
        3 => list(choices, out, |choices, out| {
            let group = choices.one(&NUMBERS);
            out.push_str(choices.one(group));
        }),
        4 => {
            out.push_str("{\"wildcard\":");
            list(choices, out, |choices, out| {
                write!(out, "\"{}\"", choices.one(&WILDCARDS)).expect("a string takes all");
            });
            out.push('}');
        }
        _ => {
            let name = choices.one(&["prefix", "suffix", "equals-ignore-case"]);
            write!(out, "{{\"{name}\":").expect("a string takes all");
            // An empty prefix or suffix is refused here.
            list(choices, out, |choices, out| spell(choices.one(&TEXTS[1..]), choices, out));
            out.push('}');
        }
    }
    out.push('}');
}

fn list(
    choices: &mut Choices<'_>,
    out: &mut String,
    mut one: impl FnMut(&mut Choices<'_>, &mut String),
) {
    out.push('[');
    for index in 0..=choices.below(3) {
        out.push_str(if index > 0 { "," } else { "" });
        one(choices, out);
    }
    out.push(']');
}
