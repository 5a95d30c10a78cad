//! From the network to the session: listening, HTTP, and the handshakes of
//! Engine.IO.
//!
//! [`Listener`] accepts streams on the public address and gives each to the
//! worker with the fewest; that worker reads HTTP from it ([`http`], on hyper),
//! after the TLS handshake if there is a certificate, until it becomes a
//! WebSocket, which the session takes over, or ends. A
//! polling request may come in at another worker than its session's: the
//! session id names the worker, and the request is carried out there
//! ([`owner`]). It may come in at another node than its session's, too: then
//! it goes there by way of `peers` ([`forward`]), and is received on the
//! internal listener ([`forwarded`]).
//!
//! Limits ([`admission`]): connections, handshakes per second, origins, bytes
//! of a request. Over a limit the handshake is refused by HTTP, which stock
//! clients try again after.
//!
//! Absent on purpose: permessage-deflate is never negotiated, and WebTransport
//! is not offered.

mod admission;
mod answer;
mod client_files;
mod demo;
mod engine;
mod forward;
mod forwarded;
mod http;
mod legacy;
mod listener;
mod owner;
mod path;
mod request;
#[cfg(test)]
mod tests;
mod websocket;

use std::sync::Arc;

use crate::auth::HandshakeNeeds;
use crate::config::{AllowedOrigin, Public, Transport};
use crate::peers::Peers;
use crate::session::{Counter, IntakeSender};
use crate::tls::Endpoint;

pub use admission::{Admission, AdmissionMetrics};
pub use client_files::ClientFiles;
pub use forwarded::router;
pub use listener::{Accepting, Listener};
pub use path::EnginePath;

/// A worker, as the transport reaches it.
#[derive(Debug, Clone)]
pub struct WorkerIntake {
    pub intake: IntakeSender,
    /// Streams that it owns.
    pub streams: Counter,
}

/// What serving a request needs; the same for all workers.
pub struct Transports {
    pub public: Public,
    pub path: EnginePath,
    /// Bytes of a POST.
    pub max_payload: usize,
    pub demo: bool,
    /// What of a handshake some namespace asks for later.
    pub needs: HandshakeNeeds,
    pub client_files: ClientFiles,
    pub admission: Admission,
    pub workers: Vec<WorkerIntake>,
    pub peers: Peers,
    /// `None`: plain HTTP.
    pub tls: Option<Arc<Endpoint>>,
}

impl Transports {
    fn allows(&self, transport: Transport) -> bool {
        self.public.allows(transport)
    }

    fn any_origin(&self) -> bool {
        self.public.allowed_origins.contains(&AllowedOrigin::Any)
    }
}

type Shared = Arc<Transports>;
