//! HTTP on a stream, until it becomes a WebSocket or ends.

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, Request, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::session::{Slot, Worker};

use super::Shared;
use super::answer::{Answer, not_found};
use super::legacy::{Asked, Readers};
use super::{demo, engine};

/// How long a client may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// A stream's requests share this.
pub(super) struct Served {
    pub(super) worker: Rc<Worker>,
    pub(super) transports: Shared,
    pub(super) peer: IpAddr,
    /// The stream's place among its worker's; a WebSocket takes it along.
    pub(super) slot: RefCell<Option<Slot>>,
}

/// Serves a stream on this worker.
pub(super) fn serve(
    worker: &Rc<Worker>,
    transports: Shared,
    stream: std::net::TcpStream,
    peer: SocketAddr,
    slot: Slot,
) {
    let Ok(stream) = TcpStream::from_std(stream) else { return };
    let served =
        Rc::new(Served { worker: Rc::clone(worker), transports, peer: peer.ip(), slot: RefCell::new(Some(slot)) });
    let stop = worker.tasks.stop().clone();
    match served.transports.tls.clone() {
        None => worker.tasks.spawn_local(read(served, stream, stop)),
        Some(tls) => worker.tasks.spawn_local(async move {
            let shaken = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                shaken = tls.accept(stream) => shaken,
            };
            if let Some(stream) = shaken {
                read(served, stream, stop).await;
            }
        }),
    }
}

/// Reads HTTP until the stream ends or becomes something else, or `stop`.
async fn read<S>(served: Rc<Served>, stream: S, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let served = Rc::clone(&served);
        async move { Ok::<_, Infallible>(route(served, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        // a stream that breaks is the client's affair; its session, if any, learns from the call it dropped
        _ = connection => {}
    }
}

async fn route(served: Rc<Served>, request: Request<Incoming>) -> Answer {
    let transports = Arc::clone(&served.transports);
    let path = request.uri().path();
    let rest = transports.path.rest(path);
    let (legacy, query) = (&transports.public.legacy, request.uri().query().unwrap_or_default());
    if let Some(asked) = rest.and_then(|rest| Asked::by(legacy, rest, query)) {
        let origin = request.headers().get(header::ORIGIN).cloned();
        let readers = Readers::of(legacy, query);
        let mut answer = match asked {
            Asked::Engine => engine::serve(served, request).await,
            Asked::Farewell { sid } => engine::farewell(&served, &sid).await,
        };
        allow_origin(&transports, origin, readers, &mut answer);
        return answer;
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return not_found();
    }
    if let Some(name) = rest {
        return transports.client_files.answer(name, request.headers()).unwrap_or_else(not_found);
    }
    if path == "/" && transports.demo {
        return demo::page(&transports.public.path);
    }
    not_found()
}

/// CORS: an allowed origin may read the answer; credentials only where
/// origins are named, and where the client is an old one.
fn allow_origin(transports: &Shared, origin: Option<HeaderValue>, readers: Readers, answer: &mut Answer) {
    let Some(origin) = origin.filter(|origin| is_allowed(transports, origin)) else { return };
    let headers = answer.headers_mut();
    if transports.any_origin() && readers == Readers::Anybody {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    } else {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    }
}

pub(super) fn is_allowed(transports: &Shared, origin: &HeaderValue) -> bool {
    origin.to_str().is_ok_and(|origin| transports.public.allows_origin(origin))
}
