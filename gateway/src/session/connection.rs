//! An Engine.IO session: what all of a client's namespaces share.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;
use tokio::net::TcpStream;

use crate::message::Token;
use crate::protocol::engine::{self, Inbound, TransportKind, Version};
use crate::protocol::packet::{BadPacket, Decoder, Packet};
use crate::protocol::websocket::{self, Opcode};
use crate::protocol::{Format, Parser};

use super::close::Close;
use super::link::{Link, PollLink};
use super::operate::Order;
use super::outbound::Outbound;
use super::slot::Slot;
use super::socket::Socket;
use super::worker::Worker;

/// What a client shows when it opens a connection.
#[derive(Debug)]
pub struct Opening {
    pub version: Version,
    /// Of the request, percent-encoded, without `?`.
    pub query: Box<str>,
    /// Of all connections, and of its worker's streams; given back when the
    /// connection ends.
    pub slots: (Slot, Option<Slot>),
}

/// See the module.
pub struct Connection {
    pub id: Token,
    pub(super) worker: Rc<Worker>,
    pub(super) key: usize,
    pub(super) version: Version,
    pub(super) query: Box<str>,
    pub(super) format: Cell<Format>,
    pub(super) link: RefCell<Link>,
    pub(super) outbound: RefCell<Outbound>,
    pub(super) sockets: RefCell<SmallVec<[Rc<Socket>; 1]>>,
    inbox: RefCell<VecDeque<Input>>,
    decoder: RefCell<Decoder>,
    /// A stream that replaces polling, for the task to take over.
    pub(super) upgraded: RefCell<Option<(TcpStream, BytesMut)>>,
    waker: RefCell<Option<Waker>>,
    closing: Cell<Option<Close>>,
    beat: Cell<Beat>,
    /// Until a namespace is joined.
    connect_by: Cell<Option<Instant>>,
    /// The deadline for which an entry stands in the wheel.
    scheduled: Cell<Option<Instant>>,
    /// Listed by the worker as having something to write.
    dirty: Cell<bool>,
    /// The socket took no more: the task waits until it does.
    blocked: Cell<bool>,
    /// The job of the task waits until no more than this is to be written.
    awaited: Cell<Option<usize>>,
    _slot: Slot,
    /// Of the worker's streams, once it has one.
    pub(super) stream_slot: RefCell<Option<Slot>>,
}

/// Bytes that may wait for a polling client's next GET before it counts as
/// slow and volatile events are dropped for it.
const POLLING_BACKLOG: usize = 16 * 1024;

/// What the task of a connection is to handle, in this order.
#[derive(Debug)]
pub(super) enum Input {
    Packet(Packet),
    /// The backend's will.
    Order(Order),
    /// Nothing more comes.
    End(Close),
}

/// Where the heartbeat stands.
#[derive(Debug, Clone, Copy)]
enum Beat {
    /// A ping is due.
    Ping(Instant),
    /// A pong must have come.
    Pong(Instant),
}

impl Connection {
    pub(super) fn new(worker: Rc<Worker>, key: usize, id: Token, opening: Opening, link: Link) -> Self {
        let now = Instant::now();
        let format = match &link {
            Link::Polling(_) => Format::JsonPolling,
            Link::WebSocket(_) | Link::Closed => Format::JsonWebSocket,
        };
        let limits = &worker.shared.limits;
        Connection {
            id,
            key,
            version: opening.version,
            query: opening.query,
            format: Cell::new(format),
            link: RefCell::new(link),
            outbound: RefCell::default(),
            sockets: RefCell::default(),
            inbox: RefCell::default(),
            decoder: RefCell::default(),
            upgraded: RefCell::default(),
            waker: RefCell::default(),
            closing: Cell::new(None),
            beat: Cell::new(Beat::Ping(now + limits.ping_interval)),
            connect_by: Cell::new(Some(now + limits.connect_timeout)),
            scheduled: Cell::new(None),
            dirty: Cell::new(false),
            blocked: Cell::new(false),
            awaited: Cell::new(None),
            _slot: opening.slots.0,
            stream_slot: RefCell::new(opening.slots.1),
            worker,
        }
    }

    /// The transport in use.
    pub fn transport(&self) -> TransportKind {
        match &*self.link.borrow() {
            Link::Polling(_) => TransportKind::Polling,
            Link::WebSocket(_) | Link::Closed => TransportKind::WebSocket,
        }
    }

    /// Ends the connection for this reason, soon; a first reason stays.
    pub fn close(&self, close: Close) {
        if self.closing.get().is_none() {
            self.closing.set(Some(close));
            self.wake();
        }
    }

    pub(super) fn closing(&self) -> Option<Close> {
        self.closing.get()
    }

    pub(super) fn register(&self, waker: &Waker) {
        let mut slot = self.waker.borrow_mut();
        if !slot.as_ref().is_some_and(|old| old.will_wake(waker)) {
            *slot = Some(waker.clone());
        }
    }

    pub(super) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    // ---- outbound

    /// Queues an encoded packet; it leaves at the next flush.
    pub(super) fn enqueue(self: &Rc<Self>, packet: Bytes) {
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
        if waiting > 0 && bytes > self.worker.shared.limits.outbound_queue {
            return self.close(Close::SlowConsumer);
        }
        if !self.dirty.replace(true) {
            self.worker.mark_dirty(Rc::clone(self));
        }
    }

    /// Whether what is queued now would wait: volatile events are dropped then.
    pub(super) fn is_blocked(&self) -> bool {
        match &*self.link.borrow() {
            // between two GETs it is not slow yet
            Link::Polling(link) => link.waiting.is_none() && self.outbound.borrow().bytes() > POLLING_BACKLOG,
            Link::WebSocket(_) => self.blocked.get(),
            Link::Closed => true,
        }
    }

    /// Writes what is queued, as far as the client takes it now.
    pub(super) fn flush(&self) {
        self.dirty.set(false);
        if self.closing.get().is_some() {
            return;
        }
        match &mut *self.link.borrow_mut() {
            Link::WebSocket(stream) if !self.blocked.get() => self.write(stream),
            Link::Polling(link) => self.answer_poll(link),
            Link::WebSocket(_) | Link::Closed => {}
        }
        self.wake_awaiting();
    }

    /// Wakes the job that waits for what has been written.
    pub(super) fn wake_awaiting(&self) {
        if self.awaited.get().is_some_and(|bytes| self.outbound.borrow().bytes() <= bytes) {
            self.wake();
        }
    }

    fn write(&self, stream: &TcpStream) {
        let mut outbound = self.outbound.borrow_mut();
        let mut scratch = self.worker.write_scratch.borrow_mut();
        while !outbound.is_empty() {
            let written = stream.try_write(outbound.next_write(&mut scratch));
            match written {
                Ok(written) => outbound.advance(written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.blocked.set(true);
                    return self.wake();
                }
                Err(_) => return self.close(Close::Client),
            }
        }
    }

    /// The socket takes more again.
    pub(super) fn unblocked(&self) {
        self.blocked.set(false);
        self.flush();
    }

    pub(super) fn waits_to_write(&self) -> bool {
        self.blocked.get()
    }

    /// Resolves when at most so many bytes wait to be written, or the
    /// connection ends. Only for jobs of the connection's own task, which a
    /// flush wakes.
    pub(super) async fn drained_to(&self, bytes: usize) {
        poll_fn(|_| {
            let wait = self.closing.get().is_none() && self.outbound.borrow().bytes() > bytes;
            self.awaited.set(wait.then_some(bytes));
            if wait { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }

    // ---- inbound

    /// An Engine.IO packet of the client.
    pub(super) fn on_inbound(&self, inbound: Inbound) {
        let max = self.worker.shared.limits.max_payload;
        let decoded = match inbound {
            Inbound::Pong => return self.on_pong(),
            Inbound::Close => return self.push(Input::End(Close::Client)),
            Inbound::Probe | Inbound::Upgrade => return self.push(Input::End(Close::BadProtocol)),
            Inbound::Text(text) => self.decoder.borrow_mut().on_text(text, max),
            Inbound::Binary(data) => match self.decoder.borrow_mut().on_binary(data, max) {
                Ok(Some((parser, packet))) => {
                    if self.accepts(parser) {
                        Ok(Some(packet))
                    } else {
                        Err(BadPacket)
                    }
                }
                Ok(None) => Ok(None),
                Err(error) => Err(error),
            },
        };
        match decoded {
            Ok(Some(packet)) => self.push(Input::Packet(packet)),
            Ok(None) => {}
            Err(_) => self.push(Input::End(Close::BadProtocol)),
        }
    }

    /// The client's first binary packet says that it speaks msgpack.
    fn accepts(&self, parser: Parser) -> bool {
        let accepted = parser == Parser::Json || self.worker.shared.limits.msgpack;
        if accepted && parser == Parser::Msgpack {
            self.format.set(self.format.get().with_parser(parser));
        }
        accepted
    }

    pub(super) fn push(&self, input: Input) {
        self.inbox.borrow_mut().push_back(input);
        self.wake();
    }

    pub(super) fn next_input(&self) -> Option<Input> {
        let mut inbox = self.inbox.borrow_mut();
        let input = inbox.pop_front();
        if inbox.is_empty() && inbox.capacity() > 0 {
            *inbox = VecDeque::new();
            if let Link::Polling(link) = &*self.link.borrow() {
                link.taken.notify_waiters();
            }
        }
        input
    }

    /// Too many packets wait to be handled: no more are read.
    pub(super) fn is_congested(&self) -> bool {
        self.inbox.borrow().len() >= self.worker.shared.limits.max_pending_events
    }

    pub(super) fn socket(&self, namespace: &str) -> Option<Rc<Socket>> {
        self.sockets.borrow().iter().find(|socket| &*socket.namespace().name == namespace).cloned()
    }

    /// A namespace is about to be joined.
    pub(super) fn add_socket(&self, socket: Rc<Socket>) {
        self.sockets.borrow_mut().push(socket);
    }

    /// A namespace is joined.
    pub(super) fn connected(&self) {
        self.connect_by.set(None);
    }

    pub(super) fn remove_socket(&self, socket: &Rc<Socket>) {
        self.sockets.borrow_mut().retain(|other| !Rc::ptr_eq(other, socket));
    }

    // ---- heartbeat

    /// Enters the next deadline into the wheel, unless an entry stands for it.
    pub(super) fn schedule(&self) {
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
    pub(super) fn on_timer(self: &Rc<Self>, now: Instant) {
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

    fn on_pong(&self) {
        if let Beat::Pong(_) = self.beat.get() {
            self.beat.set(Beat::Ping(Instant::now() + self.worker.shared.limits.ping_interval));
            self.sockets.borrow().iter().for_each(|socket| socket.on_pong());
            self.schedule();
        }
    }

    // ---- the end

    /// Gives everything back: rooms, the stream, the place at the worker, and
    /// the session, which stays to be recovered.
    pub(super) async fn finish(self: Rc<Self>, close: Close) {
        let sockets = self.give_back(close);
        for refresh in sockets.iter().filter_map(|socket| socket.refresh()) {
            if self.worker.shared.adapter.detach(refresh).await.is_err() {
                tracing::debug!(connection = %self.id, "the session's last refresh was not written");
            }
        }
    }

    /// All of it that needs no waiting; answers the sockets there were.
    pub(super) fn give_back(self: &Rc<Self>, close: Close) -> SmallVec<[Rc<Socket>; 1]> {
        let worker = &self.worker;
        worker.remove(self);
        let sockets = std::mem::take(&mut *self.sockets.borrow_mut());
        for socket in &sockets {
            worker.cut(socket.namespace()).forget_all(socket);
        }
        worker.shared.metrics.closed(close, self.transport());
        self.say_goodbye(close);
        tracing::debug!(connection = %self.id, reason = close.label(), namespaces = sockets.len(), "connection closed");
        sockets
    }

    fn say_goodbye(&self, close: Close) {
        match std::mem::replace(&mut *self.link.borrow_mut(), Link::Closed) {
            Link::WebSocket(stream) => {
                // best effort: who cannot take it learns from the end of the stream
                if !self.blocked.get() {
                    let _ = stream.try_write(&websocket::close_frame(close.websocket_status()));
                }
            }
            Link::Polling(PollLink { waiting: Some(waiting), .. }) => {
                let _ = waiting.send(Bytes::from_static(engine::CLOSE));
            }
            Link::Polling(_) | Link::Closed => {}
        }
    }

    /// A control frame of the WebSocket itself.
    pub(super) fn on_websocket_ping(self: &Rc<Self>, payload: &[u8]) {
        self.enqueue(websocket::frame(Opcode::Pong, payload));
    }
}
