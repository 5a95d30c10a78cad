//! What is asked of a backend, and its JSON.

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::auth::Identity;
use crate::message::{NamespaceRef, Room, SocketId};
use crate::protocol::packet::Args;
use crate::protocol::to_api_json;
use crate::trace::Span;

/// What kind of request; its `type` in the JSON, and a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Event,
    Connect,
    Disconnect,
    Authenticate,
    Authorize,
}

impl Kind {
    pub(super) const ALL: [Kind; 5] =
        [Kind::Event, Kind::Connect, Kind::Disconnect, Kind::Authenticate, Kind::Authorize];

    pub(super) fn label(self) -> &'static str {
        match self {
            Kind::Event => "event",
            Kind::Connect => "connect",
            Kind::Disconnect => "disconnect",
            Kind::Authenticate => "authenticate",
            Kind::Authorize => "authorize",
        }
    }
}

/// Whom a request is about.
#[derive(Debug, Clone, Copy)]
pub struct Sender<'a> {
    pub namespace: &'a NamespaceRef,
    pub socket: SocketId,
    pub identity: &'a Identity,
}

/// An event that a client has sent.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    pub sender: Sender<'a>,
    pub event: &'a str,
    pub args: &'a Args,
    /// What it is asked for, where that is traced; the request carries the trace on.
    pub span: Option<&'a Span>,
}

/// Whether a client may do what it has asked for.
#[derive(Debug, Clone, Copy)]
pub struct Authorize<'a> {
    pub sender: Sender<'a>,
    pub event: &'a str,
    pub args: &'a Args,
    /// The room that the event is about, if it is about one.
    pub room: Option<&'a Room>,
    /// For how long the answer holds for the same user, event and room;
    /// nothing is kept for nobody known.
    pub cache: Duration,
    pub span: Option<&'a Span>,
}

/// Who a client is.
#[derive(Debug, Clone, Copy)]
pub struct Authenticate<'a> {
    pub namespace: &'a NamespaceRef,
    /// Absent where the client has no socket yet.
    pub socket: Option<SocketId>,
    pub token: &'a str,
    /// Of the CONNECT packet; `null` where there was none.
    pub auth: &'a Value,
    /// Of the handshake, as it was sent.
    pub query: &'a str,
    /// Of the client.
    pub address: IpAddr,
    pub span: Option<&'a Span>,
}

/// That a client has come or gone.
#[derive(Debug, Clone, Copy)]
pub struct Notice<'a> {
    /// The same when it is told again.
    pub id: &'a str,
    pub sender: Sender<'a>,
    pub what: NoticeKind,
    pub span: Option<&'a Span>,
}

/// What there is to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeKind {
    Connect,
    Disconnect(Reason),
}

/// Why a client has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// It left.
    Client,
    /// It was disconnected, by an answer or by the API.
    Backend,
    /// It could not be kept complete, and was told so.
    Lost,
    /// It did not come back within the window.
    Expired,
}

/// A request's JSON but for `args`.
#[derive(Serialize)]
struct Envelope<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    namespace: &'a str,
    socket: Option<&'a str>,
    /// Milliseconds since 1970.
    time: u64,
    #[serde(flatten)]
    about: About<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum About<'a> {
    Event {
        user: Option<&'a str>,
        claims: &'a Map<String, Value>,
        event: &'a str,
    },
    Notice {
        user: Option<&'a str>,
        claims: &'a Map<String, Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<Reason>,
    },
    Authenticate {
        token: &'a str,
        auth: &'a Value,
        query: Map<String, Value>,
        client: Client,
    },
    Authorize {
        user: Option<&'a str>,
        claims: &'a Map<String, Value>,
        event: &'a str,
        room: Option<String>,
    },
}

#[derive(Serialize)]
struct Client {
    address: IpAddr,
}

impl Call<'_> {
    pub(super) fn json(&self, id: &str) -> Bytes {
        let Identity { user, claims, .. } = self.sender.identity;
        let about = About::Event { user: user.as_deref(), claims, event: self.event };
        with_args(self.sender.envelope(Kind::Event, id, about), self.args)
    }
}

impl Authorize<'_> {
    pub(super) fn json(&self, id: &str) -> Bytes {
        let Identity { user, claims, .. } = self.sender.identity;
        let room = self.room.map(room_name);
        let about = About::Authorize { user: user.as_deref(), claims, event: self.event, room };
        with_args(self.sender.envelope(Kind::Authorize, id, about), self.args)
    }
}

impl Notice<'_> {
    pub(super) fn kind(&self) -> Kind {
        match self.what {
            NoticeKind::Connect => Kind::Connect,
            NoticeKind::Disconnect(_) => Kind::Disconnect,
        }
    }

    pub(super) fn json(&self) -> Bytes {
        let Identity { user, claims, .. } = self.sender.identity;
        let reason = match self.what {
            NoticeKind::Connect => None,
            NoticeKind::Disconnect(reason) => Some(reason),
        };
        let about = About::Notice { user: user.as_deref(), claims, reason };
        to_json(&self.sender.envelope(self.kind(), self.id, about)).into()
    }
}

impl Authenticate<'_> {
    pub(super) fn json(&self, id: &str) -> Bytes {
        let mut query = Map::new();
        for (name, value) in form_urlencoded::parse(self.query.as_bytes()) {
            // the first counts, as in templates
            query.entry(name).or_insert_with(|| Value::from(value));
        }
        let client = Client { address: self.address };
        to_json(&Envelope {
            kind: Kind::Authenticate.label(),
            id,
            namespace: &self.namespace.name,
            socket: self.socket.as_ref().map(|socket| socket.0.as_str()),
            time: now(),
            about: About::Authenticate { token: self.token, auth: self.auth, query, client },
        })
        .into()
    }
}

impl<'a> Sender<'a> {
    fn envelope<'e>(&'e self, kind: Kind, id: &'e str, about: About<'e>) -> Envelope<'e> {
        Envelope {
            kind: kind.label(),
            id,
            namespace: &self.namespace.name,
            socket: Some(self.socket.0.as_str()),
            time: now(),
            about,
        }
    }
}

/// Arguments go in as the client wrote them, without being read again.
fn with_args(envelope: Envelope<'_>, args: &Args) -> Bytes {
    let mut json = to_json(&envelope);
    json.pop();
    json.extend_from_slice(b",\"args\":");
    json.extend_from_slice(to_api_json(&args.json, &args.attachments).as_bytes());
    json.push(b'}');
    json.into()
}

fn to_json(envelope: &Envelope<'_>) -> Vec<u8> {
    serde_json::to_vec(envelope).expect("text, numbers and JSON values are written to memory")
}

/// As an answer would name it.
fn room_name(room: &Room) -> String {
    match room {
        Room::Named(name) => name.to_string(),
        Room::User(name) => format!("user:{name}"),
        Room::Socket(id) => id.to_string(),
        Room::All => String::new(),
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{NamespaceId, Token};
    use serde_json::json;

    fn parsed(json: &[u8]) -> Value {
        let mut value: Value = serde_json::from_slice(json).unwrap();
        let time = value.as_object_mut().unwrap().shift_remove("time").unwrap();
        assert!(time.as_u64().unwrap().abs_diff(now()) < 60_000);
        value
    }

    #[test]
    fn requests_are_as_documented() {
        let namespace = NamespaceRef { id: NamespaceId(0), name: "/a".into(), recovery: true };
        let socket = SocketId(Token::parse("AAAAAAAAAAAAAAAAAAAA").unwrap());
        let claims = json!({ "role": "x" }).as_object().unwrap().clone();
        let identity = Identity { user: Some("ann".into()), claims, ..Identity::nobody() };
        let nobody = Identity::nobody();
        let sender = Sender { namespace: &namespace, socket, identity: &identity };
        let args = Args {
            json: vec![r#"{"a":[1.50]}"#.into(), r#"{"_placeholder":true,"num":0}"#.into()],
            attachments: vec![Bytes::from_static(&[1, 2, 3])],
        };
        let call = Call { sender, event: "e\"", args: &args, span: None };
        let base = |kind: &str| json!({ "type": kind, "id": "i", "namespace": "/a", "socket": "AAAAAAAAAAAAAAAAAAAA" });
        let with = |kind: &str, more: Value| {
            let mut value = base(kind);
            value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            value
        };
        let who = |more: Value| {
            let mut value = json!({ "user": "ann", "claims": { "role": "x" } });
            value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            value
        };
        let written = json!([{ "a": [1.5] }, { "$binary": "AQID" }]);
        assert_eq!(parsed(&call.json("i")), with("event", who(json!({ "event": "e\"", "args": written }))));

        let plain = Args { json: vec!["1.50".into()], attachments: vec![] };
        let anonymous = Sender { identity: &nobody, ..sender };
        let json = Call { sender: anonymous, event: "e", args: &plain, span: None }.json("i");
        assert!(json.ends_with(br#""user":null,"claims":{},"event":"e","args":[1.50]}"#), "as it was written");

        for (room, name) in [
            (Some(Room::named("r").unwrap()), json!("r")),
            (Some(Room::user("r").unwrap()), json!("user:r")),
            (None, Value::Null),
        ] {
            let cache = Duration::ZERO;
            let ask = Authorize { sender, event: "e", args: &plain, room: room.as_ref(), cache, span: None };
            let more = who(json!({ "event": "e", "room": name, "args": [1.5] }));
            assert_eq!(parsed(&ask.json("i")), with("authorize", more));
        }

        let notice = |what| Notice { id: "i", sender, what, span: None };
        assert_eq!(parsed(&notice(NoticeKind::Connect).json()), with("connect", who(json!({}))));
        for (reason, name) in [
            (Reason::Client, "client"),
            (Reason::Backend, "backend"),
            (Reason::Lost, "lost"),
            (Reason::Expired, "expired"),
        ] {
            let told = parsed(&notice(NoticeKind::Disconnect(reason)).json());
            assert_eq!(told, with("disconnect", who(json!({ "reason": name }))));
        }

        let auth = json!({ "token": "t" });
        let authenticate = Authenticate {
            namespace: &namespace,
            socket: None,
            token: "t",
            auth: &auth,
            query: "a=1&b=%20&a=2",
            address: [127, 0, 0, 1].into(),
            span: None,
        };
        let mut expected = with(
            "authenticate",
            json!({
                "token": "t", "auth": { "token": "t" }, "query": { "a": "1", "b": " " },
                "client": { "address": "127.0.0.1" }
            }),
        );
        expected["socket"] = Value::Null;
        assert_eq!(parsed(&authenticate.json("i")), expected);
    }
}
