//! From an HTTP request to a WebSocket (RFC 6455, section 4.2).

use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use sha1::{Digest, Sha1};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::message::Token;
use crate::session::{Connection, Opening, Slot};
use crate::tls::{ServerStream, Stream};

use super::admission::Refusal;
use super::answer::Answer;
use super::http::Served;
use super::{Transports, owner};

/// The value of `Sec-WebSocket-Accept`.
pub(super) fn accept(headers: &HeaderMap) -> Result<HeaderValue, Refusal> {
    const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let is = |name, expected| token_of(headers, name, expected);
    if !is(header::UPGRADE, "websocket")
        || !is(header::CONNECTION, "upgrade")
        || !is(header::SEC_WEBSOCKET_VERSION, "13")
    {
        return Err(Refusal::BadRequest);
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).ok_or(Refusal::BadRequest)?;
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    HeaderValue::from_str(&STANDARD.encode(digest)).map_err(|_| Refusal::BadRequest)
}

/// Whether a header lists this token.
fn token_of(headers: &HeaderMap, name: header::HeaderName, expected: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|token| token.trim().eq_ignore_ascii_case(expected))
}

/// Answers 101; the stream becomes a new session.
pub(super) fn open(
    served: &Rc<Served>,
    request: Request<Incoming>,
    accept: HeaderValue,
    mut opening: Opening,
) -> Answer {
    let served = Rc::clone(served);
    let tasks = served.worker.tasks.clone();
    tasks.spawn_local(async move {
        let Some((stream, input)) = stream_of(hyper::upgrade::on(request)).await else { return };
        opening.slots.1 = served.slot.take();
        served.worker.open_websocket(opening, stream, input);
    });
    switching(accept)
}

/// The stream, once it is one, takes polling's place in its session. `slot`: its
/// place among a worker's streams.
pub(super) async fn upgrade(transports: &Transports, stream: OnUpgrade, sid: Token, slot: Option<Slot>) {
    let take_over = move |connection: Rc<Connection>| async move {
        let Some((stream, input)) = stream_of(stream).await else { return };
        // it leaves the reactor of the thread that read the request
        let Ok(stream) = stream.rebound() else { return };
        connection.upgrade(stream, input, slot).await;
    };
    owner::hand_over(transports, sid, take_over).await;
}

/// The stream behind a request, and what came after it.
pub(super) async fn stream_of(upgrade: OnUpgrade) -> Option<(Stream, BytesMut)> {
    match taken_apart::<TcpStream>(upgrade.await.ok()?) {
        Ok(parts) => Some(parts),
        Err(upgraded) => taken_apart::<ServerStream>(upgraded).ok(),
    }
}

/// The same for the one kind of stream that hyper was given.
fn taken_apart<S>(upgraded: Upgraded) -> Result<(Stream, BytesMut), Upgraded>
where
    S: AsyncRead + AsyncWrite + Unpin + Into<Stream> + 'static,
{
    let parts = upgraded.downcast::<TokioIo<S>>()?;
    // copied, so that hyper's buffer is not kept for a few bytes
    Ok((parts.io.into_inner().into(), BytesMut::from(&parts.read_buf[..])))
}

pub(super) fn switching(accept: HeaderValue) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::new()));
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    answer
}
