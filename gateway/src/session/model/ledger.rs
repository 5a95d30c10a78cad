//! What must have happened, told without the code under test: the order in
//! which messages were accepted, the rooms of each session as the store
//! decided them, and what each client received.
//!
//! The log may begin anew, in another epoch. What a session was to receive is
//! told epoch by epoch: all of the last one; of one before, what came before
//! its connection learned of the next.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rand::RngExt;
use rand::rngs::SmallRng;

use crate::adapter::{NewSession, PublishError, Published, RoomChange, SessionKey};
use crate::message::{Epoch, Message, Offset, Position, PrivateId, Room, SocketId};

/// Number of the epoch, and where in it.
pub(super) type Mark = (usize, Position);

/// A logged message.
#[derive(Debug)]
pub(super) struct Entry {
    at: Mark,
    rooms: Vec<Room>,
    except: Vec<Room>,
}

#[derive(Debug, Clone)]
pub(super) struct Stay {
    pub(super) room: Room,
    pub(super) since: Mark,
    pub(super) until: Option<Mark>,
}

impl Stay {
    fn covers(&self, at: Mark) -> bool {
        self.since < at && self.until.is_none_or(|until| at <= until)
    }
}

/// What one session was promised and given.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) socket: SocketId,
    pub(super) start: Mark,
    pub(super) stays: Vec<Stay>,
    /// By the client, over all its connections.
    pub(super) received: Vec<Mark>,
    /// Positions that the client or its session held, and how much of that
    /// epoch it had received then.
    claims: Vec<(Mark, usize)>,
    expires: u64,
    /// Epochs of which its client has received something, or answered a ping.
    known: BTreeSet<usize>,
    /// There was a time at which it could not be found.
    was_gone: bool,
    /// Nobody can say what it was to receive: its rooms were changed by who
    /// had taken it over while its client was still heard over an earlier
    /// connection, which did not know; or it was written anew with rooms that
    /// nobody knew of.
    contested: bool,
    /// The latest generation under which its rooms were changed.
    changed: u64,
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) epochs: Vec<Epoch>,
    pub(super) log: Vec<Entry>,
    pub(super) accounts: BTreeMap<PrivateId, Account>,
    pub(super) problems: Vec<String>,
    pub(super) ttl: u64,
    /// The latest the clock ever was.
    pub(super) latest: u64,
    pub(super) retention: u64,
    /// Generations under which clients are connected now.
    pub(super) connected: HashMap<PrivateId, u64>,
    /// How often each publish was carried out, by epoch.
    pub(super) executed: HashMap<(usize, String), usize>,
    /// Publishes that were answered with: nothing was done.
    pub(super) refused: Vec<String>,
}

impl Ledger {
    /// The log begins. Answers whether anew.
    pub(super) fn on_epoch(&mut self, epoch: Epoch) -> bool {
        // one that was lost in a failover may be seen once more, until the next is begun
        let is_new = !self.epochs.contains(&epoch);
        if is_new {
            self.epochs.push(epoch);
        }
        is_new
    }

    /// Number of the present epoch.
    pub(super) fn present(&self) -> usize {
        self.epochs.len().saturating_sub(1)
    }

    pub(super) fn mark(&mut self, offset: Offset) -> Mark {
        let number = self.epochs.iter().rposition(|epoch| *epoch == offset.epoch);
        if number.is_none() {
            self.problems.push(format!("{offset} is of an epoch that never was"));
        }
        (number.unwrap_or_default(), offset.position)
    }

    pub(super) fn on_message(&mut self, message: &Message, offset: Offset) {
        self.on_logged(offset, message.rooms.to_vec(), message.except.to_vec());
    }

    pub(super) fn on_logged(&mut self, offset: Offset, rooms: Vec<Room>, except: Vec<Room>) {
        let at = self.mark(offset);
        if self.log.last().is_some_and(|last| last.at >= at) {
            self.problems.push(format!("{offset} was handed out after a later one"));
        }
        self.log.push(Entry { at, rooms, except });
    }

    /// A publish was carried out.
    pub(super) fn on_executed(&mut self, tag: String) {
        let times = self.executed.entry((self.epochs.len().saturating_sub(1), tag)).or_default();
        *times += 1;
        if *times > 1 {
            self.problems.push("one publish was carried out twice".into());
        }
    }

    /// A publish was answered; `attempt`: of the same key, from 0.
    pub(super) fn on_answer(&mut self, tag: &str, answer: Result<Published, PublishError>, attempt: u32) {
        match answer {
            Ok(Published { offset: Some(offset), .. }) => {
                let at = self.mark(offset);
                if self.log.binary_search_by_key(&at, |entry| entry.at).is_err() {
                    self.problems.push(format!("{offset} was accepted and never logged"));
                }
            }
            Err(PublishError::Unavailable) if attempt == 0 => self.refused.push(tag.into()),
            Err(PublishError::IdempotencyConflict) => self.problems.push("a conflict without reason".into()),
            Ok(Published { offset: None, .. }) | Err(PublishError::Unavailable | PublishError::OutcomeUnknown) => {}
        }
    }

    pub(super) fn on_clock(&mut self, now: u64) {
        self.latest = self.latest.max(now);
        for account in self.accounts.values_mut() {
            account.was_gone |= now > account.expires;
        }
    }

    pub(super) fn on_open(&mut self, session: &NewSession, start: Offset, now: u64) {
        let start = self.mark(start);
        let stay = |room: &Room| Stay { room: room.clone(), since: start, until: None };
        let implicit = [Room::All, Room::Socket(session.socket)];
        let account = Account {
            socket: session.socket,
            start,
            stays: implicit.iter().chain(&session.rooms).map(stay).collect(),
            received: Vec::new(),
            claims: Vec::new(),
            known: BTreeSet::from([start.0]),
            expires: now + self.ttl,
            was_gone: false,
            contested: false,
            changed: 0,
        };
        self.accounts.insert(session.pid, account);
    }

    /// A session is alive until then.
    pub(super) fn on_renewed(&mut self, pid: PrivateId, expires: u64) {
        if let Some(account) = self.accounts.get_mut(&pid) {
            account.expires = expires;
        }
    }

    /// Whether there was a reason not to find a session.
    pub(super) fn may_be_unknown(&self, pid: PrivateId) -> bool {
        let present = self.present();
        self.accounts
            .get(&pid)
            .is_none_or(|account| account.was_gone || account.expires < self.latest || account.start.0 < present)
    }

    /// The log has begun anew since the session was opened.
    pub(super) fn has_moved(&self, pid: PrivateId) -> bool {
        self.accounts.get(&pid).is_some_and(|account| account.start.0 < self.present())
    }

    pub(super) fn on_change(&mut self, pid: PrivateId, change: &RoomChange, at: Offset) {
        let at = self.mark(at);
        let Some(account) = self.accounts.get_mut(&pid) else { return };
        for room in &change.leave {
            let stay = account.stays.iter_mut().find(|stay| stay.room == *room && stay.until.is_none());
            if let Some(stay) = stay {
                stay.until = Some(at);
            }
        }
        for room in &change.join {
            account.stays.push(Stay { room: room.clone(), since: at, until: None });
        }
    }

    /// A client has heard that it is connected.
    pub(super) fn on_connected(&mut self, SessionKey { pid, generation }: SessionKey) {
        self.connected.insert(pid, generation);
        if let Some(account) = self.accounts.get_mut(&pid) {
            account.contested |= generation < account.changed;
        }
    }

    /// The rooms of a session as it is stored when the log ends at `head`, and
    /// since when; `None`: since before this epoch. `before`: as it was stored,
    /// where that may not be what its client has.
    pub(super) fn on_stored(
        &mut self,
        SessionKey { pid, generation }: SessionKey,
        before: Option<Vec<(Room, Option<Offset>)>>,
        rooms: &[(Room, Option<Offset>)],
        head: Offset,
    ) {
        let Some(account) = self.accounts.get(&pid) else { return };
        let stays = account.stays.iter().filter(|stay| stay.until.is_none());
        // what has entered a room again is there once more
        let is_same = |(room, since): &(Room, _)| rooms.iter().all(|(other, at)| other != room || at == since);
        let present: Vec<Room> = match before {
            Some(before) => before.into_iter().filter(is_same).map(|(room, _)| room).collect(),
            None => stays.map(|stay| stay.room.clone()).collect(),
        };
        let left = |room: &&Room| !room.is_implicit() && rooms.iter().all(|(other, _)| other != *room);
        let leave: Vec<Room> = present.iter().filter(left).cloned().collect();
        let enter: Vec<_> = rooms.iter().filter(|(room, _)| !present.contains(room)).collect();
        if !(leave.is_empty() && enter.is_empty()) {
            let is_vague = enter.iter().any(|(_, since)| since.is_none_or(|since| since.epoch != head.epoch));
            let connected = self.connected.get(&pid).copied();
            self.accounts.entry(pid).and_modify(|account| {
                account.changed = generation;
                account.contested |= is_vague || connected.is_some_and(|connected| connected < generation);
            });
        }
        self.on_change(pid, &RoomChange { leave, ..RoomChange::default() }, head);
        for (room, since) in enter {
            let since = since.unwrap_or(Offset { epoch: head.epoch, position: Position::ZERO });
            self.on_change(pid, &RoomChange { join: vec![room.clone()], ..RoomChange::default() }, since);
        }
    }

    pub(super) fn on_end(&mut self, pid: PrivateId) {
        if let Some(account) = self.accounts.get_mut(&pid) {
            account.was_gone = true;
        }
    }

    pub(super) fn on_received(&mut self, pid: PrivateId, offset: Offset) {
        let at = self.mark(offset);
        if let Some(account) = self.accounts.get_mut(&pid) {
            account.received.push(at);
            account.known.insert(at.0);
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

    /// A client that had received so much holds that it has everything up to
    /// `offset`.
    pub(super) fn on_shown(&mut self, pid: PrivateId, offset: Offset, received: usize) {
        self.on_claim(pid, offset, received);
        let epoch = self.mark(offset).0;
        if let Some(account) = self.accounts.get_mut(&pid) {
            account.known.insert(epoch);
        }
    }

    /// A session was recovered; `epoch`: the one in which all of it took place.
    pub(super) fn on_recovered(&mut self, pid: PrivateId, epoch: usize) {
        let known = self.accounts.get(&pid).is_none_or(|account| account.known.contains(&epoch));
        if !known && epoch == self.present() {
            self.problems.push(format!("session {} was recovered, though nothing of this epoch is known of it", pid.0));
        }
    }

    /// Somebody holds that a client which had received so much had everything
    /// up to `offset`.
    pub(super) fn on_claim(&mut self, pid: PrivateId, offset: Offset, received: usize) {
        let at = self.mark(offset);
        // of an epoch that is over it is not believed
        if at.0 != self.present() {
            return;
        }
        if let Some(account) = self.accounts.get_mut(&pid) {
            let received = account.received[..received].iter().filter(|mark| mark.0 == at.0).count();
            account.claims.push((at, received));
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
        let after = self.log.iter().filter(|entry| entry.at > (0, from));
        after.map(|entry| account.stays.iter().filter(|stay| entry.rooms.contains(&stay.room)).count()).sum()
    }

    /// What the session was to be sent, in order, and how many were kept from
    /// it by `except`.
    fn expected(&self, account: &Account) -> (Vec<Mark>, usize) {
        let mut excepted = 0;
        let is_in = |rooms: &[Room], at| account.stays.iter().any(|stay| rooms.contains(&stay.room) && stay.covers(at));
        let meant = self.log.iter().filter(|entry| is_in(&entry.rooms, entry.at)).filter(|entry| {
            let kept = is_in(&entry.except, entry.at);
            excepted += usize::from(kept);
            !kept
        });
        (meant.map(|entry| entry.at).collect(), excepted)
    }

    /// Sessions that are not judged.
    pub(super) fn contested(&self) -> usize {
        self.accounts.values().filter(|account| account.contested).count()
    }

    /// Whether a publish may have been carried out in two epochs: its key went
    /// with the first.
    pub(super) fn may_repeat(&self, tag: &str) -> bool {
        (0..self.epochs.len()).filter(|epoch| self.executed.contains_key(&(*epoch, tag.into()))).count() > 1
    }

    /// What was said of publishes is true.
    pub(super) fn check_answers(&self) -> Result<(), String> {
        let done = |tag: &&String| (0..self.epochs.len()).any(|n| self.executed.contains_key(&(n, (*tag).clone())));
        match self.refused.iter().find(done) {
            Some(tag) => Err(format!("{tag} was answered as not done, and was done")),
            None => Ok(()),
        }
    }

    /// Compares what a session received with what it was to receive: all of
    /// it, or all before the last one. Answers how many were excepted.
    pub(super) fn check(&self, pid: PrivateId, complete: bool) -> Result<usize, String> {
        let Some(account) = self.accounts.get(&pid) else { return Err("a client is in an unknown session".into()) };
        if account.contested {
            return Ok(0);
        }
        let (expected, excepted) = self.expected(account);
        if let Some(pair) = account.received.windows(2).find(|pair| pair[0].0 > pair[1].0) {
            return Err(format!("socket {}: {:?} came after a later epoch's {:?}", account.socket, pair[1], pair[0]));
        }
        for epoch in 0..self.epochs.len() {
            let of_epoch = |marks: &[Mark]| marks.iter().filter(|mark| mark.0 == epoch).copied().collect::<Vec<_>>();
            let whole = complete && epoch == self.present();
            self.compare(account, &of_epoch(&account.received), &of_epoch(&expected), whole)?;
        }
        for (at, had) in &account.claims {
            let of_epoch: Vec<&Mark> = expected.iter().filter(|mark| mark.0 == at.0).collect();
            let due = of_epoch.partition_point(|mark| *mark <= at);
            if due > *had {
                return Err(format!(
                    "socket {}: an offset {at:?} is held where {:?} was due and had not been received",
                    account.socket, of_epoch[*had]
                ));
            }
        }
        Ok(excepted)
    }

    fn compare(&self, account: &Account, received: &[Mark], expected: &[Mark], whole: bool) -> Result<(), String> {
        let known = if whole { expected.len() } else { expected.len().min(received.len()) };
        if received == &expected[..known] {
            return Ok(());
        }
        let at = received.iter().zip(expected).take_while(|(got, due)| got == due).count();
        Err(format!(
            "socket {} since {:?}: received {:?} and then {:?}, where {:?} is due ({} of {}); rooms {:?}",
            account.socket,
            account.start,
            &received[at.saturating_sub(3)..at],
            received.get(at),
            expected.get(at),
            received.len(),
            expected.len(),
            account.stays,
        ))
    }
}
