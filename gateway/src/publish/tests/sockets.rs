//! `/v1/join`, `/v1/leave`, `/v1/disconnect`, `/v1/sockets`, `/v1/count`.

use crate::adapter::{Action, SocketInfo};

use super::*;

impl Bench {
    fn will_report(&self, count: usize, sockets: Vec<SocketInfo>, partial: bool) {
        *self.fake.report.lock().unwrap() = Some(Report { count, sockets, partial });
    }

    fn operation(&self) -> (String, Vec<Room>, Action) {
        let operation = self.fake.operations.lock().unwrap().pop().unwrap();
        (operation.namespace.name.to_string(), operation.rooms, operation.action)
    }
}

#[tokio::test]
async fn changes_reach_the_sockets_meant() {
    let bench = Bench::new();
    for (path, body, rooms, action) in [
        (
            "/v1/join",
            r#"{"target":{"users":["u"]},"rooms":["a"]}"#,
            Room::user("u").unwrap(),
            Action::Join(vec![named("a")]),
        ),
        (
            "/v1/leave",
            r#"{"target":{"rooms":["r"]},"rooms":["b","a","a"]}"#,
            named("r"),
            Action::Leave(vec![named("a"), named("b")]),
        ),
        ("/v1/disconnect", r#"{"target":"all"}"#, Room::All, Action::Disconnect { close: false }),
        (
            "/v1/disconnect",
            r#"{"target":{"sockets":["abcdefghijklmnopqrst"]},"close":true}"#,
            socket(),
            Action::Disconnect { close: true },
        ),
    ] {
        bench.will_report(3, Vec::new(), false);
        let reply = bench.post(path, body).await;
        assert_eq!((reply.status.as_u16(), reply.text.as_str()), (200, r#"{"sockets":3}"#), "{path}");
        assert_eq!(bench.operation(), ("/".into(), vec![rooms], action));
    }
    bench.will_report(1, Vec::new(), true);
    let reply = bench.post("/v1/join", r#"{"namespace":"/plain","target":"all","rooms":["a"]}"#).await;
    assert_eq!(reply.text, r#"{"sockets":1,"partial":true}"#);
    assert_eq!(bench.operation().0, "/plain");
}

#[tokio::test]
async fn bad_changes_are_refused_by_field() {
    let bench = Bench::new();
    let many = format!(r#"{{"target":"all","rooms":[{}]}}"#, vec![r#""r""#; 101].join(","));
    for (path, body, says) in [
        ("/v1/join", r#"{"target":"all"}"#, "missing field `rooms`"),
        ("/v1/join", r#"{"target":"all","rooms":[]}"#, "field `rooms`: must name at least one room"),
        (
            "/v1/join",
            r#"{"target":"all","rooms":["a","a\u0007"]}"#,
            "field `rooms[1]`: a room name must not hold control",
        ),
        ("/v1/join", &many, "field `rooms`: names 101 rooms, at most 100 are allowed"),
        ("/v1/leave", r#"{"target":{},"rooms":["a"]}"#, "field `target`: must name at least one"),
        ("/v1/leave", r#"{"target":"all","room":"a"}"#, "unknown field `room`"),
        ("/v1/disconnect", r#"{"target":"all","close":"yes"}"#, "field `close`: invalid type"),
        ("/v1/disconnect", r#"{"target":"all","rooms":[]}"#, "unknown field `rooms`"),
        ("/v1/disconnect", "nonsense", "not valid json: expected ident at line 1 column 2"),
    ] {
        bench.post(path, body).await.assert_refused(400, "invalid_request", says);
    }
    for (path, body) in [
        ("/v1/join", r#"{"namespace":"/no","target":"all","rooms":["a"]}"#),
        ("/v1/disconnect", r#"{"namespace":"/no","target":"all"}"#),
    ] {
        bench.post(path, body).await.assert_refused(404, "unknown_namespace", "`/no`");
    }
    assert_eq!(bench.fake.operations.lock().unwrap().len(), 0);
    let reply = bench.post("/v1/disconnect", r#"{"target":"all"}"#).await;
    reply.assert_refused(503, "unavailable", "the adapter is unavailable");
    assert_eq!(reply.headers["retry-after"], "1");
}

#[tokio::test]
async fn sockets_are_listed_with_their_rooms() {
    let bench = Bench::new();
    let id = SocketId(Token::parse(SID).unwrap());
    let sockets = vec![
        SocketInfo { id, rooms: vec![named("a\"b"), Room::user("u1").unwrap(), named("c")] },
        SocketInfo { id, rooms: Vec::new() },
    ];
    bench.will_report(2, sockets, true);
    let reply = bench.get("/v1/sockets?namespace=%2Fplain&room=a%22b").await;
    assert_eq!(
        reply.text,
        format!(
            r#"{{"sockets":[{{"id":"{SID}","rooms":["a\"b","c"],"user":"u1"}},{{"id":"{SID}","rooms":[],"user":null}}],"partial":true}}"#
        )
    );
    assert_eq!(bench.operation(), ("/plain".into(), vec![named("a\"b")], Action::List));
    for (query, room) in [("", Room::All), ("?namespace=/", Room::All), ("?user=u+1", Room::user("u 1").unwrap())] {
        bench.will_report(7, Vec::new(), false);
        let reply = bench.get(&format!("/v1/count{query}")).await;
        assert_eq!(reply.text, r#"{"count":7,"partial":false}"#);
        assert_eq!(bench.operation(), ("/".into(), vec![room], Action::Count));
    }
}

#[tokio::test]
async fn bad_queries_are_refused() {
    let bench = Bench::new();
    for (query, says) in [
        ("room=a&user=b", "give `room` or `user`, not both"),
        ("rooms=a", "unknown field `rooms`"),
        ("room=a&room=b", "duplicate field `room`"),
        ("room=", "field `room`: a room name must not be empty"),
        ("user=%00", "field `user`: a room name must not hold control characters"),
    ] {
        for path in ["/v1/sockets", "/v1/count"] {
            bench.get(&format!("{path}?{query}")).await.assert_refused(400, "invalid_request", says);
        }
    }
    bench.get("/v1/count?namespace=/no").await.assert_refused(404, "unknown_namespace", "`/no`");
    bench.get("/v1/count").await.assert_refused(503, "unavailable", "the adapter is unavailable");
}
