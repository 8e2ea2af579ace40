//! Lists in pages: `maxResults` and `nextToken`.
//!
//! A token is the key of the last thing on the page before, in hexadecimal so that nobody reads more into it.

use crate::protocol::Exception;

use super::invalid;

const RESULTS_MAX: i64 = 100;

/// How many things a page holds.
pub(super) fn limit(max_results: Option<i64>) -> Result<u32, Exception> {
    let limit = max_results.unwrap_or(RESULTS_MAX);
    if (1..=RESULTS_MAX).contains(&limit) {
        Ok(u32::try_from(limit).expect("at most a hundred"))
    } else {
        Err(invalid("maxResults must be between 1 and 100"))
    }
}

/// The key after which a page starts.
pub(super) fn after(token: Option<&str>) -> Result<Option<String>, Exception> {
    let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(None) };
    let refused = || invalid("Invalid token");
    let (pairs, []) = token.as_bytes().as_chunks::<2>() else { return Err(refused()) };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?));
    let bytes: Option<Vec<u8>> = bytes.collect();
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).map(Some).ok_or_else(refused)
}

/// Cuts a list, of which one more than `limit` may have been read, to its page; with the token for what follows.
pub(super) fn page<T>(
    mut found: Vec<T>,
    limit: u32,
    key: impl Fn(&T) -> String,
) -> (Vec<T>, Option<String>) {
    let limit = limit as usize;
    if found.len() <= limit {
        return (found, None);
    }
    found.truncate(limit);
    let token = found.last().map(|last| {
        use std::fmt::Write as _;
        key(last).bytes().fold(String::new(), |mut token, byte| {
            write!(token, "{byte:02x}").expect("a string takes all");
            token
        })
    });
    (found, token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_to_the_key_that_it_was_made_from() {
        let (page, token) = page(vec!["a:1", "é", "c"], 2, |key| (*key).to_owned());
        assert_eq!(page, ["a:1", "é"]);
        assert_eq!(after(token.as_deref()).unwrap().as_deref(), Some("é"));
    }

    #[test]
    fn a_foreign_token_is_refused() {
        for token in ["x", "0", "zz", "ff", "é"] {
            assert!(after(Some(token)).is_err(), "{token}");
        }
    }
}
