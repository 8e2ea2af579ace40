//! Makes a [`Matcher`] of patterns: shares what they have in common and decides what sets each off.

use std::collections::HashMap;

use crate::{
    clause::Clause,
    event::Field,
    index::{self, Builder},
    matcher::{Alternative, Matcher},
    names::{NONE, Names, number},
    parse::EventPattern,
    search::Leaf,
    trigger::{ListsBuilder, Trigger},
};

/// A matcher in the making.
#[derive(Default)]
pub(crate) struct Draft<'p> {
    fields: HashMap<&'p [u8], u32>,
    paths: Vec<&'p [u8]>,
    /// Leaves of one field and one text are one.
    known: HashMap<(u32, &'p str), u32>,
    leaves: Vec<Leaf>,
    /// For each leaf, how many alternatives ask it.
    uses: Vec<u32>,
    alternatives: Vec<Alternative>,
    asked: Vec<u32>,
    patterns: u32,
}

impl<'p> Draft<'p> {
    pub(crate) fn add(&mut self, pattern: &'p EventPattern) {
        let leaves: Vec<u32> = pattern
            .leaves()
            .iter()
            .map(|leaf| {
                let next = number(self.paths.len());
                let field = *self.fields.entry(&leaf.path).or_insert_with(|| {
                    self.paths.push(&leaf.path);
                    next
                });
                let text = &pattern.as_str()[leaf.span.clone()];
                *self.known.entry((field, text)).or_insert_with(|| {
                    let absence =
                        leaf.clauses.iter().any(|clause| matches!(clause, Clause::Absent));
                    let clauses = leaf.clauses.clone();
                    self.leaves.push(Leaf { field, clauses, absence, shared: NONE });
                    self.uses.push(0);
                    number(self.leaves.len() - 1)
                })
            })
            .collect();
        for alternative in pattern.alternatives() {
            let from = number(self.asked.len());
            self.asked.extend(alternative.iter().map(|&leaf| leaves[leaf]));
            let to = number(self.asked.len());
            for &leaf in &self.asked[from as usize..] {
                self.uses[leaf as usize] += 1;
            }
            self.alternatives.push(Alternative { pattern: self.patterns, from, to, known: None });
        }
        self.patterns += 1;
    }

    /// Which of an alternative's leaves it hangs on: the one that costs least, as often as it is met.
    fn rarest(&self, leaves: &[u32]) -> usize {
        let cost = |leaf: u32| {
            let Leaf { clauses, .. } = &self.leaves[leaf as usize];
            let rate: f64 = clauses.iter().map(index::rate).sum();
            rate * f64::from(self.uses[leaf as usize])
        };
        let costs = leaves.iter().map(|&leaf| cost(leaf)).enumerate();
        let least = costs.min_by(|(_, one), (_, other)| one.total_cmp(other));
        least.map(|(index, _)| index).expect("no alternative is without leaves")
    }

    pub(crate) fn finish(mut self, patterns: usize, keeps_all: bool) -> Matcher {
        let triggers = self.hang();
        let shared = self.share();
        let is_kept = if keeps_all { vec![true; self.paths.len()] } else { self.is_kept() };
        let mut lists = ListsBuilder::default();
        let mut builders: Vec<Builder> = Vec::new();
        builders.resize_with(self.paths.len(), Builder::default);
        let mut absences: HashMap<u32, Vec<Trigger>> = HashMap::new();
        for (leaf, triggers) in self.leaves.iter().zip(triggers) {
            if triggers.is_empty() {
                continue;
            }
            let trigger = lists.one(triggers);
            builders[leaf.field as usize].add(&leaf.clauses, trigger);
            if leaf.absence {
                absences.entry(leaf.field).or_default().push(trigger);
            }
        }
        let fields = builders.into_iter().zip(is_kept);
        let fields = fields
            .map(|(builder, is_kept)| Field { index: builder.build(&mut lists), is_kept })
            .collect();
        let mut absences: Vec<_> =
            absences.into_iter().map(|(field, triggers)| (field, lists.one(triggers))).collect();
        absences.sort_unstable();
        self.leaves.shrink_to_fit();
        self.alternatives.shrink_to_fit();
        self.asked.shrink_to_fit();
        Matcher {
            names: Names::new(self.paths),
            fields,
            leaves: self.leaves,
            shared,
            alternatives: self.alternatives,
            asked: self.asked,
            absences,
            lists: lists.build(),
            patterns,
        }
    }

    /// Hangs each alternative on a leaf, and tells for each leaf what it sets off.
    fn hang(&mut self) -> Vec<Vec<Trigger>> {
        let mut triggers = vec![Vec::new(); self.leaves.len()];
        for index in 0..self.alternatives.len() {
            let alternative = self.alternatives[index];
            let leaves = self.asked(alternative);
            let at = self.rarest(leaves);
            let leaf = leaves[at] as usize;
            let is_certain = self.leaves[leaf].clauses.iter().all(index::is_certain);
            triggers[leaf].push(if is_certain && leaves.len() == 1 {
                Trigger::matching(alternative.pattern)
            } else {
                Trigger::asking(number(index))
            });
            self.alternatives[index].known =
                u16::try_from(at).ok().filter(|_| is_certain && !self.leaves[leaf].absence);
        }
        triggers
    }

    /// Numbers the leaves that several alternatives ask.
    fn share(&mut self) -> usize {
        let shared = self.leaves.iter_mut().zip(&self.uses).filter(|(_, uses)| **uses > 1);
        let mut count = 0;
        for (leaf, _) in shared {
            leaf.shared = number(count);
            count += 1;
        }
        count
    }

    /// Of which fields the values are looked at again: those that are asked, not only set off.
    fn is_kept(&self) -> Vec<bool> {
        let mut is_kept = vec![false; self.paths.len()];
        for &alternative in &self.alternatives {
            let leaves = self.asked(alternative);
            let field = |leaf: u32| self.leaves[leaf as usize].field as usize;
            if let [leaf] = *leaves
                && self.leaves[leaf as usize].clauses.iter().all(index::is_certain)
            {
                continue;
            }
            for &leaf in leaves {
                is_kept[field(leaf)] = true;
            }
        }
        is_kept
    }

    fn asked(&self, alternative: Alternative) -> &[u32] {
        &self.asked[alternative.from as usize..alternative.to as usize]
    }
}
