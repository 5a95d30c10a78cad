//! Handshakes let in at a pace that holds for all nodes together.
//!
//! A handshake asks the [`Clerk`], who asks the fleet for as many as are waiting,
//! in one round trip at a time: each waits for one or two, and Redis is asked
//! the less often, the more there are. Who gets none is refused at once and not
//! kept waiting: clients come again by themselves, later each time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::adapter::{Fleet, Taken, Unavailable};

/// Handshakes that may wait for the clerk; more are refused.
const WAITING: usize = 8192;

/// How long the fleet may take to answer. Then this node goes by itself.
const PATIENCE: Duration = Duration::from_millis(500);

/// Where handshakes ask.
#[derive(Debug, Clone)]
pub struct Budget(mpsc::Sender<oneshot::Sender<()>>);

/// Asks the fleet for all of this node's handshakes.
pub struct Clerk {
    fleet: Arc<dyn Fleet>,
    per_second: u32,
    waiting: mpsc::Receiver<oneshot::Sender<()>>,
    /// There is nothing to be had until then.
    dry_until: Instant,
    own: OwnShare,
}

/// What this node lets in while the others cannot be asked.
struct OwnShare {
    tokens: f64,
    at: Instant,
}

impl Budget {
    /// `per_second`: handshakes of all nodes together in a second, at least 1.
    pub fn new(fleet: Arc<dyn Fleet>, per_second: u32) -> (Self, Clerk) {
        let (ask, waiting) = mpsc::channel(WAITING);
        let now = Instant::now();
        let own = OwnShare { tokens: f64::from(per_second), at: now };
        (Budget(ask), Clerk { fleet, per_second, waiting, dry_until: now, own })
    }

    /// Whether one more handshake may be let in.
    pub async fn admits(&self) -> bool {
        let (answer, answered) = oneshot::channel();
        self.0.try_send(answer).is_ok() && answered.await.is_ok()
    }
}

impl Clerk {
    /// Answers handshakes until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::new();
        loop {
            let came = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                came = self.waiting.recv_many(&mut batch, WAITING) => came,
            };
            if came == 0 {
                return;
            }
            let wanted = u32::try_from(batch.len()).unwrap_or(u32::MAX);
            let granted = self.granted(wanted).await as usize;
            for answer in batch.drain(..).take(granted) {
                // one who has gone meanwhile has cost a place
                let _ = answer.send(());
            }
            // `drain` drops the rest, which refuses them
        }
    }

    async fn granted(&mut self, wanted: u32) -> u32 {
        if Instant::now() < self.dry_until {
            return 0;
        }
        let asked = tokio::time::timeout(PATIENCE, self.fleet.take(wanted, self.per_second)).await;
        match asked.unwrap_or(Err(Unavailable)) {
            Ok(Taken { count, next }) => {
                self.dry_until = Instant::now() + next;
                count
            }
            Err(Unavailable) => {
                let nodes = self.fleet.nodes().len().max(1);
                self.own.take(wanted, f64::from(self.per_second) / nodes as f64)
            }
        }
    }
}

impl OwnShare {
    /// A bucket that holds a second's worth.
    fn take(&mut self, wanted: u32, per_second: f64) -> u32 {
        let now = Instant::now();
        let filled = self.tokens + (now - self.at).as_secs_f64() * per_second;
        // a share below one must be able to come to one
        self.tokens = filled.min(per_second.max(1.0));
        self.at = now;
        let taken = f64::from(wanted).min(self.tokens.floor());
        self.tokens -= taken;
        taken as u32
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use async_trait::async_trait;
    use futures_util::future::join_all;

    use super::*;
    use crate::adapter::{Load, NodeInfo};
    use crate::fleet::Alone;
    use crate::message::NodeTag;
    use crate::tasks::Tasks;

    /// Two nodes, and a budget that never fills again.
    struct Two {
        left: Mutex<u32>,
        asked: AtomicUsize,
        away: AtomicBool,
    }

    #[async_trait]
    impl Fleet for Two {
        fn nodes(&self) -> Vec<NodeInfo> {
            let alone = Alone::new(NodeTag::random());
            [alone.nodes(), alone.nodes()].concat()
        }

        fn report(&self, _: Load) {}

        async fn take(&self, wanted: u32, per_second: u32) -> Result<Taken, Unavailable> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(1)).await;
            if self.away.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            let mut left = self.left.lock().unwrap();
            let count = wanted.min(*left);
            *left -= count;
            let next = if *left == 0 { Duration::from_secs(1) / per_second } else { Duration::ZERO };
            Ok(Taken { count, next })
        }
    }

    fn started(fleet: Arc<dyn Fleet>, per_second: u32) -> (Budget, Tasks) {
        let (budget, clerk) = Budget::new(fleet, per_second);
        let tasks = Tasks::default();
        tasks.spawn_vital("clerk", clerk.run(tasks.stop().clone()));
        (budget, tasks)
    }

    async fn admitted(budget: &Budget, handshakes: usize) -> usize {
        join_all((0..handshakes).map(|_| budget.admits())).await.into_iter().filter(|admitted| *admitted).count()
    }

    #[tokio::test(start_paused = true)]
    async fn many_are_one_question_and_no_more_than_given_come_in() {
        let fleet = Arc::new(Two { left: Mutex::new(700), asked: AtomicUsize::default(), away: AtomicBool::default() });
        let (budget, _tasks) = started(Arc::clone(&fleet) as _, 100);
        assert_eq!(admitted(&budget, 500).await, 500);
        assert_eq!(admitted(&budget, 500).await, 200);
        assert_eq!(fleet.asked.load(Ordering::Relaxed), 2);
        // while it is dry nobody asks
        assert_eq!(admitted(&budget, 500).await, 0);
        assert_eq!(fleet.asked.load(Ordering::Relaxed), 2);
        tokio::time::sleep(Duration::from_millis(11)).await;
        assert_eq!(admitted(&budget, 1).await, 0);
        assert_eq!(fleet.asked.load(Ordering::Relaxed), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn without_the_others_a_node_takes_its_part() {
        let fleet = Arc::new(Two { left: Mutex::new(0), asked: AtomicUsize::default(), away: AtomicBool::new(true) });
        let (budget, _tasks) = started(fleet, 100);
        assert_eq!(admitted(&budget, 500).await, 50);
        tokio::time::sleep(Duration::from_millis(500)).await;
        let more = admitted(&budget, 500).await;
        assert_eq!(more, 50, "the question takes half a second too");
    }

    #[tokio::test(start_paused = true)]
    async fn alone_it_is_all_this_nodes() {
        let (budget, _tasks) = started(Arc::new(Alone::new(NodeTag::random())), 10);
        assert_eq!(admitted(&budget, 500).await, 10);
        assert_eq!(admitted(&budget, 500).await, 0);
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(admitted(&budget, 500).await, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn too_many_that_wait_and_a_clerk_that_is_gone_mean_no() {
        let (budget, clerk) = Budget::new(Arc::new(Alone::new(NodeTag::random())), 1_000_000);
        let mut asked: Vec<_> = (0..WAITING + 10).map(|_| Box::pin(budget.admits())).collect();
        for (n, ask) in asked.iter_mut().enumerate() {
            let answer = futures_util::poll!(ask);
            assert_eq!(answer.is_ready(), n >= WAITING, "{n}");
        }
        drop(clerk);
        assert_eq!(join_all(asked.drain(..WAITING)).await.into_iter().filter(|yes| *yes).count(), 0);
        assert!(!budget.admits().await);
    }
}
