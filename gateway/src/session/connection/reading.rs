//! What comes from a client, up to where it is handled.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::protocol::Parser;
use crate::protocol::engine::Inbound;
use crate::protocol::packet::BadPacket;
use crate::session::close::Close;
use crate::session::link::Link;
use crate::session::socket::Socket;

use super::{Connection, Input};

impl Connection {
    /// An Engine.IO packet of the client.
    pub(in crate::session) fn on_inbound(self: &Rc<Self>, inbound: Inbound) {
        if self.version.is_legacy() {
            self.on_sign_of_life();
        }
        let max = self.worker.shared.limits.max_payload;
        let decoded = match inbound {
            Inbound::Ping(data) => return self.answer_ping(&data),
            Inbound::Pong => return self.on_pong(),
            Inbound::Close => return self.push(Input::End(Close::Client)),
            Inbound::Probe | Inbound::Upgrade => return self.push(Input::End(Close::BadProtocol)),
            Inbound::Text(text) if self.version.is_legacy() => self.decoder.borrow_mut().on_old_text(text, max),
            Inbound::Text(text) => self.decoder.borrow_mut().on_text(text, max),
            Inbound::Binary(data) => self.decoder.borrow_mut().on_binary(data, max).and_then(|found| match found {
                Some((parser, _)) if !self.accepts(parser) => Err(BadPacket),
                found => Ok(found.map(|(_, packet)| packet)),
            }),
        };
        match decoded {
            Ok(Some(packet)) => self.push(Input::Packet(packet)),
            Ok(None) => {}
            Err(_) => self.push(Input::End(Close::BadProtocol)),
        }
    }

    /// The client's first binary packet says that it speaks msgpack; old ones
    /// do not.
    fn accepts(&self, parser: Parser) -> bool {
        let accepted = parser == Parser::Json || (self.worker.shared.limits.msgpack && !self.version.is_legacy());
        if accepted && parser == Parser::Msgpack {
            self.format.set(self.format.get().with_parser(parser));
        }
        accepted
    }

    pub(in crate::session) fn push(&self, input: Input) {
        self.inbox.borrow_mut().push_back(input);
        self.wake();
    }

    pub(in crate::session) fn next_input(&self) -> Option<Input> {
        let mut inbox = self.inbox.borrow_mut();
        let input = inbox.pop_front();
        if inbox.is_empty() && inbox.capacity() > 0 {
            *inbox = VecDeque::new();
            if let Link::Polling(link) = &*self.link.borrow() {
                link.taken.notify_waiters();
            }
        }
        input
    }

    /// Too many packets wait to be handled: no more are read.
    pub(in crate::session) fn is_congested(&self) -> bool {
        self.inbox.borrow().len() >= self.worker.shared.limits.max_pending_events
    }

    pub(in crate::session) fn socket(&self, namespace: &str) -> Option<Rc<Socket>> {
        self.sockets.borrow().iter().find(|socket| &*socket.namespace().name == namespace).cloned()
    }

    /// A namespace is about to be joined.
    pub(in crate::session) fn add_socket(&self, socket: Rc<Socket>) {
        self.sockets.borrow_mut().push(socket);
    }

    /// A namespace is joined.
    pub(in crate::session) fn connected(&self) {
        self.connect_by.set(None);
    }

    /// Takes a socket out of its rooms and off the connection.
    pub(in crate::session) fn remove_socket(&self, socket: &Rc<Socket>) {
        self.worker.cut(socket.namespace()).forget_all(socket);
        self.sockets.borrow_mut().retain(|other| !Rc::ptr_eq(other, socket));
    }
}
