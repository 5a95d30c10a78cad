//! Whether namespaces and their rules make sense.

use std::collections::HashSet;

use super::Check;
use crate::config::{EventAction, Namespace, RelayTarget};

/// Events that the client library keeps for itself.
const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

impl Check {
    pub(super) fn namespaces(&mut self, namespaces: &[Namespace]) {
        let mut names = HashSet::new();
        for (n, namespace) in namespaces.iter().enumerate() {
            let at = format!("namespaces.{n}");
            let name = &namespace.name;
            self.that(name.starts_with('/'), &format!("{at}.name"), format!("`{name}` must begin with `/`"));
            let plain = !name.contains([',', '?']) && !name.contains(char::is_whitespace);
            self.that(plain, &format!("{at}.name"), "must not contain `,`, `?` or spaces");
            let fresh = names.insert(name);
            self.that(fresh, &format!("{at}.name"), format!("`{name}` is configured twice"));
            for (j, room) in namespace.on_connect.join.iter().enumerate() {
                let at = format!("{at}.on_connect.join.{j}");
                self.that(!room.trim().is_empty(), &at, "must not be empty");
            }
            for (e, emit) in namespace.on_connect.emit.iter().enumerate() {
                self.event(&emit.event, &format!("{at}.on_connect.emit.{e}.event"));
            }
            self.rules(namespace, &at);
        }
    }

    fn rules(&mut self, namespace: &Namespace, at: &str) {
        let mut events = HashSet::new();
        for (e, rule) in namespace.events.iter().enumerate() {
            let at = format!("{at}.events.{e}");
            self.event(&rule.event, &format!("{at}.event"));
            let fresh = events.insert(&rule.event);
            self.that(fresh, &format!("{at}.event"), format!("`{}` has a rule already", rule.event));
            let room = match &rule.action {
                EventAction::Join { room } | EventAction::Leave { room } => Some(room),
                EventAction::Relay { to, as_event } => {
                    if let Some(event) = as_event {
                        self.event(event, &format!("{at}.as"));
                    }
                    match to {
                        RelayTarget::Room { room, .. } => Some(room),
                        RelayTarget::Sender => None,
                    }
                }
                EventAction::Acknowledge { .. } | EventAction::Ignore => None,
            };
            let empty = room.is_some_and(|room| room.trim().is_empty());
            self.that(!empty, &format!("{at}.room"), "must not be empty");
        }
    }

    fn event(&mut self, event: &str, at: &str) {
        self.that(!event.is_empty(), at, "must not be empty");
        let reserved = RESERVED.contains(&event);
        self.that(!reserved, at, format!("`{event}` is reserved by the client library"));
    }
}
