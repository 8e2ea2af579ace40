//! What the scan passes is what the reader passes: over texts that are nearly JSON.

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
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"a\"",
    "\"",
    "\\",
    "\"\\\"\"",
    "\"\\u00e9\"",
    "\\u12",
    "0",
    "1",
    "-",
    ".",
    "e",
    "E",
    "+",
    "12.5",
    "-0.5e-7",
    "1e5",
    "01",
    "true",
    "false",
    "null",
    "tru",
    " ",
    "\n",
    "\t",
    "é",
    "\u{1}",
    "{}",
    "[]",
    "\"k\":1",
    "\"long name of a field that spans blocks\"",
    "{\"a\":[1,2]}",
    "  ",
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
    for number in [
        "0",
        "-0",
        "00",
        "-01",
        "1.",
        "1.5",
        "1.5.5",
        ".5",
        "-",
        "--1",
        "1-1",
        "1e5",
        "1e-5",
        "1e",
        "1e5.5",
        "1E+05",
        "-1.25e-10",
        "1e5e5",
        "1.5e",
        "true",
        "truex",
        "nul",
        "-true",
        "1true",
        "e5",
        "+1",
        "1+1",
        "123456789012345678901234567890",
    ] {
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
    let found: String =
        (0..13).map(|token| char::from(text.as_bytes()[tokens.at(token)])).collect();
    assert_eq!(found, "{:[,{:}],:[]}");
    assert_eq!([0, 2, 4, 10].map(|token| tokens.partner(token)), [12, 7, 6, 11]);
}
