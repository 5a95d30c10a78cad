//! A WebSocket takes polling's place.
//!
//! The client probes the new transport while polling goes on; the GET that
//! waits is then answered with nothing, so that the client can stop polling;
//! its upgrade packet ends polling, and what is still queued leaves by the
//! WebSocket.

use std::io;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};

use crate::protocol::engine::{self, Inbound};
use crate::protocol::websocket::{self, Message, Opcode, Reader};
use crate::protocol::{Format, legacy, payload};
use crate::tls::Stream;

use super::connection::Connection;
use super::link::Link;
use super::outbound::Outbound;
use super::slot::Slot;

/// Bytes of a probe and an upgrade packet, with room for more behind them.
const BUFFER: usize = 1024;

impl Connection {
    /// Whether a WebSocket may take over: it polls, and none has begun to.
    pub fn may_upgrade(&self) -> bool {
        self.closing().is_none() && matches!(&*self.link.borrow(), Link::Polling(link) if !link.upgrading)
    }

    /// Follows the client's probe on this stream; polling goes on if it fails.
    /// `slot`: the stream's place among its worker's.
    pub async fn upgrade(self: Rc<Self>, stream: Stream, input: BytesMut, slot: Option<Slot>) {
        let timeout = self.worker.shared.limits.upgrade_timeout;
        match tokio::time::timeout(timeout, self.probe(&stream, input)).await {
            Ok(Ok(rest)) => {
                *self.stream_slot.borrow_mut() = slot;
                self.take_over(stream, rest);
            }
            Ok(Err(_)) | Err(_) => {
                if let Link::Polling(link) = &mut *self.link.borrow_mut() {
                    link.upgrading = false;
                }
            }
        }
    }

    /// Answers what is read behind the upgrade packet.
    async fn probe(&self, stream: &Stream, mut input: BytesMut) -> io::Result<BytesMut> {
        let mut reader = Reader::new(BUFFER);
        let mut probed = false;
        loop {
            match self.read(stream, &mut reader, &mut input).await? {
                Inbound::Probe if !probed => {
                    probed = true;
                    let answer = websocket::frame(Opcode::Text, engine::PROBE_ANSWER);
                    stream.write_all(&answer).await?;
                    self.pause_polling();
                }
                Inbound::Upgrade if probed => return Ok(input),
                _ => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
    }

    async fn read(&self, stream: &Stream, reader: &mut Reader, input: &mut BytesMut) -> io::Result<Inbound> {
        loop {
            match reader.next(input).map_err(|_| io::ErrorKind::InvalidData)? {
                Some(Message::Text(text)) => {
                    return engine::decode_text(self.version, text).map_err(|_| io::ErrorKind::InvalidData.into());
                }
                Some(_) => return Err(io::ErrorKind::InvalidData.into()),
                None => {}
            }
            stream.readable().await?;
            let mut buffer = [0; BUFFER];
            match stream.try_read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => input.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The GET that waits, and those that still come, are answered at once.
    fn pause_polling(&self) {
        if let Link::Polling(link) = &mut *self.link.borrow_mut() {
            link.upgrading = true;
            if let Some(waiting) = link.waiting.take() {
                let _ = waiting.send(self.format.get().carry(engine::NOOP));
            }
        }
    }

    /// The task of the connection goes on with the stream.
    fn take_over(&self, stream: Stream, rest: BytesMut) {
        if self.closing().is_some() || !matches!(&*self.link.borrow(), Link::Polling(_)) {
            return;
        }
        self.pause_polling();
        let mut outbound = self.outbound.borrow_mut();
        let mut framed = Outbound::default();
        for piece in outbound.take(usize::MAX) {
            match self.format.get() {
                Format::Legacy(_) => legacy::payload::frames(&piece).for_each(|frame| framed.push(frame)),
                Format::JsonWebSocket | Format::JsonPolling | Format::MsgpackWebSocket | Format::MsgpackPolling => {
                    payload::split(&piece).for_each(|packet| framed.push(frame_of(&packet)));
                }
            }
        }
        *outbound = framed;
        self.format.set(self.format.get().upgraded());
        *self.upgraded.borrow_mut() = Some((stream, rest));
        self.worker.shared.metrics.upgraded(self.version);
        self.wake();
    }
}

/// A piece of a polling payload as a WebSocket frame.
fn frame_of(packet: &Bytes) -> Bytes {
    match packet.strip_prefix(b"b").and_then(|text| STANDARD.decode(text).ok()) {
        Some(data) => websocket::frame(Opcode::Binary, &data),
        None => websocket::frame(Opcode::Text, packet),
    }
}
