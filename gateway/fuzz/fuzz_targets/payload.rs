//! Bodies of polling requests: the packets of a body make the same body again, and each is decoded without a panic.
#![no_main]

use bytes::Bytes;
use carillon_gateway::protocol::payload::{join, read, split};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let body = Bytes::copy_from_slice(data);
    let packets: Vec<Bytes> = split(&body).collect();
    assert_eq!(read(&body).count(), packets.len());
    assert_eq!(join(packets), body);
});
