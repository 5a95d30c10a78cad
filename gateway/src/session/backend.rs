//! What the backend answers is done for the socket that it answers.

use std::rc::Rc;

use tokio::sync::oneshot;

use crate::message::{Draft, Token};
use crate::protocol::packet::Event;
use crate::rooms::Recipient;
use crate::upstream::{Answer, Call, Leave, Notice, NoticeKind, Sender};

use super::close::Close;
use super::dispatch;
use super::refusal::{Reason, Refusal, answer, send_ack};
use super::socket::Socket;

/// Sends an event to the backend, and does what it answers.
pub(super) async fn call(socket: Rc<Socket>, id: Option<u64>, event: Event, error_event: Option<&str>) {
    let answered = match ask(&socket, event).await {
        Ok(answered) => answered,
        Err(refusal) => return answer(&socket, id, error_event, Err(refusal)),
    };
    let Answer { ack, error, disconnect, .. } = &answered;
    if let Err(refusal) = carry_out(&socket, &answered).await {
        return answer(&socket, id, error_event, Err(refusal));
    }
    match (error, ack) {
        (Some(error), _) => {
            let refusal = Refusal::with_code(Reason::Backend, &error.code, &error.message);
            answer(&socket, id, error_event, Err(refusal));
        }
        (None, Some(ack)) => send_ack(&socket, id, &ack.elements, &ack.attachments),
        (None, None) => answer(&socket, id, None, Ok(())),
    }
    leave(&socket, *disconnect).await;
}

/// The answer to an event. What others are to be sent by it does not depend on
/// the sender, who may be gone when it comes.
async fn ask(socket: &Rc<Socket>, event: Event) -> Result<Answer, Refusal> {
    let (give, answered) = oneshot::channel();
    let asking = Rc::clone(socket);
    socket.connection.worker.tasks.spawn_local(async move {
        if let Err(Ok(unwanted)) = give.send(send(&asking, &event).await)
            && let Err(refusal) = dispatch::publish(&asking, unwanted.emit).await
        {
            tracing::warn!(
                reason = refusal.message(),
                "what a backend answered to a client that has gone was not sent"
            );
        }
    });
    answered.await.unwrap_or_else(|_| Err(Refusal::new(Reason::Unavailable, "the node is stopping")))
}

async fn send(socket: &Rc<Socket>, event: &Event) -> Result<Answer, Refusal> {
    let rules = socket.rules();
    let unset = || Refusal::new(Reason::BackendFailed, "there is no backend");
    let backend = rules.backend.as_ref().ok_or_else(unset)?;
    let identity = socket.identity();
    let sender = Sender { namespace: &rules.namespace, socket: socket.id, identity: &identity };
    Ok(backend.call(Call { sender, event: &event.name, args: &event.args, traceparent: None }).await?)
}

/// Tells the backend of a new socket, where it wants to know; its answer is
/// carried out before the client's first event.
pub(super) async fn tell_connect(socket: &Rc<Socket>) {
    let rules = socket.rules();
    let Some(backend) = rules.backend.as_ref().filter(|_| rules.tells_connects) else { return };
    let identity = socket.identity();
    let sender = Sender { namespace: &rules.namespace, socket: socket.id, identity: &identity };
    let id = Token::random();
    let notice = Notice { id: id.as_str(), sender, what: NoticeKind::Connect, traceparent: None };
    match backend.tell(notice).await {
        Ok(answered) => {
            if let Err(refusal) = carry_out(socket, &answered).await {
                tracing::debug!(socket = %socket.id, reason = refusal.message(), "the answer to a connect was not carried out");
            }
            leave(socket, answered.disconnect).await;
        }
        // the client is not made to wait for a backend that is away
        Err(error) => tracing::warn!(socket = %socket.id, %error, "the backend was not told of a connect"),
    }
}

/// Joins, leaves and emits, in this order.
async fn carry_out(socket: &Rc<Socket>, answered: &Answer) -> Result<(), Refusal> {
    let Answer { join, leave, emit, .. } = answered;
    let worker = &socket.connection.worker;
    let cut = worker.cut(socket.namespace());
    if !join.is_empty() {
        let entered = |room| socket.feed().borrow().stay(room).is_some();
        if join.iter().filter(|room| !entered(room)).count() > dispatch::rooms_left(socket) {
            return Err(dispatch::too_many_rooms());
        }
        let joined = cut.join(socket, socket.writing(None), join.clone()).await;
        if !dispatch::check(socket, joined) {
            return Err(Refusal::new(Reason::Unavailable, "the rooms could not be joined"));
        }
    }
    if !leave.is_empty() {
        let left = cut.leave(socket, socket.writing(None), leave).await;
        if !dispatch::check(socket, left) {
            return Err(Refusal::new(Reason::Unavailable, "the rooms could not be left"));
        }
    }
    if emit.is_empty() {
        return Ok(());
    }
    dispatch::publish(socket, emit.iter().map(Draft::clone).collect()).await
}

async fn leave(socket: &Rc<Socket>, disconnect: Leave) {
    match disconnect {
        Leave::No => {}
        Leave::Namespace => dispatch::leave_namespace(socket, true).await,
        Leave::Connection => {
            dispatch::leave_namespace(socket, true).await;
            socket.connection.drained_to(0).await;
            socket.connection.close(Close::Backend);
        }
    }
}
