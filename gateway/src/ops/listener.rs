//! Serves the internal listener.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::tls::Endpoint;

/// Most connections at once; more wait in the kernel's queue until one ends.
const MAX_CONNECTIONS: usize = 4096;

/// How long a connection may take to send a request's head, idle time before
/// it included: longer than what callers commonly keep idle connections for,
/// so that they close first and no request meets a closing connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(120);

/// How long requests under way may take to end after `stop`.
pub const GRACE: Duration = Duration::from_secs(5);

/// Rest after an accept that failed for want of file descriptors or memory.
const ACCEPT_BACK_OFF: Duration = Duration::from_millis(100);

/// Serves `router` on `listener`, with TLS or without, until `stop`; then
/// accepts no more, lets requests under way end for at most [`GRACE`], and
/// returns.
///
/// Connections are tasks of the runtime this is called on; dropping the future
/// ends them.
pub async fn listen(listener: TcpListener, tls: Option<Arc<Endpoint>>, router: Router, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        // cancel safety: neither `accept` nor `acquire_owned` loses anything
        // when dropped
        let (place, accepted) = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            next = next => next,
        };
        match accepted {
            Ok((stream, _)) => {
                no_delay(&stream);
                let (router, place, stop) = (router.clone(), Place::new(place.ok()), stop.clone());
                match tls.clone() {
                    None => connections.spawn(serve(stream, router, place, stop)),
                    Some(tls) => connections.spawn(async move {
                        let shaken = tokio::select! {
                            biased;
                            () = stop.cancelled() => return,
                            shaken = tls.accept(stream) => shaken,
                        };
                        if let Some(stream) = shaken {
                            serve(stream, router, place, stop).await;
                        }
                    }),
                };
            }
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "the internal listener cannot accept");
                tokio::time::sleep(ACCEPT_BACK_OFF).await;
            }
        }
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, all).await.is_err() {
        tracing::warn!(left = connections.len(), "requests to the internal listener were cut off");
    }
}

/// A connection's place among [`MAX_CONNECTIONS`]; in the extensions of its
/// requests.
#[derive(Debug, Clone)]
pub struct Place(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

impl Place {
    fn new(permit: Option<OwnedSemaphorePermit>) -> Self {
        Place(Arc::new(Mutex::new(permit)))
    }

    /// Leaves the place to others: this connection has its own limit.
    pub fn give_up(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

async fn serve<S>(stream: S, router: Router, place: Place, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(place.clone());
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        biased;
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        ended = connection.as_mut() => ended,
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an internal connection ended");
    }
}

/// Without this an answer may wait 40 ms for the peer's delayed
/// acknowledgement.
fn no_delay(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY on an internal connection");
    }
}

/// The peer was gone before it was accepted.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::Notify;
    use tokio::task::JoinHandle;
    use tokio_util::task::TaskTracker;

    use super::*;

    /// A listener in service.
    struct Bench {
        address: SocketAddr,
        stop: CancellationToken,
        served: JoinHandle<()>,
        /// Told when `/hang` is asked for.
        hanging: Arc<Notify>,
    }

    /// Serves `/quick` and the never-ending `/hang`.
    async fn start() -> Bench {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let hanging = Arc::new(Notify::new());
        let hang = {
            let hanging = Arc::clone(&hanging);
            async move || {
                hanging.notify_one();
                std::future::pending::<()>().await;
            }
        };
        let router = Router::new().route("/quick", get(|| async { "ok" })).route("/hang", get(hang));
        let stop = CancellationToken::new();
        let served = TaskTracker::new().spawn(listen(listener, None, router, stop.clone()));
        Bench { address, stop, served, hanging }
    }

    async fn ask(address: SocketAddr, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
        stream
    }

    #[tokio::test]
    async fn idle_connections_end_at_once_on_stop() {
        let bench = start().await;
        let mut stream = ask(bench.address, "/quick").await;
        let mut head = [0; 15];
        stream.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 200 OK");
        bench.stop.cancel();
        tokio::time::timeout(GRACE / 2, bench.served).await.unwrap().unwrap();
        assert!(TcpStream::connect(bench.address).await.is_err());
    }

    #[tokio::test]
    async fn a_request_that_hangs_is_cut_off() {
        let bench = start().await;
        let mut stream = ask(bench.address, "/hang").await;
        bench.hanging.notified().await;
        tokio::time::pause();
        let start = tokio::time::Instant::now();
        bench.stop.cancel();
        bench.served.await.unwrap();
        assert!((GRACE..GRACE * 2).contains(&start.elapsed()));
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert_eq!(rest, b"");
    }

    #[test]
    fn a_place_is_given_up_once_for_all_requests() {
        let places = Arc::new(Semaphore::new(1));
        let place = Place::new(Arc::clone(&places).try_acquire_owned().ok());
        assert_eq!(places.available_permits(), 0);
        place.clone().give_up();
        place.give_up();
        assert_eq!(places.available_permits(), 1);
        drop(place);
        assert_eq!(places.available_permits(), 1);
    }

    #[tokio::test]
    async fn connections_do_not_wait_for_full_packets() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        no_delay(&stream);
        assert!(stream.nodelay().unwrap());
        drop(client);
    }
}
