//! Polling payloads of Engine.IO 3 and 2: each packet with its length.
//!
//! Binary: `00` for text or `01` for binary data, the length in bytes as decimal
//! digits (their values, not ASCII), `ff`, the packet. Text: the length in
//! UTF-16 units, `:`, the packet, binary data as `b4` and base64. Which it is,
//! the first byte tells; a form of JSONP begins with its field's name. So
//! nothing but the body is needed to read it, on whichever node.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, Bytes};

use super::{MESSAGE, jsonp, undoubled};
use crate::protocol::engine::{BadPacket, Inbound, Version, decode_binary, decode_old};
use crate::protocol::websocket::{self, Opcode};

/// What a packet of a binary payload begins with.
pub(super) const TEXT: u8 = 0;
pub(super) const BINARY: u8 = 1;
const END_OF_LENGTH: u8 = 0xff;

/// Most digits of a length; more is no length of anything that fits.
const MAX_DIGITS: usize = 9;

/// A packet of a payload, not looked into.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// Begins with its type.
    Binary(Bytes),
}

/// What the packets of a request body say, in order. Text is taken for doubled
/// where it looks so.
pub fn read(body: &Bytes) -> impl Iterator<Item = Result<Inbound, BadPacket>> + use<> {
    Pieces::of(body).map(|piece| match piece? {
        Piece::Text(text) => decode_old(text.into()),
        // binary data is the same in both
        Piece::Binary(data) => decode_binary(Version::V3, data),
    })
}

/// What was written for polling, as WebSocket frames.
pub fn frames(payload: &Bytes) -> impl Iterator<Item = Bytes> + use<> {
    // an error cannot be: it is of this gateway's own making
    Pieces::of(payload).filter_map(Result::ok).map(|piece| match piece {
        Piece::Binary(data) => websocket::frame(Opcode::Binary, &data),
        Piece::Text(text) => match text.strip_prefix("b4").and_then(|data| STANDARD.decode(data).ok()) {
            Some(data) => websocket::frame(Opcode::Binary, &[&[MESSAGE], &data[..]].concat()),
            None => websocket::frame(Opcode::Text, text.as_bytes()),
        },
    })
}

/// The packets of a payload.
enum Pieces {
    Binary(Bytes),
    /// What is left of it.
    Text(String, usize),
    /// Nothing more, but perhaps an error.
    End(Option<BadPacket>),
}

impl Pieces {
    fn of(body: &Bytes) -> Self {
        let text = match body.first() {
            Some(&(TEXT | BINARY)) => return Pieces::Binary(body.clone()),
            Some(b'0'..=b'9') => String::from_utf8(body.to_vec()).ok(),
            Some(_) => jsonp::field(body),
            None => None,
        };
        text.map_or(Pieces::End(Some(BadPacket)), |text| Pieces::Text(text, 0))
    }

    fn step(&mut self) -> Option<Result<Piece, BadPacket>> {
        match self {
            Pieces::Binary(rest) if rest.is_empty() => None,
            Pieces::Binary(rest) => Some(take_binary(rest)),
            Pieces::Text(text, at) if *at == text.len() => None,
            Pieces::Text(text, at) => {
                let taken = take_text(&text[*at..]);
                Some(taken.map(|(packet, length)| {
                    *at += length;
                    Piece::Text(undoubled(packet.to_owned()))
                }))
            }
            Pieces::End(error) => error.take().map(Err),
        }
    }
}

impl Iterator for Pieces {
    type Item = Result<Piece, BadPacket>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.step();
        if !matches!(next, Some(Ok(_))) {
            *self = Pieces::End(None);
        }
        next
    }
}

fn take_binary(rest: &mut Bytes) -> Result<Piece, BadPacket> {
    let kind = *rest.first().ok_or(BadPacket)?;
    let digits = rest[1..].iter().take(MAX_DIGITS + 1).position(|byte| *byte == END_OF_LENGTH).ok_or(BadPacket)?;
    let length = number(rest[1..=digits].iter().copied())?;
    rest.advance(1 + digits + 1);
    if length > rest.len() {
        return Err(BadPacket);
    }
    let data = rest.split_to(length);
    match kind {
        TEXT => String::from_utf8(data.into()).map(Piece::Text).map_err(|_| BadPacket),
        BINARY => Ok(Piece::Binary(data)),
        _ => Err(BadPacket),
    }
}

/// The first packet of a text, and how many bytes it takes with its length.
fn take_text(rest: &str) -> Result<(&str, usize), BadPacket> {
    let digits = rest.bytes().take(MAX_DIGITS + 1).position(|byte| byte == b':').ok_or(BadPacket)?;
    let mut units = number(rest[..digits].bytes().map(|byte| byte.wrapping_sub(b'0')))?;
    let packet = &rest[digits + 1..];
    let mut end = 0;
    for c in packet.chars() {
        if units == 0 {
            break;
        }
        units = units.checked_sub(c.len_utf16()).ok_or(BadPacket)?;
        end += c.len_utf8();
    }
    if units > 0 { Err(BadPacket) } else { Ok((&packet[..end], digits + 1 + end)) }
}

fn number(digits: impl ExactSizeIterator<Item = u8>) -> Result<usize, BadPacket> {
    if digits.len() == 0 {
        return Err(BadPacket);
    }
    digits.into_iter().try_fold(0, |n, digit| if digit <= 9 { Ok(n * 10 + usize::from(digit)) } else { Err(BadPacket) })
}

/// Appends a packet in parts to a binary payload.
pub(super) fn write_binary(out: &mut Vec<u8>, kind: u8, parts: &[&[u8]]) {
    out.push(kind);
    let length = parts.iter().map(|part| part.len()).sum::<usize>();
    out.extend(itoa::Buffer::new().format(length).bytes().map(|digit| digit - b'0'));
    out.push(END_OF_LENGTH);
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

/// Appends a text packet to a text payload.
pub(super) fn write_text(out: &mut Vec<u8>, packet: &[u8]) {
    // of a namespace with another name than ASCII: the rest is
    let units = String::from_utf8_lossy(packet).encode_utf16().count();
    out.extend_from_slice(itoa::Buffer::new().format(units).as_bytes());
    out.push(b':');
    out.extend_from_slice(packet);
}

/// Appends a binary message to a text payload.
pub(super) fn write_base64(out: &mut Vec<u8>, data: &[u8]) {
    write_text(out, format!("b{MESSAGE}{}", STANDARD.encode(data)).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::legacy::Form;
    use proptest::prelude::*;

    fn read_all(body: &[u8]) -> Vec<Result<Inbound, BadPacket>> {
        read(&Bytes::copy_from_slice(body)).collect()
    }

    fn text(text: &'static str) -> Result<Inbound, BadPacket> {
        Ok(Inbound::Text(text.into()))
    }

    fn binary(data: &'static [u8]) -> Result<Inbound, BadPacket> {
        Ok(Inbound::Binary(Bytes::from_static(data)))
    }

    #[test]
    fn payloads_are_read() {
        for (body, expected) in [
            (&b"\x01\x04\xff\x04\x01\x80\xff"[..], vec![binary(&[1, 0x80, 0xff])]),
            (b"\x00\x03\xff4hi\x01\x01\xff\x04\x00\x01\xff1", vec![text("hi"), binary(&[]), Ok(Inbound::Close)]),
            (b"\x00\x03\xff4\xc3\xa9", vec![text("\u{e9}")]),
            // looks doubled, which only text payloads are
            (b"\x00\x05\xff4\xc3\x83\xc2\xa9", vec![text("\u{c3}\u{a9}")]),
            (b"6:b4AYD/", vec![binary(&[1, 0x80, 0xff])]),
            (b"3:4hi1:26:2probe", vec![text("hi"), Ok(Inbound::Ping("".into())), Ok(Inbound::Probe)]),
            (b"3:4\xc3\x83\xc2\xa9", vec![text("\u{e9}")]),
            (b"2:4\xc3\xa9", vec![text("\u{e9}")]),
            ("3:4\u{1f514}1:1".as_bytes(), vec![text("\u{1f514}"), Ok(Inbound::Close)]),
            (b"d=3%3A4hi1%3A1", vec![text("hi"), Ok(Inbound::Close)]),
        ] {
            assert_eq!(read_all(body), expected, "{body:x?}");
        }
    }

    #[test]
    fn malformed_payloads_are_refused() {
        for body in [
            &b""[..],
            b"x",
            b"4hi",
            b":4",
            b"9:4hi",
            b"2:4\xf0\x9f\x94\x94",
            b"1x:4",
            b"0000000001:4",
            b"2:4\xff",
            b"0:",
            b"\x00",
            b"\x00\xff4",
            b"\x00\x0a\xff4",
            b"\x00\x02\xff4",
            b"\x00\x02\xff4\xff",
            b"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\xff4",
            b"\x01\x01\xff\x05",
            b"e=1",
        ] {
            assert_eq!(read_all(body), [Err(BadPacket)], "{body:x?}");
        }
        assert_eq!(read_all(b"1:1\x00\x00"), [Ok(Inbound::Close), Err(BadPacket)], "what came before is read");
    }

    #[test]
    fn what_waits_for_polling_can_leave_by_websocket() {
        let data = [Bytes::from_static(&[1, 2])];
        for form in [Form::BinaryPayload, Form::TextPayload] {
            let joined = [form.encode(b"4hi", &data), form.encode(b"6", &[])].concat();
            let frames: Vec<Bytes> = frames(&joined.into()).collect();
            assert_eq!(frames, [&b"\x81\x034hi"[..], b"\x82\x03\x04\x01\x02", b"\x81\x016"], "{form:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            packets in proptest::collection::vec(("[ -~]{0,200}", proptest::option::of(any::<[u8; 5]>())), 1..5),
        ) {
            for form in [Form::BinaryPayload, Form::TextPayload] {
                let mut body = Vec::new();
                let mut expected = Vec::new();
                for (text, data) in &packets {
                    let attachments: Vec<_> = data.iter().map(|data| Bytes::copy_from_slice(data)).collect();
                    body.extend(form.encode(format!("4{text}").as_bytes(), &attachments));
                    expected.push(Ok(Inbound::Text(text.clone().into())));
                    expected.extend(attachments.into_iter().map(|data| Ok(Inbound::Binary(data))));
                }
                prop_assert_eq!(read_all(&body), expected);
            }
        }

        #[test]
        fn no_bytes_panic(
            start in proptest::sample::select(vec![&b"\x00"[..], b"\x01", b"1", b"d=", b""]),
            bytes in proptest::collection::vec(prop_oneof![any::<u8>(), 0u8..10, b'0'..b';', Just(0xff)], 0..100),
        ) {
            let body = Bytes::from([start, &bytes[..]].concat());
            let _ = read(&body).count();
            let _ = frames(&body).count();
        }
    }
}
