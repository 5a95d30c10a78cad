//! `[cluster]`: how nodes reach each other, and what they share.

use std::net::SocketAddr;

use http::uri::Authority;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the nodes of a deployment reach each other, and what they share; of little effect for one that is alone.
///
/// A request may come in at any node and is forwarded to its session's, over the internal listener.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cluster {
    /// Host and port at which other nodes reach this one's internal listener, such as `"10.0.0.5:9100"`; `""` is the
    /// address it listens on, which must then be one of this machine's and not `0.0.0.0`. Default: `""`.
    pub advertise: String,
    /// WebSockets of other nodes' sessions that this node carries at once; 0 = unlimited. They cost sockets and copying
    /// on two nodes; over the limit clients stay on polling, and with `public.upgrades = false` there are none.
    /// Default: `1000`.
    pub max_forwarded: usize,
    /// Handshakes that all nodes together accept in a second, by a budget in Redis; 0 = unlimited. Others are answered
    /// with 503 before anything is done for them, and stock clients try again, so that the clients of a node that drains
    /// or was killed come back at this pace. `limits.max_connections` divided by it must be less than half of
    /// `recovery.window`: so soon all of a node's clients are back. Must be the same on all nodes. Default: `0`.
    pub handshakes_per_second: u32,
    /// Connections that a node closes in a second, at most, while it has more than the mean of all nodes; 0 = none. Their
    /// clients come back through the balancer and recover, so that nodes added later fill up. Default: `0`.
    pub rebalance_per_second: u32,
}

impl Cluster {
    /// Where other nodes reach this one, whose internal listener has this address; `None` if that cannot be told and
    /// `advertise` must be set.
    #[must_use]
    pub fn advertised(&self, internal: SocketAddr) -> Option<String> {
        match (self.advertise.is_empty(), internal.ip().is_unspecified()) {
            (false, _) => Some(self.advertise.clone()),
            (true, false) => Some(internal.to_string()),
            (true, true) => None,
        }
    }

    /// Whether `advertise` is empty, or a host and a port.
    pub(super) fn is_reachable(&self) -> bool {
        let authority = || self.advertise.parse::<Authority>().ok().filter(|_| !self.advertise.contains('@'));
        let is_port = |authority: &Authority| authority.port_u16().is_some_and(|port| port > 0);
        self.advertise.is_empty() || authority().is_some_and(|it| is_port(&it) && !it.host().is_empty())
    }
}

impl Default for Cluster {
    fn default() -> Self {
        Self { advertise: String::new(), max_forwarded: 1000, handshakes_per_second: 0, rebalance_per_second: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_advertised_can_be_reached() {
        let cluster = |advertise: &str| Cluster { advertise: advertise.to_owned(), ..Cluster::default() };
        let told = |advertise, internal: &str| cluster(advertise).advertised(internal.parse().unwrap());
        assert_eq!(told("", "127.0.0.1:9100").as_deref(), Some("127.0.0.1:9100"));
        assert_eq!(told("node-1:9100", "0.0.0.0:9100").as_deref(), Some("node-1:9100"));
        assert_eq!(told("", "0.0.0.0:9100"), None);
        assert_eq!(told("", "[::]:9100"), None);
        for good in ["", "10.0.0.5:9100", "[::1]:9100", "node-1.internal:80"] {
            assert!(cluster(good).is_reachable(), "{good}");
        }
        for bad in ["10.0.0.5", ":9100", "node:0", "node:99999", "http://node:9100", "a@node:9100", "node:9100/x"] {
            assert!(!cluster(bad).is_reachable(), "{bad}");
        }
    }
}
