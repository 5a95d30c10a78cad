//! How bytes reach one client.

use std::rc::Rc;

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};

use crate::tls::Stream;

/// The transport of a connection, as it is now.
#[derive(Debug)]
pub(super) enum Link {
    Polling(PollLink),
    WebSocket(Stream),
    Closed,
}

/// HTTP long-polling: packets wait for the client's next GET.
#[derive(Debug, Default)]
pub(super) struct PollLink {
    /// The GET that waits for packets.
    pub(super) waiting: Option<oneshot::Sender<Bytes>>,
    /// A WebSocket has been probed: GETs are answered at once, with nothing.
    pub(super) upgrading: bool,
    /// The `t` of the last GET: one that comes twice was retried on the way,
    /// and what was in the first answer may be lost.
    pub(super) last: Option<Box<str>>,
    /// Told when the client's packets have been handled.
    pub(super) taken: Rc<Notify>,
}
