//! WebSocket frames (RFC 6455), server side.
//!
//! Own code because no maintained crate writes pre-built shared frames and
//! holds no read buffer while a connection is idle: fastwebsockets keeps 8 KiB
//! a connection, tokio-websockets and yawc a codec's buffers and a write queue
//! of their own. Reading is incremental over a buffer that the caller owns;
//! extensions are never negotiated, so reserved bits are an error.

use bytes::{Bytes, BytesMut};

/// Longest frame header written by a server.
pub const MAX_HEADER: usize = 10;

/// What a data or control frame holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Opcode::Continuation,
            0x1 => Opcode::Text,
            0x2 => Opcode::Binary,
            0x8 => Opcode::Close,
            0x9 => Opcode::Ping,
            0xA => Opcode::Pong,
            _ => return None,
        })
    }

    fn bits(self) -> u8 {
        match self {
            Opcode::Continuation => 0x0,
            Opcode::Text => 0x1,
            Opcode::Binary => 0x2,
            Opcode::Close => 0x8,
            Opcode::Ping => 0x9,
            Opcode::Pong => 0xA,
        }
    }

    fn is_control(self) -> bool {
        matches!(self, Opcode::Close | Opcode::Ping | Opcode::Pong)
    }
}

/// The header of an unmasked, final frame, right-aligned in a buffer: the
/// array and the index of its first byte.
pub fn header(opcode: Opcode, length: usize) -> ([u8; MAX_HEADER], usize) {
    let mut bytes = [0; MAX_HEADER];
    let start = match length {
        0..=125 => {
            bytes[9] = length as u8;
            8
        }
        126..=0xFFFF => {
            bytes[7] = 126;
            bytes[8..].copy_from_slice(&(length as u16).to_be_bytes());
            6
        }
        _ => {
            bytes[1] = 127;
            bytes[2..].copy_from_slice(&(length as u64).to_be_bytes());
            0
        }
    };
    bytes[start] = 0x80 | opcode.bits();
    (bytes, start)
}

/// Appends one final frame.
pub fn write_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    let (bytes, start) = header(opcode, payload.len());
    out.extend_from_slice(&bytes[start..]);
    out.extend_from_slice(payload);
}

/// One final frame.
pub fn frame(opcode: Opcode, payload: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(MAX_HEADER + payload.len());
    write_frame(&mut out, opcode, payload);
    out.into()
}

/// A close frame with a status code and no text.
pub fn close_frame(code: u16) -> Bytes {
    frame(Opcode::Close, &code.to_be_bytes())
}

/// Why a frame closes the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("reserved bits are set")]
    ReservedBits,
    #[error("unknown opcode {0}")]
    UnknownOpcode(u8),
    #[error("a client frame must be masked")]
    NotMasked,
    #[error("a control frame must be final and at most 125 bytes")]
    BadControl,
    #[error("a message of over {max} bytes")]
    TooLarge { max: usize },
    #[error("a continuation without a start, or a start within a message")]
    BadFragment,
    #[error("text is not valid UTF-8")]
    NotUtf8,
}

impl FrameError {
    /// The status code of the close frame that answers it.
    pub fn status(self) -> u16 {
        match self {
            FrameError::TooLarge { .. } => 1009,
            FrameError::NotUtf8 => 1007,
            FrameError::ReservedBits
            | FrameError::UnknownOpcode(_)
            | FrameError::NotMasked
            | FrameError::BadControl
            | FrameError::BadFragment => 1002,
        }
    }
}

/// What a client sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Valid UTF-8.
    Text(Bytes),
    Binary(Bytes),
    Ping(Bytes),
    Pong,
    Close,
}

/// Reads frames of one connection. Holds bytes only while a frame or a
/// fragmented message is incomplete.
#[derive(Debug)]
pub struct Reader {
    max_message: usize,
    /// Opcode and bytes of a message whose final frame has not come.
    fragments: Option<Box<(Opcode, Vec<u8>)>>,
}

impl Reader {
    /// `max_message`: bytes of one message, over all its fragments.
    pub fn new(max_message: usize) -> Self {
        Reader { max_message, fragments: None }
    }

    /// Takes the next message off the front of `input`; `None` when it holds
    /// no complete one. Unmasks in place. After an error the connection is
    /// beyond use.
    pub fn next(&mut self, input: &mut BytesMut) -> Result<Option<Message>, FrameError> {
        while let Some(head) = Head::parse(input, self.max_message)? {
            if input.len() < head.len + head.payload {
                return Ok(None);
            }
            let mut frame = input.split_to(head.len + head.payload);
            let mut payload = frame.split_off(head.len);
            unmask(&mut payload, head.mask);
            if let Some(message) = self.on_frame(head, payload)? {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    fn on_frame(&mut self, head: Head, payload: BytesMut) -> Result<Option<Message>, FrameError> {
        match (head.opcode, self.fragments.take()) {
            (opcode, fragments) if opcode.is_control() => {
                self.fragments = fragments;
                Ok(Some(match opcode {
                    Opcode::Ping => Message::Ping(payload.freeze()),
                    Opcode::Pong => Message::Pong,
                    Opcode::Close | Opcode::Continuation | Opcode::Text | Opcode::Binary => Message::Close,
                }))
            }
            (Opcode::Continuation, Some(mut message)) => {
                if message.1.len() + payload.len() > self.max_message {
                    return Err(FrameError::TooLarge { max: self.max_message });
                }
                message.1.extend_from_slice(&payload);
                if head.last {
                    let (opcode, bytes) = *message;
                    return whole(opcode, bytes.into()).map(Some);
                }
                self.fragments = Some(message);
                Ok(None)
            }
            (Opcode::Continuation, None) | (_, Some(_)) => Err(FrameError::BadFragment),
            (opcode, None) if head.last => whole(opcode, payload.freeze()).map(Some),
            (opcode, None) => {
                self.fragments = Some(Box::new((opcode, payload.to_vec())));
                Ok(None)
            }
        }
    }
}

fn whole(opcode: Opcode, payload: Bytes) -> Result<Message, FrameError> {
    if opcode == Opcode::Text {
        std::str::from_utf8(&payload).map_err(|_| FrameError::NotUtf8)?;
        return Ok(Message::Text(payload));
    }
    Ok(Message::Binary(payload))
}

/// A frame's header.
struct Head {
    opcode: Opcode,
    last: bool,
    mask: [u8; 4],
    /// Bytes of the header.
    len: usize,
    /// Bytes of the payload.
    payload: usize,
}

impl Head {
    fn parse(input: &[u8], max_message: usize) -> Result<Option<Self>, FrameError> {
        let &[first, second, ..] = input else { return Ok(None) };
        if first & 0x70 != 0 {
            return Err(FrameError::ReservedBits);
        }
        let opcode = Opcode::from_bits(first & 0x0F).ok_or(FrameError::UnknownOpcode(first & 0x0F))?;
        if second & 0x80 == 0 {
            return Err(FrameError::NotMasked);
        }
        let last = first & 0x80 != 0;
        let short = usize::from(second & 0x7F);
        if opcode.is_control() && (!last || short > 125) {
            return Err(FrameError::BadControl);
        }
        let extended = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let len = 2 + extended + 4;
        if input.len() < len {
            return Ok(None);
        }
        let payload = match extended {
            0 => short as u64,
            _ => input[2..2 + extended].iter().fold(0, |n, b| n << 8 | u64::from(*b)),
        };
        let payload = usize::try_from(payload)
            .ok()
            .filter(|n| *n <= max_message)
            .ok_or(FrameError::TooLarge { max: max_message })?;
        let mask = [input[len - 4], input[len - 3], input[len - 2], input[len - 1]];
        Ok(Some(Head { opcode, last, mask, len, payload }))
    }
}

fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let wide = u64::from_ne_bytes([mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3]]);
    let (chunks, rest) = payload.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 250];
        let mut out = vec![first];
        match payload.len() {
            n @ 0..=125 => out.push(0x80 | n as u8),
            n @ 126..=0xFFFF => {
                out.push(0x80 | 126);
                out.extend((n as u16).to_be_bytes());
            }
            n => {
                out.push(0x80 | 127);
                out.extend((n as u64).to_be_bytes());
            }
        }
        out.extend(mask);
        out.extend(payload.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
        out
    }

    fn read_all(chunks: &[&[u8]], max: usize) -> Result<Vec<Message>, FrameError> {
        let mut reader = Reader::new(max);
        let mut input = BytesMut::new();
        let mut messages = Vec::new();
        for chunk in chunks {
            input.extend_from_slice(chunk);
            while let Some(message) = reader.next(&mut input)? {
                messages.push(message);
            }
        }
        Ok(messages)
    }

    proptest! {
        #[test]
        fn frames_read_the_same_however_they_are_cut(
            payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 1..5),
            cut in 1usize..50,
        ) {
            let bytes: Vec<u8> = payloads.iter().flat_map(|p| client_frame(0x82, p)).collect();
            let chunks: Vec<&[u8]> = bytes.chunks(cut).collect();
            let expected: Vec<_> = payloads.into_iter().map(|p| Message::Binary(p.into())).collect();
            prop_assert_eq!(read_all(&chunks, 1000), Ok(expected));
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_all(&[&bytes], 100);
        }
    }

    #[test]
    fn fragments_join_around_control_frames() {
        let bytes: Vec<u8> =
            [client_frame(0x01, b"a"), client_frame(0x89, b"p"), client_frame(0x00, b"b"), client_frame(0x80, b"c")]
                .concat();
        assert_eq!(
            read_all(&[&bytes], 10),
            Ok(vec![Message::Ping(Bytes::from_static(b"p")), Message::Text(Bytes::from_static(b"abc"))])
        );
    }

    #[test]
    fn violations_close() {
        let unmasked = [0x81, 0x01, b'a'];
        for (bytes, expected) in [
            (client_frame(0xC1, b"a"), FrameError::ReservedBits),
            (client_frame(0x83, b"a"), FrameError::UnknownOpcode(3)),
            (unmasked.to_vec(), FrameError::NotMasked),
            (client_frame(0x09, b"a"), FrameError::BadControl),
            (client_frame(0x89, &[0; 126]), FrameError::BadControl),
            (client_frame(0x82, &[0; 101]), FrameError::TooLarge { max: 100 }),
            (client_frame(0x80, b"a"), FrameError::BadFragment),
            ([client_frame(0x01, b"a"), client_frame(0x81, b"a")].concat(), FrameError::BadFragment),
            ([client_frame(0x02, &[0; 60]), client_frame(0x80, &[0; 60])].concat(), FrameError::TooLarge { max: 100 }),
            (client_frame(0x81, &[0xFF]), FrameError::NotUtf8),
        ] {
            assert_eq!(read_all(&[&bytes], 100), Err(expected));
        }
    }

    #[test]
    fn headers_of_each_length() {
        for (length, expected) in [
            (0, vec![0x81, 0]),
            (125, vec![0x81, 125]),
            (126, vec![0x81, 126, 0, 126]),
            (65536, vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let (bytes, start) = header(Opcode::Text, length);
            assert_eq!(bytes[start..], expected[..]);
        }
    }
}
