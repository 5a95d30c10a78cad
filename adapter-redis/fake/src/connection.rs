//! The client's side of a command connection.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_channel::oneshot;
use redis::{RedisError, RedisResult, Value};

use crate::{
    links::{ConnectionId, Request, State},
    reply::Bytes,
    server::FakeRedis,
};

/// What a client gets from a connection that has ended.
pub(crate) fn broken() -> RedisError {
    io::Error::new(io::ErrorKind::ConnectionReset, "the connection is broken").into()
}

/// The client's end of a connection, shared by what uses it. The connection is closed with the last of them.
pub(crate) struct Handle {
    pub(crate) server: FakeRedis,
    pub(crate) id: ConnectionId,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.server.client_closed(self.id);
    }
}

/// A connection for commands, cloned cheaply, on which many requests may be under way. They are executed in the order
/// in which they were sent.
///
/// When the last clone is dropped, the server may still execute what it was sent, as after [`FakeRedis::orphan`].
#[derive(Clone)]
pub struct Connection(pub(crate) Arc<Handle>);

impl Connection {
    pub fn id(&self) -> ConnectionId {
        self.0.id
    }

    /// Sends the request now; the future is of its reply. A dropped future does not take the request back.
    ///
    /// # Errors
    /// The error that the server answered, or an I/O error when the connection ended before the reply had come.
    ///
    /// # Panics
    /// A request needs a name.
    pub fn send<A: AsRef<[u8]>>(&self, args: impl IntoIterator<Item = A>) -> PendingReply {
        let args: Vec<Bytes> = args.into_iter().map(|arg| arg.as_ref().into()).collect();
        assert!(!args.is_empty(), "a request without a command");
        let (responder, reply) = oneshot::channel();
        self.0.server.core(|core| {
            // without a link, or without its client, the responder is dropped, and that is the answer
            let link = core.links.commands.get_mut(&self.0.id).filter(|link| link.state != State::Orphaned);
            if let Some(link) = link {
                link.requests.push_back(Request { args, responder: Some(responder) });
            }
        });
        PendingReply(reply)
    }
}

/// The reply to a request.
pub struct PendingReply(oneshot::Receiver<RedisResult<Value>>);

impl Future for PendingReply {
    type Output = RedisResult<Value>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<RedisResult<Value>> {
        let reply = Pin::new(&mut self.0).poll(context);
        reply.map(|reply| reply.unwrap_or_else(|_| Err(broken())))
    }
}
