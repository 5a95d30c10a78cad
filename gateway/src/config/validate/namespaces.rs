//! Whether namespaces and their rules make sense.

use std::collections::HashSet;
use std::time::Duration;

use super::Check;
use crate::config::{Condition, Config, EventAction, History, Namespace, RelayTarget};
use crate::policy::args_not_in_room;

/// Events that the client library keeps for itself.
const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

impl Check {
    pub(super) fn namespaces(&mut self, config: &Config) {
        let mut names = HashSet::new();
        for (n, namespace) in config.namespaces.iter().enumerate() {
            let at = format!("namespaces.{n}");
            let name = &namespace.name;
            self.that(name.starts_with('/'), &format!("{at}.name"), format!("`{name}` must begin with `/`"));
            let plain = !name.contains([',', '?']) && !name.contains(char::is_whitespace);
            self.that(plain, &format!("{at}.name"), "must not contain `,`, `?` or spaces");
            let fresh = names.insert(name);
            self.that(fresh, &format!("{at}.name"), format!("`{name}` is configured twice"));
            for (j, rule) in namespace.on_connect.join.iter().enumerate() {
                let at = format!("{at}.on_connect.join.{j}");
                self.that(!rule.room.trim().is_empty(), &at, "must not be empty");
                self.conditions(&rule.when, config, namespace, &at);
                self.history(rule.history, config, namespace, &format!("{at}.history"));
                let in_room = rule.when.contains(&Condition::InRoom);
                self.that(!in_room, &format!("{at}.when"), "`in_room` has no meaning where a room is joined");
            }
            for (e, emit) in namespace.on_connect.emit.iter().enumerate() {
                self.event(&emit.event, &format!("{at}.on_connect.emit.{e}.event"));
            }
            self.presence(namespace, &at);
            self.rules(config, namespace, &at);
        }
    }

    fn presence(&mut self, namespace: &Namespace, at: &str) {
        let presence = &namespace.presence;
        let at = format!("{at}.presence");
        let possible = namespace.recovery || presence.rooms.is_empty();
        self.that(possible, &format!("{at}.rooms"), "needs `recovery = true`: who is where is known by the sessions");
        for (r, room) in presence.rooms.iter().enumerate() {
            let inner = room.strip_suffix('*').unwrap_or(room);
            let plain = !room.is_empty() && !inner.contains('*');
            self.that(plain, &format!("{at}.rooms.{r}"), "must be a room's name, or the beginning of one with `*`");
        }
        for (name, event) in [("joined", &presence.joined), ("left", &presence.left)] {
            if !event.is_empty() {
                self.event(event, &format!("{at}.{name}"));
            }
        }
    }

    fn conditions(&mut self, conditions: &[Condition], config: &Config, namespace: &Namespace, at: &str) {
        for (c, condition) in conditions.iter().enumerate() {
            let at = format!("{at}.when.{c}");
            match condition {
                Condition::InSet { key, member } => {
                    self.that(!key.is_empty(), &format!("{at}.redis_set"), "must not be empty");
                    self.that(!member.is_empty(), &format!("{at}.member"), "must not be empty");
                    self.that(config.redis.is_used(), &format!("{at}.redis_set"), "needs `redis.url`");
                }
                Condition::Upstream { .. } => self.backend(config, namespace, &format!("{at}.upstream")),
                Condition::ClaimContains { claim, value } => {
                    self.that(!claim.is_empty(), &format!("{at}.claim"), "must not be empty");
                    self.that(!value.is_empty(), &format!("{at}.contains"), "must not be empty");
                }
                Condition::ClaimEquals { claim, .. } => {
                    self.that(!claim.is_empty(), &format!("{at}.claim"), "must not be empty");
                }
                Condition::InRoom => {}
            }
        }
    }

    fn backend(&mut self, config: &Config, namespace: &Namespace, at: &str) {
        let known = !config.upstream.url.is_empty() || !namespace.upstream.url.is_empty();
        self.that(known, at, "needs `upstream.url`, or the namespace's own");
    }

    fn rules(&mut self, config: &Config, namespace: &Namespace, at: &str) {
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
                        RelayTarget::Sender | RelayTarget::All { .. } => None,
                    }
                }
                EventAction::Upstream => {
                    self.backend(config, namespace, &format!("{at}.action"));
                    None
                }
                EventAction::Acknowledge { .. } | EventAction::Ignore => None,
            };
            let empty = room.is_some_and(|room| room.trim().is_empty());
            self.that(!empty, &format!("{at}.room"), "must not be empty");
            self.conditions(&rule.when, config, namespace, &at);
            if let Some(event) = &rule.error_event {
                self.event(event, &format!("{at}.error_event"));
            }
            self.history(rule.history, config, namespace, &format!("{at}.history"));
            let in_room = rule.when.contains(&Condition::InRoom);
            let about_room = matches!(
                rule.action,
                EventAction::Leave { .. } | EventAction::Relay { to: RelayTarget::Room { .. }, .. }
            );
            self.that(!in_room || about_room, &format!("{at}.when"), "`in_room` needs a rule about a room to be in");
            let unknown = args_not_in_room(rule);
            let unknown = unknown.first().map(|arg| {
                format!("takes `{{{arg}}}`, which `room` does not: it is not known when the client comes back")
            });
            self.that(unknown.is_none(), &format!("{at}.when"), unknown.unwrap_or_default());
        }
    }

    fn history(&mut self, history: Option<History>, config: &Config, namespace: &Namespace, at: &str) {
        let Some(History { count, age }) = history else { return };
        self.that(namespace.recovery, at, "needs `recovery = true`: without it nothing is kept");
        let counted = (1..=History::MAX_COUNT).contains(&count);
        self.that(counted, &format!("{at}.count"), format!("must be 1 to {}", History::MAX_COUNT));
        let aged = age > Duration::ZERO && age <= config.recovery.window;
        self.that(aged, &format!("{at}.age"), "must be more than 0s, and at most `recovery.window`");
    }

    pub(super) fn event(&mut self, event: &str, at: &str) {
        self.that(!event.is_empty(), at, "must not be empty");
        let reserved = RESERVED.contains(&event);
        self.that(!reserved, at, format!("`{event}` is reserved by the client library"));
    }
}
