//! The public listener.
//!
//! A thread of its own accepts, blocking: the stream is registered once, with
//! the reactor of the worker that serves it.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio_util::sync::CancellationToken;

use crate::session::Worker;

use super::{Transports, http};

/// Streams that wait to be accepted.
const BACKLOG: i32 = 4096;

/// After an error that concerns the process and not one stream (no file
/// descriptors left), accepting rests for this long.
const REST: Duration = Duration::from_millis(100);

/// The bound public address.
#[derive(Debug)]
pub struct Listener(std::net::TcpListener);

/// A listener that accepts.
#[derive(Debug)]
pub struct Accepting {
    listener: std::net::TcpListener,
    stop: CancellationToken,
    thread: JoinHandle<()>,
}

impl Listener {
    /// # Errors
    /// When the address is taken or not allowed.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(Listener(socket.into()))
    }

    /// # Errors
    /// Never, while the socket is open.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Accepts streams, each for the worker with the fewest.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn accept(self, transports: Arc<Transports>) -> io::Result<Accepting> {
        let listener = self.0.try_clone()?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let thread = thread::Builder::new()
            .name("accept".to_owned())
            .spawn(move || accept_all(&self.0, &transports, &stopped))?;
        Ok(Accepting { listener, stop, thread })
    }
}

impl Accepting {
    /// Accepts no more; returns when the port is closed.
    pub fn stop(self) {
        self.stop.cancel();
        // wakes the thread; the socket may be gone already
        let _ = SockRef::from(&self.listener).shutdown(Shutdown::Both);
        if self.thread.join().is_err() {
            tracing::error!("the accepting thread panicked");
        }
    }
}

fn accept_all(listener: &std::net::TcpListener, transports: &Arc<Transports>, stop: &CancellationToken) {
    while !stop.is_cancelled() {
        match listener.accept() {
            Ok((stream, peer)) => hand_over(transports, stream, peer),
            // the client has gone before it was accepted
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(_) if stop.is_cancelled() => return,
            Err(error) => {
                tracing::warn!(%error, "accepting failed");
                thread::sleep(REST);
            }
        }
    }
}

fn hand_over(transports: &Arc<Transports>, stream: TcpStream, peer: SocketAddr) {
    if stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true)).is_err() {
        return;
    }
    let Some(worker) = transports.workers.iter().min_by_key(|worker| worker.streams.get()) else { return };
    let slot = worker.streams.take();
    let transports = Arc::clone(transports);
    let serve = Box::new(move |worker: &std::rc::Rc<Worker>| {
        http::serve(worker, transports, stream, peer, slot);
    });
    // a worker that has ended takes nothing: the stream is closed
    let _ = worker.intake.blocking_send(serve);
}
