//! One value or operator of a pattern, and whether it accepts one value of an event.
//!
//! Built by `operator`, asked by `search`. Knows nothing of fields or arrays.

use std::cell::OnceCell;

use crate::{
    address::{Address, Network},
    number,
    text::{AnyCase, Wildcard},
};

/// A string, number or literal of an event.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scalar<'e> {
    Text(&'e [u8]),
    Number(Number<'e>),
    True,
    False,
    Null,
}

/// A number of an event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number<'e> {
    pub(crate) raw: &'e str,
    pub(crate) reading: &'e Reading,
}

/// What is found out of a number once a clause asks for it.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    nearest: OnceCell<f64>,
    stands: OnceCell<bool>,
}

impl Number<'_> {
    /// The nearest double, which may not [stand](Self::stands) for the number.
    pub(crate) fn nearest(&self) -> f64 {
        *self.reading.nearest.get_or_init(|| number::nearest(self.raw))
    }

    /// Whether the nearest double stands for the number. Takes longer to find out.
    pub(crate) fn stands(&self) -> bool {
        *self.reading.stands.get_or_init(|| number::stands(self.raw, self.nearest()))
    }
}

/// What one element of a field's list asks for.
#[derive(Debug)]
pub(crate) enum Clause {
    Text(Vec<u8>),
    /// A plain string that is an IP address is met by every spelling of the address.
    Address(Address),
    Number {
        raw: String,
        value: Option<f64>,
    },
    True,
    False,
    Null,
    Prefix(Vec<u8>),
    PrefixAnyCase(AnyCase),
    Suffix(Vec<u8>),
    SuffixAnyCase(AnyCase),
    AnyCase(AnyCase),
    Wildcard(Wildcard),
    AnythingBut(Vec<Clause>),
    Numeric(Interval),
    Network(Network),
    Exists,
    /// `{"exists": false}`: no value is accepted; `search` looks for the absence of values.
    Absent,
}

/// The numbers that a `numeric` operator accepts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Interval {
    pub(crate) low: Option<Bound>,
    pub(crate) high: Option<Bound>,
}

/// One end of an [`Interval`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bound {
    pub(crate) value: f64,
    pub(crate) included: bool,
}

impl Interval {
    #[expect(clippy::float_cmp, reason = "bounds are exact decimals, never results of arithmetic")]
    pub(crate) fn contains(&self, value: f64) -> bool {
        let above = |low: Bound| value > low.value || (low.included && value == low.value);
        let below = |high: Bound| value < high.value || (high.included && value == high.value);
        self.low.is_none_or(above) && self.high.is_none_or(below)
    }

    /// The number, if only one is accepted.
    #[expect(clippy::float_cmp, reason = "bounds are exact decimals, never results of arithmetic")]
    pub(crate) fn only(&self) -> Option<f64> {
        let (low, high) = self.low.zip(self.high)?;
        (low.value == high.value && low.included && high.included).then_some(low.value)
    }
}

impl Clause {
    /// Whether this value meets the clause.
    pub(crate) fn accepts(&self, scalar: Scalar<'_>) -> bool {
        match self {
            Self::Exists => true,
            Self::Absent => false,
            Self::AnythingBut(excluded) => !excluded.iter().any(|clause| clause.accepts(scalar)),
            _ => match scalar {
                Scalar::Text(text) => self.accepts_text(text),
                Scalar::Number(number) => self.accepts_number(number),
                Scalar::True => matches!(self, Self::True),
                Scalar::False => matches!(self, Self::False),
                Scalar::Null => matches!(self, Self::Null),
            },
        }
    }

    fn accepts_text(&self, text: &[u8]) -> bool {
        match self {
            Self::Text(expected) => text == expected,
            Self::Address(expected) => Address::read(text) == Some(*expected),
            Self::Prefix(prefix) => text.starts_with(prefix),
            Self::PrefixAnyCase(prefix) => prefix.is_prefix_of(text),
            Self::Suffix(suffix) => text.ends_with(suffix),
            Self::SuffixAnyCase(suffix) => suffix.is_suffix_of(text),
            Self::AnyCase(expected) => expected.equals(text),
            Self::Wildcard(wildcard) => wildcard.matches(text),
            Self::Network(network) => {
                Address::read(text).is_some_and(|address| network.contains(address))
            }
            _ => false,
        }
    }

    #[expect(clippy::float_cmp, reason = "both are exact decimals, never results of arithmetic")]
    fn accepts_number(&self, number: Number<'_>) -> bool {
        match self {
            Self::Number { raw, value } => {
                raw == number.raw
                    || value.is_some_and(|value| value == number.nearest() && number.stands())
            }
            Self::Numeric(interval) => interval.contains(number.nearest()) && number.stands(),
            _ => false,
        }
    }
}
