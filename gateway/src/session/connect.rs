//! CONNECT: a client joins a namespace, as a new socket or as one that comes
//! back.

use std::rc::Rc;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use smallvec::smallvec;

use crate::adapter::{Claim, NewSession, ReadError, SessionKey, TakeOverError};
use crate::message::{Draft, Offset, Position, PrivateId, Room, SocketId, Token};
use crate::policy::{Context, NamespacePolicy};
use crate::protocol::Body;
use crate::protocol::reply::Reply;
use crate::rooms::Recipient;

use super::close::Close;
use super::connection::Connection;
use super::cut::{CutError, resume_from};
use super::metrics::Recovery;
use super::socket::Socket;
use super::worker::NamespaceRules;

/// Joins the namespace or refuses it; the client is told either way, unless
/// the reason will pass: then the transport closes, and the client comes back.
pub(super) async fn connect(connection: Rc<Connection>, namespace: String, auth: Option<Value>) {
    let shared = Arc::clone(&connection.worker.shared);
    let Some(rules) = shared.namespaces.iter().find(|rules| *rules.namespace.name == *namespace) else {
        return refuse(&connection, &namespace, "Invalid namespace", None);
    };
    if connection.sockets.borrow().len() >= shared.limits.max_namespaces {
        let data = json!({ "code": "too_many_namespaces" });
        return refuse(&connection, &namespace, "too many namespaces on one connection", Some(data));
    }
    let mut auth = auth.unwrap_or_else(|| Value::Object(Map::new()));
    let shown = Shown::take(&mut auth);
    let attempt = Attempt { connection: &connection, rules, auth: &auth };
    match attempt.run(shown).await {
        Ok(()) => {}
        Err(Failure::Refuse { message, data }) => refuse(&connection, &namespace, &message, Some(data)),
        Err(Failure::Close(close)) => connection.close(close),
    }
}

fn refuse(connection: &Rc<Connection>, namespace: &str, message: &str, data: Option<Value>) {
    connection.worker.shared.metrics.connect_refused();
    connection.enqueue(Reply::Refused { message, data }.encode(namespace, connection.format.get()));
}

/// What a client shows of an earlier session. The stock client puts it into
/// the payload, next to the application's own.
struct Shown {
    pid: Option<Value>,
    offset: Option<Value>,
}

impl Shown {
    fn take(auth: &mut Value) -> Self {
        match auth.as_object_mut() {
            Some(map) => {
                // what is undefined comes as null from a msgpack client
                let mut take = |key| map.shift_remove(key).filter(|value| !value.is_null());
                Shown { pid: take("pid"), offset: take("offset") }
            }
            None => Shown { pid: None, offset: None },
        }
    }
}

enum Failure {
    /// CONNECT_ERROR: the stock client stays away.
    Refuse { message: String, data: Value },
    /// The stock client comes back.
    Close(Close),
}

impl From<CutError> for Failure {
    fn from(error: CutError) -> Self {
        Failure::Close(error.close())
    }
}

struct Attempt<'a> {
    connection: &'a Rc<Connection>,
    rules: &'a NamespaceRules,
    auth: &'a Value,
}

impl Attempt<'_> {
    async fn run(&self, shown: Shown) -> Result<(), Failure> {
        let metrics = &self.connection.worker.shared.metrics;
        if let Some(pid) = shown.pid.filter(|_| self.rules.namespace.recovery) {
            let outcome = self.recover(&pid, shown.offset).await?;
            metrics.recovered(outcome);
            if matches!(outcome, Recovery::Recovered { .. }) {
                return Ok(());
            }
        }
        self.open().await
    }

    fn context(&self) -> Context<'_> {
        Context { auth: self.auth, query: &self.connection.query, args: &[] }
    }

    fn policy(&self) -> &NamespacePolicy {
        &self.rules.policy
    }

    /// A new socket.
    async fn open(&self) -> Result<(), Failure> {
        let mut rooms = Vec::with_capacity(self.policy().join.len() + 2);
        for template in &self.policy().join {
            let room = template.render(&self.context()).map_err(|error| Failure::Refuse {
                message: error.to_string(),
                data: json!({ "code": "invalid_room" }),
            })?;
            if !rooms.contains(&room) {
                rooms.push(room);
            }
        }
        let id = SocketId(Token::random());
        let key = self
            .rules
            .namespace
            .recovery
            .then(|| SessionKey { pid: PrivateId(Token::random()), generation: NewSession::GENERATION });
        let session = key.map(|key| NewSession {
            pid: key.pid,
            socket: id,
            namespace: self.rules.namespace.id,
            subject: None,
            rooms: rooms.clone(),
        });
        rooms.extend([Room::All, Room::Socket(id)]);
        let socket = self.socket(id, key, Position::ZERO);
        let cut = self.connection.worker.cut(&self.rules.namespace);
        cut.open(&socket, &rooms, session).await?;
        self.connected(&socket);
        cut.release(&socket).await?;
        self.emit(&socket).await
    }

    /// A socket that comes back, if its session allows it.
    async fn recover(&self, pid: &Value, offset: Option<Value>) -> Result<Recovery, Failure> {
        let Some(pid) = pid.as_str().and_then(Token::parse).map(PrivateId) else { return Ok(Recovery::Unknown) };
        let offset = match offset.as_ref().map(|offset| offset.as_str().map(str::parse::<Offset>)) {
            None => None,
            Some(Some(Ok(offset))) => Some(offset),
            Some(_) => return Ok(Recovery::BadOffset),
        };
        let worker = &self.connection.worker;
        let claim = Claim { pid, namespace: self.rules.namespace.id, subject: None };
        let taken = match worker.shared.adapter.take_over(claim).await {
            Ok(taken) => taken,
            Err(TakeOverError::Unknown) => return Ok(Recovery::Unknown),
            Err(TakeOverError::Foreign) => return Ok(Recovery::Foreign),
            Err(TakeOverError::Unavailable(_)) => return Err(Failure::Close(Close::Unavailable)),
        };
        let key = SessionKey { pid, generation: taken.generation };
        let Some(from) = resume_from(&taken, offset) else {
            let ended = worker.shared.adapter.end_session(key).await;
            return ended.map(|()| Recovery::Unknown).map_err(|_| Failure::Close(Close::Unavailable));
        };
        let socket = self.socket(taken.socket, Some(key), from);
        let cut = worker.cut(&self.rules.namespace);
        let missed = match cut.recover(&socket, key, taken, from).await {
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
                cut.forget_all(&socket);
                self.connection.remove_socket(&socket);
                let ended = worker.shared.adapter.end_session(key).await;
                return ended.map(|()| outcome).map_err(|_| Failure::Close(Close::Unavailable));
            }
        };
        let replayed = missed.messages.len();
        self.connected(&socket);
        cut.replay(&socket, missed).await?;
        cut.release(&socket).await?;
        Ok(Recovery::Recovered { replayed })
    }

    /// The socket is the connection's from here on, so that it is given back
    /// however the attempt ends.
    fn socket(&self, id: SocketId, key: Option<SessionKey>, from: Position) -> Rc<Socket> {
        let auth = self.policy().keeps_auth.then(|| Box::new(self.auth.clone()));
        let socket = Socket::new(id, self.rules.namespace.id, Rc::clone(self.connection), key, from, auth);
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
    }

    async fn emit(&self, socket: &Rc<Socket>) -> Result<(), Failure> {
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
        };
        let bodies = self
            .policy()
            .emit
            .iter()
            .map(|emission| Body::from_values(&emission.event, &emission.args.render(&self.context())));
        // names were checked with the configuration
        let drafts: Vec<Draft> = bodies.filter_map(Result::ok).map(draft).collect();
        let published = self.connection.worker.shared.adapter.publish(drafts).await;
        match published.into_iter().find_map(Result::err) {
            None => Ok(()),
            Some(_) => Err(Failure::Close(Close::Unavailable)),
        }
    }
}
