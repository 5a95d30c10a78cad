//! Sessions that can be recovered.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::{HashMap, HashSet};

use crate::adapter::{
    Action, Attached, Claim, Ending, GoneReason, Membership, NewSession, Operation, Present, PresentSocket,
    PresentState, Refresh, RoomChange, SessionKey, Stays, TakeOverError, TakenOver, Watch, WriteError,
};
use crate::message::{Epoch, NamespaceId, Offset, Position, PrivateId, Room, SocketId};

use super::outbox::{Outbox, Subject};

#[derive(Debug)]
pub(super) struct Sessions {
    records: HashMap<PrivateId, Record, foldhash::fast::RandomState>,
    /// When to look whether a session has expired: as its time to live is the
    /// same for all, these are in order.
    due: VecDeque<(u64, PrivateId)>,
    ttl_ms: u64,
    /// 0: unlimited.
    max: usize,
    /// Sessions whose client is away.
    absent: HashSet<PrivateId, foldhash::fast::RandomState>,
    /// Operations that are being carried out on connected clients.
    ongoing: Vec<Ongoing>,
    next_operation: u64,
    /// What is to be told of them.
    pub(super) outbox: Outbox,
}

/// An operation that also concerns clients that are away.
#[derive(Debug)]
struct Ongoing {
    id: OperationId,
    operation: Operation,
    /// Sessions that it has changed.
    done: HashSet<PrivateId>,
}

/// Names an operation between its beginning and its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OperationId(u64);

#[derive(Debug)]
struct Record {
    socket: SocketId,
    namespace: NamespaceId,
    subject: Option<Arc<str>>,
    identity: Option<Arc<str>>,
    watched: Watch,
    start: Position,
    confirmed: Position,
    generation: u64,
    expires: u64,
    rooms: Vec<Membership>,
    /// Counts the changes that were made while the client was away.
    changes: u64,
}

impl Sessions {
    pub(super) fn new(ttl: Duration, max: usize, epoch: Epoch) -> Self {
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        Sessions {
            records: HashMap::default(),
            due: VecDeque::new(),
            ttl_ms,
            max,
            absent: HashSet::default(),
            ongoing: Vec::new(),
            next_operation: 0,
            outbox: Outbox::new(epoch),
        }
    }

    pub(super) fn open(&mut self, session: NewSession, head: Position, now: u64) -> Result<(), WriteError> {
        if self.max > 0 && self.records.len() >= self.max {
            return Err(WriteError::Full);
        }
        let expires = now.saturating_add(self.ttl_ms);
        let mut record = Record {
            socket: session.socket,
            namespace: session.namespace,
            subject: session.subject,
            identity: session.identity,
            watched: session.watched,
            start: head,
            confirmed: head,
            generation: NewSession::GENERATION,
            expires,
            rooms: Vec::with_capacity(session.rooms.len()),
            changes: 0,
        };
        for room in &session.rooms {
            record.join(room, head, &mut self.outbox, now);
        }
        self.records.insert(session.pid, record);
        self.due.push_back((expires, session.pid));
        Ok(())
    }

    pub(super) fn take_over(
        &mut self,
        claim: &Claim,
        epoch: Epoch,
        head: Position,
        now: u64,
    ) -> Result<TakenOver, TakeOverError> {
        if self.absent.contains(&claim.pid) {
            self.change_absent(&[claim.pid], head, now);
        }
        let record =
            self.records.get_mut(&claim.pid).filter(|record| record.expires >= now).ok_or(TakeOverError::Unknown)?;
        if record.namespace != claim.namespace || !claim.subject.may_take(record.subject.as_deref()) {
            return Err(TakeOverError::Foreign);
        }
        self.absent.insert(claim.pid);
        record.generation += 1;
        record.expires = now.saturating_add(self.ttl_ms);
        Ok(TakenOver {
            socket: record.socket,
            subject: record.subject.clone(),
            identity: record.identity.clone(),
            watched: record.watched,
            generation: record.generation,
            epoch,
            confirmed: Some(record.confirmed),
            stays: record.stays(),
        })
    }

    pub(super) fn attach(
        &mut self,
        key: SessionKey,
        changes: u64,
        epoch: Epoch,
        head: Position,
        now: u64,
    ) -> Result<Attached, WriteError> {
        self.owned(key).ok_or(WriteError::Fenced)?;
        self.change_absent(&[key.pid], head, now);
        let record = self.owned(key).ok_or(WriteError::Fenced)?;
        if record.changes != changes {
            return Ok(Attached::Changed(record.stays()));
        }
        self.absent.remove(&key.pid);
        Ok(Attached::At(Offset { epoch, position: head }))
    }

    pub(super) fn change_rooms(
        &mut self,
        key: SessionKey,
        change: RoomChange,
        head: Position,
        now: u64,
    ) -> Result<(), WriteError> {
        let (record, outbox) = self.owned_with_outbox(key).ok_or(WriteError::Fenced)?;
        if change.identity.is_some() {
            record.identity = change.identity;
        }
        // what the client is known to have is not read again, whatever the clock says
        let confirmed = record.confirmed;
        record.rooms.retain(|stay| stay.until.is_none_or(|until| until > confirmed));
        change.leave.iter().for_each(|room| record.leave(room, head, outbox, now));
        change.join.iter().for_each(|room| record.join(room, head, outbox, now));
        Ok(())
    }

    /// False when the session has another owner or has ended.
    pub(super) fn refresh(&mut self, refresh: &Refresh, now: u64) -> bool {
        let expires = now.saturating_add(self.ttl_ms);
        let Some(record) = self.owned(refresh.key) else { return false };
        record.confirmed = record.confirmed.max(refresh.confirmed);
        record.expires = expires;
        true
    }

    pub(super) fn end(&mut self, key: SessionKey, ending: Ending, now: u64) {
        if self.owned(key).is_some() {
            self.remove(key.pid, ending.into(), now);
        }
    }

    fn remove(&mut self, pid: PrivateId, reason: GoneReason, now: u64) {
        self.absent.remove(&pid);
        if let Some(record) = self.records.remove(&pid) {
            for room in record.present_rooms() {
                self.outbox.left(record.told_of(), room, now);
            }
            self.outbox.gone(record.told_of(), reason, now);
        }
    }

    /// The client is away; its session stays until it expires.
    pub(super) fn detach(&mut self, refresh: &Refresh, now: u64) {
        if self.refresh(refresh, now) {
            self.absent.insert(refresh.key.pid);
        }
    }

    /// Changes the sessions of clients that are away, and of those that come
    /// back until [`Self::finish`].
    pub(super) fn begin(&mut self, operation: Operation, head: Position, now: u64) -> OperationId {
        let id = OperationId(self.next_operation);
        self.next_operation += 1;
        self.ongoing.push(Ongoing { id, operation, done: HashSet::new() });
        self.change_all_absent(head, now);
        id
    }

    /// Also changes the sessions of clients that have gone meanwhile; answers
    /// how many sessions of absent clients were changed.
    pub(super) fn finish(&mut self, id: OperationId, head: Position, now: u64) -> usize {
        self.change_all_absent(head, now);
        let Some(index) = self.ongoing.iter().position(|ongoing| ongoing.id == id) else { return 0 };
        self.ongoing.swap_remove(index).done.len()
    }

    fn change_all_absent(&mut self, head: Position, now: u64) {
        let absent: Vec<PrivateId> = self.absent.iter().copied().collect();
        self.change_absent(&absent, head, now);
    }

    /// Applies the ongoing operations to these, each once.
    fn change_absent(&mut self, pids: &[PrivateId], head: Position, now: u64) {
        let mut ongoing = std::mem::take(&mut self.ongoing);
        for Ongoing { operation, done, .. } in &mut ongoing {
            for pid in pids {
                let concerned = self.records.get(pid).is_some_and(|record| record.is_in_any(operation));
                if concerned && done.insert(*pid) {
                    self.change(*pid, &operation.action, head, now);
                }
            }
        }
        self.ongoing = ongoing;
    }

    fn change(&mut self, pid: PrivateId, action: &Action, head: Position, now: u64) {
        let outbox = &mut self.outbox;
        let Some(record) = self.records.get_mut(&pid) else { return };
        record.changes += 1;
        match action {
            Action::Join(rooms) => rooms.iter().for_each(|room| record.join(room, head, outbox, now)),
            Action::Leave(rooms) => rooms.iter().for_each(|room| record.leave(room, head, outbox, now)),
            Action::Disconnect { .. } => self.remove(pid, GoneReason::Backend, now),
            Action::List | Action::Count | Action::Revoke(_) => {}
        }
    }

    fn owned(&mut self, key: SessionKey) -> Option<&mut Record> {
        self.owned_with_outbox(key).map(|(record, _)| record)
    }

    fn owned_with_outbox(&mut self, key: SessionKey) -> Option<(&mut Record, &mut Outbox)> {
        let record = self.records.get_mut(&key.pid).filter(|record| record.generation == key.generation)?;
        Some((record, &mut self.outbox))
    }

    /// Who is in a room: all sessions are looked at.
    pub(super) fn presence(&self, namespace: NamespaceId, room: &Room, most: usize) -> Present {
        let mut present = Present::default();
        for (pid, record) in &self.records {
            if record.namespace != namespace || !record.is_in(room) {
                continue;
            }
            present.total += 1;
            if present.sockets.len() < most {
                let state = if self.absent.contains(pid) { PresentState::Away } else { PresentState::Connected };
                present.sockets.push(PresentSocket { socket: record.socket, subject: record.subject.clone(), state });
            }
        }
        present
    }

    /// Nothing is kept.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
            && self.due.is_empty()
            && self.absent.is_empty()
            && self.ongoing.is_empty()
            && self.outbox.is_empty()
    }

    pub(super) fn expire(&mut self, now: u64) {
        while let Some((_, pid)) = self.due.pop_front_if(|(at, _)| *at < now) {
            match self.records.get(&pid).map(|record| record.expires) {
                Some(expires) if expires < now => self.remove(pid, GoneReason::Expired, now),
                Some(expires) => self.due.push_back((expires, pid)),
                None => {}
            }
        }
    }
}

impl Record {
    fn stays(&self) -> Stays {
        Stays { start: self.start, memberships: self.rooms.clone(), changes: self.changes }
    }

    fn told_of(&self) -> Subject<'_> {
        Subject {
            socket: self.socket,
            namespace: self.namespace,
            subject: self.subject.as_ref(),
            identity: self.identity.as_ref(),
            watched: self.watched,
        }
    }

    fn present_rooms(&self) -> impl Iterator<Item = &Room> {
        self.rooms.iter().filter(|stay| stay.until.is_none()).map(|stay| &stay.room)
    }

    fn join(&mut self, room: &Room, since: Position, outbox: &mut Outbox, now: u64) {
        if !self.present_rooms().any(|present| present == room) {
            self.rooms.push(Membership { room: room.clone(), since, until: None });
            outbox.entered(self.told_of(), room, now);
        }
    }

    fn leave(&mut self, room: &Room, until: Position, outbox: &mut Outbox, now: u64) {
        let present = self.rooms.iter_mut().find(|stay| stay.room == *room && stay.until.is_none());
        if let Some(stay) = present {
            stay.until = Some(until);
            outbox.left(self.told_of(), room, now);
        }
    }

    fn is_in(&self, room: &Room) -> bool {
        match room {
            Room::All => true,
            Room::Socket(socket) => *socket == self.socket,
            Room::User(_) | Room::Named(_) => self.present_rooms().any(|present| present == room),
        }
    }

    fn is_in_any(&self, operation: &Operation) -> bool {
        self.namespace == operation.namespace.id && operation.rooms.iter().any(|room| self.is_in(room))
    }
}
