//! The one task of a connection.

use std::future::{Future, poll_fn};
use std::io::ErrorKind;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::BytesMut;

use crate::protocol::engine;
use crate::protocol::websocket::{FrameError, Message, Reader};

use super::close::Close;
use super::connection::{Connection, Input};
use super::dispatch;
use super::link::Link;

/// Something that a packet of the client set off and that takes time.
pub(super) type Job = Pin<Box<dyn Future<Output = ()>>>;

/// Rounds of reading and handling before other tasks have their turn.
const ROUNDS: usize = 16;

/// Reads, handles in order, and waits for a full socket; ends when the
/// connection does. Cancel safe nowhere: it runs to its end.
pub(super) async fn run(connection: Rc<Connection>, input: BytesMut) {
    let reader = Reader::new(connection.worker.shared.limits.max_payload);
    let mut task = Task { job: None, input, reader, ended: false };
    let unfinished = Unfinished(Some(connection));
    let close = poll_fn(|context| unfinished.0.as_ref().map_or(Poll::Pending, |c| task.poll(c, context))).await;
    drop(task);
    if let Some(connection) = unfinished.finish() {
        Box::pin(connection.finish(close)).await;
    }
}

/// A connection whose task must not vanish without giving it back, not even
/// by a panic.
struct Unfinished(Option<Rc<Connection>>);

impl Unfinished {
    fn finish(mut self) -> Option<Rc<Connection>> {
        self.0.take()
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(connection) = &self.0 {
            connection.give_back(Close::Lost);
        }
    }
}

struct Task {
    /// What must be finished before the next input is handled.
    job: Option<Job>,
    /// The beginning of a frame, until the rest of it comes.
    input: BytesMut,
    reader: Reader,
    /// Nothing more is read.
    ended: bool,
}

impl Task {
    fn poll(&mut self, connection: &Rc<Connection>, context: &mut Context<'_>) -> Poll<Close> {
        connection.register(context.waker());
        for _ in 0..ROUNDS {
            self.take_over_stream(connection);
            let progress = self.handle(connection, context) | self.read(connection, context);
            self.wait_to_write(connection, context);
            connection.worker.flush();
            if let Some(close) = connection.closing() {
                return Poll::Ready(close);
            }
            if !progress {
                return Poll::Pending;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// A WebSocket has replaced polling.
    fn take_over_stream(&mut self, connection: &Rc<Connection>) {
        if let Some((stream, input)) = connection.upgraded.borrow_mut().take() {
            *connection.link.borrow_mut() = Link::WebSocket(stream);
            self.input = input;
            connection.flush();
        }
    }

    /// Handles inputs in order until one takes time. True if anything was done.
    fn handle(&mut self, connection: &Rc<Connection>, context: &mut Context<'_>) -> bool {
        let mut progress = false;
        loop {
            if let Some(job) = &mut self.job {
                if job.as_mut().poll(context).is_pending() {
                    return progress;
                }
                self.job = None;
            }
            if connection.closing().is_some() {
                return progress;
            }
            let Some(input) = connection.next_input() else { return progress };
            progress = true;
            self.job = dispatch::handle(connection, input);
        }
    }

    /// Reads what has come. True if anything was.
    fn read(&mut self, connection: &Rc<Connection>, context: &mut Context<'_>) -> bool {
        if self.ended || connection.is_congested() {
            return false;
        }
        let link = connection.link.borrow();
        let Link::WebSocket(stream) = &*link else { return false };
        let mut progress = !self.input.is_empty() && self.decode(connection);
        if stream.poll_read_ready(context).is_pending() {
            return progress;
        }
        let mut scratch = connection.worker.scratch.borrow_mut();
        match stream.try_read(&mut scratch) {
            Ok(0) => self.end(connection, Close::Client),
            Ok(count) => {
                self.input.extend_from_slice(&scratch[..count]);
                drop(scratch);
                self.decode(connection);
                progress = true;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                // the readiness was stale: ask again, which registers the task
                if stream.poll_read_ready(context).is_ready() {
                    context.waker().wake_by_ref();
                }
            }
            Err(_) => self.end(connection, Close::Client),
        }
        progress
    }

    /// Takes whole messages off the input. True if any was.
    fn decode(&mut self, connection: &Rc<Connection>) -> bool {
        let mut progress = false;
        while !self.ended && !connection.is_congested() {
            match self.reader.next(&mut self.input) {
                Ok(Some(message)) => {
                    progress = true;
                    self.on_message(connection, message);
                }
                Ok(None) => break,
                Err(FrameError::TooLarge { .. }) => self.end(connection, Close::TooLarge),
                Err(_) => self.end(connection, Close::BadProtocol),
            }
        }
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
        progress
    }

    fn on_message(&mut self, connection: &Rc<Connection>, message: Message) {
        match message {
            Message::Text(text) => match engine::decode_text(connection.version, text) {
                Ok(inbound) => {
                    self.ended |= inbound == engine::Inbound::Close;
                    connection.on_inbound(inbound);
                }
                Err(_) => self.end(connection, Close::BadProtocol),
            },
            Message::Binary(data) => match engine::decode_binary(connection.version, data) {
                Ok(inbound) => connection.on_inbound(inbound),
                Err(_) => self.end(connection, Close::BadProtocol),
            },
            Message::Ping(payload) => connection.on_websocket_ping(&payload),
            Message::Pong => {}
            Message::Close => self.end(connection, Close::Client),
        }
    }

    /// What came before is still handled, then the connection ends.
    fn end(&mut self, connection: &Rc<Connection>, close: Close) {
        self.ended = true;
        connection.push(Input::End(close));
    }

    fn wait_to_write(&mut self, connection: &Rc<Connection>, context: &mut Context<'_>) {
        while connection.waits_to_write() && connection.closing().is_none() {
            let ready = match &*connection.link.borrow() {
                Link::WebSocket(stream) => stream.poll_write_ready(context).is_ready(),
                Link::Polling(_) | Link::Closed => false,
            };
            if !ready {
                return;
            }
            connection.unblocked();
        }
    }
}
