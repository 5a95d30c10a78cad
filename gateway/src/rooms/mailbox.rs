//! The queue between the one who reads the bus and a worker.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Instant;

use futures_util::task::AtomicWaker;
use tokio::sync::{Notify, mpsc};

use crate::message::{Message, NamespaceId, Position, Room};
use crate::trace::FanOut;

/// What a worker takes from its mailbox.
#[derive(Debug, Clone)]
pub enum Delivery {
    Message(Arc<Message>),
    /// One of a sampled trace, with the span that it is handed out in.
    Traced(Arc<Message>, FanOut),
    /// All up to here has been delivered.
    Tick(Position),
    /// All that was published before this time has been delivered.
    Canary(Instant),
    /// Messages of these rooms were missed and cannot be had any more: what
    /// follows must not reach their members.
    Lost {
        namespace: NamespaceId,
        rooms: Arc<[Room]>,
    },
    /// What follows must not reach any client of now; dropped when done.
    BeginAnew(mpsc::Sender<()>),
}

/// Bounded in bytes. One side puts and announces, one worker takes all that
/// waits at once.
#[derive(Debug)]
pub struct Mailbox {
    waiting: Mutex<Waiting>,
    /// Of the messages that wait.
    bytes: AtomicUsize,
    worker: AtomicWaker,
    /// Told when a full mailbox was emptied; shared by all of a router's.
    space: Arc<Notify>,
    /// Bytes.
    capacity: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    deliveries: Vec<Delivery>,
    /// Since when.
    since: Option<Instant>,
}

impl Mailbox {
    pub fn new(capacity: usize, space: Arc<Notify>) -> Self {
        Mailbox { waiting: Mutex::default(), bytes: AtomicUsize::new(0), worker: AtomicWaker::new(), space, capacity }
    }

    /// Puts one thing, also beyond the capacity: who puts asks
    /// [`Self::is_full`] before, and calls [`Self::announce`] after the last.
    pub fn put(&self, delivery: Delivery) {
        let mut waiting = self.lock();
        if let Delivery::Message(message) | Delivery::Traced(message, _) = &delivery {
            self.bytes.fetch_add(message.len(), Ordering::Relaxed);
        }
        // one look at the clock for all that is taken together
        waiting.since.get_or_insert_with(Instant::now);
        waiting.deliveries.push(delivery);
    }

    /// Wakes the worker for what was put: once for many, so that it takes them
    /// together.
    pub fn announce(&self) {
        self.worker.wake();
    }

    pub fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > self.capacity
    }

    /// Waits until something is there, then moves all of it to `batch`, which
    /// must be empty; answers since when the first of it has waited. Cancel
    /// safe.
    pub async fn take(&self, batch: &mut Vec<Delivery>) -> Instant {
        poll_fn(|context| {
            if let Some(since) = self.try_take(batch) {
                return Poll::Ready(since);
            }
            self.worker.register(context.waker());
            self.try_take(batch).map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    fn try_take(&self, batch: &mut Vec<Delivery>) -> Option<Instant> {
        let (since, was_full) = {
            let mut waiting = self.lock();
            let since = waiting.since.take()?;
            std::mem::swap(&mut waiting.deliveries, batch);
            (since, self.bytes.swap(0, Ordering::Relaxed) > self.capacity)
        };
        if was_full {
            self.space.notify_waiters();
        }
        Some(since)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
