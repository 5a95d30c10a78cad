//! Whether values that have the right types make sense, alone and together. The only place where that is judged.

mod auth;
mod fleet;
mod namespaces;
mod templates;
mod tls;
mod tracing;
mod upstream;

use std::{collections::HashSet, net::SocketAddr, path::Path, time::Duration};

use tracing_subscriber::EnvFilter;

use crate::policy::{RoomTemplate, Template};

use self::templates::Kind;
use super::{Config, Internal, Log, Public, Redis, load::KeyPath, source::nearest};

/// More would only be taken up by mistake: a message is held in memory as a whole.
const MAX_PAYLOAD: usize = 256 << 20;

/// Every problem of a configuration, with the path of its key.
pub(super) fn validate(config: &Config) -> Vec<(KeyPath, String)> {
    let mut check = Check::default();
    check.that(config.workers <= 1024, "workers", "at most 1024 worker threads");
    check.positive(config);
    check.public(&config.public, config.demo);
    check.internal(&config.internal, config.public.listen);
    check.tls(&config.public.tls, &config.internal.tls);
    check.cluster(config);
    check.redis(&config.redis);
    check.drain(&config.drain);
    check.log(&config.log);
    check.tracing(&config.tracing);
    let too_slow = config.recovery.refresh >= config.recovery.window;
    check.that(!too_slow, "recovery.refresh", "must be less than `recovery.window`");
    check.namespaces(config);
    check.upstream(&config.upstream, &config.namespaces);
    check.auth(config);
    for (path, kind, template) in templates::all(&config.namespaces) {
        // empty rooms are reported already, and an empty argument is one
        if template.is_empty() {
            continue;
        }
        let parsed = match kind {
            Kind::Room => RoomTemplate::parse(&template).err(),
            Kind::Text => Template::parse(&template).err(),
        };
        if let Some(error) = parsed {
            check.found.push((path, format!("`{template}`: {error}")));
        }
    }
    check.found
}

/// The path that is written with dots.
fn key(dotted: &str) -> KeyPath {
    dotted.split('.').map(str::to_owned).collect()
}

#[derive(Default)]
struct Check {
    found: Vec<(KeyPath, String)>,
}

impl Check {
    fn that(&mut self, holds: bool, at: &str, message: impl Into<String>) {
        if !holds {
            self.found.push((key(at), message.into()));
        }
    }

    /// A file that is named must be there.
    fn file(&mut self, file: Option<&Path>, at: &str) {
        if let Some(file) = file.filter(|file| !file.is_file()) {
            self.that(false, at, format!("no such file: {}", file.display()));
        }
    }

    /// Everything that would stop the gateway from working if it were zero.
    fn positive(&mut self, config: &Config) {
        let Config { engine, limits, recovery, .. } = config;
        for (at, time) in [
            ("engine.ping_interval", engine.ping_interval),
            ("engine.ping_timeout", engine.ping_timeout),
            ("engine.upgrade_timeout", engine.upgrade_timeout),
            ("public.legacy.ping_interval", config.public.legacy.ping_interval),
            ("public.legacy.ping_timeout", config.public.legacy.ping_timeout),
            ("limits.connect_timeout", limits.connect_timeout),
            ("recovery.window", recovery.window),
            ("recovery.refresh", recovery.refresh),
            ("recovery.idempotency", recovery.idempotency),
        ] {
            self.that(time > Duration::ZERO, at, "must be more than 0s");
        }
        for (at, number) in [
            ("engine.max_payload", engine.max_payload),
            ("limits.max_namespaces", limits.max_namespaces),
            ("limits.max_rooms", limits.max_rooms),
            ("limits.outbound_queue", limits.outbound_queue),
            ("limits.max_held", limits.max_held),
            ("limits.max_pending_events", limits.max_pending_events),
            ("internal.max_body", config.internal.max_body),
            ("recovery.max_entries_per_room", recovery.max_entries_per_room),
            ("recovery.max_bytes", recovery.max_bytes),
            ("recovery.replay_max_messages", recovery.replay_max_messages),
            ("recovery.replay_max_bytes", recovery.replay_max_bytes),
            ("recovery.max_idempotency_keys", recovery.max_idempotency_keys),
            ("fanout.mailbox", config.fanout.mailbox),
        ] {
            self.that(number > 0, at, "must be more than 0");
        }
        self.that(engine.max_payload <= MAX_PAYLOAD, "engine.max_payload", "must be at most 256MiB");
    }

    fn public(&mut self, public: &Public, demo: bool) {
        let path = &public.path;
        let slashes = path.starts_with('/') && path.ends_with('/');
        self.that(slashes, "public.path", "must begin and end with `/`");
        let named = |segment: &str| segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')).map(str::to_owned);
        let names: Vec<String> = path.split('/').filter_map(named).collect();
        let simple = |name: &String| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let braces = path.contains(['{', '}']);
        let whole = path.matches(['{', '}']).count() == 2 * names.len() && names.iter().all(simple);
        self.that(
            !braces || whole,
            "public.path",
            "`{name}` stands for a whole segment, and is letters, digits or `_`",
        );
        let distinct = names.iter().collect::<HashSet<_>>().len() == names.len();
        self.that(distinct, "public.path", "two segments have the same name");
        self.that(!(demo && braces), "public.path", "the demo page needs a path without `{` and `}`");
        let plain = path.chars().all(|c| c.is_ascii_graphic() && !"?#%".contains(c)) && !path.contains("//");
        self.that(plain, "public.path", "must be a plain path, without spaces, `//`, `?`, `#` or `%`");
        self.that(!(demo && path == "/"), "public.path", "`/` is taken by the demo page");
        let distinct: HashSet<_> = public.transports.iter().collect();
        self.that(!distinct.is_empty(), "public.transports", "at least one transport is required");
        let twice = distinct.len() < public.transports.len();
        self.that(!twice, "public.transports", "a transport is named twice");
        let missing = public.client_dir.as_ref().filter(|dir| !dir.is_dir());
        if let Some(dir) = missing {
            self.that(false, "public.client_dir", format!("no such directory: {}", dir.display()));
        }
    }

    fn internal(&mut self, internal: &Internal, public: SocketAddr) {
        let guarded = internal.listen.ip().is_loopback() || !internal.api_keys.is_empty();
        let message = "beyond loopback at least one [[internal.api_keys]] is required (see `carillon token`)";
        self.that(guarded, "internal.listen", message);
        let same = internal.listen == public && public.port() != 0;
        self.that(!same, "internal.listen", "is the address of `public.listen`");
        let mut hashes = HashSet::new();
        for (i, api_key) in internal.api_keys.iter().enumerate() {
            let at = format!("internal.api_keys.{i}");
            self.that(!api_key.name.trim().is_empty(), &format!("{at}.name"), "must not be empty");
            let scopes: HashSet<_> = api_key.scopes.iter().collect();
            self.that(!scopes.is_empty(), &format!("{at}.scopes"), "at least one scope is required");
            let twice = scopes.len() < api_key.scopes.len();
            self.that(!twice, &format!("{at}.scopes"), "a scope is named twice");
            let fresh = hashes.insert(api_key.sha256);
            self.that(fresh, &format!("{at}.sha256"), "the same key is configured twice");
        }
    }

    fn redis(&mut self, redis: &Redis) {
        let url = &redis.url.0;
        let known = ["redis://", "rediss://", "redis+unix://"].iter().any(|scheme| url.starts_with(scheme));
        self.that(url.is_empty() || known, "redis.url", "must begin with `redis://`, `rediss://` or `redis+unix://`");
        self.that(!redis.prefix.is_empty(), "redis.prefix", "must not be empty");
        let plain = redis.prefix.chars().all(|c| c.is_ascii_graphic() && !"{}".contains(c));
        self.that(plain, "redis.prefix", "must be plain characters, without `{` and `}`");
        self.that(redis.timeout > Duration::ZERO, "redis.timeout", "must be more than 0s");
        self.that(redis.patience >= redis.timeout, "redis.patience", "must be at least `redis.timeout`");
        self.that(redis.inbox > 0, "redis.inbox", "must be more than 0");
        self.that(redis.readers > 0, "redis.readers", "must be more than 0");
        self.that(matches!(redis.format, 1 | 2), "redis.format", "must be 1 or 2");
        let pair = redis.cert_file.is_some() == redis.key_file.is_some();
        self.that(pair, "redis.key_file", "`cert_file` and `key_file` go together");
        for (at, file) in [("ca_file", &redis.ca_file), ("cert_file", &redis.cert_file), ("key_file", &redis.key_file)]
        {
            self.file(file.as_deref(), &format!("redis.{at}"));
        }
    }

    fn log(&mut self, log: &Log) {
        if let Err(error) = EnvFilter::builder().parse(&log.level) {
            return self.that(false, "log.level", format!("not a filter: {error}"));
        }
        // A bare word that is no level is a target to the filter, so that a misspelt level would log nothing.
        let levels = ["error", "warn", "info", "debug", "trace", "off"];
        for word in log.level.split(',').map(|word| word.trim().to_ascii_lowercase()) {
            let near = nearest(&word, levels).filter(|near| *near != word);
            if let Some(near) = near {
                self.that(false, "log.level", format!("`{word}` is not a level, did you mean `{near}`?"));
            }
        }
        self.that(!log.level.trim().is_empty(), "log.level", "must not be empty; `off` logs nothing");
    }
}

#[cfg(test)]
mod tests;
