//! Listening in on a room without being in it.
//!
//! A tap is no member: it is handed what the [`super::Router`] delivers, before
//! the workers are, and what it does not take in time it never gets. While no
//! tap is open, a message costs one look at a counter.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use prometheus::IntGauge;
use tokio::sync::mpsc;

use crate::message::{Message, NamespaceId, Room};

/// Most taps of one node.
pub const MAX_TAPS: usize = 8;

/// Messages that may wait for one listener, and the bytes that they hold.
const QUEUE: usize = 256;
const QUEUE_BYTES: usize = 1 << 20;

/// The taps of a node.
#[derive(Debug)]
pub struct Taps {
    open: AtomicUsize,
    next: AtomicU64,
    taps: Mutex<Vec<Tap>>,
    gauge: IntGauge,
}

#[derive(Debug)]
struct Tap {
    id: u64,
    namespace: NamespaceId,
    room: Room,
    allowance: Allowance,
    queue: mpsc::Sender<Arc<Message>>,
    shared: Arc<Shared>,
}

/// What both ends of a tap count.
#[derive(Debug, Default)]
struct Shared {
    left_out: AtomicU64,
    bytes: AtomicUsize,
}

/// So many messages in a second, and as many at once.
#[derive(Debug)]
struct Allowance {
    rate: f64,
    left: f64,
    at: Instant,
}

/// An open tap; dropped, it is closed.
#[derive(Debug)]
pub struct Listener {
    taps: Arc<Taps>,
    id: u64,
    queue: mpsc::Receiver<Arc<Message>>,
    shared: Arc<Shared>,
}

impl Taps {
    pub(super) fn new(gauge: IntGauge) -> Self {
        Taps { open: AtomicUsize::new(0), next: AtomicU64::new(0), taps: Mutex::default(), gauge }
    }

    /// Hears a room, at most `rate` messages in a second. `None` when there are
    /// [`MAX_TAPS`] already.
    pub fn listen(self: &Arc<Self>, namespace: NamespaceId, room: Room, rate: u32) -> Option<Listener> {
        let mut taps = self.lock();
        if taps.len() >= MAX_TAPS {
            return None;
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (queue, waiting) = mpsc::channel(QUEUE);
        let shared = Arc::new(Shared::default());
        let allowance = Allowance { rate: rate.into(), left: rate.into(), at: Instant::now() };
        taps.push(Tap { id, namespace, room, allowance, queue, shared: Arc::clone(&shared) });
        self.count(&taps);
        Some(Listener { taps: Arc::clone(self), id, queue: waiting, shared })
    }

    /// Whether anybody listens at all.
    pub(super) fn is_any(&self) -> bool {
        self.open.load(Ordering::Relaxed) > 0
    }

    /// Whether somebody listens to this room.
    pub(super) fn hear(&self, namespace: NamespaceId, room: &Room) -> bool {
        self.is_any() && self.lock().iter().any(|tap| tap.namespace == namespace && tap.room == *room)
    }

    /// Hands a message to who listens to one of its rooms.
    pub(super) fn offer(&self, message: &Arc<Message>) {
        for tap in self.lock().iter_mut() {
            if tap.namespace == message.namespace && message.rooms.contains(&tap.room) && !tap.take(message) {
                tap.shared.left_out.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn close(&self, id: u64) {
        let mut taps = self.lock();
        taps.retain(|tap| tap.id != id);
        self.count(&taps);
    }

    fn count(&self, taps: &[Tap]) {
        self.open.store(taps.len(), Ordering::Relaxed);
        self.gauge.set(taps.len() as i64);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Tap>> {
        self.taps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tap {
    /// False when it is one too many.
    fn take(&mut self, message: &Arc<Message>) -> bool {
        if self.shared.bytes.load(Ordering::Relaxed) > QUEUE_BYTES || !self.allowance.take(Instant::now()) {
            return false;
        }
        // counted first: the listener may take it, and the count, at once
        self.shared.bytes.fetch_add(message.len(), Ordering::Relaxed);
        let queued = self.queue.try_send(Arc::clone(message)).is_ok();
        if !queued {
            self.shared.bytes.fetch_sub(message.len(), Ordering::Relaxed);
        }
        queued
    }
}

impl Allowance {
    fn take(&mut self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + since * self.rate).min(self.rate);
        self.at = now;
        let enough = self.left >= 1.0;
        if enough {
            self.left -= 1.0;
        }
        enough
    }
}

impl Listener {
    /// The next message. Cancel safe.
    pub async fn next(&mut self) -> Option<Arc<Message>> {
        let message = self.queue.recv().await?;
        self.shared.bytes.fetch_sub(message.len(), Ordering::Relaxed);
        Some(message)
    }

    /// How many messages were left out since the last call.
    pub fn left_out(&self) -> u64 {
        self.shared.left_out.swap(0, Ordering::Relaxed)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.taps.close(self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::message::{Draft, Namespaces};
    use crate::protocol::Body;

    fn taps() -> Arc<Taps> {
        Arc::new(Taps::new(IntGauge::new("taps", "of a test").unwrap()))
    }

    fn room(name: &str) -> Room {
        Room::named(name).unwrap()
    }

    fn message(rooms: &[&str], bytes: usize) -> Arc<Message> {
        let namespace = Namespaces::new([("/", true)]).by_name("/").unwrap().clone();
        let body = Body::from_values("event", &["x".repeat(bytes).into()]).unwrap();
        let rooms = rooms.iter().map(|name| room(name)).collect();
        let draft =
            Draft { namespace, rooms, except: Vec::new(), body, volatile: false, idempotency: None, trace: None };
        Arc::new(Message::unlogged(draft))
    }

    #[tokio::test]
    async fn who_listens_hears_its_room_and_no_other() {
        let taps = taps();
        assert!(!taps.is_any());
        let mut listener = taps.listen(NamespaceId(0), room("a"), 10).unwrap();
        assert!(taps.is_any() && taps.hear(NamespaceId(0), &room("a")));
        assert!(!taps.hear(NamespaceId(0), &room("b")) && !taps.hear(NamespaceId(1), &room("a")));
        let heard = message(&["b", "a"], 1);
        taps.offer(&message(&["b"], 1));
        taps.offer(&heard);
        assert!(Arc::ptr_eq(&listener.next().await.unwrap(), &heard));
        assert!(listener.queue.try_recv().is_err(), "that was all");
        assert_eq!(taps.gauge.get(), 1);
        drop(listener);
        assert!(!taps.is_any() && taps.gauge.get() == 0);
    }

    #[tokio::test]
    async fn what_is_too_much_is_counted() {
        let taps = taps();
        let mut few = taps.listen(NamespaceId(0), room("a"), 3).unwrap();
        let mut many = taps.listen(NamespaceId(0), room("a"), u32::MAX).unwrap();
        (0..QUEUE + 10).for_each(|_| taps.offer(&message(&["a"], 1)));
        // a slow test may have allowed one more
        let left_out = few.left_out() as usize;
        let mut heard = 0;
        while few.queue.try_recv().is_ok() {
            heard += 1;
        }
        assert!(heard >= 3 && heard + left_out == QUEUE + 10, "{heard} heard, {left_out} left out");
        assert_eq!((few.left_out(), many.left_out()), (0, 10));
        while many.queue.try_recv().is_ok() {}
        let mut big = taps.listen(NamespaceId(0), room("b"), u32::MAX).unwrap();
        (0..4).for_each(|_| taps.offer(&message(&["b"], QUEUE_BYTES)));
        assert_eq!(big.left_out(), 3, "its bytes are bounded");
        big.next().await.unwrap();
        taps.offer(&message(&["b"], 1));
        assert_eq!(big.left_out(), 0, "there is space again");
    }

    #[test]
    fn taps_are_few() {
        let taps = taps();
        let mut open: Vec<_> = (0..MAX_TAPS).map(|_| taps.listen(NamespaceId(0), room("a"), 1).unwrap()).collect();
        assert!(taps.listen(NamespaceId(0), room("a"), 1).is_none());
        open.pop();
        assert!(taps.listen(NamespaceId(0), room("a"), 1).is_some());
    }

    #[test]
    fn an_allowance_grows_with_time() {
        let start = Instant::now();
        let mut allowance = Allowance { rate: 2.0, left: 2.0, at: start };
        let mut takes = |ms| allowance.take(start + Duration::from_millis(ms));
        assert_eq!(
            [takes(0), takes(0), takes(0), takes(499), takes(501), takes(502)],
            [true, true, false, false, true, false]
        );
        assert_eq!([takes(9000), takes(9000), takes(9000)], [true, true, false], "it does not pile up");
    }
}
