//! A request whose session lives on another node goes there.
//!
//! Whatever happens to it on the way, the client is told to come back, as for
//! an unknown session, by a status that nobody on the way takes for a reason
//! to try again: what may have reached the session must not reach it twice.

use std::rc::Rc;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::message::Token;
use crate::peers::{ForwardError, Upgrade};
use crate::protocol::engine::TransportKind;

use super::admission::Refusal;
use super::answer::Answer;
use super::engine;
use super::http::Served;
use super::owner::Call;
use super::request::Parameters;
use super::websocket;

/// Answers what the session's node answers.
pub(super) async fn forward(
    served: &Rc<Served>,
    request: Request<Incoming>,
    transport: TransportKind,
    sid: Token,
) -> Result<Answer, Refusal> {
    match transport {
        TransportKind::Polling => ask(served, request, sid).await,
        TransportKind::WebSocket => carry(served, request, sid).await,
    }
}

async fn ask(served: &Rc<Served>, request: Request<Incoming>, sid: Token) -> Result<Answer, Refusal> {
    let transports = &served.transports;
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let body = match engine::polling(request, Parameters::default(), transports.max_payload).await? {
        Call::Post(body) => body,
        Call::Poll(..) | Call::Farewell | Call::Upgrade(_) => Bytes::new(),
    };
    let query = uri.query().unwrap_or_default();
    let answer = transports.peers.ask(served.worker.index, sid.node(), &method, query, body).await;
    Ok(answer.map_err(refusal)?.map(Full::new))
}

/// How a farewell is forwarded; no client asks so.
pub(super) const FAREWELL: Method = Method::DELETE;

/// Tells the session's node that its client goes.
pub(super) async fn say_farewell(served: &Rc<Served>, sid: Token) -> Result<Answer, Refusal> {
    let query = format!("transport=polling&sid={}", sid.as_str());
    let answer = served.transports.peers.ask(served.worker.index, sid.node(), &FAREWELL, &query, Bytes::new()).await;
    Ok(answer.map_err(refusal)?.map(Full::new))
}

/// A WebSocket that would take over is carried for as long as it lives.
async fn carry(served: &Rc<Served>, request: Request<Incoming>, sid: Token) -> Result<Answer, Refusal> {
    let transports = &served.transports;
    if !transports.public.upgrades {
        return Err(Refusal::BadRequest);
    }
    let accept = websocket::accept(request.headers());
    let query = request.uri().query().unwrap_or_default();
    let tunnel = match transports.peers.upgrade(sid.node(), query, request.headers()).await.map_err(refusal)? {
        Upgrade::Accepted(tunnel) => tunnel,
        Upgrade::Refused(answer) => return Ok(answer.map(Full::new)),
    };
    let answer = websocket::switching(accept?);
    let slot = served.slot.take();
    let stop = served.worker.tasks.stop().clone();
    served.worker.tasks.spawn_local(async move {
        let Some((stream, input)) = websocket::stream_of(hyper::upgrade::on(request)).await else { return };
        tunnel.carry(stream, input, stop).await;
        drop(slot);
    });
    Ok(answer)
}

fn refusal(error: ForwardError) -> Refusal {
    match error {
        ForwardError::Gone | ForwardError::Lost | ForwardError::Untrusted => Refusal::UnknownSession,
        ForwardError::Unavailable => Refusal::NoDirectory,
        ForwardError::TooLong => Refusal::BadRequest,
        ForwardError::Limited => Refusal::TooManyForwarded,
    }
}
