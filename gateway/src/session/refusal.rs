//! What a client is told about its events.

use std::rc::Rc;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::adapter::PublishError;
use crate::auth::AuthError;
use crate::policy::{Excess, RenderError};
use crate::protocol::Frames;
use crate::trace::Span;
use crate::upstream::UpstreamError;

use super::socket::Socket;

/// Why an event is not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) reason: Reason,
    /// The client's; the backend's own where it is the backend that refuses.
    code: String,
    message: String,
}

/// Why events are refused, as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Reason {
    /// No rule allows it.
    NoRule,
    /// The rule's condition does not hold.
    Forbidden,
    /// A room, or what a condition needs, cannot be made of what was sent.
    Invalid,
    /// Over a limit of the connection's.
    RateLimited,
    /// Over a limit of the user's.
    UserRateLimited,
    TooManyRooms,
    /// A new token is not accepted.
    Token,
    /// The backend refuses.
    Backend,
    /// The backend does not answer as it should.
    BackendFailed,
    /// The adapter did not answer in time.
    Unavailable,
}

impl Reason {
    pub(super) const ALL: [Reason; 10] = [
        Reason::NoRule,
        Reason::Forbidden,
        Reason::Invalid,
        Reason::RateLimited,
        Reason::UserRateLimited,
        Reason::TooManyRooms,
        Reason::Token,
        Reason::Backend,
        Reason::BackendFailed,
        Reason::Unavailable,
    ];

    /// Metric label, and the code that the client is told where there is no
    /// closer one.
    pub(super) fn label(self) -> &'static str {
        match self {
            Reason::NoRule => "not_allowed",
            Reason::Forbidden => "forbidden",
            Reason::Invalid => "invalid",
            Reason::RateLimited => "rate_limited",
            Reason::UserRateLimited => "user_rate_limited",
            Reason::TooManyRooms => "too_many_rooms",
            Reason::Token => "token",
            Reason::Backend => "backend",
            Reason::BackendFailed => "backend_failed",
            Reason::Unavailable => "unavailable",
        }
    }
}

impl Refusal {
    pub(super) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Refusal { reason, code: reason.label().to_owned(), message: message.into() }
    }

    pub(super) fn with_code(reason: Reason, code: impl Into<String>, message: impl Into<String>) -> Self {
        Refusal { reason, code: code.into(), message: message.into() }
    }

    pub(super) fn forbidden() -> Self {
        Refusal::new(Reason::Forbidden, "the rule does not allow it")
    }

    pub(super) fn to_json(&self) -> Value {
        json!({ "code": self.code, "message": self.message })
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }
}

impl From<RenderError> for Refusal {
    fn from(error: RenderError) -> Self {
        Refusal::with_code(Reason::Invalid, "invalid_room", error.to_string())
    }
}

impl From<PublishError> for Refusal {
    fn from(error: PublishError) -> Self {
        Refusal::new(Reason::Unavailable, error.to_string())
    }
}

impl From<Excess> for Refusal {
    fn from(excess: Excess) -> Self {
        let reason = match excess {
            Excess::ConnectionEvents | Excess::ConnectionBytes => Reason::RateLimited,
            Excess::UserEvents | Excess::UserBytes => Reason::UserRateLimited,
        };
        Refusal::new(reason, excess.to_string())
    }
}

impl From<AuthError> for Refusal {
    fn from(error: AuthError) -> Self {
        Refusal::with_code(Reason::Token, error.code(), error.to_string())
    }
}

impl From<UpstreamError> for Refusal {
    fn from(error: UpstreamError) -> Self {
        Refusal::with_code(Reason::BackendFailed, error.code(), error.to_string())
    }
}

/// Answers an event, if the client asked for it, and counts what was refused.
/// `error_event`: what refuses it is sent as this event, too.
pub(super) fn answer(socket: &Rc<Socket>, id: Option<u64>, error_event: Option<&str>, outcome: Result<(), Refusal>) {
    let value = match &outcome {
        Ok(()) => json!({ "ok": true }),
        Err(refusal) => {
            socket.connection.worker.shared.metrics.refused(refusal.reason);
            if let Some(event) = error_event {
                socket.say(event, &[refusal.to_json()]);
            }
            json!({ "ok": false, "error": refusal.to_json() })
        }
    };
    send_ack(socket, id, value.to_string().as_bytes(), &[]);
}

/// The same for an event that may be traced.
pub(super) fn conclude(
    span: Option<&Span>,
    socket: &Rc<Socket>,
    id: Option<u64>,
    error_event: Option<&str>,
    outcome: Result<(), Refusal>,
) {
    if let (Some(span), Err(refusal)) = (span, &outcome) {
        span.refused(refusal.reason.label());
    }
    answer(socket, id, error_event, outcome);
}

/// Acknowledges an event with these arguments.
pub(super) fn send_ack(socket: &Socket, id: Option<u64>, elements: &[u8], attachments: &[Bytes]) {
    let Some(id) = id else { return };
    let frames = Frames::ack(&socket.namespace().name, elements, attachments, id);
    socket.connection.enqueue(frames.get(socket.connection.format.get()));
}
