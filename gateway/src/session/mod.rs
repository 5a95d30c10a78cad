//! One client: its connection, its sockets, and what they hear and say.
//!
//! A [`Worker`] is a thread with its own runtime. It owns its connections, its
//! part of every room and a timer wheel; nothing of it is shared or locked. A
//! [`Connection`] is an Engine.IO session: one task ([`task`]) reads, handles
//! the client's packets in their order ([`dispatch`], [`connect`]) and waits
//! for a full socket; everything else is written by whoever has something to
//! send, straight to the socket ([`Connection::flush`]). A [`Socket`] is one
//! namespace of a connection, and what the rooms know.
//!
//! The transport hands over streams and polling requests; the session calls
//! protocol, rooms, recovery, policy and the adapter.
//!
//! Invariants:
//! - Packets of one client are handled one after the other; a packet that waits
//!   (a join, a publish) holds up the next, not the reading of heartbeats.
//! - At rest a connection holds no buffer and one entry of the timer wheel.
//! - A recoverable packet is never dropped from a live connection: an outbound
//!   queue over its bound closes the connection ([`Close::SlowConsumer`]).
//! - However a connection ends, [`Connection::finish`] gives everything back.

mod ask;
mod backend;
mod close;
mod connect;
mod connection;
mod cut;
mod dispatch;
mod entry;
mod handshake;
mod history;
mod inspect;
mod link;
mod metrics;
#[cfg(test)]
mod model;
mod namespace;
mod operate;
mod outbound;
mod poll;
mod refresh;
mod refusal;
mod rights;
mod slot;
mod socket;
mod standing;
mod task;
mod upgrade;
mod wheel;
mod worker;

pub use close::Close;
pub use connection::{Connection, Opening};
pub use entry::{Entry, Gate, TokenSignals};
pub use handshake::Handshake;
pub use metrics::SessionMetrics;
pub use namespace::NamespaceRules;
pub use poll::{PollAnswer, PollError};
pub use slot::{Counter, Slot};
pub use socket::Socket;
pub use worker::{Intake, IntakeSender, SessionLimits, Shared, Worker, WorkerSeed};
