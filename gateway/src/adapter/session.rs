//! What is kept of a session, so that it can be recovered.

use std::sync::Arc;

use crate::message::{Epoch, NamespaceId, Offset, Position, PrivateId, Room, SocketId};

use super::{Action, OperationId, Unavailable, Watch};

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
    /// Who that is in full: text of the caller's.
    pub identity: Option<Arc<str>>,
    /// What is told about it.
    pub watched: Watch,
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
    pub subject: Claimant,
}

/// Who wants to recover a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimant {
    /// Somebody without a subject: a session that has none.
    Nobody,
    /// A session of this subject.
    User(Arc<str>),
    /// Whoever holds the private id: any session.
    Holder,
}

impl Claimant {
    /// Whether a session of this subject is theirs.
    pub fn may_take(&self, subject: Option<&str>) -> bool {
        match self {
            Claimant::Nobody => subject.is_none(),
            Claimant::User(user) => subject == Some(&**user),
            Claimant::Holder => true,
        }
    }
}

/// A session under its new owner.
#[derive(Debug, Clone)]
pub struct TakenOver {
    pub socket: SocketId,
    pub subject: Option<Arc<str>>,
    pub identity: Option<Arc<str>>,
    pub watched: Watch,
    pub generation: u64,
    /// The present one; all positions are of it.
    pub epoch: Epoch,
    /// The client had everything up to here, as far as is known in this epoch.
    pub confirmed: Option<Position>,
    pub stays: Stays,
}

/// The rooms of a session whose client is away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stays {
    /// Rooms that every socket is in count from here.
    pub start: Position,
    /// Present and past ones, as far as they are kept; positions before this
    /// epoch are [`Position::ZERO`].
    pub memberships: Vec<Membership>,
    /// Counts the changes that were made for the client while it was away.
    pub changes: u64,
}

/// What attaching to a session comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attached {
    /// The position of the cut.
    At(Offset),
    /// Rooms were changed since the session was taken over: these are they.
    Changed(Stays),
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
    /// The operation that asks for it, which is done with it.
    pub operation: Option<OperationId>,
    /// Written with it, in place of the earlier one.
    pub identity: Option<Arc<str>>,
}

/// A session whose client is alive and has everything up to `confirmed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refresh {
    pub key: SessionKey,
    pub confirmed: Position,
}

/// What is to be done about a session that was to be refreshed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attention {
    /// It has another owner or has ended: its connection ends.
    Fenced,
    /// The store has lost it, or a part of it: it is written anew
    /// ([`super::Adapter::restore_session`]).
    Missing,
    /// Operations that its owner was not told of, in their order.
    Waiting(Vec<(OperationId, Action)>),
}
