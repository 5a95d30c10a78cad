//! Requests that other nodes forward, received on the internal listener.
//!
//! They are carried out here or not at all.

use axum::Router;
use axum::extract::{Request, State};
use axum::routing::any;
use http::StatusCode;

use crate::message::Token;
use crate::ops::Place;
use crate::peers::{self, BodyDigest};
use crate::protocol::engine::TransportKind;

use super::admission::Refusal;
use super::answer::{self, Answer};
use super::owner::{self, Call};
use super::request::Parameters;
use super::{Shared, engine, forward, websocket};

/// The route that other nodes use; without a fallback, so that it can be
/// merged with a router that has one.
pub fn router(transports: Shared) -> Router {
    Router::new().route(peers::PATH, any(receive)).with_state(transports)
}

async fn receive(State(transports): State<Shared>, request: Request) -> Answer {
    let Ok(digest) = transports.peers.verify(&request) else { return untrusted() };
    // a node holds a connection for each GET that waits: they must not crowd out the backends
    if let Some(place) = request.extensions().get::<Place>() {
        place.give_up();
    }
    let answer = carry_out(&transports, request, &digest).await;
    answer.unwrap_or_else(|refusal| {
        transports.admission.refused(refusal);
        answer::refusal(refusal)
    })
}

async fn carry_out(transports: &Shared, request: Request, digest: &BodyDigest) -> Result<Answer, Refusal> {
    let parameters = Parameters::parse(request.uri().query().unwrap_or_default());
    let sid = parameters.sid.as_deref().and_then(Token::parse).ok_or(Refusal::UnknownSession)?;
    // this node may have taken the place of the one that was meant
    if sid.node() != transports.peers.this() {
        return Err(Refusal::UnknownSession);
    }
    match parameters.transport.ok_or(Refusal::UnknownTransport)? {
        TransportKind::Polling => {
            let call = if request.method() == forward::FAREWELL {
                Call::Farewell
            } else {
                engine::polling(request, parameters, transports.max_payload).await?
            };
            match &call {
                Call::Post(body) if !digest.fits(body) => Ok(untrusted()),
                Call::Poll(..) | Call::Post(_) | Call::Farewell | Call::Upgrade(_) => {
                    owner::call_from_outside(transports, sid, call).await
                }
            }
        }
        TransportKind::WebSocket => {
            let accept = websocket::accept(request.headers());
            let answer = owner::call_from_outside(transports, sid, Call::Upgrade(accept)).await?;
            let slot = transports.workers.get(sid.first()).map(|worker| worker.streams.take());
            websocket::upgrade(transports, hyper::upgrade::on(request), sid, slot).await;
            Ok(answer)
        }
    }
}

fn untrusted() -> Answer {
    answer::answer(StatusCode::FORBIDDEN, "text/plain; charset=UTF-8", "not signed by a node of this deployment".into())
}
