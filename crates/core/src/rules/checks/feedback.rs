//! A rule whose task writes where it reads: each result would start the next run.
//!
//! Seen only where the target says both, and a name or a place says that it is written: what a task does with an address is
//! its own affair, and a warning without cause teaches people to read none.

use super::Checker;
use crate::rules::{
    on,
    tree::{Kind, Node},
};

/// Parts of names that are given to what is written.
const WRITTEN: [&str; 5] = ["OUT", "DEST", "RESULT", "TARGET", "SINK"];

/// The objects that start a rule.
struct Watched<'a> {
    bucket: &'a str,
    prefix: &'a str,
    suffix: &'a str,
}

impl Checker<'_, '_> {
    /// Warns of addresses under the rule's own prefix that its task is told to write to.
    pub(super) fn feedback(&mut self, rule: &Node, merged: &Node) {
        let Some(s3) = rule.at(&["on", "s3"]) else { return };
        let text = |key| s3.get(key).and_then(Node::text);
        let Some(bucket) = text("bucket") else { return };
        let events = s3.get("events").map(Node::items);
        let is_creation =
            |event: &Node| event.text().is_some_and(|it| it.starts_with("s3:ObjectCreated:"));
        if events.is_some_and(|events| !events.iter().any(is_creation)) {
            return;
        }
        let (prefix, suffix) = (text("prefix").unwrap_or(""), text("suffix").unwrap_or(""));
        let watched = Watched { bucket, prefix, suffix };
        let containers = merged.at(&["target", "overrides", "containerOverrides"]);
        for container in containers.map_or(&[][..], Node::items) {
            for pair in container.get("environment").map_or(&[][..], Node::items) {
                if let (Some(name), Some(value)) = (pair.get("name"), pair.get("value"))
                    && name.text().is_some_and(is_written)
                {
                    self.address(value, value.text().unwrap_or_default(), &watched);
                }
            }
            if let Some(command) = container.get("command")
                && let Kind::List(words) = &command.kind
            {
                self.command(words, &watched);
            }
        }
    }

    /// `--output URL`, `--output=URL`, and the last of several addresses, as in `cp FROM TO`.
    fn command(&mut self, words: &[Node], watched: &Watched<'_>) {
        let is_address = |word: &Node| word.text().is_some_and(|it| it.starts_with("s3://"));
        let addresses = words.iter().filter(|word| is_address(word)).count();
        for (index, word) in words.iter().enumerate() {
            let Some(text) = word.text() else { continue };
            let flag = index.checked_sub(1).and_then(|before| words[before].text());
            let is_told = flag.is_some_and(|flag| flag.starts_with('-') && is_written(flag));
            let is_last = addresses > 1 && index + 1 == words.len();
            match text.split_once('=') {
                Some((flag, address)) if flag.starts_with('-') && is_written(flag) => {
                    self.address(word, address, watched);
                }
                _ if is_told || is_last => self.address(word, text, watched),
                _ => {}
            }
        }
    }

    fn address(&mut self, at: &Node, address: &str, watched: &Watched<'_>) {
        if watched.holds(address) {
            self.faults
                .warning(at.span, "what the task writes here would start the rule again")
                .hint("write under another prefix than the rule's, or into another bucket");
        }
    }
}

fn is_written(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    WRITTEN.iter().any(|part| name.contains(part))
}

impl Watched<'_> {
    /// Whether what is written to `address`, a template perhaps, is watched for certain.
    fn holds(&self, address: &str) -> bool {
        // Blanks mean nothing in a template, and one in a key changes neither end of it.
        let address = address.replace(' ', "");
        let Some(place) = address.strip_prefix("s3://") else { return false };
        let Some((bucket, key)) = place.split_once('/') else { return false };
        let is_own = bucket == "{{detail.bucket.name}}"
            || on::matches_wildcard(self.bucket, bucket) && !bucket.contains('{');
        let own_key = "{{detail.object.key}}";
        let begins = key.starts_with(own_key)
            || key.split("{{").next().unwrap_or_default().starts_with(self.prefix);
        let tail = key.rsplit("}}").next().unwrap_or_default();
        let ends = match tail {
            "" => key.ends_with(own_key) || self.suffix.is_empty(),
            tail => tail.ends_with(self.suffix),
        };
        is_own && begins && ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(prefix: &str, suffix: &str, address: &str, expected: bool) {
        let watched = Watched { bucket: "uploads", prefix, suffix };
        assert_eq!(watched.holds(address), expected, "{prefix} {suffix} {address}");
    }

    #[test]
    fn an_address_under_the_prefix_is_watched() {
        check("in/", "", "s3://uploads/in/out.csv", true);
        check("in/", "", "s3://{{ detail.bucket.name }}/in/done/", true);
        check("in/", "", "s3://{{ detail.bucket.name }}/{{ detail.object.key }}.out", true);
        check("", "", "s3://uploads/{{ id }}", true);
        check("in/", ".jpg", "s3://uploads/in/{{ id }}.jpg", true);
        check("in/", ".jpg", "s3://uploads/{{ detail.object.key }}", true);
    }

    #[test]
    fn another_is_not() {
        check("in/", "", "s3://uploads/out/a.csv", false);
        check("in/", "", "s3://results/in/a.csv", false);
        check("in/", "", "s3://{{ detail.target }}/in/a.csv", false);
        check("in/", ".jpg", "s3://uploads/in/{{ id }}.png", false);
        check("in/", ".jpg", "s3://uploads/{{ detail.object.key }}.json", false);
        check("in/", ".jpg", "s3://uploads/in/done/", false);
        check("in/", "", "s3://uploads/{{ detail.folder }}/a.csv", false);
        check("in/", "", "/tmp/in/a.csv", false);
        check("in/", "", "s3://uploads", false);
    }
}
