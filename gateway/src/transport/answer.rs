//! HTTP answers.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;

use crate::protocol::Format;
use crate::protocol::legacy::Form;
use crate::protocol::legacy::jsonp::Callback;
use crate::session::PollAnswer;

use super::admission::Refusal;

pub(super) type Answer = Response<Full<Bytes>>;

pub(super) fn answer(status: StatusCode, content_type: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// A polling payload; by `callback` as a script, where it is for an old client.
pub(super) fn payload(PollAnswer { payload, format }: PollAnswer, callback: Option<Callback>) -> Answer {
    let (content_type, body) = match (format, callback) {
        (Format::Legacy(Form::TextPayload), Some(callback)) => {
            ("text/javascript; charset=UTF-8", callback.answer(&payload))
        }
        // clients of 1.0 read nothing that is called anything else
        (Format::Legacy(Form::BinaryPayload), _) => ("application/octet-stream", payload),
        (Format::Legacy(Form::TextPayload | Form::WebSocket), _)
        | (Format::JsonPolling | Format::JsonWebSocket, _)
        | (Format::MsgpackPolling | Format::MsgpackWebSocket, _) => ("text/plain; charset=UTF-8", payload),
    };
    let mut answer = answer(StatusCode::OK, content_type, body);
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// The payload of a POST was taken.
pub(super) fn taken() -> Answer {
    answer(StatusCode::OK, "text/html", Bytes::from_static(b"ok"))
}

/// A goodbye was heard.
pub(super) fn farewell() -> Answer {
    answer(StatusCode::OK, "text/plain; charset=UTF-8", Bytes::new())
}

pub(super) fn not_found() -> Answer {
    answer(StatusCode::NOT_FOUND, "text/plain; charset=UTF-8", Bytes::from_static(b"not found"))
}

fn too_large() -> Answer {
    answer(StatusCode::PAYLOAD_TOO_LARGE, "text/plain; charset=UTF-8", Bytes::from_static(b"payload too large"))
}

/// A refusal with the reference server's codes; those after 5 are our own.
pub(super) fn refusal(refusal: Refusal) -> Answer {
    let (status, body): (_, &'static str) = match refusal {
        Refusal::UnknownTransport => (StatusCode::BAD_REQUEST, r#"{"code":0,"message":"Transport unknown"}"#),
        Refusal::UnknownSession => (StatusCode::BAD_REQUEST, r#"{"code":1,"message":"Session ID unknown"}"#),
        Refusal::BadMethod => (StatusCode::BAD_REQUEST, r#"{"code":2,"message":"Bad handshake method"}"#),
        Refusal::BadRequest => (StatusCode::BAD_REQUEST, r#"{"code":3,"message":"Bad request"}"#),
        Refusal::Forbidden => (StatusCode::FORBIDDEN, r#"{"code":4,"message":"Forbidden"}"#),
        Refusal::UnsupportedVersion => {
            (StatusCode::BAD_REQUEST, r#"{"code":5,"message":"Unsupported protocol version"}"#)
        }
        Refusal::TooManyConnections => {
            (StatusCode::SERVICE_UNAVAILABLE, r#"{"code":6,"message":"Too many connections"}"#)
        }
        Refusal::TooManyHandshakes => {
            (StatusCode::SERVICE_UNAVAILABLE, r#"{"code":7,"message":"Too many handshakes"}"#)
        }
        Refusal::NoDirectory => (StatusCode::SERVICE_UNAVAILABLE, r#"{"code":8,"message":"Directory unavailable"}"#),
        Refusal::TooManyForwarded => {
            (StatusCode::SERVICE_UNAVAILABLE, r#"{"code":9,"message":"Too many forwarded WebSockets"}"#)
        }
        Refusal::OverBudget => {
            (StatusCode::SERVICE_UNAVAILABLE, r#"{"code":10,"message":"Too many handshakes in the cluster"}"#)
        }
        Refusal::TooManyLegacy => {
            (StatusCode::SERVICE_UNAVAILABLE, r#"{"code":11,"message":"Too many connections of old protocols"}"#)
        }
        Refusal::TooLarge => return too_large(),
    };
    let mut answer = answer(status, "application/json", Bytes::from_static(body.as_bytes()));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    answer
}
