//! Templates of text and names alone, such as `s3://{{ detail.bucket.name }}/`: filled in without Jinja's machine.
//!
//! Asked by `Template::render` before Jinja is. Most templates are of this kind, and the machine costs ten times what they
//! need. It answers what Jinja would, or nothing where it is not sure: what is missing, and everything that is neither text
//! nor a whole number nor a truth value, is Jinja's to write or to refuse.

use std::fmt::Write as _;

use minijinja::value::ValueKind;

use super::Context;

/// More names than any template of a person's has, and few enough that Jinja's fuel would not run out over them.
const NAMES_MAX: usize = 256;

/// First names that mean something of their own to Jinja, somewhere.
const RESERVED: [&str; 10] =
    ["true", "True", "false", "False", "none", "None", "loop", "self", "super", "caller"];

/// A template's parts, in order.
#[derive(Clone, Debug)]
pub(super) struct Plain {
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    Text(Box<str>),
    /// `{{ a.b }}`, as its names.
    Name(Vec<Box<str>>),
}

impl Plain {
    /// Takes apart what Jinja has compiled; `None` if there is more in it than text and names.
    pub(super) fn compile(source: &str) -> Option<Self> {
        let mut parts = Vec::new();
        let mut rest = source;
        while let Some(at) = opening(rest) {
            let (text, opened) = rest.split_at(at);
            let (inside, behind) = opened.strip_prefix("{{")?.split_once("}}")?;
            if !text.is_empty() {
                parts.push(Part::Text(text.into()));
            }
            parts.push(Part::Name(names(inside)?));
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.into()));
        }
        (parts.len() <= 2 * NAMES_MAX).then_some(Self { parts })
    }

    /// The text for an event; `None` if Jinja is to be asked.
    pub(super) fn render(&self, context: &Context<'_>) -> Option<String> {
        let mut rendered = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => rendered.push_str(text),
                Part::Name(names) => {
                    let value = context.find(names)?;
                    if let Some(text) = value.as_str() {
                        rendered.push_str(text);
                    } else if value.kind() == ValueKind::Bool {
                        rendered.push_str(if value.is_true() { "true" } else { "false" });
                    } else if value.kind() == ValueKind::Number && value.is_integer() {
                        write!(rendered, "{value}").ok()?;
                    } else {
                        return None;
                    }
                }
            }
        }
        Some(rendered)
    }
}

/// Where the first of Jinja's opening delimiters is.
fn opening(text: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + text[from..].find('{')?;
        if matches!(text.as_bytes().get(at + 1), Some(b'{' | b'%' | b'#')) {
            return Some(at);
        }
        from = at + 1;
    }
}

/// The names of `a.b`; `None` if it is another kind of expression.
fn names(expression: &str) -> Option<Vec<Box<str>>> {
    let is_name = |name: &str| {
        name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let names: Vec<&str> = expression.trim_matches([' ', '\t', '\n', '\r']).split('.').collect();
    let is_plain = names.iter().all(|name| is_name(name)) && !RESERVED.contains(names.first()?);
    is_plain.then(|| names.into_iter().map(Into::into).collect())
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::template::Template;

    /// What a template of any kind renders to, and whether that took Jinja.
    #[track_caller]
    fn check(source: &str, expected: &str, is_plain: bool) {
        let event =
            json!({ "id": "i", "detail": { "n": 12, "b": true, "f": 0.5, "s": "é{{ id }}" } });
        let context = Context::of_json(&event);
        let plain = Plain::compile(source).and_then(|plain| plain.render(&context));
        assert_eq!(plain.is_some(), is_plain);
        assert_eq!(Template::compile(source).unwrap().render(&context).unwrap(), expected);
    }

    #[test]
    fn text_and_names_need_no_jinja() {
        check("{{ id }}", "i", true);
        check("a {{id}}}}{ {{ detail.s }}\n", "a i}}{ é{{ id }}\n", true);
        check("{{ detail.n }}{{ event.detail.b }}", "12true", true);
    }

    #[test]
    fn everything_else_does() {
        check("{{ detail.f }}", "0.5", false);
        check("{{ id | upper }}", "I", false);
        check("{{ detail['n'] }}", "12", false);
        check("a {{- id }}", "ai", false);
        check("{{ true }}", "true", false);
        check("{# {{ id }} #}", "", false);
        check("{% raw %}{{ id }}{% endraw %}", "{{ id }}", false);
    }

    /// Names that meet, that mean something to Jinja or to Taskferry, and that do neither.
    const NAMES: [&str; 16] = [
        "a",
        "b",
        "_c1",
        "event",
        "detail",
        "detail_type",
        "detail-type",
        "loop",
        "self",
        "true",
        "none",
        "range",
        "not",
        "in",
        "é",
        "",
    ];

    fn name() -> impl Strategy<Value = String> {
        prop::sample::select(&NAMES[..]).prop_map(str::to_owned)
    }

    fn event() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[a-z{}%\"\\\\\u{0}é ]{0,30}".prop_map(Value::from),
        ];
        let object = |value| prop::collection::btree_map(name(), value, 0..6);
        let value = leaf.prop_recursive(3, 30, 6, move |value| {
            prop_oneof![
                prop::collection::vec(value.clone(), 0..3).prop_map(Value::from),
                object(value).prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        });
        prop::collection::btree_map(name(), value, 0..10)
            .prop_map(|members| Value::Object(members.into_iter().collect()))
    }

    fn source() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            4 => (prop::sample::select(&["{{ ", "{{", "{{-", "{{\n"][..]), prop::collection::vec(name(), 1..4),
                prop::sample::select(&[" }}", "}}", "-}}", "\t}}", " | upper }}", "}"][..]))
                .prop_map(|(opening, names, closing)| format!("{opening}{}{closing}", names.join("."))),
            2 => "[a{}%# \n.é-]{0,6}",
        ];
        prop::collection::vec(part, 0..4).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn what_is_plain_is_what_jinja_says(source in source(), event in event()) {
            let Ok(mut template) = Template::compile(&source) else { return Ok(()) };
            let context = Context::of_json(&event);
            let rendered = template.render(&context).map(Cow::into_owned);
            template.plain = None;
            let by_jinja = template.render(&context).map(Cow::into_owned);
            prop_assert_eq!(format!("{rendered:?}"), format!("{by_jinja:?}"));
        }

        #[test]
        fn an_event_s_text_gives_what_its_tree_gives(source in source(), event in event()) {
            let Ok(template) = Template::compile(&source) else { return Ok(()) };
            let whole: minijinja::Value = serde_json::from_str(&event.to_string()).unwrap();
            let by_text = Context { event: None, whole: std::cell::OnceCell::from(whole) };
            let tree: Value = serde_json::from_str(&event.to_string()).unwrap();
            let by_tree = Context::of_json(&tree);
            let render = |context| format!("{:?}", template.render(context));
            prop_assert_eq!(render(&by_text), render(&by_tree));
        }
    }
}
