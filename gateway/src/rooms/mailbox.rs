//! The queue between the one who reads the bus and a worker.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use futures_util::task::AtomicWaker;
use tokio::sync::Notify;

use crate::message::{Message, Position};

/// What a worker takes from its mailbox.
#[derive(Debug, Clone)]
pub enum Delivery {
    Message(Arc<Message>),
    /// All up to here has been delivered.
    Tick(Position),
}

/// Bounded in bytes. One side puts, one worker takes all that waits at once.
#[derive(Debug)]
pub struct Mailbox {
    waiting: Mutex<Waiting>,
    worker: AtomicWaker,
    /// Told when a full mailbox was emptied; shared by all of a router's.
    space: Arc<Notify>,
    /// Bytes.
    capacity: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    deliveries: Vec<Delivery>,
    bytes: usize,
}

impl Mailbox {
    pub fn new(capacity: usize, space: Arc<Notify>) -> Self {
        Mailbox { waiting: Mutex::default(), worker: AtomicWaker::new(), space, capacity }
    }

    /// Puts one thing, also beyond the capacity: who puts asks
    /// [`Self::is_full`] before.
    pub fn put(&self, delivery: Delivery) {
        let first = {
            let mut waiting = self.lock();
            if let Delivery::Message(message) = &delivery {
                waiting.bytes += message.len();
            }
            waiting.deliveries.push(delivery);
            waiting.deliveries.len() == 1
        };
        if first {
            self.worker.wake();
        }
    }

    pub fn is_full(&self) -> bool {
        self.lock().bytes > self.capacity
    }

    /// Waits until something is there, then moves all of it to `batch`, which
    /// must be empty. Cancel safe.
    pub async fn take(&self, batch: &mut Vec<Delivery>) {
        poll_fn(|context| {
            if self.try_take(batch) {
                return Poll::Ready(());
            }
            self.worker.register(context.waker());
            if self.try_take(batch) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    fn try_take(&self, batch: &mut Vec<Delivery>) -> bool {
        let was_full = {
            let mut waiting = self.lock();
            if waiting.deliveries.is_empty() {
                return false;
            }
            std::mem::swap(&mut waiting.deliveries, batch);
            std::mem::take(&mut waiting.bytes) > self.capacity
        };
        if was_full {
            self.space.notify_waiters();
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
