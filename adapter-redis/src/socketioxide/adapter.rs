//! The adapter of one namespace.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::{BoxFuture, Either};
use futures_util::{FutureExt, StreamExt, stream};
use socketioxide_core::Value;
use socketioxide_core::adapter::errors::{AdapterError, BroadcastError};
use socketioxide_core::adapter::{
    AckStreamItem, BroadcastFlags, BroadcastOptions, CoreAdapter, CoreLocalAdapter, DefinedAdapter, RemoteSocketData,
    Room as Name, RoomParam, SocketEmitter, Spawnable,
};
use socketioxide_core::packet::Packet;
use socketioxide_core::parser::Parse;

use super::node::{Cluster, Namespace, Node};
use super::wire::{self, Acknowledged, Acknowledging, Answer, Asked, Doing, Listed};
use super::{Error, names, packet};
use crate::{Event, Item, Room, Unavailable};

/// How long other nodes may take for what they are asked.
const TIMEOUT: Duration = Duration::from_secs(5);

/// socketioxide's adapter on the bus and log of Carillon. See the module.
pub struct CarillonAdapter<E: SocketEmitter> {
    node: Node,
    pub(super) local: CoreLocalAdapter<E>,
    /// Since `init`.
    cluster: OnceLock<Arc<Cluster>>,
}

/// Sockets in some rooms but not in others, on whichever node.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) rooms: Vec<Room>,
    pub(super) except: Vec<Room>,
}

impl Target {
    pub(super) fn of(options: &BroadcastOptions) -> Result<Self, Error> {
        let rooms = |names: &[Name]| names.iter().map(|name| names::room(name)).collect::<Result<Vec<_>, _>>();
        let is_broadcast = options.has_flag(BroadcastFlags::Broadcast);
        let mut target = Target { rooms: rooms(&options.rooms)?, except: rooms(&options.except)? };
        if is_broadcast {
            // the sender is a socket of this server
            target.except.extend(options.sid.map(|sid| Room::Socket(names::id(sid, None))));
        }
        if target.rooms.is_empty() {
            let one = || options.sid.map(|sid| Room::Socket(names::id(sid, options.server_id)));
            target.rooms.extend(if is_broadcast { Some(Room::All) } else { one() });
        }
        Ok(target)
    }
}

impl<E: SocketEmitter> CarillonAdapter<E> {
    fn cluster(&self) -> Result<&Cluster, Error> {
        Ok(self.cluster.get().ok_or(Unavailable)?)
    }

    fn is_local(&self, options: &BroadcastOptions) -> bool {
        options.is_local(self.local.server_id())
    }

    fn event(&self, packet: Packet, options: &BroadcastOptions) -> Result<Event, Error> {
        let Target { rooms, except } = Target::of(options)?;
        let (elements, attachments) = packet::content(packet).ok_or(Error::Parser)?;
        Ok(Event {
            namespace: self.local.path().as_str().into(),
            rooms,
            except,
            volatile: options.has_flag(BroadcastFlags::Volatile),
            elements,
            attachments,
            ..Event::default()
        })
    }

    async fn publish(&self, packet: Packet, options: &BroadcastOptions) -> Result<(), Error> {
        let event = self.event(packet, options)?;
        if event.rooms.is_empty() {
            return Ok(());
        }
        let logged = !event.volatile && self.node.has_recovery(&event.namespace);
        let outcomes = self.cluster()?.publish(vec![Item { event, logged, idempotency: None }]).await;
        outcomes.into_iter().try_for_each(|outcome| Ok(outcome.map(drop)?))
    }

    /// Every node's part of an operation, this one's too.
    async fn ask_all(&self, rooms: &[Room], action: Doing, id: Option<String>) -> Result<Vec<Listed>, Error> {
        let asked = Asked { namespace: self.local.path().to_string(), rooms: wire::written(rooms), action, id };
        let asked = serde_json::to_vec(&asked).map_err(|_| Unavailable)?;
        let answers = self.cluster()?.ask_all(&asked, TIMEOUT).await?;
        let (mut partial, mut sockets) = (answers.partial, Vec::new());
        for answer in answers.answers {
            match serde_json::from_slice::<Answer>(&answer) {
                Ok(answer) => {
                    partial |= answer.partial;
                    sockets.extend(answer.sockets);
                }
                Err(_) => partial = true,
            }
        }
        warn_of_missing(partial);
        Ok(sockets)
    }

    /// The sockets of all nodes that are meant.
    async fn list(&self, target: &Target) -> Result<Vec<Listed>, Error> {
        let mut sockets = self.ask_all(&target.rooms, Doing::List, None).await?;
        let except = wire::written(&target.except);
        sockets.retain(|socket| {
            let own = Room::Socket(socket.id.as_str().into()).to_string();
            !except.iter().any(|room| *room == own || socket.rooms.contains(room))
        });
        Ok(sockets)
    }

    /// Does something to sockets, and to the sessions of those that are away.
    async fn operate(&self, options: &BroadcastOptions, action: Doing) -> Result<(), Error> {
        let mut target = Target::of(options)?;
        if !target.except.is_empty() {
            let meant = self.list(&target).await?;
            target.rooms = meant.into_iter().map(|socket| Room::Socket(socket.id.into())).collect();
        }
        if target.rooms.is_empty() {
            return Ok(());
        }
        let path = self.local.path();
        let mut id = None;
        if let Some(stored) = action.action().filter(|_| self.node.has_recovery(path)) {
            // first the sessions: whoever comes, goes or is missed by the question finds it there
            let operation = names::operation();
            self.cluster()?.operate(path, &target.rooms, &operation, &stored).await?;
            id = Some(operation);
        }
        self.ask_all(&target.rooms, action, id).await.map(drop)
    }

    fn remote(&self, id: &str) -> Option<RemoteSocketData> {
        let mine = names::own_sid(id).map(|sid| self.local.fetch_sockets(BroadcastOptions::new(sid)));
        if let Some(mine) = mine.and_then(|mut found| found.pop()) {
            return Some(mine);
        }
        let (id, server_id) = names::remote(id)?;
        Some(RemoteSocketData { id, server_id, ns: self.local.path().clone() })
    }
}

fn warn_of_missing(partial: bool) {
    if partial {
        tracing::warn!("not every node of the cluster has answered in time");
    }
}

impl<E: SocketEmitter> DefinedAdapter for CarillonAdapter<E> {}

/// The answers of sockets on any node.
type Answers<T> = stream::Iter<std::vec::IntoIter<AckStreamItem<T>>>;

impl<E: SocketEmitter> CoreAdapter<E> for CarillonAdapter<E> {
    type Error = Error;
    type State = Node;
    type AckStream = Either<E::AckStream, stream::Fuse<Answers<E::AckError>>>;
    type InitRes = Init;

    fn new(node: &Node, local: CoreLocalAdapter<E>) -> Self {
        CarillonAdapter { node: node.clone(), local, cluster: OnceLock::new() }
    }

    fn init(self: Arc<Self>, on_success: impl FnOnce() + Send + 'static) -> Init {
        let joined = async move {
            let path = self.local.path();
            if path.contains(',') {
                return Err(Error::Namespace);
            }
            if !matches!(self.local.parser().encode_value(&(), Some("event")), Ok(Value::Str(..))) {
                return Err(Error::Parser);
            }
            let namespace: Weak<dyn Namespace> = Arc::downgrade(&(Arc::clone(&self) as Arc<dyn Namespace>));
            let cluster = self.node.enter(path, namespace).await?;
            // there is none yet: a namespace is begun once
            let _ = self.cluster.set(cluster);
            on_success();
            Ok(())
        };
        Init(joined.boxed())
    }

    async fn close(&self) -> Result<(), Error> {
        let path = self.local.path();
        if self.node.forget(path, std::ptr::from_ref(self).cast()) {
            self.node.leave(path).await;
        }
        Ok(())
    }

    async fn server_count(&self) -> Result<u16, Error> {
        Ok(u16::try_from(self.cluster()?.nodes().len()).unwrap_or(u16::MAX))
    }

    async fn broadcast(&self, packet: Packet, options: BroadcastOptions) -> Result<(), BroadcastError> {
        if self.is_local(&options) {
            return Ok(self.local.broadcast(packet, options)?);
        }
        Ok(self.publish(packet, &options).await.map_err(AdapterError::from)?)
    }

    async fn broadcast_with_ack(
        &self,
        packet: Packet,
        options: BroadcastOptions,
        timeout: Option<Duration>,
    ) -> Result<Self::AckStream, Error> {
        if self.is_local(&options) {
            return Ok(Either::Left(self.local.broadcast_with_ack(packet, options, timeout).0));
        }
        let event = self.event(packet, &options)?;
        let mut items = Vec::new();
        if !event.rooms.is_empty() {
            let timeout = timeout.unwrap_or_else(|| self.local.ack_timeout());
            let answers = self.cluster()?.ask_recipients(&event, timeout).await?;
            warn_of_missing(answers.partial);
            let read = |answer: &bytes::Bytes| serde_json::from_slice::<Acknowledged>(answer).ok();
            let answers = answers.answers.iter().filter_map(read).flat_map(|answer| answer.answers);
            items.extend(answers.filter_map(|Acknowledging { socket, args }| {
                let (sid, _) = names::remote(&socket)?;
                Some((sid, Ok(packet::attached(&args))))
            }));
        }
        Ok(Either::Right(stream::iter(items).fuse()))
    }

    async fn add_sockets(&self, options: BroadcastOptions, rooms: impl RoomParam) -> Result<(), Error> {
        if self.is_local(&options) {
            self.local.add_sockets(options, rooms);
            return Ok(());
        }
        let rooms = names::joinable(rooms.into_room_iter())?;
        self.operate(&options, Doing::Join(wire::written(&rooms))).await
    }

    async fn del_sockets(&self, options: BroadcastOptions, rooms: impl RoomParam) -> Result<(), Error> {
        if self.is_local(&options) {
            self.local.del_sockets(options, rooms);
            return Ok(());
        }
        let rooms = names::joinable(rooms.into_room_iter())?;
        self.operate(&options, Doing::Leave(wire::written(&rooms))).await
    }

    async fn disconnect_socket(&self, options: BroadcastOptions) -> Result<(), BroadcastError> {
        if self.is_local(&options) {
            return self.local.disconnect_socket(options).map_err(BroadcastError::Socket);
        }
        let done = self.operate(&options, Doing::Disconnect { close: false }).await;
        Ok(done.map_err(AdapterError::from)?)
    }

    async fn rooms(&self, options: BroadcastOptions) -> Result<Vec<Name>, Error> {
        if self.is_local(&options) {
            return Ok(self.local.rooms(options).into_iter().collect());
        }
        let sockets = self.list(&Target::of(&options)?).await?;
        let rooms = sockets.iter().flat_map(|socket| &socket.rooms);
        let mut names: Vec<Name> = rooms.filter_map(|room| names::name(&Room::parse(room)?)).collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    async fn fetch_sockets(&self, options: BroadcastOptions) -> Result<Vec<RemoteSocketData>, Error> {
        if self.is_local(&options) {
            return Ok(self.local.fetch_sockets(options));
        }
        let sockets = self.list(&Target::of(&options)?).await?;
        Ok(sockets.iter().filter_map(|socket| self.remote(&socket.id)).collect())
    }

    fn get_local(&self) -> &CoreLocalAdapter<E> {
        &self.local
    }
}

/// Resolves when the namespace is part of the cluster.
#[must_use = "a namespace serves nobody before this was awaited"]
pub struct Init(BoxFuture<'static, Result<(), Error>>);

impl Future for Init {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll_unpin(context)
    }
}

impl Spawnable for Init {
    #[expect(clippy::disallowed_methods, reason = "socketioxide wants it, for namespaces whose names have parameters")]
    fn spawn(self) {
        tokio::spawn(async move {
            if let Err(error) = self.await {
                tracing::error!(%error, "a namespace is not part of the cluster");
            }
        });
    }
}
