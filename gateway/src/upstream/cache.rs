//! What backends allowed or refused a moment ago; pure.

use std::collections::VecDeque;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use tokio::time::Instant;

/// Values that hold for a time, at most so many: the oldest make room.
#[derive(Debug)]
pub(super) struct Cache<K, V> {
    entries: HashMap<Arc<K>, Entry<V>>,
    /// In the order of insertion, with what has been replaced since.
    order: VecDeque<(u64, Arc<K>)>,
    next: u64,
    most: usize,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    until: Instant,
    number: u64,
}

impl<K: Eq + Hash, V: Copy> Cache<K, V> {
    pub(super) fn new(most: usize) -> Self {
        Cache { entries: HashMap::new(), order: VecDeque::new(), next: 0, most }
    }

    pub(super) fn get(&self, key: &K, now: Instant) -> Option<V> {
        self.entries.get(key).filter(|entry| now < entry.until).map(|entry| entry.value)
    }

    pub(super) fn insert(&mut self, key: K, value: V, ttl: Duration, now: Instant) {
        while self.order.len() >= self.most
            && let Some((number, oldest)) = self.order.pop_front()
        {
            // it may have been replaced by a younger one
            if self.entries.get(&oldest).is_some_and(|entry| entry.number == number) {
                self.entries.remove(&oldest);
            }
        }
        let (key, number) = (Arc::new(key), self.next);
        self.next += 1;
        self.order.push_back((number, Arc::clone(&key)));
        self.entries.insert(key, Entry { value, until: now + ttl, number });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(5);

    #[test]
    fn values_hold_for_their_time() {
        let now = Instant::now();
        let mut cache = Cache::new(10);
        assert_eq!(cache.get(&1, now), None);
        cache.insert(1, true, TTL, now);
        cache.insert(2, false, TTL * 2, now);
        assert_eq!(cache.get(&1, now + TTL - Duration::from_nanos(1)), Some(true));
        assert_eq!(cache.get(&1, now + TTL), None);
        assert_eq!(cache.get(&2, now + TTL), Some(false));
        cache.insert(1, false, TTL, now + TTL);
        assert_eq!(cache.get(&1, now + TTL), Some(false));
    }

    #[test]
    fn the_oldest_make_room() {
        let now = Instant::now();
        let mut cache = Cache::new(3);
        for key in 0..3 {
            cache.insert(key, key, TTL, now);
        }
        cache.insert(0, 100, TTL, now); // pushes the older 0 out, which this one replaces
        cache.insert(3, 3, TTL, now); // pushes 1 out
        let found: Vec<_> = (0..4).map(|key| cache.get(&key, now)).collect();
        assert_eq!(found, [Some(100), None, Some(2), Some(3)]);
        for key in 0..1000 {
            cache.insert(key % 5, key, TTL, now);
            assert!(cache.order.len() <= 3 && cache.entries.len() <= 3);
        }
    }
}
