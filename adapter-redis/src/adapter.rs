//! All of it together.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::budget::{self, Taken};
use crate::bus::Bus;
use crate::canary::Canary;
use crate::log::{Logs, Part, ReadError, ReadLimit};
use crate::nodes::{Listed, Load, Nodes, Tag, TagTaken};
use crate::notices::{Notice, NoticeId, Notices, Reason};
use crate::place::{Epoch, Place};
use crate::publish::{Accepted, Item, PublishError, Publisher};
use crate::questions::{Answers, Questions};
use crate::record::Question;
use crate::reply::text;
use crate::revocations::{Revocation, Revocations, TokenFacts};
use crate::server::Server;
use crate::sessions::{
    Action, Attached, Attention, Claimant, NewSession, Present, Refresh, RoomChange, Session, SessionKey, Sessions,
    TakeOverError, WriteError,
};
use crate::shard::{Epochs, Shard};
use crate::{Event, Host, Room, RoomKey, Settings, Unavailable};

/// Between two looks for expired sessions.
pub(crate) const SWEEP: Duration = Duration::from_secs(5);

/// Room bus, recovery log and session store of one node. See the crate.
pub struct RedisAdapter<H: Host> {
    shard: Arc<Shard>,
    publisher: Publisher,
    logs: Arc<Logs<H>>,
    bus: Bus<H>,
    sessions: Sessions,
    notices: Arc<Notices>,
    revocations: Revocations,
    questions: Arc<Questions>,
    canary: Arc<Canary>,
    nodes: Nodes,
    tag: Tag,
}

impl<H: Host> RedisAdapter<H> {
    /// Connects nothing yet: that is for [`Self::tasks`]. `tag`: this node's, not
    /// used by another.
    pub fn new(server: Arc<dyn Server>, settings: Settings, tag: Tag, host: Arc<H>) -> Arc<Self> {
        let shard = Shard::new(server, settings);
        let notices = Arc::new(Notices::new(Arc::clone(&shard)));
        let instance = hex::encode(rand::random::<[u8; 8]>());
        let logs = Arc::new(Logs::new(Arc::clone(&shard), Arc::clone(&host)));
        let questions = Arc::new(Questions::new(Arc::clone(&shard), tag.clone()));
        let canary = Arc::new(Canary::new(Arc::clone(&shard), Arc::clone(&questions), tag.clone()));
        let bus = Bus::new(
            Arc::clone(&shard),
            Arc::clone(&host),
            Arc::clone(&logs),
            Arc::clone(&questions),
            Arc::clone(&canary),
            tag.clone(),
        );
        Arc::new(RedisAdapter {
            publisher: Publisher::new(Arc::clone(&shard), &instance),
            sessions: Sessions::new(Arc::clone(&shard), tag.clone(), Arc::clone(&notices)),
            revocations: Revocations::new(Arc::clone(&shard)),
            nodes: Nodes::new(Arc::clone(&shard), tag.clone(), &instance),
            shard,
            logs,
            bus,
            questions,
            canary,
            notices,
            tag,
        })
    }

    /// This node's tag.
    pub fn tag(&self) -> &Tag {
        &self.tag
    }

    /// How long Redis has taken nothing from this node: some 1 s at most while
    /// all is well.
    pub fn silent_for(&self) -> Duration {
        self.nodes.silent_for()
    }

    /// The epochs as of now, or when Redis was last reached.
    pub fn epochs(&self) -> Epochs {
        self.shard.epochs()
    }

    /// Accepts items in their order; one answer each. Those to be logged are in
    /// the log before they are answered. Dropped, what was begun goes on.
    pub async fn publish(&self, items: Vec<Item>) -> Vec<Result<Accepted, PublishError>> {
        self.publisher.publish(items).await
    }

    /// Resolves when this node hears these rooms: what is published after that
    /// is delivered.
    pub async fn subscribe(&self, rooms: &[RoomKey]) {
        self.bus.subscribe(rooms).await;
    }

    /// These rooms have no member here any more, so far as the caller knows;
    /// [`Host::is_wanted`] is asked before they are left.
    pub fn unsubscribe(&self, rooms: Vec<RoomKey>) {
        self.bus.unsubscribe(rooms);
    }

    /// Resolves when this node hears every room of a namespace: for who does not
    /// know which of them have members. What comes while the connection is
    /// broken is missed; there is no catching up.
    pub async fn hear_all(&self, namespace: &str) {
        self.bus.subscribe(&[RoomKey::all_of(namespace)]).await;
    }

    /// Ends [`Self::hear_all`], unless [`Host::is_wanted`] says of a key without
    /// a room that it is.
    pub fn hear_all_no_more(&self, namespace: &str) {
        self.bus.unsubscribe(vec![RoomKey::all_of(namespace)]);
    }

    /// The place of the last message.
    ///
    /// # Errors
    /// When Redis cannot be reached for [`Settings::patience`]; so for all that follow.
    pub async fn head(&self) -> Result<Place, Unavailable> {
        self.shard.cut(self.shard.head().await?)
    }

    /// Each part's messages, in order; complete up to any place of this epoch
    /// that was returned before the call.
    ///
    /// # Errors
    /// When it is not all there, or too much.
    pub async fn read(
        &self,
        epoch: Epoch,
        parts: Vec<Part>,
        limit: ReadLimit,
    ) -> Result<Vec<Vec<H::Message>>, ReadError> {
        self.logs.read(epoch, parts, limit).await
    }

    /// The last `most` messages of a part of the log that are still there, in
    /// order: for who can do without the others.
    ///
    /// # Errors
    /// See [`Self::head`].
    pub async fn recent(&self, part: &Part, most: usize) -> Result<Vec<H::Message>, Unavailable> {
        self.logs.recent(part, most).await
    }

    /// Writes a new session; its rooms count from the place returned.
    ///
    /// # Errors
    /// [`WriteError::Full`] over [`Settings::max_sessions`].
    pub async fn open_session(&self, session: &NewSession) -> Result<Place, WriteError> {
        self.sessions.open(session).await
    }

    /// Writes a session that Redis has lost, or a part of it, while its client
    /// stayed ([`Attention::Missing`]). No change of its rooms may be under way.
    ///
    /// # Errors
    /// When it has another owner by now.
    pub async fn restore_session(&self, session: &NewSession) -> Result<(), WriteError> {
        self.sessions.restore(session).await
    }

    /// Makes this node the owner of a session, and fences the earlier one.
    ///
    /// # Errors
    /// When there is none, or it is another's.
    pub async fn take_over(
        &self,
        pid: &str,
        namespace: &str,
        claimant: Claimant<'_>,
    ) -> Result<Session, TakeOverError> {
        self.sessions.take_over(pid, namespace, claimant).await
    }

    /// This node hears the rooms of a session that it has taken over; `changes`
    /// as it knows it.
    ///
    /// # Errors
    /// When it has another owner by now.
    pub async fn attach(&self, key: &SessionKey, changes: u64) -> Result<Attached, WriteError> {
        self.sessions.attach(key, changes).await
    }

    /// Enters and leaves rooms, as of the place returned. After leaving,
    /// [`Host::position`] comes to that place soon.
    ///
    /// # Errors
    /// When it has another owner by now.
    pub async fn change_rooms(&self, key: &SessionKey, change: &RoomChange) -> Result<Place, WriteError> {
        self.sessions.change_rooms(key, change).await
    }

    /// Keeps sessions alive; answers those that need attention, by index.
    ///
    /// # Errors
    /// See [`Self::head`].
    pub async fn refresh(&self, batch: &[Refresh]) -> Result<Vec<(usize, Attention)>, Unavailable> {
        self.sessions.refresh(batch).await
    }

    /// The client has gone; its session stays until it expires.
    ///
    /// # Errors
    /// When it has another owner by now.
    pub async fn detach(&self, refresh: &Refresh) -> Result<(), WriteError> {
        self.sessions.detach(refresh).await
    }

    /// Ends a session: it cannot be recovered after this returned.
    ///
    /// # Errors
    /// When it has another owner by now.
    pub async fn end_session(&self, key: &SessionKey, reason: Reason) -> Result<(), WriteError> {
        self.sessions.end(key, reason).await
    }

    /// Does something to the sessions of these rooms whose client is away, and
    /// notes it for the owners of the others; answers how many were away.
    ///
    /// # Errors
    /// See [`Self::head`].
    pub async fn operate(
        &self,
        namespace: &str,
        rooms: &[Room],
        operation: &str,
        action: &Action,
    ) -> Result<usize, Unavailable> {
        self.sessions.operate(namespace, rooms, operation, action).await
    }

    /// Resolves when there is something to be told of watched sessions; it is
    /// leased to the caller for [`Settings::notice_lease`]. Dropped, what it may
    /// have taken comes again after that.
    pub async fn notices(&self) -> Vec<Notice> {
        self.notices.next().await
    }

    /// These were told, or are given up. What cannot be settled now comes again.
    pub async fn settle(&self, done: &[NoticeId]) {
        self.notices.settle(done).await;
    }

    /// Who is in a room, with at most `most` sockets.
    ///
    /// # Errors
    /// See [`Self::head`].
    pub async fn presence(&self, room: &RoomKey, most: usize) -> Result<Present, Unavailable> {
        self.sessions.presence(room, most).await
    }

    /// Keeps a revocation; of two of the same tokens the wider stays.
    ///
    /// # Errors
    /// See [`Self::head`].
    pub async fn revoke(&self, revocation: &Revocation<'_>) -> Result<(), Unavailable> {
        self.revocations.add(revocation).await
    }

    /// Whether a token is revoked. One round trip.
    ///
    /// # Errors
    /// See [`Self::head`].
    pub async fn is_revoked(&self, namespace: &str, token: &TokenFacts<'_>) -> Result<bool, Unavailable> {
        self.revocations.cover(namespace, token).await
    }

    /// Asks all nodes, this one too, to carry out what the caller has written.
    ///
    /// # Errors
    /// See [`Self::head`].
    pub async fn ask_all(&self, operation: &[u8], timeout: Duration) -> Result<Answers, Unavailable> {
        let everybody = self.shard.names.everybody();
        self.questions.ask(&everybody, timeout, |writer, question| writer.operate(question, operation)).await
    }

    /// Sends an event to be acknowledged; each node that hears its rooms answers.
    ///
    /// # Errors
    /// See [`Self::head`].
    pub async fn ask_recipients(&self, event: &Event, timeout: Duration) -> Result<Answers, Unavailable> {
        let channel = match &event.rooms[..] {
            [room] => self.shard.names.channel(&RoomKey::new(&event.namespace, room)),
            _ => self.shard.names.everybody(),
        };
        self.questions.ask(&channel, timeout, |writer, question| writer.acknowledge(question, event)).await
    }

    /// Answers a question that [`Host::asked`] brought.
    ///
    /// # Errors
    /// See [`Self::head`].
    pub async fn answer(&self, question: &Question, answer: &[u8]) -> Result<(), Unavailable> {
        self.questions.reply(question, answer).await
    }

    /// Where a node is reached; `None` when it is not alive.
    ///
    /// # Errors
    /// See [`Self::head`].
    pub async fn find_node(&self, tag: &Tag) -> Result<Option<String>, Unavailable> {
        self.nodes.find(tag).await
    }

    /// The nodes that are alive, as of the last sign of life of this one.
    pub fn nodes(&self) -> Vec<Listed> {
        self.nodes.all()
    }

    /// What this node carries; the others know it a second or two later.
    pub fn report(&self, load: Load) {
        self.nodes.report(load);
    }

    /// Takes from the budget of all nodes, which fills by `per_second` and holds
    /// as many; all of them must say the same.
    ///
    /// # Errors
    /// See [`Self::head`].
    pub async fn take(&self, wanted: u32, per_second: u32) -> Result<Taken, Unavailable> {
        budget::take(&self.shard, wanted, per_second).await
    }

    /// Lists this node among the others.
    ///
    /// # Errors
    /// [`TagTaken`] when another has its tag.
    pub async fn register(&self) -> Result<Result<(), TagTaken>, Unavailable> {
        self.nodes.beat().await
    }

    /// What the nodes of this deployment authenticate each other with: the one
    /// that is in Redis; where there is none (any more), `own` is put there, or
    /// a fresh one.
    ///
    /// # Errors
    /// See [`Self::head`].
    pub async fn secret(&self, own: Option<&[u8]>) -> Result<Vec<u8>, Unavailable> {
        let fresh: [u8; 32] = rand::random();
        let key = self.shard.names.secret();
        let up = self.shard.up(Instant::now() + self.shard.settings.patience).await?;
        let mut set = redis::cmd("SET");
        set.arg(&key).arg(hex::encode(own.unwrap_or(&fresh))).arg("NX");
        up.send(set).await.map_err(|_| Unavailable)?;
        let mut get = redis::cmd("GET");
        get.arg(&key);
        let secret = text(up.send(get).await.map_err(|_| Unavailable)?)?;
        hex::decode(secret).map_err(|_| Unavailable)
    }

    /// Whether a set that others keep in the same database has this member; its
    /// key is taken as it is.
    ///
    /// # Errors
    /// When Redis cannot be reached, or the key is no set.
    pub async fn set_contains(&self, key: &str, member: &str) -> Result<bool, Unavailable> {
        let up = self.shard.up(Instant::now() + self.shard.settings.patience).await?;
        let mut ask = redis::cmd("SISMEMBER");
        ask.arg(key).arg(member);
        let answer = up.send(ask).await.map_err(|_| Unavailable)?;
        Ok(matches!(answer, redis::Value::Int(1)))
    }

    /// Sends canaries, until `stop`: [`Host::canary`] hears each. For who wants
    /// to know how late it is.
    pub async fn watch_lag(&self, stop: CancellationToken) {
        self.canary.run(stop).await;
    }

    /// The tasks of a program that does nothing but publish, by name; each ends
    /// at `stop`. It is no node: it hears nothing, and nobody asks it.
    pub fn publishing_tasks(self: &Arc<Self>, stop: &CancellationToken) -> Vec<(&'static str, BoxFuture<'static, ()>)> {
        let (link, publisher) = (Arc::clone(&self.shard), Arc::clone(self));
        let [a, b] = std::array::from_fn(|_| stop.clone());
        vec![
            ("redis link", Box::pin(link.run(a))),
            ("publisher", Box::pin(async move { publisher.publisher.run(b).await })),
        ]
    }

    /// The tasks of a node, by name; each ends at `stop`.
    pub fn tasks(self: &Arc<Self>, stop: &CancellationToken) -> Vec<(&'static str, BoxFuture<'static, ()>)> {
        let [logs, bus, nodes, sweeper] = std::array::from_fn(|_| Arc::clone(self));
        let [a, b, c, d] = std::array::from_fn(|_| stop.clone());
        let mut tasks = self.publishing_tasks(stop);
        tasks.extend([
            ("log reader", Box::pin(async move { logs.logs.run(a).await }) as BoxFuture<'static, ()>),
            ("room bus", Box::pin(async move { bus.bus.run(b).await })),
            ("node registry", Box::pin(async move { nodes.nodes.run(c).await })),
            ("session expiry", Box::pin(async move { sweeper.sweep(d).await })),
        ]);
        tasks
    }

    /// Removes expired sessions, once the others have had time to refresh
    /// theirs.
    async fn sweep(&self, stop: CancellationToken) {
        let mut wait = self.shard.settings.session_ttl / 4;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
            wait = SWEEP;
            while let Ok(true) = self.sessions.sweep().await {}
        }
    }
}
