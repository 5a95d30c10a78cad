//! Bodies of polling requests of old clients: binary, text and forms. Each packet takes bytes of the body, so that there are
//! no more packets than bytes; what would leave by a WebSocket is whole frames.
#![no_main]

use bytes::Bytes;
use carillon_gateway::protocol::legacy::jsonp::Callback;
use carillon_gateway::protocol::legacy::payload::{frames, read};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let body = Bytes::copy_from_slice(data);
    assert!(read(&body).count() <= body.len().max(1));
    assert!(frames(&body).all(|frame| frame.len() >= 2));
    let script = Callback::parse("7").expect("a number").answer(data);
    assert!(script.is_ascii() && !script.contains(&b'<') && !script.contains(&b'\n'));
});
