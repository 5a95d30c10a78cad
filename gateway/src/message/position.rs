//! Where a message stands in the one order of its shard.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

/// Bits of a [`Position`] that count messages within one millisecond.
const SEQUENCE_BITS: u32 = 22;
const SEQUENCE_MASK: u64 = (1 << SEQUENCE_BITS) - 1;

/// The id of a logged message: milliseconds since 1970 and a sequence number
/// within that millisecond, packed so that the order of numbers is the order
/// of messages. Written `<ms>-<sequence>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position(u64);

impl Position {
    /// Before every message.
    pub const ZERO: Position = Position(0);
    /// After every message: the `since` of a membership that is not live yet.
    pub const NEVER: Position = Position(u64::MAX);

    /// `ms` since 1970 (42 bits are kept), `sequence` below 2^22.
    pub const fn new(ms: u64, sequence: u32) -> Self {
        Position((ms << SEQUENCE_BITS) | (sequence as u64 & SEQUENCE_MASK))
    }

    /// Milliseconds since 1970.
    pub const fn ms(self) -> u64 {
        self.0 >> SEQUENCE_BITS
    }

    /// Sequence number within the millisecond.
    pub const fn sequence(self) -> u32 {
        (self.0 & SEQUENCE_MASK) as u32
    }

    /// The id of the next message at the wall clock's `now_ms`: after `self`
    /// even when the clock stands still or steps back.
    #[must_use]
    pub fn next(self, now_ms: u64) -> Self {
        Position::new(now_ms, 0).max(Position(self.0 + 1))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms(), self.sequence())
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One life of the log. Positions of different epochs cannot be compared:
/// whoever holds one of an earlier epoch starts anew.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(NonZeroU32);

impl Epoch {
    /// A random epoch, for a log that starts empty.
    pub fn random() -> Self {
        Epoch(NonZeroU32::new(rand::random()).unwrap_or(NonZeroU32::MIN))
    }

    pub fn number(self) -> NonZeroU32 {
        self.0
    }
}

impl From<NonZeroU32> for Epoch {
    fn from(number: NonZeroU32) -> Self {
        Epoch(number)
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

/// What a client keeps and shows again when it comes back: the last argument
/// of each event. Written `1<epoch>-<ms>-<sequence>`; the leading `1` is the
/// version of this form, so that others can follow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Offset {
    pub epoch: Epoch,
    pub position: Position,
}

/// The version character that opens every offset.
const VERSION: char = '1';

impl Offset {
    /// Longest written form, in bytes.
    pub const MAX_LEN: usize = 1 + 8 + 1 + 13 + 1 + 7;

    /// Appends the written form; never allocates when `out` has
    /// [`Self::MAX_LEN`] bytes to spare.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        out.push(VERSION as u8);
        let epoch = self.epoch.0.get();
        out.extend((0..8).rev().map(|n| HEX[(epoch >> (n * 4)) as usize & 15]));
        let mut digits = itoa::Buffer::new();
        out.push(b'-');
        out.extend_from_slice(digits.format(self.position.ms()).as_bytes());
        out.push(b'-');
        out.extend_from_slice(digits.format(self.position.sequence()).as_bytes());
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{VERSION}{}-{}", self.epoch, self.position)
    }
}

/// The text is not an offset of a version known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an offset")]
pub struct BadOffset;

impl FromStr for Offset {
    type Err = BadOffset;

    fn from_str(text: &str) -> Result<Self, BadOffset> {
        let rest = text.strip_prefix(VERSION).ok_or(BadOffset)?;
        let mut parts = rest.split('-');
        let (epoch, ms, sequence) = match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(epoch), Some(ms), Some(sequence), None) => (epoch, ms, sequence),
            _ => return Err(BadOffset),
        };
        if epoch.len() != 8 || !epoch.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(BadOffset);
        }
        let epoch = u32::from_str_radix(epoch, 16).ok().and_then(NonZeroU32::new).ok_or(BadOffset)?;
        let ms: u64 = number(ms)?;
        let sequence: u64 = number(sequence)?;
        if ms >> (64 - SEQUENCE_BITS) != 0 || sequence > SEQUENCE_MASK {
            return Err(BadOffset);
        }
        Ok(Offset { epoch: Epoch(epoch), position: Position::new(ms, sequence as u32) })
    }
}

/// Decimal digits only: no sign, no space.
fn number(text: &str) -> Result<u64, BadOffset> {
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(BadOffset);
    }
    text.parse().map_err(|_| BadOffset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_offset_reads_back(epoch in 1u32.., ms in 0u64..1 << 42, sequence in 0u32..1 << 22) {
            let offset = Offset {
                epoch: Epoch(NonZeroU32::new(epoch).unwrap()),
                position: Position::new(ms, sequence),
            };
            let text = offset.to_string();
            prop_assert!(text.len() <= Offset::MAX_LEN);
            prop_assert_eq!(text.parse::<Offset>(), Ok(offset));
            let mut written = Vec::new();
            offset.write_to(&mut written);
            prop_assert_eq!(String::from_utf8(written).unwrap(), text);
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = text.parse::<Offset>();
        }

        #[test]
        fn ids_always_grow(last in 0u64..1 << 60, now in 0u64..1 << 41) {
            let last = Position(last);
            prop_assert!(last.next(now) > last);
            prop_assert!(last.next(now).ms() >= now);
        }
    }

    #[test]
    fn what_is_not_an_offset_is_refused() {
        for text in [
            "",
            "1",
            "2deadbeef-1-0",
            "1deadbeef-1",
            "1deadbeef-1-0-0",
            "1deadbeef-+1-0",
            "1DEADBEEF-1-0",
            "100000000-1-0",
            "1deadbeef-99999999999999999999-0",
            "1deadbeef-1-4194304",
            "1795246647165-0",
        ] {
            assert_eq!(text.parse::<Offset>(), Err(BadOffset), "{text}");
        }
    }
}
