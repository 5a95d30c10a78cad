//! `history`: what of a room's past a socket is sent when it joins.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units;

/// The recent messages of a room that a socket is sent when it joins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// Messages at most, the latest ones; 1 to 1000. Required.
    pub count: usize,
    /// How old they may be, at most `recovery.window`. Default: `"2m"`.
    #[serde(with = "units::duration", default = "two_minutes")]
    #[schemars(with = "String", extend("x-type" = "duration"))]
    pub age: Duration,
}

impl History {
    /// No room keeps more for sure.
    pub(super) const MAX_COUNT: usize = 1000;
}

fn two_minutes() -> Duration {
    Duration::from_secs(120)
}
