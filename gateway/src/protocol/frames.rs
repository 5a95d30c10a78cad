//! An event encoded once, in every form that its recipients read.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::body::Body;
use super::legacy::{self, Form};
use super::msgpack;
use super::websocket::{self, Opcode};

/// How a client writes Socket.IO packets; it shows in its first packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parser {
    /// `socket.io-parser`: JSON text, binary parts as packets of their own.
    Json,
    /// `socket.io-msgpack-parser`: one binary packet.
    Msgpack,
}

/// The form in which one connection reads packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    JsonWebSocket,
    JsonPolling,
    MsgpackWebSocket,
    MsgpackPolling,
    /// Of an old client; JSON.
    Legacy(Form),
}

impl Format {
    pub fn parser(self) -> Parser {
        match self {
            Format::JsonWebSocket | Format::JsonPolling | Format::Legacy(_) => Parser::Json,
            Format::MsgpackWebSocket | Format::MsgpackPolling => Parser::Msgpack,
        }
    }

    #[must_use]
    pub fn with_parser(self, parser: Parser) -> Self {
        match (self, parser) {
            (Format::JsonWebSocket | Format::MsgpackWebSocket, Parser::Json) => Format::JsonWebSocket,
            (Format::JsonWebSocket | Format::MsgpackWebSocket, Parser::Msgpack) => Format::MsgpackWebSocket,
            (Format::JsonPolling | Format::MsgpackPolling, Parser::Json) => Format::JsonPolling,
            (Format::JsonPolling | Format::MsgpackPolling, Parser::Msgpack) => Format::MsgpackPolling,
            (Format::Legacy(form), _) => Format::Legacy(form),
        }
    }

    #[must_use]
    pub fn upgraded(self) -> Self {
        match self {
            Format::JsonWebSocket | Format::JsonPolling => Format::JsonWebSocket,
            Format::MsgpackWebSocket | Format::MsgpackPolling => Format::MsgpackWebSocket,
            Format::Legacy(_) => Format::Legacy(Form::WebSocket),
        }
    }

    /// An Engine.IO packet of text as it is carried.
    pub fn carry(self, packet: &[u8]) -> Bytes {
        match self {
            Format::JsonWebSocket | Format::MsgpackWebSocket => websocket::frame(Opcode::Text, packet),
            Format::JsonPolling | Format::MsgpackPolling => Bytes::copy_from_slice(packet),
            Format::Legacy(form) => form.encode(packet, &[]),
        }
    }

    /// Packets as one polling payload.
    pub fn payload(self, packets: impl IntoIterator<Item = Bytes>) -> Bytes {
        match self {
            // each has its length
            Format::Legacy(_) => packets.into_iter().collect::<Vec<_>>().concat().into(),
            Format::JsonWebSocket | Format::JsonPolling | Format::MsgpackWebSocket | Format::MsgpackPolling => {
                super::payload::join(packets)
            }
        }
    }
}

/// One Socket.IO packet, encoded. The WebSocket form of the JSON parser is
/// built at once, the rest when a recipient first asks for it.
#[derive(Debug)]
pub struct Frames {
    /// A text frame, then a binary frame for each attachment.
    websocket: Bytes,
    /// Where the Engine.IO packet stands in `websocket`.
    packet: Range<u32>,
    /// Where the JSON array stands in `websocket`.
    array: u32,
    attachments: Box<[Bytes]>,
    kind: Kind,
    /// Bytes of the offset at the end of the array, with its comma and quotes.
    ending: u8,
    namespace: Arc<str>,
    id: Option<u64>,
    /// Boxed, as few messages are ever asked for these.
    other: OnceLock<Box<Other>>,
}

/// The forms that are built when they are first asked for.
#[derive(Debug, Default)]
struct Other {
    polling: OnceLock<Bytes>,
    msgpack: OnceLock<Bytes>,
    /// By [`Form`].
    legacy: [OnceLock<Bytes>; Form::ALL.len()],
}

/// The packet types an event or acknowledgement is written with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Event,
    Ack,
}

impl Frames {
    /// An event: `namespace` by name, `ack` the id under which the client
    /// shall acknowledge it, `offset` the position it ends in (ASCII, without
    /// characters that JSON escapes, at most 250 bytes).
    pub fn event(namespace: &Arc<str>, body: &Body, ack: Option<u64>, offset: Option<&[u8]>) -> Self {
        Self::build(Kind::Event, namespace, body.elements(), body.attachments(), ack, offset)
    }

    /// The same event, which ends in an offset of `own` bytes, with another.
    pub fn ending_in(&self, own: usize, offset: &[u8]) -> Self {
        // behind the elements: `,"…"]`
        let elements = self.array as usize + 1..self.packet.end as usize - own - 4;
        let elements = &self.websocket[elements];
        Self::build(self.kind, &self.namespace, elements, &self.attachments, self.id, Some(offset))
    }

    /// The answer to the client's event `id`; `elements` as in [`Body`].
    pub fn ack(namespace: &Arc<str>, elements: &[u8], attachments: &[Bytes], id: u64) -> Self {
        Self::build(Kind::Ack, namespace, elements, attachments, Some(id), None)
    }

    fn build(
        kind: Kind,
        namespace: &Arc<str>,
        elements: &[u8],
        attachments: &[Bytes],
        id: Option<u64>,
        offset: Option<&[u8]>,
    ) -> Self {
        const HEADER: usize = websocket::MAX_HEADER;
        let bytes = elements.len() + attachments.iter().map(|a| a.len() + HEADER).sum::<usize>();
        let numbers = if attachments.is_empty() { 0 } else { 4 } + if id.is_some() { 20 } else { 0 };
        let ending = offset.map_or(0, |offset| offset.len() + 3);
        let mut out = Vec::with_capacity(HEADER + 4 + numbers + namespace.len() + 1 + bytes + ending);
        out.resize(HEADER, 0);
        let mut digits = itoa::Buffer::new();
        out.push(b'4');
        out.push(match (kind, attachments.is_empty()) {
            (Kind::Event, true) => b'2',
            (Kind::Ack, true) => b'3',
            (Kind::Event, false) => b'5',
            (Kind::Ack, false) => b'6',
        });
        if !attachments.is_empty() {
            out.extend_from_slice(digits.format(attachments.len()).as_bytes());
            out.push(b'-');
        }
        write_namespace(&mut out, namespace);
        if let Some(id) = id {
            out.extend_from_slice(digits.format(id).as_bytes());
        }
        let array = out.len();
        out.push(b'[');
        out.extend_from_slice(elements);
        if let Some(offset) = offset {
            out.extend_from_slice(b",\"");
            out.extend_from_slice(offset);
            out.push(b'"');
        }
        out.push(b']');
        let end = out.len();
        let (header, from) = websocket::header(Opcode::Text, end - HEADER);
        out[..HEADER].copy_from_slice(&header);
        let mut ranges = Vec::with_capacity(attachments.len());
        for attachment in attachments {
            websocket::write_frame(&mut out, Opcode::Binary, attachment);
            ranges.push(out.len() - attachment.len()..out.len());
        }
        let out = Bytes::from(out);
        Frames {
            attachments: ranges.into_iter().map(|range| out.slice(range)).collect(),
            packet: (HEADER - from) as u32..(end - from) as u32,
            array: (array - from) as u32,
            kind,
            ending: ending as u8,
            namespace: Arc::clone(namespace),
            id,
            websocket: out.slice(from..),
            other: OnceLock::new(),
        }
    }

    /// The packet as a connection of this format is sent it: WebSocket frames,
    /// or a piece of a polling payload.
    pub fn get(&self, format: Format) -> Bytes {
        match format {
            Format::JsonWebSocket => self.websocket.clone(),
            Format::JsonPolling if self.attachments.is_empty() => self.packet(),
            Format::JsonPolling => self.other().polling.get_or_init(|| self.polling_payload()).clone(),
            Format::MsgpackWebSocket => self.msgpack().clone(),
            Format::MsgpackPolling => {
                let frame = self.msgpack();
                base64_packet(&frame[websocket_payload(frame)..])
            }
            Format::Legacy(form) => self.other().legacy[form as usize].get_or_init(|| self.legacy(form)).clone(),
        }
    }

    fn other(&self) -> &Other {
        self.other.get_or_init(Box::default)
    }

    /// The Engine.IO packet of the JSON parser, without its attachments.
    pub fn packet(&self) -> Bytes {
        self.websocket.slice(self.packet.start as usize..self.packet.end as usize)
    }

    /// Event and arguments as a JSON array, with the offset where it has one.
    pub fn array(&self) -> &[u8] {
        &self.websocket[self.array as usize..self.packet.end as usize]
    }

    /// How many binary parts it has.
    pub fn attachments(&self) -> usize {
        self.attachments.len()
    }

    /// Bytes held by the form that is always there.
    pub fn len(&self) -> usize {
        self.websocket.len()
    }

    /// Never: a packet has at least its type.
    pub fn is_empty(&self) -> bool {
        self.websocket.is_empty()
    }

    fn polling_payload(&self) -> Bytes {
        let mut out = self.packet().to_vec();
        for attachment in &self.attachments {
            out.push(super::payload::SEPARATOR);
            out.extend_from_slice(&base64_packet(attachment));
        }
        out.into()
    }

    fn msgpack(&self) -> &Bytes {
        self.other().msgpack.get_or_init(|| {
            let array = self.array();
            let kind = match self.kind {
                Kind::Event => msgpack::EVENT,
                Kind::Ack => msgpack::ACK,
            };
            let packet = msgpack::encode(kind, &self.namespace, Some(array), &self.attachments, self.id);
            websocket::frame(Opcode::Binary, &packet)
        })
    }

    /// Without the offset, which old clients know nothing of.
    fn legacy(&self, form: Form) -> Bytes {
        let (packet, array) = (self.packet(), self.array());
        let mut text = packet[..packet.len() - array.len()].to_vec();
        let elements = &array[..array.len() - usize::from(self.ending) - 1];
        // written by this module, from text
        legacy::escape(&mut text, &String::from_utf8_lossy(elements));
        text.push(b']');
        form.encode(&text, &self.attachments)
    }
}

/// `/` is left out, as the reference does.
pub(crate) fn write_namespace(out: &mut Vec<u8>, namespace: &str) {
    if namespace != "/" {
        out.extend_from_slice(namespace.as_bytes());
        out.push(b',');
    }
}

/// A binary message in a polling payload of Engine.IO 4: `b` and base64.
pub(crate) fn base64_packet(data: &[u8]) -> Bytes {
    let mut out = String::with_capacity(1 + data.len().div_ceil(3) * 4);
    out.push('b');
    STANDARD.encode_string(data, &mut out);
    out.into()
}

/// Where the payload of an unmasked frame starts.
pub(crate) fn websocket_payload(frame: &[u8]) -> usize {
    match frame.get(1) {
        Some(126) => 4,
        Some(127) => 10,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(attachments: &[&'static [u8]]) -> Body {
        Body::from_parts(
            Bytes::from_static(br#""hello",{"_placeholder":true,"num":0}"#),
            attachments.iter().map(|a| Bytes::from_static(a)).collect(),
        )
    }

    /// The examples of the reference server, with our offset.
    #[test]
    fn events_are_written_as_the_reference_writes_them() {
        let text = Body::from_parts(Bytes::from_static(br#""hello","world",{"a":1}"#), Vec::new());
        for (namespace, ack, offset, expected) in [
            ("/", None, None, r#"42["hello","world",{"a":1}]"#),
            ("/", Some(7), None, r#"427["hello","world",{"a":1}]"#),
            ("/admin", None, None, r#"42/admin,["hello","world",{"a":1}]"#),
            ("/admin", Some(12), None, r#"42/admin,12["hello","world",{"a":1}]"#),
            ("/", None, Some("1795246647165-0"), r#"42["hello","world",{"a":1},"1795246647165-0"]"#),
        ] {
            let frames = Frames::event(&namespace.into(), &text, ack, offset.map(str::as_bytes));
            assert_eq!(frames.packet(), expected);
            assert_eq!(frames.get(Format::JsonPolling), expected);
            let frame = frames.get(Format::JsonWebSocket);
            assert_eq!(frame[..2], [0x81, expected.len() as u8]);
            assert_eq!(frame[2..], *expected.as_bytes());
        }
    }

    #[test]
    fn another_offset_takes_the_place_of_the_first() {
        for attachments in [&[][..], &[&[1_u8, 2][..]]] {
            let of = |offset: &[u8]| Frames::event(&"/x".into(), &body(attachments), None, Some(offset));
            let changed = of(b"long-offset").ending_in(11, b"o2");
            for format in [Format::JsonWebSocket, Format::JsonPolling, Format::MsgpackWebSocket] {
                assert_eq!(changed.get(format), of(b"o2").get(format), "{format:?}");
            }
        }
    }

    #[test]
    fn attachments_follow() {
        let frames = Frames::event(&"/".into(), &body(&[&[1, 2, 3]]), None, None);
        let packet = r#"451-["hello",{"_placeholder":true,"num":0}]"#;
        assert_eq!(frames.packet(), packet);
        assert_eq!(frames.get(Format::JsonPolling), format!("{packet}\u{1e}bAQID"));
        let frame = frames.get(Format::JsonWebSocket);
        assert_eq!(frame[2 + packet.len()..], [0x82, 3, 1, 2, 3]);
    }

    #[test]
    fn long_packets_have_long_headers() {
        let long = Body::from_parts(format!("\"{}\"", "x".repeat(70_000)).into(), Vec::new());
        let frames = Frames::event(&"/".into(), &long, None, None);
        let frame = frames.get(Format::JsonWebSocket);
        assert_eq!(frame[1], 127);
        assert_eq!(frame[websocket_payload(&frame)..], frames.packet()[..]);
    }

    #[test]
    fn msgpack_holds_binary_natively() {
        let frames = Frames::event(&"/x".into(), &body(&[&[9]]), Some(3), Some(b"off"));
        let frame = frames.get(Format::MsgpackWebSocket);
        let value = rmpv::decode::read_value(&mut &frame[websocket_payload(&frame)..]).unwrap();
        let expected = rmpv::Value::Map(vec![
            ("type".into(), 2.into()),
            ("nsp".into(), "/x".into()),
            ("data".into(), rmpv::Value::Array(vec!["hello".into(), rmpv::Value::Binary(vec![9]), "off".into()])),
            ("id".into(), 3.into()),
        ]);
        assert_eq!(value, expected);
        assert_eq!(frames.get(Format::MsgpackPolling)[0], b'b');
    }

    #[test]
    fn old_clients_get_ascii_without_an_offset() {
        let text = Body::from_parts(Bytes::from("\"e\",\"\u{4f60}\u{1f514}\""), Vec::new());
        for (namespace, ack, offset, expected) in [
            ("/", None, Some("1795246647165-0"), r#"42["e","\u4f60\ud83d\udd14"]"#),
            ("/x", Some(7), None, r#"42/x,7["e","\u4f60\ud83d\udd14"]"#),
        ] {
            let frames = Frames::event(&namespace.into(), &text, ack, offset.map(str::as_bytes));
            let length = expected.len();
            assert_eq!(frames.get(Format::Legacy(Form::TextPayload)), format!("{length}:{expected}"));
            assert_eq!(frames.get(Format::Legacy(Form::WebSocket))[2..], *expected.as_bytes());
        }
    }

    #[test]
    fn attachments_follow_for_old_clients_too() {
        let packet = r#"451-["hello",{"_placeholder":true,"num":0}]"#;
        let frames = Frames::event(&"/".into(), &body(&[&[1, 0x80, 0xff]]), None, Some(b"off"));
        let binary = [&b"\x00\x04\x03\xff"[..], packet.as_bytes(), b"\x01\x04\xff\x04\x01\x80\xff"].concat();
        assert_eq!(packet.len(), 43);
        assert_eq!(frames.get(Format::Legacy(Form::BinaryPayload)), binary);
        assert_eq!(frames.get(Format::Legacy(Form::TextPayload)), format!("43:{packet}6:b4AYD/"));
        let acked = Frames::ack(&"/".into(), b"1", &[], 3);
        assert_eq!(acked.get(Format::Legacy(Form::TextPayload)), "6:433[1]");
    }

    #[test]
    fn packets_share_a_payload() {
        let packets = || [Bytes::from_static(b"1:6"), Bytes::from_static(b"2:40")];
        assert_eq!(Format::Legacy(Form::TextPayload).payload(packets()), "1:62:40");
        assert_eq!(Format::JsonPolling.payload(packets()), "1:6\u{1e}2:40");
        assert_eq!(Format::Legacy(Form::BinaryPayload).carry(b"6"), &b"\x00\x01\xff6"[..]);
        assert_eq!(Format::JsonPolling.carry(b"6"), "6");
    }
}
