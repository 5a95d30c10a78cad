//! Bytes to packets and back; pure, no I/O.
//!
//! From the socket inwards: [`websocket`] frames (RFC 6455), Engine.IO packets
//! and polling payloads ([`engine`], [`payload`]), Socket.IO packets
//! ([`packet`] inbound, [`frames`] and [`reply`] outbound), the msgpack parser
//! ([`msgpack`]), and what old clients write otherwise ([`legacy`]). The
//! transport and the session call it; it calls the codecs of the socketioxide
//! family, and nothing of the gateway.
//!
//! An outbound event is encoded once ([`Frames`]) and shared by all its
//! recipients, whatever they speak ([`Format`]).
//!
//! Failures: every decoder answers malformed input with an error that closes
//! the connection it came from; none panics (each has a fuzz target).

mod body;
pub mod engine;
mod frames;
pub mod legacy;
pub mod msgpack;
pub mod packet;
pub mod payload;
mod repair;
pub mod reply;
pub mod websocket;

pub use body::{BadBody, Body, to_api_json};
pub use frames::{Format, Frames, Parser};
