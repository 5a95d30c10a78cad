//! What the backend wants done with sockets of this worker.

use std::cell::RefCell;
use std::rc::Rc;

use tokio::sync::oneshot;

use crate::adapter::{Action, Operation, OperationId, Report, Revocation, SocketInfo, WriteError};
use crate::message::Room;
use crate::rooms::Recipient;

use super::close::Close;
use super::connection::Input;
use super::dispatch;
use super::entry::facts;
use super::socket::Socket;
use super::task::Job;
use super::worker::Worker;

/// An action that waits its turn among a client's packets.
pub(super) struct Order {
    socket: Rc<Socket>,
    action: Action,
    id: Option<OperationId>,
    /// The answer leaves when the last order of the operation is done.
    _pending: Option<Rc<Pending>>,
}

impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Order").field("socket", &self.socket.id).field("action", &self.action).finish()
    }
}

struct Pending {
    report: RefCell<Report>,
    answer: RefCell<Option<oneshot::Sender<Report>>>,
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(answer) = self.answer.take() {
            // who asked may have gone
            let _ = answer.send(self.report.take());
        }
    }
}

/// Starts an operation on the sockets that it concerns; the answer comes when
/// it is done on each.
pub(super) fn operate(worker: &Rc<Worker>, operation: Operation, answer: oneshot::Sender<Report>) {
    let sockets = worker.members(operation.namespace.id, &operation.rooms);
    let mut report = Report { count: sockets.len(), ..Report::default() };
    match operation.action {
        Action::Count => {}
        Action::Revoke(revocation) => report.count = revoke(&sockets, &revocation),
        Action::List => report.sockets = sockets.iter().map(info).collect(),
        Action::Join(_) | Action::Leave(_) | Action::Disconnect { .. } => {
            let pending = Rc::new(Pending { report: RefCell::new(report), answer: RefCell::new(Some(answer)) });
            for socket in sockets {
                let connection = Rc::clone(&socket.connection);
                let action = operation.action.clone();
                let (id, _pending) = (operation.id, Some(Rc::clone(&pending)));
                connection.push(Input::Order(Order { socket, action, id, _pending }));
            }
            return;
        }
    }
    let _ = answer.send(report);
}

/// Ends the connections whose token is revoked; answers how many sockets had
/// such a token.
fn revoke(sockets: &[Rc<Socket>], revocation: &Revocation) -> usize {
    let is_revoked = |socket: &&Rc<Socket>| {
        socket.standing.as_ref().is_some_and(|standing| revocation.applies_to(&facts(&standing.identity())))
    };
    let revoked = sockets.iter().filter(is_revoked);
    revoked.map(|socket| socket.dismiss(socket.rules().entry.signals.revoked.as_deref(), Close::Revoked)).count()
}

/// What was asked of a socket while its node did not hear it.
pub(super) fn catch_up(socket: &Rc<Socket>, waiting: Vec<(OperationId, Action)>) {
    for (id, action) in waiting {
        let order = Order { socket: Rc::clone(socket), action, id: Some(id), _pending: None };
        socket.connection.push(Input::Order(order));
    }
}

/// Writes the session of a socket anew, in its turn: while its rooms are being
/// changed it cannot be said which they are.
pub(super) fn restore(socket: Rc<Socket>) -> Job {
    Box::pin(async move {
        // one that has gone meanwhile is in no room any more: so it must not be written
        let Some((key, session)) = socket.session().filter(|_| is_present(&socket)) else { return };
        if let Err(WriteError::Fenced) = socket.connection.worker.shared.adapter.restore_session(key, session).await {
            socket.connection.close(Close::Replaced);
        }
    })
}

fn is_present(socket: &Rc<Socket>) -> bool {
    socket.connection.sockets.borrow().iter().any(|other| Rc::ptr_eq(other, socket))
}

fn info(socket: &Rc<Socket>) -> SocketInfo {
    let feed = socket.feed().borrow();
    let rooms = feed.stays().iter().map(|stay| &stay.room).filter(|room| !room.is_implicit());
    SocketInfo { id: socket.id, rooms: rooms.cloned().collect() }
}

/// Carries an order out in its turn.
pub(super) fn carry_out(order: Order) -> Job {
    Box::pin(async move {
        let Order { socket, action, id, _pending } = order;
        if !is_present(&socket) {
            return;
        }
        let cut = socket.connection.worker.cut(socket.namespace());
        match action {
            Action::Join(rooms) => {
                let rooms = within_limit(&socket, rooms);
                let joined = cut.join(&socket, socket.writing(id), rooms).await;
                dispatch::check(&socket, joined);
            }
            Action::Leave(rooms) => {
                let left = cut.leave(&socket, socket.writing(id), &rooms).await;
                dispatch::check(&socket, left);
            }
            Action::Disconnect { close } => dispatch::disconnect(&socket, close).await,
            Action::List | Action::Count | Action::Revoke(_) => {}
        }
    })
}

/// As many of the rooms as the socket may still enter.
fn within_limit(socket: &Rc<Socket>, mut rooms: Vec<Room>) -> Vec<Room> {
    rooms.truncate(dispatch::rooms_left(socket));
    rooms
}
