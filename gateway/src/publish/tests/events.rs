//! `/v1/publish`.

use serde_json::json;

use super::*;

#[tokio::test]
async fn everything_said_reaches_the_adapter() {
    let bench = Bench::new();
    let body = format!(
        r#"{{"event":"up\u0064ate","namespace":"/plain","args":[1, {{"a":2}},{{"$binary":"AQID"}}],
            "target":{{"rooms":["news","b\u0061d","news"],"users":["u1"],"sockets":["{SID}"]}},
            "except":{{"rooms":["quiet"],"sockets":["{SID}"]}},"volatile":true}}"#
    );
    let reply = bench.post("/v1/publish", body).await;
    assert_eq!((reply.status, reply.text.as_str()), (StatusCode::OK, r#"{"logged":false}"#));
    let [draft] = &bench.drafts()[..] else { panic!("one draft") };
    assert_eq!(&*draft.namespace.name, "/plain");
    assert_eq!(draft.rooms[..], [socket(), Room::user("u1").unwrap(), named("bad"), named("news")]);
    assert_eq!(draft.except, [socket(), named("quiet")]);
    assert_eq!(draft.body.elements(), r#""update",1,{"a":2},{"_placeholder":true,"num":0}"#);
    assert_eq!(draft.body.attachments(), [&[1, 2, 3][..]]);
    assert!(draft.volatile && draft.idempotency.is_none());
}

#[tokio::test]
async fn defaults_are_the_root_no_arguments_and_logged() {
    let bench = Bench::new();
    let reply = bench.post("/v1/publish", r#"{"target":"all","event":"e"}"#).await;
    assert_eq!(reply.text, format!(r#"{{"id":"{ID}","logged":true,"duplicate":false}}"#));
    assert_eq!(reply.headers["content-type"], "application/json");
    let [draft] = &bench.drafts()[..] else { panic!("one draft") };
    assert_eq!((&*draft.namespace.name, &draft.rooms[..], draft.except.len()), ("/", &[Room::All][..], 0));
    assert_eq!(draft.body.elements(), r#""e""#);
}

#[tokio::test]
async fn bad_publishes_are_refused_by_field() {
    let bench = Bench::new();
    let with = |field: &str| format!(r#"{{"target":"all","event":"e",{field}}}"#);
    let to = |target: &str| format!(r#"{{"target":{target},"event":"e"}}"#);
    let many = |n| format!(r#"{{"rooms":[{}],"users":["u"]}}"#, vec![r#""r""#; n].join(","));
    for (body, says) in [
        ("".into(), "not valid json: EOF while parsing a value at line 1 column 0"),
        ("{\n\"target\" 1}".into(), "not valid json: expected `:` at line 2 column 10"),
        (r#"{"target":"all","event":"e"} x"#.into(), "not valid json: trailing characters at line 1"),
        ("[]".into(), "invalid type: sequence, expected an object at line 1 column 0"),
        (with(r#""ack":[5]"#), "field `ack`: invalid type: sequence, expected an object"),
        (r#"{"target":"all"}"#.into(), "missing field `event` at line 1 column 16"),
        (r#"{"event":"e"}"#.into(), "missing field `target`"),
        (with(r#""color":1"#), "unknown field `color`, expected one of `namespace`"),
        (with(r#""event":"f""#), "duplicate field `event`"),
        (with(r#""args":{}"#), "field `args`: invalid type: map, expected a sequence at line 1"),
        (with(r#""args":["\ud800"]"#), "field `args[0]`: "),
        (with(r#""args":[0,1e999]"#), "field `args[1]`: number out of range"),
        (with(r#""args":[{"$binary":"%"}]"#), "field `args`: `$binary` must"),
        (with(r#""volatile":1"#), "field `volatile`: invalid type: integer `1`, expected a boolean"),
        (with(r#""namespace":7"#), "field `namespace`: invalid type"),
        (with(r#""except":{"users":[]}"#), "unknown field `users`, expected `rooms` or `sockets`"),
        (with(r#""except":{"rooms":["a",""]}"#), "field `except.rooms[1]`: a room name must not be empty"),
        (with(r#""except":{"sockets":["short"]}"#), "field `except.sockets[0]`: not a socket id"),
        (with(r#""ack":{"timeout_ms":0}"#), "field `ack.timeout_ms`: must be from 1 to 60000"),
        (with(r#""ack":{"timeout_ms":60001}"#), "field `ack.timeout_ms`: must be from 1 to 60000"),
        (with(r#""ack":{"timeout_ms":-1}"#), "field `ack.timeout_ms`: invalid value"),
        (with(r#""ack":{}"#), "field `ack`: missing field `timeout_ms`"),
        (with(r#""ack":{"timeout_ms":5},"volatile":true"#), "field `ack`: cannot be combined with `volatile`"),
        (with(r#""idempotency_key":"k""#), "field `idempotency_key`: belongs in the header"),
        (r#"{"target":"all","event":""}"#.into(), "field `event`: the event name must not be empty"),
        (r#"{"target":"all","event":"disconnect"}"#.into(), "field `event`: the event name `disconnect` is reserved"),
        (to(r#""some""#), r#"field `target`: invalid value: string "some", expected "all" or an object"#),
        (to("7"), "field `target`: invalid type: integer `7`"),
        (to("{}"), "field `target`: must name at least one room, user or socket"),
        (to(r#"{"rooms":[],"users":[]}"#), "field `target`: must name at least one"),
        (to(r#"{"room":["a"]}"#), "unknown field `room`, expected one of `rooms`, `users`, `sockets`"),
        (to(r#"{"rooms":[1]}"#), "field `target.rooms[0]`: invalid type: integer `1`, expected a string"),
        (to(r#"{"rooms":["a\nb"]}"#), "field `target.rooms[0]`: a room name must not hold control characters"),
        (to(r#"{"users":["u",""]}"#), "field `target.users[1]`: a room name must not be empty"),
        (to(r#"{"sockets":["nope"]}"#), "field `target.sockets[0]`: not a socket id"),
        (to(&many(100)), "field `target`: names 101 rooms, users and sockets, at most 100 are allowed"),
    ] {
        let reply = bench.post("/v1/publish", body.clone()).await;
        assert_eq!(reply.status, 400, "{body}: {}", reply.text);
        reply.assert_refused(400, "invalid_request", says);
    }
    assert_eq!(bench.drafts().len(), 0);
    assert!(bench.metrics().contains(r#"carillon_publishes_total{result="invalid"} 36"#), "{}", bench.metrics());
    assert_eq!(bench.post("/v1/publish", to(&many(99))).await.status, 200);
}

#[tokio::test]
async fn an_unknown_namespace_is_not_found() {
    let bench = Bench::new();
    let reply = bench.post("/v1/publish", r#"{"target":"all","event":"e","namespace":"/no"}"#).await;
    reply.assert_refused(404, "unknown_namespace", "namespace `/no` is not configured");
    assert!(bench.metrics().contains(r#"carillon_publishes_total{result="unknown_namespace"} 1"#));
}

#[tokio::test]
async fn the_adapters_refusals_have_their_status() {
    let bench = Bench::new();
    for (event, status, code, retry) in [
        ("conflict", 409, "idempotency_conflict", None),
        ("down", 503, "unavailable", Some("1")),
        ("lost", 504, "outcome_unknown", None),
    ] {
        let reply = bench.post("/v1/publish", json!({"target": "all", "event": event}).to_string()).await;
        reply.assert_refused(status, code, "");
        assert_eq!(reply.headers.get("retry-after").map(|value| value.to_str().unwrap()), retry);
    }
    let reply = bench.post("/v1/publish", r#"{"target":"all","event":"again"}"#).await;
    assert_eq!(reply.text, format!(r#"{{"id":"{ID}","logged":true,"duplicate":true}}"#));
    let reply = bench.post("/v1/publish", r#"{"target":"all","event":"again","namespace":"/plain"}"#).await;
    assert_eq!(reply.text, r#"{"logged":false,"duplicate":true}"#);
    let metrics = bench.metrics();
    for (result, count) in [("conflict", 1), ("unavailable", 1), ("outcome_unknown", 1), ("duplicate", 2)] {
        assert!(metrics.contains(&format!(r#"carillon_publishes_total{{result="{result}"}} {count}"#)), "{metrics}");
    }
}

#[tokio::test]
async fn acknowledgements_are_answered() {
    let bench = Bench::new();
    let body = r#"{"target":{"rooms":["r"]},"event":"e","ack":{"timeout_ms":1500}}"#;
    let reply = bench.post("/v1/publish", body).await;
    assert_eq!(
        reply.text,
        format!(
            r#"{{"logged":false,"expected":2,"acks":[{{"socket":"{SID}","args":[1,{{"$binary":"AQ=="}}]}}],"complete":false}}"#
        )
    );
    assert_eq!(*bench.fake.timeouts.lock().unwrap(), [Duration::from_millis(1500)]);
    let reply = bench.send(post("/v1/publish", &[("idempotency-key", "k")], body)).await;
    reply.assert_refused(400, "invalid_request", "field `ack`: cannot be combined with an idempotency key");
}

#[tokio::test]
async fn an_idempotency_key_counts_with_its_scope_and_content() {
    let bench = Bench::new();
    let send = async |key: &str, body: &str| {
        assert_eq!(bench.send(post("/v1/publish", &[("Idempotency-Key", key)], body)).await.status, 200);
        bench.drafts().pop().unwrap().idempotency.unwrap()
    };
    let first = send("k 1", r#"{"target":{"rooms":["a","b"]},"event":"e","args":[1]}"#).await;
    assert_eq!(&*first.key, "/\n\nk 1");
    // fixed for good: nodes of different versions compare digests
    assert_eq!(first.digest, DIGEST);
    let same =
        r#"{ "args" : [1], "event":"\u0065","namespace":"/", "target":{"rooms":["b","a","b"]},"volatile":false}"#;
    assert_eq!(send("k 1", same).await, first);
    let others = [
        r#"{"target":{"rooms":["a","c"]},"event":"e","args":[1]}"#,
        r#"{"target":{"rooms":["a"],"users":["b"]},"event":"e","args":[1]}"#,
        r#"{"target":{"rooms":["a","b"]},"event":"e","args":[2]}"#,
        r#"{"target":{"rooms":["a","b"]},"event":"f","args":[1]}"#,
        r#"{"target":{"rooms":["a"]},"except":{"rooms":["b"]},"event":"e","args":[1]}"#,
        r#"{"target":"all","event":"e","args":[1]}"#,
        r#"{"target":"all","event":"e","args":[{"$binary":"AQ=="}]}"#,
        r#"{"target":"all","event":"e","args":[{"$binary":"Ag=="}]}"#,
    ];
    let mut digests = vec![first.digest];
    for body in others {
        digests.push(send("k 1", body).await.digest);
    }
    digests.sort_unstable();
    digests.dedup();
    assert_eq!(digests.len(), others.len() + 1);
    let plain = send("k 1", r#"{"target":"all","event":"e","namespace":"/plain"}"#).await;
    assert_eq!(&*plain.key, "/plain\n\nk 1");
}

/// Computed elsewhere, of rooms a and b and `"e",1`.
const DIGEST: u64 = 8_710_896_308_871_999_055;

#[tokio::test]
async fn bad_idempotency_keys_are_refused() {
    let bench = Bench::new();
    let long = "k".repeat(129);
    for key in ["", &long, "caf\u{e9}", "a\tb"] {
        let reply =
            bench.send(post("/v1/publish", &[("idempotency-key", key)], r#"{"target":"all","event":"e"}"#)).await;
        reply.assert_refused(400, "invalid_request", "header `Idempotency-Key`: an idempotency key has 1 to 128");
    }
    let twice = [("idempotency-key", "a"), ("idempotency-key", "b")];
    let reply = bench.send(post("/v1/publish", &twice, r#"{"target":"all","event":"e"}"#)).await;
    reply.assert_refused(400, "invalid_request", "given more than once");
    let volatile = r#"{"target":"all","event":"e","volatile":true}"#;
    let reply = bench.send(post("/v1/publish", &[("idempotency-key", "k")], volatile)).await;
    reply.assert_refused(400, "invalid_request", "field `volatile`: cannot be combined with an idempotency key");
    assert_eq!(bench.drafts().len(), 0);
}
