//! Engine.IO packets and the handshake.
//!
//! Source: the Engine.IO protocol, revisions 4 and 3; 2 is 3 with other habits
//! (see [`super::legacy`]). Versions are a type: what differs between them is
//! asked of [`Version`].

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use engineioxide_core::{Packet as CodecPacket, ProtocolVersion, Str};

use super::legacy;

/// An Engine.IO protocol revision that is served.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Version {
    V4,
    V3,
    V2,
}

impl Version {
    pub const ALL: [Version; 3] = [Version::V4, Version::V3, Version::V2];

    /// For a metric.
    pub fn label(self) -> &'static str {
        match self {
            Version::V4 => "eio4",
            Version::V3 => "eio3",
            Version::V2 => "eio2",
        }
    }

    /// The value of the `EIO` query parameter.
    pub fn from_query(value: &str) -> Option<Self> {
        match value {
            "4" => Some(Version::V4),
            "3" => Some(Version::V3),
            "2" => Some(Version::V2),
            _ => None,
        }
    }

    /// A client of Socket.IO 2 or older: it pings by itself, enters `/` by
    /// opening the connection, and recovers nothing.
    pub fn is_legacy(self) -> bool {
        match self {
            Version::V4 => false,
            Version::V3 | Version::V2 => true,
        }
    }
}

/// The transports of Engine.IO.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum TransportKind {
    Polling,
    WebSocket,
}

impl TransportKind {
    pub const ALL: [TransportKind; 2] = [TransportKind::Polling, TransportKind::WebSocket];

    /// For a metric.
    pub fn label(self) -> &'static str {
        match self {
            TransportKind::Polling => "polling",
            TransportKind::WebSocket => "websocket",
        }
    }
}

/// What a client sends at this level.
#[derive(Debug, Clone, PartialEq)]
pub enum Inbound {
    Close,
    /// Of an old client, with what the pong must repeat.
    Ping(Str),
    Pong,
    /// `2probe` on a WebSocket that is to replace polling.
    Probe,
    Upgrade,
    /// A Socket.IO packet as text.
    Text(Str),
    /// A Socket.IO packet or attachment as bytes.
    Binary(Bytes),
}

/// The text is no packet that a client may send.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed engine.io packet")]
pub struct BadPacket;

/// Reads a WebSocket text message.
pub fn decode_text(version: Version, text: Bytes) -> Result<Inbound, BadPacket> {
    let text = String::from_utf8(text.into()).map_err(|_| BadPacket)?;
    match version {
        Version::V4 => decode_new(text.into()),
        Version::V3 => decode_old(text.into()),
        Version::V2 => decode_old(legacy::undoubled(text).into()),
    }
}

/// Reads a WebSocket binary message.
pub fn decode_binary(version: Version, data: Bytes) -> Result<Inbound, BadPacket> {
    match version {
        Version::V4 => Ok(Inbound::Binary(data)),
        Version::V3 | Version::V2 if data.first() == Some(&legacy::MESSAGE) => Ok(Inbound::Binary(data.slice(1..))),
        Version::V3 | Version::V2 => Err(BadPacket),
    }
}

/// Reads a packet of Engine.IO 4.
pub(super) fn decode_new(text: Str) -> Result<Inbound, BadPacket> {
    match CodecPacket::parse(ProtocolVersion::V4, text).map_err(|_| BadPacket)? {
        CodecPacket::Close => Ok(Inbound::Close),
        CodecPacket::Pong => Ok(Inbound::Pong),
        CodecPacket::PingUpgrade => Ok(Inbound::Probe),
        CodecPacket::Upgrade => Ok(Inbound::Upgrade),
        CodecPacket::Message(text) => Ok(Inbound::Text(text)),
        CodecPacket::Binary(data) | CodecPacket::BinaryV3(data) => Ok(Inbound::Binary(data)),
        CodecPacket::Open(_) | CodecPacket::Ping | CodecPacket::PongUpgrade | CodecPacket::Noop => Err(BadPacket),
    }
}

/// Reads a packet of Engine.IO 3 or 2. The codec would take binary data for
/// anything that begins with `b`.
pub(super) fn decode_old(text: Str) -> Result<Inbound, BadPacket> {
    let rest = |text: &Str| text.slice(1..);
    match text.as_bytes() {
        b"1" => Ok(Inbound::Close),
        b"2probe" => Ok(Inbound::Probe),
        b"5" => Ok(Inbound::Upgrade),
        [b'2', ..] => Ok(Inbound::Ping(rest(&text))),
        [b'3', ..] => Ok(Inbound::Pong),
        [b'4', ..] => Ok(Inbound::Text(rest(&text))),
        [b'b', b'4', data @ ..] => Ok(Inbound::Binary(STANDARD.decode(data).map_err(|_| BadPacket)?.into())),
        _ => Err(BadPacket),
    }
}

/// Single-character packets that the server sends.
pub const CLOSE: &[u8] = b"1";
pub const PING: &[u8] = b"2";
/// The answer to a ping, before what it repeats.
pub const PONG: u8 = b'3';
pub const PROBE_ANSWER: &[u8] = b"3probe";
pub const NOOP: &[u8] = b"6";

/// The open packet: `0` and the handshake with exactly the reference's keys of
/// the version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open<'a> {
    pub sid: &'a str,
    pub upgrades: &'a [&'a str],
    pub ping_interval: Duration,
    pub ping_timeout: Duration,
    /// Bytes; `None` to those that know nothing of it.
    pub max_payload: Option<usize>,
}

impl Open<'_> {
    pub fn encode(&self) -> Bytes {
        let upgrades =
            if self.upgrades.is_empty() { String::new() } else { format!("\"{}\"", self.upgrades.join("\",\"")) };
        let max_payload = self.max_payload.map(|bytes| format!(r#","maxPayload":{bytes}"#)).unwrap_or_default();
        format!(
            r#"0{{"sid":"{}","upgrades":[{upgrades}],"pingInterval":{},"pingTimeout":{}{max_payload}}}"#,
            self.sid,
            self.ping_interval.as_millis(),
            self.ping_timeout.as_millis(),
        )
        .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn packets_of_a_client() {
        for (text, expected) in [
            ("1", Ok(Inbound::Close)),
            ("3", Ok(Inbound::Pong)),
            ("2probe", Ok(Inbound::Probe)),
            ("5", Ok(Inbound::Upgrade)),
            ("4é", Ok(Inbound::Text(Str::from("é")))),
            ("bAQID", Ok(Inbound::Binary(Bytes::from_static(&[1, 2, 3])))),
            ("", Err(BadPacket)),
            ("2", Err(BadPacket)),
            ("x", Err(BadPacket)),
            ("b%", Err(BadPacket)),
            ("0{}", Err(BadPacket)),
        ] {
            assert_eq!(decode_text(Version::V4, Bytes::from(text)), expected, "{text}");
        }
    }

    #[test]
    fn packets_of_an_old_client() {
        for (text, expected) in [
            ("1", Ok(Inbound::Close)),
            ("2", Ok(Inbound::Ping(Str::from("")))),
            ("2é", Ok(Inbound::Ping(Str::from("é")))),
            ("3", Ok(Inbound::Pong)),
            ("2probe", Ok(Inbound::Probe)),
            ("5", Ok(Inbound::Upgrade)),
            ("4é", Ok(Inbound::Text(Str::from("é")))),
            ("b4AYD/", Ok(Inbound::Binary(Bytes::from_static(&[1, 0x80, 0xff])))),
            ("b4", Ok(Inbound::Binary(Bytes::new()))),
            ("", Err(BadPacket)),
            ("x", Err(BadPacket)),
            ("b", Err(BadPacket)),
            ("bAYD/", Err(BadPacket)),
            ("b4%", Err(BadPacket)),
            ("0{}", Err(BadPacket)),
        ] {
            assert_eq!(decode_text(Version::V3, Bytes::from(text)), expected, "{text}");
        }
        let doubled = Bytes::from_static(b"4\xc3\x83\xc2\xa9");
        assert_eq!(decode_text(Version::V2, doubled.clone()), Ok(Inbound::Text(Str::from("é"))));
        assert_eq!(decode_text(Version::V3, doubled), Ok(Inbound::Text(Str::from("Ã©"))));
    }

    #[test]
    fn binary_messages_of_an_old_client_name_their_type() {
        for (version, data, expected) in [
            (Version::V4, &[4, 1][..], Ok(Inbound::Binary(Bytes::from_static(&[4, 1])))),
            (Version::V3, &[4, 1], Ok(Inbound::Binary(Bytes::from_static(&[1])))),
            (Version::V2, &[4], Ok(Inbound::Binary(Bytes::new()))),
            (Version::V3, &[2, 1], Err(BadPacket)),
            (Version::V3, &[], Err(BadPacket)),
        ] {
            assert_eq!(decode_binary(version, Bytes::copy_from_slice(data)), expected, "{data:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..50)) {
            for version in Version::ALL {
                let _ = decode_text(version, bytes.clone().into());
                let _ = decode_binary(version, bytes.clone().into());
            }
        }
    }

    #[test]
    fn the_open_packet_has_the_keys_of_the_reference() {
        let open = Open {
            sid: "abc",
            upgrades: &["websocket"],
            ping_interval: Duration::from_millis(300),
            ping_timeout: Duration::from_millis(200),
            max_payload: Some(1_000_000),
        };
        let expected =
            r#"0{"sid":"abc","upgrades":["websocket"],"pingInterval":300,"pingTimeout":200,"maxPayload":1000000}"#;
        assert_eq!(open.encode(), expected);
        let old = Open { upgrades: &[], max_payload: None, ..open };
        assert_eq!(old.encode(), r#"0{"sid":"abc","upgrades":[],"pingInterval":300,"pingTimeout":200}"#);
    }
}
