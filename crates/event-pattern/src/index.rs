//! What the values of one field trigger.
//!
//! Built by `matcher` from the clauses of leaves, asked by `event` with each value. The work follows
//! the value and what it triggers, not how many clauses there are; the few kinds of clauses that
//! cannot be looked up are asked one by one, each once however many patterns have it.

use std::sync::Arc;

use crate::{
    address::Address,
    clause::{Clause, Interval, Number, Scalar},
    table::{End, Table},
    text::{AnyCase, Ends},
    trigger::{Firing, ListsBuilder, Trigger},
};

/// One way to look up a value.
#[derive(Debug)]
enum Part {
    Text(Table),
    Prefix(Table),
    Suffix(Table),
    /// The tables in any case hold lower case.
    AnyCase(Table),
    PrefixAnyCase(Table),
    SuffixAnyCase(Table),
    Address(Table),
    /// By the bits of their value.
    Number(Table),
    /// Numbers that a double cannot stand for.
    Spelling(Table),
    Interval(Intervals),
    True(Trigger),
    False(Trigger),
    Null(Trigger),
    Any(Trigger),
    Others(Vec<Other>),
}

/// Clauses that are asked one by one.
#[derive(Debug)]
struct Other {
    clauses: Arc<[Clause]>,
    /// Which of them.
    indices: Vec<usize>,
    trigger: Trigger,
}

/// All ways to look up a value of the field.
#[derive(Debug, Default)]
pub(crate) struct Index {
    parts: Vec<Part>,
}

/// Strings and what each triggers.
type Strings = Vec<(Vec<u8>, Trigger)>;

/// An [`Index`] in the making.
#[derive(Default)]
pub(crate) struct Builder {
    text: Strings,
    prefix: Strings,
    suffix: Strings,
    any_case: Strings,
    prefix_any_case: Strings,
    suffix_any_case: Strings,
    address: Strings,
    number: Strings,
    spelling: Strings,
    intervals: Vec<(Interval, Trigger)>,
    truth: Vec<Trigger>,
    falsehood: Vec<Trigger>,
    null: Vec<Trigger>,
    any: Vec<Trigger>,
    others: Vec<Other>,
}

/// Whether the clause is met whenever its look-up finds something.
pub(crate) fn is_certain(clause: &Clause) -> bool {
    match clause {
        Clause::Wildcard(wildcard) => match wildcard.ends() {
            Ends::Whole(_) => true,
            Ends::Both(first, last) => first.is_empty() || last.is_empty(),
            Ends::More(first, last) => first.is_empty() && last.is_empty(),
        },
        Clause::Absent => false,
        _ => true,
    }
}

/// About how many of the values of a field meet the clause.
pub(crate) fn rate(clause: &Clause) -> f64 {
    match clause {
        Clause::Text(_) | Clause::Address(_) | Clause::Number { .. } | Clause::AnyCase(_) => 0.001,
        Clause::Prefix(_) | Clause::PrefixAnyCase(_) => 0.01,
        Clause::Suffix(_) | Clause::SuffixAnyCase(_) => 0.02,
        Clause::Wildcard(_) | Clause::Network(_) => 0.05,
        Clause::Null => 0.1,
        Clause::True | Clause::False | Clause::Numeric(_) => 0.5,
        Clause::AnythingBut(_) => 0.9,
        Clause::Exists | Clause::Absent => 1.0,
    }
}

fn number_key(value: f64) -> [u8; 8] {
    // Both zeros are one number.
    (value + 0.0).to_bits().to_le_bytes()
}

fn address_key(address: Address) -> [u8; 17] {
    let mut key = [0; 17];
    match address {
        Address::V4(bits) => {
            key[..4].copy_from_slice(&bits.to_le_bytes());
            key[16] = 4;
        }
        Address::V6(bits) => {
            key[..16].copy_from_slice(&bits.to_le_bytes());
            key[16] = 6;
        }
    }
    key
}

impl Builder {
    /// Has the field's values set this off where they meet one of the clauses, or may do so.
    pub(crate) fn add(&mut self, clauses: &Arc<[Clause]>, trigger: Trigger) {
        let mut indices = Vec::new();
        for (index, clause) in clauses.iter().enumerate() {
            if !self.add_clause(clause, trigger) {
                indices.push(index);
            }
        }
        if !indices.is_empty() {
            let clauses = Arc::clone(clauses);
            self.others.push(Other { clauses, indices, trigger });
        }
    }

    /// `false` if the clause has to be asked itself.
    fn add_clause(&mut self, clause: &Clause, trigger: Trigger) -> bool {
        let add = |strings: &mut Strings, key: &[u8]| strings.push((key.to_vec(), trigger));
        match clause {
            Clause::Text(text) => add(&mut self.text, text),
            Clause::Prefix(text) => add(&mut self.prefix, text),
            Clause::Suffix(text) => add(&mut self.suffix, text),
            Clause::AnyCase(AnyCase::Ascii(lower)) => add(&mut self.any_case, lower),
            Clause::PrefixAnyCase(AnyCase::Ascii(lower)) => add(&mut self.prefix_any_case, lower),
            Clause::SuffixAnyCase(AnyCase::Ascii(lower)) => add(&mut self.suffix_any_case, lower),
            Clause::Address(address) => add(&mut self.address, &address_key(*address)),
            Clause::Number { value: Some(value), .. } => add(&mut self.number, &number_key(*value)),
            Clause::Number { raw, value: None } => add(&mut self.spelling, raw.as_bytes()),
            Clause::Numeric(interval) => match interval.only() {
                Some(value) => add(&mut self.number, &number_key(value)),
                None => self.intervals.push((*interval, trigger)),
            },
            Clause::True => self.truth.push(trigger),
            Clause::False => self.falsehood.push(trigger),
            Clause::Null => self.null.push(trigger),
            Clause::Exists => self.any.push(trigger),
            Clause::Wildcard(wildcard) => match wildcard.ends() {
                Ends::Whole(text) => add(&mut self.text, text),
                Ends::Both(first, last) | Ends::More(first, last) => {
                    if first.is_empty() && last.is_empty() {
                        return false;
                    }
                    if first.len() >= last.len() {
                        add(&mut self.prefix, first);
                    } else {
                        add(&mut self.suffix, last);
                    }
                }
            },
            // `matcher` sees to the absence of values.
            Clause::Absent => {}
            Clause::AnyCase(AnyCase::Forms(_))
            | Clause::PrefixAnyCase(AnyCase::Forms(_))
            | Clause::SuffixAnyCase(AnyCase::Forms(_))
            | Clause::AnythingBut(_)
            | Clause::Network(_) => return false,
        }
        true
    }

    pub(crate) fn build(self, lists: &mut ListsBuilder) -> Index {
        let mut parts = Vec::new();
        let mut table = |part: fn(Table) -> Part, end: End, strings: Strings| {
            if !strings.is_empty() {
                parts.push(part(Table::new(end, strings, lists)));
            }
        };
        table(Part::Text, End::Front, self.text);
        table(Part::Prefix, End::Front, self.prefix);
        table(Part::Suffix, End::Back, self.suffix);
        table(Part::AnyCase, End::Front, self.any_case);
        table(Part::PrefixAnyCase, End::Front, self.prefix_any_case);
        table(Part::SuffixAnyCase, End::Back, self.suffix_any_case);
        table(Part::Address, End::Front, self.address);
        table(Part::Number, End::Front, self.number);
        table(Part::Spelling, End::Front, self.spelling);
        let mut list = |part: fn(Trigger) -> Part, triggers: Vec<Trigger>| {
            if !triggers.is_empty() {
                parts.push(part(lists.one(triggers)));
            }
        };
        list(Part::True, self.truth);
        list(Part::False, self.falsehood);
        list(Part::Null, self.null);
        list(Part::Any, self.any);
        if !self.intervals.is_empty() {
            parts.push(Part::Interval(Intervals::new(self.intervals)));
        }
        if !self.others.is_empty() {
            parts.push(Part::Others(self.others));
        }
        parts.shrink_to_fit();
        Index { parts }
    }
}

impl Index {
    /// Fires what this value sets off. `lower` is room for the string in lower case.
    #[inline]
    pub(crate) fn look_up(&self, scalar: Scalar<'_>, lower: &mut Vec<u8>, firing: &mut Firing<'_>) {
        for part in &self.parts {
            match (part, scalar) {
                (part, Scalar::Text(text)) => part.look_up_text(text, lower, firing),
                (part, Scalar::Number(number)) => part.look_up_number(number, firing),
                (Part::True(trigger), Scalar::True)
                | (Part::False(trigger), Scalar::False)
                | (Part::Null(trigger), Scalar::Null) => firing.fire(*trigger),
                _ => {}
            }
            match part {
                Part::Any(trigger) => firing.fire(*trigger),
                Part::Others(others) => others.iter().for_each(|other| other.ask(scalar, firing)),
                _ => {}
            }
        }
    }
}

impl Part {
    #[inline]
    fn look_up_text(&self, text: &[u8], lower: &mut Vec<u8>, firing: &mut Firing<'_>) {
        let found = match self {
            Self::Text(table) => table.whole(text),
            Self::Prefix(table) | Self::Suffix(table) => {
                table.parts(text, |trigger| firing.fire(trigger));
                None
            }
            Self::AnyCase(table) if text.len() <= table.longest() => {
                table.whole(lowered(text, lower))
            }
            Self::PrefixAnyCase(table) => {
                let text = &text[..text.len().min(table.longest())];
                table.parts(lowered(text, lower), |trigger| firing.fire(trigger));
                None
            }
            Self::SuffixAnyCase(table) => {
                let text = &text[text.len().saturating_sub(table.longest())..];
                table.parts(lowered(text, lower), |trigger| firing.fire(trigger));
                None
            }
            Self::Address(table) => {
                Address::read(text).and_then(|address| table.whole(&address_key(address)))
            }
            _ => None,
        };
        if let Some(trigger) = found {
            firing.fire(trigger);
        }
    }

    #[inline]
    fn look_up_number(&self, number: Number<'_>, firing: &mut Firing<'_>) {
        match self {
            Self::Number(table) => {
                if let Some(trigger) = table.whole(&number_key(number.nearest())) {
                    firing.fire_if(trigger, || number.stands());
                }
            }
            Self::Spelling(table) => {
                if let Some(trigger) = table.whole(number.raw.as_bytes()) {
                    firing.fire(trigger);
                }
            }
            Self::Interval(intervals) => intervals.around(number.nearest(), &mut |trigger| {
                firing.fire_if(trigger, || number.stands());
            }),
            _ => {}
        }
    }
}

impl Other {
    #[inline]
    fn ask(&self, scalar: Scalar<'_>, firing: &mut Firing<'_>) {
        let Self { clauses, indices, trigger } = self;
        firing.fire_if(*trigger, || indices.iter().any(|&index| clauses[index].accepts(scalar)));
    }
}

/// The string in lower case, as far as it is ASCII.
fn lowered<'l>(text: &[u8], lower: &'l mut Vec<u8>) -> &'l [u8] {
    lower.clear();
    lower.extend_from_slice(text);
    lower.make_ascii_lowercase();
    lower
}

/// Intervals of numbers, to find those around a number.
#[derive(Debug)]
struct Intervals {
    /// Those without an upper bound, by rising lower bound.
    above: Vec<(Interval, Trigger)>,
    /// Those without a lower bound, by falling upper bound.
    below: Vec<(Interval, Trigger)>,
    /// The others by rising lower bound: a balanced tree, the root of each part in its middle.
    within: Vec<(Interval, Trigger)>,
    /// For each root, the highest upper bound of its part.
    highest: Vec<f64>,
}

impl Intervals {
    fn new(intervals: Vec<(Interval, Trigger)>) -> Self {
        let low = |interval: &Interval| interval.low.map_or(f64::NEG_INFINITY, |low| low.value);
        let high = |interval: &Interval| interval.high.map_or(f64::INFINITY, |high| high.value);
        let (mut above, bounded): (Vec<_>, Vec<_>) =
            intervals.into_iter().partition(|(interval, _)| interval.high.is_none());
        let (mut below, mut within): (Vec<_>, Vec<_>) =
            bounded.into_iter().partition(|(interval, _)| interval.low.is_none());
        above.sort_by(|(one, _), (other, _)| low(one).total_cmp(&low(other)));
        below.sort_by(|(one, _), (other, _)| high(other).total_cmp(&high(one)));
        within.sort_by(|(one, _), (other, _)| low(one).total_cmp(&low(other)));
        let mut highest = vec![0.0; within.len()];
        let highs: Vec<f64> = within.iter().map(|(interval, _)| high(interval)).collect();
        fill_highest(&highs, &mut highest);
        Self { above, below, within, highest }
    }

    fn around(&self, value: f64, found: &mut impl FnMut(Trigger)) {
        for (interval, trigger) in &self.above {
            if interval.low.is_some_and(|low| low.value > value) {
                break;
            }
            if interval.contains(value) {
                found(*trigger);
            }
        }
        for (interval, trigger) in &self.below {
            if interval.high.is_some_and(|high| high.value < value) {
                break;
            }
            if interval.contains(value) {
                found(*trigger);
            }
        }
        self.around_within(0, self.within.len(), value, found);
    }

    fn around_within(&self, from: usize, to: usize, value: f64, found: &mut impl FnMut(Trigger)) {
        let middle = from + (to - from) / 2;
        if from == to || self.highest[middle] < value {
            return;
        }
        self.around_within(from, middle, value, found);
        let (interval, trigger) = &self.within[middle];
        if interval.contains(value) {
            found(*trigger);
        }
        if interval.low.is_some_and(|low| low.value <= value) {
            self.around_within(middle + 1, to, value, found);
        }
    }
}

/// Fills in the highest of `highs` for each part of the tree.
fn fill_highest(highs: &[f64], highest: &mut [f64]) -> f64 {
    if highs.is_empty() {
        return f64::NEG_INFINITY;
    }
    let middle = highs.len() / 2;
    let before = fill_highest(&highs[..middle], &mut highest[..middle]);
    let after = fill_highest(&highs[middle + 1..], &mut highest[middle + 1..]);
    highest[middle] = highs[middle].max(before).max(after);
    highest[middle]
}
