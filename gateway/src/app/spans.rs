//! Where spans go, and as whose.

use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use opentelemetry::KeyValue;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::EnvResourceDetector;
use opentelemetry_sdk::trace::SpanExporter as _;
use prometheus::Registry;
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::config;
use crate::fetch::{Client, Trust};
use crate::message::{Namespaces, NodeTag};
use crate::tasks::Tasks;
use crate::trace::{Queue, Sampling, SpanMetrics, Tracer};

/// Time for one export, with what is tried again.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Largest answer of the receiver, in bytes.
const MAX_ANSWER: usize = 1 << 20;

/// The tracing of this node.
#[derive(Default)]
pub(super) struct Spans {
    pub(super) tracer: Tracer,
    /// Where spans wait; `None` when it is off.
    queue: Option<Queue>,
    tasks: Tasks,
    /// What the export needs of the network; ends after it.
    network: Tasks,
}

impl Spans {
    /// # Errors
    /// When files cannot be used.
    pub(super) fn new(config: &config::Tracing, namespaces: &Namespaces, registry: &Registry) -> Result<Self> {
        if !config.is_used() {
            return Ok(Spans::default());
        }
        let queue = Queue::new(SpanMetrics::register(registry)?);
        let sampling = Sampling { ratio: config.sample, follow_callers: config.follow_callers };
        let names = namespaces.iter().map(|namespace| namespace.name.clone());
        let tracer = Tracer::new(sampling, names, queue.clone());
        Ok(Spans { tracer, queue: Some(queue), ..Spans::default() })
    }

    /// Exports what ends from now on, as of this node.
    ///
    /// # Errors
    /// When files cannot be used.
    pub(super) fn run(&self, config: &config::Tracing, node: NodeTag) -> Result<()> {
        let Some(queue) = &self.queue else { return Ok(()) };
        let trust = Trust::for_url(&config.endpoint, config.ca_file.as_deref());
        let client = Client::new(Handle::current(), self.network.clone(), &trust, TIMEOUT).context("tracing")?;
        let headers = config.headers().map_err(anyhow::Error::msg).context("tracing.headers_file")?;
        let headers =
            headers.iter().filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())));
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Receiver(client))
            .with_endpoint(config.url())
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(TIMEOUT)
            .with_headers(headers.collect())
            .build()
            .context("tracing")?;
        exporter.set_resource(&resource(config, node));
        self.tasks.spawn_vital("span export", queue.clone().run(exporter, self.tasks.stop().clone()));
        Ok(())
    }

    /// Exports what is left, for a short while.
    pub(super) async fn finish(self) {
        self.tasks.stop().cancel();
        self.tasks.ended().await;
        self.network.stop().cancel();
        self.network.ended().await;
    }
}

/// Who is traced; `OTEL_RESOURCE_ATTRIBUTES` has the last word.
fn resource(config: &config::Tracing, node: NodeTag) -> Resource {
    Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", config.service_name.clone()),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", node.to_string()),
        ])
        .with_detector(Box::new(EnvResourceDetector::new()))
        .build()
}

/// Posts what the exporter has encoded.
#[derive(Debug)]
struct Receiver(Client);

#[async_trait]
impl HttpClient for Receiver {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        Ok(self.0.send(request, Instant::now() + TIMEOUT, MAX_ANSWER).await?)
    }
}
