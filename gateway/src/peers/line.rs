//! A connection to another node's internal listener, one request at a time.
//!
//! No task drives it: whoever asks does, so that asking, dropped, closes the
//! connection and with it ends the request at the other node.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use hashbrown::HashMap;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio_util::either::Either;

use crate::tls::{ClientStream, Endpoint, Stream};

/// How long a node may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A node that has vanished without a word is noticed after about a minute.
const KEEPALIVE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(30)).with_interval(Duration::from_secs(10)).with_retries(3);

/// Idle connections are given up before the internal listener closes them.
const MAX_IDLE: Duration = Duration::from_secs(60);

/// Idle connections kept, by one worker to one node.
const MAX_KEPT: usize = 64;

type Socket = Either<TcpStream, Box<ClientStream>>;
type Http = Connection<TokioIo<Socket>, Full<Bytes>>;

pub(super) struct Line {
    send: SendRequest<Full<Bytes>>,
    /// `None`: it has ended.
    connection: Option<Http>,
}

/// Why there is no answer.
pub(super) enum Failed {
    /// Not a byte of it was sent.
    Unsent(Box<Request<Full<Bytes>>>),
    /// It may have been carried out.
    Lost,
}

impl Line {
    pub(super) async fn connect(address: &str, tls: Option<&Endpoint>) -> io::Result<Self> {
        let connect = tokio::time::timeout(CONNECT_TIMEOUT, open(address, tls));
        let stream = connect.await.map_err(|_| io::ErrorKind::TimedOut)??;
        let (send, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        Ok(Line { send, connection: Some(connection) })
    }

    /// Cancel safe in the sense of the module: the request ends.
    pub(super) async fn ask(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, Failed> {
        let Line { send, connection } = self;
        let asked = send.try_send_request(request);
        drive(connection, async {
            let (head, body) = answered(asked.await)?.into_parts();
            let body = body.collect().await.map_err(|_| Failed::Lost)?.to_bytes();
            Ok(Response::from_parts(head, body))
        })
        .await
    }

    /// The same, for a request that may make the connection something else:
    /// then it is the stream, and what was read from it behind the answer.
    pub(super) async fn switch(mut self, request: Request<Full<Bytes>>) -> Result<Switched, Failed> {
        let asked = self.send.try_send_request(request);
        let switched = drive(&mut self.connection, async {
            let answer = answered(asked.await)?;
            if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
                return Ok(None);
            }
            let (head, body) = answer.into_parts();
            let body = body.collect().await.map_err(|_| Failed::Lost)?.to_bytes();
            Ok(Some(Response::from_parts(head, body)))
        });
        match switched.await? {
            Some(answer) => Ok(Switched::Not(answer)),
            None => {
                let parts = self.connection.ok_or(Failed::Lost)?.into_parts();
                let stream = match parts.io.into_inner() {
                    Either::Left(socket) => socket.into(),
                    Either::Right(stream) => (*stream).into(),
                };
                // copied, so that the client's buffer is not kept for a few bytes
                Ok(Switched::To(stream, BytesMut::from(&parts.read_buf[..])))
            }
        }
    }

    /// Itself, if it can be asked again.
    pub(super) async fn reusable(mut self) -> Option<Self> {
        let reusable = poll_fn(|context| {
            let poll = |connection: &mut Http| connection.poll_without_shutdown(context).is_pending();
            let open = self.connection.as_mut().is_some_and(poll);
            Poll::Ready(open && matches!(self.send.poll_ready(context), Poll::Ready(Ok(()))))
        });
        reusable.await.then_some(self)
    }
}

async fn open(address: &str, tls: Option<&Endpoint>) -> io::Result<Socket> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    SockRef::from(&socket).set_tcp_keepalive(&KEEPALIVE)?;
    Ok(match tls {
        None => Either::Left(socket),
        Some(tls) => Either::Right(Box::new(tls.connect(socket, address).await?)),
    })
}

/// What the other node made of a request that might switch protocols.
pub(super) enum Switched {
    To(Stream, BytesMut),
    Not(Response<Bytes>),
}

type Answered = Result<Response<Incoming>, TrySendError<Request<Full<Bytes>>>>;

fn answered(answered: Answered) -> Result<Response<Incoming>, Failed> {
    answered.map_err(|mut error| error.take_message().map_or(Failed::Lost, |unsent| Failed::Unsent(Box::new(unsent))))
}

/// Runs what asks, and the connection that it asks.
async fn drive<T>(connection: &mut Option<Http>, asking: impl Future<Output = Result<T, Failed>>) -> Result<T, Failed> {
    let mut asking = pin!(asking);
    poll_fn(|context| {
        if let Poll::Ready(outcome) = asking.as_mut().poll(context) {
            return Poll::Ready(outcome);
        }
        let Some(open) = connection else { return Poll::Ready(Err(Failed::Lost)) };
        if open.poll_without_shutdown(context).is_pending() {
            return Poll::Pending;
        }
        // it has ended; what it did not send it gives back when dropped
        let outcome = asking.as_mut().poll(context);
        if outcome.is_ready() {
            return outcome;
        }
        *connection = None;
        match asking.as_mut().poll(context) {
            Poll::Ready(outcome) => Poll::Ready(outcome),
            Poll::Pending => Poll::Ready(Err(Failed::Lost)),
        }
    })
    .await
}

/// The idle connections of one worker, whose reactor they are registered with.
#[derive(Default)]
pub(super) struct Pool {
    idle: HashMap<Arc<str>, Vec<(Instant, Line)>>,
}

impl Pool {
    /// The one used last: it is the least likely to be closed.
    pub(super) fn take(&mut self, address: &str) -> Option<Line> {
        let (since, line) = self.idle.get_mut(address)?.pop()?;
        (since.elapsed() < MAX_IDLE).then_some(line)
    }

    pub(super) fn put(&mut self, address: Arc<str>, line: Line) {
        self.idle.retain(|_, lines| {
            lines.retain(|(since, _)| since.elapsed() < MAX_IDLE);
            !lines.is_empty()
        });
        let lines = self.idle.entry(address).or_default();
        if lines.len() < MAX_KEPT {
            lines.push((Instant::now(), line));
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.idle.values().map(Vec::len).sum()
    }
}
