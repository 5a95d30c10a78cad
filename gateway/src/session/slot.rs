//! What is counted as long as it is open.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A count that others read.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<Count>);

#[derive(Debug, Default)]
struct Count {
    taken: AtomicUsize,
    /// Counts them as well.
    whole: Option<Counter>,
}

impl Counter {
    /// Of a part of what this one counts.
    #[must_use]
    pub fn part(&self) -> Self {
        Counter(Arc::new(Count { taken: AtomicUsize::default(), whole: Some(self.clone()) }))
    }

    pub fn get(&self) -> usize {
        self.0.taken.load(Ordering::Relaxed)
    }

    /// Counts one more until the slot is dropped.
    #[must_use]
    pub fn take(&self) -> Slot {
        self.all().for_each(|counter| {
            counter.0.taken.fetch_add(1, Ordering::Relaxed);
        });
        Slot(self.clone())
    }

    /// `None` when `max` are taken (0: unlimited).
    pub fn try_take(&self, max: usize) -> Option<Slot> {
        let slot = self.take();
        (max == 0 || self.get() <= max).then_some(slot)
    }

    /// This one, and those that it is a part of.
    fn all(&self) -> impl Iterator<Item = &Counter> {
        std::iter::successors(Some(self), |counter| counter.0.whole.as_ref())
    }
}

/// One of a [`Counter`]; given back when dropped.
#[derive(Debug)]
pub struct Slot(Counter);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.all().for_each(|counter| {
            counter.0.taken.fetch_sub(1, Ordering::Relaxed);
        });
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

    #[test]
    fn a_part_counts_for_the_whole() {
        let whole = Counter::default();
        let part = whole.part();
        let (one, other) = (part.take(), whole.take());
        assert_eq!((whole.get(), part.get()), (2, 1));
        assert!(part.try_take(1).is_none());
        drop(one);
        assert_eq!((whole.get(), part.get()), (1, 0));
        drop(other);
        assert_eq!(whole.get(), 0);
    }
}
