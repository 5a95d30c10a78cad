//! A request for a session that another worker owns is carried out there.

use std::future::Future;
use std::rc::Rc;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::message::Token;
use crate::session::{Connection, PollError, Worker};

use super::Transports;
use super::admission::Refusal;

/// What a polling request asks of its session.
#[derive(Debug)]
pub(super) enum Call {
    /// A GET with its `t`.
    Poll(Option<String>),
    /// A POST with its body.
    Post(Bytes),
    /// Whether a WebSocket may take over.
    MayUpgrade,
}

/// Carries the call out at the worker that the session id names.
pub(super) async fn call(
    worker: &Rc<Worker>,
    transports: &Transports,
    sid: Token,
    call: Call,
) -> Result<Bytes, Refusal> {
    on_owner(worker, transports, sid, move |connection| carry_out(connection, call))
        .await
        .ok_or(Refusal::UnknownSession)?
}

async fn carry_out(connection: Rc<Connection>, call: Call) -> Result<Bytes, Refusal> {
    let outcome = match call {
        Call::Poll(t) => connection.poll(t.as_deref()).await,
        Call::Post(body) => connection.post(body).await.map(|()| Bytes::new()),
        Call::MayUpgrade => {
            return if connection.may_upgrade() { Ok(Bytes::new()) } else { Err(Refusal::BadRequest) };
        }
    };
    outcome.map_err(|error| match error {
        PollError::WrongTransport | PollError::Overlap | PollError::BadPayload => Refusal::BadRequest,
        PollError::Closed => Refusal::UnknownSession,
    })
}

/// Runs something on a session's own worker; `None` when there is no such
/// session. Dropped, it is dropped there too.
pub(super) async fn on_owner<T, F>(
    worker: &Rc<Worker>,
    transports: &Transports,
    sid: Token,
    run: impl FnOnce(Rc<Connection>) -> F + Send + 'static,
) -> Option<T>
where
    T: Send + 'static,
    F: Future<Output = T> + 'static,
{
    let owner = sid.first();
    if owner == worker.index {
        let connection = worker.connection(&sid)?;
        return Some(run(connection).await);
    }
    let (mut answer, outcome) = oneshot::channel();
    let there = Box::new(move |worker: &Rc<Worker>| {
        let Some(connection) = worker.connection(&sid) else { return };
        worker.tasks.spawn_local(async move {
            let outcome = tokio::select! {
                biased;
                // first, so that it has begun when it is given up
                outcome = run(connection) => outcome,
                () = answer.closed() => return,
            };
            // who asked may have gone just now
            let _ = answer.send(outcome);
        });
    });
    transports.workers.get(owner)?.intake.send(there).await.ok()?;
    outcome.await.ok()
}
