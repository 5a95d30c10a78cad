//! HTTP long-polling: a connection's requests.

use std::rc::Rc;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::protocol::engine::{self, BadPacket, Inbound};
use crate::protocol::{Format, legacy, payload};

use super::close::Close;
use super::connection::{Connection, Input};
use super::link::{Link, PollLink};

/// Bytes of packets in one answer, unless a single packet is larger.
const MAX_ANSWER: usize = 1 << 20;

/// The body that answers a GET, and the format that it is in.
#[derive(Debug)]
pub struct PollAnswer {
    pub payload: Bytes,
    pub format: Format,
}

/// Why a polling request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PollError {
    #[error("the connection uses another transport")]
    WrongTransport,
    /// The connection is closed for it.
    #[error("two requests at a time, or one that was sent twice")]
    Overlap,
    /// The connection is closed for it.
    #[error("malformed payload")]
    BadPayload,
    #[error("the connection has ended")]
    Closed,
}

impl Connection {
    /// A GET: waits for packets. `repeat` is the client's `t`, new with each
    /// request. Dropped before it is answered, it closes the connection: the
    /// client, or somebody on the way, has given up.
    ///
    /// # Errors
    /// See [`PollError`].
    pub async fn poll(self: Rc<Self>, repeat: Option<&str>) -> Result<PollAnswer, PollError> {
        // an upgrade changes it
        let format = self.format.get();
        let answer = {
            let mut link = self.link.borrow_mut();
            let Link::Polling(link) = &mut *link else { return Err(PollError::WrongTransport) };
            let repeated = repeat.is_some() && link.last.as_deref() == repeat;
            link.last = repeat.map(Box::from);
            if repeated || link.waiting.is_some() {
                self.close(Close::BadProtocol);
                return Err(PollError::Overlap);
            }
            if link.upgrading {
                return Ok(PollAnswer { payload: format.carry(engine::NOOP), format });
            }
            let (sender, answer) = oneshot::channel();
            link.waiting = Some(sender);
            self.answer_poll(link);
            self.on_written();
            answer
        };
        let mut waiting = Waiting::new(&self);
        let answer = answer.await;
        waiting.answered = true;
        answer.map(|payload| PollAnswer { payload, format }).map_err(|_| PollError::Closed)
    }

    /// A POST: takes the packets of its body.
    ///
    /// # Errors
    /// See [`PollError`].
    pub async fn post(self: Rc<Self>, body: Bytes) -> Result<(), PollError> {
        let taken = match &*self.link.borrow() {
            Link::Polling(link) => Rc::clone(&link.taken),
            Link::WebSocket(_) | Link::Closed => return Err(PollError::WrongTransport),
        };
        while self.is_congested() && self.closing().is_none() {
            taken.notified().await;
        }
        if self.closing().is_some() {
            return Err(PollError::Closed);
        }
        if self.version.is_legacy() { self.take(legacy::payload::read(&body)) } else { self.take(payload::read(&body)) }
    }

    fn take(self: &Rc<Self>, packets: impl Iterator<Item = Result<Inbound, BadPacket>>) -> Result<(), PollError> {
        for (n, inbound) in packets.enumerate() {
            let Some(inbound) = inbound.ok().filter(|_| n < payload::MAX_PACKETS) else {
                self.push(Input::End(Close::BadProtocol));
                return Err(PollError::BadPayload);
            };
            self.on_inbound(inbound);
        }
        Ok(())
    }

    /// Answers the GET that waits with what is queued, if both are there.
    pub(super) fn answer_poll(&self, link: &mut PollLink) {
        let mut outbound = self.outbound.borrow_mut();
        if outbound.is_empty() {
            return;
        }
        if let Some(waiting) = link.waiting.take() {
            let answer = self.format.get().payload(outbound.take(MAX_ANSWER));
            // who waited may have gone: then its guard has closed the connection
            let _ = waiting.send(answer);
        }
    }
}

/// Closes the connection when a GET is given up before it was answered.
struct Waiting<'a> {
    connection: &'a Rc<Connection>,
    answered: bool,
}

impl<'a> Waiting<'a> {
    fn new(connection: &'a Rc<Connection>) -> Self {
        connection.worker.shared.metrics.polls_waiting.inc();
        Waiting { connection, answered: false }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.connection.worker.shared.metrics.polls_waiting.dec();
        if !self.answered {
            self.connection.close(Close::Client);
        }
    }
}
