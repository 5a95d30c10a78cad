//! The other nodes: requests for their sessions are carried out there.
//!
//! A session id names its node ([`NodeTag`]), so that clients work behind a
//! balancer without affinity. `transport` hands requests for sessions of other
//! nodes to [`Peers`], and receives those of others at [`PATH`] of the internal
//! listener, after [`Peers::verify`] found them to be a peer's. Where a node is
//! tells the [`Directory`].
//!
//! Invariants:
//! - A session id is looked up, never taken for an address.
//! - A request is sent once. Another connection is tried only when not a byte
//!   was written on the first: a kept connection that had been closed. After
//!   that its outcome is the session's: a GET whose answer is lost closes the
//!   connection there.
//! - A request that is given up here ends there: it is driven by who waits for
//!   it, and its connection closes with it.
//! - What was forwarded is not forwarded again: who receives it has no way to
//!   this room's client.
//!
//! Failures are a [`ForwardError`], counted by kind and outcome. A forwarded
//! WebSocket costs two sockets here, two descriptors in all, and a copy of each
//! byte for as long as it lives; so their number is limited.
//!
//! Where the internal listeners speak TLS, nodes do among themselves: whose
//! certificate is trusted `tls` says, and it must be for the host that the
//! other node advertises.
//!
//! Limits: 3 s to connect; connections idle for 60 s are given up, 64 are kept
//! by each worker to each node; clocks may differ by 30 s.

mod directory;
mod error;
mod line;
mod metrics;
mod registry;
mod signature;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod tunnel;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONNECTION, HOST, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use tokio::sync::watch;

use crate::message::NodeTag;
use crate::session::Counter;
use crate::tls::Endpoint;

use line::{Failed, Line, Pool, Switched};
use metrics::Kind;
use tunnel::Leave;

pub use directory::{Directory, Peer, SingleNode, Unavailable};
pub use error::ForwardError;
pub use metrics::PeerMetrics;
pub use registry::Registry;
pub use signature::{BodyDigest, Untrusted};
pub use tunnel::Tunnel;

/// Where nodes receive what others forward, on the internal listener.
pub const PATH: &str = "/internal/v1/engine";

/// The way to the other nodes.
pub struct Peers {
    directory: Arc<dyn Directory>,
    /// `None`: plain HTTP.
    tls: Option<Arc<Endpoint>>,
    /// By worker.
    pools: Box<[Mutex<Pool>]>,
    /// How long an answer may take: a session answers each GET in a heartbeat.
    answer_within: Duration,
    carried: Counter,
    /// 0: unlimited.
    max_carried: usize,
    leave: watch::Sender<Option<Duration>>,
    metrics: PeerMetrics,
}

/// What the session's node made of a WebSocket.
pub enum Upgrade {
    Accepted(Tunnel),
    /// Its answer, to be passed on.
    Refused(Response<Bytes>),
}

impl Peers {
    /// `tls`: how the other nodes are reached, as this one is; `max_carried`:
    /// WebSockets of other nodes' sessions at once, 0 is unlimited.
    pub fn new(
        directory: Arc<dyn Directory>,
        tls: Option<Arc<Endpoint>>,
        workers: usize,
        answer_within: Duration,
        max_carried: usize,
        metrics: PeerMetrics,
    ) -> Self {
        Peers {
            directory,
            tls,
            pools: (0..workers).map(|_| Mutex::default()).collect(),
            answer_within,
            carried: Counter::default(),
            max_carried,
            leave: watch::Sender::default(),
            metrics,
        }
    }

    /// This node.
    pub fn this(&self) -> NodeTag {
        self.directory.this()
    }

    /// How many WebSockets of other nodes' sessions are carried.
    pub fn carried(&self) -> usize {
        self.carried.get()
    }

    /// Ends those WebSockets, spread over this time.
    pub fn drain(&self, spread: Duration) {
        self.leave.send_replace(Some(spread));
    }

    /// Has a polling request carried out: a GET, or a POST with its body.
    /// Dropped, it is given up there too.
    ///
    /// # Errors
    /// See [`ForwardError`].
    pub async fn ask(
        &self,
        worker: usize,
        node: NodeTag,
        method: &Method,
        query: &str,
        body: Bytes,
    ) -> Result<Response<Bytes>, ForwardError> {
        let forwarding = self.metrics.forwarding(if method == Method::POST { Kind::Post } else { Kind::Poll });
        let outcome = async {
            let (peer, secret) = self.find(node).await?;
            let request = request(&secret, &peer, method, query, body)?;
            let exchange = self.exchange(worker, &peer, request);
            let answer = tokio::time::timeout(self.answer_within, exchange).await.map_err(|_| ForwardError::Lost)??;
            trusted(answer, &peer)
        };
        let outcome = outcome.await;
        forwarding.ended(&outcome);
        outcome
    }

    /// Opens the way for a WebSocket that asks to take over a polling session;
    /// `headers` are those of its request.
    ///
    /// # Errors
    /// See [`ForwardError`].
    pub async fn upgrade(&self, node: NodeTag, query: &str, headers: &HeaderMap) -> Result<Upgrade, ForwardError> {
        let forwarding = self.metrics.forwarding(Kind::Upgrade);
        let outcome = async {
            let (peer, secret) = self.find(node).await?;
            let slot = self.carried.try_take(self.max_carried).ok_or(ForwardError::Limited)?;
            let mut request = request(&secret, &peer, &Method::GET, query, Bytes::new())?;
            request.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            for name in [UPGRADE, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION] {
                request.headers_mut().extend(headers.get(&name).map(|value| (name, value.clone())));
            }
            let line = self.connect(&peer).await?;
            let switched = tokio::time::timeout(self.answer_within, line.switch(request)).await;
            match switched.map_err(|_| ForwardError::Lost)?.map_err(|_| ForwardError::Lost)? {
                Switched::To(owner, ahead) => {
                    let leave = Leave(self.leave.subscribe());
                    Ok(Upgrade::Accepted(Tunnel { owner, ahead, leave, carried: self.metrics.carrying(slot) }))
                }
                Switched::Not(answer) => Ok(Upgrade::Refused(trusted(answer, &peer)?)),
            }
        };
        let outcome = outcome.await;
        forwarding.ended(&outcome);
        outcome
    }

    /// Whether a request is another node's; its body must then have the
    /// digest.
    ///
    /// # Errors
    /// See [`Untrusted`].
    pub fn verify<B>(&self, request: &Request<B>) -> Result<BodyDigest, Untrusted> {
        let verified = self.directory.secret().ok_or(Untrusted::NoPeers).and_then(|secret| {
            let target = request.uri().path_and_query().map_or(PATH, |target| target.as_str());
            signature::verify(&secret, request.method(), target, request.headers(), SystemTime::now())
        });
        verified.inspect_err(|reason| self.metrics.untrusted(*reason))
    }

    async fn find(&self, node: NodeTag) -> Result<(Peer, Arc<[u8]>), ForwardError> {
        let peer = self.directory.find(node).await.map_err(|_| ForwardError::Unavailable)?;
        peer.zip(self.directory.secret()).ok_or(ForwardError::Gone)
    }

    async fn exchange(
        &self,
        worker: usize,
        peer: &Peer,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Bytes>, ForwardError> {
        while let Some(mut line) = self.with_pool(worker, |pool| pool.take(&peer.address)) {
            match line.ask(request).await {
                Ok(answer) => return Ok(self.keep(worker, peer, line, answer).await),
                Err(Failed::Unsent(unsent)) => request = *unsent,
                Err(Failed::Lost) => return Err(ForwardError::Lost),
            }
        }
        let mut line = self.connect(peer).await?;
        match line.ask(request).await {
            Ok(answer) => Ok(self.keep(worker, peer, line, answer).await),
            Err(Failed::Unsent(_)) => Err(ForwardError::Gone),
            Err(Failed::Lost) => Err(ForwardError::Lost),
        }
    }

    async fn keep(&self, worker: usize, peer: &Peer, line: Line, answer: Response<Bytes>) -> Response<Bytes> {
        if let Some(line) = line.reusable().await {
            self.with_pool(worker, |pool| {
                pool.put(Arc::clone(&peer.address), line);
                None
            });
        }
        answer
    }

    async fn connect(&self, peer: &Peer) -> Result<Line, ForwardError> {
        let address = &*peer.address;
        Line::connect(address, self.tls.as_deref()).await.map_err(|error| {
            // the operator's affair: a certificate of no authority that is trusted, or for another host
            if error.kind() == io::ErrorKind::InvalidData {
                tracing::warn!(address, %error, "no TLS with a node");
            } else {
                tracing::debug!(address, %error, "a node cannot be reached");
            }
            ForwardError::Gone
        })
    }

    fn with_pool(&self, worker: usize, run: impl FnOnce(&mut Pool) -> Option<Line>) -> Option<Line> {
        run(&mut self.pools.get(worker)?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn request(
    secret: &[u8],
    peer: &Peer,
    method: &Method,
    query: &str,
    body: Bytes,
) -> Result<Request<Full<Bytes>>, ForwardError> {
    let target = format!("{PATH}?{query}");
    let signature = signature::sign(secret, method, &target, &body, SystemTime::now());
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method.clone();
    // the query was in a request already, which had a shorter path
    *request.uri_mut() = Uri::try_from(target).map_err(|_| ForwardError::TooLong)?;
    let headers = request.headers_mut();
    headers.insert(signature::HEADER, signature);
    headers.extend(HeaderValue::try_from(&*peer.address).map(|host| (HOST, host)));
    Ok(request)
}

/// The answer, unless it says that this node is not trusted: the owner says
/// that to nobody else.
fn trusted(answer: Response<Bytes>, peer: &Peer) -> Result<Response<Bytes>, ForwardError> {
    if answer.status() == StatusCode::FORBIDDEN {
        let address = &*peer.address;
        tracing::warn!(address, "a node refuses this node's signature: another deployment, or clocks that differ?");
        return Err(ForwardError::Untrusted);
    }
    Ok(answer)
}
