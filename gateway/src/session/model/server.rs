//! The server's side of the model: workers, connections and sockets, as thin
//! as they can be around the real shard, mailbox, router and cut. What a
//! connection does is what `dispatch.rs` and `connection.rs` do.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use tokio::sync::{mpsc, oneshot};

use crate::adapter::{
    Action, Adapter, Attention, Ending, NewSession, Operation, OperationId, ReadLimit, Refresh, Report, SessionKey,
    Watch, WriteError,
};
use crate::message::{Content, Message, NamespaceRef, Offset, Position, PrivateId, Room, SocketId};
use crate::recovery::Feed;
use crate::rooms::mailbox::{Delivery, Mailbox};
use crate::rooms::{Command, Recipient, Router, Shard};
use crate::session::cut::{Cut, CutError, Gone, Paced, Writing};

pub(super) type Job = Pin<Box<dyn Future<Output = ()>>>;

/// A worker.
pub(super) struct Place {
    /// Of its node.
    pub(super) node: usize,
    pub(super) index: usize,
    pub(super) shard: RefCell<Shard<Rc<Socket>>>,
    pub(super) router: Arc<Router>,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) commands: RefCell<mpsc::Receiver<Command>>,
    /// Taken from the mailbox, and not yet handed out.
    pub(super) batch: RefCell<VecDeque<Delivery>>,
    pub(super) adapter: Arc<dyn Adapter>,
    pub(super) namespace: NamespaceRef,
    pub(super) limit: ReadLimit,
    /// What is told of its sessions.
    pub(super) watched: Watch,
    /// Its process gets no time.
    pub(super) paused: Cell<bool>,
}

/// What a client is sent.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Frame {
    Connected(SessionKey),
    Event(Offset),
    /// Ends in the socket's position; told apart by the tag.
    Volatile {
        offset: Offset,
        tag: String,
    },
    Ping,
    /// The session has ended.
    Disconnected,
}

pub(super) enum Input {
    Join(Vec<Room>),
    Leave(Vec<Room>),
    /// The store has lost the session.
    Restore,
    /// The backend's will.
    Order {
        action: Action,
        id: Option<OperationId>,
        /// The answer leaves when the last order of the operation is done.
        _pending: Option<Rc<Pending>>,
    },
}

/// An operation on several sockets.
pub(super) struct Pending(Report, Cell<Option<oneshot::Sender<Report>>>);

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(answer) = self.1.take() {
            // who asked may have gone
            let _ = answer.send(std::mem::take(&mut self.0));
        }
    }
}

/// How an attempt to recover ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    Recovered(usize),
    Unknown,
    Trimmed(Position),
    TooMuch(Position),
    Ahead,
}

/// A connection, as the server has it. The client's end is `outbound`.
pub(super) struct Link {
    pub(super) place: Rc<Place>,
    pub(super) outbound: RefCell<VecDeque<Frame>>,
    /// Frames; beyond it the client is too slow.
    pub(super) capacity: usize,
    pub(super) closing: Cell<bool>,
    /// It cannot be shown that its client has everything.
    pub(super) lost: Cell<bool>,
    pub(super) sockets: RefCell<Vec<Rc<Socket>>>,
    pub(super) inbox: RefCell<VecDeque<Input>>,
    pub(super) job: RefCell<Option<Job>>,
    /// What came of the attempts, for the world to judge.
    pub(super) outcomes: RefCell<Vec<(PrivateId, Outcome)>>,
    /// A ping was sent and no pong has come.
    pub(super) pinging: Cell<bool>,
    /// The pong is under way: how much its client had received.
    pub(super) pong: Cell<Option<usize>>,
    /// Nobody is at the other end any more.
    pub(super) deserted: Cell<bool>,
    /// Number of the epoch in which it was opened.
    pub(super) epoch: usize,
}

pub(super) struct Socket {
    pub(super) key: SessionKey,
    pub(super) id: SocketId,
    link: std::rc::Weak<Link>,
    feed: RefCell<Feed>,
    pinged: Cell<Position>,
    confirmed: Cell<Position>,
}

impl Socket {
    pub(super) fn on_ping(&self, worker: Position) {
        self.pinged.set(self.feed.borrow().position(worker));
    }

    pub(super) fn on_pong(&self) -> Position {
        self.confirmed.set(self.confirmed.get().max(self.pinged.get()));
        self.pinged.get()
    }

    /// Positions count anew.
    pub(super) fn begin_anew(&self) {
        self.pinged.set(Position::ZERO);
        self.confirmed.set(Position::ZERO);
    }

    fn writing(&self, operation: Option<OperationId>) -> Writing {
        Writing { key: Some(self.key), operation }
    }

    /// Its session as it is, to be written anew.
    fn session(&self, place: &Place) -> NewSession {
        let feed = self.feed.borrow();
        let rooms = feed.stays().iter().map(|stay| &stay.room).filter(|room| !room.is_implicit()).cloned().collect();
        NewSession {
            pid: self.key.pid,
            socket: self.id,
            namespace: place.namespace.id,
            subject: None,
            identity: None,
            watched: place.watched,
            rooms,
        }
    }

    pub(super) fn refresh(&self) -> Refresh {
        Refresh { key: self.key, confirmed: self.confirmed.get() }
    }
}

impl Recipient for Rc<Socket> {
    fn feed(&self) -> &RefCell<Feed> {
        &self.feed
    }

    fn send(&self, message: &Arc<Message>, position: Position) {
        let Some(link) = self.link.upgrade() else { return };
        link.enqueue(match &message.content {
            Content::Logged { offset, .. } => Frame::Event(*offset),
            Content::Positionless { body, .. } => {
                let tag = String::from_utf8_lossy(body.elements()).into_owned();
                Frame::Volatile { offset: link.place.adapter.offset(position), tag }
            }
            Content::Unlogged { .. } => return,
        });
    }

    fn key(&self) -> usize {
        Rc::as_ptr(self).addr()
    }
}

impl Paced for Rc<Socket> {
    async fn ready(&self) -> Result<(), Gone> {
        let Some(link) = self.link.upgrade() else { return Err(Gone) };
        let quarter = link.capacity / 4;
        poll_fn(|_| {
            let wait = !link.closing.get() && link.outbound.borrow().len() > quarter;
            if wait { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        if link.closing.get() { Err(Gone) } else { Ok(()) }
    }

    async fn reached(&self, position: Position) -> Result<(), Gone> {
        let Some(link) = self.link.upgrade() else { return Err(Gone) };
        poll_fn(|_| {
            let behind = link.place.shard.borrow().position() < position;
            if behind && !link.closing.get() { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        if link.closing.get() { Err(Gone) } else { Ok(()) }
    }
}

impl Place {
    pub(super) fn cut(&self) -> Cut<'_, Rc<Socket>> {
        Cut {
            shard: &self.shard,
            router: &self.router,
            worker: self.index,
            adapter: &*self.adapter,
            namespace: &self.namespace,
            limit: self.limit,
        }
    }

    /// Closes the connections of members of these rooms.
    pub(super) fn lose(&self, shard: &Shard<Rc<Socket>>, rooms: &[Room]) {
        let links = shard.members(self.namespace.id, rooms).into_iter();
        for link in links.filter_map(|socket| socket.link.upgrade()) {
            // a first reason stays
            link.lost.set(!link.closing.replace(true) || link.lost.get());
        }
    }

    /// Starts an operation on the sockets that it concerns.
    pub(super) fn operate(&self, operation: Operation, answer: oneshot::Sender<Report>) {
        let sockets = self.shard.borrow().members(operation.namespace.id, &operation.rooms);
        let report = Report { count: sockets.len(), ..Report::default() };
        let pending = Rc::new(Pending(report, Cell::new(Some(answer))));
        for link in sockets.iter().filter_map(|socket| socket.link.upgrade()) {
            let (action, id) = (operation.action.clone(), operation.id);
            link.inbox.borrow_mut().push_back(Input::Order { action, id, _pending: Some(Rc::clone(&pending)) });
        }
    }

    /// Closes connections that hold this socket under an older generation.
    pub(super) fn fence(&self, socket: SocketId, generation: u64) {
        for socket in self.shard.borrow().members(self.namespace.id, &[Room::Socket(socket)]) {
            if socket.key.generation < generation
                && let Some(link) = socket.link.upgrade()
            {
                link.closing.set(true);
            }
        }
    }
}

impl Link {
    pub(super) fn enqueue(&self, frame: Frame) {
        if self.closing.get() {
            return;
        }
        let mut outbound = self.outbound.borrow_mut();
        outbound.push_back(frame);
        if outbound.len() > self.capacity {
            self.closing.set(true);
        }
    }

    /// Like `check` of the dispatch: whatever fails ends the connection.
    pub(super) fn check<T>(&self, cut: Result<T, CutError>) -> Option<T> {
        match cut {
            Ok(value) => Some(value),
            Err(_) => {
                self.closing.set(true);
                None
            }
        }
    }

    pub(super) fn socket(self: &Rc<Self>, id: SocketId, key: SessionKey, from: Position) -> Rc<Socket> {
        let socket = Rc::new(Socket {
            key,
            id,
            link: Rc::downgrade(self),
            feed: RefCell::new(Feed::opening(from)),
            pinged: Cell::new(Position::ZERO),
            confirmed: Cell::new(from),
        });
        self.sockets.borrow_mut().push(Rc::clone(&socket));
        socket
    }

    pub(super) fn connected(&self, socket: &Rc<Socket>) {
        self.enqueue(Frame::Connected(socket.key));
        socket.feed.borrow_mut().connected();
    }

    /// Handles one input.
    pub(super) async fn handle(self: Rc<Self>, input: Input) {
        let Some(socket) = self.sockets.borrow().first().cloned() else { return };
        let cut = self.place.cut();
        let changed = match input {
            Input::Join(rooms) => cut.join(&socket, socket.writing(None), rooms).await,
            Input::Leave(rooms) => cut.leave(&socket, socket.writing(None), &rooms).await,
            Input::Restore => return self.restore(&socket).await,
            Input::Order { action, id, _pending } => match action {
                Action::Join(rooms) => cut.join(&socket, socket.writing(id), rooms).await,
                Action::Leave(rooms) => cut.leave(&socket, socket.writing(id), &rooms).await,
                Action::Disconnect { .. } => return self.disconnect(&socket).await,
                Action::List | Action::Count | Action::Revoke(_) => Ok(()),
            },
        };
        self.check(changed);
    }

    /// Ends the socket and its session.
    async fn disconnect(&self, socket: &Rc<Socket>) {
        self.place.cut().forget_all(socket);
        self.sockets.borrow_mut().retain(|other| !Rc::ptr_eq(other, socket));
        if self.place.adapter.end_session(socket.key, Ending::Backend).await.is_err() {
            self.closing.set(true);
        }
        self.enqueue(Frame::Disconnected);
    }

    /// What the session store says of a socket that was to be refreshed.
    pub(super) fn attend(&self, attention: Attention) {
        match attention {
            Attention::Fenced => self.closing.set(true),
            Attention::Waiting(operations) => {
                let order = |(id, action)| Input::Order { action, id: Some(id), _pending: None };
                self.inbox.borrow_mut().extend(operations.into_iter().map(order));
            }
            Attention::Missing => self.inbox.borrow_mut().push_back(Input::Restore),
        }
    }

    async fn restore(&self, socket: &Rc<Socket>) {
        let session = socket.session(&self.place);
        if let Err(WriteError::Fenced) = self.place.adapter.restore_session(socket.key, session).await {
            self.closing.set(true);
        }
    }

    /// The end of a connection: what it had is given back at once; what is to
    /// be awaited is answered.
    pub(super) fn finish(&self) -> impl Future<Output = ()> + use<> {
        self.job.borrow_mut().take();
        let sockets = self.sockets.take();
        sockets.iter().for_each(|socket| self.place.cut().forget_all(socket));
        let (adapter, lost) = (Arc::clone(&self.place.adapter), self.lost.get());
        async move {
            for socket in sockets {
                // who cannot be told now expires
                let _ = if lost {
                    adapter.end_session(socket.key, Ending::Lost).await
                } else {
                    adapter.detach(socket.refresh()).await
                };
            }
        }
    }
}
