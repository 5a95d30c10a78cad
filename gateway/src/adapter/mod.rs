//! What carries messages between workers and nodes and keeps what recovery
//! needs: the room bus, the recovery log and the session store.
//!
//! The session and the publish API call it; it hands messages to the node's
//! workers through [`Node`]. [`memory::MemoryAdapter`] serves one node;
//! [`redis::RedisAdapter`] keeps the same promises for many. One conformance
//! kit (`conformance`) runs against each.
//!
//! Invariants, which the recovery of a client rests on:
//! - A logged publish is in the log of each of its rooms before it is answered.
//! - Order of ids, order of the log and order in which [`Node::deliver`] is
//!   called are one.
//! - What is published to a room after [`Adapter::subscribe`] returned for it
//!   reaches [`Node::deliver`].
//! - The end of a watched session is told once ([`Adapter::notices`]): not for
//!   a take-over, and whoever ended it.
//! - A read issued after a position was returned by [`Adapter::head`],
//!   [`Adapter::open_session`], [`Adapter::attach`] or [`Adapter::change_rooms`] is complete up to it.

#[cfg(test)]
pub(crate) mod conformance;
mod fleet;
pub mod inspect;
pub mod memory;
mod notice;
pub mod redis;
mod revocation;
mod session;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use inspect::{Inquiry, Inspected};

use crate::message::{Acks, Draft, Epoch, Message, NamespaceId, NamespaceRef, Offset, Position, Room, SocketId, Token};

pub use fleet::{Fleet, Load, NodeInfo, Taken};
pub use notice::{
    Ending, GoneReason, Notice, NoticeId, NoticeOf, PresenceChange, Present, PresentSocket, PresentState, Watch,
};
pub use revocation::{Revocation, Revoked, TokenFacts};
pub use session::{
    Attached, Attention, Claim, Claimant, Membership, NewSession, Refresh, RoomChange, SessionKey, Stays,
    TakeOverError, TakenOver, WriteError,
};

/// A publish that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Where it stands in the log; `None` when it is not logged.
    pub offset: Option<Offset>,
    /// An earlier publish of the same key is answered; nothing was sent now.
    pub duplicate: bool,
}

/// Why a publish was not accepted, or is not known to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    #[error("the idempotency key was used with another body")]
    IdempotencyConflict,
    /// Nothing was sent.
    #[error("the message bus is unavailable")]
    Unavailable,
    /// It may have been sent.
    #[error("the outcome is unknown")]
    OutcomeUnknown,
}

/// The store cannot be reached now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the adapter is unavailable")]
pub struct Unavailable;

/// The part of a room's log after `after`, up to and with `through`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    pub room: Room,
    pub after: Position,
    pub through: Position,
}

/// Most messages and bytes that one recovery may read.
#[derive(Debug, Clone, Copy)]
pub struct ReadLimit {
    pub messages: usize,
    pub bytes: usize,
}

/// Why a part of the log cannot be shown to be complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("part of it is no longer in the log")]
    Trimmed,
    #[error("more was missed than is replayed")]
    TooMuch,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// A change or a question that concerns the sockets of some rooms, on
/// whichever node they are.
#[derive(Debug, Clone)]
pub struct Operation {
    pub namespace: NamespaceRef,
    /// Sockets in any of these.
    pub rooms: Vec<Room>,
    pub action: Action,
    /// By which the session store knows it, where it does.
    pub id: Option<OperationId>,
}

/// Names an operation, for the sessions that it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OperationId(pub Token);

/// What an [`Operation`] does to each socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Join(Vec<Room>),
    Leave(Vec<Room>),
    /// Leaves the namespace, or with `close` the whole connection. Ends the
    /// session: it cannot be recovered.
    Disconnect {
        close: bool,
    },
    List,
    Count,
    /// Their tokens are revoked; each socket's own is judged by it.
    Revoke(Revocation),
}

/// The answer to an [`Operation`].
#[derive(Debug, Default)]
pub struct Report {
    /// Sockets that it concerned.
    pub count: usize,
    /// Filled by [`Action::List`].
    pub sockets: Vec<SocketInfo>,
    /// Somebody did not answer in time: there may be more.
    pub partial: bool,
}

/// A socket, as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketInfo {
    pub id: SocketId,
    /// Without [`Room::All`] and the socket's own.
    pub rooms: Vec<Room>,
}

/// What an adapter calls on its node.
#[async_trait]
pub trait Node: Send + Sync + 'static {
    /// Hands a message to the workers it concerns. Called in the one order,
    /// never concurrently; [`Node::announce`] follows the last of several.
    fn deliver(&self, message: Arc<Message>);

    /// Wakes the workers for what was delivered.
    fn announce(&self);

    /// Tells every worker that all up to `position` has been delivered.
    fn tick(&self, position: Position);

    /// Tells every worker that all that was published before this time has
    /// been delivered: how late that is shows how late messages are. Once a
    /// second, while all is well.
    fn canary(&self, _sent: Instant) {}

    /// Whether every worker takes more; while not, `deliver` waits for
    /// [`Node::space`].
    fn has_space(&self) -> bool;

    /// Resolves once [`Node::has_space`] may be true again.
    async fn space(&self);

    /// Whether the room has a member on this node.
    fn is_wanted(&self, namespace: NamespaceId, room: &Room) -> bool;

    /// What was missed of these rooms cannot be had any more: the connections
    /// of their members end.
    fn lost(&self, namespace: NamespaceId, rooms: Vec<Room>);

    /// The store may have lost sessions: all are refreshed soon.
    fn refresh(&self);

    /// What clients were sent cannot be put into one order with what comes:
    /// all connections end, and their sessions. Resolves when nothing more is
    /// sent to them.
    async fn begin_anew(&self);

    /// Closes the connection that holds this socket under an older generation.
    fn fence(&self, namespace: NamespaceId, socket: SocketId, generation: u64);

    /// Carries an operation out on this node's own sockets.
    async fn operate(&self, operation: Operation) -> Report;

    /// Answers for this node; `None` where nobody does.
    async fn inspect(&self, _inquiry: Inquiry) -> Option<Inspected> {
        None
    }
}

/// Sets that others keep, which conditions ask for members.
#[async_trait]
pub trait Sets: Send + Sync + 'static {
    /// Whether the set of this key has the member; one that does not exist has
    /// none.
    async fn has_member(&self, key: &str, member: &str) -> Result<bool, Unavailable>;
}

/// Room bus, recovery log and session store. See the module's invariants.
#[async_trait]
pub trait Adapter: Send + Sync + 'static {
    /// Accepts a batch in its order; one answer each. Recoverable ones
    /// ([`Draft::is_recoverable`]) are logged before they are answered.
    async fn publish(&self, batch: Vec<Draft>) -> Vec<Result<Published, PublishError>>;

    /// Sends an event to be acknowledged and waits for the answers, at most
    /// `timeout`. It is not logged.
    async fn publish_with_ack(&self, draft: Draft, timeout: Duration) -> Result<Acks, PublishError>;

    /// Resolves when this node hears these rooms. Idempotent.
    async fn subscribe(&self, namespace: &NamespaceRef, rooms: &[Room]) -> Result<(), Unavailable>;

    /// This node has no more members in these rooms.
    fn unsubscribe(&self, namespace: &NamespaceRef, rooms: &[Room]);

    /// The offset of a position of the present epoch.
    fn offset(&self, position: Position) -> Offset;

    /// The position of the last message.
    async fn head(&self) -> Result<Offset, Unavailable>;

    /// Each range's messages, in order. The positions are of `epoch`: of another
    /// epoch's log nothing can be shown to be complete.
    async fn read(
        &self,
        namespace: NamespaceId,
        epoch: Epoch,
        ranges: &[Range],
        limit: ReadLimit,
    ) -> Result<Vec<Vec<Arc<Message>>>, ReadError>;

    /// The last `most` messages of a range that are still in the log, in order:
    /// for who can do without the others.
    async fn recent(
        &self,
        namespace: NamespaceId,
        range: &Range,
        most: usize,
    ) -> Result<Vec<Arc<Message>>, Unavailable>;

    /// Writes a new session; its rooms count from the position returned.
    async fn open_session(&self, session: NewSession) -> Result<Offset, WriteError>;

    /// Writes a session that was lost while its client stayed. It can be
    /// recovered once more of what its client has is known. No change of its
    /// rooms may be under way.
    async fn restore_session(&self, key: SessionKey, session: NewSession) -> Result<(), WriteError>;

    /// Makes this connection the owner of an existing session and closes the
    /// earlier one. Until [`Adapter::attach`] its client counts as away.
    async fn take_over(&self, claim: Claim) -> Result<TakenOver, TakeOverError>;

    /// This node hears the rooms of a session that it has taken over, as it
    /// knows them by `changes`: fixes the position of the cut. From here on
    /// operations are for the owner to carry out.
    async fn attach(&self, key: SessionKey, changes: u64) -> Result<Attached, WriteError>;

    /// Adds and removes rooms: those added count from the position returned,
    /// those removed up to it. After a removal [`Node::tick`] comes to that
    /// position soon, however quiet it is.
    async fn change_rooms(&self, key: SessionKey, change: RoomChange) -> Result<Offset, WriteError>;

    /// Keeps sessions alive; answers those that need attention.
    async fn refresh(&self, batch: Vec<Refresh>) -> Result<Vec<(Refresh, Attention)>, Unavailable>;

    /// The connection has ended; its session stays until it expires. A last
    /// refresh of who still owns it.
    async fn detach(&self, refresh: Refresh) -> Result<(), Unavailable>;

    /// Ends a session: it cannot be recovered after this returned.
    async fn end_session(&self, key: SessionKey, ending: Ending) -> Result<(), Unavailable>;

    /// Carries an operation out on every node, and changes the sessions of
    /// clients that are away: one that comes back finds it done.
    async fn operate(&self, operation: Operation) -> Result<Report, Unavailable>;

    /// Asks every node; those that do not answer within some 2 s are missing.
    async fn inspect(&self, inquiry: Inquiry) -> Result<Vec<Inspected>, Unavailable>;

    /// Resolves when there is something to be told of watched sessions, which
    /// this node is to carry out: it is leased for half a minute, then another
    /// node is asked to. Dropped, what it may have taken comes again. The
    /// changes of one user in one room come one by one, each when the one
    /// before was settled.
    async fn notices(&self) -> Vec<Notice>;

    /// These were carried out, or are given up. What cannot be settled now
    /// comes again.
    async fn settle(&self, done: &[NoticeId]);

    /// Who is in a room, with at most `most` sockets. Nobody in a namespace
    /// without recovery.
    async fn presence(&self, namespace: &NamespaceRef, room: &Room, most: usize) -> Result<Present, Unavailable>;

    /// Keeps a revocation, and then has every node carry it out
    /// ([`Action::Revoke`]); clients that are away are judged when they come
    /// back. Of two for the same tokens the wider stays.
    async fn revoke(&self, revocation: Revocation) -> Result<Report, Unavailable>;

    /// Whether a token is revoked. One round trip at most.
    async fn is_revoked(&self, namespace: &NamespaceRef, token: &TokenFacts<'_>) -> Result<bool, Unavailable>;

    /// Whether publishes are accepted.
    fn is_ready(&self) -> bool;

    /// The adapter's own upkeep (ticks, expiry), until `stop`.
    async fn run(&self, stop: CancellationToken);
}
