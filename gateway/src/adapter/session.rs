//! What is kept of a session, so that it can be recovered.

use std::sync::Arc;

use crate::message::{NamespaceId, Offset, Position, PrivateId, Room, SocketId};

use super::Unavailable;

/// A stay in a room: messages with `since < id <= until` are the socket's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    pub room: Room,
    pub since: Position,
    /// `None` while it lasts.
    pub until: Option<Position>,
}

impl Membership {
    /// Whether a message at `position` fell into the stay.
    pub fn covers(&self, position: Position) -> bool {
        self.since < position && self.until.is_none_or(|until| position <= until)
    }
}

/// A session under one owner. Every write shows it and fails when the session
/// has a later owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionKey {
    pub pid: PrivateId,
    pub generation: u64,
}

/// A session to be written.
#[derive(Debug, Clone)]
pub struct NewSession {
    pub pid: PrivateId,
    pub socket: SocketId,
    pub namespace: NamespaceId,
    /// Who it belongs to: only the same may recover it.
    pub subject: Option<Arc<str>>,
    /// Without the implicit ones ([`Room::is_implicit`]).
    pub rooms: Vec<Room>,
}

impl NewSession {
    /// The generation a session begins with.
    pub const GENERATION: u64 = 1;
}

/// What a client shows to recover a session.
#[derive(Debug, Clone)]
pub struct Claim {
    pub pid: PrivateId,
    pub namespace: NamespaceId,
    pub subject: Option<Arc<str>>,
}

/// A session under its new owner.
#[derive(Debug, Clone)]
pub struct TakenOver {
    pub socket: SocketId,
    pub generation: u64,
    /// Rooms that every socket is in count from here.
    pub start: Offset,
    /// The client had everything up to here.
    pub confirmed: Offset,
    /// Present and past ones, as far as they are kept.
    pub memberships: Vec<Membership>,
}

/// Why a session cannot be taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TakeOverError {
    #[error("there is no such session, or no longer")]
    Unknown,
    #[error("it belongs to another namespace or subject")]
    Foreign,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why a session was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// Another connection owns it, or it has ended.
    #[error("the session has another owner or has ended")]
    Fenced,
    #[error("there are too many sessions")]
    Full,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Rooms that a session enters and leaves.
#[derive(Debug, Clone, Default)]
pub struct RoomChange {
    pub join: Vec<Room>,
    pub leave: Vec<Room>,
}

/// A session whose client is alive and has everything up to `confirmed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refresh {
    pub key: SessionKey,
    pub confirmed: Position,
}
