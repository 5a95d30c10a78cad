//! Sessions that can be recovered.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::{HashMap, HashSet};

use crate::adapter::{
    Action, Attached, Claim, Membership, NewSession, Operation, Refresh, RoomChange, SessionKey, Stays, TakeOverError,
    TakenOver, WriteError,
};
use crate::message::{Epoch, NamespaceId, Offset, Position, PrivateId, Room, SocketId};

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
    start: Position,
    confirmed: Position,
    generation: u64,
    expires: u64,
    rooms: Vec<Membership>,
    /// Counts the changes that were made while the client was away.
    changes: u64,
}

impl Sessions {
    pub(super) fn new(ttl: Duration, max: usize) -> Self {
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        Sessions {
            records: HashMap::default(),
            due: VecDeque::new(),
            ttl_ms,
            max,
            absent: HashSet::default(),
            ongoing: Vec::new(),
            next_operation: 0,
        }
    }

    pub(super) fn open(&mut self, session: NewSession, head: Position, now: u64) -> Result<(), WriteError> {
        if self.max > 0 && self.records.len() >= self.max {
            return Err(WriteError::Full);
        }
        let stay = |room| Membership { room, since: head, until: None };
        let expires = now.saturating_add(self.ttl_ms);
        let record = Record {
            socket: session.socket,
            namespace: session.namespace,
            subject: session.subject,
            start: head,
            confirmed: head,
            generation: NewSession::GENERATION,
            expires,
            rooms: session.rooms.into_iter().map(stay).collect(),
            changes: 0,
        };
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
            self.change_absent(&[claim.pid], head);
        }
        let record =
            self.records.get_mut(&claim.pid).filter(|record| record.expires >= now).ok_or(TakeOverError::Unknown)?;
        if record.namespace != claim.namespace || record.subject != claim.subject {
            return Err(TakeOverError::Foreign);
        }
        self.absent.insert(claim.pid);
        record.generation += 1;
        record.expires = now.saturating_add(self.ttl_ms);
        Ok(TakenOver {
            socket: record.socket,
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
    ) -> Result<Attached, WriteError> {
        self.owned(key).ok_or(WriteError::Fenced)?;
        self.change_absent(&[key.pid], head);
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
    ) -> Result<(), WriteError> {
        let record = self.owned(key).ok_or(WriteError::Fenced)?;
        // what the client is known to have is not read again, whatever the clock says
        let confirmed = record.confirmed;
        record.rooms.retain(|stay| stay.until.is_none_or(|until| until > confirmed));
        change.leave.iter().for_each(|room| record.leave(room, head));
        change.join.iter().for_each(|room| record.join(room, head));
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

    pub(super) fn end(&mut self, key: SessionKey) {
        if self.owned(key).is_some() {
            self.remove(key.pid);
        }
    }

    fn remove(&mut self, pid: PrivateId) {
        self.records.remove(&pid);
        self.absent.remove(&pid);
    }

    /// The client is away; its session stays until it expires.
    pub(super) fn detach(&mut self, refresh: &Refresh, now: u64) {
        if self.refresh(refresh, now) {
            self.absent.insert(refresh.key.pid);
        }
    }

    /// Changes the sessions of clients that are away, and of those that come
    /// back until [`Self::finish`].
    pub(super) fn begin(&mut self, operation: Operation, head: Position) -> OperationId {
        let id = OperationId(self.next_operation);
        self.next_operation += 1;
        self.ongoing.push(Ongoing { id, operation, done: HashSet::new() });
        self.change_all_absent(head);
        id
    }

    /// Also changes the sessions of clients that have gone meanwhile; answers
    /// how many sessions of absent clients were changed.
    pub(super) fn finish(&mut self, id: OperationId, head: Position) -> usize {
        self.change_all_absent(head);
        let Some(index) = self.ongoing.iter().position(|ongoing| ongoing.id == id) else { return 0 };
        self.ongoing.swap_remove(index).done.len()
    }

    fn change_all_absent(&mut self, head: Position) {
        let absent: Vec<PrivateId> = self.absent.iter().copied().collect();
        self.change_absent(&absent, head);
    }

    /// Applies the ongoing operations to these, each once.
    fn change_absent(&mut self, pids: &[PrivateId], head: Position) {
        let mut ongoing = std::mem::take(&mut self.ongoing);
        for Ongoing { operation, done, .. } in &mut ongoing {
            for pid in pids {
                let concerned = self.records.get(pid).is_some_and(|record| record.is_in_any(operation));
                if concerned && done.insert(*pid) {
                    self.change(*pid, &operation.action, head);
                }
            }
        }
        self.ongoing = ongoing;
    }

    fn change(&mut self, pid: PrivateId, action: &Action, head: Position) {
        let Some(record) = self.records.get_mut(&pid) else { return };
        record.changes += 1;
        match action {
            Action::Join(rooms) => rooms.iter().for_each(|room| record.join(room, head)),
            Action::Leave(rooms) => rooms.iter().for_each(|room| record.leave(room, head)),
            Action::Disconnect { .. } => self.remove(pid),
            Action::List | Action::Count => {}
        }
    }

    fn owned(&mut self, key: SessionKey) -> Option<&mut Record> {
        self.records.get_mut(&key.pid).filter(|record| record.generation == key.generation)
    }

    /// Nothing is kept.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.due.is_empty() && self.absent.is_empty() && self.ongoing.is_empty()
    }

    pub(super) fn expire(&mut self, now: u64) {
        while let Some((_, pid)) = self.due.pop_front_if(|(at, _)| *at < now) {
            match self.records.get(&pid).map(|record| record.expires) {
                Some(expires) if expires < now => self.remove(pid),
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

    fn join(&mut self, room: &Room, since: Position) {
        if !self.rooms.iter().any(|stay| stay.room == *room && stay.until.is_none()) {
            self.rooms.push(Membership { room: room.clone(), since, until: None });
        }
    }

    fn leave(&mut self, room: &Room, until: Position) {
        let present = self.rooms.iter_mut().find(|stay| stay.room == *room && stay.until.is_none());
        if let Some(stay) = present {
            stay.until = Some(until);
        }
    }

    fn is_in_any(&self, operation: &Operation) -> bool {
        self.namespace == operation.namespace.id
            && operation.rooms.iter().any(|room| match room {
                Room::All => true,
                Room::Socket(socket) => *socket == self.socket,
                Room::User(_) | Room::Named(_) => {
                    self.rooms.iter().any(|stay| stay.room == *room && stay.until.is_none())
                }
            })
    }
}
