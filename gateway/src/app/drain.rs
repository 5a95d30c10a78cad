//! Sends clients elsewhere.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use crate::session::Worker;
use crate::transport::Transports;

/// Between two looks at what is left.
const LOOK: Duration = Duration::from_millis(20);

/// Closes all connections, spread over a time, but by the deadline.
pub(super) async fn drain(transports: &Transports, spread: Duration, deadline: Instant) {
    for worker in &transports.workers {
        let drain = Box::new(move |worker: &Rc<Worker>| {
            worker.tasks.spawn_local(Rc::clone(worker).drain(spread));
        });
        // a worker that has ended has nothing to drain
        let _ = worker.intake.send(drain).await;
    }
    transports.peers.drain(spread);
    let empty = async {
        while transports.admission.open() + transports.peers.carried() > 0 {
            tokio::time::sleep(LOOK).await;
        }
    };
    if tokio::time::timeout_at(deadline, empty).await.is_err() {
        tracing::warn!(connections = transports.admission.open(), "connections were left at the drain's deadline");
    }
}

/// Closes so many connections, which come back to any node.
pub(super) fn shed(transports: &Transports, count: usize) {
    tracing::debug!(count, "connections above the fleet's mean are closed");
    let workers = transports.workers.len();
    for (n, worker) in transports.workers.iter().enumerate() {
        // the first ones close what does not go into all parts
        let part = count / workers + usize::from(n < count % workers);
        let shed = Box::new(move |worker: &Rc<Worker>| worker.shed(part));
        // one that is busy closes none now; the next look tries again
        let _ = worker.intake.try_send(shed);
    }
}
