//! Frames of a client: never a panic, and the same messages however the bytes arrive.
#![no_main]

use bytes::BytesMut;
use carillon_gateway::protocol::websocket::{FrameError, Message, Reader};
use libfuzzer_sys::fuzz_target;

const MAX: usize = 1000;

fn read<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> (Vec<Message>, Result<(), FrameError>) {
    let mut reader = Reader::new(MAX);
    let mut input = BytesMut::new();
    let mut messages = Vec::new();
    for chunk in chunks {
        input.extend_from_slice(chunk);
        loop {
            match reader.next(&mut input) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Err(error)),
            }
        }
    }
    (messages, Ok(()))
}

fuzz_target!(|data: &[u8]| {
    let Some((&first, frames)) = data.split_first() else { return };
    let whole = read(std::iter::once(frames));
    let cut = read(frames.chunks(usize::from(first % 16) + 1));
    assert_eq!(whole, cut);
});
