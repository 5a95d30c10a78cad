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

/// Both go to one and the same room. (A message to several rooms is offered to
/// all members of the first before those of the second: it stands alone.)
fn same_room(a: &Message, b: &Message) -> bool {
    a.namespace == b.namespace && a.rooms.len() == 1 && a.rooms == b.rooms
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

    /// Positions count anew; no member of now is sent anything more.
    pub fn begin_anew(&mut self) {
        self.position = Position::ZERO;
    }

    /// Offers messages to the members of their rooms, in this order for each;
    /// answers how many were sent.
    ///
    /// Messages to one room that follow each other go to its members member by
    /// member, not message by message: what belongs to a member is then at hand.
    pub fn deliver(&mut self, messages: &[Arc<Message>]) -> usize {
        messages.chunk_by(|a, b| same_room(a, b)).map(|run| self.deliver_run(run)).sum()
    }

    /// Messages to the same rooms.
    fn deliver_run(&mut self, run: &[Arc<Message>]) -> usize {
        let (first_ticket, before) = (self.ticket + 1, self.position);
        self.ticket += run.len() as u64;
        self.position = run.iter().filter_map(|message| message.position()).fold(before, Position::max);
        let Some(rooms) = run.first().and_then(|first| self.namespaces.get(usize::from(first.namespace.0))) else {
            return 0;
        };
        let mut sent = 0;
        for members in run[0].rooms.iter().filter_map(|room| rooms.get(room)) {
            for member in members {
                let mut position = before;
                for (message, ticket) in run.iter().zip(first_ticket..) {
                    let verdict = member.recipient.feed().borrow_mut().on_message(
                        message,
                        member.since,
                        member.until,
                        ticket,
                        position,
                        self.max_held,
                    );
                    if let Verdict::Send(position) = verdict {
                        member.recipient.send(message, position);
                        sent += 1;
                    }
                    position = message.position().unwrap_or(position);
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
        self.amend(namespace, recipient, rooms, |stay, member| {
            (stay.since, member.since) = (since, since);
        });
    }

    /// Messages of these rooms are for the recipient up to `until` only.
    pub fn bound(&mut self, namespace: NamespaceId, recipient: &R, rooms: &[Room], until: Position) {
        self.amend(namespace, recipient, rooms, |stay, member| {
            (stay.until, member.until) = (until, until);
        });
    }

    fn amend(
        &mut self,
        namespace: NamespaceId,
        recipient: &R,
        rooms: &[Room],
        change: impl Fn(&mut Stay, &mut Member<R>),
    ) {
        let map = &mut self.namespaces[usize::from(namespace.0)];
        let mut feed = recipient.feed().borrow_mut();
        for room in rooms {
            let Some(stay) = feed.stay_mut(room) else { continue };
            if let Some(member) = map.get_mut(room).and_then(|members| members.get_mut(stay.slot as usize)) {
                change(stay, member);
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

    /// Shows some of the rooms of a namespace with their members: `most` from
    /// the `from`th on; false when these were the last. For looking at many
    /// without holding deliveries up: between two calls rooms may come and go,
    /// and one of them be shown twice or not at all.
    pub fn look(&self, namespace: NamespaceId, from: usize, most: usize, mut show: impl FnMut(&Room, usize)) -> bool {
        let Some(map) = self.namespaces.get(usize::from(namespace.0)) else { return false };
        map.iter().skip(from).take(most).for_each(|(room, members)| show(room, members.len()));
        map.len() > from + most
    }

    /// Shows some of a room's members in the same way; answers how many it has.
    pub fn look_at(
        &self,
        namespace: NamespaceId,
        room: &Room,
        from: usize,
        most: usize,
        show: impl FnMut(&R),
    ) -> usize {
        let members = self.namespaces.get(usize::from(namespace.0)).and_then(|map| map.get(room));
        let members = members.map(|members| members.as_slice()).unwrap_or_default();
        members.iter().skip(from).take(most).map(|member| &member.recipient).for_each(show);
        members.len()
    }

    /// Rooms with a member here, over all namespaces.
    pub fn rooms(&self) -> usize {
        self.namespaces.iter().map(HashMap::len).sum()
    }
}

#[cfg(test)]
mod tests;
