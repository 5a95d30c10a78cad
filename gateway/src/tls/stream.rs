//! A socket, with TLS upon it or not, by calls that never wait.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, BufRead as _, IoSlice, Read, Write};
use std::task::{Context, Poll, ready};

use tokio::net::TcpStream;
use tokio_rustls::rustls::Connection;

/// Bytes that are encrypted before the socket is asked to take them.
const HELD_BACK: usize = 32 * 1024;

/// What a session, or a tunnel, writes to and reads from. One task uses it.
#[derive(Debug)]
pub enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream>),
}

/// A socket and what rustls knows about it.
#[derive(Debug)]
pub struct TlsStream {
    pub(super) socket: TcpStream,
    tls: RefCell<Connection>,
}

impl Stream {
    /// Reads what is there: 0 is the end.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there; then the task is woken by
    /// [`Stream::poll_read_ready`].
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.try_read(buffer),
            Stream::Tls(stream) => stream.try_read(buffer),
        }
    }

    /// Takes bytes, from the front. Under TLS the last of them may be held
    /// back: [`Stream::try_flush`].
    ///
    /// # Errors
    /// `WouldBlock` when none was taken; then the task is woken by
    /// [`Stream::poll_write_ready`].
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.try_write(bytes),
            Stream::Tls(stream) => stream.try_write(bytes),
        }
    }

    /// Whether all that was taken has gone to the socket.
    ///
    /// # Errors
    /// `WouldBlock` when some is still held back, as in [`Stream::try_write`].
    pub fn try_flush(&self) -> io::Result<()> {
        match self {
            Stream::Plain(_) => Ok(()),
            Stream::Tls(stream) => stream.try_flush(&mut stream.tls.borrow_mut()),
        }
    }

    /// Ready when [`Stream::try_read`] is worth a try.
    pub fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Plain(socket) => socket.poll_read_ready(context),
            // the socket has nothing to say about what was decrypted already
            Stream::Tls(stream) if stream.is_readable() => Poll::Ready(Ok(())),
            Stream::Tls(stream) => stream.socket.poll_read_ready(context),
        }
    }

    /// Ready when [`Stream::try_write`] and [`Stream::try_flush`] are worth a
    /// try.
    pub fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket().poll_write_ready(context)
    }

    /// See [`Stream::poll_read_ready`].
    ///
    /// # Errors
    /// When the runtime ends.
    pub async fn readable(&self) -> io::Result<()> {
        poll_fn(|context| self.poll_read_ready(context)).await
    }

    /// Takes all of it, as the socket does.
    ///
    /// # Errors
    /// When the stream breaks.
    pub async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        poll_fn(|context| {
            loop {
                let step = match bytes {
                    [] => self.try_flush().map(|()| 0),
                    bytes => self.try_write(bytes),
                };
                match step {
                    Ok(0) if bytes.is_empty() => return Poll::Ready(Ok(())),
                    Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Ok(count) => bytes = &bytes[count..],
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(self.poll_write_ready(context))?,
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
        })
        .await
    }

    /// Says that nothing more comes, as far as the socket takes that now.
    pub fn say_end(&self) {
        match self {
            Stream::Plain(_) => {}
            Stream::Tls(stream) => {
                let mut tls = stream.tls.borrow_mut();
                tls.send_close_notify();
                // best effort: who cannot take it learns from the end of the socket
                let _ = stream.try_flush(&mut tls);
            }
        }
    }

    /// The same on this thread's reactor, away from the one it was made on.
    ///
    /// # Errors
    /// When it cannot be registered.
    pub fn rebound(self) -> io::Result<Self> {
        let rebound = |socket: TcpStream| TcpStream::from_std(socket.into_std()?);
        Ok(match self {
            Stream::Plain(socket) => Stream::Plain(rebound(socket)?),
            Stream::Tls(stream) => {
                let TlsStream { socket, tls } = *stream;
                Stream::Tls(Box::new(TlsStream { socket: rebound(socket)?, tls }))
            }
        })
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(stream) => &stream.socket,
        }
    }
}

impl From<TcpStream> for Stream {
    fn from(socket: TcpStream) -> Self {
        Stream::Plain(socket)
    }
}

impl From<super::ServerStream> for Stream {
    fn from(stream: super::ServerStream) -> Self {
        let (socket, tls) = stream.into_inner();
        Stream::Tls(Box::new(TlsStream::new(socket, tls)))
    }
}

impl From<super::ClientStream> for Stream {
    fn from(stream: super::ClientStream) -> Self {
        let (socket, tls) = stream.into_inner();
        Stream::Tls(Box::new(TlsStream::new(socket, tls)))
    }
}

impl TlsStream {
    fn new(socket: TcpStream, tls: impl Into<Connection>) -> Self {
        let mut tls = tls.into();
        tls.set_buffer_limit(Some(HELD_BACK));
        TlsStream { socket, tls: RefCell::new(tls) }
    }

    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut tls = self.tls.borrow_mut();
        loop {
            match tls.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
            tls.read_tls(&mut Socket(&self.socket))?;
            let processed = tls.process_new_packets();
            // what TLS itself has to say: an alert, new keys; if it cannot leave now it does with the next write
            let _ = self.try_flush(&mut tls);
            processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut tls = self.tls.borrow_mut();
        self.try_flush(&mut tls)?;
        let mut taken = 0;
        while taken < bytes.len() {
            let count = tls.writer().write(&bytes[taken..])?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            taken += count;
            match self.try_flush(&mut tls) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(taken)
    }

    fn try_flush(&self, tls: &mut Connection) -> io::Result<()> {
        while tls.wants_write() {
            if tls.write_tls(&mut Socket(&self.socket))? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }

    /// Something was decrypted, or there will be nothing more.
    fn is_readable(&self) -> bool {
        let mut tls = self.tls.borrow_mut();
        !matches!(tls.reader().fill_buf(), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// The socket, as rustls reads and writes.
struct Socket<'a>(&'a TcpStream);

impl Read for Socket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
