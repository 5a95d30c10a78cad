//! `/v1/publish/batch`.

use std::time::Instant;

use serde_json::json;

use super::*;

#[tokio::test]
async fn each_item_is_answered_at_its_place() {
    let bench = Bench::new();
    let body = json!({"items": [
        {"target": "all", "event": "one", "idempotency_key": "k1"},
        {"target": "all", "event": ""},
        {"target": "all", "event": "two", "volatile": true},
        {"target": "all", "event": "e", "namespace": "/no"},
        {"target": "all", "event": "down"},
        {"target": "all", "event": "again"},
        {"target": "all", "event": "e", "ack": {"timeout_ms": 5}},
        {"target": "all", "event": "e", "idempotency_key": "k", "volatile": true},
        {"target": "all", "event": "e", "idempotency_key": "\n"},
        {"target": "all", "event": "conflict"},
    ]});
    let reply = bench.post("/v1/publish/batch", body.to_string()).await;
    assert_eq!(reply.status, 200);
    let refused =
        |status: u16, code: &str, message: &str| json!({"status": status, "error": {"code": code, "message": message}});
    assert_eq!(
        reply.json(),
        json!({"results": [
            {"status": 200, "id": ID, "logged": true, "duplicate": false},
            refused(400, "invalid_request", "field `event`: the event name must not be empty"),
            {"status": 200, "logged": false},
            refused(404, "unknown_namespace", "namespace `/no` is not configured"),
            refused(503, "unavailable", "the message bus is unavailable"),
            {"status": 200, "id": ID, "logged": true, "duplicate": true},
            refused(400, "invalid_request", "field `ack`: cannot be asked for in a batch"),
            refused(400, "invalid_request", "field `volatile`: cannot be combined with an idempotency key"),
            refused(400, "invalid_request",
                "field `idempotency_key`: an idempotency key has 1 to 128 printable ASCII characters"),
            refused(409, "idempotency_conflict", "the idempotency key was used with another body"),
        ]})
    );
    assert_eq!(*bench.fake.batches.lock().unwrap(), [5]);
    let drafts = bench.drafts();
    let events: Vec<_> = drafts.iter().map(|draft| draft.body.elements().clone()).collect();
    assert_eq!(events, [r#""one""#, r#""two""#, r#""down""#, r#""again""#, r#""conflict""#]);
    assert_eq!(&*drafts[0].idempotency.as_ref().unwrap().key, "/\n\nk1");
    let metrics = bench.metrics();
    for (result, count) in
        [("logged", 1), ("unlogged", 1), ("duplicate", 1), ("invalid", 4), ("unavailable", 1), ("conflict", 1)]
    {
        assert!(metrics.contains(&format!(r#"carillon_publishes_total{{result="{result}"}} {count}"#)), "{metrics}");
    }
    assert!(metrics.contains("carillon_publish_batch_items_sum 10"), "{metrics}");
}

#[tokio::test]
async fn items_of_a_wrong_shape_do_not_keep_others_back() {
    let bench = Bench::new();
    let body = r#"{"items":[7,{"target":"all","event":"good"},{"target":{"rooms":[1]},"event":"e"},
        {"target":"all","event":"e","x":1},{"target":"all","event":"last","args":[{"a":[]}]}]}"#;
    let reply = bench.post("/v1/publish/batch", body).await;
    let results = reply.json();
    let results = results["results"].as_array().unwrap();
    let statuses: Vec<_> = results.iter().map(|result| result["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [400, 200, 400, 400, 200]);
    let says = |n: usize| results[n]["error"]["message"].as_str().unwrap();
    assert!(says(0).contains("invalid type: integer `7`, expected an object"), "{}", says(0));
    assert!(says(2).contains("field `target.rooms[0]`: invalid type"), "{}", says(2));
    assert!(says(3).contains("unknown field `x`"), "{}", says(3));
    let events: Vec<_> = bench.drafts().iter().map(|draft| draft.body.elements().clone()).collect();
    assert_eq!(events, [r#""good""#, r#""last",{"a":[]}"#]);
}

#[tokio::test]
async fn a_batch_that_is_none_is_refused_as_a_whole() {
    let bench = Bench::new();
    let many = format!(r#"{{"items":[{}]}}"#, vec![r#"{"target":"all","event":"e"}"#; 1001].join(","));
    let many_bad = format!(r#"{{"items":[{}]}}"#, vec!["7"; 1001].join(","));
    for (body, says) in [
        ("{", "not valid json: EOF"),
        (r#"{"items":[{"target":"all","event":"e"}}"#, "not valid json: expected `,` or `]` at line 1 column 39"),
        (r#"{"items":7}"#, "field `items`: invalid type: integer `7`, expected a sequence"),
        (r#"{"items":[],"more":1}"#, "unknown field `more`"),
        ("{}", "missing field `items`"),
        (&many, "field `items`: holds 1001 items, at most 1000 are allowed"),
        (&many_bad, "field `items`: holds 1001 items, at most 1000 are allowed"),
    ] {
        bench.post("/v1/publish/batch", body).await.assert_refused(400, "invalid_request", says);
    }
    let reply = bench.send(post("/v1/publish/batch", &[("idempotency-key", "k")], r#"{"items":[]}"#)).await;
    reply.assert_refused(400, "invalid_request", "a batch takes `idempotency_key` in its items");
    let reply = bench.post("/v1/publish/batch", r#"{"items":[]}"#).await;
    assert_eq!((reply.status.as_u16(), reply.text.as_str()), (200, r#"{"results":[]}"#));
    assert_eq!(*bench.fake.batches.lock().unwrap(), [0; 0]);
}

/// Not a limit but a measurement: `cargo test --release cost_of -- --ignored --nocapture`.
#[tokio::test]
#[ignore = "a measurement"]
async fn cost_of_an_item() {
    let bench = Bench::new();
    let item = json!({"target": {"rooms": ["news"]}, "event": "update", "args": [{"n": 1, "text": "x".repeat(180)}]});
    let body = json!({ "items": vec![item; 50] }).to_string();
    for round in 0..5 {
        let start = Instant::now();
        for _ in 0..2000 {
            assert_eq!(bench.post("/v1/publish/batch", body.clone()).await.status, 200);
        }
        bench.drafts();
        println!("round {round}: {:.3} us per item", start.elapsed().as_secs_f64() * 1e6 / 100_000.0);
    }
}
