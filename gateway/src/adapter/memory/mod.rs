//! The adapter of a single node: log and sessions in memory.
//!
//! One lock is the sequencer: under it a message is given its id, appended to
//! the log of each of its rooms and handed to the workers, so that the three
//! orders are one. Nothing under the lock waits; a publisher waits for full
//! mailboxes outside of it.
//!
//! Limits: the log by time, entries per room and bytes of all rooms; sessions,
//! idempotency keys, notices and revocations by count. What is trimmed before its time makes the
//! sessions that need it unrecoverable, not wrong. A restart loses everything,
//! and says so by a new epoch.

mod keys;
mod log;
mod outbox;
mod revocations;
mod sessions;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::message::{AckCollector, Acks, Draft, Epoch, Message, NamespaceId, NamespaceRef, Offset, Position, Room};

use super::inspect::{Inquiry, Inspected};
use super::{
    Action, Adapter, Attached, Attention, Claim, Ending, NewSession, Node, Notice, NoticeId, Operation, Present,
    PublishError, Published, Range, ReadError, ReadLimit, Refresh, Report, Revocation, RoomChange, SessionKey,
    TakeOverError, TakenOver, TokenFacts, Unavailable, WriteError,
};
use keys::{Keys, Seen};
use log::Log;
pub use log::LogLimits;
use revocations::Revocations;
use sessions::Sessions;

/// Milliseconds since 1970.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The system's clock.
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        u64::try_from(since_1970.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
    })
}

/// What the memory adapter may keep, and how long.
#[derive(Debug, Clone)]
pub struct MemoryLimits {
    pub log: LogLimits,
    /// How long a session is kept after its last refresh.
    pub session_ttl: Duration,
    /// 0: unlimited.
    pub max_sessions: usize,
    pub idempotency: Duration,
    pub max_idempotency_keys: usize,
}

/// See the module.
pub struct MemoryAdapter {
    state: Mutex<State>,
    epoch: Epoch,
    node: Arc<dyn Node>,
    clock: Clock,
    /// There may be something new to tell.
    woken: Notify,
}

struct State {
    last: Position,
    log: Log,
    sessions: Sessions,
    keys: Keys,
    revocations: Revocations,
}

/// How often positions are told to idle workers, and old things dropped.
const TICK: Duration = Duration::from_secs(1);

impl MemoryAdapter {
    pub fn new(limits: MemoryLimits, node: Arc<dyn Node>, clock: Clock) -> Self {
        let epoch = Epoch::random();
        let state = State {
            last: Position::ZERO.next(clock()),
            log: Log::new(limits.log),
            sessions: Sessions::new(limits.session_ttl, limits.max_sessions, epoch),
            keys: Keys::new(limits.idempotency, limits.max_idempotency_keys),
            revocations: Revocations::default(),
        };
        MemoryAdapter { state: Mutex::new(state), epoch, node, clock, woken: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes who carries notices out, when there are some.
    fn tell(&self, state: &State, now: u64) {
        if state.sessions.outbox.has_free(now) {
            self.woken.notify_one();
        }
    }

    /// One draft, under the lock.
    fn accept(&self, state: &mut State, draft: Draft, now: u64) -> Result<Published, PublishError> {
        if !draft.is_recoverable() {
            self.node.deliver(Arc::new(Message::unlogged(draft)));
            return Ok(Published { offset: None, duplicate: false });
        }
        let id = state.last.next(now);
        if let Some(idempotency) = &draft.idempotency {
            match state.keys.claim(idempotency, id, now) {
                Seen::First => {}
                Seen::Before(id) => return Ok(Published { offset: Some(self.offset(id)), duplicate: true }),
                Seen::Conflict => return Err(PublishError::IdempotencyConflict),
            }
        }
        state.last = id;
        let offset = self.offset(id);
        let message = Arc::new(Message::logged(draft, offset));
        state.log.append(&message, id);
        self.node.deliver(message);
        Ok(Published { offset: Some(offset), duplicate: false })
    }

    /// Tells positions and drops what is too old. Called once a second.
    pub(crate) fn tick(&self) {
        let now = (self.clock)();
        let mut state = self.lock();
        state.last = state.last.next(now);
        self.node.tick(state.last);
        state.log.expire(now);
        state.sessions.expire(now);
        state.keys.expire(now);
        state.revocations.expire(now);
        self.tell(&state, now);
    }
}

#[async_trait]
impl Adapter for MemoryAdapter {
    async fn publish(&self, batch: Vec<Draft>) -> Vec<Result<Published, PublishError>> {
        let mut answers = Vec::with_capacity(batch.len());
        let mut drafts = batch.into_iter();
        while drafts.len() > 0 {
            while !self.node.has_space() {
                self.node.space().await;
            }
            let now = (self.clock)();
            let mut state = self.lock();
            for draft in drafts.by_ref() {
                answers.push(self.accept(&mut state, draft, now));
                if !self.node.has_space() {
                    break;
                }
            }
            self.node.announce();
        }
        answers
    }

    async fn publish_with_ack(&self, draft: Draft, timeout: Duration) -> Result<Acks, PublishError> {
        while !self.node.has_space() {
            self.node.space().await;
        }
        let (collector, ticket) = AckCollector::new();
        {
            let _sequence = self.lock();
            self.node.deliver(Arc::new(Message::with_ack(draft, ticket)));
            self.node.announce();
        }
        Ok(collector.collect(timeout).await)
    }

    async fn subscribe(&self, _: &NamespaceRef, _: &[Room]) -> Result<(), Unavailable> {
        Ok(())
    }

    fn unsubscribe(&self, _: &NamespaceRef, _: &[Room]) {}

    fn offset(&self, position: Position) -> Offset {
        Offset { epoch: self.epoch, position }
    }

    async fn head(&self) -> Result<Offset, Unavailable> {
        Ok(self.offset(self.lock().last))
    }

    async fn read(
        &self,
        namespace: NamespaceId,
        epoch: Epoch,
        ranges: &[Range],
        limit: ReadLimit,
    ) -> Result<Vec<Vec<Arc<Message>>>, ReadError> {
        if epoch != self.epoch {
            return Err(ReadError::Trimmed);
        }
        self.lock().log.read(namespace, ranges, limit, (self.clock)())
    }

    async fn recent(
        &self,
        namespace: NamespaceId,
        range: &Range,
        most: usize,
    ) -> Result<Vec<Arc<Message>>, Unavailable> {
        Ok(self.lock().log.recent(namespace, range, most))
    }

    async fn open_session(&self, session: NewSession) -> Result<Offset, WriteError> {
        let now = (self.clock)();
        let mut state = self.lock();
        let head = state.last;
        state.sessions.open(session, head, now)?;
        self.tell(&state, now);
        Ok(self.offset(head))
    }

    /// Nothing is lost but with the process.
    async fn restore_session(&self, _: SessionKey, _: NewSession) -> Result<(), WriteError> {
        Err(WriteError::Fenced)
    }

    async fn take_over(&self, claim: Claim) -> Result<TakenOver, TakeOverError> {
        let taken = {
            let now = (self.clock)();
            let mut state = self.lock();
            let head = state.last;
            let taken = state.sessions.take_over(&claim, self.epoch, head, now);
            self.tell(&state, now);
            taken?
        };
        self.node.fence(claim.namespace, taken.socket, taken.generation);
        Ok(taken)
    }

    async fn attach(&self, key: SessionKey, changes: u64) -> Result<Attached, WriteError> {
        let now = (self.clock)();
        let mut state = self.lock();
        let head = state.last;
        let attached = state.sessions.attach(key, changes, self.epoch, head, now);
        self.tell(&state, now);
        attached
    }

    async fn change_rooms(&self, key: SessionKey, change: RoomChange) -> Result<Offset, WriteError> {
        let now = (self.clock)();
        let mut state = self.lock();
        let head = state.last;
        let leaves = !change.leave.is_empty();
        state.sessions.change_rooms(key, change, head, now)?;
        self.tell(&state, now);
        if leaves {
            self.node.tick(head);
        }
        Ok(self.offset(head))
    }

    async fn refresh(&self, batch: Vec<Refresh>) -> Result<Vec<(Refresh, Attention)>, Unavailable> {
        let now = (self.clock)();
        let mut state = self.lock();
        let fenced = batch.into_iter().filter(|refresh| !state.sessions.refresh(refresh, now));
        Ok(fenced.map(|refresh| (refresh, Attention::Fenced)).collect())
    }

    async fn detach(&self, refresh: Refresh) -> Result<(), Unavailable> {
        let now = (self.clock)();
        self.lock().sessions.detach(&refresh, now);
        Ok(())
    }

    async fn end_session(&self, key: SessionKey, ending: Ending) -> Result<(), Unavailable> {
        let now = (self.clock)();
        let mut state = self.lock();
        state.sessions.end(key, ending, now);
        self.tell(&state, now);
        Ok(())
    }

    async fn operate(&self, operation: Operation) -> Result<Report, Unavailable> {
        if matches!(operation.action, Action::List | Action::Count) {
            return Ok(self.node.operate(operation).await);
        }
        // whoever is away before, comes back or goes meanwhile is found by one of the three
        let before = {
            let mut state = self.lock();
            let head = state.last;
            let now = (self.clock)();
            let before = state.sessions.begin(operation.clone(), head, now);
            self.tell(&state, now);
            before
        };
        let mut report = self.node.operate(operation).await;
        let mut state = self.lock();
        let head = state.last;
        let now = (self.clock)();
        report.count += state.sessions.finish(before, head, now);
        self.tell(&state, now);
        Ok(report)
    }

    async fn inspect(&self, inquiry: Inquiry) -> Result<Vec<Inspected>, Unavailable> {
        Ok(self.node.inspect(inquiry).await.into_iter().collect())
    }

    async fn notices(&self) -> Vec<Notice> {
        loop {
            let notices = self.lock().sessions.outbox.take((self.clock)());
            if !notices.is_empty() {
                return notices;
            }
            // each tick wakes it too, for what comes again
            self.woken.notified().await;
        }
    }

    async fn settle(&self, done: &[NoticeId]) {
        let now = (self.clock)();
        let mut state = self.lock();
        done.iter().for_each(|id| state.sessions.outbox.settle(id, now));
        self.tell(&state, now);
    }

    async fn presence(&self, namespace: &NamespaceRef, room: &Room, most: usize) -> Result<Present, Unavailable> {
        Ok(self.lock().sessions.presence(namespace.id, room, most))
    }

    async fn revoke(&self, revocation: Revocation) -> Result<Report, Unavailable> {
        self.lock().revocations.add(&revocation)?;
        Ok(self.node.operate(revocation.into_operation()).await)
    }

    async fn is_revoked(&self, namespace: &NamespaceRef, token: &TokenFacts<'_>) -> Result<bool, Unavailable> {
        Ok(self.lock().revocations.cover(namespace.id, token, (self.clock)()))
    }

    fn is_ready(&self) -> bool {
        true
    }

    async fn run(&self, stop: CancellationToken) {
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                due = tick.tick() => {
                    self.tick();
                    self.node.canary(due.into_std());
                }
            }
        }
    }
}
