//! Engine.IO packets: never a panic.
#![no_main]

use bytes::Bytes;
use carillon_gateway::protocol::engine::{Version, decode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = decode(Version::V4, Bytes::copy_from_slice(data));
});
