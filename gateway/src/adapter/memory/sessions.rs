//! Sessions that can be recovered.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;

use crate::adapter::{
    Claim, Membership, NewSession, Refresh, RoomChange, SessionKey, TakeOverError, TakenOver, WriteError,
};
use crate::message::{Epoch, NamespaceId, Offset, Position, PrivateId, SocketId};

#[derive(Debug)]
pub(super) struct Sessions {
    records: HashMap<PrivateId, Record, foldhash::fast::RandomState>,
    /// When to look whether a session has expired: as its time to live is the
    /// same for all, these are in order.
    due: VecDeque<(u64, PrivateId)>,
    ttl_ms: u64,
    /// 0: unlimited.
    max: usize,
}

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
}

impl Sessions {
    pub(super) fn new(ttl: Duration, max: usize) -> Self {
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        Sessions { records: HashMap::default(), due: VecDeque::new(), ttl_ms, max }
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
        };
        self.records.insert(session.pid, record);
        self.due.push_back((expires, session.pid));
        Ok(())
    }

    pub(super) fn take_over(&mut self, claim: &Claim, epoch: Epoch, now: u64) -> Result<TakenOver, TakeOverError> {
        let record =
            self.records.get_mut(&claim.pid).filter(|record| record.expires >= now).ok_or(TakeOverError::Unknown)?;
        if record.namespace != claim.namespace || record.subject != claim.subject {
            return Err(TakeOverError::Foreign);
        }
        record.generation += 1;
        record.expires = now.saturating_add(self.ttl_ms);
        Ok(TakenOver {
            socket: record.socket,
            generation: record.generation,
            start: Offset { epoch, position: record.start },
            confirmed: Offset { epoch, position: record.confirmed },
            memberships: record.rooms.clone(),
        })
    }

    pub(super) fn change_rooms(
        &mut self,
        key: SessionKey,
        change: RoomChange,
        head: Position,
        now: u64,
    ) -> Result<(), WriteError> {
        let oldest = Position::new(now.saturating_sub(self.ttl_ms), 0);
        let record = self.owned(key).ok_or(WriteError::Fenced)?;
        record.rooms.retain(|stay| stay.until.is_none_or(|until| until >= oldest));
        for (room, until) in change.leave {
            let present = record.rooms.iter_mut().find(|stay| stay.room == room && stay.until.is_none());
            if let Some(stay) = present {
                stay.until = Some(until);
            }
        }
        for room in change.join {
            record.rooms.push(Membership { room, since: head, until: None });
        }
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
            self.records.remove(&key.pid);
        }
    }

    fn owned(&mut self, key: SessionKey) -> Option<&mut Record> {
        self.records.get_mut(&key.pid).filter(|record| record.generation == key.generation)
    }

    pub(super) fn expire(&mut self, now: u64) {
        while let Some((_, pid)) = self.due.pop_front_if(|(at, _)| *at < now) {
            match self.records.get(&pid).map(|record| record.expires) {
                Some(expires) if expires < now => {
                    self.records.remove(&pid);
                }
                Some(expires) => self.due.push_back((expires, pid)),
                None => {}
            }
        }
    }
}
