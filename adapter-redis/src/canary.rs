//! How late this node hears what is published.
//!
//! Once a second a node publishes to itself, and sees when it has handed out
//! all that came before: by its own clock alone, over the whole way that a
//! message takes. What a node hears of itself in time, it hears of others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::nodes::Tag;
use crate::questions::Questions;
use crate::shard::Shard;

/// Between two.
const BEAT: Duration = Duration::from_secs(1);

pub(crate) struct Canary {
    shard: Arc<Shard>,
    questions: Arc<Questions>,
    tag: Tag,
    /// Times are told from here on.
    began: Instant,
}

impl Canary {
    /// The number of an answer to a question that nobody asks.
    pub(crate) const NUMBER: u64 = 0;

    pub(crate) fn new(shard: Arc<Shard>, questions: Arc<Questions>, tag: Tag) -> Self {
        Canary { shard, questions, tag, began: Instant::now() }
    }

    /// Publishes, until `stop`.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        let channel = self.shard.names.node_channel(self.tag.as_str());
        loop {
            let send = async {
                // while Redis is away none is on its way, and the next one leaves when it is back
                if self.shard.up(tokio::time::Instant::now() + BEAT).await.is_ok() {
                    let sent = self.began.elapsed().as_micros().to_string();
                    let record = self.questions.writer().answer(Self::NUMBER, sent.as_bytes());
                    if self.questions.publish(&channel, record).await.is_err() {
                        tracing::debug!("a canary was not sent");
                    }
                }
                tokio::time::sleep(BEAT).await;
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = send => {}
            }
        }
    }

    /// When the canary that was heard was sent; `None` of one that this process
    /// cannot have sent.
    pub(crate) fn sent(&self, answer: &[u8]) -> Option<Instant> {
        read(answer, self.began.elapsed()).map(|sent| self.began + sent)
    }
}

/// The time after the beginning, at most now.
fn read(answer: &[u8], now: Duration) -> Option<Duration> {
    let sent = Duration::from_micros(str::from_utf8(answer).ok()?.parse().ok()?);
    (sent <= now).then_some(sent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_says_when_it_was_sent() {
        let now = Duration::from_secs(7);
        assert_eq!(read(b"6900000", now), Some(Duration::from_millis(6900)));
        for other in ["", "7000001", "-1", "x", "1.5", "99999999999999999999999"] {
            assert_eq!(read(other.as_bytes(), now), None, "{other:?}");
        }
        assert_eq!(read(b"\xff", now), None);
    }
}
