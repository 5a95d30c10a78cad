//! Finds every template in the configuration.

use super::key;
use crate::config::{Condition, EventAction, Namespace, RelayTarget, load::KeyPath};

/// What a template makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Room,
    Text,
}

type Found = (KeyPath, Kind, String);

/// Every template in the configuration, with its path.
pub(super) fn all(namespaces: &[Namespace]) -> Vec<Found> {
    let mut found = Vec::new();
    for (n, namespace) in namespaces.iter().enumerate() {
        for (j, rule) in namespace.on_connect.join.iter().enumerate() {
            let at = format!("namespaces.{n}.on_connect.join.{j}");
            found.push((key(&at), Kind::Room, rule.room.clone()));
            conditions(&rule.when, &at, &mut found);
        }
        for (e, emit) in namespace.on_connect.emit.iter().enumerate() {
            let at = key(&format!("namespaces.{n}.on_connect.emit.{e}.args"));
            emit.args.iter().enumerate().for_each(|(i, arg)| strings(arg, &at, &i.to_string(), &mut found));
        }
        for (e, rule) in namespace.events.iter().enumerate() {
            let at = format!("namespaces.{n}.events.{e}");
            conditions(&rule.when, &at, &mut found);
            match &rule.action {
                EventAction::Join { room }
                | EventAction::Leave { room }
                | EventAction::Relay { to: RelayTarget::Room { room, .. }, .. } => {
                    found.push((key(&format!("{at}.room")), Kind::Room, room.clone()));
                }
                EventAction::Acknowledge { .. }
                | EventAction::Relay { to: RelayTarget::Sender | RelayTarget::All { .. }, .. }
                | EventAction::Upstream
                | EventAction::Ignore => {}
            }
        }
    }
    found
}

fn conditions(conditions: &[Condition], at: &str, found: &mut Vec<Found>) {
    for (c, condition) in conditions.iter().enumerate() {
        let mut text = |name: &str, text: &str| {
            found.push((key(&format!("{at}.when.{c}.{name}")), Kind::Text, text.to_owned()));
        };
        match condition {
            Condition::ClaimContains { claim, value } => {
                text("claim", &format!("{{claims.{claim}}}"));
                text("contains", value);
            }
            Condition::ClaimEquals { claim, value } => {
                text("claim", &format!("{{claims.{claim}}}"));
                strings(value, &key(&format!("{at}.when.{c}")), "equals", found);
            }
            Condition::InSet { key, member } => {
                text("redis_set", key);
                text("member", member);
            }
            Condition::Upstream { .. } | Condition::InRoom => {}
        }
    }
}

/// The strings in a JSON value, at any depth.
fn strings(value: &serde_json::Value, parent: &[String], name: &str, found: &mut Vec<Found>) {
    let at = [parent, &[name.to_owned()]].concat();
    match value {
        serde_json::Value::String(text) => found.push((at, Kind::Text, text.clone())),
        serde_json::Value::Array(list) => {
            list.iter().enumerate().for_each(|(i, inner)| strings(inner, &at, &i.to_string(), found));
        }
        serde_json::Value::Object(map) => map.iter().for_each(|(k, inner)| strings(inner, &at, k, found)),
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => {}
    }
}
