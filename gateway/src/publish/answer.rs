//! Answers as bytes: the only place that knows statuses and error codes.

use std::fmt::Write as _;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Response, StatusCode};

use crate::adapter::{PublishError, Published, Report, SocketInfo};
use crate::message::{Acks, Offset, Room};

use super::error::RequestError;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// 200 with this JSON text.
pub(crate) fn ok(json: impl Into<Body>) -> Response<Body> {
    with_status(StatusCode::OK, json.into())
}

/// The refusal, with the headers that belong to it.
pub(crate) fn refusal(error: &RequestError) -> Response<Body> {
    let mut json = vec![b'{'];
    write_error(&mut json, error);
    json.push(b'}');
    let status = status(error);
    let mut response = with_status(status, json.into());
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(r#"Bearer realm="carillon""#));
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn with_status(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The HTTP status of a refusal.
pub(super) fn status(error: &RequestError) -> StatusCode {
    wire(error).0
}

/// The code of a refusal, for the log.
pub(super) fn code(error: &RequestError) -> &'static str {
    wire(error).1
}

/// Status and code of a refusal.
fn wire(error: &RequestError) -> (StatusCode, &'static str) {
    match error {
        RequestError::NotJson(_)
        | RequestError::Shape(_)
        | RequestError::Field { .. }
        | RequestError::Header { .. }
        | RequestError::Query(_)
        | RequestError::Incomplete => (StatusCode::BAD_REQUEST, "invalid_request"),
        RequestError::TooManyTails => (StatusCode::TOO_MANY_REQUESTS, "too_many_tails"),
        RequestError::UnknownNamespace(_) => (StatusCode::NOT_FOUND, "unknown_namespace"),
        RequestError::NoRecovery(_) => (StatusCode::UNPROCESSABLE_ENTITY, "no_recovery"),
        RequestError::NoKey | RequestError::BadKey => (StatusCode::UNAUTHORIZED, "unauthorized"),
        RequestError::LacksScope(_) => (StatusCode::FORBIDDEN, "forbidden"),
        RequestError::NotFound => (StatusCode::NOT_FOUND, "not_found"),
        RequestError::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
        RequestError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large"),
        RequestError::ContentType | RequestError::ContentEncoding => {
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type")
        }
        RequestError::Publish(PublishError::IdempotencyConflict) => (StatusCode::CONFLICT, "idempotency_conflict"),
        RequestError::Publish(PublishError::Unavailable) | RequestError::Unavailable(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
        }
        RequestError::Publish(PublishError::OutcomeUnknown) => (StatusCode::GATEWAY_TIMEOUT, "outcome_unknown"),
    }
}

/// `"error":{"code":…,"message":…}`.
fn write_error(out: &mut Vec<u8>, error: &RequestError) {
    let (_, code) = wire(error);
    out.extend_from_slice(br#""error":{"code":""#);
    out.extend_from_slice(code.as_bytes());
    out.extend_from_slice(br#"","message":"#);
    write_string(out, &error.to_string());
    out.push(b'}');
}

/// The element of a batch's results that tells of a refused item.
pub(super) fn write_refused_item(out: &mut Vec<u8>, error: &RequestError) {
    out.extend_from_slice(br#"{"status":"#);
    out.extend_from_slice(status(error).as_str().as_bytes());
    out.push(b',');
    write_error(out, error);
    out.push(b'}');
}

/// The element of a batch's results that tells of an accepted item.
pub(super) fn write_accepted_item(out: &mut Vec<u8>, published: &Published) {
    out.extend_from_slice(br#"{"status":200,"#);
    write_published(out, published);
    out.push(b'}');
}

/// `"id":…,"logged":…,"duplicate":…` without braces.
pub(super) fn write_published(out: &mut Vec<u8>, published: &Published) {
    match &published.offset {
        Some(offset) => {
            out.reserve(Offset::MAX_LEN + 64);
            out.extend_from_slice(br#""id":""#);
            offset.write_to(out);
            out.extend_from_slice(br#"","logged":true,"duplicate":"#);
            write_bool(out, published.duplicate);
        }
        None if published.duplicate => out.extend_from_slice(br#""logged":false,"duplicate":true"#),
        None => out.extend_from_slice(br#""logged":false"#),
    }
}

/// The answer to a publish with acknowledgements.
pub(super) fn acks(acks: &Acks) -> Vec<u8> {
    let mut out = format!(r#"{{"logged":false,"expected":{},"acks":["#, acks.expected).into_bytes();
    for (n, answer) in acks.answers.iter().enumerate() {
        out.extend_from_slice(if n == 0 { br#"{"socket":""#.as_slice() } else { br#",{"socket":""# });
        out.extend_from_slice(answer.socket.0.as_str().as_bytes());
        out.extend_from_slice(br#"","args":"#);
        out.extend_from_slice(answer.args.get().as_bytes());
        out.push(b'}');
    }
    out.extend_from_slice(br#"],"complete":"#);
    write_bool(&mut out, acks.complete);
    out.push(b'}');
    out
}

/// The answer to a change: how many sockets it concerned; `partial` only where
/// a node did not answer.
pub(super) fn changed(report: &Report) -> Vec<u8> {
    let mut out = String::new();
    let _ = write!(out, r#"{{"sockets":{}"#, report.count);
    out.push_str(if report.partial { r#","partial":true}"# } else { "}" });
    out.into_bytes()
}

/// The answer to a count.
pub(super) fn counted(report: &Report) -> Vec<u8> {
    format!(r#"{{"count":{},"partial":{}}}"#, report.count, report.partial).into_bytes()
}

/// The answer to a listing.
pub(super) fn listed(report: &Report) -> Vec<u8> {
    let mut out = br#"{"sockets":["#.to_vec();
    for (n, socket) in report.sockets.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        write_socket(&mut out, socket);
    }
    out.extend_from_slice(br#"],"partial":"#);
    write_bool(&mut out, report.partial);
    out.push(b'}');
    out
}

fn write_socket(out: &mut Vec<u8>, socket: &SocketInfo) {
    out.extend_from_slice(br#"{"id":""#);
    out.extend_from_slice(socket.id.0.as_str().as_bytes());
    out.extend_from_slice(br#"","rooms":["#);
    let (mut first, mut user) = (true, None);
    for room in &socket.rooms {
        match room {
            Room::Named(name) => {
                if !std::mem::take(&mut first) {
                    out.push(b',');
                }
                write_string(out, name);
            }
            Room::User(name) => user = user.or(Some(name)),
            Room::All | Room::Socket(_) => {}
        }
    }
    out.extend_from_slice(br#"],"user":"#);
    match user {
        Some(name) => write_string(out, name),
        None => out.extend_from_slice(b"null"),
    }
    out.push(b'}');
}

fn write_bool(out: &mut Vec<u8>, value: bool) {
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

fn write_string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a string is written to memory");
}
