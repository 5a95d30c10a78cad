//! One timer wheel for all connections of a worker.
//!
//! A hashed wheel: an entry stands in the slot of its deadline and is looked at
//! once a turn. Entries are never removed; who set a deadline is asked when it
//! fires, and says whether it still means anything. So a heartbeat costs a
//! connection one entry of 16 bytes and no allocation of its own.

use std::time::{Duration, Instant};

/// Entries by deadline.
#[derive(Debug)]
pub(super) struct Wheel {
    slots: Vec<Vec<Entry>>,
    start: Instant,
    /// The first tick that has not been looked at.
    next: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    tick: u64,
    key: usize,
}

/// Resolution of deadlines.
const TICK: Duration = Duration::from_millis(20);
const SLOTS: u64 = 2048;

impl Wheel {
    pub(super) fn new(start: Instant) -> Self {
        Wheel { slots: (0..SLOTS).map(|_| Vec::new()).collect(), start, next: 0 }
    }

    /// `key` fires at the first tick that is not before `deadline`.
    pub(super) fn insert(&mut self, key: usize, deadline: Instant) {
        let since = deadline.saturating_duration_since(self.start);
        let tick = u64::try_from(since.as_nanos().div_ceil(TICK.as_nanos())).unwrap_or(u64::MAX).max(self.next);
        self.slots[(tick % SLOTS) as usize].push(Entry { tick, key });
    }

    /// Moves the keys whose deadline has passed to `due`.
    pub(super) fn advance(&mut self, now: Instant, due: &mut Vec<usize>) {
        let last = (now.saturating_duration_since(self.start).as_nanos() / TICK.as_nanos()) as u64;
        // after a long pause one turn shows every entry
        let turns = (last + 1).saturating_sub(self.next).min(SLOTS);
        for tick in (last + 1 - turns)..=last {
            let slot = &mut self.slots[(tick % SLOTS) as usize];
            slot.retain(|entry| {
                let fires = entry.tick <= last;
                if fires {
                    due.push(entry.key);
                }
                !fires
            });
            if slot.is_empty() && slot.capacity() > 64 {
                *slot = Vec::new();
            }
        }
        self.next = self.next.max(last + 1);
    }

    /// When to look again: the tick of the next slot that holds anything.
    pub(super) fn next_look(&self) -> Option<Instant> {
        let ahead = (0..SLOTS).find(|ahead| !self.slots[((self.next + ahead) % SLOTS) as usize].is_empty())?;
        let tick = u32::try_from(self.next + ahead).unwrap_or(u32::MAX);
        Some(self.start + TICK * tick)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_key_fires_once_and_in_time(
            deadlines in proptest::collection::vec(0u64..200_000, 1..50),
            step in 1u64..30_000,
        ) {
            let start = Instant::now();
            let at = |ms| start + Duration::from_millis(ms);
            let mut wheel = Wheel::new(start);
            for (key, ms) in deadlines.iter().enumerate() {
                wheel.insert(key, at(*ms));
            }
            let mut fired = vec![None; deadlines.len()];
            let mut now = 0;
            while now < 250_000 {
                let mut due = Vec::new();
                wheel.advance(at(now), &mut due);
                for key in due {
                    prop_assert_eq!(fired[key].replace(now), None);
                    prop_assert!(now >= deadlines[key]);
                }
                now += step;
            }
            for (key, fired) in fired.into_iter().enumerate() {
                let fired = fired.expect("every key fires");
                prop_assert!(fired < deadlines[key] + step + 20, "late: {} for {}", fired, deadlines[key]);
            }
            prop_assert_eq!(wheel.next_look(), None);
        }
    }
}
