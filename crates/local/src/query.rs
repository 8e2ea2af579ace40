//! AWS's query protocol, as SQS's older clients and others speak it: a form in, XML out.
//!
//! Generic: a form becomes a tree of JSON, and an answer in JSON becomes XML. Which members are lists or maps, and how their
//! items are called, is for the service to say.

use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};
use uuid::Uuid;

/// How deep the names of a form's members are nested at most. AWS's own have six parts.
const DEPTH_MAX: usize = 16;

/// The form's content type.
pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

/// Why a form cannot be read.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Error {
    /// A name or a value is no UTF-8.
    #[error("the form is not in UTF-8")]
    NotUtf8,
    /// A name is nested too deep.
    #[error("a member of the form is nested deeper than {DEPTH_MAX}")]
    TooDeep,
}

/// Reads a form: `Entry.1.Id=a&Entry.1.Body=b` becomes `{"Entry":{"1":{"Id":"a","Body":"b"}}}`. Of members of one name the
/// last one counts.
///
/// # Errors
///
/// [`Error`].
pub(crate) fn parse(form: &str) -> Result<Map<String, Value>, Error> {
    let mut tree = Map::new();
    for member in form.split('&').filter(|member| !member.is_empty()) {
        let (name, value) = member.split_once('=').unwrap_or((member, ""));
        let (name, value) = (decode(name)?, decode(value)?);
        if name.split('.').count() > DEPTH_MAX {
            return Err(Error::TooDeep);
        }
        insert(&mut tree, &name, value);
    }
    Ok(tree)
}

fn decode(text: &str) -> Result<String, Error> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    decoded.map(std::borrow::Cow::into_owned).map_err(|_| Error::NotUtf8)
}

fn insert(tree: &mut Map<String, Value>, name: &str, value: String) {
    let Some((first, rest)) = name.split_once('.') else {
        tree.insert(name.to_owned(), Value::String(value));
        return;
    };
    let slot = tree.entry(first).or_insert(Value::Null);
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    if let Value::Object(slot) = slot {
        insert(slot, rest, value);
    }
}

/// The items of a list: `{"1": a, "2": b}`, in the order of their numbers. Some clients write `{"member": {"1": a}}`.
pub(crate) fn items(list: Value) -> Vec<Value> {
    let Value::Object(mut list) = list else { return Vec::new() };
    if let Some(Value::Object(members)) = list.remove("member") {
        list = members;
    }
    let mut items: Vec<(u64, Value)> =
        list.into_iter().filter_map(|(number, item)| Some((number.parse().ok()?, item))).collect();
    items.sort_by_key(|(number, _)| *number);
    items.into_iter().map(|(_, item)| item).collect()
}

/// The entries of a map: a list whose items have a key and a value under these names.
pub(crate) fn entries(map: Value, key: &str, value: &str) -> Map<String, Value> {
    let entry = |item: Value| {
        let Value::Object(mut item) = item else { return None };
        let Some(Value::String(name)) = item.remove(key) else { return None };
        Some((name, item.remove(value).unwrap_or(Value::Null)))
    };
    // As in `{"entry": {"1": ..}}`.
    let map = match map {
        Value::Object(mut map) if map.contains_key("entry") => {
            map.remove("entry").unwrap_or(Value::Null)
        }
        map => map,
    };
    let items = match map {
        // One alone may have no number.
        Value::Object(item) if item.contains_key(key) => vec![Value::Object(item)],
        map => items(map),
    };
    items.into_iter().filter_map(entry).collect()
}

/// Writes an element: of an object one with elements inside, of a list one each, of anything else its text.
pub(crate) fn element(xml: &mut String, name: &str, value: &Value) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| element(xml, name, item)),
        Value::Null => {}
        _ => {
            tag(xml, "<", name);
            match value {
                Value::Object(members) => {
                    members.iter().for_each(|(name, value)| element(xml, name, value));
                }
                Value::String(text) => escape(xml, text),
                other => xml.push_str(&other.to_string()),
            }
            tag(xml, "</", name);
        }
    }
}

fn tag(xml: &mut String, open: &str, name: &str) {
    xml.push_str(open);
    xml.push_str(name);
    xml.push('>');
}

/// Writes text so that a parser gives it back as it was, line ends too.
fn escape(xml: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '"' => xml.push_str("&quot;"),
            '\r' => xml.push_str("&#xD;"),
            // No XML can hold it; what is stored here has none, and a message about it may.
            c if c.is_control() && !matches!(c, '\t' | '\n') => xml.push('\u{FFFD}'),
            c => xml.push(c),
        }
    }
}

/// Answers an operation. One that has a result has it without members too: clients that look for it fail otherwise.
pub(crate) fn answer(
    namespace: &str,
    operation: &str,
    members: &Map<String, Value>,
    has_result: bool,
) -> Response<Body> {
    let mut xml = format!("<?xml version=\"1.0\"?><{operation}Response xmlns=\"{namespace}\">");
    if has_result {
        let result = format!("{operation}Result");
        tag(&mut xml, "<", &result);
        members.iter().for_each(|(name, value)| element(&mut xml, name, value));
        tag(&mut xml, "</", &result);
    }
    let id = Uuid::now_v7();
    xml.push_str("<ResponseMetadata><RequestId>");
    xml.push_str(&id.to_string());
    xml.push_str("</RequestId></ResponseMetadata>");
    tag(&mut xml, "</", &format!("{operation}Response"));
    respond(StatusCode::OK, xml, id)
}

/// Answers with an error.
pub(crate) fn error(
    namespace: &str,
    status: StatusCode,
    code: &str,
    message: &str,
) -> Response<Body> {
    let fault = if status.is_server_error() { "Receiver" } else { "Sender" };
    let id = Uuid::now_v7();
    let mut xml = format!(
        "<?xml version=\"1.0\"?><ErrorResponse xmlns=\"{namespace}\"><Error><Type>{fault}</Type><Code>"
    );
    escape(&mut xml, code);
    xml.push_str("</Code><Message>");
    escape(&mut xml, message);
    xml.push_str("</Message><Detail/></Error><RequestId>");
    xml.push_str(&id.to_string());
    xml.push_str("</RequestId></ErrorResponse>");
    respond(status, xml, id)
}

fn respond(status: StatusCode, xml: String, id: Uuid) -> Response<Body> {
    let mut response = Response::new(Body::from(xml));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
        headers.insert("x-amzn-requestid", id);
    }
    response
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_form_is_a_tree() {
        let tree = parse("Action=A&E.1.Id=a+b&E.2.Id=%C3%BC%26&E.10.Id=z&Empty&E.1.X.Y=").unwrap();
        let expected = json!({
            "Action": "A", "Empty": "",
            "E": { "1": { "Id": "a b", "X": { "Y": "" } }, "2": { "Id": "ü&" }, "10": { "Id": "z" } },
        });
        assert_eq!(Value::Object(tree.clone()), expected);
        let ids = items(tree["E"].clone()).into_iter().map(|item| item["Id"].clone());
        assert_eq!(ids.collect::<Vec<_>>(), ["a b", "ü&", "z"]);
    }

    #[test]
    fn a_member_that_is_a_text_and_a_list_is_the_last_of_them() {
        assert_eq!(Value::Object(parse("A=1&A.1=2").unwrap()), json!({ "A": { "1": "2" } }));
        assert_eq!(Value::Object(parse("A.1=2&A=1").unwrap()), json!({ "A": "1" }));
    }

    #[test]
    fn what_is_nested_without_end_is_refused() {
        assert_eq!(parse(&format!("{}=1", "a.".repeat(100_000))), Err(Error::TooDeep));
        assert_eq!(parse("a=%FF"), Err(Error::NotUtf8));
    }

    #[test]
    fn maps_have_keys_and_values() {
        let map = json!({ "2": { "Name": "b", "Value": "2" }, "1": { "Name": "a", "Value": "1" }, "3": "x" });
        assert_eq!(Value::Object(entries(map, "Name", "Value")), json!({ "a": "1", "b": "2" }));
        let alone = json!({ "Name": "a", "Value": "1" });
        assert_eq!(Value::Object(entries(alone, "Name", "Value")), json!({ "a": "1" }));
    }

    #[test]
    fn text_survives_xml() {
        let mut xml = String::new();
        element(&mut xml, "B", &json!("<a>&\"\r\n\u{1}ü"));
        assert_eq!(xml, "<B>&lt;a&gt;&amp;&quot;&#xD;\n\u{FFFD}ü</B>");
        xml.clear();
        element(&mut xml, "M", &json!([{ "A": 1, "N": null }, { "A": true }]));
        assert_eq!(xml, "<M><A>1</A></M><M><A>true</A></M>");
    }
}
