//! Packets of the msgpack parser: what is read is written again without a panic, and read again as the same.
#![no_main]

use carillon_gateway::protocol::msgpack::{decode, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(packet) = decode(data) else { return };
    let json = packet.data.as_ref().map(ToString::to_string);
    let json = json.as_deref().map(str::as_bytes);
    let bytes = encode(packet.kind, &packet.namespace, json, &packet.attachments, packet.id);
    let again = decode(&bytes).expect("what was written is read");
    assert_eq!((packet.kind, packet.id), (again.kind, again.id));
    assert_eq!((&packet.namespace, &packet.attachments), (&again.namespace, &again.attachments));
    assert_eq!(packet.data, again.data);
});
