//! Lists: the partitions of an index, merged by time, the newest first.
//!
//! Asked by the program alone. The index `list` has what never changes of a run, so that no step of a run costs a write in
//! it; what does change is looked up for the entries of a page. Dead letters have an index of their own, since they are few
//! among many. A page that would cost too much ends early and says where to go on.

use std::collections::VecDeque;

use aws_sdk_dynamodb::{Client, operation::query::builders::QueryFluentBuilder};
use futures_util::future::try_join_all;
use taskferry_core::run::Run;
use taskferry_engine::ports::{Error, Page, RunQuery};

use super::{
    calls::{batch_get, failed, retried},
    items::{self, DEDUPE_KEY, EVENT_ID, Item, RULE, RUN, s, text},
    keys::{DEAD, Key, LIST, LISTED, dead_partitions, list_partitions, listed_run, sortable},
};

const WHAT: &str = "listing runs";

/// How many runs a list shows when nobody says.
const LIMIT_DEFAULT: u32 = 100;

/// How many runs are looked up at a time.
const LOOKED_UP: usize = 100;

/// How many times the partitions are read on for one page of a list.
const READS_MAX: u32 = 8;

/// Sorts behind every place.
const END: &str = "~";

/// The records that the query asks for, the newest first.
pub(super) async fn list(client: &Client, table: &str, query: &RunQuery) -> Result<Page, Error> {
    let wanted = usize::try_from(query.limit.unwrap_or(LIMIT_DEFAULT)).unwrap_or(usize::MAX);
    let mut page = Page::default();
    let Some(span) = Span::of(query)? else { return Ok(page) };
    if wanted == 0 {
        return Ok(page);
    }
    let mut merge = Merge::of(client, table, query, &span, wanted);
    let mut place = None;
    loop {
        // What is filtered out by what changes is only known after the look-up.
        let is_filtered = query.status.is_some() || query.dead_letters;
        let open = wanted - page.runs.len();
        let count = if is_filtered { LOOKED_UP } else { open.min(LOOKED_UP) };
        let entries = merge.next(count).await?;
        let is_short = entries.len() < count;
        let keys: Vec<Key> = entries.iter().map(|(_, key)| key.clone()).collect();
        let records = batch_get(client, table, WHAT, &keys, &[RUN], false).await?;
        for (entry, key) in entries {
            if page.runs.len() == wanted {
                page.next = place;
                return Ok(page);
            }
            place = Some(entry);
            let run = records.get(&key).and_then(items::readable);
            page.runs.extend(run.filter(|run| asks_for(query, run)));
        }
        if merge.is_finished() {
            return Ok(page);
        }
        if page.runs.len() == wanted {
            page.next = place;
            return Ok(page);
        }
        if is_short {
            page.next = merge.blocked_at().map(str::to_owned);
            return Ok(page);
        }
    }
}

fn asks_for(query: &RunQuery, run: &Run) -> bool {
    let RunQuery { rule, status, event_id, dedupe_key, dead_letters, .. } = query;
    rule.as_ref().is_none_or(|rule| *rule == run.rule)
        && status.is_none_or(|status| status == run.status)
        && event_id.as_ref().is_none_or(|id| *id == run.event.id)
        && dedupe_key.as_ref().is_none_or(|key| *key == run.dedupe_key)
        && (!dead_letters || run.is_dead_letter())
}

/// From where to where a list goes, as sort keys: `low` belongs to it, `high` does not.
struct Span {
    low: String,
    high: String,
}

impl Span {
    /// `None` if nothing can be in it.
    fn of(query: &RunQuery) -> Result<Option<Self>, Error> {
        let low = query.created_from.map(sortable).unwrap_or_default();
        let before = query.created_before.map(sortable);
        let after = query.after.as_deref().map(place).transpose()?;
        let high = before.into_iter().chain(after.map(str::to_owned)).min();
        let high = high.unwrap_or_else(|| END.to_owned());
        Ok((low < high).then_some(Self { low, high }))
    }
}

/// Where a page ended: its last entry.
fn place(text: &str) -> Result<&str, Error> {
    match listed_run(text) {
        Some(_) => Ok(text),
        None => Err(Error::Refused {
            what: "reading on in a list",
            source: format!("`{text}` is not where a page ended").into(),
        }),
    }
}

/// The entries of some partitions as one list.
struct Merge {
    partitions: Vec<Partition>,
    reads: u32,
}

struct Partition {
    name: String,
    query: QueryFluentBuilder,
    high: String,
    /// Entries that were read and not asked for yet.
    entries: VecDeque<String>,
    /// Where reading goes on, and how far it got.
    from: Option<Item>,
    read_to: String,
    is_finished: bool,
}

impl Merge {
    fn of(client: &Client, table: &str, query: &RunQuery, span: &Span, wanted: usize) -> Self {
        let (index, names) = if query.dead_letters {
            (DEAD, dead_partitions())
        } else {
            (LIST, list_partitions(query.rule.as_deref()))
        };
        let call = call(client, table, query, span, index, wanted);
        let partition = |name: String| Partition {
            query: call.clone().expression_attribute_values(":partition", s(&name)),
            name,
            high: span.high.clone(),
            entries: VecDeque::new(),
            from: None,
            read_to: END.to_owned(),
            is_finished: false,
        };
        Self { partitions: names.into_iter().map(partition).collect(), reads: 0 }
    }

    /// At most so many entries; fewer if there are no more, or if the partitions were read often enough.
    async fn next(&mut self, count: usize) -> Result<Vec<(String, Key)>, Error> {
        let mut entries = Vec::new();
        while entries.len() < count {
            let head = self.partitions.iter().filter_map(|partition| partition.entries.front());
            let head = head.max().cloned();
            match (head, self.blocked_at()) {
                // Nothing that is newer can come any more.
                (Some(head), blocked_at) if blocked_at.is_none_or(|at| at < &*head) => {
                    for partition in &mut self.partitions {
                        if partition.entries.front() == Some(&head) {
                            partition.entries.pop_front();
                        }
                    }
                    if let Some(id) = listed_run(&head) {
                        entries.push((head, Key::run(&id)));
                    }
                }
                (None, None) => break,
                _ if self.reads >= READS_MAX => break,
                _ => self.read_on().await?,
            }
        }
        Ok(entries)
    }

    /// The newest place from which a partition must be read on before anything older is told.
    fn blocked_at(&self) -> Option<&str> {
        let blocked = self.partitions.iter().filter(|partition| partition.is_blocked());
        blocked.map(|partition| &*partition.read_to).max()
    }

    fn is_finished(&self) -> bool {
        let is_finished =
            |partition: &Partition| partition.is_finished && partition.entries.is_empty();
        self.partitions.iter().all(is_finished)
    }

    async fn read_on(&mut self) -> Result<(), Error> {
        self.reads += 1;
        let blocked = self.partitions.iter_mut().filter(|partition| partition.is_blocked());
        try_join_all(blocked.map(Partition::read_on)).await.map(|_each| ())
    }
}

impl Partition {
    fn is_blocked(&self) -> bool {
        self.entries.is_empty() && !self.is_finished
    }

    async fn read_on(&mut self) -> Result<(), Error> {
        let call = self.query.clone().set_exclusive_start_key(self.from.take());
        let page = retried(&self.name, || call.clone().send()).await.map_err(failed(WHAT))?;
        let entries = page.items().iter().filter_map(|item| text(item, LISTED));
        // A range has both its ends, and the upper one was on the page before.
        self.entries.extend(entries.filter(|entry| **entry < *self.high).map(str::to_owned));
        self.from = page.last_evaluated_key;
        self.is_finished = self.from.is_none();
        if let Some(read_to) = self.from.as_ref().and_then(|from| text(from, LISTED)) {
            read_to.clone_into(&mut self.read_to);
        }
        Ok(())
    }
}

/// What to ask each partition, but for its name.
fn call(
    client: &Client,
    table: &str,
    query: &RunQuery,
    span: &Span,
    index: &str,
    wanted: usize,
) -> QueryFluentBuilder {
    // Something must stand there: `0` comes before every year.
    let low = if span.low.is_empty() { "0" } else { &span.low };
    let mut call = client
        .query()
        .table_name(table)
        .index_name(index)
        .scan_index_forward(false)
        .key_condition_expression("#partition = :partition AND #listed BETWEEN :low AND :high")
        .expression_attribute_names("#partition", index)
        .expression_attribute_names("#listed", LISTED)
        .expression_attribute_values(":low", s(low))
        .expression_attribute_values(":high", s(&span.high));
    let filters = [
        ("rule", RULE, &query.rule),
        ("event", EVENT_ID, &query.event_id),
        ("key", DEDUPE_KEY, &query.dedupe_key),
    ];
    let mut said = Vec::new();
    for (name, attribute, value) in filters {
        // The index of dead letters has the keys alone.
        if let Some(value) = value.as_ref().filter(|_| index == LIST) {
            said.push(format!("#{name} = :{name}"));
            call = call
                .expression_attribute_names(format!("#{name}"), attribute)
                .expression_attribute_values(format!(":{name}"), s(value));
        }
    }
    if said.is_empty() {
        // Without a filter, no more need be read than is told.
        let limit = if query.status.is_some() { LOOKED_UP } else { wanted.min(LOOKED_UP) };
        return call.limit(i32::try_from(limit + 1).unwrap_or(i32::MAX));
    }
    call.filter_expression(said.join(" AND "))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use taskferry_core::run::RunId;

    use super::*;

    #[test]
    fn a_span_ends_where_the_page_before_it_did() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let after = format!("{}#{}", sortable(at(20)), RunId::new("shop", "order", "1"));
        let query = RunQuery {
            created_from: Some(at(10)),
            created_before: Some(at(30)),
            after: Some(after.clone()),
            ..RunQuery::default()
        };
        let span = Span::of(&query).unwrap().unwrap();
        assert_eq!((span.low, span.high), (sortable(at(10)), after));
        let nothing = RunQuery { created_before: Some(at(5)), ..query };
        assert!(Span::of(&nothing).unwrap().is_none());
    }

    #[test]
    fn a_place_that_no_page_told_is_refused() {
        let query = RunQuery { after: Some("yesterday".to_owned()), ..RunQuery::default() };
        assert!(matches!(Span::of(&query), Err(Error::Refused { .. })));
    }
}
