//! What a packet of a client does.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;
use serde_json::value::RawValue;
use smallvec::smallvec;

use crate::adapter::Ending;
use crate::config::History;
use crate::message::{Acknowledgement, Draft, Room};
use crate::policy::{self, AckArgs, Action, Excess, Question, RoomTemplate, Rule, Target, Verdict};
use crate::protocol::packet::{Args, Content, Event, Packet};
use crate::protocol::reply::Reply;
use crate::protocol::{Body, to_api_json};
use crate::rooms::Recipient;
use crate::trace::Span;

use super::ask::Asking;
use super::close::Close;
use super::connection::{Connection, Input};
use super::cut::CutError;
use super::refusal::{Reason, Refusal, answer, conclude, send_ack};
use super::socket::Socket;
use super::task::Job;
use super::{backend, connect, operate, refresh};

/// Handles one input; what takes time is answered as a job, which must be
/// finished before the next is handled.
pub(super) fn handle(connection: &Rc<Connection>, input: Input) -> Option<Job> {
    match input {
        Input::Packet(packet) => on_packet(connection, packet),
        Input::Order(order) => Some(operate::carry_out(order)),
        Input::Restore(socket) => Some(operate::restore(socket)),
        Input::End(close) => {
            // what was answered before is still sent
            connection.flush();
            connection.close(close);
            None
        }
    }
}

fn on_packet(connection: &Rc<Connection>, packet: Packet) -> Option<Job> {
    let socket = connection.socket(&packet.namespace);
    match (packet.content, socket) {
        (Content::Connect(hello), None) => {
            Some(Box::pin(connect::connect(Rc::clone(connection), packet.namespace, hello)))
        }
        (Content::Disconnect, Some(socket)) => Some(Box::pin(async move { leave_namespace(&socket, false).await })),
        (Content::Event { id, event }, Some(socket)) => on_event(socket, id, event),
        (Content::Ack { id, args }, Some(socket)) => {
            on_ack(&socket, id, &args);
            None
        }
        // as with the reference servers of their time
        (_, _) if connection.version.is_legacy() => None,
        // as with the reference server: twice connected, or never
        (Content::Connect(_), Some(_)) | (Content::Disconnect | Content::Event { .. } | Content::Ack { .. }, None) => {
            connection.flush();
            connection.close(Close::BadProtocol);
            None
        }
    }
}

/// Judges an event, and carries it out if its rule allows it.
fn on_event(socket: Rc<Socket>, id: Option<u64>, event: Event) -> Option<Job> {
    let worker = &socket.connection.worker;
    worker.shared.metrics.received();
    let rules = socket.rules();
    let rule = rules.policy.on_event(&event.name).map(Arc::clone);
    if let Err(excess) = within_rate(&socket, &event) {
        let error_event = rule.as_ref().and_then(|rule| rule.error_event.as_deref());
        answer(&socket, id, error_event, Err(excess.into()));
        return None;
    }
    if rules.entry.signals.refresh.as_ref() == Some(&event.name) {
        return Some(Box::pin(refresh::refresh(socket, id, event.args)));
    }
    let Some(rule) = rule else {
        let refusal = Refusal::new(Reason::NoRule, format!("no rule allows the event `{}`", event.name));
        answer(&socket, id, None, Err(refusal));
        return None;
    };
    let span = worker.shared.tracer.event(socket.namespace().id.0, &event.name);
    match judge(&socket, &rule, &event) {
        Ok(questions) if questions.is_empty() => carry_out(socket, id, event, rule, span),
        Ok(questions) => Some(Box::pin(async move {
            match ask(&socket, &event, &rule, &questions, span.as_ref()).await {
                Ok(()) => {
                    if let Some(job) = carry_out(socket, id, event, rule, span) {
                        job.await;
                    }
                }
                Err(refusal) => conclude(span.as_ref(), &socket, id, rule.error_event.as_deref(), Err(refusal)),
            }
        })),
        Err(refusal) => {
            conclude(span.as_ref(), &socket, id, rule.error_event.as_deref(), Err(refusal));
            None
        }
    }
}

/// Whether the sender may send so much.
fn within_rate(socket: &Socket, event: &Event) -> Result<(), Excess> {
    let Some(standing) = &socket.standing else { return Ok(()) };
    let mut rate = standing.rate.borrow_mut();
    let (identity, bytes) = (standing.identity(), event.name.len() + event.args.len());
    socket.rules().rates.take(rate.as_mut(), identity.user.as_deref(), bytes, Instant::now())
}

/// What has to be asked before the event is allowed.
fn judge(socket: &Rc<Socket>, rule: &Rule, event: &Event) -> Result<Vec<Question>, Refusal> {
    let identity = socket.identity();
    let context = socket.context(&identity, policy::Args::Json(&event.args.json));
    let Verdict::If(mut questions) = rule.judge(&context)? else { return Err(Refusal::forbidden()) };
    if let Some(asked) = questions.iter().position(|question| *question == Question::InRoom) {
        let room = rule.action.room().map(|room| room.render(&context)).transpose()?;
        let is_in = room.is_some_and(|room| socket.feed().borrow().stay(&room).is_some());
        if !is_in {
            return Err(Refusal::forbidden());
        }
        questions.remove(asked);
    }
    Ok(questions)
}

async fn ask(
    socket: &Rc<Socket>,
    event: &Event,
    rule: &Rule,
    questions: &[Question],
    span: Option<&Span>,
) -> Result<(), Refusal> {
    let (rules, identity) = (socket.rules(), socket.identity());
    let room = rule.action.room().map(|room| render(socket, room, &event.args)).transpose()?;
    let (event, args, room) = (Some(&*event.name), &event.args, room.as_ref());
    let asking = Asking { socket: socket.id, identity: &identity, event, args, room, span };
    if asking.all(&socket.connection, rules, questions).await? { Ok(()) } else { Err(Refusal::forbidden()) }
}

/// Does what the rule of an event says.
fn carry_out(socket: Rc<Socket>, id: Option<u64>, event: Event, rule: Arc<Rule>, span: Option<Span>) -> Option<Job> {
    match &rule.action {
        Action::Ignore => None,
        Action::Acknowledge(with) => {
            acknowledge(&socket, id, with, &event.args);
            None
        }
        action @ (Action::Join(room) | Action::Leave(room)) => {
            let room = render(&socket, room, &event.args);
            let joins = matches!(action, Action::Join(_));
            Some(Box::pin(async move {
                let changed = match room {
                    Ok(room) if joins => match rule.history {
                        Some(history) => join_with_past(&socket, room, history).await,
                        None => join(&socket, vec![room]).await,
                    },
                    Ok(room) => leave(&socket, &[room]).await,
                    Err(refusal) => Err(refusal),
                };
                conclude(span.as_ref(), &socket, id, rule.error_event.as_deref(), changed);
            }))
        }
        Action::Upstream => Some(Box::pin(async move {
            backend::call(socket, id, event, rule.error_event.as_deref(), span).await;
        })),
        Action::Relay { to, rename } => match relay_draft(&socket, to, rename.as_deref(), &event) {
            Ok(draft) => Some(Box::pin(async move {
                let relayed = publish(&socket, vec![draft], span.as_ref()).await;
                conclude(span.as_ref(), &socket, id, rule.error_event.as_deref(), relayed);
            })),
            Err(refusal) => {
                conclude(span.as_ref(), &socket, id, rule.error_event.as_deref(), Err(refusal));
                None
            }
        },
    }
}

/// Publishes what a client sends on, or what its backend answers. Where the
/// client gets it itself, it does so before what its next events set off.
pub(super) async fn publish(socket: &Rc<Socket>, mut drafts: Vec<Draft>, span: Option<&Span>) -> Result<(), Refusal> {
    if let Some(span) = span {
        drafts.iter_mut().for_each(|draft| draft.trace = Some(span.context()));
    }
    let worker = &socket.connection.worker;
    let hears = |draft: &Draft| draft.rooms.iter().any(|room| socket.feed().borrow().stay(room).is_some());
    let own: Vec<bool> = drafts.iter().map(hears).collect();
    let published = worker.shared.adapter.publish(drafts).await;
    worker.shared.metrics.published(published.iter().filter(|published| published.is_ok()).count());
    for (published, own) in published.into_iter().zip(own) {
        let published = published?;
        if own {
            worker.caught_up(published.offset.map(|offset| offset.position)).await;
        }
    }
    Ok(())
}

fn render(socket: &Socket, room: &RoomTemplate, args: &Args) -> Result<Room, Refusal> {
    Ok(room.render(&socket.context(&socket.identity(), policy::Args::Json(&args.json)))?)
}

fn relay_draft(socket: &Socket, to: &Target, rename: Option<&str>, event: &Event) -> Result<Draft, Refusal> {
    let own = Room::Socket(socket.id);
    let (room, except) = match to {
        Target::Sender => (own, Vec::new()),
        Target::All { except_sender } => (Room::All, if *except_sender { vec![own] } else { Vec::new() }),
        Target::Room { room, except_sender } => {
            (render(socket, room, &event.args)?, if *except_sender { vec![own] } else { Vec::new() })
        }
    };
    let name = rename.unwrap_or(&event.name);
    let body = Body::from_client(name, event.args.json.iter().map(String::as_str), event.args.attachments.clone())
        .map_err(|error| Refusal::with_code(Reason::Invalid, "invalid_event", error.to_string()))?;
    Ok(Draft {
        namespace: socket.namespace().clone(),
        rooms: smallvec![room],
        except,
        body,
        volatile: false,
        idempotency: None,
        trace: None,
    })
}

/// All of the rooms, or none.
pub(super) async fn join(socket: &Rc<Socket>, rooms: Vec<Room>) -> Result<(), Refusal> {
    within_rooms(socket, &rooms)?;
    let cut = socket.connection.worker.cut(socket.namespace());
    joined(socket, cut.join(socket, socket.writing(None), rooms).await)
}

/// A room, with what was said in it before.
async fn join_with_past(socket: &Rc<Socket>, room: Room, history: History) -> Result<(), Refusal> {
    within_rooms(socket, std::slice::from_ref(&room))?;
    let cut = socket.connection.worker.cut(socket.namespace());
    joined(socket, cut.join_with_past(socket, socket.writing(None), room, history).await)
}

fn within_rooms(socket: &Rc<Socket>, rooms: &[Room]) -> Result<(), Refusal> {
    let fresh = rooms.iter().filter(|room| socket.feed().borrow().stay(room).is_none()).count();
    if fresh > rooms_left(socket) {
        return Err(Refusal::new(Reason::TooManyRooms, "the socket is in as many rooms as it may be"));
    }
    Ok(())
}

fn joined(socket: &Socket, cut: Result<(), CutError>) -> Result<(), Refusal> {
    if check(socket, cut) { Ok(()) } else { Err(Refusal::new(Reason::Unavailable, "the join did not take place")) }
}

pub(super) async fn leave(socket: &Rc<Socket>, rooms: &[Room]) -> Result<(), Refusal> {
    let worker = &socket.connection.worker;
    let left = worker.cut(socket.namespace()).leave(socket, socket.writing(None), rooms).await;
    if check(socket, left) { Ok(()) } else { Err(Refusal::new(Reason::Unavailable, "the room could not be left")) }
}

/// Rooms that the socket may still enter.
pub(super) fn rooms_left(socket: &Rc<Socket>) -> usize {
    let rooms = socket.feed().borrow().stays().iter().filter(|stay| !stay.room.is_implicit()).count();
    socket.connection.worker.shared.limits.max_rooms.saturating_sub(rooms)
}

/// False when a cut failed; closes the connection when what the socket has
/// cannot be shown to be complete any more.
pub(super) fn check(socket: &Socket, cut: Result<(), CutError>) -> bool {
    if let Err(error) = cut {
        socket.connection.close(error.close());
    }
    cut.is_ok()
}

fn acknowledge(socket: &Socket, id: Option<u64>, with: &AckArgs, received: &Args) {
    match with {
        AckArgs::Received => send_ack(socket, id, received.json.join(",").as_bytes(), &received.attachments),
        AckArgs::Fixed(args) => {
            let args: Vec<String> = args.iter().map(Value::to_string).collect();
            send_ack(socket, id, args.join(",").as_bytes(), &[]);
        }
    }
}

/// The client acknowledges an event of the backend.
fn on_ack(socket: &Socket, id: u64, args: &Args) {
    let Some(ticket) = socket.take_ack(id) else { return };
    let Ok(args) = RawValue::from_string(to_api_json(&args.json, &args.attachments)) else { return };
    ticket.answer(Acknowledgement { socket: socket.id, args });
}

/// The backend's will: ends the socket and its session, or with `close` the
/// whole connection once the client has been told.
pub(super) async fn disconnect(socket: &Rc<Socket>, close: bool) {
    leave_namespace(socket, true).await;
    if close {
        socket.connection.drained_to(0).await;
        socket.connection.close(Close::Backend);
    }
}

/// Ends the socket and its session; `tell` the client.
async fn leave_namespace(socket: &Rc<Socket>, tell: bool) {
    let connection = &socket.connection;
    connection.remove_socket(socket);
    let ending = if tell { Ending::Backend } else { Ending::Client };
    if let Some(key) = socket.session
        && connection.worker.shared.adapter.end_session(key, ending).await.is_err()
    {
        // it would be recoverable, which the client was told it is not
        connection.close(Close::Unavailable);
    }
    if tell {
        let reply = Reply::Disconnected.encode(&socket.namespace().name, connection.format.get());
        connection.enqueue(reply);
    }
}
