//! `[recovery]`: how long and how much is kept for clients that come back, and for repeated publishes.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units;

/// What is kept for clients that come back. Passing a bound makes sessions unrecoverable, never wrong.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Recovery {
    /// Time after a connection was last known alive during which its session can be recovered. Default: `"2m"`.
    #[serde(with = "units::duration")]
    #[schemars(with = "String", extend("x-type" = "duration"))]
    pub window: Duration,
    /// Messages kept per room. Default: `10000`.
    pub max_entries_per_room: usize,
    /// Bytes of all logs of this node. Default: `"256MiB"`.
    #[serde(with = "units::size")]
    #[schemars(with = "usize", extend("x-type" = "size"))]
    pub max_bytes: usize,
    /// Time between two refreshes of the sessions of live connections; less than `window`. Default: `"10s"`.
    #[serde(with = "units::duration")]
    #[schemars(with = "String", extend("x-type" = "duration"))]
    pub refresh: Duration,
    /// Sessions kept, of live and of gone connections; 0 = unlimited. Default: `0`.
    pub max_sessions: usize,
    /// Messages replayed to one client; who missed more gets a new session. Default: `10000`.
    pub replay_max_messages: usize,
    /// Bytes replayed to one client; who missed more gets a new session. Default: `"16MiB"`.
    #[serde(with = "units::size")]
    #[schemars(with = "usize", extend("x-type" = "size"))]
    pub replay_max_bytes: usize,
    /// Time during which the outcome of a publish is kept under its idempotency key. Default: `"10m"`.
    #[serde(with = "units::duration")]
    #[schemars(with = "String", extend("x-type" = "duration"))]
    pub idempotency: Duration,
    /// Idempotency keys kept; beyond it the oldest is forgotten. Default: `100000`.
    pub max_idempotency_keys: usize,
}

impl Default for Recovery {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(120),
            max_entries_per_room: 10_000,
            max_bytes: 256 << 20,
            refresh: Duration::from_secs(10),
            max_sessions: 0,
            replay_max_messages: 10_000,
            replay_max_bytes: 16 << 20,
            idempotency: Duration::from_secs(600),
            max_idempotency_keys: 100_000,
        }
    }
}
