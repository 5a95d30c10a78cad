//! `[[namespaces]]`: the namespaces clients may enter, and what they may do there.

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::auth::Auth;
use super::client_limits::ClientLimits;
use super::condition::{Condition, one_or_many};
use super::history::History;
use super::presence::Presence;
use super::rule::{EventAction, EventRule, RelayTarget};
use super::upstream::NamespaceUpstream;

/// A namespace and its rules.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Namespace {
    /// Name as clients ask for it; begins with `/`. Required.
    pub name: String,
    /// Whether sessions in this namespace can be recovered. Default: `true`.
    #[serde(default = "yes")]
    pub recovery: bool,
    /// Who may enter it.
    #[serde(default)]
    pub auth: Auth,
    /// Its backend.
    #[serde(default)]
    pub upstream: NamespaceUpstream,
    /// What happens when a client has connected.
    #[serde(default)]
    pub on_connect: OnConnect,
    /// Which rooms are told who comes and goes.
    #[serde(default)]
    pub presence: Presence,
    /// How much clients may send.
    #[serde(default)]
    pub limits: ClientLimits,
    /// What happens on an event of a client; an event without a rule is refused. Default: `[]`.
    #[serde(default)]
    pub events: Vec<EventRule>,
}

/// What happens when a client has connected to a namespace.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OnConnect {
    /// The rooms that the socket joins: templates, or tables with `room` (a template), `optional` (a room whose
    /// placeholders have no value is left out, instead of the client being refused; default `false`) and `when`
    /// (conditions; a room they do not allow refuses the client, or is left out if optional) and `history` (as of a rule
    /// for events; sent behind the answer to CONNECT of a new session). `user:` at the beginning
    /// makes a user room. Default: `[]`.
    #[schemars(extend("x-type" = "list of templates or tables"))]
    pub join: Vec<JoinRule>,
    /// Events sent to the socket. Default: `[]`.
    pub emit: Vec<Emit>,
}

/// A room that a socket joins when it connects.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
#[schemars(with = "String")]
pub struct JoinRule {
    /// Template of the room.
    pub room: String,
    /// Left out where it cannot be had.
    pub optional: bool,
    /// All must hold.
    pub when: Vec<Condition>,
    /// What of the room's past the socket is sent.
    pub history: Option<History>,
}

/// An event sent to a client that has connected.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Emit {
    /// Name of the event. Required.
    pub event: String,
    /// Arguments; strings are templates, and one that is exactly one placeholder becomes the JSON value.
    /// Default: `[]`.
    #[serde(default)]
    #[schemars(extend("x-type" = "list of JSON values"))]
    pub args: Vec<Value>,
}

impl Namespace {
    /// A namespace with recovery and without any rule: clients receive, and may not send.
    #[must_use]
    pub fn quiet(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            recovery: true,
            auth: Auth::default(),
            upstream: NamespaceUpstream::default(),
            on_connect: OnConnect::default(),
            presence: Presence::default(),
            limits: ClientLimits::default(),
            events: Vec::new(),
        }
    }

    /// The namespace of the demo page: `/`, where clients join and leave rooms and relay `message` to a room.
    #[must_use]
    pub fn demo() -> Self {
        let room = || "{args.0}".to_owned();
        Self {
            events: vec![
                EventRule::new("join", EventAction::Join { room: room() }),
                EventRule::new("leave", EventAction::Leave { room: room() }),
                EventRule::new(
                    "message",
                    EventAction::Relay { to: RelayTarget::Room { room: room(), except_sender: false }, as_event: None },
                ),
            ],
            ..Self::quiet("/")
        }
    }
}

/// A [`JoinRule`] in its long form.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct LongJoinRule {
    room: String,
    #[serde(default)]
    optional: bool,
    #[serde(default, with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    when: Vec<Condition>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    history: Option<History>,
}

impl From<&str> for JoinRule {
    fn from(room: &str) -> Self {
        JoinRule { room: room.to_owned(), optional: false, when: Vec::new(), history: None }
    }
}

impl<'de> Deserialize<'de> for JoinRule {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = JoinRule;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the template of a room, or a table with `room`")
            }

            fn visit_str<E: serde::de::Error>(self, room: &str) -> Result<JoinRule, E> {
                Ok(room.into())
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<JoinRule, A::Error> {
                let LongJoinRule { room, optional, when, history } =
                    Deserialize::deserialize(MapAccessDeserializer::new(map))?;
                Ok(JoinRule { room, optional, when, history })
            }
        }

        d.deserialize_any(Either)
    }
}

impl Serialize for JoinRule {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if !self.optional && self.when.is_empty() && self.history.is_none() {
            return s.serialize_str(&self.room);
        }
        let JoinRule { room, optional, when, history } = self.clone();
        LongJoinRule { room, optional, when, history }.serialize(s)
    }
}

fn yes() -> bool {
    true
}
