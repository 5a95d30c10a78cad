//! A thread that owns connections.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use hashbrown::HashMap;
use rand::seq::SliceRandom;
use slab::Slab;
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc, watch};

use crate::adapter::{Adapter, ReadLimit};
use crate::message::{Message, NamespaceId, NamespaceRef, Position, Room, SocketId, Token};
use crate::policy::NamespacePolicy;
use crate::protocol::engine::{self, TransportKind};
use crate::protocol::websocket::{self, Opcode};
use crate::protocol::{Body, Frames};
use crate::rooms::mailbox::{Delivery, Mailbox};
use crate::rooms::{Command, Router, Shard};
use crate::tasks::Tasks;

use super::close::Close;
use super::connection::{Connection, Opening};
use super::cut::Cut;
use super::link::{Link, PollLink};
use super::metrics::SessionMetrics;
use super::socket::Socket;
use super::wheel::Wheel;
use super::{operate, task};

/// Bytes read from a socket at once; one buffer serves all connections.
const SCRATCH: usize = 64 * 1024;

/// Connections written to before other tasks have their turn.
const FLUSH_CHUNK: usize = 512;

/// Sessions refreshed in one call.
const REFRESH_CHUNK: usize = 1000;

/// Limits and intervals of connections.
#[derive(Debug, Clone)]
pub struct SessionLimits {
    pub ping_interval: Duration,
    pub ping_timeout: Duration,
    pub upgrade_timeout: Duration,
    pub connect_timeout: Duration,
    /// Bytes of one message or POST.
    pub max_payload: usize,
    /// Bytes that may wait for one client.
    pub outbound_queue: usize,
    /// Bytes held for one socket during a cut.
    pub max_held: usize,
    /// Packets of one client that may wait to be handled.
    pub max_pending_events: usize,
    pub max_namespaces: usize,
    /// Rooms of one socket, without the implicit ones.
    pub max_rooms: usize,
    pub msgpack: bool,
    /// Offer polling clients a WebSocket.
    pub upgrades: bool,
    pub refresh: Duration,
    pub replay: ReadLimit,
}

/// A namespace and its compiled rules.
#[derive(Debug)]
pub struct NamespaceRules {
    pub namespace: NamespaceRef,
    pub policy: NamespacePolicy,
}

/// What all workers of a node share; read only.
pub struct Shared {
    /// By [`NamespaceId`].
    pub namespaces: Vec<NamespaceRules>,
    pub limits: SessionLimits,
    pub adapter: Arc<dyn Adapter>,
    pub router: Arc<Router>,
    pub metrics: SessionMetrics,
}

/// Something to be done on a worker's thread.
pub type Intake = Box<dyn FnOnce(&Rc<Worker>) + Send>;
pub type IntakeSender = mpsc::Sender<Intake>;

/// What a worker's thread is started with.
pub struct WorkerSeed {
    pub index: usize,
    pub shared: Arc<Shared>,
    pub mailbox: Arc<Mailbox>,
    pub commands: mpsc::Receiver<Command>,
    pub intake: mpsc::Receiver<Intake>,
    pub tasks: Tasks,
}

/// See the module.
pub struct Worker {
    pub index: usize,
    pub shared: Arc<Shared>,
    pub tasks: Tasks,
    connections: RefCell<Slab<Rc<Connection>>>,
    by_id: RefCell<HashMap<Token, usize, foldhash::fast::RandomState>>,
    shard: RefCell<Shard<Rc<Socket>>>,
    wheel: RefCell<Wheel>,
    /// The wheel has a deadline that the timer's task does not know.
    rescheduled: Notify,
    dirty: RefCell<Vec<Rc<Connection>>>,
    pub(super) scratch: RefCell<Box<[u8]>>,
    /// Where packets are joined for one write.
    pub(super) write_scratch: RefCell<Box<[u8]>>,
    local: RefCell<Option<LocalFrames>>,
    /// Counts the batches taken from the mailbox.
    taken: watch::Sender<u64>,
}

/// The last frame that this worker encoded itself.
struct LocalFrames {
    message: Arc<Message>,
    position: Position,
    frames: Rc<Frames>,
}

impl WorkerSeed {
    /// Runs the worker on this thread until its tasks are told to stop and
    /// every connection has ended.
    ///
    /// # Errors
    /// When the runtime cannot be made.
    pub fn run(self) -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build_local(tokio::runtime::LocalOptions::default())?;
        runtime.block_on(async {
            let tasks = self.tasks.clone();
            let worker = Rc::new(Worker::new(self.index, self.shared, self.tasks));
            tasks.spawn_vital_local("fan-out", Rc::clone(&worker).fan_out(self.mailbox));
            tasks.spawn_vital_local("timers", Rc::clone(&worker).run_timers());
            tasks.spawn_vital_local("session refresh", Rc::clone(&worker).refresh_sessions());
            tasks.spawn_vital_local("commands", Rc::clone(&worker).take_commands(self.commands));
            tasks.spawn_vital_local("intake", Rc::clone(&worker).take_intake(self.intake));
            tasks.stop().cancelled().await;
            worker.close_all(Close::Draining);
            tasks.ended().await;
        });
        Ok(())
    }
}

impl Worker {
    fn new(index: usize, shared: Arc<Shared>, tasks: Tasks) -> Self {
        let shard = Shard::new(shared.namespaces.len(), shared.limits.max_held);
        Worker {
            index,
            shared,
            tasks,
            connections: RefCell::default(),
            by_id: RefCell::default(),
            shard: RefCell::new(shard),
            wheel: RefCell::new(Wheel::new(Instant::now())),
            rescheduled: Notify::new(),
            dirty: RefCell::default(),
            scratch: RefCell::new(vec![0; SCRATCH].into()),
            write_scratch: RefCell::new(vec![0; SCRATCH].into()),
            local: RefCell::default(),
            taken: watch::Sender::default(),
        }
    }

    // ---- connections

    /// A connection over a WebSocket; `input` is what came behind the request.
    pub fn open_websocket(self: &Rc<Self>, opening: Opening, stream: TcpStream, input: BytesMut) -> Rc<Connection> {
        self.open(opening, Link::WebSocket(stream), input)
    }

    /// A connection that begins with polling.
    pub fn open_polling(self: &Rc<Self>, opening: Opening) -> Rc<Connection> {
        self.open(opening, Link::Polling(PollLink::default()), BytesMut::new())
    }

    fn open(self: &Rc<Self>, opening: Opening, link: Link, input: BytesMut) -> Rc<Connection> {
        let id = Token::random().with_first(self.index);
        let connection = {
            let mut connections = self.connections.borrow_mut();
            let entry = connections.vacant_entry();
            let connection = Rc::new(Connection::new(Rc::clone(self), entry.key(), id, opening, link));
            Rc::clone(entry.insert(connection))
        };
        self.by_id.borrow_mut().insert(id, connection.key);
        self.shared.metrics.opened(connection.transport());
        self.greet(&connection);
        connection.schedule();
        self.tasks.spawn_local(task::run(Rc::clone(&connection), input));
        connection
    }

    /// The open packet is the first thing that a client gets.
    fn greet(&self, connection: &Rc<Connection>) {
        let limits = &self.shared.limits;
        let (upgrades, frame): (&[&str], fn(&[u8]) -> Bytes) = match connection.transport() {
            TransportKind::Polling if limits.upgrades => (&["websocket"], Bytes::copy_from_slice),
            TransportKind::Polling => (&[], Bytes::copy_from_slice),
            TransportKind::WebSocket => (&[], |packet| websocket::frame(Opcode::Text, packet)),
        };
        let open = engine::Open {
            sid: connection.id.as_str(),
            upgrades,
            ping_interval: limits.ping_interval,
            ping_timeout: limits.ping_timeout,
            max_payload: limits.max_payload,
        };
        connection.enqueue(frame(&open.encode()));
    }

    /// The connection of this Engine.IO session id.
    pub fn connection(&self, id: &Token) -> Option<Rc<Connection>> {
        let key = *self.by_id.borrow().get(id)?;
        self.connections.borrow().get(key).cloned()
    }

    pub(super) fn remove(&self, connection: &Rc<Connection>) {
        self.by_id.borrow_mut().remove(&connection.id);
        let mut connections = self.connections.borrow_mut();
        if connections.get(connection.key).is_some_and(|other| Rc::ptr_eq(other, connection)) {
            connections.remove(connection.key);
        }
    }

    /// How many connections are open.
    pub fn len(&self) -> usize {
        self.connections.borrow().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn all(&self) -> Vec<Rc<Connection>> {
        self.connections.borrow().iter().map(|(_, connection)| Rc::clone(connection)).collect()
    }

    fn close_all(&self, close: Close) {
        self.all().iter().for_each(|connection| connection.close(close));
    }

    /// Closes all connections in random order, spread over this time.
    pub async fn drain(self: Rc<Self>, spread: Duration) {
        let mut connections = self.all();
        connections.shuffle(&mut rand::rng());
        let start = tokio::time::Instant::now();
        let count = u32::try_from(connections.len()).unwrap_or(u32::MAX).max(1);
        for (n, connection) in (1..).zip(connections) {
            connection.close(Close::Draining);
            tokio::time::sleep_until(start + spread / count * n).await;
        }
    }

    // ---- rooms

    /// Where cuts are made for sockets of this worker.
    pub(super) fn cut<'a>(&'a self, namespace: &'a NamespaceRef) -> Cut<'a, Rc<Socket>> {
        Cut {
            shard: &self.shard,
            router: &self.shared.router,
            worker: self.index,
            adapter: &*self.shared.adapter,
            namespace,
            limit: self.shared.limits.replay,
        }
    }

    /// The last position that this worker has taken.
    pub(super) fn position(&self) -> Position {
        self.shard.borrow().position()
    }

    /// Resolves when this worker has handed out the message at `position`; for
    /// one without a place in the log, what is in the mailbox now.
    pub(super) async fn caught_up(&self, position: Option<Position>) {
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

    /// The sockets of this worker in any of these rooms.
    pub(super) fn members(&self, namespace: NamespaceId, rooms: &[Room]) -> Vec<Rc<Socket>> {
        self.shard.borrow().members(namespace, rooms)
    }

    /// A frame without a place of its own: the same for all whose position is
    /// the same.
    pub(super) fn encode_local(
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

    /// Hands out what the adapter delivers, in its order: all that waits, then
    /// one write for each connection that got anything.
    async fn fan_out(self: Rc<Self>, mailbox: Arc<Mailbox>) {
        let (mut batch, mut messages) = (Vec::new(), Vec::new());
        loop {
            tokio::select! {
                biased;
                () = self.tasks.stop().cancelled() => return,
                () = mailbox.take(&mut batch) => {}
            }
            let sent = self.hand_out(&mut batch, &mut messages);
            if batch.capacity() > 4096 {
                batch = Vec::new();
            }
            self.local.borrow_mut().take();
            self.taken.send_modify(|taken| *taken += 1);
            self.shared.metrics.delivered(sent);
            while !self.flush_some() {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Answers how many sends it came to. `messages` is room to work in.
    fn hand_out(&self, batch: &mut Vec<Delivery>, messages: &mut Vec<Arc<Message>>) -> usize {
        let mut shard = self.shard.borrow_mut();
        let mut sent = 0;
        for delivery in batch.drain(..) {
            match delivery {
                Delivery::Message(message) => messages.push(message),
                Delivery::Tick(position) => {
                    sent += shard.deliver(messages);
                    messages.clear();
                    shard.tick(position);
                }
            }
        }
        sent += shard.deliver(messages);
        messages.clear();
        sent
    }

    // ---- writing

    /// The connection has something to write.
    pub(super) fn mark_dirty(&self, connection: Rc<Connection>) {
        self.dirty.borrow_mut().push(connection);
    }

    /// Writes what waits, one write a connection.
    pub(super) fn flush(&self) {
        while !self.flush_some() {}
    }

    /// True when nothing is left.
    fn flush_some(&self) -> bool {
        let mut some = {
            let mut dirty = self.dirty.borrow_mut();
            if dirty.is_empty() {
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
        let mut dirty = self.dirty.borrow_mut();
        if dirty.capacity() == 0 {
            *dirty = some;
        }
        dirty.is_empty()
    }

    // ---- time

    pub(super) fn schedule(&self, key: usize, deadline: Instant) {
        let mut wheel = self.wheel.borrow_mut();
        let before = wheel.next_look();
        wheel.insert(key, deadline);
        if before.is_none_or(|before| deadline < before) {
            self.rescheduled.notify_one();
        }
    }

    async fn run_timers(self: Rc<Self>) {
        let mut due = Vec::new();
        loop {
            let next = self.wheel.borrow().next_look();
            let wait = async {
                match next {
                    Some(next) => tokio::time::sleep_until(next.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.tasks.stop().cancelled() => return,
                () = self.rescheduled.notified() => {}
                () = wait => {}
            }
            let now = Instant::now();
            self.wheel.borrow_mut().advance(now, &mut due);
            for key in due.drain(..) {
                let connection = self.connections.borrow().get(key).cloned();
                if let Some(connection) = connection {
                    connection.on_timer(now);
                }
            }
            self.flush();
        }
    }

    /// Keeps the sessions of connected clients alive, and closes connections
    /// whose session has another owner.
    async fn refresh_sessions(self: Rc<Self>) {
        loop {
            tokio::select! {
                biased;
                () = self.tasks.stop().cancelled() => return,
                () = tokio::time::sleep(self.shared.limits.refresh) => {}
            }
            let sockets: Vec<Rc<Socket>> =
                self.all().iter().flat_map(|connection| connection.sockets.borrow().to_vec()).collect();
            for chunk in sockets.chunks(REFRESH_CHUNK) {
                let batch: Vec<_> = chunk.iter().filter_map(|socket| socket.refresh()).collect();
                // unreachable now: the next round tries again, well within the time to live
                let Ok(fenced) = self.shared.adapter.refresh(batch).await else { continue };
                for refresh in fenced {
                    let owned = |socket: &&Rc<Socket>| socket.session == Some(refresh.key);
                    if let Some(socket) = chunk.iter().find(owned) {
                        socket.connection.close(Close::Replaced);
                    }
                }
            }
        }
    }

    // ---- what others ask for

    async fn take_commands(self: Rc<Self>, mut commands: mpsc::Receiver<Command>) {
        loop {
            let command = tokio::select! {
                biased;
                () = self.tasks.stop().cancelled() => return,
                command = commands.recv() => command,
            };
            match command {
                Some(Command::Operate { operation, answer }) => operate::operate(&self, operation, answer),
                Some(Command::Fence { namespace, socket, generation }) => self.fence(namespace, socket, generation),
                None => return,
            }
            self.flush();
        }
    }

    /// Closes the connections that hold this socket under an older generation.
    fn fence(&self, namespace: NamespaceId, socket: SocketId, generation: u64) {
        for socket in self.members(namespace, &[Room::Socket(socket)]) {
            if socket.session.is_some_and(|key| key.generation < generation) {
                socket.connection.close(Close::Replaced);
            }
        }
    }

    async fn take_intake(self: Rc<Self>, mut intake: mpsc::Receiver<Intake>) {
        loop {
            let next = tokio::select! {
                biased;
                () = self.tasks.stop().cancelled() => return,
                next = intake.recv() => next,
            };
            match next {
                Some(intake) => intake(&self),
                None => return,
            }
        }
    }
}
