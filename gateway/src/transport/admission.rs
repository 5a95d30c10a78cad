//! Who is let in.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use http::HeaderMap;
use ipnet::IpNet;
use prometheus::{IntCounterVec, Opts, Registry};

use crate::fleet::Budget;
use crate::protocol::engine::Version;
use crate::session::{Counter, Slot};

/// Why a handshake is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    UnknownTransport,
    UnknownSession,
    BadMethod,
    BadRequest,
    Forbidden,
    UnsupportedVersion,
    TooManyConnections,
    TooManyHandshakes,
    /// Where the session is cannot be told now.
    NoDirectory,
    /// The WebSocket would have to be forwarded.
    TooManyForwarded,
    /// A POST over the limit.
    TooLarge,
    /// All nodes together let in no more now.
    OverBudget,
    /// Of old clients.
    TooManyLegacy,
}

impl Refusal {
    const ALL: [Refusal; 13] = [
        Refusal::UnknownTransport,
        Refusal::UnknownSession,
        Refusal::BadMethod,
        Refusal::BadRequest,
        Refusal::Forbidden,
        Refusal::UnsupportedVersion,
        Refusal::TooManyConnections,
        Refusal::TooManyHandshakes,
        Refusal::NoDirectory,
        Refusal::TooManyForwarded,
        Refusal::TooLarge,
        Refusal::OverBudget,
        Refusal::TooManyLegacy,
    ];

    fn label(self) -> &'static str {
        match self {
            Refusal::UnknownTransport => "unknown_transport",
            Refusal::UnknownSession => "unknown_session",
            Refusal::BadMethod => "bad_method",
            Refusal::BadRequest => "bad_request",
            Refusal::Forbidden => "forbidden",
            Refusal::UnsupportedVersion => "unsupported_version",
            Refusal::TooManyConnections => "too_many_connections",
            Refusal::TooManyHandshakes => "too_many_handshakes",
            Refusal::NoDirectory => "no_directory",
            Refusal::TooManyForwarded => "too_many_forwarded",
            Refusal::TooLarge => "too_large",
            Refusal::OverBudget => "over_budget",
            Refusal::TooManyLegacy => "too_many_legacy",
        }
    }
}

/// Limits over all connections of the node, and of all nodes.
#[derive(Debug)]
pub struct Admission {
    connections: Counter,
    /// 0: unlimited.
    max_connections: usize,
    /// Those of old clients.
    legacy: Counter,
    /// 0: unlimited.
    max_legacy: usize,
    handshakes: Option<Mutex<Bucket>>,
    /// Of all nodes; `None`: unlimited.
    budget: Option<Budget>,
    metrics: AdmissionMetrics,
}

impl Admission {
    /// `handshakes_per_second`: 0 is unlimited; a second's worth may come at
    /// once.
    pub fn new(
        max_connections: usize,
        handshakes_per_second: u32,
        budget: Option<Budget>,
        metrics: AdmissionMetrics,
    ) -> Self {
        let bucket = |rate| Mutex::new(Bucket { rate, tokens: rate, at: Instant::now() });
        let connections = Counter::default();
        Admission {
            legacy: connections.part(),
            connections,
            max_connections,
            max_legacy: 0,
            handshakes: (handshakes_per_second > 0).then(|| bucket(f64::from(handshakes_per_second))),
            budget,
            metrics,
        }
    }

    /// With a limit on the connections of old clients; 0 is unlimited.
    #[must_use]
    pub fn with_max_legacy(self, max_legacy: usize) -> Self {
        Admission { max_legacy, ..self }
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.connections.get()
    }

    /// The count of open connections, for who tells others.
    pub fn connections(&self) -> Counter {
        self.connections.clone()
    }

    /// A slot for one more connection. The node's own limits come first: what
    /// they refuse costs nothing of what all nodes share.
    pub(super) async fn admit(&self, version: Version) -> Result<Slot, Refusal> {
        if let Some(bucket) = &self.handshakes
            && !bucket.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now())
        {
            return Err(Refusal::TooManyHandshakes);
        }
        let slot = if version.is_legacy() {
            self.legacy.try_take(self.max_legacy).ok_or(Refusal::TooManyLegacy)?
        } else {
            self.connections.take()
        };
        if self.max_connections > 0 && self.open() > self.max_connections {
            return Err(Refusal::TooManyConnections);
        }
        match &self.budget {
            Some(budget) if !budget.admits().await => Err(Refusal::OverBudget),
            _ => Ok(slot),
        }
    }

    pub(super) fn refused(&self, refusal: Refusal) {
        self.metrics.refusals.with_label_values(&[refusal.label()]).inc();
    }
}

/// A token bucket.
#[derive(Debug)]
struct Bucket {
    /// Tokens a second, and at most.
    rate: f64,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn take(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = self.rate.min(self.tokens + elapsed * self.rate);
        self.at = now;
        let taken = self.tokens >= 1.0;
        if taken {
            self.tokens -= 1.0;
        }
        taken
    }
}

/// Handles into the registry.
#[derive(Debug, Clone)]
pub struct AdmissionMetrics {
    refusals: IntCounterVec,
}

impl AdmissionMetrics {
    /// # Errors
    /// When a name is registered twice.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let refusals = IntCounterVec::new(
            Opts::new("carillon_handshakes_refused_total", "Handshakes and polling requests refused, by reason."),
            &["reason"],
        )?;
        for refusal in Refusal::ALL {
            refusals.with_label_values(&[refusal.label()]);
        }
        registry.register(Box::new(refusals.clone()))?;
        Ok(AdmissionMetrics { refusals })
    }
}

/// The client's address: the peer's, or behind trusted proxies the last
/// address in `X-Forwarded-For` that is not a trusted proxy's.
pub(super) fn client_ip(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |ip: &IpAddr| trusted.iter().any(|net| net.contains(&ip.to_canonical()));
    let mut client = peer.to_canonical();
    if !is_trusted(&client) {
        return client;
    }
    let values: Vec<&str> = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok()).collect();
    for address in values.iter().flat_map(|value| value.split(',')).rev() {
        let Ok(ip) = address.trim().parse::<IpAddr>() else { break };
        client = ip.to_canonical();
        if !is_trusted(&client) {
            break;
        }
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn forwarded_addresses_are_believed_from_trusted_proxies_only() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        for (peer, forwarded, expected) in [
            ("192.0.2.1", Some("198.51.100.7"), "192.0.2.1"),
            ("10.0.0.1", None, "10.0.0.1"),
            ("10.0.0.1", Some("198.51.100.7"), "198.51.100.7"),
            ("10.0.0.1", Some("203.0.113.9, 198.51.100.7, 10.0.0.2"), "198.51.100.7"),
            ("10.0.0.1", Some("198.51.100.7, nonsense"), "10.0.0.1"),
            ("::ffff:10.0.0.1", Some("2001:db8::1"), "2001:db8::1"),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(value) = forwarded {
                headers.insert("x-forwarded-for", value.parse().unwrap());
            }
            let ip = client_ip(peer.parse().unwrap(), &headers, &trusted);
            assert_eq!(ip, expected.parse::<IpAddr>().unwrap(), "{peer} {forwarded:?}");
        }
    }

    #[test]
    fn handshakes_are_limited_by_rate() {
        let start = Instant::now();
        let mut bucket = Bucket { rate: 2.0, tokens: 2.0, at: start };
        assert!(bucket.take(start) && bucket.take(start) && !bucket.take(start));
        assert!(bucket.take(start + Duration::from_millis(500)));
        assert!(!bucket.take(start + Duration::from_millis(600)));
    }
}
