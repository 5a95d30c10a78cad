//! Offsets: one that is read is written and read again as the same.
#![no_main]

use carillon_gateway::message::Offset;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(offset) = text.parse::<Offset>() else { return };
    let written = offset.to_string();
    assert_eq!(written.parse::<Offset>().ok(), Some(offset));
    let mut bytes = Vec::new();
    offset.write_to(&mut bytes);
    assert_eq!(bytes, written.as_bytes());
    assert!(bytes.len() <= Offset::MAX_LEN);
});
