//! An Engine.IO session: what all of a client's namespaces share.

mod heartbeat;
mod reading;
mod writing;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::IpAddr;
use std::rc::Rc;
use std::task::Waker;
use std::time::Instant;

use bytes::BytesMut;
use serde_json::Value;
use smallvec::SmallVec;

use crate::adapter::Ending;
use crate::auth::Identity;
use crate::message::Token;
use crate::policy::Context;
use crate::protocol::Format;
use crate::protocol::engine::{self, TransportKind, Version};
use crate::protocol::packet::{Decoder, Packet};
use crate::protocol::websocket;

use crate::session::close::Close;
use crate::session::handshake::Handshake;
use crate::session::link::{Link, PollLink};
use crate::session::operate::Order;
use crate::session::outbound::Outbound;
use crate::session::slot::Slot;
use crate::session::socket::Socket;
use crate::session::worker::Worker;
use crate::tls::Stream;

use heartbeat::Beat;

/// What a client shows when it opens a connection.
#[derive(Debug)]
pub struct Opening {
    pub version: Version,
    /// In which it reads packets, until its first says otherwise.
    pub format: Format,
    /// Where the client is.
    pub client: IpAddr,
    /// Of the request, percent-encoded, without `?`.
    pub query: Box<str>,
    /// What else of the request some namespace may ask for.
    pub handshake: Option<Box<Handshake>>,
    /// Of all connections, and of its worker's streams; given back when the
    /// connection ends.
    pub slots: (Slot, Option<Slot>),
}

/// See the module.
pub struct Connection {
    pub id: Token,
    pub(in crate::session) worker: Rc<Worker>,
    pub(in crate::session) key: usize,
    pub(in crate::session) version: Version,
    pub(in crate::session) client: IpAddr,
    opened: Instant,
    pub(in crate::session) query: Box<str>,
    handshake: Option<Box<Handshake>>,
    pub(in crate::session) format: Cell<Format>,
    pub(in crate::session) link: RefCell<Link>,
    pub(in crate::session) outbound: RefCell<Outbound>,
    /// Bytes in `outbound` when they were last counted.
    counted: Cell<usize>,
    pub(in crate::session) sockets: RefCell<SmallVec<[Rc<Socket>; 1]>>,
    inbox: RefCell<VecDeque<Input>>,
    decoder: RefCell<Decoder>,
    /// A stream that replaces polling, for the task to take over.
    pub(in crate::session) upgraded: RefCell<Option<(Stream, BytesMut)>>,
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
    pub(in crate::session) stream_slot: RefCell<Option<Slot>>,
}

/// What the task of a connection is to handle, in this order.
#[derive(Debug)]
pub(in crate::session) enum Input {
    Packet(Packet),
    /// The backend's will.
    Order(Order),
    /// The store has lost the session of this socket.
    Restore(Rc<Socket>),
    /// Nothing more comes.
    End(Close),
}

impl Connection {
    pub(in crate::session) fn new(worker: Rc<Worker>, key: usize, id: Token, opening: Opening, link: Link) -> Self {
        let now = Instant::now();
        let limits = &worker.shared.limits;
        Connection {
            id,
            key,
            version: opening.version,
            client: opening.client,
            opened: now,
            query: opening.query,
            handshake: opening.handshake,
            format: Cell::new(opening.format),
            link: RefCell::new(link),
            outbound: RefCell::default(),
            counted: Cell::new(0),
            sockets: RefCell::default(),
            inbox: RefCell::default(),
            decoder: RefCell::default(),
            upgraded: RefCell::default(),
            waker: RefCell::default(),
            closing: Cell::new(None),
            beat: Cell::new(Beat::first(opening.version, limits, now)),
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

    /// What its namespaces may ask of the request that opened it.
    pub(in crate::session) fn handshake(&self) -> &Handshake {
        self.handshake.as_deref().unwrap_or(Handshake::NONE)
    }

    /// What a client is judged by; its query is not the connection's where it
    /// gave a namespace another.
    pub(in crate::session) fn context<'a>(
        &'a self,
        auth: &'a Value,
        query: &'a str,
        identity: &'a Identity,
    ) -> Context<'a> {
        Context {
            auth,
            claims: Some(&identity.claims),
            user: identity.user.as_deref(),
            query,
            path: &self.handshake().path,
            ..Context::EMPTY
        }
    }

    /// The client says that it goes; what it sent before is still handled.
    pub fn say_farewell(&self) {
        self.push(Input::End(Close::Client));
    }

    /// Ends the connection for this reason, soon; a first reason stays.
    pub fn close(&self, close: Close) {
        if self.closing.get().is_none() {
            self.closing.set(Some(close));
            self.wake();
        }
    }

    pub(in crate::session) fn closing(&self) -> Option<Close> {
        self.closing.get()
    }

    pub(in crate::session) fn register(&self, waker: &Waker) {
        let mut slot = self.waker.borrow_mut();
        if !slot.as_ref().is_some_and(|old| old.will_wake(waker)) {
            *slot = Some(waker.clone());
        }
    }

    pub(in crate::session) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Gives everything back: rooms, the stream, the place at the worker, and
    /// the session, which stays to be recovered.
    pub(in crate::session) async fn finish(self: Rc<Self>, close: Close) {
        let sockets = self.give_back(close);
        for refresh in sockets.iter().filter_map(|socket| socket.refresh()) {
            let adapter = &self.worker.shared.adapter;
            // what its client has cannot be told any more, or it never was
            let written = if close == Close::Lost || self.version.is_legacy() {
                adapter.end_session(refresh.key, Ending::Lost).await
            } else {
                adapter.detach(refresh).await
            };
            if written.is_err() {
                tracing::debug!(connection = %self.id, "the session's last refresh was not written");
            }
        }
    }

    /// All of it that needs no waiting; answers the sockets there were.
    pub(in crate::session) fn give_back(self: &Rc<Self>, close: Close) -> SmallVec<[Rc<Socket>; 1]> {
        let worker = &self.worker;
        worker.remove(self);
        worker.queue_changed(self.counted.take(), 0);
        let sockets = std::mem::take(&mut *self.sockets.borrow_mut());
        for socket in &sockets {
            worker.cut(socket.namespace()).forget_all(socket);
        }
        let transport = self.transport();
        worker.shared.metrics.closed(close, transport, self.version);
        self.say_goodbye(close);
        // the one line of a connection's life
        tracing::debug!(
            connection = %self.id,
            client = %self.client,
            transport = transport.label(),
            protocol = self.version.label(),
            namespaces = sockets.len(),
            seconds = self.opened.elapsed().as_secs(),
            reason = close.label(),
            "connection closed"
        );
        sockets
    }

    fn say_goodbye(&self, close: Close) {
        match std::mem::replace(&mut *self.link.borrow_mut(), Link::Closed) {
            Link::WebSocket(stream) => {
                // best effort: who cannot take it learns from the end of the stream
                if !self.blocked.get() {
                    let _ = stream.try_write(&websocket::close_frame(close.websocket_status()));
                    stream.say_end();
                }
            }
            Link::Polling(PollLink { waiting: Some(waiting), .. }) => {
                let _ = waiting.send(self.format.get().carry(engine::CLOSE));
            }
            Link::Polling(_) | Link::Closed => {}
        }
    }
}
