//! WebSocket frames (RFC 6455), as far as the floor and the load client need them: unfragmented text, close, ping.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

pub const TEXT: u8 = 0x1;
pub const CLOSE: u8 = 0x8;
const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;
const SHORT_MAX: usize = 125;
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;

/// One frame found at the start of a buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub opcode: u8,
    /// Where the payload is in the buffer.
    pub payload: Range<usize>,
    /// The masking key, in frames of a client.
    pub mask: Option<[u8; 4]>,
}

/// The frame at the start of `buffer`, or `None` while it is incomplete.
#[inline]
pub fn find(buffer: &[u8]) -> Option<Found> {
    let [first, second, rest @ ..] = buffer else {
        return None;
    };
    let (length, mut start) = match second & !MASKED {
        LENGTH_16 => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), 4),
        LENGTH_64 => (usize::try_from(u64::from_be_bytes(*rest.first_chunk()?)).ok()?, 10),
        short => (usize::from(short), 2),
    };
    let mask = if second & MASKED != 0 {
        let key = *buffer.get(start..)?.first_chunk()?;
        start += 4;
        Some(key)
    } else {
        None
    };
    let end = start.checked_add(length)?;
    (buffer.len() >= end).then_some(Found { opcode: first & 0x0f, payload: start..end, mask })
}

/// The payload of a found frame, unmasked.
pub fn payload(buffer: &[u8], found: &Found) -> Vec<u8> {
    let mut payload = buffer[found.payload.clone()].to_vec();
    if let Some(key) = found.mask {
        for (byte, key) in payload.iter_mut().zip(key.iter().cycle()) {
            *byte ^= key;
        }
    }
    payload
}

/// Appends a text frame of a server.
pub fn push_server_text(into: &mut Vec<u8>, text: &[u8]) {
    push_head(into, text.len(), 0);
    into.extend_from_slice(text);
}

/// Appends a text frame of a client. Its masking key is zero, which is cheap and allowed outside browsers.
pub fn push_client_text(into: &mut Vec<u8>, text: &[u8]) {
    push_head(into, text.len(), MASKED);
    into.extend_from_slice(&[0; 4]);
    into.extend_from_slice(text);
}

fn push_head(into: &mut Vec<u8>, length: usize, mask: u8) {
    into.push(FINAL | TEXT);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short), _) if length <= SHORT_MAX => into.push(mask | short),
        (_, Ok(medium)) => {
            into.push(mask | LENGTH_16);
            into.extend_from_slice(&medium.to_be_bytes());
        }
        (_, Err(_)) => {
            into.push(mask | LENGTH_64);
            into.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

/// The `Sec-WebSocket-Accept` value for a `Sec-WebSocket-Key`.
pub fn accept_key(key: &[u8]) -> String {
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_every_length_read_back() {
        for length in [0, 1, 125, 126, 200, 65_535, 65_536] {
            let text = vec![b'x'; length];
            for push in [push_server_text, push_client_text] {
                let mut frame = Vec::new();
                push(&mut frame, &text);
                let found = find(&frame).unwrap();
                assert_eq!(found.payload.end, frame.len());
                assert_eq!(payload(&frame, &found), text);
                assert_eq!(find(&frame[..frame.len() - 1]), None);
            }
        }
    }

    #[test]
    fn accept_key_is_that_of_the_rfc() {
        assert_eq!(accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
