//! What is counted as long as it is open.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A count that others read.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<AtomicUsize>);

impl Counter {
    pub fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts one more until the slot is dropped.
    #[must_use]
    pub fn take(&self) -> Slot {
        self.0.fetch_add(1, Ordering::Relaxed);
        Slot(Arc::clone(&self.0))
    }

    /// `None` when `max` are taken (0: unlimited).
    pub fn try_take(&self, max: usize) -> Option<Slot> {
        let slot = self.take();
        (max == 0 || self.get() <= max).then_some(slot)
    }
}

/// One of a [`Counter`]; given back when dropped.
#[derive(Debug)]
pub struct Slot(Arc<AtomicUsize>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_given_back() {
        let counter = Counter::default();
        let first = counter.try_take(1);
        assert!(first.is_some());
        assert!(counter.try_take(1).is_none());
        assert!(counter.try_take(0).is_some());
        drop(first);
        assert_eq!(counter.get(), 0);
        assert!(counter.try_take(1).is_some());
    }
}
