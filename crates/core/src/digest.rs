//! Names made from content: the same parts give the same name, on every machine and every day.

use sha2::{Digest as _, Sha256};

/// The first 128 bits of the SHA-256 of the parts, in lower-case hexadecimal.
///
/// Each part goes in behind its length, so that no two lists of parts run together.
pub(crate) fn hex(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().take(16).fold(String::with_capacity(32), |mut text, byte| {
        for nibble in [byte >> 4, byte & 0xf] {
            text.push(char::from_digit(nibble.into(), 16).expect("a nibble is a digit"));
        }
        text
    })
}

/// A number made of the parts: dice that fall the same each time.
pub(crate) fn number(parts: &[&str]) -> u64 {
    u64::from_str_radix(&hex(parts)[..16], 16).expect("16 hexadecimal digits are a number")
}

/// [`hex`] in the form of a UUID, as event ids are written.
pub(crate) fn uuid(parts: &[&str]) -> String {
    let hex = hex(parts);
    // Version 8 and the RFC's variant: https://www.rfc-editor.org/rfc/rfc9562#name-uuid-version-8
    let [time, middle, custom, node] = [&hex[..8], &hex[8..12], &hex[13..16], &hex[17..20]];
    format!("{time}-{middle}-8{custom}-8{node}-{}", &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(hex(&["ab", "c"]), hex(&["a", "bc"]));
    }

    #[test]
    fn a_name_never_changes() {
        assert_eq!(hex(&["a"]), "3b196fd4907bedf51c3090e9835f2f7c");
    }

    #[test]
    fn a_uuid_has_its_dashes_version_and_variant() {
        let uuid = uuid(&["a", "b"]);
        let lengths: Vec<usize> = uuid.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!(&uuid[14..15], "8");
        assert_eq!(&uuid[19..20], "8");
    }
}
