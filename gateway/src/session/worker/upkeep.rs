//! What a worker does besides delivering: time, the upkeep of sessions, and
//! what others ask for.

use std::rc::Rc;
use std::time::Instant;

use tokio::sync::mpsc;

use crate::adapter::Attention;
use crate::message::{NamespaceId, Room, SocketId};
use crate::rooms::{Command, Recipient};
use crate::session::close::Close;
use crate::session::connection::Input;
use crate::session::inspect;
use crate::session::operate;
use crate::session::socket::Socket;

use super::{Intake, Worker};

/// Sessions refreshed in one call.
const REFRESH_CHUNK: usize = 1000;

impl Worker {
    pub(in crate::session) fn schedule(&self, key: usize, deadline: Instant) {
        let mut wheel = self.wheel.borrow_mut();
        let before = wheel.next_look();
        wheel.insert(key, deadline);
        if before.is_none_or(|before| deadline < before) {
            self.rescheduled.notify_one();
        }
    }

    pub(super) async fn run_timers(self: Rc<Self>) {
        let mut due = Vec::new();
        loop {
            let next = self.wheel.borrow().next_look();
            let wait = async {
                match next {
                    Some(next) => tokio::time::sleep_until(next.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.tasks.stop().cancelled() => return,
                () = self.rescheduled.notified() => {}
                () = wait => {}
            }
            let now = Instant::now();
            self.wheel.borrow_mut().advance(now, &mut due);
            for key in due.drain(..) {
                let connection = self.connections.borrow().get(key).cloned();
                if let Some(connection) = connection {
                    connection.on_timer(now);
                }
            }
            self.flush();
        }
    }

    /// Keeps the sessions of connected clients alive, and closes connections
    /// whose session has another owner.
    pub(super) async fn refresh_sessions(self: Rc<Self>) {
        loop {
            tokio::select! {
                biased;
                () = self.tasks.stop().cancelled() => return,
                () = tokio::time::sleep(self.shared.limits.refresh) => {}
                () = self.refresh_now.notified() => {}
            }
            // the session of one that is still opening may not be there yet
            let connected = |socket: &Rc<Socket>| socket.feed().borrow().is_connected();
            let sockets = self.all().into_iter().flat_map(|connection| connection.sockets.borrow().to_vec());
            let sockets: Vec<Rc<Socket>> = sockets.filter(connected).collect();
            for chunk in sockets.chunks(REFRESH_CHUNK) {
                let batch: Vec<_> = chunk.iter().filter_map(|socket| socket.refresh()).collect();
                // unreachable now: the next round tries again, well within the time to live
                let Ok(attention) = self.shared.adapter.refresh(batch).await else { continue };
                for (refresh, attention) in attention {
                    let owned = |socket: &&Rc<Socket>| socket.session == Some(refresh.key);
                    if let Some(socket) = chunk.iter().find(owned) {
                        attend(socket, attention);
                    }
                }
            }
        }
    }

    pub(super) async fn take_commands(self: Rc<Self>, mut commands: mpsc::Receiver<Command>) {
        loop {
            let command = tokio::select! {
                biased;
                () = self.tasks.stop().cancelled() => return,
                command = commands.recv() => command,
            };
            match command {
                Some(Command::Operate { operation, answer }) => operate::operate(&self, operation, answer),
                Some(Command::Inspect { inquiry, answer }) => {
                    self.tasks.spawn_local(inspect::inspect(Rc::clone(&self), inquiry, answer));
                }
                Some(Command::Fence { namespace, socket, generation }) => self.fence(namespace, socket, generation),
                Some(Command::Refresh) => self.refresh_now.notify_one(),
                None => return,
            }
            self.flush();
        }
    }

    /// Closes the connections that hold this socket under an older generation.
    fn fence(&self, namespace: NamespaceId, socket: SocketId, generation: u64) {
        for socket in self.members(namespace, &[Room::Socket(socket)]) {
            if socket.session.is_some_and(|key| key.generation < generation) {
                socket.connection.close(Close::Replaced);
            }
        }
    }

    pub(super) async fn take_intake(self: Rc<Self>, mut intake: mpsc::Receiver<Intake>) {
        loop {
            let next = tokio::select! {
                biased;
                () = self.tasks.stop().cancelled() => return,
                next = intake.recv() => next,
            };
            match next {
                Some(intake) => intake(&self),
                None => return,
            }
        }
    }
}

fn attend(socket: &Rc<Socket>, attention: Attention) {
    match attention {
        Attention::Fenced => socket.connection.close(Close::Replaced),
        Attention::Waiting(operations) => operate::catch_up(socket, operations),
        Attention::Missing => socket.connection.push(Input::Restore(Rc::clone(socket))),
    }
}
