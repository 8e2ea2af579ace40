//! Strings to look up whole, or by how they begin or end, and what each of them triggers.
//!
//! Used by `index` for each field. Beginnings of many lengths are looked up in one pass: the work
//! follows the length of the value and the number of different lengths, not the number of strings.

use crate::{
    names::{NONE, number},
    trigger::{ListsBuilder, Trigger},
};

/// Up to eight bytes as a number, the rest of it zero.
#[inline]
pub(crate) fn load(bytes: &[u8]) -> u64 {
    let four = |at: usize| {
        let word = bytes[at..].first_chunk::<4>().expect("there are four bytes");
        u64::from(u32::from_le_bytes(*word))
    };
    match *bytes {
        [] => 0,
        [a] => u64::from(a),
        [a, b] => u64::from(a) | u64::from(b) << 8,
        [a, b, c] => u64::from(a) | u64::from(b) << 8 | u64::from(c) << 16,
        // The two words overlap, and agree where they do.
        [_, _, _, _, ..] if bytes.len() < 8 => {
            four(0) | four(bytes.len() - 4) << ((bytes.len() - 4) * 8)
        }
        _ => read(bytes, 0),
    }
}

/// The eight bytes at `at`, which must be there.
#[inline]
pub(crate) fn read(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("there are eight bytes"))
}

/// From which end strings are read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum End {
    Front,
    Back,
}

/// A hash of a string that grows by its words.
#[derive(Clone, Copy)]
struct Hash {
    state: u64,
    words: usize,
}

impl Hash {
    fn new() -> Self {
        Self { state: 0x243f_6a88_85a3_08d3, words: 0 }
    }

    #[inline]
    fn mix(state: u64, word: u64) -> u64 {
        let product = u128::from(state ^ word) * 0x9e37_79b9_7f4a_7c15_u128;
        #[expect(clippy::cast_possible_truncation, reason = "both halves are taken")]
        let (low, high) = (product as u64, (product >> 64) as u64);
        low ^ high
    }

    /// Of the first `length` bytes from the end; lengths must rise.
    #[inline]
    fn of(&mut self, text: &[u8], length: usize, end: End) -> u32 {
        let part = |from: usize, to: usize| match end {
            End::Front => &text[from..to],
            End::Back => &text[text.len() - to..text.len() - from],
        };
        while self.words * 8 + 8 <= length {
            self.state = Self::mix(self.state, read(part(self.words * 8, self.words * 8 + 8), 0));
            self.words += 1;
        }
        let rest = load(part(self.words * 8, length));
        let mixed = Self::mix(self.state, rest ^ (length as u64) << 56);
        (mixed >> 32) as u32
    }
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: u32,
    /// Where the string stands in `text`; [`NONE`] if no string is here.
    text: u32,
    length: u32,
    trigger: Trigger,
}

/// A set of strings, each with a trigger.
#[derive(Debug)]
pub(crate) struct Table {
    end: End,
    slots: Vec<Slot>,
    text: Vec<u8>,
    /// The lengths of the strings, rising.
    lengths: Vec<u32>,
}

impl Table {
    /// A table of strings and a trigger for each; strings may repeat.
    pub(crate) fn new(
        end: End,
        mut entries: Vec<(Vec<u8>, Trigger)>,
        lists: &mut ListsBuilder,
    ) -> Self {
        entries.sort_unstable();
        let mut lengths: Vec<u32> =
            entries.iter().map(|(string, _)| number(string.len())).collect();
        lengths.sort_unstable();
        lengths.dedup();
        lengths.shrink_to_fit();
        let room = (entries.len() * 2).next_power_of_two();
        let empty = Slot { hash: 0, text: NONE, length: 0, trigger: Trigger::matching(0) };
        let mut table = Self { end, slots: vec![empty; room], text: Vec::new(), lengths };
        lists.one_each(&entries, Vec::eq, |string, trigger| table.add(string, trigger));
        table.text.shrink_to_fit();
        table
    }

    fn add(&mut self, string: &[u8], trigger: Trigger) {
        let hash = Hash::new().of(string, string.len(), self.end);
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        while self.slots[at].text != NONE {
            at = (at + 1) & mask;
        }
        let (text, length) = (number(self.text.len()), number(string.len()));
        self.slots[at] = Slot { hash, text, length, trigger };
        self.text.extend_from_slice(string);
    }

    /// Length of the longest string.
    pub(crate) fn longest(&self) -> usize {
        self.lengths.last().map_or(0, |&length| length as usize)
    }

    /// The trigger of this string.
    #[inline]
    pub(crate) fn whole(&self, text: &[u8]) -> Option<Trigger> {
        if text.len() > self.longest() {
            return None;
        }
        self.find(Hash::new().of(text, text.len(), self.end), text)
    }

    /// The trigger of each string that this one begins with, or ends with.
    #[inline]
    pub(crate) fn parts(&self, text: &[u8], mut found: impl FnMut(Trigger)) {
        let mut hash = Hash::new();
        for &length in &self.lengths {
            let length = length as usize;
            if length > text.len() {
                break;
            }
            let part = match self.end {
                End::Front => &text[..length],
                End::Back => &text[text.len() - length..],
            };
            if let Some(trigger) = self.find(hash.of(text, length, self.end), part) {
                found(trigger);
            }
        }
    }

    #[inline]
    fn find(&self, hash: u32, text: &[u8]) -> Option<Trigger> {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = &self.slots[at];
            if slot.text == NONE {
                return None;
            }
            if slot.hash == hash
                && slot.length as usize == text.len()
                && &self.text[slot.text as usize..][..text.len()] == text
            {
                return Some(slot.trigger);
            }
            at = (at + 1) & mask;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks the text up by its ends, and whole; each string triggers the pattern of its place.
    #[track_caller]
    fn check(end: End, strings: &[&str], text: &str, expected: &[u32]) {
        let trigger = |at: u32| Trigger::matching(at);
        let entries =
            strings.iter().zip(0..).map(|(string, at)| (string.as_bytes().to_vec(), trigger(at)));
        let table = Table::new(end, entries.collect(), &mut ListsBuilder::default());
        let mut found = Vec::new();
        table.parts(text.as_bytes(), |trigger| found.push(trigger));
        assert_eq!(found, expected.iter().map(|&at| trigger(at)).collect::<Vec<_>>());
        let whole = (0..).zip(strings).find(|(_, string)| **string == text).map(|(at, _)| at);
        assert_eq!(table.whole(text.as_bytes()), whole.map(trigger));
    }

    #[test]
    fn beginnings_of_all_lengths_are_found() {
        let strings = ["", "a", "ab", "abcdefgh", "abcdefghi", "abcdefghijklmnopq", "b", "abc"];
        check(End::Front, &strings, "abcdefghijklmnopqr", &[0, 1, 2, 7, 3, 4, 5]);
        check(End::Front, &strings, "abcdefgh", &[0, 1, 2, 7, 3]);
        check(End::Front, &strings, "", &[0]);
    }

    #[test]
    fn endings_of_all_lengths_are_found() {
        let strings = ["", "h", "gh", "bcdefgh", "abcdefgh", "xabcdefgh", "a"];
        check(End::Back, &strings, "abcdefgh", &[0, 1, 2, 3, 4]);
        check(End::Back, &strings, "wxabcdefgh", &[0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_string_that_repeats_has_one_trigger() {
        let mut lists = ListsBuilder::default();
        let all = [Trigger::matching(0), Trigger::matching(1)];
        let entries = all.map(|trigger| (b"a".to_vec(), trigger));
        let table = Table::new(End::Front, entries.to_vec(), &mut lists);
        assert_eq!(table.whole(b"a"), Some(lists.one(all.to_vec())));
    }

    #[test]
    fn an_empty_table_finds_nothing() {
        check(End::Front, &[], "a", &[]);
    }

    #[test]
    fn short_strings_are_numbers() {
        for length in 0..=8 {
            let text: Vec<u8> = (1..=length).collect();
            let mut padded = text.clone();
            padded.resize(8, 0);
            assert_eq!(load(&text), read(&padded, 0));
        }
    }
}
