//! What a plain scalar means: YAML 1.2's core schema, numbers kept as written.
//!
//! Used by `tree` alone. A number with a leading zero is told apart, because
//! readers of YAML disagree about it.

/// A number, as JSON has it and as the file has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Number {
    pub(super) json: String,
    pub(super) raw: String,
}

/// What a plain scalar is.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    Number(Number),
    /// `012` is 10 in YAML 1.1 and 12 in YAML 1.2.
    Ambiguous(Number),
    Text,
}

/// Tells what a plain scalar is. What JSON cannot say (`.inf`, `.nan`) is text.
pub(super) fn resolve(text: &str) -> Scalar {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Scalar::Null,
        "true" | "True" | "TRUE" => return Scalar::Bool(true),
        "false" | "False" | "FALSE" => return Scalar::Bool(false),
        _ => {}
    }
    let radix = |digits: &str, radix| u64::from_str_radix(digits, radix).ok();
    let number = |json: String| Number { json, raw: text.to_owned() };
    // `from_str_radix` takes a sign; a number has none here.
    let unsigned = |digits: &&str| digits.starts_with(|first: char| first.is_ascii_hexdigit());
    if let Some(digits) = text.strip_prefix("0x").filter(unsigned) {
        return radix(digits, 16).map_or(Scalar::Text, |n| Scalar::Number(number(n.to_string())));
    }
    if let Some(digits) = text.strip_prefix("0o").filter(unsigned) {
        return radix(digits, 8).map_or(Scalar::Text, |n| Scalar::Number(number(n.to_string())));
    }
    let Some((json, leading_zero)) = decimal(text) else { return Scalar::Text };
    if leading_zero { Scalar::Ambiguous(number(json)) } else { Scalar::Number(number(json)) }
}

/// The JSON spelling of a decimal number, and whether it had a leading zero.
fn decimal(text: &str) -> Option<(String, bool)> {
    let (sign, unsigned) = match text.as_bytes().first()? {
        b'-' => ("-", &text[1..]),
        b'+' => ("", &text[1..]),
        _ => ("", text),
    };
    let digits_end =
        |text: &str| text.find(|next: char| !next.is_ascii_digit()).unwrap_or(text.len());
    let (whole, rest) = unsigned.split_at(digits_end(unsigned));
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => {
            let (fraction, rest) = rest.split_at(digits_end(rest));
            (Some(fraction), rest)
        }
        None => (None, rest),
    };
    if whole.is_empty() && fraction.is_none_or(str::is_empty) {
        return None;
    }
    let exponent = if rest.is_empty() {
        ""
    } else {
        let power = rest.strip_prefix(['e', 'E'])?;
        let digits = power.strip_prefix(['+', '-']).unwrap_or(power);
        if digits.is_empty() || digits_end(digits) != digits.len() {
            return None;
        }
        rest
    };
    let trimmed = whole.trim_start_matches('0');
    let leading_zero = whole.len() > 1 && whole.starts_with('0');
    let whole = if trimmed.is_empty() { "0" } else { trimmed };
    let mut json = format!("{sign}{whole}");
    match fraction {
        Some("") => json.push_str(".0"),
        Some(fraction) => {
            json.push('.');
            json.push_str(fraction);
        }
        None => {}
    }
    json.push_str(exponent);
    // `1e999` has the form of a number and no value that anything here could hold.
    serde_json::from_str::<serde_json::Number>(&json).ok().map(|_| (json, leading_zero))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let found = resolve(text);
        let json =
            if let Scalar::Number(number) = &found { Some(number.json.as_str()) } else { None };
        assert_eq!(json, expected, "{text}");
        assert!(json.is_some() || found == Scalar::Text, "{text}");
    }

    #[test]
    fn numbers_keep_their_digits() {
        check("1.10", Some("1.10"));
        check("-7", Some("-7"));
        check("+7", Some("7"));
        check(".5", Some("0.5"));
        check("5.", Some("5.0"));
        check("1e3", Some("1e3"));
        check("0", Some("0"));
        check("0x1F", Some("31"));
        check("0o17", Some("15"));
    }

    #[test]
    fn what_is_nearly_a_number_is_text() {
        for text in
            ["1.2.3", "-", "+", ".", "1e", "e3", "0x", "0x+1", "12:30", ".inf", "1e999", "1_000"]
        {
            check(text, None);
        }
    }

    #[test]
    fn a_leading_zero_is_ambiguous() {
        assert!(matches!(resolve("012"), Scalar::Ambiguous(_)));
        assert!(matches!(resolve("0.5"), Scalar::Number(_)));
    }

    #[test]
    fn yes_and_on_are_text() {
        for text in ["yes", "no", "on", "off", "y"] {
            check(text, None);
        }
        assert_eq!(resolve("true"), Scalar::Bool(true));
        assert_eq!(resolve(""), Scalar::Null);
    }
}
