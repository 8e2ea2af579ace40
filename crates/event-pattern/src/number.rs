//! When two numbers in JSON text are the same number.
//!
//! A number takes part in comparisons if it survives a round trip through a double. One that does
//! not (`12345678901234567891`, `1e400`) equals its own spelling only; it is never rounded.

use std::fmt::{self, Write as _};

/// Any decimal of so many digits is the shortest that stands for its double, unless it is very
/// large or very small.
const DIGITS_SAFE: u32 = 15;
/// Powers of ten up to here, times a number below 2^53, make a normal double.
const EXPONENT_SAFE: u64 = 250;

/// The value of a JSON number, or `None` if a double cannot stand for it.
pub(crate) fn comparable(raw: &str) -> Option<f64> {
    let value = nearest(raw);
    stands(raw, value).then_some(value)
}

/// The double that is nearest to a JSON number.
pub(crate) fn nearest(raw: &str) -> f64 {
    raw.parse().expect("every JSON number is one of Rust's")
}

/// Whether the double that is nearest to a JSON number stands for it.
pub(crate) fn stands(raw: &str, nearest: f64) -> bool {
    let Some(decimal) = Decimal::read(raw.as_bytes()) else { return false };
    if decimal.digits <= DIGITS_SAFE && decimal.exponent.unsigned_abs() <= EXPONENT_SAFE {
        return true;
    }
    // `{:e}` writes the shortest decimal that reads back as the double.
    let mut shortest = Text { bytes: [0; 32], length: 0 };
    nearest.is_finite()
        && write!(shortest, "{nearest:e}").is_ok()
        && Decimal::read(shortest.written()).is_some_and(|written| written == decimal)
}

/// Text of a bounded length on the stack.
struct Text {
    bytes: [u8; 32],
    length: usize,
}

impl Text {
    fn written(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.get_mut(self.length..self.length + text.len()).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.length += text.len();
        Ok(())
    }
}

/// An exact decimal: digits times a power of ten, without zeros at either end.
#[derive(Debug, PartialEq)]
struct Decimal {
    negative: bool,
    mantissa: u64,
    digits: u32,
    exponent: i64,
}

impl Decimal {
    /// The most digits that a `u64` is sure to hold; no double needs as many.
    const DIGITS_MAX: u32 = 19;

    /// Reads a JSON number; `None` if it has too many digits to be any double's shortest.
    fn read(raw: &[u8]) -> Option<Self> {
        let (negative, raw) = match raw {
            [b'-', rest @ ..] => (true, rest),
            _ => (false, raw),
        };
        let (mut mantissa, mut digits, mut exponent) = (0_u64, 0_u32, 0_i64);
        // Zeros count once another digit follows them.
        let mut zeros = 0_u32;
        let mut in_fraction = false;
        let mut bytes = raw.iter();
        while let Some(&byte) = bytes.next() {
            match byte {
                b'.' => in_fraction = true,
                b'e' | b'E' => {
                    exponent = exponent.saturating_add(power(bytes.as_slice()));
                    break;
                }
                _ => {
                    exponent -= i64::from(in_fraction);
                    if byte == b'0' {
                        zeros = if mantissa == 0 { 0 } else { zeros.saturating_add(1) };
                        continue;
                    }
                    digits = digits.saturating_add(zeros + 1);
                    if digits > Self::DIGITS_MAX {
                        return None;
                    }
                    mantissa = mantissa * 10_u64.pow(zeros + 1) + u64::from(byte - b'0');
                    zeros = 0;
                }
            }
        }
        if mantissa == 0 {
            return Some(Self { negative: false, mantissa, digits, exponent: 0 });
        }
        Some(Self { negative, mantissa, digits, exponent: exponent.saturating_add(zeros.into()) })
    }
}

/// The value of an exponent, sign and all. One beyond `i64` is as far beyond any double.
fn power(digits: &[u8]) -> i64 {
    let (negative, digits) = match digits {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, digits),
    };
    let value = digits.iter().fold(0_i64, |value, digit| {
        value.saturating_mul(10).saturating_add(i64::from(digit - b'0'))
    });
    if negative { -value } else { value }
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
    fn zeros_on_either_side_do_not_matter() {
        check("100000000000000000000000000000", Some(1e29));
        check("0.000000000000000000000000000001000000000000000000000000", Some(1e-30));
        check("1.000000000000000000000000000000000000000000000000000000001", None);
        check("-122.41600944012424", Some(-122.416_009_440_124_24));
        check("-122.416009440124241", None);
        check("1.7976931348623157e308", Some(f64::MAX));
        check("1.7976931348623159e308", None);
    }

    #[test]
    fn the_smallest_double_is_written_shortest() {
        check("5e-324", Some(5e-324));
        check("4.9e-324", None);
    }
}
