//! What is to be told of watched sessions, until it was.
//!
//! The changes of one user in one room are told one after the other: the next
//! when the one before is settled.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use hashbrown::HashMap;

use crate::adapter::{GoneReason, Notice, NoticeId, NoticeOf, PresenceChange, Watch};
use crate::message::{Epoch, NamespaceId, Room, SocketId};

/// How long who takes a notice has to carry it out, in ms.
const LEASE: u64 = 30_000;

/// Notices handed out at once.
const BATCH: usize = 100;

/// Entries that may wait; further ones are dropped, and said so.
const MOST: usize = 1_000_000;

/// Changes of one user in one room that may wait; of more, each takes back the
/// one before.
const MOST_QUEUED: usize = 16;

/// A session as notices tell of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) socket: SocketId,
    pub(super) namespace: NamespaceId,
    pub(super) subject: Option<&'a Arc<str>>,
    pub(super) identity: Option<&'a Arc<str>>,
    pub(super) watched: Watch,
}

impl Subject<'_> {
    fn member(&self) -> Member {
        match self.subject {
            Some(subject) => Member::User(Arc::clone(subject)),
            None => Member::Socket(self.socket),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Member {
    User(Arc<str>),
    Socket(SocketId),
}

/// A user in a room.
type Place = (NamespaceId, Room, Member);

#[derive(Debug)]
pub(super) struct Outbox {
    /// Begins the ids of this process.
    epoch: Epoch,
    /// By number, which is the name of the entry.
    entries: HashMap<u64, Entry, foldhash::fast::RandomState>,
    /// When each is free to be taken, in ms.
    free: BTreeSet<(u64, u64)>,
    /// Entries of users in rooms.
    places: HashMap<Place, u64, foldhash::fast::RandomState>,
    /// Watched sessions of a user in a room.
    present: HashMap<Place, usize, foldhash::fast::RandomState>,
    next: u64,
    dropped: u64,
}

#[derive(Debug)]
struct Entry {
    free: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    Gone(Notice),
    /// What is not settled; the first is told first.
    Presence(Place, VecDeque<(NoticeId, PresenceChange)>),
}

impl Outbox {
    pub(super) fn new(epoch: Epoch) -> Self {
        Outbox {
            epoch,
            entries: HashMap::default(),
            free: BTreeSet::new(),
            places: HashMap::default(),
            present: HashMap::default(),
            next: 0,
            dropped: 0,
        }
    }

    /// A session has ended; its rooms have been left.
    pub(super) fn gone(&mut self, session: Subject<'_>, reason: GoneReason, now: u64) {
        if !session.watched.gone || !self.has_place() {
            return;
        }
        let (number, socket) = (self.number(), session.socket);
        let id = NoticeId::new(socket.0.as_str(), number.to_string());
        let (subject, identity) = (session.subject.cloned(), session.identity.cloned());
        let what = NoticeOf::Gone { socket, subject, identity, reason };
        self.put(number, What::Gone(Notice { id, namespace: session.namespace, what }), now);
    }

    /// A session has come to a room.
    pub(super) fn entered(&mut self, session: Subject<'_>, room: &Room, now: u64) {
        let Some(place) = watched_place(session, room) else { return };
        let sessions = self.present.entry_ref(&place).or_default();
        *sessions += 1;
        if *sessions == 1 {
            self.presence(place, PresenceChange::Joined, now);
        }
    }

    /// A session has left a room.
    pub(super) fn left(&mut self, session: Subject<'_>, room: &Room, now: u64) {
        let Some(place) = watched_place(session, room) else { return };
        let Some(sessions) = self.present.get_mut(&place) else { return };
        *sessions -= 1;
        if *sessions == 0 {
            self.present.remove(&place);
            self.presence(place, PresenceChange::Left, now);
        }
    }

    fn presence(&mut self, place: Place, change: PresenceChange, now: u64) {
        let known = self.places.get(&place).copied();
        if known.is_none() && !self.has_place() {
            return;
        }
        let id = self.number();
        let number = known.unwrap_or(id);
        let id = NoticeId::new(format!("{}-{id:011}", self.epoch), number.to_string());
        if let Some(Entry { what: What::Presence(_, queue), .. }) = self.entries.get_mut(&number) {
            if queue.len() >= MOST_QUEUED {
                // nobody has told of the one before: it is as if neither had been
                queue.pop_back();
            } else {
                queue.push_back((id, change));
            }
            return;
        }
        self.places.insert(place.clone(), number);
        self.put(number, What::Presence(place, VecDeque::from([(id, change)])), now);
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn has_place(&mut self) -> bool {
        let has_place = self.entries.len() < MOST;
        if !has_place {
            self.dropped += 1;
            if self.dropped.is_power_of_two() {
                tracing::warn!(dropped = self.dropped, "too many notices wait: some are never told");
            }
        }
        has_place
    }

    fn put(&mut self, number: u64, what: What, free: u64) {
        self.entries.insert(number, Entry { free, what });
        self.free.insert((free, number));
    }

    /// Whether something can be taken now.
    pub(super) fn has_free(&self, now: u64) -> bool {
        self.free.first().is_some_and(|(free, _)| *free <= now)
    }

    /// Some of what is free; it is the caller's for a while.
    pub(super) fn take(&mut self, now: u64) -> Vec<Notice> {
        let taken: Vec<u64> =
            self.free.iter().take_while(|(free, _)| *free <= now).take(BATCH).map(|(_, number)| *number).collect();
        let notices = taken.iter().filter_map(|number| self.entries.get(number)?.what.notice()).collect();
        taken.into_iter().for_each(|number| self.free_at(number, now + LEASE));
        notices
    }

    fn free_at(&mut self, number: u64, free: u64) {
        if let Some(entry) = self.entries.get_mut(&number) {
            self.free.remove(&(entry.free, number));
            entry.free = free;
            self.free.insert((free, number));
        }
    }

    /// It has been told.
    pub(super) fn settle(&mut self, id: &NoticeId, now: u64) {
        let Ok(number) = id.entry().parse() else { return };
        let Some(entry) = self.entries.get_mut(&number) else { return };
        if let What::Presence(place, queue) = &mut entry.what {
            // not when it was settled before
            queue.pop_front_if(|(first, _)| first == id);
            if !queue.is_empty() {
                return self.free_at(number, now);
            }
            self.places.remove(place);
        }
        self.free.remove(&(entry.free, number));
        self.entries.remove(&number);
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.free.is_empty() && self.places.is_empty() && self.present.is_empty()
    }
}

impl What {
    fn notice(&self) -> Option<Notice> {
        let (place, queue) = match self {
            What::Gone(notice) => return Some(notice.clone()),
            What::Presence(place, queue) => (place, queue),
        };
        let (id, change) = queue.front()?;
        let (namespace, room, member) = place;
        let user = match member {
            Member::User(user) => Arc::clone(user),
            Member::Socket(socket) => socket.0.as_str().into(),
        };
        let what = NoticeOf::Presence { room: room.clone(), user, change: *change };
        Some(Notice { id: id.clone(), namespace: *namespace, what })
    }
}

/// `None` where nobody looks who is present.
fn watched_place(session: Subject<'_>, room: &Room) -> Option<Place> {
    let is_watched = session.watched.presence && matches!(room, Room::Named(_));
    is_watched.then(|| (session.namespace, room.clone(), session.member()))
}
