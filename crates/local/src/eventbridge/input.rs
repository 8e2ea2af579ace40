//! What a target gets of an event: all of it, a part, a constant, or a text made of its parts.
//!
//! Read when a target is put, rendered for each event that is delivered. Pure.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::json_path::JsonPath;

/// The most variables, and the longest texts.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_InputTransformer.html
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_Target.html
const VARIABLES_MAX: usize = 100;
const TEXT_CHARACTERS_MAX: usize = 8192;
const PATH_CHARACTERS_MAX: usize = 256;

/// The variables that every template has.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html
const RULE_ARN: &str = "aws.events.rule-arn";
const RULE_NAME: &str = "aws.events.rule-name";
const INGESTION_TIME: &str = "aws.events.event.ingestion-time";
const EVENT: &str = "aws.events.event";
const EVENT_JSON: &str = "aws.events.event.json";

/// What a target gets of an event.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Input {
    /// The event.
    Event,
    /// Always the same.
    Constant(String),
    /// A part of the event.
    Path(JsonPath),
    /// A text made of parts of the event.
    Template(Template),
}

/// An `InputTransformer`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Template {
    variables: BTreeMap<String, JsonPath>,
    pieces: Vec<Piece>,
    /// Whether an object is made, or an array: then it must be one, and goes out without spaces.
    is_document: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(String),
    /// A variable, and whether it stands inside a JSON string.
    Variable {
        name: String,
        is_quoted: bool,
    },
}

/// Why a target was refused. The text is EventBridge's, for the target of the id.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Refused {
    /// It says what cannot be.
    Invalid(String),
    /// A member is not of its type.
    Misshapen(String),
}

/// The rule that an event has matched, and when the event came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Matched<'a> {
    pub(super) rule_arn: &'a str,
    pub(super) rule_name: &'a str,
    /// In whole seconds, as text.
    pub(super) ingestion_time: &'a str,
}

/// What was rendered is not JSON: the target cannot be given it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct NotJson;

impl Input {
    /// The input of a target from what its request says, of which at most one may be there.
    pub(super) fn read(
        target: &str,
        constant: Option<String>,
        path: Option<&str>,
        transformer: Option<(BTreeMap<String, String>, String)>,
    ) -> Result<Self, Refused> {
        match (constant, path, transformer) {
            (None, None, None) => Ok(Self::Event),
            (Some(constant), None, None) => {
                check_length(target, "Input", &constant, TEXT_CHARACTERS_MAX)?;
                // https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_Target.html
                // "Valid JSON text passed to the target."
                if serde_json::from_str::<&RawValue>(&constant).is_err() {
                    return Err(Refused::Invalid(format!(
                        "JSON syntax error in input for target {target}."
                    )));
                }
                Ok(Self::Constant(constant))
            }
            (None, Some(path), None) => {
                check_length(target, "InputPath", path, PATH_CHARACTERS_MAX)?;
                let path = JsonPath::parse(path);
                path.map(Self::Path).ok_or_else(|| {
                    Refused::Invalid(format!("Invalid InputPath for target {target}."))
                })
            }
            (None, None, Some((paths, template))) => {
                Template::read(target, paths, &template).map(Self::Template)
            }
            _ => Err(Refused::Invalid(format!(
                "Only one of Input, InputPath, or InputTransformer must be provided for target {target}."
            ))),
        }
    }

    /// What the target gets of this event.
    pub(super) fn render(&self, event: &str, matched: Matched<'_>) -> Result<String, NotJson> {
        match self {
            Self::Event => Ok(event.to_owned()),
            Self::Constant(text) => Ok(text.clone()),
            // Nothing there is nothing sent.
            Self::Path(path) => Ok(path.find(event).unwrap_or_else(|| "null".to_owned())),
            Self::Template(template) => template.render(event, matched),
        }
    }
}

fn check_length(target: &str, name: &str, text: &str, max: usize) -> Result<(), Refused> {
    if text.chars().count() <= max {
        return Ok(());
    }
    Err(Refused::Invalid(format!("{name} for target {target} is longer than {max} characters.")))
}

impl Template {
    fn read(
        target: &str,
        paths: BTreeMap<String, String>,
        template: &str,
    ) -> Result<Self, Refused> {
        if template.is_empty() {
            return Err(Refused::Invalid(format!("InputTemplate for target {target} is empty.")));
        }
        check_length(target, "InputTemplate", template, TEXT_CHARACTERS_MAX)?;
        if paths.len() > VARIABLES_MAX {
            let message =
                format!("InputPathsMap for target {target} has more than {VARIABLES_MAX} keys.");
            return Err(Refused::Invalid(message));
        }
        let mut variables = BTreeMap::new();
        for (name, path) in paths {
            // "The keys cannot start with `AWS`"
            if name.is_empty() || !name.chars().all(is_of_name) || starts_with_aws(&name) {
                let message =
                    format!("InputPathsMap for target {target} contains invalid key {name}.");
                return Err(Refused::Invalid(message));
            }
            let Some(path) = JsonPath::parse(&path) else {
                let message = format!(
                    "InputPathsMap for target {target} contains invalid path for key {name}."
                );
                return Err(Refused::Invalid(message));
            };
            variables.insert(name, path);
        }
        let pieces = pieces(template);
        for piece in &pieces {
            let Piece::Variable { name, .. } = piece else { continue };
            let known = [RULE_ARN, RULE_NAME, INGESTION_TIME, EVENT, EVENT_JSON];
            if !variables.contains_key(name) && !known.contains(&name.as_str()) {
                let message = format!(
                    "InputTemplate for target {target} contains invalid placeholder {name}."
                );
                return Err(Refused::Invalid(message));
            }
        }
        let is_document = template.trim_start().starts_with(['{', '[']);
        Ok(Self { variables, pieces, is_document })
    }

    fn render(&self, event: &str, matched: Matched<'_>) -> Result<String, NotJson> {
        let mut rendered = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => rendered.push_str(text),
                Piece::Variable { name, is_quoted } => {
                    let value = self.value(name, event, matched);
                    rendered.push_str(&self.show(value.as_deref(), *is_quoted));
                }
            }
        }
        if self.is_document && serde_json::from_str::<&RawValue>(&rendered).is_ok() {
            Ok(without_spaces(&rendered))
        } else if !self.is_document && is_json_texts(&rendered) {
            Ok(rendered)
        } else {
            Err(NotJson)
        }
    }

    /// The JSON that a variable stands for.
    fn value(&self, name: &str, event: &str, matched: Matched<'_>) -> Option<String> {
        let text = |text: &str| Some(serde_json::Value::from(text).to_string());
        match name {
            RULE_ARN => text(matched.rule_arn),
            RULE_NAME => text(matched.rule_name),
            INGESTION_TIME => text(matched.ingestion_time),
            EVENT_JSON => Some(event.to_owned()),
            EVENT => Some(without_detail(event)),
            _ => self.variables.get(name)?.find(event),
        }
    }

    /// A value as it stands in the text.
    ///
    /// What is not there is an empty text. Inside quotes a text goes in as it is, "EventBridge doesn't escape values
    /// extracted by Input Path": one with a quote breaks the JSON, as it does there. So does an object or array inside
    /// quotes inside a document; in a plain text it loses its quotes.
    fn show(&self, value: Option<&str>, is_quoted: bool) -> String {
        let Some(value) = value else {
            return if is_quoted { String::new() } else { r#""""#.to_owned() };
        };
        if !is_quoted {
            return value.to_owned();
        }
        match serde_json::from_str::<String>(value) {
            Ok(text) => text,
            Err(_) if value.starts_with(['{', '[']) && !self.is_document => {
                without_spaces(value).replace('"', "")
            }
            Err(_) => value.to_owned(),
        }
    }
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

fn starts_with_aws(name: &str) -> bool {
    name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("aws"))
}

/// The parts of a template: a name in `<` and `>` is a variable.
fn pieces(template: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let (mut is_quoted, mut is_escaped) = (false, false);
    let mut rest = template;
    while let Some(c) = rest.chars().next() {
        if c == '<'
            && let Some((name, after)) = rest.get(1..).and_then(|inside| inside.split_once('>'))
            && !name.is_empty()
            && name.chars().all(is_of_name)
        {
            if !text.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
            }
            pieces.push(Piece::Variable { name: name.to_owned(), is_quoted });
            rest = after;
            continue;
        }
        if is_escaped {
            is_escaped = false;
        } else if c == '\\' {
            is_escaped = is_quoted;
        } else if c == '"' {
            is_quoted = !is_quoted;
        }
        text.push(c);
        rest = &rest[c.len_utf8()..];
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    pieces
}

/// Whether this is JSON, or several JSON texts one after the other: a template may be several lines, each in quotes.
fn is_json_texts(text: &str) -> bool {
    let mut texts = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>().peekable();
    texts.peek().is_some() && texts.all(|text| text.is_ok())
}

/// JSON without what may stand between its tokens.
// "The JSON that is passed to the target is minified"
fn without_spaces(json: &str) -> String {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let keep = |c: &char| {
        if is_quoted {
            if is_escaped {
                is_escaped = false;
            } else if *c == '\\' {
                is_escaped = true;
            } else if *c == '"' {
                is_quoted = false;
            }
            return true;
        }
        is_quoted = *c == '"';
        !matches!(c, ' ' | '\t' | '\n' | '\r')
    };
    json.chars().filter(keep).collect()
}

/// `<aws.events.event>`: the envelope without its detail. EventBridge spells `detail-type` differently in it.
fn without_detail(event: &str) -> String {
    use std::collections::HashMap;

    let members: HashMap<String, &RawValue> = serde_json::from_str(event).unwrap_or_default();
    let names = [
        ("id", "id"),
        ("account", "account"),
        ("detail-type", "detailType"),
        ("time", "time"),
        ("source", "source"),
        ("region", "region"),
        ("resources", "resources"),
        ("version", "version"),
    ];
    let members = names
        .into_iter()
        .filter_map(|(name, shown)| members.get(name).map(|value| format!("\"{shown}\":{value}")));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EVENT: &str = r#"{"version":"0","id":"i-1","detail-type":"Made","source":"app","account":"000000000000","time":"2026-11-21T10:00:00Z","region":"us-east-1","resources":[],"detail":{"id":"x 1","quote":"a\"b","n":1.10,"yes":true,"list":["A","B"],"object":{"k": "v"}}}"#;

    const MATCHED: Matched<'static> = Matched {
        rule_arn: "arn:aws:events:us-east-1:000000000000:rule/r",
        rule_name: "r",
        ingestion_time: "2026-11-21T10:00:01Z",
    };

    fn read(template: &str) -> Result<Input, Refused> {
        let names = ["id", "quote", "n", "yes", "list", "object", "missing"];
        let paths = names.map(|name| (name.to_owned(), format!("$.detail.{name}")));
        Input::read("t", None, None, Some((paths.into(), template.to_owned())))
    }

    #[track_caller]
    fn check(template: &str, rendered: &str) {
        assert_eq!(read(template).unwrap().render(EVENT, MATCHED).as_deref(), Ok(rendered));
    }

    #[test]
    fn a_text_gets_values_without_quotes() {
        check(r#""it is <id>, <n>, <yes>""#, r#""it is x 1, 1.10, true""#);
        check(r#""<missing>!""#, r#""!""#);
        check(r#""<list> and <object>""#, r#""[A,B] and {k:v}""#);
        check("\"<id>\"\n\"<n>\"", "\"x 1\"\n\"1.10\"");
        check(r#""{[/<id>""#, r#""{[/x 1""#);
    }

    #[test]
    fn a_document_gets_json() {
        check(
            r#"{ "id" : <id>, "n": <n>, "o": <object> }"#,
            r#"{"id":"x 1","n":1.10,"o":{"k":"v"}}"#,
        );
        check(
            r#"{"path": "u/<id>/<id>", "list": [<id>, "c d"]}"#,
            r#"{"path":"u/x 1/x 1","list":["x 1","c d"]}"#,
        );
        check(r#"{"gone": <missing>, "empty": "<missing>"}"#, r#"{"gone":"","empty":""}"#);
        check(r#"{"quoted": <quote>}"#, r#"{"quoted":"a\"b"}"#);
        check(r#"{"said": "a \"<id>\" b"}"#, r#"{"said":"a \"x 1\" b"}"#);
        check("<object>", r#"{"k": "v"}"#);
    }

    #[test]
    fn the_variables_of_eventbridge_need_no_path() {
        let known =
            r#""<aws.events.rule-arn> <aws.events.rule-name> <aws.events.event.ingestion-time>""#;
        check(known, r#""arn:aws:events:us-east-1:000000000000:rule/r r 2026-11-21T10:00:01Z""#);
        check(r#"{"rule": <aws.events.rule-name>}"#, r#"{"rule":"r"}"#);
        check(
            r#"{"event":<aws.events.event.json>}"#,
            &format!(r#"{{"event":{}}}"#, EVENT.replace(": ", ":")),
        );
        check(
            "{\"e\":<aws.events.event>}",
            r#"{"e":{"id":"i-1","account":"000000000000","detailType":"Made","time":"2026-11-21T10:00:00Z","source":"app","region":"us-east-1","resources":[],"version":"0"}}"#,
        );
    }

    #[test]
    fn what_is_no_json_is_not_delivered() {
        for template in [
            "<id> is a text without quotes",
            r#"{"list": "<list>"}"#,
            r#"{"quote": "<quote>"}"#,
            "[<list> and more]",
        ] {
            assert_eq!(read(template).unwrap().render(EVENT, MATCHED), Err(NotJson), "{template}");
        }
    }

    proptest! {
        /// Whatever is put as a template is refused or renders, and what is rendered is JSON.
        #[test]
        fn a_template_makes_json_or_nothing(
            template in r#"[{}\[\]"\\<>:, a-c\n]{0,40}|(\{"a": ?"?<(id|quote|list|missing)>"?\}){1,2}"#
        ) {
            if let Ok(input) = read(&template)
                && let Ok(rendered) = input.render(EVENT, MATCHED)
            {
                prop_assert!(is_json_texts(&rendered), "{rendered}");
            }
        }
    }

    #[test]
    fn what_is_not_in_the_map_is_refused() {
        let message = "InputTemplate for target t contains invalid placeholder other.";
        assert_eq!(read(r#""<other>""#), Err(Refused::Invalid(message.to_owned())));
        check(r#""a < b and <id> > c""#, r#""a < b and x 1 > c""#);
    }

    #[test]
    fn a_target_has_one_input_at_most() {
        let both = Input::read("t", Some("{}".to_owned()), Some("$.detail"), None);
        let message =
            "Only one of Input, InputPath, or InputTransformer must be provided for target t.";
        assert_eq!(both, Err(Refused::Invalid(message.to_owned())));
        assert!(Input::read("t", Some("{".to_owned()), None, None).is_err());
        assert!(Input::read("t", None, Some("detail"), None).is_err());
        let reserved = BTreeMap::from([("aws.events.rule-arn".to_owned(), "$.id".to_owned())]);
        assert!(Input::read("t", None, None, Some((reserved, "\"x\"".to_owned()))).is_err());
    }
}
