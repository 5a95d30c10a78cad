//! Finds every template in the configuration.

use super::key;
use crate::config::{EventAction, Namespace, RelayTarget, load::KeyPath};

/// Every template in the configuration, with its path.
pub(super) fn all(namespaces: &[Namespace]) -> Vec<(KeyPath, String)> {
    let mut found = Vec::new();
    for (n, namespace) in namespaces.iter().enumerate() {
        for (j, room) in namespace.on_connect.join.iter().enumerate() {
            found.push((key(&format!("namespaces.{n}.on_connect.join.{j}")), room.clone()));
        }
        for (e, emit) in namespace.on_connect.emit.iter().enumerate() {
            let at = key(&format!("namespaces.{n}.on_connect.emit.{e}.args"));
            emit.args.iter().enumerate().for_each(|(i, arg)| strings(arg, &at, &i.to_string(), &mut found));
        }
        for (e, rule) in namespace.events.iter().enumerate() {
            let at = key(&format!("namespaces.{n}.events.{e}"));
            match &rule.action {
                EventAction::Join { room }
                | EventAction::Leave { room }
                | EventAction::Relay { to: RelayTarget::Room { room, .. }, .. } => {
                    found.push(([at, key("room")].concat(), room.clone()))
                }
                EventAction::Acknowledge { .. }
                | EventAction::Relay { to: RelayTarget::Sender, .. }
                | EventAction::Ignore => {}
            }
        }
    }
    found
}

/// The strings in a JSON value, at any depth.
fn strings(value: &serde_json::Value, parent: &[String], name: &str, found: &mut Vec<(KeyPath, String)>) {
    let at = [parent, &[name.to_owned()]].concat();
    match value {
        serde_json::Value::String(text) => found.push((at, text.clone())),
        serde_json::Value::Array(list) => {
            list.iter().enumerate().for_each(|(i, inner)| strings(inner, &at, &i.to_string(), found));
        }
        serde_json::Value::Object(map) => map.iter().for_each(|(k, inner)| strings(inner, &at, k, found)),
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => {}
    }
}
