//! Where each item of the table is, and in which partition of which index.
//!
//! Asked for each call of the store. Partitions are chosen by content alone, so that every process finds the same ones, and
//! so many that none is hot: a partition takes 1,000 writes a second.
//!
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html>

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use taskferry_core::{
    limits::LimitId,
    pace::Window,
    run::{Run, RunId},
};

use super::items::Item;

/// The table's partition key.
pub(super) const PK: &str = "pk";
/// The table's sort key.
pub(super) const SK: &str = "sk";
/// Partition key of the index `due`.
pub(super) const DUE: &str = "due";
/// Sort key of the index `due`: the date.
pub(super) const DUE_AT: &str = "dueAt";
/// Partition key of the index `list`.
pub(super) const LIST: &str = "list";
/// Partition key of the index `dead`.
pub(super) const DEAD: &str = "dead";
/// Sort key of the indexes `list` and `dead`: when the run was made, and its id.
pub(super) const LISTED: &str = "listed";
/// The second in which DynamoDB may delete the item.
pub(super) const EXPIRES_AT: &str = "expiresAt";

/// How many partitions the index `due` has.
const DUE_PARTITIONS: u64 = 16;
/// How many kinds of rules the index `list` tells apart.
const LIST_RULES: u64 = 8;
/// How many partitions the index `list` has for each kind of rules, and how many the index `dead` has.
const LIST_SHARDS: u64 = 4;

/// The sort key of a limit's own item; it comes before those of the queue, so that a query reads it first.
const HOLDERS: &str = "holders";
const QUEUE: &str = "queue#";

/// The key of an item.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Key {
    pub(super) pk: String,
    pub(super) sk: String,
}

/// What an entry of the index `due` is about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Subject {
    Run(RunId),
    Limit(LimitId),
}

impl Key {
    pub(super) fn run(id: &RunId) -> Self {
        Self { pk: run_partition(first_digits(id)), sk: id.as_str().to_owned() }
    }

    /// A part of an event that is kept apart from its run; `write` is the write that made them.
    pub(super) fn event_part(id: &RunId, write: &str, part: usize) -> Self {
        let (pk, prefix) = event_parts(id, write);
        Self { pk, sk: format!("{prefix}{part:02}") }
    }

    pub(super) fn holders(limit: &LimitId) -> Self {
        Self { pk: limit_partition(limit), sk: HOLDERS.to_owned() }
    }

    /// A run's place in the queue of a limit.
    pub(super) fn queued(limit: &LimitId, run: &Run) -> Self {
        Self { pk: limit_partition(limit), sk: format!("{QUEUE}{}", listed(run)) }
    }

    pub(super) fn window(window: &Window) -> Self {
        Self {
            pk: format!("window#{}#{}", window.bucket.as_str(), sortable(window.begin)),
            sk: "tokens".to_owned(),
        }
    }

    pub(super) fn item(&self) -> Item {
        [(PK, &self.pk), (SK, &self.sk)]
            .map(|(name, value)| (name.to_owned(), AttributeValue::S(value.clone())))
            .into()
    }

    pub(super) fn of_item(item: &Item) -> Option<Self> {
        let text = |name| item.get(name).and_then(|value| value.as_s().ok()).cloned();
        Some(Self { pk: text(PK)?, sk: text(SK)? })
    }

    /// What the item is about, if it is a run's or a limit's own.
    pub(super) fn subject(&self) -> Option<Subject> {
        if let Some(limit) = self.pk.strip_prefix("limit#") {
            let (name, key) = limit.split_once('#')?;
            let name = name.replace("%23", "#").replace("%25", "%");
            let limit = LimitId { name, key: key.to_owned() };
            return (self.sk == HOLDERS).then_some(Subject::Limit(limit));
        }
        self.pk.strip_prefix("run#").and_then(|_| RunId::parse(&self.sk)).map(Subject::Run)
    }

    /// The partition of the index `due` for this item.
    pub(super) fn due_partition(&self) -> String {
        hex(number(&format!("{}#{}", self.pk, self.sk)) % DUE_PARTITIONS)
    }
}

fn first_digits(id: &RunId) -> &str {
    id.as_str().get(..2).unwrap_or_default()
}

/// The partition of all runs whose ids begin with these two digits.
pub(super) fn run_partition(digits: &str) -> String {
    format!("run#{digits}")
}

/// The partition of a run's event, and how the sort keys of its parts begin.
pub(super) fn event_parts(id: &RunId, write: &str) -> (String, String) {
    (format!("event#{}", first_digits(id)), format!("{id}#{write}#"))
}

/// The partition of a limit: who holds its slots, and who waits.
pub(super) fn limit_partition(limit: &LimitId) -> String {
    let name = limit.name.replace('%', "%25").replace('#', "%23");
    format!("limit#{name}#{}", limit.key)
}

/// The run whose place in a queue has this sort key; `None` for the limit's own item.
pub(super) fn queued_run(sk: &str) -> Option<RunId> {
    sk.strip_prefix(QUEUE).and_then(listed_run)
}

pub(super) fn due_partitions() -> impl Iterator<Item = String> {
    (0..DUE_PARTITIONS).map(hex)
}

/// The partition of the index `list` for the run.
pub(super) fn list_partition(run: &Run) -> String {
    format!("{}.{}", rule_kind(&run.rule), dead_partition(run))
}

/// The partitions of the index `list` in which the runs of the rule are, or those of all.
pub(super) fn list_partitions(rule: Option<&str>) -> Vec<String> {
    let kinds = rule.map_or(0..LIST_RULES, |rule| rule_kind(rule)..rule_kind(rule) + 1);
    kinds.flat_map(|kind| (0..LIST_SHARDS).map(move |shard| format!("{kind}.{shard}"))).collect()
}

/// The partition of the index `dead` for the run.
pub(super) fn dead_partition(run: &Run) -> String {
    hex(number(run.id.as_str()) % LIST_SHARDS)
}

pub(super) fn dead_partitions() -> Vec<String> {
    (0..LIST_SHARDS).map(hex).collect()
}

/// When the run was made and which it is, in the order of lists.
pub(super) fn listed(run: &Run) -> String {
    format!("{}#{}", sortable(run.created_at), run.id)
}

/// The run of which [`listed`] made this.
pub(super) fn listed_run(listed: &str) -> Option<RunId> {
    let (created_at, id) = listed.split_once('#')?;
    created_at.parse::<Timestamp>().ok()?;
    RunId::parse(id)
}

/// A time in a form that sorts as times do, and that people can read.
pub(super) fn sortable(time: Timestamp) -> String {
    format!("{time:.9}")
}

fn rule_kind(rule: &str) -> u64 {
    number(rule) % LIST_RULES
}

fn hex(number: u64) -> String {
    format!("{number:x}")
}

/// A number made of the text, the same for all times: FNV-1a.
///
/// <https://www.rfc-editor.org/rfc/rfc9923>
pub(super) fn number(text: &str) -> u64 {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // Its low bits follow those of the last byte.
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> RunId {
        RunId::new("shop", "order", "1")
    }

    #[test]
    fn a_key_tells_what_it_is_about() {
        assert_eq!(Key::run(&id()).subject(), Some(Subject::Run(id())));
        for (name, key) in [("all", ""), ("group/a#b%23", "x#y"), ("rule/order", "é/ü")] {
            let limit = LimitId { name: name.to_owned(), key: key.to_owned() };
            assert_eq!(Key::holders(&limit).subject(), Some(Subject::Limit(limit)));
        }
        assert_eq!(Key::event_part(&id(), "w", 0).subject(), None);
    }

    #[test]
    fn times_sort_as_texts() {
        let times = [0, 1, 999, 1000, 1_767_225_600_000]
            .map(|millisecond| sortable(Timestamp::from_millisecond(millisecond).unwrap()));
        assert!(times.is_sorted(), "{times:?}");
        assert_eq!(times[1], "1970-01-01T00:00:00.001000000Z");
    }

    #[test]
    fn partitions_are_filled_evenly() {
        let mut counts = [0_u32; 16];
        for key in 0..16_000 {
            let id = RunId::new("shop", "order", &key.to_string());
            let partition = Key::run(&id).due_partition();
            counts[usize::from_str_radix(&partition, 16).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| (850..1150).contains(count)), "{counts:?}");
        assert_eq!(due_partitions().count(), 16);
    }
}
