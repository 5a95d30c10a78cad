//! What the backend answers is done for the socket that it answers.

use std::rc::Rc;

use tokio::sync::oneshot;

use crate::message::{Draft, Room, Token};
use crate::protocol::packet::Event;
use crate::trace::Span;
use crate::upstream::{Answer, Call, Leave, Notice, NoticeKind, Sender};

use super::dispatch;
use super::refusal::{Reason, Refusal, conclude, send_ack};
use super::socket::Socket;

/// Sends an event to the backend, and does what it answers.
pub(super) async fn call(
    socket: Rc<Socket>,
    id: Option<u64>,
    event: Event,
    error_event: Option<&str>,
    span: Option<Span>,
) {
    let conclude = |outcome| conclude(span.as_ref(), &socket, id, error_event, outcome);
    let answered = match ask(&socket, event, span.clone()).await {
        Ok(answered) => answered,
        Err(refusal) => return conclude(Err(refusal)),
    };
    let Answer { ack, error, emit, join, leave, disconnect } = answered;
    if let Err(refusal) = carry_out(&socket, join, &leave, emit, span.as_ref()).await {
        return conclude(Err(refusal));
    }
    match (error, ack) {
        (Some(error), _) => conclude(Err(Refusal::with_code(Reason::Backend, error.code, error.message))),
        (None, Some(ack)) => send_ack(&socket, id, &ack.elements, &ack.attachments),
        (None, None) => conclude(Ok(())),
    }
    end(&socket, disconnect).await;
}

/// The answer to an event. What others are to be sent by it does not depend on
/// the sender, who may be gone when it comes.
async fn ask(socket: &Rc<Socket>, event: Event, span: Option<Span>) -> Result<Answer, Refusal> {
    let (give, answered) = oneshot::channel();
    let asking = Rc::clone(socket);
    socket.connection.worker.tasks.spawn_local(async move {
        if let Err(Ok(unwanted)) = give.send(send(&asking, &event, span.as_ref()).await)
            && let Err(refusal) = dispatch::publish(&asking, unwanted.emit, span.as_ref()).await
        {
            tracing::warn!(
                reason = refusal.message(),
                "what a backend answered to a client that has gone was not sent"
            );
        }
    });
    answered.await.unwrap_or_else(|_| Err(Refusal::new(Reason::Unavailable, "the node is stopping")))
}

async fn send(socket: &Rc<Socket>, event: &Event, span: Option<&Span>) -> Result<Answer, Refusal> {
    let rules = socket.rules();
    let unset = || Refusal::new(Reason::BackendFailed, "there is no backend");
    let backend = rules.backend.as_ref().ok_or_else(unset)?;
    let identity = socket.identity();
    let sender = Sender { namespace: &rules.namespace, socket: socket.id, identity: &identity };
    Ok(backend.call(Call { sender, event: &event.name, args: &event.args, span }).await?)
}

/// Tells the backend of a new socket, where it wants to know; its answer is
/// carried out before the client's first event.
pub(super) async fn tell_connect(socket: &Rc<Socket>, span: Option<&Span>) {
    let rules = socket.rules();
    let Some(backend) = rules.backend.as_ref().filter(|_| rules.tells_connects) else { return };
    let identity = socket.identity();
    let sender = Sender { namespace: &rules.namespace, socket: socket.id, identity: &identity };
    let id = Token::random();
    let notice = Notice { id: id.as_str(), sender, what: NoticeKind::Connect, span };
    match backend.tell(notice).await {
        Ok(Answer { emit, join, leave, disconnect, .. }) => {
            if let Err(refusal) = carry_out(socket, join, &leave, emit, span).await {
                tracing::debug!(socket = %socket.id, reason = refusal.message(), "the answer to a connect was not carried out");
            }
            end(socket, disconnect).await;
        }
        // the client is not made to wait for a backend that is away
        Err(error) => tracing::warn!(socket = %socket.id, %error, "the backend was not told of a connect"),
    }
}

/// Joins, leaves and emits, in this order.
async fn carry_out(
    socket: &Rc<Socket>,
    join: Vec<Room>,
    leave: &[Room],
    emit: Vec<Draft>,
    span: Option<&Span>,
) -> Result<(), Refusal> {
    dispatch::join(socket, join).await?;
    dispatch::leave(socket, leave).await?;
    if emit.is_empty() { Ok(()) } else { dispatch::publish(socket, emit, span).await }
}

async fn end(socket: &Rc<Socket>, disconnect: Leave) {
    match disconnect {
        Leave::No => {}
        Leave::Namespace => dispatch::disconnect(socket, false).await,
        Leave::Connection => dispatch::disconnect(socket, true).await,
    }
}
