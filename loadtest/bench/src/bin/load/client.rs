//! One connection of the load client: connect, upgrade, open, CONNECT, messages.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result, bail};
use carillon_bench::control::{Counters, Memory};
use carillon_bench::frame;
use carillon_bench::message::{self, Stream};
use mio::net::TcpStream;
use socket2::{Domain, Socket, Type};

use crate::sequence::Sequence;
use crate::session::Session;

/// Clients are spread over so many loopback source addresses, so that ports do not run short.
const SOURCE_ADDRESSES: u32 = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// TCP is connecting.
    Connecting,
    /// The upgrade request is sent.
    Upgrading,
    /// Upgraded; waiting for the Engine.IO open packet.
    Opening,
    /// CONNECT is sent.
    Joining,
    Live,
    Closed,
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pub(crate) state: State,
    room: u32,
    /// The start of a frame whose rest has not arrived.
    carry: Vec<u8>,
    room_sequence: Sequence,
    everyone_sequence: Sequence,
    session: Option<Session>,
}

impl Client {
    /// Begins to connect client number `index`.
    pub(crate) fn connect(address: SocketAddr, index: u32, room: u32, memory: Memory) -> Result<Self> {
        let (room_sequence, everyone_sequence) = <(Sequence, Sequence)>::default();
        Ok(Self {
            stream: begin(address, index)?,
            state: State::Connecting,
            room,
            carry: Vec::new(),
            room_sequence,
            everyone_sequence,
            session: match memory {
                Memory::Nothing => None,
                Memory::Session => Some(Session::default()),
            },
        })
    }

    /// Begins to connect again after a cut, with what it remembers.
    pub(crate) fn reconnect(&mut self, address: SocketAddr, index: u32) -> Result<()> {
        self.stream = begin(address, index)?;
        self.state = State::Connecting;
        self.carry.clear();
        Ok(())
    }

    /// Whether the last CONNECT gave back the session that the client had.
    pub(crate) fn has_recovered(&self) -> bool {
        self.session.as_ref().is_some_and(Session::has_recovered)
    }

    /// The socket is connected: asks for the upgrade.
    pub(crate) fn on_writable(&mut self) -> Result<()> {
        if self.state != State::Connecting {
            return Ok(());
        }
        if let Some(error) = self.stream.take_error()? {
            return Err(error).context("cannot connect");
        }
        let host = self.stream.peer_addr()?;
        let request = format!(
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             User-Agent: carillon-bench\r\n\r\n"
        );
        self.state = State::Upgrading;
        Ok(self.stream.write_all(request.as_bytes())?)
    }

    /// Reads all that has arrived. `buffer` is shared by all clients and holds nothing between calls.
    pub(crate) fn on_readable(&mut self, buffer: &mut [u8], counters: &mut Counters) -> Result<()> {
        loop {
            let kept = self.carry.len();
            buffer[..kept].copy_from_slice(&self.carry);
            let length = match self.stream.read(&mut buffer[kept..]) {
                Ok(0) => bail!("closed by the server"),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            let filled = &buffer[..kept + length];
            let consumed = self.consume(filled, counters)?;
            self.carry.clear();
            self.carry.extend_from_slice(&filled[consumed..]);
            // A short read means that nothing more waits; the next arrival is a new event.
            if kept + length < buffer.len() {
                return Ok(());
            }
        }
    }

    /// Handles whole frames; returns how many bytes they were.
    fn consume(&mut self, bytes: &[u8], counters: &mut Counters) -> Result<usize> {
        let mut consumed = 0;
        if self.state == State::Upgrading {
            let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
                return Ok(0);
            };
            if !bytes.starts_with(b"HTTP/1.1 101") {
                bail!("upgrade refused: {}", String::from_utf8_lossy(&bytes[..end.min(200)]));
            }
            self.state = State::Opening;
            consumed = end + 4;
        }
        while let Some(found) = frame::find(&bytes[consumed..]) {
            let payload = &bytes[consumed..][found.payload.clone()];
            match found.opcode {
                frame::TEXT => self.on_packet(payload, counters)?,
                frame::CLOSE => bail!("closed by the server: {}", String::from_utf8_lossy(payload)),
                _ => counters.unexpected += 1,
            }
            consumed += found.payload.end;
        }
        Ok(consumed)
    }

    #[inline]
    fn on_packet(&mut self, packet: &[u8], counters: &mut Counters) -> Result<()> {
        let message = message::parse(packet);
        if let (Some(_), Some(session)) = (message, &mut self.session) {
            session.on_message(packet);
        }
        match message {
            Some((Stream::Room, number)) => self.room_sequence.on_message(number, counters),
            Some((Stream::Everyone, number)) => self.everyone_sequence.on_message(number, counters),
            None => self.on_control(packet, counters)?,
        }
        Ok(())
    }

    fn on_control(&mut self, packet: &[u8], counters: &mut Counters) -> Result<()> {
        match (packet.first(), self.state) {
            (Some(b'2'), _) => self.send(b"3"),
            (Some(b'0'), State::Opening) => {
                self.state = State::Joining;
                let known = self.session.as_ref().map(Session::connect_fields).unwrap_or_default();
                self.send(format!(r#"40{{{known}"room":"r{}"}}"#, self.room).as_bytes())
            }
            (Some(b'4'), State::Joining) if packet.starts_with(b"40") => {
                self.state = State::Live;
                if let Some(session) = &mut self.session {
                    session.on_connected(packet);
                }
                Ok(())
            }
            (Some(b'4'), _) if packet.starts_with(b"44") => {
                bail!("CONNECT refused: {}", String::from_utf8_lossy(packet))
            }
            _ => {
                counters.unexpected += 1;
                Ok(())
            }
        }
    }

    fn send(&mut self, packet: &[u8]) -> Result<()> {
        let mut bytes = Vec::with_capacity(packet.len() + 8);
        frame::push_client_text(&mut bytes, packet);
        Ok(self.stream.write_all(&bytes)?)
    }
}

/// Begins to connect a socket.
fn begin(address: SocketAddr, index: u32) -> Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.ip().is_loopback() && address.is_ipv4() {
        let source = Ipv4Addr::from(u32::from(Ipv4Addr::LOCALHOST) + 1 + index % SOURCE_ADDRESSES);
        socket.bind(&SocketAddr::from((source, 0)).into()).context("no free port for a client")?;
    }
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    match socket.connect(&address.into()) {
        Err(error) if error.raw_os_error() != Some(nix::errno::Errno::EINPROGRESS as i32) => {
            Err(error).context("cannot connect")
        }
        _ => Ok(TcpStream::from_std(socket.into())),
    }
}
