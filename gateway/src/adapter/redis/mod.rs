//! The adapter of many nodes: room bus, log and sessions on Redis.
//!
//! The library `adapter_redis` does the work; here its words become the
//! gateway's, and questions that nodes ask each other are answered: an
//! operation is carried out by every node on its own sockets, an event to be
//! acknowledged is collected by every node that has recipients.

mod convert;
mod host;
mod metrics;
mod questions;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use adapter_redis as redis;
use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::message::{
    Acks, Draft, Epoch, NamespaceId, NamespaceRef, Namespaces, NodeTag, Offset, Position, Room, Token,
};

use super::inspect::{Inquiry, Inspected};
use super::{
    Adapter, Attached, Attention, Claim, Claimant, Ending, Fleet, Load, NewSession, Node, NodeInfo, Notice, NoticeId,
    Operation, OperationId, Present, PublishError, Published, Range, ReadError, ReadLimit, Refresh, Report, Revocation,
    RoomChange, SessionKey, Sets, TakeOverError, Taken, TakenOver, TokenFacts, Unavailable, Watch, WriteError,
};
use host::{Local, QUESTIONS, Work};
pub use metrics::RedisMetrics;
use wire::Acknowledged;

/// Between two attempts to be listed among the nodes.
const REGISTER_AGAIN: Duration = Duration::from_millis(500);

/// See the module.
pub struct RedisAdapter {
    inner: Arc<redis::RedisAdapter<Local>>,
    local: Arc<Local>,
    questions: Mutex<Option<mpsc::Receiver<(redis::Question, Work)>>>,
    /// How long Redis may take nothing before this node calls itself unready.
    unready_after: Duration,
}

impl RedisAdapter {
    /// Connects nothing yet: that is for [`Adapter::run`].
    pub fn new(
        server: Arc<dyn redis::server::Server>,
        settings: redis::Settings,
        tag: NodeTag,
        namespaces: Namespaces,
        node: Arc<dyn Node>,
        unready_after: Duration,
    ) -> Self {
        let (questions, waiting) = mpsc::channel(QUESTIONS);
        let local = Arc::new(Local { node, namespaces, questions });
        let tag = tag_of(tag);
        RedisAdapter {
            inner: redis::RedisAdapter::new(server, settings, tag, Arc::clone(&local)),
            local,
            questions: Mutex::new(Some(waiting)),
            unready_after,
        }
    }

    /// Resolves when Redis is reached and this node is listed; false when its
    /// tag is another's.
    pub async fn register(&self) -> bool {
        loop {
            match self.inner.register().await {
                Ok(listed) => return listed.is_ok(),
                Err(redis::Unavailable) => tokio::time::sleep(REGISTER_AGAIN).await,
            }
        }
    }

    /// Where a node's internal listener is reached; `None` when it is not
    /// alive.
    ///
    /// # Errors
    /// When Redis has to be asked and cannot.
    pub async fn find_node(&self, tag: NodeTag) -> Result<Option<String>, Unavailable> {
        Ok(self.inner.find_node(&tag_of(tag)).await?)
    }

    /// What nodes of this deployment authenticate each other with; `own` where
    /// Redis has lost it.
    ///
    /// # Errors
    /// When Redis cannot be reached.
    pub async fn secret(&self, own: Option<&[u8]>) -> Result<Vec<u8>, Unavailable> {
        Ok(self.inner.secret(own).await?)
    }

    /// What [`Adapter::run`] runs, for a model that decides itself who is next.
    #[cfg(test)]
    pub(crate) fn tasks(
        self: &Arc<Self>,
        stop: &CancellationToken,
    ) -> Vec<(&'static str, futures_util::future::BoxFuture<'static, ()>)> {
        let mut tasks = self.inner.tasks(stop);
        if let Some(questions) = self.questions.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let adapter = Arc::clone(self);
            tasks.push(("questions", Box::pin(async move { adapter.answer_questions(questions).await })));
        }
        tasks
    }

    fn namespace(&self, id: NamespaceId) -> Result<&NamespaceRef, Unavailable> {
        self.local.namespaces.get(id).ok_or(Unavailable)
    }

    fn current(&self) -> redis::Epoch {
        self.inner.epochs().current()
    }
}

fn part(namespace: &NamespaceRef, range: &Range) -> redis::Part {
    redis::Part {
        room: redis::RoomKey::new(&namespace.name, &convert::room(&range.room)),
        after: convert::id(range.after),
        through: convert::id(range.through),
    }
}

fn tag_of(tag: NodeTag) -> redis::Tag {
    redis::Tag::parse(tag.as_str()).expect("both are three characters of one alphabet")
}

#[async_trait]
impl Sets for RedisAdapter {
    async fn has_member(&self, key: &str, member: &str) -> Result<bool, Unavailable> {
        Ok(self.inner.set_contains(key, member).await?)
    }
}

#[async_trait]
impl Fleet for RedisAdapter {
    fn nodes(&self) -> Vec<NodeInfo> {
        let node = |listed: redis::Listed| {
            let load = |load: redis::Load| Load { connections: load.connections, draining: load.leaving };
            Some(NodeInfo {
                tag: NodeTag::parse(listed.tag.as_str())?,
                address: listed.address,
                load: listed.load.map(load),
                this: listed.tag == *self.inner.tag(),
            })
        };
        self.inner.nodes().into_iter().filter_map(node).collect()
    }

    fn report(&self, load: Load) {
        self.inner.report(redis::Load { connections: load.connections, leaving: load.draining });
    }

    async fn take(&self, wanted: u32, per_second: u32) -> Result<Taken, Unavailable> {
        let taken = self.inner.take(wanted, per_second).await?;
        Ok(Taken { count: taken.count, next: taken.next })
    }
}

#[async_trait]
impl Adapter for RedisAdapter {
    async fn publish(&self, batch: Vec<Draft>) -> Vec<Result<Published, PublishError>> {
        let item = |draft: Draft| redis::Item {
            event: convert::event(&draft),
            logged: draft.is_recoverable(),
            idempotency: draft.idempotency.map(|it| redis::Idempotency { key: it.key.to_string(), digest: it.digest }),
        };
        let outcomes = self.inner.publish(batch.into_iter().map(item).collect()).await;
        let published = |accepted: redis::Accepted| Published {
            offset: accepted.place.map(convert::offset),
            duplicate: accepted.duplicate,
        };
        outcomes.into_iter().map(|outcome| Ok(outcome.map(published)?)).collect()
    }

    async fn publish_with_ack(&self, draft: Draft, timeout: Duration) -> Result<Acks, PublishError> {
        let answers = self.inner.ask_recipients(&convert::event(&draft), timeout).await;
        // it may have been sent
        let answers = answers.map_err(|redis::Unavailable| PublishError::OutcomeUnknown)?;
        let mut acks = Acks::default();
        for answer in answers.answers {
            if let Ok(acknowledged) = serde_json::from_slice::<Acknowledged>(&answer) {
                acknowledged.add_to(&mut acks);
            }
        }
        acks.complete = !answers.partial && acks.answers.len() == acks.expected;
        Ok(acks)
    }

    async fn subscribe(&self, namespace: &NamespaceRef, rooms: &[Room]) -> Result<(), Unavailable> {
        self.inner.subscribe(&convert::room_keys(namespace, rooms)).await;
        Ok(())
    }

    fn unsubscribe(&self, namespace: &NamespaceRef, rooms: &[Room]) {
        self.inner.unsubscribe(convert::room_keys(namespace, rooms));
    }

    fn offset(&self, position: Position) -> Offset {
        convert::offset(self.inner.epochs().place(convert::id(position)))
    }

    async fn head(&self) -> Result<Offset, Unavailable> {
        Ok(convert::offset(self.inner.head().await?))
    }

    async fn read(
        &self,
        namespace: NamespaceId,
        epoch: Epoch,
        ranges: &[Range],
        limit: ReadLimit,
    ) -> Result<Vec<Vec<Arc<crate::message::Message>>>, ReadError> {
        let namespace = self.namespace(namespace)?;
        let parts = ranges.iter().map(|range| part(namespace, range)).collect();
        let limit = redis::ReadLimit { messages: limit.messages, bytes: limit.bytes };
        Ok(self.inner.read(convert::their_epoch(epoch), parts, limit).await?)
    }

    async fn recent(
        &self,
        namespace: NamespaceId,
        range: &Range,
        most: usize,
    ) -> Result<Vec<Arc<crate::message::Message>>, Unavailable> {
        Ok(self.inner.recent(&part(self.namespace(namespace)?, range), most).await?)
    }

    async fn open_session(&self, session: NewSession) -> Result<Offset, WriteError> {
        let namespace = self.namespace(session.namespace)?;
        let written = convert::session(namespace, NewSession::GENERATION, &session);
        Ok(convert::offset(self.inner.open_session(&written).await?))
    }

    async fn restore_session(&self, key: SessionKey, session: NewSession) -> Result<(), WriteError> {
        let namespace = self.namespace(session.namespace)?;
        Ok(self.inner.restore_session(&convert::session(namespace, key.generation, &session)).await?)
    }

    async fn take_over(&self, claim: Claim) -> Result<TakenOver, TakeOverError> {
        let namespace = self.namespace(claim.namespace)?;
        let claimant = match &claim.subject {
            Claimant::Nobody => redis::Claimant::Nobody,
            Claimant::User(user) => redis::Claimant::User(user),
            Claimant::Holder => redis::Claimant::Holder,
        };
        let session = self.inner.take_over(claim.pid.0.as_str(), &namespace.name, claimant).await?;
        let current = self.current();
        Ok(TakenOver {
            socket: Token::parse(&session.socket).map(crate::message::SocketId).ok_or(TakeOverError::Unknown)?,
            subject: convert::text(&session.subject),
            identity: convert::text(&session.identity),
            watched: Watch { gone: session.watched.gone, presence: session.watched.presence },
            generation: session.generation,
            epoch: convert::epoch(current),
            confirmed: convert::present(current, session.confirmed).max(convert::present(current, session.start)),
            stays: convert::stays(current, session),
        })
    }

    async fn attach(&self, key: SessionKey, changes: u64) -> Result<Attached, WriteError> {
        Ok(match self.inner.attach(&convert::key(key), changes).await? {
            redis::Attached::At(place) => Attached::At(convert::offset(place)),
            redis::Attached::Changed(session) => Attached::Changed(convert::stays(self.current(), session)),
        })
    }

    async fn change_rooms(&self, key: SessionKey, change: RoomChange) -> Result<Offset, WriteError> {
        let change = redis::RoomChange {
            join: convert::rooms(&change.join),
            leave: convert::rooms(&change.leave),
            operation: change.operation.map(|id| id.0.as_str().into()),
            identity: change.identity.as_deref().map(Into::into),
        };
        Ok(convert::offset(self.inner.change_rooms(&convert::key(key), &change).await?))
    }

    async fn refresh(&self, batch: Vec<Refresh>) -> Result<Vec<(Refresh, Attention)>, Unavailable> {
        let epochs = self.inner.epochs();
        let written: Vec<_> = batch.iter().map(|refresh| convert::refresh(&epochs, *refresh)).collect();
        let attention = |(index, attention): (usize, redis::Attention)| {
            let attention = match attention {
                redis::Attention::Fenced => Attention::Fenced,
                redis::Attention::Missing => Attention::Missing,
                redis::Attention::Waiting(waiting) => {
                    Attention::Waiting(waiting.into_iter().filter_map(convert::waiting).collect())
                }
            };
            Some((*batch.get(index)?, attention))
        };
        Ok(self.inner.refresh(&written).await?.into_iter().filter_map(attention).collect())
    }

    async fn detach(&self, refresh: Refresh) -> Result<(), Unavailable> {
        match self.inner.detach(&convert::refresh(&self.inner.epochs(), refresh)).await {
            Ok(()) | Err(redis::WriteError::Fenced | redis::WriteError::Full) => Ok(()),
            Err(redis::WriteError::Unavailable(_)) => Err(Unavailable),
        }
    }

    async fn end_session(&self, key: SessionKey, ending: Ending) -> Result<(), Unavailable> {
        match self.inner.end_session(&convert::key(key), convert::reason(ending)).await {
            Ok(()) | Err(redis::WriteError::Fenced | redis::WriteError::Full) => Ok(()),
            Err(redis::WriteError::Unavailable(_)) => Err(Unavailable),
        }
    }

    async fn operate(&self, mut operation: Operation) -> Result<Report, Unavailable> {
        let mut away = 0;
        if operation.namespace.recovery
            && let Some(action) = convert::action(&operation.action)
        {
            // first the sessions: whoever comes, goes or is missed by the question finds it there
            let id = Token::random();
            operation.id = Some(OperationId(id));
            let rooms = convert::rooms(&operation.rooms);
            away = self.inner.operate(&operation.namespace.name, &rooms, id.as_str(), &action).await?;
        }
        let mut report = self.ask_all(&operation).await?;
        report.count += away;
        Ok(report)
    }

    async fn inspect(&self, inquiry: Inquiry) -> Result<Vec<Inspected>, Unavailable> {
        self.inspect_all(inquiry).await
    }

    async fn notices(&self) -> Vec<Notice> {
        loop {
            let claimed = self.inner.notices().await;
            let notices: Vec<Notice> =
                claimed.into_iter().filter_map(|it| convert::notice(&self.local.namespaces, it)).collect();
            // those of a namespace that is not here are left to other nodes
            if !notices.is_empty() {
                return notices;
            }
        }
    }

    async fn settle(&self, done: &[NoticeId]) {
        let theirs = |id: &NoticeId| redis::NoticeId { id: id.as_str().into(), entry: id.entry().into() };
        self.inner.settle(&done.iter().map(theirs).collect::<Vec<_>>()).await;
    }

    async fn presence(&self, namespace: &NamespaceRef, room: &Room, most: usize) -> Result<Present, Unavailable> {
        let key = redis::RoomKey::new(&namespace.name, &convert::room(room));
        Ok(convert::present_sockets(self.inner.presence(&key, most).await?))
    }

    async fn revoke(&self, revocation: Revocation) -> Result<Report, Unavailable> {
        // kept before it is carried out: whoever connects meanwhile is refused, or is there to be asked
        self.inner.revoke(&convert::revocation(&revocation)).await?;
        self.ask_all(&revocation.into_operation()).await
    }

    async fn is_revoked(&self, namespace: &NamespaceRef, token: &TokenFacts<'_>) -> Result<bool, Unavailable> {
        let facts = redis::TokenFacts {
            user: token.user,
            token_id: token.token_id,
            issued: token.issued.map(|issued| issued.0),
        };
        Ok(self.inner.is_revoked(&namespace.name, &facts).await?)
    }

    fn is_ready(&self) -> bool {
        self.inner.silent_for() < self.unready_after
    }

    async fn run(&self, stop: CancellationToken) {
        let questions = self.questions.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut tasks = JoinSet::new();
        let (canary, until) = (Arc::clone(&self.inner), stop.clone());
        tasks.spawn(async move {
            canary.watch_lag(until).await;
            "canary"
        });
        for (name, task) in self.inner.tasks(&stop) {
            tasks.spawn(async move {
                task.await;
                name
            });
        }
        let answers = async {
            match questions {
                Some(questions) => self.answer_questions(questions).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(answers);
        loop {
            tokio::select! {
                ended = tasks.join_next() => match ended {
                    Some(Ok(_)) if stop.is_cancelled() => {}
                    Some(Ok(name)) => {
                        tracing::error!(task = name, "a task has ended");
                        return;
                    }
                    Some(Err(error)) => {
                        tracing::error!(%error, "a task has failed");
                        return;
                    }
                    None => return,
                },
                () = &mut answers, if !stop.is_cancelled() => {}
            }
        }
    }
}
