//! Engine.IO over HTTP: handshakes, polling requests, and the way to a
//! WebSocket.
//!
//! Source: the Engine.IO protocol, revisions 4 and 3; refusals as the reference
//! server makes them.

use std::error::Error;
use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};

use crate::auth::{self, HandshakeNeeds};
use crate::config::Transport;
use crate::message::Token;
use crate::protocol::engine::{TransportKind, Version};
use crate::session::{Handshake, Opening};

use super::admission::{Refusal, client_ip};
use super::answer::{self, Answer};
use super::http::{Served, is_allowed};
use super::owner::{self, Call};
use super::request::Parameters;
use super::{Transports, forward, websocket};

/// Answers a request to the protocol's path.
pub(super) async fn serve(served: Rc<Served>, request: Request<Incoming>) -> Answer {
    if request.method() == Method::OPTIONS {
        return preflight(request.headers());
    }
    match handle(&served, request).await {
        Ok(answer) => answer,
        Err(refusal) => {
            served.transports.admission.refused(refusal);
            answer::refusal(refusal)
        }
    }
}

async fn handle(served: &Rc<Served>, request: Request<Incoming>) -> Result<Answer, Refusal> {
    let transports = &served.transports;
    let parameters = Parameters::parse(request.uri().query().unwrap_or_default());
    let transport = parameters.transport.filter(|kind| match kind {
        TransportKind::Polling => transports.allows(Transport::Polling),
        TransportKind::WebSocket => transports.allows(Transport::Websocket),
    });
    let transport = transport.ok_or(Refusal::UnknownTransport)?;
    if request.headers().get(header::ORIGIN).is_some_and(|origin| !is_allowed(transports, origin)) {
        return Err(Refusal::Forbidden);
    }
    if parameters.are_legacy() && parameters.callback.is_some() && !transports.public.legacy.jsonp {
        return Err(Refusal::BadRequest);
    }
    let sid = parameters.sid.as_deref().map(|sid| Token::parse(sid).ok_or(Refusal::UnknownSession)).transpose()?;
    if let Some(sid) = sid.filter(|sid| sid.node() != transports.peers.this()) {
        return forward::forward(served, request, transport, sid).await;
    }
    match (transport, sid) {
        (TransportKind::WebSocket, Some(sid)) => upgrade(served, request, sid).await,
        (TransportKind::WebSocket, None) => {
            let accept = websocket::accept(request.headers())?;
            let opening = admit(served, &request, &parameters, transport).await?;
            Ok(websocket::open(served, request, accept, opening))
        }
        (TransportKind::Polling, Some(sid)) => {
            let call = polling(request, parameters, transports.max_payload).await?;
            owner::call(&served.worker, transports, sid, call).await
        }
        (TransportKind::Polling, None) => {
            let opening = admit(served, &request, &parameters, transport).await?;
            let connection = served.worker.open_polling(opening);
            let open = connection.poll(None).await.map_err(|_| Refusal::UnknownSession)?;
            Ok(answer::payload(open, parameters.callback))
        }
    }
}

/// A new session, if the limits allow it.
async fn admit(
    served: &Rc<Served>,
    request: &Request<Incoming>,
    parameters: &Parameters,
    transport: TransportKind,
) -> Result<Opening, Refusal> {
    if request.method() != Method::GET {
        return Err(Refusal::BadMethod);
    }
    let is_served = |version: &Version| !version.is_legacy() || served.transports.public.legacy.enabled;
    let version = parameters.version.filter(is_served).ok_or(Refusal::UnsupportedVersion)?;
    let slot = served.transports.admission.admit(version).await?;
    let client = client_ip(served.peer, request.headers(), &served.transports.public.trusted_proxies);
    let handshake = handshake(&served.transports, request);
    let query = request.uri().query().unwrap_or_default().into();
    let format = parameters.format(transport);
    Ok(Opening { version, format, client, query, handshake, slots: (slot, None) })
}

/// What of the request some namespace may ask for later.
fn handshake(transports: &Transports, request: &Request<Incoming>) -> Option<Box<Handshake>> {
    let (needs, headers) = (&transports.needs, request.headers());
    if *needs == HandshakeNeeds::default() && !transports.path.has_values() {
        return None;
    }
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let bearer = text(header::AUTHORIZATION).filter(|_| needs.authorization).and_then(auth::bearer);
    let values = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let needed = |name: &str| needs.cookies.iter().any(|cookie| **cookie == *name);
    let cookies = values.flat_map(auth::cookies).filter(|(name, _)| needed(name));
    Some(Box::new(Handshake {
        bearer: bearer.map(Box::from),
        cookies: cookies.map(|(name, value)| (name.into(), value.into())).collect(),
        path: transports.path.values(request.uri().path()),
    }))
}

async fn upgrade(served: &Rc<Served>, request: Request<Incoming>, sid: Token) -> Result<Answer, Refusal> {
    let transports = &served.transports;
    if !transports.public.upgrades {
        return Err(Refusal::BadRequest);
    }
    let accept = websocket::accept(request.headers());
    let answer = owner::call(&served.worker, transports, sid, Call::Upgrade(accept)).await?;
    websocket::upgrade(transports, hyper::upgrade::on(request), sid, served.slot.take()).await;
    Ok(answer)
}

/// What a polling request asks of its session.
pub(super) async fn polling<B: Body>(
    request: Request<B>,
    parameters: Parameters,
    max_payload: usize,
) -> Result<Call, Refusal>
where
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    match *request.method() {
        Method::GET => Ok(Call::Poll(parameters.t, parameters.callback)),
        Method::POST => match Limited::new(request.into_body(), max_payload).collect().await {
            Ok(body) => Ok(Call::Post(body.to_bytes())),
            Err(error) if error.is::<LengthLimitError>() => Err(Refusal::TooLarge),
            Err(_) => Err(Refusal::BadRequest),
        },
        _ => Err(Refusal::BadRequest),
    }
}

/// The goodbye of the oldest clients, when their page is left; a session that
/// has ended is none to complain of.
pub(super) async fn farewell(served: &Rc<Served>, sid: &str) -> Answer {
    let transports = &served.transports;
    if let Some(sid) = Token::parse(sid) {
        let told = if sid.node() == transports.peers.this() {
            owner::call(&served.worker, transports, sid, Call::Farewell).await
        } else {
            forward::say_farewell(served, sid).await
        };
        if let Err(refusal) = told {
            transports.admission.refused(refusal);
        }
    }
    answer::farewell()
}

/// What a browser asks before it sends a request to another origin.
fn preflight(headers: &HeaderMap) -> Answer {
    let mut answer = answer::answer(StatusCode::NO_CONTENT, "text/plain", Bytes::new());
    let allowed = answer.headers_mut();
    allowed.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
    if let Some(asked) = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        allowed.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    allowed.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    answer
}
