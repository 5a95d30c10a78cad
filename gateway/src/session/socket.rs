//! One namespace of one client.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::adapter::{NewSession, OperationId, Refresh, SessionKey};
use crate::auth::Identity;
use crate::message::{AckTicket, Content, Message, NamespaceId, NamespaceRef, Position, SocketId};
use crate::policy::{Args, Context};
use crate::protocol::{Body, Frames};
use crate::recovery::Feed;
use crate::rooms::Recipient;

use super::close::Close;
use super::connection::Connection;
use super::cut::{Gone, Paced, Writing};
use super::namespace::NamespaceRules;
use super::standing::Standing;

/// What the rooms know of a client.
pub struct Socket {
    pub id: SocketId,
    namespace: NamespaceId,
    pub(super) connection: Rc<Connection>,
    /// Where the namespace has recovery.
    pub(super) session: Option<SessionKey>,
    feed: RefCell<Feed>,
    /// Where it stood when the last ping was queued, and when the last pong
    /// came: the client has everything up to there.
    pinged: Cell<Position>,
    confirmed: Cell<Position>,
    /// Where there is something to know about it.
    pub(super) standing: Option<Box<Standing>>,
    /// Events that it has not acknowledged.
    acks: RefCell<Vec<AckTicket>>,
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Socket").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Socket {
    pub(super) fn new(
        id: SocketId,
        namespace: NamespaceId,
        connection: Rc<Connection>,
        session: Option<SessionKey>,
        from: Position,
        standing: Option<Box<Standing>>,
    ) -> Rc<Self> {
        Rc::new(Socket {
            id,
            namespace,
            connection,
            session,
            feed: RefCell::new(Feed::opening(from)),
            pinged: Cell::new(Position::ZERO),
            confirmed: Cell::new(from),
            standing,
            acks: RefCell::default(),
        })
    }

    /// Its namespace, with its rules.
    pub(super) fn rules(&self) -> &NamespaceRules {
        &self.connection.worker.shared.namespaces[usize::from(self.namespace.0)]
    }

    pub(super) fn namespace(&self) -> &NamespaceRef {
        &self.rules().namespace
    }

    /// Who it is; nobody where nobody is asked.
    pub(super) fn identity(&self) -> Rc<Identity> {
        self.standing.as_ref().map_or_else(|| Rc::clone(&self.connection.worker.nobody), |standing| standing.identity())
    }

    /// What the client can be judged by: `identity` is its own.
    pub(super) fn context<'a>(&'a self, identity: &'a Identity, args: Args<'a>) -> Context<'a> {
        let standing = self.standing.as_ref();
        let auth = standing.map_or(&Value::Null, |standing| standing.auth());
        let query = standing.and_then(|standing| standing.query()).unwrap_or(&self.connection.query);
        self.connection.context(auth, query, identity).with_args(args)
    }

    /// Sends an event of the gateway's own, to this client alone. It is not
    /// logged: who misses it does not get it again.
    pub(super) fn say(&self, event: &str, args: &[Value]) {
        let Ok(body) = Body::from_values(event, args) else { return };
        let worker = &self.connection.worker;
        let offset = self.session.map(|_| worker.shared.adapter.offset(self.feed.borrow().position(worker.position())));
        let offset = offset.map(|offset| offset.to_string());
        let frames = Frames::event(&self.namespace().name, &body, None, offset.as_ref().map(String::as_bytes));
        self.connection.enqueue(frames.get(self.connection.format.get()));
    }

    /// Says why the connection ends, and ends it; its session stays.
    pub(super) fn dismiss(&self, event: Option<&str>, close: Close) {
        if let Some(event) = event.filter(|_| self.feed.borrow().is_connected()) {
            self.say(event, &[json!({})]);
            self.connection.flush();
        }
        self.connection.close(close);
    }

    /// A ping is queued; `worker` is the position that its worker has taken.
    pub(super) fn on_ping(&self, worker: Position) {
        self.pinged.set(self.feed.borrow().position(worker));
    }

    pub(super) fn on_pong(&self) {
        self.confirmed.set(self.confirmed.get().max(self.pinged.get()));
    }

    /// Positions count anew, and its connection ends: what it has confirmed is
    /// none of them.
    pub(super) fn begin_anew(&self) {
        self.pinged.set(Position::ZERO);
        self.confirmed.set(Position::ZERO);
    }

    /// What keeps its session alive.
    pub(super) fn refresh(&self) -> Option<Refresh> {
        self.session.map(|key| Refresh { key, confirmed: self.confirmed.get() })
    }

    /// How a change of its rooms is written.
    pub(super) fn writing(&self, operation: Option<OperationId>) -> Writing {
        Writing { key: self.session, operation }
    }

    /// Its session as it is, to be written anew.
    pub(super) fn session(&self) -> Option<(SessionKey, NewSession)> {
        let identity = self.identity();
        let feed = self.feed.borrow();
        let rooms = feed.stays().iter().map(|stay| &stay.room).filter(|room| !room.is_implicit());
        let session = |key: SessionKey| NewSession {
            pid: key.pid,
            socket: self.id,
            namespace: self.namespace,
            subject: identity.user.clone(),
            identity: kept(&identity),
            watched: self.rules().watch,
            rooms: rooms.cloned().collect(),
        };
        self.session.map(|key| (key, session(key)))
    }

    /// The ticket of the event that the client acknowledges, if it was asked.
    pub(super) fn take_ack(&self, id: u64) -> Option<AckTicket> {
        let mut acks = self.acks.borrow_mut();
        let index = acks.iter().position(|ticket| ticket.id() == id)?;
        let ticket = acks.swap_remove(index);
        if acks.is_empty() {
            *acks = Vec::new();
        }
        Some(ticket)
    }

    fn expect_ack(&self, ticket: &AckTicket) {
        let mut acks = self.acks.borrow_mut();
        acks.retain(|ticket| !ticket.is_closed());
        acks.push(ticket.for_recipient());
    }
}

/// An identity as it is kept with a session; `None` of nobody.
pub(super) fn kept(identity: &Identity) -> Option<Arc<str>> {
    (*identity != Identity::nobody()).then(|| identity.to_text())
}

impl Recipient for Rc<Socket> {
    fn feed(&self) -> &RefCell<Feed> {
        &self.feed
    }

    fn send(&self, message: &Arc<Message>, position: Position) {
        let connection = &self.connection;
        let format = connection.format.get();
        let packet = match &message.content {
            Content::Logged { frames, .. } => frames.get(format),
            Content::Unlogged { volatile: true, .. } | Content::Positionless { .. } if connection.is_blocked() => {
                return;
            }
            Content::Unlogged { frames, ack, .. } => {
                if let Some(ticket) = ack {
                    self.expect_ack(ticket);
                }
                frames.get(format)
            }
            Content::Positionless { namespace, body } => {
                connection.worker.encode_local(message, namespace, body, position).get(format)
            }
        };
        connection.enqueue(packet);
    }

    fn key(&self) -> usize {
        Rc::as_ptr(self).addr()
    }
}

impl Paced for Rc<Socket> {
    async fn ready(&self) -> Result<(), Gone> {
        let connection = &self.connection;
        connection.drained_to(connection.worker.shared.limits.outbound_queue / 4).await;
        if connection.closing().is_some() { Err(Gone) } else { Ok(()) }
    }

    async fn reached(&self, position: Position) -> Result<(), Gone> {
        self.connection.worker.caught_up(Some(position)).await;
        if self.connection.closing().is_some() { Err(Gone) } else { Ok(()) }
    }
}
