//! The rules of one namespace, compiled.

use hashbrown::HashMap;
use serde_json::Value;

use crate::config;

use super::template::{ArgsTemplate, RoomTemplate, TemplateError};

/// What clients of a namespace may do.
#[derive(Debug)]
pub struct NamespacePolicy {
    pub join: Vec<RoomTemplate>,
    pub emit: Vec<Emission>,
    events: HashMap<String, Action>,
    /// Some rule for events needs the payload of CONNECT.
    pub keeps_auth: bool,
}

/// An event sent to a client that has connected.
#[derive(Debug)]
pub struct Emission {
    pub event: String,
    pub args: ArgsTemplate,
}

/// What an event of a client does.
#[derive(Debug)]
pub enum Action {
    Join(RoomTemplate),
    Leave(RoomTemplate),
    /// `rename`: the event's name when it differs from the one received.
    Relay {
        to: Target,
        rename: Option<String>,
    },
    Acknowledge(AckArgs),
    Ignore,
}

/// Whom an event is relayed to.
#[derive(Debug)]
pub enum Target {
    Sender,
    Room { room: RoomTemplate, except_sender: bool },
}

/// What an acknowledgement holds.
#[derive(Debug)]
pub enum AckArgs {
    Received,
    Fixed(Vec<Value>),
}

impl NamespacePolicy {
    /// Fails on the first template that does not parse; the configuration's
    /// validation has reported them all before.
    pub fn compile(namespace: &config::Namespace) -> Result<Self, TemplateError> {
        let join = namespace.on_connect.join.iter().map(|text| RoomTemplate::parse(text)).collect::<Result<_, _>>()?;
        let emission =
            |emit: &config::Emit| Ok(Emission { event: emit.event.clone(), args: ArgsTemplate::parse(&emit.args)? });
        let emit = namespace.on_connect.emit.iter().map(emission).collect::<Result<_, _>>()?;
        let events = namespace
            .events
            .iter()
            .map(|rule| Ok((rule.event.clone(), Action::compile(&rule.action)?)))
            .collect::<Result<HashMap<_, _>, _>>()?;
        let keeps_auth = events.values().any(Action::uses_auth);
        Ok(NamespacePolicy { join, emit, events, keeps_auth })
    }

    /// `None`: no rule allows the event.
    pub fn on_event(&self, name: &str) -> Option<&Action> {
        self.events.get(name)
    }
}

impl Action {
    fn compile(action: &config::EventAction) -> Result<Self, TemplateError> {
        Ok(match action {
            config::EventAction::Join { room } => Action::Join(RoomTemplate::parse(room)?),
            config::EventAction::Leave { room } => Action::Leave(RoomTemplate::parse(room)?),
            config::EventAction::Relay { to, as_event } => Action::Relay {
                to: match to {
                    config::RelayTarget::Sender => Target::Sender,
                    config::RelayTarget::Room { room, except_sender } => {
                        Target::Room { room: RoomTemplate::parse(room)?, except_sender: *except_sender }
                    }
                },
                rename: as_event.clone(),
            },
            config::EventAction::Acknowledge { with } => Action::Acknowledge(match with {
                config::AckWith::Received => AckArgs::Received,
                config::AckWith::Args(args) => AckArgs::Fixed(args.clone()),
            }),
            config::EventAction::Ignore => Action::Ignore,
        })
    }

    fn uses_auth(&self) -> bool {
        match self {
            Action::Join(room) | Action::Leave(room) => room.uses_auth(),
            Action::Relay { to: Target::Room { room, .. }, .. } => room.uses_auth(),
            Action::Relay { to: Target::Sender, .. } | Action::Acknowledge(_) | Action::Ignore => false,
        }
    }
}
