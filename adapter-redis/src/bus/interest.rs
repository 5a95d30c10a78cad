//! The rooms that this node wants to hear, and those that it does.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hashbrown::HashMap;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::RoomKey;
use crate::mutation::mutated;

/// Rooms are asked for in batches; a ticket is the number of one.
pub(super) type Ticket = u64;

/// See the module.
pub(crate) struct Interest {
    state: Mutex<State>,
    /// There are rooms to subscribe to.
    wanted: Notify,
    /// Every batch up to this is heard.
    heard: watch::Sender<Ticket>,
}

#[derive(Default)]
struct State {
    rooms: HashMap<RoomKey, Hearing, foldhash::fast::RandomState>,
    /// The batch that is being gathered.
    gathering: Vec<RoomKey>,
    /// Its ticket, less one.
    taken: Ticket,
    /// Rooms without members, in the order in which they were left.
    left: Vec<(Instant, RoomKey)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hearing {
    /// With this batch.
    Asked(Ticket),
    Heard,
}

impl Interest {
    pub(super) fn new() -> Self {
        Interest { state: Mutex::default(), wanted: Notify::new(), heard: watch::Sender::new(0) }
    }

    /// Resolves when all of these are heard.
    pub(super) async fn enter(&self, rooms: &[RoomKey]) {
        let ticket = {
            let mut state = self.lock();
            rooms.iter().filter_map(|room| state.ask(room)).max()
        };
        let Some(ticket) = ticket else { return };
        self.wanted.notify_one();
        // the sender is part of self
        let _ = self.heard.subscribe().wait_for(|heard| *heard >= ticket).await;
    }

    /// These have no members any more, so far as the caller knows.
    pub(super) fn leave(&self, rooms: Vec<RoomKey>) {
        let now = Instant::now();
        self.lock().left.extend(rooms.into_iter().map(|room| (now, room)));
    }

    /// Resolves when rooms wait to be subscribed to. Cancel safe.
    pub(super) async fn wanted(&self) {
        loop {
            let wanted = self.wanted.notified();
            if !self.lock().gathering.is_empty() {
                return;
            }
            wanted.await;
        }
    }

    /// The rooms to subscribe to now, and their ticket.
    pub(super) fn take(&self) -> (Vec<RoomKey>, Ticket) {
        let mut state = self.lock();
        state.taken += 1;
        (std::mem::take(&mut state.gathering), state.taken)
    }

    /// All rooms, for a new connection, and the ticket that they settle.
    pub(super) fn take_all(&self) -> (Vec<RoomKey>, Ticket) {
        let (_, ticket) = self.take();
        (self.all(), ticket)
    }

    pub(super) fn len(&self) -> usize {
        self.lock().rooms.len()
    }

    pub(super) fn all(&self) -> Vec<RoomKey> {
        self.lock().rooms.keys().cloned().collect()
    }

    /// These were confirmed, and with them all batches up to `ticket`.
    pub(super) fn confirm(&self, rooms: &[RoomKey], ticket: Ticket) {
        {
            let mut state = self.lock();
            for room in rooms {
                if let Some(hearing) = state.rooms.get_mut(room) {
                    *hearing = Hearing::Heard;
                }
            }
        }
        self.heard.send_modify(|heard| *heard = ticket.max(*heard));
    }

    /// Rooms that were left `linger` ago and that nobody has come to since:
    /// they are not wanted any more.
    pub(super) fn expire(&self, linger: Duration, is_wanted: impl Fn(&RoomKey) -> bool) -> Vec<RoomKey> {
        let mut state = self.lock();
        let now = Instant::now();
        let due = state.left.partition_point(|(at, _)| *at + linger <= now);
        let due: Vec<RoomKey> = state.left.drain(..due).map(|(_, room)| room).collect();
        let mut gone = Vec::new();
        for room in due {
            match state.rooms.get(&room) {
                // a member enters its room before it asks for it: whoever comes now asks after this
                Some(Hearing::Heard) if mutated!(DropWanted) || !is_wanted(&room) => {
                    state.rooms.remove(&room);
                    gone.push(room);
                }
                Some(Hearing::Asked(_)) => state.left.push((now, room)),
                Some(Hearing::Heard) | None => {}
            }
        }
        gone
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The ticket to wait for, unless it is heard.
    fn ask(&mut self, room: &RoomKey) -> Option<Ticket> {
        match self.rooms.get(room) {
            Some(Hearing::Heard) => None,
            Some(Hearing::Asked(ticket)) => Some(*ticket),
            None => {
                let ticket = self.taken + 1;
                self.rooms.insert(room.clone(), Hearing::Asked(ticket));
                self.gathering.push(room.clone());
                Some(ticket)
            }
        }
    }
}
