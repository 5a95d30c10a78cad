//! What nodes ask each other: to carry something out, or what is there.

use std::time::Duration;

use adapter_redis as redis;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;

use crate::adapter::inspect::{Inquiry, Inspected};
use crate::adapter::{Operation, Report, Unavailable};

use super::RedisAdapter;
use super::host::Work;
use super::wire::{Acknowledged, Answer, Asked, Inquired};

/// How long other nodes may take for an operation.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(5);

/// And for what an operator wants to see.
const INQUIRY_TIMEOUT: Duration = Duration::from_secs(1);

impl RedisAdapter {
    /// Answers what other nodes ask.
    pub(super) async fn answer_questions(&self, mut waiting: mpsc::Receiver<(redis::Question, Work)>) {
        let mut answers = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                Some(()) = answers.next() => {}
                question = waiting.recv() => match question {
                    Some((question, work)) => answers.push(self.answer(question, work)),
                    None => return,
                },
            }
        }
    }

    async fn answer(&self, question: redis::Question, work: Work) {
        let answer = match work {
            Work::Collect(collector) => {
                let acks = collector.collect(Duration::from_millis(question.timeout_ms)).await;
                serde_json::to_vec(&Acknowledged::new(acks))
            }
            Work::Operate(asked) => {
                if let Ok(inquired) = serde_json::from_slice::<Inquired>(&asked) {
                    return self.inspect_here(&question, inquired).await;
                }
                let report = match serde_json::from_slice::<Asked>(&asked) {
                    Ok(asked) => match asked.operation(&self.local.namespaces) {
                        Some(operation) => self.local.node.operate(operation).await,
                        // of a namespace that is not here: there is nobody that it concerns
                        None => Report::default(),
                    },
                    Err(error) => {
                        tracing::warn!(%error, "an operation of another node cannot be read: is it of a newer version?");
                        Report { partial: true, ..Report::default() }
                    }
                };
                serde_json::to_vec(&Answer::new(&report))
            }
        };
        self.reply(&question, answer).await;
    }

    /// Answers nothing where nothing is known.
    async fn inspect_here(&self, question: &redis::Question, inquired: Inquired) {
        let inspected = match inquired.inquiry(&self.local.namespaces) {
            Some(inquiry) => self.local.node.inspect(inquiry).await,
            None => None,
        };
        self.reply(question, serde_json::to_vec(&inspected)).await;
    }

    async fn reply(&self, question: &redis::Question, answer: serde_json::Result<Vec<u8>>) {
        match answer {
            Ok(answer) => {
                if self.inner.answer(question, &answer).await.is_err() {
                    tracing::debug!("an answer to another node was not sent");
                }
            }
            Err(error) => tracing::error!(%error, "an answer to another node cannot be written"),
        }
    }

    /// Every node's part of an operation.
    pub(super) async fn ask_all(&self, operation: &Operation) -> Result<Report, Unavailable> {
        let asked = serde_json::to_vec(&Asked::new(operation)).map_err(|_| Unavailable)?;
        let answers = self.inner.ask_all(&asked, OPERATION_TIMEOUT).await?;
        let mut report = Report { partial: answers.partial, ..Report::default() };
        for answer in answers.answers {
            match serde_json::from_slice::<Answer>(&answer) {
                Ok(answer) => answer.add_to(&mut report),
                Err(_) => report.partial = true,
            }
        }
        Ok(report)
    }

    /// What every node finds.
    pub(super) async fn inspect_all(&self, inquiry: Inquiry) -> Result<Vec<Inspected>, Unavailable> {
        let asked = serde_json::to_vec(&Inquired::new(inquiry)).map_err(|_| Unavailable)?;
        let answers = self.inner.ask_all(&asked, INQUIRY_TIMEOUT).await?;
        // of an older node it is no answer to this
        Ok(answers.answers.iter().filter_map(|answer| serde_json::from_slice(answer).ok()).collect())
    }
}
