//! The JSON paths of `InputPath` and `InputPathsMap`: read once, and followed through an event's text.
//!
//! What is found is the event's own text, byte for byte: no number loses a digit on the way. Pure.

use std::collections::HashMap;

use serde_json::value::RawValue;

/// A path into an event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct JsonPath {
    steps: Vec<Step>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Step {
    Name(String),
    Index(usize),
    /// All members or elements.
    All,
}

impl JsonPath {
    /// Reads a path; `None` if it is none, or has more than EventBridge follows.
    // https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html
    // "dot notation", "dashes", "underscores", "alphanumeric characters", "array indices", "wildcards (*)", "forward slashes"
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut rest = text.strip_prefix('$')?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            if let Some(inside) = rest.strip_prefix('[') {
                let (index, after) = inside.split_once(']')?;
                steps.push(if index == "*" { Step::All } else { Step::Index(index.parse().ok()?) });
                rest = after;
            } else {
                let name = rest.strip_prefix('.')?;
                let end = name.find(['.', '[']).unwrap_or(name.len());
                let (name, after) = name.split_at(end);
                steps.push(if name == "*" { Step::All } else { Step::Name(read_name(name)?) });
                rest = after;
            }
        }
        Some(Self { steps })
    }

    /// What is there in a JSON text, if anything: the values that a wildcard finds are one array.
    pub(super) fn find(&self, json: &str) -> Option<String> {
        let mut found = vec![json];
        for step in &self.steps {
            found = found.into_iter().flat_map(|json| step.follow(json)).collect();
        }
        if self.steps.contains(&Step::All) {
            return Some(format!("[{}]", found.join(",")));
        }
        found.first().map(|&json| json.to_owned())
    }
}

fn read_name(name: &str) -> Option<String> {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '/');
    (!name.is_empty() && name.chars().all(is_plain)).then(|| name.to_owned())
}

impl Step {
    fn follow<'j>(&self, json: &'j str) -> Vec<&'j str> {
        let object = || serde_json::from_str::<HashMap<String, &'j RawValue>>(json).ok();
        let array = || serde_json::from_str::<Vec<&'j RawValue>>(json).ok();
        match self {
            Self::Name(name) => {
                object().and_then(|members| Some(members.get(name)?.get())).into_iter().collect()
            }
            Self::Index(index) => {
                array().and_then(|values| Some(values.get(*index)?.get())).into_iter().collect()
            }
            // Only elements: those of an object have no order that EventBridge tells of.
            Self::All => array().unwrap_or_default().into_iter().map(RawValue::get).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"source":"a","detail":{"n": 1.10,"a-b_c":{"d":[{"e":1},{"e":"two"}]},"x/y":true,"s":"\u00e9"}}"#;

    #[track_caller]
    fn check(path: &str, found: Option<&str>) {
        assert_eq!(JsonPath::parse(path).unwrap().find(EVENT).as_deref(), found, "{path}");
    }

    #[test]
    fn a_path_finds_the_text_that_is_there() {
        check("$", Some(EVENT));
        check("$.source", Some(r#""a""#));
        check("$.detail.n", Some("1.10"));
        check("$.detail.a-b_c.d[1].e", Some(r#""two""#));
        check("$.detail.a-b_c.d[*].e", Some(r#"[1,"two"]"#));
        check("$.detail.x/y", Some("true"));
        check("$.detail.s", Some(r#""\u00e9""#));
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        check("$.nothing", None);
        check("$.source.deeper", None);
        check("$.detail.a-b_c.d[2]", None);
        check("$.detail[0]", None);
        check("$.nothing[*]", Some("[]"));
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in [
            "", "detail", "$detail", "$.", "$..a", "$.a[", "$.a[x]", "$.a[-1]", "$['a']", "$.a b",
            "$.a?",
        ] {
            assert_eq!(JsonPath::parse(text), None, "{text}");
        }
    }
}
