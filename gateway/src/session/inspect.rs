//! What an operator wants to see of this worker's rooms and sockets.
//!
//! It is looked at piece by piece, with the turn of deliveries in between: what
//! changes meanwhile may be told as it was before or after.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;

use tokio::sync::oneshot;

use crate::adapter::inspect::{Explained, Explanation, Fate, Finding, Inquiry, Keeping, RoomCount, TopRooms};
use crate::message::{NamespaceId, Room};
use crate::recovery::Foreseen;
use crate::rooms::Recipient;

use super::socket::Socket;
use super::worker::Worker;

/// Rooms looked at before other tasks have their turn: well below 1 ms.
const ROOMS: usize = 8192;

/// And sockets.
const SOCKETS: usize = 1024;

/// Answers, unless nobody waits for it any more.
pub(super) async fn inspect(worker: Rc<Worker>, inquiry: Inquiry, mut answer: oneshot::Sender<Finding>) {
    let look = async {
        match inquiry {
            // for the node, not for a worker
            Inquiry::Status => None,
            Inquiry::Rooms { namespace, prefix, most } => {
                Some(Finding::Rooms(rooms(&worker, namespace.id, &prefix, most).await))
            }
            Inquiry::Explain { namespace, rooms, except, keeping } => {
                Some(Finding::Explained(explain(&worker, namespace.id, &rooms, &except, keeping).await))
            }
        }
    };
    let found = tokio::select! {
        biased;
        () = answer.closed() => return,
        found = look => found,
    };
    if let Some(found) = found {
        // who asked may have gone
        let _ = answer.send(found);
    }
}

async fn rooms(worker: &Rc<Worker>, namespace: NamespaceId, prefix: &str, most: usize) -> TopRooms {
    // the least of the greatest is on top
    let mut top: BinaryHeap<(Reverse<usize>, Room)> = BinaryHeap::with_capacity(most + 1);
    let (mut from, mut found) = (0, 0usize);
    loop {
        let more = worker.shard().look(namespace, from, ROOMS, |room, members| {
            let (Room::Named(name) | Room::User(name)) = room else { return };
            if !name.starts_with(prefix) {
                return;
            }
            found += 1;
            if top.len() < most {
                top.push((Reverse(members), room.clone()));
            } else if top.peek().is_some_and(|(Reverse(least), _)| members > *least) {
                top.pop();
                top.push((Reverse(members), room.clone()));
            }
        });
        if !more {
            break;
        }
        from += ROOMS;
        tokio::task::yield_now().await;
    }
    let more = found > top.len();
    let mut rooms: Vec<RoomCount> =
        top.into_iter().map(|(Reverse(members), room)| RoomCount { room, members: members as u64 }).collect();
    // one that came to another place meanwhile was seen twice
    rooms.sort_unstable_by(|a, b| a.room.cmp(&b.room));
    rooms.dedup_by(|a, b| a.room == b.room);
    TopRooms { more, ..TopRooms::of(rooms, most) }
}

async fn explain(
    worker: &Rc<Worker>,
    namespace: NamespaceId,
    rooms: &[Room],
    except: &[Room],
    keeping: Keeping,
) -> Explained {
    let mut explained = Explained { members: vec![0; rooms.len()], ..Explained::default() };
    for (n, room) in rooms.iter().enumerate() {
        let mut from = 0;
        loop {
            let members = worker.shard().look_at(namespace, room, from, SOCKETS, |socket| {
                let feed = socket.feed().borrow();
                // who is in several of the rooms is told of once
                if rooms[..n].iter().any(|before| feed.stay(before).is_some()) {
                    return;
                }
                if let Some(foreseen) = feed.foresee(&rooms[n..], except, keeping) {
                    let fate = fate(socket, foreseen.fate, keeping);
                    explained.add(fate, || explanation(socket, fate, foreseen));
                }
            });
            explained.members[n] = members as u64;
            from += SOCKETS;
            if members <= from {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    explained
}

/// What its connection makes of it.
fn fate(socket: &Rc<Socket>, foreseen: Fate, keeping: Keeping) -> Fate {
    match foreseen {
        Fate::Sent | Fate::Held if socket.connection.closing().is_some() => Fate::Closing,
        Fate::Sent if keeping == Keeping::Volatile && socket.connection.is_blocked() => Fate::Congested,
        other => other,
    }
}

fn explanation(socket: &Rc<Socket>, fate: Fate, foreseen: Foreseen<'_>) -> Explanation {
    Explanation {
        socket: socket.id,
        user: socket.identity().user.clone(),
        room: foreseen.room.clone(),
        fate,
        except: foreseen.except.cloned(),
    }
}
