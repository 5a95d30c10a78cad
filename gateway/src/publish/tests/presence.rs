//! `/v1/presence`.

use crate::adapter::{PresentSocket, PresentState};

use super::*;

#[tokio::test]
async fn who_is_present_is_told() {
    let bench = Bench::new();
    let id = SocketId(Token::parse(SID).unwrap());
    let socket = |subject: Option<&str>, state| PresentSocket { socket: id, subject: subject.map(Into::into), state };
    let sockets = vec![socket(Some("a\"b"), PresentState::Connected), socket(None, PresentState::Away)];
    *bench.fake.present.lock().unwrap() = Some(Present { total: 7, sockets });
    let reply = bench.get("/v1/presence?room=r&limit=2").await;
    let expected = format!(
        r#"{{"total":7,"sockets":[{{"id":"{SID}","user":"a\"b","state":"connected"}},{{"id":"{SID}","user":null,"state":"away"}}]}}"#
    );
    assert_eq!((reply.status.as_u16(), reply.text), (200, expected));
    for (query, room, limit) in [
        ("", Room::All, 100),
        ("?user=u+1", Room::user("u 1").unwrap(), 100),
        ("?namespace=/&room=r&limit=1000", named("r"), 1000),
    ] {
        *bench.fake.present.lock().unwrap() = Some(Present::default());
        let reply = bench.get(&format!("/v1/presence{query}")).await;
        assert_eq!(reply.text, r#"{"total":0,"sockets":[]}"#);
        assert_eq!(bench.fake.looks.lock().unwrap().pop(), Some((room, limit)));
    }
}

#[tokio::test]
async fn bad_looks_are_refused() {
    let bench = Bench::new();
    for (query, says) in [
        ("room=a&user=b", "give `room` or `user`, not both"),
        ("limits=1", "unknown field `limits`"),
        ("room=", "field `room`: a room name must not be empty"),
        ("limit=0", "field `limit`: must be 1 to 1000"),
        ("limit=1001", "field `limit`: must be 1 to 1000"),
        ("limit=-1", "limit: invalid digit"),
    ] {
        bench.get(&format!("/v1/presence?{query}")).await.assert_refused(400, "invalid_request", says);
    }
    bench.get("/v1/presence?namespace=/no").await.assert_refused(404, "unknown_namespace", "`/no`");
    let reply = bench.get("/v1/presence?namespace=/plain").await;
    reply.assert_refused(422, "no_recovery", "namespace `/plain` has no recovery");
    assert_eq!(bench.fake.looks.lock().unwrap().len(), 0);
    bench.get("/v1/presence").await.assert_refused(503, "unavailable", "the adapter is unavailable");
}
