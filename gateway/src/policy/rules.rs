//! The rules of a namespace, compiled.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use crate::config::{self, History};
use crate::message::Room;

use super::arguments::ArgsTemplate;
use super::condition::{Condition, Question, Verdict, judge};
use super::path::{Args, Context};
use super::template::{RenderError, RoomTemplate, TemplateError};

/// What clients of a namespace may do.
#[derive(Debug)]
pub struct NamespacePolicy {
    pub join: Vec<JoinRule>,
    pub emit: Vec<Emission>,
    events: HashMap<String, Arc<Rule>>,
    /// Some rule for events needs the payload of CONNECT.
    pub keeps_auth: bool,
    /// Some room that is joined on connect does.
    pub joins_by_auth: bool,
}

/// A room that a socket joins when it connects.
#[derive(Debug)]
pub struct JoinRule {
    pub room: RoomTemplate,
    /// Left out where it cannot be had, instead of refusing the client.
    pub optional: bool,
    when: Vec<Condition>,
    pub history: Option<History>,
}

/// An event sent to a client that has connected.
#[derive(Debug)]
pub struct Emission {
    pub event: String,
    pub args: ArgsTemplate,
}

/// What is done with an event of a client, and when.
#[derive(Debug)]
pub struct Rule {
    pub action: Action,
    when: Vec<Condition>,
    /// Sent to the sender when the event is refused or fails.
    pub error_event: Option<String>,
    /// For a join: what of the room's past the sender is sent.
    pub history: Option<History>,
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
    Upstream,
    Acknowledge(AckArgs),
    Ignore,
}

/// Whom an event is relayed to.
#[derive(Debug)]
pub enum Target {
    Sender,
    Room { room: RoomTemplate, except_sender: bool },
    All { except_sender: bool },
}

/// What an acknowledgement holds.
#[derive(Debug)]
pub enum AckArgs {
    Received,
    Fixed(Vec<Value>),
}

/// Whether a client that comes back may stay in a room.
#[derive(Debug, PartialEq, Eq)]
pub enum Right {
    /// No rule makes such rooms: the backend has put it there.
    Unruled,
    Held,
    /// When all questions of one of these are answered with yes; none: not at all.
    If(Vec<Grant>),
}

/// A way to the right to a room.
#[derive(Debug, PartialEq, Eq)]
pub struct Grant {
    /// The event whose rule it is; `None` for what is joined on connect.
    pub event: Option<String>,
    pub questions: Vec<Question>,
}

impl NamespacePolicy {
    /// Fails on the first template that does not parse; the configuration's
    /// validation has reported them all before.
    pub fn compile(namespace: &config::Namespace) -> Result<Self, TemplateError> {
        let join = namespace.on_connect.join.iter().map(JoinRule::compile).collect::<Result<Vec<_>, _>>()?;
        let emission =
            |emit: &config::Emit| Ok(Emission { event: emit.event.clone(), args: ArgsTemplate::parse(&emit.args)? });
        let emit = namespace.on_connect.emit.iter().map(emission).collect::<Result<_, _>>()?;
        let events = namespace
            .events
            .iter()
            .map(|rule| Ok((rule.event.clone(), Arc::new(Rule::compile(rule)?))))
            .collect::<Result<HashMap<_, _>, _>>()?;
        let keeps_auth = events.values().any(|rule| rule.uses_auth());
        let joins_by_auth = join.iter().any(JoinRule::uses_auth);
        Ok(NamespacePolicy { join, emit, events, keeps_auth, joins_by_auth })
    }

    /// `None`: no rule allows the event.
    pub fn on_event(&self, name: &str) -> Option<&Arc<Rule>> {
        self.events.get(name)
    }

    /// Whether a client may still be in a room that it was in before.
    pub fn right(&self, room: &Room, context: &Context<'_>) -> Right {
        let (mut ruled, mut grants) = (false, Vec::new());
        for rule in self.join.iter().filter(|rule| rule.room.has_form_of(room)) {
            ruled = true;
            if rule.room.render(context).as_ref() == Ok(room)
                && let Ok(Verdict::If(questions)) = rule.judge(context)
            {
                grants.push(Grant { event: None, questions });
            }
        }
        for (event, rule) in &self.events {
            let Action::Join(template) = &rule.action else { continue };
            if !template.has_form_of(room) {
                continue;
            }
            ruled = true;
            if let Some(found) = template.take_apart(room, context)
                && let Ok(Verdict::If(questions)) = rule.judge(&context.with_args(Args::Found(&found)))
            {
                grants.push(Grant { event: Some(event.clone()), questions });
            }
        }
        match (ruled, grants.iter().any(|grant| grant.questions.is_empty())) {
            (false, _) => Right::Unruled,
            (true, true) => Right::Held,
            (true, false) => Right::If(grants),
        }
    }
}

impl JoinRule {
    fn compile(rule: &config::JoinRule) -> Result<Self, TemplateError> {
        let when = rule.when.iter().map(Condition::compile).collect::<Result<_, _>>()?;
        Ok(JoinRule { room: RoomTemplate::parse(&rule.room)?, optional: rule.optional, when, history: rule.history })
    }

    /// Whether the client may enter, as far as can be told here.
    pub fn judge(&self, context: &Context<'_>) -> Result<Verdict, RenderError> {
        judge(&self.when, context)
    }
}

impl JoinRule {
    fn uses_auth(&self) -> bool {
        self.room.uses_auth() || self.when.iter().any(Condition::uses_auth)
    }
}

impl Rule {
    fn compile(rule: &config::EventRule) -> Result<Self, TemplateError> {
        let when = rule.when.iter().map(Condition::compile).collect::<Result<_, _>>()?;
        Ok(Rule {
            action: Action::compile(&rule.action)?,
            when,
            error_event: rule.error_event.clone(),
            history: rule.history,
        })
    }

    /// Whether the event is allowed, as far as can be told here.
    pub fn judge(&self, context: &Context<'_>) -> Result<Verdict, RenderError> {
        judge(&self.when, context)
    }

    fn uses_auth(&self) -> bool {
        self.action.room().is_some_and(RoomTemplate::uses_auth) || self.when.iter().any(Condition::uses_auth)
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
                    config::RelayTarget::All { except_sender } => Target::All { except_sender: *except_sender },
                    config::RelayTarget::Room { room, except_sender } => {
                        Target::Room { room: RoomTemplate::parse(room)?, except_sender: *except_sender }
                    }
                },
                rename: as_event.clone(),
            },
            config::EventAction::Upstream => Action::Upstream,
            config::EventAction::Acknowledge { with } => Action::Acknowledge(match with {
                config::AckWith::Received => AckArgs::Received,
                config::AckWith::Args(args) => AckArgs::Fixed(args.clone()),
            }),
            config::EventAction::Ignore => Action::Ignore,
        })
    }

    /// The room that it is about.
    pub fn room(&self) -> Option<&RoomTemplate> {
        match self {
            Action::Join(room) | Action::Leave(room) => Some(room),
            Action::Relay { to: Target::Room { room, .. }, .. } => Some(room),
            Action::Relay { to: Target::Sender | Target::All { .. }, .. } => None,
            Action::Upstream | Action::Acknowledge(_) | Action::Ignore => None,
        }
    }
}

/// The arguments that the conditions of a join take and its room's name does
/// not hold: when the client comes back, they are not known any more.
pub fn args_not_in_room(rule: &config::EventRule) -> Vec<String> {
    let (config::EventAction::Join { room }, Ok(rule)) = (&rule.action, Rule::compile(rule)) else { return Vec::new() };
    let Ok(room) = RoomTemplate::parse(room) else { return Vec::new() };
    let known = |steps: &[String]| room.args().any(|known| known == steps);
    let taken = rule.when.iter().flat_map(Condition::args);
    taken.filter(|steps| !known(steps)).map(|steps| format!("args.{}", steps.join("."))).collect()
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
