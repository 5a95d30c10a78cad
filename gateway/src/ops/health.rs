//! Whether this process should be given work.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// Why this process is not ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotReady {
    /// Not everything is up yet.
    Starting,
    /// It is shutting down.
    Draining,
    /// The adapter accepts no publishes.
    AdapterUnavailable,
    /// What is published comes to its clients too late.
    Behind,
}

impl NotReady {
    /// As `/readyz` names it.
    pub fn label(self) -> &'static str {
        match self {
            NotReady::Starting => "starting",
            NotReady::Draining => "draining",
            NotReady::AdapterUnavailable => "adapter_unavailable",
            NotReady::Behind => "behind",
        }
    }
}

/// The state behind `/readyz`; clones share it. Starts as
/// [`NotReady::Starting`].
#[derive(Clone, Default)]
pub struct Health(Arc<State>);

#[derive(Default)]
struct State {
    started: AtomicBool,
    draining: AtomicBool,
    adapter: OnceLock<Question>,
    canary: OnceLock<Question>,
}

type Question = Box<dyn Fn() -> bool + Send + Sync>;

impl Health {
    /// Asks `is_ready` about the adapter at each question, so that nobody has
    /// to watch it. The first call counts; until then the adapter is taken to
    /// be available.
    pub fn ask_adapter(&self, is_ready: impl Fn() -> bool + Send + Sync + 'static) {
        let _ = self.0.adapter.set(Box::new(is_ready));
    }

    /// The same about the way of messages to clients: whether it is as short as
    /// it should be.
    pub fn ask_canary(&self, is_in_time: impl Fn() -> bool + Send + Sync + 'static) {
        let _ = self.0.canary.set(Box::new(is_in_time));
    }

    /// Both listeners are bound and everything behind them runs.
    pub fn started(&self) {
        self.0.started.store(true, Ordering::Relaxed);
    }

    /// Shutting down; there is no way back.
    pub fn draining(&self) {
        self.0.draining.store(true, Ordering::Relaxed);
    }

    pub fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::Relaxed)
    }

    pub fn is_ready(&self) -> bool {
        self.reasons().is_empty()
    }

    /// Why not; empty while ready.
    pub fn reasons(&self) -> Vec<NotReady> {
        let says_no = |question: &OnceLock<Question>| question.get().is_some_and(|ask| !ask());
        [
            (!self.0.started.load(Ordering::Relaxed), NotReady::Starting),
            (self.is_draining(), NotReady::Draining),
            (says_no(&self.0.adapter), NotReady::AdapterUnavailable),
            (says_no(&self.0.canary), NotReady::Behind),
        ]
        .into_iter()
        .filter_map(|(applies, reason)| applies.then_some(reason))
        .collect()
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Health").field(&self.reasons()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_follows_the_life_of_a_process() {
        let health = Health::default();
        assert_eq!(health.reasons(), [NotReady::Starting]);
        health.started();
        assert!(health.is_ready());
        let available = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&available);
        health.ask_adapter(move || asked.load(Ordering::Relaxed));
        assert_eq!(health.reasons(), [NotReady::AdapterUnavailable]);
        available.store(true, Ordering::Relaxed);
        assert!(health.clone().is_ready());
        health.ask_canary(|| false);
        assert_eq!(health.reasons(), [NotReady::Behind]);
        health.draining();
        assert_eq!(health.reasons(), [NotReady::Draining, NotReady::Behind]);
    }
}
