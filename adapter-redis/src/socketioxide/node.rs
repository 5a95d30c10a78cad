//! A socketioxide server as a node of the cluster.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use hashbrown::HashMap;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Error;
use super::wire::{Acknowledged, Answer, Asked};
use crate::server::Server;
use crate::{Asked as Asking, Event, Host, Id, Place, Question, RedisAdapter, RoomKey, Settings, Tag};

/// Questions of other nodes that may wait, and that are answered at once;
/// further ones are not answered, and the answer there is called partial.
const QUESTIONS: usize = 1024;

/// Tags that are tried until one is free.
const TAGS: usize = 16;

/// The state that the adapters of all namespaces share: this server's place in
/// the cluster.
///
/// It connects when the first namespace is added, in the Tokio runtime that
/// does so, and leaves the cluster when the last one is closed, as by
/// `SocketIo::close`.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
    without_recovery: Arc<[String]>,
}

struct Inner {
    server: Arc<dyn Server>,
    settings: Settings,
    namespaces: Arc<Namespaces>,
    running: tokio::sync::Mutex<Option<Running>>,
}

/// The bus, the log, and the other nodes.
pub(super) type Cluster = RedisAdapter<Local>;

struct Running {
    cluster: Arc<Cluster>,
    stop: CancellationToken,
    /// One, which owns the others; dropped, all end.
    tasks: JoinSet<()>,
}

impl Node {
    /// Connects nothing yet. `settings`: of the gateways' prefix and
    /// [`Intervals`](crate::Intervals).
    pub fn new(server: Arc<dyn Server>, settings: Settings) -> Self {
        let (namespaces, running) = (Arc::default(), tokio::sync::Mutex::default());
        Node { inner: Arc::new(Inner { server, settings, namespaces, running }), without_recovery: Arc::default() }
    }

    /// Namespaces that the gateways have without recovery: what is emitted to
    /// them is not logged.
    #[must_use]
    pub fn without_recovery(self, namespaces: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Node { without_recovery: namespaces.into_iter().map(Into::into).collect(), ..self }
    }

    pub(super) fn has_recovery(&self, namespace: &str) -> bool {
        !self.without_recovery.iter().any(|without| without == namespace)
    }

    /// Resolves when what is published to the namespace comes to it.
    pub(super) async fn enter(&self, name: &str, namespace: Weak<dyn Namespace>) -> Result<Arc<Cluster>, Error> {
        let cluster = {
            let mut running = self.inner.running.lock().await;
            let cluster = match &*running {
                Some(running) => Arc::clone(&running.cluster),
                None => Arc::clone(&running.insert(self.start().await?).cluster),
            };
            self.inner.namespaces.lock().insert(name.into(), namespace);
            cluster
        };
        cluster.hear_all(name).await;
        Ok(cluster)
    }

    /// Nothing comes to the namespace any more. False when it was not the one
    /// of this name.
    pub(super) fn forget(&self, name: &str, namespace: *const ()) -> bool {
        let mut namespaces = self.inner.namespaces.lock();
        let is_it = namespaces.get(name).is_some_and(|it| std::ptr::addr_eq(it.as_ptr(), namespace));
        is_it && namespaces.remove(name).is_some()
    }

    /// Follows [`Self::forget`]; with the last namespace the node leaves.
    pub(super) async fn leave(&self, name: &str) {
        let mut running = self.inner.running.lock().await;
        if !self.inner.namespaces.lock().is_empty() {
            running.iter().for_each(|running| running.cluster.hear_all_no_more(name));
        } else if let Some(Running { stop, mut tasks, .. }) = running.take() {
            stop.cancel();
            tasks.join_next().await;
        }
    }

    async fn start(&self) -> Result<Running, Error> {
        for _ in 0..TAGS {
            let (questions, waiting) = mpsc::channel(QUESTIONS);
            let local = Local { namespaces: Arc::clone(&self.inner.namespaces), questions };
            let (server, settings) = (Arc::clone(&self.inner.server), self.inner.settings.clone());
            let cluster = RedisAdapter::new(server, settings, Tag::random(), Arc::new(local));
            let stop = CancellationToken::new();
            let mut parts = cluster.tasks(&stop);
            let answers = answer(Arc::clone(&cluster), waiting);
            parts.push(("answers", stop.clone().run_until_cancelled_owned(answers).map(drop).boxed()));
            let mut tasks = JoinSet::new();
            tasks.spawn(watch(parts, stop.clone()));
            if cluster.register().await?.is_ok() {
                return Ok(Running { cluster, stop, tasks });
            }
        }
        Err(Error::NoTag)
    }
}

/// Runs the parts of a node to their ends.
async fn watch(parts: Vec<(&'static str, BoxFuture<'static, ()>)>, stop: CancellationToken) {
    let mut tasks = JoinSet::new();
    for (name, part) in parts {
        tasks.spawn(part.map(move |()| name));
    }
    while let Some(ended) = tasks.join_next().await {
        match ended {
            Ok(_) if stop.is_cancelled() => {}
            Ok(name) => {
                tracing::error!(task = name, "a task has ended: this server is not part of the cluster any more")
            }
            Err(error) => tracing::error!(%error, "a task has failed: this server is not part of the cluster any more"),
        }
    }
}

/// Answers what other nodes ask.
async fn answer(cluster: Arc<Cluster>, waiting: mpsc::Receiver<(Question, BoxFuture<'static, Vec<u8>>)>) {
    let questions = stream::unfold(waiting, async |mut waiting| Some((waiting.recv().await?, waiting)));
    let reply = async |(question, answer): (Question, BoxFuture<'static, Vec<u8>>)| {
        if cluster.answer(&question, &answer.await).await.is_err() {
            tracing::debug!("an answer to another node was not sent");
        }
    };
    questions.for_each_concurrent(QUESTIONS, reply).await;
}

/// What the cluster does with a namespace of this server.
pub(super) trait Namespace: Send + Sync {
    /// To its own sockets.
    fn deliver(&self, event: &Event);

    /// The same; resolves when all have acknowledged it, or after `timeout`.
    fn ask(&self, event: &Event, timeout: Duration) -> BoxFuture<'static, Acknowledged>;

    fn operate(&self, asked: &Asked) -> Answer;
}

/// By name.
#[derive(Default)]
struct Namespaces(Mutex<HashMap<String, Weak<dyn Namespace>>>);

impl Namespaces {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Weak<dyn Namespace>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, name: &str) -> Option<Arc<dyn Namespace>> {
        self.lock().get(name)?.upgrade()
    }
}

/// This server, as the bus sees it.
pub(super) struct Local {
    namespaces: Arc<Namespaces>,
    questions: mpsc::Sender<(Question, BoxFuture<'static, Vec<u8>>)>,
}

#[async_trait]
impl Host for Local {
    type Message = (Arc<dyn Namespace>, Arc<Event>);

    fn message(&self, _: Option<Place>, event: Event) -> Option<Self::Message> {
        Some((self.namespaces.get(&event.namespace)?, Arc::new(event)))
    }

    fn deliver(&self, (namespace, event): Self::Message) {
        namespace.deliver(&event);
    }

    fn announce(&self) {}

    fn position(&self, _: Id) {}

    /// What a socket cannot take, socketioxide drops.
    fn has_space(&self) -> bool {
        true
    }

    async fn space(&self) {}

    fn is_wanted(&self, all: &RoomKey) -> bool {
        all.as_str().split_once(',').is_some_and(|(namespace, _)| self.namespaces.lock().contains_key(namespace))
    }

    /// Own sockets do not recover.
    fn lost(&self, _: Vec<RoomKey>) {}

    async fn entangled(&self) {}

    fn new_epoch(&self) {}

    /// Own sockets have no sessions.
    fn fence(&self, _: &str, _: &str, _: u64) {}

    fn asked(&self, question: Question, asked: Asking) {
        let answer = match asked {
            Asking::Acknowledge(event) => match self.namespaces.get(&event.namespace) {
                Some(namespace) => {
                    let timeout = Duration::from_millis(question.timeout_ms);
                    namespace.ask(&event, timeout).map(|answer| written(&answer)).boxed()
                }
                None => std::future::ready(written(&Acknowledged::default())).boxed(),
            },
            Asking::Operate(asked) => std::future::ready(written(&self.operate(&asked))).boxed(),
        };
        if self.questions.try_send((question, answer)).is_err() {
            tracing::warn!("too many questions of other nodes: one is not answered");
        }
    }
}

impl Local {
    fn operate(&self, asked: &Bytes) -> Answer {
        let Ok(asked) = serde_json::from_slice::<Asked>(asked) else {
            tracing::error!("a question of another node cannot be read: is it of a newer version?");
            return Answer { partial: true, ..Answer::default() };
        };
        // of a namespace that is not here: there is nobody that it concerns
        self.namespaces.get(&asked.namespace).map(|namespace| namespace.operate(&asked)).unwrap_or_default()
    }
}

fn written(answer: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(answer).unwrap_or_else(|error| {
        tracing::error!(%error, "an answer to another node cannot be written");
        Vec::new()
    })
}
