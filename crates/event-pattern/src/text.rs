//! Comparing strings: ignoring case, and with wildcards.
//!
//! Strings are the bytes that `json::unquote` returns. Used by `clause` alone.

use memchr::memmem;

/// A string compiled to be found in any case.
///
/// Case is folded one character at a time, as EventBridge does: `ß` meets `SS`, `ss` does not meet
/// `ß`. Each character is met by itself, its lower-case and its upper-case form.
#[derive(Debug)]
pub(crate) enum AnyCase {
    /// ASCII in lower case. No form of its characters lies beyond ASCII.
    Ascii(Vec<u8>),
    /// The forms of each character.
    Forms(Vec<Vec<Vec<u8>>>),
}

impl AnyCase {
    pub(crate) fn new(text: &[u8]) -> Self {
        if text.is_ascii() {
            return Self::Ascii(text.to_ascii_lowercase());
        }
        let mut characters = Vec::new();
        for chunk in text.utf8_chunks() {
            characters.extend(chunk.valid().chars().map(forms));
            characters.extend(chunk.invalid().iter().map(|&byte| vec![vec![byte]]));
        }
        Self::Forms(characters)
    }

    pub(crate) fn equals(&self, text: &[u8]) -> bool {
        self.after_prefix(text).is_some_and(<[u8]>::is_empty)
    }

    pub(crate) fn is_prefix_of(&self, text: &[u8]) -> bool {
        self.after_prefix(text).is_some()
    }

    pub(crate) fn is_suffix_of(&self, text: &[u8]) -> bool {
        let characters = match self {
            Self::Ascii(lower) => {
                let end = text.len().checked_sub(lower.len()).map(|from| &text[from..]);
                return end.is_some_and(|end| end.eq_ignore_ascii_case(lower));
            }
            Self::Forms(characters) => characters,
        };
        let mut rest = text;
        characters.iter().rev().all(|forms| {
            let before = forms.iter().find_map(|form| rest.strip_suffix(form.as_slice()));
            before.inspect(|before| rest = before).is_some()
        })
    }

    // The first form that fits is the only one: no form of a character starts or ends another of
    // its forms (held by a test over all characters).
    fn after_prefix<'t>(&self, text: &'t [u8]) -> Option<&'t [u8]> {
        match self {
            Self::Ascii(lower) => {
                let (start, rest) = text.split_at_checked(lower.len())?;
                start.eq_ignore_ascii_case(lower).then_some(rest)
            }
            Self::Forms(characters) => characters.iter().try_fold(text, |rest, forms| {
                forms.iter().find_map(|form| rest.strip_prefix(form.as_slice()))
            }),
        }
    }
}

/// The spellings that count as this character, without repetition.
fn forms(c: char) -> Vec<Vec<u8>> {
    let itself = c.to_string().into_bytes();
    let lower = c.to_lowercase().to_string().into_bytes();
    let upper = c.to_uppercase().to_string().into_bytes();
    let mut forms = vec![itself];
    for form in [lower, upper] {
        if !forms.contains(&form) {
            forms.push(form);
        }
    }
    forms
}

/// A string in which `*` stands for any number of characters.
#[derive(Debug)]
pub(crate) struct Wildcard {
    // Invariant: never empty. The texts around the stars, so one more than there are stars.
    parts: Vec<Vec<u8>>,
}

/// The text around the first and the last star of a [`Wildcard`].
#[derive(Debug, PartialEq)]
pub(crate) enum Ends<'w> {
    /// There is no star.
    Whole(&'w [u8]),
    /// There is one.
    Both(&'w [u8], &'w [u8]),
    /// There are more.
    More(&'w [u8], &'w [u8]),
}

/// Why a text is not a wildcard.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub(crate) enum Error {
    #[error("two `*` in a row mean no more than one")]
    StarTwice,
    #[error("a backslash in a wildcard stands before `*` or a backslash only")]
    Escape,
}

impl Wildcard {
    pub(crate) fn read(text: &[u8]) -> Result<Self, Error> {
        let mut parts = vec![Vec::new()];
        let mut after_star = false;
        let mut bytes = text.iter();
        while let Some(&byte) = bytes.next() {
            let star = byte == b'*';
            if star && after_star {
                return Err(Error::StarTwice);
            }
            after_star = star;
            if star {
                parts.push(Vec::new());
                continue;
            }
            let literal = match byte {
                b'\\' => match bytes.next() {
                    Some(&escaped @ (b'*' | b'\\')) => escaped,
                    _ => return Err(Error::Escape),
                },
                other => other,
            };
            parts.last_mut().expect("there is always a part").push(literal);
        }
        Ok(Self { parts })
    }

    /// What a string must begin and end with, and whether that is all that is asked.
    pub(crate) fn ends(&self) -> Ends<'_> {
        match &*self.parts {
            [whole] => Ends::Whole(whole),
            [first, last] => Ends::Both(first, last),
            [first, .., last] => Ends::More(first, last),
            [] => unreachable!("there is always a part"),
        }
    }

    pub(crate) fn matches(&self, text: &[u8]) -> bool {
        let (first, rest) = self.parts.split_first().expect("there is always a part");
        let Some((last, middle)) = rest.split_last() else {
            return text == first;
        };
        let Some(text) = text.strip_prefix(first.as_slice()) else { return false };
        let Some(text) = text.strip_suffix(last.as_slice()) else { return false };
        // Taking each part at its leftmost place leaves the most for those that follow.
        let found = middle.iter().try_fold(text, |text, part| {
            let at = memmem::find(text, part)?;
            Some(&text[at + part.len()..])
        });
        found.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_case(pattern: &str, text: &str, expected: bool) {
        assert_eq!(AnyCase::new(pattern.as_bytes()).equals(text.as_bytes()), expected);
    }

    #[test]
    fn case_is_ignored_beyond_ascii() {
        check_case("ÉTÉ", "été", true);
        check_case("Ⱥ", "ⱥ", true);
        check_case("x😀", "X😀", true);
        check_case("𐐀", "𐐨", true);
        check_case("abc", "abcd", false);
    }

    #[test]
    fn a_character_may_fold_into_several() {
        check_case("straße", "STRASSE", true);
        check_case("strasse", "straße", false);
        check_case("ß", "ss", false);
    }

    #[test]
    fn prefixes_and_suffixes_ignore_case() {
        let part = AnyCase::new("Né".as_bytes());
        assert!(part.is_prefix_of("nÉE".as_bytes()));
        assert!(part.is_suffix_of("bonnÉ".as_bytes()));
        assert!(!part.is_suffix_of("née".as_bytes()));
        assert!(AnyCase::new(b"").is_suffix_of(b""));
    }

    #[test]
    fn ascii_stays_ascii_in_any_case() {
        for c in '\0'..='\x7f' {
            assert!(forms(c).iter().all(|form| form.is_ascii() && form.len() == 1), "{c:?}");
        }
    }

    #[test]
    fn no_form_of_a_character_starts_or_ends_another() {
        for c in char::MIN..=char::MAX {
            let forms = forms(c);
            for (i, one) in forms.iter().enumerate() {
                for (j, other) in forms.iter().enumerate() {
                    let apart = !other.starts_with(one) && !other.ends_with(one);
                    assert!(i == j || apart, "{c:?}");
                }
            }
        }
    }

    #[track_caller]
    fn check_wildcard(pattern: &str, text: &str, expected: bool) {
        assert_eq!(Wildcard::read(pattern.as_bytes()).unwrap().matches(text.as_bytes()), expected);
    }

    #[test]
    fn a_star_stands_for_anything() {
        check_wildcard("*", "", true);
        check_wildcard("a*bc*d", "abbcbcbcd", true);
        check_wildcard("*a*a*", "xax", false);
        check_wildcard("你*界", "你好世界", true);
    }

    #[test]
    fn parts_do_not_overlap() {
        check_wildcard("ab*ba", "aba", false);
        check_wildcard("ab*ba", "abba", true);
        check_wildcard("*aa*aa*", "aaa", false);
    }

    #[test]
    fn escaped_characters_are_literal() {
        check_wildcard(r"a\*b", "a*b", true);
        check_wildcard(r"a\*b", "axb", false);
        check_wildcard(r"a\\*", r"a\xyz", true);
        check_wildcard(r"*\*", "xx", false);
    }

    #[test]
    fn malformed_wildcards_are_refused() {
        assert_eq!(Wildcard::read(b"a**").unwrap_err(), Error::StarTwice);
        assert_eq!(Wildcard::read(br"a\b").unwrap_err(), Error::Escape);
        assert_eq!(Wildcard::read(br"a\").unwrap_err(), Error::Escape);
    }
}
