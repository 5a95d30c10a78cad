//! Where a message stands in the one order of a shard.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

/// Bits of an [`Id`] that count messages within one millisecond.
const SEQUENCE_BITS: u32 = 22;

/// The id of a logged message: milliseconds since 1970 by the clock of Redis
/// and a number within that millisecond, packed (`ms << 22 | number`) so that
/// the order of numbers is the order of messages.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Id(pub u64);

impl Id {
    /// Before every message.
    pub const ZERO: Id = Id(0);
    /// Length of the written form, in bytes.
    pub const LEN: usize = 21;

    /// `ms`: since 1970, by Redis's clock; `sequence`: within that millisecond.
    pub const fn new(ms: u64, sequence: u32) -> Self {
        Id((ms << SEQUENCE_BITS) | sequence as u64)
    }

    /// Milliseconds since 1970.
    pub const fn ms(self) -> u64 {
        self.0 >> SEQUENCE_BITS
    }

    /// The number within the millisecond.
    pub const fn sequence(self) -> u32 {
        (self.0 & ((1 << SEQUENCE_BITS) - 1)) as u32
    }
}

/// As the scripts write it: 13 digits, `-`, 7 digits. The order as text is
/// the order of ids.
impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:013}-{:07}", self.ms(), self.sequence())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One life of the log. Ids of different epochs tell nothing about each other.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(pub NonZeroU32);

impl Epoch {
    /// Length of the written form, in bytes.
    pub const LEN: usize = 8;

    /// For a log that begins anew.
    pub fn random() -> Self {
        Epoch(NonZeroU32::new(rand::random()).unwrap_or(NonZeroU32::MIN))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An id and the epoch it is of. Written `<epoch>-<id>`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Place {
    /// The life of the log.
    pub epoch: Epoch,
    /// The message in it.
    pub id: Id,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.id)
    }
}

/// The text is no id, epoch or place as the scripts write them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id, epoch or place")]
pub struct BadPlace;

impl FromStr for Id {
    type Err = BadPlace;

    fn from_str(text: &str) -> Result<Self, BadPlace> {
        let (ms, sequence) = text.split_once('-').ok_or(BadPlace)?;
        if ms.len() != 13 || sequence.len() != 7 {
            return Err(BadPlace);
        }
        Ok(Id::new(digits(ms)?, u32::try_from(digits(sequence)?).map_err(|_| BadPlace)?))
    }
}

impl FromStr for Epoch {
    type Err = BadPlace;

    fn from_str(text: &str) -> Result<Self, BadPlace> {
        if text.len() != Epoch::LEN || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(BadPlace);
        }
        u32::from_str_radix(text, 16).ok().and_then(NonZeroU32::new).map(Epoch).ok_or(BadPlace)
    }
}

impl FromStr for Place {
    type Err = BadPlace;

    fn from_str(text: &str) -> Result<Self, BadPlace> {
        let (epoch, id) = text.split_once('-').ok_or(BadPlace)?;
        Ok(Place { epoch: epoch.parse()?, id: id.parse()? })
    }
}

/// Decimal digits only: no sign, no space.
fn digits(text: &str) -> Result<u64, BadPlace> {
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(BadPlace);
    }
    text.parse().map_err(|_| BadPlace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_read_back() {
        let place = Place { epoch: "00000001".parse().unwrap(), id: Id::new(1_795_246_647_165, 4_194_303) };
        assert_eq!(place.to_string(), "00000001-1795246647165-4194303");
        assert_eq!(place.to_string().parse(), Ok(place));
    }

    #[test]
    fn what_is_not_a_place_is_refused() {
        for text in ["", "1-1", "00000001", "00000000-1795246647165-0000000", "0000000G-1795246647165-0000000"] {
            assert_eq!(text.parse::<Place>(), Err(BadPlace), "{text}");
        }
        assert_eq!("179524664716-00000000".parse::<Id>(), Err(BadPlace));
        assert_eq!("+795246647165-0000000".parse::<Id>(), Err(BadPlace));
    }

    #[test]
    fn the_order_of_texts_is_the_order_of_ids() {
        let ids = [Id::ZERO, Id::new(1, 0), Id::new(9, 4_000_000), Id::new(10, 9), Id::new(10, 10)];
        assert!(ids.is_sorted());
        assert!(ids.map(|id| id.to_string()).is_sorted());
    }
}
