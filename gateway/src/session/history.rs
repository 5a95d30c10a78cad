//! A room's recent messages, for a socket that joins it.
//!
//! They come from the recovery log, up to the position from which the socket
//! hears the room live, so that nothing is missing between and nothing comes
//! twice. Each ends in the position that the socket has reached, and not in its
//! own: a client that keeps that offset does not fall back behind what it has.
//!
//! Best effort: of a room in which more was said than is kept, what is kept.

use std::sync::Arc;

use crate::adapter::Range;
use crate::config::History;
use crate::message::{Message, Position, Room};
use crate::recovery::Stay;

use super::cut::{Cut, CutError, Paced, Writing};

impl<R: Paced> Cut<'_, R> {
    /// As [`Cut::join`], with what was said in the room before. One that the
    /// socket is in already is left as it is.
    pub(crate) async fn join_with_past(
        &self,
        recipient: &R,
        writing: Writing,
        room: Room,
        history: History,
    ) -> Result<(), CutError> {
        let is_in = recipient.feed().borrow().stay(&room).is_some();
        if is_in {
            return self.join(recipient, writing, vec![room]).await;
        }
        let rooms = std::slice::from_ref(&room);
        // where there is a log there is a session, whose write fixes this position
        let since = self.enter(recipient, writing, rooms).await?;
        // until then everything for the recipient is held
        self.send_past(recipient, &room, since, history).await?;
        self.settle(recipient, rooms, since);
        self.release(recipient).await
    }

    /// Sends the last messages of a room up to `through`, from where the socket
    /// hears it. What is newer must be held until this returns.
    pub(crate) async fn send_past(
        &self,
        recipient: &R,
        room: &Room,
        through: Position,
        history: History,
    ) -> Result<(), CutError> {
        let age = u64::try_from(history.age.as_millis()).unwrap_or(u64::MAX);
        let range = Range { room: room.clone(), after: Position::new(through.ms().saturating_sub(age), 0), through };
        for message in self.adapter.recent(self.namespace.id, &range, history.count).await? {
            let (wanted, reached) = {
                let feed = recipient.feed().borrow();
                (is_new(&message, room, feed.stays()), feed.position(self.shard.borrow().position()))
            };
            if let Some(message) = message.ending_in(self.adapter.offset(reached)).filter(|_| wanted) {
                recipient.ready().await?;
                recipient.send(&Arc::new(message), reached);
            }
        }
        Ok(())
    }
}

/// Whether the socket has not had it by way of another room, and it was not
/// meant for everybody but those who are in one of its rooms.
fn is_new(message: &Message, room: &Room, stays: &[Stay]) -> bool {
    let id = message.position().unwrap_or_default();
    let had = |stay: &Stay| stay.room != *room && stay.since < id && message.rooms.contains(&stay.room);
    let excepted = |stay: &Stay| message.except.contains(&stay.room);
    !stays.iter().any(|stay| had(stay) || excepted(stay))
}
