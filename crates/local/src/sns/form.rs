//! A request of the query protocol, as SNS's operations read it: texts, lists and maps by their names.

use serde_json::{Map, Value};

use crate::query;

/// A form, or what is below one of its names.
#[derive(Clone, Debug, Default)]
pub(super) struct Part(Map<String, Value>);

impl Part {
    /// Reads a form.
    ///
    /// # Errors
    ///
    /// Those of [`query::parse`].
    pub(super) fn parse(form: &str) -> Result<Self, query::Error> {
        query::parse(form).map(Self)
    }

    /// The text of a name.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// What is below a name.
    pub(super) fn part(&self, name: &str) -> Self {
        self.0.get(name).and_then(Value::as_object).cloned().map(Self).unwrap_or_default()
    }

    /// The items of a list in their order, each with names below it. The list's name may have several parts.
    pub(super) fn list(&self, name: &str) -> Vec<Self> {
        let items = self.items(name).into_iter();
        items.map(|item| Self(item.as_object().cloned().unwrap_or_default())).collect()
    }

    /// The texts of a list in their order.
    pub(super) fn texts(&self, name: &str) -> Vec<String> {
        let items = self.items(name).into_iter();
        items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
    }

    /// The texts of a map: a list whose items have a key and a value under these names.
    pub(super) fn map<C: FromIterator<(String, String)>>(
        &self,
        name: &str,
        key: &str,
        value: &str,
    ) -> C {
        let entry = |item: &Self| {
            Some((item.text(key)?.to_owned(), item.text(value).unwrap_or_default().to_owned()))
        };
        self.list(name).iter().filter_map(entry).collect()
    }

    fn items(&self, name: &str) -> Vec<Value> {
        let (first, rest) = name.split_once('.').unwrap_or((name, ""));
        let list = rest.split('.').filter(|part| !part.is_empty());
        let list = list.fold(self.0.get(first), |list, part| list?.get(part));
        list.cloned().map(query::items).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_form_is_read_by_its_names() {
        let form = "Action=X&Tags.member.2.Key=b&Tags.member.10.Key=c&Tags.member.1.Key=a&Ids.member.1=x&A.entry.1.key=k&A.entry.1.value=v&M.Value=1";
        let form = Part::parse(form).unwrap();
        assert_eq!(form.text("Action"), Some("X"));
        assert_eq!(form.text("Tags"), None);
        let tags = form.list("Tags.member");
        let keys: Vec<_> = tags.iter().filter_map(|tag| tag.text("Key")).collect();
        assert_eq!(keys, ["a", "b", "c"]);
        assert_eq!(form.texts("Ids.member"), ["x"]);
        let map: BTreeMap<String, String> = form.map("A.entry", "key", "value");
        assert_eq!(map, [("k".to_owned(), "v".to_owned())].into());
        assert_eq!(form.part("M").text("Value"), Some("1"));
        assert!(form.list("Action").is_empty() && form.list("None.member").is_empty());
    }
}
