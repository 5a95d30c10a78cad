//! Bodies of polling requests: the packets of a body make the same body again, and each is decoded without a panic.
#![no_main]

use bytes::Bytes;
use carillon_gateway::protocol::engine::{Version, decode};
use carillon_gateway::protocol::payload::{join, split};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let body = Bytes::copy_from_slice(data);
    let packets: Vec<Bytes> = split(&body).collect();
    for packet in &packets {
        let _ = decode(Version::V4, packet.clone());
    }
    assert_eq!(join(packets), body);
});
