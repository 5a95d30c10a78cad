//! Socket.IO packets of one connection: texts and binary messages in any order. What is accepted is relayed, so it must
//! be encoded in every form without a panic too.
//!
//! The input is cut at 0x1e; a piece that begins with `b` is a binary message.
#![no_main]

use std::sync::Arc;

use bytes::Bytes;
use carillon_gateway::protocol::packet::{Content, Decoder, Packet};
use carillon_gateway::protocol::{Body, Format, Frames};
use engineioxide_core::Str;
use libfuzzer_sys::fuzz_target;

const MAX: usize = 10_000;

fn relay(packet: Packet) {
    let Content::Event { event, .. } = packet.content else { return };
    let Ok(body) = Body::from_client(&event.name, event.args.json.iter().map(String::as_str), event.args.attachments)
    else {
        return;
    };
    let frames = Frames::event(&Arc::from(packet.namespace.as_str()), &body, None, Some(b"1deadbeef-1-0"));
    for format in [Format::JsonWebSocket, Format::JsonPolling, Format::MsgpackWebSocket, Format::MsgpackPolling] {
        let _ = frames.get(format);
    }
    // what is read as JSON is sent as JSON, also to clients of the other parser
    let elements = [b"[", &body.elements()[..], b"]"].concat();
    let read = serde_json::from_slice::<serde_json::Value>(&elements);
    assert!(read.is_ok(), "{read:?}");
}

fuzz_target!(|data: &[u8]| {
    let mut decoder = Decoder::default();
    for piece in data.split(|byte| *byte == 0x1e) {
        let packet = match piece.split_first() {
            Some((b'b', binary)) => match decoder.on_binary(Bytes::copy_from_slice(binary), MAX) {
                Ok(packet) => packet.map(|(_, packet)| packet),
                Err(_) => return,
            },
            _ => {
                let Ok(text) = std::str::from_utf8(piece) else { return };
                match decoder.on_text(Str::from(text.to_owned()), MAX) {
                    Ok(packet) => packet,
                    Err(_) => return,
                }
            }
        };
        if let Some(packet) = packet {
            relay(packet);
        }
    }
});
