//! The adapter of the model: a [`MemoryAdapter`] whose every call may be
//! overtaken, before it takes effect and before its answer comes back, or be
//! answered with an error at either point.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio_util::sync::CancellationToken;

use crate::adapter::inspect::{Inquiry, Inspected};
use crate::adapter::memory::MemoryAdapter;
use crate::adapter::{
    Adapter, Attached, Attention, Claim, Ending, NewSession, Node, Notice, NoticeId, Operation, Present, PublishError,
    Published, Range, ReadError, ReadLimit, Refresh, Report, Revocation, RoomChange, SessionKey, TakeOverError,
    TakenOver, TokenFacts, Unavailable, WriteError,
};
use crate::message::{
    Acks, Content, Draft, Epoch, Message, NamespaceId, NamespaceRef, Offset, Position, PrivateId, Room, SocketId,
};
use crate::rooms::Router;

use super::ledger::Ledger;

/// Lets the scheduler run something else, so many times.
pub(super) async fn pause(times: u32) {
    for _ in 0..times {
        let mut passed = false;
        std::future::poll_fn(|_| if std::mem::replace(&mut passed, true) { Poll::Ready(()) } else { Poll::Pending })
            .await;
    }
}

/// The node: what the adapter hands out is noted, and reaches the router as
/// far as the node is subscribed.
pub(super) struct Bus {
    router: Arc<Router>,
    ledger: Arc<Mutex<Ledger>>,
    heard: Mutex<HashSet<Room>>,
    hears_all: bool,
}

impl Bus {
    pub(super) fn new(router: Arc<Router>, ledger: Arc<Mutex<Ledger>>, hears_all: bool) -> Self {
        Bus { router, ledger, heard: Mutex::default(), hears_all }
    }
}

#[async_trait]
impl Node for Bus {
    fn deliver(&self, message: Arc<Message>) {
        if let Content::Logged { offset, .. } = &message.content {
            self.ledger.lock().unwrap().on_message(&message, *offset);
        }
        // several rooms: by way of the channel that every node hears
        let heard = self.heard.lock().unwrap();
        if self.hears_all || message.rooms.len() > 1 || message.rooms.iter().any(|room| heard.contains(room)) {
            self.router.deliver(message);
        }
    }

    fn announce(&self) {
        self.router.announce();
    }

    fn tick(&self, position: Position) {
        self.router.tick(position);
    }

    fn has_space(&self) -> bool {
        self.router.has_space()
    }

    async fn space(&self) {
        self.router.space().await;
    }

    fn is_wanted(&self, namespace: NamespaceId, room: &Room) -> bool {
        self.router.is_wanted(namespace, room)
    }

    fn lost(&self, namespace: NamespaceId, rooms: Vec<Room>) {
        self.router.lost(namespace, rooms);
    }

    fn refresh(&self) {
        self.router.refresh();
    }

    async fn begin_anew(&self) {
        self.router.begin_anew().await;
    }

    fn fence(&self, namespace: NamespaceId, socket: SocketId, generation: u64) {
        self.router.fence(namespace, socket, generation);
    }

    async fn operate(&self, _: Operation) -> Report {
        Report::default()
    }
}

pub(super) struct Scheduled {
    pub(super) inner: MemoryAdapter,
    pub(super) bus: Arc<Bus>,
    pub(super) clock: Arc<AtomicU64>,
    pub(super) chance: Mutex<SmallRng>,
    /// Of a hundred calls, how many fail.
    pub(super) faults: u32,
    pub(super) calm: AtomicBool,
    pub(super) heads: AtomicU64,
}

#[derive(PartialEq, Eq)]
enum Fault {
    None,
    /// The call never arrives.
    Lost,
    /// It takes effect, but the answer never arrives.
    InDoubt,
}

impl Scheduled {
    pub(super) fn new(inner: MemoryAdapter, bus: Arc<Bus>, clock: Arc<AtomicU64>, seed: u64, faults: u32) -> Self {
        let chance = Mutex::new(SmallRng::seed_from_u64(seed));
        let (calm, heads) = (AtomicBool::new(false), AtomicU64::new(0));
        Scheduled { inner, bus, clock, chance, faults, calm, heads }
    }

    async fn at<T>(&self, call: impl Future<Output = T>) -> Result<T, Unavailable> {
        let (before, after, fault) = {
            let mut chance = self.chance.lock().unwrap();
            let mut pauses = || [0, 0, 1, 2, 6][chance.random_range(0..5)];
            let (before, after) = (pauses(), pauses());
            let faulty = !self.calm.load(Ordering::Relaxed) && chance.random_ratio(self.faults, 100);
            let fault = match (faulty, chance.random_bool(0.5)) {
                (false, _) => Fault::None,
                (true, true) => Fault::Lost,
                (true, false) => Fault::InDoubt,
            };
            (before, after, fault)
        };
        pause(before).await;
        if fault == Fault::Lost {
            return Err(Unavailable);
        }
        let answer = call.await;
        pause(after).await;
        if fault == Fault::InDoubt {
            // a time-out
            pause(12).await;
            return Err(Unavailable);
        }
        Ok(answer)
    }

    fn ledger(&self) -> std::sync::MutexGuard<'_, Ledger> {
        self.bus.ledger.lock().unwrap()
    }

    fn renewed(&self, pid: PrivateId) {
        let mut ledger = self.ledger();
        let expires = self.now() + ledger.ttl;
        ledger.on_renewed(pid, expires);
    }

    fn now(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Adapter for Scheduled {
    async fn publish(&self, batch: Vec<Draft>) -> Vec<Result<Published, PublishError>> {
        let count = batch.len();
        let published = self.at(self.inner.publish(batch)).await;
        published.unwrap_or_else(|Unavailable| vec![Err(PublishError::OutcomeUnknown); count])
    }

    async fn publish_with_ack(&self, draft: Draft, timeout: Duration) -> Result<Acks, PublishError> {
        self.inner.publish_with_ack(draft, timeout).await
    }

    async fn subscribe(&self, _: &NamespaceRef, rooms: &[Room]) -> Result<(), Unavailable> {
        self.at(async { self.bus.heard.lock().unwrap().extend(rooms.iter().cloned()) }).await
    }

    fn unsubscribe(&self, _: &NamespaceRef, rooms: &[Room]) {
        let mut heard = self.bus.heard.lock().unwrap();
        rooms.iter().for_each(|room| {
            heard.remove(room);
        });
    }

    async fn inspect(&self, inquiry: Inquiry) -> Result<Vec<Inspected>, Unavailable> {
        self.inner.inspect(inquiry).await
    }

    fn offset(&self, position: Position) -> Offset {
        self.inner.offset(position)
    }

    async fn head(&self) -> Result<Offset, Unavailable> {
        self.heads.fetch_add(1, Ordering::Relaxed);
        self.at(self.inner.head()).await?
    }

    async fn read(
        &self,
        namespace: NamespaceId,
        epoch: Epoch,
        ranges: &[Range],
        limit: ReadLimit,
    ) -> Result<Vec<Vec<Arc<Message>>>, ReadError> {
        self.at(self.inner.read(namespace, epoch, ranges, limit)).await?
    }

    async fn open_session(&self, session: NewSession) -> Result<Offset, WriteError> {
        let noted = session.clone();
        self.at(async {
            let start = self.inner.open_session(session).await?;
            self.ledger().on_open(&noted, start, self.now());
            Ok(start)
        })
        .await?
    }

    async fn take_over(&self, claim: Claim) -> Result<TakenOver, TakeOverError> {
        let pid = claim.pid;
        self.at(async {
            let taken = self.inner.take_over(claim).await?;
            self.renewed(pid);
            Ok(taken)
        })
        .await?
    }

    async fn restore_session(&self, key: SessionKey, session: NewSession) -> Result<(), WriteError> {
        self.at(self.inner.restore_session(key, session)).await?
    }

    async fn attach(&self, key: SessionKey, changes: u64) -> Result<Attached, WriteError> {
        self.at(self.inner.attach(key, changes)).await?
    }

    async fn change_rooms(&self, key: SessionKey, change: RoomChange) -> Result<Offset, WriteError> {
        let noted = change.clone();
        self.at(async {
            let at = self.inner.change_rooms(key, change).await?;
            self.ledger().on_change(key.pid, &noted, at);
            Ok(at)
        })
        .await?
    }

    async fn refresh(&self, batch: Vec<Refresh>) -> Result<Vec<(Refresh, Attention)>, Unavailable> {
        let noted = batch.clone();
        self.at(async {
            let fenced = self.inner.refresh(batch).await?;
            for refresh in noted.iter().filter(|refresh| fenced.iter().all(|(other, _)| other != *refresh)) {
                self.renewed(refresh.key.pid);
            }
            Ok(fenced)
        })
        .await?
    }

    async fn detach(&self, refresh: Refresh) -> Result<(), Unavailable> {
        self.at(async {
            // the same, and answers who owned it
            let fenced = self.inner.refresh(vec![refresh]).await?;
            if fenced.is_empty() {
                self.renewed(refresh.key.pid);
            }
            self.inner.detach(refresh).await
        })
        .await?
    }

    async fn end_session(&self, key: SessionKey, ending: Ending) -> Result<(), Unavailable> {
        self.at(async {
            let owned = self.inner.change_rooms(key, RoomChange::default()).await.is_ok();
            self.inner.end_session(key, ending).await?;
            if owned {
                self.ledger().on_end(key.pid);
            }
            Ok(())
        })
        .await?
    }

    async fn operate(&self, operation: Operation) -> Result<Report, Unavailable> {
        self.inner.operate(operation).await
    }

    async fn notices(&self) -> Vec<Notice> {
        self.inner.notices().await
    }

    async fn settle(&self, done: &[NoticeId]) {
        self.inner.settle(done).await;
    }

    async fn recent(
        &self,
        namespace: NamespaceId,
        range: &Range,
        most: usize,
    ) -> Result<Vec<Arc<Message>>, Unavailable> {
        self.inner.recent(namespace, range, most).await
    }

    async fn presence(&self, namespace: &NamespaceRef, room: &Room, most: usize) -> Result<Present, Unavailable> {
        self.inner.presence(namespace, room, most).await
    }

    async fn revoke(&self, revocation: Revocation) -> Result<Report, Unavailable> {
        self.inner.revoke(revocation).await
    }

    async fn is_revoked(&self, namespace: &NamespaceRef, token: &TokenFacts<'_>) -> Result<bool, Unavailable> {
        self.inner.is_revoked(namespace, token).await
    }

    fn is_ready(&self) -> bool {
        true
    }

    async fn run(&self, stop: CancellationToken) {
        self.inner.run(stop).await;
    }
}
