//! The benchmark's one message: the Socket.IO packet `42["m","0000000017","xxx…"]`.
//!
//! The sequence number has a fixed width and place, so that a publisher can patch it and the load client can read it
//! without parsing JSON. `m` goes to a room of the run, `e` to the room that everybody is in; both count from 1.
//! A gateway with recovery appends its offset as one more argument, which the length does not count.

/// Event name of a message to one of the run's rooms.
pub const ROOM_EVENT: &str = "m";
/// Event name of a message to everybody.
pub const EVERYONE_EVENT: &str = "e";
/// Room that every client joins beside its own.
pub const EVERYONE_ROOM: &str = "everyone";

const HEAD: usize = r#"42["m",""#.len();
const DIGITS: usize = 10;
const OVERHEAD: usize = HEAD + DIGITS + r#"",""]"#.len();

/// The filler that makes a whole packet `bytes` long.
pub fn pad(bytes: usize) -> String {
    "x".repeat(bytes.saturating_sub(OVERHEAD))
}

/// A sequence number as the message carries it.
pub fn digits(sequence: u32) -> String {
    format!("{sequence:010}")
}

/// The whole packet.
pub fn packet(event: &str, sequence: u32, pad: &str) -> String {
    format!(r#"42["{event}","{}","{pad}"]"#, digits(sequence))
}

/// Which of a client's two sequences a message belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Room,
    Everyone,
}

/// Reads stream and sequence number; `None` if this is no message of the benchmark.
pub fn parse(packet: &[u8]) -> Option<(Stream, u32)> {
    let event = packet.strip_prefix(br#"42[""#)?;
    let stream = match event.first()? {
        b'm' => Stream::Room,
        b'e' => Stream::Everyone,
        _ => return None,
    };
    let digits = packet.get(HEAD..HEAD + DIGITS)?;
    let mut sequence = 0u32;
    for digit in digits {
        let value = digit.wrapping_sub(b'0');
        if value > 9 {
            return None;
        }
        sequence = sequence.checked_mul(10)?.checked_add(u32::from(value))?;
    }
    Some((stream, sequence))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packet_has_the_asked_length_and_reads_back() {
        let packet = packet(ROOM_EVENT, 1234, &pad(200));
        assert_eq!(packet.len(), 200);
        assert_eq!(parse(packet.as_bytes()), Some((Stream::Room, 1234)));
    }

    #[test]
    fn other_packets_are_not_messages() {
        for other in [r#"40{"sid":"x"}"#, "2", "", r#"42["news","0000000001"]"#, r#"42["m","00000000"#] {
            assert_eq!(parse(other.as_bytes()), None, "{other}");
        }
    }
}
