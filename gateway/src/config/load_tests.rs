use std::time::Duration;

use super::*;
use crate::config::{AckWith, AllowedOrigin, EventAction, JoinRule, Namespace, RelayTarget, Transport};

pub(super) fn environment(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn good(text: &str, variables: &[(&str, &str)]) -> Config {
    parse("c.toml", text, &environment(variables)).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

pub(super) fn bad(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let error = parse("c.toml", text, &environment(variables)).unwrap_err();
    error.problems().iter().map(ToString::to_string).collect()
}

#[test]
fn nothing_given_is_the_documented_default() {
    assert_eq!(good("", &[]), Config::default());
}

#[test]
fn top_level_keys_are_all_known() {
    let keys = serde_json::to_value(Config::default()).unwrap();
    let keys: Vec<&String> = keys.as_object().unwrap().keys().collect();
    assert_eq!(keys, TOP_LEVEL);
}

#[test]
fn values_are_read_in_every_form() {
    let config = good(
        "workers = 2
        [public]
        listen = '[::1]:80'
        transports = ['websocket']
        allowed_origins = ['https://Example.com', 'http://localhost:3000', 'http://[::1]:80', 'capacitor://localhost']
        trusted_proxies = ['10.0.0.0/8', 'fd00::/8']
        client_dir = '.'
        [engine]
        ping_interval = '300ms'
        max_payload = 100
        [recovery]
        window = '1m 30s'
        max_bytes = '64KiB'
        [limits]
        outbound_queue = '2MB'",
        &[],
    );
    assert_eq!(config.workers, 2);
    assert_eq!(config.public.listen.to_string(), "[::1]:80");
    assert!(config.public.allows(Transport::Websocket) && !config.public.allows(Transport::Polling));
    assert_eq!(config.public.allowed_origins[0], AllowedOrigin::Exact("https://example.com".to_owned()));
    assert!(config.public.allows_origin("https://example.com") && !config.public.allows_origin("https://example.org"));
    assert_eq!(config.public.trusted_proxies.len(), 2);
    assert_eq!(config.public.client_dir.as_deref(), Some(Path::new(".")));
    assert_eq!(config.engine.ping_interval, Duration::from_millis(300));
    assert_eq!(config.recovery.window, Duration::from_secs(90));
    assert_eq!((config.recovery.max_bytes, config.limits.outbound_queue), (64 * 1024, 2_000_000));
}

#[test]
fn rules_become_actions() {
    let config = good(
        "[[namespaces]]
        name = '/'
        recovery = false
        [namespaces.on_connect]
        join = ['user:{auth.user}', 'news']
        emit = [{ event = 'auth', args = ['{auth}', 1, { a = [true] }] }]
        [[namespaces.events]]
        event = 'a'
        action = 'join'
        room = 'r{args.0}'
        [[namespaces.events]]
        event = 'b'
        action = 'relay'
        to = 'sender'
        as = 'b2'
        [[namespaces.events]]
        event = 'c'
        action = 'relay'
        to = 'room'
        room = 'r'
        except_sender = true
        [[namespaces.events]]
        event = 'd'
        action = 'acknowledge'
        with = 'received'
        [[namespaces.events]]
        event = 'e'
        action = 'acknowledge'
        with = [42, { text = 'fixed' }]
        [[namespaces.events]]
        event = 'f'
        action = 'ignore'",
        &[],
    );
    let [namespace] = config.namespaces.as_slice() else {
        panic!("one namespace");
    };
    assert!(!namespace.recovery);
    assert_eq!(namespace.on_connect.join, ["user:{auth.user}", "news"].map(JoinRule::from));
    assert_eq!(
        namespace.on_connect.emit[0].args,
        [serde_json::json!("{auth}"), 1.into(), serde_json::json!({ "a": [true] })]
    );
    let actions: Vec<&EventAction> = namespace.events.iter().map(|rule| &rule.action).collect();
    let room = |room: &str, except_sender| RelayTarget::Room { room: room.to_owned(), except_sender };
    let fixed = AckWith::Args(vec![42.into(), serde_json::json!({ "text": "fixed" })]);
    assert_eq!(
        actions,
        [
            &EventAction::Join { room: "r{args.0}".to_owned() },
            &EventAction::Relay { to: RelayTarget::Sender, as_event: Some("b2".to_owned()) },
            &EventAction::Relay { to: room("r", true), as_event: None },
            &EventAction::Acknowledge { with: AckWith::Received },
            &EventAction::Acknowledge { with: fixed },
            &EventAction::Ignore,
        ]
    );
}

#[test]
fn what_is_written_is_read_back() {
    let config = Config { namespaces: vec![Namespace::demo()], ..Config::default() };
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<Config>(&text).unwrap(), config);
}

#[test]
fn effective_namespaces_without_any() {
    assert_eq!(good("", &[]).effective_namespaces().as_ref(), [Namespace::quiet("/")]);
    assert_eq!(good("demo = true", &[]).effective_namespaces().as_ref(), [Namespace::demo()]);
    let configured = good("demo = true\n[[namespaces]]\nname = '/a'", &[]);
    assert_eq!(configured.effective_namespaces().as_ref(), [Namespace::quiet("/a")]);
}

#[test]
fn environment_is_laid_over_the_file() {
    let variables = [
        ("CARILLON_WORKERS", "3"),
        ("CARILLON_DEMO", "true"),
        ("CARILLON_PUBLIC__LISTEN", "127.0.0.1:0"),
        ("CARILLON_PUBLIC__TRANSPORTS", "[\"polling\"]"),
        ("CARILLON_PUBLIC__CLIENT_DIR", ""),
        ("CARILLON_ENGINE__PING_INTERVAL", "1s"),
        ("CARILLON_ENGINE__MAX_PAYLOAD", "1MiB"),
        ("CARILLON_NAMESPACES", "[{name=\"/x\", recovery=false}]"),
        // Not ours, though they begin like ours.
        ("CARILLON_CONFIG", "c.toml"),
        ("CARILLON_API_KEY", "not to be shown"),
        ("CARILLON_BIN", "target/debug/carillon"),
        ("CARILLON_PORT", "tcp://10.0.0.1:8080"),
        ("CARILLON_SERVICE_HOST", "10.0.0.1"),
        ("OTHER", "x"),
    ];
    let config = good("workers = 1\n[public]\nlisten = '0.0.0.0:1'\nupgrades = false", &variables);
    assert_eq!((config.workers, config.demo), (3, true));
    assert_eq!(config.public.listen.to_string(), "127.0.0.1:0");
    assert_eq!(config.public.transports, [Transport::Polling]);
    assert!(!config.public.upgrades, "keys beside the overridden one stay");
    assert_eq!(config.public.client_dir, None);
    assert_eq!(config.engine.ping_interval, Duration::from_secs(1));
    assert_eq!(config.engine.max_payload, 1 << 20);
    assert_eq!(config.namespaces, [Namespace { recovery: false, ..Namespace::quiet("/x") }]);
    assert!(!format!("{config:?}").contains("not to be shown"));
}

#[test]
fn environment_problems_name_the_variable() {
    for (name, value, problem) in [
        (
            "CARILLON_PUBLIC__LISSTEN",
            "1:1",
            "CARILLON_PUBLIC__LISSTEN: public.lissten: unknown key, did you mean `listen`?",
        ),
        ("CARILLON_WORKRES", "1", "CARILLON_WORKRES: workres: unknown key, did you mean `workers`?"),
        ("CARILLON_DEMO", "maybe", "CARILLON_DEMO: demo: expected true or false, found string \"maybe\""),
        ("CARILLON_PUBLIC", "x", "CARILLON_PUBLIC: public: expected a table, found string \"x\""),
        ("CARILLON_WORKERS__X", "1", "CARILLON_WORKERS__X: workers: expected an integer, 0 or more, found map"),
        (
            "CARILLON_ENGINE__PING_TIMEOUT",
            "0s",
            "CARILLON_ENGINE__PING_TIMEOUT: engine.ping_timeout: must be more than 0s",
        ),
        (
            "CARILLON_PUBLIC__TRANSPORTS",
            "polling",
            "CARILLON_PUBLIC__TRANSPORTS: public.transports: expected a list, found string \"polling\"",
        ),
    ] {
        assert_eq!(bad("", &[(name, value)]), [problem]);
    }
}

#[test]
fn the_internal_listener_is_found_in_a_file_that_has_become_wrong() {
    let folder = std::env::temp_dir().join(format!("carillon-load-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("carillon.toml");
    let text = "[internal]\nlisten = '127.0.0.1:7'\n[internal.tls]\ncert_file = 'c'\nnew = 1\n[drian]\nx = 1\n[engine]\nping_timeout = 7";
    std::fs::write(&file, text).unwrap();
    let found = load_internal(Some(&file), &BTreeMap::new()).unwrap();
    assert_eq!((found.listen.to_string().as_str(), found.tls.cert_file), ("127.0.0.1:7", Some("c".into())));
    let over = BTreeMap::from([("CARILLON_INTERNAL__LISTEN".to_owned(), "127.0.0.1:8".to_owned())]);
    assert_eq!(load_internal(Some(&file), &over).unwrap().listen.port(), 8);
    assert_eq!(load_internal(None, &over).unwrap().listen.port(), 8);
    std::fs::write(&file, "= =").unwrap();
    assert!(matches!(load_internal(Some(&file), &over), Err(ConfigError::Syntax { .. })));
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(matches!(load_internal(Some(&file), &over), Err(ConfigError::Unreadable { .. })));
}
