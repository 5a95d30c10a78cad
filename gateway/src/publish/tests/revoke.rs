//! `/v1/revoke`.

use crate::adapter::Revoked;
use crate::auth::UnixSeconds;

use super::*;

fn bench() -> Bench {
    let bench = Bench::new();
    *bench.fake.report.lock().unwrap() = Some(Report { count: 2, ..Report::default() });
    bench
}

fn taken(bench: &Bench) -> Vec<Revocation> {
    std::mem::take(&mut bench.fake.revocations.lock().unwrap())
}

#[tokio::test]
async fn tokens_are_revoked_in_every_namespace() {
    let bench = bench();
    let before = UnixSeconds::now().0;
    let reply = bench.post("/v1/revoke", r#"{"user":"ann"}"#).await;
    assert_eq!((reply.status.as_u16(), reply.text.as_str()), (200, r#"{"sockets":4}"#));
    let after = UnixSeconds::now().0;
    let revocations = taken(&bench);
    let names: Vec<_> = revocations.iter().map(|revocation| &*revocation.namespace.name).collect();
    assert_eq!(names, ["/", "/plain"]);
    for revocation in revocations {
        assert_eq!(revocation.what, Revoked::User("ann".into()));
        assert!((before + 1..=after + 1).contains(&revocation.issued_before.0));
        assert!((before + 86_400..=after + 86_400).contains(&revocation.until.0));
    }
}

#[tokio::test]
async fn what_is_revoked_and_how_long() {
    let bench = bench();
    let now = UnixSeconds::now().0;
    let until = now + 1000;
    for (body, what, issued_before) in [
        (format!(r#"{{"namespace":"/","token_id":"t 1","until":{until}}}"#), Revoked::Token("t 1".into()), None),
        (format!(r#"{{"namespace":"/","all":true,"until":{until},"issued_before":17}}"#), Revoked::All, Some(17)),
        (
            format!(r#"{{"namespace":"/","user":"ann","all":false,"until":{until},"issued_before":0}}"#),
            Revoked::User("ann".into()),
            Some(0),
        ),
    ] {
        let reply = bench.post("/v1/revoke", body.as_str()).await;
        assert_eq!((reply.status.as_u16(), reply.text.as_str()), (200, r#"{"sockets":2}"#), "{body}");
        let [revocation] = <[Revocation; 1]>::try_from(taken(&bench)).unwrap();
        assert_eq!((revocation.what, revocation.until.0), (what, until));
        if let Some(expected) = issued_before {
            assert_eq!(revocation.issued_before.0, expected);
        }
    }
    bench.post("/v1/revoke", r#"{"all":true,"namespace":"/plain","ttl_s":7}"#).await;
    let [revocation] = <[Revocation; 1]>::try_from(taken(&bench)).unwrap();
    assert!((now + 7..=UnixSeconds::now().0 + 7).contains(&revocation.until.0));

    *bench.fake.report.lock().unwrap() = Some(Report { count: 1, partial: true, ..Report::default() });
    let reply = bench.post("/v1/revoke", r#"{"all":true}"#).await;
    assert_eq!(reply.text, r#"{"sockets":2,"partial":true}"#);
}

#[tokio::test]
async fn bad_revocations_are_refused() {
    let bench = bench();
    let long = format!(r#"{{"user":"{}"}}"#, "u".repeat(1025));
    let far = format!(r#"{{"all":true,"until":{}}}"#, u64::MAX);
    for (body, says) in [
        ("{}", "give exactly one of `user`, `token_id` and `all`"),
        (r#"{"all":false}"#, "give exactly one of"),
        (r#"{"user":"ann","all":true}"#, "give exactly one of"),
        (r#"{"user":"ann","token_id":"t"}"#, "give exactly one of"),
        (r#"{"user":""}"#, "field `user`: must be 1 to 1024 bytes long"),
        (&long, "field `user`: must be 1 to 1024 bytes long"),
        (r#"{"token_id":""}"#, "field `token_id`: must be 1 to 1024 bytes long"),
        (r#"{"user":7}"#, "field `user`: invalid type"),
        (r#"{"all":true,"until":1000}"#, "field `until`: must be in the future"),
        (r#"{"all":true,"ttl_s":0}"#, "field `ttl_s`: must be in the future"),
        (&far, "field `until`: must not be more than ten years ahead"),
        (r#"{"all":true,"ttl_s":18446744073709551615}"#, "field `ttl_s`: must not be more than ten years ahead"),
        (r#"{"all":true,"until":1,"ttl_s":1}"#, "give `until` or `ttl_s`, not both"),
        (r#"{"all":true,"issued_before":99999999999}"#, "field `issued_before`: must not be after `until`"),
        (r#"{"all":true,"users":[]}"#, "unknown field `users`"),
    ] {
        bench.post("/v1/revoke", body).await.assert_refused(400, "invalid_request", says);
    }
    bench.post("/v1/revoke", r#"{"all":true,"namespace":"/no"}"#).await.assert_refused(
        404,
        "unknown_namespace",
        "`/no`",
    );
    assert_eq!(taken(&bench), []);
    *bench.fake.report.lock().unwrap() = None;
    bench.post("/v1/revoke", r#"{"all":true}"#).await.assert_refused(503, "unavailable", "the adapter is unavailable");
}
