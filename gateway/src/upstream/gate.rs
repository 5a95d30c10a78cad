//! How many requests go to one backend at once, and whether any.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use super::circuit::{Admission, Change, Circuit, Outcome};
use super::error::UpstreamError;
use super::metrics::{Counted, UpstreamMetrics};

/// What every request to a backend goes through.
#[derive(Debug)]
pub(super) struct Gate {
    free: Semaphore,
    waiting: AtomicUsize,
    max_waiting: usize,
    circuit: Mutex<Circuit>,
    /// The backend's name in logs.
    name: String,
    metrics: UpstreamMetrics,
}

/// A place at the backend. Dropped without an outcome, the request was given up.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    gate: &'a Gate,
    admission: Option<Admission>,
    _place: SemaphorePermit<'a>,
    _counted: Counted,
}

impl Gate {
    pub(super) fn new(
        name: String,
        max_concurrent: usize,
        max_waiting: usize,
        failures: u32,
        open_for: Duration,
        metrics: UpstreamMetrics,
    ) -> Self {
        Gate {
            free: Semaphore::new(max_concurrent.min(Semaphore::MAX_PERMITS)),
            waiting: AtomicUsize::new(0),
            max_waiting,
            circuit: Mutex::new(Circuit::new(failures, open_for)),
            name,
            metrics,
        }
    }

    /// Waits for a place until the deadline; first come, first served.
    pub(super) async fn pass(&self, deadline: Instant) -> Result<Pass<'_>, UpstreamError> {
        // who cannot be admitted need not wait
        if !self.circuit().admits(Instant::now()) {
            return Err(UpstreamError::Unavailable);
        }
        let place = match self.free.try_acquire() {
            Ok(place) => place,
            Err(_) => {
                let _waiting = self.wait()?;
                let place = timeout_at(deadline, self.free.acquire()).await;
                place.map_err(|_| UpstreamError::TimedOut)?.map_err(|_| UpstreamError::Unavailable)?
            }
        };
        let admission = self.circuit().admit(Instant::now()).ok_or(UpstreamError::Unavailable)?;
        Ok(Pass { gate: self, admission: Some(admission), _place: place, _counted: self.metrics.in_flight() })
    }

    fn wait(&self) -> Result<Waiting<'_>, UpstreamError> {
        let waiting = Waiting { gate: self, _counted: self.metrics.waiting() };
        match self.waiting.fetch_add(1, Ordering::Relaxed) < self.max_waiting {
            true => Ok(waiting),
            false => Err(UpstreamError::Busy),
        }
    }

    fn circuit(&self) -> MutexGuard<'_, Circuit> {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self, admission: Admission, outcome: Outcome) {
        let change = self.circuit().report(admission, outcome, Instant::now());
        match change {
            Change::None => {}
            Change::Opened => {
                self.metrics.circuit_opened();
                tracing::warn!(backend = self.name, "the backend fails; it is not asked for a while");
            }
            Change::Closed => {
                self.metrics.circuit_closed();
                tracing::info!(backend = self.name, "the backend answers again");
            }
        }
    }
}

impl Pass<'_> {
    /// The backend answered or failed.
    pub(super) fn report(mut self, outcome: Outcome) {
        if let Some(admission) = self.admission.take() {
            self.gate.report(admission, outcome);
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if let Some(admission) = self.admission.take() {
            self.gate.report(admission, Outcome::Abandoned);
        }
    }
}

/// One that waits, while it does.
struct Waiting<'a> {
    gate: &'a Gate,
    _counted: Counted,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.gate.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
