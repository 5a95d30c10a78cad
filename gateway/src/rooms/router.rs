//! From the adapter to the workers that a message concerns.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::join_all;
use hashbrown::HashMap;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::adapter::inspect::{Finding, Inquiry, Inspected};
use crate::adapter::{Node, Operation, Report};
use crate::message::{Message, NamespaceId, Position, Room, SocketId};
use crate::trace::{FanOut, Tracer};

use super::canary::Canary;
use super::inspect::{About, Census};
use super::mailbox::{Delivery, Mailbox};
use super::metrics::RoomMetrics;
use super::taps::Taps;

/// How long a worker may take to carry an operation out.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(10);

/// What a worker is asked to do besides delivering.
#[derive(Debug)]
pub enum Command {
    Operate {
        operation: Operation,
        answer: oneshot::Sender<Report>,
    },
    Fence {
        namespace: NamespaceId,
        socket: SocketId,
        generation: u64,
    },
    /// Nothing is sent where nothing was found in time.
    Inspect {
        inquiry: Inquiry,
        answer: oneshot::Sender<Finding>,
    },
    /// Sessions are to be refreshed before their time.
    Refresh,
}

pub type CommandSender = mpsc::Sender<Command>;

/// A worker, as the router reaches it.
#[derive(Debug)]
pub struct WorkerPort {
    pub mailbox: Arc<Mailbox>,
    pub commands: CommandSender,
}

/// Knows which workers have members of which rooms.
#[derive(Debug)]
pub struct Router {
    workers: Vec<WorkerPort>,
    /// By namespace.
    index: Vec<Mutex<Index>>,
    space: Arc<Notify>,
    canary: Arc<Canary>,
    taps: Arc<Taps>,
    pub(super) about: OnceLock<About>,
    metrics: RoomMetrics,
    tracer: Tracer,
}

/// The workers of each room, as bits.
#[derive(Debug, Default)]
struct Index {
    rooms: HashMap<Room, u64, foldhash::fast::RandomState>,
    /// How many of the rooms are a socket's own.
    sockets: usize,
}

impl Router {
    /// Most workers of one node: the index holds a bit for each.
    pub const MAX_WORKERS: usize = 64;

    /// `space` must be the one that the mailboxes were made with.
    pub fn new(workers: Vec<WorkerPort>, namespaces: usize, space: Arc<Notify>, metrics: RoomMetrics) -> Self {
        assert!(workers.len() <= Self::MAX_WORKERS, "at most {} workers", Self::MAX_WORKERS);
        Router {
            canary: Arc::new(Canary::new(workers.len())),
            taps: Arc::new(Taps::new(metrics.taps.clone())),
            about: OnceLock::new(),
            index: (0..namespaces).map(|_| Mutex::default()).collect(),
            workers,
            space,
            metrics,
            tracer: Tracer::default(),
        }
    }

    /// Opens a span for each message of a sampled trace.
    #[must_use]
    pub fn traced_by(self, tracer: Tracer) -> Self {
        Router { tracer, ..self }
    }

    /// Where it can be listened to.
    pub fn taps(&self) -> &Arc<Taps> {
        &self.taps
    }

    /// How many sockets there are, and how many rooms and users with one.
    pub fn census(&self) -> Census {
        let mut census = Census::default();
        for index in &self.index {
            let index = index.lock().unwrap_or_else(PoisonError::into_inner);
            census.sockets += index.sockets;
            let everybody = usize::from(index.rooms.contains_key(&Room::All));
            census.rooms += index.rooms.len() - index.sockets - everybody;
        }
        census
    }

    /// How late this node is.
    pub fn canary(&self) -> &Arc<Canary> {
        &self.canary
    }

    /// This worker has taken the canary that was sent then.
    pub fn took_canary(&self, worker: usize, sent: Instant) {
        self.canary.took(worker, sent);
        self.metrics.ticked(sent.elapsed());
    }

    /// A worker has written what was handed over to it then.
    pub fn fanned_out(&self, since: Instant) {
        self.metrics.fanned_out(since.elapsed());
    }

    /// This worker has its first members in these rooms.
    pub fn add(&self, worker: usize, namespace: NamespaceId, rooms: &[Room]) {
        if rooms.is_empty() {
            return;
        }
        let mut index = self.index(namespace);
        let Index { rooms: workers, sockets } = &mut *index;
        for room in rooms {
            let workers = workers.entry_ref(room).or_default();
            *sockets += usize::from(*workers == 0 && matches!(room, Room::Socket(_)));
            *workers |= 1 << worker;
        }
    }

    /// This worker has no members left in these rooms; answers those that no
    /// worker has members in.
    pub fn remove(&self, worker: usize, namespace: NamespaceId, rooms: Vec<Room>) -> Vec<Room> {
        if rooms.is_empty() {
            return rooms;
        }
        let mut index = self.index(namespace);
        let Index { rooms: workers, sockets } = &mut *index;
        let mut empty = rooms;
        empty.retain(|room| {
            let Some(of_room) = workers.get_mut(room) else { return false };
            *of_room &= !(1 << worker);
            let none = *of_room == 0;
            if none {
                workers.remove(room);
                *sockets -= usize::from(matches!(room, Room::Socket(_)));
            }
            none
        });
        empty
    }

    fn index(&self, namespace: NamespaceId) -> MutexGuard<'_, Index> {
        self.index[usize::from(namespace.0)].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The workers with members in any of these rooms.
    pub(super) fn concerned(&self, namespace: NamespaceId, rooms: &[Room]) -> u64 {
        let index = self.index(namespace);
        rooms.iter().filter_map(|room| index.rooms.get(room)).fold(0, |all, workers| all | workers)
    }

    /// The span of a message of a sampled trace, where some worker is concerned.
    fn fan_out(&self, message: &Message, workers: u64) -> Option<FanOut> {
        let trace = message.trace.as_ref().filter(|_| workers != 0)?;
        self.tracer.fan_out(trace, message.namespace.0, message.rooms.len(), workers.count_ones())
    }

    pub(super) fn each(&self, workers: u64) -> impl Iterator<Item = &WorkerPort> {
        self.workers.iter().enumerate().filter(move |(n, _)| workers & (1 << n) != 0).map(|(_, worker)| worker)
    }
}

#[async_trait]
impl Node for Router {
    fn deliver(&self, message: Arc<Message>) {
        if self.taps.is_any() {
            self.taps.offer(&message);
        }
        let workers = self.concerned(message.namespace, &message.rooms);
        let fan_out = self.fan_out(&message, workers);
        for worker in self.each(workers) {
            let message = Arc::clone(&message);
            worker.mailbox.put(match &fan_out {
                None => Delivery::Message(message),
                Some(fan_out) => Delivery::Traced(message, fan_out.clone()),
            });
        }
    }

    fn announce(&self) {
        self.workers.iter().for_each(|worker| worker.mailbox.announce());
    }

    fn tick(&self, position: Position) {
        for worker in &self.workers {
            worker.mailbox.put(Delivery::Tick(position));
            worker.mailbox.announce();
        }
    }

    fn canary(&self, sent: Instant) {
        for worker in &self.workers {
            worker.mailbox.put(Delivery::Canary(sent));
            worker.mailbox.announce();
        }
    }

    fn has_space(&self) -> bool {
        self.workers.iter().all(|worker| !worker.mailbox.is_full())
    }

    async fn space(&self) {
        let space = self.space.notified();
        if !self.has_space() {
            self.metrics.waited();
            space.await;
        }
    }

    fn fence(&self, namespace: NamespaceId, socket: SocketId, generation: u64) {
        let workers = self.concerned(namespace, &[Room::Socket(socket)]);
        for worker in self.each(workers) {
            let command = Command::Fence { namespace, socket, generation };
            if worker.commands.try_send(command).is_err() {
                // the older connection's next write to its session fails instead
                tracing::warn!(%socket, "a worker's command queue is full: an older connection stays until its next refresh");
            }
        }
    }

    fn is_wanted(&self, namespace: NamespaceId, room: &Room) -> bool {
        self.index(namespace).rooms.contains_key(room) || self.taps.hear(namespace, room)
    }

    fn lost(&self, namespace: NamespaceId, rooms: Vec<Room>) {
        let workers = self.concerned(namespace, &rooms);
        let rooms: Arc<[Room]> = rooms.into();
        for worker in self.each(workers) {
            worker.mailbox.put(Delivery::Lost { namespace, rooms: Arc::clone(&rooms) });
            worker.mailbox.announce();
        }
    }

    fn refresh(&self) {
        for worker in &self.workers {
            if worker.commands.try_send(Command::Refresh).is_err() {
                tracing::debug!("a worker's command queue is full: sessions are refreshed in their time");
            }
        }
    }

    async fn begin_anew(&self) {
        let (done, mut all) = mpsc::channel(1);
        for worker in &self.workers {
            worker.mailbox.put(Delivery::BeginAnew(done.clone()));
            worker.mailbox.announce();
        }
        drop(done);
        // nothing is sent: it ends when the last worker drops its end
        let _ = all.recv().await;
    }

    async fn inspect(&self, inquiry: Inquiry) -> Option<Inspected> {
        self.answer(inquiry).await
    }

    async fn operate(&self, operation: Operation) -> Report {
        let workers = self.concerned(operation.namespace.id, &operation.rooms);
        let answers = self.each(workers).map(|worker| {
            let (answer, report) = oneshot::channel();
            let command = Command::Operate { operation: operation.clone(), answer };
            async move {
                let asked = async {
                    worker.commands.send(command).await.ok()?;
                    report.await.ok()
                };
                tokio::time::timeout(OPERATION_TIMEOUT, asked).await.ok().flatten()
            }
        });
        let mut total = Report::default();
        for report in join_all(answers).await {
            match report {
                Some(report) => {
                    total.count += report.count;
                    total.sockets.extend(report.sockets);
                    total.partial |= report.partial;
                }
                None => total.partial = true,
            }
        }
        total
    }
}
