//! The trace of a request to publish.

use super::*;
use crate::trace::testing::tracer;

const ONE: &str = r#"{"target":"all","event":"e"}"#;
const BATCH: &str = r#"{"items":[{"target":"all","event":"e"},{"target":"all"},{"target":"all","event":"f"}]}"#;
const SAMPLED: (&str, &str) = ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
const UNSAMPLED: (&str, &str) = ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00");

#[tokio::test]
async fn a_sampled_request_is_a_span_that_its_messages_name() {
    let (tracer, ended) = tracer(0.0);
    let bench = Bench::with(&[], tracer);
    for (path, json, items) in [("/v1/publish", ONE, 1_i64), ("/v1/publish/batch", BATCH, 2)] {
        assert_eq!(bench.send(post(path, &[SAMPLED], json)).await.status, StatusCode::OK);
        let span = ended.all().pop().unwrap();
        assert_eq!(span.parent_span_id.to_string(), "00f067aa0ba902b7");
        assert!(span.attributes.contains(&opentelemetry::KeyValue::new("carillon.items", items)), "{span:?}");
        let carried = format!("00-{}-{}-01", span.span_context.trace_id(), span.span_context.span_id());
        let traces: Vec<_> = bench.drafts().iter().map(|draft| draft.trace.as_ref().unwrap().to_string()).collect();
        assert_eq!(traces, vec![carried; usize::try_from(items).unwrap()]);
    }
    bench.send(post("/v1/publish", &[SAMPLED], r#"{"target":"all","event":"down"}"#)).await.assert_refused(
        503,
        "unavailable",
        "",
    );
    assert!(matches!(ended.all()[2].status, opentelemetry::trace::Status::Error { .. }));
    assert_eq!(ended.all().len(), 3);
}

#[tokio::test]
async fn otherwise_nothing_is_made() {
    let (on, ended) = tracer(0.0);
    for tracer in [on, Tracer::default()] {
        let off = !format!("{tracer:?}").contains("ratio");
        let bench = Bench::with(&[], tracer);
        for headers in [&[][..], &[UNSAMPLED], if off { &[SAMPLED] } else { &[] }] {
            for (path, json) in [("/v1/publish", ONE), ("/v1/publish/batch", BATCH)] {
                bench.send(post(path, headers, json)).await;
            }
        }
        let drafts = bench.drafts();
        assert!(drafts.len() == 9 && drafts.iter().all(|draft| draft.trace.is_none()));
        // what else the API does is not traced
        bench.send(post("/v1/join", &[SAMPLED], "{}")).await;
    }
    assert_eq!(ended.all().len(), 0);
}
