//! Polling requests of one old connection, down to Socket.IO packets. What is accepted is relayed, so it must be encoded for
//! every kind of client without a panic; what old ones get is ASCII.
//!
//! The input is cut at 0x1e, each piece a body.
#![no_main]

use std::sync::Arc;

use bytes::Bytes;
use carillon_gateway::protocol::engine::Inbound;
use carillon_gateway::protocol::legacy::Form;
use carillon_gateway::protocol::legacy::payload::read;
use carillon_gateway::protocol::packet::{Content, Decoder, Packet};
use carillon_gateway::protocol::{Body, Format, Frames};
use libfuzzer_sys::fuzz_target;

const MAX: usize = 10_000;

fn relay(packet: Packet) {
    let Content::Event { event, .. } = packet.content else { return };
    let Ok(body) = Body::from_client(&event.name, event.args.json.iter().map(String::as_str), event.args.attachments)
    else {
        return;
    };
    let frames = Frames::event(&Arc::from("/"), &body, None, Some(b"1deadbeef-1-0"));
    let text = frames.get(Format::Legacy(Form::TextPayload));
    assert!(text.is_ascii());
    for format in [Format::JsonPolling, Format::MsgpackWebSocket] {
        let _ = frames.get(format);
    }
    // it is what an old client could have sent
    for form in [Form::TextPayload, Form::BinaryPayload] {
        let read: Vec<_> = read(&frames.get(Format::Legacy(form))).collect();
        assert!(read.iter().all(Result::is_ok) && read.len() == 1 + body.attachments().len());
    }
}

fuzz_target!(|data: &[u8]| {
    let mut decoder = Decoder::default();
    for body in data.split(|byte| *byte == 0x1e) {
        for inbound in read(&Bytes::copy_from_slice(body)) {
            let decoded = match inbound {
                Ok(Inbound::Text(text)) => decoder.on_old_text(text, MAX),
                Ok(Inbound::Binary(data)) => decoder.on_binary(data, MAX).map(|found| found.map(|(_, packet)| packet)),
                Ok(_) => continue,
                Err(_) => return,
            };
            match decoded {
                Ok(Some(packet)) => relay(packet),
                Ok(None) => {}
                Err(_) => return,
            }
        }
    }
});
