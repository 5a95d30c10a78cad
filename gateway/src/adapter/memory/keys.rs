//! Idempotency keys: which publish was made under which key.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;

use crate::message::{Idempotency, Position};

#[derive(Debug)]
pub(super) struct Keys {
    seen: HashMap<Arc<str>, (u64, Position), foldhash::fast::RandomState>,
    /// By age.
    ages: VecDeque<(u64, Arc<str>)>,
    ttl_ms: u64,
    max: usize,
}

/// What is known of a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    First,
    /// With the same request, which was given this id.
    Before(Position),
    /// With another request.
    Conflict,
}

impl Keys {
    pub(super) fn new(ttl: Duration, max: usize) -> Self {
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        Keys { seen: HashMap::default(), ages: VecDeque::new(), ttl_ms, max }
    }

    /// Notes `id` under the key, if it is new. Over the bound the oldest key
    /// is forgotten.
    pub(super) fn claim(&mut self, idempotency: &Idempotency, id: Position, now: u64) -> Seen {
        self.expire(now);
        match self.seen.get(&idempotency.key) {
            Some((digest, id)) if *digest == idempotency.digest => return Seen::Before(*id),
            Some(_) => return Seen::Conflict,
            None => {}
        }
        if self.ages.len() >= self.max
            && let Some((_, key)) = self.ages.pop_front()
        {
            self.seen.remove(&key);
        }
        self.seen.insert(Arc::clone(&idempotency.key), (idempotency.digest, id));
        self.ages.push_back((now, Arc::clone(&idempotency.key)));
        Seen::First
    }

    pub(super) fn expire(&mut self, now: u64) {
        let oldest = now.saturating_sub(self.ttl_ms);
        while let Some((_, key)) = self.ages.pop_front_if(|(at, _)| *at < oldest) {
            self.seen.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(key: &str, digest: u64) -> Idempotency {
        Idempotency { key: key.into(), digest }
    }

    #[test]
    fn a_key_answers_until_it_expires_or_is_crowded_out() {
        let mut keys = Keys::new(Duration::from_millis(100), 2);
        let at = |n| Position::new(n, 0);
        assert_eq!(keys.claim(&key("a", 1), at(1), 0), Seen::First);
        assert_eq!(keys.claim(&key("a", 1), at(2), 50), Seen::Before(at(1)));
        assert_eq!(keys.claim(&key("a", 2), at(2), 50), Seen::Conflict);
        assert_eq!(keys.claim(&key("a", 2), at(3), 101), Seen::First, "expired");
        assert_eq!(keys.claim(&key("b", 1), at(4), 101), Seen::First);
        assert_eq!(keys.claim(&key("c", 1), at(5), 101), Seen::First, "crowds out a");
        assert_eq!(keys.claim(&key("b", 1), at(6), 101), Seen::Before(at(4)));
        assert_eq!(keys.claim(&key("a", 2), at(7), 101), Seen::First);
    }
}
