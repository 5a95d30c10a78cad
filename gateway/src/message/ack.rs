//! Collects the acknowledgements of one published event.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::sync::Notify;

use super::SocketId;

/// What one socket answered.
#[derive(Debug)]
pub struct Acknowledgement {
    pub socket: SocketId,
    /// A JSON array; binary parts as `{"$binary":"<base64>"}`.
    pub args: Box<RawValue>,
}

/// The outcome of an event that asked for acknowledgements.
#[derive(Debug, Default)]
pub struct Acks {
    /// Sockets that were sent the event.
    pub expected: usize,
    pub answers: Vec<Acknowledgement>,
    /// Every expected socket answered in time.
    pub complete: bool,
}

/// Where the acknowledgements of one event come together. The publisher holds
/// it; recipients hold [`AckTicket`]s.
#[derive(Debug)]
pub struct AckCollector {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    id: u64,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    expected: usize,
    /// Workers that have not yet said whom they sent it to, and sockets that
    /// have not answered.
    outstanding: usize,
    answers: Vec<Acknowledgement>,
    closed: bool,
}

/// A share in one event's acknowledgements: each concerned worker's, then each
/// recipient's. Dropping it unanswered ends the wait for it.
#[derive(Debug)]
pub struct AckTicket {
    shared: Arc<Shared>,
}

impl AckCollector {
    /// A collector and the first ticket, which keeps the wait open until the
    /// event has been handed to its recipients.
    pub fn new() -> (Self, AckTicket) {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let shared = Arc::new(Shared {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            state: Mutex::new(State { outstanding: 1, ..State::default() }),
            changed: Notify::new(),
        });
        (AckCollector { shared: Arc::clone(&shared) }, AckTicket { shared })
    }

    /// Waits until everybody has answered or gone, or for `timeout`.
    pub async fn collect(self, timeout: Duration) -> Acks {
        let all = async {
            loop {
                let changed = self.shared.changed.notified();
                if self.shared.lock().outstanding == 0 {
                    break;
                }
                changed.await;
            }
        };
        let _ = tokio::time::timeout(timeout, all).await;
        let mut state = self.shared.lock();
        state.closed = true;
        let answers = std::mem::take(&mut state.answers);
        Acks { expected: state.expected, complete: answers.len() == state.expected, answers }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AckTicket {
    /// The id under which clients acknowledge.
    pub fn id(&self) -> u64 {
        self.shared.id
    }

    /// A ticket for one more recipient.
    #[must_use]
    pub fn for_recipient(&self) -> AckTicket {
        let mut state = self.shared.lock();
        state.expected += 1;
        state.outstanding += 1;
        AckTicket { shared: Arc::clone(&self.shared) }
    }

    /// The recipient's answer.
    pub fn answer(self, acknowledgement: Acknowledgement) {
        let mut state = self.shared.lock();
        if !state.closed {
            state.answers.push(acknowledgement);
        }
    }

    /// Nobody waits any more.
    pub fn is_closed(&self) -> bool {
        self.shared.lock().closed
    }
}

impl Drop for AckTicket {
    fn drop(&mut self) {
        let left = {
            let mut state = self.shared.lock();
            state.outstanding -= 1;
            state.outstanding
        };
        if left == 0 {
            self.shared.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Token;

    fn answer() -> Acknowledgement {
        let args = serde_json::from_str("[1]").unwrap();
        Acknowledgement { socket: SocketId(Token::random()), args }
    }

    #[tokio::test(start_paused = true)]
    async fn everybody_answers() {
        let (collector, ticket) = AckCollector::new();
        let recipients = [ticket.for_recipient(), ticket.for_recipient()];
        drop(ticket);
        for recipient in recipients {
            recipient.answer(answer());
        }
        let acks = collector.collect(Duration::from_secs(1)).await;
        assert_eq!((acks.expected, acks.answers.len(), acks.complete), (2, 2, true));
    }

    #[tokio::test(start_paused = true)]
    async fn who_goes_is_not_waited_for() {
        let (collector, ticket) = AckCollector::new();
        drop(ticket.for_recipient());
        ticket.for_recipient().answer(answer());
        drop(ticket);
        let acks = collector.collect(Duration::from_secs(3600)).await;
        assert_eq!((acks.expected, acks.answers.len(), acks.complete), (2, 1, false));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_at_the_timeout() {
        let (collector, ticket) = AckCollector::new();
        let silent = ticket.for_recipient();
        drop(ticket);
        let acks = collector.collect(Duration::from_secs(1)).await;
        assert_eq!((acks.expected, acks.answers.len(), acks.complete), (1, 0, false));
        assert!(silent.is_closed());
    }
}
