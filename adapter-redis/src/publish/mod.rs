//! Publishing: what many callers send at once goes to Redis in one call.
//!
//! A caller's items are encoded where it runs, and queued. One task takes what
//! waits, up to [`MAX_ITEMS`], and calls the script; while some calls are under
//! way the next items gather. So the busier it is, the less each item costs.
//!
//! Each call has a number and takes one of the publisher's few slots, where the
//! script notes number and reply. A call whose outcome is unknown is sent again
//! under the same number: if it was carried out, its reply comes back. A call
//! that arrives late, after its slot was used again, is refused.
//!
//! Limits: [`QUEUE`] callers wait in the queue, further ones wait to enter it.
//! A caller waits at most [`Settings::patience`](crate::Settings) for each of
//! its calls.

mod batch;

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use redis::Value;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Event;
use crate::mutation::mutated;
use crate::place::Place;
use crate::record::Writer;
use crate::script::Script;
use crate::shard::{Fault, Shard};

use batch::{Encoded, Reply};

/// Most items of one call.
pub(crate) const MAX_ITEMS: usize = 128;

/// Bytes after which no more items are added to a call.
const MAX_BYTES: usize = 1 << 20;

/// Calls under way at once.
pub(crate) const SLOTS: usize = 4;

/// Callers that may wait.
const QUEUE: usize = 1024;

/// Something to publish.
#[derive(Debug, Clone)]
pub struct Item {
    /// What is sent, and to whom.
    pub event: Event,
    /// It goes to the logs of its rooms.
    pub logged: bool,
    /// Published once under this key, for [`Settings::idempotency`](crate::Settings::idempotency).
    pub idempotency: Option<Idempotency>,
}

/// The key of one publish, and what was published under it.
#[derive(Debug, Clone)]
pub struct Idempotency {
    /// Any text; it counts for all namespaces of the prefix.
    pub key: String,
    /// Another under the same key is a conflict.
    pub digest: u64,
}

/// A publish that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// `None` when it was not logged.
    pub place: Option<Place>,
    /// It was accepted before, under the same key; nothing was sent now.
    pub duplicate: bool,
}

/// Why a publish was not accepted, or is not known to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// Nothing was done.
    #[error("the idempotency key was used with another body")]
    Conflict,
    /// Nothing was done.
    #[error("redis is unavailable")]
    Unavailable,
    /// It may have been done.
    #[error("the outcome is unknown")]
    Unknown,
}

type Outcome = Result<Accepted, PublishError>;

struct Request {
    items: Vec<Encoded>,
    bytes: usize,
    answer: oneshot::Sender<Vec<Outcome>>,
}

pub(crate) struct Publisher {
    shard: Arc<Shard>,
    writer: Writer,
    /// Of this process: names the slots of this publisher.
    instance: String,
    queue: mpsc::Sender<Request>,
    waiting: Mutex<mpsc::Receiver<Request>>,
}

impl Publisher {
    /// `instance`: of this process, never used before.
    pub(crate) fn new(shard: Arc<Shard>, instance: &str) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let (writer, instance) = (Writer(shard.settings.format), instance.to_owned());
        Publisher { shard, writer, instance, queue, waiting: Mutex::new(waiting) }
    }

    /// Accepts items in their order; one answer each. Dropped, what was queued
    /// goes on.
    pub(crate) async fn publish(&self, items: Vec<Item>) -> Vec<Outcome> {
        let mut answers = Vec::with_capacity(items.len());
        let mut items = items.into_iter().map(|item| Encoded::new(item, self.writer, &self.shard)).peekable();
        while items.peek().is_some() {
            let (mut part, mut bytes) = (Vec::new(), 0);
            while let Some(item) = items.next_if(|item| part.is_empty() || bytes + item.len() <= MAX_BYTES) {
                bytes += item.len();
                part.push(item);
                if part.len() == MAX_ITEMS {
                    break;
                }
            }
            let count = part.len();
            let (answer, outcome) = oneshot::channel();
            let queued = self.queue.send(Request { items: part, bytes, answer }).await;
            match (queued, outcome.await) {
                (Ok(()), Ok(outcomes)) => answers.extend(outcomes),
                (Err(_), _) => answers.extend(vec![Err(PublishError::Unavailable); count]),
                (Ok(()), Err(_)) => answers.extend(vec![Err(PublishError::Unknown); count]),
            }
        }
        answers
    }

    /// Takes what is queued, until `stop`.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        let mut waiting = self.waiting.lock().await;
        let mut calls = FuturesUnordered::new();
        let mut free: Vec<usize> = (0..SLOTS).collect();
        let (mut number, mut left) = (0u64, None);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Some(slot) = calls.next() => free.push(slot),
                first = next(&mut left, &mut waiting), if !free.is_empty() => {
                    let Some(first) = first else { return };
                    let Some(slot) = free.pop() else { continue };
                    let requests = gather(first, &mut left, &mut waiting);
                    number += 1;
                    calls.push(async move {
                        self.carry_out(slot, number, requests).await;
                        slot
                    });
                }
            }
        }
    }

    async fn carry_out(&self, slot: usize, number: u64, requests: Vec<Request>) {
        let items: Vec<&Encoded> = requests.iter().flat_map(|request| &request.items).collect();
        let mut outcomes = self.settle(slot, number, &items).await.into_iter();
        for request in requests {
            // who asked may have gone
            let _ = request.answer.send(outcomes.by_ref().take(request.items.len()).collect());
        }
    }

    /// Sends a call until its outcome is known or it is too late.
    async fn settle(&self, slot: usize, number: u64, items: &[&Encoded]) -> Vec<Outcome> {
        let deadline = Instant::now() + self.shard.settings.patience;
        let all = |error| vec![Err(error); items.len()];
        let mut in_doubt = None;
        loop {
            let doubt = if in_doubt.is_some() { PublishError::Unknown } else { PublishError::Unavailable };
            let Ok(up) = self.shard.up(deadline).await else { return all(doubt) };
            let epoch = up.epoch;
            if in_doubt.is_some_and(|before| before != epoch) {
                // what it did, if anything, was lost with its epoch
                return all(PublishError::Unknown);
            }
            let number = if mutated!(RetryAnew) && in_doubt.is_some() { number + (1 << 40) } else { number };
            let call = |command: &mut redis::Cmd| {
                command.arg(format!("b:{}:{slot}", self.instance)).arg(number);
                batch::write(command, &self.shard, epoch, self.writer, items)
            };
            match self.shard.attempt(&up, Script::Publish, &[], call).await {
                Ok(Value::BulkString(reply)) => {
                    let Some(reply) = Reply::read(&reply) else { return all(PublishError::Unknown) };
                    if !self.is_replicated(&up).await {
                        return all(PublishError::Unknown);
                    }
                    return reply.outcomes(epoch, items);
                }
                Ok(_) | Err(Fault::Failed) => return all(PublishError::Unknown),
                Err(Fault::Refused) => return all(doubt),
                Err(Fault::Moved) if Instant::now() >= deadline => return all(doubt),
                Err(Fault::Unknown) if Instant::now() >= deadline => return all(PublishError::Unknown),
                Err(Fault::Moved) => {}
                Err(Fault::Unknown) => in_doubt = Some(epoch),
            }
        }
    }

    /// Whether enough replicas have what was written over this connection.
    async fn is_replicated(&self, up: &crate::shard::Up) -> bool {
        let wanted = self.shard.settings.wait_replicas;
        if wanted == 0 {
            return true;
        }
        let timeout = self.shard.settings.patience.as_millis() / 2;
        let mut wait = redis::cmd("WAIT");
        wait.arg(wanted).arg(u64::try_from(timeout).unwrap_or(u64::MAX));
        match up.send(wait).await {
            Ok(Value::Int(replicas)) => replicas >= i64::from(wanted),
            _ => false,
        }
    }
}

async fn next(left: &mut Option<Request>, waiting: &mut mpsc::Receiver<Request>) -> Option<Request> {
    match left.take() {
        Some(request) => Some(request),
        None => waiting.recv().await,
    }
}

/// What fits into one call with `first`; what did not fit is `left`.
fn gather(first: Request, left: &mut Option<Request>, waiting: &mut mpsc::Receiver<Request>) -> Vec<Request> {
    let (mut count, mut bytes) = (first.items.len(), first.bytes);
    let mut requests = vec![first];
    while count < MAX_ITEMS && bytes < MAX_BYTES {
        let Ok(request) = waiting.try_recv() else { break };
        if count + request.items.len() > MAX_ITEMS || bytes + request.bytes > MAX_BYTES {
            *left = Some(request);
            break;
        }
        count += request.items.len();
        bytes += request.bytes;
        requests.push(request);
    }
    requests
}
