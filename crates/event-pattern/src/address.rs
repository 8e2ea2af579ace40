//! IP addresses in patterns and events, and the networks of `cidr`.
//!
//! Only what reads as an address by itself is one: no brackets, zones, ports or names.

use std::net::{Ipv4Addr, Ipv6Addr};

/// An IP address. An IPv4 address mapped into IPv6 (`::ffff:102:304`) is the IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Address {
    V4(u32),
    V6(u128),
}

impl Address {
    /// Reads an address as a whole string; leading zeros in IPv4 are decimal.
    pub(crate) fn read(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        if text.contains(':') {
            // A dotted tail (`::ffff:1.2.3.4`) is not an address to EventBridge.
            let address: Ipv6Addr = (!text.contains('.')).then(|| text.parse().ok())??;
            return Some(match address.to_ipv4_mapped() {
                Some(v4) => Self::V4(v4.to_bits()),
                None => Self::V6(address.to_bits()),
            });
        }
        let mut parts = text.split('.');
        let mut octet = || {
            let part = parts.next()?;
            let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| part.parse::<u8>().ok())?
        };
        let octets = [octet()?, octet()?, octet()?, octet()?];
        parts.next().is_none().then(|| Self::V4(Ipv4Addr::from(octets).to_bits()))
    }
}

/// The addresses that share their first bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Network {
    base: Address,
    bits: u32,
}

/// Why a text is not a network.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub(crate) enum Error {
    #[error("a network is written as an address, `/` and a number of bits")]
    Slash,
    #[error("what stands before the `/` is not an IPv4 or IPv6 address")]
    Address,
    #[error("the number of bits is not a whole number")]
    Bits,
    #[error("an {family} network has 0 to {bits_max} bits")]
    BitsRange { family: &'static str, bits_max: u32 },
}

impl Network {
    pub(crate) fn read(text: &[u8]) -> Result<Self, Error> {
        let text = std::str::from_utf8(text).map_err(|_| Error::Address)?;
        let (address, bits) = text.split_once('/').ok_or(Error::Slash)?;
        if bits.is_empty() || bits.contains('/') {
            return Err(Error::Slash);
        }
        let base = Address::read(address.as_bytes()).ok_or(Error::Address)?;
        let bits: u32 = bits.parse().map_err(|_| Error::Bits)?;
        let (family, bits_max) = match base {
            Address::V4(_) => ("IPv4", 31),
            Address::V6(_) => ("IPv6", 127),
        };
        if bits > bits_max {
            return Err(Error::BitsRange { family, bits_max });
        }
        Ok(Self { base, bits })
    }

    /// Whether the address lies in the network. The two families never meet.
    pub(crate) fn contains(&self, address: Address) -> bool {
        let high = |shift: u32| shift - self.bits;
        match (self.base, address) {
            // A shift by the whole width, as `/0` asks for, leaves no bit to compare.
            (Address::V4(base), Address::V4(other)) => {
                (base ^ other).checked_shr(high(32)).is_none_or(|differing| differing == 0)
            }
            (Address::V6(base), Address::V6(other)) => {
                (base ^ other).checked_shr(high(128)).is_none_or(|differing| differing == 0)
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(network: &str, address: &str, expected: bool) {
        let network = Network::read(network.as_bytes()).unwrap();
        let inside =
            Address::read(address.as_bytes()).is_some_and(|address| network.contains(address));
        assert_eq!(inside, expected);
    }

    #[test]
    fn the_bits_decide() {
        check("10.0.0.77/24", "10.0.0.255", true);
        check("10.0.0.77/24", "10.0.1.0", false);
        check("10.0.0.2/31", "10.0.0.3", true);
        check("2001:db8:1234:1a00::/64", "2001:db8:1234:1a01::1", false);
    }

    #[test]
    fn no_bits_hold_the_whole_family_and_nothing_else() {
        check("0.0.0.0/0", "255.1.2.3", true);
        check("::/0", "ffff::1", true);
        check("::/0", "1.2.3.4", false);
        check("0.0.0.0/0", "::1", false);
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address() {
        check("1.2.3.0/24", "::ffff:102:304", true);
        check("1.2.3.0/24", "::ffff:1.2.3.4", false);
    }

    #[test]
    fn look_alikes_are_not_addresses() {
        for text in ["300.1.1.1", "1.1.1", "1.1.1.1.1", " 10.1.1.1", "10.0.0.+1", ":", "a:b", ""] {
            assert_eq!(Address::read(text.as_bytes()), None, "{text}");
        }
    }

    #[track_caller]
    fn check_refused(network: &str, error: Error) {
        assert_eq!(Network::read(network.as_bytes()), Err(error));
    }

    #[test]
    fn networks_are_checked() {
        check_refused("10.0.0.0", Error::Slash);
        check_refused("10.0.0.0/8/9", Error::Slash);
        check_refused("10.0.0.0/", Error::Slash);
        check_refused("x/8", Error::Address);
        check_refused("10.0.0.0/-1", Error::Bits);
        check_refused("10.0.0.0/32", Error::BitsRange { family: "IPv4", bits_max: 31 });
        check_refused("::1/128", Error::BitsRange { family: "IPv6", bits_max: 127 });
    }
}
