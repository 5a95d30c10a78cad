//! A request for a session that another worker owns is carried out there.

use std::future::Future;
use std::rc::Rc;

use bytes::Bytes;
use http::HeaderValue;
use tokio::sync::oneshot;

use crate::message::Token;
use crate::protocol::legacy::jsonp::Callback;
use crate::session::{Connection, PollError, Worker};

use super::admission::Refusal;
use super::answer::{self, Answer};
use super::{Transports, websocket};

/// What a request asks of its session.
#[derive(Debug)]
pub(super) enum Call {
    /// A GET with its `t`, answered as a script for a callback.
    Poll(Option<String>, Option<Callback>),
    /// A POST with its body.
    Post(Bytes),
    /// The client goes.
    Farewell,
    /// A WebSocket that would take over, with the answer to its key.
    Upgrade(Result<HeaderValue, Refusal>),
}

/// Carries the call out at the worker that the session id names.
pub(super) async fn call(
    worker: &Rc<Worker>,
    transports: &Transports,
    sid: Token,
    call: Call,
) -> Result<Answer, Refusal> {
    let carry_out = move |connection| carry_out(connection, call);
    if sid.first() != worker.index {
        return at_worker(transports, sid, carry_out).await.ok_or(Refusal::UnknownSession)?;
    }
    carry_out(worker.connection(&sid).ok_or(Refusal::UnknownSession)?).await
}

/// The same from a thread that is no worker's.
pub(super) async fn call_from_outside(transports: &Transports, sid: Token, call: Call) -> Result<Answer, Refusal> {
    let carry_out = move |connection| carry_out(connection, call);
    at_worker(transports, sid, carry_out).await.ok_or(Refusal::UnknownSession)?
}

async fn carry_out(connection: Rc<Connection>, call: Call) -> Result<Answer, Refusal> {
    let outcome = match call {
        Call::Poll(t, callback) => connection.poll(t.as_deref()).await.map(|answer| answer::payload(answer, callback)),
        Call::Post(body) => connection.post(body).await.map(|()| answer::taken()),
        Call::Farewell => {
            connection.say_farewell();
            return Ok(answer::farewell());
        }
        Call::Upgrade(accept) => {
            return if connection.may_upgrade() { accept.map(websocket::switching) } else { Err(Refusal::BadRequest) };
        }
    };
    outcome.map_err(|error| match error {
        PollError::WrongTransport | PollError::Overlap | PollError::BadPayload => Refusal::BadRequest,
        PollError::Closed => Refusal::UnknownSession,
    })
}

/// Runs something on a session's own worker; `None` when there is no such
/// session. Dropped, it is dropped there too.
async fn at_worker<T, F>(
    transports: &Transports,
    sid: Token,
    run: impl FnOnce(Rc<Connection>) -> F + Send + 'static,
) -> Option<T>
where
    T: Send + 'static,
    F: Future<Output = T> + 'static,
{
    let (mut answer, outcome) = oneshot::channel();
    let run = move |connection| async move {
        let outcome = tokio::select! {
            biased;
            // first, so that it has begun when it is given up
            outcome = run(connection) => outcome,
            () = answer.closed() => return,
        };
        // who asked may have gone just now
        let _ = answer.send(outcome);
    };
    hand_over(transports, sid, run).await;
    outcome.await.ok()
}

/// Starts something on a session's own worker; if there is no such session,
/// it is dropped.
pub(super) async fn hand_over<F>(
    transports: &Transports,
    sid: Token,
    run: impl FnOnce(Rc<Connection>) -> F + Send + 'static,
) where
    F: Future<Output = ()> + 'static,
{
    let there = Box::new(move |worker: &Rc<Worker>| {
        if let Some(connection) = worker.connection(&sid) {
            worker.tasks.spawn_local(run(connection));
        }
    });
    if let Some(worker) = transports.workers.get(sid.first()) {
        // a worker that has ended has no sessions
        let _ = worker.intake.send(there).await;
    }
}
