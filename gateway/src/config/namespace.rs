//! `[[namespaces]]`: the namespaces clients may enter, and what they may do there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::rule::{EventAction, EventRule, RelayTarget};

/// A namespace and its rules.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Namespace {
    /// Name as clients ask for it; begins with `/`. Required.
    pub name: String,
    /// Whether sessions in this namespace can be recovered. Default: `true`.
    #[serde(default = "yes")]
    pub recovery: bool,
    /// What happens when a client has connected.
    #[serde(default)]
    pub on_connect: OnConnect,
    /// What happens on an event of a client; an event without a rule is refused. Default: `[]`.
    #[serde(default)]
    pub events: Vec<EventRule>,
}

/// What happens when a client has connected to a namespace.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OnConnect {
    /// Templates of the rooms that the socket joins; `user:` in the static text makes a user room. Default: `[]`.
    pub join: Vec<String>,
    /// Events sent to the socket. Default: `[]`.
    pub emit: Vec<Emit>,
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
        Self { name: name.to_owned(), recovery: true, on_connect: OnConnect::default(), events: Vec::new() }
    }

    /// The namespace of the demo page: `/`, where clients join and leave rooms and relay `message` to a room.
    #[must_use]
    pub fn demo() -> Self {
        let room = || "{args.0}".to_owned();
        let rule = |event: &str, action| EventRule { event: event.to_owned(), action };
        Self {
            events: vec![
                rule("join", EventAction::Join { room: room() }),
                rule("leave", EventAction::Leave { room: room() }),
                rule(
                    "message",
                    EventAction::Relay { to: RelayTarget::Room { room: room(), except_sender: false }, as_event: None },
                ),
            ],
            ..Self::quiet("/")
        }
    }
}

fn yes() -> bool {
    true
}
