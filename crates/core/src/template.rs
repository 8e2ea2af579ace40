//! Templates over an event: Jinja, strict, compiled once.
//!
//! Used by `rules` for targets, dedupe keys and concurrency keys. What an event
//! carries is data: it is rendered once and never read as a template. There is no
//! access to files, clock or randomness, and fuel bounds what a template may do.

mod fault;
mod plain;

use std::{
    borrow::Cow,
    cell::OnceCell,
    fmt,
    ops::Range,
    sync::{Arc, LazyLock},
};

use minijinja::{
    Environment, ErrorKind, Output, State, UndefinedBehavior,
    value::{Enumerator, Object, Serde},
};
use serde_json::Value;

use self::{
    fault::{range_in, reason},
    plain::Plain,
};
use crate::event::Event;

/// Steps of Jinja's machine that one rendering may take.
const FUEL: u64 = 200_000;
/// ECS takes 8,192 characters of overrides, so what renders to more than this goes nowhere.
const OUTPUT_BYTES_MAX: usize = 1 << 20;
const NAME: &str = "template";

/// Whether Jinja would read `text` as more than plain text.
pub fn is_template(text: &str) -> bool {
    ["{{", "{%", "{#"].iter().any(|opening| text.contains(opening))
}

/// Text that is rendered over an event, compiled.
#[derive(Clone)]
pub struct Template {
    source: Arc<str>,
    // `None` for plain text, which is never touched.
    compiled: Option<Environment<'static>>,
    // Where there is little in it; never another text than what is compiled renders to.
    plain: Option<Plain>,
}

/// What a template can name: the members of an event's envelope.
///
/// `detail-type` is also there as `detail_type`, and the whole envelope as `event`.
#[derive(Debug)]
pub struct Context<'a> {
    event: Option<&'a Event>,
    // Read when the first template asks: many rules have none that looks at the event.
    whole: OnceCell<minijinja::Value>,
}

/// The names, as Jinja asks for them.
#[derive(Debug)]
struct Names(minijinja::Value);

/// Why a template was refused, or could not be rendered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no template that Jinja knows.
    #[error("the template is malformed: {reason}")]
    Malformed {
        /// What Jinja found.
        reason: String,
        /// Where, in bytes of the template's text.
        range: Option<Range<usize>>,
    },
    /// It names what the event does not have.
    #[error("`{name}` is not in the event{}", Hint(hint.as_deref()))]
    Undefined {
        /// The name, as far as it is missing.
        name: String,
        /// The expression that names it.
        expression: String,
        /// What the event has at that place, the nearest name first.
        hint: Option<String>,
        /// Where the expression is, in bytes of the template's text.
        range: Option<Range<usize>>,
    },
    /// It failed while it was rendered.
    #[error("{reason}")]
    Failed {
        /// What went wrong.
        reason: String,
        /// The expression that failed.
        expression: String,
        /// Where the expression is, in bytes of the template's text.
        range: Option<Range<usize>>,
    },
    /// What it renders to holds a NUL character, which no argument or variable can.
    #[error("the rendered text holds a NUL character")]
    Nul,
    /// What it renders to is larger than any request.
    #[error("the rendered text has {size} bytes, more than {OUTPUT_BYTES_MAX}")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
    },
}

struct Hint<'a>(Option<&'a str>);

impl fmt::Display for Hint<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |hint| write!(formatter, "; {hint}"))
    }
}

impl Error {
    /// Where it is, in bytes of the template's text.
    pub fn range(&self) -> Option<Range<usize>> {
        match self {
            Self::Malformed { range, .. }
            | Self::Undefined { range, .. }
            | Self::Failed { range, .. } => range.clone(),
            Self::Nul | Self::TooLarge { .. } => None,
        }
    }
}

impl<'a> Context<'a> {
    /// The names of an event.
    pub fn new(event: &'a Event) -> Self {
        Self { event: Some(event), whole: OnceCell::new() }
    }

    /// The names of an event that is at hand as a tree.
    pub fn of_json(event: &Value) -> Self {
        Self { event: None, whole: OnceCell::from(minijinja::Value::from(Serde(event))) }
    }

    fn whole(&self) -> &minijinja::Value {
        self.whole.get_or_init(|| {
            let text = self.event.map_or("null", Event::text);
            serde_json::from_str(text).expect("an event was read as JSON before")
        })
    }

    /// The value that the names `a`, `b` of `a.b` lead to, if there is one.
    fn find(&self, names: &[Box<str>]) -> Option<minijinja::Value> {
        let (first, rest) = names.split_first()?;
        let found = named(self.whole(), first)?;
        rest.iter().try_fold(found, |value, name| member(&value, name))
    }

    /// The names as Jinja takes them.
    fn names(&self) -> minijinja::Value {
        minijinja::Value::from_object(Names(self.whole().clone()))
    }

    /// The names as JSON, to be looked at for what is missing.
    fn to_json(&self) -> Value {
        serde_json::to_value(self.names()).unwrap_or_default()
    }
}

impl Object for Names {
    fn get_value(self: &Arc<Self>, key: &minijinja::Value) -> Option<minijinja::Value> {
        named(&self.0, key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<minijinja::Value> {
        named(&self.0, key)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let names = self.0.try_iter().into_iter().flatten();
        let added = ["detail_type", "event"].map(minijinja::Value::from);
        let added = added.into_iter().filter(|name| self.get_value(name).is_some());
        let mut names: Vec<minijinja::Value> = names.chain(added).collect();
        names.sort();
        names.dedup();
        Enumerator::Values(names)
    }
}

/// What `name` means at the top of a template.
fn named(event: &minijinja::Value, name: &str) -> Option<minijinja::Value> {
    match name {
        "event" => Some(event.clone()),
        "detail_type" => member(event, "detail-type").or_else(|| member(event, name)),
        _ => member(event, name),
    }
}

fn member(value: &minijinja::Value, name: &str) -> Option<minijinja::Value> {
    value.get_attr(name).ok().filter(|member| !member.is_undefined())
}

impl Template {
    /// Compiles `source`. Text without `{{`, `{%` or `{#` is plain and stays as it is.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] if Jinja cannot read it.
    pub fn compile(source: &str) -> Result<Self, Error> {
        let compiled = if is_template(source) {
            let mut environment = ENVIRONMENT.clone();
            environment.add_template_owned(NAME, source.to_owned()).map_err(|error| {
                Error::Malformed { reason: reason(&error), range: range_in(source, &error) }
            })?;
            Some(environment)
        } else {
            None
        };
        let plain = compiled.as_ref().and_then(|_| Plain::compile(source));
        Ok(Self { source: source.into(), compiled, plain })
    }

    /// The text it was compiled from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it is plain text.
    pub fn is_literal(&self) -> bool {
        self.compiled.is_none()
    }

    /// The names it looks up, such as `detail.object.key`, with functions, in order.
    pub fn names(&self) -> Vec<String> {
        let Some(environment) = &self.compiled else { return Vec::new() };
        let Ok(template) = environment.get_template(NAME) else { return Vec::new() };
        let is_function = |name: &str| environment.globals().any(|(global, _)| global == name);
        let mut names: Vec<_> = template
            .undeclared_variables(true)
            .into_iter()
            .filter(|name| !is_function(name.split('.').next().unwrap_or(name)))
            .collect();
        names.sort();
        names
    }

    /// The filter, test or function that it names and there is none of, where that shows without an event.
    ///
    /// Jinja looks them up while it renders, so it is rendered over nothing, with all that an event would bring left open.
    pub fn unknown(&self) -> Option<Error> {
        let mut environment = self.compiled.clone()?;
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        let error = environment.get_template(NAME).ok()?.render(()).err()?;
        let is_unknown = matches!(
            error.kind(),
            ErrorKind::UnknownFilter | ErrorKind::UnknownTest | ErrorKind::UnknownFunction
        );
        let range = range_in(&self.source, &error);
        is_unknown.then(|| Error::Malformed { reason: reason(&error), range })
    }

    /// Renders it over an event.
    ///
    /// # Errors
    ///
    /// [`Error::Undefined`] if it names what the event lacks, [`Error::Failed`] if an expression
    /// fails or never ends, [`Error::Nul`] and [`Error::TooLarge`] for what it renders to.
    pub fn render(&self, context: &Context<'_>) -> Result<Cow<'_, str>, Error> {
        let Some(environment) = &self.compiled else { return Ok(Cow::Borrowed(&self.source)) };
        let rendered = match self.plain.as_ref().and_then(|plain| plain.render(context)) {
            Some(rendered) => rendered,
            None => environment
                .get_template(NAME)
                .and_then(|template| template.render(context.names()))
                .map_err(|error| self.explain(&error, context))?,
        };
        #[cfg(mutations)]
        let rendered = self.rendered_again(rendered, environment, context);
        if rendered.len() > OUTPUT_BYTES_MAX {
            return Err(Error::TooLarge { size: rendered.len() });
        }
        if rendered.contains('\0') {
            return Err(Error::Nul);
        }
        Ok(Cow::Owned(rendered))
    }

    /// What came out, taken for a template once more: a bug that the simulation has to find.
    #[cfg(mutations)]
    fn rendered_again(
        &self,
        rendered: String,
        environment: &Environment<'static>,
        context: &Context<'_>,
    ) -> String {
        if !crate::is_mutated!(RenderedTwice) {
            return rendered;
        }
        environment.render_str(&rendered, context.names()).unwrap_or(rendered)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Template").field(&self.source).finish()
    }
}

/// Filters, tests and functions for all templates; each clones it, which shares them.
static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_formatter(format_value);
    let syntax = minijinja::syntax::SyntaxConfig::builder().keep_trailing_newline(true).build();
    environment.set_syntax(syntax.expect("Jinja's usual delimiters do not clash"));
    environment.set_fuel(Some(FUEL));
    environment.set_debug(true);
    environment.add_filter("tojson", |value: &minijinja::Value| to_json(value));
    // It prints the whole event: an event may hold what no log or command line should.
    environment.remove_global("debug");
    environment
});

/// Text as it is; everything else as JSON, so that `true` stays `true`.
fn format_value(
    out: &mut Output,
    _: &mut State,
    value: &minijinja::Value,
) -> Result<(), minijinja::Error> {
    let written = match value.as_str() {
        Some(text) => out.write_str(text),
        None if value.is_undefined() => Ok(()),
        None => out.write_str(&to_json(value)?),
    };
    written.map_err(|_| {
        minijinja::Error::new(ErrorKind::WriteFailure, "the text could not be written")
    })
}

fn to_json(value: &minijinja::Value) -> Result<String, minijinja::Error> {
    if value.is_undefined() {
        return Err(minijinja::Error::from(ErrorKind::UndefinedError));
    }
    serde_json::to_string(value).map_err(|error| {
        minijinja::Error::new(ErrorKind::BadSerialization, "the value has no JSON form")
            .with_source(error)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event() -> Value {
        json!({
            "id": "e-1", "source": "aws.s3", "detail-type": "Object Created", "account": "1",
            "detail": {
                "bucket": { "name": "uploads" },
                "object": { "key": "in/{{ id }} {% raw %}.jpg", "size": 12, "version-id": "v" },
                "flag": true, "none": null, "ratio": 0.1, "big": 12_345_678_901_234_567_u64,
                "list": [1, "a"], "nul": "a\u{0}b", "whole": 3.0,
            },
        })
    }

    #[track_caller]
    fn check(source: &str, expected: &str) {
        let template = Template::compile(source).unwrap();
        assert_eq!(template.render(&Context::of_json(&event())).unwrap(), expected);
    }

    #[track_caller]
    fn check_error(source: &str) -> Error {
        let template = Template::compile(source).unwrap();
        template.render(&Context::of_json(&event())).unwrap_err()
    }

    #[test]
    fn names_of_the_envelope_are_there() {
        check("{{ id }} {{ source }} {{ detail_type }}", "e-1 aws.s3 Object Created");
        check("{{ event['detail-type'] }}", "Object Created");
        check("s3://{{ detail.bucket.name }}/", "s3://uploads/");
        check(r#"{{ detail.object["version-id"] }}"#, "v");
    }

    #[test]
    fn what_an_event_carries_is_never_a_template() {
        check("{{ detail.object.key }}", "in/{{ id }} {% raw %}.jpg");
    }

    #[test]
    fn plain_text_is_never_touched() {
        for text in ["", "plain", "{ }", "a % b # c", "$HOME `x` \\n\n", "}}"] {
            let template = Template::compile(text).unwrap();
            assert!(template.is_literal());
            assert_eq!(template.render(&Context::of_json(&event())).unwrap(), text);
        }
    }

    #[test]
    fn values_are_written_as_json() {
        check("{{ detail.flag }} {{ detail.none }}", "true null");
        check(
            "{{ detail.ratio }} {{ detail.whole }} {{ detail.big }}",
            "0.1 3.0 12345678901234567",
        );
        check("{{ detail.list }}", r#"[1,"a"]"#);
        check("{{ detail.bucket | tojson }}", r#"{"name":"uploads"}"#);
        check("{{ '<a&b>' | tojson }}", r#""<a&b>""#);
    }

    #[test]
    fn a_trailing_newline_stays() {
        check("{{ id }}\n", "e-1\n");
    }

    #[test]
    fn an_undefined_name_is_named_with_what_there_is() {
        let Error::Undefined { name, expression, hint, range } =
            check_error("a {{ detail.objct.key }} b")
        else {
            panic!("not an undefined name");
        };
        assert_eq!(name, "detail.objct");
        assert_eq!(expression, "detail.objct.key");
        assert!(hint.unwrap().starts_with("`detail` has `object`"));
        assert!(range.is_some());
    }

    #[test]
    fn a_value_without_members_is_called_what_it_is() {
        let told = |source| check_error(source).to_string();
        assert!(told("{{ detail.bucket.name.x }}").ends_with("; `detail.bucket.name` is text"));
        assert!(told("{{ detail.list.x }}").ends_with("; `detail.list` is a list"));
        assert!(told("{{ detail.ratio.x }}").ends_with("; `detail.ratio` is a number"));
        assert!(told("{{ detail.none.x }}").ends_with("; `detail.none` is null"));
    }

    #[test]
    fn an_undefined_name_in_a_filter_is_named_too() {
        let Error::Undefined { name, .. } = check_error("{{ detail.bucket.nam | upper }}") else {
            panic!("not an undefined name");
        };
        assert_eq!(name, "detail.bucket.nam");
    }

    #[test]
    fn the_name_that_failed_is_named_not_one_that_may_be_missing() {
        let source = "{{ detail.absent | default('x') }} {{ detail.b }} {{ detail.c }}";
        let Error::Undefined { name, .. } = check_error(source) else {
            panic!("not an undefined name");
        };
        assert_eq!(name, "detail.b");
        let source = "{{ (detail.absent | default('x')) ~ detail.bucket.b }}";
        let Error::Undefined { name, .. } = check_error(source) else {
            panic!("not an undefined name");
        };
        assert_eq!(name, "detail.bucket.b");
    }

    #[test]
    fn a_default_stands_in_for_what_is_missing() {
        check("{{ detail.nothing | default('x') }}", "x");
    }

    #[test]
    fn loops_without_end_are_stopped() {
        let error = check_error(
            "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
        );
        assert!(matches!(error, Error::Failed { .. }), "{error:?}");
    }

    #[test]
    fn a_nul_character_is_refused() {
        assert!(matches!(check_error("{{ detail.nul }}"), Error::Nul));
    }

    #[test]
    fn nothing_can_be_included() {
        for source in ["{% include 'x' %}", "{% import 'x' as x %}", "{% extends 'x' %}"] {
            let refused = Template::compile(source).and_then(|template| {
                Ok(template.render(&Context::of_json(&event()))?.into_owned())
            });
            assert!(refused.is_err(), "{source}");
        }
    }

    #[test]
    fn malformed_templates_say_where() {
        for source in ["{{ id", "{{ }}", "{{ id | nofilter }}", "{% if %}", "{# open"] {
            let error = Template::compile(source)
                .and_then(|template| Ok(template.render(&Context::of_json(&event()))?.into_owned()))
                .unwrap_err();
            assert!(!error.to_string().is_empty(), "{source}");
        }
    }

    #[test]
    fn names_are_listed_without_functions() {
        let template =
            Template::compile("{{ detail.a.b }}{% for x in range(3) %}{{ x }}{{ id }}{% endfor %}");
        assert_eq!(template.unwrap().names(), ["detail.a.b", "id"]);
    }
}
