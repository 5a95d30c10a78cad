//! What clients of Socket.IO 1 and 2 read and write otherwise: Engine.IO 3 and
//! 2, Socket.IO protocols 4 and 3.
//!
//! Source: the Engine.IO protocol, revision 3, and `engine.io-parser` and
//! `socket.io-parser` as they came with `socket.io-client` 1.0.6 to 2.5.
//!
//! - Binary messages begin with a byte for their type, `4`.
//! - A polling payload gives each packet's length ([`payload`]): as binary data
//!   for browsers, as text for whoever asks for base64, JSONP among them
//!   ([`jsonp`]).
//! - Clients of 1.0 write UTF-8 twice and read nothing else, later ones partly
//!   so ([`text`]). What all of them read is ASCII: so what is sent is escaped.
//! - CONNECT and DISCONNECT are written otherwise ([`packet`]); no event ends in
//!   an offset, as nothing is recovered.

pub mod jsonp;
pub mod packet;
pub mod payload;
mod text;

use bytes::Bytes;

use super::websocket::{self, Opcode};

pub(super) use text::escape;
pub use text::undoubled;

/// The type of a message, before the data of a binary one.
pub(super) const MESSAGE: u8 = 4;

/// How packets are carried to an old client.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Form {
    WebSocket,
    /// Polling, as browsers read it.
    BinaryPayload,
    /// Polling, for who reads text only.
    TextPayload,
}

impl Form {
    pub(super) const ALL: [Form; 3] = [Form::WebSocket, Form::BinaryPayload, Form::TextPayload];

    /// A text packet of Engine.IO, and binary messages after it.
    pub(super) fn encode(self, packet: &[u8], attachments: &[Bytes]) -> Bytes {
        let mut out =
            Vec::with_capacity(packet.len() + 16 + attachments.iter().map(|a| a.len() * 3 / 2 + 16).sum::<usize>());
        match self {
            Form::WebSocket => {
                websocket::write_frame(&mut out, Opcode::Text, packet);
                for attachment in attachments {
                    let (header, from) = websocket::header(Opcode::Binary, 1 + attachment.len());
                    out.extend_from_slice(&header[from..]);
                    out.push(MESSAGE);
                    out.extend_from_slice(attachment);
                }
            }
            Form::BinaryPayload => {
                payload::write_binary(&mut out, payload::TEXT, &[packet]);
                attachments
                    .iter()
                    .for_each(|data| payload::write_binary(&mut out, payload::BINARY, &[&[MESSAGE], data]));
            }
            Form::TextPayload => {
                payload::write_text(&mut out, packet);
                attachments.iter().for_each(|data| payload::write_base64(&mut out, data));
            }
        }
        out.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of what reference servers send.
    #[test]
    fn packets_are_carried_in_each_form() {
        let data = Bytes::from_static(&[1, 0x80, 0xff]);
        for (form, packet, attachments, expected) in [
            (Form::WebSocket, "6", &[][..], &b"\x81\x016"[..]),
            (Form::WebSocket, "6", std::slice::from_ref(&data), b"\x81\x016\x82\x04\x04\x01\x80\xff"),
            (Form::BinaryPayload, "6", &[], b"\x00\x01\xff6"),
            (Form::BinaryPayload, "4hi", std::slice::from_ref(&data), b"\x00\x03\xff4hi\x01\x04\xff\x04\x01\x80\xff"),
            (Form::TextPayload, "6", &[], b"1:6"),
            (Form::TextPayload, "4hi", std::slice::from_ref(&data), b"3:4hi6:b4AYD/"),
        ] {
            assert_eq!(form.encode(packet.as_bytes(), attachments), expected, "{form:?} {packet}");
        }
        let long = "x".repeat(97);
        assert_eq!(Form::BinaryPayload.encode(long.as_bytes(), &[])[..4], [0, 9, 7, 0xff]);
    }
}
