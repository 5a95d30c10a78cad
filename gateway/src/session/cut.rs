//! The cut: connect, join, recover and catch up are one act.
//!
//! 1. The socket is entered into its rooms, pending: what comes by way of them
//!    is held ([`Cut::hear`]).
//! 2. The adapter confirms that this node hears the rooms.
//! 3. Only then a position H is fixed, by the write of the session where there
//!    is one.
//! 4. What the client missed before H is read from the log and sent.
//! 5. What was held after H follows, and the socket is live ([`Cut::release`]).
//!
//! When more was held than may be, the log is read again from where the hold
//! began, up to a new H.

use std::cell::RefCell;
use std::sync::Arc;

use crate::adapter::{
    Adapter, Attached, Membership, NewSession, OperationId, ReadError, ReadLimit, RoomChange, SessionKey, Stays,
    TakenOver, Unavailable, WriteError,
};
use crate::message::{Epoch, Message, NamespaceRef, Offset, Position, Room, SocketId};
use crate::recovery::{Released, Stay, merge, mutated, ranges};
use crate::rooms::{Recipient, Router, Shard};

use super::close::Close;

/// A recipient that can be waited for.
pub(crate) trait Paced: Recipient {
    /// Resolves when it takes more.
    async fn ready(&self) -> Result<(), Gone>;

    /// Resolves when its worker has handed out everything up to here.
    async fn reached(&self, position: Position) -> Result<(), Gone>;
}

/// The connection has ended meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

/// Why a cut could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CutError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The client shows an offset beyond the log.
    #[error("the offset is ahead of the log")]
    Ahead,
    #[error("the connection has ended")]
    Gone,
}

impl CutError {
    /// How the connection ends after it.
    pub(crate) fn close(self) -> Close {
        match self {
            CutError::Write(WriteError::Fenced) => Close::Replaced,
            CutError::Read(ReadError::Trimmed | ReadError::TooMuch) | CutError::Ahead => Close::Lost,
            CutError::Write(WriteError::Full | WriteError::Unavailable(_))
            | CutError::Read(ReadError::Unavailable(_))
            // it has ended already, and its first reason stays
            | CutError::Gone => Close::Unavailable,
        }
    }
}

impl From<Unavailable> for CutError {
    fn from(unavailable: Unavailable) -> Self {
        CutError::Read(unavailable.into())
    }
}

impl From<Gone> for CutError {
    fn from(Gone: Gone) -> Self {
        CutError::Gone
    }
}

/// What a recovered client has to be sent.
#[derive(Debug)]
pub(crate) struct Missed {
    pub(crate) messages: Vec<Arc<Message>>,
    /// The cut: the messages are complete up to here.
    pub(crate) through: Position,
}

/// The session that a change of rooms is written to, and the operation that
/// asks for it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Writing {
    /// Where the namespace has recovery.
    pub(crate) key: Option<SessionKey>,
    pub(crate) operation: Option<OperationId>,
}

/// Where a cut takes place.
pub(crate) struct Cut<'a, R> {
    pub(crate) shard: &'a RefCell<Shard<R>>,
    pub(crate) router: &'a Router,
    /// Index of the worker that owns the shard.
    pub(crate) worker: usize,
    pub(crate) adapter: &'a dyn Adapter,
    pub(crate) namespace: &'a NamespaceRef,
    pub(crate) limit: ReadLimit,
}

impl<R: Paced> Cut<'_, R> {
    /// A new socket. Its rooms count from the position answered; `None` in a
    /// namespace without recovery.
    pub(crate) async fn open(
        &self,
        recipient: &R,
        rooms: &[Room],
        session: Option<NewSession>,
    ) -> Result<Option<Offset>, CutError> {
        let early = self.early_head().await?;
        self.hear(recipient, rooms).await?;
        let start = match session {
            Some(session) => Some(self.adapter.open_session(session).await?),
            None => None,
        };
        let from = early.or(start).map_or(Position::ZERO, |start| start.position);
        self.settle(recipient, rooms, from);
        recipient.feed().borrow_mut().replayed_all(from);
        Ok(start)
    }

    /// A socket that comes back; `from`: the client has everything up to here.
    /// It gets nothing more of the rooms that were `withdrawn` from it.
    pub(crate) async fn recover(
        &self,
        recipient: &R,
        key: SessionKey,
        taken: TakenOver,
        from: Position,
        withdrawn: &[Room],
    ) -> Result<Missed, CutError> {
        let early = self.early_head().await?;
        let (mut stays, socket) = (without(taken.stays, withdrawn), taken.socket);
        let mut rooms = present_rooms(&stays, socket);
        self.hear(recipient, &rooms).await?;
        let through = loop {
            match self.adapter.attach(key, stays.changes).await? {
                Attached::At(through) if through.epoch == taken.epoch => break through.position,
                // another epoch of the log began meanwhile: the client may try again
                Attached::At(_) => return Err(Unavailable.into()),
                Attached::Changed(now) => {
                    // rooms were changed for the client meanwhile: what was added must be heard first
                    stays = without(now, withdrawn);
                    let before = std::mem::replace(&mut rooms, present_rooms(&stays, socket));
                    let left: Vec<Room> = before.into_iter().filter(|room| !rooms.contains(room)).collect();
                    self.forget(recipient, &left);
                    self.hear(recipient, &rooms).await?;
                }
            }
        };
        let through = early.map_or(through, |early| early.position);
        if from > through {
            return Err(CutError::Ahead);
        }
        let messages = self.missed(&memberships(stays, socket), taken.epoch, from, through).await?;
        let through = if mutated!(CutAfterRead) { self.adapter.head().await?.position } else { through };
        self.settle(recipient, &rooms, through);
        Ok(Missed { messages, through })
    }

    /// Sends what was missed, as the recipient takes it.
    pub(crate) async fn replay(&self, recipient: &R, missed: Missed) -> Result<(), CutError> {
        for message in &missed.messages {
            recipient.ready().await?;
            let Some(id) = message.position() else { continue };
            recipient.send(message, id);
            recipient.feed().borrow_mut().replayed(id);
        }
        recipient.feed().borrow_mut().replayed_all(missed.through);
        Ok(())
    }

    /// Sends what was held; the recipient is live when this returns.
    pub(crate) async fn release(&self, recipient: &R) -> Result<(), CutError> {
        loop {
            let released = recipient.feed().borrow_mut().release();
            match released {
                Released::Live(messages) => {
                    for message in messages {
                        recipient.send(&message, message.position().unwrap_or_default());
                    }
                    return Ok(());
                }
                Released::Overflowed { from } => {
                    let through = self.adapter.head().await?;
                    if through.epoch != self.adapter.offset(from).epoch {
                        // what was held went with the log
                        return Err(ReadError::Trimmed.into());
                    }
                    let (epoch, through) = (through.epoch, through.position);
                    let memberships = present(recipient);
                    let messages = self.missed(&memberships, epoch, from, through).await?;
                    let rooms: Vec<Room> = memberships.into_iter().map(|stay| stay.room).collect();
                    self.settle(recipient, &rooms, through);
                    self.replay(recipient, Missed { messages, through }).await?;
                }
            }
        }
    }

    /// A live socket enters rooms; live in them when this returns. After an
    /// error the connection must end: whether it is in them is for the session
    /// to say, so nothing that was held may follow.
    pub(crate) async fn join(&self, recipient: &R, writing: Writing, rooms: Vec<Room>) -> Result<(), CutError> {
        let rooms: Vec<Room> =
            rooms.into_iter().filter(|room| recipient.feed().borrow().stay(room).is_none()).collect();
        if rooms.is_empty() {
            return self.done(writing).await;
        }
        let entered = self.enter(recipient, writing, &rooms).await;
        if let Err(error) = entered.map(|since| self.settle(recipient, &rooms, since)) {
            if mutated!(ReleaseInDoubt) {
                self.forget(recipient, &rooms);
                self.release(recipient).await?;
            }
            return Err(error);
        }
        self.release(recipient).await
    }

    /// Enters rooms, pending; answers from which position on they are to be
    /// settled.
    pub(super) async fn enter(&self, recipient: &R, writing: Writing, rooms: &[Room]) -> Result<Position, CutError> {
        let early = self.early_head().await?;
        self.hear(recipient, rooms).await?;
        let since = match writing.key {
            Some(key) => {
                let change = RoomChange { join: rooms.to_vec(), operation: writing.operation, ..RoomChange::default() };
                self.adapter.change_rooms(key, change).await?.position
            }
            None => Position::ZERO,
        };
        Ok(early.map_or(since, |early| early.position))
    }

    /// A live socket leaves rooms. What was published before is still its own;
    /// it has had it when this returns. After an error the connection must end:
    /// whether it is still in them is for the session to say.
    pub(crate) async fn leave(&self, recipient: &R, writing: Writing, rooms: &[Room]) -> Result<(), CutError> {
        let rooms: Vec<Room> =
            rooms.iter().filter(|room| recipient.feed().borrow().stay(room).is_some()).cloned().collect();
        if rooms.is_empty() {
            return self.done(writing).await;
        }
        if let Some(key) = writing.key {
            // until the end of the stay is known, what it decides about is held
            let stays = self.suspend(recipient, &rooms);
            let change = RoomChange { leave: rooms.clone(), operation: writing.operation, ..RoomChange::default() };
            let until = self.adapter.change_rooms(key, change).await?.position;
            for (room, since) in stays {
                self.settle(recipient, &[room], since);
            }
            self.shard.borrow_mut().bound(self.namespace.id, recipient, &rooms, until);
            self.release(recipient).await?;
            if !mutated!(LeaveAtOnce) {
                recipient.reached(until).await?;
            }
        }
        self.forget(recipient, &rooms);
        Ok(())
    }

    /// An operation that changes nothing is done as well.
    async fn done(&self, writing: Writing) -> Result<(), CutError> {
        if let (Some(key), Some(_)) = (writing.key, writing.operation) {
            let change = RoomChange { operation: writing.operation, ..RoomChange::default() };
            self.adapter.change_rooms(key, change).await?;
        }
        Ok(())
    }

    /// Makes rooms pending again; answers since when the recipient is in them.
    fn suspend(&self, recipient: &R, rooms: &[Room]) -> Vec<(Room, Position)> {
        let since = |room: &Room| Some((room.clone(), recipient.feed().borrow().stay(room)?.since));
        let stays = rooms.iter().filter_map(since).collect();
        if !mutated!(LeaveWithoutHold) {
            self.settle(recipient, rooms, Position::NEVER);
        }
        stays
    }

    /// Enters rooms pending, and waits until they are heard.
    async fn hear(&self, recipient: &R, rooms: &[Room]) -> Result<(), Unavailable> {
        let first = self.shard.borrow_mut().enter(self.namespace.id, recipient, rooms, Position::NEVER);
        self.router.add(self.worker, self.namespace.id, &first);
        self.adapter.subscribe(self.namespace, rooms).await
    }

    pub(super) fn settle(&self, recipient: &R, rooms: &[Room], since: Position) {
        self.shard.borrow_mut().settle(self.namespace.id, recipient, rooms, since);
    }

    /// Takes the recipient out of rooms, at this worker only.
    pub(crate) fn forget(&self, recipient: &R, rooms: &[Room]) {
        let last = self.shard.borrow_mut().leave(self.namespace.id, recipient, rooms);
        let unheard = self.router.remove(self.worker, self.namespace.id, last);
        if !unheard.is_empty() {
            self.adapter.unsubscribe(self.namespace, &unheard);
        }
    }

    /// Takes the recipient out of all rooms, at this worker only.
    pub(crate) fn forget_all(&self, recipient: &R) {
        let rooms: Vec<Room> = recipient.feed().borrow().stays().iter().map(|stay| stay.room.clone()).collect();
        self.forget(recipient, &rooms);
    }

    async fn missed(
        &self,
        memberships: &[Membership],
        epoch: Epoch,
        from: Position,
        through: Position,
    ) -> Result<Vec<Arc<Message>>, CutError> {
        let ranges = ranges(memberships, from, through);
        let logs = self.adapter.read(self.namespace.id, epoch, &ranges, self.limit).await?;
        Ok(merge(logs, memberships))
    }

    /// The mistake of fixing the cut before the rooms are heard.
    async fn early_head(&self) -> Result<Option<Offset>, Unavailable> {
        if mutated!(ReadBeforeConfirmation) { self.adapter.head().await.map(Some) } else { Ok(None) }
    }
}

fn present<R: Recipient>(recipient: &R) -> Vec<Membership> {
    let feed = recipient.feed().borrow();
    let stay = |stay: &Stay| Membership {
        room: stay.room.clone(),
        since: stay.since,
        until: (stay.until != Position::NEVER).then_some(stay.until),
    };
    feed.stays().iter().map(stay).collect()
}

/// The stays in other rooms than these.
fn without(mut stays: Stays, withdrawn: &[Room]) -> Stays {
    stays.memberships.retain(|stay| !withdrawn.contains(&stay.room));
    stays
}

/// All stays of a session, with the implicit ones.
fn memberships(stays: Stays, socket: SocketId) -> Vec<Membership> {
    let implicit = [Room::All, Room::Socket(socket)];
    let implicit = implicit.into_iter().map(|room| Membership { room, since: stays.start, until: None });
    implicit.chain(stays.memberships).collect()
}

/// The rooms that a session is in now.
fn present_rooms(stays: &Stays, socket: SocketId) -> Vec<Room> {
    let present = stays.memberships.iter().filter(|stay| stay.until.is_none());
    [Room::All, Room::Socket(socket)].into_iter().chain(present.map(|stay| stay.room.clone())).collect()
}

/// Up to where the client has everything: the latest of what is known. `None`
/// when nothing is known of the present epoch.
pub(crate) fn resume_from(taken: &TakenOver, offset: Option<Offset>) -> Option<Position> {
    let (believed, any_epoch) = (!mutated!(IgnoreOffset), mutated!(IgnoreEpoch));
    let offset = offset.filter(|offset| believed && (any_epoch || offset.epoch == taken.epoch));
    taken.confirmed.max(offset.map(|offset| offset.position)).map(|known| known.max(taken.stays.start))
}
