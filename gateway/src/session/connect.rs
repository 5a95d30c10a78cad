//! CONNECT: a client joins a namespace, as a new socket or as one that comes
//! back.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Map, Value, json};
use smallvec::smallvec;

use crate::adapter::{
    Claim, Claimant, Ending, NewSession, ReadError, RoomChange, SessionKey, TakeOverError, TakenOver, WriteError,
};
use crate::auth::{AuthError, Identity};
use crate::config::{History, OnRecovery};
use crate::message::{Draft, Offset, Position, PrivateId, Room, SocketId, Token};
use crate::policy::{Context, NamespacePolicy, Verdict};
use crate::protocol::packet::Hello;
use crate::protocol::reply::Reply;
use crate::protocol::{Body, Frames};
use crate::rooms::Recipient;
use crate::trace::Span;

use super::ask::{Asking, Unanswered};
use super::close::Close;
use super::connection::Connection;
use super::cut::{CutError, resume_from};
use super::entry::Shown;
use super::metrics::Recovery;
use super::namespace::NamespaceRules;
use super::socket::{Socket, kept};
use super::standing::{Standing, has_ended};
use super::{backend, rights};

/// Joins the namespace or refuses it; the client is told either way, unless
/// the reason will pass: then the transport closes, and the client comes back.
pub(super) async fn connect(connection: Rc<Connection>, namespace: String, hello: Hello) {
    let shared = Arc::clone(&connection.worker.shared);
    let Some(rules) = shared.namespaces.iter().find(|rules| *rules.namespace.name == *namespace) else {
        return refuse(&connection, &namespace, "Invalid namespace", None);
    };
    if connection.sockets.borrow().len() >= shared.limits.max_namespaces {
        let data = json!({ "code": "too_many_namespaces" });
        return refuse(&connection, &namespace, "too many namespaces on one connection", Some(data));
    }
    let (mut auth, query) = match hello {
        Hello::Auth(auth) => (auth, None),
        Hello::Nothing => (Value::Object(Map::new()), None),
        // the first of a name counts
        Hello::Query(query) => (Value::Object(Map::new()), Some(format!("{query}&{}", connection.query))),
    };
    let earlier = Earlier::take(&mut auth);
    let span = shared.tracer.connect(rules.namespace.id.0);
    let attempt = Attempt { connection: &connection, rules, auth: &auth, query: query.as_deref(), span: span.as_ref() };
    let outcome = attempt.run(earlier).await;
    if let (Some(span), Err(failure)) = (&span, &outcome) {
        span.refused(failure.label());
    }
    match outcome {
        Ok(()) => {}
        Err(Failure::Refuse { message, data }) => refuse(&connection, &namespace, &message, Some(data)),
        Err(Failure::Unauthorized(error)) => attempt.refuse_entry(&error),
        Err(Failure::Close(close)) => connection.close(close),
    }
}

fn refuse(connection: &Rc<Connection>, namespace: &str, message: &str, data: Option<Value>) {
    connection.worker.shared.metrics.connect_refused();
    connection.enqueue(Reply::Refused { message, data }.encode(namespace, connection.format.get()));
}

/// What a client shows of an earlier session. The stock client puts it into
/// the payload, next to the application's own.
struct Earlier {
    pid: Option<Value>,
    offset: Option<Value>,
}

impl Earlier {
    fn take(auth: &mut Value) -> Self {
        match auth.as_object_mut() {
            Some(map) => {
                // what is undefined comes as null from a msgpack client
                let mut take = |key| map.shift_remove(key).filter(|value| !value.is_null());
                Earlier { pid: take("pid"), offset: take("offset") }
            }
            None => Earlier { pid: None, offset: None },
        }
    }
}

enum Failure {
    /// CONNECT_ERROR: the stock client stays away.
    Refuse { message: String, data: Value },
    /// The same, or what the configuration says in its place.
    Unauthorized(AuthError),
    /// The stock client comes back.
    Close(Close),
}

impl Failure {
    fn refuse(code: &str, message: impl ToString) -> Self {
        Failure::Refuse { message: message.to_string(), data: json!({ "code": code }) }
    }

    /// Why a trace says that it is.
    fn label(&self) -> &'static str {
        match self {
            Failure::Refuse { .. } => "refused",
            Failure::Unauthorized(_) => "unauthorized",
            Failure::Close(_) => "unavailable",
        }
    }

    /// How a recovery that came to this is counted.
    fn of_recovery(&self) -> Recovery {
        match self {
            Failure::Refuse { .. } | Failure::Unauthorized(_) => Recovery::Unauthorized,
            Failure::Close(_) => Recovery::Unavailable,
        }
    }
}

impl From<CutError> for Failure {
    fn from(error: CutError) -> Self {
        Failure::Close(error.close())
    }
}

impl From<AuthError> for Failure {
    fn from(error: AuthError) -> Self {
        if error.is_transient() { Failure::Close(Close::Unavailable) } else { Failure::Unauthorized(error) }
    }
}

/// What cannot be told now may be told when the client comes again.
impl From<Unanswered> for Failure {
    fn from(_: Unanswered) -> Self {
        Failure::Close(Close::Unavailable)
    }
}

struct Attempt<'a> {
    connection: &'a Rc<Connection>,
    rules: &'a NamespaceRules,
    auth: &'a Value,
    /// In place of the connection's.
    query: Option<&'a str>,
    span: Option<&'a Span>,
}

impl Attempt<'_> {
    async fn run(&self, earlier: Earlier) -> Result<(), Failure> {
        let metrics = &self.connection.worker.shared.metrics;
        let mut identity = None;
        if let Some(pid) = earlier.pid.filter(|_| self.rules.namespace.recovery) {
            if self.rules.entry.on_recovery == OnRecovery::Authenticate {
                identity = Some(self.authenticate().await?);
            }
            let began = Instant::now();
            let outcome = self.recover(&pid, earlier.offset, identity.as_ref()).await;
            metrics.recovered(outcome.as_ref().map_or_else(Failure::of_recovery, |outcome| *outcome), began.elapsed());
            if matches!(outcome?, Recovery::Recovered { .. }) {
                return Ok(());
            }
        }
        let identity = match identity {
            Some(identity) => identity,
            None => self.authenticate().await?,
        };
        self.open(&identity).await
    }

    async fn authenticate(&self) -> Result<Rc<Identity>, Failure> {
        let connection = self.connection;
        let shown = Shown {
            auth: self.auth,
            query: self.query(),
            handshake: connection.handshake(),
            client: connection.client,
            span: self.span,
        };
        Ok(Rc::new(self.rules.entry.authenticate(&self.rules.namespace, shown).await?))
    }

    /// Says why the client may not enter.
    fn refuse_entry(&self, error: &AuthError) {
        let (connection, namespace) = (self.connection, &self.rules.namespace);
        let data = json!({ "code": error.code(), "message": error.to_string() });
        let Some(event) = &self.rules.entry.failure_event else {
            return refuse(connection, &namespace.name, &error.to_string(), Some(json!({ "code": error.code() })));
        };
        connection.worker.shared.metrics.connect_refused();
        let format = connection.format.get();
        let sid = Token::random();
        connection.enqueue(Reply::Connected { sid: sid.as_str(), pid: None }.encode(&namespace.name, format));
        if let Ok(body) = Body::from_values(event, &[data]) {
            connection.enqueue(Frames::event(&namespace.name, &body, None, None).get(format));
        }
        connection.enqueue(Reply::Disconnected.encode(&namespace.name, format));
    }

    fn query(&self) -> &str {
        self.query.unwrap_or(&self.connection.query)
    }

    fn context<'a>(&'a self, identity: &'a Identity) -> Context<'a> {
        self.connection.context(self.auth, self.query(), identity)
    }

    fn policy(&self) -> &NamespacePolicy {
        &self.rules.policy
    }

    /// The rooms that a new socket joins, and those of whose past it is sent
    /// something.
    async fn rooms(&self, id: SocketId, identity: &Identity) -> Result<(Vec<Room>, Vec<(Room, History)>), Failure> {
        let context = self.context(identity);
        let mut pasts = Vec::new();
        let mut rooms = Vec::with_capacity(self.policy().join.len() + 3);
        if let Some(user) = identity.user.as_deref().filter(|_| self.rules.entry.user_room) {
            rooms.push(Room::user(user).map_err(|error| Failure::refuse("invalid_room", error))?);
        }
        for rule in &self.policy().join {
            let judged = rule.room.render(&context).and_then(|room| Ok((room, rule.judge(&context)?)));
            let (room, verdict) = match judged {
                Ok(judged) => judged,
                Err(_) if rule.optional => continue,
                Err(error) => return Err(Failure::refuse("invalid_room", error)),
            };
            let allowed = match verdict {
                Verdict::No => false,
                Verdict::If(questions) => {
                    let asking = Asking::at_connect(id, identity, self.span).by(None, Some(&room));
                    asking.all(self.connection, self.rules, &questions).await?
                }
            };
            if !allowed && !rule.optional {
                return Err(Failure::refuse("forbidden", "a room that is joined on connect is not allowed"));
            }
            if allowed && !rooms.contains(&room) {
                pasts.extend(rule.history.map(|history| (room.clone(), history)));
                rooms.push(room);
            }
        }
        Ok((rooms, pasts))
    }

    /// A new socket.
    async fn open(&self, identity: &Rc<Identity>) -> Result<(), Failure> {
        let id = self.new_id();
        let (mut rooms, pasts) = self.rooms(id, identity).await?;
        let key = self
            .rules
            .namespace
            .recovery
            .then(|| SessionKey { pid: PrivateId(Token::random()), generation: NewSession::GENERATION });
        let session = key.map(|key| NewSession {
            pid: key.pid,
            socket: id,
            namespace: self.rules.namespace.id,
            subject: identity.user.clone(),
            identity: kept(identity),
            watched: self.rules.watch,
            rooms: rooms.clone(),
        });
        rooms.extend([Room::All, Room::Socket(id)]);
        let socket = self.socket(id, key, Position::ZERO, identity);
        let cut = self.connection.worker.cut(&self.rules.namespace);
        let start = cut.open(&socket, &rooms, session).await?;
        if let Err(error) = self.check_revoked(identity).await {
            self.connection.remove_socket(&socket);
            if let Some(key) = key
                && self.connection.worker.shared.adapter.end_session(key, Ending::Backend).await.is_err()
            {
                return Err(Failure::Close(Close::Unavailable));
            }
            return Err(error);
        }
        self.connected(&socket);
        if let Some(start) = start {
            for (room, history) in pasts {
                cut.send_past(&socket, &room, start.position, history).await?;
            }
        }
        cut.release(&socket).await?;
        self.emit(&socket, identity).await?;
        backend::tell_connect(&socket, self.span).await;
        Ok(())
    }

    /// Old clients take the connection's id for that of their socket in `/`.
    fn new_id(&self) -> SocketId {
        let is_connection = self.connection.version.is_legacy() && *self.rules.namespace.name == *"/";
        SocketId(if is_connection { self.connection.id } else { Token::random() })
    }

    /// Asked when every node that revokes finds the socket in its rooms: what
    /// is revoked later is revoked there.
    async fn check_revoked(&self, identity: &Identity) -> Result<(), Failure> {
        let adapter = &*self.connection.worker.shared.adapter;
        Ok(self.rules.entry.check_revoked(adapter, &self.rules.namespace, identity).await?)
    }

    /// A socket that comes back, if its session allows it. `identity`: whom the
    /// client has shown to be, where it was asked to.
    async fn recover(
        &self,
        pid: &Value,
        offset: Option<Value>,
        identity: Option<&Rc<Identity>>,
    ) -> Result<Recovery, Failure> {
        let Some(pid) = pid.as_str().and_then(Token::parse).map(PrivateId) else { return Ok(Recovery::Unknown) };
        let offset = match offset.as_ref().map(|offset| offset.as_str().map(str::parse::<Offset>)) {
            None => None,
            Some(Some(Ok(offset))) => Some(offset),
            Some(_) => return Ok(Recovery::BadOffset),
        };
        let worker = &self.connection.worker;
        let subject = match identity.map(|identity| identity.user.clone()) {
            None => Claimant::Holder,
            Some(None) => Claimant::Nobody,
            Some(Some(user)) => Claimant::User(user),
        };
        let claim = Claim { pid, namespace: self.rules.namespace.id, subject };
        let taken = match worker.shared.adapter.take_over(claim).await {
            Ok(taken) => taken,
            Err(TakeOverError::Unknown) => return Ok(Recovery::Unknown),
            Err(TakeOverError::Foreign) => return Ok(Recovery::Foreign),
            Err(TakeOverError::Unavailable(_)) => return Err(Failure::Close(Close::Unavailable)),
        };
        let key = SessionKey { pid, generation: taken.generation };
        let Some(from) = resume_from(&taken, offset) else {
            return self.give_up(key, Recovery::Unknown).await;
        };
        let identity = match identity {
            Some(identity) => Rc::clone(identity),
            None => match self.trusted(&taken).await? {
                Some(identity) => identity,
                None => return Ok(Recovery::Foreign),
            },
        };
        let withdrawn = self.withdraw(key, &taken, &identity).await?;
        let socket = self.socket(taken.socket, Some(key), from, &identity);
        let cut = worker.cut(&self.rules.namespace);
        let missed = match cut.recover(&socket, key, taken, from, &withdrawn).await {
            Ok(missed) => missed,
            Err(error) => {
                let outcome = match error {
                    CutError::Read(ReadError::Trimmed) => Recovery::Trimmed,
                    CutError::Read(ReadError::TooMuch) => Recovery::TooMuch,
                    CutError::Ahead => Recovery::BadOffset,
                    CutError::Write(_) | CutError::Read(ReadError::Unavailable(_)) | CutError::Gone => {
                        return Err(error.into());
                    }
                };
                self.connection.remove_socket(&socket);
                return self.give_up(key, outcome).await;
            }
        };
        if let Err(error) = self.check_revoked(&identity).await {
            self.connection.remove_socket(&socket);
            // another token may recover it
            if let Some(refresh) = socket.refresh()
                && worker.shared.adapter.detach(refresh).await.is_err()
            {
                return Err(Failure::Close(Close::Unavailable));
            }
            return Err(error);
        }
        let replayed = missed.messages.len();
        self.connected(&socket);
        cut.replay(&socket, missed).await?;
        cut.release(&socket).await?;
        Ok(Recovery::Recovered { replayed })
    }

    /// Ends a session that cannot be recovered.
    async fn give_up(&self, key: SessionKey, outcome: Recovery) -> Result<Recovery, Failure> {
        let ended = self.connection.worker.shared.adapter.end_session(key, Ending::Lost).await;
        ended.map(|()| outcome).map_err(|_| Failure::Close(Close::Unavailable))
    }

    /// Who the holder of a session is, where that is trusted; who has a token
    /// that has ended must show another. `None`: it is somebody else's.
    async fn trusted(&self, taken: &TakenOver) -> Result<Option<Rc<Identity>>, Failure> {
        let identity = taken.identity.as_deref().and_then(Identity::from_text);
        match identity {
            Some(identity) if !has_ended(&identity, &self.rules.entry) => Ok(Some(Rc::new(identity))),
            None if self.rules.entry.is_open() => Ok(Some(Rc::new(Identity::nobody()))),
            Some(_) | None => {
                let identity = self.authenticate().await?;
                Ok((identity.user == taken.subject).then_some(identity))
            }
        }
    }

    /// Takes a session out of the rooms to which its client has no right any
    /// more, and keeps the identity that it shows now.
    async fn withdraw(&self, key: SessionKey, taken: &TakenOver, identity: &Identity) -> Result<Vec<Room>, Failure> {
        let rooms = taken.stays.memberships.iter().map(|stay| &stay.room);
        let asking = Asking::at_connect(taken.socket, identity, self.span);
        let withdrawn = rights::withdrawn(self.connection, self.rules, asking, &self.context(identity), rooms).await?;
        let shown = kept(identity).filter(|shown| taken.identity.as_ref() != Some(shown));
        if shown.is_some() || !withdrawn.is_empty() {
            let change = RoomChange { leave: withdrawn.clone(), identity: shown, ..RoomChange::default() };
            self.connection.worker.shared.adapter.change_rooms(key, change).await.map_err(|error| {
                Failure::Close(match error {
                    WriteError::Fenced => Close::Replaced,
                    WriteError::Full | WriteError::Unavailable(_) => Close::Unavailable,
                })
            })?;
        }
        Ok(withdrawn)
    }

    /// The socket is the connection's from here on, so that it is given back
    /// however the attempt ends.
    fn socket(&self, id: SocketId, key: Option<SessionKey>, from: Position, identity: &Rc<Identity>) -> Rc<Socket> {
        // a new token is judged by it as well
        let keeps = self.policy().keeps_auth || (self.policy().joins_by_auth && !self.rules.entry.is_open());
        let hello = match self.query {
            Some(query) => Hello::Query(query.into()),
            None if keeps => Hello::Auth(self.auth.clone()),
            None => Hello::Nothing,
        };
        let rate = self.rules.rates.connection(Instant::now());
        let standing = Standing::new(hello, Rc::clone(identity), rate, &self.rules.entry);
        let socket = Socket::new(id, self.rules.namespace.id, Rc::clone(self.connection), key, from, standing);
        self.connection.add_socket(Rc::clone(&socket));
        socket
    }

    /// CONNECT is answered; events may follow.
    fn connected(&self, socket: &Rc<Socket>) {
        self.connection.connected();
        let pid = socket.session.as_ref().map(|key| key.pid.0.as_str());
        let reply = Reply::Connected { sid: socket.id.0.as_str(), pid };
        self.connection.enqueue(reply.encode(&self.rules.namespace.name, self.connection.format.get()));
        socket.feed().borrow_mut().connected();
        // its token may end before the next ping
        self.connection.schedule();
    }

    async fn emit(&self, socket: &Rc<Socket>, identity: &Identity) -> Result<(), Failure> {
        if self.policy().emit.is_empty() {
            return Ok(());
        }
        let draft = |body| Draft {
            namespace: self.rules.namespace.clone(),
            rooms: smallvec![Room::Socket(socket.id)],
            except: Vec::new(),
            body,
            volatile: false,
            idempotency: None,
            trace: self.span.map(Span::context),
        };
        let context = self.context(identity);
        let bodies = self
            .policy()
            .emit
            .iter()
            .map(|emission| Body::from_values(&emission.event, &emission.args.render(&context)));
        // names were checked with the configuration
        let drafts: Vec<Draft> = bodies.filter_map(Result::ok).map(draft).collect();
        let published = self.connection.worker.shared.adapter.publish(drafts).await;
        match published.into_iter().find_map(Result::err) {
            None => Ok(()),
            Some(_) => Err(Failure::Close(Close::Unavailable)),
        }
    }
}
