//! What a packet of a client does.

use std::rc::Rc;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use smallvec::smallvec;

use crate::adapter::PublishError;
use crate::message::{Acknowledgement, Draft, Room};
use crate::policy::{AckArgs, Action, Context, RenderError, RoomTemplate, Target};
use crate::protocol::packet::{Args, Content, Event, Packet};
use crate::protocol::reply::Reply;
use crate::protocol::{Body, Frames, to_api_json};
use crate::rooms::Recipient;

use super::close::Close;
use super::connection::{Connection, Input};
use super::cut::CutError;
use super::socket::Socket;
use super::task::Job;
use super::{connect, operate};

/// Handles one input; what takes time is answered as a job, which must be
/// finished before the next is handled.
pub(super) fn handle(connection: &Rc<Connection>, input: Input) -> Option<Job> {
    match input {
        Input::Packet(packet) => on_packet(connection, packet),
        Input::Order(order) => Some(operate::carry_out(order)),
        Input::End(close) => {
            connection.close(close);
            None
        }
    }
}

fn on_packet(connection: &Rc<Connection>, packet: Packet) -> Option<Job> {
    let socket = connection.socket(&packet.namespace);
    match (packet.content, socket) {
        (Content::Connect(auth), None) => {
            Some(Box::pin(connect::connect(Rc::clone(connection), packet.namespace, auth)))
        }
        (Content::Disconnect, Some(socket)) => Some(Box::pin(async move { leave_namespace(&socket, false).await })),
        (Content::Event { id, event }, Some(socket)) => on_event(socket, id, event),
        (Content::Ack { id, args }, Some(socket)) => {
            on_ack(&socket, id, &args);
            None
        }
        // as with the reference server: twice connected, or never
        (Content::Connect(_), Some(_)) | (Content::Disconnect | Content::Event { .. } | Content::Ack { .. }, None) => {
            connection.close(Close::BadProtocol);
            None
        }
    }
}

/// An answer that the client's acknowledgement tells.
struct Refusal {
    code: &'static str,
    message: String,
}

impl Refusal {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Refusal { code, message: message.into() }
    }
}

impl From<RenderError> for Refusal {
    fn from(error: RenderError) -> Self {
        Refusal::new("invalid_room", error.to_string())
    }
}

impl From<PublishError> for Refusal {
    fn from(error: PublishError) -> Self {
        Refusal::new("unavailable", error.to_string())
    }
}

fn on_event(socket: Rc<Socket>, id: Option<u64>, event: Event) -> Option<Job> {
    let worker = &socket.connection.worker;
    worker.shared.metrics.received();
    let rules = &worker.shared.namespaces[usize::from(socket.namespace().id.0)];
    match rules.policy.on_event(&event.name) {
        None => {
            worker.shared.metrics.refused();
            let refusal = Refusal::new("not_allowed", format!("no rule allows the event `{}`", event.name));
            answer(&socket, id, Err(refusal));
            None
        }
        Some(Action::Ignore) => None,
        Some(Action::Acknowledge(with)) => {
            acknowledge(&socket, id, with, &event.args);
            None
        }
        Some(action @ (Action::Join(room) | Action::Leave(room))) => {
            let room = render(&socket, room, &event.args);
            let joins = matches!(action, Action::Join(_));
            Some(Box::pin(async move {
                let changed = match room {
                    Ok(room) if joins => join(&socket, room).await,
                    Ok(room) => leave(&socket, room).await,
                    Err(refusal) => Err(refusal),
                };
                answer(&socket, id, changed);
            }))
        }
        Some(Action::Relay { to, rename }) => match relay_draft(&socket, to, rename.as_deref(), event) {
            Ok(draft) => Some(Box::pin(async move {
                let relayed = relay(&socket, draft).await;
                answer(&socket, id, relayed);
            })),
            Err(refusal) => {
                answer(&socket, id, Err(refusal));
                None
            }
        },
    }
}

/// Publishes what a client sends on. Where the client gets it back itself, it
/// does so before what its next events set off.
async fn relay(socket: &Rc<Socket>, draft: Draft) -> Result<(), Refusal> {
    let worker = &socket.connection.worker;
    let own = draft.rooms.iter().any(|room| socket.feed().borrow().stay(room).is_some());
    let published = worker.shared.adapter.publish(vec![draft]).await.pop();
    let published = published.unwrap_or(Err(PublishError::Unavailable))?;
    if own {
        worker.caught_up(published.offset.map(|offset| offset.position)).await;
    }
    Ok(())
}

fn render(socket: &Socket, room: &RoomTemplate, args: &Args) -> Result<Room, Refusal> {
    let auth = socket.auth.as_deref().unwrap_or(&Value::Null);
    Ok(room.render(&Context { auth, query: &socket.connection.query, args: &args.json })?)
}

fn relay_draft(socket: &Socket, to: &Target, rename: Option<&str>, event: Event) -> Result<Draft, Refusal> {
    let own = Room::Socket(socket.id);
    let (room, except) = match to {
        Target::Sender => (own, Vec::new()),
        Target::Room { room, except_sender } => {
            (render(socket, room, &event.args)?, if *except_sender { vec![own] } else { Vec::new() })
        }
    };
    let name = rename.unwrap_or(&event.name);
    let body = Body::from_client(name, event.args.json.iter().map(String::as_str), event.args.attachments)
        .map_err(|error| Refusal::new("invalid_event", error.to_string()))?;
    Ok(Draft {
        namespace: socket.namespace().clone(),
        rooms: smallvec![room],
        except,
        body,
        volatile: false,
        idempotency: None,
    })
}

async fn join(socket: &Rc<Socket>, room: Room) -> Result<(), Refusal> {
    let is_in = socket.feed().borrow().stay(&room).is_some();
    if !is_in && rooms_left(socket) == 0 {
        return Err(Refusal::new("too_many_rooms", "the socket is in as many rooms as it may be"));
    }
    let worker = &socket.connection.worker;
    let joined = worker.cut(socket.namespace()).join(socket, socket.writing(None), vec![room]).await;
    if check(socket, joined) { Ok(()) } else { Err(Refusal::new("unavailable", "the join did not take place")) }
}

async fn leave(socket: &Rc<Socket>, room: Room) -> Result<(), Refusal> {
    let worker = &socket.connection.worker;
    let left = worker.cut(socket.namespace()).leave(socket, socket.writing(None), &[room]).await;
    if check(socket, left) { Ok(()) } else { Err(Refusal::new("unavailable", "the room could not be left")) }
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

/// Answers an event, if the client asked for it.
fn answer(socket: &Socket, id: Option<u64>, outcome: Result<(), Refusal>) {
    let value = match outcome {
        Ok(()) => json!({ "ok": true }),
        Err(Refusal { code, message }) => json!({ "ok": false, "error": { "code": code, "message": message } }),
    };
    send_ack(socket, id, value.to_string().as_bytes(), &[]);
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

fn send_ack(socket: &Socket, id: Option<u64>, elements: &[u8], attachments: &[bytes::Bytes]) {
    let Some(id) = id else { return };
    let frames = Frames::ack(&socket.namespace().name, elements, attachments, id);
    socket.connection.enqueue(frames.get(socket.connection.format.get()));
}

/// The client acknowledges an event of the backend.
fn on_ack(socket: &Socket, id: u64, args: &Args) {
    let Some(ticket) = socket.take_ack(id) else { return };
    let Ok(args) = RawValue::from_string(to_api_json(&args.json, &args.attachments)) else { return };
    ticket.answer(Acknowledgement { socket: socket.id, args });
}

/// Ends the socket and its session; `tell` the client.
pub(super) async fn leave_namespace(socket: &Rc<Socket>, tell: bool) {
    let connection = &socket.connection;
    connection.worker.cut(socket.namespace()).forget_all(socket);
    connection.remove_socket(socket);
    if let Some(key) = socket.session
        && connection.worker.shared.adapter.end_session(key).await.is_err()
    {
        // it would be recoverable, which the client was told it is not
        connection.close(Close::Unavailable);
    }
    if tell {
        let reply = Reply::Disconnected.encode(&socket.namespace().name, connection.format.get());
        connection.enqueue(reply);
    }
}
