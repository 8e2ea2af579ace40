//! What is an event, exactly as the reader has it, and which values its fields have.

use super::*;
use fearless_simd::Level;

use crate::{
    index::Builder,
    trigger::{Fired, Lists, ListsBuilder},
};

/// Reads the event with one field; gives the field's values.
fn values<'e>(field: &str, event: &'e str) -> Result<Vec<&'e str>, EventError> {
    let names = Names::new([field.as_bytes()]);
    let fields =
        [Field { index: Builder::default().build(&mut ListsBuilder::default()), is_kept: true }];
    let mut read = Event::default();
    let (mut fired, lists) = (Fired::default(), Lists::default());
    let firing = Firing { fired: &mut fired, lists: &lists };
    super::read(event, &names, &fields, &mut Room::new(), &mut read, firing)?;
    Ok(read.values(0).map(|value| read.raw(event, value)).collect())
}

#[track_caller]
fn check(field: &str, event: &str, expected: &[&str]) {
    assert_eq!(values(field, event).unwrap(), expected);
}

#[test]
fn values_keep_their_spelling() {
    check(
        "a",
        r#"{"a":[1.50,"\u0061",null,[true]],"b":1}"#,
        &["1.50", r#""\u0061""#, "null", "true"],
    );
}

#[test]
fn repeated_names_all_count() {
    check("a", r#"{"a":1,"a":2,"\u0061":3}"#, &["1", "2", "3"]);
}

#[test]
fn names_join_by_dots() {
    check("a.b", r#"{"a":{"b":1},"a.b":2,"b":3,"a":4}"#, &["1", "2"]);
}

#[test]
fn an_empty_name_is_a_name() {
    check("a.", r#"{"a":{"":1},"a.":2,"a":3}"#, &["1", "2"]);
    check("", r#"{"":1,"a":2}"#, &["1"]);
}

#[test]
fn longer_names_never_pass_for_a_shorter_path() {
    check("ab", r#"{"abc":1,"ab":{"":{"c":2}},"abcdef":{"ab":3}}"#, &[]);
}

#[track_caller]
fn check_refused(event: &str, message: &str) {
    let error = values("a", event).unwrap_err();
    assert_eq!(error.to_string(), message);
}

#[test]
fn what_is_not_an_event_is_refused() {
    check_refused("[1]", "an event is an object, found an array");
    check_refused("\"a\"", "an event is an object, found a string");
    check_refused(
        "{\"a\":1,\n \"z\":tru}",
        "the event is not JSON: expected `true`, `false` or `null`, found `}` at line 2, column 9",
    );
    check_refused(
        "",
        "the event is not JSON: expected a JSON value, found the end of the text \
         at line 1, column 1",
    );
}

#[test]
fn depth_and_length_are_bounded() {
    check_refused(&"{\"a\":".repeat(1000), "the event is nested deeper than 128 levels");
    check_refused(
        &" ".repeat(EVENT_BYTES_MAX + 1),
        "the event has 16777217 bytes, more than 16777216",
    );
}

fn reader_accepts(text: &str) -> bool {
    let mut reader = Reader::new(text);
    reader.shape() == Ok(Shape::Object) && json::skip(&mut reader).is_ok()
}

/// Whatever instructions the processor has, and whatever is mentioned.
#[track_caller]
fn check_accepted_as_by_the_reader(text: &str) {
    let expected = reader_accepts(text);
    for level in [Level::new(), Level::baseline()] {
        for paths in [&[][..], &["a", "a.b", "k"]] {
            let names = Names::new(paths.iter().map(|path| path.as_bytes()));
            let field = |_| Field {
                index: Builder::default().build(&mut ListsBuilder::default()),
                is_kept: true,
            };
            let fields: Vec<Field> = paths.iter().map(field).collect();
            let mut room = Room::with_tokens(Tokens::with_level(level));
            let mut event = Event::default();
            let (mut fired, lists) = (Fired::default(), Lists::default());
            let firing = Firing { fired: &mut fired, lists: &lists };
            let read = super::read(text, &names, &fields, &mut room, &mut event, firing);
            assert_eq!(read.is_ok(), expected, "{text}");
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
        check_accepted_as_by_the_reader(&text);
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
        check_accepted_as_by_the_reader(&text);
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
                check_accepted_as_by_the_reader(&format!("{{\"{name}\":[{number}{after}]}}"));
                check_accepted_as_by_the_reader(&format!("{{\"{name}\":{number}{after}}}"));
                check_accepted_as_by_the_reader(&format!("{{\"{name}\":1,{number}:{after}}}"));
            }
        }
    }
}

#[test]
fn nesting_is_bounded() {
    for depth in [1, 2, 127, 128, 129, 300] {
        check_accepted_as_by_the_reader(&format!(
            "{}1{}",
            "{\"a\":".repeat(depth),
            "}".repeat(depth)
        ));
        check_accepted_as_by_the_reader(&format!(
            "{{\"a\":{}{}}}",
            "[".repeat(depth),
            "]".repeat(depth)
        ));
    }
}

#[test]
fn what_stands_after_the_event_does_not_matter() {
    for after in ["}", "\"", "tru", "\\", "{", "1.", "\u{1}", "\n{}", " ,"] {
        for length in 0..70 {
            let event = format!("{{\"{}\":[1]}}{after}", "n".repeat(length));
            check_accepted_as_by_the_reader(&event);
            check_accepted_as_by_the_reader(&format!("{event}{}", "x".repeat(70)));
        }
    }
}
