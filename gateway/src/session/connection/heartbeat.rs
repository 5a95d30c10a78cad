//! Whether the client is still there.
//!
//! One entry of the worker's wheel stands for the next deadline of a
//! connection; which that is, is decided when it fires.

use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;

use crate::protocol::engine::{self, TransportKind};
use crate::session::close::Close;

use super::Connection;

/// Where the heartbeat stands.
#[derive(Debug, Clone, Copy)]
pub(super) enum Beat {
    /// A ping is due.
    Ping(Instant),
    /// A pong must have come.
    Pong(Instant),
}

impl Connection {
    /// Enters the next deadline into the wheel, unless an entry stands for it.
    pub(in crate::session) fn schedule(&self) {
        let next = self.deadline();
        if self.scheduled.get().is_none_or(|at| next < at) {
            self.scheduled.set(Some(next));
            self.worker.schedule(self.key, next);
        }
    }

    fn deadline(&self) -> Instant {
        let beat = match self.beat.get() {
            Beat::Ping(at) | Beat::Pong(at) => at,
        };
        self.connect_by.get().map_or(beat, |by| by.min(beat))
    }

    /// An entry of the wheel fired; it may be an old one.
    pub(in crate::session) fn on_timer(self: &Rc<Self>, now: Instant) {
        if self.scheduled.get().is_none_or(|at| at > now) {
            return;
        }
        self.scheduled.set(None);
        if self.connect_by.get().is_some_and(|by| by <= now) {
            return self.close(Close::ConnectTimeout);
        }
        let timeout = self.worker.shared.limits.ping_timeout;
        match self.beat.get() {
            Beat::Ping(at) if at <= now => {
                self.send_ping();
                self.beat.set(Beat::Pong(now + timeout));
            }
            // pongs may be behind what is not read
            Beat::Pong(by) if by <= now && self.is_congested() => self.beat.set(Beat::Pong(now + timeout)),
            Beat::Pong(by) if by <= now => return self.close(Close::Heartbeat),
            Beat::Ping(_) | Beat::Pong(_) => {}
        }
        self.schedule();
    }

    fn send_ping(self: &Rc<Self>) {
        const WEBSOCKET_PING: &[u8] = &[0x81, 1, b'2'];
        let reached = self.worker.position();
        for socket in &*self.sockets.borrow() {
            socket.on_ping(reached);
        }
        self.enqueue(Bytes::from_static(match self.transport() {
            TransportKind::WebSocket => WEBSOCKET_PING,
            TransportKind::Polling => engine::PING,
        }));
    }

    pub(super) fn on_pong(&self) {
        if let Beat::Pong(_) = self.beat.get() {
            self.beat.set(Beat::Ping(Instant::now() + self.worker.shared.limits.ping_interval));
            self.sockets.borrow().iter().for_each(|socket| socket.on_pong());
            self.schedule();
        }
    }
}
