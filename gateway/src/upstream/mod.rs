//! Client events -> backend: HTTP requests to who decides what they mean.
//!
//! [`Backends::new`] makes an [`Upstream`] for each distinct backend of the
//! configuration. The session calls [`Upstream::call`] for a client's event,
//! [`Upstream::authorize`] where a rule asks, [`Upstream::authenticate`] at
//! CONNECT; whoever has a notice calls [`Upstream::tell`]. `docs/upstream.md`
//! is what authors of backends read.
//!
//! A request's way: `request` (JSON) -> `gate` (is the backend worth asking,
//! and is there a place) -> `signature` -> `fetch` -> `answer` (JSON to what
//! the session can do). `circuit` and `cache` are pure.
//!
//! Invariants:
//! - A request ends by its deadline, whatever the backend does: the wait for a
//!   place, the connection, further attempts and the answer are in it.
//! - A request is sent again only if nothing of it was sent, and under the
//!   same id. What may have been carried out is an error.
//! - An answer is taken as a whole or not at all.
//! - No more requests than configured are under way or wait.
//!
//! Failures: [`UpstreamError`] has a code for the client. A backend that fails
//! again and again is left alone for a while (`circuit`).

mod answer;
mod cache;
mod circuit;
mod error;
mod gate;
mod metrics;
mod request;
mod setup;
mod signature;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri};
use tokio::time::Instant;

use crate::auth::{AuthError, Identity, UnixSeconds};
use crate::fetch::{Client, FetchError};
use crate::message::{NamespaceId, Room, Token};
use crate::trace::Span;

use answer::BadAnswer;
use cache::Cache;
use circuit::Outcome;
use gate::Gate;
use request::Kind;

pub use answer::{Acked, Answer, Leave, MAX_LISTED, Refusal};
pub use error::{SetupError, UpstreamError};
pub use metrics::UpstreamMetrics;
pub use request::{Authenticate, Authorize, Call, Notice, NoticeKind, Reason, Sender};
pub use setup::Backends;

/// Waits before what was not sent is tried again.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(250)];

/// Verdicts kept for each backend.
const MAX_VERDICTS: usize = 10_000;

/// One backend, as this node sees it.
pub struct Upstream {
    url: Uri,
    /// The URL in logs: host and path.
    name: String,
    secret: Box<[u8]>,
    timeout: Duration,
    max_answer: usize,
    client: Client,
    gate: Gate,
    verdicts: Mutex<Cache<Question, bool>>,
    metrics: UpstreamMetrics,
}

/// What a verdict is kept for.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Question {
    namespace: NamespaceId,
    user: Arc<str>,
    event: Box<str>,
    room: Option<Room>,
}

/// Whether a request that was not sent is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempts {
    One,
    UntilSent,
}

impl Upstream {
    /// Sends a client's event. It was carried out at most once.
    ///
    /// # Errors
    /// When there is no answer that can be used; it may have been carried out
    /// then.
    pub async fn call(&self, call: Call<'_>) -> Result<Answer, UpstreamError> {
        let id = Token::random();
        let body = call.json(id.as_str());
        let sender = call.sender;
        self.ask(Kind::Event, Attempts::UntilSent, body, call.span, |answer| {
            let body = of_success(answer)?;
            answer::answer(body, sender.namespace, sender.socket).map_err(|error| self.bad(&error))
        })
        .await
    }

    /// Tells that a client has come or gone, once. The backend may have
    /// understood what is an error here: who tells it again uses the same id.
    ///
    /// # Errors
    /// When there is no answer that can be used.
    pub async fn tell(&self, notice: Notice<'_>) -> Result<Answer, UpstreamError> {
        let sender = notice.sender;
        self.ask(notice.kind(), Attempts::One, notice.json(), notice.span, |answer| {
            let body = of_success(answer)?;
            answer::answer(body, sender.namespace, sender.socket).map_err(|error| self.bad(&error))
        })
        .await
    }

    /// Asks whether a client may do what it wants, or remembers.
    ///
    /// # Errors
    /// When there is no answer that can be used; that is not remembered.
    pub async fn authorize(&self, question: Authorize<'_>) -> Result<bool, UpstreamError> {
        let kept = Question::of(&question);
        if let Some(kept) = &kept
            && let Some(verdict) = self.verdicts().get(kept, Instant::now())
        {
            return Ok(verdict);
        }
        let body = question.json(Token::random().as_str());
        let asked = self.ask(Kind::Authorize, Attempts::UntilSent, body, question.span, |answer| {
            answer::verdict(of_success(answer)?).map_err(|error| self.bad(&error))
        });
        let verdict = asked.await?;
        if let Some(kept) = kept {
            self.verdicts().insert(kept, verdict, question.cache, Instant::now());
        }
        Ok(verdict)
    }

    /// Asks who a client is. Whether the identity has expired is the caller's
    /// to see.
    ///
    /// # Errors
    /// `Rejected` when the backend says so, by 401 or 403; everything else is
    /// `Unavailable`.
    pub async fn authenticate(&self, question: Authenticate<'_>) -> Result<Identity, AuthError> {
        let body = question.json(Token::random().as_str());
        let asked = self.ask(Kind::Authenticate, Attempts::UntilSent, body, question.span, |answer| {
            if matches!(answer.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
                return Ok(Err(rejected(answer.body())));
            }
            answer::identity(of_success(answer)?).map(Ok).map_err(|error| self.bad(&error))
        });
        asked.await.unwrap_or(Err(AuthError::Unavailable))
    }

    /// Sends a request, and reads its answer.
    async fn ask<T>(
        &self,
        kind: Kind,
        attempts: Attempts,
        body: Bytes,
        asked_for: Option<&Span>,
        read: impl FnOnce(&Response<Bytes>) -> Result<T, UpstreamError>,
    ) -> Result<T, UpstreamError> {
        let start = Instant::now();
        let span = asked_for.map(|above| above.upstream(kind.label(), &self.name));
        let answer = self.exchange(attempts, body, span.as_ref(), start + self.timeout).await;
        let outcome = answer.and_then(|answer| read(&answer));
        self.metrics.called(kind, &outcome, start.elapsed());
        if let Some(span) = span {
            span.came_to(metrics::result(&outcome), outcome.is_ok());
        }
        outcome
    }

    async fn exchange(
        &self,
        attempts: Attempts,
        body: Bytes,
        span: Option<&Span>,
        deadline: Instant,
    ) -> Result<Response<Bytes>, UpstreamError> {
        let pass = self.gate.pass(deadline).await?;
        let answer = self.send(attempts, body, span, deadline).await;
        pass.report(match &answer {
            Ok(answer) if answer.status().is_server_error() => Outcome::Failed,
            // it is there, though it says too much
            Ok(_) | Err(FetchError::TooLarge) => Outcome::Answered,
            Err(FetchError::NotSent(_) | FetchError::TimedOut | FetchError::Failed(_)) => Outcome::Failed,
        });
        answer.map_err(|error| {
            tracing::debug!(backend = self.name, %error, "no answer of the backend");
            UpstreamError::from(&error)
        })
    }

    async fn send(
        &self,
        attempts: Attempts,
        body: Bytes,
        span: Option<&Span>,
        deadline: Instant,
    ) -> Result<Response<Bytes>, FetchError> {
        let pauses: &[Duration] = match attempts {
            Attempts::One => &[],
            Attempts::UntilSent => &PAUSES,
        };
        for pause in pauses {
            let sent = self.client.send(self.request(body.clone(), span), deadline, self.max_answer).await;
            if !matches!(sent, Err(FetchError::NotSent(_))) || Instant::now() + *pause >= deadline {
                return sent;
            }
            tokio::time::sleep(*pause).await;
        }
        self.client.send(self.request(body, span), deadline, self.max_answer).await
    }

    fn request(&self, body: Bytes, span: Option<&Span>) -> Request<Bytes> {
        let (timestamp, signature) = signature::sign(&self.secret, UnixSeconds::now(), &body);
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(signature::TIMESTAMP, timestamp);
        headers.insert(signature::SIGNATURE, signature);
        if let Some(span) = span {
            span.context().write_to(headers);
        }
        request
    }

    fn bad(&self, error: &BadAnswer) -> UpstreamError {
        tracing::warn!(backend = self.name, %error, "the backend's answer cannot be used");
        UpstreamError::BadAnswer
    }

    fn verdicts(&self) -> std::sync::MutexGuard<'_, Cache<Question, bool>> {
        self.verdicts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Question {
    /// `None`: the answer is not to be kept.
    fn of(question: &Authorize<'_>) -> Option<Self> {
        let user = question.sender.identity.user.clone()?;
        (!question.cache.is_zero()).then(|| Question {
            namespace: question.sender.namespace.id,
            user,
            event: question.event.into(),
            room: question.room.cloned(),
        })
    }
}

/// The body of an answer that is one.
fn of_success(answer: &Response<Bytes>) -> Result<&[u8], UpstreamError> {
    if answer.status().is_success() { Ok(answer.body()) } else { Err(UpstreamError::Status(answer.status().as_u16())) }
}

fn rejected(body: &[u8]) -> AuthError {
    match answer::refusal(body) {
        Some(Refusal { code, message }) => AuthError::Rejected { code, message },
        None => AuthError::Rejected { code: "rejected".to_owned(), message: "authentication was refused".to_owned() },
    }
}
