//! HTTP requests that this node makes: to backends, and for keys.
//!
//! [`Client`] is called from any thread. What it does runs as tasks on the one
//! runtime that it was made with: connections are registered there, so that
//! they outlive the caller and are shared by all.
//!
//! Invariants:
//! - A deadline covers everything: connecting, the request, the whole answer.
//! - An answer is read up to a bound, and never followed elsewhere.
//! - [`FetchError::NotSent`] is said only where no byte of the request has left
//!   this node.
//! - Who drops a request, ends it: its connection is closed.
//!
//! Limits: [`IDLE_PER_HOST`] connections are kept for [`IDLE`].

mod error;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod trust;

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::{HttpConnector, capture_connection};
use hyper_util::client::legacy::{Builder, Client as Http, Error as HttpError};
use hyper_util::rt::TokioTimer;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use crate::tasks::Tasks;

pub use error::{FetchError, TrustError};
pub use trust::Trust;

/// How long a connection is kept without a request. Servers close theirs too,
/// many after 5 s; a request that crosses such a close on the way is lost, so
/// this side closes first.
pub const IDLE: Duration = Duration::from_secs(4);

/// Connections kept to one host without a request.
pub const IDLE_PER_HOST: usize = 64;

/// Makes requests. A clone shares its connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: Http<HttpsConnector<HttpConnector>, Full<Bytes>>,
    runner: Runner,
    connect_timeout: Duration,
}

impl Client {
    /// A client whose connections live on `runtime`, as tasks of `tasks`: they
    /// are closed when these shall end.
    ///
    /// # Errors
    /// When the authorities to trust cannot be read.
    pub fn new(runtime: Handle, tasks: Tasks, trust: &Trust, connect_timeout: Duration) -> Result<Self, TrustError> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(trust.client_config()?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let runner = Runner { runtime, tasks };
        let http = Builder::new(runner.clone())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .build(connector);
        Ok(Client { http, runner, connect_timeout })
    }

    /// Sends a request, and reads its answer of at most `max_body` bytes.
    ///
    /// # Errors
    /// When there is no whole answer by `deadline`.
    pub async fn send(
        &self,
        request: Request<Bytes>,
        deadline: Instant,
        max_body: usize,
    ) -> Result<Response<Bytes>, FetchError> {
        let exchange = exchange(self.http.clone(), request, self.connect_timeout, deadline, max_body);
        match AbortOnDropHandle::new(self.runner.run(exchange)).await {
            Ok(Some(answer)) => answer,
            Ok(None) => Err(FetchError::Failed("this node is stopping".to_owned())),
            Err(error) => Err(FetchError::Failed(error.to_string())),
        }
    }
}

async fn exchange(
    http: Http<HttpsConnector<HttpConnector>, Full<Bytes>>,
    request: Request<Bytes>,
    connect_timeout: Duration,
    deadline: Instant,
    max_body: usize,
) -> Result<Response<Bytes>, FetchError> {
    let connected_by = deadline.min(Instant::now() + connect_timeout);
    let mut request = request.map(Full::new);
    let mut captured = capture_connection(&mut request);
    let mut asking = pin!(timeout_at(deadline, http.request(request)));
    let connected = timeout_at(connected_by, async { drop(captured.wait_for_connection_metadata().await) });
    let answered = tokio::select! {
        biased;
        answered = &mut asking => answered,
        // once there is a connection, this branch is done
        Err(_) = connected => return Err(FetchError::NotSent("no connection in time".to_owned())),
    };
    let (head, body) = answered.map_err(|_| FetchError::TimedOut)?.map_err(classify)?.into_parts();
    let body = timeout_at(deadline, read(body, max_body)).await.map_err(|_| FetchError::TimedOut)??;
    Ok(Response::from_parts(head, body))
}

async fn read(body: Incoming, max_body: usize) -> Result<Bytes, FetchError> {
    if body.size_hint().lower() > max_body as u64 {
        return Err(FetchError::TooLarge);
    }
    match Limited::new(body, max_body).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(FetchError::TooLarge),
        Err(error) => Err(FetchError::Failed(error::chain(&*error))),
    }
}

/// Whether the request can have reached the server.
fn classify(error: HttpError) -> FetchError {
    let reason = error::chain(&error);
    let unsent = std::error::Error::source(&error)
        .and_then(|source| source.downcast_ref::<hyper::Error>())
        .is_some_and(hyper::Error::is_canceled);
    if error.is_connect() || unsent { FetchError::NotSent(reason) } else { FetchError::Failed(reason) }
}

/// Runs what the HTTP library wants run: always on the same runtime, and to
/// the end of the client's tasks at most.
#[derive(Clone, Debug)]
struct Runner {
    runtime: Handle,
    tasks: Tasks,
}

impl Runner {
    /// `None`: it was ended before it was done.
    fn run<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<Option<T>> {
        let stop = self.tasks.stop().clone();
        self.tasks.spawn_on(&self.runtime, async move { stop.run_until_cancelled(task).await })
    }
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Runner {
    fn execute(&self, task: F) {
        self.run(task);
    }
}
