//! Socket.IO packets as clients send them.
//!
//! Source: the Socket.IO protocol, revision 5, and `socket.io-parser` 4.2: what
//! it refuses is refused here. JSON packets are cut by the socketioxide
//! family's codec; the JSON in them is checked here and kept as text.

use bytes::Bytes;
use engineioxide_core::Str;
use serde_json::Value;
use serde_json::value::RawValue;
use socketioxide_core::Value as CodecValue;
use socketioxide_core::packet::{Packet as CodecPacket, PacketData};
use socketioxide_core::parser::{Parse, ParseConfig, ParseError, ParserState};
use socketioxide_parser_common::CommonParser;

use super::body::{self, Body, placeholder_number};
use super::frames::Parser;
use super::legacy;
use super::msgpack;
use super::repair::readable;

/// One packet of a client.
#[derive(Debug, PartialEq)]
pub struct Packet {
    /// Begins with `/`.
    pub namespace: String,
    pub content: Content,
}

impl Packet {
    /// CONNECT with nothing to show.
    pub fn connect(namespace: &str) -> Self {
        Packet { namespace: namespace.to_owned(), content: Content::Connect(Hello::Nothing) }
    }
}

/// What a packet says.
#[derive(Debug, PartialEq)]
pub enum Content {
    Connect(Hello),
    Disconnect,
    /// `id` asks for an acknowledgement.
    Event {
        id: Option<u64>,
        event: Event,
    },
    Ack {
        id: u64,
        args: Args,
    },
}

/// What a client says with CONNECT.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Hello {
    #[default]
    Nothing,
    /// A JSON object.
    Auth(Value),
    /// Of an old protocol: the query of the namespace, percent-encoded, without
    /// `?`.
    Query(Box<str>),
}

/// An event of a client.
#[derive(Debug, PartialEq)]
pub struct Event {
    pub name: String,
    pub args: Args,
}

/// Arguments as the client wrote them: each a valid JSON text, in which
/// placeholders stand for `attachments`.
#[derive(Debug, PartialEq, Default)]
pub struct Args {
    pub json: Vec<String>,
    pub attachments: Vec<Bytes>,
}

impl Args {
    /// No arguments.
    pub const NONE: &'static Args = &Args { json: Vec::new(), attachments: Vec::new() };

    /// Bytes held.
    pub fn len(&self) -> usize {
        self.json.iter().map(String::len).sum::<usize>() + self.attachments.iter().map(Bytes::len).sum::<usize>()
    }

    pub fn is_empty(&self) -> bool {
        self.json.is_empty()
    }
}

/// The packet closes its connection, as with the reference server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed socket.io packet")]
pub struct BadPacket;

/// Puts the packets of one connection together. Empty (a pointer) unless a
/// packet waits for its attachments.
#[derive(Debug, Default)]
pub struct Decoder {
    partial: Option<Box<ParserState>>,
}

impl Decoder {
    /// A text message: a whole packet, or `None` when attachments follow.
    /// `max` bounds the attachments of one packet together, in bytes.
    pub fn on_text(&mut self, text: Str, max: usize) -> Result<Option<Packet>, BadPacket> {
        if self.partial.is_some() {
            return Err(BadPacket);
        }
        if is_disconnect_with_payload(&text) {
            return Err(BadPacket);
        }
        let state = ParserState::default();
        match CommonParser.decode_str(&limits(max), &state, text) {
            Ok(packet) => from_codec(packet).map(Some),
            Err(ParseError::NeedsMoreBinaryData) => {
                self.partial = Some(Box::new(state));
                Ok(None)
            }
            Err(_) => Err(BadPacket),
        }
    }

    /// The same from a client of an old protocol.
    pub fn on_old_text(&mut self, text: Str, max: usize) -> Result<Option<Packet>, BadPacket> {
        match legacy::packet::decode(&text) {
            Some(_) if self.partial.is_some() => Err(BadPacket),
            Some(packet) => packet.map(Some),
            None => self.on_text(text, max),
        }
    }

    /// A binary message: an attachment where one is awaited, else a packet of
    /// the msgpack parser. Says which parser it belongs to.
    pub fn on_binary(&mut self, data: Bytes, max: usize) -> Result<Option<(Parser, Packet)>, BadPacket> {
        let Some(state) = self.partial.take() else {
            return from_msgpack(&data).map(|packet| Some((Parser::Msgpack, packet)));
        };
        match CommonParser.decode_bin(&limits(max), &state, data) {
            Ok(packet) => from_codec(packet).map(|packet| Some((Parser::Json, packet))),
            Err(ParseError::NeedsMoreBinaryData) => {
                self.partial = Some(state);
                Ok(None)
            }
            Err(_) => Err(BadPacket),
        }
    }
}

/// The codec reads over what follows a DISCONNECT; the reference refuses it.
fn is_disconnect_with_payload(text: &str) -> bool {
    match text.strip_prefix('1') {
        None | Some("") => false,
        Some(rest) => !rest.starts_with('/') || rest.find(',').is_some_and(|comma| comma + 1 < rest.len()),
    }
}

fn limits(max: usize) -> ParseConfig {
    ParseConfig {
        max_incoming_binary_buf_size: max,
        max_incoming_binaries: Body::MAX_ATTACHMENTS,
        ..ParseConfig::default()
    }
}

fn from_codec(packet: CodecPacket) -> Result<Packet, BadPacket> {
    let content = match packet.inner {
        PacketData::Connect(None) => Content::Connect(Hello::Nothing),
        PacketData::Connect(Some(data)) => {
            let (text, _) = json_of(data)?;
            Content::Connect(Hello::Auth(serde_json::from_str(&text).map_err(|_| BadPacket)?))
        }
        PacketData::Disconnect => Content::Disconnect,
        PacketData::Event(data, id) | PacketData::BinaryEvent(data, id) => {
            Content::Event { id: id.map(ack_id).transpose()?, event: event(elements(data)?)? }
        }
        PacketData::EventAck(data, id) | PacketData::BinaryAck(data, id) => {
            Content::Ack { id: ack_id(id)?, args: elements(data)? }
        }
        PacketData::ConnectError(_) => return Err(BadPacket),
    };
    checked(packet.ns.to_string(), content)
}

fn from_msgpack(data: &[u8]) -> Result<Packet, BadPacket> {
    let packet = msgpack::decode(data).map_err(|_| BadPacket)?;
    let args = |data: Option<Value>, attachments: Vec<Bytes>| {
        let Some(Value::Array(items)) = data else { return Err(BadPacket) };
        if !attachments.is_empty() {
            // a map that looks like a placeholder, sent beside binary data
            items.iter().try_for_each(|item| check_placeholders(item, attachments.len()))?;
        }
        Ok(Args { json: items.iter().map(Value::to_string).collect(), attachments })
    };
    let content = match packet.kind {
        msgpack::CONNECT => Content::Connect(packet.data.map_or(Hello::Nothing, Hello::Auth)),
        msgpack::DISCONNECT => Content::Disconnect,
        msgpack::EVENT => Content::Event { id: packet.id, event: event(args(packet.data, packet.attachments)?)? },
        msgpack::ACK => Content::Ack { id: packet.id.ok_or(BadPacket)?, args: args(packet.data, packet.attachments)? },
        _ => return Err(BadPacket),
    };
    checked(packet.namespace, content)
}

fn checked(namespace: String, content: Content) -> Result<Packet, BadPacket> {
    let payload_fits = match &content {
        Content::Connect(Hello::Auth(payload)) => payload.is_object(),
        Content::Connect(Hello::Nothing | Hello::Query(_))
        | Content::Disconnect
        | Content::Event { .. }
        | Content::Ack { .. } => true,
    };
    if !payload_fits || !namespace.starts_with('/') {
        return Err(BadPacket);
    }
    Ok(Packet { namespace, content })
}

fn ack_id(id: i64) -> Result<u64, BadPacket> {
    u64::try_from(id).map_err(|_| BadPacket)
}

fn json_of(data: CodecValue) -> Result<(Str, Vec<Bytes>), BadPacket> {
    match data {
        CodecValue::Str(text, attachments) => Ok((text, attachments.map(Vec::from).unwrap_or_default())),
        CodecValue::Bytes(_) => Err(BadPacket),
    }
}

/// The elements of a packet's JSON array.
fn elements(data: CodecValue) -> Result<Args, BadPacket> {
    let (text, attachments) = json_of(data)?;
    let items: Vec<&RawValue> = serde_json::from_str(&text).map_err(|_| BadPacket)?;
    let json = items.iter().map(|item| readable(item.get()).ok_or(BadPacket)).collect::<Result<Vec<_>, _>>()?;
    if !attachments.is_empty() {
        for item in &json {
            let value = serde_json::from_str(item).map_err(|_| BadPacket)?;
            check_placeholders(&value, attachments.len())?;
        }
    }
    Ok(Args { json, attachments })
}

/// Every placeholder must stand for an attachment.
fn check_placeholders(value: &Value, attachments: usize) -> Result<(), BadPacket> {
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| check_placeholders(item, attachments)),
        Value::Object(map) if map.get("_placeholder") == Some(&Value::Bool(true)) => {
            placeholder_number(value).filter(|n| *n < attachments).map(|_| ()).ok_or(BadPacket)
        }
        Value::Object(map) => map.values().try_for_each(|item| check_placeholders(item, attachments)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

/// The name is a string that is not reserved, or a number.
fn event(mut args: Args) -> Result<Event, BadPacket> {
    if args.json.is_empty() {
        return Err(BadPacket);
    }
    let name = match serde_json::from_str(&args.json.remove(0)).map_err(|_| BadPacket)? {
        Value::String(name) => name,
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return Err(BadPacket),
    };
    match body::check_name(&name) {
        Ok(()) | Err(body::BadBody::EmptyName) => Ok(Event { name, args }),
        Err(_) => Err(BadPacket),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAX: usize = 1000;

    fn text(packet: &str) -> Result<Option<Packet>, BadPacket> {
        Decoder::default().on_text(Str::from(packet.to_owned()), MAX)
    }

    fn args(json: &[&str]) -> Args {
        Args { json: json.iter().map(|s| (*s).to_owned()).collect(), attachments: Vec::new() }
    }

    #[test]
    fn packets_of_a_client() {
        let event =
            |id, name: &str, json: &[&str]| Content::Event { id, event: Event { name: name.into(), args: args(json) } };
        for (packet, namespace, content) in [
            ("0", "/", Content::Connect(Hello::Nothing)),
            ("0{\"token\":1}", "/", Content::Connect(Hello::Auth(serde_json::json!({"token":1})))),
            ("0/admin,{}", "/admin", Content::Connect(Hello::Auth(serde_json::json!({})))),
            ("1/admin,", "/admin", Content::Disconnect),
            ("2[\"e\",1, {\"a\":2}]", "/", event(None, "e", &["1", "{\"a\":2}"])),
            ("212[\"e\"]", "/", event(Some(12), "e", &[])),
            ("2/n,0[1,\"x\"]", "/n", event(Some(0), "1", &["\"x\""])),
            ("37[]", "/", Content::Ack { id: 7, args: args(&[]) }),
        ] {
            assert_eq!(text(packet), Ok(Some(Packet { namespace: namespace.into(), content })), "{packet}");
        }
    }

    #[test]
    fn malformed_packets_are_refused() {
        for packet in [
            "",
            "abc",
            "2",
            "2{}",
            "2[]",
            "2[{}]",
            "2[null]",
            "2abc[\"e\"]",
            "2[\"e\"",
            "2[\"connect\"]",
            "3[]",
            "3x[]",
            "0[]",
            "0\"x\"",
            "0{",
            "4{}",
            "5[\"e\"]",
            "51[\"e\"]",
            "599999-[\"e\"]",
            "7",
            "2[\"e\"]x",
        ] {
            assert_eq!(text(packet), Err(BadPacket), "{packet}");
        }
    }

    #[test]
    fn attachments_complete_a_packet() {
        let mut decoder = Decoder::default();
        let header = "52-[\"e\",{\"_placeholder\":true,\"num\":1},{\"_placeholder\":true,\"num\":0}]";
        assert_eq!(decoder.on_text(Str::from(header), MAX), Ok(None));
        assert_eq!(decoder.on_binary(Bytes::from_static(b"a"), MAX), Ok(None));
        let (parser, packet) = decoder.on_binary(Bytes::from_static(b"b"), MAX).unwrap().unwrap();
        assert_eq!(parser, Parser::Json);
        let Content::Event { event, .. } = packet.content else { panic!("an event") };
        assert_eq!(event.args.attachments, [Bytes::from_static(b"a"), Bytes::from_static(b"b")]);
    }

    #[test]
    fn attachments_out_of_place_are_refused() {
        let mut decoder = Decoder::default();
        assert!(decoder.on_binary(Bytes::from_static(b"a"), MAX).is_err());
        let header = "51-[\"e\",{\"_placeholder\":true,\"num\":1}]";
        assert_eq!(decoder.on_text(Str::from(header), MAX), Ok(None));
        assert!(decoder.on_text(Str::from("2[\"e\"]"), MAX).is_err());
        assert_eq!(decoder.on_binary(Bytes::from_static(b"a"), MAX), Err(BadPacket), "no such attachment");
        assert_eq!(decoder.on_text(Str::from("51-[\"e\"]"), MAX), Ok(None));
        assert_eq!(decoder.on_binary(vec![0; MAX + 1].into(), MAX), Err(BadPacket), "too large");
    }

    #[test]
    fn an_old_packet_does_not_come_between_attachments() {
        let mut decoder = Decoder::default();
        let mut old = |text: &'static str| decoder.on_old_text(Str::from(text), MAX);
        assert!(matches!(old("0/n?x=1"), Ok(Some(Packet { content: Content::Connect(Hello::Query(_)), .. }))));
        assert!(matches!(old("2/n,1[\"e\"]"), Ok(Some(Packet { content: Content::Event { id: Some(1), .. }, .. }))));
        assert_eq!(old("51-[\"e\",{\"_placeholder\":true,\"num\":0}]"), Ok(None));
        assert_eq!(old("1/n"), Err(BadPacket));
    }

    #[test]
    fn msgpack_packets_are_told_by_being_binary() {
        let bytes = msgpack::encode(msgpack::EVENT, "/", Some(br#"["e",1]"#), &[], Some(4));
        let (parser, packet) = Decoder::default().on_binary(bytes.into(), MAX).unwrap().unwrap();
        assert_eq!(parser, Parser::Msgpack);
        let event = Event { name: "e".into(), args: args(&["1"]) };
        assert_eq!(packet.content, Content::Event { id: Some(4), event });
    }

    #[test]
    fn a_placeholder_without_an_attachment_is_refused_from_msgpack_too() {
        let data = br#"["e",{"_placeholder":true,"num":0},{"x":{"_placeholder":true,"num":7}}]"#;
        let bytes = msgpack::encode(msgpack::EVENT, "/", Some(data), &[Bytes::from_static(b"a")], None);
        assert_eq!(Decoder::default().on_binary(bytes.into(), MAX), Err(BadPacket));
    }

    proptest! {
        #[test]
        fn no_text_panics(packet in "[0-6]?[-0-9/a,]{0,6}.{0,20}") {
            let _ = text(&packet);
        }
    }
}
