//! Engine.IO packets of every version: never a panic.
#![no_main]

use bytes::Bytes;
use carillon_gateway::protocol::engine::{Version, decode_binary, decode_text};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for version in Version::ALL {
        let _ = decode_text(version, Bytes::copy_from_slice(data));
        let _ = decode_binary(version, Bytes::copy_from_slice(data));
    }
});
