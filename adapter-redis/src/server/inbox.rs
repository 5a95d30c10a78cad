//! What waits between the subscriber's connection and its reader.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

/// Bounded in bytes. Over the bound everything is dropped, and said so: the
/// log has it.
#[derive(Debug)]
pub struct Inbox {
    state: Mutex<State>,
    changed: Notify,
    capacity: usize,
}

#[derive(Debug, Default)]
struct State {
    records: Vec<Bytes>,
    bytes: usize,
    overflowed: bool,
    ended: bool,
}

/// What is known of the inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    Records,
    /// Some were dropped, and all that come are, until [`Inbox::reset`].
    Overflowed,
    /// The connection has ended.
    Ended,
}

impl Inbox {
    /// `capacity` in bytes.
    pub fn new(capacity: usize) -> Self {
        Inbox { state: Mutex::default(), changed: Notify::new(), capacity }
    }

    /// A record was received. Never blocks.
    pub fn put(&self, record: Bytes) {
        let mut state = self.lock();
        if state.overflowed {
            return;
        }
        state.bytes += record.len();
        if state.bytes > self.capacity {
            state.records = Vec::new();
            state.overflowed = true;
        } else {
            state.records.push(record);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// No more comes.
    pub fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_one();
    }

    /// Forgets what waits and was lost; what comes from now on is kept.
    pub fn reset(&self) {
        let mut state = self.lock();
        *state = State { ended: state.ended, ..State::default() };
    }

    /// Records were dropped since the last [`Self::reset`].
    pub fn has_overflowed(&self) -> bool {
        self.lock().overflowed
    }

    /// Waits until there is something to tell; moves records to `batch`,
    /// which must be empty. Cancel safe.
    pub async fn take(&self, batch: &mut Vec<Bytes>) -> Taken {
        loop {
            let changed = self.changed.notified();
            {
                let mut state = self.lock();
                if state.ended {
                    return Taken::Ended;
                }
                if state.overflowed {
                    return Taken::Overflowed;
                }
                if !state.records.is_empty() {
                    std::mem::swap(&mut state.records, batch);
                    state.bytes = 0;
                    return Taken::Records;
                }
            }
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn over_the_bound_all_is_dropped_until_reset() {
        let inbox = Inbox::new(10);
        inbox.put(Bytes::from_static(b"12345"));
        let mut batch = Vec::new();
        assert_eq!(inbox.take(&mut batch).await, Taken::Records);
        assert_eq!(batch, ["12345"]);
        batch.clear();
        for _ in 0..3 {
            inbox.put(Bytes::from_static(b"12345"));
        }
        inbox.put(Bytes::from_static(b"1"));
        assert_eq!(inbox.take(&mut batch).await, Taken::Overflowed);
        assert!(batch.is_empty());
        inbox.reset();
        inbox.put(Bytes::from_static(b"2"));
        assert_eq!(inbox.take(&mut batch).await, Taken::Records);
        assert_eq!(batch, ["2"]);
        inbox.end();
        assert_eq!(inbox.take(&mut batch).await, Taken::Ended);
    }
}
