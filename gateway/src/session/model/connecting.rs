//! What `connect.rs` does, in the model.

use std::rc::Rc;

use crate::adapter::{Claim, Claimant, Ending, NewSession, ReadError, SessionKey, TakeOverError, WriteError};
use crate::message::{Offset, Position, PrivateId, Room, SocketId};
use crate::session::cut::{CutError, resume_from};

use super::server::{Link, Outcome};

impl Link {
    /// CONNECT with what the client shows, as a new session otherwise.
    pub(super) async fn connect(
        self: Rc<Self>,
        shown: Option<(PrivateId, Option<Offset>)>,
        id: SocketId,
        pid: PrivateId,
        rooms: Vec<Room>,
    ) {
        if let Some((pid, offset)) = shown {
            let Some(outcome) = self.check(self.recover(pid, offset).await) else { return };
            self.outcomes.borrow_mut().push((pid, outcome));
            if matches!(outcome, Outcome::Recovered(_)) {
                return;
            }
        }
        let opened = self.open(id, pid, rooms).await;
        self.check(opened);
    }

    async fn open(self: &Rc<Self>, id: SocketId, pid: PrivateId, mut rooms: Vec<Room>) -> Result<(), CutError> {
        let key = SessionKey { pid, generation: NewSession::GENERATION };
        let namespace = self.place.namespace.id;
        let session = NewSession {
            pid,
            socket: id,
            namespace,
            subject: None,
            identity: None,
            watched: self.place.watched,
            rooms: rooms.clone(),
        };
        rooms.extend([Room::All, Room::Socket(id)]);
        let socket = self.socket(id, key, Position::ZERO);
        let cut = self.place.cut();
        cut.open(&socket, &rooms, Some(session)).await?;
        self.connected(&socket);
        cut.release(&socket).await
    }

    async fn recover(self: &Rc<Self>, pid: PrivateId, offset: Option<Offset>) -> Result<Outcome, CutError> {
        let adapter = &self.place.adapter;
        let claim = Claim { pid, namespace: self.place.namespace.id, subject: Claimant::Nobody };
        let taken = match adapter.take_over(claim).await {
            Ok(taken) => taken,
            Err(TakeOverError::Unknown | TakeOverError::Foreign) => return Ok(Outcome::Unknown),
            Err(TakeOverError::Unavailable(unavailable)) => return Err(unavailable.into()),
        };
        let key = SessionKey { pid, generation: taken.generation };
        let Some(from) = resume_from(&taken, offset) else {
            adapter.end_session(key, Ending::Lost).await.map_err(WriteError::from)?;
            return Ok(Outcome::Unknown);
        };
        let socket = self.socket(taken.socket, key, from);
        let cut = self.place.cut();
        let missed = match cut.recover(&socket, key, taken, from, &[]).await {
            Ok(missed) => missed,
            Err(error) => {
                let outcome = match error {
                    CutError::Read(ReadError::Trimmed) => Outcome::Trimmed(from),
                    CutError::Read(ReadError::TooMuch) => Outcome::TooMuch(from),
                    CutError::Ahead => Outcome::Ahead,
                    CutError::Write(_) | CutError::Read(ReadError::Unavailable(_)) | CutError::Gone => {
                        return Err(error);
                    }
                };
                cut.forget_all(&socket);
                self.sockets.borrow_mut().retain(|other| !Rc::ptr_eq(other, &socket));
                adapter.end_session(key, Ending::Lost).await.map_err(WriteError::from)?;
                return Ok(outcome);
            }
        };
        let replayed = missed.messages.len();
        self.connected(&socket);
        cut.replay(&socket, missed).await?;
        cut.release(&socket).await?;
        Ok(Outcome::Recovered(replayed))
    }
}
