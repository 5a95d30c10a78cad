//! Engine.IO packets and the handshake.
//!
//! Source: the Engine.IO protocol, revision 4. Versions are a type: what
//! differs between them is asked of [`Version`].

use std::time::Duration;

use bytes::Bytes;
use engineioxide_core::{Packet as CodecPacket, ProtocolVersion, Str};

/// An Engine.IO protocol revision that is served.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Version {
    V4,
}

impl Version {
    pub const ALL: [Version; 1] = [Version::V4];

    /// For a metric.
    pub fn label(self) -> &'static str {
        match self {
            Version::V4 => "eio4",
        }
    }

    /// The value of the `EIO` query parameter.
    pub fn from_query(value: &str) -> Option<Self> {
        match value {
            "4" => Some(Version::V4),
            _ => None,
        }
    }

    fn codec(self) -> ProtocolVersion {
        match self {
            Version::V4 => ProtocolVersion::V4,
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

/// Reads a text packet: a WebSocket text message, or a piece of a payload.
pub fn decode(version: Version, text: Bytes) -> Result<Inbound, BadPacket> {
    let text = String::from_utf8(text.into()).map_err(|_| BadPacket)?;
    match CodecPacket::parse(version.codec(), Str::from(text)).map_err(|_| BadPacket)? {
        CodecPacket::Close => Ok(Inbound::Close),
        CodecPacket::Pong => Ok(Inbound::Pong),
        CodecPacket::PingUpgrade => Ok(Inbound::Probe),
        CodecPacket::Upgrade => Ok(Inbound::Upgrade),
        CodecPacket::Message(text) => Ok(Inbound::Text(text)),
        CodecPacket::Binary(data) | CodecPacket::BinaryV3(data) => Ok(Inbound::Binary(data)),
        CodecPacket::Open(_) | CodecPacket::Ping | CodecPacket::PongUpgrade | CodecPacket::Noop => Err(BadPacket),
    }
}

/// Single-character packets that the server sends.
pub const CLOSE: &[u8] = b"1";
pub const PING: &[u8] = b"2";
pub const PROBE_ANSWER: &[u8] = b"3probe";
pub const NOOP: &[u8] = b"6";

/// The open packet: `0` and the handshake with exactly the reference's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open<'a> {
    pub sid: &'a str,
    pub upgrades: &'a [&'a str],
    pub ping_interval: Duration,
    pub ping_timeout: Duration,
    /// Bytes.
    pub max_payload: usize,
}

impl Open<'_> {
    pub fn encode(&self) -> Bytes {
        let upgrades =
            if self.upgrades.is_empty() { String::new() } else { format!("\"{}\"", self.upgrades.join("\",\"")) };
        format!(
            r#"0{{"sid":"{}","upgrades":[{upgrades}],"pingInterval":{},"pingTimeout":{},"maxPayload":{}}}"#,
            self.sid,
            self.ping_interval.as_millis(),
            self.ping_timeout.as_millis(),
            self.max_payload,
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
            assert_eq!(decode(Version::V4, Bytes::from(text)), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..50)) {
            let _ = decode(Version::V4, bytes.into());
        }
    }

    #[test]
    fn the_open_packet_has_the_keys_of_the_reference() {
        let open = Open {
            sid: "abc",
            upgrades: &["websocket"],
            ping_interval: Duration::from_millis(300),
            ping_timeout: Duration::from_millis(200),
            max_payload: 1_000_000,
        };
        let expected =
            r#"0{"sid":"abc","upgrades":["websocket"],"pingInterval":300,"pingTimeout":200,"maxPayload":1000000}"#;
        assert_eq!(open.encode(), expected);
    }
}
