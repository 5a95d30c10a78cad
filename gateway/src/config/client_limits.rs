//! `[namespaces.limits]`: how much clients may send.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units;

/// How much clients may send in the namespace; what is over a limit is refused. Limits of a user hold for all of his
/// connections to one node.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClientLimits {
    /// Events of one connection per second; 0 = unlimited. Default: `0`.
    pub events_per_second: u32,
    /// Events that may come at once when there were none for a while; 0 = those of one second. Default: `0`.
    pub event_burst: u32,
    /// Bytes of events of one connection per second; 0 = unlimited. Default: `0`.
    #[serde(with = "units::size")]
    #[schemars(with = "usize", extend("x-type" = "size"))]
    pub bytes_per_second: usize,
    /// Bytes that may come at once; 0 = those of one second. Default: `0`.
    #[serde(with = "units::size")]
    #[schemars(with = "usize", extend("x-type" = "size"))]
    pub byte_burst: usize,
    /// Events of one user per second; 0 = unlimited. Default: `0`.
    pub user_events_per_second: u32,
    /// Events of one user that may come at once; 0 = those of one second. Default: `0`.
    pub user_event_burst: u32,
    /// Bytes of events of one user per second; 0 = unlimited. Default: `0`.
    #[serde(with = "units::size")]
    #[schemars(with = "usize", extend("x-type" = "size"))]
    pub user_bytes_per_second: usize,
    /// Bytes of one user that may come at once; 0 = those of one second. Default: `0`.
    #[serde(with = "units::size")]
    #[schemars(with = "usize", extend("x-type" = "size"))]
    pub user_byte_burst: usize,
}
