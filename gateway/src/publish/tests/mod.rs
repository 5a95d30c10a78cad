//! The API against a fake adapter that records what reaches it.

mod batch;
mod document;
mod edge;
mod events;
mod presence;
mod revoke;
mod sockets;
mod trace;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::adapter::inspect::{Inquiry, Inspected};
use crate::adapter::{
    Adapter, Attached, Attention, Claim, Ending, NewSession, Notice, NoticeId, Operation, Present, PublishError,
    Published, Range, ReadError, ReadLimit, Refresh, Report, Revocation, RoomChange, SessionKey, TakeOverError,
    TakenOver, TokenFacts, Unavailable, WriteError,
};
use crate::config::ApiKey;
use crate::message::{
    Acknowledgement, Acks, Draft, Epoch, Message, NamespaceId, NamespaceRef, Namespaces, Offset, Position, Room,
    SocketId, Token,
};
use crate::trace::Tracer;

use super::{ApiKeys, PublishMetrics, PublishState, router};

/// A valid socket id.
const SID: &str = "abcdefghijklmnopqrst";

/// The id of everything that the fake logs.
const ID: &str = "1deadbeef-1000-7";

#[derive(Default)]
struct Fake {
    drafts: Mutex<Vec<Draft>>,
    /// Sizes of the batches.
    batches: Mutex<Vec<usize>>,
    timeouts: Mutex<Vec<Duration>>,
    operations: Mutex<Vec<Operation>>,
    report: Mutex<Option<Report>>,
    revocations: Mutex<Vec<Revocation>>,
    present: Mutex<Option<Present>>,
    /// Rooms and limits that presence was asked for.
    looks: Mutex<Vec<(Room, usize)>>,
}

fn id() -> Offset {
    ID.parse().unwrap()
}

#[async_trait]
impl Adapter for Fake {
    async fn publish(&self, batch: Vec<Draft>) -> Vec<Result<Published, PublishError>> {
        self.batches.lock().unwrap().push(batch.len());
        let answer = |draft: &Draft| match draft.body.elements().as_ref() {
            br#""conflict""# => Err(PublishError::IdempotencyConflict),
            br#""down""# => Err(PublishError::Unavailable),
            br#""lost""# => Err(PublishError::OutcomeUnknown),
            br#""again""# => Ok(Published { offset: draft.is_recoverable().then(id), duplicate: true }),
            _ => Ok(Published { offset: draft.is_recoverable().then(id), duplicate: false }),
        };
        let answers = batch.iter().map(answer).collect();
        self.drafts.lock().unwrap().extend(batch);
        answers
    }

    async fn publish_with_ack(&self, draft: Draft, timeout: Duration) -> Result<Acks, PublishError> {
        self.timeouts.lock().unwrap().push(timeout);
        self.drafts.lock().unwrap().push(draft);
        let args = serde_json::from_str(r#"[1,{"$binary":"AQ=="}]"#).unwrap();
        let answers = vec![Acknowledgement { socket: SocketId(Token::parse(SID).unwrap()), args }];
        Ok(Acks { expected: 2, answers, complete: false })
    }

    async fn operate(&self, operation: Operation) -> Result<Report, Unavailable> {
        self.operations.lock().unwrap().push(operation);
        self.report.lock().unwrap().take().ok_or(Unavailable)
    }

    async fn subscribe(&self, _: &NamespaceRef, _: &[Room]) -> Result<(), Unavailable> {
        Err(Unavailable)
    }

    fn unsubscribe(&self, _: &NamespaceRef, _: &[Room]) {}

    async fn inspect(&self, _: Inquiry) -> Result<Vec<Inspected>, Unavailable> {
        unreachable!("not of this API")
    }

    async fn head(&self) -> Result<Offset, Unavailable> {
        Err(Unavailable)
    }

    fn offset(&self, position: Position) -> Offset {
        Offset { position, ..id() }
    }

    async fn read(
        &self,
        _: NamespaceId,
        _: Epoch,
        _: &[Range],
        _: ReadLimit,
    ) -> Result<Vec<Vec<Arc<Message>>>, ReadError> {
        Err(Unavailable.into())
    }

    async fn open_session(&self, _: NewSession) -> Result<Offset, WriteError> {
        unreachable!("the publish API opens no sessions")
    }

    async fn take_over(&self, _: Claim) -> Result<TakenOver, TakeOverError> {
        unreachable!("the publish API takes no sessions over")
    }

    async fn restore_session(&self, _: SessionKey, _: NewSession) -> Result<(), WriteError> {
        unreachable!("the publish API writes no sessions")
    }

    async fn attach(&self, _: SessionKey, _: u64) -> Result<Attached, WriteError> {
        unreachable!("the publish API attaches to no sessions")
    }

    async fn change_rooms(&self, _: SessionKey, _: RoomChange) -> Result<Offset, WriteError> {
        unreachable!("the publish API changes no sessions")
    }

    async fn refresh(&self, _: Vec<Refresh>) -> Result<Vec<(Refresh, Attention)>, Unavailable> {
        Err(Unavailable)
    }

    async fn detach(&self, _: Refresh) -> Result<(), Unavailable> {
        Err(Unavailable)
    }

    async fn end_session(&self, _: SessionKey, _: Ending) -> Result<(), Unavailable> {
        Err(Unavailable)
    }

    async fn notices(&self) -> Vec<Notice> {
        std::future::pending().await
    }

    async fn settle(&self, _: &[NoticeId]) {}

    async fn recent(&self, _: NamespaceId, _: &Range, _: usize) -> Result<Vec<Arc<Message>>, Unavailable> {
        Err(Unavailable)
    }

    async fn presence(&self, _: &NamespaceRef, room: &Room, most: usize) -> Result<Present, Unavailable> {
        self.looks.lock().unwrap().push((room.clone(), most));
        self.present.lock().unwrap().take().ok_or(Unavailable)
    }

    async fn revoke(&self, revocation: Revocation) -> Result<Report, Unavailable> {
        self.revocations.lock().unwrap().push(revocation);
        let report = self.report.lock().unwrap().as_ref().map(|it| Report { sockets: Vec::new(), ..*it });
        report.ok_or(Unavailable)
    }

    async fn is_revoked(&self, _: &NamespaceRef, _: &TokenFacts<'_>) -> Result<bool, Unavailable> {
        Ok(false)
    }

    fn is_ready(&self) -> bool {
        true
    }

    async fn run(&self, _: CancellationToken) {}
}

/// The API with `/` (recovery) and `/plain` (none), bodies of at most 64 KiB.
struct Bench {
    fake: Arc<Fake>,
    router: Router,
    registry: prometheus::Registry,
}

struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Bench {
    fn new() -> Self {
        Self::with_keys(&[])
    }

    fn with_keys(keys: &[ApiKey]) -> Self {
        Self::with(keys, Tracer::default())
    }

    fn with(keys: &[ApiKey], tracer: Tracer) -> Self {
        let fake = Arc::new(Fake::default());
        let registry = prometheus::Registry::new();
        let state = PublishState {
            adapter: Arc::clone(&fake) as Arc<dyn Adapter>,
            namespaces: Namespaces::new([("/", true), ("/plain", false)]),
            keys: ApiKeys::new(keys),
            max_body: 64 << 10,
            metrics: PublishMetrics::new(&registry).unwrap(),
            tracer,
        };
        Bench { fake, router: router(state), registry }
    }

    async fn send(&self, request: Request<Body>) -> Reply {
        let (head, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Reply { status: head.status, headers: head.headers, text }
    }

    async fn post(&self, path: &str, json: impl Into<String>) -> Reply {
        self.send(post(path, &[], json)).await
    }

    async fn get(&self, path: &str) -> Reply {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// The drafts that reached the adapter since this was last asked.
    fn drafts(&self) -> Vec<Draft> {
        std::mem::take(&mut self.fake.drafts.lock().unwrap())
    }

    fn metrics(&self) -> String {
        prometheus::TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap()
    }
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {}", self.text))
    }

    fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap().to_owned()
    }

    fn message(&self) -> String {
        self.json()["error"]["message"].as_str().unwrap().to_owned()
    }

    /// It is refused so, and the message holds `says`.
    #[track_caller]
    fn assert_refused(&self, status: u16, code: &str, says: &str) {
        assert_eq!((self.status.as_u16(), self.code().as_str()), (status, code), "{}", self.text);
        let message = self.message();
        assert!(message.contains(says), "`{says}` is not in `{message}`");
        assert!(message.starts_with(|c: char| !c.is_uppercase()) && !message.ends_with('.'), "{message}");
    }
}

fn post(path: &str, headers: &[(&str, &str)], json: impl Into<String>) -> Request<Body> {
    let mut request = Request::post(path).header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::from(json.into())).unwrap()
}

fn named(name: &str) -> Room {
    Room::named(name).unwrap()
}

fn socket() -> Room {
    Room::Socket(SocketId(Token::parse(SID).unwrap()))
}
