//! `[[namespaces.events]]`: one rule per client event. The file has flat keys; the code gets an enum.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::condition::{Condition, one_or_many};
use super::history::History;

/// What happens on one event of a client.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "FlatRule", into = "FlatRule")]
pub struct EventRule {
    /// Name of the client event.
    pub event: String,
    /// What is done with it.
    pub action: EventAction,
    /// All must hold for it to be done.
    pub when: Vec<Condition>,
    /// What refuses the event is sent to its sender as this event, too.
    pub error_event: Option<String>,
    /// For a join: what of the room's past the sender is sent.
    pub history: Option<History>,
}

impl EventRule {
    /// A rule without conditions.
    #[must_use]
    pub fn new(event: &str, action: EventAction) -> Self {
        Self { event: event.to_owned(), action, when: Vec::new(), error_event: None, history: None }
    }
}

/// What is done with an event of a client.
#[derive(Debug, Clone, PartialEq)]
pub enum EventAction {
    /// The sender joins a room; acknowledged when the join is live.
    Join {
        /// Template of the room.
        room: String,
    },
    /// The sender leaves a room.
    Leave {
        /// Template of the room.
        room: String,
    },
    /// The arguments are sent on.
    Relay {
        /// To whom.
        to: RelayTarget,
        /// Name of the event that is sent; `None` = the name it came under.
        as_event: Option<String>,
    },
    /// The backend gets the event, and its answer acknowledges it.
    Upstream,
    /// The event is acknowledged and goes no further.
    Acknowledge {
        /// The arguments of the acknowledgement.
        with: AckWith,
    },
    /// Nothing happens, and nothing is refused.
    Ignore,
}

/// To whom an event is relayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RelayTarget {
    /// Back to the socket that sent it.
    Sender,
    /// To everyone in the namespace.
    All {
        /// Whether the sender is left out.
        except_sender: bool,
    },
    /// To a room.
    Room {
        /// Template of the room.
        room: String,
        /// Whether the sender is left out.
        except_sender: bool,
    },
}

/// The arguments of an acknowledgement.
#[derive(Debug, Clone, PartialEq)]
pub enum AckWith {
    /// Those of the event.
    Received,
    /// Fixed ones.
    Args(Vec<Value>),
}

/// A rule as it is written in the file.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FlatRule {
    /// Name of the client event. Required.
    event: String,
    /// `"join"` or `"leave"` a room, `"relay"` the arguments, `"upstream"` (to the backend), `"acknowledge"`, or
    /// `"ignore"`. Required.
    action: ActionName,
    /// Template of the room, for `join`, `leave` and `relay` to a room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    room: Option<String>,
    /// For `relay`: `"sender"`, `"room"` or `"all"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<TargetName>,
    /// For `relay`: name of the event that is sent. Default: the name it came under.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    as_event: Option<String>,
    /// For `relay` to a room or all: whether the sender is left out. Default: `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    except_sender: Option<bool>,
    /// For `acknowledge`: `"received"` (the arguments of the event) or a list of JSON values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-type" = "\"received\" or list of JSON values"))]
    with: Option<Value>,
    /// For `join`: recent messages of the room that are sent before the join is acknowledged, such as
    /// `{ count = 20, age = "2m" }`: at most so many, and none older; `age` is `"2m"` if absent, and at most
    /// `recovery.window`. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("x-type" = "table of count and age"))]
    history: Option<History>,
    /// What must hold for the event to be allowed: a condition, or a list of which all must hold; one of
    /// `{ claim, contains }`, `{ claim, equals }`, `{ redis_set, member }`, `{ upstream = true, cache }` and
    /// `{ in_room = true }`. For `join`, its templates take only arguments that `room` takes, because it is judged again
    /// when the client comes back. Default: none.
    #[serde(default, with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "String", extend("x-type" = "condition or list of conditions"))]
    when: Vec<Condition>,
    /// Name of an event `{ code, message }` that is sent to the sender when the event is refused or fails, beside the
    /// error in the acknowledgement; for clients that ask for none. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error_event: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum ActionName {
    Join,
    Leave,
    Relay,
    Upstream,
    Acknowledge,
    Ignore,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum TargetName {
    Sender,
    Room,
    All,
}

/// Why the keys of a rule do not make an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// A key that the action needs is absent.
    #[error("{action} needs `{key}`")]
    Needs {
        /// The action, with its target.
        action: &'static str,
        /// The key.
        key: &'static str,
    },
    /// A key that the action has no use for is present.
    #[error("`{key}` has no meaning for {action}")]
    Unused {
        /// The action, with its target.
        action: &'static str,
        /// The key.
        key: &'static str,
    },
    /// `with` is neither `"received"` nor a list.
    #[error("`with` must be \"received\" or a list of JSON values")]
    With,
}

impl TryFrom<FlatRule> for EventRule {
    type Error = RuleError;

    fn try_from(mut flat: FlatRule) -> Result<Self, RuleError> {
        let action = match (flat.action, flat.to) {
            (ActionName::Join, _) => EventAction::Join { room: needed(flat.room.take(), "action \"join\"", "room")? },
            (ActionName::Leave, _) => {
                EventAction::Leave { room: needed(flat.room.take(), "action \"leave\"", "room")? }
            }
            (ActionName::Relay, None) => {
                let (action, key) = ("action \"relay\"", "to");
                return Err(RuleError::Needs { action, key });
            }
            (ActionName::Relay, Some(TargetName::Sender)) => {
                EventAction::Relay { to: RelayTarget::Sender, as_event: flat.as_event.take() }
            }
            (ActionName::Relay, Some(TargetName::Room)) => EventAction::Relay {
                to: RelayTarget::Room {
                    room: needed(flat.room.take(), "relay to = \"room\"", "room")?,
                    except_sender: flat.except_sender.take().unwrap_or(false),
                },
                as_event: flat.as_event.take(),
            },
            (ActionName::Relay, Some(TargetName::All)) => EventAction::Relay {
                to: RelayTarget::All { except_sender: flat.except_sender.take().unwrap_or(false) },
                as_event: flat.as_event.take(),
            },
            (ActionName::Upstream, _) => EventAction::Upstream,
            (ActionName::Acknowledge, _) => EventAction::Acknowledge {
                with: match needed(flat.with.take(), "action \"acknowledge\"", "with")? {
                    Value::String(word) if word == "received" => AckWith::Received,
                    Value::Array(args) => AckWith::Args(args),
                    _ => return Err(RuleError::With),
                },
            },
            (ActionName::Ignore, _) => EventAction::Ignore,
        };
        flat.refuse_leftovers()?;
        let FlatRule { event, when, error_event, history, .. } = flat;
        Ok(Self { event, action, when, error_event, history })
    }
}

impl FlatRule {
    /// A key that was not taken would be silently ignored: the author meant something by it.
    fn refuse_leftovers(&self) -> Result<(), RuleError> {
        let action = match (self.action, self.to) {
            (ActionName::Join, _) => "action \"join\"",
            (ActionName::Leave, _) => "action \"leave\"",
            (ActionName::Relay, Some(TargetName::Sender)) => "relay to = \"sender\"",
            (ActionName::Relay, Some(TargetName::All)) => "relay to = \"all\"",
            (ActionName::Relay, _) => "relay to = \"room\"",
            (ActionName::Upstream, _) => "action \"upstream\"",
            (ActionName::Acknowledge, _) => "action \"acknowledge\"",
            (ActionName::Ignore, _) => "action \"ignore\"",
        };
        let leftovers = [
            ("room", self.room.is_some()),
            ("to", self.to.is_some() && self.action != ActionName::Relay),
            ("as", self.as_event.is_some()),
            ("except_sender", self.except_sender.is_some()),
            ("with", self.with.is_some()),
            ("history", self.history.is_some() && self.action != ActionName::Join),
        ];
        match leftovers.into_iter().find(|(_, present)| *present) {
            Some((key, _)) => Err(RuleError::Unused { action, key }),
            None => Ok(()),
        }
    }
}

fn needed<T>(value: Option<T>, action: &'static str, key: &'static str) -> Result<T, RuleError> {
    value.ok_or(RuleError::Needs { action, key })
}

impl From<EventRule> for FlatRule {
    fn from(rule: EventRule) -> Self {
        let mut flat = Self {
            event: rule.event,
            action: ActionName::Ignore,
            room: None,
            to: None,
            as_event: None,
            except_sender: None,
            with: None,
            when: rule.when,
            error_event: rule.error_event,
            history: rule.history,
        };
        match rule.action {
            EventAction::Join { room } => (flat.action, flat.room) = (ActionName::Join, Some(room)),
            EventAction::Leave { room } => (flat.action, flat.room) = (ActionName::Leave, Some(room)),
            EventAction::Relay { to, as_event } => {
                (flat.action, flat.as_event) = (ActionName::Relay, as_event);
                match to {
                    RelayTarget::Sender => flat.to = Some(TargetName::Sender),
                    RelayTarget::All { except_sender } => {
                        (flat.to, flat.except_sender) = (Some(TargetName::All), Some(except_sender));
                    }
                    RelayTarget::Room { room, except_sender } => {
                        (flat.to, flat.room) = (Some(TargetName::Room), Some(room));
                        flat.except_sender = Some(except_sender);
                    }
                }
            }
            EventAction::Acknowledge { with } => {
                flat.action = ActionName::Acknowledge;
                flat.with = Some(match with {
                    AckWith::Received => Value::from("received"),
                    AckWith::Args(args) => Value::Array(args),
                });
            }
            EventAction::Upstream => flat.action = ActionName::Upstream,
            EventAction::Ignore => {}
        }
        flat
    }
}
