//! Points in time as the command line takes them: with their zone, since a run is the same one wherever one asks for it.

use jiff::{Timestamp, civil::DateTime};

/// Reads a time such as `2026-01-31T09:00:00Z`; says what to write for one that lacks its zone.
pub(crate) fn parse(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    match text.parse::<DateTime>() {
        Ok(local) => Err(format!(
            "it says no zone: write `{local}Z` if that is UTC, or its distance from UTC, such as `{local}+09:00`"
        )),
        Err(_) => Err("a time is written such as `2026-01-31T09:00:00Z`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_its_zone() {
        assert_eq!(parse("2026-01-31T09:00:00Z"), parse("2026-01-31T18:00:00+09:00"));
        assert!(parse("2026-01-31T09:00:00Z").is_ok());
    }

    #[test]
    fn a_date_is_told_what_it_lacks() {
        for text in ["2026-01-31", "2026-01-31T00:00:00", "2026-01-31 00:00"] {
            let told = parse(text).unwrap_err();
            assert!(told.starts_with("it says no zone: write `2026-01-31T00:00:00Z`"), "{told}");
        }
        assert!(parse("yesterday").unwrap_err().contains("such as `2026-01-31T09:00:00Z`"));
    }
}
