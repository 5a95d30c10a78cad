use super::{
    tests::{bad, environment},
    *,
};

const KEY: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

#[test]
fn keys_and_types_are_judged() {
    let key = |lines: &str| format!("[[internal.api_keys]]\nname = 'a'\nscopes = ['read']\n{lines}");
    for (text, problem) in [
        ("wrokers = 1".to_owned(), "wrokers: unknown key, did you mean `workers`?"),
        ("[pubic]\nlisten = ''".to_owned(), "pubic: unknown key, did you mean `public`?"),
        (
            "[drain]\nxyzzy = 1".to_owned(),
            "drain.xyzzy: unknown key, expected one of `ready_delay`, `spread`, `deadline`, `grace_period`",
        ),
        ("workers = 'two'".to_owned(), "workers: expected an integer, 0 or more, found string \"two\""),
        ("workers = -1".to_owned(), "workers: expected an integer, 0 or more, found signed int `-1`"),
        ("public = 1".to_owned(), "public: expected a table, found signed int `1`"),
        (
            "[engine]\nping_interval = 25".to_owned(),
            "engine.ping_interval: expected a duration such as \"300ms\", \"25s\" or \"2m\", found signed int `25`",
        ),
        (
            "[engine]\nmax_payload = -1".to_owned(),
            "engine.max_payload: expected a size: bytes as an integer, or a string such as \"1MiB\", found signed int `-1`",
        ),
        (
            "[engine]\nmax_payload = '1 elephant'".to_owned(),
            "engine.max_payload: expected a size: bytes as an integer, or a string such as \"1MiB\", found string \"1 elephant\"",
        ),
        (
            "[public]\nlisten = '8080'".to_owned(),
            "public.listen: expected an address and port such as \"127.0.0.1:8080\" or \"[::1]:8080\", found string \"8080\"",
        ),
        (
            "[public]\ntransports = ['websockets']".to_owned(),
            "public.transports[0]: unknown value \"websockets\", did you mean \"websocket\"?",
        ),
        (
            "[public]\ntrusted_proxies = ['10.0.0.0/8', 'x']".to_owned(),
            "public.trusted_proxies[1]: expected a network in CIDR notation such as \"10.0.0.0/8\", found string \"x\"",
        ),
        (
            "[public]\nallowed_origins = ['example.com']".to_owned(),
            "public.allowed_origins[0]: expected \"*\" or an origin such as \"https://example.com\" (scheme://host[:port], no path), found string \"example.com\"",
        ),
        (
            key("sha256 = 'abc'"),
            "internal.api_keys[0].sha256: expected 64 hex digits, the sha256 of the key (see `carillon token`), found string \"abc\"",
        ),
        (key(""), "internal.api_keys[0].sha256: required, but absent"),
        (
            key(&format!("sha256 = '{KEY}'")).replace("read", "reed"),
            "internal.api_keys[0].scopes[0]: unknown value \"reed\", did you mean \"read\"?",
        ),
        ("[[namespaces]]\nrecovery = true".to_owned(), "namespaces[0].name: required, but absent"),
        (
            "[[namespaces]]\nname = '/'\nparser = 'json'".to_owned(),
            "namespaces[0].parser: unknown key, expected one of `name`, `recovery`, `auth`, `upstream`, `on_connect`, `presence`, `limits`, `events`",
        ),
    ] {
        let found = bad(&text, &[]);
        assert_eq!(found.first().map(String::as_str), Some(format!("c.toml: {problem}").as_str()), "{text}");
    }
}

#[test]
fn rules_are_judged() {
    for (rule, problem) in [
        ("action = 'join'", ": action \"join\" needs `room`"),
        ("action = 'leave'", ": action \"leave\" needs `room`"),
        ("action = 'relay'", ": action \"relay\" needs `to`"),
        ("action = 'relay'\nto = 'room'", ": relay to = \"room\" needs `room`"),
        ("action = 'relay'\nto = 'sender'\nroom = 'r'", ": `room` has no meaning for relay to = \"sender\""),
        ("action = 'acknowledge'", ": action \"acknowledge\" needs `with`"),
        ("action = 'acknowledge'\nwith = 'recieved'", ": `with` must be \"received\" or a list of JSON values"),
        ("action = 'ignore'\nas = 'x'", ": `as` has no meaning for action \"ignore\""),
        ("action = 'join'\nroom = 'r'\nto = 'room'", ": `to` has no meaning for action \"join\""),
        ("action = 'relai'", ".action: unknown value \"relai\", did you mean \"relay\"?"),
        ("action = 'relay'\nto = 'rooms'", ".to: unknown value \"rooms\", did you mean \"room\"?"),
        ("action = 'ignore'\nexcept_sendr = true", ".except_sendr: unknown key, did you mean `except_sender`?"),
        ("action = 'join'\nroom = 1", ".room: expected a string, found signed int `1`"),
        ("action = 'relay'\nto = 'all'\nroom = 'r'", ": `room` has no meaning for relay to = \"all\""),
        ("action = 'upstream'\nroom = 'r'", ": `room` has no meaning for action \"upstream\""),
        ("action = 'upstream'", ".action: needs `upstream.url`, or the namespace's own"),
        ("action = 'ignore'\nwhen = { claim = 'x' }", ".when: `claim` needs `contains` or `equals`"),
        (
            "action = 'ignore'\nwhen = [{ claim = 'x', equals = 1, member = 'm' }]",
            ".when[0]: `member` has no meaning here",
        ),
        ("action = 'ignore'\nwhen = [{ redis_set = 'x' }]", ".when[0]: `redis_set` needs `member`"),
        (
            "action = 'ignore'\nwhen = [{}]",
            ".when[0]: a condition has one of `claim`, `redis_set`, `upstream = true`, `in_room = true`; several go into a list",
        ),
        (
            "action = 'ignore'\nwhen = 'x'",
            ".when: expected a condition such as `{ claim = \"role\", equals = \"admin\" }`, or a list of them, found string \"x\"",
        ),
        ("action = 'ignore'\nwhen = { redis_set = 'k', member = '{user}' }", ".when[0].redis_set: needs `redis.url`"),
        ("action = 'ignore'\nwhen = { in_room = true }", ".when: `in_room` needs a rule about a room to be in"),
        (
            "action = 'ignore'\nwhen = { claim = 'x', contains = '{arg.0}' }",
            ".when[0].contains: `{arg.0}`: unknown placeholder `{arg.0}`: it starts with auth, claims, user, query, path or args",
        ),
        (
            "action = 'join'\nroom = 'r:{args.0}'\nwhen = { claim = 'x', contains = '{args.1}' }",
            ".when: takes `{args.1}`, which `room` does not: it is not known when the client comes back",
        ),
        (
            "action = 'join'\nroom = '{args.0}{args.1}'",
            ".room: `{args.0}{args.1}`: between two placeholders there must be one of `: / | #`",
        ),
        ("action = 'ignore'\nerror_event = 'connect'", ".error_event: `connect` is reserved by the client library"),
    ] {
        let text = format!("[[namespaces]]\nname = '/'\n[[namespaces.events]]\nevent = 'e'\n{rule}");
        let found = bad(&text, &[]);
        assert_eq!(found.first(), Some(&format!("c.toml: namespaces[0].events[0]{problem}")), "{rule}");
    }
}

#[test]
fn rooms_joined_on_connect_and_presence_are_judged() {
    for (rule, problem) in [
        (
            "on_connect.join = [1]",
            "on_connect.join[0]: expected the template of a room, or a table with `room`, found signed int `1`",
        ),
        ("on_connect.join = [{ optional = true }]", "on_connect.join[0].room: required, but absent"),
        ("on_connect.join = [{ room = '' }]", "on_connect.join[0]: must not be empty"),
        (
            "on_connect.join = [{ room = 'r', when = { in_room = true } }]",
            "on_connect.join[0].when: `in_room` has no meaning where a room is joined",
        ),
        ("presence.rooms = ['a*b']", "presence.rooms[0]: must be a room's name, or the beginning of one with `*`"),
        ("presence.joined = 'disconnect'", "presence.joined: `disconnect` is reserved by the client library"),
        (
            "recovery = false\npresence.rooms = ['a']",
            "presence.rooms: needs `recovery = true`: who is where is known by the sessions",
        ),
    ] {
        let found = bad(&format!("[[namespaces]]\nname = '/'\n{rule}"), &[]);
        assert_eq!(found.first(), Some(&format!("c.toml: namespaces[0].{problem}")), "{rule}");
    }
}

#[test]
fn paths_with_names_are_judged() {
    for (path, problem) in [
        ("/rt/{tenant/", "`{name}` stands for a whole segment, and is letters, digits or `_`"),
        ("/rt/x{tenant}/", "`{name}` stands for a whole segment, and is letters, digits or `_`"),
        ("/{a}/{a}/", "two segments have the same name"),
    ] {
        let found = bad(&format!("[public]\npath = '{path}'"), &[]);
        assert_eq!(found.first(), Some(&format!("c.toml: public.path: {problem}")), "{path}");
    }
}

#[test]
fn everything_is_reported_at_once_under_the_written_index() {
    let found = bad(
        "wrokers = 1
        [public]
        path = 'x'
        [engine]
        ping_interval = 'soon'
        [[namespaces]]
        nam = '/a'
        [[namespaces]]
        name = 'b'
        [[namespaces]]
        name = '/c'
        recovery = 'no'",
        &[("CARILLON_DRAIN__SPREAD", "1h")],
    );
    assert_eq!(
        found,
        [
            "c.toml: engine.ping_interval: expected a duration such as \"300ms\", \"25s\" or \"2m\", found string \"soon\"",
            "c.toml: namespaces[0].nam: unknown key, did you mean `name`?",
            "c.toml: namespaces[0].name: required, but absent",
            "c.toml: namespaces[2].recovery: expected true or false, found string \"no\"",
            "c.toml: wrokers: unknown key, did you mean `workers`?",
            "c.toml: public.path: must begin and end with `/`",
            "c.toml: drain.deadline: must be at least `drain.ready_delay` + `drain.spread`",
            "c.toml: namespaces[1].name: `b` must begin with `/`",
        ]
    );
}

#[test]
fn file_that_cannot_be_read_or_parsed() {
    let missing = load(Some(Path::new("/no/such.toml")), &environment(&[])).unwrap_err();
    assert!(missing.to_string().starts_with("cannot read /no/such.toml: "), "{missing}");
    let syntax = parse("c.toml", "a = \n", &environment(&[])).unwrap_err().to_string();
    assert!(syntax.starts_with("c.toml is not valid TOML: ") && syntax.contains("line 1"), "{syntax}");
}
