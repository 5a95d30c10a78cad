//! What an operator asks of all nodes, and what each of them finds.
//!
//! The types are also how nodes write it to each other, and how the admin API
//! answers: as JSON. A node that does not know a question answers nothing.
//! Nothing is changed by any of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::message::{Draft, NamespaceRef, NodeTag, Room, SocketId};

/// A question to every node. Namespaces go by `N`: by their name between
/// nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inquiry<N = NamespaceRef> {
    /// How it is.
    Status,
    /// Its rooms with the most members, of those whose names begin so.
    Rooms { namespace: N, prefix: String, most: usize },
    /// What would become of a message there now.
    Explain { namespace: N, rooms: Vec<Room>, except: Vec<Room>, keeping: Keeping },
}

/// What is kept of a message for who cannot take it at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keeping {
    /// It is in the log.
    Logged,
    /// It waits for connections that are open.
    Unlogged,
    /// Nothing.
    Volatile,
}

/// What one node has found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inspected {
    pub node: NodeTag,
    #[serde(flatten)]
    pub finding: Finding,
}

/// The answer to an [`Inquiry`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    Status(Box<NodeStatus>),
    Rooms(TopRooms),
    Explained(Explained),
}

/// How a node is. Totals are since its start.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeStatus {
    pub version: String,
    pub uptime_seconds: f64,
    /// Why it is not ready; empty while it is.
    pub unready: Vec<String>,
    /// All that was published so long ago has been handed out.
    pub age_seconds: f64,
    /// By transport.
    pub connections: BTreeMap<String, u64>,
    pub sockets: u64,
    /// Rooms and users with a socket here.
    pub rooms: u64,
    /// Bytes that wait for clients to take them.
    pub queued_bytes: u64,
    pub resident_bytes: u64,
    pub deliveries: u64,
    /// Publishes that were accepted, by backends and for clients.
    pub publishes: u64,
    /// Events from clients.
    pub events: u64,
    pub handshakes: u64,
    pub handshakes_refused: u64,
    /// By result.
    pub recoveries: BTreeMap<String, u64>,
    /// By reason.
    pub closes: BTreeMap<String, u64>,
}

/// Rooms with the most members.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopRooms {
    /// Greatest first.
    pub rooms: Vec<RoomCount>,
    /// There are more: what is here is what was greatest somewhere, and may
    /// have members where it was not.
    pub more: bool,
    /// A worker or node did not answer in time.
    pub partial: bool,
}

/// How many sockets are in a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomCount {
    pub room: Room,
    pub members: u64,
}

/// What would become of a message, socket by socket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explained {
    /// Of each target room, in the order of the question.
    pub members: Vec<u64>,
    /// How many sockets meet which fate.
    pub fates: BTreeMap<Fate, u64>,
    /// Some of the sockets; of those that do not get it as many as of those
    /// that do.
    pub sockets: Vec<Explanation>,
    /// A worker did not answer in time.
    pub partial: bool,
}

/// What would become of a message at one socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    pub socket: SocketId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<Arc<str>>,
    /// The target room that it is in.
    pub room: Room,
    pub fate: Fate,
    /// The room that it is left out by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub except: Option<Room>,
}

/// What becomes of a message at a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It gets it.
    Sent,
    /// It gets it when it has caught up: it is connecting, recovering or
    /// joining a room.
    Held,
    /// It is in a room that is left out.
    Excepted,
    /// It is not in the room yet, and the message does not wait.
    Joining,
    /// It is leaving the room.
    Leaving,
    /// It takes what was sent before too slowly, and the message does not wait.
    Congested,
    /// Its connection is ending; what is in the log it gets when it comes back.
    Closing,
}

impl Fate {
    /// Whether the client gets it.
    pub fn is_delivery(self) -> bool {
        match self {
            Fate::Sent | Fate::Held => true,
            Fate::Excepted | Fate::Joining | Fate::Leaving | Fate::Congested | Fate::Closing => false,
        }
    }
}

impl<N> Inquiry<N> {
    /// The same with another name for its namespace; `None` where there is no
    /// such name.
    pub fn in_namespace<M>(self, find: impl FnOnce(N) -> Option<M>) -> Option<Inquiry<M>> {
        Some(match self {
            Inquiry::Status => Inquiry::Status,
            Inquiry::Rooms { namespace, prefix, most } => Inquiry::Rooms { namespace: find(namespace)?, prefix, most },
            Inquiry::Explain { namespace, rooms, except, keeping } => {
                Inquiry::Explain { namespace: find(namespace)?, rooms, except, keeping }
            }
        })
    }
}

impl Keeping {
    /// Of what a publish of this draft makes.
    pub fn of(draft: &Draft) -> Self {
        if draft.is_recoverable() {
            Keeping::Logged
        } else if draft.volatile {
            Keeping::Volatile
        } else {
            Keeping::Unlogged
        }
    }
}

impl TopRooms {
    /// The greatest of these rooms, each named once.
    pub fn of(mut rooms: Vec<RoomCount>, most: usize) -> Self {
        rooms.sort_unstable_by(|a, b| b.members.cmp(&a.members).then_with(|| a.room.cmp(&b.room)));
        let more = rooms.len() > most;
        rooms.truncate(most);
        TopRooms { rooms, more, partial: false }
    }

    /// What several found, as one.
    pub fn sum(parts: impl IntoIterator<Item = TopRooms>, most: usize) -> Self {
        let (mut members, mut more, mut partial) = (BTreeMap::<Room, u64>::new(), false, false);
        for part in parts {
            part.rooms.into_iter().for_each(|it| *members.entry(it.room).or_default() += it.members);
            more |= part.more;
            partial |= part.partial;
        }
        let all = members.into_iter().map(|(room, members)| RoomCount { room, members }).collect();
        let top = TopRooms::of(all, most);
        TopRooms { more: top.more || more, partial, ..top }
    }
}

impl Explained {
    /// Sockets that are told of one by one, of each kind.
    const SAMPLE: usize = 20;

    /// One more socket, described by `explanation` where it is to be told of.
    pub fn add(&mut self, fate: Fate, explanation: impl FnOnce() -> Explanation) {
        *self.fates.entry(fate).or_default() += 1;
        if self.has_space(fate) {
            self.sockets.push(explanation());
        }
    }

    /// What another worker of the node has found.
    pub fn merge(&mut self, other: Explained) {
        self.members.resize(self.members.len().max(other.members.len()), 0);
        self.members.iter_mut().zip(other.members).for_each(|(sum, members)| *sum += members);
        other.fates.into_iter().for_each(|(fate, count)| *self.fates.entry(fate).or_default() += count);
        for explanation in other.sockets {
            if self.has_space(explanation.fate) {
                self.sockets.push(explanation);
            }
        }
        self.partial |= other.partial;
    }

    /// Sockets that get the message.
    pub fn receivers(&self) -> u64 {
        self.fates.iter().filter(|(fate, _)| fate.is_delivery()).map(|(_, count)| count).sum()
    }

    fn has_space(&self, fate: Fate) -> bool {
        let alike = |it: &&Explanation| it.fate.is_delivery() == fate.is_delivery();
        self.sockets.iter().filter(alike).count() < Self::SAMPLE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Token;

    fn counts(rooms: &[(&str, u64)]) -> Vec<RoomCount> {
        let count = |(name, members): &(&str, u64)| RoomCount { room: Room::named(name).unwrap(), members: *members };
        rooms.iter().map(count).collect()
    }

    #[test]
    fn rooms_of_several_nodes_are_one_list() {
        let first = TopRooms::of(counts(&[("a", 3), ("b", 5), ("c", 1)]), 2);
        assert_eq!((&first.rooms, first.more), (&counts(&[("b", 5), ("a", 3)]), true));
        let second = TopRooms::of(counts(&[("a", 3), ("d", 4)]), 2);
        assert!(!second.more);
        let both = TopRooms::sum([first, second], 3);
        assert_eq!((both.rooms, both.more, both.partial), (counts(&[("a", 6), ("b", 5), ("d", 4)]), true, false));
    }

    #[test]
    fn both_kinds_of_sockets_are_told_of() {
        let explanation =
            |fate| Explanation { socket: SocketId(Token::random()), user: None, room: Room::All, fate, except: None };
        let mut one = Explained { members: vec![100, 0], ..Explained::default() };
        (0..100).for_each(|_| one.add(Fate::Sent, || explanation(Fate::Sent)));
        one.add(Fate::Excepted, || explanation(Fate::Excepted));
        let mut both = Explained::default();
        both.merge(one.clone());
        both.merge(one);
        assert_eq!((both.members.as_slice(), both.receivers()), ([200, 0].as_slice(), 200));
        assert_eq!(both.sockets.iter().filter(|it| it.fate == Fate::Sent).count(), Explained::SAMPLE);
        assert_eq!(both.sockets.iter().filter(|it| it.fate == Fate::Excepted).count(), 2);
    }

    #[test]
    fn findings_read_back() {
        let node = NodeTag::random();
        let status = NodeStatus { version: "1".into(), sockets: 7, ..NodeStatus::default() };
        let mut explained = Explained::default();
        let except = Some(Room::named("quiet").unwrap());
        explained.add(Fate::Excepted, || Explanation {
            socket: SocketId(Token::random()),
            user: Some("ann".into()),
            room: Room::All,
            fate: Fate::Excepted,
            except,
        });
        for finding in [
            Finding::Status(Box::new(status)),
            Finding::Rooms(TopRooms::of(counts(&[("a", 1)]), 9)),
            Finding::Explained(explained),
        ] {
            let inspected = Inspected { node, finding };
            let text = serde_json::to_string(&inspected).unwrap();
            assert_eq!(serde_json::from_str::<Inspected>(&text).unwrap(), inspected, "{text}");
        }
        // of a version that knows less or more
        let other = format!(r#"{{"node":"{node}","status":{{"sockets":3,"moons":1}}}}"#);
        let Finding::Status(status) = serde_json::from_str::<Inspected>(&other).unwrap().finding else {
            panic!("a status");
        };
        assert_eq!(status.sockets, 3);
    }
}
