//! What is wrong with a payload, told without any of what is in it.
//!
//! `serde_json` quotes the value that it did not expect, and these errors end up in logs. Made by `event` and `event::s3`.

/// Why JSON is not of the shape that it must be: where, what was found of which kind, and what was expected.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("{text}")]
pub struct Malformed {
    // Invariant: no part of a payload.
    text: String,
}

impl Malformed {
    /// In words of our own.
    pub(super) fn new(text: &'static str) -> Self {
        Self { text: text.to_owned() }
    }
}

impl From<serde_json::Error> for Malformed {
    fn from(error: serde_json::Error) -> Self {
        let text = error.to_string();
        // Errors of syntax are of fixed words.
        if !error.is_data() {
            return Self { text };
        }
        let at = match error.line() {
            0 => String::new(),
            line => format!(" at line {line} column {}", error.column()),
        };
        let message = text.strip_suffix(&at).unwrap_or(&text);
        let names_a_field_of_ours =
            ["missing field ", "duplicate field "].iter().any(|begin| message.starts_with(begin));
        let said = match message.rsplit_once(", expected ") {
            _ if names_a_field_of_ours => message.to_owned(),
            Some((found, expected)) => {
                let kind = found.split(['"', '`', '\'']).next().unwrap_or_default();
                format!("{}, expected {expected}", kind.trim_end())
            }
            None => "a value is not as it must be".to_owned(),
        };
        Self { text: said + &at }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "what is read is not of interest")]
    struct Shape {
        number: u8,
        kind: Kind,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        One,
    }

    #[track_caller]
    fn check(json: &str, told: &str) {
        let error = serde_json::from_str::<Shape>(json).unwrap_err();
        assert_eq!(Malformed::from(error).to_string(), told);
    }

    #[test]
    fn no_value_is_told() {
        check(r#"{"number":"secret"}"#, "invalid type: string, expected u8 at line 1 column 18");
        check(
            r#"{"number":"a, expected \"secret\", expected b"}"#,
            "invalid type: string, expected u8 at line 1 column 46",
        );
        check(r#"{"number":4711}"#, "invalid value: integer, expected u8 at line 1 column 14");
        check(r#"{"kind":"secret"}"#, "unknown variant, expected `one` at line 1 column 16");
        check("\"secret\"", "invalid type: string, expected struct Shape at line 1 column 8");
    }

    #[test]
    fn what_is_missing_and_where_it_breaks_off_is_told() {
        check("{}", "missing field `number` at line 1 column 2");
        check(r#"{"number":"#, "EOF while parsing a value at line 1 column 10");
    }
}
