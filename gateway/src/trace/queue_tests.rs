use std::future::pending;

use http::HeaderMap;
use opentelemetry_sdk::error::OTelSdkError;
use prometheus::{Registry, TextEncoder};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use super::*;
use crate::trace::{Sampling, Tracer};

/// Takes batches, by their lengths, or does not.
#[derive(Clone, Debug, Default)]
struct Receiver {
    taken: Arc<Mutex<Vec<usize>>>,
    hangs: bool,
    refuses: bool,
}

impl SpanExporter for Receiver {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        if self.hangs {
            pending::<()>().await;
        }
        if self.refuses {
            return Err(OTelSdkError::InternalFailure("not today".to_owned()));
        }
        self.taken.lock().unwrap().push(batch.len());
        Ok(())
    }
}

struct Bench {
    tracer: Tracer,
    registry: Registry,
    receiver: Receiver,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Bench {
    fn new(receiver: Receiver) -> Self {
        let registry = Registry::new();
        let queue = Queue::new(SpanMetrics::register(&registry).unwrap());
        let sampling = Sampling { ratio: 1.0, follow_callers: true };
        let tracer = Tracer::new(sampling, [], queue.clone());
        let stop = CancellationToken::new();
        let running = TaskTracker::new().spawn(queue.run(receiver.clone(), stop.clone()));
        Bench { tracer, registry, receiver, stop, running }
    }

    fn end(&self, spans: usize) {
        (0..spans).for_each(|_| drop(self.tracer.publish(&HeaderMap::new())));
    }

    fn counts(&self) -> [usize; 3] {
        counts_of(&self.registry)
    }

    async fn stopped(self) -> ([usize; 3], Duration) {
        let start = Instant::now();
        self.stop.cancel();
        self.running.await.unwrap();
        (counts_of(&self.registry), start.elapsed())
    }
}

/// Exported, dropped and failed ones.
fn counts_of(registry: &Registry) -> [usize; 3] {
    let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    ["exported", "dropped", "failed"].map(|outcome| {
        let series = format!("carillon_spans_total{{outcome=\"{outcome}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&series)).unwrap().parse().unwrap()
    })
}

#[tokio::test(start_paused = true)]
async fn spans_are_exported_together_after_a_while_or_when_there_are_many() {
    let bench = Bench::new(Receiver::default());
    tokio::task::yield_now().await;
    bench.end(3);
    tokio::time::sleep(DELAY / 2).await;
    assert_eq!(bench.counts(), [0, 0, 0]);
    tokio::time::sleep(DELAY).await;
    assert_eq!(bench.counts(), [3, 0, 0]);
    let start = Instant::now();
    bench.end(BATCH * 2 + 1);
    while bench.counts()[0] < 3 + BATCH * 2 + 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(*bench.receiver.taken.lock().unwrap(), [3, BATCH, BATCH, 1]);
}

#[tokio::test(start_paused = true)]
async fn what_is_left_is_exported_at_the_end() {
    let bench = Bench::new(Receiver::default());
    bench.end(BATCH + 5);
    assert_eq!(bench.stopped().await, ([BATCH + 5, 0, 0], Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_hangs_costs_spans_and_the_end_no_more_than_the_bound() {
    let bench = Bench::new(Receiver { hangs: true, ..Receiver::default() });
    bench.end(BATCH);
    tokio::time::sleep(DELAY * 2).await;
    bench.end(CAPACITY);
    assert_eq!(bench.counts(), [0, BATCH, 0]);
    assert_eq!(bench.stopped().await, ([0, BATCH + CAPACITY, 0], FLUSH));
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_refuses_is_counted() {
    let bench = Bench::new(Receiver { refuses: true, ..Receiver::default() });
    bench.end(7);
    tokio::time::sleep(DELAY * 2).await;
    bench.end(1);
    assert_eq!(bench.stopped().await, ([0, 0, 8], Duration::ZERO));
}
