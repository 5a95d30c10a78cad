//! What one node, one connection and one worker may hold: `[limits]`, `[fanout]`; and how the node ends: `[drain]`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units;

/// Admission and per-connection limits.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections of this node, over all transports; 0 = unlimited. Default: `0`.
    pub max_connections: usize,
    /// Engine.IO handshakes accepted per second; 0 = unlimited. Default: `0`.
    pub handshakes_per_second: u32,
    /// Namespaces one connection may be in. Default: `32`.
    pub max_namespaces: usize,
    /// Rooms one socket may be in, its own not counted. Default: `128`.
    pub max_rooms: usize,
    /// Time a new connection has to enter its first namespace. Default: `"45s"`.
    #[serde(with = "units::duration")]
    #[schemars(with = "String", extend("x-type" = "duration"))]
    pub connect_timeout: Duration,
    /// Bytes waiting to be written to one connection; over it the connection is closed (slow consumer), and the client
    /// recovers what it missed. Default: `"4MiB"`.
    #[serde(with = "units::size")]
    #[schemars(with = "usize", extend("x-type" = "size"))]
    pub outbound_queue: usize,
    /// Bytes of live messages held for one socket while it joins or recovers; beyond that they are read from the log.
    /// Default: `"1MiB"`.
    #[serde(with = "units::size")]
    #[schemars(with = "usize", extend("x-type" = "size"))]
    pub max_held: usize,
    /// Client events waiting in order for one connection; while so many wait, no more is read from it.
    /// Default: `256`.
    pub max_pending_events: usize,
}

/// How messages reach the workers.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Fanout {
    /// Bytes of messages waiting for one worker; publishers wait while it is full. Default: `"32MiB"`.
    #[serde(with = "units::size")]
    #[schemars(with = "usize", extend("x-type" = "size"))]
    pub mailbox: usize,
}

/// How the node ends on SIGTERM.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Drain {
    /// Time between reporting unready and closing the first connection, for balancers to notice. Default: `"0s"`.
    #[serde(with = "units::duration")]
    #[schemars(with = "String", extend("x-type" = "duration"))]
    pub ready_delay: Duration,
    /// Time over which the closing of the connections is spread. Default: `"5s"`.
    #[serde(with = "units::duration")]
    #[schemars(with = "String", extend("x-type" = "duration"))]
    pub spread: Duration,
    /// Time after which the process ends whatever is left; at least `ready_delay` and `spread` together.
    /// Default: `"25s"`.
    #[serde(with = "units::duration")]
    #[schemars(with = "String", extend("x-type" = "duration"))]
    pub deadline: Duration,
    /// Time between SIGTERM and SIGKILL, as whoever stops the process gives it (Kubernetes: the pod's
    /// `terminationGracePeriodSeconds`); at least `deadline` and 8 s. 0 = not known. Default: `"0s"`.
    #[serde(with = "units::duration")]
    #[schemars(with = "String", extend("x-type" = "duration"))]
    pub grace_period: Duration,
}

impl Drain {
    /// What the process may take after `deadline`: answers under way on the internal listener, and the last spans.
    pub(super) const AFTER_DEADLINE: Duration = Duration::from_secs(8);
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 0,
            handshakes_per_second: 0,
            max_namespaces: 32,
            max_rooms: 128,
            connect_timeout: Duration::from_secs(45),
            outbound_queue: 4 << 20,
            max_held: 1 << 20,
            max_pending_events: 256,
        }
    }
}

impl Default for Fanout {
    fn default() -> Self {
        Self { mailbox: 32 << 20 }
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            ready_delay: Duration::ZERO,
            spread: Duration::from_secs(5),
            deadline: Duration::from_secs(25),
            grace_period: Duration::ZERO,
        }
    }
}
