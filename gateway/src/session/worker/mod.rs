//! A thread that owns connections.

mod fan_out;
mod upkeep;

use std::cell::{Cell, Ref, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use hashbrown::HashMap;
use rand::seq::{IteratorRandom, SliceRandom};
use slab::Slab;
use tokio::sync::{Notify, mpsc, watch};

use crate::adapter::{Adapter, ReadLimit, Sets};
use crate::auth::Identity;
use crate::message::{NamespaceId, NamespaceRef, NodeTag, Position, Room, Token};
use crate::protocol::engine::{self, TransportKind, Version};
use crate::protocol::packet::Packet;
use crate::rooms::mailbox::Mailbox;
use crate::rooms::{Command, Router, Shard};
use crate::tasks::Tasks;
use crate::tls::Stream;
use crate::trace::Tracer;

use crate::session::close::Close;
use crate::session::connection::{Connection, Input, Opening};
use crate::session::cut::Cut;
use crate::session::link::{Link, PollLink};
use crate::session::metrics::SessionMetrics;
use crate::session::namespace::NamespaceRules;
use crate::session::socket::Socket;
use crate::session::task;
use crate::session::wheel::Wheel;

use fan_out::LocalFrames;

/// Bytes read from a socket at once; one buffer serves all connections.
const SCRATCH: usize = 64 * 1024;

/// Limits and intervals of connections.
#[derive(Debug, Clone)]
pub struct SessionLimits {
    pub ping_interval: Duration,
    pub ping_timeout: Duration,
    /// The same of old clients, which ping by themselves.
    pub legacy_ping_interval: Duration,
    pub legacy_ping_timeout: Duration,
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

impl SessionLimits {
    /// Between two pings, and until the answer.
    pub fn heartbeat(&self, version: Version) -> (Duration, Duration) {
        if version.is_legacy() {
            (self.legacy_ping_interval, self.legacy_ping_timeout)
        } else {
            (self.ping_interval, self.ping_timeout)
        }
    }
}

/// What all workers of a node share; read only.
pub struct Shared {
    /// The name of this node in session ids.
    pub node: NodeTag,
    /// By [`NamespaceId`].
    pub namespaces: Vec<NamespaceRules>,
    pub limits: SessionLimits,
    pub adapter: Arc<dyn Adapter>,
    pub router: Arc<Router>,
    pub metrics: SessionMetrics,
    /// Where conditions on sets are asked; `None` without Redis.
    pub sets: Option<Arc<dyn Sets>>,
    pub tracer: Tracer,
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
    /// The identity of all of whom nothing is known.
    pub(in crate::session) nobody: Rc<Identity>,
    connections: RefCell<Slab<Rc<Connection>>>,
    by_id: RefCell<HashMap<Token, usize, foldhash::fast::RandomState>>,
    shard: RefCell<Shard<Rc<Socket>>>,
    wheel: RefCell<Wheel>,
    /// Sessions are to be refreshed before their time.
    refresh_now: Notify,
    /// The wheel has a deadline that the timer's task does not know.
    rescheduled: Notify,
    dirty: RefCell<Vec<Rc<Connection>>>,
    /// Bytes by which the outbound queues have grown since the metric was told.
    queued: Cell<i64>,
    pub(in crate::session) scratch: RefCell<Box<[u8]>>,
    /// Where packets are joined for one write.
    pub(in crate::session) write_scratch: RefCell<Box<[u8]>>,
    local: RefCell<Option<LocalFrames>>,
    /// Counts the batches taken from the mailbox.
    taken: watch::Sender<u64>,
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
            nobody: Rc::new(Identity::nobody()),
            connections: RefCell::default(),
            by_id: RefCell::default(),
            shard: RefCell::new(shard),
            wheel: RefCell::new(Wheel::new(Instant::now())),
            refresh_now: Notify::new(),
            rescheduled: Notify::new(),
            dirty: RefCell::default(),
            queued: Cell::default(),
            scratch: RefCell::new(vec![0; SCRATCH].into()),
            write_scratch: RefCell::new(vec![0; SCRATCH].into()),
            local: RefCell::default(),
            taken: watch::Sender::default(),
        }
    }

    /// A connection over a WebSocket; `input` is what came behind the request.
    pub fn open_websocket(self: &Rc<Self>, opening: Opening, stream: Stream, input: BytesMut) -> Rc<Connection> {
        self.open(opening, Link::WebSocket(stream), input)
    }

    /// A connection that begins with polling.
    pub fn open_polling(self: &Rc<Self>, opening: Opening) -> Rc<Connection> {
        self.open(opening, Link::Polling(PollLink::default()), BytesMut::new())
    }

    fn open(self: &Rc<Self>, opening: Opening, link: Link, input: BytesMut) -> Rc<Connection> {
        let id = Token::random().with_first(self.index).with_node(self.shared.node);
        let connection = {
            let mut connections = self.connections.borrow_mut();
            let entry = connections.vacant_entry();
            let connection = Rc::new(Connection::new(Rc::clone(self), entry.key(), id, opening, link));
            Rc::clone(entry.insert(connection))
        };
        self.by_id.borrow_mut().insert(id, connection.key);
        self.shared.metrics.opened(connection.transport(), connection.version);
        self.greet(&connection);
        if connection.version.is_legacy() {
            // who opens a connection enters `/`
            connection.push(Input::Packet(Packet::connect("/")));
        }
        connection.schedule();
        self.tasks.spawn_local(task::run(Rc::clone(&connection), input));
        connection
    }

    /// The open packet is the first thing that a client gets.
    fn greet(&self, connection: &Rc<Connection>) {
        let limits = &self.shared.limits;
        let transport = connection.transport();
        let upgrades: &[&str] = match transport {
            TransportKind::Polling if limits.upgrades => &["websocket"],
            TransportKind::Polling | TransportKind::WebSocket => &[],
        };
        let (ping_interval, ping_timeout) = limits.heartbeat(connection.version);
        let open = engine::Open {
            sid: connection.id.as_str(),
            upgrades,
            ping_interval,
            ping_timeout,
            max_payload: (!connection.version.is_legacy()).then_some(limits.max_payload),
        };
        connection.enqueue(connection.format.get().carry(&open.encode()));
    }

    /// The connection of this Engine.IO session id.
    pub fn connection(&self, id: &Token) -> Option<Rc<Connection>> {
        let key = *self.by_id.borrow().get(id)?;
        self.connections.borrow().get(key).cloned()
    }

    pub(in crate::session) fn remove(&self, connection: &Rc<Connection>) {
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
        for (n, connection) in (0..).zip(connections) {
            tokio::time::sleep_until(start + spread / count * n).await;
            connection.close(Close::Draining);
        }
    }

    /// Closes so many connections, whichever.
    pub fn shed(&self, count: usize) {
        let connections = self.connections.borrow();
        let some = connections.iter().map(|(_, connection)| connection).sample(&mut rand::rng(), count);
        some.into_iter().for_each(|connection| connection.close(Close::Rebalanced));
    }

    /// Where cuts are made for sockets of this worker.
    pub(in crate::session) fn cut<'a>(&'a self, namespace: &'a NamespaceRef) -> Cut<'a, Rc<Socket>> {
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
    pub(in crate::session) fn position(&self) -> Position {
        self.shard.borrow().position()
    }

    /// This worker's part of every room. Not to be held while anything waits.
    pub(in crate::session) fn shard(&self) -> Ref<'_, Shard<Rc<Socket>>> {
        self.shard.borrow()
    }

    /// The sockets of this worker in any of these rooms.
    pub(in crate::session) fn members(&self, namespace: NamespaceId, rooms: &[Room]) -> Vec<Rc<Socket>> {
        self.shard.borrow().members(namespace, rooms)
    }
}
