//! What a value of an event sets off: the match of a pattern, or an alternative to be asked.
//!
//! Made by `draft` and `index`, set off by `matcher`. Each string, number or range that values are
//! looked up by has one trigger; where it stands for several, they are a list, which is gone through
//! once for an event however many values set it off.

use std::collections::HashMap;

use crate::names::number;

/// One thing that is set off. What it is takes two bits, which of them the rest.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Trigger(u32);

/// What a [`Trigger`] stands for.
enum Kind {
    /// The match of a pattern that asks no more.
    Match(u32),
    /// An alternative whose other leaves are to be asked.
    Ask(u32),
    /// Several triggers.
    List(u32),
}

impl Trigger {
    fn new(tag: u32, which: u32) -> Self {
        Self(which.checked_mul(4).expect("patterns are far shorter") | tag)
    }

    pub(crate) fn matching(pattern: u32) -> Self {
        Self::new(0, pattern)
    }

    pub(crate) fn asking(alternative: u32) -> Self {
        Self::new(1, alternative)
    }

    #[inline]
    fn kind(self) -> Kind {
        match self.0 & 3 {
            0 => Kind::Match(self.0 >> 2),
            1 => Kind::Ask(self.0 >> 2),
            _ => Kind::List(self.0 >> 2),
        }
    }
}

/// The lists that triggers stand for.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    all: Vec<Trigger>,
    /// Where each list ends in `all`.
    ends: Vec<u32>,
}

impl Lists {
    fn get(&self, list: u32) -> &[Trigger] {
        let list = list as usize;
        let from = list.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.all[from as usize..self.ends[list] as usize]
    }
}

/// [`Lists`] in the making: equal ones are one.
#[derive(Default)]
pub(crate) struct ListsBuilder {
    lists: Lists,
    known: HashMap<Vec<Trigger>, Trigger>,
}

impl ListsBuilder {
    /// One trigger that stands for all of these; there must be one.
    pub(crate) fn one(&mut self, mut triggers: Vec<Trigger>) -> Trigger {
        triggers.sort_unstable();
        triggers.dedup();
        if let [one] = *triggers {
            return one;
        }
        let Lists { all, ends } = &mut self.lists;
        *self.known.entry(triggers).or_insert_with_key(|triggers| {
            all.extend_from_slice(triggers);
            ends.push(number(all.len()));
            Trigger::new(2, number(ends.len() - 1))
        })
    }

    /// Of pairs of a key and a trigger, one pair for each key. Equal keys must be side by side.
    pub(crate) fn one_each<K>(
        &mut self,
        pairs: &[(K, Trigger)],
        is_same: impl Fn(&K, &K) -> bool,
        mut each: impl FnMut(&K, Trigger),
    ) {
        for group in pairs.chunk_by(|(one, _), (other, _)| is_same(one, other)) {
            let trigger = match group {
                [(_, trigger)] => *trigger,
                _ => self.one(group.iter().map(|(_, trigger)| *trigger).collect()),
            };
            each(&group[0].0, trigger);
        }
    }

    pub(crate) fn build(mut self) -> Lists {
        self.lists.all.shrink_to_fit();
        self.lists.ends.shrink_to_fit();
        self.lists
    }
}

/// Numbers that are marked, and all forgotten at once.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// Tells the marks that count from those that are forgotten.
    now: u32,
    of: Vec<u32>,
}

impl Marks {
    /// Forgets all marks, and makes room for numbers below `count`.
    pub(crate) fn clear(&mut self, count: usize) {
        self.now = self.now.wrapping_add(1);
        if self.now == 0 {
            // Old marks would come to life again.
            self.of.fill(0);
            self.now = 1;
        }
        if self.of.len() < count {
            self.of.resize(count, 0);
        }
    }

    /// Marks the number; whether it was not marked yet.
    #[inline]
    pub(crate) fn add(&mut self, number: u32) -> bool {
        let mark = &mut self.of[number as usize];
        let is_new = *mark != self.now;
        *mark = self.now;
        is_new
    }

    #[inline]
    pub(crate) fn has(&self, number: u32) -> bool {
        self.of[number as usize] == self.now
    }
}

/// What an event has set off so far.
#[derive(Debug, Default)]
pub(crate) struct Fired {
    lists: Marks,
    asked: Marks,
    matched: Marks,
    /// The alternatives to be asked, each once.
    pub(crate) to_ask: Vec<u32>,
    /// The patterns that match, each once.
    pub(crate) matching: Vec<u32>,
}

impl Fired {
    /// Forgets the last event, and makes room for so many patterns and alternatives.
    pub(crate) fn clear(&mut self, lists: &Lists, alternatives: usize, patterns: usize) {
        self.to_ask.clear();
        self.matching.clear();
        self.lists.clear(lists.ends.len());
        self.asked.clear(alternatives);
        self.matched.clear(patterns);
    }

    /// Whether there is nothing more that this can set off.
    #[inline]
    fn has_fired(&self, trigger: Trigger) -> bool {
        match trigger.kind() {
            Kind::Match(pattern) => self.matched.has(pattern),
            Kind::Ask(alternative) => self.asked.has(alternative),
            Kind::List(list) => self.lists.has(list),
        }
    }

    #[inline]
    pub(crate) fn fire(&mut self, lists: &Lists, trigger: Trigger) {
        match trigger.kind() {
            Kind::Match(pattern) => self.matches(pattern),
            Kind::Ask(alternative) => {
                if self.asked.add(alternative) {
                    self.to_ask.push(alternative);
                }
            }
            Kind::List(list) => self.fire_all(lists, list),
        }
    }

    fn fire_all(&mut self, lists: &Lists, list: u32) {
        if self.lists.add(list) {
            for &trigger in lists.get(list) {
                self.fire(lists, trigger);
            }
        }
    }

    #[inline]
    pub(crate) fn matches(&mut self, pattern: u32) {
        if self.matched.add(pattern) {
            self.matching.push(pattern);
        }
    }

    pub(crate) fn has_matched(&self, pattern: u32) -> bool {
        self.matched.has(pattern)
    }
}

/// What takes the triggers of an event's values.
pub(crate) struct Firing<'f> {
    pub(crate) fired: &'f mut Fired,
    pub(crate) lists: &'f Lists,
}

impl Firing<'_> {
    #[inline]
    pub(crate) fn fire(&mut self, trigger: Trigger) {
        self.fired.fire(self.lists, trigger);
    }

    /// Fires if this holds, which is not asked in vain.
    #[inline]
    pub(crate) fn fire_if(&mut self, trigger: Trigger, holds: impl FnOnce() -> bool) {
        if !self.fired.has_fired(trigger) && holds() {
            self.fire(trigger);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_one_trigger_and_fires_once() {
        let mut builder = ListsBuilder::default();
        let inner = builder.one(vec![Trigger::asking(1), Trigger::matching(2)]);
        assert_eq!(builder.one(vec![Trigger::matching(2), Trigger::asking(1)]), inner);
        let outer = builder.one(vec![Trigger::asking(3), inner, inner]);
        assert_eq!(builder.one(vec![outer]), outer);
        let lists = builder.build();
        let mut fired = Fired::default();
        for _ in 0..2 {
            fired.clear(&lists, 4, 3);
            fired.fire(&lists, outer);
            fired.fire(&lists, inner);
            fired.to_ask.sort_unstable();
            assert_eq!((&*fired.to_ask, &*fired.matching), (&[1, 3][..], &[2][..]));
        }
    }

    #[test]
    fn marks_are_forgotten_when_their_number_comes_again() {
        let mut marks = Marks { now: u32::MAX - 1, of: vec![1; 2] };
        marks.clear(2);
        assert!(marks.add(0));
        marks.clear(2);
        assert!(!marks.has(0) && !marks.has(1));
    }
}
