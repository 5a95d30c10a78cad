//! What every endpoint has in common: keys, methods, paths, bodies.

use axum::http::Method;

use crate::config::{KeyHash, Scope};
use crate::publish::answer;
use crate::publish::endpoint::Endpoint;
use crate::publish::error::RequestError;
use crate::publish::metrics::CODES;

use super::*;

const GOOD: &str = r#"{"target":"all","event":"e"}"#;

fn key(name: &str, secret: &str, scopes: &[Scope]) -> ApiKey {
    ApiKey { name: name.into(), sha256: KeyHash::of(secret), scopes: scopes.into() }
}

#[tokio::test]
async fn scopes_open_their_endpoints_only() {
    let scopes = [Scope::Publish, Scope::Manage, Scope::Read];
    let keys: Vec<_> = scopes.iter().map(|scope| key("k", &format!("secret-{scope:?}"), &[*scope])).collect();
    let bench = Bench::with_keys(&keys);
    for endpoint in Endpoint::ROUTED {
        for scope in scopes {
            let request = Request::builder()
                .method(endpoint.method())
                .uri(endpoint.path())
                .header("authorization", format!("Bearer secret-{scope:?}"))
                .body(Body::empty())
                .unwrap();
            let status = bench.send(request).await.status;
            let allowed = endpoint.scope().is_none_or(|needed| needed == scope);
            assert_eq!(status == StatusCode::FORBIDDEN, !allowed, "{endpoint:?} with {scope:?}: {status}");
            assert_ne!(status, StatusCode::UNAUTHORIZED);
        }
    }
    let reply = bench.send(post("/v1/publish", &[("authorization", "Bearer secret-Read")], GOOD)).await;
    reply.assert_refused(403, "forbidden", "the api key lacks the scope `publish`");
}

#[tokio::test]
async fn without_a_valid_key_nothing_is_done() {
    let all = [Scope::Publish, Scope::Manage, Scope::Read];
    let bench = Bench::with_keys(&[key("old", "first", &all), key("new", "second", &all)]);
    let reply = bench.post("/v1/publish", GOOD).await;
    reply.assert_refused(401, "unauthorized", "an api key is required");
    assert_eq!(reply.headers["www-authenticate"], r#"Bearer realm="carillon""#);
    for (value, says) in [
        ("Basic Zmlyc3Q=", "an api key is required"),
        ("first", "an api key is required"),
        ("Bearer third", "the api key is not valid"),
        ("Bearer ", "the api key is not valid"),
        ("Bearer first second", "the api key is not valid"),
    ] {
        let reply = bench.send(post("/v1/publish", &[("authorization", value)], GOOD)).await;
        reply.assert_refused(401, "unauthorized", says);
        assert!(reply.headers.contains_key("www-authenticate"));
    }
    let both = [("authorization", "Bearer first"), ("authorization", "Bearer second")];
    bench.send(post("/v1/publish", &both, GOOD)).await.assert_refused(401, "unauthorized", "");
    assert_eq!(bench.drafts().len(), 0);
    for value in ["Bearer first", "bearer second"] {
        let headers = [("authorization", value), ("idempotency-key", "k")];
        assert_eq!(bench.send(post("/v1/publish", &headers, GOOD)).await.status, 200, "{value}");
    }
    let keys: Vec<_> = bench.drafts().into_iter().map(|draft| draft.idempotency.unwrap().key).collect();
    assert_eq!(keys.iter().map(|key| &**key).collect::<Vec<_>>(), ["/\nold\nk", "/\nnew\nk"]);
    assert_eq!(bench.get("/openapi.json").await.status, 200);
}

#[tokio::test]
async fn other_methods_and_paths_are_refused_as_json() {
    let bench = Bench::new();
    for endpoint in Endpoint::ROUTED {
        let other = if endpoint.method() == Method::POST { Method::GET } else { Method::POST };
        for method in [other, Method::DELETE] {
            let request = Request::builder().method(&method).uri(endpoint.path()).body(Body::empty()).unwrap();
            let reply = bench.send(request).await;
            reply.assert_refused(405, "method_not_allowed", "the endpoint does not take this method");
            let allow = reply.headers["allow"].to_str().unwrap().to_owned();
            assert!(allow.contains(endpoint.method().as_str()), "{allow}");
        }
    }
    for path in ["/", "/v1", "/v1/publish/", "/v2/publish"] {
        bench.get(path).await.assert_refused(404, "not_found", "no such endpoint");
        bench.post(path, GOOD).await.assert_refused(404, "not_found", "no such endpoint");
    }
    let metrics = bench.metrics();
    for line in [
        r#"carillon_http_requests_total{code="405",endpoint="count"} 2"#,
        r#"carillon_http_requests_total{code="404",endpoint="unknown"} 8"#,
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
}

#[tokio::test]
async fn only_plain_json_bodies_are_read() {
    let bench = Bench::new();
    let send = async |headers: &[(&str, &str)]| {
        let mut request = Request::post("/v1/publish");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        bench.send(request.body(Body::from(GOOD)).unwrap()).await
    };
    for headers in [
        &[][..],
        &[("content-type", "text/plain")],
        &[("content-type", "application/x-www-form-urlencoded")],
        &[("content-type", "application/jsonp")],
        &[("content-type", "application/json"), ("content-encoding", "gzip")],
    ] {
        send(headers).await.assert_refused(415, "unsupported_media_type", "the body must");
    }
    for kind in ["application/json", "Application/JSON; charset=utf-8"] {
        assert_eq!(send(&[("content-type", kind)]).await.status, 200, "{kind}");
    }
}

#[tokio::test]
async fn large_and_broken_bodies_are_refused() {
    let bench = Bench::new();
    let large = format!(r#"{{"target":"all","event":"{}"}}"#, "e".repeat(64 << 10));
    let said = post("/v1/publish", &[("content-length", "70000")], "");
    let unsaid = post("/v1/publish", &[], "").map(|_| {
        let chunks = large.as_bytes().chunks(1000).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec()));
        Body::from_stream(futures_util::stream::iter(chunks.collect::<Vec<_>>()))
    });
    for request in [said, unsaid] {
        let reply = bench.send(request).await;
        reply.assert_refused(413, "payload_too_large", "the body is larger than 65536 bytes");
    }
    let cut = post("/v1/publish", &[], "").map(|_| {
        let chunks = [Ok(b"{".to_vec()), Err(std::io::Error::other("gone"))];
        Body::from_stream(futures_util::stream::iter(chunks))
    });
    bench.send(cut).await.assert_refused(400, "invalid_request", "the body was cut off");
    let latin = post("/v1/publish", &[], "").map(|_| Body::from(b"{\"event\":\"\xe9\"}".to_vec()));
    bench.send(latin).await.assert_refused(400, "invalid_request", "not valid json: invalid utf-8 sequence");
    assert_eq!(bench.drafts().len(), 0);
}

#[test]
fn every_status_has_a_label() {
    for error in [
        RequestError::NotFound,
        RequestError::NoKey,
        RequestError::LacksScope(Scope::Read),
        RequestError::MethodNotAllowed,
        RequestError::TooLarge { limit: 1 },
        RequestError::ContentType,
        RequestError::Incomplete,
        RequestError::Publish(PublishError::IdempotencyConflict),
        RequestError::Publish(PublishError::Unavailable),
        RequestError::Publish(PublishError::OutcomeUnknown),
    ] {
        assert!(CODES.contains(&answer::status(&error)), "{error:?}");
    }
}
