//! What is to be told about watched sessions: that one has ended, that a user
//! has come to a room or left it.
//!
//! A notice is written in the same step as the change that it tells of, and
//! kept until it was carried out: [`super::Adapter::notices`] leases it to one
//! node, [`super::Adapter::settle`] removes it. A node that is killed between
//! the two leaves it to another, so a notice may come twice, under one id.

use std::sync::Arc;

use crate::message::{NamespaceId, Room, SocketId};

/// What is told about a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Watch {
    /// Its end ([`NoticeOf::Gone`]).
    pub gone: bool,
    /// Who is in its named rooms ([`NoticeOf::Presence`]).
    pub presence: bool,
}

impl Watch {
    /// Nothing is told.
    pub const NONE: Watch = Watch { gone: false, presence: false };
}

/// Names a notice; the same when it comes again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NoticeId {
    text: Arc<str>,
    entry: Arc<str>,
}

impl NoticeId {
    /// `text`: unlike every other notice's; `entry`: where its adapter keeps
    /// it.
    pub fn new(text: impl Into<Arc<str>>, entry: impl Into<Arc<str>>) -> Self {
        NoticeId { text: text.into(), entry: entry.into() }
    }

    /// 20 characters of the URL-safe alphabet.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn entry(&self) -> &str {
        &self.entry
    }
}

/// Something to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub id: NoticeId,
    pub namespace: NamespaceId,
    pub what: NoticeOf,
}

/// What a [`Notice`] tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoticeOf {
    /// A session has ended, and cannot be recovered.
    Gone {
        socket: SocketId,
        subject: Option<Arc<str>>,
        /// As it was last written with the session.
        identity: Option<Arc<str>>,
        reason: GoneReason,
    },
    /// A user's first session has come to a room, or the last has left it. A
    /// session of nobody counts for itself.
    Presence {
        /// A [`Room::Named`].
        room: Room,
        /// The subject, or the id of a socket that has none.
        user: Arc<str>,
        change: PresenceChange,
    },
}

/// Why a session is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GoneReason {
    /// The client left the namespace.
    Client,
    /// The backend disconnected it.
    Backend,
    /// What it missed could not be had any more.
    Lost,
    /// The client did not come back in time.
    Expired,
}

impl GoneReason {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            GoneReason::Client => "client",
            GoneReason::Backend => "backend",
            GoneReason::Lost => "lost",
            GoneReason::Expired => "expired",
        }
    }
}

/// Why a connection ends its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ending {
    /// The client left the namespace.
    Client,
    /// The backend disconnected it.
    Backend,
    /// What it missed cannot be had any more.
    Lost,
}

impl From<Ending> for GoneReason {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Client => GoneReason::Client,
            Ending::Backend => GoneReason::Backend,
            Ending::Lost => GoneReason::Lost,
        }
    }
}

/// What became of a user in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PresenceChange {
    Joined,
    Left,
}

/// Who is in a room, as the session store knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Present {
    /// Sessions in the room.
    pub total: usize,
    /// Some of them, as many as were asked for.
    pub sockets: Vec<PresentSocket>,
}

/// A session in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresentSocket {
    pub socket: SocketId,
    pub subject: Option<Arc<str>>,
    pub state: PresentState,
}

/// Whether a session's client is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PresentState {
    Connected,
    /// The client is not connected, or its node is not alive; it may come back.
    Away,
}
