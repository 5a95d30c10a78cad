//! What one socket hears: its rooms, and whether messages go to it at once or
//! are held until a cut is made.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::adapter::inspect::{Fate, Keeping};
use crate::message::{Message, Position, Room};
use crate::recovery::mutated;

/// A room that the socket is in, as its worker sees it.
#[derive(Debug, Clone)]
pub struct Stay {
    pub room: Room,
    /// Messages after this are sent live; [`Position::NEVER`] while the room
    /// is not confirmed yet.
    pub since: Position,
    /// The last message that is; [`Position::NEVER`] until it is being left.
    pub until: Position,
    /// Index among the room's members at the worker.
    pub slot: u32,
}

impl Stay {
    /// Whether a message at `id` falls into the stay.
    fn covers(&self, id: Position) -> bool {
        self.since < id && id <= self.until
    }
}

/// The feed of one socket. A state machine without I/O.
#[derive(Debug)]
pub struct Feed {
    stays: Vec<Stay>,
    state: State,
    /// All rooms were read up to here; the worker may still be behind it.
    floor: Position,
    /// The last thing offered to this socket: a message to several of its
    /// rooms is taken once.
    last_ticket: u64,
}

#[derive(Debug)]
enum State {
    /// CONNECT has not been answered: nothing may be sent.
    Opening(Hold),
    Live,
    /// Connected, and behind the worker.
    Holding(Box<Hold>),
}

#[derive(Debug, Default)]
struct Hold {
    /// The client has been sent everything up to here.
    cursor: Position,
    messages: VecDeque<Arc<Message>>,
    bytes: usize,
    overflowed: bool,
}

/// What to do with a message for a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Send it; a frame without a place of its own ends in this position.
    Send(Position),
    /// Held, not meant for it, or had already.
    Keep,
}

/// What would become of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Foreseen<'a> {
    /// The first of its rooms that decides.
    pub room: &'a Room,
    pub fate: Fate,
    /// The room that the socket is left out by.
    pub except: Option<&'a Room>,
}

/// What comes out of a hold.
#[derive(Debug)]
pub enum Released {
    /// To be sent in this order; the socket is live.
    Live(VecDeque<Arc<Message>>),
    /// More came than was held: read the log from here, and try again.
    Overflowed { from: Position },
}

impl Feed {
    /// A socket whose CONNECT is not answered yet: everything is held.
    /// `cursor`: what the client has from an earlier connection.
    pub fn opening(cursor: Position) -> Self {
        Feed {
            stays: Vec::new(),
            state: State::Opening(Hold { cursor, ..Hold::default() }),
            floor: Position::ZERO,
            last_ticket: 0,
        }
    }

    pub fn stays(&self) -> &[Stay] {
        &self.stays
    }

    pub fn stay(&self, room: &Room) -> Option<&Stay> {
        self.stays.iter().find(|stay| stay.room == *room)
    }

    pub(crate) fn stay_mut(&mut self, room: &Room) -> Option<&mut Stay> {
        self.stays.iter_mut().find(|stay| stay.room == *room)
    }

    pub(crate) fn enter(&mut self, stay: Stay) {
        if self.stays.capacity() == self.stays.len() {
            self.stays.reserve_exact(2);
        }
        self.stays.push(stay);
    }

    pub(crate) fn leave(&mut self, room: &Room) -> Option<Stay> {
        let index = self.stays.iter().position(|stay| stay.room == *room)?;
        Some(self.stays.swap_remove(index))
    }

    /// Everything up to here has been sent to the client, so far as it is
    /// meant for it. `worker`: the last position that its worker has taken.
    pub fn position(&self, worker: Position) -> Position {
        if mutated!(WorkerPositionWhileReplaying) {
            return worker;
        }
        match &self.state {
            State::Live if mutated!(ForgetReplayed) => worker,
            State::Live => worker.max(self.floor),
            State::Opening(hold) => hold.cursor,
            State::Holding(hold) => hold.cursor,
        }
    }

    /// CONNECT has been answered.
    pub fn is_connected(&self) -> bool {
        !matches!(self.state, State::Opening(_))
    }

    pub fn is_live(&self) -> bool {
        matches!(self.state, State::Live)
    }

    /// A message by way of a room in which the socket is since `since` and
    /// until `until`. `ticket` numbers what the worker hands out, `worker` is its position
    /// before this message. At most `max_held` bytes are held.
    pub(crate) fn on_message(
        &mut self,
        message: &Arc<Message>,
        since: Position,
        until: Position,
        ticket: u64,
        worker: Position,
        max_held: usize,
    ) -> Verdict {
        if self.last_ticket == ticket && !mutated!(OncePerRoom) {
            return Verdict::Keep;
        }
        match message.position() {
            Some(id) if id > until => Verdict::Keep,
            Some(id) => self.on_logged(message, id, since, ticket, worker, max_held),
            None => self.on_unlogged(message, since, ticket, worker),
        }
    }

    fn on_logged(
        &mut self,
        message: &Arc<Message>,
        id: Position,
        since: Position,
        ticket: u64,
        worker: Position,
        max_held: usize,
    ) -> Verdict {
        let pending = since == Position::NEVER;
        if !pending && id <= since {
            return Verdict::Keep;
        }
        self.last_ticket = ticket;
        if mutated!(SkipHold) {
            return Verdict::Send(id);
        }
        if matches!(self.state, State::Live) {
            if !pending && message.except.is_empty() {
                return Verdict::Send(id);
            }
            if !pending && !self.is_uncertain(&message.except) {
                return if self.is_excepted(message, id) { Verdict::Keep } else { Verdict::Send(id) };
            }
            let cursor = worker.max(self.floor);
            self.state = State::Holding(Box::new(Hold { cursor, ..Hold::default() }));
        }
        match &mut self.state {
            State::Live => {}
            State::Opening(hold) => hold.push(message, max_held),
            State::Holding(hold) => hold.push(message, max_held),
        }
        Verdict::Keep
    }

    /// What has no place in the log is for who is connected and in the room
    /// now, and cannot wait.
    fn on_unlogged(&mut self, message: &Arc<Message>, since: Position, ticket: u64, worker: Position) -> Verdict {
        let excepted = message.except.iter().any(|room| self.stay(room).is_some());
        if since == Position::NEVER || excepted || matches!(self.state, State::Opening(_)) {
            return Verdict::Keep;
        }
        self.last_ticket = ticket;
        Verdict::Send(self.position(worker))
    }

    /// Whether a room that decides about `except` is not confirmed yet.
    fn is_uncertain(&self, except: &[Room]) -> bool {
        if mutated!(GuessExcept) {
            return false;
        }
        except.iter().any(|room| self.stay(room).is_some_and(|stay| stay.since == Position::NEVER))
    }

    fn is_excepted(&self, message: &Message, id: Position) -> bool {
        message.except.iter().any(|room| self.stay(room).is_some_and(|stay| stay.covers(id)))
    }

    fn is_entitled(&self, message: &Message) -> bool {
        let Some(id) = message.position() else { return false };
        message.rooms.iter().any(|room| self.stay(room).is_some_and(|stay| stay.covers(id)))
            && !self.is_excepted(message, id)
    }

    /// What would become of a message to these rooms now, and by which of them:
    /// as [`Self::on_message`] decides, and [`Self::release`] where it is held.
    /// `None` where the socket is in none of them.
    pub fn foresee<'a>(&self, rooms: &'a [Room], except: &'a [Room], keeping: Keeping) -> Option<Foreseen<'a>> {
        let mut passed_by = None;
        for room in rooms {
            let Some(stay) = self.stay(room) else { continue };
            let (pending, leaving) = (stay.since == Position::NEVER, stay.until != Position::NEVER);
            let left_out = |stay: &Stay| stay.since != Position::NEVER && stay.until == Position::NEVER;
            let (fate, except) = match keeping {
                Keeping::Logged if leaving => (Fate::Leaving, None),
                Keeping::Logged => {
                    let excepted = except.iter().find(|room| self.stay(room).is_some_and(left_out));
                    match excepted {
                        Some(room) => (Fate::Excepted, Some(room)),
                        None if pending || !self.is_live() || self.is_uncertain(except) => (Fate::Held, None),
                        None => (Fate::Sent, None),
                    }
                }
                Keeping::Unlogged | Keeping::Volatile if pending || !self.is_connected() => (Fate::Joining, None),
                Keeping::Unlogged | Keeping::Volatile => match except.iter().find(|room| self.stay(room).is_some()) {
                    Some(room) => (Fate::Excepted, Some(room)),
                    None => (Fate::Sent, None),
                },
            };
            let foreseen = Foreseen { room, fate, except };
            match fate {
                // another room may bring it
                Fate::Leaving | Fate::Joining => passed_by = passed_by.or(Some(foreseen)),
                Fate::Sent | Fate::Held | Fate::Excepted | Fate::Congested | Fate::Closing => return Some(foreseen),
            }
        }
        passed_by
    }

    /// CONNECT has been answered: what has no place in the log may go out.
    pub fn connected(&mut self) {
        if let State::Opening(hold) = &mut self.state {
            self.state = State::Holding(Box::new(std::mem::take(hold)));
        }
    }

    /// The client has been sent the log up to here.
    pub fn replayed(&mut self, through: Position) {
        match &mut self.state {
            State::Live => {}
            State::Opening(hold) => hold.cursor = hold.cursor.max(through),
            State::Holding(hold) => hold.cursor = hold.cursor.max(through),
        }
    }

    /// All rooms have been replayed up to here: live messages count from it.
    pub fn replayed_all(&mut self, through: Position) {
        self.replayed(through);
        self.floor = self.floor.max(through);
    }

    /// Ends the hold, unless more came than it could keep.
    pub fn release(&mut self) -> Released {
        let hold = match std::mem::replace(&mut self.state, State::Live) {
            State::Live => return Released::Live(VecDeque::new()),
            State::Opening(hold) => hold,
            State::Holding(hold) => *hold,
        };
        if hold.overflowed && !mutated!(ForgetOverflow) {
            let cursor = hold.cursor;
            self.state = State::Holding(Box::new(Hold { cursor, ..Hold::default() }));
            return Released::Overflowed { from: cursor };
        }
        let mut messages = hold.messages;
        if !mutated!(ReleaseAll) {
            messages.retain(|message| self.is_entitled(message));
        }
        Released::Live(messages)
    }
}

impl Hold {
    fn push(&mut self, message: &Arc<Message>, max_held: usize) {
        if self.overflowed {
            return;
        }
        self.bytes += message.len();
        if self.bytes > max_held {
            self.messages = VecDeque::new();
            self.overflowed = true;
            return;
        }
        self.messages.push_back(Arc::clone(message));
    }
}

#[cfg(test)]
mod tests;
