use super::*;
use crate::config::{Emit, EventAction, EventRule, History, KeyHash, Namespace, RelayTarget, Scope};

pub(super) fn found(config: &Config) -> Vec<String> {
    validate(config).into_iter().map(|(path, message)| format!("{}: {message}", path.join("."))).collect()
}

/// A change to the default, and the one problem it makes.
pub(super) type Case = (fn(&mut Config), &'static str);

pub(super) fn check(cases: &[Case]) {
    for (change, problem) in cases {
        let mut config = Config::default();
        change(&mut config);
        let found = found(&config);
        assert!(
            if problem.is_empty() { found.is_empty() } else { found == [*problem] },
            "{problem:?}, found {found:?}"
        );
    }
}

fn key(hash: u8) -> crate::config::ApiKey {
    crate::config::ApiKey { name: "a".to_owned(), sha256: KeyHash([hash; 32]), scopes: vec![Scope::Read] }
}

fn namespaces(config: &mut Config, names: &[&str]) {
    config.namespaces = names.iter().map(|name| Namespace::quiet(name)).collect();
}

fn event(config: &mut Config, event: &str, action: EventAction) {
    let mut namespace = Namespace::quiet("/");
    let event = event.to_owned();
    namespace.events = vec![EventRule { event, action, when: Vec::new(), error_event: None, history: None }];
    config.namespaces = vec![namespace];
}

#[test]
fn default_is_valid() {
    assert_eq!(found(&Config::default()), Vec::<String>::new());
    assert_eq!(found(&Config { namespaces: vec![Namespace::demo()], ..Config::default() }), Vec::<String>::new());
}

#[test]
fn listeners() {
    check(&[
        (|c| c.workers = 2000, "workers: at most 1024 worker threads"),
        (|c| c.public.path = "socket.io/".into(), "public.path: must begin and end with `/`"),
        (|c| c.public.path = "/socket.io".into(), "public.path: must begin and end with `/`"),
        (
            |c| c.public.path = "/a b/".into(),
            "public.path: must be a plain path, without spaces, `//`, `?`, `#` or `%`",
        ),
        (|c| c.public.path = "/".into(), ""),
        (|c| (c.demo, c.public.path) = (true, "/".into()), "public.path: `/` is taken by the demo page"),
        (|c| c.public.transports.clear(), "public.transports: at least one transport is required"),
        (|c| c.public.transports.extend_from_within(..1), "public.transports: a transport is named twice"),
        (|c| c.public.client_dir = Some("/no/such".into()), "public.client_dir: no such directory: /no/such"),
        (
            |c| c.internal.listen = ([0, 0, 0, 0], 9100).into(),
            "internal.listen: beyond loopback at least one [[internal.api_keys]] is required (see `carillon token`)",
        ),
        (|c| (c.internal.listen, c.internal.api_keys) = (([0, 0, 0, 0], 9100).into(), vec![key(1)]), ""),
        (|c| c.internal.listen = ([0, 0, 0, 0, 0, 0, 0, 1], 9100).into(), ""),
        (|c| c.public.listen = c.internal.listen, "internal.listen: is the address of `public.listen`"),
        (
            |c| c.internal.api_keys = vec![key(1), key(1)],
            "internal.api_keys.1.sha256: the same key is configured twice",
        ),
        (
            |c| c.internal.api_keys = vec![crate::config::ApiKey { name: " ".into(), ..key(1) }],
            "internal.api_keys.0.name: must not be empty",
        ),
        (
            |c| c.internal.api_keys = vec![crate::config::ApiKey { scopes: vec![], ..key(1) }],
            "internal.api_keys.0.scopes: at least one scope is required",
        ),
    ]);
}

#[test]
fn times_sizes_and_log() {
    check(&[
        (|c| c.engine.ping_interval = Duration::ZERO, "engine.ping_interval: must be more than 0s"),
        (|c| c.engine.ping_timeout = Duration::ZERO, "engine.ping_timeout: must be more than 0s"),
        (|c| c.public.legacy.ping_interval = Duration::ZERO, "public.legacy.ping_interval: must be more than 0s"),
        (|c| c.public.legacy.ping_timeout = Duration::ZERO, "public.legacy.ping_timeout: must be more than 0s"),
        (|c| c.engine.max_payload = 0, "engine.max_payload: must be more than 0"),
        (|c| c.engine.max_payload = 1 << 30, "engine.max_payload: must be at most 256MiB"),
        (|c| c.limits.outbound_queue = 0, "limits.outbound_queue: must be more than 0"),
        (|c| c.recovery.refresh = Duration::from_secs(120), "recovery.refresh: must be less than `recovery.window`"),
        (|c| c.recovery.max_sessions = 0, ""),
        (|c| c.fanout.mailbox = 0, "fanout.mailbox: must be more than 0"),
        (|c| c.drain.spread = c.drain.deadline, ""),
        (
            |c| c.drain.spread = Duration::from_secs(26),
            "drain.deadline: must be at least `drain.ready_delay` + `drain.spread`",
        ),
        (|c| c.drain.spread = Duration::MAX, "drain.deadline: must be at least `drain.ready_delay` + `drain.spread`"),
        (|c| c.log.level = "inof".into(), "log.level: `inof` is not a level, did you mean `info`?"),
        (
            |c| c.log.level = "info,hyper=inof".into(),
            "log.level: not a filter: error parsing level filter: expected one of \"off\", \"error\", \"warn\", \"info\", \"debug\", \"trace\", or a number 0-5",
        ),
        (|c| c.log.level = "warn,carillon_gateway=debug".into(), ""),
        (|c| c.log.level = String::new(), "log.level: must not be empty; `off` logs nothing"),
    ]);
}

#[test]
fn namespaces_and_rules() {
    let ignore = || EventAction::Ignore;
    check(&[
        (|c| namespaces(c, &["/", "/a"]), ""),
        (|c| namespaces(c, &["a"]), "namespaces.0.name: `a` must begin with `/`"),
        (|c| namespaces(c, &["/", "/a", "/"]), "namespaces.2.name: `/` is configured twice"),
        (|c| namespaces(c, &["/a,b"]), "namespaces.0.name: must not contain `,`, `?` or spaces"),
        (|c| event(c, "", EventAction::Ignore), "namespaces.0.events.0.event: must not be empty"),
        (
            |c| event(c, "disconnect", EventAction::Ignore),
            "namespaces.0.events.0.event: `disconnect` is reserved by the client library",
        ),
        (|c| event(c, "e", EventAction::Join { room: String::new() }), "namespaces.0.events.0.room: must not be empty"),
        (
            |c| event(c, "e", EventAction::Relay { to: RelayTarget::Sender, as_event: Some("connect".into()) }),
            "namespaces.0.events.0.as: `connect` is reserved by the client library",
        ),
    ]);
    let mut config = Config::default();
    event(&mut config, "e", ignore());
    config.namespaces[0].events.push(EventRule::new("e", ignore()));
    config.namespaces[0].on_connect.join = vec!["".into()];
    config.namespaces[0].on_connect.emit = vec![Emit { event: "connect_error".to_owned(), args: Vec::new() }];
    assert_eq!(
        found(&config),
        [
            "namespaces.0.on_connect.join.0: must not be empty",
            "namespaces.0.on_connect.emit.0.event: `connect_error` is reserved by the client library",
            "namespaces.0.events.1.event: `e` has a rule already",
        ]
    );
}

#[test]
fn a_rooms_history_is_bounded() {
    let with = |count, seconds, recovery| {
        let mut config = Config::default();
        event(&mut config, "e", EventAction::Join { room: "r".into() });
        config.namespaces[0].recovery = recovery;
        config.namespaces[0].events[0].history = Some(History { count, age: Duration::from_secs(seconds) });
        found(&config)
    };
    let at = "namespaces.0.events.0.history";
    assert_eq!(with(1, 1, true), [""; 0]);
    assert_eq!(with(1000, 120, true), [""; 0]);
    assert_eq!(with(0, 1, true), [format!("{at}.count: must be 1 to 1000")]);
    assert_eq!(with(1001, 1, true), [format!("{at}.count: must be 1 to 1000")]);
    let age = format!("{at}.age: must be more than 0s, and at most `recovery.window`");
    assert_eq!((with(1, 0, true), with(1, 121, true)), (vec![age.clone()], vec![age]));
    assert_eq!(with(1, 1, false), [format!("{at}: needs `recovery = true`: without it nothing is kept")]);
}

#[test]
fn every_template_is_found_with_its_path() {
    let mut namespace = Namespace::demo();
    namespace.on_connect.join = vec!["user:{auth.user}".into()];
    let args = vec![serde_json::json!({ "a": [1, "{auth}"] })];
    namespace.on_connect.emit = vec![Emit { event: "e".to_owned(), args }];
    let found: Vec<String> = templates::all(&[namespace])
        .into_iter()
        .map(|(path, _, template)| format!("{}={template}", path.join(".")))
        .collect();
    assert_eq!(
        found,
        [
            "namespaces.0.on_connect.join.0=user:{auth.user}",
            "namespaces.0.on_connect.emit.0.args.0.a.1={auth}",
            "namespaces.0.events.0.room={args.0}",
            "namespaces.0.events.1.room={args.0}",
            "namespaces.0.events.2.room={args.0}",
        ]
    );
}
