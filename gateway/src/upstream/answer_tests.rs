use super::*;
use crate::message::{NamespaceId, Token};
use proptest::prelude::*;
use serde_json::json;

fn own() -> SocketId {
    SocketId(Token::parse("AAAAAAAAAAAAAAAAAAAA").unwrap())
}

fn read(body: &[u8]) -> Result<Answer, BadAnswer> {
    let namespace = NamespaceRef { id: NamespaceId(3), name: "/a".into(), recovery: true };
    answer(body, &namespace, own())
}

fn named(name: &str) -> Room {
    Room::named(name).unwrap()
}

#[test]
fn nothing_is_an_answer() {
    for body in [
        "",
        " \r\n",
        "{}",
        r#"{"ack":null,"error":null,"emit":null,"join":null,"leave":null,"disconnect":null}"#,
        r#"{"newer":[1],"disconnect":false,"emit":[]}"#,
    ] {
        let Answer { ack, error, emit, join, leave, disconnect } = read(body.as_bytes()).unwrap();
        assert_eq!((ack, error, join, leave), (None, None, vec![], vec![]), "{body}");
        assert_eq!((emit.len(), disconnect), (0, Leave::No), "{body}");
    }
}

#[test]
fn everything_is_read() {
    let body = json!({
        "ack": [{ "ok": true }, { "$binary": "AQID" }],
        "error": { "code": "full", "message": "no" },
        "join": ["b", "user:ann", "a", "b"],
        "leave": ["y", "x"],
        "disconnect": "close",
    });
    let answer = read(body.to_string().as_bytes()).unwrap();
    let acked = answer.ack.unwrap();
    assert_eq!(acked.elements, r#"{"ok":true},{"_placeholder":true,"num":0}"#);
    assert_eq!(acked.attachments, [Bytes::from_static(&[1, 2, 3])]);
    assert_eq!(answer.error, Some(Refusal { code: "full".into(), message: "no".into() }));
    assert_eq!(answer.join, [named("b"), Room::user("ann").unwrap(), named("a")]);
    assert_eq!(answer.leave, [named("y"), named("x")]);
    assert_eq!(answer.disconnect, Leave::Connection);
    assert_eq!(read(br#"{"disconnect":true}"#).unwrap().disconnect, Leave::Namespace);
    assert_eq!(read(br#"{"ack":[]}"#).unwrap().ack.unwrap().elements, "");
    assert_eq!(read(br#"{"error":{"code":"c"}}"#).unwrap().error.unwrap().message, "");
}

#[test]
fn emits_become_drafts() {
    let other = "BBBBBBBBBBBBBBBBBBBB";
    let other_room = Room::Socket(SocketId(Token::parse(other).unwrap()));
    let me = Room::Socket(own());
    let cases: [(Value, Vec<Room>, Vec<Room>); 8] = [
        (json!({}), vec![me.clone()], vec![]),
        (json!({ "target": null, "except": null, "args": null, "volatile": null }), vec![me.clone()], vec![]),
        (json!({ "target": "sender" }), vec![me.clone()], vec![]),
        (json!({ "target": "all" }), vec![Room::All], vec![]),
        (json!({ "target": "others" }), vec![Room::All], vec![me.clone()]),
        (
            json!({ "target": "others", "except": { "rooms": ["r"], "sockets": [other] } }),
            vec![Room::All],
            vec![me.clone(), other_room.clone(), named("r")],
        ),
        (
            json!({ "target": "others", "except": { "sockets": [own().to_string()] } }),
            vec![Room::All],
            vec![me.clone()],
        ),
        (
            json!({ "target": { "rooms": ["r", "r"], "users": ["ann"], "sockets": [other] } }),
            vec![other_room, Room::user("ann").unwrap(), named("r")],
            vec![],
        ),
    ];
    for (mut item, rooms, except) in cases {
        item["event"] = "e".into();
        let answer = read(json!({ "emit": [item] }).to_string().as_bytes()).unwrap();
        let [draft] = &answer.emit[..] else { panic!("{item}: {} drafts", answer.emit.len()) };
        assert_eq!((&draft.rooms[..], &draft.except), (&rooms[..], &except), "{item}");
        assert_eq!((draft.namespace.id, draft.volatile, &draft.idempotency), (NamespaceId(3), false, &None));
    }
    let body = br#"{"emit":[{"event":"e","args":[1.50,{"$binary":""}],"volatile":true},{"event":"f"}]}"#;
    let emit = read(body).unwrap().emit;
    assert_eq!(emit[0].body.elements(), r#""e",1.5,{"_placeholder":true,"num":0}"#);
    assert!(emit[0].volatile && emit[0].body.attachments().len() == 1);
    assert_eq!(emit[1].body.elements(), r#""f""#);
}

#[test]
fn bad_answers_are_refused_as_a_whole() {
    let deep = format!(r#"{{"ack":[{}{}]}}"#, "[".repeat(101), "]".repeat(101));
    let abyss = "[".repeat(1_000_000);
    let hidden = format!(r#"{{"unknown":{}{}, "ack":[1]}}"#, "[".repeat(1000), "]".repeat(1000));
    let many = |field: &str, item: &str| format!(r#"{{"{field}":[{}]}}"#, vec![item; 101].join(","));
    for (body, reason) in [
        ("nonsense", "not valid json"),
        ("[]", "expected an object"),
        ("null", "expected an object"),
        ("{} {}", "trailing characters"),
        (r#"{"ack":{}}"#, "field `ack`"),
        (r#"{"ack":"ok"}"#, "field `ack`"),
        (r#"{"ack":[1"#, "not valid json"),
        (r#"{"ack":[1],"ack":[2]}"#, "duplicate field"),
        (r#"{"ack":["\ud83d"]}"#, "field `ack[0]`"),
        (r#"{"ack":[1e999]}"#, "field `ack[0]`"),
        (r#"{"ack":[{"$binary":"%"}]}"#, "ack: `$binary` must"),
        (&deep, "nested more than 100 deep"),
        (&abyss, ""),
        (r#"{"error":"no"}"#, "field `error`"),
        (r#"{"error":{"message":"no"}}"#, "field `error`"),
        (r#"{"error":["code","message"]}"#, "field `error`"),
        (r#"{"join":"a"}"#, "field `join`"),
        (r#"{"join":[1]}"#, "field `join[0]`"),
        (r#"{"join":["a",""]}"#, "join[1]: a room name must not be empty"),
        (r#"{"join":["user:"]}"#, "join[0]: a room name must not be empty"),
        (r#"{"leave":["a\n"]}"#, "leave[0]: a room name must not hold control"),
        (&many("join", r#""a""#), "join names 101, at most 100"),
        (&many("leave", r#""a""#), "leave names 101, at most 100"),
        (&many("emit", r#"{"event":"e"}"#), "emit names 101, at most 100"),
        (r#"{"disconnect":1}"#, "field `disconnect`"),
        (r#"{"disconnect":"now"}"#, "field `disconnect`"),
        (r#"{"emit":{"event":"e"}}"#, "field `emit`"),
        (r#"{"emit":[{"args":[]}]}"#, "missing field `event`"),
        (r#"{"emit":[{"event":"e"},{"event":"connect"}]}"#, "emit[1]: field `event`"),
        (r#"{"emit":[{"event":"e","target":"room"}]}"#, "field `emit[0].target`"),
        (r#"{"emit":[{"event":"e","target":{}}]}"#, "emit[0]: field `target`"),
        (r#"{"emit":[{"event":"e","target":{"room":["r"]}}]}"#, "unknown field `…`, expected"),
        (r#"{"emit":[{"event":"e","target":{"sockets":["x"]}}]}"#, "target.sockets[0]"),
        (r#"{"emit":[{"event":"e","args":[{"$binary":"","x":1}]}]}"#, "emit[0]: field `args`"),
        (r#"{"emit":[{"event":"e","args":["\ud83d"]}]}"#, "emit[0]: field `args[0]`"),
    ] {
        let error = read(body.as_bytes()).map(drop).unwrap_err().to_string();
        assert!(error.contains(reason), "{}: {error}", &body[..body.len().min(100)]);
    }
    assert!(read(b"{\"ack\":[\"\xff\"]}").is_err());
    assert!(read(hidden.as_bytes()).is_ok(), "what is not used need not be read");
}

#[test]
fn identities_are_read() {
    let body = br#"{"user":"ann","claims":{"role":"x"},"expires_at":20,"issued_at":10,"token_id":"t","more":1}"#;
    let read = identity(body).unwrap();
    assert_eq!((read.user.as_deref(), read.token_id.as_deref()), (Some("ann"), Some("t")));
    assert_eq!((read.expires, read.issued), (Some(UnixSeconds(20)), Some(UnixSeconds(10))));
    assert_eq!(read.claims["role"], "x");
    assert_eq!(identity(b"{}").unwrap(), Identity::nobody());
    assert_eq!(identity(br#"{"user":null,"claims":null,"expires_at":null}"#).unwrap(), Identity::nobody());
    assert_eq!(identity(br#"{"user":7}"#).unwrap().user.as_deref(), Some("7"));
    let long = format!(r#"{{"user":"{}"}}"#, "x".repeat(257));
    for body in [
        "",
        "[]",
        "null",
        r#"{"user":""}"#,
        r#"{"user":"a\u0000"}"#,
        &long,
        r#"{"user":true}"#,
        r#"{"user":-1}"#,
        r#"{"claims":[]}"#,
        r#"{"expires_at":"soon"}"#,
        r#"{"expires_at":1.5}"#,
        r#"{"expires_at":-1}"#,
        r#"{"token_id":1}"#,
    ] {
        assert!(identity(body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn verdicts_are_read() {
    assert_eq!(verdict(br#"{"allow":true,"because":1}"#), Ok(true));
    assert_eq!(verdict(br#"{"allow":false}"#), Ok(false));
    for body in ["", "{}", "true", r#"{"allow":"yes"}"#, r#"{"allow":1}"#, r#"{"allow":null}"#, "[true]"] {
        assert!(verdict(body.as_bytes()).is_err(), "{body}");
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
        prop::sample::select(vec!["sender", "others", "all", "close", "user:a", "connect", "AAAAAAAAAAAAAAAAAAAA"])
            .prop_map(Value::from),
    ];
    let key = prop::sample::select(vec![
        "ack",
        "error",
        "emit",
        "join",
        "leave",
        "disconnect",
        "event",
        "args",
        "target",
        "except",
        "volatile",
        "rooms",
        "users",
        "sockets",
        "code",
        "message",
        "user",
        "claims",
        "allow",
        "expires_at",
        "$binary",
        "_placeholder",
        "x",
    ]);
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::hash_map(key.clone().prop_map(str::to_owned), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = (read(&body), identity(&body), verdict(&body), refusal(&body));
    }

    /// Whatever is accepted keeps to the bounds, and can be sent.
    #[test]
    fn no_json_panics(value in value(), cut in any::<prop::sample::Index>()) {
        let body = value.to_string().into_bytes();
        let _ = (identity(&body), verdict(&body), refusal(&body), read(&body[..cut.index(body.len())]));
        if let Ok(answer) = read(&body) {
            for draft in &answer.emit {
                let elements = format!("[{}]", std::str::from_utf8(draft.body.elements()).unwrap());
                let list: Vec<Value> = serde_json::from_str(&elements).unwrap();
                prop_assert!(list[0].is_string() && !draft.rooms.is_empty());
            }
            if let Some(acked) = &answer.ack {
                let elements = format!("[{}]", std::str::from_utf8(&acked.elements).unwrap());
                prop_assert!(serde_json::from_str::<Vec<Value>>(&elements).is_ok());
            }
        }
    }
}

#[test]
fn what_is_logged_of_a_bad_answer_holds_nothing_of_it() {
    for (reason, logged) in [
        (
            r#"field `emit`: invalid type: string "x \", \"y", expected a sequence at line 1 column 5"#,
            r#"field `emit`: invalid type: string "…", expected a sequence at line 1 column 5"#,
        ),
        (
            "field `secret`: unknown field `secret`, expected one of `ack`, `emit` at line 1 column 9",
            "field `…`: unknown field `…`, expected one of `ack`, `emit` at line 1 column 9",
        ),
        (r#"emit[2]: room "a" is "b""#, r#"emit[2]: room "…""#),
        ("unknown variant `a`, expected `b`", "unknown variant `…`, expected `b`"),
        ("ack: `$binary` must", "ack: `$binary` must"),
        ("an open \" quote", "an open \"…\""),
        ("join names 5000, at most 100 are allowed", "join names 5000, at most 100 are allowed"),
    ] {
        assert_eq!(without_values(reason), logged, "{reason}");
    }
}
