//! Whether the client is still there.
//!
//! One entry of the worker's wheel stands for the next deadline of a
//! connection; which that is, is decided when it fires. Old clients ping by
//! themselves: whatever comes from them moves the end.

use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;

use crate::protocol::engine::{self, TransportKind, Version};
use crate::session::close::Close;
use crate::session::standing::Due;
use crate::session::worker::SessionLimits;

use super::Connection;

/// Where the heartbeat stands.
#[derive(Debug, Clone, Copy)]
pub(super) enum Beat {
    /// A ping is due.
    Ping(Instant),
    /// A pong must have come; from an old client, anything.
    Pong(Instant),
}

impl Beat {
    /// Of a connection that is opened now.
    pub(super) fn first(version: Version, limits: &SessionLimits, now: Instant) -> Self {
        if version.is_legacy() {
            Beat::Pong(now + silence(version, limits))
        } else {
            Beat::Ping(now + limits.ping_interval)
        }
    }
}

/// How long nothing may come from a client that is to send something.
fn silence(version: Version, limits: &SessionLimits) -> Duration {
    let (interval, timeout) = limits.heartbeat(version);
    if version.is_legacy() { interval + timeout } else { timeout }
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
        let sockets = self.sockets.borrow();
        let tokens = sockets.iter().filter_map(|socket| socket.standing.as_ref()?.due_at());
        self.connect_by.get().into_iter().chain(tokens).fold(beat, Instant::min)
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
        self.look_at_tokens(now);
        let timeout = silence(self.version, &self.worker.shared.limits);
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

    /// Warns clients whose token will end, and ends the connection with the
    /// first that has.
    fn look_at_tokens(&self, now: Instant) {
        let sockets = self.sockets.borrow().clone();
        for socket in sockets {
            let (Some(standing), entry) = (&socket.standing, &socket.rules().entry) else { continue };
            match standing.take_due(now, entry) {
                None => {}
                Some(Due::Warning(_)) => {
                    if let (Some(event), Some(expires)) = (&entry.signals.warn, standing.identity().expires) {
                        socket.say(event, &[json!({ "expires_at": expires.0 })]);
                    }
                }
                Some(Due::End(_)) => socket.dismiss(entry.signals.expired.as_deref(), Close::AuthExpired),
            }
        }
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

    /// Something came from an old client. The entry in the wheel is an earlier
    /// one, and will find it.
    pub(super) fn on_sign_of_life(&self) {
        self.beat.set(Beat::first(self.version, &self.worker.shared.limits, Instant::now()));
    }

    pub(super) fn answer_ping(self: &Rc<Self>, data: &str) {
        let pong = [&[engine::PONG], data.as_bytes()].concat();
        self.enqueue(self.format.get().carry(&pong));
    }

    pub(super) fn on_pong(&self) {
        if let Beat::Pong(_) = self.beat.get()
            && !self.version.is_legacy()
        {
            self.beat.set(Beat::Ping(Instant::now() + self.worker.shared.limits.ping_interval));
            self.sockets.borrow().iter().for_each(|socket| socket.on_pong());
            self.schedule();
        }
    }
}
