//! When two numbers in JSON text are the same number.
//!
//! A number takes part in comparisons if it survives a round trip through a double. One that does
//! not (`12345678901234567891`, `1e400`) equals its own spelling only; it is never rounded.

/// The value of a JSON number, or `None` if a double cannot stand for it.
pub(crate) fn comparable(raw: &str) -> Option<f64> {
    let value: f64 = raw.parse().ok()?;
    // `{:e}` writes the shortest decimal that reads back as `value`.
    let stands = value.is_finite() && Decimal::read(raw) == Decimal::read(&format!("{value:e}"));
    stands.then_some(value)
}

/// An exact decimal: digits times a power of ten, without zeros at either end.
#[derive(Debug, PartialEq)]
struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    exponent: i64,
}

impl Decimal {
    fn read(raw: &str) -> Self {
        let negative = raw.starts_with('-');
        let raw = raw.trim_start_matches('-');
        let (mantissa, power) = raw.split_once(['e', 'E']).unwrap_or((raw, "0"));
        // A power beyond `i64` belongs to an infinity, or to a zero however it is written.
        let power: i64 = power.parse().unwrap_or(i64::MAX / 2);
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let scale = i64::try_from(fraction.len()).unwrap_or(i64::MAX / 2);
        let mut exponent = power.saturating_sub(scale);
        while digits.last() == Some(&b'0') {
            digits.pop();
            exponent = exponent.saturating_add(1);
        }
        let zeros = digits.iter().take_while(|&&digit| digit == b'0').count();
        digits.drain(..zeros);
        if digits.is_empty() {
            return Self { negative: false, digits, exponent: 0 };
        }
        Self { negative, digits, exponent }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(raw: &str, expected: Option<f64>) {
        assert_eq!(comparable(raw), expected);
    }

    #[test]
    fn spelling_does_not_matter() {
        check("300", Some(300.0));
        check("3.0e2", Some(300.0));
        check("3E+2", Some(300.0));
        check("0.000001", Some(1e-6));
    }

    #[test]
    fn minus_zero_is_zero() {
        check("-0.0", Some(0.0));
        check("0e99999999999999999999", Some(0.0));
    }

    #[test]
    fn numbers_are_never_rounded() {
        check("9007199254740992", Some(9_007_199_254_740_992.0));
        check("9007199254740993", None);
        check("0.1000000000000000055511151231257827", None);
    }

    #[test]
    fn what_a_double_cannot_hold_is_not_comparable() {
        check("1e400", None);
        check("1e-400", None);
        check("1e-99999999999999999999", None);
    }

    #[test]
    fn the_smallest_double_is_written_shortest() {
        check("5e-324", Some(5e-324));
        check("4.9e-324", None);
    }
}
