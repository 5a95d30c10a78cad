//! One worker's part of every room.

use std::cell::RefCell;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use smallvec::SmallVec;

use crate::message::{Message, NamespaceId, Position, Room};
use crate::recovery::{Feed, Stay, Verdict};

/// A socket, as the rooms see it. `send` must not call back into the shard.
pub trait Recipient: Clone {
    fn feed(&self) -> &RefCell<Feed>;

    /// Queues the message. A frame that has no place of its own ends in
    /// `position`.
    fn send(&self, message: &Arc<Message>, position: Position);

    /// Tells recipients apart.
    fn key(&self) -> usize;
}

/// Members of rooms, and the position that the worker has reached.
#[derive(Debug)]
pub struct Shard<R> {
    namespaces: Vec<HashMap<Room, Members<R>, foldhash::fast::RandomState>>,
    position: Position,
    ticket: u64,
    /// Bytes held for one socket during a cut.
    max_held: usize,
}

/// One is the rule: personal rooms.
type Members<R> = SmallVec<[Member<R>; 1]>;

#[derive(Debug)]
struct Member<R> {
    recipient: R,
    /// The same as in its [`Stay`], here to spare the look.
    since: Position,
    until: Position,
}

impl<R: Recipient> Shard<R> {
    pub fn new(namespaces: usize, max_held: usize) -> Self {
        Shard {
            namespaces: (0..namespaces).map(|_| HashMap::default()).collect(),
            position: Position::ZERO,
            ticket: 0,
            max_held,
        }
    }

    /// The last position taken: all before it has been handed out.
    pub fn position(&self) -> Position {
        self.position
    }

    /// All up to here has been handed out.
    pub fn tick(&mut self, position: Position) {
        self.position = self.position.max(position);
    }

    /// Offers a message to every member of its rooms; answers how many were
    /// sent it.
    pub fn deliver(&mut self, message: &Arc<Message>) -> usize {
        self.ticket += 1;
        let before = self.position;
        if let Some(id) = message.position() {
            self.position = before.max(id);
        }
        let Some(rooms) = self.namespaces.get(usize::from(message.namespace.0)) else { return 0 };
        let mut sent = 0;
        for members in message.rooms.iter().filter_map(|room| rooms.get(room)) {
            for member in members {
                let verdict = member.recipient.feed().borrow_mut().on_message(
                    message,
                    member.since,
                    member.until,
                    self.ticket,
                    before,
                    self.max_held,
                );
                if let Verdict::Send(position) = verdict {
                    member.recipient.send(message, position);
                    sent += 1;
                }
            }
        }
        sent
    }

    /// Enters rooms; [`Position::NEVER`] when they are not confirmed yet.
    /// Rooms that it is in already are left as they are. Answers the rooms
    /// that had no member at this worker.
    pub fn enter(&mut self, namespace: NamespaceId, recipient: &R, rooms: &[Room], since: Position) -> Vec<Room> {
        let map = &mut self.namespaces[usize::from(namespace.0)];
        let mut first = Vec::new();
        for room in rooms {
            let mut feed = recipient.feed().borrow_mut();
            if feed.stay(room).is_some() {
                continue;
            }
            let members = map.entry_ref(room).or_default();
            if members.is_empty() {
                first.push(room.clone());
            }
            let until = Position::NEVER;
            feed.enter(Stay { room: room.clone(), since, until, slot: members.len() as u32 });
            members.push(Member { recipient: recipient.clone(), since, until });
        }
        first
    }

    /// From here on the recipient hears these rooms live: messages after
    /// `since`.
    pub fn settle(&mut self, namespace: NamespaceId, recipient: &R, rooms: &[Room], since: Position) {
        let map = &mut self.namespaces[usize::from(namespace.0)];
        let mut feed = recipient.feed().borrow_mut();
        for room in rooms {
            let Some(stay) = feed.stay_mut(room) else { continue };
            stay.since = since;
            if let Some(member) = map.get_mut(room).and_then(|members| members.get_mut(stay.slot as usize)) {
                member.since = since;
            }
        }
    }

    /// Messages of these rooms are for the recipient up to `until` only.
    pub fn bound(&mut self, namespace: NamespaceId, recipient: &R, rooms: &[Room], until: Position) {
        let map = &mut self.namespaces[usize::from(namespace.0)];
        let mut feed = recipient.feed().borrow_mut();
        for room in rooms {
            let Some(stay) = feed.stay_mut(room) else { continue };
            stay.until = until;
            if let Some(member) = map.get_mut(room).and_then(|members| members.get_mut(stay.slot as usize)) {
                member.until = until;
            }
        }
    }

    /// Leaves rooms; answers those that have no member left at this worker.
    pub fn leave(&mut self, namespace: NamespaceId, recipient: &R, rooms: &[Room]) -> Vec<Room> {
        let map = &mut self.namespaces[usize::from(namespace.0)];
        let mut last = Vec::new();
        for room in rooms {
            let Some(stay) = recipient.feed().borrow_mut().leave(room) else { continue };
            let Some(members) = map.get_mut(room) else { continue };
            let slot = stay.slot as usize;
            members.swap_remove(slot);
            if let Some(moved) = members.get(slot)
                && let Some(stay) = moved.recipient.feed().borrow_mut().stay_mut(room)
            {
                stay.slot = slot as u32;
            }
            if members.is_empty() {
                map.remove(room);
                last.push(room.clone());
            }
        }
        last
    }

    /// The members of any of these rooms, each once.
    pub fn members(&self, namespace: NamespaceId, rooms: &[Room]) -> Vec<R> {
        let Some(map) = self.namespaces.get(usize::from(namespace.0)) else { return Vec::new() };
        let mut seen = HashSet::new();
        rooms
            .iter()
            .filter_map(|room| map.get(room))
            .flatten()
            .filter(|member| seen.insert(member.recipient.key()))
            .map(|member| member.recipient.clone())
            .collect()
    }

    /// Rooms with a member here, over all namespaces.
    pub fn rooms(&self) -> usize {
        self.namespaces.iter().map(HashMap::len).sum()
    }
}
