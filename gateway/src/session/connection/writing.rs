//! What leaves a connection.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;

use crate::protocol::websocket::{self, Opcode};
use crate::session::close::Close;
use crate::session::link::Link;
use crate::tls::Stream;

use super::Connection;

/// Bytes that may wait for a polling client's next GET before it counts as
/// slow and volatile events are dropped for it.
const POLLING_BACKLOG: usize = 16 * 1024;

impl Connection {
    /// Queues an encoded packet; it leaves at the next flush.
    pub(in crate::session) fn enqueue(self: &Rc<Self>, packet: Bytes) {
        if self.closing.get().is_some() {
            return;
        }
        let (waiting, bytes) = {
            let mut outbound = self.outbound.borrow_mut();
            let waiting = outbound.bytes();
            outbound.push(packet);
            (waiting, outbound.bytes())
        };
        // one packet of any size passes: who waits for nothing is not slow
        let limit = self.worker.shared.limits.outbound_queue;
        if waiting > 0 && bytes > limit {
            self.flush();
            if self.outbound.borrow().bytes() > limit {
                return self.close(Close::SlowConsumer);
            }
        }
        if !self.dirty.replace(true) {
            self.worker.mark_dirty(Rc::clone(self));
        }
    }

    /// Whether what is queued now would wait: volatile events are dropped then.
    pub(in crate::session) fn is_blocked(&self) -> bool {
        match &*self.link.borrow() {
            // between two GETs it is not slow yet
            Link::Polling(link) => link.waiting.is_none() && self.outbound.borrow().bytes() > POLLING_BACKLOG,
            Link::WebSocket(_) => self.blocked.get(),
            Link::Closed => true,
        }
    }

    /// Writes what is queued, as far as the client takes it now.
    pub(in crate::session) fn flush(&self) {
        self.dirty.set(false);
        if self.closing.get().is_some() {
            return;
        }
        match &mut *self.link.borrow_mut() {
            Link::WebSocket(stream) if !self.blocked.get() => self.write(stream),
            Link::Polling(link) => self.answer_poll(link),
            Link::WebSocket(_) | Link::Closed => {}
        }
        self.on_written();
    }

    /// Counts what is left, which is nothing for most, and wakes the job that
    /// waits for what has been written.
    pub(in crate::session) fn on_written(&self) {
        let bytes = self.outbound.borrow().bytes();
        let before = self.counted.replace(bytes);
        if bytes != before {
            self.worker.queue_changed(before, bytes);
        }
        if self.awaited.get().is_some_and(|awaited| bytes <= awaited) {
            self.wake();
        }
    }

    fn write(&self, stream: &Stream) {
        match self.write_all(stream) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.blocked.set(true);
                self.wake();
            }
            Err(_) => self.close(Close::Client),
        }
    }

    fn write_all(&self, stream: &Stream) -> io::Result<()> {
        let mut outbound = self.outbound.borrow_mut();
        let mut scratch = self.worker.write_scratch.borrow_mut();
        while !outbound.is_empty() {
            let written = stream.try_write(outbound.next_write(&mut scratch))?;
            outbound.advance(written);
        }
        // nothing of it may stay behind: only who is blocked is waited for
        stream.try_flush()
    }

    /// The socket takes more again.
    pub(in crate::session) fn unblocked(&self) {
        self.blocked.set(false);
        self.flush();
    }

    pub(in crate::session) fn waits_to_write(&self) -> bool {
        self.blocked.get()
    }

    /// Resolves when at most so many bytes wait to be written, or the
    /// connection ends. Only for jobs of the connection's own task, which a
    /// flush wakes.
    pub(in crate::session) async fn drained_to(&self, bytes: usize) {
        poll_fn(|_| {
            let wait = self.closing.get().is_none() && self.outbound.borrow().bytes() > bytes;
            self.awaited.set(wait.then_some(bytes));
            if wait { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }

    /// A control frame of the WebSocket itself.
    pub(in crate::session) fn on_websocket_ping(self: &Rc<Self>, payload: &[u8]) {
        self.enqueue(websocket::frame(Opcode::Pong, payload));
    }
}
