use std::io;
use std::sync::Mutex;

use http::{HeaderValue, StatusCode};
use opentelemetry::trace::{SpanKind, Status};
use opentelemetry_sdk::trace::SpanData;
use tracing::level_filters::LevelFilter;

use super::testing::{Ended, tracer};
use super::*;

const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const UNSAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

fn headers(traceparent: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if !traceparent.is_empty() {
        headers.insert("traceparent", HeaderValue::from_static(traceparent));
    }
    headers
}

/// As `name=value`, sorted.
fn attributes(span: &SpanData) -> Vec<String> {
    let mut attributes: Vec<String> = span.attributes.iter().map(|it| format!("{}={}", it.key, it.value)).collect();
    attributes.sort();
    attributes
}

#[test]
fn callers_decide_where_they_are_followed_and_chance_where_there_is_no_decision() {
    // the trace's share is about 0.639
    assert!((0.63..0.64).contains(&SAMPLED.parse::<TraceContext>().unwrap().share()));
    for (traceparent, follow_callers, ratio, taken) in [
        (SAMPLED, true, 0.0, true),
        (UNSAMPLED, true, 1.0, false),
        (SAMPLED, false, 0.0, false),
        (SAMPLED, false, 0.63, false),
        (SAMPLED, false, 0.64, true),
        (UNSAMPLED, false, 0.64, true),
        (UNSAMPLED, false, 0.63, false),
        ("", true, 0.0, false),
        ("", true, 1.0, true),
        ("", false, 0.0, false),
        ("", false, 1.0, true),
        // as if there was none
        ("00-bad-00f067aa0ba902b7-01", true, 0.0, false),
        ("00-bad-00f067aa0ba902b7-01", true, 1.0, true),
    ] {
        let tracer = Tracer::new(Sampling { ratio, follow_callers }, [], Ended::default());
        let span = tracer.publish(&headers(traceparent));
        assert_eq!(span.is_some(), taken, "{traceparent} {follow_callers} {ratio}");
        if let Some(span) = span {
            assert!(span.context().is_sampled());
            let continues = span.context().to_string().starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-");
            assert_eq!(continues, traceparent.starts_with("00-4bf"), "{traceparent}");
        }
    }
    let (half, ended) = tracer(0.5);
    let taken = (0..1000).filter(|_| half.event(0, "e").is_some()).count();
    assert!((300..700).contains(&taken), "{taken} of 1000");
    assert_eq!(ended.all().len(), taken);
}

#[test]
fn off_makes_nothing_and_nothing_is_small() {
    let off = Tracer::default();
    let context = SAMPLED.parse().unwrap();
    assert!(off.publish(&headers(SAMPLED)).is_none() && off.event(0, "e").is_none() && off.connect(0).is_none());
    assert!(off.fan_out(&context, 0, 1, 1).is_none());
    let word = size_of::<usize>();
    assert_eq!((size_of::<Option<Span>>(), size_of::<Option<FanOut>>(), size_of::<Tracer>()), (word, word, word));
}

#[test]
fn a_nodes_part_ends_with_its_last_worker_and_has_all_deliveries() {
    let (tracer, ended) = tracer(0.0);
    let publish = tracer.publish(&headers(SAMPLED)).unwrap();
    publish.has_items(2);
    // what another node reads
    let carried: TraceContext = publish.context().to_string().parse().unwrap();
    let one = tracer.fan_out(&carried, 1, 3, 2).unwrap();
    let other = one.clone();
    one.delivered(4);
    drop(one);
    assert!(ended.all().is_empty());
    other.delivered(38);
    drop(other);
    publish.answered(StatusCode::OK);
    drop(publish);
    let [fan_out, publish] = &ended.all()[..] else { panic!("{:?}", ended.all()) };
    assert_eq!((&*fan_out.name, &fan_out.span_kind), ("fan_out", &SpanKind::Consumer));
    assert_eq!((&*publish.name, &publish.span_kind), ("publish", &SpanKind::Server));
    assert_eq!(fan_out.parent_span_id, publish.span_context.span_id());
    assert_eq!(publish.parent_span_id.to_string(), "00f067aa0ba902b7");
    for span in [fan_out, publish] {
        assert_eq!(span.span_context.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(span.parent_span_is_remote);
        assert_eq!(span.status, Status::Unset);
        assert!(span.start_time <= span.end_time);
    }
    assert_eq!(
        attributes(fan_out),
        ["carillon.deliveries=42", "carillon.namespace=/chat", "carillon.rooms=3", "carillon.workers=2"]
    );
    assert_eq!(attributes(publish), ["carillon.items=2", "http.response.status_code=200"]);
}

#[test]
fn what_fails_says_so() {
    let (tracer, ended) = tracer(1.0);
    tracer.publish(&headers("")).unwrap().answered(StatusCode::BAD_REQUEST);
    tracer.publish(&headers("")).unwrap().answered(StatusCode::SERVICE_UNAVAILABLE);
    tracer.connect(0).unwrap().refused("unauthorized");
    let event = tracer.event(0, "order").unwrap();
    event.upstream("event", "backend.example/carillon").came_to("timeout", false);
    event.upstream("authorize", "backend.example/carillon").came_to("ok", true);
    drop(event);
    let failed = |span: &SpanData| matches!(span.status, Status::Error { .. });
    let spans: Vec<_> =
        ended.all().iter().map(|span| (span.name.to_string(), failed(span), attributes(span))).collect();
    let expected = [
        ("publish", false, vec!["http.response.status_code=400"]),
        ("publish", true, vec!["http.response.status_code=503"]),
        ("connect", true, vec!["carillon.namespace=/", "carillon.refused=unauthorized"]),
        (
            "upstream",
            true,
            vec!["carillon.backend=backend.example/carillon", "carillon.outcome=timeout", "carillon.type=event"],
        ),
        (
            "upstream",
            false,
            vec!["carillon.backend=backend.example/carillon", "carillon.outcome=ok", "carillon.type=authorize"],
        ),
        ("event", false, vec!["carillon.event=order", "carillon.namespace=/"]),
    ];
    let expected: Vec<_> = expected
        .into_iter()
        .map(|(name, failed, attributes)| {
            (name.to_owned(), failed, attributes.into_iter().map(str::to_owned).collect::<Vec<_>>())
        })
        .collect();
    assert_eq!(spans, expected);
    let [.., one, other, event] = &ended.all()[..] else { panic!() };
    assert_eq!([one.parent_span_id, other.parent_span_id], [event.span_context.span_id(); 2]);
    assert!(!one.parent_span_is_remote);
}

/// What a subscriber for logs writes.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn logs_know_nothing_of_spans_nor_spans_of_logs() {
    for level in [LevelFilter::TRACE, LevelFilter::OFF] {
        let written = Written::default();
        let writer = written.clone();
        let logs = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
            .with_writer(move || writer.clone())
            .finish();
        let (tracer, ended) = tracer(1.0);
        tracing::subscriber::with_default(logs, || {
            let span = tracer.event(0, "e");
            tracing::info!(target: "carillon_gateway", "logged");
            drop(span);
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), usize::from(level == LevelFilter::TRACE), "{text}");
        assert!(!text.contains("event"), "{text}");
        let [span] = &ended.all()[..] else { panic!("{level}: {:?}", ended.all()) };
        assert!(span.events.events.is_empty());
    }
}
