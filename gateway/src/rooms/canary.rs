//! How late this node is: a canary flies the way of the messages once a second.
//!
//! The adapter sends it by this node's own clock, each worker takes it from its
//! mailbox behind all that was published before. So the age of the last one is
//! how far a worker may be behind, whatever holds it up: Redis, the link, a
//! backlog, or a worker that is stuck.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Three missed canaries, and a little.
pub const LATE: Duration = Duration::from_millis(3500);

/// See the module.
#[derive(Debug)]
pub struct Canary {
    began: Instant,
    /// When the last that each worker has taken was sent, in µs since `began`.
    taken: Box<[AtomicU64]>,
}

impl Canary {
    pub(crate) fn new(workers: usize) -> Self {
        Canary { began: Instant::now(), taken: (0..workers).map(|_| AtomicU64::new(0)).collect() }
    }

    pub(super) fn took(&self, worker: usize, sent: Instant) {
        let sent = sent.saturating_duration_since(self.began).as_micros();
        self.taken[worker].fetch_max(u64::try_from(sent).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Every worker has what was published so long ago.
    pub fn age(&self) -> Duration {
        let oldest = self.taken.iter().map(|taken| taken.load(Ordering::Relaxed)).min().unwrap_or_default();
        self.began.elapsed().saturating_sub(Duration::from_micros(oldest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worker_furthest_behind_counts() {
        let second = Duration::from_secs(1);
        let mut canary = Canary::new(2);
        canary.began = Instant::now() - 100 * second;
        let at = |seconds| canary.began + seconds * second;
        assert!(canary.age() >= 100 * second);
        canary.took(0, at(90));
        assert!(canary.age() >= 100 * second, "the other one has taken none");
        canary.took(1, at(80));
        assert!((20 * second..30 * second).contains(&canary.age()));
        // one that was overtaken tells nothing new
        canary.took(1, at(70));
        assert!((20 * second..30 * second).contains(&canary.age()));
        canary.took(1, at(95));
        assert!((10 * second..20 * second).contains(&canary.age()));
    }
}
