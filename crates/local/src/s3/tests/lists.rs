//! A list has every key once, in the order of its bytes, whatever the pages.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{Folder, Machine, path};
use crate::s3::{
    fault::Fault,
    listing::{Entry, Query, Step, walk},
};

/// Lists by the definition: all entries, then those after the marker.
fn naive(keys: &BTreeSet<String>, prefix: &str, delimiter: &str) -> Vec<String> {
    let mut entries = BTreeSet::new();
    for key in keys.iter().filter(|key| key.starts_with(prefix)) {
        let rest = &key[prefix.len()..];
        let end = if delimiter.is_empty() { None } else { rest.find(delimiter) };
        let length = end.map_or(key.len(), |end| prefix.len() + end + delimiter.len());
        entries.insert(key[..length].to_owned());
    }
    entries.into_iter().collect()
}

/// Walks over the keys as over rows, `scan_max` of them at a time.
fn page(
    keys: &BTreeSet<String>,
    query: Query<'_>,
    scan_max: usize,
) -> (Vec<String>, Option<String>) {
    let mut entries = Vec::new();
    let next = walk(query, |from, visit| {
        let rows = keys.iter().filter(|key| key.as_bytes() >= from).take(scan_max);
        let mut read = 0;
        for key in rows {
            read += 1;
            match visit(key.clone()) {
                Step::Take(Entry::Key(key)) => entries.push(key),
                Step::Take(Entry::CommonPrefix(prefix)) => {
                    entries.push(prefix);
                    return Ok(true);
                }
                Step::Skip => {}
                Step::Seek => return Ok(true),
                Step::Stop => return Ok(false),
            }
        }
        Ok::<_, Fault>(read == scan_max)
    });
    (entries, next.unwrap())
}

proptest! {
    #[test]
    fn pages_together_are_the_whole_list(
        keys in prop::collection::btree_set("[ab/\u{ff}\u{10ffff}]{1,5}", 0..40),
        prefix in "[ab/]{0,2}",
        delimiter in prop::sample::select(vec!["", "/", "a", "/a"]),
        max in 1_u32..6,
        scan_max in 1_usize..5,
    ) {
        let mut found = Vec::new();
        let mut after = String::new();
        loop {
            let query = Query {
                bucket: "bucket",
                prefix: &prefix,
                delimiter,
                after: after.as_bytes(),
                max,
            };
            let (entries, next) = page(&keys, query, scan_max);
            prop_assert!(entries.len() <= max as usize);
            found.extend(entries);
            match next {
                Some(next) => after = next,
                None => break,
            }
            prop_assert!(found.len() <= keys.len(), "the list does not end");
        }
        prop_assert_eq!(found, naive(&keys, &prefix, delimiter));
    }
}

#[tokio::test]
async fn keys_are_listed_in_the_order_of_their_bytes() {
    let folder = Folder::new();
    let machine = Machine::start(&folder);
    let mut keys = vec!["b", "a/b", "a", "a/", "A", "é", "한", "\u{ffff}", "🦀", " ", "a b", "a+b"];
    for key in &keys {
        machine.put(key, b"").await;
    }
    keys.sort_unstable();
    let mut listed = Vec::new();
    let mut token = String::new();
    loop {
        let query = format!("?list-type=2&encoding-type=url&max-keys=5{token}");
        let answer = machine.send("GET", &query, &[], b"").await;
        listed.extend(answer.elements("Key"));
        match answer.elements("NextContinuationToken").first() {
            Some(next) => token = format!("&continuation-token={next}"),
            None => break,
        }
    }
    let encoded = |key: &&str| path(key)[1..].replace("%20", "+").replace("%2F", "/");
    assert_eq!(listed, keys.iter().map(encoded).collect::<Vec<_>>());
}
