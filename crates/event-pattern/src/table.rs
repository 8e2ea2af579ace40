//! Strings to look up whole, or by how they begin or end, and what each of them triggers.
//!
//! Used by `index` for each field. Beginnings of many lengths are looked up in one pass: the work
//! follows the length of the value and the number of different lengths, not the number of strings.

use crate::names::number;

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

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    hash: u32,
    /// Where the string stands in `text`.
    text: u32,
    length: u32,
    /// Where its list stands in `lists`, or, if it has one trigger, the trigger.
    list: u32,
    /// No string is here if it is 0.
    count: u32,
}

/// A set of strings, each with a list of triggers.
#[derive(Debug)]
pub(crate) struct Table {
    end: End,
    slots: Vec<Slot>,
    text: Vec<u8>,
    lists: Vec<u32>,
    /// The lengths of the strings, rising.
    lengths: Vec<u32>,
}

impl Table {
    /// A table of strings and a trigger for each; strings may repeat.
    pub(crate) fn new(end: End, mut entries: Vec<(Vec<u8>, u32)>) -> Self {
        entries.sort_unstable();
        entries.dedup();
        let room = (entries.len() * 2).next_power_of_two();
        let (mut text, mut lists) = (Vec::new(), Vec::new());
        let mut lengths: Vec<u32> =
            entries.iter().map(|(string, _)| number(string.len())).collect();
        lengths.sort_unstable();
        lengths.dedup();
        lengths.shrink_to_fit();
        let mut slots = vec![Slot::default(); room];
        for group in entries.chunk_by(|(one, _), (other, _)| one == other) {
            let (string, trigger) = &group[0];
            let hash = Hash::new().of(string, string.len(), end);
            let mut at = hash as usize & (room - 1);
            while slots[at].count != 0 {
                at = (at + 1) & (room - 1);
            }
            let list = if group.len() == 1 { *trigger } else { number(lists.len()) };
            slots[at] = Slot {
                hash,
                text: number(text.len()),
                length: number(string.len()),
                list,
                count: number(group.len()),
            };
            text.extend_from_slice(string);
            if group.len() > 1 {
                lists.extend(group.iter().map(|(_, trigger)| trigger));
            }
        }
        text.shrink_to_fit();
        lists.shrink_to_fit();
        Self { end, slots, text, lists, lengths }
    }

    /// Length of the longest string.
    pub(crate) fn longest(&self) -> usize {
        self.lengths.last().map_or(0, |&length| length as usize)
    }

    /// The triggers of this string.
    #[inline]
    pub(crate) fn whole(&self, text: &[u8]) -> &[u32] {
        if text.len() > self.longest() {
            return &[];
        }
        self.find(Hash::new().of(text, text.len(), self.end), text)
    }

    /// The triggers of each string that this one begins with, or ends with.
    #[inline]
    pub(crate) fn parts(&self, text: &[u8], mut found: impl FnMut(&[u32])) {
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
            found(self.find(hash.of(text, length, self.end), part));
        }
    }

    #[inline]
    fn find(&self, hash: u32, text: &[u8]) -> &[u32] {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = &self.slots[at];
            if slot.count == 0 {
                return &[];
            }
            if slot.hash == hash
                && slot.length as usize == text.len()
                && &self.text[slot.text as usize..][..text.len()] == text
            {
                return match slot.count {
                    1 => std::slice::from_ref(&slot.list),
                    count => &self.lists[slot.list as usize..][..count as usize],
                };
            }
            at = (at + 1) & mask;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(end: End, strings: &[&str], text: &str, expected: &[u32]) {
        let entries = strings.iter().zip(0..).map(|(string, at)| (string.as_bytes().to_vec(), at));
        let table = Table::new(end, entries.collect());
        let mut found = Vec::new();
        table.parts(text.as_bytes(), |list| found.extend_from_slice(list));
        assert_eq!(found, expected);
        let whole: Vec<u32> =
            (0..).zip(strings).filter(|(_, string)| **string == text).map(|(at, _)| at).collect();
        assert_eq!(table.whole(text.as_bytes()), whole);
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
    fn a_string_may_have_several_triggers() {
        check(End::Front, &["a", "b", "a"], "a", &[0, 2]);
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
