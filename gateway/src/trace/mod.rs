//! Where the time of a message goes: spans, told to a receiver by OTLP.
//!
//! Whoever begins something asks the [`Tracer`] for a [`Span`], and gets one where it is sampled; the rest of the program has
//! an `Option` of it, and `None` costs nothing more. What crosses a queue or the bus takes along the [`TraceContext`] of its
//! span only. On each node that has members of a message's rooms the router opens one [`FanOut`]; it ends when the last of
//! the workers that share it has written the message to its connections.
//!
//! Spans are those of `tracing`, with a subscriber of their own: they are in no log, and no filter of logs turns them off.
//! Ended ones wait in the [`queue`], bounded, until [`Queue::run`] gives them to the exporter. Nobody waits for that.
//!
//! Invariants: whether something is sampled is decided once, where its trace enters this deployment; spans hold counts and
//! names of the configuration, never what clients and backends send.

mod context;
mod metrics;
mod queue;
mod span;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use http::HeaderMap;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, SpanProcessor};
use tracing::{Dispatch, Level, dispatcher};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;

pub use context::{BadTraceContext, TraceContext};
pub use metrics::SpanMetrics;
pub use queue::{FLUSH, Queue};
pub use span::{FanOut, Span};

/// By which the subscriber knows spans from what is logged.
const TARGET: &str = "carillon::trace";

/// Which spans there are.
#[derive(Clone, Debug)]
pub struct Sampling {
    /// The part of what brings no decision of a caller's, from 0 to 1.
    pub ratio: f64,
    /// Whether a caller's decision holds.
    pub follow_callers: bool,
}

/// Makes spans; by default none.
#[derive(Clone, Default)]
pub struct Tracer(Option<Arc<On>>);

struct On {
    dispatch: Dispatch,
    sampling: Sampling,
    /// By their index.
    namespaces: Box<[Arc<str>]>,
}

impl Tracer {
    /// `processor` is given each span that has ended; `namespaces` are their names, in the order of their indexes.
    pub fn new(
        sampling: Sampling,
        namespaces: impl IntoIterator<Item = Arc<str>>,
        processor: impl SpanProcessor + 'static,
    ) -> Self {
        let provider =
            SdkTracerProvider::builder().with_sampler(Sampler::AlwaysOn).with_span_processor(processor).build();
        let layer = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("carillon"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false);
        let only_spans = Targets::new().with_target(TARGET, Level::INFO);
        let dispatch = Dispatch::new(Registry::default().with(only_spans).with(layer));
        Tracer(Some(Arc::new(On { dispatch, sampling, namespaces: namespaces.into_iter().collect() })))
    }

    /// A request to publish.
    pub fn publish(&self, headers: &HeaderMap) -> Option<Span> {
        let on = self.0.as_ref()?;
        let parent = TraceContext::of_headers(headers);
        on.sampling.take(parent.as_ref()).then(|| on.span(parent.as_ref(), span::publish))
    }

    /// The event of a client, by its name in the rules.
    pub fn event(&self, namespace: u16, event: &str) -> Option<Span> {
        let on = self.0.as_ref()?;
        on.sampling.take(None).then(|| on.span(None, || span::event(on.name(namespace), event)))
    }

    /// A client that enters a namespace.
    pub fn connect(&self, namespace: u16) -> Option<Span> {
        let on = self.0.as_ref()?;
        on.sampling.take(None).then(|| on.span(None, || span::connect(on.name(namespace))))
    }

    /// This node's part of a message of a sampled trace, in so many rooms, for so many workers.
    pub fn fan_out(&self, parent: &TraceContext, namespace: u16, rooms: usize, workers: u32) -> Option<FanOut> {
        let on = self.0.as_ref()?;
        let open = || span::fan_out(on.name(namespace), rooms, workers);
        Some(FanOut::new(on.span(Some(parent), open)))
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tracer").field(&self.0.as_ref().map(|on| &on.sampling)).finish()
    }
}

impl Sampling {
    /// Whether there are spans of this; `parent`: the caller's span.
    fn take(&self, parent: Option<&TraceContext>) -> bool {
        match parent {
            Some(parent) if self.follow_callers => parent.is_sampled(),
            // the same on every node, and in every program that does it by the trace's id
            Some(parent) => parent.share() < self.ratio,
            None => rand::random::<f64>() < self.ratio,
        }
    }
}

impl On {
    fn name(&self, namespace: u16) -> &str {
        self.namespaces.get(usize::from(namespace)).map_or("", |name| name)
    }

    fn span(&self, parent: Option<&TraceContext>, open: impl FnOnce() -> tracing::Span) -> Span {
        Span::begin(dispatcher::with_default(&self.dispatch, open), parent)
    }
}
