//! For [socketioxide] servers: an adapter on the same bus and log, so that a
//! backend that clients connect to itself is one more node beside gateways.
//!
//! ```no_run
//! # use std::sync::Arc;
//! use adapter_redis::Settings;
//! use adapter_redis::server::{Address, RedisServer};
//! use adapter_redis::Intervals;
//! use adapter_redis::socketioxide::{CarillonAdapter, Node};
//! use socketioxide::SocketIo;
//! use socketioxide::extract::SocketRef;
//!
//! # async fn start() -> Result<(), Box<dyn std::error::Error>> {
//! let server = RedisServer::new(Address::new("redis://127.0.0.1:6379/0"))?;
//! let settings = Settings { prefix: "carillon".into(), ..Intervals::default().settings() };
//! let node = Node::new(Arc::new(server), settings);
//! let (layer, io) = SocketIo::builder().with_adapter::<CarillonAdapter<_>>(node).build_layer();
//! io.ns("/", async |socket: SocketRef<CarillonAdapter<_>>| socket.join("news")).await?;
//! io.to("news").emit("headline", "to members on all gateways, and to own sockets").await?;
//! # drop(layer);
//! # Ok(())
//! # }
//! ```
//!
//! What is emitted goes to Redis, and comes from there to everybody, own
//! sockets too: all nodes see one order. Gateways can recover it to clients
//! that missed it. `emit` resolves when Redis has it; an error says whether it
//! may have been sent all the same. What is emitted to a single [`Socket`], or
//! with `local`, goes there at once, past the order.
//!
//! # Settings that must be those of the gateways
//!
//! [`Settings::prefix`], and the [`Intervals`](crate::Intervals), which say how
//! long events are kept: the first node of an epoch says it for all, and one that
//! needs them for longer begins a new epoch, in which clients that are away start
//! anew. Namespaces that gateways have with `recovery = false` are
//! named to [`Node::without_recovery`].
//!
//! # Rooms
//!
//! | here | in the cluster |
//! |---|---|
//! | `user:<name>` | the sockets of a user, `users` in the gateway's API |
//! | `socket:<id>` | one socket, by its id on a gateway or on a socketioxide server |
//! | any other | the room of that name |
//! | no room, in a broadcast | everyone in the namespace |
//!
//! A user of a gateway reaches sockets here that have joined `user:<name>`. A
//! room that a client names is never one of these two kinds. Names have 1 to
//! 256 bytes and no control characters; to emit to another is an error, and one
//! that a socket here has joined is not reached from elsewhere.
//!
//! The gateway's API knows a socket of this server by its id and `----`.
//!
//! # What is supported
//!
//! - `emit` to rooms, except rooms or the sender, volatile, binary, and to
//!   remote sockets.
//! - `emit_with_ack`, of a broadcast or a remote socket: it resolves when all
//!   have answered or the timeout is over, and then has the answers; who did
//!   not answer is missing from them. It is not logged.
//! - `join`, `leave`, `disconnect`, `fetch_sockets` and `rooms`, across nodes. A
//!   node that does not answer within 5 s is missing from lists, with a warning
//!   in the log. Clients of gateways that are away are concerned too, except
//!   where sockets are excluded.
//! - The gateway's API on sockets here: publish, with acknowledgements, join,
//!   leave, disconnect, list and count. A disconnect that shall close the
//!   connection leaves the namespace only.
//! - Namespaces with parameters, and namespaces that are closed.
//!
//! # What is not
//!
//! - Recovery of own sockets: socketioxide has none. What comes while this
//!   server's connection to Redis is broken, its own sockets miss.
//! - Interest: socketioxide's joins do not pass through its adapter, so this
//!   node hears all rooms of its namespaces. A gateway costs less.
//! - Parsers other than the common one, and namespaces with a comma in the name:
//!   to add such a namespace is an error.
//! - Offsets: events here have none, as their clients have nothing to recover.
//!
//! [socketioxide]: https://docs.rs/socketioxide
//! [`Socket`]: https://docs.rs/socketioxide/latest/socketioxide/socket/struct.Socket.html
//! [`Settings::prefix`]: crate::Settings::prefix

mod adapter;
mod names;
mod node;
mod own;
mod packet;
mod selection;
mod wire;

#[cfg(test)]
mod tests;

use socketioxide_core::adapter::errors::AdapterError;

use crate::{PublishError, Unavailable};

pub use adapter::{CarillonAdapter, Init};
pub use names::BadRoom;
pub use node::Node;

/// Why the cluster was not reached, or not asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// Of an emit; whether it may have been sent.
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error(transparent)]
    Room(#[from] BadRoom),
    #[error("other nodes understand the common parser only")]
    Parser,
    #[error("a namespace of the cluster has no comma in its name")]
    Namespace,
    #[error("no tag is free: does every node have one of its own?")]
    NoTag,
}

impl From<Error> for AdapterError {
    fn from(error: Error) -> Self {
        AdapterError(Box::new(error))
    }
}
