//! `[namespaces.presence]`: rooms are told who comes and goes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Rooms are told who comes and goes: an event to the room with `{"room", "user"}` when a user's first socket enters
/// it, and one when his last has left, on whatever node. A client that comes back in time was never gone. Sockets of
/// nobody known count each for itself, by its id.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Presence {
    /// Rooms that are told: names, or beginnings of names with `*` after them. Default: `[]`.
    pub rooms: Vec<String>,
    /// Name of the event when a user has come; `""` tells nothing. Default: `"presence-joined"`.
    pub joined: String,
    /// Name of the event when a user has gone; `""` tells nothing. Default: `"presence-left"`.
    pub left: String,
}

impl Presence {
    /// Whether any room is told anything.
    #[must_use]
    pub fn is_on(&self) -> bool {
        let says_something = !self.joined.is_empty() || !self.left.is_empty();
        says_something && !self.rooms.is_empty()
    }

    /// Whether the room of this name is told.
    #[must_use]
    pub fn covers(&self, room: &str) -> bool {
        self.rooms.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(beginning) => room.starts_with(beginning),
            None => room == pattern,
        })
    }
}

impl Default for Presence {
    fn default() -> Self {
        Self { rooms: Vec::new(), joined: "presence-joined".to_owned(), left: "presence-left".to_owned() }
    }
}
