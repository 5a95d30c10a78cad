//! Questions to all nodes, and their answers.
//!
//! A question is published; the number of subscribers that got it is the
//! number of answers to wait for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hashbrown::HashMap;
use redis::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::Unavailable;
use crate::nodes::Tag;
use crate::record::{Question, Writer};
use crate::shard::Shard;

/// Answers of one question that may wait; a cluster has fewer nodes.
const ANSWERS: usize = 1024;

/// How much longer than the nodes the asking one waits.
const GRACE: Duration = Duration::from_millis(500);

/// The answers to a question.
#[derive(Debug, Default)]
pub struct Answers {
    pub answers: Vec<Bytes>,
    /// Some did not answer in time.
    pub partial: bool,
}

pub(crate) struct Questions {
    shard: Arc<Shard>,
    writer: Writer,
    tag: Tag,
    next: AtomicU64,
    open: Mutex<HashMap<u64, mpsc::Sender<Bytes>>>,
}

/// An open question; dropped, its answers are not waited for.
struct Open<'a> {
    questions: &'a Questions,
    number: u64,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.questions.lock().remove(&self.number);
    }
}

impl Questions {
    pub(crate) fn new(shard: Arc<Shard>, tag: Tag) -> Self {
        let writer = Writer(shard.settings.format);
        Questions { shard, writer, tag, next: AtomicU64::new(1), open: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, mpsc::Sender<Bytes>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes what `write` makes of the question on a channel, and gathers
    /// the answers of who hears it for `timeout`, and a little longer.
    pub(crate) async fn ask(
        &self,
        channel: &str,
        timeout: Duration,
        write: impl FnOnce(Writer, &Question) -> Bytes,
    ) -> Result<Answers, Unavailable> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, mut receiver) = mpsc::channel(ANSWERS);
        self.lock().insert(number, sender);
        let _open = Open { questions: self, number };
        let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        let question = Question { from: self.tag.as_str().into(), number, timeout_ms };
        let deadline = Instant::now() + timeout + GRACE;
        let asked = self.publish(channel, write(self.writer, &question)).await?;
        let mut answers = Vec::new();
        while answers.len() < asked {
            match tokio::time::timeout_at(deadline, receiver.recv()).await {
                Ok(Some(answer)) => answers.push(answer),
                Ok(None) | Err(_) => break,
            }
        }
        Ok(Answers { partial: answers.len() < asked, answers })
    }

    pub(crate) fn writer(&self) -> Writer {
        self.writer
    }

    /// Answers who hears the channel.
    pub(crate) async fn publish(&self, channel: &str, record: Bytes) -> Result<usize, Unavailable> {
        let up = self.shard.up(Instant::now() + self.shard.settings.patience).await?;
        let mut command = redis::cmd("PUBLISH");
        command.arg(channel).arg(&record[..]);
        match up.send(command).await {
            Ok(Value::Int(count)) => Ok(usize::try_from(count).unwrap_or_default()),
            Ok(_) => Err(Unavailable),
            Err(error) => {
                if error.is_io_error() || error.is_timeout() {
                    self.shard.broken(&up);
                }
                Err(Unavailable)
            }
        }
    }

    /// This node's answer to another's question.
    pub(crate) async fn reply(&self, question: &Question, answer: &[u8]) -> Result<(), Unavailable> {
        let channel = self.shard.names.node_channel(&question.from);
        self.publish(&channel, self.writer.answer(question.number, answer)).await.map(drop)
    }

    /// An answer has come.
    pub(crate) fn answer(&self, number: u64, answer: Bytes) {
        if let Some(sender) = self.lock().get(&number) {
            // more than ANSWERS at once: the question is answered in part
            let _ = sender.try_send(answer);
        }
    }
}
