//! From the mailbox to the connections, and from them to the network.

use std::rc::Rc;
use std::sync::Arc;

use crate::message::{Message, Position};
use crate::protocol::{Body, Frames};
use crate::rooms::mailbox::{Delivery, Mailbox};
use crate::session::close::Close;
use crate::session::connection::Connection;
use crate::session::socket::Socket;
use crate::trace::FanOut;

use super::Worker;

/// Connections written to before other tasks have their turn.
const FLUSH_CHUNK: usize = 512;

/// The last frame that this worker encoded itself.
pub(super) struct LocalFrames {
    message: Arc<Message>,
    position: Position,
    frames: Rc<Frames>,
}

impl Worker {
    /// Hands out what the adapter delivers, in its order: all that waits, then
    /// one write for each connection that got anything.
    pub(super) async fn fan_out(self: Rc<Self>, mailbox: Arc<Mailbox>) {
        let (mut batch, mut messages, mut traced) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            let since = tokio::select! {
                biased;
                () = self.tasks.stop().cancelled() => return,
                since = mailbox.take(&mut batch) => since,
            };
            let sent = self.hand_out(&mut batch, &mut messages, &mut traced);
            if batch.capacity() > 4096 {
                batch = Vec::new();
            }
            self.local.borrow_mut().take();
            self.taken.send_modify(|taken| *taken += 1);
            self.shared.metrics.delivered(sent);
            while !self.flush_some() {
                tokio::task::yield_now().await;
            }
            if sent > 0 {
                self.shared.router.fanned_out(since);
            }
            // this worker's part of them ends here
            traced.clear();
        }
    }

    /// Answers how many sends it came to. `messages` is room to work in; `traced` gets the spans of what was handed out.
    fn hand_out(&self, batch: &mut Vec<Delivery>, messages: &mut Vec<Arc<Message>>, traced: &mut Vec<FanOut>) -> usize {
        let mut shard = self.shard.borrow_mut();
        let mut sent = 0;
        for delivery in batch.drain(..) {
            let other = match delivery {
                Delivery::Message(message) => {
                    messages.push(message);
                    continue;
                }
                other => other,
            };
            sent += shard.deliver(messages);
            messages.clear();
            match other {
                Delivery::Message(_) => {}
                // alone, so that what it came to is known
                Delivery::Traced(message, fan_out) => {
                    let own = shard.deliver(&[message]);
                    fan_out.delivered(own);
                    traced.push(fan_out);
                    sent += own;
                }
                Delivery::Tick(position) => shard.tick(position),
                Delivery::Canary(sent) => self.shared.router.took_canary(self.index, sent),
                Delivery::Lost { namespace, rooms } => self.lose(&shard.members(namespace, &rooms)),
                Delivery::BeginAnew(_done) => {
                    self.close_all(Close::Lost);
                    for connection in self.all() {
                        connection.sockets.borrow().iter().for_each(|socket| socket.begin_anew());
                    }
                    shard.begin_anew();
                }
            }
        }
        sent += shard.deliver(messages);
        messages.clear();
        sent
    }

    /// What these missed cannot be had any more: nothing that follows may
    /// reach them.
    fn lose(&self, sockets: &[Rc<Socket>]) {
        tracing::warn!(sockets = sockets.len(), "messages cannot be had any more: the connections end");
        sockets.iter().for_each(|socket| socket.connection.close(Close::Lost));
    }

    /// Resolves when this worker has handed out the message at `position`; for
    /// one without a place in the log, what is in the mailbox now.
    pub(in crate::session) async fn caught_up(&self, position: Option<Position>) {
        let mut taken = self.taken.subscribe();
        let reached = |_: &u64| position.is_none_or(|position| self.position() >= position);
        if position.is_none() {
            taken.mark_unchanged();
            // an error would mean that the worker is gone, and this with it
            let _ = taken.changed().await;
        } else {
            let _ = taken.wait_for(reached).await;
        }
    }

    /// A frame without a place of its own: the same for all whose position is
    /// the same.
    pub(in crate::session) fn encode_local(
        &self,
        message: &Arc<Message>,
        namespace: &Arc<str>,
        body: &Body,
        position: Position,
    ) -> Rc<Frames> {
        let mut local = self.local.borrow_mut();
        if let Some(last) = &*local
            && Arc::ptr_eq(&last.message, message)
            && last.position == position
        {
            return Rc::clone(&last.frames);
        }
        let offset = self.shared.adapter.offset(position).to_string();
        let frames = Rc::new(Frames::event(namespace, body, None, Some(offset.as_bytes())));
        *local = Some(LocalFrames { message: Arc::clone(message), position, frames: Rc::clone(&frames) });
        frames
    }

    /// The connection has something to write.
    pub(in crate::session) fn mark_dirty(&self, connection: Rc<Connection>) {
        self.dirty.borrow_mut().push(connection);
    }

    /// Writes what waits, one write a connection.
    pub(in crate::session) fn flush(&self) {
        while !self.flush_some() {}
    }

    /// A connection's outbound queue has grown or shrunk, in bytes.
    pub(in crate::session) fn queue_changed(&self, before: usize, now: usize) {
        self.queued.set(self.queued.get() + now as i64 - before as i64);
    }

    /// Once for many connections; the shared counter is not touched for each.
    fn tell_queued(&self) {
        let change = self.queued.take();
        if change != 0 {
            self.shared.metrics.queued(change);
        }
    }

    /// True when nothing is left.
    fn flush_some(&self) -> bool {
        let mut some = {
            let mut dirty = self.dirty.borrow_mut();
            if dirty.is_empty() {
                self.tell_queued();
                return true;
            }
            if dirty.len() <= FLUSH_CHUNK {
                std::mem::take(&mut *dirty)
            } else {
                let keep = dirty.len() - FLUSH_CHUNK;
                dirty.split_off(keep)
            }
        };
        for connection in some.drain(..) {
            connection.flush();
        }
        self.tell_queued();
        let mut dirty = self.dirty.borrow_mut();
        if dirty.capacity() == 0 {
            *dirty = some;
        }
        dirty.is_empty()
    }
}
