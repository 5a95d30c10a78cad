//! What must have happened, told without the code under test: the order in
//! which the adapter handed messages out, the rooms of each session as the
//! adapter decided them, and what each client received.

use std::collections::BTreeMap;

use rand::RngExt;
use rand::rngs::SmallRng;

use crate::adapter::{Membership, NewSession, RoomChange};
use crate::message::{Message, Position, PrivateId, Room, SocketId};

/// A logged message.
#[derive(Debug)]
pub(super) struct Entry {
    id: Position,
    rooms: Vec<Room>,
    except: Vec<Room>,
}

/// What one session was promised and given.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) socket: SocketId,
    pub(super) start: Position,
    stays: Vec<Membership>,
    /// By the client, over all its connections.
    pub(super) received: Vec<Position>,
    /// Positions that the client or its session held, and how much it had
    /// received then.
    claims: Vec<(Position, usize)>,
    ended: bool,
    expires: u64,
    /// It was past its time to live once since it was renewed.
    lapsed: bool,
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) log: Vec<Entry>,
    pub(super) accounts: BTreeMap<PrivateId, Account>,
    pub(super) problems: Vec<String>,
    pub(super) ttl: u64,
    /// The latest the clock ever was.
    pub(super) latest: u64,
    pub(super) retention: u64,
}

impl Ledger {
    pub(super) fn on_message(&mut self, message: &Message) {
        let Some(id) = message.position() else { return };
        if self.log.last().is_some_and(|last| last.id >= id) {
            self.problems.push(format!("{id} was handed out after a later one"));
        }
        self.log.push(Entry { id, rooms: message.rooms.to_vec(), except: message.except.to_vec() });
    }

    /// A publish was answered with success.
    pub(super) fn on_published(&mut self, id: Position) {
        if self.log.binary_search_by_key(&id, |entry| entry.id).is_err() {
            self.problems.push(format!("{id} was accepted and never handed out"));
        }
    }

    pub(super) fn on_clock(&mut self, now: u64) {
        self.latest = self.latest.max(now);
        for account in self.accounts.values_mut() {
            account.lapsed |= now > account.expires;
        }
    }

    pub(super) fn on_open(&mut self, session: &NewSession, start: Position, now: u64) {
        let stay = |room: &Room| Membership { room: room.clone(), since: start, until: None };
        let implicit = [Room::All, Room::Socket(session.socket)];
        let account = Account {
            socket: session.socket,
            start,
            stays: implicit.iter().chain(&session.rooms).map(stay).collect(),
            received: Vec::new(),
            claims: Vec::new(),
            ended: false,
            expires: now + self.ttl,
            lapsed: false,
        };
        self.accounts.insert(session.pid, account);
    }

    pub(super) fn on_renewed(&mut self, pid: PrivateId, now: u64) {
        if let Some(account) = self.accounts.get_mut(&pid) {
            account.expires = now + self.ttl;
            account.lapsed = false;
        }
    }

    /// A session could not be taken over.
    pub(super) fn on_unknown(&mut self, pid: PrivateId, now: u64) {
        let gone = self.accounts.get(&pid).is_none_or(|account| {
            let lapsed = account.lapsed || account.expires < now;
            account.ended || lapsed
        });
        if !gone {
            self.problems.push("a session that is alive was not found".into());
        }
    }

    pub(super) fn on_change(&mut self, pid: PrivateId, change: &RoomChange, at: Position) {
        let Some(account) = self.accounts.get_mut(&pid) else { return };
        for room in &change.leave {
            let stay = account.stays.iter_mut().find(|stay| stay.room == *room && stay.until.is_none());
            if let Some(stay) = stay {
                stay.until = Some(at);
            }
        }
        for room in &change.join {
            account.stays.push(Membership { room: room.clone(), since: at, until: None });
        }
    }

    pub(super) fn on_end(&mut self, pid: PrivateId) {
        if let Some(account) = self.accounts.get_mut(&pid) {
            account.ended = true;
        }
    }

    pub(super) fn on_received(&mut self, pid: PrivateId, id: Position) {
        if let Some(account) = self.accounts.get_mut(&pid) {
            account.received.push(id);
        }
    }

    /// How much the client of a session has received.
    pub(super) fn received(&self, pid: PrivateId) -> usize {
        self.accounts.get(&pid).map_or(0, |account| account.received.len())
    }

    /// Some client's own room.
    pub(super) fn own_room(&self, dice: &mut SmallRng) -> Option<Room> {
        let nth = (!self.accounts.is_empty()).then(|| dice.random_range(0..self.accounts.len()))?;
        self.accounts.values().nth(nth).map(|account| Room::Socket(account.socket))
    }

    /// Somebody holds that a client which had received so much had everything
    /// up to `position`.
    pub(super) fn on_claim(&mut self, pid: PrivateId, position: Position, received: usize) {
        if let Some(account) = self.accounts.get_mut(&pid) {
            account.claims.push((position, received));
        }
    }

    /// A recovery was refused because the log no longer reaches back to
    /// `from`: whether time alone explains it.
    pub(super) fn is_too_old(&self, from: Position) -> bool {
        from.ms() < self.latest.saturating_sub(self.retention)
    }

    /// Messages in the logs of a session's rooms after `from`, by room.
    pub(super) fn backlog(&self, pid: PrivateId, from: Position) -> usize {
        let Some(account) = self.accounts.get(&pid) else { return 0 };
        let after = self.log.iter().filter(|entry| entry.id > from);
        after.map(|entry| account.stays.iter().filter(|stay| entry.rooms.contains(&stay.room)).count()).sum()
    }

    /// Ids of what the session was to be sent, in order, and how many were
    /// kept from it by `except`.
    fn expected(&self, account: &Account) -> (Vec<Position>, usize) {
        let mut excepted = 0;
        let is_in = |rooms: &[Room], id| account.stays.iter().any(|stay| rooms.contains(&stay.room) && stay.covers(id));
        let meant = self.log.iter().filter(|entry| is_in(&entry.rooms, entry.id)).filter(|entry| {
            let kept = is_in(&entry.except, entry.id);
            excepted += usize::from(kept);
            !kept
        });
        (meant.map(|entry| entry.id).collect(), excepted)
    }

    /// Compares what a session received with what it was to receive: all of
    /// it, or all before the last one. Answers how many were excepted.
    pub(super) fn check(&self, pid: PrivateId, complete: bool) -> Result<usize, String> {
        let Some(account) = self.accounts.get(&pid) else { return Err("a client is in an unknown session".into()) };
        let (expected, excepted) = self.expected(account);
        let received = &account.received;
        let known = if complete { expected.len() } else { expected.len().min(received.len()) };
        if received[..] != expected[..known] {
            let at = received.iter().zip(&expected).take_while(|(got, due)| got == due).count();
            return Err(format!(
                "socket {} since {}: received {:?} and then {:?}, where {:?} is due ({} of {}); rooms {:?}",
                account.socket,
                account.start,
                &received[at.saturating_sub(3)..at],
                received.get(at),
                expected.get(at),
                received.len(),
                expected.len(),
                account.stays,
            ));
        }
        for (position, had) in &account.claims {
            let due = expected.partition_point(|id| id <= position);
            if due > *had {
                return Err(format!(
                    "socket {}: an offset {position} is held where {} was due and had not been received",
                    account.socket, expected[*had]
                ));
            }
        }
        Ok(excepted)
    }
}
